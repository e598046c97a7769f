//! What TimescaleDB does to a hypertable by itself, on another server: what that can have of it, and what it cannot.
//!
//! **Invariant:** pure. Nothing is left out without being named, with the statement that would make it.

use serde::{Deserialize, Serialize};

use super::jobs::{self, Host};
use super::layout::primary_dimension;
use super::{Statement, TargetNames, policies, type_name};
use crate::catalog::{Columnstore, Hypertable, Job, Means, NotCarried, Policies, Server, SparseIndex};
use crate::ident::{QualifiedName, display_ident, quote_columns};

/// What a server can have of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Upkeep {
    /// The policies, without what is lost.
    pub policies: Policies,
    /// What is lost.
    pub losses: Vec<NotCarried>,
}

impl Upkeep {
    /// What `server`, which has these means, can have of what `source` has.
    pub fn of(source: &Hypertable, names: &TargetNames, server: &Server, means: &Means) -> Upkeep {
        let mut upkeep = Upkeep { policies: source.policies.clone(), losses: Vec::new() };
        upkeep.keep_tablespaces(means);
        if !means.chunk_skipping {
            let lose = |column: String| {
                NotCarried::new("chunk skipping", format!("column {}", display_ident(&column)))
                    .because("it came with TimescaleDB 2.16")
            };
            upkeep.losses.extend(upkeep.policies.skipping_columns.drain(..).map(lose));
        }
        upkeep.keep_columnstore(names, server, means);
        upkeep.keep_jobs(source, names, server, means);
        upkeep
    }

    fn keep_tablespaces(&mut self, means: &Means) {
        let is_there = |name: &String| means.tablespaces.contains(name);
        let (there, lost) = self.policies.tablespaces.drain(..).partition(is_there);
        self.policies.tablespaces = there;
        let lose = |name: String| {
            NotCarried::new("attached tablespace", display_ident(&name))
                .because("the target has none of this name that the role may use")
        };
        self.losses.extend(Vec::into_iter(lost).map(lose));
    }

    fn keep_columnstore(&mut self, names: &TargetNames, server: &Server, means: &Means) {
        let Some(settings) = &mut self.policies.columnstore else { return };
        if server.is_apache() {
            let sql = policies::enable_columnstore(settings, &names.table).sql;
            let lost = NotCarried::new("compression settings", names.table.to_string());
            self.losses.push(lost.because(NO_COMMUNITY).made_by(vec![sql]));
            self.policies.columnstore = None;
        } else {
            self.losses.extend(lose_sparse_indexes(settings, &names.table, means));
        }
    }

    fn keep_jobs(&mut self, source: &Hypertable, names: &TargetNames, server: &Server, means: &Means) {
        let jobs = std::mem::take(&mut self.policies.jobs);
        for job in jobs {
            match obstacle(&job, server, means) {
                None => {
                    let (job, lost) = with_owner(job, server, means);
                    self.policies.jobs.push(job);
                    self.losses.extend(lost);
                }
                Some(reason) => {
                    let made = create_jobs(std::slice::from_ref(&job), source, names, server);
                    let sql = made.into_iter().map(|made| made.sql).collect();
                    let lost = NotCarried::new("policy or job", job.procedure.name.clone());
                    self.losses.push(lost.because(reason).made_by(sql));
                }
            }
        }
    }
}

/// Takes those of the columnstore of a table, or of an aggregate, that the server would not know.
pub(super) fn lose_sparse_indexes(settings: &mut Columnstore, of: &QualifiedName, means: &Means) -> Vec<NotCarried> {
    let lose = |index: SparseIndex| {
        NotCarried::new(
            "sparse index",
            format!("{}({}) of {of}", index.kind, quote_columns(index.columns.iter().map(String::as_str))),
        )
        .because("sparse indexes came with TimescaleDB 2.22")
    };
    let lost = if means.sparse_indexes { Vec::new() } else { std::mem::take(&mut settings.sparse_indexes) };
    lost.into_iter().map(lose).collect()
}

/// Why a server cannot have a job; none where it can.
pub(super) fn obstacle(job: &Job, server: &Server, means: &Means) -> Option<String> {
    if server.is_apache() {
        return Some(NO_COMMUNITY.to_string());
    }
    let needed = job.check.iter().chain([&job.procedure]);
    let missing = needed.filter(|procedure| !means.procedures.contains(procedure)).map(ToString::to_string).next()?;
    Some(format!("{missing} is missing on the target"))
}

/// A policy belongs to whoever its table does. An action of the user's that cannot belong to its owner will to us.
fn with_owner(mut job: Job, server: &Server, means: &Means) -> (Job, Option<NotCarried>) {
    if job.is_policy() || job.owner == server.role || means.roles.contains(&job.owner) {
        return (job, None);
    }
    let lost = NotCarried::new("owner", format!("{} of job {}", display_ident(&job.owner), job.procedure));
    job.owner = server.role.clone();
    (job, Some(lost.because(format!("it will belong to {}", display_ident(&server.role)))))
}

/// Jobs of the table, as they are made on the target.
pub fn create_jobs(jobs: &[Job], source: &Hypertable, names: &TargetNames, server: &Server) -> Vec<Statement> {
    let primary = primary_dimension(source.name(), &source.dimensions);
    let axis_type = primary.map_or("bigint", |primary| type_name(primary.time_type.spoken()));
    let host = Host { name: &names.table, is_aggregate: false, read_of: source.policies.hypertable_id, axis_type };
    jobs::create(jobs, host, server, |index| names.of_relation(index))
}

/// Settings for a table that has none, where chunks shall be compressed all the same: the server chooses.
pub fn default_columnstore() -> Columnstore {
    Columnstore { segment_by: None, order_by: None, sparse_indexes: Vec::new(), chunk_interval: None }
}

pub(super) const NO_COMMUNITY: &str = "the target's edition is apache";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_indexes_are_kept_or_listed() {
        let settings = || {
            let index = SparseIndex { kind: "bloom".into(), columns: vec!["Note".into(), "n".into()] };
            Columnstore { sparse_indexes: vec![index], ..default_columnstore() }
        };
        let table = QualifiedName::new("public", "t");
        let means = |sparse_indexes| Means { sparse_indexes, ..Means::default() };
        let mut kept = settings();
        assert!(lose_sparse_indexes(&mut kept, &table, &means(true)).is_empty());
        assert_eq!(kept, settings());
        let mut lost = settings();
        let listed = lose_sparse_indexes(&mut lost, &table, &means(false));
        assert_eq!(listed[0].object, "bloom(\"Note\", \"n\") of public.t");
        assert_eq!(lost, default_columnstore());
    }
}

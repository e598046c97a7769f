//! What hangs on the table beside its rows: what belongs to it, and what uses it.

use serde::{Deserialize, Serialize};

use crate::catalog::belongings::Belongings;
use crate::catalog::dependents::Dependents;
use crate::catalog::{Aggregate, Job, Policies, Server, read};
use crate::connect::Session;
use crate::error::{Error, Result};
use crate::ident::QualifiedName;
use crate::plan::{Statement, aggregates, belongings, dependents, policies};

/// What hangs on a table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Surroundings {
    pub(super) belongings: Belongings,
    pub(super) dependents: Dependents,
    pub(super) policies: Policies,
    #[serde(default)]
    pub(super) aggregates: Vec<Aggregate>,
}

impl Surroundings {
    pub(super) async fn read(
        session: &Session,
        server: &Server,
        oid: u32,
        table: &QualifiedName,
    ) -> Result<Surroundings> {
        let belongings = read::belongings(session, oid).await?;
        let dependents = read::dependents(session, oid).await?;
        let gone = || Error::new(session.side().kind(), format!("{table} is no hypertable any more"));
        let row = read::hypertable_row(session, table).await?.ok_or_else(gone)?;
        let policies = read::policies(session, row.id, table).await?;
        let aggregates = read::aggregates(session, server, row.id).await?;
        Ok(Surroundings { belongings, dependents, policies, aggregates })
    }

    /// Takes jobs for scheduled that were so `before` they were paused.
    pub(super) fn reschedule(&mut self, before: &Policies) {
        for job in &mut self.policies.jobs {
            job.scheduled |= before.jobs.iter().any(|known| known.id == job.id && known.scheduled);
        }
    }

    /// Takes up jobs that were paused for an exchange, and have stayed with the other table since.
    pub(super) fn keep_paused(&mut self, paused: Vec<Job>) {
        let known: Vec<i32> = self.policies.jobs.iter().map(|job| job.id).collect();
        self.policies.jobs.extend(paused.into_iter().filter(|job| !known.contains(&job.id)));
    }

    /// What would be lost, or would go on using the old table.
    pub(super) fn obstacles(&self, server: &Server) -> Vec<String> {
        let mut found = belongings::obstacles(&self.belongings, server);
        found.extend(policies::obstacles(&self.policies));
        found.extend(dependents::obstacles(&self.dependents, &server.role));
        found.extend(aggregates::obstacles(&self.aggregates, &server.role));
        found.iter().map(ToString::to_string).collect()
    }

    /// Refuses what stands in the way of another table in this one's place.
    pub(super) fn refuse_obstacles(&self, table: &QualifiedName, server: &Server) -> Result<()> {
        const SHOWN: usize = 10;
        let obstacles = self.obstacles(server);
        let Some(first) = obstacles.first() else { return Ok(()) };
        let others: Vec<&str> = obstacles.iter().skip(1).take(SHOWN).map(String::as_str).collect();
        let error = Error::refused(format!("no other table can take the place of {table}: {first}"));
        Err(match others.is_empty() {
            true => error.hint("Drop it, or change it so that it can be made again, and put it back afterwards."),
            false => error.hint(format!("{} more are in the way: {}", obstacles.len() - 1, others.join("; "))),
        })
    }

    /// What has to be locked before the table: whoever reads a view locks that first.
    pub(super) fn locks(&self) -> Vec<Statement> {
        dependents::locks(&self.dependents).into_iter().chain(aggregates::locks(&self.aggregates)).collect()
    }

    /// What has to be locked with the table.
    pub(super) fn locked_tables(&self) -> Vec<QualifiedName> {
        belongings::locked_tables(&self.belongings)
    }

    /// What uses the table, in words.
    pub(super) fn users(&self) -> Vec<String> {
        let users = &self.dependents.users;
        let views = users.views.iter().map(|view| format!("view {}", view.name));
        let materialized = self.dependents.materialized_views.iter();
        let materialized = materialized.map(|view| format!("materialized view {} (built anew)", view.name));
        let aggregates = self.aggregates.iter();
        let aggregates = aggregates.map(|aggregate| format!("continuous aggregate {} (made again)", aggregate.name));
        let functions = users.functions.iter().map(|function| format!("function {}", function.identity));
        let rules = users.rules.iter().map(|rule| format!("rule {} on {}", rule.rule, rule.relation));
        let policies = users.policies.iter().map(|policy| format!("policy {} on {}", policy.policy, policy.table));
        let keys = self.belongings.referencing_keys.iter();
        let keys = keys.map(|key| format!("foreign key {} on {}", key.name, key.referencing));
        let jobs = self.policies.jobs.iter().map(|job| format!("job {} ({})", job.id, job.procedure.name));
        views
            .chain(jobs)
            .chain(materialized)
            .chain(aggregates)
            .chain(functions)
            .chain(rules)
            .chain(policies)
            .chain(keys)
            .collect()
    }
}

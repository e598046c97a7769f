//! What reads a hypertable, on another server: continuous aggregates and views, what that can have of them, and what it cannot.
//!
//! Aggregates are made empty behind everything that is done to rows, get what they have beside their definition, and are
//! filled by their own refresh, those over others behind those; then the views, each behind what it reads; then the
//! materialized ones among them are filled.
//!
//! **Invariant:** pure. Nothing is left out without being named, with the statement that would make it or the reason.

use serde::{Deserialize, Serialize};

use super::aggregates::{create_as, has_history, privilege, refresh_one};
use super::jobs::{self, Host};
use super::layout::time_type;
use super::trappings::Passage;
use super::upkeep::{NO_COMMUNITY, lose_sparse_indexes, obstacle};
use super::views::{self, ViewScript};
use super::{Statement, type_name};
use crate::catalog::views::{View, ViewPlaces};
use crate::catalog::{Aggregate, Grant, Hypertable, Means, NotCarried, ObjectName, Server};
use crate::ident::{QualifiedName, display_ident, quote_ident};

/// What a server can have of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Readers {
    /// The aggregates, each behind what it is over.
    pub aggregates: Vec<Aggregate>,
    /// The views, each behind what it reads.
    pub views: Vec<ViewScript>,
    /// What is lost.
    pub losses: Vec<NotCarried>,
    /// Who the aggregates will belong to, where that is not the role that makes them.
    owners: Vec<String>,
    /// Whether the role that makes them gives them away, or has to become their owner beforehand.
    gives_away: bool,
}

/// A table here, and what it is called there.
#[derive(Clone, Copy, Debug)]
pub struct Move<'a> {
    /// Its name on the source.
    pub from: &'a QualifiedName,
    /// Its name on the target.
    pub to: &'a QualifiedName,
}

/// Every relation that has to be looked for on a server before anything can be said of the readers of `source`.
pub fn relations(source: &Hypertable) -> Vec<&QualifiedName> {
    let aggregates = source.aggregates.iter().flat_map(|aggregate| aggregate.reads.iter().chain([&aggregate.name]));
    aggregates.chain(source.views.iter().flat_map(|view| view.reads.iter().chain([&view.name]))).collect()
}

/// Every role that is said to own an aggregate, or to have a right on one.
pub fn roles(source: &Hypertable) -> Vec<String> {
    let granted = |aggregate: &Aggregate| {
        let grantees = aggregate.grants.iter().filter_map(|grant| grant.grantee.clone());
        grantees.chain([aggregate.rights.owner.clone()]).collect::<Vec<String>>()
    };
    source.aggregates.iter().flat_map(granted).collect()
}

/// Every object that one of them calls.
pub fn needs(source: &Hypertable) -> Vec<ObjectName> {
    let aggregates = source.aggregates.iter().flat_map(|aggregate| &aggregate.needs);
    let of_triggers = |view: &View| view.triggers.iter().flat_map(|trigger| trigger.needs.clone()).collect::<Vec<_>>();
    let views = source.views.iter().flat_map(|view| [view.needs.clone(), of_triggers(view)].concat());
    aggregates.cloned().chain(views).collect()
}

impl Readers {
    /// What `server` can have of the readers of `source`, which is `table` there.
    pub fn of(
        source: &Hypertable,
        table: &QualifiedName,
        passage: &Passage<'_>,
        places: &ViewPlaces,
        means: &Means,
    ) -> Readers {
        let server = passage.to;
        let mut readers = Readers { gives_away: places.superuser, ..Readers::default() };
        let names = Move { from: source.name(), to: table };
        for aggregate in &source.aggregates {
            match readers.obstacle_of_aggregate(aggregate, names, server, places) {
                Some(reason) => readers.lose("continuous aggregate", &create_aggregate(aggregate, names), &reason),
                None => readers.keep_aggregate(aggregate.clone(), server, places, means),
            }
        }
        for view in &source.views {
            match readers.obstacle(&view.name, &view.reads, &view.needs, names, places) {
                Some(reason) => {
                    readers.lose(views::kind(view.kept.is_some()), &views::create(view, names), &reason);
                }
                None => {
                    let (script, losses) = views::script(view, names, passage, places, why_unfilled(source));
                    readers.views.push(script);
                    readers.losses.extend(losses);
                }
            }
        }
        readers
    }

    /// All that `source` has, for a server that is like its own.
    pub fn all(source: &Hypertable, passage: &Passage<'_>) -> Readers {
        let names = Move { from: source.name(), to: source.name() };
        let aggregates = source.aggregates.clone();
        let owners = aggregates.iter().map(|aggregate| aggregate.rights.owner.clone()).collect();
        let script = |view| views::script(view, names, passage, &ViewPlaces::default(), why_unfilled(source));
        let views = source.views.iter().map(|view| script(view).0).collect();
        Readers { owners, aggregates, views, losses: Vec::new(), gives_away: true }
    }

    /// Everything, in its order.
    pub fn script(&self, names: Move<'_>, server: &Server) -> Vec<Statement> {
        let mut statements = self.create_aggregates(names);
        statements.extend(self.fill(server, |_| true));
        statements.extend(self.create_views());
        statements.extend(self.fill_views());
        statements.extend(self.create_jobs(server));
        statements
    }

    fn lose(&mut self, kind: &str, create: &Statement, reason: &str) {
        let name = create.title.trim_start_matches(&format!("create {kind} ")).to_string();
        self.losses.push(NotCarried::new(kind, name).because(reason).made_by(vec![create.sql.clone()]));
    }

    fn obstacle_of_aggregate(
        &self,
        aggregate: &Aggregate,
        names: Move<'_>,
        server: &Server,
        places: &ViewPlaces,
    ) -> Option<String> {
        let is_old = !aggregate.finalized || time_type(&aggregate.bucket_type).is_none();
        if server.is_apache() {
            return Some(NO_COMMUNITY.to_string());
        }
        is_old
            .then(|| "it is of a form that cannot be made any more".to_string())
            .or_else(|| self.obstacle(&aggregate.name, &aggregate.reads, &aggregate.needs, names, places))
    }

    /// Why a view of this name, which reads and needs these, cannot be made.
    fn obstacle(
        &self,
        name: &QualifiedName,
        reads: &[QualifiedName],
        needs: &[ObjectName],
        names: Move<'_>,
        places: &ViewPlaces,
    ) -> Option<String> {
        if places.relations.contains(name) || name == names.to {
            return Some("its name is taken on the target".to_string());
        }
        if places.closed.contains(&name.schema) {
            return Some(format!("the role may create nothing in schema {}", display_ident(&name.schema)));
        }
        let is_made = |read: &QualifiedName| read == names.from || self.names().any(|made| made == read);
        let unread = reads.iter().find(|read| !is_made(read) && !places.relations.contains(read));
        let missing = needs.iter().find(|need| places.missing.contains(need));
        unread
            .map(|read| format!("{read}, which it reads, is missing on the target"))
            .or_else(|| missing.map(|need| format!("{} {} is missing on the target", need.kind, need.identity)))
    }

    fn keep_aggregate(&mut self, mut aggregate: Aggregate, server: &Server, places: &ViewPlaces, means: &Means) {
        let name = aggregate.name.clone();
        self.keep_owner(&name, &aggregate.rights.owner, server, places);
        self.keep_grants(&name, &mut aggregate.grants, places);
        if has_history(&aggregate) == Some(true) {
            let lost = NotCarried::new("history of a continuous aggregate", name.to_string());
            self.losses.push(lost.because("rows of its first buckets are dropped on the source"));
        }
        let columnstore = aggregate.columnstore.iter_mut();
        self.losses.extend(columnstore.flat_map(|settings| lose_sparse_indexes(settings, &name, means)));
        let jobs = std::mem::take(&mut aggregate.jobs);
        for job in jobs {
            match obstacle(&job, server, means) {
                None => aggregate.jobs.push(job),
                Some(reason) => {
                    let job = Aggregate { jobs: vec![job], ..aggregate.clone() };
                    let sql = create_jobs(&job, server).into_iter().map(|made| made.sql).collect();
                    let what = format!("{} of {name}", job.jobs[0].procedure.name);
                    self.losses.push(NotCarried::new("policy or job", what).because(reason).made_by(sql));
                }
            }
        }
        self.aggregates.push(aggregate);
    }

    fn keep_owner(&mut self, name: &QualifiedName, owner: &str, server: &Server, places: &ViewPlaces) {
        if owner == server.role {
            return;
        }
        match places.actable.iter().any(|role| role == owner) {
            true => self.owners.push(owner.to_string()),
            false => {
                let lost = NotCarried::new("owner", format!("{} of {name}", display_ident(owner)));
                self.losses.push(lost.because(format!("it will belong to {}", display_ident(&server.role))));
            }
        }
    }

    fn keep_grants(&mut self, name: &QualifiedName, grants: &mut Vec<Grant>, places: &ViewPlaces) {
        let is_there = |grant: &Grant| grant.grantee.as_ref().is_none_or(|role| places.roles.contains(role));
        let (there, lost) = std::mem::take(grants).into_iter().partition(is_there);
        *grants = there;
        let lose = |grant: Grant| {
            let made = privilege(&grant, "grant", "to", name);
            NotCarried::new("grant", made.title).because("the role is missing on the target").made_by(vec![made.sql])
        };
        self.losses.extend(Vec::into_iter(lost).map(lose));
    }

    /// Makes the aggregates, empty.
    pub fn create_aggregates(&self, names: Move<'_>) -> Vec<Statement> {
        let create = |aggregate: &Aggregate| {
            let create = create_aggregate(aggregate, names);
            self.owned(&aggregate.name, &aggregate.rights.owner, create)
        };
        self.aggregates.iter().flat_map(create).collect()
    }

    /// Fills the aggregates that are made. Each statement by itself: TimescaleDB refuses to refresh inside a transaction.
    pub fn fill(&self, server: &Server, is_made: impl Fn(&QualifiedName) -> bool) -> Vec<Statement> {
        let fill = |aggregate: &&Aggregate| is_made(&aggregate.name);
        let made = self.aggregates.iter().filter(fill);
        made.filter_map(|aggregate| refresh_one(aggregate, &aggregate.name, server)).collect()
    }

    /// Makes the views, with what they have beside their query.
    pub fn create_views(&self) -> Vec<Statement> {
        self.views.iter().flat_map(|view| view.making.clone()).collect()
    }

    /// Fills those that keep rows, in their order.
    pub fn fill_views(&self) -> Vec<Statement> {
        self.views.iter().flat_map(|view| view.filling.clone()).collect()
    }

    /// What that costs.
    pub fn costs(&self) -> impl Iterator<Item = &String> {
        self.views.iter().filter_map(|view| view.cost.as_ref())
    }

    /// Makes the jobs of the aggregates.
    pub fn create_jobs(&self, server: &Server) -> Vec<Statement> {
        self.aggregates.iter().flat_map(|aggregate| create_jobs(aggregate, server)).collect()
    }

    /// Without those that these steps have not made.
    pub fn made(mut self, steps: &[String]) -> Readers {
        let is_made = |title: String| steps.contains(&title);
        self.aggregates.retain(|aggregate| is_made(format!("create continuous aggregate {}", aggregate.name)));
        self.views.retain(|view| is_made(views::create_title(&view.name, view.materialized)));
        self
    }

    /// What they are called.
    pub fn names(&self) -> impl Iterator<Item = &QualifiedName> {
        self.aggregates.iter().map(|aggregate| &aggregate.name).chain(self.views.iter().map(|view| &view.name))
    }

    /// Drops them, the last first. What is gone already is no mistake.
    pub fn drop(&self) -> Vec<Statement> {
        let drop = |kind: &str, name: &QualifiedName| {
            Statement::new(format!("drop {name}"), format!("drop {kind} if exists {}", name.sql()))
        };
        let views = self.views.iter().rev().map(|view| drop(views::kind(view.materialized), &view.name));
        views.chain(self.aggregates.iter().rev().map(|made| drop("materialized view", &made.name))).collect()
    }

    /// TimescaleDB lets nobody but a superuser give an aggregate away: everybody else becomes its owner to make it.
    fn owned(&self, name: &QualifiedName, owner: &str, create: Statement) -> Vec<Statement> {
        if !self.owners.iter().any(|known| known == owner) {
            return vec![create];
        }
        if !self.gives_away {
            return vec![create.by(owner)];
        }
        let give = format!("alter materialized view {} owner to {}", name.sql(), quote_ident(owner));
        vec![create, Statement::new(format!("give {name} to {}", display_ident(owner)), give)]
    }
}

fn create_aggregate(aggregate: &Aggregate, names: Move<'_>) -> Statement {
    let source = if aggregate.source == *names.from { names.to } else { &aggregate.source };
    create_as(aggregate, &aggregate.name, source)
}

/// Why materialized views cannot be filled, where they would show more than they may: what holds for the owner, too, comes last.
fn why_unfilled(source: &Hypertable) -> Option<&'static str> {
    source.belongings.table.row_security_forced.then_some("row-level security that holds for its owner comes behind it")
}

fn create_jobs(aggregate: &Aggregate, server: &Server) -> Vec<Statement> {
    let axis_type = time_type(&aggregate.bucket_type).map_or("bigint", type_name);
    let host = Host { name: &aggregate.name, is_aggregate: true, read_of: aggregate.id, axis_type };
    jobs::create(&aggregate.jobs, host, server, str::to_string)
}

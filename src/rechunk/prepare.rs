//! The beginning of a job: the new table beside the old one, and from then on a mark for every change.

use std::collections::BTreeSet;

use super::contention::{Lock, LockMode};
use super::exchange::run;
use super::ground::Ground;
use super::plan::{JobPlan, request_json};
use super::planned::{Definition, Planned};
use super::report::RechunkReport;
use super::request::Change;
use super::shape::Shape;
use super::surroundings::Surroundings;
use super::work::{Run, Work};
use crate::catalog::read;
use crate::connect::Target;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::ident::{QualifiedName, quote_ident};
use crate::ledger::{self, JobId, JobState, NewJob, Origin, RECHUNK};
use crate::plan::{Buckets, Capture, Statement, aggregates, belongings, open, policies};
use crate::schema::{self, job_schema};

/// Makes the job and, in the same transaction, the new table.
pub(super) async fn begin<'a>(
    run: Run<'a>,
    ground: &'a Ground,
    change: &Change,
    planned: &Planned,
    report: &'a mut RechunkReport,
) -> Result<Work<'a>> {
    let (target, server, table) = (&ground.target, ground.server(), ground.name());
    let request = request_json(change)?;
    let job = NewJob {
        kind: RECHUNK,
        target: table,
        made_table: false,
        source: Origin { system: &server.system, database: &server.database, name: &table.sql() },
        request: &request,
        // It names the job, which has no number yet.
        plan: &serde_json::Value::Null,
        empties: false,
        is_rival: &|other| other.state != JobState::Finished,
    };
    report.job.has_begun = true;
    let mut plan = None;
    let claim = schema::begin_and(target, &[], &job, &[], async |claim| {
        let (made, statements) = new_table(ground, change, planned, claim.job)?;
        for statement in &statements {
            failpoint::hit("begin-before-statement");
            schema::run(target, statement).await?;
        }
        settle(ground, &made.beside()).await?;
        ledger::set_plan(target, claim, &made.json()?).await?;
        ledger::set_state(target, claim, JobState::Prepared).await?;
        plan = Some(made);
        Ok(())
    })
    .await?;
    let plan = plan.expect("a job that has begun has a plan");
    Work::open(run, ground, claim, plan, report).await
}

fn new_table(ground: &Ground, change: &Change, planned: &Planned, job: JobId) -> Result<(JobPlan, Vec<Statement>)> {
    let schema = job_schema(job);
    let beside = QualifiedName::new(&schema, &ground.name().name);
    let definition = planned.definition(ground, beside)?;
    let capture = capture(ground, planned, job);
    let create_schema =
        Statement::new(format!("create schema {schema}"), format!("create schema {}", quote_ident(&schema)));
    let mut statements = vec![create_schema];
    statements.extend(capture.make_marks());
    let Definition { before_rows, constraints, indexes } = definition;
    statements.extend(before_rows);
    let plan = JobPlan {
        table: ground.name().clone(),
        old_oid: ground.found.table.oid,
        layout: planned.layout.clone(),
        capture,
        constraints,
        indexes,
        shape: Shape::of(&ground.hypertable)?,
        policies: ground.surroundings.policies.clone(),
        recreates_aggregates: change.recreate_aggregates,
        aggregates: Vec::new(),
        verified: None,
        swapped: None,
    };
    Ok((plan, statements))
}

/// Gives the new, empty table what its chunks inherit, and keeps policies from working on the old one meanwhile.
async fn settle(ground: &Ground, beside: &QualifiedName) -> Result<()> {
    let target = &ground.target;
    let gone = || Error::internal(format!("{beside} is not there in the transaction that has made it"));
    let oid = read::resolve_exactly(target, beside).await?.ok_or_else(gone)?;
    let have = read::belongings(target, oid).await?;
    let Surroundings { belongings, policies, .. } = &ground.surroundings;
    let settings = belongings::settings(&have, belongings, beside);
    run(target, &lending_schema(&ground.server().role, &beside.schema, &[&ground.found.table.owner], settings)).await?;
    run(target, &policies::on_empty_table(policies, beside, ground.server())).await?;
    run(target, &policies::pause(policies, ground.server())).await
}

/// An owner has to have the right to create tables where its table is. Only for this moment: the function that notes
/// changes runs as the role that has made it, which may be a superuser. `us` is the role that owns the schema.
pub(super) fn lending_schema(us: &str, schema: &str, owners: &[&str], statements: Vec<Statement>) -> Vec<Statement> {
    let owners: BTreeSet<&str> = owners.iter().copied().filter(|owner| *owner != us).collect();
    let in_schema = quote_ident(schema);
    // What is in there is used by triggers on chunks, which TimescaleDB makes as the owner.
    let lend = owners.iter().map(|owner| {
        let sql = format!("grant usage, create on schema {in_schema} to {}", quote_ident(owner));
        Statement::new(format!("let {owner} create tables in {schema}"), sql)
    });
    let take_back = owners.iter().map(|owner| {
        let sql = format!("revoke create on schema {in_schema} from {}", quote_ident(owner));
        Statement::new(format!("keep {owner} from creating tables in {schema}"), sql)
    });
    lend.chain(statements).chain(take_back).collect()
}

/// How changes will be noted.
pub(super) fn capture(ground: &Ground, planned: &Planned, job: JobId) -> Capture {
    let (primary, hypertable) = (&planned.layout.primary, &ground.hypertable);
    let version = Version::of(ground.server().timescaledb.as_deref().unwrap_or_default());
    let by_row =
        ground.surroundings.policies.columnstore.is_some() || version.notes_by_row(ground.rights.has_dropped_columns);
    let keeps_columns = !by_row && version.crashes_of_dropped_columns();
    Capture {
        schema: job_schema(job),
        job: job.0,
        owner: ground.found.table.owner.clone(),
        buckets: Buckets { width: planned.bucket_width(ground), time_type: primary.time_type },
        column: primary.column.clone(),
        function: primary.function.clone(),
        functions: ground.server().functions_schema.clone(),
        by_row,
        kept_columns: hypertable.columns.iter().filter(|_| keeps_columns).map(|column| column.name.clone()).collect(),
    }
}

/// TimescaleDB's version, as numbers; none where it cannot be read.
struct Version(Vec<u32>);

impl Version {
    fn of(text: &str) -> Version {
        Version(text.split(['.', '-']).map_while(|part| part.parse().ok()).collect())
    }

    /// A columnstore excludes triggers on delete with transition tables, and without a row trigger whole segments are
    /// deleted unread. Transition tables came with 2.18.
    fn notes_by_row(&self, has_dropped_columns: bool) -> bool {
        self.0.as_slice() < &[2, 18] || (has_dropped_columns && self.crashes_of_dropped_columns())
    }

    /// A transition table ends the whole server where a column was dropped (TimescaleDB's pull requests 9615 and 9641), so
    /// that trying is no way to find out.
    fn crashes_of_dropped_columns(&self) -> bool {
        self.0.as_slice() < &[2, 26, 4]
    }
}

impl Work<'_> {
    /// Begins to note changes. When it is committed, every transaction that may have changed the table without leaving
    /// marks has ended.
    pub(super) async fn install_capture(&mut self) -> Result<()> {
        let control = &self.ground.target;
        self.supervision().progress.phase("beginning to note changes");
        self.plan = schema::durably(control, async || self.empty(control).await).await?;
        let table = &self.plan.table;
        let lock = Lock { only: true, ..self.lock(LockMode::ShareRowExclusive) };
        self.contention()
            .under_lock(control, "begin to note changes", &lock, async || {
                for statement in self.plan.capture.install(table, None) {
                    schema::run(control, &statement).await?;
                }
                ledger::set_state(control, self.claim, JobState::Copying).await?;
                failpoint::hit("capture-before-commit");
                Ok(())
            })
            .await?;
        failpoint::hit("capture-after-commit");
        Ok(())
    }

    /// What was copied before changes were noted is worth nothing, nor are aggregates over it. Answers the plan of a job that
    /// has just begun.
    async fn empty(&self, control: &Target) -> Result<JobPlan> {
        let (beside, marks) = (self.plan.beside(), self.plan.capture.marks());
        run(control, &aggregates::drop_new(&self.plan.aggregates)).await?;
        ledger::forget_tasks(control, self.claim.job).await?;
        let noted = ledger::noted_chunks(control, self.claim.job).await?;
        ledger::forget_chunks(control, self.claim.job, &noted).await?;
        // An undo has closed it, and has ended there.
        for statement in open(&beside, &self.plan.capture) {
            schema::run(control, &statement).await?;
        }
        let truncate =
            |table: &QualifiedName| Statement::new(format!("empty {table}"), format!("truncate {}", table.sql()));
        run(control, &[truncate(&beside), truncate(&marks)]).await?;
        let plan = JobPlan { aggregates: Vec::new(), verified: None, swapped: None, ..self.plan.clone() };
        ledger::set_plan(control, self.claim, &plan.json()?).await?;
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transition_tables_are_used_only_where_they_are_safe() {
        let by_row = |version: &str, has_dropped_columns| Version::of(version).notes_by_row(has_dropped_columns);
        assert!(by_row("2.17.2", false));
        assert!(!by_row("2.18.0", false));
        assert!(!by_row("2.19.3", false));
        assert!(by_row("2.19.3", true));
        assert!(by_row("2.26.3", true));
        assert!(!by_row("2.26.4", true));
        assert!(!by_row("2.31.0-dev", true));
        assert!(by_row("", false));
    }
}

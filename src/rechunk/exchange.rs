//! What the swap does to the two tables, and how it is undone.

use std::time::Instant;

use super::contention::{Contention, LockMode};
use super::plan::{JobPlan, Swapped};
use super::surroundings::Surroundings;
use super::work::Work;
use crate::catalog::read;
use crate::connect::Target;
use crate::error::{Error, Result};
use crate::ident::{QualifiedName, quote_ident};
use crate::ledger;
use crate::plan::aggregates::Exchange;
use crate::plan::belongings::Away;
use crate::plan::{Guard, Statement, aggregates, belongings, close, dependents, open, policies};
use crate::schema;

/// What is locked, and since when.
pub(super) struct Locked {
    /// What hangs on the table that leaves.
    pub(super) surroundings: Surroundings,
    /// In words.
    pub(super) what: Vec<String>,
    /// When the table was had.
    pub(super) since: Instant,
}

impl Work<'_> {
    /// Locks the table that has the name, what uses it and what refers to it, in the caller's transaction. None where
    /// somebody has changed what hangs on it meanwhile: it is to be begun again.
    pub(super) async fn lock_all(&self, contention: &Contention<'_>, oid: u32) -> Result<Option<Locked>> {
        let (control, table) = (self.control(), &self.plan.table);
        let server = self.ground.server();
        let before = Surroundings::read(control, server, oid, table).await?;
        for lock in before.locks() {
            schema::run(control, &lock).await?;
            contention.give_way(control).await?;
        }
        for other in before.locked_tables() {
            contention.take(control, &other, false, LockMode::AccessExclusive).await?;
        }
        contention.take(control, table, self.locks_root_only(), LockMode::AccessExclusive).await?;
        let since = Instant::now();
        let surroundings = Surroundings::read(control, server, oid, table).await?;
        let titles = |of: &Surroundings| of.locks().into_iter().map(|lock| lock.title).collect::<Vec<_>>();
        if titles(&before) != titles(&surroundings) || before.locked_tables() != surroundings.locked_tables() {
            return Ok(None);
        }
        let mut what = vec![format!("access exclusive on {table} and its chunks")];
        what.extend(surroundings.locked_tables().iter().map(|other| format!("access exclusive on {other}")));
        what.extend(surroundings.locks().into_iter().map(|lock| lock.title));
        Ok(Some(Locked { surroundings, what, since }))
    }

    /// The new table takes the old one's name and place; answers the plan from then on.
    pub(super) async fn exchange(&self, mut surroundings: Surroundings, aggregates: Vec<Exchange>) -> Result<JobPlan> {
        let (control, plan) = (self.control(), &self.plan);
        surroundings.reschedule(&plan.policies);
        let (table, beside) = (&plan.table, plan.beside());
        let transaction: String = control.row("select pg_catalog.pg_current_xact_id()::text", &[]).await?.get(0);
        let taken = names_in_schema(control, &table.schema).await?;
        let suffix = format!("_old_{}", self.claim.job.0);
        let away = Away::beside(&surroundings.belongings, table, &suffix, &taken);
        let guard = Guard { transaction };

        run(control, &policies::pause(&surroundings.policies, self.ground.server())).await?;
        run(control, &plan.capture.remove(table, None)).await?;
        run(control, &belongings::take_off(&surroundings.belongings, table)).await?;
        run(control, &away.leave()).await?;
        run(control, &[rename(table, &away.table), set_schema(&beside, table)]).await?;
        self.arrive(&surroundings, &away).await?;
        run(control, &aggregates::in_swap(&aggregates, self.ground.server())).await?;
        run(control, &close(&away.table, &plan.capture)).await?;
        run(control, &plan.capture.install(table, Some(&guard))).await?;
        let swapped = Swapped { guard, away, surroundings, is_dropping: false };
        Ok(JobPlan { swapped: Some(swapped), policies: plan.no_policies(), aggregates, ..plan.clone() })
    }

    /// The old table takes its name and place back; answers the plan from then on.
    pub(super) async fn exchange_back(&self, mut surroundings: Surroundings, swapped: &Swapped) -> Result<JobPlan> {
        let (control, plan, server) = (self.control(), &self.plan, self.ground.server());
        let (aggregates, dropped) = aggregates::before_undo(&plan.aggregates, &surroundings.aggregates)?;
        let (table, kept) = (&plan.table, &swapped.away.table);
        let away = Away::into_schema(&surroundings.belongings, table, &plan.capture.schema);
        run(control, &policies::pause(&surroundings.policies, server)).await?;
        run(control, &plan.capture.remove(table, Some(&swapped.guard))).await?;
        run(control, &open(kept, &plan.capture)).await?;
        run(control, &belongings::take_off(&surroundings.belongings, table)).await?;
        run(control, &away.leave()).await?;
        run(control, &[set_schema(table, &away.table), rename(kept, table)]).await?;
        run(control, &close(&away.table, &plan.capture)).await?;
        run(control, &swapped.away.come_back(server)).await?;
        self.leave_irreversible(&mut surroundings, table).await?;
        let steps = ledger::steps(control, self.claim.job).await?;
        surroundings.keep_paused(policies::still_paused(&swapped.surroundings.policies, &steps));
        self.arrive(&surroundings, &away).await?;
        run(control, &aggregates::in_undo(&aggregates, server)).await?;
        run(control, &aggregates::drop_old(&dropped)).await?;
        let swapped = Swapped { surroundings, ..swapped.clone() };
        Ok(JobPlan { swapped: Some(swapped), aggregates, ..plan.clone() })
    }

    /// What the old table cannot have again stays away from it, and is said.
    async fn leave_irreversible(&self, wanted: &mut Surroundings, table: &QualifiedName) -> Result<()> {
        let Some(row) = read::hypertable_row(self.control(), table).await? else { return Ok(()) };
        let chunks = read::chunks(self.control(), self.ground.server(), row.id).await?;
        let compressed = chunks.iter().any(|chunk| chunk.compressed);
        for lost in belongings::irreversible(&wanted.belongings, compressed) {
            self.supervision().progress.say(format!("{} {} is lost: {}", lost.kind, lost.object, lost.reason));
        }
        if compressed {
            wanted.belongings.foreign_keys.clear();
        }
        Ok(())
    }

    /// Gives the table that has the name now what hung on the one that went `away`.
    async fn arrive(&self, wanted: &Surroundings, away: &Away) -> Result<()> {
        let (control, table) = (self.control(), &self.plan.table);
        let gone = || Error::internal(format!("{table} is not there in the middle of the swap"));
        let oid = read::resolve_exactly(control, table).await?.ok_or_else(gone)?;
        let have = read::belongings(control, oid).await?;
        run(control, &belongings::put_on(&have, &wanted.belongings, table, away)).await?;
        run(control, &dependents::in_swap(&wanted.dependents)).await
    }
}

pub(super) async fn run(control: &Target, statements: &[Statement]) -> Result<()> {
    for statement in statements {
        schema::run(control, statement).await?;
    }
    Ok(())
}

async fn names_in_schema(control: &Target, schema: &str) -> Result<Vec<String>> {
    let sql = "select relname::text from pg_catalog.pg_class where relnamespace = to_regnamespace($1::text) \
               union select stxname::text from pg_catalog.pg_statistic_ext where stxnamespace = to_regnamespace($1::text)";
    Ok(control.rows(sql, &[&quote_ident(schema)]).await?.iter().map(|row| row.get(0)).collect())
}

fn rename(from: &QualifiedName, to: &QualifiedName) -> Statement {
    Statement::new(
        format!("rename {from} to {}", to.name),
        format!("alter table {} rename to {}", from.sql(), quote_ident(&to.name)),
    )
}

fn set_schema(from: &QualifiedName, to: &QualifiedName) -> Statement {
    Statement::new(
        format!("move {from} to schema {}", to.schema),
        format!("alter table {} set schema {}", from.sql(), quote_ident(&to.schema)),
    )
}

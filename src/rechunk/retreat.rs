//! The ways back: giving up before the swap, undoing it, and dropping the old table behind it.

use super::contention::{Lock, LockMode};
use super::exchange::run;
use super::plan::JobPlan;
use super::work::Work;
use crate::catalog::read;
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::ident::{QualifiedName, quote_ident};
use crate::ledger::{self, JobState};
use crate::plan::{Range, Statement, aggregates, policies};
use crate::schema;

/// Chunks that one transaction drops: each holds its locks until the commit.
const CHUNKS_AT_ONCE: usize = 50;

impl Work<'_> {
    /// Gives the job up: the old table is as it was, and nothing of ours is left.
    pub(super) async fn abort(&self) -> Result<()> {
        let control = self.control();
        let lock = Lock { only: true, ..self.lock(LockMode::AccessExclusive) };
        self.contention()
            .under_lock(control, "stop noting changes", &lock, async || {
                for statement in self.plan.capture.remove(&self.plan.table, None) {
                    schema::run(control, &statement).await?;
                }
                run(control, &policies::resume(&self.plan.policies, self.ground.server())).await?;
                // A run that goes on in spite of this begins anew.
                ledger::set_state(control, self.claim, JobState::Prepared).await?;
                failpoint::hit("abort-before-commit");
                Ok(())
            })
            .await?;
        failpoint::hit("abort-after-commit");
        self.forget().await
    }

    /// Gives the old table its name back, and drops the new one.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::error::Kind::Refused) where the new table was written since the swap, unless `force`.
    pub(super) async fn undo(&mut self, force: bool) -> Result<()> {
        let (control, plan) = (&self.ground.target, &self.plan);
        let Some(swapped) = &plan.swapped else { return Err(Error::internal("a swap without a plan")) };
        let kept = &swapped.away.table;
        if swapped.is_dropping {
            return Err(Error::refused(format!("{kept} is being dropped, and not whole any more"))
                .hint("There is no way back: run --drop-old again to its end."));
        }
        if !self.is_kept(kept).await? {
            return Err(Error::refused(format!("{kept} is not there any more"))
                .hint("There is no way back: run --drop-old to clear away what is left."));
        }
        self.finish_views(&swapped.surroundings.dependents).await?;
        if !force {
            self.accept_rewritten(kept).await?;
        }
        let (contention, new) = (self.contention(), self.ground.found.table.oid);
        let undone = contention
            .transaction(control, "undo the swap", &self.lock(LockMode::AccessExclusive), async || {
                let Some(locked) = self.lock_all(&contention, new).await? else { return Ok(None) };
                if !force {
                    self.refuse_later_changes().await?;
                }
                let plan = self.exchange_back(locked.surroundings, swapped).await?;
                ledger::forget_steps(control, self.claim.job).await?;
                ledger::move_jobs(control, new, &plan.table).await?;
                ledger::set_plan(control, self.claim, &plan.json()?).await?;
                ledger::set_state(control, self.claim, JobState::Prepared).await?;
                failpoint::hit("undo-before-commit");
                Ok(Some(plan))
            })
            .await?;
        failpoint::hit("undo-after-commit");
        let begun_again = || {
            let table = &self.plan.table;
            Error::new(Kind::Resumable, format!("what uses {table} was changed while it was locked"))
                .hint("Nothing was undone: run the same command again.")
        };
        self.plan = undone.ok_or_else(begun_again)?;
        self.end_undo().await
    }

    /// What follows when the names are back.
    pub(super) async fn end_undo(&self) -> Result<()> {
        self.follow_undo().await?;
        self.forget().await
    }

    async fn refuse_later_changes(&self) -> Result<()> {
        let control = self.control();
        let stale = self.stale(control).await?;
        let buckets = &self.plan.capture.buckets;
        let mut ranges: Vec<Range> =
            self.marked(control, Range::ALL).await?.into_iter().map(|run| buckets.range(run)).collect();
        ranges.extend(stale.ranges);
        let Some((first, more)) = ranges.split_first() else { return Ok(()) };
        let more = if more.is_empty() { String::new() } else { format!(", and in {} more ranges", more.len()) };
        Err(Error::refused(format!(
            "{} was changed since the swap in {}{more}",
            self.plan.table,
            first.display(self.plan.time_type())
        ))
        .hint("What was written there is not in the old table: --undo --force drops it."))
    }

    /// Drops the old table, chunk by chunk, and what was needed to go back to it.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::error::Kind::Refused) where nobody has compared the two tables before the swap.
    pub(super) async fn drop_old(&self) -> Result<()> {
        let (control, plan) = (self.control(), &self.plan);
        let Some(swapped) = &plan.swapped else { return Err(Error::internal("a swap without a plan")) };
        let kept = &swapped.away.table;
        let is_kept = self.is_kept(kept).await?;
        if is_kept && plan.verified.is_none() {
            return Err(Error::refused(format!("nobody has compared {} with {kept} before the swap", plan.table)).hint(
                format!(
                    "It ran with --verify none. Compare them with \"hypercopy verify {kept} --as {}\", drop {kept} yourself, and run the same command again.",
                    plan.table
                ),
            ));
        }
        self.follow_swap().await?;
        let lock = Lock { only: true, ..self.lock(LockMode::AccessExclusive) };
        self.contention()
            .under_lock(control, "stop noting changes", &lock, async || {
                for statement in plan.capture.remove(&plan.table, Some(&swapped.guard)) {
                    schema::run(control, &statement).await?;
                }
                let mut dropping: JobPlan = plan.clone();
                dropping.swapped.iter_mut().for_each(|swapped| swapped.is_dropping = true);
                ledger::set_plan(control, self.claim, &dropping.json()?).await
            })
            .await?;
        failpoint::hit("drop-after-capture");
        schema::durably(control, async || run(control, &aggregates::drop_old(&plan.aggregates)).await).await?;
        if is_kept {
            self.drop_chunks(kept).await?;
            schema::durably(control, async || run(control, &[drop_table(kept)]).await).await?;
        }
        schema::durably(control, async || run(control, &self.leftovers()).await).await?;
        failpoint::hit("drop-before-finish");
        Ok(())
    }

    /// Drops the new table, and the job with it.
    async fn forget(&self) -> Result<()> {
        let (control, beside) = (self.control(), self.plan.beside());
        schema::durably(control, async || run(control, &aggregates::drop_new(&self.plan.aggregates)).await).await?;
        self.drop_chunks(&beside).await?;
        schema::durably(control, async || {
            run(control, &[drop_table(&beside)]).await?;
            run(control, &self.leftovers()).await?;
            ledger::delete_job(control, self.claim.job).await
        })
        .await?;
        schema::drop_empty_ledger(control).await
    }

    /// Drops the chunks of a table of ours in short transactions.
    async fn drop_chunks(&self, table: &QualifiedName) -> Result<()> {
        let control = self.control();
        self.supervision().progress.phase(format!("dropping {table}"));
        let Some(row) = read::hypertable_row(control, table).await? else { return Ok(()) };
        let chunks = read::chunks(control, self.ground.server(), row.id).await?;
        for some in chunks.chunks(CHUNKS_AT_ONCE) {
            let names: Vec<String> = some.iter().map(|chunk| chunk.table().sql()).collect();
            let drop = Statement::new(format!("drop chunks of {table}"), format!("drop table {}", names.join(", ")));
            let _open = self.supervision().interrupt.open()?;
            schema::durably(control, async || schema::run(control, &drop).await).await?;
            failpoint::hit("drop-after-chunks");
        }
        Ok(())
    }

    /// What is dropped when neither table is in the job's schema any more.
    fn leftovers(&self) -> [Statement; 3] {
        let (schema, marks) = (&self.plan.capture.schema, self.plan.capture.marks());
        let in_schema = quote_ident(schema);
        [
            Statement::new("drop what closed the old table", format!("drop function if exists {in_schema}.refuse()")),
            Statement::new("drop the table of marks", format!("drop table if exists {}", marks.sql())),
            Statement::new(format!("drop schema {schema}"), format!("drop schema if exists {in_schema}")),
        ]
    }
}

fn drop_table(table: &QualifiedName) -> Statement {
    Statement::new(format!("drop table {table}"), format!("drop table if exists {}", table.sql()))
}

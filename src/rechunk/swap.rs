//! The swap: the new table takes the old one's name, when it holds all its rows.

use std::time::{Duration, Instant};

use super::contention::LockMode;
use super::plan::JobPlan;
use super::report::SwapReport;
use super::shape::Shape;
use super::work::Work;
use crate::catalog::read;
use crate::connect::Side;
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::ledger::{self, JobState, NotedChunk};
use crate::plan::{Range, aggregates};
use crate::verify::Mode;

/// More runs of buckets than these are not copied under the lock, as long as another pass outside may help.
const MOST_RUNS_UNDER_LOCK: usize = 64;
/// How often the lock is given back for another pass.
const MOST_RETREATS: usize = 5;
/// How often it is asked whether older transactions have ended.
const WAIT_PAUSE: Duration = Duration::from_millis(100);

/// What came of holding the lock.
enum Held {
    /// The tables have changed places.
    Swapped(Box<JobPlan>, SwapReport),
    /// There is too much to catch up with, or something has come between the locks.
    TooMuch,
}

impl Work<'_> {
    /// Swaps the two tables.
    ///
    /// # Errors
    /// [`Kind::Resumable`] where the lock is never had, or older transactions do not end.
    pub(super) async fn swap(&mut self) -> Result<()> {
        let start = Instant::now();
        self.await_older_transactions().await?;
        self.verify_again().await?;
        for retreat in 0.. {
            self.follow_aggregates().await?;
            self.catch_up().await?;
            self.supervision().progress.phase("swapping");
            match self.swap_under_lock(retreat >= MOST_RETREATS).await? {
                Held::TooMuch => {}
                Held::Swapped(plan, report) => {
                    failpoint::hit("swap-after-commit");
                    self.plan = *plan;
                    self.report().swap = Some(report);
                    self.phase("swap", start);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// What an earlier run has compared may have been written past the triggers since.
    async fn verify_again(&mut self) -> Result<()> {
        if self.report().verification.is_some() || self.run.request.verify == Mode::None {
            return Ok(());
        }
        self.catch_up().await?;
        self.verify().await?;
        self.plan.verified = Some(self.run.request.verify);
        Ok(())
    }

    /// Waits until no transaction is open that was there when the last rows of the first copy were committed: it would see
    /// the new table without them.
    async fn await_older_transactions(&self) -> Result<()> {
        let (control, limit, start) = (self.control(), self.run.request.swap_wait, Instant::now());
        let progress = &self.supervision().progress;
        let ours = self.supervision().pids(Side::Target);
        let sql = include_str!("sql/transactions.sql");
        let mut older = control.rows(sql, &[&ours]).await?;
        let mut said = false;
        while let Some(first) = older.first() {
            let (pid, name): (i32, &str) = (first.get(1), first.get(2));
            let whom = format!("backend {pid} ({name})");
            if start.elapsed() > limit {
                return Err(Error::new(
                    Kind::Resumable,
                    format!(
                        "{} transactions that are older than the copy are still open, the first one of {whom}: they would see {} empty",
                        older.len(),
                        self.plan.table
                    ),
                )
                .given_up()
                .hint("All rows are copied and changes are followed: run the same command again when they have ended, or with a longer --swap-wait."));
            }
            if !std::mem::replace(&mut said, true) {
                progress.say(format!("the swap waits for {} older transactions, the first one of {whom}", older.len()));
            }
            tokio::select! {
                () = tokio::time::sleep(WAIT_PAUSE) => {}
                stopped = self.supervision().interrupt.requested() => return Err(stopped),
            }
            let now = control.rows(sql, &[&ours]).await?;
            let is_open =
                |then: &tokio_postgres::Row| now.iter().any(|now| now.get::<_, &str>(0) == then.get::<_, &str>(0));
            older.retain(is_open);
        }
        Ok(())
    }

    async fn swap_under_lock(&self, whatever_it_takes: bool) -> Result<Held> {
        let contention = self.contention();
        let (control, old) = (self.control(), self.plan.old_oid);
        contention
            .transaction(control, "swap", &self.lock(LockMode::AccessExclusive), async || {
                let Some(locked) = self.lock_all(&contention, old).await? else { return Ok(Held::TooMuch) };
                let now = Shape::read(control, old).await?;
                self.plan.shape.refuse_altered(&self.plan.table, &now)?;
                let now = &locked.surroundings.aggregates;
                let Some(aggregates) = aggregates::before_swap(&self.plan.aggregates, now) else {
                    return Ok(Held::TooMuch);
                };
                self.mark_stale(control).await?;
                let runs = self.marked(control, Range::ALL).await?;
                if runs.len() > MOST_RUNS_UNDER_LOCK && !whatever_it_takes {
                    return Ok(Held::TooMuch);
                }
                let start = Instant::now();
                for run in &runs {
                    self.copy_again(control, *run).await?;
                }
                let caught_up = start.elapsed();
                let plan = self.exchange(locked.surroundings, aggregates).await?;
                self.note_new_chunks(&plan).await?;
                ledger::forget_steps(control, self.claim.job).await?;
                ledger::move_jobs(control, plan.old_oid, &plan.table).await?;
                ledger::set_plan(control, self.claim, &plan.json()?).await?;
                ledger::set_state(control, self.claim, JobState::Swapped).await?;
                failpoint::hit("swap-before-commit");
                let report = SwapReport {
                    locked: locked.what,
                    locked_seconds: locked.since.elapsed().as_secs_f64(),
                    caught_up_seconds: caught_up.as_secs_f64(),
                    ranges: runs.len(),
                };
                Ok(Held::Swapped(Box::new(plan), report))
            })
            .await
    }

    /// From here on it is the new table's chunks that nobody else may drop or truncate unseen, until the old one is dropped.
    async fn note_new_chunks(&self, plan: &JobPlan) -> Result<()> {
        let control = self.control();
        let noted = ledger::noted_chunks(control, self.claim.job).await?;
        ledger::forget_chunks(control, self.claim.job, &noted).await?;
        let gone = || Error::internal(format!("{} is no hypertable any more", plan.table));
        let row = read::hypertable_row(control, &plan.table).await?.ok_or_else(gone)?;
        let chunks = read::chunk_files(control, self.ground.server(), row.id, None, None).await?;
        let noted: Vec<NotedChunk> = chunks.into_iter().map(|chunk| NotedChunk { range: Range::ALL, chunk }).collect();
        ledger::note_chunks(control, self.claim.job, &noted).await
    }
}

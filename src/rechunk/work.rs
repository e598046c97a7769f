//! One run of a job: its sessions, its claim, and the transactions that it works in.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio_postgres::error::SqlState;

use super::contention::{Contention, Lock, LockMode};
use super::ground::{Ground, role};
use super::plan::JobPlan;
use super::report::RechunkReport;
use super::request::Request;
use crate::connect::{Sessions, Target};
use crate::error::{Error, Result};
use crate::ledger::{self, Claim, Job, JobState};
use crate::plan::{Wire, column_list};
use crate::report::Verification;
use crate::retry::Patience;
use crate::schema::{self, Finisher, Words};
use crate::supervision::Supervision;
use crate::takeover;
use crate::throttle::Throttle;
use crate::verify::Difference;

/// Who is served, and what they have asked for.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) request: &'a Request,
    pub(super) supervision: &'a Supervision,
}

/// A run that owns its job.
pub(super) struct Work<'a> {
    pub(super) run: Run<'a>,
    pub(super) ground: &'a Ground,
    pub(super) claim: Claim,
    pub(super) plan: JobPlan,
    /// The workers' sessions.
    pub(super) sessions: Sessions,
    /// The copied columns, quoted.
    pub(super) columns: String,
    /// How rows are compared.
    pub(super) wire: Wire,
    pub(super) throttle: Throttle,
    report: Mutex<&'a mut RechunkReport>,
}

impl<'a> Work<'a> {
    /// Opens the workers' sessions for a job that is this run's.
    pub(super) async fn open(
        run: Run<'a>,
        ground: &'a Ground,
        claim: Claim,
        plan: JobPlan,
        report: &'a mut RechunkReport,
    ) -> Result<Work<'a>> {
        let mut workers = Vec::new();
        for number in 1..=run.request.jobs {
            let name = format!("{} worker {number}", role(&plan.table));
            let worker = Target::open(&run.request.database, &name).await?;
            run.supervision.watch(&worker);
            workers.push(worker);
        }
        let backends: Vec<_> =
            workers.iter().chain([&ground.target]).map(|session| session.backend().clone()).collect();
        schema::durably(&ground.target, async || {
            ledger::hold(&ground.target, claim).await?;
            ledger::insert_backends(&ground.target, claim.job, &backends).await
        })
        .await?;
        report.job.id = Some(claim.job);
        report.job.has_begun = true;
        Ok(Work {
            run,
            ground,
            claim,
            plan,
            sessions: Sessions::new(workers),
            columns: column_list(&ground.hypertable),
            wire: Wire::of(&ground.hypertable, |_| None),
            throttle: Throttle::new(run.request.max_rate),
            report: Mutex::new(report),
        })
    }

    /// Makes this the only run of a job that is there, and opens its sessions.
    pub(super) async fn take_over(
        run: Run<'a>,
        ground: &'a Ground,
        job: &Job,
        report: &'a mut RechunkReport,
    ) -> Result<Work<'a>> {
        report.job.id = Some(job.id);
        report.job.has_begun = true;
        let claim = takeover::take_over(&ground.target, None, job).await?;
        Work::open(run, ground, claim, JobPlan::of(job)?, report).await
    }

    pub(super) fn supervision(&self) -> &'a Supervision {
        self.run.supervision
    }

    pub(super) fn report(&self) -> MutexGuard<'_, &'a mut RechunkReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a phase that began at `start` and ends now.
    pub(super) fn phase(&self, name: &'static str, start: Instant) {
        self.report().run.phase(name, start);
    }

    pub(super) fn report_verification(&self, ranges: usize, differences: &[Difference]) {
        let (mode, time_type) = (self.run.request.verify, self.plan.time_type());
        self.report().verification = Some(Verification::of(mode, ranges, differences, time_type));
    }

    /// Does `work` in a transaction of one snapshot, which is taken behind a lock on the old table: it is not older than a
    /// DROP or TRUNCATE that was let through. What was in the way of others, or of a chunk that vanished, is done again.
    pub(super) async fn under_one_snapshot<T>(&self, target: &Target, work: impl AsyncFn() -> Result<T>) -> Result<T> {
        let supervision = self.supervision();
        let mut patience = Patience::new(self.run.request.retry_for);
        loop {
            let error = match self.attempt(target, &work).await {
                Err(error) if is_overtaken(&error) => error.retryable(),
                ended => return ended,
            };
            patience.wait(error, &supervision.progress, &supervision.interrupt).await?;
        }
    }

    async fn attempt<T>(&self, target: &Target, work: &impl AsyncFn() -> Result<T>) -> Result<T> {
        let _open = self.supervision().interrupt.open()?;
        let only = if self.locks_root_only() { "only " } else { "" };
        // A commit that is lost is lost with the marks it has taken, and with its row in the ledger.
        let begin = format!(
            "begin isolation level repeatable read read write; set local synchronous_commit = off; \
             lock table {only}{} in access share mode",
            self.plan.table.sql()
        );
        schema::transaction(target, &begin, work).await
    }

    /// Whether the lock table is too small for all workers to lock all chunks.
    pub(super) fn locks_root_only(&self) -> bool {
        let relations = self.ground.chunks as u64 + 1;
        (self.run.request.jobs as u64 + 1) * relations > self.ground.server().lock_table / 4
    }

    /// How locks are asked for that keep others waiting.
    pub(super) fn contention(&self) -> Contention<'_> {
        Contention {
            lock_timeout: self.run.request.lock_timeout,
            patience: self.run.request.retry_for,
            progress: &self.supervision().progress,
            interrupt: &self.supervision().interrupt,
        }
    }

    /// A lock on the table that has the name, and on its chunks where that is not too many locks at once.
    pub(super) fn lock(&self, mode: LockMode) -> Lock<'_> {
        Lock { table: &self.plan.table, oid: self.ground.found.table.oid, only: self.locks_root_only(), mode }
    }

    /// Runs statements behind the rows.
    pub(super) fn finisher(&self) -> Finisher<'_> {
        let (interrupt, progress) = (&self.supervision().interrupt, &*self.supervision().progress);
        Finisher { sessions: &self.sessions, claim: self.claim, words: Words::Own, interrupt, progress }
    }

    /// Moves the job on.
    pub(super) async fn set_state(&self, state: JobState) -> Result<()> {
        let target = &self.ground.target;
        schema::durably(target, async || ledger::set_state(target, self.claim, state).await).await
    }

    /// The session that holds the job's lock.
    pub(super) fn control(&self) -> &Target {
        &self.ground.target
    }
}

/// What another transaction, or DDL, was in the way of.
fn is_overtaken(error: &Error) -> bool {
    const OVERTAKEN: [SqlState; 4] = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::UNDEFINED_TABLE,
    ];
    matches!(error.sqlstate(), Some(state) if OVERTAKEN.contains(state))
}

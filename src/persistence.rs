//! A run that fails in a way that may pass begins anew, as a resumed one, in the same process.
//!
//! **Invariant:** knows of a run only what it reports of its job, and of an error only whether it may pass.

use std::time::Duration;

use tokio_postgres::error::SqlState;

use crate::connect::{Conninfo, Side};
use crate::error::{Error, Kind, Result};
use crate::report::JobRun;
use crate::retry::Patience;
use crate::supervision::Supervision;

/// One attempt at a job; the next one finds in the ledger what this one has done.
pub(crate) trait Attempt {
    /// What a run tells, of all its attempts.
    type Report;

    /// What the report says of the job.
    fn job(report: &mut Self::Report) -> &mut JobRun;

    /// Does what is left to do.
    async fn attempt(&mut self, supervision: &Supervision, report: &mut Self::Report) -> Result<()>;
}

/// How a job is held on to.
pub(crate) struct Persistence<'a> {
    /// Who is served, and which sessions there are.
    pub(crate) supervision: &'a Supervision,
    /// The servers on which an attempt may leave sessions behind.
    pub(crate) ends: &'a [(Side, &'a Conninfo)],
    /// How long what may pass is tried again.
    pub(crate) retry_for: Duration,
    /// What completes the name of the sessions that end those that were left behind.
    pub(crate) role: &'a str,
}

impl Persistence<'_> {
    /// Attempts it until it is done.
    ///
    /// # Errors
    /// That of an attempt that no other one would mend, or before which nothing was written; [`Kind::Resumable`] where
    /// the time is over.
    pub(crate) async fn run<A: Attempt>(&self, attempt: &mut A, report: &mut A::Report) -> Result<()> {
        let supervision = self.supervision;
        let mut patience = Patience::new(self.retry_for);
        loop {
            let successes = supervision.progress.successes();
            let Err(error) = attempt.attempt(supervision, report).await else { return Ok(()) };
            // Before the job has begun nothing is lost by failing at once.
            if !A::job(report).has_begun {
                supervision.cancel_all().await;
                return Err(error);
            }
            supervision.end_all(self.ends, self.role).await;
            if supervision.progress.successes() > successes {
                patience.restore();
            }
            patience.wait(full_disk(error), &supervision.progress, &supervision.interrupt).await?;
            A::job(report).attempts += 1;
        }
    }
}

/// A disk that is full does not empty itself.
fn full_disk(error: Error) -> Error {
    match error.sqlstate() {
        Some(state) if *state == SqlState::DISK_FULL => {
            error.with_kind(Kind::Resumable).hint("Make room on that server's disk.")
        }
        _ => error,
    }
}

//! How a run makes a job its own: it takes the job's lock, ends what earlier runs have left at work, and waits for its end.
//!
//! **Invariant:** when it is done no other run can write for the job, whether it is alive or only thought dead.

use std::time::{Duration, Instant};

use crate::connect::{Backend, Conninfo, Session, Target};
use crate::error::{Error, Kind, Result};
use crate::ledger::{self, Claim, Job};
use crate::schema;

/// How long the session of an engine that was killed may take to notice it.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// Takes the job's lock, and answers the job as whoever had it has left it.
///
/// # Errors
/// [`Kind::Held`] where another run has it.
pub(crate) async fn lock(target: &Target, job: &Job) -> Result<Job> {
    let start = Instant::now();
    while let Some(holder) = ledger::lock(target, job.id).await? {
        if start.elapsed() > LOCK_PATIENCE {
            return Err(Error::new(
                Kind::Held,
                format!("job {} is being worked on by another run (backend {} of the target)", job.id.0, holder.pid),
            )
            .hint(format!(
                "\"hypercopy jobs show {}\" says how far it is. If its engine is gone for good, run \"select pg_terminate_backend({})\" on the target.",
                job.id.0, holder.pid
            )));
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    let gone = || Error::new(Kind::Held, format!("job {} was forgotten by another run meanwhile", job.id.0));
    ledger::jobs(target).await?.into_iter().find(|found| found.id == job.id).ok_or_else(gone)
}

/// Makes this, which has the job's lock, its only run. `source` is a session on the source, where the job has one.
pub(crate) async fn take_over(target: &Target, source: Option<&Session>, job: &Job) -> Result<Claim> {
    end_earlier_runs(target, source, job).await?;
    let claim = schema::durably(target, async || ledger::claim(target, job.id).await).await?;
    // Again: an engine that was only stopped opens new sessions in their place, and may have taken a task in them before
    // the claim.
    end_earlier_runs(target, source, job).await?;
    let forget = async || {
        ledger::await_earlier_runs(target, job.id).await?;
        ledger::forget_backends(target, job.id).await
    };
    schema::durably(target, forget).await?;
    Ok(claim)
}

/// Ends the sessions of the job's earlier runs.
pub(crate) async fn end_earlier_runs(target: &Target, source: Option<&Session>, job: &Job) -> Result<()> {
    let backends = ledger::backends(target, job.id).await?;
    ledger::end_backends(target, &backends).await?;
    match source {
        Some(source) => ledger::end_backends(source, &backends).await,
        None => Ok(()),
    }
}

/// Opens a session in the place of those that were lost, after ending them.
pub(crate) async fn open_again(conninfo: &Conninfo, role: &str, lost: &[Backend]) -> Result<Target> {
    let target = Target::open(conninfo, role).await?;
    refuse_standby(&target).await?;
    ledger::end_backends(&target, lost).await?;
    Ok(target)
}

/// Where a target fails over, its address may lead to a standby for a while, whose ledger may lag behind.
async fn refuse_standby(target: &Target) -> Result<()> {
    match target.row("select pg_catalog.pg_is_in_recovery()", &[]).await?.get(0) {
        false => Ok(()),
        true => Err(Error::new(Kind::Target, "the target is in recovery").retryable()),
    }
}

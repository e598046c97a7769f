//! What the ledger knows of the same import: nothing, a part of it, or all of it.

use super::blocking;
use super::identity::Identity;
use super::look::Ground;
use crate::error::{Error, Result};
use crate::ledger::{self, Claim, DoneBlock, IMPORT, Job, JobState, RECHUNK};
use crate::reader::csv::cut::Opened;
use crate::reader::csv::preamble::shown;
use crate::takeover;

/// What a run begins with.
pub(super) enum Standing {
    /// Nothing is there.
    New,
    /// A job goes on, and these blocks are in. Without a claim it is only looked at.
    Unfinished { job: Box<Job>, claim: Option<Claim>, done: Vec<DoneBlock> },
    /// All is in.
    Finished { job: Box<Job> },
    /// A stream begins as one did that is in: it has to be read to tell whether it is the same.
    Alike { job: Box<Job>, done: Vec<DoneBlock> },
}

impl Standing {
    /// Looks, and takes over the job that it finds, unless only a plan is wanted.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::error::Kind::Refused) where a job on the same files was asked for otherwise.
    pub(super) async fn find(
        ground: &Ground,
        identity: &Identity,
        opened: Opened,
        dry_run: bool,
    ) -> Result<(Standing, Opened)> {
        let target = &ground.target;
        let Some(existing) = &ground.existing else { return Ok((Standing::New, opened)) };
        let (mut unfinished, mut emptied) = (None, None);
        let mut finished = Vec::new();
        for job in ledger::jobs(target).await? {
            if job.target_oid != existing.table.oid {
                continue;
            }
            if job.kind != IMPORT {
                refuse_unfinished_copy(&job)?;
                continue;
            }
            let then = Identity::of(&job)?;
            match job.state == JobState::Finished {
                true if then.is_same(identity) => finished.push(job),
                true => refuse_partly_imported(&job, &then, identity)?,
                false if then.is_same(identity) => unfinished = Some(job),
                false if then.is_akin(identity) => return Err(asked_otherwise(&job, &then, identity)),
                false if identity.truncates() => emptied = Some(job),
                false => {}
            }
        }
        if let (None, None, Some(other)) = (&unfinished, finished.last(), &emptied) {
            return Err(would_be_emptied(other));
        }
        match (unfinished, finished.pop()) {
            (Some(job), _) => Ok((go_on(ground, job, dry_run).await?, opened)),
            (None, None) => Ok((Standing::New, opened)),
            (None, Some(job)) if !identity.has_streams() => Ok((Standing::Finished { job: Box::new(job) }, opened)),
            (None, Some(job)) => {
                finished.push(job);
                alike(ground, finished, opened).await
            }
        }
    }
}

async fn go_on(ground: &Ground, job: Job, dry_run: bool) -> Result<Standing> {
    let target = &ground.target;
    if dry_run {
        let done = ledger::done_blocks(target, job.id).await?;
        return Ok(Standing::Unfinished { job: Box::new(job), claim: None, done });
    }
    let job = Box::new(takeover::lock(target, &job).await?);
    if job.state == JobState::Finished {
        return Ok(Standing::Finished { job });
    }
    let claim = Some(takeover::take_over(target, None, &job).await?);
    let done = ledger::done_blocks(target, job.id).await?;
    Ok(Standing::Unfinished { job, claim, done })
}

/// Whether the stream begins with the first block of one that is in.
async fn alike(ground: &Ground, jobs: Vec<Job>, mut opened: Opened) -> Result<(Standing, Opened)> {
    for job in jobs.into_iter().rev() {
        let done = ledger::done_blocks(&ground.target, job.id).await?;
        let first = done.first().map(|first| first.stretch.clone());
        let is_alike;
        (opened, is_alike) = blocking(move || {
            let is_alike = match first {
                Some(first) => opened.holds(&first)?,
                // An empty stream is as empty as another one.
                None => opened.holds_nothing(),
            };
            Ok((opened, is_alike))
        })
        .await?;
        let job = Box::new(job);
        match (is_alike, done.is_empty()) {
            (false, _) => {}
            (true, true) => return Ok((Standing::Finished { job }, opened)),
            (true, false) => return Ok((Standing::Alike { job, done }, opened)),
        }
    }
    Ok((Standing::New, opened))
}

/// Whether a job that has begun on the table since the look is in the way of a new import. Imports go side by side, as
/// long as the files are others and none takes the other's rows away.
pub(super) fn is_rival(ground: &Ground, identity: &Identity, other: &Job) -> bool {
    let is_unfinished = other.state != JobState::Finished;
    if other.kind != IMPORT {
        return is_unfinished && other.kind != RECHUNK;
    }
    let is_akin = |then: Identity| then.is_same(identity) || then.is_akin(identity);
    (other.id.0 > ground.latest_job.0 && Identity::of(other).is_ok_and(is_akin))
        || (is_unfinished && identity.truncates())
}

/// A migration or a repair that goes on compares what stands in its ranges, and rows of others would stop it. A rechunk
/// follows whatever is written.
fn refuse_unfinished_copy(job: &Job) -> Result<()> {
    match job.state == JobState::Finished || job.kind == RECHUNK {
        true => Ok(()),
        false => Err(Error::refused(format!(
            "job {} ({}) on {} is unfinished, and would stop at rows that it has not copied",
            job.id.0, job.kind, job.target_name
        ))
        .hint(format!(
            "Run its command again until it is finished, then import; \"hypercopy jobs show {}\" says what it copies.",
            job.id.0
        ))),
    }
}

/// Part of the files is in, and part of them is not. Where the table is emptied first, nothing of them will be.
fn refuse_partly_imported(job: &Job, then: &Identity, now: &Identity) -> Result<()> {
    let shared = now.shared_files(then);
    if shared.is_empty() || now.truncates() {
        return Ok(());
    }
    let how = match (then.limit(), then.limit() == now.limit()) {
        (Some(limit), false) => format!("with --limit {limit}"),
        (None, false) => "without --limit".to_string(),
        (_, true) => "together with other files than these".to_string(),
    };
    Err(Error::refused(format!(
        "job {} has imported {} into {} at {}, {how}",
        job.id.0,
        shared.join(", "),
        job.target_name,
        job.finished_at.as_deref().unwrap_or_default()
    ))
    .hint("Leave out what is in already; or import all of it, a second time, with --import-id."))
}

/// Rows that the ledger calls imported would be gone.
fn would_be_emptied(other: &Job) -> Error {
    let id = other.id.0;
    Error::refused(format!(
        "--truncate would take away the rows of job {id} on {}, which is unfinished",
        other.target_name
    ))
    .hint(format!(
        "Run the command of that import again to finish it, or forget it with \"hypercopy jobs clean {id}\"."
    ))
}

fn asked_otherwise(job: &Job, then: &Identity, now: &Identity) -> Error {
    Error::refused(format!(
        "job {} on {} has imported a part of {} and was asked for otherwise: {}",
        job.id.0,
        job.target_name,
        shown(&then.describe_files()),
        then.differences(now).join("; ")
    ))
    .hint(format!(
        "Run the command as it was to go on; or begin another import of the same name with --import-id, or forget this \
         one, whose rows stay, with \"hypercopy jobs clean {}\".",
        job.id.0
    ))
}

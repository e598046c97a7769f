//! What the ledger of a target holds: for `jobs`.
//!
//! **Invariant:** reads, except for [`clean`], which forgets a job and touches no table of users.

use serde::Serialize;

use crate::catalog::read;
use crate::connect::{Conninfo, Target};
use crate::error::{Error, Kind, Result};
use crate::ledger::{self, Claim, DoneBlock, DoneTask, Holder, IMPORT, Job, JobId, JobState, RECHUNK, REPAIR};
use crate::schema;
use crate::{import, migrate, rechunk};

/// A job, and who works on it.
#[derive(Debug, Serialize)]
pub struct JobReport {
    /// The job.
    #[serde(flatten)]
    pub job: Job,
    /// The backend of the run that is at it now.
    pub running: Option<i32>,
}

impl JobReport {
    /// Where it stands, in words.
    pub fn standing(&self) -> &'static str {
        match (self.job.state, self.running, self.job.has_table) {
            (_, _, false) => "table dropped",
            (JobState::Finished, ..) => "finished",
            (state @ (JobState::Ready | JobState::Swapped), ..) => state.name(),
            (state, Some(_), _) => state.name(),
            (JobState::Prepared | JobState::Copying | JobState::Finalizing, None, _) => "unfinished",
        }
    }
}

/// A job with all that is done of it.
#[derive(Debug, Serialize)]
pub struct JobDetails {
    /// The job.
    #[serde(flatten)]
    pub report: JobReport,
    /// Its tasks along the axis.
    pub done: Vec<TaskReport>,
    /// Statements behind the rows that have been run.
    pub steps: Vec<String>,
}

/// A task that is done.
#[derive(Debug, Serialize)]
pub struct TaskReport {
    /// Its number.
    pub task: i32,
    /// Its range of the primary dimension.
    pub range: String,
    /// Rows.
    pub rows: u64,
    /// Bytes of COPY data.
    pub bytes: u64,
}

const ROLE: &str = "jobs";

/// All jobs of a target, in the order in which they began.
///
/// # Errors
/// [`Kind::Target`] where the server says no.
pub async fn list(conninfo: &Conninfo) -> Result<Vec<JobReport>> {
    let target = Target::open(conninfo, ROLE).await?;
    let mut reports = Vec::new();
    for job in ledger::jobs(&target).await? {
        reports.push(report(&target, job).await?);
    }
    Ok(reports)
}

/// One job.
///
/// # Errors
/// [`Kind::Refused`] where there is none of this number.
pub async fn show(conninfo: &Conninfo, id: JobId) -> Result<JobDetails> {
    let target = Target::open(conninfo, ROLE).await?;
    let job = find(&target, id).await?;
    let done = match job.kind == IMPORT {
        true => done_blocks(&target, id).await?,
        false => done_tasks(&target, &job).await?,
    };
    Ok(JobDetails { done, steps: ledger::steps(&target, id).await?, report: report(&target, job).await? })
}

async fn done_tasks(target: &Target, job: &Job) -> Result<Vec<TaskReport>> {
    let time_type = match job.kind == RECHUNK {
        true => rechunk::JobPlan::of(job)?.time_type(),
        false => migrate::JobPlan::of(job)?.time_type,
    };
    let task = |done: &DoneTask| TaskReport {
        task: done.id,
        range: done.range.display(time_type),
        rows: done.rows,
        bytes: done.bytes,
    };
    Ok(ledger::done_tasks(target, job.id).await?.iter().map(task).collect())
}

async fn done_blocks(target: &Target, job: JobId) -> Result<Vec<TaskReport>> {
    let done = ledger::done_blocks(target, job).await?;
    let block = |(task, done): (i32, &DoneBlock)| TaskReport {
        task,
        range: format!("file {}, bytes {} to {}", done.stretch.file, done.stretch.from, done.stretch.until),
        rows: done.rows,
        bytes: done.stretch.until - done.stretch.from,
    };
    Ok((1..).zip(&done).map(block).collect())
}

/// Forgets a job that has nothing more to do: it is finished, or its table is gone; or an import, whose rows stay. Indexes
/// that an import has dropped and not built yet are built first. The ledger goes with its last job, where the role may
/// drop it.
///
/// # Errors
/// [`Kind::Refused`] for a job that could be resumed, and where there is none of this number; [`Kind::Held`] where a run
/// is at it.
pub async fn clean(conninfo: &Conninfo, id: JobId) -> Result<Job> {
    let target = Target::open(conninfo, ROLE).await?;
    let job = find(&target, id).await?;
    if let Some(Holder { pid }) = ledger::lock(&target, id).await? {
        return Err(Error::new(Kind::Held, format!("job {} is being worked on (backend {pid} of the target)", id.0))
            .hint("Stop that run first, by SIGINT to its engine."));
    }
    if job.kind == IMPORT && job.state != JobState::Finished && job.has_table {
        build_indexes(&target, &job).await?;
    }
    if job.kind == RECHUNK && job.state != JobState::Finished && job.has_table {
        return Err(Error::refused(format!("job {} on {} is {}", id.0, job.target_name, job.state.name())).hint(
            "A rechunk is ended by \"hypercopy rechunk\": --abort before the swap, --undo or --drop-old behind it.",
        ));
    }
    // A repair has nothing that it could go on with, and an import nothing that would be half done.
    if job.state != JobState::Finished && job.has_table && ![REPAIR, IMPORT].contains(&job.kind.as_str()) {
        return Err(Error::refused(format!("job {} on {} is unfinished", id.0, job.target_name)).hint(
            "Without its row in the ledger it could not be resumed. Finish it, or run its command with --restart, or drop its table first.",
        ));
    }
    schema::durably(&target, async || {
        if job.kind == RECHUNK {
            schema::drop_job_schema(&target, id).await?;
        }
        ledger::delete_job(&target, id).await
    })
    .await?;
    schema::drop_empty_ledger(&target).await?;
    Ok(job)
}

/// What would be lost with the job's row.
async fn build_indexes(target: &Target, job: &Job) -> Result<()> {
    let built = ledger::steps(target, job.id).await?;
    let plan = import::JobPlan::of(job)?;
    for index in plan.indexes.iter().filter(|index| !built.contains(&index.title)) {
        let claim = Claim { job: job.id, run: job.run };
        let build = async || {
            ledger::insert_step(target, claim, &index.title).await?;
            schema::run(target, index).await
        };
        schema::durably(target, build).await?;
    }
    Ok(())
}

/// Whether a job has made this table of the target, as the role resolves its name.
///
/// # Errors
/// [`Kind::Target`] where the server says no.
pub async fn has_made(conninfo: &Conninfo, table: &str) -> Result<bool> {
    let target = Target::open(conninfo, ROLE).await?;
    let oid = read::resolve(&target, table).await?;
    Ok(ledger::jobs(&target).await?.iter().any(|job| job.made_table && Some(job.target_oid) == oid))
}

async fn find(target: &Target, id: JobId) -> Result<Job> {
    let jobs = ledger::jobs(target).await?;
    jobs.into_iter().find(|job| job.id == id).ok_or_else(|| {
        Error::refused(format!("there is no job {} at {}", id.0, target.endpoint()))
            .hint("\"hypercopy jobs\" lists them; each target has a ledger of its own.")
    })
}

async fn report(target: &Target, job: Job) -> Result<JobReport> {
    let running = ledger::holder(target, job.id).await?.map(|holder| holder.pid);
    Ok(JobReport { job, running })
}

//! What is done: the tables of schema `_hypercopy` in the target.
//!
//! A task's row and its rows of data are one transaction, so that done is what the ledger says, whatever died in
//! between. The row is inserted first: a second attempt at the same task waits on its key, and then finds it done.
//!
//! A job belongs to one run of the engine at a time. Runs are told apart by a session lock ([`lock`]) while they live,
//! and by a number ([`Claim`]) that every task's row is checked against, so that a run that was thought dead cannot
//! write any more.
//!
//! **Invariant:** writes only inside the caller's transaction, and begins and commits none itself.

mod backend;
mod block;
mod chunk;
mod job;
mod task;

pub use backend::{backends, end_backends, forget_backends, insert_backends};
pub use block::{
    DoneBlock, Outcome, Reject, Stretch, block_outcome, complete_block, done_blocks, insert_rejects, outcome, rejects,
    take_block,
};
pub use chunk::{NotedChunk, forget_chunks, note_chunks, noted_chunks, noted_chunks_of};
pub use job::{
    Claim, Holder, IMPORT, Job, JobId, JobState, MIGRATE, NewJob, Origin, RECHUNK, REPAIR, RESTORE, await_earlier_runs,
    claim, delete_job, forget_imports, hold, holder, insert_job, jobs, lock, move_jobs, set_finished, set_plan,
    set_state, unlock,
};
pub use task::{
    Counted, DoneTask, Taken, complete_task, done_tasks, forget_steps, forget_tasks, insert_step, overlapping_tasks,
    repeat_step, retake_task, set_rows, steps, take_task,
};

use crate::connect::{Session, Target};
use crate::error::{Error, Result};

/// Tables and columns of the ledger, as this version writes them.
const SHAPE: i64 = 7;

/// Whether the ledger is there.
///
/// # Errors
/// [`Kind::Refused`](crate::error::Kind::Refused) where another version has made it otherwise.
pub async fn exists(session: &Session) -> Result<bool> {
    let sql = "select count(*), count(*) filter (where relname in ('job', 'task', 'step', 'block', 'reject', 'chunk', 'backend')) \
               from pg_catalog.pg_class where relkind = 'r' and relnamespace = to_regnamespace('_hypercopy')";
    let row = session.row(sql, &[]).await?;
    match (row.get::<_, i64>(0), row.get::<_, i64>(1)) {
        (0, _) => Ok(false),
        (_, SHAPE) => Ok(true),
        _ => Err(Error::refused("the ledger in schema _hypercopy of the target was made by another version")
            .hint("Finish its jobs with that version, then drop the schema.")),
    }
}

/// Makes the ledger's tables where they are missing. Where they are there nothing is created, not even `if not exists`,
/// which asks for the right to create: a role that may only write to them can work.
pub async fn create(target: &Target) -> Result<()> {
    match exists(target).await? {
        true => Ok(()),
        false => target.batch(include_str!("sql/create.sql")).await,
    }
}

//! What bulk work writes of the write-ahead log goes to the disk while it works.
//!
//! A commit waits until all of the log before it is on the disk. A statement that runs for seconds writes hundreds of
//! megabytes of it, and the next to commit are those whose table this is: each of them would wait for what has gathered.
//! An asynchronous commit that finds `wal_writer_flush_after` waiting wakes the server's walwriter, which flushes it
//! (`XLogSetAsyncXactLSN` in PostgreSQL's xlog.c). So there are such commits all the time, of a session of their own.

use std::time::Duration;

use super::work::Run;
use crate::connect::Target;
use crate::error::{Error, Result};

/// Between two commits. Each takes a transaction id: 500 a second are 1.8 million an hour, of 2 billion.
const PAUSE: Duration = Duration::from_millis(2);

/// The commit of a transaction that has an id and has written nothing.
const COMMIT: &str = "select pg_catalog.pg_current_xact_id()";

/// Does `work` while its log is kept on its way to the disk. Dropping the future ends both.
///
/// # Errors
/// Those of `work`, and those of the session that keeps the log going.
pub(super) async fn flushing<T>(run: Run<'_>, work: impl Future<Output = Result<T>>) -> Result<T> {
    let target = Target::open(&run.request.database, "rechunk wal").await?;
    run.supervision.watch(&target);
    target.batch("set synchronous_commit = off").await?;
    tokio::select! {
        biased;
        ended = work => ended,
        error = commit_always(&target) => Err(error),
    }
}

async fn commit_always(target: &Target) -> Error {
    loop {
        if let Err(error) = target.batch(COMMIT).await {
            return error;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

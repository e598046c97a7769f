//! Copy in: one task, one transaction, one COPY into the hypertable.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::SinkExt;
use tokio_postgres::CopyInSink;

use crate::connect::Target;
use crate::error::{Error, Kind, Result};
use crate::ledger::{self, Counted, JobId};
use crate::pgcopy::{Format, binary};
use crate::plan::Task;

/// A task that is being written. Dropping it aborts the COPY, and with the session the transaction.
pub struct TaskWriter {
    sink: Pin<Box<CopyInSink<Bytes>>>,
    format: Format,
    task: i32,
}

/// `copy table (columns) from stdin`.
pub fn copy_in(table: &str, columns: &str, format: &str) -> String {
    format!("copy {table} ({columns}) from stdin (format {format})")
}

impl TaskWriter {
    /// Opens the task's transaction, claims the task in the ledger and starts the COPY. Its commit need not wait for
    /// the disk: the ledger's row is lost with the data, and one synchronous commit follows before the job goes on.
    pub async fn begin(target: &Target, job: JobId, task: &Task, copy_in: &str, format: Format) -> Result<TaskWriter> {
        target.batch("begin isolation level read committed read write; set local synchronous_commit = off").await?;
        ledger::insert_task(target, job, task).await?;
        let mut writer = TaskWriter { sink: target.copy_in(copy_in).await?, format, task: task.id };
        if format == Format::Binary {
            writer.feed(Bytes::from_static(&binary::HEADER)).await?;
        }
        Ok(writer)
    }

    /// Hands over the bytes of whole rows. Ready when there is room for more, which says nothing of what the server
    /// thinks of them: that is known after [`TaskWriter::finish`].
    pub async fn feed(&mut self, bytes: Bytes) -> Result<()> {
        self.sink.feed(bytes).await.map_err(|error| self.error(error))
    }

    /// Ends the COPY and answers how many rows the server has stored.
    pub async fn finish(mut self) -> Result<u64> {
        if self.format == Format::Binary {
            self.feed(Bytes::from_static(&binary::TRAILER)).await?;
        }
        let finished = self.sink.as_mut().finish().await;
        finished.map_err(|error| self.error(error))
    }

    fn error(&self, error: tokio_postgres::Error) -> Error {
        Error::new(Kind::Target, format!("the target did not take the rows of task {}", self.task)).caused_by(error)
    }
}

/// What became of a task's rows on their way.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// What the reader has seen.
    pub read: Counted,
    /// Rows that were handed to the COPY.
    pub sent_rows: u64,
    /// Rows that the server says it has stored.
    pub stored_rows: u64,
    /// Bytes of COPY data.
    pub bytes: u64,
}

/// Compares the counts, completes the task in the ledger and commits.
///
/// # Errors
/// Where rows were lost between the hand-overs; nothing is committed then.
pub async fn commit(target: &Target, job: JobId, task: &Task, written: &Written) -> Result<()> {
    let Written { read, sent_rows, stored_rows, bytes } = written;
    if read.rows != *sent_rows || sent_rows != stored_rows {
        return Err(Error::new(
            Kind::Target,
            format!("task {}: {} rows were read, {sent_rows} sent and {stored_rows} stored", task.id, read.rows),
        )
        .hint("Nothing of the task was committed. A trigger or rule on the target may have dropped rows."));
    }
    ledger::complete_task(target, job, task.id, *bytes, read).await?;
    target.batch("commit").await
}

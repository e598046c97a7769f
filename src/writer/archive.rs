//! Into a segment: one task, one file, one line in the ledger of the dump.
//!
//! Compressing takes the CPU and writing blocks, so a thread does both, and rows reach it through a short channel.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::exit::{Exit, Sink, Written};
use crate::archive::{
    Compression, Contents, Directory, Extent, Extents, Nameless, Partial, Segment, SegmentFormat, SegmentWriter,
    Stored, Tally,
};
use crate::error::{Context, Error, Kind, Result};
use crate::failpoint;
use crate::pgcopy::Coordinate;
use crate::plan::{OpenDimension, Task};

/// Batches that wait for the thread: it should find the next one there.
const WAITING_BATCHES: usize = 4;

/// Where the rows of all tasks go.
pub struct Destination {
    /// The archive.
    pub directory: Arc<Directory>,
    /// What is whole of it.
    pub partial: Arc<Partial>,
    /// What segments hold.
    pub format: SegmentFormat,
    /// How they are compressed.
    pub compression: Compression,
    /// The copied columns.
    pub columns: Vec<String>,
    /// The dimension that segments are ranges of.
    pub primary: OpenDimension,
    /// Where rows have their values of it; none where only the server knows them.
    pub coordinate: Option<Coordinate>,
}

/// A segment that is being written. Dropping it removes the file.
pub struct TaskWriter {
    pieces: mpsc::Sender<Piece>,
    thread: JoinHandle<Result<(u64, Receipt)>>,
}

/// What a segment is that has no name yet.
#[derive(Debug)]
pub struct Receipt {
    file: Nameless,
    extents: Option<Vec<Extent>>,
}

/// What the thread is told. The end is said: a channel that closes is no end.
enum Piece {
    Rows(Bytes),
    End,
}

impl Destination {
    fn file(&self, task: &Task) -> String {
        self.format.file(self.compression, task.id)
    }
}

impl Exit for Destination {
    type Hand = ();
    type Sink = TaskWriter;

    /// Begins the task's file under a temporary name.
    async fn begin(&self, (): &(), task: &Task) -> Result<Option<TaskWriter>> {
        failpoint::hit("before-claim");
        let (pieces, receiver) = mpsc::channel(WAITING_BATCHES);
        let (directory, file, compression) = (Arc::clone(&self.directory), self.file(task), self.compression);
        let extents = Extents::new(self.primary.clone(), self.coordinate);
        let contents = Contents::new(self.format, &self.columns, extents);
        let thread =
            spawn_blocking(move || write(SegmentWriter::create(directory, &file, compression)?, contents, receiver));
        failpoint::hit("after-claim");
        Ok(Some(TaskWriter { pieces, thread }))
    }

    async fn commit(&self, (): &(), task: &Task, written: Written<Receipt>) -> Result<()> {
        failpoint::hit("before-count-check");
        let checksum = written.read.checksum.filter(|checksum| checksum.rows == written.stored_rows);
        let (false, Some(checksum)) = (written.is_uneven(), checksum) else {
            return Err(Error::internal(format!("segment {}: {}", self.file(task), written.counts())));
        };
        let Receipt { file, extents } = written.receipt;
        let Stored { bytes, file_bytes, blake3 } = file.stored.clone();
        let segment = Segment {
            file: self.file(task),
            range: task.range,
            rows: written.stored_rows,
            extents,
            bytes,
            file_bytes,
            checksum,
            blake3,
            reused: false,
        };
        failpoint::hit("before-commit");
        let partial = Arc::clone(&self.partial);
        blocking(move || partial.add(file, segment)).await?;
        failpoint::hit("after-commit");
        Ok(())
    }
}

impl Sink for TaskWriter {
    type Receipt = Receipt;

    async fn feed(&mut self, bytes: Bytes) -> Result<()> {
        match self.pieces.send(Piece::Rows(bytes)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(ended(&mut self.thread).await),
        }
    }

    async fn finish(mut self) -> Result<(u64, Receipt)> {
        if self.pieces.send(Piece::End).await.is_err() {
            return Err(ended(&mut self.thread).await);
        }
        self.thread.await.doing(Kind::Internal, || THREAD_GONE)?
    }
}

const THREAD_GONE: &str = "a thread that writes a segment ended without an answer";

/// Why the thread takes no more rows.
async fn ended(thread: &mut JoinHandle<Result<(u64, Receipt)>>) -> Error {
    match thread.await {
        Ok(Err(error)) => error,
        Ok(Ok(_)) | Err(_) => Error::internal(THREAD_GONE),
    }
}

/// Writes what comes until its end is said; answers how many rows that were.
fn write(mut file: SegmentWriter, mut contents: Contents, mut pieces: mpsc::Receiver<Piece>) -> Result<(u64, Receipt)> {
    const NO_ROWS: &str = "what goes into a segment are no rows";
    file.write(contents.begin().doing(Kind::Internal, || NO_ROWS)?)?;
    loop {
        match pieces.blocking_recv() {
            Some(Piece::Rows(rows)) => file.write(contents.rows(&rows).doing(Kind::Internal, || NO_ROWS)?)?,
            Some(Piece::End) => break,
            None => return Err(Error::internal("a reader has left its segment")),
        }
    }
    let (trailer, Tally { rows, extents }) = contents.end().doing(Kind::Internal, || NO_ROWS)?;
    file.write(trailer)?;
    Ok((rows, Receipt { file: file.finish()?, extents }))
}

/// Does what blocks in a thread.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(work).await.doing(Kind::Internal, || "a thread ended without an answer")?
}

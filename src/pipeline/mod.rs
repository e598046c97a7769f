//! The corridor between a door in and a door out: the only place that spawns tasks and owns channels.
//!
//! A worker owns one source session and one target session. For each task a reader future (copy out, scan, route,
//! batch) and a writer future (copy in) meet at a bounded channel; the server's copy in sets the pace for both.
//!
//! Memory per worker: the router's buffers ([`Copy::buffer_bytes`]), [`CHANNEL_BATCHES`] batches, and twice the largest
//! record; nothing grows with the table.
//!
//! **Invariant:** no SQL is written here, and no row is lost on the way without an error: what was read, sent, stored
//! and noted is compared for each task.

pub mod batch;
pub mod route;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::batch::{Batch, Batcher};
use self::route::Router;
use crate::catalog::Chunk;
use crate::connect::{Source, Target};
use crate::error::{Context, Error, Kind, Result};
use crate::ledger::{Counted, JobId};
use crate::pgcopy::Format;
use crate::plan::{Layout, Task, Wire};
use crate::progress::{Meters, Progress};
use crate::reader::rows::{Row, RowScanner};
use crate::reader::snapshot::Snapshot;
use crate::writer::hypertable::{self, TaskWriter};

/// Batches between a reader and its writer.
pub const CHANNEL_BATCHES: usize = 4;

/// What all workers of a copy share.
pub struct Copy {
    /// The job that the tasks belong to.
    pub job: JobId,
    /// The `copy … to stdout` statements of a task, in their order.
    pub copy_out: Box<dyn Fn(&Task) -> Vec<String> + Send + Sync>,
    /// `copy … from stdin`.
    pub copy_in: String,
    /// The format.
    pub wire: Wire,
    /// The copied columns.
    pub columns: Vec<String>,
    /// The target's layout.
    pub layout: Layout,
    /// The target's chunks, read back.
    pub target_chunks: Vec<Chunk>,
    /// Whether the rows' checksum is added up.
    pub with_checksum: bool,
    /// What one worker's router may hold.
    pub buffer_bytes: usize,
    /// Counters.
    pub progress: Arc<Progress>,
}

/// Tasks, and who may take them: one queue for all workers, or one for each.
pub enum Queues {
    /// Any worker takes any task.
    Shared(Arc<Mutex<VecDeque<Task>>>),
    /// Worker n takes from the n-th queue.
    PerWorker(Vec<VecDeque<Task>>),
}

impl Queues {
    /// One queue for all, the heaviest tasks first, so that none of them is the last one alone.
    pub fn shared(mut tasks: Vec<Task>) -> Queues {
        tasks.sort_by_key(|task| std::cmp::Reverse(task.bytes));
        Queues::Shared(Arc::new(Mutex::new(tasks.into())))
    }

    fn of_worker(&mut self, worker: usize) -> Arc<Mutex<VecDeque<Task>>> {
        match self {
            Queues::Shared(queue) => Arc::clone(queue),
            Queues::PerWorker(queues) => {
                Arc::new(Mutex::new(queues.get_mut(worker).map(std::mem::take).unwrap_or_default()))
            }
        }
    }
}

/// Copies all tasks and answers where the workers' time went. The sessions are given back.
///
/// # Errors
/// The first failure of any worker; the others are stopped. What was committed stays, and stands in the ledger.
/// Dropping the future stops all workers.
pub async fn run(
    copy: Arc<Copy>,
    sources: Vec<Source>,
    targets: Vec<Target>,
    mut queues: Queues,
) -> Result<(Meters, Vec<Target>)> {
    let mut workers = JoinSet::new();
    for (number, (source, target)) in sources.into_iter().zip(targets).enumerate() {
        workers.spawn(work(Arc::clone(&copy), source, target, queues.of_worker(number)));
    }
    let mut meters = Meters::default();
    let mut targets = Vec::new();
    while let Some(ended) = workers.join_next().await {
        let (worker, target) = ended.doing(Kind::Internal, || "a worker ended without an answer")??;
        meters.merge(&worker);
        targets.push(target);
    }
    Ok((meters, targets))
}

async fn work(
    copy: Arc<Copy>,
    source: Source,
    target: Target,
    queue: Arc<Mutex<VecDeque<Task>>>,
) -> Result<(Meters, Target)> {
    let mut meters = Meters::default();
    loop {
        let task = queue.lock().expect("no holder of the queue panics").pop_front();
        let Some(task) = task else { return Ok((meters, target)) };
        let start = Instant::now();
        copy_task(&copy, &source, &target, &task, &mut meters).await?;
        meters.task.record(start);
        copy.progress.add_task();
    }
}

async fn copy_task(copy: &Copy, source: &Source, target: &Target, task: &Task, meters: &mut Meters) -> Result<()> {
    let mut writer = TaskWriter::begin(target, copy.job, task, &copy.copy_in, copy.wire.format).await?;
    let Meters { source: source_waits, channel: channel_waits, target: target_waits, .. } = meters;
    let (sender, mut receiver) = mpsc::channel(CHANNEL_BATCHES);

    let reading = async move {
        let router = Router::new(&copy.layout, &copy.columns, &copy.target_chunks, task.range)
            .filter(|_| copy.wire.format == Format::Binary);
        let mut batches = Batcher::new(router.as_ref().map_or(0, Router::chunk_count), copy.buffer_bytes);
        let mut send = async |batch| channel_waits.time(sender.send(Message::Batch(batch))).await.map_err(closed);
        let mut read = Counted::default();
        let reading = || format!("cannot read the rows of task {}", task.id);
        for statement in (copy.copy_out)(task) {
            read += Snapshot::releasing_locks(source, async {
                let mut stream = source.copy_out(&statement).await?;
                let mut rows = RowScanner::new(&copy.wire, copy.with_checksum);
                while let Some(piece) = source_waits.time(stream.next()).await {
                    let take = |row: &Row<'_>| {
                        let chunk = match (&router, row) {
                            (Some(router), Row::Binary(row)) => router.route(row),
                            _ => 0,
                        };
                        batches.push(chunk, row.bytes());
                    };
                    rows.push(&piece.doing(Kind::Source, reading)?, take).doing(Kind::Source, reading)?;
                    while let Some(batch) = batches.pop() {
                        send(batch).await?;
                    }
                }
                rows.finish().doing(Kind::Source, reading)
            })
            .await?;
        }
        batches.flush();
        while let Some(batch) = batches.pop() {
            send(batch).await?;
        }
        if copy.with_checksum {
            read.checksum.get_or_insert_default();
        }
        sender.send(Message::End(read)).await.map_err(closed)
    };

    let writing = async {
        let (mut sent, mut bytes) = (0, 0);
        loop {
            match receiver.recv().await {
                Some(Message::Batch(batch)) => {
                    sent += batch.rows;
                    bytes += batch.bytes.len() as u64;
                    copy.progress.add_rows(batch.rows, batch.bytes.len() as u64);
                    target_waits.time(writer.feed(batch.bytes)).await?;
                }
                Some(Message::End(read)) => break Ok((writer, read, sent, bytes)),
                // The reader has failed; its own error is the one to show.
                None => break Err(Error::internal(format!("task {} was left by its reader", task.id))),
            }
        }
    };

    let ((), (writer, read, sent, bytes)) = tokio::try_join!(biased; reading, writing)?;
    let stored = target_waits.time(writer.finish()).await?;
    hypertable::commit(target, copy.job, task, &read, sent, stored, bytes).await
}

/// What travels between a reader and its writer. The end is said: a channel that closes is no end.
enum Message {
    Batch(Batch),
    End(Counted),
}

fn closed<T>(_: mpsc::error::SendError<T>) -> Error {
    Error::internal("a writer has left its reader")
}

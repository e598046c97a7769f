//! The corridor between a door in and a door out: it spawns the workers of a copy, and only it owns channels.
//!
//! A worker owns one source session and one target session. For each task a reader future (copy out, scan, route,
//! batch) and a writer future (copy in) meet at a bounded channel; the server's copy in sets the pace for both.
//!
//! Memory per worker: the router's buffers ([`Copy::buffer_bytes`]), [`channel::CHANNEL_BYTES`], and some copies of the
//! largest record (ARCHITECTURE.md has the formula); nothing grows with the table.
//!
//! **Invariant:** no SQL is written here, and no row is lost on the way without an error: what was read, sent, stored
//! and noted is compared for each task.

pub mod batch;
pub mod channel;
pub mod route;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures_util::StreamExt;
use tokio::task::JoinSet;

use self::batch::Batcher;
use self::channel::{Arrival, Receiver, Sender};
use self::route::Router;
use crate::catalog::Chunk;
use crate::connect::{Reader, Target};
use crate::error::{Context, Kind, Result};
use crate::ledger::{Counted, JobId};
use crate::pgcopy::{Checksum, Format};
use crate::plan::{Layout, Range, Task, Wire};
use crate::progress::{Latency, Meters, Progress};
use crate::reader::rows::{Row, RowScanner};
use crate::reader::snapshot::{Shares, Snapshot};
use crate::writer::hypertable::{self, TaskWriter, Written};

/// What all workers of a copy share.
pub struct Copy {
    /// The job that the tasks belong to.
    pub job: JobId,
    /// The `copy … to stdout` statements of a task, in their order.
    pub copy_out: CopyOut,
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

/// Writes a task's `copy … to stdout` statements.
pub type CopyOut = Box<dyn Fn(&Task) -> Vec<String> + Send + Sync>;

/// Tasks, and who may take them: one queue for all workers, or one for each.
pub enum Queues {
    /// Any worker takes any task.
    Shared(Arc<Mutex<VecDeque<Task>>>),
    /// Worker n takes from the n-th queue.
    PerWorker(Vec<VecDeque<Task>>),
}

impl Queues {
    /// Tasks for workers that hold these shares of the locks.
    pub fn of(shares: &Shares, tasks: &[Task]) -> Queues {
        match shares {
            Shares::All => Queues::shared(tasks.to_vec()),
            Shares::Ranges(ranges) => {
                let of = |range: &Range| -> VecDeque<Task> {
                    let is_inside = |task: &&Task| range.intersect(task.range) == task.range;
                    tasks.iter().filter(is_inside).cloned().collect()
                };
                Queues::PerWorker(ranges.iter().map(of).collect())
            }
        }
    }

    /// One queue for all, the heaviest tasks first, so that none of them is the last one alone.
    fn shared(mut tasks: Vec<Task>) -> Queues {
        tasks.sort_by_key(|task| std::cmp::Reverse(task.bytes));
        Queues::Shared(Arc::new(Mutex::new(tasks.into())))
    }

    /// The queue that a worker takes its tasks from; its own can be asked for once.
    pub(crate) fn of_worker(&mut self, worker: usize) -> Arc<Mutex<VecDeque<Task>>> {
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
    sources: Vec<Reader>,
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
    source: Reader,
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

async fn copy_task(copy: &Copy, source: &Reader, target: &Target, task: &Task, meters: &mut Meters) -> Result<()> {
    let writer = TaskWriter::begin(target, copy.job, task, &copy.copy_in, copy.wire.format).await?;
    let Meters { source: source_waits, channel: channel_waits, target: target_waits, .. } = meters;
    let (sender, receiver) = channel::bounded();
    let reading = read_task(copy, source, task, sender, source_waits, channel_waits);
    let writing = write_task(copy, writer, receiver, target_waits);
    // The reader is asked first: where both have failed, its error is the cause.
    let ((), written) = tokio::try_join!(biased; reading, writing)?;
    hypertable::commit(target, copy.job, task, &written).await
}

/// Reads a task's rows and sends them in batches. They wait in `batches` until there are enough of a chunk.
async fn read_task(
    copy: &Copy,
    source: &Reader,
    task: &Task,
    sender: Sender,
    source_waits: &mut Latency,
    channel_waits: &mut Latency,
) -> Result<()> {
    let router = Router::new(&copy.layout, &copy.columns, &copy.target_chunks, task.range)
        .filter(|_| copy.wire.format == Format::Binary);
    let mut batches = Batcher::new(router.as_ref().map_or(0, Router::chunk_count), copy.buffer_bytes);
    let mut read = Counted { rows: 0, checksum: copy.with_checksum.then(Checksum::default) };
    let reading = || format!("cannot read the rows of task {}", task.id);
    for statement in (copy.copy_out)(task) {
        read += Snapshot::releasing_locks(source, async {
            let mut stream = source.copy_out(&statement).await?;
            let mut rows = RowScanner::new(&copy.wire, copy.with_checksum);
            while let Some(piece) = source_waits.time(stream.next()).await {
                let take = |row: &Row<'_>| batches.push(chunk_of(row, router.as_ref()), row.bytes());
                rows.push(&piece.doing(Kind::Source, reading)?, take).doing(Kind::Source, reading)?;
                while let Some(batch) = batches.pop() {
                    channel_waits.time(sender.send(batch)).await?;
                }
            }
            rows.finish().doing(Kind::Source, reading)
        })
        .await?;
    }
    batches.flush();
    while let Some(batch) = batches.pop() {
        channel_waits.time(sender.send(batch)).await?;
    }
    sender.end(read).await
}

/// The number that the router gives the row's chunk; all are one where there is nothing to route.
fn chunk_of(row: &Row<'_>, router: Option<&Router>) -> usize {
    match (router, row) {
        (Some(router), Row::Binary(row)) => router.route(row),
        _ => 0,
    }
}

async fn write_task(
    copy: &Copy,
    mut writer: TaskWriter,
    mut receiver: Receiver,
    target_waits: &mut Latency,
) -> Result<Written> {
    let (mut sent_rows, mut bytes) = (0, 0);
    loop {
        match receiver.next().await? {
            Arrival::Batch(batch, _room) => {
                sent_rows += batch.rows;
                bytes += batch.bytes.len() as u64;
                copy.progress.add_rows(batch.rows, batch.bytes.len() as u64);
                target_waits.time(writer.feed(batch.bytes)).await?;
            }
            Arrival::End(read) => {
                let stored_rows = target_waits.time(writer.finish()).await?;
                return Ok(Written { read, sent_rows, stored_rows, bytes });
            }
        }
    }
}

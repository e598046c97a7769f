//! The corridor between a door in and a door out: it spawns the workers of a copy, and only it owns channels.
//!
//! A worker owns a door, by which it reads, and what it writes by: a target session, where the exit is a hypertable. For each
//! task a reader future (copy out, scan, route, batch) and a writer future (copy in) meet at a bounded channel; the slower
//! one sets the pace for both. A task
//! that fails in a way that may pass is tried again with another door to the same rows and another session.
//!
//! Memory per worker: the router's buffers ([`Copy::buffer_bytes`]), [`channel::CHANNEL_BYTES`], and some copies of the
//! largest record (ARCHITECTURE.md has the formula); nothing grows with the table.
//!
//! **Invariant:** no SQL is written here, and no row is lost on the way without an error: what was read, sent, stored
//! and noted is compared for each task.

pub mod batch;
pub mod channel;
pub mod load;
pub mod route;

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, block_in_place};

use self::batch::Batcher;
use self::channel::{Arrival, Receiver, Sender};
use self::route::Router;
use crate::catalog::Chunk;
use crate::connect::{Backend, Reader, Target};
use crate::error::{Context, Error, Kind, Result};
use crate::failpoint;
use crate::interrupt::Interrupt;
use crate::ledger::Counted;
use crate::pgcopy::{Checksum, Format};
use crate::plan::{Layout, Range, Read, Task, Wire};
use crate::progress::{Latency, Meters, Progress};
use crate::reader::archive::Segments;
use crate::reader::door::Door;
use crate::reader::rows::{Row, RowScanner, refuse_other_count};
use crate::reader::snapshot::{Shares, Snapshot};
use crate::retry::Patience;
use crate::vigil::Vigil;
use crate::writer::exit::{Exit, Hand, Sink, Written};
use crate::writer::hypertable::Destination;

/// What all workers of a copy share.
pub struct Copy<E: Exit = Destination> {
    /// Where the rows go.
    pub destination: E,
    /// The format.
    pub wire: Wire,
    /// The copied columns.
    pub columns: Vec<String>,
    /// The target's layout.
    pub layout: Layout,
    /// The target's chunks, read back.
    pub target_chunks: Vec<Chunk>,
    /// What one worker's router may hold.
    pub buffer_bytes: usize,
    /// Counters.
    pub progress: Arc<Progress>,
    /// The wish to stop.
    pub interrupt: Interrupt,
    /// How long a task is tried again.
    pub retry_for: Duration,
    /// Whose turn it is to make chunks.
    pub turn: Semaphore,
    /// Notices tasks that have stalled.
    pub vigil: Vigil,
    /// How a worker gets other sessions when it has lost its own.
    pub reopen: Reopen<E::Hand>,
    /// What a worker does behind each task's commit.
    pub follow: Option<Follow<E::Hand>>,
}

/// What one worker reads and writes by.
pub struct Pair<H = Target> {
    /// Reads.
    pub door: Door,
    /// Writes.
    pub target: H,
}

impl<H: Hand> Pair<H> {
    /// Its sessions as their servers know them.
    pub fn backends(&self) -> Vec<Backend> {
        let source = self.door.session().map(|session| session.backend());
        source.into_iter().chain(self.target.backend()).cloned().collect()
    }
}

/// Opens a worker's pair anew, by its number from 0 on, after ending the sessions that it had; `None` where the snapshot
/// is gone, and with it the use of trying again.
pub type Reopen<H = Target> =
    Box<dyn Fn(usize, Vec<Backend>) -> BoxFuture<'static, Result<Option<Pair<H>>>> + Send + Sync>;

/// What follows the commit of a task, in the worker's own session. Where it fails it is tried again like the task, and so it may
/// be done twice.
pub type Follow<H = Target> = Box<dyn for<'a> Fn(&'a H, &'a Task) -> BoxFuture<'a, Result<()>> + Send + Sync>;

/// Tasks, and who may take them: one queue for all workers, or one for each.
pub enum Queues {
    /// Any worker takes any task.
    Shared(Queue),
    /// Worker n takes from the n-th queue.
    PerWorker(Vec<Queue>),
}

/// Tasks that nobody has taken yet.
pub type Queue = Arc<Mutex<VecDeque<Task>>>;

impl Queues {
    /// Tasks for workers that hold these shares of the locks.
    pub fn of(shares: &Shares, tasks: &[Task]) -> Queues {
        let mut tasks = tasks.to_vec();
        if matches!(shares, Shares::All) {
            // The heaviest ones first, so that none of them is the last one alone.
            tasks.sort_by_key(|task| std::cmp::Reverse(task.bytes));
        }
        Queues::in_turn(shares, &tasks)
    }

    /// The same, in the order in which they are given.
    pub fn in_turn(shares: &Shares, tasks: &[Task]) -> Queues {
        match shares {
            Shares::All => Queues::Shared(Arc::new(Mutex::new(tasks.iter().cloned().collect()))),
            Shares::Ranges(ranges) => {
                let of = |range: &Range| -> Queue {
                    let is_inside = |task: &&Task| range.intersect(task.range) == task.range;
                    let tasks: VecDeque<Task> = tasks.iter().filter(is_inside).cloned().collect();
                    Arc::new(Mutex::new(tasks))
                };
                Queues::PerWorker(ranges.iter().map(of).collect())
            }
        }
    }

    /// The queue that a worker takes its tasks from.
    pub(crate) fn of_worker(&self, worker: usize) -> Queue {
        match self {
            Queues::Shared(queue) => Arc::clone(queue),
            Queues::PerWorker(queues) => queues.get(worker).map(Arc::clone).unwrap_or_default(),
        }
    }
}

/// What a worker does with a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Copies its rows.
    Copy,
    /// Reads its rows and answers what they are.
    Count,
}

/// What came of all tasks.
pub struct Ended<H = Target> {
    /// Where the workers' time went.
    pub meters: Meters,
    /// The workers' sessions, in their order.
    pub pairs: Vec<Pair<H>>,
    /// What was counted, by task; nothing where rows were copied.
    pub counted: Vec<(i32, Counted)>,
}

/// Does all tasks.
///
/// # Errors
/// The first failure of any worker that trying again does not mend; the others are stopped. What was committed stays, and
/// stands in the ledger. Dropping the future stops all workers.
pub async fn run<E: Exit>(
    copy: Arc<Copy<E>>,
    pairs: Vec<Pair<E::Hand>>,
    queues: Queues,
    work: Work,
) -> Result<Ended<E::Hand>> {
    let mut workers = JoinSet::new();
    for (number, pair) in pairs.into_iter().enumerate() {
        let worker = Worker::new(Arc::clone(&copy), number);
        workers.spawn(worker.run(pair, queues.of_worker(number), work));
    }
    let mut stop = Stop::default();
    while let Some(ended) = workers.join_next().await {
        stop.note(ended.doing(Kind::Internal, || "a worker ended without an answer")?)?;
    }
    let mut done = stop.finish()?;
    done.sort_by_key(|(worker, _): &(Worker<E>, Pair<E::Hand>)| worker.number);
    let mut ended = Ended { meters: Meters::default(), pairs: Vec::new(), counted: Vec::new() };
    for (worker, pair) in done {
        ended.meters.merge(&worker.meters);
        ended.counted.extend(worker.counted);
        ended.pairs.push(pair);
    }
    Ok(ended)
}

/// What workers have answered. One that has heard the wish to stop lets the others finish what they have begun.
struct Stop<T> {
    done: Vec<T>,
    wish: Option<Error>,
}

impl<T> Default for Stop<T> {
    fn default() -> Self {
        Stop { done: Vec::new(), wish: None }
    }
}

impl<T> Stop<T> {
    fn note(&mut self, answer: Result<T>) -> Result<()> {
        match answer {
            Ok(done) => self.done.push(done),
            Err(error) if matches!(error.kind(), Kind::Signal(_)) => self.wish = Some(error),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<T>> {
        self.wish.map_or(Ok(self.done), Err)
    }
}

struct Worker<E: Exit> {
    copy: Arc<Copy<E>>,
    number: usize,
    meters: Meters,
    pulse: Arc<AtomicU64>,
    counted: Vec<(i32, Counted)>,
}

impl<E: Exit> Worker<E> {
    fn new(copy: Arc<Copy<E>>, number: usize) -> Self {
        let pulse = Arc::new(AtomicU64::new(0));
        Worker { copy, number, meters: Meters::with_pulse(&pulse), pulse, counted: Vec::new() }
    }

    async fn run(mut self, mut pair: Pair<E::Hand>, queue: Queue, work: Work) -> Result<(Self, Pair<E::Hand>)> {
        let mut patience = Patience::new(self.copy.retry_for);
        loop {
            let task = queue.lock().expect("no holder of the queue panics").pop_front();
            let Some(task) = task else { return Ok((self, pair)) };
            let _open = self.copy.interrupt.open()?;
            let start = Instant::now();
            while let Err(error) = self.watched_attempt(&pair, &task, work).await {
                pair = self.recover(pair, error, &mut patience).await?;
            }
            patience.restore();
            self.meters.task.record(start);
            self.copy.progress.add_task();
        }
    }

    async fn watched_attempt(&mut self, pair: &Pair<E::Hand>, task: &Task, work: Work) -> Result<()> {
        let (vigil, pulse) = (self.copy.vigil.clone(), Arc::clone(&self.pulse));
        let backends: Vec<_> = pair.backends().iter().map(|backend| (backend.side, backend.pid)).collect();
        tokio::select! {
            biased;
            done = self.attempt(pair, task, work) => done,
            stalled = vigil.stalled(&backends, &pulse) => Err(stalled),
        }
    }

    async fn attempt(&mut self, pair: &Pair<E::Hand>, task: &Task, work: Work) -> Result<()> {
        match work {
            Work::Copy => {
                let _turn = match task.alone {
                    true => Some(self.copy.turn.acquire().await),
                    false => None,
                };
                let copied = copy_task(&self.copy, pair, task, &mut self.meters).await;
                copied.map_err(|error| block_in_place(|| pair.door.blame(task, error)))
            }
            Work::Count => {
                let counted = count_task(&self.copy, &pair.door, task, &mut self.meters.source).await?;
                self.counted.push((task.id, counted));
                Ok(())
            }
        }
    }

    /// Other sessions, as soon as the servers have some. Those that failed are in an unknown state: a COPY was cut off
    /// in them.
    async fn recover(&self, pair: Pair<E::Hand>, mut error: Error, patience: &mut Patience) -> Result<Pair<E::Hand>> {
        let backends = pair.backends();
        drop(pair);
        loop {
            patience.wait(error, &self.copy.progress, &self.copy.interrupt).await?;
            let reopen = (self.copy.reopen)(self.number, backends.clone());
            error = match tokio::time::timeout(self.copy.retry_for.max(LEAST_CONNECT_TIME), reopen).await {
                Ok(Ok(Some(pair))) => return Ok(pair),
                Ok(Ok(None)) => return Err(snapshot_lost()),
                Ok(Err(error)) => error,
                Err(_) => Error::new(Kind::Target, "no sessions were had in time").retryable(),
            };
        }
    }
}

/// However short the patience is, a connection may take this long.
const LEAST_CONNECT_TIME: Duration = Duration::from_secs(2);

fn snapshot_lost() -> Error {
    Error::new(Kind::Source, "the snapshot is gone with the session that exported it").retryable()
}

async fn copy_task<E: Exit>(copy: &Copy<E>, pair: &Pair<E::Hand>, task: &Task, meters: &mut Meters) -> Result<()> {
    if let Some(sink) = copy.destination.begin(&pair.target, task).await? {
        fill_task(copy, pair, task, sink, meters).await?;
    }
    match &copy.follow {
        Some(follow) => follow(&pair.target, task).await,
        None => Ok(()),
    }
}

async fn fill_task<E: Exit>(
    copy: &Copy<E>,
    pair: &Pair<E::Hand>,
    task: &Task,
    sink: E::Sink,
    meters: &mut Meters,
) -> Result<()> {
    let Meters { source: source_waits, channel: channel_waits, target: target_waits, .. } = meters;
    let (sender, receiver) = channel::bounded();
    let reading = read_task(copy, &pair.door, task, sender, source_waits, channel_waits);
    let mut sent = Sent::new(&copy.progress);
    let writing = write_task(&mut sent, sink, receiver, target_waits);
    // The reader is asked first: where both have failed, its error is the cause.
    let ((), written) = tokio::try_join!(biased; reading, writing)?;
    copy.destination.commit(&pair.target, task, written).await?;
    sent.is_committed = true;
    Ok(())
}

/// What was sent of a task; it is taken out of the progress again unless it was committed.
struct Sent<'a> {
    progress: &'a Progress,
    rows: u64,
    bytes: u64,
    is_committed: bool,
}

impl<'a> Sent<'a> {
    fn new(progress: &'a Progress) -> Self {
        Sent { progress, rows: 0, bytes: 0, is_committed: false }
    }

    fn add(&mut self, rows: u64, bytes: u64) {
        self.rows += rows;
        self.bytes += bytes;
        self.progress.add_rows(rows, bytes);
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        if !self.is_committed {
            self.progress.take_back_rows(self.rows, self.bytes);
        }
    }
}

/// What the source holds in a task's range.
async fn count_task<E: Exit>(copy: &Copy<E>, door: &Door, task: &Task, waits: &mut Latency) -> Result<Counted> {
    read_rows(copy, door, task, waits, None).await
}

/// Reads a task's rows and sends them in batches. They wait in `batches` until there are enough of a chunk.
async fn read_task<E: Exit>(
    copy: &Copy<E>,
    door: &Door,
    task: &Task,
    sender: Sender,
    source_waits: &mut Latency,
    channel_waits: &mut Latency,
) -> Result<()> {
    let mut outlet = Outlet::new(copy, task, sender, channel_waits);
    let read = read_rows(copy, door, task, source_waits, Some(&mut outlet)).await?;
    outlet.end(read).await
}

/// Reads a task's rows, and hands them to `outlet` where there is one.
async fn read_rows<E: Exit>(
    copy: &Copy<E>,
    door: &Door,
    task: &Task,
    waits: &mut Latency,
    mut outlet: Option<&mut Outlet<'_>>,
) -> Result<Counted> {
    let mut read = Counted { rows: 0, checksum: Some(Checksum::default()) };
    match door {
        Door::Session { session, chunks } => {
            for statement in chunks.copy_out(&task.reads) {
                let rows = read_statement(copy, session, &statement, task, waits, outlet.as_deref_mut());
                read += Snapshot::releasing_locks(session, rows).await?;
            }
        }
        Door::Archive(segments) => {
            for segment in &task.reads {
                read += read_segment(segments, segment, waits, outlet.as_deref_mut()).await?;
            }
        }
    }
    Ok(read)
}

/// Reads what a task wants of a segment.
async fn read_segment(
    segments: &Segments,
    segment: &Read,
    waits: &mut Latency,
    mut outlet: Option<&mut Outlet<'_>>,
) -> Result<Counted> {
    let mut rows = segments.open(segment)?;
    let mut next = |outlet: &mut Option<&mut Outlet<'_>>| {
        waits.block(|| block_in_place(|| rows.next(|row| outlet.iter_mut().for_each(|outlet| outlet.take(row)))))
    };
    while next(&mut outlet)? {
        if let Some(outlet) = &mut outlet {
            outlet.send_full().await?;
        }
        // A file is always ready: the writer shares this task, and shall have its turn.
        tokio::task::yield_now().await;
    }
    rows.finish()
}

/// Reads the rows of one of a task's `copy … to stdout` statements.
async fn read_statement<E: Exit>(
    copy: &Copy<E>,
    session: &Reader,
    statement: &str,
    task: &Task,
    waits: &mut Latency,
    mut outlet: Option<&mut Outlet<'_>>,
) -> Result<Counted> {
    let reading = || format!("cannot read the rows of task {}", task.id);
    let mut stream = session.copy_out(statement).await?;
    let mut rows = RowScanner::new(&copy.wire, true);
    while waits.time(stream.fill()).await? {
        while let Some(piece) = stream.piece()? {
            match &mut outlet {
                None => rows.push(piece, |_| ()).doing(Kind::Source, reading)?,
                Some(outlet) => rows.push(piece, |row| outlet.take(row)).doing(Kind::Source, reading)?,
            }
        }
        if let Some(outlet) = &mut outlet {
            outlet.send_full().await?;
        }
    }
    let sent = stream.finish().map_err(|error| error.renamed(reading()))?;
    let seen = rows.finish().doing(Kind::Source, reading)?;
    refuse_other_count(session.side(), &format_args!("task {}", task.id), sent, seen.rows)?;
    Ok(seen)
}

/// Where the rows of a task leave their reader.
struct Outlet<'a> {
    router: Option<Router>,
    batches: Batcher,
    sender: Sender,
    waits: &'a mut Latency,
}

impl<'a> Outlet<'a> {
    fn new<E: Exit>(copy: &Copy<E>, task: &Task, sender: Sender, waits: &'a mut Latency) -> Self {
        let router = Router::new(&copy.layout, &copy.columns, &copy.target_chunks, task.range)
            .filter(|_| copy.wire.format == Format::Binary);
        let batches = Batcher::new(router.as_ref().map_or(0, Router::chunk_count), copy.buffer_bytes);
        Outlet { router, batches, sender, waits }
    }

    fn take(&mut self, row: &Row<'_>) {
        // All chunks are one where there is nothing to route.
        let chunk = match (&self.router, row) {
            (Some(router), Row::Binary(row)) => router.route(row),
            _ => 0,
        };
        self.batches.push(chunk, row.bytes());
    }

    async fn send_full(&mut self) -> Result<()> {
        while let Some(batch) = self.batches.pop() {
            self.waits.time(self.sender.send(batch)).await?;
        }
        Ok(())
    }

    async fn end(mut self, read: Counted) -> Result<()> {
        self.batches.flush();
        self.send_full().await?;
        self.sender.end(read).await
    }
}

async fn write_task<S: Sink>(
    sent: &mut Sent<'_>,
    mut sink: S,
    mut receiver: Receiver,
    waits: &mut Latency,
) -> Result<Written<S::Receipt>> {
    loop {
        match receiver.next().await? {
            Arrival::Batch(batch, _room) => {
                sent.add(batch.rows, batch.bytes.len() as u64);
                waits.time(sink.feed(batch.bytes)).await?;
                failpoint::hit("mid-copy");
            }
            Arrival::End(read) => {
                let (stored_rows, receipt) = waits.time(sink.finish()).await?;
                return Ok(Written { read, sent_rows: sent.rows, stored_rows, bytes: sent.bytes, receipt });
            }
        }
    }
}

//! The corridor of an import: one thread cuts files into blocks, others parse them, and workers load them.
//!
//! Blocks go to the parsers through a crossbeam channel, and from there to the workers, each with a session, through
//! one of tokio's. A permit travels with each block from its cut to its commit, so that no more of them are in memory
//! than [`Load::in_flight`]. Where the order of the file decides, one worker takes the blocks in it.
//!
//! What is bad about the input stops the import at a block: those before it are loaded all the same, so that the error is
//! the first one of the file, however many workers there are.
//!
//! **Invariant:** no SQL is written here, and no block is lost without an error; whoever calls compares what the ledger
//! has with the files' [`Extent`]s.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinSet, spawn_blocking};

use super::{LEAST_CONNECT_TIME, Stop};
use crate::connect::{Backend, Side, Target};
use crate::error::{Context, Error, Kind, Result};
use crate::interrupt::Interrupt;
use crate::ledger::Outcome;
use crate::pgcopy::Format;
use crate::plan::Point;
use crate::progress::{Meters, Progress};
use crate::reader::csv::block::{Block, Parsed};
use crate::reader::csv::cut::{Cutter, Extent};
use crate::reader::csv::room::Rooms;
use crate::reader::csv::rows::{Atlas, Records};
use crate::retry::Patience;
use crate::schema;
use crate::vigil::Vigil;
use crate::writer::block;
use crate::writer::budget::Budget;
use crate::writer::landing::Landing;

/// What all threads and workers of an import share.
pub struct Load {
    /// Where the rows go.
    pub landing: Landing,
    /// How many records may be left out.
    pub budget: Budget,
    /// What the records become.
    pub records: Records,
    /// Where their rows are put.
    pub rooms: Rooms,
    /// The chunks that are known; none where nobody can tell them.
    pub atlas: Mutex<Option<Atlas>>,
    /// Whether blocks have to be loaded in the order of the files.
    pub in_order: bool,
    /// Blocks that may be in memory.
    pub in_flight: usize,
    /// Threads that parse.
    pub parsers: usize,
    /// Makes chunks, as far as that is possible without rows.
    pub make_chunks: MakeChunks,
    /// Whose turn it is to make chunks.
    pub turn: tokio::sync::Mutex<()>,
    /// Counters.
    pub progress: Arc<Progress>,
    /// The wish to stop.
    pub interrupt: Interrupt,
    /// How long a block is tried again.
    pub retry_for: Duration,
    /// Notices blocks that have stalled.
    pub vigil: Vigil,
    /// How a worker gets another session when it has lost its own.
    pub reopen: Reopen,
}

/// Makes chunks for these points where they are missing, and answers what is there then.
pub type MakeChunks =
    Box<dyn for<'a> Fn(&'a Target, &'a [Point]) -> BoxFuture<'a, Result<Option<Atlas>>> + Send + Sync>;

/// Opens a worker's session anew, by its number from 0 on, after ending the one that it had.
pub type Reopen = Box<dyn Fn(usize, Backend) -> BoxFuture<'static, Result<Target>> + Send + Sync>;

/// What came of it.
pub struct Loaded {
    /// Where the workers' time went.
    pub meters: Meters,
    /// The workers' sessions, in their order.
    pub targets: Vec<Target>,
    /// What there was to load.
    pub extents: Vec<Extent>,
    /// What this run has loaded.
    pub tally: Tally,
}

/// What a run has loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Blocks of binary rows.
    pub binary_blocks: u64,
    /// Blocks of text rows.
    pub text_blocks: u64,
    /// What became of their records.
    pub outcome: Outcome,
    /// Bytes of the files.
    pub bytes: u64,
}

/// A block with its room in memory.
struct InFlight<T> {
    inner: T,
    _permit: OwnedSemaphorePermit,
}

/// Loads everything that `cutter` hands out.
///
/// # Errors
/// The first one in the order of the files where the input is bad, else the first failure that trying again does not
/// mend. What was committed stays, and stands in the ledger. Dropping the future stops workers and threads; one that
/// waits for stdin ends with the process.
pub async fn run(load: Arc<Load>, cutter: Cutter, targets: Vec<Target>) -> Result<Loaded> {
    let halt = Arc::new(Halt::default());
    let (blocks, cut_blocks) = crossbeam_channel::bounded(load.parsers);
    let (rows, parsed_blocks) = mpsc::channel(load.parsers);
    let cutting = spawn_blocking({
        let (halt, permits) = (Arc::clone(&halt), Arc::new(Semaphore::new(load.in_flight)));
        move || cut(cutter, &halt, &permits, &blocks)
    });
    for _ in 0..load.parsers {
        let (load, halt, cut_blocks, rows) = (Arc::clone(&load), Arc::clone(&halt), cut_blocks.clone(), rows.clone());
        spawn_blocking(move || parse(&load, &halt, &cut_blocks, &rows));
    }
    drop((cut_blocks, rows));

    let queue = Arc::new(Queue::new(parsed_blocks, load.in_order));
    let mut workers = JoinSet::new();
    for (number, target) in targets.into_iter().enumerate() {
        let worker = Worker::new(Arc::clone(&load), Arc::clone(&halt), number);
        workers.spawn(worker.run(target, Arc::clone(&queue)));
    }
    let mut stop = Stop::default();
    while let Some(ended) = workers.join_next().await {
        stop.note(ended.doing(Kind::Internal, || "a worker ended without an answer")?)?;
    }
    let mut done = stop.finish()?;
    done.sort_by_key(|(worker, _): &(Worker, Target)| worker.number);
    halt.verdict()?;
    let extents = cutting.await.doing(Kind::Internal, || "the thread that reads ended without an answer")??;
    let mut loaded = Loaded { meters: Meters::default(), targets: Vec::new(), extents, tally: Tally::default() };
    for (worker, target) in done {
        loaded.meters.merge(&worker.meters);
        loaded.tally.add(&worker.tally);
        loaded.targets.push(target);
    }
    Ok(loaded)
}

/// Where the input turned out to be bad: nothing is begun from there on.
#[derive(Default)]
struct Halt {
    ended: Mutex<EndedBlocks>,
    /// Blocks before this one are wanted, once it is not 0; it is one more than the number of the first bad one.
    bad: AtomicU64,
    /// Told when there is a bad block, and all before it are in.
    is_certain: Notify,
}

/// What has become of blocks that were loaded.
#[derive(Default)]
struct EndedBlocks {
    /// All before this one are in.
    first_open: u64,
    /// And these.
    beyond: BTreeSet<u64>,
    errors: BTreeMap<u64, Error>,
}

impl Halt {
    fn add_done(&self, block: u64) {
        let mut ended = self.ended();
        ended.beyond.insert(block);
        while ended.beyond.first() == Some(&ended.first_open) {
            ended.beyond.pop_first();
            ended.first_open += 1;
        }
        self.tell(&ended);
    }

    fn add_bad(&self, block: u64, error: Error) {
        let mut ended = self.ended();
        ended.errors.insert(block, error);
        let first = ended.errors.keys().next().map_or(0, |first| first + 1);
        self.bad.store(first, Ordering::Relaxed);
        self.tell(&ended);
    }

    /// Whoever waits for more blocks need not: what they come from may keep silent for hours.
    fn tell(&self, ended: &EndedBlocks) {
        if ended.is_certain() {
            self.is_certain.notify_waiters();
        }
    }

    fn is_behind(&self, block: u64) -> bool {
        let bad = self.bad.load(Ordering::Relaxed);
        bad > 0 && block >= bad - 1
    }

    /// Waits until the first bad record is known.
    async fn certain(&self) {
        let told = self.is_certain.notified();
        if !self.ended().is_certain() {
            told.await;
        }
    }

    fn verdict(&self) -> Result<()> {
        self.ended().errors.pop_first().map_or(Ok(()), |(_, error)| Err(error))
    }

    fn ended(&self) -> MutexGuard<'_, EndedBlocks> {
        self.ended.lock().expect("no holder of the list panics")
    }
}

impl EndedBlocks {
    fn is_certain(&self) -> bool {
        self.errors.keys().next().is_some_and(|first| *first <= self.first_open)
    }
}

type Blocks = crossbeam_channel::Sender<InFlight<Block>>;

fn cut(cutter: Cutter, halt: &Halt, permits: &Arc<Semaphore>, blocks: &Blocks) -> Result<Vec<Extent>> {
    let runtime = Handle::current();
    cutter.cut(|block| {
        let permit = runtime.block_on(Arc::clone(permits).acquire_owned());
        let Ok(_permit) = permit else { return false };
        !halt.is_behind(block.number) && blocks.send(InFlight { inner: block, _permit }).is_ok()
    })
}

fn parse(
    load: &Load,
    halt: &Halt,
    blocks: &crossbeam_channel::Receiver<InFlight<Block>>,
    rows: &mpsc::Sender<InFlight<Parsed>>,
) {
    for InFlight { inner: block, _permit } in blocks {
        if halt.is_behind(block.number) {
            continue;
        }
        let atlas = load.atlas.lock().expect("no holder of the atlas panics").clone();
        let inner = load.records.parse(block, atlas.as_ref(), &load.rooms);
        if rows.blocking_send(InFlight { inner, _permit }).is_err() {
            return;
        }
    }
}

/// Parsed blocks, as they come or in the order of the files.
struct Queue(tokio::sync::Mutex<Waiting>);

struct Waiting {
    arriving: mpsc::Receiver<InFlight<Parsed>>,
    /// Arrived before their turn, where there is an order.
    early: BTreeMap<u64, InFlight<Parsed>>,
    next: Option<u64>,
}

impl Queue {
    fn new(arriving: mpsc::Receiver<InFlight<Parsed>>, in_order: bool) -> Self {
        Queue(tokio::sync::Mutex::new(Waiting { arriving, early: BTreeMap::new(), next: in_order.then_some(0) }))
    }

    async fn next(&self) -> Option<InFlight<Parsed>> {
        self.0.lock().await.next().await
    }
}

impl Waiting {
    async fn next(&mut self) -> Option<InFlight<Parsed>> {
        let Some(next) = self.next else { return self.arriving.recv().await };
        loop {
            if let Some(block) = self.early.remove(&next) {
                self.next = Some(next + 1);
                return Some(block);
            }
            // Behind a halt blocks are missing, and nobody wants those that follow.
            let block = self.arriving.recv().await?;
            self.early.insert(block.inner.block.number, block);
        }
    }
}

struct Worker {
    load: Arc<Load>,
    halt: Arc<Halt>,
    number: usize,
    meters: Meters,
    pulse: Arc<AtomicU64>,
    tally: Tally,
}

impl Worker {
    fn new(load: Arc<Load>, halt: Arc<Halt>, number: usize) -> Self {
        let pulse = Arc::new(AtomicU64::new(0));
        Worker { load, halt, number, meters: Meters::with_pulse(&pulse), pulse, tally: Tally::default() }
    }

    async fn run(mut self, mut target: Target, queue: Arc<Queue>) -> Result<(Worker, Target)> {
        let mut patience = Patience::new(self.load.retry_for);
        loop {
            // Nobody knows when a pipe has the next block.
            let next = tokio::select! {
                biased;
                stopped = self.load.interrupt.requested() => return Err(stopped),
                () = self.halt.certain() => None,
                next = queue.next() => next,
            };
            let Some(InFlight { inner: parsed, _permit }) = next else { return Ok((self, target)) };
            if self.halt.is_behind(parsed.block.number) {
                continue;
            }
            let _open = self.load.interrupt.open()?;
            let start = Instant::now();
            loop {
                match self.watched_attempt(&target, &parsed).await {
                    Ok(outcome) => {
                        self.note(&parsed, &outcome, start);
                        self.halt.add_done(parsed.block.number);
                        patience.restore();
                        break;
                    }
                    Err(error) if error.kind() == Kind::Input => {
                        self.halt.add_bad(parsed.block.number, error);
                        break;
                    }
                    Err(error) => target = self.recover(target, error, &mut patience).await?,
                }
            }
        }
    }

    fn note(&mut self, parsed: &Parsed, outcome: &Outcome, start: Instant) {
        self.meters.task.record(start);
        let bytes = parsed.block.bytes.len() as u64;
        match parsed.format {
            Format::Binary => self.tally.binary_blocks += 1,
            Format::Text => self.tally.text_blocks += 1,
        }
        self.tally.outcome += *outcome;
        self.tally.bytes += bytes;
        self.load.progress.add_rows(outcome.rows, 0);
        self.load.progress.add_task();
    }

    async fn watched_attempt(&mut self, target: &Target, parsed: &Parsed) -> Result<Outcome> {
        let (vigil, pulse) = (self.load.vigil.clone(), Arc::clone(&self.pulse));
        let backends = [(Side::Target, target.backend().pid)];
        tokio::select! {
            biased;
            done = self.attempt(target, parsed) => done,
            stalled = vigil.stalled(&backends, &pulse) => Err(stalled),
        }
    }

    async fn attempt(&mut self, target: &Target, parsed: &Parsed) -> Result<Outcome> {
        if !self.load.missing(&parsed.missing).is_empty() {
            return schema::giving_way(target, self.attempt_in_turn(target, parsed)).await;
        }
        match parsed.is_placed {
            true => self.load_block(target, parsed).await,
            false => schema::giving_way(target, self.load_block(target, parsed)).await,
        }
    }

    /// Where the chunks that a block needs can only be made by its rows, it is its worker's turn until it is committed: it
    /// would only wait for another one that makes some.
    async fn attempt_in_turn(&mut self, target: &Target, parsed: &Parsed) -> Result<Outcome> {
        let load = Arc::clone(&self.load);
        let turn = self.turn(&load).await;
        load.make_chunks(target, &parsed.missing).await?;
        if load.missing(&parsed.missing).is_empty() {
            drop(turn);
            return self.load_block(target, parsed).await;
        }
        let outcome = self.load_block(target, parsed).await?;
        load.make_chunks(target, &[]).await?;
        Ok(outcome)
    }

    /// Waits for the turn. Whoever has it may take long, and nothing has stalled.
    async fn turn<'l>(&self, load: &'l Load) -> tokio::sync::MutexGuard<'l, ()> {
        let mut turn = std::pin::pin!(load.turn.lock());
        let mut beat = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                biased;
                turn = &mut turn => return turn,
                _ = beat.tick() => self.pulse.fetch_add(1, Ordering::Relaxed),
            };
        }
    }

    async fn load_block(&mut self, target: &Target, parsed: &Parsed) -> Result<Outcome> {
        let Load { landing, budget, .. } = &*self.load;
        block::load(target, landing, parsed, budget, &mut self.meters.target).await
    }

    /// Another session, as soon as the server has one. The one that failed is in an unknown state.
    async fn recover(&self, target: Target, mut error: Error, patience: &mut Patience) -> Result<Target> {
        let backend = target.backend().clone();
        drop(target);
        loop {
            patience.wait(error, &self.load.progress, &self.load.interrupt).await?;
            let reopen = (self.load.reopen)(self.number, backend.clone());
            error = match tokio::time::timeout(self.load.retry_for.max(LEAST_CONNECT_TIME), reopen).await {
                Ok(Ok(target)) => return Ok(target),
                Ok(Err(error)) => error,
                Err(_) => Error::new(Kind::Target, "no session was had in time").retryable(),
            };
        }
    }
}

impl Load {
    /// The points among these that have no chunk yet, as far as is known.
    fn missing(&self, points: &[Point]) -> Vec<Point> {
        let atlas = self.atlas.lock().expect("no holder of the atlas panics");
        atlas.as_ref().map(|atlas| atlas.rows.missing(points)).unwrap_or_default()
    }

    /// Makes the chunks that are missing, where that needs no rows, and looks which there are.
    async fn make_chunks(&self, target: &Target, points: &[Point]) -> Result<()> {
        let missing = self.missing(points);
        let atlas = (self.make_chunks)(target, &missing).await?;
        *self.atlas.lock().expect("no holder of the atlas panics") = atlas;
        Ok(())
    }
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.binary_blocks += other.binary_blocks;
        self.text_blocks += other.text_blocks;
        self.outcome += other.outcome;
        self.bytes += other.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(line: u64) -> Error {
        Error::new(Kind::Input, format!("line {line}"))
    }

    #[tokio::test]
    async fn the_first_bad_block_is_certain_when_all_before_it_are_in() {
        let halt = Halt::default();
        halt.add_bad(3, bad(3));
        halt.add_done(0);
        halt.add_done(2);
        assert!(!halt.ended().is_certain() && halt.is_behind(3) && !halt.is_behind(1));
        halt.add_bad(1, bad(1));
        halt.certain().await;
        assert!(halt.is_behind(1));
        assert_eq!(halt.verdict().unwrap_err().message(), "line 1");
    }

    #[test]
    fn without_a_bad_block_all_are_wanted() {
        let halt = Halt::default();
        halt.add_done(0);
        assert!(!halt.is_behind(u64::MAX) && !halt.ended().is_certain());
        assert!(halt.verdict().is_ok());
    }
}

//! Reads rows again and compares them: the target with what a migration copied, or both sides of a table as they are now.
//!
//! [`recount()`] compares the target with what a migration has counted. [`run`] is the conductor of `verify`: look, two
//! snapshots, ranges that tile the axis, workers that compare them on both sides at once. Both read by a [`Reading`]:
//! through the hypertable, so that a row is found whatever chunk holds it.
//!
//! **Invariant:** trusts no count that a copy made, nor any statistics: what is compared was read from the tables.

mod columns;
mod comparison;
mod difference;
mod keys;
mod narrow;
mod ranges;
mod reading;
mod ready;
mod recount;
mod report;
mod sides;

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

pub use comparison::{Comparison, Findings};
pub use difference::Difference;
pub use keys::{KeyDifference, KeyFinding};
pub use reading::{Hashing, Reading};
pub use recount::{Expected, recount};
pub use report::{ComparisonReport, KeyReport, RangeReport, SnapshotsReport, VerifyPlanReport, VerifyReport};

use self::comparison::Tally;
use self::narrow::Narrowing;
use self::ready::Ready;
use self::sides::{Pair, Sides};
use crate::connect::Conninfo;
use crate::error::{Context, Kind, Result};
use crate::look::Bounds;
use crate::pipeline::{Queue, Queues};
use crate::progress::{Planned, Progress};
use crate::supervision::Supervision;

/// How rows are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Not beyond the counts that every task of a migration compares.
    None,
    /// Rows per range.
    Counts,
    /// Rows and a multiset checksum over every bit of them.
    Checksum,
}

impl Mode {
    /// The word for it on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Mode::None => "none",
            Mode::Counts => "counts",
            Mode::Checksum => "checksum",
        }
    }
}

/// What was asked for.
pub struct Request {
    /// The source.
    pub source: Conninfo,
    /// The target.
    pub target: Conninfo,
    /// The hypertable, as written: resolved on the source under the role's `search_path`.
    pub table: String,
    /// Its name on the target, as written; the source's where there is none.
    pub target_table: Option<String>,
    /// First value of the primary dimension, as written.
    pub from: Option<String>,
    /// First value that is left out, as written.
    pub until: Option<String>,
    /// How many workers compare; each holds one session on either side.
    pub jobs: usize,
    /// Whether rows are only counted, and not read.
    pub counts_only: bool,
}

/// Compares a hypertable with another one, as both are now. Nothing is written; what is known is noted in `report` also
/// when it fails.
///
/// That the sides differ is an answer and no error: see [`Comparison::verdict`]. Dropping the future stops all workers;
/// call [`Supervision::cancel_all`] then, as after an error.
///
/// # Errors
/// [`Kind::Refused`] for tables that cannot be compared, [`Kind::Source`] and [`Kind::Target`] for servers that fail,
/// [`Kind::Resumable`] where a lock is not had in time.
pub async fn run(request: &Request, supervision: &Supervision, report: &mut VerifyReport) -> Result<Comparison> {
    let start = Instant::now();
    let progress = &supervision.progress;
    progress.phase("looking at both sides");
    let sides = Sides::look(request, supervision).await?;
    report.sides(&sides.source.report(), &sides.target.report());
    let bounds =
        Bounds::resolve(&sides.source.axis().await?, request.from.as_deref(), request.until.as_deref()).await?;
    progress.phase("taking the snapshots");
    let snapshots = sides.snapshots(request, bounds.range, supervision).await?;
    report.snapshots = Some(snapshots.taken_at());
    progress.phase("planning");
    let ready = Ready::make(&sides, snapshots, bounds, request, progress).await?;
    report.plan(&ready, if request.counts_only { Mode::Counts } else { Mode::Checksum });
    report.phase("look, snapshots and plan", start);

    let start = Instant::now();
    progress.plan(Planned { rows: ready.estimated_rows(), tasks: ready.tasks.len() as u64, bytes: 0 });
    progress.phase("comparing");
    let comparison = compare(ready, request, progress).await?;
    report.phase("compare", start);
    report.comparison = Some(ComparisonReport::of(&comparison, progress.snapshot().bytes));
    Ok(comparison)
}

async fn compare(ready: Ready, request: &Request, progress: &Arc<Progress>) -> Result<Comparison> {
    let narrowing = Arc::new(Narrowing::new(ready.primary, ready.key, !request.counts_only));
    let queues = Queues::of(&ready.shares, &ready.tasks);
    let mut workers = JoinSet::new();
    for (number, pair) in ready.pairs.into_iter().enumerate() {
        workers.spawn(work(Arc::clone(&narrowing), pair, queues.of_worker(number), Arc::clone(progress)));
    }
    let mut tally = Tally::default();
    while let Some(ended) = workers.join_next().await {
        tally += ended.doing(Kind::Internal, || "a worker ended without an answer")??;
    }
    Ok(narrowing.comparison(tally))
}

/// A worker narrows what it finds to differ before it goes on: only it may hold the locks of that range.
async fn work(narrowing: Arc<Narrowing>, pair: Pair, queue: Queue, progress: Arc<Progress>) -> Result<Tally> {
    let mut tally = Tally::default();
    loop {
        let task = queue.lock().expect("no holder of the queue panics").pop_front();
        let Some(task) = task else { return Ok(tally) };
        let compared = pair.compare(task.range).await?;
        tally.add(compared);
        if compared.differs() {
            narrowing.narrow(&pair, compared).await?;
        }
        progress.add_task();
    }
}

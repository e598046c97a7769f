//! What a rechunk has to tell.

use serde::{Deserialize, Serialize};

use crate::plan::Statement;
use crate::report::{JobRun, RunReport, Verification};

/// The report of one run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct RechunkReport {
    /// What every run tells.
    #[serde(flatten)]
    pub run: RunReport,
    /// The job that it is a run of.
    #[serde(flatten)]
    pub job: JobRun,
    /// Where the job stands now: `prepared`, `copying`, `finalizing`, `ready`, `swapped` or `finished`; none before it began,
    /// and behind an abort.
    pub state: Option<String>,
    /// What was planned; by the run that began the job.
    pub plan: Option<PlanReport>,
    /// Rows that have been copied first, by all runs.
    pub rows: u64,
    /// What verification found.
    pub verification: Option<Verification>,
    /// Marks of changes that wait to be copied again.
    pub marks: Option<MarksReport>,
    /// The swap.
    pub swap: Option<SwapReport>,
    /// Chunks that were compressed again by this run.
    pub compressed_chunks: u64,
    /// The name of the old table, where it is kept.
    pub kept: Option<String>,
}

impl std::ops::Deref for RechunkReport {
    type Target = RunReport;

    fn deref(&self) -> &RunReport {
        &self.run
    }
}

impl std::ops::DerefMut for RechunkReport {
    fn deref_mut(&mut self) -> &mut RunReport {
        &mut self.run
    }
}

/// What will be done.
#[derive(Debug, Serialize, Deserialize)]
pub struct PlanReport {
    /// The dimensions now, in words.
    pub old_layout: String,
    /// The dimensions that the table will get.
    pub new_layout: String,
    /// How the interval was found, where a size was asked for.
    pub sized: Option<SizedReport>,
    /// Chunks now.
    pub old_chunks: usize,
    /// Chunks that will be made.
    pub new_chunks: u64,
    /// Rows, by the planner's statistics.
    pub estimated_rows: u64,
    /// Seconds that copy and indexes take about, by a sample; none of an empty table.
    pub estimated_seconds: Option<f64>,
    /// Rows of that sample.
    pub sample_rows: Option<u64>,
    /// Bytes that the new table and its indexes will take beside the old ones.
    pub disk_bytes: u64,
    /// Bytes of WAL, at least.
    pub wal_bytes: u64,
    /// How changes are noted meanwhile, in words.
    pub capture: String,
    /// Locks that keep others waiting, in their order.
    pub locks: Vec<String>,
    /// What uses the table and will use the new one.
    pub users: Vec<String>,
    /// What it costs to make continuous aggregates again, in words.
    pub aggregates: Vec<String>,
    /// DDL on the empty table.
    pub before_rows: Vec<Statement>,
    /// DDL behind the rows.
    pub after_rows: Vec<Statement>,
}

/// How an interval was found.
#[derive(Debug, Serialize, Deserialize)]
pub struct SizedReport {
    /// The interval, in words.
    pub interval: String,
    /// Bytes that a chunk and its indexes will have, on the average.
    pub bytes: u64,
    /// Bytes of the table and its indexes.
    pub total_bytes: u64,
    /// The time that its rows cover, gaps aside, in words; of an integer dimension, a number in its unit.
    pub covered: String,
}

/// Marks of changes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct MarksReport {
    /// Ranges that they touch.
    pub ranges: u64,
    /// Bytes of their table.
    pub bytes: u64,
}

/// What the swap has kept others from doing, and for how long.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SwapReport {
    /// What was locked.
    pub locked: Vec<String>,
    /// For how long, in seconds.
    pub locked_seconds: f64,
    /// Seconds of that in which rows were copied.
    pub caught_up_seconds: f64,
    /// Ranges that were copied again under the lock.
    pub ranges: usize,
}

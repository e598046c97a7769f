//! What an import has to tell.

use serde::{Deserialize, Serialize};

use crate::plan::Statement;
use crate::report::{JobRun, LatencyReport, RunReport};

/// The report of one import.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct ImportReport {
    /// What every run tells.
    #[serde(flatten)]
    pub run: RunReport,
    /// The job that it is a run of.
    #[serde(flatten)]
    pub job: JobRun,
    /// What was planned.
    pub plan: Option<ImportPlan>,
    /// Records that were read by all runs of the job.
    pub records: u64,
    /// Rows that were stored; with conflicts that are updated, or that took the place of others.
    pub rows: u64,
    /// Records whose key was there already, or that gave way to another record.
    pub skipped: u64,
    /// Rows that triggers of the table have taken away.
    pub suppressed: u64,
    /// Records that were left out.
    pub rejected: u64,
    /// Blocks that earlier runs had done.
    pub resumed_blocks: u64,
    /// Blocks that were sent in binary format by this run.
    pub binary_blocks: u64,
    /// Blocks that were sent as text by this run, for the server's parser to judge.
    pub text_blocks: u64,
    /// Bytes of CSV that this run has loaded, decompressed.
    pub bytes: u64,
    /// Where the workers' time went.
    pub latency: Option<LatencyReport>,
    /// Where the records that were left out have been written.
    pub rejects_file: Option<String>,
}

impl std::ops::Deref for ImportReport {
    type Target = RunReport;

    fn deref(&self) -> &RunReport {
        &self.run
    }
}

impl std::ops::DerefMut for ImportReport {
    fn deref_mut(&mut self) -> &mut RunReport {
        &mut self.run
    }
}

/// What will be done.
#[derive(Debug, Serialize, Deserialize)]
pub struct ImportPlan {
    /// The files.
    pub files: Vec<FileReport>,
    /// The columns they give, in their order, with their types.
    pub columns: Vec<ColumnReport>,
    /// The table's dimensions, in words.
    pub layout: String,
    /// Why rows are sent as text; nothing where they are binary wherever their values allow it.
    pub text_reason: Option<String>,
    /// The encoding of the files.
    pub encoding: String,
    /// The zone that times without one are read in.
    pub time_zone: String,
    /// The least bytes of a block.
    pub block_bytes: usize,
    /// What becomes of a row whose key is there already.
    pub on_conflict: String,
    /// The columns of that key.
    pub conflict_key: Vec<String>,
    /// Blocks that earlier runs have done.
    pub done_blocks: u64,
    /// DDL before the rows.
    pub before_rows: Vec<Statement>,
    /// DDL behind the rows.
    pub after_rows: Vec<Statement>,
    /// What to think of before it starts.
    pub warnings: Vec<String>,
}

/// A file of an import.
#[derive(Debug, Serialize, Deserialize)]
pub struct FileReport {
    /// Its name; `-` is stdin.
    pub name: String,
    /// Its bytes on the disk, where it has some.
    pub bytes: Option<u64>,
    /// How it is compressed.
    pub codec: String,
}

/// A column of an import.
#[derive(Debug, Serialize, Deserialize)]
pub struct ColumnReport {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: String,
}

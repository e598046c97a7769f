//! What a dump has to tell.

use serde::{Deserialize, Serialize};

use crate::archive::{ArchiveId, Manifest};
use crate::catalog::NotCarried;
use crate::error::{Error, Kind};
use crate::report::{JobRun, LatencyReport, ResumeReport, RunReport};

/// The report of one run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct DumpReport {
    /// What every run tells.
    #[serde(flatten)]
    pub run: RunReport,
    /// How often it was begun anew, and whether an earlier run has finished it.
    #[serde(flatten)]
    pub job: JobRun,
    /// The directory of the archive, as given.
    pub archive: Option<String>,
    /// What tells the archive from every other one.
    pub archive_id: Option<ArchiveId>,
    /// What was found of earlier runs.
    pub resumed: Option<ResumeReport>,
    /// When the snapshot was taken, by the source's clock.
    pub snapshot_at: Option<String>,
    /// What was planned.
    pub plan: Option<DumpPlanReport>,
    /// Segments of the archive.
    pub segments: Option<usize>,
    /// Those of them that are the base's.
    pub reused_segments: usize,
    /// Rows in the archive.
    pub rows: u64,
    /// Bytes of the segments once they are decompressed.
    pub bytes: u64,
    /// Bytes of the segments' files.
    pub file_bytes: u64,
    /// Those of them that are the base's.
    pub reused_file_bytes: u64,
    /// Where the workers' time went.
    pub latency: Option<LatencyReport>,
    /// `none`, `counts` or `checksum`.
    pub verified: Option<String>,
    /// What the table has and the archive has not.
    pub not_carried: Vec<NotCarried>,
}

/// What will be done.
#[derive(Debug, Serialize, Deserialize)]
pub struct DumpPlanReport {
    /// The table's dimensions, in words.
    pub layout: String,
    /// The range of the primary dimension.
    pub range: String,
    /// Chunks in the range.
    pub chunks: usize,
    /// Segments that are to be written.
    pub tasks: usize,
    /// Segments of earlier runs.
    pub done_tasks: usize,
    /// Segments of the base that may be taken over.
    pub base_segments: usize,
    /// Rows that are to be written, by the source's statistics.
    pub estimated_rows: u64,
    /// Bytes of the table's files for them, uncompressed.
    pub estimated_bytes: u64,
    /// Bytes that their segments will have, by a sample of rows; none where there were none.
    pub archive_bytes: Option<u64>,
    /// Bytes that are free on the disk of the archive.
    pub free_bytes: Option<u64>,
    /// What segments hold: `binary`, `csv` or `text`.
    pub format: String,
    /// Why they are not binary.
    pub format_reason: Option<String>,
    /// How they are compressed.
    pub compression: String,
    /// Locks that are held on the source.
    pub source_locks: String,
    /// What to think of before it starts.
    pub warnings: Vec<String>,
}

impl std::ops::Deref for DumpReport {
    type Target = RunReport;

    fn deref(&self) -> &RunReport {
        &self.run
    }
}

impl std::ops::DerefMut for DumpReport {
    fn deref_mut(&mut self) -> &mut RunReport {
        &mut self.run
    }
}

impl DumpReport {
    /// Notes what is in the archive.
    pub(super) fn hold(&mut self, manifest: &Manifest) {
        let reused = || manifest.segments.iter().filter(|segment| segment.reused);
        self.archive_id = Some(manifest.id.clone());
        self.segments = Some(manifest.segments.len());
        self.reused_segments = reused().count();
        self.rows = manifest.rows();
        self.bytes = manifest.segments.iter().map(|segment| segment.bytes).sum();
        self.file_bytes = manifest.segments.iter().map(|segment| segment.file_bytes).sum();
        self.reused_file_bytes = reused().map(|segment| segment.file_bytes).sum();
    }

    /// The archive was complete already.
    pub(super) fn finished_before(&mut self, manifest: &Manifest) {
        self.hold(manifest);
        self.snapshot_at = Some(manifest.snapshot_at.clone());
        self.job.finished_at = Some(manifest.snapshot_at.clone());
        self.finish();
    }

    /// Adds to an error of a dump that has begun how it goes on. `command` is the one that was run.
    pub fn explain_resumption(&self, error: Error, command: &str) -> Error {
        if !self.job.has_begun || error.kind() == Kind::Held {
            return error;
        }
        let archive = self.archive.as_deref().unwrap_or_default();
        let next = format!(
            "{archive} keeps the segments that are whole: run the same command again to go on, or with --restart to begin anew:\n    {command}"
        );
        let hint = error.hint_text().map(|hint| format!("{hint} {next}"));
        error.hint(hint.unwrap_or(next))
    }
}

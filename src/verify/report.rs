//! What a comparison has to tell.

use serde::{Serialize, Serializer};

use super::ready::Ready;
use super::{Comparison, Difference, KeyDifference, KeyFinding, Mode};
use crate::pgcopy::{Format, TimeType, checksum};
use crate::report::{Report, RunReport};

/// The report of one `verify`. With keys in it, it holds values of the rows that differ, because it was asked for them.
#[derive(Debug, Default, Serialize)]
pub struct VerifyReport {
    /// What every run tells.
    #[serde(flatten)]
    pub run: RunReport,
    /// When the snapshots were taken.
    pub snapshots: Option<SnapshotsReport>,
    /// What is compared, and how.
    pub plan: Option<VerifyPlanReport>,
    /// What was found.
    pub comparison: Option<ComparisonReport>,
    /// What became of the ranges that differ, where they were copied again.
    pub repair: Option<Report>,
}

impl std::ops::Deref for VerifyReport {
    type Target = RunReport;

    fn deref(&self) -> &RunReport {
        &self.run
    }
}

impl std::ops::DerefMut for VerifyReport {
    fn deref_mut(&mut self) -> &mut RunReport {
        &mut self.run
    }
}

/// When the snapshots were taken, each by its own server's clock.
#[derive(Debug, Serialize)]
pub struct SnapshotsReport {
    /// The source's.
    pub source: String,
    /// The target's.
    pub target: String,
}

/// What is compared, and how.
#[derive(Debug, Serialize)]
pub struct VerifyPlanReport {
    /// `counts` or `checksum`.
    pub mode: &'static str,
    /// The range of the primary dimension.
    pub range: String,
    /// Ranges that are compared one by one.
    pub ranges: usize,
    /// The source's dimensions, in words.
    pub source_layout: String,
    /// The target's dimensions, in words.
    pub target_layout: String,
    /// Chunks of the source in the range.
    pub source_chunks: usize,
    /// Chunks of the target in the range.
    pub target_chunks: usize,
    /// Format of the rows that are read.
    pub format: Format,
    /// Why they are not binary.
    pub format_reason: Option<String>,
    /// The version of the canonical form that checksums are over.
    pub canonical_form: u32,
}

impl VerifyReport {
    /// Notes what was decided.
    pub(super) fn plan(&mut self, ready: &Ready, mode: Mode) {
        let ([source_layout, target_layout], [source_chunks, target_chunks]) = (ready.layouts.clone(), ready.chunks);
        self.plan = Some(VerifyPlanReport {
            mode: mode.name(),
            range: ready.bounds.range.display(ready.bounds.time_type),
            ranges: ready.tasks.len(),
            source_layout,
            target_layout,
            source_chunks,
            target_chunks,
            format: ready.wire.format,
            format_reason: ready.wire.reason.clone(),
            canonical_form: checksum::VERSION,
        });
    }
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct ComparisonReport {
    /// Rows of the source.
    pub source_rows: u64,
    /// Rows of the target.
    pub target_rows: u64,
    /// The source's checksum; none where rows were only counted.
    pub source_checksum: Option<String>,
    /// The target's checksum.
    pub target_checksum: Option<String>,
    /// Bytes of COPY data that were read on both sides.
    pub bytes: u64,
    /// How many ranges differ.
    pub differing_ranges: usize,
    /// All ranges that differ.
    pub differences: Vec<RangeReport>,
    /// Where in them the differences lie, a limited number.
    pub narrowed: Vec<RangeReport>,
    /// Whether there is more to narrow than was narrowed.
    pub more_narrowed: bool,
    /// Keys of rows that differ, a limited number.
    pub keys: Vec<KeyReport>,
    /// Whether there are rows that differ and are not among the keys.
    pub more_keys: bool,
}

impl ComparisonReport {
    /// Of a comparison that read so many bytes.
    pub fn of(comparison: &Comparison, bytes: u64) -> Self {
        let Comparison { source, target, differences, findings, time_type, .. } = comparison;
        let range = |difference: &Difference| RangeReport::of(difference, *time_type);
        ComparisonReport {
            source_rows: source.rows,
            target_rows: target.rows,
            source_checksum: source.checksum.map(|checksum| checksum.to_string()),
            target_checksum: target.checksum.map(|checksum| checksum.to_string()),
            bytes,
            differing_ranges: differences.len(),
            differences: differences.iter().map(range).collect(),
            narrowed: findings.ranges.iter().map(range).collect(),
            more_narrowed: findings.more_ranges,
            keys: findings.keys.iter().map(|key| KeyReport::of(key, &comparison.key_columns)).collect(),
            more_keys: findings.more_keys,
        }
    }
}

/// A range that differs; with the same number of rows, their checksums do.
#[derive(Debug, Serialize)]
pub struct RangeReport {
    /// For people.
    pub range: String,
    /// Its first value; none where it has no beginning.
    pub from: Option<String>,
    /// The first value behind it; none where it has no end.
    pub until: Option<String>,
    /// Rows of the source.
    pub source_rows: u64,
    /// Rows of the target.
    pub target_rows: u64,
}

impl RangeReport {
    fn of(difference: &Difference, time_type: TimeType) -> Self {
        let Difference { range, source, target } = difference;
        RangeReport {
            range: range.display(time_type),
            from: range.from.map(|from| time_type.spoken().literal(from)),
            until: range.until.map(|until| time_type.spoken().literal(until)),
            source_rows: source.rows,
            target_rows: target.rows,
        }
    }
}

/// A key whose rows differ.
#[derive(Debug, Serialize)]
pub struct KeyReport {
    /// The key's columns with their values, as text; none is NULL.
    #[serde(serialize_with = "as_object")]
    pub key: Vec<(String, Option<String>)>,
    /// How its rows differ.
    pub finding: KeyFinding,
    /// Rows of the source that have no equal on the target.
    pub source_rows: u64,
    /// Rows of the target that have no equal on the source.
    pub target_rows: u64,
}

fn as_object<S: Serializer>(key: &[(String, Option<String>)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(key.iter().map(|(column, value)| (column, value)))
}

impl KeyReport {
    fn of(found: &KeyDifference, columns: &[String]) -> Self {
        KeyReport {
            key: columns.iter().cloned().zip(found.key.iter().cloned()).collect(),
            finding: found.finding,
            source_rows: found.source_rows,
            target_rows: found.target_rows,
        }
    }
}

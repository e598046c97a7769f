//! What a comparison has found, as plain data: for a report, and for whoever wants to do something about it.

use std::ops::AddAssign;

use super::{Difference, KeyDifference};
use crate::error::{Error, Kind, Result};
use crate::ledger::Counted;
use crate::pgcopy::TimeType;

/// Both sides of a table, compared.
#[derive(Debug)]
pub struct Comparison {
    /// How many ranges were compared. They tile the axis, or what of it was asked for.
    pub ranges: usize,
    /// What the source holds in all of them.
    pub source: Counted,
    /// What the target holds in all of them.
    pub target: Counted,
    /// Every range that differs, along the axis: outside of these the two sides are equal.
    pub differences: Vec<Difference>,
    /// Where in these ranges the differences lie, as far as it was looked for.
    pub findings: Findings,
    /// The primary dimension's type, for the display of ranges.
    pub time_type: TimeType,
    /// The columns that name a row.
    pub key_columns: Vec<String>,
}

/// Narrowed differences. There is a limit to each list, so that a table that differs everywhere is no endless report.
#[derive(Debug, Default)]
pub struct Findings {
    /// Narrow ranges that differ.
    pub ranges: Vec<Difference>,
    /// Keys of rows that differ; none where rows were only counted.
    pub keys: Vec<KeyDifference>,
    /// Not every difference was narrowed.
    pub more_ranges: bool,
    /// Not every row that differs is named by a key.
    pub more_keys: bool,
}

impl Comparison {
    /// Whether the sides are equal.
    ///
    /// # Errors
    /// [`Kind::Different`] where they are not.
    pub fn verdict(&self) -> Result<()> {
        let Some(first) = self.differences.first() else { return Ok(()) };
        Err(Error::new(
            Kind::Different,
            format!(
                "source and target differ in {} of {} ranges, the first one {}: {} rows on the source, {} on the target",
                self.differences.len(),
                self.ranges,
                first.range.display(self.time_type),
                first.source.rows,
                first.target.rows
            ),
        ))
    }
}

/// What a worker has compared.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) ranges: usize,
    pub(super) source: Counted,
    pub(super) target: Counted,
    pub(super) differences: Vec<Difference>,
}

impl Tally {
    /// Adds a range.
    pub(super) fn add(&mut self, compared: Difference) {
        self.ranges += 1;
        self.source += compared.source;
        self.target += compared.target;
        self.differences.extend(compared.differs().then_some(compared));
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.ranges += other.ranges;
        self.source += other.source;
        self.target += other.target;
        self.differences.extend(other.differences);
    }
}

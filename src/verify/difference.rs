//! What one range holds on either side.

use crate::ledger::Counted;
use crate::plan::Range;

/// A range and what was found in it. On the two sides the same was counted: rows, or rows and their checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The range of the primary dimension.
    pub range: Range,
    /// What the source holds, or held when it was copied.
    pub source: Counted,
    /// What the target holds.
    pub target: Counted,
}

impl Difference {
    /// Whether the two sides hold different rows.
    pub fn differs(&self) -> bool {
        self.source != self.target
    }

    /// The rows of the side that has more of them.
    pub fn most_rows(&self) -> u64 {
        self.source.rows.max(self.target.rows)
    }

    /// Whether one side has no row at all.
    pub fn is_one_sided(&self) -> bool {
        self.source.rows == 0 || self.target.rows == 0
    }

    /// What `range` holds, which is this without `part`: of the same snapshots, and a part of this range.
    pub(super) fn rest(&self, part: &Difference, range: Range) -> Difference {
        Difference { range, source: self.source - part.source, target: self.target - part.target }
    }
}

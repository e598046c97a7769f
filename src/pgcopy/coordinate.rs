//! Where a row lies along a dimension.

use super::{TimeType, binary, text};

/// A column of COPY's rows whose values are numbers of a dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coordinate {
    /// Which of the copied columns.
    pub column: usize,
    /// What its values are.
    pub time_type: TimeType,
}

impl Coordinate {
    /// The internal time of a binary row; none where the column is null, or holds no such value.
    #[inline]
    pub fn of_binary(self, row: &binary::Row<'_>) -> Option<i64> {
        self.time_type.internal(row.field(self.column)?)
    }

    /// The internal time of a line of the text format, as [`TimeType::read`] takes it.
    pub fn of_text(self, row: &text::Row<'_>) -> Option<i64> {
        self.time_type.read(row.field(self.column)?)
    }
}

//! Dimension arithmetic as TimescaleDB does it for a new chunk (`calculate_open_range_default` in its dimension.c).
//!
//! It foretells where chunks will be, for planning alone: rows are routed by slices that were read back.

use serde::{Deserialize, Serialize};

use super::Range;
use crate::catalog::{Hypertable, Slice};
use crate::ident::{QualifiedName, display_ident, quote_ident};
use crate::pgcopy::{Coordinate, HashType, TimeType};

/// A dimension with an interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenDimension {
    /// The column.
    pub column: String,
    /// The type of its values: the column's, or what the function answers.
    pub time_type: TimeType,
    /// Microseconds, or the column's own unit for integers; positive.
    pub interval: i64,
    /// The function that makes a value of what the column holds, where that is none (`time_partitioning_func`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<QualifiedName>,
}

/// A dimension with a number of hash partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedDimension {
    /// The column.
    pub column: String,
    /// How many partitions.
    pub partitions: i32,
    /// How to hash the column's binary values; none where the server has to.
    pub hash_type: Option<HashType>,
    /// The function that hashes instead of TimescaleDB's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<QualifiedName>,
}

impl ClosedDimension {
    /// The slices of its partitions (`calculate_closed_range_default` in TimescaleDB's dimension.c).
    pub fn slices(&self) -> impl Iterator<Item = Slice> {
        let partitions = i64::from(self.partitions);
        let width = i64::from(i32::MAX) / partitions;
        (0..partitions).map(move |partition| Slice {
            start: if partition == 0 { i64::MIN } else { partition * width },
            end: if partition + 1 == partitions { i64::MAX } else { (partition + 1) * width },
        })
    }
}

impl OpenDimension {
    /// A row's value as SQL. `row` is what stands before its column: nothing, or `new.`.
    pub fn value_in(&self, row: &str) -> String {
        value_sql(self.function.as_ref(), &self.column, row)
    }

    /// The same, where the row is of the only table there is.
    pub fn value(&self) -> String {
        self.value_in("")
    }

    /// A range of it as an SQL condition; none for [`Range::ALL`].
    pub fn condition(&self, range: Range) -> Option<String> {
        range.condition(&self.value(), self.time_type)
    }

    /// ` where …`, or nothing for a range without bounds.
    pub fn filter(&self, range: Range) -> String {
        self.condition(range).map(|condition| format!(" where {condition}")).unwrap_or_default()
    }

    /// A query for the least and the greatest value, in internal time, of `rows`, which is what follows FROM. Two nulls where
    /// there are none; cheap where an index begins with the dimension. `functions` is the schema of TimescaleDB's.
    pub fn extent_query(&self, rows: &str, functions: &str) -> String {
        let value = self.value();
        // There is no min() of uuid.
        let end = |order: &str| {
            format!("{functions}.time_to_internal((select {value} from {rows} order by {value}{order} limit 1))")
        };
        format!("select {}, {}", end(""), end(" desc"))
    }

    /// Whether a value of this dimension is one of the other, too, for the same row.
    pub fn is_axis_of(&self, other: &OpenDimension) -> bool {
        (&self.column, &self.function, self.time_type) == (&other.column, &other.function, other.time_type)
    }

    /// For people: `time`, `app.moment(document)`.
    pub fn name(&self) -> String {
        display_value(self.function.as_ref(), &self.column)
    }

    /// Where copied rows of a table have their values; none where the table has no such column to copy, and where only the
    /// server knows what its function makes of it.
    pub fn coordinate(&self, table: &Hypertable) -> Option<Coordinate> {
        if self.function.is_some() {
            return None;
        }
        let column = table.copied_columns().position(|column| column.name == self.column)?;
        Some(Coordinate { column, time_type: self.time_type })
    }

    /// The slice of a new chunk for `value`, were there no neighbours to cut it.
    pub fn bucket(&self, value: i64) -> Slice {
        let (minimum, maximum) = bounds(self.time_type);
        let interval = self.interval;
        let value = value.max(minimum);
        if value >= 0 {
            let start = (value / interval) * interval;
            let end = if maximum.saturating_sub(start) < interval { i64::MAX } else { start + interval };
            Slice { start, end }
        } else {
            let end = ((value + 1) / interval) * interval;
            let start = if minimum.saturating_sub(end) > -interval { i64::MIN } else { end - interval };
            Slice { start, end }
        }
    }

    /// The greatest width of at most `width` whose multiples can all be written as values: whole days of a date; at least
    /// one unit.
    pub fn whole_units(&self, width: i64) -> i64 {
        let unit = self.time_type.unit();
        (width / unit).max(1) * unit
    }

    /// Where the last bucket begins, which has no end.
    pub fn last_bucket_start(&self) -> i64 {
        self.bucket(bounds(self.time_type).1).start
    }

    /// Whether −infinity has a place, or is no value at all: only where the earliest finite value opens a slice without a start.
    pub fn holds_minus_infinity(&self) -> bool {
        !self.time_type.has_infinities() || self.bucket(bounds(self.time_type).0).start == i64::MIN
    }

    /// A value inside the bucket of `value` that a chunk can be made for: −infinity makes none, the earliest finite
    /// value does.
    pub fn point(&self, value: i64) -> i64 {
        match self.time_type.is_integer() {
            true => value,
            false => value.max(bounds(self.time_type).0),
        }
    }
}

/// The value that a function, or none, makes of a row's column, as SQL.
pub(super) fn value_sql(function: Option<&QualifiedName>, column: &str, row: &str) -> String {
    let column = format!("{row}{}", quote_ident(column));
    function.map_or(column.clone(), |function| format!("{}({column})", function.sql()))
}

/// The same for people.
pub(super) fn display_value(function: Option<&QualifiedName>, column: &str) -> String {
    let column = display_ident(column);
    function.map_or(column.clone(), |function| format!("{function}({column})"))
}

/// Least and greatest finite value of a type, in internal time (limits of TimescaleDB's `src/time_utils.h`). A date's last
/// midnight is earlier, but intervals of whole days divide both alike.
pub(super) fn bounds(time_type: TimeType) -> (i64, i64) {
    match time_type {
        TimeType::Int2 => (i16::MIN.into(), i16::MAX.into()),
        TimeType::Int4 => (i32::MIN.into(), i32::MAX.into()),
        TimeType::Int8 => (i64::MIN, i64::MAX),
        TimeType::Timestamptz | TimeType::Timestamp | TimeType::Date => {
            (-210_866_803_200_000_000, 9_223_371_331_199_999_999)
        }
        TimeType::Uuid => (0, ((1 << 48) - 1) * 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn dimension(time_type: TimeType, interval: i64) -> OpenDimension {
        OpenDimension { column: "time".into(), time_type, interval, function: None }
    }

    fn timestamps(interval: i64) -> OpenDimension {
        dimension(TimeType::Timestamptz, interval)
    }

    /// The slices that a server showed (reference 1.4).
    #[test]
    fn buckets_are_the_servers() {
        let week = timestamps(168 * HOUR);
        assert_eq!(
            week.bucket(1_741_132_800_000_000),
            Slice { start: 1_740_614_400_000_000, end: 1_741_219_200_000_000 }
        );
        assert_eq!(week.bucket(-86_400_000_000), Slice { start: -604_800_000_000, end: 0 });
        assert_eq!(week.bucket(-210_866_803_200_000_000), Slice { start: i64::MIN, end: -210_866_544_000_000_000 });
        assert_eq!(week.bucket(9_223_371_244_800_000_000).end, i64::MAX);
        assert_eq!(timestamps(HOUR).bucket(9_223_371_331_199_999_999).end, i64::MAX);
        let small = dimension(TimeType::Int2, 1000);
        assert_eq!(small.bucket(32767), Slice { start: 32000, end: i64::MAX });
        assert_eq!(small.bucket(-32768), Slice { start: i64::MIN, end: -32000 });
    }

    #[test]
    fn a_function_stands_between_a_column_and_its_values() {
        let function = Some(QualifiedName::new("app", "moment"));
        let dimension = OpenDimension { function, ..dimension(TimeType::Int8, 10) };
        assert_eq!(dimension.value_in("new."), "\"app\".\"moment\"(new.\"time\")");
        assert_eq!(dimension.filter(Range::ALL), "");
        let range = Range { from: Some(5), until: None };
        assert_eq!(dimension.filter(range), " where \"app\".\"moment\"(\"time\") >= '5'::pg_catalog.int8");
        assert_eq!(dimension.name(), "app.moment(time)");
    }

    #[test]
    fn a_uuid_has_no_infinities_and_whole_milliseconds() {
        let week = dimension(TimeType::Uuid, 168 * HOUR);
        assert!(week.holds_minus_infinity());
        assert_eq!(week.point(i64::MIN), 0);
        assert_eq!(week.whole_units(1_500), 1_000);
        assert_eq!(week.bucket(((1 << 48) - 1) * 1000).end, i64::MAX);
    }

    #[test]
    fn minus_infinity_needs_an_open_first_slice() {
        assert!(timestamps(168 * HOUR).holds_minus_infinity());
        assert!(!timestamps(HOUR).holds_minus_infinity());
    }

    #[test]
    fn a_bucket_holds_its_value_whatever_the_value() {
        for interval in [1, 7, 1000, i64::MAX / 2, i64::MAX] {
            let dimension = dimension(TimeType::Int8, interval);
            for value in [i64::MIN, i64::MIN + 1, -1001, -1, 0, 1, 999, i64::MAX - 1, i64::MAX] {
                assert!(dimension.bucket(value).contains(value), "{value} with interval {interval}");
            }
        }
    }
}

//! Half-open ranges of the primary dimension, open at either end.

use serde::{Deserialize, Serialize};

use super::dimension::bounds;
use crate::catalog::Slice;
use crate::ident::quote_literal;
use crate::pgcopy::TimeType;

/// `[from, until)` in internal time (reference 1.4); `None` is no bound at all, so that ±infinity is inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// First value inside.
    pub from: Option<i64>,
    /// First value outside.
    pub until: Option<i64>,
}

impl Range {
    /// Everything.
    pub const ALL: Range = Range { from: None, until: None };
    /// No value at all.
    pub const NOTHING: Range = Range { from: Some(i64::MIN), until: Some(i64::MIN) };

    /// What a chunk with this slice may hold.
    pub fn of(slice: Slice) -> Range {
        Range {
            from: Some(slice.start).filter(|start| *start != i64::MIN),
            until: Some(slice.end).filter(|end| *end != i64::MAX),
        }
    }

    /// The slice that has its values; a bound at an end of the axis is none.
    pub fn slice(&self) -> Slice {
        Slice { start: self.from.unwrap_or(i64::MIN), end: self.until.unwrap_or(i64::MAX) }
    }

    /// Whether `value` lies inside.
    pub fn contains(&self, value: i64) -> bool {
        self.from.is_none_or(|from| from <= value) && self.until.is_none_or(|until| value < until)
    }

    /// Whether no value can lie inside.
    pub fn is_empty(&self) -> bool {
        matches!((self.from, self.until), (Some(from), Some(until)) if from >= until)
    }

    /// Whether a chunk with this slice may hold rows of the range.
    pub fn overlaps(&self, slice: Slice) -> bool {
        let begins_before_end = self.until.is_none_or(|until| slice.start < until);
        let ends_after_start = self.from.is_none_or(|from| slice.end > from || slice.end == i64::MAX);
        begins_before_end && ends_after_start
    }

    /// The bounds that a chunk with this slice needs, because it reaches over the range's ends.
    pub fn within(&self, slice: Slice) -> Range {
        Range {
            from: self.from.filter(|from| slice.start < *from),
            until: self.until.filter(|until| slice.end > *until || slice.end == i64::MAX),
        }
    }

    /// What lies in both.
    pub fn intersect(&self, other: Range) -> Range {
        let later = |a: Option<i64>, b: Option<i64>| a.max(b);
        let earlier = |a: Option<i64>, b: Option<i64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Range { from: later(self.from, other.from), until: earlier(self.until, other.until) }
    }

    /// What is left of the range without `parts`, which lie inside it, in the order of the axis and without overlaps.
    pub fn without(&self, parts: impl IntoIterator<Item = Range>) -> Vec<Range> {
        let mut gaps = Vec::new();
        let mut rest = Some(*self);
        for part in parts {
            let Some(open) = rest else { break };
            if part.from != open.from {
                gaps.push(Range { until: part.from, ..open });
            }
            rest = part.until.map(|until| Range { from: Some(until), ..open });
        }
        gaps.extend(rest.filter(|rest| rest.from != rest.until || rest.from.is_none()));
        gaps
    }

    /// The range as a condition on `value`, which is SQL; none for [`Range::ALL`].
    pub(super) fn condition(&self, value: &str, time_type: TimeType) -> Option<String> {
        let bound = |operator: &str, bound: i64| format!("{value} {operator} {}", sql_value(time_type, bound));
        let from = self.from.map(|from| bound(">=", from));
        let until = self.until.map(|until| bound("<", until));
        match (from, until) {
            (Some(from), Some(until)) => Some(format!("{from} and {until}")),
            (from, until) => from.or(until),
        }
    }

    /// The range for people: `[2025-01-01 00:00:00+00, …)`.
    pub fn display(&self, time_type: TimeType) -> String {
        let bound = |value: Option<i64>| value.map_or("…".to_string(), |value| time_type.spoken().literal(value));
        format!("[{}, {})", bound(self.from), bound(self.until))
    }
}

/// An internal value as a typed SQL literal. Integers of every width are written as bigint, so that a bound outside
/// the column's own type is no error.
pub(super) fn sql_value(time_type: TimeType, internal: i64) -> String {
    let internal = writable(time_type, internal);
    format!("{}::pg_catalog.{}", quote_literal(&time_type.literal(internal)), type_name(time_type))
}

/// TimescaleDB refuses a statement that names a time behind the last one that it stores, where the last chunk may begin:
/// nothing but infinity lies there.
fn writable(time_type: TimeType, internal: i64) -> i64 {
    match time_type {
        TimeType::Timestamptz | TimeType::Timestamp if internal > bounds(time_type).1 => i64::MAX,
        _ => internal,
    }
}

/// The name in `pg_catalog` of the type that values of a dimension are written in.
pub(crate) fn type_name(time_type: TimeType) -> &'static str {
    match time_type {
        TimeType::Timestamptz => "timestamptz",
        TimeType::Timestamp => "timestamp",
        TimeType::Date => "date",
        TimeType::Int2 | TimeType::Int4 | TimeType::Int8 => "int8",
        TimeType::Uuid => "uuid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE: Slice = Slice { start: 10, end: 20 };

    #[test]
    fn a_chunk_inside_the_range_needs_no_bounds() {
        let range = Range { from: Some(10), until: Some(20) };
        assert!(range.overlaps(SLICE));
        assert_eq!(range.within(SLICE), Range::ALL);
    }

    #[test]
    fn a_chunk_over_the_edge_needs_the_bound_of_that_edge() {
        assert_eq!(Range { from: Some(15), until: None }.within(SLICE), Range { from: Some(15), until: None });
        assert_eq!(Range { from: None, until: Some(19) }.within(SLICE), Range { from: None, until: Some(19) });
        assert!(!Range { from: Some(20), until: None }.overlaps(SLICE));
        assert!(!Range { from: None, until: Some(10) }.overlaps(SLICE));
    }

    #[test]
    fn the_last_slice_contains_infinity() {
        let last = Slice { start: 10, end: i64::MAX };
        assert!(last.contains(i64::MAX));
        assert_eq!(Range { from: None, until: Some(i64::MAX) }.within(last).until, Some(i64::MAX));
        assert!(Range { from: Some(i64::MAX), until: None }.overlaps(last));
    }

    #[test]
    fn what_is_left_fills_the_gaps_between_the_parts() {
        let range = |from, until| Range { from, until };
        let parts = [range(None, Some(10)), range(Some(10), Some(20)), range(Some(30), Some(40))];
        assert_eq!(Range::ALL.without(parts), [range(Some(20), Some(30)), range(Some(40), None)]);
        assert_eq!(Range::ALL.without([]), [Range::ALL]);
        assert_eq!(Range::ALL.without([Range::ALL]), []);
        let bounds = range(Some(0), Some(40));
        assert_eq!(bounds.without(parts[1..].to_vec()), [range(Some(0), Some(10)), range(Some(20), Some(30))]);
        assert_eq!(bounds.without([bounds]), []);
    }

    #[test]
    fn a_bound_behind_the_last_time_is_infinity() {
        let range = Range { from: Some(9_223_371_849_600_000_000), until: None };
        let condition = range.condition("t", TimeType::Timestamptz).unwrap();
        assert_eq!(condition, "t >= 'infinity'::pg_catalog.timestamptz");
    }

    #[test]
    fn conditions_name_only_the_bounds_there_are() {
        let range = Range { from: Some(5), until: None };
        assert_eq!(range.condition("n", TimeType::Int4).unwrap(), "n >= '5'::pg_catalog.int8");
        assert_eq!(Range::ALL.condition("n", TimeType::Int4), None);
    }

    #[test]
    fn ranges_of_uuids_are_told_as_times() {
        let range = Range { from: Some(1_735_689_600_000_000), until: None };
        assert_eq!(range.display(TimeType::Uuid), "[2025-01-01 00:00:00+00, …)");
        let condition = range.condition("u", TimeType::Uuid).unwrap();
        assert_eq!(condition, "u >= '01941f29-7c00-7000-8000-000000000000'::pg_catalog.uuid");
    }
}

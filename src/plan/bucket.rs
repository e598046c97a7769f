//! Stretches of the axis of one width, by which the changes of a table are noted.

use serde::{Deserialize, Serialize};

use super::Range;
use super::dimension::bounds;
use crate::pgcopy::TimeType;

/// A grid over the primary dimension. Bucket `n` is `[n × width, (n + 1) × width)` in internal time; the outermost ones
/// hold the infinities, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buckets {
    /// In internal time; greater than 0.
    pub width: i64,
    /// The dimension's type, which says what values there can be.
    pub time_type: TimeType,
}

/// Neighbouring buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketRun {
    /// The first one's number.
    pub first: i64,
    /// The last one's number.
    pub last: i64,
}

impl BucketRun {
    /// These buckets, as a condition on the column `bucket`.
    pub fn condition(&self) -> String {
        format!("bucket between {} and {}", self.first, self.last)
    }
}

impl Buckets {
    /// The bucket of an expression in internal time, as SQL.
    pub fn number_sql(&self, internal: &str) -> String {
        bucket_number(internal, self.width)
    }

    /// What lies in these buckets.
    pub fn range(&self, run: BucketRun) -> Range {
        Range {
            from: (run.first != self.number(i64::MIN)).then(|| self.start(run.first.into())),
            until: (run.last != self.number(i64::MAX)).then(|| self.start(i128::from(run.last) + 1)),
        }
    }

    fn number(&self, value: i64) -> i64 {
        value.div_euclid(self.width)
    }

    /// The first value of a bucket that can be written down.
    fn start(&self, number: i128) -> i64 {
        let (minimum, maximum) = bounds(self.time_type);
        match number * i128::from(self.width) {
            value if value > maximum.into() => i64::MAX,
            value => value.max(minimum.into()) as i64,
        }
    }

    /// The buckets that lie wholly inside a range, as a condition on the column `bucket`: whoever reads the range alone has
    /// not read all of one that reaches over its ends.
    pub fn inside(&self, range: Range) -> String {
        let width = i128::from(self.width);
        let from = range.from.map(|from| format!("bucket >= {}", -(-i128::from(from)).div_euclid(width)));
        let until = range.until.map(|until| format!("bucket < {}", self.number(until)));
        conjunction(from, until)
    }

    /// The buckets that a range touches, as a condition on the column `bucket`.
    pub fn touching(&self, range: Range) -> String {
        let from = range.from.map(|from| format!("bucket >= {}", self.number(from)));
        let until = range.until.map(|until| format!("bucket <= {}", self.number(until.saturating_sub(1))));
        conjunction(from, until)
    }

    /// Runs of these buckets, which are in order and different; at most `most` buckets in one.
    pub fn runs(&self, numbers: &[i64], most: u64) -> Vec<BucketRun> {
        let mut runs: Vec<BucketRun> = Vec::new();
        for number in numbers {
            match runs.last_mut() {
                Some(run) if run.last.checked_add(1) == Some(*number) && number.abs_diff(run.first) < most => {
                    run.last = *number;
                }
                _ => runs.push(BucketRun { first: *number, last: *number }),
            }
        }
        runs
    }
}

fn conjunction(one: Option<String>, other: Option<String>) -> String {
    match (one, other) {
        (Some(one), Some(other)) => format!("{one} and {other}"),
        (one, other) => one.or(other).unwrap_or("true".to_string()),
    }
}

/// A number that all values of a bucket share, and no others, as SQL over an expression in internal time.
pub(crate) fn bucket_number(internal: &str, width: i64) -> String {
    format!("case when {internal} >= 0 then {internal} / {width} else ({internal} + 1) / {width} - 1 end")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURS: Buckets = Buckets { width: 3_600_000_000, time_type: TimeType::Timestamptz };
    const TENS: Buckets = Buckets { width: 10, time_type: TimeType::Int8 };

    fn range(from: i64, until: i64) -> Range {
        Range { from: Some(from), until: Some(until) }
    }

    fn run(first: i64, last: i64) -> BucketRun {
        BucketRun { first, last }
    }

    #[test]
    fn neighbours_become_one_run_up_to_a_limit() {
        assert_eq!(TENS.runs(&[-1, 0, 1, 5], 9), [run(-1, 1), run(5, 5)]);
        assert_eq!(TENS.runs(&[1, 2, 3], 2), [run(1, 2), run(3, 3)]);
        assert_eq!(TENS.runs(&[], 9), []);
        assert_eq!(TENS.range(run(-1, 1)), range(-10, 20));
    }

    #[test]
    fn only_whole_buckets_lie_inside() {
        assert_eq!(TENS.inside(range(5, 30)), "bucket >= 1 and bucket < 3");
        assert_eq!(TENS.inside(range(10, 39)), "bucket >= 1 and bucket < 3");
        assert_eq!(TENS.inside(range(-15, 1)), "bucket >= -1 and bucket < 0");
        assert_eq!(TENS.inside(Range::ALL), "true");
    }

    #[test]
    fn a_bucket_that_is_touched_may_reach_over_the_ends() {
        assert_eq!(TENS.touching(range(5, 30)), "bucket >= 0 and bucket <= 2");
        assert_eq!(TENS.touching(range(5, 31)), "bucket >= 0 and bucket <= 3");
        assert_eq!(TENS.touching(Range { from: None, until: Some(-10) }), "bucket <= -2");
    }

    #[test]
    fn the_infinities_lie_in_the_outermost_buckets_alone() {
        let last = HOURS.number(i64::MAX);
        assert_eq!(HOURS.range(run(last, last)), Range { from: Some(i64::MAX), until: None });
        assert_eq!(HOURS.range(run(0, last - 1)), range(0, i64::MAX));
        let first = HOURS.number(i64::MIN);
        let earliest = bounds(TimeType::Timestamptz).0;
        assert_eq!(HOURS.range(run(first, first)), Range { from: None, until: Some(earliest) });
        assert_eq!(HOURS.range(run(first + 1, 0)), range(earliest, HOURS.width));
    }

    #[test]
    fn every_number_has_a_place() {
        let widest = Buckets { width: i64::MAX, time_type: TimeType::Int8 };
        assert_eq!(widest.range(run(-2, 1)), Range::ALL);
        let narrowest = Buckets { width: 1, time_type: TimeType::Int8 };
        assert_eq!(narrowest.range(run(i64::MAX, i64::MAX)), Range { from: Some(i64::MAX), until: None });
        assert_eq!(narrowest.range(run(5, 5)), range(5, 6));
    }
}

//! The chunk interval that makes chunks of about a wanted size.

use super::report::SizedReport;
use crate::catalog::Chunk;
use crate::error::{Error, Result};
use crate::pgcopy::TimeType;
use crate::plan::{Range, describe_interval};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Intervals that people would choose.
const NICE: [i64; 22] = [
    MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    4 * HOUR,
    6 * HOUR,
    8 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    3 * DAY,
    7 * DAY,
    14 * DAY,
    30 * DAY,
    60 * DAY,
    90 * DAY,
    180 * DAY,
    365 * DAY,
];

/// An interval and how it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sized {
    /// In internal time.
    pub(super) interval: i64,
    /// Bytes that a chunk and its indexes will have, on the average of where there are rows.
    pub(super) bytes: u64,
    /// Bytes of all chunks.
    pub(super) total_bytes: u64,
    /// The time that their rows cover.
    pub(super) covered: i64,
}

impl Sized {
    /// It, for a report.
    pub(super) fn report(&self, time_type: TimeType) -> SizedReport {
        SizedReport {
            interval: describe_interval(time_type, self.interval),
            bytes: self.bytes,
            total_bytes: self.total_bytes,
            covered: describe_about(time_type, self.covered),
        }
    }
}

/// A length of the axis for people, in a unit that leaves few digits.
fn describe_about(time_type: TimeType, length: i64) -> String {
    if time_type.is_integer() {
        return length.to_string();
    }
    const UNITS: [(i64, &str); 3] = [(DAY, "days"), (HOUR, "hours"), (MINUTE, "minutes")];
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| length >= 2 * unit).unwrap_or(UNITS[2]);
    format!("{:.1} {name}", length as f64 / unit as f64)
}

/// The greatest nice interval whose chunks hold at most `wanted` bytes, by the bytes that the table has per time now: of
/// chunks with rows, so that gaps of years do not count, and between the first and the last of the `rows`, so that a chunk
/// that is hardly begun does not count for all its interval. One interval is spread over so many `partitions`.
///
/// # Errors
/// Where the rows tell nothing.
pub(super) fn interval_for(
    wanted: u64,
    chunks: &[Chunk],
    rows: Range,
    time_type: TimeType,
    partitions: u64,
) -> Result<Sized> {
    let (mut total_bytes, mut parts) = (0, Vec::new());
    for chunk in chunks.iter().filter(|chunk| chunk.bytes.unwrap_or(0) > 0) {
        if let Range { from: Some(from), until: Some(until) } = Range::of(chunk.primary()).intersect(rows)
            && from < until
        {
            total_bytes += chunk.size();
            parts.push((from, until));
        }
    }
    let covered = covered(parts);
    let least = candidates(time_type).next().expect("there is a least interval");
    if covered < least {
        return Err(Error::refused("the table has too few rows by which an interval could be chosen")
            .hint("Give --chunk-interval instead of --target-chunk-size."));
    }
    let bytes_in =
        |interval: i64| (u128::from(total_bytes) * interval as u128 / covered as u128 / u128::from(partitions)) as u64;
    let interval = candidates(time_type).filter(|interval| bytes_in(*interval) <= wanted).last().unwrap_or(least);
    Ok(Sized { interval, bytes: bytes_in(interval), total_bytes, covered })
}

/// The length of the union: chunks of several partitions lie over each other.
fn covered(mut parts: Vec<(i64, i64)>) -> i64 {
    parts.sort_unstable();
    let (mut covered, mut reached) = (0, i64::MIN);
    for (start, end) in parts {
        covered += (end - start.max(reached)).max(0);
        reached = reached.max(end);
    }
    covered
}

/// Intervals in ascending order: round numbers for integers.
fn candidates(time_type: TimeType) -> Box<dyn Iterator<Item = i64>> {
    match time_type {
        TimeType::Int2 | TimeType::Int4 | TimeType::Int8 => {
            let greatest = match time_type {
                TimeType::Int2 => i16::MAX.into(),
                TimeType::Int4 => i32::MAX.into(),
                _ => i64::MAX / 10,
            };
            let powers = std::iter::successors(Some(1i64), |power| power.checked_mul(10));
            Box::new(powers.flat_map(|power| [1, 2, 5].map(|digit| digit * power)).take_while(move |n| *n <= greatest))
        }
        TimeType::Date => Box::new(NICE.into_iter().filter(|interval| interval % DAY == 0)),
        TimeType::Timestamp | TimeType::Timestamptz | TimeType::Uuid => Box::new(NICE.into_iter()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Slice;

    fn chunk(start: i64, end: i64, bytes: i64) -> Chunk {
        let json = r#"{"id": 1, "tiered": false, "compressed": false}"#;
        let mut chunk: Chunk = serde_json::from_str(json).expect("a chunk");
        chunk.slices = Some(vec![Slice { start, end }]);
        (chunk.bytes, chunk.index_bytes) = (Some(bytes), Some(bytes / 2));
        chunk
    }

    const ALL: Range = Range { from: Some(0), until: Some(i64::MAX) };

    fn find(wanted: u64, chunks: &[Chunk], time_type: TimeType) -> Sized {
        interval_for(wanted, chunks, ALL, time_type, 1).unwrap()
    }

    #[test]
    fn the_tables_own_bytes_per_time_decide() {
        let chunks = [chunk(0, DAY, 100), chunk(DAY, 2 * DAY, 100), chunk(900 * DAY, 901 * DAY, 100)];
        let found = find(1100, &chunks, TimeType::Timestamptz);
        assert_eq!((found.interval, found.bytes, found.covered), (7 * DAY, 1050, 3 * DAY));
    }

    #[test]
    fn partitions_of_one_stretch_count_together_and_share_it() {
        let chunks = [chunk(0, DAY, 100), chunk(0, DAY, 100)];
        assert_eq!(find(300, &chunks, TimeType::Timestamp).interval, DAY);
        let found = interval_for(300, &chunks, ALL, TimeType::Timestamp, 3).unwrap();
        assert_eq!((found.interval, found.bytes), (3 * DAY, 300));
    }

    #[test]
    fn a_chunk_that_is_hardly_begun_does_not_count_for_its_interval() {
        let chunks = [chunk(0, 365 * DAY, 1000), chunk(365 * DAY, i64::MAX, 100)];
        let rows = Range { from: Some(355 * DAY), until: Some(366 * DAY) };
        let found = interval_for(150, &chunks, rows, TimeType::Timestamptz, 1).unwrap();
        assert_eq!((found.interval, found.bytes, found.covered), (DAY, 150, 11 * DAY));
    }

    #[test]
    fn lengths_are_told_in_a_fitting_unit() {
        assert_eq!(describe_about(TimeType::Timestamptz, 36 * HOUR), "36.0 hours");
        assert_eq!(describe_about(TimeType::Date, 10 * DAY + 1), "10.0 days");
        assert_eq!(describe_about(TimeType::Timestamp, 90 * MINUTE), "90.0 minutes");
        assert_eq!(describe_about(TimeType::Int4, 4000), "4000");
    }

    #[test]
    fn integers_get_round_numbers_and_dates_whole_days() {
        let chunks = [chunk(0, 1000, 1000)];
        assert_eq!(find(100, &chunks, TimeType::Int8).interval, 50);
        assert_eq!(find(1, &[chunk(0, DAY, 100)], TimeType::Date).interval, DAY);
    }

    #[test]
    fn a_table_without_rows_or_with_all_of_them_at_once_tells_nothing() {
        let moment = Range { from: Some(5), until: Some(6) };
        for (chunks, rows) in [(vec![chunk(0, DAY, 0)], ALL), (vec![], ALL), (vec![chunk(0, DAY, 100)], moment)] {
            assert!(interval_for(100, &chunks, rows, TimeType::Timestamptz, 1).is_err());
        }
    }
}

//! The chunk interval that makes chunks of about a wanted size.

use crate::catalog::Chunk;
use crate::error::{Error, Result};
use crate::pgcopy::TimeType;

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
    /// Bytes of the table and its indexes in one interval, on the average of where there are chunks.
    pub(super) bytes: u64,
    /// Bytes of all chunks.
    pub(super) total_bytes: u64,
    /// The time that they cover.
    pub(super) covered: i64,
}

/// The greatest nice interval whose chunks hold at most `wanted` bytes, by the bytes that the table has per time now: of
/// chunks with rows, so that gaps of years do not count.
///
/// # Errors
/// Where no chunk tells anything.
pub(super) fn interval_for(wanted: u64, chunks: &[Chunk], time_type: TimeType) -> Result<Sized> {
    let (mut total_bytes, mut slices) = (0, Vec::new());
    for chunk in chunks {
        let slice = chunk.primary();
        let bytes = (chunk.bytes.unwrap_or(0) + chunk.index_bytes.unwrap_or(0)).max(0) as u64;
        if slice.start == i64::MIN || slice.end == i64::MAX || chunk.bytes.unwrap_or(0) == 0 {
            continue;
        }
        total_bytes += bytes;
        slices.push((slice.start, slice.end));
    }
    let covered = covered(slices);
    if covered == 0 || total_bytes == 0 {
        return Err(Error::refused("the table has no rows by which an interval could be chosen")
            .hint("Give --chunk-interval instead of --target-chunk-size."));
    }
    let bytes_in = |interval: i64| (u128::from(total_bytes) * interval as u128 / covered as u128) as u64;
    let interval = candidates(time_type)
        .filter(|interval| bytes_in(*interval) <= wanted)
        .last()
        .unwrap_or_else(|| candidates(time_type).next().expect("there is a least interval"));
    Ok(Sized { interval, bytes: bytes_in(interval), total_bytes, covered })
}

/// The length of the union: chunks of several partitions lie over each other.
fn covered(mut slices: Vec<(i64, i64)>) -> i64 {
    slices.sort_unstable();
    let (mut covered, mut reached) = (0, i64::MIN);
    for (start, end) in slices {
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
        TimeType::Timestamp | TimeType::Timestamptz => Box::new(NICE.into_iter()),
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

    #[test]
    fn the_tables_own_bytes_per_time_decide() {
        let chunks = [chunk(0, DAY, 100), chunk(DAY, 2 * DAY, 100), chunk(900 * DAY, 901 * DAY, 100)];
        let found = interval_for(1100, &chunks, TimeType::Timestamptz).unwrap();
        assert_eq!((found.interval, found.bytes, found.covered), (7 * DAY, 1050, 3 * DAY));
    }

    #[test]
    fn partitions_of_one_stretch_count_together() {
        let chunks = [chunk(0, DAY, 100), chunk(0, DAY, 100)];
        assert_eq!(interval_for(300, &chunks, TimeType::Timestamp).unwrap().interval, DAY);
    }

    #[test]
    fn integers_get_round_numbers_and_dates_whole_days() {
        let chunks = [chunk(0, 1000, 1000)];
        assert_eq!(interval_for(100, &chunks, TimeType::Int8).unwrap().interval, 50);
        assert_eq!(interval_for(1, &[chunk(0, DAY, 100)], TimeType::Date).unwrap().interval, DAY);
    }

    #[test]
    fn an_empty_table_tells_nothing() {
        assert!(interval_for(100, &[chunk(0, 10, 0)], TimeType::Int8).is_err());
        assert!(interval_for(100, &[], TimeType::Int8).is_err());
    }
}

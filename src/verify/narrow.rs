//! From a range that differs to the rows that do: it is halved until what is left is small, and then its keys are read.

use std::sync::{Mutex, MutexGuard};

use super::Difference;
use super::comparison::{Comparison, Findings, Tally};
use super::keys::Key;
use super::reading::Extent;
use super::sides::Pair;
use crate::error::Result;
use crate::plan::{OpenDimension, Range};

/// A range with as many rows on either side is not divided further: a screen or two of keys.
const SMALL_ROWS: u64 = 1_000;
/// Rows of one value that are read for their keys, at most; they cannot be divided, and are held in memory.
const MAX_KEY_ROWS: u64 = 10_000;
/// Narrow ranges that are reported, at most. Beyond it nothing is narrowed any more.
const MAX_RANGES: usize = 100;
/// Keys that are reported, at most.
const MAX_KEYS: usize = 100;

/// What workers need to narrow, and what they have found.
pub(super) struct Narrowing {
    primary: OpenDimension,
    key: Key,
    with_checksum: bool,
    findings: Mutex<Findings>,
}

impl Narrowing {
    pub(super) fn new(primary: OpenDimension, key: Key, with_checksum: bool) -> Self {
        Narrowing { primary, key, with_checksum, findings: Mutex::default() }
    }

    /// Narrows a range that differs, from its start on, until there is nothing left of it or enough was found.
    pub(super) async fn narrow(&self, pair: &Pair, difference: Difference) -> Result<()> {
        let mut open = vec![difference];
        while let Some(difference) = open.pop() {
            if self.findings().ranges.len() >= MAX_RANGES {
                self.findings().more_ranges = true;
                return Ok(());
            }
            match self.halves(pair, &difference).await? {
                Some([left, right]) => open.extend([right, left].into_iter().filter(Difference::differs)),
                None => self.note(pair, difference).await?,
            }
        }
        Ok(())
    }

    /// The two halves of a range, as long as it is worth while to divide it.
    async fn halves(&self, pair: &Pair, whole: &Difference) -> Result<Option<[Difference; 2]>> {
        if whole.most_rows() <= SMALL_ROWS || whole.is_one_sided() {
            return Ok(None);
        }
        let extent = pair.extent(whole.range).await?;
        let Some(middle) = extent.and_then(|extent| middle(&self.primary, extent)) else { return Ok(None) };
        let left = pair.compare(Range { until: Some(middle), ..whole.range }).await?;
        // Nothing changes under the snapshots, so what is not in the left half is in the right one.
        let right = whole.rest(&left, Range { from: Some(middle), ..whole.range });
        Ok(Some([left, right]))
    }

    async fn note(&self, pair: &Pair, difference: Difference) -> Result<()> {
        let is_listed =
            self.with_checksum && difference.most_rows() <= MAX_KEY_ROWS && self.findings().keys.len() < MAX_KEYS;
        let mut keys = match is_listed {
            true => pair.keys(&self.key, difference.range).await?,
            false => Vec::new(),
        };
        let mut findings = self.findings();
        if findings.ranges.len() >= MAX_RANGES {
            findings.more_ranges = true;
            return Ok(());
        }
        findings.ranges.push(difference);
        let room = MAX_KEYS - findings.keys.len();
        findings.more_keys |= self.with_checksum && (!is_listed || keys.len() > room);
        keys.truncate(room);
        findings.keys.extend(keys);
        Ok(())
    }

    /// All that was found, along the axis.
    pub(super) fn comparison(&self, mut tally: Tally) -> Comparison {
        let mut findings = std::mem::take(&mut *self.findings());
        // What was not narrowed has more keys, too.
        findings.more_keys |= self.with_checksum && findings.more_ranges;
        findings.ranges.sort_by_key(|difference| difference.range.from);
        findings.keys.sort_by_key(|difference| difference.range.from);
        tally.differences.sort_by_key(|difference| difference.range.from);
        Comparison {
            ranges: tally.ranges,
            source: tally.source,
            target: tally.target,
            differences: tally.differences,
            findings,
            time_type: self.primary.time_type,
            key_columns: self.key.columns.clone(),
        }
    }

    fn findings(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().expect("no holder of the findings panics")
    }
}

/// Where a stretch of the axis with rows at both of its ends is best divided: no part of it is without rows. None for a
/// single value.
fn middle(primary: &OpenDimension, extent: Extent) -> Option<i64> {
    let Extent { first, last } = extent;
    let earliest = primary.point(i64::MIN);
    if first >= last {
        return None;
    }
    // Infinities have no middle, so they are cut off alone.
    if first < earliest {
        return Some(earliest);
    }
    if last == i64::MAX && primary.time_type.has_infinities() {
        return Some(last);
    }
    let middle = (i128::from(first) + i128::from(last)).div_euclid(2) + 1;
    // A later hour of the same day would be the same date.
    let unit = i128::from(primary.time_type.unit());
    Some(((middle + unit - 1).div_euclid(unit) * unit) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgcopy::TimeType;

    const DAY: i64 = 86_400_000_000;

    fn dimension(time_type: TimeType) -> OpenDimension {
        OpenDimension { column: "t".into(), time_type, interval: DAY, function: None }
    }

    #[test]
    fn both_parts_hold_one_of_the_ends() {
        let ends = [i64::MIN, i64::MIN + 1, -7, -3, -2, -1, 0, 1, 2, 5, 1 << 40, i64::MAX - 1, i64::MAX];
        for (first, last) in ends.iter().flat_map(|first| ends.iter().map(move |last| (*first, *last))) {
            match middle(&dimension(TimeType::Int8), Extent { first, last }) {
                Some(middle) => assert!(first < middle && middle <= last, "{first}, {last}: {middle}"),
                None => assert!(first >= last),
            }
        }
    }

    #[test]
    fn a_date_is_divided_between_days() {
        let middle = |first, last| middle(&dimension(TimeType::Date), Extent { first: first * DAY, last: last * DAY });
        assert_eq!(middle(3, 3), None);
        assert_eq!(middle(3, 4), Some(4 * DAY));
        assert_eq!(middle(-4, -3), Some(-3 * DAY));
        assert_eq!(middle(0, 10), Some(6 * DAY));
    }

    #[test]
    fn infinities_are_cut_off() {
        let times = dimension(TimeType::Timestamptz);
        let middle = |first, last| middle(&times, Extent { first, last });
        let earliest = times.point(i64::MIN);
        assert_eq!(middle(i64::MIN, i64::MAX), Some(earliest));
        assert_eq!(middle(earliest, i64::MAX), Some(i64::MAX));
        assert_eq!(middle(0, i64::MAX), Some(i64::MAX));
        assert_eq!(middle(i64::MIN, 0), Some(earliest));
        assert_eq!(middle(i64::MAX, i64::MAX), None);
    }
}

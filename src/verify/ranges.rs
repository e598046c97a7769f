//! The ranges that are compared: they tile the axis, and are cut where the chunks of both sides let them be.

use std::collections::HashMap;

use super::Reading;
use super::reading::Extent;
use crate::catalog::{Chunk, Hypertable, Slice};
use crate::connect::Reader;
use crate::error::Result;
use crate::plan::{Cell, OpenDimension, Range, SourceChunk, Task, cut_tasks};
use crate::reader::snapshot::Snapshot;

/// One side, as far as cutting needs it.
pub(super) struct Laid<'a> {
    chunks: &'a [Chunk],
    indexed: bool,
    row_bytes: u64,
    /// Where the rows of its heavy slices lie.
    extents: HashMap<Slice, Extent>,
}

impl<'a> Laid<'a> {
    pub(super) fn new(table: &Hypertable, chunks: &'a [Chunk]) -> Self {
        Laid { chunks, indexed: table.has_index_on_primary(), row_bytes: table.row_bytes(), extents: HashMap::new() }
    }

    fn is_splittable(&self, chunk: &Chunk) -> bool {
        self.indexed && !chunk.compressed
    }

    fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.estimate(self.row_bytes).bytes).sum()
    }

    /// Asks where the rows of chunks lie that have to be cut, so that the cuts are not where no rows are. Each question
    /// is two index probes.
    pub(super) async fn find_rows(&mut self, reading: &Reading, leader: &Reader, range_bytes: u64) -> Result<()> {
        for slice in self.heavy_slices(range_bytes) {
            let extent = Snapshot::releasing_locks(leader, reading.extent(leader, Range::of(slice))).await?;
            self.extents.extend(extent.map(|extent| (slice, extent)));
        }
        Ok(())
    }

    fn heavy_slices(&self, range_bytes: u64) -> Vec<Slice> {
        let is_heavy = |chunk: &&Chunk| self.is_splittable(chunk) && chunk.estimate(self.row_bytes).bytes > range_bytes;
        let mut slices: Vec<Slice> = self.chunks.iter().filter(is_heavy).map(Chunk::primary).collect();
        slices.sort_unstable();
        slices.dedup();
        slices
    }

    fn cells(&self, first_chunk: usize, primary: &OpenDimension) -> impl Iterator<Item = Cell> {
        self.chunks.iter().enumerate().map(move |(position, chunk)| {
            let slice = chunk.primary();
            let end = if slice.end == i64::MAX { slice.end } else { slice.end - 1 };
            let whole = Extent { first: slice.start, last: end };
            let Extent { first, last } = self.extents.get(&slice).copied().unwrap_or(whole);
            let estimate = chunk.estimate(self.row_bytes);
            // What has no beginning begins with the earliest value that a cut can name.
            let first = primary.point(first).min(last);
            Cell { chunk: first_chunk + position, first, last, bytes: estimate.bytes, rows: estimate.rows }
        })
    }
}

/// Bytes that a range should have, both sides taken together: a few dozen megabytes, fewer where that would leave workers
/// without work.
pub(super) fn range_bytes(sides: &[Laid<'_>; 2], jobs: usize) -> u64 {
    let bytes: u64 = sides.iter().map(Laid::bytes).sum();
    (bytes / (jobs as u64 * 5)).clamp(8 << 20, 64 << 20)
}

/// Cuts each of `shares` into ranges. Their rows and bytes are those of both sides.
pub(super) fn cut(shares: &[Range], sides: &[Laid<'_>; 2], primary: &OpenDimension, range_bytes: u64) -> Vec<Task> {
    let chunk =
        |laid: &Laid<'_>, chunk: &Chunk| SourceChunk { slice: chunk.primary(), splittable: laid.is_splittable(chunk) };
    let chunks: Vec<SourceChunk> =
        sides.iter().flat_map(|laid| laid.chunks.iter().map(|found| chunk(laid, found))).collect();
    let [source, target] = sides;
    let cells: Vec<Cell> = source.cells(0, primary).chain(target.cells(source.chunks.len(), primary)).collect();
    cut_tasks(shares, &chunks, &cells, &[], range_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgcopy::TimeType;

    const MB: i64 = 1 << 20;

    fn chunk(start: i64, end: i64, compressed: bool, bytes: i64) -> Chunk {
        let json = format!(
            r#"{{"id": 1, "tiered": false, "compressed": {compressed}, "bytes": {bytes},
                "slices": [{{"start": {start}, "end": {end}}}]}}"#
        );
        serde_json::from_str(&json).expect("a chunk")
    }

    fn laid<'a>(chunks: &'a [Chunk], extents: &[(Slice, Extent)]) -> Laid<'a> {
        Laid { chunks, indexed: true, row_bytes: 100, extents: extents.iter().copied().collect() }
    }

    fn cuts(sides: &[Laid<'_>; 2], time_type: TimeType) -> Vec<i64> {
        let primary = OpenDimension { column: "t".into(), time_type, interval: 10, function: None };
        let tasks = cut(&[Range::ALL], sides, &primary, 8 << 20);
        assert_eq!((tasks[0].range.from, tasks[tasks.len() - 1].range.until), (None, None));
        tasks.iter().filter_map(|task| task.range.until).collect()
    }

    #[test]
    fn no_cut_goes_through_a_chunk_of_either_side_that_is_read_in_one_piece() {
        let source: Vec<Chunk> = (0..4).map(|n| chunk(n * 100, n * 100 + 100, false, 20 * MB)).collect();
        let target = [chunk(0, 250, true, 40 * MB), chunk(250, 400, false, 40 * MB)];
        let found = cuts(&[laid(&source, &[]), laid(&target, &[])], TimeType::Int8);
        assert!(found.iter().all(|cut| *cut >= 250), "{found:?}");
        assert!(found.len() > 2, "{found:?}");
    }

    #[test]
    fn a_slice_without_ends_is_cut_where_its_rows_are() {
        let slice = Slice { start: i64::MIN, end: i64::MAX };
        let one = [chunk(slice.start, slice.end, false, 64 * MB)];
        let found = cuts(&[laid(&one, &[(slice, Extent { first: 100, last: 199 })]), laid(&[], &[])], TimeType::Int8);
        assert!(found.len() >= 4 && found.iter().all(|cut| (100..=199).contains(cut)), "{found:?}");
    }

    #[test]
    fn a_slice_without_a_beginning_is_cut_at_times_that_can_be_written() {
        let slice = Slice { start: i64::MIN, end: 0 };
        let one = [chunk(slice.start, slice.end, false, 64 * MB)];
        let earliest = -210_866_803_200_000_000;
        for extent in [None, Some((slice, Extent { first: i64::MIN, last: -1 }))] {
            let found = cuts(&[laid(&one, extent.as_slice()), laid(&[], &[])], TimeType::Timestamptz);
            assert!(!found.is_empty() && found.iter().all(|cut| *cut > earliest), "{found:?}");
        }
    }
}

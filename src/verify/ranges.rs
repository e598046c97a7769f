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

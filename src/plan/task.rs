//! Tasks: ranges of the primary dimension that tile the axis.
//!
//! A task is what one target transaction copies. Cuts lie on the target's chunk boundaries first, then on the source's,
//! then inside a chunk; a cut through a source chunk is allowed only where an index makes a range of it cheap to read,
//! so that a chunk without one is read once.

use serde::Serialize;

use super::Range;
use crate::catalog::Slice;

/// A source chunk as far as cutting needs it.
#[derive(Clone, Copy, Debug)]
pub struct SourceChunk {
    /// Its slice of the primary dimension.
    pub slice: Slice,
    /// A range of it is cheap to read.
    pub splittable: bool,
}

/// The rows that one source chunk has for one bucket of the target.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// Which source chunk.
    pub chunk: usize,
    /// The first value the chunk has in the bucket.
    pub first: i64,
    /// The last one, or the last there could be.
    pub last: i64,
    /// Estimated bytes.
    pub bytes: u64,
    /// Estimated rows.
    pub rows: u64,
}

/// What a task reads of one source chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Read {
    /// Which source chunk.
    pub chunk: usize,
    /// The bounds it has to be read with; none where all of it belongs to the task.
    pub range: Range,
}

/// How a task finds its range on the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// Empty: the job made the table, and nothing was copied there yet.
    #[default]
    Fresh,
    /// Empty when it was looked at last: the table was there before, and others may write.
    BesideOthers,
    /// Holding what this task has copied before, under another snapshot.
    Again,
    /// Holding so many rows that differ from the source's, whoever has written them.
    Differing {
        /// Rows.
        rows: u64,
    },
}

/// One unit of work, of one transaction and of resume.
#[derive(Clone, Debug, Serialize)]
pub struct Task {
    /// Its number, from 1 along the axis.
    pub id: i32,
    /// The rows it copies.
    pub range: Range,
    /// Every source chunk that may hold some of them.
    pub reads: Vec<Read>,
    /// Estimated bytes.
    pub bytes: u64,
    /// Estimated rows.
    pub rows: u64,
    /// How it finds its range.
    pub entry: Entry,
    /// It makes chunks: a session that does locks the hypertable until it commits, so only one such task runs at a time.
    pub alone: bool,
}

/// Chunks that one statement reads at most: each is a node in the server's plan.
const MAX_READS: usize = 64;

/// Cuts each of `shares`, which follow each other along the axis, into tasks of about `task_bytes`. `boundaries` are the
/// starts and ends of the target's slices; cells outside the shares do not count.
///
/// The tasks tile the shares in order, and every chunk that overlaps a task is among its reads, also one without cells:
/// that nothing was seen in it is no proof.
pub fn cut_tasks(
    shares: &[Range],
    chunks: &[SourceChunk],
    cells: &[Cell],
    boundaries: &[i64],
    task_bytes: u64,
) -> Vec<Task> {
    let cutter = Cutter::new(chunks, boundaries, task_bytes.max(1));
    let mut tasks = Vec::new();
    for share in shares {
        let mut cells: Vec<Cell> = cells.iter().filter_map(|cell| cell.within(*share)).collect();
        cells.sort_unstable_by_key(|cell| cell.first);
        let mut ranges = Vec::new();
        cutter.cut(*share, &cells, &mut ranges);
        let first = tasks.len() as i32 + 1;
        tasks.extend(ranges.into_iter().zip(first..).map(|(range, id)| Task::of(id, range, chunks, &cells)));
    }
    tasks
}

impl Task {
    /// The task of this range: all chunks that overlap it, and what the cells say of its weight.
    pub fn of(id: i32, range: Range, chunks: &[SourceChunk], cells: &[Cell]) -> Task {
        let overlapping = chunks.iter().enumerate().filter(|(_, chunk)| range.overlaps(chunk.slice));
        let reads = overlapping.map(|(chunk, source)| Read { chunk, range: range.within(source.slice) }).collect();
        let inside = cells.iter().filter_map(|cell| cell.within(range));
        let (bytes, rows) = inside.fold((0, 0), |(bytes, rows), cell| (bytes + cell.bytes, rows + cell.rows));
        Task { id, range, reads, bytes, rows, entry: Entry::default(), alone: false }
    }
}

impl Cell {
    /// Its part in a range, as if its rows lay evenly between first and last.
    fn within(&self, range: Range) -> Option<Cell> {
        let first = range.from.map_or(self.first, |from| from.max(self.first));
        let last = range.until.map_or(self.last, |until| self.last.min(until.saturating_sub(1)));
        if first > last || !range.contains(first) {
            return None;
        }
        let width = |first: i64, last: i64| i128::from(last) - i128::from(first) + 1;
        let part = |whole: u64| (i128::from(whole) * width(first, last) / width(self.first, self.last)) as u64;
        Some(Cell { first, last, bytes: part(self.bytes), rows: part(self.rows), ..*self })
    }
}

struct Cutter<'a> {
    chunks: &'a [SourceChunk],
    /// Where a cut may be, the best kind first; sorted.
    candidates: [Vec<i64>; 2],
    task_bytes: u64,
}

impl<'a> Cutter<'a> {
    fn new(chunks: &'a [SourceChunk], boundaries: &[i64], task_bytes: u64) -> Self {
        let sources = chunks.iter().flat_map(|chunk| [chunk.slice.start, chunk.slice.end]);
        let candidates = [boundaries.to_vec(), sources.collect()].map(|mut cuts: Vec<i64>| {
            cuts.sort_unstable();
            cuts.dedup();
            cuts.retain(|cut| ![i64::MIN, i64::MAX].contains(cut) && is_allowed(chunks, *cut));
            cuts
        });
        Cutter { chunks, candidates, task_bytes }
    }

    /// Halves `range` at the best cut until its weight is a task's. `cells` are those inside.
    fn cut(&self, range: Range, cells: &[Cell], ranges: &mut Vec<Range>) {
        let Some(cut) = self.best_cut(cells) else { return ranges.push(range) };
        for half in [Range { until: Some(cut), ..range }, Range { from: Some(cut), ..range }] {
            let inside: Vec<Cell> = cells.iter().filter_map(|cell| cell.within(half)).collect();
            self.cut(half, &inside, ranges);
        }
    }

    fn best_cut(&self, cells: &[Cell]) -> Option<i64> {
        let total: u64 = cells.iter().map(|cell| cell.bytes).sum();
        if total <= self.task_bytes + self.task_bytes / 2 && cells.len() <= MAX_READS {
            return None;
        }
        let on_boundary = self.candidates.iter().find_map(|cuts| most_even(cuts, cells, total));
        on_boundary.or_else(|| self.cut_inside(cells))
    }

    /// The middle of the heaviest cell, where every chunk that it goes through can be read in part.
    fn cut_inside(&self, cells: &[Cell]) -> Option<i64> {
        let heaviest = cells.iter().max_by_key(|cell| cell.bytes)?;
        let middle = heaviest.first.midpoint(heaviest.last).saturating_add(1);
        // What has no end has no middle, and one value cannot be divided.
        let divides = heaviest.first < middle && middle <= heaviest.last && heaviest.last != i64::MAX;
        (divides && is_allowed(self.chunks, middle)).then_some(middle)
    }
}

/// A cut must not go through a chunk that would have to be read whole on both sides.
fn is_allowed(chunks: &[SourceChunk], cut: i64) -> bool {
    !chunks.iter().any(|chunk| !chunk.splittable && chunk.slice.start < cut && cut < chunk.slice.end)
}

/// The cut with cells on both sides whose sides weigh most alike; where several do, the one that has as many cells on
/// either side, so that cells without weight are not cut off one by one.
fn most_even(cuts: &[i64], cells: &[Cell], total: u64) -> Option<i64> {
    let (first, last) = (cells.first()?.first, cells.last()?.first);
    let inside = &cuts[cuts.partition_point(|cut| *cut <= first)..cuts.partition_point(|cut| *cut <= last)];
    let (mut left, mut left_cells) = (0, 0usize);
    let mut next = cells.iter().peekable();
    inside
        .iter()
        .map(|cut| {
            while let Some(cell) = next.next_if(|cell| cell.first < *cut) {
                left += cell.bytes;
                left_cells += 1;
            }
            (left.abs_diff(total - left), left_cells.abs_diff(cells.len() - left_cells), *cut)
        })
        .min()
        .map(|(_, _, cut)| cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(start: i64, end: i64, splittable: bool) -> SourceChunk {
        SourceChunk { slice: Slice { start, end }, splittable }
    }

    fn cell(chunk: usize, first: i64, last: i64, bytes: u64) -> Cell {
        Cell { chunk, first, last, bytes, rows: bytes / 10 }
    }

    /// The tasks' ranges touch each other and span the bounds; every value belongs to exactly one.
    fn assert_tiling(tasks: &[Task], bounds: Range) {
        assert_eq!(tasks.first().unwrap().range.from, bounds.from);
        assert_eq!(tasks.last().unwrap().range.until, bounds.until);
        for pair in tasks.windows(2) {
            assert!(pair[0].range.until.is_some());
            assert_eq!(pair[0].range.until, pair[1].range.from);
            assert!(!pair[0].range.is_empty());
        }
    }

    #[test]
    fn no_rows_are_still_one_task_over_the_whole_axis() {
        let tasks = cut_tasks(&[Range::ALL], &[chunk(0, 10, true)], &[], &[0, 10], 100);
        assert_eq!(tasks.len(), 1);
        assert_eq!(tasks[0].range, Range::ALL);
        assert_eq!(tasks[0].reads, [Read { chunk: 0, range: Range::ALL }]);
    }

    #[test]
    fn cuts_lie_on_target_boundaries_and_small_neighbours_stay_together() {
        let chunks: Vec<_> = (0..8).map(|i| chunk(i * 12, i * 12 + 12, true)).collect();
        let cells: Vec<_> = (0..8).map(|i| cell(i, i as i64 * 12, i as i64 * 12 + 11, 50)).collect();
        let boundaries = [0, 24, 48, 72, 96];
        let tasks = cut_tasks(&[Range::ALL], &chunks, &cells, &boundaries, 100);
        assert_eq!(tasks.iter().map(|task| task.range.until).collect::<Vec<_>>(), [Some(24), Some(48), Some(72), None]);
        assert!(tasks.iter().all(|task| task.reads.iter().all(|read| read.range == Range::ALL)));
        let merged = cut_tasks(&[Range::ALL], &chunks, &cells, &boundaries, 1000);
        assert_eq!(merged.len(), 1);
    }

    #[test]
    fn cells_without_weight_are_shared_out_by_number() {
        let chunks: Vec<_> = (0..1000).map(|i| chunk(i * 10, i * 10 + 10, true)).collect();
        let cells: Vec<_> = (0..1000).map(|i| cell(i, i as i64 * 10, i as i64 * 10, 0)).collect();
        let tasks = cut_tasks(&[Range::ALL], &chunks, &cells, &[], 100);
        assert_tiling(&tasks, Range::ALL);
        assert_eq!(tasks.len(), 16);
        assert!(tasks.iter().all(|task| task.reads.len() <= MAX_READS));
    }

    #[test]
    fn a_large_chunk_is_cut_inside_only_if_ranges_of_it_are_cheap() {
        let cells = [cell(0, 0, 1023, 1000)];
        let cheap = cut_tasks(&[Range::ALL], &[chunk(0, 1024, true)], &cells, &[0, 1024], 100);
        assert_tiling(&cheap, Range::ALL);
        assert_eq!(cheap.len(), 8);
        assert!(cheap.iter().all(|task| task.bytes == 125), "{cheap:?}");
        let dear = cut_tasks(&[Range::ALL], &[chunk(0, 1024, false)], &cells, &[0, 512, 1024], 100);
        assert_eq!(dear.len(), 1);
    }

    #[test]
    fn a_chunk_is_cut_where_its_rows_are_and_one_value_is_not_cut_at_all() {
        let tasks = cut_tasks(&[Range::ALL], &[chunk(0, 1 << 40, true)], &[cell(0, 100, 199, 1000)], &[], 300);
        assert_eq!(
            tasks.iter().map(|task| task.range.until).collect::<Vec<_>>(),
            [Some(125), Some(150), Some(175), None]
        );
        assert_eq!(cut_tasks(&[Range::ALL], &[chunk(0, 10, true)], &[cell(0, 5, 5, 1000)], &[], 100).len(), 1);
    }

    #[test]
    fn bounds_are_the_ends_of_the_first_and_the_last_task() {
        let bounds = Range { from: Some(5), until: Some(95) };
        let chunks: Vec<_> = (0..10).map(|i| chunk(i * 10, i * 10 + 10, true)).collect();
        let cells: Vec<_> = (0..10).map(|i| cell(i, (i as i64 * 10).max(5), i as i64 * 10 + 9, 50)).collect();
        let tasks = cut_tasks(&[bounds], &chunks, &cells, &[0, 50, 100], 50);
        assert_tiling(&tasks, bounds);
        assert_eq!(tasks[0].reads[0].range, Range { from: Some(5), until: None });
    }

    proptest::proptest! {
        #[test]
        fn tasks_tile_the_axis_and_read_every_chunk_they_overlap(
            widths in proptest::collection::vec((1i64..50, proptest::bool::ANY, 0u64..500), 1..40),
            interval in 1i64..60,
            task_bytes in 1u64..2000,
        ) {
            let mut chunks = Vec::new();
            let mut cells = Vec::new();
            let mut start = -100;
            for (width, splittable, bytes) in widths {
                let source = chunk(start, start + width, splittable);
                if bytes > 0 {
                    cells.push(cell(chunks.len(), start, start + width - 1, bytes));
                }
                chunks.push(source);
                start += width;
            }
            let boundaries: Vec<i64> = (-200..2000).step_by(interval as usize).collect();
            let tasks = cut_tasks(&[Range::ALL], &chunks, &cells, &boundaries, task_bytes);
            assert_tiling(&tasks, Range::ALL);
            for value in -100..start {
                let owners: Vec<_> = tasks.iter().filter(|task| task.range.contains(value)).collect();
                assert_eq!(owners.len(), 1);
                let home = chunks.iter().position(|chunk| chunk.slice.contains(value)).unwrap();
                let read = owners[0].reads.iter().find(|read| read.chunk == home).unwrap();
                assert!(read.range.contains(value));
            }
            for (position, source) in chunks.iter().enumerate() {
                let readers = tasks.iter().filter(|task| task.reads.iter().any(|read| read.chunk == position)).count();
                assert!(source.splittable || readers == 1);
            }
        }
    }
}

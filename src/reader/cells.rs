//! Where a table has rows in the terms of another layout, and the tasks that follow from it.

use std::collections::{BTreeMap, HashMap};

use futures_util::future::try_join_all;

use crate::catalog::{Chunk, Estimate, Hypertable};
use crate::connect::Reader;
use crate::error::Result;
use crate::plan::{Cell, Layout, Point, Range, SourceChunk, Task, cut_tasks};
use crate::reader::snapshot::{Shares, Snapshot};
use crate::reader::survey::{Finding, Survey};

/// What the survey is of.
pub(crate) struct Ground<'a> {
    /// The source's table.
    pub(crate) source: &'a Hypertable,
    /// The target's layout.
    pub(crate) layout: &'a Layout,
    /// The bounds of the whole job.
    pub(crate) bounds: Range,
    /// More chunks than these are not planned.
    pub(crate) max_new_chunks: u64,
    /// About how many workers there are.
    pub(crate) jobs: usize,
    /// No task shall have more bytes than these, as far as chunks can be cut.
    pub(crate) most_task_bytes: u64,
}

/// A stretch of the axis that the source is read by, and what it holds: a chunk.
pub(crate) struct Stretch {
    /// Where it lies.
    pub(crate) chunk: SourceChunk,
    /// What it is expected to hold.
    pub(crate) estimate: Estimate,
}

/// Where rows are that shall be copied.
pub(crate) struct Rows {
    ranges: Vec<Range>,
    /// A value for each chunk that the target needs, hash partitions aside.
    pub(crate) points: Vec<Point>,
    chunks: Vec<SourceChunk>,
    cells: Vec<Cell>,
    jobs: usize,
    most_task_bytes: u64,
}

impl Rows {
    /// Asks the sessions of `workers` for rows in `ranges`; what lies beside them in the same chunks of the source is
    /// found too.
    pub(crate) async fn find(
        ground: &Ground<'_>,
        snapshot: &Snapshot,
        workers: &[&Reader],
        ranges: Vec<Range>,
    ) -> Result<Rows> {
        let indexed = ground.source.has_index_on_primary();
        let survey = Survey {
            layout: ground.layout,
            chunks: &snapshot.chunks,
            bounds: ground.bounds,
            indexed,
            functions: &snapshot.functions_schema,
            limit: ground.max_new_chunks,
        };
        let is_asked = |chunk: &Chunk| ranges.iter().any(|range| range.overlaps(chunk.primary()));
        let findings = run_survey(&survey, snapshot, workers, is_asked).await?;
        let row_bytes = ground.source.row_bytes();
        let stretch = |chunk: &Chunk| Stretch {
            chunk: SourceChunk { slice: chunk.primary(), splittable: indexed && !chunk.compressed },
            estimate: chunk.estimate(row_bytes),
        };
        let stretches: Vec<Stretch> = snapshot.chunks.iter().map(stretch).collect();
        Ok(Rows::of(ground, &stretches, &findings, ranges))
    }

    /// What follows from what was found in the stretches that the source is read by.
    pub(crate) fn of(ground: &Ground<'_>, stretches: &[Stretch], findings: &[Finding], ranges: Vec<Range>) -> Rows {
        Rows {
            points: points(ground.layout, findings),
            cells: cells(ground.layout, stretches, findings),
            chunks: stretches.iter().map(|stretch| stretch.chunk).collect(),
            ranges,
            jobs: ground.jobs,
            most_task_bytes: ground.most_task_bytes,
        }
    }

    /// Tasks over the ranges, numbered from `first`. They are cut at `boundaries`, the ends of the target's slices, and
    /// never reach over the share of one worker.
    pub(crate) fn tasks(&self, shares: &Shares, boundaries: &[i64], first: i32) -> Vec<Task> {
        let task_bytes = task_bytes(self.cells.iter().map(|cell| cell.bytes).sum(), self.jobs);
        let task_bytes = task_bytes.min(self.most_task_bytes);
        let shares = shares.ranges().unwrap_or(&[Range::ALL]);
        let pieces = self.ranges.iter().flat_map(|range| shares.iter().map(|share| range.intersect(*share)));
        let pieces: Vec<Range> = pieces.filter(|piece| !piece.is_empty()).collect();
        let mut tasks = cut_tasks(&pieces, &self.chunks, &self.cells, boundaries, task_bytes);
        tasks.iter_mut().zip(first..).for_each(|(task, id)| task.id = id);
        tasks
    }

    /// The task of one range as it was cut before.
    pub(crate) fn task(&self, id: i32, range: Range) -> Task {
        Task::of(id, range, &self.chunks, &self.cells)
    }
}

/// Each worker asks about the chunks that it has locked.
async fn run_survey(
    survey: &Survey<'_>,
    snapshot: &Snapshot,
    workers: &[&Reader],
    is_asked: impl Fn(&Chunk) -> bool,
) -> Result<Vec<Finding>> {
    let asked: Vec<usize> = (0..snapshot.chunks.len()).filter(|chunk| is_asked(&snapshot.chunks[*chunk])).collect();
    let ask = workers.iter().enumerate().map(async |(worker, session)| {
        let is_mine = |chunk: &&usize| match &snapshot.shares {
            Shares::All => **chunk % workers.len() == worker,
            Shares::Ranges(ranges) => {
                let slice = snapshot.chunks[**chunk].primary();
                ranges.iter().position(|range| range.overlaps(slice)) == Some(worker)
            }
        };
        let chunks: Vec<usize> = asked.iter().filter(is_mine).copied().collect();
        survey.run(session, &chunks).await
    });
    Ok(try_join_all(ask).await?.into_iter().flatten().collect())
}

/// The ends of the chunks' slices, where tasks should be cut.
pub(crate) fn boundaries(chunks: &[Chunk]) -> Vec<i64> {
    chunks.iter().map(Chunk::primary).flat_map(|slice| [slice.start, slice.end]).collect()
}

/// One point for each bucket that has rows, along the axis.
fn points(layout: &Layout, findings: &[Finding]) -> Vec<Point> {
    let dimensions: Vec<_> = layout.all_open().collect();
    let bucket = |values: &[i64]| -> Vec<i64> {
        dimensions.iter().zip(values).map(|(dimension, value)| dimension.bucket(*value).start).collect()
    };
    let buckets: BTreeMap<Vec<i64>, &Point> =
        findings.iter().map(|finding| (bucket(&finding.values), &finding.values)).collect();
    buckets.into_values().cloned().collect()
}

/// A chunk's bytes and rows, spread evenly over the buckets it has rows for. A chunk in which none were seen is a cell
/// without weight: it is read too, and a task must not read too many of them.
fn cells(layout: &Layout, stretches: &[Stretch], findings: &[Finding]) -> Vec<Cell> {
    let mut buckets: HashMap<usize, u64> = HashMap::new();
    for finding in findings {
        *buckets.entry(finding.chunk).or_default() += 1;
    }
    let cell = |finding: &Finding| {
        let first = finding.values[0];
        let bucket = layout.primary.bucket(first);
        let Stretch { chunk, estimate: Estimate { bytes, rows } } = &stretches[finding.chunk];
        let share = buckets[&finding.chunk];
        let end = chunk.slice.end.min(bucket.end);
        let last = finding.last.unwrap_or(i64::MAX).min(if end == i64::MAX { end } else { end - 1 });
        Cell { chunk: finding.chunk, first, last: last.max(first), bytes: bytes / share, rows: rows / share }
    };
    let empty = (0..stretches.len()).filter(|chunk| !buckets.contains_key(chunk)).map(|chunk| {
        let start = stretches[chunk].chunk.slice.start;
        Cell { chunk, first: start, last: start, bytes: 0, rows: 0 }
    });
    findings.iter().map(cell).chain(empty).collect()
}

/// A task is worth a transaction and small enough that all workers end at about the same time.
fn task_bytes(total_bytes: u64, jobs: usize) -> u64 {
    (total_bytes / (jobs as u64 * 5)).clamp(8 << 20, 128 << 20)
}

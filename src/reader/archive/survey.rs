//! Where an archive has rows: for each segment, one value in each bucket of a layout that it has rows for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::try_join_all;
use tokio::task::spawn_blocking;

use super::{Segments, coordinate};
use crate::archive::Segment;
use crate::catalog::{ChunkShape, Slice};
use crate::error::{Context, Error, Kind, Result};
use crate::pgcopy::Coordinate;
use crate::plan::{Layout, OpenDimension, Range, Read};
use crate::reader::rows::Row;
use crate::reader::survey::{Finding, refuse_too_many};

/// How an archive is searched for rows.
pub(crate) struct SegmentSurvey {
    /// What is searched.
    pub(crate) segments: Arc<Segments>,
    /// The target's layout.
    pub(crate) layout: Layout,
    /// Bounds of the primary dimension.
    pub(crate) bounds: Range,
    /// More buckets than these are refused.
    pub(crate) limit: u64,
}

impl SegmentSurvey {
    /// Searches these segments in so many threads. Where the manifest's extents say enough, nothing is read; what is read is
    /// known to be whole then.
    ///
    /// Dropping the future leaves its threads at their segment.
    ///
    /// # Errors
    /// [`Kind::Input`] for a segment that is not what the manifest says, [`Kind::Refused`] for too many buckets.
    pub(crate) async fn run(self, segments: Vec<usize>, threads: usize) -> Result<Vec<Finding>> {
        let (survey, queue, next) = (Arc::new(self), Arc::new(segments), Arc::new(AtomicUsize::new(0)));
        let search = async || {
            let (survey, queue, next) = (Arc::clone(&survey), Arc::clone(&queue), Arc::clone(&next));
            let searched = spawn_blocking(move || survey.search(&queue, &next)).await;
            searched.doing(Kind::Internal, || "a thread that reads segments ended without an answer")?
        };
        let found = try_join_all((0..threads).map(|_| search())).await?;
        Ok(found.into_iter().flatten().collect())
    }

    fn search(&self, queue: &[usize], next: &AtomicUsize) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        while let Some(segment) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
            findings.extend(self.search_segment(*segment)?);
            refuse_too_many(findings.len() as u64, self.limit)?;
        }
        Ok(findings)
    }

    fn search_segment(&self, number: usize) -> Result<Vec<Finding>> {
        let segment = &self.segments.archive.manifest.segments[number];
        if segment.rows == 0 {
            return Ok(Vec::new());
        }
        let part = self.bounds.within(segment.range.slice());
        if self.layout.has_function() {
            return self.by_chunks(number, segment, part);
        }
        match self.told(number, segment) {
            Some(findings) => Ok(findings),
            None => self.read(number, part),
        }
    }

    /// Where only the source's server knew where rows lie: somewhere in each chunk that it had there.
    fn by_chunks(&self, number: usize, segment: &Segment, part: Range) -> Result<Vec<Finding>> {
        if part != Range::ALL && self.layout.primary.function.is_some() {
            return Err(Error::refused(format!(
                "rows of segment {} would have to be told apart by {}, which only a server can do",
                segment.file,
                self.layout.primary.name()
            ))
            .hint(
                "Leave --from and --until out, or choose ends of segments, which \"hypercopy archive show\" lists.",
            ));
        }
        let shapes = self.segments.archive.manifest.definition.shapes.iter();
        let dimensions: Vec<&OpenDimension> = self.layout.all_open().collect();
        let finding = |shape: &ChunkShape| {
            let slice = segment.range.intersect(Range::of(shape.primary())).slice();
            let others = shape.slices.iter().skip(1).copied();
            let slices = std::iter::once(slice).chain(others);
            let values = dimensions.iter().zip(slices).map(|(_, slice)| slice.some_value());
            Finding { chunk: number, values: values.collect(), last: None }
        };
        Ok(shapes.filter(|shape| segment.range.overlaps(shape.primary())).map(finding).collect())
    }

    /// What follows from the extents: something only where each of them lies in one bucket, and inside the bounds or outside.
    fn told(&self, number: usize, segment: &Segment) -> Option<Vec<Finding>> {
        let extents = segment.extents.as_ref().filter(|_| self.layout.open.is_empty())?;
        let mut findings: Vec<Finding> = Vec::new();
        let mut bucket: Option<Slice> = None;
        for extent in extents {
            match (self.bounds.contains(extent.first), self.bounds.contains(extent.last)) {
                (true, true) => {}
                (false, false) if !self.bounds.overlaps(Slice { start: extent.first, end: extent.last }) => continue,
                _ => return None,
            }
            match (bucket, findings.last_mut()) {
                (Some(slice), Some(finding)) if slice.contains(extent.first) => finding.last = Some(extent.last),
                _ => {
                    bucket = Some(self.layout.primary.bucket(extent.first));
                    findings.push(Finding { chunk: number, values: vec![extent.first], last: Some(extent.last) });
                }
            }
            bucket.filter(|slice| slice.contains(extent.last))?;
        }
        Some(findings)
    }

    fn read(&self, number: usize, range: Range) -> Result<Vec<Finding>> {
        let table = &self.segments.archive.manifest.definition.hypertable;
        let places = self.layout.all_open().map(|dimension| coordinate(table, dimension));
        let mut buckets = Buckets::new(number, &self.layout, places.collect::<Result<_>>()?, self.limit);
        let mut rows = self.segments.open(&Read { chunk: number, range })?;
        while rows.next(|row| buckets.add(row))? {
            refuse_too_many(buckets.findings.len() as u64, self.limit)?;
        }
        rows.finish()?;
        Ok(buckets.findings)
    }
}

/// The buckets that rows were seen in.
struct Buckets<'a> {
    segment: usize,
    dimensions: Vec<&'a OpenDimension>,
    /// Where rows have the values of each.
    places: Vec<Coordinate>,
    findings: Vec<Finding>,
    /// Which finding is of a bucket, by where that begins.
    known: HashMap<Vec<i64>, usize>,
    /// The bucket of the latest row, where the next one usually lies as well.
    latest: Option<(Vec<Slice>, usize)>,
    values: Vec<i64>,
    /// No more than one beyond these are kept.
    limit: u64,
}

impl<'a> Buckets<'a> {
    fn new(segment: usize, layout: &'a Layout, places: Vec<Coordinate>, limit: u64) -> Self {
        Buckets {
            segment,
            dimensions: layout.all_open().collect(),
            places,
            findings: Vec::new(),
            known: HashMap::new(),
            latest: None,
            values: Vec::new(),
            limit,
        }
    }

    fn add(&mut self, row: &Row<'_>) {
        self.values.clear();
        // A dimension's column is never null; the server says so of a row in which it is.
        self.values.extend(self.places.iter().map(|place| row.coordinate(*place).unwrap_or_default()));
        let primary = self.values[0];
        let number = match &self.latest {
            Some((slices, number)) if slices.iter().zip(&self.values).all(|(slice, value)| slice.contains(*value)) => {
                *number
            }
            _ => self.find(),
        };
        if let Some(finding) = self.findings.get_mut(number) {
            finding.values[0] = finding.values[0].min(primary);
            finding.last = finding.last.max(Some(primary));
        }
    }

    /// The number of the finding of these values' bucket.
    fn find(&mut self) -> usize {
        let slices = self.dimensions.iter().zip(&self.values).map(|(dimension, value)| dimension.bucket(*value));
        let slices: Vec<Slice> = slices.collect();
        let key = slices.iter().map(|slice| slice.start).collect();
        let number = *self.known.entry(key).or_insert(self.findings.len());
        if number == self.findings.len() && self.findings.len() as u64 <= self.limit {
            self.findings.push(Finding {
                chunk: self.segment,
                values: self.values.clone(),
                last: Some(self.values[0]),
            });
        }
        self.latest = Some((slices, number));
        number
    }
}

//! Row → target chunk, by slices that were read back from the target.
//!
//! **Invariant:** pure, and never needed for truth: the server routes each row itself. The router only puts rows of one
//! chunk behind each other, because the server's copy loop is two to three times slower on scattered rows.

use crate::catalog::{Chunk, Slice};
use crate::pgcopy::binary::Row;
use crate::pgcopy::{HashType, TimeType};
use crate::plan::{Layout, OpenDimension, Range};

/// How a dimension's value is read from a row.
#[derive(Clone, Copy, Debug)]
enum Reader {
    Open(TimeType),
    Closed(HashType),
}

/// Chunks of one slice of the primary dimension.
#[derive(Debug)]
struct Group {
    primary: Slice,
    /// The slices of the other dimensions, and the chunk's number.
    members: Vec<(Vec<Slice>, usize)>,
}

impl Group {
    /// Whether slices of one dimension overlap, as they do where the number of partitions was changed: then the server
    /// alone knows which chunk it takes.
    fn may_overlap(&self) -> bool {
        let dimensions = self.members.first().map_or(0, |(slices, _)| slices.len());
        (0..dimensions).any(|dimension| {
            let mut slices: Vec<Slice> = self.members.iter().map(|(slices, _)| slices[dimension]).collect();
            slices.sort_unstable();
            slices.dedup();
            slices.windows(2).any(|pair| pair[0].end > pair[1].start)
        })
    }
}

/// Finds the chunk of a row. Built once per task, for the chunks that the task can feed.
#[derive(Debug)]
pub struct Router {
    /// Column of each dimension and how to read it; the primary one first.
    dimensions: Vec<(usize, Reader)>,
    groups: Vec<Group>,
    chunks: usize,
}

impl Router {
    /// A router for the chunks that overlap `range`; `None` where there is nothing to route: fewer than two chunks, a
    /// hash or a value that only the server can compute, or slices that overlap each other. `columns` are the copied ones.
    pub fn new(layout: &Layout, columns: &[String], chunks: &[Chunk], range: Range) -> Option<Router> {
        Router::over(layout, columns, chunks, range).filter(|router| router.chunks > 1)
    }

    /// The same, also where there is only one chunk or none.
    pub fn over(layout: &Layout, columns: &[String], chunks: &[Chunk], range: Range) -> Option<Router> {
        let position = |column: &str| columns.iter().position(|name| name == column);
        let open = layout.all_open().map(|dimension| Some((position(&dimension.column)?, Reader::of(dimension)?)));
        let closed = layout
            .closed
            .iter()
            .map(|dimension| Some((position(&dimension.column)?, Reader::Closed(dimension.hash_type?))));
        let dimensions: Vec<_> = open.chain(closed).collect::<Option<_>>()?;

        let mut slices: Vec<&Vec<Slice>> = chunks
            .iter()
            .filter(|chunk| range.overlaps(chunk.primary()))
            .map(|chunk| chunk.slices.as_ref().filter(|slices| slices.len() == dimensions.len()))
            .collect::<Option<_>>()?;
        slices.sort_unstable();
        let mut groups: Vec<Group> = Vec::new();
        for (chunk, slices) in slices.iter().enumerate() {
            let member = (slices[1..].to_vec(), chunk);
            match groups.last_mut() {
                Some(group) if group.primary == slices[0] => group.members.push(member),
                Some(group) if group.primary.end > slices[0].start => return None,
                _ => groups.push(Group { primary: slices[0], members: vec![member] }),
            }
        }
        if groups.iter().any(Group::may_overlap) {
            return None;
        }
        Some(Router { dimensions, groups, chunks: slices.len() })
    }

    /// How many chunks it tells apart. [`Router::route`] answers a number up to this one, which itself stands for "none
    /// of them".
    pub fn chunk_count(&self) -> usize {
        self.chunks
    }

    /// The number of the row's chunk, in the order of slices.
    pub fn route(&self, row: &Row<'_>) -> usize {
        self.find(row).unwrap_or(self.chunks)
    }

    /// The number of the row's chunk, where it is one of those that the router knows.
    pub fn find(&self, row: &Row<'_>) -> Option<usize> {
        let (column, reader) = self.dimensions[0];
        let primary = reader.coordinate(row, column)?;
        let after = self.groups.partition_point(|group| group.primary.start <= primary);
        let group = self.groups[..after].last().filter(|group| group.primary.contains(primary))?;
        if let ([(_, chunk)], 1) = (group.members.as_slice(), self.dimensions.len()) {
            return Some(*chunk);
        }
        let mut coordinates = [0; MAX_OTHER_DIMENSIONS];
        let others = &self.dimensions[1..];
        let coordinates = coordinates.get_mut(..others.len())?;
        for (coordinate, (column, reader)) in coordinates.iter_mut().zip(others) {
            *coordinate = reader.coordinate(row, *column)?;
        }
        let is_home =
            |slices: &[Slice]| slices.iter().zip(coordinates.iter()).all(|(slice, value)| slice.contains(*value));
        group.members.iter().find(|(slices, _)| is_home(slices)).map(|(_, chunk)| *chunk)
    }
}

/// More dimensions than anybody has; rows of a table with more are routed by the server.
const MAX_OTHER_DIMENSIONS: usize = 7;

impl Reader {
    /// None where only the server knows what a row's value is.
    fn of(dimension: &OpenDimension) -> Option<Reader> {
        dimension.function.is_none().then_some(Reader::Open(dimension.time_type))
    }

    fn coordinate(self, row: &Row<'_>, column: usize) -> Option<i64> {
        match self {
            Reader::Open(time_type) => time_type.internal(row.field(column)?),
            Reader::Closed(hash_type) => hash_type.partition_hash(row.field(column)).map(i64::from),
        }
    }
}

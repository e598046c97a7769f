//! Which chunk a row belongs to, and an order of rows in which those of one chunk stand together.
//!
//! **Invariant:** pure, and never needed for truth: the server routes each row itself.

use std::collections::BTreeMap;

use crate::catalog::Chunk;
use crate::pgcopy::binary::Row;
use crate::pipeline::route::Router;
use crate::plan::Point;
use crate::plan::{Layout, OpenDimension, Range};

/// The chunks of the target as they were read back, for rows of certain columns.
#[derive(Debug)]
pub struct Places {
    open: Vec<(usize, OpenDimension)>,
    router: Option<Router>,
    layout: Layout,
    chunks: Vec<Chunk>,
}

/// Where a row belongs, in an order that keeps those of one chunk together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    kind: Kind,
    number: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// A chunk, by its number.
    Chunk,
    /// No chunk that is known, by where its slice would begin.
    Bucket,
    /// Nothing can be said: a null.
    Nowhere,
}

impl Place {
    /// Whether nothing can be said about it.
    pub fn is_nowhere(&self) -> bool {
        self.kind == Kind::Nowhere
    }
}

impl Places {
    /// The places of rows that have these columns; `None` where they lack a dimension's.
    pub fn new(layout: &Layout, columns: &[String], chunks: &[Chunk]) -> Option<Places> {
        let position = |column: &str| columns.iter().position(|name| name == column);
        let all: Option<Vec<usize>> = layout.columns().map(position).collect();
        all?;
        Some(Places {
            open: layout
                .all_open()
                .filter_map(|dimension| Some((position(&dimension.column)?, dimension.clone())))
                .collect(),
            router: Router::over(layout, columns, chunks, Range::ALL),
            layout: layout.clone(),
            chunks: chunks.to_vec(),
        })
    }

    /// Where a row belongs. A bucket that has no chunk yet is added to `missing`.
    pub fn place(&self, row: &Row<'_>, missing: &mut Missing) -> Place {
        if let Some(chunk) = self.router.as_ref().and_then(|router| router.find(row)) {
            return Place { kind: Kind::Chunk, number: chunk as i64 };
        }
        let value = |(column, dimension): &(usize, OpenDimension)| dimension.time_type.internal(row.field(*column)?);
        let Some(point) = self.open.iter().map(value).collect::<Option<Point>>() else {
            return Place { kind: Kind::Nowhere, number: 0 };
        };
        let bucket: Vec<i64> =
            self.open.iter().zip(&point).map(|((_, dimension), value)| dimension.bucket(*value).start).collect();
        let place = Place { kind: Kind::Bucket, number: bucket[0] };
        // Without a router nobody knows the chunk, but a slice that is there needs none to be made.
        let is_there =
            |chunk: &Chunk| chunk.slices.iter().flatten().zip(&point).all(|(slice, value)| slice.contains(*value));
        if self.router.is_some() || !self.chunks.iter().any(is_there) {
            missing.0.entry(bucket).or_insert(point);
        }
        place
    }
}

impl Places {
    /// The points among these whose chunks are not all there.
    pub fn missing(&self, points: &[Point]) -> Vec<Point> {
        self.layout.missing_points(points, &self.chunks)
    }
}

/// Points for which no chunk is known: one for each bucket.
#[derive(Debug, Default)]
pub struct Missing(BTreeMap<Vec<i64>, Point>);

impl Missing {
    /// The points.
    pub fn into_points(self) -> Vec<Point> {
        self.0.into_values().collect()
    }
}

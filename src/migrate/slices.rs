//! `--chunk-layout preserve`: the target gets the source's own slices, however they came about.

use super::look::Sides;
use super::request::{Parts, Request};
use super::source::Stock;
use super::work::Work;
use crate::catalog::{Chunk, Slice};
use crate::error::{Error, Result};
use crate::plan::{Layout, Point, Range, chunk_slices_of};
use crate::schema;

/// The slices of the source's chunks that may hold rows of what is copied; none where they are not asked for.
pub(super) struct Preserved(Option<Vec<Vec<Slice>>>);

impl Preserved {
    pub(super) fn of(request: &Request, sides: &Sides, stock: &Stock, bounds: Range) -> Result<Preserved> {
        if !request.preserve_chunks || request.parts == Parts::Schema {
            return Ok(Preserved(None));
        }
        if sides.target_server.is_apache() {
            return Err(Error::refused("the target's Apache edition makes chunks by their interval only")
                .hint("Leave --chunk-layout out, or choose an interval with --chunk-interval."));
        }
        if stock.shapes.is_empty() && stock.chunks > 0 {
            return Err(Error::refused("the archive does not say which chunks its table had")
                .hint("It was made by an earlier version: leave --chunk-layout out."));
        }
        let inside = stock.shapes.iter().filter(|shape| bounds.overlaps(shape.primary()));
        Ok(Preserved(Some(inside.map(|shape| shape.slices.clone()).collect())))
    }

    /// How many they are.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().flatten().count() as u64
    }

    /// The points whose chunks are not all among `chunks`: none, where every row has the chunk that it has on the source.
    pub(super) fn missing_points(&self, layout: &Layout, points: &[Point], chunks: &[Chunk]) -> Vec<Point> {
        match &self.0 {
            Some(_) => Vec::new(),
            None => layout.missing_points(points, chunks),
        }
    }

    /// In how many buckets of the layout rows may be. Where the source's slices are taken, nobody makes chunks of them.
    pub(super) fn most_buckets(&self, request: &Request) -> u64 {
        if self.0.is_some() { u64::MAX } else { request.max_new_chunks }
    }
}

impl Work<'_> {
    /// Makes the chunks that the source has; those that are there already stay.
    pub(super) async fn make_preserved_chunks(&self) -> Result<()> {
        let Preserved(Some(preserved)) = &self.planned.preserved else { return Ok(()) };
        self.supervision.progress.phase(format!("making {} chunks like the source's", preserved.len()));
        let _open = self.supervision.interrupt.open()?;
        let slices = preserved.iter().map(|slices| chunk_slices_of(&self.planned.source, slices));
        schema::create_chunks(&self.sides.target, &self.sides.target_server, self.table(), slices).await
    }
}

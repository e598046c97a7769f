//! `--chunk-layout preserve`: the target gets the source's own slices, however they came about.

use super::look::Sides;
use super::request::{Parts, Request};
use super::source::Stock;
use super::work::Work;
use crate::catalog::Slice;
use crate::error::{Error, Result};
use crate::plan::{Range, chunk_slices_of};
use crate::schema;

/// The slices of the source's chunks that may hold rows of `bounds`, where they are asked for.
pub(super) fn preserved(request: &Request, sides: &Sides, stock: &Stock, bounds: Range) -> Result<Vec<Vec<Slice>>> {
    if !request.preserve_chunks || request.parts == Parts::Schema {
        return Ok(Vec::new());
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
    Ok(inside.map(|shape| shape.slices.clone()).collect())
}

impl Work<'_> {
    /// Makes the chunks that the source has; those that are there already stay.
    pub(super) async fn make_preserved_chunks(&self) -> Result<()> {
        let preserved = &self.planned.preserved;
        if preserved.is_empty() {
            return Ok(());
        }
        self.supervision.progress.phase(format!("making {} chunks like the source's", preserved.len()));
        let _open = self.supervision.interrupt.open()?;
        let slices = preserved.iter().map(|slices| chunk_slices_of(&self.planned.source, slices));
        schema::create_chunks(&self.sides.target, &self.sides.target_server, self.table(), slices).await
    }
}

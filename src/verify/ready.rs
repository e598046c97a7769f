//! All that is decided before the first range is compared.

use std::sync::Arc;

use futures_util::future::try_join;

use super::keys::Key;
use super::ranges::{Laid, cut, range_bytes};
use super::sides::{Pair, Sides, Snapshots};
use super::{Hashing, Reading, Request, columns};
use crate::catalog::Hypertable;
use crate::error::Result;
use crate::look::{Bounds, Found};
use crate::plan::{OpenDimension, Range, Task, Wire, column_list, describe_dimension};
use crate::progress::Progress;
use crate::reader::snapshot::Shares;

/// A comparison that can begin.
pub(super) struct Ready {
    pub(super) primary: OpenDimension,
    pub(super) key: Key,
    pub(super) pairs: Vec<Pair>,
    pub(super) shares: Shares,
    pub(super) tasks: Vec<Task>,
    pub(super) bounds: Bounds,
    pub(super) wire: Wire,
    /// Dimensions of either side, in words.
    pub(super) layouts: [String; 2],
    /// Chunks of either side inside the bounds.
    pub(super) chunks: [usize; 2],
}

impl Ready {
    /// Decides on columns, format and ranges.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::error::Kind::Refused) for tables that cannot be compared.
    pub(super) async fn make(
        sides: &Sides,
        snapshots: Snapshots,
        bounds: Bounds,
        request: &Request,
        progress: &Arc<Progress>,
    ) -> Result<Ready> {
        sides.source.refuse_unreadable_chunks(&snapshots.source.chunks)?;
        sides.target.refuse_unreadable_chunks(&snapshots.target.chunks)?;
        let (source, target) =
            try_join(sides.source.describe(&snapshots.source.leader), sides.target.describe(&snapshots.target.leader))
                .await?;
        columns::refuse_other_columns(&source, &target)?;
        let primary = columns::common_dimension(&source, &target)?;
        let wire = columns::common_wire(&source, &target);
        let columns = column_list(&source);
        let reading = |found: &Found| Reading {
            table: found.table.name.sql(),
            columns: columns.clone(),
            primary: primary.clone(),
            wire: wire.clone(),
            hashing: Hashing::Here,
            functions: found.server.functions_schema.clone(),
            progress: Arc::clone(progress),
        };
        let readings = [&sides.source, &sides.target].map(|found| Arc::new(reading(found)));
        let planning = Planning { snapshots: &snapshots, tables: [&source, &target], readings: &readings };
        let tasks = planning.ranges(&primary, bounds.range, request.jobs).await?;
        Ok(Ready {
            primary,
            key: Key::of(&source),
            tasks,
            bounds,
            layouts: [&source, &target].map(layout),
            chunks: [&snapshots.source, &snapshots.target].map(|snapshot| snapshot.chunks.len()),
            shares: snapshots.shares().clone(),
            pairs: snapshots.into_pairs(readings.each_ref(), !request.counts_only),
            wire,
        })
    }

    /// Rows of both sides together, as far as statistics tell.
    pub(super) fn estimated_rows(&self) -> u64 {
        self.tasks.iter().map(|task| task.rows).sum()
    }
}

fn layout(table: &Hypertable) -> String {
    table.dimensions.iter().map(describe_dimension).collect::<Vec<_>>().join(", ")
}

/// What planning needs of both sides, the source's first.
struct Planning<'a> {
    snapshots: &'a Snapshots,
    tables: [&'a Hypertable; 2],
    readings: &'a [Arc<Reading>; 2],
}

impl Planning<'_> {
    async fn ranges(&self, primary: &OpenDimension, bounds: Range, jobs: usize) -> Result<Vec<Task>> {
        let Snapshots { source, target } = self.snapshots;
        let mut sides = [Laid::new(self.tables[0], &source.chunks), Laid::new(self.tables[1], &target.chunks)];
        let range_bytes = range_bytes(&sides, jobs);
        let shares = self.snapshots.shares();
        // Where the locks are shared out a leader has locked no chunk; with that many of them each is small enough.
        if *shares == Shares::All {
            let [of_source, of_target] = &mut sides;
            try_join(
                of_source.find_rows(&self.readings[0], &source.leader, range_bytes),
                of_target.find_rows(&self.readings[1], &target.leader, range_bytes),
            )
            .await?;
        }
        Ok(cut(shares.ranges().unwrap_or(&[bounds]), &sides, primary, range_bytes))
    }
}

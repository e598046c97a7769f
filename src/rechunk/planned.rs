//! What a run will do, computed from where rows are.

use super::ground::Ground;
use super::interval::{Sized, interval_for};
use super::prepare::capture;
use super::report::PlanReport;
use super::request::{Change, Request};
use super::sample::Sample;
use crate::catalog::Chunk;
use crate::connect::Side;
use crate::error::{Error, Result};
use crate::ident::QualifiedName;
use crate::ledger::JobId;
use crate::look::{partitioning, refuse_minus_infinity};
use crate::plan::{Beside, Keys, describe_interval, post_data, pre_data};
use crate::plan::{Layout, OpenDimension, Partitioning, Range, Statement, TargetNames, aggregates};
use crate::reader::cells::{self, Rows};
use crate::reader::snapshot::{Snapshot, Subject};
use crate::reader::survey::refuse_too_many;
use crate::schema::refuse_too_many_locks;
use crate::supervision::Supervision;

/// Where rows are in the terms of the new layout.
pub(super) struct Planned {
    pub(super) layout: Layout,
    pub(super) rows: Rows,
    /// Whether an index makes a range cheap to read.
    pub(super) indexed: bool,
    pub(super) new_chunks: u64,
    sized: Option<Sized>,
    /// The old chunks.
    pub(super) chunks: Vec<Chunk>,
}

/// What is made of the new table.
pub(super) struct Definition {
    pub(super) before_rows: Vec<Statement>,
    pub(super) constraints: Vec<Statement>,
    pub(super) indexes: Vec<Statement>,
}

impl Planned {
    /// Looks where rows are in `ranges`, under a snapshot that is given back at once.
    pub(super) async fn make(
        request: &Request,
        ground: &Ground,
        supervision: &Supervision,
        layout: impl AsyncFnOnce(&[Chunk]) -> Result<(Layout, Option<Sized>)>,
        ranges: Vec<Range>,
    ) -> Result<Planned> {
        let subject = Subject {
            side: Side::Target,
            ..ground.found.subject(&request.database, request.jobs, Range::ALL, "rechunk")
        };
        let snapshot = Snapshot::take(&subject).await?;
        snapshot.workers.iter().chain([&snapshot.leader]).for_each(|session| supervision.watch(session));
        ground.found.refuse_unreadable_chunks(&snapshot.chunks)?;
        let (layout, sized) = layout(&snapshot.chunks).await?;
        refuse_minus_infinity(&snapshot.leader, &ground.hypertable, &layout, Range::ALL).await?;
        let survey = cells::Ground {
            source: &ground.hypertable,
            layout: &layout,
            bounds: Range::ALL,
            max_new_chunks: request.max_new_chunks,
            jobs: request.jobs,
            most_task_bytes: most_task_bytes(request, ground),
        };
        let rows = Rows::find(&survey, &snapshot, &snapshot.workers.iter().collect::<Vec<_>>(), ranges).await?;
        let new_chunks = rows.points.len() as u64 * layout.partitions_per_bucket();
        refuse_too_many(new_chunks, request.max_new_chunks)?;
        refuse_too_many_locks(ground.server(), new_chunks)?;
        let indexed = ground.hypertable.has_index_on_primary();
        Ok(Planned { layout, rows, indexed, new_chunks, sized, chunks: snapshot.chunks })
    }

    /// The width of the buckets by which changes are noted: about so many rows, and no more than a chunk of either layout.
    pub(super) fn bucket_width(&self, ground: &Ground) -> i64 {
        const ROWS: u64 = 5_000;
        let old = ground.hypertable.dimensions.first().and_then(|dimension| dimension.interval_length);
        let new = self.layout.primary.interval;
        let chunk = old.map_or(new, |old| old.min(new)).max(1);
        if !self.indexed {
            return chunk;
        }
        let row_bytes = ground.hypertable.row_bytes();
        let densest = self.chunks.iter().filter_map(|found| {
            let slice = found.primary();
            let length = (slice.start != i64::MIN && slice.end != i64::MAX).then(|| slice.end - slice.start)?;
            let rows = found.estimate(row_bytes).rows.max(1);
            Some((i128::from(length) * i128::from(ROWS) / i128::from(rows)) as i64)
        });
        let width = densest.filter(|width| *width > 0).min().unwrap_or(chunk).min(chunk);
        self.layout.primary.whole_units(width)
    }

    /// DDL of the new table.
    pub(super) fn definition(&self, ground: &Ground, table: QualifiedName) -> Result<Definition> {
        let timescaledb_schema = ground.server().timescaledb_schema.clone().unwrap_or_default();
        let names = TargetNames::new(&ground.hypertable, table, timescaledb_schema, &[]);
        let keys = Keys::of(self.new_chunks, false);
        let (constraints, indexes) = post_data(&ground.hypertable, &names, keys)?;
        let before_rows = pre_data(&ground.hypertable, &self.layout, &names, Beside::default(), keys);
        Ok(Definition { before_rows, constraints, indexes })
    }

    pub(super) fn report(&self, request: &Request, ground: &Ground, sample: Option<&Sample>) -> Result<PlanReport> {
        let definition = self.definition(ground, QualifiedName::new("_hypercopy_N", &ground.name().name))?;
        let capture = capture(ground, self, JobId(0));
        let by = if capture.by_row { "row triggers" } else { "statement triggers with transition tables" };
        let bytes: u64 = self.chunks.iter().filter_map(|chunk| chunk.bytes).sum::<i64>() as u64;
        let index_bytes = self.chunks.iter().filter_map(|chunk| chunk.index_bytes).sum::<i64>() as u64;
        let row_bytes = ground.hypertable.row_bytes();
        let estimated_rows = self.chunks.iter().map(|chunk| chunk.estimate(row_bytes).rows).sum();
        let old = Layout::resolve(&ground.hypertable, &Partitioning::default(), &ground.server().encoding);
        Ok(PlanReport {
            old_layout: old.map(|layout| layout.describe()).unwrap_or_default(),
            new_layout: self.layout.describe(),
            sized: self.sized.as_ref().map(|sized| sized.report(self.layout.primary.time_type)),
            old_chunks: self.chunks.len(),
            new_chunks: self.new_chunks,
            estimated_rows,
            estimated_seconds: sample.map(|sample| sample.seconds(estimated_rows, request.jobs)),
            sample_rows: sample.map(|sample| sample.rows),
            disk_bytes: bytes + index_bytes,
            wal_bytes: bytes + index_bytes,
            capture: format!(
                "by {by}, in buckets of {}",
                describe_interval(self.layout.primary.time_type, capture.buckets.width)
            ),
            locks: vec![
                format!("share row exclusive on {}, for a moment, to begin: waits for open writers", ground.name()),
                format!("access share on {} and its chunks while rows are copied", ground.name()),
                format!("access exclusive on {} and its chunks, for the swap", ground.name()),
            ],
            users: ground.surroundings.users(),
            aggregates: aggregates::costs(&ground.surroundings.aggregates),
            before_rows: definition.before_rows.clone(),
            after_rows: definition.constraints.iter().chain(&definition.indexes).cloned().collect(),
        })
    }
}

/// Where the rate is limited a task is a second's work.
fn most_task_bytes(request: &Request, ground: &Ground) -> u64 {
    let row_bytes = ground.hypertable.row_bytes();
    request.max_rate.map_or(u64::MAX, |rate| rate.bytes_per_second(row_bytes) as u64)
}

/// The layout that was asked for.
pub(super) async fn layout(ground: &Ground, change: &Change, chunks: &[Chunk]) -> Result<(Layout, Option<Sized>)> {
    let session = &ground.found.session;
    let asked = partitioning(session, change.chunk_interval.as_deref(), change.hash_partitions.clone()).await?;
    let encoding = &ground.server().encoding;
    let mut layout = Layout::resolve(&ground.hypertable, &asked, encoding)?;
    let mut sized = None;
    if let Some(wanted) = change.chunk_bytes {
        let (rows, time_type) = (extent(ground, &layout.primary).await?, layout.primary.time_type);
        let found = interval_for(wanted, chunks, rows, time_type, layout.partitions_per_bucket())?;
        layout.primary.interval = found.interval;
        sized = Some(found);
    }
    let now = Layout::resolve(&ground.hypertable, &Partitioning::default(), encoding);
    if now.is_ok_and(|now| now == layout) && has_one_interval(chunks, &layout) {
        return Err(Error::refused(format!("{} has this layout already: {}", ground.name(), layout.describe()))
            .hint("Ask for another one: --chunk-interval, --target-chunk-size, --hash-partitions."));
    }
    Ok((layout, sized))
}

/// From the first finite value that there is up to behind the last one.
async fn extent(ground: &Ground, primary: &OpenDimension) -> Result<Range> {
    let (table, value) = (ground.name().sql(), primary.value());
    let finite = match primary.time_type.has_infinities() {
        true => format!("{table} where {value} > '-infinity' and {value} < 'infinity'"),
        false => table,
    };
    let sql = primary.extent_query(&finite, &ground.server().functions_schema);
    let row = ground.found.session.row(&sql, &[]).await?;
    Ok(match (row.get(0), row.get::<_, Option<i64>>(1)) {
        (Some(first), Some(last)) => {
            Range { from: Some(first), until: Some(last.saturating_add(primary.whole_units(1))) }
        }
        _ => Range::NOTHING,
    })
}

/// Whether all chunks are what the layout would make: an interval that was changed leaves older chunks as they are.
fn has_one_interval(chunks: &[Chunk], layout: &Layout) -> bool {
    chunks.iter().all(|chunk| {
        let slice = chunk.primary();
        layout.primary.bucket(slice.some_value()) == slice
    })
}

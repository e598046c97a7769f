//! What a migration will do, computed from what the snapshot shows.

use std::collections::{BTreeMap, HashMap};

use futures_util::future::try_join_all;
use serde_json::json;

use super::look::Sides;
use super::{Request, Snapshot};
use crate::catalog::{Chunk, Column, Estimate, Hypertable, NotCarried, Sequence, Type, read};
use crate::connect::{Reader, Session};
use crate::error::{Error, Result};
use crate::ident::{QualifiedName, display_ident, quote_ident};
use crate::look::Bounds;
use crate::pgcopy::TimeType;
use crate::plan::{
    Cell, IntervalRequest, Layout, Partitioning, Range, SourceChunk, Statement, TargetNames, Task, Wire,
    binary_obstacle, cut_tasks, integer_now_function, missing_types, post_data, pre_data,
};
use crate::reader::snapshot::Shares;
use crate::reader::survey::{Finding, Survey, refuse_too_many};
use crate::report::PlanReport;
use crate::schema::{Point, refuse_too_many_locks, set_owner};

/// Everything that was decided.
pub struct Planned {
    pub(super) source: Hypertable,
    pub(super) layout: Layout,
    source_layout: Layout,
    pub(super) names: TargetNames,
    bounds: Bounds,
    pub(super) wire: Wire,
    pub(super) pre_data: Vec<Statement>,
    pub(super) constraints: Vec<Statement>,
    pub(super) indexes: Vec<Statement>,
    missing_sequences: Vec<QualifiedName>,
    pub(super) points: Vec<Point>,
    pub(super) new_chunks: u64,
    source_chunks: Vec<SourceChunk>,
    cells: Vec<Cell>,
    pub(super) estimated_rows: u64,
    estimated_bytes: u64,
    index_bytes: u64,
    chunk_count: usize,
    pub(super) not_carried: Vec<NotCarried>,
    key_first: bool,
}

/// With more new chunks than this the primary key is made on the empty table: `add primary key` takes memory that
/// grows with the square of the chunks (reference 9.1). With fewer, building it behind the rows is faster.
const KEY_AFTER_ROWS_CHUNKS: u64 = 100;

impl Planned {
    pub(super) async fn make(request: &Request, sides: &Sides, snapshot: &Snapshot, bounds: Bounds) -> Result<Planned> {
        let leader = &snapshot.leader;
        let chunks = &snapshot.chunks;
        sides.source.refuse_unreadable_chunks(chunks)?;
        let source = sides.source.describe(snapshot).await?;
        refuse_virtual_columns(sides, &source)?;
        let encoding = &sides.source.server.encoding;
        let partitioning = partitioning(request, sides).await?;
        let layout = Layout::resolve(&source, &partitioning, encoding)?;
        let source_layout =
            Layout::resolve(&source, &Partitioning::default(), encoding).unwrap_or_else(|_| layout.clone());
        refuse_minus_infinity(leader, &source, &layout, bounds.range).await?;

        let indexed = source.has_index_on_primary();
        let survey = Survey {
            layout: &layout,
            chunks,
            bounds: bounds.range,
            indexed,
            functions: &sides.source.server.functions_schema,
            limit: request.max_new_chunks,
        };
        let findings = run_survey(&survey, snapshot).await?;
        let points = points(&layout, &findings);
        let new_chunks = points.len() as u64 * layout.partitions_per_bucket();
        refuse_too_many(new_chunks, request.max_new_chunks)?;
        refuse_too_many_locks(&sides.target_server, new_chunks)?;

        let types = target_types(&sides.target, &source.types).await?;
        let on_target = |name: &QualifiedName| types.get(name).map(Vec::as_slice);
        let missing = missing_types(&source.types, on_target)?;
        let copied: Vec<_> = source.copied_columns().collect();
        let wire = Wire::decide(&copied, &source.types, binary_obstacle(&source.types, on_target));
        refuse_missing_objects(sides, &source).await?;
        let missing_sequences = missing_sequences(&sides.target, &source).await?;

        let timescaledb_schema = sides.target_server.timescaledb_schema.clone().unwrap_or_default();
        let names = TargetNames::new(&source, sides.target_table.clone(), timescaledb_schema, &sides.place.taken);
        let key_first = new_chunks > KEY_AFTER_ROWS_CHUNKS;
        let sequences: Vec<&Sequence> =
            source.sequences.iter().filter(|s| missing_sequences.contains(&s.name)).collect();
        let integer_now = missing_integer_now(sides, &source).await?;
        let schemas = needed_schemas(&names, &missing.schemas, &sequences, integer_now.as_ref());
        refuse_schemas(sides, &schemas).await?;
        let schemas = read::missing_schemas(&sides.target, &schemas).await?;
        let mut pre_data = pre_data(&source, &layout, &names, &schemas, &sequences, key_first);
        // Types come behind their schemas and before the table.
        pre_data.splice(schemas.len()..schemas.len(), missing.statements);
        // The function that answers "now" usually reads the table itself, so it is made behind it.
        let behind_table = pre_data.len().saturating_sub(1);
        pre_data.splice(behind_table..behind_table, integer_now.map(|(_, statement)| statement));
        // On the empty table: later PostgreSQL would ask whether the owner may create things among TimescaleDB's chunks.
        let gives_away = sides.place.may_own_for_source_owner && sides.source.table.owner != sides.target_server.role;
        pre_data.extend(gives_away.then(|| set_owner(&names.table, &sides.source.table.owner)));
        let (constraints, indexes) = post_data(&source, &names, key_first)?;

        let not_carried = not_carried(sides, &source, chunks, &sequences, &names);
        let cells = cells(&source, &layout, chunks, &findings);
        Ok(Planned {
            estimated_rows: cells.iter().map(|cell| cell.rows).sum(),
            estimated_bytes: cells.iter().map(|cell| cell.bytes).sum(),
            index_bytes: chunks.iter().filter_map(|chunk| chunk.index_bytes).sum::<i64>() as u64,
            chunk_count: chunks.len(),
            source_chunks: chunks
                .iter()
                .map(|c| SourceChunk { slice: c.primary(), splittable: indexed && !c.compressed })
                .collect(),
            source,
            layout,
            source_layout,
            names,
            bounds,
            wire,
            pre_data,
            constraints,
            indexes,
            missing_sequences,
            points,
            new_chunks,
            cells,
            not_carried,
            key_first,
        })
    }

    /// The sequences that this job makes.
    pub(super) fn missing_sequences(&self) -> Vec<&Sequence> {
        self.source.sequences.iter().filter(|sequence| self.missing_sequences.contains(&sequence.name)).collect()
    }

    /// Cuts the tasks for these chunks of the target; a task never reaches over the share of one worker.
    pub(super) fn cut_tasks(&self, shares: &Shares, target_chunks: &[Chunk], jobs: usize) -> Vec<Task> {
        let boundaries: Vec<i64> =
            target_chunks.iter().map(Chunk::primary).flat_map(|slice| [slice.start, slice.end]).collect();
        self.cut(shares, &boundaries, jobs)
    }

    fn foreseen_tasks(&self, shares: &Shares, jobs: usize) -> Vec<Task> {
        let slices = self.points.iter().map(|point| self.layout.primary.bucket(point[0]));
        let boundaries: Vec<i64> = slices.flat_map(|slice| [slice.start, slice.end]).collect();
        self.cut(shares, &boundaries, jobs)
    }

    fn cut(&self, shares: &Shares, boundaries: &[i64], jobs: usize) -> Vec<Task> {
        let task_bytes = task_bytes(self.estimated_bytes, jobs);
        let bounds = [self.bounds.range];
        cut_tasks(shares.ranges().unwrap_or(&bounds), &self.source_chunks, &self.cells, boundaries, task_bytes)
    }

    /// What makes this the same job when it is asked for again.
    pub(super) fn identity(&self) -> serde_json::Value {
        json!({
            "range": self.bounds.range,
            "layout": self.layout,
            "columns": self.source.columns.iter().map(|column| [&column.name, &column.type_name]).collect::<Vec<_>>(),
        })
    }

    /// The plan for people and programs.
    pub(super) fn report(&self, sides: &Sides, snapshot: &Snapshot, jobs: usize) -> PlanReport {
        let time_type = self.layout.primary.time_type;
        PlanReport {
            source_layout: self.source_layout.describe(),
            target_layout: self.layout.describe(),
            range: self.bounds.range.display(time_type),
            source_chunks: self.chunk_count,
            new_chunks: self.new_chunks,
            tasks: self.foreseen_tasks(&snapshot.shares, jobs).len(),
            estimated_rows: self.estimated_rows,
            estimated_bytes: self.estimated_bytes,
            target_disk_bytes: self.estimated_bytes + self.index_bytes,
            target_wal_bytes: self.estimated_bytes + self.index_bytes,
            format: self.wire.format,
            format_reason: self.wire.reason.clone(),
            source_locks: format!(
                "access share on {} and {} chunks, {} locks in {} sessions",
                sides.source.table.name,
                self.chunk_count,
                snapshot.shares.locks(jobs, self.chunk_count),
                jobs + 1
            ),
            before_rows: self.pre_data.clone(),
            after_rows: self.constraints.iter().chain(&self.indexes).cloned().collect(),
            key_first: self.key_first,
            warnings: self.warnings(sides),
        }
    }

    fn warnings(&self, sides: &Sides) -> Vec<String> {
        let mut warnings = Vec::new();
        let (from, to) = (&sides.source.server.encoding, &sides.target_server.encoding);
        if from != to {
            warnings.push(format!(
                "the databases' encodings differ ({from}, {to}): text that the target cannot hold will stop the copy"
            ));
        }
        if !self.source.has_index_on_primary() {
            warnings.push(format!(
                "no index begins with {}: every chunk is read in one piece, and one that needs several target chunks is read once more to plan",
                display_ident(&self.layout.primary.column)
            ));
        }
        if self.layout.closed.iter().any(|dimension| dimension.hash_type.is_none()) {
            warnings.push("the hash of a dimension's type is left to the server: rows reach their chunks unsorted, which is slower".into());
        }
        warnings
    }
}

async fn partitioning(request: &Request, sides: &Sides) -> Result<Partitioning> {
    let interval = match request.chunk_interval.as_deref().map(str::trim) {
        None => None,
        Some(text) => Some(match text.parse() {
            Ok(integer) => IntervalRequest::Integer(integer),
            Err(_) => IntervalRequest::Microseconds(interval_microseconds(&sides.source.session, text).await?),
        }),
    };
    Ok(Partitioning { interval, hash: request.hash_partitions.clone() })
}

async fn interval_microseconds(source: &Reader, text: &str) -> Result<i64> {
    let sql = "select (extract(year from value) * 12 + extract(month from value))::int8 as months, \
               (extract(epoch from value) * 1000000)::int8 as microseconds \
               from (select $1::text::pg_catalog.interval as value) asked";
    let row = source.row(sql, &[&text]).await.map_err(|error| match error.sqlstate() {
        Some(_) => Error::refused(format!("--chunk-interval \"{text}\" is no interval"))
            .caused_by(error)
            .hint("Write it as PostgreSQL does, such as '1 day' or '6 hours'."),
        None => error,
    })?;
    if row.get::<_, i64>("months") != 0 {
        return Err(Error::refused(format!("--chunk-interval \"{text}\" has months, which differ in length"))
            .hint("TimescaleDB would store 30 days for each: say '30 days' if that is meant."));
    }
    Ok(row.get("microseconds"))
}

/// PostgreSQL 18 was the first to have them.
fn refuse_virtual_columns(sides: &Sides, source: &Hypertable) -> Result<()> {
    let is_virtual = |column: &&Column| column.generated.as_deref() == Some("v");
    match source.columns.iter().find(is_virtual) {
        Some(column) if sides.target_server.postgresql_number < 180_000 => Err(Error::refused(format!(
            "column {} is generated virtually, which the target's PostgreSQL {} cannot do",
            display_ident(&column.name),
            sides.target_server.postgresql
        ))
        .hint("Make it a stored one on the source, drop it there, or choose a target with PostgreSQL 18 or newer.")),
        _ => Ok(()),
    }
}

/// One index probe.
async fn refuse_minus_infinity(leader: &Session, source: &Hypertable, layout: &Layout, bounds: Range) -> Result<()> {
    let primary = &layout.primary;
    let is_time = matches!(primary.time_type, TimeType::Timestamptz | TimeType::Timestamp | TimeType::Date);
    if !is_time || bounds.from.is_some_and(|from| from > i64::MIN) || primary.holds_minus_infinity() {
        return Ok(());
    }
    let column = quote_ident(&primary.column);
    let sql = format!("select exists (select from {} where {column} = '-infinity')", source.name().sql());
    if leader.row(&sql, &[]).await?.get(0) {
        return Err(Error::refused(format!("{} has rows at -infinity, and the new layout has no chunk for them", source.name()))
            .hint("A chunk without a start exists only for some intervals (7 days is one): choose one, or leave the rows out with --from '4714-11-24 00:00:00+00 BC'."));
    }
    Ok(())
}

/// Each worker asks about the chunks that it has locked.
async fn run_survey(survey: &Survey<'_>, snapshot: &Snapshot) -> Result<Vec<Finding>> {
    let workers = snapshot.workers.len();
    let ask = snapshot.workers.iter().enumerate().map(async |(worker, session)| {
        let is_mine = |chunk: &usize| match &snapshot.shares {
            Shares::All => chunk % workers == worker,
            Shares::Ranges(ranges) => {
                let slice = snapshot.chunks[*chunk].primary();
                ranges.iter().position(|range| range.overlaps(slice)) == Some(worker)
            }
        };
        let chunks: Vec<usize> = (0..snapshot.chunks.len()).filter(is_mine).collect();
        survey.run(session, &chunks).await
    });
    Ok(try_join_all(ask).await?.into_iter().flatten().collect())
}

/// One point for each bucket that has rows, along the axis.
fn points(layout: &Layout, findings: &[Finding]) -> Vec<Point> {
    let dimensions: Vec<_> = std::iter::once(&layout.primary).chain(&layout.open).collect();
    let bucket = |values: &[i64]| -> Vec<i64> {
        dimensions.iter().zip(values).map(|(dimension, value)| dimension.bucket(*value).start).collect()
    };
    let buckets: BTreeMap<Vec<i64>, &Point> =
        findings.iter().map(|finding| (bucket(&finding.values), &finding.values)).collect();
    buckets.into_values().cloned().collect()
}

/// A chunk's bytes and rows, spread evenly over the buckets it has rows for. A chunk in which none were seen is a cell
/// without weight: it is read too, and a task must not read too many of them.
fn cells(source: &Hypertable, layout: &Layout, chunks: &[Chunk], findings: &[Finding]) -> Vec<Cell> {
    let mut buckets: HashMap<usize, u64> = HashMap::new();
    for finding in findings {
        *buckets.entry(finding.chunk).or_default() += 1;
    }
    let row_bytes = source.row_bytes();
    let cell = |finding: &Finding| {
        let first = finding.values[0];
        let bucket = layout.primary.bucket(first);
        let chunk = &chunks[finding.chunk];
        let Estimate { bytes, rows } = chunk.estimate(row_bytes);
        let share = buckets[&finding.chunk];
        let end = chunk.primary().end.min(bucket.end);
        let last = finding.last.unwrap_or(i64::MAX).min(if end == i64::MAX { end } else { end - 1 });
        Cell { chunk: finding.chunk, first, last: last.max(first), bytes: bytes / share, rows: rows / share }
    };
    let empty = (0..chunks.len()).filter(|chunk| !buckets.contains_key(chunk)).map(|chunk| {
        let start = chunks[chunk].primary().start;
        Cell { chunk, first: start, last: start, bytes: 0, rows: 0 }
    });
    findings.iter().map(cell).chain(empty).collect()
}

/// A task is worth a transaction and small enough that all workers end at about the same time.
fn task_bytes(total_bytes: u64, jobs: usize) -> u64 {
    (total_bytes / (jobs as u64 * 5)).clamp(8 << 20, 128 << 20)
}

async fn target_types(target: &Session, types: &[Type]) -> Result<HashMap<QualifiedName, Vec<Type>>> {
    let mut found = HashMap::new();
    for wanted in types.iter().filter(|wanted| wanted.name.schema != "pg_catalog") {
        if let Some(parts) = read::type_by_name(target, &wanted.name).await? {
            found.insert(wanted.name.clone(), parts);
        }
    }
    Ok(found)
}

async fn refuse_missing_objects(sides: &Sides, source: &Hypertable) -> Result<()> {
    let missing = read::missing_objects(&sides.target, &source.dependencies).await?;
    match missing.first() {
        None => Ok(()),
        Some(first) => Err(Error::refused(format!(
            "{} {} is missing on the target: a default, generated column, check or index of {} uses it",
            first.kind,
            first.identity,
            source.name()
        ))
        .hint(match missing.len() {
            1 => "Create it there first.".to_string(),
            count => format!("Create it there first, and {} more like it.", count - 1),
        })),
    }
}

/// Sequences that the job has to make; one that is there must give out the same numbers.
async fn missing_sequences(target: &Session, source: &Hypertable) -> Result<Vec<QualifiedName>> {
    let mut missing = Vec::new();
    for sequence in source.sequences.iter().filter(|sequence| !sequence.identity) {
        match read::sequence(target, &sequence.name).await? {
            None => missing.push(sequence.name.clone()),
            Some(found) if found.same_definition(sequence) => {}
            Some(_) => {
                return Err(Error::refused(format!(
                    "sequence {} exists on the target with another definition",
                    sequence.name
                ))
                .hint("Make the two the same, or rename one of them."));
            }
        }
    }
    Ok(missing)
}

fn needed_schemas(
    names: &TargetNames,
    types: &[String],
    sequences: &[&Sequence],
    integer_now: Option<&(QualifiedName, Statement)>,
) -> Vec<String> {
    let mut schemas: Vec<String> = std::iter::once(names.table.schema.clone())
        .chain(types.iter().cloned())
        .chain(sequences.iter().map(|sequence| sequence.name.schema.clone()))
        .chain(integer_now.map(|(function, _)| function.schema.clone()))
        .collect();
    schemas.sort_unstable();
    schemas.dedup();
    schemas
}

/// The function that answers "now" for an integer dimension, where the target lacks it.
async fn missing_integer_now(sides: &Sides, source: &Hypertable) -> Result<Option<(QualifiedName, Statement)>> {
    let Some(function) = integer_now_function(source) else { return Ok(None) };
    if read::function_definition(&sides.target, &function).await?.is_some() {
        return Ok(None);
    }
    let definition = read::function_definition(&sides.source.session, &function).await?;
    Ok(definition.map(|definition| {
        let statement = Statement::new(format!("create function {function}"), definition);
        (function, statement)
    }))
}

/// Types, sequences and functions may need other schemas than the table's.
async fn refuse_schemas(sides: &Sides, schemas: &[String]) -> Result<()> {
    let Some(schema) = read::closed_schemas(&sides.target, schemas).await?.into_iter().next() else { return Ok(()) };
    let (schema, role) = (display_ident(&schema), &sides.target_server.role);
    Err(Error::refused(format!("role {role} may not create anything in schema {schema} of the target, or the schema itself"))
        .hint(format!(
            "A type, sequence or function of {} belongs there: create it there first, or grant CREATE on the schema to the role.",
            sides.source.table.name
        )))
}

fn not_carried(
    sides: &Sides,
    source: &Hypertable,
    chunks: &[Chunk],
    made_sequences: &[&Sequence],
    names: &TargetNames,
) -> Vec<NotCarried> {
    let mut found = source.not_carried.clone();
    let owner = &sides.source.table.owner;
    if !sides.place.may_own_for_source_owner && *owner != sides.target_server.role {
        found.push(NotCarried::new("owner", format!("{owner}: the table will belong to {}", sides.target_server.role)));
    }
    if sides.source.table.unlogged {
        found.push(NotCarried::new("unlogged", "the table will be logged"));
    }
    if source.row.columnstore {
        found.push(NotCarried::new("compression settings", "the rows arrive uncompressed"));
    }
    let compressed = chunks.iter().filter(|chunk| chunk.compressed).count();
    if compressed > 0 {
        found.push(NotCarried::new("compression", format!("{compressed} chunks arrive uncompressed")));
    }
    for index in source.indexes.iter().filter(|index| !index.valid) {
        found.push(NotCarried::new("invalid index", &index.name));
    }
    for sequence in source.sequences.iter().filter(|sequence| !sequence.identity) {
        let is_made = made_sequences.iter().any(|made| made.name == sequence.name);
        if is_made && sequence.column.is_some() && sequence.name.schema != names.table.schema {
            found.push(NotCarried::new(
                "sequence owner",
                format!("{} cannot belong to a table of another schema", sequence.name),
            ));
        }
        if !is_made && !sides.is_one_database() {
            found.push(NotCarried::new("sequence value", format!("{} was there and is not moved", sequence.name)));
        }
    }
    for sequence in source.sequences.iter().filter(|sequence| !sequence.readable) {
        found.push(NotCarried::new("sequence value", format!("the role may not read {}", sequence.name)));
    }
    found
}

//! What a run will do, computed from what the snapshot shows.

use super::belongings::carry;
use super::identity::{Identity, JobPlan};
use super::look::Sides;
use super::objects::*;
use super::refusals::refuse_virtual_columns;
use super::request::{Asked, Parts, Request};
use super::slices::Preserved;
use super::source::{Hold, Stock};
use super::standing::{Standing, existing_table, refuse_another_request};
use super::upkeep::{Case, compressed, early, foreseen, uncompressed};
use crate::catalog::belongings::Belongings;
use crate::catalog::{Chunk, Hypertable, NotCarried, Policies, Sequence, read};
use crate::error::{Error, Result};
use crate::ident::{QualifiedName, display_ident};
use crate::ledger::DoneTask;
use crate::look::{Bounds, refuse_unknown_dimensions};
use crate::plan::prerequisites::{Demand, Lacking, provide};
use crate::plan::readers::Readers;
use crate::plan::trappings::Passage;
use crate::plan::{
    Beside, Compressed, Entry, Keys, Layout, Moment, Partitioning, Point, Range, Statement, TargetNames, Task, Upkeep,
    Wire, compare_types, create_jobs, fit_version, policies, post_data, pre_data, primary_dimension, set_owner,
};
use crate::reader::cells::{Ground, Rows, boundaries};
use crate::reader::snapshot::Shares;
use crate::reader::survey::refuse_too_many;
use crate::report::PlanReport;
use crate::schema::refuse_too_many_locks;

/// Everything that was decided.
pub(super) struct Planned {
    pub(super) source: Hypertable,
    pub(super) layout: Layout,
    source_layout: Layout,
    pub(super) names: TargetNames,
    pub(super) bounds: Bounds,
    /// Where what was copied is trusted to be what the source has.
    pub(super) trusted: Option<Range>,
    pub(super) wire: Wire,
    /// What is made on the empty table; nothing where the table is there.
    pub(super) pre_data: Vec<Statement>,
    pub(super) constraints: Vec<Statement>,
    pub(super) indexes: Vec<Statement>,
    /// What shall belong to the table; nothing where it was there.
    pub(super) belongings: Option<Belongings>,
    /// How it gets that around the rows, as far as it can be foreseen; nothing where it was made before.
    foreseen: [Vec<Statement>; 2],
    /// What is made behind that on the empty table.
    pub(super) early: Vec<Statement>,
    /// What of the source's belongings it cannot have.
    lost: Vec<NotCarried>,
    /// The sequences that this job makes, or has made.
    pub(super) sequences: Vec<QualifiedName>,
    pub(super) identity: Identity,
    pub(super) rows: Rows,
    /// What earlier runs have copied.
    pub(super) done: Vec<DoneTask>,
    /// The target's chunks that are there already.
    pub(super) chunks: Vec<Chunk>,
    pub(super) missing_points: Vec<Point>,
    /// Slices that the target gets because the source has them.
    pub(super) preserved: Preserved,
    index_bytes: u64,
    source_chunks: usize,
    pub(super) not_carried: Vec<NotCarried>,
    /// What the table uses, is missing and is not made.
    pub(super) lacking: Vec<Lacking>,
    keys: Keys,
    /// What TimescaleDB shall do by itself in the end.
    pub(super) upkeep: Upkeep,
    /// Aggregates and views that are made in the end.
    pub(super) readers: Readers,
    /// Which chunks are compressed.
    pub(super) compressed: Compressed,
    /// When; none where none is.
    pub(super) compression: Option<Moment>,
    /// Whether the table was there before the job, and holds rows of others.
    pub(super) appends: bool,
    /// Ranges that are copied anew, and how many rows the target has there.
    pub(super) repaired: Option<Vec<(Range, u64)>>,
}

/// What is made on the target beside rows and chunks.
struct Definition {
    names: TargetNames,
    wire: Wire,
    pre_data: Vec<Statement>,
    constraints: Vec<Statement>,
    indexes: Vec<Statement>,
    belongings: Option<Belongings>,
    foreseen: [Vec<Statement>; 2],
    early: Vec<Statement>,
    lost: Vec<NotCarried>,
    sequences: Vec<QualifiedName>,
    lacking: Vec<Lacking>,
    keys: Keys,
    upkeep: Upkeep,
    readers: Readers,
    compressed: Compressed,
    compression: Option<Moment>,
}

impl Planned {
    pub(super) async fn make(
        request: &Request,
        sides: &Sides,
        hold: &Hold,
        asked: Asked,
        standing: &Standing,
        done: Vec<DoneTask>,
    ) -> Result<Planned> {
        let source = hold.describe(&sides.source).await?;
        let Asked { bounds, trusted, partitioning } = asked;
        refuse_virtual_columns(sides, &source)?;
        let encoding = sides.source.encoding();
        let asked = Layout::resolve(&source, &partitioning, encoding)?;
        let identity = Identity::new(request, &source, &partitioning, &bounds);
        // Asked before, of what was there before the locks: a column whose type has changed since then would be copied as
        // bytes that mean something else.
        if let Standing::Unfinished { job, .. } = standing {
            refuse_another_request(sides, job, &identity.differences(job, sides, &asked)?)?;
        }
        let layout = match standing {
            Standing::Unfinished { job, .. } => JobPlan::of(job)?.layout,
            Standing::Append { table, .. } | Standing::Repair { table } => {
                Layout::resolve(table, &Partitioning::default(), encoding)?
            }
            Standing::New { .. } | Standing::Finished { .. } => asked,
        };
        let source_layout =
            Layout::resolve(&source, &Partitioning::default(), encoding).unwrap_or_else(|_| layout.clone());
        refuse_other_axis(sides, &source, &layout)?;
        refuse_unknown_dimensions(&sides.target, &sides.target_server, &layout).await?;
        hold.refuse_minus_infinity(&source, &layout, bounds.range).await?;

        let repaired = request.repair.as_ref().map(|repair| repair.ranges.clone());
        let ranges = match (&repaired, request.parts) {
            (Some(repaired), _) => repaired.iter().map(|(range, _)| *range).collect(),
            (None, Parts::Schema) => Vec::new(),
            (None, Parts::All | Parts::Data) => bounds.range.without(done.iter().map(|task| task.range)),
        };
        let stock = hold.stock(bounds.range);
        let preserved = Preserved::of(request, sides, &stock, bounds.range)?;
        let max_new_chunks = preserved.most_buckets(request);
        let ground = Ground {
            source: &source,
            layout: &layout,
            bounds: bounds.range,
            max_new_chunks,
            jobs: request.jobs,
            most_task_bytes: u64::MAX,
        };
        let rows = hold.rows(&ground, &[], ranges).await?;
        let target_chunks = existing_chunks(sides, standing).await?;
        let missing_points = preserved.missing_points(&layout, &rows.points, &target_chunks);
        let new_chunks = missing_points.len() as u64 * layout.partitions_per_bucket() + preserved.count();
        refuse_too_many(new_chunks, request.max_new_chunks)?;
        refuse_too_many_locks(&sides.target_server, new_chunks)?;

        let case = Case { request, sides, standing };
        let definition = match standing {
            Standing::New { forget } => {
                let mut definition = Definition::new(&case, &source, &layout, new_chunks, &stock).await?;
                let forgotten = forget.as_ref().map(JobPlan::of).transpose()?;
                definition.sequences.extend(forgotten.into_iter().flat_map(|plan| plan.sequences));
                definition
            }
            Standing::Unfinished { job, .. } => {
                // Others may have altered the table since it was made.
                refuse_other_columns(sides, &source, &existing_table(sides).await?)?;
                let mut definition = Definition::of_job(sides, &source, JobPlan::of(job)?).await?;
                let upkeep = &definition.upkeep;
                definition.compressed = compressed(&case, &layout, upkeep, &stock).await?;
                definition
            }
            Standing::Append { table, .. } | Standing::Repair { table } => {
                refuse_other_columns(sides, &source, table)?;
                Definition::of_table(sides, &source).await?
            }
            Standing::Finished { .. } => Definition::of_table(sides, &source).await?,
        };
        let mut not_carried = match standing.appends() {
            true => Vec::new(),
            false => {
                let found = not_carried(sides, &source, &definition.sequences, &definition.names);
                [found, definition.lost.clone()].concat()
            }
        };
        if !standing.appends() {
            not_carried.extend(definition.upkeep.losses.iter().chain(&definition.readers.losses).cloned());
            not_carried.extend(uncompressed(request, &definition.compressed, &stock));
        }
        Ok(Planned {
            identity,
            index_bytes: stock.index_bytes,
            source_chunks: stock.parts,
            source,
            layout,
            source_layout,
            names: definition.names,
            bounds,
            trusted,
            wire: definition.wire,
            pre_data: definition.pre_data,
            constraints: definition.constraints,
            indexes: definition.indexes,
            belongings: definition.belongings,
            foreseen: definition.foreseen,
            early: definition.early,
            lost: definition.lost,
            sequences: definition.sequences,
            lacking: definition.lacking,
            keys: definition.keys,
            upkeep: definition.upkeep,
            readers: definition.readers,
            compressed: definition.compressed,
            compression: definition.compression,
            rows,
            done,
            chunks: target_chunks,
            missing_points,
            preserved,
            not_carried,
            appends: standing.appends(),
            repaired,
        })
    }

    /// What every later run goes on with.
    pub(super) fn job_plan(&self) -> JobPlan {
        JobPlan {
            layout: self.layout.clone(),
            constraints: self.constraints.clone(),
            indexes: self.indexes.clone(),
            belongings: self.belongings.clone(),
            lost: self.lost.clone(),
            sequences: self.sequences.clone(),
            time_type: self.bounds.time_type,
            upkeep: self.upkeep.clone(),
            readers: self.readers.clone(),
            compression: self.compression,
        }
    }

    /// The sequences that the job has to move.
    pub(super) fn made_sequences(&self) -> Vec<&Sequence> {
        self.source.sequences.iter().filter(|sequence| self.sequences.contains(&sequence.name)).collect()
    }

    /// The points whose chunks are not all among `chunks`.
    pub(super) fn missing_points(&self, points: &[Point], chunks: &[Chunk]) -> Vec<Point> {
        self.preserved.missing_points(&self.layout, points, chunks)
    }

    /// How many chunks the target will have to get.
    pub(super) fn new_chunks(&self) -> u64 {
        self.missing_points.len() as u64 * self.layout.partitions_per_bucket() + self.preserved.count()
    }

    /// The number of the first task that is not in the ledger.
    pub(super) fn next_task(&self) -> i32 {
        self.done.iter().map(|task| task.id).max().unwrap_or_default() + 1
    }

    /// Tasks over what is to be copied, cut at `boundaries`. A range that is repaired is one task: it is deleted and copied
    /// in one transaction.
    pub(super) fn tasks(&self, shares: &Shares, boundaries: &[i64]) -> Vec<Task> {
        let Some(repaired) = &self.repaired else {
            let entry = if self.appends { Entry::BesideOthers } else { Entry::Fresh };
            let tasks = self.rows.tasks(shares, boundaries, self.next_task());
            return tasks.into_iter().map(|task| Task { entry, ..task }).collect();
        };
        let task = |(id, (range, rows)): (i32, &(Range, u64))| Task {
            entry: Entry::Differing { rows: *rows },
            ..self.rows.task(id, *range)
        };
        (1..).zip(repaired).map(task).collect()
    }

    fn foreseen_tasks(&self, shares: &Shares) -> Vec<Task> {
        let slices = self.rows.points.iter().map(|point| self.layout.primary.bucket(point[0]));
        let mut foreseen: Vec<i64> = slices.flat_map(|slice| [slice.start, slice.end]).collect();
        foreseen.extend(boundaries(&self.chunks));
        self.tasks(shares, &foreseen)
    }

    /// The plan for people and programs.
    pub(super) fn report(&self, sides: &Sides, hold: &Hold, jobs: usize) -> PlanReport {
        let time_type = self.bounds.time_type;
        let tasks = self.foreseen_tasks(hold.shares());
        let estimated_bytes = tasks.iter().map(|task| task.bytes).sum();
        PlanReport {
            source_layout: self.source_layout.describe(),
            target_layout: self.layout.describe(),
            range: self.bounds.range.display(time_type),
            source_chunks: self.source_chunks,
            new_chunks: self.new_chunks(),
            tasks: tasks.len(),
            done_tasks: self.done.len(),
            estimated_rows: tasks.iter().map(|task| task.rows).sum(),
            estimated_bytes,
            target_disk_bytes: estimated_bytes + self.index_bytes,
            target_wal_bytes: estimated_bytes + self.index_bytes,
            format: self.wire.format,
            format_reason: self.wire.reason.clone(),
            source_locks: hold.locks(&sides.source.table().name, jobs),
            before_rows: self.pre_data.iter().chain(&self.foreseen[0]).chain(&self.early).cloned().collect(),
            after_rows: self
                .constraints
                .iter()
                .chain(&self.indexes)
                .chain(&self.foreseen[1])
                .cloned()
                .chain(self.scheduled(sides))
                .collect(),
            key_first: self.keys != Keys::Behind,
            missing: self.lacking.clone(),
            warnings: self.warnings(sides),
        }
    }

    /// What the table does by itself from the end on.
    pub(super) fn scheduled(&self, sides: &Sides) -> Vec<Statement> {
        let Policies { columnstore, jobs, .. } = &self.upkeep.policies;
        let is_late = self.compression != Some(Moment::WithTheCopy);
        let columnstore = columnstore.iter().filter(|_| is_late);
        let enable = columnstore.map(|settings| policies::enable_columnstore(settings, &self.names.table));
        let (server, names, readers) = (&sides.target_server, self.names.moved(&self.source), &self.readers);
        enable
            .chain(readers.script(names, server))
            .chain(create_jobs(jobs, &self.source, &self.names, server))
            .collect()
    }

    fn warnings(&self, sides: &Sides) -> Vec<String> {
        let mut warnings = Vec::new();
        let (from, to) = (sides.source.encoding(), sides.target_server.encoding.as_str());
        if from != to {
            warnings.push(format!(
                "the databases' encodings differ ({from}, {to}): text that the target cannot hold will stop the copy"
            ));
        }
        if sides.source.session().is_some() && !self.source.has_index_on_primary() {
            warnings.push(format!(
                "no index begins with {}: every chunk is read in one piece, and one that needs several target chunks is read once more to plan",
                display_ident(&self.layout.primary.column)
            ));
        }
        if self.layout.has_function() && !self.missing_points.is_empty() && sides.target_server.is_apache() {
            warnings.push(format!(
                "only the target knows what {} makes of a row: chunks are made by the first rows that need them, by one task at a time",
                self.layout.primary.name()
            ));
        }
        warnings.extend(self.readers.costs().cloned());
        if self.layout.closed.iter().any(|dimension| dimension.hash_type.is_none()) {
            warnings.push("the hash of a dimension's type is left to the server: rows reach their chunks unsorted, which is slower".into());
        }
        warnings
    }
}

impl Definition {
    /// Of a table that has to be made.
    async fn new(
        case: &Case<'_>,
        source: &Hypertable,
        layout: &Layout,
        new_chunks: u64,
        stock: &Stock,
    ) -> Result<Definition> {
        let sides = case.sides;
        let (source, lost) = fit_version(source, &sides.target_server);
        let source = &source;
        let types = target_types(&sides.target, &source.types).await?;
        compare_types(&source.types, |name| types.get(name).map(Vec::as_slice))?;
        let wire = sides.source.wire(source, &types)?;
        let inventory = read::inventory(&sides.target, &source.prerequisites).await?;
        let (table, inventory, with_dependencies) = (&sides.target_table, &inventory, case.request.with_dependencies);
        let grounds = grounds(sides, source).await?;
        let passage = Passage { from: sides.source.server(), to: &sides.target_server, grounds: &grounds };
        let mut provision = provide(&Demand { source, table, inventory, passage, with_dependencies });
        let missing_sequences = missing_sequences(&sides.target, source).await?;

        let timescaledb_schema = sides.target_server.timescaledb_schema.clone().unwrap_or_default();
        let names = TargetNames::new(source, sides.target_table.clone(), timescaledb_schema, &taken_names(sides));
        let (upkeep, readers) = foreseen(case, source, &names, &passage).await?;
        let compressed = compressed(case, layout, &upkeep, stock).await?;
        let columnstore = upkeep.policies.columnstore.as_ref().filter(|_| compressed.is_any());
        let carried = carry(sides, source, &names, &provision, &missing_sequences).await?;
        let compression = columnstore.map(|settings| Moment::of(source, &carried.wanted, settings));
        let keys = Keys::of(new_chunks, compression == Some(Moment::WithTheCopy));
        let sequences: Vec<&Sequence> =
            source.sequences.iter().filter(|s| missing_sequences.contains(&s.name)).collect();
        let lost_now = lost_now(source, &names, &provision.lacking);
        let schemas = needed_schemas(&names, &provision.schemas, &sequences);
        refuse_schemas(sides, &schemas).await?;
        let of_readers = readers.names().map(|name| name.schema.clone()).collect();
        let schemas = [schemas, std::mem::take(&mut provision.extension_schemas), of_readers].concat();
        let schemas = read::missing_schemas(&sides.target, &schemas).await?;
        let (trappings, lost_trappings) = passage.dress_schemas(&source.prerequisites.schemas, &schemas);
        let beside = Beside {
            schemas: &schemas,
            sequences: &sequences,
            before: std::mem::take(&mut provision.before),
            behind: std::mem::take(&mut provision.behind),
            lacks_now: lost_now.is_some(),
        };
        let mut pre_data = pre_data(source, layout, &names, beside, keys);
        // On the empty table: later PostgreSQL would ask whether the owner may create things among TimescaleDB's chunks.
        let gives_away = sides.place.may_own_for_source_owner && sides.source.table().owner != sides.target_server.role;
        pre_data.extend(gives_away.then(|| set_owner(&names.table, &sides.source.table().owner)));
        let (constraints, indexes) = post_data(source, &names, keys)?;
        Ok(Definition {
            foreseen: [carried.before_rows(&names.table), carried.after_rows(&names.table)],
            early: [trappings, provision.trappings, early(&upkeep, &names, &sides.target_server, compression)].concat(),
            belongings: Some(carried.wanted),
            lost: [lost, carried.lost, lost_now.into_iter().collect(), lost_trappings, provision.losses].concat(),
            names,
            wire,
            pre_data,
            constraints,
            indexes,
            sequences: missing_sequences,
            lacking: provision.lacking,
            keys,
            upkeep,
            readers,
            compressed,
            compression,
        })
    }

    /// Of a table that is there and keeps what it has.
    async fn of_table(sides: &Sides, source: &Hypertable) -> Result<Definition> {
        let types = target_types(&sides.target, &source.types).await?;
        compare_types(&source.types, |name| types.get(name).map(Vec::as_slice))?;
        let timescaledb_schema = sides.target_server.timescaledb_schema.clone().unwrap_or_default();
        Ok(Definition {
            names: TargetNames::new(source, sides.target_table.clone(), timescaledb_schema, &[]),
            wire: sides.source.wire(source, &types)?,
            pre_data: Vec::new(),
            constraints: Vec::new(),
            indexes: Vec::new(),
            belongings: None,
            foreseen: Default::default(),
            early: Vec::new(),
            lost: Vec::new(),
            sequences: Vec::new(),
            lacking: Vec::new(),
            keys: Keys::PrimaryFirst,
            upkeep: Upkeep::default(),
            readers: Readers::default(),
            compressed: Compressed::Nothing,
            compression: None,
        })
    }

    /// Of a table that an earlier run has made.
    async fn of_job(sides: &Sides, source: &Hypertable, plan: JobPlan) -> Result<Definition> {
        let JobPlan { constraints, indexes, belongings, lost, sequences, upkeep, readers, compression, .. } = plan;
        let table = Definition::of_table(sides, source).await?;
        Ok(Definition { constraints, indexes, belongings, lost, sequences, upkeep, readers, compression, ..table })
    }
}

/// Names that others have: a table that is made anew gives its own back.
fn taken_names(sides: &Sides) -> Vec<String> {
    let is_of_others = |name: &&String| !sides.place.taken_by_existing.contains(name);
    sides.place.taken.iter().filter(is_of_others).cloned().collect()
}

async fn existing_chunks(sides: &Sides, standing: &Standing) -> Result<Vec<Chunk>> {
    if let Standing::New { .. } = standing {
        return Ok(Vec::new());
    }
    match read::hypertable_row(&sides.target, &sides.target_table).await? {
        Some(row) => read::chunks(&sides.target, &sides.target_server, row.id).await,
        None => Ok(Vec::new()),
    }
}

/// A table that was there takes the source's rows only if every copied column has a place in it.
fn refuse_other_columns(sides: &Sides, source: &Hypertable, target: &Hypertable) -> Result<()> {
    let table = &sides.target_table;
    if target.table.row_security_active {
        return Err(Error::refused(format!("row-level security is active on {table} for this role"))
            .hint("COPY cannot write there: use the table's owner, or a role with BYPASSRLS."));
    }
    for column in source.copied_columns() {
        let name = display_ident(&column.name);
        let Some(found) = target.column(&column.name) else {
            return Err(Error::refused(format!("{table} has no column {name} on the target"))
                .hint("Add the column there, or copy into another table."));
        };
        if found.type_name != column.type_name || found.generated.is_some() {
            let generated = if found.generated.is_some() { ", generated" } else { "" };
            return Err(Error::refused(format!(
                "column {name} is {} on the source and {}{generated} in {table}",
                column.type_name, found.type_name
            ))
            .hint("Make the two columns the same, or copy into another table."));
        }
    }
    let needs_value = |column: &&crate::catalog::Column| {
        let is_filled = column.expression.is_some() || column.identity.is_some() || column.generated.is_some();
        column.not_null && !is_filled && source.column(&column.name).is_none()
    };
    if let Some(column) = target.columns.iter().find(needs_value) {
        return Err(Error::refused(format!(
            "column {} of {table} wants a value, and the source has none for it",
            display_ident(&column.name)
        ))
        .hint("Give the column a default, or let it be null."));
    }
    Ok(())
}

/// Ranges of the source are conditions on the target, too.
fn refuse_other_axis(sides: &Sides, source: &Hypertable, layout: &Layout) -> Result<()> {
    let table = &sides.target_table;
    let primary = primary_dimension(source.name(), &source.dimensions)?;
    // Another type is told of the column.
    if primary.value() != layout.primary.value() {
        return Err(Error::refused(format!(
            "{table} is partitioned by {} on the target, and by {} on the source",
            layout.primary.name(),
            primary.name()
        ))
        .hint("Appending needs the same time dimension on both sides."));
    }
    Ok(())
}

/// The done tasks that have to be compared with the source, the trusted ones left out.
pub(super) fn untrusted(done: &[DoneTask], trusted: Option<Range>) -> impl Iterator<Item = &DoneTask> {
    let is_trusted = move |task: &&DoneTask| trusted.is_some_and(|range| range.intersect(task.range) == task.range);
    done.iter().filter(move |task| !is_trusted(task))
}

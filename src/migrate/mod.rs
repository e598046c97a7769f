//! The conductor of `migrate`: look, snapshot, plan, begin, chunks, copy, finalize, verify.
//!
//! [`Migration::plan`] writes nothing anywhere and refuses what cannot work; [`Migration::run`] does the work.
//!
//! **Invariant:** no SQL and no arithmetic of its own: it asks `catalog`, lets `plan` decide, and has the rooms below do
//! what was decided.

mod look;
mod planned;

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::try_join_all;

use self::look::Sides;
pub use self::planned::Planned;
use crate::catalog::{Chunk, read};
use crate::connect::{Cancellers, Conninfo, Sessions, Target};
use crate::error::{Error, Kind, Result};
use crate::ident::QualifiedName;
use crate::ledger::{self, Counted, JobId, JobIdentity, JobState};
use crate::look::Bounds;
use crate::pipeline::{self, Copy, Queues};
use crate::plan::{HashRequest, Task, column_list, sequence_values};
use crate::progress::{self, Meters, Progress};
use crate::reader::chunk::ChunkReader;
use crate::reader::snapshot::Snapshot;
use crate::report::{LatencyReport, Report, Verification};
use crate::schema;
use crate::verify::{self, Difference, Expected, Mode, Reading};
use crate::writer::hypertable::copy_in;

/// What was asked for.
pub struct Request {
    /// The source.
    pub source: Conninfo,
    /// The target.
    pub target: Conninfo,
    /// The hypertable, as written: resolved on the source under the role's `search_path`.
    pub table: String,
    /// The new table, as written; the source's name where there is none.
    pub target_table: Option<String>,
    /// Interval of the primary dimension, as written.
    pub chunk_interval: Option<String>,
    /// Hash dimensions.
    pub hash_partitions: Option<HashRequest>,
    /// First value of the primary dimension, as written.
    pub from: Option<String>,
    /// First value that is left out, as written.
    pub until: Option<String>,
    /// More new chunks than this are refused.
    pub max_new_chunks: u64,
    /// How many workers copy; each holds one session on either side.
    pub jobs: usize,
    /// How the result is verified.
    pub verify: Mode,
    /// Refuse where something would not be carried.
    pub strict: bool,
}

/// Memory that the routers of all workers may hold together, in bytes.
const ROUTER_BYTES: usize = 48 << 20;

/// A migration that has been planned under a snapshot and can be run.
pub struct Migration {
    request: Request,
    sides: Sides,
    planned: Planned,
    snapshot: Snapshot,
    cancellers: Cancellers,
}

impl Migration {
    /// Looks at both sides, takes the snapshot and plans in it. Nothing is written; what is known is noted in `report`
    /// also when it fails. Dropping the future closes the sessions.
    ///
    /// # Errors
    /// [`Kind::Refused`] for what cannot work, [`Kind::Source`] and [`Kind::Target`] for servers that fail.
    pub async fn plan(
        request: Request,
        cancellers: Cancellers,
        progress: &Progress,
        report: &mut Report,
    ) -> Result<Migration> {
        let start = Instant::now();
        progress.phase("looking at both sides");
        let sides = Sides::look(&request).await?;
        cancellers.watch(&sides.source.session);
        cancellers.watch(&sides.target);
        report.sides(&sides.source.report(), &sides.target_report());
        let bounds = Bounds::resolve(&sides.source, request.from.as_deref(), request.until.as_deref()).await?;
        progress.phase("taking the snapshot");
        let subject = sides.source.subject(&request.source, request.jobs, bounds.range, "migrate");
        let snapshot = Snapshot::take(&subject).await?;
        snapshot.workers.iter().chain([&snapshot.leader]).for_each(|session| cancellers.watch(session));
        report.snapshot_at = Some(snapshot.taken_at.clone());
        progress.phase("planning");
        let planned = Planned::make(&request, &sides, &snapshot, bounds).await?;
        report.plan = Some(planned.report(&sides, &snapshot, request.jobs));
        report.not_carried = planned.not_carried.clone();
        report.phase("look, snapshot and plan", start);
        if request.strict && !planned.not_carried.is_empty() {
            return Err(Error::refused(format!(
                "{} things of {} would not be carried",
                planned.not_carried.len(),
                sides.source.table.name
            ))
            .hint("They are listed above. Without --strict they are left out and listed."));
        }
        Ok(Migration { request, sides, planned, snapshot, cancellers })
    }

    /// Does what was planned. `report` is filled as the work goes on, also when it fails.
    ///
    /// Dropping the future stops all workers; call [`Cancellers::cancel_all`] then.
    ///
    /// # Errors
    /// The first failure. Tasks that were committed stay, and stand in the ledger.
    pub async fn run(self, progress: Arc<Progress>, report: &mut Report) -> Result<()> {
        let Migration { request, sides, planned, snapshot, cancellers } = self;
        let work = Work { request: &request, sides: &sides, planned: &planned, cancellers: &cancellers, progress };
        let ended = work.run(snapshot, report).await;
        if ended.is_err() {
            cancellers.cancel_all().await;
        }
        ended
    }
}

struct Work<'a> {
    request: &'a Request,
    sides: &'a Sides,
    planned: &'a Planned,
    cancellers: &'a Cancellers,
    progress: Arc<Progress>,
}

impl Work<'_> {
    async fn run(&self, snapshot: Snapshot, report: &mut Report) -> Result<()> {
        // Before the first write: the server may have no room for so many.
        let targets = self.open_targets().await?;
        let job = self.begin(report).await?;
        let target_chunks = self.make_chunks(report).await?;
        let tasks = self.planned.cut_tasks(&snapshot.shares, &target_chunks, self.request.jobs);
        let targets = self.copy(job, snapshot, targets, &tasks, target_chunks, report).await?;
        let copied = self.settle(job, &tasks, report).await?;
        self.finalize_and_verify(job, &Sessions::new(targets), &expected(&tasks, &copied), report).await?;
        self.finish(job, report).await
    }

    async fn begin(&self, report: &mut Report) -> Result<JobId> {
        let start = Instant::now();
        self.progress.phase("creating the table");
        let identity = JobIdentity {
            kind: "migrate",
            target: self.table(),
            source_system: &self.sides.source.server.system,
            source_database: &self.sides.source.server.database,
            source: &self.sides.source.table.name,
            request: &self.planned.identity(),
        };
        let job = schema::begin(&self.sides.target, &self.planned.pre_data, &identity).await?;
        report.job = Some(job);
        report.phase("create table", start);
        Ok(job)
    }

    async fn make_chunks(&self, report: &mut Report) -> Result<Vec<Chunk>> {
        let start = Instant::now();
        self.progress.phase(format!("making {} chunks", self.planned.new_chunks));
        let (target, server, table) = (&self.sides.target, &self.sides.target_server, self.table());
        schema::make_chunks(target, server, table, &self.planned.layout, &self.planned.points).await?;
        let chunks = read::chunks(target, server, self.target_hypertable_id().await?).await?;
        report.phase("make chunks", start);
        Ok(chunks)
    }

    async fn target_hypertable_id(&self) -> Result<i32> {
        let row = read::hypertable_row(&self.sides.target, self.table()).await?;
        row.map(|row| row.id).ok_or_else(|| {
            Error::new(Kind::Target, format!("{} is no longer a hypertable on the target", self.table()))
        })
    }

    async fn open_targets(&self) -> Result<Vec<Target>> {
        let open = (1..=self.request.jobs).map(async |worker| {
            let target = Target::open(&self.request.target, &format!("{} copy in {worker}", self.role())).await?;
            self.cancellers.watch(&target);
            Ok::<_, Error>(target)
        });
        try_join_all(open).await
    }

    async fn copy(
        &self,
        job: JobId,
        snapshot: Snapshot,
        targets: Vec<Target>,
        tasks: &[Task],
        target_chunks: Vec<Chunk>,
        report: &mut Report,
    ) -> Result<Vec<Target>> {
        let start = Instant::now();
        self.progress.plan(progress::Planned { rows: self.planned.estimated_rows, tasks: tasks.len() as u64 });
        self.progress.phase("copying");
        report.tasks = Some(tasks.len());
        let queues = Queues::of(&snapshot.shares, tasks);
        let copy = Arc::new(self.copy_plan(job, snapshot.chunks, target_chunks));
        let copied = pipeline::run(Arc::clone(&copy), snapshot.workers, targets, queues).await;
        report.phase("copy", start);
        let done = self.progress.snapshot();
        (report.rows, report.bytes) = (done.rows, done.bytes);
        let (meters, targets) = copied?;
        report.latency = Some(latency(&meters));
        Ok(targets)
    }

    fn copy_plan(&self, job: JobId, source_chunks: Vec<Chunk>, target_chunks: Vec<Chunk>) -> Copy {
        let planned = self.planned;
        let columns = column_list(&planned.source);
        let format = planned.wire.format.name();
        let primary = planned.layout.primary.clone();
        Copy {
            job,
            copy_in: copy_in(&self.table().sql(), &columns, format),
            copy_out: Box::new(move |task| {
                let reader = ChunkReader {
                    chunks: &source_chunks,
                    columns: &columns,
                    primary: &primary.column,
                    time_type: primary.time_type,
                    format,
                };
                reader.copy_out(&task.reads)
            }),
            wire: planned.wire.clone(),
            columns: planned.source.copied_columns().map(|column| column.name.clone()).collect(),
            layout: planned.layout.clone(),
            target_chunks,
            with_checksum: self.request.verify == Mode::Checksum,
            buffer_bytes: ROUTER_BYTES / self.request.jobs,
            progress: Arc::clone(&self.progress),
        }
    }

    /// One commit that waits for the disk makes all earlier ones durable; then the ledger is read, and what it says is
    /// what was done.
    async fn settle(&self, job: JobId, tasks: &[Task], report: &mut Report) -> Result<Vec<(i32, Counted)>> {
        self.set_state(job, JobState::Finalizing).await?;
        let completed = ledger::completed_tasks(&self.sides.target, job).await?;
        if completed.len() != tasks.len() {
            return Err(Error::new(
                Kind::Target,
                format!("the ledger has {} of {} tasks", completed.len(), tasks.len()),
            ));
        }
        report.rows = completed.iter().map(|(_, counted)| counted.rows).sum();
        Ok(completed)
    }

    async fn set_state(&self, job: JobId, state: JobState) -> Result<()> {
        let target = &self.sides.target;
        target.batch("begin isolation level read committed read write; set local synchronous_commit = on").await?;
        ledger::set_state(target, job, state).await?;
        target.batch("commit").await
    }

    /// What is made behind the rows. The rows are verified by sessions that have no index to build: neither changes
    /// what the other sees.
    async fn finalize_and_verify(
        &self,
        job: JobId,
        sessions: &Sessions,
        expected: &[Expected],
        report: &mut Report,
    ) -> Result<()> {
        let start = Instant::now();
        let planned = self.planned;
        let say: schema::Say<'_> = &|title| self.progress.phase(title);
        schema::run_in_turn(sessions, job, &planned.constraints, say).await?;
        let builders = schema::index_builders(&self.sides.target_server, planned.new_chunks, self.request.jobs);
        let ((), differences) = tokio::try_join!(
            schema::build_indexes(sessions, job, &planned.indexes, builders, say),
            self.verify(sessions, expected)
        )?;
        report.phase("constraints, indexes and verification", start);
        let time_type = planned.layout.primary.time_type;
        report.verification = Some(Verification::of(self.request.verify, expected.len(), &differences, time_type));
        self.refuse_differences(expected.len(), &differences)?;

        let start = Instant::now();
        self.progress.phase("analyzing");
        let chunks = read::chunks(&self.sides.target, &self.sides.target_server, self.target_hypertable_id().await?);
        let chunks = chunks.await?;
        report.target_chunks = Some(chunks.len());
        let plain = Target::open_plain(&self.request.target, &format!("{} analyze", self.role())).await?;
        self.cancellers.watch(&plain);
        schema::analyze(sessions, &plain, self.table(), &chunks).await?;
        let values = sequence_values(&planned.source, &planned.names, &planned.missing_sequences());
        schema::run_in_turn(sessions, job, &values, say).await?;
        report.phase("analyze", start);
        Ok(())
    }

    async fn verify(&self, sessions: &Sessions, expected: &[Expected]) -> Result<Vec<Difference>> {
        if self.request.verify == Mode::None {
            return Ok(Vec::new());
        }
        self.progress.phase(format!("verifying by {}", self.request.verify.name()));
        let primary = &self.planned.layout.primary;
        let reading = Reading {
            table: self.table().sql(),
            columns: column_list(&self.planned.source),
            primary: primary.column.clone(),
            time_type: primary.time_type,
            wire: self.planned.wire.clone(),
            functions: self.sides.target_server.functions_schema.clone(),
            with_checksum: self.request.verify == Mode::Checksum,
            // What is shown is the copy's.
            progress: Arc::default(),
        };
        verify::recount(sessions, &reading, expected).await
    }

    fn refuse_differences(&self, ranges: usize, differences: &[Difference]) -> Result<()> {
        let Some(first) = differences.first() else { return Ok(()) };
        Err(Error::new(
            Kind::Different,
            format!(
                "{} of {ranges} ranges differ between source and target, the first one {}: {} rows were copied and {} are there",
                differences.len(),
                first.range.display(self.planned.layout.primary.time_type),
                first.source.rows,
                first.target.rows
            ),
        ))
    }

    async fn finish(&self, job: JobId, report: &mut Report) -> Result<()> {
        self.set_state(job, JobState::Finished).await?;
        self.progress.phase("finished");
        report.finish();
        Ok(())
    }

    fn table(&self) -> &QualifiedName {
        &self.planned.names.table
    }

    fn role(&self) -> String {
        role(self.table())
    }
}

/// What `pg_stat_activity` shows of us, without our own name.
fn role(table: &QualifiedName) -> String {
    format!("migrate {table}")
}

/// The ranges to read again. The table is ours, so the first and the last reach to its ends, and a row that nobody
/// copied would be seen there too.
fn expected(tasks: &[Task], copied: &[(i32, Counted)]) -> Vec<Expected> {
    let mut expected: Vec<Expected> = tasks
        .iter()
        .zip(copied)
        .map(|(task, (id, counted))| {
            debug_assert_eq!(task.id, *id);
            Expected { range: task.range, counted: *counted }
        })
        .collect();
    if let Some(first) = expected.first_mut() {
        first.range.from = None;
    }
    if let Some(last) = expected.last_mut() {
        last.range.until = None;
    }
    expected
}

fn latency(meters: &Meters) -> LatencyReport {
    LatencyReport {
        task: meters.task.summary(),
        blocked_on_source: meters.source.summary(),
        blocked_on_channel: meters.channel.summary(),
        blocked_on_target: meters.target.summary(),
    }
}

//! Does what was planned: begin, chunks, copy, settle, finalize, verify.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::{BoxFuture, try_join_all};

use super::belongings;
use super::identity::JobPlan;
use super::look::Sides;
use super::planned::{Planned, untrusted};
use super::request::{Parts, Request, Resume};
use super::role;
use super::source::Hold;
use super::standing::Standing;
use super::upkeep::{following, made_readers};
use crate::catalog::{Chunk, read};
use crate::connect::{Backend, Sessions, Target};
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::ident::QualifiedName;
use crate::ledger::{self, Claim, Counted, DoneTask, IMPORT, Job, JobState, NewJob, Origin, RECHUNK, REPAIR};
use crate::pipeline::{self, Copy, Ended, Pair, Queues, Work as Errand};
use crate::plan::{Entry, Moment, Point, Statement, Task, column_list, sequence_values};
use crate::progress::{self, Meters};
use crate::reader::cells::{Ground, Rows, boundaries};
use crate::reader::door::Doors;
use crate::reader::snapshot::Shares;
use crate::report::{LatencyReport, Report, ResumeReport, Verification, to_json};
use crate::schema;
use crate::supervision::Supervision;
use crate::takeover;
use crate::verify::{self, Difference, Expected, Hashing, Mode, Reading};
use crate::vigil::Vigil;
use crate::writer::hypertable::{Destination, delete_range};

/// Memory that the routers of all workers may hold together, in bytes.
const ROUTER_BYTES: usize = 48 << 20;
/// A server that crashes between two commits that did not wait for the disk loses what it has said is done; more often
/// than this it will not be believed.
const SETTLE_ATTEMPTS: usize = 5;

/// Who is served, who watches, and what they were asked for.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) request: &'a Request,
    pub(super) supervision: &'a Supervision,
    pub(super) vigil: &'a Vigil,
}

/// One run of a job.
pub(super) struct Work<'a> {
    pub(super) request: &'a Request,
    pub(super) sides: &'a Sides,
    pub(super) planned: &'a Planned,
    pub(super) supervision: &'a Supervision,
    vigil: &'a Vigil,
    pub(super) claim: Claim,
}

impl<'a> Work<'a> {
    /// Does all of it.
    pub(super) async fn run(
        run: Run<'a>,
        sides: &'a Sides,
        planned: &'a Planned,
        standing: &Standing,
        mut hold: Hold,
        report: &mut Report,
    ) -> Result<()> {
        let Run { request, supervision, vigil } = run;
        // Before the first write: the server may have no room for so many.
        let targets = open_targets(request, sides, supervision).await?;
        let (open, doors) = hold.doors(planned, request.jobs);
        let mut pairs: Vec<Pair> = open.into_iter().zip(targets).map(|(door, target)| Pair { door, target }).collect();
        let others = hold.sessions().into_iter().map(|session| session.backend()).chain([sides.target.backend()]);
        let backends: Vec<Backend> = others.cloned().chain(pairs.iter().flat_map(Pair::backends)).collect();
        let claim = begin(run, sides, planned, standing, &backends, report).await?;
        let work = Work { request, sides, planned, supervision, vigil, claim };
        let is_copied = matches!(standing, Standing::Unfinished { job, .. } if job.state == JobState::Finalizing);
        if !is_copied {
            pairs = work.copy_all(&hold, &doors, pairs, report).await?;
        }
        drop(hold);
        let sessions = Sessions::new(pairs.into_iter().map(|pair| pair.target).collect());
        work.finalize_and_verify(&sessions, report).await?;
        work.schedule(&sessions, report).await?;
        work.finish(report).await
    }

    /// Until the ledger names every task, under this one snapshot.
    async fn copy_all(&self, hold: &Hold, doors: &Doors, pairs: Vec<Pair>, report: &mut Report) -> Result<Vec<Pair>> {
        let (mut pairs, again) = self.compare(hold, doors, pairs, report).await?;
        let ranges = again.iter().map(|task| task.range).collect();
        let rows_again = hold.rows(&self.ground(), &pairs, ranges).await?;

        self.make_preserved_chunks().await?;
        let mut points = self.planned.missing_points.clone();
        points.extend(self.planned.missing_points(&rows_again.points, &self.planned.chunks));
        let chunks = self.make_chunks(&points, report).await?;
        let mut tasks = self.tasks(hold.shares(), &chunks, &rows_again, &again);
        let unmade = self.planned.missing_points(&points, &chunks);
        for task in &mut tasks {
            task.alone = unmade.iter().any(|point| task.range.contains(point[0]));
        }
        self.open_chunks(&chunks, &tasks).await?;
        let start = Instant::now();
        self.progress_over(&tasks);
        report.tasks = Some(self.planned.done.len() + tasks.len() - again.len());
        let mut meters = Meters::default();
        let mut missing = tasks.clone();
        for _ in 0..SETTLE_ATTEMPTS {
            let follow = self.compressor(&chunks, &missing).map(following);
            // Chunks are full, and small again, one after the other.
            let queues = if follow.is_some() { Queues::in_turn } else { Queues::of }(hold.shares(), &missing);
            let copy = Arc::new(Copy { follow, ..self.copy_plan(doors, chunks.clone()) });
            let ended = pipeline::run(copy, pairs, queues, Errand::Copy).await;
            report.bytes = self.supervision.progress.snapshot().bytes;
            let ended = ended?;
            pairs = ended.pairs;
            meters.merge(&ended.meters);
            missing = self.settle(&tasks).await?;
            if missing.is_empty() {
                report.phase("copy", start);
                report.latency = Some(LatencyReport::of(&meters));
                return Ok(pairs);
            }
        }
        Err(Error::new(
            Kind::Target,
            format!("the ledger lacks {} of {} tasks again and again", missing.len(), tasks.len()),
        )
        .hint("The target forgets what it has committed: look into its log."))
    }

    /// Compares what earlier runs have copied with the source as it is now; answers the tasks that have to be done again.
    async fn compare(
        &self,
        hold: &Hold,
        doors: &Doors,
        pairs: Vec<Pair>,
        report: &mut Report,
    ) -> Result<(Vec<Pair>, Vec<DoneTask>)> {
        let done = &self.planned.done;
        if done.is_empty() {
            return Ok((pairs, Vec::new()));
        }
        let start = Instant::now();
        let compared: Vec<DoneTask> = untrusted(done, self.planned.trusted).cloned().collect();
        let tasks: Vec<Task> = compared.iter().map(|done| self.planned.rows.task(done.id, done.range)).collect();
        self.supervision.progress.phase(format!("comparing {} done tasks with the source", tasks.len()));
        let copy = Arc::new(self.copy_plan(doors, Vec::new()));
        let Ended { pairs, counted, .. } =
            pipeline::run(copy, pairs, Queues::of(hold.shares(), &tasks), Errand::Count).await?;
        let now = |task: &DoneTask| counted.iter().find(|(id, _)| *id == task.id).map(|(_, counted)| *counted);
        let form = self.planned.wire.form();
        let has_changed = |task: &&DoneTask| now(task) != Some(task.counted(&form));
        let again: Vec<DoneTask> = compared.iter().filter(has_changed).cloned().collect();
        let is_emptied = |task: &&DoneTask| task.rows > 0 && now(task).is_some_and(|now| now.rows == 0);
        let emptied: Vec<&DoneTask> = again.iter().filter(is_emptied).collect();
        report.resumed = Some(ResumeReport { done: done.len(), compared: compared.len(), copied_again: again.len() });
        report.phase("compare with the source", start);
        match emptied.first() {
            Some(first) if self.request.resume != Resume::FollowDeletes => {
                Err(self.refuse_deletes(first, emptied.len()))
            }
            _ => Ok((pairs, again)),
        }
    }

    fn refuse_deletes(&self, first: &DoneTask, count: usize) -> Error {
        Error::refused(format!(
            "the source has no rows any more in {count} ranges that were copied, the first one {} with {} rows",
            first.range.display(self.planned.bounds.time_type),
            first.rows
        ))
        .hint("If the target shall lose them too, add --resume=follow-deletes; if it shall keep them, --resume=trust or --resume=trust-before VALUE.")
    }

    fn ground(&self) -> Ground<'_> {
        Ground {
            source: &self.planned.source,
            layout: &self.planned.layout,
            bounds: self.planned.bounds.range,
            max_new_chunks: self.planned.preserved.most_buckets(self.request),
            jobs: self.request.jobs,
            most_task_bytes: u64::MAX,
        }
    }

    async fn make_chunks(&self, points: &[Point], report: &mut Report) -> Result<Vec<Chunk>> {
        let start = Instant::now();
        let (target, server, table) = (&self.sides.target, &self.sides.target_server, self.table());
        if !points.is_empty() {
            let chunks = points.len() as u64 * self.planned.layout.partitions_per_bucket();
            self.supervision.progress.phase(format!("making {chunks} chunks"));
            let _open = self.supervision.interrupt.open()?;
            match self.planned.appends {
                true => schema::make_chunks_beside_others(target, server, table, &self.planned.layout, points).await?,
                false => schema::make_chunks(target, server, table, &self.planned.layout, points).await?,
            }
        }
        let chunks = self.target_chunks().await?;
        report.phase("make chunks", start);
        Ok(chunks)
    }

    pub(super) async fn target_chunks(&self) -> Result<Vec<Chunk>> {
        read::chunks(&self.sides.target, &self.sides.target_server, self.target_hypertable_id().await?).await
    }

    pub(super) async fn target_hypertable_id(&self) -> Result<i32> {
        let row = read::hypertable_row(&self.sides.target, self.table()).await?;
        row.map(|row| row.id).ok_or_else(|| {
            Error::new(Kind::Target, format!("{} is no longer a hypertable on the target", self.table()))
        })
    }

    /// What is left to be copied, and what has to be copied again.
    fn tasks(&self, shares: &Shares, chunks: &[Chunk], rows_again: &Rows, again: &[DoneTask]) -> Vec<Task> {
        let mut tasks = self.planned.tasks(shares, &boundaries(chunks));
        let again = again.iter().map(|done| Task { entry: Entry::Again, ..rows_again.task(done.id, done.range) });
        tasks.extend(again);
        tasks
    }

    fn progress_over(&self, tasks: &[Task]) {
        let rows = tasks.iter().map(|task| task.rows).sum();
        self.supervision.progress.plan(progress::Planned { rows, tasks: tasks.len() as u64, bytes: 0 });
        self.supervision.progress.phase("copying");
    }

    fn copy_plan(&self, doors: &Doors, target_chunks: Vec<Chunk>) -> Copy {
        let planned = self.planned;
        let primary = &planned.layout.primary;
        Copy {
            destination: Destination {
                claim: self.claim,
                table: self.table().clone(),
                columns: column_list(&planned.source),
                primary: primary.clone(),
                format: planned.wire.format,
                form: planned.wire.form(),
            },
            wire: planned.wire.clone(),
            columns: planned.source.copied_columns().map(|column| column.name.clone()).collect(),
            layout: planned.layout.clone(),
            target_chunks,
            buffer_bytes: ROUTER_BYTES / self.request.jobs,
            progress: Arc::clone(&self.supervision.progress),
            interrupt: self.supervision.interrupt.clone(),
            retry_for: self.request.retry_for,
            turn: tokio::sync::Semaphore::new(1),
            vigil: self.vigil.clone(),
            reopen: self.reopen(doors),
            follow: None,
        }
    }

    fn reopen(&self, doors: &Doors) -> pipeline::Reopen {
        let (conninfo, role) = (self.request.target.clone(), role(self.request, self.table()));
        let (doors, job, supervision) = (doors.clone(), self.claim.job, self.supervision.clone());
        Box::new(move |number, lost: Vec<Backend>| -> BoxFuture<'static, Result<Option<Pair>>> {
            let (conninfo, doors, supervision) = (conninfo.clone(), doors.clone(), supervision.clone());
            let name = target_role(&role, number + 1);
            Box::pin(async move {
                let target = takeover::open_again(&conninfo, &name, &lost).await?;
                let Some(door) = doors.open(number).await? else { return Ok(None) };
                let pair = Pair { door, target };
                if let Some(session) = pair.door.session() {
                    ledger::end_backends(session, &lost).await?;
                    supervision.watch(session);
                }
                ledger::insert_backends(&pair.target, job, &pair.backends()).await?;
                supervision.watch(&pair.target);
                Ok(Some(pair))
            })
        })
    }

    /// One commit that waits for the disk makes all earlier ones durable; then the ledger is read, and what it says is
    /// what was done. Answers the tasks that it lacks: a server that crashed has forgotten them.
    async fn settle(&self, tasks: &[Task]) -> Result<Vec<Task>> {
        failpoint::hit("before-settle");
        let target = &self.sides.target;
        self.set_state(JobState::Copying).await?;
        let done = ledger::done_tasks(target, self.claim.job).await?;
        let is_missing = |task: &&Task| !done.iter().any(|done| done.id == task.id);
        let missing: Vec<Task> = tasks.iter().filter(is_missing).cloned().collect();
        if missing.is_empty() {
            self.refuse_gaps(&done)?;
            self.set_state(JobState::Finalizing).await?;
        }
        Ok(missing)
    }

    /// What is done has to be the whole range that was asked for, without a gap and without an overlap.
    fn refuse_gaps(&self, done: &[DoneTask]) -> Result<()> {
        if self.planned.repaired.is_some() || self.request.parts == Parts::Schema {
            return Ok(());
        }
        let gaps = self.planned.bounds.range.without(done.iter().map(|task| task.range));
        let overlaps = done.windows(2).any(|pair| pair[0].range.until != pair[1].range.from);
        match gaps.is_empty() && !overlaps {
            true => Ok(()),
            false => {
                Err(Error::internal(format!("the ledger's tasks of job {} do not tile the range", self.claim.job.0)))
            }
        }
    }

    async fn set_state(&self, state: JobState) -> Result<()> {
        let target = &self.sides.target;
        schema::durably(target, async || ledger::set_state(target, self.claim, state).await).await
    }

    /// What is made behind the rows. The rows are verified by sessions that have no index to build: neither changes
    /// what the other sees.
    async fn finalize_and_verify(&self, sessions: &Sessions, report: &mut Report) -> Result<()> {
        let start = Instant::now();
        let (planned, job, interrupt) = (self.planned, self.claim.job, &self.supervision.interrupt);
        let copied = ledger::done_tasks(&self.sides.target, job).await?;
        report.rows = copied.iter().map(|task| task.rows).sum();
        report.bytes = copied.iter().map(|task| task.bytes).sum();
        let expected = expected(&copied, &planned.wire.form(), !planned.appends, self.request.verify);
        let steps = ledger::steps(&self.sides.target, job).await?;
        let to_do = |statements: &[Statement]| -> Vec<Statement> {
            statements.iter().filter(|statement| !steps.contains(&statement.title)).cloned().collect()
        };
        let progress = &self.supervision.progress;
        let finisher =
            schema::Finisher { sessions, claim: self.claim, words: schema::Words::Foreign, interrupt, progress };
        finisher.run_in_turn(&to_do(&planned.constraints)).await?;
        let chunks = self.target_chunks().await?.len() as u64;
        let builders = schema::index_builders(&self.sides.target_server, chunks, self.request.jobs);
        let indexes = to_do(&planned.indexes);
        let build = finisher.build_indexes(&indexes, builders);
        let compresses_behind = planned.compression == Some(Moment::Behind);
        if compresses_behind {
            build.await?;
        } else {
            // What the copy has not come to, because it was ended.
            self.compress_rest(sessions).await?;
            let ((), differences) = tokio::try_join!(build, self.verify(sessions, &expected))?;
            self.note_verification(&expected, &differences, report)?;
        }
        report.phase("constraints, indexes and verification", start);
        let start = Instant::now();
        self.put_on_behind_rows(&finisher, report).await?;
        self.put_on_keys(&finisher, report).await?;
        report.phase("foreign keys", start);

        let start = Instant::now();
        self.supervision.progress.phase("analyzing");
        let mut chunks = self.target_chunks().await?;
        // Those that are compressed were analyzed while they had rows to read.
        chunks.retain(|chunk| planned.bounds.range.overlaps(chunk.primary()) && !chunk.compressed);
        let plain =
            Target::open_plain(&self.request.target, &format!("{} analyze", role(self.request, self.table()))).await?;
        self.supervision.watch(&plain);
        let open = interrupt.open()?;
        schema::analyze(sessions, &plain, self.table(), &chunks).await?;
        drop(open);
        let values = sequence_values(&planned.source, &planned.names, &planned.made_sequences());
        // They go with the rows.
        if !planned.appends && self.request.parts != Parts::Schema {
            finisher.run_in_turn(&to_do(&values)).await?;
        }
        report.phase("analyze", start);
        let start = Instant::now();
        self.put_on_what_acts(&finisher, report).await?;
        report.phase("what acts on rows", start);
        if compresses_behind {
            let start = Instant::now();
            self.enable_columnstore(&finisher).await?;
            self.compress_rest(sessions).await?;
            let differences = self.verify(sessions, &expected).await?;
            self.note_verification(&expected, &differences, report)?;
            report.phase("compression and verification", start);
        }
        Ok(())
    }

    fn note_verification(&self, expected: &[Expected], differences: &[Difference], report: &mut Report) -> Result<()> {
        let time_type = self.planned.layout.primary.time_type;
        report.verification = Some(Verification::of(self.request.verify, expected.len(), differences, time_type));
        self.refuse_differences(expected.len(), differences)
    }

    async fn verify(&self, sessions: &Sessions, expected: &[Expected]) -> Result<Vec<Difference>> {
        if self.request.verify == Mode::None {
            return Ok(Vec::new());
        }
        self.supervision.progress.phase(format!("verifying by {}", self.request.verify.name()));
        let primary = &self.planned.layout.primary;
        let reading = Reading {
            table: self.table().sql(),
            columns: column_list(&self.planned.source),
            primary: primary.clone(),
            wire: self.planned.wire.clone(),
            hashing: Hashing::Here,
            functions: self.sides.target_server.functions_schema.clone(),
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

    async fn finish(&self, report: &mut Report) -> Result<()> {
        failpoint::hit("before-finish");
        self.supervision.progress.phase("finished");
        report.finish();
        let (target, job) = (&self.sides.target, self.claim.job);
        let finish = async || {
            report.add_not_carried(belongings::close(target, self.planned, self.request.strict).await?);
            let json = self.kept_report(report)?;
            ledger::forget_backends(target, job).await?;
            ledger::set_finished(target, self.claim, &json).await
        };
        schema::durably(target, finish).await
    }

    /// The report as the ledger keeps it. A database of another encoding may lack characters that are in it, and that is no
    /// reason for a job not to end.
    fn kept_report(&self, report: &Report) -> Result<String> {
        let json = to_json(report)?;
        Ok(match self.sides.target_server.encoding.as_str() {
            "UTF8" => json,
            _ => json.chars().map(|character| if character.is_ascii() { character } else { '?' }).collect(),
        })
    }

    pub(super) fn table(&self) -> &QualifiedName {
        &self.planned.names.table
    }
}

/// Makes the job, or goes on with it, and notes the sessions that it has.
async fn begin(
    run: Run<'_>,
    sides: &Sides,
    planned: &Planned,
    standing: &Standing,
    backends: &[Backend],
    report: &mut Report,
) -> Result<Claim> {
    let Run { request, supervision, .. } = run;
    let start = Instant::now();
    let target = &sides.target;
    supervision.interrupt.check()?;
    let forget = match standing {
        Standing::New { forget } | Standing::Append { forget, .. } => forget.as_ref(),
        Standing::Repair { .. } => None,
        Standing::Unfinished { job, claim: Some(claim) } => {
            (report.job.id, report.job.has_begun) = (Some(job.id), true);
            schema::durably(target, async || ledger::insert_backends(target, claim.job, backends).await).await?;
            return Ok(*claim);
        }
        Standing::Unfinished { claim: None, .. } | Standing::Finished { .. } => {
            return Err(Error::internal("there is nothing to begin"));
        }
    };
    if let Some(job) = forget {
        supervision.progress.phase(format!("forgetting job {}", job.id.0));
        forget_job(sides, planned, job).await?;
    }
    if let Standing::Append { .. } = standing {
        refuse_occupied_range(sides, planned).await?;
    }
    supervision.progress.phase(if planned.appends { "beginning" } else { "creating the table" });
    let is_repair = planned.repaired.is_some();
    let (system, database) = sides.source.place();
    let job = NewJob {
        kind: if is_repair { REPAIR } else { request.kind() },
        target: &planned.names.table,
        made_table: !planned.appends,
        source: Origin { system, database, name: &sides.source.table().name.sql() },
        request: &planned.identity.json()?,
        plan: &planned.job_plan().json()?,
        // A repair has the locks of all jobs that are not finished; imports keep to their own rows.
        empties: false,
        is_rival: &|other| {
            !is_repair && ![IMPORT, RECHUNK].contains(&other.kind.as_str()) && other.state != JobState::Finished
        },
    };
    // Where the answer to its commit is lost, another attempt finds out.
    report.job.has_begun = true;
    let put_on = async |_| {
        report.add_not_carried(belongings::put_on_empty_table(target, planned, request.strict).await?);
        Ok(())
    };
    let claim = schema::begin_and(target, &planned.pre_data, &job, backends, put_on).await?;
    report.job.id = Some(claim.job);
    report.phase(if planned.appends { "begin" } else { "create table" }, start);
    Ok(claim)
}

/// Takes back what a job has made: its table, or the rows that it has added to somebody else's.
async fn forget_job(sides: &Sides, planned: &Planned, job: &Job) -> Result<()> {
    let target = &sides.target;
    let plan = JobPlan::of(job)?;
    let done = ledger::done_tasks(target, job.id).await?;
    let destination = Destination {
        claim: Claim { job: job.id, run: job.run },
        table: sides.target_table.clone(),
        columns: String::new(),
        primary: plan.layout.primary.clone(),
        format: planned.wire.format,
        form: String::new(),
    };
    let forget = async || {
        if job.made_table {
            refuse_rows_of_others(target, &sides.target_table, job).await?;
            for drop in made_readers(target, job).await?.drop() {
                schema::run(target, &drop).await?;
            }
            belongings::release(target, &plan, &sides.target_table).await?;
            schema::drop_table(target, &sides.target_table).await?;
        } else {
            for task in &done {
                delete_range(target, &destination, task.range, task.rows).await?;
            }
        }
        ledger::delete_job(target, job.id).await
    };
    schema::durably(target, forget).await?;
    ledger::unlock(target, job.id).await
}

/// A table that was made long ago may be in use.
async fn refuse_rows_of_others(target: &Target, table: &QualifiedName, job: &Job) -> Result<()> {
    target.batch(&format!("lock table {} in access exclusive mode", table.sql())).await?;
    let rows: i64 = target.row(&format!("select count(*) from {}", table.sql()), &[]).await?.get(0);
    if rows as u64 == job.rows {
        return Ok(());
    }
    Err(Error::new(
        Kind::Target,
        format!(
            "{table} holds {rows} rows, and job {} has written {}: somebody else has changed them",
            job.id.0, job.rows
        ),
    )
    .hint("--restart would drop the table with them. Drop it yourself if that is meant."))
}

/// Appending fills empty ranges only.
async fn refuse_occupied_range(sides: &Sides, planned: &Planned) -> Result<()> {
    let (primary, range) = (&planned.layout.primary, planned.bounds.range);
    let sql = format!("select exists (select from {}{})", sides.target_table.sql(), primary.filter(range));
    match sides.target.row(&sql, &[]).await?.get(0) {
        false => Ok(()),
        true => Err(Error::refused(format!(
            "{} holds rows in {} already",
            sides.target_table,
            range.display(primary.time_type)
        ))
        .hint("Appending only fills empty ranges: choose another one with --from and --until.")),
    }
}

async fn open_targets(request: &Request, sides: &Sides, supervision: &Supervision) -> Result<Vec<Target>> {
    let role = role(request, &sides.target_table);
    let open = (1..=request.jobs).map(async |worker| {
        let target = Target::open(&request.target, &target_role(&role, worker)).await?;
        supervision.watch(&target);
        Ok::<_, Error>(target)
    });
    try_join_all(open).await
}

fn target_role(role: &str, worker: usize) -> String {
    format!("{role} copy in {worker}")
}

/// The ranges to read again. Where the table is ours, the first and the last reach to its ends, and a row that nobody
/// copied would be seen there too.
fn expected(copied: &[DoneTask], form: &str, made_table: bool, mode: Mode) -> Vec<Expected> {
    let counted = |task: &DoneTask| match mode {
        Mode::Checksum => task.counted(form),
        Mode::None | Mode::Counts => Counted { rows: task.rows, checksum: None },
    };
    let mut expected: Vec<Expected> =
        copied.iter().map(|task| Expected { range: task.range, counted: counted(task) }).collect();
    if made_table {
        expected.first_mut().into_iter().for_each(|first| first.range.from = None);
        expected.last_mut().into_iter().for_each(|last| last.range.until = None);
    }
    expected
}

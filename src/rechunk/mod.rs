//! The conductor of `rechunk`: a hypertable gets another layout in its place, while it is read and written.
//!
//! A new table is made beside the old one; from then on triggers leave a mark for every change. Rows are copied range by
//! range inside the server, each range under a snapshot that takes its marks along; what is marked afterwards is copied
//! again, until little is left. Then the tables change places under a lock.
//!
//! Marks and rows are written by the same transaction, so a snapshot sees a change if and only if it sees its mark. Who
//! reads rows and takes marks under one snapshot leaves exactly the marks of changes that it has not read.
//!
//! **Invariant:** nothing is read from the old table but in a transaction that takes the marks of what it reads.

mod aftermath;
mod aggregates;
mod check;
mod contention;
mod copy;
mod exchange;
mod follow;
mod ground;
mod interval;
mod plan;
mod planned;
mod prepare;
mod report;
mod request;
mod retreat;
mod sample;
mod shape;
mod stale;
mod standing;
mod surroundings;
mod swap;
mod wal;
mod work;

use std::time::Instant;

use self::ground::Ground;
pub(crate) use self::plan::JobPlan;
use self::planned::Planned;
pub use self::report::{MarksReport, PlanReport, RechunkReport, SizedReport, SwapReport};
pub use self::request::{Action, Change, Request};
use self::sample::Sample;
use self::shape::Shape;
use self::work::{Run, Work};
use crate::catalog::read;
use crate::connect::{Side, Target};
use crate::error::{Error, Result};
use crate::ledger::{self, Job, JobState};
use crate::persistence::{Attempt, Persistence};
use crate::plan::{Range, Statement, belongings, policies};
use crate::report::{JobRun, to_json};
use crate::schema;
use crate::supervision::Supervision;
use crate::verify::Mode;
use crate::vigil::{Terms, Vigil};

/// Gives a hypertable another layout, goes on with that, or goes back. What is known is noted in `report` as the work goes
/// on, also when it fails; `announce` is called once, with the plan, before anything is written.
///
/// Dropping the future stops all workers; call [`Supervision::end_all`] then. What was committed stays, stands in the
/// ledger, and is where the same request goes on the next time; changes of the table are noted all the while.
///
/// # Errors
/// [`Kind::Refused`](crate::error::Kind::Refused) for what cannot work, [`Kind::Target`](crate::error::Kind::Target) for a
/// server that says no, [`Kind::Different`](crate::error::Kind::Different) where the new table differs before the swap,
/// [`Kind::Held`](crate::error::Kind::Held) where another run is at it,
/// [`Kind::Resumable`](crate::error::Kind::Resumable) where what may pass did not pass in time.
pub async fn rechunk(
    request: &Request,
    supervision: &Supervision,
    report: &mut RechunkReport,
    announce: impl FnMut(&RechunkReport),
) -> Result<()> {
    let ends = [(Side::Target, &request.database)];
    let persistence = Persistence { supervision, ends: &ends, retry_for: request.retry_for, role: "rechunk end" };
    persistence.run(&mut Rechunk { request, announce, is_announced: false }, report).await
}

/// What is tried again.
struct Rechunk<'a, A> {
    request: &'a Request,
    announce: A,
    is_announced: bool,
}

impl<A: FnMut(&RechunkReport)> Attempt for Rechunk<'_, A> {
    type Report = RechunkReport;

    fn job(report: &mut RechunkReport) -> &mut JobRun {
        &mut report.job
    }

    async fn attempt(&mut self, supervision: &Supervision, report: &mut RechunkReport) -> Result<()> {
        let vigil = Vigil::new(self.request.retry_for);
        let terms = Terms {
            conninfo: self.request.database.clone(),
            side: Side::Target,
            role: "rechunk watch".to_string(),
            patience: self.request.retry_for,
            yield_after: None,
        };
        tokio::select! {
            biased;
            ended = self.work(supervision, report) => ended,
            error = vigil.watch(&terms, &supervision.progress, || supervision.pids(Side::Target)) => Err(error),
        }
    }
}

impl<A: FnMut(&RechunkReport)> Rechunk<'_, A> {
    async fn work(&mut self, supervision: &Supervision, report: &mut RechunkReport) -> Result<()> {
        let request = self.request;
        supervision.interrupt.check()?;
        supervision.progress.phase("looking at the table");
        let ground = Ground::look(request).await?;
        supervision.end_earlier(&ground.target).await?;
        supervision.watch(&ground.found.session);
        supervision.watch(&ground.target);
        report.run.target = Some(ground.report());
        let job = ground.job().await?;
        let run = Run { request, supervision };
        match (&request.action, job) {
            (Action::Run { change, .. }, None) => self.begin(run, &ground, change, report).await,
            (_, None) => Err(no_job(&ground)),
            (Action::Run { change, .. }, Some(job)) => {
                refuse_another_request(&job, change)?;
                go_on(run, &ground, job, report).await
            }
            (Action::Swap, Some(job)) => go_on(run, &ground, job, report).await,
            (Action::Abort | Action::Undo { .. } | Action::DropOld, Some(job)) => {
                go_back(run, &ground, job, report).await
            }
        }
    }

    async fn begin(
        &mut self,
        run: Run<'_>,
        ground: &Ground,
        change: &Change,
        report: &mut RechunkReport,
    ) -> Result<()> {
        let start = Instant::now();
        ground.refuse(change)?;
        run.supervision.progress.phase("planning");
        let layout = async |chunks: &[_]| planned::layout(ground, change, chunks).await;
        let planned = Planned::make(run.request, ground, run.supervision, layout, vec![Range::ALL]).await?;
        let sample = Sample::take(ground, &planned.chunks).await?;
        report.plan = Some(planned.report(run.request, ground, sample.as_ref())?);
        report.run.phase("look and plan", start);
        if !std::mem::replace(&mut self.is_announced, true) {
            (self.announce)(report);
        }
        if run.request.dry_run {
            report.run.planned();
            return Ok(());
        }
        let mut work = prepare::begin(run, ground, change, &planned, report).await?;
        work.advance(JobState::Prepared, Some(planned)).await
    }
}

/// Goes on with a job, up to where it was asked to end.
async fn go_on(run: Run<'_>, ground: &Ground, job: Job, report: &mut RechunkReport) -> Result<()> {
    if is_undone(&job)? {
        return Err(Error::refused(format!("job {} on {} is being undone", job.id.0, ground.name()))
            .hint("Run --undo again to its end."));
    }
    let Some(job) = lock(run, ground, job, report).await? else { return Ok(()) };
    if job.state != JobState::Swapped {
        let now = Shape::read(&ground.target, ground.found.table.oid).await?;
        JobPlan::of(&job)?.shape.refuse_altered(ground.name(), &now)?;
    }
    let mut work = Work::take_over(run, ground, &job, report).await?;
    work.advance(job.state, None).await
}

/// Takes the lock of a job that is there; none where only its state is asked for.
async fn lock(run: Run<'_>, ground: &Ground, job: Job, report: &mut RechunkReport) -> Result<Option<Job>> {
    standing::refuse(ground, &job).await?;
    report.state = Some(job.state.name().to_string());
    if run.request.dry_run {
        report.job.id = Some(job.id);
        report.run.planned();
        return Ok(None);
    }
    standing::lock(ground, &job).await.map(Some)
}

/// Whether a run has ended between the exchange back and the end of the clearing away.
fn is_undone(job: &Job) -> Result<bool> {
    Ok(job.state == JobState::Prepared && JobPlan::of(job)?.swapped.is_some())
}

async fn go_back(run: Run<'_>, ground: &Ground, job: Job, report: &mut RechunkReport) -> Result<()> {
    let is_swapped = job.state == JobState::Swapped;
    let is_undone = is_undone(&job)?;
    let table = ground.name();
    match &run.request.action {
        Action::Abort if is_swapped => {
            return Err(Error::refused(format!("{table} was swapped already by job {}", job.id.0)).hint("Use --undo."));
        }
        Action::Undo { .. } if is_undone => {}
        Action::Undo { .. } | Action::DropOld if !is_swapped => {
            return Err(Error::refused(format!(
                "job {} on {table} is {}, and not swapped",
                job.id.0,
                job.state.name()
            ))
            .hint("Before the swap there is --abort."));
        }
        _ => {}
    }
    let Some(job) = lock(run, ground, job, report).await? else { return Ok(()) };
    let mut work = Work::take_over(run, ground, &job, report).await?;
    match run.request.action {
        Action::Abort | Action::Undo { .. } if is_undone => work.end_undo().await?,
        Action::Abort => work.abort().await?,
        Action::Undo { force } => work.undo(force).await?,
        _ => {
            work.drop_old().await?;
            return work.finish().await;
        }
    }
    let mut report = work.report();
    report.state = None;
    report.run.finish();
    Ok(())
}

fn no_job(ground: &Ground) -> Error {
    Error::refused(format!("no rechunk of {} is under way", ground.name()))
        .hint("\"hypercopy jobs\" lists the jobs of a database; --chunk-interval begins one.")
}

/// An unfinished job goes on only as it was asked for.
fn refuse_another_request(job: &Job, change: &Change) -> Result<()> {
    if plan::request_json(change)? == job.request {
        return Ok(());
    }
    let next = match job.state {
        JobState::Swapped => {
            "Its old table is kept until --drop-old or --undo; then the table can be re-chunked again."
        }
        _ => "Run the command as it was, or --swap, or give it up with --abort.",
    };
    Err(Error::refused(format!(
        "job {} on {} is {} and was asked for otherwise",
        job.id.0,
        job.target_name,
        job.state.name()
    ))
    .hint(next))
}

impl Work<'_> {
    /// Does what is left to do from this state on. `planned` says where rows are, if that is known.
    async fn advance(&mut self, state: JobState, planned: Option<Planned>) -> Result<()> {
        let no_swap = matches!(self.run.request.action, Action::Run { no_swap: true, .. });
        let (mut state, mut planned) = (state, planned);
        loop {
            self.report().state = Some(state.name().to_string());
            state = match state {
                JobState::Prepared => {
                    self.install_capture().await?;
                    JobState::Copying
                }
                JobState::Copying => {
                    wal::flushing(self.run, self.copy(planned.take())).await?;
                    self.set_state(JobState::Finalizing).await?;
                    JobState::Finalizing
                }
                JobState::Finalizing => {
                    wal::flushing(self.run, self.finalize()).await?;
                    self.set_ready().await?;
                    JobState::Ready
                }
                JobState::Ready if no_swap => {
                    self.catch_up().await?;
                    self.put_policies_back().await?;
                    return self.end_ready().await;
                }
                JobState::Ready => {
                    self.swap().await?;
                    JobState::Swapped
                }
                JobState::Swapped | JobState::Finished => {
                    self.follow_swap().await?;
                    return self.end_swapped().await;
                }
            };
        }
    }

    async fn copy(&self, planned: Option<Planned>) -> Result<()> {
        let done = ledger::done_tasks(self.control(), self.claim.job).await?;
        let ranges = Range::ALL.without(done.iter().map(|task| task.range));
        let planned = match planned {
            Some(planned) => planned,
            None => {
                let layout = self.plan.layout.clone();
                let layout = async |_: &[_]| Ok((layout, None));
                Planned::make(self.run.request, self.ground, self.supervision(), layout, ranges).await?
            }
        };
        let first = done.iter().map(|task| task.id).max().unwrap_or_default() + 1;
        self.copy_all(&planned, first).await
    }

    /// Constraints, indexes, statistics, and the comparison with the old table.
    async fn finalize(&mut self) -> Result<()> {
        let start = Instant::now();
        let finisher = self.finisher();
        finisher.run_in_turn(&self.to_do(self.plan.constraints.clone()).await?).await?;
        let chunks = self.new_chunks().await?;
        let builders = schema::index_builders(self.ground.server(), chunks.len() as u64, self.run.request.jobs);
        let indexes = self.to_do(self.plan.indexes.clone()).await?;
        // Neither changes what the other one sees, and sessions that have no index to build have nothing else to do.
        tokio::try_join!(finisher.build_indexes(&indexes, builders), self.verify())?;
        finisher.run_in_turn(&self.behind_indexes().await?).await?;
        self.phase("constraints, indexes and verification", start);
        self.follow_aggregates().await?;
        self.catch_up().await?;
        let start = Instant::now();
        self.supervision().progress.phase("analyzing");
        let plain = Target::open_plain(&self.run.request.database, "rechunk analyze").await?;
        self.supervision().watch(&plain);
        schema::analyze(&self.sessions, &plain, &self.plan.beside(), &chunks).await?;
        self.phase("analyze", start);
        Ok(())
    }

    /// What the new table lacks of the old one's belongings that need indexes.
    async fn behind_indexes(&self) -> Result<Vec<Statement>> {
        let (control, beside) = (self.control(), self.plan.beside());
        let gone = || Error::internal(format!("{beside} is not there any more"));
        let oid = read::resolve_exactly(control, &beside).await?.ok_or_else(gone)?;
        let have = read::belongings(control, oid).await?;
        Ok(belongings::behind_indexes(&have, &self.ground.surroundings.belongings, &beside))
    }

    /// Lets the policies run as before, while the new table is ready.
    async fn put_policies_back(&mut self) -> Result<()> {
        let (control, claim, server) = (&self.ground.target, self.claim, self.ground.server());
        let resumed = JobPlan { policies: self.plan.no_policies(), ..self.plan.clone() };
        schema::durably(control, async || {
            exchange::run(control, &policies::resume(&self.plan.policies, server)).await?;
            ledger::set_plan(control, claim, &resumed.json()?).await
        })
        .await?;
        self.plan = resumed;
        Ok(())
    }

    async fn set_ready(&mut self) -> Result<()> {
        self.plan.verified = Some(self.run.request.verify).filter(|mode| *mode != Mode::None);
        let (control, claim, plan) = (&self.ground.target, self.claim, self.plan.json()?);
        schema::durably(control, async || {
            ledger::set_plan(control, claim, &plan).await?;
            ledger::set_state(control, claim, JobState::Ready).await
        })
        .await
    }

    async fn end_ready(&self) -> Result<()> {
        let sql = format!(
            "select count(distinct bucket), pg_catalog.pg_total_relation_size({}) from {}",
            crate::ident::quote_literal(&self.plan.capture.marks().sql()),
            self.plan.capture.marks().sql()
        );
        let row = self.control().row(&sql, &[]).await?;
        let marks = MarksReport { ranges: row.get::<_, i64>(0) as u64, bytes: row.get::<_, i64>(1) as u64 };
        self.report().marks = Some(marks);
        self.end().await
    }

    async fn end_swapped(&self) -> Result<()> {
        let kept = self.plan.swapped.as_ref().map(|swapped| swapped.away.table.to_string());
        self.report().kept = kept;
        self.end().await
    }

    /// The run is over, and the job is not.
    async fn end(&self) -> Result<()> {
        let control = self.control();
        let done = ledger::done_tasks(control, self.claim.job).await?;
        schema::durably(control, async || ledger::forget_backends(control, self.claim.job).await).await?;
        let mut report = self.report();
        report.rows = done.iter().map(|task| task.rows).sum();
        report.run.finish();
        Ok(())
    }

    /// The job is over.
    async fn finish(&self) -> Result<()> {
        let control = self.control();
        let json = {
            let mut report = self.report();
            report.state = Some(JobState::Finished.name().to_string());
            report.run.finish();
            to_json(&**report)?
        };
        schema::durably(control, async || {
            ledger::forget_backends(control, self.claim.job).await?;
            ledger::set_finished(control, self.claim, &json).await
        })
        .await
    }
}

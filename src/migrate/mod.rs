//! The conductor of `migrate`: look, snapshot, plan, begin, chunks, copy, finalize, verify; and again from the look, as
//! a resumed run, when something failed that may pass.
//!
//! **Invariant:** no SQL of its own beyond a question or two, and no arithmetic: it asks `catalog`, lets `plan` decide,
//! and has the rooms below do what was decided.

mod belongings;
mod identity;
mod look;
mod objects;
mod planned;
mod refusals;
mod request;
mod slices;
mod source;
mod standing;
mod upkeep;
mod work;

use std::time::Instant;

use futures_util::future::select_all;

pub(crate) use self::identity::JobPlan;
use self::look::Sides;
use self::objects::refuse_lacking;
use self::planned::Planned;
use self::request::Asked;
pub use self::request::{IfExists, Origin, Parts, Repair, Request, Resume};
use self::standing::Standing;
use self::work::{Run, Work};
use crate::connect::{Conninfo, Side};
use crate::error::{Context, Error, Kind, Result};
use crate::ident::QualifiedName;
use crate::ledger;
use crate::persistence::{Attempt, Persistence};
use crate::plan::{Layout, Range};
use crate::report::{JobRun, Report};
use crate::supervision::Supervision;
use crate::vigil::{Terms, Vigil};

/// Migrates a hypertable. What is known is noted in `report` as the work goes on, also when it fails; `announce` is
/// called once, with the plan, before anything is written.
///
/// Dropping the future stops all workers; call [`Supervision::end_all`] then. What was committed stays, stands in the
/// ledger, and is where the same request goes on the next time.
///
/// # Errors
/// [`Kind::Refused`] for what cannot work, [`Kind::Source`] and [`Kind::Target`] for servers that say no,
/// [`Kind::Different`] where the two sides differ at the end, [`Kind::Held`] where another run is at it,
/// [`Kind::Resumable`] where what may pass did not pass in time.
pub async fn migrate(
    request: &Request,
    supervision: &Supervision,
    report: &mut Report,
    announce: impl Fn(&Report),
) -> Result<()> {
    let mut is_announced = false;
    let announce = |report: &Report| {
        if !std::mem::replace(&mut is_announced, true) {
            announce(report);
        }
    };
    let ends = request.ends();
    let persistence = Persistence {
        supervision,
        ends: &ends,
        retry_for: request.retry_for,
        role: &format!("{} end", request.kind()),
    };
    persistence.run(&mut Migration { request, announce }, report).await
}

/// What is tried again.
struct Migration<'a, A> {
    request: &'a Request,
    announce: A,
}

impl<A: FnMut(&Report)> Attempt for Migration<'_, A> {
    type Report = Report;

    fn job(report: &mut Report) -> &mut JobRun {
        &mut report.job
    }

    async fn attempt(&mut self, supervision: &Supervision, report: &mut Report) -> Result<()> {
        attempt(self.request, supervision, report, &mut self.announce).await
    }
}

/// One attempt, watched from outside its sessions.
async fn attempt(
    request: &Request,
    supervision: &Supervision,
    report: &mut Report,
    announce: impl FnOnce(&Report),
) -> Result<()> {
    let vigil = Vigil::new(request.retry_for);
    let watch = async |(side, conninfo): (Side, &Conninfo)| {
        let terms = Terms {
            conninfo: conninfo.clone(),
            side,
            role: format!("{} watch", request.kind()),
            patience: request.retry_for,
            yield_after: request.yield_after,
        };
        vigil.watch(&terms, &supervision.progress, || supervision.pids(side)).await
    };
    tokio::select! {
        biased;
        ended = work(Run { request, supervision, vigil: &vigil }, report, announce) => ended,
        (error, ..) = select_all(request.ends().into_iter().map(|end| Box::pin(watch(end)))) => Err(error),
    }
}

async fn work(run: Run<'_>, report: &mut Report, announce: impl FnOnce(&Report)) -> Result<()> {
    let Run { request, supervision, .. } = run;
    let start = Instant::now();
    let progress = &supervision.progress;
    supervision.interrupt.check()?;
    progress.phase("looking at both sides");
    let sides = Sides::look(request).await?;
    for session in sides.source.session().into_iter().chain([&*sides.target]) {
        supervision.end_earlier(session).await?;
        supervision.watch(session);
    }
    report.sides(&sides.source.report(), &sides.target_report());
    let asked = Asked::resolve(request, &sides.axis().await?).await?;
    let standing = find_standing(request, &sides, &asked).await?;
    if let Standing::Finished { job } = &standing {
        return finished_before(job, report);
    }
    let done = done_tasks(&sides, &standing).await?;
    supervision.interrupt.check()?;

    progress.phase("taking the snapshot");
    let repaired = request.repair.iter().flat_map(|repair| &repair.ranges).map(|(range, _)| *range);
    let undivided: Vec<Range> = done.iter().map(|task| task.range).chain(repaired).collect();
    let hold = sides.source.hold(request.jobs, asked.bounds.range, &undivided).await?;
    hold.sessions().into_iter().for_each(|session| supervision.watch(session));
    report.snapshot_at = Some(hold.taken_at().to_string());
    progress.phase("planning");
    let planned = Planned::make(request, &sides, &hold, asked, &standing, done).await?;
    report.plan = Some(planned.report(&sides, &hold, request.jobs));
    report.not_carried = planned.not_carried.clone();
    report.phase("look, snapshot and plan", start);
    announce(report);
    refuse_incomplete(request, &sides, &planned)?;
    if request.dry_run {
        report.planned();
        return Ok(());
    }
    Work::run(run, &sides, &planned, &standing, hold, report).await
}

async fn find_standing(request: &Request, sides: &Sides, asked: &Asked) -> Result<Standing> {
    if sides.place.existing_oid.is_none() && request.parts == Parts::Data {
        return Err(Error::refused(format!("there is no table {} on the target", sides.target_table))
            .hint("--data-only adds rows to a table that is there: make it, or restore without the flag."));
    }
    if sides.place.existing_oid.is_none() && request.repair.is_none() {
        return Ok(Standing::New { forget: None });
    }
    let source = sides.source.describe().await?;
    let layout = Layout::resolve(&source, &asked.partitioning, sides.source.encoding())?;
    Standing::find(request, sides, asked, &source, &layout).await
}

/// What the ledger says is done.
async fn done_tasks(sides: &Sides, standing: &Standing) -> Result<Vec<ledger::DoneTask>> {
    match standing {
        Standing::Unfinished { job, .. } => ledger::done_tasks(&sides.target, job.id).await,
        _ => Ok(Vec::new()),
    }
}

fn refuse_incomplete(request: &Request, sides: &Sides, planned: &Planned) -> Result<()> {
    refuse_lacking(&planned.lacking, &sides.source.table().name)?;
    if !request.strict || planned.not_carried.is_empty() {
        return Ok(());
    }
    Err(Error::refused(format!(
        "{} things of {} would not be carried",
        planned.not_carried.len(),
        sides.source.table().name
    ))
    .hint("They are listed above. Without --strict they are left out and listed."))
}

/// The report of the run that has finished the job, with the time when it did.
fn finished_before(job: &ledger::Job, report: &mut Report) -> Result<()> {
    if let Some(json) = &job.report {
        *report = serde_json::from_value(json.clone())
            .doing(Kind::Internal, || format!("cannot read the report of job {}", job.id.0))?;
    }
    report.job.id = Some(job.id);
    report.job.finished_at = job.finished_at.clone();
    Ok(())
}

/// What `pg_stat_activity` shows of us, without our own name.
fn role(request: &Request, table: &QualifiedName) -> String {
    format!("{} {table}", request.kind())
}

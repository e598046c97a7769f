//! The conductor of `dump`: look, snapshot, plan, begin, compare, copy, settle, verify, complete; and again from the look, as
//! a resumed run, when something failed that may pass.
//!
//! The ledger is in the archive, and whoever has its lock has the job. What is there of earlier runs, and what a base has,
//! is compared with the source under the new snapshot and kept where it is the same.
//!
//! **Invariant:** no SQL of its own beyond a sample, and no row: it asks `catalog` and `archive`, lets `plan` decide, and has
//! the rooms below do what was decided.

mod base;
mod compare;
mod place;
mod planned;
mod report;
mod request;
mod sample;
mod schema;
mod work;

use std::sync::Arc;
use std::time::Instant;

use self::base::open_base;
use self::place::{Place, Standing};
use self::planned::Planned;
pub use self::report::{DumpPlanReport, DumpReport};
pub use self::request::{Request, RowFormat};
use self::work::{Run, Work};
use crate::connect::Side;
use crate::error::{Error, Result};
use crate::look::{Bounds, Found};
use crate::persistence::{Attempt, Persistence};
use crate::plan::Range;
use crate::reader::snapshot::{Snapshot, Subject};
use crate::report::JobRun;
use crate::supervision::Supervision;
use crate::vigil::{Terms, Vigil};

/// Dumps a hypertable into a directory. What is known is noted in `report` as the work goes on, also when it fails;
/// `announce` is called once, with the plan, before anything is written.
///
/// Dropping the future stops all workers; call [`Supervision::end_all`] then. Segments that are whole stay, stand in the
/// ledger of the directory, and are where the same request goes on the next time.
///
/// # Errors
/// [`Kind::Refused`](crate::error::Kind::Refused) for what cannot work, [`Kind::Source`](crate::error::Kind::Source) where
/// the server says no and [`Kind::Target`](crate::error::Kind::Target) where the directory does,
/// [`Kind::Held`](crate::error::Kind::Held) where another dump is at work there,
/// [`Kind::Resumable`](crate::error::Kind::Resumable) for a full disk, and where what may pass did not pass in time.
pub async fn dump(
    request: &Request,
    supervision: &Supervision,
    report: &mut DumpReport,
    announce: impl Fn(&DumpReport),
) -> Result<()> {
    let ends = [(Side::Source, &request.source)];
    let persistence = Persistence { supervision, ends: &ends, retry_for: request.retry_for, role: "dump end" };
    let mut dump = Dump { request, announce, is_announced: false, place: Place::look(request)? };
    persistence.run(&mut dump, report).await
}

/// What is tried again. The lock on the ledger is held all the time.
struct Dump<'a, A> {
    request: &'a Request,
    announce: A,
    is_announced: bool,
    place: Place,
}

impl<A: Fn(&DumpReport)> Attempt for Dump<'_, A> {
    type Report = DumpReport;

    fn job(report: &mut DumpReport) -> &mut JobRun {
        &mut report.job
    }

    /// One attempt, watched from outside its sessions.
    async fn attempt(&mut self, supervision: &Supervision, report: &mut DumpReport) -> Result<()> {
        let request = self.request;
        let vigil = Vigil::new(request.retry_for);
        let terms = Terms {
            conninfo: request.source.clone(),
            side: Side::Source,
            role: "dump watch".to_string(),
            patience: request.retry_for,
            yield_after: request.yield_after,
        };
        let run = Run { request, supervision, vigil: &vigil };
        tokio::select! {
            biased;
            ended = self.work(run, report) => ended,
            error = vigil.watch(&terms, &supervision.progress, || supervision.pids(Side::Source)) => Err(error),
        }
    }
}

impl<A: Fn(&DumpReport)> Dump<'_, A> {
    async fn work(&mut self, run: Run<'_>, report: &mut DumpReport) -> Result<()> {
        let Run { request, supervision, .. } = run;
        let (start, progress) = (Instant::now(), &supervision.progress);
        supervision.interrupt.check()?;
        progress.phase("looking at the source");
        let source = Found::look(Side::Source, &request.source, "dump look", &request.table).await?;
        supervision.end_earlier(&source.session).await?;
        supervision.watch(&source.session);
        report.source = Some(source.report());
        report.archive = Some(request.output.display().to_string());
        let bounds = Bounds::resolve(&source.axis().await?, request.from.as_deref(), request.until.as_deref()).await?;
        let base = open_base(request)?.map(Arc::new);
        let standing = self.place.standing(request)?;
        if let Standing::Finished(manifest) = &standing {
            let definition = source.describe(&source.session).await?;
            planned::refuse_another_request(request, &source, &definition, bounds.range, base.as_deref(), manifest)?;
            self.place.tidy()?;
            report.finished_before(manifest);
            return Ok(());
        }

        supervision.interrupt.check()?;
        progress.phase("taking the snapshot");
        let candidates = planned::candidates(&standing, base.as_deref(), bounds.range);
        let undivided: Vec<Range> = candidates.iter().map(|candidate| candidate.segment.range).collect();
        let subject =
            Subject { undivided: &undivided, ..source.subject(&request.source, request.jobs, bounds.range, "dump") };
        let snapshot = Snapshot::take(&subject).await?;
        snapshot.workers.iter().chain([&snapshot.leader]).for_each(|session| supervision.watch(session));
        report.snapshot_at = Some(snapshot.taken_at.clone());
        progress.phase("planning");
        let planned =
            Planned::make(request, &source, &snapshot, bounds, &standing, base.as_deref(), candidates).await?;
        report.plan = Some(planned.report(request, &source, &snapshot).await?);
        report.not_carried = planned.not_carried.clone();
        report.phase("look, snapshot and plan", start);
        if !std::mem::replace(&mut self.is_announced, true) {
            (self.announce)(report);
        }
        refuse_incomplete(request, &planned)?;
        if request.dry_run {
            report.planned();
            return Ok(());
        }
        supervision.interrupt.check()?;
        let (directory, partial) = self.place.begin(&standing, &planned.header)?;
        report.job.has_begun = true;
        Work { run, planned: &planned, base, directory, partial }.run(snapshot, report).await
    }
}

fn refuse_incomplete(request: &Request, planned: &Planned) -> Result<()> {
    if !request.strict || planned.not_carried.is_empty() {
        return Ok(());
    }
    let (count, table) = (planned.not_carried.len(), planned.source.name());
    Err(Error::refused(format!("{count} things of {table} would not be in the archive"))
        .hint("They are listed above. Without --strict they are left out and listed."))
}

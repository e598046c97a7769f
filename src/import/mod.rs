//! The conductor of `import`: look, plan, begin, load, settle, indexes; and again from the look, as a resumed run, when
//! something failed that may pass.
//!
//! **Invariant:** no bytes of CSV are looked into here, and no rows are written: `reader::csv` and `writer::block` do
//! that, and `pipeline::load` brings them together.

mod columns;
mod create;
mod identity;
mod look;
mod planned;
mod rejects;
mod report;
mod request;
mod standing;
mod work;

use std::sync::Arc;
use std::time::Instant;

use tokio_postgres::error::SqlState;

use self::look::Ground;
pub(crate) use self::planned::JobPlan;
use self::planned::{Planned, SAMPLE_BYTES};
pub use self::report::{ColumnReport, FileReport, ImportPlan, ImportReport};
pub use self::request::{Create, Header, OnConflict, Request};
use self::standing::Standing;
use self::work::Run;
use crate::connect::{Side, Target};
use crate::error::{Context, Error, Kind, Result};
use crate::input::{self, Input};
use crate::ledger::{DoneBlock, Job, Stretch};
use crate::persistence::{Attempt, Persistence};
use crate::reader::csv::cut::{Cutter, File, Opened};
use crate::reader::csv::preamble::{Preamble, Shape, shown};
use crate::report::JobRun;
use crate::supervision::Supervision;
use crate::vigil::{Terms, Vigil};

/// Imports files into a hypertable. What is known is noted in `report` as the work goes on, also when it fails;
/// `announce` is called once, with the plan, before anything is written.
///
/// Dropping the future stops all workers; call [`Supervision::end_all`] then. What was committed stays, stands in the
/// ledger, and is where the same request goes on the next time.
///
/// # Errors
/// [`Kind::Refused`] for what cannot work, [`Kind::Input`] for records or bytes that are bad, [`Kind::Target`] for a
/// server that says no, [`Kind::Held`] where another run is at it, [`Kind::Resumable`] where what may pass did not pass
/// in time.
pub async fn import(
    request: &Request,
    supervision: &Supervision,
    report: &mut ImportReport,
    announce: impl FnMut(&ImportReport),
) -> Result<()> {
    supervision.progress.phase("looking at the files");
    let inputs: Vec<Arc<Input>> = input::find(&request.files)?.into_iter().map(Arc::new).collect();
    let ends = [(Side::Target, &request.target)];
    let persistence = Persistence { supervision, ends: &ends, retry_for: request.retry_for, role: "import end" };
    let mut import = Import { request, inputs, announce, is_announced: false, preamble: Vec::new() };
    import.refuse_own_rejects()?;
    let ended = persistence.run(&mut import, report).await;
    let written = import.write_rejects(report).await;
    ended.and(written)
}

/// What is tried again.
struct Import<'a, A> {
    request: &'a Request,
    inputs: Vec<Arc<Input>>,
    announce: A,
    is_announced: bool,
    /// What stands before the records of the first file.
    preamble: Vec<u8>,
}

impl<A: FnMut(&ImportReport)> Attempt for Import<'_, A> {
    type Report = ImportReport;

    fn job(report: &mut ImportReport) -> &mut JobRun {
        &mut report.job
    }

    async fn attempt(&mut self, supervision: &Supervision, report: &mut ImportReport) -> Result<()> {
        let vigil = Vigil::new(self.request.retry_for);
        let terms = Terms {
            conninfo: self.request.target.clone(),
            side: Side::Target,
            role: "import watch".to_string(),
            patience: self.request.retry_for,
            yield_after: None,
        };
        let has_streams = self.inputs.iter().any(|input| input.fingerprint().is_none());
        let ended = tokio::select! {
            biased;
            ended = self.work(supervision, &vigil, report) => ended,
            error = vigil.watch(&terms, &supervision.progress, || supervision.pids(Side::Target)) => Err(error),
        };
        ended.map_err(|error| match has_streams && report.job.has_begun && error.is_retryable() {
            true => read_once(error),
            false => error,
        })
    }
}

/// A stream that was read in part is of no use to another attempt of this process.
fn read_once(error: Error) -> Error {
    error
        .with_kind(Kind::Resumable)
        .given_up()
        .hint("What comes through a pipe cannot be read again: run the same command with the same input.")
}

impl<A: FnMut(&ImportReport)> Import<'_, A> {
    async fn work(&mut self, supervision: &Supervision, vigil: &Vigil, report: &mut ImportReport) -> Result<()> {
        let start = Instant::now();
        let (request, progress) = (self.request, &supervision.progress);
        supervision.interrupt.check()?;
        progress.phase("looking at the target");
        let ground = Ground::look(request).await?;
        supervision.end_earlier(&ground.target).await?;
        supervision.watch(&ground.target);
        report.target = Some(ground.report());
        progress.phase("looking at the files");
        let (opened, preamble) = open_first(&self.inputs, planned::shape(request)).await?;
        let mut planned = Planned::make(request, &self.inputs, &ground, &opened, preamble).await?;
        self.preamble = planned.preamble.text();
        ground.refuse_missing_privileges(request, &planned.columns).await?;
        let (standing, opened) = Standing::find(&ground, &planned.identity, opened, request.dry_run).await?;
        let done = match standing {
            Standing::Finished { job } => {
                refuse_gone(&ground, &job).await?;
                return finished_before(&job, report);
            }
            Standing::Alike { job, done } => {
                compare(self.inputs.clone(), request, &planned, opened, &job, done).await?;
                return finished_before(&job, report);
            }
            Standing::New => {
                refuse_existing(request, &ground)?;
                planned.decide_ddl(request, &ground).await?;
                0
            }
            Standing::Unfinished { ref done, .. } => done.len(),
        };
        report.plan = Some(planned.report(request, &self.inputs, done));
        report.phase("look and plan", start);
        if !std::mem::replace(&mut self.is_announced, true) {
            (self.announce)(report);
        }
        if request.dry_run {
            report.run.planned();
            return Ok(());
        }
        let run = Run { request, inputs: &self.inputs, supervision, vigil };
        work::work(run, &ground, &planned, standing, opened, report).await
    }

    /// What is left out would be written over what was read.
    fn refuse_own_rejects(&self) -> Result<()> {
        let Some(path) = &self.request.rejects else { return Ok(()) };
        let written = [path.clone(), rejects::reasons_path(path)];
        let own = |path: &&std::path::PathBuf| self.inputs.iter().any(|input| input.is_at(path));
        match written.iter().find(own) {
            None => Ok(()),
            Some(path) => Err(Error::refused(format!("the rejects would be written over {}", path.display()))
                .hint("It is imported itself: name another file with --rejects.")),
        }
    }

    /// Whatever has ended the run, what was left out until then can be looked at.
    async fn write_rejects(&self, report: &mut ImportReport) -> Result<()> {
        let (Some(path), Some(job), false) = (&self.request.rejects, report.job.id, self.request.dry_run) else {
            return Ok(());
        };
        let session = Target::open(&self.request.target, "import rejects").await?;
        let files: Vec<String> = self.inputs.iter().map(|input| shown(input.name()).to_string()).collect();
        rejects::write(&session, job, path, &self.preamble, &files).await?;
        report.rejects_file = Some(path.display().to_string());
        Ok(())
    }
}

/// Reads the beginning of the first file; may wait for whoever writes into a pipe.
async fn open_first(inputs: &[Arc<Input>], shape: Shape) -> Result<(Opened, Preamble)> {
    let first = Arc::clone(&inputs[0]);
    let open = move || {
        let mut opened = Opened::new(&first, SAMPLE_BYTES)?;
        let preamble = opened.preamble(&shape)?;
        Ok((opened, preamble))
    };
    blocking(open).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.doing(Kind::Internal, || "a thread that reads ended without an answer")?
}

/// Reads a stream to its end, which has begun as one that is in.
///
/// # Errors
/// [`Kind::Refused`] where it goes on otherwise: part of it is in, and part of it is not.
async fn compare(
    inputs: Vec<Arc<Input>>,
    request: &Request,
    planned: &Planned,
    opened: Opened,
    job: &Job,
    done: Vec<DoneBlock>,
) -> Result<()> {
    let done: Vec<Stretch> = done.into_iter().map(|block| block.stretch).collect();
    let mut opened = Some(opened);
    let files = inputs.into_iter().zip(1..).map(|(input, number)| File {
        input,
        opened: opened.take(),
        done: done.iter().filter(|stretch| stretch.file == number).cloned().collect(),
    });
    let cutter = Cutter {
        files: files.collect(),
        shape: planned.shape.clone(),
        block_bytes: planned.block_bytes,
        limit: request.limit,
        rooms: Cutter::rooms(planned.block_bytes),
        check: Box::new(|_, _, _| Ok(())),
        heard: Box::new(|_| ()),
    };
    let read = move || {
        let mut is_longer = false;
        let cut = cutter.cut(|_| {
            is_longer = true;
            false
        });
        cut.map(|_| is_longer)
    };
    match blocking(read).await {
        Ok(false) => Ok(()),
        Err(error) if error.kind() != Kind::Refused => Err(error),
        Ok(true) | Err(_) => Err(Error::refused(format!(
            "the input begins with what job {} has imported at {}, and goes on otherwise",
            job.id.0,
            job.finished_at.as_deref().unwrap_or_default()
        ))
        .hint("Leave out what is in already; or import all of it, a second time, with --import-id.")),
    }
}

/// A table is made where there is none.
fn refuse_existing(request: &Request, ground: &Ground) -> Result<()> {
    match (&request.create, &ground.existing) {
        (Some(_), Some(_)) => Err(Error::refused(format!("{} exists", ground.table))
            .hint("Without --create-hypertable the files are imported into it.")),
        _ => Ok(()),
    }
}

/// What was imported may have been taken away since: then it is not "already imported".
async fn refuse_gone(ground: &Ground, job: &Job) -> Result<()> {
    let sql = format!("select exists (select from {})", ground.table.sql());
    let has_rows = match ground.target.row(&sql, &[]).await {
        // A role that may only write sees nothing.
        Err(error) if error.sqlstate() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => return Ok(()),
        row => row?.get(0),
    };
    if job.rows == 0 || has_rows {
        return Ok(());
    }
    Err(Error::refused(format!(
        "job {} has imported this into {} at {}, and the table is empty now",
        job.id.0,
        ground.table,
        job.finished_at.as_deref().unwrap_or_default()
    ))
    .hint("To import it once more, add --import-id, or forget the job with \"hypercopy jobs clean\"."))
}

/// The report of the run that has finished the job, with the time when it did.
fn finished_before(job: &Job, report: &mut ImportReport) -> Result<()> {
    if let Some(json) = &job.report {
        *report = serde_json::from_value(json.clone())
            .doing(Kind::Internal, || format!("cannot read the report of job {}", job.id.0))?;
    }
    report.job.id = Some(job.id);
    report.job.finished_at = job.finished_at.clone();
    Ok(())
}

/// What `pg_stat_activity` shows of us, without our own name.
fn role(what: &str, table: &str) -> String {
    format!("{what} {table}")
}

impl ImportReport {
    /// Adds to an error of a run that has begun a job how it goes on. `command` is the one that was run.
    pub fn explain_resumption(&self, error: Error, command: &str) -> Error {
        let Some(job) = self.job.unfinished() else { return error };
        let next = match error.kind() {
            Kind::Held => return error,
            Kind::Input => format!(
                "Job {id} has stored {} rows and left out {} records. The same command goes on from there; \"hypercopy jobs \
                 clean {id}\" forgets the job, whose rows stay:\n    {command}",
                self.rows,
                self.rejected,
                id = job.0
            ),
            _ => format!(
                "Job {} keeps what it has committed: run the same command again to go on:\n    {command}",
                job.0
            ),
        };
        let hint = error.hint_text().map(|hint| format!("{hint} {next}"));
        error.hint(hint.unwrap_or(next))
    }
}

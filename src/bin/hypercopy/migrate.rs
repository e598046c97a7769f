//! `hypercopy migrate`.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use hypercopy::connect::Cancellers;
use hypercopy::error::{Context, Error, Kind, Result};
use hypercopy::migrate::{Migration, Request};
use hypercopy::progress::Progress;
use hypercopy::report::Report;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{MigrateArguments, OutputArguments};
use crate::{output, watch};

pub async fn run(arguments: Box<MigrateArguments>) -> Result<()> {
    let request = arguments.request()?;
    refuse_unwritable(arguments.output.report.as_deref())?;
    execute(request, arguments.dry_run, &arguments.output).await
}

/// Plans, and unless it is a dry run copies, with progress and report as asked for.
pub async fn execute(request: Request, dry_run: bool, options: &OutputArguments) -> Result<()> {
    let progress = Arc::new(Progress::default());
    let mut report = Report::default();
    let cancellers = Cancellers::default();
    let watcher = watch::start(Arc::clone(&progress), options);
    let ended = tokio::select! {
        ended = work(request, dry_run, &cancellers, &progress, &mut report, &watcher) => ended,
        signal = interrupted() => Err(signal),
    };
    if ended.is_err() {
        cancellers.cancel_all().await;
    }
    watcher.stop();
    let ended = ended.map_err(|error| report.explain_leftovers(error));
    if let Err(error) = &ended {
        report.fail(error);
    }
    output::report(&report, options)?;
    ended
}

async fn work(
    request: Request,
    dry_run: bool,
    cancellers: &Cancellers,
    progress: &Arc<Progress>,
    report: &mut Report,
    watcher: &watch::Watcher,
) -> Result<()> {
    let migration = Migration::plan(request, cancellers.clone(), progress, report).await;
    // What would not be carried is shown before anything is written, also where --strict refuses because of it.
    watcher.print(&output::plan_notes(report));
    let migration = migration?;
    if dry_run {
        report.planned();
        return Ok(());
    }
    migration.run(Arc::clone(progress), report).await
}

async fn interrupted() -> Error {
    let (mut interrupt, mut terminate) = match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
        (Err(error), _) | (_, Err(error)) => return Error::internal("cannot listen to signals").caused_by(error),
    };
    let (name, number) = tokio::select! {
        _ = interrupt.recv() => ("SIGINT", 2),
        _ = terminate.recv() => ("SIGTERM", 15),
    };
    Error::new(Kind::Signal(number), format!("interrupted by {name}"))
}

/// A report that cannot be written should be known before hours of work.
fn refuse_unwritable(report: Option<&Path>) -> Result<()> {
    let Some(path) = report else { return Ok(()) };
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .and_then(|mut file| file.flush())
        .doing(Kind::Usage, || format!("cannot write the report to {}", path.display()))
}

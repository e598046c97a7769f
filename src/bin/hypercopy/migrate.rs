//! `hypercopy migrate`.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hypercopy::error::{Context, Error, Kind, Result};
use hypercopy::interrupt::Interrupt;
use hypercopy::migrate::{Request, Supervision, migrate};
use hypercopy::report::Report;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{MigrateArguments, OutputArguments};
use crate::{output, watch};

pub async fn run(arguments: Box<MigrateArguments>) -> Result<()> {
    let request = arguments.request()?;
    refuse_unwritable(arguments.output.report.as_deref())?;
    execute(request, arguments.grace, &arguments.output).await
}

/// Plans, and unless it is a dry run copies, with progress and report as asked for.
pub async fn execute(request: Request, grace: Duration, options: &OutputArguments) -> Result<()> {
    let mut report = Report::default();
    let supervision = Supervision::default();
    let watcher = watch::start(Arc::clone(&supervision.progress), options);
    // What would not be carried is shown before anything is written, also where --strict refuses because of it.
    let announce = |report: &Report| watcher.print(&output::plan_notes(report));
    let ended = tokio::select! {
        biased;
        ended = migrate(&request, &supervision, &mut report, announce) => ended,
        stopped = stopped(&supervision.interrupt, grace, &watcher) => {
            supervision.end_all(&request).await;
            Err(stopped)
        }
    };
    watcher.stop();
    let ended = ended.map_err(|error| report.explain_resumption(error, &output::command()));
    if let Err(error) = &ended {
        report.fail(error);
    }
    output::report(&report, options)?;
    ended
}

/// Hears signals: the first one asks for a stop, and is answered here when nothing is left that is worth waiting for, or
/// after `grace`; the second one is answered at once.
async fn stopped(interrupt: &Interrupt, grace: Duration, watcher: &watch::Watcher) -> Error {
    let (mut int, mut term) = match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(int), Ok(term)) => (int, term),
        (Err(error), _) | (_, Err(error)) => return Error::internal("cannot listen to signals").caused_by(error),
    };
    let mut next = async || {
        tokio::select! {
            _ = int.recv() => 2,
            _ = term.recv() => 15,
        }
    };
    interrupt.request(next().await);
    if interrupt.is_open() {
        watcher.print(&format!(
            "stopping: open transactions get {} to end, a second signal stops at once",
            output::duration(grace)
        ));
        tokio::select! {
            () = tokio::time::sleep(grace) => {}
            _ = next() => {}
        }
    }
    interrupt.requested().await
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

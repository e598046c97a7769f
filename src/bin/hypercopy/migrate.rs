//! `hypercopy migrate`.

use std::sync::Arc;
use std::time::Duration;

use hypercopy::error::{Error, Result};
use hypercopy::interrupt::Interrupt;
use hypercopy::migrate::{Request, migrate};
use hypercopy::report::Report;
use hypercopy::supervision::Supervision;

use crate::args::{MigrateArguments, OutputArguments};
use crate::signals::Signals;
use crate::{output, watch};

pub async fn run(arguments: Box<MigrateArguments>) -> Result<()> {
    let request = arguments.request()?;
    output::refuse_unwritable(arguments.output.report.as_deref())?;
    execute(request, arguments.grace, &arguments.output).await
}

/// Plans, and unless it is a dry run copies, with progress and report as asked for.
pub async fn execute(request: Request, grace: Duration, options: &OutputArguments) -> Result<()> {
    let mut report = Report::default();
    let ended = work(&request, grace, options, &mut report).await;
    output::report(&report, output::migration(&report, options.verbose), options)?;
    ended
}

/// The same, and leaves the report to the caller.
pub async fn work(request: &Request, grace: Duration, options: &OutputArguments, report: &mut Report) -> Result<()> {
    let supervision = Supervision::default();
    let watcher = watch::start(Arc::clone(&supervision.progress), options);
    // What would not be carried is shown before anything is written, also where --strict refuses because of it.
    let announce = |report: &Report| watcher.print(&output::plan_notes(report));
    let ended = tokio::select! {
        biased;
        ended = migrate(request, &supervision, report, announce) => ended,
        stopped = stopped(&supervision.interrupt, grace, &watcher) => {
            supervision.end_all(&request.source, &request.target, "migrate end").await;
            Err(stopped)
        }
    };
    watcher.stop();
    let ended = ended.map_err(|error| report.explain_resumption(error, &output::command()));
    if let Err(error) = &ended {
        report.fail(error);
    }
    ended
}

/// Hears signals: the first one asks for a stop, and is answered here when nothing is left that is worth waiting for, or
/// after `grace`; the second one is answered at once.
async fn stopped(interrupt: &Interrupt, grace: Duration, watcher: &watch::Watcher) -> Error {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return error,
    };
    interrupt.request(signals.next().await);
    if interrupt.is_open() {
        watcher.print(&format!(
            "stopping: open transactions get {} to end, a second signal stops at once",
            output::duration(grace)
        ));
        tokio::select! {
            () = tokio::time::sleep(grace) => {}
            _ = signals.next() => {}
        }
    }
    interrupt.requested().await
}

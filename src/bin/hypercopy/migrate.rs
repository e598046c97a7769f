//! `hypercopy migrate`.

use std::sync::Arc;

use hypercopy::connect::Cancellers;
use hypercopy::error::Result;
use hypercopy::migrate::{Migration, Request};
use hypercopy::progress::Progress;
use hypercopy::report::Report;

use crate::args::{MigrateArguments, OutputArguments};
use crate::{output, signals, watch};

pub async fn run(arguments: Box<MigrateArguments>) -> Result<()> {
    let request = arguments.request()?;
    output::refuse_unwritable(arguments.output.report.as_deref())?;
    execute(request, arguments.dry_run, &arguments.output).await
}

/// Plans, and unless it is a dry run copies, with progress and report as asked for.
pub async fn execute(request: Request, dry_run: bool, options: &OutputArguments) -> Result<()> {
    let progress = Arc::new(Progress::default());
    let mut report = Report::default();
    let cancellers = Cancellers::default();
    let watcher = watch::start(Arc::clone(&progress), options);
    let work = work(request, dry_run, &cancellers, &progress, &mut report, &watcher);
    let ended = signals::until_signal(work, &cancellers).await;
    watcher.stop();
    let ended = ended.map_err(|error| report.explain_leftovers(error));
    if let Err(error) = &ended {
        report.fail(error);
    }
    output::report(&report, output::migration(&report, options.verbose), options)?;
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

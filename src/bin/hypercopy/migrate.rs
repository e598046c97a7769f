//! `hypercopy migrate`.

use std::time::Duration;

use hypercopy::error::Result;
use hypercopy::migrate::{Request, migrate};
use hypercopy::report::Report;

use crate::args::{MigrateArguments, OutputArguments};
use crate::output;
use crate::work::{Terms, supervised};

pub async fn run(arguments: Box<MigrateArguments>) -> Result<()> {
    let request = arguments.request()?;
    output::refuse_unwritable("the report", arguments.output.report.as_deref())?;
    execute(request, arguments.job.patience.grace, &arguments.output).await
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
    let terms = Terms { ends: &request.ends(), role: &format!("{} end", request.kind()), grace };
    let ended = supervised(&terms, options, async |supervision, watcher| {
        // What would not be carried is shown before anything is written, also where --strict refuses because of it.
        migrate(request, supervision, report, |report| watcher.print(&output::plan_notes(report))).await
    });
    let ended = ended.await.map_err(|error| report.explain_resumption(error, &output::command()));
    if let Err(error) = &ended {
        report.fail(error);
    }
    ended
}

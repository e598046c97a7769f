//! `hypercopy rechunk`.

use std::time::Duration;

use hypercopy::connect::Side;
use hypercopy::error::{Error, Kind, Result};
use hypercopy::rechunk::{PlanReport, RechunkReport, SwapReport, rechunk};
use hypercopy::report::Outcome;

use crate::args::RechunkArguments;
use crate::output::{self, bytes, count, counted, ddl, duration, ends, engine, field, phases};
use crate::work::{Terms, supervised};

pub async fn run(arguments: Box<RechunkArguments>) -> Result<()> {
    let (request, options) = (arguments.request()?, &arguments.output);
    output::refuse_unwritable("the report", options.report.as_deref())?;
    let mut report = RechunkReport::default();
    let ends = [(Side::Target, &request.database)];
    let terms = Terms { ends: &ends, role: "rechunk end", grace: arguments.patience.grace };
    let ended = supervised(&terms, options, async |supervision, watcher| {
        rechunk(&request, supervision, &mut report, |report| watcher.print(&announcement(report))).await
    });
    let ended = ended.await.map_err(|error| explain(&report, error));
    if let Err(error) = &ended {
        report.fail(error);
    }
    output::report(&report, text(&report, options.verbose), options)?;
    ended
}

/// Adds to an error of a run that has begun a job how it goes on.
fn explain(report: &RechunkReport, error: Error) -> Error {
    let Some(job) = report.job.unfinished().filter(|_| error.kind() != Kind::Held) else { return error };
    let (then, way_back) = match report.state.as_deref() {
        Some("swapped") => ("the new table has the name", "--undo to go back"),
        _ => ("changes of the table are followed", "--abort to give it up"),
    };
    let next = format!(
        "Job {} keeps what it has committed, and {then}: run the same command again to go on, or with {way_back}:\n    {}",
        job.0,
        output::command()
    );
    let hint = error.hint_text().map(|hint| format!("{hint} {next}"));
    match error.kind() {
        Kind::Refused => error,
        _ => error.hint(hint.unwrap_or(next)),
    }
}

fn announcement(report: &RechunkReport) -> String {
    let Some(plan) = &report.plan else { return String::new() };
    format!(
        "{} becomes {}: {} chunks become {}, {} of new files",
        plan.old_layout,
        plan.new_layout,
        count(plan.old_chunks as u64),
        count(plan.new_chunks),
        bytes(plan.disk_bytes)
    )
}

/// A run for people; none of one that has failed.
fn text(report: &RechunkReport, verbose: bool) -> Option<String> {
    match report.outcome {
        Outcome::Planned => Some(planned(report)),
        Outcome::Finished => Some(summary(report, verbose)),
        Outcome::Failed | Outcome::Running => None,
    }
}

fn planned(report: &RechunkReport) -> String {
    let mut text = String::new();
    ends(&mut text, report);
    match &report.plan {
        Some(plan) => {
            shape(&mut text, plan);
            ddl(&mut text, &plan.before_rows, &plan.after_rows);
        }
        None => field(&mut text, "state", report.state.as_deref().unwrap_or("no job")),
    }
    text
}

fn shape(text: &mut String, plan: &PlanReport) {
    let mut line = |name: &str, value: String| field(text, name, &value);
    line("layout", format!("{} becomes {}", plan.old_layout, plan.new_layout));
    if let Some(sized) = &plan.sized {
        line(
            "interval",
            format!(
                "{}: {} of table and indexes over {} make about {} in a chunk",
                sized.interval,
                bytes(sized.total_bytes),
                sized.covered,
                bytes(sized.bytes)
            ),
        );
    }
    line("chunks", format!("{} become {}", count(plan.old_chunks as u64), count(plan.new_chunks)));
    line("rows", format!("about {}", count(plan.estimated_rows)));
    if let (Some(seconds), Some(rows)) = (plan.estimated_seconds, plan.sample_rows) {
        let about = duration(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
        line("takes", format!("about {about}, by a sample of {} rows, and longer beside other work", count(rows)));
    }
    line("needs", format!("{} of disk, {} of WAL at least", bytes(plan.disk_bytes), bytes(plan.wal_bytes)));
    line("changes", format!("noted {}", plan.capture));
    for lock in &plan.locks {
        line("lock", lock.clone());
    }
    for user in &plan.users {
        line("used by", user.clone());
    }
    for cost in &plan.aggregates {
        line("aggregate", cost.clone());
    }
}

fn summary(report: &RechunkReport, verbose: bool) -> String {
    let table = report.target.as_ref().map(|end| end.table.as_str()).unwrap_or_default();
    let seconds = duration(Duration::from_secs_f64(report.seconds));
    let mut text = match report.state.as_deref() {
        Some("ready") => format!("the new table of {table} is ready, {} rows, in {seconds}\n", count(report.rows)),
        Some("swapped") => format!("{table} is re-chunked, {} rows, in {seconds}\n", count(report.rows)),
        Some("finished") => format!("the old table of {table} is dropped, in {seconds}\n"),
        _ => format!("{table} is as it was before, in {seconds}\n"),
    };
    ends(&mut text, report);
    if let Some(plan) = &report.plan {
        shape(&mut text, plan);
    }
    let mut line = |name: &str, value: String| field(&mut text, name, &value);
    match report.state.as_deref() {
        Some("ready") => line("state", "ready: \"--swap\" goes on, \"--abort\" gives it up".to_string()),
        Some(state) => line("state", state.to_string()),
        None => {}
    }
    if let Some(verification) = report.verification.as_ref().filter(|verification| verification.ranges > 0) {
        line("verified", format!("by {}, {}", verification.mode, counted(verification.ranges as u64, "range")));
    }
    if let Some(marks) = &report.marks {
        line("marks", format!("{}, {}", counted(marks.ranges, "range"), bytes(marks.bytes)));
    }
    if let Some(swap) = &report.swap {
        swapped(&mut text, swap);
    }
    if report.compressed_chunks > 0 {
        field(&mut text, "compressed", &counted(report.compressed_chunks, "chunk"));
    }
    if let Some(kept) = &report.kept {
        field(&mut text, "old table", &format!("{kept}, until --drop-old or --undo"));
    }
    phases(&mut text, report);
    engine(&mut text, report);
    if let (true, Some(plan)) = (verbose, &report.plan) {
        ddl(&mut text, &plan.before_rows, &plan.after_rows);
    }
    text
}

fn swapped(text: &mut String, swap: &SwapReport) {
    for locked in &swap.locked {
        field(text, "locked", &format!("{locked} for {}", duration(Duration::from_secs_f64(swap.locked_seconds))));
    }
    if swap.ranges > 0 {
        let seconds = duration(Duration::from_secs_f64(swap.caught_up_seconds));
        field(text, "caught up", &format!("with {} in {seconds} of that", counted(swap.ranges as u64, "range")));
    }
}

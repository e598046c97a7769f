//! `hypercopy import`.

use std::fmt::Write as _;
use std::time::Duration;

use hypercopy::connect::Side;
use hypercopy::error::Result;
use hypercopy::import::{FileReport, ImportPlan, ImportReport, import};
use hypercopy::report::Outcome;

use crate::args::ImportArguments;
use crate::output::{self, bytes, count, ddl, duration, ends, engine, field, latency, phases};
use crate::work::{Terms, supervised};

pub async fn run(arguments: Box<ImportArguments>) -> Result<()> {
    let (request, options) = (arguments.request()?, &arguments.output);
    output::refuse_unwritable("the report", options.report.as_deref())?;
    output::refuse_unwritable("rejects", arguments.rejects.as_deref().filter(|_| !arguments.dry_run))?;
    let mut report = ImportReport::default();
    let ends = [(Side::Target, &request.target)];
    let terms = Terms { ends: &ends, role: "import end", grace: arguments.patience.grace };
    let ended = supervised(&terms, options, async |supervision, watcher| {
        import(&request, supervision, &mut report, |report| watcher.print(&warnings(report))).await
    });
    let ended = ended.await.map_err(|error| report.explain_resumption(error, &output::command()));
    if let Err(error) = &ended {
        report.fail(error);
    }
    output::report(&report, text(&report, options.verbose), options)?;
    ended
}

fn warnings(report: &ImportReport) -> String {
    let warnings = report.plan.iter().flat_map(|plan| &plan.warnings);
    warnings.map(|warning| format!("warning: {warning}")).collect::<Vec<_>>().join("\n")
}

/// An import for people; none of one that has failed.
fn text(report: &ImportReport, verbose: bool) -> Option<String> {
    match report.outcome {
        Outcome::Planned => report.plan.as_ref().map(|plan| planned(report, plan)),
        Outcome::Finished => Some(summary(report, verbose)),
        Outcome::Failed | Outcome::Running => None,
    }
}

fn planned(report: &ImportReport, plan: &ImportPlan) -> String {
    let mut text = String::new();
    ends(&mut text, report);
    shape(&mut text, plan);
    let mut line = |name: &str, value: String| field(&mut text, name, &value);
    line("blocks", format!("of {} or more, one transaction each", bytes(plan.block_bytes as u64)));
    if plan.done_blocks > 0 {
        line("resumed", format!("{} blocks are in", count(plan.done_blocks)));
    }
    ddl(&mut text, &plan.before_rows, &plan.after_rows);
    text
}

/// What is read, and how.
fn shape(text: &mut String, plan: &ImportPlan) {
    let mut line = |name: &str, value: String| field(text, name, &value);
    for file in &plan.files {
        line("file", self::file(file));
    }
    let columns: Vec<String> =
        plan.columns.iter().map(|column| format!("{} {}", column.name, column.type_name)).collect();
    line("columns", columns.join(", "));
    if !plan.layout.is_empty() {
        line("layout", plan.layout.clone());
    }
    line(
        "format",
        match &plan.text_reason {
            None => "binary, and text where a value is in no common form".to_string(),
            Some(reason) => format!("text ({reason})"),
        },
    );
    line("read as", format!("{}, times without a zone in {}", plan.encoding, plan.time_zone));
    if !plan.conflict_key.is_empty() {
        line("conflicts", format!("{} on ({})", plan.on_conflict, plan.conflict_key.join(", ")));
    }
}

fn file(file: &FileReport) -> String {
    let name = if file.name == "-" { "stdin" } else { &file.name };
    let size = file.bytes.map(|size| format!(", {}", bytes(size))).unwrap_or_default();
    let codec = if file.codec.is_empty() { String::new() } else { format!(", {}", file.codec) };
    format!("{name}{size}{codec}")
}

fn summary(report: &ImportReport, verbose: bool) -> String {
    if let (Some(at), Some(job)) = (&report.job.finished_at, report.job.id) {
        return format!(
            "already imported at {at} by job {}: {} rows; --import-id imports the same contents once more\n",
            job.0,
            count(report.rows)
        );
    }
    let seconds = report.phase_seconds("import").max(0.001);
    let mut text = format!(
        "{} rows, {} of CSV imported in {} ({} rows/s, {}/s while importing)\n",
        count(report.rows),
        bytes(report.bytes),
        duration(Duration::from_secs_f64(report.seconds)),
        count((report.rows as f64 / seconds) as u64),
        bytes((report.bytes as f64 / seconds) as u64),
    );
    ends(&mut text, report);
    if let Some(plan) = &report.plan {
        shape(&mut text, plan);
    }
    let mut line = |name: &str, value: String| field(&mut text, name, &value);
    line("blocks", format!("{} binary, {} text", count(report.binary_blocks), count(report.text_blocks)));
    if report.resumed_blocks > 0 {
        line("resumed", format!("{} blocks were in", count(report.resumed_blocks)));
    }
    phases(&mut text, report);
    if let Some(found) = &report.latency {
        latency(&mut text, found);
    }
    engine(&mut text, report);
    let others =
        [(report.skipped, "skipped: their key was there"), (report.suppressed, "taken away by triggers of the table")];
    for (records, what) in others.into_iter().filter(|(records, _)| *records > 0) {
        let _ = writeln!(text, "{} rows were {what}", count(records));
    }
    if report.rejected > 0 {
        let place = match &report.rejects_file {
            Some(file) => format!("see {file} and {file}.json"),
            None => "the same command with --rejects FILE writes them".to_string(),
        };
        let _ = writeln!(text, "{} records were rejected; {place}", count(report.rejected));
    }
    if let (true, Some(plan)) = (verbose, &report.plan) {
        ddl(&mut text, &plan.before_rows, &plan.after_rows);
    }
    text
}

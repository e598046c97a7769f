//! `hypercopy verify`.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::sync::Arc;
use std::time::Duration;

use hypercopy::error::{Result, sanitize};
use hypercopy::jobs;
use hypercopy::report::{Outcome, Report};
use hypercopy::supervision::Supervision;
use hypercopy::verify::{self, Comparison, ComparisonReport, KeyReport, RangeReport, Request, VerifyReport};

use crate::args::{OutputArguments, VerifyArguments};
use crate::output::{bytes, count, duration, ends, engine, field};
use crate::{migrate, output, signals, watch};

pub async fn run(arguments: Box<VerifyArguments>) -> Result<()> {
    let (request, options) = (arguments.request()?, &arguments.output);
    output::refuse_unwritable("the report", options.report.as_deref())?;
    let mut report = VerifyReport::default();
    let ended = match compare(&request, options, &mut report).await {
        Ok(comparison) if arguments.repair && !comparison.differences.is_empty() => {
            repair(&arguments, &comparison, &mut report).await
        }
        compared => compared.and_then(|comparison| comparison.verdict()),
    };
    match &ended {
        Ok(()) => report.finish(),
        Err(error) => report.fail(error),
    }
    output::report(&report, text(&report, options.verbose), options)?;
    ended
}

/// Compares, with progress as asked for.
async fn compare(request: &Request, options: &OutputArguments, report: &mut VerifyReport) -> Result<Comparison> {
    let supervision = Supervision::default();
    let watcher = watch::start(Arc::clone(&supervision.progress), options);
    let compared = tokio::select! {
        biased;
        compared = verify::run(request, &supervision, report) => compared,
        stopped = signals::stopped(&supervision.interrupt) => Err(stopped),
    };
    if compared.is_err() {
        supervision.cancel_all().await;
    }
    watcher.stop();
    compared
}

/// Copies the ranges that differ anew.
async fn repair(arguments: &VerifyArguments, comparison: &Comparison, report: &mut VerifyReport) -> Result<()> {
    let table = report.target.as_ref().map(|end| end.table.clone()).unwrap_or_default();
    let ranges = comparison.differences.iter().map(|found| (found.range, found.target.rows)).collect();
    let any_table =
        arguments.yes || !jobs::has_made(&arguments.table.target()?, &table).await? && is_meant(&table, comparison);
    let mut repair = Report::default();
    let ended = migrate::work(&arguments.repair(ranges, any_table)?, GRACE, &arguments.output, &mut repair).await;
    report.repair = Some(repair);
    ended
}

/// After a signal, the time that open transactions get.
const GRACE: Duration = Duration::from_secs(10);

/// Asks whoever sits at the terminal.
fn is_meant(table: &str, comparison: &Comparison) -> bool {
    let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
    if !(stdin.is_terminal() && stderr.is_terminal()) {
        return false;
    }
    let rows: u64 = comparison.differences.iter().map(|found| found.target.rows).sum();
    let question = format!(
        "{table} was made by no job of hypercopy. Delete {} rows in {} ranges there and copy them anew? [y/N] ",
        count(rows),
        comparison.differences.len()
    );
    let mut answer = String::new();
    let asked = write!(stderr, "{}", sanitize(&question)).and_then(|()| stdin.read_line(&mut answer));
    asked.is_ok() && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())
}

/// A comparison for people, also one that has found differences; none for one that did not come to its end.
fn text(report: &VerifyReport, verbose: bool) -> Option<String> {
    let (found, plan) = (report.comparison.as_ref()?, report.plan.as_ref()?);
    let seconds = report.phase_seconds("compare").max(0.001);
    let rows = found.source_rows + found.target_rows;
    let verdict = match found.differing_ranges {
        0 => format!("equal by {}: {} rows on either side", plan.mode, count(found.source_rows)),
        differing => format!(
            "different by {}: {} rows on the source, {} on the target, {differing} of {} ranges differ",
            plan.mode,
            count(found.source_rows),
            count(found.target_rows),
            count(plan.ranges as u64)
        ),
    };
    let mut text = verdict + "\n";
    ends(&mut text, report);
    if let Some(snapshots) = &report.snapshots {
        field(&mut text, "snapshots", &format!("{} (source), {} (target)", snapshots.source, snapshots.target));
    }
    let mut line = |name: &str, value: &str| field(&mut text, name, value);
    line("layouts", &format!("{} | {}", plan.source_layout, plan.target_layout));
    line("chunks", &format!("{} | {}", plan.source_chunks, plan.target_chunks));
    line("range", &format!("{} in {} ranges", plan.range, count(plan.ranges as u64)));
    if found.source_checksum.is_some() {
        let format = plan.format_reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        line("format", &format!("{}{format}, canonical form {}", plan.format.name(), plan.canonical_form));
    }
    let took = duration(Duration::from_secs_f64(seconds));
    let rate = format!("{} rows/s", count((rows as f64 / seconds) as u64));
    line("read", &format!("{} rows and {} on both sides in {took}, {rate}", count(rows), bytes(found.bytes)));
    engine(&mut text, report);
    differences(&mut text, found, verbose);
    if let Some(repair) = report.repair.as_ref().filter(|repair| repair.outcome == Outcome::Finished) {
        let ranges = repair.tasks.unwrap_or_default();
        let _ = writeln!(text, "repaired: {ranges} ranges were copied again, {} rows", count(repair.rows));
    }
    Some(text)
}

fn differences(text: &mut String, found: &ComparisonReport, verbose: bool) {
    if verbose {
        ranges(text, "ranges that differ", &found.differences, false);
    }
    ranges(text, "where they differ", &found.narrowed, found.more_narrowed);
    if !found.keys.is_empty() {
        let _ = writeln!(text, "rows that differ:");
    }
    for key in &found.keys {
        let _ = writeln!(text, "  {}", row(key));
    }
    if found.more_keys {
        let _ = writeln!(text, "  … and more rows, which are not listed");
    }
}

fn ranges(text: &mut String, title: &str, ranges: &[RangeReport], is_cut: bool) {
    if !ranges.is_empty() {
        let _ = writeln!(text, "{title}:");
    }
    for RangeReport { range, source_rows, target_rows, .. } in ranges {
        let _ = writeln!(
            text,
            "  {range}: {} rows on the source, {} on the target",
            count(*source_rows),
            count(*target_rows)
        );
    }
    if is_cut {
        let _ = writeln!(text, "  … and more ranges, which were not narrowed");
    }
}

fn row(found: &KeyReport) -> String {
    let value =
        |(column, value): &(String, Option<String>)| format!("{column} = {}", value.as_deref().unwrap_or("NULL"));
    let values: Vec<String> = found.key.iter().map(value).collect();
    let rows = match (found.source_rows, found.target_rows) {
        (0..=1, 0..=1) => String::new(),
        (source, target) => format!(" ({source} rows on the source, {target} on the target)"),
    };
    format!("{}: {}{rows}", found.finding.name(), values.join(", "))
}

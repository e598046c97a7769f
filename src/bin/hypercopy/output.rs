//! What the terminal shows: reports, plans, errors, numbers.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use hypercopy::catalog::NotCarried;
use hypercopy::catalog::prerequisites::Part;
use hypercopy::error::{Context, Error, Kind, Result, sanitize};
use hypercopy::plan::Statement;
use hypercopy::plan::prerequisites::Lacking;
use hypercopy::progress::LatencySummary;
use hypercopy::report::{LatencyReport, Outcome, PlanReport, Report, RunReport, to_json};
use serde::Serialize;

use crate::args::OutputArguments;

/// Prints an error and what to do about it.
pub fn error(error: &Error) {
    let _ = writeln!(std::io::stderr(), "hypercopy: {}", error.report());
}

/// Prints text for people to stdout; a reader that has left is no error of ours.
pub fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", sanitize(text.trim_end()));
}

/// Prints a document for programs to stdout, as it is.
pub fn print_json(json: &str) {
    let _ = writeln!(std::io::stdout(), "{json}");
}

/// A file that cannot be written should be known before hours of work.
pub fn refuse_unwritable(what: &str, path: Option<&Path>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .and_then(|mut file| file.flush())
        .doing(Kind::Usage, || format!("cannot write {what} to {}", path.display()))
}

/// Writes the report wherever it was asked for; `text` is for people.
pub fn report(report: &impl Serialize, text: Option<String>, options: &OutputArguments) -> Result<()> {
    if let Some(path) = &options.report {
        std::fs::write(path, to_json(report)? + "\n")
            .doing(Kind::Internal, || format!("cannot write the report to {}", path.display()))?;
    }
    if options.json {
        print_json(&to_json(report)?);
    } else if let (false, Some(text)) = (options.quiet, text) {
        print(&text);
    }
    Ok(())
}

/// A migration for people.
pub fn migration(report: &Report, verbose: bool) -> Option<String> {
    match report.outcome {
        Outcome::Planned => Some(plan(report, true)),
        Outcome::Finished => Some(summary(report, verbose)),
        Outcome::Failed | Outcome::Running => None,
    }
}

/// The command line, for whoever wants to run it again: without what a conninfo may hold.
pub fn command() -> String {
    let mut shown = vec!["hypercopy".to_string()];
    let mut is_secret = false;
    for argument in std::env::args().skip(1) {
        let (option, value) = argument.split_once('=').unwrap_or((&argument, ""));
        let names_server = ["--source", "--target", "--database"].contains(&option);
        shown.push(match (is_secret, names_server && !value.is_empty()) {
            (true, _) => "…".to_string(),
            (false, true) => format!("{option}=…"),
            (false, false) => quoted(&argument),
        });
        is_secret = names_server && value.is_empty() && !is_secret;
    }
    shown.join(" ")
}

/// As a shell would have to be given it.
fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+".contains(c);
    match !argument.is_empty() && argument.chars().all(is_plain) {
        true => argument.to_string(),
        false => format!("'{}'", argument.replace('\'', "'\\''")),
    }
}

/// What has to be known before the copy begins: what is not carried, and warnings.
pub fn plan_notes(report: &Report) -> String {
    let mut text = String::new();
    for warning in report.plan.iter().flat_map(|plan| &plan.warnings) {
        let _ = writeln!(text, "warning: {warning}");
    }
    text.push_str(&missing(report));
    text.push_str(&not_carried(&report.not_carried));
    text.trim_end().to_string()
}

/// What the table uses and is not there, with what would make it.
fn missing(report: &Report) -> String {
    let lacking = report.plan.iter().flat_map(|plan| &plan.missing);
    let mut text = String::new();
    for Lacking { object, version, parts, statements, reason } in lacking {
        let version = version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        let users: Vec<String> = parts.iter().map(Part::to_string).collect();
        let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let _ = writeln!(text, "  {object}{version}, for {}{reason}", users.join(", "));
        for statement in statements {
            let _ = writeln!(text, "    {};", statement.sql.trim_end().replace('\n', "\n    "));
        }
    }
    if text.is_empty() { text } else { format!("missing on the target:\n{text}") }
}

/// What will be missing.
pub fn not_carried(found: &[NotCarried]) -> String {
    if found.is_empty() {
        return String::new();
    }
    let mut text = "not carried:\n".to_string();
    for found in found {
        let reason = found.reason.iter().map(|reason| format!(": {reason}")).collect::<String>();
        let _ = writeln!(text, "  {}: {}{reason}", found.kind, found.object);
        for sql in &found.sql {
            let _ = writeln!(text, "      {};", sql.trim_end());
        }
    }
    text
}

fn plan(report: &Report, with_ddl: bool) -> String {
    let Some(plan) = &report.plan else { return String::new() };
    let mut text = String::new();
    sides(&mut text, report);
    let mut line = |name: &str, value: String| field(&mut text, name, &value);
    line("layout", layout(plan));
    line("chunks", format!("{}, {} to make on the target", source_parts(plan), plan.new_chunks));
    line("range", plan.range.clone());
    line(
        "rows",
        format!("about {} in {}, {} tasks", count(plan.estimated_rows), bytes(plan.estimated_bytes), plan.tasks),
    );
    if plan.done_tasks > 0 {
        let compared = if plan.reads_archive() { "" } else { ", and will be compared with the source" };
        line("resumed", format!("{} tasks are done{compared}", plan.done_tasks));
    }
    line("format", format(plan));
    if let Some(locks) = &plan.source_locks {
        line("locks", locks.clone());
    }
    line(
        "target",
        format!("about {} of disk and {} of WAL", bytes(plan.target_disk_bytes), bytes(plan.target_wal_bytes)),
    );
    if with_ddl {
        ddl(&mut text, &plan.before_rows, &plan.after_rows);
    }
    text
}

/// Statements around the rows.
pub fn ddl(text: &mut String, before_rows: &[Statement], after_rows: &[Statement]) {
    for (title, statements) in [("before the rows", before_rows), ("behind the rows", after_rows)] {
        if !statements.is_empty() {
            let _ = writeln!(text, "\n-- {title}");
        }
        for statement in statements {
            let _ = writeln!(text, "{};", statement.script().trim_end());
        }
    }
}

/// What the source is read by.
fn source_parts(plan: &PlanReport) -> String {
    let parts = if plan.reads_archive() { "segments" } else { "on the source" };
    format!("{} {parts}", plan.source_chunks)
}

fn layout(plan: &PlanReport) -> String {
    if plan.source_layout == plan.target_layout {
        plan.target_layout.clone()
    } else {
        format!("{} → {}", plan.source_layout, plan.target_layout)
    }
}

fn format(plan: &PlanReport) -> String {
    match &plan.format_reason {
        None => plan.format.name().to_string(),
        Some(reason) => format!("{} ({reason})", plan.format.name()),
    }
}

fn sides(text: &mut String, report: &Report) {
    ends(text, report);
    if let Some(snapshot) = &report.snapshot_at {
        field(text, "snapshot", snapshot);
    }
}

/// Who the two ends are.
pub fn ends(text: &mut String, report: &RunReport) {
    for (name, end) in [("source", &report.source), ("target", &report.target)] {
        if let Some(end) = end {
            field(text, name, &format!("{} at {}, {}", end.table, end.endpoint, end.version));
        }
    }
}

/// A line of a summary.
pub fn field(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "  {name:<12}{value}");
}

/// What the program itself has used.
pub fn engine(text: &mut String, report: &RunReport) {
    if let Some(engine) = &report.engine {
        let used = format!("{:.2} s CPU, {} peak memory", engine.cpu_seconds, bytes(engine.peak_memory_bytes));
        field(text, "engine", &used);
    }
}

fn summary(report: &Report, verbose: bool) -> String {
    let copy_seconds = report.phase_seconds("copy").max(0.001);
    let mut text = match (&report.job.finished_at, report.job.id) {
        (Some(at), Some(job)) => {
            format!("job {} was finished at {at}; \"hypercopy verify --repair\" or --restart to do more\n", job.0)
        }
        _ => String::new(),
    };
    let _ = writeln!(
        text,
        "{} rows, {} copied in {} ({} rows/s, {}/s while copying)",
        count(report.rows),
        bytes(report.bytes),
        duration(Duration::from_secs_f64(report.seconds)),
        count((report.rows as f64 / copy_seconds) as u64),
        bytes((report.bytes as f64 / copy_seconds) as u64),
    );
    sides(&mut text, report);
    let mut line = |name: &str, value: String| field(&mut text, name, &value);
    if let Some(plan) = &report.plan {
        line("layout", layout(plan));
        let after = report.target_chunks.map(|chunks| chunks.to_string()).unwrap_or_default();
        let compressed = report.compressed_chunks.filter(|chunks| *chunks > 0);
        let compressed = compressed.map(|chunks| format!(", {chunks} compressed")).unwrap_or_default();
        line("chunks", format!("{} → {after}{compressed}", source_parts(plan)));
        line("format", format(plan));
    }
    if let Some(resumed) = report.resumed {
        line(
            "resumed",
            format!(
                "{} tasks were done, {} compared with the source, {} copied again",
                resumed.done, resumed.compared, resumed.copied_again
            ),
        );
    }
    phases(&mut text, report);
    if let Some(found) = &report.latency {
        latency(&mut text, found);
    }
    let mut line = |name: &str, value: String| field(&mut text, name, &value);
    if let Some(verification) = &report.verification {
        line(
            "verified",
            match verification.mode.as_str() {
                "none" => "no".to_string(),
                mode => format!("by {mode}, {} ranges equal", verification.ranges),
            },
        );
    }
    engine(&mut text, report);
    text.push_str(&not_carried(&report.not_carried));
    if let (true, Some(plan)) = (verbose, &report.plan) {
        ddl(&mut text, &plan.before_rows, &plan.after_rows);
    }
    text
}

/// How long each phase took.
pub fn phases(text: &mut String, report: &RunReport) {
    if report.phases.is_empty() {
        return;
    }
    let phases: Vec<String> =
        report.phases.iter().map(|phase| format!("{} {:.2} s", phase.name, phase.seconds)).collect();
    field(text, "phases", &phases.join(" · "));
}

/// Where the workers' time went.
pub fn latency(text: &mut String, latency: &LatencyReport) {
    field(text, "tasks", &format!("{}, claim to commit {}", latency.task.count, quantiles(&latency.task)));
    let blocked = [
        ("source", latency.blocked_on_source),
        ("channel", latency.blocked_on_channel),
        ("target", latency.blocked_on_target),
    ];
    for (what, waits) in blocked.into_iter().filter(|(_, waits)| waits.count > 0) {
        field(text, "blocked", &format!("on {what} {} in all, {}", micros(waits.total_us), quantiles(&waits)));
    }
}

fn quantiles(waits: &LatencySummary) -> String {
    format!("p50 {}, p99 {}, max {}", micros(waits.p50_us), micros(waits.p99_us), micros(waits.max_us))
}

/// A duration given in microseconds.
fn micros(us: u64) -> String {
    match us {
        0..1000 => format!("{us} µs"),
        1000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

/// Columns as wide as their widest cell.
pub fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("  {}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// A number with its thousands apart.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}

/// So many of something: `1 range`, `2 ranges`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Bytes in decimal units.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if number < 1000 {
        return format!("{number} B");
    }
    let mut value = number as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = if value < 10.0 { 1 } else { 0 };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// A duration for people.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(4_032_000), "4,032,000");
        assert_eq!((counted(1, "range"), counted(1000, "range")), ("1 range".to_string(), "1,000 ranges".to_string()));
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_500), "1.5 kB");
        assert_eq!(bytes(999_999), "1.0 MB");
        assert_eq!(bytes(618_000_000), "618 MB");
        assert_eq!(duration(Duration::from_millis(1250)), "1.2 s");
        assert_eq!(duration(Duration::from_secs(75)), "1 min 15 s");
        assert_eq!(duration(Duration::from_secs(7260)), "2 h 01 min");
    }
}

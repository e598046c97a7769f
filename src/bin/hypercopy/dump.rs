//! `hypercopy dump`.

use std::time::Duration;

use hypercopy::connect::Side;
use hypercopy::dump::{DumpPlanReport, DumpReport, dump};
use hypercopy::error::Result;
use hypercopy::report::Outcome;

use crate::args::DumpArguments;
use crate::output::{self, bytes, count, counted, duration, ends, field};
use crate::work::{Terms, supervised};

pub async fn run(arguments: Box<DumpArguments>) -> Result<()> {
    let (request, options) = (arguments.request()?, &arguments.output_options);
    output::refuse_unwritable("the report", options.report.as_deref())?;
    let mut report = DumpReport::default();
    let terms = Terms { ends: &[(Side::Source, &request.source)], role: "dump end", grace: arguments.patience.grace };
    let ended = supervised(&terms, options, async |supervision, watcher| {
        dump(&request, supervision, &mut report, |report| watcher.print(&notes(report))).await
    });
    let ended = ended.await.map_err(|error| report.explain_resumption(error, &output::command()));
    if let Err(error) = &ended {
        report.fail(error);
    }
    output::report(&report, text(&report), options)?;
    ended
}

fn text(report: &DumpReport) -> Option<String> {
    match report.outcome {
        Outcome::Planned => Some(plan(report)),
        Outcome::Finished => Some(summary(report)),
        Outcome::Failed | Outcome::Running => None,
    }
}

/// What has to be known before the dump begins.
fn notes(report: &DumpReport) -> String {
    let warnings = report.plan.iter().flat_map(|plan| &plan.warnings);
    let warnings: String = warnings.map(|warning| format!("warning: {warning}\n")).collect();
    (warnings + &output::not_carried(&report.not_carried)).trim_end().to_string()
}

fn plan(report: &DumpReport) -> String {
    let mut text = String::new();
    table(&mut text, report);
    let Some(plan) = &report.plan else { return text };
    layout(&mut text, plan);
    let rows = format!("about {} in {}", count(plan.estimated_rows), bytes(plan.estimated_bytes));
    field(&mut text, "rows", &format!("{rows}, {}", counted(plan.tasks as u64, "segment")));
    if let Some(needed) = plan.archive_bytes {
        let free = plan.free_bytes.map(|free| format!(", {} are free", bytes(free))).unwrap_or_default();
        field(&mut text, "disk", &format!("about {}{free}", bytes(needed)));
    }
    let kept = [(plan.done_tasks, "of earlier runs"), (plan.base_segments, "of the base")];
    for (segments, whose) in kept.into_iter().filter(|(segments, _)| *segments > 0) {
        let compared = format!("{} {whose} will be compared with the source", counted(segments as u64, "segment"));
        field(&mut text, "kept", &compared);
    }
    field(&mut text, "locks", &plan.source_locks);
    text
}

fn summary(report: &DumpReport) -> String {
    let seconds = report.phase_seconds("copy").max(0.001);
    let (rows, time) = (count(report.rows), duration(Duration::from_secs_f64(report.seconds)));
    let mut text = match &report.job.finished_at {
        Some(_) => format!("{rows} rows: the archive was complete already; --restart writes it anew\n"),
        None => {
            let bytes = bytes((report.bytes as f64 / seconds) as u64);
            format!("{rows} rows in {time} ({bytes}/s while copying)\n")
        }
    };
    table(&mut text, report);
    report.plan.iter().for_each(|plan| layout(&mut text, plan));
    let segments = counted(report.segments.unwrap_or_default() as u64, "segment");
    field(
        &mut text,
        "size",
        &format!("{} in {segments}, {} uncompressed", bytes(report.file_bytes), bytes(report.bytes)),
    );
    if report.reused_segments > 0 {
        let reused = counted(report.reused_segments as u64, "segment");
        field(&mut text, "reused", &format!("{reused} of the base, {}", bytes(report.reused_file_bytes)));
    }
    if let Some(resumed) = report.resumed {
        let resumed = format!("{} segments were done, {} written again", resumed.done, resumed.copied_again);
        field(&mut text, "resumed", &resumed);
    }
    output::phases(&mut text, report);
    report.latency.iter().for_each(|found| output::latency(&mut text, found));
    if let Some(mode) = &report.verified {
        field(&mut text, "verified", if mode == "none" { "no" } else { mode });
    }
    output::engine(&mut text, report);
    text.push_str(&output::not_carried(&report.not_carried));
    text
}

fn table(text: &mut String, report: &DumpReport) {
    ends(text, report);
    let known = [("snapshot", &report.snapshot_at), ("archive", &report.archive)];
    for (name, value) in known.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        field(text, name, value);
    }
}

fn layout(text: &mut String, plan: &DumpPlanReport) {
    field(text, "layout", &format!("{}, {} chunks", plan.layout, plan.chunks));
    field(text, "range", &plan.range);
    let reason = plan.format_reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    field(text, "format", &format!("{}{reason}, compression {}", plan.format, plan.compression));
}

//! `hypercopy archive`.

use std::fmt::Write as _;
use std::sync::Arc;

use hypercopy::archives::{self, ArchiveDetails, ArchiveList, ArchiveReport};
use hypercopy::check::{CheckReport, check};
use hypercopy::error::Result;
use hypercopy::report::{Outcome, to_json};
use hypercopy::supervision::Supervision;

use crate::args::{ArchiveArguments, ArchiveCommand, CheckArguments};
use crate::output::{aligned, bytes, count, counted, field, print, print_json};
use crate::{output, signals, watch};

pub async fn run(arguments: ArchiveArguments) -> Result<()> {
    let (text, json, wants_json) = match arguments.command {
        ArchiveCommand::Check(arguments) => return run_check(*arguments).await,
        ArchiveCommand::List { directory, json } => {
            let found = archives::list(&directory)?;
            (list(&found), to_json(&found)?, json)
        }
        ArchiveCommand::Show { directory, json } => {
            let found = archives::show(&directory)?;
            (show(&found), to_json(&found)?, json)
        }
    };
    match wants_json {
        true => print_json(&json),
        false => print(&text),
    }
    Ok(())
}

fn list(found: &ArchiveList) -> String {
    let mut rows = vec![["archive", "table", "rows", "size", "range", "snapshot", "base", ""].map(str::to_string)];
    rows.extend(found.archives.iter().map(|archive| {
        [
            archive.path.clone(),
            archive.table.clone(),
            count(archive.rows),
            bytes(archive.file_bytes),
            archive.rows_range.clone().unwrap_or("no rows".to_string()),
            archive.snapshot_at.clone(),
            archive.base.as_ref().map(|base| base.path.clone()).unwrap_or_default(),
            if archive.complete { String::new() } else { "not complete".to_string() },
        ]
    }));
    let mut text = if found.archives.is_empty() { "no archives\n".to_string() } else { aligned(&rows) };
    for damaged in &found.unreadable {
        let _ = writeln!(text, "  {}  damaged: {}", damaged.path, damaged.message);
    }
    text
}

fn show(found: &ArchiveDetails) -> String {
    let ArchiveReport { path, table, database, version, complete, .. } = &found.report;
    let mut text = format!("{path}: {table}{}\n", if *complete { "" } else { ", not complete" });
    let report = &found.report;
    let mut line = |name: &str, value: &str| field(&mut text, name, value);
    line("id", report.id.as_str());
    line("source", &format!("database {database}, {version}"));
    line("snapshot", &report.snapshot_at);
    line("written by", &format!("hypercopy {}", found.hypercopy));
    line("layout", &found.layout);
    line("range", &report.range);
    let reason = found.format_reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    line(
        "format",
        &format!("{}{reason}, compression {}, encoding {}", found.format, found.compression, found.encoding),
    );
    let segments = counted(report.segments as u64, "segment");
    let size = format!("{} in {segments}, {} uncompressed", bytes(report.file_bytes), bytes(report.bytes));
    line("rows", &format!("{}, {size}", count(report.rows)));
    if let Some(base) = &report.base {
        line("base", &format!("{} ({})", base.path, base.id));
        let reused = counted(report.reused_segments as u64, "segment");
        line("reused", &format!("{reused}, {}", bytes(report.reused_file_bytes)));
    }
    found.columns.iter().for_each(|column| line("column", column));
    let mut rows = vec![["segment", "rows", "size", "range", ""].map(str::to_string)];
    rows.extend(found.parts.iter().map(|part| {
        let reused = if part.reused { "the base's" } else { "" };
        [part.file.clone(), count(part.rows), bytes(part.file_bytes), part.range.clone(), reused.to_string()]
    }));
    text + &aligned(&rows)
}

async fn run_check(arguments: CheckArguments) -> Result<()> {
    let options = &arguments.output;
    output::refuse_unwritable("the report", options.report.as_deref())?;
    let mut report = CheckReport::default();
    let supervision = Supervision::default();
    let watcher = watch::start(Arc::clone(&supervision.progress), options);
    let checked = tokio::select! {
        biased;
        checked = check(&arguments.directory, arguments.jobs(), &supervision, &mut report) => checked,
        stopped = signals::stopped(&supervision.interrupt) => Err(stopped),
    };
    watcher.stop();
    match &checked {
        Ok(()) => report.finish(),
        Err(error) => report.fail(error),
    }
    output::report(&report, checked_text(&report), options)?;
    checked
}

fn checked_text(report: &CheckReport) -> Option<String> {
    let mut text = String::new();
    for damaged in &report.damaged {
        let _ = writeln!(text, "{}", damaged.message);
    }
    if report.outcome == Outcome::Finished {
        let segments = counted(report.segments as u64, "segment");
        let _ = writeln!(
            text,
            "{} rows in {segments} are as the manifest says, {}",
            count(report.rows),
            bytes(report.bytes)
        );
    }
    (!text.is_empty()).then_some(text)
}

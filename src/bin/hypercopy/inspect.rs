//! `hypercopy inspect`.

use std::fmt::Write;

use hypercopy::error::Result;
use hypercopy::inspect::{self, TableReport};
use hypercopy::plan::describe_dimension;
use hypercopy::report::to_json;

use crate::args::{InspectArguments, conninfo};
use crate::output::{aligned, bytes, count, print, print_json};

pub async fn run(arguments: InspectArguments) -> Result<()> {
    let source = conninfo("--source", &arguments.source)?;
    let (text, json) = match &arguments.table {
        Some(table) => {
            let report = inspect::table(&source, table).await?;
            (table_text(&report), to_json(&report)?)
        }
        None => {
            let report = inspect::list(&source).await?;
            (list_text(&report), to_json(&report)?)
        }
    };
    if arguments.json {
        print_json(&json)
    } else {
        print(&text)
    }
    Ok(())
}

fn list_text(report: &inspect::ListReport) -> String {
    let mut text = format!("{}, {}\n", report.endpoint, report.version);
    if report.hypertables.is_empty() {
        return text + "no hypertables";
    }
    let mut rows = vec![["hypertable", "chunks", "size", "rows (estimated)", "dimensions"].map(str::to_string)];
    rows.extend(report.hypertables.iter().map(|found| {
        [
            found.name.to_string(),
            count(found.chunks),
            bytes(found.total_bytes),
            found.estimated_rows.map_or("not analyzed".into(), count),
            found.dimensions.iter().flatten().map(describe_dimension).collect::<Vec<_>>().join(", "),
        ]
    }));
    text.push_str(&aligned(&rows));
    text
}

fn table_text(report: &TableReport) -> String {
    let mut text = format!("{} at {}, {}\n", report.table, report.endpoint, report.version);
    let mut field = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<12}{value}");
    };
    field("dimensions", &report.dimensions.join(", "));
    field(
        "chunks",
        &format!(
            "{} ({} compressed), {} of rows, {} of indexes",
            count(report.chunks.len() as u64),
            report.chunks.iter().filter(|chunk| chunk.compressed).count(),
            bytes(report.table_bytes),
            bytes(report.index_bytes)
        ),
    );
    field("rows", &format!("about {}", count(report.estimated_rows)));
    for column in &report.columns {
        field("column", column);
    }
    for definition in report.constraints.iter().chain(&report.indexes) {
        field("key", definition);
    }
    for found in &report.not_carried {
        field("not carried", &format!("{}: {}", found.kind, found.object));
    }
    let mut rows = vec![["chunk", "range", "size", "indexes", "rows (estimated)", ""].map(str::to_string)];
    rows.extend(report.chunks.iter().map(|chunk| {
        [
            chunk.name.clone(),
            chunk.range.clone(),
            bytes(chunk.table_bytes),
            bytes(chunk.index_bytes),
            count(chunk.estimated_rows),
            if chunk.compressed { "compressed".into() } else { String::new() },
        ]
    }));
    text.push_str(&aligned(&rows));
    text
}

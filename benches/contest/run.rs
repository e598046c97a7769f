//! The runs of a tool, and the table that tells them.

use std::time::Instant;

use super::{Server, children_cpu};

pub struct Tool {
    pub name: &'static str,
    /// What is run, as it would be typed.
    command: Option<String>,
    pub runs: Vec<Run>,
    /// Whether every row has arrived, each time.
    is_right: bool,
}

pub struct Run {
    pub seconds: f64,
    client_cpu: f64,
    server_cpu: f64,
    peak_memory_bytes: Option<u64>,
    /// Of the last server.
    wal_bytes: u64,
    pub fingerprint: (String, String),
}

impl Run {
    /// Does the work, which answers the peak of its memory where it knows; the last server has the result.
    pub fn measure(servers: &[&Server], work: impl FnOnce() -> Option<u64>) -> Run {
        // The last run's dirty pages are not this run's business.
        servers.iter().for_each(|server| server.sql("checkpoint"));
        let server_cpu = || servers.iter().map(|server| server.cpu()).sum::<f64>();
        let last = servers.last().expect("a server");
        let wal_before = last.wal_bytes();
        let (cpu_before, client_before, start) = (server_cpu(), children_cpu(), Instant::now());
        let peak_memory_bytes = work();
        Run {
            seconds: start.elapsed().as_secs_f64(),
            server_cpu: server_cpu() - cpu_before,
            client_cpu: children_cpu() - client_before,
            peak_memory_bytes,
            wal_bytes: last.wal_bytes() - wal_before,
            fingerprint: last.fingerprint(),
        }
    }
}

impl Tool {
    pub fn new(name: &'static str) -> Tool {
        Tool { name, command: None, runs: Vec::new(), is_right: true }
    }

    /// Says what is run.
    pub fn by(self, command: String) -> Tool {
        Tool { command: Some(command), ..self }
    }

    fn seconds(&self) -> Vec<f64> {
        let mut seconds: Vec<f64> = self.runs.iter().map(|run| run.seconds).collect();
        seconds.sort_by(f64::total_cmp);
        seconds
    }

    pub fn median(&self) -> f64 {
        let seconds = self.seconds();
        seconds[seconds.len() / 2]
    }

    /// Notes a run. Others may be wrong, and are shown so; ours may not.
    pub fn record(&mut self, run: Run, truth: &(String, String)) {
        let is_right = run.fingerprint == *truth;
        assert!(is_right || !self.name.starts_with("hypercopy"), "rows are lost after {}", self.name);
        self.is_right &= is_right;
        self.runs.push(run);
    }

    fn mean(&self, value: impl Fn(&Run) -> f64) -> f64 {
        self.runs.iter().map(value).sum::<f64>() / self.runs.len() as f64
    }

    fn peak_memory_bytes(&self) -> Option<u64> {
        self.runs.iter().filter_map(|run| run.peak_memory_bytes).max()
    }

    fn verdict(&self) -> &'static str {
        if self.is_right { "equal" } else { "**wrong**" }
    }
}

/// Ratios are to `baseline` seconds.
pub fn print_table(tools: &[Tool], baseline: f64) {
    println!(
        "| tool | rows | checksum | seconds, median (min–max) | ratio | client CPU s | server CPU s | client share | client peak MB | WAL MB |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let megabytes = |bytes: u64| format!("{:.0}", bytes as f64 / 1e6);
    for tool in tools {
        let seconds = tool.seconds();
        let (client, server) = (tool.mean(|run| run.client_cpu), tool.mean(|run| run.server_cpu));
        println!(
            "| {} | {} | {} | {:.1} ({:.1}–{:.1}) | {:.2} | {client:.2} | {server:.2} | {:.1} % | {} | {} |",
            tool.name,
            tool.runs[0].fingerprint.0,
            tool.verdict(),
            tool.median(),
            seconds[0],
            seconds[seconds.len() - 1],
            tool.median() / baseline,
            100.0 * client / (client + server),
            tool.peak_memory_bytes().map_or("–".into(), megabytes),
            megabytes(tool.mean(|run| run.wal_bytes as f64) as u64),
        );
    }
    let commands: Vec<_> = tools.iter().filter_map(|tool| Some((tool.name, tool.command.as_ref()?))).collect();
    if !commands.is_empty() {
        println!();
    }
    for (name, command) in commands {
        println!("    {name}: {command}");
    }
}

/// Writes what the tables say, each run's seconds included, as one JSON document.
pub fn write_json(path: &str, header: serde_json::Value, tables: &[&[Tool]]) {
    let tables: Vec<Vec<_>> = tables.iter().map(|tools| tools.iter().map(to_json).collect()).collect();
    let document = serde_json::json!({ "of": header, "tables": tables });
    let text = serde_json::to_string_pretty(&document).expect("plain data");
    std::fs::write(path, text + "\n").unwrap_or_else(|error| panic!("cannot write {path}: {error}"));
}

fn to_json(tool: &Tool) -> serde_json::Value {
    serde_json::json!({
        "tool": tool.name,
        "command": tool.command,
        "rows": tool.runs[0].fingerprint.0,
        "checksum_equal": tool.is_right,
        "seconds": tool.runs.iter().map(|run| run.seconds).collect::<Vec<f64>>(),
        "median_seconds": tool.median(),
        "client_cpu_seconds": tool.mean(|run| run.client_cpu),
        "server_cpu_seconds": tool.mean(|run| run.server_cpu),
        "peak_client_memory_bytes": tool.peak_memory_bytes(),
        "wal_bytes": tool.mean(|run| run.wal_bytes as f64),
    })
}

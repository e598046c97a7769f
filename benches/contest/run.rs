//! The runs of a tool, and the table that tells them.

use std::time::Instant;

use super::{Server, children_cpu};

pub struct Tool {
    pub name: &'static str,
    pub runs: Vec<Run>,
}

pub struct Run {
    pub seconds: f64,
    client_cpu: f64,
    server_cpu: f64,
    peak_memory_bytes: Option<u64>,
    pub fingerprint: (String, String),
}

impl Run {
    /// Does the work, which answers the peak of its memory where it knows; the last server has the result.
    pub fn measure(servers: &[&Server], work: impl FnOnce() -> Option<u64>) -> Run {
        // The last run's dirty pages are not this run's business.
        servers.iter().for_each(|server| server.sql("checkpoint"));
        let server_cpu = || servers.iter().map(|server| server.cpu()).sum::<f64>();
        let (cpu_before, client_before, start) = (server_cpu(), children_cpu(), Instant::now());
        let peak_memory_bytes = work();
        Run {
            seconds: start.elapsed().as_secs_f64(),
            server_cpu: server_cpu() - cpu_before,
            client_cpu: children_cpu() - client_before,
            peak_memory_bytes,
            fingerprint: servers.last().expect("a server").fingerprint(),
        }
    }
}

impl Tool {
    pub fn new(name: &'static str) -> Tool {
        Tool { name, runs: Vec::new() }
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

    /// Asserts that every row has arrived.
    pub fn record(&mut self, run: Run, truth: &(String, String)) {
        assert_eq!(run.fingerprint, *truth, "every row is there after {}", self.name);
        self.runs.push(run);
    }
}

/// Ratios are to `baseline` seconds.
pub fn print_table(tools: &[Tool], baseline: f64) {
    println!(
        "| tool | rows | checksum | seconds, median (min–max) | ratio | client CPU s | server CPU s | client share | client peak MB |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for tool in tools {
        let seconds = tool.seconds();
        let mean = |value: fn(&Run) -> f64| tool.runs.iter().map(value).sum::<f64>() / tool.runs.len() as f64;
        let (client, server) = (mean(|run| run.client_cpu), mean(|run| run.server_cpu));
        let peak = tool.runs.iter().filter_map(|run| run.peak_memory_bytes).max();
        println!(
            "| {} | {} | equal | {:.1} ({:.1}–{:.1}) | {:.2} | {client:.2} | {server:.2} | {:.1} % | {} |",
            tool.name,
            tool.runs[0].fingerprint.0,
            tool.median(),
            seconds[0],
            seconds[seconds.len() - 1],
            tool.median() / baseline,
            100.0 * client / (client + server),
            peak.map_or("–".into(), |bytes| format!("{:.0}", bytes as f64 / 1e6)),
        );
    }
}

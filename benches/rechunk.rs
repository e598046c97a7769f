//! A hypertable of twelve-hour chunks with two indexes gets one-day chunks: by hypercopy, and by `insert … select` into a
//! new one with its indexes in place, in turn, several times. Then what a writer feels of it: its pace and commit times
//! before and during a rechunk, and what noting changes costs one that knows no pace.
//!
//! `cargo bench --bench rechunk -- [--rows N] [--rounds N] [--jobs N] [--part copy|paced|unthrottled]`

mod contest;

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use contest::{CPU, Run, Server, Tool, argument, number, print_table};
use hypercopy::connect::{Conninfo, Target};

/// Rows that a paced writer commits at once, and how often it does.
const PACED_ROWS: usize = 100;
const PACE: Duration = Duration::from_millis(20);
/// How long a writer is watched without anything beside it.
const CALM: Duration = Duration::from_secs(5);

fn main() {
    let bench = Bench::set_up();
    let part = argument("--part");
    let is_asked = |name: &str| part.as_deref().is_none_or(|part| part == name);
    if is_asked("copy") {
        bench.print_rounds();
    }
    if is_asked("paced") {
        bench.print_paced();
    }
    if is_asked("unthrottled") {
        bench.print_unthrottled();
    }
}

#[derive(Clone, Copy)]
enum How {
    InsertSelect,
    Rechunk { verify: &'static str },
}

struct Bench {
    rounds: usize,
    jobs: String,
    server: Arc<Server>,
    truth: (String, String),
}

impl Bench {
    fn set_up() -> Bench {
        let installation = contest::installation();
        let server = Server::start(&installation, "bench-rechunk", CPU);
        server.create_table("12 hours");
        server.make_rows(number("--rows", 4_000_000));
        server.create_indexes();
        server.sql("vacuum analyze public.cpu");
        let truth = server.fingerprint();
        println!("{} rows of 13 columns in 12-hour chunks, checksum {}\n", truth.0, truth.1);
        let jobs = number("--jobs", 2).to_string();
        Bench { rounds: number("--rounds", 3), jobs, server: Arc::new(server), truth }
    }

    fn print_rounds(&self) {
        let entries = [
            ("insert … select, indexes in place", How::InsertSelect),
            ("hypercopy rechunk --verify counts", How::Rechunk { verify: "counts" }),
            ("hypercopy rechunk --verify checksum", How::Rechunk { verify: "checksum" }),
        ];
        let mut tools: Vec<Tool> = entries.iter().map(|(name, _)| Tool::new(name)).collect();
        for _ in 0..self.rounds {
            for ((_, how), tool) in entries.iter().zip(&mut tools) {
                let run = Run::measure(&[&self.server], || {
                    self.work(*how);
                    None
                });
                tool.record(run, &self.truth);
                self.take_back(*how);
            }
        }
        print_table(&tools, tools[0].median());
    }

    fn work(&self, how: How) {
        match how {
            How::Rechunk { verify } => {
                self.rechunk(&["--chunk-interval", "1 day", "--verify", verify]);
            }
            How::InsertSelect => {
                self.server.sql("alter table public.cpu rename to cpu_base");
                self.server.sql("alter index public.cpu_time_idx rename to base_time_idx");
                self.server.sql("alter index public.cpu_tags_idx rename to base_tags_idx");
                self.server.create_table("1 day");
                self.server.create_indexes();
                let mut psql = self.server.psql("insert into public.cpu select * from public.cpu_base");
                assert!(psql.status().expect("psql starts").success());
            }
        }
    }

    fn take_back(&self, how: How) {
        match how {
            How::Rechunk { .. } => {
                self.rechunk(&["--undo", "--force"]);
            }
            How::InsertSelect => {
                self.server.drop_table();
                self.server.sql("alter table public.cpu_base rename to cpu");
                self.server.sql("alter index public.base_time_idx rename to cpu_time_idx");
                self.server.sql("alter index public.base_tags_idx rename to cpu_tags_idx");
            }
        }
    }

    fn rechunk(&self, arguments: &[&str]) -> serde_json::Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hypercopy"));
        command.args(["rechunk", "--database", &self.server.conninfo(), "public.cpu", "--json", "--progress", "none"]);
        let Output { status, stdout, stderr } =
            command.args(["-j", &self.jobs]).args(arguments).output().expect("it starts");
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        serde_json::from_slice(&stdout).expect("a report")
    }

    /// A writer that keeps a pace: does it still, and what do its commits take?
    fn print_paced(&self) {
        println!("\na writer of {PACED_ROWS} rows every {PACE:?}");
        println!("| | commits | late | p50 ms | p99 ms | max ms |\n| --- | --- | --- | --- | --- | --- |");
        for _ in 0..self.rounds {
            let writer = Writer::start(&self.server, Some(PACE));
            std::thread::sleep(CALM);
            print_latencies("alone", &writer.stop());
            let writer = Writer::start(&self.server, Some(PACE));
            let report = self.rechunk(&["--chunk-interval", "1 day"]);
            print_latencies("beside a rechunk", &writer.stop());
            println!("| lock held {} s |", report["swap"]["locked_seconds"]);
            self.rechunk(&["--undo", "--force"]);
        }
    }

    /// A writer that knows no pace, with and without marks.
    fn print_unthrottled(&self) {
        println!("\na writer of {PACED_ROWS} rows at once, again and again\n| | commits/s |\n| --- | --- |");
        for _ in 0..self.rounds {
            let alone = self.commits_per_second();
            self.rechunk(&["--chunk-interval", "1 day", "--no-swap", "--verify", "none"]);
            let noted = self.commits_per_second();
            self.rechunk(&["--abort"]);
            println!("| changes not noted | {alone:.0} |\n| changes noted | {noted:.0} ({:.2}) |", noted / alone);
        }
    }

    fn commits_per_second(&self) -> f64 {
        let start = Instant::now();
        let writer = Writer::start(&self.server, None);
        std::thread::sleep(CALM);
        writer.stop().len() as f64 / start.elapsed().as_secs_f64()
    }
}

/// Prints what commits took; one that took longer than the pace makes the next one late.
fn print_latencies(name: &str, latencies: &[Duration]) {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let late = sorted.iter().filter(|latency| **latency > PACE).count();
    println!("| {name} | {} | {late} | {:.1} | {:.1} | {:.1} |", sorted.len(), at(0.5), at(0.99), at(1.0));
}

/// A session that inserts rows at the end of the table until it is told to stop.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Duration>>,
}

impl Writer {
    fn start(server: &Server, pace: Option<Duration>) -> Writer {
        let (stop, conninfo) = (Arc::new(AtomicBool::new(false)), server.conninfo());
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(write(&conninfo, pace, &stopped))
        });
        Writer { stop, thread }
    }

    fn stop(self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the writer ends")
    }
}

async fn write(conninfo: &str, pace: Option<Duration>, stop: &AtomicBool) -> Vec<Duration> {
    let conninfo = Conninfo::parse(conninfo, |_| None).expect("a conninfo");
    let session = Target::open(&conninfo, "bench writer").await.expect("a session");
    let insert = format!(
        "insert into public.cpu (time, tags_id, hostname, usage_user) \
         select timestamptz '2025-01-11' + (extract(epoch from clock_timestamp())::int8 % 86400) * interval '1 second', \
             n, 'host_' || n, n from generate_series(1, {PACED_ROWS}) n"
    );
    let (mut latencies, mut due) = (Vec::new(), Instant::now());
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        // Whoever meets the swap is told to repeat.
        while session.execute(&insert, &[]).await.is_err() {}
        latencies.push(start.elapsed());
        if let Some(pace) = pace {
            due += pace;
            tokio::time::sleep_until(due.into()).await;
        }
    }
    latencies
}

//! End to end: one hypertable from one cluster to another, by hypercopy and by the psql pipe that the manual describes,
//! in turn, several times; then both sides compared, beside what it takes to read them. Rows and checksum stand beside the
//! times, so that a fast wrong answer cannot win.
//!
//! `cargo bench --bench end_to_end -- [--rows N] [--rounds N] [--jobs N]`

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hypercopy::cluster::{Cluster, Installation, Release, Settings};
use hypercopy::connect::{Conninfo, Target};

/// The shape of the data is that of the TSBS cpu metrics: 10 floats with 17 digits for each of 4,000 hosts.
const TABLE: &str = "
    create table public.cpu (
        time timestamptz not null, tags_id integer, hostname text,
        usage_user double precision, usage_system double precision, usage_idle double precision,
        usage_nice double precision, usage_iowait double precision, usage_irq double precision,
        usage_softirq double precision, usage_steal double precision, usage_guest double precision,
        usage_guest_nice double precision)";
const INDEXES: [&str; 2] = [
    "create index cpu_time_idx on public.cpu (time desc)",
    "create index cpu_tags_idx on public.cpu (tags_id, time desc)",
];

fn main() {
    let options = Options::from_arguments();
    let installation = Installation::debian(Release::Trixie).expect("packages").expect("trixie has TimescaleDB");
    println!("{}; source, target and client on one machine of {} cores", installation.description(), cores());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let bench = Bench::set_up(&runtime, &installation, options);
    let truth = bench.fingerprint(&bench.source);
    println!("{} rows of 13 columns, checksum {}, {} rounds\n", truth.0, truth.1, bench.options.rounds);

    bench.print_rounds(&truth, &["hypercopy", PIPE]);
    println!();
    bench.print_rounds(&truth, &["hypercopy verify", "hypercopy verify --counts-only", READ]);
}

/// The documented procedure.
const PIPE: &str = "psql text pipe";
/// What comparing cannot do without.
const READ: &str = "psql copy to /dev/null, one stream a side";

struct Options {
    rows: u64,
    rounds: usize,
    jobs: usize,
}

impl Options {
    fn from_arguments() -> Options {
        let arguments: Vec<String> = std::env::args().collect();
        let value = |name: &str, default: u64| {
            let position = arguments.iter().position(|argument| argument == name);
            position.map_or(default, |position| arguments[position + 1].parse().expect("a number"))
        };
        Options {
            rows: value("--rows", 4_032_000),
            rounds: value("--rounds", 3) as usize,
            jobs: value("--jobs", 2) as usize,
        }
    }
}

struct Bench<'a> {
    options: Options,
    runtime: &'a tokio::runtime::Runtime,
    psql: std::path::PathBuf,
    source: Cluster,
    target: Cluster,
}

struct Tool {
    name: &'static str,
    runs: Vec<Run>,
}

struct Run {
    seconds: f64,
    client_cpu: f64,
    server_cpu: f64,
    peak_memory_bytes: Option<u64>,
    fingerprint: (String, String),
}

impl Tool {
    fn new(name: &'static str) -> Tool {
        Tool { name, runs: Vec::new() }
    }

    fn seconds(&self) -> Vec<f64> {
        let mut seconds: Vec<f64> = self.runs.iter().map(|run| run.seconds).collect();
        seconds.sort_by(f64::total_cmp);
        seconds
    }

    fn median(&self) -> f64 {
        let seconds = self.seconds();
        seconds[seconds.len() / 2]
    }
}

impl Bench<'_> {
    fn set_up<'a>(runtime: &'a tokio::runtime::Runtime, installation: &Installation, options: Options) -> Bench<'a> {
        let start = |name: &str| {
            let settings = Settings::new(name).parameter("shared_buffers", "2GB").parameter("max_wal_size", "8GB");
            Cluster::start(installation, settings).expect("a cluster")
        };
        let bench = Bench {
            options,
            runtime,
            psql: installation.program("psql"),
            source: start("bench-source"),
            target: start("bench-target"),
        };
        bench.sql(&bench.source, "create extension timescaledb with schema public");
        bench.sql(&bench.target, "create extension timescaledb with schema public");
        bench.create_table(&bench.source, "12 hours");
        let rows = bench.options.rows;
        // Ten days in 4,000 hosts, whatever the number of rows.
        bench.sql(
            &bench.source,
            &format!(
                "insert into public.cpu select timestamptz '2025-01-01 00:00:00+00' + (n / 4000) * (interval '10 days' / ({rows} / 4000 + 1)),
                    n % 4000, 'host_' || n % 4000, random() * 100, random() * 100, random() * 100, random() * 100,
                    random() * 100, random() * 100, random() * 100, random() * 100, random() * 100, random() * 100
                 from generate_series(0, {rows} - 1) n"
            ),
        );
        bench.create_indexes(&bench.source);
        bench.sql(&bench.source, "vacuum analyze public.cpu");
        bench
    }

    fn create_table(&self, cluster: &Cluster, interval: &str) {
        self.sql(cluster, TABLE);
        self.sql(
            cluster,
            &format!("select public.create_hypertable('public.cpu', 'time', chunk_time_interval => interval '{interval}', create_default_indexes => false)"),
        );
    }

    fn create_indexes(&self, cluster: &Cluster) {
        INDEXES.iter().for_each(|index| self.sql(cluster, index));
    }

    /// Lets the tools work in turn.
    fn print_rounds(&self, truth: &(String, String), names: &[&'static str]) {
        let mut tools: Vec<Tool> = names.iter().map(|name| Tool::new(name)).collect();
        for _ in 0..self.options.rounds {
            for tool in &mut tools {
                let run = self.run(tool.name);
                assert_eq!(run.fingerprint, *truth, "both sides have every row after {}", tool.name);
                tool.runs.push(run);
            }
        }
        print_table(&tools);
    }

    fn run(&self, tool: &str) -> Run {
        if ["hypercopy", PIPE].contains(&tool) {
            self.sql(&self.target, "drop table if exists public.cpu cascade");
        }
        // The last run's dirty pages are not this run's business.
        self.sql(&self.source, "checkpoint");
        self.sql(&self.target, "checkpoint");
        let servers = || server_cpu(&self.source) + server_cpu(&self.target);
        let (cpu_before, client_before, start) = (servers(), children_cpu(), Instant::now());
        let peak_memory_bytes = match tool {
            "hypercopy" => {
                Some(self.hypercopy(&["migrate", "public.cpu", "--chunk-interval", "1 day", "--verify", "counts"]))
            }
            "hypercopy verify" => Some(self.hypercopy(&["verify", "public.cpu"])),
            "hypercopy verify --counts-only" => Some(self.hypercopy(&["verify", "public.cpu", "--counts-only"])),
            PIPE => {
                self.psql_pipe();
                None
            }
            _ => {
                self.psql_read();
                None
            }
        };
        Run {
            seconds: start.elapsed().as_secs_f64(),
            server_cpu: servers() - cpu_before,
            client_cpu: children_cpu() - client_before,
            peak_memory_bytes,
            fingerprint: self.fingerprint(&self.target),
        }
    }

    /// Answers the peak of its memory.
    fn hypercopy(&self, arguments: &[&str]) -> u64 {
        let output = Command::new(env!("CARGO_BIN_EXE_hypercopy"))
            .args(arguments)
            .args(["--json", "--progress", "none", "--jobs", &self.options.jobs.to_string()])
            .env("HYPERCOPY_SOURCE", self.source.conninfo("postgres"))
            .env("HYPERCOPY_TARGET", self.target.conninfo("postgres"))
            .stderr(Stdio::inherit())
            .output()
            .expect("hypercopy starts");
        assert!(output.status.success());
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
        report["engine"]["peak_memory_bytes"].as_u64().unwrap_or_default()
    }

    /// The target is made by hand with its indexes, and one COPY fills it.
    fn psql_pipe(&self) {
        self.create_table(&self.target, "1 day");
        self.create_indexes(&self.target);
        let mut out = Command::new(&self.psql)
            .args(["-XqAtc", "copy (select * from public.cpu) to stdout", &self.source.conninfo("postgres")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("psql starts");
        let input = Command::new(&self.psql)
            .args(["-XqAtc", "copy public.cpu from stdin", &self.target.conninfo("postgres")])
            .stdin(out.stdout.take().expect("a pipe"))
            .status()
            .expect("psql starts");
        assert!(out.wait().expect("psql ends").success() && input.success());
        self.sql(&self.target, "analyze public.cpu");
    }

    /// Both sides at once, every row in binary.
    fn psql_read(&self) {
        let read = |cluster: &Cluster| {
            Command::new(&self.psql)
                .args([
                    "-Xqc",
                    "copy (select * from public.cpu) to stdout (format binary)",
                    &cluster.conninfo("postgres"),
                ])
                .stdout(Stdio::null())
                .spawn()
                .expect("psql starts")
        };
        for mut reader in [read(&self.source), read(&self.target)] {
            assert!(reader.wait().expect("psql ends").success());
        }
    }

    /// Number of rows and a sum over all of them, computed by the server.
    fn fingerprint(&self, cluster: &Cluster) -> (String, String) {
        let conninfo = self.conninfo(cluster);
        self.runtime.block_on(async {
            let session = Target::open(&conninfo, "bench").await.expect("a session");
            let sql = "select count(*)::text, sum(hash_record_extended(t, 0)::numeric)::text from public.cpu t";
            let row = session.row(sql, &[]).await.expect("a row");
            (row.get(0), row.get(1))
        })
    }

    fn sql(&self, cluster: &Cluster, sql: &str) {
        let conninfo = self.conninfo(cluster);
        self.runtime.block_on(async {
            let session = Target::open(&conninfo, "bench").await.expect("a session");
            session.batch(sql).await.unwrap_or_else(|error| panic!("{error:?}"));
        });
    }

    fn conninfo(&self, cluster: &Cluster) -> Conninfo {
        Conninfo::parse(&cluster.conninfo("postgres"), |_| None).expect("a conninfo")
    }
}

fn print_table(tools: &[Tool]) {
    println!(
        "| tool | rows | checksum | seconds, median (min–max) | ratio | client CPU s | server CPU s | client share | client peak MB |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let slowest = tools.iter().map(Tool::median).fold(0.0, f64::max);
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
            tool.median() / slowest,
            100.0 * client / (client + server),
            peak.map_or("–".into(), |bytes| format!("{:.0}", bytes as f64 / 1e6)),
        );
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// CPU seconds of a postmaster, of its living children and of those it has waited for.
fn server_cpu(cluster: &Cluster) -> f64 {
    let postmaster = cluster.postmaster_pid().expect("a postmaster");
    let processes = std::fs::read_dir("/proc").expect("a Linux").flatten();
    let stats = processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let ticks: u64 = stats
        .filter_map(|stat| Stat::parse(&stat))
        .map(|stat| match (stat.pid == postmaster, stat.parent == postmaster) {
            (true, _) => stat.own + stat.children,
            (_, true) => stat.own,
            _ => 0,
        })
        .sum();
    seconds(ticks)
}

/// CPU seconds of the programs that this one has started and waited for.
fn children_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("a Linux");
    seconds(Stat::parse(&stat).expect("a stat line").children)
}

struct Stat {
    pid: i32,
    parent: i32,
    own: u64,
    children: u64,
}

impl Stat {
    fn parse(line: &str) -> Option<Stat> {
        let (head, tail) = line.rsplit_once(')')?;
        let fields: Vec<&str> = tail.split_whitespace().collect();
        let number = |position: usize| fields.get(position)?.parse::<u64>().ok();
        Some(Stat {
            pid: head.split_once(' ')?.0.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            own: number(11)? + number(12)?,
            children: number(13)? + number(14)?,
        })
    }
}

fn seconds(ticks: u64) -> f64 {
    Duration::from_millis(ticks * 10).as_secs_f64()
}

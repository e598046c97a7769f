//! One CSV file into one hypertable with two indexes, by hypercopy, by `\copy` and, where the environment names it, by
//! timescaledb-parallel-copy, in turn, several times.
//!
//! The server writes the file itself, once in the order of time and once host by host, so that every part of the second
//! one has rows for every chunk. Both lie in the cluster's directory and go with it.
//!
//! `cargo bench --bench import -- [--rows N] [--rounds N] [--jobs N] [--only PART_OF_A_NAME]`

mod contest;

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use contest::{CPU, Run, Server, Tool, argument, await_end, number, print_table};

/// The environment variable with the path of timescaledb-parallel-copy.
const PEER: &str = "HYPERCOPY_PEER_PARALLEL_COPY";

fn main() {
    let bench = Bench::set_up();
    let only = argument("--only").unwrap_or_default();
    let entries: Vec<Entry> = entries().into_iter().filter(|entry| entry.name.contains(&only)).collect();
    assert!(!entries.is_empty(), "no entry has \"{only}\" in its name");
    bench.print_rounds(&entries);
}

/// The order of the rows in a file.
#[derive(Clone, Copy)]
enum Order {
    Time,
    Host,
}

enum How {
    Copy,
    Import {
        defer_indexes: bool,
    },
    /// The path of timescaledb-parallel-copy.
    Peer(String),
}

/// A way to import, and into how many chunks.
struct Entry {
    name: &'static str,
    how: How,
    order: Order,
    interval: &'static str,
}

/// The first one is what the others are measured by.
fn entries() -> Vec<Entry> {
    let entry = |name, how, order, interval| Entry { name, how, order, interval };
    let import = |defer_indexes| How::Import { defer_indexes };
    let mut entries = vec![
        entry("psql \\copy", How::Copy, Order::Time, "1 day"),
        entry("hypercopy import --defer-indexes", import(true), Order::Time, "1 day"),
        entry("hypercopy import", import(false), Order::Time, "1 day"),
        entry("hypercopy import, 240 chunks", import(false), Order::Time, "1 hour"),
        entry("hypercopy import, 240 chunks, host by host", import(false), Order::Host, "1 hour"),
    ];
    if let Ok(program) = std::env::var(PEER) {
        entries.push(entry("timescaledb-parallel-copy", How::Peer(program), Order::Time, "1 day"));
    }
    entries
}

struct Bench {
    rounds: usize,
    jobs: String,
    server: Server,
    /// Rows and checksum of what was written into the files.
    truth: (String, String),
}

impl Bench {
    fn set_up() -> Bench {
        let installation = contest::installation();
        let server = Server::start(&installation, "bench-import", CPU);
        server.create_table("1 day");
        server.make_rows(number("--rows", 4_032_000));
        let truth = server.fingerprint();
        let jobs = number("--jobs", 2).to_string();
        let bench = Bench { rounds: number("--rounds", 3), jobs, server, truth };
        let bytes = bench.write_csv(Order::Time);
        bench.write_csv(Order::Host);
        let (rows, checksum) = &bench.truth;
        println!("{rows} rows of 13 columns, {bytes} bytes of CSV, checksum {checksum}, {} rounds\n", bench.rounds);
        bench
    }

    /// Answers the number of bytes.
    fn write_csv(&self, order: Order) -> u64 {
        let columns = match order {
            Order::Time => "time, tags_id",
            Order::Host => "tags_id, time",
        };
        let file = File::create(self.csv(order)).expect("a file");
        let mut psql = self.server.psql(&format!("copy (select * from public.cpu order by {columns}) to stdout csv"));
        assert!(psql.stdout(file).status().expect("psql starts").success());
        self.csv(order).metadata().expect("a file").len()
    }

    fn csv(&self, order: Order) -> PathBuf {
        let name = match order {
            Order::Time => "by_time.csv",
            Order::Host => "by_host.csv",
        };
        self.server.cluster.data_directory().with_file_name(name)
    }

    fn print_rounds(&self, entries: &[Entry]) {
        let mut tools: Vec<Tool> = entries.iter().map(|entry| Tool::new(entry.name)).collect();
        for _ in 0..self.rounds {
            for (entry, tool) in entries.iter().zip(&mut tools) {
                tool.record(self.run(entry), &self.truth);
                self.assert_indexes(entry);
            }
        }
        print_table(&tools, tools[0].median());
    }

    fn run(&self, entry: &Entry) -> Run {
        self.server.drop_table();
        self.server.sql("drop schema if exists _hypercopy cascade");
        self.server.create_table(entry.interval);
        self.server.create_indexes();
        Run::measure(&[&self.server], || Some(self.work(entry)))
    }

    /// Answers the peak of the client's memory.
    fn work(&self, entry: &Entry) -> u64 {
        let mut command = self.command(entry);
        let client = command.stdout(Stdio::null()).spawn().expect("the client starts");
        let (status, peak_memory_bytes) = await_end(client);
        assert!(status.success(), "{} has failed", entry.name);
        peak_memory_bytes
    }

    fn command(&self, entry: &Entry) -> Command {
        let path = self.csv(entry.order);
        let file = path.to_str().expect("a path of ours");
        match &entry.how {
            How::Copy => self.server.psql(&format!("\\copy public.cpu from '{file}' csv")),
            How::Import { defer_indexes } => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_hypercopy"));
                command.args(["import", "--target", &self.server.conninfo(), "public.cpu", file]);
                command.args(["--json", "--progress", "none", "-j", &self.jobs]);
                command.args(defer_indexes.then_some("--defer-indexes"));
                command
            }
            How::Peer(program) => {
                let mut command = Command::new(program);
                command.args(["--connection", &format!("{} sslmode=disable", self.server.conninfo())]);
                command.args(["--schema", "public", "--table", "cpu", "--file", file, "--workers", &self.jobs]);
                command
            }
        }
    }

    /// Whoever puts indexes aside has to put them back.
    fn assert_indexes(&self, entry: &Entry) {
        let mut psql =
            self.server.psql("select count(*) from pg_index where indrelid = 'public.cpu'::regclass and indisvalid");
        let output = psql.output().expect("psql starts");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "2", "both indexes are there after {}", entry.name);
    }
}

//! A hypertable of twelve-hour chunks with two indexes goes into a directory and comes back on another server: by hypercopy,
//! by the documented procedure (CSV out, `\copy` back into a table with its indexes), and as far as pg_dump goes, in turn,
//! several times; then what the directories weigh.
//!
//! `cargo bench --bench archive -- [--rows N] [--rounds N] [--jobs N] [--level N] [--part dump|restore]`

mod contest;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use contest::{CPU, Run, Server, Tool, argument, number, print_table};

/// The documented procedure's way out.
const CSV: &str = "psql \\copy … to csv";
const PG_DUMP_LZ4: &str = "pg_dump -Fd --compress=lz4";
const PG_DUMP_ZSTD: &str = "pg_dump -Fd --compress=zstd";
const DUMP: &str = "hypercopy dump";
const DUMP_CSV: &str = "hypercopy dump --format csv";
/// There and back.
const BY_CSV: &str = "psql \\copy … to csv, \\copy … from csv";
const BY_ARCHIVE: &str = "hypercopy dump, hypercopy restore";

fn main() {
    let bench = Bench::set_up();
    let part = argument("--part");
    let is_asked = |name: &str| part.as_deref().is_none_or(|part| part == name);
    if is_asked("dump") {
        bench.print_rounds(&[CSV, PG_DUMP_LZ4, PG_DUMP_ZSTD, DUMP_CSV, DUMP]);
        bench.print_sizes();
    }
    if is_asked("restore") {
        bench.print_rounds(&[BY_CSV, BY_ARCHIVE]);
    }
}

struct Bench {
    rounds: usize,
    jobs: String,
    level: String,
    truth: (String, String),
    source: Server,
    target: Server,
    directory: PathBuf,
    /// Bytes of what each tool has written.
    sizes: RefCell<BTreeMap<&'static str, u64>>,
}

impl Bench {
    fn set_up() -> Bench {
        let installation = contest::installation();
        let source = Server::start(&installation, "bench-source", CPU);
        source.create_table("12 hours");
        source.make_rows(number("--rows", 4_032_000));
        source.create_indexes();
        source.sql("vacuum analyze public.cpu");
        let truth = source.fingerprint();
        println!("{} rows of 13 columns in 12-hour chunks, checksum {}\n", truth.0, truth.1);
        let directory = std::env::temp_dir().join(format!("hypercopy-bench-archive-{}", std::process::id()));
        fs::create_dir(&directory).expect("a directory");
        Bench {
            rounds: number("--rounds", 3),
            jobs: number("--jobs", 2).to_string(),
            level: number("--level", 1).to_string(),
            truth,
            source,
            target: Server::start(&installation, "bench-target", CPU),
            directory,
            sizes: RefCell::default(),
        }
    }

    fn print_rounds(&self, names: &[&'static str]) {
        let mut tools: Vec<Tool> = names.iter().map(|name| Tool::new(name)).collect();
        for _ in 0..self.rounds {
            for tool in &mut tools {
                self.target.drop_table();
                let output = self.directory.join("output");
                let servers = [&self.source, &self.target];
                let is_return = [BY_CSV, BY_ARCHIVE].contains(&tool.name);
                // What only goes out is on the source, and stays there.
                let servers = if is_return { &servers[..] } else { &servers[..1] };
                let run = Run::measure(servers, || self.work(tool.name, &output));
                tool.record(run, &self.truth);
                self.sizes.borrow_mut().insert(tool.name, weight(&output));
                remove(&output);
            }
        }
        print_table(&tools, tools[0].median());
        println!();
    }

    fn print_sizes(&self) {
        println!("| written | bytes |\n| --- | --- |");
        for (tool, bytes) in &*self.sizes.borrow() {
            println!("| {tool} | {bytes} |");
        }
        println!();
    }

    fn work(&self, tool: &str, output: &Path) -> Option<u64> {
        match tool {
            CSV => self.csv_out(output),
            PG_DUMP_LZ4 => self.pg_dump(output, "lz4"),
            PG_DUMP_ZSTD => self.pg_dump(output, &format!("zstd:{}", self.level)),
            DUMP => return self.dump(output, "binary"),
            DUMP_CSV => return self.dump(output, "csv"),
            BY_CSV => {
                self.csv_out(output);
                self.target.create_table("12 hours");
                self.target.create_indexes();
                let mut back = self.target.psql(&format!("\\copy public.cpu from '{}' csv", output.display()));
                assert!(back.status().expect("psql starts").success());
                self.target.sql("analyze public.cpu");
            }
            _ => {
                let dumped = self.dump(output, "binary");
                let mut restore = vec!["restore", "--target"];
                let (target, output) = (self.target.conninfo(), output.display().to_string());
                restore.extend([&target, "--input", &output]);
                return dumped.max(self.hypercopy(&restore));
            }
        }
        None
    }

    fn csv_out(&self, output: &Path) {
        let copy = format!("\\copy (select * from public.cpu) to '{}' csv", output.display());
        assert!(self.source.psql(&copy).status().expect("psql starts").success());
    }

    /// The whole database, in which there is nothing but the table: chunks cannot be dumped otherwise.
    fn pg_dump(&self, output: &Path, compression: &str) {
        let mut dump = Command::new(self.source.cluster.installation().program("pg_dump"));
        dump.args(["-Fd", "-j", &self.jobs, &format!("--compress={compression}"), "-f"]).arg(output);
        // It warns of circular foreign keys in TimescaleDB's catalog.
        dump.arg(self.source.conninfo()).stderr(Stdio::null());
        assert!(dump.status().expect("pg_dump starts").success());
    }

    fn dump(&self, output: &Path, format: &str) -> Option<u64> {
        let (source, output) = (self.source.conninfo(), output.display().to_string());
        let compression = format!("zstd:{}", self.level);
        self.hypercopy(&[
            "dump",
            "--source",
            &source,
            "public.cpu",
            "--output",
            &output,
            "--format",
            format,
            "--compression",
            &compression,
        ])
    }

    /// Answers the peak of its memory.
    fn hypercopy(&self, arguments: &[&str]) -> Option<u64> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hypercopy"));
        command.args(arguments).args(["--json", "--progress", "none", "--jobs", &self.jobs]);
        let output = command.stderr(Stdio::inherit()).output().expect("hypercopy starts");
        assert!(output.status.success(), "{arguments:?}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
        assert_eq!(report["rows"].to_string(), self.truth.0, "every row is told of");
        report["engine"]["peak_memory_bytes"].as_u64()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        remove(&self.directory);
    }
}

fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Bytes of a file, or of all in a directory.
fn weight(path: &Path) -> u64 {
    if !path.is_dir() {
        return fs::metadata(path).expect("it is there").len();
    }
    fs::read_dir(path).expect("it is there").map(|entry| weight(&entry.expect("an entry").path())).sum()
}

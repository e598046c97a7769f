//! End to end: one hypertable from one cluster to another, by hypercopy and by the psql pipe that the manual describes,
//! in turn, several times; then both sides compared, beside what it takes to read them.
//!
//! `cargo bench --bench end_to_end -- [--rows N] [--rounds N] [--jobs N]`

mod contest;

use std::process::{Command, Stdio};

use contest::{Run, Server, Tool, number, print_table};

/// The documented procedure.
const PIPE: &str = "psql text pipe";
/// What comparing cannot do without.
const READ: &str = "psql copy to /dev/null, one stream a side";

fn main() {
    let bench = Bench::set_up();
    let truth = bench.source.fingerprint();
    println!("{} rows of 13 columns, checksum {}, {} rounds\n", truth.0, truth.1, bench.rounds);

    bench.print_rounds(&truth, &["hypercopy", PIPE]);
    println!();
    bench.print_rounds(&truth, &["hypercopy verify", "hypercopy verify --counts-only", READ]);
}

struct Bench {
    rounds: usize,
    jobs: usize,
    source: Server,
    target: Server,
}

impl Bench {
    fn set_up() -> Bench {
        let installation = contest::installation();
        let bench = Bench {
            rounds: number("--rounds", 3),
            jobs: number("--jobs", 2),
            source: Server::start(&installation, "bench-source"),
            target: Server::start(&installation, "bench-target"),
        };
        bench.source.create_table("12 hours");
        bench.source.make_rows(number("--rows", 4_032_000));
        bench.source.create_indexes();
        bench.source.sql("vacuum analyze public.cpu");
        bench
    }

    /// Lets the tools work in turn; ratios are to the slowest.
    fn print_rounds(&self, truth: &(String, String), names: &[&'static str]) {
        let mut tools: Vec<Tool> = names.iter().map(|name| Tool::new(name)).collect();
        for _ in 0..self.rounds {
            for tool in &mut tools {
                tool.record(self.run(tool.name), truth);
            }
        }
        let slowest = tools.iter().map(Tool::median).fold(0.0, f64::max);
        print_table(&tools, slowest);
    }

    fn run(&self, tool: &str) -> Run {
        if ["hypercopy", PIPE].contains(&tool) {
            self.target.drop_table();
        }
        Run::measure(&[&self.source, &self.target], || self.work(tool))
    }

    fn work(&self, tool: &str) -> Option<u64> {
        match tool {
            "hypercopy" => {
                self.hypercopy(&["migrate", "public.cpu", "--chunk-interval", "1 day", "--verify", "counts"])
            }
            "hypercopy verify" => self.hypercopy(&["verify", "public.cpu"]),
            "hypercopy verify --counts-only" => self.hypercopy(&["verify", "public.cpu", "--counts-only"]),
            PIPE => self.psql_pipe(),
            _ => self.psql_read(),
        }
    }

    /// Answers the peak of its memory.
    fn hypercopy(&self, arguments: &[&str]) -> Option<u64> {
        let output = Command::new(env!("CARGO_BIN_EXE_hypercopy"))
            .args(arguments)
            .args(["--json", "--progress", "none", "--jobs", &self.jobs.to_string()])
            .env("HYPERCOPY_SOURCE", self.source.conninfo())
            .env("HYPERCOPY_TARGET", self.target.conninfo())
            .stderr(Stdio::inherit())
            .output()
            .expect("hypercopy starts");
        assert!(output.status.success());
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
        report["engine"]["peak_memory_bytes"].as_u64()
    }

    /// The target is made by hand with its indexes, and one COPY fills it.
    fn psql_pipe(&self) -> Option<u64> {
        self.target.create_table("1 day");
        self.target.create_indexes();
        let mut out = self.source.psql("copy (select * from public.cpu) to stdout");
        let mut out = out.stdout(Stdio::piped()).spawn().expect("psql starts");
        let mut input = self.target.psql("copy public.cpu from stdin");
        let input = input.stdin(out.stdout.take().expect("a pipe")).status().expect("psql starts");
        assert!(out.wait().expect("psql ends").success() && input.success());
        self.target.sql("analyze public.cpu");
        None
    }

    /// Both sides at once, every row in binary.
    fn psql_read(&self) -> Option<u64> {
        let read = |server: &Server| {
            let mut psql = server.psql("copy (select * from public.cpu) to stdout (format binary)");
            psql.stdout(Stdio::null()).spawn().expect("psql starts")
        };
        for mut reader in [read(&self.source), read(&self.target)] {
            assert!(reader.wait().expect("psql ends").success());
        }
        None
    }
}

//! End to end: one hypertable from one cluster to another, by hypercopy, by the psql pipe that the manual describes, by
//! pg_dump and pg_restore, and by timescaledb-backfill where the environment names it, in turn, several times; then both
//! sides compared, beside what it takes to read them.
//!
//! `cargo bench --bench end_to_end -- [--rows N] [--rounds N] [--jobs N] [--shape NAME] [--only PART_OF_A_NAME] [--json FILE]`

mod contest;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use contest::{CPU, Run, Server, Shape, Tool, argument, await_end, number, print_table, write_json};

/// The environment variable with the path of timescaledb-backfill.
const PEER: &str = "HYPERCOPY_PEER_BACKFILL";

/// Who moves the rows, or reads them.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// Into wider chunks.
    Migrate,
    /// Into chunks as they are.
    MigrateAsIs,
    /// The documented procedure: a text pipe into a table with its indexes.
    Pipe,
    /// The whole database, in which there is nothing else; serial, because a parallel restore breaks TimescaleDB's catalog.
    Dump,
    /// Into a table with its indexes; it keeps the layout, and leaves statistics to others.
    Backfill,
    Verify,
    VerifyCounts,
    /// What comparing cannot do without.
    Read,
}

const MOVES: [Way; 5] = [Way::Migrate, Way::MigrateAsIs, Way::Backfill, Way::Dump, Way::Pipe];
const COMPARES: [Way; 3] = [Way::Verify, Way::VerifyCounts, Way::Read];

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Migrate => "hypercopy migrate",
            Way::MigrateAsIs => "hypercopy migrate, same layout",
            Way::Pipe => "psql text pipe",
            Way::Dump => "pg_dump, pg_restore",
            Way::Backfill => "timescaledb-backfill",
            Way::Verify => "hypercopy verify",
            Way::VerifyCounts => "hypercopy verify --counts-only",
            Way::Read => "psql copy to /dev/null, one stream a side",
        }
    }

    fn is_move(self) -> bool {
        MOVES.contains(&self)
    }
}

fn main() {
    let bench = Bench::set_up();
    println!(
        "{} rows of shape {}, checksum {}, {} rounds\n",
        bench.truth.0, bench.shape.name, bench.truth.1, bench.rounds
    );
    let moved = bench.rounds(&MOVES);
    let compared = bench.rounds(&COMPARES);
    if let Some(path) = argument("--json") {
        let header = serde_json::json!({
            "servers": bench.source.cluster.installation().description(),
            "cores": std::thread::available_parallelism().map_or(1, usize::from),
            "shape": bench.shape.name, "rows": bench.truth.0, "jobs": bench.jobs,
        });
        write_json(&path, header, &[&moved, &compared]);
    }
}

struct Bench {
    rounds: usize,
    jobs: String,
    shape: Shape,
    peer: Option<String>,
    source: Server,
    target: Server,
    truth: (String, String),
    /// What pg_dump writes.
    dump: PathBuf,
}

impl Bench {
    fn set_up() -> Bench {
        let installation = contest::installation();
        let shape = argument("--shape").map_or(CPU, |name| Shape::named(&name));
        let source = Server::start(&installation, "bench-source", shape);
        source.create_table(shape.interval);
        source.make_rows(number("--rows", 4_032_000));
        source.create_indexes();
        source.sql("vacuum analyze public.cpu");
        let truth = source.fingerprint();
        let target = Server::start(&installation, "bench-target", shape);
        // So that the first comparison finds something, whatever is asked for.
        target.create_table(shape.interval);
        Bench {
            rounds: number("--rounds", 3),
            jobs: number("--jobs", 2).to_string(),
            shape,
            peer: std::env::var(PEER).ok(),
            dump: target.cluster.data_directory().with_file_name("dump"),
            source,
            target,
            truth,
        }
    }

    /// Lets the ways be gone in turn; ratios are to the slowest.
    fn rounds(&self, ways: &[Way]) -> Vec<Tool> {
        let only = argument("--only").unwrap_or_default();
        let is_asked = |way: &&Way| way.name().contains(&only) && (**way != Way::Backfill || self.peer.is_some());
        let ways: Vec<Way> = ways.iter().filter(is_asked).copied().collect();
        let mut tools: Vec<Tool> = ways.iter().map(|way| Tool::new(way.name()).by(self.typed(*way))).collect();
        for _ in 0..self.rounds {
            for (way, tool) in ways.iter().zip(&mut tools) {
                if way.is_move() {
                    self.prepare(*way);
                }
                tool.record(Run::measure(&[&self.source, &self.target], || self.go(*way)), &self.truth);
            }
        }
        if !tools.is_empty() {
            let slowest = tools.iter().map(Tool::median).fold(0.0, f64::max);
            print_table(&tools, slowest);
            println!();
        }
        tools
    }

    /// What others need to be made by hand first is not counted against them.
    fn prepare(&self, way: Way) {
        self.target.renew();
        let interval = match way {
            Way::Pipe => self.shape.new_interval,
            Way::Backfill => self.shape.interval,
            _ => return,
        };
        self.target.create_table(interval);
        self.target.create_indexes();
        if way == Way::Backfill {
            self.target.make_chunks();
        }
    }

    fn hypercopy(&self, way: Way) -> Vec<&str> {
        let command: &[&str] = match way {
            Way::Migrate => &["migrate", "public.cpu", "--verify", "counts", "--chunk-interval"],
            Way::MigrateAsIs => &["migrate", "public.cpu", "--verify", "counts"],
            Way::Verify => &["verify", "public.cpu"],
            _ => &["verify", "public.cpu", "--counts-only"],
        };
        let interval = (way == Way::Migrate).then_some(self.shape.new_interval);
        command.iter().copied().chain(interval).chain(["--jobs", &self.jobs, "--json", "--progress", "none"]).collect()
    }

    /// The steps of a way, one program with its arguments each.
    fn steps(&self, way: Way) -> Vec<Command> {
        let program = |name: &str| Command::new(self.source.cluster.installation().program(name));
        let with = |mut command: Command, arguments: &[&str]| {
            command.args(arguments);
            command
        };
        let (source, target) = (self.source.conninfo(), self.target.conninfo());
        let ends = [source.clone() + " sslmode=disable", target.clone() + " sslmode=disable"];
        let dump = self.dump.to_str().expect("a path of ours");
        let backfill = |arguments: &[&str]| {
            let peer = Command::new(self.peer.as_ref().expect("a way that is possible"));
            let ends = ["--disable-telemetry", "--source", &ends[0], "--target", &ends[1]];
            with(peer, &[&arguments[..1], &ends, &arguments[1..]].concat())
        };
        match way {
            Way::Backfill => {
                vec![backfill(&["stage", "--until", "2100-01-01T00:00:00"]), backfill(&["copy", "-p", &self.jobs])]
            }
            Way::Dump => vec![
                with(program("pg_dump"), &["-Fd", "-j", &self.jobs, "-f", dump, &source]),
                self.target.psql("select timescaledb_pre_restore()"),
                with(program("pg_restore"), &["--no-owner", "-d", &target, dump]),
                self.target.psql("select timescaledb_post_restore()"),
                self.target.psql("analyze public.cpu"),
            ],
            Way::Migrate | Way::MigrateAsIs | Way::Verify | Way::VerifyCounts => {
                let mut hypercopy = Command::new(env!("CARGO_BIN_EXE_hypercopy"));
                hypercopy.env("HYPERCOPY_SOURCE", source).env("HYPERCOPY_TARGET", target);
                vec![with(hypercopy, &self.hypercopy(way))]
            }
            Way::Pipe | Way::Read => Vec::new(),
        }
    }

    /// How a person would type it.
    fn typed(&self, way: Way) -> String {
        match way {
            Way::Pipe => {
                "psql -c 'copy (select * from public.cpu) to stdout' | psql -c 'copy public.cpu from stdin'; analyze"
                    .into()
            }
            Way::Read => {
                "psql -c 'copy (select * from public.cpu) to stdout (format binary)' > /dev/null, of both at once"
                    .into()
            }
            _ => self.steps(way).iter().map(|step| self.typed_step(step)).collect::<Vec<_>>().join("; "),
        }
    }

    fn typed_step(&self, step: &Command) -> String {
        let file = PathBuf::from(step.get_program());
        let program = file.file_name().expect("a program").to_string_lossy().into_owned();
        let (source, target) = (self.source.conninfo(), self.target.conninfo());
        let word = |word: &std::ffi::OsStr| {
            let word = word.to_string_lossy().replace(&source, "$SOURCE").replace(&target, "$TARGET");
            let word = word.replace(self.dump.to_str().expect("a path of ours"), "DIR");
            if word.contains(' ') { format!("'{word}'") } else { word }
        };
        [program].into_iter().chain(step.get_args().map(word)).collect::<Vec<_>>().join(" ")
    }

    /// Answers the peak of the client's memory.
    fn go(&self, way: Way) -> Option<u64> {
        match way {
            Way::Pipe => self.pipe(),
            Way::Read => self.read(),
            _ => {
                let peaks: Vec<u64> = self.steps(way).iter_mut().map(|step| self.run(way, step)).collect();
                if way == Way::Dump {
                    std::fs::remove_dir_all(&self.dump).expect("what pg_dump has written");
                }
                peaks.into_iter().max()
            }
        }
    }

    fn run(&self, way: Way, step: &mut Command) -> u64 {
        // pg_dump warns of circular foreign keys in TimescaleDB's catalog.
        let errors = if way == Way::Dump { Stdio::null() } else { Stdio::inherit() };
        let client = step.stdout(Stdio::null()).stderr(errors).spawn().expect("the client starts");
        let (status, peak_memory_bytes) = await_end(client);
        assert!(status.success() || way == Way::Dump, "{}: {status}", self.typed_step(step));
        peak_memory_bytes
    }

    fn pipe(&self) -> Option<u64> {
        let mut out = self.source.psql("copy (select * from public.cpu) to stdout");
        let mut out = out.stdout(Stdio::piped()).spawn().expect("psql starts");
        let mut input = self.target.psql("copy public.cpu from stdin");
        let input = input.stdin(out.stdout.take().expect("a pipe")).status().expect("psql starts");
        assert!(out.wait().expect("psql ends").success() && input.success());
        self.target.sql("analyze public.cpu");
        None
    }

    /// Both sides at once, every row in binary.
    fn read(&self) -> Option<u64> {
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

//! What the stories of `rechunk` share: a database with a hypertable, and the program at work on it.

use std::process::{Command, Stdio};

use crate::harness::{Database, Run, Running, Server};
use crate::imports::kill_at;

/// A database whose table `metrics` gets another layout.
pub struct Rechunk {
    /// Where the table is.
    pub database: Database,
}

impl Rechunk {
    /// A database in which these statements were run.
    pub fn new(name: &str, sql: &str) -> Rechunk {
        Rechunk::on(Server::Trixie, name, sql).expect("trixie has TimescaleDB")
    }

    /// The same on this server; `None`, with a word about it, where it cannot be had.
    pub fn on(server: Server, name: &str, sql: &str) -> Option<Rechunk> {
        let Some(database) = Database::create(server, name) else {
            eprintln!("skipped {name}: Debian offers no TimescaleDB for {server:?} now");
            return None;
        };
        database.run(sql);
        Some(Rechunk { database })
    }

    /// The same with TimescaleDB's community edition; `None`, with a word about it, without one.
    pub fn community(name: &str, sql: &str) -> Option<Rechunk> {
        let database = Database::community(name)?;
        database.run(sql);
        Some(Rechunk { database })
    }

    /// The program about to work on `metrics`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hypercopy"));
        command.args(["rechunk", "metrics", "--json", "-j", "2"]).args(arguments);
        command.env("HYPERCOPY_DATABASE", &self.database.conninfo).stdin(Stdio::null());
        command
    }

    /// Any command of the program on the database.
    pub fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hypercopy"));
        command.args(arguments).stdin(Stdio::null());
        for end in ["HYPERCOPY_DATABASE", "HYPERCOPY_SOURCE", "HYPERCOPY_TARGET"] {
            command.env(end, &self.database.conninfo);
        }
        command
    }

    /// Runs any command.
    #[track_caller]
    pub fn hypercopy(&self, arguments: &[&str]) -> Run {
        Run::of(self.program(arguments).output().expect("the program starts"))
    }

    /// Runs it.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.start(arguments).end()
    }

    /// Starts it.
    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments))
    }

    /// Runs it, expects success, and answers the report.
    #[track_caller]
    pub fn done(&self, arguments: &[&str]) -> serde_json::Value {
        let run = self.run(arguments);
        assert_eq!(run.code, 0, "{arguments:?}: {}", run.stderr);
        let report = run.json();
        assert_eq!(report["outcome"], "finished");
        report
    }

    /// Runs it, and expects this exit code, this text in its message, and a hint.
    #[track_caller]
    pub fn fails(&self, code: i32, text: &str, arguments: &[&str]) -> Run {
        let run = self.run(arguments);
        assert_eq!(run.code, code, "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(text), "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains("hint: "), "an error should say what to do: {}", run.stderr);
        run
    }

    /// Runs it until a failpoint kills it, which it must.
    #[track_caller]
    pub fn kill_at(&self, failpoint: &str, arguments: &[&str]) {
        kill_at(self.command(arguments), failpoint);
    }

    /// Makes the table ready for another layout: its old one is dropped, by whoever has compared the two if this run has not.
    #[track_caller]
    pub fn drop_old(&self, arguments: &[&str]) {
        if !arguments.contains(&"--verify=none") {
            let report = self.done(&["--drop-old"]);
            assert_eq!(report["state"], "finished");
            return;
        }
        self.fails(3, "nobody has compared", &["--drop-old"]);
        self.done(&["--undo", "--force"]);
        self.database.run("truncate oracle; insert into oracle select * from metrics");
    }

    /// Nothing of ours is left in the database but what `before` had: see [`Database::objects`].
    #[track_caller]
    pub fn assert_as_before(&self, before: &[Vec<Option<String>>], what: &str) {
        self.database.assert_nothing_left();
        let after = self.database.objects();
        let gone = before.iter().filter(|object| !after.contains(object));
        let new = after.iter().filter(|object| !before.contains(object));
        let differences: Vec<_> = gone.chain(new).collect();
        assert!(differences.is_empty(), "{what}: {differences:?}");
    }
}

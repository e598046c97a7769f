//! Files that are imported in several ways, each of which has to come to the same end.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::folders::Folder;
use crate::harness::{Database, Run, Server};

/// A database and files that are imported into it.
pub struct Import {
    /// Where the rows shall go.
    pub target: Database,
    /// Where the files are.
    pub folder: Folder,
}

/// What a bad record is told by: line, byte, column, SQLSTATE, and the reason.
pub type Reject = (u64, u64, Option<String>, String, String);

/// How an import has ended.
#[derive(Debug, PartialEq)]
pub struct Ended {
    /// The exit code.
    pub code: i32,
    /// The first line on stderr, without the directory.
    pub message: String,
    /// What is stored.
    pub rows: String,
    /// What was left out.
    pub rejects: Vec<Reject>,
}

/// Workers and block sizes, from one record to the whole file.
pub const WAYS: [[&str; 4]; 4] = [
    ["-j", "1", "--block-size", "1"],
    ["-j", "4", "--block-size", "1"],
    ["-j", "4", "--block-size", "12"],
    ["-j", "1", "--block-size", "1GiB"],
];

impl Import {
    /// A database in which these statements were run.
    pub fn new(name: &str, sql: &str) -> Import {
        let target = Database::create(Server::Trixie, name).expect("trixie has TimescaleDB");
        target.run(sql);
        Import { target, folder: Folder::new(name) }
    }

    /// The program about to import.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hypercopy"));
        command.arg("import").args(arguments).args(["--json", "--progress", "none"]);
        command.env("HYPERCOPY_TARGET", &self.target.conninfo).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Imports.
    #[track_caller]
    pub fn import(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments).output().expect("the program starts"))
    }

    /// Imports files into the emptied `metrics`, which has to end in the same way however they are cut and whoever
    /// loads them. What is stored counts where all of it was.
    #[track_caller]
    pub fn in_all_ways(&self, files: &[&str], arguments: &[&str]) -> Ended {
        let ended: Vec<Ended> = WAYS.iter().map(|way| self.anew(files, &[arguments, way].concat())).collect();
        for (way, other) in WAYS.iter().zip(&ended) {
            assert_eq!(other, &ended[0], "{arguments:?} {way:?}");
        }
        ended.into_iter().next().expect("there is a way")
    }

    /// Imports files into the emptied `metrics`, as if they never had been.
    #[track_caller]
    pub fn anew(&self, files: &[&str], arguments: &[&str]) -> Ended {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let id = NUMBER.fetch_add(1, Ordering::Relaxed).to_string();
        self.target.run("truncate metrics");
        let rejects = self.folder.path("rejects");
        let options = ["--import-id", &id, "--rejects", &rejects];
        let run = self.import(&[&["metrics"], files, arguments, &options].concat());
        let first = run.stderr.lines().find(|line| !line.starts_with("warning")).unwrap_or_default();
        Ended {
            code: run.code,
            message: self.folder.without_names(first),
            rows: if run.code == 0 { self.target.multiset("metrics") } else { String::new() },
            rejects: if run.json()["rejects_file"].is_null() { Vec::new() } else { self.rejects() },
        }
    }

    /// What stands in the two files of rejects.
    #[track_caller]
    pub fn rejects(&self) -> Vec<Reject> {
        let reasons = self.folder.read("rejects.json");
        let reasons = String::from_utf8(reasons).expect("JSON is UTF-8");
        let reason = |line: &str| -> Reject {
            let reason: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
            let text = |key: &str| reason[key].as_str().map(str::to_string);
            let number = |key: &str| reason[key].as_u64().expect("it is a number");
            (
                number("line"),
                number("byte"),
                text("column"),
                text("sqlstate").unwrap_or_default(),
                without_chunk(&text("reason").unwrap_or_default()),
            )
        };
        reasons.lines().map(reason).collect()
    }
}

/// A message without numbers of chunks and of their constraints, which depend on the order in which they were made.
fn without_chunk(message: &str) -> String {
    let is_digit = |c: char| c.is_ascii_digit();
    let name = |word: &str| match word.trim_start_matches('"') {
        name if name.starts_with("_hyper_") || (name.contains('_') && name.starts_with(is_digit)) => {
            name.replace(is_digit, "")
        }
        _ => word.to_string(),
    };
    message.split(' ').map(name).collect::<Vec<_>>().join(" ")
}

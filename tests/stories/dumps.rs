//! What the stories of `dump` and `archive` share: a table, a directory for its archives, and what must be true of one.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::folders::Folder;
use crate::harness::{Database, Run, Server};

/// A database and a directory of archives.
pub struct Dump {
    /// Where the rows are.
    pub source: Database,
    /// Where the archives are.
    pub folder: Folder,
}

impl Dump {
    /// A database in which these statements were run.
    pub fn new(name: &str, sql: &str) -> Dump {
        let source = Database::create(Server::Trixie, name).expect("trixie has TimescaleDB");
        source.run(sql);
        Dump { source, folder: Folder::new(&format!("dump-{name}")) }
    }

    /// The program about to do this.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hypercopy"));
        command.args(arguments).env("HYPERCOPY_SOURCE", &self.source.conninfo).stdin(Stdio::null());
        command
    }

    /// The program about to dump `metrics` into the archive of this name.
    pub fn dump_command(&self, archive: &str, arguments: &[&str]) -> Command {
        let output = self.folder.path(archive);
        self.command(&[&["dump", "metrics", "--output", &output, "--json"], arguments].concat())
    }

    /// Dumps, whatever comes of it.
    #[track_caller]
    pub fn dump(&self, archive: &str, arguments: &[&str]) -> Run {
        Run::of(self.dump_command(archive, arguments).output().expect("the program starts"))
    }

    /// Dumps, expects success and that nobody is left at work, and answers the report.
    #[track_caller]
    pub fn dumped(&self, archive: &str, arguments: &[&str]) -> Value {
        let run = self.dump(archive, arguments);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(run.json()["outcome"], "finished");
        self.source.assert_nothing_left();
        run.json()
    }

    /// Expects a dump to be refused, with this text in its message and a hint.
    #[track_caller]
    pub fn assert_refused(&self, archive: &str, arguments: &[&str], text: &str) {
        let run = self.dump(archive, arguments);
        assert_eq!(run.code, 3, "{}", run.stderr);
        assert!(run.stderr.contains(text), "{}", run.stderr);
        assert!(run.stderr.contains("hint: "), "an error should say what to do: {}", run.stderr);
    }

    /// `hypercopy archive` with these arguments.
    #[track_caller]
    pub fn archive(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(&[&["archive"], arguments].concat()).output().expect("the program starts"))
    }

    /// Checks an archive.
    #[track_caller]
    pub fn check(&self, archive: &str) -> Run {
        self.archive(&["check", &self.folder.path(archive), "--json"])
    }

    /// What an archive says of itself.
    #[track_caller]
    pub fn manifest(&self, archive: &str) -> Value {
        serde_json::from_slice(&self.folder.read(&format!("{archive}/manifest.json"))).expect("the manifest is JSON")
    }

    /// Its segments, along the axis.
    #[track_caller]
    pub fn segments(&self, archive: &str) -> Vec<Value> {
        self.manifest(archive)["segments"].as_array().expect("there are segments").clone()
    }

    /// The contents of a segment as zstd(1) would show them.
    #[track_caller]
    pub fn contents(&self, archive: &str, segment: &Value) -> Vec<u8> {
        let name = segment["file"].as_str().expect("it is text");
        let file = self.folder.read(&format!("{archive}/{name}"));
        match name.ends_with(".zst") {
            true => zstd::decode_all(&file[..]).expect("the file is zstd's"),
            false => file,
        }
    }

    /// Loads an archive into the table `copied`, made like `metrics`, by the server's COPY alone.
    #[track_caller]
    pub fn load(&self, archive: &str) {
        let manifest = self.manifest(archive);
        let options = match manifest["format"].as_str().expect("it is text") {
            "binary" => "format binary",
            "csv" => "format csv, header match",
            _ => "format text",
        };
        let columns = manifest["columns"].as_array().expect("there are columns").iter();
        let columns: Vec<String> =
            columns.map(|column| format!("\"{}\"", column["name"].as_str().unwrap().replace('"', "\"\""))).collect();
        self.source.run("drop table if exists copied; create table copied (like metrics including generated)");
        let statement = format!("copy copied ({}) from stdin ({options})", columns.join(", "));
        self.segments(archive).iter().for_each(|part| self.source.copy(&statement, self.contents(archive, part)));
    }

    /// The archive is complete and private, has the table's rows and nothing else, and nobody is at work.
    #[track_caller]
    pub fn assert_complete(&self, archive: &str, what: &str) {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &str| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        self.load(archive);
        assert_eq!(self.source.multiset("copied"), self.source.multiset("metrics"), "{what}");
        let mut expected: Vec<String> =
            self.segments(archive).iter().map(|part| part["file"].as_str().unwrap().to_string()).collect();
        expected.extend(["manifest.json".to_string(), "schema.sql".to_string()]);
        expected.sort();
        assert_eq!(self.files(archive), expected, "{what}");
        assert_eq!(mode(&self.folder.path(archive)), 0o700, "{what}");
        for file in expected {
            assert_eq!(mode(&self.folder.path(&format!("{archive}/{file}"))), 0o600, "{file} {what}");
        }
        let check = self.check(archive);
        assert_eq!(check.code, 0, "{what}: {}", check.stderr);
        self.source.assert_nothing_left();
    }

    /// The names in an archive.
    pub fn files(&self, archive: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path(archive)).expect("the directory is there");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("it is there").file_name().into_string().expect("it is text")).collect();
        names.sort();
        names
    }
}

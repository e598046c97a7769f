//! Two tables alike: one that the server's own COPY fills, and one that `hypercopy import` fills from the same bytes.

use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio_postgres::Client;

use crate::harness::{Database, Run, Server};

/// The table that the server fills, and the one that the program fills.
pub const SERVER: &str = "by_server";
pub const IMPORT: &str = "by_import";

/// A database with twin tables.
pub struct Twins {
    pub database: Database,
    /// How the program and the server's own COPY connect; the superuser's, unless the story says otherwise.
    pub conninfo: String,
    /// What stands in the program's environment.
    pub environment: Vec<(&'static str, String)>,
}

/// What the server has said to each record by itself.
pub struct Verdict {
    /// The records that it has stored, as one file.
    pub stored: Vec<u8>,
    /// Where the others begin in the file of all records, with their SQLSTATE.
    pub refused: Vec<(u64, String)>,
}

impl Twins {
    /// A database, and in it whatever the definition makes of its two names for `{table}`.
    pub fn new(story: &str, definition: &str) -> Twins {
        Twins::of(Database::create(Server::Trixie, story).expect("trixie has TimescaleDB"), definition)
    }

    /// The same on the community edition; `None`, with a word about it, without one.
    pub fn community(story: &str, definition: &str) -> Option<Twins> {
        Database::community(story).map(|database| Twins::of(database, definition))
    }

    fn of(database: Database, definition: &str) -> Twins {
        let twins = Twins { conninfo: database.conninfo.clone(), database, environment: Vec::new() };
        twins.define(definition);
        twins
    }

    /// Runs the statements for each of the tables.
    #[track_caller]
    pub fn define(&self, definition: &str) {
        for table in [SERVER, IMPORT] {
            self.database.run(&definition.replace("{table}", table));
        }
    }

    /// The program, with these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hypercopy"));
        command.args(arguments).env("HYPERCOPY_TARGET", &self.conninfo).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the program.
    #[track_caller]
    pub fn hypercopy(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments).output().expect("the program starts"))
    }

    /// Imports a file, and answers how that went.
    #[track_caller]
    pub fn try_import(&self, csv: &Csv, arguments: &[&str]) -> Run {
        self.hypercopy(&[&["import", IMPORT, csv.path(), "--json"], arguments].concat())
    }

    /// Imports a file, which has to work, and answers the report.
    #[track_caller]
    pub fn import(&self, csv: &Csv, arguments: &[&str]) -> serde_json::Value {
        let run = self.try_import(csv, arguments);
        assert_eq!(run.code, 0, "{}", run.stderr);
        self.database.assert_nothing_left();
        run.json()
    }

    /// Starts an import and leaves it running.
    pub fn spawn(&self, csv: &Csv, arguments: &[&str]) -> Child {
        let mut command = self.command(&[&["import", IMPORT, csv.path(), "--json"], arguments].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    }

    /// Copies a file as `\copy` would, and answers how many rows were stored.
    #[track_caller]
    pub fn copy(&self, csv: &Csv, columns: &str) -> u64 {
        let session = self.session();
        let statement = format!("copy {SERVER} {columns} from stdin csv");
        self.database.wait(copy(&session, &statement, csv.bytes.clone())).unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Copies each record by itself.
    pub fn copy_each(&self, records: &[Vec<u8>], columns: &str) -> Verdict {
        let session = self.session();
        let statement = self.database.wait(session.prepare(&format!("copy {SERVER} {columns} from stdin csv")));
        let statement = statement.expect("the statement is one");
        let (mut verdict, mut at) = (Verdict { stored: Vec::new(), refused: Vec::new() }, 0);
        for record in records {
            match self.database.wait(copy(&session, &statement, record.clone())) {
                Ok(_) => verdict.stored.extend_from_slice(record),
                Err(error) => {
                    let state = error.code().unwrap_or_else(|| panic!("{error:?}")).code();
                    verdict.refused.push((at, state.to_string()));
                }
            }
            at += record.len() as u64;
        }
        verdict
    }

    /// Imports a file that the server has taken whole, and compares.
    #[track_caller]
    pub fn assert_alike(&self, csv: &Csv, columns: &str, arguments: &[&str]) -> serde_json::Value {
        self.empty();
        let rows = self.copy(csv, columns);
        let report = self.import(csv, arguments);
        assert_eq!(report["rows"], rows, "{report}");
        self.assert_same();
        report
    }

    /// Expects both tables to hold the same rows.
    #[track_caller]
    pub fn assert_same(&self) {
        if self.database.multiset(SERVER) == self.database.multiset(IMPORT) {
            return;
        }
        let difference = |one: &str, other: &str| {
            let sql = format!("select t::text from {one} t except all select t::text from {other} t limit 5");
            self.database.query(&format!("set timezone = 'UTC'; {sql}"))
        };
        panic!("only by COPY: {:?}\nonly by import: {:?}", difference(SERVER, IMPORT), difference(IMPORT, SERVER));
    }

    /// Empties both tables, and forgets what was imported.
    pub fn empty(&self) {
        self.database.run(&format!("truncate {SERVER}; truncate {IMPORT}; drop schema if exists _hypercopy cascade"));
    }

    fn session(&self) -> Client {
        self.database.wait(async {
            let config: tokio_postgres::Config = self.conninfo.parse().expect("the conninfo is one");
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.expect("the server answers");
            tokio::spawn(connection);
            client
        })
    }
}

/// Sends bytes to a `copy … from stdin`.
pub async fn copy<S: ?Sized + tokio_postgres::ToStatement>(
    session: &Client,
    statement: &S,
    bytes: Vec<u8>,
) -> Result<u64, tokio_postgres::Error> {
    let mut sink = pin!(session.copy_in(statement).await?);
    sink.send(Bytes::from(bytes)).await?;
    sink.finish().await
}

/// A CSV file of one story, removed with it.
pub struct Csv {
    path: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl Csv {
    /// A file of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Csv {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("hypercopy-stories-{}-twin-{}.csv", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name).to_str().expect("the path is text").to_string();
        let bytes = bytes.into();
        std::fs::write(&path, &bytes).expect("the file can be written");
        Csv { path, bytes }
    }

    /// Where it is.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl Drop for Csv {
    fn drop(&mut self) {
        for path in [self.path.clone(), self.rejects(), format!("{}.json", self.rejects())] {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Csv {
    /// Where its rejects may be written.
    pub fn rejects(&self) -> String {
        format!("{}.bad", self.path)
    }

    /// Byte and SQLSTATE of each reject that was written there.
    pub fn read_rejects(&self) -> Vec<(u64, String)> {
        let text = std::fs::read_to_string(format!("{}.json", self.rejects())).expect("the reasons are there");
        let reject = |line: &str| {
            let reject: serde_json::Value = serde_json::from_str(line).expect("a reason is JSON");
            (reject["byte"].as_u64().expect("a byte"), reject["sqlstate"].as_str().expect("a state").to_string())
        };
        text.lines().map(reject).collect()
    }
}

/// A record whose first field is `number` and which has `text`, quoted, in one of `columns` further fields; the others
/// are NULL.
pub fn record(number: usize, columns: usize, column: usize, text: &str) -> Vec<u8> {
    let field = |n: usize| if n == column { format!("\"{}\"", text.replace('"', "\"\"")) } else { String::new() };
    let fields: Vec<String> = std::iter::once(number.to_string()).chain((0..columns).map(field)).collect();
    format!("{}\n", fields.join(",")).into_bytes()
}

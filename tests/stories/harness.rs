//! Clusters, databases and the program under test.

use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use hypercopy::cluster::{Cluster, Installation, Release, Settings};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// Where a database lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// Debian trixie: PostgreSQL 17, TimescaleDB 2.19.3.
    Trixie,
    /// A second one like it.
    OtherTrixie,
    /// Debian sid: PostgreSQL 18, the newest TimescaleDB that Debian has.
    Sid,
}

/// Clusters of this run. They end with the process, however that ends.
fn cluster(server: Server) -> Option<&'static Cluster> {
    static CLUSTERS: [OnceLock<Option<Cluster>>; 3] = [const { OnceLock::new() }; 3];
    let (slot, release, name) = match server {
        Server::Trixie => (0, Release::Trixie, "trixie"),
        Server::OtherTrixie => (1, Release::Trixie, "other-trixie"),
        Server::Sid => (2, Release::Sid, "sid"),
    };
    let start = || {
        let installation = Installation::debian(release).expect("Debian's packages can be had")?;
        let settings = Settings::new(format!("stories-{name}")).fsync(false).parameter("max_connections", "200");
        Some(Cluster::start(&installation, settings).expect("the cluster starts"))
    };
    CLUSTERS[slot].get_or_init(start).as_ref()
}

/// The conninfo of a server without a database; `None` where it cannot be had.
fn conninfo(server: Server) -> Option<String> {
    match std::env::var("HYPERCOPY_CLUSTER") {
        Ok(given) if !given.is_empty() => Some(given),
        _ => cluster(server).map(|cluster| cluster.conninfo("postgres")),
    }
}

/// A database of one story, dropped with it.
pub struct Database {
    /// How to reach it as the superuser.
    pub conninfo: String,
    server_conninfo: String,
    name: String,
    runtime: Runtime,
    client: Option<Client>,
}

impl Database {
    /// A new database with TimescaleDB in it; `None` where the server cannot be had.
    pub fn create(server: Server, story: &str) -> Option<Database> {
        let database = Database::without_timescaledb(server, story)?;
        database.run("create extension timescaledb");
        Some(database)
    }

    /// A new empty database.
    pub fn without_timescaledb(server: Server, story: &str) -> Option<Database> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let server_conninfo = conninfo(server)?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let story: String = story.chars().take(30).collect();
        let name = format!("s{}_{number}_{story}", std::process::id());
        let runtime = Runtime::new().expect("a runtime starts");
        let administrator = runtime.block_on(connect(&server_conninfo));
        // The template can be in use by another story's creation.
        let created = (0..50).any(|_| {
            let sql = format!("create database \"{name}\" template template0");
            runtime.block_on(administrator.batch_execute(&sql)).is_ok()
        });
        assert!(created, "database {name} can be created");
        let conninfo = format!("{server_conninfo} dbname={name}");
        let client = Some(runtime.block_on(connect(&conninfo)));
        Some(Database { conninfo, server_conninfo, name, runtime, client })
    }

    /// Another session of the same database.
    pub fn session(&self) -> Client {
        self.runtime.block_on(connect(&self.conninfo))
    }

    /// This database's runtime, for another thread.
    pub fn handle(&self) -> tokio::runtime::Handle {
        self.runtime.handle().clone()
    }

    /// Waits for something asynchronous on this database's runtime.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Runs statements, and answers the rows of all of them as text.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        match self.try_query(sql) {
            Ok(rows) => rows,
            Err(error) => panic!("{error:?}\nin: {sql}"),
        }
    }

    /// The same, where it may fail.
    pub fn try_query(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
        let client = self.client.as_ref().expect("the session lives as long as the database");
        let messages = self.runtime.block_on(client.simple_query(sql))?;
        let row = |message: SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|n| row.get(n).map(str::to_string)).collect()),
            _ => None,
        };
        Ok(messages.into_iter().filter_map(row).collect())
    }

    /// Runs statements.
    #[track_caller]
    pub fn run(&self, sql: &str) {
        self.query(sql);
    }

    /// The one value that a query answers.
    #[track_caller]
    pub fn value(&self, sql: &str) -> String {
        let rows = self.query(sql);
        assert_eq!((rows.len(), rows.first().map_or(0, Vec::len)), (1, 1), "one value of: {sql}");
        rows[0][0].clone().unwrap_or_else(|| "NULL".to_string())
    }

    /// Number of rows and a digest of all of them, whatever their order: the oracle, which is PostgreSQL's own.
    #[track_caller]
    pub fn multiset(&self, table: &str) -> String {
        self.value(&format!("set extra_float_digits = 3; set timezone = 'UTC'; {}", multiset_sql(table)))
    }

    /// Asks until the query answers true; what is waited for is asked of the server, and no time is guessed.
    #[track_caller]
    pub fn wait_until(&self, what: &str, sql: &str) {
        let start = std::time::Instant::now();
        while self.value(sql) != "t" {
            assert!(start.elapsed().as_secs() < 30, "in vain: {what}");
            std::thread::yield_now();
        }
    }

    /// Whether nothing of hypercopy is at work in this database: no session of its, no helper left behind.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let count = |sql: &str| self.value(sql);
        assert_eq!(count("select count(*) from pg_trigger where tgname like '!%'"), "0");
        assert_eq!(count("select count(*) from pg_proc where proname like 'hypercopy%'"), "0");
        self.wait_until(
            "sessions of hypercopy to end",
            "select not exists (select from pg_stat_activity
                 where datname = current_database() and application_name like 'hypercopy%')",
        );
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.client = None;
        let sql = format!("drop database if exists \"{}\" with (force)", self.name);
        self.runtime.block_on(async {
            let _ = connect(&self.server_conninfo).await.batch_execute(&sql).await;
        });
    }
}

/// An ordinary role of a server, dropped with it: declare it before the story whose databases it has rights in.
pub struct Role {
    /// Its name, which needs no quoting.
    pub name: String,
    server_conninfo: String,
    runtime: Runtime,
}

impl Role {
    /// A new role that may log in, and nothing else.
    pub fn create(server: Server, story: &str) -> Role {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let server_conninfo = conninfo(server).expect("the server can be had");
        let name = format!("r{}_{}_{story}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let role = Role { name, server_conninfo, runtime: Runtime::new().expect("a runtime starts") };
        role.run(&format!("create role {} login password 'ordinary'", role.name));
        role
    }

    /// The conninfo of a database, as this role.
    pub fn conninfo(&self, database: &Database) -> String {
        format!("{} user={} password=ordinary", database.conninfo, self.name)
    }

    fn run(&self, sql: &str) {
        let run = async { connect(&self.server_conninfo).await.batch_execute(sql).await };
        self.runtime.block_on(run).unwrap_or_else(|error| panic!("{error:?}\nin: {sql}"));
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.run(&format!("drop role {}", self.name));
        }
    }
}

/// The query that answers a table's multiset, in the session's own settings.
pub fn multiset_sql(table: &str) -> String {
    format!(
        "select count(*) || ' rows ' || coalesce(md5(string_agg(md5(t::text), '' order by md5(t::text))), '') from {table} t"
    )
}

async fn connect(conninfo: &str) -> Client {
    let config: Config = conninfo.parse().expect("the conninfo is one");
    let (client, connection) = config.connect(NoTls).await.expect("the server answers");
    tokio::spawn(connection);
    client
}

/// Two databases and the program between them.
pub struct Story {
    /// Where the rows are.
    pub source: Database,
    /// Where they shall go.
    pub target: Database,
}

/// What a run of the program has shown.
pub struct Run {
    /// Its exit code.
    pub code: i32,
    /// Its stdout.
    pub stdout: String,
    /// Its stderr.
    pub stderr: String,
}

impl Story {
    /// A story between two clusters of the same release.
    pub fn new(name: &str) -> Story {
        Story::between(Server::Trixie, Server::OtherTrixie, name).expect("trixie has TimescaleDB")
    }

    /// A story between these servers; `None`, with a word about it, where one of them cannot be had.
    pub fn between(source: Server, target: Server, name: &str) -> Option<Story> {
        match (Database::create(source, name), Database::create(target, name)) {
            (Some(source), Some(target)) => Some(Story { source, target }),
            _ => {
                eprintln!("skipped {name}: Debian offers no TimescaleDB for {source:?} or {target:?} now");
                None
            }
        }
    }

    /// A story that needs the community edition (compression, policies); `None`, with a word about it, without one.
    pub fn community(name: &str) -> Option<Story> {
        let story = Story::new(name);
        if story.source.value("select current_setting('timescaledb.license')") == "timescale" {
            return Some(story);
        }
        eprintln!("skipped {name}: the server is the Apache edition; HYPERCOPY_CLUSTER names another one");
        None
    }

    /// The program with source and target in its environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hypercopy"));
        command
            .args(arguments)
            .env("HYPERCOPY_SOURCE", &self.source.conninfo)
            .env("HYPERCOPY_TARGET", &self.target.conninfo)
            .stdin(Stdio::null());
        command
    }

    /// Runs the program.
    #[track_caller]
    pub fn hypercopy(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments).output().expect("the program starts"))
    }

    /// Starts the program and leaves it running.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    }

    /// Migrates with `--json` and these arguments, expects success and that both sides hold the same rows, and answers
    /// the report.
    #[track_caller]
    pub fn migrate(&self, table: &str, arguments: &[&str]) -> serde_json::Value {
        let run = self.hypercopy(&[&["migrate", table, "--json"], arguments].concat());
        assert_eq!(run.code, 0, "{}", run.stderr);
        let report = run.json();
        assert_eq!(report["outcome"], "finished");
        let name = report["target"]["table"].as_str().expect("the report names the target").to_string();
        if !arguments.iter().any(|argument| ["--from", "--until"].contains(argument)) {
            assert_eq!(self.source.multiset(table), self.target.multiset(&name));
        }
        self.source.assert_nothing_left();
        self.target.assert_nothing_left();
        report
    }

    /// Expects a migration to be refused: exit 3, this text among the message, a hint, and nothing on the target.
    #[track_caller]
    pub fn assert_refused(&self, arguments: &[&str], text: &str) {
        let before = self.target_objects();
        let run = self.hypercopy(&[&["migrate"], arguments].concat());
        assert_eq!(run.code, 3, "{}", run.stderr);
        assert!(run.stderr.contains(text), "{}", run.stderr);
        assert!(run.stderr.contains("hint: "), "an error should say what to do: {}", run.stderr);
        assert_eq!(before, self.target_objects(), "nothing is created on the target");
    }

    /// Names of all relations, types, functions and schemas of the target.
    pub fn target_objects(&self) -> Vec<Vec<Option<String>>> {
        self.target.query(
            "select 'class', oid::text, relname from pg_class where relnamespace <> 'pg_toast'::regnamespace union all \
             select 'schema', oid::text, nspname from pg_namespace where nspname !~ '^pg_(toast_)?temp' union all \
             select 'type', oid::text, typname from pg_type union all \
             select 'function', oid::text, proname from pg_proc where proname not like 'pg_temp%' order by 1, 2",
        )
    }
}

impl Run {
    /// Of a program that has ended.
    pub fn of(output: Output) -> Run {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Run { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Its stdout as one JSON document.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("stdout is JSON: {error}\n{}", self.stdout))
    }
}

//! Clusters, databases and the program under test.

use std::io::{BufRead, BufReader};
use std::panic;
use std::pin::pin;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures_util::SinkExt;
use hypercopy::cluster::{Cluster, Installation, Release, Settings};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// What does not come about in this time does not come about.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a database lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// Debian trixie: PostgreSQL 17, TimescaleDB 2.19.3.
    Trixie,
    /// A second one like it.
    OtherTrixie,
    /// Debian sid: PostgreSQL 18, the newest TimescaleDB that Debian has.
    Sid,
    /// A server of yours with TimescaleDB's community edition, which Debian does not have: whichever
    /// `HYPERCOPY_TEST_COMMUNITY_DSN` names.
    Community,
}

/// Clusters of this run. They end with the process, however that ends.
static CLUSTERS: [OnceLock<Option<Cluster>>; 3] = [const { OnceLock::new() }; 3];

fn cluster(server: Server) -> Option<&'static Cluster> {
    static TOLD: Once = Once::new();
    TOLD.call_once(tell_of_crashes);
    let (slot, release, name) = match server {
        Server::Trixie => (0, Release::Trixie, "trixie"),
        Server::OtherTrixie => (1, Release::Trixie, "other-trixie"),
        Server::Sid => (2, Release::Sid, "sid"),
        Server::Community => return None,
    };
    let start = || {
        let installation = Installation::debian(release).expect("Debian's packages can be had")?;
        let settings = Settings::new(format!("stories-{name}")).fsync(false).parameter("max_connections", "200");
        Some(Cluster::start(&installation, settings).expect("the cluster starts"))
    };
    CLUSTERS[slot].get_or_init(start).as_ref()
}

/// A story that fails because a server has crashed says what the server was at, which need not be the story's own.
fn tell_of_crashes() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        for cluster in CLUSTERS.iter().filter_map(|slot| slot.get().and_then(Option::as_ref)) {
            let log = cluster.log_tail(usize::MAX);
            let mut lines = log.lines();
            while let Some(line) = lines.find(|line| line.contains("terminated by signal")) {
                let statement: Vec<&str> = lines.by_ref().take(8).collect();
                eprintln!("a server has crashed: {line}\n{}", statement.join("\n"));
            }
        }
        usual(panicked);
    }));
}

/// The conninfo of a server without a database; `None` where it cannot be had.
fn conninfo(server: Server) -> Option<String> {
    match server {
        Server::Community => std::env::var("HYPERCOPY_TEST_COMMUNITY_DSN").ok().filter(|given| !given.is_empty()),
        _ => cluster(server).map(|cluster| cluster.conninfo("postgres")),
    }
}

/// Whether there is a server for a story that needs the community edition (compression, policies, continuous aggregates);
/// says a word about the story where there is none.
pub fn has_community(story: &str) -> bool {
    let is_given = conninfo(Server::Community).is_some();
    if !is_given {
        eprintln!("skipped {story}: HYPERCOPY_TEST_COMMUNITY_DSN names no server with the community edition");
    }
    is_given
}

/// A database of one story, dropped with it.
pub struct Database {
    /// How to reach it as the superuser.
    pub conninfo: String,
    server_conninfo: String,
    name: String,
    runtime: Runtime,
    client: Mutex<Option<Client>>,
}

impl Database {
    /// A new database with TimescaleDB in it; `None` where the server cannot be had.
    pub fn create(server: Server, story: &str) -> Option<Database> {
        let database = Database::without_timescaledb(server, story)?;
        database.run("create extension timescaledb");
        let license = || database.value("select current_setting('timescaledb.license')");
        assert!(server != Server::Community || license() == "timescale", "the server named is of the Apache edition");
        Some(database)
    }

    /// A new database of the community edition; `None`, with a word about it, without one.
    pub fn community(story: &str) -> Option<Database> {
        if has_community(story) { Database::create(Server::Community, story) } else { None }
    }

    /// A new empty database.
    pub fn without_timescaledb(server: Server, story: &str) -> Option<Database> {
        Some(Database::of(conninfo(server)?, story, ""))
    }

    /// A new database with TimescaleDB in a story's own cluster; `options` are those of `create database`.
    pub fn in_cluster(cluster: &Cluster, story: &str, options: &str) -> Database {
        let database = Database::of(cluster.conninfo("postgres"), story, options);
        database.run("create extension timescaledb");
        database
    }

    fn of(server_conninfo: String, story: &str, options: &str) -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let story: String = story.chars().take(30).collect();
        let name = format!("s{}_{number}_{story}", std::process::id());
        let runtime = Runtime::new().expect("a runtime starts");
        let administrator = runtime.block_on(connect(&server_conninfo));
        // The template can be in use by another story's creation.
        let created = (0..50).any(|_| {
            let sql = format!("create database \"{name}\" template template0 {options}");
            runtime.block_on(administrator.batch_execute(&sql)).is_ok()
        });
        assert!(created, "database {name} can be created");
        let conninfo = format!("{server_conninfo} dbname={name}");
        let client = Mutex::new(Some(runtime.block_on(connect(&conninfo))));
        Database { conninfo, server_conninfo, name, runtime, client }
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

    /// Begins something asynchronous on this database's runtime.
    pub fn spawn<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.runtime.spawn(future)
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
        let mut client = self.client.lock().expect("no query panics");
        // A server that was restarted has ended it.
        if client.as_ref().is_none_or(Client::is_closed) {
            *client = Some(self.runtime.block_on(try_connect(&self.conninfo))?);
        }
        let client = client.as_ref().expect("there is a session");
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

    /// Sends this to a `copy … from stdin`, as psql does.
    #[track_caller]
    pub fn copy(&self, statement: &str, contents: impl AsRef<[u8]>) {
        let (session, bytes) = (self.session(), bytes::Bytes::copy_from_slice(contents.as_ref()));
        let copied = self.wait(async {
            let mut sink = pin!(session.copy_in(statement).await?);
            sink.send(bytes).await?;
            sink.finish().await
        });
        copied.unwrap_or_else(|error| panic!("{error:?}\nin: {statement}"));
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

    /// The lines that pg_dump prints of a database of Debian trixie's server, without what differs between two runs of it.
    #[track_caller]
    pub fn dump(&self, arguments: &[&str]) -> Vec<String> {
        let program = cluster(Server::Trixie).expect("trixie has TimescaleDB").installation().program("pg_dump");
        let dumped = Command::new(program).args(arguments).args(["--dbname", &self.conninfo]).output();
        let run = Run::of(dumped.expect("the program starts"));
        assert_eq!(run.code, 0, "{}", run.stderr);
        // Each run makes a key of its own against statements that are smuggled into psql.
        let is_key = |line: &&str| line.starts_with("\\restrict") || line.starts_with("\\unrestrict");
        run.stdout.lines().filter(|line| !is_key(line)).map(str::to_string).collect()
    }

    /// Names of all relations, types, functions, triggers and schemas; TimescaleDB gives a chunk's index another one each
    /// time that the table's is renamed.
    pub fn objects(&self) -> Vec<Vec<Option<String>>> {
        self.query(
            "select 'class', class.oid::text, case when relkind = 'i' and nspname = '_timescaledb_internal' then '' else relname end
             from pg_class class join pg_namespace namespace on namespace.oid = relnamespace where nspname <> 'pg_toast' union all \
             select 'schema', oid::text, nspname from pg_namespace where nspname !~ '^pg_(toast_)?temp' union all \
             select 'type', oid::text, typname from pg_type union all \
             select 'trigger', oid::text, tgname from pg_trigger union all \
             select 'function', oid::text, proname from pg_proc where proname not like 'pg_temp%' order by 1, 2",
        )
    }

    /// Asks until the query answers true; what is waited for is asked of the server, and no time is guessed.
    #[track_caller]
    pub fn wait_until(&self, what: &str, sql: &str) {
        wait_until(what, || self.value(sql) == "t");
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
        *self.client.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        let sql = format!("drop database if exists \"{}\" with (force)", self.name);
        // A cluster of the story's own may have ended already.
        self.runtime.block_on(async {
            if let Ok(client) = try_connect(&self.server_conninfo).await {
                let _ = client.batch_execute(&sql).await;
            }
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

/// Another session, on the runtime that this is awaited on. A server that recovers is waited for: where one story crashes
/// it, the others need not fail as well.
pub async fn connect(conninfo: &str) -> Client {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match try_connect(conninfo).await {
            Err(error) if error.code() == Some(&SqlState::CANNOT_CONNECT_NOW) && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            answered => return answered.expect("the server answers"),
        }
    }
}

async fn try_connect(conninfo: &str) -> Result<Client, tokio_postgres::Error> {
    let config: Config = conninfo.parse().expect("the conninfo is one");
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// What the ledger makes when it is missing, so that it can be locked before there is a job.
const LEDGER: &str = include_str!("../../src/ledger/sql/create.sql");

/// A session that keeps a lock until it is told to open, or dropped.
pub struct Hold<'a> {
    database: &'a Database,
    session: Client,
}

impl Hold<'_> {
    /// A session that runs this and stays.
    pub fn new<'a>(database: &'a Database, sql: &str) -> Hold<'a> {
        let hold = Hold { database, session: database.session() };
        hold.run(sql);
        hold
    }

    /// No row of a table whose check waits for this lock is stored any more.
    pub fn gate(database: &Database) -> Hold<'_> {
        Hold::new(database, "select pg_advisory_lock(42)")
    }

    /// No task is claimed any more.
    pub fn ledger(database: &Database) -> Hold<'_> {
        database.run(LEDGER);
        Hold::new(database, "begin; lock table _hypercopy.task in share mode")
    }

    /// Runs statements in the session that holds.
    #[track_caller]
    pub fn run(&self, sql: &str) {
        self.database.wait(self.session.batch_execute(sql)).expect("the holding session works");
    }

    /// Lets everybody through.
    pub fn open(self) {}
}

/// Waits until something is so, which has to be soon.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        // Whoever asks all the time takes the core from the one it waits for.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until so many of the engine's sessions on this database wait for a lock.
#[track_caller]
pub fn wait_until_held(database: &Database, sessions: usize) {
    let sql = format!(
        "select count(*) >= {sessions} from pg_stat_activity
         where datname = current_database() and application_name like 'hypercopy%' and wait_event_type = 'Lock'"
    );
    database.wait_until("the engine at a lock", &sql);
}

/// Waits for the end of a run, which must come.
#[track_caller]
pub fn end(child: Child) -> Run {
    let (sender, receiver) = std::sync::mpsc::channel();
    let id = child.id();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(PATIENCE) {
        Ok(output) => Run::of(output.expect("the program can be waited for")),
        Err(_) => {
            let _ = Command::new("kill").arg(id.to_string()).status();
            panic!("the program does not end");
        }
    }
}

/// A run that can be heard while it goes on.
pub struct Running {
    child: Child,
    start: Instant,
    said: Arc<Mutex<String>>,
    listener: std::thread::JoinHandle<()>,
}

impl Running {
    /// Starts it.
    pub fn start(mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        let listener = std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).for_each(|line| *heard.lock().unwrap() += &(line + "\n"));
        });
        Running { child, start: Instant::now(), said, listener }
    }

    /// Waits until this stands on its stderr.
    #[track_caller]
    pub fn wait_until_said(&mut self, text: &str) {
        wait_until(text, || {
            let said = self.said();
            assert!(said.contains(text) || !self.has_ended(), "\"{text}\" was never said: {said}");
            said.contains(text)
        });
    }

    /// What it has said on stderr.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Its stdin, where that is piped.
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("stdin is piped")
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Sends a signal, as `kill` names it.
    #[track_caller]
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{signal}");
    }

    /// Waits for its end, which must come.
    #[track_caller]
    pub fn end(mut self) -> Run {
        wait_until("the end of the run", || {
            let has_ended = self.has_ended();
            assert!(has_ended || self.start.elapsed() < PATIENCE, "it does not end: {}", self.said.lock().unwrap());
            has_ended
        });
        let ended = end(self.child);
        self.listener.join().expect("the listener does not panic");
        Run { stderr: self.said.lock().unwrap().clone(), ..ended }
    }
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
        if [source, target].contains(&Server::Community) && !has_community(name) {
            return None;
        }
        match (Database::create(source, name), Database::create(target, name)) {
            (Some(source), Some(target)) => Some(Story { source, target }),
            _ => {
                eprintln!("skipped {name}: Debian offers no TimescaleDB for {source:?} or {target:?} now");
                None
            }
        }
    }

    /// A story of the community edition on both sides; `None`, with a word about it, without one.
    pub fn community(name: &str) -> Option<Story> {
        Story::from_community(Server::Community, name)
    }

    /// A story whose source is of the community edition; `None`, with a word about it, without one.
    pub fn from_community(target: Server, name: &str) -> Option<Story> {
        let source = Database::community(name)?;
        let target = Database::create(target, name).expect("the server has TimescaleDB");
        Some(Story { source, target })
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
        self.target.objects()
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

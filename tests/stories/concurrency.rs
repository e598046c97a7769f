//! Others at work while rows are copied: writers and DDL on the source, a second engine, administrators who end
//! backends, a target that crashes.
//!
//! Nothing sleeps: a run is held by a lock that the story owns, and is known to be held when the server says so.

use std::process::Child;
use std::time::{Duration, Instant};

use hypercopy::cluster::{Cluster, Installation, Release, Settings};
use tokio_postgres::Client;

use crate::harness::{Database, Hold, Run, Story, end, multiset_sql, wait_until, wait_until_held};

/// 23 MB in four chunks of one day: more than sockets and channels hold, and enough for several tasks.
const METRICS: &str = "
    create function gate() returns boolean language plpgsql as 'begin return true; end';
    create table metrics (time timestamptz not null, device int not null, note text, constraint gated check (gate()));
    alter table metrics alter column note set storage external;
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
    insert into metrics
    select '2025-03-01'::timestamptz + n * interval '5 minutes', n % 7, repeat(chr(97 + n % 26), 20000)
    from generate_series(0, 1151) n;";

/// On the target the check of every row waits while the gate is closed.
const GATE: &str = "
    create function gate() returns boolean language plpgsql as
    'begin perform pg_advisory_xact_lock_shared(42); return true; end';";

/// A story whose target waits at the gate.
fn gated(name: &str) -> Story {
    let story = Story::new(name);
    story.source.run(METRICS);
    story.target.run(GATE);
    story
}

#[test]
fn ddl_on_the_source_waits_while_writers_go_on() {
    let story = gated("ddl_waits");
    let gate = Hold::gate(&story.target);
    let before = story.source.multiset("metrics");
    let child = story.spawn(&["migrate", "metrics", "--json", "-j", "2", "--verify", "checksum"]);
    wait_until_held(&story.target, 2);

    let chunk = story.source.value("select show_chunks('metrics')::text order by 1 limit 1");
    let session = story.source.session();
    story.source.wait(session.batch_execute("set lock_timeout = '20ms'")).unwrap();
    for ddl in [
        "select drop_chunks('metrics', older_than => '2025-03-03'::timestamptz)",
        "truncate metrics",
        "drop table metrics",
        "alter table metrics add column more int",
        "alter table metrics alter column device type bigint",
        "alter table metrics rename column note to remark",
        &format!("truncate {chunk}"),
        &format!("drop table {chunk}"),
        &format!("vacuum full {chunk}"),
    ] {
        let error = story.source.wait(session.batch_execute(ddl)).expect_err(ddl);
        assert_eq!(error.code().map(|code| code.code()), Some("55P03"), "{ddl}: {error:?}");
    }
    story.source.run(
        "insert into metrics values ('2025-03-01', 99, 'an old chunk'), ('2031-01-01', 99, 'a new chunk');
         update metrics set note = 'changed' where time = '2025-03-02';
         delete from metrics where time >= '2025-03-03' and time < '2025-03-03 01:00';",
    );

    gate.open();
    let run = end(child);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(story.target.multiset("metrics"), before, "what was copied is the snapshot");
    assert_ne!(story.source.multiset("metrics"), before);
    story.source.assert_nothing_left();
    story.target.assert_nothing_left();
}

#[test]
fn a_second_engine_for_the_same_table_is_refused() {
    let story = gated("second_engine");
    let gate = Hold::gate(&story.target);
    let child = story.spawn(&["migrate", "metrics", "--json"]);
    wait_until_held(&story.target, 1);
    let second = story.hypercopy(&["migrate", "metrics"]);
    assert_eq!(second.code, 9, "{}", second.stderr);
    assert!(second.stderr.contains("job 1 is being worked on by another run"), "{}", second.stderr);
    gate.open();
    let run = end(child);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"));
}

#[test]
fn of_two_engines_that_begin_together_one_wins() {
    let story = gated("begin_together");
    // Somebody is about to make the ledger's schema: both engines have looked and wait to begin.
    let hold = Hold::new(&story.target, "begin; create schema _hypercopy");
    let children = [0, 1].map(|_| story.spawn(&["migrate", "metrics", "--json"]));
    wait_until_held(&story.target, 2);
    hold.open();
    let runs = children.map(end);
    let winner = runs.iter().filter(|run| run.code == 0).count();
    let codes = runs.each_ref().map(|run| (run.code, &run.stderr));
    assert_eq!(winner, 1, "{codes:?}");
    let loser = runs.iter().find(|run| run.code != 0).unwrap();
    assert_eq!(loser.code, 9, "{}", loser.stderr);
    assert!(loser.stderr.contains("of another run has just begun to fill public.metrics"), "{}", loser.stderr);
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"));
    story.target.assert_nothing_left();
}

#[test]
fn engines_for_different_tables_begin_together() {
    let story = gated("different_tables");
    let hold = Hold::new(&story.target, "begin; create schema _hypercopy");
    let children = ["one", "two"].map(|name| story.spawn(&["migrate", "metrics", "--as", name, "--json"]));
    wait_until_held(&story.target, 2);
    hold.open();
    for run in children.map(end) {
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("one"));
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("two"));
}

/// Ends the backend of this role while rows are copied, and answers the run.
fn terminate(story: &Story, database: &Database, role: &str, arguments: &[&str]) -> Run {
    let gate = Hold::gate(&story.target);
    let child = story.spawn(&[&["migrate", "metrics", "--json", "-j", "2"], arguments].concat());
    wait_until_held(&story.target, 2);
    let ended = database.value(&format!(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity \
         where datname = current_database() and application_name = 'hypercopy {role}'"
    ));
    assert_eq!(ended, "1", "there is one session {role}");
    gate.open();
    end(child)
}

const ROLES: [(bool, &str); 5] = [
    (true, "migrate leader"),
    (true, "migrate copy out 1"),
    (true, "migrate copy out 2"),
    (false, "migrate public.metrics"),
    (false, "migrate public.metrics copy in 1"),
];

#[test]
fn a_backend_that_is_terminated_is_replaced() {
    let story = gated("terminated");
    for (is_source, role) in ROLES {
        let database = if is_source { &story.source } else { &story.target };
        let run = terminate(&story, database, role, &[]);
        assert_eq!(run.code, 0, "{role}: {}", run.stderr);
        assert_eq!(run.json()["outcome"], "finished");
        assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"), "{role}");
        story.source.assert_nothing_left();
        story.target.assert_nothing_left();
        story.target.run("drop table metrics");
    }
}

#[test]
fn a_backend_that_is_terminated_ends_a_run_without_patience() {
    let story = gated("impatient");
    for (is_source, role) in &ROLES[1..] {
        let database = if *is_source { &story.source } else { &story.target };
        let run = terminate(&story, database, role, &["--retry-for", "0s"]);
        assert_eq!(run.code, 8, "{role}: {}", run.stderr);
        let is_clear = run.stderr.contains("terminating connection") || run.stderr.contains("connection closed");
        assert!(is_clear, "{role}: {}", run.stderr);
        assert!(run.stderr.contains("hypercopy migrate metrics --json -j 2 --retry-for 0s"), "{role}: {}", run.stderr);
        assert_eq!(run.json()["outcome"], "failed");
        story.source.assert_nothing_left();
        story.target.assert_nothing_left();
        let report = story.migrate("metrics", &[]);
        assert!(report["resumed"].is_object() || report["tasks"].as_u64() > Some(0), "{report}");
        story.target.run("drop table metrics");
    }
}

#[test]
fn a_target_that_crashes_is_waited_for() {
    let story = Story::new("crash");
    story.source.run(METRICS);
    let installation = Installation::debian(Release::Trixie).expect("trixie can be had").expect("it has TimescaleDB");
    let settings = Settings::new("stories-crash").fsync(false);
    let mut cluster = Cluster::start(&installation, settings).expect("the cluster starts");
    let conninfo = cluster.conninfo("postgres");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let session = || {
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&conninfo, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            client
        })
    };
    let run = |client: &Client, sql: &str| runtime.block_on(client.batch_execute(sql)).unwrap();
    let holder = session();
    run(&holder, "create extension timescaledb");
    run(&holder, GATE);
    run(&holder, "select pg_advisory_lock(42)");
    let mut command = story.command(&["migrate", "metrics", "--json", "-j", "2"]);
    command.env("HYPERCOPY_TARGET", &conninfo);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().expect("the program starts");
    let watcher = session();
    let waiting =
        "select count(*) from pg_stat_activity where application_name like 'hypercopy%' and wait_event = 'advisory'";
    wait_until("two writers at the gate", || {
        runtime.block_on(watcher.query_one(waiting, &[])).unwrap().get::<_, i64>(0) == 2
    });

    cluster.restart().expect("the cluster starts again");
    let ended = end(child);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(ended.json()["outcome"], "finished");
    story.source.assert_nothing_left();
    let client = session();
    let row = runtime.block_on(client.query_one(&multiset_sql("metrics"), &[])).unwrap();
    assert_eq!(row.get::<_, String>(0), story.source.multiset("metrics"));
}

#[test]
fn rows_that_a_trigger_drops_are_missed() {
    let story = gated("trigger_drops");
    let ledger = Hold::ledger(&story.target);
    let child = story.spawn(&["migrate", "metrics", "--json", "-j", "1", "--verify", "none"]);
    wait_until_held(&story.target, 1);
    story.target.run(
        "create function drop_some() returns trigger language plpgsql as
         'begin if new.device = 3 then return null; end if; return new; end';
         create trigger drop_some before insert on metrics for each row execute function drop_some();",
    );
    ledger.open();
    let run = end(child);
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(run.stderr.contains(" rows were read, "), "{}", run.stderr);
    assert!(run.stderr.contains("run the same command again"), "how it goes on is said: {}", run.stderr);
    assert_eq!(story.target.value("select count(*) from metrics"), "0", "nothing of the task is committed");
    assert_eq!(story.target.value("select count(*) from _hypercopy.task"), "0");
    story.target.assert_nothing_left();
}

#[test]
fn a_row_of_somebody_else_is_found_by_the_late_key() {
    let story = gated("late_key");
    story.source.run("alter table metrics add constraint metrics_key primary key (time, device)");
    let gate = Hold::gate(&story.target);
    let child = story.spawn(&["migrate", "metrics", "--json"]);
    wait_until_held(&story.target, 1);
    gate.run("insert into metrics values ('2025-03-01', 0, 'secret-canary')");
    gate.open();
    let run = end(child);
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(run.stderr.contains("metrics_key"), "{}", run.stderr);
    assert!(run.stderr.contains("23505"), "{}", run.stderr);
    assert!(run.stderr.contains("run the same command again"), "{}", run.stderr);
    assert!(!run.stdout.contains("2025-03-01 00:00"), "reports show no values: {}", run.stdout);
    story.target.assert_nothing_left();
}

#[test]
fn a_row_of_somebody_else_is_found_by_counting() {
    let story = gated("foreign_row");
    let gate = Hold::gate(&story.target);
    let child = story.spawn(&["migrate", "metrics", "--json", "--from", "2025-03-02"]);
    wait_until_held(&story.target, 1);
    gate.run("insert into metrics values ('1999-01-01', 0, 'outside of the range')");
    gate.open();
    let run = end(child);
    assert_eq!(run.code, 7, "{}", run.stderr);
    assert_eq!(run.json()["verification"]["differences"].as_array().unwrap().len(), 1);
}

/// A chunk whose table was dropped behind TimescaleDB's back is told from one that vanished while it was locked.
#[test]
fn a_chunk_that_has_lost_its_table_is_refused() {
    let story = Story::new("lost_table");
    story.source.run(METRICS);
    let chunk = story.source.value("select show_chunks('metrics')::text order by 1 limit 1");
    story.source.run(&format!("set timescaledb.restoring = on; drop table {chunk}; set timescaledb.restoring = off"));
    story.assert_refused(&["metrics"], "has lost its table");
}

/// A foreign table in a chunk's place is what tiering leaves.
#[test]
fn a_chunk_that_is_not_in_the_server_is_refused() {
    let story = Story::new("foreign_chunk");
    story.source.run(METRICS);
    let chunk = story.source.value("select show_chunks('metrics')::text order by 1 limit 1");
    story.source.run(&format!(
        "set timescaledb.restoring = on; drop table {chunk}; create foreign data wrapper far; create server away foreign data wrapper far;
         create foreign table {chunk} (time timestamptz not null, device int not null, note text) server away;
         set timescaledb.restoring = off"
    ));
    story.assert_refused(&["metrics"], "is not in this server");
}

/// A signal in the middle of a copy: a code of its own, nothing at work on either server.
#[test]
fn an_interrupted_run_stops_its_backends() {
    let story = gated("interrupted");
    let gate = Hold::gate(&story.target);
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let child = story.spawn(&["migrate", "metrics", "--json", "-j", "2", "--grace", "0s"]);
        wait_until_held(&story.target, 2);
        let killed = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(killed.is_ok_and(|status| status.success()));
        let run = end(child);
        assert_eq!(run.code, code, "{}", run.stderr);
        assert_eq!(run.json()["outcome"], "failed");
        story.source.assert_nothing_left();
        story.target.assert_nothing_left();
        assert_eq!(story.target.value("select count(*) from metrics"), "0");
        story.target.run("drop table metrics");
    }
    gate.open();
}

/// The first signal lets the open task end, and begins no other; the second one waits for nothing.
#[test]
fn a_signal_lets_open_tasks_end_and_a_second_one_does_not() {
    let story = gated("graceful");
    let signal = |id: u32| {
        let killed = std::process::Command::new("kill").args(["-INT", &id.to_string()]).status();
        assert!(killed.is_ok_and(|status| status.success()));
    };
    let stop = || {
        let child = story.spawn(&["migrate", "metrics", "-j", "1", "--grace", "1h"]);
        let id = child.id();
        wait_until_held(&story.target, 1);
        let mut errors = Lines::of(child);
        signal(id);
        errors.wait_for("stopping: open transactions get 1 h 00 min to end");
        (errors, id)
    };
    let gate = Hold::gate(&story.target);
    let (errors, id) = stop();
    signal(id);
    let run = errors.end();
    assert_eq!(run.code, 130, "{}", run.stderr);
    assert_eq!(story.target.value("select count(*) from _hypercopy.task"), "0", "the open task was rolled back");
    story.source.assert_nothing_left();
    story.target.assert_nothing_left();

    let (errors, _) = stop();
    gate.open();
    let run = errors.end();
    assert_eq!(run.code, 130, "{}", run.stderr);
    assert!(run.stderr.contains("run the same command again to go on"), "{}", run.stderr);
    assert_eq!(
        story.target.value("select count(*) from _hypercopy.task where rows > 0"),
        "1",
        "the open task has ended"
    );
    story.source.assert_nothing_left();
    story.target.assert_nothing_left();
    story.migrate("metrics", &["-j", "1"]);
}

/// The worker that hears of the wish first does not take the others' work with it.
#[test]
fn a_signal_lets_the_open_tasks_of_all_workers_end() {
    let story = gated("graceful_all");
    let gate = Hold::gate(&story.target);
    let child = story.spawn(&["migrate", "metrics", "-j", "2", "--grace", "1h"]);
    let id = child.id();
    wait_until_held(&story.target, 2);
    let mut errors = Lines::of(child);
    let killed = std::process::Command::new("kill").args(["-TERM", &id.to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    errors.wait_for("stopping: open transactions get 1 h 00 min to end");
    gate.open();
    let run = errors.end();
    assert_eq!(run.code, 143, "{}", run.stderr);
    let done = "select count(*) from _hypercopy.task where completed_at is not null";
    assert_eq!(story.target.value(done), "2", "both tasks have ended");
    story.target.assert_nothing_left();
    story.migrate("metrics", &["-j", "2"]);
}

/// A lock on the source is waited for ten seconds and not longer, also before the snapshot: writers queue behind us.
#[test]
fn a_source_that_stays_locked_is_given_up() {
    let story = Story::new("locked");
    story.source.run(
        "create table metrics (time timestamptz not null, n int);
         select create_hypertable('metrics', 'time');
         insert into metrics values ('2025-03-01', 1)",
    );
    story.source.run("begin; lock table metrics in access exclusive mode");
    let run = story.hypercopy(&["migrate", "metrics"]);
    assert_eq!(run.code, 8, "{}", run.stderr);
    assert!(run.stderr.contains("metrics or one of its chunks stayed locked"), "{}", run.stderr);
    assert!(run.stderr.contains("pg_stat_activity"), "{}", run.stderr);
    story.source.run("rollback");
    story.migrate("metrics", &[]);
}

/// Whoever waits behind the locks of a copy has to be told by the copy: writers wait behind them in turn.
#[test]
fn who_waits_behind_the_sources_locks_is_named() {
    let story = gated("behind");
    let gate = Hold::gate(&story.target);
    let child = story.spawn(&["migrate", "metrics", "-j", "2"]);
    wait_until_held(&story.target, 2);
    let chunk = story.source.value("select show_chunks('metrics')::text order by 1 limit 1");
    let (pid, vacuum) = in_background(&story.source, &format!("vacuum full {chunk}"));
    let mut errors = Lines::of(child);
    errors.wait_for(&format!("pid {pid} (vacuum full) waits behind our locks on the source"));
    gate.open();
    let run = errors.end();
    assert_eq!(run.code, 0, "{}", run.stderr);
    vacuum.join().expect("the vacuum ends");
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"));
}

#[test]
fn who_waits_behind_the_sources_locks_is_given_way_when_asked_to() {
    let story = gated("yield");
    let gate = Hold::gate(&story.target);
    let child = story.spawn(&["migrate", "metrics", "-j", "2", "--yield", "1"]);
    wait_until_held(&story.target, 2);
    let chunk = story.source.value("select show_chunks('metrics')::text order by 1 limit 1");
    let (pid, vacuum) = in_background(&story.source, &format!("vacuum full {chunk}"));
    let mut errors = Lines::of(child);
    errors.wait_for(&format!("gave way: pid {pid} (vacuum full) waits behind our locks"));
    vacuum.join().expect("the vacuum ends while the gate is closed");
    gate.open();
    let run = errors.end();
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"));
    story.source.assert_nothing_left();
    story.target.assert_nothing_left();
}

#[test]
fn a_lock_of_the_target_is_named_and_given_up_in_the_end() {
    let story = gated("never_had");
    let gate = Hold::gate(&story.target);
    let holder = story.target.value(
        "select pid from pg_locks where locktype = 'advisory' and granted and objid = 42
        and database = (select oid from pg_database where datname = current_database())",
    );
    let run = end(story.spawn(&["migrate", "metrics", "--json", "-j", "2", "--retry-for", "1s"]));
    assert_eq!(run.code, 8, "{}", run.stderr);
    let named = format!("waits for a lock held by pid {holder} (select pg) on the target");
    assert!(run.stderr.contains(&named), "{}", run.stderr);
    assert!(run.stderr.contains("hypercopy: given up after 1"), "{}", run.stderr);
    story.source.assert_nothing_left();
    story.target.assert_nothing_left();
    gate.open();
    story.migrate("metrics", &[]);
}

/// Starts a statement in a session of its own, waits until it waits for a lock, and answers its process id.
fn in_background(database: &Database, sql: &str) -> (String, std::thread::JoinHandle<()>) {
    let session = database.session();
    let pid: i32 = database.wait(session.query_one("select pg_backend_pid()", &[])).unwrap().get(0);
    let (handle, sql) = (database.handle(), sql.to_string());
    let thread = std::thread::spawn(move || handle.block_on(session.batch_execute(&sql)).unwrap());
    database.wait_until(
        "the statement waits",
        &format!("select exists (select from pg_locks where pid = {pid} and not granted)"),
    );
    (pid.to_string(), thread)
}

/// The stderr of a program that runs, line by line.
struct Lines {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
    seen: String,
}

impl Lines {
    fn of(mut child: Child) -> Lines {
        use std::io::BufRead;
        let stderr = std::io::BufReader::new(child.stderr.take().expect("stderr is piped"));
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Lines { child, lines, seen: String::new() }
    }

    /// Reads on until a line holds `text`.
    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            self.seen.push_str(&line);
            self.seen.push('\n');
            if line.contains(text) {
                return;
            }
        }
        let _ = self.child.kill();
        panic!("never said: {text}\n{}", self.seen);
    }

    /// Waits for the end of the program.
    #[track_caller]
    fn end(mut self) -> Run {
        let rest: Vec<String> = self.lines.iter().collect();
        let code = self.child.wait().expect("the program can be waited for").code().unwrap_or(-1);
        Run { code, stdout: String::new(), stderr: self.seen + &rest.join("\n") }
    }
}

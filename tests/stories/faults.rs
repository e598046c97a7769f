//! What happens to servers, networks and tables while rows are copied: the run goes on, or ends and is gone on with, and
//! in the end every row is there once.
//!
//! As in `concurrency`, nothing sleeps: a run is held by a lock or a message that the story owns.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hypercopy::cluster::{Cluster, Installation, Release, Settings};

use crate::harness::{Database, Hold, Role, Run, Running, Server, Story, wait_until, wait_until_held};
use crate::proxy::{COMMIT, Fault, Proxy, Trigger, Way};

/// Eight chunks and 23 MB in four tasks, with duplicates, NULLs, NaN, −0, and no primary key.
const METRICS: &str = "
    create function gate(at timestamptz) returns boolean language plpgsql as 'begin return true; end';
    create table metrics (time timestamptz not null, device int, value double precision, note text,
        constraint gated check (gate(time)));
    alter table metrics alter column note set storage external;
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
    insert into metrics
    select '2025-03-01'::timestamptz + n * interval '10 minutes', nullif(n % 7, 3),
        (array[n::text, 'NaN', '-0', '0', null, 'inf'])[n % 6 + 1]::float8, repeat(chr(97 + n % 26), 20000)
    from generate_series(0, 1151) n, generate_series(0, n % 100 / 99) twice;
    create index metrics_device_idx on metrics (device, time desc);";

/// On the target the rows of the last task wait while the gate is closed.
const GATE: &str = "
    create function gate(at timestamptz) returns boolean language plpgsql as
    'begin if at >= ''2025-03-07'' then perform pg_advisory_xact_lock_shared(42); end if; return true; end';";

const CHECKED: [&str; 6] = ["migrate", "metrics", "--json", "-j", "2", "--verify=checksum"];
const IMPATIENT: [&str; 2] = ["--retry-for", "0s"];

fn gated(story: Story) -> Story {
    story.source.run(METRICS);
    story.target.run(GATE);
    story
}

/// A cluster of a story's own.
pub fn cluster(name: &str, parameters: &[(&str, &str)]) -> Cluster {
    let installation = Installation::debian(Release::Trixie).expect("trixie can be had").expect("it has TimescaleDB");
    let settings = Settings::new(name).fsync(false);
    let settings = parameters.iter().fold(settings, |settings, (name, value)| settings.parameter(*name, *value));
    Cluster::start(&installation, settings).expect("the cluster starts")
}

/// Starts a run and answers it when its last task waits at the gate and all others are done.
#[track_caller]
fn run_to_the_gate(story: &Story, arguments: &[&str]) -> Running {
    at_the_gate(story, story.command(&[&CHECKED, arguments].concat()))
}

#[track_caller]
fn at_the_gate(story: &Story, command: Command) -> Running {
    let mut running = Running::start(command);
    let is_held = "select count(*) > 0 from pg_stat_activity where datname = current_database()
         and application_name like 'hypercopy%copy in%' and wait_event = 'advisory'";
    let are_done = format!("select count(*) = 3 from ({DONE}) done");
    wait_until("all tasks but the last to be done", || {
        assert!(!running.has_ended(), "the run has ended early: {}", running.said());
        story.target.value(is_held) == "t" && story.target.value(&are_done) == "t"
    });
    running
}

/// Ends the session that holds the job's lock.
const TERMINATE_CONTROL: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity
    where datname = current_database() and application_name = 'hypercopy migrate public.metrics'";

/// Ends the session that waits at the gate.
const TERMINATE_HELD: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity
    where datname = current_database() and application_name like 'hypercopy%copy in%' and wait_event = 'advisory'";

/// The tasks that are done of the latest job.
const DONE: &str = "select task, completed_at from _hypercopy.task
    where completed_at is not null and job = (select max(id) from _hypercopy.job)";

/// Both sides hold the same, the ledger says so, and nothing is left of any run.
#[track_caller]
fn assert_complete(story: &Story) {
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"));
    let ledger = "select string_agg(state || ' ' || (select sum(rows) from _hypercopy.task where job = job.id), ',')
         from _hypercopy.job where target_oid = 'metrics'::regclass";
    let rows = story.target.value("select count(*) from metrics");
    assert_eq!(story.target.value(ledger), format!("finished {rows}"));
    assert_eq!(story.target.value("select count(*) from _hypercopy.backend"), "0");
    let indexes = "select count(*) from pg_index where indisvalid and indrelid = 'metrics'::regclass";
    assert_eq!(story.source.value(indexes), story.target.value(indexes));
    let without =
        "select count(*) from show_chunks('metrics') chunk where (select count(*) from pg_index where indisvalid
         and indrelid = chunk) <> (select count(*) from pg_index where indrelid = 'metrics'::regclass)";
    assert_eq!(story.target.value(without), "0", "each chunk has all indexes");
    story.source.assert_nothing_left();
    story.target.assert_nothing_left();
}

#[track_caller]
fn assert_finished(story: &Story, run: &Run) {
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.json()["outcome"], "finished");
    assert_complete(story);
}

/// The same command again, which has to complete the job; then all is taken away for the next run.
#[track_caller]
fn complete(story: &Story, arguments: &[&str]) {
    assert_finished(story, &story.hypercopy(&[&CHECKED, arguments].concat()));
    story.target.run("drop table metrics");
}

#[track_caller]
fn assert_given_up(run: &Run) {
    assert_eq!(run.code, 8, "{}", run.stderr);
    assert!(run.stderr.contains("run the same command again"), "{}", run.stderr);
    assert_eq!(run.json()["outcome"], "failed");
}

// ---- servers

/// What is committed stays in the server's memory for ten seconds.
pub const FORGETFUL: [(&str, &str); 6] = [
    ("wal_writer_delay", "10s"),
    ("wal_writer_flush_after", "1GB"),
    ("wal_buffers", "64MB"),
    ("shared_buffers", "256MB"),
    ("checkpoint_timeout", "1h"),
    ("autovacuum", "off"),
];

/// The commits of tasks do not wait for the disk: a server that crashes forgets what it has said is done.
#[test]
fn a_target_that_forgets_is_told_again() {
    let mut cluster = cluster("stories-forgets", &FORGETFUL);
    let source = Database::create(Server::Trixie, "forgets").expect("trixie has TimescaleDB");
    let story = gated(Story { source, target: Database::in_cluster(&cluster, "forgets", "") });

    let gate = Hold::gate(&story.target);
    let running = run_to_the_gate(&story, &[]);
    let times = format!("select task, completed_at::text from ({DONE}) done");
    let done = story.target.query(&times);
    cluster.restart().expect("the cluster starts again");
    drop(gate);
    let run = running.end();
    assert_finished(&story, &run);
    assert!(run.json()["attempts"].as_u64() > Some(1), "the snapshot was taken again: {}", run.stdout);
    let kept = story.target.query(&times);
    assert!(!done.iter().any(|task| kept.contains(task)), "the server has kept what it should have lost: {kept:?}");
    story.target.run("drop table metrics");

    let gate = Hold::gate(&story.target);
    let running = run_to_the_gate(&story, &IMPATIENT);
    let postmaster = cluster.postmaster_pid().unwrap().to_string();
    assert!(Command::new("kill").args(["-9", &postmaster]).status().is_ok_and(|status| status.success()));
    assert_given_up(&running.end());
    drop(gate);
    cluster.restart().expect("the cluster starts again");
    let lost = story.target.value(&format!("select count(*) from ({DONE}) done"));
    assert_eq!(lost, "0", "the server has kept what it should have lost");
    complete(&story, &IMPATIENT);
}

#[test]
fn a_source_that_restarts_is_waited_for() {
    let mut cluster = cluster("stories-source", &[]);
    let target = Database::create(Server::OtherTrixie, "source").expect("trixie has TimescaleDB");
    let story = gated(Story { source: Database::in_cluster(&cluster, "source", ""), target });
    // The first task waits already, so that there are others to be read after the restart.
    story.target.run(
        "create or replace function gate(at timestamptz) returns boolean language plpgsql as
             'begin perform pg_advisory_xact_lock_shared(42); return true; end'",
    );
    for arguments in [[].as_slice(), &IMPATIENT] {
        let gate = Hold::gate(&story.target);
        let running = Running::start(story.command(&[&CHECKED, arguments].concat()));
        wait_until_held(&story.target, 2);
        cluster.restart().expect("the cluster starts again");
        gate.open();
        let run = running.end();
        if arguments.is_empty() {
            assert_finished(&story, &run);
            assert_eq!(run.json()["attempts"], 2, "the snapshot was taken again: {}", run.stdout);
            story.target.run("drop table metrics");
        } else {
            assert_given_up(&run);
            complete(&story, &IMPATIENT);
        }
    }
}

/// A target that has become a standby may be about to change places: it is waited for. Nothing begins on one.
#[test]
fn a_target_that_is_in_recovery_is_waited_for() {
    let mut cluster = cluster("stories-standby", &[]);
    let source = Database::create(Server::Trixie, "standby").expect("trixie has TimescaleDB");
    let story = gated(Story { source, target: Database::in_cluster(&cluster, "standby", "") });
    let gate = Hold::gate(&story.target);
    let mut running = run_to_the_gate(&story, &["--retry-for", "30s"]);
    cluster.stop_immediately().expect("the cluster stops");
    drop(gate);
    std::fs::write(cluster.data_directory().join("standby.signal"), "").expect("the data directory is ours");
    std::thread::scope(|scope| {
        // Answers when the server has been promoted.
        let restarted = scope.spawn(|| cluster.restart());
        let is_standby = "select pg_is_in_recovery()::text";
        wait_until("a standby", || {
            story.target.try_query(is_standby).is_ok_and(|rows| rows == [[Some("true".to_string())]])
        });
        running.wait_until_said("the target is in recovery; trying again");
        let before = story.target_objects();
        let other = story.hypercopy(&["migrate", "metrics", "--as", "other"]);
        assert_eq!(other.code, 3, "{}", other.stderr);
        assert!(other.stderr.contains("is a standby and cannot be written"), "{}", other.stderr);
        assert_eq!(before, story.target_objects());
        assert_eq!(story.target.value("select pg_promote()"), "t");
        restarted.join().unwrap().expect("the server is promoted");
    });
    assert_finished(&story, &running.end());
}

/// A file system of its own, small enough to be filled.
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// `None` where this process may not mount one.
    fn mount(name: &str, megabytes: u32, owner: &Path) -> Option<Tmpfs> {
        let path = std::env::temp_dir().join(format!("hypercopy-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).expect("a directory can be made");
        let tmpfs = Tmpfs(path);
        let mounted = tmpfs.run("mount", &["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "hypercopy"]);
        let owner = std::fs::metadata(owner).expect("the owner's directory is there");
        mounted.then(|| {
            std::os::unix::fs::chown(&tmpfs.0, Some(owner.uid()), Some(owner.gid())).expect("root may");
            tmpfs
        })
    }

    fn grow(&self, megabytes: u32) {
        assert!(self.run("mount", &["-o", &format!("remount,size={megabytes}m")]));
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = Command::new(program);
        command.args(arguments).arg(&self.0).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        self.run("umount", &["-l"]);
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_disk_that_is_full_ends_the_run_until_there_is_room() {
    let cluster = cluster("stories-disk", &[]);
    let Some(disk) = Tmpfs::mount("disk", 28, &cluster.data_directory()) else {
        eprintln!("skipped a_disk_that_is_full_ends_the_run_until_there_is_room: this user may not mount a tmpfs");
        return;
    };
    let administrator = Database::in_cluster(&cluster, "administrator", "");
    administrator.run(&format!("create tablespace small location '{}'", disk.0.display()));
    let source = Database::create(Server::Trixie, "disk").expect("trixie has TimescaleDB");
    let story = gated(Story { source, target: Database::in_cluster(&cluster, "disk", "tablespace small") });
    let run = story.hypercopy(&CHECKED);
    assert_given_up(&run);
    for words in ["No space left on device", "53100", "hint: Make room on that server's disk."] {
        assert!(run.stderr.contains(words), "{words} is not in: {}", run.stderr);
    }
    disk.grow(200);
    complete(&story, &[]);
}

// ---- networks

/// A story, and the way to one of its servers by a proxy.
fn proxied(story: &Story, is_source: bool) -> (Proxy, &'static str) {
    match is_source {
        true => (Proxy::to(&story.source.conninfo), "HYPERCOPY_SOURCE"),
        false => (Proxy::to(&story.target.conninfo), "HYPERCOPY_TARGET"),
    }
}

fn command_by(proxy: &(Proxy, &str), story: &Story, arguments: &[&str]) -> Command {
    let mut command = story.command(&[&CHECKED, arguments].concat());
    command.env(proxy.1, proxy.0.conninfo());
    command
}

/// One fault in the middle of a run. Before the job has begun that ends the run, and costs nothing; after that the run
/// goes on by itself.
#[track_caller]
fn run_through(story: &Story, proxy: &(Proxy, &str), trigger: Trigger, fault: Fault) {
    proxy.0.arm(trigger, fault);
    let run = Running::start(command_by(proxy, story, &[])).end();
    let what = format!("{} {trigger:?} {fault:?}", proxy.1);
    assert!(proxy.0.has_struck(), "{what} is never reached");
    if run.code != 0 {
        assert_eq!(run.json()["job"], serde_json::Value::Null, "{what}: {}", run.stderr);
        assert_eq!(run.code, if proxy.1 == "HYPERCOPY_SOURCE" { 4 } else { 5 }, "{what}: {}", run.stderr);
        assert!(run.stderr.contains("connection closed") || run.stderr.contains("cannot connect"), "{}", run.stderr);
        let run = Running::start(command_by(proxy, story, &[])).end();
        assert_eq!(run.code, 0, "{what}: {}", run.stderr);
    }
    assert_complete(story);
    story.target.run("drop table metrics");
}

#[test]
fn a_source_that_is_cut_off_at_any_byte_is_read_on() {
    let story = gated(Story::new("cut_source"));
    let proxy = proxied(&story, true);
    for (bytes, fault) in
        [(30_000, Fault::Reset), (100_000, Fault::Close), (1 << 20, Fault::HalfClose), (22 << 20, Fault::Reset)]
    {
        run_through(&story, &proxy, Trigger::Bytes(Way::ToClient, bytes), fault);
    }
    for (bytes, fault) in [(20_000, Fault::HalfClose), (38_000, Fault::Close)] {
        run_through(&story, &proxy, Trigger::Bytes(Way::ToServer, bytes), fault);
    }
}

#[test]
fn a_target_that_is_cut_off_at_any_byte_is_written_on() {
    let story = gated(Story::new("cut_target"));
    let proxy = proxied(&story, false);
    for (bytes, fault) in
        [(30_000, Fault::Close), (100_000, Fault::Reset), (12 << 20, Fault::HalfClose), (22 << 20, Fault::Close)]
    {
        run_through(&story, &proxy, Trigger::Bytes(Way::ToServer, bytes), fault);
    }
    for (bytes, fault) in [(20_000, Fault::Reset), (25_000, Fault::HalfClose), (1 << 20, Fault::Close)] {
        run_through(&story, &proxy, Trigger::Bytes(Way::ToClient, bytes), fault);
    }
}

/// Of each commit of a run the answer is lost on its way back; of some, the commit itself on its way to the server.
#[test]
fn a_commit_whose_answer_is_lost_is_done_once() {
    let story = gated(Story::new("commit"));
    let proxy = proxied(&story, false);
    let lose = |trigger: Trigger| {
        proxy.0.arm(trigger, Fault::Close);
        let run = Running::start(command_by(&proxy, &story, &[])).end();
        assert_eq!(run.code, 0, "{trigger:?}: {}", run.stderr);
        assert_finished(&story, &run);
        story.target.run("drop table metrics");
        proxy.0.has_struck()
    };
    let commits = (1..).take_while(|number| lose(Trigger::Answer(COMMIT, *number))).count();
    assert!(commits > 6, "a run commits each task, step and state, and not {commits} times");
    for number in (1..commits).step_by(3) {
        assert!(lose(Trigger::Before(COMMIT, number)), "{number}");
    }
}

/// The same where a done task is copied again, which begins with deleting what is there.
#[test]
fn a_lost_answer_does_not_delete_or_copy_twice() {
    let story = gated(Story::new("again"));
    let proxy = proxied(&story, false);
    // The first two are those of the job's taking over.
    for number in 3..6 {
        let gate = Hold::gate(&story.target);
        let killed = run_to_the_gate(&story, &[]);
        killed.signal("-KILL");
        killed.end();
        gate.open();
        story.source.run(&format!("update metrics set value = {number} where device = 1"));
        proxy.0.arm(Trigger::Answer(COMMIT, number), Fault::Reset);
        let run = Running::start(command_by(&proxy, &story, &[])).end();
        assert!(proxy.0.has_struck(), "{number}");
        assert_finished(&story, &run);
        assert_eq!(run.json()["resumed"]["copied_again"], 3, "{}", run.stdout);
        story.target.run("drop table metrics");
    }
}

// A peer that is gone without a word, for one connection or for all of them.

fn stalled(name: &str, is_source: bool, way: Way, bytes: usize, fault: Fault) -> (Story, Run) {
    let story = gated(Story::new(name));
    let proxy = proxied(&story, is_source);
    proxy.0.arm(Trigger::Bytes(way, bytes), fault);
    let run = Running::start(command_by(&proxy, &story, &["--retry-for", "2s"])).end();
    assert!(proxy.0.has_struck());
    (story, run)
}

#[test]
fn a_source_connection_that_stalls_is_replaced() {
    let (story, run) = stalled("stalled_source", true, Way::ToClient, 12 << 20, Fault::Stall);
    assert_finished(&story, &run);
}

#[test]
fn a_target_connection_that_stalls_is_replaced() {
    let (story, run) = stalled("stalled_target", false, Way::ToServer, 12 << 20, Fault::Stall);
    assert_finished(&story, &run);
}

#[test]
fn a_source_that_falls_silent_is_given_up() {
    let (story, run) = stalled("silent_source", true, Way::ToClient, 12 << 20, Fault::Silence);
    assert_given_up(&run);
    complete(&story, &[]);
}

#[test]
fn a_target_that_falls_silent_is_given_up() {
    let (story, run) = stalled("silent_target", false, Way::ToServer, 12 << 20, Fault::Silence);
    assert_given_up(&run);
    complete(&story, &[]);
}

// ---- sessions

/// Waits pass these times while the run is held, and each statement of it does.
#[test]
fn hostile_timeouts_are_not_ours() {
    let story = gated(Story::new("timeouts"));
    let gate = Hold::gate(&story.target);
    for database in [&story.source, &story.target] {
        let name = database.value("select current_database()");
        for whose in [format!("database \"{name}\""), format!("role postgres in database \"{name}\"")] {
            for setting in [
                "statement_timeout = '1ms'",
                "lock_timeout = '1ms'",
                "idle_in_transaction_session_timeout = '1ms'",
                "idle_session_timeout = '1ms'",
                "transaction_timeout = '1ms'",
            ] {
                database.run(&format!("alter {whose} set {setting}"));
            }
        }
    }
    let running = run_to_the_gate(&story, &[]);
    story.target.wait_until(
        "a wait that is longer than all timeouts",
        "select bool_or(clock_timestamp() - query_start > '100 ms' and wait_event = 'advisory') from pg_stat_activity
         where datname = current_database() and application_name like 'hypercopy%'",
    );
    assert_eq!(story.target.value(TERMINATE_HELD), "1");
    wait_until_held(&story.target, 1);
    gate.open();
    assert_finished(&story, &running.end());
}

/// Rights enough for a migration.
fn grant(story: &Story, role: &Role, is_source: bool) {
    match is_source {
        true => story.source.run(&format!("grant select on metrics to {}", role.name)),
        false => {
            let database = story.target.value("select current_database()");
            let grant = format!("grant create, temporary on database \"{database}\" to {}", role.name);
            story.target.run(&format!("{grant}; grant create on schema public to {}", role.name));
        }
    }
}

#[test]
fn a_server_without_room_for_sessions_leaves_nothing() {
    let (on_source, on_target) = (Role::create(Server::Trixie, "full"), Role::create(Server::OtherTrixie, "full"));
    let story = gated(Story::new("full"));
    for (role, is_source, variable, code) in
        [(&on_source, true, "HYPERCOPY_SOURCE", 4), (&on_target, false, "HYPERCOPY_TARGET", 5)]
    {
        let database = if is_source { &story.source } else { &story.target };
        grant(&story, role, is_source);
        let before = story.target_objects();
        for limit in 0..3 {
            database.run(&format!("alter role {} connection limit {limit}", role.name));
            let mut command = story.command(&CHECKED);
            command.env(variable, role.conninfo(database));
            let run = Running::start(command).end();
            assert_eq!(run.code, code, "{variable} {limit}: {}", run.stderr);
            assert!(run.stderr.contains("too many connections for role"), "{}", run.stderr);
            assert_eq!(before, story.target_objects(), "{variable} {limit}");
        }
    }
}

#[test]
fn a_worker_waits_for_room_for_its_session() {
    let (on_source, on_target) = (Role::create(Server::Trixie, "room"), Role::create(Server::OtherTrixie, "room"));
    let story = gated(Story::new("room"));
    for (role, is_source, variable) in [(&on_source, true, "HYPERCOPY_SOURCE"), (&on_target, false, "HYPERCOPY_TARGET")]
    {
        let database = if is_source { &story.source } else { &story.target };
        grant(&story, role, is_source);
        let gate = Hold::gate(&story.target);
        let mut command = story.command(&CHECKED);
        command.env(variable, role.conninfo(database));
        let mut running = at_the_gate(&story, command);
        database.run(&format!("alter role {} connection limit 1", role.name));
        // The worker that waits at the gate loses its target, and on the source whatever it has there.
        assert_eq!(story.target.value(TERMINATE_HELD), "1");
        running.wait_until_said("too many connections for role");
        database.run(&format!("alter role {} connection limit -1", role.name));
        gate.open();
        let run = running.end();
        assert_finished(&story, &run);
        assert_eq!(run.json()["attempts"], 1, "the snapshot stays: {}", run.stderr);
        story.target.run("drop table metrics; drop schema _hypercopy cascade");
    }
}

// ---- the source's table

/// DDL that waits in a session of its own.
struct Ddl<'a>(&'a Database, tokio::task::JoinHandle<Result<(), tokio_postgres::Error>>);

impl Ddl<'_> {
    /// Runs it behind the locks of a run.
    #[track_caller]
    fn queue<'a>(database: &'a Database, ddl: &str) -> Ddl<'a> {
        let (session, statement) = (database.session(), ddl.to_string());
        let ddl = Ddl(database, database.spawn(async move { session.batch_execute(&statement).await }));
        database.wait_until(
            "the DDL behind our locks",
            "select count(*) = 1 from pg_stat_activity where datname = current_database()
                 and application_name not like 'hypercopy%' and wait_event_type = 'Lock' and pid <> pg_backend_pid()",
        );
        ddl
    }

    #[track_caller]
    fn end(self) {
        self.0.wait(self.1).expect("the session does not panic").expect("the DDL is run");
    }
}

/// A run that is killed when two tasks are done, which lets the DDL through that waits behind its locks.
#[track_caller]
fn ddl_behind_a_killed_run(story: &Story, ddl: &str) {
    let gate = Hold::gate(&story.target);
    let running = run_to_the_gate(story, &[]);
    let ddl = Ddl::queue(&story.source, ddl);
    running.signal("-KILL");
    ddl.end();
    gate.open();
    assert_eq!(running.end().code, -1, "it was killed");
}

/// The next run is refused with these words, and leaves the target as it was.
#[track_caller]
fn assert_refused(story: &Story, words: &[&str]) {
    let before = story.target.multiset("metrics");
    let run = story.hypercopy(&CHECKED);
    assert_eq!(run.code, 3, "{}", run.stderr);
    for word in words {
        assert!(run.stderr.contains(word), "{word} is not in: {}", run.stderr);
    }
    assert_eq!(before, story.target.multiset("metrics"));
    story.target.assert_nothing_left();
}

#[test]
fn ddl_that_waited_for_a_killed_run_is_seen_by_the_next_one() {
    let story = gated(Story::new("ddl"));
    ddl_behind_a_killed_run(&story, "alter table metrics add column more int");
    assert_refused(&story, &["columns: ", "more integer now"]);
    story.source.run("alter table metrics drop column more; alter table metrics alter column device type bigint");
    assert_refused(&story, &["columns: ", "device integer", "device bigint"]);
    story.source.run("alter table metrics alter column device type int; alter table metrics rename column note to n");
    assert_refused(&story, &["columns: ", "n text now"]);
    story.source.run("alter table metrics rename column n to note");
    complete(&story, &[]);

    ddl_behind_a_killed_run(&story, "select drop_chunks('metrics', older_than => '2025-03-05'::timestamptz)");
    assert_refused(&story, &["the source has no rows any more in 2 ranges", "--resume=follow-deletes"]);
    complete(&story, &["--resume=follow-deletes"]);
}

#[test]
fn a_table_that_was_emptied_or_dropped_behind_a_killed_run_is_seen_by_the_next_one() {
    let story = gated(Story::new("emptied"));
    ddl_behind_a_killed_run(&story, "truncate metrics");
    assert_refused(&story, &["the source has no rows any more in 3 ranges", "--resume=follow-deletes"]);
    complete(&story, &["--resume=follow-deletes"]);

    story.source.run("drop table metrics; drop function gate");
    story.source.run(METRICS);
    ddl_behind_a_killed_run(&story, "drop table metrics");
    assert_refused(&story, &["there is no table metrics at"]);
    // Another one of the same name is the same job's source, as it is now.
    story.source.run("drop function gate");
    story.source.run(METRICS);
    complete(&story, &[]);
}

/// Without a leader the snapshot is gone: the run releases its locks, and begins anew behind the DDL.
#[test]
fn ddl_gets_between_two_attempts_of_a_run() {
    let story = gated(Story::new("between"));
    for (ddl, words) in [
        ("alter table metrics alter column device type bigint", "device integer"),
        ("truncate metrics", "the source has no rows any more in 3 ranges"),
        ("drop table metrics", "there is no table metrics at"),
    ] {
        let gate = Hold::gate(&story.target);
        let running = run_to_the_gate(&story, &[]);
        let ddl = Ddl::queue(&story.source, ddl);
        let terminated = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database()
             and application_name in ('hypercopy migrate leader', 'hypercopy migrate copy out 1', 'hypercopy migrate copy out 2')";
        assert_eq!(story.source.value(terminated), "3");
        ddl.end();
        // All rows of the task may have been read before.
        assert_eq!(story.target.value(TERMINATE_HELD), "1");
        gate.open();
        let run = running.end();
        assert_eq!(run.code, 3, "{}", run.stderr);
        assert!(run.stderr.contains(words), "{}", run.stderr);
        story.source.assert_nothing_left();
        story.target.assert_nothing_left();
        story.source.run("drop table if exists metrics; drop function gate");
        story.source.run(METRICS);
        story.target.run("drop table metrics");
    }
}

/// What was looked at is not what is locked: the columns change between the two.
#[test]
fn columns_that_change_between_look_and_lock_are_refused() {
    let story = gated(Story::new("look_lock"));
    let gate = Hold::gate(&story.target);
    let running = run_to_the_gate(&story, &[]);
    running.signal("-KILL");
    drop(gate);
    running.end();
    let proxy = proxied(&story, true);
    let copied = story.target.multiset("metrics");
    for (ddl, back) in [
        // As many bytes, of which every bit means something else.
        (
            "alter table metrics alter column value type bigint using 1",
            "alter table metrics alter column value type float8",
        ),
        ("alter table metrics drop column note", "alter table metrics add column note text"),
        ("alter table metrics add column more int", "alter table metrics drop column more"),
    ] {
        proxy.0.arm(Trigger::Before("migrate leader", 1), Fault::Hold);
        let running = Running::start(command_by(&proxy, &story, &["--resume=trust"]));
        wait_until("the run before its lock", || proxy.0.has_struck());
        story.source.run(ddl);
        proxy.0.release();
        let run = running.end();
        assert_eq!(run.code, 3, "{ddl}: {}", run.stderr);
        assert!(run.stderr.contains("columns: "), "{ddl}: {}", run.stderr);
        assert_eq!(copied, story.target.multiset("metrics"), "{ddl}");
        story.source.run(back);
    }
}

/// Such a chunk is in the snapshot, and the first lock has not met it.
#[test]
fn a_chunk_that_is_born_between_lock_and_export_is_copied_or_gone() {
    let story = gated(Story::new("born"));
    let proxy = proxied(&story, true);
    proxy.0.arm(Trigger::Before("pg_export_snapshot", 1), Fault::Hold);
    let running = Running::start(command_by(&proxy, &story, &[]));
    wait_until("the run before its export", || proxy.0.has_struck());
    story.source.run("insert into metrics values ('2025-06-01', 1, '-0', 'born'), ('2025-06-01', 1, '-0', 'born')");
    proxy.0.release();
    assert_finished(&story, &running.end());
    assert_eq!(story.target.value("select count(*) from metrics where note = 'born'"), "2");
    story.target.run("drop table metrics");

    proxy.0.arm(Trigger::Before("pg_export_snapshot", 1), Fault::Hold);
    let running = Running::start(command_by(&proxy, &story, &[]));
    wait_until("the run before its export", || proxy.0.has_struck());
    story.source.run("insert into metrics values ('2025-07-01', 1, 'NaN', 'short-lived')");
    proxy.0.arm(Trigger::Before("lock table only", 1), Fault::Hold);
    proxy.0.release();
    wait_until("the run before its locks", || proxy.0.has_struck());
    story.source.run("select drop_chunks('metrics', newer_than => '2025-06-15'::timestamptz)");
    proxy.0.release();
    assert_finished(&story, &running.end());
}

/// A table of ours that others have altered while nobody was at work.
#[test]
fn a_target_whose_columns_were_changed_is_refused() {
    let story = gated(Story::new("altered"));
    let gate = Hold::gate(&story.target);
    let running = run_to_the_gate(&story, &[]);
    running.signal("-KILL");
    drop(gate);
    running.end();
    story.target.wait_until(
        "its sessions to end",
        "select not exists (select from pg_stat_activity
         where datname = current_database() and application_name like 'hypercopy%')",
    );
    for (ddl, back, words) in [
        (
            "alter table metrics alter column value type bigint using null",
            "alter table metrics alter column value type float8",
            "column value is double precision on the source and bigint in public.metrics",
        ),
        (
            "alter table metrics rename column note to remark",
            "alter table metrics rename column remark to note",
            "public.metrics has no column note on the target",
        ),
    ] {
        story.target.run(ddl);
        assert_refused(&story, &[words]);
        story.target.run(back);
    }
}

// ---- engines

#[test]
fn a_stopped_engine_that_has_lost_its_job_does_nothing_any_more() {
    let story = gated(Story::new("stopped"));
    for goes_on_early in [true, false] {
        let gate = Hold::gate(&story.target);
        let first = run_to_the_gate(&story, &[]);
        first.signal("-STOP");
        if goes_on_early {
            let second = story.hypercopy(&CHECKED);
            assert_eq!(second.code, 9, "{}", second.stderr);
            assert!(second.stderr.contains("is being worked on by another run"), "{}", second.stderr);
            story.target.wait_until(
                "its session to end",
                "select count(*) = 1 from pg_stat_activity
                 where datname = current_database() and application_name = 'hypercopy migrate public.metrics'",
            );
        }
        assert_eq!(story.target.value(TERMINATE_CONTROL), "1");
        let mut gate = Some(gate);
        let second = match goes_on_early {
            true => at_the_gate(&story, story.command(&CHECKED)),
            false => {
                gate.take();
                let second = Running::start(story.command(&CHECKED));
                story.target.wait_until(
                    "the second engine to finish",
                    "select state = 'finished' from _hypercopy.job order by id desc limit 1",
                );
                second
            }
        };
        first.signal("-CONT");
        let first = first.end();
        match goes_on_early {
            true => {
                assert_eq!(first.code, 9, "{}", first.stderr);
                assert!(first.stderr.contains("by another run"), "{}", first.stderr);
                assert_eq!(first.json()["outcome"], "failed");
            }
            // It has nothing left to do, and says so.
            false => {
                assert_eq!(first.code, 0, "{}", first.stderr);
                assert!(first.json()["finished_at"].is_string(), "{}", first.stdout);
            }
        }
        drop(gate);
        assert_finished(&story, &second.end());
        story.target.run("drop table metrics");
    }
}

/// What it has read of the job before it had the lock is old by then.
#[test]
fn an_engine_that_has_waited_for_another_finds_the_job_finished() {
    let story = gated(Story::new("waited"));
    let gate = Hold::gate(&story.target);
    let first = run_to_the_gate(&story, &[]);
    let before = story.source.multiset("metrics");
    story.source.run("update metrics set value = 77 where device = 1");
    let second = Running::start(story.command(&CHECKED));
    story.target.wait_until(
        "the second engine at the job's lock",
        "select count(*) > 0 from pg_stat_activity where datname = current_database()
             and application_name like 'hypercopy%' and query like '%pg_try_advisory_lock%'",
    );
    gate.open();
    assert_eq!(first.end().code, 0);
    let second = second.end();
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert!(second.json()["finished_at"].is_string(), "{}", second.stdout);
    assert_eq!(before, story.target.multiset("metrics"), "what is finished is left alone");
    assert_eq!(story.target.value("select run from _hypercopy.job"), "1");
}

/// The server does not hear that the engine is gone, and builds on.
#[test]
fn an_index_build_that_outlives_its_engine_is_ended() {
    let story = gated(Story::new("build"));
    let proxy = proxied(&story, false);
    proxy.0.keep_servers();
    let gate = Hold::gate(&story.target);
    let first = at_the_gate(&story, command_by(&proxy, &story, &[]));
    let hold = Hold::new(&story.target, "begin; lock table metrics in row exclusive mode");
    gate.open();
    let builds = "select string_agg(pid::text, ',') from pg_stat_activity where datname = current_database()
         and application_name like 'hypercopy%' and query like 'create index%' and wait_event_type = 'Lock'";
    let are_building = format!("select cardinality(string_to_array(({builds}), ',')) = 2");
    story.target.wait_until("two index builds at the lock", &are_building);
    let build = story.target.value(builds);
    first.signal("-KILL");
    first.end();
    // The server would find out about this one too, by its keepalives; until then the job is held.
    assert_eq!(story.target.value(TERMINATE_CONTROL), "1");

    let second = Running::start(story.command(&CHECKED));
    let is_gone = format!("select not exists (select from pg_stat_activity where pid in ({build}))");
    story.target.wait_until("the old builds to be ended", &is_gone);
    story.target.wait_until("the new builds at the lock", &are_building);
    hold.open();
    let run = second.end();
    // Its watching sessions, which hold nothing, are left to the server.
    drop(proxy);
    assert_finished(&story, &run);
}

// ---- what others do to the target's table

#[test]
fn rows_that_the_target_refuses_cost_their_task_alone() {
    let story = gated(Story::new("refuses"));
    for (cause, back, words) in [
        (
            "create unique index theirs on metrics (time) where time < '2025-03-03'",
            "drop index theirs",
            ["theirs", "23505"],
        ),
        (
            "alter table metrics add constraint theirs check (time >= '2025-03-03')",
            "alter table metrics drop constraint theirs",
            ["theirs", "23514"],
        ),
        (
            "create function theirs() returns trigger language plpgsql as
                 'begin if new.time < ''2025-03-03'' then raise ''not here''; end if; return new; end';
             create trigger theirs before insert on metrics for each row execute function theirs()",
            "drop trigger theirs on metrics; drop function theirs",
            ["not here", "P0001"],
        ),
    ] {
        let ledger = Hold::ledger(&story.target);
        let running = Running::start(story.command(&["migrate", "metrics", "--json", "-j", "1"]));
        wait_until_held(&story.target, 1);
        story.target.run(cause);
        ledger.open();
        let run = running.end();
        assert_eq!(run.code, 5, "{}", run.stderr);
        for word in words.iter().chain(&["the target did not take the rows of task 1", "run the same command again"]) {
            assert!(run.stderr.contains(word), "{word} is not in: {}", run.stderr);
        }
        assert_eq!(story.hypercopy(&CHECKED).code, 5, "the cause is still there");
        assert_eq!(story.target.value(&format!("select count(*) from ({DONE}) done")), "3", "all others are kept");
        story.target.run(back);
        let run = story.hypercopy(&CHECKED);
        assert_finished(&story, &run);
        let resumed = &run.json()["resumed"];
        assert_eq!((resumed["done"].as_u64(), resumed["copied_again"].as_u64()), (Some(3), Some(0)), "{cause}");
        story.target.run("drop table metrics");
    }
}

/// The engine closes the circle, and is the one that notices.
#[test]
fn a_deadlock_on_the_target_is_tried_again() {
    let story = gated(Story::new("deadlock"));
    story.target.run(
        "create or replace function gate(at timestamptz) returns boolean language plpgsql as
             'begin perform pg_advisory_xact_lock_shared(42); perform pg_advisory_xact_lock_shared(43); return true; end'",
    );
    let name = story.target.value("select current_database()");
    story.target.run(&format!("alter database \"{name}\" set deadlock_timeout = '10ms'"));
    let gate = Hold::gate(&story.target);
    let running = Running::start(story.command(&["migrate", "metrics", "--json", "-j", "1"]));
    wait_until_held(&story.target, 1);
    // Waits for the engine's open task, patiently, and holds what the engine wants next.
    let circle = Ddl::queue(
        &story.target,
        "set deadlock_timeout = '1h'; begin; select pg_advisory_xact_lock(43);
         insert into _hypercopy.task (job, task) select max(id), generate_series(1, 4) from _hypercopy.job; rollback",
    );
    gate.open();
    circle.end();
    let run = running.end();
    assert!(run.stderr.contains("40P01"), "there was a deadlock: {}", run.stderr);
    assert_finished(&story, &run);
}

#[test]
fn serialization_failures_on_the_target_are_tried_again() {
    let story = gated(Story::new("serialization"));
    let ledger = Hold::ledger(&story.target);
    let running = Running::start(story.command(&CHECKED));
    wait_until_held(&story.target, 1);
    story.target.run(
        "create sequence attempts;
         create function fail() returns trigger language plpgsql as
             'begin if nextval(''public.attempts'') in (1, 100, 500) then raise ''not now'' using errcode = ''40001'';
              end if; return new; end';
         create trigger fail before insert on metrics for each row execute function fail()",
    );
    ledger.open();
    let run = running.end();
    assert_eq!(run.stderr.matches("not now").count(), 3, "{}", run.stderr);
    assert_finished(&story, &run);
}

// ---- secrets

/// Two parts, so that one is found where the other was cut off.
pub const CANARY: &str = "kanarien@vogel/7";
const ENCODED_CANARY: &str = "kanarien%40vogel%2F7";

#[track_caller]
pub fn assert_no_canary(text: &str) {
    for part in ["kanarien", "vogel"] {
        assert!(!text.contains(part), "the password is shown: {text}");
    }
}

#[test]
fn no_password_is_shown_however_a_run_ends() {
    let story = gated(Story::new("canary"));
    let report = std::env::temp_dir().join(format!("hypercopy-canary-{}.json", std::process::id()));
    let start = |target: &str, arguments: &[&str]| {
        let fixed = ["migrate", "metrics", "--json", "-v", "-j", "2", "--retry-for", "0s", "--report"];
        let mut command = story.command(&[&fixed, [report.to_str().unwrap()].as_slice(), arguments].concat());
        command.env("PGPASSWORD", CANARY).env("RUST_BACKTRACE", "1").env("HYPERCOPY_TARGET", target);
        Running::start(command)
    };
    let judge = |running: Running, code: i32| {
        let run = running.end();
        assert_eq!(run.code, code, "{}", run.stderr);
        let written = std::fs::read_to_string(&report).unwrap_or_default();
        assert_no_canary(&format!("{}\n{}\n{written}", run.stderr, run.stdout));
    };
    let plain = &story.target.conninfo;
    let word = |key: &str| plain.split_whitespace().filter_map(|word| word.strip_prefix(key)).next_back().unwrap();
    let uri = |password: &str| {
        format!("postgresql://postgres:{password}@{}:{}/{}", word("host="), word("port="), word("dbname="))
    };
    let (keywords, encoded) = (format!("{plain} password='{CANARY}'"), uri(ENCODED_CANARY));
    let nowhere = |text: &str| text.replace(word("port="), "1");
    for (target, code) in [
        (nowhere(plain), 5),
        (nowhere(&keywords), 5),
        (nowhere(&encoded), 5),
        // None of these means what was meant.
        (uri(CANARY), 2),
        (uri("kanarien@vogel?x=y"), 2),
        (uri("kanarien@x?vogel=y"), 2),
        (uri("kanarien@5/vogel"), 2),
        (format!("{plain} password={CANARY} vogel"), 2),
        (format!("{plain} password=kanarien vogel=1"), 2),
        (format!("{plain} password='kanarien' vogel'"), 2),
    ] {
        judge(start(&target, &[]), code);
    }
    // In the middle of the work: a session is terminated, rows are refused, and all is well.
    for (target, cause, code) in [
        (
            plain,
            "select pg_terminate_backend(pid) from pg_stat_activity
             where application_name like 'hypercopy%copy in%' and datname = current_database()",
            8,
        ),
        (&keywords, "create unique index theirs on metrics (time)", 5),
        (&encoded, "drop index theirs", 0),
    ] {
        let ledger = Hold::ledger(&story.target);
        let running = start(target, &[]);
        wait_until_held(&story.target, 1);
        for database in [&story.source, &story.target] {
            let shown = "select string_agg(application_name || ' ' || query, ' ') from pg_stat_activity
                 where application_name like 'hypercopy%'";
            assert_no_canary(&database.value(shown));
        }
        story.target.run(cause);
        ledger.open();
        judge(running, code);
        for table in ["job", "task", "step", "backend"] {
            assert_no_canary(
                &story.target.value(&format!("select string_agg(t::text, ' ') from _hypercopy.{table} t")),
            );
        }
    }
    let _ = std::fs::remove_file(&report);
    assert_complete(&story);
}

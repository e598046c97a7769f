//! What the stories of faults share: rows that wait at a gate while something happens, and what must be true in the end.
//!
//! As in `concurrency`, nothing sleeps: a run is held by a lock or a message that the story owns.

use std::process::Command;

use hypercopy::cluster::{Cluster, Installation, Release, Settings};

use crate::harness::{Run, Running, Story, wait_until};
use crate::proxy::Proxy;

/// Eight chunks and 23 MB in four tasks, with duplicates, NULLs, NaN, −0, and no primary key.
pub const METRICS: &str = "
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
pub const GATE: &str = "
    create function gate(at timestamptz) returns boolean language plpgsql as
    'begin if at >= ''2025-03-07'' then perform pg_advisory_xact_lock_shared(42); end if; return true; end';";

pub const CHECKED: [&str; 6] = ["migrate", "metrics", "--json", "-j", "2", "--verify=checksum"];
pub const IMPATIENT: [&str; 2] = ["--retry-for", "0s"];

pub fn gated(story: Story) -> Story {
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
pub fn run_to_the_gate(story: &Story, arguments: &[&str]) -> Running {
    at_the_gate(story, story.command(&[&CHECKED, arguments].concat()))
}

#[track_caller]
pub fn at_the_gate(story: &Story, command: Command) -> Running {
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
pub const TERMINATE_CONTROL: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity
    where datname = current_database() and application_name = 'hypercopy migrate public.metrics'";

/// Ends the session that waits at the gate.
pub const TERMINATE_HELD: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity
    where datname = current_database() and application_name like 'hypercopy%copy in%' and wait_event = 'advisory'";

/// The tasks that are done of the latest job.
pub const DONE: &str = "select task, completed_at from _hypercopy.task
    where completed_at is not null and job = (select max(id) from _hypercopy.job)";

/// Both sides hold the same, the ledger says so, and nothing is left of any run.
#[track_caller]
pub fn assert_complete(story: &Story) {
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
pub fn assert_finished(story: &Story, run: &Run) {
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.json()["outcome"], "finished");
    assert_complete(story);
}

/// The same command again, which has to complete the job; then all is taken away for the next run.
#[track_caller]
pub fn complete(story: &Story, arguments: &[&str]) {
    assert_finished(story, &story.hypercopy(&[&CHECKED, arguments].concat()));
    story.target.run("drop table metrics");
}

#[track_caller]
pub fn assert_given_up(run: &Run) {
    assert_eq!(run.code, 8, "{}", run.stderr);
    assert!(run.stderr.contains("run the same command again"), "{}", run.stderr);
    assert_eq!(run.json()["outcome"], "failed");
}

/// What is committed stays in the server's memory for ten seconds.
pub const FORGETFUL: [(&str, &str); 6] = [
    ("wal_writer_delay", "10s"),
    ("wal_writer_flush_after", "1GB"),
    ("wal_buffers", "64MB"),
    ("shared_buffers", "256MB"),
    ("checkpoint_timeout", "1h"),
    ("autovacuum", "off"),
];

/// A story, and the way to one of its servers by a proxy.
pub fn proxied(story: &Story, is_source: bool) -> (Proxy, &'static str) {
    match is_source {
        true => (Proxy::to(&story.source.conninfo), "HYPERCOPY_SOURCE"),
        false => (Proxy::to(&story.target.conninfo), "HYPERCOPY_TARGET"),
    }
}

pub fn command_by(proxy: &(Proxy, &str), story: &Story, arguments: &[&str]) -> Command {
    let mut command = story.command(&[&CHECKED, arguments].concat());
    command.env(proxy.1, proxy.0.conninfo());
    command
}

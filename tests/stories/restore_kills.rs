//! A restore that is killed, or whose server goes away: the same command goes on, and in the end every row is there once.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use hypercopy::archive::SegmentFormat;
use hypercopy::failpoint;

use crate::archives::Archive;
use crate::faults::cluster;
use crate::harness::{Database, Hold, Running, Server, Story, wait_until_held};
use crate::restore::story;

/// Eight chunks and 31 MB, enough for three tasks and more, with duplicates, NULLs, NaN, −0, and no primary key.
const METRICS: &str = "
    create table metrics (time timestamptz not null, device int, value double precision, note text);
    alter table metrics alter column note set storage external;
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
    insert into metrics
    select '2025-03-01'::timestamptz + n * interval '10 minutes', nullif(n % 7, 3),
        (array[n::text, 'NaN', '-0', '0', null, 'inf'])[n % 6 + 1]::float8, repeat(chr(97 + n % 26), 27000)
    from generate_series(0, 1151) n, generate_series(0, n % 100 / 99) twice;
    create index on metrics (device, time desc);
    create index metrics_never_idx on metrics (time, device) where device = -1;";

/// Nothing is left of an earlier run, all rows are there, and the ledger says so.
#[track_caller]
fn assert_complete(story: &Story, what: &str) {
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"), "{what}");
    let ledger = "select string_agg(kind || ' ' || state || ' ' || (select sum(rows) from _hypercopy.task where job = job.id), ',')
         from _hypercopy.job where target_oid = 'metrics'::regclass";
    let rows = story.target.value("select count(*) from metrics");
    assert_eq!(story.target.value(ledger), format!("restore finished {rows}"), "{what}");
    assert_eq!(story.target.value("select count(*) from _hypercopy.backend"), "0", "{what}");
    let indexes = "select count(*) from pg_index where indrelid = 'metrics'::regclass";
    assert_eq!(story.source.value(indexes), story.target.value(indexes), "{what}");
    story.target.assert_nothing_left();
}

#[test]
fn a_restore_that_is_killed_anywhere_goes_on() {
    let story = story("restore_killed", METRICS);
    let archive = Archive::of(&story.source, "metrics", "killed", &[]);
    let options = ["--chunk-interval", "1 day", "-j", "2", "--verify", "checksum"];
    let later = ["before-claim:3", "mid-copy:3", "before-commit:2", "after-commit:2", "finalize-after-commit:2"];
    for failpoint in failpoint::MIGRATE.iter().chain(&later) {
        let mut command = archive.command(&story.target, &options);
        let killed = command.env("HYPERCOPY_FAILPOINT", failpoint).stderr(Stdio::null()).stdout(Stdio::null()).status();
        assert_eq!(killed.expect("the program starts").signal(), Some(9), "{failpoint} is never reached");
        archive.restored(&story.target, &options);
        assert_complete(&story, failpoint);
        story.target.run("drop table metrics");
    }
}

#[test]
fn rows_of_an_adding_restore_that_is_killed_are_there_once() {
    let story = story("restore_append_killed", METRICS);
    let archive = Archive::of_slices(&story.source, "metrics", "append_killed", SegmentFormat::Csv);
    archive.restored(&story.target, &["--schema-only"]);
    let options = ["--data-only", "-j", "2"];
    for failpoint in ["after-claim:2", "mid-copy:2", "before-commit:2", "after-commit", "before-finish"] {
        let mut command = archive.command(&story.target, &options);
        let killed = command.env("HYPERCOPY_FAILPOINT", failpoint).stderr(Stdio::null()).stdout(Stdio::null()).status();
        assert_eq!(killed.expect("the program starts").signal(), Some(9), "{failpoint} is never reached");
        let other = archive.restore(&story.target, &["--data-only", "--until", "2025-03-03"]);
        assert_eq!(other.code, 3, "{}", other.stderr);
        assert!(other.stderr.contains("was asked for otherwise: range"), "{}", other.stderr);
        archive.restored(&story.target, &options);
        assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"), "{failpoint}");
        story.target.run("truncate metrics; delete from _hypercopy.job");
    }
}

#[test]
fn what_was_done_is_taken_back_by_a_restart() {
    let story = story("restore_restart", METRICS);
    let archive = Archive::of(&story.source, "metrics", "restart", &[]);
    let mut command = archive.command(&story.target, &["-j", "1"]);
    command.env("HYPERCOPY_FAILPOINT", "after-commit:2").stderr(Stdio::null()).stdout(Stdio::null());
    assert_eq!(command.status().expect("the program starts").signal(), Some(9));
    let run = archive.restore(&story.target, &["--chunk-interval", "2 days"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("was asked for otherwise: layout"), "{}", run.stderr);
    archive.restored(&story.target, &["--chunk-interval", "2 days", "--restart"]);
    assert_complete(&story, "after the restart");
}

#[test]
fn another_archive_does_not_go_on_with_the_job() {
    let story = story("restore_other", METRICS);
    let archive = Archive::of(&story.source, "metrics", "one", &[]);
    let mut command = archive.command(&story.target, &["-j", "1"]);
    command.env("HYPERCOPY_FAILPOINT", "after-commit:2").stderr(Stdio::null()).stdout(Stdio::null());
    assert_eq!(command.status().expect("the program starts").signal(), Some(9));
    let run = Archive::of(&story.source, "metrics", "two", &[]).restore(&story.target, &[]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("was asked for otherwise: source"), "{}", run.stderr);
}

#[test]
fn a_target_that_restarts_is_waited_for() {
    let mut cluster = cluster("stories-restore-target", &[]);
    let source = Database::create(Server::Trixie, "restore_target").expect("trixie has TimescaleDB");
    let story = Story { source, target: Database::in_cluster(&cluster, "restore_target", "") };
    story.source.run(METRICS);
    story.target.run(
        "create function gate(at timestamptz) returns boolean language plpgsql as
             'begin perform pg_advisory_xact_lock_shared(42); return true; end'",
    );
    story.source.run(
        "create function gate(at timestamptz) returns boolean language plpgsql as 'begin return true; end';
         alter table metrics add constraint gated check (gate(time))",
    );
    let archive = Archive::of(&story.source, "metrics", "target", &[]);
    let gate = Hold::gate(&story.target);
    let running = Running::start(archive.command(&story.target, &["--json", "-j", "2", "--verify", "checksum"]));
    wait_until_held(&story.target, 2);
    cluster.restart().expect("the cluster starts again");
    drop(gate);
    let run = running.end();
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_complete(&story, "after the restart");
}

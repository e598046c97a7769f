//! `rechunk` beside others who hold locks: it backs off, names them, gives up when it was asked to, and goes on later.

use crate::folders::File;
use crate::harness::{Hold, Run, Running, wait_until};
use crate::imports::kill_at;
use crate::rechunks::Rechunk;

const METRICS: &str = "
    create table metrics (time timestamptz not null, device int);
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '7 days');
    insert into metrics select '2025-03-01'::timestamptz + n * interval '1 hour', n from generate_series(1, 400) n;";

const DAYS: [&str; 2] = ["--chunk-interval", "1 day"];
/// A lock is asked for a short time, and given up at once.
const IMPATIENT: [&str; 4] = ["--lock-timeout", "100ms", "--retry-for", "1ms"];

fn reader(story: &Rechunk) -> Hold<'_> {
    Hold::new(&story.database, "set application_name = 'the reader'; begin; table metrics")
}

/// A statement of somebody else, who must not be kept waiting for as long as a lock is held.
fn passes(story: &Rechunk, sql: &str) {
    let session = story.database.session();
    let limited = format!("set statement_timeout = '30s'; {sql}");
    story.database.wait(session.batch_execute(&limited)).expect("others are let through");
}

#[test]
fn the_swap_backs_off_before_a_reader_and_comes_back() {
    let story = Rechunk::new("rc_backs_off", METRICS);
    let hold = reader(&story);
    let mut running = story.start(&[&DAYS[..], &["--lock-timeout", "300ms"]].concat());
    story.database.wait_until(
        "a wait for the table's lock",
        "select exists (select from pg_locks where relation = 'metrics'::regclass and mode = 'AccessExclusiveLock' and not granted)",
    );
    running.wait_until_said("swap: a lock was not had in time, held by backend");
    for _ in 0..5 {
        passes(&story, "insert into metrics values ('2025-03-01', -1); select count(*) from metrics");
    }
    assert!(running.said().contains("(the reader)") && !running.has_ended(), "{}", running.said());
    hold.open();
    let run = running.end();
    assert_eq!((run.code, &run.json()["state"]), (0, &"swapped".into()), "{}", run.stderr);
    assert_eq!(story.database.value("select count(*) from metrics where device = -1"), "5");
    assert_eq!(run.json()["swap"]["locked"][0], "access exclusive on public.metrics and its chunks");
}

#[test]
fn a_swap_that_gives_up_is_gone_on_with_by_the_same_command() {
    let story = Rechunk::new("rc_gives_up", METRICS);
    let hold = reader(&story);
    let arguments = [&DAYS[..], &IMPATIENT].concat();
    let run = story.fails(8, "cannot swap: a lock was not had", &arguments);
    assert!(run.stderr.contains("(the reader)") && run.stderr.contains("run the same command again"), "{}", run.stderr);
    assert_eq!(run.json()["state"], "ready");
    story.database.run("insert into metrics values ('2025-03-05', -1); delete from metrics where device = 7");
    let before = story.database.multiset("metrics");
    hold.open();
    story.done(&arguments);
    assert_eq!(story.database.multiset("metrics"), before, "changes were noted in between");
    assert_eq!(story.database.value("select count(*) from show_chunks('metrics')"), "17");
}

#[test]
fn the_beginning_waits_for_writers_alone_and_lets_others_through() {
    let story = Rechunk::new("rc_begin", METRICS);
    let _reader = reader(&story);
    let writer = Hold::new(
        &story.database,
        "set application_name = 'the writer'; begin; insert into metrics values ('2025-03-02', -1)",
    );
    let arguments = [&DAYS[..], &IMPATIENT, &["--no-swap"]].concat();
    let run = story.fails(8, "cannot begin to note changes", &arguments);
    assert!(run.stderr.contains("(the writer)") && !run.stderr.contains("(the reader)"), "{}", run.stderr);
    assert_eq!(run.json()["state"], "prepared");
    passes(&story, "insert into metrics values ('2025-03-03', -1); select count(*) from metrics");
    writer.run("commit");
    let report = story.done(&arguments);
    assert_eq!((report["state"].as_str(), report["rows"].as_u64()), (Some("ready"), Some(402)));
}

#[test]
fn a_holder_of_one_chunk_is_named_too() {
    let story = Rechunk::new("rc_chunk_holder", METRICS);
    let chunk = story.database.value("select min(chunk::text) from show_chunks('metrics') chunk");
    let hold = Hold::new(&story.database, &format!("set application_name = 'at a chunk'; begin; table {chunk}"));
    let run = story.fails(8, "cannot swap", &[&DAYS[..], &IMPATIENT].concat());
    assert!(run.stderr.contains("(at a chunk)"), "{}", run.stderr);
    hold.open();
    story.done(&["--swap"]);
}

/// Its size is asked before there is a job.
#[test]
fn a_chunk_that_stays_locked_is_said_before_anything_is_begun() {
    let story = Rechunk::new("rc_locked_chunk", METRICS);
    let before = story.database.objects();
    let chunk = story.database.value("select show_chunks('metrics') limit 1");
    let hold = Hold::new(&story.database, &format!("begin; lock table {chunk} in access exclusive mode"));
    let run = story.fails(8, "public.metrics or one of its chunks stayed locked for 10 s", &DAYS);
    assert!(run.stderr.contains("pg_stat_activity"), "{}", run.stderr);
    hold.open();
    assert_eq!(story.database.objects(), before);
    story.done(&DAYS);
}

#[test]
fn the_ways_back_give_up_before_a_reader_and_go_on_later() {
    let story = Rechunk::new("rc_ways_back", METRICS);
    let (before, objects) = (story.database.multiset("metrics"), story.database.objects());
    let gives_up = |doing: &str, action: &str| {
        let hold = reader(&story);
        let run = story.fails(8, doing, &[&[action], &IMPATIENT[..]].concat());
        assert!(run.stderr.contains("(the reader)"), "{}", run.stderr);
        passes(&story, "table metrics");
        hold.open();
        story.done(&[action])
    };
    story.done(&[&DAYS[..], &["--no-swap"]].concat());
    gives_up("cannot stop noting changes", "--abort");
    story.assert_as_before(&objects, "given up");
    story.done(&DAYS);
    gives_up("cannot undo the swap", "--undo");
    story.assert_as_before(&objects, "undone");
    story.done(&DAYS);
    assert_eq!(gives_up("cannot stop noting changes", "--drop-old")["state"], "finished");
    assert_eq!(story.database.multiset("metrics"), before);
}

#[test]
fn a_deadlock_with_ddl_costs_us_and_nobody_else() {
    let story = Rechunk::new("rc_deadlock", METRICS);
    let chunk = story.database.value("select max(chunk::text) from show_chunks('metrics') chunk");
    let ddl = Hold::new(&story.database, &format!("begin; lock table {chunk} in access share mode"));
    let mut running = story.start(&DAYS);
    story.database.wait_until(
        "the swap has the table and waits for the chunk",
        &format!("select exists (select from pg_locks where relation = '{chunk}'::regclass and mode = 'AccessExclusiveLock' and not granted)"),
    );
    // It waits for the swap, which waits for it. The swap has waited longer: it finds the deadlock, or is out of time,
    // before the other one has waited for deadlock_timeout.
    ddl.run("lock table metrics in access share mode");
    running.wait_until_said("swap: a lock was not had");
    ddl.run("commit");
    let run = running.end();
    assert_eq!((run.code, &run.json()["state"]), (0, &"swapped".into()), "{}", run.stderr);
}

#[test]
fn while_rows_are_copied_the_log_is_kept_going_for_those_who_commit() {
    let story = Rechunk::new("rc_wal", METRICS);
    story.kill_at("before-claim", &DAYS);
    let hold = Hold::ledger(&story.database);
    let running = story.start(&DAYS);
    let last = "select max(state_change)::text from pg_stat_activity
                where datname = current_database() and application_name = 'hypercopy rechunk wal'
                  and query like '%pg_current_xact_id%'";
    story.database.wait_until("empty commits", &format!("select ({last}) is not null"));
    let first = story.database.value(last);
    story.database.wait_until("more of them", &format!("select ({last}) > '{first}'"));
    hold.open();
    assert_eq!(running.end().code, 0);
}

#[test]
fn a_second_run_finds_the_job_held() {
    let story = Rechunk::new("rc_second", METRICS);
    let hold = Hold::ledger(&story.database);
    let first = story.start(&DAYS);
    story.database.wait_until(
        "a task that waits",
        "select exists (select from pg_locks where relation = '_hypercopy.task'::regclass and not granted)",
    );
    for arguments in [&DAYS[..], &["--swap"], &["--abort"]] {
        story.fails(9, "job 1 is being worked on by another run", arguments);
    }
    story.fails(3, "was asked for otherwise", &["--chunk-interval", "2 days"]);
    story.fails(3, "not swapped", &["--undo"]);
    hold.open();
    assert_eq!(first.end().code, 0);
}

#[test]
fn of_two_that_begin_at_once_one_works() {
    for round in 0..3 {
        let story = Rechunk::new("rc_at_once", METRICS);
        let before = story.database.multiset("metrics");
        let other = if round == 0 { ["--chunk-interval", "2 days"] } else { DAYS };
        let runs = [story.start(&DAYS), story.start(&other)].map(Running::end);
        let codes = runs.iter().map(|run| run.code).collect::<Vec<_>>();
        let told = runs.iter().map(|run| run.stderr.as_str()).collect::<String>();
        assert!(codes.contains(&0) && codes.iter().all(|code| [0, 3, 9].contains(code)), "{codes:?}: {told}");
        assert_eq!(story.database.value("select count(*) || ' ' || min(state) from _hypercopy.job"), "1 swapped");
        assert_eq!(story.database.multiset("metrics"), before);
    }
}

#[test]
fn tables_with_equal_names_are_rechunked_side_by_side() {
    let story = Rechunk::new("rc_side_by_side", METRICS);
    story.database.run(
        "create schema a; create schema b;
         create table a.metrics (time timestamptz not null, device int, unique (time, device));
         select create_hypertable('a.metrics', 'time'); insert into a.metrics table metrics;
         create table b.metrics (time timestamptz not null, device int, unique (time, device));
         select create_hypertable('b.metrics', 'time'); insert into b.metrics table metrics",
    );
    let before = story.database.multiset("metrics");
    let start = |table: &str| Running::start(story.program(&["rechunk", table, "--json", "--chunk-interval", "1 day"]));
    let runs: Vec<Run> = ["metrics", "a.metrics", "b.metrics"].map(start).map(Running::end).into();
    for run in &runs {
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
    for table in ["metrics", "a.metrics", "b.metrics", "a.metrics_old_2"] {
        let there = story.database.value(&format!("select to_regclass('{table}') is not null"));
        assert!(there == "f" || story.database.multiset(table) == before, "{table}");
    }
}

const CSV: &str = "2025-03-09 00:00+00,901\n2025-03-10 00:00+00,902\n";

#[test]
fn imports_go_on_across_the_swap_and_are_not_done_twice() {
    let story = Rechunk::new("rc_import", METRICS);
    let file = File::with("rc_import.csv", CSV);
    let import = |file: &File| {
        let run = story.hypercopy(&["import", "metrics", file.path(), "--json"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
    };
    import(&file);
    story.done(&[&DAYS[..], &["--no-swap"]].concat());
    let later = File::with("rc_import_later.csv", "2025-03-11 00:00+00,903\n");
    import(&later);
    story.done(&["--swap"]);
    let before = story.database.multiset("metrics");
    assert_eq!(story.database.value("select count(*) from metrics where device > 900"), "3");
    import(&file);
    import(&later);
    assert_eq!(story.database.multiset("metrics"), before, "what is in is not loaded again");
    story.done(&["--undo"]);
    import(&file);
    assert_eq!(story.database.multiset("metrics"), before);
}

#[test]
fn an_unfinished_import_is_finished_first_and_stops_nobody_later() {
    let story = Rechunk::new("rc_unfinished", METRICS);
    let file = File::with("rc_unfinished.csv", CSV);
    let killed = |story: &Rechunk| kill_at(story.program(&["import", "metrics", file.path()]), "before-commit");
    killed(&story);
    let objects = story.database.objects();
    story.fails(3, "job 1 (import) on public.metrics is unfinished", &DAYS);
    story.assert_as_before(&objects, "refused");
    assert_eq!(story.hypercopy(&["jobs", "clean", "1"]).code, 0);
    story.done(&[&DAYS[..], &["--no-swap"]].concat());
    killed(&story);
    story.done(&["--swap"]);
    assert_eq!(story.hypercopy(&["import", "metrics", file.path()]).code, 0);
    assert_eq!(story.database.value("select count(*) from metrics where device > 900"), "2");
    wait_until("the import to be finished", || {
        story.database.value("select string_agg(state, ' ' order by id) from _hypercopy.job") == "swapped finished"
    });
}

//! `--if-exists append`: rows for a table that was there before.

use crate::harness::Story;

const METRICS: &str = "
    create table metrics (time timestamptz not null, device int, value double precision, note text);
    alter table metrics alter column note set storage external;
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
    insert into metrics
    select '2025-03-01'::timestamptz + n * interval '10 minutes', nullif(n % 7, 3), 'NaN', repeat(chr(97 + n % 26), 20000)
    from generate_series(0, 1151) n;";

/// Another layout, another order of columns, one that was dropped and one more.
const TABLE: &str = "
    create table metrics (gone int, note text, time timestamptz not null, value double precision, device int,
        loaded boolean not null default true);
    alter table metrics drop column gone;
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '2 days');
    select add_dimension('metrics', 'device', number_partitions => 2);
    insert into metrics (time, device, note) values ('2025-01-01', 1, 'theirs');";

fn story(name: &str) -> Story {
    let story = Story::new(name);
    story.source.run(METRICS);
    story.target.run(TABLE);
    story
}

const COPIED: &str = "(select time, device, value, note from metrics where time >= '2025-03-01')";

#[test]
fn rows_are_added_in_the_tables_own_layout() {
    let story = story("append");
    story.assert_refused(&["metrics"], "--if-exists append");
    let run = story.hypercopy(&[
        "migrate",
        "metrics",
        "--if-exists",
        "append",
        "--from",
        "2025-03-01",
        "--json",
        "-j",
        "3",
        "--verify",
        "checksum",
    ]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(story.source.multiset(COPIED), story.target.multiset(COPIED));
    assert_eq!(story.target.value("select count(*) from metrics where note = 'theirs'"), "1");
    assert_eq!(story.target.value("select bool_and(loaded) from metrics"), "t");
    let width = "select count(*) from timescaledb_information.chunks where hypertable_name = 'metrics' and range_end - range_start <> '2 days'";
    assert_eq!(story.target.value(width), "0");
    story.source.assert_nothing_left();
    story.target.assert_nothing_left();
    let again = story.hypercopy(&["migrate", "metrics", "--if-exists", "append", "--from", "2025-03-01", "--json"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.json()["finished_at"].is_string());
}

#[test]
fn the_parts_of_a_table_can_be_appended_one_after_the_other() {
    let story = story("parts");
    for (from, until) in [("2025-03-01", "2025-03-04"), ("2025-03-04", "2025-03-06"), ("2025-03-06", "2026-01-01")] {
        let run = story.hypercopy(&["migrate", "metrics", "--if-exists", "append", "--from", from, "--until", until]);
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
    assert_eq!(story.source.multiset(COPIED), story.target.multiset(COPIED));
}

#[test]
fn a_range_with_rows_is_refused() {
    let story = story("occupied");
    let arguments = ["metrics", "--if-exists", "append"];
    let before = story.target.multiset("metrics");
    let run = story.hypercopy(&[&["migrate"], arguments.as_slice()].concat());
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("public.metrics holds rows in […, …) already"), "{}", run.stderr);
    assert_eq!(story.target.multiset("metrics"), before);
}

#[test]
fn a_table_that_does_not_fit_is_refused() {
    let story = story("unfit");
    let append = ["metrics", "--if-exists", "append", "--from", "2025-03-01"];
    for (change, back, text) in [
        ("alter table metrics drop column value", "alter table metrics add column value float8", "has no column value"),
        (
            "alter table metrics alter column value type real",
            "alter table metrics alter column value type float8",
            "column value is double precision on the source and real in",
        ),
        (
            "alter table metrics add column need int; update metrics set need = 1; alter table metrics alter column need set not null",
            "alter table metrics drop column need",
            "column need of public.metrics wants a value",
        ),
    ] {
        story.target.run(change);
        story.assert_refused(&append, text);
        story.target.run(back);
    }
    story.target.run("create table plain (like metrics)");
    story.assert_refused(&["metrics", "--as", "plain", "--if-exists", "append"], "plain is a plain table");
    for option in [["--chunk-interval", "1 day"], ["--hash-partitions", "device:2"]] {
        let run = story.hypercopy(&[&["migrate", "metrics", "--if-exists", "append"], option.as_slice()].concat());
        assert_eq!(run.code, 2, "{}", run.stderr);
    }
}

#[test]
fn an_interrupted_append_goes_on_and_can_be_taken_back() {
    let story = story("interrupted_append");
    let theirs = story.target.multiset("metrics");
    let arguments = ["migrate", "metrics", "--if-exists", "append", "--from", "2025-03-01", "-j", "1"];
    let interrupt = || {
        let mut command = story.command(&arguments);
        let status = command.env("HYPERCOPY_FAILPOINT", "after-commit:2").output().expect("the program starts").status;
        assert!(!status.success());
    };
    interrupt();
    let run = story.hypercopy(&arguments);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(story.source.multiset(COPIED), story.target.multiset(COPIED));

    let restart = [arguments.as_slice(), &["--restart"]].concat();
    let run = story.hypercopy(&restart);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(story.source.multiset(COPIED), story.target.multiset(COPIED));
    assert_ne!(story.target.multiset("metrics"), theirs);

    // Somebody has added to what we have written: theirs is not ours to delete.
    story.target.run("insert into metrics (time, device, note) values ('2025-03-02', 1, 'theirs')");
    let before = story.target.multiset("metrics");
    let run = story.hypercopy(&restart);
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(run.stderr.contains("somebody else has changed them"), "{}", run.stderr);
    assert_eq!(story.target.multiset("metrics"), before);
}

/// Between the look and the task somebody has written into the range.
#[test]
fn each_task_looks_again() {
    let story = story("looks_again");
    let mut command = story.command(&["migrate", "metrics", "--if-exists", "append", "--from", "2025-03-01"]);
    command.env("HYPERCOPY_FAILPOINT", "begin-after-commit").output().expect("the program starts");
    story.target.run("insert into metrics (time, device, note) values ('2025-03-02 00:00:01', 1, 'theirs')");
    let run = story.hypercopy(&["migrate", "metrics", "--if-exists", "append", "--from", "2025-03-01"]);
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(run.stderr.contains("public.metrics has got rows in"), "{}", run.stderr);
    assert_eq!(story.target.value("select count(*) from metrics where note = 'theirs'"), "2");
    story.target.run("delete from metrics where time = '2025-03-02 00:00:01'");
    let run = story.hypercopy(&["migrate", "metrics", "--if-exists", "append", "--from", "2025-03-01"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(story.source.multiset(COPIED), story.target.multiset(COPIED));
}

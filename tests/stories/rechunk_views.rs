//! Materialized views behind the swap of a `rechunk` whose queries fail there.

use crate::rechunks::Rechunk;

const LAYOUT: [&str; 2] = ["--chunk-interval", "3 days"];

/// The view has rows of when its query could be answered, and another one is built after it.
const METRICS: &str = "
    create table metrics (time timestamptz not null, device int not null, value bigint);
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
    insert into metrics select '2025-03-01 00:00+00'::timestamptz + n * interval '1 hour', n % 3, n + 1 from generate_series(0, 99) n;
    create materialized view shares as select device, sum(1000 / value) as share from metrics group by device;
    create view large as select * from shares where share > 1;
    create materialized view totals as select device, sum(value) as total from metrics group by device;
    update metrics set value = 0 where time = '2025-03-02 00:00+00'";
const POPULATED: &str = "select relispopulated from pg_class where oid = 'shares'::regclass";

/// A table that is swapped, with a view that could not be made anew.
fn story(name: &str) -> Rechunk {
    let story = Rechunk::new(name, METRICS);
    let before = story.database.multiset("large");
    let run = story.fails(5, "cannot fill materialized view public.shares", &LAYOUT);
    assert!(run.stderr.contains("--undo to go back"), "{}", run.stderr);
    assert_eq!(run.json()["state"], "swapped");
    assert_eq!(story.database.multiset("large"), before, "the view shows its rows of before");
    story.fails(5, "division by zero", &["--drop-old"]);
    assert_eq!(story.database.multiset("large"), before, "the old table is not touched");
    story
}

#[track_caller]
fn assert_finished(story: &Rechunk) {
    assert_eq!(story.done(&["--drop-old"])["state"], "finished");
    let truth = "(select device, sum(value) from metrics group by device)";
    assert_eq!(story.database.multiset("totals"), story.database.multiset(truth));
    let ours = "select count(*) from pg_class where relname ~ '^_hypercopy' or relname ~ 'metrics_old'";
    assert_eq!(story.database.value(ours), "0");
}

#[test]
fn a_query_that_is_mended_fills_the_view_when_the_command_is_run_again() {
    let story = story("views_mended");
    story.database.run("update metrics set value = 1 where value = 0");
    story.done(&LAYOUT);
    let truth = "(select device, sum(1000 / value) from metrics group by device)";
    assert_eq!(story.database.multiset("shares"), story.database.multiset(truth));
    assert_finished(&story);
}

#[test]
fn a_view_whose_rows_are_given_up_does_not_keep_the_old_table() {
    let story = story("views_empty");
    story.database.run("refresh materialized view shares with no data");
    assert_finished(&story);
    assert_eq!(story.database.value(POPULATED), "f");
    story.database.run("update metrics set value = 1 where value = 0; refresh materialized view shares");
    assert_eq!(story.database.value("select count(*) from large"), "3");
}

#[test]
fn a_view_that_is_dropped_does_not_keep_the_old_table() {
    let story = story("views_dropped");
    story.database.run("drop materialized view shares cascade");
    assert_finished(&story);
}

#[test]
fn an_undo_is_not_kept_by_a_view_whose_rows_are_given_up() {
    let story = story("views_undone");
    // The old table's rows are the same, and so is what the query meets.
    story.fails(5, "division by zero", &["--undo"]);
    story.database.run("refresh materialized view shares with no data");
    story.done(&["--undo"]);
    assert_eq!(story.database.value(POPULATED), "f");
    let ours = "select count(*) from pg_namespace where nspname ~ '^_hypercopy_'";
    assert_eq!(story.database.value(ours), "0");
}

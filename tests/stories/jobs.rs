//! `hypercopy jobs`: what the ledger of a target holds, and forgetting it.

use crate::harness::Story;

const METRICS: &str = "
    create table metrics (time timestamptz not null, device int);
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
    insert into metrics select '2025-03-01'::timestamptz + n * interval '1 hour', n from generate_series(0, 99) n;";

fn story(name: &str) -> Story {
    let story = Story::new(name);
    story.source.run(METRICS);
    story
}

/// Leaves a job with nothing but its table.
fn interrupt(story: &Story) {
    let mut command = story.command(&["migrate", "metrics", "-q"]);
    let status = command.env("HYPERCOPY_FAILPOINT", "before-claim").status().expect("the program starts");
    assert!(!status.success());
}

#[test]
fn jobs_are_listed_shown_and_forgotten() {
    let story = story("jobs");
    let run = story.hypercopy(&["jobs"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "no jobs\n"), "{}", run.stderr);
    story.migrate("metrics", &[]);
    let list = story.hypercopy(&["jobs", "list", "--json"]).json();
    assert_eq!((list[0]["id"].as_i64(), list[0]["state"].as_str()), (Some(1), Some("finished")));
    let run = story.hypercopy(&["jobs", "show", "1"]);
    assert!(run.stdout.contains("100 rows in 1 tasks") && run.stdout.contains("[…, …)"), "{}", run.stdout);
    let shown = story.hypercopy(&["jobs", "show", "1", "--json"]).json();
    assert_eq!(shown["done"][0]["rows"], 100);
    let before = story.target.multiset("metrics");
    let run = story.hypercopy(&["jobs", "clean", "1"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(story.target.multiset("metrics"), before);
    assert_eq!(
        story.target.value("select to_regnamespace('_hypercopy') is null"),
        "t",
        "the ledger goes with its last job"
    );
    assert_eq!(story.hypercopy(&["jobs", "show", "1"]).code, 3);
    story.target.assert_nothing_left();
}

#[test]
fn an_unfinished_job_is_not_forgotten_before_its_table_is() {
    let story = story("unfinished");
    story.migrate("metrics", &["--as", "other"]);
    interrupt(&story);
    let run = story.hypercopy(&["jobs"]);
    assert!(run.stdout.contains("unfinished") && run.stdout.contains("finished"), "{}", run.stdout);
    let run = story.hypercopy(&["jobs", "clean", "2"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("is unfinished") && run.stderr.contains("hint: "), "{}", run.stderr);
    story.target.run("drop table metrics");
    assert!(story.hypercopy(&["jobs"]).stdout.contains("table dropped"));
    assert_eq!(story.hypercopy(&["jobs", "clean", "2"]).code, 0);
    assert_eq!(story.target.value("select count(*) from _hypercopy.job"), "1", "the other one stays");
}

#[test]
fn a_job_that_is_worked_on_is_not_forgotten() {
    let story = story("worked_on");
    interrupt(&story);
    let session = story.target.session();
    // What a run holds as long as it lives.
    story.target.wait(session.batch_execute("select pg_advisory_lock(x'68797063'::int4, 1)")).unwrap();
    let run = story.hypercopy(&["jobs"]);
    assert!(run.stdout.contains("copying"), "{}", run.stdout);
    let run = story.hypercopy(&["jobs", "clean", "1"]);
    assert_eq!(run.code, 9, "{}", run.stderr);
    drop(session);
}

/// What the bytes of a foreign ledger mean is not guessed.
#[test]
fn a_ledger_of_another_shape_is_refused() {
    let story = story("shape");
    story.target.run("create schema _hypercopy; create table _hypercopy.job (id int)");
    story.assert_refused(&["metrics", "--as", "public.other"], "was made by another version");
    assert_eq!(story.hypercopy(&["jobs"]).code, 3);
}

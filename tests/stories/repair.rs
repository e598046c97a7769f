//! `verify --repair`: ranges that differ are copied again, and nothing else is touched.

use crate::harness::Story;

/// 46 MB in eight chunks: several ranges.
const METRICS: &str = "
    create table metrics (time timestamptz not null, device int, value double precision, note text);
    alter table metrics alter column note set storage external;
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
    insert into metrics
    select '2025-03-01'::timestamptz + n * interval '10 minutes', nullif(n % 7, 3), 'NaN', repeat(chr(97 + n % 26), 40000)
    from generate_series(0, 1151) n;";

fn story(name: &str) -> Story {
    let story = Story::new(name);
    story.source.run(METRICS);
    story
}

/// A row changed, one missing, one too many, and one where the source has no chunk.
const DAMAGE: &str = "
    update metrics set value = 1 where time = '2025-03-02';
    delete from metrics where time = '2025-03-05';
    insert into metrics select * from metrics where time = '2025-03-07';
    insert into metrics values ('2031-01-01', 1, 1, 'beyond');";

#[test]
fn what_differs_is_copied_again_and_nothing_else_is() {
    let story = story("repair");
    story.migrate("metrics", &["--chunk-interval", "2 days"]);
    let run = story.hypercopy(&["verify", "metrics", "--repair"]);
    assert_eq!(run.code, 0, "where nothing differs nothing is done: {}", run.stderr);
    assert_eq!(story.target.value("select count(*) from _hypercopy.job"), "1");

    story.target.run(DAMAGE);
    story
        .target
        .run("create table before as select tableoid as chunk, ctid as place, xmin::text as writer from metrics");
    let run = story.hypercopy(&["verify", "metrics", "--repair", "--json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let report = run.json();
    assert_eq!((&report["outcome"], &report["repair"]["outcome"]), (&"finished".into(), &"finished".into()));
    assert_eq!(report["repair"]["tasks"], report["comparison"]["differing_ranges"]);
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"));
    let kept = "select count(*) > 100 from metrics join before
        on chunk = metrics.tableoid and place = metrics.ctid and writer = metrics.xmin::text";
    assert_eq!(story.target.value(kept), "t", "ranges without a difference are as they were");
    story.source.assert_nothing_left();
    story.target.assert_nothing_left();
    assert_eq!(story.hypercopy(&["verify", "metrics"]).code, 0);
    // The first job's counts are true again: it may drop what it has made.
    story.target.run("drop table before");
    assert_eq!(
        story
            .target
            .value("select sum(rows) from _hypercopy.task join _hypercopy.job on id = job where kind = 'migrate'"),
        story.target.value("select count(*) from metrics")
    );
}

#[test]
fn a_table_of_others_is_repaired_only_when_that_is_said() {
    let story = story("foreign");
    story.target.run(METRICS);
    story.target.run(DAMAGE);
    let before = story.target.multiset("metrics");
    let run = story.hypercopy(&["verify", "metrics", "--repair"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("was made by no job of hypercopy") && run.stderr.contains("--yes"), "{}", run.stderr);
    assert_eq!(story.target.multiset("metrics"), before);
    assert_eq!(story.hypercopy(&["verify", "metrics", "--yes"]).code, 2);
    let run = story.hypercopy(&["verify", "metrics", "--repair", "--yes"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("ranges were copied again"), "{}", run.stdout);
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"));
}

#[test]
fn only_the_range_that_is_asked_for_is_repaired() {
    let story = story("part");
    story.migrate("metrics", &[]);
    story.target.run(DAMAGE);
    let run = story.hypercopy(&["verify", "metrics", "--repair", "--until", "2025-03-04"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let part = "(select * from metrics where time < '2025-03-04')";
    assert_eq!(story.source.multiset(part), story.target.multiset(part));
    assert_ne!(story.source.multiset("metrics"), story.target.multiset("metrics"));
}

#[test]
fn a_repair_that_is_killed_is_begun_anew() {
    let story = story("killed_repair");
    story.migrate("metrics", &[]);
    story.target.run(DAMAGE);
    for failpoint in
        ["begin-after-commit", "after-claim", "mid-copy:2", "before-commit", "after-commit", "before-finish"]
    {
        let mut command = story.command(&["verify", "metrics", "--repair", "-j", "1"]);
        let status = command.env("HYPERCOPY_FAILPOINT", failpoint).output().expect("the program starts").status;
        assert!(!status.success(), "{failpoint}");
        story.target.run("update metrics set value = 1 where time = '2025-03-02'");
    }
    let run = story.hypercopy(&["verify", "metrics", "--repair"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"));
    assert_eq!(story.target.value("select count(*) from _hypercopy.job where state <> 'finished'"), "0");
}

#[test]
fn an_unfinished_migration_is_resumed_and_not_repaired() {
    let story = story("unfinished_repair");
    let mut command = story.command(&["migrate", "metrics", "-j", "1"]);
    command.env("HYPERCOPY_FAILPOINT", "after-commit:2").output().expect("the program starts");
    let run = story.hypercopy(&["verify", "metrics", "--repair"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("job 1 on public.metrics is unfinished"), "{}", run.stderr);
    story.migrate("metrics", &[]);
}

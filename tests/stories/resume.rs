//! The same command again: after a kill at any moment, after the source has changed, on a finished job, on another's.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use hypercopy::failpoint;

use crate::harness::{Database, Run, Story};

/// Eight chunks and 23 MB, enough for three tasks and more, with duplicates, NULLs, NaN, −0, and no primary key.
pub const METRICS: &str = "
    create table metrics (time timestamptz not null, device int, value double precision, note text);
    alter table metrics alter column note set storage external;
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
    insert into metrics
    select '2025-03-01'::timestamptz + n * interval '10 minutes', nullif(n % 7, 3),
        (array[n::text, 'NaN', '-0', '0', null, 'inf'])[n % 6 + 1]::float8, repeat(chr(97 + n % 26), 20000)
    from generate_series(0, 1151) n, generate_series(0, n % 100 / 99) twice;
    create index on metrics (device, time desc);
    create index metrics_never_idx on metrics (time, device) where device = -1;";

fn story(name: &str) -> Story {
    let story = Story::new(name);
    story.source.run(METRICS);
    story
}

/// A run that a failpoint may end.
fn run_until(story: &Story, failpoint: &str, arguments: &[&str]) -> std::process::ExitStatus {
    let mut command = story.command(&[&["migrate", "metrics", "-q"], arguments].concat());
    command.env("HYPERCOPY_FAILPOINT", failpoint).stderr(Stdio::null()).status().expect("the program starts")
}

#[track_caller]
fn is_killed(status: std::process::ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(9)
}

/// Nothing is left of an earlier run, both sides hold the same, and the ledger says so.
#[track_caller]
fn assert_complete(story: &Story, what: &str) {
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"), "{what}");
    let ledger = "select string_agg(state || ' ' || (select sum(rows) from _hypercopy.task where job = job.id), ',')
         from _hypercopy.job where target_oid = 'metrics'::regclass";
    let rows = story.target.value("select count(*) from metrics");
    assert_eq!(story.target.value(ledger), format!("finished {rows}"), "{what}");
    assert_eq!(story.target.value("select count(*) from _hypercopy.backend"), "0", "{what}");
    let indexes = "select count(*) from pg_index where indrelid = 'metrics'::regclass";
    assert_eq!(story.source.value(indexes), story.target.value(indexes), "{what}");
    story.source.assert_nothing_left();
    story.target.assert_nothing_left();
}

#[test]
fn a_run_that_is_killed_anywhere_goes_on() {
    let story = story("killed");
    let later = ["before-claim:3", "mid-copy:3", "before-commit:2", "after-commit:2", "finalize-after-commit:2"];
    for failpoint in failpoint::MIGRATE.iter().chain(&later) {
        let killed = run_until(&story, failpoint, &["--chunk-interval", "1 day", "-j", "2"]);
        assert!(is_killed(killed), "{failpoint} is never reached: {killed:?}");
        story.migrate("metrics", &["--chunk-interval", "1 day", "-j", "2"]);
        assert_complete(&story, failpoint);
        story.target.run("drop table metrics");
    }
}

#[test]
fn a_run_that_is_killed_at_random_goes_on() {
    let seed = std::env::var("HYPERCOPY_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut random = Random(seed.unwrap_or_else(|| u64::from(std::process::id())));
    eprintln!("HYPERCOPY_SEED={}", random.0);
    let story = story("random");
    let start = Instant::now();
    story.migrate("metrics", &["--verify", "checksum"]);
    let longest = start.elapsed();
    story.target.run("drop table metrics");
    for _ in 0..50 {
        let mut command = story.command(&["migrate", "metrics", "-q", "--verify", "checksum"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
        if end_after(child, longest.mul_f64(random.fraction())) {
            assert_complete(&story, "between kills");
            story.target.run("drop table metrics");
        }
    }
    story.migrate("metrics", &["--verify", "checksum"]);
    assert_complete(&story, "after all kills");
}

/// Kills the program after this long, unless it has ended by then; answers whether it has, which must be with success.
#[track_caller]
fn end_after(mut child: Child, moment: Duration) -> bool {
    let deadline = Instant::now() + moment;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("the program can be waited for") {
            assert!(status.success(), "{status:?}");
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("the program can be killed");
    child.wait().expect("the program can be waited for").success()
}

/// A generator of the kind of xorshift, so that a seed is enough to see a failure again.
struct Random(u64);

impl Random {
    fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Leaves a job with two tasks done and the others not, and answers the beginning of the later one that is done.
fn interrupt(story: &Story, arguments: &[&str]) -> String {
    assert!(is_killed(run_until(story, "after-commit:2", &[&["-j", "1"], arguments].concat())));
    let state = "select count(*) || ' ' || min(state) from _hypercopy.task join _hypercopy.job on job = id where state = 'copying'";
    assert_eq!(story.target.value(state), "2 copying");
    story.target.value(
        "select _timescaledb_functions.to_timestamp(max(range_from)) from _hypercopy.task
         where job = (select max(id) from _hypercopy.job)",
    )
}

#[test]
fn the_result_is_the_source_as_it_is_when_the_run_goes_on() {
    let story = story("changed");
    let done = interrupt(&story, &[]);
    // Changed in a done range, added where nothing was, and beyond both ends.
    story.source.run(&format!(
        "update metrics set value = 77 where time = '{done}';
         insert into metrics values ('2024-01-01', 1, 1, 'before'), ('2026-01-01', 1, 1, 'behind');
         delete from metrics where time between '2025-03-07' and '2025-03-07 06:00'",
    ));
    let report = story.migrate("metrics", &["--verify", "checksum"]);
    let resumed = &report["resumed"];
    assert_eq!((resumed["done"].as_u64(), resumed["compared"].as_u64()), (Some(2), Some(2)), "{resumed}");
    assert!((1..=2).contains(&resumed["copied_again"].as_u64().unwrap()), "{resumed}");
    assert_complete(&story, "after the source has changed");
}

#[test]
fn what_has_not_changed_is_not_copied_again() {
    let story = story("unchanged");
    interrupt(&story, &[]);
    story
        .target
        .run("create table before as select tableoid as chunk, ctid as place, xmin::text as writer from metrics");
    let report = story.migrate("metrics", &[]);
    assert_eq!(report["resumed"]["copied_again"], 0, "{}", report["resumed"]);
    let kept = "select count(*) = (select count(*) from before) from metrics join before
        on chunk = metrics.tableoid and place = metrics.ctid and writer = metrics.xmin::text";
    assert_eq!(story.target.value(kept), "t", "the rows are the same ones");
}

#[test]
fn a_trusted_source_is_not_read_again() {
    let story = story("trusted");
    let done = interrupt(&story, &[]);
    story.source.run(&format!("update metrics set value = 77 where time = '{done}'"));
    let run = story.hypercopy(&["migrate", "metrics", "--json", "--resume=trust"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.json()["resumed"]["compared"], 0);
    assert_ne!(story.source.multiset("metrics"), story.target.multiset("metrics"), "the change was not looked for");

    story.target.run("drop table metrics");
    let done = interrupt(&story, &[]);
    story.source.run(&format!(
        "update metrics set value = 78 where time = '{done}'; update metrics set value = 79 where time = '{done}'::timestamptz - interval '1 day'"
    ));
    let run = story.hypercopy(&["migrate", "metrics", "--json", "--resume=trust-before", &done]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let resumed = run.json()["resumed"].clone();
    assert_eq!((resumed["compared"].as_u64(), resumed["copied_again"].as_u64()), (Some(1), Some(1)), "{resumed}");
    let changed = "select count(*) from metrics where value = 78";
    assert_eq!(story.target.value(changed), story.source.value(changed));
}

#[test]
fn ranges_that_have_become_empty_are_not_deleted_unasked() {
    let story = story("emptied");
    let done = interrupt(&story, &[]);
    let until = "select _timescaledb_functions.to_timestamp(range_until) from _hypercopy.task order by range_from desc nulls last limit 1";
    let until = story.target.value(until);
    let copied = story.target.multiset("metrics");
    let emptied = match until.as_str() {
        "NULL" => format!("time >= '{done}'"),
        _ => format!("time >= '{done}' and time < '{until}'"),
    };
    story.source.run(&format!("delete from metrics where {emptied}"));
    let run = story.hypercopy(&["migrate", "metrics"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("the source has no rows any more in 1 ranges that were copied"), "{}", run.stderr);
    assert!(run.stderr.contains("--resume=follow-deletes"), "{}", run.stderr);
    assert_eq!(story.target.multiset("metrics"), copied, "nothing was deleted");
    story.migrate("metrics", &["--resume=follow-deletes"]);
    assert_eq!(story.target.value(&format!("select count(*) from metrics where {emptied}")), "0");
}

#[test]
fn rows_of_others_in_a_done_range_are_kept() {
    let story = story("others");
    let done = interrupt(&story, &[]);
    story.target.run(&format!("insert into metrics values ('{done}', 99, 99, 'theirs')"));
    story.source.run(&format!("update metrics set value = 77 where time = '{done}'"));
    for _ in 0..2 {
        let run = story.hypercopy(&["migrate", "metrics", "-j", "1"]);
        assert_eq!(run.code, 5, "{}", run.stderr);
        assert!(run.stderr.contains("somebody else has changed them"), "{}", run.stderr);
        assert_eq!(story.target.value("select count(*) from metrics where device = 99"), "1", "theirs are kept");
        assert_eq!(story.target.value(&format!("select count(*) > 1 from metrics where time = '{done}'")), "t");
    }
    story.target.run("delete from metrics where device = 99");
    story.migrate("metrics", &["--verify", "checksum"]);
}

/// Where the source has not changed, nothing has to be deleted, and the rows of others are found at the end.
#[test]
fn rows_of_others_are_found_by_verifying() {
    let story = story("intruder");
    let done = interrupt(&story, &[]);
    story.target.run(&format!("insert into metrics values ('{done}', 99, 99, 'theirs')"));
    for _ in 0..2 {
        let run = story.hypercopy(&["migrate", "metrics"]);
        assert_eq!(run.code, 7, "{}", run.stderr);
        assert!(run.stderr.contains("hypercopy verify"), "{}", run.stderr);
    }
    let run = story.hypercopy(&["verify", "metrics", "--repair"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    story.migrate("metrics", &["--verify", "checksum"]);
}

#[test]
fn a_finished_job_is_left_alone() {
    let story = story("finished");
    let first = story.migrate("metrics", &[]);
    story.source.run("delete from metrics where device = 1");
    let before = (story.target.multiset("metrics"), story.target_objects());
    let run = story.hypercopy(&["migrate", "metrics", "--json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.json()["finished_at"].as_str().map(str::is_empty), Some(false));
    assert_eq!(run.json()["rows"], first["rows"]);
    assert_eq!(before, (story.target.multiset("metrics"), story.target_objects()));
    let run = story.hypercopy(&["migrate", "metrics"]);
    assert!(run.stdout.contains("job 1 was finished at 20"), "{}", run.stdout);
    assert!(run.stdout.contains("--restart"), "{}", run.stdout);
}

#[test]
fn another_request_for_an_unfinished_job_is_refused_with_what_differs() {
    let story = story("another");
    interrupt(&story, &["--chunk-interval", "2 days", "--until", "2030-01-01"]);
    let same = ["--chunk-interval", "48 hours", "--until", "2030-01-01 00:00+00"];
    for (arguments, text) in [
        (
            ["--chunk-interval", "3 days", "--until", "2030-01-01"].as_slice(),
            "layout: \"time\" 2 days then, \"time\" 3 days now",
        ),
        (&["--chunk-interval", "2 days"], "range: […, 2030-01-01 00:00:00+00) then, […, …) now"),
        (&["--until", "2030-01-01"], "layout: \"time\" 2 days then, \"time\" 1 day now"),
    ] {
        let text = text.replace("\"time\"", "time");
        story.assert_refused(&[&["metrics"], arguments].concat(), &text);
    }
    story.source.run("alter table metrics add column more int");
    story.assert_refused(&[&["metrics"], same.as_slice()].concat(), "columns: ");
    story.source.run("alter table metrics drop column more");
    let run = story.hypercopy(&[&["migrate", "metrics", "-j", "3", "--verify", "checksum"], same.as_slice()].concat());
    assert_eq!(run.code, 0, "what may change may change: {}", run.stderr);
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"));
}

#[test]
fn a_restart_drops_what_the_job_has_made() {
    let story = story("restart");
    interrupt(&story, &[]);
    story.migrate("metrics", &["--restart", "--chunk-interval", "2 days"]);
    let again = story.migrate("metrics", &["--restart", "--chunk-interval", "2 days"]);
    assert_eq!(story.target.value("select count(*) from _hypercopy.job"), "1");
    assert!(again["resumed"].is_null());
    story.target.run("create table other (time timestamptz not null, device int, value double precision, note text)");
    story.assert_refused(&["metrics", "--as", "other", "--restart"], "other exists on the target");
}

/// A table that was made by a job may be in use since.
#[test]
fn a_restart_drops_no_rows_of_others() {
    let story = story("in_use");
    story.migrate("metrics", &[]);
    story.target.run("insert into metrics values (now(), 99, 99, 'theirs')");
    let before = story.target.multiset("metrics");
    let run = story.hypercopy(&["migrate", "metrics", "--restart"]);
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(run.stderr.contains("somebody else has changed them"), "{}", run.stderr);
    assert_eq!(story.target.multiset("metrics"), before);
    story.target.run("delete from metrics where device = 99");
    story.migrate("metrics", &["--restart"]);
}

#[test]
fn a_table_that_lost_its_job_is_refused() {
    let story = story("orphan");
    story.migrate("metrics", &[]);
    story.target.run("drop schema _hypercopy cascade");
    story.assert_refused(&["metrics"], "public.metrics exists on the target");
    story.assert_refused(&["metrics", "--restart"], "public.metrics exists on the target");
}

/// The oid of a dropped table means nothing for a new one of its name.
#[test]
fn a_job_whose_table_was_dropped_owns_no_other() {
    let story = story("dropped");
    interrupt(&story, &[]);
    story.target.run("drop table metrics; create table metrics (time timestamptz not null, theirs int)");
    story.assert_refused(&["metrics"], "public.metrics exists on the target");
    story.assert_refused(&["metrics", "--restart"], "public.metrics exists on the target");
    story.target.run("drop table metrics");
    let report = story.migrate("metrics", &[]);
    assert!(report["resumed"].is_null());
}

/// TimescaleDB refuses to make one; without its hooks it can be had.
#[test]
fn an_unlogged_target_is_refused() {
    let story = story("unlogged");
    interrupt(&story, &[]);
    let set = |how: &str| {
        format!("set timescaledb.restoring = on; alter table only metrics set {how}; set timescaledb.restoring = off")
    };
    story.target.run(&set("unlogged"));
    story.assert_refused(&["metrics"], "public.metrics is unlogged on the target");
    story.target.run(&set("logged"));
    story.migrate("metrics", &[]);
}

#[test]
fn a_dry_run_of_an_unfinished_job_changes_nothing() {
    let story = story("dry");
    interrupt(&story, &[]);
    let ledger = "select job::text from _hypercopy.job union all select task::text from _hypercopy.task
        union all select backend::text from _hypercopy.backend";
    let before = (story.target.multiset("metrics"), story.target.query(ledger));
    let run = story.hypercopy(&["migrate", "metrics", "--dry-run"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("tasks are done, and will be compared with the source"), "{}", run.stdout);
    assert_eq!(before, (story.target.multiset("metrics"), story.target.query(ledger)));
}

/// What a killed run had put into the ledger of others is not touched by a later one.
#[test]
fn jobs_of_different_tables_do_not_meet() {
    let story = story("neighbours");
    interrupt(&story, &["--as", "one"]);
    story.migrate("metrics", &["--as", "two"]);
    let tasks = |database: &Database| database.value("select count(*) from _hypercopy.task where job = 1");
    assert_eq!(tasks(&story.target), "2");
    story.migrate("metrics", &["--as", "one"]);
    assert_eq!(story.target.multiset("one"), story.target.multiset("two"));
}

#[test]
fn deleted_rows_leave_no_row_twice_after_a_kill_in_the_middle_of_copying_again() {
    let story = story("again");
    interrupt(&story, &[]);
    story.source.run("update metrics set value = 77 where device = 1");
    for failpoint in ["after-claim", "mid-copy:2", "before-commit", "after-commit"] {
        assert!(is_killed(run_until(&story, failpoint, &["-j", "1"])), "{failpoint}");
    }
    let run: Run = story.hypercopy(&["migrate", "metrics", "--verify", "checksum"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"));
}

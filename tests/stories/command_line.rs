//! The command line's promises: what goes where, what is never shown, what a signal leaves.

use std::fs;

use crate::folders::File;
use crate::harness::{Run, Story};

const METRICS: &str = "
    create table metrics (time timestamptz not null, n int);
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
    insert into metrics select '2025-03-01'::timestamptz + n * interval '1 hour', n from generate_series(0, 99) n;
    create publication of_source for table metrics;";

fn metrics(name: &str) -> Story {
    let story = Story::new(name);
    story.source.run(METRICS);
    story
}

#[test]
fn json_is_one_document_on_stdout_however_the_run_ends() {
    let story = metrics("json");
    let runs: [(&[&str], i32, &str); 6] = [
        (&["metrics", "--dry-run"], 0, "planned"),
        (&["metrics", "-v"], 0, "finished"),
        (&["metrics"], 0, "finished"),
        (&["metrics", "--until", "1999-01-01"], 3, "failed"),
        (&["metrics", "--strict", "--as", "other"], 3, "failed"),
        (&["nowhere", "-q"], 3, "failed"),
    ];
    for (arguments, code, outcome) in runs {
        let file = File::new("json");
        let run = story.hypercopy(&[&["migrate", "--json", "--report", file.path()], arguments].concat());
        assert_eq!(run.code, code, "{arguments:?}: {}", run.stderr);
        let report = run.json();
        assert_eq!(report["outcome"], outcome, "{arguments:?}");
        assert_eq!(report, file.json(), "{arguments:?}: the file and stdout are the same report");
        assert_eq!(report["error"]["exit_code"].as_i64().unwrap_or(0), i64::from(code), "{arguments:?}");
    }
}

#[test]
fn quiet_prints_nothing_but_errors() {
    let story = metrics("quiet");
    let run = story.hypercopy(&["migrate", "metrics", "-q"]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""));
    let run = story.hypercopy(&["migrate", "metrics", "-q", "--until", "1999-01-01"]);
    assert_eq!((run.code, run.stdout.as_str()), (3, ""));
    assert!(run.stderr.starts_with("hypercopy: public.metrics exists on the target"), "{}", run.stderr);
}

#[test]
fn what_is_not_carried_is_said_before_and_after() {
    let story = metrics("said");
    let run = story.hypercopy(&["migrate", "metrics", "--progress", "none"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let said = "not carried:\n  publication: of_source: there is no such publication on the target\n      \
                alter publication \"of_source\" add table \"public\".\"metrics\";\n";
    assert_eq!(run.stderr, said);
    assert!(run.stdout.contains(said.trim_end()), "{}", run.stdout);
}

#[test]
fn a_dry_run_changes_nothing_on_either_side() {
    let story = metrics("dry");
    let source_objects = "select string_agg(oid || relname || relfilenode, ',' order by oid) from pg_class";
    let before = (story.target_objects(), story.source.value(source_objects), story.source.multiset("metrics"));
    let run = story.hypercopy(&["migrate", "metrics", "--dry-run", "--chunk-interval", "6 hours"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    for wanted in
        ["create table \"public\".\"metrics\"", "17 to make on the target", "access share on public.metrics", "WAL"]
    {
        assert!(run.stdout.contains(wanted), "the plan says {wanted}: {}", run.stdout);
    }
    assert_eq!(before, (story.target_objects(), story.source.value(source_objects), story.source.multiset("metrics")));
    story.source.assert_nothing_left();
    story.target.assert_nothing_left();
}

#[test]
fn a_report_that_cannot_be_written_is_known_before_the_work() {
    let story = metrics("bad_report");
    let before = story.target_objects();
    for path in ["/nonexistent/report.json", "/"] {
        let run = story.hypercopy(&["migrate", "metrics", "--report", path]);
        assert_eq!(run.code, 2, "{}", run.stderr);
        assert!(run.stderr.contains(&format!("cannot write the report to {path}")), "{}", run.stderr);
    }
    assert_eq!(before, story.target_objects());
}

#[test]
fn a_wrong_command_line_leaves_an_older_report_alone() {
    let story = metrics("older_report");
    let file = File::new("older");
    fs::write(file.path(), "{}").unwrap();
    let run = story.hypercopy(&["migrate", "metrics", "--as", "a.b.c", "--report", file.path()]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert_eq!(fs::read_to_string(file.path()).unwrap(), "{}");
}

/// Makes the target stop at its next `create table`, as often as it runs this, until the lock is given back.
const GATE: &str = "
    create function gate() returns event_trigger language plpgsql as
        'begin perform pg_advisory_xact_lock_shared(4711); end';
    create event trigger gate on ddl_command_start when tag in ('CREATE TABLE', 'CREATE INDEX') execute function gate();
    select pg_advisory_lock(4711)";

#[test]
fn a_password_is_shown_nowhere() {
    let story = metrics("password");
    let file = File::new("password");
    story.target.run(GATE);
    let with_password = |conninfo: &str| format!("{conninfo} password=canary");
    let child = story
        .command(&["migrate", "metrics", "-v", "--report", file.path(), "--progress", "plain"])
        .env("HYPERCOPY_SOURCE", with_password(&story.source.conninfo))
        .env("HYPERCOPY_TARGET", with_password(&story.target.conninfo))
        .env("PGPASSWORD", "canary")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    story.target.wait_until("a session of hypercopy waits", WAITING);
    for database in [&story.source, &story.target] {
        let ours = database.value(
            "select string_agg(a::text, ' ') from pg_stat_activity a \
             where datname = current_database() and application_name like 'hypercopy%'",
        );
        assert!(ours.contains("hypercopy migrate") && !ours.contains("canary"), "{ours}");
    }
    story.target.run("select pg_advisory_unlock(4711)");
    let run = Run::of(child.wait_with_output().unwrap());
    assert_eq!(run.code, 0, "{}", run.stderr);
    let failed = story
        .command(&["migrate", "metrics"])
        .env("HYPERCOPY_SOURCE", with_password(&story.source.conninfo))
        .env("HYPERCOPY_TARGET", "host=127.0.0.1 port=1 password=canary")
        .output()
        .unwrap();
    let failed = Run::of(failed);
    assert_ne!(failed.code, 0);
    let report = file.json().to_string();
    let ledger = story.target.value("select string_agg(job::text, ' ') from _hypercopy.job");
    for text in [&run.stdout, &run.stderr, &failed.stdout, &failed.stderr, &report, &ledger] {
        assert!(!text.is_empty() || text == &failed.stdout);
        assert!(!text.contains("canary"), "{text}");
    }
}

/// Whether a session of hypercopy waits for a lock.
const WAITING: &str = "
    select exists (select from pg_stat_activity where datname = current_database()
        and application_name like 'hypercopy%' and wait_event_type = 'Lock')";

#[cfg(unix)]
#[test]
fn a_signal_ends_the_run_and_every_session_of_it() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let story = metrics("signal");
        let file = File::new(signal);
        story.target.run(GATE);
        let child = story.spawn(&["migrate", "metrics", "--json", "--report", file.path()]);
        story.target.wait_until("a session of hypercopy waits", WAITING);
        let killed = std::process::Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status();
        assert!(killed.unwrap().success());
        let run = Run::of(child.wait_with_output().unwrap());
        assert_eq!(run.code, code, "{}", run.stderr);
        assert!(run.stderr.contains(&format!("interrupted by SIG{signal}")), "{}", run.stderr);
        assert_eq!(run.json()["error"]["exit_code"], code);
        assert_eq!(file.json(), run.json());
        // The lock that they waited for is still taken: they are gone because they were ended.
        story.source.assert_nothing_left();
        story.target.assert_nothing_left();
        assert_eq!(story.target.value("select to_regclass('metrics') is null"), "t");
    }
}

#[cfg(unix)]
#[test]
fn a_signal_in_the_middle_of_the_copy_says_how_it_goes_on() {
    let story = metrics("midway");
    story.migrate("metrics", &["--as", "earlier"]);
    let holder = story.target.session();
    // Every task begins by its row in the ledger.
    story.target.wait(holder.batch_execute("begin; lock table _hypercopy.task in exclusive mode")).unwrap();
    let child = story.spawn(&["migrate", "metrics", "-j", "2", "--json", "--grace", "1s"]);
    let copying = WAITING.replace("wait_event_type", "application_name like '%copy in%' and wait_event_type");
    story.target.wait_until("a worker waits", &copying);
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
    let run = Run::of(child.wait_with_output().unwrap());
    assert_eq!(run.code, 130, "{}", run.stderr);
    assert!(run.stderr.contains("hypercopy migrate metrics -j 2 --json --grace 1s"), "{}", run.stderr);
    let left = "Job 2 keeps what it has committed: run the same command again to go on";
    assert!(run.stderr.contains(left), "{}", run.stderr);
    assert!(run.json()["error"]["hint"].as_str().unwrap().contains(left));
    story.source.assert_nothing_left();
    story.target.assert_nothing_left();
    story.target.wait(holder.batch_execute("rollback")).unwrap();
    assert_eq!(story.target.value("select count(*) from metrics"), "0", "no task was committed");
    story.migrate("metrics", &[]);
}

//! What others do to the source's table and to the target's while rows are copied, or between two runs.

use crate::faults::{
    CHECKED, DONE, METRICS, TERMINATE_HELD, assert_finished, command_by, complete, gated, proxied, run_to_the_gate,
};
use crate::harness::{Database, Hold, Running, Story, wait_until, wait_until_held};
use crate::proxy::{Fault, Trigger};

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

// ---- the target's table

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

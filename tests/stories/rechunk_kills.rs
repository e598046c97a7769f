//! `rechunk` ended at any moment while the table is written: the same command goes on, or goes back.

use std::process::Stdio;
use std::time::{Duration, Instant};

use hypercopy::failpoint;

use crate::harness::{Database, wait_until};
use crate::random::{Random, rounds};
use crate::rechunks::Rechunk;
use crate::writers::{Key, Writers, tables};

/// Layouts in turn, so that each run has something to do.
const LAYOUTS: [&[&str]; 2] = [&["--chunk-interval", "3 days"], &["--chunk-interval", "1 day"]];
/// Enough for two tasks.
const ROWS: u64 = 8_000;

fn layout(round: usize) -> &'static [&'static str] {
    LAYOUTS[round % LAYOUTS.len()]
}

/// Does something to the table while it is written, and expects that nothing of what was written is lost.
#[track_caller]
fn while_written(story: &Rechunk, key: Key, random: &mut Random, what: &str, work: impl FnOnce(&Writers)) {
    let writers = Writers::start(&story.database, key, 3, random);
    work(&writers);
    writers.wait_for_each(2);
    writers.stop();
    assert_equal(&story.database, what);
}

/// A way back that is killed at each of these places, and then gone to its end, leaves the table as it was.
#[track_caller]
fn completes(story: &Rechunk, failpoints: &[&str], until: &[&str], way: &str) {
    let before = story.database.objects();
    for failpoint in failpoints {
        story.done(until);
        story.kill_at(failpoint, &[way]);
        story.done(&[way]);
        story.assert_as_before(&before, failpoint);
        assert_equal(&story.database, failpoint);
    }
}

#[track_caller]
fn assert_equal(database: &Database, what: &str) {
    assert_eq!(database.multiset("metrics"), database.multiset("oracle"), "{what}");
}

/// Starts a run and kills it, if it has not ended by then.
fn kill_after(story: &Rechunk, moment: Duration, arguments: &[&str]) {
    let mut command = story.command(arguments);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    std::thread::sleep(moment);
    let _ = child.kill();
    child.wait().expect("it can be waited for");
}

/// How long a run takes here, which is taken back.
fn usual_time(story: &Rechunk, arguments: &[&str]) -> Duration {
    let start = Instant::now();
    story.done(arguments);
    let time = start.elapsed();
    story.done(&["--undo", "--force"]);
    time
}

#[test]
fn a_rechunk_that_is_killed_at_any_failpoint_goes_on() {
    let story = Rechunk::new("rechunk_failpoints", &tables(Key::Primary, ROWS));
    let mut random = Random::of_this_run();
    let later = ["before-commit:2", "after-commit:2", "catch-up-before-commit:2"];
    for (round, failpoint) in failpoint::RECHUNK.iter().chain(&later).enumerate() {
        while_written(&story, Key::Primary, &mut random, failpoint, |writers| {
            story.kill_at(failpoint, layout(round));
            writers.wait_for_each(2);
            story.done(layout(round));
        });
        story.done(&["--drop-old"]);
    }
}

#[test]
fn a_rechunk_that_is_killed_at_random_goes_on() {
    let story = Rechunk::new("rechunk_random", &tables(Key::None, ROWS));
    let mut random = Random::of_this_run();
    let longest = usual_time(&story, layout(0));
    for round in 0..rounds(2) as usize {
        let moments = [(); 3].map(|()| longest.mul_f64(random.below(1000) as f64 / 1000.0));
        while_written(&story, Key::None, &mut random, &format!("{moments:?}"), |_| {
            moments.iter().for_each(|moment| kill_after(&story, *moment, layout(round)));
            story.done(layout(round));
        });
        story.done(&["--drop-old"]);
    }
    story.database.assert_nothing_left();
}

#[test]
fn a_rechunk_that_is_given_up_at_random_leaves_the_table_as_it_was() {
    let story = Rechunk::new("rechunk_abort", &tables(Key::Primary, ROWS));
    let mut random = Random::of_this_run();
    let longest = usual_time(&story, layout(0));
    let before = story.database.objects();
    for _ in 0..rounds(3) {
        kill_after(&story, longest.mul_f64(random.below(900) as f64 / 1000.0), layout(0));
        let (run, again) = (story.run(&["--abort"]), story.run(&["--abort"]));
        match run.code {
            0 => assert_eq!(again.code, 3, "{}", again.stderr),
            3 if run.stderr.contains("no rechunk") => {}
            3 if run.stderr.contains("--undo") => drop(story.done(&["--undo"])),
            _ => panic!("{} {}", run.code, run.stderr),
        }
        story.assert_as_before(&before, "behind an abort");
        assert_equal(&story.database, "nobody has written");
    }
}

#[test]
fn an_abort_under_writers_keeps_what_they_write() {
    let story = Rechunk::new("rechunk_abort_writers", &tables(Key::Primary, ROWS));
    let mut random = Random::of_this_run();
    for failpoint in ["capture-after-commit", "before-commit", "finalize-before-step", "swap-before-commit"] {
        while_written(&story, Key::Primary, &mut random, failpoint, |_| {
            story.kill_at(failpoint, layout(0));
            story.done(&["--abort"]);
        });
        let ours = "select count(*) from pg_namespace where nspname like '\\_hypercopy%'";
        assert_eq!(story.database.value(ours), "0", "{failpoint}");
        let triggers = "select count(*) from pg_trigger where tgname like 'hypercopy%'";
        assert_eq!(story.database.value(triggers), "0", "{failpoint}");
    }
}

#[test]
fn an_abort_that_is_killed_is_completed_by_the_next() {
    let story = Rechunk::new("rechunk_abort_killed", &tables(Key::Primary, ROWS));
    completes(&story, failpoint::ABORT, &[layout(0), &["--no-swap"]].concat(), "--abort");
}

/// Whoever runs the command again instead of the abort gets the new layout, whole.
#[test]
fn an_abort_that_is_killed_can_be_changed_into_a_run() {
    let story = Rechunk::new("rechunk_abort_run", &tables(Key::Primary, ROWS));
    let mut random = Random::of_this_run();
    for (round, failpoint) in failpoint::ABORT.iter().enumerate() {
        story.done(&[layout(round), &["--no-swap"]].concat());
        while_written(&story, Key::Primary, &mut random, failpoint, |_| {
            story.kill_at(failpoint, &["--abort"]);
            story.done(layout(round));
        });
        story.done(&["--drop-old"]);
    }
}

#[test]
fn an_undo_without_later_changes_restores_the_table_exactly() {
    let story = Rechunk::new("rechunk_undo", &tables(Key::Primary, ROWS));
    let before = story.database.objects();
    story.done(layout(0));
    story.done(&["--undo"]);
    story.assert_as_before(&before, "behind an undo");
    assert_equal(&story.database, "nobody has written");
}

#[test]
fn an_undo_is_refused_when_the_table_was_written_and_can_be_forced() {
    let story = Rechunk::new("rechunk_undo_force", &tables(Key::Primary, ROWS));
    let database = &story.database;
    let before = database.objects();
    for later in [
        "insert into metrics values ('2025-03-02', 1, 1, 1, 'later')",
        "update metrics set value = 0 where time < '2025-03-02'",
        "delete from metrics where time < '2025-03-02'",
        "select drop_chunks('metrics', older_than => '2025-03-04'::timestamptz)",
        "truncate metrics",
    ] {
        story.done(layout(0));
        database.run(later);
        story.fails(3, "was changed since the swap in", &["--undo"]);
        story.done(&["--undo", "--force"]);
        story.assert_as_before(&before, later);
        assert_equal(database, later);
    }
}

#[test]
fn an_undo_that_is_killed_is_completed_by_the_next() {
    let story = Rechunk::new("rechunk_undo_killed", &tables(Key::Primary, ROWS));
    completes(&story, failpoint::UNDO, layout(0), "--undo");
}

#[test]
fn an_undo_that_is_killed_has_to_end_before_another_run() {
    let story = Rechunk::new("rechunk_undo_run", &tables(Key::Primary, ROWS));
    let mut random = Random::of_this_run();
    for (round, failpoint) in failpoint::UNDO.iter().enumerate() {
        story.done(layout(round));
        story.kill_at(failpoint, &["--undo"]);
        while_written(&story, Key::Primary, &mut random, failpoint, |_| {
            if *failpoint != "undo-before-commit" {
                story.fails(3, "is being undone", layout(round));
                story.done(&["--undo"]);
            }
            story.done(layout(round));
        });
        story.done(&["--drop-old"]);
    }
}

#[test]
fn a_drop_of_the_old_table_that_is_killed_goes_on_and_has_no_way_back() {
    let story = Rechunk::new("rechunk_drop_killed", &tables(Key::Primary, ROWS));
    for (round, failpoint) in failpoint::DROP_OLD.iter().enumerate() {
        story.done(layout(round));
        story.kill_at(failpoint, &["--drop-old"]);
        story.fails(3, "is being dropped", &["--undo"]);
        story.fails(3, "is being dropped", &["--undo", "--force"]);
        story.done(&["--drop-old"]);
        assert_equal(&story.database, failpoint);
        let ours = "select count(*) from pg_namespace where nspname ~ '^_hypercopy_'";
        assert_eq!(story.database.value(ours), "0", "{failpoint}");
        let kept = "select count(*) from pg_class where relname like 'metrics%old%'";
        assert_eq!(story.database.value(kept), "0", "{failpoint}");
        story.fails(3, "no rechunk of", &["--drop-old"]);
    }
}

/// The server ends sessions of a run: one that copies, and the one that has the job's lock.
#[test]
fn a_session_that_is_ended_is_replaced() {
    let story = Rechunk::new("rechunk_sessions", &tables(Key::Primary, 2 * ROWS));
    let database = &story.database;
    let mut random = Random::of_this_run();
    for (round, role) in ["rechunk public.metrics worker%", "rechunk public.metrics"].into_iter().enumerate() {
        let writers = Writers::start(database, Key::Primary, 3, &mut random);
        let mut running = story.start(layout(round));
        let mut ended = 0;
        let sql = format!(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database()
                 and application_name like 'hypercopy {role}' and backend_xid is not null
                 and exists (select from pg_namespace where nspname ~ '^_hypercopy_[0-9]+$')"
        );
        wait_until("three sessions to be ended, or the run", || {
            ended += database.value(&sql).parse::<u64>().expect("a number");
            ended >= 3 || running.has_ended()
        });
        let run = running.end();
        assert_eq!(run.code, 0, "{role}: {}", run.stderr);
        assert!(ended > 0, "{role}: no session was ended");
        assert!(run.json()["attempts"].as_u64() > Some(1), "{}", run.stdout);
        writers.wait_for_each(2);
        writers.stop();
        assert_equal(database, role);
        story.done(&["--drop-old"]);
    }
}

//! What `rechunk` tells: as JSON and as text, in every outcome; and when it is interrupted.

use serde_json::Value;

use crate::folders::File;
use crate::harness::{Hold, wait_until_held};
use crate::rechunks::Rechunk;

const METRICS: &str = "
    create table metrics (time timestamptz not null, device int);
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '7 days');
    insert into metrics select '2025-03-01'::timestamptz + n * interval '6 hours', n from generate_series(1, 100) n;";

const DAYS: [&str; 2] = ["--chunk-interval", "1 day"];

#[test]
fn every_outcome_is_told_as_json() {
    let story = Rechunk::new("rc_json", METRICS);
    let file = File::new("rc_json");
    let told = |code: i32, arguments: &[&str]| -> Value {
        let run = story.run(&[arguments, &["--report", file.path()]].concat());
        assert_eq!(run.code, code, "{}", run.stderr);
        assert_eq!(run.json(), file.json(), "{arguments:?}");
        file.json()
    };
    let state = |report: &Value| {
        let text = |key: &str| report[key].as_str().unwrap_or("-").to_string();
        format!("{} {}", text("outcome"), text("state"))
    };

    let planned = told(0, &[&DAYS[..], &["--dry-run"]].concat());
    assert_eq!((state(&planned).as_str(), &planned["job"]), ("planned -", &Value::Null));
    assert_eq!((&planned["plan"]["old_chunks"], &planned["plan"]["new_chunks"]), (&4.into(), &26.into()));
    assert_eq!(planned["plan"]["new_layout"], "time 1 day");

    let ready = told(0, &[&DAYS[..], &["--no-swap"]].concat());
    assert_eq!((state(&ready).as_str(), &ready["rows"]), ("finished ready", &100.into()));
    assert_eq!((&ready["marks"]["ranges"], &ready["swap"]), (&0.into(), &Value::Null));
    assert_eq!(ready["verification"]["mode"], "counts");
    assert_eq!(state(&told(0, &[&DAYS[..], &["--dry-run"]].concat())), "planned ready");

    let failed = told(3, &["--drop-old"]);
    assert_eq!((state(&failed).as_str(), &failed["error"]["exit_code"]), ("failed -", &3.into()));
    let aborted = told(0, &["--abort"]);
    assert_eq!((state(&aborted).as_str(), &aborted["job"]), ("finished -", &1.into()));

    let swapped = told(0, &DAYS);
    assert_eq!((state(&swapped).as_str(), &swapped["kept"]), ("finished swapped", &"public.metrics_old_1".into()));
    assert_eq!(swapped["swap"]["locked"].as_array().unwrap().len(), 1);
    assert!(swapped["swap"]["locked_seconds"].as_f64() >= swapped["swap"]["caught_up_seconds"].as_f64());
    assert_eq!(state(&told(0, &["--undo"])), "finished -");
    assert_eq!(state(&told(0, &DAYS)), "finished swapped");
    let finished = told(0, &["--drop-old"]);
    assert_eq!((state(&finished).as_str(), &finished["kept"]), ("finished finished", &Value::Null));
}

/// The text of a run, without what differs from run to run.
#[track_caller]
fn text(story: &Rechunk, arguments: &[&str]) -> Vec<String> {
    let run = story.hypercopy(&[&["rechunk", "metrics", "-j", "2", "--progress", "none"], arguments].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    let fickle = ["target", "phases", "engine", "takes", "needs", "locked", "marks"];
    let line = |line: &str| {
        let name = line.split_whitespace().next().unwrap_or_default();
        if fickle.contains(&name) && line.starts_with("  ") { name.to_string() } else { line.to_string() }
    };
    let head = |line: String| match line.rsplit_once(", in ") {
        Some((head, seconds)) if seconds.ends_with(" s") => head.to_string(),
        _ => line,
    };
    run.stdout.lines().map(line).map(head).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn every_outcome_is_told_to_people() {
    let story = Rechunk::new("rc_text", METRICS);
    let shape = [
        "layout time 7 days becomes time 1 day",
        "chunks 4 become 26",
        "rows about 100",
        "takes",
        "needs",
        "changes noted by statement triggers with transition tables, in buckets of 1 day",
        "lock share row exclusive on public.metrics, for a moment, to begin: waits for open writers",
        "lock access share on public.metrics and its chunks while rows are copied",
        "lock access exclusive on public.metrics and its chunks, for the swap",
    ];
    story.database.run("analyze metrics");
    let planned = text(&story, &[&DAYS[..], &["--dry-run"]].concat());
    assert_eq!(planned[..10], [&["target"], &shape[..]].concat());
    let ready = text(&story, &[&DAYS[..], &["--no-swap"]].concat());
    let ends = [
        "state ready: \"--swap\" goes on, \"--abort\" gives it up",
        "verified by counts, 1 range",
        "marks",
        "phases",
        "engine",
    ];
    assert_eq!(ready, [&["the new table of public.metrics is ready, 100 rows", "target"], &shape[..], &ends].concat());
    let given_up = text(&story, &["--abort"]);
    assert_eq!(given_up, ["public.metrics is as it was before", "target", "engine"]);
    let swapped = text(&story, &DAYS);
    let ends = [
        "state swapped",
        "verified by counts, 1 range",
        "locked",
        "old table public.metrics_old_1, until --drop-old or --undo",
        "phases",
        "engine",
    ];
    assert_eq!(swapped, [&["public.metrics is re-chunked, 100 rows", "target"], &shape[..], &ends].concat());
    assert_eq!(text(&story, &["--undo"]), ["public.metrics is as it was before", "target", "engine"]);
    text(&story, &DAYS);
    assert_eq!(
        text(&story, &["--drop-old"]),
        ["the old table of public.metrics is dropped", "target", "state finished", "engine"]
    );
}

#[test]
fn signals_end_a_run_in_any_phase_and_it_goes_on() {
    let story = Rechunk::new("rc_signals", METRICS);
    let before = story.database.multiset("metrics");
    let interrupted = |hold: Hold<'_>, signal: &str, code: i32, state: &str| {
        let running = story.start(&[&DAYS[..], &["--grace", "0s", "--lock-timeout", "30s"]].concat());
        wait_until_held(&story.database, 1);
        running.signal(signal);
        let run = running.end();
        assert_eq!(run.code, code, "{}", run.stderr);
        assert!(run.stderr.contains("run the same command again to go on"), "{}", run.stderr);
        assert_eq!(run.json()["state"], state);
        hold.open();
        story.database.assert_nothing_left();
    };
    let hold =
        |table: &str, mode: &str| Hold::new(&story.database, &format!("begin; lock table {table} in {mode} mode"));
    interrupted(hold("metrics", "row exclusive"), "-INT", 130, "prepared");
    story.kill_at("capture-after-commit", &DAYS);
    interrupted(hold("_hypercopy.task", "share"), "-TERM", 143, "copying");
    interrupted(hold("_hypercopy.step", "share"), "-INT", 130, "finalizing");
    interrupted(hold("metrics", "access share"), "-TERM", 143, "ready");
    story.database.run("insert into metrics values ('2025-03-02', -1)");
    assert_eq!(story.database.value("select count(*) from _hypercopy_1.mark"), "1", "changes are noted meanwhile");
    story.database.run("delete from metrics where device = -1");
    assert_eq!(story.done(&DAYS)["state"], "swapped");
    assert_eq!(story.database.multiset("metrics"), before);
}

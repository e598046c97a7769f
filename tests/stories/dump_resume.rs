//! The same command again, and archives that are built on others.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use hypercopy::failpoint;
use serde_json::Value;

use crate::dumps::Dump;
use crate::folders::Folder;
use crate::harness::{Hold, Run, Running, wait_until, wait_until_held};
use crate::imports::kill_at;
use crate::resume::METRICS;

#[test]
fn a_dump_that_is_killed_anywhere_goes_on() {
    let story = Dump::new("killed", METRICS);
    let later = ["mid-copy:3", "before-commit:2", "segment-after-name:3", "after-commit:2"];
    for failpoint in failpoint::DUMP.iter().chain(&later) {
        kill_at(story.dump_command("a", &["-j", "2"]), failpoint);
        story.dumped("a", &["-j", "2"]);
        story.assert_complete("a", failpoint);
        std::fs::remove_dir_all(story.folder.path("a")).expect("it is there");
    }
}

/// Leaves a dump with some segments done and the others not, and answers their files.
fn interrupt(story: &Dump, arguments: &[&str]) -> Vec<String> {
    kill_at(story.dump_command("a", &[&["-j", "1"], arguments].concat()), "after-commit:4");
    story.files("a").into_iter().filter(|name| name.starts_with("segment-") && !name.ends_with(".tmp")).collect()
}

#[test]
fn segments_that_hold_what_the_source_holds_are_kept() {
    let story = Dump::new("kept", METRICS);
    let done = interrupt(&story, &[]);
    let inode = |name: &String| std::fs::metadata(story.folder.path(&format!("a/{name}"))).expect("it is there").ino();
    let before: Vec<u64> = done.iter().map(inode).collect();
    let listed = story.archive(&["list", &story.folder.path(""), "--json"]).json();
    assert_eq!(listed["archives"][0]["complete"], false);
    assert_eq!(listed["archives"][0]["segments"], done.len());
    let report = story.dumped("a", &[]);
    assert_eq!((&report["resumed"]["done"], &report["resumed"]["copied_again"]), (&done.len().into(), &0.into()));
    assert_eq!(done.iter().map(inode).collect::<Vec<u64>>(), before);
    story.assert_complete("a", "kept");
}

#[test]
fn the_archive_is_the_source_as_it_is_when_the_dump_goes_on() {
    let story = Dump::new("changed", METRICS);
    interrupt(&story, &[]);
    story.source.run(
        "update metrics set value = 77 where time in (select min(time) from metrics union all select max(time) from metrics);
         insert into metrics values ('2024-01-01', 1, 1, 'before'), ('2026-01-01', 1, 1, 'behind');
         delete from metrics where time between '2025-03-04' and '2025-03-04 06:00'",
    );
    let report = story.dumped("a", &["--verify", "checksum"]);
    assert!(report["resumed"]["copied_again"].as_u64() > Some(0), "{}", report["resumed"]);
    story.assert_complete("a", "changed");
}

#[test]
fn a_line_of_the_ledger_that_a_crash_has_cut_says_nothing() {
    use std::io::Write;
    let story = Dump::new("cut", METRICS);
    let done = interrupt(&story, &[]);
    let path = story.folder.path("a/manifest.partial.json");
    let ledger = std::fs::read_to_string(&path).expect("it is there");
    let last = ledger.lines().last().expect("there are lines");
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("it is there");
    file.write_all(&last.as_bytes()[..last.len() / 2]).expect("it can be written");
    let report = story.dumped("a", &[]);
    assert_eq!(report["resumed"]["done"], done.len());
    story.assert_complete("a", "after a cut line");
}

#[test]
fn a_dump_goes_on_only_as_it_was_asked_for() {
    let story = Dump::new("otherwise", METRICS);
    interrupt(&story, &[]);
    let before = story.files("a");
    for (arguments, difference) in [
        (["--format", "csv"], "format: binary then, csv now"),
        (["--compression", "none"], "compression: zstd:1 then, none now"),
        (["--from", "2025-03-02"], "range: "),
    ] {
        story.assert_refused("a", &arguments, difference);
    }
    assert_eq!(story.files("a"), before);
    story.dumped("a", &["--restart", "--format", "csv"]);
    story.assert_complete("a", "anew");
}

#[test]
fn a_second_dump_into_the_same_directory_is_told_so() {
    let story = Dump::new("second", METRICS);
    // The first one stands still where rows come from: nobody can read a chunk whose table is locked.
    kill_at(story.dump_command("a", &["-j", "1"]), "after-commit:2");
    let hold = Hold::new(&story.source, "begin; lock table metrics in access exclusive mode");
    let first = Running::start(story.dump_command("a", &[]));
    wait_until_held(&story.source, 1);
    let second = story.dump("a", &[]);
    assert_eq!(second.code, 9, "{}", second.stderr);
    assert!(second.stderr.contains("another dump is at work"), "{}", second.stderr);
    first.signal("-KILL");
    drop(hold);
    story.dumped("a", &[]);
    story.assert_complete("a", "after both");
}

#[test]
fn a_signal_ends_a_dump_that_goes_on_afterwards() {
    let story = Dump::new("signal", METRICS);
    let hold = Hold::new(&story.source, "begin; lock table metrics in access exclusive mode");
    let running = Running::start(story.dump_command("a", &[]));
    wait_until_held(&story.source, 1);
    running.signal("-TERM");
    let run = running.end();
    assert_eq!(run.code, 143, "{}", run.stderr);
    drop(hold);
    story.dumped("a", &[]);
    story.assert_complete("a", "after a signal");
}

/// Rows that are long to compress, and fit one segment.
const RANDOM: &str = "
    create table metrics (time timestamptz not null, note text);
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
    insert into metrics select '2025-03-01'::timestamptz + n * interval '1 minute',
        (select string_agg(md5(random()::text || n || m), '') from generate_series(1, 32) m) from generate_series(0, 3999) n;
    create index on metrics (time);";

#[test]
fn a_session_that_is_lost_is_replaced() {
    let story = Dump::new("lost", RANDOM);
    let running = Running::start(story.dump_command("a", &["-j", "1", "--compression", "zstd:19"]));
    wait_until("a segment to be begun", || {
        std::fs::read_dir(story.folder.path("a")).is_ok_and(|entries| {
            entries.flatten().any(|entry| entry.file_name().to_string_lossy().ends_with(".zst.0.tmp"))
        })
    });
    // There are segments without rows to be read behind it.
    let ended = "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where datname = current_database() and application_name like 'hypercopy dump copy out%'";
    assert_eq!(story.source.value(ended), "1");
    let run = running.end();
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("trying again"), "the loss was never seen: {}", run.stderr);
    story.assert_complete("a", "after a lost session");
}

#[test]
fn a_full_disk_ends_the_dump_until_there_is_room() {
    let story = Dump::new("full", METRICS);
    let program = env!("CARGO_BIN_EXE_hypercopy");
    let limited = |blocks: u32| {
        let mut command = std::process::Command::new("bash");
        // A signal that is ignored stays ignored: writing fails as it does on a full disk.
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
        let output = story.folder.path("a");
        command.args(["-c", &script, "bash", program, "dump", "metrics", "-j", "1", "--compression", "none"]);
        command.args(["--output", &output]).env("HYPERCOPY_SOURCE", &story.source.conninfo).stdin(Stdio::null());
        Run::of(command.output().expect("bash starts"))
    };
    let run = limited(1000);
    assert_eq!(run.code, 8, "{}", run.stderr);
    assert!(run.stderr.contains("Make room on the disk of the archive"), "{}", run.stderr);
    assert!(run.stderr.contains("run the same command again"), "{}", run.stderr);
    assert!(!story.files("a").iter().any(|name| name.ends_with(".tmp")), "{:?}", story.files("a"));
    story.dumped("a", &["--compression", "none"]);
    story.assert_complete("a", "with room");
}

fn reused(report: &Value) -> (u64, u64) {
    let number = |name: &str| report[name].as_u64().expect("it is a number");
    (number("segments"), number("reused_segments"))
}

#[test]
fn only_what_has_changed_since_the_base_is_written() {
    let story = Dump::new("base", METRICS);
    story.dumped("monday", &[]);
    let base = story.folder.path("monday");
    let report = story.dumped("tuesday", &["--base", &base]);
    let (segments, same) = reused(&report);
    assert_eq!(segments, same, "nothing has changed");
    story.assert_complete("tuesday", "unchanged");
    for segment in story.segments("tuesday") {
        let range = &segment["range"];
        let origin =
            story.segments("monday").into_iter().find(|origin| origin["range"] == *range).expect("the base's range");
        let inode = |archive: &str, segment: &Value| {
            let path = story.folder.path(&format!("{archive}/{}", segment["file"].as_str().unwrap()));
            std::fs::metadata(path).expect("it is there").ino()
        };
        assert_eq!(inode("tuesday", &segment), inode("monday", &origin), "it is the same file");
    }
    // One row in the middle, and a day at the end.
    story.source.run(
        "update metrics set note = 'changed' where ctid = (select ctid from metrics where time = '2025-03-04' limit 1) and time = '2025-03-04';
         insert into metrics select time + interval '30 days', device, value, note from metrics where time < '2025-03-02'",
    );
    let report = story.dumped("wednesday", &["--base", &base]);
    let (segments, same) = reused(&report);
    assert!(same + 4 >= segments && same < segments, "{same} of {segments} are the base's");
    story.assert_complete("wednesday", "changed");
    let shown = story.archive(&["show", &story.folder.path("wednesday"), "--json"]).json();
    assert_eq!((&shown["reused_segments"], &shown["base"]["path"]), (&same.into(), &base.as_str().into()));
    let ranges = |archive: &str| -> Vec<Value> {
        let closed = |range: &Value| !range["from"].is_null() && !range["until"].is_null();
        story.segments(archive).iter().map(|part| part["range"].clone()).filter(closed).collect()
    };
    assert!(ranges("monday").iter().all(|range| ranges("wednesday").contains(range)), "the base's ranges are used");
}

#[test]
fn a_base_on_another_file_system_is_copied() {
    let memory = Path::new("/dev/shm");
    let story = Dump::new("elsewhere", METRICS);
    let device = |path: &Path| std::fs::metadata(path).map(|found| found.dev()).ok();
    if device(memory).is_none() || device(memory) == device(Path::new(&story.folder.path(""))) {
        return eprintln!("skipped a_base_on_another_file_system_is_copied: there is no second file system");
    }
    let elsewhere = Folder::below(memory, "base");
    let base = elsewhere.path("monday");
    let run = Run::of(story.command(&["dump", "metrics", "--output", &base]).output().expect("the program starts"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let (segments, same) = reused(&story.dumped("tuesday", &["--base", &base]));
    assert_eq!(segments, same, "nothing has changed");
    drop(elsewhere);
    story.assert_complete("tuesday", "without its base");
}

/// What the disk has made of a segment is found before the archive is called complete, and written anew.
#[test]
fn a_byte_that_was_written_badly_is_found_by_reading_again() {
    let story = Dump::new("bad_disk", METRICS);
    kill_at(story.dump_command("a", &[]), "before-settle");
    let segments = story.files("a").into_iter().filter(|name| name.ends_with(".zst"));
    let file = segments.max_by_key(|name| story.folder.read(&format!("a/{name}")).len()).expect("there are segments");
    let mut bytes = story.folder.read(&format!("a/{file}"));
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    story.folder.write(&format!("a/{file}"), bytes);
    let run = story.dump("a", &["--verify", "checksum"]);
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(run.stderr.contains(&file) && run.stderr.contains("look at the disk"), "{}", run.stderr);
    assert!(!story.files("a").contains(&"manifest.json".to_string()), "it is not called complete");
    story.dumped("a", &["--verify", "checksum"]);
    story.assert_complete("a", "written anew");
}

#[test]
fn a_base_that_is_damaged_or_of_another_kind_is_not_used() {
    let story = Dump::new("bad_base", METRICS);
    story.dumped("monday", &[]);
    let base = story.folder.path("monday");
    let largest =
        story.segments("monday").into_iter().max_by_key(|segment| segment["rows"].as_u64()).expect("there is one");
    let name = format!("monday/{}", largest["file"].as_str().unwrap());
    let mut bytes = story.folder.read(&name);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    story.folder.write(&name, bytes);
    let (segments, same) = reused(&story.dumped("tuesday", &["--base", &base]));
    assert_eq!(same + 1, segments, "all but the damaged one");
    story.assert_complete("tuesday", "a damaged base");
    assert_eq!(reused(&story.dumped("csv", &["--base", &base, "--format", "csv"])).1, 0);
    story.assert_complete("csv", "another format");
    story.source.run("alter table metrics alter column value type real");
    assert_eq!(reused(&story.dumped("altered", &["--base", &base])).1, 0);
    story.assert_complete("altered", "another type");
    story.assert_refused("own", &["--base", &story.folder.path("nothing")], "could not open directory");
    story.assert_refused("monday", &["--base", &base], "cannot be its own base");
}

#[test]
fn a_dump_with_a_base_is_killed_and_goes_on() {
    let story = Dump::new("killed_base", METRICS);
    story.dumped("monday", &[]);
    let base = story.folder.path("monday");
    story.source.run("insert into metrics select time + interval '30 days', device, value, note from metrics where time < '2025-03-02'");
    for failpoint in ["segment-after-name:2", "before-commit", "manifest-after-name"] {
        kill_at(story.dump_command("tuesday", &["--base", &base]), failpoint);
        let report = story.dumped("tuesday", &["--base", &base]);
        assert!(reused(&report).1 > 0, "{failpoint}: {report}");
        story.assert_complete("tuesday", failpoint);
        std::fs::remove_dir_all(story.folder.path("tuesday")).expect("it is there");
    }
}

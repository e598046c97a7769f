//! An import is a job: killed anywhere and asked for again it goes on, changed it is refused, done it is done.

use std::io::Write;
use std::process::Stdio;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::folders::File;
use crate::harness::{Running, Story};
use crate::imports::{
    IN_BLOCKS, METRICS, RECORDS, assert_complete, assert_complete_by_one_job, begin_anew, done_blocks, expect, import,
    import_until, imported, kill_at, records, run, story, through_stdin,
};

/// Everything but the blocks, which are cut as each run likes.
const OTHERWISE: [&str; 6] = ["--block-size", "3kB", "-j", "3", "--max-rejects", "5"];

#[test]
fn an_import_that_is_killed_anywhere_goes_on() {
    let (story, file) = story("import_killed", &records(0..RECORDS));
    let arguments = ["--truncate", "--defer-indexes"];
    for failpoint in [
        "begin-before-statement",
        "begin-before-statement:3",
        "begin-before-commit",
        "begin-after-commit",
        "before-claim",
        "before-claim:5",
        "after-claim",
        "after-claim:4",
        "mid-copy",
        "mid-copy:3",
        "before-count-check:2",
        "before-commit",
        "before-commit:4",
        "after-commit",
        "after-commit:6",
        "before-settle",
        "finalize-before-step",
        "finalize-before-commit",
        "finalize-after-commit",
        "finalize-after-commit:2",
        "before-finish",
    ] {
        story.target.run("insert into metrics values ('2025-03-02', 99, 1, 'gone with --truncate')");
        import_until(&story, file.path(), failpoint, &arguments);
        imported(&story, file.path(), &[&OTHERWISE[..], &arguments].concat());
        assert_complete_by_one_job(&story, failpoint);
        begin_anew(&story);
    }
}

#[test]
fn an_import_that_makes_its_table_and_is_killed_goes_on() {
    let story = Story::new("import_made");
    story.target.run(METRICS);
    expect(&story, &records(0..RECORDS));
    story.target.run("drop table metrics");
    let file = File::with("import_made.csv", format!("time,device,value,note\n{}", records(0..RECORDS)));
    let arguments =
        ["--create-hypertable", "time", "--header", "match", "--chunk-interval", "1 day", "--type", "device=int"];
    for failpoint in [
        "begin-before-statement",
        "begin-before-statement:2",
        "begin-before-commit",
        "begin-after-commit",
        "chunks-before-batch",
        "chunks-after-batch",
        "chunks-after-batch:3",
        "after-commit:3",
        "before-settle",
        "finalize-before-step",
        "finalize-before-commit",
        "finalize-after-commit",
        "before-finish",
    ] {
        import_until(&story, file.path(), failpoint, &arguments);
        imported(&story, file.path(), &arguments);
        let target = &story.target;
        assert_eq!(target.multiset("expected"), target.multiset("metrics"), "{failpoint}");
        let index = "select count(*) from pg_index where indisvalid and indrelid = 'metrics'::regclass";
        assert_eq!(target.value(index), "1", "{failpoint}");
        let job = "select state from _hypercopy.job where target_oid = 'metrics'::regclass";
        assert_eq!(target.value(job), "finished", "{failpoint}");
        target.assert_nothing_left();
        target.run("drop table metrics");
    }
}

/// Where the order of the file decides, it decides over all runs.
#[test]
fn conflicts_are_settled_the_same_by_killed_runs() {
    let story = Story::new("import_conflicts");
    story.target.run(
        "create table metrics (time timestamptz, device int, value int, primary key (time, device));
         select create_hypertable('metrics', 'time')",
    );
    let line = |n: u32| format!("2025-03-{:02} 00:00:00+00,{},{n}\n", n % 5 + 1, n * 7 % 11);
    let file = File::with("import_conflicts.csv", (0..900).map(line).collect::<String>());
    for how in ["skip", "update"] {
        let arguments = ["--on-conflict", how];
        imported(&story, file.path(), &arguments);
        let expected = story.target.multiset("metrics");
        assert!(expected.starts_with("55 rows"), "{expected}");
        begin_anew(&story);
        for failpoint in ["after-claim:2", "mid-copy:2", "before-commit:3", "after-commit:2"] {
            import_until(&story, file.path(), failpoint, &arguments);
            let report = imported(&story, file.path(), &[&["--block-size", "1kB"], &arguments[..]].concat());
            assert_eq!(story.target.multiset("metrics"), expected, "{how} {failpoint}");
            assert_eq!(report["records"], 900, "{how} {failpoint}");
            story.target.assert_nothing_left();
            begin_anew(&story);
        }
    }
}

#[test]
fn records_that_were_left_out_are_counted_over_all_runs() {
    let (story, _) = story("import_rejects", &records(0..RECORDS));
    let bad = "2025-03-01 00:00:00+00,x,1,bad\n";
    let contents = format!("{bad}{}{bad}{bad}{}{bad}", records(0..500), records(500..RECORDS));
    let file = File::with("import_rejects_bad.csv", &contents);
    let rejects = File::with("import_rejects_out.csv", "");
    let arguments = ["--max-rejects", "4", "--rejects", rejects.path()];
    for failpoint in ["mid-copy:2", "before-commit:1", "after-commit:1", "after-commit:5", "before-finish"] {
        import_until(&story, file.path(), failpoint, &arguments);
        let report = imported(&story, file.path(), &[&["--block-size", "2kB"], &arguments[..]].concat());
        assert_eq!(report["rejected"], 4, "{failpoint}");
        assert_eq!(std::fs::read_to_string(rejects.path()).unwrap(), bad.repeat(4), "{failpoint}");
        assert_complete(&story, failpoint);
        begin_anew(&story);
    }
    // The budget is the job's: what is left of it is not enough.
    import_until(&story, file.path(), "after-commit:6", &["--max-rejects", "3"]);
    let run = import(&story, file.path(), &["--max-rejects", "3"]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(run.stderr.contains("more than 3 records were rejected"), "{}", run.stderr);
    let report = imported(&story, file.path(), &["--max-rejects", "4"]);
    assert_eq!(report["rejected"], 4);
    assert_complete(&story, "after a larger budget");
    let _ = std::fs::remove_file(format!("{}.json", rejects.path()));
}

fn gzip(contents: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(contents.as_bytes()).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

#[test]
fn what_is_in_is_not_loaded_again() {
    let contents = records(0..RECORDS);
    let (story, file) = story("import_seeks", &contents);
    let gzipped = File::with("import_seeks.gz", gzip(&contents));
    for way in ["plain", "gzip", "stdin", "gzip through stdin"] {
        let command = |arguments: &[&str]| {
            let from = if way.starts_with("gzip") { &gzipped } else { &file };
            match way.ends_with("stdin") {
                true => through_stdin(&story, from, arguments),
                false => story.command(&[&["import", "metrics", from.path(), "--json"], arguments].concat()),
            }
        };
        kill_at(command(&IN_BLOCKS), "after-commit:4");
        story
            .target
            .run("create table before as select tableoid as chunk, ctid as place, xmin::text as writer from metrics");
        let done = story.target.value("select sum(byte_until - byte_from) from _hypercopy.block");
        let blocks = done_blocks(&story);
        assert!((4..=5).contains(&blocks), "{blocks}");
        let report = run(command(&OTHERWISE));
        assert_eq!(report.code, 0, "{way}: {}", report.stderr);
        let report = report.json();
        assert_eq!(report["resumed_blocks"], blocks, "{way}");
        let left = contents.len() as u64 - done.parse::<u64>().unwrap();
        assert_eq!(report["bytes"], left, "{way}: what is in was loaded again");
        let kept = "select count(*) = (select count(*) from before) from metrics join before
            on chunk = metrics.tableoid and place = metrics.ctid and writer = metrics.xmin::text";
        assert_eq!(story.target.value(kept), "t", "{way}: the rows are the same ones");
        assert_complete_by_one_job(&story, way);

        let again = run(command(&["-j", "1"]));
        assert_eq!(again.code, 0, "{way}: {}", again.stderr);
        assert!(again.json()["finished_at"].is_string(), "{way}: {}", again.stdout);
        assert_complete_by_one_job(&story, way);
        story.target.run("drop table before");
        begin_anew(&story);
    }
}

#[test]
fn the_first_records_of_a_file_are_not_loaded_twice() {
    let (story, file) = story("import_limit_then_all", &records(0..100));
    imported(&story, file.path(), &["--limit", "10"]);
    let all = import(&story, file.path(), &[]);
    assert_eq!(all.code, 3, "{}", all.stderr);
    assert!(all.stderr.contains("with --limit 10") && all.stderr.contains("--import-id"), "{}", all.stderr);
    assert_eq!(story.target.value("select count(*) from metrics"), "10");
    // Where all rows are taken away first, none of them is there twice.
    imported(&story, file.path(), &["--truncate"]);
    assert_complete(&story, "emptied, then all");
}

#[test]
fn rows_that_were_taken_away_are_not_said_to_be_in() {
    let (story, first) = story("import_taken_away", &records(0..50));
    let second = File::with("import_taken_away_second.csv", records(50..100));
    imported(&story, first.path(), &[]);
    imported(&story, second.path(), &["--truncate"]);
    assert_eq!(story.target.value("select count(*) from _hypercopy.job"), "1", "the first one's rows are gone");
    expect(&story, &records(50..100));
    imported(&story, first.path(), &[]);
    assert_complete(&story, "the first file again");

    story.target.run("truncate metrics");
    let gone = import(&story, first.path(), &[]);
    assert_eq!(gone.code, 3, "{}", gone.stderr);
    assert!(gone.stderr.contains("the table is empty now"), "{}", gone.stderr);
    imported(&story, first.path(), &["--import-id", "again"]);
    imported(&story, second.path(), &["--import-id", "again"]);
    assert_complete(&story, "both again");
}

#[test]
fn an_import_that_is_done_says_so() {
    let (story, file) = story("import_done", &records(0..100));
    imported(&story, file.path(), &[]);
    let again = story.hypercopy(&["import", "metrics", file.path(), "-j", "1", "--block-size", "1kB"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.stdout.contains("already imported at 2") && again.stdout.contains("101 rows"), "{}", again.stdout);
    let renamed = File::with("import_done_renamed.csv", records(0..100));
    assert!(imported(&story, renamed.path(), &[])["finished_at"].is_string());
    assert_complete_by_one_job(&story, "done");
    expect(&story, &records(0..100));
    assert!(imported(&story, renamed.path(), &["--import-id", "twice"])["finished_at"].is_null());
    assert!(imported(&story, file.path(), &["--import-id", "twice"])["finished_at"].is_string());
    assert_complete(&story, "imported twice");
}

#[test]
fn a_job_goes_on_only_as_it_was_asked_for() {
    let contents = records(0..RECORDS);
    let (story, file) = story("import_changed", &contents);
    import_until(&story, file.path(), "after-commit:2", &[]);
    let before = story.target.multiset("metrics");
    let refused = |arguments: &[&str], words: &[&str]| {
        let run = import(&story, file.path(), arguments);
        assert_eq!(run.code, 3, "{arguments:?}: {}", run.stderr);
        for word in words.iter().chain(&["job 1 on", "hint: "]) {
            assert!(run.stderr.contains(word), "{word} is not in: {}", run.stderr);
        }
        assert_eq!(before, story.target.multiset("metrics"), "nothing is imported");
    };
    refused(&["--null", "nil"], &["dialect: ", "nil"]);
    refused(&["--columns", "time,device,value,note", "--quote", "'"], &["dialect: "]);
    refused(&["--columns", "time,value,device,note"], &["columns: "]);
    refused(&["--header", "skip"], &["header: \"none\" then, \"skip\" now"]);
    refused(&["--truncate"], &["truncate: false then, true now"]);
    refused(&["--limit", "5"], &["limit: null then, 5 now"]);
    // One byte, and the size.
    file.write(contents.replacen("1.5", "2.5", 1));
    refused(&[], &["contents of ", "import_changed.csv"]);
    file.write(&contents[..contents.len() - 1]);
    refused(&[], &[&format!("({} bytes then, {} now)", contents.len(), contents.len() - 1)]);
    file.write(&contents);
    // One of several files that are one import.
    let other = File::with("import_changed_other.csv", records(0..3));
    let run = import(&story, file.path(), &[other.path()]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("1 files then, 2 now"), "{}", run.stderr);

    let renamed = File::with("import_changed_renamed.csv", &contents);
    let report = imported(&story, renamed.path(), &OTHERWISE);
    assert!(report["resumed_blocks"].as_u64() >= Some(2), "{report}");
    assert_complete_by_one_job(&story, "a file of another name");
}

/// A glob that has more files the next day, or a file of several by itself.
#[test]
fn files_that_were_imported_with_others_are_not_imported_twice() {
    let contents = [records(0..300), records(300..600), records(600..900)];
    let (story, first) = story("import_several", &contents.concat());
    let second = File::with("import_several_2.csv", &contents[1]);
    let third = File::with("import_several_3.csv", &contents[2]);
    first.write(&contents[0]);
    imported(&story, first.path(), &[second.path()]);
    for files in
        [[first.path()].as_slice(), &[second.path(), first.path()], &[first.path(), second.path(), third.path()]]
    {
        let run = import(&story, files[0], &files[1..]);
        assert_eq!(run.code, 3, "{files:?}: {}", run.stderr);
        assert!(run.stderr.contains("job 1 has imported ") && run.stderr.contains("--import-id"), "{}", run.stderr);
    }
    assert!(imported(&story, first.path(), &[second.path()])["finished_at"].is_string());
    imported(&story, third.path(), &[]);
    assert_complete(&story, "each file once");
}

#[test]
fn a_stream_has_to_begin_as_it_did() {
    let contents = records(0..RECORDS);
    let (story, file) = story("import_stream", &contents);
    kill_at(through_stdin(&story, &file, &IN_BLOCKS), "after-commit:4");
    let before = story.target.multiset("metrics");
    let changed = File::with("import_stream_changed.csv", contents.replacen("1.5", "2.5", 1));
    let short = File::with("import_stream_short.csv", &contents[..1000]);
    // The first block is in: it is what tells one stream from another.
    assert_eq!(story.target.value("select min(byte_from) from _hypercopy.block"), "0");
    for other in [&changed, &short] {
        let refused = run(through_stdin(&story, other, &IN_BLOCKS));
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(refused.stderr.contains("stdin is not what it was when it was read before"), "{}", refused.stderr);
        assert_eq!(story.target.multiset("metrics"), before);
    }
    assert_eq!(run(through_stdin(&story, &file, &OTHERWISE)).code, 0);
    assert_complete_by_one_job(&story, "the same stream");

    // All of it again is in, a part of it or more than it is neither that nor another.
    let again = run(through_stdin(&story, &file, &[]));
    assert!(again.code == 0 && again.json()["finished_at"].is_string(), "{}", again.stderr);
    let longer = File::with("import_stream_longer.csv", format!("{contents}{}", records(0..5)));
    let shorter = File::with("import_stream_shorter.csv", &contents[..contents.len() - 200]);
    for other in [&longer, &shorter] {
        let refused = run(through_stdin(&story, other, &[]));
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(refused.stderr.contains("and goes on otherwise"), "{}", refused.stderr);
        assert!(refused.stderr.contains("--import-id"), "{}", refused.stderr);
    }
    assert_complete_by_one_job(&story, "refused streams");
    // One that begins otherwise is another.
    let other = records(500..700);
    assert_eq!(run(through_stdin(&story, &File::with("import_stream_other.csv", &other), &[])).code, 0);
    expect(&story, &other);
    assert_complete(&story, "another stream");
}

#[test]
fn a_table_is_emptied_once() {
    let (story, file) = story("import_truncate", &records(0..RECORDS));
    story.target.run("insert into metrics values ('2025-03-01', 99, 1, 'old')");
    import_until(&story, file.path(), "begin-before-commit", &["--truncate"]);
    assert_eq!(story.target.value("select count(*) from metrics"), "1", "nothing has happened");
    for failpoint in ["begin-after-commit", "after-commit:3"] {
        import_until(&story, file.path(), failpoint, &["--truncate"]);
        let line = "2025-03-05 00:00:00+00,98,1,theirs\n";
        story.target.copy("copy metrics from stdin (format csv)", line);
        expect(&story, line);
    }
    imported(&story, file.path(), &["--truncate"]);
    assert!(imported(&story, file.path(), &["--truncate"])["finished_at"].is_string());
    assert_complete_by_one_job_but_for(&story, 2);
    // Rows of a job that is unfinished are not taken away: it would never find out.
    let other = File::with("import_truncate_other.csv", records(0..400));
    import_until(&story, other.path(), "after-commit:1", &[]);
    let run = import(&story, file.path(), &["--truncate", "--import-id", "new"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("--truncate would take away the rows of job 2"), "{}", run.stderr);
    imported(&story, other.path(), &[]);
    imported(&story, file.path(), &["--truncate", "--import-id", "new"]);
    story.target.run("delete from expected where device = 98");
    assert_complete(&story, "emptied by another import");
}

#[track_caller]
fn assert_complete_by_one_job_but_for(story: &Story, others: u32) {
    assert_complete(story, "once");
    let ledger = story.target.value("select sum(rows) from _hypercopy.block");
    let rows = story.target.value(&format!("select count(*) - {others} from metrics"));
    assert_eq!(ledger, rows);
}

#[test]
fn a_limit_is_the_whole_jobs() {
    let contents = records(0..RECORDS);
    let (story, file) = story("import_limit", "");
    file.write(&contents);
    story.target.copy("copy expected from stdin (format csv)", records(0..599));
    let rows = story.target.value("select count(*) from expected");
    for (way, failpoint) in [("file", "after-commit:1"), ("file", "after-commit:4"), ("stdin", "after-commit:2")] {
        let command = |arguments: &[&str]| {
            let arguments = [arguments, &["--limit", &rows]].concat();
            match way {
                "stdin" => through_stdin(&story, &file, &arguments),
                _ => story.command(&[&["import", "metrics", file.path(), "--json"], &arguments[..]].concat()),
            }
        };
        kill_at(command(&IN_BLOCKS), failpoint);
        let ended = run(command(&OTHERWISE));
        assert_eq!(ended.code, 0, "{way} {failpoint}: {}", ended.stderr);
        assert_complete_by_one_job(&story, failpoint);
        let again = run(command(&[]));
        assert_eq!(again.code, 0, "{way} {failpoint}: {}", again.stderr);
        assert!(again.json()["finished_at"].is_string(), "{way}: {}", again.stdout);
        assert_complete_by_one_job(&story, failpoint);
        begin_anew(&story);
    }
}

const INDEXES: &str = "
    comment on index metrics_device_idx is 'it''s \"theirs\"';
    create unique index metrics_unique on metrics (device, time) where device > 1000000;
    create index metrics_clustered on metrics (value, time);
    alter table metrics cluster on metrics_clustered;
    create index metrics_partial on metrics using brin (time) with (pages_per_range = 7) where device is not null;
    create index metrics_statistics on metrics ((value + 1));
    alter index metrics_statistics alter column 1 set statistics 77;";

/// What of the indexes can be told, with comments.
const DEFINITIONS: &str = "
    select string_agg(format('%s %s %s %s %s', class.oid::regclass, pg_get_indexdef(class.oid), indisvalid,
        indisclustered, obj_description(class.oid, 'pg_class')), e'\\n' order by relname)
    from pg_index join pg_class class on class.oid = indexrelid where indrelid = 'metrics'::regclass";

#[test]
fn deferred_indexes_come_back_as_they_were() {
    let story = Story::new("import_deferred");
    story.target.run(METRICS);
    story.target.run(INDEXES);
    let file = File::with("import_deferred.csv", records(0..RECORDS));
    let before = story.target.value(DEFINITIONS);
    let oids = "select string_agg(indexrelid::regclass::text, ' ' order by indexrelid::regclass::text) from pg_index
        where indrelid = 'metrics'::regclass";
    for failpoint in ["begin-before-statement:2", "begin-before-commit"] {
        import_until(&story, file.path(), failpoint, &["--defer-indexes"]);
        assert_eq!(story.target.value(DEFINITIONS), before, "{failpoint}");
    }
    import_until(&story, file.path(), "begin-after-commit", &["--defer-indexes"]);
    let kept = "metrics_clustered metrics_statistics metrics_unique";
    assert_eq!(story.target.value(oids), kept, "what its definition would not bring back stays");
    let planned = "select count(*) from _hypercopy.job, jsonb_array_elements(plan -> 'indexes')";
    assert_eq!(story.target.value(planned), "3", "their definitions are in the ledger");
    for failpoint in ["before-settle", "finalize-before-commit", "finalize-after-commit", "finalize-before-step"] {
        import_until(&story, file.path(), failpoint, &["--defer-indexes"]);
    }
    // Whether indexes are deferred was decided when it began.
    imported(&story, file.path(), &[]);
    assert_eq!(story.target.value(DEFINITIONS), before);

    let run = import(&story, file.path(), &["--defer-indexes", "--import-id", "2"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("has rows, and --defer-indexes is for an empty table"), "{}", run.stderr);
    assert_eq!(story.target.value(DEFINITIONS), before);
    begin_anew(&story);

    import_until(&story, file.path(), "after-commit:2", &["--defer-indexes"]);
    assert_eq!(story.target.value(oids), kept);
    let rows = story.target.multiset("metrics");
    let run = story.hypercopy(&["jobs", "clean", &story.target.value("select id from _hypercopy.job")]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(story.target.value(DEFINITIONS), before, "what would be lost with the job is built");
    assert_eq!(story.target.multiset("metrics"), rows, "its rows stay");
    assert_eq!(story.target.value("select to_regnamespace('_hypercopy') is null"), "t");
    story.target.assert_nothing_left();
}

#[test]
fn imports_are_listed_shown_and_forgotten() {
    let (story, file) = story("import_listed", &records(0..RECORDS));
    import_until(&story, file.path(), "after-commit:2", &[]);
    let list = story.hypercopy(&["jobs"]);
    assert!(list.stdout.contains("unfinished"), "{}", list.stdout);
    let list = story.hypercopy(&["jobs", "list", "--json"]).json();
    assert_eq!((list[0]["kind"].as_str(), list[0]["state"].as_str()), (Some("import"), Some("copying")));
    let done = done_blocks(&story);
    let shown = story.hypercopy(&["jobs", "show", "1", "--json"]).json();
    assert_eq!(shown["done"].as_array().map(|done| done.len() as u64), Some(done));
    let shown = story.hypercopy(&["jobs", "show", "1"]);
    for words in ["job 1: import ", "import_listed.csv", "unfinished", "file 1, bytes 0 to "] {
        assert!(shown.stdout.contains(words), "{words} is not in: {}", shown.stdout);
    }
    imported(&story, file.path(), &[]);
    assert!(story.hypercopy(&["jobs"]).stdout.contains("finished"));
    let run = story.hypercopy(&["jobs", "clean", "1", "--json"]);
    assert_eq!((run.code, run.json()["id"].as_i64()), (0, Some(1)), "{}", run.stderr);
    assert_eq!(story.target.value("select to_regnamespace('_hypercopy') is null"), "t");
    assert_eq!(story.target.multiset("metrics"), story.target.multiset("expected"));
    // What is forgotten is not known to be in.
    expect(&story, &records(0..RECORDS));
    imported(&story, file.path(), &[]);
    assert_complete(&story, "imported again");
}

#[test]
fn a_dry_run_changes_nothing() {
    let (story, file) = story("import_dry", &records(0..RECORDS));
    let rejects = File::new("import_dry_rejects");
    let dry = |arguments: &[&str]| {
        let before = (story.target_objects(), story.target.multiset("metrics"));
        let run = import(&story, file.path(), &[&["--dry-run", "--rejects", rejects.path()], arguments].concat());
        assert_eq!(before, (story.target_objects(), story.target.multiset("metrics")), "{arguments:?}");
        assert!(std::fs::metadata(rejects.path()).is_err(), "{arguments:?}");
        run
    };
    let planned = dry(&["--truncate", "--defer-indexes"]);
    assert_eq!(planned.code, 0, "{}", planned.stderr);
    assert_eq!(planned.json()["outcome"], "planned");
    let statements = planned.json()["plan"]["before_rows"].as_array().map(Vec::len);
    assert_eq!(statements, Some(3), "truncate and two indexes: {}", planned.stdout);
    assert_eq!(story.target.value("select to_regnamespace('_hypercopy') is null"), "t");
    import_until(&story, file.path(), "after-commit:2", &[]);
    // The server ends what it was at, such as making a chunk.
    story.target.assert_nothing_left();
    let runs = "select string_agg(run || state, ' ') from _hypercopy.job";
    let resumed = dry(&[]);
    assert_eq!(resumed.json()["plan"]["done_blocks"], done_blocks(&story), "{}", resumed.stderr);
    assert_eq!(story.target.value(runs), "1copying", "nobody has taken it over");
    assert_eq!(dry(&["--null", "nil"]).code, 3);
    imported(&story, file.path(), &[]);
    let finished = dry(&[]);
    assert!(finished.json()["finished_at"].is_string(), "{}", finished.stdout);
    assert_complete_by_one_job(&story, "dry runs");
}

#[test]
fn a_report_is_written_however_an_import_ends() {
    let (story, file) = story("import_report", &records(0..RECORDS));
    let report = File::new("import_report");
    let ends = |file: &str, arguments: &[&str], code: i32| {
        let run = import(&story, file, &[&["--report", report.path()], arguments].concat());
        assert_eq!(run.code, code, "{}", run.stderr);
        assert_eq!(run.json(), report.json(), "stdout and the file say the same");
        report.json()
    };
    let failed = ends("/nowhere/at/all.csv", &[], 3);
    assert_eq!((failed["outcome"].as_str(), failed["error"]["exit_code"].as_u64()), (Some("failed"), Some(3)));
    let bad = File::with("import_report_bad.csv", records(0..400) + "2025-03-01,x,1,secret\n");
    let failed = ends(bad.path(), &["--block-size", "4kB"], 6);
    assert!(failed["rows"].as_u64() > Some(0) && failed["job"].is_u64(), "what is in is told: {failed}");
    assert!(!failed["error"].to_string().contains("secret"), "{failed}");
    assert_eq!(story.hypercopy(&["jobs", "clean", "1"]).code, 0);
    story.target.run("truncate metrics");
    let finished = ends(file.path(), &[], 0);
    assert_eq!(finished["rows"].as_u64(), story.target.value("select count(*) from metrics").parse().ok());
    assert!(ends(file.path(), &[], 0)["finished_at"].is_string());
}

#[test]
fn imports_and_migrations_keep_out_of_each_others_way() {
    let contents = records(0..RECORDS);
    let (story, file) = story("import_migrate", &contents);
    story.source.run(METRICS);
    story.source.copy("copy metrics from stdin (format csv)", records(0..500).replace("2025-03", "2024-03"));
    import_until(&story, file.path(), "after-commit:3", &[]);
    // An import that is not finished is no obstacle.
    let append = ["migrate", "metrics", "--if-exists", "append", "--until", "2025-01-01", "--json"];
    kill_at(story.command(&append), "before-commit");
    // A migration is one: it compares what stands in its ranges.
    for arguments in [&[] as &[&str], &["--dry-run"], &["--import-id", "new"]] {
        let refused = import(&story, file.path(), arguments);
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(refused.stderr.contains("job 2 (migrate) on "), "{}", refused.stderr);
        assert!(refused.stderr.contains("hint: "), "{}", refused.stderr);
    }
    let migrated = story.hypercopy(&append);
    assert_eq!(migrated.code, 0, "{}", migrated.stderr);
    let verified = story.hypercopy(&["verify", "metrics", "--until", "2025-01-01"]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    imported(&story, file.path(), &[]);
    expect(&story, &records(0..500).replace("2025-03", "2024-03"));
    assert_complete(&story, "both");
}

/// The memory of a file that is many times larger than what may be in flight.
#[test]
fn a_large_file_needs_little_memory() {
    let story = Story::new("import_memory");
    story.target.run(
        "create table metrics (a int not null, b int, c int);
         select create_hypertable('metrics', 'a', chunk_time_interval => 1000000000, create_default_indexes => false)",
    );
    let mut command = story.command(&["import", "metrics", "-", "--json", "-j", "8"]);
    command.stdin(Stdio::piped());
    let mut running = Running::start(command);
    let mut stdin = running.stdin();
    let block = (0..100_000u32).map(|n| format!("{n},1,2\n")).collect::<String>();
    for _ in 0..50 {
        stdin.write_all(block.as_bytes()).expect("it reads on");
    }
    drop(stdin);
    let run = running.end();
    assert_eq!(run.code, 0, "{}", run.stderr);
    let report = run.json();
    assert_eq!(report["rows"], 5_000_000);
    let peak = report["engine"]["peak_memory_bytes"].as_u64().expect("the system tells");
    assert!(peak < 300_000_000, "{peak} bytes");
}

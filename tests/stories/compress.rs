//! Chunks that are compressed as they are filled, or behind everything else. These run where
//! `HYPERCOPY_TEST_COMMUNITY_DSN` names a server with TimescaleDB's community edition.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use hypercopy::failpoint;

use crate::archives::Archive;
use crate::harness::{Server, Story};

/// Eight days and 31 MB, enough for three tasks and more, of which the last two are not compressed; duplicates, NULLs, NaN
/// and −0, an index, and a key that holds nothing twice.
const METRICS: &str = "
    create table metrics (time timestamptz not null, device int, value double precision, note text, n int, unique (n, time));
    alter table metrics alter column note set storage external;
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
    alter table metrics set (timescaledb.compress, timescaledb.compress_segmentby = 'device');
    insert into metrics
    select '2025-03-01'::timestamptz + n * interval '10 minutes', nullif(n % 7, 3),
        (array[n::text, 'NaN', '-0', '0', null, 'inf'])[n % 6 + 1]::float8, repeat(chr(97 + n % 26), 27000), n + twice
    from generate_series(0, 1151) n, generate_series(0, n % 100 / 99) twice;
    create index on metrics (device, time desc);
    create unique index metrics_other_idx on metrics (device, n, time);
    select count(compress_chunk(chunk)) from show_chunks('metrics', older_than => '2025-03-07'::timestamptz) chunk;";

const COMPRESSED: &str = "
    select count(*) filter (where is_compressed) || ' of ' || count(*) || ', the last one that ends '
        || max(range_end at time zone 'UTC') filter (where is_compressed)
    from timescaledb_information.chunks where hypertable_name = 'metrics'";

/// What is in the heap of chunks that are compressed: nothing, where they were compressed behind their last row.
const HEAPS: &str = "
    select coalesce(sum(pg_relation_size(format('%I.%I', chunk_schema, chunk_name))), 0)
    from timescaledb_information.chunks where hypertable_name = 'metrics' and is_compressed";

#[track_caller]
fn assert_complete(story: &Story, compressed: &str, what: &str) {
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"), "{what}");
    assert_eq!(story.target.value(COMPRESSED), compressed, "{what}");
    assert_eq!(story.target.value(HEAPS), "0", "{what}");
    let indexes = "select count(*) from pg_index where indrelid = 'metrics'::regclass";
    assert_eq!(story.source.value(indexes), story.target.value(indexes), "{what}");
    assert_eq!(story.target.value("select count(*) from _hypercopy.backend"), "0", "{what}");
    story.target.assert_nothing_left();
}

/// Runs the program until it is killed there.
#[track_caller]
fn kill(mut command: Command, failpoint: &str) {
    let killed = command.env("HYPERCOPY_FAILPOINT", failpoint).stderr(Stdio::null()).stdout(Stdio::null()).status();
    assert_eq!(killed.expect("the program starts").signal(), Some(9), "{failpoint} is never reached");
}

#[test]
fn what_is_compressed_stays_so_in_any_layout() {
    let Some(story) = Story::community("compress_preserve") else { return };
    story.source.run(METRICS);
    let archive = Archive::of(&story.source, "metrics", "compress", &[]);
    for (interval, wanted) in [
        ("1 day", "6 of 8, the last one that ends 2025-03-07 00:00:00"),
        ("6 hours", "24 of 32, the last one that ends 2025-03-07 00:00:00"),
        ("4 days", "1 of 2, the last one that ends 2025-03-05 00:00:00"),
    ] {
        let options = ["--chunk-interval", interval, "--verify", "checksum", "--strict", "-j", "3"];
        let report = story.migrate("metrics", &options);
        assert_complete(&story, wanted, interval);
        assert_eq!(report["compressed_chunks"].to_string(), wanted.split(' ').next().unwrap());
        story.target.run("drop table metrics; delete from _hypercopy.job");
        archive.restored(&story.target, &options);
        assert_complete(&story, wanted, interval);
        story.target.run("drop table metrics; delete from _hypercopy.job");
    }
}

#[test]
fn more_or_less_is_compressed_on_request() {
    let Some(story) = Story::community("compress_request") else { return };
    story.source.run(METRICS);
    let age = story.source.value("select (now() - '2025-03-03'::timestamptz)::text");
    for (compress, wanted) in [
        ("all".to_string(), "8 of 8, the last one that ends 2025-03-09 00:00:00"),
        ("none".to_string(), "NULL"),
        (format!("older-than {age}"), "2 of 8, the last one that ends 2025-03-03 00:00:00"),
    ] {
        story.migrate("metrics", &["--compress", &compress, "--verify", "checksum"]);
        assert_complete(&story, wanted, &compress);
        let other = story.hypercopy(&["migrate", "metrics"]);
        assert_eq!((other.code, wanted), (3, wanted), "another request is not this job's: {}", other.stderr);
        story.target.run("drop table metrics; delete from _hypercopy.job");
    }
    let wrong = story.hypercopy(&["migrate", "metrics", "--compress", "older-than", "a while"]);
    assert!(wrong.code == 3 && wrong.stderr.contains("is no interval"), "{}", wrong.stderr);
}

#[test]
fn a_table_without_a_columnstore_gets_one_where_chunks_shall_be_compressed() {
    let Some(story) = Story::community("compress_plain") else { return };
    story.source.run(
        "create table metrics (time timestamptz not null, v int);
         select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
         insert into metrics select '2025-03-01'::timestamptz + n * interval '1 hour', n from generate_series(1, 100) n",
    );
    story.migrate("metrics", &["--compress", "all"]);
    assert_complete(&story, "5 of 5, the last one that ends 2025-03-06 00:00:00", "all");
}

#[test]
fn a_table_with_row_level_security_is_not_compressed() {
    let Some(story) = Story::community("compress_secured") else { return };
    story.source.run(
        "create table metrics (time timestamptz not null, v int);
         select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
         insert into metrics select '2025-03-01'::timestamptz + n * interval '1 hour', n from generate_series(1, 100) n",
    );
    for security in ["enable", "force"] {
        story.source.run(&format!("alter table metrics {security} row level security"));
        story.assert_refused(&["metrics", "--compress", "all"], "has row-level security");
    }
    // The server says no itself, whichever of the two comes first.
    let refused = story.source.try_query("alter table metrics set (timescaledb.compress)").unwrap_err();
    assert_eq!(refused.code().map(|code| code.code()), Some("0A000"));
    story.migrate("metrics", &["--strict"]);
    let secured = "select relrowsecurity and relforcerowsecurity from pg_class where oid = 'metrics'::regclass";
    assert_eq!(story.target.value(secured), "t");
}

#[test]
fn without_the_edition_chunks_arrive_uncompressed_and_that_is_said() {
    let Some(story) = Story::from_community(Server::Trixie, "compress_apache") else { return };
    story.source.run(METRICS);
    let report = story.migrate("metrics", &["--verify", "checksum"]);
    let said = report["not_carried"].to_string();
    assert!(said.contains("6 chunks arrive uncompressed"), "{said}");
    story.target.run("drop table metrics; delete from _hypercopy.job");
    story.assert_refused(&["metrics", "--compress", "all"], "Apache edition");
}

#[test]
fn chunks_are_compressed_while_others_are_filled() {
    let Some(story) = Story::community("compress_meanwhile") else { return };
    story.source.run(METRICS);
    kill(story.command(&["migrate", "metrics", "-j", "1"]), "compress-after-commit:2");
    let left = "select (select count(*) from timescaledb_information.chunks where hypertable_name = 'metrics' and is_compressed) || ' compressed, '
        || (select string_agg(state, '') from _hypercopy.job) || ', ' || (select count(*) > 0 from metrics where time >= '2025-03-08')";
    assert_eq!(story.target.value(left), "2 compressed, copying, false");
}

#[test]
fn a_run_that_is_killed_anywhere_goes_on() {
    let Some(story) = Story::community("compress_killed") else { return };
    story.source.run(METRICS);
    let options = ["migrate", "metrics", "--json", "--verify", "checksum", "-j", "2"];
    let later =
        ["mid-copy:3", "before-commit:3", "after-commit:3", "compress-before-commit:4", "compress-after-commit:4"];
    for failpoint in failpoint::MIGRATE.iter().chain(failpoint::COMPRESS).chain(&later) {
        kill(story.command(&options), failpoint);
        let run = story.hypercopy(&options);
        assert_eq!(run.code, 0, "{failpoint}: {}", run.stderr);
        assert_complete(&story, "6 of 8, the last one that ends 2025-03-07 00:00:00", failpoint);
        story.target.run("drop table metrics; delete from _hypercopy.job");
    }
}

#[test]
fn what_has_changed_in_a_compressed_chunk_is_copied_again() {
    let Some(story) = Story::community("compress_changed") else { return };
    story.source.run(METRICS);
    let options = ["migrate", "metrics", "--json", "--verify", "checksum", "-j", "2"];
    kill(story.command(&options), "before-settle");
    assert_eq!(story.target.value(COMPRESSED), "6 of 8, the last one that ends 2025-03-07 00:00:00");
    story.source.run(
        "update metrics set value = -1 where time >= '2025-03-02 23:00' and time < '2025-03-03 01:00';
         delete from metrics where time < '2025-03-01 02:00'; insert into metrics values ('2025-03-01 02:00', 3, 3, 'late', -1)",
    );
    let run = story.hypercopy(&options);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let again = run.json()["resumed"]["copied_again"].as_u64().unwrap();
    assert!(again > 0, "{}", run.stdout);
    assert_complete(&story, "6 of 8, the last one that ends 2025-03-07 00:00:00", "changed");
}

#[test]
fn what_the_columnstore_refuses_later_is_made_before_it() {
    let Some(story) = Story::community("compress_behind") else { return };
    story.source.run(METRICS);
    // Neither can be made once there are compressed chunks.
    story.source.run(
        "select count(decompress_chunk(chunk, true)) from show_chunks('metrics') chunk;
         alter table metrics add constraint late check (n <> 5) not valid;
         select count(compress_chunk(chunk)) from show_chunks('metrics', older_than => '2025-03-07'::timestamptz) chunk",
    );
    let options = ["migrate", "metrics", "--json", "--verify", "checksum", "-j", "2"];
    for failpoint in ["before-settle", "compress-before-commit:3", "compress-after-commit:3", "before-finish"] {
        kill(story.command(&options), failpoint);
        let run = story.hypercopy(&options);
        assert_eq!(run.code, 0, "{failpoint}: {}", run.stderr);
        assert_complete(&story, "6 of 8, the last one that ends 2025-03-07 00:00:00", failpoint);
        let check = "select count(*) from pg_constraint where conrelid = 'metrics'::regclass and conname = 'late' and not convalidated";
        assert_eq!(story.target.value(check), "1");
        story.target.run("drop table metrics; delete from _hypercopy.job");
    }
}

#[test]
fn chunks_that_are_merged_as_they_are_compressed_hold_all_rows() {
    let Some(story) = Story::community("compress_merged") else { return };
    story.source.run(&METRICS.replace(
        "timescaledb.compress_segmentby",
        "timescaledb.compress_chunk_time_interval = '2 days', timescaledb.compress_segmentby",
    ));
    let report = story.migrate("metrics", &["--verify", "checksum", "-j", "3"]);
    let chunks = report["target_chunks"].as_u64().unwrap();
    assert!(chunks < 8, "{chunks}");
    assert_eq!(story.target.value(HEAPS), "0");
}

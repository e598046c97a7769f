//! `rechunk` of a table with compressed chunks. These run where `HYPERCOPY_TEST_COMMUNITY_DSN` names a server with TimescaleDB's
//! community edition.

use hypercopy::failpoint;

use crate::harness::{Database, Hold};
use crate::rechunks::Rechunk;

const FINER: [&str; 2] = ["--chunk-interval", "6 hours"];

/// Ten days of rows, seven of them compressed; `oracle` has the same rows.
const METRICS: &str = "
    create table devices (id int primary key);
    insert into devices values (0), (1), (2);
    create table metrics (time timestamptz not null, device int not null references devices, value bigint);
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
    create index on metrics (device, time desc);
    alter table metrics set (timescaledb.compress, timescaledb.compress_segmentby = 'device');
    insert into metrics select '2025-03-01 00:00+00'::timestamptz + n * interval '10 minutes', n % 3, n from generate_series(0, 1439) n;
    select compress_chunk(c) from show_chunks('metrics', older_than => '2025-03-08 00:00+00'::timestamptz) c;
    create table oracle as table metrics";
const COMPRESSED: &str =
    "select count(*) from timescaledb_information.chunks where hypertable_name = 'metrics' and is_compressed";

fn story(name: &str) -> Option<Rechunk> {
    Rechunk::community(name, METRICS)
}

#[track_caller]
fn assert_equal(database: &Database, what: &str) {
    assert_eq!(database.multiset("metrics"), database.multiset("oracle"), "{what}");
}

/// Changes both tables.
fn change(database: &Database, sql: &str) {
    database.run(&sql.replace("{t}", "metrics"));
    database.run(&sql.replace("{t}", "oracle"));
}

#[test]
fn compressed_chunks_arrive_compressed() {
    let Some(story) = story("compressed_arrive") else { return };
    let database = &story.database;
    let report = story.done(&[&FINER[..], &["--verify", "checksum"]].concat());
    assert_eq!(report["compressed_chunks"], 28, "seven days of four chunks");
    assert_eq!(database.value(COMPRESSED), "28");
    assert_equal(database, "behind the swap");
    let keys =
        "select count(*) from pg_constraint where conrelid = 'metrics'::regclass and contype = 'f' and convalidated";
    assert_eq!(database.value(keys), "1");
    story.done(&["--drop-old"]);
    // Coarser, across the edge between what is compressed and what is not.
    assert_eq!(story.done(&["--chunk-interval", "4 days"])["compressed_chunks"], 1);
    assert_eq!(database.value(COMPRESSED), "1");
    assert_equal(database, "coarser");
}

#[test]
fn changes_of_compressed_rows_reach_the_new_table() {
    let Some(story) = story("compressed_changes") else { return };
    let database = &story.database;
    story.done(&[&FINER[..], &["--no-swap"]].concat());
    for sql in [
        "update {t} set value = -value where time < '2025-03-01 06:00+00'",
        "delete from {t} where device = 1 and time >= '2025-03-04+00' and time < '2025-03-05+00'",
        "insert into {t} values ('2025-03-02 12:34+00', 2, 1), ('2025-03-09 12:34+00', 2, 1)",
    ] {
        change(database, sql);
    }
    database.run(
        "select decompress_chunk(c) from show_chunks('metrics', older_than => '2025-03-02 00:00+00'::timestamptz) c",
    );
    story.done(&["--swap", "--verify", "checksum"]);
    assert_equal(database, "behind the swap");
    assert_eq!(database.value(COMPRESSED), "24", "one of the days was not compressed any more");
    change(database, "delete from {t} where time < '2025-03-03 06:00+00'");
    assert_equal(database, "changed when it was compressed again");
}

#[test]
fn a_rechunk_that_is_killed_while_it_compresses_goes_on() {
    let Some(story) = story("compressed_killed") else { return };
    let database = &story.database;
    for failpoint in failpoint::COMPRESS.iter().chain(&["compress-after-commit:9"]) {
        story.kill_at(failpoint, &FINER);
        assert_equal(database, failpoint);
        story.done(&FINER);
        assert_eq!(database.value(COMPRESSED), "28", "{failpoint}");
        assert_equal(database, failpoint);
        story.done(&["--undo"]);
        assert_eq!(database.value(COMPRESSED), "7", "{failpoint}");
        assert_equal(database, failpoint);
    }
}

/// Other files with the same rows are no change, other rows are, whatever the files are.
#[test]
fn an_undo_asks_for_rows_and_not_for_files() {
    let Some(story) = story("compressed_undo") else { return };
    let database = &story.database;
    for toggle in [
        "select count(decompress_chunk(c)) from show_chunks('metrics', older_than => '2025-03-03 00:00+00'::timestamptz) c",
        "select count(compress_chunk(c)) from show_chunks('metrics', newer_than => '2025-03-08 00:00+00'::timestamptz) c",
        "vacuum full metrics",
    ] {
        story.done(&FINER);
        database.run(toggle);
        story.done(&["--undo"]);
        assert_equal(database, toggle);
    }
    story.done(&FINER);
    let chunk =
        database.value("select show_chunks('metrics', older_than => '2025-03-02 00:00+00'::timestamptz) limit 1");
    database.run(&format!("truncate {chunk}"));
    story.fails(3, "was changed since the swap in", &["--undo"]);
    story.done(&["--undo", "--force"]);
    assert_equal(database, "what was truncated is back");
}

#[test]
fn whoever_reads_goes_before_the_columnstore_and_the_compression() {
    let Some(story) = story("compressed_read") else { return };
    let database = &story.database;
    let waits = |reads: &str, said: &str| {
        let reader = Hold::new(database, &format!("begin; select count(*) from metrics{reads}"));
        let mut running = story.start(&[&FINER[..], &["--lock-timeout=100ms"]].concat());
        running.wait_until_said(said);
        database.run("select count(*) from metrics");
        reader.open();
        let run = running.end();
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(database.value(COMPRESSED), "28");
    };
    story.kill_at("swap-after-commit", &FINER);
    waits("", "enable the columnstore of public.metrics: a lock was not had in time");
    story.done(&["--undo"]);
    story.kill_at("compress-after-commit", &FINER);
    waits(" where time < '2025-03-02+00'", "compress _timescaledb_internal.");
}

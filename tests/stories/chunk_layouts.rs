//! `--chunk-layout preserve`: the source's own slices, however they came about. These run where
//! `HYPERCOPY_TEST_COMMUNITY_DSN` names a server with TimescaleDB's community edition.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use crate::archives::Archive;
use crate::harness::{Database, Story};

/// Intervals and partitions that have changed, and an empty chunk.
const METRICS: &str = "
    create table metrics (time timestamptz not null, device text, value float8);
    select create_hypertable('metrics', 'time', 'device', 2, chunk_time_interval => interval '1 day');
    insert into metrics select '2025-03-01'::timestamptz + n * interval '1 hour', 'd' || n % 7, n from generate_series(0, 71) n;
    select set_chunk_time_interval('metrics', interval '5 hours'); select set_number_partitions('metrics', 3);
    insert into metrics select '2025-03-04'::timestamptz + n * interval '1 hour', 'd' || n % 7, n from generate_series(0, 47) n;
    select set_chunk_time_interval('metrics', interval '30 days');
    insert into metrics values ('2025-07-01', 'late', 1), ('1969-01-01', 'early', 2), ('2026-01-01', 'empty', 3);
    delete from metrics where device = 'empty'";

/// All slices of all chunks of the only hypertable.
fn slices(database: &Database) -> Vec<Vec<Option<String>>> {
    database.query(
        "select string_agg(range_start || '..' || range_end, ' ' order by slice.dimension_id)
         from _timescaledb_catalog.chunk_constraint link join _timescaledb_catalog.dimension_slice slice on slice.id = dimension_slice_id
         group by chunk_id order by 1",
    )
}

#[test]
fn irregular_slices_are_made_as_they_are() {
    let Some(story) = Story::community("layout_preserve") else { return };
    story.source.run(METRICS);
    let options = ["--chunk-layout", "preserve", "--verify", "checksum", "-j", "3"];
    let report = story.migrate("metrics", &options);
    let wanted = slices(&story.source);
    assert_eq!(report["plan"]["new_chunks"].as_u64().unwrap() as usize, wanted.len());
    assert_eq!(slices(&story.target), wanted);
    story.target.run("drop table metrics; delete from _hypercopy.job");
    Archive::of(&story.source, "metrics", "layout", &[]).restored(&story.target, &options);
    assert_eq!(slices(&story.target), wanted);
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"));
}

#[test]
fn a_range_of_them_is_made_and_a_run_that_is_killed_goes_on() {
    let Some(story) = Story::community("layout_killed") else { return };
    story.source.run(METRICS);
    let options = ["migrate", "metrics", "--json", "--chunk-layout", "preserve", "--until", "2025-03-04"];
    for failpoint in ["chunks-before-batch:3", "chunks-after-batch:2", "mid-copy"] {
        let mut command = story.command(&options);
        let killed = command.env("HYPERCOPY_FAILPOINT", failpoint).stderr(Stdio::null()).stdout(Stdio::null()).status();
        assert_eq!(killed.expect("the program starts").signal(), Some(9), "{failpoint} is never reached");
        let other = story.hypercopy(&["migrate", "metrics", "--until", "2025-03-04"]);
        assert!(other.code == 3 && other.stderr.contains("chunks: the source's then"), "{}", other.stderr);
        let run = story.hypercopy(&options);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(
            story.target.multiset("metrics"),
            story.source.multiset("(select * from metrics where time < '2025-03-04')"),
            "{failpoint}"
        );
        let wanted = slices(&story.source);
        assert!(slices(&story.target).iter().all(|chunk| wanted.contains(chunk)), "{failpoint}");
        story.target.run("drop table metrics; delete from _hypercopy.job");
    }
}

#[test]
fn it_is_refused_where_it_cannot_be_and_beside_another_layout() {
    let story = Story::new("layout_refused");
    story.source.run(
        "create table metrics (time timestamptz not null, v int); select create_hypertable('metrics', 'time')",
    );
    story.assert_refused(&["metrics", "--chunk-layout", "preserve"], "makes chunks by their interval only");
    for other in [["--chunk-interval", "1 day"], ["--hash-partitions", "v:2"], ["--if-exists", "append"]] {
        let run = story.hypercopy(&[&["migrate", "metrics", "--chunk-layout", "preserve"], &other[..]].concat());
        assert_eq!(run.code, 2, "{other:?}: {}", run.stderr);
    }
}

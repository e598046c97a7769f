//! An archive of any layout comes back in any layout.

use hypercopy::archive::SegmentFormat;

use crate::archives::Archive;
use crate::restore::{METRICS, story};

#[test]
fn chunks_become_coarser_and_finer_as_in_a_migration() {
    let story = story("restore_intervals", METRICS);
    for format in [SegmentFormat::Binary, SegmentFormat::Csv] {
        let archive = Archive::of_slices(&story.source, "metrics", "intervals", format);
        for interval in ["1 day", "5 days", "1 hour", "1000 days"] {
            let options = ["--chunk-interval", interval, "--verify", "checksum", "-j", "3"];
            archive.restored(&story.target, &options);
            assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"), "{interval}");
            story.migrate("metrics", &[&options[..], &["--as", "other"]].concat());
            let slices = |table: &str| {
                story.target.query(&format!(
                    "select range_start, range_end from timescaledb_information.chunks
                     where hypertable_name = '{table}' order by 1"
                ))
            };
            assert_eq!(slices("metrics"), slices("other"), "{interval}");
            story.target.run("drop table metrics; drop table other");
        }
    }
}

#[test]
fn segments_are_read_before_the_copy_only_where_the_manifest_does_not_say_enough() {
    let story = story("extents", METRICS);
    let archive = Archive::of(&story.source, "metrics", "extents", &[]);
    let rows =
        archive.manifest()["segments"].as_array().unwrap().iter().position(|segment| segment["rows"] != 0).unwrap();
    let file = archive.segments()[rows].clone();
    let whole = archive.read(&file);
    let mut damage = whole.clone();
    damage[whole.len() / 2] ^= 1;
    archive.write(&file, damage);
    let planned = |layout: &[&str]| archive.restore(&story.target, &[&["--dry-run"], layout].concat());
    for (layout, code) in [(&[][..], 0), (&["--chunk-interval", "10 days"], 0), (&["--chunk-interval", "1 hour"], 6)] {
        let run = planned(layout);
        assert_eq!(run.code, code, "{layout:?}: {}", run.stderr);
    }
    archive.write(&file, whole);
    let report = archive.restored(&story.target, &["--verify", "checksum"]);
    assert_eq!(report["verification"]["differences"].as_array().map_or(0, Vec::len), 0, "{report}");
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"));
}

#[test]
fn hash_partitions_come_and_go() {
    let story = story("restore_hash", METRICS);
    let plain = Archive::of_slices(&story.source, "metrics", "plain", SegmentFormat::Binary);
    let with_hash = ["--hash-partitions", "device:3", "--verify", "checksum"];
    plain.restored(&story.target, &[&with_hash[..], &["--as", "hashed"]].concat());
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("hashed"));
    let partitions = |table: &str| {
        story.target.value(&format!(
            "select coalesce(max(num_partitions), 0) from timescaledb_information.dimensions where hypertable_name = '{table}'"
        ))
    };
    assert_eq!(partitions("hashed"), "3");
    let hashed = Archive::of_slices(&story.target, "hashed", "hashed", SegmentFormat::Binary);
    hashed.restored(&story.target, &["--as", "again", "--verify", "checksum"]);
    hashed.restored(&story.target, &["--as", "without", "--hash-partitions", "none", "--verify", "checksum"]);
    for (table, wanted) in [("again", "3"), ("without", "0")] {
        assert_eq!(story.source.multiset("metrics"), story.target.multiset(table));
        assert_eq!(partitions(table), wanted);
    }
}

#[test]
fn further_dimensions_come_back() {
    let story = story(
        "restore_dimensions",
        "create table t (time timestamptz not null, n bigint not null, device text, v int);
         select create_hypertable('t', 'time', chunk_time_interval => interval '1 day');
         select add_dimension('t', 'n', chunk_time_interval => 100);
         select add_dimension('t', 'device', number_partitions => 2);
         insert into t select '2025-01-01'::timestamptz + n * interval '1 hour', n * 7 % 500, 'd' || n % 5, n
         from generate_series(1, 300) n",
    );
    for format in [SegmentFormat::Binary, SegmentFormat::Csv] {
        let archive = Archive::of_slices(&story.source, "t", "dimensions", format);
        for options in
            [&[][..], &["--chunk-interval", "3 days"], &["--chunk-interval", "6 hours", "--hash-partitions", "none"]]
        {
            archive.restored(&story.target, &[options, &["--verify", "checksum"]].concat());
            assert_eq!(story.source.multiset("t"), story.target.multiset("t"), "{options:?}");
            story.target.run("drop table t");
        }
    }
}

#[test]
fn too_many_chunks_are_refused_before_anything_is_made() {
    let story = story("restore_too_many", METRICS);
    let archive = Archive::of_slices(&story.source, "metrics", "too_many", SegmentFormat::Binary);
    let options = ["--chunk-interval", "1 minute", "--max-new-chunks", "1000"];
    archive.assert_refused(&story.target, &options, 3, "needs more than 1000 chunks");
}

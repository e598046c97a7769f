//! Every kind of dimension, into every kind of layout.

use crate::harness::{Server, Story};

/// A hypertable as people have them: gaps, nulls, NaN, −0, duplicates, no key.
const METRICS: &str = "
    create table metrics (time timestamptz not null, device text, value double precision, note text);
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '12 hours');
    insert into metrics
    select '2025-03-01'::timestamptz + n * interval '7 minutes', 'dev' || n % 13,
        case n % 10 when 0 then null when 1 then 'NaN' when 2 then '-0' when 3 then '-inf' else n / 3.0 end,
        case when n % 3 = 0 then repeat('ä', n % 50) end
    from generate_series(1, 3000) n;
    insert into metrics select * from metrics limit 500;";

#[test]
fn chunks_become_coarser() {
    let story = Story::new("coarser");
    story.source.run(METRICS);
    let report = story.migrate("metrics", &["--chunk-interval", "1 day", "--verify", "checksum"]);
    assert_eq!(report["rows"], 3500);
    assert_eq!(report["plan"]["format"], "binary");
    assert_eq!(report["verification"]["differences"].as_array().unwrap().len(), 0);
    assert_eq!(
        story.target.value("select distinct range_end - range_start from timescaledb_information.chunks"),
        "1 day"
    );
}

#[test]
fn chunks_become_finer() {
    let story = Story::new("finer");
    story.source.run(METRICS);
    let report = story.migrate("metrics", &["--chunk-interval", "1 hour", "-j", "3"]);
    let wanted = story.source.value("select count(distinct date_trunc('hour', time)) from metrics");
    assert_eq!(report["target_chunks"].to_string(), wanted, "a chunk for each hour with rows, and no other");
}

#[test]
fn hash_partitions_come_and_go() {
    let story = Story::new("hash");
    story.source.run(METRICS);
    story.migrate("metrics", &["--hash-partitions", "device:3", "--as", "hashed", "--verify", "checksum"]);
    let partitions = "select num_partitions from timescaledb_information.dimensions where hypertable_name = 'hashed' and dimension_number = 2";
    assert_eq!(story.target.value(partitions), "3");
}

#[test]
fn both_directions_between_releases() {
    for (from, to) in [(Server::Trixie, Server::Sid), (Server::Sid, Server::Trixie)] {
        let Some(story) = Story::between(from, to, "releases") else { return };
        story.source.run(METRICS);
        story.migrate("metrics", &["--chunk-interval", "2 days", "--verify", "checksum"]);
    }
}

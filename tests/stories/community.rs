//! Compressed chunks: read whole, whatever state they are in. These run where `HYPERCOPY_TEST_COMMUNITY_DSN` names a server with
//! TimescaleDB's community edition.

use crate::harness::{Server, Story};

const COMPRESSED: &str = "
    create table metrics (time timestamptz not null, device int not null, value double precision, note text);
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
    alter table metrics set (timescaledb.compress, timescaledb.compress_segmentby = 'device');
    insert into metrics
    select '2025-03-01'::timestamptz + n * interval '5 minutes', n % 7, case when n % 9 = 0 then null else n / 7.0 end, 'note ' || n
    from generate_series(0, 2879) n;
    select count(compress_chunk(chunk)) from show_chunks('metrics') chunk where chunk <> (select max(c) from show_chunks('metrics') c);";

#[test]
fn compressed_and_partly_compressed_chunks_arrive_whole() {
    let Some(story) = Story::community("compressed") else { return };
    story.source.run(COMPRESSED);
    // Rows behind the compression make a chunk partial: some of its rows are in the heap.
    story.source.run("insert into metrics values ('2025-03-02 12:00+00', 3, 'NaN', 'late'), ('2025-03-02 12:00+00', 3, 'NaN', 'late')");
    let report = story.migrate("metrics", &["--chunk-interval", "6 hours", "--verify", "checksum", "-j", "2"]);
    assert_eq!(report["rows"], 2882);
    assert_eq!(report["compressed_chunks"], 36, "nine days of four chunks");
}

#[test]
fn compressed_chunks_arrive_whole_where_the_role_hides_their_rows() {
    let Some(story) = Story::community("hidden") else { return };
    story.source.run(COMPRESSED);
    story.source.run(
        "alter database current_database() set timescaledb.enable_transparent_decompression = off"
            .replace("current_database()", &format!("\"{}\"", story.source.value("select current_database()")))
            .as_str(),
    );
    let report = story.migrate("metrics", &["--verify", "checksum"]);
    assert_eq!(report["rows"], 2880);
}

#[test]
fn compressed_chunks_are_compared_with_uncompressed_ones() {
    let Some(story) = Story::community("compared") else { return };
    story.source.run(COMPRESSED);
    story.source.run("insert into metrics values ('2025-03-02 12:00+00', 3, 'NaN', 'late')");
    story.migrate("metrics", &["--chunk-interval", "6 hours"]);
    let verify = |arguments: &[&str]| story.hypercopy(&[&["verify", "metrics", "--json"], arguments].concat());
    for arguments in [&["-j", "1"] as &[&str], &["-j", "3"], &["--counts-only"]] {
        let run = verify(arguments);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(run.json()["comparison"]["source_rows"], 2881);
    }
    story.target.run("update metrics set value = -1 where time = '2025-03-03 00:05:00+00'");
    let run = verify(&[]);
    assert_eq!(run.code, 7, "{}", run.stderr);
    assert_eq!(run.json()["comparison"]["keys"][0]["key"]["time"], "2025-03-03 00:05:00+00");
}

#[test]
fn policies_and_continuous_aggregates_are_listed() {
    let Some(story) = Story::from_community(Server::Trixie, "policies") else { return };
    story.source.run(COMPRESSED);
    story.source.run("select add_retention_policy('metrics', interval '10 years')");
    story.source.run(
        "create materialized view daily with (timescaledb.continuous) as
         select time_bucket('1 day', time) as day, avg(value) from metrics group by 1 with no data",
    );
    let report = story.migrate("metrics", &[]);
    let listed: Vec<&str> =
        report["not_carried"].as_array().unwrap().iter().map(|found| found["kind"].as_str().unwrap()).collect();
    assert!(listed.contains(&"policy or job") && listed.contains(&"continuous aggregate"), "{listed:?}");
}

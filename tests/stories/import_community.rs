//! Imports into what only TimescaleDB's community edition has: compressed chunks, continuous aggregates, chunks made
//! without rows. These run where `HYPERCOPY_TEST_COMMUNITY_DSN` names such a server.

use crate::import_tables::{LIVE, live, minute};
use crate::twins::{Csv, Twins};

/// Ten days with rows, of which all but the last two are compressed.
const COMPRESSED: &str = "
    create table {table} (time timestamptz not null, key int not null, value float8{key});
    select create_hypertable('{table}', 'time', chunk_time_interval => interval '1 day');
    alter table {table} set (timescaledb.compress, timescaledb.compress_segmentby = 'key');
    insert into {table} select '2025-03-01'::timestamptz + n * interval '20 minutes', 1000 + n % 7, n from generate_series(0, 719) n;
    select count(compress_chunk(chunk)) from show_chunks('{table}', older_than => '2025-03-09'::timestamptz) chunk;";

fn csv() -> Csv {
    Csv::new((0..14_000).map(|n| format!("{},{n},{}.5\n", minute(n * 7919 % 14_000), n % 10)).collect::<String>())
}

#[test]
fn rows_go_into_compressed_chunks_with_and_without_keys() {
    for key in ["", ", primary key (time, key)"] {
        let Some(twins) = Twins::community("into_compressed", &COMPRESSED.replace("{key}", key)) else { return };
        let csv = csv();
        twins.copy(&csv, "");
        twins.import(&csv, &["-j", "4", "--block-size", "64kB"]);
        twins.assert_same();
        let compressed =
            "select count(*) from timescaledb_information.chunks where hypertable_name = 'by_import' and is_compressed";
        assert_eq!(twins.database.value(compressed), "8");
    }
}

#[test]
fn a_key_that_is_compressed_is_a_bad_record() {
    let Some(twins) = Twins::community("key_compressed", &COMPRESSED.replace("{key}", ", primary key (time, key)"))
    else {
        return;
    };
    let csv = Csv::new("2025-03-02 00:10:00Z,1,1\n2025-03-01 00:00:00Z,1000,1\n2025-03-02 00:11:00Z,1,1\n");
    let run = twins.try_import(&csv, &[]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(run.stderr.contains("line 2") && run.stderr.contains("23505"), "{}", run.stderr);
    let report = twins.import(&csv, &["--max-rejects", "1"]);
    assert_eq!((&report["rows"], &report["rejected"]), (&2.into(), &1.into()));
}

#[test]
fn continuous_aggregates_hear_of_the_rows() {
    let Some(twins) = Twins::community("aggregates", &COMPRESSED.replace("{key}", "")) else { return };
    twins.database.run(
        "create materialized view daily with (timescaledb.continuous) as
         select time_bucket('1 day', time) as day, count(*), sum(value) from by_import group by 1 with no data",
    );
    twins.database.run("call refresh_continuous_aggregate('daily', null, null)");
    twins.import(&csv(), &["-j", "3", "--block-size", "64kB"]);
    twins.database.run("call refresh_continuous_aggregate('daily', null, null)");
    let sql = "select not exists (select day, count, sum from daily except select time_bucket('1 day', time), count(*), sum(value) from by_import group by 1)";
    assert_eq!(twins.database.value(sql), "t");
}

#[test]
fn chunks_are_made_before_the_rows_whatever_the_layout() {
    let definition = "
        create table {table} (time timestamptz not null, key int, value float8, note text);
        select create_hypertable('{table}', 'time', 'key', 3, chunk_time_interval => interval '1 day');
        insert into {table} values ('2025-03-03 12:00Z', 1, 1);
        select set_chunk_time_interval('{table}', interval '30 hours');";
    let Some(twins) = Twins::community("before_rows", definition) else { return };
    let csv = csv();
    twins.copy(&csv, "(time, key, value)");
    twins.import(&csv, &["-j", "4", "--block-size", "64kB", "--columns", "time,key,value"]);
    twins.assert_same();
}

#[test]
fn a_table_that_others_write_gets_all_rows_of_everybody_where_chunks_are_made_before_them() {
    let Some(twins) = Twins::community("live_before", LIVE) else { return };
    live(&twins, &[]);
}

#[test]
fn a_table_that_others_write_gets_all_rows_of_everybody_while_it_is_compressed() {
    let definition = format!(
        "{LIVE}; alter table {{table}} set (timescaledb.compress, timescaledb.compress_segmentby = 'device');
         select count(compress_chunk(chunk)) from show_chunks('{{table}}') chunk"
    );
    let Some(twins) = Twins::community("live_compressed", &definition) else { return };
    live(&twins, &[]);
}

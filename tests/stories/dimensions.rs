//! Every kind of dimension, compared with what the server makes of the same values.

use std::fmt::Write as _;

use hypercopy::catalog::{Chunk, Hypertable, read};
use hypercopy::connect::{Conninfo, Reader, Side};
use hypercopy::pgcopy::{TimeType, binary};
use hypercopy::pipeline::route::Router;
use hypercopy::plan::{Layout, Partitioning, Range};

use crate::archives::Archive;
use crate::harness::{Database, Story};
use crate::random::Random;
use crate::zoo::not_carried;

/// Values of the time types that lie where arithmetic goes wrong: before Christ, around the epochs, at the ends.
const TIMES: [&str; 12] = [
    "4714-11-24 BC",
    "4713-01-01 BC",
    "0001-12-31 BC",
    "0001-01-01",
    "1582-10-15",
    "1969-12-31",
    "1970-01-01",
    "1999-12-31",
    "2000-01-01",
    "2024-02-29",
    "294246-12-31",
    "294247-01-01",
];

/// The types of an open dimension with intervals to divide them by, and values of each.
fn open_types() -> Vec<(&'static str, &'static [&'static str], Vec<String>)> {
    let times = |suffixes: &[&str]| -> Vec<String> {
        let with = |suffix: &str| {
            TIMES.map(|day| day.strip_suffix(" BC").map_or(format!("{day}{suffix}"), |day| format!("{day}{suffix} BC")))
        };
        suffixes.iter().flat_map(|suffix| with(suffix)).collect()
    };
    let integers = |least: i64, greatest: i64| -> Vec<String> {
        let near_zero = [-1001, -1000, -999, -101, -100, -1, 0, 1, 99, 100, 999, 1000, 1001];
        let ends = [least, least + 1, least + 1000, greatest - 1000, greatest - 1, greatest];
        near_zero.iter().chain(&ends).map(i64::to_string).collect()
    };
    vec![
        (
            "timestamptz",
            &["7 days", "1 hour", "36525 days", "1 microsecond"],
            times(&[" 00:00:00+00", " 23:59:59.999999+00"]),
        ),
        ("timestamp", &["7 days", "1 hour", "36525 days", "00:00:07.5"], times(&[" 00:00:00", " 23:59:59.999999"])),
        ("date", &["1 day", "7 days", "36525 days"], times(&[""])),
        ("smallint", &["1000", "1", "32767", "7"], integers(i16::MIN.into(), i16::MAX.into())),
        ("integer", &["1000", "1", "2147483647", "100"], integers(i32::MIN.into(), i32::MAX.into())),
        ("bigint", &["1000", "3", "9223372036854775807", "4611686018427387904"], integers(i64::MIN, i64::MAX)),
    ]
}

fn interval(type_name: &str, interval: &str) -> String {
    let is_integer = ["smallint", "integer", "bigint"].contains(&type_name);
    if is_integer { format!("{interval}::{type_name}") } else { format!("interval '{interval}'") }
}

/// What the program knows of a table: its layout and its chunks, in the order in which the router counts them.
pub fn known(database: &Database, source: &Reader, table: &str) -> (Hypertable, Layout, Vec<Chunk>) {
    database.wait(async {
        let server = read::server(source).await.unwrap();
        let oid = read::resolve(source, table).await.unwrap().expect("the table is there");
        let found = read::table(source, oid).await.unwrap().unwrap();
        let row = read::hypertable_row(source, &found.name).await.unwrap().unwrap();
        let mut chunks = read::chunks(source, &server, row.id).await.unwrap();
        chunks.sort_by(|a, b| a.slices.cmp(&b.slices));
        let hypertable = read::hypertable(source, &server, found, row).await.unwrap();
        let layout = Layout::resolve(&hypertable, &Partitioning::default(), &server.encoding).unwrap();
        (hypertable, layout, chunks)
    })
}

pub fn source_session(database: &Database) -> Reader {
    let conninfo = Conninfo::parse(&database.conninfo, |_| None).unwrap();
    database.wait(Reader::open(Side::Source, &conninfo, "story")).unwrap()
}

#[test]
fn buckets_are_the_slices_that_the_server_makes() {
    let database = Story::new("buckets").source;
    let source = source_session(&database);
    let mut compared = 0;
    for (type_name, intervals, values) in open_types() {
        for (number, text) in intervals.iter().enumerate() {
            let table = format!("{type_name}_{number}");
            let mut list: Vec<String> = values.iter().map(|value| format!("('{value}')")).collect();
            // A chunk at the end is made by its last value as it is by an earlier one.
            if number % 2 == 1 {
                list.reverse();
            }
            database.run(&format!(
                "create table {table} (time {type_name} not null);
                 select create_hypertable('{table}', 'time', chunk_time_interval => {});
                 insert into {table} values {}",
                interval(type_name, text),
                list.join(", ")
            ));
            let (_, layout, chunks) = known(&database, &source, &table);
            let functions = database.value("select case when to_regnamespace('_timescaledb_functions') is null then '_timescaledb_internal' else '_timescaledb_functions' end");
            for row in
                database.query(&format!("select tableoid, {functions}.time_to_internal(time), time from {table}"))
            {
                let [oid, internal, shown] = [0, 1, 2].map(|n| row[n].clone().unwrap());
                let internal = internal.parse().unwrap();
                if internal == i64::MAX {
                    // It is in whatever chunk has no end when it comes, and has one of its own only where there is none.
                    continue;
                }
                let chunk = chunks.iter().find(|chunk| chunk.oid.unwrap().to_string() == oid).unwrap();
                let bucket = layout.primary.bucket(internal);
                assert_eq!(bucket, chunk.primary(), "{type_name} {shown} with interval {text}");
                compared += 1;
            }
        }
    }
    assert!(compared > 300, "{compared}");
}

/// Migrates a table of every value of a type from the first interval into the others.
fn assert_every_interval(name: &str, wanted: &str) {
    let story = Story::new(name);
    let (type_name, intervals, values) = open_types().into_iter().find(|(type_name, ..)| *type_name == wanted).unwrap();
    let list: Vec<String> = values.iter().map(|value| format!("('{value}', 1)")).collect();
    story.source.run(&format!(
        "create table t (time {type_name} not null, n int);
         select create_hypertable('t', 'time', chunk_time_interval => {});
         insert into t values {}; insert into t select time, 2 from t",
        interval(type_name, intervals[0]),
        list.join(", ")
    ));
    for (number, interval) in intervals[1..].iter().enumerate() {
        let report =
            story.migrate("t", &["--chunk-interval", interval, "--as", &format!("t{number}"), "--verify", "checksum"]);
        assert_eq!(report["plan"]["new_chunks"], report["target_chunks"], "as many chunks as planned, at {interval}");
    }
    // Back again, from fine chunks to coarse ones.
    story.source.run("drop table t");
    let last = format!("t{}", intervals.len() - 2);
    let turned = Story { source: story.target, target: story.source };
    turned.migrate(&last, &["--chunk-interval", intervals[0], "--as", "back", "-j", "3"]);
}

#[test]
fn timestamptz_from_its_first_to_its_last_value() {
    assert_every_interval("timestamptz", "timestamptz");
}

#[test]
fn timestamp_from_its_first_to_its_last_value() {
    assert_every_interval("timestamp", "timestamp");
}

#[test]
fn date_from_its_first_to_its_last_value() {
    assert_every_interval("date", "date");
}

#[test]
fn smallint_from_its_first_to_its_last_value() {
    assert_every_interval("smallint", "smallint");
}

#[test]
fn integer_from_its_first_to_its_last_value() {
    assert_every_interval("integer", "integer");
}

#[test]
fn bigint_from_its_first_to_its_last_value() {
    assert_every_interval("bigint", "bigint");
}

#[test]
fn infinity_travels_and_minus_infinity_where_the_first_chunk_is_open() {
    let story = Story::new("infinities");
    for type_name in ["timestamptz", "timestamp", "date"] {
        story.source.run(&format!(
            "create table {type_name}_t (time {type_name} not null, n int);
             select create_hypertable('{type_name}_t', 'time', chunk_time_interval => interval '7 days');
             insert into {type_name}_t values ('4714-11-24 BC', 0);
             insert into {type_name}_t values ('-infinity', 1), ('infinity', 2), ('2025-01-01', 3), ('infinity', 4)"
        ));
        let table = format!("{type_name}_t");
        story.migrate(&table, &["--verify", "checksum"]);
        story.assert_refused(&[&table, "--as", "x", "--chunk-interval", "1 day"], "has rows at -infinity");
        // Without those rows there is nothing to refuse.
        let name = format!("{type_name}_later");
        let report = story.migrate(&table, &["--as", &name, "--chunk-interval", "1 day", "--from", "4714-11-24 BC"]);
        assert_eq!(report["rows"], 4);
        assert_eq!(story.target.value(&format!("select string_agg(n::text, '' order by n) from {name}")), "0234");
        let name = format!("{type_name}_finite");
        story.migrate(&table, &["--as", &name, "--until", "infinity"]);
        assert_eq!(story.target.value(&format!("select string_agg(n::text, '' order by n) from {name}")), "013");
        let name = format!("{type_name}_all");
        story.migrate(&table, &["--as", &name, "--from", "-infinity"]);
        assert_eq!(story.target.value(&format!("select string_agg(n::text, '' order by n) from {name}")), "01234");
    }
}

#[test]
fn integer_now_comes_along_or_is_used_where_it_is() {
    let story = Story::new("integer_now");
    for (type_name, schema) in [("smallint", "public"), ("integer", "\"Clock room\""), ("bigint", "public")] {
        let table = format!("{type_name}_t");
        let name = format!("{schema}.\"Now {type_name}\"");
        story.source.run(&format!(
            "create schema if not exists {schema};
             create table {table} (n {type_name} not null, v int);
             select create_hypertable('{table}', 'n', chunk_time_interval => 100);
             create function {name}() returns {type_name} language sql stable
                 as $$ select coalesce(max(n), 0)::{type_name} from public.{table} $$;
             select set_integer_now_func('{table}', '{name}');
             insert into {table} select n, n from generate_series(-300, 300, 7) n"
        ));
        story.migrate(&table, &[]);
        let now = "select integer_now_func from timescaledb_information.dimensions where hypertable_name = ";
        assert_eq!(story.target.value(&format!("{now}'{table}'")), format!("Now {type_name}"));
        assert_eq!(story.target.value(&format!("select {name}()")), story.source.value(&format!("select {name}()")));
        // Once more: now it is there, with another body, and is left alone.
        story.target.run(&format!(
            "create or replace function {name}() returns {type_name} language sql stable as 'select 7::{type_name}'"
        ));
        let report = story.migrate(&table, &["--as", &format!("{type_name}_again"), "--chunk-interval", "50"]);
        assert!(not_carried(&report).iter().any(|line| line.contains(&name)), "another definition is named: {report}");
        assert_eq!(story.target.value(&format!("select {name}()")), "7");
        assert_eq!(story.target.value(&format!("{now}'{type_name}_again'")), format!("Now {type_name}"));
    }
}

#[test]
fn integer_now_that_reads_the_table_by_another_name_is_left_out_and_said() {
    let story = Story::new("integer_now_as");
    story.source.run(
        "create table t (n int not null); select create_hypertable('t', 'n', chunk_time_interval => 100);
         insert into t select generate_series(0, 500, 7);
         create function latest() returns int language sql stable as 'select max(n) from public.t';
         create function clock() returns int language sql stable as 'select extract(epoch from now())::int / 86400';
         select set_integer_now_func('t', 'latest')",
    );
    let now = "select coalesce(max(integer_now_func), 'none') from timescaledb_information.dimensions where hypertable_name = ";
    let archive = Archive::of(&story.source, "t", "integer_now_as", &[]);
    for report in [story.migrate("t", &["--as", "a"]), archive.restored(&story.target, &["--as", "b"])] {
        let listed = not_carried(&report);
        let line = "integer_now_func: public.latest(): it uses public.t, which is called public.";
        assert!(listed.iter().any(|found| found.starts_with(line)), "{listed:#?}");
        assert!(report["not_carried"].to_string().contains("set_integer_now_func"), "{report}");
    }
    assert_eq!(story.target.value(&format!("{now}'a'")), "none");
    // What does not read it is made, whatever the table is called.
    story.source.run("select set_integer_now_func('t', 'clock', replace_if_exists => true)");
    story.migrate("t", &["--as", "c", "--strict"]);
    assert_eq!(story.target.value(&format!("{now}'c'")), "clock");
}

#[test]
fn several_open_dimensions_stay_what_they_are() {
    let story = Story::new("several_open");
    story.source.run(
        "create table t (time timestamptz not null, day date not null, n bigint not null, device text);
         select create_hypertable('t', 'time', chunk_time_interval => interval '7 days');
         select add_dimension('t', 'day', chunk_time_interval => interval '30 days');
         select add_dimension('t', 'n', chunk_time_interval => 1000);
         select add_dimension('t', 'device', number_partitions => 2);
         insert into t select '2025-01-01'::timestamptz + n * interval '17 hours', date '2024-12-01' + n, (n - 50) * 77, 'd' || n % 5
         from generate_series(1, 100) n",
    );
    let dimensions = |database: &Database, table: &str| {
        database.query(&format!(
            "select column_name, column_type, time_interval, integer_interval, num_partitions from timescaledb_information.dimensions
             where hypertable_name = '{table}' order by dimension_number"
        ))
    };
    let report = story.migrate("t", &["--verify", "checksum"]);
    assert_eq!(dimensions(&story.target, "t"), dimensions(&story.source, "t"));
    assert!(report["target_chunks"].as_u64() <= report["plan"]["new_chunks"].as_u64(), "no chunk that was not planned");
    story.migrate("t", &["--as", "coarse", "--chunk-interval", "30 days", "--hash-partitions", "none"]);
    assert_eq!(dimensions(&story.target, "coarse")[0][2].as_deref(), Some("30 days"));
    assert_eq!(dimensions(&story.target, "coarse")[1..], dimensions(&story.source, "t")[1..3]);
}

/// Migrates a table with a hash dimension over each type, and with NULLs in it, into three partitions and the two of
/// the source.
fn assert_closed(name: &str, types: &[(&str, &str)]) {
    let story = Story::new(name);
    story.source.run("create type hue as enum ('red', 'green', 'blue', 'grey'); create domain word as text");
    for (number, (type_name, value)) in types.iter().enumerate() {
        let table = format!("t{number}");
        story.source.run(&format!(
            "create table {table} (time timestamptz not null, k {type_name}, n int);
             select create_hypertable('{table}', 'time', chunk_time_interval => interval '7 days');
             select add_dimension('{table}', 'k', number_partitions => 2);
             insert into {table} select '2025-01-01'::timestamptz + i * interval '5 hours', case when i % 7 > 0 then ({value})::{type_name} end, i
             from generate_series(1, 60) i"
        ));
        let report = story.migrate(&table, &["--verify", "checksum"]);
        let [made, planned] = [&report["target_chunks"], &report["plan"]["new_chunks"]].map(|n| n.as_u64().unwrap());
        // An enum is hashed by its labels' oids: where all of them fall into one partition is chance, and no chunk is
        // made before its rows.
        let is_made_by_rows = *type_name == "hue";
        assert!(made == planned || is_made_by_rows && made < planned, "{type_name}: {made} of {planned} chunks");
        let other = format!("o{number}");
        story.migrate(&table, &["--as", &other, "--hash-partitions", "k:3", "-j", "2"]);
        let partitions = format!(
            "select num_partitions from timescaledb_information.dimensions where hypertable_name = '{other}' and dimension_number = 2"
        );
        assert_eq!(story.target.value(&partitions), "3", "{type_name}");
    }
}

#[test]
fn hash_dimensions_over_text() {
    assert_closed(
        "hash_text",
        &[("text", "'dev ' || i"), ("varchar(6)", "'ä' || i"), ("char(5)", "i"), ("char(1)", "i % 10")],
    );
}

#[test]
fn hash_dimensions_over_numbers() {
    assert_closed(
        "hash_numbers",
        &[("smallint", "-i"), ("integer", "i * 1000003"), ("bigint", "i * -10000000019"), ("numeric(3,1)", "i")],
    );
}

#[test]
fn hash_dimensions_over_fractions() {
    assert_closed(
        "hash_fractions",
        &[("real", "i / 3.0"), ("float8", "i / -3.0"), ("numeric", "i / 7.0"), ("numeric(2,2)", "i / 100.0")],
    );
}

#[test]
fn hash_dimensions_over_times() {
    let time = "timestamp '1999-12-30' + i * interval '7 hours'";
    assert_closed(
        "hash_times",
        &[("date", time), ("timestamptz", time), ("timestamp(3)", time), ("timestamptz(0)", time)],
    );
}

#[test]
fn hash_dimensions_over_the_rest() {
    assert_closed(
        "hash_rest",
        &[
            ("uuid", "md5(i::text)"),
            ("bool", "i % 2"),
            ("hue", "(enum_range(null::hue))[1 + i % 4]"),
            ("inet", "inet '10.0.0.0' + i"),
        ],
    );
}

/// Rows of the target, as a list of numbers.
fn numbers(database: &Database, table: &str) -> String {
    database.value(&format!("select coalesce(string_agg(n::text, ',' order by n), '') from {table}"))
}

#[test]
fn a_range_without_a_zone_is_read_in_the_sessions_zone_and_shown_with_it() {
    let story = Story::new("range_zone");
    story.source.run(
        "do $$ begin execute format('alter database %I set timezone = %L', current_database(), 'America/New_York');
             execute format('alter database %I set datestyle = %L', current_database(), 'SQL, DMY'); end $$;
         create table t (time timestamptz not null, n int);
         select create_hypertable('t', 'time', chunk_time_interval => interval '1 day');
         insert into t select '2025-03-01 00:00+00'::timestamptz + n * interval '1 hour', n from generate_series(0, 95) n;
         insert into t select '2025-03-01 04:59:59.999999+00', -1 union all select '2025-03-02 05:00+00'::timestamptz - interval '1 microsecond', -2",
    );
    let whole = |from: i32, until: i32| (from..until).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let cases = [
        // Midnight in New York is five o'clock; the end is left out, the start is not.
        (
            "2025-03-01",
            "2025-03-02",
            format!("-2,{}", whole(5, 29)),
            "[2025-03-01 05:00:00+00, 2025-03-02 05:00:00+00)",
        ),
        (
            "2025-03-01 00:00+00",
            "2025-03-02 00:00Z",
            format!("-1,{}", whole(0, 24)),
            "[2025-03-01 00:00:00+00, 2025-03-02 00:00:00+00)",
        ),
        (
            "2025-03-01 12:00 Asia/Tokyo",
            "01/03/2025 03:00",
            format!("-1,{}", whole(3, 8)),
            "[2025-03-01 03:00:00+00, 2025-03-01 08:00:00+00)",
        ),
        (
            "2025-03-01 04:59:59.999999+00",
            "2025-03-01 05:00+00",
            "-1".into(),
            "[2025-03-01 04:59:59.999999+00, 2025-03-01 05:00:00+00)",
        ),
        // Chunk edges are where a chunk is read whole.
        (
            "2025-03-02 00:00+00",
            "2025-03-03 00:00+00",
            format!("-2,{}", whole(24, 48)),
            "[2025-03-02 00:00:00+00, 2025-03-03 00:00:00+00)",
        ),
    ];
    for (number, (from, until, wanted, shown)) in cases.into_iter().enumerate() {
        let name = format!("t{number}");
        let report = story.migrate("t", &["--from", from, "--until", until, "--as", &name, "--verify", "checksum"]);
        assert_eq!(numbers(&story.target, &name), wanted, "from {from} until {until}");
        assert_eq!(report["plan"]["range"], shown);
        let dry = story.hypercopy(&["migrate", "t", "--from", from, "--until", until, "--as", "dry", "--dry-run"]);
        assert!(dry.stdout.contains(shown), "{}", dry.stdout);
    }
}

#[test]
fn a_range_of_one_side_only_reaches_to_the_end() {
    let story = Story::new("range_open");
    story.source.run(
        "create table t (time timestamp not null, n int); select create_hypertable('t', 'time', chunk_time_interval => interval '1 day');
         insert into t select timestamp '2025-03-01' + n * interval '12 hours', n from generate_series(0, 9) n;
         insert into t values ('infinity', 10)",
    );
    story.migrate("t", &["--from", "2025-03-04 12:00", "--as", "late"]);
    assert_eq!(numbers(&story.target, "late"), "7,8,9,10");
    story.migrate("t", &["--until", "2025-03-01 12:00:00.000001", "--as", "early"]);
    assert_eq!(numbers(&story.target, "early"), "0,1");
    let report = story.migrate("t", &["--from", "2030-01-01", "--until", "2031-01-01", "--as", "nothing"]);
    assert_eq!((numbers(&story.target, "nothing").as_str(), report["target_chunks"].as_u64()), ("", Some(0)));
}

#[test]
fn ranges_of_dates_and_integers_mean_the_same() {
    let story = Story::new("range_types");
    story.source.run(
        "create table d (time date not null, n int); select create_hypertable('d', 'time', chunk_time_interval => interval '3 days');
         insert into d select date '2025-01-01' + n, n from generate_series(0, 9) n;
         create table i (n int not null); select create_hypertable('i', 'n', chunk_time_interval => 4);
         insert into i select generate_series(-9, 9);
         create table b (n bigint not null); select create_hypertable('b', 'n', chunk_time_interval => 4611686018427387904);
         insert into b values (-9223372036854775808), (-1), (0), (9223372036854775806), (9223372036854775807)",
    );
    for (number, (table, arguments, wanted)) in [
        ("d", ["--from", "2025-01-03", "--until", "2025-01-05"].as_slice(), "2,3"),
        ("d", &["--from", "20250109"], "8,9"),
        ("d", &["--until", "2025-01-04"], "0,1,2"),
        ("i", &["--from", "-2", "--until", "3"], "-2,-1,0,1,2"),
        ("i", &["--from", "4", "--until", "8"], "4,5,6,7"),
        ("i", &["--from", "8", "--until", "99999999999"], "8,9"),
        ("i", &["--from", "-99999999999", "--until", "-8"], "-9"),
        ("b", &["--from", "0"], "0,9223372036854775806,9223372036854775807"),
        ("b", &["--until", "9223372036854775807"], "-9223372036854775808,-1,0,9223372036854775806"),
        ("b", &["--from", "9223372036854775807"], "9223372036854775807"),
        ("b", &["--until", "-9223372036854775807"], "-9223372036854775808"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("t{number}");
        story.migrate(table, &[&["--as", &name], arguments].concat());
        assert_eq!(numbers(&story.target, &name), wanted, "{table} {arguments:?}");
    }
}

#[test]
fn a_range_that_is_none_is_refused() {
    let story = Story::new("range_bad");
    story.source.run(
        "create table t (time timestamptz not null); select create_hypertable('t', 'time');
         create table i (n int not null); select create_hypertable('i', 'n', chunk_time_interval => 4)",
    );
    story.assert_refused(&["t", "--from", "2025-01-02", "--until", "2025-01-01"], "--from is not before --until");
    story.assert_refused(&["t", "--from", "2025-01-02", "--until", "2025-01-02"], "--from is not before --until");
    story.assert_refused(&["t", "--from", "yesterdayish"], "--from is no value of type timestamptz");
    story.assert_refused(&["i", "--until", "2025-01-02"], "--until is no value of type int8");
    story.assert_refused(&["i", "--until", "1.5"], "--until is no value of type int8");
}

#[test]
fn a_hash_column_that_is_not_in_every_key_is_refused() {
    let story = Story::new("hash_key");
    story.source.run(
        "create table p (time timestamptz not null, k int, primary key (time)); select create_hypertable('p', 'time');
         create table u (time timestamptz not null, k int, unique (time)); select create_hypertable('u', 'time');
         create table x (time timestamptz not null, k int, exclude using btree (time with =)); select create_hypertable('x', 'time');
         create table i (time timestamptz not null, k int); create unique index on i (time); select create_hypertable('i', 'time')",
    );
    for table in ["p", "u", "x", "i"] {
        story.assert_refused(&[table, "--hash-partitions", "k:2"], "dimension column k is not in unique key");
    }
}

const OPEN: [(&str, TimeType); 6] = [
    ("timestamptz", TimeType::Timestamptz),
    ("timestamp", TimeType::Timestamp),
    ("date", TimeType::Date),
    ("smallint", TimeType::Int2),
    ("integer", TimeType::Int4),
    ("bigint", TimeType::Int8),
];

fn random_open_value(random: &mut Random, time_type: TimeType) -> String {
    let internal = match time_type {
        TimeType::Int2 => random.number() >> 48,
        TimeType::Int4 => random.number() >> 32,
        TimeType::Int8 => random.number(),
        _ if random.below(20) == 0 => i64::MAX,
        _ => random.number().clamp(-210_866_803_200_000_000, 9_223_371_331_199_999_999),
    };
    format!("'{}'", time_type.literal(internal))
}

fn random_interval(random: &mut Random, time_type: TimeType) -> String {
    let integer =
        |greatest: i64, random: &mut Random| (random.number().unsigned_abs() % greatest as u64 + 1).to_string();
    match time_type {
        TimeType::Int2 => integer(i16::MAX.into(), random),
        TimeType::Int4 => integer(i32::MAX.into(), random),
        TimeType::Int8 => integer(i64::MAX, random),
        TimeType::Date => format!("{}::bigint * 86400000000", 1 + random.below(40_000)),
        // With 1 µs the slice of infinity is empty, and the server makes another chunk like it for each such row.
        _ => format!("{}::bigint", 2 + random.number().unsigned_abs() % (1 << 55)),
    }
}

const CLOSED: [&str; 13] = [
    "text",
    "varchar(20)",
    "char(12)",
    "smallint",
    "integer",
    "bigint",
    "date",
    "timestamptz",
    "timestamp",
    "bool",
    "uuid",
    "real",
    "float8",
];

fn random_closed_value(random: &mut Random, type_name: &str) -> String {
    if random.below(8) == 0 {
        return "null".into();
    }
    match type_name {
        "text" | "varchar(20)" | "char(12)" => {
            let length = random.below(12);
            let text: String = (0..length).map(|_| random.of(&['a', 'ß', '漢', ' ', '\'', '7', '🦀'])).collect();
            format!("'{}'", text.replace('\'', "''"))
        }
        "smallint" => (random.number() >> 48).to_string(),
        "integer" => (random.number() >> 32).to_string(),
        "bigint" => format!("'{}'", random.number()),
        "bool" => random.of(&["true", "false"]).to_string(),
        "uuid" => format!("'{:016x}{:016x}'", random.next(), random.next()),
        "real" | "float8" => match random.below(10) {
            0 => random.of(&["'NaN'", "'-0'", "'0'", "'inf'", "'-inf'"]).to_string(),
            _ => format!("'{:e}'", random.number() as f64 / 1e9),
        },
        _ => format!("'{}'", TimeType::Timestamp.literal(random.number() >> 10)),
    }
}

/// Statements that make a hypertable of random dimensions, then random rows, one by one. With `mixed`, half of the rows
/// come after intervals and partitions have changed, so that slices of several widths lie beside each other; the server
/// itself may refuse a row then, because it puts it where the chunk's own constraint does not want it.
fn random_table(random: &mut Random, table: &str, mixed: bool) -> (String, Vec<String>) {
    let mut sql = String::new();
    let mut rows = Vec::new();
    let (primary, primary_type) = random.of(&OPEN);
    let mut columns = vec![("p", primary, Some(primary_type))];
    if random.below(4) == 0 {
        let (name, time_type) = random.of(&OPEN);
        columns.push(("q", name, Some(time_type)));
    }
    for column in ["k", "l"].into_iter().take(random.below(3) as usize) {
        columns.push((column, random.of(&CLOSED), None));
    }
    // Further dimensions come in any order.
    if let [_, further @ ..] = &mut columns[..]
        && !further.is_empty()
    {
        let first = random.below(further.len() as u64) as usize;
        further.rotate_left(first);
    }
    let definitions: Vec<String> =
        columns.iter().rev().map(|(name, type_name, _)| format!("{name} {type_name}")).collect();
    let _ = write!(sql, "create table {table} (note text, {});", definitions.join(", "));
    let _ = write!(
        sql,
        "select create_hypertable('{table}', 'p', chunk_time_interval => {});",
        random_interval(random, primary_type)
    );
    for (name, _, time_type) in &columns[1..] {
        let option = match time_type {
            Some(time_type) => format!("chunk_time_interval => {}", random_interval(random, *time_type)),
            None => format!("number_partitions => {}", 1 + random.below(5)),
        };
        let _ = write!(sql, "select add_dimension('{table}', '{name}', {option});");
    }
    let names: Vec<&str> = columns.iter().map(|(name, ..)| *name).collect();
    for half in 0..2 {
        for _ in 0..10 {
            let value = |(_, type_name, time_type): &(&str, &str, Option<TimeType>)| match time_type {
                Some(time_type) => random_open_value(random, *time_type),
                None => random_closed_value(random, type_name),
            };
            let values: Vec<String> = columns.iter().map(value).collect();
            rows.push(format!("insert into {table} ({}) values ({})", names.join(", "), values.join(", ")));
        }
        if half == 0 && mixed {
            let interval = random_interval(random, primary_type);
            rows.push(format!("select set_chunk_time_interval('{table}', {interval}, 'p')"));
            if names.contains(&"k") {
                rows.push(format!("select set_number_partitions('{table}', {}, 'k')", 1 + random.below(5)));
            }
        }
    }
    (sql, rows)
}

/// How many rows of a table the router sent where the server had put them; none where it did not want to route.
fn routed(database: &Database, source: &Reader, table: &str) -> Option<usize> {
    let (hypertable, layout, chunks) = known(database, source, table);
    let mut columns = vec!["chunk".to_string()];
    columns.extend(hypertable.columns.iter().map(|column| column.name.clone()));
    let router = Router::new(&layout, &columns, &chunks, Range::ALL)?;
    let sql = format!("copy (select tableoid::int8 as chunk, * from public.{table}) to stdout (format binary)");
    let bytes: Vec<u8> = database.wait(async {
        let (mut copy, mut bytes) = (source.copy_out(&sql).await.unwrap(), Vec::new());
        while copy.fill().await.unwrap() {
            while let Some(piece) = copy.piece().unwrap() {
                bytes.extend_from_slice(piece);
            }
        }
        copy.finish().unwrap();
        bytes
    });
    let mut scanner = binary::Scanner::new(columns.len() as u16, 1 << 20);
    let mut rows = scanner.rows(&bytes);
    let mut count = 0;
    while let Some(row) = rows.next_row().unwrap() {
        let oid = u64::from_be_bytes(row.field(0).unwrap().try_into().unwrap()) as u32;
        let chosen = chunks.iter().position(|chunk| chunk.oid == Some(oid)).unwrap();
        assert_eq!(router.route(&row), chosen, "row {} of {table}", row.number());
        count += 1;
    }
    Some(count)
}

/// Replays with `HYPERCOPY_SEED=… cargo test --test stories router`.
#[test]
fn the_router_names_the_chunk_that_the_server_chose() {
    let mut random = Random::of_this_run();
    let database = Story::new("router").source;
    let source = source_session(&database);
    let mut compared = 0;
    for number in 0..16 {
        let table = format!("r{number}");
        let mixed = number % 2 == 1;
        let (definition, rows) = random_table(&mut random, &table, mixed);
        database.run(&definition);
        for row in &rows {
            let inserted = database.try_query(row);
            assert!(mixed || inserted.is_ok(), "{inserted:?}\nin: {row}");
        }
        let chunks = database.value(&format!("select count(*) from show_chunks('{table}')"));
        let routed = routed(&database, &source, &table);
        // Slices of several widths may overlap, and then the server is left to route.
        assert!(mixed || routed.is_some() || chunks == "1", "{definition}");
        compared += routed.unwrap_or(0);
    }
    assert!(compared > 60, "{compared} rows were compared");
}

#[test]
fn no_router_where_only_the_server_can_hash() {
    let database = Story::new("no_router").source;
    let source = source_session(&database);
    database.run("create type hue as enum ('red', 'green', 'blue')");
    for (type_name, value, rows) in
        [("hue", "'red'", None), ("numeric", "1", None), ("text collate \"C\"", "'a'", None), ("text", "'a'", Some(2))]
    {
        database.run(&format!(
            "create table t (time timestamptz not null, k {type_name});
             select create_hypertable('t', 'time'); select add_dimension('t', 'k', number_partitions => 2);
             insert into t values ('2025-01-01', {value}), ('2026-01-01', {value})"
        ));
        assert_eq!(routed(&database, &source, "t"), rows, "{type_name}");
        database.run("drop table t");
    }
}

//! Comparing two tables as they are now: what is equal, what is not, and how it is said.

use std::process::Command;

use serde_json::{Value, json};

use crate::folders::File;
use crate::harness::{Database, Role, Run, Server, Story};

/// 2,400 rows, a quarter of an hour apart, in chunks of a day.
const METRICS: &str = "
    create table metrics (time timestamptz not null, device int not null, value double precision, bytes bytea,
        amount numeric, note text, primary key (time, device));
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
    insert into metrics
    select '2025-03-01 00:00+00'::timestamptz + n * interval '15 minutes', n % 7, 0.1, '\\x00ff', 1.0, ''
    from generate_series(0, 2399) n;";

impl Story {
    /// Runs the same statements on both sides.
    #[track_caller]
    fn on_both(&self, sql: &str) {
        self.source.run(sql);
        self.target.run(sql);
    }

    /// Verifies with `--json` and expects this exit code; nothing is left of it on either side.
    #[track_caller]
    fn verify(&self, code: i32, arguments: &[&str]) -> Value {
        let run = self.hypercopy(&[&["verify", "--json"], arguments].concat());
        assert_eq!(run.code, code, "{arguments:?}: {}{}", run.stdout, run.stderr);
        self.source.assert_nothing_left();
        self.target.assert_nothing_left();
        run.json()
    }

    /// Expects both sides to be equal, also by counts.
    #[track_caller]
    fn assert_equal(&self, arguments: &[&str]) -> Value {
        self.verify(0, &[arguments, &["--counts-only"]].concat());
        let report = self.verify(0, arguments);
        let found = &report["comparison"];
        assert_eq!(found["source_rows"], found["target_rows"]);
        assert_eq!(found["source_checksum"], found["target_checksum"]);
        assert_eq!(found["differing_ranges"], 0);
        report
    }

    /// Expects a difference, and answers the keys of the rows that differ, each with how and how many rows.
    #[track_caller]
    fn differing_keys(&self, arguments: &[&str]) -> Vec<(Value, String, [u64; 2])> {
        let report = self.verify(7, arguments);
        assert_eq!((&report["outcome"], &report["error"]["exit_code"]), (&"failed".into(), &7.into()));
        let found = &report["comparison"];
        assert_ne!(found["differing_ranges"], 0);
        assert_eq!(found["more_keys"], false);
        let key = |key: &Value| {
            let rows = ["source_rows", "target_rows"].map(|side| key[side].as_u64().unwrap());
            (key["key"].clone(), key["finding"].as_str().unwrap().to_string(), rows)
        };
        found["keys"].as_array().unwrap().iter().map(key).collect()
    }

    #[track_caller]
    fn assert_not_verified(&self, arguments: &[&str], text: &str) {
        let run = self.hypercopy(&[&["verify"], arguments].concat());
        assert_eq!(run.code, 3, "{}", run.stderr);
        assert!(run.stderr.contains(text), "{}", run.stderr);
        assert!(run.stderr.contains("hint: "), "an error should say what to do: {}", run.stderr);
        self.source.assert_nothing_left();
        self.target.assert_nothing_left();
    }
}

fn metrics(name: &str) -> Story {
    let story = Story::new(name);
    story.on_both(METRICS);
    story
}

#[test]
fn a_migrated_table_is_equal_across_versions_and_layouts() {
    let pairs = [(Server::Trixie, Server::OtherTrixie), (Server::Trixie, Server::Sid), (Server::Sid, Server::Trixie)];
    for (source, target) in pairs {
        let Some(story) = Story::between(source, target, "layouts") else { continue };
        story.source.run(
            "create type mood as enum ('sad', 'glad'); create type pair as (a float8, b mood);
             create table metrics (gone int, time timestamptz not null, device text, value float8, small real, amount numeric,
                 mood mood, moods mood[], pair pair, span int4range, spans nummultirange, document jsonb, bytes bytea,
                 since interval, id uuid, nothing int);
             alter table metrics drop column gone;
             select create_hypertable('metrics', 'time', chunk_time_interval => interval '12 hours');
             insert into metrics
             select '2025-03-01'::timestamptz + n * interval '7 minutes', 'dev' || n % 13,
                 case n % 5 when 0 then null when 1 then 'inf'::float8 - 'inf'::float8 when 2 then '-0' else n / 3.0 end,
                 n / 7.0, (n || '.' || repeat('0', n % 4))::numeric, (array['sad', 'glad'])[1 + n % 2]::mood,
                 array['sad', null]::mood[], row(n / 3.0, 'glad')::pair, int4range(n, n + 5), nummultirange(numrange(n, n + 1)),
                 jsonb_build_object('n', n, 'x', 1.00), decode(md5(n::text), 'hex'), n * interval '1 day 3 s', md5(n::text)::uuid
             from generate_series(1, 3000) n;
             insert into metrics select * from metrics limit 500",
        );
        story.migrate("metrics", &["--chunk-interval", "1 day", "--hash-partitions", "device:3"]);
        let report = story.assert_equal(&["metrics"]);
        assert_eq!((&report["plan"]["format"], &report["comparison"]["source_rows"]), (&"binary".into(), &3500.into()));
        assert_eq!(report["plan"]["target_layout"], "time 1 day, hash(device) 3");
        story.assert_equal(&["metrics", "-j", "1"]);
        story.assert_equal(&["metrics", "-j", "3"]);

        story.target.run("update metrics set pair.a = 7 where time = '2025-03-03 22:00:00+00'");
        let keys = story.differing_keys(&["metrics", "-j", "3"]);
        let key = json!({"time": "2025-03-03 22:00:00+00"});
        assert_eq!(keys, [(key, "different".into(), [1, 1])]);
    }
}

#[test]
fn the_order_of_columns_dropped_and_generated_ones_do_not_matter() {
    let story = Story::new("columns");
    let rows = "insert into metrics (time, a, b)
        select '2025-03-01'::timestamptz + n * interval '1 hour', n, 'b' || n from generate_series(0, 99) n";
    story.source.run(&format!(
        "create table metrics (time timestamptz not null, a int, b varchar(20), twice int generated always as (a * 2) stored);
         select create_hypertable('metrics', 'time'); {rows}"
    ));
    story.target.run(&format!(
        "create table metrics (gone text, b varchar(30), a int, lost int, time timestamptz not null,
             twice int generated always as (a * 2) stored);
         select create_hypertable('metrics', 'time', chunk_time_interval => interval '10 hours');
         alter table metrics drop column gone; {rows} ; alter table metrics drop column lost"
    ));
    story.assert_equal(&["metrics"]);
    story.target.run("update metrics set a = 5 where a = 4");
    let keys = story.differing_keys(&["metrics"]);
    assert_eq!(keys, [(json!({"time": "2025-03-01 04:00:00+00"}), "different".into(), [1, 1])]);
}

/// Each of these is undone before the next one.
#[test]
fn every_kind_of_difference_is_seen_and_its_row_is_named() {
    let story = metrics("differences");
    story.assert_equal(&["metrics"]);
    let row = "time = '2025-03-03 02:30:00+00' and device = 6";
    assert_eq!(story.target.value(&format!("select count(*) from metrics where {row}")), "1");
    let key = json!({"time": "2025-03-03 02:30:00+00", "device": "6"});
    for (change, back) in [
        ("bytes = set_bit(bytes, 3, 1)", "bytes = '\\x00ff'"),
        ("value = 0.1 + 1.4e-17", "value = 0.1"),
        ("amount = 1.00", "amount = 1.0"),
        ("note = null", "note = ''"),
        ("note = ' '", "note = ''"),
    ] {
        story.target.run(&format!("update metrics set {change} where {row}"));
        assert_eq!(story.differing_keys(&["metrics"]), [(key.clone(), "different".into(), [1, 1])], "{change}");
        // No row more and none less.
        story.verify(0, &["metrics", "--counts-only"]);
        story.target.run(&format!("update metrics set {back} where {row}"));
        story.verify(0, &["metrics"]);
    }
    story.target.run(&format!("delete from metrics where {row}"));
    assert_eq!(story.differing_keys(&["metrics"]), [(key.clone(), "only_on_source".into(), [1, 0])]);
    story.source.run(&format!("delete from metrics where {row}"));
    story.assert_equal(&["metrics"]);
    story.target.run("insert into metrics values ('2025-03-03 02:30:00+00', 6)");
    assert_eq!(story.differing_keys(&["metrics"]), [(key, "only_on_target".into(), [0, 1])]);
}

#[test]
fn zeros_are_two_and_nans_are_one() {
    let story = Story::new("zeros");
    let table =
        "create table metrics (time timestamptz not null, value float8, small real, place point, values float8[]);
         select create_hypertable('metrics', 'time');";
    story.source.run(&format!(
        "{table} insert into metrics select '2025-03-01', nan, nan::real, point(nan, 1), array[nan, 1]
             from (select 'inf'::float8 - 'inf'::float8) odd (nan)"
    ));
    story
        .target
        .run(&format!("{table} insert into metrics values ('2025-03-01', 'NaN', 'NaN', '(NaN,1)', '{{NaN,1}}')"));
    let bits = "select float8send(value)::text || point_send(place)::text from metrics";
    assert_ne!(story.source.value(bits), story.target.value(bits), "they are not the same bits");
    story.assert_equal(&["metrics"]);

    story.source.run("update metrics set value = '-0'");
    story.target.run("update metrics set value = '0'");
    assert_eq!(story.target.value("select '-0'::float8 = '0'::float8"), "t");
    let keys = story.differing_keys(&["metrics"]);
    assert_eq!(keys, [(json!({"time": "2025-03-01 00:00:00+00"}), "different".into(), [1, 1])]);
}

/// In each of these an exclusive or of all hashes would be the same on both sides.
#[test]
fn pairs_do_not_cancel_themselves_out() {
    let story = Story::new("pairs");
    story.on_both(
        "create table metrics (time timestamptz not null, device int);
         select create_hypertable('metrics', 'time');
         insert into metrics values ('2025-03-01', 1), ('2025-03-01', 2)",
    );
    story.assert_equal(&["metrics"]);
    let time = |hour: u32| json!({"time": format!("2025-03-01 {hour:02}:00:00+00")});
    story.target.run("insert into metrics values ('2025-03-01 05:00+00', 7), ('2025-03-01 05:00+00', 7)");
    assert_eq!(story.differing_keys(&["metrics"]), [(time(5), "only_on_target".into(), [0, 2])]);
    story.source.run("insert into metrics values ('2025-03-01 06:00+00', 7), ('2025-03-01 06:00+00', 7)");
    let two = [(time(5), "only_on_target".into(), [0, 2]), (time(6), "only_on_source".into(), [2, 0])];
    assert_eq!(story.differing_keys(&["metrics"]), two);
    story.verify(0, &["metrics", "--counts-only"]);
    // The same row, there once and three times.
    story.target.run("delete from metrics where time > '2025-03-01 04:00+00'");
    story.source.run("delete from metrics where time > '2025-03-01 04:00+00'");
    story.on_both("insert into metrics values ('2025-03-01 05:00+00', 7)");
    story.target.run("insert into metrics values ('2025-03-01 05:00+00', 7), ('2025-03-01 05:00+00', 7)");
    assert_eq!(story.differing_keys(&["metrics"]), [(time(5), "only_on_target".into(), [0, 2])]);
}

#[test]
fn a_row_where_the_other_side_has_no_chunk_is_seen() {
    for (side, finding, rows) in [(0, "only_on_source", [1, 0]), (1, "only_on_target", [0, 1])] {
        let story = metrics("no_chunk");
        for time in ["1999-01-01 00:00:00+00", "2031-01-01 00:00:00+00"] {
            let database = [&story.source, &story.target][side];
            database.run(&format!("insert into metrics values ('{time}', 1)"));
            let keys = story.differing_keys(&["metrics", "-j", "2"]);
            assert_eq!(keys, [(json!({"time": time, "device": "1"}), finding.into(), rows)]);
            database.run(&format!("delete from metrics where time = '{time}'"));
            story.assert_equal(&["metrics"]);
        }
    }
}

/// So many rows that the way to the infinities goes through halves.
#[test]
fn the_ends_of_the_axis_are_compared() {
    for time_type in ["timestamptz", "timestamp", "date"] {
        let story = Story::new("ends");
        story.on_both(&format!(
            "create table edges (t {time_type} not null, n int);
             select create_hypertable('edges', 't', chunk_time_interval => interval '7 days');
             insert into edges select t::{time_type}, 0 from unnest(array['4714-11-24 BC', '-infinity', '294246-12-31', 'infinity']) t;
             insert into edges select '2025-03-01'::date + n % 20, n from generate_series(0, 2999) n"
        ));
        story.assert_equal(&["edges"]);
        for time in ["infinity", "-infinity"] {
            story.target.run(&format!("update edges set n = 1 where t = '{time}'"));
            let keys = story.differing_keys(&["edges", "-j", "1"]);
            assert_eq!(keys, [(json!({"t": time}), "different".into(), [1, 1])], "{time_type}");
            story.target.run(&format!("update edges set n = 0 where t = '{time}'"));
        }
        story.target.run("delete from edges where n = 2020");
        let report = story.verify(7, &["edges"]);
        let narrowed = &report["comparison"]["narrowed"][0];
        assert_eq!(report["comparison"]["narrowed"].as_array().unwrap().len(), 1);
        let [source, target] = ["source_rows", "target_rows"].map(|side| narrowed[side].as_u64().unwrap());
        assert!(source <= 1000 && source == target + 1, "{narrowed}");
    }
}

#[test]
fn integers_are_compared_to_both_ends() {
    for (integer, least, greatest) in
        [("smallint", "-32768", "32767"), ("bigint", "-9223372036854775808", "9223372036854775807")]
    {
        let story = Story::new("integers");
        story.on_both(&format!(
            "create table edges (n {integer} not null, note text);
             select create_hypertable('edges', 'n', chunk_time_interval => 1000);
             insert into edges select n, '' from unnest(array[{least}, {greatest}]) n;
             insert into edges select n % 3000 - 1500, '' from generate_series(1, 3000) n"
        ));
        story.assert_equal(&["edges"]);
        for value in [least, "-7", greatest] {
            story.target.run(&format!("update edges set note = 'x' where n = {value}"));
            let keys = story.differing_keys(&["edges"]);
            assert_eq!(keys, [(json!({"n": value}), "different".into(), [1, 1])]);
            story.target.run(&format!("update edges set note = '' where n = {value}"));
        }
    }
}

#[test]
fn empty_tables_are_equal_and_an_empty_side_is_not() {
    let story = Story::new("empty");
    story.on_both(
        "create table metrics (time timestamptz not null, n int); select create_hypertable('metrics', 'time')",
    );
    let report = story.assert_equal(&["metrics"]);
    assert_eq!((&report["comparison"]["source_rows"], &report["plan"]["ranges"]), (&0.into(), &1.into()));
    story.source.run("insert into metrics values ('2025-03-01', 1)");
    let only = [(json!({"time": "2025-03-01 00:00:00+00"}), "only_on_source".to_string(), [1, 0])];
    assert_eq!(story.differing_keys(&["metrics"]), only);
    story.target.run("insert into metrics values ('2025-03-01', 1)");
    story.source.run("truncate metrics");
    let only = [(json!({"time": "2025-03-01 00:00:00+00"}), "only_on_target".to_string(), [0, 1])];
    assert_eq!(story.differing_keys(&["metrics"]), only);
}

/// The numbers behind these names differ between the two clusters, so they are compared as text, and so are keys.
#[test]
fn object_identifiers_are_compared_by_their_names_whatever_the_key_holds() {
    let story = Story::new("names");
    story.target.run("create table earlier (x int)");
    let table = "create table other (x int);
         create table \"Odd \"\"Table\"\"\" (\"ti me\" timestamptz not null, \"k\\ey\" text, kind regclass, value float8,
             primary key (\"ti me\", \"k\\ey\"));
         select create_hypertable('\"Odd \"\"Table\"\"\"', 'ti me');
         insert into \"Odd \"\"Table\"\"\" values ('2025-03-01', E'a\\\\b\\t\"c\"\\n\u{e4}', 'other', '-0'), ('2025-03-01', '', null, 'NaN')";
    story.on_both(table);
    let oid = "select 'other'::regclass::oid";
    assert_ne!(story.source.value(oid), story.target.value(oid));
    let name = "\"Odd \"\"Table\"\"\"";
    let report = story.assert_equal(&[name]);
    assert_eq!(report["plan"]["format"], "text");
    assert_eq!(report["source"]["table"], "public.\"Odd \"\"Table\"\"\"");
    story.target.run("update \"Odd \"\"Table\"\"\" set value = '0' where kind is not null");
    let key = json!({"ti me": "2025-03-01 00:00:00+00", "k\\ey": "a\\b\t\"c\"\n\u{e4}"});
    assert_eq!(story.differing_keys(&[name]), [(key.clone(), "different".into(), [1, 1])]);
    story.on_both("alter table \"Odd \"\"Table\"\"\" drop column kind");
    assert_eq!(story.verify(7, &[name])["plan"]["format"], "binary");
    assert_eq!(story.differing_keys(&[name]), [(key, "different".into(), [1, 1])]);
}

#[test]
fn another_name_schema_or_database_is_found() {
    let story = metrics("elsewhere");
    story.target.run("create schema app; alter table metrics set schema app");
    story.assert_not_verified(&["metrics"], "there is no table public.metrics at");
    story.assert_equal(&["metrics", "--as", "app.metrics"]);
    story.target.run("alter table app.metrics set schema public; alter table metrics rename to \"Other\"");
    story.assert_equal(&["metrics", "--as", "\"Other\""]);
    // Two tables of one database.
    story.source.run(
        "create table copy (like metrics); select create_hypertable('copy', 'time'); insert into copy table metrics",
    );
    story.assert_equal(&["metrics", "--target", &story.source.conninfo, "--as", "copy"]);
    story.assert_not_verified(&["metrics", "--target", &story.source.conninfo], "are the same table, public.metrics");
}

/// Without a key of its own a row is named by what places it.
#[test]
fn without_a_primary_key_rows_are_named_by_their_dimensions() {
    let story = Story::new("keyless");
    story.on_both(
        "create table metrics (time timestamptz not null, device text, value int);
         select create_hypertable('metrics', 'time', 'device', 2);
         insert into metrics select '2025-03-01', 'a', n from generate_series(1, 3) n;
         insert into metrics values ('2025-03-01', null, 1)",
    );
    story.target.run("update metrics set value = 9 where value >= 2 or device is null");
    let keys = story.differing_keys(&["metrics"]);
    let time = "2025-03-01 00:00:00+00";
    let expected = [
        (json!({"time": time, "device": "a"}), "different".to_string(), [2, 2]),
        (json!({"time": time, "device": null}), "different".to_string(), [1, 1]),
    ];
    assert_eq!(keys, expected);
}

#[test]
fn only_the_range_that_is_asked_for_is_compared() {
    let story = metrics("range");
    story.target.run("delete from metrics where time >= '2025-03-10' and time < '2025-03-10 01:00'");
    let at = |arguments: &[&str]| {
        let arguments = [&["metrics"], arguments].concat();
        story.hypercopy(&[&["verify"], arguments.as_slice()].concat()).code
    };
    assert_eq!(at(&[]), 7);
    assert_eq!(at(&["--until", "2025-03-10 00:00+00"]), 0);
    assert_eq!(at(&["--until", "2025-03-10 00:00:00.000001+00"]), 7);
    assert_eq!(at(&["--from", "2025-03-10 00:45:00.000001+00"]), 0);
    assert_eq!(at(&["--from", "2025-03-10 00:45:00+00", "--counts-only"]), 7);
    assert_eq!(at(&["--from", "2025-03-11 00:00+00", "--until", "2025-03-12 00:00+00"]), 0);
    let report = story.verify(0, &["metrics", "--from", "2025-03-11 00:00+00", "--until", "2025-03-12 00:00+00"]);
    assert_eq!(report["comparison"]["source_rows"], 96);
    assert_eq!(report["plan"]["range"], "[2025-03-11 00:00:00+00, 2025-03-12 00:00:00+00)");
    assert_eq!(at(&["--from", "2025-03-11", "--until", "2025-03-11"]), 3);
    assert_eq!(at(&["--from", "soon"]), 3);
}

/// 30 MB on either side: several ranges, each of which has to be divided.
const LARGE: &str = "
    create table metrics (time timestamptz not null, device int not null, note text, primary key (device, time));
    select create_hypertable('metrics', 'time', chunk_time_interval => interval 'INTERVAL');
    insert into metrics
    select '2025-03-01 00:00+00'::timestamptz + n * interval '5 seconds', n % 3, repeat('x', 160)
    from generate_series(0, 119999) n;
    analyze metrics";

#[test]
fn rows_are_found_in_many_ranges_by_many_workers() {
    let story = Story::new("large");
    story.source.run(&LARGE.replace("INTERVAL", "1 day"));
    story.target.run(&LARGE.replace("INTERVAL", "5 hours"));
    let report = story.assert_equal(&["metrics", "-j", "3"]);
    assert!(report["plan"]["ranges"].as_u64().unwrap() >= 3, "{}", report["plan"]);
    let all_bytes = report["comparison"]["bytes"].as_u64().unwrap();

    story.target.run(
        "delete from metrics where time = '2025-03-02 10:00:00+00';
         update metrics set note = 'y' where time = '2025-03-07 03:00:00+00'",
    );
    for workers in ["1", "3"] {
        let report = story.verify(7, &["metrics", "-j", workers]);
        let found = &report["comparison"];
        assert_eq!((&found["differing_ranges"], &found["more_narrowed"]), (&2.into(), &false.into()));
        let narrowed = found["narrowed"].as_array().unwrap();
        assert_eq!(narrowed.len(), 2, "{found}");
        for (range, time) in narrowed.iter().zip(["2025-03-02 10:00:00+00", "2025-03-07 03:00:00+00"]) {
            assert!(range["source_rows"].as_u64().unwrap() <= 1000, "{range}");
            let [from, until] = ["from", "until"].map(|end| range[end].as_str().unwrap());
            assert!(from <= time && time < until, "{range}");
        }
        let keys: Vec<_> = found["keys"].as_array().unwrap().iter().map(|key| key["key"]["time"].as_str()).collect();
        assert_eq!(keys, [Some("2025-03-02 10:00:00+00"), Some("2025-03-07 03:00:00+00")]);
        assert!(found["bytes"].as_u64().unwrap() < all_bytes * 3, "narrowing reads a range about once more");
    }
    let report = story.verify(7, &["metrics", "--counts-only"]);
    let found = &report["comparison"];
    assert_eq!((&found["differing_ranges"], &found["keys"], &found["bytes"]), (&1.into(), &json!([]), &0.into()));
    assert_eq!(
        found["narrowed"][0]["source_rows"].as_u64(),
        found["narrowed"][0]["target_rows"].as_u64().map(|n| n + 1)
    );
}

/// Nothing is endless: the report says that there is more.
#[test]
fn a_table_that_differs_everywhere_is_a_short_report() {
    let story = Story::new("everywhere");
    story.source.run(&LARGE.replace("INTERVAL", "1 day"));
    story.target.run(&LARGE.replace("INTERVAL", "1 day").replace("'x'", "'y'"));
    let report = story.verify(7, &["metrics", "-j", "2"]);
    let found = &report["comparison"];
    assert_eq!(found["differing_ranges"], report["plan"]["ranges"]);
    assert_eq!(found["differences"].as_array().unwrap().len() as u64, report["plan"]["ranges"].as_u64().unwrap());
    assert_eq!(found["narrowed"].as_array().unwrap().len(), 100);
    assert_eq!(found["keys"].as_array().unwrap().len(), 100);
    assert_eq!((&found["more_narrowed"], &found["more_keys"]), (&true.into(), &true.into()));
    // A side without rows is one finding and not a hundred.
    story.target.run("truncate metrics");
    let report = story.verify(7, &["metrics"]);
    assert_eq!(report["comparison"]["narrowed"], report["comparison"]["differences"]);
    assert_eq!((&report["comparison"]["target_rows"], &report["comparison"]["more_keys"]), (&0.into(), &true.into()));
}

/// One value cannot be divided, and too many rows of it are not held in memory.
#[test]
fn many_rows_of_one_value_are_one_range() {
    let story = Story::new("one_value");
    story.on_both(
        "create table metrics (time timestamptz not null, n int);
         select create_hypertable('metrics', 'time');
         insert into metrics select '2025-03-01', n from generate_series(1, 12000) n",
    );
    story.target.run("update metrics set n = 0 where n = 77");
    let report = story.verify(7, &["metrics"]);
    let found = &report["comparison"];
    assert_eq!((&found["narrowed"][0]["source_rows"], &found["keys"]), (&12000.into(), &json!([])));
    assert_eq!(found["more_keys"], true);
    story.on_both("delete from metrics where n > 5000");
    let keys = story.differing_keys(&["metrics"]);
    assert_eq!(keys, [(json!({"time": "2025-03-01 00:00:00+00"}), "different".into(), [1, 1])]);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let story = metrics("refused");
    story.source.run("create table plain (time timestamptz not null)");
    story.assert_not_verified(&["nowhere"], "there is no table nowhere at");
    story.assert_not_verified(&["plain"], "public.plain is a plain table, not a hypertable");
    story.target.run("create table plain (time timestamptz not null)");
    story.assert_not_verified(&["metrics", "--as", "plain"], "public.plain is a plain table, not a hypertable");
    story.assert_not_verified(&["metrics", "--as", "nowhere"], "there is no table public.nowhere at");

    let refused = |change: &str, text: &str, back: &str| {
        story.target.run(change);
        story.assert_not_verified(&["metrics"], text);
        story.target.run(back);
        story.verify(0, &["metrics", "--counts-only"]);
    };
    refused(
        "alter table metrics rename note to remark",
        "column note of the source is missing on the target, in public.metrics",
        "alter table metrics rename remark to note",
    );
    refused(
        "alter table metrics add column more int",
        "column more of the target is missing on the source",
        "alter table metrics drop column more",
    );
    refused(
        "alter table metrics alter column amount type float8",
        "column amount is of type numeric on the source and double precision on the target",
        "alter table metrics alter column amount type numeric using '1.0'",
    );
    story.source.run("alter table metrics add column twice int generated always as (device * 2) stored");
    story.target.run("alter table metrics add column twice int");
    story.assert_not_verified(&["metrics"], "column twice is generated on the source and not on the target");
    story.on_both("alter table metrics drop column twice");

    story.target.run(
        "create table by_other (like metrics, later timestamptz not null); alter table by_other drop column later;
         create table by_device (like metrics); select create_hypertable('by_device', 'device', chunk_time_interval => 10)",
    );
    story.assert_not_verified(
        &["metrics", "--as", "by_device"],
        "the primary dimension is time on the source and device on the target",
    );
    let bare = Database::without_timescaledb(Server::OtherTrixie, "bare").unwrap();
    story.assert_not_verified(&["metrics", "--target", &bare.conninfo], "has no TimescaleDB in this database");
}

#[test]
fn types_that_are_made_of_other_parts_are_refused() {
    let story = Story::new("parts");
    let table =
        "create table metrics (time timestamptz not null, pair pair); select create_hypertable('metrics', 'time')";
    story.source.run(&format!("create type pair as (a int, b int); {table}"));
    story.target.run(&format!("create type pair as (a int, b bigint); {table}"));
    story.assert_not_verified(
        &["metrics"],
        "column pair is of type public.pair on the source and public.pair on the target",
    );
}

#[test]
fn a_role_that_does_not_see_all_rows_is_refused_on_either_side() {
    let (reader, other_reader) = (Role::create(Server::Trixie, "sees"), Role::create(Server::OtherTrixie, "sees"));
    let story = metrics("sees");
    for (option, role, database) in [("--source", &reader, &story.source), ("--target", &other_reader, &story.target)] {
        let conninfo = role.conninfo(database);
        let refused = |text: &str| story.assert_not_verified(&["metrics", option, &conninfo], text);
        refused("SELECT is missing on time, device, value, bytes, amount, note");
        database.run(&format!("grant select on metrics to {}", role.name));
        story.assert_equal(&["metrics", option, &conninfo]);
        database.run(
            "alter table metrics enable row level security;
             create policy few on metrics using (device = 1)",
        );
        refused("row-level security filters what the role sees of public.metrics");
        database.run("alter table metrics disable row level security");
    }
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let story = Story::new("usage");
    for arguments in [
        &["verify"] as &[&str],
        &["verify", "a.b.c"],
        &["verify", "metrics", "--as", "a.b.c"],
        &["verify", "metrics", "-j", "0"],
        &["verify", "metrics", "--from"],
        &["verify", "metrics", "--source", "host=h nonsense=1"],
        &["verify", "metrics", "--quiet", "--verbose"],
        &["verify", "metrics", "--chunk-interval", "1 day"],
        &["verify", "metrics", "--report", "/nonexistent/report.json"],
    ] {
        assert_eq!(story.hypercopy(arguments).code, 2, "{arguments:?}");
    }
}

#[test]
fn a_server_that_fails_is_named_by_its_side() {
    let story = metrics("blame");
    let nowhere = "host=127.0.0.1 port=1 user=x";
    for (option, code, text) in
        [("--source", 4, "cannot connect to the source"), ("--target", 5, "cannot connect to the target")]
    {
        let run = story.hypercopy(&["verify", "metrics", option, nowhere]);
        assert_eq!(run.code, code, "{}", run.stderr);
        assert!(run.stderr.contains(text), "{}", run.stderr);
    }
}

#[test]
fn people_and_programs_are_told_the_same() {
    let story = metrics("told");
    let run = story.hypercopy(&["verify", "metrics"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    for wanted in ["equal by checksum: 2,400 rows on either side", "TimescaleDB", "snapshots", "canonical form 1"] {
        assert!(run.stdout.contains(wanted), "{wanted}: {}", run.stdout);
    }
    let run = story.hypercopy(&["verify", "metrics", "--quiet"]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""));

    story.target.run("delete from metrics where time = '2025-03-02 10:00+00'");
    let file = File::new("told");
    let run = story.hypercopy(&["verify", "metrics", "--report", file.path(), "--progress", "none", "-v"]);
    assert_eq!(run.code, 7);
    assert!(run.stderr.starts_with("hypercopy: source and target differ in 1 of 1 ranges"), "{}", run.stderr);
    let device = story.source.value("select device from metrics where time = '2025-03-02 10:00+00'");
    for wanted in [
        "different by checksum: 2,400 rows on the source, 2,399 on the target, 1 of 1 ranges differ",
        "ranges that differ:",
        &format!("only on the source: time = 2025-03-02 10:00:00+00, device = {device}"),
    ] {
        assert!(run.stdout.contains(wanted), "{wanted}: {}", run.stdout);
    }
    let report = file.json();
    assert_eq!((&report["outcome"], &report["error"]["kind"]), (&"failed".into(), &"different".into()));
    assert_eq!(report["comparison"]["keys"][0]["key"]["time"], "2025-03-02 10:00:00+00");
    assert!(!report["error"].to_string().contains("10:00:00"), "keys are in the findings, not in the error");

    let run = story.hypercopy(&["verify", "nowhere", "--json", "--report", file.path()]);
    assert_eq!((run.code, run.json()), (3, file.json()));
    let run = story.hypercopy(&["verify", "metrics", "-q"]);
    assert_eq!((run.code, run.stdout.as_str()), (7, ""));
}

/// Planning a query asks the predicate of this index, which waits while the gate is closed.
const GATE: &str = "
    create function gate() returns boolean immutable language plpgsql as
        'begin perform pg_advisory_xact_lock_shared(42); return true; end';
    do $$ begin execute format('create index on %s (device) where gate()', (select c from show_chunks('metrics') c order by 1 limit 1)); end $$";

/// A signal in the middle of reading: a code of its own, and nothing at work on either server.
#[cfg(unix)]
#[test]
fn an_interrupted_comparison_stops_its_backends() {
    let story = metrics("interrupted");
    story.target.run(GATE);
    story.target.run("select pg_advisory_lock(42)");
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let child = story.spawn(&["verify", "metrics", "--json", "-j", "2"]);
        story.target.wait_until(
            "a reader waits",
            "select exists (select from pg_stat_activity where datname = current_database()
                 and application_name like 'hypercopy verify copy out%' and wait_event_type = 'Lock')",
        );
        let killed = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(killed.is_ok_and(|status| status.success()));
        let run = Run::of(child.wait_with_output().unwrap());
        assert_eq!(run.code, code, "{}", run.stderr);
        assert_eq!((&run.json()["outcome"], &run.json()["comparison"]), (&"failed".into(), &Value::Null));
        story.source.assert_nothing_left();
        story.target.assert_nothing_left();
    }
    story.target.run("select pg_advisory_unlock(42)");
    story.verify(0, &["metrics"]);
}

/// Chunks cannot be dropped under a comparison, and what is written meanwhile is not part of it.
#[test]
fn both_sides_are_read_under_their_snapshots() {
    let story = metrics("snapshots");
    story.target.run(GATE);
    story.target.run("select pg_advisory_lock(42)");
    let child = story.spawn(&["verify", "metrics", "--json", "-j", "1"]);
    story.target.wait_until(
        "a reader waits",
        "select exists (select from pg_stat_activity where datname = current_database()
             and application_name like 'hypercopy verify copy out%' and wait_event_type = 'Lock')",
    );
    for database in [&story.source, &story.target] {
        let session = database.session();
        database.wait(session.batch_execute("set lock_timeout = '20ms'")).unwrap();
        for ddl in ["select drop_chunks('metrics', older_than => '2025-03-20'::timestamptz)", "truncate metrics"] {
            let error = database.wait(session.batch_execute(ddl)).expect_err(ddl);
            assert_eq!(error.code().map(|code| code.code()), Some("55P03"), "{ddl}: {error:?}");
        }
    }
    story.source.run("update metrics set note = 'changed'; insert into metrics values ('2031-01-01', 1)");
    story.target.run("delete from metrics where device = 3");
    story.target.run("select pg_advisory_unlock(42)");
    let run = Run::of(child.wait_with_output().unwrap());
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert_eq!(run.json()["comparison"]["target_rows"], 2400);
    story.verify(7, &["metrics"]);
}

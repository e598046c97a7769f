//! A hypertable comes back from its archive as it was: the rows, the definition, the parts of it that are asked for.
//!
//! The stories of `definitions` restore each of their tables, too.

use hypercopy::archive::SegmentFormat;

use crate::archives::Archive;
use crate::faults::cluster;
use crate::harness::{Database, Server, Story};

/// A hypertable as people have them: gaps, nulls, NaN, −0, duplicates, values that formats have to escape, no key.
pub const METRICS: &str = r#"
    create table metrics (time timestamptz not null, device text, value double precision, note text);
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '12 hours');
    insert into metrics
    select '2025-03-01'::timestamptz + n * interval '7 minutes', 'dev' || n % 13,
        case n % 10 when 0 then null when 1 then 'NaN' when 2 then '-0' when 3 then '-inf' else n / 3.0 end,
        (array[null, '', 'ä', E'tab\t, "quote"\n line \\ back', '\N', '\.'])[n % 6 + 1]
    from generate_series(1, 3000) n;
    insert into metrics select * from metrics limit 500;
    create index metrics_device_idx on metrics (device, time desc)"#;

const FORMATS: [SegmentFormat; 3] = [SegmentFormat::Binary, SegmentFormat::Csv, SegmentFormat::Text];

/// A story whose source has run this.
pub fn story(name: &str, sql: &str) -> Story {
    let story = Story::new(name);
    story.source.run(sql);
    story
}

#[track_caller]
fn assert_same(story: &Story, table: &str, restored: &str) {
    assert_eq!(story.source.multiset(table), story.target.multiset(restored));
}

#[test]
fn a_table_comes_back_and_the_second_command_finds_it_there() {
    let story = story("comes_back", METRICS);
    let csv = Archive::of(&story.source, "metrics", "comes_back", &["--format", "csv"]);
    let text = Archive::of_slices(&story.source, "metrics", "comes_back", SegmentFormat::Text);
    let binary = Archive::of(&story.source, "metrics", "comes_back", &["--compression", "none"]);
    for (archive, expected) in [(csv, "text"), (text, "text"), (binary, "binary")] {
        let report = archive.restored(&story.target, &["--verify", "checksum", "-j", "2"]);
        assert_same(&story, "metrics", "metrics");
        assert_eq!((report["outcome"].as_str(), report["rows"].as_u64()), (Some("finished"), Some(3500)));
        assert_eq!(report["source"]["endpoint"], archive.path());
        assert_eq!(report["plan"]["format"], expected);
        assert_eq!(report["verification"]["differences"].as_array().map(Vec::len), Some(0));
        let again = archive.restored(&story.target, &["--verify", "checksum", "-j", "2"]);
        assert!(again["finished_at"].is_string(), "{again}");
        let jobs = story.hypercopy(&["jobs", "show", &again["job"].to_string()]);
        assert!(jobs.stdout.contains(": restore ") && jobs.stdout.contains(" in archive "), "{}", jobs.stdout);
        story.target.run("drop table metrics; delete from _hypercopy.job");
    }
}

#[test]
fn no_rows_and_one_row_come_back() {
    let story = story(
        "few_rows",
        "create table none (time timestamptz not null); select create_hypertable('none', 'time');
         create table one (time timestamptz not null, v int); select create_hypertable('one', 'time');
         insert into one values ('2025-01-01', null)",
    );
    for (table, chunks) in [("none", 0), ("one", 1)] {
        for format in FORMATS {
            let archive = Archive::of_slices(&story.source, table, table, format);
            let report = archive.restored(&story.target, &["--verify", "checksum"]);
            assert_same(&story, table, table);
            assert_eq!(report["target_chunks"], chunks);
            story.target.run(&format!("drop table {table}"));
        }
    }
}

#[test]
fn values_at_the_ends_of_the_axis_come_back() {
    let story = story(
        "axis_ends",
        "create table t (time timestamptz not null, v int); select create_hypertable('t', 'time', chunk_time_interval => interval '7 days');
         insert into t values ('4714-11-24 00:00:00+00 BC', 1);
         insert into t values ('-infinity', 2), ('0044-03-15 12:00:00.25+00 BC', 3), ('1969-12-31 23:59:59.999999+00', 4),
             ('2025-01-01', 5), ('12025-01-01', 6), ('294246-12-31', 7), ('infinity', 8)",
    );
    for format in FORMATS {
        let archive = Archive::of_slices(&story.source, "t", "axis_ends", format);
        let report = archive.restored(&story.target, &["--verify", "checksum"]);
        assert_same(&story, "t", "t");
        assert_eq!(report["target_chunks"].to_string(), story.source.value("select count(*) from show_chunks('t')"));
        archive.assert_refused(&story.target, &["--as", "u", "--chunk-interval", "1 day"], 3, "rows at -infinity");
        let from =
            archive.restored(&story.target, &["--as", "later", "--from", "1900-01-01", "--chunk-interval", "1 day"]);
        assert_eq!(from["rows"], 5);
        story.target.run("drop table t; drop table later");
    }
}

#[test]
fn an_integer_dimension_comes_back_with_its_function() {
    let story = story(
        "integers",
        "create table t (n int not null, device int, v text);
         select create_hypertable('t', 'n', chunk_time_interval => 10);
         create function latest() returns int language sql stable as 'select coalesce(max(n), 0) from public.t';
         select set_integer_now_func('t', 'latest');
         insert into t select n, n % 3, 'v' || n from generate_series(-55, 1009, 7) n",
    );
    let archive = Archive::of(&story.source, "t", "integers", &[]);
    archive.restored(&story.target, &["--verify", "checksum", "-j", "3"]);
    assert_same(&story, "t", "t");
    let now = "select integer_now_func from timescaledb_information.dimensions where hypertable_name = 't'";
    assert_eq!(story.target.value(now), "latest");
    let report =
        archive.restored(&story.target, &["--as", "part", "--from", "-6", "--until", "100", "--chunk-interval", "50"]);
    assert_eq!(report["rows"].to_string(), story.source.value("select count(*) from t where n >= -6 and n < 100"));
    assert_eq!(report["target_chunks"], 3);
}

#[test]
fn a_table_takes_any_name() {
    let story = story("names", METRICS);
    let archive = Archive::of(&story.source, "metrics", "names", &[]);
    let name = r#""Odd ""schema'; drop table x; --"."It's a ""table""""#;
    archive.restored(&story.target, &["--as", name, "--verify", "checksum"]);
    assert_same(&story, "metrics", name);
}

#[test]
fn a_range_comes_back_and_the_rest_is_added() {
    let story = story("range", METRICS);
    for format in FORMATS {
        let archive = Archive::of_slices(&story.source, "metrics", "range", format);
        let (from, until) = ("2025-03-03 05:00+00", "2025-03-10 17:30+00");
        let report = archive.restored(&story.target, &["--from", from, "--until", until, "--verify", "checksum"]);
        let part = format!("(select * from metrics where time >= '{from}' and time < '{until}')");
        assert_eq!(story.source.multiset(&part), story.target.multiset("metrics"));
        assert_eq!(report["rows"].to_string(), story.target.value("select count(*) from metrics"));
        let empty = "select count(*) from show_chunks('metrics') c where (xpath('/row/c/text()',
            query_to_xml(format('select exists(select from %s) as c', c), false, true, '')))[1]::text = 'false'";
        assert_eq!(story.target.value(empty), "0", "a chunk without rows is made for nobody");

        let append = ["--if-exists", "append"];
        archive.assert_refused(&story.target, &append, 3, "holds rows in");
        archive.restored(&story.target, &[&append[..], &["--until", from, "--verify", "checksum"]].concat());
        archive.restored(&story.target, &["--data-only", "--from", until, "--verify", "checksum"]);
        assert_same(&story, "metrics", "metrics");
        story.target.run("drop table metrics");
    }
}

#[test]
fn a_table_that_is_there_is_left_alone() {
    let story = story("there", METRICS);
    let archive = Archive::of(&story.source, "metrics", "there", &[]);
    story.target.run("create table metrics (x int)");
    archive.assert_refused(&story.target, &[], 3, "public.metrics exists on the target");
    story.target.run("drop table metrics");
    archive.restored(&story.target, &[]);
    let other = Archive::of(&story.source, "metrics", "there_too", &[]);
    other.assert_refused(&story.target, &[], 3, "public.metrics exists on the target");
    archive.assert_refused(&story.target, &["--chunk-interval", "1 hour"], 3, "public.metrics exists on the target");
}

#[test]
fn the_definition_and_the_rows_come_back_apart() {
    let story = story("apart", METRICS);
    let archive = Archive::of(&story.source, "metrics", "apart", &[]);
    archive.assert_refused(&story.target, &["--data-only"], 3, "there is no table public.metrics on the target");
    let schema = archive.restored(&story.target, &["--schema-only"]);
    assert_eq!((schema["rows"].as_u64(), schema["target_chunks"].as_u64()), (Some(0), Some(0)));
    let indexes = "select string_agg(indexrelid::regclass::text, ' ' order by indexrelid::regclass::text)
        from pg_index where indrelid = 'metrics'::regclass";
    assert_eq!(story.source.value(indexes), story.target.value(indexes));
    let report = archive.restored(&story.target, &["--data-only", "--verify", "checksum"]);
    assert_eq!(report["plan"]["before_rows"].as_array().map(Vec::len), Some(0));
    assert_eq!(report["plan"]["after_rows"].as_array().map(Vec::len), Some(0));
    assert_same(&story, "metrics", "metrics");
    for wrong in [
        &["--data-only", "--schema-only"][..],
        &["--schema-only", "--from", "2025-01-01"],
        &["--schema-only", "--if-exists", "append"],
        &["--data-only", "--chunk-interval", "1 day"],
        &["--restart", "--resume"],
    ] {
        assert_eq!(archive.restore(&story.target, wrong).code, 2, "{wrong:?}");
    }
}

#[test]
fn a_plan_shows_every_expression_and_changes_nothing() {
    let story = story(
        "plan",
        "create table t (time timestamptz not null, v int default length('secret default'), constraint c check (v <> 77));
         select create_hypertable('t', 'time'); create index i on t ((v + 12345));
         insert into t values ('2025-01-01', 1)",
    );
    let archive = Archive::of(&story.source, "t", "plan", &[]);
    let before = story.target.objects();
    let run = archive.restore(&story.target, &["--dry-run"]);
    assert_eq!((run.code, story.target.objects()), (0, before), "{}", run.stderr);
    for expression in ["length('secret default'::text)", "CHECK ((v <> 77))", "(v + 12345)"] {
        assert!(run.stdout.contains(expression), "{expression}: {}", run.stdout);
    }
}

#[test]
fn both_directions_between_releases_come_back() {
    for (from, to) in [(Server::Trixie, Server::Sid), (Server::Sid, Server::Trixie)] {
        let Some(story) = Story::between(from, to, "restore_releases") else { return };
        story.source.run(METRICS);
        let archive = Archive::of(&story.source, "metrics", "releases", &[]);
        archive.restored(&story.target, &["--chunk-interval", "2 days", "--verify", "checksum"]);
        assert_same(&story, "metrics", "metrics");
    }
}

#[test]
fn another_encoding_takes_what_it_can_hold() {
    let cluster = cluster("stories-restore-encoding", &[]);
    let latin = Database::in_cluster(&cluster, "latin", "encoding 'LATIN1' locale 'C'");
    let story = Story { target: latin, source: Database::create(Server::Trixie, "encoding").expect("there is trixie") };
    story.source.run(METRICS);
    let archive = Archive::of(&story.source, "metrics", "encoding", &[]);
    archive.restored(&story.target, &["--verify", "checksum", "--hash-partitions", "note:2"]);
    // In each database's own encoding the same text has other bytes.
    let rows = "select count(*) || ' ' || md5(string_agg(md5(convert_to(m::text, 'UTF8')), '' order by md5(convert_to(m::text, 'UTF8'))))
        from metrics m";
    assert_eq!(story.source.value(rows), story.target.value(rows));
    story.source.run("insert into metrics values ('2025-03-01', '…', 1, '…')");
    let run = Archive::of(&story.source, "metrics", "encoding_not", &[]).restore(&story.target, &["--as", "other"]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(run.stderr.contains("has no equivalent in encoding \"LATIN1\""), "{}", run.stderr);
}

#[test]
fn types_that_are_no_numbers_elsewhere_come_back_as_text() {
    let story = story(
        "text_types",
        "create table t (time timestamptz not null, class regclass, price money, bits bit varying(9));
         select create_hypertable('t', 'time', chunk_time_interval => interval '1 day');
         insert into t select '2025-01-01'::timestamptz + n * interval '1 hour', 'pg_class', n, B'101' from generate_series(1, 100) n",
    );
    let archive = Archive::of(&story.source, "t", "text_types", &[]);
    assert_eq!(archive.manifest()["format"], "text");
    let report = archive.restored(&story.target, &["--chunk-interval", "1 hour", "--verify", "checksum"]);
    assert_same(&story, "t", "t");
    assert_eq!(report["target_chunks"], 100);
}

#[test]
fn compressed_chunks_come_back_uncompressed_where_there_is_no_columnstore() {
    let Some(story) = Story::from_community(Server::Trixie, "restore_compressed") else { return };
    story.source.run(&format!(
        "{METRICS}; alter table metrics set (timescaledb.compress, timescaledb.compress_segmentby = 'device');
         select compress_chunk(c) from show_chunks('metrics', older_than => '2025-03-10'::timestamptz) c"
    ));
    let report =
        Archive::of(&story.source, "metrics", "compressed", &[]).restored(&story.target, &["--verify", "checksum"]);
    assert_same(&story, "metrics", "metrics");
    let said = report["not_carried"].to_string();
    assert!(said.contains("chunks arrive uncompressed"), "{said}");
}

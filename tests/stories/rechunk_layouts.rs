//! `rechunk` from every kind of layout into every other one: the rows are the same, and the chunks are what was asked for.

use serde_json::Value;

use crate::faults::cluster;
use crate::harness::{Database, Server};
use crate::rechunks::Rechunk;

/// A table with chunks of seven days.
const WEEKS: &str = "
    create table metrics (time timestamptz not null, device text, value double precision, note text);
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '7 days');
    create index on metrics (device, time);";

/// Rows with gaps, nulls, NaN, −0 and duplicates.
const SPARSE: &str = "
    insert into metrics
    select '2025-01-01'::timestamptz + n * interval '5 hours', 'dev' || n % 13,
        case n % 10 when 0 then null when 1 then 'NaN' when 2 then '-0' when 3 then '-inf' else n / 3.0 end,
        case when n % 3 = 0 then repeat('ä', n % 50) end
    from generate_series(1, 500) n where n % 100 < 80;
    insert into metrics select * from metrics limit 100;";

/// All lengths of the primary dimension's chunks that have both ends, in hours or in the unit of an integer.
const LENGTHS: &str = "
    select coalesce(string_agg(distinct coalesce((extract(epoch from range_end - range_start) / 3600)::int::text,
        (range_end_integer - range_start_integer)::text), ', '), 'none')
    from timescaledb_information.chunks
    where hypertable_name = 'metrics' and hypertable_schema = 'public'
        and coalesce(isfinite(range_start) and isfinite(range_end), true)
        and coalesce(abs(range_start_integer::numeric) < 9e18 and abs(range_end_integer::numeric) < 9e18, true)";

impl Rechunk {
    /// Gives `metrics` another layout and takes it back, and again without that; both times it has the same rows, and in
    /// the end chunks of these lengths.
    #[track_caller]
    fn becomes(&self, lengths: &str, arguments: &[&str]) -> Value {
        let (before, objects) = (self.database.multiset("metrics"), self.database.objects());
        let arguments = [arguments, &["--verify", "checksum"]].concat();
        let swapped = self.done(&arguments);
        let kept = swapped["kept"].as_str().expect("the old table is kept");
        assert_eq!(swapped["state"], "swapped");
        assert_eq!(self.database.multiset("metrics"), before, "{arguments:?}");
        assert_eq!(self.database.multiset(kept), before, "{arguments:?}");
        self.done(&["--undo"]);
        assert_eq!(self.database.multiset("metrics"), before, "{arguments:?}");
        self.assert_as_before(&objects, "undone");
        self.done(&arguments);
        self.done(&["--drop-old"]);
        assert_eq!(self.database.multiset("metrics"), before, "{arguments:?}");
        assert_eq!(self.database.value(LENGTHS), lengths, "{arguments:?}");
        assert_eq!(self.database.value("select to_regnamespace('_hypercopy_1') is null"), "t");
        self.database.assert_nothing_left();
        self.fails(3, "has this layout already", &arguments);
        swapped
    }
}

#[test]
fn chunks_become_coarser_finer_and_cross_the_old_ones() {
    let story = Rechunk::new("rc_intervals", &format!("{WEEKS}{SPARSE}"));
    let report = story.becomes("240", &["--chunk-interval", "10 days"]);
    assert_eq!(report["rows"], 500);
    assert_eq!(report["verification"]["differences"], Value::Array(Vec::new()));
    story.becomes("720", &["--chunk-interval", "30 days"]);
    story.becomes("12", &["--chunk-interval", "12 hours"]);
}

#[test]
fn a_week_becomes_hours_and_hours_become_a_month() {
    let story = Rechunk::new("rc_hours", WEEKS);
    story.database.run(
        "insert into metrics select '2025-03-01'::timestamptz + n * interval '10 minutes', n % 7, n from generate_series(1, 400) n",
    );
    let report = story.becomes("1", &["--chunk-interval", "1 hour"]);
    let wanted = story.database.value("select count(distinct date_trunc('hour', time)) from metrics");
    assert_eq!(report["plan"]["new_chunks"].to_string(), wanted, "a chunk for each hour with rows, and no other");
    story.becomes("720", &["--chunk-interval", "30 days"]);
}

#[test]
fn hash_partitions_are_added_changed_and_removed() {
    let story = Rechunk::new("rc_hash", &format!("{WEEKS}{SPARSE}"));
    let partitions = "select coalesce(sum(num_partitions), 0) from timescaledb_information.dimensions where hypertable_name = 'metrics'";
    for (asked, there) in [("device:3", "3"), ("device:4", "4"), ("note:2", "2"), ("none", "0")] {
        story.becomes("168", &["--hash-partitions", asked]);
        assert_eq!(story.database.value(partitions), there);
    }
    story.becomes("24", &["--hash-partitions", "device:2", "--chunk-interval", "1 day"]);
    assert_eq!(story.database.value(partitions), "2");
}

#[test]
fn two_open_dimensions_stay_two() {
    let sql = "create table metrics (time timestamptz not null, arrived timestamptz not null, n int);
        select create_hypertable('metrics', 'time', chunk_time_interval => interval '7 days');
        select add_dimension('metrics', 'arrived', chunk_time_interval => interval '3 days');
        insert into metrics
        select '2025-03-01'::timestamptz + n * interval '7 hours', '2025-03-01'::timestamptz + n % 9 * interval '1 day', n
        from generate_series(1, 200) n";
    let story = Rechunk::new("rc_open", sql);
    story.becomes("48", &["--chunk-interval", "2 days"]);
    assert_eq!(
        story.database.value("select string_agg(time_interval::text, ' ' order by dimension_number) from timescaledb_information.dimensions where hypertable_name = 'metrics'"),
        "2 days 3 days"
    );
}

/// Types of the time column, an old interval, a new one with the lengths that it gives, and values where arithmetic goes
/// wrong: on boundaries, before zero, before Christ, years apart, at the ends.
const KINDS: [(&str, &str, &str, &str, &[&str]); 6] = [
    ("smallint", "1000", "70", "70", &["-32768", "-1001", "-1000", "-70", "-1", "0", "69", "70", "140", "32767"]),
    ("integer", "1000", "700", "700", &["-2147483648", "-1000", "-701", "-700", "0", "699", "700", "2147483647"]),
    (
        "bigint",
        "1000000",
        "30000000",
        "30000000",
        &["-9223372036854775808", "-30000001", "-30000000", "-1", "0", "29999999", "30000000", "9223372036854775807"],
    ),
    (
        "date",
        "7",
        "3 days",
        "72",
        &[
            "4713-01-01 BC",
            "0001-12-31 BC",
            "1969-12-31",
            "1970-01-01",
            "1970-01-04",
            "2025-02-28",
            "2025-03-01",
            "294246-12-31",
            "infinity",
        ],
    ),
    (
        "timestamp",
        "7",
        "30 days",
        "720",
        &[
            "4713-01-01 BC",
            "0001-12-31 23:59:59.999999 BC",
            "1970-01-01",
            "1969-12-02",
            "2025-03-01 00:00",
            "294246-12-31",
            "infinity",
        ],
    ),
    (
        "timestamptz",
        "7",
        "1 hour",
        "1",
        &[
            "4713-01-01 BC",
            "1969-12-31 23:59:59.999999+00",
            "1970-01-01 00:00+00",
            "1970-01-01 00:59:59.999999+00",
            "1970-01-01 01:00+00",
            "2025-03-01",
            "294246-12-31",
            "infinity",
        ],
    ),
];

#[test]
fn every_kind_of_time_finds_its_chunk() {
    for (kind, old, new, lengths, values) in KINDS {
        let is_integer = ["smallint", "integer", "bigint"].contains(&kind);
        let old = if is_integer { old.to_string() } else { format!("interval '{old} days'") };
        let values: Vec<String> = values.iter().map(|value| format!("('{value}'), ('{value}')")).collect();
        let story = Rechunk::new(
            &format!("rc_{kind}"),
            &format!(
                "create table metrics (time {kind} not null, n int default 1);
                 select create_hypertable('metrics', 'time', chunk_time_interval => {old});
                 insert into metrics values {}",
                values.join(", ")
            ),
        );
        if is_integer {
            story.database.run(&format!(
                "create function metrics_now() returns {kind} language sql stable as 'select 100::{kind}';
                 select set_integer_now_func('metrics', 'metrics_now')"
            ));
        }
        story.becomes(lengths, &["--chunk-interval", new]);
        let now = "select coalesce(max(integer_now_func), 'none') from timescaledb_information.dimensions where hypertable_name = 'metrics'";
        assert_eq!(story.database.value(now), if is_integer { "metrics_now" } else { "none" });
    }
}

#[test]
fn minus_infinity_goes_where_there_is_a_chunk_without_a_start() {
    let sql = format!(
        "{WEEKS} insert into metrics (time) values ('4714-11-24 00:00+00 BC'), ('-infinity'), ('infinity'), ('2025-03-01')"
    );
    let story = Rechunk::new("rc_minus_infinity", &sql);
    let before = story.database.objects();
    story.fails(3, "has rows at -infinity", &["--chunk-interval", "1 hour"]);
    story.assert_as_before(&before, "refused");
    story.becomes("336", &["--chunk-interval", "14 days"]);
}

#[test]
fn an_empty_table_and_one_with_a_single_row_change_their_layout() {
    let story = Rechunk::new("rc_empty", WEEKS);
    story.becomes("none", &["--chunk-interval", "1 day"]);
    story.database.run("insert into metrics (time) values ('2025-03-01')");
    assert_eq!(story.database.value(LENGTHS), "24");
    story.becomes("1", &["--chunk-interval", "1 hour"]);
}

#[test]
fn chunks_of_several_past_intervals_become_one_layout() {
    let story = Rechunk::new("rc_past", &format!("{WEEKS}{SPARSE}"));
    story.database.run(
        "select set_chunk_time_interval('metrics', interval '1 day');
         insert into metrics select time + interval '1 year', device, value, note from metrics;
         select set_chunk_time_interval('metrics', interval '30 days');
         insert into metrics select time + interval '3 years', device, value, note from metrics",
    );
    story.becomes("720", &["--chunk-interval", "30 days"]);
}

/// Everything that a table's definition says, by the server's own words.
const DEFINITION: &str = "
    select string_agg(line, E'\\n' order by line) from (
        select pg_get_constraintdef(oid) || ' ' || conname || convalidated from pg_constraint
        where conrelid = 'public.metrics'::regclass union all
        select pg_get_indexdef(indexrelid) from pg_index where indrelid = 'public.metrics'::regclass union all
        select format('%s %s %s %s %s %s %s', attname, format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated,
            attstorage, pg_get_expr(adbin, adrelid))
        from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
        where attrelid = 'public.metrics'::regclass and attnum > 0) definition (line)";

#[test]
fn keys_checks_indexes_and_odd_types_are_the_same_afterwards() {
    let sql = "
        create sequence numbers; create type color as enum ('red', 'green'); create domain volts as numeric(8, 2) check (value >= 0);
        create table metrics (
            time timestamptz not null, device int not null, state color default 'red', tension volts, note text, wide text,
            twice int generated always as (device * 2) stored, number int default nextval('numbers'),
            primary key (device, time), unique (time, note), constraint positive check (device >= 0),
            exclude (time with =, device with =)
        );
        alter table metrics alter column wide set storage external;
        select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day', create_default_indexes => false);
        insert into metrics (time, device, tension, note, wide, state)
        select '2025-03-01'::timestamptz + n * interval '1 hour', n % 5, n / 7.0, n, n || repeat('x', 3000), 'green'
        from generate_series(1, 150) n;
        alter table metrics add constraint later check (device < 3) not valid;
        create index on metrics (time desc); create index metrics_upper on metrics (upper(note)) where device > 1;
        create unique index metrics_time_device on metrics (time, device, coalesce(note, '')) include (tension);";
    for server in [Server::Trixie, Server::Sid] {
        let Some(story) = Rechunk::on(server, "rc_definition", sql) else { continue };
        let before = story.database.value(DEFINITION);
        story.becomes("12", &["--chunk-interval", "12 hours"]);
        assert_eq!(story.database.value(DEFINITION), before);
    }
}

#[test]
fn a_table_without_any_index_changes_its_layout() {
    let story = Rechunk::new("rc_bare", &format!("{WEEKS}{SPARSE}"));
    story.database.run("drop index metrics_time_idx; drop index metrics_device_time_idx");
    story.becomes("24", &["--chunk-interval", "1 day"]);
    assert_eq!(story.database.value("select count(*) from pg_indexes where tablename = 'metrics'"), "0");
}

#[test]
fn names_with_quotes_capitals_and_dots_go_and_come_back() {
    let long = "x".repeat(60) + "ö";
    let sql = format!(
        "create schema \"Odd.schema\";
         create table \"Odd.schema\".\"My \"\"Table\"\" {long}\" (\"The.Time\" timestamptz not null, \"{long}\" int, \"a\"\"b\" text);
         select create_hypertable('\"Odd.schema\".\"My \"\"Table\"\" {long}\"', 'The.Time', chunk_time_interval => interval '7 days', create_default_indexes => false);
         create index \"{long}\" on \"Odd.schema\".\"My \"\"Table\"\" {long}\" (\"The.Time\", \"a\"\"b\");
         insert into \"Odd.schema\".\"My \"\"Table\"\" {long}\" select '2025-03-01'::timestamptz + n * interval '1 day', n, 'n' from generate_series(1, 30) n"
    );
    let story = Rechunk::new("rc_names", &sql);
    let database = &story.database;
    let table =
        database.value("select format('%I.%I', schemaname, tablename) from pg_tables where schemaname = 'Odd.schema'");
    let before = database.multiset(&table);
    let run = |arguments: &[&str]| {
        let run = story.hypercopy(&[&["rechunk", &table, "--json"], arguments].concat());
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.json()
    };
    let indexes = "select string_agg(indexrelid::regclass::text || pg_get_indexdef(indexrelid), ' ' order by indexrelid::regclass::text) \
        from pg_index where indrelid in (select oid from pg_class where relkind = 'r' and relnamespace = '\"Odd.schema\"'::regnamespace)";
    let names = database.value(indexes);
    let report = run(&["--chunk-interval", "1 day", "--hash-partitions", &format!("\"{long}\":2")]);
    let kept = report["kept"].as_str().unwrap();
    assert!(kept.ends_with("_old_1\""), "{kept}");
    assert_eq!((database.multiset(&table), database.multiset(kept)), (before.clone(), before.clone()));
    database.run(&format!("insert into {table} values ('2025-04-30', 1, 'new')"));
    run(&["--undo", "--force"]);
    assert_eq!((database.multiset(&table), database.value(indexes)), (before.clone(), names.clone()));
    run(&["--chunk-interval", "1 day"]);
    run(&["--drop-old"]);
    assert_eq!((database.multiset(&table), database.value(indexes)), (before, names));
}

#[test]
fn a_thousand_chunks_go_through_a_small_lock_table() {
    let cluster = cluster("stories-rc-locks", &[("max_connections", "25"), ("max_locks_per_transaction", "64")]);
    let database = Database::in_cluster(&cluster, "rc_many", "");
    database.run(
        "create table metrics (time timestamptz not null, device int);
         select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 hour');",
    );
    // Each transaction's locks have to fit, too.
    for part in 0..10 {
        database.run(&format!(
            "insert into metrics select '2025-03-01'::timestamptz + ({part} * 100 + n) * interval '1 hour', n from generate_series(1, 100) n"
        ));
    }
    let story = Rechunk { database };
    let before = story.database.multiset("metrics");
    assert_eq!(story.database.value("select count(*) from show_chunks('metrics')"), "1000");
    story.done(&["--chunk-interval", "5 days", "--verify", "checksum", "--lock-timeout", "20s"]);
    assert_eq!(story.database.multiset("metrics"), before);
    story.done(&["--undo", "--lock-timeout", "20s"]);
    assert_eq!(story.database.multiset("metrics"), before);
    story.done(&["--chunk-interval", "5 days", "--lock-timeout", "20s"]);
    story.done(&["--drop-old"]);
    assert_eq!(story.database.multiset("metrics"), before);
    story.database.assert_nothing_left();
}

/// 12 MB in 12 days, the last one hardly begun.
const WEIGHTY: &str = "
    insert into metrics
    select '2025-03-02'::timestamptz + n * interval '1 minute', n % 9, n, repeat(md5(n::text), 20)
    from generate_series(0, 15600) n; analyze metrics;";

#[test]
fn chunks_of_a_wanted_size_come_out_near_it() {
    let story = Rechunk::new("rc_size", &format!("{WEEKS}{WEIGHTY}"));
    let size = "select max(pg_total_relation_size(chunk)) from show_chunks('metrics') chunk";
    let whole: u64 = story
        .database
        .value("select sum(pg_total_relation_size(chunk)) from show_chunks('metrics') chunk")
        .parse()
        .unwrap();
    for (arguments, partitions) in [(["--hash-partitions", "none"], 1), (["--hash-partitions", "device:3"], 3)] {
        let wanted = whole / 18 / partitions;
        let size_argument = wanted.to_string();
        let report = story.done(&[&["--target-chunk-size", &size_argument], &arguments[..]].concat());
        story.done(&["--drop-old"]);
        let sized = &report["plan"]["sized"];
        assert_eq!(sized["interval"], "12 hours", "{sized}");
        assert_eq!(sized["covered"], "10.8 days", "{sized}");
        let told = sized["bytes"].as_u64().unwrap();
        assert!(told <= wanted && told > wanted / 2, "{sized} of {wanted}");
        let largest: u64 = story.database.value(size).parse().unwrap();
        assert!(largest > told / 2 && largest < told * 2, "{largest} bytes where {told} were told");
    }
    let run = story.hypercopy(&["rechunk", "metrics", "--target-chunk-size", "2MB", "--dry-run"]);
    assert!(run.stdout.contains(" of table and indexes over 10.8 days make about "), "{}", run.stdout);
}

#[test]
fn a_wanted_size_needs_rows_to_tell_the_interval_by() {
    let story = Rechunk::new("rc_no_size", WEEKS);
    let before = story.database.objects();
    story.fails(3, "too few rows", &["--target-chunk-size", "1GB"]);
    story.assert_as_before(&before, "refused");
    story.database.run("insert into metrics (time) values ('2025-03-01')");
    story.fails(3, "too few rows", &["--target-chunk-size", "1GB"]);
}

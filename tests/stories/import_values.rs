//! What an import stores is what the server's own COPY would have stored of the same file, bit for bit, in whatever way the
//! values are spelled; and what the server refuses, it refuses for the same reason.

use crate::encode::{KINDS, Kind, ODD, TYPES};
use crate::twins::{Csv, Twins, Verdict, record};

/// Types that have no binary form here, so that the whole table goes as text.
const TEXT_ONLY: &[(&str, &[&str])] = &[
    (
        "interval",
        &["1 day", "-1 mon +2 days 03:04:05.678", "P1Y2M3DT4H5M6S", "@ 1 hour ago", "1-2", "infinity", "1 2:3"],
    ),
    ("time", &["12:34:56.789", "24:00", "23:59:60", "24:00:01", "allballs", "04:05 PM", "T040506"]),
    ("timetz", &["12:34:56+02", "24:00:00Z", "12:00 America/New_York", "12:00"]),
    ("inet", &["10.0.0.1", "10.0.0.1/8", "::1", "2001:db8::/32", "10.0.0"]),
    ("cidr", &["10.0.0.0/8", "10", "10.0.0.1/8"]),
    ("macaddr", &["08:00:2b:01:02:03", "08002b010203", "08-00-2b"]),
    ("integer[]", &["{}", "{1,2,NULL}", "{{1,2},{3,4}}", "[0:1]={1,2}", "{1,2", "{1,x}"]),
    ("text[]", &["{a,\"b,c\",NULL,\"NULL\",\"\\\\\",\"\\\"\"}", "{ä}", "{,}"]),
    ("int4range", &["empty", "[1,5)", "(1,5]", "(,)", "[5,1]"]),
    ("tstzrange", &["[2025-01-01 00:00,2025-01-02 00:00)", "[today,]", "[x,]"]),
    ("int8multirange", &["{}", "{[1,2],[5,9)}", "{[9,1]}"]),
    ("bytea", &["\\xdeadbeef", "\\\\000a\\001", "abc", "\\x0", "\\8"]),
    ("point", &["(1,2)", "1,2", "(NaN,inf)", "(1)"]),
    ("pair", &["(1,a)", "(,)", "(1,\"a \"\"b\"\"\")", "(1)", "(x,a)"]),
    ("money", &["$1,234.56", "-1", "12.345", "(7)", "1 EUR"]),
    ("xml", &["<a/>", "text", "<a>ä</a>", "<a>", "<?xml version=\"1.0\"?><a/>"]),
    ("regclass", &["pg_class", "pg_catalog.pg_type", "by_server", "1259", "-", "no_such_table", "a.b.c.d.e"]),
    ("regtype", &["integer", "int4[]", "no_such_type"]),
    ("regrole", &["pg_read_all_data", "no_such_role"]),
    ("bit(3)", &["101", "B101", "x5", "10", "1010"]),
    ("varbit", &["", "1", "x1F", "2"]),
    ("\"char\"", &["a", "ab", "", "\\101"]),
    ("name", &["a", "a name that is longer than the sixty-three bytes that there are for it in the catalog"]),
    ("tsvector", &["a:1 fat:2,3 'c d'", "a:x"]),
    ("tsquery", &["a & b", "!a | (b <-> c)", "a b", "'"]),
    ("jsonpath", &["$.a[*] ? (@ > 1)", "lax $", "$["]),
    ("pg_lsn", &["16/B374D848", "16"]),
    ("oid", &["1", "4294967295", "-1", "4294967296"]),
    ("small", &["{1,2}", "{3,4,5}"]),
    ("label", &["sad", "bad"]),
];

const TEXT_TYPES: &str = "
    create type pair as (a integer, b text);
    create domain small as integer[] check (cardinality(value) < 3);
    create domain label as \"char\"";

/// A table by integers, with a column for each type.
fn table<'a>(types: impl Iterator<Item = &'a str>) -> String {
    let columns: Vec<String> = types.enumerate().map(|(n, type_name)| format!("c{n} {type_name}")).collect();
    format!(
        "create table {{table}} (n bigint not null, {});
         select create_hypertable('{{table}}', 'n', chunk_time_interval => 1000, create_default_indexes => false)",
        columns.join(", ")
    )
}

/// A record for each value of each column; what depends on the moment is left out.
fn records<'a>(columns: &[Vec<&'a str>]) -> Vec<Vec<u8>> {
    let values = columns.iter().enumerate().flat_map(|(n, values)| values.iter().map(move |value| (n, *value)));
    let values = values.filter(|(_, value): &(usize, &'a str)| *value != "now");
    values.enumerate().map(|(number, (column, value))| record(number, columns.len(), column, value)).collect()
}

/// Imports all records, in blocks of one and of many, and compares with what the server has done with each of them.
#[track_caller]
fn compare(twins: &Twins, records: &[Vec<u8>]) {
    let Verdict { stored, refused } = twins.copy_each(records, "");
    let csv = Csv::new(records.concat());
    let rejects = csv.rejects();
    for (jobs, bytes) in [("4", "1"), ("1", "16kB")] {
        let arguments = ["-j", jobs, "--block-size", bytes, "--import-id", bytes];
        let arguments = [&arguments[..], &["--max-rejects", "99999", "--rejects", &rejects]].concat();
        twins.database.run("truncate by_import");
        let report = twins.import(&csv, &arguments);
        twins.assert_same();
        assert_eq!(csv.read_rejects(), refused, "{arguments:?}");
        assert_eq!(report["rejected"], refused.len());
        assert_eq!(report["records"], records.len());
    }
    // What the server takes is taken without any budget, and in one block.
    twins.database.run("truncate by_import");
    twins.import(&Csv::new(stored), &["-j", "4"]);
    twins.assert_same();
}

/// All spellings of a type: those that it is known by, and odd ones.
fn spellings(kinds: &[Kind]) -> Vec<Vec<&'static str>> {
    kinds.iter().map(|kind| [kind.ordinary, ODD].concat()).collect()
}

#[test]
fn values_of_types_with_a_binary_form_are_stored_as_the_server_reads_them() {
    let twins = Twins::new("binary_values", "");
    twins.database.run(TYPES);
    twins.define(&table(KINDS.iter().map(|kind| kind.column)));
    compare(&twins, &records(&spellings(&KINDS)));
}

#[test]
fn values_of_types_that_only_go_as_text_are_stored_as_the_server_reads_them() {
    let twins = Twins::new("text_values", "");
    twins.database.run(TYPES);
    twins.database.run(TEXT_TYPES);
    let has = |name: &str| {
        twins.database.value(&format!("select count(*) from pg_available_extensions where name = '{name}'")) == "1"
    };
    let mut types: Vec<(&str, &[&str])> = TEXT_ONLY.to_vec();
    for (name, values) in
        [("hstore", &["a=>1", "\"a b\"=>NULL", "a=>", "x"] as &[&str]), ("citext", &["Abc", "", "ä\n"])]
    {
        if has(name) {
            twins.database.run(&format!("create extension {name}"));
            types.push((name, values));
        }
    }
    twins.define(&table(types.iter().map(|(name, _)| *name)));
    let spellings: Vec<Vec<&str>> = types.iter().map(|(_, values)| values.to_vec()).collect();
    compare(&twins, &records(&spellings));
}

/// Times around gaps and overlaps of several zones, and dates that each style reads otherwise.
const ZONED: &[&str] = &[
    "2025-03-09 02:30:00",
    "2025-11-02 01:30:00",
    "2025-03-30 02:30:00",
    "2025-10-26 02:30:00.5",
    "2011-12-30 12:00:00",
    "2025-04-05 23:45:00",
    "1883-11-18 12:00:00",
    "2025-01-02 03:04:05",
    "2025-01-02T03:04:05",
    "2025-01-02 03:04:05Z",
    "2025-01-02 03:04:05+05:45",
    "01.02.2025",
    "01.02.2025 03:04:05",
    "01/02/2025",
    "13/02/2025",
    "02/13/2025",
    "01-02-03",
    "2025-01-02 03:04:05 EST",
    "2025-01-02 03:04:05 Europe/Berlin",
    "2025-06-02 IST",
    "0044-03-15 BC",
    "infinity",
    "-infinity",
    "epoch",
    "2025-01-02 24:00:00",
    "2025-01-02 23:59:60",
    " 2025-01-02",
    "20250102T030405",
    "Jan 2 2025",
    "-1-2 +3 -4:05:06",
    "1-2",
    "1 2:03",
    "P1DT2H",
    "-1 day 2 hours",
    "1 day ago",
];

#[test]
fn times_are_read_with_the_settings_of_the_role_the_database_and_the_environment() {
    let types = ["timestamptz", "timestamp", "date", "timestamptz(0)"];
    let with_interval = [&types[..], &["interval"]].concat();
    for (columns, name) in [(&types[..], "zones"), (&with_interval, "intervals")] {
        let records = records(&vec![ZONED.to_vec(); columns.len()]);
        let check = |settings: &str, options: &str, environment: &[(&'static str, &str)]| {
            let mut twins = Twins::new(name, &table(columns.iter().copied()));
            let database = twins.database.value("select current_database()");
            if !settings.is_empty() {
                twins.database.run(&settings.replace("{database}", &format!("\"{database}\"")));
            }
            let given = twins.conninfo.clone();
            twins.conninfo = format!("{given} {options}");
            let Verdict { stored, refused } = twins.copy_each(&records, "");
            twins.conninfo = given;
            twins.environment = environment.iter().map(|(name, value)| (*name, value.to_string())).collect();
            let csv = Csv::new(records.concat());
            let rejects = csv.rejects();
            let arguments = ["-j", "2", "--block-size", "1", "--max-rejects", "999", "--rejects", &rejects];
            twins.import(&csv, &arguments);
            twins.assert_same();
            assert_eq!(csv.read_rejects(), refused, "{settings}{environment:?}");
            twins.database.run("truncate by_import");
            twins.import(&Csv::new(stored), &["-j", "1"]);
            twins.assert_same();
        };
        check("", "", &[]);
        check(
            "alter database {database} set timezone = 'America/New_York';
             alter database {database} set datestyle = 'German, DMY';
             alter database {database} set intervalstyle = 'sql_standard'",
            "",
            &[],
        );
        check("alter role current_user in database {database} set timezone = 'Asia/Kathmandu'", "", &[]);
        check(
            "alter database {database} set timezone = 'America/New_York'",
            "options='-c timezone=Europe/Berlin -c datestyle=SQL,DMY'",
            &[("PGTZ", "Europe/Berlin"), ("PGDATESTYLE", "SQL, DMY")],
        );
        check(
            "",
            "options='-c timezone=Pacific/Apia -c intervalstyle=iso_8601 -c datestyle=YMD'",
            &[("PGOPTIONS", "-c timezone=Pacific/Apia -c intervalstyle=iso_8601 -c datestyle=YMD")],
        );
    }
}

/// A trigger function that looks names up, and that shows values and settings as its session has them.
const TELLING: &str = "
    create function app.tell() returns trigger language plpgsql as $$ begin
        new.kind := (select name from kinds where id = new.n % 2);
        new.told := (select string_agg(name || '=' || setting, ' ' order by name) from pg_settings where name in (
                'DateStyle', 'TimeZone', 'IntervalStyle', 'bytea_output', 'extra_float_digits', 'lc_monetary',
                'xmlbinary', 'xmloption', 'search_path', 'array_nulls', 'standard_conforming_strings',
                'quote_all_identifiers', 'default_text_search_config', 'session_replication_role'))
            || ' ' || new.value::text || ' ' || '\\x615c6200'::bytea::text || ' ' || 'pg_class'::regclass::text
            || ' ' || now()::date::text;
        return new;
    end $$";

#[test]
fn triggers_and_names_find_the_session_that_copy_would_have_given_them() {
    let twins = Twins::new("session", "");
    twins.database.run("create schema app; create schema other");
    twins
        .database
        .run("create table app.kinds (id bigint, name text); insert into app.kinds values (0, 'even'), (1, 'odd')");
    twins.database.run("create table other.kinds (id bigint, name text)");
    twins.database.run(TELLING);
    let database = twins.database.value("select current_database()");
    for (name, value) in [
        ("search_path", "app, public"),
        ("bytea_output", "'escape'"),
        ("extra_float_digits", "0"),
        ("xmlbinary", "'hex'"),
        ("datestyle", "'SQL, DMY'"),
        ("timezone", "'Asia/Tokyo'"),
        ("quote_all_identifiers", "on"),
        ("default_text_search_config", "'pg_catalog.german'"),
    ] {
        twins.database.run(&format!("alter database \"{database}\" set {name} = {value}"));
    }
    twins.define(
        "create table {table} (n bigint not null, value float8, of regclass, kind text, told text);
         select create_hypertable('{table}', 'n', chunk_time_interval => 10);
         create trigger tell before insert on {table} for each row execute function app.tell();",
    );
    let csv: String = (0..40).map(|n| format!("{n},{},kinds\n", 1.0 / f64::from(n + 3))).collect();
    let csv = Csv::new(csv);
    twins.assert_alike(&csv, "(n, value, of)", &["--columns", "n,value,of", "-j", "4", "--block-size", "64"]);
    assert_eq!(twins.database.value("select bool_and(of = 'app.kinds'::regclass) from by_import"), "t");
}

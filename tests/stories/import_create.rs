//! Tables that an import makes of the file.

use std::process::Stdio;

use crate::harness::Run;
use crate::twins::{Csv, Twins};

/// One record of each kind of value.
const KINDS: &str = "\
Time,id,temperature,ok,sensor,note,day,huge,mixed,nothing,code
2025-03-01 00:00:00+00,1,20.5,t,a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,hot,2025-03-01,9223372036854775808,1,,007
2025-03-02T00:00:00Z,2,-3,f,a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12,\"a, b\",2025-03-02,1,x,,008
";

impl Twins {
    /// The columns of the table that was made, with their types.
    #[track_caller]
    fn columns(&self) -> String {
        self.database.value(
            "select string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)) || case when attnotnull then ' not null' else '' end, ', ' order by attnum)
             from pg_attribute where attrelid = 'by_import'::regclass and attnum > 0",
        )
    }

    fn indexes(&self) -> String {
        self.database.value("select string_agg(indexdef, '; ') from pg_indexes where tablename = 'by_import'")
    }

    fn dimensions(&self) -> String {
        self.database.value(
            "select string_agg(column_name || ' ' || coalesce(time_interval::text, integer_interval::text, num_partitions::text), ', ' order by dimension_number)
             from timescaledb_information.dimensions where hypertable_name = 'by_import'",
        )
    }
}

#[test]
fn columns_have_the_types_that_their_values_suggest() {
    let twins = Twins::new("inferred", "");
    let csv = Csv::new(KINDS);
    let arguments = ["--header", "match", "--create-hypertable", "\"Time\""];
    let plan = twins.hypercopy(&[&["import", "by_import", csv.path(), "--dry-run"], &arguments[..]].concat());
    assert_eq!(plan.code, 0, "{}", plan.stderr);
    for text in ["temperature double precision", "create table", "create_hypertable", "create index"] {
        assert!(plan.stdout.contains(text), "{}", plan.stdout);
    }
    assert_eq!(
        twins.database.value("select to_regclass('by_import') is null and to_regnamespace('_hypercopy') is null"),
        "t"
    );
    let report = twins.import(&csv, &arguments);
    assert_eq!(report["rows"], 2);
    assert_eq!(
        twins.columns(),
        "\"Time\" timestamp with time zone not null, id bigint, temperature double precision, ok boolean, sensor uuid, \
         note text, day date, huge numeric, mixed text, nothing text, code text"
    );
    assert_eq!(twins.dimensions(), "Time 7 days");
    assert_eq!(twins.indexes(), "CREATE INDEX \"by_import_Time_idx\" ON public.by_import USING btree (\"Time\" DESC)");
    // What is there now is imported into; making it again is refused.
    let run = twins.try_import(&csv, &arguments);
    assert_eq!(run.code, 0, "the same import is done: {}", run.stderr);
    let other = Csv::new(KINDS.replace("hot", "cold"));
    let run = twins.try_import(&other, &arguments);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("public.by_import exists"), "{}", run.stderr);
    assert_eq!(twins.import(&other, &["--header", "match"])["rows"], 2);
}

#[test]
fn types_and_layout_can_be_said() {
    let twins = Twins::new("said", "");
    twins.database.run(
        "create schema app; create type app.mood as enum ('sad', 'glad'); create domain app.\"Odd type\" as varchar(5);
         create table by_server (at timestamptz(3), mood app.mood, name varchar(7), price numeric(10,2), list int[], odd app.\"Odd type\", letters char(3))",
    );
    let database = twins.database.value("select quote_ident(current_database())");
    twins.database.run(&format!("alter database {database} set search_path = app, public"));
    let csv =
        Csv::new("2025-03-01 00:00:00.1235Z,glad,name   ,1.005,\"{1,2}\",odd,ab\n2025-05-01 00:00:00Z,sad,b,2,{},,\n");
    let types = [
        "at=timestamp(3) with time zone",
        "mood=mood",
        "name=varchar(7)",
        "price=numeric(10,2)",
        "list=int[]",
        "odd=\"Odd type\"",
        "letters=char(3)",
    ];
    let types = types.iter().flat_map(|given| ["--type", given]);
    let arguments: Vec<&str> = [
        "import",
        "public.by_import",
        csv.path(),
        "--columns",
        "at,mood,name,price,list,odd,letters",
        "--create-hypertable",
        "at",
        "--chunk-interval",
        "1 day",
        "--hash-partitions",
        "name:3",
    ]
    .into_iter()
    .chain(types)
    .collect();
    let run = twins.hypercopy(&arguments);
    assert_eq!(run.code, 0, "{}", run.stderr);
    twins.database.run("set search_path = public");
    twins.copy(&csv, "");
    twins.assert_same();
    assert_eq!(
        twins.columns(),
        "at timestamp(3) with time zone not null, mood app.mood, name character varying(7), price numeric(10,2), list integer[], \
         odd app.\"Odd type\", letters character(3)"
    );
    assert_eq!(twins.dimensions(), "at 1 day, name 3");
    let again = twins.hypercopy(&arguments);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.stdout.contains("already imported"), "{}", again.stdout);
}

#[test]
fn files_without_a_header_get_columns_with_numbers() {
    let twins = Twins::new("numbered", "");
    let csv = Csv::new((0..5000).map(|n| format!("{n},device {},{}.5\n", n % 7, n)).collect::<String>());
    let refused = |arguments: &[&str], text: &str| {
        let run = twins.try_import(&csv, arguments);
        assert_eq!(run.code, 3, "{}", run.stderr);
        assert!(run.stderr.contains(text) && run.stderr.contains("hint: "), "{}", run.stderr);
    };
    refused(&["--create-hypertable", "time"], "the file has no column time");
    refused(&["--create-hypertable", "column1"], "column column1 is an integer");
    refused(&["--create-hypertable", "column2"], "is of type text");
    refused(
        &["--create-hypertable", "column1", "--chunk-interval", "7", "--type", "column3=no_such"],
        "there is no type no_such",
    );
    refused(
        &["--create-hypertable", "column1", "--chunk-interval", "7", "--type", "column3=int)("],
        "there is no type",
    );
    refused(&["--create-hypertable", "column1", "--chunk-interval", "7", "--type", "column9=int"], "no column column9");
    let report = twins.import(
        &csv,
        &["--create-hypertable", "column1", "--chunk-interval", "500", "-j", "3", "--block-size", "16kB"],
    );
    assert_eq!(report["rows"], 5000);
    assert_eq!(twins.columns(), "column1 bigint not null, column2 text, column3 double precision");
    assert_eq!(twins.dimensions(), "column1 500");
    assert_eq!(twins.database.value("select count(*) || ' ' || sum(column1) from by_import"), "5000 12497500");
}

#[test]
fn killed_in_the_middle_the_same_command_finishes_the_table_it_has_made() {
    let twins = Twins::new("killed", "create table {table} (n bigint not null, note text)");
    twins.database.run("drop table by_import");
    let csv = Csv::new((0..6000).map(|n| format!("{n},note {n}\n")).collect::<String>());
    twins.copy(&csv, "");
    let arguments = [
        "import",
        "by_import",
        csv.path(),
        "--columns",
        "n,note",
        "--create-hypertable",
        "n",
        "--chunk-interval",
        "1000",
        "-j",
        "2",
        "--block-size",
        "8kB",
        "--json",
    ];
    for failpoint in ["begin-after-commit", "after-commit:2", "before-commit:3", "finalize-before-commit"] {
        let output =
            twins.command(&arguments).env("HYPERCOPY_FAILPOINT", failpoint).output().expect("the program starts");
        assert!(!output.status.success(), "{failpoint}");
    }
    let run = twins.hypercopy(&arguments);
    assert_eq!(run.code, 0, "{}", run.stderr);
    twins.assert_same();
    assert_eq!(twins.indexes(), "CREATE INDEX by_import_n_idx ON public.by_import USING btree (n DESC)");
    twins.database.assert_nothing_left();
}

#[test]
fn a_table_is_made_of_what_comes_through_a_pipe() {
    let twins = Twins::new("pipe", "");
    let csv = Csv::new(KINDS);
    for (code, said) in [(0, "2 rows"), (0, "already imported")] {
        let mut command =
            twins.command(&["import", "by_import", "-", "--header", "match", "--create-hypertable", "\"Time\""]);
        let file = std::fs::File::open(csv.path()).expect("the file is there");
        let run = Run::of(command.stdin(Stdio::from(file)).output().expect("the program starts"));
        assert_eq!(run.code, code, "{}", run.stderr);
        assert!(run.stdout.contains(said), "{}", run.stdout);
    }
}

/// Its index would have a name that is too long.
#[test]
fn names_may_be_as_long_as_the_server_takes_them() {
    let twins = Twins::new("long", "");
    let (table, column) = (format!("\"T {}\"", "é".repeat(30)), format!("\"c {}\"", "x".repeat(61)));
    let csv = Csv::new("2025-03-01 00:00:00Z,1\n");
    for id in ["1", "2"] {
        let columns = format!("{column},v");
        let name = table.replace('T', id);
        let arguments = ["import", &name, csv.path(), "--columns", &columns, "--create-hypertable", &column];
        let run = twins.hypercopy(&arguments);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let sql = format!("select count(*) from pg_indexes where tablename = '{}'", name.trim_matches('"'));
        assert_eq!(twins.database.value(&sql), "1");
    }
}

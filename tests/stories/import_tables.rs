//! Every kind of table that an import may meet: with rows, keys, triggers and references, of any owner, in any layout, in
//! use by others; and the tables that it refuses, or makes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::{Database, Hold, Role, Run, Server, end, wait_until_held};
use crate::twins::{Csv, Twins, copy};

const BY_DAY: &str = "select create_hypertable('{table}', 'time', chunk_time_interval => interval '1 day')";

/// One record for each minute from the first of March 2025 on.
fn minutes(count: usize, record: impl Fn(usize) -> String) -> Csv {
    let time = |n: usize| format!("2025-03-{:02} {:02}:{:02}:00+00", 1 + n / 1440, n / 60 % 24, n % 60);
    Csv::new((0..count).map(|n| format!("{},{}\n", time(n), record(n))).collect::<String>())
}

#[test]
fn rows_join_others_under_keys_indexes_references_and_triggers() {
    let twins = Twins::new("full", "");
    twins.database.run("create table devices (id int primary key); insert into devices select generate_series(0, 9)");
    twins.database.run("create table log (by text, at timestamptz, event text)");
    twins.database.run(
        "create function censor() returns trigger language plpgsql as $$ begin
             if new.value = 13 then return null; end if;
             new.note := upper(new.note) || tg_level; new.value := new.value + 1;
             return new;
         end $$;
         create function note() returns trigger language plpgsql as $$ begin
             insert into log select tg_argv[0], case when tg_level = 'ROW' then new.time end, tg_when || tg_level;
             return null;
         end $$",
    );
    twins.define(&format!(
        "create table {{table}} (time timestamptz not null, device int references devices, value int, note text,
             unique (time, device), check (value < 5000));
         {BY_DAY};
         create index on {{table}} (device, time); create index on {{table}} (upper(note)) where value > 10;
         insert into {{table}} select '2025-03-02'::timestamptz + n * interval '7 s', 9, n, 'there' from generate_series(1, 100) n;
         create trigger censor before insert on {{table}} for each row execute function censor();
         create trigger noted after insert on {{table}} for each row execute function note('{{table}}');
         create trigger all_noted after insert on {{table}} for each statement execute function note('{{table}}')"
    ));
    let csv = minutes(4000, |n| format!("{},{},note {n}", n % 9, n % 100));
    let rows = twins.copy(&csv, "");
    let report = twins.import(&csv, &["-j", "4", "--block-size", "16kB"]);
    twins.assert_same();
    assert_eq!((rows, &report["rows"], &report["suppressed"]), (3960, &3960.into(), &40.into()));
    let events = |table: &str| {
        twins.database.query(&format!(
            "select at, count(*) from log where by = '{table}' and event = 'AFTERROW' group by 1 order by 1"
        ))
    };
    assert_eq!(events("by_server"), events("by_import"));
    let told = twins.hypercopy(&["import", "by_import", csv.path(), "--import-id", "again", "--max-rejects", "100%"]);
    assert!(
        told.stdout.contains("40 rows were taken away by triggers")
            && told.stdout.contains("3,960 records were rejected"),
        "{}{}",
        told.stdout,
        told.stderr
    );
    twins.assert_same();
    assert_eq!(twins.database.value("select count(*) from pg_indexes where tablename = 'by_import'"), "4");
}

#[test]
fn a_reference_into_the_table_stays_and_holds() {
    let twins = Twins::new("referenced", "");
    twins.define(&format!(
        "create table {{table}} (time timestamptz primary key, value int); {BY_DAY};
         create table of_{{table}} (time timestamptz references {{table}})"
    ));
    let csv = minutes(3000, |n| n.to_string());
    twins.copy(&csv, "");
    twins.import(&csv, &["-j", "4", "--block-size", "8kB"]);
    twins.assert_same();
    twins.database.run("insert into of_by_import select time from by_import where value < 5");
    assert!(twins.database.try_query("delete from by_import").is_err());
    let run = twins.try_import(&csv, &["--truncate"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("public.of_by_import refers to it by a foreign key"), "{}", run.stderr);
}

#[test]
fn columns_that_the_file_does_not_give_are_filled_by_the_server() {
    let twins = Twins::new("columns", "");
    twins.define(
        "create table \"{table}\" (gone int, time timestamptz not null, value float8, also_gone text,
             twice float8 generated always as (value * 2) stored, id bigint generated always as identity,
             serial bigserial, tag text not null default 'some' || 'thing', at timestamptz default '2020-01-01', last text);
         select create_hypertable('\"{table}\"', 'time', chunk_time_interval => interval '1 day');
         insert into \"{table}\" (time, value) values ('2025-03-01', 0);
         alter table \"{table}\" drop column gone; alter table \"{table}\" drop column also_gone;
         insert into \"{table}\" (time, value) values ('2025-03-02', 0);
         alter table \"{table}\" drop column last; alter table \"{table}\" add column later int default 7",
    );
    let columns = "time,value,later";
    let csv = minutes(4000, |n| format!("{n}.5,{}", n % 3));
    twins.copy(&csv, "(time, value, later)");
    twins.import(&csv, &["--columns", columns, "-j", "3", "--block-size", "16kB"]);
    let shown = "(select time, value, twice, tag, at, later from {table})";
    let multiset = |table: &str| twins.database.multiset(&shown.replace("{table}", table));
    assert_eq!(multiset("by_server"), multiset("by_import"));
    let drawn = "select count(distinct id) || ' ' || max(id) || ' ' || count(distinct serial) || ' ' || max(serial) from by_import";
    assert_eq!(twins.database.value(drawn), "4002 4002 4002 4002");
    // Without --columns the file gives all columns but the generated one; values of identities are the file's.
    let all = Csv::new("2025-03-01,1,100077,88,tag,,5\n2025-04-01,,100079,89,tag,2021-01-01,\n");
    twins.copy(&all, "");
    twins.import(&all, &[]);
    let shown = "(select * from {table} where id > 100000)";
    assert_eq!(multiset_of(&twins.database, shown, "by_server"), multiset_of(&twins.database, shown, "by_import"));
    let run = twins.try_import(&all, &["--columns", "time,value,twice,id,serial,tag,at"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("column twice is generated"), "{}", run.stderr);
}

fn multiset_of(database: &Database, query: &str, table: &str) -> String {
    database.multiset(&query.replace("{table}", table))
}

#[test]
fn names_may_be_hostile() {
    let twins = Twins::new("names", "");
    let (schema, table) = ("s\"; drop table x; -- %s", "T\n'a', $1 {0} häß \"q\" 🦀");
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let columns = ["Time, \"x\"\n", "%d 'v' \\", "line 7, column a: b", "position in file", "ordinary"];
    let name = format!("{}.{}", quoted(schema), quoted(table));
    let quoted_columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
    twins.database.run(&format!(
        "create schema {}; create table {name} ({} timestamptz not null, {} int, {} int, {} text, {} int)",
        quoted(schema),
        quoted_columns[0],
        quoted_columns[1],
        quoted_columns[2],
        quoted_columns[3],
        quoted_columns[4]
    ));
    let literal = |text: &str| text.replace('\'', "''");
    twins.database.run(&format!("select create_hypertable('{}', '{}', chunk_time_interval => interval '1 day'); create unique index on {name} ({}, {})",
        literal(&name), literal(columns[0]), quoted_columns[0], quoted_columns[1]));
    let csv = minutes(3000, |n| if n == 7 { format!("{n},bad,,") } else { format!("{n},{n},a,{n}") });
    let rejects = csv.rejects();
    for conflict in ["error", "skip", "update"] {
        let arguments = [
            "import",
            &name,
            csv.path(),
            "--json",
            "-j",
            "2",
            "--block-size",
            "8kB",
            "--max-rejects",
            "1",
            "--rejects",
            &rejects,
            "--on-conflict",
            conflict,
            "--import-id",
            conflict,
        ];
        let run = twins.hypercopy(&arguments);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(run.json()["rejected"], 1);
        let reasons = std::fs::read_to_string(format!("{rejects}.json")).unwrap();
        let reason: serde_json::Value = serde_json::from_str(reasons.trim()).unwrap();
        assert_eq!((&reason["line"], &reason["column"]), (&8.into(), &columns[2].into()));
        assert_eq!(twins.database.value(&format!("select count(*) from {name}")), "2999");
    }
    let header = quoted_columns.join(",");
    let text = [header.as_bytes(), b"\n2025-05-01,1,2,3,4\n"].concat();
    let run = twins.hypercopy(&["import", &name, Csv::new(text).path(), "--header", "match"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn insert_on_the_columns_and_a_ledger_are_all_that_a_role_needs() {
    let role = Role::create(Server::Trixie, "importer");
    let mut twins = Twins::new("grants", "");
    twins.define(&format!(
        "create table {{table}} (time timestamptz not null, device int, secret text default 'x'); {BY_DAY}"
    ));
    let grant = |what: &str| twins.database.run(&format!("grant {what} to {}", role.name));
    let conninfo = role.conninfo(&twins.database);
    let csv = minutes(3000, |n| n.to_string());
    let arguments = ["import", "by_import", csv.path(), "--columns", "time,device", "-j", "3", "--block-size", "8kB"];
    let refused = |text: &str| {
        let run = Run::of(twins.command(&arguments).env("HYPERCOPY_TARGET", &conninfo).output().unwrap());
        assert_eq!(run.code, 3, "{}", run.stderr);
        assert!(run.stderr.contains(text) && run.stderr.contains("hint: "), "{}", run.stderr);
    };
    let database = twins.database.value("select quote_ident(current_database())");
    refused("may not write the ledger");
    grant(&format!("create on database {database}"));
    refused("INSERT is missing on time, device");
    grant("insert (time) on by_import");
    refused("INSERT is missing on device");
    grant("insert (device) on by_import");
    twins.database.run("alter table by_import enable row level security");
    refused("row-level security is active on public.by_import");
    twins.database.run("alter table by_import disable row level security");
    twins.copy(&csv, "(time, device)");
    twins.conninfo = conninfo.clone();
    let run = twins.hypercopy(&arguments);
    assert_eq!(run.code, 0, "{}", run.stderr);
    twins.assert_same();
    twins.database.run(&format!("drop schema _hypercopy cascade; drop owned by {}", role.name));
}

/// A definition by its columns and the calls that make a hypertable of it, and what the file gives for a number.
type Shape = (&'static str, &'static str, &'static str, fn(usize) -> String);

const SHAPES: &[Shape] = &[
    ("hash_int", "time timestamptz not null, d int", "select create_hypertable('{table}', 'time', 'd', 4, chunk_time_interval => interval '1 day')",
        |n| format!("{},{}", minute(n), n % 50)),
    ("hash_text_and_uuid", "time timestamptz not null, d text, u uuid, v int",
        "select create_hypertable('{table}', 'time', 'd', 3, chunk_time_interval => interval '1 day'); select add_dimension('{table}', 'u', number_partitions => 2)",
        |n| format!("{},{},a0eebc99-9c0b-4ef8-bb6d-6bb9bd38{:04x},{n}", minute(n), if n % 11 == 0 { String::new() } else { format!("dév {}", n % 50) }, n % 77)),
    ("two_times", "time timestamptz not null, seen timestamp not null, v int",
        "select create_hypertable('{table}', 'time', chunk_time_interval => interval '1 day'); select add_dimension('{table}', 'seen', chunk_time_interval => interval '12 hours')",
        |n| format!("{},2025-04-0{} {:02}:00:00,{n}", minute(n), 1 + n % 3, n % 24)),
    ("three_dimensions", "n bigint not null, at int not null, d numeric, v int",
        "select create_hypertable('{table}', 'n', chunk_time_interval => 500); select add_dimension('{table}', 'at', chunk_time_interval => 7); select add_dimension('{table}', 'd', number_partitions => 2)",
        |n| format!("{},{},{}.50,{n}", n as i64 - 1000, n % 20, n % 9)),
    ("smallint", "t smallint not null, v int", "select create_hypertable('{table}', 't', chunk_time_interval => 100)",
        |n| format!("{},{n}", n as i64 * 21 - 32768)),
    ("bigint", "t bigint not null, v int", "select create_hypertable('{table}', 't', chunk_time_interval => 1000000000000000000)",
        |n| format!("{},{n}", i128::from(i64::MIN) + (n as i128) * 6_000_000_000_000_000)),
    ("date", "t date not null, v int", "select create_hypertable('{table}', 't', chunk_time_interval => interval '7 days')",
        |n| format!("20{:02}-0{}-{:02},{n}", n % 30, 1 + n % 9, 1 + n % 28)),
    ("timestamp", "t timestamp not null, v int", "select create_hypertable('{table}', 't', chunk_time_interval => interval '6 hours')",
        |n| format!("{},{n}", minute(n).trim_end_matches("+00"))),
    ("time_function", "t jsonb not null, v int",
        "select create_hypertable('{table}', 't', chunk_time_interval => interval '1 day', time_partitioning_func => 'time_of')",
        |n| format!("\"{{\"\"t\"\": \"\"{}\"\"}}\",{n}", minute(n))),
    ("hash_function", "time timestamptz not null, d text",
        "select create_hypertable('{table}', 'time', 'd', 3, chunk_time_interval => interval '1 day', partitioning_func => 'part_of')",
        |n| format!("{},{}", minute(n), n % 50)),
    ("changed_interval", "time timestamptz not null, v int",
        "select create_hypertable('{table}', 'time', chunk_time_interval => interval '1 day');
         insert into {table} values ('2025-03-02 12:00+00', -1);
         select set_chunk_time_interval('{table}', interval '5 hours'); insert into {table} values ('2025-03-01 02:00+00', -2);
         select set_chunk_time_interval('{table}', interval '7 days')",
        |n| format!("{},{n}", minute(n))),
    ("changed_partitions", "time timestamptz not null, d int",
        "select create_hypertable('{table}', 'time', 'd', 2, chunk_time_interval => interval '1 day');
         insert into {table} select '2025-03-02 12:00+00', n from generate_series(1, 9) n;
         select set_number_partitions('{table}', 5)",
        |n| format!("{},{}", minute(n), n % 50)),
    ("not_given", "v int, d int default 3, time timestamptz not null default '2025-03-05'",
        "select create_hypertable('{table}', 'time', 'd', 2, chunk_time_interval => interval '1 day')", |n| n.to_string()),
];

pub fn minute(n: usize) -> String {
    format!("2025-03-{:02} {:02}:{:02}:00+00", 1 + n / 1440, n / 60 % 24, n % 60)
}

#[test]
fn every_layout_gets_the_rows_that_copy_would_give_it() {
    for (name, columns, calls, record) in SHAPES {
        let twins = Twins::new(name, "");
        twins.database.run(
            "create domain moment as timestamptz check (value > '2000-01-01');
             create function time_of(jsonb) returns timestamptz language sql immutable as 'select ($1->>''t'')::timestamptz';
             create function part_of(anyelement) returns int language plpgsql immutable as 'begin return length($1::text) * 1000000000; end'",
        );
        twins.define(&format!("create table {{table}} ({columns}); {calls}"));
        // Scattered over all chunks: neighbours in the file are far from each other.
        let csv = Csv::new((0..3000).map(|n| format!("{}\n", record(n * 7919 % 3000))).collect::<String>());
        let columns = if *name == "not_given" { "v" } else { "" };
        let given: &[&str] = if columns.is_empty() { &[] } else { &["--columns", "v"] };
        twins.copy(&csv, &if columns.is_empty() { String::new() } else { format!("({columns})") });
        eprintln!("{name}");
        twins.import(&csv, &[&["-j", "3", "--block-size", "16kB"], given].concat());
        twins.assert_same();
        let chunks = |table: &str| twins.database.value(&format!("select count(*) from show_chunks('{table}')"));
        assert_eq!(chunks("by_server"), chunks("by_import"), "{name}");
    }
}

#[test]
fn times_that_have_no_place_are_bad_records() {
    let twins = Twins::new("no_place", &format!("create table {{table}} (time timestamptz, v int); {BY_DAY}"));
    let records: Vec<Vec<u8>> = [
        "2025-03-01 00:00:00Z,1",
        ",2",
        "-infinity,3",
        "infinity,4",
        "294277-01-01,5",
        "4713-01-01 BC,6",
        "2025-03-02 00:00:00Z,7",
    ]
    .iter()
    .map(|record| format!("{record}\n").into_bytes())
    .collect();
    let verdict = twins.copy_each(&records, "");
    let csv = Csv::new(records.concat());
    for (jobs, bytes) in [("1", "1"), ("4", "1MiB")] {
        twins.database.run("truncate by_import");
        twins.import(
            &csv,
            &[
                "-j",
                jobs,
                "--block-size",
                bytes,
                "--max-rejects",
                "9",
                "--rejects",
                &csv.rejects(),
                "--import-id",
                bytes,
            ],
        );
        twins.assert_same();
        assert_eq!(csv.read_rejects(), verdict.refused);
    }
}

#[test]
fn two_thousand_chunks_are_filled_in_one_go() {
    let twins = Twins::new(
        "chunks",
        "create table {table} (t bigint not null, v int); select create_hypertable('{table}', 't', chunk_time_interval => 10)",
    );
    twins.database.run("insert into by_import select n * 10, -1 from generate_series(0, 999) n; insert into by_server select * from by_import");
    let csv = Csv::new((0..20_000).map(|n| format!("{},{n}\n", n * 7919 % 20_000)).collect::<String>());
    twins.copy(&csv, "");
    twins.import(&csv, &["-j", "2"]);
    twins.assert_same();
    assert_eq!(twins.database.value("select count(*) from show_chunks('by_import')"), "2000");
}

/// A row that only makes a chunk is none: no sequence, no trigger and no constraint hears of it.
#[test]
fn making_chunks_of_a_table_of_others_leaves_no_trace() {
    let twins = Twins::new(
        "traceless",
        &format!(
            "create table {{table}} (time timestamptz not null, v int not null check (v >= 0), id serial); {BY_DAY};
             create table log_{{table}} (time timestamptz);
             create function note_{{table}}() returns trigger language plpgsql as
                 'begin insert into log_{{table}} values (new.time); return new; end';
             create trigger note before insert on {{table}} for each row execute function note_{{table}}()"
        ),
    );
    let csv = minutes(20_000, |n| n.to_string());
    twins.import(&csv, &["--columns", "time,v", "-j", "3", "--block-size", "32kB"]);
    let [rows, chunks, noted, last] = [
        "select count(*) from by_import",
        "select count(*) from show_chunks('by_import')",
        "select count(*) from log_by_import",
        "select last_value from by_import_id_seq",
    ]
    .map(|sql| twins.database.value(sql));
    assert_eq!((rows.as_str(), chunks.as_str(), noted.as_str(), last.as_str()), ("20000", "14", "20000", "20000"));
}

#[test]
fn a_trigger_for_statements_fires_once_for_each_block() {
    let twins = Twins::new(
        "statements",
        &format!(
            "create table {{table}} (time timestamptz not null, v int); {BY_DAY};
             create table log_{{table}} (at timestamptz);
             create function note_{{table}}() returns trigger language plpgsql as
                 'begin insert into log_{{table}} values (now()); return null; end';
             create trigger note after insert on {{table}} for each statement execute function note_{{table}}()"
        ),
    );
    let csv = minutes(5000, |n| n.to_string());
    let report = twins.import(&csv, &["-j", "2", "--block-size", "32kB"]);
    assert_eq!(report["binary_blocks"].to_string(), twins.database.value("select count(*) from log_by_import"));
    assert_eq!(twins.database.value("select count(*) from show_chunks('by_import')"), "4");
}

#[test]
fn rows_ordered_by_device_go_into_chunks_that_are_made_before_them() {
    let twins =
        Twins::new("by_device", "create table {table} (device bigint, time timestamptz not null, v double precision)");
    twins.database.run("drop table by_import; select create_hypertable('by_server', 'time', chunk_time_interval => interval '12 hours')");
    let record = |n: usize| {
        let (device, half_day) = (n / 240, n % 240);
        format!(
            "{device},2025-{:02}-{:02}T{:02}:30:00Z,{}.25\n",
            1 + half_day / 56,
            1 + half_day / 2 % 28,
            half_day % 2 * 12,
            n
        )
    };
    let csv = Csv::new((0..24_000).map(record).collect::<String>());
    twins.copy(&csv, "");
    let arguments = [
        "--create-hypertable",
        "time",
        "--columns",
        "device,time,v",
        "--chunk-interval",
        "12 hours",
        "-j",
        "2",
        "--block-size",
        "256kB",
    ];
    let report = twins.import(&csv, &arguments);
    twins.assert_same();
    assert_eq!(report["text_blocks"], 0);
    assert_eq!(twins.database.value("select count(*) from show_chunks('by_import')"), "240");
}

#[test]
fn what_is_no_hypertable_is_refused_with_a_word_about_what_to_do() {
    let twins = Twins::new("refused", "");
    twins.database.run("create table plain (v int); create view view as select 1 as v; create table parts (v int) partition by range (v)");
    let csv = Csv::new("1\n");
    let refused = |conninfo: &str, table: &str, text: &str| {
        let run =
            Run::of(twins.command(&["import", table, csv.path()]).env("HYPERCOPY_TARGET", conninfo).output().unwrap());
        assert_eq!(run.code, 3, "{}", run.stderr);
        assert!(run.stderr.contains(text) && run.stderr.contains("hint: "), "{}", run.stderr);
    };
    for (table, text) in [
        ("plain", "is a plain table, not a hypertable"),
        ("view", "is a view"),
        ("parts", "is a partitioned table"),
        ("missing", "--create-hypertable TIME_COLUMN makes it"),
        ("no_schema.missing", "there is no table"),
    ] {
        refused(&twins.conninfo, table, text);
    }
    let without = Database::without_timescaledb(Server::Trixie, "none").unwrap();
    refused(&without.conninfo, "plain", "has no TimescaleDB in this database");
    assert_eq!(twins.database.value("select count(*) from pg_namespace where nspname = '_hypercopy'"), "0");
}

/// Others who write while an import runs, until it has ended.
pub fn live(twins: &Twins, arguments: &[&str]) {
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3)
        .map(|writer: usize| {
            let (session, stop) = (twins.database.session(), Arc::clone(&stop));
            twins.database.spawn(async move {
                let mut written = 0;
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) || n < 40 {
                    n += 1;
                    let (time, key) = (minute(n * 997 % 28_000), 100_000 * (writer + 1) + n);
                    let row = format!("'{time}', {key}, {}", n % 10);
                    if writer == 0 {
                        let rows: String =
                            (0..20).map(|m| format!("{},{key},{}\n", minute((n * 20 + m) % 28_000), m % 10)).collect();
                        written += copy(&session, "copy by_import from stdin csv", rows.into_bytes()).await?;
                    } else if writer == 1 {
                        session.batch_execute(&format!("insert into by_import values ({row})")).await?;
                        written += 1;
                    } else {
                        let device = format!("insert into devices values ({key})");
                        session.batch_execute(&device).await?;
                        let transaction = format!(
                            "begin; insert into by_import values ('{time}', {key}, {key}), ('{}', {key}, 1);
                             insert into devices values (-{key}); commit",
                            minute((n * 31 + 14_000) % 28_000)
                        );
                        session.batch_execute(&transaction).await?;
                        written += 2;
                    }
                }
                Ok::<u64, tokio_postgres::Error>(written)
            })
        })
        .collect();
    let csv =
        Csv::new((0..28_000).map(|n| format!("{},{n},{}\n", minute(n * 7919 % 28_000), n % 10)).collect::<String>());
    let run = end(twins.spawn(&csv, &[&["-j", "4", "--block-size", "16kB"], arguments].concat()));
    stop.store(true, Ordering::Relaxed);
    let written: Vec<u64> = writers
        .into_iter()
        .map(|writer| twins.database.wait(writer).unwrap().expect("the application is not disturbed"))
        .collect();
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.json()["rows"], 28_000);
    let theirs: u64 = written.iter().sum();
    assert_eq!(twins.database.value("select count(*) from by_import"), (28_010 + theirs).to_string(), "{written:?}");
    assert_eq!(twins.database.value("select count(*) from by_import where key between 0 and 99999"), "28000");
    twins.database.assert_nothing_left();
}

pub const LIVE: &str = "
    create table if not exists devices (id int primary key);
    insert into devices select generate_series(0, 9) on conflict do nothing;
    create table {table} (time timestamptz not null, key int not null, device int references devices, primary key (time, key));
    select create_hypertable('{table}', 'time', chunk_time_interval => interval '6 hours');
    insert into {table} select '2025-03-01'::timestamptz + n * interval '1 day', -n, 1 from generate_series(1, 10) n";

#[test]
fn a_table_that_others_write_gets_all_rows_of_everybody() {
    live(&Twins::new("live", LIVE), &[]);
}

/// Whoever makes a chunk of a table with references waits for the table referred to, while others wait for whoever makes a
/// chunk. The application would look for a deadlock long before the import.
#[test]
fn an_application_in_the_middle_of_a_transaction_is_not_chosen_as_the_victim_of_a_deadlock() {
    let twins = Twins::new("victim", LIVE);
    let database = twins.database.value("select quote_ident(current_database())");
    twins.database.run(&format!("alter database {database} set deadlock_timeout = '100s'"));
    let application = Hold::new(&twins.database, "set deadlock_timeout = '3s'; begin; insert into devices values (77)");
    let csv = Csv::new((0..2000).map(|n| format!("{},{n},{}\n", minute(20_000 + n), n % 10)).collect::<String>());
    let child = twins.spawn(&csv, &["-j", "2", "--block-size", "16kB"]);
    wait_until_held(&twins.database, 1);
    application.run("insert into by_import values ('2026-01-01', 1000000, 77); commit");
    let run = end(child);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(twins.database.value("select count(*) from by_import where device = 77 or key >= 0"), "2001");
}

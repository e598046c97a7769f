//! Dimensions of functions and of uuids: everything that can be asked of a table is asked of them, too.

use std::process::Stdio;

use hypercopy::pgcopy::TimeType;

use crate::archives::Archive;
use crate::dimensions::{known, source_session};
use crate::harness::{Database, Server, Story};
use crate::imports::kill_at;
use crate::rechunks::Rechunk;
use crate::zoo::not_carried;

/// A function, on both sides.
const MOMENT: &str = "
    create function moment(document jsonb) returns timestamptz language sql immutable
        as $$ select timezone('UTC', (document ->> 'at')::timestamp) $$;";

/// A table that is divided by what that makes of a document.
fn documents(table: &str) -> String {
    format!(
        "create table {table} (document jsonb not null, n int);
         select create_hypertable('{table}', 'document', chunk_time_interval => interval '5 days', time_partitioning_func => 'moment');
         insert into {table} select jsonb_build_object('at', '2025-01-01'::timestamp + n * interval '7 hours', 'n', n), n
         from generate_series(0, 199) n;
         insert into {table} values ('{{\"at\": \"infinity\"}}', 1000)"
    )
}

/// Rows of a table, as a list of numbers.
fn numbers(database: &Database, table: &str) -> String {
    database.value(&format!("select coalesce(string_agg(n::text, ',' order by n), '') from {table}"))
}

fn list(numbers: impl IntoIterator<Item = u32>) -> String {
    numbers.into_iter().map(|number| number.to_string()).collect::<Vec<_>>().join(",")
}

#[test]
fn what_a_function_makes_of_a_column_is_asked_for_by_range_laid_anew_and_appended() {
    let story = Story::new("kinds_ranges");
    story.source.run(&format!("{MOMENT} {}", documents("t")));
    story.assert_refused(&["t"], "function public.moment(pg_catalog.jsonb) is missing on the target");
    story.target.run(MOMENT);
    let range = ["--from", "2025-01-11 00:00+00", "--until", "2025-01-21 12:00+00"];
    let report = story.migrate("t", &[&range[..], &["--verify", "checksum", "-j", "2"]].concat());
    assert_eq!(numbers(&story.target, "t"), list(35..=70));
    assert_eq!(report["plan"]["range"], "[2025-01-11 00:00:00+00, 2025-01-21 12:00:00+00)");
    assert_eq!(report["target_chunks"], 3, "ends of the range lie inside of two of them");
    assert_eq!(report["plan"]["target_layout"], "public.moment(document) 5 days");
    assert!(report["plan"]["warnings"].to_string().contains("public.moment(document)"), "{report}");

    // The rest is appended: before, and behind with the infinity; what is there is refused.
    story.assert_refused(
        &["t", "--if-exists", "append", "--from", "2025-01-20"],
        "holds rows in [2025-01-20 00:00:00+00",
    );
    story.migrate("t", &["--if-exists", "append", "--until", "2025-01-11 00:00+00"]);
    story.migrate("t", &["--if-exists", "append", "--from", "2025-01-21 12:00+00"]);
    assert_eq!(story.target.multiset("t"), story.source.multiset("t"));

    // Finer and coarser, by several workers.
    let report = story.migrate("t", &["--as", "fine", "--chunk-interval", "1 day", "--verify", "checksum", "-j", "3"]);
    assert_eq!(report["target_chunks"], report["plan"]["new_chunks"]);
    story.migrate("t", &["--as", "coarse", "--chunk-interval", "30 days", "--verify", "checksum"]);

    // A table that is divided by the column's own values, or by what another function makes of them, is another table.
    story.target.run(
        "create function moment_too(document jsonb) returns timestamptz language sql immutable as 'select public.moment(document)';
         create table other (document jsonb not null, n int);
         select create_hypertable('other', 'document', chunk_time_interval => interval '1 day', time_partitioning_func => 'moment_too')",
    );
    story.assert_refused(
        &["t", "--as", "other", "--if-exists", "append"],
        "is partitioned by public.moment_too(document) on the target, and by public.moment(document) on the source",
    );
    let run = story.hypercopy(&["inspect", "--source", &story.source.conninfo]);
    assert!(run.stdout.contains("public.moment(document) 5 days"), "{}", run.stdout);
}

#[test]
fn a_run_over_a_function_that_is_killed_goes_on_and_what_differs_is_repaired() {
    let story = Story::new("kinds_killed");
    story.source.run(&format!("{MOMENT} {}", documents("t")));
    story.target.run(MOMENT);
    for failpoint in ["before-commit", "after-commit", "before-settle"] {
        kill_at(story.command(&["migrate", "t", "-q", "-j", "1"]), failpoint);
        // What was copied has changed meanwhile.
        story.source.run(&format!("update t set n = n + 1000000 where n % 100 = 1 and '{failpoint}' <> ''"));
        story.migrate("t", &["--verify", "checksum"]);
        story.target.run("drop table t; delete from _hypercopy.job");
    }
    story.migrate("t", &[]);
    story.target.run(
        "delete from t where n = 50; insert into t values ('{\"at\": \"2025-02-01 01:00\"}', 7), ('{\"at\": \"2031-01-01\"}', 8)",
    );
    let run = story.hypercopy(&["verify", "t", "--json"]);
    assert_eq!(run.code, 7, "{}", run.stderr);
    let run = story.hypercopy(&["verify", "t", "--repair"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(story.target.multiset("t"), story.source.multiset("t"));

    // A function that makes something else of the same document is named; the rows lie where it says.
    story.target.run("drop table t; delete from _hypercopy.job");
    let later = MOMENT.replace("create function", "create or replace function");
    story.target.run(&later.replace("::timestamp)", "::timestamp + interval '40 days')"));
    let report = story.migrate("t", &[]);
    assert!(not_carried(&report).iter().any(|line| line.contains("public.moment(")), "{report}");
    assert_eq!(story.target.value("select min(public.moment(document))::date from t"), "2025-02-10");
}

#[test]
fn an_archive_of_a_table_divided_by_a_function_comes_back() {
    let story = Story::new("kinds_archived");
    story.source.run(&format!("{MOMENT} {}", documents("t")));
    story.target.run(MOMENT);
    for format in ["binary", "csv"] {
        let archive = Archive::of(&story.source, "t", "kinds_archived", &["--format", format]);
        let check = story.hypercopy(&["archive", "check", &archive.path()]);
        assert_eq!(check.code, 0, "{}", check.stderr);
        for (name, layout) in
            [("t", &[][..]), ("fine", &["--chunk-interval", "1 day"]), ("hashed", &["--hash-partitions", "n:2"])]
        {
            archive.restored(&story.target, &[&["--as", name, "--verify", "checksum", "-j", "2"], layout].concat());
            assert_eq!(story.target.multiset(name), story.source.multiset("t"), "{format} {name}");
        }
        assert_eq!(
            story.target.value("select count(*) from show_chunks('t')"),
            story.source.value("select count(*) from show_chunks('t')")
        );
        // Only a server can tell which rows of a segment lie in a part of it.
        archive.assert_refused(
            &story.target,
            &["--as", "part", "--until", "2025-01-03"],
            3,
            "by public.moment(document)",
        );
        story.target.run("drop table t; drop table fine; drop table hashed; delete from _hypercopy.job");
    }
    let archive =
        Archive::of(&story.source, "t", "kinds_range", &["--from", "2025-01-11", "--until", "2025-01-21 12:00"]);
    archive.restored(&story.target, &["--verify", "checksum"]);
    assert_eq!(numbers(&story.target, "t"), list(35..=70));
    // One that was killed goes on.
    let archive = Archive::of(&story.source, "t", "kinds_killed", &[]);
    story.target.run("drop table t; delete from _hypercopy.job");
    kill_at(archive.command(&story.target, &["-q"]), "before-settle");
    archive.restored(&story.target, &["--verify", "checksum"]);
    assert_eq!(story.target.multiset("t"), story.source.multiset("t"));
}

#[test]
fn tables_divided_by_functions_and_uuids_are_rechunked() {
    let functions = Rechunk::new("kinds_rechunk", &format!("{MOMENT} {}", documents("metrics")));
    assert_follows(
        &functions,
        "insert into metrics values ('{\"at\": \"2025-03-30\"}', 1), ('{\"at\": \"2025-01-02 01:00\"}', 2)",
    );
    functions.done(&["--undo"]);

    let Some(uuids) = Rechunk::on(Server::Sid, "kinds_rechunk_uuids", &uuids("metrics")) else { return };
    assert_follows(
        &uuids,
        "insert into metrics values (to_uuidv7('2025-03-30'), 1), (to_uuidv7('2025-01-02 01:00'), 2)",
    );
    uuids.done(&["--undo"]);
    uuids.done(&["--target-chunk-size", "1MB"]);
}

/// Chunks of a day instead of five; what happens behind the copy is brought after it.
#[track_caller]
fn assert_follows(rechunk: &Rechunk, insert: &str) {
    let database = &rechunk.database;
    rechunk.done(&["--chunk-interval", "1 day", "--no-swap"]);
    database.run(&format!("{insert}; delete from metrics where n = 7; update metrics set n = -9 where n = 9"));
    let wanted = database.multiset("metrics");
    rechunk.done(&["--swap"]);
    assert_eq!(database.multiset("metrics"), wanted);
    assert_eq!(database.value("select count(*) > 55 from show_chunks('metrics')"), "t");
}

/// A table that is divided by uuids of version 7.
fn uuids(table: &str) -> String {
    format!(
        "create table {table} (id uuid not null, n int); select create_hypertable('{table}', by_range('id', interval '5 days'));
         insert into {table} select to_uuidv7('2025-01-01 00:00+00'::timestamptz + n * interval '7 hours'), n from generate_series(0, 199) n"
    )
}

#[test]
fn uuids_are_asked_for_by_time_and_divided_anew() {
    let Some(story) = Story::between(Server::Sid, Server::Sid, "kinds_uuids") else { return };
    story.source.run(&uuids("t"));
    story.source.run("insert into t select to_uuidv7_boundary('2025-01-11 00:00+00'::timestamptz + n * interval '1 millisecond'), 1000 + n from generate_series(-1, 1) n");
    let range = ["--from", "2025-01-11 00:00+00", "--until", "2025-01-21 12:00+00"];
    let report = story.migrate("t", &[&range[..], &["--verify", "checksum"]].concat());
    assert_eq!(numbers(&story.target, "t"), list((35..=70).chain([1000, 1001])));
    assert_eq!(report["plan"]["range"], "[2025-01-11 00:00:00+00, 2025-01-21 12:00:00+00)");
    assert_eq!(report["target_chunks"], report["plan"]["new_chunks"]);
    story.migrate("t", &["--if-exists", "append", "--until", "2025-01-11 00:00+00"]);
    story.migrate("t", &["--if-exists", "append", "--from", "2025-01-21 12:00+00"]);
    assert_eq!(story.target.multiset("t"), story.source.multiset("t"));
    let report =
        story.migrate("t", &["--as", "fine", "--chunk-interval", "6 hours", "--hash-partitions", "n:2", "-j", "3"]);
    assert_eq!(report["target_chunks"], report["plan"]["new_chunks"]);
    story
        .assert_refused(&["t", "--as", "x", "--chunk-interval", "00:00:00.0015"], "not a number of whole milliseconds");

    kill_at(
        story.command(&["migrate", "t", "--as", "killed", "-q", "-j", "1", "--chunk-interval", "1 day"]),
        "before-settle",
    );
    story.migrate("t", &["--as", "killed", "--chunk-interval", "1 day"]);
    story.target.run("delete from killed where n = 50");
    let run = story.hypercopy(&["verify", "t", "--as", "killed", "--json"]);
    assert_eq!(run.code, 7, "{}", run.stderr);
    assert!(run.stdout.contains("2025-01-30 00:00:00+00"), "ranges are told as times: {}", run.stdout);
    assert_eq!(story.hypercopy(&["verify", "t", "--as", "killed", "--repair"]).code, 0);

    let archive = Archive::of(&story.source, "t", "kinds_uuids", &["--format", "csv"]);
    archive.restored(&story.target, &["--as", "late", "--from", "2025-01-21 12:00+00", "--verify", "checksum"]);
    assert_eq!(numbers(&story.target, "late"), list(71..=199));
}

#[test]
fn slices_of_uuids_are_those_that_the_server_makes() {
    let Some(database) = Database::create(Server::Sid, "kinds_slices") else { return };
    let source = source_session(&database);
    for (number, interval) in ["7 days", "1 hour", "36525 days", "1 millisecond"].iter().enumerate() {
        let table = format!("t{number}");
        database.run(&format!(
            "create table {table} (id uuid not null); select create_hypertable('{table}', by_range('id', interval '{interval}'));
             insert into {table} values ('00000000-0000-7000-8000-000000000000'), ('00000000-0001-7fff-bfff-ffffffffffff'),
                 ('01941f29-7c00-7000-8000-000000000000'), ('01941f29-7bff-7fff-bfff-ffffffffffff'), ('ffffffff-ffff-7fff-bfff-ffffffffffff')"
        ));
        let (_, layout, chunks) = known(&database, &source, &table);
        assert_eq!(layout.primary.time_type, TimeType::Uuid);
        for row in
            database.query(&format!("select tableoid, _timescaledb_functions.time_to_internal(id), id from {table}"))
        {
            let [oid, internal, id] = [0, 1, 2].map(|n| row[n].clone().unwrap());
            let internal: i64 = internal.parse().unwrap();
            assert_eq!(TimeType::Uuid.read(id.as_bytes()), Some(internal));
            let chunk = chunks.iter().find(|chunk| chunk.oid.unwrap().to_string() == oid).unwrap();
            assert_eq!(layout.primary.bucket(internal), chunk.primary(), "{id} with interval {interval}");
        }
    }
}

#[test]
fn a_server_that_does_not_divide_by_uuids_is_refused_by_name() {
    let Some(story) = Story::between(Server::Sid, Server::Trixie, "kinds_old") else { return };
    story.source.run(&uuids("t"));
    story.assert_refused(&["t"], "dimension id is a uuid");
    let archive = Archive::of(&story.source, "t", "kinds_old", &[]);
    archive.assert_refused(&story.target, &[], 3, "dimension id is a uuid");
    let mut import = story.command(&["import", "made", "-", "--create-hypertable", "id"]);
    let mut import =
        import.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    std::io::Write::write_all(&mut import.stdin.take().unwrap(), b"id,n\n01941f29-7c00-7000-8000-000000000000,1\n")
        .unwrap();
    assert_eq!(import.wait().expect("it ends").code(), Some(3));
}

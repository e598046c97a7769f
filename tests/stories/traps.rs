//! What silently loses or changes rows, on the servers that Debian has: every trap is set, and nothing is lost.

use tokio_postgres::Client;

use crate::harness::{Role, Run, Server, Story};

/// Two days of rows, an hour apart, in chunks of twelve hours.
const METRICS: &str = "
    create table metrics (time timestamptz not null, device int not null, value double precision, note text);
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '12 hours');
    insert into metrics select '2025-03-01 00:00+00'::timestamptz + n * interval '1 hour', n % 3, n, 'n' || n
    from generate_series(0, 47) n;";

fn metrics(name: &str) -> Story {
    let story = Story::new(name);
    story.source.run(METRICS);
    story
}

/// Sets these in both databases, for every session that begins from now on.
fn set_in_databases(story: &Story, settings: &[(&str, &str)]) {
    for database in [&story.source, &story.target] {
        for (name, value) in settings {
            let sql =
                format!("alter database \"{}\" set {name} = {value}", database.value("select current_database()"));
            database.run(&sql);
        }
    }
}

#[test]
fn settings_that_hide_rows_of_hypertables_hide_none() {
    let story = metrics("hiding");
    for (target, hidden_by) in [
        ("restoring", &[("timescaledb.restoring", "on")][..]),
        ("unloaded", &[("timescaledb.restoring", "off"), ("timescaledb.disable_load", "on")]),
        (
            "optimized",
            &[
                ("timescaledb.disable_load", "off"),
                ("timescaledb.enable_transparent_decompression", "off"),
                ("timescaledb.enable_columnarscan", "off"),
                ("timescaledb.enable_optimizations", "off"),
                ("row_security", "on"),
            ],
        ),
    ] {
        set_in_databases(&story, hidden_by);
        let report = story.migrate("metrics", &["--chunk-interval", "1 day", "--as", target]);
        assert_eq!(report["rows"], 48, "{target}");
        assert_eq!(report["target_chunks"], 2, "{target}");
    }
}

#[test]
fn a_hiding_setting_that_the_role_may_not_undo_is_refused() {
    let role = Role::create(Server::Trixie, "bound");
    let story = metrics("bound");
    story.source.run(&format!("grant select on metrics to {}", role.name));
    set_in_databases(&story, &[("timescaledb.restoring", "on")]);
    let source = role.conninfo(&story.source);
    story.assert_refused(
        &["metrics", "--source", &source],
        "permission denied to set parameter \"timescaledb.restoring\"",
    );
}

#[test]
fn triggers_that_do_not_fire_for_replicas_do_not_leave_the_rows_that_make_chunks() {
    let story = Story::new("replica");
    story.source.run(
        "create table metrics (time timestamptz not null, n int); select create_hypertable('metrics', 'time');
         insert into metrics values ('2025-03-01', 1), ('2025-04-01', 2)",
    );
    set_in_databases(&story, &[("session_replication_role", "replica")]);
    story.migrate("metrics", &["--verify", "none"]);
}

#[test]
fn settings_of_roles_and_databases_change_no_value_and_stop_nothing() {
    let story = Story::new("hostile");
    story.source.run(
        "create table metrics (time timestamptz not null, device \"char\", value double precision, span interval,
             bytes bytea, sums int[], kind regtype, document xml, note text default 'back\\slash ''quoted''',
             constraint sane check (span < interval '100 years' and note <> 'a\\'));
         select create_hypertable('metrics', 'time', chunk_time_interval => interval '12 hours');
         create index \"Odd\" on metrics (device, time desc) where note is not null;
         insert into metrics select '2025-03-01 00:00+00'::timestamptz + n * interval '61 minutes', 'a', n / 7.0,
             n * interval '-1 day 2 hours', '\\x00ff5c', array[n, null], 'int4', '<a/><b/>' from generate_series(0, 47) n",
    );
    set_in_databases(
        &story,
        &[
            ("datestyle", "'German, DMY'"),
            ("intervalstyle", "sql_standard"),
            ("timezone", "'Asia/Kathmandu'"),
            ("extra_float_digits", "-15"),
            ("bytea_output", "escape"),
            ("xmloption", "document"),
            ("quote_all_identifiers", "on"),
            ("standard_conforming_strings", "off"),
            ("array_nulls", "off"),
            ("search_path", "nowhere"),
            ("default_transaction_read_only", "on"),
            ("default_transaction_isolation", "serializable"),
            ("default_transaction_deferrable", "on"),
            ("statement_timeout", "'50ms'"),
            ("lock_timeout", "'10ms'"),
            ("idle_in_transaction_session_timeout", "'50ms'"),
            ("idle_session_timeout", "'50ms'"),
            ("transaction_timeout", "'50ms'"),
            ("synchronous_commit", "off"),
        ],
    );
    let report = story.migrate("public.metrics", &["--chunk-interval", "6 hours", "--verify", "checksum"]);
    assert_eq!((&report["rows"], &report["plan"]["format"]), (&48.into(), &"text".into()));
    let definition = "select pg_get_constraintdef(oid) from pg_constraint where conrelid = 'public.metrics'::regclass and conname = 'sane'";
    assert_eq!(story.source.value(definition), story.target.value(definition));
    let default = "select pg_get_expr(adbin, adrelid) from pg_attrdef where adrelid = 'public.metrics'::regclass";
    assert_eq!(story.source.value(default), story.target.value(default));
}

#[test]
fn rows_in_the_root_table_itself_are_refused() {
    let story = metrics("root_rows");
    let plain = story.source.session();
    story.source.wait(async {
        plain.batch_execute("set timescaledb.disable_load = on").await.unwrap();
        plain.batch_execute("set session_replication_role = replica").await.unwrap();
        plain.batch_execute("insert into metrics values ('2025-03-01', 1, 1, 'unseen')").await.unwrap();
    });
    assert_eq!(story.source.value("select count(*) from metrics"), "48", "TimescaleDB does not show the row");
    story.assert_refused(&["metrics"], "bytes in its own root table, where TimescaleDB shows no rows");
}

#[test]
fn chunks_whose_columns_lie_in_another_order_give_every_value_to_its_column() {
    let story = Story::new("order");
    story.source.run(
        "create table metrics (gone int, a text, time timestamptz not null, b text);
         select create_hypertable('metrics', 'time');
         insert into metrics values (1, 'a1', '2025-01-01', 'b1');
         alter table metrics drop column gone;
         insert into metrics values ('a2', '2025-02-01', 'b2');
         alter table metrics drop column a;
         alter table metrics add column a text;
         insert into metrics values ('2025-03-01', 'b3', 'a3')",
    );
    story.migrate("metrics", &["--verify", "checksum"]);
    story.migrate("metrics", &["--chunk-interval", "365 days", "--as", "coarse"]);
}

#[test]
fn numbers_of_objects_travel_as_their_names() {
    let story = Story::new("regclass");
    story.source.run(
        "create table filler1 (); create table filler2 (); create function f(int) returns int language sql as 'select 1';
         create table metrics (time timestamptz not null, class regclass, kind regtype, called regprocedure, number oid);
         select create_hypertable('metrics', 'time');
         create type mood as enum ('fine');
         insert into metrics values ('2025-03-01', 'metrics', 'mood', 'f(int)', 4711), ('2025-03-02', null, null, null, null)",
    );
    story
        .target
        .run("create type mood as enum ('fine'); create function f(int) returns int language sql as 'select 1'");
    let report = story.migrate("metrics", &["--verify", "checksum"]);
    assert_eq!(report["plan"]["format"], "text");
    let number = "select class::oid from metrics where class is not null";
    assert_ne!(story.source.value(number), story.target.value(number), "the number means another table there");
}

#[test]
fn identity_columns_and_sequences_go_on_where_they_were() {
    let story = Story::new("identity");
    story.source.run(
        "create table metrics (time timestamptz not null, always_ int generated always as identity (start 10 increment 5),
             default_ bigint generated by default as identity, serial_ serial);
         select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
         insert into metrics (time) select '2025-03-01'::timestamptz + n * interval '3 hours' from generate_series(1, 40) n",
    );
    story.migrate("metrics", &["--chunk-interval", "12 hours"]);
    let next =
        "insert into metrics (time) values ('2025-04-01') returning always_ || ' ' || default_ || ' ' || serial_";
    assert_eq!(story.target.value(next), "210 41 41");
    assert_eq!(story.source.value(next), "210 41 41");
}

#[test]
fn infinities_travel_where_a_chunk_can_hold_them() {
    let story = Story::new("infinity");
    for (table, kind) in [("instants", "timestamptz"), ("moments", "timestamp"), ("days", "date")] {
        story.source.run(&format!(
            "create table {table} (time {kind} not null, n int);
             select create_hypertable('{table}', 'time', chunk_time_interval => interval '7 days');
             insert into {table} values ('4714-11-24 BC', 1), ('2025-03-01', 2), ('infinity', 4);
             insert into {table} values ('-infinity', 3)"
        ));
        story.migrate(table, &["--verify", "checksum"]);
        story.migrate(table, &["--chunk-interval", "14 days", "--as", &format!("{table}_14")]);
    }
    story.source.run(
        "create table late (time timestamptz not null, n int); select create_hypertable('late', 'time');
         insert into late values ('infinity', 1), ('2025-03-01', 2), ('294246-12-31', 3)",
    );
    story.migrate("late", &["--chunk-interval", "1 hour"]);
}

#[test]
fn every_bit_of_a_float_arrives() {
    let story = Story::new("nan");
    story.source.run(
        "create table metrics (time timestamptz not null, value double precision);
         select create_hypertable('metrics', 'time');
         insert into metrics select '2025-03-01', value from unnest(array['inf'::float8 - 'inf', 'NaN', '-0', '0', '5e-324', '-inf']) value",
    );
    story.migrate("metrics", &["--verify", "checksum"]);
    let bits = "select string_agg(encode(float8send(value), 'hex'), ' ' order by float8send(value)) from metrics";
    let expected = story.source.value(bits);
    assert!(
        expected.contains("7ff8000000000000") && expected.contains("fff8000000000000"),
        "two kinds of NaN: {expected}"
    );
    assert_eq!(story.target.value(bits), expected);
}

#[test]
fn generated_columns_are_computed_again() {
    let story = Story::new("generated");
    story.source.run(
        "create table metrics (time timestamptz not null, a int, twice int generated always as (a * 2) stored, b text);
         select create_hypertable('metrics', 'time');
         insert into metrics values ('2025-03-01', 1, default, 'x'), ('2025-05-01', null, default, 'y')",
    );
    story.migrate("metrics", &["--verify", "checksum"]);
    assert_eq!(story.target.value("insert into metrics (time, a) values ('2025-06-01', 21) returning twice"), "42");
}

#[test]
fn a_huge_open_slice_is_planned_from_its_rows() {
    let story = Story::new("huge");
    story.source.run(
        "create table metrics (n bigint not null, value int);
         select create_hypertable('metrics', 'n', chunk_time_interval => 9000000000000000000);
         insert into metrics values (-9223372036854775808, 1), (-9100000000000000000, 2), (-1, 3), (0, 4), (9223372036854775807, 5)",
    );
    let report = story.migrate("metrics", &["--chunk-interval", "1000", "--verify", "checksum"]);
    assert_eq!(report["target_chunks"], 5);
    let report = story.migrate("metrics", &["--as", "same"]);
    assert_eq!(report["target_chunks"].to_string(), story.source.value("select count(*) from show_chunks('metrics')"));
}

#[test]
fn without_an_index_on_time_nothing_is_read_twice_or_missed() {
    let story = Story::new("no_index");
    story.source.run(
        "create table metrics (time timestamptz not null, device int);
         select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day', create_default_indexes => false);
         insert into metrics select '2025-03-01'::timestamptz + n * interval '10 minutes', n % 5 from generate_series(0, 999) n",
    );
    let report = story
        .migrate("metrics", &["--chunk-interval", "5 hours", "--hash-partitions", "device:2", "--verify", "checksum"]);
    assert!(
        report["plan"]["warnings"].to_string().contains("no index begins with time"),
        "{}",
        report["plan"]["warnings"]
    );
    story.migrate("metrics", &["--chunk-interval", "3 days", "--as", "coarse"]);
    story.migrate("metrics", &["--as", "part", "--from", "2025-03-02 11:11", "--until", "2025-03-05 00:01"]);
    let part = "select count(*) from metrics where time >= '2025-03-02 11:11Z' and time < '2025-03-05 00:01Z'";
    assert_eq!(story.target.value("select count(*) from part"), story.source.value(part));
}

#[test]
fn slices_of_other_intervals_than_todays_are_taken_as_they_are() {
    let story = Story::new("intervals");
    story.source.run(
        "create table metrics (time timestamptz not null, n int);
         select create_hypertable('metrics', 'time', chunk_time_interval => interval '7 days');
         insert into metrics select '2025-03-01'::timestamptz + n * interval '1 hour', n from generate_series(0, 99) n;
         select set_chunk_time_interval('metrics', interval '5 hours');
         insert into metrics select '2025-03-05 04:00'::timestamptz + n * interval '1 hour', n from generate_series(0, 99) n;
         select set_chunk_time_interval('metrics', interval '3 days');
         insert into metrics select '2025-03-08 08:00'::timestamptz + n * interval '1 hour', n from generate_series(0, 199) n",
    );
    story.migrate("metrics", &["--verify", "checksum"]);
    story.migrate("metrics", &["--chunk-interval", "7 hours", "--as", "finer", "-j", "3"]);
    story.migrate("metrics", &["--chunk-interval", "30 days", "--as", "coarser"]);
}

#[test]
fn tables_without_rows_or_chunks_are_copied_too() {
    let story = Story::new("empty");
    story.source.run(
        "create table never (time timestamptz not null, n int primary key generated always as identity, unique (n, time));
         alter table never drop constraint never_pkey;
         select create_hypertable('never', 'time');
         create table emptied (like never including all); select create_hypertable('emptied', 'time');
         insert into emptied select '2025-03-01'::timestamptz + n * interval '1 day' from generate_series(1, 30) n;
         delete from emptied",
    );
    for table in ["never", "emptied"] {
        let report =
            story.migrate(table, &["--chunk-interval", "1 day", "--hash-partitions", "n:4", "--verify", "checksum"]);
        assert_eq!((&report["rows"], &report["target_chunks"]), (&0.into(), &0.into()), "{table}");
        let indexes = format!("select count(*) from pg_indexes where tablename = '{table}'");
        assert_eq!(story.source.value(&indexes), story.target.value(&indexes));
    }
    let outside = story.migrate("emptied", &["--from", "2030-01-01", "--as", "later"]);
    assert_eq!(outside["rows"], 0);
}

#[test]
fn names_may_hold_anything() {
    let story = Story::new("names");
    let table = format!("{}ä", "Tabelle \"x\" 'y' \\z. %s $1 ; -- ".repeat(2).get(..61).unwrap());
    assert_eq!(table.len(), 63);
    let column = "Zeit \"€\" \\ ' {}";
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let full = format!("\"Sche\"\"ma ö\".{}", quoted(&table));
    story.source.run(&format!(
        "create schema \"Sche\"\"ma ö\";
         create type \"Sche\"\"ma ö\".\"Ty pe\" as enum ('A ''b''', 'ü\\');
         create table {full} ({time} timestamptz not null, \"select\" \"Sche\"\"ma ö\".\"Ty pe\", \"Ö:1\" text,
             \"Nummer 1\" serial, constraint {check} check (\"Ö:1\" <> ''), primary key ({time}, \"Nummer 1\", \"Ö:1\"));
         select create_hypertable('{literal}', '{column_literal}', chunk_time_interval => interval '1 day');
         create index {index} on {full} (\"select\", lower(\"Ö:1\")) where \"Ö:1\" like 'a\\%';
         insert into {full} select '2025-03-01'::timestamptz + n * interval '1 hour', 'ü\\', 'a%''\\' || n from generate_series(0, 99) n",
        time = quoted(column),
        check = quoted(&"Prüfung \"".repeat(6)),
        index = quoted(&format!("{}_idx", &table[..59])),
        literal = full.replace('\'', "''"),
        column_literal = column.replace('\'', "''"),
    ));
    story.migrate(&full, &["--verify", "checksum", "--hash-partitions", "\"Ö:1\":2"]);
    let indexes = "select count(*) from pg_indexes where schemaname = 'Sche\"ma ö'";
    assert_eq!(story.source.value(indexes), story.target.value(indexes));
    // A name of 63 bytes leaves no room for a suffix, and its indexes need names all the same.
    let other = format!("\"An other\".{}", quoted(&"ü".repeat(31)));
    story.migrate(&full, &["--as", &other, "--chunk-interval", "6 hours"]);
    story.migrate(&full, &["--as", "Plain", "--chunk-interval", "6 hours"]);
    assert_eq!(story.target.value("select count(*) from \"Sche\"\"ma ö\".plain"), "100");
}

#[test]
fn names_cannot_write_to_the_terminal() {
    let story = Story::new("escapes");
    let name = "\"evil\u{1b}[2J\u{9b}31m\u{7}\"";
    story.source.run(&format!(
        "create table {name} (time timestamptz not null, {name} int); select create_hypertable('{name}', 'time');
         comment on column {name}.{name} is 'x';
         create trigger {name} after insert on {name} for each row execute function suppress_redundant_updates_trigger()"
    ));
    let is_clean = |text: &str| text.chars().all(|c| c == '\n' || !c.is_control());
    let runs: [&[&str]; 6] = [
        &["inspect"],
        &["inspect", name],
        &["migrate", name, "--dry-run"],
        &["migrate", name, "--strict"],
        &["migrate", name, "-v"],
        &["migrate", name],
    ];
    for arguments in runs {
        let run = story.hypercopy(arguments);
        assert!(run.stdout.contains("evil") || run.stderr.contains("evil"), "{arguments:?}: {}", run.stderr);
        assert!(is_clean(&run.stdout), "{arguments:?}: {:?}", run.stdout);
        assert!(is_clean(&run.stderr), "{arguments:?}: {:?}", run.stderr);
    }
}

#[test]
fn ordinary_roles_with_the_least_privileges_are_enough() {
    let (reader, writer) = (Role::create(Server::Trixie, "reader"), Role::create(Server::OtherTrixie, "writer"));
    let story = Story::new("least");
    story.source.run(&format!(
        "create schema app;
         create table app.metrics (time timestamptz not null, id int generated always as identity, device text, value float8,
             primary key (time, id));
         select create_hypertable('app.metrics', 'time', chunk_time_interval => interval '1 day');
         create index on app.metrics (device);
         insert into app.metrics (time, device) select '2025-03-01'::timestamptz + n * interval '1 hour', n % 3 from generate_series(0, 99) n;
         grant usage on schema app to {0}; grant select on app.metrics to {0}",
        reader.name
    ));
    let database = story.target.value("select current_database()");
    story.target.run(&format!("grant create on database \"{database}\" to {}", writer.name));
    let (source, target) = (reader.conninfo(&story.source), writer.conninfo(&story.target));
    let report = story.migrate(
        "app.metrics",
        &["--source", &source, "--target", &target, "--chunk-interval", "6 hours", "--hash-partitions", "id:2"],
    );
    let not_carried = report["not_carried"].to_string();
    assert!(not_carried.contains("owner") && not_carried.contains("sequence value"), "{not_carried}");
    let owner = "select tableowner from pg_tables where tablename = 'metrics'";
    assert_eq!(story.target.value(owner), writer.name);
    story.target.run(&format!("drop owned by {}", writer.name));
}

/// Whether so many sessions of hypercopy wait for a lock on this relation.
fn waits_for(relation: &str, sessions: usize) -> String {
    format!(
        "select count(*) = {sessions} from pg_locks join pg_stat_activity using (pid)
         where not granted and relation = '{relation}'::regclass and datname = current_database()
             and application_name like 'hypercopy%'"
    )
}

/// The name of a chunk's index on time.
fn time_index(chunk: &str) -> String {
    format!("{}_metrics_time_idx", chunk.trim_start_matches("_timescaledb_internal."))
}

/// The name of the chunk that holds this moment.
fn chunk_of(story: &Story, time: &str) -> String {
    story.source.value(&format!("select tableoid::regclass from metrics where time = '{time}'"))
}

#[test]
fn what_would_take_rows_away_waits_until_the_copy_has_ended_and_new_rows_do_not() {
    let story = metrics("locks");
    let expected = story.source.multiset("metrics");
    story.target.run(
        "create function gate() returns event_trigger language plpgsql as
             'begin perform pg_advisory_xact_lock_shared(4711); end';
         create event trigger gate on ddl_command_start when tag in ('CREATE TABLE') execute function gate();
         select pg_advisory_lock(4711)",
    );
    let child = story.spawn(&["migrate", "metrics", "--chunk-interval", "1 hour", "--json"]);
    story.target.wait_until(
        "hypercopy has its snapshot and begins to write",
        "select exists (select from pg_stat_activity where datname = current_database()
             and application_name like 'hypercopy%' and wait_event_type = 'Lock')",
    );
    let chunk = chunk_of(&story, "2025-03-01");
    for taking in [
        "truncate metrics".to_string(),
        "select drop_chunks('metrics', older_than => timestamptz '2026-01-01')".into(),
        format!("truncate {chunk}"),
        format!("drop table {chunk}"),
        format!("cluster {chunk} using {}", time_index(&chunk)),
        "alter table metrics drop column note".into(),
        "drop table metrics".into(),
    ] {
        let error = story.source.try_query(&format!("set lock_timeout = '1ms'; {taking}")).unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some("55P03"), "{taking}: {error:?}");
    }
    story.source.run(
        "set lock_timeout = '10s'; insert into metrics values ('2025-03-01 00:30Z', 9, 9, 'later'), ('2025-07-01', 9, 9, 'in a new chunk');
         update metrics set note = 'changed' where device = 1; delete from metrics where device = 2",
    );
    story.target.run("select pg_advisory_unlock(4711)");
    let run = Run::of(child.wait_with_output().unwrap());
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(story.target.multiset("metrics"), expected, "the snapshot's rows, all of them and no others");
    story.source.run("truncate metrics");
}

fn exclusive_lock(relation: &str) -> String {
    format!("begin; lock table {relation} in access exclusive mode")
}

/// Lets whoever waits for the relation have it once, and locks it again behind them.
fn hand_over(story: &Story, holder: Client, relation: &str) -> Client {
    let (next, observer) = (story.source.session(), story.source.session());
    let is_queued = format!(
        "select count(*) > 0 from pg_locks where not granted and mode = 'AccessExclusiveLock'
             and relation = '{relation}'::regclass and database = (select oid from pg_database where datname = current_database())"
    );
    story.source.wait(async {
        let release = async {
            while !observer.query_one(&is_queued, &[]).await.unwrap().get::<_, bool>(0) {}
            holder.batch_execute("commit").await.unwrap();
        };
        let lock = exclusive_lock(relation);
        let (locked, ()) = tokio::join!(next.batch_execute(&lock), release);
        locked.unwrap();
    });
    next
}

/// Brings a migration to where it has locked the table it knows and exports its snapshot next, has a chunk born there
/// that its locks do not cover, and runs `change` on it in a transaction that commits behind the export.
#[track_caller]
fn chunk_changes_between_lock_and_export(name: &str, change: &str) {
    let story = metrics(name);
    let last = chunk_of(&story, "2025-03-02 23:00Z");
    let writer = story.source.session();
    let run = |session: &Client, sql: &str| story.source.wait(session.batch_execute(sql)).unwrap();

    let mut holder = story.source.session();
    run(&holder, &exclusive_lock(&last));
    let child = story.spawn(&["migrate", "metrics", "--json", "-j", "2"]);
    let waits = waits_for(&last, 1);
    story.source.wait_until("the look at the chunks waits", &waits);
    // Each lock that the look takes is let through, until the sessions wait where they lock the table.
    let is_locking = waits.replace("= 1", "> 0") + " and query like 'begin isolation%'";
    while story.source.value(&is_locking) != "t" {
        holder = hand_over(&story, holder, &last);
        story.source.wait_until("the next lock is waited for", &waits.replace("= 1", "> 0"));
    }
    story.source.wait_until("all three sessions wait for the table's last chunk", &waits_for(&last, 3));

    run(
        &writer,
        "insert into metrics select '2025-03-05 00:00+00'::timestamptz + n * interval '1 minute', n, n, 'born' from generate_series(0, 99) n",
    );
    let born = chunk_of(&story, "2025-03-05 00:00Z");
    run(&writer, &format!("begin; {}", change.replace("{born}", &born).replace("{index}", &time_index(&born))));
    run(&holder, "commit");
    story.source.wait_until("the chunk that the snapshot shows is waited for", &waits_for(&born, 1));
    run(&writer, "commit");

    let ended = Run::of(child.wait_with_output().unwrap());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(ended.json()["rows"], 148, "the 48 rows and the 100, wherever these are now");
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"));
}

/// Moves the rows of the chunk into one that was there before, in the same transaction: a snapshot from before its
/// commit shows neither the ones nor the others.
const MOVE: &str = "insert into metrics select time - interval '4 days', device, value, 'moved' from {born}";

#[test]
fn a_chunk_truncated_between_lock_and_export_makes_the_protocol_begin_again() {
    chunk_changes_between_lock_and_export("truncated", &format!("{MOVE}; truncate {{born}}"));
}

#[test]
fn a_chunk_dropped_between_lock_and_export_makes_the_protocol_begin_again() {
    chunk_changes_between_lock_and_export(
        "dropped",
        &format!("{MOVE}; select drop_chunks('metrics', newer_than => timestamptz '2025-03-04')"),
    );
}

#[test]
fn a_chunk_rewritten_between_lock_and_export_loses_nothing() {
    chunk_changes_between_lock_and_export("rewritten", "cluster {born} using {index}");
}

#[test]
fn a_lock_that_is_waited_for_is_not_given_up_for_the_roles_timeouts() {
    let story = metrics("patience");
    set_in_databases(
        &story,
        &[("statement_timeout", "'20ms'"), ("lock_timeout", "'20ms'"), ("transaction_timeout", "'20ms'")],
    );
    let holder = story.source.session();
    let chunk = chunk_of(&story, "2025-03-01");
    let lock = format!(
        "set statement_timeout = 0; set transaction_timeout = 0; begin; lock table {chunk} in access exclusive mode"
    );
    story.source.wait(holder.batch_execute(&lock)).unwrap();
    let child = story.spawn(&["migrate", "metrics", "--json"]);
    story.source.wait_until(
        "hypercopy has waited longer than the role's timeouts",
        "select exists (select from pg_stat_activity where datname = current_database() and application_name like 'hypercopy%'
             and wait_event_type = 'Lock' and clock_timestamp() - query_start > '100 ms')",
    );
    story.source.wait(holder.batch_execute("commit")).unwrap();
    let run = Run::of(child.wait_with_output().unwrap());
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"));
}

#[test]
fn names_and_times_on_the_command_line_are_read_as_psql_would() {
    let story = Story::new("as_psql");
    story.source.run(
        "create schema app;
         create table app.metrics (time timestamptz not null, n int); select create_hypertable('app.metrics', 'time');
         insert into app.metrics select '2025-01-30 00:00+00'::timestamptz + n * interval '1 hour', n from generate_series(0, 99) n",
    );
    set_in_databases(
        &story,
        &[("search_path", "app, public"), ("timezone", "'Asia/Kathmandu'"), ("datestyle", "'SQL, DMY'")],
    );
    let report = story.migrate("metrics", &["--from", "01/02/2025 00:00", "--until", "2025-02-02 00:00+00"]);
    assert_eq!(report["target"]["table"], "app.metrics");
    assert_eq!(report["plan"]["range"], "[2025-01-31 18:15:00+00, 2025-02-02 00:00:00+00)");
    let copied = "select min(time) at time zone 'UTC' || ' ' || count(*) from app.metrics";
    assert_eq!(story.target.value(copied), "2025-01-31 19:00:00 29");
}

#[test]
fn virtual_columns_are_computed_again_or_refused() {
    let Some(story) = Story::between(Server::Sid, Server::Sid, "virtual") else { return };
    story.source.run(
        "create table metrics (time timestamptz not null, a int, twice int generated always as (a * 2) virtual, b text);
         select create_hypertable('metrics', 'time');
         insert into metrics values ('2025-03-01', 1, default, 'x'), ('2025-05-01', null, default, 'y')",
    );
    story.migrate("metrics", &["--verify", "checksum"]);
    let kind = "select attgenerated from pg_attribute where attrelid = 'metrics'::regclass and attname = 'twice'";
    assert_eq!(story.target.value(kind), "v");
    let Some(older) = Story::between(Server::Sid, Server::Trixie, "virtual_older") else { return };
    let onto_older = Story { source: story.source, target: older.target };
    onto_older.assert_refused(&["metrics"], "column twice is generated virtually");
}

#[test]
fn settings_that_hide_rows_hide_none_on_the_newest_release_either() {
    let Some(story) = Story::between(Server::Sid, Server::Sid, "hiding_sid") else { return };
    story.source.run(METRICS);
    set_in_databases(
        &story,
        &[
            ("timescaledb.restoring", "on"),
            ("timescaledb.enable_columnarscan", "off"),
            ("timescaledb.enable_optimizations", "off"),
            ("session_replication_role", "replica"),
        ],
    );
    let report = story.migrate("metrics", &["--chunk-interval", "1 day"]);
    assert_eq!((&report["rows"], &report["target_chunks"]), (&48.into(), &2.into()));
}

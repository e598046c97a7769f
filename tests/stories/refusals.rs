//! Bad input: a clear error with a hint, exit 3 (2 where the command line alone shows it), and nothing on the target.

use crate::harness::{Database, Role, Server, Story};

/// A day of rows, an hour apart, in chunks of six hours.
const METRICS: &str = "
    create table metrics (time timestamptz not null, device int not null, value double precision, note text);
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '6 hours');
    insert into metrics select '2025-03-01'::timestamptz + n * interval '1 hour', n % 3, n, 'n' from generate_series(0, 23) n;";

fn metrics(name: &str) -> Story {
    let story = Story::new(name);
    story.source.run(METRICS);
    story
}

#[test]
fn what_is_not_a_hypertable_is_refused() {
    let story = Story::new("no_hypertable");
    story.source.run(
        "create table plain (time timestamptz not null);
         create table parted (time timestamptz not null) partition by range (time);
         create view seen as select * from plain;
         create sequence counted;
         create schema app",
    );
    story.assert_refused(&["nowhere"], "there is no table nowhere");
    story.assert_refused(&["app.nowhere"], "there is no table app.nowhere");
    story.assert_refused(&["no_schema.plain"], "there is no table no_schema.plain");
    story.assert_refused(&["\"Plain\""], "there is no table \"Plain\"");
    story.assert_refused(&["PLAIN"], "public.plain is a plain table, not a hypertable");
    story.assert_refused(&["parted"], "public.parted is a partitioned table of PostgreSQL, not a hypertable");
    story.assert_refused(&["seen"], "public.seen is a view, not a hypertable");
    story.assert_refused(&["counted"], "public.counted is no table");
}

#[test]
fn a_relation_that_has_the_name_on_the_target_is_refused() {
    let story = metrics("exists");
    story.target.run("create table metrics (other int); create schema app; create view app.seen as select 1 as one");
    story.assert_refused(&["metrics"], "public.metrics exists on the target");
    story.assert_refused(&["metrics", "--as", "app.seen"], "app.seen exists on the target");
    story.assert_refused(&["metrics", "--dry-run"], "public.metrics exists on the target");
}

#[test]
fn a_column_that_the_role_may_not_read_is_refused_and_named() {
    let role = Role::create(Server::Trixie, "reader");
    let story = metrics("reader");
    let source = role.conninfo(&story.source);
    let refused = |text| story.assert_refused(&["metrics", "--source", &source], text);
    refused("SELECT is missing on time, device, value, note");
    story.source.run(&format!("grant select (time, device, value) on metrics to {}", role.name));
    refused("SELECT is missing on note");
    story.source.run(&format!(
        "create schema hidden; alter table metrics set schema hidden; grant select on hidden.metrics to {}",
        role.name
    ));
    story.assert_refused(&["hidden.metrics", "--source", &source], "may not look up hidden.metrics on the source");
}

#[test]
fn a_role_that_may_not_create_on_the_target_is_refused() {
    let role = Role::create(Server::OtherTrixie, "writer");
    let story = metrics("writer");
    let target = role.conninfo(&story.target);
    let refused = |arguments: &[&str], text: &str| {
        story.assert_refused(&[&["metrics", "--target", &target], arguments].concat(), text)
    };
    refused(&[], "may not create tables in schema public of the target");
    refused(&["--as", "app.metrics"], "schema app is missing on the target");
    story.target.run(&format!("create schema app; grant create on schema app to {}", role.name));
    refused(&["--as", "app.metrics"], "may not create tables in schema app of the target");
    story.target.run(&format!("grant usage on schema app to {}", role.name));
    refused(&["--as", "app.metrics"], "may not write the ledger in schema _hypercopy of the target");
}

#[test]
fn a_ledger_that_belongs_to_another_role_is_refused() {
    let role = Role::create(Server::OtherTrixie, "second");
    let story = metrics("second");
    story.migrate("metrics", &[]);
    story.target.run(&format!("create schema app authorization {}", role.name));
    let target = role.conninfo(&story.target);
    story.assert_refused(
        &["metrics", "--target", &target, "--as", "app.metrics"],
        "may not write the ledger in schema _hypercopy",
    );
    story.target.run(&format!(
        "grant usage on schema _hypercopy to {0}; grant select, insert, update, delete on all tables in schema _hypercopy to {0}",
        role.name
    ));
    story.migrate("metrics", &["--target", &target, "--as", "app.metrics"]);
}

#[test]
fn a_role_without_temporary_objects_on_the_target_is_refused() {
    let role = Role::create(Server::OtherTrixie, "untemporary");
    let story = metrics("untemporary");
    let database = story.target.value("select current_database()");
    story.target.run(&format!(
        "revoke temporary on database \"{database}\" from public; grant create on database \"{database}\" to {}",
        role.name
    ));
    let target = role.conninfo(&story.target);
    story.assert_refused(
        &["metrics", "--target", &target, "--as", "app.metrics"],
        "may not create temporary objects on the target",
    );
}

#[test]
fn a_database_without_timescaledb_is_refused_on_either_side() {
    let story = metrics("bare");
    let bare_source = Database::without_timescaledb(Server::Trixie, "bare").unwrap();
    story.assert_refused(&["metrics", "--source", &bare_source.conninfo], "has no TimescaleDB in this database");
    let bare_target = Database::without_timescaledb(Server::OtherTrixie, "bare").unwrap();
    let bare = Story { source: story.source, target: bare_target };
    bare.assert_refused(&["metrics"], "the target at");
    bare.assert_refused(&["metrics"], "has no TimescaleDB in this database");
}

#[test]
fn chunks_that_this_server_cannot_read_are_refused() {
    let story = metrics("unreadable");
    let set = |assignment: &str| {
        story.source.run(&format!(
            "update _timescaledb_catalog.chunk set {assignment} where id = (select min(id) from _timescaledb_catalog.chunk)"
        ))
    };
    if story.source.value("select current_setting('timescaledb.license')") == "apache" {
        set("status = 1");
        story.assert_refused(
            &["metrics"],
            "1 chunks of public.metrics are compressed, and the source's Apache edition cannot read them",
        );
        set("status = 0");
    }
    set("osm_chunk = true");
    story.assert_refused(&["metrics"], "is not in this server (tiered, or on a data node)");
    // The refused chunk is the first one, so that the others can still be had.
    story.migrate("metrics", &["--from", "2025-03-01 12:00+00", "--until", "2025-03-02 00:00+00"]);
}

#[test]
fn a_table_with_active_row_level_security_is_refused() {
    let role = Role::create(Server::Trixie, "filtered");
    let story = metrics("filtered");
    story.source.run(&format!(
        "alter table metrics enable row level security;
         create policy first on metrics using (device = 1);
         grant select on metrics to {}",
        role.name
    ));
    let source = role.conninfo(&story.source);
    story.assert_refused(
        &["metrics", "--source", &source],
        "row-level security filters what the role sees of public.metrics",
    );
    // The superuser is not filtered, and neither is the copy.
    let report = story.migrate("metrics", &[]);
    assert_eq!(report["rows"], 24);
}

#[test]
fn an_interval_that_does_not_fit_its_dimension_is_refused() {
    let story = metrics("interval");
    story.source.run(
        "create table small (n smallint not null);
         select create_hypertable('small', 'n', chunk_time_interval => 100);
         create table days (day date not null);
         select create_hypertable('days', 'day')",
    );
    let refused =
        |table: &str, interval: &str, text: &str| story.assert_refused(&[table, "--chunk-interval", interval], text);
    refused("metrics", "3600", "--chunk-interval is a bare integer, but dimension time is a time");
    refused("metrics", "1 month", "has months, which differ in length");
    refused("metrics", "1 year 2 days", "has months, which differ in length");
    refused("metrics", "soon", "\"soon\" is no interval");
    refused("metrics", "infinity", "\"infinity\" is no interval");
    refused("metrics", "0 days", "--chunk-interval does not fit dimension time");
    refused("metrics", "-1 day", "--chunk-interval does not fit dimension time");
    refused("metrics", "1 day; drop table metrics", "is no interval");
    refused("small", "1 day", "--chunk-interval is an interval, but dimension n is an integer");
    refused("small", "40000", "--chunk-interval does not fit dimension n");
    refused("days", "36 hours", "--chunk-interval is not a number of whole days");
}

#[test]
fn a_hash_column_that_cannot_be_one_is_refused() {
    let story = Story::new("hash_column");
    story.source.run(
        "create table metrics (time timestamptz not null, device int not null, site int not null,
             twice int generated always as (device * 2) stored, primary key (time, device));
         select create_hypertable('metrics', 'time');
         create table keyed (time timestamptz not null, device int, site int);
         select create_hypertable('keyed', 'time');
         create unique index on keyed (time, device)",
    );
    let refused = |table: &str, hash: &str, text: &str| story.assert_refused(&[table, "--hash-partitions", hash], text);
    refused("metrics", "nothing:4", "public.metrics has no column nothing");
    refused("metrics", "\"Device\":4", "public.metrics has no column \"Device\"");
    refused("metrics", "site:4", "dimension column site is not in unique key metrics_pkey");
    refused("keyed", "site:4", "dimension column site is not in unique key keyed_time_device_idx");
    refused("metrics", "twice:4", "column twice is generated and cannot be a hash dimension");
    refused("metrics", "time:4", "column time would be two dimensions at once");
}

#[test]
fn a_range_that_is_none_is_refused() {
    let story = metrics("range");
    let refused = |arguments: &[&str], text: &str| story.assert_refused(&[&["metrics"], arguments].concat(), text);
    refused(&["--from", "2025-03-02", "--until", "2025-03-01"], "--from is not before --until");
    refused(&["--from", "2025-03-01", "--until", "2025-03-01"], "--from is not before --until");
    refused(&["--from", "yesterdayish"], "--from is no value of type timestamptz");
    refused(&["--until", "2025-02-30"], "--until is no value of type timestamptz");
    refused(&["--until", "2025-03-01'; drop table metrics; --"], "--until is no value of type timestamptz");
    assert_eq!(story.source.value("select count(*) from metrics"), "24");
}

#[test]
fn source_and_target_must_not_be_the_same_table() {
    let story = metrics("same");
    let target = &story.source.conninfo;
    for arguments in [&["metrics"][..], &["metrics", "--as", "public.METRICS"]] {
        let run = story.hypercopy(&[&["migrate", "--target", target], arguments].concat());
        assert_eq!(run.code, 3, "{}", run.stderr);
        assert!(run.stderr.contains("source and target are the same table, public.metrics"), "{}", run.stderr);
        assert!(run.stderr.contains("hint: "), "{}", run.stderr);
    }
    let run = story.hypercopy(&["migrate", "metrics", "--target", target, "--as", "copied"]);
    assert_eq!(run.code, 0, "another table of the same database is a target: {}", run.stderr);
    assert_eq!(story.source.multiset("metrics"), story.source.multiset("copied"));
}

#[test]
fn more_chunks_than_allowed_are_refused() {
    let story = metrics("many");
    story.assert_refused(
        &["metrics", "--chunk-interval", "1 hour", "--max-new-chunks", "23"],
        "needs more than 23 chunks",
    );
    story.assert_refused(
        &["metrics", "--hash-partitions", "device:7", "--max-new-chunks", "27"],
        "needs more than 27 chunks",
    );
    let report = story.migrate("metrics", &["--chunk-interval", "1 hour", "--max-new-chunks", "24"]);
    assert_eq!(report["target_chunks"], 24);
}

#[test]
fn minus_infinity_is_refused_where_no_chunk_can_hold_it() {
    let story = Story::new("minus_infinity");
    for (table, kind) in [("instants", "timestamptz"), ("moments", "timestamp")] {
        story.source.run(&format!(
            "create table {table} (time {kind} not null, n int);
             select create_hypertable('{table}', 'time', chunk_time_interval => interval '7 days');
             insert into {table} values ('4714-11-24 BC', 1), ('2025-03-01', 2);
             insert into {table} values ('-infinity', 3)"
        ));
        story.assert_refused(&[table, "--chunk-interval", "1 hour"], "has rows at -infinity");
    }
    let run =
        story.hypercopy(&["migrate", "instants", "--chunk-interval", "1 hour", "--from", "4714-11-24 00:00:00+00 BC"]);
    assert_eq!(run.code, 0, "the hint's way out is one: {}", run.stderr);
    assert_eq!(story.target.multiset("instants"), story.source.multiset("(select * from instants where n < 3)"));
}

#[test]
fn types_sequences_and_functions_that_differ_or_lack_on_the_target_are_refused() {
    let story = Story::new("differ");
    story.source.run(
        "create type colour as enum ('red', 'green');
         create type pair as (a int, b int);
         create domain positive as int check (value > 0);
         create function is_fine(n int) returns bool immutable language sql as 'select n > 0';
         create sequence numbers increment 2;
         create table coloured (time timestamptz not null, c colour); select create_hypertable('coloured', 'time');
         create table paired (time timestamptz not null, p pair); select create_hypertable('paired', 'time');
         create table counted (time timestamptz not null, n positive); select create_hypertable('counted', 'time');
         create table checked (time timestamptz not null, n int check (is_fine(n))); select create_hypertable('checked', 'time');
         create table numbered (time timestamptz not null, n int default nextval('numbers')); select create_hypertable('numbered', 'time')",
    );
    story.target.run(
        "create type colour as enum ('green', 'red');
         create type pair as (b int, a int);
         create domain positive as int check (value >= 0);
         create sequence numbers increment 3",
    );
    story.assert_refused(&["coloured"], "public.colour");
    story.assert_refused(&["paired"], "public.pair");
    story.assert_refused(&["counted"], "public.positive");
    story.assert_refused(&["checked"], "function public.is_fine(integer) is missing on the target");
    story.assert_refused(&["numbered"], "sequence public.numbers exists on the target with another definition");
}

#[test]
fn a_command_line_that_is_wrong_by_itself_ends_with_2() {
    let story = metrics("usage");
    let before = story.target_objects();
    let wrong: [(&[&str], &str); 21] = [
        (&["migrate", "metrics", "--chunk-interval", ""], "\"\" is no interval"),
        (&["migrate", "metrics", "--chunk-interval", "0"], "\"0\" is no interval"),
        (&["migrate"], "TABLE"),
        (&["migrate", "metrics", "--no-such-option"], "--no-such-option"),
        (&["migrate", "metrics", "another"], "another"),
        (&["migrate", "metrics", "-j", "0"], "0"),
        (&["migrate", "metrics", "-j", "many"], "many"),
        (&["migrate", "metrics", "--verify", "maybe"], "checksum"),
        (&["migrate", "metrics", "--progress", "maybe"], "plain"),
        (&["migrate", "metrics", "--max-new-chunks", "-1"], "-1"),
        (&["migrate", "metrics", "-q", "-v"], "cannot be used with"),
        (&["migrate", "metrics", "--hash-partitions", "device"], "is not COLUMN:N"),
        (&["migrate", "metrics", "--hash-partitions", "device:0"], "from 1 to 32767"),
        (&["migrate", "metrics", "--hash-partitions", "device:32768"], "from 1 to 32767"),
        (&["migrate", "metrics", "--as", "a.b.c"], "has 3 parts"),
        (&["migrate", "metrics", "--as", "\"open"], "is not closed"),
        (&["migrate", "metrics", "--as", "two words"], "double quotes"),
        (&["migrate", "\"open"], "is not closed"),
        (&["migrate", "metrics", "--source", "host=h nonsense=1"], "--source is no conninfo"),
        (&["migrate", "metrics", "--target", "postgresql://h:notaport/d"], "--target is no conninfo"),
        (&["nonsense"], "nonsense"),
    ];
    for (arguments, text) in wrong {
        let run = story.hypercopy(arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(text), "{arguments:?} says {text}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{arguments:?}");
    }
    let long = "x".repeat(64);
    let run = story.hypercopy(&["migrate", "metrics", "--as", &long]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("63 bytes"), "{}", run.stderr);
    let run = story.command(&["migrate", "metrics"]).env_remove("HYPERCOPY_TARGET").output().unwrap();
    assert_eq!(run.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&run.stderr).contains("--target"));
    assert_eq!(before, story.target_objects());
}

#[test]
fn strict_refuses_what_would_not_be_carried_and_names_it() {
    let story = metrics("strict");
    story.source.run("create publication of_source for table metrics");
    let run = story.hypercopy(&["migrate", "metrics", "--strict"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    story.assert_refused(&["metrics", "--strict"], "1 things of public.metrics would not be carried");
    story.assert_refused(&["metrics", "--strict"], "publication: of_source: there is no such publication");
    story.source.run("drop publication of_source");
    story.migrate("metrics", &["--strict"]);
}

#[test]
fn a_server_that_does_not_answer_is_named_without_its_password() {
    let story = metrics("absent");
    for (option, code) in [("--source", 4), ("--target", 5)] {
        let run = story.hypercopy(&["migrate", "metrics", option, "postgresql://ann:canary@127.0.0.1:1/nowhere"]);
        assert_eq!(run.code, code, "{}", run.stderr);
        assert!(run.stderr.contains("127.0.0.1:1/nowhere"), "{}", run.stderr);
        assert!(!run.stderr.contains("canary"), "{}", run.stderr);
    }
}

//! What a table uses is made on the target where that was asked for, and is named with its SQL where it was not.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::archives::Archive;
use crate::harness::{Database, Role, Server, Story};
use crate::restore::story;
use crate::zoo::{Roles, not_carried};

/// A table that uses something of every kind, through others, and in odd places.
const USES: &str = r#"
    create schema "Odd ""schema"; create schema app;
    create type "Odd ""schema"."Mood's" as enum ('it''s', 'b"c', E'new\nline');
    create type app.pair as (a int, m "Odd ""schema"."Mood's"[], "order" text collate "C");
    create type app.gone as (kept int, dropped int, also text); alter type app.gone drop attribute dropped;
    create function app.digit(n int) returns int language sql immutable return n % 10;
    create function app.even(n int) returns bool language sql immutable return app.digit(n) % 2 = 0;
    create function app.good(p app.pair) returns bool language plpgsql immutable as 'begin return p.a is null or p.a > 0; end';
    create domain app.good_pair as app.pair check (app.good(value));
    create domain app.evens as int[] default '{2}' constraint "all even" check (value is null or app.even(value[1]));
    create function app.apart(float8, float8) returns float8 language sql immutable as 'select $1 - $2';
    create type app.span as range (subtype = float8, subtype_diff = app.apart, multirange_type_name = "Odd ""schema".spans);
    create type app.words as range (subtype = text, collation = "C", subtype_opclass = text_pattern_ops);
    create collation app.german (provider = icu, locale = 'de', deterministic = false);
    create collation app.bytes from "C";
    create operator app.=== (function = int4eq, leftarg = int, rightarg = int, commutator = operator(app.===), restrict = eqsel, join = eqjoinsel, hashes);
    create sequence app.numbers increment 3;
    create function app.next() returns bigint language sql return nextval('app.numbers'::regclass);
    create function app.stamp() returns trigger language plpgsql as $$ begin new.n := coalesce(new.n, 1); return new; end $$;
    create schema elsewhere; create procedure elsewhere.unused() language sql as 'select 1';
    create function app.mine(who text) returns bool language sql stable as 'select who is not null';
    create table app.sites (id int primary key, place app.pair, code text collate app.german unique, later int default app.next());
    create table app."Devices" (id serial, site int, kind "Odd ""schema"."Mood's" not null default 'it''s',
        number int generated always as identity (start 5) , twice int generated always as (site * 2) stored, extra text,
        primary key (id, site), constraint "even site" check (app.even(site)));
    create table app.metrics (time timestamptz not null, n int default app.digit(17), pair app.good_pair, pairs app.pair[],
        evens app.evens, span app.span, spans "Odd ""schema".spans[], words app.words, gone app.gone, t text collate app.german,
        u text collate app.bytes, twice int generated always as (app.digit(n)) stored, device int, site int references app.sites,
        constraint "n is n" check (n operator(app.===) n), foreign key (device, site) references app."Devices");
    select create_hypertable('app.metrics', 'time', chunk_time_interval => interval '1 day');
    create index on app.metrics (app.digit(n), t);
    create function app.whole(m app.metrics) returns int language sql immutable as 'select m.n';
    create index whole_idx on app.metrics (app.whole(metrics.*));
    create trigger stamped before insert on app.metrics for each row execute function app.stamp();
    create policy mine on app.metrics using (app.mine(t));
    create statistics app.digits on (app.digit(n)), t from app.metrics;
    insert into app.sites values (2, (1, '{it''s}', 'x'), 'ä', default); insert into app."Devices" (site) values (2);
    insert into app.metrics (time, n, pair, evens, span, words, gone, t, device, site)
    select '2025-01-01'::timestamptz + i * interval '1 hour', i, (i, array['b"c']::"Odd ""schema"."Mood's"[], 'o')::app.pair, array[i * 2],
        app.span(i, i + 1), app.words('a', 'b'), row(i, 'g')::app.gone, 'ü' || i, 1, 2 from generate_series(1, 100) i"#;

/// What pg_dump says of a database, but for the hypertable itself.
fn around(database: &Database) -> Vec<String> {
    database.dump(&[
        "--schema-only",
        "--no-comments",
        "--exclude-schema=_hypercopy",
        "--exclude-schema=_timescaledb_*",
        "--exclude-table=app.metrics",
        "--exclude-schema=elsewhere",
    ])
}

fn texts(list: &Value, key: &str) -> Vec<String> {
    list.as_array()
        .expect("it is a list")
        .iter()
        .map(|entry| entry[key].as_str().expect("it is text").to_string())
        .collect()
}

#[track_caller]
fn assert_made(source: &Database, target: &Database) {
    assert_eq!(source.multiset("app.metrics"), target.multiset("app.metrics"));
    for table in ["app.sites", "app.\"Devices\""] {
        assert_eq!(target.value(&format!("select count(*) from {table}")), "0", "{table} is made without rows");
    }
    similar(&around(source), &around(target));
}

/// Every line of the one is among those of the other.
#[track_caller]
fn similar(wanted: &[String], found: &[String]) {
    let lacks = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    assert_eq!((lacks(wanted, found), lacks(found, wanted)), (vec![], vec![]));
}

#[test]
fn everything_that_a_table_uses_is_listed_and_made_on_request() {
    let story = story("dependencies", USES);
    let before = story.target_objects();
    let run = story.hypercopy(&["migrate", "app.metrics", "--json"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert_eq!(before, story.target_objects(), "nothing is created on the target");
    let missing = &run.json()["plan"]["missing"];
    let names = texts(missing, "identity");
    for name in [
        "app.digit(integer)",
        "app.even(integer)",
        "app.stamp()",
        "app.mine(pg_catalog.text)",
        "app.\"Devices\"",
        "app.german",
        "app.span",
    ] {
        assert!(names.contains(&name.to_string()), "{name}: {names:?}");
    }
    assert!(!names.contains(&"elsewhere.unused()".to_string()));
    assert!(run.stderr.contains("hint: ") && run.stderr.contains("--with-dependencies"), "{}", run.stderr);
    assert!(run.stderr.contains("RETURN (n % 10)"), "the SQL is shown: {}", run.stderr);

    let report = story.migrate("app.metrics", &["--with-dependencies", "--verify", "checksum"]);
    assert_eq!(report["plan"]["missing"].as_array().map(Vec::len), Some(0), "{}", report["plan"]["missing"]);
    assert_made(&story.source, &story.target);
    let said = report["not_carried"].to_string();
    for what in ["app.sites: it is made without its rows", "validation of foreign key"] {
        assert!(said.contains(what), "{what}: {said}");
    }
    let keys = "select string_agg(conname || ' ' || convalidated, ', ' order by conname) from pg_constraint
        where conrelid = 'app.metrics'::regclass and contype = 'f'";
    assert_eq!(story.target.value(keys), "metrics_device_site_fkey false, metrics_site_fkey false");
}

#[test]
fn an_archive_brings_what_its_table_uses() {
    let story = story("archived_dependencies", USES);
    let archive = Archive::of(&story.source, "app.metrics", "dependencies", &[]);
    archive.assert_refused(&story.target, &[], 3, "is missing on the target");
    archive.restored(&story.target, &["--with-dependencies", "--verify", "checksum"]);
    assert_made(&story.source, &story.target);
    let run = archive.restore(&story.target, &["--data-only", "--with-dependencies"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
}

#[test]
fn what_is_there_with_another_definition_is_named_and_left_alone() {
    let story = story(
        "other_dependencies",
        "create function f(n int) returns int language sql immutable return n + 1;
         create table sites (id int primary key, name text);
         create function stamp() returns trigger language plpgsql as 'begin return new; end';
         create table t (time timestamptz not null, n int default f(1), site int references sites);
         create trigger stamped before insert on t for each row execute function stamp();
         select create_hypertable('t', 'time'); insert into t values ('2025-01-01')",
    );
    story.target.run(
        "create function f(n int) returns int language sql immutable return n + 2;
         create table sites (id bigint primary key)",
    );
    let report = story.migrate("t", &["--with-dependencies"]);
    let said = report["not_carried"].to_string();
    for what in [
        "public.f(integer) exists on the target with another definition",
        "public.sites exists on the target with another definition",
    ] {
        assert!(said.contains(what), "{said}");
    }
    assert!(!said.contains("public.stamp() exists"), "{said}");
    assert_eq!(story.target.value("select f(1)"), "3", "nothing is replaced");
    assert_eq!(story.target.value("select to_regprocedure('stamp()') is not null"), "t");
    story.target.run("drop table t; delete from _hypercopy.job");
    story.assert_refused(&["t", "--strict"], "would not be carried");
}

/// What can be made of any kind, with owners, privileges and comments on all of it, and in nobody's hands some of it.
const TRAPPINGS: &str = r#"
    create schema app; comment on schema app is 'the app'; grant usage on schema app to {bob}, {alice} with grant option;
    create type app.mood as enum ('a', 'b'); comment on type app.mood is 'a mood'; alter type app.mood owner to {alice};
    revoke usage on type app.mood from public; grant usage on type app.mood to {bob} with grant option;
    create type app.pair as (a int, "b c" app.mood); comment on column app.pair."b c" is 'it''s';
    create domain app.count as int check (value >= 0); alter domain app.count owner to {bob}; comment on domain app.count is 'counts';
    create type app.span as range (subtype = float8); alter type app.span owner to {bob}; comment on type app.span is 'a span';
    create collation app.bytes from "C"; alter collation app.bytes owner to {bob}; comment on collation app.bytes is 'bytes';
    create function app.low(int, int) returns int language sql immutable return least($1, $2);
    create function app.nth_of(int[], int) returns int language sql immutable return $1[$2];
    create aggregate app.lowest(int) (sfunc = app.low, stype = int, initcond = '5', combinefunc = app.low, parallel = safe);
    create aggregate app.nth(int order by int) (sfunc = array_append, stype = int[], finalfunc = app.nth_of);
    create aggregate app.rows(*) (sfunc = int8inc, stype = int8, initcond = '0', msfunc = int8inc, minvfunc = int8dec, mstype = int8,
        minitcond = '0');
    alter aggregate app.lowest(int) owner to {alice}; comment on aggregate app.lowest(int) is 'the lowest';
    revoke execute on function app.nth(int, int) from public; grant execute on function app.nth(int, int) to {bob}, {nobody};
    create sequence app.numbers increment 3; alter sequence app.numbers owner to {alice}; comment on sequence app.numbers is 'of nobody';
    grant usage on sequence app.numbers to {bob} with grant option; set role {bob}; grant usage on sequence app.numbers to public; reset role;
    create table app.sites (id int primary key, name text collate app.bytes); alter table app.sites owner to {bob};
    grant select (name), update on app.sites to {alice} with grant option; revoke delete on app.sites from {bob};
    comment on table app.sites is 'sites'; comment on column app.sites.name is 'a name';
    create view app.named with (security_barrier) as select name, id from app.sites where name is not null; grant select on app.named to {bob};
    create function app.least_site() returns int language sql stable
        begin atomic select app.lowest(id) + app.nth(1) within group (order by id) + app.rows(*) from app.sites; end;
    comment on function app.least_site() is 'least';
    create function app.next() returns bigint language sql return nextval('app.numbers'::regclass);
    create function app.guarded() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp
        as 'begin return new; end';
    alter function app.guarded() owner to {alice}; revoke execute on function app.guarded() from public;
    create function app.lost() returns trigger language plpgsql security definer as 'begin return new; end';
    grant create on schema app to {nobody}; alter function app.lost() owner to {nobody}; revoke create on schema app from {nobody};
    create operator app.<<< (function = int4lt, leftarg = int, rightarg = int, commutator = operator(app.>>>));
    alter operator app.<<< (int, int) owner to {alice}; comment on operator app.<<< (int, int) is 'less';
    create operator app.>>> (function = int4gt, leftarg = int, rightarg = int, commutator = operator(app.<<<));
    create function app.ordered(text, text) returns int language sql immutable return bttextcmp($2, $1);
    create operator class app.backwards for type text using btree as operator 1 >, operator 2 >=, operator 3 =, operator 4 <=,
        operator 5 <, function 1 app.ordered(text, text);
    comment on operator class app.backwards using btree is 'turned';
    create text search dictionary app.plain (template = simple, accept = false); comment on text search dictionary app.plain is 'plain';
    create text search configuration app.words (copy = simple); alter text search configuration app.words owner to {bob};
    alter text search configuration app.words alter mapping for asciiword, word with app.plain, simple;
    create table app.t (time timestamptz not null, m app.mood, p app.pair, c app.count, r app.span, n bigint default app.next(), site int references app.sites,
        note text, least int default app.least_site(), check (c operator(app.<<<) 1000),
        words tsvector generated always as (to_tsvector('app.words'::regconfig, note)) stored);
    select create_hypertable('app.t', 'time');
    create index on app.t (note app.backwards);
    create trigger guarded before insert on app.t for each row execute function app.guarded();
    create trigger lost before insert on app.t for each row execute function app.lost();
    create policy known on app.t using (site in (select id from app.named));
    insert into app.sites values (1, 'one'); insert into app.t (time, m, p, c, site, note) values ('2025-01-01', 'a', (1, 'b'), 3, 1, 'a note')"#;

#[test]
fn what_is_made_has_its_owner_privileges_and_comments_and_what_is_not_is_named() {
    let story = story("trappings", "");
    let roles = Roles::create(&[&story.source, &story.target]);
    story.source.run(&roles.in_sql(TRAPPINGS));
    let archive = Archive::of(&story.source, "app.t", "trappings", &[]);
    let run = story.hypercopy(&["migrate", "app.t", "--dry-run", "--with-dependencies"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let dump = |database: &Database| -> Vec<String> {
        let arguments = [
            "--schema-only",
            "--exclude-schema=_hypercopy",
            "--exclude-schema=_timescaledb_*",
            "--exclude-table=app.t",
        ];
        database.dump(&arguments)
    };
    let lacks = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    let see = |report: &Value| {
        let missing = &report["plan"]["missing"];
        assert_eq!(texts(missing, "identity"), ["app.lost()"]);
        let reason = missing[0]["reason"].as_str().expect("there is a reason");
        assert!(reason.starts_with("it runs with the rights of its owner, nobody"), "{reason}");
        assert!(missing[0]["statements"][0]["sql"].as_str().unwrap().contains("SECURITY DEFINER"), "{missing}");
        let said = not_carried(report);
        for what in [
            "operator: app.<<<(integer,integer): it is made without its commutator",
            "table: app.sites: it is made without its rows",
            "trigger: lost: function app.lost() is missing",
            "grant: execute on app.nth(integer,integer) to nobody",
            "validation of foreign key",
        ] {
            assert!(said.iter().any(|line| line.starts_with(what)), "{what}: {said:#?}");
        }
        assert_eq!(said.len(), 5, "{said:#?}");
        let (wanted, found) = (dump(&story.source), dump(&story.target));
        // What is listed, and the operator that nothing uses.
        let is_listed = |line: &&String| {
            let words = ["lost", "nobody", ">>>", "int4gt", "RIGHTARG", "COMMUTATOR"];
            words.iter().any(|word| line.contains(word))
        };
        let differences = [lacks(&wanted, &found), lacks(&found, &wanted)].concat();
        let silent: Vec<&String> = differences.iter().filter(|line| !is_listed(line)).collect();
        assert!(silent.is_empty(), "{silent:#?}");
    };
    see(&story.migrate("app.t", &["--with-dependencies", "--verify", "checksum"]));
    story.target.run("drop schema app cascade; delete from _hypercopy.job");
    see(&archive.restored(&story.target, &["--with-dependencies", "--verify", "checksum"]));
}

#[test]
fn what_is_missing_is_listed_with_the_sql_that_makes_it() {
    let story = story("listed_dependencies", "");
    let roles = Roles::create(&[&story.source, &story.target]);
    story.source.run(&roles.in_sql(TRAPPINGS));
    let run = story.hypercopy(&["migrate", "app.t", "--json"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    let missing = run.json()["plan"]["missing"].clone();
    let kinds: BTreeSet<String> = texts(&missing, "type").into_iter().collect();
    let all = [
        "aggregate",
        "collation",
        "function",
        "operator",
        "operator class",
        "sequence",
        "table",
        "text search configuration",
        "text search dictionary",
        "type",
        "view",
    ];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), all);
    // What is listed is what makes it, in the order in which it can be made.
    story.target.run("create schema app");
    for object in missing.as_array().expect("it is a list") {
        let statements = texts(&object["statements"], "sql");
        assert!(!statements.is_empty(), "{object}");
        story.target.run(&statements.join(";\n"));
    }
    let report = story.migrate("app.t", &[]);
    assert_eq!(report["plan"]["missing"].as_array().map(Vec::len), Some(0), "{}", report["plan"]["missing"]);
}

#[test]
fn what_nobody_makes_is_named_with_the_reason() {
    let story = story(
        "unmade_dependencies",
        r#"create function code(int) returns int language internal immutable strict as 'int4abs';
           create table t (time timestamptz not null, n int); select create_hypertable('t', 'time');
           create index on t (code(n)); insert into t values ('2025-01-01')"#,
    );
    story.assert_refused(
        &["t", "--with-dependencies"],
        "function public.code(integer) is missing on the target: it is code of the server's machine",
    );
}

#[test]
fn what_uses_the_table_comes_behind_it_and_only_under_its_name() {
    let story = story(
        "whole_rows",
        "create table t (time timestamptz not null, n int); select create_hypertable('t', 'time');
         create function whole(r t) returns int language sql immutable return (r).n;
         create function total() returns bigint language sql stable begin atomic select sum(n) from t; end;
         create index whole_idx on t (whole(t.*)); create policy p on t using (total() > 0);
         insert into t values ('2025-01-01', 3)",
    );
    story.assert_refused(&["t", "--as", "u", "--with-dependencies"], "it uses public.t, which is called public.u here");
    story.migrate("t", &["--with-dependencies"]);
    assert_eq!(story.target.value("select total() || ' ' || whole(t) from t"), "3 3");
}

#[test]
fn functions_that_need_each_other_are_named() {
    let story = story(
        "circle",
        "create function one(n int) returns int language sql immutable return n;
         create function other(n int) returns int language sql immutable return one(n);
         create or replace function one(n int) returns int language sql immutable return case when n > 0 then other(n - 1) else 0 end;
         create table t (time timestamptz not null, n int check (one(n) = 0)); select create_hypertable('t', 'time')",
    );
    story.assert_refused(&["t", "--with-dependencies"], "it and what it uses need each other");
}

#[test]
fn extensions_are_made_where_the_server_has_them() {
    let story = story(
        "extensions",
        "create schema ext; create extension hstore schema ext; create extension citext;
         create table t (time timestamptz not null, h ext.hstore, c citext default 'A' check (c <> 'x'));
         create index on t using gin (h ext.gin_hstore_ops);
         select create_hypertable('t', 'time'); insert into t values ('2025-01-01', 'a=>1', 'B')",
    );
    story.assert_refused(&["t"], "extension citext");
    story.migrate("t", &["--with-dependencies", "--verify", "checksum"]);
    assert_eq!(
        story.target.value("select extnamespace::regnamespace from pg_extension where extname = 'hstore'"),
        "ext"
    );
    story
        .target
        .run("drop table t; drop extension hstore; create extension hstore schema public; delete from _hypercopy.job");
    story.assert_refused(
        &["t", "--with-dependencies"],
        "extension hstore 1.8 is missing on the target: it is there in schema public, and here in ext",
    );
}

#[test]
fn an_ordinary_role_makes_what_it_may_and_the_rest_is_named() {
    let role = Role::create(Server::OtherTrixie, "maker");
    let mut story = story(
        "ordinary_dependencies",
        "create schema app; create type app.mood as enum ('a'); create function app.f(app.mood) returns bool language sql immutable return true;
         create extension hstore;
         create table app.t (time timestamptz not null, m app.mood check (app.f(m)), h hstore); select create_hypertable('app.t', 'time');
         insert into app.t values ('2025-01-01', 'a')",
    );
    let database = story.target.value("select current_database()");
    story.target.run(&format!("grant create on database \"{database}\" to {}", role.name));
    story.target.conninfo = role.conninfo(&story.target);
    story.migrate("app.t", &["--with-dependencies"]);
    assert_eq!(
        story.target.value("select extowner::regrole::text from pg_extension where extname = 'hstore'"),
        role.name,
        "what the server trusts everybody with"
    );
    story.source.run(
        "create extension earthdistance cascade; create table u (time timestamptz not null, e earth); select create_hypertable('u', 'time')",
    );
    story.assert_refused(
        &["u", "--with-dependencies", "--as", "app.u"],
        "extension earthdistance 1.2 is missing on the target: the role may not make it",
    );
}

/// The archive of a table whose check calls a function.
fn with_function(name: &str) -> (Story, Archive) {
    let story = story(
        name,
        "create function f(n int) returns bool language sql immutable return n > 0;
         create table t (time timestamptz not null, n int check (f(n))); select create_hypertable('t', 'time');
         insert into t values ('2025-01-01', 1)",
    );
    story.target.run("create table witness ()");
    let archive = Archive::of(&story.source, "t", name, &[]);
    (story, archive)
}

#[test]
fn a_statement_of_an_archive_stays_one_command_and_is_shown() {
    let (story, archive) = with_function("hostile_dependencies");
    let objects = |manifest: &mut Value| manifest["definition"]["hypertable"]["prerequisites"]["objects"].take();
    archive.edit(|manifest| {
        let statement = &mut manifest["definition"]["hypertable"]["prerequisites"]["objects"][0]["making"]["statement"];
        *statement = format!("{}; drop table witness", statement.as_str().unwrap()).into();
    });
    archive.assert_refused(&story.target, &[], 3, "function public.f(integer) is missing on the target");
    let plan = archive.restore(&story.target, &["--with-dependencies", "--dry-run"]);
    assert!(plan.code == 0 && plan.stdout.contains("; drop table witness"), "{}{}", plan.stdout, plan.stderr);
    let before = story.target.objects();
    let run = archive.restore(&story.target, &["--with-dependencies"]);
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(run.stderr.contains("cannot insert multiple commands into a prepared statement"), "{}", run.stderr);
    assert_eq!(before, story.target.objects(), "nothing of it is there");
    story.target.run("create table t (time timestamptz not null, n int); select create_hypertable('t', 'time')");
    archive.restored(&story.target, &["--data-only"]);
    assert_eq!(
        story.target.value("select to_regprocedure('f(int)') is null and to_regclass('witness') is not null"),
        "t"
    );

    archive.edit(|manifest| {
        let mut list = objects(manifest);
        list[0]["needs"] = serde_json::json!([7]);
        manifest["definition"]["hypertable"]["prerequisites"]["objects"] = list;
    });
    archive.assert_refused(&story.target, &["--as", "u"], 6, "uses what is not described");
    archive.edit(|manifest| {
        let mut list = objects(manifest);
        list[0]["needs"] = serde_json::json!([0]);
        manifest["definition"]["hypertable"]["prerequisites"]["objects"] = list;
    });
    archive.assert_refused(&story.target, &["--as", "u", "--with-dependencies"], 3, "need each other");
}

#[test]
fn what_a_table_uses_goes_from_release_to_release() {
    for (from, to) in [(Server::Trixie, Server::Sid), (Server::Sid, Server::Trixie)] {
        let Some(story) = Story::between(from, to, "release_dependencies") else { return };
        story.source.run(USES);
        let report = story.migrate("app.metrics", &["--with-dependencies", "--verify", "checksum"]);
        assert_eq!(report["plan"]["missing"].as_array().map(Vec::len), Some(0), "{}", report["plan"]["missing"]);
        // A second table finds what the first one has brought, and takes it for the same.
        story.source.run(
            "create table app.second (like app.metrics including all excluding indexes); select create_hypertable('app.second', 'time')",
        );
        let second = story.migrate("app.second", &["--with-dependencies"]);
        assert!(!second["not_carried"].to_string().contains("another definition"), "{}", second["not_carried"]);
    }
}

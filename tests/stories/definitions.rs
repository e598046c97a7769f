//! The definition arrives as it was, by PostgreSQL's own words for it, and what does not arrive is said.

use crate::archives::Archive;
use crate::harness::{Database, Run, Server, Story};
use crate::zoo::not_carried;

/// Lines that PostgreSQL writes about a table, without its own name: columns, constraints, indexes, dimensions,
/// sequences. Equal lines on two servers are equal tables.
#[track_caller]
pub fn described(database: &Database, table: &str) -> Vec<String> {
    let oid = database.value(&format!("select '{table}'::regclass::oid"));
    let lines = database.query(&format!(
        "set search_path = '';
         with t as (select c.oid, c.relname, n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where c.oid = {oid}),
         named (line) as (
             select concat_ws(' ', 'column', row_number() over (order by attnum), attname, format_type(atttypid, atttypmod),
                 'collation', attcollation::regcollation, 'storage', attstorage, 'compression', attcompression,
                 'not null', attnotnull, 'identity', attidentity, 'generated', attgenerated,
                 'expression', pg_get_expr(adbin, adrelid))
             from t join pg_attribute on attrelid = t.oid and attnum > 0 and not attisdropped
                 left join pg_attrdef on adrelid = attrelid and adnum = attnum
             union all
             select concat_ws(' ', 'constraint', conname, pg_get_constraintdef(k.oid), 'validated', convalidated,
                 'options', i.reloptions)
             from t join pg_constraint k on conrelid = t.oid and contype in ('c', 'p', 'u', 'x')
                 left join pg_class i on i.oid = conindid
             union all
             select concat_ws(' ', 'index', replace(pg_get_indexdef(indexrelid),
                 format(' ON %I.%I ', t.nspname, t.relname), ' ON it '), 'valid', indisvalid)
             from t join pg_index on indrelid = t.oid
             where not exists (select from pg_constraint where conindid = indexrelid and contype in ('p', 'u', 'x'))
             union all
             select concat_ws(' ', 'dimension', dimension_number, column_name, column_type, time_interval, integer_interval,
                 num_partitions, integer_now_func)
             from t join timescaledb_information.dimensions d
                 on (d.hypertable_schema, d.hypertable_name) = (t.nspname, t.relname)
             union all
             select concat_ws(' ', 'sequence of', a.attname, s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin,
                 s.seqmax, s.seqcache, s.seqcycle, 'last', pg_sequence_last_value(s.seqrelid))
             from t join pg_depend d on d.refobjid = t.oid and d.deptype in ('a', 'i')
                     and d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
                 join pg_sequence s on s.seqrelid = d.objid
                 join pg_attribute a on a.attrelid = t.oid and a.attnum = d.refobjsubid
         )
         select line from named order by line",
    ));
    database.run("reset search_path");
    lines.into_iter().map(|row| row[0].clone().unwrap()).collect()
}

/// Migrates under its own name, and expects PostgreSQL to say the same of both; and of what comes back from an archive.
#[track_caller]
fn assert_carried(story: &Story, table: &str, arguments: &[&str]) -> serde_json::Value {
    let before = described(&story.source, table);
    let report = story.migrate(table, arguments);
    assert_eq!(described(&story.target, table), before);
    let restored = Database::create(Server::OtherTrixie, "restored").expect("trixie has TimescaleDB");
    Archive::of(&story.source, table, "carried", &[]).restored(&restored, &["--verify", "checksum"]);
    assert_eq!(described(&restored, table), before);
    assert_eq!(restored.multiset(table), story.source.multiset(table));
    assert_eq!(described(&story.source, table), before, "the source is left alone");
    report
}

#[test]
fn columns_keep_everything_that_postgresql_knows_of_them() {
    let story = Story::new("columns");
    story.source.run(
        r#"create table "Readings" (
               "time" timestamptz(3) not null default now(),
               "Odd ""name" text collate "C" default 'it''s',
               plain_text text collate "POSIX",
               short varchar(7) not null default 'a\b',
               fixed char(3),
               exact numeric(12, 3) default 1.5,
               whole smallint default -1,
               days interval day to second(2),
               list int[] default '{1,2}',
               grid double precision[][],
               bits bit varying(9) default B'101',
               document jsonb default '{"a": [1, null]}',
               twice numeric generated always as (exact * 2) stored,
               kept text, outside text, packed text, packed_too text compression lz4,
               old_packed text compression pglz
           );
           alter table "Readings" alter kept set storage main, alter outside set storage external,
               alter packed set storage plain;
           select create_hypertable('"Readings"', 'time');
           insert into "Readings" ("time", exact, kept, outside, packed_too)
           select '2025-01-01'::timestamptz + n * interval '1 day', n, 'k', repeat('o', 3000), repeat('p', 3000)
           from generate_series(1, 20) n"#,
    );
    let report = assert_carried(&story, "\"Readings\"", &["--verify", "checksum"]);
    assert_eq!(report["plan"]["format"], "binary");
}

#[test]
fn identities_keep_kind_options_and_value() {
    let story = Story::new("identities");
    story.source.run(
        "create table t (time timestamptz not null,
             always int generated always as identity (start 100 increment 7 minvalue 50 maxvalue 100000 cache 3 cycle),
             by_default bigint generated by default as identity (start -5 increment -2),
             untouched smallint generated by default as identity (start 11));
         select create_hypertable('t', 'time');
         insert into t (time, untouched) select '2025-01-01'::timestamptz + n * interval '1 day', 0 from generate_series(1, 10) n",
    );
    assert_carried(&story, "t", &[]);
    for sql in [
        "insert into t (time) values ('2025-02-01') returning always, by_default, untouched",
        "select nextval(pg_get_serial_sequence('t', 'always')) from t limit 2",
    ] {
        let wanted = story.source.query(sql);
        // What the source's own session has cached is spent there; a new one goes on where the target does.
        assert_eq!(story.target.query(sql).len(), wanted.len());
    }
    assert_eq!(
        story.target.value("select by_default || ' ' || untouched from t where time = '2025-02-01'"),
        "-25 11",
        "the next value follows the last one, and what never gave one begins at its start"
    );
    assert!(story.target.try_query("insert into t (time, always) values (now(), 1)").is_err(), "ALWAYS still means it");
}

#[test]
fn sequences_of_defaults_come_with_value_and_owner() {
    let story = Story::new("sequences");
    story.source.run(
        r#"create schema other;
           create sequence other."Free one" as int start 5 increment 3 maxvalue 5000 cache 2;
           create sequence unused start 40;
           create table t (time timestamptz not null, id bigserial, small smallserial,
               free int default nextval('other."Free one"'), never bigint default nextval('unused'));
           select create_hypertable('t', 'time');
           insert into t (time, never)
           select '2025-01-01'::timestamptz + n * interval '1 day', 0 from generate_series(1, 30) n"#,
    );
    let free = r#"select last_value || ' ' || is_called from other."Free one""#;
    let (free_before, unused_before) = (story.source.value(free), "40 false");
    assert_carried(&story, "t", &[]);
    assert_eq!(story.target.value(free), free_before);
    assert_eq!(
        story.target.value("select last_value || ' ' || is_called from unused"),
        unused_before,
        "making chunks draws no value"
    );
    assert_eq!(story.target.value("select pg_get_serial_sequence('t', 'id')"), "public.t_id_seq");
    story.target.run("drop table t");
    let left = "select string_agg(relname, ' ' order by relname) from pg_class where relkind = 'S' and relnamespace in ('public'::regnamespace, 'other'::regnamespace)";
    assert_eq!(story.target.value(left), "Free one unused", "owned sequences go with their table");
}

#[test]
fn a_sequence_that_is_there_keeps_its_value_and_is_refused_when_it_counts_otherwise() {
    let story = Story::new("sequence_there");
    let table = "create table t (time timestamptz not null, id bigint default nextval('s'));
        select create_hypertable('t', 'time');
        insert into t select '2025-01-01'::timestamptz + n * interval '10 days' from generate_series(1, 5) n;";
    story.source.run(&format!("create sequence s; {table}"));
    story.target.run("create sequence s increment 2");
    story.assert_refused(&["t"], "sequence public.s exists on the target with another definition");
    story.target.run("drop sequence s; create sequence s; select setval('s', 1000)");
    let report = story.migrate("t", &[]);
    assert_eq!(
        story.target.value("select last_value from s"),
        "1000",
        "it may be in use: neither moved nor drawn from"
    );
    assert!(not_carried(&report).iter().any(|line| line.starts_with("sequence value: public.s")), "{report}");
}

#[test]
fn constraints_arrive_with_their_names_options_and_state() {
    let story = Story::new("constraints");
    story.source.run(
        r#"create table t (time timestamptz not null, device int not null, value float8 constraint "Is finite" check (value < 'inf'),
               note text, span int4range,
               constraint named check (device > 0 and note is distinct from 'x'),
               constraint the_key primary key (device, time) include (value) with (fillfactor = 70),
               constraint late unique (time, note, device) with (fillfactor = 60) deferrable initially deferred,
               constraint nulls unique nulls not distinct (time, note),
               constraint no_overlap exclude using btree (time with =, device with =) where (device > 5));
           select create_hypertable('t', 'time');
           insert into t select '2025-01-01'::timestamptz + n * interval '1 day', n, n, n::text from generate_series(1, 20) n;
           insert into t values ('2025-01-01', 1, 1, 'bad');
           alter table t add constraint unproven check (note <> 'bad') not valid"#,
    );
    let report = assert_carried(&story, "t", &[]);
    assert_eq!(report["plan"]["key_first"], false);
    assert!(
        story.target.try_query("insert into t values ('2025-05-01', 1, 1, 'bad')").is_err(),
        "unproven, but enforced"
    );
}

#[test]
fn the_primary_key_is_early_with_many_chunks_and_late_with_few() {
    let story = Story::new("key_time");
    story.source.run(
        "create table t (n int not null, device int, primary key (n, device));
         select create_hypertable('t', 'n', chunk_time_interval => 10);
         insert into t select n, n % 3 from generate_series(0, 1009) n",
    );
    let holds = |list: &serde_json::Value| list.to_string().contains("PRIMARY KEY");
    for (interval, chunks, early) in [("10", 101, true), ("1000", 2, false)] {
        let report = story.migrate("t", &["--chunk-interval", interval, "--as", &format!("every_{interval}")]);
        assert_eq!(report["target_chunks"], chunks);
        assert_eq!(
            (report["plan"]["key_first"].as_bool(), holds(&report["plan"]["before_rows"])),
            (Some(early), early)
        );
        assert_eq!(holds(&report["plan"]["after_rows"]), !early);
        let sql = format!(
            "select count(*) from pg_constraint where contype = 'p' and (conrelid = 'every_{interval}'::regclass or
                 conrelid in (select show_chunks('every_{interval}')))"
        );
        assert_eq!(story.target.value(&sql), (chunks + 1).to_string(), "on the table and on each chunk");
    }
}

#[test]
fn indexes_of_every_kind_arrive_as_they_were() {
    let story = Story::new("indexes");
    story.source.run(
        r#"create table t (time timestamptz not null, device text, value float8, tags text[], document jsonb, area box,
               span int4range, address inet);
           select create_hypertable('t', 'time');
           create index plain on t (device, time desc);
           create index nulls_order on t (value desc nulls last, time asc nulls first);
           create index expression on t (lower(device), (value * 2) desc);
           create index partial on t (device) where value > 0 and device <> 'it''s';
           create index covering on t (time) include (value, device);
           create index collated on t (device collate "POSIX");
           create index pattern on t (device text_pattern_ops);
           create index "Mixed case ""q""" on t (value) with (fillfactor = 80);
           create unique index one on t (time, device) nulls not distinct where value is not null;
           create index ranges on t using brin (time, value float8_minmax_multi_ops (values_per_range = 16))
               with (pages_per_range = 16, autosummarize = true);
           create index words on t using gin (tags) with (fastupdate = off);
           create index paths on t using gin (document jsonb_path_ops);
           create index hashed on t using hash (device);
           create index boxes on t using gist (area, span);
           create index addresses on t using spgist (address inet_ops);
           insert into t select '2025-01-01'::timestamptz + n * interval '1 day', 'd' || n, n, array['a', n::text],
               '{"a": 1}', '(1,1),(0,0)', '[1,2)', '10.0.0.1' from generate_series(1, 20) n"#,
    );
    let report = assert_carried(&story, "t", &[]);
    assert_eq!(not_carried(&report), [""; 0]);
    let on_chunks = "select count(*) from pg_index where indrelid in (select show_chunks('t'))";
    assert_eq!(story.target.value(on_chunks), story.source.value(on_chunks), "each chunk has them all");
}

#[test]
fn the_index_that_timescaledb_makes_by_itself_is_not_made_twice_nor_invented() {
    let story = Story::new("default_index");
    story.source.run(
        "create table with_one (time timestamptz not null); select create_hypertable('with_one', 'time');
         create table without (time timestamptz not null);
         select create_hypertable('without', 'time', create_default_indexes => false)",
    );
    assert_carried(&story, "with_one", &[]);
    assert_carried(&story, "without", &[]);
}

#[test]
fn types_nested_in_each_other_are_made_on_the_target() {
    let story = Story::new("types");
    story.source.run(
        r#"create schema "Kinds"; create schema more;
           create type "Kinds".mood as enum ('it''s "fine"', 'sad', 'ü');
           alter type "Kinds".mood add value 'between' before 'sad';
           set search_path = "Kinds", public;
           create domain more.feeling as mood default 'sad' constraint "not ü" check (value <> 'ü');
           reset search_path;
           create domain more.score as numeric(5, 2) not null default 1 check (value >= 0) constraint small check (value < 100);
           create domain more.label as text collate "C";
           create type more.point as (x float8, "Y" float8, gone int, label text collate "POSIX");
           alter type more.point drop attribute gone;
           create type more.mark as (at more.point, feelings more.feeling[], score numeric(5, 2), many more.point[]);
           create domain more.marks as more.mark[];
           create table t (time timestamptz not null, mood "Kinds".mood default 'between', feeling more.feeling,
               moods "Kinds".mood[] default array['sad']::"Kinds".mood[], score more.score, label more.label, mark more.mark,
               marks more.marks, ranges int4range[],
               constraint happy check (mood > 'it''s "fine"'));
           create index sad on t (time) where mood = 'sad';
           select create_hypertable('t', 'time');
           insert into t (time, score, label, mark, marks) select '2025-01-01'::timestamptz + n * interval '1 day', n, 'a',
               row(row(n, 0, 'p')::more.point, array['sad'::more.feeling], n, null)::more.mark,
               array[row(null, null, 1, array[row(1, 2, 'q')::more.point])::more.mark] from generate_series(1, 20) n"#,
    );
    let words = |database: &Database| {
        database.query(
            r#"set search_path = '';
               select typname::text, enumlabel::text, null, null from pg_enum join pg_type t on t.oid = enumtypid
               union all
               select attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attcollation::regcollation::text
               from pg_attribute join pg_class c on c.oid = attrelid
               where c.relkind = 'c' and relnamespace = 'more'::regnamespace and not attisdropped
               union all
               select typname, format_type(typbasetype, typtypmod), typnotnull::text || ' ' || typcollation::regcollation,
                   pg_get_expr(typdefaultbin, 0)
               from pg_type where typtype = 'd' and typnamespace = 'more'::regnamespace
               union all
               select conname, pg_get_constraintdef(oid), contypid::regtype::text, null from pg_constraint
               where contypid <> 0 and connamespace = 'more'::regnamespace
               order by 1, 2, 3;
               reset search_path"#,
        )
    };
    let report = assert_carried(&story, "t", &["--verify", "checksum"]);
    assert_eq!(words(&story.target), words(&story.source));
    assert!(words(&story.source).len() > 15);
    assert_eq!(report["plan"]["format"], "binary");
    let order = r#"select string_agg(m::text, ' ' order by m) from unnest(enum_range(null::"Kinds".mood)) m"#;
    assert_eq!(story.target.value(order), "it's \"fine\" between sad ü");
    // All of it is there now and the same, so it is used.
    let again = story.migrate("t", &["--as", "more.again"]);
    let made = again["plan"]["before_rows"].to_string();
    assert!(!made.contains("create type") && !made.contains("create domain"), "{made}");
}

#[test]
fn a_type_with_the_same_name_and_another_definition_is_refused() {
    let story = Story::new("other_types");
    let cases = [
        ("type k as enum ('a', 'b')", "type k as enum ('b', 'a')"),
        ("type k as enum ('a', 'b')", "type k as enum ('a', 'b', 'c')"),
        ("type k as enum ('a')", "domain k as text"),
        ("domain k as int check (value > 0)", "domain k as int"),
        ("domain k as int", "domain k as bigint"),
        ("domain k as int", "domain k as int not null"),
        ("domain k as int default 1", "domain k as int default 2"),
        ("domain k as varchar(5)", "domain k as varchar(6)"),
        ("type k as (a int, b text)", "type k as (b text, a int)"),
        ("type k as (a int, b text)", "type k as (a int, c text)"),
        ("type k as (a text)", "type k as (a text collate \"C\")"),
        ("type k as (a int)", "type k as (a int, b int)"),
    ];
    for (number, (here, there)) in cases.into_iter().enumerate() {
        let schema = format!("s{number}");
        story.source.run(&format!(
            "create schema {schema}; create {};
             create table {schema}.t (time timestamptz not null, k {schema}.k); select create_hypertable('{schema}.t', 'time')",
            here.replacen(" k ", &format!(" {schema}.k "), 1)
        ));
        story
            .target
            .run(&format!("create schema {schema}; create {}", there.replacen(" k ", &format!(" {schema}.k "), 1)));
        story.assert_refused(
            &[&format!("{schema}.t")],
            &format!("type {schema}.k exists on the target with another definition"),
        );
    }
}

#[test]
fn a_part_of_a_type_that_differs_is_refused_too() {
    let story = Story::new("other_parts");
    story.source.run(
        "create type part as enum ('a', 'b'); create type whole as (p part[]);
         create table t (time timestamptz not null, w whole[]); select create_hypertable('t', 'time')",
    );
    story.target.run("create type part as enum ('a')");
    story.assert_refused(&["t"], "type public.part exists on the target with another definition");
}

#[test]
fn what_a_definition_calls_must_be_on_the_target() {
    let story = Story::new("calls");
    story.source.run(
        "create function f(int) returns int language sql immutable as 'select $1';
         create collation c from \"C\";
         create function eq(int, int) returns bool language sql immutable as 'select $1 = $2';
         create operator === (function = eq, leftarg = int, rightarg = int);
         create domain checked as int check (f(value) > 0);
         create type hue as enum ('red');
         create text search configuration words (copy = simple);
         create table base (time timestamptz not null, n int);",
    );
    for (table, column, missing) in [
        ("a", "alter table a add d int default f(1)", "function public.f(integer)"),
        ("b", "alter table b add constraint k check (f(n) > 0)", "function public.f(integer)"),
        ("c", "create index ci on c (f(n))", "function public.f(integer)"),
        ("d", "alter table d add d text collate c", "collation public.c"),
        ("e", "alter table e add constraint k check (n === 1)", "function public.eq(integer,integer)"),
        ("f", "alter table f add d checked", "function public.f(integer)"),
        ("g", "alter table g add constraint k check (n::text::hue is not null)", "type public.hue"),
        (
            "h",
            "create index hi on h using gin (to_tsvector('words', n::text))",
            "text search configuration public.words",
        ),
    ] {
        story
            .source
            .run(&format!("create table {table} (like base); select create_hypertable('{table}', 'time'); {column}"));
        story.assert_refused(&[table], &format!("{missing} is missing on the target"));
    }
}

#[test]
fn missing_schemas_are_made_and_dropped_columns_are_not() {
    let story = Story::new("schemas");
    story.source.run(
        r#"create schema "Odd schema"; create schema types; create schema counts;
           create type types.kind as enum ('a'); create sequence counts.s;
           create table "Odd schema"."Odd table" (gone int, time timestamptz not null, also_gone text, kind types.kind,
               n int default nextval('counts.s'), last_gone int);
           select create_hypertable('"Odd schema"."Odd table"', 'time');
           insert into "Odd schema"."Odd table" (gone, time, kind) select 1, '2025-01-01'::timestamptz + n * interval '3 days', 'a'
           from generate_series(1, 20) n;
           alter table "Odd schema"."Odd table" drop gone, drop also_gone, drop last_gone;
           insert into "Odd schema"."Odd table" (time) select '2026-01-01'::timestamptz + n * interval '3 days'
           from generate_series(1, 20) n"#,
    );
    assert_carried(&story, "\"Odd schema\".\"Odd table\"", &["--verify", "checksum"]);
    assert_eq!(story.target.value("select count(*) from pg_attribute where attisdropped"), "0");
}

/// A role of this run, and with it gone at the end.
fn with_role(story: &Story, name: &str, attributes: &str, work: impl FnOnce(&str)) {
    let role = format!("{name}_{}", std::process::id());
    for database in [&story.source, &story.target] {
        // One server may hold both databases.
        let _ = database.try_query(&format!("create role {role} {attributes}"));
    }
    work(&role);
    for database in [&story.source, &story.target] {
        let _ = database.try_query(&format!("reassign owned by {role} to current_user; drop owned by {role}"));
    }
    for database in [&story.source, &story.target] {
        let _ = database.try_query(&format!("drop role {role}"));
    }
}

fn owner(database: &Database, table: &str) -> String {
    database.value(&format!("select relowner::regrole from pg_class where oid = '{table}'::regclass"))
}

const OWNED: &str = "create table t (time timestamptz not null, id serial);
    select create_hypertable('t', 'time');
    insert into t values ('2025-01-01'), ('2025-02-01');";

#[test]
fn the_owner_is_the_sources_where_the_role_may_give_it_the_table() {
    let story = Story::new("owner");
    story.source.run(OWNED);
    with_role(&story, "keeper", "nologin", |keeper| {
        story.source.run(&format!("alter table t owner to {keeper}"));
        let report = story.migrate("t", &[]);
        assert_eq!(not_carried(&report), [""; 0]);
        for relation in ["t", "t_id_seq"] {
            assert_eq!(owner(&story.target, relation), keeper);
        }
        assert_eq!(story.target.value("select string_agg(distinct relowner::regrole::text, ' ') from pg_class where oid in (select show_chunks('t'))"), keeper);
    });
}

#[test]
fn an_owner_that_cannot_be_given_is_listed() {
    let story = Story::new("no_owner");
    story.source.run(OWNED);
    with_role(&story, "stranger", "nologin", |stranger| {
        with_role(&story, "mover", "login", |mover| {
            story.source.run(&format!("alter table t owner to {stranger}"));
            let database = story.target.value("select quote_ident(current_database())");
            let table_with_sequence = |run: Run| {
                assert_eq!(run.code, 3, "{}", run.stderr);
                assert!(run.stderr.contains("may not create anything in schema public"), "{}", run.stderr);
            };
            story.target.run(&format!(
                "grant create on database {database} to {mover}; create schema app authorization {mover}"
            ));
            let as_mover = |arguments: &[&str]| -> Run {
                let conninfo = format!("{} user={mover}", story.target.conninfo);
                Run::of(
                    story.command(arguments).env("HYPERCOPY_TARGET", conninfo).output().expect("the program starts"),
                )
            };
            let listed = format!("owner: {stranger}: the table will belong to {mover}");
            table_with_sequence(as_mover(&["migrate", "t", "--as", "app.one"]));
            story.source.run("alter table t drop id");
            // Not a member of the owner; a member, but the owner could not make tables in the schema, so PostgreSQL would
            // refuse to give it one.
            for (grant, place) in [
                ("select 1".to_string(), "app.one"),
                (format!("grant {stranger} to {mover}"), "app.two"),
                ("select 1".to_string(), "made.three"),
            ] {
                story.target.run(&grant);
                let run = as_mover(&["migrate", "t", "--as", place, "--json"]);
                assert_eq!(run.code, 0, "{}", run.stderr);
                assert!(not_carried(&run.json()).contains(&listed), "{}", run.stdout);
                assert_eq!(owner(&story.target, place), mover);
            }
            story.target.run(&format!("grant usage, create on schema app to {stranger}"));
            let run = as_mover(&["migrate", "t", "--as", "app.four", "--json"]);
            assert_eq!(run.code, 0, "{}", run.stderr);
            assert!(!not_carried(&run.json()).contains(&listed), "{}", run.stdout);
            assert_eq!(owner(&story.target, "app.four"), stranger);
        });
    });
}

#[test]
fn a_copy_in_the_same_database_renames_indexes_and_shares_sequences() {
    let mut story = Story::new("same_database");
    story.source.run(
        "create type kind as enum ('a');
         create table metrics (time timestamptz not null, id bigserial, kind kind default 'a', value float8,
             constraint metrics_positive check (value >= 0), primary key (id, time),
             constraint only_one unique (time, value));
         create index metrics_value on metrics (value); create index odd on metrics (kind);
         select create_hypertable('metrics', 'time');
         insert into metrics (time, value) select '2025-01-01'::timestamptz + n * interval '1 day', n from generate_series(1, 30) n",
    );
    let before = described(&story.source, "metrics");
    // The second database is left as it is.
    story.target = Database::create(Server::Trixie, "same_database_unused").unwrap();
    let run = Run::of(
        story
            .command(&["migrate", "metrics", "--as", "metrics_new", "--json", "--chunk-interval", "1 day"])
            .env("HYPERCOPY_TARGET", &story.source.conninfo)
            .output()
            .expect("the program starts"),
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(described(&story.source, "metrics"), before, "also its sequence stands where it stood");
    assert_eq!(story.source.multiset("metrics_new"), story.source.multiset("metrics"));
    let indexes = |table: &str| {
        story.source.value(&format!(
            "select string_agg(indexrelid::regclass::text, ' ' order by indexrelid::regclass::text) from pg_index where indrelid = '{table}'::regclass"
        ))
    };
    assert_eq!(indexes("metrics"), "metrics_pkey metrics_time_idx metrics_value odd only_one");
    assert_eq!(indexes("metrics_new"), "metrics_new_pkey metrics_new_time_idx metrics_new_value odd_1 only_one_1");
    let default = |table: &str| {
        story.source.value(&format!(
            "select pg_get_expr(adbin, adrelid) from pg_attrdef join pg_attribute on attrelid = adrelid and attnum = adnum
             where adrelid = '{table}'::regclass and attname = 'id'"
        ))
    };
    assert_eq!(default("metrics_new"), default("metrics"));
    assert_eq!(
        story.source.value("select pg_get_serial_sequence('metrics', 'id')"),
        "public.metrics_id_seq",
        "the sequence stays with the table it belongs to"
    );
}

#[test]
fn long_names_are_shortened_where_a_prefix_makes_them_too_long() {
    let story = Story::new("long_names");
    let long = "ä".repeat(25);
    story.source.run(&format!(
        "create table t (time timestamptz not null, a int, b int);
         create index t_{long}_1 on t (a); create index t_{long}_2 on t (b);
         select create_hypertable('t', 'time'); insert into t values ('2025-01-01')"
    ));
    let name = "n".repeat(60);
    story.migrate("t", &["--as", &name]);
    assert_eq!(story.target.value(&format!("select count(*) from pg_index where indrelid = '{name}'::regclass")), "3");
}

/// A table with one of everything, of which the target lacks what it needs, and the lines that must say so.
const LEFT_BEHIND: &str = r#"
    create table devices (id int primary key);
    create table t (time timestamptz not null, device int references devices, value float8, note text,
        constraint positive check (device > 0), primary key (time, device));
    select create_hypertable('t', 'time');
    create table events (time timestamptz, device int, constraint incoming foreign key (time, device) references t);
    create index marked on t (value, (value + 1));
    create index "Hot" on t (note);
    create function keep() returns trigger language plpgsql as 'begin return new; end';
    create trigger watched after insert on t for each row execute function keep();
    create trigger "By statement" before update on t execute function keep();
    create policy mine on t using (device = 1);
    grant select on t to public;
    grant update (note) on t to public;
    comment on table t is 'c'; comment on column t.value is 'c'; comment on index marked is 'c';
    comment on constraint positive on t is 'c';
    create statistics related on device, value from t;
    alter table t set (fillfactor = 90, toast.autovacuum_enabled = false);
    alter table t alter device set statistics 500;
    alter table t alter value set (n_distinct = 7);
    alter index marked alter column 2 set statistics 77;
    alter table t replica identity full;
    alter table t cluster on "Hot";
    create publication p for table t;
    create view seen as select * from t;
    create materialized view stored as select count(*) from t;
    insert into devices values (1);
    insert into t values ('2025-01-01', 1, 1), ('2025-03-01', 1, 2);
    create index only_here on _timescaledb_internal._hyper_1_1_chunk (note, value);
"#;
const LEFT_BEHIND_LINES: [&str; 7] = [
    "foreign key to this table: incoming on public.events: the table is missing on the target",
    "foreign key: t_device_fkey: public.devices is missing on the target",
    "index of one chunk: only_here on _timescaledb_internal._hyper_1_1_chunk",
    "publication: p: there is no such publication on the target",
    "rows of a materialized view: public.stored: row-level security that holds for its owner comes behind it",
    "trigger: \"By statement\": function public.keep() is missing on the target",
    "trigger: watched: function public.keep() is missing on the target",
];

#[test]
fn what_is_not_carried_is_listed_everywhere_and_strict_refuses_it() {
    let story = Story::new("left_behind");
    story.source.run(LEFT_BEHIND);
    story.source.run("alter table t enable row level security, force row level security");
    let lines: Vec<&str> = LEFT_BEHIND_LINES.to_vec();
    let missing = |text: &dyn Fn(&str) -> bool| lines.iter().filter(|line| !text(line)).copied().collect::<Vec<_>>();

    let dry = story.hypercopy(&["migrate", "t", "--dry-run"]);
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    assert_eq!(missing(&|line| dry.stderr.contains(line)), [""; 0], "a dry run says it: {}", dry.stderr);

    let before = story.target_objects();
    let strict = story.hypercopy(&["migrate", "t", "--strict"]);
    assert_eq!(strict.code, 3, "{}", strict.stderr);
    // Nothing is written yet when it stops, so this is also what is said before a copy.
    assert_eq!(missing(&|line| strict.stderr.contains(line)), [""; 0], "{}", strict.stderr);
    assert_eq!(story.target_objects(), before);

    let run = story.hypercopy(&["migrate", "t", "--json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let listed = not_carried(&run.json());
    assert_eq!(missing(&|line| listed.iter().any(|found| found.starts_with(line))), [""; 0], "{listed:#?}");
    assert_eq!(listed.len(), lines.len(), "and nothing is listed that is carried: {listed:#?}");
    assert_eq!(story.target.value("select count(*) from t"), "2");
}

//! The zoo: what PostgreSQL keeps on a table.

use crate::belongings::Tablespace;
use crate::harness::{Server, Story};
use crate::zoo::{Described, Fixture};

#[test]
fn columns_keep_everything_that_is_said_of_them() {
    columns().makes_its_round_trips();
}

fn columns() -> Fixture {
    Fixture {
        both: "",
        ..Fixture::new(
            "zoo_columns",
            r#"create table t (gone int, time timestamptz(3) not null default now(), device int not null,
                   "Odd ""name""
" text collate "C" default 'it''s', packed text compression pglz,
                   kept text, exact numeric(12, 3) default 1.5, twice numeric generated always as (exact * 2) stored,
                   always int generated always as identity (start 100 increment 7 cache 3), id bigserial);
               alter table t alter kept set storage external, alter packed set statistics 17,
                   alter device set (n_distinct = -0.5, n_distinct_inherited = 100);
               select create_hypertable('t', 'time', chunk_time_interval => interval '7 days');
               insert into t (gone, time, device) select 1, '2025-01-01'::timestamptz + n * interval '1 day', n from generate_series(1, 20) n;
               alter table t drop gone;
               insert into t (time, device) select '2025-03-01'::timestamptz + n * interval '1 day', n from generate_series(1, 20) n;
               comment on table t is 'it''s a table
with two lines and a \ in it';
               comment on column t.device is 'a "device"';
               comment on column t.always is 'ü';
               grant select (device), update (kept) on t to {alice};
               grant select on t to {bob} with grant option;
               grant usage on sequence t_always_seq to {alice};
               comment on sequence t_always_seq is 'counts';"#,
        )
    }
}

#[test]
fn constraints_and_indexes_keep_their_options_marks_and_comments() {
    indexes().makes_its_round_trips();
}

fn indexes() -> Fixture {
    Fixture::new(
        "zoo_indexes",
        r#"create table t (time timestamptz not null, device int not null, value float8, note text, words tsvector, span int4range,
               constraint the_key primary key (device, time) include (value) with (fillfactor = 70),
               constraint late unique (time, note, device) deferrable initially deferred,
               constraint nulls unique nulls not distinct (time, note),
               constraint positive check (device > 0),
               constraint apart exclude using btree (time with =, device with =) where (device > 5));
           select create_hypertable('t', 'time', chunk_time_interval => interval '7 days', create_default_indexes => false);
           insert into t select '2025-01-01'::timestamptz + n * interval '1 day', n, n, n::text from generate_series(1, 20) n;
           alter table t add constraint unproven check (note <> '7') not valid;
           create index signed on t using gist (words tsvector_ops (siglen = 100));
           create index half on t (device, (value / 2)) include (note) where value > 0;
           create index filled on t (note collate "C" text_pattern_ops desc nulls last) with (fillfactor = 60);
           create index brief on t using brin (time timestamptz_minmax_multi_ops (values_per_range = 16));
           alter index half alter column 2 set statistics 400;
           alter table t cluster on filled;
           alter table t replica identity using index the_key;
           comment on constraint the_key on t is 'the key';
           comment on index the_key is 'its index';
           comment on constraint positive on t is 'a check';
           comment on index half is 'half';
           alter table t set (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_enabled = off);
           create statistics pair (ndistinct, mcv) on device, note from t;
           alter statistics pair set statistics 12;
           create statistics computed on (value / 2), device from t;
           comment on statistics pair is 'on a pair'"#,
    )
}

/// A table with a row for each hour, and another one that it can refer to.
const METRICS: &str = "create table t (time timestamptz not null, device int not null, value float8, note text, primary key (device, time));
    select create_hypertable('t', 'time', chunk_time_interval => interval '7 days');
    insert into t select '2025-01-01'::timestamptz + n * interval '1 hour', n % 5, n, 'note' from generate_series(1, 500) n;";

#[test]
fn foreign_keys_in_both_directions_are_made_and_proven() {
    keys().makes_its_round_trips();
}

fn keys() -> Fixture {
    let source = format!(
        r#"{METRICS}
           alter table t add constraint to_devices foreign key (device) references "Far.away".devices on delete cascade on update cascade,
               add constraint later foreign key (device) references "Far.away".devices deferrable initially deferred,
               add constraint unproven foreign key (note) references "Far.away".notes not valid;
           comment on constraint to_devices on t is 'refers';
           alter table events add constraint "of t" foreign key (device, time) references t on delete cascade;
           comment on constraint "of t" on events is 'referred to'"#
    );
    Fixture {
        both: r#"create schema "Far.away"; create table "Far.away".devices (id int primary key);
            create table "Far.away".notes (text text primary key);
            insert into "Far.away".devices select generate_series(0, 4);
            create table events (device int, time timestamptz);
            insert into events select 1, '2025-01-01'::timestamptz + n * interval '5 hours' + interval '1 hour' from generate_series(0, 5) n"#,
        ..Fixture::new("zoo_keys", source.leak())
    }
}

#[test]
fn triggers_of_every_kind_have_not_seen_the_copy() {
    triggers().makes_its_round_trips();
}

fn triggers() -> Fixture {
    let source = format!(
        r#"{METRICS}
           create trigger "Before ON public.t " before insert or delete or update of note, "value" on t
               for each row execute function noted('an ''argument', E'and \\ another');
           create trigger "when" after update on t for each row
               when (old.* is distinct from new.* and new.note <> ' ON public.t ') execute function noted();
           create trigger rows after insert on t referencing new table as arrived for each statement execute function noted();
           create trigger emptied before truncate on t execute function noted();
           create constraint trigger late after insert on t deferrable initially deferred for each row execute function noted();
           comment on trigger "when" on t is 'a trigger'"#
    );
    Fixture {
        both: "create table seen (who text);
            create function noted() returns trigger language plpgsql as
                'begin insert into public.seen values (tg_name); raise exception ''seen''; end'",
        ..Fixture::new("zoo_triggers", source.leak())
    }
}

#[test]
fn policies_and_forced_row_security_come_last() {
    policies().makes_its_round_trips();
}

fn policies() -> Fixture {
    let source = format!(
        r#"{METRICS}
           alter table t enable row level security, force row level security;
           create policy everything on t;
           create policy "Read ""it""" on t for select to {{alice}}, {{bob}} using (visible(device) and note <> 'a''b\');
           create policy latest on t as restrictive for update to public
               using (time >= (select max(other.time) from t other where other.device = t.device)) with check (value > 0);
           create policy added on t for insert to {{bob}} with check (device in (select device from t));
           comment on policy latest on t is 'a policy'"#
    );
    Fixture {
        both: "create function visible(int) returns boolean language sql as 'select $1 < 3'",
        ..Fixture::new("zoo_policies", source.leak())
    }
}

#[test]
fn grants_are_given_by_whom_they_were_given_by() {
    grants().makes_its_round_trips();
}

fn grants() -> Fixture {
    let source = format!(
        "{METRICS}
         grant select, insert on t to {{alice}} with grant option;
         grant update on t to {{alice}};
         grant select (value, note) on t to {{bob}};
         grant update (note) on t to public;
         grant update (value) on t to {{alice}} with grant option;
         grant maintain on t to {{carol}};
         set role {{alice}};
         grant select on t to {{bob}} with grant option;
         grant update (value) on t to {{bob}};
         set role {{bob}};
         grant select on t to public;
         reset role;
         revoke truncate on t from current_user"
    );
    Fixture {
        both: "grant usage on schema public to {alice}, {bob};
            alter default privileges grant all on tables to {bob};
            alter default privileges in schema public grant trigger on tables to public",
        ..Fixture::new("zoo_grants", source.leak())
    }
}

#[test]
fn publications_that_are_there_take_the_table() {
    publications().makes_its_round_trips();
}

fn publications() -> Fixture {
    let source = format!(
        "{METRICS}
         alter publication some_rows add table t (device, time) where (device > 1);
         alter publication whole add table only t;
         create publication absent for table t; create publication everything for all tables;
         create publication a_schema for tables in schema public"
    );
    Fixture {
        both: "create publication some_rows with (publish = 'insert'); create publication whole",
        listed: &[
            "publication: absent: there is no such publication on the target",
            "publication: everything: it publishes all tables, and not so on the target",
            "publication: a_schema: it publishes the tables of the schema",
        ],
        ..Fixture::new("zoo_publications", source.leak())
    }
}

#[test]
fn what_names_what_is_missing_is_listed() {
    missing().makes_its_round_trips();
}

fn missing() -> Fixture {
    let source = format!(
        r#"create table devices (id int primary key); insert into devices select generate_series(0, 4);
           create table only_here (device int, time timestamptz);
           create function noted() returns trigger language plpgsql as 'begin return new; end';
           create function visible(int) returns boolean language sql as 'select true';
           create schema elsewhere;
           {METRICS}
           alter table t add constraint to_missing foreign key (device) references devices,
               add constraint to_notes foreign key (note) references notes;
           alter table only_here add constraint of_t foreign key (device, time) references t;
           create trigger unknown after insert on t for each row execute function noted();
           create policy blind on t using (visible(device));
           create policy theirs on t to {{nobody}} using (true);
           create policy shared on t to {{nobody}}, {{alice}} using (true);
           grant select on t to {{nobody}} with grant option;
           grant select (note) on t to {{nobody}};
           grant select on t to {{alice}};
           set role {{nobody}}; grant select on t to {{bob}}; reset role;
           create statistics elsewhere.pair on device, note from t;
           alter statistics elsewhere.pair owner to current_user"#
    );
    Fixture {
        both: "create table notes (text text); insert into notes values ('note'); alter table notes add primary key (text)",
        listed: &[
            "foreign key: to_missing: public.devices is missing on the target",
            "foreign key to this table: of_t on public.only_here: the table is missing on the target",
            "trigger: unknown: function public.noted() is missing on the target",
            "policy: blind: function public.visible(integer) is missing on the target",
            "policy: theirs: there is no role nobody",
            "policy: shared: there is no role nobody",
            "grant: select on public.t to nobody",
            "grant: select (note) on public.t to nobody",
            "grant: select on public.t to bob",
            "extended statistics: elsewhere.pair: schema elsewhere is missing on the target",
        ],
        ..Fixture::new("zoo_missing", source.leak())
    }
}

#[test]
fn an_owner_that_is_missing_is_listed() {
    owner().makes_its_round_trips();
}

fn owner() -> Fixture {
    let source = format!("{METRICS} grant create on schema public to {{nobody}}; alter table t owner to {{nobody}}");
    Fixture { listed: &["owner: nobody"], ..Fixture::new("zoo_owner", source.leak()) }
}

#[test]
fn sequences_that_are_made_keep_their_grants_and_comments() {
    sequences().makes_its_round_trips();
}

fn sequences() -> Fixture {
    Fixture::new(
        "zoo_sequences",
        r#"create schema other; grant usage on schema other to {alice};
           create sequence other."Free one" as int start 5 increment 3 maxvalue 5000 cache 2;
           create table t (time timestamptz not null, id bigserial, small smallserial, free int default nextval('other."Free one"'),
               counted int generated by default as identity);
           create sequence owned owned by t.time;
           select create_hypertable('t', 'time', chunk_time_interval => interval '7 days');
           insert into t (time) select '2025-01-01'::timestamptz + n * interval '1 day' from generate_series(1, 30) n;
           grant usage on sequence t_id_seq to {alice} with grant option;
           set role {alice}; grant usage on sequence t_id_seq to {bob}; reset role;
           grant all on sequence other."Free one" to public;
           revoke update on sequence t_small_seq from current_user;
           comment on sequence t_id_seq is 'counts rows';
           comment on sequence other."Free one" is 'it''s free'"#,
    )
}

#[test]
fn names_of_any_kind_are_kept_in_every_position() {
    names().makes_its_round_trips();
}

fn names() -> Fixture {
    let long = "ä".repeat(31);
    let hostile = |name: &str| format!("\"{name} \"\"x\"\".'y'\\;--\n$$ ON {}\"", "ü".repeat(4));
    let (schema, table) = (hostile("S"), format!("\"{long}\""));
    let source = format!(
        r#"create schema {schema};
           create table {schema}.{table} ("time" timestamptz not null, "select" int generated by default as identity, {column} text,
               "from" int not null, constraint {key} primary key ("time", "from"), constraint {check} check ("from" >= 0));
           select create_hypertable('{literal}', 'time', chunk_time_interval => interval '7 days', create_default_indexes => false);
           insert into {schema}.{table} ("time", {column}, "from")
           select '2025-01-01'::timestamptz + n * interval '1 day', 'x', n % 5 from generate_series(1, 30) n;
           create index {index} on {schema}.{table} ({column}, ("from" + 1));
           create index {partial} on {schema}.{table} ("from") where {column} <> ' ON ';
           alter index {schema}.{index} alter column 2 set statistics 7;
           alter table {schema}.{table} replica identity using index {key};
           alter table {schema}.{table} cluster on {index};
           alter table {schema}.{table} alter {column} set statistics 5, alter {column} set (n_distinct = 5);
           grant select ({column}, "from") on {schema}.{table} to {{alice}};
           comment on table {schema}.{table} is '{{x}} '' \ ü
';
           comment on column {schema}.{table}.{column} is 'c'; comment on constraint {check} on {schema}.{table} is 'k';
           comment on index {schema}.{index} is 'i';
           create statistics {schema}.{statistics} on {column}, "from" from {schema}.{table};
           create trigger {trigger} after insert or update of {column} on {schema}.{table}
               for each row when (new.{column} <> ' ON {unquoted} ') execute function {function}(' ON ', 'it''s \');
           create policy {policy} on {schema}.{table} using ({column} <> 'a''b\ -- ;' and "from" in (select "from" from {schema}.{table}));
           alter table {schema}.{table} add constraint {foreign} foreign key ("from") references {devices} on delete set default;
           alter table {events} add constraint {incoming} foreign key ("to ""day""", "where") references {schema}.{table};
           alter publication {publication} add table {schema}.{table}"#,
        column = hostile("C"),
        key = format_args!("\"{}k\"", "é".repeat(31)),
        check = hostile("check"),
        literal = format!("{schema}.{table}").replace('\'', "''"),
        index = hostile("I"),
        partial = hostile("partial"),
        statistics = hostile("statistics"),
        trigger = hostile("T"),
        unquoted = long,
        function = hostile("f"),
        policy = hostile("P"),
        foreign = hostile("F"),
        devices = hostile("devices"),
        events = hostile("events"),
        incoming = hostile("in"),
        publication = hostile("publication"),
    );
    let both = format!(
        r#"create function {function}() returns trigger language plpgsql as 'begin raise exception ''seen''; end';
           create table {devices} ("ID" int primary key); insert into {devices} select generate_series(0, 4);
           create table {events} ("to ""day""" timestamptz, "where" int); create publication {publication}"#,
        function = hostile("f"),
        devices = hostile("devices"),
        events = hostile("events"),
        publication = hostile("publication"),
    );
    let table = format!("{schema}.{table}");
    Fixture { both: both.leak(), table: table.leak(), ..Fixture::new("zoo_names", source.leak()) }
}

/// Triggers in states that only hypertables from 2.27 on can be given, names of NOT NULL, keys that nobody enforces.
const NEWEST: &str = r#"
    alter table t add constraint "Has a value" not null value;
    comment on constraint "Has a value" on t is 'named';
    create trigger asleep after insert on t for each row execute function noted();
    create trigger ever after insert on t execute function noted();
    alter table t disable trigger asleep, enable always trigger ever;"#;

/// What those triggers call.
const NOTED: &str = "create function noted() returns trigger language plpgsql as 'begin return new; end'";

#[test]
fn what_only_newer_servers_have_stays_there_or_is_listed() {
    let source = format!("{METRICS} {NEWEST}");
    let fixture = Fixture { both: NOTED, ..Fixture::new("zoo_newest", source.leak()) };
    Fixture { pairs: &[(Server::Sid, Server::Sid)], ..fixture }.makes_its_round_trips();
    Fixture {
        pairs: &[(Server::Sid, Server::Trixie)],
        listed: &[
            "name of NOT NULL: \"Has a value\" of column value: PostgreSQL 17",
            "comment: constraint \"Has a value\"",
            "trigger: asleep: before 2.27",
            "trigger: ever: before 2.27",
        ],
        ..fixture
    }
    .makes_its_round_trips();
}

#[test]
fn tablespaces_are_kept_or_listed() {
    let space = Tablespace::create(&format!("zoo_{}", std::process::id()));
    let source = format!("{METRICS} create index placed on t (note) tablespace {}", space.0);
    let fixture = Fixture::new("zoo_space", source.leak());
    Fixture { pairs: &[(Server::Trixie, Server::Trixie)], ..fixture }.makes_its_round_trips();
    let listed: &[&str] = &["tablespace: zoo_"];
    Fixture { pairs: &[(Server::Trixie, Server::OtherTrixie)], listed, ..fixture }.makes_its_round_trips();
}

#[test]
fn a_trigger_that_was_lost_silently_would_be_seen() {
    let story = Story::new("zoo_silence");
    story.source.run(METRICS);
    story.migrate("t", &[]);
    story.target.run(&format!("{NOTED}; create trigger late after insert on t execute function noted()"));
    let silent = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let fixture = Fixture::new("zoo_silence", "");
        let (before, after) = (Described::read(&story.source, "t"), Described::read(&story.target, "t"));
        fixture.assert_told(&before, &after, &serde_json::json!({"not_carried": []}), "silent");
    }));
    assert!(silent.is_err(), "a difference that nobody tells of fails");
}

#[test]
fn what_one_chunk_has_alone_is_listed() {
    let source = format!(
        "{METRICS}
         create index only_here on _timescaledb_internal._hyper_1_1_chunk (note, value);
         alter table _timescaledb_internal._hyper_1_1_chunk set (fillfactor = 50);
         alter table _timescaledb_internal._hyper_1_2_chunk alter note set statistics 7;
         alter table _timescaledb_internal._hyper_1_3_chunk add constraint nowhere_else check (device >= 0);
         grant update on _timescaledb_internal._hyper_1_3_chunk to {{alice}}; grant select on t to {{bob}};
         comment on table _timescaledb_internal._hyper_1_3_chunk is 'the third';
         create statistics of_one on note, value from _timescaledb_internal._hyper_1_3_chunk;
         create trigger goes after insert on t execute function noted(); alter trigger goes on t depends on extension hstore"
    );
    Fixture {
        both: "create extension hstore; create function noted() returns trigger language plpgsql as 'begin return new; end'",
        listed: &[
            "index of one chunk: only_here on _timescaledb_internal._hyper_1_1_chunk",
            "storage parameter of one chunk: fillfactor=50 on _timescaledb_internal._hyper_1_1_chunk",
            "setting of a column of one chunk: note on _timescaledb_internal._hyper_1_2_chunk",
            "check of one chunk: nowhere_else on _timescaledb_internal._hyper_1_3_chunk",
            "grant of one chunk: update to alice",
            "comment of one chunk: on table _timescaledb_internal._hyper_1_3_chunk",
            "extended statistics of one chunk: of_one on _timescaledb_internal._hyper_1_3_chunk",
            "dependency on an extension: trigger goes on table public.t",
        ],
        ..Fixture::new("zoo_chunk", source.leak())
    }
    .makes_its_round_trips();
}

#[test]
fn what_nobody_has_proven_or_enforces_is_kept_or_listed() {
    let source = format!(
        r#"{METRICS}
           insert into t values ('2025-01-01 00:30+00', 1, 1, null);
           alter table t add constraint "not proven" not null note not valid;
           alter table t add constraint loose check (value > 100) not enforced;
           alter table t add constraint unenforced foreign key (device) references devices not enforced"#
    );
    let fixture =
        Fixture { both: "create table devices (id int primary key)", ..Fixture::new("zoo_unproven", source.leak()) };
    Fixture { pairs: &[(Server::Sid, Server::Sid)], ..fixture }.makes_its_round_trips();
    let listed: &[&str] = &[
        "NOT NULL: \"not proven\" of column note: PostgreSQL 17",
        "constraint: loose: PostgreSQL 17",
        "foreign key: unenforced: PostgreSQL 17",
    ];
    Fixture { pairs: &[(Server::Sid, Server::Trixie)], listed, ..fixture }.makes_its_round_trips();
}

/// Those that whoever owns the table can have.
pub fn fixtures() -> Vec<Fixture> {
    vec![
        columns(),
        indexes(),
        keys(),
        triggers(),
        policies(),
        grants(),
        publications(),
        missing(),
        sequences(),
        names(),
    ]
}

//! What belongs to a table is the same when another one has taken its place, and when it has come back.

use hypercopy::catalog::read;
use hypercopy::cluster::Release;
use hypercopy::connect::{Conninfo, Target};
use hypercopy::ident::{QualifiedName, quote_ident};
use hypercopy::plan::belongings;

use crate::harness::{Database, Role, Server, Story};
use crate::twin_tables::{BESIDE, METRICS, Twins, assert_kept, assert_same_dump, database, dumped, metrics};

#[test]
fn grants_and_their_grantors_are_kept_and_default_privileges_leave_nothing() {
    let (alice, bob) = (Role::create(Server::Trixie, "alice"), Role::create(Server::Trixie, "bob"));
    let (a, b) = (&alice.name, &bob.name);
    let database = database("belongings_grants", METRICS);
    database.run(&format!(
        "grant select, insert on metrics to {a} with grant option;
         grant update on metrics to {a};
         grant select (value, note) on metrics to {b};
         grant update (note) on metrics to public;
         grant update (value) on metrics to {a} with grant option;
         set role {a};
         grant select on metrics to {b} with grant option;
         grant update (value) on metrics to {b};
         set role {b};
         grant select on metrics to public;
         reset role;
         alter default privileges grant all on tables to {b};
         alter default privileges grant select, trigger on tables to public;
         alter default privileges grant usage on sequences to {b}"
    ));
    assert_kept(&database, &metrics());
}

#[test]
fn an_owner_without_rights_of_his_own_and_a_table_without_grants_are_kept() {
    let owner = Role::create(Server::Trixie, "owner");
    for acl in ["revoke insert, update on metrics from current_user", "revoke all on metrics from current_user", ""] {
        let database = database("belongings_owner", METRICS);
        database.run(&format!(
            "grant create, usage on schema public to {0};
             alter table metrics owner to {0};
             set role {0}; {acl}; reset role;
             alter default privileges grant select on tables to public",
            owner.name
        ));
        assert_kept(&database, &metrics());
    }
}

#[test]
fn comments_are_kept_on_everything_that_can_have_one() {
    let database = database("belongings_comments", METRICS);
    database.run(
        r#"create table devices (id int primary key);
           insert into devices select generate_series(0, 4);
           alter table metrics add constraint "to ""devices""" foreign key (device) references devices;
           create function noted() returns trigger language plpgsql as 'begin return null; end';
           create trigger "On ""it""" after insert on metrics execute function noted();
           create policy mine on metrics using (true);
           create statistics pair on device, note from metrics;
           comment on table metrics is 'it''s a table
with two lines and a \ in it';
           comment on column metrics.value is 'a value';
           comment on column metrics.note is 'a "note"';
           comment on constraint "Some check" on metrics is 'on a check';
           comment on constraint metrics_key on metrics is 'on a key';
           comment on constraint "to ""devices""" on metrics is 'on a foreign key';
           comment on index metrics_key is 'on the index of a key';
           comment on index metrics_note is 'on an index';
           comment on trigger "On ""it""" on metrics is 'on a trigger';
           comment on policy mine on metrics is 'on a policy';
           comment on statistics pair is 'on statistics'"#,
    );
    assert_kept(&database, &metrics());
}

#[test]
fn settings_of_tables_columns_and_indexes_are_kept_and_reach_new_chunks() {
    let database = database("belongings_settings", METRICS);
    database.run(
        "alter table metrics set (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_enabled = off);
         alter table metrics alter note set statistics 17, alter value set (n_distinct = -0.5, n_distinct_inherited = 100);
         alter index metrics_half alter column 2 set statistics 400;
         alter table metrics cluster on metrics_note;
         alter table metrics replica identity full",
    );
    assert_kept(&database, &metrics());
    let full = "select bool_and(relreplident = 'f' and reloptions @> '{fillfactor=60}') from pg_class where oid in (select show_chunks('_hypercopy_7.metrics'))";
    assert_eq!(database.value(full), "t");
}

#[test]
fn a_replica_identity_by_an_index_is_kept_on_the_chunks_too() {
    let database = database("belongings_replica", METRICS);
    database.run("alter table metrics replica identity using index metrics_key");
    assert_kept(&database, &metrics());
    let chunks = "select bool_and(relreplident = 'i' and (select count(*) = 1 from pg_index where indrelid = pg_class.oid and indisreplident))
        from pg_class where oid in (select show_chunks('_hypercopy_7.metrics'))";
    assert_eq!(database.value(chunks), "t");
}

#[test]
fn policies_are_kept_with_roles_and_expressions_that_read_the_table_itself() {
    let (alice, bob) = (Role::create(Server::Trixie, "alice"), Role::create(Server::Trixie, "bob"));
    let (a, b) = (&alice.name, &bob.name);
    let database = database("belongings_policies", METRICS);
    database.run(&format!(
        r#"create schema "Other.place";
           create function "Other.place".visible(int) returns boolean language sql as 'select $1 < 3';
           alter table metrics enable row level security, force row level security;
           create policy everything on metrics;
           create policy "Read ""it""" on metrics for select to {a}, {b} using ("Other.place".visible(device) and note <> 'a''b\');
           create policy latest on metrics as restrictive for update to public
               using (time >= (select max(other.time) from metrics other where other.device = metrics.device))
               with check (value > 0);
           create policy added on metrics for insert to {b} with check (device in (select device from metrics));
           create policy gone on metrics for delete to current_user using (false)"#
    ));
    assert_kept(&database, &metrics());
}

#[test]
fn triggers_of_every_kind_are_kept_and_have_not_seen_the_copy() {
    let database = database("belongings_triggers", METRICS);
    database.run(
        r#"create table seen (who text);
           create function noted() returns trigger language plpgsql
               as 'begin insert into seen values (tg_name || coalesce(tg_argv[0], '''')); return coalesce(new, old); end';
           create trigger "Before ON public.metrics " before insert or delete or update of note, "value" on metrics
               for each row execute function noted('an ''argument', E'and \\ another');
           create trigger "when" after update on metrics for each row
               when (old.* is distinct from new.* and new.note <> ' ON public.metrics ') execute function noted();
           create trigger rows after insert on metrics referencing new table as arrived
               for each statement execute function noted();
           create trigger changes after update on metrics referencing old table as "Old" new table as "New"
               for each statement execute function noted();
           create trigger emptied before truncate on metrics execute function noted();
           create constraint trigger late after insert on metrics deferrable initially deferred
               for each row execute function noted();"#,
    );
    assert_kept(&database, &metrics());
    assert_eq!(database.value("select count(*) from seen"), "0");
    database.run("insert into metrics values ('2025-01-05', 77, 7, 'x'), ('2030-01-05', 77, 7, 'x')");
    assert_eq!(database.value("select count(*) from seen"), "5", "two rows by two triggers, and one statement");
}

#[test]
fn triggers_fire_on_the_new_table_in_chunks_that_there_are_and_in_new_ones() {
    let database = database("belongings_fire", METRICS);
    database.run(
        "create table seen (who text);
         create function noted() returns trigger language plpgsql as 'begin insert into seen values (tg_name); return new; end';
         create trigger noted before insert on metrics for each row execute function noted();",
    );
    let mut twins = Twins::make(&database, &metrics());
    twins.swap();
    database.run("insert into metrics values ('2025-01-05', 77, 7, 'x'), ('2030-01-05', 77, 7, 'x')");
    assert_eq!(database.value("select count(*) from seen"), "2");
}

#[test]
fn foreign_keys_of_the_table_are_kept_with_actions_and_state() {
    let database = database("belongings_keys", METRICS);
    database.run(
        r#"create schema "Far.away";
           create table devices (id int primary key, part int default 1, unique (id, part));
           create table "Far.away"."Notes" (text text primary key);
           insert into devices select generate_series(0, 4);
           insert into "Far.away"."Notes" select distinct note from metrics where note <> 'note 7';
           alter table metrics add part int default 1;
           alter table metrics
               add constraint to_devices foreign key (device) references devices on delete cascade on update cascade,
               add constraint two_columns foreign key (device, part) references devices (id, part) match full
                   deferrable initially deferred,
               add constraint "To notes" foreign key (note) references "Far.away"."Notes" on delete set null not valid"#,
    );
    assert_kept(&database, &metrics());
    let chunks =
        "select count(*) filter (where convalidated) || ' of ' || count(*) || ' on ' || count(distinct conrelid)
        from pg_constraint where contype = 'f' and conrelid in (select show_chunks('metrics'))";
    let counts = |chunks: u32| format!("{} of {} on {chunks}", chunks * 2, chunks * 3);
    let number: u32 = database.value("select count(*) from show_chunks('metrics')").parse().unwrap();
    assert_eq!(database.value(chunks), counts(number));
    database.run("delete from devices where id = 3");
    assert_eq!(database.value("select count(*) from metrics where device = 3"), "0", "the key cascades");
}

#[test]
fn foreign_keys_act_on_the_new_table_in_both_directions() {
    let database = database("belongings_acting", METRICS);
    database.run(
        r#"create table devices (id int primary key);
           insert into devices select generate_series(0, 4);
           alter table metrics add constraint to_devices foreign key (device) references devices on delete cascade;
           create table events (time timestamptz, device int,
               constraint "of metrics" foreign key (device, time) references metrics on delete cascade);
           set plan_cache_mode = force_custom_plan; insert into events select time, device from metrics;"#,
    );
    let mut twins = Twins::make(&database, &metrics());
    twins.swap();
    assert!(database.try_query("insert into metrics values ('2025-01-05', 77, 7, 'x')").is_err());
    assert!(database.try_query("insert into events values ('2020-01-01', 1)").is_err());
    database.run("delete from metrics where device = 2");
    assert_eq!(database.value("select count(*) from events where device = 2"), "0");
    database.run("delete from devices where id = 3");
    assert_eq!(database.value("select count(*) from metrics where device = 3"), "0");
    assert_eq!(database.value("select count(*) from events where device = 3"), "0");
    assert_eq!(
        database.value("select count(*) from public.metrics_old_7 where device in (2, 3)"),
        "60",
        "the old one is at rest"
    );
    database.run("drop table metrics_old_7");
    let more = "insert into metrics values ('2031-01-05', 1, 7, 'x'); insert into events values ('2031-01-05', 1)";
    database.run(more);
    assert!(
        database
            .try_query(
                "begin; set constraints all immediate; update metrics set device = 0 where time > '2031-01-01'; commit"
            )
            .is_err()
    );
}

#[test]
fn foreign_keys_to_the_table_are_kept_with_actions_and_state() {
    let database = database("belongings_referencing", METRICS);
    database.run(
        r#"create schema "REFERENCES public.metrics(";
           create table "REFERENCES public.metrics(".events (device int, "public.metrics(" timestamptz,
               constraint "It's" foreign key (device, "public.metrics(") references metrics on delete set null (device)
                   deferrable initially deferred);
           create table alarms (device int, time timestamptz, what text);
           insert into alarms values (99, '2020-01-01', 'none');
           alter table alarms add constraint doubtful foreign key (time, device) references metrics (time, device)
               match full on update cascade on delete restrict not valid;
           set plan_cache_mode = force_custom_plan;
           insert into "REFERENCES public.metrics(".events select device, time from metrics;
           comment on constraint doubtful on alarms is 'doubtful'"#,
    );
    assert_kept(&database, &metrics());
    assert!(database.try_query("insert into alarms values (99, '2020-01-01', 'none')").is_err());
}

#[test]
fn publications_are_kept_with_columns_and_filters() {
    let database = database("belongings_publications", METRICS);
    database.run(
        r#"create table other (a int);
           create publication plain for table metrics;
           create publication "Some ""of it""" for table other, metrics (time, device, note) where (device > 2 and note <> 'it''s')
               with (publish = 'insert, truncate');
           create publication filtered for table metrics where (time > '2025-01-02') with (publish = 'insert');"#,
    );
    assert_kept(&database, &metrics());
}

#[test]
fn statistics_objects_of_several_schemas_are_kept() {
    let database = database("belongings_statistics", METRICS);
    database.run(
        r#"create schema "My ""stats""";
           create schema elsewhere;
           create statistics pair (ndistinct, dependencies) on device, note from metrics;
           create statistics elsewhere.pair (mcv) on device, note from metrics;
           create statistics elsewhere.same (mcv) on device, note from metrics;
           create statistics "My ""stats""."". FROM public.metrics" on (value / 2), (lower(note)), device from metrics;
           alter statistics elsewhere.same set statistics 33"#
            .replace(r#""My ""stats""."". FROM"#, r#""My ""stats"""."FROM"#)
            .as_str(),
    );
    assert_kept(&database, &metrics());
    database.run("analyze metrics");
}

#[test]
fn identity_and_serial_sequences_are_kept_with_names_owners_and_values() {
    let reader = Role::create(Server::Trixie, "reader");
    let database = database(
        "belongings_sequences",
        r#"create table metrics (time timestamptz not null, device int not null, value float8, note text,
               id bigserial, "Small one" smallserial,
               always int generated always as identity (sequence name "Its own" start 100 increment 7 cache 5),
               "by Default" bigint generated by default as identity (start -5 increment -2),
               untouched int generated always as identity);
           select create_hypertable('metrics', 'time', chunk_time_interval => interval '7 days');
           insert into metrics (time, device, untouched) overriding system value
           select '2025-01-01'::timestamptz + n * interval '5 hours', n % 5, n from generate_series(1, 150) n;"#,
    );
    database.run(&format!(
        r#"comment on sequence "Its own" is 'its own';
           grant usage on sequence "Its own" to {0}; grant select on sequence metrics_id_seq to {0};
           alter default privileges grant all on sequences to {0}"#,
        reader.name
    ));
    let values = r#"select concat_ws(' ', (select (last_value, is_called) from "Its own"), (select (last_value, is_called) from "metrics_by Default_seq"),
        (select (last_value, is_called) from metrics_untouched_seq), (select (last_value, is_called) from metrics_id_seq))"#;
    let before = database.value(values);
    assert_kept(&database, &metrics());
    assert_eq!(database.value(values), before);
    let mut twins = Twins { away: None, ..second(&database) };
    database.run("insert into metrics (time, device) select '2025-01-20', n from generate_series(1, 9) n");
    let before = database.value(values);
    twins.swap();
    assert_eq!(database.value(values), before, "what was drawn since is not drawn again");
    database.run("insert into metrics (time, device) values ('2025-01-05', 1), ('2035-01-05', 1)");
    database.run("drop table metrics_old_7");
    database.run("insert into metrics (time, device) values ('2025-01-05', 2)");
    let doubled = r#"select count(*) - count(distinct always) + count(*) - count(distinct "by Default") + count(*) - count(distinct id)
        from metrics where time < '2025-01-20' or time > '2025-01-21'"#;
    assert_eq!(database.value(doubled), "0");
}

/// Another twin, where an undone swap has left one.
fn second(database: &Database) -> Twins<'_> {
    database.run(&format!("drop schema {BESIDE} cascade"));
    Twins::make(database, &metrics())
}

#[test]
fn hostile_names_of_63_bytes_leave_and_come_back() {
    let long = |number: usize| format!("{}.\"{number}", "ä".repeat(29));
    let name = QualifiedName::new("Bad \"schema\".x", format!("T\"ä.{}", "x".repeat(57)));
    let quoted: Vec<String> = (0..4).map(|number| quote_ident(&long(number))).collect();
    let table = name.sql();
    let database = database(
        "belongings_hostile",
        &format!(
            r#"create schema {};
               create table {table} ("Time .""" timestamptz not null, device int not null,
                   id int generated always as identity (sequence name {}),
                   constraint {} primary key (device, "Time ."""));
               create index {} on {table} (id);
               create unique index {} on {table} (id, "Time .""");
               select create_hypertable('{}', 'Time ."', chunk_time_interval => interval '7 days');
               insert into {table} ("Time .""", device)
               select '2025-01-01'::timestamptz + n * interval '5 hours', n % 5 from generate_series(1, 150) n;
               comment on index {}.{} is 'long';
               create statistics {}.{} on device, id from {table};"#,
            quote_ident(&name.schema),
            quoted[0],
            quoted[1],
            quoted[2],
            quoted[3],
            table,
            quote_ident(&name.schema),
            quoted[3],
            quote_ident(&name.schema),
            quoted[0],
        ),
    );
    let mut twins = Twins::make(&database, &name);
    let before = twins.belongings();
    for _ in 0..2 {
        twins.swap();
        assert_eq!(twins.belongings(), before);
        twins.undo();
        assert_eq!(twins.belongings(), before);
    }
}

#[test]
fn what_changes_during_the_copy_and_after_the_swap_is_carried_too() {
    let late = Role::create(Server::Trixie, "late");
    let database = database("belongings_changes", METRICS);
    database.run(
        "comment on table metrics is 'before'; create statistics pair on device, note from metrics;
         create policy mine on metrics using (true); grant select on metrics to public;
         create function noted() returns trigger language plpgsql as 'begin return new; end';
         create trigger early before insert on metrics for each row execute function noted();",
    );
    let mut twins = Twins::make(&database, &metrics());
    let change = |more: &str| {
        database.run(&format!(
            "comment on table metrics is 'after {more}'; grant insert on metrics to {}; revoke select on metrics from public;
             drop statistics pair; create statistics pair on value, note from metrics; alter table metrics enable row level security;
             drop policy mine on metrics; create policy {more} on metrics using (false); alter table metrics set (fillfactor = 50);
             drop trigger early on metrics; create trigger early after insert on metrics for each row execute function noted();",
            late.name
        ));
    };
    change("during");
    let before = twins.belongings();
    twins.swap();
    assert_eq!(twins.belongings(), before);
    database.run("drop policy during on metrics; create policy mine on metrics using (true)");
    change("swapped");
    let before = twins.belongings();
    twins.undo();
    assert_eq!(twins.belongings(), before);
}

#[test]
fn tablespaces_of_tables_and_indexes_are_kept() {
    let space = format!("space_{}", std::process::id());
    let tablespaces = Tablespace::create(&space);
    let database = database("belongings_tablespace", "");
    database.run(&format!(
        "set default_tablespace = '{}'; create table metrics (time timestamptz not null, device int, note text)",
        tablespaces.0
    ));
    database.run(&format!(
        "reset default_tablespace;
         select create_hypertable('metrics', 'time', chunk_time_interval => interval '7 days', create_default_indexes => false);
         create index here on metrics (device); create index there on metrics (note) tablespace {space};
         insert into metrics select '2025-01-01'::timestamptz + n * interval '5 hours', n % 5, n from generate_series(1, 150) n;"
    ));
    assert_kept(&database, &metrics());
    let placed = format!(
        "select bool_and(spcname = '{space}') from show_chunks('_hypercopy_7.metrics') chunk
         join pg_class on pg_class.oid = chunk left join pg_tablespace on pg_tablespace.oid = reltablespace"
    );
    assert_eq!(database.value(&placed), "t");
}

/// A tablespace of the servers of the stories, dropped with it: declare it before the database.
pub struct Tablespace(pub String);

impl Tablespace {
    pub fn create(name: &str) -> Tablespace {
        let database = Database::without_timescaledb(Server::Trixie, "tablespaces").expect("trixie can be had");
        database.run("set allow_in_place_tablespaces = on");
        database.run(&format!("create tablespace {name} location ''"));
        Tablespace(name.to_string())
    }
}

impl Drop for Tablespace {
    fn drop(&mut self) {
        let database = Database::without_timescaledb(Server::Trixie, "tablespaces").expect("trixie can be had");
        let _ = database.try_query(&format!("drop tablespace {}", self.0));
    }
}

#[test]
fn an_ordinary_owner_can_do_all_of_it() {
    let owner = Role::create(Server::Trixie, "owner");
    let database = Database::create(Server::Trixie, "belongings_ordinary").expect("trixie has TimescaleDB");
    database.run(&format!(
        "grant create on schema public to {0}; grant create on database \"{1}\" to {0}; set role {0}",
        owner.name,
        database.value("select current_database()")
    ));
    database.run(METRICS);
    database.run(&format!(
        "create table devices (id int primary key); insert into devices select generate_series(0, 4);
         alter table metrics add constraint to_devices foreign key (device) references devices;
         create table events (device int, time timestamptz, foreign key (device, time) references metrics);
         create function noted() returns trigger language plpgsql as 'begin return new; end';
         create trigger noted before insert on metrics for each row execute function noted();
         create statistics pair on device, note from metrics;
         create publication mine for table metrics;
         create policy mine on metrics using (true);
         alter table metrics enable row level security, add id bigserial;
         grant select on metrics to public; revoke truncate on metrics from {0};
         reset role",
        owner.name
    ));
    let mut twins = Twins::make_as(&database, &owner.conninfo(&database), &metrics());
    let before = twins.belongings();
    assert_eq!(belongings::obstacles(&before, &twins.server), Vec::new());
    twins.swap();
    assert_eq!(twins.belongings(), before);
    twins.undo();
    assert_eq!(twins.belongings(), before);
}

#[test]
fn what_cannot_be_carried_is_named() {
    let (owner, other) = (Role::create(Server::Trixie, "owner"), Role::create(Server::Trixie, "other"));
    let database = database("belongings_obstacles", METRICS);
    database.run(&format!(
        r#"create table parent (time timestamptz not null);
           create table rows (id int, one metrics, many metrics[]);
           create function of_row(metrics) returns int language sql as 'select 1';
           create function secret() returns trigger language plpgsql as 'begin return new; end';
           revoke execute on function secret from public;
           create trigger uses_secret before insert on metrics for each row execute function secret();
           create table events (device int, time timestamptz,
               constraint first_key foreign key (device, time) references metrics,
               constraint second_key foreign key (device, time) references metrics);
           create publication named for table metrics;
           create publication everything for all tables;
           create statistics pair on device, note from metrics;
           grant create, usage on schema public to {0};
           alter table metrics owner to {0};
           grant select on metrics to {1} with grant option;
           set role {1}; grant select on metrics to public; reset role"#,
        owner.name, other.name
    ));
    let conninfo = Conninfo::parse(&owner.conninfo(&database), |_| None).unwrap();
    let session = database.wait(Target::open(&conninfo, "story")).unwrap();
    let found = database.wait(async {
        let server = read::server(&session).await.unwrap();
        let oid = read::resolve_exactly(&session, &metrics()).await.unwrap().unwrap();
        belongings::obstacles(&read::belongings(&session, oid).await.unwrap(), &server)
    });
    let named: Vec<String> = found.iter().map(|found| format!("{}: {}", found.kind, found.object)).collect();
    for wanted in [
        "foreign key to this table: first_key on public.events",
        "foreign key to this table: second_key on public.events",
        "grant: public.metrics",
        "publication: everything",
        "publication: named",
        "row type: column one of table public.rows",
        "row type: column many of table public.rows",
        "row type: function public.of_row(public.metrics)",
        "statistics: public.pair",
        "trigger: uses_secret",
    ] {
        assert!(named.iter().any(|found| found == wanted), "{wanted} is among {named:#?}");
    }
}

#[test]
fn indexes_and_keys_work_on_both_tables_after_each_exchange() {
    for server in [Server::Trixie, Server::Sid] {
        let Some(database) = Database::create(server, "belongings_indexes") else { continue };
        database.run(METRICS);
        let mut twins = Twins::make(&database, &metrics());
        twins.swap();
        let upsert = "insert into metrics values ('2025-01-05', 1, 1, 'x'), ('2032-01-05', 1, 1, 'x')
            on conflict (device, time) do update set value = metrics.value + 1 returning value";
        database.run(upsert);
        assert_eq!(database.query(upsert), [[Some("2".to_string())], [Some("2".to_string())]]);
        // A chunk that the old table gets while its indexes have other names, which nobody should give it.
        if server == Server::Trixie {
            database.run("insert into metrics_old_7 values ('2033-01-05', 1, 1, 'x')");
        }
        twins.undo();
        let again = upsert.replace("2032", "2033");
        database.run(&again);
        assert!(database.try_query("insert into metrics values ('2033-01-05', 1, 1, 'x')").is_err(), "{server:?}");
        database.run("drop index metrics_note; alter table metrics drop constraint metrics_key");
        let left = "select count(*) from pg_index where indrelid in (select show_chunks('metrics')) and not exists (
            select from pg_class where oid = indexrelid and relname like '%half%')";
        assert_eq!(database.value(left), "0", "what is dropped is dropped on the chunks: {server:?}");
        database.run("drop table _hypercopy_7.metrics");
    }
}

#[test]
fn everything_is_kept_on_the_newest_server_too() {
    let Some(database) = Database::create(Server::Sid, "belongings_newest") else { return };
    database.run(&METRICS.replace("note text,", "note text, id int generated always as identity,"));
    database.run(
        r#"create table devices (id int primary key); insert into devices select generate_series(0, 4);
           alter table metrics add constraint to_devices foreign key (device) references devices on delete cascade;
           alter table metrics add constraint doubtful foreign key (device) references devices not valid;
           alter table metrics add constraint "Has a value" not null value;
           comment on constraint "Has a value" on metrics is 'named';
           create table events (device int, time timestamptz, constraint of_metrics foreign key (device, time) references metrics);
           set plan_cache_mode = force_custom_plan; insert into events select device, time from metrics;
           create function noted() returns trigger language plpgsql as 'begin return new; end';
           create trigger noted before insert on metrics for each row execute function noted();
           create trigger asleep after insert on metrics for each row execute function noted();
           create trigger ever after insert on metrics execute function noted();
           alter table metrics disable trigger asleep;
           create statistics pair on device, note from metrics;
           alter statistics pair set statistics 12;
           create publication mine for table metrics (device, time) where (device > 1) with (publish = 'insert');
           create policy mine on metrics using (true);
           alter table metrics enable row level security, alter note set statistics 12, set (fillfactor = 40), replica identity using index metrics_key;
           grant select, maintain on metrics to public;"#,
    );
    let mut twins = Twins::make(&database, &metrics());
    let (before, text) = (twins.belongings(), dumped(&database, Release::Sid));
    assert_eq!(belongings::obstacles(&before, &twins.server), Vec::new());
    twins.swap();
    assert_eq!(twins.belongings(), before);
    assert_same_dump(&text, &dumped(&database, Release::Sid), "swapped");
    database.run("delete from events; delete from devices where id = 2");
    assert_eq!(database.value("select count(*) from metrics where device = 2"), "0");
    // The old table still has that device's rows.
    database.run("insert into devices values (2)");
    twins.undo();
    assert_eq!(twins.belongings(), before);
    assert_same_dump(&text, &dumped(&database, Release::Sid), "undone");
}

/// The columnstore refuses foreign keys and row-level security by version; what it takes is kept.
#[test]
fn belongings_are_kept_beside_the_columnstore() {
    let Some(story) = Story::community("belongings_columnstore") else { return };
    let database = &story.source;
    database.run(METRICS);
    database.run(
        "create table devices (id int primary key); insert into devices select generate_series(0, 4);
         alter table metrics add constraint to_devices foreign key (device) references devices;
         alter table metrics enable row level security; create policy mine on metrics using (true);
         create function noted() returns trigger language plpgsql as 'begin return new; end';
         create trigger noted before insert on metrics for each row execute function noted();
         create statistics pair on device, note from metrics;
         grant select on metrics to public;
         alter table metrics set (timescaledb.compress, timescaledb.compress_segmentby = 'device');
         select count(compress_chunk(chunk)) from show_chunks('metrics') chunk;",
    );
    let mut twins = Twins::make(database, &metrics());
    let before = twins.belongings();
    twins.swap();
    assert_eq!(twins.belongings(), before);
    let lost = belongings::irreversible(&before, true);
    assert_eq!(lost.iter().map(|lost| lost.object.as_str()).collect::<Vec<_>>(), ["to_devices"]);
    database.run("alter table metrics drop constraint to_devices");
    let before = twins.belongings();
    twins.undo();
    assert_eq!(twins.belongings(), before);
}

#[test]
fn a_table_that_is_away_can_be_dropped_chunk_by_chunk() {
    for server in [Server::Trixie, Server::Sid] {
        let Some(database) = Database::create(server, "belongings_dropped") else { continue };
        database.run(METRICS);
        let mut twins = Twins::make(&database, &metrics());
        twins.swap();
        database.run("select drop_chunks('metrics_old_7', older_than => timestamptz '2025-01-20')");
        assert_eq!(database.value("select count(*) < 150 from metrics_old_7"), "t");
        database.run("drop table metrics_old_7");
        assert_eq!(database.value("select count(*) from metrics"), "150");
        database.run("drop index metrics_half; alter table metrics drop constraint metrics_key");
        let left = "select count(*) from pg_index where indrelid in (select show_chunks('metrics'))";
        let chunks = "select count(*) from show_chunks('metrics')";
        assert_eq!(database.value(left), database.value(chunks), "one index is left");
    }
}

//! What uses a table by its oid uses the one that has its name now, and is otherwise as it was.

use std::time::Duration;

use hypercopy::catalog::dependents::Dependents;
use hypercopy::ident::{QualifiedName, quote_literal};
use hypercopy::plan::dependents;

use crate::exchanges::{Exchange, JOB, LOCK_TIMEOUT, assert_same, described, metrics, session};
use crate::harness::{Database, Hold, Role, Server, has_community};

/// Objects of every kind that use the table, in their own way each.
const USERS: &str = r#"
    create schema "Other.""Schema";
    create table app.devices (device int primary key, name text);
    insert into app.devices select n, 'device ' || n from generate_series(0, 4) n;

    create view app.plain as select * from {table};
    create view app.aliases (a, "B c", d) as select time, m.device, value * 2 from {table} as m;
    create view app.barrier with (security_barrier) as select * from {table} where value >= 0;
    create view app.checked with (security_barrier = off) as select * from {table} where device < 3 with cascaded check option;
    create view app.checked_again as select * from app.checked where value < 50 with local check option;
    create view app.paths as
        select one.time, other.value from {table} one join {table} other using (time, device)
        union all select time, (select max(value) from {table}) from app.plain;
    create recursive view app.counted (n) as select 1 union all select n + 1 from counted where n < (select count(*) from {table});
    -- Only the primary key makes this legal.
    create view app.grouped as select m.time, m.device, m.note, count(*) from {table} m group by m.time, m.device;
    create view app."as json" as select to_jsonb(m) as document, m.*::text as line, (null::{table}) is null as nothing from {table} m;
    create view "Other.""Schema"."The ""View""" as select * from {table} natural join app.devices;
    create view app.on_views as select count(*) from app.barrier join app.grouped using (time, device);
    create view app.never as select 1 as one, '{table}'::regclass::text as name;
    alter view app.aliases rename column d to "was d";
    alter view app.plain alter column note set default 'by the view';
    comment on view app.plain is 'it''s plain';
    comment on column app.plain.value is 'a value';
    grant select on app.plain to public;
    grant update (note), insert on app.plain to pg_monitor with grant option;

    create function app.instead() returns trigger language plpgsql as
        'begin insert into {table} values (new.time, new.device, 0, ''instead''); return new; end';
    create trigger instead instead of insert on app.grouped for each row execute function app.instead();
    comment on trigger instead on app.grouped is 'instead';

    create function app.total(minimum double precision default 0) returns bigint stable language sql
        begin atomic select count(*) from {table} where value >= minimum; select count(*) from app.plain; end;
    create procedure app.forget(which int) language sql begin atomic delete from {table} where device = which; end;
    create function app.sized(which regclass default '{table}') returns text language sql as 'select $1::text';
    comment on function app.total is 'how many';
    revoke execute on function app.total from public;
    grant execute on function app.total to pg_monitor;
    create view app.by_function as select app.total(10) as total;

    create table app.inbox (time timestamptz, device int, value double precision);
    create rule forward as on insert to app.inbox where new.value > 0 do also
        insert into {table} values (new.time, new.device, new.value, 'by rule') on conflict do nothing;
    create rule "No ""deletes""" as on delete to app.inbox do also delete from {table} where device = old.device;
    alter table app.inbox disable rule "No ""deletes""";
    comment on rule forward on app.inbox is 'forward';
    create view app.writable as select device, name from app.devices;
    create rule into_table as on update to app.writable do instead
        update {table} m set note = new.name where m.device = old.device;

    alter table app.devices enable row level security;
    create policy seen on app.devices as restrictive for select to pg_monitor, public
        using (exists (select from {table} m where m.device = devices.device));
    create policy "Both ""ways""" on app.devices using (true) with check (device in (select device from {table}));
    comment on policy seen on app.devices is 'seen';
"#;

#[test]
fn what_uses_a_table_goes_with_its_name_and_comes_back() {
    let hostile = QualifiedName::new("My.\"Schema", "Odd \"Metrics\".t");
    let tables = [(Server::Trixie, metrics()), (Server::Trixie, hostile.clone()), (Server::Sid, hostile)];
    for (server, table) in tables {
        let sql = format!("create schema if not exists app; {USERS}");
        let Some(exchange) = Exchange::new(server, "users", table, &sql) else { continue };
        let (before, found) = (described(&exchange.database), exchange.dependents());
        assert_eq!(found.users.others, [] as [&str; 0]);
        let counts = |users: &hypercopy::catalog::dependents::Users| {
            (users.views.len(), users.rules.len(), users.functions.len(), users.policies.len())
        };
        assert_eq!(counts(&found.users), (10, 3, 3, 2));
        let views = ["app.plain", "app.\"as json\"", "app.grouped", "\"Other.\"\"Schema\".\"The \"\"View\"\"\""];
        let rows = |rows: &str| assert_eq!(views.map(|view| exchange.count(view)), [rows; 4]);
        rows("100");

        exchange.swap(&found);
        assert_same(&described(&exchange.database), &before);
        rows("101");
        assert_eq!(exchange.dependents(), found);
        assert_uses(&exchange);

        exchange.undo(&exchange.dependents());
        assert_same(&described(&exchange.database), &before);
        rows("100");
        assert_uses(&exchange);
    }
}

/// Whatever reads reads the table that has the name, and whatever writes writes to it.
#[track_caller]
fn assert_uses(exchange: &Exchange) {
    let (database, table) = (&exchange.database, exchange.table.sql());
    database.run("begin");
    let rows: u32 = exchange.count(&table).parse().unwrap();
    assert_eq!(database.value("select max(n) from app.counted"), rows.to_string());
    assert_eq!(database.value("select app.total()"), rows.to_string());
    let own = database.value(&format!("select {}::regclass::text", quote_literal(&table)));
    assert_eq!(database.value("select name || app.sized() from app.never"), own.clone() + &own);
    database.run(
        "insert into app.grouped (time, device) values ('2026-01-01', 1);
         insert into app.inbox values ('2026-01-02', 9, 2);
         insert into app.plain values ('2026-01-03', 1);
         update app.writable set name = 'by update' where device = 2",
    );
    let notes = database.query(&format!("select note from {table} where time >= '2026-01-01' order by time"));
    let notes: Vec<_> = notes.into_iter().map(|row| row[0].clone().unwrap()).collect();
    assert_eq!(notes, ["instead", "by rule", "by the view"]);
    assert_eq!(exchange.count(&format!("{table} where note = 'by update'")), "20");
    database.run("call app.forget(2)");
    assert_eq!(exchange.count(&format!("{table} where device = 2")), "0");
    assert!(database.try_query("insert into app.checked_again values (now(), 7, 1)").is_err(), "checks are checked");
    database.run("rollback");
}

#[test]
fn a_dump_is_the_same_after_the_exchange() {
    let sql = format!("{USERS}{MATERIALIZED}");
    let exchange = Exchange::new(Server::Trixie, "dumped", metrics(), &sql).expect("trixie has TimescaleDB");
    let dump = || {
        let excluded = ["-T", "*.*_old_7", "-N", "_hypercopy_7", "-N", "_timescaledb*"];
        exchange.database.dump(&[&["--schema-only"], &excluded as &[&str]].concat())
    };
    let before = dump();
    exchange.swap(&exchange.dependents());
    assert_same(&dump(), &before);
    exchange.undo(&exchange.dependents());
    assert_same(&dump(), &before);
}

/// Materialized views of the table, of one another, and both.
const MATERIALIZED: &str = r#"
    create schema if not exists "Mat.""";
    create materialized view app.daily with (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_enabled = false) as
        select time_bucket('1 day', time) as day, device, count(*) as rows, string_agg(note, ', ') as notes from {table} group by 1, 2;
    create unique index on app.daily (device, day) with (fillfactor = 80);
    create index "Odd ""index" on app.daily using brin ((rows + 1), notes) where rows > 0;
    alter index app."Odd ""index" alter column 1 set statistics 77;
    comment on index app."Odd ""index" is 'it''s odd';
    alter materialized view app.daily cluster on daily_device_day_idx;
    alter materialized view app.daily alter column notes set storage external, alter column notes set compression lz4,
        alter column rows set statistics 55, alter column device set (n_distinct = 5, n_distinct_inherited = -0.5);
    comment on materialized view app.daily is 'each day';
    comment on column app.daily.notes is 'all "notes"';
    create statistics "Mat."""."St.at" (ndistinct) on day, device from app.daily;
    alter statistics "Mat."""."St.at" set statistics 33;
    comment on statistics "Mat."""."St.at" is 'stat';
    revoke delete on app.daily from current_user;
    grant select on app.daily to public;
    grant select (day, device), update (rows) on app.daily to pg_monitor with grant option;

    create materialized view "Mat."""."Mat.""view" as
        select device, sum(rows) as total, (select count(*) from {table}) as all from app.daily group by device;
    create unique index on "Mat."""."Mat.""view" (device);
    create materialized view app.empty as select * from {table} with no data;
    create index on app.empty (time);
    create materialized view app.last as select total, "all" from "Mat."""."Mat.""view" order by device;
    create materialized view app.unrelated as select 1 as one;
    create view app.from_both as select total, rows from "Mat."""."Mat.""view" join app.daily using (device);
    create view app.from_all as select count(*) from app.from_both, {table};
    create function app.of_daily() returns bigint language sql begin atomic select sum(rows)::bigint from app.daily; end;
    create table app.notices (day timestamptz);
    alter table app.notices enable row level security;
    create policy known on app.notices using (day in (select day from app.daily));
    create rule noticed as on insert to app.notices do instead select * from app.daily where day = new.day;
"#;

#[test]
fn materialized_views_are_made_anew_and_can_be_read_all_the_time() {
    for server in [Server::Trixie, Server::Sid] {
        let Some(exchange) = Exchange::new(server, "materialized", metrics(), MATERIALIZED) else { continue };
        let database = &exchange.database;
        // What whoever makes a table here gives away by default is not given away by what was there before.
        database.run(
            "alter default privileges in schema app grant all on tables to pg_monitor;
             alter default privileges grant select on tables to pg_signal_backend",
        );
        let found = exchange.dependents();
        let before = described(database);
        let names: Vec<&str> = found.materialized_views.iter().map(|view| view.name.name.as_str()).collect();
        assert_eq!(names, ["daily", "empty", "Mat.\"view", "last"]);
        assert_eq!(found.users.views.len(), 1);
        let totals = "select sum(total) || ' of ' || max(\"all\") || ', ' || app.of_daily() from app.last";
        assert_eq!(database.value(totals), "100 of 100, 100");

        exchange.swap(&found);
        assert_same(&described(database), &before);
        assert_eq!(database.value(totals), "101 of 101, 101");
        assert!(database.try_query("select from app.empty").is_err(), "what was not populated is not");
        assert_eq!(exchange.count("app.from_both"), exchange.count("app.daily"));
        assert_eq!(exchange.dependents(), found);

        database.run(&format!("delete from {} where note = 'only here'", exchange.table.sql()));
        exchange.undo(&exchange.dependents());
        assert_same(&described(database), &before);
        assert_eq!(database.value(totals), "100 of 100, 100");
        database.run("refresh materialized view app.daily");
    }
}

#[test]
fn an_exchange_that_waits_too_long_changes_nothing_and_can_be_tried_again() {
    let sql = "create materialized view app.last as select max(time) as time from {table};
        create view app.on_last as select * from app.last";
    let exchange = Exchange::new(Server::Trixie, "waits", metrics(), sql).expect("trixie has TimescaleDB");
    let (database, found) = (&exchange.database, exchange.dependents());
    let before = described(database);
    exchange.exchange(&found, &exchange.names_of_swap());
    let reader = Hold::new(database, "begin; select from app.last");
    let steps = dependents::after_swap(&found, &[], JOB, Duration::from_millis(1));
    let [build, fill, swap, _] = &steps[..] else { panic!("{steps:?}") };
    for step in [build, fill] {
        exchange.run_sql(&step.title, &format!("begin; {}; commit", step.sql));
    }
    exchange.run_sql("begin", "begin");
    let refused = database.wait(exchange.target.batch(&swap.sql)).unwrap_err();
    assert!(refused.is_retryable(), "{refused:?}");
    exchange.run_sql("rollback", "rollback");
    assert_eq!(database.value("select time::date from app.on_last"), "2025-03-05");
    reader.open();
    database.wait_until(
        "the reader's end",
        "select not exists (select from pg_locks where relation = 'app.last'::regclass)",
    );
    for step in &dependents::after_swap(&found, &[], JOB, LOCK_TIMEOUT)[2..] {
        exchange.run_sql(&step.title, &format!("begin; {}; commit", step.sql));
    }
    assert_eq!(database.value("select time::date from app.on_last"), "2025-04-01");
    assert_same(&described(database), &before);
}

/// A statement's title is its key in the ledger.
#[test]
fn each_step_has_a_title_of_its_own() {
    let sql = format!("{USERS}{MATERIALIZED}");
    let exchange = Exchange::new(Server::Trixie, "titles", metrics(), &sql).expect("trixie has TimescaleDB");
    let found = exchange.dependents();
    let statements = [
        dependents::locks(&found),
        dependents::in_swap(&found),
        dependents::after_swap(&found, &[], JOB, LOCK_TIMEOUT),
    ];
    for statements in statements {
        let mut titles: Vec<&str> = statements.iter().map(|statement| statement.title.as_str()).collect();
        titles.sort_unstable();
        let count = titles.len();
        titles.dedup();
        assert_eq!(titles.len(), count, "{titles:?}");
        assert!(!titles.is_empty());
    }
}

#[test]
fn what_belongs_to_the_table_is_not_taken_for_a_user_of_it() {
    let sql = r#"
        create table app.places (place int primary key);
        alter table {table} add column place int references app.places, add column id bigserial,
            add column number int generated always as identity, add column twice double precision generated always as (value * 2) stored,
            add check (value >= 0), add constraint distinct_times exclude (time with =, device with =);
        create unique index on {table} (time, (device + 1)) where value > 0;
        create statistics app.both on device, place from {table};
        create function app.watch() returns trigger language plpgsql as 'begin return null; end';
        create trigger watch after update of value on {table} for each row when (old.* is distinct from new.*) execute function app.watch();
        alter table {table} enable row level security;
        create policy own on {table} using (exists (select from {table} other where other.device = 1));
        create publication watched for table {table} (time, device) where (device > 0);
        create sequence app.owned owned by {table}.device;
        comment on table {table} is 'metrics';
        create table app.events (time timestamptz, device int, foreign key (time, device) references {table});
        alter table {table} set (autovacuum_enabled = false);
        insert into {table} (time, device, note) values ('2025-05-01', 1, repeat('x', 100000));
    "#;
    for server in [Server::Trixie, Server::Sid] {
        let Some(database) = Database::create(server, "belongings") else { continue };
        database.run(
            "create schema app; create table app.metrics (time timestamptz not null, device int not null,
                 value double precision, note text, primary key (time, device));
             select create_hypertable('app.metrics', 'time')",
        );
        database.run(&sql.replace("{table}", "app.metrics"));
        let exchange = Exchange { target: session(&database, &database.conninfo), database, table: metrics() };
        assert_eq!(exchange.dependents(), Dependents::default());
    }
}

#[test]
fn what_cannot_follow_is_an_obstacle_by_name() {
    let sql = r#"
        create view app.whole as select m from {table} m;
        create view app.wholes as select array_agg(m) as "All of it" from {table} m;
        create function app.label(app.metrics) returns text language sql as 'select $1.note';
        create function app.newest() returns setof {table} language sql begin atomic select * from {table}; end;
        create function app.noop(s {table}, v {table}) returns {table} language sql as 'select $1';
        create aggregate app.any_one({table}) (sfunc = app.noop, stype = {table});
        create domain app.positive as {table} check ((value).value > 0);
        create table app.archive (row {table}, rows {table}[]);
        create table app.sources (source regclass default '{table}'::regclass);
        create table app.copies (number int default nextval('app.metrics_number_seq'));
        create type app.pair as (one {table}, two int);
        create cast ({table} as text) with function app.label(app.metrics);
        create temporary view passing as select * from {table};
        create materialized view app.last as select max(time) as time from {table};
        create table app.lasts (last app.last);
        alter table {table} alter column note set default ('{table}'::regclass)::text;
    "#;
    let database = Database::create(Server::Trixie, "obstacles").expect("trixie has TimescaleDB");
    database.run(
        "create schema app; create table app.metrics (time timestamptz not null, device int, value double precision,
             note text, number int generated always as identity);
         select create_hypertable('app.metrics', 'time')",
    );
    database.run(&sql.replace("{table}", "app.metrics"));
    let exchange = Exchange { target: session(&database, &database.conninfo), database, table: metrics() };
    let found = exchange.dependents();
    assert_eq!(found.users.functions, []);
    let others: Vec<String> =
        found.users.others.iter().map(|other| other.replace(|c: char| c.is_ascii_digit(), "")).collect();
    let wanted = [
        "cast from app.metrics to text",
        "column All of it of view app.wholes",
        "column m of view app.whole",
        "column one of composite type app.pair",
        "column row of table app.archive",
        "column rows of table app.archive",
        "constraint positive_check",
        "default value for column note of table app.metrics",
        "default value for column number of table app.copies",
        "default value for column source of table app.sources",
        "function app.any_one(app.metrics)",
        "function app.label(app.metrics)",
        "function app.newest()",
        "function app.noop(app.metrics,app.metrics)",
        "type app.positive",
        "view pg_temp_.passing",
    ];
    assert_eq!(others, wanted);
    assert_eq!(found.materialized_views[0].users.others, ["column last of table app.lasts"]);
    let obstacles = exchange.obstacles("postgres");
    assert_eq!(obstacles.len(), wanted.len() + 1);
    assert!(obstacles[0].contains("refers to the table"), "{obstacles:?}");
}

#[test]
fn an_ordinary_role_is_told_what_it_may_not_replace() {
    let member = Role::create(Server::Trixie, "member");
    let sql = r#"
        create schema closed;
        create view app.theirs as select * from {table};
        create view closed.ours as select * from {table};
        create materialized view app."Their copy" as select * from {table};
        create function app.theirs() returns bigint language sql begin atomic select count(*) from {table}; end;
        create table app.inbox (time timestamptz, device int);
        create rule forward as on insert to app.inbox do also insert into {table} values (new.time, new.device);
        create policy seen on app.inbox using (device in (select device from {table}));
    "#;
    let mut exchange = Exchange::new(Server::Trixie, "ordinary", metrics(), sql).expect("trixie has TimescaleDB");
    let (name, conninfo) = (&member.name, member.conninfo(&exchange.database));
    exchange.database.run(&format!(
        "grant usage, create on schema app to {name}; grant usage on schema closed to {name};
         alter table app.metrics owner to {name}; alter view closed.ours owner to {name}"
    ));
    exchange.target = session(&exchange.database, &conninfo);
    let foreign = |object: &str| format!("{object}: it belongs to postgres, and {name} may not act for that role");
    let wanted = [
        foreign("view app.theirs"),
        format!("view closed.ours: {name} may not create anything in its schema"),
        foreign("rule forward on app.inbox"),
        foreign("function app.theirs()"),
        foreign("policy seen on app.inbox"),
        foreign("materialized view app.\"Their copy\""),
    ];
    assert_eq!(exchange.obstacles(name), wanted);

    exchange.database.run(&format!(
        "grant create on schema closed to {name}; alter view app.theirs owner to {name};
         alter materialized view app.\"Their copy\" owner to {name}; alter function app.theirs() owner to {name};
         alter table app.inbox owner to {name};
         alter table _hypercopy_7.metrics owner to {name}; alter schema _hypercopy_7 owner to {name};
         create index \"Their index\" on app.\"Their copy\" (time)"
    ));
    assert_eq!(exchange.obstacles(name), [] as [&str; 0]);
    let before = described(&exchange.database);
    exchange.swap(&exchange.dependents());
    assert_same(&described(&exchange.database), &before);
    assert_eq!(exchange.count("app.\"Their copy\""), "101");
    exchange.database.run(&format!(
        "drop schema app cascade; drop schema closed cascade; drop schema _hypercopy_7 cascade;
         drop owned by {name}"
    ));
}

/// A materialized view is filled as its owner would fill it, whoever runs the exchange.
#[test]
fn a_materialized_view_reads_what_its_owner_may_read() {
    let owner = Role::create(Server::Trixie, "owner");
    let name = &owner.name;
    let sql = format!(
        "create function app.who() returns text language sql as 'select current_user::text';
         create materialized view app.counted as select app.who() as who, count(*) from {{table}};
         grant usage, create on schema app to {name}; grant select on {{table}} to {name};
         alter materialized view app.counted owner to {name}"
    );
    let exchange = Exchange::new(Server::Trixie, "owners", metrics(), &sql).expect("trixie has TimescaleDB");
    exchange.database.run(&format!("grant select on _hypercopy_7.metrics to {name}"));
    exchange.swap(&exchange.dependents());
    assert_eq!(exchange.database.value("select who || ' ' || count from app.counted"), format!("{name} 101"));
    exchange.database.run(&format!("drop schema app cascade; drop schema _hypercopy_7 cascade; drop owned by {name}"));
}

#[test]
fn open_sessions_use_the_new_table_at_their_next_statement() {
    let sql = "
        create function app.rows() returns bigint language plpgsql as
            'declare one {table}%rowtype; begin
                 select * into one from {table} where note = ''only here'';
                 return (select count(*) from {table}) + coalesce(one.value, 0)::int;
             end';
        create function app.text_body() returns bigint language sql as 'select count(*) from {table}';
        create view app.plain as select * from {table};";
    let exchange = Exchange::new(Server::Trixie, "open", metrics(), sql).expect("trixie has TimescaleDB");
    let (database, session) = (&exchange.database, exchange.database.session());
    let count = |sql: &str| database.wait(session.query_one(sql, &[])).unwrap().get::<_, i64>(0);
    let prepared = ["select count(*) from app.metrics", "select count(*) from app.plain where device >= $1"]
        .map(|sql| database.wait(session.prepare(sql)).unwrap());
    let counts = || {
        let direct: i64 = database.wait(session.query_one(&prepared[0], &[])).unwrap().get(0);
        let through_view: i64 = database.wait(session.query_one(&prepared[1], &[&0])).unwrap().get(0);
        (direct, through_view, count("select app.rows()"), count("select app.text_body()"))
    };
    // More than the five times after which a plan is kept.
    (0..7).for_each(|_| assert_eq!(counts(), (100, 100, 100, 100)));
    exchange.swap(&exchange.dependents());
    (0..7).for_each(|_| assert_eq!(counts(), (101, 101, 1101, 101)));
    exchange.undo(&exchange.dependents());
    (0..7).for_each(|_| assert_eq!(counts(), (100, 100, 100, 100)));
}

/// A reader of the view has the view's lock and wants the table's: nobody may hold the one and want the other the other
/// way round.
#[test]
fn readers_of_a_view_wait_for_the_exchange_and_never_against_it() {
    let sql = "create view app.plain as select * from {table}; create view app.outer as select * from app.plain";
    let exchange = Exchange::new(Server::Trixie, "readers", metrics(), sql).expect("trixie has TimescaleDB");
    let (database, found) = (&exchange.database, exchange.dependents());
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let until = |sessions: &str| database.wait_until("sessions at a lock", &format!("select ({waiting}) = {sessions}"));
    let read = |relation: &str| {
        let (session, sql) = (database.session(), format!("select count(*) from {relation}"));
        database.spawn(async move { session.query_one(&sql, &[]).await.map(|row| row.get::<_, i64>(0)) })
    };

    // Whoever reads already is waited for with nothing but the view in hand.
    let reader = Hold::new(database, "begin; select from app.outer");
    exchange.run_sql("begin", "begin; set local lock_timeout = '1ms'");
    let refused = database.wait(exchange.target.batch(&dependents::locks(&found)[0].sql)).unwrap_err();
    assert!(refused.is_retryable(), "{refused:?}");
    exchange.run_sql("rollback", "rollback");
    reader.open();
    database.wait_until(
        "the reader's end",
        "select not exists (select from pg_locks where relation = 'app.plain'::regclass)",
    );

    exchange.run_sql("begin", "begin");
    exchange.run(&dependents::locks(&found));
    let readers = [read("app.plain"), read("app.outer")];
    until("2");
    exchange.run_sql("lock", "lock table app.metrics in access exclusive mode");
    exchange.run_sql("exchange names", &exchange.names_of_swap());
    exchange.run(&dependents::in_swap(&found));
    exchange.run_sql("commit", "commit");
    for reader in readers {
        assert_eq!(database.wait(reader).unwrap().unwrap(), 101);
    }
}

#[test]
fn continuous_aggregates_and_chunks_are_left_to_timescaledb() {
    if !has_community("aggregates") {
        return;
    }
    let sql = "
        alter table {table} set (timescaledb.compress, timescaledb.compress_segmentby = 'device');
        select add_compression_policy('{table}', interval '1000 years');
        select add_retention_policy('{table}', interval '1000 years');
        select compress_chunk(chunk) from show_chunks('{table}') chunk limit 2;
        create materialized view app.hourly with (timescaledb.continuous, timescaledb.materialized_only = false) as
            select time_bucket('1 hour', time) as hour, device, avg(value) from {table} group by 1, 2 with no data;
        create materialized view app.daily with (timescaledb.continuous) as
            select time_bucket('1 day', hour) as day, avg(avg) from app.hourly group by 1 with no data;
        create view app.on_aggregate as select * from app.hourly;
        create view app.plain as select * from {table};
        create materialized view app.counted as select count(*) from {table};";
    let exchange = Exchange::new(Server::Community, "aggregate", metrics(), sql).expect("the server has TimescaleDB");
    let found = exchange.dependents();
    assert_eq!(found.users.others, [] as [&str; 0]);
    let views: Vec<String> = found.users.views.iter().map(|view| view.name.to_string()).collect();
    assert_eq!(views, ["app.plain"]);
    let anew: Vec<String> = found.materialized_views.iter().map(|view| view.name.to_string()).collect();
    assert_eq!(anew, ["app.counted"]);
}

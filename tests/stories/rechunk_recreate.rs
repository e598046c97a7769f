//! `rechunk --recreate-continuous-aggregates`: the program at work on a table with continuous aggregates. These run where
//! `HYPERCOPY_TEST_COMMUNITY_DSN` names a server with TimescaleDB's community edition.

use hypercopy::failpoint;

use crate::harness::{Database, Hold, Role, Server, has_community};
use crate::rechunks::Rechunk;

const LAYOUTS: [[&str; 3]; 2] = [
    ["--chunk-interval", "6 hours", "--recreate-continuous-aggregates"],
    ["--chunk-interval", "1 day", "--recreate-continuous-aggregates"],
];

/// Six days of rows; hours, which show what is not materialized, too; days of the hours, which do not; jobs and a view.
const METRICS: &str = "
    create table metrics (time timestamptz not null, device int not null, value bigint);
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
    insert into metrics select '2025-03-01 00:00+00'::timestamptz + n * interval '10 minutes', n % 3, n from generate_series(0, 863) n;
    create view counted as select count(*) from metrics";
const AGGREGATES: [&str; 5] = [
    "create materialized view hourly with (timescaledb.continuous, timescaledb.materialized_only = false) as
     select time_bucket('1 hour', time) as hour, device, sum(value) as total from metrics group by 1, 2 with no data",
    "create materialized view daily with (timescaledb.continuous, timescaledb.materialized_only = true) as
     select time_bucket('1 day', hour) as day, sum(total) as total from hourly group by 1 with no data",
    "call refresh_continuous_aggregate('hourly', null, '2025-03-06+00')",
    "call refresh_continuous_aggregate('daily', null, '2025-03-06+00')",
    "create index largest on hourly (total desc);
     create view busy as select * from hourly where total > 10;
     select add_continuous_aggregate_policy('hourly', null, interval '1 hour', interval '2 hours', initial_start => '2040-01-01+00');
     select add_retention_policy('daily', interval '30 years', initial_start => '2040-01-01+00');
     select add_retention_policy('metrics', interval '30 years', initial_start => '2040-01-01+00')",
];
/// What the aggregates show when they have heard of everything.
const TRUTH: [(&str, &str); 2] = [
    ("hourly", "(select time_bucket('1 hour', time), device, sum(value) from metrics group by 1, 2)"),
    (
        "daily",
        "(select time_bucket('1 day', time), sum(value)::numeric from metrics where time < '2025-03-06+00' group by 1)",
    ),
];

fn story(name: &str) -> Option<Rechunk> {
    let story = Rechunk::community(name, METRICS)?;
    AGGREGATES.iter().for_each(|sql| story.database.run(sql));
    Some(story)
}

/// What can be seen of the aggregates, without what tells whose they are.
fn seen(database: &Database) -> Vec<String> {
    let rows = |name: &&str| format!("{name}: {}", database.multiset(name));
    let mut seen: Vec<String> = ["hourly", "daily", "busy"].iter().map(rows).collect();
    seen.push(database.value(
        "select json_agg(json_build_array(job_id, proc_name, scheduled, hypertable_name ~ '^_mat' ,
             hypertable_name = (select format('_materialized_hypertable_%s', config ->> 'mat_hypertable_id'))) order by job_id)
         from timescaledb_information.jobs where hypertable_name is not null",
    ));
    seen.push(database.value(
        "select json_agg(json_build_array(view_name, materialized_only, regexp_replace(view_definition, '_materialized\\w+', 'm', 'g')) order by view_name)
         from timescaledb_information.continuous_aggregates where view_schema = 'public' and view_name !~ '_old_'",
    ));
    seen
}

#[track_caller]
fn assert_true(database: &Database, what: &str) {
    for (name, truth) in TRUTH {
        assert_eq!(database.multiset(name), database.multiset(truth), "{name}: {what}");
    }
}

/// Nothing of ours is left beside two aggregates, and what they are made of.
#[track_caller]
fn assert_nothing_left(database: &Database, what: &str) {
    let count = |sql: &str, wanted: &str| assert_eq!(database.value(sql), wanted, "{what}: {sql}");
    count("select count(*) from _timescaledb_catalog.continuous_agg", "2");
    count("select count(*) from _timescaledb_catalog.hypertable", "3");
    count("select count(*) from pg_namespace where nspname ~ '^_hypercopy_'", "0");
    count("select count(*) from pg_class where relname ~ '_(old|new)_[0-9]+$'", "0");
    database.assert_nothing_left();
}

#[test]
fn aggregates_are_made_again_and_come_back_in_an_undo() {
    let Some(story) = story("recreate") else { return };
    let database = &story.database;
    let (before, objects) = (seen(database), database.objects());
    let planned = story.run(&[&LAYOUTS[0][..], &["--dry-run"]].concat()).json();
    let costs = planned["plan"]["aggregates"].as_array().expect("costs are told");
    assert_eq!(costs.len(), 2, "{costs:?}");
    assert!(costs[0].as_str().unwrap().contains("public.hourly is computed again from"), "{costs:?}");
    assert_eq!(database.objects(), objects, "a plan changes nothing");

    let report = story.done(&LAYOUTS[0]);
    assert_eq!(report["state"], "swapped");
    let locked = report["swap"]["locked"].as_array().expect("locks are told");
    assert!(locked.iter().any(|lock| lock == "lock continuous aggregate public.daily"), "{locked:?}");
    assert_eq!(seen(database), before);
    assert_true(database, "behind the swap");
    story.done(&["--undo"]);
    assert_eq!(seen(database), before);
    story.assert_as_before(&objects, "behind the undo");
    assert_nothing_left(database, "behind the undo");
}

#[test]
fn compressed_aggregates_are_compressed_again() {
    let Some(story) = story("recreate_compressed") else { return };
    let database = &story.database;
    database.run(
        "alter materialized view hourly set (timescaledb.compress); select compress_chunk(c) from show_chunks('hourly') c",
    );
    let compressed =
        "select count(*) filter (where is_compressed) || ' of ' || count(*) from timescaledb_information.chunks c
        join timescaledb_information.continuous_aggregates on c.hypertable_name = materialization_hypertable_name
        where view_name = 'hourly'";
    let before = (seen(database), database.value(compressed));
    assert!(!before.1.starts_with('0'), "{}", before.1);
    story.done(&LAYOUTS[0]);
    assert_eq!((seen(database), database.value(compressed)), before);
    story.done(&["--undo"]);
    assert_eq!((seen(database), database.value(compressed)), before);
}

#[test]
fn the_new_aggregates_live_on_when_the_old_table_is_dropped() {
    let Some(story) = story("recreate_live") else { return };
    let database = &story.database;
    let before = seen(database);
    story.done(&LAYOUTS[0]);
    story.done(&["--drop-old"]);
    assert_eq!(seen(database), before);
    assert_nothing_left(database, "behind --drop-old");
    // A change of the new table is heard of.
    database.run("update metrics set value = value + 1 where time < '2025-03-02+00'; insert into metrics values ('2025-03-09+00', 1, 7)");
    database.run("call refresh_continuous_aggregate('hourly', null, '2025-03-06+00')");
    database.run("call refresh_continuous_aggregate('daily', null, '2025-03-06+00')");
    assert_true(database, "refreshed");
}

#[test]
fn what_is_written_meanwhile_is_in_the_aggregates_behind_the_swap() {
    let Some(story) = story("recreate_written") else { return };
    let database = &story.database;
    story.done(&[&LAYOUTS[0][..], &["--no-swap"]].concat());
    let objects = database.objects();
    for change in [
        "update metrics set value = 5 where time < '2025-03-01 05:00+00'",
        "delete from metrics where time >= '2025-03-03+00' and time < '2025-03-03 12:00+00' and device = 1",
        "insert into metrics select '2025-03-04 00:00:30+00'::timestamptz + n * interval '1 hour', 9, n from generate_series(0, 60) n",
        "select drop_chunks('metrics', older_than => '2025-03-01+00'::timestamptz)",
    ] {
        database.run(change);
    }
    // The old one is further by now.
    database.run("call refresh_continuous_aggregate('hourly', null, '2025-03-07+00')");
    story.done(&["--swap"]);
    assert_true(database, "behind the swap");
    story.done(&["--undo"]);
    database.run("call refresh_continuous_aggregate('hourly', null, '2025-03-06+00')");
    database.run("call refresh_continuous_aggregate('daily', null, '2025-03-06+00')");
    assert_true(database, "behind the undo");
    assert_ne!(objects, database.objects(), "what was ready is gone");
}

/// The last marks are copied under the lock of the swap, when the new aggregates are filled.
#[test]
fn what_is_written_at_the_swap_is_in_the_aggregates_behind_it() {
    let Some(story) = story("recreate_late") else { return };
    let database = &story.database;
    let hold = Hold::new(database, "begin; lock table metrics in access share mode");
    let mut running = story.start(&[&LAYOUTS[0][..], &["--lock-timeout=100ms"]].concat());
    running.wait_until_said("swap: a lock was not had");
    database.run("update metrics set value = 9 where time < '2025-03-01 03:00+00'");
    hold.open();
    let run = running.end();
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_true(database, "behind the swap");
}

#[test]
fn aggregates_that_are_altered_meanwhile_are_made_anew() {
    let Some(story) = story("recreate_altered") else { return };
    let database = &story.database;
    story.done(&[&LAYOUTS[0][..], &["--no-swap"]].concat());
    database.run("alter materialized view hourly set (timescaledb.materialized_only = true)");
    database.run("create index by_device on hourly (device)");
    let before = seen(database);
    story.done(&["--swap"]);
    assert_eq!(seen(database), before);
    let index =
        "select count(*) from pg_index where indexrelid = '_timescaledb_internal.by_device'::regclass and indrelid = (
        select format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass
        from timescaledb_information.continuous_aggregates where view_name = 'hourly')";
    assert_eq!(database.value(index), "1");
}

#[test]
fn aggregates_that_change_meanwhile_are_made_anew() {
    let Some(story) = story("recreate_changed") else { return };
    let database = &story.database;
    story.done(&[&LAYOUTS[0][..], &["--no-swap"]].concat());
    database.run("drop materialized view daily");
    database.run(AGGREGATES[1]);
    database.run("alter materialized view hourly set (timescaledb.materialized_only = true)");
    database.run("call refresh_continuous_aggregate('hourly', null, '2025-03-08+00')");
    database.run("call refresh_continuous_aggregate('daily', null, '2025-03-06+00')");
    let before = seen(database);
    story.done(&["--swap"]);
    assert_eq!(seen(database), before);
    assert_true(database, "behind the swap");
    // And what was made since stands in the way of an undo, until it is gone.
    database.run("create index later on hourly (hour, total)");
    story.fails(3, "continuous aggregate public.hourly was made or altered since the swap", &["--undo"]);
    database.run("drop index _timescaledb_internal.later; drop materialized view daily");
    story.done(&["--undo"]);
    assert_eq!(
        database.value("select string_agg(user_view_name::text, ' ') from _timescaledb_catalog.continuous_agg"),
        "hourly"
    );
}

#[test]
fn an_aggregate_that_nobody_has_asked_to_make_again_keeps_the_swap_from_happening() {
    let Some(story) = Rechunk::community("recreate_unasked", METRICS) else { return };
    story.done(&["--chunk-interval", "6 hours", "--no-swap"]);
    story.database.run(AGGREGATES[0]);
    story.fails(
        5,
        "continuous aggregate public.hourly over public.metrics was made since the rechunk began",
        &["--swap"],
    );
    story.database.run("drop materialized view hourly");
    story.done(&["--swap"]);
}

#[test]
fn a_rechunk_with_aggregates_that_is_killed_goes_on() {
    let Some(story) = story("recreate_killed") else { return };
    let database = &story.database;
    let before = seen(database);
    let others = ["finalize-after-commit", "swap-before-commit", "swap-after-commit"];
    // The third time they are alone is before the swap, the fifth behind it.
    let later = ["alone-before-mark:2", "alone-before-mark:3", "alone-before-mark:5", "alone-before-mark:6"];
    for (round, failpoint) in failpoint::AGGREGATES.iter().chain(&others).chain(&later).enumerate() {
        let layout = &LAYOUTS[round % 2];
        story.kill_at(failpoint, layout);
        assert_eq!(seen(database)[..3], before[..3], "nobody finds them empty: {failpoint}");
        story.done(layout);
        assert_eq!(seen(database), before, "{failpoint}");
        story.done(&["--drop-old"]);
        assert_nothing_left(database, failpoint);
    }
    for (round, failpoint) in failpoint::DROP_OLD.iter().enumerate() {
        let layout = &LAYOUTS[(round + failpoint::AGGREGATES.len() + others.len() + later.len()) % 2];
        story.done(layout);
        story.kill_at(failpoint, &["--drop-old"]);
        story.done(&["--drop-old"]);
        assert_eq!(seen(database), before, "{failpoint}");
        assert_nothing_left(database, failpoint);
    }
}

#[test]
fn ways_back_that_are_killed_are_completed_by_the_next_and_bring_the_aggregates_back() {
    let Some(story) = story("recreate_back") else { return };
    let database = &story.database;
    let (before, objects) = (seen(database), database.objects());
    let back = |until: &[&str], way: &str, failpoint: &str| {
        story.done(until);
        story.kill_at(failpoint, &[way]);
        story.done(&[way]);
        assert_eq!(seen(database), before, "{way} {failpoint}");
        story.assert_as_before(&objects, failpoint);
    };
    failpoint::UNDO.iter().for_each(|failpoint| back(&LAYOUTS[0], "--undo", failpoint));
    let ready = [&LAYOUTS[0][..], &["--no-swap"]].concat();
    failpoint::ABORT.iter().for_each(|failpoint| back(&ready, "--abort", failpoint));
    // Nothing has followed the swap yet.
    story.kill_at("swap-after-commit", &LAYOUTS[0]);
    story.done(&["--undo"]);
    assert_eq!(seen(database), before);
    story.assert_as_before(&objects, "nothing has followed the swap");
    // Whoever runs the command again instead of the abort gets new aggregates.
    story.done(&ready);
    story.kill_at("abort-after-commit", &["--abort"]);
    story.done(&LAYOUTS[0]);
    assert_eq!(seen(database), before);
    story.done(&["--drop-old"]);
    assert_nothing_left(database, "behind --drop-old");
}

#[test]
fn an_ordinary_owner_makes_its_aggregates_again() {
    if !has_community("recreate_owner") {
        return;
    }
    let owner = Role::create(Server::Community, "aggregator");
    let mut story = Rechunk::community("recreate_owner", "").expect("there is a server");
    story.database.run(&format!(
        "grant create on database \"{}\" to {name}; grant usage, create on schema public to {name}",
        story.database.value("select current_database()"),
        name = owner.name
    ));
    let superuser = story.database.conninfo.clone();
    story.database.conninfo = owner.conninfo(&story.database);
    let session = story.database.session();
    for sql in std::iter::once(METRICS).chain(AGGREGATES) {
        story.database.wait(session.batch_execute(sql)).unwrap_or_else(|error| panic!("{error:?}\nin: {sql}"));
    }
    drop(session);
    let before = seen(&story.database);
    story.done(&LAYOUTS[0]);
    assert_eq!(seen(&story.database), before);
    story.done(&["--drop-old"]);
    story.database.conninfo = superuser;
    assert_eq!(seen(&story.database), before);
    let owners = "select string_agg(distinct pg_get_userbyid(relowner), ' ') from pg_class where relname in ('hourly', 'daily', 'busy')";
    assert_eq!(story.database.value(owners), owner.name);
    story.database.run(&format!("drop owned by {} cascade", owner.name));
}

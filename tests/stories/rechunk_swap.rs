//! What was open when the tables changed places: transactions, statements that waited, plans that were cached.

use std::pin::pin;

use bytes::Bytes;
use futures_util::SinkExt;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::harness::{Database, Hold, Run, Running};
use crate::rechunks::Rechunk;
use crate::writers::{Key, tables};

const LAYOUT: [&str; 2] = ["--chunk-interval", "3 days"];
const ROWS: u64 = 6_000;
/// A transaction that has a snapshot.
const SNAPSHOT: &str = "begin isolation level repeatable read; select 1";
/// A transaction that has a lock of the table, and no snapshot.
const LOCK: &str = "begin; lock table metrics in access share mode";
const LOCK_IS_NOT_HAD: &str = "swap: a lock was not had";

/// One statement of each kind, with what it leaves in the table as the rows of device 5000 and more.
const STATEMENTS: [(&str, &str); 6] = [
    ("insert into metrics values ('2025-03-02 03:00+00', 5001, 1, 1, 'new')", "5001 1"),
    ("update metrics set device = 5002 where time = '2025-03-01 00:00+00' and id = 0", "5002 1"),
    ("delete from metrics where device = 6000", "6000 0"),
    (
        "insert into metrics as t values ('2025-03-04 01:00+00', 6001, 1, 1, 'x')
      on conflict (time, device, id) do update set value = t.value + 1, note = 'upsert'",
        "6001 1",
    ),
    (
        "merge into metrics t using (values (6002)) s (device) on t.device = s.device
      when matched then update set device = 5003 when not matched then do nothing",
        "5003 1",
    ),
    ("insert into metrics select time, 5004, id, value, note from metrics where device = 6003", "5004 1"),
];

const ROWS_OF_STATEMENTS: &str = "
    insert into metrics values ('2025-03-05 01:00+00', 6000, 1, 1, 'x'), ('2025-03-04 01:00+00', 6001, 1, 1, 'x'),
        ('2025-03-06 01:00+00', 6002, 1, 1, 'x'), ('2025-03-07 01:00+00', 6003, 1, 1, 'x');";

fn story(name: &str) -> Rechunk {
    let story = Rechunk::new(name, &tables(Key::Primary, ROWS));
    story.database.run(ROWS_OF_STATEMENTS);
    story
}

/// A run that waits for the swap's lock, and the lock that it waits for.
fn at_the_swap<'a>(story: &'a Rechunk, arguments: &[&str]) -> (Running, Hold<'a>) {
    let hold = Hold::new(&story.database, LOCK);
    let mut running = story.start(&[&LAYOUT[..], &["--lock-timeout=100ms"], arguments].concat());
    running.wait_until_said(LOCK_IS_NOT_HAD);
    (running, hold)
}

#[track_caller]
fn assert_swapped(running: Running) {
    let run = running.end();
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.json()["state"], "swapped");
}

#[test]
fn a_transaction_that_would_see_an_empty_table_holds_the_swap_back() {
    let story = story("swap_older");
    let before = story.database.multiset("metrics");
    let reader = Hold::new(&story.database, SNAPSHOT);
    let pid = story
        .database
        .value("select pid from pg_stat_activity where datname = current_database() and state = 'idle in transaction'");
    let run = story.fails(8, &format!("backend {pid}"), &[&LAYOUT[..], &["--swap-wait=0s"]].concat());
    assert!(run.stderr.contains("they would see public.metrics empty"), "{}", run.stderr);
    assert_eq!(run.json()["state"], "ready");
    let mut running = story.start(&LAYOUT);
    running.wait_until_said("the swap waits for 1 older transactions");
    reader.open();
    assert_swapped(running);
    assert_eq!(story.database.multiset("metrics"), before);
}

#[test]
fn a_transaction_without_a_snapshot_does_not_hold_the_swap_back() {
    let story = story("swap_no_snapshot");
    let idle = Hold::new(&story.database, "begin; select 1");
    let before = Hold::new(&story.database, "begin isolation level repeatable read");
    story.done(&[&LAYOUT[..], &["--swap-wait=0s"]].concat());
    for hold in [idle, before] {
        hold.run("update metrics set value = 0 where device = 6000; commit");
    }
}

#[test]
fn a_reader_that_stays_keeps_the_swap_from_happening_and_nobody_else_from_reading() {
    let story = story("swap_reader");
    let (mut running, hold) = at_the_swap(&story, &["--retry-for=1s"]);
    let other = story.database.session();
    story.database.wait(other.batch_execute("set lock_timeout = '10s'")).expect("a setting can be set");
    let mut reads = 0;
    while !running.has_ended() {
        story.database.wait(other.batch_execute("select count(*) from metrics")).expect("others can read");
        reads += 1;
    }
    assert!(reads > 0);
    let run = running.end();
    assert_eq!(run.code, 8, "{}", run.stderr);
    assert!(run.stderr.contains("held by backend"), "{}", run.stderr);
    hold.open();
    assert_eq!(story.done(&LAYOUT)["state"], "swapped");
}

/// Sessions that each have a snapshot from before the swap.
fn with_snapshots(database: &Database) -> Vec<Client> {
    let session = |_| {
        let session = database.session();
        database.wait(session.batch_execute(SNAPSHOT)).expect("a transaction begins");
        session
    };
    STATEMENTS.iter().map(session).collect()
}

#[track_caller]
fn assert_told_to_repeat(story: &Rechunk) {
    let (running, hold) = at_the_swap(story, &[]);
    let sessions = with_snapshots(&story.database);
    hold.open();
    assert_swapped(running);
    let before = story.database.multiset("metrics");
    for (session, (sql, _)) in sessions.iter().zip(STATEMENTS) {
        let error = story.database.wait(session.batch_execute(sql)).expect_err(sql);
        assert_eq!(error.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE), "{sql}: {error:?}");
        story.database.wait(session.batch_execute("rollback")).expect("a rollback works");
    }
    assert_eq!(story.database.multiset("metrics"), before);
    for (session, (sql, left)) in sessions.iter().zip(STATEMENTS) {
        story.database.wait(session.batch_execute(sql)).expect(sql);
        assert_left(&story.database, "metrics", left);
    }
}

/// `left` is a device and how many rows there are of it.
#[track_caller]
fn assert_left(database: &Database, table: &str, left: &str) {
    let (device, count) = left.split_once(' ').expect("a device and a count");
    assert_eq!(database.value(&format!("select count(*) from {table} where device = {device}")), count, "{device}");
}

#[test]
fn a_writer_whose_snapshot_is_older_than_the_swap_is_told_to_repeat() {
    assert_told_to_repeat(&story("swap_snapshots"));
}

#[test]
fn a_writer_whose_snapshot_is_older_than_the_swap_is_told_to_repeat_where_rows_are_noted_one_by_one() {
    let story = story("swap_snapshots_by_row");
    story.database.run("alter table metrics add gone int; alter table metrics drop column gone");
    assert_told_to_repeat(&story);
}

/// As many rows as before are not the rows of before, whatever was asked of the comparison before the swap.
#[test]
fn an_undo_finds_rows_that_were_changed_in_a_chunk_that_was_rewritten() {
    let story = story("swap_rewritten");
    let database = &story.database;
    for verify in ["--verify=none", "--verify=counts"] {
        story.done(&[&LAYOUT[..], &[verify]].concat());
        let chunk = database.value("select show_chunks('metrics') limit 1");
        database.run(&format!("vacuum full {chunk}"));
        story.done(&["--undo"]);
        story.done(&[&LAYOUT[..], &[verify]].concat());
        let chunk = database.value("select show_chunks('metrics') limit 1");
        database.run(&format!("update {chunk} set value = value + 1 where ctid = (select min(ctid) from {chunk})"));
        database.run(&format!("vacuum full {chunk}"));
        let after = database.multiset("metrics");
        story.fails(3, "was changed since the swap in", &["--undo"]);
        assert_eq!(database.multiset("metrics"), after, "{verify}");
        story.done(&["--undo", "--force"]);
    }
}

/// TimescaleDB 2.19 ends the server where a column was dropped and a row for a new chunk is noted by a transition table.
#[test]
fn no_column_is_dropped_while_the_server_would_crash_of_it() {
    let story = story("swap_columns");
    let database = &story.database;
    database.run("create view watched as select device from metrics");
    let refused = |statement: &str| {
        let error = database.try_query(statement).expect_err("the column stays");
        let detail = error.as_db_error().and_then(|error| error.detail()).unwrap_or_default();
        assert!(detail.contains("cascade would crash the server: end the rechunk first"), "{statement}: {error:?}");
        database.run("insert into metrics (time, device, id) values ('2035-01-01', 1, 1); delete from metrics where time > '2034-01-01'");
    };
    story.done(&[&LAYOUT[..], &["--no-swap"]].concat());
    refused("alter table metrics drop column note");
    story.done(&["--swap"]);
    refused("alter table metrics drop column note");
    story.done(&["--undo", "--force"]);
    story.done(&LAYOUT);
    refused("alter table metrics drop column note");
    story.done(&["--drop-old"]);
    database.run("alter table metrics drop column note; drop view watched");
    assert_eq!(database.value("select count(*) from pg_namespace where nspname like '!_hypercopy!_%' escape '!'"), "0");
}

#[test]
fn plans_that_were_made_before_the_swap_use_the_new_table() {
    let story = story("swap_plans");
    let database = &story.database;
    let session = database.session();
    database
        .wait(session.batch_execute(
            "create function note(id int) returns void language plpgsql as
                 $$ begin insert into metrics values ('2025-03-02', 5000, id, id, 'function'); end $$;
             create function note_sql(id int) returns void language sql as
                 $$ insert into metrics values ('2025-03-02', 5000, id, id, 'sql') $$;
             prepare note (int) as insert into metrics values ('2025-03-02', 5000, $1, $1, 'prepared');
             prepare note_update (int) as update metrics set value = -1 where device = 5000 and id = $1;
             set plan_cache_mode = force_generic_plan;
             select note(1); select note_sql(2); execute note (3); execute note_update(1);",
        ))
        .expect("the session works");
    story.done(&LAYOUT);
    database
        .wait(session.batch_execute(
            "select note(11); select note_sql(12); execute note (13); execute note_update(2); execute note_update(13);",
        ))
        .expect("the session goes on");
    let ids = |table: &str, condition: &str| {
        database.value(&format!(
            "select coalesce(string_agg(id::text, ' ' order by id), '') from {table} where device = 5000 and {condition}"
        ))
    };
    assert_eq!(ids("metrics", "true"), "1 2 3 11 12 13");
    assert_eq!(ids("metrics", "value = -1"), "1 2 13");
    assert_eq!(ids("metrics_old_1", "true"), "1 2 3");
}

/// Waits until so many sessions of ours, or of others, wait for a lock.
fn wait_until_queued(database: &Database, count: usize, ours: bool) {
    let sql = format!(
        "select count(*) >= {count} from pg_stat_activity where datname = current_database()
             and wait_event_type = 'Lock' and (application_name like 'hypercopy%') = {ours}"
    );
    database.wait_until("sessions at a lock", &sql);
}

/// A statement that queued, and what has become of it.
type Queued = (&'static str, Result<(), tokio_postgres::Error>);

/// Statements that find the table by its name or, through a view, by its oid, and queue behind a run that queues for
/// the table itself.
fn queue_behind(story: &Rechunk, arguments: &[&str]) -> (Run, Vec<Queued>) {
    let database = &story.database;
    database.run(THROUGH);
    let hold = Hold::new(database, LOCK);
    let running = story.start(&[arguments, &["--lock-timeout=30s"]].concat());
    wait_until_queued(database, 1, true);
    let statements = STATEMENTS.iter().map(|(sql, _)| *sql).chain(["select through()", INTO_VIEW]);
    let others: Vec<_> = statements
        .map(|sql| {
            let session = database.session();
            let statement = async move { session.batch_execute(sql).await };
            (sql, database.spawn(statement))
        })
        .chain([(COPY, database.spawn(copy(database.session())))])
        .collect();
    wait_until_queued(database, others.len(), false);
    hold.open();
    let run = running.end();
    let ended = |other| database.wait::<Result<_, tokio::task::JoinError>>(other).expect("a session does not panic");
    (run, others.into_iter().map(|(sql, other)| (sql, ended(other))).collect())
}

const THROUGH: &str = "
    create view through_view as select * from metrics;
    create function through() returns void language plpgsql as
        $$ begin update metrics set device = 5005 where device = 6000; end $$";
const INTO_VIEW: &str = "insert into through_view values ('2025-03-02', 5006, 1, 1, 'view')";

const COPY: &str = "copy metrics from stdin";

async fn copy(session: Client) -> Result<(), tokio_postgres::Error> {
    let mut sink = pin!(session.copy_in(COPY).await?);
    sink.send(Bytes::from_static(b"2025-03-02 07:00+00\t5007\t1\t1\tcopied\n")).await?;
    sink.finish().await.map(drop)
}

/// Whatever was not refused is there.
#[track_caller]
fn assert_done_or_told(database: &Database, queued: Vec<Queued>) {
    for (sql, ended) in queued {
        let left = STATEMENTS
            .iter()
            .chain(&[(INTO_VIEW, "5006 1"), (COPY, "5007 1")])
            .find(|(statement, _)| *statement == sql);
        match (ended, left) {
            // Two of them want the same row.
            (Ok(()), Some((_, left))) if !left.starts_with("6000") => assert_left(database, "metrics", left),
            (Ok(()), _) => {}
            (Err(error), _) => {
                assert_eq!(error.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE), "{sql}: {error:?}");
            }
        }
    }
}

#[test]
fn statements_that_waited_for_the_swap_write_to_the_new_table_or_are_told_to_repeat() {
    let story = story("swap_waiting");
    let before = story.database.multiset("metrics");
    let (run, queued) = queue_behind(&story, &LAYOUT);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(story.database.multiset("metrics_old_1"), before, "nobody has written to the old table");
    assert_done_or_told(&story.database, queued);
}

/// What is written to the new table behind the undo is dropped with it.
#[test]
fn statements_that_waited_for_an_undo_write_to_the_old_table_or_are_told_to_repeat() {
    let story = story("undo_waiting");
    story.done(&LAYOUT);
    let (run, queued) = queue_behind(&story, &["--undo"]);
    assert_done_or_told(&story.database, queued);
    if run.code != 0 {
        assert!(run.stderr.contains("view public.through_view depends on"), "{}", run.stderr);
        story.database.run("drop view through_view");
        story.done(&["--undo"]);
    }
}

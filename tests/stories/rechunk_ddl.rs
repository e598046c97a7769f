//! `rechunk` while somebody drops, empties and rewrites chunks, writes past the triggers, or restarts the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_postgres::Client;

use crate::faults::{FORGETFUL, cluster};
use crate::harness::{Database, Hold, wait_until, wait_until_held};
use crate::random::{Random, rounds};
use crate::rechunks::Rechunk;
use crate::writers::{Key, Writers, tables};

const LAYOUTS: [&[&str]; 2] = [&["--chunk-interval", "3 days"], &["--chunk-interval", "1 day"]];
/// Enough for two tasks.
const ROWS: u64 = 8_000;

/// A chunk of the table that has the name now, as long as the transaction holds the table.
struct Chunk {
    name: String,
    /// The condition for what may lie in it.
    rows: String,
}

/// Who works on whole chunks.
struct Tidier {
    session: Client,
    random: Random,
    count: u64,
}

impl Tidier {
    async fn work(mut self, is_over: Arc<AtomicBool>, done: Arc<AtomicBool>) -> u64 {
        while !is_over.load(Ordering::Relaxed) {
            match self.tidy().await {
                Ok(()) => self.count += 1,
                Err(error) => {
                    let code = error.code().map_or("no SQLSTATE", |code| code.code());
                    assert!(["40P01", "42P01", "40001"].contains(&code), "{error:?}");
                    self.session.batch_execute("rollback").await.expect("a rollback works");
                }
            }
            done.store(self.count > 2, Ordering::Relaxed);
        }
        self.count
    }

    /// The oracle loses the same rows in the same transaction.
    async fn tidy(&mut self) -> Result<(), tokio_postgres::Error> {
        self.session.batch_execute("begin; lock table only metrics in access share mode").await?;
        let kind = self.random.below(20);
        let statements = match (kind, self.chunk().await?) {
            (0, _) => "truncate metrics; delete from oracle".to_string(),
            (1..5, Some(chunk)) => format!("truncate {}; {}", chunk.name, chunk.lost()),
            (5..9, Some(chunk)) => format!("drop table {}; {}", chunk.name, chunk.lost()),
            (9..12, Some(chunk)) => format!("drop table {}; {}; {}", chunk.name, chunk.lost(), self.again()),
            (12..14, Some(chunk)) => format!("cluster {} using {}", chunk.name, self.index(&chunk).await?),
            _ => self.again(),
        };
        self.session.batch_execute(&statements).await?;
        self.session.batch_execute("commit").await
    }

    async fn chunk(&mut self) -> Result<Option<Chunk>, tokio_postgres::Error> {
        let sql = "select format('%I.%I', chunk_schema, chunk_name),
                       format('time >= %L and time < %L', range_start, range_end)
                   from timescaledb_information.chunks where hypertable_schema = 'public' and hypertable_name = 'metrics'
                   order by range_start";
        let chunks = self.session.query(sql, &[]).await?;
        if chunks.is_empty() {
            return Ok(None);
        }
        let row = &chunks[self.random.below(chunks.len() as u64) as usize];
        Ok(Some(Chunk { name: row.get(0), rows: row.get(1) }))
    }

    async fn index(&self, chunk: &Chunk) -> Result<String, tokio_postgres::Error> {
        let sql = "select quote_ident(relname) from pg_index join pg_class on pg_class.oid = indexrelid
                   where indrelid = $1::text::regclass order by 1 limit 1";
        Ok(self.session.query_one(sql, &[&chunk.name]).await?.get(0))
    }

    /// New rows where there may have been a chunk.
    fn again(&mut self) -> String {
        let (day, id) = (1 + self.random.below(12), self.random.below(1 << 30));
        let rows = format!(
            "values ('2025-03-{day:02} 00:00+00', 77, {id}, 1, 'again'), ('2025-03-{day:02} 17:00+00', 77, {id}, 2, 'again')"
        );
        format!("insert into metrics {rows}; insert into oracle {rows}")
    }
}

impl Chunk {
    fn lost(&self) -> String {
        format!("delete from oracle where {}", self.rows)
    }
}

/// The same command again, where it has not had a lock in time.
#[track_caller]
fn again_until_done(story: &Rechunk, arguments: &[&str]) {
    let mut run = story.run(arguments);
    for _ in 0..10 {
        if run.code == 8 {
            run = story.run(arguments);
        }
    }
    assert_eq!(run.code, 0, "{arguments:?}: {}", run.stderr);
}

#[test]
fn chunks_that_are_dropped_emptied_and_made_again_are_followed() {
    let story = Rechunk::new("rechunk_tidied", &tables(Key::Primary, ROWS));
    let database = &story.database;
    let mut random = Random::of_this_run();
    for round in 0..rounds(2) as usize {
        let (is_over, has_begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let tidier = Tidier { session: database.session(), random: random.fork(), count: 0 };
        // Otherwise writers fall one after the other, for minutes, to the chunk that it drops and to the slice's rows
        // that they have locked.
        database.wait(tidier.session.batch_execute("set deadlock_timeout = '50ms'")).expect("the tidier gives way");
        let tidier = database.spawn(tidier.work(Arc::clone(&is_over), Arc::clone(&has_begun)));
        let writers = Writers::among_drops(database, Key::Primary, 3, &mut random);
        wait_until("somebody at the chunks", || tidier.is_finished() || has_begun.load(Ordering::Relaxed));
        let verify = ["--verify=counts", "--verify=checksum"][round % 2];
        again_until_done(&story, &[LAYOUTS[round % 2], &[verify]].concat());
        writers.wait_for_each(2);
        is_over.store(true, Ordering::Relaxed);
        database.wait(tidier).expect("the tidier does not panic");
        writers.stop();
        assert_eq!(database.multiset("metrics"), database.multiset("oracle"), "round {round}");
        story.done(&["--drop-old"]);
    }
}

#[track_caller]
fn in_a_chunk(database: &Database) -> String {
    database.value("select show_chunks('metrics', older_than => '2025-03-03'::timestamptz)::text order by 1 limit 1")
}

#[track_caller]
fn assert_found_and_given_up(story: &Rechunk, before: &[Vec<Option<String>>], arguments: &[&str], what: &str) {
    let rows = story.database.multiset("metrics");
    let run = story.fails(7, "ranges differ between public.metrics and its new table", arguments);
    assert_eq!(run.json()["verification"]["differences"].as_array().map(Vec::len), Some(1), "{what}: {}", run.stdout);
    story.done(&["--abort"]);
    story.assert_as_before(before, what);
    assert_eq!(story.database.multiset("metrics"), rows, "{what}");
}

#[test]
fn rows_that_were_written_past_the_triggers_are_found_before_the_swap() {
    let story = Rechunk::new("rechunk_direct", &tables(Key::Primary, ROWS));
    let before = story.database.objects();
    let chunk = in_a_chunk(&story.database);
    let replica = |sql: &str| format!("set session_replication_role = replica; {sql}; reset session_replication_role");
    for (verify, sql) in [
        ("--verify=counts", format!("delete from {chunk} where id % 4 = 0")),
        ("--verify=counts", format!("insert into {chunk} select time, device, id + 1000000 from {chunk} limit 1")),
        ("--verify=checksum", format!("update {chunk} set value = value + 1 where id % 3 = 0")),
        ("--verify=counts", replica("delete from metrics where time < '2025-03-02' and id % 3 = 0")),
        ("--verify=checksum", replica("update metrics set value = 0 where time < '2025-03-02'")),
    ] {
        let command = [LAYOUTS[0], &[verify]].concat();
        story.kill_at("finalize-before-step", &command);
        story.database.run(&sql);
        assert_found_and_given_up(&story, &before, &command, &sql);
    }
}

/// A json has no hash function, and a point none either: such rows are read.
#[test]
fn rows_that_the_server_cannot_hash_are_compared_too() {
    let story = Rechunk::new(
        "rechunk_unhashable",
        "create table metrics (time timestamptz not null, spot point, document json);
         select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
         insert into metrics select '2025-03-01 12:00+00'::timestamptz + n % 9 * interval '1 day', point(n, -n),
             json_build_object('n', n) from generate_series(1, 500) n;",
    );
    let before = story.database.objects();
    let command = [LAYOUTS[0], &["--verify=checksum"]].concat();
    for (n, change) in ["document = '{ \"n\": 1 }'", "spot = point(0.5, -1)"].iter().enumerate() {
        story.kill_at("finalize-before-step", &command);
        let chunk = in_a_chunk(&story.database);
        story.database.run(&format!("update {chunk} set {change} where ctid = (select max(ctid) from {chunk})"));
        assert_found_and_given_up(&story, &before, &command, &format!("change {n}"));
    }
    story.done(&command);
}

/// The comparison of a run that has ended says nothing of what was written since.
#[test]
fn rows_that_were_written_past_the_triggers_of_a_ready_table_are_found_before_the_swap() {
    let story = Rechunk::new("rechunk_direct_ready", &tables(Key::Primary, ROWS));
    let before = story.database.objects();
    let chunk = in_a_chunk(&story.database);
    for command in [&["--swap"][..], LAYOUTS[0]] {
        story.done(&[LAYOUTS[0], &["--no-swap"]].concat());
        story.database.run(&format!("delete from {chunk} where ctid = (select ctid from {chunk} limit 1)"));
        assert_found_and_given_up(&story, &before, command, "a row that was deleted");
    }
}

/// They are dropped behind the last time that chunks were compared: statistics, which are made between the two, wait.
#[test]
fn chunks_that_are_gone_before_the_comparison_are_no_difference() {
    let story = Rechunk::new("rechunk_gone", &tables(Key::Primary, ROWS));
    let database = &story.database;
    story.kill_at("finalize-before-step", LAYOUTS[0]);
    let change = "update {t} set value = -1 where time < '2025-03-02'";
    ["metrics", "oracle"].iter().for_each(|table| database.run(&change.replace("{t}", table)));
    let hold = Hold::new(database, "begin; lock table only _hypercopy_1.metrics in share update exclusive mode");
    let running = story.start(LAYOUTS[0]);
    wait_until_held(database, 1);
    database.run(
        "select drop_chunks('metrics', older_than => '2025-03-03'::timestamptz);
         delete from oracle where time < '2025-03-03'",
    );
    hold.open();
    let run = running.end();
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(database.multiset("metrics"), database.multiset("oracle"));
}

/// Commits of copies do not wait for the disk: a server that crashes forgets them, and the marks that they have taken.
#[test]
fn a_server_that_forgets_is_told_again() {
    let mut cluster = cluster("stories-rechunk", &FORGETFUL);
    let story = Rechunk { database: Database::in_cluster(&cluster, "rechunk", "") };
    story.database.run(&tables(Key::Primary, ROWS));
    for (round, (failpoint, state)) in
        [("after-commit", "copying"), ("catch-up-after-commit", "finalizing"), ("swap-after-commit", "swapped")]
            .into_iter()
            .enumerate()
    {
        let layout = LAYOUTS[round % 2];
        if failpoint.starts_with("catch-up") {
            story.kill_at("finalize-before-step", layout);
            let change = "update {t} set value = -1 where time < '2025-03-02'";
            ["metrics", "oracle"].iter().for_each(|table| story.database.run(&change.replace("{t}", table)));
        }
        story.kill_at(failpoint, layout);
        cluster.restart().expect("the cluster starts again");
        wait_until("the server", || story.database.try_query("select 1").is_ok());
        assert_eq!(story.database.value("select state from _hypercopy.job where state <> 'finished'"), state);
        story.done(layout);
        assert_eq!(story.database.multiset("metrics"), story.database.multiset("oracle"), "{failpoint}");
        story.done(&["--drop-old"]);
    }
}

#[test]
fn a_run_whose_server_restarts_goes_on() {
    let mut cluster = cluster("stories-rechunk-restart", &[]);
    let story = Rechunk { database: Database::in_cluster(&cluster, "rechunk", "") };
    story.database.run(&tables(Key::Primary, ROWS));
    let hold = story.database.session();
    story.database.wait(hold.batch_execute("begin; lock table metrics in access share mode")).expect("the lock is had");
    let mut running = story.start(&[LAYOUTS[0], &["--lock-timeout", "100ms"]].concat());
    running.wait_until_said("swap: a lock was not had");
    cluster.restart().expect("the cluster starts again");
    let run = running.end();
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.json()["state"], "swapped");
    assert_eq!(story.database.multiset("metrics"), story.database.multiset("oracle"));
}

/// Whole batches of compressed rows can be deleted without being read.
#[test]
fn changes_of_compressed_chunks_are_followed() {
    let Some(story) = Rechunk::community("rechunk_compressed", &tables(Key::Primary, ROWS)) else { return };
    let database = &story.database;
    database.run(
        "alter table metrics set (timescaledb.compress, timescaledb.compress_segmentby = 'device',
             timescaledb.compress_orderby = 'time, id');
         select compress_chunk(chunk) from show_chunks('metrics', older_than => '2025-03-08'::timestamptz) chunk;",
    );
    for (round, dropped) in [false, true].into_iter().enumerate() {
        if dropped {
            database.run("alter table metrics add gone int; alter table metrics drop column gone");
        }
        assert_eq!(story.done(&[LAYOUTS[round], &["--no-swap"]].concat())["state"], "ready");
        for change in [
            "delete from {t} where device = 3",
            "delete from {t} where device = 4 and time < '2025-03-04'",
            "update {t} set value = -5 where device = 5 and time < '2025-03-02'",
            "insert into {t} select '2025-03-02 05:00+00', 3, n, n, 'late' from generate_series(1, 50) n",
            "insert into {t} values ('2025-03-02 05:00+00', 3, 7, 7, 'x') on conflict (time, device, id) do update set value = -7",
        ] {
            ["metrics", "oracle"].iter().for_each(|table| database.run(&change.replace("{t}", table)));
        }
        database.run(
            "select decompress_chunk(chunk, true) from show_chunks('metrics', older_than => '2025-03-03'::timestamptz) chunk;
             select compress_chunk(chunk, true) from show_chunks('metrics', newer_than => '2025-03-09'::timestamptz) chunk;",
        );
        story.done(&["--swap", "--verify=none"]);
        assert_eq!(database.multiset("metrics"), database.multiset("oracle"), "{dropped}");
        story.done(&["--drop-old"]);
        database.run("delete from metrics where id = 7; delete from oracle where id = 7");
    }
}

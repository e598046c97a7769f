//! Many chunks, large rows, many columns, small lock tables.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use hypercopy::cluster::{Cluster, Installation, Release, Settings};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_postgres::Client;

use crate::harness::{Run, Story};

/// A cluster of one story, for settings that the others shall not have.
struct Own {
    cluster: Cluster,
    runtime: Runtime,
    client: Client,
}

impl Own {
    fn start(name: &str, parameters: &[(&str, &str)]) -> Own {
        let installation =
            Installation::debian(Release::Trixie).expect("trixie can be had").expect("it has TimescaleDB");
        let settings = Settings::new(format!("stories-{name}")).fsync(false);
        let settings = parameters.iter().fold(settings, |settings, (name, value)| settings.parameter(*name, *value));
        let cluster = Cluster::start(&installation, settings).expect("the cluster starts");
        let runtime = Runtime::new().expect("a runtime starts");
        let client = session(&runtime, &cluster.conninfo("postgres"));
        let own = Own { cluster, runtime, client };
        own.run("create extension timescaledb");
        own
    }

    fn conninfo(&self) -> String {
        self.cluster.conninfo("postgres")
    }

    #[track_caller]
    fn run(&self, sql: &str) {
        self.runtime.block_on(self.client.batch_execute(sql)).expect("the statements run");
    }

    #[track_caller]
    fn value(&self, sql: &str) -> String {
        self.runtime
            .block_on(self.client.query_one(&format!("select ({sql})::text"), &[]))
            .expect("the query runs")
            .get(0)
    }
}

fn session(runtime: &Runtime, conninfo: &str) -> Client {
    runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(conninfo, tokio_postgres::NoTls).await.expect("the server answers");
        tokio::spawn(connection);
        client
    })
}

/// The greatest memory of its own that each of the engine's backends had while `work` ran, in kilobytes.
fn backend_memory<T>(conninfo: &str, work: impl FnOnce() -> T) -> (T, BTreeMap<String, u64>) {
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = || {
            let runtime = Runtime::new().expect("a runtime starts");
            let client = session(&runtime, conninfo);
            let mut peaks = BTreeMap::new();
            while !is_done.load(Ordering::Relaxed) {
                let sql = "select pid, application_name from pg_stat_activity, pg_sleep(0.02) where application_name like 'hypercopy%'";
                for row in runtime.block_on(client.query(sql, &[])).expect("the server tells") {
                    let peak: &mut u64 = peaks.entry(row.get(1)).or_default();
                    *peak = (*peak).max(own_memory_kib(row.get(0)).unwrap_or(0));
                }
            }
            peaks
        };
        let watcher = scope.spawn(watch);
        let answer = work();
        is_done.store(true, Ordering::Relaxed);
        (answer, watcher.join().expect("the watcher answers"))
    })
}

fn own_memory_kib(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    anonymous.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Day chunks from 2015 on with three rows each. The indexes come last: a chunk is made twice as fast without them.
fn create_chunks(chunks: usize, indexes: &[&str]) -> Vec<String> {
    let create = "create table metrics (time timestamptz not null, device int not null, value double precision, primary key (time, device));
        select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day', create_default_indexes => false)";
    let rows = (0..chunks).step_by(250).map(|first| {
        format!(
            "insert into metrics select '2015-01-01'::timestamptz + day * interval '1 day' + device * interval '1 hour', device, day
             from generate_series({first}, {}) day, generate_series(1, 3) device",
            first + 249.min(chunks - first - 1)
        )
    });
    let indexes = indexes.iter().map(|index| format!("create index on metrics {index}"));
    std::iter::once(create.to_string()).chain(rows).chain(indexes).collect()
}

/// The rows of each year: a query over all chunks and their indexes takes more locks than a default server has.
fn multisets() -> impl Iterator<Item = String> {
    (2015..2022).map(|year| {
        format!(
            "select count(*) || ' ' || coalesce(md5(string_agg(md5(t::text), '' order by md5(t::text))), '') from metrics t
             where time >= '{year}-01-01' and time < '{}-01-01'",
            year + 1
        )
    })
}

fn seconds(report: &Value, phase: &str) -> f64 {
    let phases = report["phases"].as_array().expect("the report has phases");
    phases.iter().filter(|found| found["name"] == phase).map(|found| found["seconds"].as_f64().unwrap()).sum()
}

#[test]
fn two_thousand_chunks_fit_a_default_server() {
    let story = Story::new("two_thousand");
    let indexes = [
        "(device, time desc)",
        "using brin (time)",
        "using brin (value)",
        "using brin (device)",
        "using brin (time, device)",
    ];
    create_chunks(2000, &indexes).iter().for_each(|sql| story.source.run(sql));
    let target = Own::start("two-thousand", &[]);
    let migrate = || {
        let mut command = story.command(&["migrate", "metrics", "--json", "-j", "5"]);
        Run::of(command.env("HYPERCOPY_TARGET", target.conninfo()).output().expect("the program starts"))
    };
    let (run, peaks) = backend_memory(&target.conninfo(), migrate);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let report = run.json();
    assert_eq!(report["rows"], 6000);
    assert_eq!(report["target_chunks"], 2000);
    for multiset in multisets() {
        assert_eq!(target.value(&multiset), story.source.value(&multiset));
    }
    let preparation: f64 =
        ["look, snapshot and plan", "create table", "make chunks"].map(|phase| seconds(&report, phase)).iter().sum();
    // Machines that run tests are shared: the limit of 30 s is for whoever reads this, and looked at by hand.
    eprintln!("2,000 chunks were planned and prepared in {preparation:.1} s");
    assert!(peaks.len() >= 4, "all backends were seen: {peaks:?}");
    // With the primary key behind the rows it was 611 MB at 350 chunks already, and grew with their square.
    for (role, kib) in &peaks {
        assert!(*kib < 400 << 10, "{role} has used {kib} kB");
    }
    assert!(report["engine"]["peak_memory_bytes"].as_u64().unwrap() < 100 << 20, "{}", report["engine"]);
}

/// A lock table too small for every session to lock every chunk: each worker locks and reads a stretch of its own.
#[test]
fn a_small_lock_table_gives_each_worker_its_share() {
    let source = Own::start("shares", &[("max_locks_per_transaction", "10"), ("max_connections", "30")]);
    let story = Story::new("shares");
    source.run(
        "create function gate() returns boolean language plpgsql as 'begin return true; end';
        create table metrics (time timestamptz not null, device int not null, note text, check (gate()));
        alter table metrics alter column note set storage external;
        select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day')",
    );
    for week in 0..10 {
        source.run(&format!(
            "insert into metrics select '2025-01-01'::timestamptz + (n + {week} * 560) * interval '18 minutes', n % 7,
                 repeat(chr(97 + n % 26), case when {week} = 4 then 30000 else 300 end)
             from generate_series(0, 559) n"
        ));
    }
    // The target's check of every row waits for the gate.
    story.target.run(
        "create function gate() returns boolean language plpgsql as
        'begin perform pg_advisory_xact_lock_shared(42); return true; end'",
    );
    for (jobs, interval) in [("1", "7 days"), ("5", "7 days"), ("5", "6 hours"), ("3", "1 day")] {
        let name = format!("metrics_{jobs}_{}", &interval[..1]);
        let before = source.value(MULTISET);
        let chunks: usize = source.value("select count(*) from show_chunks('metrics')").parse().unwrap();
        let mut command = story.command(&[
            "migrate",
            "metrics",
            "--as",
            &name,
            "--json",
            "--verify",
            "checksum",
            "-j",
            jobs,
            "--chunk-interval",
            interval,
        ]);
        command.env("HYPERCOPY_SOURCE", source.conninfo()).stdout(Stdio::piped()).stderr(Stdio::piped());
        story.target.run("select pg_advisory_lock(42)");
        let child = command.spawn().expect("the program starts");
        let waiting =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'advisory'";
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while story.target.value(waiting) == "0" && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        disturb(&source);
        story.target.run("select pg_advisory_unlock(42)");
        let run = Run::of(child.wait_with_output().expect("the program ends"));
        assert_eq!(run.code, 0, "{}", run.stderr);
        let report = run.json();
        let locks = report["plan"]["source_locks"].as_str().unwrap();
        let shares = format!(" {} locks in", jobs.parse::<usize>().unwrap() + 1 + chunks);
        assert!(locks.contains(&shares), "each chunk is locked once: {locks}");
        let tasks = report["tasks"].as_u64().unwrap();
        assert!(
            tasks >= jobs.parse().unwrap() && tasks < 30,
            "small chunks are read together, the large ones are cut: {tasks}"
        );
        assert_eq!(story.target.value(&MULTISET.replace("metrics", &name)), before);
    }
}

/// A comparison takes its locks in the same shares on both sides, whichever of the lock tables is small.
#[test]
fn a_small_lock_table_is_enough_to_compare() {
    let small = Own::start("compare", &[("max_locks_per_transaction", "10"), ("max_connections", "30")]);
    let story = Story::new("compare");
    let table = |interval: &str| {
        format!(
            "create table metrics (time timestamptz not null, device int not null);
             select create_hypertable('metrics', 'time', chunk_time_interval => interval '{interval}');"
        )
    };
    let days = |from: u32, until: u32| {
        format!(
            "insert into metrics select '2025-01-01 00:00+00'::timestamptz + n * interval '1 hour', n % 7
             from generate_series({from} * 24, {until} * 24 - 1) n"
        )
    };
    small.run(&table("12 hours"));
    story.source.run(&table("1 day"));
    // One statement must not lock all chunks either.
    for month in 0..5 {
        small.run(&days(month * 30, month * 30 + 30));
        story.source.run(&days(month * 30, month * 30 + 30));
    }
    let compare = |source: &str, target: &str, jobs: &str| {
        let mut command = story.command(&["verify", "metrics", "--json", "-j", jobs]);
        command.env("HYPERCOPY_SOURCE", source).env("HYPERCOPY_TARGET", target);
        let run = Run::of(command.output().expect("the program starts"));
        (run.code, run.json())
    };
    let (small_end, large_end) = (small.conninfo(), story.source.conninfo.clone());
    for jobs in ["1", "3"] {
        for (source, target) in [(&small_end, &large_end), (&large_end, &small_end)] {
            let (code, report) = compare(source, target, jobs);
            assert_eq!((code, &report["comparison"]["source_rows"]), (0, &3600.into()), "{}", report["error"]);
            assert!(report["plan"]["ranges"].as_u64().unwrap() >= 3, "{}", report["plan"]);
        }
    }
    small.run("update metrics set device = 99 where time = '2025-04-10 05:00+00'");
    for (source, target) in [(&small_end, &large_end), (&large_end, &small_end)] {
        let (code, report) = compare(source, target, "3");
        assert_eq!(code, 7, "{}", report["error"]);
        assert_eq!(report["comparison"]["keys"][0]["key"]["time"], "2025-04-10 05:00:00+00");
        assert_eq!(report["comparison"]["keys"].as_array().unwrap().len(), 1);
    }
}

/// Writes into old chunks and new ones, and tries what would take rows away under the readers.
fn disturb(source: &Own) {
    source.run(
        "insert into metrics select time + interval '1 second', 99, 'late' from metrics where device = 3;
        insert into metrics select max(time) + interval '3 days', 99, 'a new chunk' from metrics;
        delete from metrics where device = 4 and time < (select min(time) + interval '3 days' from metrics);
        set lock_timeout = '20ms'",
    );
    let first = source.value("select min(c::text) from show_chunks('metrics') c");
    let last =
        source.value("select max(c::text) from show_chunks('metrics', older_than => '2025-03-01'::timestamptz) c");
    for ddl in [
        format!("truncate {first}"),
        format!("drop table {last}"),
        "truncate metrics".into(),
        "alter table metrics drop column note".into(),
    ] {
        let error = source.runtime.block_on(source.client.batch_execute(&ddl)).expect_err(&ddl);
        assert_eq!(error.code().map(|code| code.code()), Some("55P03"), "{ddl}: {error:?}");
    }
    source.run("reset lock_timeout");
}

const MULTISET: &str =
    "select count(*) || ' ' || coalesce(md5(string_agg(md5(t::text), '' order by md5(t::text))), '') from metrics t";

/// Chunks that deletes have emptied belong to tasks too, but not all of them to one.
#[test]
fn thousands_of_empty_chunks_are_read_in_portions() {
    let story = Story::new("empty_chunks");
    create_chunks(1000, &[]).iter().for_each(|sql| story.source.run(sql));
    story.source.run("delete from metrics where time > '2015-01-03'");
    let report = story.migrate("metrics", &[]);
    assert_eq!(report["target_chunks"], 2);
    assert!(report["tasks"].as_u64().unwrap() > 10, "{}", report["tasks"]);
}

fn peak_memory(report: &Value) -> u64 {
    report["engine"]["peak_memory_bytes"].as_u64().expect("the report tells the engine's memory")
}

/// The engine's memory is what the formula says, whatever the table's size; the debug build's own is part of it.
#[test]
fn memory_does_not_grow_with_the_table() {
    let story = Story::new("memory");
    story.source.run(
        "create table metrics (time timestamptz not null, device int not null, value double precision);
         select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
         insert into metrics select '2025-03-01'::timestamptz + n * interval '10 seconds', n % 100, n from generate_series(1, 20000) n",
    );
    let small = peak_memory(&story.migrate("metrics", &["--as", "small", "-j", "4"]));
    story.source.run(
        "insert into metrics select '2025-03-01'::timestamptz + n * interval '1 second', n % 100, n from generate_series(1, 500000) n",
    );
    let large = peak_memory(&story.migrate("metrics", &["--as", "large", "-j", "4", "--chunk-interval", "6 hours"]));
    assert!(large < 100 << 20, "{large}");
    assert!(large < small + (32 << 20), "{small} for 20 000 rows, {large} for 520 000");
}

/// Two workers, and twice the largest record for each, and the batches between.
#[test]
fn huge_records_and_empty_ones() {
    let story = Story::new("huge");
    story.source.run(
        "create table metrics (time timestamptz not null, note text, data bytea);
         select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
         insert into metrics select '2025-03-01'::timestamptz + n * interval '1 hour', repeat('x', 12000000), repeat('y', n)::bytea
         from generate_series(1, 12) n;
         insert into metrics select '2025-03-01'::timestamptz + n * interval '1 hour', '', '' from generate_series(1, 1000) n;
         insert into metrics values ('2025-03-02', repeat('z', 60000000), null)",
    );
    let report = story.migrate("metrics", &["--verify", "checksum", "-j", "2"]);
    assert_eq!(report["rows"], 1013);
    assert!(peak_memory(&report) < 400 << 20, "{}", report["engine"]);
    // As text each backslash is two.
    story.source.run("create type mood as enum ('ok'); alter table metrics add column kind regclass; update metrics set note = repeat('\\', 12000000) where note like 'x%'");
    let report = story.migrate("metrics", &["--as", "text", "--verify", "checksum", "-j", "2"]);
    assert_eq!(report["plan"]["format"], "text");
    assert!(peak_memory(&report) < 400 << 20, "{}", report["engine"]);
}

#[test]
fn rows_without_bytes() {
    let story = Story::new("no_bytes");
    story.source.run(
        "create table metrics (n bigint not null, a text, b bytea, c int[], d jsonb);
         select create_hypertable('metrics', 'n', chunk_time_interval => 100);
         insert into metrics select n from generate_series(1, 500) n;
         insert into metrics select n, '', '', '{}' from generate_series(1, 500) n",
    );
    assert_eq!(story.migrate("metrics", &["--verify", "checksum", "--chunk-interval", "1000"])["rows"], 1000);
}

#[test]
fn as_many_columns_as_a_table_can_have() {
    let story = Story::new("columns");
    let columns: Vec<String> = (2..=1600).map(|n| format!("c{n} smallint")).collect();
    story.source.run(&format!(
        "create table metrics (time timestamptz not null, {});
         select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
         insert into metrics (time, c2, c1600) select '2025-03-01'::timestamptz + n * interval '1 hour', n, -n from generate_series(1, 100) n;
         insert into metrics select '2025-03-01', {}",
        columns.join(", "),
        (2..=1600).map(|n: i32| n.to_string()).collect::<Vec<_>>().join(", ")
    ));
    let report = story.migrate("metrics", &["--verify", "checksum", "--chunk-interval", "6 hours"]);
    assert_eq!(report["rows"], 101);
}

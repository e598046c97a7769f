//! Applications at work: writers that do to a plain table, in the same transactions, what they do to the hypertable.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::SinkExt;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::harness::{Database, connect, wait_until};
use crate::random::Random;

/// Rows whose times are written by hand: far away, long ago, and one microsecond from a slice's end.
const FAR: [&str; 4] =
    ["1969-12-31 23:59:59.999999+00", "1999-12-31 12:00:00+00", "2055-06-01 00:00:00+00", "2187-01-01 00:00:00+00"];
/// In microseconds.
const HOUR: u64 = 3_600_000_000;
/// The month in which nearly all rows are, in hours.
const HOURS: u64 = 12 * 24;
/// Rows of this device are everybody's.
const SHARED: u64 = 0;

/// Whether rows have a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    None,
    Primary,
}

/// The hypertable `metrics` with so many rows of 1.5 kB in chunks of a day, half of them on one day; `oracle` with the same
/// rows; and `turn`, the lock of the rows that are everybody's.
pub fn tables(key: Key, rows: u64) -> String {
    let key = if key == Key::Primary { ", primary key (time, device, id)" } else { "" };
    format!(
        "create table metrics (time timestamptz not null, device int not null, id bigint not null, value bigint, note text{key});
         alter table metrics alter column note set storage external;
         select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
         insert into metrics select '2025-03-01 00:00+00'::timestamptz + case n % 2
                 when 0 then n * interval '12 days' / {rows} else interval '4 days' + n * interval '1 day' / {rows} end,
             n % 9, -n, n, repeat(chr(97 + n % 26), 1500)
         from generate_series(0, {rows} - 1) n;
         create index metrics_device_idx on metrics (device, time desc);
         create table oracle (like metrics including indexes);
         insert into oracle select * from metrics;
         create table turn ();
         analyze metrics;"
    )
}

/// One thing that a transaction does; `{t}` stands for the table.
#[derive(Clone, Debug)]
enum Step {
    /// Once.
    Plain(String),
    /// To both tables.
    Both(String),
    /// Rows of CSV for both tables.
    Copy(String),
}

/// Writers that go on until they are told to stop.
pub struct Writers<'a> {
    database: &'a Database,
    state: Arc<State>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    is_over: AtomicBool,
    /// Transactions that each writer has ended.
    ended: Vec<AtomicU64>,
    /// How often a transaction was begun anew because the server had said so.
    repeated: AtomicU64,
    /// What makes a writer repeat its transaction.
    repeats: Vec<&'static str>,
}

/// Serialization failures and deadlocks, as every application has to expect; and what the newest TimescaleDB says to a COPY
/// that has looked at the table before it waited for the swap: it checks that each row fits its chunk.
const CONFLICTS: [&str; 3] = ["40001", "40P01", "23514"];
/// What statements may meet whose chunk is dropped before they can lock it.
const VANISHED: [&str; 3] = ["42P01", "XX000", "42704"];

impl<'a> Writers<'a> {
    /// So many writers, each in a session of its own.
    pub fn start(database: &'a Database, key: Key, count: u64, random: &mut Random) -> Writers<'a> {
        Writers::begin(database, key, count, random, &CONFLICTS)
    }

    /// The same where somebody drops chunks meanwhile.
    pub fn among_drops(database: &'a Database, key: Key, count: u64, random: &mut Random) -> Writers<'a> {
        Writers::begin(database, key, count, random, &[&CONFLICTS[..], &VANISHED].concat())
    }

    fn begin(
        database: &'a Database,
        key: Key,
        count: u64,
        random: &mut Random,
        repeats: &[&'static str],
    ) -> Writers<'a> {
        static GENERATION: AtomicU64 = AtomicU64::new(1);
        let first_id = GENERATION.fetch_add(1, Ordering::Relaxed) << 32;
        let ended = (0..count).map(|_| AtomicU64::new(0)).collect();
        let state = Arc::new(State { ended, repeats: repeats.to_vec(), ..State::default() });
        let tasks = (0..count).map(|number| {
            let (session, state) = (database.session(), Arc::clone(&state));
            let writer = Writer {
                number,
                key,
                random: random.fork(),
                last_id: first_id + number,
                known: Vec::new(),
                merges: false,
            };
            database.spawn(writer.work(database.conninfo.clone(), session, state))
        });
        let tasks = tasks.collect();
        let writers = Writers { database, state, tasks };
        writers.wait_for_each(2);
        writers
    }

    /// Waits until each of them has ended so many more transactions.
    #[track_caller]
    pub fn wait_for_each(&self, more: u64) {
        let now = || self.state.ended.iter().map(|ended| ended.load(Ordering::Relaxed)).collect::<Vec<u64>>();
        let before = now();
        wait_until("each writer to go on", || {
            assert!(!self.tasks.iter().any(JoinHandle::is_finished), "a writer has ended");
            now().iter().zip(&before).all(|(now, before)| *now >= before + more)
        });
    }

    /// Ends them behind their transactions; answers how often they had to repeat one.
    #[track_caller]
    pub fn stop(self) -> u64 {
        self.state.is_over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            self.database.wait(task).expect("a writer does not panic");
        }
        self.state.repeated.load(Ordering::Relaxed)
    }
}

struct Writer {
    number: u64,
    key: Key,
    random: Random,
    /// The last id that this writer has given; no other one gives the same.
    last_id: u64,
    /// Times and ids of some rows that may be there.
    known: Vec<(String, u64)>,
    /// Whether the transaction may merge. TimescaleDB 2.19.3 ends the server (signal 11) where MERGE meets a row of a
    /// hypertable that somebody has updated behind its snapshot, with or without a rechunk.
    merges: bool,
}

impl Writer {
    async fn work(mut self, conninfo: String, mut session: Client, state: Arc<State>) {
        while !state.is_over.load(Ordering::Relaxed) {
            let steps = self.transaction();
            while let Err(error) = run(&session, &steps).await {
                let code = error.code().map_or("no SQLSTATE", |code| code.code());
                assert!(state.repeats.contains(&code), "writer {}: {error:?} in {steps:#?}", self.number);
                // A COPY that was refused in the middle may leave the driver without words.
                if session.batch_execute("rollback").await.is_err() {
                    session = connect(&conninfo).await;
                }
                state.repeated.fetch_add(1, Ordering::Relaxed);
            }
            state.ended[self.number as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn transaction(&mut self) -> Vec<Step> {
        let level = self.random.of(&["read committed", "repeatable read", "serializable"]);
        let mut steps = vec![Step::Plain(format!("begin isolation level {level}"))];
        let reads_first = self.random.below(4) == 0;
        if reads_first {
            steps.push(Step::Plain("select from oracle limit 1".to_string()));
        }
        let device = if self.random.below(4) == 0 { SHARED } else { self.number + 1 };
        self.merges = device != SHARED || !reads_first;
        if device == SHARED {
            steps.push(Step::Plain("lock table turn in exclusive mode".to_string()));
        }
        for _ in 0..=self.random.below(4) {
            match self.random.below(6) {
                0 => self.savepoint(device, &mut steps),
                _ => steps.push(self.step(device)),
            }
        }
        let end = if self.random.below(10) == 0 { "rollback" } else { "commit" };
        steps.push(Step::Plain(end.to_string()));
        steps
    }

    fn savepoint(&mut self, device: u64, steps: &mut Vec<Step>) {
        let end = self.random.of(&["release savepoint here", "rollback to savepoint here"]);
        steps.push(Step::Plain("savepoint here".to_string()));
        steps.push(self.step(device));
        steps.push(Step::Plain(end.to_string()));
    }

    fn step(&mut self, device: u64) -> Step {
        match self.random.below(9) {
            0 | 1 => Step::Both(format!("insert into {{t}} values {}", self.rows(device, 1))),
            2 => Step::Both(format!("insert into {{t}} values {}", self.rows(device, 12))),
            3 => Step::Copy(self.csv(device)),
            4 => Step::Both(format!("update {{t}} set value = value * 3 + 1 where {}", self.some(device))),
            // Rows may not leave their chunk.
            5 => Step::Both(format!(
                "update {{t}} set time = date_trunc('hour', time) + {} * interval '1 microsecond' where {}",
                self.random.below(HOUR),
                self.one(device)
            )),
            6 => Step::Both(format!("delete from {{t}} where {}", self.some(device))),
            7 if self.key == Key::Primary => self.upsert(device),
            8 if self.merges => self.merge(device),
            _ => Step::Both(format!("delete from {{t}} where {}", self.one(device))),
        }
    }

    fn upsert(&mut self, device: u64) -> Step {
        let ((time, id), new) = (self.known(), self.rows(device, 1));
        let action = self.random.of(&["nothing", "update set value = t.value + excluded.value, note = excluded.note"]);
        Step::Both(format!(
            "insert into {{t}} as t values {new}, ('{time}', {device}, {id}, 5, 'again')
             on conflict (time, device, id) do {action}"
        ))
    }

    fn merge(&mut self, device: u64) -> Step {
        let ((time, id), new) = (self.known(), self.rows(device, 2));
        Step::Both(format!(
            "merge into {{t}} t
             using (values {new}, ('{time}', {device}, {id}, 7, 'merged')) s (time, device, id, value, note)
             on t.time = s.time::timestamptz and t.device = s.device and t.id = s.id
             when matched and t.value % 3 = 0 then delete
             when matched then update set value = t.value + s.value
             when not matched then insert values (s.time::timestamptz, s.device, s.id, s.value, s.note)"
        ))
    }

    /// New rows, as a list of values.
    fn rows(&mut self, device: u64, most: u64) -> String {
        let rows: Vec<String> = (0..=self.random.below(most))
            .map(|_| {
                let (time, id) = self.new_key();
                format!("('{time}', {device}, {id}, {}, 'note {id}')", self.random.below(1000))
            })
            .collect();
        rows.join(", ")
    }

    fn csv(&mut self, device: u64) -> String {
        let mut csv = String::new();
        for _ in 0..=self.random.below(30) {
            let (time, id) = self.new_key();
            csv += &format!("{time},{device},{id},{},copied\n", self.random.below(1000));
        }
        csv
    }

    fn new_key(&mut self) -> (String, u64) {
        self.last_id += 100;
        let key = (self.moment(), self.last_id);
        if self.known.len() < 50 {
            self.known.push(key.clone());
        } else {
            let place = self.random.below(50) as usize;
            self.known[place] = key.clone();
        }
        key
    }

    /// A row that may be there.
    fn known(&mut self) -> (String, u64) {
        match self.known.len() as u64 {
            0 => self.new_key(),
            count => self.known[self.random.below(count) as usize].clone(),
        }
    }

    fn one(&mut self, device: u64) -> String {
        let (time, id) = self.known();
        format!("time = '{time}' and device = {device} and id = {id}")
    }

    /// Some rows of some hours.
    fn some(&mut self, device: u64) -> String {
        let (from, hours) = (self.random.below(HOURS), 1 + self.random.below(6));
        format!(
            "time >= '{}' and time < '{}' and device = {device} and id % 5 = {}",
            written(from * HOUR),
            written((from + hours) * HOUR),
            self.random.below(5)
        )
    }

    fn moment(&mut self) -> String {
        let hour = self.random.below(HOURS) * HOUR;
        match self.random.below(10) {
            0 => written(hour),
            1 => written(hour + HOUR - 1),
            2 if self.random.below(4) == 0 => self.random.of(&FAR).to_string(),
            _ => written(hour + self.random.below(HOUR)),
        }
    }
}

/// A time of March 2025, so many microseconds after its begin.
fn written(microseconds: u64) -> String {
    let (seconds, fraction) = (microseconds / 1_000_000, microseconds % 1_000_000);
    let (day, hour, minute, second) = (seconds / 86_400 + 1, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("2025-03-{day:02} {hour:02}:{minute:02}:{second:02}.{fraction:06}+00")
}

async fn run(session: &Client, steps: &[Step]) -> Result<(), tokio_postgres::Error> {
    for step in steps {
        match step {
            Step::Plain(sql) => session.batch_execute(sql).await?,
            Step::Both(sql) => {
                for table in ["metrics", "oracle"] {
                    session.batch_execute(&sql.replace("{t}", table)).await?;
                }
            }
            Step::Copy(csv) => {
                for table in ["metrics", "oracle"] {
                    copy(session, table, csv).await?;
                }
            }
        }
    }
    Ok(())
}

async fn copy(session: &Client, table: &str, csv: &str) -> Result<(), tokio_postgres::Error> {
    let mut sink = pin!(session.copy_in(&format!("copy {table} from stdin (format csv)")).await?);
    sink.send(Bytes::copy_from_slice(csv.as_bytes())).await?;
    sink.finish().await.map(drop)
}

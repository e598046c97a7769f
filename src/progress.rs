//! Counters that the workers add to and whoever watches reads, and the latencies of a worker.
//!
//! **Invariant:** knows no terminal and no JSON; it is the same for a bar, a log line and a report.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Instant;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// What is done so far. Shared by all workers.
#[derive(Debug, Default)]
pub struct Progress {
    rows: AtomicU64,
    bytes: AtomicU64,
    tasks: AtomicU64,
    steps: AtomicU64,
    planned: Mutex<Planned>,
    phase: Mutex<String>,
    notices: Mutex<Vec<String>>,
}

/// What the plan expects; estimates of the source's statistics.
#[derive(Clone, Copy, Debug, Default)]
pub struct Planned {
    /// Rows.
    pub rows: u64,
    /// Tasks.
    pub tasks: u64,
    /// Bytes of files, where those are what is counted; 0 otherwise.
    pub bytes: u64,
}

/// One look at a [`Progress`].
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Rows that left the source.
    pub rows: u64,
    /// Bytes of COPY data that left the source.
    pub bytes: u64,
    /// Tasks that were committed.
    pub tasks: u64,
    /// What the plan expects.
    pub planned: Planned,
    /// What is being done, in words.
    pub phase: String,
}

impl Progress {
    /// Starts the count of a phase with something to count.
    pub fn plan(&self, planned: Planned) {
        *self.planned.lock().expect("no holder of a progress lock panics") = planned;
    }

    /// Says what is being done now.
    pub fn phase(&self, phase: impl Into<String>) {
        *self.phase.lock().expect("no holder of a progress lock panics") = phase.into();
    }

    /// Says something that a person should know now: what is waited for, what is tried again.
    pub fn say(&self, notice: impl Into<String>) {
        self.notices.lock().expect("no holder of a progress lock panics").push(notice.into());
    }

    /// What was said since the last time.
    pub fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.notices.lock().expect("no holder of a progress lock panics"))
    }

    /// Takes rows back that were on their way when a task failed.
    pub fn take_back_rows(&self, rows: u64, bytes: u64) {
        self.rows.fetch_sub(rows, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Says how many bytes of the files were read.
    pub fn set_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Adds rows on their way.
    pub fn add_rows(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds a committed task.
    pub fn add_task(&self) {
        self.tasks.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds a committed statement.
    pub fn add_step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Tasks and statements that were committed: more of them, and something has succeeded.
    pub fn successes(&self) -> u64 {
        self.tasks.load(Ordering::Relaxed) + self.steps.load(Ordering::Relaxed)
    }

    /// Looks at all of it.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            tasks: self.tasks.load(Ordering::Relaxed),
            planned: *self.planned.lock().expect("no holder of a progress lock panics"),
            phase: self.phase.lock().expect("no holder of a progress lock panics").clone(),
        }
    }
}

/// A latency distribution, in microseconds.
#[derive(Clone, Debug)]
pub struct Latency {
    waits: Histogram<u64>,
    pulse: Arc<AtomicU64>,
}

/// Hours; a wait beyond counts as this long.
const LONGEST_US: u64 = 24 * 3_600_000_000;

impl Default for Latency {
    fn default() -> Self {
        let waits = Histogram::new_with_bounds(1, LONGEST_US, 2);
        Latency {
            waits: waits.expect("the bounds and the precision are constants that fit"),
            pulse: Arc::new(AtomicU64::new(0)),
        }
    }
}

impl Latency {
    /// Adds what has passed since `start`.
    pub fn record(&mut self, start: Instant) {
        self.waits.saturating_record((start.elapsed().as_micros() as u64).max(1));
    }

    /// Adds another worker's.
    pub fn merge(&mut self, other: &Latency) {
        self.waits.add(&other.waits).expect("all latencies have the same bounds");
    }

    /// Waits for `future` and records how long that blocked; a future that is ready at once costs no look at the clock.
    pub async fn time<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut blocked_since = None;
        let output = std::future::poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(output),
            Poll::Pending => {
                blocked_since.get_or_insert_with(Instant::now);
                Poll::Pending
            }
        })
        .await;
        if let Some(start) = blocked_since {
            self.record(start);
        }
        self.pulse.fetch_add(1, Ordering::Relaxed);
        output
    }

    /// Does what blocks its thread, and records how long that took.
    pub fn block<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let output = work();
        self.record(start);
        self.pulse.fetch_add(1, Ordering::Relaxed);
        output
    }

    /// The distribution in numbers.
    pub fn summary(&self) -> LatencySummary {
        LatencySummary {
            count: self.waits.len(),
            p50_us: self.waits.value_at_quantile(0.5),
            p99_us: self.waits.value_at_quantile(0.99),
            max_us: self.waits.max(),
            total_us: (self.waits.mean() * self.waits.len() as f64) as u64,
        }
    }
}

/// A latency distribution in numbers; all but `count` are microseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct LatencySummary {
    /// How many were recorded.
    pub count: u64,
    /// The median.
    pub p50_us: u64,
    /// One in a hundred takes longer.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
    /// All together.
    pub total_us: u64,
}

/// Where a worker's time went.
#[derive(Clone, Debug, Default)]
pub struct Meters {
    /// From the claim of a task to its commit.
    pub task: Latency,
    /// Blocked on the source's socket, or reading an archive.
    pub source: Latency,
    /// The reader blocked on a full channel.
    pub channel: Latency,
    /// The writer blocked on the target's socket.
    pub target: Latency,
}

impl Meters {
    /// Meters whose waits on sockets and channels all beat the same pulse, for whoever watches whether anything moves.
    pub fn with_pulse(pulse: &Arc<AtomicU64>) -> Self {
        let latency = || Latency { pulse: Arc::clone(pulse), ..Latency::default() };
        Meters { task: Latency::default(), source: latency(), channel: latency(), target: latency() }
    }

    /// Adds another worker's.
    pub fn merge(&mut self, other: &Meters) {
        self.task.merge(&other.task);
        self.source.merge(&other.source);
        self.channel.merge(&other.channel);
        self.target.merge(&other.target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_blocks_is_recorded() {
        let mut latency = Latency::default();
        latency.time(std::future::ready(())).await;
        assert_eq!(latency.summary().count, 0);
        latency.time(tokio::task::yield_now()).await;
        assert_eq!(latency.summary().count, 1);
    }
}

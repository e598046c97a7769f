//! Progress on stderr: a bar on a terminal, lines elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hypercopy::error::sanitize;
use hypercopy::progress::{Progress, Snapshot};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

use crate::args::{OutputArguments, ProgressArgument};
use crate::output::{bytes, count, duration};

/// Phases in which rows go by.
const COUNTED_PHASES: [&str; 3] = ["copying", "comparing", "importing"];
/// How often a bar is drawn, and how often a line is printed.
const BAR_INTERVAL: Duration = Duration::from_millis(200);
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Shows a [`Progress`] until it is stopped or dropped.
pub struct Watcher {
    bar: Option<ProgressBar>,
    quiet: bool,
    task: Option<JoinHandle<()>>,
}

/// Starts to watch as the options say.
pub fn start(progress: Arc<Progress>, options: &OutputArguments) -> Watcher {
    let is_terminal = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
    let how = match options.progress {
        _ if options.quiet => ProgressArgument::None,
        ProgressArgument::Auto if is_terminal => ProgressArgument::Bar,
        ProgressArgument::Auto => ProgressArgument::Plain,
        chosen => chosen,
    };
    let (bar, task) = match how {
        ProgressArgument::Bar => {
            let bar = new_bar();
            (Some(bar.clone()), Some(tokio::spawn(draw(progress, bar))))
        }
        ProgressArgument::Plain => (None, Some(tokio::spawn(print_lines(progress)))),
        ProgressArgument::Auto | ProgressArgument::None if options.quiet => (None, None),
        ProgressArgument::Auto | ProgressArgument::None => (None, Some(tokio::spawn(print_notices(progress)))),
    };
    Watcher { bar, quiet: options.quiet, task }
}

impl Watcher {
    /// Prints text above the bar.
    pub fn print(&self, text: &str) {
        match &self.bar {
            _ if self.quiet || text.is_empty() => {}
            Some(bar) => bar.suspend(|| print(text)),
            None => print(text),
        }
    }

    /// Takes the bar away.
    pub fn stop(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A stderr that is closed is no reason to stop a copy.
fn print(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", sanitize(text));
}

fn new_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr()).with_style(style)
}

async fn draw(progress: Arc<Progress>, bar: ProgressBar) {
    let start = Instant::now();
    let mut rate = Rate::default();
    loop {
        let now = progress.snapshot();
        progress.take_notices().iter().for_each(|notice| bar.suspend(|| print(notice)));
        let (done, all) = match now.planned.bytes {
            0 => (now.rows, now.planned.rows.max(now.rows)),
            bytes => (now.bytes, bytes),
        };
        bar.set_length(all.max(1));
        bar.set_position(done);
        bar.set_message(sanitize(&line(&now, rate.update(now.rows), start.elapsed())));
        tokio::time::sleep(BAR_INTERVAL).await;
    }
}

async fn print_lines(progress: Arc<Progress>) {
    let start = Instant::now();
    let mut rate = Rate::default();
    let (mut phase, mut printed) = (String::new(), Instant::now());
    loop {
        let now = progress.snapshot();
        progress.take_notices().iter().for_each(|notice| print(notice));
        let rows_per_second = rate.update(now.rows);
        if now.phase != phase {
            print(&format!("{} ({})", now.phase, duration(start.elapsed())));
            (phase, printed) = (now.phase, Instant::now());
        } else if printed.elapsed() >= LINE_INTERVAL {
            print(&line(&now, rows_per_second, start.elapsed()));
            printed = Instant::now();
        }
        tokio::time::sleep(BAR_INTERVAL).await;
    }
}

async fn print_notices(progress: Arc<Progress>) {
    loop {
        progress.take_notices().iter().for_each(|notice| print(notice));
        tokio::time::sleep(BAR_INTERVAL).await;
    }
}

/// Rows per second, over the time since the first row and smoothed so that the estimate does not jump.
#[derive(Default)]
struct Rate {
    last: Option<(Instant, u64)>,
    per_second: f64,
}

impl Rate {
    fn update(&mut self, rows: u64) -> f64 {
        let now = Instant::now();
        if let Some((then, before)) = self.last {
            let seconds = now.duration_since(then).as_secs_f64().max(0.001);
            let current = rows.saturating_sub(before) as f64 / seconds;
            let weight = if self.per_second == 0.0 { 1.0 } else { 0.2 };
            self.per_second += weight * (current - self.per_second);
        }
        if rows > 0 {
            self.last = Some((now, rows));
        }
        self.per_second
    }
}

/// Of files the bytes are known; how many there will be of a stream, nobody knows.
fn importing(now: &Snapshot, rows_per_second: f64, elapsed: Duration) -> String {
    let (read, planned) = (now.bytes, now.planned.bytes);
    let of = match planned {
        0 => String::new(),
        planned => format!(" of {}", bytes(planned)),
    };
    let per_second = read as f64 / elapsed.as_secs_f64().max(0.001);
    let eta = match planned {
        0 => String::new(),
        _ if per_second <= 0.0 => ", ETA ?".to_string(),
        planned => {
            let left = planned.saturating_sub(read) as f64 / per_second;
            format!(", ETA {}", duration(Duration::from_secs_f64(left)))
        }
    };
    format!(
        "{}{of} read, {} rows in, {} rows/s, {} blocks{eta}",
        bytes(read),
        count(now.rows),
        count(rows_per_second as u64),
        now.tasks
    )
}

fn line(now: &Snapshot, rows_per_second: f64, elapsed: Duration) -> String {
    if !COUNTED_PHASES.contains(&now.phase.as_str()) {
        return format!("{} ({})", now.phase, duration(elapsed));
    }
    if now.phase == "importing" {
        return importing(now, rows_per_second, elapsed);
    }
    let planned_rows = now.planned.rows.max(now.rows);
    // How many bytes a row is on its way is known from those that went.
    let planned_bytes = (now.bytes as f64 / now.rows.max(1) as f64 * planned_rows as f64) as u64;
    let eta = match rows_per_second {
        rate if rate > 0.0 => duration(Duration::from_secs_f64((planned_rows - now.rows) as f64 / rate)),
        _ => "?".to_string(),
    };
    let bytes_per_second = rows_per_second * now.bytes as f64 / now.rows.max(1) as f64;
    format!(
        "{} of ~{} rows, {} of ~{}, {} rows/s, {}/s, task {} of {}, ETA {eta}",
        count(now.rows),
        count(planned_rows),
        bytes(now.bytes),
        bytes(planned_bytes),
        count(rows_per_second as u64),
        bytes(bytes_per_second as u64),
        now.tasks,
        now.planned.tasks
    )
}

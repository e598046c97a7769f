//! What the stories of `import` share: a table, a file for it, and what must be true in the end.

use std::ops::Range;
use std::process::{Command, Stdio};

use crate::folders::File;
use crate::harness::{Run, Story};

/// A hypertable with two indexes, and a plain table for what it should hold. Rows of device 7 wait at a gate.
pub const METRICS: &str = "
    create function gate(device int) returns boolean language plpgsql as
    'begin if device = 7 then perform pg_advisory_xact_lock_shared(42); end if; return true; end';
    create table metrics (time timestamptz not null, device int, value double precision, note text,
        constraint gated check (gate(device)));
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
    create index metrics_device_idx on metrics (device, time desc);
    create table expected (like metrics);";

/// Makes the chunks that [`records`] need: blocks wait for each other where they have to make some.
pub const CHUNKS: &str = "
    insert into metrics (time) select '2025-03-01'::timestamptz + n * interval '1 day' from generate_series(0, 8) n;
    delete from metrics;";

/// Eight days of them are more than seven blocks of [`BLOCK`].
pub const RECORDS: u32 = 1152;
/// The block size that makes several blocks of some records, and its bytes.
pub const BLOCK: &str = "5kB";
pub const BLOCK_BYTES: usize = 5_000;
/// The file in blocks, by two workers.
pub const IN_BLOCKS: [&str; 4] = ["--block-size", BLOCK, "-j", "2"];

/// Records, one each ten minutes, with duplicates, nulls, NaN, −0, quotes and line ends.
pub fn records(numbers: Range<u32>) -> String {
    numbers.map(|n| record(n, n % 7)).collect()
}

/// The same, where the first record of each block waits at the gate.
pub fn gated_records(numbers: Range<u32>, blocks: u32) -> String {
    let each = numbers.len() as u32 / blocks;
    numbers.clone().map(|n| record(n, if (n - numbers.start).is_multiple_of(each) { 7 } else { n % 7 })).collect()
}

fn record(n: u32, device: u32) -> String {
    let value = ["1.5", "NaN", "-0", "0", "", "-1e300"][n as usize % 6];
    let note = ["plain", "\"a \"\"quoted\"\", comma\"", "\"two\nlines\"", "\"\"", ""][n as usize % 5];
    let minutes = n * 10;
    let (day, hour, minute) = (minutes / 1440 + 1, minutes / 60 % 24, minutes % 60);
    let line = format!("2025-03-{day:02} {hour:02}:{minute:02}:00+00,{device},{value},{note}\n");
    line.repeat(1 + n as usize % 100 / 99)
}

/// A story whose target has the table and knows what these contents are, in a file of the story's name.
pub fn story(name: &str, contents: &str) -> (Story, File) {
    let story = Story::new(name);
    story.target.run(METRICS);
    expect(&story, contents);
    (story, File::with(&format!("{name}.csv"), contents))
}

/// Adds to what the table should hold, as `\copy` would.
pub fn expect(story: &Story, contents: &str) {
    story.target.copy("copy expected from stdin (format csv)", contents);
}

/// Imports, whatever comes of it.
pub fn import(story: &Story, file: &str, arguments: &[&str]) -> Run {
    story.hypercopy(&[&["import", "metrics", file, "--json"], arguments].concat())
}

/// Imports, which has to succeed, and answers the report.
#[track_caller]
pub fn imported(story: &Story, file: &str, arguments: &[&str]) -> serde_json::Value {
    let run = import(story, file, arguments);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.json()["outcome"], "finished");
    run.json()
}

/// The import of what this file holds through stdin.
pub fn through_stdin(story: &Story, file: &File, arguments: &[&str]) -> Command {
    let mut command = story.command(&[&["import", "metrics", "-", "--json"], arguments].concat());
    command.stdin(std::fs::File::open(file.path()).expect("the file is there"));
    command
}

/// Runs a command to its end.
pub fn run(mut command: Command) -> Run {
    Run::of(command.output().expect("the program starts"))
}

/// Runs a command until a failpoint kills it, which it must.
#[track_caller]
pub fn kill_at(mut command: Command, failpoint: &str) {
    use std::os::unix::process::ExitStatusExt;
    command.env("HYPERCOPY_FAILPOINT", failpoint).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().expect("the program starts");
    assert_eq!(status.signal(), Some(9), "{failpoint} is never reached: {status:?}");
}

/// Kills the import of a file in blocks at a failpoint.
#[track_caller]
pub fn import_until(story: &Story, file: &str, failpoint: &str, arguments: &[&str]) {
    kill_at(story.command(&[&["import", "metrics", file], &IN_BLOCKS[..], arguments].concat()), failpoint);
}

/// How many blocks of the latest job are in.
pub fn done_blocks(story: &Story) -> u64 {
    let sql = "select count(*) from _hypercopy.block where job = (select max(id) from _hypercopy.job)";
    story.target.value(sql).parse().expect("a count is a number")
}

/// The table holds what it should, the ledger says so, it has its indexes, and nothing is left of any run.
#[track_caller]
pub fn assert_complete(story: &Story, what: &str) {
    let target = &story.target;
    assert_eq!(target.multiset("expected"), target.multiset("metrics"), "{what}");
    assert_eq!(target.value("select count(*) from _hypercopy.job where state <> 'finished'"), "0", "{what}");
    assert_eq!(target.value("select count(*) from _hypercopy.backend"), "0", "{what}");
    let indexes = "select string_agg(indexrelid::regclass::text, ' ' order by indexrelid::regclass::text) from pg_index
         where indisvalid and indrelid = 'metrics'::regclass";
    assert_eq!(target.value(indexes), "metrics_device_idx metrics_time_idx", "{what}");
    let without = "select count(*) from show_chunks('metrics') chunk where 2 <> (
         select count(*) from pg_index where indisvalid and indrelid = chunk)";
    assert_eq!(target.value(without), "0", "each chunk has all indexes: {what}");
    target.assert_nothing_left();
}

/// The same, of a table that one job has filled.
#[track_caller]
pub fn assert_complete_by_one_job(story: &Story, what: &str) {
    assert_complete(story, what);
    let ledger = "select sum(rows) || ' ' || count(distinct job) from _hypercopy.block";
    let rows = story.target.value("select count(*) from metrics");
    assert_eq!(story.target.value(ledger), format!("{rows} 1"), "{what}");
}

/// Forgets all rows and all jobs.
pub fn begin_anew(story: &Story) {
    story.target.run("truncate metrics; truncate _hypercopy.job cascade");
}

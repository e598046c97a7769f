//! The command line as close to its flags as can be; `request` makes the engine's terms of it.

mod copy;
mod dump;
mod import;
mod patience;
mod rechunk;
mod restore;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hypercopy::connect::Conninfo;
use hypercopy::error::{Error, Kind, Result};
use hypercopy::ident::{MAX_IDENT_BYTES, QualifiedName};
use hypercopy::migrate::{self, IfExists, Origin, Parts, Repair, Resume};
use hypercopy::plan::{HashRequest, Range};
use hypercopy::throttle::Rate;
use hypercopy::verify::{self, Mode};

use self::copy::{DefinitionArguments, JobArguments, LayoutArguments, RangeArguments};
pub use self::dump::{ArchiveArguments, ArchiveCommand, CheckArguments, DumpArguments};
pub use self::import::ImportArguments;
use self::patience::PatienceArguments;
pub use self::rechunk::RechunkArguments;
pub use self::restore::RestoreArguments;

/// Moves TimescaleDB hypertables: between clusters, into new chunk layouts, in parallel and verified.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done · 1 internal · 2 wrong command line · 3 refused, nothing was written · 4 the source failed · \
5 the target failed · 6 the input is bad · 7 source and target differ · 8 given up · 9 another run is at it · 130/143 interrupted";

const CONNINFO: &str = "\
A conninfo is what psql takes: a URI (postgresql://user@host:5432/database), keywords ('host=… port=… dbname=… user=…') or \
service=NAME. What it leaves out comes from its service, from the PG* environment and then from libpq's defaults, a password \
from the file PGPASSFILE or ~/.pgpass as well. \
TLS is what sslmode says: without verify-full, or a root certificate that is there, nobody knows who answers.";

const IMPORT: &str = "\
Loads CSV files into a hypertable, as \"\\copy TABLE from FILE csv\" would, with several sessions at once.

Files are cut into blocks of whole records; each block is one transaction, with a row in the ledger, schema _hypercopy of \
the target. The same command again goes on where a run has ended, whatever ended it, and does nothing once all is in. \
Values in common forms are sent as binary rows, everything else as text, so that the server's own parser judges. Records \
that it refuses are found one by one, and may be left out within a budget.

Several files are one import, in the order given. gzip, zstd and lz4 are told by the contents. TimeZone, DateStyle and \
IntervalStyle are those of the role, the database and PG*, as with psql.";

const RECHUNK: &str = "\
Gives a hypertable another chunk layout in its place, while it is read and written.

A new table is made beside the old one and filled inside the server by several sessions. Triggers note meanwhile which \
ranges have changed; those are copied again, until little is left. Then the two change places under a lock that is asked \
for a short time only, again and again. The old table is kept as TABLE_old_JOB until --drop-old, and comes back with --undo.

What is done stands in a ledger, schema _hypercopy of the database. The same command again goes on where a run has ended, \
whatever ended it; --abort gives an unfinished rechunk up and leaves nothing behind.

Rows that are written straight into a chunk, or under session_replication_role = replica, leave no trace for triggers: \
--verify checksum finds them before the swap.";

const DUMP: &str = "\
Writes a hypertable, definition and rows, into a directory: an archive, which \"hypercopy restore\" brings into any version \
and edition of TimescaleDB, and which can be read without hypercopy (ARCHIVE.md says how).

All rows are read under one snapshot; the source is only read and holds ACCESS SHARE locks, as with pg_dump. Ranges of the \
time dimension become segments, each a file with checksums in the manifest.

The same command again goes on where a run has ended, whatever ended it: segments whose range still holds the same rows are \
kept. With --base only what has changed since an older archive is written.";

const RESTORE: &str = "\
Makes a hypertable of an archive that \"hypercopy dump\" has made: definition and rows, in any version and edition of \
TimescaleDB, with the same or another chunk layout.

The manifest is checked, and every segment looked for, before anything is written. Segments are read by several workers; \
each task is one transaction with its row in the ledger, schema _hypercopy of the target, and is rolled back where a \
segment is not what the manifest says. The same command again goes on where a run has ended, whatever ended it, and \
changes nothing once the job is finished.

Defaults, checks and index expressions of the definition are run with your rights, as with pg_restore, and so is all that \
--with-dependencies makes: --dry-run prints them, and --data-only runs none.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List, show and check archives of "hypercopy dump"; no server is needed
    Archive(ArchiveArguments),
    /// Print what completes hypercopy's commands and options in a shell
    Completions(CompletionsArguments),
    /// See it work: two throwaway TimescaleDB clusters, a sample hypertable, one verified migration
    #[command(long_about = "\
See it work: starts two throwaway TimescaleDB clusters on this machine, fills a sample hypertable, migrates it into \
another chunk layout and verifies every row.

The server is the newest installed PostgreSQL that has TimescaleDB, else Debian's packages, which are unpacked into \
the user's cache directory (about 45 MB; nothing is installed). HYPERCOPY_CLUSTER=CONNINFO uses a server of yours \
instead: two databases are created in it, and dropped at the end.")]
    Demo(DemoArguments),
    /// Write a hypertable, definition and rows, into a directory
    #[command(after_long_help = CONNINFO, long_about = DUMP)]
    Dump(Box<DumpArguments>),
    /// List the hypertables of a database, or show one of them
    #[command(after_long_help = CONNINFO)]
    Inspect(InspectArguments),
    /// Load CSV files into a hypertable, in parallel
    #[command(after_long_help = CONNINFO, long_about = IMPORT)]
    Import(Box<ImportArguments>),
    /// Write the man pages, one for each command, into a directory
    Man(ManArguments),
    /// Copy a hypertable, definition and rows, to another cluster, database or name
    #[command(after_long_help = CONNINFO, long_about = "\
Copies a hypertable, definition and rows, to another cluster, database or name, with the same or another chunk layout.

All rows are read under one snapshot; the source is only read and holds ACCESS SHARE locks, as with pg_dump. On the \
target the table, its chunks, constraints and indexes are created. What is not carried is listed before the copy begins, \
and again at its end.

What is done stands in a ledger, schema _hypercopy of the target. The same command again goes on where a run has ended, \
whatever ended it, and changes nothing once the job is finished.")]
    Migrate(Box<MigrateArguments>),
    /// Give a hypertable another chunk layout in its place, while it is read and written
    #[command(after_long_help = CONNINFO, long_about = RECHUNK)]
    Rechunk(Box<RechunkArguments>),
    /// Make a hypertable of an archive, definition and rows
    #[command(after_long_help = CONNINFO, long_about = RESTORE)]
    Restore(Box<RestoreArguments>),
    /// Compare a hypertable with another one, row by row, as both are now
    #[command(after_long_help = CONNINFO, long_about = "\
Compares a hypertable with another one, as both are now: two clusters, or two tables of one database. The layouts may \
differ, and so may the order of columns, TimescaleDB's and PostgreSQL's versions.

Each side is only read, under a snapshot of its own and ACCESS SHARE locks, in ranges that cover the whole axis. Rows \
are compared as a multiset, by their number and a 128-bit checksum over every bit of them. Where the sides differ the \
ranges are narrowed down to the keys of single rows, and the exit code is 7. Keys are shown in the output: they are \
values of your rows.")]
    Verify(Box<VerifyArguments>),
    /// List the jobs in a target's ledger, show one, or forget one
    #[command(after_long_help = CONNINFO, long_about = "\
Lists the jobs in a target's ledger, schema _hypercopy, shows how far one is, or forgets one that is finished or whose \
table was dropped. Tables of users are never touched.")]
    Jobs(JobsArguments),
}

impl Command {
    /// How many workers the command will have.
    pub fn jobs(&self) -> usize {
        match self {
            Command::Demo(_) => default_jobs(),
            Command::Archive(ArchiveArguments { command: ArchiveCommand::Check(check) }) => check.jobs(),
            Command::Archive(_)
            | Command::Completions(_)
            | Command::Inspect(_)
            | Command::Jobs(_)
            | Command::Man(_) => 1,
            Command::Dump(dump) => dump.jobs(),
            Command::Import(import) => import.jobs(),
            Command::Migrate(migrate) => migrate.table.jobs(),
            Command::Rechunk(rechunk) => rechunk.jobs(),
            Command::Restore(restore) => restore.jobs(),
            Command::Verify(verify) => verify.table.jobs(),
        }
    }
}

#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Rows of the sample hypertable
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub rows: u64,
    /// Leave both clusters running and say how to reach and stop them
    #[arg(long)]
    pub keep: bool,
}

#[derive(Debug, Args)]
pub struct InspectArguments {
    /// The database to look at
    #[arg(long, value_name = "CONNINFO", env = "HYPERCOPY_SOURCE", hide_env_values = true, default_value = "")]
    pub source: String,
    /// A hypertable, by SQL's quoting rules: metrics, app.metrics, '"Odd Name"' [default: list all]
    pub table: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct JobsArguments {
    /// Whose ledger
    #[arg(
        long,
        value_name = "CONNINFO",
        env = "HYPERCOPY_TARGET",
        hide_env_values = true,
        default_value = "",
        global = true
    )]
    pub target: String,
    /// Print one JSON document
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Option<JobsCommand>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub enum JobsCommand {
    /// All jobs (what is done without a command)
    List,
    /// One job, with its tasks
    Show {
        /// Its number
        id: i64,
    },
    /// Forget a job that is finished, or whose table was dropped
    Clean {
        /// Its number
        id: i64,
    },
}

#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// Whose: source what is printed, or put it where the shell looks for completions
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub struct ManArguments {
    /// A directory that is there, such as /usr/local/share/man/man1
    pub directory: PathBuf,
}

/// A table of two ends, and who is at work on it.
#[derive(Debug, Args)]
pub struct TableArguments {
    /// Where the hypertable is
    #[arg(long, value_name = "CONNINFO", env = "HYPERCOPY_SOURCE", hide_env_values = true)]
    pub source: String,
    /// Where it goes, or has gone
    #[arg(long, value_name = "CONNINFO", env = "HYPERCOPY_TARGET", hide_env_values = true)]
    pub target: String,
    /// The hypertable, by SQL's quoting rules, looked up in the role's search_path on the source
    pub table: String,
    #[command(flatten)]
    pub range: RangeArguments,
    /// Workers; each holds one session on the source and one on the target [default: the machine's cores, at most 8]
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
}

impl TableArguments {
    fn jobs(&self) -> usize {
        self.jobs.map_or_else(default_jobs, NonZeroUsize::get)
    }

    fn source(&self) -> Result<Conninfo> {
        conninfo("--source", &self.source)
    }

    fn origin(&self) -> Result<Origin> {
        Ok(Origin::Table { conninfo: Box::new(self.source()?), name: self.table.clone() })
    }

    pub fn target(&self) -> Result<Conninfo> {
        conninfo("--target", &self.target)
    }
}

#[derive(Debug, Args)]
pub struct VerifyArguments {
    #[command(flatten)]
    pub table: TableArguments,
    /// Its name on the target [default: the same schema and name]
    #[arg(long = "as", value_name = "SCHEMA.TABLE")]
    pub target_table: Option<String>,
    /// Compare the numbers of rows only; no rows are read from the servers
    #[arg(long)]
    pub counts_only: bool,
    /// Copy the ranges that differ again, each in one transaction that deletes what the target has there; asks first where no
    /// job of hypercopy has made the target's table
    #[arg(long)]
    pub repair: bool,
    /// Repair also a table that no job of hypercopy has made, without asking
    #[arg(long, requires = "repair")]
    pub yes: bool,
    #[command(flatten)]
    pub output: OutputArguments,
}

impl VerifyArguments {
    /// The engine's terms for copying these ranges anew.
    pub fn repair(&self, ranges: Vec<(Range, u64)>, any_table: bool) -> Result<migrate::Request> {
        Ok(migrate::Request {
            origin: self.table.origin()?,
            target: self.table.target()?,
            target_table: self.target_table.clone(),
            parts: Parts::All,
            chunk_interval: None,
            hash_partitions: None,
            preserve_chunks: false,
            compress: None,
            from: self.table.range.from.clone(),
            until: self.table.range.until.clone(),
            max_new_chunks: MAX_NEW_CHUNKS,
            jobs: self.table.jobs(),
            verify: Mode::Checksum,
            with_dependencies: false,
            strict: false,
            resume: Resume::default(),
            restart: false,
            if_exists: IfExists::default(),
            retry_for: REPAIR_PATIENCE,
            yield_after: None,
            dry_run: false,
            repair: Some(Repair { ranges, any_table }),
        })
    }

    /// The engine's terms.
    pub fn request(&self) -> Result<verify::Request> {
        let table = &self.table;
        QualifiedName::parse(&table.table, "")?;
        self.target_table.as_deref().map(|name| QualifiedName::parse(name, "")).transpose()?;
        Ok(verify::Request {
            source: table.source()?,
            target: table.target()?,
            table: table.table.clone(),
            target_table: self.target_table.clone(),
            from: table.range.from.clone(),
            until: table.range.until.clone(),
            jobs: table.jobs(),
            counts_only: self.counts_only,
        })
    }
}

/// A number of bytes, with a unit or without.
fn bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 9] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("B", 1),
    ];
    let text = text.trim();
    let (number, unit) =
        UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).unwrap_or((text, 1));
    number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(unit))
}

/// The size of a chunk.
fn chunk_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("\"{text}\" is no number of bytes: write 500MB or 1GB");
    bytes(text).filter(|bytes| *bytes > 0).ok_or_else(wrong)
}

/// Bytes or rows in a second.
fn rate(text: &str) -> Result<Rate, String> {
    let wrong = || format!("\"{text}\" is no rate: write 50MB/s or 100000rows/s");
    let amount = text.trim().strip_suffix("/s").ok_or_else(wrong)?.trim();
    match amount.strip_suffix("rows") {
        Some(rows) => {
            let rows: f64 = rows.trim().parse().map_err(|_| wrong())?;
            Some(rows).filter(|rows| rows.is_finite() && *rows > 0.0).map(Rate::Rows).ok_or_else(wrong)
        }
        None => bytes(amount).filter(|bytes| *bytes > 0).map(|bytes| Rate::Bytes(bytes as f64)).ok_or_else(wrong),
    }
}

#[derive(Debug, Args)]
pub struct MigrateArguments {
    #[command(flatten)]
    pub table: TableArguments,
    #[command(flatten)]
    pub layout: LayoutArguments,
    #[command(flatten)]
    pub definition: DefinitionArguments,
    /// Compare the target with what was read: its rows per range, or a checksum over every bit of them
    #[arg(long, value_enum, value_name = "HOW", default_value_t = VerifyArgument::Counts)]
    pub verify: VerifyArgument,
    /// Go on with an unfinished job. What earlier runs copied is compared with the source, and copied again where that has
    /// changed; 'trust' compares nothing (the source is quiet), 'trust-before VALUE' nothing before that value of the time
    /// dimension, 'follow-deletes' lets ranges become empty as well
    #[arg(long, value_name = "HOW", help_heading = "Job", num_args = 0..=1, require_equals = true,
        default_value = "", default_missing_value = "", hide_default_value = true, value_parser = resume)]
    pub resume: Resume,
    #[command(flatten)]
    pub job: JobArguments,
    /// Give way when somebody has waited this long behind our locks on the source: release them, wait, and resume
    /// [default: say who waits, and go on]
    #[arg(long = "yield", value_name = "SECONDS", help_heading = "Job", value_parser = seconds)]
    pub yield_after: Option<Duration>,
    /// Print what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Refuse where something of the source would not be carried, instead of listing it
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArguments {
    /// Print the report as one JSON document on stdout; everything else goes to stderr
    #[arg(long)]
    pub json: bool,
    /// Write the JSON report to a file, also when the command fails
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Progress on stderr: a bar on a terminal and lines elsewhere (auto), or one of them, or none
    #[arg(long, value_enum, value_name = "HOW", default_value_t = ProgressArgument::Auto)]
    pub progress: ProgressArgument,
    /// Print errors only
    #[arg(short, long)]
    pub quiet: bool,
    /// Print more: the DDL of a plan, every range that differs
    #[arg(short, long, conflicts_with = "quiet")]
    pub verbose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum VerifyArgument {
    None,
    Counts,
    Checksum,
}

impl VerifyArgument {
    fn mode(self) -> Mode {
        match self {
            VerifyArgument::None => Mode::None,
            VerifyArgument::Counts => Mode::Counts,
            VerifyArgument::Checksum => Mode::Checksum,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IfExistsArgument {
    Error,
    Append,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ChunkLayoutArgument {
    Preserve,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProgressArgument {
    Auto,
    Bar,
    Plain,
    None,
}

const MAX_NEW_CHUNKS: u64 = 10_000;
/// As long as a migration tries again by itself.
const REPAIR_PATIENCE: Duration = Duration::from_secs(300);

/// More workers than this saturate most servers; ask for them by name.
const DEFAULT_JOBS_LIMIT: usize = 8;

impl MigrateArguments {
    /// The engine's terms.
    pub fn request(&self) -> Result<migrate::Request> {
        let table = &self.table;
        QualifiedName::parse(&table.table, "")?;
        let (layout, job) = (&self.layout, &self.job);
        let hash_partitions = layout.check()?;
        let if_exists = job.if_exists();
        if if_exists == IfExists::Append {
            layout.refuse_beside("--if-exists append")?;
        }
        if job.restart && self.resume != Resume::Compare {
            return Err(
                Error::new(Kind::Usage, "--restart forgets what --resume would go on with").hint("Choose one of them.")
            );
        }
        Ok(migrate::Request {
            origin: table.origin()?,
            target: table.target()?,
            target_table: layout.target_table.clone(),
            parts: Parts::All,
            chunk_interval: layout.chunk_interval.clone(),
            hash_partitions,
            preserve_chunks: layout.chunk_layout.is_some(),
            compress: layout.compress.clone(),
            from: table.range.from.clone(),
            until: table.range.until.clone(),
            max_new_chunks: layout.max_new_chunks,
            jobs: table.jobs(),
            verify: self.verify.mode(),
            with_dependencies: self.definition.with_dependencies,
            strict: self.strict,
            resume: self.resume.clone(),
            restart: job.restart,
            if_exists,
            retry_for: job.patience.retry_for,
            yield_after: self.yield_after,
            dry_run: self.dry_run,
            repair: None,
        })
    }
}

pub fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(DEFAULT_JOBS_LIMIT)
}

pub fn conninfo(option: &str, text: &str) -> Result<Conninfo> {
    let conninfo = Conninfo::parse(text, variable);
    let conninfo = conninfo.map_err(|error| {
        let message = format!("{option} is no conninfo: {}", error.message());
        error.renamed(message)
    })?;
    Ok(conninfo.telling(|warning| eprintln!("warning: {warning}")))
}

/// The environment; a process without `HOME` still has one.
fn variable(name: &str) -> Option<String> {
    let home = || std::env::home_dir().filter(|_| name == "HOME")?.into_os_string().into_string().ok();
    std::env::var(name).ok().or_else(home)
}

/// How [`Arguments`] are read: `--resume=trust-before VALUE` and `--compress older-than INTERVAL` are one option each, with
/// the value behind a space.
pub fn join_values(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    for argument in arguments {
        let is_open = wants_more(&joined);
        match joined.last_mut().filter(|_| is_open) {
            Some(last) => {
                last.push(" ");
                last.push(argument);
            }
            None => joined.push(argument),
        }
    }
    joined
}

fn wants_more(arguments: &[OsString]) -> bool {
    let [.., before, last] = arguments else { return false };
    last == "--resume=trust-before"
        || last == "--compress=older-than"
        || (before == "--compress" && last == "older-than")
}

fn resume(text: &str) -> Result<Resume, String> {
    let before = text.strip_prefix("trust-before").and_then(|rest| rest.strip_prefix([' ', '=']));
    match (text, before.map(str::trim)) {
        ("", _) => Ok(Resume::Compare),
        ("trust", _) => Ok(Resume::Trust),
        ("follow-deletes", _) => Ok(Resume::FollowDeletes),
        (_, Some(value)) if !value.is_empty() => Ok(Resume::TrustBefore(value.to_string())),
        _ => Err("it takes nothing, trust, trust-before VALUE or follow-deletes".to_string()),
    }
}

/// A number and a unit, as PostgreSQL's settings take them.
fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 5] = [("ms", 0.001), ("min", 60.0), ("s", 1.0), ("h", 3600.0), ("d", 86_400.0)];
    let unit = UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?.trim(), seconds)));
    let (number, seconds) = unit.ok_or("it takes a number and a unit: ms, s, min, h or d")?;
    let number: f64 = number.parse().map_err(|_| "the number before the unit is none")?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| "it is out of range".to_string())
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| "it is out of range".to_string()),
        Err(_) => duration(text),
    }
}

/// An interval is read by the server; what no server would take is wrong already here.
fn interval(text: &str) -> Result<()> {
    let is_wrong = text.trim().is_empty() || text.trim().parse::<i64>().is_ok_and(|integer| integer <= 0);
    match is_wrong {
        false => Ok(()),
        true => Err(Error::new(Kind::Usage, format!("--chunk-interval \"{text}\" is no interval"))
            .hint("Write an interval such as '1 day', or a positive integer for an integer dimension.")),
    }
}

fn hash_partitions(text: &str) -> Result<HashRequest> {
    if text == "none" {
        return Ok(HashRequest::None);
    }
    let wrong = || {
        Error::new(Kind::Usage, format!("--hash-partitions \"{text}\" is not COLUMN:N"))
            .hint("Write the column's name, a colon and a number, such as device_id:4; or none.")
    };
    let (column, partitions) = text.rsplit_once(':').ok_or_else(wrong)?;
    // A column is named as a table would be: folded to lower case unless it is quoted.
    let column = QualifiedName::parse(column, "")?;
    if !column.schema.is_empty() {
        return Err(wrong());
    }
    let partitions = partitions.trim().parse().map_err(|_| wrong())?;
    if !(1..=MAX_PARTITIONS).contains(&partitions) {
        return Err(Error::new(Kind::Usage, format!("--hash-partitions \"{text}\" is no number of partitions"))
            .hint(format!("It goes from 1 to {MAX_PARTITIONS}.")));
    }
    Ok(HashRequest::Column { column: column.name, partitions })
}

/// TimescaleDB numbers the partitions of a dimension by a smallint.
const MAX_PARTITIONS: i32 = i16::MAX as i32;

/// The name of a table to be made: a longer one than PostgreSQL keeps would be cut, and then be another one.
fn new_name(text: &str) -> Result<()> {
    let name = QualifiedName::parse(text, "")?;
    match [name.schema, name.name].into_iter().find(|part| part.len() > MAX_IDENT_BYTES) {
        None => Ok(()),
        Some(long) => Err(Error::new(Kind::Usage, format!("--as names \"{long}\", which has {} bytes", long.len()))
            .hint(format!("PostgreSQL keeps {MAX_IDENT_BYTES} bytes of a name."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn times_take_a_unit() {
        assert_eq!(duration("5min"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("500 ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(seconds("30"), Ok(Duration::from_secs(30)));
        for wrong in ["", "5", "-1s", "min", "1 week", "NaNs", "infs"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn trust_before_takes_its_value_behind_a_space() {
        let resume = |arguments: &[&str]| {
            let command = ["hypercopy", "migrate", "--source", "", "--target", "", "metrics"];
            let arguments = command.iter().chain(arguments).map(OsString::from);
            match Arguments::try_parse_from(join_values(arguments)).map(|arguments| arguments.command) {
                Ok(Command::Migrate(migrate)) => Some(migrate.resume),
                _ => None,
            }
        };
        assert_eq!(resume(&[]), Some(Resume::Compare));
        assert_eq!(resume(&["--resume"]), Some(Resume::Compare));
        assert_eq!(resume(&["--resume=trust"]), Some(Resume::Trust));
        assert_eq!(resume(&["--resume=follow-deletes"]), Some(Resume::FollowDeletes));
        let before = Some(Resume::TrustBefore("2025-01-01 12:00".into()));
        assert_eq!(resume(&["--resume=trust-before", "2025-01-01 12:00"]), before);
        assert_eq!(resume(&["--resume=trust-before=2025-01-01 12:00"]), before);
        for wrong in ["--resume=perhaps", "--resume=trust-before", "--resume=trust-before="] {
            assert_eq!(resume(&[wrong]), None, "{wrong}");
        }
    }

    #[test]
    fn an_interval_is_positive() {
        assert!(interval("1 day").is_ok() && interval("86400").is_ok());
        for wrong in ["", " ", "0", "-5"] {
            assert_eq!(interval(wrong).unwrap_err().kind(), Kind::Usage, "{wrong}");
        }
    }

    #[test]
    fn hash_partitions_take_a_column_and_a_number() {
        let column = |name: &str, partitions| HashRequest::Column { column: name.into(), partitions };
        assert_eq!(hash_partitions("Device:4").unwrap(), column("device", 4));
        assert_eq!(hash_partitions("\"a:b\":2").unwrap(), column("a:b", 2));
        assert_eq!(hash_partitions("none").unwrap(), HashRequest::None);
        for wrong in ["device", "device:", "device:x", ":4", "a.b:2", "device:0", "device:-1", "device:32768"] {
            assert_eq!(hash_partitions(wrong).unwrap_err().kind(), Kind::Usage, "{wrong}");
        }
    }
}

//! The command line as close to its flags as can be; `request` makes the engine's terms of it.

mod copy;
mod dump;
mod import;
mod jobs;
mod manual;
mod migrate;
mod patience;
mod rechunk;
mod restore;
mod values;
mod verify;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hypercopy::connect::Conninfo;
use hypercopy::error::Result;
use hypercopy::migrate::Origin;
use hypercopy::verify::Mode;

use self::copy::{DefinitionArguments, JobArguments, LayoutArguments, RangeArguments};
pub use self::dump::{ArchiveArguments, ArchiveCommand, CheckArguments, DumpArguments};
pub use self::import::ImportArguments;
pub use self::jobs::{JobsArguments, JobsCommand};
pub use self::manual::{CompletionsArguments, ManArguments};
pub use self::migrate::MigrateArguments;
use self::patience::PatienceArguments;
pub use self::rechunk::RechunkArguments;
pub use self::restore::RestoreArguments;
use self::values::{bytes, chunk_size, duration, hash_partitions, interval, new_name, rate, resume, seconds};
pub use self::verify::VerifyArguments;

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
/// More workers than this saturate most servers; ask for them by name.
const DEFAULT_JOBS_LIMIT: usize = 8;

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

#[cfg(test)]
mod tests {
    use hypercopy::migrate::Resume;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
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
}

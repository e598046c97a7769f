//! The flags of `dump` and `archive`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use hypercopy::archive::Compression;
use hypercopy::dump::{Request, RowFormat};
use hypercopy::error::Result;
use hypercopy::ident::QualifiedName;

use super::{OutputArguments, PatienceArguments, RangeArguments, VerifyArgument, conninfo, default_jobs, seconds};

#[derive(Debug, Args)]
pub struct DumpArguments {
    /// Where the hypertable is
    #[arg(long, value_name = "CONNINFO", env = "HYPERCOPY_SOURCE", hide_env_values = true)]
    source: String,
    /// The hypertable, by SQL's quoting rules, looked up in the role's search_path
    table: String,
    /// The archive: a directory that is empty or not there yet, or that of the dump that goes on
    #[arg(short, long, value_name = "DIR", help_heading = "Archive")]
    output: PathBuf,
    #[command(flatten)]
    range: RangeArguments,
    /// What segments hold: binary rows (text, where a type is not safe in them), or CSV with a header
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Archive", default_value_t = FormatArgument::Binary)]
    format: FormatArgument,
    /// How segments are compressed; zstd's levels go from 1, fast, to 22, small
    #[arg(long, value_name = "zstd[:LEVEL] | none", help_heading = "Archive", default_value_t = Compression::DEFAULT)]
    compression: Compression,
    /// An older archive of the table: its segments are linked, or copied to another file system, where the rows are the same
    #[arg(long, value_name = "DIR", help_heading = "Archive")]
    base: Option<PathBuf>,
    /// Workers; each holds one session on the source [default: the machine's cores, at most 8]
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Look again at what was written: whether it is there, or at every byte of it
    #[arg(long, value_enum, value_name = "HOW", default_value_t = VerifyArgument::Counts)]
    verify: VerifyArgument,
    /// Forget an earlier dump of the table in the directory, with all it has written, and begin anew
    #[arg(long, help_heading = "Job")]
    restart: bool,
    #[command(flatten)]
    pub patience: PatienceArguments,
    /// Give way when somebody has waited this long behind our locks on the source: release them, wait, and resume
    /// [default: say who waits, and go on]
    #[arg(long = "yield", value_name = "SECONDS", help_heading = "Job", value_parser = seconds)]
    yield_after: Option<Duration>,
    /// Print what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Refuse where something of the table would not be in the archive, instead of listing it
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    pub output_options: OutputArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormatArgument {
    Binary,
    Csv,
}

impl DumpArguments {
    /// How many workers it will have.
    pub fn jobs(&self) -> usize {
        self.jobs.map_or_else(default_jobs, NonZeroUsize::get)
    }

    /// The engine's terms.
    pub fn request(&self) -> Result<Request> {
        QualifiedName::parse(&self.table, "")?;
        Ok(Request {
            source: conninfo("--source", &self.source)?,
            table: self.table.clone(),
            output: self.output.clone(),
            base: self.base.clone(),
            from: self.range.from.clone(),
            until: self.range.until.clone(),
            format: match self.format {
                FormatArgument::Binary => RowFormat::Binary,
                FormatArgument::Csv => RowFormat::Csv,
            },
            compression: self.compression,
            jobs: self.jobs(),
            verify: self.verify.mode(),
            strict: self.strict,
            restart: self.restart,
            retry_for: self.patience.retry_for,
            yield_after: self.yield_after,
            dry_run: self.dry_run,
        })
    }
}

#[derive(Debug, Args)]
pub struct ArchiveArguments {
    #[command(subcommand)]
    pub command: ArchiveCommand,
}

#[derive(Debug, Subcommand)]
pub enum ArchiveCommand {
    /// List the archives in a directory, complete or not
    List {
        /// The directory above them
        directory: PathBuf,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Show one archive: its table, where it is from, its segments, and which of them are its base's
    Show {
        /// The archive
        directory: PathBuf,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Read every byte of an archive and compare it with the manifest; no server is needed
    Check(Box<CheckArguments>),
}

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The archive
    pub directory: PathBuf,
    /// Threads that read [default: the machine's cores, at most 8]
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    pub output: OutputArguments,
}

impl CheckArguments {
    /// How many threads will read.
    pub fn jobs(&self) -> usize {
        self.jobs.map_or_else(default_jobs, NonZeroUsize::get)
    }
}

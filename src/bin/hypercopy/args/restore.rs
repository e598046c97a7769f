//! The flags of `restore`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use hypercopy::error::{Error, Kind, Result};
use hypercopy::migrate::{IfExists, Origin, Parts, Request, Resume};

use super::copy::{DefinitionArguments, JobArguments, LayoutArguments, RangeArguments};
use super::{OutputArguments, VerifyArgument, conninfo, default_jobs};

#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// Where the hypertable goes
    #[arg(long, value_name = "CONNINFO", env = "HYPERCOPY_TARGET", hide_env_values = true)]
    pub target: String,
    /// The archive, a directory that "hypercopy dump" has made
    #[arg(long, value_name = "DIR")]
    pub input: PathBuf,
    #[command(flatten)]
    pub range: RangeArguments,
    #[command(flatten)]
    pub layout: LayoutArguments,
    /// Only the rows, into a table that is there; nothing that the archive has as SQL is run
    #[arg(long, conflicts_with_all = ["schema_only", "with_dependencies"])]
    pub data_only: bool,
    /// Only the definition: the table and what belongs to it
    #[arg(long, conflicts_with_all = ["from", "until"])]
    pub schema_only: bool,
    #[command(flatten)]
    pub definition: DefinitionArguments,
    /// Workers; each holds one session [default: the machine's cores, at most 8]
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Compare the target with what was read: its rows per range, or a checksum over every bit of them
    #[arg(long, value_enum, value_name = "HOW", default_value_t = VerifyArgument::Counts)]
    pub verify: VerifyArgument,
    /// Go on with an unfinished job, as it happens without the flag, too
    #[arg(long, help_heading = "Job", conflicts_with = "restart")]
    pub resume: bool,
    #[command(flatten)]
    pub job: JobArguments,
    /// Print what would be done, with every statement, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Refuse where something of the table would not be restored, instead of listing it
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub output: OutputArguments,
}

impl RestoreArguments {
    pub fn jobs(&self) -> usize {
        self.jobs.map_or_else(default_jobs, NonZeroUsize::get)
    }

    /// The engine's terms.
    pub fn request(&self) -> Result<Request> {
        let RestoreArguments { layout, job, range, .. } = self;
        let hash_partitions = layout.check()?;
        let if_exists = self.if_exists()?;
        Ok(Request {
            origin: Origin::Archive(self.input.clone()),
            target: conninfo("--target", &self.target)?,
            target_table: layout.target_table.clone(),
            parts: self.parts(),
            chunk_interval: layout.chunk_interval.clone(),
            hash_partitions,
            preserve_chunks: layout.chunk_layout.is_some(),
            compress: layout.compress.clone(),
            from: range.from.clone(),
            until: range.until.clone(),
            max_new_chunks: layout.max_new_chunks,
            jobs: self.jobs(),
            verify: self.verify.mode(),
            with_dependencies: self.definition.with_dependencies,
            strict: self.strict,
            // An archive does not change.
            resume: Resume::Trust,
            restart: job.restart,
            if_exists,
            retry_for: job.patience.retry_for,
            yield_after: None,
            dry_run: self.dry_run,
            repair: None,
        })
    }

    fn parts(&self) -> Parts {
        match (self.data_only, self.schema_only) {
            (true, _) => Parts::Data,
            (_, true) => Parts::Schema,
            _ => Parts::All,
        }
    }

    fn if_exists(&self) -> Result<IfExists> {
        match (self.parts(), self.job.if_exists()) {
            (Parts::Data, _) => self.layout.refuse_beside("--data-only").map(|()| IfExists::Append),
            (Parts::Schema, IfExists::Append) => {
                Err(Error::new(Kind::Usage, "--schema-only makes a table, and --if-exists append adds to one")
                    .hint("Choose one of them."))
            }
            (_, IfExists::Append) => self.layout.refuse_beside("--if-exists append").map(|()| IfExists::Append),
            (_, IfExists::Error) => Ok(IfExists::Error),
        }
    }
}

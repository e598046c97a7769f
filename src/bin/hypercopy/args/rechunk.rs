//! The flags of `rechunk`.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::{ArgGroup, Args};
use hypercopy::error::{Error, Kind, Result};
use hypercopy::ident::QualifiedName;
use hypercopy::rechunk::{Action, Change, Request};
use hypercopy::throttle::Rate;

use super::{
    MAX_NEW_CHUNKS, OutputArguments, PatienceArguments, VerifyArgument, chunk_size, conninfo, default_jobs, duration,
    hash_partitions, interval, rate,
};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("layout").multiple(true).args(["chunk_interval", "target_chunk_size", "hash_partitions"]))]
#[command(group = ArgGroup::new("action").args(["swap", "abort", "undo", "drop_old"]).conflicts_with("layout"))]
pub struct RechunkArguments {
    /// Where the hypertable is
    #[arg(long, value_name = "CONNINFO", env = "HYPERCOPY_DATABASE", hide_env_values = true)]
    pub database: String,
    /// The hypertable, by SQL's quoting rules, looked up in the role's search_path
    pub table: String,
    /// Chunk interval of the time dimension: an interval without months for times ('1 day', '6 hours'), a bare integer in
    /// the column's unit for integers
    #[arg(long, value_name = "INTERVAL", help_heading = "Layout", allow_hyphen_values = true)]
    pub chunk_interval: Option<String>,
    /// Choose the interval by the table's own bytes per time, so that a chunk and its indexes have at most this many: 1GB
    #[arg(long, value_name = "BYTES", help_heading = "Layout", value_parser = chunk_size, conflicts_with = "chunk_interval")]
    pub target_chunk_size: Option<u64>,
    /// Hash dimension: a column and its number of partitions (1 to 32767), or 'none'
    #[arg(long, value_name = "COLUMN:N | none", help_heading = "Layout")]
    pub hash_partitions: Option<String>,
    /// Refuse a layout that needs more chunks than this
    #[arg(long, value_name = "N", help_heading = "Layout", default_value_t = MAX_NEW_CHUNKS)]
    pub max_new_chunks: u64,
    /// Make continuous aggregates over the table again over the new one, fill them before the swap and refresh them behind it;
    /// without this a table that has any is refused
    #[arg(long, help_heading = "Swap", conflicts_with = "action")]
    pub recreate_continuous_aggregates: bool,
    /// End before the swap: the new table is built and follows the old one; the same command without it, or --swap, goes on
    #[arg(long, help_heading = "Swap", conflicts_with = "action")]
    pub no_swap: bool,
    /// Go on with an unfinished rechunk, up to the swap
    #[arg(long, help_heading = "Swap")]
    pub swap: bool,
    /// Give an unfinished rechunk up before the swap; the table stays as it was
    #[arg(long, help_heading = "Swap")]
    pub abort: bool,
    /// Give the old table its name back, unless the new one was written since
    #[arg(long, help_heading = "Swap")]
    pub undo: bool,
    /// Undo also where the new table was written since the swap, and drop what was written
    #[arg(long, help_heading = "Swap", requires = "undo")]
    pub force: bool,
    /// Drop the old table, which is kept behind the swap
    #[arg(long, help_heading = "Swap")]
    pub drop_old: bool,
    /// Ask for a lock that keeps others waiting no longer than this each time, and try again after a pause
    #[arg(long, value_name = "TIME", help_heading = "Swap", default_value = "2s", value_parser = duration)]
    pub lock_timeout: Duration,
    /// Wait so long for transactions that are older than the copy and would see the new table empty
    #[arg(long, value_name = "TIME", help_heading = "Swap", default_value = "10min", value_parser = duration)]
    pub swap_wait: Duration,
    /// Compare the new table with the old one before the swap: rows per range, or a checksum over every bit of them
    #[arg(long, value_enum, value_name = "HOW", default_value_t = VerifyArgument::Counts)]
    pub verify: VerifyArgument,
    /// Copy no faster than this, on the average of a few seconds: 50MB/s, 100000rows/s
    #[arg(long, value_name = "RATE", help_heading = "Job", value_parser = rate)]
    pub max_rate: Option<Rate>,
    /// Workers; each holds one session [default: the machine's cores, at most 8]
    #[arg(short, long, value_name = "N", help_heading = "Job")]
    pub jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    pub patience: PatienceArguments,
    /// Print what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub output: OutputArguments,
}

impl RechunkArguments {
    pub fn jobs(&self) -> usize {
        self.jobs.map_or_else(default_jobs, NonZeroUsize::get)
    }

    /// The engine's terms.
    pub fn request(&self) -> Result<Request> {
        QualifiedName::parse(&self.table, "")?;
        Ok(Request {
            database: conninfo("--database", &self.database)?,
            table: self.table.clone(),
            action: self.action()?,
            jobs: self.jobs(),
            lock_timeout: self.lock_timeout,
            swap_wait: self.swap_wait,
            retry_for: self.patience.retry_for,
            max_new_chunks: self.max_new_chunks,
            verify: self.verify.mode(),
            max_rate: self.max_rate,
            dry_run: self.dry_run,
        })
    }

    fn action(&self) -> Result<Action> {
        // What excludes each other keeps clap from asking for what one of them needs.
        if self.force && !self.undo {
            return Err(Error::new(Kind::Usage, "--force goes with --undo").hint("Nothing else can be forced."));
        }
        match (self.swap, self.abort, self.undo, self.drop_old) {
            (true, ..) => Ok(Action::Swap),
            (_, true, ..) => Ok(Action::Abort),
            (_, _, true, _) => Ok(Action::Undo { force: self.force }),
            (.., true) => Ok(Action::DropOld),
            _ => Ok(Action::Run { change: self.change()?, no_swap: self.no_swap }),
        }
    }

    fn change(&self) -> Result<Change> {
        self.chunk_interval.as_deref().map(interval).transpose()?;
        let is_asked =
            self.chunk_interval.is_some() || self.target_chunk_size.is_some() || self.hash_partitions.is_some();
        let change = Change {
            chunk_interval: self.chunk_interval.clone(),
            chunk_bytes: self.target_chunk_size,
            hash_partitions: self.hash_partitions.as_deref().map(hash_partitions).transpose()?,
            recreate_aggregates: self.recreate_continuous_aggregates,
        };
        match is_asked {
            true => Ok(change),
            false => Err(Error::new(Kind::Usage, "no layout is asked for").hint(
                "Give --chunk-interval, --target-chunk-size or --hash-partitions; or --swap, --abort, --undo or --drop-old.",
            )),
        }
    }
}

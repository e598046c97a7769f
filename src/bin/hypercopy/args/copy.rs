//! Flags that `migrate` and `restore` have in common.

use clap::Args;
use hypercopy::error::{Error, Kind, Result};
use hypercopy::migrate::IfExists;
use hypercopy::plan::{CompressRequest, HashRequest};

use super::{
    ChunkLayoutArgument, IfExistsArgument, MAX_NEW_CHUNKS, PatienceArguments, hash_partitions, interval, new_name,
};

#[derive(Debug, Args)]
pub struct RangeArguments {
    /// Only rows from this value of the time dimension on; without a time zone it is read in the session's, as in psql
    #[arg(long, value_name = "VALUE", help_heading = "Range", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// Only rows before this value of the time dimension
    #[arg(long, value_name = "VALUE", help_heading = "Range", allow_hyphen_values = true)]
    pub until: Option<String>,
}

#[derive(Debug, Args)]
pub struct LayoutArguments {
    /// Its name on the target [default: the same schema and name]
    #[arg(long = "as", value_name = "SCHEMA.TABLE", help_heading = "Layout")]
    pub target_table: Option<String>,
    /// Chunk interval of the time dimension: an interval without months for times ('1 day', '6 hours'), a bare integer in
    /// the column's unit for integers [default: the source's]
    #[arg(long, value_name = "INTERVAL", help_heading = "Layout", allow_hyphen_values = true)]
    pub chunk_interval: Option<String>,
    /// Hash dimension: a column and its number of partitions (1 to 32767), or 'none' [default: the source's]
    #[arg(long, value_name = "COLUMN:N | none", help_heading = "Layout")]
    pub hash_partitions: Option<String>,
    /// Make the chunks with the very slices of the source's, however they came about; it needs the community edition on the
    /// target
    #[arg(long, value_enum, value_name = "preserve", help_heading = "Layout",
        conflicts_with_all = ["chunk_interval", "hash_partitions"])]
    pub chunk_layout: Option<ChunkLayoutArgument>,
    /// Which chunks are compressed on the target: those that are on the source, all, those that have ended so long ago
    /// (older-than '7 days'), or none. It needs the community edition there [default: preserve]
    #[arg(long, value_name = "preserve | all | older-than INTERVAL | none", help_heading = "Layout")]
    pub compress: Option<CompressRequest>,
    /// Refuse a layout that needs more chunks than this
    #[arg(long, value_name = "N", help_heading = "Layout", default_value_t = MAX_NEW_CHUNKS)]
    pub max_new_chunks: u64,
}

impl LayoutArguments {
    /// The hash dimensions that were asked for, once all flags are what they can be.
    pub fn check(&self) -> Result<Option<HashRequest>> {
        self.target_table.as_deref().map(new_name).transpose()?;
        self.chunk_interval.as_deref().map(interval).transpose()?;
        self.hash_partitions.as_deref().map(hash_partitions).transpose()
    }

    /// What goes into a table that is there has its layout; `option` says that it does.
    pub fn refuse_beside(&self, option: &str) -> Result<()> {
        let is_asked = self.chunk_interval.is_some() || self.hash_partitions.is_some();
        match is_asked || self.chunk_layout.is_some() || self.compress.is_some() {
            false => Ok(()),
            true => Err(Error::new(Kind::Usage, format!("{option} goes into the table's own layout"))
                .hint("Leave --chunk-interval, --hash-partitions, --chunk-layout and --compress out.")),
        }
    }
}

#[derive(Debug, Args)]
pub struct DefinitionArguments {
    /// Create on the target what the table uses and is missing there: types, functions, collations, extensions, and the
    /// tables of foreign keys, without rows [default: list it, as SQL]
    #[arg(long)]
    pub with_dependencies: bool,
}

#[derive(Debug, Args)]
pub struct JobArguments {
    /// Forget an earlier job on the table, with all it has copied, and begin anew
    #[arg(long, help_heading = "Job")]
    pub restart: bool,
    /// A table that is there and is no unfinished job's: refuse it, or add rows in a range where it has none
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Job", default_value_t = IfExistsArgument::Error)]
    pub if_exists: IfExistsArgument,
    #[command(flatten)]
    pub patience: PatienceArguments,
}

impl JobArguments {
    /// What becomes of a table that is there.
    pub fn if_exists(&self) -> IfExists {
        match self.if_exists {
            IfExistsArgument::Error => IfExists::Error,
            IfExistsArgument::Append => IfExists::Append,
        }
    }
}

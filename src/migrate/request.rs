//! What was asked for, and what the values on the command line mean on the source.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::connect::{Conninfo, Side};
use crate::error::Result;
use crate::ledger::{MIGRATE, RESTORE};
use crate::look::{Axis, Bounds, partitioning};
use crate::plan::{CompressRequest, HashRequest, Partitioning, Range};
use crate::verify::Mode;

/// What was asked for.
pub struct Request {
    /// Where the rows come from.
    pub origin: Origin,
    /// The target.
    pub target: Conninfo,
    /// The new table, as written; the source's name where there is none.
    pub target_table: Option<String>,
    /// What of the table is wanted.
    pub parts: Parts,
    /// Interval of the primary dimension, as written.
    pub chunk_interval: Option<String>,
    /// Hash dimensions.
    pub hash_partitions: Option<HashRequest>,
    /// Whether the target gets the source's own slices, however they came about.
    pub preserve_chunks: bool,
    /// Which chunks of a table that is made are compressed; those that are so on the source where nothing is said.
    pub compress: Option<CompressRequest>,
    /// First value of the primary dimension, as written.
    pub from: Option<String>,
    /// First value that is left out, as written.
    pub until: Option<String>,
    /// More new chunks than this are refused.
    pub max_new_chunks: u64,
    /// How many workers copy; each holds one session on either side.
    pub jobs: usize,
    /// How the result is verified.
    pub verify: Mode,
    /// Make what the table uses and the target lacks.
    pub with_dependencies: bool,
    /// Refuse where something would not be carried.
    pub strict: bool,
    /// How an unfinished job goes on.
    pub resume: Resume,
    /// Whether an earlier job for the same table is forgotten, with what it has copied.
    pub restart: bool,
    /// What becomes of a table that is there and was made by no unfinished job.
    pub if_exists: IfExists,
    /// How long what may pass is tried again.
    pub retry_for: Duration,
    /// After how long the source's locks are given up for somebody who waits behind them.
    pub yield_after: Option<Duration>,
    /// Whether only a plan is wanted.
    pub dry_run: bool,
    /// Ranges of a table that is there, in which it differs from the source, are copied anew; nothing else is.
    pub repair: Option<Repair>,
}

/// Where rows come from.
#[derive(Clone)]
pub enum Origin {
    /// A table of a server.
    Table {
        /// The server.
        conninfo: Box<Conninfo>,
        /// The hypertable, as written: resolved there under the role's `search_path`.
        name: String,
    },
    /// An archive, by its directory.
    Archive(PathBuf),
}

/// What of a table is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parts {
    /// Definition and rows.
    #[default]
    All,
    /// The definition.
    Schema,
    /// The rows, in a table that is there.
    Data,
}

impl Parts {
    /// The word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Parts::All => "definition and rows",
            Parts::Schema => "the definition",
            Parts::Data => "the rows",
        }
    }
}

impl Request {
    /// The kind of its job in the ledger, which is also the word for it.
    pub fn kind(&self) -> &'static str {
        match self.origin {
            Origin::Table { .. } => MIGRATE,
            Origin::Archive(_) => RESTORE,
        }
    }

    /// The servers that take part.
    pub fn ends(&self) -> Vec<(Side, &Conninfo)> {
        let source = match &self.origin {
            Origin::Table { conninfo, .. } => Some((Side::Source, conninfo.as_ref())),
            Origin::Archive(_) => None,
        };
        source.into_iter().chain([(Side::Target, &self.target)]).collect()
    }
}

/// What `verify --repair` asks for.
#[derive(Clone, Debug)]
pub struct Repair {
    /// Ranges along the axis, and how many rows the target had there when they were compared: with another number of them
    /// nothing is deleted.
    pub ranges: Vec<(Range, u64)>,
    /// Whether the table may be one that no job has made.
    pub any_table: bool,
}

/// How an unfinished job goes on with what it has copied under an earlier snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// It is compared with the source, and what has changed is copied again.
    #[default]
    Compare,
    /// The source is known to be quiet: nothing is compared.
    Trust,
    /// The source is known to be quiet before this value of the primary dimension, as written.
    TrustBefore(String),
    /// As [`Resume::Compare`]; and what the source has deleted is deleted.
    FollowDeletes,
}

/// What becomes of a table that is there and was made by no unfinished job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfExists {
    /// It is refused.
    #[default]
    Error,
    /// Rows are added to it, in a range where it has none.
    Append,
}

/// What was asked for, as a server reads it.
pub(super) struct Asked {
    /// The range.
    pub(super) bounds: Bounds,
    /// What lies here is trusted not to have changed since it was copied.
    pub(super) trusted: Option<Range>,
    /// The layout, as far as it is not the source's.
    pub(super) partitioning: Partitioning,
}

impl Asked {
    pub(super) async fn resolve(request: &Request, axis: &Axis<'_>) -> Result<Asked> {
        let bounds = Bounds::resolve(axis, request.from.as_deref(), request.until.as_deref()).await?;
        let trusted = trusted(request, axis).await?;
        let (interval, hash) = (request.chunk_interval.as_deref(), request.hash_partitions.clone());
        Ok(Asked { bounds, trusted, partitioning: partitioning(axis.session, interval, hash).await? })
    }
}

async fn trusted(request: &Request, axis: &Axis<'_>) -> Result<Option<Range>> {
    Ok(match &request.resume {
        Resume::Trust => Some(Range::ALL),
        Resume::TrustBefore(text) => {
            let until = axis.internal_value("--resume=trust-before", text).await?;
            Some(Range { from: None, until: Some(until) })
        }
        Resume::Compare | Resume::FollowDeletes => None,
    })
}

//! What was asked for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::connect::Conninfo;
use crate::plan::HashRequest;
use crate::throttle::Rate;
use crate::verify::Mode;

/// What was asked for.
pub struct Request {
    /// The database.
    pub database: Conninfo,
    /// The hypertable, as written: resolved under the role's `search_path`.
    pub table: String,
    /// What is to be done.
    pub action: Action,
    /// How many workers copy; each holds one session.
    pub jobs: usize,
    /// How long others may be kept waiting behind a lock that is not had.
    pub lock_timeout: Duration,
    /// How long the swap waits for transactions that would see an empty table.
    pub swap_wait: Duration,
    /// How long what may pass is tried again.
    pub retry_for: Duration,
    /// More new chunks than this are refused.
    pub max_new_chunks: u64,
    /// How the new table is compared with the old one before the swap.
    pub verify: Mode,
    /// How fast rows may be copied.
    pub max_rate: Option<Rate>,
    /// Whether only a plan is wanted.
    pub dry_run: bool,
}

/// What is to be done with a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Give it another layout, or go on with that.
    Run {
        /// The layout.
        change: Change,
        /// Whether it ends before the swap.
        no_swap: bool,
    },
    /// Go on with an unfinished one, up to the swap and beyond.
    Swap,
    /// Give it up before the swap.
    Abort,
    /// Give the old table its name back.
    Undo {
        /// Also where the new one has been written since; what was written is dropped.
        force: bool,
    },
    /// Drop the old table.
    DropOld,
}

/// What is wanted of the new table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Interval of the primary dimension, as written.
    pub chunk_interval: Option<String>,
    /// Bytes of a chunk, from which the interval follows.
    pub chunk_bytes: Option<u64>,
    /// Hash dimensions.
    pub hash_partitions: Option<HashRequest>,
    /// Whether continuous aggregates over the table are made again over the new one.
    pub recreate_aggregates: bool,
}

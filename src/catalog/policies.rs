//! What TimescaleDB does to a hypertable by itself: jobs, the columnstore, tablespaces in turn, chunk skipping.
//!
//! **Invariant:** plain data. It is kept in the ledger, so that a run that goes on, and an undo, know what was before.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::NotCarried;
use crate::ident::QualifiedName;

/// All of it that belongs to one hypertable.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Policies {
    /// The hypertable's id in the catalog.
    pub hypertable_id: i32,
    /// Its jobs, by their ids.
    pub jobs: Vec<Job>,
    /// The settings of its columnstore, where that is switched on.
    pub columnstore: Option<Columnstore>,
    /// Tablespaces that take turns with its chunks, in their order.
    pub tablespaces: Vec<String>,
    /// Columns whose ranges are kept for each chunk.
    pub skipping_columns: Vec<String>,
    /// What a new table will not have, and jobs of others that name this one.
    pub not_carried: Vec<NotCarried>,
}

/// A background job.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Job {
    /// Its id, which it keeps when it is handed over to another table.
    pub id: i32,
    /// What it calls.
    pub procedure: QualifiedName,
    /// What checks its configuration.
    pub check: Option<QualifiedName>,
    /// Its owner's name.
    pub owner: String,
    /// Whether the role has the owner's privileges: only then it may alter the job.
    pub may_alter: bool,
    /// Runs by itself.
    pub scheduled: bool,
    /// The time between two runs.
    pub schedule_interval: String,
    /// After which it is ended; zero for never.
    pub max_runtime: String,
    /// How often a failed run is tried again; −1 for always.
    pub max_retries: i32,
    /// The time before a failed run is tried again.
    pub retry_period: String,
    /// Runs at multiples of its interval, not a while after it last ended.
    pub fixed_schedule: bool,
    /// From where a fixed schedule counts.
    pub initial_start: Option<String>,
    /// The time zone of a fixed schedule.
    pub timezone: Option<String>,
    /// Its parameters.
    pub config: Option<Value>,
    /// When it runs next; none if that was never set.
    pub next_start: Option<String>,
}

/// What a server has of what policies need, whatever its version and edition.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Means {
    /// Of the tablespaces that were asked for, those in which the role may create tables.
    pub tablespaces: Vec<String>,
    /// Columns can have their ranges kept for each chunk: from 2.16 on.
    pub chunk_skipping: bool,
    /// Sparse indexes can be asked for: from 2.22 on.
    pub sparse_indexes: bool,
    /// Of the roles that were asked for, those that the role may act for, and that may have jobs: they can log in.
    pub roles: Vec<String>,
    /// Of the procedures that were asked for, those that are there.
    pub procedures: Vec<QualifiedName>,
}

impl Job {
    /// One of TimescaleDB's own policies, not an action of the user's.
    pub fn is_policy(&self) -> bool {
        self.procedure.schema.starts_with("_timescaledb_") && self.procedure.name.starts_with("policy_")
    }
}

/// How chunks are compressed.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Columnstore {
    /// Columns whose values share a batch; none where the server chooses when it compresses.
    pub segment_by: Option<Vec<String>>,
    /// The order in a batch; none where the server chooses when it compresses.
    pub order_by: Option<Vec<OrderBy>>,
    /// Sparse indexes that somebody has asked for.
    pub sparse_indexes: Vec<SparseIndex>,
    /// Chunks are merged up to this length when they are compressed: microseconds, or the dimension's unit.
    pub chunk_interval: Option<i64>,
}

/// A column of a batch's order.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct OrderBy {
    /// Its name.
    pub column: String,
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST.
    pub nulls_first: bool,
}

/// What is kept for each batch, so that it need not be read.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct SparseIndex {
    /// `bloom`, `minmax`, …
    pub kind: String,
    /// The columns it is over.
    pub columns: Vec<String>,
}

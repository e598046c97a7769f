//! What was asked for.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::connect::Conninfo;
use crate::csv::Dialect;
use crate::plan::HashRequest;
use crate::writer::budget::Limit;

/// What was asked for.
pub struct Request {
    /// The target.
    pub target: Conninfo,
    /// The table, as written: resolved under the role's `search_path`.
    pub table: String,
    /// Files, globs, and `-` for stdin, which is also meant where there are none.
    pub files: Vec<String>,
    /// The columns that the files give, in their order; all that are not generated, or what the header says, where there
    /// are none.
    pub columns: Option<Vec<String>>,
    /// What stands before the records of each file.
    pub header: Header,
    /// File columns that stand for other columns of the table.
    pub maps: Vec<(String, String)>,
    /// Lines before the header and the records of each file.
    pub skip_lines: u64,
    /// How records are written.
    pub dialect: Dialect,
    /// The encoding of the files, by PostgreSQL's name; UTF-8 where there is none.
    pub encoding: Option<String>,
    /// Where the records that were left out are written, and the reasons beside them.
    pub rejects: Option<PathBuf>,
    /// How many records may be left out.
    pub max_rejects: Limit,
    /// What becomes of a row whose key is there already.
    pub on_conflict: OnConflict,
    /// The columns of that key; the primary key or the only unique one, where there are none.
    pub conflict_key: Option<Vec<String>>,
    /// Whether the table is emptied first.
    pub truncate: bool,
    /// How the table is made where it is not there.
    pub create: Option<Create>,
    /// Whether the secondary indexes of an empty table are built behind the rows.
    pub defer_indexes: bool,
    /// How many workers load.
    pub jobs: usize,
    /// The bytes of a block, at least.
    pub block_bytes: Option<usize>,
    /// Makes the same files another import.
    pub import_id: Option<String>,
    /// More records than these are not read.
    pub limit: Option<u64>,
    /// How long what may pass is tried again.
    pub retry_for: Duration,
    /// Whether only a plan is wanted.
    pub dry_run: bool,
}

/// What stands before the records of each file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Header {
    /// Nothing.
    #[default]
    None,
    /// A header that says nothing.
    Skip,
    /// A header that names the columns.
    Match,
}

/// What becomes of a row whose key is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// It is refused.
    #[default]
    Error,
    /// It is left out: the first one stays.
    Skip,
    /// It takes the place of the one that is there: the last one stays.
    Update,
}

impl OnConflict {
    /// The word for it on the command line.
    pub fn name(self) -> &'static str {
        match self {
            OnConflict::Error => "error",
            OnConflict::Skip => "skip",
            OnConflict::Update => "update",
        }
    }
}

/// How a table is made of the files.
#[derive(Clone, Debug)]
pub struct Create {
    /// The column of the time dimension.
    pub time_column: String,
    /// Its interval, as written.
    pub chunk_interval: Option<String>,
    /// A hash dimension.
    pub hash_partitions: Option<HashRequest>,
    /// Types of columns, as written, in place of those that the files suggest.
    pub types: Vec<(String, String)>,
}

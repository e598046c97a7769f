//! What was asked for.

use std::path::PathBuf;
use std::time::Duration;

use crate::archive::Compression;
use crate::connect::Conninfo;
use crate::verify::Mode;

/// What was asked for.
pub struct Request {
    /// The source.
    pub source: Conninfo,
    /// The hypertable, as written: resolved under the role's `search_path`.
    pub table: String,
    /// The directory of the archive.
    pub output: PathBuf,
    /// The directory of an older archive, whose segments are taken over where nothing has changed.
    pub base: Option<PathBuf>,
    /// First value of the primary dimension, as written.
    pub from: Option<String>,
    /// First value that is left out, as written.
    pub until: Option<String>,
    /// What segments shall hold.
    pub format: RowFormat,
    /// How they are compressed.
    pub compression: Compression,
    /// How many workers copy; each holds one session.
    pub jobs: usize,
    /// How the archive is verified.
    pub verify: Mode,
    /// Refuse where something would not be in the archive.
    pub strict: bool,
    /// Whether an earlier dump of the table in the directory is forgotten.
    pub restart: bool,
    /// How long what may pass is tried again.
    pub retry_for: Duration,
    /// After how long the source's locks are given up for somebody who waits behind them.
    pub yield_after: Option<Duration>,
    /// Whether only a plan is wanted.
    pub dry_run: bool,
}

/// What segments shall hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowFormat {
    /// Binary rows; text where a type has no binary form that every server understands.
    #[default]
    Binary,
    /// CSV with a header.
    Csv,
}

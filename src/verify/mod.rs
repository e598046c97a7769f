//! Reads the target again, range by range, and compares it with what the source held.
//!
//! **Invariant:** trusts no count that the copy made: what is compared was read from the target's tables after the
//! commit.

use futures_util::future::try_join_all;

use crate::connect::{Session, Sessions};
use crate::error::{Context, Kind, Result};
use crate::ledger::Counted;
use crate::pgcopy::TimeType;
use crate::plan::{Range, Wire};
use crate::reader::chunk::{condition, copy_out_of};
use crate::reader::rows::RowScanner;

/// How the target is compared with the source at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Not beyond the counts that every task compares.
    None,
    /// Rows per range, read again from the target.
    Counts,
    /// Rows and a multiset checksum over every bit of them.
    Checksum,
}

impl Mode {
    /// The word for it on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Mode::None => "none",
            Mode::Counts => "counts",
            Mode::Checksum => "checksum",
        }
    }
}

/// How the target's rows are read.
pub struct Reading<'a> {
    /// The table, qualified and quoted.
    pub table: &'a str,
    /// The copied columns, quoted.
    pub columns: &'a str,
    /// The primary dimension's column.
    pub primary: &'a str,
    /// Its type.
    pub time_type: TimeType,
    /// Format and canonical form; a checksum is only equal over the same ones.
    pub wire: &'a Wire,
}

/// A range and what the source held in it.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Which task copied it.
    pub task: i32,
    /// Where it lies.
    pub range: Range,
    /// What the source held: without a checksum only rows are counted.
    pub counted: Counted,
}

/// A range in which the two sides differ.
#[derive(Clone, Debug)]
pub struct Difference {
    /// What was expected.
    pub expected: Expected,
    /// What the target holds.
    pub found: Counted,
}

/// Compares all ranges, several at once, and answers those that differ, in the order of their tasks.
pub async fn compare(sessions: &Sessions, reading: &Reading<'_>, expected: &[Expected]) -> Result<Vec<Difference>> {
    let compare = async |expected| sessions.with(async |session| compare_one(session, reading, expected).await).await;
    Ok(try_join_all(expected.iter().map(compare)).await?.into_iter().flatten().collect())
}

async fn compare_one(session: &Session, reading: &Reading<'_>, expected: &Expected) -> Result<Option<Difference>> {
    let found = match expected.counted.checksum {
        Some(_) => checksum(session, reading, expected.range).await?,
        None => count(session, reading, expected.range).await?,
    };
    Ok((found != expected.counted).then_some(Difference { expected: *expected, found }))
}

async fn count(session: &Session, reading: &Reading<'_>, range: Range) -> Result<Counted> {
    let condition = condition(range, reading.primary, reading.time_type);
    let row = session.row(&format!("select count(*) from {}{condition}", reading.table), &[]).await?;
    Ok(Counted { rows: row.get::<_, i64>(0) as u64, checksum: None })
}

async fn checksum(session: &Session, reading: &Reading<'_>, range: Range) -> Result<Counted> {
    let condition = condition(range, reading.primary, reading.time_type);
    let query = format!("select {} from {}{condition}", reading.columns, reading.table);
    let mut stream = session.copy_out(&copy_out_of(&query, reading.wire.format.name())).await?;
    let mut rows = RowScanner::new(reading.wire, true);
    let doing = || format!("cannot read the rows of {} again", reading.table);
    while stream.fill().await? {
        while let Some(piece) = stream.piece()? {
            rows.push(piece, |_| ()).doing(Kind::Target, doing)?;
        }
    }
    stream.finish().map_err(|error| error.renamed(doing()))?;
    rows.finish().doing(Kind::Target, doing)
}

//! The target of a migration against what was copied.

use futures_util::future::try_join_all;

use super::{Difference, Reading};
use crate::connect::Sessions;
use crate::error::Result;
use crate::ledger::Counted;
use crate::plan::Range;

/// A range and what the source held in it.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Where it lies.
    pub range: Range,
    /// What the source held: without a checksum only rows are counted.
    pub counted: Counted,
}

/// Reads all ranges again, several at once, and answers those that differ, in their order.
///
/// # Errors
/// [`Kind::Target`](crate::error::Kind::Target) where the target cannot be read.
pub async fn recount(sessions: &Sessions, reading: &Reading, expected: &[Expected]) -> Result<Vec<Difference>> {
    let recount = async |expected: &Expected| {
        let Expected { range, counted: source } = *expected;
        let target =
            sessions.with(async |session| reading.read(session, range, source.checksum.is_some()).await).await?;
        Ok(Difference { range, source, target })
    };
    let differences = try_join_all(expected.iter().map(recount)).await?;
    Ok(differences.into_iter().filter(Difference::differs).collect())
}

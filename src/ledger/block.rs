//! Blocks of an import that are in, and the records that were left out of them.

use serde::Serialize;

use super::job::{Claim, JobId};
use super::task::{Taken, refuse_lost};
use crate::connect::{Params, Session, Target};
use crate::error::Result;

/// A stretch of a file: whole records, one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The file's number in the order of the command line, from 1.
    pub file: i32,
    /// Its first byte, of the decompressed contents.
    pub from: u64,
    /// The byte behind it.
    pub until: u64,
    /// The line that begins behind it, from 1.
    pub line_until: u64,
    /// XXH3-128 of its bytes, in hexadecimal.
    pub hash: String,
    /// Records in it.
    pub records: u64,
}

/// What became of a block's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Rows that were stored.
    pub rows: u64,
    /// Records that met an equal key, or gave way to another one of the block.
    pub skipped: u64,
    /// Rows that a trigger of the user took away.
    pub suppressed: u64,
    /// Records that were left out.
    pub rejected: u64,
}

impl std::ops::AddAssign for Outcome {
    fn add_assign(&mut self, other: Outcome) {
        self.rows += other.rows;
        self.skipped += other.skipped;
        self.suppressed += other.suppressed;
        self.rejected += other.rejected;
    }
}

/// A block that is in.
#[derive(Clone, Debug)]
pub struct DoneBlock {
    /// Which one.
    pub stretch: Stretch,
    /// Rows that were stored.
    pub rows: u64,
}

/// A record that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The file's number.
    pub file: i32,
    /// Where the record begins, in bytes from the start of the decompressed contents.
    pub byte: u64,
    /// Its first line, from 1.
    pub line: u64,
    /// Its text, without its line end.
    pub record: Vec<u8>,
    /// The column, where the reason is one column's.
    pub column: Option<String>,
    /// Why, in the server's words or ours.
    pub reason: String,
    /// Five characters.
    pub sqlstate: String,
}

/// Takes a block: its row, without what will become of its records. Where an earlier attempt is still open this waits for
/// its end.
pub async fn take_block(target: &Target, claim: Claim, stretch: &Stretch) -> Result<Taken> {
    let (from, until) = (stretch.from as i64, stretch.until as i64);
    let (line, records) = (stretch.line_until as i64, stretch.records as i64);
    let parameters: Params<'_> =
        &[&claim.job.0, &claim.run, &stretch.file, &from, &until, &line, &stretch.hash, &records];
    match target.execute(include_str!("sql/take_block.sql"), parameters).await? {
        1 => Ok(Taken::Now),
        _ => refuse_lost(target, claim).await.map(|()| Taken::Already),
    }
}

/// Notes what became of a block's records.
pub async fn complete_block(target: &Target, job: JobId, stretch: &Stretch, outcome: &Outcome) -> Result<()> {
    let sql = "update _hypercopy.block set rows = $4, skipped = $5, suppressed = $6 \
               where job = $1 and file = $2 and byte_from = $3";
    let (rows, skipped, suppressed) = (outcome.rows as i64, outcome.skipped as i64, outcome.suppressed as i64);
    let from = stretch.from as i64;
    target.execute(sql, &[&job.0, &stretch.file, &from, &rows, &skipped, &suppressed]).await.map(drop)
}

/// Notes records of one file that were left out.
pub async fn insert_rejects(target: &Target, job: JobId, rejects: &[Reject]) -> Result<()> {
    let Some(first) = rejects.first() else { return Ok(()) };
    let bytes: Vec<i64> = rejects.iter().map(|reject| reject.byte as i64).collect();
    let lines: Vec<i64> = rejects.iter().map(|reject| reject.line as i64).collect();
    let records: Vec<&[u8]> = rejects.iter().map(|reject| reject.record.as_slice()).collect();
    let columns: Vec<Option<&str>> = rejects.iter().map(|reject| reject.column.as_deref()).collect();
    let reasons: Vec<&str> = rejects.iter().map(|reject| reject.reason.as_str()).collect();
    let states: Vec<&str> = rejects.iter().map(|reject| reject.sqlstate.as_str()).collect();
    let sql = include_str!("sql/insert_rejects.sql");
    target.execute(sql, &[&job.0, &first.file, &bytes, &lines, &records, &columns, &reasons, &states]).await.map(drop)
}

/// What became of the records of a block that is in.
pub async fn block_outcome(session: &Session, job: JobId, stretch: &Stretch) -> Result<Outcome> {
    let sql = "select rows, skipped, suppressed, (
                   select count(*) from _hypercopy.reject
                   where reject.job = $1 and reject.file = $2 and reject.byte >= $3 and reject.byte < $4)
               from _hypercopy.block where job = $1 and file = $2 and byte_from = $3";
    let (from, until) = (stretch.from as i64, stretch.until as i64);
    let row = session.row(sql, &[&job.0, &stretch.file, &from, &until]).await?;
    Ok(counts(&row))
}

fn counts(row: &tokio_postgres::Row) -> Outcome {
    let count = |column| row.get::<_, i64>(column) as u64;
    Outcome { rows: count(0), skipped: count(1), suppressed: count(2), rejected: count(3) }
}

/// The blocks that are in, in the order of the files.
pub async fn done_blocks(session: &Session, job: JobId) -> Result<Vec<DoneBlock>> {
    let sql = "select file, byte_from, byte_until, line_until, hash, records, rows \
               from _hypercopy.block where job = $1 order by file, byte_from";
    let done = |row: &tokio_postgres::Row| DoneBlock {
        stretch: Stretch {
            file: row.get(0),
            from: row.get::<_, i64>(1) as u64,
            until: row.get::<_, i64>(2) as u64,
            line_until: row.get::<_, i64>(3) as u64,
            hash: row.get(4),
            records: row.get::<_, i64>(5) as u64,
        },
        rows: row.get::<_, i64>(6) as u64,
    };
    Ok(session.rows(sql, &[&job.0]).await?.iter().map(done).collect())
}

/// What became of all records of a job so far.
pub async fn outcome(session: &Session, job: JobId) -> Result<Outcome> {
    let sql = "select coalesce(sum(rows), 0)::bigint, coalesce(sum(skipped), 0)::bigint, \
               coalesce(sum(suppressed), 0)::bigint, (select count(*) from _hypercopy.reject where job = $1) \
               from _hypercopy.block where job = $1";
    Ok(counts(&session.row(sql, &[&job.0]).await?))
}

/// How many rejects are read at once.
const REJECTS_AT_ONCE: i64 = 1000;

/// The records that were left out behind the place (`file`, `byte`), in the order of the files; some of them, and none
/// where there are no more.
pub async fn rejects(session: &Session, job: JobId, after: (i32, i64)) -> Result<Vec<Reject>> {
    let sql = "select file, byte, line, record, column_name, reason, sqlstate from _hypercopy.reject \
               where job = $1 and (file, byte) > ($2, $3) order by file, byte limit $4";
    let reject = |row: &tokio_postgres::Row| Reject {
        file: row.get(0),
        byte: row.get::<_, i64>(1) as u64,
        line: row.get::<_, i64>(2) as u64,
        record: row.get(3),
        column: row.get(4),
        reason: row.get(5),
        sqlstate: row.get(6),
    };
    Ok(session.rows(sql, &[&job.0, &after.0, &after.1, &REJECTS_AT_ONCE]).await?.iter().map(reject).collect())
}

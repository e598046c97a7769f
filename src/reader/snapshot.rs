//! One snapshot for all readers, and the locks that keep it true.
//!
//! A snapshot alone is not enough: TRUNCATE and compression replace a chunk's file under a reader that still sees the
//! old catalog, and a dropped chunk is gone for everyone (reference 2.2). So every session locks first, the leader
//! exports, the others import, and then the chunks *that the snapshot shows* are locked by name and their files compared
//! with the snapshot's: a chunk that was born, truncated or dropped between the first lock and the export makes all
//! begin again.
//!
//! `access share` is all that is ever held, as pg_dump does.

use std::fmt::Display;

use futures_util::future::try_join_all;

use crate::catalog::{Chunk, Server, Slice, read};
use crate::connect::{Conninfo, Reader, Side};
use crate::error::{Error, Kind, Result};
use crate::ident::{QualifiedName, quote_literal};
use crate::plan::Range;

/// How often a table that changes under the lock protocol is tried before giving up.
const ATTEMPTS: usize = 10;
/// Tables that one LOCK statement names.
const LOCK_BATCH: usize = 500;

/// Who the readers are of.
pub struct Subject<'a> {
    /// Which side is read.
    pub side: Side,
    /// Where it is.
    pub conninfo: &'a Conninfo,
    /// What it is.
    pub server: &'a Server,
    /// The hypertable.
    pub table: &'a QualifiedName,
    /// Its id.
    pub hypertable_id: i32,
    /// How many workers will read.
    pub jobs: usize,
    /// Bounds of the primary dimension.
    pub bounds: Range,
    /// Stretches of the axis that one worker has to read alone.
    pub undivided: &'a [Range],
    /// How the axis is divided where the lock table is too small for all workers to lock all chunks; none leaves it to
    /// where the chunks are, and to `undivided`.
    pub division: Option<&'a [Range]>,
    /// What operators see in `pg_stat_activity`.
    pub role: &'a str,
}

/// Sessions that see one moment of one side. Dropping it closes them, which releases the snapshot and the locks.
pub struct Snapshot {
    /// Exports the snapshot and answers catalog questions; it copies nothing.
    pub leader: Reader,
    /// The sessions that copy.
    pub workers: Vec<Reader>,
    /// The hypertable's chunks in the snapshot, those outside the bounds left out.
    pub chunks: Vec<Chunk>,
    /// Which stretch of the axis each worker holds locks for.
    pub shares: Shares,
    /// When it was taken, as the server's clock says.
    pub taken_at: String,
    /// The schema of TimescaleDB's internal functions there.
    pub functions_schema: String,
    /// How a worker's session is replaced.
    pub rejoin: Rejoin,
}

/// Opens sessions that see the same moment again, as long as the leader lives.
#[derive(Clone)]
pub struct Rejoin {
    side: Side,
    conninfo: Conninfo,
    role: String,
    begin: String,
    import: String,
    shares: Shares,
    chunks: Vec<Chunk>,
}

impl Rejoin {
    /// Replaces the session of worker `number`, counted from 0. `None` where the snapshot has gone with its leader, or
    /// where the table or a chunk of this worker's share has changed while nobody held it.
    pub async fn worker(&self, number: usize) -> Result<Option<Reader>> {
        let worker = Reader::open(self.side, &self.conninfo, &worker_role(&self.role, number + 1)).await?;
        match self.join(&worker, number).await {
            Err(error) if is_vanished(&error) => Ok(None),
            joined => Ok(joined?.then_some(worker)),
        }
    }

    async fn join(&self, worker: &Reader, number: usize) -> Result<bool> {
        worker.batch(&self.begin).await?;
        worker.batch(&self.import).await?;
        lock_share(worker, &self.chunks, self.shares.of_worker(number)).await?;
        worker.batch("set local lock_timeout = 0").await?;
        is_unchanged(worker, &self.chunks).await
    }
}

fn worker_role(role: &str, number: usize) -> String {
    format!("{role} copy out {number}")
}

/// Whose locks cover what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shares {
    /// Every session has locked every chunk; any worker may take any task.
    All,
    /// The lock table is too small for that: worker n holds the chunks of the n-th range, and only it may read there.
    Ranges(Vec<Range>),
}

impl Shares {
    /// How the axis is divided between the workers; none where it is not.
    pub fn ranges(&self) -> Option<&[Range]> {
        match self {
            Shares::All => None,
            Shares::Ranges(ranges) => Some(ranges),
        }
    }

    /// How many relation locks the sessions hold, for the plan.
    pub fn locks(&self, jobs: usize, chunks: usize) -> usize {
        match self {
            Shares::All => (jobs + 1) * (chunks + 1),
            Shares::Ranges(_) => jobs + 1 + chunks,
        }
    }

    /// Where worker `number`, counted from 0, may read.
    fn of_worker(&self, number: usize) -> Range {
        match self {
            Shares::All => Range::ALL,
            Shares::Ranges(ranges) => ranges.get(number).copied().unwrap_or(Range::NOTHING),
        }
    }
}

impl Snapshot {
    /// Opens the sessions and takes the snapshot. `splits` says where the axis may be divided between workers: chunk
    /// boundaries through which no chunk reaches that must be read in one piece.
    ///
    /// # Errors
    /// The side's kind where the table keeps changing, [`Kind::Resumable`] where a lock is not had in time.
    pub async fn take(subject: &Subject<'_>) -> Result<Snapshot> {
        let open = async |role: &str| Reader::open(subject.side, subject.conninfo, role).await;
        let leader = open(&format!("{} leader", subject.role)).await?;
        let workers =
            try_join_all((1..=subject.jobs).map(async |worker| open(&worker_role(subject.role, worker)).await)).await?;
        for _ in 0..ATTEMPTS {
            match attempt(subject, &leader, &workers).await {
                Ok(Some(rejoin)) => {
                    let taken_at = leader.row("select now()::text", &[]).await?.get(0);
                    let (chunks, shares) = (rejoin.chunks.clone(), rejoin.shares.clone());
                    let functions_schema = subject.server.functions_schema.clone();
                    return Ok(Snapshot { leader, workers, chunks, shares, taken_at, functions_schema, rejoin });
                }
                Ok(None) => {}
                Err(error) if is_vanished(&error) => {}
                Err(error) => return Err(explain_lock(error, subject.side, subject.table)),
            }
            try_join_all(std::iter::once(&leader).chain(&workers).map(|session| session.batch("rollback"))).await?;
        }
        Err(Error::new(
            subject.side.kind(),
            format!("chunks of {} changed each of {ATTEMPTS} times they were locked", subject.table),
        )
        .hint("Pause what drops, truncates or compresses its chunks (policies among them) while the copy begins."))
    }

    /// Runs `work` and gives back the locks that it took: what a query locks beside its table (indexes, toast,
    /// compressed relations) would otherwise pile up until the end of the long transaction.
    pub async fn releasing_locks<T>(session: &Reader, work: impl Future<Output = Result<T>>) -> Result<T> {
        session.batch("savepoint before_read").await?;
        let answer = work.await?;
        session.batch("rollback to savepoint before_read").await?;
        Ok(answer)
    }
}

/// `None` where the table changed meanwhile.
async fn attempt(subject: &Subject<'_>, leader: &Reader, workers: &[Reader]) -> Result<Option<Rejoin>> {
    let known = chunks_inside(subject, leader).await?;
    let lock_all = (subject.jobs + 1) * (known.len() + 1) <= (subject.server.lock_table / 4) as usize;
    let only = if lock_all { "" } else { "only " };
    let begin = format!(
        "begin isolation level repeatable read read only; lock table {only}{} in access share mode",
        subject.table.sql()
    );
    try_join_all(std::iter::once(leader).chain(workers).map(|session| session.batch(&begin))).await?;
    let snapshot: String = leader.row("select pg_catalog.pg_export_snapshot()", &[]).await?.get(0);
    let import = format!("set transaction snapshot {}", quote_literal(&snapshot));
    try_join_all(workers.iter().map(|worker| worker.batch(&import))).await?;

    let chunks = chunks_inside(subject, leader).await?;
    let divide = || match subject.division {
        Some(ranges) => ranges.to_vec(),
        None => divide(&chunks, subject.bounds, subject.undivided, workers.len()),
    };
    let shares = if lock_all { Shares::All } else { Shares::Ranges(divide()) };
    // Dropped since the snapshot; one that had no table before either is for the plan to refuse.
    let is_lost = |id: i32| known.iter().any(|chunk| chunk.id == id && chunk.oid.is_none());
    if chunks.iter().any(|chunk| chunk.oid.is_none() && !is_lost(chunk.id)) {
        return Ok(None);
    }
    lock_chunks(&shares, &chunks, leader, workers).await?;
    // All that others can be in the way of is locked; an index that is being rebuilt is waited for.
    try_join_all(workers.iter().map(|worker| worker.batch("set local lock_timeout = 0"))).await?;
    let (side, conninfo, role) = (subject.side, subject.conninfo.clone(), subject.role.to_string());
    let is_unchanged = is_unchanged(leader, &chunks).await?;
    Ok(is_unchanged.then_some(Rejoin { side, conninfo, role, begin, import, shares, chunks }))
}

async fn chunks_inside(subject: &Subject<'_>, leader: &Reader) -> Result<Vec<Chunk>> {
    let mut chunks = read::chunks(leader, subject.server, subject.hypertable_id).await?;
    chunks.retain(|chunk| subject.bounds.overlaps(chunk.primary()));
    Ok(chunks)
}

async fn lock_chunks(shares: &Shares, chunks: &[Chunk], leader: &Reader, workers: &[Reader]) -> Result<()> {
    let lock = async |number: usize, worker| lock_share(worker, chunks, shares.of_worker(number)).await;
    if *shares == Shares::All {
        lock_share(leader, chunks, Range::ALL).await?;
    }
    try_join_all(workers.iter().enumerate().map(|(number, worker)| lock(number, worker))).await.map(drop)
}

async fn lock_share(session: &Reader, chunks: &[Chunk], share: Range) -> Result<()> {
    // LOCK refuses foreign tables.
    let is_mine = |chunk: &&Chunk| chunk.local == Some(true) && share.overlaps(chunk.primary());
    let names: Vec<String> = chunks.iter().filter(is_mine).map(|chunk| chunk.table().sql()).collect();
    for batch in names.chunks(LOCK_BATCH) {
        session.batch(&format!("lock table only {} in access share mode", batch.join(", only "))).await?;
    }
    Ok(())
}

/// Whether each chunk still has the file that it has in the snapshot: `pg_class` is read in the snapshot,
/// `pg_relation_filenode()` answers for now. What has no file here (a tiered chunk is a foreign table) is for the plan to
/// refuse.
async fn is_unchanged(leader: &Reader, chunks: &[Chunk]) -> Result<bool> {
    let oids: Vec<u32> = chunks.iter().filter_map(|chunk| chunk.oid).collect();
    let row = leader
        .row(
            "select count(*) from pg_catalog.pg_class class \
             where class.oid = any ($1) \
             and (class.relkind <> 'r' or class.relfilenode = pg_catalog.pg_relation_filenode(class.oid))",
            &[&oids],
        )
        .await?;
    Ok(row.get::<_, i64>(0) as usize == oids.len())
}

/// Cuts the axis into one range per worker, of about the same bytes, at boundaries that neither a chunk nor one of the
/// `undivided` ranges straddles.
fn divide(chunks: &[Chunk], bounds: Range, undivided: &[Range], workers: usize) -> Vec<Range> {
    let mut slices: Vec<(Slice, u64)> =
        chunks.iter().map(|chunk| (chunk.primary(), chunk.bytes.unwrap_or(0).max(1) as u64)).collect();
    slices.sort_unstable();
    let total: u64 = slices.iter().map(|(_, bytes)| bytes).sum();
    let mut ranges = Vec::with_capacity(workers);
    let (mut seen, mut reached, mut rest) = (0, i64::MIN, bounds);
    for (slice, bytes) in slices {
        let is_due = seen * workers as u64 >= total * (ranges.len() as u64 + 1);
        let cuts = |range: &Range| range.contains(slice.start) && range.from != Some(slice.start);
        let is_clean = reached <= slice.start && slice.start != i64::MIN && !undivided.iter().any(cuts);
        if is_due && is_clean && ranges.len() + 1 < workers && rest.contains(slice.start) {
            ranges.push(Range { until: Some(slice.start), ..rest });
            rest.from = Some(slice.start);
        }
        seen += bytes;
        reached = reached.max(slice.end);
    }
    ranges.push(rest);
    ranges
}

/// A chunk that the snapshot shows and that no longer exists, or the snapshot itself.
fn is_vanished(error: &Error) -> bool {
    use tokio_postgres::error::SqlState;
    const GONE: [SqlState; 3] =
        [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_OBJECT, SqlState::INVALID_PARAMETER_VALUE];
    matches!(error.sqlstate(), Some(state) if GONE.contains(state))
}

/// Says what a reader's lock is waited for, and by whom, where it was not had in time.
pub(crate) fn explain_lock(error: Error, side: Side, table: &dyn Display) -> Error {
    use tokio_postgres::error::SqlState;
    match error.sqlstate() {
        Some(state) if *state == SqlState::LOCK_NOT_AVAILABLE => {
            Error::new(Kind::Resumable, format!("{table} or one of its chunks stayed locked for 10 s"))
                .caused_by(error)
                .hint(
                    "A reader's lock waits only for DDL, TRUNCATE, compression or CLUSTER: see who runs one in \
                     pg_stat_activity, and try again when it has ended.",
                )
        }
        Some(state) if *state == SqlState::OUT_OF_MEMORY => error.hint(format!(
            "The {}'s lock table is full: raise max_locks_per_transaction there, or lower --jobs.",
            side.name()
        )),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(start: i64, end: i64, bytes: i64) -> Chunk {
        Chunk {
            id: 0,
            oid: None,
            schema: None,
            name: None,
            local: None,
            tiered: false,
            compressed: false,
            slices: Some(vec![Slice { start, end }]),
            bytes: Some(bytes),
            index_bytes: None,
            estimated_rows: None,
            filenode: None,
        }
    }

    #[test]
    fn shares_tile_the_bounds_and_weigh_about_the_same() {
        let chunks: Vec<Chunk> = (0..100).map(|i| chunk(i * 10, i * 10 + 10, 1000)).collect();
        let shares = divide(&chunks, Range::ALL, &[], 4);
        let ends: Vec<_> = shares.iter().map(|share| share.until).collect();
        assert_eq!(ends, [Some(250), Some(500), Some(750), None]);
        assert_eq!(shares[1].from, Some(250));
    }

    #[test]
    fn shares_are_not_cut_through_a_chunk() {
        let chunks = [chunk(0, 100, 10), chunk(0, 40, 10), chunk(40, 100, 10), chunk(100, 200, 10)];
        assert_eq!(
            divide(&chunks, Range::ALL, &[], 2),
            [Range { from: None, until: Some(100) }, Range { from: Some(100), until: None }]
        );
    }

    #[test]
    fn shares_are_not_cut_through_what_was_copied_as_one() {
        let chunks: Vec<Chunk> = (0..4).map(|i| chunk(i * 10, i * 10 + 10, 10)).collect();
        let done = [Range { from: Some(15), until: Some(25) }];
        assert_eq!(
            divide(&chunks, Range::ALL, &done, 2),
            [Range { from: None, until: Some(30) }, Range { from: Some(30), until: None }]
        );
    }

    #[test]
    fn there_are_never_more_shares_than_workers_nor_none() {
        assert_eq!(divide(&[], Range::ALL, &[], 3), [Range::ALL]);
        assert_eq!(divide(&[chunk(0, 10, 5)], Range::ALL, &[], 3), [Range::ALL]);
    }
}

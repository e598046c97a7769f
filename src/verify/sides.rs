//! Both sides: looked at, each under a snapshot of its own, read by pairs of sessions.

use std::sync::Arc;

use futures_util::future::try_join;

use super::keys::{self, Key, KeyedRow};
use super::reading::Extent;
use super::report::SnapshotsReport;
use super::{Difference, KeyDifference, Reading, Request};
use crate::connect::{Reader, Side};
use crate::error::{Error, Result};
use crate::ident::QualifiedName;
use crate::ledger::Counted;
use crate::look::Found;
use crate::plan::Range;
use crate::reader::snapshot::{Shares, Snapshot};
use crate::supervision::Supervision;

/// The two tables.
pub(super) struct Sides {
    pub(super) source: Found,
    pub(super) target: Found,
}

/// A moment of the source, and the next moment of the target.
pub(super) struct Snapshots {
    pub(super) source: Snapshot,
    pub(super) target: Snapshot,
}

/// One worker's sessions. What one reads, the other reads on its side.
pub(super) struct Pair {
    source: Half,
    target: Half,
    with_checksum: bool,
}

/// A session and what it reads.
struct Half {
    session: Reader,
    reading: Arc<Reading>,
}

impl Sides {
    /// Finds both tables.
    pub(super) async fn look(request: &Request, supervision: &Supervision) -> Result<Sides> {
        let source = Found::look(Side::Source, &request.source, "verify look", &request.table).await?;
        supervision.watch(&source.session);
        let name = match &request.target_table {
            Some(text) => QualifiedName::parse(text, &source.table.name.schema)?,
            None => source.table.name.clone(),
        };
        let target = Found::look(Side::Target, &request.target, "verify look", &name.to_string()).await?;
        supervision.watch(&target.session);
        if source.server.is_one_database_with(&target.server) && source.table.oid == target.table.oid {
            return Err(Error::refused(format!("source and target are the same table, {}", target.table.name))
                .hint("A table is always equal to itself: name another one with --as, or another target."));
        }
        Ok(Sides { source, target })
    }

    /// Takes both snapshots. Where a lock table is too small for all workers to lock all chunks, the axis is divided
    /// in the same way on both sides.
    pub(super) async fn snapshots(
        &self,
        request: &Request,
        bounds: Range,
        supervision: &Supervision,
    ) -> Result<Snapshots> {
        let watch = |snapshot: &Snapshot| {
            snapshot.workers.iter().chain([&snapshot.leader]).for_each(|session| supervision.watch(session));
        };
        let subject = self.source.subject(&request.source, request.jobs, bounds, "verify");
        let source = Snapshot::take(&subject).await?;
        watch(&source);
        let mut subject = self.target.subject(&request.target, request.jobs, bounds, "verify");
        subject.division = source.shares.ranges();
        let target = Snapshot::take(&subject).await?;
        watch(&target);
        Ok(Snapshots { source, target })
    }
}

impl Snapshots {
    /// When they were taken.
    pub(super) fn taken_at(&self) -> SnapshotsReport {
        SnapshotsReport { source: self.source.taken_at.clone(), target: self.target.taken_at.clone() }
    }

    /// What a pair may read: what both of its sessions have locked.
    pub(super) fn shares(&self) -> &Shares {
        match &self.source.shares {
            Shares::All => &self.target.shares,
            divided => divided,
        }
    }

    /// The workers' sessions; the leaders', which have done their work, are closed.
    pub(super) fn into_pairs(self, readings: [&Arc<Reading>; 2], with_checksum: bool) -> Vec<Pair> {
        let half = |session: Reader, reading: &Arc<Reading>| Half { session, reading: Arc::clone(reading) };
        let pair = |(source, target)| Pair {
            source: half(source, readings[0]),
            target: half(target, readings[1]),
            with_checksum,
        };
        self.source.workers.into_iter().zip(self.target.workers).map(pair).collect()
    }
}

impl Pair {
    /// Reads a range on both sides at once.
    pub(super) async fn compare(&self, range: Range) -> Result<Difference> {
        let (source, target) =
            try_join(self.source.read(range, self.with_checksum), self.target.read(range, self.with_checksum)).await?;
        Ok(Difference { range, source, target })
    }

    /// Where the rows of a range lie, taking both sides together; none where neither has any.
    pub(super) async fn extent(&self, range: Range) -> Result<Option<Extent>> {
        Ok(match try_join(self.source.extent(range), self.target.extent(range)).await? {
            (Some(source), Some(target)) => {
                Some(Extent { first: source.first.min(target.first), last: source.last.max(target.last) })
            }
            (source, target) => source.or(target),
        })
    }

    /// The keys whose rows differ in a range. All of its keys are held in memory.
    pub(super) async fn keys(&self, key: &Key, range: Range) -> Result<Vec<KeyDifference>> {
        let (source, target) = try_join(self.source.keys(key, range), self.target.keys(key, range)).await?;
        keys::differences(range, &source, &target)
    }
}

impl Half {
    async fn read(&self, range: Range, with_checksum: bool) -> Result<Counted> {
        Snapshot::releasing_locks(&self.session, self.reading.read(&self.session, range, with_checksum)).await
    }

    async fn extent(&self, range: Range) -> Result<Option<Extent>> {
        Snapshot::releasing_locks(&self.session, self.reading.extent(&self.session, range)).await
    }

    async fn keys(&self, key: &Key, range: Range) -> Result<Vec<KeyedRow>> {
        Snapshot::releasing_locks(&self.session, key.read(&self.reading, &self.session, range)).await
    }
}

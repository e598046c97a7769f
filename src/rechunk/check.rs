//! The new table against the old one, before the swap.

use futures_util::future::try_join_all;

use super::work::Work;
use crate::connect::Target;
use crate::error::{Error, Kind, Result};
use crate::ident::QualifiedName;
use crate::ledger;
use crate::plan::Range;
use crate::verify::{Difference, Hashing, Mode, Reading};

impl Work<'_> {
    /// Compares both tables, each range under one snapshot. What is marked there is left out: it will be copied again, and
    /// is counted then.
    pub(super) async fn verify(&self) -> Result<()> {
        let mode = self.run.request.verify;
        if mode == Mode::None {
            return Ok(());
        }
        self.supervision().progress.phase(format!("verifying by {}", mode.name()));
        let tasks = ledger::done_tasks(&self.ground.target, self.claim.job).await?;
        let [old, new] = &self.sides().await?;
        let compare = async |range: Range| {
            let _open = self.supervision().interrupt.open()?;
            let under = async |target: &Target| {
                self.under_one_snapshot(target, async || self.compare(target, range, old, new).await).await
            };
            self.sessions.with(under).await
        };
        let found = try_join_all(tasks.iter().map(|task| compare(task.range))).await?;
        let differences: Vec<Difference> = found.into_iter().flatten().collect();
        self.report_verification(tasks.len(), &differences);
        self.refuse_differences(tasks.len(), &differences)
    }

    async fn compare(&self, target: &Target, range: Range, old: &Reading, new: &Reading) -> Result<Vec<Difference>> {
        let by_checksum = self.run.request.verify == Mode::Checksum;
        let found = differences(target, self.unmarked(target, range).await?, old, new, by_checksum).await?;
        if found.is_empty() {
            return Ok(found);
        }
        // No mark says that a chunk was dropped, emptied or made anew since it was read.
        let stale = self.stale(target).await?;
        let rest = found.iter().flat_map(|found| stale.rest_of(found.range)).collect();
        differences(target, rest, old, new, by_checksum).await
    }

    /// The table that has the name since the swap may have chunks with other files than then and the same rows: compressed,
    /// reordered, rewritten, made for rows that have left marks. Where its rows are those of the `kept` table, marked ones
    /// apart, its chunks are noted as they are now.
    pub(super) async fn accept_rewritten(&self, kept: &QualifiedName) -> Result<()> {
        self.supervision().progress.phase("comparing chunks that were rewritten");
        // What differs would be lost with the table that goes: whatever was asked for, every bit is compared.
        let [kept, table] = &[kept, &self.plan.table].map(|table| self.reading(table, Hashing::Here));
        let accept = async |target: &Target| {
            ledger::hold(target, self.claim).await?;
            let stale = self.stale(target).await?;
            for range in &stale.ranges {
                let unmarked = self.unmarked(target, *range).await?;
                if !differences(target, unmarked, kept, table, true).await?.is_empty() {
                    return Ok(());
                }
            }
            ledger::forget_chunks(target, self.claim.job, &stale.gone).await?;
            ledger::note_chunks(target, self.claim.job, &stale.new).await
        };
        self.sessions.with(async |target| self.under_one_snapshot(target, async || accept(target).await).await).await
    }

    /// What of a range is not marked.
    async fn unmarked(&self, target: &Target, range: Range) -> Result<Vec<Range>> {
        let buckets = &self.plan.capture.buckets;
        let marked = self.marked(target, range).await?;
        let marked = marked.into_iter().map(|run| buckets.range(run).intersect(range)).filter(|part| !part.is_empty());
        Ok(range.without(marked))
    }

    /// The old table and the new one, and how both are read. They are on one server: where that can hash their rows, none has
    /// to leave it.
    async fn sides(&self) -> Result<[Reading; 2]> {
        let readings =
            |hashing| [&self.plan.table, &self.plan.beside()].map(|table: &QualifiedName| self.reading(table, hashing));
        let there = readings(Hashing::There);
        let by_checksum = self.run.request.verify == Mode::Checksum;
        Ok(match by_checksum && !there[0].is_hashable(&self.ground.target).await? {
            true => readings(Hashing::Here),
            false => there,
        })
    }

    fn reading(&self, table: &QualifiedName, hashing: Hashing) -> Reading {
        let primary = &self.plan.layout.primary;
        Reading {
            table: table.sql(),
            columns: self.columns.clone(),
            primary: primary.clone(),
            wire: self.wire.clone(),
            hashing,
            functions: self.ground.server().functions_schema.clone(),
            // What is shown is the copy's.
            progress: Default::default(),
        }
    }

    fn refuse_differences(&self, ranges: usize, differences: &[Difference]) -> Result<()> {
        let Some(first) = differences.first() else { return Ok(()) };
        Err(Error::new(
            Kind::Different,
            format!(
                "{} of {ranges} ranges differ between {} and its new table, the first one {}: {} rows and {} rows",
                differences.len(),
                self.plan.table,
                first.range.display(self.plan.time_type()),
                first.source.rows,
                first.target.rows
            ),
        )
        .hint(format!(
            "Nothing was swapped. Rows that were written straight into a chunk, or under session_replication_role = replica, \
             leave no marks: find who does so, give this one up by \"hypercopy rechunk {} --abort\", and begin anew.",
            self.plan.table
        )))
    }
}

async fn differences(
    target: &Target,
    ranges: Vec<Range>,
    old: &Reading,
    new: &Reading,
    by_checksum: bool,
) -> Result<Vec<Difference>> {
    let mut differences = Vec::new();
    for range in ranges {
        let source = old.read(target, range, by_checksum).await?;
        let difference = Difference { range, source, target: new.read(target, range, by_checksum).await? };
        differences.extend(difference.differs().then_some(difference));
    }
    Ok(differences)
}

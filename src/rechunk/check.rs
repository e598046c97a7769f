//! The new table against the old one, before the swap.

use std::time::Instant;

use futures_util::future::try_join_all;

use super::work::Work;
use crate::connect::Target;
use crate::error::{Error, Kind, Result};
use crate::ledger;
use crate::plan::Range;
use crate::verify::{Difference, Hashing, Mode, Reading};

impl Work<'_> {
    /// Compares both tables, each range under one snapshot. What is marked there is left out: it will be copied again, and
    /// is counted then.
    pub(super) async fn verify(&self) -> Result<()> {
        let start = Instant::now();
        let mode = self.run.request.verify;
        if mode == Mode::None {
            return Ok(());
        }
        self.supervision().progress.phase(format!("verifying by {}", mode.name()));
        let tasks = ledger::done_tasks(&self.ground.target, self.claim.job).await?;
        let mut sides = [self.plan.table.sql(), self.plan.beside().sql()].map(|table| self.reading(table));
        if mode == Mode::Checksum && !sides[0].is_hashable(&self.ground.target).await? {
            sides.iter_mut().for_each(|side| side.hashing = Hashing::Here);
        }
        let [old, new] = &sides;
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
        self.phase("verify", start);
        self.refuse_differences(tasks.len(), &differences)
    }

    async fn compare(&self, target: &Target, range: Range, old: &Reading, new: &Reading) -> Result<Vec<Difference>> {
        let buckets = &self.plan.capture.buckets;
        let marked = self.marked(target, range).await?;
        let marked = marked.into_iter().map(|run| buckets.range(run).intersect(range)).filter(|part| !part.is_empty());
        let found = self.differences(target, range.without(marked), old, new).await?;
        if found.is_empty() {
            return Ok(found);
        }
        // No mark says that a chunk was dropped, emptied or made anew since it was read.
        let stale = self.stale(target).await?;
        let rest = found.iter().flat_map(|found| stale.rest_of(found.range)).collect();
        self.differences(target, rest, old, new).await
    }

    async fn differences(
        &self,
        target: &Target,
        ranges: Vec<Range>,
        old: &Reading,
        new: &Reading,
    ) -> Result<Vec<Difference>> {
        let with_checksum = self.run.request.verify == Mode::Checksum;
        let mut differences = Vec::new();
        for range in ranges {
            let source = old.read(target, range, with_checksum).await?;
            let difference = Difference { range, source, target: new.read(target, range, with_checksum).await? };
            differences.extend(difference.differs().then_some(difference));
        }
        Ok(differences)
    }

    /// Both tables are on one server: no row has to leave it to be hashed.
    fn reading(&self, table: String) -> Reading {
        let primary = &self.plan.layout.primary;
        Reading {
            table,
            columns: self.columns.clone(),
            primary: primary.column.clone(),
            time_type: primary.time_type,
            wire: self.wire.clone(),
            hashing: Hashing::There,
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

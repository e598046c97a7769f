//! Catching up: what has changed in the old table since its rows were copied is copied again.

use futures_util::future::try_join_all;

use super::stale::{Stale, stale, unknown};
use super::work::Work;
use crate::catalog::{ChunkFile, read};
use crate::connect::Target;
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::ident::quote_ident;
use crate::ledger;
use crate::plan::{BucketRun, Range};
use crate::verify::Mode;

/// Buckets that one transaction copies again at most.
const BUCKETS_AT_ONCE: u64 = 16;
/// Passes after which no number of marks is small enough to go on falling.
const MOST_PASSES: usize = 20;
/// So few runs of buckets are left to the swap.
const FEW_RUNS: usize = 8;

impl Work<'_> {
    /// Passes until few marks are left, or their number stops falling.
    pub(super) async fn catch_up(&self) -> Result<()> {
        let mut least = usize::MAX;
        for _ in 0..MOST_PASSES {
            let runs = self.pass().await?;
            if runs <= FEW_RUNS || runs >= least {
                return Ok(());
            }
            least = runs;
        }
        Ok(())
    }

    /// Copies again what is marked now; answers how many runs of buckets that were.
    pub(super) async fn pass(&self) -> Result<usize> {
        self.sessions
            .with(async |target| self.under_one_snapshot(target, async || self.mark_stale(target).await).await)
            .await?;
        let runs = self.sessions.with(async |target| self.marked(target, Range::ALL).await).await?;
        if !runs.is_empty() {
            self.supervision().progress.phase(format!("catching up in {} ranges", runs.len()));
        }
        let follow = async |run: &BucketRun| {
            let _open = self.supervision().interrupt.open()?;
            let again = async |target: &Target| {
                self.under_one_snapshot(target, async || {
                    ledger::hold(target, self.claim).await?;
                    let rows = self.copy_again(target, *run).await?;
                    failpoint::hit("catch-up-before-commit");
                    Ok(rows)
                })
                .await
            };
            let rows = self.sessions.with(again).await?;
            failpoint::hit("catch-up-after-commit");
            let bytes = rows * self.ground.hypertable.row_bytes();
            self.throttle.pass(rows, bytes, &self.supervision().interrupt).await
        };
        try_join_all(runs.iter().map(follow)).await?;
        Ok(runs.len())
    }

    /// The buckets that are marked and touch a range.
    pub(super) async fn marked(&self, target: &Target, range: Range) -> Result<Vec<BucketRun>> {
        let buckets = &self.plan.capture.buckets;
        let sql = format!(
            "select distinct bucket from {} where {} order by bucket",
            self.plan.capture.marks().sql(),
            buckets.touching(range)
        );
        let numbers: Vec<i64> = target.rows(&sql, &[]).await?.iter().map(|row| row.get(0)).collect();
        Ok(buckets.runs(&numbers, BUCKETS_AT_ONCE))
    }

    /// Takes the marks of some buckets, and their rows anew, in the caller's transaction: what it sees of the ones it must
    /// see of the others.
    pub(super) async fn copy_again(&self, target: &Target, run: BucketRun) -> Result<u64> {
        let (beside, primary) = (self.plan.beside(), &self.plan.layout.primary);
        let range = self.plan.capture.buckets.range(run);
        let part = primary.filter(range);
        self.note_unknown(target, range).await?;
        target
            .execute(&format!("delete from {} where {}", self.plan.capture.marks().sql(), run.condition()), &[])
            .await?;
        target.execute(&format!("delete from {}{part}", beside.sql()), &[]).await?;
        let rows = target.execute(&self.insert(&beside, range), &[]).await?;
        if self.run.request.verify != Mode::None {
            let sql = format!("select count(*) from {}{part}", beside.sql());
            let there: i64 = target.row(&sql, &[]).await?.get(0);
            if there as u64 != rows {
                return Err(Error::new(
                    Kind::Different,
                    format!(
                        "{rows} rows of {} were copied again, and {there} are there",
                        range.display(self.plan.time_type())
                    ),
                ));
            }
        }
        Ok(rows)
    }

    /// Notes chunks that are read for the first time: whoever drops one leaves no mark, and it may be gone before all
    /// chunks are compared again.
    async fn note_unknown(&self, target: &Target, range: Range) -> Result<()> {
        let files = self.chunk_files(target, range).await?;
        let relations: Vec<u32> = files.iter().map(|file| file.relation).collect();
        let noted = ledger::noted_chunks_of(target, self.claim.job, &relations).await?;
        match unknown(&noted, &files, range) {
            none if none.is_empty() => Ok(()),
            unknown => ledger::note_chunks(target, self.claim.job, &unknown).await,
        }
    }

    /// Marks the ranges of chunks that are not those that were copied: no trigger sees a DROP or TRUNCATE of a chunk. What
    /// was noted and what is there are read under one snapshot.
    pub(super) async fn mark_stale(&self, target: &Target) -> Result<()> {
        ledger::hold(target, self.claim).await?;
        let stale = self.stale(target).await?;
        match stale.is_empty() {
            true => Ok(()),
            false => self.mark(target, &stale).await,
        }
    }

    /// Where the chunks are not those that were copied, as the caller's transaction sees it.
    pub(super) async fn stale(&self, target: &Target) -> Result<Stale> {
        let noted = ledger::noted_chunks(target, self.claim.job).await?;
        Ok(stale(&noted, &self.chunk_files(target, Range::ALL).await?))
    }

    async fn mark(&self, target: &Target, stale: &Stale) -> Result<()> {
        let (capture, primary) = (&self.plan.capture, &self.plan.layout.primary);
        let internal = format!("{}.time_to_internal({})", quote_ident(&capture.functions), primary.value());
        let bucket = capture.buckets.number_sql(&internal);
        for range in &stale.ranges {
            let part = primary.filter(*range);
            let buckets = |table: &str| format!("select {bucket} from {table}{part}");
            let sql = format!(
                "insert into {} {} union {}",
                capture.marks().sql(),
                buckets(&self.plan.table.sql()),
                buckets(&self.plan.beside().sql())
            );
            target.execute(&sql, &[]).await?;
        }
        ledger::forget_chunks(target, self.claim.job, &stale.gone).await?;
        ledger::note_chunks(target, self.claim.job, &stale.new).await
    }

    /// The files of the chunks, in a range, of the table that had the name when this run began.
    pub(super) async fn chunk_files(&self, target: &Target, range: Range) -> Result<Vec<ChunkFile>> {
        let id = self.ground.found.row.id;
        read::chunk_files(target, self.ground.server(), id, range.from, range.until).await
    }
}

//! The first copy: the old table's rows, range by range, inside the server.

use std::time::Instant;

use futures_util::future::try_join_all;

use super::planned::Planned;
use super::work::Work;
use crate::catalog::{Chunk, read};
use crate::connect::Target;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::ident::QualifiedName;
use crate::ledger::{self, Counted, NotedChunk, Taken};
use crate::plan::{Point, Range, Task};
use crate::progress;
use crate::reader::cells::boundaries;
use crate::reader::snapshot::Shares;
use crate::schema;

/// A task that feeds more chunks than this goes through the hypertable: each statement reads its part of the old chunks by
/// itself.
const MOST_CHUNKS_BY_NAME: usize = 8;

impl Work<'_> {
    /// Copies whatever the ledger lacks. `planned` says where rows are.
    pub(super) async fn copy_all(&self, planned: &Planned, first_task: i32) -> Result<()> {
        let start = Instant::now();
        let chunks = self.make_chunks(&planned.rows.points).await?;
        let tasks = planned.rows.tasks(&Shares::All, &boundaries(&chunks), first_task);
        let progress = &self.supervision().progress;
        let rows = tasks.iter().map(|task| task.rows).sum();
        progress.plan(progress::Planned { rows, tasks: tasks.len() as u64, bytes: 0 });
        progress.phase("copying");
        let copy = async |task: &Task| {
            self.throttle.pass(task.rows, task.bytes, &self.supervision().interrupt).await?;
            self.sessions.with(async |target| self.copy_task(target, task, planned, &chunks).await).await
        };
        try_join_all(tasks.iter().map(copy)).await?;
        self.refuse_gaps().await?;
        self.phase("copy", start);
        Ok(())
    }

    async fn make_chunks(&self, points: &[Point]) -> Result<Vec<Chunk>> {
        let (target, server, beside) = (&self.ground.target, self.ground.server(), self.plan.beside());
        let there = self.new_chunks().await?;
        let missing = self.plan.layout.missing_points(points, &there);
        if missing.is_empty() {
            return Ok(there);
        }
        let _open = self.supervision().interrupt.open()?;
        self.supervision().progress.phase(format!("making {} chunks", missing.len()));
        schema::make_chunks(target, server, &beside, &self.plan.layout, &missing).await?;
        self.new_chunks().await
    }

    /// The chunks of the new table, while it is beside the old one.
    pub(super) async fn new_chunks(&self) -> Result<Vec<Chunk>> {
        let (target, beside) = (&self.ground.target, self.plan.beside());
        match read::hypertable_row(target, &beside).await? {
            Some(row) => read::chunks(target, self.ground.server(), row.id).await,
            None => Err(Error::internal(format!("{beside} is no hypertable any more"))),
        }
    }

    /// One range, under one snapshot: its rows, and the marks of changes that this snapshot has seen.
    async fn copy_task(&self, target: &Target, task: &Task, planned: &Planned, chunks: &[Chunk]) -> Result<()> {
        let (progress, job) = (&self.supervision().progress, self.claim.job);
        let rows = self
            .under_one_snapshot(target, async || {
                failpoint::hit("before-claim");
                if ledger::take_task(target, self.claim, task).await? == Taken::Already {
                    return Ok(0);
                }
                self.note_chunks(target, task.range).await?;
                let marks = format!(
                    "delete from {} where {}",
                    self.plan.capture.marks().sql(),
                    self.plan.capture.buckets.inside(task.range)
                );
                target.execute(&marks, &[]).await?;
                let mut rows = 0;
                for (into, range) in self.pieces(task, planned, chunks) {
                    rows += target.execute(&self.insert(&into, range), &[]).await?;
                    failpoint::hit("mid-copy");
                }
                let counted = Counted { rows, checksum: None };
                ledger::complete_task(target, job, task.id, task.bytes, &counted, "").await?;
                failpoint::hit("before-commit");
                Ok(rows)
            })
            .await?;
        failpoint::hit("after-commit");
        progress.add_rows(rows, task.bytes);
        progress.add_task();
        Ok(())
    }

    /// What the transaction's snapshot shows of the old chunks in a range.
    async fn note_chunks(&self, target: &Target, range: Range) -> Result<()> {
        let files = self.chunk_files(target, range).await?;
        let noted: Vec<NotedChunk> = files.into_iter().map(|chunk| NotedChunk { range, chunk }).collect();
        ledger::note_chunks(target, self.claim.job, &noted).await
    }

    /// Where each part of a task goes: straight into a chunk where only the time tells which, and through the hypertable
    /// where there was no chunk when the chunks were made, or where several dimensions decide.
    fn pieces(&self, task: &Task, planned: &Planned, chunks: &[Chunk]) -> Vec<(QualifiedName, Range)> {
        let layout = &self.plan.layout;
        let mut homes: Vec<&Chunk> = chunks.iter().filter(|chunk| task.range.overlaps(chunk.primary())).collect();
        homes.sort_unstable_by_key(|chunk| chunk.primary());
        let by_time = layout.open.is_empty() && layout.closed.is_empty();
        let most = if planned.indexed { MOST_CHUNKS_BY_NAME } else { 1 };
        if !by_time || homes.len() > most {
            return vec![(self.plan.beside(), task.range)];
        }
        let part = |chunk: &&Chunk| task.range.intersect(Range::of(chunk.primary()));
        let gaps = task.range.without(homes.iter().map(part)).into_iter().map(|gap| (self.plan.beside(), gap));
        homes.iter().map(|chunk| (chunk.table(), part(chunk))).chain(gaps).collect()
    }

    /// The old table's rows of a range, into the new one or a chunk of it.
    pub(super) fn insert(&self, into: &QualifiedName, range: Range) -> String {
        let (columns, primary) = (&self.columns, &self.plan.layout.primary);
        format!(
            "insert into {} ({columns}) overriding system value select {columns} from {}{}",
            into.sql(),
            self.plan.table.sql(),
            primary.filter(range)
        )
    }

    /// What is done has to be the whole axis, without a gap and without an overlap.
    async fn refuse_gaps(&self) -> Result<()> {
        let done = ledger::done_tasks(&self.ground.target, self.claim.job).await?;
        let gaps = Range::ALL.without(done.iter().map(|task| task.range));
        let overlaps = done.windows(2).any(|pair| pair[0].range.until != pair[1].range.from);
        match gaps.is_empty() && !overlaps {
            true => Ok(()),
            false => {
                Err(Error::internal(format!("the ledger's tasks of job {} do not tile the axis", self.claim.job.0)))
            }
        }
    }
}

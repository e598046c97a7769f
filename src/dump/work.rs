//! Does what was planned: compare, copy, settle, verify, complete.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;

use super::compare::Compared;
use super::planned::{Planned, divided};
use super::report::DumpReport;
use super::request::Request;
use super::schema::schema_sql;
use crate::archive::{Archive, Directory, Manifest, Partial, Unfinished};
use crate::check;
use crate::connect::{Backend, Reader};
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::ledger::{self, Counted};
use crate::pipeline::{self, Copy, Ended, Pair, Queues, Work as Errand};
use crate::plan::Task;
use crate::progress;
use crate::reader::cells::{Rows, boundaries};
use crate::reader::door::Doors;
use crate::reader::snapshot::Snapshot;
use crate::report::{LatencyReport, ResumeReport};
use crate::supervision::Supervision;
use crate::verify::Mode;
use crate::vigil::Vigil;
use crate::writer::archive::{Destination, blocking};

/// The definition for people.
const SCHEMA: &str = "schema.sql";

/// Who is served, who watches, and what they were asked for.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) request: &'a Request,
    pub(super) supervision: &'a Supervision,
    pub(super) vigil: &'a Vigil,
}

/// One run of a dump.
pub(super) struct Work<'a> {
    pub(super) run: Run<'a>,
    pub(super) planned: &'a Planned,
    pub(super) base: Option<Arc<Archive>>,
    pub(super) directory: Arc<Directory>,
    pub(super) partial: Arc<Partial>,
}

impl Work<'_> {
    /// Does all of it.
    pub(super) async fn run(&self, mut snapshot: Snapshot, report: &mut DumpReport) -> Result<()> {
        let (pairs, doors) = self.pairs(&mut snapshot);
        let (pairs, compared) = self.compare(&snapshot, &doors, pairs, report).await?;
        self.copy(&snapshot, &doors, pairs, &compared, report).await?;
        drop(snapshot);
        failpoint::hit("before-settle");
        let manifest = self.settle()?;
        report.hold(&manifest);
        self.verify(&manifest, report).await?;
        failpoint::hit("before-finish");
        self.run.supervision.interrupt.check()?;
        self.partial.sweep()?;
        self.directory.store(SCHEMA, schema_sql(&manifest, &self.planned.layout).as_bytes())?;
        self.partial.complete(&manifest)?;
        self.run.supervision.progress.phase("finished");
        report.finish();
        Ok(())
    }

    /// A door for each worker, and whoever opens them again.
    fn pairs(&self, snapshot: &mut Snapshot) -> (Vec<Pair<()>>, Doors) {
        let Planned { source, layout, wire, .. } = self.planned;
        let (open, doors) = Doors::of_snapshot(snapshot, source, &layout.primary, wire.format);
        (open.into_iter().map(|door| Pair { door, target: () }).collect(), doors)
    }

    async fn compare(
        &self,
        snapshot: &Snapshot,
        doors: &Doors,
        pairs: Vec<Pair<()>>,
        report: &mut DumpReport,
    ) -> Result<(Vec<Pair<()>>, Compared)> {
        let candidates = &self.planned.candidates;
        if candidates.is_empty() {
            return Ok((pairs, Compared::default()));
        }
        let start = Instant::now();
        let task = |(number, range)| self.planned.rows.task(number, range);
        let tasks: Vec<Task> = candidates.iter().map(|found| task((found.number, found.segment.range))).collect();
        self.run.supervision.progress.phase(format!("comparing {} segments with the source", tasks.len()));
        let queues = Queues::of(&snapshot.shares, &tasks);
        let Ended { pairs, counted, .. } = pipeline::run(self.plan(doors), pairs, queues, Errand::Count).await?;
        let compared = self.settle_candidates(&latest(counted)).await?;
        let done = candidates.iter().filter(|candidate| !candidate.is_of_base).count();
        if done > 0 {
            report.resumed = Some(ResumeReport { done, compared: done, copied_again: compared.changed_done });
        }
        report.phase("compare with the source", start);
        Ok((pairs, compared))
    }

    async fn copy(
        &self,
        snapshot: &Snapshot,
        doors: &Doors,
        pairs: Vec<Pair<()>>,
        compared: &Compared,
        report: &mut DumpReport,
    ) -> Result<()> {
        let start = Instant::now();
        let tasks = self.tasks(snapshot, &pairs, compared).await?;
        let progress = &self.run.supervision.progress;
        let rows = tasks.iter().map(|task| task.rows).sum();
        progress.plan(progress::Planned { rows, tasks: tasks.len() as u64, bytes: 0 });
        progress.phase("copying");
        let queues = Queues::of(&snapshot.shares, &tasks);
        let ended = pipeline::run(self.plan(doors), pairs, queues, Errand::Copy).await?;
        report.phase("copy", start);
        report.latency = Some(LatencyReport::of(&ended.meters));
        Ok(())
    }

    /// What is in no segment yet, or not as it is now.
    async fn tasks(&self, snapshot: &Snapshot, pairs: &[Pair<()>], compared: &Compared) -> Result<Vec<Task>> {
        let mut tasks = self.planned.tasks(snapshot);
        let again = compared.again.iter().map(|(number, range)| self.planned.rows.task(*number, *range));
        tasks.extend(again);
        if !compared.open.is_empty() {
            let workers: Vec<&Reader> = pairs.iter().filter_map(|pair| pair.door.session()).collect();
            let ranges = divided(compared.open.clone(), &self.planned.chunks);
            let rows = Rows::find(&self.planned.ground(), snapshot, &workers, ranges).await?;
            let next = tasks.iter().map(|task| task.id + 1).max().unwrap_or_default().max(self.planned.next);
            tasks.extend(rows.tasks(&snapshot.shares, &boundaries(&self.planned.chunks), next));
        }
        Ok(tasks)
    }

    fn plan(&self, doors: &Doors) -> Arc<Copy<Destination>> {
        let Run { request, supervision, vigil } = self.run;
        let header = &self.planned.header;
        let columns: Vec<String> = header.columns.iter().map(|column| column.name.clone()).collect();
        Arc::new(Copy {
            destination: Destination {
                directory: Arc::clone(&self.directory),
                partial: Arc::clone(&self.partial),
                format: header.format,
                compression: header.compression,
                columns: columns.clone(),
                primary: self.planned.layout.primary.clone(),
                coordinate: self.planned.coordinate,
            },
            wire: self.planned.wire.clone(),
            columns,
            layout: self.planned.layout.clone(),
            // A segment has rows in any order.
            target_chunks: Vec::new(),
            buffer_bytes: usize::MAX,
            progress: Arc::clone(&supervision.progress),
            interrupt: supervision.interrupt.clone(),
            retry_for: request.retry_for,
            turn: tokio::sync::Semaphore::new(1),
            vigil: vigil.clone(),
            reopen: reopen(doors.clone(), supervision.clone()),
            follow: None,
        })
    }

    /// What the ledger on the disk says is what was done: it has to be the whole range, and what we read ourselves.
    fn settle(&self) -> Result<Manifest> {
        let lost = || Error::internal(format!("the ledger in {} is gone", self.directory.path().display()));
        let done = Unfinished::look(&self.directory)?.ok_or_else(lost)?;
        let mut manifest = self.planned.header.clone();
        manifest.segments = done.segments.into_values().collect();
        manifest.segments.sort_by_key(|segment| segment.range.from);
        Manifest::parse(&manifest.to_json()?)
            .map_err(|error| Error::internal("the archive's manifest would not be read again").caused_by(error))
    }

    /// Reads what was written again, as far as that was asked for.
    async fn verify(&self, manifest: &Manifest, report: &mut DumpReport) -> Result<()> {
        let (start, mode) = (Instant::now(), self.run.request.verify);
        report.verified = Some(mode.name().to_string());
        self.run.supervision.progress.phase(format!("verifying by {}", mode.name()));
        let directory = Directory::open(self.directory.path())?;
        let archive = Archive { directory, manifest: manifest.clone() };
        match mode {
            Mode::None => return Ok(()),
            Mode::Counts => archive.check_files().map_err(not_as_written)?,
            Mode::Checksum => self.reread(archive).await?,
        }
        report.phase("verify", start);
        Ok(())
    }

    /// What is bad is forgotten, so that the same command writes it anew.
    async fn reread(&self, archive: Archive) -> Result<()> {
        let files: Vec<String> = archive.manifest.segments.iter().map(|segment| segment.file.clone()).collect();
        let progress = Arc::clone(&self.run.supervision.progress);
        let interrupt = self.run.supervision.interrupt.clone();
        let jobs = self.run.request.jobs;
        let bad = check::segments(archive, jobs, progress, interrupt).await?;
        for (segment, _) in &bad {
            let (partial, file) = (Arc::clone(&self.partial), files[*segment].clone());
            blocking(move || partial.forget(&file)).await?;
        }
        bad.into_iter().next().map_or(Ok(()), |(_, error)| Err(not_as_written(error)))
    }
}

/// The input of others is bad; ours is what the disk has made of it.
fn not_as_written(error: Error) -> Error {
    error.with_kind(Kind::Target).hint("What was written is not what is read: look at the disk of the archive.")
}

/// A task that was tried again was counted more than once; the last one counts.
fn latest(counted: Vec<(i32, Counted)>) -> Vec<(i32, Counted)> {
    let by_number: std::collections::BTreeMap<i32, Counted> = counted.into_iter().collect();
    by_number.into_iter().collect()
}

fn reopen(doors: Doors, supervision: Supervision) -> pipeline::Reopen<()> {
    Box::new(move |number, lost: Vec<Backend>| -> BoxFuture<'static, Result<Option<Pair<()>>>> {
        let (doors, supervision) = (doors.clone(), supervision.clone());
        Box::pin(async move {
            let Some(door) = doors.open(number).await? else { return Ok(None) };
            if let Some(session) = door.session() {
                ledger::end_backends(session, &lost).await?;
                supervision.watch(session);
            }
            Ok(Some(Pair { door, target: () }))
        })
    })
}

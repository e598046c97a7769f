//! The conductor of `archive check`: whether the segments of an archive are what its manifest says. Every byte is read, and
//! no server is asked.
//!
//! **Invariant:** writes nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::future::try_join_all;
use serde::Serialize;

use crate::archive::{Archive, ArchiveId};
use crate::error::{Error, Kind, Result};
use crate::interrupt::Interrupt;
use crate::plan::{Range, Read};
use crate::progress::{Planned, Progress};
use crate::reader::archive::Segments;
use crate::report::RunReport;
use crate::supervision::Supervision;
use crate::writer::archive::blocking;

/// The report of one check.
#[derive(Debug, Default, Serialize)]
pub struct CheckReport {
    /// What every run tells.
    #[serde(flatten)]
    pub run: RunReport,
    /// Where the archive is.
    pub archive: String,
    /// What tells it from every other one.
    pub archive_id: Option<ArchiveId>,
    /// Its segments.
    pub segments: usize,
    /// Their rows, by the manifest.
    pub rows: u64,
    /// Their bytes once they are decompressed, by the manifest.
    pub bytes: u64,
    /// Segments that are not what the manifest says.
    pub damaged: Vec<DamageReport>,
}

/// A segment that is not what the manifest says.
#[derive(Debug, Serialize)]
pub struct DamageReport {
    /// Its file.
    pub file: String,
    /// The range of its rows.
    pub range: String,
    /// What is wrong with it.
    pub message: String,
}

impl std::ops::Deref for CheckReport {
    type Target = RunReport;

    fn deref(&self) -> &RunReport {
        &self.run
    }
}

impl std::ops::DerefMut for CheckReport {
    fn deref_mut(&mut self) -> &mut RunReport {
        &mut self.run
    }
}

/// Checks the archive in a directory, with so many threads.
///
/// # Errors
/// [`Kind::Input`] where it is no archive, and where one of its segments is not what the manifest says; the report names
/// all of them.
pub async fn check(path: &Path, threads: usize, supervision: &Supervision, report: &mut CheckReport) -> Result<()> {
    let start = Instant::now();
    report.archive = path.display().to_string();
    let archive = Archive::open(path)?;
    let manifest = archive.manifest.clone();
    (report.archive_id, report.segments) = (Some(manifest.id.clone()), manifest.segments.len());
    (report.rows, report.bytes) = (manifest.rows(), manifest.segments.iter().map(|segment| segment.bytes).sum());
    let progress = &supervision.progress;
    progress.plan(Planned { rows: report.rows, tasks: report.segments as u64, bytes: 0 });
    progress.phase("reading");
    let bad = segments(archive, threads, Arc::clone(progress), supervision.interrupt.clone()).await?;
    report.phase("read", start);
    let time_type = manifest.time_type()?;
    report.damaged = bad
        .iter()
        .map(|(segment, error)| DamageReport {
            file: manifest.segments[*segment].file.clone(),
            range: manifest.segments[*segment].range.display(time_type),
            message: error.summary(),
        })
        .collect();
    match bad.len() {
        0 => Ok(()),
        count => Err(Error::new(
            Kind::Input,
            format!("{count} of {} segments of {} are not what its manifest says", report.segments, path.display()),
        )
        .hint("Bring the files back from another copy of the archive, or dump again.")),
    }
}

/// Reads all segments in so many threads; answers those that are not what the manifest says, by their places in it, and why.
///
/// Dropping the future leaves the threads at the segments that they have begun.
///
/// # Errors
/// [`Kind::Signal`] when a stop is asked for meanwhile, [`Kind::Internal`] for a defect of ours.
pub async fn segments(
    archive: Archive,
    threads: usize,
    progress: Arc<Progress>,
    interrupt: Interrupt,
) -> Result<Vec<(usize, Error)>> {
    let segments = Arc::new(Segments::unseen(archive)?);
    let next = Arc::new(AtomicUsize::new(0));
    let search = async || {
        let (segments, next) = (Arc::clone(&segments), Arc::clone(&next));
        let (progress, interrupt) = (Arc::clone(&progress), interrupt.clone());
        blocking(move || search(&segments, &next, &progress, &interrupt)).await
    };
    let mut bad: Vec<(usize, Error)> =
        try_join_all((0..threads).map(|_| search())).await?.into_iter().flatten().collect();
    bad.sort_by_key(|(segment, _)| *segment);
    Ok(bad)
}

fn search(
    segments: &Segments,
    next: &AtomicUsize,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<Vec<(usize, Error)>> {
    let mut bad = Vec::new();
    loop {
        let segment = next.fetch_add(1, Ordering::Relaxed);
        let Some(expected) = segments.archive().manifest.segments.get(segment) else { return Ok(bad) };
        interrupt.check()?;
        match read(segments, segment) {
            Ok(()) => progress.add_rows(expected.rows, expected.bytes),
            Err(error) if error.kind() == Kind::Input => bad.push((segment, error)),
            Err(error) => return Err(error),
        }
        progress.add_task();
    }
}

fn read(segments: &Segments, segment: usize) -> Result<()> {
    let mut rows = segments.open(&Read { chunk: segment, range: Range::ALL })?;
    while rows.next(|_| ())? {}
    rows.finish().map(drop)
}

//! What archives say of themselves, for people and programs: a list of those in a directory, and one of them.
//!
//! **Invariant:** reads manifests and ledgers of dumps, and no segment.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::archive::{ArchiveId, Base, Directory, MANIFEST, Manifest, PARTIAL, Segment, Unfinished};
use crate::error::{Error, Kind, Result};
use crate::pgcopy::TimeType;
use crate::plan::{Layout, Partitioning, Range};

/// One archive, in a list.
#[derive(Debug, Serialize)]
pub struct ArchiveReport {
    /// Where it is.
    pub path: String,
    /// What tells it from every other one.
    pub id: ArchiveId,
    /// Whether all of it is there; a dump that was interrupted, or is at work, has left what it has.
    pub complete: bool,
    /// The table.
    pub table: String,
    /// The database that it was read from.
    pub database: String,
    /// The server, in words.
    pub version: String,
    /// When the snapshot was taken.
    pub snapshot_at: String,
    /// The range that was asked for.
    pub range: String,
    /// Where the rows lie, as far as segments tell.
    pub rows_range: Option<String>,
    /// Rows.
    pub rows: u64,
    /// Segments.
    pub segments: usize,
    /// Bytes of their files.
    pub file_bytes: u64,
    /// Their bytes once they are decompressed.
    pub bytes: u64,
    /// The archive that it is built on.
    pub base: Option<Base>,
    /// Segments that are the base's.
    pub reused_segments: usize,
    /// Bytes of their files.
    pub reused_file_bytes: u64,
}

/// What cannot be read in a directory of archives.
#[derive(Debug, Serialize)]
pub struct Unreadable {
    /// Where it is.
    pub path: String,
    /// Why it cannot be read.
    pub message: String,
}

/// The archives in a directory.
#[derive(Debug, Serialize)]
pub struct ArchiveList {
    /// By their paths.
    pub archives: Vec<ArchiveReport>,
    /// Those that are damaged.
    pub unreadable: Vec<Unreadable>,
}

/// All that one archive says.
#[derive(Debug, Serialize)]
pub struct ArchiveDetails {
    /// What a list says of it.
    #[serde(flatten)]
    pub report: ArchiveReport,
    /// hypercopy's version.
    pub hypercopy: String,
    /// The table's dimensions, in words.
    pub layout: String,
    /// Columns with their types.
    pub columns: Vec<String>,
    /// What segments hold.
    pub format: String,
    /// Why they are not binary.
    pub format_reason: Option<String>,
    /// How they are compressed.
    pub compression: String,
    /// Encoding of all text in them.
    pub encoding: String,
    /// The segments, along the axis.
    pub parts: Vec<SegmentReport>,
}

/// A segment.
#[derive(Debug, Serialize)]
pub struct SegmentReport {
    /// Its file.
    pub file: String,
    /// Its range.
    pub range: String,
    /// Rows.
    pub rows: u64,
    /// Bytes once it is decompressed.
    pub bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Whether it is the base's.
    pub reused: bool,
}

/// An archive, however far its dump is.
struct Found {
    path: PathBuf,
    manifest: Manifest,
    is_complete: bool,
}

/// Lists the archives right below a directory, or the one that it is itself.
///
/// # Errors
/// [`Kind::Input`] where it cannot be looked into.
pub fn list(parent: &Path) -> Result<ArchiveList> {
    let mut list = ArchiveList { archives: Vec::new(), unreadable: Vec::new() };
    for path in candidates(parent)? {
        match find(&path).and_then(|found| found.as_ref().map(report).transpose()) {
            Ok(found) => list.archives.extend(found),
            Err(error) => {
                list.unreadable.push(Unreadable { path: path.display().to_string(), message: error.summary() })
            }
        }
    }
    Ok(list)
}

/// Shows one archive.
///
/// # Errors
/// [`Kind::Input`] where there is none, or what there is cannot be read.
pub fn show(path: &Path) -> Result<ArchiveDetails> {
    let none = || {
        Error::new(Kind::Input, format!("{} is no archive", path.display()))
            .hint("\"hypercopy archive list\" lists the archives in a directory.")
    };
    let found = find(path)?.ok_or_else(none)?;
    let (manifest, time_type) = (&found.manifest, found.manifest.time_type()?);
    let table = &manifest.definition.hypertable;
    let layout = Layout::resolve(table, &Partitioning::default(), &manifest.server.encoding)?;
    let part = |segment: &Segment| segment_report(segment, time_type);
    Ok(ArchiveDetails {
        report: report(&found)?,
        hypercopy: manifest.hypercopy.clone(),
        layout: layout.describe(),
        columns: manifest.columns.iter().map(|column| format!("{} {}", column.name, column.type_name)).collect(),
        format: manifest.format.name().to_string(),
        format_reason: manifest.format_reason.clone(),
        compression: manifest.compression.to_string(),
        encoding: manifest.encoding.clone(),
        parts: manifest.segments.iter().map(part).collect(),
    })
}

fn candidates(parent: &Path) -> Result<Vec<PathBuf>> {
    let names = Directory::open(parent)?.names().map_err(|error| {
        Error::new(Kind::Input, format!("could not look into {}", parent.display())).caused_by(error).given_up()
    })?;
    let mut paths: Vec<PathBuf> = names.iter().map(|name| parent.join(name)).filter(|path| path.is_dir()).collect();
    paths.push(parent.to_path_buf());
    paths.sort();
    Ok(paths)
}

fn find(path: &Path) -> Result<Option<Found>> {
    let directory = Directory::open(path)?;
    let found = |manifest, is_complete| Some(Found { path: path.to_path_buf(), manifest, is_complete });
    if directory.size(MANIFEST).is_ok() {
        return Ok(found(Manifest::read(&directory)?, true));
    }
    if directory.size(PARTIAL).is_err() {
        return Ok(None);
    }
    let unfinished = Unfinished::look(&directory)?;
    Ok(unfinished.and_then(|Unfinished { mut manifest, segments }| {
        manifest.segments = segments.into_values().collect();
        manifest.segments.sort_by_key(|segment| segment.range.from);
        found(manifest, false)
    }))
}

fn report(found: &Found) -> Result<ArchiveReport> {
    let Found { path, manifest, is_complete } = found;
    let time_type = manifest.time_type()?;
    let sum = |of: fn(&Segment) -> u64| manifest.segments.iter().map(of).sum();
    let reused = || manifest.segments.iter().filter(|segment| segment.reused);
    Ok(ArchiveReport {
        path: path.display().to_string(),
        id: manifest.id.clone(),
        complete: *is_complete,
        table: manifest.definition.hypertable.name().to_string(),
        database: manifest.server.database.clone(),
        version: manifest.server.version(),
        snapshot_at: manifest.snapshot_at.clone(),
        range: manifest.asked.range.display(time_type),
        rows_range: rows_range(&manifest.segments).map(|range| range.display(time_type)),
        rows: manifest.rows(),
        segments: manifest.segments.len(),
        file_bytes: sum(|segment| segment.file_bytes),
        bytes: sum(|segment| segment.bytes),
        base: manifest.base.clone(),
        reused_segments: reused().count(),
        reused_file_bytes: reused().map(|segment| segment.file_bytes).sum(),
    })
}

/// From the first segment with rows to the last one; none without rows.
fn rows_range(segments: &[Segment]) -> Option<Range> {
    let full = || segments.iter().filter(|segment| segment.rows > 0);
    let (first, last) = (full().next()?, full().next_back()?);
    Some(Range { from: first.range.from, until: last.range.until })
}

fn segment_report(segment: &Segment, time_type: TimeType) -> SegmentReport {
    SegmentReport {
        file: segment.file.clone(),
        range: segment.range.display(time_type),
        rows: segment.rows,
        bytes: segment.bytes,
        file_bytes: segment.file_bytes,
        reused: segment.reused,
    }
}

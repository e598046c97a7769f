//! What a run will do, computed from what the snapshot shows.

use super::base;
use super::place::Standing;
use super::report::DumpPlanReport;
use super::request::{Request, RowFormat};
use super::sample;
use crate::archive::{
    Archive, ArchiveId, Asked, Definition, Directory, FORMAT_VERSION, Manifest, Segment, SegmentColumn, SegmentFormat,
};
use crate::catalog::{Chunk, Hypertable, NotCarried};
use crate::error::{Error, Result};
use crate::ident::display_ident;
use crate::look::{Bounds, Found};
use crate::pgcopy::Coordinate;
use crate::plan::{Layout, Partitioning, Range, Task, Wire, archive_obstacle, losses, primary_dimension};
use crate::reader::cells::{Ground, Rows, boundaries};
use crate::reader::snapshot::Snapshot;

/// Everything that was decided.
pub(super) struct Planned {
    pub(super) source: Hypertable,
    pub(super) layout: Layout,
    pub(super) bounds: Bounds,
    pub(super) wire: Wire,
    /// Where rows have the values of the primary dimension; none where only the server knows them.
    pub(super) coordinate: Option<Coordinate>,
    /// What the archive will be; without segments.
    pub(super) header: Manifest,
    /// What may be in it already, to be compared with the source.
    pub(super) candidates: Vec<Candidate>,
    /// Where rows are that no candidate has.
    pub(super) rows: Rows,
    /// The range's chunks.
    pub(super) chunks: Vec<Chunk>,
    pub(super) not_carried: Vec<NotCarried>,
    jobs: usize,
    /// The number of the first segment that nobody has begun.
    pub(super) next: i32,
}

/// A segment that stays if the source holds the same rows.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) number: i32,
    pub(super) segment: Segment,
    /// Whether it is the base's, and not yet in the archive.
    pub(super) is_of_base: bool,
}

/// No limit to the chunks of a table that is there.
const ANY_NUMBER_OF_CHUNKS: u64 = i64::MAX as u64 - 1;
/// A segment is what is compared, kept, and written again where one row has changed.
const MOST_SEGMENT_BYTES: u64 = 128 << 20;

/// What may be in the archive already: what earlier runs have written, and what the base has of the rest.
pub(super) fn candidates(standing: &Standing, base: Option<&Archive>, bounds: Range) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = match standing {
        Standing::Unfinished(unfinished) => unfinished
            .segments
            .iter()
            .map(|(number, segment)| Candidate { number: *number, segment: segment.clone(), is_of_base: false })
            .collect(),
        Standing::New | Standing::Finished(_) | Standing::Forgotten(_) => Vec::new(),
    };
    let first = candidates.iter().map(|candidate| candidate.number).max().unwrap_or_default() + 1;
    let done: Vec<Range> = candidates.iter().map(|candidate| candidate.segment.range).collect();
    let is_free =
        |range: Range| bounds.intersect(range) == range && done.iter().all(|done| done.intersect(range).is_empty());
    let of_base = base.into_iter().flat_map(|base| &base.manifest.segments);
    let usable = of_base.filter(|segment| is_free(segment.range));
    candidates.extend((first..).zip(usable).map(|(number, segment)| Candidate {
        number,
        segment: segment.clone(),
        is_of_base: true,
    }));
    candidates.sort_by_key(|candidate| candidate.segment.range.from);
    candidates
}

impl Planned {
    pub(super) async fn make(
        request: &Request,
        found: &Found,
        snapshot: &Snapshot,
        bounds: Bounds,
        standing: &Standing,
        base: Option<&Archive>,
        mut candidates: Vec<Candidate>,
    ) -> Result<Planned> {
        found.refuse_unreadable_chunks(&snapshot.chunks)?;
        let source = found.describe(&snapshot.leader).await?;
        let layout = Layout::resolve(&source, &Partitioning::default(), &found.server.encoding)?;
        let wire = decide(request, &source);
        let id = match standing {
            Standing::Unfinished(unfinished) => unfinished.manifest.id.clone(),
            _ => ArchiveId::random()?,
        };
        let mut header = Manifest {
            snapshot_at: snapshot.taken_at.clone(),
            id,
            ..header(request, found, &source, bounds.range, base)
        };
        header.definition = definition(snapshot, source.clone());
        match standing {
            Standing::Unfinished(unfinished) => refuse_differences(request, &unfinished.manifest, &header)?,
            Standing::Forgotten(manifest) => refuse_to_forget(request, manifest, &header)?,
            Standing::New | Standing::Finished(_) => {}
        }
        if base.is_some_and(|base| base::obstacle(&base.manifest, &header).is_some()) {
            candidates.retain(|candidate| !candidate.is_of_base);
        }
        let next = candidates.iter().map(|candidate| candidate.number).max().unwrap_or_default() + 1;
        let gaps = bounds.range.without(candidates.iter().map(|candidate| candidate.segment.range));
        let workers: Vec<_> = snapshot.workers.iter().collect();
        let ground = ground(&source, &layout, bounds.range, request.jobs);
        let rows = Rows::find(&ground, snapshot, &workers, divided(gaps, &snapshot.chunks)).await?;
        Ok(Planned {
            not_carried: losses(&source, source.name()),
            coordinate: layout.primary.coordinate(&source),
            layout,
            bounds,
            wire,
            header,
            candidates,
            rows,
            chunks: snapshot.chunks.clone(),
            source,
            jobs: request.jobs,
            next,
        })
    }

    pub(super) fn ground(&self) -> Ground<'_> {
        ground(&self.source, &self.layout, self.bounds.range, self.jobs)
    }

    /// Tasks over what no candidate has.
    pub(super) fn tasks(&self, snapshot: &Snapshot) -> Vec<Task> {
        self.rows.tasks(&snapshot.shares, &boundaries(&self.chunks), self.next)
    }

    /// The plan for people and programs.
    pub(super) async fn report(&self, request: &Request, found: &Found, snapshot: &Snapshot) -> Result<DumpPlanReport> {
        let tasks = self.tasks(snapshot);
        let estimated_rows = tasks.iter().map(|task| task.rows).sum();
        let archive_bytes = sample::archive_bytes(self, snapshot, estimated_rows).await?;
        let free_bytes = free_bytes(request);
        let (table, chunks) = (&found.table.name, self.chunks.len());
        Ok(DumpPlanReport {
            layout: self.layout.describe(),
            range: self.bounds.range.display(self.bounds.time_type),
            chunks,
            tasks: tasks.len(),
            done_tasks: self.candidates.iter().filter(|candidate| !candidate.is_of_base).count(),
            base_segments: self.candidates.iter().filter(|candidate| candidate.is_of_base).count(),
            estimated_rows,
            estimated_bytes: tasks.iter().map(|task| task.bytes).sum(),
            archive_bytes,
            free_bytes,
            format: self.header.format.name().to_string(),
            format_reason: self.header.format_reason.clone(),
            compression: self.header.compression.to_string(),
            source_locks: format!(
                "access share on {table} and {chunks} chunks, {} locks in {} sessions",
                snapshot.shares.locks(request.jobs, chunks),
                request.jobs + 1
            ),
            warnings: self.warnings(request, archive_bytes, free_bytes),
        })
    }

    fn warnings(&self, request: &Request, archive_bytes: Option<u64>, free_bytes: Option<u64>) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.source.has_index_on_primary() {
            warnings.push(format!(
                "no index begins with {}: every chunk is read in one piece",
                display_ident(&self.layout.primary.column)
            ));
        }
        if let (Some(needed), Some(free)) = (archive_bytes, free_bytes)
            && needed > free
        {
            warnings.push(format!("the archive will need about {needed} bytes, and {free} are free on its disk"));
        }
        if request.base.is_some() && self.candidates.is_empty() {
            warnings.push("nothing of the base can be taken over: its table, columns, encoding, format, compression or ranges are others".to_string());
        }
        warnings
    }
}

fn ground<'a>(source: &'a Hypertable, layout: &'a Layout, bounds: Range, jobs: usize) -> Ground<'a> {
    Ground { source, layout, bounds, max_new_chunks: ANY_NUMBER_OF_CHUNKS, jobs, most_task_bytes: MOST_SEGMENT_BYTES }
}

/// Ranges that no chunk reaches are ranges of their own: what comes there later is new, and leaves the segments beside it as
/// they are.
pub(super) fn divided(ranges: Vec<Range>, chunks: &[Chunk]) -> Vec<Range> {
    let starts = chunks.iter().map(|chunk| chunk.primary().start).min();
    let ends = chunks.iter().map(|chunk| chunk.primary().end).max();
    let cuts = [starts, ends].into_iter().flatten().filter(|cut| ![i64::MIN, i64::MAX].contains(cut));
    cuts.fold(ranges, |ranges, cut| ranges.into_iter().flat_map(|range| cut_at(range, cut)).collect())
}

fn cut_at(range: Range, cut: i64) -> Vec<Range> {
    let halves = [Range { until: Some(cut), ..range }, Range { from: Some(cut), ..range }];
    match range.contains(cut) && !halves[0].is_empty() {
        true => halves.to_vec(),
        false => vec![range],
    }
}

fn decide(request: &Request, source: &Hypertable) -> Wire {
    let obstacle = match request.format {
        RowFormat::Binary => archive_obstacle(&source.types),
        RowFormat::Csv => Some("CSV was asked for".to_string()),
    };
    let copied: Vec<_> = source.copied_columns().collect();
    Wire::decide(&copied, &source.types, obstacle)
}

/// What the archive will be, as far as that does not depend on a snapshot.
fn header(request: &Request, found: &Found, source: &Hypertable, range: Range, base: Option<&Archive>) -> Manifest {
    let wire = decide(request, source);
    let format = match (request.format, &wire.reason) {
        (RowFormat::Csv, _) => SegmentFormat::Csv,
        (RowFormat::Binary, None) => SegmentFormat::Binary,
        (RowFormat::Binary, Some(_)) => SegmentFormat::Text,
    };
    // Sessions speak UTF8, which a server converts to and from whatever it has, but for bytes that it knows nothing of.
    let encoding = if found.server.encoding == "SQL_ASCII" { "SQL_ASCII" } else { "UTF8" };
    Manifest {
        format_version: FORMAT_VERSION,
        hypercopy: env!("CARGO_PKG_VERSION").to_string(),
        id: ArchiveId::none(),
        base: base::origin(request, base),
        snapshot_at: String::new(),
        server: found.server.clone(),
        encoding: encoding.to_string(),
        asked: Asked { from: request.from.clone(), until: request.until.clone(), range },
        definition: Definition { hypertable: source.clone(), chunks: 0, compressed_chunks: 0, shapes: Vec::new() },
        columns: SegmentColumn::of(source),
        format,
        format_reason: (format == SegmentFormat::Text).then_some(wire.reason.clone()).flatten(),
        compression: request.compression,
        checksum_form: wire.form(),
        segments: Vec::new(),
    }
}

fn definition(snapshot: &Snapshot, hypertable: Hypertable) -> Definition {
    let compressed_chunks = snapshot.chunks.iter().filter(|chunk| chunk.compressed).count() as u64;
    let shapes = snapshot.chunks.iter().map(Chunk::shape).collect();
    Definition { hypertable, chunks: snapshot.chunks.len() as u64, compressed_chunks, shapes }
}

/// The archive is complete: it is the answer only to the request that it was made for.
pub(super) fn refuse_another_request(
    request: &Request,
    found: &Found,
    source: &Hypertable,
    range: Range,
    base: Option<&Archive>,
    manifest: &Manifest,
) -> Result<()> {
    refuse_differences(request, manifest, &header(request, found, source, range, base))
}

fn refuse_differences(request: &Request, was: &Manifest, is: &Manifest) -> Result<()> {
    let differences = differences(was, is)?;
    match differences.is_empty() {
        true => Ok(()),
        false => Err(Error::refused(format!(
            "{} holds a dump that was asked for otherwise: {}",
            request.output.display(),
            differences.join("; ")
        ))
        .hint("Run the command as it was, name another directory, or give up what is there with --restart.")),
    }
}

fn refuse_to_forget(request: &Request, was: &Manifest, is: &Manifest) -> Result<()> {
    match source_of(was) == source_of(is) {
        true => Ok(()),
        false => Err(Error::refused(format!("{} holds a dump of {}", request.output.display(), source_of(was)))
            .hint("--restart forgets only what was dumped of the same table. Name another directory.")),
    }
}

/// In what an archive differs from the request for another one, in words.
fn differences(was: &Manifest, is: &Manifest) -> Result<Vec<String>> {
    let table = &was.definition.hypertable;
    let time_type = primary_dimension(table.name(), &table.dimensions)?.time_type;
    let of = |manifest: &Manifest| {
        let Manifest { format, compression, base, encoding, .. } = manifest;
        let base = base.as_ref().map_or("none".to_string(), |base| base.id.to_string());
        [
            ("source", source_of(manifest)),
            ("range", manifest.asked.range.display(time_type)),
            ("columns", columns_of(manifest)),
            ("format", format.name().to_string()),
            ("compression", compression.to_string()),
            ("encoding", encoding.clone()),
            ("base", base),
        ]
    };
    let pairs = of(was).into_iter().zip(of(is));
    let differing = pairs.filter(|((_, was), (_, is))| was != is);
    Ok(differing.map(|((what, was), (_, is))| format!("{what}: {was} then, {is} now")).collect())
}

fn source_of(manifest: &Manifest) -> String {
    let Manifest { server, definition, .. } = manifest;
    format!("{} in database {} of cluster {}", definition.hypertable.name(), server.database, server.system)
}

fn columns_of(manifest: &Manifest) -> String {
    let column = |column: &SegmentColumn| {
        let collation = column.collation.as_ref().map(|name| format!(" collate {name}")).unwrap_or_default();
        format!("{} {}{collation}", column.name, column.type_name)
    };
    manifest.columns.iter().map(column).collect::<Vec<_>>().join(", ")
}

/// Of the directory, or of the one that it will be made in.
fn free_bytes(request: &Request) -> Option<u64> {
    let parent = request.output.parent().filter(|parent| !parent.as_os_str().is_empty());
    let places = [request.output.as_path(), parent.unwrap_or(std::path::Path::new("."))];
    let directory = places.iter().find_map(|place| Directory::open(place).ok())?;
    directory.free_bytes().ok()
}

//! Where the rows come from, and what is held of it while they are read: a table of a server, or an archive.
//!
//! **Invariant:** nothing else in the conductor knows which of the two it is; to the others a source is a definition,
//! places with rows, and doors to them.

use std::collections::HashMap;
use std::sync::Arc;

use super::planned::Planned;
use super::request::Origin;
use crate::archive::{Archive, Manifest, Segment};
use crate::catalog::{Chunk, ChunkShape, Estimate, Hypertable, Server, Table, Type};
use crate::connect::{Conninfo, Reader, Session, Side, Target};
use crate::error::{Error, Result};
use crate::ident::QualifiedName;
use crate::look::{Axis, Found, refuse_found_minus_infinity, refuse_minus_infinity};
use crate::pgcopy::Format;
use crate::pipeline::Pair;
use crate::plan::{Layout, Range, Wire};
use crate::reader::archive::{SegmentSurvey, Segments};
use crate::reader::cells::{Ground, Rows, Stretch};
use crate::reader::door::{Door, Doors};
use crate::reader::snapshot::{Shares, Snapshot, Subject};
use crate::report::EndReport;

/// A source that was looked at.
pub(super) enum Source {
    /// A table of the server that this leads to.
    Table(Box<Found>, Box<Conninfo>),
    /// An archive whose manifest was checked, and whose files are there.
    Archive(Arc<Segments>),
}

impl Source {
    pub(super) async fn look(origin: &Origin) -> Result<Source> {
        Ok(match origin {
            Origin::Table { conninfo, name } => {
                let found = Found::look(Side::Source, conninfo, "migrate look", name).await?;
                Source::Table(Box::new(found), conninfo.clone())
            }
            Origin::Archive(path) => Source::Archive(Arc::new(Segments::new(Archive::open(path)?)?)),
        })
    }

    pub(super) fn table(&self) -> &Table {
        match self {
            Source::Table(found, _) => &found.table,
            Source::Archive(segments) => &definition(segments).table,
        }
    }

    /// The server that it is on, or was on.
    pub(super) fn server(&self) -> &Server {
        match self {
            Source::Table(found, _) => &found.server,
            Source::Archive(segments) => &manifest(segments).server,
        }
    }

    /// The encoding of its database.
    pub(super) fn encoding(&self) -> &str {
        &self.server().encoding
    }

    /// What the ledger keeps of where it is: a cluster and a database; or an archive's id, and no database.
    pub(super) fn place(&self) -> (&str, &str) {
        match self {
            Source::Table(found, _) => (&found.server.system, &found.server.database),
            Source::Archive(segments) => (manifest(segments).id.as_str(), ""),
        }
    }

    /// Whether its table is in the database that `server` is of.
    pub(super) fn is_in(&self, server: &Server) -> bool {
        match self {
            Source::Table(found, _) => found.server.is_one_database_with(server),
            Source::Archive(_) => false,
        }
    }

    /// A session on its server, where it has one.
    pub(super) fn session(&self) -> Option<&Session> {
        match self {
            Source::Table(found, _) => Some(&found.session),
            Source::Archive(_) => None,
        }
    }

    /// Whoever reads values of its primary dimension: its own server, or else the target.
    pub(super) async fn axis<'a>(&'a self, target: &'a Target, server: &'a Server) -> Result<Axis<'a>> {
        match self {
            Source::Table(found, _) => found.axis().await,
            Source::Archive(segments) => {
                Ok(Axis { session: target, server, time_type: manifest(segments).time_type()? })
            }
        }
    }

    /// Its definition as it is now; once it is held, ask [`Hold::describe`].
    pub(super) async fn describe(&self) -> Result<Hypertable> {
        match self {
            Source::Table(found, _) => found.describe(&found.session).await,
            Source::Archive(segments) => Ok(definition(segments).clone()),
        }
    }

    /// How its rows travel to a target that has `types` of the same names.
    ///
    /// # Errors
    /// Refuses an archive whose rows the target could not read.
    pub(super) fn wire(&self, table: &Hypertable, types: &HashMap<QualifiedName, Vec<Type>>) -> Result<Wire> {
        let wire = Wire::of(table, |name| types.get(name).map(Vec::as_slice));
        let Source::Archive(segments) = self else { return Ok(wire) };
        match (segments.wire().format, wire.reason) {
            (Format::Binary, Some(reason)) => Err(Error::refused(format!(
                "the rows of the archive are binary, and the target cannot read them: {reason}"
            ))
            .hint("Make the archive with --format csv: its values are text.")),
            _ => Ok(segments.wire().clone()),
        }
    }

    pub(super) fn report(&self) -> EndReport {
        match self {
            Source::Table(found, _) => found.report(),
            Source::Archive(segments) => EndReport::new(
                &segments.archive().directory.path().display().to_string(),
                &self.table().name,
                &manifest(segments).server,
            ),
        }
    }

    /// Makes that it does not change any more. No two of so many workers will read parts of one of the ranges in
    /// `undivided`.
    pub(super) async fn hold(&self, jobs: usize, bounds: Range, undivided: &[Range]) -> Result<Hold> {
        match self {
            Source::Table(found, conninfo) => {
                let subject = Subject { undivided, ..found.subject(conninfo, jobs, bounds, "migrate") };
                let snapshot = Snapshot::take(&subject).await?;
                found.refuse_unreadable_chunks(&snapshot.chunks)?;
                Ok(Hold::Snapshot(Box::new(snapshot)))
            }
            Source::Archive(segments) => Ok(Hold::Archive(Arc::clone(segments))),
        }
    }
}

fn manifest(segments: &Segments) -> &Manifest {
    &segments.archive().manifest
}

fn definition(segments: &Segments) -> &Hypertable {
    &manifest(segments).definition.hypertable
}

/// A source that does not change as long as this lives.
pub(super) enum Hold {
    /// Of a table.
    Snapshot(Box<Snapshot>),
    /// An archive, which nobody changes.
    Archive(Arc<Segments>),
}

/// What a source holds in the range that was asked for.
pub(super) struct Stock {
    /// What it is read by: chunks, or segments.
    pub(super) parts: usize,
    /// How many chunks the table has, or had when it was put into an archive.
    pub(super) chunks: u64,
    /// What those are, as far as it is known.
    pub(super) shapes: Vec<ChunkShape>,
    /// How many of them have compressed rows.
    pub(super) compressed: u64,
    /// Bytes of indexes, as far as they are known.
    pub(super) index_bytes: u64,
}

impl Hold {
    /// When it was as it is.
    pub(super) fn taken_at(&self) -> &str {
        match self {
            Hold::Snapshot(snapshot) => &snapshot.taken_at,
            Hold::Archive(segments) => &manifest(segments).snapshot_at,
        }
    }

    /// The sessions that are not behind a door.
    pub(super) fn sessions(&self) -> Vec<&Reader> {
        match self {
            Hold::Snapshot(snapshot) => snapshot.workers.iter().chain([&snapshot.leader]).collect(),
            Hold::Archive(_) => Vec::new(),
        }
    }

    pub(super) fn shares(&self) -> &Shares {
        match self {
            Hold::Snapshot(snapshot) => &snapshot.shares,
            Hold::Archive(_) => &Shares::All,
        }
    }

    /// What is locked, in words; nothing of an archive.
    pub(super) fn locks(&self, table: &QualifiedName, jobs: usize) -> Option<String> {
        let Hold::Snapshot(snapshot) = self else { return None };
        let chunks = snapshot.chunks.len();
        let locks = snapshot.shares.locks(jobs, chunks);
        Some(format!("access share on {table} and {chunks} chunks, {locks} locks in {} sessions", jobs + 1))
    }

    pub(super) fn stock(&self, bounds: Range) -> Stock {
        match self {
            Hold::Snapshot(snapshot) => {
                let chunks: &[Chunk] = &snapshot.chunks;
                Stock {
                    parts: chunks.len(),
                    chunks: chunks.len() as u64,
                    shapes: chunks.iter().map(Chunk::shape).collect(),
                    compressed: chunks.iter().filter(|chunk| chunk.compressed).count() as u64,
                    index_bytes: chunks.iter().filter_map(|chunk| chunk.index_bytes).sum::<i64>() as u64,
                }
            }
            Hold::Archive(segments) => Stock {
                parts: segments.stretches().filter(|(stretch, _)| bounds.overlaps(stretch.slice)).count(),
                chunks: manifest(segments).definition.chunks,
                shapes: manifest(segments).definition.shapes.clone(),
                compressed: manifest(segments).definition.compressed_chunks,
                index_bytes: 0,
            },
        }
    }

    /// The source's definition.
    pub(super) async fn describe(&self, source: &Source) -> Result<Hypertable> {
        match (self, source) {
            (Hold::Snapshot(snapshot), Source::Table(found, _)) => found.describe(&snapshot.leader).await,
            _ => source.describe().await,
        }
    }

    /// Refuses rows at −infinity where the layout has no chunk for them; those of an archive once they are found.
    pub(super) async fn refuse_minus_infinity(
        &self,
        source: &Hypertable,
        layout: &Layout,
        bounds: Range,
    ) -> Result<()> {
        match self {
            Hold::Snapshot(snapshot) => refuse_minus_infinity(&snapshot.leader, source, layout, bounds).await,
            Hold::Archive(_) => Ok(()),
        }
    }

    /// Looks for rows in `ranges`, by the doors of `pairs` where they are open.
    pub(super) async fn rows(&self, ground: &Ground<'_>, pairs: &[Pair], ranges: Vec<Range>) -> Result<Rows> {
        match self {
            Hold::Snapshot(snapshot) => {
                let behind_doors = pairs.iter().filter_map(|pair| pair.door.session());
                let workers: Vec<&Reader> = snapshot.workers.iter().chain(behind_doors).collect();
                Rows::find(ground, snapshot, &workers, ranges).await
            }
            Hold::Archive(segments) => rows_of_segments(segments, ground, ranges).await,
        }
    }

    /// A door for each worker, and whoever opens them again.
    pub(super) fn doors(&mut self, planned: &Planned, jobs: usize) -> (Vec<Door>, Doors) {
        match self {
            Hold::Snapshot(snapshot) => {
                let Planned { source, layout, wire, .. } = planned;
                Doors::of_snapshot(snapshot, source, &layout.primary, wire.format)
            }
            Hold::Archive(segments) => {
                let doors = (0..jobs).map(|_| Door::Archive(Arc::clone(segments))).collect();
                (doors, Doors::Archive(Arc::clone(segments)))
            }
        }
    }
}

async fn rows_of_segments(segments: &Arc<Segments>, ground: &Ground<'_>, ranges: Vec<Range>) -> Result<Rows> {
    let stretch = |(chunk, segment): (_, &Segment)| Stretch {
        chunk,
        estimate: Estimate { bytes: segment.bytes, rows: segment.rows },
    };
    let stretches: Vec<Stretch> = segments.stretches().map(stretch).collect();
    let is_asked = |number: &usize| ranges.iter().any(|range| range.overlaps(stretches[*number].chunk.slice));
    let asked = (0..stretches.len()).filter(is_asked).collect();
    let survey = SegmentSurvey {
        segments: Arc::clone(segments),
        layout: ground.layout.clone(),
        bounds: ground.bounds,
        limit: ground.max_new_chunks,
    };
    let findings = survey.run(asked, ground.jobs).await?;
    if findings.iter().any(|finding| finding.values[0] == i64::MIN) {
        refuse_found_minus_infinity(ground.source, ground.layout)?;
    }
    Ok(Rows::of(ground, &stretches, &findings, ranges))
}

//! Where the rows come from, and what is held of it while they are read.
//!
//! **Invariant:** nothing else in the conductor knows what a source is made of; to the others it is a definition, places
//! with rows, and doors to them.

use std::sync::Arc;

use super::planned::Planned;
use super::request::{Origin, Request};
use crate::catalog::{Chunk, Hypertable, Server, Table, read};
use crate::connect::{Reader, Session, Side};
use crate::error::Result;
use crate::ident::QualifiedName;
use crate::look::{Axis, Found, refuse_minus_infinity};
use crate::pipeline::Pair;
use crate::plan::{Layout, Range, column_list};
use crate::reader::cells::{Ground, Rows};
use crate::reader::chunk::ChunkReader;
use crate::reader::door::{Door, Doors};
use crate::reader::snapshot::{Shares, Snapshot, Subject};
use crate::report::EndReport;

/// A source that was looked at.
pub(super) enum Source {
    /// A table of a server.
    Table(Box<Found>),
}

impl Source {
    pub(super) async fn look(origin: &Origin) -> Result<Source> {
        let Origin::Table { conninfo, name } = origin;
        Ok(Source::Table(Box::new(Found::look(Side::Source, conninfo, "migrate look", name).await?)))
    }

    pub(super) fn table(&self) -> &Table {
        let Source::Table(found) = self;
        &found.table
    }

    /// The encoding of its database.
    pub(super) fn encoding(&self) -> &str {
        let Source::Table(found) = self;
        &found.server.encoding
    }

    /// What the ledger keeps of where it is: a cluster and a database.
    pub(super) fn place(&self) -> (&str, &str) {
        let Source::Table(found) = self;
        (&found.server.system, &found.server.database)
    }

    pub(super) fn is_in(&self, server: &Server) -> bool {
        let Source::Table(found) = self;
        found.server.is_one_database_with(server)
    }

    /// A session on its server, where it has one.
    pub(super) fn session(&self) -> Option<&Session> {
        let Source::Table(found) = self;
        Some(&found.session)
    }

    pub(super) async fn axis(&self) -> Result<Axis<'_>> {
        let Source::Table(found) = self;
        found.axis().await
    }

    /// Its definition as it is now; once it is held, ask [`Hold::describe`].
    pub(super) async fn describe(&self) -> Result<Hypertable> {
        let Source::Table(found) = self;
        found.describe(&found.session).await
    }

    /// The `create function` statement of a function without arguments.
    pub(super) async fn function_definition(&self, function: &QualifiedName) -> Result<Option<String>> {
        let Source::Table(found) = self;
        read::function_definition(&found.session, function).await
    }

    pub(super) fn report(&self) -> EndReport {
        let Source::Table(found) = self;
        found.report()
    }

    /// Makes that it does not change any more. No two workers will read parts of one of the ranges in `undivided`.
    pub(super) async fn hold(&self, request: &Request, bounds: Range, undivided: &[Range]) -> Result<Hold> {
        let (Source::Table(found), Origin::Table { conninfo, .. }) = (self, &request.origin);
        let subject = Subject { undivided, ..found.subject(conninfo, request.jobs, bounds, "migrate") };
        let snapshot = Snapshot::take(&subject).await?;
        found.refuse_unreadable_chunks(&snapshot.chunks)?;
        Ok(Hold::Snapshot(Box::new(snapshot)))
    }
}

/// A source that does not change as long as this lives.
pub(super) enum Hold {
    /// Of a table.
    Snapshot(Box<Snapshot>),
}

/// What a source holds in the range that was asked for.
pub(super) struct Stock {
    /// Chunks.
    pub(super) parts: usize,
    /// Those with compressed rows.
    pub(super) compressed: usize,
    /// Bytes of their indexes.
    pub(super) index_bytes: u64,
}

impl Hold {
    /// When it was as it is.
    pub(super) fn taken_at(&self) -> &str {
        let Hold::Snapshot(snapshot) = self;
        &snapshot.taken_at
    }

    /// The sessions that are not behind a door.
    pub(super) fn sessions(&self) -> Vec<&Reader> {
        let Hold::Snapshot(snapshot) = self;
        snapshot.workers.iter().chain([&snapshot.leader]).collect()
    }

    pub(super) fn shares(&self) -> &Shares {
        let Hold::Snapshot(snapshot) = self;
        &snapshot.shares
    }

    /// What is locked, in words.
    pub(super) fn locks(&self, table: &QualifiedName, jobs: usize) -> String {
        let Hold::Snapshot(snapshot) = self;
        let chunks = snapshot.chunks.len();
        let locks = snapshot.shares.locks(jobs, chunks);
        format!("access share on {table} and {chunks} chunks, {locks} locks in {} sessions", jobs + 1)
    }

    pub(super) fn stock(&self) -> Stock {
        let Hold::Snapshot(snapshot) = self;
        let chunks: &[Chunk] = &snapshot.chunks;
        Stock {
            parts: chunks.len(),
            compressed: chunks.iter().filter(|chunk| chunk.compressed).count(),
            index_bytes: chunks.iter().filter_map(|chunk| chunk.index_bytes).sum::<i64>() as u64,
        }
    }

    /// The source's definition.
    pub(super) async fn describe(&self, source: &Source) -> Result<Hypertable> {
        let (Hold::Snapshot(snapshot), Source::Table(found)) = (self, source);
        found.describe(&snapshot.leader).await
    }

    /// Refuses rows at −infinity where the layout has no chunk for them.
    pub(super) async fn refuse_minus_infinity(
        &self,
        source: &Hypertable,
        layout: &Layout,
        bounds: Range,
    ) -> Result<()> {
        let Hold::Snapshot(snapshot) = self;
        refuse_minus_infinity(&snapshot.leader, source, layout, bounds).await
    }

    /// Looks for rows in `ranges`, by the doors of `pairs` where they are open.
    pub(super) async fn rows(&self, ground: &Ground<'_>, pairs: &[Pair], ranges: Vec<Range>) -> Result<Rows> {
        let Hold::Snapshot(snapshot) = self;
        let behind_doors = pairs.iter().filter_map(|pair| pair.door.session());
        let workers: Vec<&Reader> = snapshot.workers.iter().chain(behind_doors).collect();
        Rows::find(ground, snapshot, &workers, ranges).await
    }

    /// A door for each worker, and whoever opens them again.
    pub(super) fn doors(&mut self, planned: &Planned) -> (Vec<Door>, Doors) {
        let Hold::Snapshot(snapshot) = self;
        let chunks = Arc::new(ChunkReader {
            chunks: snapshot.chunks.clone(),
            columns: column_list(&planned.source),
            primary: planned.layout.primary.column.clone(),
            time_type: planned.layout.primary.time_type,
            format: planned.wire.format,
        });
        let door = |session| Door::Session { session, chunks: Arc::clone(&chunks) };
        let doors = std::mem::take(&mut snapshot.workers).into_iter().map(door).collect();
        (doors, Doors::Snapshot { rejoin: Box::new(snapshot.rejoin.clone()), chunks })
    }
}

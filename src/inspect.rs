//! What `inspect` tells: the hypertables of a database, or one of them.
//!
//! **Invariant:** reads only, without a snapshot or locks of its own.

use serde::Serialize;

use crate::catalog::{Chunk, HypertableSummary, NotCarried, read};
use crate::connect::{Conninfo, Reader, Side};
use crate::error::Result;
use crate::ident::{QualifiedName, display_ident};
use crate::look::{find_hypertable, find_table, refuse_without_timescaledb};
use crate::pgcopy::TimeType;
use crate::plan::{Range, describe_dimension, primary_dimension};

/// All hypertables of a database.
#[derive(Debug, Serialize)]
pub struct ListReport {
    /// `host:port/database`.
    pub endpoint: String,
    /// Versions, in words.
    pub version: String,
    /// The hypertables.
    pub hypertables: Vec<HypertableSummary>,
}

/// One hypertable.
#[derive(Debug, Serialize)]
pub struct TableReport {
    /// `host:port/database`.
    pub endpoint: String,
    /// Versions, in words.
    pub version: String,
    /// Its name.
    #[serde(serialize_with = "display")]
    pub table: QualifiedName,
    /// Its dimensions, in words.
    pub dimensions: Vec<String>,
    /// Its columns, in words.
    pub columns: Vec<String>,
    /// Its constraints, in words.
    pub constraints: Vec<String>,
    /// Its other indexes.
    pub indexes: Vec<String>,
    /// Bytes of rows, as they are stored uncompressed.
    pub table_bytes: u64,
    /// Bytes of indexes.
    pub index_bytes: u64,
    /// Rows, by the planner's statistics.
    pub estimated_rows: u64,
    /// Its chunks.
    pub chunks: Vec<ChunkReport>,
    /// What `migrate` would leave out.
    pub not_carried: Vec<NotCarried>,
}

fn display<S: serde::Serializer>(name: &QualifiedName, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}

/// One chunk.
#[derive(Debug, Serialize)]
pub struct ChunkReport {
    /// Its table.
    pub name: String,
    /// Its range of the primary dimension.
    pub range: String,
    /// Bytes of rows, as they are stored uncompressed.
    pub table_bytes: u64,
    /// Bytes of indexes.
    pub index_bytes: u64,
    /// Rows, by the planner's statistics.
    pub estimated_rows: u64,
    /// Holds compressed rows.
    pub compressed: bool,
}

/// Lists the hypertables of a database.
pub async fn list(conninfo: &Conninfo) -> Result<ListReport> {
    let source = Reader::open(Side::Source, conninfo, "inspect").await?;
    let server = read::server(&source).await?;
    refuse_without_timescaledb(&source, &server)?;
    Ok(ListReport {
        endpoint: source.endpoint().to_string(),
        version: server.version(),
        hypertables: read::hypertables(&source).await?,
    })
}

/// Shows one hypertable; `name` is looked up as the role would.
pub async fn table(conninfo: &Conninfo, name: &str) -> Result<TableReport> {
    let source = Reader::open(Side::Source, conninfo, "inspect").await?;
    let server = read::server(&source).await?;
    refuse_without_timescaledb(&source, &server)?;
    let table = find_table(&source, name).await?;
    let row = find_hypertable(&source, &table).await?;
    let chunks = read::chunks(&source, &server, row.id).await?;
    let hypertable = read::hypertable(&source, &server, table, row).await?;
    // Ranges over a type that is not supported are shown in TimescaleDB's own numbers.
    let primary = primary_dimension(hypertable.name(), &hypertable.dimensions);
    let time_type = primary.map_or(TimeType::Int8, |primary| primary.time_type);
    let chunks: Vec<ChunkReport> = chunks.iter().map(|chunk| chunk_report(chunk, time_type)).collect();
    Ok(TableReport {
        endpoint: source.endpoint().to_string(),
        version: server.version(),
        dimensions: hypertable.dimensions.iter().map(describe_dimension).collect(),
        columns: hypertable
            .columns
            .iter()
            .map(|column| format!("{} {}", display_ident(&column.name), column.type_name))
            .collect(),
        constraints: hypertable
            .constraints
            .iter()
            .map(|c| format!("{} {}", display_ident(&c.name), c.definition))
            .collect(),
        indexes: hypertable.indexes.iter().map(|index| index.definition.clone()).collect(),
        table_bytes: chunks.iter().map(|chunk| chunk.table_bytes).sum(),
        index_bytes: chunks.iter().map(|chunk| chunk.index_bytes).sum(),
        estimated_rows: chunks.iter().map(|chunk| chunk.estimated_rows).sum(),
        not_carried: hypertable.not_carried.clone(),
        table: hypertable.table.name,
        chunks,
    })
}

fn chunk_report(chunk: &Chunk, time_type: TimeType) -> ChunkReport {
    ChunkReport {
        name: chunk.table().to_string(),
        range: Range::of(chunk.primary()).display(time_type),
        table_bytes: chunk.bytes.unwrap_or(0).max(0) as u64,
        index_bytes: chunk.index_bytes.unwrap_or(0).max(0) as u64,
        estimated_rows: chunk.estimated_rows.unwrap_or(0),
        compressed: chunk.compressed,
    }
}

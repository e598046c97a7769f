//! What the snapshot shows that cannot be copied.

use super::look::Sides;
use crate::catalog::{Chunk, Column, Hypertable};
use crate::connect::Session;
use crate::error::{Error, Result};
use crate::ident::{display_ident, quote_ident};
use crate::pgcopy::TimeType;
use crate::plan::{Layout, Range};

pub(super) fn refuse_unreadable_chunks(sides: &Sides, chunks: &[Chunk]) -> Result<()> {
    let table = &sides.source_table.name;
    if let Some(chunk) = chunks.iter().find(|chunk| chunk.tiered || chunk.local == Some(false)) {
        return Err(Error::refused(format!(
            "chunk {} of {table} is not in this server (tiered, or on a data node)",
            chunk.table()
        ))
        .hint("Bring it back (untier_chunk), or leave its range out with --from and --until."));
    }
    if let Some(chunk) = chunks.iter().find(|chunk| chunk.oid.is_none() || chunk.slices.is_none()) {
        return Err(Error::refused(format!("chunk {} of {table} has lost its table or its slices", chunk.id))
            .hint("The source's TimescaleDB catalog is damaged; no copy of it can be complete."));
    }
    let compressed = chunks.iter().filter(|chunk| chunk.compressed).count();
    if compressed > 0 && sides.source_server.is_apache() {
        return Err(Error::refused(format!(
            "{compressed} chunks of {table} are compressed, and the source's Apache edition cannot read them"
        ))
        .hint("Set timescaledb.license = 'timescale' there, with a build that has it."));
    }
    Ok(())
}

/// PostgreSQL 18 was the first to have them.
pub(super) fn refuse_virtual_columns(sides: &Sides, source: &Hypertable) -> Result<()> {
    let is_virtual = |column: &&Column| column.generated.as_deref() == Some("v");
    match source.columns.iter().find(is_virtual) {
        Some(column) if sides.target_server.postgresql_number < 180_000 => Err(Error::refused(format!(
            "column {} is generated virtually, which the target's PostgreSQL {} cannot do",
            display_ident(&column.name),
            sides.target_server.postgresql
        ))
        .hint("Make it a stored one on the source, drop it there, or choose a target with PostgreSQL 18 or newer.")),
        _ => Ok(()),
    }
}

/// One index probe.
pub(super) async fn refuse_minus_infinity(
    leader: &Session,
    source: &Hypertable,
    layout: &Layout,
    bounds: Range,
) -> Result<()> {
    let primary = &layout.primary;
    let is_time = matches!(primary.time_type, TimeType::Timestamptz | TimeType::Timestamp | TimeType::Date);
    if !is_time || bounds.from.is_some_and(|from| from > i64::MIN) || primary.holds_minus_infinity() {
        return Ok(());
    }
    let column = quote_ident(&primary.column);
    let sql = format!("select exists (select from {} where {column} = '-infinity')", source.name().sql());
    if leader.row(&sql, &[]).await?.get(0) {
        return Err(Error::refused(format!("{} has rows at -infinity, and the new layout has no chunk for them", source.name()))
            .hint("A chunk without a start exists only for some intervals (7 days is one): choose one, or leave the rows out with --from '4714-11-24 00:00:00+00 BC'."));
    }
    Ok(())
}

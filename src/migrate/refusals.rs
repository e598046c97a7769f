//! What the snapshot shows that cannot be copied.

use super::look::Sides;
use crate::catalog::{Column, Hypertable};
use crate::connect::Session;
use crate::error::{Error, Result};
use crate::ident::{display_ident, quote_ident};
use crate::pgcopy::TimeType;
use crate::plan::{Layout, Range};

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

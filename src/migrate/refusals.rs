//! What the snapshot shows that cannot be copied.

use super::look::Sides;
use crate::catalog::{Column, Hypertable};
use crate::error::{Error, Result};
use crate::ident::display_ident;

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

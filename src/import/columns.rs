//! Which columns the files give, how their values become binary, and what becomes of keys that are there already.
//!
//! **Invariant:** pure: from a table's definition and a request.

use super::request::{OnConflict, Request};
use crate::catalog::{ConstraintKind, Hypertable, TypeKind};
use crate::csv::diagnose::other_delimiter;
use crate::csv::header::Header;
use crate::csv::{LineEnd, Parser};
use crate::error::{Error, Kind, Result};
use crate::ident::display_ident;
use crate::pgcopy::encode::Encoder;
use crate::plan::Layout;
use crate::writer::landing::Merge;

/// The names in a header.
///
/// # Errors
/// [`Kind::Input`] for one that is no header.
pub(super) fn header(request: &Request, file: &str, text: &[u8], line_end: LineEnd) -> Result<Header> {
    let bad = |reason: String| Error::new(Kind::Input, format!("{file}: the header cannot be read: {reason}"));
    let mut parser = Parser::new(&request.dialect, line_end);
    let Some(record) = parser.record(text) else { return Err(bad("it is empty".to_string())) };
    let fields = record.fields.map_err(|defect| bad(defect.to_string()))?;
    Header::of(&fields).map_err(|error| bad(error.to_string()).hint(error.hint()))
}

/// The columns of the table that the files give, in their order.
///
/// # Errors
/// [`Kind::Refused`] for columns that are asked for and not there, [`Kind::Input`] for those of a header.
pub(super) fn choose(
    request: &Request,
    table: &Hypertable,
    file: &str,
    header: Option<&Header>,
) -> Result<Vec<String>> {
    let all: Vec<String> = table.copied_columns().map(|column| column.name.clone()).collect();
    match (&request.columns, header) {
        (Some(columns), _) => check(table, columns).map(|()| columns.clone()),
        (None, Some(header)) => header.columns(&request.maps, &all).map_err(|error| {
            let looks = looks(request, header, all.len());
            Error::new(Kind::Input, format!("{file}: the header does not fit {}: {error}{looks}", table.name()))
                .hint(error.hint())
        }),
        (None, None) => Ok(all),
    }
}

/// What a header of a single name may be, where it has the delimiter of others.
fn looks(request: &Request, header: &Header, columns: usize) -> String {
    let [only] = header.names() else { return String::new() };
    let looks = other_delimiter(&request.dialect, only.as_bytes(), columns);
    looks.map(|looks| format!("; it {looks}")).unwrap_or_default()
}

fn check(table: &Hypertable, columns: &[String]) -> Result<()> {
    for (number, name) in columns.iter().enumerate() {
        let shown = display_ident(name);
        let refused = |what: &str| {
            let all = table.copied_columns().map(|column| display_ident(&column.name)).collect::<Vec<_>>().join(", ");
            Err(Error::refused(what.to_string()).hint(format!("The columns of {} are {all}.", table.name())))
        };
        match table.column(name) {
            None => return refused(&format!("column {shown} of {} does not exist", table.name())),
            Some(column) if column.generated.is_some() => {
                return refused(&format!("column {shown} is generated, and computed by the server"));
            }
            Some(_) if columns[..number].contains(name) => {
                return refused(&format!("column {shown} is specified more than once"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// How the columns' values become binary; why not, where one of them cannot. `utc` is whether times without a zone are
/// UTC; nothing where not even the zones of others can be read with certainty.
pub(super) fn encoders(table: &Hypertable, columns: &[String], utc: Option<bool>) -> Result<Vec<Encoder>, String> {
    let encoder = |name: &String| {
        let column = table.column(name);
        column.and_then(|column| encoder(table, column.type_oid, utc)).ok_or_else(|| {
            let type_name = column.map_or("unknown", |column| &column.type_name);
            format!("column {} is of type {type_name}", display_ident(name))
        })
    };
    columns.iter().map(encoder).collect()
}

fn encoder(table: &Hypertable, oid: u32, utc: Option<bool>) -> Option<Encoder> {
    let found = table.types.iter().find(|candidate| candidate.oid == oid)?;
    match found.kind {
        TypeKind::Base if found.name.schema == "pg_catalog" => {
            let encoder = Encoder::of(&found.name.name, utc.unwrap_or_default());
            encoder
                .filter(|encoder| utc.is_some() || !matches!(encoder, Encoder::Timestamptz { .. } | Encoder::Timestamp))
        }
        TypeKind::Enum => Some(Encoder::Text),
        TypeKind::Domain => encoder(table, found.inner_oid?, utc),
        _ => None,
    }
}

/// The fields of the dimensions, in their order; `None` where the files lack one, or its values have no certain form.
pub(super) fn dimensions(
    table: &Hypertable,
    columns: &[String],
    layout: &Layout,
    utc: Option<bool>,
) -> Option<Vec<(usize, Encoder)>> {
    let field = |column: &str| {
        let position = columns.iter().position(|name| name == column)?;
        Some((position, encoder(table, table.column(column)?.type_oid, utc)?))
    };
    layout.columns().map(field).collect()
}

/// What a table of PostgreSQL can have.
const MAX_COLUMNS: usize = 1600;

/// A key that keeps rows apart.
struct Key {
    name: String,
    columns: Vec<String>,
    definition: String,
    is_primary: bool,
}

/// What becomes of a row whose key is there already; none where that is an error.
///
/// # Errors
/// [`Kind::Refused`] where no key or no single one can be meant.
pub(super) fn merge(request: &Request, table: &Hypertable, columns: &[String]) -> Result<Option<Merge>> {
    if request.on_conflict == OnConflict::Error {
        return Ok(None);
    }
    let key = key(request, table)?;
    if let Some(missing) = key.columns.iter().find(|column| !columns.contains(column)) {
        return Err(Error::refused(format!(
            "the files do not give column {} of key {}",
            display_ident(missing),
            key.name
        ))
        .hint("Without it every row would have a key of its own; give the column, or name another --conflict-key."));
    }
    if key.definition.contains("DEFERRABLE") {
        return Err(Error::refused(format!("key {} is deferrable, and PostgreSQL takes it for no conflict", key.name))
            .hint("Name another --conflict-key."));
    }
    if columns.len() >= MAX_COLUMNS {
        return Err(Error::refused(format!("{} columns leave no room for a row's place in the file", columns.len()))
            .hint("Rows wait in a table of their own before they meet others: name fewer --columns."));
    }
    let is_overwritten = |column: &&String| {
        let identity = table.column(column).and_then(|column| column.identity.as_deref());
        !key.columns.contains(column) && identity != Some("a")
    };
    Ok(Some(Merge {
        overwritten: match request.on_conflict {
            OnConflict::Update => columns.iter().filter(is_overwritten).cloned().collect(),
            OnConflict::Error | OnConflict::Skip => Vec::new(),
        },
        kept: match request.on_conflict {
            OnConflict::Update => columns
                .iter()
                .filter(|column| !key.columns.contains(column))
                .filter(|column| !is_overwritten(column))
                .cloned()
                .collect(),
            OnConflict::Error | OnConflict::Skip => Vec::new(),
        },
        nulls_equal: key.definition.contains("NULLS NOT DISTINCT"),
        key: key.columns,
    }))
}

fn key(request: &Request, table: &Hypertable) -> Result<Key> {
    let mut keys = keys(table);
    let names =
        keys.iter().map(|key| format!("{} ({})", key.name, key.columns.join(", "))).collect::<Vec<_>>().join(", ");
    let have = match keys.is_empty() {
        true => format!("{} has no unique key.", table.name()),
        false => format!("The keys of {} are {names}.", table.name()),
    };
    if let Some(asked) = &request.conflict_key {
        let is_asked = |key: &Key| key.columns.len() == asked.len() && asked.iter().all(|c| key.columns.contains(c));
        let found = keys.into_iter().find(is_asked);
        return found.ok_or_else(|| Error::refused(format!("no unique key is over {}", asked.join(", "))).hint(have));
    }
    if let Some(primary) = keys.iter().position(|key| key.is_primary) {
        return Ok(keys.remove(primary));
    }
    match keys.len() {
        0 => Err(Error::refused("no unique key tells which rows are equal")
            .hint(format!("{have} Create a unique index, or import without --on-conflict."))),
        1 => Ok(keys.remove(0)),
        _ => Err(Error::refused("which key makes two rows equal is not clear")
            .hint(format!("{have} Name one with --conflict-key."))),
    }
}

fn keys(table: &Hypertable) -> Vec<Key> {
    let constraints = table.constraints.iter().filter_map(|constraint| {
        let is_primary = constraint.kind == ConstraintKind::PrimaryKey;
        (is_primary || constraint.kind == ConstraintKind::Unique).then(|| Key {
            name: constraint.name.clone(),
            columns: constraint.columns.clone(),
            definition: constraint.definition.clone(),
            is_primary,
        })
    });
    let indexes = table.indexes.iter().filter(|index| index.unique && index.valid && !index.partial);
    let indexes = indexes.filter_map(|index| {
        let columns: Option<Vec<String>> = index.keys.iter().cloned().collect();
        let definition = index.definition.clone();
        Some(Key { name: index.name.clone(), columns: columns?, definition, is_primary: false })
    });
    constraints.chain(indexes).collect()
}

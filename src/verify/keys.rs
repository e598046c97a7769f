//! Which rows differ, named by their keys.
//!
//! This is the one place that shows values of rows: who asks for a comparison asks for these.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Reading;
use crate::catalog::{ConstraintKind, Hypertable};
use crate::connect::Session;
use crate::error::{Context, Kind, Result};
use crate::ident::quote_ident;
use crate::pgcopy::{Canon, Malformed, RowHash, RowHasher};
use crate::plan::{Range, Wire};
use crate::reader::rows::Row;

/// A key whose rows are not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDifference {
    /// The range it was found in.
    pub range: Range,
    /// The values of the key's columns, as text; none is NULL.
    pub key: Vec<Option<String>>,
    /// What is with them.
    pub finding: KeyFinding,
    /// Rows of the source that have no equal on the target.
    pub source_rows: u64,
    /// Rows of the target that have no equal on the source.
    pub target_rows: u64,
}

/// How the rows of a key differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyFinding {
    /// Rows are missing on the target.
    OnlyOnSource,
    /// Rows are on the target that the source lacks.
    OnlyOnTarget,
    /// Both sides have rows that the other lacks: other columns have other values.
    Different,
}

impl KeyFinding {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            KeyFinding::OnlyOnSource => "only on the source",
            KeyFinding::OnlyOnTarget => "only on the target",
            KeyFinding::Different => "different",
        }
    }
}

/// The columns that name a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) columns: Vec<String>,
}

/// A key, as the text of a JSON array, and the hash of a row that has it.
pub(super) type KeyedRow = (Vec<u8>, RowHash);

impl Key {
    /// The primary key, or without one the columns of the dimensions. A generated column is compared nowhere, so a key
    /// with one is none.
    pub(super) fn of(table: &Hypertable) -> Key {
        let is_copied = |name: &String| table.copied_columns().any(|column| column.name == *name);
        let primary = table.constraints.iter().find(|constraint| constraint.kind == ConstraintKind::PrimaryKey);
        let columns = match primary.filter(|constraint| constraint.columns.iter().all(is_copied)) {
            Some(constraint) => constraint.columns.clone(),
            None => table.dimensions.iter().map(|dimension| dimension.column.clone()).filter(is_copied).collect(),
        };
        Key { columns }
    }

    /// Reads the keys of a range's rows, with the hash of each row.
    pub(super) async fn read(&self, reading: &Reading, session: &Session, range: Range) -> Result<Vec<KeyedRow>> {
        let columns = format!("{}, {}", self.sql(), reading.columns);
        let wire = Wire { canon: [&[Canon::Raw], &reading.wire.canon[..]].concat(), ..reading.wire.clone() };
        let mut hasher = RowHasher::new(wire.canon.clone());
        let (mut rows, mut failed) = (Vec::new(), None);
        // The key is hashed too, which changes nothing: equal rows have equal keys.
        let take = |row: &Row<'_>| match keyed(row, &mut hasher) {
            Ok(keyed) => rows.push(keyed),
            Err(malformed) => failed = Some(malformed),
        };
        reading.rows(session, range, &columns, &wire, false, take).await?;
        match failed {
            None => Ok(rows),
            Some(malformed) => {
                Err(malformed).doing(session.side().kind(), || format!("cannot read the keys of {}", reading.table))
            }
        }
    }

    /// A JSON array of the columns' texts: whatever the values, its end can be told.
    fn sql(&self) -> String {
        let values: Vec<String> =
            self.columns.iter().map(|column| format!("{}::pg_catalog.text", quote_ident(column))).collect();
        format!("pg_catalog.json_build_array({})::pg_catalog.text", values.join(", "))
    }
}

fn keyed(row: &Row<'_>, hasher: &mut RowHasher) -> Result<KeyedRow, Malformed> {
    let key = match row {
        Row::Binary(row) => row.field(0).unwrap_or_default().to_vec(),
        Row::Text(row) => unescaped(row.line().split(|byte| *byte == b'\t').next().unwrap_or_default()),
    };
    Ok((key, row.hash(hasher)?))
}

/// JSON has no control characters in it, so what COPY escapes are its backslashes.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = field.iter();
    let mut text = Vec::with_capacity(field.len());
    while let Some(byte) = bytes.next() {
        text.push(if *byte == b'\\' { *bytes.next().unwrap_or(byte) } else { *byte });
    }
    text
}

/// The keys whose rows are not the same, rows that have an equal on the other side left out; in the order of their text.
///
/// # Errors
/// [`Kind::Internal`] where a key is not what [`Key::read`] asked for.
pub(super) fn differences(range: Range, source: &[KeyedRow], target: &[KeyedRow]) -> Result<Vec<KeyDifference>> {
    // Rows of the source count up, rows of the target down.
    let mut balances: BTreeMap<&[u8], BTreeMap<RowHash, i64>> = BTreeMap::new();
    for (rows, step) in [(source, 1), (target, -1)] {
        for (key, hash) in rows {
            *balances.entry(key).or_default().entry(*hash).or_default() += step;
        }
    }
    let difference = |(key, balance): (&[u8], BTreeMap<RowHash, i64>)| {
        let over = |side: i64| balance.values().map(|rows| (rows * side).max(0) as u64).sum();
        let (source_rows, target_rows) = (over(1), over(-1));
        let finding = match (source_rows, target_rows) {
            (0, 0) => return None,
            (_, 0) => KeyFinding::OnlyOnSource,
            (0, _) => KeyFinding::OnlyOnTarget,
            _ => KeyFinding::Different,
        };
        let key = serde_json::from_slice(key).doing(Kind::Internal, || "a key is no array of texts");
        Some(key.map(|key| KeyDifference { range, key, finding, source_rows, target_rows }))
    };
    balances.into_iter().filter_map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, line: &str) -> KeyedRow {
        (format!("[\"{key}\"]").into_bytes(), RowHash::of_line(line.as_bytes()))
    }

    fn found(source: &[KeyedRow], target: &[KeyedRow]) -> Vec<(String, KeyFinding, u64, u64)> {
        let differences = differences(Range::ALL, source, target).unwrap();
        let short = |d: KeyDifference| (d.key[0].clone().unwrap(), d.finding, d.source_rows, d.target_rows);
        differences.into_iter().map(short).collect()
    }

    #[test]
    fn rows_with_an_equal_on_the_other_side_are_left_out() {
        let source = [row("a", "1"), row("b", "2"), row("b", "2"), row("c", "3"), row("e", "5")];
        let target = [row("b", "2"), row("c", "4"), row("d", "1"), row("e", "5")];
        assert_eq!(
            found(&source, &target),
            [
                ("a".into(), KeyFinding::OnlyOnSource, 1, 0),
                ("b".into(), KeyFinding::OnlyOnSource, 1, 0),
                ("c".into(), KeyFinding::Different, 1, 1),
                ("d".into(), KeyFinding::OnlyOnTarget, 0, 1),
            ]
        );
        assert_eq!(found(&source, &source), []);
    }

    #[test]
    fn a_key_survives_the_escapes_of_a_line() {
        let json = r#"["a\"b\\c\td", null]"#;
        let escaped = json.replace('\\', "\\\\");
        assert_eq!(unescaped(escaped.as_bytes()), json.as_bytes());
    }
}

//! What of a table's definition the new one was made from: whoever alters the old one meanwhile would not find it there.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalog::{Column, Constraint, Hypertable, Index, read};
use crate::connect::Session;
use crate::error::{Context, Error, Kind, Result};
use crate::ident::{QualifiedName, display_ident};

/// A table's columns, constraints and indexes, by their names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Shape {
    columns: Vec<Part>,
    constraints: Vec<Part>,
    indexes: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Part {
    name: String,
    definition: Value,
}

impl Shape {
    /// Of a table as it was read.
    pub(super) fn of(table: &Hypertable) -> Result<Shape> {
        Shape::new(&table.columns, &table.constraints, &table.indexes)
    }

    /// Of a table as it is now.
    pub(super) async fn read(session: &Session, oid: u32) -> Result<Shape> {
        let columns = read::columns(session, oid).await?;
        Shape::new(&columns, &read::constraints(session, oid).await?, &read::indexes(session, oid).await?)
    }

    fn new(columns: &[Column], constraints: &[Constraint], indexes: &[Index]) -> Result<Shape> {
        Ok(Shape {
            columns: parts(columns, |column| &column.name)?,
            constraints: parts(constraints, |constraint| &constraint.name)?,
            indexes: parts(indexes, |index| &index.name)?,
        })
    }

    /// Refuses a table that is not as it was.
    ///
    /// # Errors
    /// [`Kind::Target`], with what was altered.
    pub(super) fn refuse_altered(&self, table: &QualifiedName, now: &Shape) -> Result<()> {
        let kinds = [
            ("column", &self.columns, &now.columns),
            ("constraint", &self.constraints, &now.constraints),
            ("index", &self.indexes, &now.indexes),
        ];
        let Some((kind, name)) = kinds.into_iter().find_map(|(kind, then, now)| Some((kind, difference(then, now)?)))
        else {
            return Ok(());
        };
        Err(Error::new(
            Kind::Target,
            format!("{kind} {} of {table} was altered since the new table was made", display_ident(name)),
        )
        .hint(format!(
            "The new table lacks what was altered: take it back, or give this one up by \"hypercopy rechunk {table} --abort\" and begin anew."
        )))
    }
}

fn parts<T: Serialize>(all: &[T], name: impl Fn(&T) -> &String) -> Result<Vec<Part>> {
    let part = |one: &T| {
        let definition = serde_json::to_value(one).doing(Kind::Internal, || "cannot write the table's definition")?;
        Ok(Part { name: name(one).clone(), definition })
    };
    let mut parts = all.iter().map(part).collect::<Result<Vec<Part>>>()?;
    parts.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(parts)
}

/// The name of a part that only one of them has, or that is another one now.
fn difference<'a>(then: &'a [Part], now: &'a [Part]) -> Option<&'a str> {
    let lacks = |parts: &[Part], part: &Part| !parts.contains(part);
    let changed = then.iter().find(|part| lacks(now, part)).or_else(|| now.iter().find(|part| lacks(then, part)));
    changed.map(|part| part.name.as_str())
}

//! Whether two tables can be compared, by their definitions.
//!
//! The order of columns does not matter, nor do dropped ones, modifiers (the values tell), defaults and keys. Generated
//! columns are not compared: they follow from the others.

use crate::catalog::{Column, Hypertable, Type, TypeKind};
use crate::error::{Error, Result};
use crate::ident::{QualifiedName, display_ident};
use crate::plan::{OpenDimension, Wire, binary_obstacle, primary_dimension};

/// Refuses tables that do not have the same columns.
pub(super) fn refuse_other_columns(source: &Hypertable, target: &Hypertable) -> Result<()> {
    for column in source.copied_columns() {
        let name = display_ident(&column.name);
        let Some(found) = target.copied_columns().find(|found| found.name == column.name) else {
            return Err(one_sided(column, target, "source", "target"));
        };
        let (on_source, on_target) = (shape(column.type_oid, &source.types), shape(found.type_oid, &target.types));
        if on_source != on_target {
            return Err(Error::refused(format!(
                "column {name} is of type {} on the source and {} on the target",
                column.type_name, found.type_name
            ))
            .hint(format!("Only values of one type can be compared; they are made of {on_source} and {on_target}.")));
        }
    }
    match target.copied_columns().find(|column| !source.copied_columns().any(|found| found.name == column.name)) {
        Some(column) => Err(one_sided(column, source, "target", "source")),
        None => Ok(()),
    }
}

fn one_sided(column: &Column, other: &Hypertable, here: &str, there: &str) -> Error {
    let name = display_ident(&column.name);
    let what = match other.column(&column.name) {
        Some(_) => format!("column {name} is generated on the {there} and not on the {here}"),
        None => format!("column {name} of the {here} is missing on the {there}, in {}", other.name()),
    };
    Error::refused(what).hint("Tables can be compared that have the same columns, in whatever order.")
}

/// The dimension that both tables are divided by.
///
/// # Errors
/// Refuses two different ones, and one of a kind that is not supported.
pub(super) fn common_dimension(source: &Hypertable, target: &Hypertable) -> Result<OpenDimension> {
    let here = primary_dimension(source.name(), &source.dimensions)?;
    let there = primary_dimension(target.name(), &target.dimensions)?;
    if here.is_axis_of(&there) {
        return Ok(here);
    }
    Err(Error::refused(format!(
        "the primary dimension is {} on the source and {} on the target",
        here.name(),
        there.name()
    ))
    .hint("Ranges are compared along the primary dimension, so both tables need the same one; other dimensions and all intervals may differ."))
}

/// The format that is safe on both sides. The columns are those of the source, in its order.
pub(super) fn common_wire(source: &Hypertable, target: &Hypertable) -> Wire {
    let on_target = |name: &QualifiedName| target.types.iter().find(|found| found.name == *name);
    let obstacle = binary_obstacle(&source.types, |name| on_target(name).map(std::slice::from_ref));
    let columns: Vec<&Column> = source.copied_columns().collect();
    Wire::decide(&columns, &source.types, obstacle)
}

/// A type with all that it is made of, as far as its values show it. The labels of an enum travel as text, and what a
/// domain checks its values do not tell.
fn shape(oid: u32, types: &[Type]) -> String {
    let Some(found) = types.iter().find(|found| found.oid == oid) else { return String::new() };
    let inner = || found.inner_oid.map(|inner| shape(inner, types)).unwrap_or_default();
    match found.kind {
        TypeKind::Base | TypeKind::Enum | TypeKind::Pseudo => found.name.to_string(),
        TypeKind::Array => format!("{}[]", inner()),
        TypeKind::Domain => format!("{} over {}", found.name, inner()),
        TypeKind::Range | TypeKind::Multirange => format!("{} of {}", found.name, inner()),
        TypeKind::Composite => {
            let attributes = found.attributes.iter();
            let shapes: Vec<String> = attributes
                .map(|attribute| format!("{} {}", display_ident(&attribute.name), shape(attribute.type_oid, types)))
                .collect();
            format!("{} ({})", found.name, shapes.join(", "))
        }
    }
}

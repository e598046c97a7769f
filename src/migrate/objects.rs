//! What the table needs on the target beside itself: types, sequences, functions, schemas. And what will be missing.

use std::collections::HashMap;

use super::look::Sides;
use crate::catalog::prerequisites::Part;
use crate::catalog::{Ground, Hypertable, NotCarried, Sequence, Type, read};
use crate::connect::Session;
use crate::error::{Error, Result};
use crate::ident::{QualifiedName, display_ident};
use crate::plan::prerequisites::Lacking;
use crate::plan::{TargetNames, integer_now, losses};

pub(super) async fn target_types(target: &Session, types: &[Type]) -> Result<HashMap<QualifiedName, Vec<Type>>> {
    let mut found = HashMap::new();
    for wanted in types.iter().filter(|wanted| wanted.name.schema != "pg_catalog") {
        if let Some(parts) = read::type_by_name(target, &wanted.name).await? {
            found.insert(wanted.name.clone(), parts);
        }
    }
    Ok(found)
}

/// What the target has of the roles that are named by what the table uses and is used by.
pub(super) async fn grounds(sides: &Sides, source: &Hypertable) -> Result<Vec<Ground>> {
    let schemas = &source.prerequisites.schemas;
    let views = source.views.iter().flat_map(|view| view.trappings.roles().cloned());
    let roles: Vec<String> = source.prerequisites.roles().into_iter().chain(views).collect();
    let names: Vec<String> = schemas.iter().map(|schema| schema.name.clone()).collect();
    let mut grounds = read::grounds(&sides.target, &roles, &names).await?;
    let missing = read::missing_schemas(&sides.target, &names).await?;
    for schema in schemas.iter().filter(|schema| missing.contains(&schema.name)) {
        let grounds = grounds.iter_mut().filter(|ground| ground.schema == schema.name);
        grounds.for_each(|ground| ground.foresee(schema));
    }
    Ok(grounds)
}

/// Refuses where something is missing that the table cannot be made without.
pub(super) fn refuse_lacking(lacking: &[Lacking], table: &QualifiedName) -> Result<()> {
    let essential = || lacking.iter().filter(|lacking| lacking.is_essential());
    let Some(first) = essential().next() else { return Ok(()) };
    let version = first.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    let missing = format!("{}{version} is missing on the target", first.object);
    let others = match essential().count() {
        1 => String::new(),
        count => format!(", and {} more like it", count - 1),
    };
    let (why, hint) = match &first.reason {
        None => (
            format!("a column, default, check, index or dimension of {table} uses it"),
            format!("Create it there first{others}, as the plan shows, or have it made with --with-dependencies."),
        ),
        Some(reason) => {
            (format!("{reason}, and {table} cannot be made without it"), format!("Create it there first{others}."))
        }
    };
    Err(Error::refused(format!("{missing}: {why}")).hint(hint))
}

/// Sequences that the job has to make; one that is there must give out the same numbers.
pub(super) async fn missing_sequences(target: &Session, source: &Hypertable) -> Result<Vec<QualifiedName>> {
    let mut missing = Vec::new();
    for sequence in source.sequences.iter().filter(|sequence| !sequence.identity) {
        match read::sequence(target, &sequence.name).await? {
            None => missing.push(sequence.name.clone()),
            Some(found) if found.same_definition(sequence) => {}
            Some(_) => {
                return Err(Error::refused(format!(
                    "sequence {} exists on the target with another definition",
                    sequence.name
                ))
                .hint("Make the two the same, or rename one of them."));
            }
        }
    }
    Ok(missing)
}

pub(super) fn needed_schemas(names: &TargetNames, types: &[String], sequences: &[&Sequence]) -> Vec<String> {
    let mut schemas: Vec<String> = std::iter::once(names.table.schema.clone())
        .chain(types.iter().cloned())
        .chain(sequences.iter().map(|sequence| sequence.name.schema.clone()))
        .collect();
    schemas.sort_unstable();
    schemas.dedup();
    schemas
}

/// What answers "now" for an integer dimension, where the target lacks it and nobody makes it.
pub(super) fn lost_now(source: &Hypertable, names: &TargetNames, lacking: &[Lacking]) -> Option<NotCarried> {
    // What it uses itself comes before it.
    let missing = lacking.iter().rfind(|lacking| lacking.parts.contains(&Part::IntegerNow))?;
    let set = integer_now(source, names)?;
    let lost = NotCarried::new("integer_now_func", missing.object.identity.clone());
    let making = missing.statements.iter().map(|statement| statement.sql.clone());
    let sql = making.chain([set.sql]).collect();
    Some(lost.because(missing.reason.clone().unwrap_or_default()).made_by(sql))
}

/// Types, sequences and functions may need other schemas than the table's.
pub(super) async fn refuse_schemas(sides: &Sides, schemas: &[String]) -> Result<()> {
    let Some(schema) = read::closed_schemas(&sides.target, schemas).await?.into_iter().next() else { return Ok(()) };
    let (schema, role) = (display_ident(&schema), &sides.target_server.role);
    Err(Error::refused(format!("role {role} may not create anything in schema {schema} of the target, or the schema itself"))
        .hint(format!(
            "A type, sequence or function of {} belongs there: create it there first, or grant CREATE on the schema to the role.",
            sides.source.table().name
        )))
}

pub(super) fn not_carried(
    sides: &Sides,
    source: &Hypertable,
    made_sequences: &[QualifiedName],
    names: &TargetNames,
) -> Vec<NotCarried> {
    let mut found = losses(source, &names.table);
    let owner = &sides.source.table().owner;
    if !sides.place.may_own_for_source_owner && *owner != sides.target_server.role {
        found.push(NotCarried::new("owner", format!("{owner}: the table will belong to {}", sides.target_server.role)));
    }
    for sequence in source.sequences.iter().filter(|sequence| !sequence.identity) {
        let is_made = made_sequences.contains(&sequence.name);
        if is_made && sequence.column.is_some() && sequence.name.schema != names.table.schema {
            found.push(NotCarried::new(
                "sequence owner",
                format!("{} cannot belong to a table of another schema", sequence.name),
            ));
        }
        if !is_made && !sides.is_one_database() {
            found.push(NotCarried::new("sequence value", format!("{} was there and is not moved", sequence.name)));
        }
    }
    found
}

//! How rows travel: binary or text, and the canonical form that their checksum is computed over.

use std::collections::HashMap;

use serde::Serialize;

use super::types::is_users_own;
use crate::catalog::{Column, Hypertable, Type, TypeKind};
use crate::ident::QualifiedName;
use crate::pgcopy::{Canon, Format, checksum};

/// The decision for one table; COPY has one format for all its columns.
#[derive(Clone, Debug, Serialize)]
pub struct Wire {
    /// Binary or text.
    pub format: Format,
    /// Why not binary.
    pub reason: Option<String>,
    /// How each copied column enters the checksum.
    #[serde(skip)]
    pub canon: Vec<Canon>,
}

impl Wire {
    /// The word for what a checksum is over: the format, and the version of the canonical form.
    pub fn form(&self) -> String {
        format!("{}/{}", self.format.name(), checksum::VERSION)
    }

    /// Decides for a table's copied columns; `on_target` as for [`super::compare_types`].
    pub fn of<'a>(source: &Hypertable, on_target: impl Fn(&QualifiedName) -> Option<&'a [Type]>) -> Wire {
        let copied: Vec<_> = source.copied_columns().collect();
        Wire::decide(&copied, &source.types, binary_obstacle(&source.types, on_target))
    }

    /// Decides for these columns, given the obstacle to the binary format, if there is one.
    pub fn decide(columns: &[&Column], types: &[Type], obstacle: Option<String>) -> Wire {
        let graph: HashMap<u32, &Type> = types.iter().map(|found| (found.oid, found)).collect();
        let format = if obstacle.is_some() { Format::Text } else { Format::Binary };
        let canon = match format {
            Format::Binary => columns.iter().map(|column| canon(column.type_oid, &graph)).collect(),
            Format::Text => vec![Canon::Raw; columns.len()],
        };
        Wire { format, reason: obstacle, canon }
    }
}

/// Why the columns cannot travel as binary; `None` where each type, and each part of it, is safe on both sides.
/// `on_target` answers as for [`super::compare_types`]; a type that is not there will be created from the source's.
pub fn binary_obstacle<'a>(
    source: &[Type],
    on_target: impl Fn(&QualifiedName) -> Option<&'a [Type]>,
) -> Option<String> {
    source.iter().find_map(|part| {
        if holds_oids(part) {
            return Some(format!("type {} carries numbers that mean something only in their own cluster", part.name));
        }
        if !part.has_binary {
            return Some(format!("type {} has no binary form", part.name));
        }
        if (part.name.schema.as_str(), part.name.name.as_str()) == ("pg_catalog", "tsquery") {
            return Some("an empty tsquery cannot be read in binary form".to_string());
        }
        let found = on_target(&part.name).and_then(<[Type]>::last).filter(|_| is_users_own(part))?;
        if !found.has_binary {
            return Some(format!("type {} has no binary form on the target", part.name));
        }
        (part.extension != found.extension)
            .then(|| format!("type {} is of another version of its extension on the target", part.name))
    })
}

/// Why the columns cannot be kept as binary for servers that nobody knows yet: beside what is never safe, types whose
/// binary form is the business of an extension or of a user's own functions, and may be another one there.
pub fn archive_obstacle(types: &[Type]) -> Option<String> {
    binary_obstacle(types, |_| None).or_else(|| {
        let is_theirs = |part: &&Type| part.extension.is_some() || part.kind == TypeKind::Base;
        let foreign = types.iter().filter(|part| is_users_own(part)).find(is_theirs)?;
        Some(format!("type {} may have another binary form in another version of what it comes from", foreign.name))
    })
}

/// Types whose binary form is a raw object or transaction id, and money, whose scale is a setting.
fn holds_oids(part: &Type) -> bool {
    const NAMES: [&str; 9] =
        ["oid", "oidvector", "xid", "xid8", "cid", "money", "aclitem", "pg_node_tree", "pg_snapshot"];
    part.name.schema == "pg_catalog"
        && part.kind == TypeKind::Base
        && (NAMES.contains(&part.name.name.as_str()) || part.name.name.starts_with("reg"))
}

fn canon(oid: u32, graph: &HashMap<u32, &Type>) -> Canon {
    let Some(found) = graph.get(&oid) else { return Canon::Raw };
    let inner = || found.inner_oid.map_or(Canon::Raw, |inner| canon(inner, graph));
    match (found.kind, found.name.name.as_str()) {
        (TypeKind::Base, "float4") => Canon::Float4,
        (TypeKind::Base, "float8") => Canon::Float8,
        (TypeKind::Base, name) if found.name.schema == "pg_catalog" => geometric(name).unwrap_or(Canon::Raw),
        // The fixed-length arrays of the catalog send as arrays too.
        (TypeKind::Array, _) => Canon::Array(Box::new(inner())),
        (TypeKind::Domain, _) => inner(),
        (TypeKind::Range, _) => Canon::Range(Box::new(inner())),
        (TypeKind::Multirange, _) => Canon::Multirange(Box::new(inner())),
        (TypeKind::Composite, _) => {
            Canon::Composite(found.attributes.iter().map(|attribute| canon(attribute.type_oid, graph)).collect())
        }
        _ => Canon::Raw,
    }
}

/// The types that are made of `double precision` numbers; those with a number of points send it first.
fn geometric(name: &str) -> Option<Canon> {
    Some(match name {
        "point" | "lseg" | "line" | "box" | "circle" => Canon::Float8s { skip_bytes: 0 },
        "polygon" => Canon::Float8s { skip_bytes: 4 },
        "path" => Canon::Float8s { skip_bytes: 5 },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::types::tests::base_type;
    use super::*;

    #[test]
    fn oids_and_missing_send_functions_force_text() {
        let safe = base_type(701, "pg_catalog", "float8", TypeKind::Base);
        assert_eq!(binary_obstacle(std::slice::from_ref(&safe), |_| None), None);
        let regclass = base_type(2205, "pg_catalog", "regclass", TypeKind::Base);
        assert!(binary_obstacle(&[safe.clone(), regclass], |_| None).unwrap().contains("regclass"));
        let odd = Type { has_binary: false, ..base_type(9, "public", "odd", TypeKind::Base) };
        assert!(binary_obstacle(&[safe, odd], |_| None).unwrap().contains("no binary form"));
    }

    #[test]
    fn another_extension_version_forces_text() {
        let with = |version: &str| Type {
            extension: Some(format!("vector {version}")),
            ..base_type(9, "public", "vector", TypeKind::Base)
        };
        let found = [with("0.8")];
        assert!(binary_obstacle(&[with("0.7")], |_| Some(&found)).is_some());
        assert!(binary_obstacle(&[with("0.8")], |_| Some(&found)).is_none());
    }

    #[test]
    fn a_domain_over_an_array_of_floats_is_hashed_as_one() {
        let float = base_type(701, "pg_catalog", "float8", TypeKind::Base);
        let array = Type { inner_oid: Some(701), ..base_type(1022, "pg_catalog", "_float8", TypeKind::Array) };
        let domain = Type { inner_oid: Some(1022), ..base_type(5, "app", "series", TypeKind::Domain) };
        let types = [float, array, domain];
        let graph = types.iter().map(|found| (found.oid, found)).collect();
        assert_eq!(canon(5, &graph), Canon::Array(Box::new(Canon::Float8)));
    }
}

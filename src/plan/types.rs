//! Types that columns need: which have to be created on the target, and whether those that are there are the same.

use super::Statement;
use crate::catalog::{Type, TypeKind};
use crate::error::{Error, Result};
use crate::ident::{QualifiedName, quote_ident, quote_literal};

/// What the target lacks, parts before what uses them.
#[derive(Clone, Debug, Default)]
pub struct MissingTypes {
    /// How to create them.
    pub statements: Vec<Statement>,
    /// The schemas they live in.
    pub schemas: Vec<String>,
}

/// Compares the source's types with the target's of the same name. `on_target` answers with a type and its parts, the
/// type itself last, or nothing where the name is free.
///
/// # Errors
/// Refuses a type that exists with another definition, and one that is missing and cannot be made from its parts.
pub fn missing_types<'a>(
    source: &[Type],
    on_target: impl Fn(&QualifiedName) -> Option<&'a [Type]>,
) -> Result<MissingTypes> {
    let mut missing = MissingTypes::default();
    for wanted in source.iter().filter(|wanted| is_users_own(wanted)) {
        match on_target(&wanted.name).and_then(<[Type]>::last) {
            Some(found) => compare(wanted, found)?,
            None => {
                missing.statements.push(create(wanted)?);
                missing.schemas.push(wanted.name.schema.clone());
            }
        }
    }
    Ok(missing)
}

/// Arrays come with their element type, and PostgreSQL's own types are everywhere.
pub(super) fn is_users_own(wanted: &Type) -> bool {
    wanted.name.schema != "pg_catalog" && !matches!(wanted.kind, TypeKind::Array | TypeKind::Multirange)
}

fn compare(wanted: &Type, found: &Type) -> Result<()> {
    if wanted.extension.is_some() || found.extension.is_some() {
        return match wanted.extension.is_some() == found.extension.is_some() {
            true => Ok(()),
            false => Err(Error::refused(format!("type {} belongs to an extension on one side only", wanted.name))
                .hint("Make the type on the target by what it is made by on the source.")),
        };
    }
    if definition(wanted) == definition(found) {
        return Ok(());
    }
    Err(Error::refused(format!("type {} exists on the target with another definition", wanted.name)).hint(format!(
        "On the source it is {}; on the target {}. Rename one of them, or make them the same.",
        definition(wanted).unwrap_or_default(),
        definition(found).unwrap_or_default()
    )))
}

fn create(wanted: &Type) -> Result<Statement> {
    if let Some(extension) = &wanted.extension {
        let name = extension.split(' ').next().unwrap_or_default();
        return Err(Error::refused(format!(
            "type {} is missing on the target: it belongs to extension {extension}",
            wanted.name
        ))
        .hint(format!("Run \"create extension {}\" on the target first.", quote_ident(name))));
    }
    let body = match wanted.kind {
        TypeKind::Enum | TypeKind::Composite | TypeKind::Domain if !wanted.of_table => definition(wanted),
        _ => None,
    };
    let body = body.ok_or_else(|| {
        Error::refused(format!("type {} is missing on the target", wanted.name))
            .hint("Enums, domains and composites are created; create other types on the target first.")
    })?;
    let object = if wanted.kind == TypeKind::Domain { "domain" } else { "type" };
    Ok(Statement::new(
        format!("create {object} {}", wanted.name),
        format!("create {object} {} as {body}", wanted.name.sql()),
    ))
}

/// What follows `create type … as`: the same text on both servers means the same type. Composites are positional, so
/// the order of their attributes is part of it.
fn definition(wanted: &Type) -> Option<String> {
    match wanted.kind {
        TypeKind::Enum => {
            let labels: Vec<String> = wanted.labels.iter().map(|label| quote_literal(label)).collect();
            Some(format!("enum ({})", labels.join(", ")))
        }
        TypeKind::Composite => {
            let attribute = |a: &crate::catalog::Attribute| {
                format!("{} {}{}", quote_ident(&a.name), a.type_name, collate(a.collation.as_deref()))
            };
            Some(format!("({})", wanted.attributes.iter().map(attribute).collect::<Vec<_>>().join(", ")))
        }
        TypeKind::Domain => {
            let mut text = format!("{}{}", wanted.base.as_deref()?, collate(wanted.collation.as_deref()));
            if let Some(default) = &wanted.default {
                text.push_str(&format!(" default {default}"));
            }
            if wanted.not_null {
                text.push_str(" not null");
            }
            for check in &wanted.checks {
                text.push_str(&format!(" constraint {} {}", quote_ident(&check.name), check.definition));
            }
            Some(text)
        }
        _ => None,
    }
}

fn collate(collation: Option<&str>) -> String {
    collation.map(|name| format!(" collate {name}")).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::catalog::DomainCheck;

    pub(crate) fn base_type(oid: u32, schema: &str, name: &str, kind: TypeKind) -> Type {
        Type {
            oid,
            name: QualifiedName::new(schema, name),
            kind,
            inner_oid: None,
            has_binary: true,
            extension: None,
            of_table: false,
            base: None,
            not_null: false,
            default: None,
            collation: None,
            labels: Vec::new(),
            checks: Vec::new(),
            attributes: Vec::new(),
        }
    }

    fn mood(labels: &[&str]) -> Type {
        let labels = labels.iter().map(ToString::to_string).collect();
        Type { labels, ..base_type(1, "app", "mood", TypeKind::Enum) }
    }

    #[test]
    fn a_missing_enum_is_created_with_its_labels_in_order() {
        let missing = missing_types(&[mood(&["it's", "b"])], |_| None).unwrap();
        assert_eq!(missing.statements[0].sql, "create type \"app\".\"mood\" as enum ('it''s', 'b')");
        assert_eq!(missing.schemas, ["app"]);
    }

    #[test]
    fn an_enum_with_other_labels_is_refused_and_the_same_one_used() {
        let found = [mood(&["b", "a"])];
        assert!(missing_types(&[mood(&["a", "b"])], |_| Some(&found)).is_err());
        assert!(missing_types(&[mood(&["b", "a"])], |_| Some(&found)).unwrap().statements.is_empty());
    }

    #[test]
    fn a_domain_keeps_default_not_null_and_checks() {
        let domain = Type {
            base: Some("integer".into()),
            not_null: true,
            default: Some("1".into()),
            checks: vec![DomainCheck { name: "positive".into(), definition: "CHECK ((VALUE > 0))".into() }],
            ..base_type(1, "app", "count", TypeKind::Domain)
        };
        let missing = missing_types(&[domain], |_| None).unwrap();
        assert_eq!(
            missing.statements[0].sql,
            "create domain \"app\".\"count\" as integer default 1 not null constraint \"positive\" CHECK ((VALUE > 0))"
        );
    }

    #[test]
    fn a_missing_type_of_an_extension_names_the_extension() {
        let wanted = Type { extension: Some("hstore 1.8".into()), ..base_type(1, "public", "hstore", TypeKind::Base) };
        let error = missing_types(&[wanted], |_| None).unwrap_err();
        assert!(error.hint_text().unwrap().contains("create extension \"hstore\""));
    }
}

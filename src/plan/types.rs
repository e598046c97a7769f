//! Types that columns need: which have to be created on the target, and whether those that are there are the same.

use super::Statement;
use crate::catalog::{RangeOptions, Type, TypeKind};
use crate::error::{Error, Result};
use crate::ident::{QualifiedName, quote_ident, quote_literal};

/// Compares the source's types with the target's of the same name. `on_target` answers with a type and its parts, the
/// type itself last, or nothing where the name is free.
///
/// # Errors
/// Refuses a type that exists with another definition.
pub fn compare_types<'a>(source: &[Type], on_target: impl Fn(&QualifiedName) -> Option<&'a [Type]>) -> Result<()> {
    let own = source.iter().filter(|wanted| is_users_own(wanted));
    let pairs = own.filter_map(|wanted| Some((wanted, on_target(&wanted.name)?.last()?)));
    pairs.into_iter().try_for_each(|(wanted, found)| compare(wanted, found))
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

/// How a type is made; none for one that its definition does not make.
pub(super) fn create_type(wanted: &Type) -> Option<Statement> {
    let is_coded = wanted.range.as_ref().is_some_and(|range| range.canonical.is_some());
    let body = definition(wanted).filter(|_| !wanted.of_table && wanted.extension.is_none() && !is_coded)?;
    let object = if wanted.kind == TypeKind::Domain { "domain" } else { "type" };
    Some(Statement::new(
        format!("create {object} {}", wanted.name),
        format!("create {object} {} as {body}", wanted.name.sql()),
    ))
}

/// Whether the two mean the same.
pub(super) fn is_same_type(wanted: &Type, found: &Type) -> bool {
    compare(wanted, found).is_ok()
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
        TypeKind::Range => wanted.range.as_ref().map(range),
        _ => None,
    }
}

fn range(options: &RangeOptions) -> String {
    let RangeOptions { subtype, subtype_opclass, collation, canonical, subtype_diff, multirange } = options;
    let named = [
        ("subtype", Some(subtype)),
        ("subtype_opclass", subtype_opclass.as_ref()),
        ("collation", collation.as_ref()),
        ("canonical", canonical.as_ref()),
        ("subtype_diff", subtype_diff.as_ref()),
        ("multirange_type_name", Some(multirange)),
    ];
    let given = named.iter().filter_map(|(name, value)| value.map(|value| format!("{name} = {value}")));
    format!("range ({})", given.collect::<Vec<_>>().join(", "))
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
            range: None,
        }
    }

    fn mood(labels: &[&str]) -> Type {
        let labels = labels.iter().map(ToString::to_string).collect();
        Type { labels, ..base_type(1, "app", "mood", TypeKind::Enum) }
    }

    fn sql_of(wanted: &Type) -> Option<String> {
        create_type(wanted).map(|statement| statement.sql)
    }

    #[test]
    fn an_enum_is_created_with_its_labels_in_order() {
        assert_eq!(sql_of(&mood(&["it's", "b"])).unwrap(), "create type \"app\".\"mood\" as enum ('it''s', 'b')");
    }

    #[test]
    fn an_enum_with_other_labels_is_refused_and_the_same_one_used() {
        let found = [mood(&["b", "a"])];
        assert!(compare_types(&[mood(&["a", "b"])], |_| Some(&found)).is_err());
        assert!(compare_types(&[mood(&["b", "a"])], |_| Some(&found)).is_ok());
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
        assert_eq!(
            sql_of(&domain).unwrap(),
            "create domain \"app\".\"count\" as integer default 1 not null constraint \"positive\" CHECK ((VALUE > 0))"
        );
    }

    fn span(canonical: Option<&str>) -> Type {
        let options = RangeOptions {
            subtype: "text".into(),
            subtype_opclass: None,
            collation: Some("pg_catalog.\"C\"".into()),
            canonical: canonical.map(str::to_string),
            subtype_diff: None,
            multirange: "app.spans".into(),
        };
        Type { range: Some(options), ..base_type(1, "app", "span", TypeKind::Range) }
    }

    #[test]
    fn a_range_keeps_its_collation_and_the_name_of_its_multirange() {
        assert_eq!(
            sql_of(&span(None)).unwrap(),
            "create type \"app\".\"span\" as range (subtype = text, collation = pg_catalog.\"C\", multirange_type_name = app.spans)"
        );
    }

    #[test]
    fn what_code_and_extensions_make_is_not_made_by_its_definition() {
        assert!(sql_of(&span(Some("app.canonical"))).is_none());
        let of_extension = Type { extension: Some("hstore 1.8".into()), ..mood(&["a"]) };
        assert!(sql_of(&of_extension).is_none());
        assert!(sql_of(&Type { of_table: true, ..base_type(1, "app", "t", TypeKind::Composite) }).is_none());
    }
}

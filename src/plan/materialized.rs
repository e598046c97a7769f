//! DDL text: what a materialized view has beside its query, for one that was made without rows.
//!
//! **Invariant:** each statement is one command, with a title of its own; where the view and its indexes are, and under which
//! names, is somebody else's business.

use super::Statement;
use crate::catalog::dependents::{MaterializedColumn, MaterializedIndex, Statistics, StorageParameter};
use crate::ident::{QualifiedName, display_ident, quote_ident, quote_literal};

/// What is set for a column.
pub(super) fn alter_column(view: &QualifiedName, column: &MaterializedColumn) -> Vec<Statement> {
    let name = quote_ident(&column.name);
    let alter = |what: &str, value: String| {
        Statement::new(
            format!("set {what} of column {} of {view}", display_ident(&column.name)),
            format!("alter materialized view {} alter column {name} set {value}", view.sql()),
        )
    };
    let mut statements = Vec::new();
    statements.extend(column.storage.iter().map(|storage| alter("storage", format!("storage {storage}"))));
    statements.extend(column.compression.iter().map(|method| alter("compression", format!("compression {method}"))));
    let target = |target| alter("the statistics target", format!("statistics {target}"));
    statements.extend(column.statistics_target.map(target));
    if !column.options.is_empty() {
        statements.push(alter("options", format!("({})", parameter_list(&column.options))));
    }
    statements.extend(comment("column", &format!("{}.{name}", view.sql()), column.comment.as_deref()));
    statements
}

/// An index under this name, in the view's schema.
pub(super) fn create_index(view: &QualifiedName, name: &str, index: &MaterializedIndex) -> Vec<Statement> {
    let unique = if index.unique { "unique " } else { "" };
    let body = index.body.as_deref().unwrap_or_default();
    let in_schema = QualifiedName::new(&view.schema, name);
    let (sql, display) = (in_schema.sql(), in_schema.to_string());
    let create = format!("create {unique}index {} on {} {body}", quote_ident(name), view.sql());
    let mut statements = vec![Statement::new(format!("create index {display}"), create)];
    statements.extend(index.tablespace.iter().map(|space| {
        let title = format!("set tablespace of index {display}");
        Statement::new(title, format!("alter index {sql} set tablespace {}", quote_ident(space)))
    }));
    statements.extend(index.statistics_targets.iter().map(|(column, target)| {
        let title = format!("set the statistics target of column {column} of index {display}");
        Statement::new(title, format!("alter index {sql} alter column {column} set statistics {target}"))
    }));
    statements.extend(comment("index", &sql, index.comment.as_deref()));
    if index.clustered {
        let cluster = format!("alter materialized view {} cluster on {}", view.sql(), quote_ident(name));
        statements.push(Statement::new(format!("mark index {display} as clustered"), cluster));
    }
    statements
}

/// Extended statistics, whose definition names the view.
pub(super) fn create_statistics(statistics: &Statistics) -> Vec<Statement> {
    let (sql, display) = (statistics.name.sql(), statistics.name.to_string());
    let give = format!("alter statistics {sql} owner to {}", quote_ident(&statistics.owner));
    let mut statements = vec![
        Statement::new(format!("create statistics {display}"), &statistics.definition),
        Statement::new(format!("give statistics {display} to {}", display_ident(&statistics.owner)), give),
    ];
    statements.extend(statistics.target.iter().map(|target| {
        let title = format!("set the target of statistics {display}");
        Statement::new(title, format!("alter statistics {sql} set statistics {target}"))
    }));
    statements.extend(comment("statistics", &sql, statistics.comment.as_deref()));
    statements
}

/// A comment, where there is one, on what SQL calls so.
pub(super) fn comment(kind: &str, name: &str, text: Option<&str>) -> Option<Statement> {
    let comment = |text| format!("comment on {kind} {name} is {}", quote_literal(text));
    text.map(|text| Statement::new(format!("comment on {kind} {name}"), comment(text)))
}

/// A list of options in parentheses, with their keyword; nothing where there are none.
pub(super) fn with_clause(parameters: &[StorageParameter]) -> String {
    if parameters.is_empty() { String::new() } else { format!(" with ({})", parameter_list(parameters)) }
}

fn parameter_list(parameters: &[StorageParameter]) -> String {
    let parameter = |parameter: &StorageParameter| {
        let namespace =
            parameter.namespace.as_ref().map(|space| format!("{}.", quote_ident(space))).unwrap_or_default();
        format!("{namespace}{} = {}", quote_ident(&parameter.name), quote_literal(&parameter.value))
    };
    parameters.iter().map(parameter).collect::<Vec<_>>().join(", ")
}

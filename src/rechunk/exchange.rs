//! What the swap does to the two tables, as DDL, and how it is undone.

use super::plan::JobPlan;
use crate::ident::{QualifiedName, quote_ident};
use crate::plan::{Guard, Statement, close, open};

/// The new table takes the old one's name and place. To be run under an exclusive lock on the old one.
pub(super) fn forward(plan: &JobPlan) -> Vec<Statement> {
    let (table, beside, kept) = (&plan.table, plan.beside(), plan.kept());
    let mut statements = plan.capture.remove(table, None);
    statements.extend(plan.index_names.iter().map(|name| rename_index(&of_table(table, name), &plan.kept_as(name))));
    statements.push(rename(table, &kept));
    statements.push(set_schema(&beside, table));
    statements.extend(close(&kept, &plan.capture));
    statements.extend(plan.capture.install(table, guard(plan)));
    statements
}

/// The old table takes its name and place back. To be run under an exclusive lock on the new one.
pub(super) fn backward(plan: &JobPlan) -> Vec<Statement> {
    let (table, beside, kept) = (&plan.table, plan.beside(), plan.kept());
    let mut statements = plan.capture.remove(table, guard(plan));
    statements.extend(open(&kept, &plan.capture));
    statements.push(set_schema(table, &beside));
    statements.extend(close(&beside, &plan.capture));
    statements.push(rename(&kept, table));
    statements.extend(plan.index_names.iter().map(|name| rename_index(&plan.kept_as(name), &of_table(table, name))));
    statements
}

/// What keeps older transactions from writing to the new table.
pub(super) fn guard(plan: &JobPlan) -> Option<&Guard> {
    plan.swapped.as_ref().map(|swapped| &swapped.guard)
}

fn rename(from: &QualifiedName, to: &QualifiedName) -> Statement {
    Statement::new(
        format!("rename {from} to {}", to.name),
        format!("alter table {} rename to {}", from.sql(), quote_ident(&to.name)),
    )
}

fn of_table(table: &QualifiedName, index: &str) -> QualifiedName {
    QualifiedName::new(&table.schema, index)
}

fn rename_index(from: &QualifiedName, to: &QualifiedName) -> Statement {
    Statement::new(
        format!("rename index {from} to {}", to.name),
        format!("alter index {} rename to {}", from.sql(), quote_ident(&to.name)),
    )
}

fn set_schema(from: &QualifiedName, to: &QualifiedName) -> Statement {
    Statement::new(
        format!("move {from} to schema {}", to.schema),
        format!("alter table {} set schema {}", from.sql(), quote_ident(&to.schema)),
    )
}

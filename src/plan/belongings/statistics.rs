//! Extended statistics. They live in a schema, which need not be the table's, so two tables' objects cannot have the
//! same names at the same time: a new one is made beside the table under a number, and gets its name when it is free.

use super::Statement;
use super::settings::comment;
use crate::catalog::belongings::{Belongings, Statistics};
use crate::ident::{QualifiedName, quote_ident};

/// Makes what is missing under provisional names in the table's schema.
pub(super) fn beside(have: &Belongings, wanted: &Belongings, table: &QualifiedName) -> Vec<Statement> {
    let partners = partners(have, wanted);
    let missing = wanted.statistics.iter().zip(partners).enumerate().filter(|(_, (_, partner))| partner.is_none());
    missing.flat_map(|(number, (wanted, _))| create(wanted, &provisional(table, number), table)).collect()
}

/// Moves what there is to its name, makes what is missing there, and drops what is not wanted.
pub(super) fn in_place(have: &Belongings, wanted: &Belongings, table: &QualifiedName) -> Vec<Statement> {
    let partners = partners(have, wanted);
    let is_left = |statistics: &&Statistics| !partners.contains(&Some(statistics));
    let mut statements: Vec<Statement> = have.statistics.iter().filter(is_left).map(drop).collect();
    for (wanted, partner) in wanted.statistics.iter().zip(&partners) {
        match partner {
            Some(partner) => {
                statements.extend(rename("statistics", &partner.name, &wanted.name));
                statements.extend(change(partner, wanted));
            }
            None => statements.extend(create_named(wanted, table)),
        }
    }
    statements
}

/// The name of the `number`th object beside `table`.
pub(super) fn provisional(table: &QualifiedName, number: usize) -> QualifiedName {
    QualifiedName::new(&table.schema, format!("statistics_{number}"))
}

/// For each that is wanted the one that has the same definition; of several the one that has its name already.
fn partners<'a>(have: &'a Belongings, wanted: &Belongings) -> Vec<Option<&'a Statistics>> {
    let mut free: Vec<&Statistics> = have.statistics.iter().collect();
    let mut take = |wanted: &Statistics| {
        let same = |other: &&Statistics| other.body == wanted.body;
        let place = free
            .iter()
            .position(|other| same(other) && other.name == wanted.name)
            .or_else(|| free.iter().position(same))?;
        Some(free.remove(place))
    };
    wanted.statistics.iter().map(&mut take).collect()
}

/// Makes them under their own name.
pub(super) fn create_named(statistics: &Statistics, table: &QualifiedName) -> Vec<Statement> {
    create(statistics, &statistics.name, table)
}

fn create(statistics: &Statistics, name: &QualifiedName, table: &QualifiedName) -> Vec<Statement> {
    let Some(body) = &statistics.body else { return Vec::new() };
    let create = Statement::new(
        format!("create statistics {}", statistics.name),
        format!("create statistics {} {body} from {}", name.sql(), table.sql()),
    );
    let owner = set_owner(name, statistics);
    let target = statistics.target.map(|target| set_target(name, target, statistics));
    let comment = statistics.comment.as_ref().map(|text| set_comment(name, text, statistics));
    [create, owner].into_iter().chain(target).chain(comment).collect()
}

/// What two objects with one definition differ in; both have the wanted one's name by now.
fn change(have: &Statistics, wanted: &Statistics) -> Vec<Statement> {
    let name = &wanted.name;
    let owner = (have.owner != wanted.owner).then(|| set_owner(name, wanted));
    let target = (have.target != wanted.target).then(|| set_target(name, wanted.target.unwrap_or(-1), wanted));
    let comment = (have.comment != wanted.comment)
        .then(|| set_comment(name, wanted.comment.as_deref().unwrap_or_default(), wanted));
    owner.into_iter().chain(target).chain(comment).collect()
}

pub(super) fn set_owner(name: &QualifiedName, statistics: &Statistics) -> Statement {
    Statement::new(
        format!("give statistics {} to {}", statistics.name, statistics.owner),
        format!("alter statistics {} owner to {}", name.sql(), quote_ident(&statistics.owner)),
    )
}

fn set_target(name: &QualifiedName, target: i32, statistics: &Statistics) -> Statement {
    Statement::new(
        format!("set target of statistics {}", statistics.name),
        format!("alter statistics {} set statistics {target}", name.sql()),
    )
}

/// An empty comment is none.
fn set_comment(name: &QualifiedName, text: &str, statistics: &Statistics) -> Statement {
    comment(&format!("statistics {}", name.sql()), &format!("statistics {}", statistics.name), text)
}

fn drop(statistics: &Statistics) -> Statement {
    Statement::new(format!("drop statistics {}", statistics.name), format!("drop statistics {}", statistics.name.sql()))
}

/// Gives an object another name, and then another schema.
pub(super) fn rename(kind: &str, from: &QualifiedName, to: &QualifiedName) -> Vec<Statement> {
    let rename = (from.name != to.name).then(|| {
        Statement::new(
            format!("rename {kind} {from} to {}", to.name),
            format!("alter {kind} {} rename to {}", from.sql(), quote_ident(&to.name)),
        )
    });
    let renamed = QualifiedName::new(&from.schema, &to.name);
    let set_schema = (from.schema != to.schema).then(|| {
        Statement::new(
            format!("move {kind} {renamed} to schema {}", to.schema),
            format!("alter {kind} {} set schema {}", renamed.sql(), quote_ident(&to.schema)),
        )
    });
    rename.into_iter().chain(set_schema).collect()
}

//! Privileges, each given by whom it was given by.

use super::Statement;
use crate::catalog::belongings::Grant;
use crate::ident::{QualifiedName, display_ident, quote_ident};

/// What privileges are on.
pub(super) struct Bearer<'a> {
    kind: &'static str,
    name: &'a QualifiedName,
    owner: &'a str,
}

impl<'a> Bearer<'a> {
    /// A table.
    pub fn table(name: &'a QualifiedName, owner: &'a str) -> Self {
        Bearer { kind: "table", name, owner }
    }

    /// A sequence.
    pub fn sequence(name: &'a QualifiedName, owner: &'a str) -> Self {
        Bearer { kind: "sequence", name, owner }
    }
}

/// Takes back what is not wanted, what depends on others first, and gives what is missing.
pub(super) fn turn(have: &[Grant], wanted: &[Grant], bearer: &Bearer<'_>) -> Vec<Statement> {
    let (gone, missing) = (beyond(have, wanted), beyond(wanted, have));
    let gone = gone.iter().rev().map(|grant| revoke(grant, bearer));
    gone.chain(missing.iter().map(|grant| give(grant, bearer))).collect()
}

/// What `grants` hold beyond `others`, privilege by privilege, so that what is in both keeps its place in the list.
fn beyond(grants: &[Grant], others: &[Grant]) -> Vec<Grant> {
    let way = |grant: &Grant| (grant.column.clone(), grant.grantee.clone(), grant.grantor.clone(), grant.grantable);
    let rest = grants.iter().map(|grant| {
        let other = others.iter().find(|other| way(other) == way(grant));
        let is_missing = |privilege: &&String| other.is_none_or(|other| !other.privileges.contains(privilege));
        Grant { privileges: grant.privileges.iter().filter(is_missing).cloned().collect(), ..grant.clone() }
    });
    rest.filter(|grant| !grant.privileges.is_empty()).collect()
}

/// The same for what the owner has given to others.
pub(super) fn turn_early(have: &[Grant], wanted: &[Grant], bearer: &Bearer<'_>) -> Vec<Statement> {
    turn_some(have, wanted, bearer, |grant| is_owners(grant, bearer) && grant.grantee.as_deref() != Some(bearer.owner))
}

/// The same for all that the owner does not have himself.
pub(super) fn turn_of_others(have: &[Grant], wanted: &[Grant], bearer: &Bearer<'_>) -> Vec<Statement> {
    turn_some(have, wanted, bearer, |grant| grant.grantee.as_deref() != Some(bearer.owner))
}

/// The same for what he has himself.
pub(super) fn turn_own(have: &[Grant], wanted: &[Grant], bearer: &Bearer<'_>) -> Vec<Statement> {
    turn_some(have, wanted, bearer, |grant| grant.grantee.as_deref() == Some(bearer.owner))
}

fn turn_some(
    have: &[Grant],
    wanted: &[Grant],
    bearer: &Bearer<'_>,
    is_meant: impl Fn(&Grant) -> bool,
) -> Vec<Statement> {
    let meant = |grants: &[Grant]| -> Vec<Grant> { grants.iter().filter(|grant| is_meant(grant)).cloned().collect() };
    turn(&meant(have), &meant(wanted), bearer)
}

pub(super) fn give(grant: &Grant, bearer: &Bearer<'_>) -> Statement {
    let option = if grant.grantable { " with grant option" } else { "" };
    let sql =
        format!("grant {} on {} {} to {}{option}", privileges(grant), bearer.kind, bearer.name.sql(), role(grant));
    as_grantor(grant, bearer, Statement::new(format!("grant {}{option}", title(grant, bearer, "to")), sql))
}

fn revoke(grant: &Grant, bearer: &Bearer<'_>) -> Statement {
    let sql = format!("revoke {} on {} {} from {}", privileges(grant), bearer.kind, bearer.name.sql(), role(grant));
    as_grantor(grant, bearer, Statement::new(format!("revoke {}", title(grant, bearer, "from")), sql))
}

/// `select, update` or `select (a), update (a)`.
fn privileges(grant: &Grant) -> String {
    let column = grant.column.as_ref().map(|column| format!(" ({})", quote_ident(column))).unwrap_or_default();
    let privileges: Vec<String> =
        grant.privileges.iter().map(|privilege| format!("{}{column}", privilege.to_lowercase())).collect();
    privileges.join(", ")
}

fn role(grant: &Grant) -> String {
    grant.grantee.as_deref().map_or_else(|| "public".to_string(), quote_ident)
}

fn title(grant: &Grant, bearer: &Bearer<'_>, preposition: &str) -> String {
    let column = grant.column.as_deref().map(|column| format!(" ({})", display_ident(column))).unwrap_or_default();
    let grantee = grant.grantee.as_deref().map_or_else(|| "public".to_string(), display_ident);
    let by = if is_owners(grant, bearer) { String::new() } else { format!(" by {}", display_ident(&grant.grantor)) };
    format!("{}{column} on {} {preposition} {grantee}{by}", grant.privileges.join(", ").to_lowercase(), bearer.name)
}

fn is_owners(grant: &Grant, bearer: &Bearer<'_>) -> bool {
    grant.grantor == bearer.owner
}

/// Whoever may act for the owner grants in his name; for everybody else PostgreSQL wants the grantor himself.
fn as_grantor(grant: &Grant, bearer: &Bearer<'_>, statement: Statement) -> Statement {
    if is_owners(grant, bearer) { statement } else { statement.by(&grant.grantor) }
}

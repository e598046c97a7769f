//! Privileges, each given by whom it was given by; and which of them can be given on another server.

use super::Statement;
use crate::catalog::belongings::Grant;
use crate::catalog::trappings::{DefaultGrant, GrantKind};
use crate::catalog::{Ground, NotCarried};
use crate::ident::{QualifiedName, display_ident, quote_ident};

/// What privileges are on.
pub(super) struct Bearer<'a> {
    keyword: &'static str,
    sql: String,
    name: String,
    owner: &'a str,
}

impl<'a> Bearer<'a> {
    /// A table, a view or one of their like.
    pub fn table(name: &QualifiedName, owner: &'a str) -> Self {
        Bearer { keyword: "table", sql: name.sql(), name: name.to_string(), owner }
    }

    /// A sequence.
    pub fn sequence(name: &QualifiedName, owner: &'a str) -> Self {
        Bearer { keyword: "sequence", sql: name.sql(), name: name.to_string(), owner }
    }

    /// What is of another kind, and is called so in SQL and by people; none of what knows no privileges.
    pub fn new(kind: GrantKind, sql: &str, name: &str, owner: &'a str) -> Option<Self> {
        let keyword = match kind {
            GrantKind::Relation => "table",
            GrantKind::Sequence => "sequence",
            GrantKind::Routine => "routine",
            GrantKind::Type => "type",
            GrantKind::Schema => "schema",
            GrantKind::Other => return None,
        };
        Some(Bearer { keyword, sql: sql.to_string(), name: name.to_string(), owner })
    }
}

/// Every privilege that there is on objects of a kind, on a server of this version.
pub(super) fn known(kind: GrantKind, postgresql_number: u32) -> Vec<String> {
    let all: &[&str] = match kind {
        // One came with PostgreSQL 17.
        GrantKind::Relation if postgresql_number >= 170_000 => {
            &["DELETE", "INSERT", "MAINTAIN", "REFERENCES", "SELECT", "TRIGGER", "TRUNCATE", "UPDATE"]
        }
        GrantKind::Relation => &["DELETE", "INSERT", "REFERENCES", "SELECT", "TRIGGER", "TRUNCATE", "UPDATE"],
        GrantKind::Sequence => &["SELECT", "UPDATE", "USAGE"],
        GrantKind::Routine => &["EXECUTE"],
        GrantKind::Type => &["USAGE"],
        GrantKind::Schema => &["CREATE", "USAGE"],
        GrantKind::Other => &[],
    };
    all.iter().map(ToString::to_string).collect()
}

/// What whoever makes an object of this kind may do with it.
pub(super) fn owners(owner: &str, kind: GrantKind, postgresql_number: u32) -> Grant {
    granted(owner, Some(owner), known(kind, postgresql_number))
}

/// What objects of each kind are granted where no default privileges say otherwise.
pub(super) fn defaults(owner: &str, postgresql_number: u32) -> Vec<DefaultGrant> {
    use GrantKind::{Relation, Routine, Schema, Sequence, Type};
    let of_owner = [Relation, Sequence, Routine, Type, Schema]
        .map(|kind| DefaultGrant { kind, grant: owners(owner, kind, postgresql_number) });
    let of_all =
        [Routine, Type].map(|kind| DefaultGrant { kind, grant: granted(owner, None, known(kind, postgresql_number)) });
    of_all.into_iter().chain(of_owner).collect()
}

fn granted(owner: &str, grantee: Option<&str>, privileges: Vec<String>) -> Grant {
    let (grantor, grantee) = (owner.to_string(), grantee.map(str::to_string));
    Grant { column: None, grantee, grantor, grantable: false, privileges }
}

/// An object that is made on another server, as far as privileges on it are concerned.
pub(super) struct Allotment<'a> {
    /// What is there.
    pub ground: &'a Ground,
    /// What the object is called there, and whose it becomes.
    pub bearer: &'a Bearer<'a>,
    /// Whose it is here.
    pub old_owner: &'a str,
    /// Every privilege here.
    pub here: &'a [String],
    /// Every privilege there.
    pub there: &'a [String],
}

impl Allotment<'_> {
    /// Of the object's privileges those that it can have there, in the order in which they were given: who gives on needs to
    /// have been given first. And what is lost.
    pub fn carry(&self, grants: &[Grant]) -> (Vec<Grant>, Vec<NotCarried>) {
        let (mut wanted, mut lost): (Vec<Grant>, Vec<NotCarried>) = (Vec::new(), Vec::new());
        let owner = self.bearer.owner;
        for old in grants.iter().map(|old| self.whole(old)) {
            let new = old.given_by(self.old_owner, owner);
            // Whoever owns it there has what he had beside it.
            if new.grantee.as_deref() == Some(owner) && new.grantee == old.grantee && new.grantor != old.grantor {
                continue;
            }
            let (privileges, unknown) = new.privileges.iter().cloned().partition(|one| self.there.contains(one));
            let (new, unknown) = (Grant { privileges, ..new.clone() }, Grant { privileges: unknown, ..new });
            if !unknown.privileges.is_empty() {
                lost.push(self.lose(&unknown, "the target's PostgreSQL does not know it".to_string()));
            }
            match self.why_not(&new, &wanted) {
                _ if new.privileges.is_empty() => {}
                None => wanted.push(new),
                Some(reason) => lost.push(self.lose(&new, reason)),
            }
        }
        (wanted, lost)
    }

    /// All that the owner has here is all that he has there.
    fn whole(&self, old: &Grant) -> Grant {
        let is_owners = old.grantee.as_deref() == Some(self.old_owner);
        let privileges =
            if is_owners && old.privileges == self.here { self.there.to_vec() } else { old.privileges.clone() };
        Grant { privileges, ..old.clone() }
    }

    fn why_not(&self, grant: &Grant, given: &[Grant]) -> Option<String> {
        let is_there = |role: &str| role == self.bearer.owner || self.ground.role(role).is_some();
        if let Some(grantee) = grant.grantee.as_ref().filter(|grantee| !is_there(grantee)) {
            return Some(format!("there is no role {} on the target", display_ident(grantee)));
        }
        if grant.grantor == self.bearer.owner {
            return None;
        }
        let grantor = display_ident(&grant.grantor);
        let has_option = given.iter().any(|option| {
            option.grantable
                && option.grantee.as_ref() == Some(&grant.grantor)
                && (option.column.is_none() || option.column == grant.column)
                && grant.privileges.iter().all(|privilege| option.privileges.contains(privilege))
        });
        match self.ground.role(&grant.grantor) {
            None => Some(format!("{grantor} gave it, who is no role on the target")),
            Some(role) if !role.may_act => Some(format!("{grantor} gave it, and the role cannot act as it")),
            Some(role) if !role.may_use_schema => {
                Some(format!("{grantor} gave it, who may not use the schema {}", display_ident(&self.ground.schema)))
            }
            Some(_) if !has_option => Some(format!("{grantor} gave it, who may not there")),
            Some(_) => None,
        }
    }

    fn lose(&self, grant: &Grant, reason: String) -> NotCarried {
        let statement = give(grant, self.bearer);
        let object = statement.title.strip_prefix("grant ").unwrap_or(&statement.title);
        NotCarried::new("grant", object).because(reason).made_by(vec![statement.script()])
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

fn give(grant: &Grant, bearer: &Bearer<'_>) -> Statement {
    let option = if grant.grantable { " with grant option" } else { "" };
    let sql = format!("grant {} on {} {} to {}{option}", privileges(grant), bearer.keyword, bearer.sql, role(grant));
    as_grantor(grant, bearer, Statement::new(format!("grant {}{option}", title(grant, bearer, "to")), sql))
}

fn revoke(grant: &Grant, bearer: &Bearer<'_>) -> Statement {
    let sql = format!("revoke {} on {} {} from {}", privileges(grant), bearer.keyword, bearer.sql, role(grant));
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

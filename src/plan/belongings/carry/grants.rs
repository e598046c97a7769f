//! Privileges, as far as who gave them and who has them are there.

use super::super::grants::{Bearer, give};
use super::Carrier;
use crate::catalog::NotCarried;
use crate::catalog::belongings::Grant;
use crate::ident::{QualifiedName, display_ident};

/// What whoever owns a sequence may do with it.
const OF_SEQUENCE: [&str; 3] = ["SELECT", "UPDATE", "USAGE"];

/// What whoever owns a table may do with it: one privilege came with PostgreSQL 17.
const OF_TABLE: [&str; 8] = ["DELETE", "INSERT", "MAINTAIN", "REFERENCES", "SELECT", "TRIGGER", "TRUNCATE", "UPDATE"];

/// What whoever makes a sequence may do with it.
pub(super) fn owners_of_sequence(owner: &str) -> Grant {
    owners(owner, OF_SEQUENCE.map(String::from).to_vec())
}

/// What whoever makes a table may do with it.
pub(super) fn owners_of_table(owner: &str, postgresql_number: u32) -> Grant {
    owners(owner, of_table(postgresql_number))
}

fn owners(owner: &str, privileges: Vec<String>) -> Grant {
    let owner = owner.to_string();
    Grant { column: None, grantee: Some(owner.clone()), grantor: owner, grantable: false, privileges }
}

fn of_table(postgresql_number: u32) -> Vec<String> {
    let is_known = |privilege: &&str| *privilege != "MAINTAIN" || postgresql_number >= 170_000;
    OF_TABLE.iter().filter(|privilege| is_known(privilege)).map(ToString::to_string).collect()
}

/// Whose privileges are meant, and whose they become.
#[derive(Clone, Copy)]
pub(super) struct Owners<'a> {
    pub(super) old: &'a str,
    pub(super) new: &'a str,
}

impl Carrier<'_> {
    pub(super) fn grants(&mut self) -> Vec<Grant> {
        let (here, there) = (of_table(self.from.postgresql_number), of_table(self.place.server.postgresql_number));
        // All that the owner had there is all that he has here.
        let grants: Vec<Grant> =
            self.source.belongings.grants.iter().map(|old| self.whole(old, &here, &there)).collect();
        let owners = Owners { old: &self.source.belongings.table.owner, new: self.place.owner };
        self.carried(&grants, &there, owners, &Bearer::table(&self.place.names.table, owners.new))
    }

    pub(super) fn grants_of_sequence(
        &mut self,
        name: &QualifiedName,
        grants: &[Grant],
        owners: Owners<'_>,
    ) -> Vec<Grant> {
        self.carried(grants, &OF_SEQUENCE.map(String::from), owners, &Bearer::sequence(name, owners.new))
    }

    fn whole(&self, old: &Grant, here: &[String], there: &[String]) -> Grant {
        let is_owners = old.grantee.as_ref() == Some(&self.source.belongings.table.owner);
        let privileges = if is_owners && old.privileges == here { there.to_vec() } else { old.privileges.clone() };
        Grant { privileges, ..old.clone() }
    }

    /// In the order in which they were given: who gives on needs to have been given first.
    fn carried(&mut self, grants: &[Grant], known: &[String], owners: Owners<'_>, bearer: &Bearer<'_>) -> Vec<Grant> {
        let mut wanted: Vec<Grant> = Vec::new();
        for old in grants {
            let new = old.given_by(owners.old, owners.new);
            // Whoever owns the table there has what he had beside it.
            if new.grantee.as_deref() == Some(owners.new) && new.grantee == old.grantee && new.grantor != old.grantor {
                continue;
            }
            let (privileges, unknown) = new.privileges.iter().cloned().partition(|one| known.contains(one));
            let (new, unknown) = (Grant { privileges, ..new.clone() }, Grant { privileges: unknown, ..new });
            if !unknown.privileges.is_empty() {
                self.lose_grant(&unknown, bearer, "the target's PostgreSQL does not know it".to_string());
            }
            match self.why_not(&new, &wanted, owners.new) {
                _ if new.privileges.is_empty() => {}
                None => wanted.push(new),
                Some(reason) => self.lose_grant(&new, bearer, reason),
            }
        }
        wanted
    }

    fn why_not(&self, grant: &Grant, given: &[Grant], owner: &str) -> Option<String> {
        if let Some(grantee) = grant.grantee.as_ref().filter(|grantee| !self.is_there(grantee)) {
            return Some(format!("there is no role {} on the target", display_ident(grantee)));
        }
        if grant.grantor == owner {
            return None;
        }
        let grantor = display_ident(&grant.grantor);
        let has_option = given.iter().any(|option| {
            option.grantable
                && option.grantee.as_ref() == Some(&grant.grantor)
                && (option.column.is_none() || option.column == grant.column)
                && grant.privileges.iter().all(|privilege| option.privileges.contains(privilege))
        });
        match self.role(&grant.grantor) {
            None => Some(format!("{grantor} gave it, who is no role on the target")),
            Some(role) if !role.may_act => Some(format!("{grantor} gave it, and the role cannot act as it")),
            Some(role) if !role.may_use_schema => {
                Some(format!("{grantor} gave it, who may not use the table's schema"))
            }
            Some(_) if !has_option => Some(format!("{grantor} gave it, who may not there")),
            Some(_) => None,
        }
    }

    pub(super) fn is_there(&self, role: &str) -> bool {
        role == self.place.owner || self.role(role).is_some()
    }

    fn lose_grant(&mut self, grant: &Grant, bearer: &Bearer<'_>, reason: String) {
        let statement = give(grant, bearer);
        let object = statement.title.strip_prefix("grant ").unwrap_or(&statement.title);
        let lost = NotCarried::new("grant", object).because(reason);
        self.lost.push(lost.made_by(vec![statement.script()]));
    }
}

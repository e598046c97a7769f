//! What objects have beside what makes them: an owner, privileges, comments. And what a server has of the roles in these.
//!
//! **Invariant:** plain data, without an oid.

use serde::{Deserialize, Serialize};

use super::Comment;
use super::belongings::Grant;
use super::footing::RoleHere;

/// What an object of any kind has.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Trappings {
    /// Its owner's name.
    pub owner: String,
    /// Privileges on it and its columns, in the order in which they were given; none on what knows none.
    pub grants: Vec<Grant>,
    /// Comments on it and its columns.
    pub comments: Vec<Comment>,
}

impl Trappings {
    /// Every role that they name.
    pub fn roles(&self) -> impl Iterator<Item = &String> {
        let granted = self.grants.iter().flat_map(|grant| grant.grantee.iter().chain([&grant.grantor]));
        granted.chain([&self.owner])
    }
}

/// A schema, and what it has.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// What it has.
    #[serde(flatten)]
    pub trappings: Trappings,
}

/// What a server has of the roles that are named by what shall be in one of its schemas.
#[derive(Clone, Debug)]
pub struct Ground {
    /// The schema; it may be missing.
    pub schema: String,
    /// The roles that are there.
    pub roles: Vec<RoleHere>,
    /// What the role's new objects in it are granted.
    pub default_grants: Vec<DefaultGrant>,
}

impl Ground {
    /// Counts on the schema's privileges, where that is missing and will be made.
    pub fn foresee(&mut self, made: &Schema) {
        let uses = |role: &str| {
            let is_to = |grant: &&Grant| grant.grantee.as_ref().is_none_or(|grantee| grantee == role);
            let granted = made.trappings.grants.iter().filter(is_to).flat_map(|grant| &grant.privileges);
            granted.into_iter().any(|privilege| privilege == "USAGE")
        };
        self.roles.iter_mut().for_each(|role| role.may_use_schema = uses(&role.name));
    }

    /// A role that is there.
    pub fn role(&self, name: &str) -> Option<&RoleHere> {
        self.roles.iter().find(|role| role.name == name)
    }

    /// What the role's new objects of this kind are granted.
    pub fn default_grants(&self, kind: GrantKind) -> impl Iterator<Item = &Grant> {
        self.default_grants.iter().filter(move |found| found.kind == kind).map(|found| &found.grant)
    }
}

/// What new objects of a kind are granted.
#[derive(Clone, Debug, Deserialize)]
pub struct DefaultGrant {
    /// What they are.
    pub kind: GrantKind,
    /// A privilege that they are made with.
    #[serde(flatten)]
    pub grant: Grant,
}

/// Kinds of objects, as far as they differ in their privileges: `pg_default_acl.defaclobjtype`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum GrantKind {
    /// Tables, views and their like.
    #[serde(rename = "r")]
    Relation,
    /// Sequences.
    #[serde(rename = "S")]
    Sequence,
    /// Functions, procedures and aggregates.
    #[serde(rename = "f")]
    Routine,
    /// Types and domains.
    #[serde(rename = "T")]
    Type,
    /// Schemas.
    #[serde(rename = "n")]
    Schema,
    /// Large objects, and what later versions know.
    #[serde(other)]
    Other,
}

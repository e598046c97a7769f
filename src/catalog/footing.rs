//! What a server has of what belongs to a table of another one: roles, tablespaces, publications, tables, functions.
//!
//! Asked before anything is made, so that a plan can say what will be missing.
//!
//! **Invariant:** says what is there and what keeps something from being made, not what is done about it.

use serde::Deserialize;

use super::belongings::{Belongings, ForeignKey};
use super::trappings::Ground;
use super::{ObjectName, Obstacle};
use crate::ident::QualifiedName;

/// What of a table's belongings can stand on a server.
#[derive(Clone, Debug)]
pub struct Footing {
    /// The roles that they name, as far as they are there.
    pub ground: Ground,
    /// The tablespaces that they name and in which the role may make something.
    pub tablespaces: Vec<String>,
    /// The publications that they name, as far as they are there.
    pub publications: Vec<PublicationHere>,
    /// Extended statistics that are there, of all tables.
    pub statistics: Vec<QualifiedName>,
    /// Functions and relations that they use and that are not there.
    pub missing: Vec<ObjectName>,
    /// Functions that are there, and that the role may not use.
    pub forbidden: Vec<ObjectName>,
    /// What keeps foreign keys of the table from being made, by their names.
    pub foreign_keys: Vec<Obstacle>,
    /// What keeps foreign keys to the table from being made, by `schema.table.name`.
    pub referencing_keys: Vec<Obstacle>,
}

impl Footing {
    /// Counts as there what will be made before: these objects, and these tables among them.
    pub fn foresee(&mut self, wanted: &Belongings, made: &[ObjectName], tables: &[QualifiedName]) {
        self.missing.retain(|missing| !made.contains(missing));
        let refers_there = |key: &&ForeignKey| tables.contains(&key.referenced);
        let keys: Vec<&String> = wanted.foreign_keys.iter().filter(refers_there).map(|key| &key.name).collect();
        self.foreign_keys.retain(|obstacle| !keys.contains(&&obstacle.object));
    }
}

/// A role of a server.
#[derive(Clone, Debug, Deserialize)]
pub struct RoleHere {
    /// Its name.
    pub name: String,
    /// The current role may become it.
    pub may_act: bool,
    /// It may look into the schema that was asked for.
    pub may_use_schema: bool,
    /// The current role may give to it what is in that schema.
    pub may_own: bool,
    /// The current role may give schemas to it.
    pub may_own_schema: bool,
}

/// A publication of a server.
#[derive(Clone, Debug, Deserialize)]
pub struct PublicationHere {
    /// Its name.
    pub name: String,
    /// The current role may add tables to it.
    pub may_change: bool,
    /// It publishes all tables, and takes none by name.
    pub all_tables: bool,
}

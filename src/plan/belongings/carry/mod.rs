//! What of a table's belongings another server can have, as the new table would have it, and what it cannot.
//!
//! Names follow the new table's; roles, functions, tables and publications are those that are there under the same name.
//! What lacks one of them is left out, and listed with the statements that would make it.
//!
//! **Invariant:** everything that the source has is either wanted or listed.

mod attached;
mod grants;

use std::collections::HashSet;

use self::grants::Owners;
use super::attachments::validate_key;
use super::{Statement, arrival, sequences, settings};
use crate::catalog::belongings::{
    Belongings, Comment, CommentOn, DrawnSequence, Grant, IdentitySequence, IndexSettings, NotNull, ReplicaIdentity,
    TableSettings,
};
use crate::catalog::trappings::GrantKind;
use crate::catalog::{Constraint, ConstraintKind, Footing, Hypertable, NotCarried, RoleHere, Server};
use crate::ident::{MAX_IDENT_BYTES, QualifiedName, display_ident, truncate_ident};
use crate::plan::TargetNames;
use crate::plan::grants::owners;

/// Where a table shall have them.
pub struct Place<'a> {
    /// How things are called there.
    pub names: &'a TargetNames,
    /// The server.
    pub server: &'a Server,
    /// What is there already.
    pub footing: &'a Footing,
    /// Who the table will belong to.
    pub owner: &'a str,
    /// The sequences that are made with the table.
    pub sequences: &'a [QualifiedName],
    /// Whether the old table is in the same database, and stays there.
    pub beside_the_old: bool,
}

/// What a table will have, and what it will not.
pub struct Carried {
    /// What it shall have.
    pub wanted: Belongings,
    /// What it has when it is made, as far as that can be foreseen.
    pub foreseen: Belongings,
    /// What it cannot have.
    pub lost: Vec<NotCarried>,
}

impl Carried {
    /// Of a table that shall have all of it, on a server like its own.
    pub fn all(source: &Hypertable, from: &Server) -> Carried {
        let wanted = source.belongings.clone();
        let grants = vec![owners(&wanted.table.owner, GrantKind::Relation, from.postgresql_number)];
        Carried { foreseen: made(&wanted, &wanted.table.owner, grants), wanted, lost: Vec::new() }
    }

    /// Keys that refer to these tables stay as they are made: the rows that they need are not there.
    pub fn leave_unvalidated(&mut self, empty: &[QualifiedName], table: &QualifiedName) {
        for key in self.wanted.foreign_keys.iter_mut().filter(|key| key.validated && empty.contains(&key.referenced)) {
            let sql = vec![validate_key(table, &key.name).script()];
            let reason = format!("{} is made without rows", key.referenced);
            let lost = NotCarried::new("validation of foreign key", display_ident(&key.name));
            self.lost.push(lost.because(reason).made_by(sql));
            key.validated = false;
        }
    }

    /// What will be run on the empty table, as far as that can be foreseen.
    pub fn before_rows(&self, table: &QualifiedName) -> Vec<Statement> {
        arrival::on_empty_table(&self.foreseen, &self.wanted, table)
    }

    /// The same behind the rows.
    pub fn after_rows(&self, table: &QualifiedName) -> Vec<Statement> {
        let (foreseen, wanted) = (&self.foreseen, &self.wanted);
        let steps = [
            arrival::behind_rows(foreseen, wanted, table),
            arrival::keys(foreseen, wanted, table),
            arrival::validation(&arrival::unvalidated(wanted), wanted, table),
            arrival::acting(foreseen, wanted, table),
            arrival::closing(foreseen, wanted, table),
        ];
        // Each step is a difference to the empty table, and so has what an earlier one has done.
        let mut done: HashSet<String> = self.before_rows(table).into_iter().map(|before| before.title).collect();
        steps.into_iter().flatten().filter(|statement| done.insert(statement.title.clone())).collect()
    }
}

/// What of the belongings of `source`, a table of the server `from`, a table in this place can have.
pub fn carry(source: &Hypertable, from: &Server, place: &Place<'_>) -> Carried {
    let mut carrier = Carrier { source, from, place, lost: Vec::new() };
    let wanted = carrier.wanted();
    let foreseen = made(&wanted, place.owner, default_grants(place));
    Carried { wanted, foreseen, lost: carrier.lost }
}

/// What a new table has: what its maker's tables are granted, and the names that it is made with.
fn made(wanted: &Belongings, owner: &str, grants: Vec<Grant>) -> Belongings {
    let index =
        |index: &IndexSettings| IndexSettings { tablespace: None, statistics_targets: Vec::new(), ..index.clone() };
    let sequence = |sequence: &IdentitySequence| IdentitySequence {
        grants: vec![owners(owner, GrantKind::Sequence, ANY_VERSION)],
        comment: None,
        ..sequence.clone()
    };
    let drawn = |drawn: &DrawnSequence| DrawnSequence {
        owner: owner.to_string(),
        grants: vec![owners(owner, GrantKind::Sequence, ANY_VERSION)],
        comment: None,
        ..drawn.clone()
    };
    Belongings {
        drawn_sequences: wanted.drawn_sequences.iter().map(drawn).collect(),
        indexes: wanted.indexes.iter().map(index).collect(),
        identity_sequences: wanted.identity_sequences.iter().map(sequence).collect(),
        not_nulls: wanted.not_nulls.iter().filter(|not_null| not_null.validated).cloned().collect(),
        ..Belongings::of_new_table(owner, grants)
    }
}

/// The name that the server gives to a NOT NULL by itself: of table and column the longer one is cut until both fit.
fn default_not_null(table: &str, column: &str) -> String {
    const LABEL: &str = "_not_null";
    let (mut of_table, mut of_column) = (table.len(), column.len());
    while of_table + of_column + 1 + LABEL.len() > MAX_IDENT_BYTES {
        if of_table > of_column { of_table -= 1 } else { of_column -= 1 }
    }
    format!("{}_{}{LABEL}", truncate_ident(table, of_table), truncate_ident(column, of_column))
}

/// What the role's new tables are granted, when they have been given to the owner.
fn default_grants(place: &Place<'_>) -> Vec<Grant> {
    let grants = place.footing.ground.default_grants(GrantKind::Relation);
    grants.map(|grant| grant.given_by(&place.server.role, place.owner)).collect()
}

/// Those on sequences are the same everywhere.
const ANY_VERSION: u32 = 0;

struct Carrier<'a> {
    source: &'a Hypertable,
    from: &'a Server,
    place: &'a Place<'a>,
    lost: Vec<NotCarried>,
}

impl Carrier<'_> {
    fn wanted(&mut self) -> Belongings {
        let old = &self.source.belongings;
        Belongings {
            table: self.table_settings(),
            grants: self.grants(),
            comments: self.comments(),
            storage_parameters: old.storage_parameters.clone(),
            column_settings: old.column_settings.clone(),
            not_nulls: self.not_nulls(),
            indexes: self.indexes(),
            policies: self.policies(),
            statistics: self.statistics(),
            owned_sequences: Vec::new(),
            drawn_sequences: self.drawn_sequences(),
            identity_sequences: self.identity_sequences(),
            triggers: self.triggers(),
            foreign_keys: self.foreign_keys(),
            referencing_keys: self.referencing_keys(),
            publications: self.publications(),
            obstacles: Vec::new(),
        }
    }

    fn table(&self) -> &QualifiedName {
        &self.place.names.table
    }

    fn lose(&mut self, kind: &str, object: impl Into<String>, reason: impl Into<String>, sql: Vec<Statement>) {
        let sql = sql.iter().map(Statement::script).collect();
        self.lost.push(NotCarried::new(kind, object).because(reason).made_by(sql));
    }

    fn role(&self, name: &str) -> Option<&RoleHere> {
        self.place.footing.ground.role(name)
    }

    /// Who takes the part of a role there: the new owner that of the old one.
    fn in_place_of(&self, role: &str) -> String {
        if role == self.source.belongings.table.owner { self.place.owner.to_string() } else { role.to_string() }
    }

    fn table_settings(&mut self) -> TableSettings {
        let old = &self.source.belongings.table;
        let of_index = |name: &String| self.place.names.of_relation(name);
        let replica_identity = match &old.replica_identity {
            ReplicaIdentity::Index(index) => ReplicaIdentity::Index(of_index(index)),
            other => other.clone(),
        };
        let settings = TableSettings {
            owner: self.place.owner.to_string(),
            clustered_index: old.clustered_index.as_ref().map(of_index),
            replica_identity,
            ..old.clone()
        };
        let tablespace = self.tablespace(&old.tablespace, &self.table().to_string(), |wanted| {
            let have = TableSettings { tablespace: None, ..settings.clone() };
            let wanted = TableSettings { tablespace: wanted, ..settings.clone() };
            settings::tablespace(&have, &wanted, &self.place.names.table)
        });
        let tablespace = tablespace.unwrap_or_else(|lost| {
            self.lost.push(lost);
            None
        });
        TableSettings { tablespace, ..settings }
    }

    /// The tablespace, where something can be made in it.
    fn tablespace(
        &self,
        wanted: &Option<String>,
        of: &str,
        make: impl FnOnce(Option<String>) -> Vec<Statement>,
    ) -> Result<Option<String>, NotCarried> {
        match wanted {
            Some(name) if !self.place.footing.tablespaces.contains(name) => {
                let sql = make(wanted.clone()).iter().map(Statement::script).collect();
                let reason = "it is missing on the target, or the role may not create anything in it";
                let object = format!("{} of {of}", display_ident(name));
                Err(NotCarried::new("tablespace", object).because(reason).made_by(sql))
            }
            usable => Ok(usable.clone()),
        }
    }

    fn indexes(&mut self) -> Vec<IndexSettings> {
        let mut wanted = Vec::new();
        for old in &self.source.belongings.indexes {
            let bare = IndexSettings {
                name: self.place.names.of_relation(&old.name),
                tablespace: None,
                statistics_targets: old.statistics_targets.clone(),
            };
            let tablespace =
                self.tablespace(&old.tablespace, &format!("index {}", display_ident(&bare.name)), |name| {
                    let wanted = IndexSettings { tablespace: name, ..bare.clone() };
                    settings::index_settings(&bare, &wanted, &self.place.names.table)
                });
            match tablespace {
                Ok(tablespace) => wanted.push(IndexSettings { tablespace, ..bare }),
                Err(lost) => {
                    self.lost.push(lost);
                    wanted.push(bare);
                }
            }
        }
        wanted
    }

    /// PostgreSQL 18 was the first to name them. A name that it would give by itself is no loss elsewhere.
    fn not_nulls(&mut self) -> Vec<NotNull> {
        let names = self.place.names;
        let old = &self.source.belongings.not_nulls;
        if self.names_not_nulls() {
            return old.iter().map(|old| NotNull { name: names.follow(&old.name), ..old.clone() }).collect();
        }
        let table = &self.source.name().name;
        let version = format!("PostgreSQL {}", self.place.server.postgresql);
        for old in old.iter().filter(|old| !old.validated || old.name != default_not_null(table, &old.column)) {
            let object = format!("{} of column {}", display_ident(&old.name), display_ident(&old.column));
            match old.validated {
                true => self.lose("name of NOT NULL", object, format!("{version} gives them no names"), Vec::new()),
                false => {
                    let sql = vec![settings::add_unproven(old, &self.place.names.table)];
                    self.lose("NOT NULL", object, format!("{version} would have to check all rows"), sql);
                }
            }
        }
        Vec::new()
    }

    fn names_not_nulls(&self) -> bool {
        self.place.server.postgresql_number >= 180_000
    }

    fn comments(&mut self) -> Vec<Comment> {
        let mut wanted = Vec::new();
        for old in &self.source.belongings.comments {
            match self.comment_on(&old.on) {
                Some(on) => wanted.push(Comment { on, text: old.text.clone() }),
                None => {
                    let (_, object) = old.on.object(&self.place.names.table);
                    self.lose("comment", object, "PostgreSQL has no such constraint there", Vec::new());
                }
            }
        }
        wanted
    }

    /// What carries the comment there.
    fn comment_on(&self, on: &CommentOn) -> Option<CommentOn> {
        let names = self.place.names;
        Some(match on {
            CommentOn::Constraint(name) if self.source.belongings.not_nulls.iter().any(|it| it.name == *name) => {
                return self.names_not_nulls().then(|| CommentOn::Constraint(names.follow(name)));
            }
            CommentOn::Constraint(name) => {
                let is_check = |it: &Constraint| it.kind == ConstraintKind::Check && it.name == *name;
                match self.source.constraints.iter().any(is_check) {
                    true => on.clone(),
                    false => CommentOn::Constraint(names.of_relation(name)),
                }
            }
            CommentOn::Index(name) => CommentOn::Index(names.of_relation(name)),
            CommentOn::Table | CommentOn::Column(_) => on.clone(),
        })
    }

    fn identity_sequences(&mut self) -> Vec<IdentitySequence> {
        let mut wanted = Vec::new();
        for old in &self.source.belongings.identity_sequences {
            let name = self.place.names.of_relation(&old.name);
            let owners = Owners { old: &self.source.belongings.table.owner, new: self.place.owner };
            let sequence = QualifiedName::new(&self.table().schema, &name);
            let grants = self.grants_of_sequence(&sequence, &old.grants, owners);
            wanted.push(IdentitySequence { name, grants, ..old.clone() });
        }
        wanted
    }

    /// Those that were there before keep what they have.
    fn drawn_sequences(&mut self) -> Vec<DrawnSequence> {
        let mut wanted = Vec::new();
        for old in self.source.belongings.drawn_sequences.iter().filter(|old| self.place.sequences.contains(&old.name))
        {
            let owner = self.owner_of(old);
            let grants = self.grants_of_sequence(&old.name, &old.grants, Owners { old: &old.owner, new: &owner });
            wanted.push(DrawnSequence { grants, owner, ..old.clone() });
        }
        wanted
    }

    /// A column's own belongs to whoever the table belongs to, and another one to whom it did, where the role may.
    fn owner_of(&mut self, old: &DrawnSequence) -> String {
        let wanted = self.in_place_of(&old.owner);
        if wanted == self.place.owner || self.role(&wanted).is_some_and(|role| role.may_act) {
            return wanted;
        }
        let owner = self.place.owner.to_string();
        let sql = vec![sequences::set_owner(&old.name, &wanted)];
        self.lose(
            "owner of a sequence",
            old.name.to_string(),
            format!("it will belong to {}", display_ident(&owner)),
            sql,
        );
        owner
    }
}

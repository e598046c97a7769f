//! How a table that is made in another database gets what belongs to it, around its rows.
//!
//! In steps, each a difference between what the table has and what is wanted: [`on_empty_table`], in the transaction that
//! makes it; [`behind_rows`], when rows and indexes are there; [`keys`] and their [`validation`], which reads all rows, before
//! the columnstore; [`acting`], what sees rows that come later, or is told of them; and [`closing`], what would keep ourselves
//! out, in the transaction that finishes the job.

use super::{Belonging as _, Belongings, Statement, attachments, members, sequences, settings, statistics, turn};
use crate::catalog::belongings::{ForeignKey, Publication, ReferencingKey, TableSettings};
use crate::ident::QualifiedName;
use crate::plan::grants::{self, Bearer};

/// What chunks inherit as they are made, and what is cheap there; see [`settings`](super::settings()).
pub fn on_empty_table(have: &Belongings, wanted: &Belongings, table: &QualifiedName) -> Vec<Statement> {
    super::settings(have, &open(wanted), table)
}

/// What needs the indexes, or reads no row of anybody: and what the first step could not do.
pub fn behind_rows(have: &Belongings, wanted: &Belongings, table: &QualifiedName) -> Vec<Statement> {
    let mut statements = on_empty_table(have, wanted, table);
    statements.extend(settings::behind_indexes(have, wanted, table));
    statements.extend(statistics::in_place(have, wanted, table));
    statements
}

/// Foreign keys, not yet validated, and NOT NULL that rows may break. The columnstore refuses them, so they come before
/// it.
pub fn keys(have: &Belongings, wanted: &Belongings, table: &QualifiedName) -> Vec<Statement> {
    let (have, wanted) = (&unvalidated(have), &unvalidated(wanted));
    let mut statements = turn(have.foreign_keys.iter(), wanted.foreign_keys.iter(), table);
    statements.extend(turn(have.referencing_keys.iter(), wanted.referencing_keys.iter(), table));
    statements.extend(settings::unproven_not_nulls(have, wanted, table));
    statements
}

/// Validates the foreign keys of the table and to it that shall be, as far as they are there.
pub fn validation(have: &Belongings, wanted: &Belongings, table: &QualifiedName) -> Vec<Statement> {
    let own = |key: &&ForeignKey| have.foreign_keys.iter().any(|have| have.name == key.name && !have.validated);
    let others =
        |key: &&ReferencingKey| have.referencing_keys.iter().any(|have| have.is_the_key(key) && !have.validated);
    let foreign_keys = wanted.foreign_keys.iter().filter(own).cloned().collect();
    let referencing_keys = wanted.referencing_keys.iter().filter(others).cloned().collect();
    attachments::validate(&Belongings { foreign_keys, referencing_keys, ..wanted.clone() }, table)
}

/// Policies, triggers, what others than the owner have granted, and publications.
pub fn acting(have: &Belongings, wanted: &Belongings, table: &QualifiedName) -> Vec<Statement> {
    let mut statements = turn(have.policies.iter(), wanted.policies.iter(), table);
    statements.extend(turn(have.triggers.iter(), wanted.triggers.iter(), table));
    let bearer = Bearer::table(table, &wanted.table.owner);
    statements.extend(grants::turn_of_others(&have.grants, &wanted.grants, &bearer));
    let published: Vec<Publication> = members(wanted).cloned().collect();
    statements.extend(attachments::publish(&have.publications, &published, table));
    statements
}

/// What the owner has taken from himself, and row-level security that holds for him, too.
pub fn closing(have: &Belongings, wanted: &Belongings, table: &QualifiedName) -> Vec<Statement> {
    let bearer = Bearer::table(table, &wanted.table.owner);
    let mut statements = grants::turn_own(&have.grants, &wanted.grants, &bearer);
    statements.extend(sequences::own_grants(have, wanted, table));
    statements.extend(settings::row_security(&have.table, &wanted.table, table));
    statements
}

/// What keeps a table from being dropped that has got them: foreign keys of other tables.
pub fn release(have: &Belongings, wanted: &Belongings, table: &QualifiedName) -> Vec<Statement> {
    let is_ours = |have: &&ReferencingKey| wanted.referencing_keys.iter().any(|key| key.is_the_key(have));
    have.referencing_keys.iter().filter(is_ours).map(|key| key.take_off(table)).collect()
}

/// The same with the owner not kept out.
fn open(wanted: &Belongings) -> Belongings {
    let table = TableSettings { row_security_forced: false, ..wanted.table.clone() };
    Belongings { table, ..wanted.clone() }
}

/// The same with no foreign key known to hold.
pub(super) fn unvalidated(belongings: &Belongings) -> Belongings {
    let own = belongings.foreign_keys.iter();
    let others = belongings.referencing_keys.iter();
    Belongings {
        foreign_keys: own.map(|key| ForeignKey { validated: false, ..key.clone() }).collect(),
        referencing_keys: others.map(|key| ReferencingKey { validated: false, ..key.clone() }).collect(),
        ..belongings.clone()
    }
}

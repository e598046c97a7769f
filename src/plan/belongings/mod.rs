//! DDL text for what belongs to a table: how one table gets all that another one has.
//!
//! Everything is written as a difference: `wanted` is what the one table has, `have` what the other one has already, by
//! default privileges, by an earlier run, or because it had it before. So the same functions serve a table that takes
//! another one's place, that one when it comes back, and a run that goes on; and what changed meanwhile is carried, too.
//!
//! [`settings`] are for the empty table, because chunks inherit them as they are made, [`behind_indexes`] for when the
//! indexes are there. What acts on rows, or can be at one table only, moves in the transaction of the swap: [`take_off`]
//! of the table that leaves while it still has its name, then its names ([`Away`]), then [`put_on`] the one that has the
//! name now. [`after_swap`] is what takes long.
//!
//! Triggers, policies and settings stay on the table that leaves: nobody writes to it, and it is as it was if it comes
//! back. Definitions are executed after the names have moved, so that what they say of the table by its name means the
//! one that has it now.
//!
//! **Invariant:** pure, and symmetric: nothing in here knows which of two tables is the older one.

mod arrival;
mod attachments;
mod away;
mod carry;
mod obstacles;
mod sequences;
mod settings;
mod statistics;

pub use arrival::{acting, behind_rows, closing, keys, on_empty_table, release, validation};
pub use away::{Away, Rename, Renamed};
pub use carry::{Carried, Place, carry};
pub use obstacles::{irreversible, obstacles};

use super::Statement;
use super::grants::{self, Bearer};
use crate::catalog::belongings::{Belongings, Publication, Trigger};
use crate::ident::QualifiedName;

/// What is put onto a table by one statement and taken off by another.
trait Belonging: PartialEq {
    fn put_on(&self, table: &QualifiedName) -> Vec<Statement>;
    fn take_off(&self, table: &QualifiedName) -> Statement;
}

/// Makes a trigger on a view, with titles that tell it from the table's.
pub(super) fn create_trigger(trigger: &Trigger, view: &QualifiedName) -> Vec<Statement> {
    let on_view = |made: Statement| Statement { title: format!("{} on {view}", made.title), ..made };
    trigger.put_on(view).into_iter().map(on_view).collect()
}

/// Takes off what is not wanted, the last first, and puts on what is missing.
fn turn<'a, T: Belonging + 'a>(
    have: impl Iterator<Item = &'a T>,
    wanted: impl Iterator<Item = &'a T>,
    table: &QualifiedName,
) -> Vec<Statement> {
    let (have, wanted): (Vec<&T>, Vec<&T>) = (have.collect(), wanted.collect());
    let gone = have.iter().rev().filter(|belonging| !wanted.contains(belonging));
    let missing = wanted.iter().filter(|belonging| !have.contains(belonging));
    gone.map(|belonging| belonging.take_off(table))
        .chain(missing.flat_map(|belonging| belonging.put_on(table)))
        .collect()
}

/// What chunks inherit as they are made, and what is cheap on an empty table: owner, grants, storage parameters, column
/// settings, row-level security, comments.
///
/// Row-level security has to be enabled before the columnstore, which refuses it afterwards. Two kinds of grants wait
/// for the swap: what the owner has taken from himself, because he may have to write the rows, and what others than he
/// have given, because they must be able to look into the table's schema.
pub fn settings(have: &Belongings, wanted: &Belongings, table: &QualifiedName) -> Vec<Statement> {
    let mut statements = settings::owner(&have.table, &wanted.table, table);
    statements.extend(grants::turn_early(&have.grants, &wanted.grants, &Bearer::table(table, &wanted.table.owner)));
    statements.extend(settings::of_empty_table(have, wanted, table));
    statements.extend(sequences::settings(have, wanted, table));
    statements
}

/// What needs indexes or keys, or would not come to chunks by itself: the identity for replication by an index, the
/// clustered mark, tablespaces, statistics targets and comments of indexes, parameters of TOAST tables, and extended
/// statistics, under provisional names beside the table.
pub fn behind_indexes(have: &Belongings, wanted: &Belongings, table: &QualifiedName) -> Vec<Statement> {
    let mut statements = settings::behind_indexes(have, wanted, table);
    statements.extend(statistics::beside(have, wanted, table));
    statements
}

/// In the swap's transaction, while the table that leaves still has its name: foreign keys in both directions,
/// memberships in publications, and ownership of sequences leave it.
pub fn take_off(leaving: &Belongings, table: &QualifiedName) -> Vec<Statement> {
    let mut statements: Vec<Statement> =
        members(leaving).map(|publication| attachments::unpublish(publication, table)).collect();
    statements.extend(leaving.referencing_keys.iter().map(|key| key.take_off(table)));
    statements.extend(leaving.foreign_keys.iter().map(|key| key.take_off(table)));
    statements.extend(leaving.owned_sequences.iter().map(|sequence| sequence.take_off(table)));
    statements
}

/// In the swap's transaction, when `table` means the table that arrives: everything that it lacks of what is `wanted`,
/// which was read of the table that leaves before its names went `away`. `have` is read of the table that arrives, now,
/// under its new name. Foreign keys are not validated, so that no row is read; but TimescaleDB puts each of them, in
/// either direction, onto every chunk by itself, as it does with triggers for each row. With 1,000 chunks a trigger was
/// measured to take as long as `alter index … rename`, and a foreign key fifteen times that.
pub fn put_on(have: &Belongings, wanted: &Belongings, table: &QualifiedName, away: &Away) -> Vec<Statement> {
    let mut statements = settings::owner(&have.table, &wanted.table, table);
    statements.extend(grants::turn(&have.grants, &wanted.grants, &Bearer::table(table, &wanted.table.owner)));
    statements.extend(settings::of_empty_table(have, wanted, table));
    statements.extend(settings::behind_indexes(have, wanted, table));
    statements.extend(settings::unproven_not_nulls(have, wanted, table));
    statements.extend(turn(have.policies.iter(), wanted.policies.iter(), table));
    statements.extend(statistics::in_place(have, wanted, table));
    statements.extend(turn(have.owned_sequences.iter(), wanted.owned_sequences.iter(), table));
    statements.extend(sequences::settings(have, wanted, table));
    statements.extend(sequences::values(wanted, table, away));
    statements.extend(sequences::own_grants(have, wanted, table));
    statements.extend(turn(have.triggers.iter(), wanted.triggers.iter(), table));
    statements.extend(turn(have.foreign_keys.iter(), wanted.foreign_keys.iter(), table));
    statements.extend(turn(have.referencing_keys.iter(), wanted.referencing_keys.iter(), table));
    let published: Vec<Publication> = members(wanted).cloned().collect();
    statements.extend(attachments::publish(&have.publications, &published, table));
    statements
}

/// Publications that name the table itself.
fn members(belongings: &Belongings) -> impl Iterator<Item = &Publication> {
    belongings.publications.iter().filter(|publication| publication.table)
}

/// After the swap's commit: foreign keys that held for all rows are known to hold again. Each reads all rows of the
/// table that it is on.
///
/// The columnstore refuses it, so on a new table it is enabled behind this.
pub fn after_swap(wanted: &Belongings, table: &QualifiedName) -> Vec<Statement> {
    attachments::validate(wanted, table)
}

/// Tables that the statements of a swap lock beside the table itself: those that its foreign keys refer to, and those
/// whose foreign keys refer to it. To be locked with it, `access exclusive`: dropping a foreign key takes this lock on
/// both sides.
pub fn locked_tables(leaving: &Belongings) -> Vec<QualifiedName> {
    let referenced = leaving.foreign_keys.iter().map(|key| key.referenced.clone());
    let mut tables: Vec<_> =
        referenced.chain(leaving.referencing_keys.iter().map(|key| key.referencing.clone())).collect();
    tables.sort();
    tables.dedup();
    tables
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::belongings::{Comment, CommentOn, Grant, Trigger, TriggerState};

    /// What a table has that nothing was done to.
    pub(super) fn bare() -> Belongings {
        Belongings::of_new_table("owner", Vec::new())
    }

    fn sql(statements: &[Statement]) -> Vec<String> {
        statements.iter().map(Statement::script).collect()
    }

    fn put_on_metrics(have: &Belongings, wanted: &Belongings) -> Vec<Statement> {
        let away = Away { table: QualifiedName::new("s", "old"), renames: Vec::new() };
        put_on(have, wanted, &QualifiedName::new("s", "metrics"), &away)
    }

    fn grant(grantor: &str, grantee: &str) -> Grant {
        Grant {
            column: None,
            grantee: Some(grantee.into()),
            grantor: grantor.into(),
            grantable: true,
            privileges: vec!["SELECT".into()],
        }
    }

    fn trigger(name: &str, after: &str) -> Trigger {
        Trigger {
            name: name.into(),
            around: Some(("CREATE TRIGGER t BEFORE INSERT ON ".into(), after.into())),
            enabled: TriggerState::Origin,
            needs: Vec::new(),
            comment: None,
        }
    }

    #[test]
    fn equal_belongings_need_nothing() {
        let on = Comment { on: CommentOn::Table, text: "it's".into() };
        let table = Belongings { comments: vec![on], triggers: vec![trigger("t", " x")], ..bare() };
        assert!(put_on_metrics(&table, &table).is_empty());
    }

    #[test]
    fn what_differs_is_taken_off_before_it_is_put_on() {
        let have = Belongings { triggers: vec![trigger("t", " old"), trigger("u", " u")], ..bare() };
        let wanted = Belongings { triggers: vec![trigger("t", " new")], ..bare() };
        assert_eq!(
            sql(&put_on_metrics(&have, &wanted)),
            [
                "drop trigger \"u\" on \"s\".\"metrics\"",
                "drop trigger \"t\" on \"s\".\"metrics\"",
                "CREATE TRIGGER t BEFORE INSERT ON \"s\".\"metrics\" new"
            ]
        );
    }

    #[test]
    fn grants_are_given_by_whoever_gave_them_and_taken_back_from_the_last_to_the_first() {
        let chain = Belongings { grants: vec![grant("owner", "a"), grant("a", "b")], ..bare() };
        assert_eq!(
            sql(&put_on_metrics(&bare(), &chain)),
            [
                "grant select on table \"s\".\"metrics\" to \"a\" with grant option",
                "set role \"a\"; grant select on table \"s\".\"metrics\" to \"b\" with grant option; reset role"
            ]
        );
        assert_eq!(
            sql(&put_on_metrics(&chain, &bare())),
            [
                "set role \"a\"; revoke select on table \"s\".\"metrics\" from \"b\"; reset role",
                "revoke select on table \"s\".\"metrics\" from \"a\""
            ]
        );
    }

    #[test]
    fn what_the_owner_took_from_himself_waits_for_the_swap() {
        let have = Belongings { grants: vec![grant("owner", "owner")], ..bare() };
        let table = QualifiedName::new("s", "metrics");
        assert!(settings(&have, &bare(), &table).is_empty());
        assert_eq!(sql(&put_on_metrics(&have, &bare())), ["revoke select on table \"s\".\"metrics\" from \"owner\""]);
    }
}

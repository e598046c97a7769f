//! Sequences of columns. One that a column owns is the same before and after a swap and changes its owner; an identity
//! is its table's own, so the new table's takes the old one's name and goes on where that one stands.

use super::settings::comment;
use super::statistics::rename;
use super::{Away, Belonging, Statement};
use crate::catalog::belongings::{Belongings, DrawnSequence, Grant, IdentitySequence, OwnedSequence};
use crate::ident::{QualifiedName, display_ident, quote_ident, quote_literal};
use crate::plan::grants::{self, Bearer};

impl Belonging for OwnedSequence {
    fn put_on(&self, table: &QualifiedName) -> Vec<Statement> {
        vec![self.owned_by(table, &format!("{}.{}", table.sql(), quote_ident(&self.column)), "own")]
    }

    fn take_off(&self, table: &QualifiedName) -> Statement {
        self.owned_by(table, "none", "disown")
    }
}

impl OwnedSequence {
    /// PostgreSQL wants a sequence in the schema of whoever owns it.
    fn owned_by(&self, table: &QualifiedName, owner: &str, verb: &str) -> Statement {
        let name = QualifiedName::new(&table.schema, &self.name);
        Statement::new(format!("{verb} sequence {name}"), format!("alter sequence {} owned by {owner}", name.sql()))
    }
}

/// Sequences get their names, owners, comments, and what others may do with them. What the owner has taken from himself waits for
/// their values: see [`own_grants`].
pub(super) fn settings(have: &Belongings, wanted: &Belongings, table: &QualifiedName) -> Vec<Statement> {
    let identities = identities(have, wanted).flat_map(|(have, sequence)| {
        let name = QualifiedName::new(&table.schema, &sequence.name);
        let mut statements = rename("sequence", &QualifiedName::new(&table.schema, &have.name), &name);
        let bearer = Bearer::sequence(&name, &wanted.table.owner);
        statements.extend(grants::turn_of_others(&have.grants, &sequence.grants, &bearer));
        statements.extend((have.comment != sequence.comment).then(|| set_comment(&name, sequence.comment.as_deref())));
        statements
    });
    let drawn = drawn(have, wanted).flat_map(|(have, wanted)| {
        let owner = (have.owner != wanted.owner).then(|| set_owner(&wanted.name, &wanted.owner));
        let grants = grants::turn_of_others(&given(have, wanted), &wanted.grants, &bearer(wanted));
        let comment = (have.comment != wanted.comment).then(|| set_comment(&wanted.name, wanted.comment.as_deref()));
        owner.into_iter().chain(grants).chain(comment)
    });
    identities.chain(drawn).collect()
}

/// What the owner has himself, when their values are set.
pub(super) fn own_grants(have: &Belongings, wanted: &Belongings, table: &QualifiedName) -> Vec<Statement> {
    let identities = identities(have, wanted).flat_map(|(have, sequence)| {
        let name = QualifiedName::new(&table.schema, &sequence.name);
        grants::turn_own(&have.grants, &sequence.grants, &Bearer::sequence(&name, &wanted.table.owner))
    });
    let drawn = drawn(have, wanted)
        .flat_map(|(have, wanted)| grants::turn_own(&given(have, wanted), &wanted.grants, &bearer(wanted)));
    identities.chain(drawn).collect()
}

/// Identity sequences of the same column.
fn identities<'a>(
    have: &'a Belongings,
    wanted: &'a Belongings,
) -> impl Iterator<Item = (&'a IdentitySequence, &'a IdentitySequence)> {
    let of_column = move |column: &str| have.identity_sequences.iter().find(|have| have.column == column);
    wanted.identity_sequences.iter().filter_map(move |wanted| Some((of_column(&wanted.column)?, wanted)))
}

/// Other sequences of the same name.
fn drawn<'a>(
    have: &'a Belongings,
    wanted: &'a Belongings,
) -> impl Iterator<Item = (&'a DrawnSequence, &'a DrawnSequence)> {
    let of_name = move |name: &QualifiedName| have.drawn_sequences.iter().find(|have| have.name == *name);
    wanted.drawn_sequences.iter().filter_map(move |wanted| Some((of_name(&wanted.name)?, wanted)))
}

/// What the one owner had the other one gets with the sequence.
fn given(have: &DrawnSequence, wanted: &DrawnSequence) -> Vec<Grant> {
    have.grants.iter().map(|grant| grant.given_by(&have.owner, &wanted.owner)).collect()
}

fn bearer(sequence: &DrawnSequence) -> Bearer<'_> {
    Bearer::sequence(&sequence.name, &sequence.owner)
}

/// Gives the sequence to a role.
pub(super) fn set_owner(sequence: &QualifiedName, owner: &str) -> Statement {
    Statement::new(
        format!("give sequence {sequence} to {}", display_ident(owner)),
        format!("alter sequence {} owner to {}", sequence.sql(), quote_ident(owner)),
    )
}

/// An empty comment is none.
fn set_comment(sequence: &QualifiedName, text: Option<&str>) -> Statement {
    comment(&format!("sequence {}", sequence.sql()), &format!("sequence {sequence}"), text.unwrap_or_default())
}

/// Identity sequences go on where those of the table that leaves stand at this moment: no value is read by us, so none
/// is given out between reading and setting.
pub(super) fn values(wanted: &Belongings, table: &QualifiedName, away: &Away) -> Vec<Statement> {
    let set = |sequence: &IdentitySequence| {
        let name = QualifiedName::new(&table.schema, &sequence.name);
        Statement::new(
            format!("set value of sequence {name}"),
            format!(
                "select pg_catalog.setval({}::pg_catalog.regclass, last_value, is_called) from {}",
                quote_literal(&name.sql()),
                away.sequence(&sequence.name).sql()
            ),
        )
    };
    wanted.identity_sequences.iter().map(set).collect()
}

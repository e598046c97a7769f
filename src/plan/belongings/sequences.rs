//! Sequences of columns. One that a column owns is the same before and after a swap and changes its owner; an identity
//! is its table's own, so the new table's takes the old one's name and goes on where that one stands.

use super::grants::{self, Bearer};
use super::settings::comment;
use super::statistics::rename;
use super::{Away, Belonging, Statement};
use crate::catalog::belongings::{Belongings, IdentitySequence, OwnedSequence};
use crate::ident::{QualifiedName, quote_ident, quote_literal};

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

/// Identity sequences get their names, grants and comments.
pub(super) fn names(have: &Belongings, wanted: &Belongings, table: &QualifiedName) -> Vec<Statement> {
    let of_column = |column: &str| have.identity_sequences.iter().find(|have| have.column == column);
    let pairs = wanted.identity_sequences.iter().filter_map(|wanted| Some((of_column(&wanted.column)?, wanted)));
    pairs.flat_map(|(have, sequence)| name(have, sequence, table, &wanted.table.owner)).collect()
}

fn name(have: &IdentitySequence, wanted: &IdentitySequence, table: &QualifiedName, owner: &str) -> Vec<Statement> {
    let name = QualifiedName::new(&table.schema, &wanted.name);
    let mut statements = rename("sequence", &QualifiedName::new(&table.schema, &have.name), &name);
    statements.extend(grants::turn(&have.grants, &wanted.grants, &Bearer::sequence(&name, owner)));
    if have.comment != wanted.comment {
        let text = wanted.comment.as_deref().unwrap_or_default();
        statements.push(comment(&format!("sequence {}", name.sql()), &format!("sequence {name}"), text));
    }
    statements
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

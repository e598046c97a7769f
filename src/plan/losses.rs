//! What a table has and nobody carries, wherever it goes.

use crate::catalog::{Constraint, Hypertable, NotCarried, Server};
use crate::ident::{QualifiedName, display_ident};

/// What neither another table nor an archive gets of this one; `table` is its name there.
pub fn losses(source: &Hypertable, table: &QualifiedName) -> Vec<NotCarried> {
    let mut found = source.not_carried.clone();
    found.extend(source.policies.not_carried.iter().cloned());
    if source.table.unlogged {
        let lost = NotCarried::new("unlogged", "the table will be logged");
        let reason = "a crash would empty it, and its job would still call its rows done";
        found.push(lost.because(reason).made_by(vec![format!("alter table {} set unlogged", table.sql())]));
    }
    for index in source.indexes.iter().filter(|index| !index.valid) {
        found.push(NotCarried::new("invalid index", &index.name));
    }
    for sequence in source.sequences.iter().filter(|sequence| !sequence.readable) {
        found.push(NotCarried::new("sequence value", format!("the role may not read {}", sequence.name)));
    }
    found
}

/// The table as a server of this version can have it, and which of its constraints that costs.
pub fn fit_version(source: &Hypertable, server: &Server) -> (Hypertable, Vec<NotCarried>) {
    let (constraints, beyond) =
        source.constraints.iter().cloned().partition(|constraint| is_known(&constraint.definition, server));
    let lost = |constraint: Constraint| {
        let lost = NotCarried::new("constraint", display_ident(&constraint.name));
        lost.because(unknown(server)).made_by(vec![constraint.definition])
    };
    (Hypertable { constraints, ..source.clone() }, Vec::into_iter(beyond).map(lost).collect())
}

/// PostgreSQL 18 was the first to have constraints that are not enforced, and those over periods.
pub(super) fn is_known(definition: &str, server: &Server) -> bool {
    let of_18 = definition.ends_with(" NOT ENFORCED")
        || definition.contains(" WITHOUT OVERLAPS)")
        || (definition.starts_with("FOREIGN KEY") && definition.contains(", PERIOD "));
    server.postgresql_number >= 180_000 || !of_18
}

pub(super) fn unknown(server: &Server) -> String {
    format!("PostgreSQL {} has no such constraint", server.postgresql)
}

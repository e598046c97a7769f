//! What a table has and nobody carries, wherever it goes.

use crate::catalog::{Hypertable, NotCarried};

/// What neither another table nor an archive gets of this one.
pub fn losses(source: &Hypertable) -> Vec<NotCarried> {
    let mut found = source.not_carried.clone();
    found.extend(source.policies.not_carried.iter().cloned());
    if source.table.unlogged {
        found.push(NotCarried::new("unlogged", "the table will be logged"));
    }
    for index in source.indexes.iter().filter(|index| !index.valid) {
        found.push(NotCarried::new("invalid index", &index.name));
    }
    for sequence in source.sequences.iter().filter(|sequence| !sequence.readable) {
        found.push(NotCarried::new("sequence value", format!("the role may not read {}", sequence.name)));
    }
    found
}

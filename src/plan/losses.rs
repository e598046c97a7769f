//! What a table has and nobody carries, wherever it goes.

use crate::catalog::{Hypertable, NotCarried};

/// What neither another table nor an archive gets of this one, of whose chunks so many hold compressed rows.
pub fn losses(source: &Hypertable, compressed_chunks: u64) -> Vec<NotCarried> {
    let mut found = source.not_carried.clone();
    if source.table.unlogged {
        found.push(NotCarried::new("unlogged", "the table will be logged"));
    }
    if source.row.columnstore {
        found.push(NotCarried::new("compression settings", "the rows arrive uncompressed"));
    }
    if compressed_chunks > 0 {
        found.push(NotCarried::new("compression", format!("{compressed_chunks} chunks arrive uncompressed")));
    }
    for index in source.indexes.iter().filter(|index| !index.valid) {
        found.push(NotCarried::new("invalid index", &index.name));
    }
    for sequence in source.sequences.iter().filter(|sequence| !sequence.readable) {
        found.push(NotCarried::new("sequence value", format!("the role may not read {}", sequence.name)));
    }
    found
}

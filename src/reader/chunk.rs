//! The statement that reads a task.

use crate::catalog::Chunk;
use crate::pgcopy::TimeType;
use crate::plan::{Range, Read};

/// What all reads of one table share.
pub struct ChunkReader<'a> {
    /// The source's chunks; a task's reads point into it.
    pub chunks: &'a [Chunk],
    /// The column list, quoted.
    pub columns: &'a str,
    /// The primary dimension's column.
    pub primary: &'a str,
    /// Its type.
    pub time_type: TimeType,
    /// `binary` or `text`.
    pub format: &'a str,
}

impl ChunkReader<'_> {
    /// `copy (select … from chunk …) to stdout`, over all reads in the order of the chunks. Chunks are named in a
    /// query and never as `copy chunk` or `only chunk`: both leave out compressed rows without a word.
    ///
    /// No reads at all are a statement that answers no row of the right shape.
    pub fn copy_out(&self, reads: &[Read], root: &str) -> String {
        let selects: Vec<String> = if reads.is_empty() {
            vec![format!("select {} from {root} where false", self.columns)]
        } else {
            reads.iter().map(|read| self.select(read)).collect()
        };
        copy_out_of(&selects.join(" union all "), self.format)
    }

    fn select(&self, read: &Read) -> String {
        let table = self.chunks[read.chunk].table().sql();
        let condition = condition(read.range, self.primary, self.time_type);
        format!("select {} from {table}{condition}", self.columns)
    }
}

/// ` where …`, or nothing for a range without bounds.
pub fn condition(range: Range, primary: &str, time_type: TimeType) -> String {
    range.condition(primary, time_type).map(|condition| format!(" where {condition}")).unwrap_or_default()
}

/// A query's rows as a COPY stream.
pub fn copy_out_of(query: &str, format: &str) -> String {
    format!("copy ({query}) to stdout (format {format})")
}

//! The statement that reads a task.

use crate::catalog::Chunk;
use crate::pgcopy::Format;
use crate::plan::{OpenDimension, Read};

/// What all reads of one table share.
pub struct ChunkReader {
    /// The source's chunks; a task's reads point into it.
    pub chunks: Vec<Chunk>,
    /// The column list, quoted.
    pub columns: String,
    /// The primary dimension.
    pub primary: OpenDimension,
    /// The format of the rows.
    pub format: Format,
}

impl ChunkReader {
    /// The statements that read a task, one after the other. Chunks are named in a query and never as `copy chunk` or
    /// `only chunk`: both leave out compressed rows without a word.
    ///
    /// So does `union all` over chunks where the planner flattens it (seen on 2.19.3: 0 of 576 rows). A chunk that holds
    /// compressed rows is therefore read by a statement of its own, and the branches of the others are fenced off by
    /// `offset 0`, which costs nothing.
    pub fn copy_out(&self, reads: &[Read]) -> Vec<String> {
        let is_alone = |read: &Read| self.chunks[read.chunk].compressed;
        let together = reads.chunk_by(|one, next| !is_alone(one) && !is_alone(next));
        together.flat_map(|reads| reads.chunks(MAX_BRANCHES)).map(|reads| self.copy_out_of(reads)).collect()
    }

    fn copy_out_of(&self, reads: &[Read]) -> String {
        let query = match reads {
            [read] => self.select(read),
            reads => {
                let branches: Vec<String> =
                    reads.iter().map(|read| format!("({} offset 0)", self.select(read))).collect();
                branches.join(" union all ")
            }
        };
        copy_out_of(&query, self.format.name())
    }

    fn select(&self, read: &Read) -> String {
        let table = self.chunks[read.chunk].table().sql();
        format!("select {} from {table}{}", self.columns, self.primary.filter(read.range))
    }
}

/// Chunks that one statement reads at most: each is a node in the server's plan.
const MAX_BRANCHES: usize = 64;

/// A query's rows as a COPY stream.
pub fn copy_out_of(query: &str, format: &str) -> String {
    format!("copy ({query}) to stdout (format {format})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgcopy::TimeType;
    use crate::plan::Range;

    fn chunk(name: &str, compressed: bool) -> Chunk {
        let json =
            format!(r#"{{"id": 1, "schema": "s", "name": "{name}", "tiered": false, "compressed": {compressed}}}"#);
        serde_json::from_str(&json).expect("a chunk")
    }

    #[test]
    fn a_compressed_chunk_is_read_alone_and_the_others_behind_fences() {
        let chunks = [chunk("a", false), chunk("b", false), chunk("c", true), chunk("d", true), chunk("e", false)];
        let reader = ChunkReader {
            chunks: chunks.to_vec(),
            columns: "\"x\"".into(),
            primary: OpenDimension { column: "t".into(), time_type: TimeType::Int8, interval: 1, function: None },
            format: Format::Binary,
        };
        let reads: Vec<Read> = (0..5).map(|chunk| Read { chunk, range: Range::ALL }).collect();
        assert_eq!(
            reader.copy_out(&reads),
            [
                "copy ((select \"x\" from \"s\".\"a\" offset 0) union all (select \"x\" from \"s\".\"b\" offset 0)) to stdout (format binary)",
                "copy (select \"x\" from \"s\".\"c\") to stdout (format binary)",
                "copy (select \"x\" from \"s\".\"d\") to stdout (format binary)",
                "copy (select \"x\" from \"s\".\"e\") to stdout (format binary)",
            ]
        );
        assert!(reader.copy_out(&[]).is_empty());
    }
}

//! A block of a file, as it was cut and as it was read.

use bytes::Bytes;

use crate::csv::{Dialect, LineEnd, Parser, Splitter};
use crate::ledger::{Reject, Stretch};
use crate::pgcopy::Format;
use crate::schema::Point;

/// Whole records of one file.
#[derive(Debug)]
pub struct Block {
    /// Its place among the blocks of a run, from 0.
    pub number: u64,
    /// Which bytes of which file they are.
    pub stretch: Stretch,
    /// Its first line, from 1.
    pub line: u64,
    /// How records of its file end.
    pub line_end: LineEnd,
    /// The records, with their line ends.
    pub bytes: Vec<u8>,
}

impl Block {
    /// A record that is left out; `at` is where it begins in the block.
    pub fn reject(&self, dialect: &Dialect, at: usize, why: Why) -> Reject {
        let mut parser = Parser::new(dialect, self.line_end);
        let record = parser.record(&self.bytes[at..]).map(|record| record.text.to_vec()).unwrap_or_default();
        let mut before = Splitter::new(dialect, self.line_end);
        before.find_end(&self.bytes[..at], at + 1);
        Reject {
            file: self.stretch.file,
            byte: self.stretch.from + at as u64,
            line: self.line + before.lines(),
            record,
            column: why.column,
            reason: why.reason,
            sqlstate: why.sqlstate,
        }
    }
}

/// Why a record is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// The column, where the reason is one column's.
    pub column: Option<String>,
    /// The reason, in the server's words.
    pub reason: String,
    /// Five characters.
    pub sqlstate: String,
}

/// A block whose records have become rows.
#[derive(Debug)]
pub struct Parsed {
    /// The block, whose text is asked again for what the server refuses.
    pub block: Block,
    /// The format of the rows.
    pub format: Format,
    /// Rows as COPY takes them, without header and trailer, in the order in which they are best loaded.
    pub data: Bytes,
    /// Where each of them ends in `data`.
    pub rows: Vec<RowEnd>,
    /// Records that are no rows, in the order of the file.
    pub rejects: Vec<Reject>,
    /// Places for which no chunk was known.
    pub missing: Vec<Point>,
    /// Whether each row's place was known: the chunk that it goes to, or that there is none.
    pub is_placed: bool,
}

/// One row of a [`Parsed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowEnd {
    /// The byte behind it in the data.
    pub end: usize,
    /// Where its record begins in the block.
    pub record: usize,
}

impl Parsed {
    /// The bytes of the `n`th row.
    pub fn row(&self, n: usize) -> Bytes {
        let start = n.checked_sub(1).map_or(0, |before| self.rows[before].end);
        self.data.slice(start..self.rows[n].end)
    }
}

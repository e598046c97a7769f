//! A block of a file, as it was cut and as it was read.

use bytes::Bytes;

use super::room::Room;
use super::rows::push_text;
use crate::csv::{Dialect, LineEnd, Parser, Splitter};
use crate::ledger::{Reject, Stretch};
use crate::pgcopy::Format;
use crate::plan::Point;

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
    pub bytes: Room,
}

impl Block {
    /// A record that is left out; `at` is where it begins in the block, and `line` in the file.
    pub fn reject(&self, dialect: &Dialect, at: usize, line: u64, why: Why) -> Reject {
        let mut parser = Parser::new(dialect, self.line_end);
        let record = parser.record(&self.bytes[at..]).map(|record| record.text.to_vec()).unwrap_or_default();
        Reject {
            file: self.stretch.file,
            byte: self.stretch.from + at as u64,
            line,
            record,
            column: why.column,
            reason: why.reason,
            sqlstate: why.sqlstate,
        }
    }
}

/// Counts the lines before places of a block that are asked for in the order of the file; reads each byte once.
pub struct Lines {
    splitter: Splitter,
    counted: usize,
}

impl Lines {
    /// At the start of a block.
    pub fn of(block: &Block, dialect: &Dialect) -> Lines {
        Lines { splitter: Splitter::new(dialect, block.line_end), counted: 0 }
    }

    /// The line, from 1, that begins at byte `at` of the block; not before one that was asked for.
    pub fn line(&mut self, block: &Block, at: usize) -> u64 {
        let piece = &block.bytes[self.counted..at];
        self.splitter.find_end(piece, piece.len() + 1);
        self.counted = at;
        block.line + self.splitter.lines()
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

    /// The `n`th row as text, whatever the others are.
    pub fn text_row(&self, n: usize, dialect: &Dialect, with_position: bool) -> Bytes {
        if self.format == Format::Text {
            return self.row(n);
        }
        let at = self.rows[n].record;
        let mut data = Vec::new();
        if let Some(fields) = self.parser(dialect).record(&self.block.bytes[at..]).and_then(|record| record.fields.ok())
        {
            push_text(&fields, with_position.then_some(at), &mut data);
        }
        Bytes::from(data)
    }

    /// The first field of the `n`th row, from 0, that is no UTF-8 as the server takes it.
    pub fn garbled_field(&self, n: usize, dialect: &Dialect) -> Option<usize> {
        let mut parser = self.parser(dialect);
        let fields = parser.record(&self.block.bytes[self.rows[n].record..])?.fields.ok()?;
        let is_garbled = |field: &[u8]| field.contains(&0) || std::str::from_utf8(field).is_err();
        fields.iter().position(|field| field.is_some_and(is_garbled))
    }

    fn parser(&self, dialect: &Dialect) -> Parser {
        Parser::new(dialect, self.block.line_end)
    }
}

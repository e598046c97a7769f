//! The rows of a COPY stream, whatever its format: counted, hashed where asked to, handed on one by one.

use std::fmt::Display;

use crate::connect::Side;
use crate::error::{Error, Result};
use crate::ledger::Counted;
use crate::pgcopy::{Checksum, Coordinate, Format, MAX_RECORD_BYTES, Malformed, RowHash, RowHasher, binary, text};
use crate::plan::Wire;

/// Scans a COPY stream: counts its rows, and adds up their checksum where asked to.
pub struct RowScanner {
    scanner: Scanner,
    hasher: Option<RowHasher>,
    checksum: Checksum,
}

enum Scanner {
    Binary(binary::Scanner),
    Text(text::Scanner),
}

/// A row of either format.
pub enum Row<'a> {
    /// Its fields can be told apart.
    Binary(binary::Row<'a>),
    /// A line.
    Text(text::Row<'a>),
}

impl Row<'_> {
    /// The row as COPY data.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Row::Binary(row) => row.bytes(),
            Row::Text(row) => row.bytes(),
        }
    }

    /// Where it lies along a dimension; none where that cannot be told.
    #[inline]
    pub fn coordinate(&self, of: Coordinate) -> Option<i64> {
        match self {
            Row::Binary(row) => of.of_binary(row),
            Row::Text(row) => of.of_text(row),
        }
    }

    /// Its hash, over the canonical form that `hasher` knows in binary and over the line in text.
    ///
    /// # Errors
    /// [`Malformed`] where a value is not what the canonical form expects.
    #[inline]
    pub fn hash(&self, hasher: &mut RowHasher) -> Result<RowHash, Malformed> {
        match self {
            Row::Binary(row) => hasher.hash(row),
            Row::Text(row) => Ok(RowHash::of_line(row.line())),
        }
    }
}

impl RowScanner {
    /// A scanner for one stream.
    pub fn new(wire: &Wire, with_checksum: bool) -> Self {
        let scanner = match wire.format {
            Format::Binary => Scanner::Binary(binary::Scanner::new(wire.canon.len() as u16, MAX_RECORD_BYTES)),
            Format::Text => Scanner::Text(text::Scanner::new(MAX_RECORD_BYTES)),
        };
        let hasher = with_checksum.then(|| RowHasher::new(wire.canon.clone()));
        RowScanner { scanner, hasher, checksum: Checksum::default() }
    }

    /// Takes the next piece of the stream, wherever it is cut, and hands on the rows that end in it.
    pub fn push(&mut self, piece: &[u8], mut take: impl FnMut(&Row<'_>)) -> Result<(), Malformed> {
        let mut see = |row: &Row<'_>| {
            if let Some(hasher) = &mut self.hasher {
                self.checksum.add_row(row.hash(hasher)?);
            }
            take(row);
            Ok(())
        };
        match &mut self.scanner {
            Scanner::Binary(scanner) => {
                let mut rows = scanner.rows(piece);
                while let Some(row) = rows.next_row()? {
                    see(&Row::Binary(row))?;
                }
            }
            Scanner::Text(scanner) => {
                let mut rows = scanner.rows(piece);
                while let Some(row) = rows.next_row()? {
                    see(&Row::Text(row))?;
                }
            }
        }
        Ok(())
    }

    /// The stream has ended: answers what it held.
    ///
    /// # Errors
    /// Where it ended in the middle of a row, or without its trailer.
    pub fn finish(self) -> Result<Counted, Malformed> {
        let rows = match self.scanner {
            Scanner::Binary(scanner) => scanner.finish()?,
            Scanner::Text(scanner) => scanner.finish()?,
        };
        Ok(Counted { rows, checksum: self.hasher.is_some().then_some(self.checksum) })
    }
}

/// The server counts what it sends, too: `sent` is what its command tag says of the rows of `what`.
///
/// # Errors
/// The side's kind where another number has arrived.
pub fn refuse_other_count(side: Side, what: &dyn Display, sent: u64, seen: u64) -> Result<()> {
    match sent == seen {
        true => Ok(()),
        false => Err(Error::new(
            side.kind(),
            format!("the {} says it has sent {sent} rows of {what}, and {seen} have arrived", side.name()),
        )),
    }
}

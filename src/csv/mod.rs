//! PostgreSQL's CSV, read as `COPY … (format csv)` reads it: bytes become records, records become fields.
//!
//! [`Splitter`] finds where records end in a file that arrives in pieces, so that it can be cut into blocks;
//! [`Parser`] reads the records of a block. Both follow the server's rules and not RFC 4180: a quote opens and closes
//! anywhere in a field, a field is NULL only where it is not quoted, and the first record decides how lines end.
//! Around them: what a [`header`] says, what a file that does not fit looks like ([`diagnose`]), and which types its
//! values have ([`infer`]).
//!
//! May touch: bytes that it is handed, in an encoding whose multi-byte characters consist of bytes above 0x7F, which
//! every server encoding is. Imports nothing of ours, does no I/O, and allocates nothing per record.
//!
//! **Invariant:** wherever a file is cut, its records are the same. It does not know files, tables or types; no byte
//! sequence makes it panic, and no message shows a value.

pub mod diagnose;
mod dialect;
pub mod header;
pub mod infer;
mod line_end;
mod parser;
mod record;
mod specials;
mod splitter;
#[cfg(test)]
mod twin;

pub use dialect::{Dialect, DialectError};
pub use line_end::LineEnd;
pub use parser::Parser;
pub use record::{Fields, MAX_FIELDS, Record};
pub use splitter::Splitter;

use std::fmt;

/// The ways in which a record can be malformed; where a record has several, the first one counts, as for the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// An unquoted LF in a file whose lines end in something else.
    UnquotedNewline,
    /// An unquoted CR in a file whose lines end in something else.
    UnquotedCarriageReturn,
    /// A quote that the end of the file leaves open; the record is all that follows it.
    UnterminatedQuote,
}

impl Defect {
    /// The server's words.
    pub fn message(self) -> &'static str {
        match self {
            Defect::UnquotedNewline => "unquoted newline found in data",
            Defect::UnquotedCarriageReturn => "unquoted carriage return found in data",
            Defect::UnterminatedQuote => "unterminated CSV quoted field",
        }
    }

    /// What to do, where the server says it.
    pub fn hint(self) -> Option<&'static str> {
        match self {
            Defect::UnquotedNewline => Some("Use quoted CSV field to represent newline."),
            Defect::UnquotedCarriageReturn => Some("Use quoted CSV field to represent carriage return."),
            Defect::UnterminatedQuote => None,
        }
    }

    /// `bad_copy_file_format`.
    pub fn sqlstate(self) -> &'static str {
        "22P04"
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Defect {}

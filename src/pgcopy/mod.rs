//! The COPY wire formats: scan rows, encode values, read dimension values, hash rows.
//!
//! A COPY stream arrives in pieces that the network cut; it leaves here as whole rows, byte for byte as the server
//! sent them. [`binary`] and [`text`] find where rows end, [`dimension`] reads the few fields that routing needs, and
//! [`checksum`] hashes rows so that two tables can be compared without sorting. Nothing else is decoded. The other way,
//! [`encode`] and [`text::push_field`] make fields of the text of values.
//!
//! May touch: bytes that it is handed. Imports nothing of ours, does no I/O, reads no clock.
//!
//! **Invariant:** it does not know where a stream comes from or goes to, nor any table, catalog or type OID; the caller
//! says how many columns there are and what they mean. No byte sequence makes it panic, and no message shows a value.

pub mod binary;
pub mod checksum;
mod civil;
mod coordinate;
pub mod dimension;
pub mod encode;
pub mod text;
mod uuid;

pub use checksum::{Canon, Checksum, RowHash, RowHasher};
pub use coordinate::Coordinate;
pub use dimension::{HashType, TimeType};

use std::fmt;

/// The two formats that hypercopy speaks; `csv` is for files, not for servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `format binary`: a header, length-prefixed fields, a trailer.
    Binary,
    /// `format text`: lines of escaped, tab-separated values.
    Text,
}

impl Format {
    /// The word for this format in the options of a COPY statement.
    pub fn name(self) -> &'static str {
        match self {
            Format::Binary => "binary",
            Format::Text => "text",
        }
    }
}

/// The largest row that a server can send: it builds each one in a buffer of at most 1 GiB. The rest is slack for what
/// a different writer may put around the same values; a scanner with this limit refuses only what no server sends.
pub const MAX_RECORD_BYTES: usize = (1 << 30) + (64 << 10);

/// A stitched row larger than this is not kept as a buffer for the next one, so one huge row does not hold its memory
/// until the end of the stream.
const CARRY_KEEP_BYTES: usize = 1 << 20;

/// Empties a stitching buffer, keeping a modest capacity.
fn empty_carry(carry: &mut Vec<u8>) {
    if carry.capacity() > CARRY_KEEP_BYTES {
        *carry = Vec::new();
    } else {
        carry.clear();
    }
}

/// Bytes that are not what the COPY format prescribes, and where they stand.
///
/// Displays the defect, the offset and the row, never a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    defect: Defect,
    offset: u64,
    row: u64,
}

impl Malformed {
    fn new(defect: Defect, offset: u64, row: u64) -> Self {
        Malformed { defect, offset, row }
    }

    /// What is wrong.
    pub fn defect(&self) -> Defect {
        self.defect
    }

    /// The offset in the stream, in bytes from its start, of what is wrong.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The number of the row that was being read, from 1; 0 in the header.
    pub fn row(&self) -> u64 {
        self.row
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row {
            0 => write!(f, "{} at byte {} of the copy stream, in its header", self.defect, self.offset),
            row => write!(f, "{} at byte {} of the copy stream, in row {row}", self.defect, self.offset),
        }
    }
}

impl std::error::Error for Malformed {}

/// The ways in which a COPY stream can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Defect {
    /// The stream does not begin with the signature of the binary format.
    Signature,
    /// A flag that a reader must understand is set (bit 16 is the OID column of PostgreSQL 11 and older).
    CriticalFlags,
    /// The header extension has a negative length.
    ExtensionLength,
    /// A row has another number of fields than the caller asked for.
    FieldCount {
        /// What the row says.
        found: i16,
        /// What the caller said.
        expected: u16,
    },
    /// A field length is negative and not −1.
    FieldLength,
    /// A row is longer than the limit.
    RecordLength {
        /// The limit in bytes.
        limit_bytes: usize,
    },
    /// Bytes follow the trailer.
    AfterTrailer,
    /// The stream ends in the middle of the header or of a row.
    Cut,
    /// The stream ends without the trailer.
    NoTrailer,
    /// A row is the end-of-data marker `\.`, which no server since protocol 3 sends.
    EndMarker,
    /// The caller left rows of a piece unread; the stream may be well-formed.
    Abandoned,
    /// A value is not what its type's send function writes.
    Value(&'static str),
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Defect::Signature => f.write_str("not the signature of a binary copy"),
            Defect::CriticalFlags => f.write_str("unknown critical flags"),
            Defect::ExtensionLength => f.write_str("negative length of the header extension"),
            Defect::FieldCount { found, expected } => write!(f, "{found} fields instead of {expected}"),
            Defect::FieldLength => f.write_str("negative field length"),
            Defect::RecordLength { limit_bytes } => write!(f, "row longer than {limit_bytes} bytes"),
            Defect::AfterTrailer => f.write_str("data after the trailer"),
            Defect::Cut => f.write_str("unexpected end"),
            Defect::NoTrailer => f.write_str("end without a trailer"),
            Defect::EndMarker => f.write_str("end-of-data marker inside the data"),
            Defect::Abandoned => f.write_str("rows left unread"),
            Defect::Value(what) => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_says_what_and_where() {
        let wrong = Malformed::new(Defect::FieldCount { found: 12, expected: 13 }, 4711, 32);
        assert_eq!(wrong.to_string(), "12 fields instead of 13 at byte 4711 of the copy stream, in row 32");
        let header = Malformed::new(Defect::Signature, 3, 0);
        assert_eq!(
            header.to_string(),
            "not the signature of a binary copy at byte 3 of the copy stream, in its header"
        );
    }

    #[test]
    fn a_huge_carry_gives_its_memory_back() {
        let mut carry = vec![0; CARRY_KEEP_BYTES + 1];
        empty_carry(&mut carry);
        assert_eq!(carry.capacity(), 0);
    }
}

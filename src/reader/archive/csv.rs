//! CSV as archives have it, made rows of COPY's text format: what follows is the same for both.
//!
//! **Invariant:** pure; wherever the file is cut, the rows are the same.

use crate::csv::{Dialect, LineEnd, Parser, Splitter};
use crate::pgcopy::{MAX_RECORD_BYTES, text};

/// Converts one segment. Holds the record that its pieces cut, and the rows of the last piece.
pub(super) struct Converter {
    columns: Vec<String>,
    splitter: Splitter,
    parser: Parser,
    /// The beginning of a record that goes on in the next piece.
    carry: Vec<u8>,
    rows: Vec<u8>,
    is_behind_header: bool,
}

/// Why a segment is none that this archive can have.
pub(super) type Wrong = &'static str;

impl Converter {
    /// For a file with a header that names these columns.
    pub(super) fn new(columns: Vec<String>) -> Self {
        let dialect = Dialect::default();
        Converter {
            columns,
            splitter: Splitter::new(&dialect, LineEnd::Newline),
            parser: Parser::new(&dialect, LineEnd::Newline),
            carry: Vec::new(),
            rows: Vec::new(),
            is_behind_header: false,
        }
    }

    /// The rows that end in the next piece of the file.
    pub(super) fn convert(&mut self, mut piece: &[u8]) -> Result<&[u8], Wrong> {
        self.rows.clear();
        while let Some(end) = self.splitter.find_end(piece, 0) {
            let (record, rest) = piece.split_at(end);
            match self.carry.is_empty() {
                true => self.record(record)?,
                false => self.carried(record)?,
            }
            piece = rest;
        }
        if self.carry.len() + piece.len() > MAX_RECORD_BYTES {
            return Err("a record that is longer than any row");
        }
        self.carry.extend_from_slice(piece);
        Ok(&self.rows)
    }

    /// The file has ended.
    pub(super) fn finish(&self) -> Result<(), Wrong> {
        match (self.is_behind_header, self.carry.is_empty()) {
            (false, _) => Err("no header"),
            (true, false) => Err("a record without an end"),
            (true, true) => Ok(()),
        }
    }

    fn carried(&mut self, end: &[u8]) -> Result<(), Wrong> {
        let mut record = std::mem::take(&mut self.carry);
        record.extend_from_slice(end);
        self.record(&record)
    }

    fn record(&mut self, record: &[u8]) -> Result<(), Wrong> {
        let parsed = self.parser.record(record).ok_or("an empty record")?;
        let fields = parsed.fields.map_err(|defect| defect.message())?;
        if fields.len() != self.columns.len() {
            return Err("a record with another number of fields than there are columns");
        }
        if !std::mem::replace(&mut self.is_behind_header, true) {
            let is_header = fields.iter().zip(&self.columns).all(|(field, name)| field == Some(name.as_bytes()));
            return if is_header { Ok(()) } else { Err("a header with other columns") };
        }
        for (number, field) in fields.iter().enumerate() {
            if number > 0 {
                self.rows.push(b'\t');
            }
            text::push_field(field, &mut self.rows);
        }
        self.rows.push(b'\n');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"a,\"B c\"\n1,\"x \"\"y\"\", z\"\n,\"\"\n\"two\nlines\",\\N\n";
    const ROWS: &[u8] = b"1\tx \"y\", z\n\\N\t\ntwo\\nlines\t\\\\N\n";

    fn convert(pieces: &[&[u8]]) -> Result<Vec<u8>, Wrong> {
        let mut converter = Converter::new(vec!["a".into(), "B c".into()]);
        let mut rows = Vec::new();
        for piece in pieces {
            rows.extend_from_slice(converter.convert(piece)?);
        }
        converter.finish().map(|()| rows)
    }

    #[test]
    fn rows_are_the_same_wherever_the_file_is_cut() {
        for cut in 0..FILE.len() {
            let (head, tail) = FILE.split_at(cut);
            assert_eq!(convert(&[head, tail]), Ok(ROWS.to_vec()), "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = FILE.chunks(1).collect();
        assert_eq!(convert(&bytes), Ok(ROWS.to_vec()));
    }

    #[test]
    fn what_no_archive_has_is_an_error() {
        for wrong in [&b""[..], b"a,b\n", b"a\n", b"a,\"B c\"\n1\n", b"a,\"B c\"\n1,2", b"a,\"B c\"\n\"1,2\n", b"\n"] {
            assert!(convert(&[wrong]).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
        assert_eq!(convert(&[b"a,\"B c\"\n"]), Ok(Vec::new()));
    }
}

//! The text COPY format: where rows begin and end, and how values are written in them.
//!
//! A row ends in a newline byte. Inside a value a newline is written as `\n`, so a raw one is always an end, also in
//! the multi-byte client encodings of PostgreSQL, whose trailing bytes are never control characters.
//!
//! The stream has no header and no trailer. A stream that is cut between two rows looks whole from here: the caller
//! must see the end of the COPY and compare counts.

use memchr::memchr;

use super::{Defect, Malformed, empty_carry};

/// What protocol 2 servers sent after the last row. A value that reads `\.` is sent as `\\.`, so no row looks like this.
const END_MARKER: &[u8] = b"\\.\n";

/// Appends a value with its escapes, `\N` for a NULL; what stands between fields and behind a row is the caller's. The bytes
/// are those that a server would write, so that rows of the same values have the same checksum.
///
/// Right in every encoding whose ASCII bytes stand for nothing but ASCII: those that a database can have, and all of
/// one byte per character. In the others (SJIS, BIG5, GBK, GB18030, UHC, JOHAB) a backslash may be half a character, and
/// values with one must not come here.
pub fn push_field(field: Option<&[u8]>, out: &mut Vec<u8>) {
    match field {
        None => out.extend_from_slice(NULL),
        Some(field) => push_escaped(field, out),
    }
}

/// What stands for a NULL.
const NULL: &[u8] = b"\\N";

fn push_escaped(mut rest: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = find_special(rest) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(&[b'\\', letter(rest[at])]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// Where the next byte stands that is not written as it is. It is looked for in stretches without a way out, which the
/// compiler makes one comparison of each.
fn find_special(bytes: &[u8]) -> Option<usize> {
    const STRETCH: usize = 16;
    let has_one = |stretch: &[u8]| stretch.iter().fold(false, |found, byte| found | is_special(*byte));
    let stretch = bytes.chunks(STRETCH).position(has_one)?;
    let start = stretch * STRETCH;
    bytes[start..].iter().position(|byte| is_special(*byte)).map(|at| start + at)
}

/// From backspace to carriage return, and the escape itself.
fn is_special(byte: u8) -> bool {
    byte.wrapping_sub(0x08) < 6 || byte == b'\\'
}

/// What stands behind the backslash.
fn letter(special: u8) -> u8 {
    match special {
        0x08..=0x0d => b"btnvfr"[usize::from(special - 0x08)],
        other => other,
    }
}

/// Appends the value of a field that a server has written; answers whether there is one, and not a NULL.
pub fn push_value(field: &[u8], out: &mut Vec<u8>) -> bool {
    if field == NULL {
        return false;
    }
    let mut rest = field;
    while let Some(at) = memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        // A server writes no backslash at the end.
        let Some(letter) = rest.get(at + 1) else { return true };
        let special = b"btnvfr".iter().position(|known| known == letter);
        out.push(special.map_or(*letter, |at| 0x08 + at as u8));
        rest = &rest[at + 2..];
    }
    out.extend_from_slice(rest);
    true
}

/// Finds the rows of a text stream whose pieces are cut anywhere; the twin of
/// [`binary::Scanner`](super::binary::Scanner).
#[derive(Debug)]
pub struct Scanner {
    max_record_bytes: usize,
    /// Rows handed out.
    rows: u64,
    /// Where in the stream the next row begins.
    offset: u64,
    /// The beginning of a row that no piece held whole, or the row that was handed out last.
    carry: Vec<u8>,
    /// Whether `carry` is a row that has been handed out.
    lent: bool,
    broken: Option<Malformed>,
}

impl Scanner {
    /// A scanner at the start of a stream whose rows have at most `max_record_bytes` bytes with their newline (usually
    /// [`MAX_RECORD_BYTES`](super::MAX_RECORD_BYTES)).
    pub fn new(max_record_bytes: usize) -> Self {
        Scanner { max_record_bytes, rows: 0, offset: 0, carry: Vec::new(), lent: false, broken: None }
    }

    /// The rows that end in `piece`, the next piece of the stream. The first of them may have begun in earlier pieces.
    #[inline]
    pub fn rows<'s>(&'s mut self, piece: &'s [u8]) -> Rows<'s> {
        Rows { scanner: self, piece }
    }

    /// Rows handed out so far.
    pub fn row_count(&self) -> u64 {
        self.rows
    }

    /// Ends the stream and answers how many rows it had.
    ///
    /// # Errors
    /// [`Malformed`] if the stream was malformed or does not end with a newline.
    pub fn finish(self) -> Result<u64, Malformed> {
        match self.broken {
            Some(malformed) => Err(malformed),
            None if self.lent || self.carry.is_empty() => Ok(self.rows),
            None => Err(Malformed::new(Defect::Cut, self.offset + self.carry.len() as u64, self.rows + 1)),
        }
    }

    /// That the row may grow by `more` bytes.
    fn check_length(&mut self, more: usize) -> Result<(), Malformed> {
        if self.carry.len() + more > self.max_record_bytes {
            return Err(self.fail(Defect::RecordLength { limit_bytes: self.max_record_bytes }));
        }
        Ok(())
    }

    /// Hands out `carry`, which is a whole row.
    fn lend(&mut self) -> Result<Row<'_>, Malformed> {
        if self.carry == END_MARKER {
            return Err(self.fail(Defect::EndMarker));
        }
        self.lent = true;
        let (number, offset) = self.count(self.carry.len());
        Ok(Row { bytes: &self.carry, number, offset })
    }

    /// Counts a row of `len` bytes; answers its number and offset.
    fn count(&mut self, len: usize) -> (u64, u64) {
        let offset = self.offset;
        self.offset += len as u64;
        self.rows += 1;
        (self.rows, offset)
    }

    fn fail(&mut self, defect: Defect) -> Malformed {
        let malformed = Malformed::new(defect, self.offset, self.rows + 1);
        self.broken = Some(malformed);
        malformed
    }
}

/// The rows of one piece of a stream; see [`Scanner::rows`].
///
/// Not an `Iterator`, because a row may lie in a buffer of the scanner that the next row needs. Go on until there is no
/// row left: dropped earlier, the rest of the piece is lost, and the scanner fails from then on instead of hiding it.
#[derive(Debug)]
pub struct Rows<'s> {
    scanner: &'s mut Scanner,
    piece: &'s [u8],
}

impl Rows<'_> {
    /// The next whole row; `None` when the piece is used up.
    ///
    /// The row lies in the piece itself, or in a buffer of the scanner if several pieces had to be stitched; each byte
    /// of such a row is copied once, however small the pieces.
    ///
    /// # Errors
    /// [`Malformed`] for a row over the limit and for the end-of-data marker; every later call answers the same.
    #[inline]
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, Malformed> {
        let scanner = &mut *self.scanner;
        if let Some(malformed) = scanner.broken {
            return Err(malformed);
        }
        if scanner.lent {
            empty_carry(&mut scanner.carry);
            scanner.lent = false;
        }
        let newline = memchr(b'\n', self.piece);
        let (bytes, rest) = self.piece.split_at(newline.map_or(self.piece.len(), |at| at + 1));
        scanner.check_length(bytes.len())?;
        self.piece = rest;
        if newline.is_some() && scanner.carry.is_empty() && bytes != END_MARKER {
            let (number, offset) = scanner.count(bytes.len());
            return Ok(Some(Row { bytes, number, offset }));
        }
        scanner.carry.extend_from_slice(bytes);
        if newline.is_some() { scanner.lend().map(Some) } else { Ok(None) }
    }
}

impl Drop for Rows<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.piece.is_empty() && self.scanner.broken.is_none() {
            self.scanner.fail(Defect::Abandoned);
        }
    }
}

/// One whole row: the line with its newline.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    bytes: &'a [u8],
    number: u64,
    offset: u64,
}

impl<'a> Row<'a> {
    /// The row as it stood in the stream, with its newline.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The row without its newline.
    #[inline]
    pub fn line(&self) -> &'a [u8] {
        &self.bytes[..self.bytes.len() - 1]
    }

    /// The `n`th field, from 0, with its escapes; `None` if the row has fewer.
    pub fn field(&self, n: usize) -> Option<&'a [u8]> {
        self.line().split(|byte| *byte == b'\t').nth(n)
    }

    /// The number of the row in its stream, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Where the row begins in its stream, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scan<'p>(
        max_bytes: usize,
        pieces: impl IntoIterator<Item = &'p [u8]>,
    ) -> (Vec<Vec<u8>>, Result<u64, Malformed>) {
        let mut scanner = Scanner::new(max_bytes);
        let mut rows: Vec<Vec<u8>> = Vec::new();
        let mut offset = 0;
        for piece in pieces {
            let mut found_rows = scanner.rows(piece);
            loop {
                match found_rows.next_row() {
                    Ok(Some(row)) => {
                        assert_eq!((row.number(), row.offset()), (rows.len() as u64 + 1, offset));
                        offset += row.bytes().len() as u64;
                        rows.push(row.bytes().to_vec());
                    }
                    Ok(None) => break,
                    Err(malformed) => return (rows, Err(malformed)),
                }
            }
        }
        (rows, scanner.finish())
    }

    fn escaped(field: Option<&[u8]>) -> Vec<u8> {
        let mut out = b"before\t".to_vec();
        push_field(field, &mut out);
        out.split_off(7)
    }

    #[test]
    fn values_are_escaped_where_the_format_needs_it() {
        for (value, expected) in [
            (&b""[..], &b""[..]),
            (b"plain \0\x07\x0e\xff", b"plain \0\x07\x0e\xff"),
            (b"long enough for two stretches\x08\x0b\x0c", b"long enough for two stretches\\b\\v\\f"),
            (b"\\", b"\\\\"),
            (b"\\N", b"\\\\N"),
            (b"\\.", b"\\\\."),
            (b"a\tb\nc\rd\r\n", b"a\\tb\\nc\\rd\\r\\n"),
        ] {
            assert_eq!(escaped(Some(value)), expected, "{value:?}");
        }
        assert_eq!(escaped(None), b"\\N");
    }

    fn unescaped(field: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        push_value(field, &mut out).then_some(out)
    }

    #[test]
    fn a_null_is_no_value_and_a_field_that_reads_like_one_is() {
        assert_eq!(unescaped(b"\\N"), None);
        assert_eq!(unescaped(b"\\\\N"), Some(b"\\N".to_vec()));
        assert_eq!(unescaped(b""), Some(Vec::new()));
    }

    const SAMPLE: &[u8] = b"1\tone\n\n\\N\t\\.\n2\ttwo\\nlines\n\\\\.\n";

    #[test]
    fn every_split_gives_the_same_rows() {
        let rows: Vec<Vec<u8>> = SAMPLE.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
        let expected = (rows, Ok(5));
        for size in 1..=SAMPLE.len() {
            assert_eq!(scan(100, SAMPLE.chunks(size)), expected, "pieces of {size} bytes");
        }
        for cut in 0..=SAMPLE.len() {
            let (left, right) = SAMPLE.split_at(cut);
            assert_eq!(scan(100, [left, &[], right]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_truncated_row_is_an_error() {
        for len in 0..SAMPLE.len() {
            let (rows, end) = scan(100, [&SAMPLE[..len]]);
            if len == 0 || SAMPLE[len - 1] == b'\n' {
                assert_eq!(end, Ok(rows.len() as u64));
            } else {
                let wrong = end.unwrap_err();
                assert_eq!(
                    (wrong.defect(), wrong.offset(), wrong.row()),
                    (Defect::Cut, len as u64, rows.len() as u64 + 1)
                );
            }
        }
    }

    #[test]
    fn rows_left_unread_are_not_lost_silently() {
        let mut scanner = Scanner::new(100);
        scanner.rows(SAMPLE).next_row().unwrap();
        assert_eq!(scanner.finish().unwrap_err().defect(), Defect::Abandoned);
    }

    #[test]
    fn the_end_marker_is_refused() {
        let stream = b"a\n\\.\nb\n";
        for size in 1..=stream.len() {
            let (rows, end) = scan(100, stream.chunks(size));
            let wrong = end.unwrap_err();
            assert_eq!(rows.len(), 1);
            assert_eq!((wrong.defect(), wrong.offset(), wrong.row()), (Defect::EndMarker, 2, 2));
        }
    }

    #[test]
    fn a_row_over_the_limit_is_refused_without_its_end() {
        assert_eq!(scan(4, [&b"abc\n"[..]]).1, Ok(1));
        let wrong = scan(4, b"\nabcde".chunks(1)).1.unwrap_err();
        assert_eq!((wrong.defect(), wrong.offset()), (Defect::RecordLength { limit_bytes: 4 }, 1));
    }

    proptest! {
        #[test]
        fn escaped_values_read_back_and_end_no_field(
            value in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'\t'), Just(b'\\'), Just(b'N'), any::<u8>()], 0..80),
        ) {
            let field = escaped(Some(&value));
            prop_assert_eq!(unescaped(&field), Some(value));
            prop_assert!(!field.iter().any(|byte| b"\t\n\r".contains(byte)));
            prop_assert!(field != b"\\N" && field != b"\\.");
        }

        #[test]
        fn pieces_do_not_change_the_verdict(
            stream in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\\'), Just(b'.'), any::<u8>()], 0..80),
            size in 1usize..9,
        ) {
            prop_assert_eq!(scan(12, stream.chunks(size)), scan(12, [&stream[..]]));
        }
    }
}

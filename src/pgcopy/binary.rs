//! The binary COPY format: where rows begin and end.
//!
//! A stream is a header (signature, `i32` flags, `i32` length of an extension, the extension), rows (`i16` field count,
//! then per field `i32` length and that many bytes, −1 for NULL) and a trailer (field count −1). PostgreSQL sends every
//! row as one message, the header together with the first row and the trailer alone, but nothing promises that.
//!
//! For whoever changes this: [`Rows::next_row`] has a fast path for a row that lies whole in the piece, which is
//! nearly every row, and falls back for everything else (header, trailer, stitched rows, errors) to a careful path
//! that knows only one way: collect in `carry` exactly the bytes that the next decision needs. Both ask `measure`.

use super::{Defect, Malformed, empty_carry};

/// What a binary stream begins with: the signature, no flags, no extension.
pub const HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What a binary stream ends with: a field count of −1.
pub const TRAILER: [u8; 2] = [0xff, 0xff];

const SIGNATURE_BYTES: usize = 11;

/// Finds the rows of a binary stream whose pieces are cut anywhere.
///
/// ```
/// use hypercopy::pgcopy::binary::{HEADER, Scanner, TRAILER};
///
/// let stream = [&HEADER[..], b"\0\x01\0\0\0\x02hi", &TRAILER[..]].concat();
/// let mut scanner = Scanner::new(1, 1024);
/// for piece in stream.chunks(5) {
///     let mut rows = scanner.rows(piece);
///     while let Some(row) = rows.next_row()? {
///         assert_eq!(row.field(0), Some(&b"hi"[..]));
///     }
/// }
/// assert_eq!(scanner.finish()?, 1);
/// # Ok::<(), hypercopy::pgcopy::Malformed>(())
/// ```
#[derive(Debug)]
pub struct Scanner {
    columns: u16,
    max_record_bytes: usize,
    state: State,
    /// Rows handed out.
    rows: u64,
    /// Where in the stream the record begins that is next to be measured.
    offset: u64,
    /// The beginning of a record that no piece held whole, or the row that was handed out last.
    carry: Vec<u8>,
    /// How far `carry` has been measured.
    cursor: Cursor,
    /// Whether `carry` is a row that has been handed out.
    lent: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Header,
    Extension { left_bytes: u32 },
    Rows,
    End,
    Broken(Malformed),
}

impl Scanner {
    /// A scanner at the start of a stream whose rows have `columns` fields and at most `max_record_bytes` bytes
    /// (usually [`MAX_RECORD_BYTES`](super::MAX_RECORD_BYTES)).
    pub fn new(columns: u16, max_record_bytes: usize) -> Self {
        Scanner {
            columns,
            max_record_bytes,
            state: State::Header,
            rows: 0,
            offset: 0,
            carry: Vec::new(),
            cursor: Cursor::default(),
            lent: false,
        }
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
    /// [`Malformed`] if the stream was malformed, is cut, or lacks its trailer.
    pub fn finish(self) -> Result<u64, Malformed> {
        let pending_bytes = if self.lent { 0 } else { self.carry.len() };
        let end = self.offset + pending_bytes as u64;
        match self.state {
            State::End => Ok(self.rows),
            State::Broken(malformed) => Err(malformed),
            State::Header | State::Extension { .. } => Err(Malformed::new(Defect::Cut, end, 0)),
            State::Rows if pending_bytes > 0 => Err(Malformed::new(Defect::Cut, end, self.rows + 1)),
            State::Rows => Err(Malformed::new(Defect::NoTrailer, end, self.rows + 1)),
        }
    }

    #[cold]
    fn next_row_carefully(&mut self, piece: &mut &[u8]) -> Result<Option<Row<'_>>, Malformed> {
        match self.stitch(piece) {
            Ok(true) => Ok(Some(self.lend())),
            Ok(false) => Ok(None),
            Err(malformed) => {
                self.state = State::Broken(malformed);
                Err(malformed)
            }
        }
    }

    /// Moves bytes from `piece` into `carry` until that is a row (true) or `piece` is empty (false).
    fn stitch(&mut self, piece: &mut &[u8]) -> Result<bool, Malformed> {
        loop {
            let goes_on = match self.state {
                State::Header => self.read_header(piece)?,
                State::Extension { left_bytes } => self.skip_extension(piece, left_bytes),
                State::Rows => match self.measure_carry(piece)? {
                    Step::Row(_) => return Ok(true),
                    Step::Short(_) => false,
                    Step::Trailer => self.end(),
                },
                State::End if piece.is_empty() => false,
                State::End => return Err(Malformed::new(Defect::AfterTrailer, self.offset, self.rows)),
                State::Broken(malformed) => return Err(malformed),
            };
            if !goes_on {
                return Ok(false);
            }
        }
    }

    /// False when the header is not complete yet.
    fn read_header(&mut self, piece: &mut &[u8]) -> Result<bool, Malformed> {
        let complete = self.fill(piece, HEADER.len());
        if let Some(at) = self.carry.iter().zip(&HEADER[..SIGNATURE_BYTES]).position(|(found, wanted)| found != wanted)
        {
            return Err(Malformed::new(Defect::Signature, at as u64, 0));
        }
        if !complete {
            return Ok(false);
        }
        let flags = u32::from_be_bytes(chunk_at(&self.carry, SIGNATURE_BYTES));
        // The lower half is for flags that a reader may ignore.
        if flags >> 16 != 0 {
            return Err(Malformed::new(Defect::CriticalFlags, SIGNATURE_BYTES as u64, 0));
        }
        let extension = i32::from_be_bytes(chunk_at(&self.carry, SIGNATURE_BYTES + 4));
        let left_bytes = u32::try_from(extension)
            .map_err(|_| Malformed::new(Defect::ExtensionLength, SIGNATURE_BYTES as u64 + 4, 0))?;
        self.offset = HEADER.len() as u64;
        self.carry.clear();
        self.state = State::Extension { left_bytes };
        Ok(true)
    }

    /// False when more of the extension is to come.
    fn skip_extension(&mut self, piece: &mut &[u8], left_bytes: u32) -> bool {
        let skipped = piece.len().min(left_bytes as usize);
        *piece = &piece[skipped..];
        self.offset += skipped as u64;
        // `skipped` is at most `left_bytes`, so it fits.
        let left_bytes = left_bytes - skipped as u32;
        self.state = if left_bytes == 0 { State::Rows } else { State::Extension { left_bytes } };
        left_bytes == 0
    }

    fn measure_carry(&mut self, piece: &mut &[u8]) -> Result<Step, Malformed> {
        loop {
            match measure(&self.carry, &mut self.cursor, self.columns, self.max_record_bytes) {
                Ok(Step::Short(needed_bytes)) if self.fill(piece, needed_bytes) => {}
                Ok(step) => return Ok(step),
                Err((defect, at)) => return Err(Malformed::new(defect, self.offset + at as u64, self.rows + 1)),
            }
        }
    }

    /// Brings `carry` up to `needed_bytes`, and no further; false if `piece` has not enough.
    fn fill(&mut self, piece: &mut &[u8], needed_bytes: usize) -> bool {
        let (moved, rest) = piece.split_at(piece.len().min(needed_bytes - self.carry.len()));
        self.carry.extend_from_slice(moved);
        *piece = rest;
        self.carry.len() == needed_bytes
    }

    /// Always true: whatever follows has to be looked at.
    fn end(&mut self) -> bool {
        self.offset += TRAILER.len() as u64;
        self.carry.clear();
        self.state = State::End;
        true
    }

    fn lend(&mut self) -> Row<'_> {
        self.lent = true;
        let (number, offset) = self.count(self.carry.len());
        Row { bytes: &self.carry, number, offset }
    }

    #[cold]
    fn take_back(&mut self) {
        empty_carry(&mut self.carry);
        self.cursor = Cursor::default();
        self.lent = false;
    }

    /// Rows of a piece were left unread.
    #[cold]
    fn abandon(&mut self) {
        if !matches!(self.state, State::Broken(_)) {
            self.state = State::Broken(Malformed::new(Defect::Abandoned, self.offset, self.rows + 1));
        }
    }

    /// Counts a row of `len` bytes; answers its number and offset.
    fn count(&mut self, len: usize) -> (u64, u64) {
        let offset = self.offset;
        self.offset += len as u64;
        self.rows += 1;
        (self.rows, offset)
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
    /// [`Malformed`] as soon as the bytes so far cannot begin a stream; every later call answers the same.
    #[inline]
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, Malformed> {
        let scanner = &mut *self.scanner;
        if scanner.lent {
            scanner.take_back();
        }
        if scanner.carry.is_empty()
            && matches!(scanner.state, State::Rows)
            && let Ok(Step::Row(len)) =
                measure(self.piece, &mut Cursor::default(), scanner.columns, scanner.max_record_bytes)
        {
            let (bytes, rest) = self.piece.split_at(len);
            self.piece = rest;
            let (number, offset) = scanner.count(len);
            return Ok(Some(Row { bytes, number, offset }));
        }
        scanner.next_row_carefully(&mut self.piece)
    }
}

impl Drop for Rows<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.piece.is_empty() {
            self.scanner.abandon();
        }
    }
}

/// How far a row has been measured: `fields` whole fields, the next one begins at `at`. At 0, nothing is known.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    at: usize,
    fields: u16,
}

enum Step {
    /// The bytes begin with a row of this length.
    Row(usize),
    Trailer,
    /// Nothing more can be said before there are this many bytes (always more than there are).
    Short(usize),
}

/// The most common length of a field.
const EIGHT: [u8; 4] = 8i32.to_be_bytes();

/// Measures the row that `bytes` begins with, going on from `cursor`. Fails with the defect and its index.
#[inline]
fn measure(bytes: &[u8], cursor: &mut Cursor, columns: u16, max_bytes: usize) -> Result<Step, (Defect, usize)> {
    if cursor.at == 0 {
        let Some(count) = bytes.first_chunk() else { return Ok(Step::Short(2)) };
        let found = i16::from_be_bytes(*count);
        if found == -1 {
            return Ok(Step::Trailer);
        }
        if i32::from(found) != i32::from(columns) {
            return Err((Defect::FieldCount { found, expected: columns }, 0));
        }
        cursor.at = 2;
    }
    while cursor.fields < columns {
        let at = cursor.at;
        let Some(length) = bytes[at..].first_chunk() else { return Ok(Step::Short(at + 4)) };
        // Same answer as below. Where the next field begins then hangs on a predicted branch instead of on a load,
        // so the processor looks at several fields at once.
        if *length == EIGHT && at + 12 <= bytes.len().min(max_bytes) {
            cursor.at = at + 12;
            cursor.fields += 1;
            continue;
        }
        let length = i32::from_be_bytes(*length);
        if length < -1 {
            return Err((Defect::FieldLength, at));
        }
        let end = at + 4 + length.max(0) as usize;
        if end > max_bytes {
            return Err((Defect::RecordLength { limit_bytes: max_bytes }, at));
        }
        if end > bytes.len() {
            return Ok(Step::Short(end));
        }
        cursor.at = end;
        cursor.fields += 1;
    }
    Ok(Step::Row(cursor.at))
}

/// The `N` bytes at `at`, which must be there.
fn chunk_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("length was checked")
}

/// One whole row: from its field count through its last field.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    bytes: &'a [u8],
    number: u64,
    offset: u64,
}

impl<'a> Row<'a> {
    /// A row that stands by itself: its field count and its fields, whole.
    #[inline]
    pub fn of(bytes: &'a [u8]) -> Row<'a> {
        Row { bytes, number: 1, offset: 0 }
    }

    /// The row as it stood in the stream, without header and trailer.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The number of the row in its stream, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Where the row begins in its stream, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The fields in order; `None` is NULL.
    #[inline]
    pub fn fields(&self) -> Fields<'a> {
        Fields { rest: &self.bytes[2..] }
    }

    /// The `n`th field, from 0; `None` is NULL. It walks the fields before it.
    ///
    /// # Panics
    /// If the row has no such field. All rows of a [`Scanner`] have as many as it was told.
    #[inline]
    pub fn field(&self, n: usize) -> Option<&'a [u8]> {
        self.fields().nth(n).expect("no such field in the row")
    }

    /// That the value at `at` in this row is not what its type writes.
    pub(super) fn malformed(&self, what: &'static str, at: usize) -> Malformed {
        Malformed::new(Defect::Value(what), self.offset + at as u64, self.number)
    }
}

/// The fields of a [`Row`].
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<&'a [u8]>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.rest.split_first_chunk()?;
        let length = i32::from_be_bytes(*length);
        if length < 0 {
            self.rest = rest;
            return Some(None);
        }
        // The scanner measured the row, so the field is there.
        let (field, rest) = rest.split_at(length as usize);
        self.rest = rest;
        Some(Some(field))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One row, as a server would write it.
    pub(crate) fn row(fields: &[Option<&[u8]>]) -> Vec<u8> {
        let mut out = (fields.len() as i16).to_be_bytes().to_vec();
        for field in fields {
            out.extend_from_slice(&field.map_or(-1, |bytes| bytes.len() as i32).to_be_bytes());
            out.extend_from_slice(field.unwrap_or_default());
        }
        out
    }

    pub(crate) fn stream(rows: &[Vec<u8>]) -> Vec<u8> {
        [&HEADER[..], &rows.concat(), &TRAILER].concat()
    }

    /// The rows and their fields, or what is wrong.
    fn scan<'p>(
        columns: u16,
        max_bytes: usize,
        pieces: impl IntoIterator<Item = &'p [u8]>,
    ) -> (Vec<Vec<u8>>, Result<u64, Malformed>) {
        let mut scanner = Scanner::new(columns, max_bytes);
        let mut rows: Vec<Vec<u8>> = Vec::new();
        for piece in pieces {
            let mut found_rows = scanner.rows(piece);
            loop {
                match found_rows.next_row() {
                    Ok(Some(found)) => {
                        assert_eq!(row(&found.fields().collect::<Vec<_>>()), found.bytes());
                        assert_eq!(found.number(), rows.len() as u64 + 1);
                        rows.push(found.bytes().to_vec());
                    }
                    Ok(None) => break,
                    Err(malformed) => return (rows, Err(malformed)),
                }
            }
        }
        (rows, scanner.finish())
    }

    fn sample_rows() -> Vec<Vec<u8>> {
        vec![
            row(&[Some(&[1, 2, 3, 4]), None, Some(b"text")]),
            row(&[None, None, None]),
            row(&[Some(b""), Some(&[0xff; 40]), Some(&TRAILER)]),
            row(&[Some(&HEADER), Some(b"x"), None]),
        ]
    }

    fn defect(stream: &[u8]) -> (Defect, u64, u64) {
        let wrong = scan(3, 1000, [stream]).1.unwrap_err();
        (wrong.defect(), wrong.offset(), wrong.row())
    }

    #[test]
    fn every_split_gives_the_same_rows() {
        let rows = sample_rows();
        let stream = stream(&rows);
        let expected = (rows, Ok(4));
        for size in 1..=stream.len() {
            assert_eq!(scan(3, 1000, stream.chunks(size)), expected, "pieces of {size} bytes");
        }
        for cut in 0..=stream.len() {
            let (left, right) = stream.split_at(cut);
            assert_eq!(scan(3, 1000, [left, &[], right]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        let stream = stream(&sample_rows());
        for len in 0..stream.len() {
            let wrong = scan(3, 1000, [&stream[..len]]).1.unwrap_err();
            assert!(matches!(wrong.defect(), Defect::Cut | Defect::NoTrailer), "{len}: {wrong}");
            assert_eq!(wrong.offset(), len as u64);
        }
    }

    #[test]
    fn a_wrong_byte_never_panics_and_pieces_do_not_change_the_verdict() {
        let stream = stream(&sample_rows());
        for at in 0..stream.len() {
            for flip in [0x01, 0x7f, 0x80, 0xff] {
                let mut wrong = stream.clone();
                wrong[at] ^= flip;
                let whole = scan(3, 1000, [&wrong[..]]);
                assert_eq!(scan(3, 1000, wrong.chunks(1)), whole);
                assert_eq!(scan(3, 1000, wrong.chunks(7)), whole);
            }
        }
    }

    #[test]
    fn an_empty_table_and_a_table_without_columns() {
        assert_eq!(scan(3, 1000, [&stream(&[])[..]]), (vec![], Ok(0)));
        let rows = vec![row(&[]); 3];
        assert_eq!(scan(0, 1000, [&stream(&rows)[..]]), (rows, Ok(3)));
    }

    #[test]
    fn header_defects_are_named() {
        let good = stream(&sample_rows());
        let with = |at: usize, byte: u8| {
            let mut wrong = good.clone();
            wrong[at] = byte;
            wrong
        };
        assert_eq!(defect(b"1\t2\t3\n"), (Defect::Signature, 0, 0));
        assert_eq!(defect(&with(7, 0x7f)), (Defect::Signature, 7, 0));
        assert_eq!(defect(&with(12, 0x01)), (Defect::CriticalFlags, 11, 0));
        assert_eq!(defect(&with(15, 0x80)), (Defect::ExtensionLength, 15, 0));
        assert_eq!(scan(3, 1000, [&with(14, 0x01)[..]]).1, Ok(4), "a flag that may be ignored");
    }

    #[test]
    fn a_header_extension_is_skipped() {
        let mut header = HEADER.to_vec();
        header[18] = 5;
        let stream = [&header[..], b"\xff\xff\0\x01z", &sample_rows().concat(), &TRAILER].concat();
        for size in 1..=stream.len() {
            assert_eq!(scan(3, 1000, stream.chunks(size)), (sample_rows(), Ok(4)));
        }
    }

    #[test]
    fn row_defects_are_named() {
        let first = row(&[None, None, None]);
        let with = |tail: &[u8]| [&HEADER[..], &first, tail].concat();
        let at = 19 + first.len() as u64;
        assert_eq!(defect(&with(&[0, 2])), (Defect::FieldCount { found: 2, expected: 3 }, at, 2));
        assert_eq!(defect(&with(&[0xff, 0xfe])), (Defect::FieldCount { found: -2, expected: 3 }, at, 2));
        assert_eq!(defect(&with(&[0, 3, 0xff, 0xff, 0xff, 0xfe])), (Defect::FieldLength, at + 2, 2));
        assert_eq!(defect(&with(&[0xff, 0xff, 0])), (Defect::AfterTrailer, at + 2, 1));
        assert_eq!(defect(&with(&[])), (Defect::NoTrailer, at, 2));
    }

    #[test]
    fn a_row_over_the_limit_is_refused_before_it_is_collected() {
        let fits = row(&[Some(&[0; 94])]);
        assert_eq!(scan(1, 100, [&stream(&[fits])[..]]).1, Ok(1));
        let announced = [&HEADER[..], &[0, 1], &95i32.to_be_bytes()].concat();
        let wrong = scan(1, 100, [&announced[..]]).1.unwrap_err();
        assert_eq!((wrong.defect(), wrong.offset()), (Defect::RecordLength { limit_bytes: 100 }, 21));
    }

    #[test]
    fn a_broken_scanner_stays_broken() {
        let mut scanner = Scanner::new(3, 1000);
        let wrong = scanner.rows(b"garbage").next_row().unwrap_err();
        let stream = stream(&sample_rows());
        assert_eq!(scanner.rows(&stream).next_row().unwrap_err(), wrong);
        assert_eq!(scanner.finish().unwrap_err(), wrong);
    }

    #[test]
    fn rows_left_unread_are_not_lost_silently() {
        let stream = stream(&sample_rows());
        let mut scanner = Scanner::new(3, 1000);
        scanner.rows(&stream).next_row().unwrap();
        assert_eq!(scanner.finish().unwrap_err().defect(), Defect::Abandoned);
    }

    #[test]
    fn a_huge_row_in_small_pieces_takes_linear_time() {
        let stream = stream(&[row(&[Some(&vec![7; 8 << 20])])]);
        let mut rows = 0;
        let mut scanner = Scanner::new(1, super::super::MAX_RECORD_BYTES);
        // Half a million pieces; a rebuild per piece would move two terabytes.
        for piece in stream.chunks(16) {
            let mut found = scanner.rows(piece);
            while found.next_row().unwrap().is_some() {
                rows += 1;
            }
        }
        assert_eq!((rows, scanner.finish()), (1, Ok(1)));
    }

    fn any_row() -> impl Strategy<Value = Vec<u8>> {
        let field = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..50));
        proptest::collection::vec(field, 3).prop_map(|fields| {
            let fields: Vec<Option<&[u8]>> = fields.iter().map(|field| field.as_deref()).collect();
            row(&fields)
        })
    }

    proptest! {
        #[test]
        fn random_pieces_give_the_same_rows(
            rows in proptest::collection::vec(any_row(), 0..20),
            sizes in proptest::collection::vec(0usize..200, 1..50),
        ) {
            let stream = stream(&rows);
            let mut rest = &stream[..];
            let mut pieces: Vec<&[u8]> = Vec::new();
            for size in sizes {
                let (piece, tail) = rest.split_at(size.min(rest.len()));
                pieces.push(piece);
                rest = tail;
            }
            pieces.push(rest);
            let count = rows.len() as u64;
            prop_assert_eq!(scan(3, 1000, pieces), (rows, Ok(count)));
        }

        #[test]
        fn random_bytes_never_panic_and_pieces_do_not_change_the_verdict(
            tail in proptest::collection::vec(prop_oneof![Just(0u8), Just(0xff), Just(3), any::<u8>()], 0..60),
            size in 1usize..9,
        ) {
            let stream = [&HEADER[..], &tail].concat();
            prop_assert_eq!(scan(3, 100, stream.chunks(size)), scan(3, 100, [&stream[..]]));
        }
    }
}

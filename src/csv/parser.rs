//! Reading the records of a block.

use memchr::{memchr_iter, memchr2};

use super::record::{Fields, MAX_FIELDS, Place, Record, Span};
use super::specials::{Needles, Specials};
use super::{Defect, Dialect, LineEnd};

/// The scratch of a larger record is not kept for the next one, so that one huge field does not hold its memory.
const SCRATCH_KEEP_BYTES: usize = 1 << 20;

/// Reads records, one after the other, out of a block that begins where a record begins and ends where one ends.
///
/// What a caller may rely on: a record ends where a [`Splitter`](super::Splitter) says, whatever is wrong with it. A
/// value lies in the block wherever it stands there in one piece; only the others are put together in a buffer.
#[derive(Debug)]
pub struct Parser {
    dialect: Dialect,
    line_end: LineEnd,
    needles: Needles,
    /// Of the record that was read last; reused.
    spans: Vec<Span>,
    scratch: Vec<u8>,
    field_count: usize,
    /// Whether only delimiters were found in it, so that it cannot span more than one line.
    is_plain: bool,
    defect: Option<Defect>,
}

/// The field that is being read: what it has so far, and where the unquoted stretch begins that goes on.
#[derive(Clone, Copy)]
struct Open {
    stretch: usize,
    so_far: SoFar,
}

#[derive(Clone, Copy)]
enum SoFar {
    Nothing,
    /// A quoted stretch of the text that needs no unescaping, and that begins the field.
    Quoted {
        start: usize,
        end: usize,
    },
    /// The end of the scratch, from here.
    Scratch {
        start: usize,
    },
}

impl Open {
    fn at(start: usize) -> Open {
        Open { stretch: start, so_far: SoFar::Nothing }
    }
}

/// Where the text of a record ends, and where its line end does.
struct End {
    text: usize,
    len: usize,
}

impl Parser {
    /// A parser for files of this dialect whose records end so.
    pub fn new(dialect: &Dialect, line_end: LineEnd) -> Parser {
        Parser {
            needles: Needles::new([dialect.delimiter, dialect.quote, dialect.escape, b'\n', b'\r']),
            dialect: dialect.clone(),
            line_end,
            spans: Vec::new(),
            scratch: Vec::new(),
            field_count: 0,
            is_plain: true,
            defect: None,
        }
    }

    /// The record at the start of `rest`; `None` where that is empty. The next one is at `&rest[record.len..]`.
    ///
    /// The last record of a file may lack its line end. A quote that is not closed takes all of `rest`.
    pub fn record<'p>(&'p mut self, rest: &'p [u8]) -> Option<Record<'p>> {
        if rest.is_empty() {
            return None;
        }
        self.clear();
        let end = self.read(rest);
        let text = &rest[..end.text];
        Some(Record { len: end.len, lines: self.lines(text), text, fields: self.fields(text) })
    }

    fn clear(&mut self) {
        self.spans.clear();
        if self.scratch.capacity() > SCRATCH_KEEP_BYTES {
            self.scratch = Vec::new();
        }
        self.scratch.clear();
        self.field_count = 0;
        self.is_plain = true;
        self.defect = None;
    }

    fn lines(&self, text: &[u8]) -> u64 {
        if self.is_plain { 1 } else { 1 + memchr_iter(self.line_end.first_byte(), text).count() as u64 }
    }

    fn fields<'p>(&'p self, text: &'p [u8]) -> Result<Fields<'p>, Defect> {
        let Parser { scratch, spans, field_count: count, dialect, .. } = self;
        match self.defect {
            Some(defect) => Err(defect),
            None => Ok(Fields { text, scratch, null: &dialect.null, spans, count: *count }),
        }
    }

    /// Reads the fields of the record at the start of `rest`, and finds its end.
    fn read(&mut self, rest: &[u8]) -> End {
        let mut specials = Specials::new(rest, self.needles);
        let mut open = Open::at(0);
        while let Some(at) = specials.next() {
            if rest[at] == self.dialect.delimiter {
                self.close(rest, open, at);
                open = Open::at(at + 1);
            } else if rest[at] == self.dialect.quote {
                open = self.quoted(rest, open, at, &mut specials);
            } else if rest[at..].starts_with(self.line_end.bytes()) {
                self.close(rest, open, at);
                return End { text: at, len: at + self.line_end.bytes().len() };
            } else if let Some(defect) = stray(rest[at]) {
                self.refuse(defect);
            }
        }
        self.close(rest, open, rest.len());
        End { text: rest.len(), len: rest.len() }
    }

    /// Remembers what is wrong, unless something before it was.
    #[cold]
    fn refuse(&mut self, defect: Defect) {
        self.defect.get_or_insert(defect);
        self.is_plain = false;
    }

    /// Ends a field at `end`.
    #[inline(always)]
    fn close(&mut self, rest: &[u8], open: Open, end: usize) {
        let span = match open.so_far {
            SoFar::Nothing => Span { start: open.stretch, end, place: Place::Unquoted },
            SoFar::Quoted { start, end: closed } if open.stretch == end => {
                Span { start, end: closed, place: Place::Quoted }
            }
            _ => {
                let start = self.gather(rest, open, end);
                Span { start, end: self.scratch.len(), place: Place::Scratch }
            }
        };
        self.field_count += 1;
        if self.spans.len() < MAX_FIELDS {
            self.spans.push(span);
        }
    }

    /// Puts what a field has up to `end` at the end of the scratch; answers where in it the field begins.
    fn gather(&mut self, rest: &[u8], open: Open, end: usize) -> usize {
        let start = match open.so_far {
            SoFar::Scratch { start } => start,
            SoFar::Nothing => self.scratch.len(),
            SoFar::Quoted { start, end } => {
                self.scratch.extend_from_slice(&rest[start..end]);
                self.scratch.len() - (end - start)
            }
        };
        self.scratch.extend_from_slice(&rest[open.stretch..end]);
        start
    }

    /// Reads a quoted part of the field, whose opening quote is at `at`; `specials` go on behind the closing one.
    #[inline]
    fn quoted(&mut self, rest: &[u8], open: Open, at: usize, specials: &mut Specials<'_>) -> Open {
        self.is_plain = false;
        if let (SoFar::Nothing, true) = (open.so_far, open.stretch == at)
            && let Some(end) = self.whole(rest, specials)
        {
            return Open { stretch: end + 1, so_far: SoFar::Quoted { start: at + 1, end } };
        }
        let start = self.gather(rest, open, at);
        let stretch = self.unescape(rest, at + 1);
        specials.seek(stretch);
        Open { stretch, so_far: SoFar::Scratch { start } }
    }

    /// The position of the closing quote, where nothing before it needs unescaping and no quote follows it.
    #[inline]
    fn whole(&self, rest: &[u8], specials: &mut Specials<'_>) -> Option<usize> {
        let Dialect { quote, escape, .. } = self.dialect;
        let at = specials.find(|at| rest[*at] == quote || rest[*at] == escape)?;
        (rest[at] == quote && rest.get(at + 1) != Some(&quote)).then_some(at)
    }

    /// Appends what stands between quotes, from `at` on, to the scratch; answers the position behind the closing one.
    fn unescape(&mut self, rest: &[u8], mut at: usize) -> usize {
        let Dialect { quote, escape, .. } = self.dialect;
        while let Some(len) = memchr2(quote, escape, &rest[at..]) {
            let (stretch, found) = (at..at + len, rest[at + len]);
            self.scratch.extend_from_slice(&rest[stretch]);
            at += len + 1;
            match rest.get(at) {
                Some(next) if found == escape && [quote, escape].contains(next) => {
                    self.scratch.push(*next);
                    at += 1;
                }
                _ if found == quote => return at,
                _ => self.scratch.push(found),
            }
        }
        self.refuse(Defect::UnterminatedQuote);
        rest.len()
    }
}

/// What is wrong with a byte outside quotes that does not end the record; an escape means nothing there.
fn stray(byte: u8) -> Option<Defect> {
    match byte {
        b'\n' => Some(Defect::UnquotedNewline),
        b'\r' => Some(Defect::UnquotedCarriageReturn),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::twin::{self, Read};
    use super::*;
    use proptest::prelude::*;

    fn parse(dialect: &Dialect, line_end: LineEnd, file: &[u8]) -> Vec<Read> {
        let (mut parser, mut rest, mut records) = (Parser::new(dialect, line_end), file, Vec::new());
        while let Some(record) = parser.record(rest) {
            let Record { len, lines, text, .. } = record;
            let fields = record.fields.map(|fields| {
                assert_eq!(fields.len(), fields.iter().len());
                assert!(fields.iter().enumerate().all(|(index, field)| fields.get(index) == field));
                fields.iter().map(|field| field.map(<[u8]>::to_vec)).collect()
            });
            records.push(Read { len, lines, text: text.to_vec(), fields });
            rest = &rest[len..];
        }
        records
    }

    /// The fields of the only record, NULL shown as a word.
    fn fields(dialect: &Dialect, text: &str) -> Result<Vec<String>, Defect> {
        let mut records = parse(dialect, LineEnd::Newline, text.as_bytes());
        assert_eq!(records.len(), 1, "{text:?} is one record");
        let shown =
            |field: Option<Vec<u8>>| field.map_or("NULL".to_string(), |field| String::from_utf8(field).unwrap());
        records.remove(0).fields.map(|fields| fields.into_iter().map(shown).collect())
    }

    fn plain(text: &str) -> Result<Vec<String>, Defect> {
        fields(&Dialect::default(), text)
    }

    fn ok<const N: usize>(fields: [&str; N]) -> Result<Vec<String>, Defect> {
        Ok(fields.map(str::to_string).to_vec())
    }

    #[test]
    fn a_quote_opens_and_closes_anywhere() {
        assert_eq!(plain(" \"a\",b\n"), ok([" a", "b"]));
        assert_eq!(plain("\"a\"b,c"), ok(["ab", "c"]));
        assert_eq!(plain("a\"b,\"c\"\nd\""), ok(["ab,c\nd"]));
        assert_eq!(plain("\"a\"\"b\",\"\"\"\""), ok(["a\"b", "\""]));
        assert_eq!(plain("a\"b,2\n"), Err(Defect::UnterminatedQuote));
    }

    #[test]
    fn only_an_unquoted_empty_field_is_null() {
        assert_eq!(plain(",\"\"\n"), ok(["NULL", ""]));
        assert_eq!(plain("\n"), ok(["NULL"]));
        let dialect = Dialect::new(",", "\"", None, "\\N").unwrap();
        assert_eq!(fields(&dialect, "\\N,\"\\N\",,\\\"N\""), ok(["NULL", "\\N", "", "\\N"]));
    }

    #[test]
    fn an_escape_counts_only_between_quotes_and_before_a_quote_or_an_escape() {
        let dialect = Dialect::new(",", "\"", Some("\\"), "").unwrap();
        assert_eq!(fields(&dialect, r#"\a,"\a","\"","\\",a"\,""#), ok([r"\a", r"\a", "\"", r"\", r"a\,"]));
        assert_eq!(fields(&dialect, r#""a""b""#), ok(["ab"]));
        let comma = Dialect::new(",", "\"", Some(","), "").unwrap();
        assert_eq!(fields(&comma, r#"a,",",",a",b"#), ok(["a", "\"\",a", "b"]));
        assert_eq!(fields(&comma, r#"a,",",b"#), Err(Defect::UnterminatedQuote));
        assert_eq!(fields(&comma, r#"a,",,",",a""#), ok(["a", ",", ",a"]));
    }

    #[test]
    fn a_line_end_of_another_kind_spoils_its_record_and_no_other() {
        let dialect = Dialect::default();
        let defects = |line_end, file: &[u8]| -> Vec<Option<Defect>> {
            parse(&dialect, line_end, file).into_iter().map(|record| record.fields.err()).collect()
        };
        let (newline, carriage_return) = (Some(Defect::UnquotedNewline), Some(Defect::UnquotedCarriageReturn));
        assert_eq!(defects(LineEnd::Newline, b"a\nb\r\nc\n"), [None, carriage_return, None]);
        assert_eq!(defects(LineEnd::CarriageReturnNewline, b"a\r\nb\nc\r\nd"), [None, newline, None]);
        assert_eq!(defects(LineEnd::CarriageReturnNewline, b"a\r\nb\r"), [None, carriage_return]);
        assert_eq!(defects(LineEnd::CarriageReturn, b"a\rb\nc\r\r"), [None, newline, None]);
        assert_eq!(defects(LineEnd::Newline, b"a\rb\"c"), [carriage_return], "the first defect counts");
    }

    #[test]
    fn the_end_of_data_marker_of_psql_is_data() {
        let texts: Vec<_> =
            parse(&Dialect::default(), LineEnd::Newline, b"a\n\\.\nb\n").into_iter().map(|r| r.text).collect();
        assert_eq!(texts, [&b"a"[..], b"\\.", b"b"]);
    }

    #[test]
    fn a_value_that_stands_in_the_block_is_not_copied() {
        let block = b"plain,\"quo,ted\",\"es\"\"caped\"\n";
        let mut parser = Parser::new(&Dialect::default(), LineEnd::Newline);
        let fields = parser.record(block).unwrap().fields.unwrap();
        let lies_in_block = |index| block.as_ptr_range().contains(&fields.get(index).unwrap().as_ptr());
        assert_eq!([0, 1, 2].map(lies_in_block), [true, true, false]);
    }

    #[test]
    fn fields_beyond_what_a_table_can_have_are_counted_and_not_kept() {
        let mut parser = Parser::new(&Dialect::default(), LineEnd::Newline);
        let line = vec![b','; 3 * MAX_FIELDS];
        let fields = parser.record(&line).unwrap().fields.unwrap();
        assert_eq!((fields.len(), fields.iter().len()), (3 * MAX_FIELDS + 1, MAX_FIELDS));
        assert_eq!((parser.spans.len(), fields_of(&mut parser, b"a,b")), (MAX_FIELDS, 2));
    }

    fn fields_of(parser: &mut Parser, text: &[u8]) -> usize {
        parser.record(text).unwrap().fields.unwrap().len()
    }

    #[test]
    fn one_huge_field_does_not_keep_its_memory() {
        let mut parser = Parser::new(&Dialect::default(), LineEnd::Newline);
        let huge = [&b"\"\"\"\""[..], &vec![b'a'; 3 * SCRATCH_KEEP_BYTES]].concat();
        assert_eq!(fields_of(&mut parser, &huge), 1);
        assert!(parser.scratch.len() > SCRATCH_KEEP_BYTES);
        assert_eq!((fields_of(&mut parser, b"a"), parser.scratch.capacity()), (1, 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn records_are_those_of_the_twin(dialect in twin::dialect(), line_end in twin::line_end(), file in twin::file()) {
            let records = parse(&dialect, line_end, &file);
            prop_assert_eq!(&records, &twin::records(&dialect, line_end, &file));
            prop_assert_eq!(records.iter().map(|record| record.len).sum::<usize>(), file.len());
        }

        #[test]
        fn no_bytes_and_no_dialect_make_it_panic(
            delimiter: u8, quote: u8, escape: u8, null: Vec<u8>, line_end in twin::line_end(), file: Vec<u8>,
        ) {
            let records = parse(&Dialect { delimiter, quote, escape, null }, line_end, &file);
            prop_assert_eq!(records.iter().map(|record| record.len).sum::<usize>(), file.len());
        }
    }
}

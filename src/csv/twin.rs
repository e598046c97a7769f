//! The slow, obvious twin: PostgreSQL's two loops, byte for byte, for the tests of this room.

use proptest::prelude::*;

use super::{Defect, Dialect, LineEnd};

/// What a record is, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) len: usize,
    pub(super) lines: u64,
    pub(super) text: Vec<u8>,
    pub(super) fields: Result<Vec<Option<Vec<u8>>>, Defect>,
}

/// All records of a file.
pub(super) fn records(dialect: &Dialect, line_end: LineEnd, file: &[u8]) -> Vec<Read> {
    let (mut rest, mut records) = (file, Vec::new());
    while !rest.is_empty() {
        let record = record(dialect, line_end, rest);
        rest = &rest[record.len..];
        records.push(record);
    }
    records
}

fn record(dialect: &Dialect, line_end: LineEnd, rest: &[u8]) -> Read {
    let (text, len, unquoted_defect) = read_line(dialect, line_end, rest);
    let fields = match unquoted_defect {
        Some(defect) => Err(defect),
        None => read_attributes(dialect, text),
    };
    let line_byte = if line_end == LineEnd::Newline { b'\n' } else { b'\r' };
    let lines = 1 + text.iter().filter(|byte| **byte == line_byte).count() as u64;
    Read { len, lines, text: text.to_vec(), fields }
}

/// `CopyReadLineText`, which goes on where the server stops.
fn read_line<'b>(dialect: &Dialect, line_end: LineEnd, rest: &'b [u8]) -> (&'b [u8], usize, Option<Defect>) {
    let escape = if dialect.escape == dialect.quote { None } else { Some(dialect.escape) };
    let (mut in_quote, mut last_was_escape, mut defect) = (false, false, None);
    for (at, byte) in rest.iter().enumerate() {
        if in_quote && Some(*byte) == escape {
            last_was_escape = !last_was_escape;
        }
        if *byte == dialect.quote && !last_was_escape {
            in_quote = !in_quote;
        }
        if Some(*byte) != escape {
            last_was_escape = false;
        }
        if in_quote || (*byte != b'\n' && *byte != b'\r') {
            continue;
        }
        let is_end = match line_end {
            LineEnd::Newline => *byte == b'\n',
            LineEnd::CarriageReturn => *byte == b'\r',
            LineEnd::CarriageReturnNewline => *byte == b'\r' && rest.get(at + 1) == Some(&b'\n'),
        };
        if is_end {
            let len = at + if line_end == LineEnd::CarriageReturnNewline { 2 } else { 1 };
            return (&rest[..at], len, defect);
        }
        let found = if *byte == b'\n' { Defect::UnquotedNewline } else { Defect::UnquotedCarriageReturn };
        defect = defect.or(Some(found));
    }
    (rest, rest.len(), defect)
}

/// `CopyReadAttributesCSV`.
fn read_attributes(dialect: &Dialect, line: &[u8]) -> Result<Vec<Option<Vec<u8>>>, Defect> {
    let (mut fields, mut at) = (Vec::new(), 0);
    loop {
        let (start, mut value, mut saw_quote, mut in_quote) = (at, Vec::new(), false, false);
        while let Some(&byte) = line.get(at) {
            if !in_quote && byte == dialect.delimiter {
                break;
            }
            at += 1;
            if !in_quote && byte == dialect.quote {
                (saw_quote, in_quote) = (true, true);
            } else if in_quote
                && byte == dialect.escape
                && line.get(at).is_some_and(|next| *next == dialect.escape || *next == dialect.quote)
            {
                value.push(line[at]);
                at += 1;
            } else if in_quote && byte == dialect.quote {
                in_quote = false;
            } else {
                value.push(byte);
            }
        }
        if in_quote {
            return Err(Defect::UnterminatedQuote);
        }
        let is_null = !saw_quote && line[start..at] == dialect.null;
        fields.push(if is_null { None } else { Some(value) });
        if at == line.len() {
            return Ok(fields);
        }
        at += 1;
    }
}

/// Any dialect, mostly of characters that [`file`] is full of.
pub(super) fn dialect() -> impl Strategy<Value = Dialect> {
    let quotes = prop_oneof![4 => Just("\""), 1 => Just("'"), 1 => Just("a")];
    let delimiters = prop_oneof![4 => Just(","), 1 => Just("."), 1 => Just(" ")];
    let escapes = prop_oneof![Just(None), proptest::sample::select(vec![Some("\\"), Some(","), Some("b"), Some(".")])];
    let nulls = proptest::sample::select(vec!["", "b", "\\", "bb", "\\N"]);
    (delimiters, quotes, escapes, nulls).prop_filter_map("a dialect", |(delimiter, quote, escape, null)| {
        Dialect::new(delimiter, quote, escape, null).ok()
    })
}

/// A file full of what matters.
pub(super) fn file() -> impl Strategy<Value = Vec<u8>> {
    let bytes = b"aabb,,,\"\"\"\\\\\n\n\r .'N\x00\xAC\xFF".to_vec();
    let line_ends = proptest::sample::select(vec![&b"\n"[..], b"\r\n", b"\r", b"\"\"", b"\",\"", b"\\\"", b"\"\r\n\""]);
    let parts = prop_oneof![3 => proptest::sample::select(bytes).prop_map(|byte| vec![byte]), 1 => line_ends.prop_map(<[u8]>::to_vec)];
    proptest::collection::vec(parts, 0..60).prop_map(|parts| parts.concat())
}

/// Any line end.
pub(super) fn line_end() -> impl Strategy<Value = LineEnd> {
    proptest::sample::select(vec![LineEnd::Newline, LineEnd::CarriageReturn, LineEnd::CarriageReturnNewline])
}

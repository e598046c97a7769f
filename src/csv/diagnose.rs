//! What a file that does not fit looks like: another delimiter, another encoding.

use super::{Dialect, LineEnd, Parser};

/// What else separates fields, the likeliest first.
const DELIMITERS: &[u8] = b",;\t|:";

/// How much of a file its encoding is guessed from.
const GUESSED_BYTES: usize = 1024;

/// What to say of a file whose records do not have `columns` fields: "looks delimited by ';'".
///
/// `records` is the beginning of the file, of some kilobytes; a record that is cut at the end does no harm. `None`
/// where no other delimiter divides all records into equally many fields, and more than one.
pub fn other_delimiter(dialect: &Dialect, records: &[u8], columns: usize) -> Option<String> {
    let line_end = LineEnd::of(dialect, records, true)?;
    let counted = |delimiter: &u8| {
        let dialect = Dialect { delimiter: *delimiter, ..dialect.clone() };
        field_count(&dialect, line_end, records).map(|count| (*delimiter, count))
    };
    let others = DELIMITERS.iter().filter(|other| ![dialect.delimiter, dialect.quote].contains(other));
    let candidates: Vec<(u8, usize)> = others.filter_map(counted).collect();
    let fitting = candidates.iter().find(|(_, count)| *count == columns);
    // Of those that do not fit either, colons are in times and commas in numbers: the most fields win.
    let (delimiter, _) = fitting.or(candidates.iter().rev().max_by_key(|(_, count)| *count))?;
    Some(format!("looks delimited by {}", shown(*delimiter)))
}

/// How many fields each record has, where that is more than one and always the same.
fn field_count(dialect: &Dialect, line_end: LineEnd, records: &[u8]) -> Option<usize> {
    let (mut parser, mut rest, mut count) = (Parser::new(dialect, line_end), records, None);
    while let Some(record) = parser.record(rest) {
        let is_cut = record.len == record.text.len();
        if is_cut && count.is_some() {
            break;
        }
        let fields = record.fields.ok()?.len();
        if *count.get_or_insert(fields) != fields {
            return None;
        }
        rest = &rest[record.len..];
    }
    count.filter(|count| *count > 1)
}

fn shown(delimiter: u8) -> String {
    if delimiter == b'\t' { "tab".to_string() } else { format!("'{}'", char::from(delimiter)) }
}

/// The encoding that a byte order mark at the start of a file tells, in the Unicode standard's spelling; without a mark
/// UTF-16 where every other one of the first bytes is NUL, as in English text. `None` where nothing tells.
pub fn encoding_of_bom(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xEF, 0xBB, 0xBF, ..] => Some("UTF-8"),
        [0xFF, 0xFE, 0, 0, ..] => Some("UTF-32LE"),
        [0, 0, 0xFE, 0xFF, ..] => Some("UTF-32BE"),
        [0xFF, 0xFE, ..] => Some("UTF-16LE"),
        [0xFE, 0xFF, ..] => Some("UTF-16BE"),
        _ => unmarked_utf_16(&bytes[..bytes.len().min(GUESSED_BYTES)]),
    }
}

fn unmarked_utf_16(bytes: &[u8]) -> Option<&'static str> {
    let (pairs, _) = bytes.as_chunks::<2>();
    let all = |is_so: fn(&[u8; 2]) -> bool| pairs.len() > 1 && pairs.iter().all(is_so);
    if all(|[low, high]| *low != 0 && *high == 0) {
        Some("UTF-16LE")
    } else if all(|[high, low]| *low != 0 && *high == 0) {
        Some("UTF-16BE")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn guess(records: &str, columns: usize) -> Option<String> {
        other_delimiter(&Dialect::default(), records.as_bytes(), columns)
    }

    fn looks(delimiter: &str) -> Option<String> {
        Some(format!("looks delimited by {delimiter}"))
    }

    #[test]
    fn the_delimiter_that_gives_the_expected_columns_is_named() {
        assert_eq!(guess("time;device;value\n2025-01-01 00:00:00;d1;0,5\n", 3), looks("';'"));
        assert_eq!(guess("a\tb\r\n1\t2\r\n", 2), looks("tab"));
        assert_eq!(guess("a|\"x|y\"|b\n", 3), looks("'|'"));
        assert_eq!(guess("2025-01-01 00:00:00;d1\n2025-01-01 00:00:01;d2\n", 2), looks("';'"));
    }

    #[test]
    fn without_a_fit_the_most_fields_win() {
        assert_eq!(guess("a;b:c;d\na;b:c;d\n", 5), looks("';'"));
        assert_eq!(guess("a;b|c\n", 5), looks("';'"));
    }

    #[test]
    fn a_last_record_that_is_cut_does_no_harm() {
        assert_eq!(guess("a;b\nc;\"d", 2), looks("';'"));
        assert_eq!(guess("a;b", 2), looks("';'"));
    }

    #[test]
    fn what_no_delimiter_divides_evenly_is_not_guessed() {
        for records in ["", "abc\ndef\n", "a;b\nc\n", "a;\"b"] {
            assert_eq!(guess(records, 2), None, "{records:?}");
        }
        let semicolon = Dialect { delimiter: b';', ..Dialect::default() };
        assert_eq!(other_delimiter(&semicolon, b"a;b\n", 3), None);
        assert_eq!(other_delimiter(&semicolon, b"a,b\n", 2), looks("','"));
    }

    #[test]
    fn byte_order_marks_tell_the_encoding() {
        assert_eq!(encoding_of_bom(b"\xEF\xBB\xBFa"), Some("UTF-8"));
        assert_eq!(encoding_of_bom(b"\xFF\xFEa\0"), Some("UTF-16LE"));
        assert_eq!(encoding_of_bom(b"\xFE\xFF\0a"), Some("UTF-16BE"));
        assert_eq!(encoding_of_bom(b"\xFF\xFE\0\0a\0\0\0"), Some("UTF-32LE"));
        assert_eq!(encoding_of_bom(b"\0\0\xFE\xFF\0\0\0a"), Some("UTF-32BE"));
        assert_eq!(encoding_of_bom(b"a,b\n"), None);
        assert_eq!(encoding_of_bom(b""), None);
    }

    #[test]
    fn utf_16_is_seen_without_a_mark() {
        assert_eq!(encoding_of_bom(b"a\0,\0b"), Some("UTF-16LE"));
        assert_eq!(encoding_of_bom(b"\0a\0,"), Some("UTF-16BE"));
        assert_eq!(encoding_of_bom(b"\0\0\0\0"), None);
        assert_eq!(encoding_of_bom(b"a\0,b"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, columns: usize, delimiter: u8, quote: u8) {
            other_delimiter(&Dialect { delimiter, quote, ..Dialect::default() }, &bytes, columns);
            encoding_of_bom(&bytes);
        }
    }
}

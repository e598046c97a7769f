//! What stands before the first record of a file: a byte order mark, lines to skip, a header.
//!
//! **Invariant:** pure; decided once for a file, from its first bytes.

use crate::csv::diagnose::other_delimiter;
use crate::csv::{Dialect, LineEnd, Parser};
use crate::error::{Error, Kind, Result};

/// How a file begins.
#[derive(Clone, Debug)]
pub struct Shape {
    /// How its records are written.
    pub dialect: Dialect,
    /// Lines before the header and the records.
    pub skip_lines: u64,
    /// Whether a header stands before the records.
    pub has_header: bool,
    /// Whether the text is UTF-8, which may begin with a byte order mark.
    pub is_utf8: bool,
}

/// The beginning of a file, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preamble {
    /// Where the first record begins, in bytes.
    pub until: u64,
    /// The line it begins in, from 1.
    pub line: u64,
    /// How records end.
    pub line_end: LineEnd,
    /// The lines that were skipped, without their ends.
    pub skipped: Vec<Vec<u8>>,
    /// The header as it stands in the file, without its line end, where there is one.
    pub header: Option<Vec<u8>>,
    /// Whether a byte order mark was skipped.
    pub has_mark: bool,
}

/// UTF-8's byte order mark.
const MARK: &[u8] = b"\xef\xbb\xbf";

impl Shape {
    /// How a file begins whose first bytes are `head`, or all of them. `None` where more of it has to be seen.
    pub fn preamble(&self, head: &[u8], is_whole: bool) -> Option<Preamble> {
        if head.len() < MARK.len() && !is_whole {
            return None;
        }
        let has_mark = self.is_utf8 && head.starts_with(MARK);
        let mut at = if has_mark { MARK.len() } else { 0 };
        let (mut line, mut skipped) = (1, Vec::new());
        for _ in 0..self.skip_lines {
            let length = line_length(&head[at..], is_whole)?;
            skipped.push(without_line_end(&head[at..at + length]).to_vec());
            at += length;
            line += 1;
        }
        let line_end = LineEnd::of(&self.dialect, &head[at..], is_whole)?;
        let mut preamble = Preamble { until: at as u64, line, line_end, skipped, header: None, has_mark };
        if self.has_header {
            let mut parser = Parser::new(&self.dialect, line_end);
            if let Some(record) = parser.record(&head[at..]) {
                if record.len == head.len() - at && !is_whole {
                    return None;
                }
                preamble.until += record.len as u64;
                preamble.line += record.lines;
                preamble.header = Some(record.text.to_vec());
            }
        }
        Some(preamble)
    }
}

impl Preamble {
    /// Lines and header again, for other records that are to be read in the same way.
    pub fn text(&self) -> Vec<u8> {
        let lines = self.skipped.iter().chain(&self.header);
        lines.flat_map(|line| line.iter().chain(b"\n")).copied().collect()
    }
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Refuses a file whose records look as if something else stood between their fields. `head` is its beginning.
///
/// # Errors
/// [`Kind::Input`], saying what it looks like.
pub fn refuse_delimiter(dialect: &Dialect, columns: usize, name: &str, preamble: &Preamble, head: &[u8]) -> Result<()> {
    let records = &head[preamble.until as usize..];
    let mut parser = Parser::new(dialect, preamble.line_end);
    let fields = parser.record(records).and_then(|record| record.fields.ok()).map(|fields| fields.len());
    let Some(fields) = fields.filter(|fields| *fields != columns) else { return Ok(()) };
    let Some(looks) = other_delimiter(dialect, records, columns) else { return Ok(()) };
    let unit = if fields == 1 { "field" } else { "fields" };
    let place = format!("{}, line {}", shown(name), preamble.line);
    Err(Error::new(Kind::Input, format!("{place}: {fields} {unit} where there are {columns} columns; it {looks}"))
        .hint("Say so with --delimiter, or name the columns with --columns."))
}

/// A file's name for people.
pub fn shown(name: &str) -> &str {
    if name == "-" { "stdin" } else { name }
}

/// The length of the first line with its end, whichever that is. `None` where more has to be seen.
fn line_length(text: &[u8], is_whole: bool) -> Option<usize> {
    match memchr::memchr2(b'\r', b'\n', text) {
        None => is_whole.then_some(text.len()),
        Some(at) if text[at] == b'\n' => Some(at + 1),
        Some(at) => match text.get(at + 1) {
            None if !is_whole => None,
            Some(b'\n') => Some(at + 2),
            _ => Some(at + 1),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(skip_lines: u64, has_header: bool) -> Shape {
        Shape { dialect: Dialect::default(), skip_lines, has_header, is_utf8: true }
    }

    #[test]
    fn records_begin_behind_mark_skipped_lines_and_header() {
        let file = b"\xef\xbb\xbf# \"note\r\nmore\ntime,\"odd\nname\"\n1,2\n";
        let preamble = shape(2, true).preamble(file, true).unwrap();
        assert_eq!(preamble.header, Some(b"time,\"odd\nname\"".to_vec()));
        assert_eq!((preamble.until, preamble.line, preamble.has_mark), (file.len() as u64 - 4, 5, true));
        assert_eq!(preamble.text(), b"# \"note\nmore\ntime,\"odd\nname\"\n");
    }

    #[test]
    fn more_is_asked_for_until_the_answer_is_certain() {
        let file = b"\xef\xbb\xbfskip\r\na,b\r\n1,2\r\n";
        let whole = shape(1, true).preamble(file, true).unwrap();
        for length in 0..file.len() {
            if let Some(preamble) = shape(1, true).preamble(&file[..length], false) {
                assert_eq!(preamble, whole, "{length}");
            }
        }
        assert!(shape(1, true).preamble(&file[..16], false).is_some());
    }

    #[test]
    fn an_empty_file_has_no_header_and_no_records() {
        let preamble = shape(3, true).preamble(b"", true).unwrap();
        assert_eq!((preamble.until, preamble.header), (0, None));
        assert_eq!(shape(0, false).preamble(b"\xef\xbb\xbf", true).unwrap().until, 3);
    }
}

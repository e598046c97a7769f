//! What stands in a segment: rows, and what makes a whole file of them.
//!
//! **Invariant:** pure. Rows are counted as they are written, apart from whoever has counted them before.

use std::fmt;

use memchr::memchr;

use super::{Extent, Extents, SegmentFormat};
use crate::pgcopy::{Format, MAX_RECORD_BYTES, Malformed, binary, text};

/// Makes the contents of one segment of the rows of a COPY stream.
pub struct Contents {
    counter: Counter,
    extents: Extents,
    columns: Vec<String>,
    format: SegmentFormat,
    /// What the last call answered.
    written: Vec<u8>,
    value: Vec<u8>,
}

/// What the rows of a segment were.
#[derive(Debug, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub rows: u64,
    /// Where they lie, as [`Segment::extents`](super::Segment::extents).
    pub extents: Option<Vec<Extent>>,
}

/// Finds the rows of what goes into the file.
enum Counter {
    Binary(binary::Scanner),
    Text(text::Scanner),
}

impl Contents {
    /// Of a segment whose rows have these columns, and lie in extents to be found.
    pub fn new(format: SegmentFormat, columns: &[String], extents: Extents) -> Self {
        let counter = match format.wire() {
            Format::Binary => Counter::Binary(binary::Scanner::new(columns.len() as u16, MAX_RECORD_BYTES)),
            Format::Text => Counter::Text(text::Scanner::new(MAX_RECORD_BYTES)),
        };
        Contents { counter, extents, columns: columns.to_vec(), format, written: Vec::new(), value: Vec::new() }
    }

    /// What stands before the rows.
    ///
    /// # Errors
    /// None that happens: the header is ours.
    pub fn begin(&mut self) -> Result<&[u8], Malformed> {
        self.written.clear();
        match self.format {
            SegmentFormat::Binary => {
                self.count(&binary::HEADER)?;
                self.written.extend_from_slice(&binary::HEADER);
            }
            SegmentFormat::Csv => {
                for (at, column) in self.columns.iter().enumerate() {
                    push_comma(at, &mut self.written);
                    push_csv(column.as_bytes(), &mut self.written);
                }
                self.written.push(b'\n');
            }
            SegmentFormat::Text => {}
        }
        Ok(&self.written)
    }

    /// What stands for these rows, which are whole and in [`SegmentFormat::wire`].
    ///
    /// # Errors
    /// For what are no rows.
    pub fn rows<'a>(&'a mut self, rows: &'a [u8]) -> Result<&'a [u8], Malformed> {
        match self.format {
            SegmentFormat::Binary | SegmentFormat::Text => {
                self.count(rows)?;
                Ok(rows)
            }
            SegmentFormat::Csv => self.records(rows),
        }
    }

    /// What stands behind the rows, and what they were.
    ///
    /// # Errors
    /// Where the last row has no end.
    pub fn end(mut self) -> Result<(&'static [u8], Tally), Malformed> {
        let trailer: &[u8] = match self.format {
            SegmentFormat::Binary => &binary::TRAILER,
            SegmentFormat::Csv | SegmentFormat::Text => &[],
        };
        self.count(trailer)?;
        let rows = match self.counter {
            Counter::Binary(scanner) => scanner.finish()?,
            Counter::Text(scanner) => scanner.finish()?,
        };
        Ok((trailer, Tally { rows, extents: self.extents.end() }))
    }

    fn count(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let at = self.extents.coordinate();
        match &mut self.counter {
            Counter::Binary(scanner) => {
                let mut rows = scanner.rows(bytes);
                while let Some(row) = rows.next_row()? {
                    self.extents.add(at.and_then(|at| at.of_binary(&row)));
                }
            }
            Counter::Text(scanner) => {
                let mut rows = scanner.rows(bytes);
                while let Some(row) = rows.next_row()? {
                    self.extents.add(at.and_then(|at| at.of_text(&row)));
                }
            }
        }
        Ok(())
    }

    fn records(&mut self, bytes: &[u8]) -> Result<&[u8], Malformed> {
        let Contents { counter: Counter::Text(scanner), extents, written, value, .. } = self else { return Ok(&[]) };
        written.clear();
        let at = extents.coordinate();
        let mut rows = scanner.rows(bytes);
        while let Some(row) = rows.next_row()? {
            extents.add(at.and_then(|at| at.of_text(&row)));
            for (at, field) in row.line().split(|byte| *byte == b'\t').enumerate() {
                push_comma(at, written);
                value.clear();
                if text::push_value(field, value) {
                    push_csv(value, written);
                }
            }
            written.push(b'\n');
        }
        Ok(&self.written)
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contents").field("format", &self.format).finish_non_exhaustive()
    }
}

fn push_comma(field: usize, out: &mut Vec<u8>) {
    if field > 0 {
        out.push(b',');
    }
}

/// Appends a value as the server would write it, but for values that no reader takes for something else without quotes.
/// An empty one is quoted, and so no NULL.
fn push_csv(value: &[u8], out: &mut Vec<u8>) {
    // A reader before PostgreSQL 17 takes a line of this for the end of the data.
    let is_end = value == b"\\.";
    let needs_quotes = |byte: &u8| matches!(byte, b',' | b'"' | b'\n' | b'\r');
    if !value.is_empty() && !is_end && !value.iter().any(needs_quotes) {
        return out.extend_from_slice(value);
    }
    out.push(b'"');
    let mut rest = value;
    while let Some(at) = memchr(b'"', rest) {
        out.extend_from_slice(&rest[..=at]);
        out.push(b'"');
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv::{Dialect, LineEnd, Parser};
    use crate::pgcopy::{Coordinate, TimeType};
    use crate::plan::OpenDimension;

    fn extents() -> Extents {
        let time_type = TimeType::Int4;
        let dimension = OpenDimension { column: "n".into(), time_type, interval: 10, function: None };
        Extents::new(dimension, Some(Coordinate { column: 0, time_type }))
    }

    fn contents(format: SegmentFormat, columns: &[&str], rows: &[u8]) -> (Vec<u8>, u64) {
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        let mut contents = Contents::new(format, &columns, extents());
        let mut file = contents.begin().unwrap().to_vec();
        file.extend_from_slice(contents.rows(rows).unwrap());
        let (trailer, Tally { rows, .. }) = contents.end().unwrap();
        file.extend_from_slice(trailer);
        (file, rows)
    }

    #[test]
    fn csv_has_a_header_and_tells_nulls_from_empty_values() {
        let (file, rows) = contents(SegmentFormat::Csv, &["a \"b\"", "c"], b"\\N\t\nx,y\t\\\\.\n\"\ta\\nb\n1\t\\\\N\n");
        let expected = "\"a \"\"b\"\"\",c\n,\"\"\n\"x,y\",\"\\.\"\n\"\"\"\",\"a\nb\"\n1,\\N\n";
        assert_eq!((String::from_utf8(file).unwrap().as_str(), rows), (expected, 4));
    }

    #[test]
    fn where_rows_lie_is_told() {
        let columns = ["n".to_string()];
        let mut contents = Contents::new(SegmentFormat::Text, &columns, extents());
        contents.rows(b"5\n17\n3\n").unwrap();
        let extents = vec![Extent { first: 3, last: 5, rows: 2 }, Extent { first: 17, last: 17, rows: 1 }];
        assert_eq!(contents.end().unwrap().1, Tally { rows: 3, extents: Some(extents) });
    }

    #[test]
    fn what_are_no_rows_is_refused() {
        let columns = ["a".to_string()];
        let mut text = Contents::new(SegmentFormat::Text, &columns, extents());
        text.rows(b"whole\nhalf").unwrap();
        assert!(text.end().is_err());
        let mut binary = Contents::new(SegmentFormat::Binary, &columns, extents());
        binary.begin().unwrap();
        assert!(binary.rows(&[0, 7]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn csv_reads_back_as_what_was_written(
            values in proptest::collection::vec(
                proptest::option::of(proptest::collection::vec(
                    proptest::prop_oneof![
                        proptest::sample::select(&b"\",\n\r\t\\.N"[..]), proptest::prelude::any::<u8>()
                    ], 0..9)),
                1..6),
        ) {
            let mut row = Vec::new();
            for (at, value) in values.iter().enumerate() {
                row.extend_from_slice(if at > 0 { b"\t" } else { b"" });
                text::push_field(value.as_deref(), &mut row);
            }
            row.push(b'\n');
            let names: Vec<String> = (0..values.len()).map(|at| at.to_string()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let (file, rows) = contents(SegmentFormat::Csv, &names, &row);
            proptest::prop_assert_eq!(rows, 1);
            let mut parser = Parser::new(&Dialect::default(), LineEnd::Newline);
            let header = parser.record(&file).unwrap().len;
            let record = parser.record(&file[header..]).unwrap();
            let found: Vec<Option<Vec<u8>>> =
                record.fields.unwrap().iter().map(|field| field.map(<[u8]>::to_vec)).collect();
            proptest::prop_assert_eq!(found, values);
        }
    }
}

//! From the records of a block to rows as COPY takes them.
//!
//! A block becomes binary rows where every value is in a form that is certain, and text rows otherwise, so that the
//! server's own parser judges. A record that is malformed, or has another number of fields than there are columns, is
//! no row; the server would say so too.
//!
//! **Invariant:** pure. Every record of the block is either a row or a reject.

use std::sync::Arc;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use super::block::{Block, Parsed, RowEnd};
use super::places::{Missing, Place, Places};
use super::room::{Room, Rooms};
use crate::csv::{Dialect, Fields, Parser, Record};
use crate::ledger::Reject;
use crate::pgcopy::binary::Row;
use crate::pgcopy::encode::{Encoder, push_null};
use crate::pgcopy::{Format, text};

/// What the records of a file become.
#[derive(Clone, Debug)]
pub struct Records {
    /// How they are written.
    dialect: Dialect,
    /// The columns, in the order of the fields.
    columns: Vec<String>,
    /// How their values become binary; none where one of them cannot.
    encoders: Option<Vec<Encoder>>,
    /// The fields of the dimensions, in their order, with how they become binary.
    dimensions: Vec<(usize, Encoder)>,
    /// Whether each row ends with its place in the block.
    with_position: bool,
    /// The field count that a binary row begins with.
    row_head: [u8; 2],
}

impl Records {
    /// Records of these columns. `encoders` are the columns', where all of them have one; `dimensions` are the fields of
    /// the target's dimensions, in their order, with their encoders.
    pub fn new(
        dialect: Dialect,
        columns: Vec<String>,
        encoders: Option<Vec<Encoder>>,
        dimensions: Vec<(usize, Encoder)>,
        with_position: bool,
    ) -> Records {
        let fields = columns.len() as i16 + i16::from(with_position);
        Records { dialect, columns, encoders, dimensions, with_position, row_head: fields.to_be_bytes() }
    }
}

/// The places of rows, as binary ones with all columns, and as those of the dimensions alone.
#[derive(Clone, Debug)]
pub struct Atlas {
    /// For rows with all columns.
    pub rows: Arc<Places>,
    /// For rows of the dimensions.
    pub dimensions: Arc<Places>,
}

impl Records {
    /// Reads the records of a block, and puts its rows into the order of their chunks; they lie in one of `rooms`.
    pub fn parse(&self, mut block: Block, atlas: Option<&Atlas>, rooms: &Rooms) -> Parsed {
        block.stretch.hash = format!("{:032x}", xxh3_128(&block.bytes));
        let binary = self.encoders.as_ref().and_then(|_| self.read(&block, Format::Binary, atlas, rooms.take()));
        let (format, read) = match binary {
            Some(read) => (Format::Binary, read),
            None => (Format::Text, self.read(&block, Format::Text, atlas, rooms.take()).unwrap_or_default()),
        };
        block.stretch.records = (read.rows.len() + read.rejects.len()) as u64;
        read.into_parsed(block, format, rooms)
    }

    /// `None` where a value has no certain binary form.
    fn read(&self, block: &Block, format: Format, atlas: Option<&Atlas>, data: Room) -> Option<Read> {
        let mut parser = Parser::new(&self.dialect, block.line_end);
        let records = block.stretch.records as usize;
        let places = Vec::with_capacity(atlas.map_or(0, |_| records));
        let mut read = Read { data, rows: Vec::with_capacity(records), places, ..Read::default() };
        let (mut at, mut line, mut scratch) = (0, block.line, Vec::new());
        while let Some(record) = parser.record(&block.bytes[at..]) {
            match self.fields(&record) {
                Ok(fields) => {
                    let start = read.data.len();
                    match format {
                        Format::Binary if !self.push_binary(&fields, at, &mut read.data) => return None,
                        Format::Binary => {}
                        Format::Text => push_text(&fields, self.with_position.then_some(at), &mut read.data),
                    }
                    read.rows.push(RowEnd { end: read.data.len(), record: at });
                    if let Some(atlas) = atlas {
                        let (places, row) = match format {
                            Format::Binary => (&atlas.rows, &read.data[start..]),
                            Format::Text => (&atlas.dimensions, self.dimensions(&fields, &mut scratch)),
                        };
                        read.places.push(places.place(&Row::of(row), &mut read.missing));
                    }
                }
                Err((reason, sqlstate)) => read.rejects.push(Reject {
                    file: block.stretch.file,
                    byte: block.stretch.from + at as u64,
                    line,
                    record: record.text.to_vec(),
                    column: None,
                    reason,
                    sqlstate: sqlstate.to_string(),
                }),
            }
            line += record.lines;
            at += record.len;
        }
        Some(read)
    }

    /// The fields of a record that has one for each column; else why it is no row, as the server says it.
    fn fields<'p>(&self, record: &Record<'p>) -> Result<Fields<'p>, (String, &'static str)> {
        let fields = record.fields.map_err(|defect| (defect.message().to_string(), defect.sqlstate()))?;
        match (self.columns.get(fields.len()), fields.len() == self.columns.len()) {
            (_, true) => Ok(fields),
            (Some(column), _) => Err((format!("missing data for column \"{column}\""), BAD_COPY_FILE_FORMAT)),
            (None, _) => Err(("extra data after last expected column".to_string(), BAD_COPY_FILE_FORMAT)),
        }
    }

    /// Answers whether all values have a certain form; what is written of a row without one is worth nothing.
    fn push_binary(&self, fields: &Fields<'_>, at: usize, data: &mut Vec<u8>) -> bool {
        let Some(encoders) = &self.encoders else { return false };
        data.extend_from_slice(&self.row_head);
        for (field, encoder) in fields.iter().zip(encoders) {
            match field {
                None => push_null(data),
                Some(value) if encoder.push(value, data) => {}
                Some(_) => return false,
            }
        }
        if self.with_position {
            data.extend_from_slice(&8i32.to_be_bytes());
            data.extend_from_slice(&(at as i64).to_be_bytes());
        }
        true
    }

    /// A row of the dimensions alone; what has no certain form is a null in it.
    fn dimensions<'s>(&self, fields: &Fields<'_>, scratch: &'s mut Vec<u8>) -> &'s [u8] {
        scratch.clear();
        scratch.extend_from_slice(&(self.dimensions.len() as i16).to_be_bytes());
        for (field, encoder) in &self.dimensions {
            let is_certain = fields.get(*field).is_some_and(|value| encoder.push(value, scratch));
            if !is_certain {
                push_null(scratch);
            }
        }
        scratch
    }
}

/// Appends a row of COPY's text format, with its place in the block where it needs one.
pub(super) fn push_text(fields: &Fields<'_>, position: Option<usize>, data: &mut Vec<u8>) {
    for (number, field) in fields.iter().enumerate() {
        if number > 0 {
            data.push(b'\t');
        }
        text::push_field(field, data);
    }
    if let Some(at) = position {
        data.push(b'\t');
        data.extend_from_slice(at.to_string().as_bytes());
    }
    data.push(b'\n');
}

const BAD_COPY_FILE_FORMAT: &str = "22P04";

/// What was read of a block so far.
#[derive(Default)]
struct Read {
    data: Room,
    rows: Vec<RowEnd>,
    places: Vec<Place>,
    rejects: Vec<Reject>,
    missing: Missing,
}

impl Read {
    fn into_parsed(self, block: Block, format: Format, rooms: &Rooms) -> Parsed {
        let Read { data, rows, places, rejects, missing } = self;
        let is_placed = places.len() == rows.len() && !places.iter().any(|place| place.is_nowhere());
        let (data, mut rows) = match places.is_sorted() {
            true => (data, rows),
            false => gather(&data, &rows, &places, rooms.take()),
        };
        rows.shrink_to_fit();
        Parsed {
            block,
            format,
            data: Bytes::from_owner(data),
            rows,
            rejects,
            missing: missing.into_points(),
            is_placed,
        }
    }
}

/// Rows in the order of their places; those of one place stay in the order of the file.
fn gather(data: &[u8], rows: &[RowEnd], places: &[Place], mut gathered: Room) -> (Room, Vec<RowEnd>) {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|row| places[*row]);
    let ends = order.iter().map(|row| {
        let start = row.checked_sub(1).map_or(0, |before| rows[before].end);
        gathered.extend_from_slice(&data[start..rows[*row].end]);
        RowEnd { end: gathered.len(), record: rows[*row].record }
    });
    let ends = ends.collect();
    (gathered, ends)
}

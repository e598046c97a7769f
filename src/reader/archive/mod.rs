//! An archive as a source: the rows of its segments, and where they are.
//!
//! Reading blocks, and takes the CPU to decompress and to hash: whoever calls gives it a thread.
//!
//! **Invariant:** a segment ends without an error only where its file, its rows and their checksum are what the manifest
//! says, and every row lies in its range. What was handed on before may be wrong.

mod csv;
mod survey;

use self::csv::Converter;
use crate::archive::{Archive, Census, Segment, SegmentFormat, SegmentReader, damaged};
use crate::catalog::Hypertable;
use crate::error::{Error, Result};
use crate::ident::display_ident;
use crate::ledger::Counted;
use crate::pgcopy::{Checksum, Coordinate, Malformed, RowHasher};
use crate::plan::{OpenDimension, Range, Read, SourceChunk, Wire, primary_dimension};
use crate::reader::rows::{Row, RowScanner};

pub(crate) use self::survey::SegmentSurvey;

/// The segments of an archive, whose files were found to be there.
pub struct Segments {
    archive: Archive,
    wire: Wire,
    /// Where rows have the values of the primary dimension; none where only a server knows them.
    primary: Option<Coordinate>,
}

/// Where rows of a segment have a dimension's values.
fn coordinate(table: &Hypertable, dimension: &OpenDimension) -> Result<Coordinate> {
    dimension.coordinate(table).ok_or_else(|| {
        damaged(format!("the manifest has no column {} for its dimension", display_ident(&dimension.column)))
    })
}

impl Segments {
    /// Those of an archive, once each of its files is found to be there with the size that it should have.
    ///
    /// # Errors
    /// [`Kind::Input`](crate::error::Kind::Input), naming the file.
    pub fn new(archive: Archive) -> Result<Segments> {
        archive.check_files()?;
        Segments::unseen(archive)
    }

    /// Those of an archive whose files nobody has looked for.
    ///
    /// # Errors
    /// [`Kind::Input`](crate::error::Kind::Input) for a manifest that describes no table.
    pub fn unseen(archive: Archive) -> Result<Segments> {
        let manifest = &archive.manifest;
        let table = &manifest.definition.hypertable;
        let reason =
            || manifest.format_reason.clone().unwrap_or_else(|| format!("the archive is {}", manifest.format.name()));
        let obstacle = (manifest.format != SegmentFormat::Binary).then(reason);
        let copied: Vec<_> = table.copied_columns().collect();
        let wire = Wire::decide(&copied, &table.types, obstacle);
        let primary = primary_dimension(table.name(), &table.dimensions)?;
        let is_readable = primary.function.is_none();
        let primary = is_readable.then(|| coordinate(table, &primary)).transpose()?;
        Ok(Segments { wire, primary, archive })
    }

    /// The archive.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// How the rows of its segments are handed on.
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// The stretches of the axis that are read in one piece each, one for each segment.
    pub fn stretches(&self) -> impl Iterator<Item = (SourceChunk, &Segment)> {
        let stretch = |segment: &Segment| SourceChunk { slice: segment.range.slice(), splittable: false };
        self.archive.manifest.segments.iter().map(move |segment| (stretch(segment), segment))
    }

    /// Begins to read a segment; only rows in `read.range` will be handed on.
    ///
    /// # Errors
    /// [`Kind::Input`](crate::error::Kind::Input) where its file is not there any more;
    /// [`Kind::Internal`](crate::error::Kind::Internal) for a part of one whose rows cannot be told apart.
    pub fn open(&self, read: &Read) -> Result<SegmentRows<'_>> {
        let manifest = &self.archive.manifest;
        let segment = &manifest.segments[read.chunk];
        let columns = || manifest.columns.iter().map(|column| column.name.clone()).collect();
        let is_whole = read.range == Range::ALL;
        if !is_whole && self.primary.is_none() {
            return Err(Error::internal(format!("a part of segment {} was asked for", segment.file)));
        }
        Ok(SegmentRows {
            path: self.archive.directory.display(&segment.file),
            segment,
            file: self.archive.segment(segment)?,
            csv: (manifest.format == SegmentFormat::Csv).then(|| Converter::new(columns())),
            rows: RowScanner::new(&self.wire, true),
            sieve: Sieve {
                primary: self.primary,
                segment: segment.range,
                census: segment.extents.as_deref().map(Census::new),
                wanted: read.range,
                part: (!is_whole)
                    .then(|| Part { hasher: RowHasher::new(self.wire.canon.clone()), sum: Checksum::default() }),
                has_strayed: false,
            },
        })
    }

    /// Reads segments once more, and answers what is not as the manifest says.
    pub fn blame(&self, reads: &[Read]) -> Option<Error> {
        let check = |read: &Read| {
            let mut rows = self.open(read)?;
            while rows.next(|_| ())? {}
            rows.finish()
        };
        reads.iter().find_map(|read| check(read).err())
    }
}

/// The rows of one segment, told apart one by one and compared with what the manifest says of them.
pub struct SegmentRows<'a> {
    path: String,
    segment: &'a Segment,
    file: SegmentReader,
    csv: Option<Converter>,
    rows: RowScanner,
    sieve: Sieve,
}

impl SegmentRows<'_> {
    /// Reads some more, and hands on the rows that end there. False where there is no more, and the file was what the manifest says.
    ///
    /// # Errors
    /// [`Kind::Input`](crate::error::Kind::Input), naming the file, for what is not as it should be.
    pub fn next(&mut self, mut take: impl FnMut(&Row<'_>)) -> Result<bool> {
        let SegmentRows { path, file, csv, rows, sieve, .. } = self;
        let Some(piece) = file.next()? else { return Ok(false) };
        let piece = match csv {
            Some(csv) => csv.convert(piece).map_err(|what| holds(path, what))?,
            None => piece,
        };
        rows.push(piece, |row| sieve.see(row, &mut take)).map_err(|malformed| unreadable(path, malformed))?;
        match sieve.has_strayed {
            true => Err(holds(path, "a row that is not where the manifest says")),
            false => Ok(true),
        }
    }

    /// Answers what was handed on, once there is no more.
    ///
    /// # Errors
    /// [`Kind::Input`](crate::error::Kind::Input) where the segment has other rows than the manifest says.
    pub fn finish(self) -> Result<Counted> {
        let SegmentRows { path, segment, csv, rows, sieve, .. } = self;
        csv.map_or(Ok(()), |csv| csv.finish()).map_err(|what| holds(&path, what))?;
        let seen = rows.finish().map_err(|malformed| unreadable(&path, malformed))?;
        if seen.checksum != Some(segment.checksum) {
            return Err(holds(&path, "other rows than the manifest says"));
        }
        if sieve.census.is_some_and(|census| !census.is_complete()) {
            return Err(holds(&path, "its rows in other places than the manifest says"));
        }
        Ok(match sieve.part {
            None => seen,
            Some(Part { sum, .. }) => Counted { rows: sum.rows, checksum: Some(sum) },
        })
    }
}

/// Looks where each row lies.
struct Sieve {
    primary: Option<Coordinate>,
    /// Where rows have to lie.
    segment: Range,
    /// How many of them where, if the manifest says so.
    census: Option<Census>,
    /// Where those lie that are handed on.
    wanted: Range,
    /// What those are; none where they are all.
    part: Option<Part>,
    has_strayed: bool,
}

struct Part {
    hasher: RowHasher,
    sum: Checksum,
}

impl Sieve {
    #[inline]
    fn see(&mut self, row: &Row<'_>, take: &mut impl FnMut(&Row<'_>)) {
        let Some(primary) = self.primary else { return take(row) };
        let Some(value) = row.coordinate(primary).filter(|value| self.segment.contains(*value)) else {
            self.has_strayed = true;
            return;
        };
        self.has_strayed |= self.census.as_mut().is_some_and(|census| !census.see(value));
        let Some(part) = &mut self.part else { return take(row) };
        if self.wanted.contains(value) {
            // It was hashed already, as one of all.
            match row.hash(&mut part.hasher) {
                Ok(hash) => part.sum.add_row(hash),
                Err(_) => self.has_strayed = true,
            }
            take(row);
        }
    }
}

fn holds(path: &str, what: &str) -> Error {
    damaged(format!("segment {path} holds {what}"))
}

fn unreadable(path: &str, malformed: Malformed) -> Error {
    damaged(format!("segment {path} cannot be read")).caused_by(malformed).given_up()
}

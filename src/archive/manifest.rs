//! The manifest: what an archive is, and what its segments hold.
//!
//! **Invariant:** plain data that was checked for itself: names are those that we give, ranges tile what was asked for, no
//! number is absurd. What the files hold is another question.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::Read;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::belongings::{is_known, names_of_trappings};
use super::identity::is_hexadecimal;
use super::{ArchiveId, Directory, Extent, belongings, json, unreadable, upkeep};
use crate::catalog::prerequisites::Making;
use crate::catalog::{ChunkShape, Column, Hypertable, Prerequisites, Server, Type};
use crate::error::{Context, Error, Kind, Result};
use crate::ident::{MAX_IDENT_BYTES, QualifiedName};
use crate::pgcopy::{Checksum, Format, TimeType, checksum};
use crate::plan::{Range, primary_dimension};

/// The version of the layout that this file describes; a reader refuses a newer one.
pub const FORMAT_VERSION: u32 = 1;

/// The name of the manifest of a complete archive.
pub const MANIFEST: &str = "manifest.json";

/// What the names of segments begin with.
pub(super) const SEGMENT: &str = "segment-";

/// A larger manifest is none of ours: a segment takes a few hundred bytes of it.
const MAX_MANIFEST_BYTES: u64 = 256 << 20;

/// What an archive is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT_VERSION`] of whoever wrote it.
    pub format_version: u32,
    /// hypercopy's version.
    pub hypercopy: String,
    /// What tells it from every other archive.
    pub id: ArchiveId,
    /// The archive whose segments it has taken over, where there was one.
    pub base: Option<Base>,
    /// When the snapshot was taken that its rows were read under, by the source's clock.
    pub snapshot_at: String,
    /// The server and the database that it was read from.
    pub server: Server,
    /// Encoding of all text in segments: UTF8, or SQL_ASCII for whatever bytes a database of that kind held.
    pub encoding: String,
    /// The range that was asked for.
    pub asked: Asked,
    /// What the table is.
    pub definition: Definition,
    /// The columns of a row in every segment, in order.
    pub columns: Vec<SegmentColumn>,
    /// What segments hold once they are decompressed.
    pub format: SegmentFormat,
    /// Why they are not binary, where that was asked for.
    pub format_reason: Option<String>,
    /// How segments are compressed.
    pub compression: Compression,
    /// What the row checksums are over: the format of the hashed rows, and the version of their canonical form.
    pub checksum_form: String,
    /// The segments, along the axis.
    pub segments: Vec<Segment>,
}

/// An archive that another one is built on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Its id.
    pub id: ArchiveId,
    /// Where it was when it was used, as it was given.
    pub path: String,
}

/// The range that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// `--from`, as written.
    pub from: Option<String>,
    /// `--until`, as written.
    pub until: Option<String>,
    /// Both in internal time.
    pub range: Range,
}

/// What the table is, as far as it can be carried, and what it takes to make it again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Definition {
    /// The table as its catalog had it; sequences with their values.
    pub hypertable: Hypertable,
    /// How many chunks it had in the range.
    pub chunks: u64,
    /// How many of them held compressed rows.
    pub compressed_chunks: u64,
    /// Their slices, and which of them those were.
    #[serde(default)]
    pub shapes: Vec<ChunkShape>,
}

/// A column of the segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentColumn {
    /// Its name.
    pub name: String,
    /// Its type with modifiers, qualified.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its collation, where it is not its type's own; qualified and quoted.
    pub collation: Option<String>,
}

impl SegmentColumn {
    /// The columns that a table's segments have: all that are not generated.
    pub fn of(table: &Hypertable) -> Vec<SegmentColumn> {
        table.copied_columns().map(SegmentColumn::new).collect()
    }

    fn new(column: &Column) -> Self {
        let Column { name, type_name, collation, .. } = column.clone();
        SegmentColumn { name, type_name, collation }
    }
}

/// What a segment holds once it is decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentFormat {
    /// A whole file for `copy … from … (format binary)`.
    Binary,
    /// A whole file for `copy … from … (format csv, header)`.
    Csv,
    /// A whole file for `copy … from …`.
    Text,
}

impl SegmentFormat {
    /// The format of the rows that its row checksums are over.
    pub fn wire(self) -> Format {
        match self {
            SegmentFormat::Binary => Format::Binary,
            SegmentFormat::Csv | SegmentFormat::Text => Format::Text,
        }
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            SegmentFormat::Binary => "binary",
            SegmentFormat::Csv => "csv",
            SegmentFormat::Text => "text",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            SegmentFormat::Binary => "bin",
            SegmentFormat::Csv => "csv",
            SegmentFormat::Text => "txt",
        }
    }

    /// The name of the file of segment `number`, counted from 1.
    pub fn file(self, compression: Compression, number: i32) -> String {
        let suffix = match compression {
            Compression::None => "",
            Compression::Zstd { .. } => ".zst",
        };
        format!("{SEGMENT}{number:06}.{}{suffix}", self.extension())
    }
}

/// How segments are compressed. Reads and displays as on the command line: `none`, `zstd:1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Compression {
    /// Not at all.
    None,
    /// By zstd.
    Zstd {
        /// From 1, fast, to 22, small.
        level: i32,
    },
}

impl Compression {
    /// What is used where nothing is asked for.
    pub const DEFAULT: Compression = Compression::Zstd { level: 1 };
    const LEVELS: std::ops::RangeInclusive<i32> = 1..=22;
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Compression::None => f.write_str("none"),
            Compression::Zstd { level } => write!(f, "zstd:{level}"),
        }
    }
}

impl FromStr for Compression {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "it takes none, zstd or zstd:LEVEL, with a level from 1 to 22";
        let level = match text {
            "none" => return Ok(Compression::None),
            "zstd" => return Ok(Compression::DEFAULT),
            _ => text.strip_prefix("zstd:").and_then(|level| level.parse().ok()),
        };
        level
            .filter(|level| Compression::LEVELS.contains(level))
            .map_or(Err(WRONG), |level| Ok(Compression::Zstd { level }))
    }
}

impl TryFrom<String> for Compression {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        text.parse()
    }
}

impl From<Compression> for String {
    fn from(compression: Compression) -> String {
        compression.to_string()
    }
}

/// A segment: the rows of one range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Its file: [`SegmentFormat::file`] of some number.
    pub file: String,
    /// The range of the primary dimension, in internal time; no bound at the ends of the axis.
    pub range: Range,
    /// How many rows it has.
    pub rows: u64,
    /// Where they lie, along the axis; none where there are too many such places to tell.
    pub extents: Option<Vec<Extent>>,
    /// Its length once it is decompressed, with everything that the format adds to rows.
    pub bytes: u64,
    /// The length of the file.
    pub file_bytes: u64,
    /// The multiset checksum of its rows, of [`Manifest::checksum_form`], as [`Checksum`] displays: `rows:sum`.
    #[serde(with = "displayed")]
    pub checksum: Checksum,
    /// The BLAKE3 hash of the file, in 64 hexadecimal digits.
    pub blake3: String,
    /// Whether the file is the base's.
    pub reused: bool,
}

impl Segment {
    /// Whether its extents follow each other inside its range, and hold its rows.
    fn extents_fit(&self) -> bool {
        let Some(extents) = &self.extents else { return true };
        let is_inside = |extent: &Extent| {
            let Extent { first, last, rows } = *extent;
            first <= last && rows > 0 && self.range.contains(first) && self.range.contains(last)
        };
        let rows = extents.iter().try_fold(0u64, |sum, extent| sum.checked_add(extent.rows));
        rows == Some(self.rows)
            && extents.iter().all(is_inside)
            && extents.windows(2).all(|pair| pair[0].last < pair[1].first)
    }
}

/// What reads and displays as text is text in JSON.
mod displayed {
    use super::*;

    pub(super) fn serialize<S: serde::Serializer>(value: &impl fmt::Display, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'de, T: FromStr<Err: fmt::Display>, D: serde::Deserializer<'de>>(
        from: D,
    ) -> Result<T, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Digits of a BLAKE3 hash.
const BLAKE3_DIGITS: usize = 64;

impl Manifest {
    /// Reads the manifest of a complete archive.
    ///
    /// # Errors
    /// [`Kind::Input`] where there is none, and for one that is not whole, not ours, or of a newer version.
    pub fn read(directory: &Directory) -> Result<Manifest> {
        let path = directory.display(MANIFEST);
        let file = directory.open_file(MANIFEST).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => no_archive(directory, error),
            _ => unreadable(&path, error),
        })?;
        let mut bytes = Vec::new();
        let read = file.take(MAX_MANIFEST_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|error| unreadable(&path, error))?;
        Manifest::parse(&bytes).map_err(|error| error.context(&path))
    }

    /// Reads a manifest from its text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, Malformed> {
        if bytes.len() as u64 > MAX_MANIFEST_BYTES {
            return Err(Malformed::new(format!("it has more than {MAX_MANIFEST_BYTES} bytes")));
        }
        let value = json::parse(bytes).map_err(Malformed::json)?;
        Malformed::newer(&value)?;
        let manifest: Manifest = json::decode(&value).map_err(Malformed::json)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The manifest as its file has it.
    ///
    /// # Errors
    /// [`Kind::Internal`] where it cannot be written as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let mut text =
            serde_json::to_vec_pretty(self).doing(Kind::Internal, || "cannot write the manifest of an archive")?;
        text.push(b'\n');
        Ok(text)
    }

    /// How many rows the archive has.
    pub fn rows(&self) -> u64 {
        self.segments.iter().map(|segment| segment.rows).sum()
    }

    /// The number of a segment, by its file's name; none for a name that we would not give.
    pub fn number(&self, segment: &Segment) -> Option<i32> {
        number_of(self.format, self.compression, &segment.file)
    }

    /// The type of the primary dimension, which ranges are written in.
    ///
    /// # Errors
    /// Where the table has no such dimension.
    pub fn time_type(&self) -> Result<TimeType> {
        let table = &self.definition.hypertable;
        primary_dimension(table.name(), &table.dimensions).map(|dimension| dimension.time_type)
    }

    fn check(&self) -> Result<(), Malformed> {
        let refuse = |wrong: bool, what: &str| if wrong { Err(Malformed::new(what)) } else { Ok(()) };
        let time_type = self.time_type().map_err(|error| Malformed::new(error.message()))?;
        refuse(self.asked.range.is_empty(), "the range that was asked for is empty")?;
        refuse(self.columns != SegmentColumn::of(&self.definition.hypertable), "its columns are not the table's")?;
        refuse(self.columns.is_empty(), "it has no columns")?;
        check_names(&self.definition.hypertable)?;
        let table = &self.definition.hypertable;
        if let Some(suspect) = belongings::suspect(&table.belongings).or_else(|| upkeep::suspect(table)) {
            return Err(Malformed::new(format!("{suspect} is more than it says")));
        }
        check_types(&self.definition.hypertable.types)?;
        check_prerequisites(&self.definition.hypertable.prerequisites)?;
        refuse(
            self.definition.shapes.iter().any(|shape| !self.is_chunk(shape)),
            "one of its chunks has no slices of the table",
        )?;
        let form = format!("{}/{}", self.format.wire().name(), checksum::VERSION);
        refuse(self.checksum_form != form, &format!("its checksums are over {}, not {form}", self.checksum_form))?;
        refuse(self.segments.is_empty(), "it has no segments")?;
        for segment in &self.segments {
            self.check_segment(segment).map_err(|what| {
                Malformed::new(format!("segment {} of range {} {what}", segment.file, segment.range.display(time_type)))
            })?;
        }
        let mut files: Vec<&str> = self.segments.iter().map(|segment| segment.file.as_str()).collect();
        files.sort_unstable();
        refuse(files.windows(2).any(|pair| pair[0] == pair[1]), "two segments have one file")?;
        refuse(!tile(self.asked.range, &self.segments), "its segments do not tile the range that was asked for")?;
        let total =
            |of: fn(&Segment) -> u64| self.segments.iter().try_fold(0u64, |sum, segment| sum.checked_add(of(segment)));
        refuse(
            total(|s| s.bytes).is_none() || total(|s| s.file_bytes).is_none(),
            "its segments are larger than any disk",
        )
    }

    /// Whether a chunk has a slice for each dimension, with values in each.
    fn is_chunk(&self, shape: &ChunkShape) -> bool {
        let dimensions = self.definition.hypertable.dimensions.len();
        shape.slices.len() == dimensions && shape.slices.iter().all(|slice| slice.start < slice.end)
    }

    fn check_segment(&self, segment: &Segment) -> Result<(), &'static str> {
        let refuse = |wrong: bool, what: &'static str| if wrong { Err(what) } else { Ok(()) };
        refuse(self.number(segment).is_none(), "has a file that this archive would not name so")?;
        refuse(segment.range.is_empty(), "has a range without values")?;
        refuse(segment.checksum.rows != segment.rows, "has a checksum of another number of rows")?;
        refuse(segment.rows > segment.bytes, "has more rows than bytes")?;
        refuse(!segment.extents_fit(), "has extents that are not those of its rows")?;
        let is_plain = self.compression == Compression::None;
        refuse(is_plain && segment.bytes != segment.file_bytes, "is not compressed, and its file has another length")?;
        refuse(
            segment.blake3.len() != BLAKE3_DIGITS || !is_hexadecimal(&segment.blake3),
            "has a hash that is none of BLAKE3",
        )
    }
}

/// Refuses names that PostgreSQL would not keep as they are: what was made under one could not be found by it.
fn check_names(table: &Hypertable) -> Result<(), Malformed> {
    let of_relation = |name: &QualifiedName| [name.schema.clone(), name.name.clone()];
    let names = of_relation(table.name())
        .into_iter()
        .chain([table.table.owner.clone()])
        .chain(table.columns.iter().map(|column| column.name.clone()))
        .chain(table.dimensions.iter().map(|dimension| dimension.column.clone()))
        .chain(table.constraints.iter().map(|constraint| constraint.name.clone()))
        .chain(table.indexes.iter().map(|index| index.name.clone()))
        .chain(table.sequences.iter().flat_map(|sequence| of_relation(&sequence.name)))
        .chain(table.types.iter().flat_map(|part| of_relation(&part.name)))
        .chain(table.types.iter().flat_map(|part| &part.attributes).map(|attribute| attribute.name.clone()))
        .chain(belongings::names(&table.belongings))
        .chain(upkeep::names(table));
    check_lengths(names)
}

fn check_lengths(names: impl IntoIterator<Item = String>) -> Result<(), Malformed> {
    match names.into_iter().find(|name| name.is_empty() || name.len() > MAX_IDENT_BYTES) {
        None => Ok(()),
        Some(name) => Err(Malformed::new(format!("it has a name of {} bytes: \"{name}\"", name.len()))),
    }
}

/// Refuses needs that lead out of the list, and names as [`check_names`] does.
fn check_prerequisites(prerequisites: &Prerequisites) -> Result<(), Malformed> {
    let Prerequisites { objects, types, schemas } = prerequisites;
    if let Some(wrong) = objects.iter().find(|object| object.needs.iter().any(|need| *need >= objects.len())) {
        return Err(Malformed::new(format!("its {} uses what is not described", wrong.object)));
    }
    let of_making = |making: &Making| match making {
        Making::Type(name) => vec![name.schema.clone(), name.name.clone()],
        Making::Sequence(sequence) => vec![sequence.name.schema.clone(), sequence.name.name.clone()],
        Making::Table(table) => {
            let columns = table.columns.iter().map(|column| column.name.clone());
            let constraints = table.constraints.iter().map(|constraint| constraint.name.clone());
            columns.chain(constraints).chain([table.name.schema.clone(), table.name.name.clone()]).collect()
        }
        Making::Extension { .. } | Making::Statement(_) | Making::Statements(_) | Making::Nothing { .. } => Vec::new(),
    };
    let attributes = types.iter().flat_map(|part| &part.attributes).map(|attribute| attribute.name.clone());
    let of_types = types.iter().flat_map(|part| [part.name.schema.clone(), part.name.name.clone()]);
    let of_objects = objects.iter().filter_map(|object| object.schema.clone());
    let trappings = objects.iter().filter_map(|object| object.trappings.as_ref());
    let trappings = trappings.chain(schemas.iter().map(|schema| &schema.trappings));
    if trappings.clone().flat_map(|found| &found.grants).any(|grant| !is_known(grant)) {
        return Err(Malformed::new("a privilege on what it uses is more than it says"));
    }
    check_lengths(
        objects
            .iter()
            .flat_map(|object| of_making(&object.making))
            .chain(of_objects)
            .chain(of_types)
            .chain(attributes)
            .chain(schemas.iter().map(|schema| schema.name.clone()))
            .chain(trappings.flat_map(names_of_trappings)),
    )
}

/// Types deeper in each other than this are nobody's.
const MAX_TYPE_DEPTH: usize = 64;

/// Whoever walks through types follows their parts: each is described before what is made of it, and not too deep.
fn check_types(types: &[Type]) -> Result<(), Malformed> {
    let mut depths: HashMap<u32, usize> = HashMap::new();
    let oids: HashSet<u32> = types.iter().map(|found| found.oid).collect();
    for found in types {
        let parts = found.attributes.iter().map(|attribute| attribute.type_oid).chain(found.inner_oid);
        let known = parts.filter(|part| oids.contains(part)).map(|part| depths.get(&part).copied());
        let known: Option<Vec<usize>> = known.collect();
        let depth = known.map(|depths| depths.into_iter().max().map_or(0, |depth| depth + 1));
        let depth = depth.filter(|depth| *depth <= MAX_TYPE_DEPTH);
        let is_new = depth.is_some_and(|depth| depths.insert(found.oid, depth).is_none());
        if !is_new {
            return Err(Malformed::new(format!("its type {} is not made of types before it", found.name)));
        }
    }
    Ok(())
}

/// The number in a file's name; none for a name that we would not give.
pub(super) fn number_of(format: SegmentFormat, compression: Compression, file: &str) -> Option<i32> {
    let digits = file.strip_prefix(SEGMENT)?.split('.').next()?;
    let number: i32 = digits.parse().ok().filter(|number| *number > 0)?;
    (format.file(compression, number) == file).then_some(number)
}

/// Whether segments follow each other from one end of the range to the other.
fn tile(range: Range, segments: &[Segment]) -> bool {
    let ends = segments.first().zip(segments.last());
    ends.is_some_and(|(first, last)| first.range.from == range.from && last.range.until == range.until)
        && segments.windows(2).all(|pair| pair[0].range.until.is_some() && pair[0].range.until == pair[1].range.from)
}

/// A manifest that is not one.
#[derive(Debug)]
pub struct Malformed {
    what: String,
    newer: bool,
}

impl Malformed {
    fn new(what: impl Into<String>) -> Self {
        Malformed { what: what.into(), newer: false }
    }

    fn json(error: serde_json::Error) -> Self {
        Malformed::new(error.to_string())
    }

    /// A newer version may have any other shape, so this is asked first.
    fn newer(manifest: &Value) -> Result<(), Malformed> {
        match manifest.get("format_version").and_then(Value::as_u64) {
            None => Err(Malformed::new("it has no format_version")),
            Some(version) if version == u64::from(FORMAT_VERSION) => Ok(()),
            Some(version) => Err(Malformed {
                what: format!("it is of format version {version}, and this is hypercopy for version {FORMAT_VERSION}"),
                newer: version > u64::from(FORMAT_VERSION),
            }),
        }
    }

    fn context(self, path: &str) -> Error {
        let newer = self.newer;
        let error = Error::new(Kind::Input, format!("{path} is no manifest")).caused_by(self);
        match newer {
            true => error.hint("Use the hypercopy that has written it, or a newer one."),
            false => error.hint("The archive was changed after it was written: bring it back from another copy."),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Malformed {}

fn no_archive(directory: &Directory, error: std::io::Error) -> Error {
    Error::new(Kind::Input, format!("{} is no complete archive: it has no {MANIFEST}", directory.path().display()))
        .caused_by(error)
        .given_up()
        .hint("A dump that was interrupted has manifest.partial.json there: the same command goes on with it.")
}

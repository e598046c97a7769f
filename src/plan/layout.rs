//! The target's dimensions: the source's, or those asked for.

use serde::{Deserialize, Serialize};

use super::dimension::display_value;
use super::{ClosedDimension, OpenDimension};
use crate::catalog::{Chunk, ConstraintKind, Dimension, Hypertable, Slice};
use crate::error::{Error, Result};
use crate::ident::{QualifiedName, display_ident};
use crate::pgcopy::{HashType, TimeType};

/// An interval as asked for, already a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IntervalRequest {
    /// A bare integer, in the unit of an integer dimension.
    Integer(i64),
    /// An interval without months.
    Microseconds(i64),
}

/// Closed dimensions as asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashRequest {
    /// None at all.
    None,
    /// One, on this column.
    Column {
        /// The column's name, unquoted.
        column: String,
        /// How many partitions.
        partitions: i32,
    },
}

/// What the request changes of the source's partitioning; what it leaves out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partitioning {
    /// Interval of the primary dimension.
    pub interval: Option<IntervalRequest>,
    /// Closed dimensions.
    pub hash: Option<HashRequest>,
}

/// A value per open dimension that a chunk shall be made for: the primary one, then the further ones.
pub type Point = Vec<i64>;

/// The dimensions of the new hypertable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The primary dimension.
    pub primary: OpenDimension,
    /// Further dimensions with intervals.
    pub open: Vec<OpenDimension>,
    /// Hash dimensions.
    pub closed: Vec<ClosedDimension>,
}

impl Layout {
    /// The layout that `request` makes of `source`. `encoding` is the source database's: text is hashed as the server
    /// stores it.
    ///
    /// # Errors
    /// Refuses what TimescaleDB could not create, and dimensions of a kind that is not supported.
    pub fn resolve(source: &Hypertable, request: &Partitioning, encoding: &str) -> Result<Layout> {
        let primary = primary_dimension(source.name(), &source.dimensions)?;
        let mut layout = Layout { primary, open: Vec::new(), closed: Vec::new() };
        if let Some(interval) = request.interval {
            layout.primary.interval = resolve_interval(&layout.primary, interval)?;
        }
        for dimension in &source.dimensions[1..] {
            match dimension.partitions {
                None => layout.open.push(open_dimension(source.name(), dimension)?),
                Some(partitions) if request.hash.is_none() => {
                    let closed = closed_dimension(source, &dimension.column, partitions, encoding)?;
                    layout.closed.push(with_function(closed, dimension));
                }
                Some(_) => {}
            }
        }
        if let Some(HashRequest::Column { column, partitions }) = &request.hash {
            layout.closed.push(closed_dimension(source, column, *partitions, encoding)?);
        }
        layout.check_columns(source)?;
        Ok(layout)
    }

    /// The dimensions with intervals, the primary one first.
    pub fn all_open(&self) -> impl Iterator<Item = &OpenDimension> {
        std::iter::once(&self.primary).chain(&self.open)
    }

    /// Whether a function stands between a column and an interval: then only the server knows a row's value.
    pub fn has_function(&self) -> bool {
        self.all_open().any(|dimension| dimension.function.is_some())
    }

    /// The columns of all dimensions, the primary one first.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.all_open()
            .map(|dimension| dimension.column.as_str())
            .chain(self.closed.iter().map(|dimension| dimension.column.as_str()))
    }

    /// Chunks that one bucket of all open dimensions can have.
    pub fn partitions_per_bucket(&self) -> u64 {
        self.closed.iter().map(|dimension| dimension.partitions as u64).product()
    }

    /// The points, a value for each open dimension, whose chunks are not all among `chunks`.
    pub fn missing_points(&self, points: &[Point], chunks: &[Chunk]) -> Vec<Point> {
        let is_home = |chunk: &Chunk, point: &[i64]| {
            let slices = chunk.slices.iter().flatten();
            slices.zip(point).all(|(slice, value)| slice.contains(*value))
        };
        let is_missing = |point: &&Vec<i64>| {
            let there = chunks.iter().filter(|chunk| is_home(chunk, point)).count() as u64;
            there < self.partitions_per_bucket()
        };
        points.iter().filter(is_missing).cloned().collect()
    }

    /// The slices of the chunks at `point`, a value for each open dimension, were there no neighbours to cut them: one
    /// JSON object `{"column": [start, end], …}` for each combination of hash partitions, as TimescaleDB's
    /// `create_chunk` takes it.
    pub fn chunk_slices(&self, point: &[i64]) -> Vec<serde_json::Value> {
        let open = self.all_open().zip(point);
        let slices = open.map(|(dimension, value)| (dimension.column.clone(), slice_json(dimension.bucket(*value))));
        let first: serde_json::Map<String, serde_json::Value> = slices.collect();
        let combined = self.closed.iter().fold(vec![first], |chunks, dimension| {
            let with = |chunk: &serde_json::Map<String, serde_json::Value>, slice| {
                let mut chunk = chunk.clone();
                chunk.insert(dimension.column.clone(), slice_json(slice));
                chunk
            };
            chunks.iter().flat_map(|chunk| dimension.slices().map(move |slice| with(chunk, slice))).collect()
        });
        combined.into_iter().map(serde_json::Value::Object).collect()
    }

    /// For people: `time 1 day, hash(device) 4`.
    pub fn describe(&self) -> String {
        let open = self.all_open().map(|d| format!("{} {}", d.name(), describe_interval(d.time_type, d.interval)));
        let closed = self.closed.iter().map(|d| format!("hash({}) {}", display_ident(&d.column), d.partitions));
        open.chain(closed).collect::<Vec<_>>().join(", ")
    }

    fn check_columns(&self, source: &Hypertable) -> Result<()> {
        let columns: Vec<&str> = self.columns().collect();
        for (position, column) in columns.iter().enumerate() {
            if columns[..position].contains(column) {
                return Err(Error::refused(format!(
                    "column {} would be two dimensions at once",
                    display_ident(column)
                ))
                .hint("--hash-partitions takes a column that is not the time dimension."));
            }
            for constraint in source.constraints.iter().filter(|constraint| constraint.kind != ConstraintKind::Check) {
                if !constraint.columns.iter().any(|name| name == column) {
                    return Err(not_in_key(column, &constraint.name));
                }
            }
            for index in source.indexes.iter().filter(|index| index.unique) {
                if !index.keys.iter().any(|key| key.as_deref() == Some(column)) {
                    return Err(not_in_key(column, &index.name));
                }
            }
        }
        Ok(())
    }
}

/// The slices of a chunk of `source`, as TimescaleDB's `create_chunk` takes them.
pub fn chunk_slices_of(source: &Hypertable, slices: &[Slice]) -> serde_json::Value {
    let named = source.dimensions.iter().zip(slices);
    named.map(|(dimension, slice)| (dimension.column.clone(), slice_json(*slice))).collect()
}

fn slice_json(slice: Slice) -> serde_json::Value {
    serde_json::json!([slice.start, slice.end])
}

fn not_in_key(column: &str, key: &str) -> Error {
    Error::refused(format!("dimension column {} is not in unique key {}", display_ident(column), display_ident(key)))
        .hint("TimescaleDB can only keep a key unique that contains every dimension's column; choose a column of the key.")
}

/// A length of the primary dimension for people.
pub(crate) fn describe_interval(time_type: TimeType, interval: i64) -> String {
    if time_type.is_integer() {
        return interval.to_string();
    }
    const UNITS: [(i64, &str); 5] =
        [(86_400_000_000, "day"), (3_600_000_000, "hour"), (60_000_000, "minute"), (1_000_000, "second"), (1, "µs")];
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| interval % unit == 0).unwrap_or((1, "µs"));
    let count = interval / unit;
    format!("{count} {name}{}", if count == 1 || unit == 1 { "" } else { "s" })
}

/// The primary dimension of a table.
///
/// # Errors
/// Refuses a kind of dimension that is not supported.
pub fn primary_dimension(table: &QualifiedName, dimensions: &[Dimension]) -> Result<OpenDimension> {
    let primary = dimensions.first().ok_or_else(|| {
        Error::refused(format!("hypertable {table} has no dimension"))
            .hint("The source's TimescaleDB catalog is damaged; no copy of the table can be complete.")
    })?;
    open_dimension(table, primary)
}

/// A dimension for people, also one of a kind that is not supported: `time 12 hours`, `hash(device) 4`.
pub fn describe_dimension(dimension: &Dimension) -> String {
    let value = display_value(function(dimension).as_ref(), &dimension.column);
    match (dimension.partitions, dimension.interval_length, time_type(dimension.value_type())) {
        (Some(partitions), ..) => format!("hash({}) {partitions}", display_ident(&dimension.column)),
        (None, Some(interval), Some(time_type)) => format!("{value} {}", describe_interval(time_type, interval)),
        (None, Some(interval), None) => format!("{value} {interval} ({})", dimension.value_type()),
        (None, None, _) => value,
    }
}

fn open_dimension(table: &QualifiedName, dimension: &Dimension) -> Result<OpenDimension> {
    let function = function(dimension);
    let name = display_value(function.as_ref(), &dimension.column);
    let unsupported = |what: String| {
        Error::refused(format!("dimension {name} of {table} {what}")).hint(
            "Supported are dimensions with an interval over timestamptz, timestamp, date, smallint, integer, bigint and \
             uuid (of version 7), and over functions that answer one of the first six.",
        )
    };
    let interval = dimension.interval_length.filter(|interval| *interval > 0);
    let interval = interval.ok_or_else(|| unsupported("has no fixed interval".into()))?;
    let time_type = time_type(dimension.value_type())
        .filter(|time_type| function.is_none() || *time_type != TimeType::Uuid)
        .ok_or_else(|| unsupported(format!("is of type {}, which is not supported", dimension.value_type())))?;
    Ok(OpenDimension { column: dimension.column.clone(), time_type, interval, function })
}

/// The function of a dimension, of either kind, where it has one of a user's.
fn function(dimension: &Dimension) -> Option<QualifiedName> {
    let name = dimension.partitioning_function_schema.as_ref().zip(dimension.partitioning_function.as_ref());
    name.filter(|(schema, _)| !schema.starts_with("_timescaledb"))
        .map(|(schema, name)| QualifiedName::new(schema, name))
}

/// The type of an open dimension by its name; none where it is not supported.
pub(super) fn time_type(type_name: &str) -> Option<TimeType> {
    Some(match type_name {
        "timestamp with time zone" => TimeType::Timestamptz,
        "timestamp without time zone" => TimeType::Timestamp,
        "date" => TimeType::Date,
        "smallint" => TimeType::Int2,
        "integer" => TimeType::Int4,
        "bigint" => TimeType::Int8,
        "uuid" => TimeType::Uuid,
        _ => return None,
    })
}

fn resolve_interval(primary: &OpenDimension, request: IntervalRequest) -> Result<i64> {
    let column = display_ident(&primary.column);
    let is_integer = primary.time_type.is_integer();
    let interval = match request {
        IntervalRequest::Integer(interval) if is_integer => interval,
        IntervalRequest::Microseconds(interval) if !is_integer => interval,
        IntervalRequest::Integer(_) => {
            return Err(Error::refused(format!(
                "--chunk-interval is a bare integer, but dimension {column} is a time"
            ))
            .hint("Write an interval with its unit, such as '1 day' or '6 hours'."));
        }
        IntervalRequest::Microseconds(_) => {
            return Err(Error::refused(format!(
                "--chunk-interval is an interval, but dimension {column} is an integer"
            ))
            .hint("Write a bare integer in the column's own unit."));
        }
    };
    let greatest = match primary.time_type {
        TimeType::Int2 => i16::MAX.into(),
        TimeType::Int4 => i32::MAX.into(),
        _ => i64::MAX,
    };
    if interval <= 0 || interval > greatest {
        return Err(Error::refused(format!("--chunk-interval does not fit dimension {column}"))
            .hint(format!("It takes values from 1 to {greatest} in the dimension's unit (microseconds for times).")));
    }
    if interval % primary.time_type.unit() != 0 {
        let (unit, kind) =
            if primary.time_type == TimeType::Date { ("days", "date") } else { ("milliseconds", "uuid") };
        return Err(Error::refused(format!(
            "--chunk-interval is not a number of whole {unit}, but dimension {column} is a {kind}"
        ))
        .hint("Write a number of days, such as '7 days'."));
    }
    Ok(interval)
}

/// The dimension with the function of a user, if it has one: only the server knows what that makes of a value.
fn with_function(closed: ClosedDimension, dimension: &Dimension) -> ClosedDimension {
    match function(dimension) {
        None => closed,
        function => ClosedDimension { hash_type: None, function, ..closed },
    }
}

fn closed_dimension(source: &Hypertable, column: &str, partitions: i32, encoding: &str) -> Result<ClosedDimension> {
    let found = source.column(column).ok_or_else(|| {
        Error::refused(format!("{} has no column {} to partition by hash", source.name(), display_ident(column)))
            .hint("An unquoted column is folded to lower case; one with capitals or a colon needs double quotes.")
    })?;
    if found.generated.is_some() {
        return Err(Error::refused(format!(
            "column {} is generated and cannot be a hash dimension",
            display_ident(column)
        ))
        .hint("Choose a column that rows bring with them."));
    }
    if !(1..=i32::from(i16::MAX)).contains(&partitions) {
        return Err(
            Error::refused(format!("{partitions} is no number of hash partitions")).hint("It goes from 1 to 32767.")
        );
    }
    let hash_type = hash_type(&found.type_name)
        .filter(|hash_type| !is_text(*hash_type) || (encoding == "UTF8" && found.collation.is_none()));
    Ok(ClosedDimension { column: column.to_string(), partitions, hash_type, function: None })
}

fn is_text(hash_type: HashType) -> bool {
    matches!(hash_type, HashType::Text | HashType::Bpchar)
}

/// The hash functions of the reference, section 5.1; every other type's values are routed by the server.
fn hash_type(type_name: &str) -> Option<HashType> {
    let bare = type_name.split('(').next().unwrap_or_default().trim();
    Some(match bare {
        "text" | "character varying" => HashType::Text,
        "character" => HashType::Bpchar,
        "smallint" => HashType::Int2,
        "integer" => HashType::Int4,
        "bigint" => HashType::Int8,
        "date" => HashType::Date,
        "timestamp with time zone" | "timestamp without time zone" => HashType::Timestamp,
        "boolean" => HashType::Bool,
        "uuid" => HashType::Uuid,
        "real" => HashType::Float4,
        "double precision" => HashType::Float8,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_read_as_people_say_them() {
        assert_eq!(describe_interval(TimeType::Timestamptz, 86_400_000_000), "1 day");
        assert_eq!(describe_interval(TimeType::Date, 7 * 86_400_000_000), "7 days");
        assert_eq!(describe_interval(TimeType::Timestamp, 90 * 60_000_000), "90 minutes");
        assert_eq!(describe_interval(TimeType::Timestamptz, 1), "1 µs");
        assert_eq!(describe_interval(TimeType::Int8, 1000), "1000");
    }

    #[test]
    fn an_interval_must_fit_the_dimensions_type() {
        let dimension = |time_type| OpenDimension { column: "t".into(), time_type, interval: 1, function: None };
        let refused = |time_type, request| resolve_interval(&dimension(time_type), request).unwrap_err();
        assert!(refused(TimeType::Timestamptz, IntervalRequest::Integer(5)).message().contains("bare integer"));
        assert!(refused(TimeType::Int8, IntervalRequest::Microseconds(5)).message().contains("is an interval"));
        assert!(refused(TimeType::Int2, IntervalRequest::Integer(40_000)).message().contains("does not fit"));
        assert!(refused(TimeType::Date, IntervalRequest::Microseconds(3_600_000_000)).message().contains("whole days"));
        assert!(refused(TimeType::Uuid, IntervalRequest::Microseconds(1_500)).message().contains("whole milliseconds"));
        assert!(refused(TimeType::Timestamptz, IntervalRequest::Microseconds(0)).message().contains("does not fit"));
    }

    #[test]
    fn modifiers_do_not_hide_a_hash_type() {
        assert_eq!(hash_type("character varying(20)"), Some(HashType::Text));
        assert_eq!(hash_type("timestamp(3) with time zone"), None);
        assert_eq!(hash_type("numeric"), None);
    }
}

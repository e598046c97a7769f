//! What is there: a server, a hypertable's definition and its chunks, as plain data.
//!
//! One question is one function in [`read`] and one file in `sql/`. TimescaleDB's catalog is read through
//! `to_jsonb(row)`, so that a column that came or went between versions is a null and not an error; versions are
//! reported, capabilities are probed.
//!
//! **Invariant:** reads only, decides nothing: what follows from a fact is the business of `plan`.

pub mod belongings;
pub mod dependents;
pub mod prerequisites;
pub mod read;
pub mod trappings;
pub mod views;

mod aggregates;
mod footing;
mod policies;

use serde::{Deserialize, Serialize};

pub use aggregates::{Aggregate, Comment, Grant};
pub use footing::{Footing, PublicationHere, RoleHere};
pub use policies::{Columnstore, Job, Means, OrderBy, Policies, SparseIndex};
pub use prerequisites::{ObjectName, Prerequisites};
pub use trappings::{Ground, Schema, Trappings};

use self::belongings::Belongings;
use crate::ident::{QualifiedName, quote_ident};

/// A server and the database we are connected to.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Server {
    /// PostgreSQL's version as it prints it.
    pub postgresql: String,
    /// PostgreSQL's version as a number: 170011 is 17.11.
    pub postgresql_number: u32,
    /// The extension's version, if the database has it.
    pub timescaledb: Option<String>,
    /// The schema the extension's functions for users live in.
    pub timescaledb_schema: Option<String>,
    /// `apache` or `timescale`.
    pub license: Option<String>,
    /// Where the extension's internal functions live: it moved in 2.12.
    pub functions_schema: String,
    /// Whether slices are linked to chunks by `chunk_constraint` (a table until 2.27, announced to go).
    pub has_chunk_constraint: bool,
    /// The database's encoding.
    pub encoding: String,
    /// The database's name.
    pub database: String,
    /// The database's oid: with `system` it identifies the database.
    pub database_oid: u32,
    /// The cluster's system identifier, or the next best thing where the role may not see it.
    pub system: String,
    /// A standby.
    pub in_recovery: bool,
    /// Entries of the shared lock table that can be counted on.
    pub lock_table: u64,
    /// The current role.
    pub role: String,
    /// Whether the role may create a schema.
    pub may_create_schema: bool,
}

impl Server {
    /// `PostgreSQL 17.11, TimescaleDB 2.19.3 (apache)`.
    pub fn version(&self) -> String {
        let postgresql = self.postgresql.split(' ').next().unwrap_or_default();
        let timescaledb = self.timescaledb.as_deref().unwrap_or("not installed");
        let license = self.license.as_deref().unwrap_or("no license setting");
        format!("PostgreSQL {postgresql}, TimescaleDB {timescaledb} ({license})")
    }

    /// Whether the edition lacks the community functions, reading compressed chunks among them.
    pub fn is_apache(&self) -> bool {
        self.license.as_deref() != Some("timescale")
    }

    /// Whether the two are the same database, however each was reached.
    pub fn is_one_database_with(&self, other: &Server) -> bool {
        let database = |server: &Server| (server.system.clone(), server.database_oid);
        database(self) == database(other)
    }

    /// A qualified function of TimescaleDB for users: `"public".name`.
    pub fn user_function(&self, name: &str) -> String {
        format!("{}.{name}", quote_ident(self.timescaledb_schema.as_deref().unwrap_or("public")))
    }

    /// A qualified internal function of TimescaleDB: `_timescaledb_functions.name`.
    pub fn internal_function(&self, name: &str) -> String {
        format!("{}.{name}", self.functions_schema)
    }
}

/// A relation as PostgreSQL sees it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Table {
    /// Its oid.
    pub oid: u32,
    /// Its name.
    #[serde(flatten)]
    pub name: QualifiedName,
    /// `pg_class.relkind`.
    pub kind: String,
    /// Not WAL-logged.
    pub unlogged: bool,
    /// Its owner's name.
    pub owner: String,
    /// Whether policies filter what the current role sees.
    pub row_security_active: bool,
    /// Whether the role has USAGE on its schema.
    pub schema_usable: bool,
    /// Columns on which the role lacks SELECT.
    pub unreadable_columns: Vec<String>,
    /// Size of the root's own heap: rows there are invisible to TimescaleDB.
    pub root_bytes: u64,
}

/// TimescaleDB's own row for a hypertable.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct HypertableRow {
    /// Its id in the catalog.
    pub id: i32,
    /// Where TimescaleDB keeps compressed rows (until 2.28): not for users.
    pub internal: bool,
    /// Whether compression (the columnstore) is switched on.
    pub columnstore: bool,
    /// Spread over data nodes (until 2.13).
    pub distributed: bool,
    /// Holds the rows of a continuous aggregate.
    pub materialization: bool,
}

/// A hypertable in a list for people.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct HypertableSummary {
    /// Its name.
    #[serde(flatten)]
    pub name: QualifiedName,
    /// How many chunks it has.
    pub chunks: u64,
    /// Heap, toast and indexes of all chunks, in bytes.
    pub total_bytes: u64,
    /// Rows by the planner's statistics; none where nothing was analyzed.
    pub estimated_rows: Option<u64>,
    /// Its dimensions, without their functions.
    pub dimensions: Option<Vec<Dimension>>,
}

/// A dimension of a hypertable.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Dimension {
    /// Its id; dimensions are ordered by it.
    pub id: i32,
    /// The column.
    pub column: String,
    /// The column's type as `regtype` prints it.
    pub column_type: String,
    /// Number of partitions of a closed dimension; none for an open one.
    pub partitions: Option<i32>,
    /// Interval of an open dimension: microseconds, or the column's unit for integers.
    pub interval_length: Option<i64>,
    /// Schema of the partitioning function.
    pub partitioning_function_schema: Option<String>,
    /// The partitioning function; on an open dimension the `time_partitioning_func`.
    pub partitioning_function: Option<String>,
    /// What that answers, as `regtype` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitioning_type: Option<String>,
    /// Schema of the function that answers "now" for an integer dimension.
    pub integer_now_schema: Option<String>,
    /// The function that answers "now" for an integer dimension.
    pub integer_now_function: Option<String>,
}

impl Dimension {
    /// The type of what it divides by: the column's, or what the function answers.
    pub fn value_type(&self) -> &str {
        self.partitioning_type.as_deref().unwrap_or(&self.column_type)
    }
}

/// A half-open range of internal time or hash values: `i64::MIN` and `i64::MAX` stand for "no end", and the last slice
/// contains `i64::MAX`.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slice {
    /// First value inside.
    pub start: i64,
    /// First value outside.
    pub end: i64,
}

impl Slice {
    /// Whether `value` lies inside.
    pub fn contains(&self, value: i64) -> bool {
        self.start <= value && (value < self.end || self.end == i64::MAX)
    }

    /// A value inside that is no infinity.
    pub fn some_value(&self) -> i64 {
        match (self.start, self.end) {
            (i64::MIN, i64::MAX) => 0,
            (i64::MIN, end) => end - 1,
            (start, _) => start,
        }
    }
}

/// A chunk.
#[derive(Clone, Debug, Deserialize)]
pub struct Chunk {
    /// Its id in TimescaleDB's catalog.
    pub id: i32,
    /// Its oid; none where the table is gone.
    pub oid: Option<u32>,
    /// Schema of the chunk's table.
    pub schema: Option<String>,
    /// Name of the chunk's table.
    pub name: Option<String>,
    /// An ordinary table here, not a foreign one.
    pub local: Option<bool>,
    /// Tiered to object storage.
    pub tiered: bool,
    /// Holds compressed rows.
    pub compressed: bool,
    /// One slice per dimension, in the order of the dimensions.
    pub slices: Option<Vec<Slice>>,
    /// Bytes of its rows, uncompressed, as the server's files tell.
    pub bytes: Option<i64>,
    /// Bytes of its indexes.
    pub index_bytes: Option<i64>,
    /// Rows by the planner's statistics, 0 where never analyzed.
    pub estimated_rows: Option<u64>,
    /// The file under the table: another one means that it was truncated or rewritten.
    pub filenode: Option<u32>,
}

impl Chunk {
    /// Its table's name.
    pub fn table(&self) -> QualifiedName {
        QualifiedName::new(self.schema.as_deref().unwrap_or_default(), self.name.as_deref().unwrap_or_default())
    }

    /// What it holds; `row_bytes` is what a row would take where no statistics tell.
    pub fn estimate(&self, row_bytes: u64) -> Estimate {
        let bytes = self.bytes.unwrap_or(0).max(0) as u64;
        let rows = self.estimated_rows.filter(|rows| *rows > 0).unwrap_or(bytes / row_bytes);
        Estimate { bytes, rows }
    }

    /// Bytes of its rows and indexes.
    pub fn size(&self) -> u64 {
        (self.bytes.unwrap_or(0) + self.index_bytes.unwrap_or(0)).max(0) as u64
    }

    /// Its slice of the primary dimension.
    pub fn primary(&self) -> Slice {
        self.slices
            .as_ref()
            .and_then(|slices| slices.first().copied())
            .unwrap_or(Slice { start: i64::MIN, end: i64::MAX })
    }

    /// What can be said of it where it is not.
    pub fn shape(&self) -> ChunkShape {
        ChunkShape { slices: self.slices.clone().unwrap_or_default(), compressed: self.compressed }
    }
}

/// A chunk as far as another table can have one like it.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct ChunkShape {
    /// One slice per dimension, in the order of the dimensions.
    pub slices: Vec<Slice>,
    /// Holds compressed rows.
    pub compressed: bool,
}

impl ChunkShape {
    /// Its slice of the primary dimension.
    pub fn primary(&self) -> Slice {
        self.slices.first().copied().unwrap_or(Slice { start: i64::MIN, end: i64::MAX })
    }
}

/// A chunk's table and the file under it: another one means that rows were changed which no trigger has seen.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct ChunkFile {
    /// The table's oid.
    pub relation: u32,
    /// Its `relfilenode`.
    pub filenode: u32,
    /// Holds compressed rows.
    pub compressed: bool,
    /// Its slice of the primary dimension.
    pub slice: Slice,
}

/// What a chunk holds, as its files and the planner's statistics let expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Bytes of its rows, uncompressed.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
}

/// What stands on the target where the new table shall be.
#[derive(Clone, Debug, Deserialize)]
pub struct TargetPlace {
    /// The schema is there.
    pub schema_exists: bool,
    /// The role may create tables in it, and use them.
    pub may_create_in_schema: bool,
    /// The role may create what ends with its session.
    pub may_create_temporary: bool,
    /// The role may create the ledger, or write to the one that is there.
    pub may_keep_ledger: bool,
    /// Kind of the relation that has the name already.
    pub existing: Option<String>,
    /// Its oid.
    pub existing_oid: Option<u32>,
    /// Names of all relations in the schema.
    pub taken: Vec<String>,
    /// Those among them that would go with the relation that has the name.
    pub taken_by_existing: Vec<String>,
    /// The source's owner is a role here, and the current role may give a table to it.
    pub may_own_for_source_owner: bool,
}

/// A column.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type's oid on its own server.
    pub type_oid: u32,
    /// Its type with modifiers, qualified.
    #[serde(rename = "type")]
    pub type_name: String,
    /// `attlen`: bytes of a fixed-width type, negative for others.
    pub type_length: i32,
    /// NOT NULL.
    pub not_null: bool,
    /// `a` for GENERATED ALWAYS, `d` for BY DEFAULT AS IDENTITY.
    pub identity: Option<String>,
    /// Computed from other columns, and never copied: `s` for STORED, `v` for VIRTUAL.
    pub generated: Option<String>,
    /// Its default, or what it is generated from.
    pub expression: Option<String>,
    /// Its collation, where it is not its type's own; qualified and quoted.
    pub collation: Option<String>,
    /// Its storage, where it is not its type's own.
    pub storage: Option<String>,
    /// Its compression method, where one is set.
    pub compression: Option<String>,
}

/// A check, primary key, unique or exclusion constraint.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Constraint {
    /// Its name.
    pub name: String,
    /// `pg_constraint.contype`.
    pub kind: ConstraintKind,
    /// What follows `add constraint name`.
    pub definition: String,
    /// The columns it is over.
    pub columns: Vec<String>,
}

impl Constraint {
    /// A check that rows from before it need not pass, or that nobody enforces, which TimescaleDB's COPY asks of rows all the
    /// same.
    pub fn is_unvalidated(&self) -> bool {
        let is_marked = |mark: &&str| self.definition.ends_with(*mark);
        self.kind == ConstraintKind::Check && ["NOT VALID", "NOT ENFORCED"].iter().any(is_marked)
    }
}

/// Kinds of constraints that are carried.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub enum ConstraintKind {
    /// CHECK.
    #[serde(rename = "c")]
    Check,
    /// PRIMARY KEY.
    #[serde(rename = "p")]
    PrimaryKey,
    /// UNIQUE.
    #[serde(rename = "u")]
    Unique,
    /// EXCLUDE.
    #[serde(rename = "x")]
    Exclusion,
}

/// An index that belongs to no constraint.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// UNIQUE.
    pub unique: bool,
    /// Not the remains of a failed build.
    pub valid: bool,
    /// Access method.
    pub method: String,
    /// Key columns; a null stands for an expression.
    pub keys: Vec<Option<String>>,
    /// Has a predicate.
    pub partial: bool,
    /// The definition from USING on.
    pub body: Option<String>,
    /// The whole definition as the server prints it.
    pub definition: String,
}

/// A type and what it is made of.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Type {
    /// Its oid on its own server.
    pub oid: u32,
    /// Its name.
    #[serde(flatten)]
    pub name: QualifiedName,
    /// `pg_type.typtype`, with `a` for arrays.
    pub kind: TypeKind,
    /// Element of an array, base of a domain, subtype of a range.
    pub inner_oid: Option<u32>,
    /// Has send and receive functions.
    pub has_binary: bool,
    /// The extension it belongs to, with its version.
    pub extension: Option<String>,
    /// A table's row type.
    pub of_table: bool,
    /// Base type of a domain with its modifiers.
    pub base: Option<String>,
    /// Domain NOT NULL.
    pub not_null: bool,
    /// Domain default.
    pub default: Option<String>,
    /// Domain collation, where it is not the base type's.
    pub collation: Option<String>,
    /// Labels of an enum in their order.
    pub labels: Vec<String>,
    /// Checks of a domain.
    pub checks: Vec<DomainCheck>,
    /// Attributes of a composite in their order.
    pub attributes: Vec<Attribute>,
    /// What makes a range.
    pub range: Option<RangeOptions>,
}

/// What a range type is made with; names and types are qualified and quoted.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct RangeOptions {
    /// The type of its bounds.
    pub subtype: String,
    /// The B-tree operator class that compares them, where it is not the default one.
    pub subtype_opclass: Option<String>,
    /// The collation that they are compared under, where it is not the subtype's.
    pub collation: Option<String>,
    /// The function that gives equal ranges one form; only code of the server's machine can be one.
    pub canonical: Option<String>,
    /// The function that tells how far two bounds are apart.
    pub subtype_diff: Option<String>,
    /// Its multirange type.
    pub multirange: String,
}

/// Kinds of types.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub enum TypeKind {
    /// A base type.
    #[serde(rename = "b")]
    Base,
    /// An array.
    #[serde(rename = "a")]
    Array,
    /// A composite.
    #[serde(rename = "c")]
    Composite,
    /// A domain.
    #[serde(rename = "d")]
    Domain,
    /// An enum.
    #[serde(rename = "e")]
    Enum,
    /// A range.
    #[serde(rename = "r")]
    Range,
    /// A multirange.
    #[serde(rename = "m")]
    Multirange,
    /// A pseudo-type, which no column can have.
    #[serde(rename = "p")]
    Pseudo,
}

/// A check of a domain.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct DomainCheck {
    /// Its name.
    pub name: String,
    /// `CHECK (…)`.
    pub definition: String,
}

/// An attribute of a composite type.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its type's oid.
    pub type_oid: u32,
    /// Its type with modifiers.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its collation, where it is not its type's.
    pub collation: Option<String>,
}

/// A sequence that a column draws from.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Sequence {
    /// Its name.
    #[serde(flatten)]
    pub name: QualifiedName,
    /// The column it belongs to.
    pub column: Option<String>,
    /// It is the column's identity.
    pub identity: bool,
    /// Its data type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// START.
    pub start: i64,
    /// INCREMENT.
    pub increment: i64,
    /// MINVALUE.
    pub minimum: i64,
    /// MAXVALUE.
    pub maximum: i64,
    /// CACHE.
    pub cache: i64,
    /// CYCLE.
    pub cycle: bool,
    /// Whether the role may see its value.
    pub readable: bool,
    /// The last value it gave out; none if it never did.
    pub last_value: Option<i64>,
}

impl Sequence {
    /// Whether the two would give out the same numbers in the same order.
    pub fn same_definition(&self, other: &Sequence) -> bool {
        let shape = |s: &Sequence| (s.type_name.clone(), s.start, s.increment, s.minimum, s.maximum, s.cycle);
        shape(self) == shape(other)
    }
}

/// Something of the source that the target will not have.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct NotCarried {
    /// What it is: `trigger`, `foreign key`, …
    pub kind: String,
    /// Which one.
    pub object: String,
    /// Why, where that is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The statements that would make it, once they can be run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sql: Vec<String>,
}

impl NotCarried {
    /// One finding.
    pub fn new(kind: impl Into<String>, object: impl Into<String>) -> Self {
        NotCarried { kind: kind.into(), object: object.into(), reason: None, sql: Vec::new() }
    }

    /// The same with its reason.
    pub fn because(self, reason: impl Into<String>) -> Self {
        NotCarried { reason: Some(reason.into()), ..self }
    }

    /// The same with the statements that would make it.
    pub fn made_by(self, sql: Vec<String>) -> Self {
        NotCarried { sql, ..self }
    }
}

/// What stands in the way of putting another table in one's place.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Obstacle {
    /// What it is: `rule`, `publication`, …
    pub kind: String,
    /// Which one.
    pub object: String,
    /// Why it is in the way.
    pub reason: String,
}

impl Obstacle {
    /// One finding.
    pub fn new(kind: impl Into<String>, object: impl Into<String>, reason: impl Into<String>) -> Self {
        Obstacle { kind: kind.into(), object: object.into(), reason: reason.into() }
    }
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.kind, self.object, self.reason)
    }
}

/// A hypertable with everything that makes its definition; its chunks are read apart.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Hypertable {
    /// The relation.
    pub table: Table,
    /// TimescaleDB's row for it.
    pub row: HypertableRow,
    /// Its dimensions; the first is the primary one.
    pub dimensions: Vec<Dimension>,
    /// Its columns in order.
    pub columns: Vec<Column>,
    /// Its constraints.
    pub constraints: Vec<Constraint>,
    /// Its other indexes.
    pub indexes: Vec<Index>,
    /// Its columns' types and what they are made of, parts first.
    pub types: Vec<Type>,
    /// Sequences its columns draw from.
    pub sequences: Vec<Sequence>,
    /// What it uses beside all this.
    pub prerequisites: Prerequisites,
    /// What PostgreSQL keeps on it beside all this.
    pub belongings: Belongings,
    /// What TimescaleDB does to it by itself.
    #[serde(default)]
    pub policies: Policies,
    /// Continuous aggregates over it, and over each other, in the order in which they can be made.
    #[serde(default)]
    pub aggregates: Vec<Aggregate>,
    /// Views that read it, its aggregates, or each other, in the order in which they can be made.
    #[serde(default)]
    pub views: Vec<views::View>,
    /// What it has beside all this.
    pub not_carried: Vec<NotCarried>,
}

impl Hypertable {
    /// Its name.
    pub fn name(&self) -> &QualifiedName {
        &self.table.name
    }

    /// The columns that are copied: all that are not generated.
    pub fn copied_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.generated.is_none())
    }

    /// A row's bytes on disk, for tables that were never analyzed: a header and the columns, 16 bytes for what varies.
    pub fn row_bytes(&self) -> u64 {
        const HEADER: u64 = 28;
        HEADER + self.columns.iter().map(|column| u64::try_from(column.type_length).unwrap_or(16)).sum::<u64>()
    }

    /// A column by its name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether an index makes a range of the primary dimension cheap to read: a whole B-tree that starts with it.
    pub fn has_index_on_primary(&self) -> bool {
        let Some(primary) = self.dimensions.first() else { return false };
        // An index of the column is none of what a function makes of it.
        let leads =
            |keys: Option<&str>| keys == Some(primary.column.as_str()) && primary.partitioning_function.is_none();
        self.indexes.iter().any(|index| {
            index.valid
                && !index.partial
                && index.method == "btree"
                && leads(index.keys.first().and_then(|key| key.as_deref()))
        }) || self.constraints.iter().any(|constraint| {
            matches!(constraint.kind, ConstraintKind::PrimaryKey | ConstraintKind::Unique)
                && leads(constraint.columns.first().map(String::as_str))
        })
    }
}

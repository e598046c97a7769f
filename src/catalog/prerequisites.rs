//! What has to be there before a hypertable, or a part of it, can be made.
//!
//! **Invariant:** plain data, without an oid: it is kept in archives, and holds on any server.

use serde::{Deserialize, Serialize};

use super::{Column, Constraint, Schema, Sequence, Trappings, Type};
use crate::ident::QualifiedName;

/// What a hypertable uses, and what that uses in turn, of what neither PostgreSQL nor TimescaleDB ships.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Prerequisites {
    /// In the order of kinds and names.
    pub objects: Vec<Prerequisite>,
    /// Those types among them, and their parts, that are not among the types of the table's columns.
    pub types: Vec<Type>,
    /// The schemas of all this, of the table and of its views.
    #[serde(default)]
    pub schemas: Vec<Schema>,
}

impl Prerequisites {
    /// Every role that is said to own, to have granted or to have been granted something.
    pub fn roles(&self) -> Vec<String> {
        let of_objects = self.objects.iter().filter_map(|object| object.trappings.as_ref());
        let trappings = of_objects.chain(self.schemas.iter().map(|schema| &schema.trappings));
        trappings.flat_map(Trappings::roles).cloned().collect()
    }

    /// The extensions among them, as if a server had their files.
    pub fn extensions(&self) -> Vec<AvailableExtension> {
        let available = |object: &Prerequisite| match &object.making {
            Making::Extension { name, version, .. } => {
                Some(AvailableExtension { name: name.clone(), version: version.clone(), may_create: true })
            }
            _ => None,
        };
        self.objects.iter().filter_map(available).collect()
    }
}

/// An object that others use.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Prerequisite {
    /// What it is.
    #[serde(flatten)]
    pub object: ObjectName,
    /// The schema that it lives in; of an extension, the one of its objects.
    pub schema: Option<String>,
    /// How it is made.
    pub making: Making,
    /// Only a superuser can make it.
    #[serde(default)]
    pub of_superusers: bool,
    /// It runs with the rights of its owner.
    #[serde(default)]
    pub as_owner: bool,
    /// What it has beside that; none of what brings it with itself.
    #[serde(default)]
    pub trappings: Option<Trappings>,
    /// What it has and would lack if it were made, in words: `rows`, `triggers`.
    pub left_out: Vec<String>,
    /// What of the hypertable uses it directly.
    pub parts: Vec<Part>,
    /// The places of those in the list that it uses.
    pub needs: Vec<usize>,
    /// It uses the hypertable itself.
    pub needs_table: bool,
}

/// An object, as `pg_identify_object()` names it.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// `function`, `type`, `collation`, `operator class`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Its qualified name with arguments.
    pub identity: String,
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.identity)
    }
}

/// How an object is made.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Making {
    /// By a statement in the server's own words.
    Statement(String),
    /// By several, in this order.
    Statements(Vec<String>),
    /// By a statement, where the server has the extension's files.
    Extension {
        /// Its name.
        name: String,
        /// The version that it has.
        version: String,
        /// The statement.
        statement: String,
    },
    /// As the type of this name is described, among the types of the columns or of the prerequisites.
    Type(QualifiedName),
    /// As a table without rows.
    Table(Box<PlainTable>),
    /// As a sequence that stands at its start.
    Sequence(Box<Sequence>),
    /// By nobody.
    Nothing {
        /// Why, as a sentence about it.
        reason: String,
        /// The statements that would, where there are some.
        statements: Vec<String>,
    },
}

/// A table with what rows of others can refer to.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct PlainTable {
    /// Its name.
    pub name: QualifiedName,
    /// Its columns in order.
    pub columns: Vec<Column>,
    /// Its keys and checks.
    pub constraints: Vec<Constraint>,
    /// The sequences of its columns.
    pub sequences: Vec<Sequence>,
}

impl Making {
    /// Whether the two make the same, as far as others can tell; types are compared by what they are described as. What
    /// nobody makes is taken to be what has its name.
    pub fn is_same(&self, other: &Making) -> bool {
        match (self, other) {
            (Making::Statement(one), Making::Statement(other)) => one == other,
            (Making::Statements(one), Making::Statements(other)) => one == other,
            (Making::Table(one), Making::Table(other)) => one.shape().eq(other.shape()),
            (Making::Sequence(one), Making::Sequence(other)) => one.same_definition(other),
            (Making::Nothing { .. }, _) | (_, Making::Nothing { .. }) => true,
            (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
        }
    }
}

impl PlainTable {
    /// What rows of others refer to: columns and their types.
    fn shape(&self) -> impl Iterator<Item = (&str, &str)> {
        self.columns.iter().map(|column| (column.name.as_str(), column.type_name.as_str()))
    }
}

/// What of a hypertable uses something.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(tag = "kind", content = "name", rename_all = "snake_case")]
pub enum Part {
    /// Its columns, keys, checks, indexes or dimensions: there is no table without.
    Table,
    /// A trigger.
    Trigger(String),
    /// A policy of row-level security.
    Policy(String),
    /// A foreign key.
    ForeignKey(String),
    /// An extended statistics object.
    Statistics(String),
    /// What TimescaleDB asks for the present of an integer dimension.
    IntegerNow,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Part::Table => f.write_str("the table"),
            Part::Trigger(name) => write!(f, "trigger {name}"),
            Part::Policy(name) => write!(f, "policy {name}"),
            Part::ForeignKey(name) => write!(f, "foreign key {name}"),
            Part::Statistics(name) => write!(f, "statistics {name}"),
            Part::IntegerNow => f.write_str("integer_now_func"),
        }
    }
}

/// What a server has of the prerequisites of a table of another one.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Those that are there, and how they would be made.
    pub present: Vec<Prerequisite>,
    /// Types among them, with their parts.
    pub types: Vec<Type>,
    /// Extensions that are not there and could be made.
    pub extensions: Vec<AvailableExtension>,
    /// The role is a superuser.
    pub superuser: bool,
}

/// An extension whose files the server has.
#[derive(Clone, Debug, Deserialize)]
pub struct AvailableExtension {
    /// Its name.
    pub name: String,
    /// The version that would be made.
    pub version: String,
    /// Whether the role may.
    pub may_create: bool,
}

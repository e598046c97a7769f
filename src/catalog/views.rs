//! Views that read a hypertable, its continuous aggregates, or each other: what it takes to make them elsewhere.
//!
//! **Invariant:** plain data without an oid; definitions are the server's own text, in which every name is qualified.

use serde::{Deserialize, Serialize};

use super::belongings::{Around, Trigger};
use super::dependents::{Heap, StorageParameter};
use super::{ObjectName, Trappings};
use crate::ident::QualifiedName;

/// A view.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct View {
    /// Its name.
    #[serde(flatten)]
    pub name: QualifiedName,
    /// The rows of its own that a materialized view keeps; continuous aggregates are described elsewhere.
    pub kept: Option<Kept>,
    /// What stands in its WITH clause, the check option among it.
    pub options: Vec<StorageParameter>,
    /// Its query.
    pub definition: String,
    /// Relations that it reads.
    pub reads: Vec<QualifiedName>,
    /// Functions, types and so on that it calls.
    pub needs: Vec<ObjectName>,
    /// Its owner, privileges and comments.
    #[serde(flatten)]
    pub trappings: Trappings,
    /// Defaults of its columns, for rows that are inserted into it.
    pub defaults: Vec<ColumnDefault>,
    /// Its triggers.
    pub triggers: Vec<Trigger>,
    /// Its rules, that which makes it a view apart.
    pub rules: Vec<Rule>,
}

/// What a materialized view has beside its query.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Kept {
    /// How its rows are kept.
    #[serde(flatten)]
    pub heap: Heap,
    /// What they and its indexes take, in bytes.
    pub bytes: u64,
}

/// The default of a column of a view.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct ColumnDefault {
    /// The column.
    pub column: String,
    /// The expression.
    pub expression: String,
}

/// A rewrite rule of a view.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Its definition before and after the view's name; none where that cannot be told in it.
    pub around: Option<Around>,
    /// Its comment.
    pub comment: Option<String>,
}

/// What stands on a server where views shall be, and what it has of what they use.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct ViewPlaces {
    /// Of the relations that were asked for, those that are there.
    pub relations: Vec<QualifiedName>,
    /// Of the objects that were asked for, those that are missing.
    pub missing: Vec<ObjectName>,
    /// Of the roles that were asked for, those that are there.
    pub roles: Vec<String>,
    /// Of those, the roles that the current one may act for, and that may create in each of the schemas that is there.
    pub actable: Vec<String>,
    /// Of the schemas that were asked for, those in which the role may create nothing.
    pub closed: Vec<String>,
    /// The role is a superuser.
    pub superuser: bool,
}

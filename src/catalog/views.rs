//! Views that read a hypertable, its continuous aggregates, or each other: what it takes to make them elsewhere.
//!
//! **Invariant:** plain data without an oid; definitions are the server's own text, in which every name is qualified.

use serde::{Deserialize, Serialize};

use super::dependents::StorageParameter;
use super::{Comment, Grant, ObjectName};
use crate::ident::QualifiedName;

/// A view.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct View {
    /// Its name.
    #[serde(flatten)]
    pub name: QualifiedName,
    /// Keeps rows of its own; no continuous aggregate.
    pub materialized: bool,
    /// Its owner's name.
    pub owner: String,
    /// What stands in its WITH clause, the check option among it.
    pub options: Vec<StorageParameter>,
    /// Its query.
    pub definition: String,
    /// Relations that it reads.
    pub reads: Vec<QualifiedName>,
    /// Functions, types and so on that it calls.
    pub needs: Vec<ObjectName>,
    /// Its triggers.
    pub triggers: Vec<String>,
    /// Its rules, that which makes it a view apart.
    pub rules: Vec<String>,
    /// What others than the owner may do with it.
    pub grants: Vec<Grant>,
    /// Comments on it and its columns.
    pub comments: Vec<Comment>,
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

//! Continuous aggregates: views over a hypertable whose rows TimescaleDB keeps in a hypertable of its own.
//!
//! **Invariant:** plain data. It is kept in the ledger, so that a run that goes on, and an undo, know what was before.

use serde::{Deserialize, Serialize};

use super::dependents::{Rights, Users};
use super::{ChunkShape, Columnstore, Index, Job, ObjectName};
use crate::ident::QualifiedName;

/// A continuous aggregate.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Aggregate {
    /// The id of its materialization in the catalog of hypertables.
    pub id: i32,
    /// The view's oid.
    pub oid: u32,
    /// The view's name.
    pub name: QualifiedName,
    /// The hypertable that holds its rows.
    pub materialization: QualifiedName,
    /// That hypertable's oid.
    pub materialization_oid: u32,
    /// The id of the hypertable it is over, which is another aggregate's materialization in a hierarchy.
    pub source_id: i32,
    /// What its definition reads: the hypertable, or the other aggregate.
    pub source: QualifiedName,
    /// Where the first chunk of what it is over begins; rows before that can only be in the aggregate itself.
    pub source_start: Option<i64>,
    /// Its query.
    pub definition: String,
    /// Shows only what is materialized.
    pub materialized_only: bool,
    /// Of the form that 2.7 brought; the older one cannot be created any more.
    pub finalized: bool,
    /// Who may give its name to another one.
    #[serde(flatten)]
    pub rights: Rights,
    /// Whether the role may give indexes other names: PostgreSQL asks it for the right to create things in the schema of the
    /// materialization.
    pub may_rename_indexes: bool,
    /// Its columns in their order.
    pub columns: Vec<String>,
    /// The column of the bucket.
    pub bucket: String,
    /// The type of the bucket as `regtype` prints it.
    pub bucket_type: String,
    /// The interval of the materialization's chunks.
    pub chunk_interval: i64,
    /// The first bucket there is, in internal time; none where nothing is materialized.
    #[serde(default)]
    pub first: Option<i64>,
    /// Where what is materialized ends, in internal time.
    pub watermark: Option<i64>,
    /// The columnstore of its materialization.
    #[serde(default)]
    pub columnstore: Option<Columnstore>,
    /// The chunks of its materialization, where that has a columnstore.
    #[serde(default)]
    pub shapes: Vec<ChunkShape>,
    /// The indexes of its materialization.
    #[serde(default)]
    pub indexes: Vec<Index>,
    /// Its jobs, by their ids.
    #[serde(default)]
    pub jobs: Vec<Job>,
    /// What others than the owner may do with it.
    pub grants: Vec<Grant>,
    /// Comments on it and its columns.
    pub comments: Vec<Comment>,
    /// What uses it, materialized views and other aggregates apart.
    #[serde(default)]
    pub users: Users,
    /// Materialized views that read it.
    #[serde(default)]
    pub materialized_views: Vec<QualifiedName>,
    /// Relations that its query reads.
    #[serde(default)]
    pub reads: Vec<QualifiedName>,
    /// Functions, types and so on that its query calls.
    #[serde(default)]
    pub needs: Vec<ObjectName>,
}

/// A privilege on an aggregate or one of its columns.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Grant {
    /// Who has it; none for everybody.
    pub grantee: Option<String>,
    /// `SELECT`, …
    pub privilege: String,
    /// The column; none for all.
    pub column: Option<String>,
    /// WITH GRANT OPTION.
    pub grantable: bool,
}

/// A comment on an aggregate or one of its columns.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Comment {
    /// The column; none for the aggregate itself.
    pub column: Option<String>,
    /// What it says.
    pub text: String,
}

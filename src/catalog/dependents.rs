//! What uses a relation by its oid, and so would go on using it under another name.
//!
//! Definitions are the server's own text, in which every name is qualified. Text that was read while a relation had a
//! name means whatever has that name when the text is executed: it has to be read before names are exchanged.
//!
//! **Invariant:** plain data, without an oid: it is kept in the ledger, and holds after the names were exchanged.

use serde::{Deserialize, Serialize};

use crate::ident::QualifiedName;

/// Everything that has to be brought from one relation to another of the same shape.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Dependents {
    /// What uses the relation itself.
    pub users: Users,
    /// Materialized views that use the relation, or one another; each behind those that it uses.
    pub materialized_views: Vec<MaterializedView>,
}

/// What uses one relation directly, materialized views apart. All of it is changed in its place, so that what uses these in
/// turn is not touched.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Users {
    /// Views, but for continuous aggregates.
    pub views: Vec<View>,
    /// Rules that do something with the relation.
    pub rules: Vec<Rule>,
    /// Functions and procedures whose body, or a default of whose arguments, names it.
    pub functions: Vec<Function>,
    /// Policies of other tables whose expressions read it.
    pub policies: Vec<Policy>,
    /// Everything else, as `pg_describe_object()` names it.
    pub others: Vec<String>,
}

/// Whether the current role may replace an object.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Rights {
    /// The role it belongs to.
    pub owner: String,
    /// The role may do what the owner may, and give things to it.
    pub may_act_as_owner: bool,
    /// The role may create things in its schema, which PostgreSQL asks also of whoever replaces one.
    pub may_create_in_schema: bool,
}

/// A storage parameter, or an option of a view.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct StorageParameter {
    /// `toast`, where it is one of the toast table.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A view.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct View {
    /// Its name.
    #[serde(flatten)]
    pub name: QualifiedName,
    /// Who may replace it.
    #[serde(flatten)]
    pub rights: Rights,
    /// What stands in its WITH clause, the check option among it.
    pub options: Vec<StorageParameter>,
    /// Its query.
    pub definition: String,
}

/// A rewrite rule that makes no view.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub rule: String,
    /// The table or view whose statements it rewrites.
    #[serde(flatten)]
    pub relation: QualifiedName,
    /// That is a view.
    pub on_view: bool,
    /// Who may replace it.
    #[serde(flatten)]
    pub rights: Rights,
    /// The `CREATE RULE` statement.
    pub definition: String,
}

/// A function or procedure.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Function {
    /// Its name with the types of its arguments, qualified and quoted.
    pub identity: String,
    /// Who may replace it.
    #[serde(flatten)]
    pub rights: Rights,
    /// The `CREATE OR REPLACE` statement.
    pub definition: String,
}

/// A row-level security policy of another table.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Policy {
    /// Its name.
    pub policy: String,
    /// Its table.
    #[serde(flatten)]
    pub table: QualifiedName,
    /// Who may change it.
    #[serde(flatten)]
    pub rights: Rights,
    /// Its USING expression.
    pub using: Option<String>,
    /// Its WITH CHECK expression.
    pub check: Option<String>,
}

/// A materialized view: it cannot be changed in its place.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct MaterializedView {
    /// Its name.
    #[serde(flatten)]
    pub name: QualifiedName,
    /// Who may make it anew.
    #[serde(flatten)]
    pub rights: Rights,
    /// Its query.
    pub definition: String,
    /// How its rows are kept.
    #[serde(flatten)]
    pub heap: Heap,
    /// Its comment.
    pub comment: Option<String>,
    /// What may be done with it, by whom; the owner is among them.
    pub grants: Vec<Grant>,
    /// Roles that the default privileges of the current role give something to.
    pub default_grantees: Vec<Grantee>,
    /// What uses it, materialized views apart.
    #[serde(default)]
    pub users: Users,
}

/// How a materialized view keeps its rows.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Heap {
    /// It holds the rows of its last refresh, and can be read.
    pub populated: bool,
    /// Its access method.
    pub method: String,
    /// Its tablespace, where it is not the database's.
    pub tablespace: Option<String>,
    /// Its storage parameters, those of its toast table among them.
    pub options: Vec<StorageParameter>,
    /// Columns of which something is set.
    pub columns: Vec<MaterializedColumn>,
    /// Its indexes.
    pub indexes: Vec<MaterializedIndex>,
    /// Its extended statistics.
    pub statistics: Vec<Statistics>,
}

/// What is set for a column of a materialized view.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct MaterializedColumn {
    /// Its name.
    pub name: String,
    /// Its storage, where it is not its type's own.
    pub storage: Option<String>,
    /// Its compression method, where one is set.
    pub compression: Option<String>,
    /// Its statistics target, where one is set.
    pub statistics_target: Option<i32>,
    /// Its options.
    pub options: Vec<StorageParameter>,
    /// Its comment.
    pub comment: Option<String>,
}

/// An index of a materialized view.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct MaterializedIndex {
    /// Its name.
    pub name: String,
    /// UNIQUE.
    pub unique: bool,
    /// The definition from USING on.
    pub body: Option<String>,
    /// Its tablespace, where it is not the database's.
    pub tablespace: Option<String>,
    /// The one that CLUSTER goes by.
    pub clustered: bool,
    /// Its comment.
    pub comment: Option<String>,
    /// Statistics targets of its columns, by their number.
    pub statistics_targets: Vec<(i16, i32)>,
}

/// Extended statistics of a materialized view.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Statistics {
    /// Their name.
    #[serde(flatten)]
    pub name: QualifiedName,
    /// The role they belong to.
    pub owner: String,
    /// The `CREATE STATISTICS` statement.
    pub definition: String,
    /// Their target, where one is set.
    pub target: Option<i32>,
    /// Their comment.
    pub comment: Option<String>,
}

/// Privileges of one grantee, whoever has granted them.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Grant {
    /// Who has them.
    pub grantee: Grantee,
    /// The column they are for; none for all of the relation.
    pub column: Option<String>,
    /// `SELECT`, `INSERT`, …
    pub privileges: Vec<String>,
    /// WITH GRANT OPTION.
    pub grantable: bool,
}

/// A role, or everybody.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Grantee(
    /// The role's name; none stands for PUBLIC.
    pub Option<String>,
);

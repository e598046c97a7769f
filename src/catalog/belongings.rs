//! What PostgreSQL keeps on a table beside its columns, constraints and indexes: who may do what with it, what is said
//! of it, how it is tuned, and what acts when it is written.
//!
//! Text of definitions is the server's own, taken apart around the table's name, so that it can be put onto a table of
//! another name. What it says of other relations is qualified, because no schema is on our `search_path`.
//!
//! **Invariant:** plain data without oids: two tables with equal belongings behave alike, and `pg_dump` says the same of
//! them.

use serde::{Deserialize, Serialize};

use super::{ObjectName, Obstacle};
use crate::ident::QualifiedName;

/// Everything that belongs to a table.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Belongings {
    /// What is said once for the whole table.
    pub table: TableSettings,
    /// Privileges on the table and its columns.
    pub grants: Vec<Grant>,
    /// Comments on the table, its columns, constraints and indexes.
    pub comments: Vec<Comment>,
    /// Storage parameters of the table and of its TOAST table.
    pub storage_parameters: Vec<StorageParameter>,
    /// Statistics targets and options of columns.
    pub column_settings: Vec<ColumnSetting>,
    /// Names of NOT NULL constraints, where the server gives them names (PostgreSQL 18).
    pub not_nulls: Vec<NotNull>,
    /// The table's indexes, those of its constraints among them.
    pub indexes: Vec<IndexSettings>,
    /// Policies of row-level security.
    pub policies: Vec<Policy>,
    /// Extended statistics.
    pub statistics: Vec<Statistics>,
    /// Sequences that a column owns and draws from by its default.
    pub owned_sequences: Vec<OwnedSequence>,
    /// Sequences that columns draw from and that are no identities.
    pub drawn_sequences: Vec<DrawnSequence>,
    /// Sequences that are a column's identity.
    pub identity_sequences: Vec<IdentitySequence>,
    /// Triggers of users.
    pub triggers: Vec<Trigger>,
    /// Foreign keys of the table.
    pub foreign_keys: Vec<ForeignKey>,
    /// Foreign keys of other tables that refer to the table.
    pub referencing_keys: Vec<ReferencingKey>,
    /// Publications that the table, or chunks of it, are members of by name.
    pub publications: Vec<Publication>,
    /// What cannot be put onto another table of this database, or not by the role that has read this.
    #[serde(skip)]
    pub obstacles: Vec<Obstacle>,
}

impl Belongings {
    /// What a table has that nothing was done to.
    pub fn of_new_table(owner: &str, grants: Vec<Grant>) -> Self {
        Belongings {
            table: TableSettings {
                owner: owner.to_string(),
                row_security: false,
                row_security_forced: false,
                replica_identity: ReplicaIdentity::Default,
                clustered_index: None,
                tablespace: None,
            },
            grants,
            comments: Vec::new(),
            storage_parameters: Vec::new(),
            column_settings: Vec::new(),
            not_nulls: Vec::new(),
            indexes: Vec::new(),
            policies: Vec::new(),
            statistics: Vec::new(),
            owned_sequences: Vec::new(),
            drawn_sequences: Vec::new(),
            identity_sequences: Vec::new(),
            triggers: Vec::new(),
            foreign_keys: Vec::new(),
            referencing_keys: Vec::new(),
            publications: Vec::new(),
            obstacles: Vec::new(),
        }
    }
}

impl Belongings {
    /// Privileges on the table and on its columns' sequences.
    pub fn all_grants(&self) -> impl Iterator<Item = &Grant> {
        let identities = self.identity_sequences.iter().flat_map(|sequence| &sequence.grants);
        let drawn = self.drawn_sequences.iter().flat_map(|sequence| &sequence.grants);
        self.grants.iter().chain(identities).chain(drawn)
    }
}

/// Settings that a table has once.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct TableSettings {
    /// Its owner.
    pub owner: String,
    /// Row-level security is enabled.
    pub row_security: bool,
    /// It holds for the owner, too.
    pub row_security_forced: bool,
    /// What an update or delete says of the old row to logical replication.
    pub replica_identity: ReplicaIdentity,
    /// The index that CLUSTER would follow.
    pub clustered_index: Option<String>,
    /// Its tablespace, where it is not the database's.
    pub tablespace: Option<String>,
}

/// `pg_class.relreplident`, with the index's name.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaIdentity {
    /// The primary key.
    Default,
    /// All columns.
    Full,
    /// Nothing.
    Nothing,
    /// The columns of this index.
    Index(String),
}

/// Privileges that one role has given to another in one way.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Grant {
    /// The column; none for the whole table.
    pub column: Option<String>,
    /// Who has them; none for PUBLIC.
    pub grantee: Option<String>,
    /// Who gave them.
    pub grantor: String,
    /// WITH GRANT OPTION.
    pub grantable: bool,
    /// `SELECT`, `INSERT`, …, in the order of their names.
    pub privileges: Vec<String>,
}

impl Grant {
    /// As it is when what it is on has been given by one role to another.
    pub(crate) fn given_by(&self, from: &str, to: &str) -> Grant {
        let given = |role: &String| if role == from { to.to_string() } else { role.clone() };
        Grant { grantee: self.grantee.as_ref().map(given), grantor: given(&self.grantor), ..self.clone() }
    }
}

/// A comment.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Comment {
    /// What it is on.
    #[serde(flatten)]
    pub on: CommentOn,
    /// What it says.
    pub text: String,
}

/// What a comment is on; the rest of the table's belongings carry theirs with them.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(tag = "kind", content = "name", rename_all = "snake_case")]
pub enum CommentOn {
    /// The table itself.
    Table,
    /// A column.
    Column(String),
    /// A constraint that is no foreign key.
    Constraint(String),
    /// An index.
    Index(String),
}

/// A storage parameter.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct StorageParameter {
    /// It is the TOAST table's: `toast.name`.
    pub toast: bool,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What a column is told of its statistics.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct ColumnSetting {
    /// The column.
    pub column: String,
    /// `n_distinct` or another option; none for the statistics target.
    pub option: Option<String>,
    /// Its value.
    pub value: String,
}

/// The name of a NOT NULL constraint.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct NotNull {
    /// The column.
    pub column: String,
    /// The constraint's name.
    pub name: String,
    /// All rows are known to hold it; else it is enforced for new ones only.
    pub validated: bool,
}

/// What an index has beside its definition.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct IndexSettings {
    /// Its name, in the table's schema.
    pub name: String,
    /// Its tablespace, where it is not the database's.
    pub tablespace: Option<String>,
    /// Statistics targets of its columns, by their number.
    pub statistics_targets: Vec<(i16, i16)>,
}

/// A policy of row-level security.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// PERMISSIVE, not RESTRICTIVE.
    pub permissive: bool,
    /// `select`, `insert`, `update`, `delete` or `all`.
    pub command: String,
    /// For whom; a null is PUBLIC.
    pub roles: Vec<Option<String>>,
    /// USING.
    pub using: Option<String>,
    /// WITH CHECK.
    pub check: Option<String>,
    /// What it calls and reads beside its table.
    pub needs: Vec<ObjectName>,
    /// Its comment.
    pub comment: Option<String>,
}

/// A definition's text before and after the table's name.
pub type Around = (String, String);

/// An extended statistics object.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Statistics {
    /// Its name, perhaps in another schema than the table's.
    #[serde(flatten)]
    pub name: QualifiedName,
    /// Kinds and columns: what stands between its name and FROM. None where that cannot be told.
    pub body: Option<String>,
    /// Its owner.
    pub owner: String,
    /// Its statistics target, where one is set.
    pub target: Option<i32>,
    /// What it calls and reads beside its table.
    pub needs: Vec<ObjectName>,
    /// Its comment.
    pub comment: Option<String>,
}

/// A sequence that a column owns.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct OwnedSequence {
    /// Its name, in the table's schema.
    pub name: String,
    /// The column.
    pub column: String,
}

/// A sequence that a column draws from, whoever it belongs to.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct DrawnSequence {
    /// Its name.
    #[serde(flatten)]
    pub name: QualifiedName,
    /// Its owner.
    pub owner: String,
    /// Privileges on it.
    pub grants: Vec<Grant>,
    /// Its comment.
    pub comment: Option<String>,
}

/// A sequence that is a column's identity.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct IdentitySequence {
    /// Its name, in the table's schema.
    pub name: String,
    /// The column.
    pub column: String,
    /// Privileges on it.
    pub grants: Vec<Grant>,
    /// Its comment.
    pub comment: Option<String>,
}

/// A trigger of a user.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// Its definition; none where the table's name cannot be told in it.
    pub around: Option<Around>,
    /// When it fires.
    pub enabled: TriggerState,
    /// What it calls and reads beside its table.
    pub needs: Vec<ObjectName>,
    /// Its comment.
    pub comment: Option<String>,
}

/// `pg_trigger.tgenabled`.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub enum TriggerState {
    /// As usual: not for what logical replication writes.
    #[serde(rename = "O")]
    Origin,
    /// Never.
    #[serde(rename = "D")]
    Disabled,
    /// Only for what logical replication writes.
    #[serde(rename = "R")]
    Replica,
    /// For both.
    #[serde(rename = "A")]
    Always,
}

/// A foreign key of the table.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct ForeignKey {
    /// Its name.
    pub name: String,
    /// What follows its name, without NOT VALID.
    pub definition: String,
    /// All rows are known to hold it.
    pub validated: bool,
    /// The table that it refers to.
    pub referenced: QualifiedName,
    /// The columns that it refers to.
    pub referenced_columns: Vec<String>,
    /// Its comment.
    pub comment: Option<String>,
}

/// A foreign key of another table that refers to the table.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct ReferencingKey {
    /// The table that it is on.
    pub referencing: QualifiedName,
    /// Its name.
    pub name: String,
    /// Its definition, without NOT VALID; none where the table's name cannot be told in it.
    pub around: Option<Around>,
    /// All rows are known to hold it.
    pub validated: bool,
    /// Its comment.
    pub comment: Option<String>,
}

impl ReferencingKey {
    /// Whether the other one is the same table's key of the same name.
    pub fn is_the_key(&self, other: &ReferencingKey) -> bool {
        (&self.referencing, &self.name) == (&other.referencing, &other.name)
    }
}

/// Membership in a publication.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Publication {
    /// The publication's name.
    pub name: String,
    /// The table itself is a member.
    pub table: bool,
    /// Chunks are members, as they are where the table was added without ONLY.
    pub chunks: bool,
    /// The columns that are published; none for all.
    pub columns: Option<Vec<String>>,
    /// The rows that are published; none for all.
    pub filter: Option<String>,
    /// What it publishes instead, where it names neither.
    #[serde(default)]
    pub scope: Option<PublicationScope>,
}

/// What a publication publishes that names no table.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum PublicationScope {
    /// FOR ALL TABLES.
    AllTables,
    /// FOR TABLES IN SCHEMA.
    Schema,
}

/// What belongings name beside their table.
pub(super) struct Named {
    pub(super) roles: Vec<String>,
    pub(super) tablespaces: Vec<String>,
    pub(super) publications: Vec<String>,
    pub(super) objects: Vec<ObjectName>,
}

impl Named {
    pub(super) fn of(belongings: &Belongings) -> Named {
        let roles = belongings.all_grants().flat_map(|grant| grant.grantee.iter().chain([&grant.grantor]));
        let roles = roles.chain(belongings.drawn_sequences.iter().map(|sequence| &sequence.owner));
        let roles = roles.chain(belongings.policies.iter().flat_map(|policy| policy.roles.iter().flatten()));
        let roles = roles.chain(belongings.statistics.iter().map(|statistics| &statistics.owner));
        let tablespaces = belongings.indexes.iter().filter_map(|index| index.tablespace.as_ref());
        let needs = belongings.triggers.iter().flat_map(|trigger| &trigger.needs);
        let needs = needs.chain(belongings.policies.iter().flat_map(|policy| &policy.needs));
        let needs = needs.chain(belongings.statistics.iter().flat_map(|statistics| &statistics.needs));
        Named {
            roles: roles.chain([&belongings.table.owner]).cloned().collect(),
            tablespaces: tablespaces.chain(&belongings.table.tablespace).cloned().collect(),
            publications: belongings.publications.iter().map(|publication| publication.name.clone()).collect(),
            objects: needs.cloned().collect(),
        }
    }
}

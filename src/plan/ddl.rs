//! DDL text: the hypertable as the target shall have it.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::readers::Move;
use super::retarget::follow_rows;
use super::{ClosedDimension, Layout, OpenDimension};
use crate::catalog::{Column, Constraint, ConstraintKind, Hypertable, Index, Sequence};
use crate::error::{Error, Result};
use crate::ident::{
    MAX_IDENT_BYTES, QualifiedName, display_ident, quote_columns, quote_ident, quote_literal, truncate_ident,
};

/// One statement and what it does, in words that name its object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Statement {
    /// For people and for the ledger: `create index metrics_time_idx`.
    pub title: String,
    /// The statement.
    pub sql: String,
    /// Who has to say it, where that is not the current role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

impl Statement {
    /// A statement with its title.
    pub fn new(title: impl Into<String>, sql: impl Into<String>) -> Self {
        Statement { title: title.into(), sql: sql.into(), role: None }
    }

    /// The same, said by another role.
    pub fn by(self, role: &str) -> Self {
        Statement { role: Some(role.to_string()), ..self }
    }

    /// What a transaction runs for it: the statement, as whoever has to say it.
    pub fn script(&self) -> String {
        match &self.role {
            None => self.sql.clone(),
            Some(role) => format!("set role {}; {}; reset role", quote_ident(role), self.sql),
        }
    }
}

/// How things are called on the target.
pub struct TargetNames {
    /// The new table.
    pub table: QualifiedName,
    /// The schema of TimescaleDB's functions for users.
    pub timescaledb_schema: String,
    /// New names of indexes, of the constraints that are indexes, and of identities' sequences, by their old ones.
    renamed: HashMap<String, String>,
    /// The old table's name.
    old: QualifiedName,
}

impl TargetNames {
    /// Names for everything of `source` that lives in the table's schema, where `taken` names are in use already: what
    /// begins with the old table's name begins with the new one's, and what is in use gets a number, as
    /// `create table … (like … including indexes)` would give it.
    pub fn new(source: &Hypertable, table: QualifiedName, timescaledb_schema: String, taken: &[String]) -> Self {
        let mut used: HashSet<String> = taken.iter().cloned().chain([table.name.clone()]).collect();
        let old = source.name().clone();
        let mut names = TargetNames { table, timescaledb_schema, renamed: HashMap::new(), old };
        let is_index = |c: &&Constraint| c.kind != ConstraintKind::Check;
        let constraints = source.constraints.iter().filter(is_index).map(|constraint| &constraint.name);
        let indexes = source.indexes.iter().map(|index| &index.name);
        let identities = source.belongings.identity_sequences.iter().map(|sequence| &sequence.name);
        for name in constraints.chain(indexes).chain(identities) {
            let free = names.free(name, |name| used.contains(name));
            used.insert(free.clone());
            names.renamed.insert(name.clone(), free);
        }
        names
    }

    /// The table's name on `source`, and here.
    pub fn moved<'a>(&'a self, source: &'a Hypertable) -> Move<'a> {
        Move { from: source.name(), to: &self.table }
    }

    /// `name` as it is beside the new table: what begins with the old one's name begins with the new one's.
    pub(super) fn follow(&self, name: &str) -> String {
        match name.strip_prefix(self.old.name.as_str()) {
            Some(rest) if self.old.name != self.table.name => with_suffix(&self.table.name, rest),
            _ => name.to_string(),
        }
    }

    /// The same, with a number where that is in use.
    pub(super) fn free(&self, name: &str, is_used: impl Fn(&str) -> bool) -> String {
        let wanted = self.follow(name);
        std::iter::once(wanted.clone())
            .chain((1..).map(|number| with_suffix(&wanted, &format!("_{number}"))))
            .find(|candidate| !is_used(candidate))
            .expect("there are more numbers than names")
    }

    /// What is said of the old table's rows, as it is said of the new one's.
    fn in_rows(&self, expression: &str) -> String {
        follow_rows(expression, &self.old, &self.table)
    }

    /// The new name of an index, of the constraint that it belongs to, or of an identity's sequence.
    pub(super) fn of_relation(&self, name: &str) -> String {
        self.renamed.get(name).cloned().unwrap_or_else(|| name.to_string())
    }
}

/// Gives the table to a role.
pub(crate) fn set_owner(table: &QualifiedName, owner: &str) -> Statement {
    Statement::new(
        format!("give {table} to {}", display_ident(owner)),
        format!("alter table {} owner to {}", table.sql(), quote_ident(owner)),
    )
}

/// `name` cut so that it and `suffix` fit an identifier.
pub(super) fn with_suffix(name: &str, suffix: &str) -> String {
    format!("{}{suffix}", truncate_ident(name, MAX_IDENT_BYTES.saturating_sub(suffix.len())))
}

/// With more new chunks than this the primary key is made on the empty table: `add primary key` takes memory that
/// grows with the square of the chunks (reference 9.1). With fewer, building it behind the rows is faster.
const KEY_AFTER_ROWS_CHUNKS: u64 = 100;

/// When keys are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Behind the rows.
    Behind,
    /// The primary key on the empty table, others behind the rows.
    PrimaryFirst,
    /// All of them on the empty table, unique indexes, too: rows in chunks that are compressed meanwhile would not be looked
    /// at any more.
    First,
}

impl Keys {
    /// For so many new chunks, which are compressed as they are filled or not.
    pub fn of(new_chunks: u64, compresses: bool) -> Keys {
        match (compresses, new_chunks > KEY_AFTER_ROWS_CHUNKS) {
            (true, _) => Keys::First,
            (false, true) => Keys::PrimaryFirst,
            (false, false) => Keys::Behind,
        }
    }
}

/// What is made beside a table because it lacks there.
#[derive(Debug, Default)]
pub struct Beside<'a> {
    /// Schemas.
    pub schemas: &'a [String],
    /// Sequences, those of identities aside.
    pub sequences: &'a [&'a Sequence],
    /// What the table uses.
    pub before: Vec<Statement>,
    /// What uses the table.
    pub behind: Vec<Statement>,
    /// What answers "now" for an integer dimension is not there.
    pub lacks_now: bool,
}

/// What is made on the empty table, in one transaction with the job's row: what is made beside it, the table, its checks,
/// the hypertable, and the keys that come first.
pub fn pre_data(
    source: &Hypertable,
    layout: &Layout,
    names: &TargetNames,
    beside: Beside<'_>,
    keys: Keys,
) -> Vec<Statement> {
    let mut statements: Vec<Statement> = beside.schemas.iter().map(|schema| create_schema(schema)).collect();
    statements.extend(beside.sequences.iter().map(|sequence| create_sequence(sequence)));
    statements.extend(beside.before);
    statements.push(create_table(source, names));
    statements.extend(beside.behind);
    statements.extend(source.columns.iter().flat_map(|column| alter_column(column, &names.table)));
    statements.extend(beside.sequences.iter().filter_map(|sequence| own_sequence(sequence, &names.table)));
    statements.extend(source.constraints.iter().filter(|c| is_early(c, keys)).map(|c| add_constraint(c, names)));
    statements.push(create_hypertable(&layout.primary, names));
    statements.extend(layout.open.iter().map(|dimension| add_open_dimension(dimension, names)));
    statements.extend(layout.closed.iter().map(|dimension| add_closed_dimension(dimension, names)));
    let early = source.indexes.iter().filter(|index| index.valid && is_early_index(index, keys));
    // One that cannot be written is an error of those that are made behind the rows.
    statements.extend(early.filter_map(|index| create_index(index, names).ok()));
    statements.extend(integer_now(source, names).filter(|_| !beside.lacks_now));
    statements
}

/// What is made after the rows: the constraints that [`pre_data`] left out, one after the other because each locks the
/// table, then the indexes, which can be built at once.
///
/// # Errors
/// Where an index cannot be written under its new table's name.
pub fn post_data(source: &Hypertable, names: &TargetNames, keys: Keys) -> Result<(Vec<Statement>, Vec<Statement>)> {
    let constraints =
        source.constraints.iter().filter(|c| !is_early(c, keys)).map(|c| add_constraint(c, names)).collect();
    let mut indexes = Vec::new();
    for index in source.indexes.iter().filter(|index| index.valid) {
        let create = create_index(index, names)?;
        indexes.extend((!is_early_index(index, keys)).then_some(create));
    }
    Ok((constraints, indexes))
}

fn create_index(index: &Index, names: &TargetNames) -> Result<Statement> {
    let body = index.body.as_ref().ok_or_else(|| {
        Error::refused(format!("cannot read the definition of index {}", index.name)).hint(index.definition.clone())
    })?;
    let unique = if index.unique { "unique " } else { "" };
    let (name, body) = (names.of_relation(&index.name), names.in_rows(body));
    Ok(Statement::new(
        format!("create index {name}"),
        format!("create {unique}index {} on {} {body}", quote_ident(&name), names.table.sql()),
    ))
}

/// Moves the sequences that this job made to where the source's stand.
pub fn sequence_values(source: &Hypertable, names: &TargetNames, missing_sequences: &[&Sequence]) -> Vec<Statement> {
    let is_ours = |s: &&Sequence| s.identity || missing_sequences.iter().any(|missing| missing.name == s.name);
    let moved = source.sequences.iter().filter(is_ours).filter_map(|sequence| {
        let value = sequence.last_value?;
        let target = match &sequence.column {
            Some(column) if sequence.identity => format!(
                "pg_catalog.pg_get_serial_sequence({}, {})",
                quote_literal(&names.table.sql()),
                quote_literal(column)
            ),
            _ => format!("{}::pg_catalog.regclass", quote_literal(&sequence.name.sql())),
        };
        Some(Statement::new(
            format!("set value of sequence {}", sequence.name),
            format!("select pg_catalog.setval({target}, {value}, true)"),
        ))
    });
    moved.collect()
}

fn create_schema(schema: &str) -> Statement {
    Statement::new(format!("create schema {schema}"), format!("create schema {}", quote_ident(schema)))
}

pub(super) fn create_sequence(sequence: &Sequence) -> Statement {
    Statement::new(
        format!("create sequence {}", sequence.name),
        format!("create sequence {} as {} {}", sequence.name.sql(), sequence.type_name, sequence_options(sequence)),
    )
}

pub(super) fn sequence_options(sequence: &Sequence) -> String {
    format!(
        "increment by {} minvalue {} maxvalue {} start with {} cache {} {}",
        sequence.increment,
        sequence.minimum,
        sequence.maximum,
        sequence.start,
        sequence.cache,
        if sequence.cycle { "cycle" } else { "no cycle" }
    )
}

pub(super) fn own_sequence(sequence: &Sequence, table: &QualifiedName) -> Option<Statement> {
    let column = sequence.column.as_ref().filter(|_| !sequence.identity && sequence.name.schema == table.schema)?;
    Some(Statement::new(
        format!("own sequence {}", sequence.name),
        format!("alter sequence {} owned by {}.{}", sequence.name.sql(), table.sql(), quote_ident(column)),
    ))
}

fn create_table(source: &Hypertable, names: &TargetNames) -> Statement {
    let definition = |column| {
        column_definition(column, identity_options(column, source, names), not_null_name(column, source, names))
    };
    create_table_of(&names.table, source.columns.iter().map(definition).collect())
}

/// A table of these columns and constraints.
pub(super) fn create_table_of(name: &QualifiedName, elements: Vec<String>) -> Statement {
    Statement::new(
        format!("create table {name}"),
        format!("create table {} (\n    {}\n)", name.sql(), elements.join(",\n    ")),
    )
}

/// A column as `create table` has it: with the options of its identity, and the name of its NOT NULL.
pub(super) fn column_definition(
    column: &Column,
    identity_options: Option<String>,
    not_null_name: Option<String>,
) -> String {
    let mut text = format!("{} {}", quote_ident(&column.name), column.type_name);
    if let Some(collation) = &column.collation {
        text.push_str(&format!(" collate {collation}"));
    }
    match (&column.expression, column.generated.as_deref()) {
        (Some(expression), Some("v")) => text.push_str(&format!(" generated always as ({expression}) virtual")),
        (Some(expression), Some(_)) => text.push_str(&format!(" generated always as ({expression}) stored")),
        (Some(expression), None) => text.push_str(&format!(" default {expression}")),
        (None, _) => {}
    }
    if let Some(identity) = &column.identity {
        let always = if identity == "a" { "always" } else { "by default" };
        let options = identity_options.map(|options| format!(" ({options})")).unwrap_or_default();
        text.push_str(&format!(" generated {always} as identity{options}"));
    }
    if column.not_null {
        let name = not_null_name.map(|name| format!(" constraint {}", quote_ident(&name)));
        text.push_str(&format!("{} not null", name.unwrap_or_default()));
    }
    text
}

fn identity_options(column: &Column, source: &Hypertable, names: &TargetNames) -> Option<String> {
    let options = identity_sequence(column, &source.sequences).map(sequence_options)?;
    let named = source.belongings.identity_sequences.iter().find(|sequence| sequence.column == column.name);
    let name = named.map(|sequence| QualifiedName::new(&names.table.schema, names.of_relation(&sequence.name)));
    let name = name.map(|name| format!("sequence name {} ", name.sql())).unwrap_or_default();
    Some(format!("{name}{options}"))
}

pub(super) fn identity_sequence<'a>(column: &Column, sequences: &'a [Sequence]) -> Option<&'a Sequence> {
    sequences.iter().find(|sequence| sequence.identity && sequence.column.as_deref() == Some(&column.name))
}

/// Before PostgreSQL 18 the name is read and forgotten.
fn not_null_name(column: &Column, source: &Hypertable, names: &TargetNames) -> Option<String> {
    let named = source.belongings.not_nulls.iter().find(|not_null| not_null.column == column.name)?;
    Some(names.follow(&named.name))
}

/// Storage has no place in CREATE TABLE before PostgreSQL 16.
pub(super) fn alter_column(column: &Column, table: &QualifiedName) -> Vec<Statement> {
    let alter = |what: &str, value: &str| {
        Statement::new(
            format!("set {what} of column {}", column.name),
            format!("alter table {} alter column {} set {what} {value}", table.sql(), quote_ident(&column.name)),
        )
    };
    let storage = column.storage.iter().map(|storage| alter("storage", storage));
    storage.chain(column.compression.iter().map(|method| alter("compression", method))).collect()
}

/// Checks are made on the empty table: adding one later walks all chunks in one statement. One that the source never
/// validated may not hold for all rows, so it comes after them, as unvalidated as it was.
fn is_early(constraint: &Constraint, keys: Keys) -> bool {
    match constraint.kind {
        ConstraintKind::Check => !constraint.is_unvalidated(),
        ConstraintKind::PrimaryKey => keys != Keys::Behind,
        ConstraintKind::Unique | ConstraintKind::Exclusion => keys == Keys::First,
    }
}

fn is_early_index(index: &Index, keys: Keys) -> bool {
    index.unique && keys == Keys::First
}

fn add_constraint(constraint: &Constraint, names: &TargetNames) -> Statement {
    // Checks live in the table's own name space, the others are indexes too.
    let name = match constraint.kind {
        ConstraintKind::Check => constraint.name.clone(),
        _ => names.of_relation(&constraint.name),
    };
    Statement::new(
        format!("add constraint {name}"),
        format!(
            "alter table {} add constraint {} {}",
            names.table.sql(),
            quote_ident(&name),
            names.in_rows(&constraint.definition)
        ),
    )
}

fn create_hypertable(primary: &OpenDimension, names: &TargetNames) -> Statement {
    Statement::new(
        format!("create hypertable {}", names.table),
        format!(
            "select {}.create_hypertable({}::pg_catalog.regclass, {}::pg_catalog.name, chunk_time_interval => {}::pg_catalog.int8, create_default_indexes => false{})",
            quote_ident(&names.timescaledb_schema),
            quote_literal(&names.table.sql()),
            quote_literal(&primary.column),
            primary.interval,
            function_option("time_partitioning_func", primary.function.as_ref())
        ),
    )
}

fn add_open_dimension(dimension: &OpenDimension, names: &TargetNames) -> Statement {
    let function = function_option("partitioning_func", dimension.function.as_ref());
    add_dimension(
        &dimension.column,
        &format!("chunk_time_interval => {}::pg_catalog.int8{function}", dimension.interval),
        names,
    )
}

fn add_closed_dimension(dimension: &ClosedDimension, names: &TargetNames) -> Statement {
    let function = function_option("partitioning_func", dimension.function.as_ref());
    add_dimension(&dimension.column, &format!("number_partitions => {}{function}", dimension.partitions), names)
}

/// `, option => function`, or nothing.
fn function_option(option: &str, function: Option<&QualifiedName>) -> String {
    let option =
        |function: &QualifiedName| format!(", {option} => {}::pg_catalog.regproc", quote_literal(&function.sql()));
    function.map(option).unwrap_or_default()
}

fn add_dimension(column: &str, option: &str, names: &TargetNames) -> Statement {
    Statement::new(
        format!("add dimension {column}"),
        format!(
            "select {}.add_dimension({}::pg_catalog.regclass, {}::pg_catalog.name, {option})",
            quote_ident(&names.timescaledb_schema),
            quote_literal(&names.table.sql()),
            quote_literal(column)
        ),
    )
}

/// Tells TimescaleDB what answers "now" for an integer dimension.
pub(crate) fn integer_now(source: &Hypertable, names: &TargetNames) -> Option<Statement> {
    let primary = source.dimensions.first()?;
    let function = QualifiedName::new(primary.integer_now_schema.as_ref()?, primary.integer_now_function.as_ref()?);
    Some(Statement::new(
        format!("set integer_now_func {function}"),
        format!(
            "select {}.set_integer_now_func({}::pg_catalog.regclass, {}::pg_catalog.regproc)",
            quote_ident(&names.timescaledb_schema),
            quote_literal(&names.table.sql()),
            quote_literal(&function.sql())
        ),
    ))
}

/// The columns of a copy, as both statements of a task name them.
pub(crate) fn column_list(source: &Hypertable) -> String {
    quote_columns(source.copied_columns().map(|column| column.name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::belongings::Belongings;
    use crate::catalog::{HypertableRow, Policies, Prerequisites, Table};

    fn index(name: &str) -> Index {
        Index {
            name: name.into(),
            unique: false,
            valid: true,
            method: "btree".into(),
            keys: vec![Some("time".into())],
            partial: false,
            body: Some("USING btree (\"time\")".into()),
            definition: String::new(),
        }
    }

    fn hypertable(name: &str, indexes: &[&str]) -> Hypertable {
        let name = QualifiedName::new("public", name);
        Hypertable {
            table: Table {
                oid: 1,
                name,
                kind: "r".into(),
                unlogged: false,
                owner: "o".into(),
                row_security_active: false,
                schema_usable: true,
                unreadable_columns: Vec::new(),
                root_bytes: 0,
            },
            row: HypertableRow {
                id: 1,
                internal: false,
                columnstore: false,
                distributed: false,
                materialization: false,
            },
            dimensions: Vec::new(),
            columns: Vec::new(),
            constraints: Vec::new(),
            indexes: indexes.iter().map(|name| index(name)).collect(),
            types: Vec::new(),
            sequences: Vec::new(),
            prerequisites: Prerequisites::default(),
            belongings: Belongings::of_new_table("o", Vec::new()),
            policies: Policies::default(),
            aggregates: Vec::new(),
            views: Vec::new(),
            not_carried: Vec::new(),
        }
    }

    fn index_statements(source: &Hypertable, new_name: &str, taken: &[&str]) -> Vec<String> {
        let taken: Vec<String> = taken.iter().map(ToString::to_string).collect();
        let names = TargetNames::new(source, QualifiedName::new("public", new_name), "public".into(), &taken);
        let (_, indexes) = post_data(source, &names, Keys::PrimaryFirst).unwrap();
        indexes.into_iter().map(|statement| statement.sql).collect()
    }

    #[test]
    fn indexes_follow_their_tables_name() {
        let statements = index_statements(&hypertable("metrics", &["metrics_time_idx", "other"]), "m2", &[]);
        assert_eq!(statements[0], "create index \"m2_time_idx\" on \"public\".\"m2\" USING btree (\"time\")");
        assert!(statements[1].starts_with("create index \"other\" "));
    }

    #[test]
    fn names_in_use_get_a_number() {
        let statements = index_statements(&hypertable("metrics", &["a", "a_1"]), "metrics", &["a"]);
        assert!(statements[0].starts_with("create index \"a_1\" "), "{}", statements[0]);
        assert!(statements[1].starts_with("create index \"a_1_1\" "), "{}", statements[1]);
    }

    #[test]
    fn long_names_stay_within_an_identifier() {
        let long = "x".repeat(63);
        let statements = index_statements(&hypertable("metrics", &["metrics_time_idx"]), &long, &[]);
        assert!(statements[0].contains(&format!("\"{}_time_idx\"", "x".repeat(54))), "{}", statements[0]);
    }
}

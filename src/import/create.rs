//! A hypertable made of a file: its columns' names and types, and its time dimension.

use super::request::{Create, Request};
use crate::catalog::belongings::Belongings;
use crate::catalog::{Column, Dimension, Hypertable, HypertableRow, Index, Policies, Prerequisites, Table, read};
use crate::connect::Target;
use crate::csv::infer::{Inference, column_name};
use crate::csv::{LineEnd, Parser};
use crate::error::{Error, Kind, Result};
use crate::ident::{QualifiedName, display_ident, quote_ident};
use crate::plan::Partitioning;

/// Records that the types are read from.
const SAMPLE_RECORDS: usize = 20_000;
/// TimescaleDB's interval for time dimensions: a week.
const DEFAULT_INTERVAL_US: i64 = 7 * 86_400_000_000;

/// The beginning of a file, from its first record on.
pub(super) struct Sample<'a> {
    pub(super) bytes: &'a [u8],
    /// Whether it is all there is.
    pub(super) is_whole: bool,
    pub(super) line_end: LineEnd,
}

/// The table that the file suggests, as if it were there: with `names` for its columns, or with names of ours.
pub(super) async fn hypertable(
    target: &Target,
    request: &Request,
    create: &Create,
    table: &QualifiedName,
    names: Option<Vec<String>>,
    sample: &Sample<'_>,
) -> Result<Hypertable> {
    let inference = infer(request, sample);
    let names = names.unwrap_or_else(|| (0..inference.column_count()).map(column_name).collect());
    refuse_names(&names, create)?;
    let (mut columns, mut time_type) = (Vec::new(), String::new());
    for (number, name) in names.iter().enumerate() {
        let given = create.types.iter().find(|(column, _)| column == name).map(|(_, given)| given.as_str());
        let type_name = given.unwrap_or_else(|| inference.type_name(number));
        let found = find_type(target, name, type_name).await?;
        let is_time = *name == create.time_column;
        columns.push(column(name, &found, is_time));
        if is_time {
            time_type = found.plain;
        }
    }
    let oids: Vec<u32> = columns.iter().map(|column| column.type_oid).collect();
    let dimension = dimension(create, &time_type)?;
    Ok(Hypertable {
        table: new_table(table),
        row: HypertableRow { id: 0, internal: false, columnstore: false, distributed: false, materialization: false },
        dimensions: vec![dimension],
        types: read::types(target, &oids).await?,
        indexes: vec![time_index(table, &create.time_column)],
        columns,
        constraints: Vec::new(),
        sequences: Vec::new(),
        prerequisites: Prerequisites::default(),
        belongings: Belongings::of_new_table("", Vec::new()),
        policies: Policies::default(),
        aggregates: Vec::new(),
        views: Vec::new(),
        not_carried: Vec::new(),
    })
}

fn infer(request: &Request, sample: &Sample<'_>) -> Inference {
    let (mut inference, mut at) = (Inference::default(), 0);
    let mut parser = Parser::new(&request.dialect, sample.line_end);
    for _ in 0..SAMPLE_RECORDS {
        let Some(record) = parser.record(&sample.bytes[at..]) else { break };
        at += record.len;
        // The last one may be cut.
        if at == sample.bytes.len() && !sample.is_whole {
            break;
        }
        for (number, value) in record.fields.iter().flat_map(|fields| fields.iter().enumerate()) {
            inference.observe(number, value);
        }
    }
    inference
}

fn refuse_names(names: &[String], create: &Create) -> Result<()> {
    if names.is_empty() {
        return Err(Error::new(Kind::Input, "the file has no records to make columns of")
            .hint("Name the columns with --columns, and their types with --type."));
    }
    let list = || names.iter().map(|name| display_ident(name)).collect::<Vec<_>>().join(", ");
    let asked = create.types.iter().map(|(column, _)| column).chain([&create.time_column]);
    match asked.into_iter().find(|column| !names.contains(column)) {
        None => Ok(()),
        Some(missing) => Err(Error::refused(format!("the file has no column {}", display_ident(missing)))
            .hint(format!("Its columns are {}.", list()))),
    }
}

fn column(name: &str, found: &Found, not_null: bool) -> Column {
    Column {
        name: name.to_string(),
        type_oid: found.oid,
        type_name: found.name.clone(),
        type_length: found.length,
        not_null,
        identity: None,
        generated: None,
        expression: None,
        collation: None,
        storage: None,
        compression: None,
    }
}

/// A type that a table can have.
struct Found {
    oid: u32,
    /// By its full name, without modifiers.
    plain: String,
    /// As it is written in any session, with its modifiers.
    name: String,
    length: i32,
}

/// Looks a column's type up where the role would, and names it so that no `search_path` is needed.
async fn find_type(target: &Target, column: &str, written: &str) -> Result<Found> {
    let unknown = || {
        Error::refused(format!("there is no type {written} for column {}", display_ident(column)))
            .hint("Write --type COLUMN=TYPE as in create table; the type is looked up in the role's search_path.")
    };
    let found = match target.rows_as_role("select to_regtype($1)::oid", &[&written]).await {
        Ok(rows) => rows[0].get::<_, Option<u32>>(0),
        Err(error) if error.sqlstate().is_some() && !error.is_retryable() => return Err(unknown().caused_by(error)),
        Err(error) => return Err(error),
    };
    let oid = found.ok_or_else(unknown)?;
    let sql = "select format_type(oid, null), typlen::int4, typnamespace = 'pg_catalog'::regnamespace \
               from pg_catalog.pg_type where oid = $1";
    let row = target.row(sql, &[&oid]).await?;
    let (plain, is_builtin): (String, bool) = (row.get(0), row.get(2));
    let name = match (written.find('('), written.rfind(')')) {
        // Found everywhere, and its modifiers may stand among its words.
        _ if is_builtin => written.to_string(),
        (Some(from), Some(until)) => format!("{plain}{}", &written[from..=until]),
        _ => plain.clone(),
    };
    Ok(Found { oid, plain, name, length: row.get(1) })
}

fn dimension(create: &Create, type_name: &str) -> Result<Dimension> {
    let is_integer = ["smallint", "integer", "bigint"].contains(&type_name);
    if is_integer && create.chunk_interval.is_none() {
        return Err(Error::refused(format!("column {} is an integer", display_ident(&create.time_column)))
            .hint("Give --chunk-interval, in the column's unit: TimescaleDB has no default for integers."));
    }
    Ok(Dimension {
        id: 0,
        column: create.time_column.clone(),
        column_type: type_name.to_string(),
        partitions: None,
        interval_length: Some(DEFAULT_INTERVAL_US),
        partitioning_function_schema: None,
        partitioning_function: None,
        partitioning_type: None,
        integer_now_schema: None,
        integer_now_function: None,
    })
}

fn new_table(name: &QualifiedName) -> Table {
    Table {
        oid: 0,
        name: name.clone(),
        kind: "r".to_string(),
        unlogged: false,
        owner: String::new(),
        row_security_active: false,
        schema_usable: true,
        unreadable_columns: Vec::new(),
        root_bytes: 0,
    }
}

/// The index that `create_hypertable` makes by default.
fn time_index(table: &QualifiedName, column: &str) -> Index {
    let name = format!("{}_{column}_idx", table.name);
    let body = format!("using btree ({} desc)", quote_ident(column));
    Index {
        unique: false,
        valid: true,
        method: "btree".to_string(),
        keys: vec![Some(column.to_string())],
        partial: false,
        definition: body.clone(),
        body: Some(body),
        name,
    }
}

/// How the table is made, in words that tell one way from another.
pub(super) fn describe(create: &Create, partitioning: &Partitioning, columns: &[Column]) -> String {
    let columns: Vec<String> = columns.iter().map(|c| format!("{} {}", display_ident(&c.name), c.type_name)).collect();
    format!("by {} {partitioning:?} ({})", display_ident(&create.time_column), columns.join(", "))
}

//! Makes chunks before the rows that need them.
//!
//! A session that makes a chunk locks the hypertable until it commits; workers whose rows make chunks run one after
//! another. So they are made in short transactions of their own.
//!
//! **Invariant:** never the last word: the server may make other chunks than were asked for, or none. Whoever calls reads
//! back what is there, and leaves the rest to the rows.

use bytes::Bytes;

use crate::catalog::Server;
use crate::connect::Target;
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::ident::{QualifiedName, quote_columns, quote_literal};
use crate::pgcopy::text;
use crate::plan::{ClosedDimension, Layout, Point};

/// Locks that a transaction takes for each chunk it makes (heap, toast and its index, key, trigger), and for each that
/// was there before (the trigger goes onto all of them, and off again); counted on 2.19.3 and 2.31.
const LOCKS_PER_NEW_CHUNK: u64 = 12;
const LOCKS_PER_OLD_CHUNK: u64 = 3;
/// Chunks that one transaction makes: not more, because each holds its locks until the commit.
const CHUNKS_PER_TRANSACTION: u64 = 250;
/// Fewer than this would go through all chunks' triggers too often.
const LEAST_CHUNKS_PER_TRANSACTION: u64 = 20;

/// Refuses a number of chunks that the target's lock table cannot hold while they are made.
pub fn refuse_too_many_locks(server: &Server, chunks: u64) -> Result<()> {
    let needed = chunks * LOCKS_PER_OLD_CHUNK + LEAST_CHUNKS_PER_TRANSACTION * LOCKS_PER_NEW_CHUNK;
    if needed <= server.lock_table {
        return Ok(());
    }
    let factor = needed.div_ceil(server.lock_table.max(1));
    Err(Error::refused(format!(
        "{chunks} new chunks would take {needed} locks at once, and the target's lock table holds {}",
        server.lock_table
    ))
    .hint(format!("Raise max_locks_per_transaction on the target to {factor} times what it is, or choose a larger --chunk-interval.")))
}

/// Makes one chunk for each point and partition, in short transactions, so that the workers that copy find them.
///
/// The rows that make them are stopped by a trigger that is created, used and dropped in one transaction and fires only
/// where this transaction has set a setting (reference 3a, 9.2). Only for tables that this job has made.
///
/// Where nobody knows such rows (a hash dimension's type has no generator of values, a user's function stands between column
/// and interval), the edition's `create_chunk` makes them. Where that is missing, or a domain refuses a row without its value,
/// they are left to the first rows that need them.
pub async fn make_chunks(
    target: &Target,
    server: &Server,
    table: &QualifiedName,
    layout: &Layout,
    points: &[Point],
) -> Result<()> {
    let Some(rows) = PointRows::at(target, server, table, layout, points).await? else {
        return match server.is_apache() {
            true => Ok(()),
            false => create_chunks(target, server, table, slices_at(layout, points)).await,
        };
    };
    let (mut made, mut rest) = (0, rows.rows.as_slice());
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(batch_size(server, made).min(rest.len()));
        failpoint::hit("chunks-before-batch");
        match insert_into_nothing(target, table, &rows.insert(table, batch)).await {
            Err(error) if is_refused_by_a_domain(&error) => return Ok(()),
            ended => ended?,
        }
        failpoint::hit("chunks-after-batch");
        made += batch.len() as u64;
        rest = later;
    }
    Ok(())
}

/// Chunks that the next transaction may make, where so many are there.
fn batch_size(server: &Server, made: u64) -> usize {
    let free = server.lock_table.saturating_sub(made * LOCKS_PER_OLD_CHUNK) / LOCKS_PER_NEW_CHUNK;
    free.clamp(LEAST_CHUNKS_PER_TRANSACTION, CHUNKS_PER_TRANSACTION) as usize
}

/// Makes chunks of a table that was there before and may be in use: no trigger is put onto it. Where the server has no
/// other way, or a neighbour is in the way of the slice that we foresee, the chunks are left to the first rows that need
/// them.
pub async fn make_chunks_beside_others(
    target: &Target,
    server: &Server,
    table: &QualifiedName,
    layout: &Layout,
    points: &[Point],
) -> Result<()> {
    let made = match server.is_apache() {
        true => copy_into_nothing(target, server, table, layout, points).await,
        false => create_chunks(target, server, table, slices_at(layout, points)).await,
    };
    match made {
        Err(error) if error.sqlstate().is_some() && !error.is_retryable() => Ok(()),
        made => made,
    }
}

/// Makes a chunk for each of these slices, a JSON object `{"column": [start, end], …}`; one that is there already is left as it
/// is. Each is a transaction of its own. Only where the edition has a function for it.
pub async fn create_chunks(
    target: &Target,
    server: &Server,
    table: &QualifiedName,
    slices: impl Iterator<Item = serde_json::Value>,
) -> Result<()> {
    let sql = format!(
        "select from {}($1::text::pg_catalog.regclass, $2::text::jsonb)",
        server.internal_function("create_chunk")
    );
    for slices in slices {
        failpoint::hit("chunks-before-batch");
        target.rows(&sql, &[&table.sql(), &slices.to_string()]).await?;
        failpoint::hit("chunks-after-batch");
    }
    Ok(())
}

fn slices_at(layout: &Layout, points: &[Point]) -> impl Iterator<Item = serde_json::Value> {
    points.iter().flat_map(|point| layout.chunk_slices(point))
}

/// Copies rows that a condition takes away. 2.19.3 looks for a row's chunk, and makes it, before it asks the condition;
/// no default, constraint or row trigger meets the row, and nothing of it is stored. 2.31 asks first: there nothing is
/// made, and nothing else comes of it either.
///
/// In a table with a hash dimension nobody knows which of a point's chunks the rows need.
async fn copy_into_nothing(
    target: &Target,
    server: &Server,
    table: &QualifiedName,
    layout: &Layout,
    points: &[Point],
) -> Result<()> {
    if !layout.closed.is_empty() || fires_for_statements(target, table).await? {
        return Ok(());
    }
    let Some(rows) = PointRows::at(target, server, table, layout, points).await? else { return Ok(()) };
    for batch in rows.rows.chunks(batch_size(server, 0)) {
        failpoint::hit("chunks-before-batch");
        target.batch("begin isolation level read committed read write; set local synchronous_commit = off").await?;
        match copy_batch_into_nothing(target, &rows.copy(table), rows.data(batch)).await {
            // The rows need not wait for the disk, and neither need their chunks.
            Ok(()) => target.batch("commit").await?,
            Err(error) => {
                // Where the session is lost the transaction is too, and the copy's own error says more.
                target.batch("rollback").await.unwrap_or_default();
                return Err(error);
            }
        }
        failpoint::hit("chunks-after-batch");
    }
    Ok(())
}

async fn copy_batch_into_nothing(target: &Target, sql: &str, rows: Bytes) -> Result<()> {
    let mut copy = target.copy_in(sql).await?;
    copy.feed(rows).await?;
    copy.finish().await.map(drop)
}

/// Whether a trigger of the table would fire for a statement without rows.
async fn fires_for_statements(target: &Target, table: &QualifiedName) -> Result<bool> {
    // Not for each row (1), but for an insert (4).
    let sql = "select exists (select from pg_catalog.pg_trigger \
               where tgrelid = $1::text::pg_catalog.regclass and not tgisinternal and tgenabled <> 'D' and tgtype & 5 = 4)";
    Ok(target.row(sql, &[&table.sql()]).await?.get(0))
}

/// Columns whose default would be asked for each row that makes a chunk: it may draw from a sequence, or do whatever
/// its functions do. They get a null instead, which the trigger takes away before any constraint sees it. Domains may
/// refuse a null at once, so theirs are left out.
async fn columns_with_defaults(target: &Target, table: &QualifiedName, layout: &Layout) -> Result<Vec<String>> {
    let dimensions: Vec<&str> = layout.columns().collect();
    let sql = "select attname::text from pg_catalog.pg_attribute \
               join pg_catalog.pg_type type on type.oid = atttypid \
               where attrelid = $1::text::pg_catalog.regclass and attnum > 0 and not attisdropped and attgenerated = '' \
                   and (atthasdef or attidentity <> '') and typtype <> 'd' and attname <> all ($2::text[]) order by attnum";
    let rows = target.rows(sql, &[&table.sql(), &dimensions]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// A column's domain is asked before the trigger takes the row away; a table's constraints come behind it.
fn is_refused_by_a_domain(error: &Error) -> bool {
    use tokio_postgres::error::SqlState;
    matches!(error.sqlstate(), Some(state) if [SqlState::NOT_NULL_VIOLATION, SqlState::CHECK_VIOLATION].contains(state))
}

async fn insert_into_nothing(target: &Target, name: &QualifiedName, insert: &str) -> Result<()> {
    let table = name.sql();
    // The name sorts before every other trigger's, so that none of theirs sees the row.
    let sql = format!(
        "begin isolation level read committed read write;
         create function pg_temp.hypercopy_no_row() returns trigger language plpgsql as 'begin return null; end';
         create trigger \"!hypercopy\" before insert on {table} for each row
             when (pg_catalog.current_setting('hypercopy.make_chunk', true) = 'on')
             execute function pg_temp.hypercopy_no_row();
         set local hypercopy.make_chunk = 'on';
         {insert};
         drop trigger \"!hypercopy\" on {table};
         drop function pg_temp.hypercopy_no_row();
         commit"
    );
    let made = target.batch(&sql).await;
    if made.is_err() {
        // The error ended the batch inside its transaction.
        target.batch("rollback").await?;
    }
    made.map_err(|error| Error::new(Kind::Target, format!("cannot make chunks of {name}")).caused_by(error))
}

/// Rows that have nothing but what a chunk is found by: one for each point and partition.
struct PointRows {
    columns: Vec<String>,
    /// A value for each column, as its type's input function reads it; `None` is a null.
    rows: Vec<Vec<Option<String>>>,
}

impl PointRows {
    /// `None` where nobody knows values for all points and partitions.
    async fn at(
        target: &Target,
        server: &Server,
        table: &QualifiedName,
        layout: &Layout,
        points: &[Point],
    ) -> Result<Option<PointRows>> {
        if layout.has_function() {
            return Ok(None);
        }
        let mut others = Vec::new();
        for dimension in &layout.closed {
            match partition_values(target, server, table, dimension).await? {
                Some(values) => others.push(values.into_iter().map(Some).collect()),
                None => return Ok(None),
            }
        }
        let defaults = columns_with_defaults(target, table, layout).await?;
        others.extend(defaults.iter().map(|_| vec![None]));
        let columns = layout.columns().map(str::to_string).chain(defaults).collect();
        let rows = points.iter().flat_map(|point| combinations(point_values(layout, point), &others)).collect();
        Ok(Some(PointRows { columns, rows }))
    }

    fn insert(&self, table: &QualifiedName, rows: &[Vec<Option<String>>]) -> String {
        let literal = |value: &Option<String>| value.as_deref().map_or("null".to_string(), quote_literal);
        let row = |row: &Vec<Option<String>>| format!("({})", row.iter().map(literal).collect::<Vec<_>>().join(", "));
        let values: Vec<String> = rows.iter().map(row).collect();
        let (table, columns) = (table.sql(), self.columns());
        format!("insert into {table} ({columns}) overriding system value values {}", values.join(", "))
    }

    fn copy(&self, table: &QualifiedName) -> String {
        format!("copy {} ({}) from stdin where false", table.sql(), self.columns())
    }

    /// The rows in COPY's text format.
    fn data(&self, rows: &[Vec<Option<String>>]) -> Bytes {
        let mut data = Vec::new();
        for row in rows {
            for (number, value) in row.iter().enumerate() {
                data.extend_from_slice(if number > 0 { b"\t" } else { b"" });
                text::push_field(value.as_deref().map(str::as_bytes), &mut data);
            }
            data.push(b'\n');
        }
        Bytes::from(data)
    }

    fn columns(&self) -> String {
        quote_columns(self.columns.iter().map(String::as_str))
    }
}

/// A value of each open dimension.
fn point_values(layout: &Layout, point: &Point) -> Vec<Option<String>> {
    let open = layout.all_open().zip(point);
    open.map(|(dimension, value)| Some(dimension.time_type.literal(dimension.point(*value)))).collect()
}

/// Rows that begin as `first` and go on with one of each of the others.
fn combinations(first: Vec<Option<String>>, others: &[Vec<Option<String>>]) -> Vec<Vec<Option<String>>> {
    others.iter().fold(vec![first], |rows, values| {
        let with =
            |row: &Vec<Option<String>>, value: &Option<String>| [row.as_slice(), std::slice::from_ref(value)].concat();
        rows.iter().flat_map(|row| values.iter().map(move |value| with(row, value))).collect()
    })
}

/// One value for each partition of a hash dimension, found by trying; `None` where the type has no generator, or too
/// few values (an enum, a boolean) to reach each partition.
async fn partition_values(
    target: &Target,
    server: &Server,
    table: &QualifiedName,
    dimension: &ClosedDimension,
) -> Result<Option<Vec<String>>> {
    let type_of = "select format_type(atttypid, atttypmod) from pg_catalog.pg_attribute \
                   where attrelid = $1::text::pg_catalog.regclass and attname = $2";
    let type_name: String = target.row(type_of, &[&table.sql(), &dimension.column]).await?.get(0);
    // What a user's function does with such values nobody knows.
    let candidate = candidate(&type_name).filter(|_| dimension.function.is_none());
    let Some(candidate) = candidate else { return Ok(None) };
    let partitions = i64::from(dimension.partitions);
    let sql = format!(
        // The function wants a column: it refuses most expressions, and `offset 0` keeps this one out of its call.
        "select min(value::text) from (
             select value, least({}(value) / {}, {}) as partition
             from (select ({candidate})::{type_name} as value from generate_series(1, {}) i offset 0) candidates) hashed
         group by partition order by partition",
        server.internal_function("get_partition_hash"),
        i64::from(i32::MAX) / partitions,
        partitions - 1,
        partitions * 50
    );
    let rows = target.rows(&sql, &[]).await?;
    Ok((rows.len() as i64 == partitions).then(|| rows.iter().map(|row| row.get(0)).collect()))
}

/// An expression over the integer `i` that gives many values of the type.
fn candidate(type_name: &str) -> Option<String> {
    let bare = type_name.split('(').next().unwrap_or_default().trim();
    if let Some((precision, scale)) = numeric_modifiers(type_name) {
        // As many digits as fit before the point; more would be an error.
        return (precision > scale).then(|| format!("i % 10::numeric ^ {}", precision - scale));
    }
    let expression = match bare {
        "text" | "character varying" | "character" | "numeric" | "bigint" | "integer" => "i",
        "smallint" => "i % 32768",
        "real" | "double precision" => "i * 1.5",
        "uuid" => "md5(i::text)",
        "date" => "date '2000-01-01' + i",
        "timestamp" | "timestamp with time zone" | "timestamp without time zone" => {
            "timestamp '2000-01-01' + i * interval '1 second'"
        }
        "inet" | "cidr" => "(inet '10.0.0.0' + i)::text",
        _ => return None,
    };
    Some(expression.to_string())
}

/// Precision and scale of `numeric(precision,scale)`.
fn numeric_modifiers(type_name: &str) -> Option<(i32, i32)> {
    let (precision, scale) = type_name.strip_prefix("numeric(")?.strip_suffix(')')?.split_once(',')?;
    Some((precision.parse().ok()?, scale.parse().ok()?))
}

//! The questions, one function each.

use serde_json::json;

use super::*;
use crate::connect::Session;
use crate::error::Result;
use crate::ident::quote_ident;

/// What the server is and what it can do.
pub async fn server(session: &Session) -> Result<Server> {
    session.record(include_str!("sql/server.sql"), &[]).await
}

/// The oid that a name on the command line stands for under the role's own `search_path`; none if there is none.
pub async fn resolve(session: &Session, name: &str) -> Result<Option<u32>> {
    let rows = session.rows_as_role("select to_regclass($1)::oid", &[&name]).await?;
    Ok(rows.first().and_then(|row| row.get(0)))
}

/// The oid of this very relation; none if it is not there.
pub async fn resolve_exactly(session: &Session, name: &QualifiedName) -> Result<Option<u32>> {
    Ok(session.row("select to_regclass($1)::oid", &[&name.sql()]).await?.get(0))
}

/// The relation with this oid.
pub async fn table(session: &Session, oid: u32) -> Result<Option<Table>> {
    Ok(session.records(include_str!("sql/table.sql"), &[&oid]).await?.pop())
}

/// TimescaleDB's row for a table; none for a plain one.
pub async fn hypertable_row(session: &Session, name: &QualifiedName) -> Result<Option<HypertableRow>> {
    Ok(session.records(include_str!("sql/hypertable.sql"), &[&name.schema, &name.name]).await?.pop())
}

/// All hypertables of the database, for people.
pub async fn hypertables(session: &Session) -> Result<Vec<HypertableSummary>> {
    session.records(include_str!("sql/hypertables.sql"), &[]).await
}

/// The definition of a hypertable.
pub async fn hypertable(session: &Session, server: &Server, table: Table, row: HypertableRow) -> Result<Hypertable> {
    let oid = &table.oid;
    let columns: Vec<Column> = session.records(include_str!("sql/columns.sql"), &[oid]).await?;
    let type_oids: Vec<u32> = columns.iter().map(|column| column.type_oid).collect();
    let types = types(session, &type_oids).await?;
    let part_oids: Vec<u32> = types.iter().map(|part| part.oid).collect();
    let (schema, name) = (&table.name.schema, &table.name.name);
    let mut not_carried: Vec<NotCarried> =
        session.records(include_str!("sql/not_carried.sql"), &[oid, schema, name, &row.id]).await?;
    not_carried.extend(chunk_differences(session, server, oid, row.id).await?);
    Ok(Hypertable {
        dimensions: dimensions(session, row.id).await?,
        constraints: session.records(include_str!("sql/constraints.sql"), &[oid]).await?,
        indexes: session.records(include_str!("sql/indexes.sql"), &[oid]).await?,
        types,
        sequences: session.records(include_str!("sql/sequences.sql"), &[oid]).await?,
        dependencies: session.records(include_str!("sql/dependencies.sql"), &[oid, &part_oids]).await?,
        not_carried,
        columns,
        row,
        table,
    })
}

/// The dimensions of a hypertable, the primary one first.
pub async fn dimensions(session: &Session, hypertable_id: i32) -> Result<Vec<Dimension>> {
    session.records(include_str!("sql/dimensions.sql"), &[&hypertable_id]).await
}

async fn chunk_differences(session: &Session, server: &Server, oid: &u32, id: i32) -> Result<Vec<NotCarried>> {
    let chunk_oids: Vec<u32> = chunks(session, server, id).await?.iter().filter_map(|chunk| chunk.oid).collect();
    let mut found = session.records(include_str!("sql/chunk_differences.sql"), &[oid, &chunk_oids]).await?;
    if has_relation(session, "_timescaledb_catalog.chunk_column_stats").await? {
        found.extend(session.records(include_str!("sql/chunk_skipping.sql"), &[&id]).await?);
    }
    Ok(found)
}

/// The chunks of a hypertable, ordered by their slices. Under an imported snapshot these are the snapshot's chunks.
pub async fn chunks(session: &Session, server: &Server, hypertable_id: i32) -> Result<Vec<Chunk>> {
    let sql = include_str!("sql/chunks.sql").replace("{slices}", chunk_slices(server));
    session.records(&sql, &[&hypertable_id]).await
}

fn chunk_slices(server: &Server) -> &'static str {
    if server.has_chunk_constraint {
        include_str!("sql/chunk_slices_by_constraint.sql")
    } else {
        include_str!("sql/chunk_slices.sql")
    }
}

/// What TimescaleDB does by itself to the hypertable of this id and name.
pub async fn policies(session: &Session, hypertable_id: i32, name: &QualifiedName) -> Result<Policies> {
    let id = &hypertable_id;
    let skipping_columns = match has_relation(session, "_timescaledb_catalog.chunk_column_stats").await? {
        true => names(session, include_str!("sql/skipping_columns.sql"), id).await?,
        false => Vec::new(),
    };
    Ok(Policies {
        hypertable_id,
        jobs: jobs(session, hypertable_id).await?,
        columnstore: columnstore(session, hypertable_id).await?,
        tablespaces: names(session, include_str!("sql/tablespaces.sql"), id).await?,
        skipping_columns,
        not_carried: session
            .records(include_str!("sql/policies_not_carried.sql"), &[id, &name.schema, &name.name])
            .await?,
    })
}

/// The jobs of a hypertable, or of a continuous aggregate's materialization.
pub async fn jobs(session: &Session, hypertable_id: i32) -> Result<Vec<Job>> {
    session.records(include_str!("sql/jobs.sql"), &[&hypertable_id]).await
}

/// Which of the given jobs are running.
pub async fn running_jobs(session: &Session, ids: &[i32]) -> Result<Vec<i32>> {
    let rows = session.rows(include_str!("sql/running_jobs.sql"), &[&ids]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// How chunks of a hypertable are compressed; none where they are not.
pub async fn columnstore(session: &Session, hypertable_id: i32) -> Result<Option<Columnstore>> {
    let settings = match has_relation(session, "_timescaledb_catalog.compression_settings").await? {
        true => include_str!("sql/columnstore_settings.sql"),
        false => include_str!("sql/columnstore_settings_by_column.sql"),
    };
    let sql = include_str!("sql/columnstore.sql").replace("{settings}", settings);
    Ok(session.records(&sql, &[&hypertable_id]).await?.pop())
}

/// The continuous aggregates over a hypertable and over each other, in the order in which they can be made.
pub async fn aggregates(session: &Session, server: &Server, hypertable_id: i32) -> Result<Vec<Aggregate>> {
    let sql = include_str!("sql/aggregates.sql").replace("{slices}", chunk_slices(server));
    let mut found: Vec<Aggregate> = session.records(&sql, &[&hypertable_id]).await?;
    for aggregate in &mut found {
        aggregate.first = first_bucket(session, server, aggregate).await?;
        aggregate.columnstore = columnstore(session, aggregate.id).await?;
        aggregate.indexes = session.records(include_str!("sql/indexes.sql"), &[&aggregate.materialization_oid]).await?;
        aggregate.jobs = jobs(session, aggregate.id).await?;
    }
    Ok(found)
}

async fn first_bucket(session: &Session, server: &Server, aggregate: &Aggregate) -> Result<Option<i64>> {
    let sql = format!(
        "select {}(min({})) from {}",
        server.internal_function("time_to_internal"),
        quote_ident(&aggregate.bucket),
        aggregate.materialization.sql()
    );
    Ok(session.row(&sql, &[]).await?.get(0))
}

async fn has_relation(session: &Session, name: &str) -> Result<bool> {
    Ok(session.row("select to_regclass($1) is not null", &[&name]).await?.get(0))
}

/// The names that a query on a hypertable's id answers.
async fn names(session: &Session, sql: &str, hypertable_id: &i32) -> Result<Vec<String>> {
    Ok(session.rows(sql, &[hypertable_id]).await?.iter().map(|row| row.get(0)).collect())
}

/// The given types and what they are made of, parts first.
pub async fn types(session: &Session, oids: &[u32]) -> Result<Vec<Type>> {
    session.records(include_str!("sql/types.sql"), &[&oids]).await
}

/// The type of this name with its parts; none if the name is free.
pub async fn type_by_name(session: &Session, name: &QualifiedName) -> Result<Option<Vec<Type>>> {
    let row = session.row("select to_regtype($1)::oid", &[&name.sql()]).await?;
    match row.get::<_, Option<u32>>(0) {
        Some(oid) => types(session, &[oid]).await.map(Some),
        None => Ok(None),
    }
}

/// Which of the given objects the server lacks.
pub async fn missing_objects(session: &Session, objects: &[ObjectName]) -> Result<Vec<ObjectName>> {
    session.records(include_str!("sql/missing_objects.sql"), &[&json!(objects).to_string()]).await
}

/// What stands on the target where `table` shall be; `owner` is the source table's.
pub async fn target_place(session: &Session, table: &QualifiedName, owner: &str) -> Result<TargetPlace> {
    session.record(include_str!("sql/target.sql"), &[&table.schema, &table.name, &owner]).await
}

/// Which of the given schemas are not there.
pub async fn missing_schemas(session: &Session, schemas: &[String]) -> Result<Vec<String>> {
    let rows = session.rows(include_str!("sql/missing_schemas.sql"), &[&schemas]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// In which of the given schemas the role may not create anything, or may not create them where they are missing.
pub async fn closed_schemas(session: &Session, schemas: &[String]) -> Result<Vec<String>> {
    let rows = session.rows(include_str!("sql/closed_schemas.sql"), &[&schemas]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The sequence of this name, without its value.
pub async fn sequence(session: &Session, name: &QualifiedName) -> Result<Option<Sequence>> {
    Ok(session.records(include_str!("sql/sequence.sql"), &[&name.schema, &name.name]).await?.pop())
}

/// The `create function` statement of a function without arguments.
pub async fn function_definition(session: &Session, name: &QualifiedName) -> Result<Option<String>> {
    let sql = "select pg_get_functiondef(to_regprocedure($1)::oid) where to_regprocedure($1) is not null";
    let rows = session.rows(sql, &[&format!("{}()", name.sql())]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

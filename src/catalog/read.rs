//! The questions, one function each.

mod prerequisites;
mod trappings;

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;
use serde_json::json;

pub use self::prerequisites::{inventory, missing_objects, prerequisites};
use self::trappings::{PG_CLASS, trappings};
pub use self::trappings::{ground, grounds};
use super::belongings::{Belongings, DrawnSequence, IdentitySequence, Named, OwnedSequence};
use super::dependents::{Dependents, Heap, MaterializedView, StorageParameter, Users};
use super::views::{ColumnDefault, Kept, Rule, View, ViewPlaces};
use super::*;
use crate::connect::{Params, Session};
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
    session.records(&about_dimensions(include_str!("sql/hypertables.sql")), &[]).await
}

/// The definition of a hypertable.
pub async fn hypertable(session: &Session, server: &Server, table: Table, row: HypertableRow) -> Result<Hypertable> {
    let oid = &table.oid;
    let columns = columns(session, table.oid).await?;
    let type_oids: Vec<u32> = columns.iter().map(|column| column.type_oid).collect();
    let types = types(session, &type_oids).await?;
    let mut not_carried: Vec<NotCarried> = session.records(include_str!("sql/not_carried.sql"), &[oid]).await?;
    not_carried.extend(chunk_differences(session, server, oid, row.id).await?);
    let aggregates = aggregates(session, server, row.id).await?;
    let views = views(session, *oid, &aggregates).await?;
    let sequences = sequences(session, table.oid).await?;
    let relations = sequences.iter().map(|sequence| &sequence.name).chain(views.iter().map(|view| &view.name));
    let relations = relations.chain(aggregates.iter().map(|aggregate| &aggregate.name)).chain([&table.name]);
    let schemas: Vec<&str> = relations.map(|name| name.schema.as_str()).collect();
    Ok(Hypertable {
        prerequisites: prerequisites(session, table.oid, &types, &schemas).await?,
        views,
        aggregates,
        policies: policies(session, row.id, &table.name).await?,
        dimensions: dimensions(session, row.id).await?,
        constraints: constraints(session, table.oid).await?,
        indexes: indexes(session, table.oid).await?,
        sequences,
        types,
        belongings: belongings(session, table.oid).await?,
        not_carried,
        columns,
        row,
        table,
    })
}

/// A table's columns in order.
pub async fn columns(session: &Session, oid: u32) -> Result<Vec<Column>> {
    session.records(include_str!("sql/columns.sql"), &[&oid]).await
}

/// A table's constraints of the kinds that are carried.
pub async fn constraints(session: &Session, oid: u32) -> Result<Vec<Constraint>> {
    session.records(include_str!("sql/constraints.sql"), &[&oid]).await
}

/// A table's indexes that belong to no constraint.
pub async fn indexes(session: &Session, oid: u32) -> Result<Vec<Index>> {
    session.records(include_str!("sql/indexes.sql"), &[&oid]).await
}

/// The sequences that a table's columns draw from.
pub async fn sequences(session: &Session, oid: u32) -> Result<Vec<Sequence>> {
    session.records(&of_used_sequences(include_str!("sql/sequences.sql")), &[&oid]).await
}

/// Puts the text of used_sequences.sql into a query.
fn of_used_sequences(sql: &str) -> String {
    sql.replace("{used}", include_str!("sql/used_sequences.sql"))
}

/// The dimensions of a hypertable, the primary one first.
pub async fn dimensions(session: &Session, hypertable_id: i32) -> Result<Vec<Dimension>> {
    session.records(&about_dimensions(include_str!("sql/dimensions.sql")), &[&hypertable_id]).await
}

/// Puts the text of partitioning_type.sql into a query.
fn about_dimensions(sql: &str) -> String {
    sql.replace("({partitioning_type})", concat!("(", include_str!("sql/partitioning_type.sql"), ")"))
}

/// Whether the server divides by `uuid`s of version 7; both it and this function came with TimescaleDB 2.22.
pub async fn divides_uuids(session: &Session, server: &Server) -> Result<bool> {
    let function = format!("{}(pg_catalog.timestamptz)", server.user_function("to_uuidv7_boundary"));
    Ok(session.row("select to_regprocedure($1) is not null", &[&function]).await?.get(0))
}

async fn chunk_differences(session: &Session, server: &Server, oid: &u32, id: i32) -> Result<Vec<NotCarried>> {
    let chunk_oids: Vec<u32> = chunks(session, server, id).await?.iter().filter_map(|chunk| chunk.oid).collect();
    session.records(include_str!("sql/chunk_differences.sql"), &[oid, &chunk_oids]).await
}

/// The chunks of a hypertable, ordered by their slices. Under an imported snapshot these are the snapshot's chunks.
pub async fn chunks(session: &Session, server: &Server, hypertable_id: i32) -> Result<Vec<Chunk>> {
    let sql = include_str!("sql/chunks.sql").replace("{slices}", chunk_slices(server));
    session.records(&sql, &[&hypertable_id]).await
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

/// What the server has of what `policies` need; also of what jobs of `aggregates` do.
pub async fn means(session: &Session, tablespaces: &[String], jobs: &[&Job]) -> Result<Means> {
    let procedures: Vec<&QualifiedName> =
        jobs.iter().flat_map(|job| job.check.iter().chain([&job.procedure])).collect();
    let owners: Vec<&String> = jobs.iter().map(|job| &job.owner).collect();
    let procedures = json!(procedures).to_string();
    session.record(include_str!("sql/means.sql"), &[&tablespaces, &owners, &procedures]).await
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

/// The continuous aggregates over a hypertable and over each other, in the order in which they can be made. What they hold is
/// asked only of those that the role may read like their owner.
pub async fn aggregates(session: &Session, server: &Server, hypertable_id: i32) -> Result<Vec<Aggregate>> {
    let sql = about_view(include_str!("sql/aggregates.sql")).replace("{slices}", chunk_slices(server));
    let mut found: Vec<Aggregate> = session.records(&sql, &[&hypertable_id]).await?;
    for aggregate in &mut found {
        if aggregate.rights.may_act_as_owner {
            aggregate.first = first_bucket(session, server, aggregate).await?;
        }
        aggregate.columnstore = columnstore(session, aggregate.id).await?;
        if aggregate.columnstore.is_some() {
            aggregate.shapes = chunks(session, server, aggregate.id).await?.iter().map(Chunk::shape).collect();
        }
        aggregate.indexes = session.records(include_str!("sql/indexes.sql"), &[&aggregate.materialization_oid]).await?;
        aggregate.jobs = jobs(session, aggregate.id).await?;
        let (users, materialized_views) = users(session, aggregate.oid).await?;
        aggregate.users = users;
        for oid in materialized_views {
            aggregate.materialized_views.push(materialized_view(session, oid).await?.0.name);
        }
    }
    Ok(found)
}

/// Puts the text of view_*.sql into a query.
fn about_view(sql: &str) -> String {
    sql.replace("{grants}", include_str!("sql/view_grants.sql"))
        .replace("{comments}", include_str!("sql/view_comments.sql"))
        .replace("{reads}", include_str!("sql/view_reads.sql"))
        .replace("{needs}", include_str!("sql/view_needs.sql"))
}

/// What a query answers of a view at once.
#[derive(Deserialize)]
struct ViewRow {
    oid: u32,
    #[serde(flatten)]
    name: QualifiedName,
    materialized: bool,
    bytes: u64,
    options: Vec<StorageParameter>,
    definition: String,
    reads: Vec<QualifiedName>,
    needs: Vec<ObjectName>,
    defaults: Vec<ColumnDefault>,
    rules: Vec<Rule>,
}

/// The views that read a table, aggregates over it, or each other, in the order in which they can be made.
async fn views(session: &Session, table: u32, aggregates: &[Aggregate]) -> Result<Vec<View>> {
    let oids: Vec<u32> = std::iter::once(table).chain(aggregates.iter().map(|aggregate| aggregate.oid)).collect();
    let rows: Vec<ViewRow> = session.records(&about_view(include_str!("sql/views.sql")), &[&oids]).await?;
    let mut views = Vec::new();
    for row in rows {
        views.extend(view(session, row).await?);
    }
    Ok(views)
}

/// None where it is gone.
async fn view(session: &Session, row: ViewRow) -> Result<Option<View>> {
    let ViewRow { oid, name, materialized, bytes, options, definition, reads, needs, defaults, rules } = row;
    let Some(trappings) = trappings(session, (PG_CLASS, oid)).await? else { return Ok(None) };
    let kept = match materialized {
        true => Some(Kept { heap: heap(session, oid).await?, bytes }),
        false => None,
    };
    let triggers = session.records(include_str!("sql/belongings/triggers.sql"), &[&oid]).await?;
    Ok(Some(View { name, kept, options, definition, reads, needs, trappings, defaults, triggers, rules }))
}

/// How a materialized view keeps its rows; comments on its columns are among its trappings.
async fn heap(session: &Session, oid: u32) -> Result<Heap> {
    let view: MaterializedView = session.record(include_str!("sql/dependents/materialized_view.sql"), &[&oid]).await?;
    let mut heap = view.heap;
    heap.columns.iter_mut().for_each(|column| column.comment = None);
    Ok(heap)
}

/// What stands where views of these names shall be, which read these relations, belong to these roles and use these objects.
pub async fn view_places(
    session: &Session,
    relations: &[&QualifiedName],
    roles: &[String],
    needs: &[ObjectName],
) -> Result<ViewPlaces> {
    #[derive(Deserialize)]
    struct Found {
        relations: Vec<QualifiedName>,
        roles: Vec<String>,
        actable: Vec<String>,
        superuser: bool,
    }
    let sql = include_str!("sql/view_places.sql");
    let Found { relations: there, roles, actable, superuser } =
        session.record(sql, &[&json!(relations).to_string(), &roles]).await?;
    let schemas: Vec<String> = relations.iter().map(|name| name.schema.clone()).collect();
    let closed = closed_schemas(session, &schemas).await?;
    Ok(ViewPlaces {
        relations: there,
        missing: missing_objects(session, needs).await?,
        roles,
        actable,
        closed,
        superuser,
    })
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

fn chunk_slices(server: &Server) -> &'static str {
    match server.has_chunk_constraint {
        true => include_str!("sql/chunk_slices_by_constraint.sql"),
        false => include_str!("sql/chunk_slices.sql"),
    }
}

/// The files of the chunks that may hold rows of [`from`, `until`), where none is no bound, as the session's snapshot shows them.
pub async fn chunk_files(
    session: &Session,
    server: &Server,
    hypertable_id: i32,
    from: Option<i64>,
    until: Option<i64>,
) -> Result<Vec<ChunkFile>> {
    let sql = include_str!("sql/chunk_files.sql").replace("{slices}", chunk_slices(server));
    session.records(&sql, &[&hypertable_id, &from, &until]).await
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

/// What belongs to the table with this oid beside its columns, constraints and indexes. Definitions name the table as it
/// is called now: asked within the transaction that gives it another name, each answer is of its own moment.
pub async fn belongings(session: &Session, oid: u32) -> Result<Belongings> {
    let (owned_sequences, drawn_sequences, identity_sequences) = sequences_of_columns(session, oid).await?;
    let grants = trappings(session, (PG_CLASS, oid)).await?.map(|found| found.grants);
    let oid: Params<'_> = &[&oid];
    Ok(Belongings {
        table: session.record(include_str!("sql/belongings/table.sql"), oid).await?,
        grants: grants.unwrap_or_default(),
        comments: session.records(include_str!("sql/belongings/comments.sql"), oid).await?,
        storage_parameters: session.records(include_str!("sql/belongings/storage_parameters.sql"), oid).await?,
        column_settings: session.records(include_str!("sql/belongings/column_settings.sql"), oid).await?,
        not_nulls: session.records(include_str!("sql/belongings/not_nulls.sql"), oid).await?,
        indexes: session.records(include_str!("sql/belongings/indexes.sql"), oid).await?,
        policies: session.records(include_str!("sql/belongings/policies.sql"), oid).await?,
        statistics: session.records(include_str!("sql/belongings/statistics.sql"), oid).await?,
        owned_sequences,
        drawn_sequences,
        identity_sequences,
        triggers: session.records(include_str!("sql/belongings/triggers.sql"), oid).await?,
        foreign_keys: session.records(include_str!("sql/belongings/foreign_keys.sql"), oid).await?,
        referencing_keys: session.records(include_str!("sql/belongings/referencing_keys.sql"), oid).await?,
        publications: session.records(include_str!("sql/belongings/publications.sql"), oid).await?,
        obstacles: session.records(include_str!("sql/belongings/obstacles.sql"), oid).await?,
    })
}

/// A sequence of a column, or that a column draws from.
#[derive(Deserialize)]
struct SequenceOfColumn {
    oid: u32,
    #[serde(flatten)]
    name: QualifiedName,
    column: Option<String>,
    identity: bool,
}

/// Those that columns own, those that they draw from, and their identities.
async fn sequences_of_columns(
    session: &Session,
    table: u32,
) -> Result<(Vec<OwnedSequence>, Vec<DrawnSequence>, Vec<IdentitySequence>)> {
    let (mut owned, mut drawn, mut identities) = (Vec::new(), Vec::new(), Vec::new());
    let sql = of_used_sequences(include_str!("sql/belongings/sequences.sql"));
    for SequenceOfColumn { oid, name, column, identity } in session.records(&sql, &[&table]).await? {
        // Gone meanwhile, it is nobody's.
        let Some(Trappings { owner, grants, comments }) = trappings(session, (PG_CLASS, oid)).await? else { continue };
        let comment = comments.into_iter().next().map(|comment| comment.text);
        match (column, identity) {
            (Some(column), true) => identities.push(IdentitySequence { name: name.name, column, grants, comment }),
            (column, _) => {
                owned.extend(column.map(|column| OwnedSequence { name: name.name.clone(), column }));
                drawn.push(DrawnSequence { name, owner, grants, comment });
            }
        }
    }
    Ok((owned, drawn, identities))
}

/// What of a table's belongings can stand on the target, where a table of this name and owner shall have them.
pub async fn footing(session: &Session, wanted: &Belongings, table: &QualifiedName, owner: &str) -> Result<Footing> {
    let names = Named::of(wanted);
    let objects = json!(names.objects).to_string();
    let tablespaces = session.rows(include_str!("sql/footing/tablespaces.sql"), &[&names.tablespaces]).await?;
    let keys = |keys: serde_json::Value| keys.to_string();
    let (own, others) = (keys(json!(wanted.foreign_keys)), keys(json!(wanted.referencing_keys)));
    Ok(Footing {
        ground: ground(session, &names.roles, &table.schema).await?,
        tablespaces: tablespaces.iter().map(|row| row.get(0)).collect(),
        publications: session.records(include_str!("sql/footing/publications.sql"), &[&names.publications]).await?,
        statistics: session.records(include_str!("sql/footing/statistics.sql"), &[&table.sql()]).await?,
        missing: session.records(include_str!("sql/footing/missing.sql"), &[&objects]).await?,
        forbidden: session.records(include_str!("sql/footing/forbidden.sql"), &[&objects, &owner]).await?,
        foreign_keys: session.records(include_str!("sql/footing/foreign_keys.sql"), &[&own]).await?,
        referencing_keys: session
            .records(include_str!("sql/footing/referencing_keys.sql"), &[&others, &table.sql()])
            .await?,
    })
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

/// What uses a relation by its oid, directly or through materialized views. Definitions are text that holds for the names
/// of this moment.
pub async fn dependents(session: &Session, oid: u32) -> Result<Dependents> {
    let (users, first) = users(session, oid).await?;
    // Found again behind others, a materialized view goes further down.
    let mut depths: HashMap<u32, usize> = HashMap::new();
    let mut found: HashMap<u32, MaterializedView> = HashMap::new();
    let mut level = first;
    for depth in 0.. {
        if level.is_empty() {
            break;
        }
        let mut next = BTreeSet::new();
        for oid in level {
            let (view, behind) = materialized_view(session, oid).await?;
            next.extend(behind);
            depths.insert(oid, depth);
            found.insert(oid, view);
        }
        level = next;
    }
    let mut ordered: Vec<(usize, MaterializedView)> =
        found.into_iter().map(|(oid, view)| (depths[&oid], view)).collect();
    ordered.sort_by(|(a, one), (b, other)| (a, &one.name).cmp(&(b, &other.name)));
    Ok(Dependents { users, materialized_views: ordered.into_iter().map(|(_, view)| view).collect() })
}

/// The materialized view with this oid, and the oids of those that use it.
async fn materialized_view(session: &Session, oid: u32) -> Result<(MaterializedView, BTreeSet<u32>)> {
    let mut view: MaterializedView =
        session.record(include_str!("sql/dependents/materialized_view.sql"), &[&oid]).await?;
    let (users, behind) = users(session, oid).await?;
    view.users = users;
    Ok((view, behind))
}

/// One object that refers to a relation.
#[derive(Deserialize)]
struct Dependent {
    kind: String,
    oid: u32,
    identity: String,
}

/// What uses a relation directly, and the oids of the materialized views that do.
async fn users(session: &Session, oid: u32) -> Result<(Users, BTreeSet<u32>)> {
    let found: Vec<Dependent> = session.records(include_str!("sql/dependents/objects.sql"), &[&oid]).await?;
    let of_kind = |kind| found.iter().filter(move |dependent| dependent.kind == kind);
    let oids = |kind| of_kind(kind).map(|dependent| dependent.oid).collect::<Vec<u32>>();
    let users = Users {
        views: session.records(include_str!("sql/dependents/views.sql"), &[&oids("view")]).await?,
        rules: session.records(include_str!("sql/dependents/rules.sql"), &[&oids("rule")]).await?,
        functions: session.records(include_str!("sql/dependents/functions.sql"), &[&oids("function")]).await?,
        policies: session.records(include_str!("sql/dependents/policies.sql"), &[&oids("policy")]).await?,
        others: of_kind("other").map(|dependent| dependent.identity.clone()).collect(),
    };
    Ok((users, of_kind("materialized view").map(|dependent| dependent.oid).collect()))
}

//! DDL text: what TimescaleDB shall do to a hypertable by itself.
//!
//! Jobs are not made anew: they are handed over, with their ids, owners and histories, from one table to the other. The
//! table they leave has none any more, so there is nothing to keep paused there, and the way back is the same.
//!
//! | when | what |
//! | --- | --- |
//! | at the beginning | [`pause`], then `read::running_jobs` until none of them runs |
//! | on the empty table | [`on_empty_table`] |
//! | behind the swap and the validation of constraints | [`enable_columnstore`], then [`compress_chunk`] |
//! | then | [`hand_over`] to the new table; in an undo to the old one |
//! | at the end, and on an abort | [`resume`] |
//!
//! **Invariant:** pure; the statements find out by themselves what may change under a run (configurations, next starts,
//! whether a job is still there).

use super::Statement;
use crate::catalog::{Chunk, ChunkShape, Columnstore, Job, Obstacle, OrderBy, Policies, Server, Slice};
use crate::ident::{QualifiedName, display_ident, quote_columns, quote_ident, quote_literal};

/// What the plan has to refuse: jobs that the role may not alter.
pub fn obstacles(policies: &Policies) -> Vec<Obstacle> {
    job_obstacles(&policies.jobs).collect()
}

pub(super) fn job_obstacles(jobs: &[Job]) -> impl Iterator<Item = Obstacle> {
    let foreign = jobs.iter().filter(|job| !job.may_alter);
    foreign.map(|job| {
        let object = format!("{} of {}", describe(job), display_ident(&job.owner));
        Obstacle::new("policy", object, "the role may not alter it")
    })
}

/// Keeps the table's policies from beginning while its rows are moved. One that is running goes on, and this does not
/// wait for it. What the user has scheduled for the table goes on: what it does is captured like all writes.
///
/// Kept in the ledger in the same transaction, `policies` tells [`resume`] which of them ran before.
pub fn pause(policies: &Policies, server: &Server) -> Vec<Statement> {
    paused(policies).map(|job| alter_job(job, server, "pause", "scheduled => false")).collect()
}

/// Lets those policies run again that [`pause`] has stopped, whichever table they belong to by now. A job that is gone
/// stays gone; what was altered meanwhile stays altered.
pub fn resume(policies: &Policies, server: &Server) -> Vec<Statement> {
    paused(policies).map(|job| alter_job(job, server, "resume", "scheduled => true")).collect()
}

/// Those of the jobs that a run has paused which none of these steps lets run again.
pub fn still_paused(policies: &Policies, steps: &[String]) -> Vec<Job> {
    let is_paused = |job: &&Job| !steps.contains(&format!("resume {}", describe(job)));
    paused(policies).filter(is_paused).cloned().collect()
}

/// The jobs that a run pauses.
pub fn paused(policies: &Policies) -> impl Iterator<Item = &Job> {
    policies.jobs.iter().filter(|job| job.scheduled && job.is_policy())
}

/// A hypertable, or a continuous aggregate with its materialization, as jobs know it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The hypertable's id, which is in configurations.
    pub id: i32,
    /// The name of the table or aggregate at the moment.
    pub name: &'a QualifiedName,
}

/// Gives jobs to another table, or back: `read_of` is the hypertable that had them when they were read. TimescaleDB checks
/// their configurations against the new one: it needs its columnstore, its indexes and its integer_now function by then.
pub fn hand_over(jobs: &[Job], read_of: i32, to: Subject<'_>, server: &Server) -> Vec<Statement> {
    let set_hypertable = server.internal_function("alter_job_set_hypertable_id");
    let hand_over = |job: &Job| {
        let belongs = Statement::new(
            format!("give {} to {}", describe(job), to.name),
            format!("select {set_hypertable}({}, {})", job.id, regclass(to.name)),
        );
        let knows = configured_ids(job, read_of, to.id)
            .map(|config| alter_job(job, server, "configure", &format!("config => {config}")));
        // The configuration first: whenever either changes, what is configured by then is checked.
        knows.into_iter().chain([belongs])
    };
    jobs.iter().flat_map(hand_over).collect()
}

/// The job's configuration as it is by then, with the new id where it held its table's when it was read; none where it did
/// not.
fn configured_ids(job: &Job, read_of: i32, to: i32) -> Option<String> {
    let config = job.config.as_ref()?;
    let keys = ["hypertable_id", "mat_hypertable_id"].into_iter().filter(|key| config[key] == read_of);
    keys.fold(None, |inner, key| {
        let inner = inner.unwrap_or_else(|| "job.config".to_string());
        Some(format!("pg_catalog.jsonb_set({inner}, '{{{key}}}', '{to}')"))
    })
}

fn alter_job(job: &Job, server: &Server, verb: &str, change: &str) -> Statement {
    let sql = include_str!("sql/alter_job.sql")
        .replace("{alter_job}", &server.user_function("alter_job"))
        .replace("{id}", &job.id.to_string())
        .replace("{change}", change);
    Statement::new(format!("{verb} {}", describe(job)), sql)
}

fn describe(job: &Job) -> String {
    format!("job {} ({})", job.id, job.procedure.name)
}

/// What chunks take from the table when they are made, so that it comes before them, in one transaction: tablespaces in
/// turn, and columns whose ranges are kept. It comes behind the table's own tablespace, which TimescaleDB attaches by itself, and does not let be
/// set any more once there are several.
pub fn on_empty_table(policies: &Policies, table: &QualifiedName, server: &Server) -> Vec<Statement> {
    let attach = policies.tablespaces.iter().map(|tablespace| {
        Statement::new(
            format!("attach tablespace {tablespace}"),
            format!(
                "select {}({}, {}, if_not_attached => true)",
                server.user_function("attach_tablespace"),
                quote_literal(tablespace),
                regclass(table)
            ),
        )
    });
    // The function is refused where the setting is off, which it is by default from 2.17 on.
    let allow = Statement::new(
        "allow chunk skipping",
        "select pg_catalog.set_config('timescaledb.enable_chunk_skipping', 'on', true)",
    );
    let allow = (!policies.skipping_columns.is_empty()).then_some(allow);
    let skip = policies.skipping_columns.iter().map(|column| {
        Statement::new(
            format!("enable chunk skipping for column {column}"),
            format!(
                "select {}({}, {})",
                server.user_function("enable_chunk_skipping"),
                regclass(table),
                quote_literal(column)
            ),
        )
    });
    attach.chain(allow).chain(skip).collect()
}

/// Switches a hypertable's columnstore on. Behind everything that is refused afterwards: storage of columns, row-level
/// security and the validation of constraints on all versions, until 2.17 new constraints of any kind. So a foreign key
/// that shall be valid in the end is made valid, before this or behind it, but never validated later. A trigger on delete
/// with a transition table excludes a columnstore, whichever comes first: capture needs a row trigger for deletes there.
pub fn enable_columnstore(settings: &Columnstore, table: &QualifiedName) -> Statement {
    Statement::new(
        format!("enable the columnstore of {table}"),
        format!("alter table {} set ({})", table.sql(), columnstore_options(settings).join(", ")),
    )
}

/// `timescaledb.compress, timescaledb.compress_segmentby = '"device"', …`; by their old names, which all versions know.
pub(super) fn columnstore_options(settings: &Columnstore) -> Vec<String> {
    let option = |name: &str, value: &str| format!("timescaledb.{name} = {}", quote_literal(value));
    let segment_by = settings.segment_by.as_ref().map(|columns| quote_columns(columns.iter().map(String::as_str)));
    let order_by = settings.order_by.as_ref().map(|columns| list(columns, order_term));
    let index = Some(list(&settings.sparse_indexes, |index| {
        format!("{}({})", index.kind, quote_columns(index.columns.iter().map(String::as_str)))
    }));
    let chunk_interval = settings.chunk_interval.map(seconds);
    let options = [
        segment_by.map(|columns| option("compress_segmentby", &columns)),
        order_by.map(|columns| option("compress_orderby", &columns)),
        index.filter(|list| !list.is_empty()).map(|list| option("compress_index", &list)),
        chunk_interval.map(|interval| option("compress_chunk_time_interval", &interval)),
    ];
    std::iter::once("timescaledb.compress".to_string()).chain(options.into_iter().flatten()).collect()
}

fn list<T>(items: &[T], term: impl Fn(&T) -> String) -> String {
    items.iter().map(term).collect::<Vec<_>>().join(", ")
}

fn order_term(column: &OrderBy) -> String {
    let direction = if column.descending { "desc" } else { "asc" };
    let nulls = if column.nulls_first { "first" } else { "last" };
    format!("{} {direction} nulls {nulls}", quote_ident(&column.column))
}

/// Microseconds as an interval. TimescaleDB takes one for integer dimensions, too, a microsecond for each unit; before
/// PostgreSQL 15 an interval holds no larger number than 2³¹ of any unit.
fn seconds(microseconds: i64) -> String {
    format!("{}.{:06} seconds", microseconds / 1_000_000, microseconds % 1_000_000)
}

/// The new chunks whose rows have all been in compressed ones: compressed again, they keep the new table as small as the
/// old one. Chunks are compared along the primary dimension alone, so that a chunk is left out rather than taken wrongly.
pub fn compressible<'a>(new: &'a [Chunk], old: &[ChunkShape]) -> Vec<&'a Chunk> {
    let overlap = |a: Slice, b: Slice| a.start < b.end && b.start < a.end;
    let come_from = |chunk: &Chunk| {
        let primary = chunk.primary();
        old.iter().filter(move |old| overlap(old.primary(), primary))
    };
    let is_compressible = |chunk: &&Chunk| {
        !chunk.compressed && come_from(chunk).next().is_some() && come_from(chunk).all(|old| old.compressed)
    };
    new.iter().filter(is_compressible).collect()
}

/// Compresses a chunk; one that is compressed already, or gone, is left as it is. Where the columnstore merges chunks, each is
/// merged into the one before it, so that they go one after the other.
///
/// What follows for the copy (seen on 2.19.3): rows of a range can be deleted and inserted again in compressed chunks, under
/// repeatable read, too, where `timescaledb.max_tuples_decompressed_per_dml_transaction` is 0 in the session; of two
/// transactions that do so in one chunk at once the later one ends with 40001, since both make it a partial one. And from
/// here on the table takes no check and no foreign key any more, not even an unvalidated one.
pub fn compress_chunk(chunk: &Chunk, server: &Server) -> Statement {
    let name = chunk.table();
    Statement::new(
        format!("compress {name}"),
        format!(
            "select {}(pg_catalog.to_regclass({}), if_not_compressed => true)",
            server.user_function("compress_chunk"),
            quote_literal(&name.sql())
        ),
    )
}

/// Makes an uncompressed chunk of a compressed one, so that a range of it can be copied again; any other is left as it is.
pub fn decompress_chunk(chunk: &Chunk, server: &Server) -> Statement {
    let name = chunk.table();
    Statement::new(
        format!("decompress {name}"),
        format!(
            "select {}(pg_catalog.to_regclass({}), if_compressed => true)",
            server.user_function("decompress_chunk"),
            quote_literal(&name.sql())
        ),
    )
}

fn regclass(name: &QualifiedName) -> String {
    format!("{}::pg_catalog.regclass", quote_literal(&name.sql()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(start: i64, end: i64, compressed: bool) -> Chunk {
        Chunk {
            id: 1,
            oid: None,
            schema: None,
            name: Some(format!("{start}..{end}")),
            local: Some(true),
            tiered: false,
            compressed,
            slices: Some(vec![Slice { start, end }]),
            bytes: None,
            index_bytes: None,
            estimated_rows: None,
            filenode: None,
        }
    }

    fn compressible_starts(new: &[Chunk], old: &[Chunk]) -> Vec<i64> {
        let old: Vec<ChunkShape> = old.iter().map(Chunk::shape).collect();
        compressible(new, &old).iter().map(|chunk| chunk.primary().start).collect()
    }

    #[test]
    fn finer_chunks_of_a_compressed_one_are_compressible() {
        let old = [chunk(0, 20, true), chunk(20, 40, false)];
        let new = [chunk(0, 10, false), chunk(10, 20, false), chunk(20, 30, false)];
        assert_eq!(compressible_starts(&new, &old), [0, 10]);
    }

    #[test]
    fn a_coarser_chunk_is_compressible_when_all_its_parts_were_compressed() {
        let old = [chunk(0, 10, true), chunk(10, 20, true), chunk(20, 30, true), chunk(30, 40, false)];
        let new = [chunk(0, 20, false), chunk(20, 40, false), chunk(40, 60, false)];
        assert_eq!(compressible_starts(&new, &old), [0]);
    }

    #[test]
    fn chunks_across_an_edge_need_both_sides_compressed() {
        let old = [chunk(i64::MIN, 7, true), chunk(7, i64::MAX, false)];
        let new = [chunk(i64::MIN, 0, false), chunk(0, 10, false)];
        assert_eq!(compressible_starts(&new, &old), [i64::MIN]);
        assert!(compressible_starts(&[chunk(0, 5, true)], &old).is_empty(), "it is compressed already");
    }

    #[test]
    fn settings_that_the_server_chooses_late_are_not_said() {
        let late = Columnstore { segment_by: None, order_by: None, sparse_indexes: Vec::new(), chunk_interval: None };
        assert_eq!(columnstore_options(&late), ["timescaledb.compress"]);
        let none = Columnstore { segment_by: Some(Vec::new()), ..late };
        assert_eq!(columnstore_options(&none), ["timescaledb.compress", "timescaledb.compress_segmentby = ''"]);
    }
}

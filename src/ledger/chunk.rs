//! What a rechunk has read of the old table's chunks.

use super::job::JobId;
use crate::catalog::{ChunkFile, Slice};
use crate::connect::{Session, Target};
use crate::error::Result;
use crate::plan::Range;

/// A chunk as it was when its rows in a range were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedChunk {
    /// The range that was read.
    pub range: Range,
    /// The chunk, and its file.
    pub chunk: ChunkFile,
}

/// Notes chunks whose rows in a range are read in this transaction.
pub async fn note_chunks(target: &Target, job: JobId, noted: &[NotedChunk]) -> Result<()> {
    let column = |of: &dyn Fn(&NotedChunk) -> i64| noted.iter().map(of).collect::<Vec<i64>>();
    let from: Vec<Option<i64>> = noted.iter().map(|noted| noted.range.from).collect();
    let until: Vec<Option<i64>> = noted.iter().map(|noted| noted.range.until).collect();
    let relations: Vec<u32> = noted.iter().map(|noted| noted.chunk.relation).collect();
    let files: Vec<u32> = noted.iter().map(|noted| noted.chunk.filenode).collect();
    let compressed: Vec<bool> = noted.iter().map(|noted| noted.chunk.compressed).collect();
    let starts = column(&|noted| noted.chunk.slice.start);
    let ends = column(&|noted| noted.chunk.slice.end);
    let sql = "insert into _hypercopy.chunk \
                   (job, relation, range_from, range_until, filenode, compressed, slice_start, slice_end) \
               select $1, noted.* from unnest($2::oid[], $3::int8[], $4::int8[], $5::oid[], $6::bool[], \
                   $7::int8[], $8::int8[]) noted";
    target.execute(sql, &[&job.0, &relations, &from, &until, &files, &compressed, &starts, &ends]).await.map(drop)
}

/// Forgets what was noted of a chunk with this file.
pub async fn forget_chunks(target: &Target, job: JobId, noted: &[NotedChunk]) -> Result<()> {
    let relations: Vec<u32> = noted.iter().map(|noted| noted.chunk.relation).collect();
    let files: Vec<u32> = noted.iter().map(|noted| noted.chunk.filenode).collect();
    let compressed: Vec<bool> = noted.iter().map(|noted| noted.chunk.compressed).collect();
    let sql = "delete from _hypercopy.chunk where job = $1 and (relation, filenode, compressed) in ( \
                   select * from unnest($2::oid[], $3::oid[], $4::bool[]))";
    target.execute(sql, &[&job.0, &relations, &files, &compressed]).await.map(drop)
}

/// All that was noted, along the axis.
pub async fn noted_chunks(session: &Session, job: JobId) -> Result<Vec<NotedChunk>> {
    noted(session, job, None).await
}

/// What was noted of these relations.
pub async fn noted_chunks_of(session: &Session, job: JobId, relations: &[u32]) -> Result<Vec<NotedChunk>> {
    noted(session, job, Some(relations)).await
}

async fn noted(session: &Session, job: JobId, relations: Option<&[u32]>) -> Result<Vec<NotedChunk>> {
    let sql = "select range_from, range_until, relation::int8, filenode::int8, compressed, slice_start, slice_end \
               from _hypercopy.chunk where job = $1 and ($2::oid[] is null or relation = any ($2)) \
               order by range_from nulls first, relation";
    let noted = |row: &tokio_postgres::Row| NotedChunk {
        range: Range { from: row.get(0), until: row.get(1) },
        chunk: ChunkFile {
            relation: row.get::<_, i64>(2) as u32,
            filenode: row.get::<_, i64>(3) as u32,
            compressed: row.get(4),
            slice: Slice { start: row.get(5), end: row.get(6) },
        },
    };
    Ok(session.rows(sql, &[&job.0, &relations]).await?.iter().map(noted).collect())
}

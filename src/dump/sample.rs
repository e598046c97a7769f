//! How large an archive will be, by some of its rows.

use super::planned::Planned;
use crate::catalog::Chunk;
use crate::connect::Reader;
use crate::error::Result;
use crate::plan::column_list;
use crate::reader::chunk::copy_out_of;
use crate::reader::snapshot::{Shares, Snapshot};

/// Rows of each chunk that is looked into, and how many are.
const ROWS: usize = 500;
const CHUNKS: usize = 3;
/// Bytes of each of them that are compressed.
const MOST_BYTES: usize = 2 << 20;

/// Bytes that the segments of so many rows will have; none where no row was found.
pub(super) async fn archive_bytes(planned: &Planned, snapshot: &Snapshot, rows: u64) -> Result<Option<u64>> {
    let (mut sampled_rows, mut sampled_bytes) = (0, 0);
    for chunk in chosen(&planned.chunks) {
        let sample = Snapshot::releasing_locks(reader(snapshot, chunk), sample(planned, snapshot, chunk)).await?;
        sampled_rows += sample.0;
        sampled_bytes += sample.1;
    }
    let bytes = u128::from(rows) * u128::from(sampled_bytes) / u128::from(sampled_rows.max(1));
    Ok((sampled_rows > 0).then_some(u64::try_from(bytes).unwrap_or(u64::MAX)))
}

/// The first, the last and one in the middle of those that hold something.
fn chosen(chunks: &[Chunk]) -> Vec<&Chunk> {
    let full: Vec<&Chunk> = chunks.iter().filter(|chunk| chunk.bytes.unwrap_or(0) > 0).collect();
    let step = full.len().div_ceil(CHUNKS).max(1);
    full.into_iter().step_by(step).collect()
}

/// A session that has locked the chunk.
fn reader<'a>(snapshot: &'a Snapshot, chunk: &Chunk) -> &'a Reader {
    match &snapshot.shares {
        Shares::All => &snapshot.leader,
        Shares::Ranges(ranges) => {
            let share = ranges.iter().position(|range| range.overlaps(chunk.primary()));
            share.and_then(|share| snapshot.workers.get(share)).unwrap_or(&snapshot.leader)
        }
    }
}

/// How many rows were looked at, and the bytes that they would take.
async fn sample(planned: &Planned, snapshot: &Snapshot, chunk: &Chunk) -> Result<(u64, u64)> {
    let query = format!("select {} from {} limit {ROWS}", column_list(&planned.source), chunk.table().sql());
    let statement = copy_out_of(&query, planned.wire.format.name());
    let mut stream = reader(snapshot, chunk).copy_out(&statement).await?;
    let (mut looked_at, mut bytes) = (Vec::new(), 0);
    while stream.fill().await? {
        while let Some(piece) = stream.piece()? {
            bytes += piece.len() as u64;
            looked_at.extend_from_slice(&piece[..piece.len().min(MOST_BYTES - looked_at.len())]);
        }
    }
    let rows = stream.finish()?;
    // Of CSV the same rows in text: it is about as long.
    let compressed = planned.header.compression.compressed_bytes(&looked_at)?;
    Ok((rows, compressed * bytes / (looked_at.len() as u64).max(1)))
}

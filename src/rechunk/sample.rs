//! How long a rechunk will take about, by doing a little of it.

use std::time::{Duration, Instant};

use super::ground::Ground;
use crate::catalog::Chunk;
use crate::error::Result;
use crate::plan::column_list;

/// Rows of a sample.
const ROWS: u64 = 50_000;

/// A little of the work, done for trial.
pub(super) struct Sample {
    /// Rows that were copied.
    pub(super) rows: u64,
    /// What copying them and building the indexes over them took, in one session.
    took: Duration,
}

impl Sample {
    /// Copies rows of the largest chunk into a temporary table, with the table's indexes, and rolls that back. None where
    /// there are no rows.
    pub(super) async fn take(ground: &Ground, chunks: &[Chunk]) -> Result<Option<Sample>> {
        let Some(chunk) = chunks.iter().max_by_key(|chunk| chunk.bytes) else { return Ok(None) };
        let target = &ground.target;
        let columns = column_list(&ground.hypertable);
        let bodies =
            ground.hypertable.indexes.iter().filter(|index| index.valid).filter_map(|index| index.body.as_ref());
        let start = Instant::now();
        target.batch("begin").await?;
        let sampled = async {
            let create = format!(
                "create temporary table hypercopy_sample on commit drop as select {columns} from {} limit {ROWS}",
                chunk.table().sql()
            );
            let rows = target.execute(&create, &[]).await?;
            for body in bodies {
                target.batch(&format!("create index on pg_temp.hypercopy_sample {body}")).await?;
            }
            Ok(rows)
        }
        .await;
        target.batch("rollback").await?;
        // A sample that cannot be had is no reason to refuse.
        let rows = sampled.or_else(|error: crate::error::Error| if error.is_closed() { Err(error) } else { Ok(0) })?;
        Ok((rows > 0).then(|| Sample { rows, took: start.elapsed() }))
    }

    /// What so many rows take with so many workers.
    pub(super) fn seconds(&self, rows: u64, jobs: usize) -> f64 {
        self.took.as_secs_f64() * rows as f64 / self.rows as f64 / jobs as f64
    }
}

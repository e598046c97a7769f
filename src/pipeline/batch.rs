//! Rows are put together into batches: whole rows, of one target chunk where a router says which.
//!
//! **Invariant:** pure; every row that goes in comes out in exactly one batch, in the order of its chunk's rows.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Whole rows on their way.
#[derive(Debug)]
pub struct Batch {
    /// The rows as COPY data, without header and trailer.
    pub bytes: Bytes,
    /// How many they are.
    pub rows: u64,
}

/// A batch of rows of one chunk is sent from here on. The server flushes its buffers every 1000 rows, so that a batch
/// should hold more of them.
const BATCH_BYTES: usize = 256 << 10;
/// A batch that needs no routing; smaller, because nothing is gained by more and it stays in the cache.
const UNROUTED_BATCH_BYTES: usize = 64 << 10;

/// Collects rows for the chunks of one task.
#[derive(Debug)]
pub struct Batcher {
    buffers: Vec<Buffer>,
    full: VecDeque<Batch>,
    batch_bytes: usize,
    /// Bytes in all buffers, and how many there may be.
    held: usize,
    limit: usize,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: BytesMut,
    rows: u64,
}

impl Batcher {
    /// For so many chunks, and one buffer more for rows of none of them. All buffers together hold at most
    /// `limit_bytes` and one row.
    pub fn new(chunks: usize, limit_bytes: usize) -> Self {
        let batch_bytes = if chunks > 1 { BATCH_BYTES } else { UNROUTED_BATCH_BYTES };
        let buffers = std::iter::repeat_with(Buffer::default).take(chunks + 1).collect();
        Batcher { buffers, full: VecDeque::new(), batch_bytes, held: 0, limit: limit_bytes }
    }

    /// Adds a row of this chunk.
    pub fn push(&mut self, chunk: usize, row: &[u8]) {
        let buffer = &mut self.buffers[chunk];
        if row.len() >= self.batch_bytes && buffer.rows == 0 {
            // A batch of its own: a buffer would grow to twice its size.
            return self.full.push_back(Batch { bytes: Bytes::copy_from_slice(row), rows: 1 });
        }
        if buffer.bytes.capacity() == 0 {
            buffer.bytes.reserve(self.batch_bytes + row.len());
        }
        buffer.bytes.extend_from_slice(row);
        buffer.rows += 1;
        self.held += row.len();
        if buffer.bytes.len() >= self.batch_bytes {
            self.send(chunk);
        } else if self.held > self.limit {
            let largest = (0..self.buffers.len()).max_by_key(|chunk| self.buffers[*chunk].bytes.len());
            self.send(largest.unwrap_or(chunk));
        }
    }

    /// A batch that is ready to go.
    pub fn pop(&mut self) -> Option<Batch> {
        self.full.pop_front()
    }

    /// Makes all that is left ready to go.
    pub fn flush(&mut self) {
        for chunk in 0..self.buffers.len() {
            self.send(chunk);
        }
    }

    fn send(&mut self, chunk: usize) {
        let buffer = &mut self.buffers[chunk];
        if buffer.rows > 0 {
            self.held -= buffer.bytes.len();
            let bytes = std::mem::take(&mut buffer.bytes).freeze();
            self.full.push_back(Batch { bytes, rows: std::mem::take(&mut buffer.rows) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(batcher: &mut Batcher) -> Vec<Batch> {
        std::iter::from_fn(|| batcher.pop()).collect()
    }

    proptest::proptest! {
        #[test]
        fn every_row_comes_out_once_and_in_its_chunks_order(
            rows in proptest::collection::vec((0usize..4, 1usize..3000), 0..400),
            limit in 1usize..20_000,
        ) {
            let mut batcher = Batcher::new(3, limit);
            let mut expected = vec![Vec::new(); 4];
            let mut out = vec![Vec::new(); 4];
            let mut count = 0;
            let mut collect = |batches: Vec<Batch>| for batch in batches {
                count += batch.rows;
                out[usize::from(batch.bytes[0])].extend_from_slice(&batch.bytes);
            };
            for (chunk, length) in &rows {
                let row = vec![*chunk as u8; *length];
                expected[*chunk].extend_from_slice(&row);
                batcher.push(*chunk, &row);
                collect(drain(&mut batcher));
                assert!(batcher.held <= limit);
            }
            batcher.flush();
            collect(drain(&mut batcher));
            assert_eq!(out, expected);
            assert_eq!(count, rows.len() as u64);
        }
    }
}

//! The channel between a reader and its writer, bounded by bytes: a batch holds at least one row, and a row may be large.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::batch::Batch;
use crate::error::{Error, Result};
use crate::ledger::Counted;

/// Bytes of batches on their way; a single larger batch travels alone.
pub const CHANNEL_BYTES: usize = 1 << 20;
/// Batches on their way, however small they are.
const CHANNEL_BATCHES: usize = 64;

/// What arrives. The end is said: a channel that closes is no end.
pub enum Arrival {
    /// Rows, and the room that they take until this is dropped.
    Batch(Batch, OwnedSemaphorePermit),
    /// All of them were sent.
    End(Counted),
}

/// The reader's side.
pub struct Sender {
    arrivals: mpsc::Sender<Arrival>,
    room: Arc<Semaphore>,
}

/// The writer's side.
pub struct Receiver {
    arrivals: mpsc::Receiver<Arrival>,
}

/// A channel for one task.
pub fn bounded() -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::channel(CHANNEL_BATCHES);
    let room = Arc::new(Semaphore::new(CHANNEL_BYTES));
    (Sender { arrivals: sender, room }, Receiver { arrivals: receiver })
}

impl Sender {
    /// Sends rows, as soon as there is room for them.
    pub async fn send(&self, batch: Batch) -> Result<()> {
        let bytes = batch.bytes.len().clamp(1, CHANNEL_BYTES) as u32;
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await.map_err(|_| closed())?;
        self.arrivals.send(Arrival::Batch(batch, room)).await.map_err(|_| closed())
    }

    /// Says that all rows were sent, and what they were.
    pub async fn end(self, read: Counted) -> Result<()> {
        self.arrivals.send(Arrival::End(read)).await.map_err(|_| closed())
    }
}

impl Receiver {
    /// What comes next; an error where the reader has left without a word, whose own error is the one to show.
    pub async fn next(&mut self) -> Result<Arrival> {
        self.arrivals.recv().await.ok_or_else(|| Error::internal("a reader has left its writer"))
    }
}

fn closed() -> Error {
    Error::internal("a writer has left its reader")
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use bytes::Bytes;

    use super::*;

    fn batch(bytes: usize) -> Batch {
        Batch { bytes: Bytes::from(vec![0; bytes]), rows: 1 }
    }

    #[tokio::test]
    async fn a_batch_waits_until_those_before_it_have_left_room() {
        let (sender, mut receiver) = bounded();
        sender.send(batch(3 * CHANNEL_BYTES)).await.unwrap();
        let mut second = Box::pin(sender.send(batch(1)));
        let is_blocked = std::future::poll_fn(|context| Poll::Ready(second.as_mut().poll(context).is_pending())).await;
        assert!(is_blocked);
        drop(receiver.next().await.unwrap());
        second.await.unwrap();
    }

    #[tokio::test]
    async fn a_reader_that_leaves_is_no_end() {
        let (sender, mut receiver) = bounded();
        sender.send(batch(1)).await.unwrap();
        drop(sender);
        assert!(matches!(receiver.next().await, Ok(Arrival::Batch(..))));
        assert!(receiver.next().await.is_err());
    }
}

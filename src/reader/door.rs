//! What a worker reads by.

use std::sync::Arc;

use super::chunk::ChunkReader;
use super::snapshot::Rejoin;
use crate::connect::Reader;
use crate::error::Result;

/// What a worker reads the rows of its tasks by.
pub enum Door {
    /// A session on the source.
    Session {
        /// It sees the snapshot.
        session: Reader,
        /// What it reads a task by.
        chunks: Arc<ChunkReader>,
    },
}

impl Door {
    /// The session, where there is one.
    pub fn session(&self) -> Option<&Reader> {
        let Door::Session { session, .. } = self;
        Some(session)
    }
}

/// Opens doors anew.
#[derive(Clone)]
pub enum Doors {
    /// To the rows of a snapshot.
    Snapshot {
        /// Opens sessions that see it, as long as it is there.
        rejoin: Box<Rejoin>,
        /// What they read a task by.
        chunks: Arc<ChunkReader>,
    },
}

impl Doors {
    /// A door in the place of that of worker `number`, counted from 0. `None` where what is behind it is gone.
    pub async fn open(&self, number: usize) -> Result<Option<Door>> {
        let Doors::Snapshot { rejoin, chunks } = self;
        let door = |session| Door::Session { session, chunks: Arc::clone(chunks) };
        Ok(rejoin.worker(number).await?.map(door))
    }
}

//! What a worker reads by.

use std::sync::Arc;

use super::archive::Segments;
use super::chunk::ChunkReader;
use super::snapshot::{Rejoin, Snapshot};
use crate::catalog::Hypertable;
use crate::connect::Reader;
use crate::error::{Error, Kind, Result};
use crate::pgcopy::Format;
use crate::plan::{OpenDimension, Task, column_list};

/// What a worker reads the rows of its tasks by.
pub enum Door {
    /// A session on the source.
    Session {
        /// It sees the snapshot.
        session: Box<Reader>,
        /// What it reads a task by.
        chunks: Arc<ChunkReader>,
    },
    /// An archive; a task's reads point into its segments.
    Archive(Arc<Segments>),
}

impl Door {
    /// The session, where there is one.
    pub fn session(&self) -> Option<&Reader> {
        match self {
            Door::Session { session, .. } => Some(session),
            Door::Archive(_) => None,
        }
    }

    /// The error of a task whose rows came through this door and were not taken: theirs, where they are not what they
    /// should be, or do not fit the table. An archive is read once more for that.
    pub fn blame(&self, task: &Task, error: Error) -> Error {
        match self {
            Door::Archive(segments) if error.is_about_rows() && !error.is_retryable() => {
                segments.blame(&task.reads).unwrap_or_else(|| {
                    error
                        .with_kind(Kind::Input)
                        .hint("The archive is whole: its rows do not fit the table on the target.")
                })
            }
            _ => error,
        }
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
    /// To those of an archive.
    Archive(Arc<Segments>),
}

impl Doors {
    /// A door for each of a snapshot's workers, which are taken from it, to the rows of this table and layout.
    pub fn of_snapshot(
        snapshot: &mut Snapshot,
        table: &Hypertable,
        primary: &OpenDimension,
        format: Format,
    ) -> (Vec<Door>, Doors) {
        let chunks = Arc::new(ChunkReader {
            chunks: snapshot.chunks.clone(),
            columns: column_list(table),
            primary: primary.clone(),
            format,
        });
        let door = |session| Door::Session { session: Box::new(session), chunks: Arc::clone(&chunks) };
        let doors = std::mem::take(&mut snapshot.workers).into_iter().map(door).collect();
        (doors, Doors::Snapshot { rejoin: Box::new(snapshot.rejoin.clone()), chunks })
    }

    /// A door in the place of that of worker `number`, counted from 0. `None` where what is behind it is gone.
    pub async fn open(&self, number: usize) -> Result<Option<Door>> {
        match self {
            Doors::Snapshot { rejoin, chunks } => {
                let door = |session| Door::Session { session: Box::new(session), chunks: Arc::clone(chunks) };
                Ok(rejoin.worker(number).await?.map(door))
            }
            Doors::Archive(segments) => Ok(Some(Door::Archive(Arc::clone(segments)))),
        }
    }
}

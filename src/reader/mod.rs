//! Doors in: where rows come from.
//!
//! [`snapshot`] opens the sessions of one side and makes them see the same moment; [`survey`] asks where rows are, and
//! [`cells`] makes tasks of the answers; [`chunk`] writes the statement that reads a task's rows; [`rows`] tells them apart in its stream;
//! [`archive`] reads the segments of an archive. A [`door`] is what one worker reads by.
//!
//! **Invariant:** reads one side, and knows nothing of the other and of writing.

pub mod archive;
pub(crate) mod cells;
pub mod chunk;
pub mod csv;
pub mod door;
pub mod rows;
pub mod snapshot;
pub mod survey;

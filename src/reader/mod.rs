//! Doors in: where rows come from.
//!
//! [`snapshot`] opens the source's sessions and makes them see the same moment; [`survey`] asks where rows are;
//! [`chunk`] writes the statement that reads a task's rows; [`rows`] tells them apart in its stream.
//!
//! **Invariant:** reads the source and knows nothing of the target.

pub mod chunk;
pub mod rows;
pub mod snapshot;
pub mod survey;

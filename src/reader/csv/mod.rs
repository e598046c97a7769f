//! CSV files as a door in: a file is cut into blocks at record ends, a block's records become the rows of a COPY, and
//! those are put into the order of the target's chunks.
//!
//! [`cut`] reads, in one thread; [`rows`] parses and encodes, in several; [`places`] knows the chunks, and
//! [`room`] has the memory.
//!
//! **Invariant:** a record is one row, one reject, or what an error names: never lost, and never two of them. Nothing
//! here speaks to a server.

pub mod block;
pub mod cut;
pub mod places;
pub mod preamble;
pub mod room;
pub mod rows;

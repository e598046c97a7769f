//! Doors out: where rows go to.
//!
//! **Invariant:** a writer stores what it is given, in the caller's order, and says how many rows the server counted;
//! it looks into no row.

pub mod archive;
pub mod block;
pub mod budget;
pub mod exit;
pub mod hypertable;
pub mod landing;
mod place;

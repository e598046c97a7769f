//! A throwaway TimescaleDB cluster for the demo and the tests.
//!
//! An [`Installation`] is a place with PostgreSQL programs and TimescaleDB: one that is installed, or Debian packages
//! unpacked into a cache directory without root and without installing anything. A [`Cluster`] is one server on a fresh
//! data directory, which ends when its owner ends, however that happens. Everything blocks, so that `Drop` works
//! without a runtime.
//!
//! It may touch the cache directory, a directory of its own below `$TMPDIR`, and the processes it started itself.
//!
//! **Invariant:** nothing in here knows about hypertables, copies or connections of hypercopy; a cluster is a conninfo
//! and the means to kill it.

mod account;
mod installation;
mod mirror;
mod packages;
mod server;
mod watchdog;

pub use installation::Installation;
pub use packages::Release;
pub use server::{Cluster, Settings};

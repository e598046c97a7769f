//! hypercopy moves TimescaleDB hypertables: between clusters, into new chunk layouts.
#![forbid(unsafe_code)]

pub mod archive;
pub mod archives;
pub mod catalog;
pub mod check;
pub mod cluster;
pub mod connect;
pub mod csv;
pub mod dump;
pub mod error;
pub mod failpoint;
pub mod ident;
pub mod import;
pub mod input;
pub mod inspect;
pub mod interrupt;
pub mod jobs;
pub mod ledger;
pub mod look;
pub mod migrate;
mod persistence;
pub mod pgcopy;
pub mod pipeline;
pub mod plan;
pub mod progress;
pub mod reader;
pub mod rechunk;
pub mod report;
pub mod retry;
pub mod schema;
pub mod supervision;
mod takeover;
pub mod throttle;
pub mod verify;
pub mod vigil;
pub mod writer;

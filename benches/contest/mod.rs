//! What the benches of whole commands share: servers, the table, what a run costs, and how it is told.
//!
//! Tools work in turn, several times, and rows and checksum stand beside the times, so that a fast wrong answer cannot
//! win.
#![allow(dead_code, unused_imports, reason = "every program is compiled with all of it and uses its part")]

mod cost;
mod run;
mod server;
mod shape;

pub use cost::{await_end, children_cpu};
pub use run::{Run, Tool, print_table, write_json};
pub use server::Server;
pub use shape::{CPU, Shape};

use hypercopy::cluster::{Installation, Release};

/// The packages that every server runs on; prints them.
pub fn installation() -> Installation {
    let installation = Installation::debian(Release::Trixie).expect("packages").expect("trixie has TimescaleDB");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{}; servers and client on one machine of {cores} cores", installation.description());
    installation
}

/// The value behind an option of the command line.
pub fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

/// The same for numbers.
pub fn number(name: &str, default: usize) -> usize {
    argument(name).map_or(default, |value| value.parse().expect("a number"))
}

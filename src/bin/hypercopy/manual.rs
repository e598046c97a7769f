//! What shells and man(1) know of the command line: made of what `--help` prints.

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;
use hypercopy::error::{Context, Kind, Result};

use crate::args::{Arguments, CompletionsArguments, ManArguments};

/// Prints a shell's completions.
pub fn completions(arguments: &CompletionsArguments) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "hypercopy", &mut script);
    std::io::stdout().write_all(&script).doing(Kind::Internal, || "cannot print the completions")
}

/// Writes a page for each command.
pub fn man(arguments: &ManArguments) -> Result<()> {
    let directory: &Path = &arguments.directory;
    clap_mangen::generate_to(Arguments::command(), directory)
        .doing(Kind::Usage, || format!("cannot write man pages into {}", directory.display()))
}

//! The arguments of `completions` and `man`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// Whose: source what is printed, or put it where the shell looks for completions
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub struct ManArguments {
    /// A directory that is there, such as /usr/local/share/man/man1
    pub directory: PathBuf,
}

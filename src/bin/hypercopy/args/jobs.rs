//! The flags of `jobs`.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct JobsArguments {
    /// Whose ledger
    #[arg(
        long,
        value_name = "CONNINFO",
        env = "HYPERCOPY_TARGET",
        hide_env_values = true,
        default_value = "",
        global = true
    )]
    pub target: String,
    /// Print one JSON document
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Option<JobsCommand>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub enum JobsCommand {
    /// All jobs (what is done without a command)
    List,
    /// One job, with its tasks
    Show {
        /// Its number
        id: i64,
    },
    /// Forget a job that is finished, or whose table was dropped
    Clean {
        /// Its number
        id: i64,
    },
}

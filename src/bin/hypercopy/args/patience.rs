//! How long a command holds on: the flags that every one has that does a job.

use std::time::Duration;

use clap::Args;

use super::duration;

#[derive(Debug, Args)]
pub struct PatienceArguments {
    /// Try again this long what may pass: lost connections, restarts, deadlocks, locks that are not had (500ms, 30s, 5min, 1h)
    #[arg(long, value_name = "TIME", help_heading = "Job", default_value = "5min", value_parser = duration)]
    pub retry_for: Duration,
    /// After a signal, let what is under way end for this long; a second signal stops at once
    #[arg(long, value_name = "TIME", help_heading = "Job", default_value = "10s", value_parser = duration)]
    pub grace: Duration,
}

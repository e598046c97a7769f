//! The command line of hypercopy.

mod archive;
mod args;
mod demo;
mod dump;
mod import;
mod inspect;
mod jobs;
mod manual;
mod migrate;
mod output;
mod rechunk;
mod restore;
mod signals;
mod verify;
mod watch;
mod work;

use std::process::ExitCode;

use clap::Parser;
use hypercopy::error::Error;

use self::args::{Arguments, Command};

/// A worker keeps a thread busy for about a quarter of its time; more threads only wake each other.
const WORKERS_PER_THREAD: usize = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(args::join_values(std::env::args_os()));
    let threads = arguments.command.jobs().div_ceil(WORKERS_PER_THREAD);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(run(arguments));
            // A session whose server hangs must not keep the process: what has to be waited for was waited for.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(Error::internal("cannot start the runtime").caused_by(error)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Error> {
    match arguments.command {
        Command::Archive(archive) => archive::run(archive).await,
        Command::Completions(completions) => manual::completions(&completions),
        Command::Demo(demo) => demo::run(demo).await,
        Command::Dump(dump) => dump::run(dump).await,
        Command::Import(import) => import::run(import).await,
        Command::Inspect(inspect) => inspect::run(inspect).await,
        Command::Jobs(jobs) => jobs::run(jobs).await,
        Command::Man(man) => manual::man(&man),
        Command::Migrate(migrate) => migrate::run(migrate).await,
        Command::Rechunk(rechunk) => rechunk::run(rechunk).await,
        Command::Restore(restore) => restore::run(restore).await,
        Command::Verify(verify) => verify::run(verify).await,
    }
}

//! The command line of hypercopy.

mod args;
mod demo;
mod inspect;
mod migrate;
mod output;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use hypercopy::error::Error;

use self::args::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
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
        Command::Demo(demo) => demo::run(demo).await,
        Command::Inspect(inspect) => inspect::run(inspect).await,
        Command::Migrate(migrate) => migrate::run(migrate).await,
    }
}

//! SIGINT and SIGTERM.

use hypercopy::error::{Error, Result};
use hypercopy::interrupt::Interrupt;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears the signals that ask a program to end.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on they do not end the program by themselves.
    pub fn listen() -> Result<Signals> {
        let listen = |kind| signal(kind).map_err(|error| Error::internal("cannot listen to signals").caused_by(error));
        Ok(Signals { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for the next one, and answers its number.
    pub async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 2,
            _ = self.terminate.recv() => 15,
        }
    }
}

/// Waits for a signal that stops at once, and answers it as an error.
pub async fn stopped(interrupt: &Interrupt) -> Error {
    match Signals::listen() {
        Ok(mut signals) => interrupt.request(signals.next().await),
        Err(error) => return error,
    }
    interrupt.requested().await
}

//! SIGINT and SIGTERM: how a run ends that does not end by itself.

use hypercopy::connect::Cancellers;
use hypercopy::error::{Error, Kind, Result};
use tokio::signal::unix::{SignalKind, signal};

/// Waits for the work, or for SIGINT or SIGTERM, which end it. Whatever the servers still run for work that has failed
/// is cancelled.
pub async fn until_signal<T>(work: impl Future<Output = Result<T>>, cancellers: &Cancellers) -> Result<T> {
    let ended = tokio::select! {
        ended = work => ended,
        signal = interrupted() => Err(signal),
    };
    if ended.is_err() {
        cancellers.cancel_all().await;
    }
    ended
}

async fn interrupted() -> Error {
    let (mut interrupt, mut terminate) = match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
        (Err(error), _) | (_, Err(error)) => return Error::internal("cannot listen to signals").caused_by(error),
    };
    let (name, number) = tokio::select! {
        _ = interrupt.recv() => ("SIGINT", 2),
        _ = terminate.recv() => ("SIGTERM", 15),
    };
    Error::new(Kind::Signal(number), format!("interrupted by {name}"))
}

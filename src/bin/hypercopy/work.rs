//! Work with progress, until it ends or a signal ends it.

use std::sync::Arc;
use std::time::Duration;

use hypercopy::connect::{Conninfo, Side};
use hypercopy::error::{Error, Result};
use hypercopy::interrupt::Interrupt;
use hypercopy::supervision::Supervision;

use crate::args::OutputArguments;
use crate::output;
use crate::signals::Signals;
use crate::watch::{self, Watcher};

/// Whom the work has sessions with, and how it ends.
pub struct Terms<'a> {
    /// The servers.
    pub ends: &'a [(Side, &'a Conninfo)],
    /// What completes the name of the sessions that end what a signal leaves behind.
    pub role: &'a str,
    /// After a signal, the time that open transactions get.
    pub grace: Duration,
}

/// Does `work`, with progress as asked for. A signal ends it; what its sessions do then is ended too.
pub async fn supervised(
    terms: &Terms<'_>,
    options: &OutputArguments,
    work: impl AsyncFnOnce(&Supervision, &Watcher) -> Result<()>,
) -> Result<()> {
    let supervision = Supervision::default();
    let watcher = watch::start(Arc::clone(&supervision.progress), options);
    let ended = tokio::select! {
        biased;
        ended = work(&supervision, &watcher) => ended,
        stopped = stopped(&supervision.interrupt, terms.grace, &watcher) => {
            supervision.end_all(terms.ends, terms.role).await;
            Err(stopped)
        }
    };
    watcher.stop();
    ended
}

/// Hears signals: the first one asks for a stop, and is answered here when nothing is left that is worth waiting for, or
/// after `grace`; the second one is answered at once.
async fn stopped(interrupt: &Interrupt, grace: Duration, watcher: &Watcher) -> Error {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return error,
    };
    interrupt.request(signals.next().await);
    if interrupt.is_open() {
        watcher.print(&format!(
            "stopping: open transactions get {} to end, a second signal stops at once",
            output::duration(grace)
        ));
        tokio::select! {
            () = tokio::time::sleep(grace) => {}
            _ = signals.next() => {}
        }
    }
    interrupt.requested().await
}

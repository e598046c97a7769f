//! The wish to stop: noticed where stopping costs nothing, between two tasks or two statements.
//!
//! **Invariant:** knows no signals of the operating system; whoever hears one calls [`Interrupt::request`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use crate::error::{Error, Kind, Result};

/// Shared by everybody who can stop. Clones are the same.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    signal: watch::Sender<Option<u8>>,
    /// Transactions that are worth to be waited for.
    open: AtomicUsize,
}

impl Default for Interrupt {
    fn default() -> Self {
        Interrupt(Arc::new(Inner { signal: watch::Sender::new(None), open: AtomicUsize::new(0) }))
    }
}

/// Work that should be finished before a stop; it is over when this is dropped.
pub struct Open(Interrupt);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Interrupt {
    /// Asks everybody to stop; `signal` is the number of the signal that says so.
    pub fn request(&self, signal: u8) {
        self.0.signal.send_replace(Some(signal));
    }

    /// An error once a stop was asked for.
    pub fn check(&self) -> Result<()> {
        self.0.signal.borrow().map_or(Ok(()), |signal| Err(error(signal)))
    }

    /// Waits for the request to stop, and answers it as an error.
    pub async fn requested(&self) -> Error {
        let mut receiver = self.0.signal.subscribe();
        // The sender lives as long as this does.
        let signal = receiver.wait_for(Option::is_some).await.map_or(0, |signal| signal.unwrap_or_default());
        error(signal)
    }

    /// Begins work that a stop should wait for, unless one was asked for already.
    pub fn open(&self) -> Result<Open> {
        self.check()?;
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Ok(Open(self.clone()))
    }

    /// Whether there is work that a stop should wait for.
    pub fn is_open(&self) -> bool {
        self.0.open.load(Ordering::Relaxed) > 0
    }
}

fn error(signal: u8) -> Error {
    let name = match signal {
        2 => "SIGINT",
        15 => "SIGTERM",
        _ => "a signal",
    };
    Error::new(Kind::Signal(signal), format!("interrupted by {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_begun_after_a_request() {
        let interrupt = Interrupt::default();
        let open = interrupt.open().unwrap();
        assert!(interrupt.is_open());
        interrupt.request(15);
        assert_eq!(interrupt.open().err().unwrap().kind(), Kind::Signal(15));
        drop(open);
        assert!(!interrupt.is_open());
    }
}

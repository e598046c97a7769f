//! Cancelling what sessions run, from outside of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use tokio_postgres::CancelToken;

use super::{Session, tls};

/// Cancels the statement that a session is running, from outside that session.
#[derive(Clone)]
pub struct Canceller {
    token: CancelToken,
}

impl Canceller {
    pub(super) fn new(token: CancelToken) -> Self {
        Canceller { token }
    }

    /// Asks the server to cancel. A request that does not arrive within two seconds is given up: the session's
    /// connection is dropped next, and the server notices that too.
    pub async fn cancel(&self) {
        if let Ok(connector) = tls::connector() {
            let _ = tokio::time::timeout(Duration::from_secs(2), self.token.cancel_query(connector)).await;
        }
    }
}

/// Handles on every session of a run.
#[derive(Clone, Default)]
pub struct Cancellers(Arc<Mutex<Vec<Canceller>>>);

impl Cancellers {
    /// Adds a session. What it runs when [`Cancellers::cancel_all`] is called will be cancelled.
    pub fn watch(&self, session: &Session) {
        self.0.lock().expect("no holder of the list panics").push(session.canceller());
    }

    /// Cancels whatever the sessions run, so that no server works on for nobody.
    pub async fn cancel_all(&self) {
        let cancellers = std::mem::take(&mut *self.0.lock().expect("no holder of the list panics"));
        join_all(cancellers.iter().map(Canceller::cancel)).await;
    }
}

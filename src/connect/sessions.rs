//! Several sessions of the target that take turns at whatever there is to do.

use std::sync::Mutex;

use tokio::sync::Semaphore;

use super::Target;
use crate::error::{Error, Result};

/// Idle sessions. Work waits for one in the order in which it was asked for.
pub struct Sessions {
    count: usize,
    idle: Mutex<Vec<Target>>,
    free: Semaphore,
}

impl Sessions {
    /// These sessions, all of them idle.
    pub fn new(sessions: Vec<Target>) -> Self {
        Sessions { count: sessions.len(), free: Semaphore::new(sessions.len()), idle: Mutex::new(sessions) }
    }

    /// How many there are, busy ones included.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Does `work` in one of the sessions, as soon as one is free. Dropping the future in the middle of the work costs
    /// the session: nobody knows what it was doing.
    pub async fn with<T>(&self, work: impl AsyncFnOnce(&Target) -> Result<T>) -> Result<T> {
        let turn = self.free.acquire().await.map_err(|_| none_left())?;
        let session = self.idle.lock().expect("no holder of the list panics").pop();
        let Some(session) = session else {
            turn.forget();
            return Err(none_left());
        };
        let done = work(&session).await;
        self.idle.lock().expect("no holder of the list panics").push(session);
        done
    }
}

fn none_left() -> Error {
    Error::internal("no session to the target is left")
}

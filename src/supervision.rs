//! What whoever starts a run keeps in hand while it works: counters, the wish to stop, and every session that it has.
//!
//! **Invariant:** knows sessions, and not what is done in them.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::join_all;

use crate::connect::{Backend, Canceller, Conninfo, Reader, Session, Side};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::ledger;
use crate::progress::Progress;

/// How long a run that ends takes to look after its backends.
const END_TIME: Duration = Duration::from_secs(5);

/// What whoever starts a run keeps in hand while it works. Clones are the same.
#[derive(Clone, Default)]
pub struct Supervision {
    /// Counters and notices.
    pub progress: Arc<Progress>,
    /// The wish to stop.
    pub interrupt: Interrupt,
    sessions: Arc<Mutex<Vec<(Canceller, Backend)>>>,
}

impl Supervision {
    /// Adds a session of the run.
    pub(crate) fn watch(&self, session: &Session) {
        let watched = (session.canceller(), session.backend().clone());
        self.sessions().push(watched);
    }

    /// The process ids of the run's sessions on one side.
    pub(crate) fn pids(&self, side: Side) -> Vec<i32> {
        let sessions = self.sessions();
        sessions.iter().map(|(_, backend)| backend).filter(|backend| backend.side == side).map(|b| b.pid).collect()
    }

    /// Cancels whatever the sessions of the run execute, so that no server works on for nobody.
    pub async fn cancel_all(&self) {
        let cancellers: Vec<Canceller> = self.sessions().iter().map(|(canceller, _)| canceller.clone()).collect();
        join_all(cancellers.iter().map(Canceller::cancel)).await;
    }

    /// Ends the backends of the run on its servers, as far as they answer within a few seconds: one that waits in the
    /// middle of a COPY heeds no cancel, and one whose network is gone would live on for minutes. `role` completes the
    /// name of the sessions that do so.
    pub async fn end_all(&self, ends: &[(Side, &Conninfo)], role: &str) {
        self.cancel_all().await;
        let end = async |(side, conninfo): &(Side, &Conninfo)| {
            let session = Reader::open(*side, conninfo, role).await?;
            self.end_earlier(&session).await
        };
        // Those that could not be ended are left to the servers, and to the next run.
        let _ = tokio::time::timeout(END_TIME, join_all(ends.iter().map(end))).await;
    }

    /// Ends the sessions that an earlier attempt has left on this one's server.
    pub(crate) async fn end_earlier(&self, session: &Session) -> Result<()> {
        let earlier: Vec<Backend> = self.sessions().iter().map(|(_, backend)| backend.clone()).collect();
        ledger::end_backends(session, &earlier).await?;
        self.sessions().retain(|(_, backend)| backend.side != session.side() || !earlier.contains(backend));
        Ok(())
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<(Canceller, Backend)>> {
        self.sessions.lock().expect("no holder of the list panics")
    }
}

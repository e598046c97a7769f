//! Watches a run from outside its sessions: a backend that waits in the middle of a COPY ignores every timeout of the
//! server, so the engine has to notice by itself that nothing moves.
//!
//! One session on either side asks every two seconds what the run's backends do. From the answers follow: whose lock they
//! wait for, who waits behind their locks, whether a side answers at all, and whether a task that does not move is being
//! worked on by anybody.
//!
//! **Invariant:** changes nothing: it says, and ends the run by an error; what is done about that is `retry`'s.

mod observation;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

pub use self::observation::Observation;
use self::observation::Relation;
use crate::connect::{Conninfo, Reader, Side};
use crate::error::{Error, Kind, Result};
use crate::progress::Progress;

/// How often the servers are asked.
const INTERVAL: Duration = Duration::from_secs(2);
/// Nothing may stand still for longer, if nobody is working on it; and however impatient the user is, for so long it may.
const LONGEST_STALL: Duration = Duration::from_secs(30);
const SHORTEST_STALL: Duration = Duration::from_secs(2);
/// However impatient the user is, a lock is waited for so long.
const LEAST_LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// What is still so after this long is said again.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// What is known of the backends of both sides; shared with the workers, who ask it about their own.
#[derive(Clone, Debug)]
pub struct Vigil {
    latest: Arc<watch::Sender<Latest>>,
    stall: Duration,
}

#[derive(Debug, Default)]
struct Latest {
    source: Vec<Observation>,
    target: Vec<Observation>,
    /// How often both sides were asked.
    rounds: u64,
}

impl Latest {
    fn of(&self, side: Side) -> &[Observation] {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }
}

/// How a run is watched.
pub struct Terms {
    /// The side's conninfo.
    pub conninfo: Conninfo,
    /// The side.
    pub side: Side,
    /// What is shown of it in `pg_stat_activity`.
    pub role: String,
    /// A lock that is not had for this long is given up.
    pub patience: Duration,
    /// Somebody who has waited this long behind our locks is given way.
    pub yield_after: Option<Duration>,
}

impl Vigil {
    /// Nothing is known yet. What does not move for `patience`, at most half a minute, counts as stalled.
    pub fn new(patience: Duration) -> Self {
        Vigil {
            latest: Arc::new(watch::Sender::new(Latest::default())),
            stall: patience.clamp(SHORTEST_STALL, LONGEST_STALL),
        }
    }

    /// Watches one side until something has to be done; never ends otherwise. `pids` answers the run's sessions there.
    ///
    /// # Errors
    /// [`Kind::Resumable`] for a lock that is never had; a retryable error where the side does not answer, or where
    /// somebody is given way.
    pub async fn watch(&self, terms: &Terms, progress: &Progress, pids: impl Fn() -> Vec<i32>) -> Error {
        let mut said = Said::default();
        let mut answered = Instant::now();
        let mut session: Option<Reader> = None;
        loop {
            tokio::time::sleep(INTERVAL.min(self.stall / 2)).await;
            match tokio::time::timeout(self.stall, self.ask(terms, &mut session, &pids())).await {
                Ok(Ok(observations)) => {
                    answered = Instant::now();
                    if let Some(error) = judge(terms, &observations, &mut said, progress) {
                        return error;
                    }
                    self.publish(terms.side, observations);
                }
                Ok(Err(_)) | Err(_) => session = None,
            }
            if answered.elapsed() > self.stall * 2 {
                return Error::new(
                    terms.side.kind(),
                    format!("the {} has not answered for {} s", terms.side.name(), answered.elapsed().as_secs()),
                )
                .retryable();
            }
        }
    }

    async fn ask(&self, terms: &Terms, session: &mut Option<Reader>, pids: &[i32]) -> Result<Vec<Observation>> {
        let asked = match session {
            Some(session) => session,
            None => session.insert(Reader::open(terms.side, &terms.conninfo, &terms.role).await?),
        };
        observation::observe(asked, pids).await
    }

    fn publish(&self, side: Side, observations: Vec<Observation>) {
        self.latest.send_modify(|latest| {
            latest.rounds += 1;
            match side {
                Side::Source => latest.source = observations,
                Side::Target => latest.target = observations,
            }
        });
    }

    /// Waits until a task has stalled: `pulse` has not moved for a while, and all the time none of its `backends` was at
    /// work, each waiting for us or gone.
    pub async fn stalled(&self, backends: &[(Side, i32)], pulse: &AtomicU64) -> Error {
        let mut receiver = self.latest.subscribe();
        let mut still = Still::new(pulse);
        loop {
            if receiver.changed().await.is_err() {
                return std::future::pending().await;
            }
            let is_idle = {
                let latest = receiver.borrow_and_update();
                backends.iter().all(|(side, pid)| is_idle(latest.of(*side), *pid))
            };
            if still.lasts(pulse, is_idle) > self.stall {
                return Error::new(
                    Kind::Target,
                    format!("nothing has moved for {} s, and the servers wait for us", self.stall.as_secs_f64()),
                )
                .retryable();
            }
        }
    }
}

/// For how long nothing has moved and nobody was at work.
struct Still {
    pulse: u64,
    since: Instant,
}

impl Still {
    fn new(pulse: &AtomicU64) -> Self {
        Still { pulse: pulse.load(Ordering::Relaxed), since: Instant::now() }
    }

    fn lasts(&mut self, pulse: &AtomicU64, is_idle: bool) -> Duration {
        let now = pulse.load(Ordering::Relaxed);
        if now != self.pulse || !is_idle {
            *self = Still { pulse: now, since: Instant::now() };
        }
        self.since.elapsed()
    }
}

fn is_idle(observations: &[Observation], pid: i32) -> bool {
    observations
        .iter()
        .find(|seen| seen.pid == pid && seen.relation == Relation::Ours)
        .is_none_or(|seen| seen.waits_for_us)
}

/// What was said already, and when.
#[derive(Default)]
struct Said(HashMap<String, Instant>);

impl Said {
    /// Whether `key` should be said now.
    fn is_due(&mut self, key: &str) -> bool {
        let is_due = self.0.get(key).is_none_or(|then| then.elapsed() > SAY_AGAIN);
        if is_due {
            self.0.insert(key.to_string(), Instant::now());
        }
        is_due
    }

    /// What is not so any more is news when it is so again.
    fn keep(&mut self, keys: &BTreeSet<String>) {
        self.0.retain(|key, _| keys.contains(key));
    }
}

/// Says what is waited for, and answers an error where waiting has to end.
fn judge(terms: &Terms, observations: &[Observation], said: &mut Said, progress: &Progress) -> Option<Error> {
    let mut keys = BTreeSet::new();
    for seen in observations.iter().filter(|seen| seen.other.is_some()) {
        let text = seen.describe(terms.side);
        let waited = Duration::from_secs_f64(seen.seconds.max(0.0));
        match seen.relation {
            Relation::Ours if waited > terms.patience.max(LEAST_LOCK_PATIENCE) => {
                return Some(
                    Error::new(Kind::Resumable, format!("given up after {} s: {text}", waited.as_secs()))
                        .hint("See what that session does, and end it if it may be ended.")
                        .given_up(),
                );
            }
            Relation::BehindUs
                if terms.side == Side::Source && terms.yield_after.is_some_and(|limit| waited >= limit) =>
            {
                return Some(Error::new(Kind::Source, format!("gave way: {text}")).retryable());
            }
            _ if waited < INTERVAL / 2 => continue,
            Relation::Ours | Relation::BehindUs => {}
        }
        let key = format!("{:?} {:?}", seen.relation, seen.other);
        if said.is_due(&key) {
            progress.say(text);
        }
        keys.insert(key);
    }
    said.keep(&keys);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(relation: Relation, seconds: f64) -> Observation {
        Observation {
            pid: 1,
            application_name: "hypercopy migrate copy out 1".into(),
            relation,
            waits_for_us: false,
            other: Some(77),
            description: Some("psql, alter table".into()),
            seconds,
        }
    }

    fn terms(side: Side, yield_after: Option<Duration>) -> Terms {
        let conninfo = Conninfo::parse("host=nowhere", |_| None).unwrap();
        Terms { conninfo, side, role: String::new(), patience: Duration::from_secs(60), yield_after }
    }

    #[test]
    fn a_wait_is_said_once_and_given_up_in_the_end() {
        let (mut said, progress, terms) = (Said::default(), Progress::default(), terms(Side::Target, None));
        for _ in 0..3 {
            assert!(judge(&terms, &[seen(Relation::Ours, 5.0)], &mut said, &progress).is_none());
        }
        let notices = progress.take_notices();
        assert_eq!(notices.len(), 1, "{notices:?}");
        assert!(notices[0].contains("waits for a lock held by pid 77 (psql, alter table)"), "{notices:?}");
        let error = judge(&terms, &[seen(Relation::Ours, 61.0)], &mut said, &progress).unwrap();
        assert_eq!((error.kind(), error.is_retryable()), (Kind::Resumable, false));
        assert!(error.message().contains("pid 77"), "{}", error.message());
    }

    #[test]
    fn who_waits_behind_us_is_given_way_only_when_asked_to() {
        let judge =
            |terms: &Terms| judge(terms, &[seen(Relation::BehindUs, 9.0)], &mut Said::default(), &Progress::default());
        assert!(judge(&terms(Side::Source, None)).is_none());
        assert!(judge(&terms(Side::Source, Some(Duration::from_secs(10)))).is_none());
        assert!(judge(&terms(Side::Source, Some(Duration::from_secs(9)))).unwrap().is_retryable());
        assert!(judge(&terms(Side::Target, Some(Duration::from_secs(9)))).is_none());
    }

    #[test]
    fn a_backend_that_is_gone_is_not_at_work() {
        let working = Observation { pid: 5, other: None, ..seen(Relation::Ours, 0.0) };
        assert!(!is_idle(std::slice::from_ref(&working), 5));
        assert!(is_idle(&[working], 6));
    }

    #[test]
    fn stillness_begins_anew_with_every_beat() {
        let pulse = AtomicU64::new(0);
        let mut still = Still::new(&pulse);
        still.since -= Duration::from_secs(100);
        assert!(still.lasts(&pulse, true) >= Duration::from_secs(100));
        pulse.store(1, Ordering::Relaxed);
        assert!(still.lasts(&pulse, true) < Duration::from_secs(100));
    }
}

//! How long the same work is tried again.
//!
//! **Invariant:** decides by the error alone ([`Error::is_retryable`]) and by time; knows nothing of the work.

use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::interrupt::Interrupt;
use crate::progress::Progress;

/// Pauses between attempts: doubled each time, from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What is left of the time for trying again. It runs from the first failure on, and anew after every success.
#[derive(Debug)]
pub struct Patience {
    limit: Duration,
    since: Option<Instant>,
    pause: Duration,
}

impl Patience {
    /// Patience for this long.
    pub fn new(limit: Duration) -> Self {
        Patience { limit, since: None, pause: FIRST_PAUSE }
    }

    /// Something has succeeded: the time begins anew with the next failure.
    pub fn restore(&mut self) {
        *self = Patience::new(self.limit);
    }

    /// Waits until it is time for another attempt, and says so.
    ///
    /// # Errors
    /// `error` itself where no other attempt could do better, [`Kind::Resumable`] where the time is over, and
    /// [`Kind::Signal`] when a stop is asked for meanwhile.
    pub async fn wait(&mut self, error: Error, progress: &Progress, interrupt: &Interrupt) -> Result<()> {
        if !error.is_retryable() {
            return Err(error);
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        let left = self.limit.saturating_sub(since.elapsed());
        if left.is_zero() {
            return Err(given_up(error, self.limit));
        }
        let pause = self.pause.min(left);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        progress.say(format!("{}; trying again for another {} s", error.summary(), left.as_secs_f64().ceil()));
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            interrupted = interrupt.requested() => Err(interrupted),
        }
    }
}

fn given_up(error: Error, limit: Duration) -> Error {
    let message = format!("given up after {} s: {}", limit.as_secs_f64(), error.message());
    error.renamed(message).with_kind(Kind::Resumable).given_up()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken() -> Error {
        Error::new(Kind::Target, "writing").caused_by(std::io::Error::other("reset"))
    }

    #[tokio::test]
    async fn what_no_attempt_can_mend_is_not_tried_again() {
        let wait = Patience::new(Duration::from_secs(9));
        let (mut patience, progress, interrupt) = (wait, Progress::default(), Interrupt::default());
        let refused = patience.wait(Error::refused("no such table"), &progress, &interrupt).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Refused);
    }

    #[tokio::test]
    async fn without_time_left_it_is_given_up_for_good() {
        let mut patience = Patience::new(Duration::ZERO);
        let error = patience.wait(broken(), &Progress::default(), &Interrupt::default()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Resumable);
        assert!(!error.is_retryable());
        assert!(error.summary().contains("given up after 0 s: writing: reset"), "{}", error.summary());
    }

    #[tokio::test]
    async fn a_stop_ends_the_pause() {
        let interrupt = Interrupt::default();
        interrupt.request(2);
        let mut patience = Patience::new(Duration::from_secs(3600));
        patience.pause = Duration::from_secs(3600);
        let error = patience.wait(broken(), &Progress::default(), &interrupt).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Signal(2));
    }
}

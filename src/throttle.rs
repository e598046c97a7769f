//! How fast a run may go.
//!
//! **Invariant:** knows amounts and time, and not what is being moved.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::interrupt::Interrupt;

/// A limit over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// Bytes per second.
    Bytes(f64),
    /// Rows per second.
    Rows(f64),
}

impl Rate {
    /// The bytes that pass in a second, where each row has so many.
    pub fn bytes_per_second(self, row_bytes: u64) -> f64 {
        match self {
            Rate::Bytes(bytes) => bytes,
            Rate::Rows(rows) => rows * row_bytes as f64,
        }
    }

    fn takes(self, rows: u64, bytes: u64) -> Duration {
        let seconds = match self {
            Rate::Bytes(rate) => bytes as f64 / rate,
            Rate::Rows(rate) => rows as f64 / rate,
        };
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

/// Lets all workers of a run together pass no faster than a rate, on the average.
pub struct Throttle {
    rate: Option<Rate>,
    free_at: Mutex<Instant>,
}

impl Throttle {
    /// Without a rate nobody waits.
    pub fn new(rate: Option<Rate>) -> Self {
        Throttle { rate, free_at: Mutex::new(Instant::now()) }
    }

    /// Waits until so much may pass: what was let through before has to be paid for in time.
    ///
    /// # Errors
    /// [`Kind::Signal`](crate::error::Kind::Signal) when a stop is asked for meanwhile.
    pub async fn pass(&self, rows: u64, bytes: u64, interrupt: &Interrupt) -> Result<()> {
        let Some(rate) = self.rate else { return Ok(()) };
        let start = self.reserve(Instant::now(), rate.takes(rows, bytes));
        tokio::select! {
            () = tokio::time::sleep_until(start.into()) => Ok(()),
            stopped = interrupt.requested() => Err(stopped),
        }
    }

    /// When something may begin that takes so long at the rate.
    fn reserve(&self, now: Instant, takes: Duration) -> Instant {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let start = (*free_at).max(now);
        *free_at = start.checked_add(takes).unwrap_or(start);
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_paid_for_in_time_by_whoever_comes_next() {
        let throttle = Throttle::new(None);
        let now = Instant::now() + Duration::from_secs(1);
        let rate = Rate::Bytes(100.0);
        let start = |bytes| throttle.reserve(now, rate.takes(1, bytes)) - now;
        assert_eq!([start(250), start(100), start(0)], [0, 2500, 3500].map(Duration::from_millis));
        let later = now + Duration::from_secs(60);
        assert_eq!(throttle.reserve(later, Duration::ZERO), later);
    }

    #[test]
    fn rows_count_where_rows_are_limited() {
        assert_eq!(Rate::Rows(10.0).takes(20, u64::MAX), Duration::from_secs(2));
        assert_eq!(Rate::Bytes(f64::MIN_POSITIVE).takes(0, u64::MAX), Duration::MAX);
    }

    #[tokio::test]
    async fn a_stop_ends_the_wait() {
        let (throttle, interrupt) = (Throttle::new(Some(Rate::Bytes(1.0))), Interrupt::default());
        throttle.pass(1, 1_000_000, &interrupt).await.unwrap();
        interrupt.request(2);
        assert!(throttle.pass(1, 1, &interrupt).await.is_err());
    }
}

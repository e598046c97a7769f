//! Locks that keep others waiting are asked for a short time only, again and again.

use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

use crate::connect::Target;
use crate::error::{Error, Kind, Result};
use crate::ident::QualifiedName;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::schema;

/// Pauses between attempts, in which others go first: doubled each time, from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A lock that keeps others waiting.
pub(super) struct Lock<'a> {
    /// On what.
    pub(super) table: &'a QualifiedName,
    /// Its oid.
    pub(super) oid: u32,
    /// Whether its chunks are left out.
    pub(super) only: bool,
    /// Whom it keeps out.
    pub(super) mode: LockMode,
}

/// Modes of a table's lock, by the names of the manual.
#[derive(Clone, Copy)]
pub(super) enum LockMode {
    /// Keeps writers out.
    ShareRowExclusive,
    /// Keeps everybody out.
    AccessExclusive,
}

impl LockMode {
    fn sql(self) -> &'static str {
        match self {
            LockMode::ShareRowExclusive => "share row exclusive",
            LockMode::AccessExclusive => "access exclusive",
        }
    }

    /// The modes that it does not go together with, as `pg_locks` has them.
    fn conflicts(self) -> &'static [&'static str] {
        const ALL: [&str; 8] = [
            "AccessShareLock",
            "RowShareLock",
            "RowExclusiveLock",
            "ShareUpdateExclusiveLock",
            "ShareLock",
            "ShareRowExclusiveLock",
            "ExclusiveLock",
            "AccessExclusiveLock",
        ];
        match self {
            LockMode::ShareRowExclusive => &ALL[2..],
            LockMode::AccessExclusive => &ALL,
        }
    }
}

/// How a lock is asked for.
pub(super) struct Contention<'a> {
    /// How long others wait behind us at most, each time.
    pub(super) lock_timeout: Duration,
    /// How long it is tried again.
    pub(super) patience: Duration,
    /// Hears of each failed attempt.
    pub(super) progress: &'a Progress,
    /// The wish to stop.
    pub(super) interrupt: &'a Interrupt,
}

impl Contention<'_> {
    /// Does `work` under a lock, in one transaction that is on the disk when this returns. Where this or another lock is
    /// not had in time all is rolled back, and tried again after a pause. `doing` says what, behind "cannot".
    ///
    /// # Errors
    /// [`Kind::Resumable`] where the locks were never had.
    pub(super) async fn under_lock<T>(
        &self,
        target: &Target,
        doing: &str,
        lock: &Lock<'_>,
        work: impl AsyncFn() -> Result<T>,
    ) -> Result<T> {
        let locked = async || {
            self.take(target, lock.table, lock.only, lock.mode).await?;
            work().await
        };
        self.transaction(target, doing, lock, locked).await
    }

    /// As [`Contention::under_lock`], but `work` takes the lock by itself, among others; it is what is told of.
    pub(super) async fn transaction<T>(
        &self,
        target: &Target,
        doing: &str,
        lock: &Lock<'_>,
        work: impl AsyncFn() -> Result<T>,
    ) -> Result<T> {
        let (start, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let error = match self.attempt(target, &work).await {
                Err(error) if is_contended(&error) => error,
                ended => return ended,
            };
            let holders = holders(target, lock).await?;
            if start.elapsed() > self.patience {
                return Err(Error::new(
                    Kind::Resumable,
                    format!("cannot {doing}: a lock was not had for {} s{holders}", start.elapsed().as_secs()),
                )
                .caused_by(error)
                .given_up()
                .hint("See what those sessions do in pg_stat_activity, and end them if they may be ended; a larger --lock-timeout waits longer each time."));
            }
            self.progress.say(format!("{doing}: a lock was not had in time{holders}; others go first"));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                stopped = self.interrupt.requested() => return Err(stopped),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt<T>(&self, target: &Target, work: &impl AsyncFn() -> Result<T>) -> Result<T> {
        let _open = self.interrupt.open()?;
        schema::transaction(target, &self.begin(), work).await
    }

    fn begin(&self) -> String {
        format!(
            "begin isolation level read committed read write; set local synchronous_commit = on; \
             set local lock_timeout = '{}ms'",
            self.milliseconds()
        )
    }

    /// Takes a lock in the caller's transaction. All chunks together may take no longer than one lock.
    pub(super) async fn take(&self, target: &Target, table: &QualifiedName, only: bool, mode: LockMode) -> Result<()> {
        let limit = format!("set local statement_timeout = '{}ms'", self.milliseconds());
        let lock = |scope: &str| format!("{limit}; lock table {scope}{} in {} mode", table.sql(), mode.sql());
        target.batch(&lock("only ")).await?;
        self.give_way(target).await?;
        if !only {
            target.batch(&lock("")).await?;
        }
        target.batch("set local statement_timeout = 0").await
    }

    /// With a lock in hand that others wait for: a deadlock is broken by whoever has waited for `deadlock_timeout`, and that
    /// shall not be an application. What fails for that is tried again.
    pub(super) async fn give_way(&self, target: &Target) -> Result<()> {
        target.row(include_str!("sql/give_way.sql"), &[]).await.map(drop)
    }

    fn milliseconds(&self) -> u128 {
        self.lock_timeout.as_millis().max(1)
    }
}

fn is_contended(error: &Error) -> bool {
    const CONTENDED: [SqlState; 3] =
        [SqlState::LOCK_NOT_AVAILABLE, SqlState::QUERY_CANCELED, SqlState::T_R_DEADLOCK_DETECTED];
    matches!(error.sqlstate(), Some(state) if CONTENDED.contains(state))
}

/// Who has what is in the way of a lock, in words that follow a sentence.
async fn holders(target: &Target, lock: &Lock<'_>) -> Result<String> {
    let holders = target.rows(include_str!("sql/holders.sql"), &[&lock.oid, &lock.mode.conflicts()]).await?;
    let name = |row: &tokio_postgres::Row| match row.get::<_, &str>(1) {
        "" => row.get::<_, i32>(0).to_string(),
        name => format!("{} ({name})", row.get::<_, i32>(0)),
    };
    let names: Vec<String> = holders.iter().map(name).collect();
    Ok(if names.is_empty() { String::new() } else { format!(", held by backend {}", names.join(", ")) })
}

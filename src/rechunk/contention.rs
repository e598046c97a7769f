//! Locks that keep others waiting are asked for a short time only, again and again.

use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

use crate::connect::Target;
use crate::error::{Error, Kind, Result};
use crate::ident::QualifiedName;
use crate::interrupt::Interrupt;
use crate::progress::Progress;

/// Pauses between attempts, in which others go first: doubled each time, from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

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
    /// Does `work` in one transaction that is on the disk when this returns. Where one of its locks is not had in time all
    /// is rolled back, and tried again after a pause. `tables` are those whose holders are named.
    ///
    /// # Errors
    /// [`Kind::Resumable`] where the locks were never had.
    pub(super) async fn transaction<T>(
        &self,
        target: &Target,
        doing: &str,
        tables: &[u32],
        work: impl AsyncFn() -> Result<T>,
    ) -> Result<T> {
        let (start, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let error = match self.attempt(target, &work).await {
                Err(error) if is_contended(&error) => error,
                ended => return ended,
            };
            let holders = holders(target, tables).await?;
            if start.elapsed() > self.patience {
                return Err(Error::new(
                    Kind::Resumable,
                    format!("cannot {doing}: a lock was not had for {} s{holders}", start.elapsed().as_secs()),
                )
                .caused_by(error)
                .given_up()
                .hint("See what those sessions do in pg_stat_activity, and end them if they may be ended; a larger --lock-timeout waits longer each time."));
            }
            self.progress
                .say(format!("{doing}: a lock was not had in {:?}{holders}; others go first", self.lock_timeout));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                stopped = self.interrupt.requested() => return Err(stopped),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt<T>(&self, target: &Target, work: &impl AsyncFn() -> Result<T>) -> Result<T> {
        let _open = self.interrupt.open()?;
        target
            .batch(&format!(
                "begin isolation level read committed read write; set local synchronous_commit = on; \
                 set local lock_timeout = '{}ms'",
                self.milliseconds()
            ))
            .await?;
        let done = work().await;
        match done {
            Ok(_) => target.batch("commit").await?,
            Err(_) => target.batch("rollback").await.unwrap_or_default(),
        }
        done
    }

    /// Locks a table, and its chunks unless `only`. All of it together may take no longer than one lock.
    pub(super) async fn lock(&self, target: &Target, table: &QualifiedName, only: bool, mode: &str) -> Result<()> {
        let only = if only { "only " } else { "" };
        target.batch(&format!("set local statement_timeout = '{}ms'", self.milliseconds())).await?;
        target.batch(&format!("lock table {only}{} in {mode} mode", table.sql())).await?;
        target.batch("set local statement_timeout = 0").await
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

/// Who holds a lock on these tables, in words that follow a sentence.
async fn holders(target: &Target, tables: &[u32]) -> Result<String> {
    let sql = "select distinct activity.pid, coalesce(activity.application_name, '') \
               from pg_catalog.pg_locks lock join pg_catalog.pg_stat_get_activity(null) activity on activity.pid = lock.pid \
               where lock.relation = any ($1) and lock.granted and lock.pid <> pg_catalog.pg_backend_pid() \
               order by 1 limit 3";
    let holders = target.rows(sql, &[&tables]).await?;
    let name = |row: &tokio_postgres::Row| match row.get::<_, &str>(1) {
        "" => row.get::<_, i32>(0).to_string(),
        name => format!("{} ({name})", row.get::<_, i32>(0)),
    };
    let names: Vec<String> = holders.iter().map(name).collect();
    Ok(if names.is_empty() { String::new() } else { format!(", held by backend {}", names.join(", ")) })
}

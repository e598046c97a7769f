//! The sessions of a run, so that the next run finds those that outlived their engine.

use super::job::JobId;
use crate::connect::{Backend, Session, Side, Target};
use crate::error::{Error, Kind, Result};

/// Notes sessions of this run.
pub async fn insert_backends(target: &Target, job: JobId, backends: &[Backend]) -> Result<()> {
    for backend in backends {
        target
            .execute(
                "insert into _hypercopy.backend (job, side, pid, started_at, application_name) \
                 values ($1, $2, $3, $4::text::timestamptz, $5)",
                &[&job.0, &backend.side.name(), &backend.pid, &backend.started_at, &backend.application_name],
            )
            .await?;
    }
    Ok(())
}

/// Forgets the sessions of all runs: they have ended.
pub async fn forget_backends(target: &Target, job: JobId) -> Result<()> {
    target.execute("delete from _hypercopy.backend where job = $1", &[&job.0]).await.map(drop)
}

/// The sessions that were noted, on either side.
pub async fn backends(target: &Target, job: JobId) -> Result<Vec<Backend>> {
    let sql = "select side, pid, started_at::text, application_name from _hypercopy.backend where job = $1";
    let backend = |row: &tokio_postgres::Row| Backend {
        side: if row.get::<_, &str>(0) == Side::Source.name() { Side::Source } else { Side::Target },
        pid: row.get(1),
        started_at: row.get(2),
        application_name: row.get(3),
    };
    Ok(target.rows(sql, &[&job.0]).await?.iter().map(backend).collect())
}

/// Ends those of `backends` that are on the side of `session` and still at work, and waits for their end.
///
/// # Errors
/// [`Kind::Held`] where one does not end.
pub async fn end_backends(session: &Session, backends: &[Backend]) -> Result<()> {
    for backend in backends.iter().filter(|backend| backend.side == session.side()) {
        if !session.end_backend(backend).await? {
            return Err(Error::new(
                Kind::Held,
                format!(
                    "backend {} of an earlier run ({}) is still at work on the {} and does not end",
                    backend.pid,
                    backend.application_name,
                    backend.side.name()
                ),
            )
            .hint("Look at it in pg_stat_activity, and try again when it has ended."));
        }
    }
    Ok(())
}

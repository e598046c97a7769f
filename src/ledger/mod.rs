//! What is done: the tables `_hypercopy.job`, `task` and `step` in the target.
//!
//! A task's row and its rows of data are one transaction, so that done is what the ledger says, whatever died in
//! between. The row is inserted first: a second attempt at the same task waits on its key, and then fails.
//!
//! **Invariant:** writes only inside the caller's transaction, and begins and commits none itself.

use crate::connect::Target;
use crate::error::{Error, Result};
use crate::ident::QualifiedName;
use crate::pgcopy::Checksum;
use crate::plan::Task;

/// A job's number in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct JobId(pub i64);

/// What makes a job the same job when it is asked for again.
pub struct JobIdentity<'a> {
    /// `migrate`.
    pub kind: &'a str,
    /// The table on the target.
    pub target: &'a QualifiedName,
    /// The source cluster's system identifier.
    pub source_system: &'a str,
    /// The source's database.
    pub source_database: &'a str,
    /// The table on the source.
    pub source: &'a QualifiedName,
    /// Range, layout and columns, as JSON.
    pub request: &'a serde_json::Value,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// All rows are there; constraints, indexes and statistics follow.
    Finalizing,
    /// Nothing is left to do.
    Finished,
}

/// Makes the ledger's tables where they are missing. Where they are there nothing is created, not even `if not exists`,
/// which asks for the right to create: a role that may only write to them can work.
pub async fn create(target: &Target) -> Result<()> {
    let there = "select count(*) = 3 from pg_catalog.pg_class \
                 where relnamespace = to_regnamespace('_hypercopy') and relname in ('job', 'task', 'step')";
    match target.row(there, &[]).await?.get(0) {
        true => Ok(()),
        false => target.batch(include_str!("sql/create.sql")).await,
    }
}

/// Writes the job's row. The target table has to exist in the caller's transaction.
pub async fn insert_job(target: &Target, job: &JobIdentity<'_>) -> Result<JobId> {
    let row = target
        .row(
            include_str!("sql/insert_job.sql"),
            &[
                &job.kind,
                &job.target.sql(),
                &job.source_system,
                &job.source_database,
                &job.source.sql(),
                &job.request.to_string(),
                &env!("CARGO_PKG_VERSION"),
            ],
        )
        .await?;
    Ok(JobId(row.get(0)))
}

/// Claims a task: its row, not completed yet.
pub async fn insert_task(target: &Target, job: JobId, task: &Task) -> Result<()> {
    target
        .execute(
            "insert into _hypercopy.task (job, task, range_from, range_until) values ($1, $2, $3, $4)",
            &[&job.0, &task.id, &task.range.from, &task.range.until],
        )
        .await
        .map(drop)
}

/// Completes the task that this transaction claimed.
pub async fn complete_task(target: &Target, job: JobId, task: i32, bytes: u64, rows: &Counted) -> Result<()> {
    let checksum = rows.checksum.map(|checksum| checksum.to_string());
    let completed = target
        .execute(
            include_str!("sql/complete_task.sql"),
            &[&job.0, &task, &(rows.rows as i64), &(bytes as i64), &checksum],
        )
        .await?;
    match completed {
        1 => Ok(()),
        _ => Err(Error::internal(format!("task {task} of job {} is not in the ledger any more", job.0))),
    }
}

/// How many rows there were, and their checksum where it was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Rows.
    pub rows: u64,
    /// Their multiset checksum.
    pub checksum: Option<Checksum>,
}

impl std::ops::AddAssign for Counted {
    /// A checksum of a part is one of the whole: without rows there is none to lose.
    fn add_assign(&mut self, other: Counted) {
        self.rows += other.rows;
        self.checksum = match (self.checksum, other.checksum) {
            (Some(one), Some(two)) => Some(one + two),
            (one, two) => one.or(two),
        };
    }
}

impl std::ops::Sub for Counted {
    type Output = Counted;

    /// What is left without `part`, which must be a part of it, counted in the same way.
    fn sub(self, part: Counted) -> Counted {
        let checksum = self.checksum.zip(part.checksum).map(|(whole, part)| whole - part);
        Counted { rows: self.rows.saturating_sub(part.rows), checksum }
    }
}

/// The completed tasks of a job, as the ledger has them.
pub async fn completed_tasks(target: &Target, job: JobId) -> Result<Vec<(i32, Counted)>> {
    let sql =
        "select task, rows, checksum from _hypercopy.task where job = $1 and completed_at is not null order by task";
    let rows = target.rows(sql, &[&job.0]).await?;
    let counted = |row: &tokio_postgres::Row| {
        let checksum: Option<&str> = row.get(2);
        let checksum = checksum.map(str::parse).transpose().map_err(|_| {
            Error::internal(format!("the ledger's checksum of task {} is not readable", row.get::<_, i32>(0)))
        })?;
        Ok((row.get(0), Counted { rows: row.get::<_, i64>(1) as u64, checksum }))
    };
    rows.iter().map(counted).collect()
}

/// Notes that a statement of the finalization has been run.
pub async fn insert_step(target: &Target, job: JobId, title: &str) -> Result<()> {
    target.execute("insert into _hypercopy.step (job, title) values ($1, $2)", &[&job.0, &title]).await.map(drop)
}

/// Moves the job on.
pub async fn set_state(target: &Target, job: JobId, state: JobState) -> Result<()> {
    let (name, finished) = match state {
        JobState::Finalizing => ("finalizing", "null"),
        JobState::Finished => ("finished", "clock_timestamp()"),
    };
    target
        .execute(
            &format!("update _hypercopy.job set state = '{name}', finished_at = {finished} where id = $1"),
            &[&job.0],
        )
        .await
        .map(drop)
}

//! Tasks and steps that are done.

use super::job::{Claim, JobId};
use crate::connect::{Session, Target};
use crate::error::{Error, Result};
use crate::pgcopy::Checksum;
use crate::plan::{Range, Task};

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

/// What came of taking a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is ours to do, in this transaction.
    Now,
    /// An earlier attempt, whose answer was lost, has done it.
    Already,
}

/// Takes a task: its row, not completed yet. Where an earlier attempt is still open this waits for its end.
pub async fn take_task(target: &Target, claim: Claim, task: &Task) -> Result<Taken> {
    let Range { from, until } = task.range;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
        [&claim.job.0, &claim.run, &task.id, &from, &until];
    match target.execute(include_str!("sql/take_task.sql"), &parameters).await? {
        1 => Ok(Taken::Now),
        _ => refuse_lost(target, claim).await.map(|()| Taken::Already),
    }
}

/// Takes a task again that is done, to do it anew in this transaction; answers how many rows it had copied.
pub async fn retake_task(target: &Target, claim: Claim, task: &Task) -> Result<u64> {
    let rows = target.rows(include_str!("sql/retake_task.sql"), &[&claim.job.0, &claim.run, &task.id]).await?;
    match rows.first() {
        Some(row) => Ok(row.get::<_, i64>(0) as u64),
        None => {
            refuse_lost(target, claim).await?;
            Err(missing(claim.job, task.id))
        }
    }
}

/// Ranges that tasks of other jobs have copied into the same table, and that this one overlaps.
pub async fn overlapping_tasks(target: &Target, claim: Claim, range: Range) -> Result<Vec<(JobId, i32, Range)>> {
    let sql = include_str!("sql/overlapping_tasks.sql");
    let rows = target.rows(sql, &[&claim.job.0, &range.from, &range.until]).await?;
    let task =
        |row: &tokio_postgres::Row| (JobId(row.get(0)), row.get(1), Range { from: row.get(2), until: row.get(3) });
    Ok(rows.iter().map(task).collect())
}

/// Notes how many rows a task's range holds now. Their checksum is not known any more.
pub async fn set_rows(target: &Target, job: JobId, task: i32, rows: u64) -> Result<()> {
    let sql = "update _hypercopy.task set rows = $3, checksum = null where job = $1 and task = $2";
    target.execute(sql, &[&job.0, &task, &(rows as i64)]).await.map(drop)
}

pub(super) async fn refuse_lost(target: &Target, claim: Claim) -> Result<()> {
    let sql = "select exists (select from _hypercopy.job where id = $1 and run = $2)";
    match target.row(sql, &[&claim.job.0, &claim.run]).await?.get(0) {
        true => Ok(()),
        false => Err(claim.lost()),
    }
}

fn missing(job: JobId, task: i32) -> Error {
    Error::internal(format!("task {task} of job {} is not in the ledger any more", job.0))
}

/// Completes the task that this transaction has taken. `form` says what the checksum is over.
pub async fn complete_task(
    target: &Target,
    job: JobId,
    task: i32,
    bytes: u64,
    rows: &Counted,
    form: &str,
) -> Result<()> {
    let checksum = rows.checksum.map(|checksum| format!("{form} {checksum}"));
    let completed = target
        .execute(
            include_str!("sql/complete_task.sql"),
            &[&job.0, &task, &(rows.rows as i64), &(bytes as i64), &checksum],
        )
        .await?;
    if completed == 1 { Ok(()) } else { Err(missing(job, task)) }
}

/// A task that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoneTask {
    /// Its number.
    pub id: i32,
    /// The rows it copied.
    pub range: Range,
    /// How many they were.
    pub rows: u64,
    /// Bytes of COPY data.
    pub bytes: u64,
    /// Their checksum, and what it is over.
    checksum: Option<(String, Checksum)>,
}

impl DoneTask {
    /// What was copied, with its checksum where that is over `form`: others cannot be compared.
    pub fn counted(&self, form: &str) -> Counted {
        let checksum = self.checksum.as_ref().filter(|(written, _)| written == form).map(|(_, checksum)| *checksum);
        Counted { rows: self.rows, checksum }
    }
}

/// Forgets all tasks of a job.
pub async fn forget_tasks(target: &Target, job: JobId) -> Result<()> {
    target.execute("delete from _hypercopy.task where job = $1", &[&job.0]).await.map(drop)
}

/// The tasks of a job that are done, along the axis.
pub async fn done_tasks(session: &Session, job: JobId) -> Result<Vec<DoneTask>> {
    let sql = "select task, range_from, range_until, rows, bytes, checksum from _hypercopy.task \
               where job = $1 and completed_at is not null order by range_from nulls first, task";
    session.rows(sql, &[&job.0]).await?.iter().map(done_task).collect()
}

fn done_task(row: &tokio_postgres::Row) -> Result<DoneTask> {
    let id = row.get(0);
    let checksum = |text: &str| {
        let (form, checksum) = text.split_once(' ')?;
        Some((form.to_string(), checksum.parse().ok()?))
    };
    let written: Option<&str> = row.get(5);
    let read = written.and_then(checksum);
    if written.is_some() && read.is_none() {
        return Err(Error::internal(format!("the ledger's checksum of task {id} is not readable")));
    }
    Ok(DoneTask {
        id,
        range: Range { from: row.get(1), until: row.get(2) },
        rows: row.get::<_, i64>(3) as u64,
        bytes: row.get::<_, i64>(4) as u64,
        checksum: read,
    })
}

/// Notes that a statement of the finalization has been run.
pub async fn insert_step(target: &Target, claim: Claim, title: &str) -> Result<()> {
    let sql = "insert into _hypercopy.step (job, title) select id, $3 from _hypercopy.job where id = $1 and run = $2";
    claim.own(target.execute(sql, &[&claim.job.0, &claim.run, &title]).await?)
}

/// Notes that a statement has been run that may be run as often as need be.
pub async fn repeat_step(target: &Target, claim: Claim, title: &str) -> Result<()> {
    let sql = "insert into _hypercopy.step (job, title) select id, $3 from _hypercopy.job where id = $1 and run = $2 \
               on conflict (job, title) do update set completed_at = clock_timestamp()";
    claim.own(target.execute(sql, &[&claim.job.0, &claim.run, &title]).await?)
}

/// Forgets the steps of a job: what follows may have the same titles.
pub async fn forget_steps(target: &Target, job: JobId) -> Result<()> {
    target.execute("delete from _hypercopy.step where job = $1", &[&job.0]).await.map(drop)
}

/// The statements of the finalization that have been run.
pub async fn steps(session: &Session, job: JobId) -> Result<Vec<String>> {
    let rows = session.rows("select title from _hypercopy.step where job = $1", &[&job.0]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

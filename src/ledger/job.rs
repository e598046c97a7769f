//! Jobs, and who may work on them.

use serde::{Deserialize, Serialize};

use crate::connect::{Session, Target};
use crate::error::{Error, Kind, Result};
use crate::ident::QualifiedName;

/// A job's number in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub i64);

/// The kind of a job that copies a table, or a range of it.
pub const MIGRATE: &str = "migrate";
/// The kind of a job that makes a table of an archive, or adds rows of one.
pub const RESTORE: &str = "restore";
/// The kind of a job that copies ranges again in which two tables differ.
pub const REPAIR: &str = "repair";
/// The kind of a job that loads files.
pub const IMPORT: &str = "import";
/// The kind of a job that gives a table another layout in its place.
pub const RECHUNK: &str = "rechunk";

/// A job that begins.
pub struct NewJob<'a> {
    /// [`MIGRATE`], [`RESTORE`], [`REPAIR`], [`IMPORT`] or [`RECHUNK`].
    pub kind: &'a str,
    /// The table on the target.
    pub target: &'a QualifiedName,
    /// Whether the job makes that table.
    pub made_table: bool,
    /// Where its rows come from.
    pub source: Origin<'a>,
    /// What makes it the same job when it is asked for again.
    pub request: &'a serde_json::Value,
    /// What was decided.
    pub plan: &'a serde_json::Value,
    /// Whether it takes away all rows that the table has.
    pub empties: bool,
    /// Whether a job on the same table is in its way.
    pub is_rival: &'a (dyn Fn(&Job) -> bool + Sync),
}

/// Where a job's rows come from.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// The source cluster's system identifier, or an archive's id; empty for files.
    pub system: &'a str,
    /// The source's database; empty for an archive and for files.
    pub database: &'a str,
    /// The table on the source, quoted; or the files.
    pub name: &'a str,
}

/// A job as the ledger has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// [`MIGRATE`], [`RESTORE`], [`REPAIR`], [`IMPORT`] or [`RECHUNK`].
    pub kind: String,
    /// The target table's oid.
    pub target_oid: u32,
    /// The target table's name when the job began, quoted.
    pub target_name: String,
    /// Whether the job made that table.
    pub made_table: bool,
    /// The source cluster's system identifier, or an archive's id; empty for files.
    pub source_system: String,
    /// The source's database; empty for an archive and for files.
    pub source_database: String,
    /// The table on the source, quoted; or the files.
    pub source_name: String,
    /// What makes it the same job when it is asked for again.
    pub request: serde_json::Value,
    /// What was decided when it began.
    pub plan: serde_json::Value,
    /// Where it stands.
    pub state: JobState,
    /// The number of its latest run.
    pub run: i32,
    /// The report of the run that finished it.
    pub report: Option<serde_json::Value>,
    /// The version of hypercopy that began it.
    pub version: String,
    /// When it began.
    pub started_at: String,
    /// When it was finished.
    pub finished_at: Option<String>,
    /// Whether its table is still there.
    pub has_table: bool,
    /// Tasks that are done.
    pub tasks: u64,
    /// Rows that those have copied.
    pub rows: u64,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// A rechunk whose new table is made; nobody notes changes of the old one yet.
    Prepared,
    /// Rows are being copied.
    Copying,
    /// All rows are there, under one snapshot; constraints, indexes and statistics follow.
    Finalizing,
    /// The new table of a rechunk is built and follows the old one.
    Ready,
    /// The new table of a rechunk has the old one's name; the old one is kept.
    Swapped,
    /// Nothing is left to do.
    Finished,
}

impl JobState {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            JobState::Prepared => "prepared",
            JobState::Copying => "copying",
            JobState::Finalizing => "finalizing",
            JobState::Ready => "ready",
            JobState::Swapped => "swapped",
            JobState::Finished => "finished",
        }
    }
}

/// A run's right to write for its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The job.
    pub job: JobId,
    /// Which run of it.
    pub run: i32,
}

impl Claim {
    /// Whether a statement that asks for the claim has touched its row.
    pub(super) fn own(&self, touched: u64) -> Result<()> {
        if touched == 1 { Ok(()) } else { Err(self.lost()) }
    }

    /// The error of a run that has lost its job to another one.
    pub fn lost(&self) -> Error {
        Error::new(Kind::Held, format!("job {} was taken over by another run", self.job.0))
            .hint("This run's session was given up for dead. See \"hypercopy jobs\" for how far the other one is.")
    }
}

/// All jobs; none where there is no ledger.
pub async fn jobs(session: &Session) -> Result<Vec<Job>> {
    match super::exists(session).await? {
        true => session.records(include_str!("sql/jobs.sql"), &[]).await,
        false => Ok(Vec::new()),
    }
}

/// Writes the job's row, for its first run. The target table has to exist in the caller's transaction.
pub async fn insert_job(target: &Target, job: &NewJob<'_>) -> Result<Claim> {
    let row = target
        .row(
            include_str!("sql/insert_job.sql"),
            &[
                &job.kind,
                &job.target.sql(),
                &job.made_table,
                &job.source.system,
                &job.source.database,
                &job.source.name,
                &job.request.to_string(),
                &job.plan.to_string(),
                &env!("CARGO_PKG_VERSION"),
            ],
        )
        .await?;
    Ok(Claim { job: JobId(row.get(0)), run: 1 })
}

/// Forgets finished imports into a table whose rows are taken away: they are not in any more.
pub async fn forget_imports(target: &Target, table: &QualifiedName) -> Result<()> {
    let sql = "delete from _hypercopy.job where kind = $1 and state = 'finished' and target_oid = to_regclass($2)";
    target.execute(sql, &[&IMPORT, &table.sql()]).await.map(drop)
}

/// Makes the caller the job's next run: from the commit on, no earlier one takes a task any more.
pub async fn claim(target: &Target, job: JobId) -> Result<Claim> {
    let row = target.row("update _hypercopy.job set run = run + 1 where id = $1 returning run", &[&job.0]).await?;
    Ok(Claim { job, run: row.get(0) })
}

/// Makes sure, until the end of the transaction, that the job is this run's.
pub async fn hold(target: &Target, claim: Claim) -> Result<()> {
    let sql = "select from _hypercopy.job where id = $1 and run = $2 for key share";
    claim.own(target.execute(sql, &[&claim.job.0, &claim.run]).await?)
}

/// Waits until no transaction of an earlier run is open: each holds a lock on the job's row by its foreign key.
pub async fn await_earlier_runs(target: &Target, job: JobId) -> Result<()> {
    target.row("select from _hypercopy.job where id = $1 for update", &[&job.0]).await.map(drop)
}

/// Forgets a job with all its tasks and steps.
pub async fn delete_job(target: &Target, job: JobId) -> Result<()> {
    target.execute("delete from _hypercopy.job where id = $1", &[&job.0]).await.map(drop)
}

/// Moves the job on, or back.
pub async fn set_state(target: &Target, claim: Claim, state: JobState) -> Result<()> {
    let sql = "update _hypercopy.job set state = $3 where id = $1 and run = $2";
    claim.own(target.execute(sql, &[&claim.job.0, &claim.run, &state.name()]).await?)
}

/// Makes the table that has the name now that of all jobs on another one, whose rows it has: also of imports, which would
/// be done a second time where their table is not known.
pub async fn move_jobs(target: &Target, from: u32, table: &QualifiedName) -> Result<()> {
    let sql = "update _hypercopy.job set target_oid = $2::text::pg_catalog.regclass where target_oid = $1";
    target.execute(sql, &[&from, &table.sql()]).await.map(drop)
}

/// Puts another plan in the place of the one the job began with.
pub async fn set_plan(target: &Target, claim: Claim, plan: &serde_json::Value) -> Result<()> {
    let sql = "update _hypercopy.job set plan = $3::text::jsonb where id = $1 and run = $2";
    claim.own(target.execute(sql, &[&claim.job.0, &claim.run, &plan.to_string()]).await?)
}

/// Nothing is left to do.
pub async fn set_finished(target: &Target, claim: Claim, report: &str) -> Result<()> {
    let sql = "update _hypercopy.job set state = 'finished', finished_at = clock_timestamp(), \
               report = $3::text::jsonb where id = $1 and run = $2";
    claim.own(target.execute(sql, &[&claim.job.0, &claim.run, &report]).await?)
}

/// Who works on a job.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The backend that holds the job's lock.
    pub pid: i32,
}

/// The first key of the lock that a run holds on its job as long as its session lives: the bytes of "hypc". The second
/// is the job's number.
const JOB_LOCK: i32 = 0x6879_7063;

/// Takes the job's lock for as long as `target` is connected, or answers who has it.
pub async fn lock(target: &Target, job: JobId) -> Result<Option<Holder>> {
    let number = job.0 as i32;
    let taken = target.row("select pg_catalog.pg_try_advisory_lock($1, $2)", &[&JOB_LOCK, &number]).await?;
    if taken.get(0) {
        return Ok(None);
    }
    // Where it has ended between the two questions, whoever asks again will know better.
    let ended = Holder { pid: 0 };
    Ok(Some(holder(target, job).await?.unwrap_or(ended)))
}

/// Who has the job's lock.
pub async fn holder(session: &Session, job: JobId) -> Result<Option<Holder>> {
    let holder = session.rows(include_str!("sql/lock_holder.sql"), &[&JOB_LOCK, &(job.0 as i32)]).await?;
    Ok(holder.first().map(|row| Holder { pid: row.get(0) }))
}

/// Gives the job's lock back.
pub async fn unlock(target: &Target, job: JobId) -> Result<()> {
    target.row("select pg_catalog.pg_advisory_unlock($1, $2)", &[&JOB_LOCK, &(job.0 as i32)]).await.map(drop)
}

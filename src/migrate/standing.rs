//! What stands on the target already: nothing, a table of others, or a job of ours, and how far it is.

use super::identity::Identity;
use super::look::Sides;
use super::request::{Asked, IfExists, Repair, Request};
use crate::catalog::{Hypertable, read};
use crate::error::{Error, Kind, Result};
use crate::ledger::{self, Claim, Job, JobState, REPAIR};
use crate::look::find_hypertable;
use crate::plan::Layout;
use crate::schema;
use crate::takeover::{self, end_earlier_runs, lock};

/// What a run begins with.
pub(super) enum Standing {
    /// The table has to be made, after dropping the one that this job has made before.
    New { forget: Option<Job> },
    /// The table is there and takes more rows, after deleting those that this job has written before.
    Append { table: Box<Hypertable>, forget: Option<Job> },
    /// A job of ours goes on. Without a claim it is only looked at.
    Unfinished { job: Box<Job>, claim: Option<Claim> },
    /// All is done.
    Finished { job: Box<Job> },
    /// The table is there, and ranges of it are copied anew.
    Repair { table: Box<Hypertable> },
}

impl Standing {
    /// Whether the table was there before the job.
    pub(super) fn appends(&self) -> bool {
        match self {
            Standing::New { .. } => false,
            Standing::Append { .. } | Standing::Repair { .. } => true,
            Standing::Unfinished { job, .. } | Standing::Finished { job } => !job.made_table,
        }
    }

    /// Looks, and takes over the job that it finds, unless only a plan is wanted. `layout` is what the request would make.
    pub(super) async fn find(
        request: &Request,
        sides: &Sides,
        asked: &Asked,
        source: &Hypertable,
        layout: &Layout,
    ) -> Result<Standing> {
        let Some(oid) = sides.place.existing_oid else {
            return match &request.repair {
                None => Ok(Standing::New { forget: None }),
                Some(_) => Err(Error::refused(format!("{} was dropped meanwhile", sides.target_table))),
            };
        };
        let mut jobs = ledger::jobs(&sides.target).await?;
        jobs.retain(|job| job.target_oid == oid);
        refuse_unlogged(sides, oid).await?;
        if let Some(repair) = &request.repair {
            return repairable(sides, repair, &jobs).await;
        }
        jobs.retain(|job| job.kind == request.kind());
        let identity = Identity::new(request, source, &asked.partitioning, &asked.bounds);
        let is_same = |job: &Job| Ok::<_, Error>(identity.differences(job, sides, layout)?.is_empty());
        let mut finished = None;
        for job in jobs.iter().filter(|job| job.state == JobState::Finished) {
            finished = if is_same(job)? { Some(job.clone()) } else { finished };
        }
        let unfinished = jobs.iter().find(|job| job.state != JobState::Finished).cloned();
        match (unfinished.or(finished), request.restart) {
            (Some(job), true) => restart(request, sides, job, &jobs).await,
            (Some(job), false) if job.state == JobState::Finished => Ok(Standing::Finished { job: Box::new(job) }),
            (Some(job), false) => {
                refuse_another_request(sides, &job, &identity.differences(&job, sides, layout)?)?;
                let job = Box::new(lock(&sides.target, &job).await?);
                if job.state == JobState::Finished {
                    return Ok(Standing::Finished { job });
                }
                let claim = take_over(request, sides, &job).await?;
                Ok(Standing::Unfinished { job, claim })
            }
            (None, _) if request.if_exists == IfExists::Append => append(sides, None).await,
            (None, _) => Err(Error::refused(format!("{} exists on the target", sides.target_table)).hint(
                "Name another table with --as, drop or rename the one that is there, or add to it with --if-exists append.",
            )),
        }
    }
}

/// A repair that was interrupted is forgotten: what it would have to do is compared anew each time.
async fn repairable(sides: &Sides, repair: &Repair, jobs: &[Job]) -> Result<Standing> {
    let table = &sides.target_table;
    for job in jobs.iter().filter(|job| job.state != JobState::Finished) {
        let job = &lock(&sides.target, job).await?;
        // All rows of it are there: it waits for the two sides to be equal.
        if job.kind != REPAIR && job.state != JobState::Copying {
            continue;
        }
        if job.kind != REPAIR {
            return Err(Error::refused(format!("job {} on {table} is unfinished", job.id.0))
                .hint("Run its command again: a resumed run copies again what has changed."));
        }
        end_earlier_runs(&sides.target, sides.source.session(), job).await?;
        schema::durably(&sides.target, async || ledger::delete_job(&sides.target, job.id).await).await?;
        ledger::unlock(&sides.target, job.id).await?;
    }
    if !repair.any_table && !jobs.iter().any(|job| job.made_table) {
        return Err(Error::refused(format!(
            "{table} was made by no job of hypercopy, and a repair would delete rows of it"
        ))
        .hint("If that is meant, add --yes."));
    }
    Ok(Standing::Repair { table: Box::new(existing_table(sides).await?) })
}

async fn append(sides: &Sides, forget: Option<Job>) -> Result<Standing> {
    Ok(Standing::Append { table: Box::new(existing_table(sides).await?), forget })
}

/// The table that is there.
pub(super) async fn existing_table(sides: &Sides) -> Result<Hypertable> {
    let oid = sides.place.existing_oid.unwrap_or_default();
    let gone = || Error::new(Kind::Target, format!("{} was dropped meanwhile", sides.target_table));
    let table = read::table(&sides.target, oid).await?.ok_or_else(gone)?;
    let row = find_hypertable(&sides.target, &table).await?;
    read::hypertable(&sides.target, &sides.target_server, table, row).await
}

async fn restart(request: &Request, sides: &Sides, job: Job, jobs: &[Job]) -> Result<Standing> {
    if let (true, Some(other)) = (job.made_table, jobs.iter().find(|other| other.id != job.id)) {
        return Err(Error::refused(format!(
            "job {} has made {}, and job {} has copied into it as well: --restart would drop its rows too",
            job.id.0, sides.target_table, other.id.0
        ))
        .hint("Drop the table yourself if that is meant, and run the command without --restart."));
    }
    lock(&sides.target, &job).await?;
    take_over(request, sides, &job).await?;
    match job.made_table {
        true => Ok(Standing::New { forget: Some(job) }),
        false => append(sides, Some(job)).await,
    }
}

/// An unfinished job goes on only as it was asked for.
pub(super) fn refuse_another_request(sides: &Sides, job: &Job, differences: &[String]) -> Result<()> {
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::refused(format!(
        "job {} on {} is unfinished and was asked for otherwise: {}",
        job.id.0,
        sides.target_table,
        differences.join("; ")
    ))
    .hint("Run the command as it was, or give up what was copied with --restart."))
}

/// A crash of the server empties an unlogged table, and the ledger would still call its rows done.
async fn refuse_unlogged(sides: &Sides, oid: u32) -> Result<()> {
    match read::table(&sides.target, oid).await? {
        Some(table) if table.unlogged => Err(Error::refused(format!("{} is unlogged on the target", table.name))
            .hint(format!("Run \"alter table {} set logged\" there first: a crash would empty it.", table.name))),
        _ => Ok(()),
    }
}

/// Makes this, which has the job's lock, its only run, unless only a plan is wanted.
async fn take_over(request: &Request, sides: &Sides, job: &Job) -> Result<Option<Claim>> {
    match request.dry_run {
        true => Ok(None),
        false => takeover::take_over(&sides.target, sides.source.session(), job).await.map(Some),
    }
}

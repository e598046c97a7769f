//! What has become of a job's tables since it began: people rename, change and drop them.

use super::ground::Ground;
use super::plan::JobPlan;
use super::work::Work;
use crate::catalog::read;
use crate::error::{Error, Kind, Result};
use crate::ident::{QualifiedName, display_ident};
use crate::ledger::Job;
use crate::takeover;

/// Refuses to touch a job whose table is another role's, or has another name now.
pub(super) async fn refuse(ground: &Ground, job: &Job) -> Result<()> {
    ground.refuse_stranger()?;
    let plan = JobPlan::of(job)?;
    if *ground.name() != plan.table {
        return Err(Error::refused(format!("{} was called {} when job {} began", ground.name(), plan.table, job.id.0))
            .hint("Rename it back, and run the same command again."));
    }
    refuse_foreign_schema(ground, &plan, job).await
}

/// Takes the job's lock, unless whoever had it has exchanged the tables since the look.
pub(super) async fn lock(ground: &Ground, job: &Job) -> Result<Job> {
    let job = takeover::lock(&ground.target, job).await?;
    match job.target_oid == ground.found.table.oid {
        true => Ok(job),
        false => Err(Error::new(
            Kind::Held,
            format!("another run of job {} has exchanged {} with its other table meanwhile", job.id.0, ground.name()),
        )
        .hint(format!(
            "\"hypercopy jobs show {}\" says how far it is; run the command again if it is still wanted.",
            job.id.0
        ))),
    }
}

/// What the job has made belongs to the role that began it.
async fn refuse_foreign_schema(ground: &Ground, plan: &JobPlan, job: &Job) -> Result<()> {
    let sql = "select pg_get_userbyid(nspowner)::text from pg_catalog.pg_namespace \
               where nspname = $1 and not pg_has_role(nspowner, 'usage')";
    let owners = ground.target.rows(sql, &[&plan.capture.schema]).await?;
    let Some(owner) = owners.first() else { return Ok(()) };
    Err(Error::refused(format!(
        "job {} was begun by role {}, of which role {} is no member",
        job.id.0,
        display_ident(owner.get(0)),
        display_ident(&ground.server().role)
    ))
    .hint("Run the command as that role, or as a superuser."))
}

impl Work<'_> {
    /// Whether the old table is still where the swap has left it.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::error::Kind::Refused) where it is called otherwise now.
    pub(super) async fn is_kept(&self, kept: &QualifiedName) -> Result<bool> {
        match read::table(self.control(), self.plan.old_oid).await? {
            None => Ok(false),
            Some(table) if table.name == *kept => Ok(true),
            Some(table) => Err(Error::refused(format!("the old table was called {kept}, and is {} now", table.name))
                .hint("Rename it back, and run the same command again.")),
        }
    }
}

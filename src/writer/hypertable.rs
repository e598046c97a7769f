//! Copy in: one task, one transaction, one COPY into the hypertable.

use bytes::Bytes;

use super::exit::{Exit, Sink, Written};
use crate::connect::{CopyIn, Target};
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::ident::QualifiedName;
use crate::ledger::{self, Claim, Taken};
use crate::pgcopy::{Format, binary};
use crate::plan::{Entry, OpenDimension, Range, Task};

/// Where the rows of all tasks go.
pub struct Destination {
    /// The run that writes.
    pub claim: Claim,
    /// The table.
    pub table: QualifiedName,
    /// The copied columns, quoted.
    pub columns: String,
    /// The dimension of the ranges.
    pub primary: OpenDimension,
    /// The format of the rows.
    pub format: Format,
    /// What the checksums of the ledger are over.
    pub form: String,
}

impl Destination {
    fn copy_in(&self) -> String {
        let (table, columns, format) = (self.table.sql(), &self.columns, self.format.name());
        format!("copy {table} ({columns}) from stdin (format {format})")
    }
}

/// A task that is being written. Dropping it aborts the COPY, and with the session the transaction.
pub struct TaskWriter {
    copy: CopyIn,
    format: Format,
    task: i32,
}

impl Exit for Destination {
    type Hand = Target;
    type Sink = TaskWriter;

    /// Opens the task's transaction, takes the task in the ledger, makes its range empty where an earlier copy is there,
    /// and starts the COPY. `None` where an earlier attempt has done the task. Its commit need not wait for the disk: the
    /// ledger's row is lost with the data, and one synchronous commit follows before the job goes on.
    ///
    /// # Errors
    /// Beside the server's own, where the range holds rows that the job did not write.
    async fn begin(&self, target: &Target, task: &Task) -> Result<Option<TaskWriter>> {
        target.batch("begin isolation level read committed read write; set local synchronous_commit = off").await?;
        failpoint::hit("before-claim");
        if task.entry == Entry::Again {
            let rows = ledger::retake_task(target, self.claim, task).await?;
            delete_range(target, self, task.range, rows).await?;
        } else if ledger::take_task(target, self.claim, task).await? == Taken::Already {
            target.batch("rollback").await?;
            return Ok(None);
        }
        failpoint::hit("after-claim");
        match task.entry {
            Entry::Fresh | Entry::Again => {}
            Entry::BesideOthers => refuse_rows_of_others(target, self, task).await?,
            Entry::Differing { rows } => delete_range(target, self, task.range, rows).await?,
        }
        let copy = target.copy_in(&self.copy_in()).await?;
        let mut writer = TaskWriter { copy, format: self.format, task: task.id };
        if self.format == Format::Binary {
            writer.feed(Bytes::from_static(&binary::HEADER)).await?;
        }
        Ok(Some(writer))
    }

    /// Compares the counts, completes the task in the ledger and commits.
    ///
    /// # Errors
    /// Where rows were lost between the hand-overs; nothing is committed then.
    async fn commit(&self, target: &Target, task: &Task, written: Written<()>) -> Result<()> {
        failpoint::hit("before-count-check");
        if written.is_uneven() {
            return Err(Error::new(Kind::Target, format!("task {}: {}", task.id, written.counts()))
                .hint("Nothing of the task was committed. A trigger or rule on the target may have dropped rows."));
        }
        ledger::complete_task(target, self.claim.job, task.id, written.bytes, &written.read, &self.form).await?;
        if let Entry::Differing { .. } = task.entry {
            recount_other_jobs(target, self, task.range).await?;
        }
        failpoint::hit("before-commit");
        target.batch("commit").await?;
        failpoint::hit("after-commit");
        Ok(())
    }
}

impl Sink for TaskWriter {
    type Receipt = ();

    /// What the server thinks of all of the rows is known after [`Sink::finish`].
    async fn feed(&mut self, bytes: Bytes) -> Result<()> {
        let task = self.task;
        self.copy.feed(bytes).await.map_err(|error| refused(task, error))
    }

    async fn finish(mut self) -> Result<(u64, ())> {
        if self.format == Format::Binary {
            self.feed(Bytes::from_static(&binary::TRAILER)).await?;
        }
        let task = self.task;
        let stored = self.copy.finish().await.map_err(|error| refused(task, error))?;
        Ok((stored, ()))
    }
}

fn refused(task: i32, error: Error) -> Error {
    error.renamed(format!("the target did not take the rows of task {task}"))
}

/// Deletes the `rows` that the job has copied into a range before, in the caller's transaction.
///
/// # Errors
/// Where there are more or fewer: somebody else has written there, and theirs are not ours to delete.
pub async fn delete_range(target: &Target, to: &Destination, range: Range, rows: u64) -> Result<()> {
    let sql = format!("delete from {}{}", to.table.sql(), to.primary.filter(range));
    let deleted = target.execute(&sql, &[]).await?;
    if deleted == rows {
        return Ok(());
    }
    Err(Error::new(
        Kind::Target,
        format!(
            "{} holds {deleted} rows in {}, and job {} has written {rows} there: somebody else has changed them",
            to.table,
            range.display(to.primary.time_type),
            to.claim.job.0
        ),
    )
    .hint("Nothing was deleted: look at the range on the target."))
}

/// In a table that was there before, whatever its range holds belongs to others.
async fn refuse_rows_of_others(target: &Target, to: &Destination, task: &Task) -> Result<()> {
    let sql = format!("select exists (select from {}{})", to.table.sql(), to.primary.filter(task.range));
    match target.row(&sql, &[]).await?.get(0) {
        false => Ok(()),
        true => Err(Error::new(
            Kind::Target,
            format!("{} has got rows in {} meanwhile", to.table, task.range.display(to.primary.time_type)),
        )
        .hint("Appending only fills empty ranges: nothing was written there. Move those rows away, or leave the range out with --from and --until.")),
    }
}

/// What other jobs have noted of a range that is copied anew has to stay true.
async fn recount_other_jobs(target: &Target, to: &Destination, range: Range) -> Result<()> {
    for (job, task, range) in ledger::overlapping_tasks(target, to.claim, range).await? {
        let sql = format!("select count(*) from {}{}", to.table.sql(), to.primary.filter(range));
        let rows: i64 = target.row(&sql, &[]).await?.get(0);
        ledger::set_rows(target, job, task, rows as u64).await?;
    }
    Ok(())
}

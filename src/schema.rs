//! Runs the plan's DDL; nothing else does.
//!
//! [`begin`] makes the table and the job's row in one transaction, [`make_chunks`] the chunks before the rows, a
//! [`Finisher`] and [`analyze`] what is faster or safer behind the rows.
//!
//! **Invariant:** decides nothing about what the table looks like: every statement but the chunk-making ones comes
//! from `plan` as text.

mod chunks;
mod compression;

use futures_util::future::try_join_all;
use tokio::sync::Semaphore;
use tokio_postgres::error::SqlState;

pub use self::chunks::{create_chunks, make_chunks, make_chunks_beside_others, refuse_too_many_locks};
pub use self::compression::{Compressor, compress_all, decompress_all};
use crate::catalog::{Chunk, Server};
use crate::connect::{Backend, Sessions, Target};
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::ident::{QualifiedName, quote_ident};
use crate::interrupt::Interrupt;
use crate::ledger::{self, Claim, JobId, NewJob};
use crate::plan::Statement;
use crate::progress::Progress;

/// The advisory lock under which jobs begin one after the other; the number is the bytes of "hypercop".
const BEGIN_LOCK: i64 = 0x6879_7065_7263_6f70;

/// Does `work` in one transaction that is on the disk when this returns. Where the work fails nothing of it is there.
pub async fn durably<T>(target: &Target, work: impl AsyncFnOnce() -> Result<T>) -> Result<T> {
    let begin = "begin isolation level read committed read write; set local synchronous_commit = on";
    transaction(target, begin, work).await
}

/// Does `work` in one transaction. `begin` opens it, and may lock. Where either fails nothing of it is there.
pub(crate) async fn transaction<T>(target: &Target, begin: &str, work: impl AsyncFnOnce() -> Result<T>) -> Result<T> {
    let done = match target.batch(begin).await {
        Ok(()) => work().await,
        Err(error) => Err(error),
    };
    end(target, done).await
}

/// Commits what was done, or rolls it back.
async fn end<T>(target: &Target, done: Result<T>) -> Result<T> {
    match done {
        Ok(_) => target.batch("commit").await?,
        // Where the session is lost the transaction is too, and the work's own error says more.
        Err(_) => target.batch("rollback").await.unwrap_or_default(),
    }
    done
}

/// Runs `statements` and writes the job's row and its sessions, in one transaction. The job's lock is the session's from
/// here on. When it fails nothing of it is there.
pub async fn begin(target: &Target, statements: &[Statement], job: &NewJob<'_>, backends: &[Backend]) -> Result<Claim> {
    begin_and(target, statements, job, backends, async |_| Ok(())).await
}

/// As [`begin`], and does `then` in the same transaction: what needs the job's number.
pub async fn begin_and(
    target: &Target,
    statements: &[Statement],
    job: &NewJob<'_>,
    backends: &[Backend],
    then: impl AsyncFnOnce(Claim) -> Result<()>,
) -> Result<Claim> {
    let begin = async || {
        // "if not exists" is no protection against another session that makes the same at the same time.
        target.batch(&format!("select pg_catalog.pg_advisory_xact_lock({BEGIN_LOCK})")).await?;
        ledger::create(target).await?;
        refuse_another_run(target, job).await?;
        for statement in statements {
            failpoint::hit("begin-before-statement");
            run_one_command(target, statement).await?;
        }
        if job.empties {
            ledger::forget_imports(target, job.target).await?;
        }
        let claim = ledger::insert_job(target, job).await?;
        ledger::insert_backends(target, claim.job, backends).await?;
        ledger::lock(target, claim.job).await?;
        then(claim).await?;
        failpoint::hit("begin-before-commit");
        Ok(claim)
    };
    let claim = durably(target, begin).await?;
    failpoint::hit("begin-after-commit");
    Ok(claim)
}

/// Drops the ledger if it holds no job, where the role may. Nothing of others is dropped with it.
pub async fn drop_empty_ledger(target: &Target) -> Result<()> {
    let drop = async || {
        target.batch("lock table _hypercopy.job in access exclusive mode").await?;
        match target.row("select exists (select from _hypercopy.job)", &[]).await?.get(0) {
            true => Ok(()),
            false => target.batch(include_str!("ledger/sql/drop.sql")).await,
        }
    };
    match durably(target, drop).await {
        Err(error) if error.sqlstate().is_some() => Ok(()),
        dropped => dropped,
    }
}

/// The schema of a job's own: what it makes beside the tables of users is in there.
pub fn job_schema(job: JobId) -> String {
    format!("_hypercopy_{}", job.0)
}

/// Drops the job's own schema with whatever is left in it, in the caller's transaction.
pub async fn drop_job_schema(target: &Target, job: JobId) -> Result<()> {
    let schema = job_schema(job);
    let sql = format!("drop schema if exists {} cascade", quote_ident(&schema));
    run(target, &Statement::new(format!("drop schema {schema}"), sql)).await
}

/// Another engine may have begun between our look and our lock.
async fn refuse_another_run(target: &Target, job: &NewJob<'_>) -> Result<()> {
    let jobs = ledger::jobs(target).await?;
    let is_same_table = "select $1::oid = to_regclass($2::text)::oid";
    for other in jobs.iter().filter(|other| other.has_table && (job.is_rival)(other)) {
        let row = target.row(is_same_table, &[&other.target_oid, &job.target.sql()]).await?;
        if row.get::<_, Option<bool>>(0) == Some(true) {
            return Err(Error::new(
                Kind::Held,
                format!("job {} of another run has just begun to fill {}", other.id.0, job.target),
            )
            .hint(format!("\"hypercopy jobs show {}\" says how far it is.", other.id.0)));
        }
    }
    Ok(())
}

/// Drops a table that a job has made, in the caller's transaction.
pub async fn drop_table(target: &Target, table: &QualifiedName) -> Result<()> {
    run(target, &Statement::new(format!("drop table {table}"), format!("drop table {}", table.sql()))).await
}

/// Runs a statement of ours, which may be several commands, in the caller's transaction or by itself.
pub(crate) async fn run(target: &Target, statement: &Statement) -> Result<()> {
    target.batch(&statement.script()).await.map_err(|error| failed(statement, error))
}

/// Runs one statement that has expressions of the source in it: whatever those are, it stays one command.
async fn run_one_command(target: &Target, statement: &Statement) -> Result<()> {
    let run = async {
        if let Some(role) = &statement.role {
            target.batch(&format!("set role {}", quote_ident(role))).await?;
        }
        target.execute(&statement.sql, &[]).await?;
        if statement.role.is_some() { target.batch("reset role").await } else { Ok(()) }
    };
    run.await.map_err(|error| failed(statement, error))
}

/// Runs a statement in the caller's transaction that can be done without: one that the server refuses for good leaves
/// nothing behind, and its error is the answer.
pub async fn run_if_possible(target: &Target, statement: &Statement) -> Result<Option<Error>> {
    target.batch("savepoint statement").await?;
    match run_one_command(target, statement).await {
        Ok(()) => target.batch("release savepoint statement").await.map(|()| None),
        Err(error) if is_refused_for_good(&error) => {
            target.batch("rollback to savepoint statement; release savepoint statement").await?;
            Ok(Some(error))
        }
        Err(error) => Err(error),
    }
}

/// Whether the server would say the same tomorrow: by the classes of its codes that tell of the statement, and not of the
/// server.
fn is_refused_for_good(error: &Error) -> bool {
    const OF_THE_STATEMENT: [&str; 8] = ["0A", "22", "23", "2B", "3F", "42", "55", "P0"];
    let state = error.sqlstate().filter(|state| **state != SqlState::LOCK_NOT_AVAILABLE);
    !error.is_retryable() && state.is_some_and(|state| OF_THE_STATEMENT.contains(&&state.code()[..2]))
}

fn failed(statement: &Statement, error: Error) -> Error {
    Error::new(error.kind(), format!("cannot {} on the target", statement.title)).caused_by(error)
}

/// How many of `sessions` may build indexes at once: each holds a lock on its own index of every chunk until it commits,
/// and all of them one on every chunk. A quarter of the lock table is left to the server's other users.
pub fn index_builders(server: &Server, chunks: u64, sessions: usize) -> usize {
    let rounds = (server.lock_table / 4 * 3) / chunks.max(1);
    usize::try_from(rounds.saturating_sub(1)).unwrap_or(sessions).clamp(1, sessions.max(1))
}

/// Where the expressions in statements are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// Another database or an archive: whatever they are, a statement stays one command.
    Foreign,
    /// The database that the statements run in. One of them may be several commands.
    Own,
}

/// Runs the statements behind the rows; each and its mark in the ledger are one transaction.
pub struct Finisher<'a> {
    /// Sessions that take turns.
    pub sessions: &'a Sessions,
    /// The run that finishes.
    pub claim: Claim,
    /// Where what its statements say is from.
    pub words: Words,
    /// The wish to stop, heeded between statements.
    pub interrupt: &'a Interrupt,
    /// Hears of each statement as it begins, and when it is committed.
    pub progress: &'a Progress,
}

impl Finisher<'_> {
    /// Runs statements one after the other.
    pub async fn run_in_turn(&self, statements: &[Statement]) -> Result<()> {
        for statement in statements {
            self.sessions.with(async |session| self.run_step(session, statement, "").await).await?;
        }
        Ok(())
    }

    /// Runs statements one after the other that the server refuses to run inside a transaction. The mark in the ledger comes
    /// behind each of them: one that has ended, and the run before its mark, may be run again.
    pub async fn run_alone(&self, statements: &[Statement]) -> Result<()> {
        for statement in statements {
            self.sessions.with(async |session| self.run_step_alone(session, statement).await).await?;
        }
        Ok(())
    }

    async fn run_step_alone(&self, target: &Target, statement: &Statement) -> Result<()> {
        let _open = self.interrupt.open()?;
        self.progress.phase(&statement.title);
        run(target, statement).await?;
        failpoint::hit("alone-before-mark");
        durably(target, async || ledger::repeat_step(target, self.claim, &statement.title).await).await?;
        self.progress.add_step();
        Ok(())
    }

    /// Builds indexes, at most `at_once` of them at the same time.
    pub async fn build_indexes(&self, statements: &[Statement], at_once: usize) -> Result<()> {
        let turns = Semaphore::new(at_once);
        let helpers = parallel_workers(self.sessions.len(), at_once.min(statements.len()));
        let run = async |statement: &Statement| {
            let _turn = turns.acquire().await;
            let build =
                async || self.sessions.with(async |session| self.run_step(session, statement, &helpers).await).await;
            for _ in 1..statements.len() {
                match build().await {
                    Err(error) if is_name_just_taken(&error) => {}
                    ended => return ended,
                }
            }
            build().await
        };
        try_join_all(statements.iter().map(run)).await.map(drop)
    }

    /// Runs statements one after the other that can be done without, as often as need be; answers those that the server
    /// refuses for good, and why.
    pub async fn run_what_is_possible(&self, statements: Vec<Statement>) -> Result<Vec<(Statement, Error)>> {
        let mut refused = Vec::new();
        for statement in statements {
            let error =
                self.sessions.with(async |session| self.run_step_if_possible(session, &statement).await).await?;
            refused.extend(error.map(|error| (statement, error)));
        }
        Ok(refused)
    }

    async fn run_step_if_possible(&self, target: &Target, statement: &Statement) -> Result<Option<Error>> {
        let work = async || match run_if_possible(target, statement).await? {
            None => ledger::repeat_step(target, self.claim, &statement.title).await.map(|()| None),
            refused => Ok(refused),
        };
        self.step(target, statement, work).await
    }

    async fn run_step(&self, target: &Target, statement: &Statement, setting: &str) -> Result<()> {
        let work = async || {
            ledger::insert_step(target, self.claim, &statement.title).await?;
            target.batch(setting).await?;
            match self.words {
                Words::Foreign => run_one_command(target, statement).await,
                Words::Own => run(target, statement).await,
            }
        };
        self.step(target, statement, work).await
    }

    async fn step<T>(
        &self,
        target: &Target,
        statement: &Statement,
        work: impl AsyncFnOnce() -> Result<T>,
    ) -> Result<T> {
        let _open = self.interrupt.open()?;
        failpoint::hit("finalize-before-step");
        self.progress.phase(&statement.title);
        let step = async || {
            let done = work().await?;
            failpoint::hit("finalize-before-commit");
            Ok(done)
        };
        let done = durably(target, step).await?;
        self.progress.add_step();
        failpoint::hit("finalize-after-commit");
        Ok(done)
    }
}

/// TimescaleDB cuts the names of chunks' indexes to fit, and numbers those that are taken; of two that are cut to the
/// same name at the same time the later one fails, when the other is committed, and finds it taken the next time.
fn is_name_just_taken(error: &Error) -> bool {
    error.constraint() == Some("pg_class_relname_nsp_index")
}

/// The statement that gives each build its share of parallel workers, and not more than the server would: where every
/// session builds an index of its own, helpers only get in each other's way (measured: 2.0 s with them, 1.7 s without,
/// for two indexes on two cores).
fn parallel_workers(sessions: usize, builds: usize) -> String {
    let share = (sessions / builds.max(1)).saturating_sub(1);
    format!(
        "select pg_catalog.set_config('max_parallel_maintenance_workers', \
         least(pg_catalog.current_setting('max_parallel_maintenance_workers')::int4, {share})::text, true)"
    )
}

/// Does work that may make chunks of a table that others write, too: whoever makes one holds a lock that others wait for,
/// while it waits for theirs (a table referred to, a row with the same key). Such a deadlock is broken by whoever has
/// waited for `deadlock_timeout`, and that shall not be the application: here no lock is waited for half as long. What
/// fails for that may pass.
pub async fn giving_way<T>(target: &Target, work: impl Future<Output = Result<T>>) -> Result<T> {
    let set = "select pg_catalog.set_config('lock_timeout', least(greatest(setting::int4 / 2, 1), 500)::text, false) \
               from pg_catalog.pg_settings where name = 'deadlock_timeout'";
    target.row(set, &[]).await?;
    let done = work.await;
    let reset = target.batch("set lock_timeout = 0").await;
    // In a transaction that has failed nothing can be set, and the session is given up.
    done.and_then(|done| reset.map(|()| done))
}

/// Collects statistics: each of these chunks by itself, several at once, and the root's own over all chunks. The root
/// is analyzed by `plain`, a session without TimescaleDB, which would read every chunk a second time.
pub async fn analyze(sessions: &Sessions, plain: &Target, table: &QualifiedName, chunks: &[Chunk]) -> Result<()> {
    let analyze = |name: &QualifiedName| Statement::new(format!("analyze {name}"), format!("analyze {}", name.sql()));
    let chunks = chunks.iter().map(async |chunk| {
        let statement = analyze(&chunk.table());
        sessions.with(async |session| run(session, &statement).await).await
    });
    let root = analyze(table);
    tokio::try_join!(try_join_all(chunks), run(plain, &root)).map(drop)
}

//! What follows the names' exchange: what takes long, and disturbs nobody. Each statement is a step of its own.

use std::time::Instant;

use futures_util::future::try_join_all;
use tokio::sync::Semaphore;

use super::contention::{Lock, LockMode};
use super::plan::Swapped;
use super::work::Work;
use crate::catalog::dependents::Dependents;
use crate::catalog::{Chunk, ChunkShape, Columnstore, Policies, read};
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::ident::QualifiedName;
use crate::ledger;
use crate::plan::aggregates::Exchange;
use crate::plan::policies::{self, Subject};
use crate::plan::{Statement, belongings, dependents};
use crate::schema;

impl Work<'_> {
    /// What follows the swap.
    pub(super) async fn follow_swap(&self) -> Result<()> {
        let Some(swapped) = &self.plan.swapped else { return Ok(()) };
        self.validate(swapped).await?;
        self.refresh_aggregates().await?;
        self.compress(swapped).await?;
        self.hand_jobs_over(&swapped.surroundings.policies).await?;
        self.renew_views(&swapped.surroundings.dependents).await
    }

    /// What follows its undo: the old table's chunks, and its aggregates, are as they were.
    pub(super) async fn follow_undo(&self) -> Result<()> {
        let Some(swapped) = &self.plan.swapped else { return Ok(()) };
        self.validate(swapped).await?;
        self.hand_jobs_over(&swapped.surroundings.policies).await?;
        self.renew_views(&swapped.surroundings.dependents).await
    }

    /// Foreign keys, and then the columnstore, which refuses their validation.
    async fn validate(&self, swapped: &Swapped) -> Result<()> {
        let (start, table) = (Instant::now(), &self.plan.table);
        let (control, wanted) = (self.control(), &swapped.surroundings);
        self.follow(belongings::after_swap(&wanted.belongings, table), "validate", start).await?;
        match &wanted.policies.columnstore {
            Some(settings) if read::columnstore(control, self.hypertable_id(table).await?).await?.is_none() => {
                let enable = policies::enable_columnstore(settings, table);
                self.giving_way(&enable, &self.lock(LockMode::AccessExclusive)).await
            }
            _ => Ok(()),
        }
    }

    /// Jobs, some of which need the columnstore.
    async fn hand_jobs_over(&self, policies: &Policies) -> Result<()> {
        let (start, server, table) = (Instant::now(), self.ground.server(), &self.plan.table);
        let to = Subject { id: self.hypertable_id(table).await?, name: table };
        let mut statements = policies::hand_over(&policies.jobs, policies.hypertable_id, to, server);
        statements.extend(policies::resume(policies, server));
        self.follow(statements, "hand jobs over", start).await
    }

    /// Materialized views are built anew beside the old ones, which show their rows until then.
    async fn renew_views(&self, found: &Dependents) -> Result<()> {
        let start = Instant::now();
        let (found, gone) = self.views_now(found).await?;
        let statements = dependents::after_swap(&found, &gone, self.claim.job.0, self.run.request.lock_timeout);
        let renewed = self.follow(statements, "materialized views", start).await;
        renewed.map_err(|error| match error.kind() {
            Kind::Target if !error.is_retryable() => error.hint(
                "The names are exchanged, and the view shows its rows of before until it is made anew: mend what its query \
                 meets; or give its rows up by \"refresh materialized view … with no data\", or drop it; and run the same command again.",
            ),
            _ => error,
        })
    }

    /// Views that are half way from one table to the other are brought to the one that has the name.
    pub(super) async fn finish_views(&self, found: &Dependents) -> Result<()> {
        let steps = ledger::steps(self.control(), self.claim.job).await?;
        let has_begun = found.materialized_views.iter().any(|view| steps.contains(&dependents::build_title(view)));
        if has_begun { self.renew_views(found).await } else { Ok(()) }
    }

    /// The views as people have left them since: whose rows were given up, and, beside them, which were dropped.
    async fn views_now(&self, found: &Dependents) -> Result<(Dependents, Vec<QualifiedName>)> {
        let (mut found, mut gone) = (found.clone(), Vec::new());
        let steps = ledger::steps(self.control(), self.claim.job).await?;
        for view in &mut found.materialized_views {
            if steps.contains(&dependents::exchange_title(view)) {
                continue;
            }
            let sql = "select relispopulated from pg_catalog.pg_class where oid = to_regclass($1) and relkind = 'm'";
            match self.control().rows(sql, &[&view.name.sql()]).await?.first() {
                Some(row) => view.heap.populated &= row.get::<_, bool>(0),
                None => gone.push(view.name.clone()),
            }
        }
        Ok((found, gone))
    }

    /// Compresses the new chunks whose rows have all been in compressed ones, of the table and of its aggregates. It comes
    /// behind the swap: a table with compressed chunks takes no foreign keys any more, and what is copied again under the
    /// swap's lock would have to be decompressed there.
    async fn compress(&self, swapped: &Swapped) -> Result<()> {
        let (start, mut all) = (Instant::now(), 0);
        if let Some(columnstore) = &swapped.surroundings.policies.columnstore {
            let old: Vec<ChunkShape> = self.chunks_of(&swapped.away.table).await?.iter().map(Chunk::shape).collect();
            let compressed = self.compress_like(&self.plan.table, &old, columnstore).await?;
            self.report().compressed_chunks += compressed;
            all += compressed;
        }
        for Exchange { old, new, .. } in &self.plan.aggregates {
            if let Some(columnstore) = &old.columnstore {
                all += self.compress_like(&new.materialization, &old.shapes, columnstore).await?;
            }
        }
        if all > 0 {
            self.phase("compress", start);
        }
        Ok(())
    }

    /// Compresses the chunks of `table` whose rows have all been in compressed ones among `old`; answers how many.
    async fn compress_like(&self, table: &QualifiedName, old: &[ChunkShape], columnstore: &Columnstore) -> Result<u64> {
        let new = self.chunks_of(table).await?;
        let chunks = policies::compressible(&new, old);
        if chunks.is_empty() {
            return Ok(0);
        }
        self.supervision().progress.phase(format!("compressing {} chunks of {table}", chunks.len()));
        // Those that are merged as they are compressed are so into the one before them.
        let turns = Semaphore::new(if columnstore.chunk_interval.is_some() { 1 } else { self.sessions.len() });
        let compress = async |chunk: &&Chunk| {
            let _turn = turns.acquire().await;
            self.compress_chunk(chunk).await
        };
        try_join_all(chunks.iter().map(compress)).await?;
        Ok(chunks.len() as u64)
    }

    /// TimescaleDB keeps writers out of the chunk while it reads it, and in the end everybody for a moment.
    async fn compress_chunk(&self, chunk: &Chunk) -> Result<()> {
        let (table, oid) = (chunk.table(), chunk.oid.unwrap_or_default());
        let lock = Lock { table: &table, oid, only: true, mode: LockMode::AccessExclusive };
        self.giving_way(&policies::compress_chunk(chunk, self.ground.server()), &lock).await
    }

    /// Runs a statement that needs this lock in the end; whoever it would wait for goes first.
    async fn giving_way(&self, statement: &Statement, lock: &Lock<'_>) -> Result<()> {
        let contention = self.contention();
        self.sessions
            .with(async |session| {
                let work = async || {
                    ledger::repeat_step(session, self.claim, &statement.title).await?;
                    schema::run(session, statement).await?;
                    failpoint::hit("compress-before-commit");
                    Ok(())
                };
                contention.transaction(session, &statement.title, lock, work).await
            })
            .await?;
        failpoint::hit("compress-after-commit");
        Ok(())
    }

    /// The chunks of a hypertable; none where it is gone.
    async fn chunks_of(&self, table: &QualifiedName) -> Result<Vec<Chunk>> {
        let control = self.control();
        match read::hypertable_row(control, table).await? {
            Some(row) => read::chunks(control, self.ground.server(), row.id).await,
            None => Ok(Vec::new()),
        }
    }

    async fn hypertable_id(&self, table: &QualifiedName) -> Result<i32> {
        let gone = || Error::internal(format!("{table} is no hypertable any more"));
        Ok(read::hypertable_row(self.control(), table).await?.ok_or_else(gone)?.id)
    }

    /// Runs what was not run yet of these, one after the other.
    async fn follow(&self, statements: Vec<Statement>, phase: &'static str, start: Instant) -> Result<()> {
        let statements = self.to_do(statements).await?;
        if !statements.is_empty() {
            self.finisher().run_in_turn(&statements).await?;
            self.phase(phase, start);
        }
        Ok(())
    }

    /// Those that are not in the ledger.
    pub(super) async fn to_do(&self, mut statements: Vec<Statement>) -> Result<Vec<Statement>> {
        let steps = ledger::steps(self.control(), self.claim.job).await?;
        statements.retain(|statement| !steps.contains(&statement.title));
        Ok(statements)
    }
}

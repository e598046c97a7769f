//! What TimescaleDB does to the table by itself: asked of the target beforehand, set up behind everything else.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::belongings::listed;
use super::identity::JobPlan;
use super::look::Sides;
use super::request::{Parts, Request};
use super::source::Stock;
use super::standing::Standing;
use super::work::Work;
use crate::catalog::views::ViewPlaces;
use crate::catalog::{Aggregate, Chunk, ChunkShape, Columnstore, Hypertable, Job, NotCarried, Server, read};
use crate::connect::{Sessions, Target};
use crate::error::{Error, Result};
use crate::ident::quote_literal;
use crate::ledger;
use crate::pipeline::Follow;
use crate::plan::readers::{self, Readers};
use crate::plan::trappings::Passage;
use crate::plan::{
    CompressRequest, Compressed, Layout, Moment, Statement, TargetNames, Task, Upkeep, aggregates, create_jobs,
    default_columnstore, policies,
};
use crate::report::Report;
use crate::schema::{self, Finisher, Words};

/// What is asked, of which two ends, and what stands on the target.
pub(super) struct Case<'a> {
    pub(super) request: &'a Request,
    pub(super) sides: &'a Sides,
    pub(super) standing: &'a Standing,
}

/// What the target can have of what TimescaleDB does to the source, and of what reads that.
pub(super) async fn foreseen(
    case: &Case<'_>,
    source: &Hypertable,
    names: &TargetNames,
    passage: &Passage<'_>,
) -> Result<(Upkeep, Readers)> {
    let Case { request, sides, standing } = case;
    let of_aggregates = source.aggregates.iter().flat_map(|aggregate| &aggregate.jobs);
    let jobs: Vec<&Job> = source.policies.jobs.iter().chain(of_aggregates).collect();
    let means = read::means(&sides.target, &source.policies.tablespaces, &jobs).await?;
    let mut places = view_places(sides, source).await?;
    if let Standing::New { forget: Some(job) } = standing {
        // They go with the table.
        let forgotten = made_readers(&sides.target, job).await?;
        places.relations.retain(|name| !forgotten.names().any(|gone| gone == name));
    }
    let readers = Readers::of(source, &names.table, passage, &places, &means);
    let mut upkeep = Upkeep::of(source, names, &sides.target_server, &means);
    let is_asked = matches!(request.compress, Some(CompressRequest::All | CompressRequest::OlderThan(_)));
    if is_asked && sides.target_server.is_apache() {
        return Err(Error::refused("the target is of the Apache edition, which has no compressed chunks")
            .hint("Leave --compress out: what is compressed on the source arrives uncompressed there."));
    }
    let table = &source.belongings.table;
    if is_asked && (table.row_security || table.row_security_forced) {
        return Err(Error::refused(format!(
            "{} has row-level security, which TimescaleDB does not take beside compressed chunks",
            source.name()
        ))
        .hint("Leave --compress out, or disable row-level security on the source."));
    }
    if is_asked && upkeep.policies.columnstore.is_none() {
        upkeep.policies.columnstore = Some(default_columnstore());
    }
    Ok((upkeep, readers))
}

async fn view_places(sides: &Sides, source: &Hypertable) -> Result<ViewPlaces> {
    let (relations, roles) = (readers::relations(source), readers::roles(source));
    read::view_places(&sides.target, &relations, &roles, &readers::needs(source)).await
}

/// The aggregates and views that a job has made.
pub(super) async fn made_readers(target: &Target, job: &ledger::Job) -> Result<Readers> {
    let steps = ledger::steps(target, job.id).await?;
    Ok(JobPlan::of(job)?.readers.made(&steps))
}

/// Which chunks of the table are compressed, where `upkeep` lets it have any.
pub(super) async fn compressed(case: &Case<'_>, layout: &Layout, upkeep: &Upkeep, stock: &Stock) -> Result<Compressed> {
    let Case { request, sides, standing } = case;
    if standing.appends() || request.parts == Parts::Schema || upkeep.policies.columnstore.is_none() {
        return Ok(Compressed::Nothing);
    }
    asked(request, sides, layout, &stock.shapes).await
}

/// Which chunks shall be compressed, of the table or of an aggregate, whose chunks have these `shapes` on the source.
async fn asked(request: &Request, sides: &Sides, layout: &Layout, shapes: &[ChunkShape]) -> Result<Compressed> {
    Ok(match request.compress.clone().unwrap_or_default() {
        CompressRequest::None => Compressed::Nothing,
        CompressRequest::All => Compressed::All,
        CompressRequest::OlderThan(age) => Compressed::Before(moment_of_age(sides, layout, &age).await?),
        CompressRequest::Preserve => Compressed::Like(shapes.to_vec()),
    })
}

/// Compressed chunks that arrive otherwise; that they do was not asked for.
pub(super) fn uncompressed(request: &Request, compressed: &Compressed, stock: &Stock) -> Option<NotCarried> {
    let is_wanted = matches!(request.compress, None | Some(CompressRequest::Preserve));
    let is_lost = stock.compressed > 0 && is_wanted && request.parts != Parts::Schema && !compressed.is_any();
    is_lost.then(|| NotCarried::new("compression", format!("{} chunks arrive uncompressed", stock.compressed)))
}

/// The value of the axis that is so old now, in internal time.
async fn moment_of_age(sides: &Sides, layout: &Layout, age: &str) -> Result<i64> {
    if layout.primary.time_type.is_integer() {
        return Err(Error::refused(format!(
            "--compress older-than takes an age, and dimension {} is a number",
            layout.primary.column
        ))
        .hint("Compress what is older by a policy of the table's, or everything with --compress all."));
    }
    let now = sides.target_server.internal_function("time_to_internal");
    let sql =
        format!("select {now}(pg_catalog.now() operator(pg_catalog.-) {}::pg_catalog.interval)", quote_literal(age));
    let row = sides.target.row(&sql, &[]).await.map_err(|error| match error.sqlstate() {
        Some(_) => Error::refused(format!("--compress older-than \"{age}\" is no interval"))
            .caused_by(error)
            .hint("Write it as PostgreSQL reads it, such as 'older-than 7 days'."),
        None => error,
    })?;
    Ok(row.get(0))
}

impl Work<'_> {
    /// Chunks that rows will be copied into are made ready for them: an earlier run may have compressed them.
    pub(super) async fn open_chunks(&self, chunks: &[Chunk], tasks: &[Task]) -> Result<()> {
        let is_filled = |chunk: &&Chunk| tasks.iter().any(|task| task.range.overlaps(chunk.primary()));
        let closed: Vec<&Chunk> = chunks.iter().filter(|chunk| chunk.compressed).filter(is_filled).collect();
        // Rows of a table that was there go into its compressed chunks as anybody's do.
        if closed.is_empty() || self.planned.appends {
            return Ok(());
        }
        self.supervision.progress.phase(format!("decompressing {} chunks", closed.len()));
        let _open = self.supervision.interrupt.open()?;
        schema::decompress_all(&self.sides.target, self.claim, &self.sides.target_server, &closed).await
    }

    /// Switches the columnstore on, where that was not done on the empty table.
    pub(super) async fn enable_columnstore(&self, finisher: &Finisher<'_>) -> Result<()> {
        let Some(settings) = &self.planned.upkeep.policies.columnstore else { return Ok(()) };
        let id = self.target_hypertable_id().await?;
        if read::columnstore(&self.sides.target, id).await?.is_some() {
            return Ok(());
        }
        finisher.run_in_turn(&[policies::enable_columnstore(settings, self.table())]).await
    }

    /// Compresses what is not compressed yet.
    pub(super) async fn compress_rest(&self, sessions: &Sessions) -> Result<()> {
        let (server, chunks) = (&self.sides.target_server, self.target_chunks().await?);
        let missing = self.planned.compressed.missing(&chunks);
        let Some(columnstore) = self.planned.upkeep.policies.columnstore.as_ref().filter(|_| !missing.is_empty())
        else {
            return Ok(());
        };
        self.supervision.progress.phase(format!("compressing {} chunks", missing.len()));
        let _open = self.supervision.interrupt.open()?;
        schema::compress_all(sessions, self.claim, server, &missing, compressors(columnstore, sessions)).await
    }

    /// What the table does by itself from now on: the last there is to do.
    pub(super) async fn schedule(&self, sessions: &Sessions, report: &mut Report) -> Result<()> {
        let (planned, progress) = (self.planned, &self.supervision.progress);
        let interrupt = &self.supervision.interrupt;
        let finisher = Finisher { sessions, claim: self.claim, words: Words::Foreign, interrupt, progress };
        self.enable_columnstore(&finisher).await?;
        let chunks = self.target_chunks().await?;
        report.target_chunks = Some(chunks.len());
        report.compressed_chunks = Some(chunks.iter().filter(|chunk| chunk.compressed).count());
        self.make_readers(&finisher, report).await?;
        let server = &self.sides.target_server;
        let mut jobs = create_jobs(&planned.upkeep.policies.jobs, &planned.source, &planned.names, server);
        jobs.extend(planned.readers.create_jobs(server));
        self.make(&finisher, jobs, report).await
    }

    /// Makes what the table can be without; what the server refuses is listed.
    async fn make(&self, finisher: &Finisher<'_>, statements: Vec<Statement>, report: &mut Report) -> Result<()> {
        let refused = finisher.run_what_is_possible(self.to_do(statements).await?).await?;
        report.add_not_carried(listed(refused, self.request.strict)?);
        Ok(())
    }

    /// Aggregates, filled, and views. What they say is the source's, and so each statement stays one command.
    async fn make_readers(&self, finisher: &Finisher<'_>, report: &mut Report) -> Result<()> {
        let (target, server, readers) = (&self.sides.target, &self.sides.target_server, &self.planned.readers);
        let names = self.planned.names.moved(&self.planned.source);
        if readers.names().next().is_none() {
            return Ok(());
        }
        self.make(finisher, readers.create_aggregates(names), report).await?;
        let made = read::aggregates(target, server, self.target_hypertable_id().await?).await?;
        let of = |old: &Aggregate| made.iter().find(|made| made.name == old.name).cloned();
        for (old, new) in readers.aggregates.iter().filter_map(|old| Some((old, of(old)?))) {
            let settle = aggregates::settle_one(old, &new, str::to_string, server);
            self.make(finisher, settle, report).await?;
        }
        let filled = readers.fill(server, |name| made.iter().any(|made| made.name == *name));
        finisher.run_alone(&self.to_do(filled).await?).await?;
        for (old, new) in readers.aggregates.iter().filter_map(|old| Some((old, of(old)?))) {
            self.compress_aggregate(finisher.sessions, old, &new, report).await?;
        }
        self.make(finisher, readers.create_views(), report).await?;
        self.make(finisher, readers.fill_views(), report).await
    }

    /// Compresses the materialization of an aggregate as it was asked for: its columnstore was switched on before it was
    /// filled.
    async fn compress_aggregate(
        &self,
        sessions: &Sessions,
        old: &Aggregate,
        new: &Aggregate,
        report: &mut Report,
    ) -> Result<()> {
        let (target, server) = (&self.sides.target, &self.sides.target_server);
        if old.columnstore.is_none() || self.request.parts == Parts::Schema {
            return Ok(());
        }
        let wanted = asked(self.request, self.sides, &self.planned.layout, &old.shapes).await?;
        let chunks = read::chunks(target, server, new.id).await?;
        let missing = wanted.missing(&chunks);
        // Where the server has refused it, that is listed already; that its chunks are not compressed is not.
        let Some(columnstore) = read::columnstore(target, new.id).await? else {
            let lost = format!("{} chunks of {} arrive uncompressed", missing.len(), new.name);
            report.add_not_carried(vec![NotCarried::new("compression", lost)]);
            return Ok(());
        };
        self.supervision.progress.phase(format!("compressing {} chunks of {}", missing.len(), new.name));
        let _open = self.supervision.interrupt.open()?;
        schema::compress_all(sessions, self.claim, server, &missing, compressors(&columnstore, sessions)).await
    }

    /// Those that are not in the ledger.
    pub(super) async fn to_do(&self, mut statements: Vec<Statement>) -> Result<Vec<Statement>> {
        let steps = ledger::steps(&self.sides.target, self.claim.job).await?;
        statements.retain(|statement| !steps.contains(&statement.title));
        Ok(statements)
    }

    /// Whoever compresses the chunks that the copy fills, while it fills others.
    pub(super) fn compressor(&self, chunks: &[Chunk], tasks: &[Task]) -> Option<schema::Compressor> {
        let chunks = match self.planned.compression {
            Some(Moment::WithTheCopy) => self.planned.compressed.missing(chunks),
            Some(Moment::Behind) | None => Vec::new(),
        };
        let server = &self.sides.target_server;
        (!chunks.is_empty()).then(|| schema::Compressor::new(self.claim, server, &chunks, tasks))
    }
}

/// How many chunks may be compressed at the same time: those that are merged as they are compressed are so into the one before
/// them.
fn compressors(columnstore: &Columnstore, sessions: &Sessions) -> usize {
    if columnstore.chunk_interval.is_some() { 1 } else { sessions.len() }
}

/// What is made on the empty table, behind what else it has there: the columnstore, too, where chunks are compressed as they are
/// filled.
pub(super) fn early(
    upkeep: &Upkeep,
    names: &TargetNames,
    server: &Server,
    compression: Option<Moment>,
) -> Vec<Statement> {
    let mut statements = policies::on_empty_table(&upkeep.policies, &names.table, server);
    let settings = upkeep.policies.columnstore.iter().filter(|_| compression == Some(Moment::WithTheCopy));
    statements.extend(settings.map(|settings| policies::enable_columnstore(settings, &names.table)));
    statements
}

/// A session that compresses behind each task's commit.
pub(super) fn following(compressor: schema::Compressor) -> Follow {
    let compressor = Arc::new(compressor);
    Box::new(move |target: &Target, task: &Task| -> BoxFuture<'_, Result<()>> {
        let (compressor, task) = (Arc::clone(&compressor), task.id);
        Box::pin(async move { compressor.follow(target, task).await })
    })
}

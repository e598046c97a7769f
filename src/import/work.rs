//! Does what was planned: begin, load, settle, build indexes.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use futures_util::future::{BoxFuture, try_join_all};

use super::look::Ground;
use super::planned::{JobPlan, Planned, in_flight};
use super::report::ImportReport;
use super::request::{Header, OnConflict, Request};
use super::role;
use super::standing::{Standing, is_rival};
use crate::catalog::{Chunk, read};
use crate::connect::{Backend, Sessions, Side, Target};
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::input::Input;
use crate::ledger::{self, Claim, IMPORT, JobState, NewJob, Origin, Stretch};
use crate::pipeline::load::{self, Load, Loaded, MakeChunks, Reopen};
use crate::plan::{Point, Statement};
use crate::progress;
use crate::reader::csv::cut::{Check, Cutter, Extent, File, Opened};
use crate::reader::csv::preamble::{refuse_delimiter, shown};
use crate::reader::csv::rows::Atlas;
use crate::report::{LatencyReport, to_json};
use crate::schema;
use crate::supervision::Supervision;
use crate::takeover;
use crate::vigil::Vigil;
use crate::writer::budget::Budget;
use crate::writer::landing::Landing;

/// Who is served, who watches, and what is imported.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) request: &'a Request,
    pub(super) inputs: &'a [Arc<Input>],
    pub(super) supervision: &'a Supervision,
    pub(super) vigil: &'a Vigil,
}

impl Run<'_> {
    /// Does what one session does by itself. A connection that stands still meanwhile, with the server waiting for us, is
    /// an error; nobody else would notice.
    async fn attend<T>(self, session: &Target, work: impl Future<Output = Result<T>>) -> Result<T> {
        let (backends, pulse) = ([(Side::Target, session.backend().pid)], AtomicU64::new(0));
        tokio::select! {
            biased;
            done = work => done,
            stalled = self.vigil.stalled(&backends, &pulse) => Err(stalled),
        }
    }
}

/// One run of a job.
struct Work<'a> {
    run: Run<'a>,
    ground: &'a Ground,
    planned: &'a Planned,
    claim: Claim,
    /// What earlier runs have done.
    done: Vec<Stretch>,
    makes_table: bool,
}

/// Does all of it.
pub(super) async fn work(
    run: Run<'_>,
    ground: &Ground,
    planned: &Planned,
    standing: Standing,
    opened: Opened,
    report: &mut ImportReport,
) -> Result<()> {
    let targets = open_targets(run, ground).await?;
    let mut backends = vec![ground.target.backend().clone()];
    backends.extend(targets.iter().map(|target| target.backend().clone()));
    let (claim, makes_table) = begin(run, ground, planned, &standing, &backends, report).await?;
    let (indexes, done) = match standing {
        Standing::Unfinished { job, done, .. } => (JobPlan::of(&job)?.indexes, done),
        _ => (planned.indexes.clone(), Vec::new()),
    };
    report.resumed_blocks = done.len() as u64;
    let done = done.into_iter().map(|block| block.stretch).collect();
    let work = Work { run, ground, planned, claim, done, makes_table };
    let sessions = work.load(targets, opened, report).await?;
    work.build_indexes(&sessions, &indexes, report).await?;
    work.finish(report).await
}

/// In the order of the files there is one that loads.
async fn open_targets(run: Run<'_>, ground: &Ground) -> Result<Vec<Target>> {
    let sessions = match run.request.on_conflict {
        OnConflict::Error => run.request.jobs,
        OnConflict::Skip | OnConflict::Update => 1,
    };
    let open = (1..=sessions).map(async |worker| {
        let target = Target::open(&run.request.target, &worker_role(ground, worker)).await?;
        run.supervision.watch(&target);
        Ok::<_, Error>(target)
    });
    try_join_all(open).await
}

fn worker_role(ground: &Ground, worker: usize) -> String {
    format!("{} copy in {worker}", role("import", &ground.table.to_string()))
}

/// Makes the job, or goes on with it, and notes the sessions that it has; answers whether the job has made the table.
async fn begin(
    run: Run<'_>,
    ground: &Ground,
    planned: &Planned,
    standing: &Standing,
    backends: &[Backend],
    report: &mut ImportReport,
) -> Result<(Claim, bool)> {
    let start = Instant::now();
    let target = &ground.target;
    run.supervision.interrupt.check()?;
    if let Standing::Unfinished { job, claim: Some(claim), .. } = standing {
        (report.job.id, report.job.has_begun) = (Some(job.id), true);
        schema::durably(target, async || ledger::insert_backends(target, claim.job, backends).await).await?;
        return Ok((*claim, job.made_table));
    }
    run.supervision.progress.phase("beginning");
    let job = NewJob {
        kind: IMPORT,
        target: &ground.table,
        made_table: planned.makes_table,
        source: Origin { system: "", database: "", name: &planned.identity.describe_files() },
        request: &planned.identity.json()?,
        plan: &planned.job_plan()?,
        empties: planned.identity.truncates(),
        is_rival: &|other| is_rival(ground, &planned.identity, other),
    };
    report.job.has_begun = true;
    let claim = run.attend(target, schema::begin(target, &planned.before_rows, &job, backends)).await?;
    report.job.id = Some(claim.job);
    report.phase("begin", start);
    Ok((claim, planned.makes_table))
}

impl Work<'_> {
    async fn load(&self, targets: Vec<Target>, opened: Opened, report: &mut ImportReport) -> Result<Sessions> {
        let start = Instant::now();
        let progress = &self.run.supervision.progress;
        let bytes = self.run.inputs.iter().filter_map(|input| input.size()).sum();
        progress.plan(progress::Planned { bytes, ..progress::Planned::default() });
        progress.phase("importing");
        let load = Arc::new(self.shared().await?);
        let loaded = load::run(Arc::clone(&load), self.cutter(opened), targets).await;
        self.tell(report).await?;
        let Loaded { meters, targets, extents, tally } = loaded?;
        report.phase("import", start);
        report.latency = Some(LatencyReport::of(&meters));
        (report.binary_blocks, report.text_blocks, report.bytes) =
            (tally.binary_blocks, tally.text_blocks, tally.bytes);
        self.run.attend(&self.ground.target, self.settle(&extents)).await?;
        self.settle_rejects(&load.budget).await?;
        Ok(Sessions::new(targets))
    }

    async fn settle_rejects(&self, budget: &Budget) -> Result<()> {
        if budget.is_kept() {
            return Ok(());
        }
        let rejects = ledger::rejects(&self.ground.target, self.claim.job, (0, -1)).await?;
        Err(budget.overdrawn(rejects.first()))
    }

    /// Notes what all runs have done.
    async fn tell(&self, report: &mut ImportReport) -> Result<()> {
        let target = &self.ground.target;
        let outcome = ledger::outcome(target, self.claim.job).await?;
        let done = ledger::done_blocks(target, self.claim.job).await?;
        report.records = done.iter().map(|block| block.stretch.records).sum();
        (report.rows, report.skipped) = (outcome.rows, outcome.skipped);
        (report.suppressed, report.rejected) = (outcome.suppressed, outcome.rejected);
        Ok(())
    }

    async fn shared(&self) -> Result<Load> {
        let Run { request, supervision, vigil, .. } = self.run;
        let (ground, planned) = (self.ground, self.planned);
        let oid = read::resolve_exactly(&ground.target, &ground.table).await?;
        let triggers = ground.target.row(include_str!("sql/triggers.sql"), &[&oid]).await?;
        let outcome = ledger::outcome(&ground.target, self.claim.job).await?;
        let records = self.done.iter().map(|stretch| stretch.records).sum();
        let names = self.run.inputs.iter().map(|input| shown(input.name()).to_string()).collect();
        Ok(Load {
            landing: Landing {
                claim: self.claim,
                table: ground.table.clone(),
                columns: planned.columns.clone(),
                dialect: request.dialect.clone(),
                encoding: request.encoding.clone(),
                may_suppress: triggers.get(0),
                merge: planned.merge.clone(),
            },
            budget: Budget::new(request.max_rejects, names, records, outcome.rejected),
            records: planned.records.clone(),
            rooms: Cutter::rooms(planned.block_bytes),
            atlas: std::sync::Mutex::new(planned.atlas(&self.chunks().await?)),
            in_order: planned.merge.is_some(),
            in_flight: in_flight(request.jobs),
            parsers: request.jobs,
            make_chunks: self.make_chunks().await?,
            turn: tokio::sync::Mutex::new(()),
            progress: Arc::clone(&supervision.progress),
            interrupt: supervision.interrupt.clone(),
            retry_for: request.retry_for,
            vigil: vigil.clone(),
            reopen: self.reopen(),
        })
    }

    async fn hypertable_id(&self) -> Result<i32> {
        let row = read::hypertable_row(&self.ground.target, &self.ground.table).await?;
        let gone = || Error::new(Kind::Target, format!("{} was dropped meanwhile", self.ground.table));
        row.map(|row| row.id).ok_or_else(gone)
    }

    async fn chunks(&self) -> Result<Vec<Chunk>> {
        read::chunks(&self.ground.target, &self.ground.server, self.hypertable_id().await?).await
    }

    /// Chunks are made before the rows where a trigger of ours may stop those that make them, or where the edition has a
    /// function for it. Otherwise the first block that needs them makes them.
    async fn make_chunks(&self) -> Result<MakeChunks> {
        let (server, table) = (self.ground.server.clone(), self.ground.table.clone());
        let (id, makes_table, layout) = (self.hypertable_id().await?, self.makes_table, self.planned.layout.clone());
        let atlas = Arc::new(self.planned.map_maker());
        let shared = Arc::new((server, table, layout));
        Ok(Box::new(move |target: &Target, points: &[Point]| -> BoxFuture<'_, Result<Option<Atlas>>> {
            let (shared, atlas, points) = (Arc::clone(&shared), Arc::clone(&atlas), points.to_vec());
            Box::pin(async move {
                let (server, table, layout) = &*shared;
                if let (Some(layout), false) = (layout, points.is_empty()) {
                    match makes_table {
                        true => schema::make_chunks(target, server, table, layout, &points).await?,
                        false => schema::make_chunks_beside_others(target, server, table, layout, &points).await?,
                    }
                }
                Ok(atlas(&read::chunks(target, server, id).await?))
            })
        }))
    }

    fn reopen(&self) -> Reopen {
        let (conninfo, supervision, job) =
            (self.run.request.target.clone(), self.run.supervision.clone(), self.claim.job);
        let role = role("import", &self.ground.table.to_string());
        Box::new(move |number, lost| -> BoxFuture<'static, Result<Target>> {
            let (conninfo, supervision) = (conninfo.clone(), supervision.clone());
            let name = format!("{role} copy in {}", number + 1);
            Box::pin(async move {
                let target = takeover::open_again(&conninfo, &name, &[lost]).await?;
                ledger::insert_backends(&target, job, &[target.backend().clone()]).await?;
                supervision.watch(&target);
                Ok(target)
            })
        })
    }

    fn cutter(&self, opened: Opened) -> Cutter {
        let Run { request, inputs, supervision, .. } = self.run;
        let mut opened = Some(opened);
        let files = inputs.iter().zip(1..).map(|(input, number)| File {
            input: Arc::clone(input),
            opened: opened.take(),
            done: self.done.iter().filter(|stretch| stretch.file == number).cloned().collect(),
        });
        let progress = Arc::clone(&supervision.progress);
        Cutter {
            files: files.collect(),
            shape: self.planned.shape.clone(),
            block_bytes: self.planned.block_bytes,
            limit: request.limit,
            rooms: Cutter::rooms(self.planned.block_bytes),
            check: check(request, self.planned),
            heard: Box::new(move |bytes| progress.set_bytes(bytes)),
        }
    }

    /// One commit that waits for the disk makes all earlier ones durable; then what the ledger has must be the files.
    async fn settle(&self, extents: &[Extent]) -> Result<()> {
        failpoint::hit("before-settle");
        let target = &self.ground.target;
        schema::durably(target, async || ledger::set_state(target, self.claim, JobState::Copying).await).await?;
        let done = ledger::done_blocks(target, self.claim.job).await?;
        for extent in extents {
            let mut at = extent.from;
            for block in done.iter().map(|block| &block.stretch).filter(|stretch| stretch.file == extent.file) {
                at = if block.from == at { block.until } else { break };
            }
            if at != extent.until {
                let message = format!("the ledger lacks a block of file {}, from byte {at} on", extent.file);
                return Err(Error::new(Kind::Target, message)
                    .retryable()
                    .hint("The target has forgotten what it has committed: look into its log for a crash."));
            }
        }
        schema::durably(target, async || ledger::set_state(target, self.claim, JobState::Finalizing).await).await
    }

    async fn build_indexes(&self, sessions: &Sessions, indexes: &[Statement], report: &mut ImportReport) -> Result<()> {
        let start = Instant::now();
        let Run { request, supervision, .. } = self.run;
        let steps = ledger::steps(&self.ground.target, self.claim.job).await?;
        let to_do: Vec<Statement> = indexes.iter().filter(|index| !steps.contains(&index.title)).cloned().collect();
        if to_do.is_empty() {
            return Ok(());
        }
        let (interrupt, progress) = (&supervision.interrupt, &supervision.progress);
        let finisher = schema::Finisher { sessions, claim: self.claim, words: schema::Words::Own, interrupt, progress };
        let builders = schema::index_builders(&self.ground.server, self.chunks().await?.len() as u64, request.jobs);
        finisher.build_indexes(&to_do, builders).await?;
        report.phase("indexes", start);
        Ok(())
    }

    async fn finish(&self, report: &mut ImportReport) -> Result<()> {
        failpoint::hit("before-finish");
        self.run.supervision.progress.phase("finished");
        self.tell(report).await?;
        report.finish();
        let (target, job, json) = (&self.ground.target, self.claim.job, to_json(report)?);
        let finish = async || {
            ledger::forget_backends(target, job).await?;
            ledger::set_finished(target, self.claim, &json).await
        };
        self.run.attend(target, schema::durably(target, finish)).await
    }
}

/// Each file has to begin as the first one, and to look as if it were written in the dialect.
fn check(request: &Request, planned: &Planned) -> Check {
    let (dialect, columns) = (request.dialect.clone(), planned.columns.len());
    let first = (request.header == Header::Match).then(|| planned.preamble.header.clone());
    Box::new(move |name, preamble, head| {
        if let (Some(first), Some(header)) = (&first, &preamble.header) {
            refuse_other_header(shown(name), first.as_deref(), header)?;
        }
        refuse_delimiter(&dialect, columns, name, preamble, head)
    })
}

fn refuse_other_header(name: &str, first: Option<&[u8]>, header: &[u8]) -> Result<()> {
    let bad = |what: &str| Error::new(Kind::Input, format!("{name}: {what}"));
    match first {
        Some(first) if first == header => Ok(()),
        Some(_) => Err(bad("the header is not that of the first file")
            .hint("Files of one import have the same columns in the same order; import this one by itself.")),
        None => Err(bad("the first file has no header that this one could be like")
            .hint("The first file is empty, and its header names the columns of all: leave it out.")),
    }
}

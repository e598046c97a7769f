//! What a run has to tell: filled while it works, whole also when it fails.
//!
//! **Invariant:** plain data without row values and passwords; how it is shown is the program's business.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::catalog::{NotCarried, Server};
use crate::error::{Context, Error, Kind, Result};
use crate::ident::QualifiedName;
use crate::ledger::JobId;
use crate::pgcopy::{Format, TimeType};
use crate::plan::Statement;
use crate::plan::prerequisites::Lacking;
use crate::progress::{LatencySummary, Meters};
use crate::verify::{Difference, Mode};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has not ended.
    Running,
    /// Only a plan was asked for.
    Planned,
    /// All is done.
    Finished,
    /// It stopped; see the error.
    Failed,
}

/// What a run of any command has to tell.
#[derive(Debug, Serialize, Deserialize)]
pub struct RunReport {
    /// hypercopy's version.
    pub hypercopy: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed.
    pub error: Option<ErrorReport>,
    /// The source.
    pub source: Option<EndReport>,
    /// The target.
    pub target: Option<EndReport>,
    /// All phases together, in seconds.
    pub seconds: f64,
    /// Phases in their order.
    pub phases: Vec<PhaseReport>,
    /// The engine's own use of the machine, where the system tells.
    pub engine: Option<EngineReport>,
    #[serde(skip, default = "Instant::now")]
    started: Instant,
}

impl Default for RunReport {
    fn default() -> Self {
        RunReport {
            hypercopy: env!("CARGO_PKG_VERSION").to_string(),
            outcome: Outcome::Running,
            error: None,
            source: None,
            target: None,
            seconds: 0.0,
            phases: Vec::new(),
            engine: None,
            started: Instant::now(),
        }
    }
}

/// The job of the ledger that a run is of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobRun {
    /// Its number in the target's ledger.
    #[serde(rename = "job")]
    pub id: Option<JobId>,
    /// When an earlier run has finished it, where this one found nothing to do.
    pub finished_at: Option<String>,
    /// How often the run was begun anew because something failed that might pass.
    pub attempts: u32,
    /// Whether a job may be there, of which another attempt would find out.
    #[serde(skip)]
    pub has_begun: bool,
}

impl Default for JobRun {
    fn default() -> Self {
        JobRun { id: None, finished_at: None, attempts: 1, has_begun: false }
    }
}

impl JobRun {
    /// The job, where this run has to do with one that is not finished.
    pub fn unfinished(&self) -> Option<JobId> {
        self.id.filter(|_| self.finished_at.is_none())
    }
}

/// The report of one migration.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// What every run tells.
    #[serde(flatten)]
    pub run: RunReport,
    /// The job that it is a run of.
    #[serde(flatten)]
    pub job: JobRun,
    /// What was found of earlier runs.
    pub resumed: Option<ResumeReport>,
    /// When the snapshot was taken, by the source's clock.
    pub snapshot_at: Option<String>,
    /// What was planned.
    pub plan: Option<PlanReport>,
    /// Tasks of the copy.
    pub tasks: Option<usize>,
    /// Rows that were copied.
    pub rows: u64,
    /// Bytes of COPY data that were copied.
    pub bytes: u64,
    /// Where the workers' time went.
    pub latency: Option<LatencyReport>,
    /// Chunks of the target at the end.
    pub target_chunks: Option<usize>,
    /// How many of them are compressed.
    pub compressed_chunks: Option<usize>,
    /// What verification found.
    pub verification: Option<Verification>,
    /// What the source has and the target will not have.
    pub not_carried: Vec<NotCarried>,
}

impl std::ops::Deref for Report {
    type Target = RunReport;

    fn deref(&self) -> &RunReport {
        &self.run
    }
}

impl std::ops::DerefMut for Report {
    fn deref_mut(&mut self) -> &mut RunReport {
        &mut self.run
    }
}

/// An error as programs read it.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorReport {
    /// Its kind, see the exit codes.
    pub kind: String,
    /// The exit code.
    pub exit_code: u8,
    /// What failed and why; without what may quote a row.
    pub message: String,
    /// The server's SQLSTATE.
    pub sqlstate: Option<String>,
    /// What to do next.
    pub hint: Option<String>,
}

/// One end of a copy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EndReport {
    /// `host:port/database`.
    pub endpoint: String,
    /// The table.
    pub table: String,
    /// Its versions, in words.
    pub version: String,
}

impl EndReport {
    /// Of a server.
    pub fn new(endpoint: &str, table: &QualifiedName, server: &Server) -> Self {
        EndReport { endpoint: endpoint.to_string(), table: table.to_string(), version: server.version() }
    }
}

/// What was found of earlier runs of the job, in tasks.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ResumeReport {
    /// That they have done.
    pub done: usize,
    /// That were compared with the source.
    pub compared: usize,
    /// In which the source has changed since.
    pub copied_again: usize,
}

/// What will be done.
#[derive(Debug, Serialize, Deserialize)]
pub struct PlanReport {
    /// The source's dimensions, in words.
    pub source_layout: String,
    /// The target's dimensions, in words.
    pub target_layout: String,
    /// The range of the primary dimension.
    pub range: String,
    /// Chunks of the source in the range; segments of an archive.
    pub source_chunks: usize,
    /// Chunks that the target will get.
    pub new_chunks: u64,
    /// Tasks that are to be done.
    pub tasks: usize,
    /// Tasks that earlier runs have done.
    pub done_tasks: usize,
    /// Rows, by the source's statistics.
    pub estimated_rows: u64,
    /// Bytes of the source's tables, uncompressed.
    pub estimated_bytes: u64,
    /// Bytes that the target's files will grow by.
    pub target_disk_bytes: u64,
    /// Bytes of WAL that the target will write.
    pub target_wal_bytes: u64,
    /// Format of the rows on their way.
    pub format: Format,
    /// Why they are not binary.
    pub format_reason: Option<String>,
    /// Locks that are held on the source; nothing is held of an archive.
    pub source_locks: Option<String>,
    /// DDL on the empty table.
    pub before_rows: Vec<Statement>,
    /// DDL behind the rows.
    pub after_rows: Vec<Statement>,
    /// Whether the primary key is made on the empty table.
    pub key_first: bool,
    /// What the table uses, is missing on the target and is not made.
    #[serde(default)]
    pub missing: Vec<Lacking>,
    /// What to think of before it starts.
    pub warnings: Vec<String>,
}

impl PlanReport {
    /// Whether the source is an archive, of which nothing is locked.
    pub fn reads_archive(&self) -> bool {
        self.source_locks.is_none()
    }
}

/// How long a phase took.
#[derive(Debug, Serialize, Deserialize)]
pub struct PhaseReport {
    /// Its name.
    pub name: String,
    /// Seconds.
    pub seconds: f64,
}

/// Where the workers' time went.
#[derive(Debug, Serialize, Deserialize)]
pub struct LatencyReport {
    /// A task, from its claim to its commit.
    pub task: LatencySummary,
    /// Waits for the source's socket.
    pub blocked_on_source: LatencySummary,
    /// Waits of a reader for a full channel.
    pub blocked_on_channel: LatencySummary,
    /// Waits for the target's socket.
    pub blocked_on_target: LatencySummary,
}

impl LatencyReport {
    /// Of all workers.
    pub fn of(meters: &Meters) -> Self {
        LatencyReport {
            task: meters.task.summary(),
            blocked_on_source: meters.source.summary(),
            blocked_on_channel: meters.channel.summary(),
            blocked_on_target: meters.target.summary(),
        }
    }
}

/// What verification found.
#[derive(Debug, Serialize, Deserialize)]
pub struct Verification {
    /// `none`, `counts` or `checksum`.
    pub mode: String,
    /// Ranges that were compared.
    pub ranges: usize,
    /// Those that differ.
    pub differences: Vec<DifferenceReport>,
}

impl Verification {
    /// Of so many ranges; of none where it was not asked for.
    pub fn of(mode: Mode, ranges: usize, differences: &[Difference], time_type: TimeType) -> Self {
        let differences = differences.iter().map(|difference| DifferenceReport {
            range: difference.range.display(time_type),
            copied_rows: difference.source.rows,
            found_rows: difference.target.rows,
        });
        let ranges = if mode == Mode::None { 0 } else { ranges };
        Verification { mode: mode.name().to_string(), ranges, differences: differences.collect() }
    }
}

/// A range in which the two sides differ; with the same number of rows, their checksums do.
#[derive(Debug, Serialize, Deserialize)]
pub struct DifferenceReport {
    /// The range of the primary dimension.
    pub range: String,
    /// Rows that were copied.
    pub copied_rows: u64,
    /// Rows that are there.
    pub found_rows: u64,
}

/// The engine's own use of the machine.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct EngineReport {
    /// User and system time of all threads, in seconds.
    pub cpu_seconds: f64,
    /// Peak resident memory, in bytes.
    pub peak_memory_bytes: u64,
}

impl EngineReport {
    /// Of this process, from `/proc`; none where there is no such thing.
    pub fn now() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let peak_kib: u64 = peak.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The program's name, in parentheses, may hold spaces; utime and stime are the 12th and 13th field behind it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        let per_second = rustix::param::clock_ticks_per_second();
        Some(EngineReport { cpu_seconds: ticks as f64 / per_second as f64, peak_memory_bytes: peak_kib << 10 })
    }
}

impl RunReport {
    /// Notes who the two ends are.
    pub fn sides(&mut self, source: &EndReport, target: &EndReport) {
        (self.source, self.target) = (Some(source.clone()), Some(target.clone()));
    }

    /// Notes a phase that began at `start` and ends now.
    pub fn phase(&mut self, name: &'static str, start: Instant) {
        self.phases.push(PhaseReport { name: name.to_string(), seconds: start.elapsed().as_secs_f64() });
    }

    /// All is done.
    pub fn finish(&mut self) {
        self.end(Outcome::Finished);
    }

    /// Only a plan was asked for.
    pub fn planned(&mut self) {
        self.end(Outcome::Planned);
    }

    /// It stopped.
    pub fn fail(&mut self, error: &Error) {
        self.error = Some(ErrorReport {
            kind: error.kind().name().to_string(),
            exit_code: error.kind().exit_code(),
            message: error.summary(),
            sqlstate: error.sqlstate().map(|state| state.code().to_string()),
            hint: error.hint_text().map(str::to_string),
        });
        self.end(Outcome::Failed);
    }

    fn end(&mut self, outcome: Outcome) {
        self.outcome = outcome;
        self.seconds = self.started.elapsed().as_secs_f64();
        self.engine = EngineReport::now();
    }

    /// Seconds of a phase; 0 where it was not reached.
    pub fn phase_seconds(&self, name: &str) -> f64 {
        self.phases.iter().filter(|phase| phase.name == name).map(|phase| phase.seconds).sum()
    }
}

impl Report {
    /// Notes what turned out not to be carried, once.
    pub fn add_not_carried(&mut self, found: Vec<NotCarried>) {
        let new: Vec<NotCarried> = found.into_iter().filter(|found| !self.not_carried.contains(found)).collect();
        self.not_carried.extend(new);
    }

    /// Adds to an error of a run that has begun a job how it goes on. `command` is the one that was run.
    pub fn explain_resumption(&self, error: Error, command: &str) -> Error {
        let Some(job) = self.job.unfinished() else { return error };
        let reads_archive = self.plan.as_ref().is_some_and(PlanReport::reads_archive);
        let next = match error.kind() {
            Kind::Held => return error,
            Kind::Different if reads_archive => format!(
                "Job {} has restored all rows, and somebody or something has changed them since: run the same command with --restart to begin anew.",
                job.0
            ),
            Kind::Different => format!(
                "Job {} has copied all rows: \"hypercopy verify\" narrows the difference down, with --repair it copies those ranges again, and then the same command finishes the job; with --restart it copies everything anew.",
                job.0
            ),
            _ => format!(
                "Job {} keeps what it has committed: run the same command again to go on, or with --restart to begin anew:\n    {command}",
                job.0
            ),
        };
        let hint = error.hint_text().map(|hint| format!("{hint} {next}"));
        error.hint(hint.unwrap_or(next))
    }
}

/// A report as one JSON document.
///
/// # Errors
/// [`Kind::Internal`] where it cannot be written.
pub fn to_json(report: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(report).doing(Kind::Internal, || "cannot write the report as JSON")
}

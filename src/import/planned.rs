//! What a run will do, decided from the table, the request, and how the first file begins.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::columns;
use super::create::{self, Sample};
use super::identity::{Decided, Identity};
use super::look::Ground;
use super::report::{ColumnReport, FileReport, ImportPlan};
use super::request::{self, Request};
use crate::catalog::{Chunk, Hypertable};
use crate::connect::Target;
use crate::csv::header::Header;
use crate::error::{Context, Error, Kind, Result};
use crate::ident::QualifiedName;
use crate::input::Input;
use crate::ledger::{Job, Stretch};
use crate::look::{partitioning, refuse_unknown_dimensions};
use crate::pgcopy::encode::Encoder;
use crate::plan::{Beside, Keys, Layout, Partitioning, Statement, TargetNames, post_data, pre_data};
use crate::reader::csv::block::Block;
use crate::reader::csv::cut::{Cutter, Opened};
use crate::reader::csv::places::Places;
use crate::reader::csv::preamble::{Preamble, Shape, refuse_delimiter, shown};
use crate::reader::csv::rows::{Atlas, Records};
use crate::writer::landing::Merge;

/// What is read of the first file to decide: types, and how much larger rows are than their text.
pub(super) const SAMPLE_BYTES: usize = 1 << 20;
/// Memory for blocks on their way, as text and as rows, in bytes.
const IN_FLIGHT_BYTES: f64 = 160.0 * 1_048_576.0;
/// What a row needs beside its bytes while its block is read and put into order; of narrow rows that is the most.
const ROW_BYTES: usize = 40;
const LEAST_BLOCK_BYTES: usize = 256 << 10;
const MOST_BLOCK_BYTES: usize = 16 << 20;
/// Zones in which a time without one is read as UTC.
const UTC_ZONES: [&str; 6] = ["UTC", "Etc/UTC", "GMT", "Etc/GMT", "Zulu", "UCT"];

/// Everything that was decided.
pub(super) struct Planned {
    /// The table, as it is or as it shall be.
    pub(super) table: Hypertable,
    /// Its dimensions, where they are of a kind that is known here.
    pub(super) layout: Option<Layout>,
    pub(super) columns: Vec<String>,
    pub(super) records: Records,
    pub(super) merge: Option<Merge>,
    pub(super) shape: Shape,
    pub(super) preamble: Preamble,
    pub(super) identity: Identity,
    /// DDL in one transaction with the job's row.
    pub(super) before_rows: Vec<Statement>,
    /// Indexes that are built behind the rows.
    pub(super) indexes: Vec<Statement>,
    /// Whether the job makes the table.
    pub(super) makes_table: bool,
    pub(super) block_bytes: usize,
    dimensions: Vec<String>,
    text_reason: Option<String>,
    time_zone: String,
}

/// What a job has decided when it began, and what all its runs go on with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct JobPlan {
    /// Indexes that are built behind the rows.
    pub(crate) indexes: Vec<Statement>,
}

impl JobPlan {
    pub(crate) fn of(job: &Job) -> Result<JobPlan> {
        serde_json::from_value(job.plan.clone())
            .doing(Kind::Internal, || format!("cannot read the plan of job {}", job.id.0))
    }
}

impl Planned {
    pub(super) async fn make(
        request: &Request,
        inputs: &[Arc<Input>],
        ground: &Ground,
        opened: &Opened,
        preamble: Preamble,
    ) -> Result<Planned> {
        let target = &ground.target;
        let file = shown(inputs[0].name());
        let header = match (&preamble.header, request.header) {
            (Some(text), request::Header::Match) => {
                let text = decoded(target, request, file, text).await?;
                Some(columns::header(request, file, &text, preamble.line_end)?)
            }
            _ => None,
        };
        let made = match &request.create {
            None => None,
            Some(_) => Some(made_table(request, ground, opened, &preamble, header.as_ref()).await?),
        };
        let described = made.as_ref().map(|(_, created)| created.clone());
        let table = match (&ground.existing, made) {
            (Some(existing), _) => existing.clone(),
            (None, Some((table, _))) => table,
            (None, None) => return Err(Error::internal("there is no table to import into")),
        };
        let asked = asked_partitioning(request, target).await?;
        let layout = match ground.existing {
            // Where a function stands between column and interval only the server knows a row's place.
            Some(_) => Layout::resolve(&table, &Partitioning::default(), &ground.server.encoding)
                .ok()
                .filter(|layout| !layout.has_function()),
            None => {
                let layout = Layout::resolve(&table, &asked, &ground.server.encoding)?;
                refuse_unknown_dimensions(target, &ground.server, &layout).await?;
                Some(layout)
            }
        };
        let columns = columns::choose(request, &table, file, header.as_ref())?;
        refuse_delimiter(&request.dialect, columns.len(), inputs[0].name(), &preamble, opened.head())?;
        let merge = columns::merge(request, &table, &columns)?;
        let time_zone = target.original("TimeZone").to_string();
        let utc = UTC_ZONES.contains(&time_zone.as_str());
        let reads_iso = reads_iso_times(target).await?;
        let (encoders, text_reason) = match encoders(request, &table, &columns, reads_iso.then_some(utc)) {
            Ok(encoders) => (Some(encoders), None),
            Err(reason) => (None, Some(reason)),
        };
        let dimensions =
            layout.as_ref().and_then(|layout| columns::dimensions(&table, &columns, layout, reads_iso.then_some(utc)));
        let layout = layout.filter(|_| dimensions.is_some());
        let records = Records::new(
            request.dialect.clone(),
            columns.clone(),
            encoders,
            dimensions.unwrap_or_default(),
            merge.is_some(),
        );
        let key = merge.as_ref().map(|merge| merge.key.clone()).unwrap_or_default();
        let decided = Decided { columns: &columns, conflict_key: &key, created: described };
        let identity = Identity::new(request, inputs.iter().map(|input| &**input), &decided);
        let block_bytes = request.block_bytes.unwrap_or_else(|| {
            let sample = &opened.head()[preamble.until as usize..];
            block_bytes(request.jobs, expansion(&records, &preamble, sample))
        });
        Ok(Planned {
            dimensions: layout.iter().flat_map(Layout::columns).map(str::to_string).collect(),
            makes_table: ground.existing.is_none(),
            table,
            layout,
            columns,
            records,
            merge,
            shape: shape(request),
            preamble,
            identity,
            before_rows: Vec::new(),
            indexes: Vec::new(),
            block_bytes,
            text_reason,
            time_zone,
        })
    }

    /// Decides on DDL, for a job that begins.
    pub(super) async fn decide_ddl(&mut self, request: &Request, ground: &Ground) -> Result<()> {
        if let (true, Some(layout)) = (self.makes_table, &self.layout) {
            let schema = ground.server.timescaledb_schema.clone().unwrap_or_else(|| "public".to_string());
            let names = TargetNames::new(&self.table, ground.table.clone(), schema, &ground.place.taken);
            self.before_rows = pre_data(&self.table, layout, &names, Beside::default(), Keys::PrimaryFirst);
            self.indexes = post_data(&self.table, &names, Keys::PrimaryFirst)?.1;
            return Ok(());
        }
        let name = self.table.name();
        if request.truncate {
            refuse_truncate(&ground.target, self.table.table.oid, name).await?;
            self.before_rows.push(Statement::new(format!("truncate {name}"), format!("truncate table {}", name.sql())));
        }
        if request.defer_indexes {
            if !request.truncate {
                refuse_rows(&ground.target, name).await?;
            }
            let found = deferrable_indexes(&ground.target, self.table.table.oid, name).await?;
            self.before_rows.extend(found.iter().map(|index| index.drop.clone()));
            self.indexes = found.into_iter().map(|index| index.create).collect();
        }
        Ok(())
    }

    /// What is known of the target's chunks, for rows of these files.
    pub(super) fn atlas(&self, chunks: &[Chunk]) -> Option<Atlas> {
        atlas(self.layout.as_ref()?, &self.columns, &self.dimensions, chunks)
    }

    /// The same for whoever has no use for the rest.
    pub(super) fn map_maker(&self) -> impl Fn(&[Chunk]) -> Option<Atlas> + Send + Sync + use<> {
        let (layout, columns, dimensions) = (self.layout.clone(), self.columns.clone(), self.dimensions.clone());
        move |chunks| atlas(layout.as_ref()?, &columns, &dimensions, chunks)
    }

    pub(super) fn job_plan(&self) -> Result<serde_json::Value> {
        serde_json::to_value(JobPlan { indexes: self.indexes.clone() })
            .doing(Kind::Internal, || "cannot write the job's plan")
    }

    /// The plan for people and programs.
    pub(super) fn report(&self, request: &Request, inputs: &[Arc<Input>], done_blocks: usize) -> ImportPlan {
        let file = |input: &Arc<Input>| FileReport {
            name: input.name().to_string(),
            bytes: input.size(),
            codec: input.codec().name().to_string(),
        };
        let column = |name: &String| ColumnReport {
            name: name.clone(),
            type_name: self.table.column(name).map(|column| column.type_name.clone()).unwrap_or_default(),
        };
        let mut warnings = Vec::new();
        if self.preamble.has_mark {
            warnings.push("the byte order mark at the file's start is skipped".to_string());
        }
        ImportPlan {
            files: inputs.iter().map(file).collect(),
            columns: self.columns.iter().map(column).collect(),
            layout: self.layout.as_ref().map(Layout::describe).unwrap_or_default(),
            text_reason: self.text_reason.clone(),
            encoding: request.encoding.clone().unwrap_or_else(|| "UTF8".to_string()),
            time_zone: self.time_zone.clone(),
            block_bytes: self.block_bytes,
            on_conflict: request.on_conflict.name().to_string(),
            conflict_key: self.merge.as_ref().map(|merge| merge.key.clone()).unwrap_or_default(),
            done_blocks: done_blocks as u64,
            before_rows: self.before_rows.clone(),
            after_rows: self.indexes.clone(),
            warnings,
        }
    }
}

/// How many blocks may be in memory: each worker's, one parsed for it, one that is being cut and one on its way.
pub(super) fn in_flight(jobs: usize) -> usize {
    2 * jobs + 2
}

/// Blocks as large as the memory for all of them allows. `expansion` is how many bytes of rows a byte of text becomes; a
/// block that is put into order has its rows twice.
fn block_bytes(jobs: usize, expansion: f64) -> usize {
    let bytes_per_byte = in_flight(jobs) as f64 * (1.0 + expansion) + jobs as f64 * expansion;
    ((IN_FLIGHT_BYTES / bytes_per_byte) as usize).clamp(LEAST_BLOCK_BYTES, MOST_BLOCK_BYTES)
}

fn expansion(records: &Records, preamble: &Preamble, sample: &[u8]) -> f64 {
    let stretch = Stretch { file: 1, from: 0, until: 0, line_until: 1, hash: String::new(), records: 0 };
    let bytes = sample[..sample.len().min(SAMPLE_BYTES)].to_vec();
    let length = bytes.len().max(1) as f64;
    let block = Block { number: 0, stretch, line: 1, line_end: preamble.line_end, bytes: bytes.into() };
    let parsed = records.parse(block, None, &Cutter::rooms(SAMPLE_BYTES));
    (parsed.data.len() + parsed.rows.len() * ROW_BYTES) as f64 / length
}

/// How the files begin.
pub(super) fn shape(request: &Request) -> Shape {
    Shape {
        dialect: request.dialect.clone(),
        skip_lines: request.skip_lines,
        has_header: request.header != request::Header::None,
        is_utf8: request.encoding.is_none(),
    }
}

/// Values become binary where they are UTF-8 and all columns' types allow it.
fn encoders(
    request: &Request,
    table: &Hypertable,
    columns: &[String],
    utc: Option<bool>,
) -> Result<Vec<Encoder>, String> {
    match &request.encoding {
        Some(encoding) => Err(format!("the files are in {encoding}")),
        None => columns::encoders(table, columns, utc),
    }
}

/// The text of a header in UTF-8.
async fn decoded(target: &Target, request: &Request, file: &str, text: &[u8]) -> Result<Vec<u8>> {
    let Some(encoding) = &request.encoding else { return Ok(text.to_vec()) };
    let sql = "select pg_catalog.convert_from($1::bytea, $2::text::name)";
    match target.row(sql, &[&text, encoding]).await {
        Ok(row) => Ok(row.get::<_, String>(0).into_bytes()),
        Err(error) if error.sqlstate().is_some() && !error.is_retryable() => Err(error
            .with_kind(Kind::Input)
            .renamed(format!("{file}: the header cannot be read as {encoding}"))
            .hint("Name the files' encoding with --encoding.")),
        Err(error) => Err(error),
    }
}

/// Zones and abbreviations can be named so that the Z of ISO 8601 stands for something else.
async fn reads_iso_times(target: &Target) -> Result<bool> {
    let sql = "select '2000-01-01T00:00:00Z'::timestamptz = '2000-01-01 00:00:00+00'::timestamptz";
    match target.rows_as_role(sql, &[]).await {
        Ok(rows) => Ok(rows[0].get(0)),
        Err(error) if error.sqlstate().is_some() && !error.is_retryable() => Ok(false),
        Err(error) => Err(error),
    }
}

async fn asked_partitioning(request: &Request, target: &Target) -> Result<Partitioning> {
    match &request.create {
        None => Ok(Partitioning::default()),
        Some(create) => partitioning(target, create.chunk_interval.as_deref(), create.hash_partitions.clone()).await,
    }
}

/// The table that the files suggest, and how it is made, in words.
async fn made_table(
    request: &Request,
    ground: &Ground,
    opened: &Opened,
    preamble: &Preamble,
    header: Option<&Header>,
) -> Result<(Hypertable, String)> {
    let Some(create) = &request.create else { return Err(Error::internal("no table was asked for")) };
    let named = |header: &Header| -> Vec<String> {
        let map = |name: &String| request.maps.iter().find(|(from, _)| from == name).map(|(_, to)| to.clone());
        header.names().iter().map(|name| map(name).unwrap_or_else(|| name.clone())).collect()
    };
    let names = request.columns.clone().or(header.map(named));
    let sample = Sample {
        bytes: &opened.head()[preamble.until as usize..],
        is_whole: opened.is_whole(),
        line_end: preamble.line_end,
    };
    let table = create::hypertable(&ground.target, request, create, &ground.table, names, &sample).await?;
    let asked = asked_partitioning(request, &ground.target).await?;
    let described = create::describe(create, &asked, &table.columns);
    Ok((table, described))
}

fn atlas(layout: &Layout, columns: &[String], dimensions: &[String], chunks: &[Chunk]) -> Option<Atlas> {
    Some(Atlas {
        rows: Arc::new(Places::new(layout, columns, chunks)?),
        dimensions: Arc::new(Places::new(layout, dimensions, chunks)?),
    })
}

/// Whoever reads a table that has rows needs its indexes.
async fn refuse_rows(target: &Target, table: &QualifiedName) -> Result<()> {
    let sql = format!("select exists (select from {})", table.sql());
    match target.row(&sql, &[]).await?.get(0) {
        false => Ok(()),
        true => Err(Error::refused(format!("{table} has rows, and --defer-indexes is for an empty table"))
            .hint("Leave the option out: the indexes are kept then while the rows come in.")),
    }
}

/// What the server would say when the job begins.
async fn refuse_truncate(target: &Target, oid: u32, table: &QualifiedName) -> Result<()> {
    let row = target.row(include_str!("sql/truncate_obstacles.sql"), &[&oid]).await?;
    let refused = |what: String, hint: &str| Err(Error::refused(format!("cannot truncate {table}: {what}")).hint(hint));
    match (row.get::<_, bool>(0), row.get::<_, Option<String>>(1)) {
        (false, _) => refused("TRUNCATE is missing".to_string(), "Grant it to the role, or import without --truncate."),
        (true, Some(other)) => refused(
            format!("{other} refers to it by a foreign key"),
            "Empty both tables yourself, or drop the foreign key until the rows are in.",
        ),
        (true, None) => Ok(()),
    }
}

/// An index that can be dropped and built again without losing anything of it.
struct Deferrable {
    drop: Statement,
    create: Statement,
}

async fn deferrable_indexes(target: &Target, oid: u32, table: &QualifiedName) -> Result<Vec<Deferrable>> {
    let rows = target.rows(include_str!("sql/deferrable_indexes.sql"), &[&oid]).await?;
    let deferrable = |row: &tokio_postgres::Row| {
        let name = QualifiedName::new(table.schema.clone(), row.get::<_, String>(0));
        Deferrable {
            drop: Statement::new(format!("drop index {}", name.name), format!("drop index {}", name.sql())),
            create: Statement::new(format!("create index {}", name.name), row.get::<_, String>(1)),
        }
    };
    Ok(rows.iter().map(deferrable).collect())
}

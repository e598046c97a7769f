//! What makes a job the same job when it is asked for again, and what it has decided for all its runs.

use serde::{Deserialize, Serialize};

use super::look::Sides;
use super::request::{Parts, Request};
use crate::catalog::belongings::Belongings;
use crate::catalog::{Hypertable, NotCarried};
use crate::error::{Context, Kind, Result};
use crate::ident::QualifiedName;
use crate::ledger::Job;
use crate::look::Bounds;
use crate::pgcopy::TimeType;
use crate::plan::readers::Readers;
use crate::plan::{CompressRequest, Layout, Moment, Partitioning, Range, Statement, Upkeep};

/// The part of a request that may not change between the runs of a job; the ledger keeps it beside source and target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    #[serde(default)]
    parts: Parts,
    range: Range,
    partitioning: Partitioning,
    #[serde(default)]
    preserve_chunks: bool,
    #[serde(default)]
    compress: CompressRequest,
    columns: Vec<CopiedColumn>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CopiedColumn {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
}

impl Identity {
    pub(super) fn new(
        request: &Request,
        source: &Hypertable,
        partitioning: &Partitioning,
        bounds: &Bounds,
    ) -> Identity {
        let columns = source.copied_columns();
        let columns = columns.map(|c| CopiedColumn { name: c.name.clone(), type_name: c.type_name.clone() });
        Identity {
            parts: request.parts,
            range: bounds.range,
            partitioning: partitioning.clone(),
            preserve_chunks: request.preserve_chunks,
            compress: request.compress.clone().unwrap_or_default(),
            columns: columns.collect(),
        }
    }

    /// In what `job` differs from this request, in words; nothing where it is the same job. `layout` is what the request
    /// would make of the source as it is now.
    pub(super) fn differences(&self, job: &Job, sides: &Sides, layout: &Layout) -> Result<Vec<String>> {
        let made: Identity = serde_json::from_value(job.request.clone()).doing(Kind::Internal, || unreadable(job))?;
        let plan = JobPlan::of(job)?;
        let time_type = plan.layout.primary.time_type;
        let mut found = Vec::new();
        let mut compare = |what: &str, was: String, is: String| {
            if was != is {
                found.push(format!("{what}: {was} then, {is} now"));
            }
        };
        compare("source", job_source(job), sides_source(sides));
        compare("parts", made.parts.name().to_string(), self.parts.name().to_string());
        compare("range", made.range.display(time_type), self.range.display(time_type));
        let chunks = |preserved: bool| if preserved { "the source's" } else { "by interval" }.to_string();
        compare("chunks", chunks(made.preserve_chunks), chunks(self.preserve_chunks));
        compare("compression", made.compress.to_string(), self.compress.to_string());
        compare("columns", column_names(&made.columns), column_names(&self.columns));
        // What was asked for is the same although the source's own interval has changed; or the other way round.
        if made.partitioning != self.partitioning {
            compare("layout", plan.layout.describe(), layout.describe());
        }
        Ok(found)
    }

    pub(super) fn json(&self) -> Result<serde_json::Value> {
        serde_json::to_value(self).doing(Kind::Internal, || "cannot write the job's identity")
    }
}

fn job_source(job: &Job) -> String {
    describe_source(&job.source_name, &job.source_system, &job.source_database)
}

fn sides_source(sides: &Sides) -> String {
    let (system, database) = sides.source.place();
    describe_source(&sides.source.table().name.sql(), system, database)
}

fn describe_source(table: &str, system: &str, database: &str) -> String {
    match database.is_empty() {
        true => format!("{table} in archive {system}"),
        false => format!("{table} in database {database} of cluster {system}"),
    }
}

fn column_names(columns: &[CopiedColumn]) -> String {
    columns.iter().map(|column| format!("{} {}", column.name, column.type_name)).collect::<Vec<_>>().join(", ")
}

fn unreadable(job: &Job) -> String {
    format!("cannot read what job {} was asked for, which hypercopy {} has written", job.id.0, job.version)
}

/// What a job has decided when it began, and what all its runs go on with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct JobPlan {
    /// The target's layout.
    pub(super) layout: Layout,
    /// Constraints that are made behind the rows.
    pub(super) constraints: Vec<Statement>,
    /// Indexes that are made behind the rows.
    pub(super) indexes: Vec<Statement>,
    /// Sequences that the job has made, and so has to move.
    pub(super) sequences: Vec<QualifiedName>,
    /// What shall belong to the table; nothing where it was there before the job.
    #[serde(default)]
    pub(super) belongings: Option<Belongings>,
    /// What of the source's belongings it cannot have, and in what the things that it uses are not those of the source.
    #[serde(default)]
    pub(super) lost: Vec<NotCarried>,
    /// The type of the ranges in the ledger.
    pub(crate) time_type: TimeType,
    /// What TimescaleDB shall do by itself in the end.
    #[serde(default)]
    pub(super) upkeep: Upkeep,
    /// Aggregates and views that are made in the end.
    #[serde(default)]
    pub(super) readers: Readers,
    /// When chunks are compressed; none where none of them is.
    #[serde(default)]
    pub(super) compression: Option<Moment>,
}

impl JobPlan {
    pub(crate) fn of(job: &Job) -> Result<JobPlan> {
        serde_json::from_value(job.plan.clone()).doing(Kind::Internal, || unreadable(job))
    }

    pub(super) fn json(&self) -> Result<serde_json::Value> {
        serde_json::to_value(self).doing(Kind::Internal, || "cannot write the job's plan")
    }
}

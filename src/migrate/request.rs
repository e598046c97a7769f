//! What was asked for, and what the values on the command line mean on the source.

use std::time::Duration;

use super::look::Sides;
use crate::catalog::read;
use crate::connect::{Conninfo, Source};
use crate::error::{Error, Result};
use crate::ident::quote_literal;
use crate::pgcopy::TimeType;
use crate::plan::{HashRequest, IntervalRequest, Partitioning, Range, primary_dimension};
use crate::verify::Mode;

/// What was asked for.
pub struct Request {
    /// The source.
    pub source: Conninfo,
    /// The target.
    pub target: Conninfo,
    /// The hypertable, as written: resolved on the source under the role's `search_path`.
    pub table: String,
    /// The new table, as written; the source's name where there is none.
    pub target_table: Option<String>,
    /// Interval of the primary dimension, as written.
    pub chunk_interval: Option<String>,
    /// Hash dimensions.
    pub hash_partitions: Option<HashRequest>,
    /// First value of the primary dimension, as written.
    pub from: Option<String>,
    /// First value that is left out, as written.
    pub until: Option<String>,
    /// More new chunks than this are refused.
    pub max_new_chunks: u64,
    /// How many workers copy; each holds one session on either side.
    pub jobs: usize,
    /// How the result is verified.
    pub verify: Mode,
    /// Refuse where something would not be carried.
    pub strict: bool,
    /// How an unfinished job goes on.
    pub resume: Resume,
    /// Whether an earlier job for the same table is forgotten, with what it has copied.
    pub restart: bool,
    /// What becomes of a table that is there and was made by no unfinished job.
    pub if_exists: IfExists,
    /// How long what may pass is tried again.
    pub retry_for: Duration,
    /// After how long the source's locks are given up for somebody who waits behind them.
    pub yield_after: Option<Duration>,
    /// Whether only a plan is wanted.
    pub dry_run: bool,
}

/// How an unfinished job goes on with what it has copied under an earlier snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// It is compared with the source, and what has changed is copied again.
    #[default]
    Compare,
    /// The source is known to be quiet: nothing is compared.
    Trust,
    /// The source is known to be quiet before this value of the primary dimension, as written.
    TrustBefore(String),
    /// As [`Resume::Compare`]; and what the source has deleted is deleted.
    FollowDeletes,
}

/// What becomes of a table that is there and was made by no unfinished job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfExists {
    /// It is refused.
    #[default]
    Error,
    /// Rows are added to it, in a range where it has none.
    Append,
}

/// The range that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// In internal time.
    pub range: Range,
    /// What lies before this value is trusted not to have changed.
    pub trusted: Option<i64>,
    /// The primary dimension's type, by which they were read.
    pub time_type: TimeType,
}

impl Bounds {
    /// Reads `--from` and `--until` as psql would in a session of the role.
    pub(super) async fn resolve(request: &Request, sides: &Sides) -> Result<Bounds> {
        let dimensions = read::dimensions(&sides.source, sides.hypertable.id).await?;
        let primary = primary_dimension(&sides.source_table.name, &dimensions)?;
        let time_type = primary.time_type;
        let value = async |option: &str, text: Option<&String>| match text {
            None => Ok(None),
            Some(text) => internal_value(sides, option, text, time_type).await.map(Some),
        };
        let (from, until) = (request.from.as_ref(), request.until.as_ref());
        let range = Range { from: value("--from", from).await?, until: value("--until", until).await? };
        let trusted = match &request.resume {
            Resume::TrustBefore(text) => value("--resume=trust-before", Some(text)).await?,
            _ => None,
        };
        if range.is_empty() {
            return Err(Error::refused(format!("--from is not before --until: {}", range.display(time_type)))
                .hint("The range includes --from and leaves --until out."));
        }
        Ok(Bounds { range, trusted, time_type })
    }
}

async fn internal_value(sides: &Sides, option: &str, text: &str, time_type: TimeType) -> Result<i64> {
    let type_name = match time_type {
        TimeType::Timestamptz => "timestamptz",
        TimeType::Timestamp => "timestamp",
        TimeType::Date => "date",
        TimeType::Int2 | TimeType::Int4 | TimeType::Int8 => "int8",
    };
    let function = sides.source_server.internal_function("time_to_internal");
    let sql = format!("select {function}({}::pg_catalog.{type_name})", quote_literal(text));
    let rows = sides.source.rows_as_role(&sql, &[]).await.map_err(|error| match error.sqlstate() {
        Some(_) => Error::refused(format!("{option} is no value of type {type_name}"))
            .caused_by(error)
            .hint("Write it as psql would take it for the time dimension, such as '2025-01-31 12:00+01'."),
        None => error,
    })?;
    Ok(rows[0].get(0))
}

/// The layout that was asked for.
pub(super) async fn partitioning(request: &Request, sides: &Sides) -> Result<Partitioning> {
    let interval = match request.chunk_interval.as_deref().map(str::trim) {
        None => None,
        Some(text) => Some(match text.parse() {
            Ok(integer) => IntervalRequest::Integer(integer),
            Err(_) => IntervalRequest::Microseconds(interval_microseconds(&sides.source, text).await?),
        }),
    };
    Ok(Partitioning { interval, hash: request.hash_partitions.clone() })
}

async fn interval_microseconds(source: &Source, text: &str) -> Result<i64> {
    let sql = "select (extract(year from value) * 12 + extract(month from value))::int8 as months, \
               (extract(epoch from value) * 1000000)::int8 as microseconds \
               from (select $1::text::pg_catalog.interval as value) asked";
    let row = source.row(sql, &[&text]).await.map_err(|error| match error.sqlstate() {
        Some(_) => Error::refused(format!("--chunk-interval \"{text}\" is no interval"))
            .caused_by(error)
            .hint("Write it as PostgreSQL does, such as '1 day' or '6 hours'."),
        None => error,
    })?;
    if row.get::<_, i64>("months") != 0 {
        return Err(Error::refused(format!("--chunk-interval \"{text}\" has months, which differ in length"))
            .hint("TimescaleDB would store 30 days for each: say '30 days' if that is meant."));
    }
    Ok(row.get("microseconds"))
}

//! Where rows are: for each source chunk, one value in each bucket of the target's layout that it has rows for.
//!
//! Chunks are planned from rows and never from the ends of slices, which may be open or huge (reference 9.13).

use crate::catalog::Chunk;
use crate::connect::Reader;
use crate::error::{Error, Result};
use crate::pgcopy::TimeType;
use crate::plan::{Layout, OpenDimension, Range, bucket_number};

use super::snapshot::Snapshot;

/// Probes that travel in one statement.
const PROBES: usize = 100;

/// A place where the source has rows: a chunk and one value per open dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which of the snapshot's chunks.
    pub chunk: usize,
    /// A value of the primary dimension, then one of each further open dimension, in internal time.
    pub values: Vec<i64>,
    /// The greatest value of the primary dimension that this bucket, or the chunk, has; none where only a scan could
    /// tell.
    pub last: Option<i64>,
}

/// How the survey is asked.
pub struct Survey<'a> {
    /// The target's layout.
    pub layout: &'a Layout,
    /// The source's chunks.
    pub chunks: &'a [Chunk],
    /// Bounds of the primary dimension.
    pub bounds: Range,
    /// Whether ranges of a chunk that is not compressed are cheap to read.
    pub indexed: bool,
    /// The schema of TimescaleDB's internal functions on the source.
    pub functions: &'a str,
    /// Findings beyond this are not looked for: the plan will be refused.
    pub limit: u64,
}

impl Survey<'_> {
    /// Asks about these chunks, in one session of the snapshot.
    pub async fn run(&self, session: &Reader, chunks: &[usize]) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for batch in chunks.chunks(PROBES) {
            let probes: Vec<String> = batch.iter().map(|chunk| format!("({})", self.probe(*chunk))).collect();
            let sql = probes.join(" union all ");
            let rows = Snapshot::releasing_locks(session, session.rows(&sql, &[])).await?;
            findings.extend(rows.iter().map(|row| Finding {
                chunk: row.get::<_, i32>(0) as usize,
                values: row.get(1),
                last: row.get(2),
            }));
            if findings.len() as u64 > self.limit {
                return Err(too_many(self.limit));
            }
        }
        Ok(findings)
    }

    fn probe(&self, chunk: usize) -> String {
        let found = &self.chunks[chunk];
        let slice = found.primary();
        let is_one_bucket = self.layout.open.is_empty() && {
            let bucket = self.layout.primary.bucket(slice.start);
            slice.start != i64::MIN && slice.end <= bucket.end
        };
        let range = self.bounds.within(slice);
        if is_one_bucket {
            self.any_row(chunk, range)
        } else if self.indexed && !found.compressed && self.layout.open.is_empty() {
            self.skip_scan(chunk, range)
        } else {
            self.full_scan(chunk, range)
        }
    }

    /// Any row will do for the bucket; where an index gives them, the first and the last say how the rows lie.
    fn any_row(&self, chunk: usize, range: Range) -> String {
        let (column, table, condition) = self.names(chunk, range);
        if self.indexed && !self.chunks[chunk].compressed {
            return format!(
                "select {chunk} as chunk, array[{}] as values, {} as last from {table}{condition} order by {column} limit 1",
                self.internal(&column),
                self.last(chunk, range)
            );
        }
        format!(
            "select {chunk} as chunk, array[{}] as values, null::int8 as last from {table}{condition} limit 1",
            self.internal(&column)
        )
    }

    /// One index probe per bucket: the least value, then the least value behind its bucket, and so on.
    fn skip_scan(&self, chunk: usize, range: Range) -> String {
        let primary = &self.layout.primary;
        let (column, table, condition) = self.names(chunk, range);
        let next_from = format!("{column} >= {}", self.bucket_end("bucket.value"));
        let upper = primary
            .condition(Range { from: None, until: range.until })
            .map(|condition| format!(" and {condition}"))
            .unwrap_or_default();
        format!(
            "with recursive bucket (value) as (\
                (select {column} from {table}{condition} order by {column} limit 1) \
                union all \
                select (select {column} from {table} where {next_from}{upper} order by {column} limit 1) \
                from bucket where {} < {}) \
             select {chunk} as chunk, array[{}] as values, {} as last from bucket where value is not null limit {}",
            self.internal("bucket.value"),
            primary.last_bucket_start(),
            self.internal("bucket.value"),
            self.last(chunk, range),
            self.limit + 1
        )
    }

    /// One pass over the chunk, for what no index answers. The fence (`offset 0`) keeps the volatile conversion out of
    /// the grouping, which TimescaleDB 2.19 cannot plan over compressed chunks.
    fn full_scan(&self, chunk: usize, range: Range) -> String {
        let (_, table, condition) = self.names(chunk, range);
        let dimensions: Vec<_> = self.layout.all_open().collect();
        let each = |text: &dyn Fn(usize, &OpenDimension) -> String| {
            dimensions.iter().enumerate().map(|(n, dimension)| text(n, dimension)).collect::<Vec<_>>().join(", ")
        };
        format!(
            "select {chunk} as chunk, array[{}] as values, max(value_0) as last \
             from (select {} from {table}{condition} offset 0) found group by {} limit {}",
            each(&|n, _| format!("min(value_{n})")),
            each(&|n, dimension| format!("{} as value_{n}", self.internal(&dimension.value()))),
            each(&|n, dimension| bucket_number(&format!("value_{n}"), dimension.interval)),
            self.limit + 1
        )
    }

    fn names(&self, chunk: usize, range: Range) -> (String, String, String) {
        let primary = &self.layout.primary;
        (primary.value(), self.chunks[chunk].table().sql(), primary.filter(range))
    }

    fn last(&self, chunk: usize, range: Range) -> String {
        let (column, table, condition) = self.names(chunk, range);
        format!("(select {} from {table}{condition} order by {column} desc limit 1)", self.internal(&column))
    }

    fn internal(&self, value: &str) -> String {
        format!("{}.time_to_internal({value})", self.functions)
    }

    /// The first value behind the bucket of `value`, in the column's type; −infinity counts as the earliest finite one.
    fn bucket_end(&self, value: &str) -> String {
        let primary = &self.layout.primary;
        let interval = primary.interval;
        let internal = match primary.time_type.has_infinities() {
            false => self.internal(value),
            true => format!("greatest({}, {})", self.internal(value), primary.point(i64::MIN)),
        };
        let end = format!(
            "case when {internal} >= 0 then {internal} / {interval} * {interval} + {interval} \
             else ({internal} + 1) / {interval} * {interval} end"
        );
        match primary.time_type {
            TimeType::Timestamptz => format!("{}.to_timestamp({end})", self.functions),
            TimeType::Timestamp => format!("{}.to_timestamp_without_timezone({end})", self.functions),
            TimeType::Date => format!("{}.to_date({end})", self.functions),
            TimeType::Int2 | TimeType::Int4 | TimeType::Int8 => end,
            // Not a value of version 7 itself, but one before all of those of its millisecond.
            TimeType::Uuid => format!("(lpad(to_hex({end} / 1000), 12, '0') || repeat('0', 20))::uuid"),
        }
    }
}

fn too_many(limit: u64) -> Error {
    Error::refused(format!("the new layout needs more than {limit} chunks"))
        .hint("Choose a larger --chunk-interval, or raise --max-new-chunks if that many chunks are meant.")
}

/// The refusal for a plan with more chunks than `--max-new-chunks`.
pub fn refuse_too_many(chunks: u64, limit: u64) -> Result<()> {
    if chunks > limit { Err(too_many(limit)) } else { Ok(()) }
}

//! The flags of `verify`.

use std::time::Duration;

use clap::Args;
use hypercopy::error::Result;
use hypercopy::ident::QualifiedName;
use hypercopy::migrate::{self, IfExists, Parts, Repair, Resume};
use hypercopy::plan::Range;
use hypercopy::verify::{self, Mode};

use super::{MAX_NEW_CHUNKS, OutputArguments, TableArguments};

/// As long as a migration tries again by itself.
const REPAIR_PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, Args)]
pub struct VerifyArguments {
    #[command(flatten)]
    pub table: TableArguments,
    /// Its name on the target [default: the same schema and name]
    #[arg(long = "as", value_name = "SCHEMA.TABLE")]
    pub target_table: Option<String>,
    /// Compare the numbers of rows only; no rows are read from the servers
    #[arg(long)]
    pub counts_only: bool,
    /// Copy the ranges that differ again, each in one transaction that deletes what the target has there; asks first where no
    /// job of hypercopy has made the target's table
    #[arg(long)]
    pub repair: bool,
    /// Repair also a table that no job of hypercopy has made, without asking
    #[arg(long, requires = "repair")]
    pub yes: bool,
    #[command(flatten)]
    pub output: OutputArguments,
}

impl VerifyArguments {
    /// The engine's terms for copying these ranges anew.
    pub fn repair(&self, ranges: Vec<(Range, u64)>, any_table: bool) -> Result<migrate::Request> {
        Ok(migrate::Request {
            origin: self.table.origin()?,
            target: self.table.target()?,
            target_table: self.target_table.clone(),
            parts: Parts::All,
            chunk_interval: None,
            hash_partitions: None,
            preserve_chunks: false,
            compress: None,
            from: self.table.range.from.clone(),
            until: self.table.range.until.clone(),
            max_new_chunks: MAX_NEW_CHUNKS,
            jobs: self.table.jobs(),
            verify: Mode::Checksum,
            with_dependencies: false,
            strict: false,
            resume: Resume::default(),
            restart: false,
            if_exists: IfExists::default(),
            retry_for: REPAIR_PATIENCE,
            yield_after: None,
            dry_run: false,
            repair: Some(Repair { ranges, any_table }),
        })
    }

    /// The engine's terms.
    pub fn request(&self) -> Result<verify::Request> {
        let table = &self.table;
        QualifiedName::parse(&table.table, "")?;
        self.target_table.as_deref().map(|name| QualifiedName::parse(name, "")).transpose()?;
        Ok(verify::Request {
            source: table.source()?,
            target: table.target()?,
            table: table.table.clone(),
            target_table: self.target_table.clone(),
            from: table.range.from.clone(),
            until: table.range.until.clone(),
            jobs: table.jobs(),
            counts_only: self.counts_only,
        })
    }
}

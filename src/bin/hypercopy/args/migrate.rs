//! The flags of `migrate`.

use std::time::Duration;

use clap::Args;
use hypercopy::error::{Error, Kind, Result};
use hypercopy::ident::QualifiedName;
use hypercopy::migrate::{IfExists, Parts, Request, Resume};

use super::{
    DefinitionArguments, JobArguments, LayoutArguments, OutputArguments, TableArguments, VerifyArgument, resume,
    seconds,
};

#[derive(Debug, Args)]
pub struct MigrateArguments {
    #[command(flatten)]
    pub table: TableArguments,
    #[command(flatten)]
    pub layout: LayoutArguments,
    #[command(flatten)]
    pub definition: DefinitionArguments,
    /// Compare the target with what was read: its rows per range, or a checksum over every bit of them
    #[arg(long, value_enum, value_name = "HOW", default_value_t = VerifyArgument::Counts)]
    pub verify: VerifyArgument,
    /// Go on with an unfinished job. What earlier runs copied is compared with the source, and copied again where that has
    /// changed; 'trust' compares nothing (the source is quiet), 'trust-before VALUE' nothing before that value of the time
    /// dimension, 'follow-deletes' lets ranges become empty as well
    #[arg(long, value_name = "HOW", help_heading = "Job", num_args = 0..=1, require_equals = true,
        default_value = "", default_missing_value = "", hide_default_value = true, value_parser = resume)]
    pub resume: Resume,
    #[command(flatten)]
    pub job: JobArguments,
    /// Give way when somebody has waited this long behind our locks on the source: release them, wait, and resume
    /// [default: say who waits, and go on]
    #[arg(long = "yield", value_name = "SECONDS", help_heading = "Job", value_parser = seconds)]
    pub yield_after: Option<Duration>,
    /// Print what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Refuse where something of the source would not be carried, instead of listing it
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub output: OutputArguments,
}

impl MigrateArguments {
    /// The engine's terms.
    pub fn request(&self) -> Result<Request> {
        let table = &self.table;
        QualifiedName::parse(&table.table, "")?;
        let (layout, job) = (&self.layout, &self.job);
        let hash_partitions = layout.check()?;
        let if_exists = job.if_exists();
        if if_exists == IfExists::Append {
            layout.refuse_beside("--if-exists append")?;
        }
        if job.restart && self.resume != Resume::Compare {
            return Err(
                Error::new(Kind::Usage, "--restart forgets what --resume would go on with").hint("Choose one of them.")
            );
        }
        Ok(Request {
            origin: table.origin()?,
            target: table.target()?,
            target_table: layout.target_table.clone(),
            parts: Parts::All,
            chunk_interval: layout.chunk_interval.clone(),
            hash_partitions,
            preserve_chunks: layout.chunk_layout.is_some(),
            compress: layout.compress.clone(),
            from: table.range.from.clone(),
            until: table.range.until.clone(),
            max_new_chunks: layout.max_new_chunks,
            jobs: table.jobs(),
            verify: self.verify.mode(),
            with_dependencies: self.definition.with_dependencies,
            strict: self.strict,
            resume: self.resume.clone(),
            restart: job.restart,
            if_exists,
            retry_for: job.patience.retry_for,
            yield_after: self.yield_after,
            dry_run: self.dry_run,
            repair: None,
        })
    }
}

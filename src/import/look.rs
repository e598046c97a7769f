//! The first look: the server, and the table if it is there.

use super::request::{OnConflict, Request};
use super::role;
use crate::catalog::{Hypertable, Server, TargetPlace, read};
use crate::connect::Target;
use crate::error::{Error, Result};
use crate::ident::{QualifiedName, display_ident};
use crate::ledger::{self, JobId};
use crate::look::{find_hypertable, find_table, open_target, refuse_ledger, refuse_schema, refuse_temporary};
use crate::report::EndReport;

/// What is known of the target before anything is read.
pub(super) struct Ground {
    pub(super) target: Target,
    pub(super) server: Server,
    pub(super) table: QualifiedName,
    pub(super) place: TargetPlace,
    /// The table, if it is there.
    pub(super) existing: Option<Hypertable>,
    /// The latest job of the ledger; an import that is there under a higher number has begun since.
    pub(super) latest_job: JobId,
}

impl Ground {
    pub(super) async fn look(request: &Request) -> Result<Ground> {
        let (target, server) = open_target(&request.target, &role("import", &request.table)).await?;
        let existing = match (read::resolve(&target, &request.table).await, &request.create) {
            (Ok(None), Some(_)) => None,
            _ => Some(find(&target, &server, request).await?),
        };
        let table = match &existing {
            Some(hypertable) => hypertable.name().clone(),
            None => new_table(&target, &request.table).await?,
        };
        let place = read::target_place(&target, &table, &server.role).await?;
        let latest_job = ledger::jobs(&target).await?.iter().map(|job| job.id.0).max().unwrap_or_default();
        let ground = Ground { target, server, table, place, existing, latest_job: JobId(latest_job) };
        ground.refuse_tools(request)?;
        ground.refuse_unknown_encoding(request).await?;
        Ok(ground)
    }

    pub(super) fn report(&self) -> EndReport {
        EndReport::new(self.target.endpoint(), &self.table, &self.server)
    }

    /// That the role may fill these columns.
    pub(super) async fn refuse_missing_privileges(&self, request: &Request, columns: &[String]) -> Result<()> {
        let Some(existing) = &self.existing else { return Ok(()) };
        let updates = request.on_conflict == OnConflict::Update;
        let sql = include_str!("sql/missing_privileges.sql");
        let missing = self.target.rows(sql, &[&existing.table.oid, &columns, &updates]).await?;
        if missing.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = missing.iter().map(|row| display_ident(row.get(0))).collect();
        let right = if updates { "INSERT and UPDATE" } else { "INSERT" };
        Err(Error::refused(format!(
            "the role may not write {}: {right} is missing on {}",
            self.table,
            names.join(", ")
        ))
        .hint(format!("Grant {right} on {} to {}.", self.table, display_ident(&self.server.role))))
    }

    /// An encoding that the server does not know is no fault of any record.
    async fn refuse_unknown_encoding(&self, request: &Request) -> Result<()> {
        let Some(name) = &request.encoding else { return Ok(()) };
        let row = self.target.row("select pg_catalog.pg_char_to_encoding($1::text::name) >= 0", &[name]).await?;
        match row.get(0) {
            true => Ok(()),
            false => Err(Error::refused(format!("the server knows no encoding \"{name}\"")).hint(
                "Give PostgreSQL's name of it (LATIN1, WIN1252, EUC_JP), or convert the files to UTF-8 with iconv.",
            )),
        }
    }

    /// What the job needs beside the table.
    fn refuse_tools(&self, request: &Request) -> Result<()> {
        refuse_ledger(&self.server, &self.place)?;
        if request.on_conflict != OnConflict::Error || self.existing.is_none() {
            refuse_temporary(&self.server, &self.place, "this import")?;
        }
        if self.existing.is_some() {
            return Ok(());
        }
        if !self.place.schema_exists {
            return Err(Error::refused(format!("there is no schema {}", display_ident(&self.table.schema)))
                .hint("Create it first."));
        }
        refuse_schema(&self.server, &self.place, &self.table)
    }
}

async fn find(target: &Target, server: &Server, request: &Request) -> Result<Hypertable> {
    let table = find_table(target, &request.table).await.map_err(|error| match error.hint_text() {
        Some(_) if request.create.is_none() && error.message().starts_with("there is no table") => {
            error.hint("--create-hypertable TIME_COLUMN makes it of the file.")
        }
        _ => error,
    })?;
    let row = find_hypertable(target, &table).await?;
    if table.row_security_active {
        return Err(Error::refused(format!("row-level security is active on {} for this role", table.name)).hint(
            "PostgreSQL has no COPY into such a table: use its owner (without FORCE), or a role with BYPASSRLS.",
        ));
    }
    if table.unlogged {
        return Err(Error::refused(format!("{} is unlogged", table.name)).hint(format!(
            "A crash would empty it, and the ledger would still call its rows done: run \"alter table {} set logged\".",
            table.name
        )));
    }
    read::hypertable(target, server, table, row).await
}

/// The name of a table that is to be made, where the role would make it.
async fn new_table(target: &Target, text: &str) -> Result<QualifiedName> {
    let row = target.rows_as_role("select current_schema()::text", &[]).await?;
    let schema: Option<String> = row.first().and_then(|row| row.get(0));
    let name = QualifiedName::parse(text, schema.as_deref().unwrap_or_default())?;
    match name.schema.is_empty() {
        false => Ok(name),
        true => Err(Error::refused("no schema of the role's search_path is there").hint("Write SCHEMA.TABLE.")),
    }
}

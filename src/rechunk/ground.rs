//! The first look: the database, the table, what the role may do, and what cannot work.

use serde::Deserialize;
use tokio_postgres::error::SqlState;

use super::request::Request;
use super::surroundings::Surroundings;
use crate::catalog::{Hypertable, Server, read};
use crate::connect::{Side, Target};
use crate::error::{Error, Result};
use crate::ident::{QualifiedName, display_ident};
use crate::ledger::{self, Job, JobState, RECHUNK};
use crate::look::{Found, open_target, refuse_ledger, refuse_temporary};
use crate::reader::snapshot::explain_lock;
use crate::report::EndReport;

/// What is known before anything is written.
pub(super) struct Ground {
    /// The table that has the name, as it is read.
    pub(super) found: Found,
    /// The session that writes, and holds the job's lock.
    pub(super) target: Target,
    /// The table's definition.
    pub(super) hypertable: Hypertable,
    /// What the role may do.
    pub(super) rights: Rights,
    /// What hangs on the table.
    pub(super) surroundings: Surroundings,
    /// How many chunks the table has.
    pub(super) chunks: usize,
}

/// What the role may do with the table, and what stands in the way.
#[derive(Debug, Deserialize)]
pub(super) struct Rights {
    owns: bool,
    may_create_in_schema: bool,
    is_subscribed: bool,
    children: Option<Vec<String>>,
    pub(super) has_dropped_columns: bool,
    aggregates: Vec<String>,
}

/// How often a table is looked at whose chunks are dropped meanwhile.
const LOOKS: usize = 5;

impl Ground {
    /// Looks, and again where a chunk vanished while its size was asked.
    pub(super) async fn look(request: &Request) -> Result<Ground> {
        for _ in 1..LOOKS {
            match Ground::look_once(request).await {
                Err(error) if error.sqlstate() == Some(&SqlState::INTERNAL_ERROR) => {}
                looked => return looked,
            }
        }
        Ground::look_once(request).await
    }

    async fn look_once(request: &Request) -> Result<Ground> {
        let found = Found::look(Side::Target, &request.database, "rechunk look", &request.table).await?;
        let (target, server) = open_target(&request.database, &role(&found.table.name)).await?;
        let name = &found.table.name;
        let place = read::target_place(&target, name, &found.table.owner).await?;
        refuse_ledger(&server, &place)?;
        refuse_temporary(&server, &place, "making chunks")?;
        let rights =
            target.record(include_str!("sql/rights.sql"), &[&found.table.oid, &name.schema, &name.name]).await?;
        let hypertable = found.describe(&found.session).await?;
        let surroundings = Surroundings::read(&target, found.table.oid, &found.table.name).await?;
        let chunks = read::chunks(&found.session, &server, found.row.id).await;
        let chunks = chunks.map_err(|error| explain_lock(error, Side::Target, &found.table.name))?.len();
        Ok(Ground { found, target, hypertable, rights, surroundings, chunks })
    }

    pub(super) fn server(&self) -> &Server {
        &self.found.server
    }

    pub(super) fn name(&self) -> &QualifiedName {
        &self.found.table.name
    }

    pub(super) fn report(&self) -> EndReport {
        self.found.report()
    }

    /// The rechunk of this table that is not finished. To begin one, nothing else may be unfinished there.
    pub(super) async fn job(&self) -> Result<Option<Job>> {
        let mut jobs = ledger::jobs(&self.target).await?;
        jobs.retain(|job| job.target_oid == self.found.table.oid && job.state != JobState::Finished);
        let rechunk = jobs.iter().position(|job| job.kind == RECHUNK);
        match (rechunk, jobs.first()) {
            (Some(rechunk), _) => Ok(Some(jobs.swap_remove(rechunk))),
            (None, None) => Ok(None),
            (None, Some(other)) => {
                Err(Error::refused(format!("job {} ({}) on {} is unfinished", other.id.0, other.kind, self.name()))
                    .hint(format!(
                        "Run its command again until it is finished; \"hypercopy jobs show {}\" says what it does.",
                        other.id.0
                    )))
            }
        }
    }

    /// Refuses whoever may not alter the table.
    pub(super) fn refuse_stranger(&self) -> Result<()> {
        if self.rights.owns {
            return Ok(());
        }
        Err(Error::refused(format!("role {} does not own {}", display_ident(&self.server().role), self.name())).hint(
            format!("Use its owner, {}, or a role that is a member of it.", display_ident(&self.found.table.owner)),
        ))
    }

    /// What no rechunk of this table can work with, whatever the new layout is.
    pub(super) fn refuse(&self) -> Result<()> {
        self.refuse_stranger()?;
        let (table, server, rights) = (self.name(), self.server(), &self.rights);
        let role = display_ident(&server.role);
        if !server.may_create_schema {
            return Err(Error::refused(format!(
                "role {role} may not create a schema, in which the new table is built"
            ))
            .hint(format!("Grant CREATE on database {} to {role}.", display_ident(&server.database))));
        }
        if !rights.may_create_in_schema {
            return Err(Error::refused(format!(
                "role {role} may not create tables in schema {}",
                display_ident(&table.schema)
            ))
            .hint(format!(
                "Grant CREATE on schema {} to {role}: the new table goes there.",
                display_ident(&table.schema)
            )));
        }
        if rights.is_subscribed {
            return Err(Error::refused(format!("{table} is the target of a logical subscription"))
                .hint("Its changes are applied without firing triggers, so they could not be followed: drop the subscription first."));
        }
        if self.found.table.unlogged {
            return Err(Error::refused(format!("{table} is unlogged"))
                .hint(format!("A crash would empty it: run \"alter table {table} set logged\" first.")));
        }
        if let Some(child) = rights.children.iter().flatten().next() {
            return Err(Error::refused(format!("{child} inherits from {table} and is no chunk of it"))
                .hint("Its rows are seen in the table but would not move: run \"alter table … no inherit\" first."));
        }
        match rights.aggregates.first() {
            None => self.surroundings.refuse_obstacles(table, server),
            Some(first) => Err(Error::refused(format!(
                "{} continuous aggregates are on {table}, the first one {first}: they cannot be pointed to another table",
                rights.aggregates.len()
            ))
            .hint("Drop them first, and create and refresh them again afterwards.")),
        }
    }
}

/// What `pg_stat_activity` shows of us, without our own name.
pub(super) fn role(table: &QualifiedName) -> String {
    format!("rechunk {table}")
}

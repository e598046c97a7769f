//! The first look: both servers, the table, the place for the new one. Refuses what cannot work before anything else
//! is asked.

use super::request::Request;
use super::role;
use crate::catalog::{HypertableRow, Server, Table, TargetPlace, read};
use crate::connect::{Session, Side, Source, Target};
use crate::error::{Error, Result};
use crate::ident::{QualifiedName, display_ident};
use crate::plan::Range;
use crate::reader::snapshot::{Subject, explain_lock};
use crate::report::EndReport;
use tokio_postgres::error::SqlState;

/// What is known of both sides before the snapshot.
pub(super) struct Sides {
    pub(super) source: Source,
    pub(super) source_server: Server,
    pub(super) source_table: Table,
    pub(super) hypertable: HypertableRow,
    pub(super) target: Target,
    pub(super) target_server: Server,
    pub(super) target_table: QualifiedName,
    pub(super) place: TargetPlace,
}

impl Sides {
    pub(super) async fn look(request: &Request) -> Result<Sides> {
        let source = Source::open(&request.source, "migrate look").await?;
        let source_server = read::server(&source).await?;
        refuse_without_timescaledb(&source, &source_server)?;
        let source_table = find_table(&source, &request.table).await?;
        let hypertable = find_hypertable(&source, &source_table).await?;
        refuse_hidden_rows(&source_table)?;
        let name = &source_table.name;
        let target_table = match &request.target_table {
            Some(text) => QualifiedName::parse(text, &name.schema)?,
            None => name.clone(),
        };
        let target = Target::open(&request.target, &role(&target_table)).await?;
        let target_server = read::server(&target).await?;
        refuse_without_timescaledb(&target, &target_server)?;
        if target_server.in_recovery {
            return Err(Error::refused(format!(
                "the target at {} is a standby and cannot be written",
                target.endpoint()
            ))
            .hint("Name its primary as the target.")
            // Where a run has lost its target, this one may be about to take its place.
            .retryable());
        }
        let place = read::target_place(&target, &target_table, &source_table.owner).await?;
        let sides =
            Sides { source, source_server, source_table, hypertable, target, target_server, target_table, place };
        sides.refuse_same_table()?;
        sides.refuse_place()?;
        Ok(sides)
    }

    pub(super) fn is_one_database(&self) -> bool {
        let database = |server: &Server| (server.system.clone(), server.database_oid);
        database(&self.source_server) == database(&self.target_server)
    }

    fn refuse_same_table(&self) -> Result<()> {
        if self.is_one_database() && self.target_table == self.source_table.name {
            return Err(Error::refused(format!("source and target are the same table, {}", self.target_table))
                .hint("Name another table with --as, or another target."));
        }
        Ok(())
    }

    fn refuse_place(&self) -> Result<()> {
        let (table, role) = (&self.target_table, &self.target_server.role);
        if self.place.existing.is_some() {
            return self.refuse_tools();
        }
        if !self.place.schema_exists && !self.target_server.may_create_schema {
            return Err(Error::refused(format!(
                "schema {} is missing on the target, and role {role} may not create it",
                display_ident(&table.schema)
            ))
            .hint("Create it there, or grant CREATE on the database to the role."));
        }
        if self.place.schema_exists && !self.place.may_create_in_schema {
            return Err(Error::refused(format!(
                "role {role} may not create tables in schema {} of the target",
                display_ident(&table.schema)
            ))
            .hint(format!(
                "Run \"grant usage, create on schema {} to {}\" there as its owner.",
                display_ident(&table.schema),
                display_ident(role)
            )));
        }
        self.refuse_tools()
    }

    /// What the job needs on the target beside the table.
    fn refuse_tools(&self) -> Result<()> {
        let role = &self.target_server.role;
        if !self.place.may_keep_ledger {
            return Err(Error::refused(format!(
                "role {role} may not write the ledger in schema _hypercopy of the target"
            ))
            .hint(format!(
                "Grant {role} CREATE on the database where that schema is missing, else USAGE on it and SELECT, INSERT, \
                     UPDATE and DELETE on its tables.",
                role = display_ident(role)
            )));
        }
        if !self.place.may_create_temporary {
            return Err(Error::refused(format!(
                "role {role} may not create temporary objects on the target, which making chunks needs"
            ))
            .hint(format!("Grant TEMPORARY on the database to {}.", display_ident(role))));
        }
        Ok(())
    }

    pub(super) fn subject<'a>(&'a self, request: &'a Request, bounds: Range, undivided: &'a [Range]) -> Subject<'a> {
        Subject {
            conninfo: &request.source,
            server: &self.source_server,
            table: &self.source_table.name,
            hypertable_id: self.hypertable.id,
            jobs: request.jobs,
            bounds,
            undivided,
            role: "migrate",
        }
    }

    pub(super) fn source_report(&self) -> EndReport {
        EndReport::new(self.source.endpoint(), &self.source_table.name, &self.source_server)
    }

    pub(super) fn target_report(&self) -> EndReport {
        EndReport::new(self.target.endpoint(), &self.target_table, &self.target_server)
    }
}

pub(crate) fn refuse_without_timescaledb(session: &Session, server: &Server) -> Result<()> {
    if server.timescaledb.is_some() {
        return Ok(());
    }
    Err(Error::refused(format!(
        "the {} at {} has no TimescaleDB in this database",
        session.side().name(),
        session.endpoint()
    ))
    .hint("Run \"create extension timescaledb\" there, or check the database's name."))
}

/// The table that a name on the command line means.
pub(crate) async fn find_table(session: &Session, name: &str) -> Result<Table> {
    let side = session.side();
    let oid = read::resolve(session, name).await.map_err(|error| match error.sqlstate() {
        Some(state) if *state == SqlState::INSUFFICIENT_PRIVILEGE => {
            Error::refused(format!("the role may not look up {name} on the {}", side.name()))
                .caused_by(error)
                .hint("Grant the role USAGE on the schema.")
        }
        // A name that cannot be one, such as a.b.c.d, or an unclosed quote.
        Some(_) => Error::refused(format!("\"{name}\" is not a table's name on the {}", side.name()))
            .caused_by(error)
            .hint("Write NAME or SCHEMA.NAME, by SQL's quoting rules."),
        None => error,
    })?;
    let missing = || {
        Error::refused(format!("there is no table {name} at {}", session.endpoint())).hint(format!(
            "Unquoted names are folded to lower case and looked up in the role's search_path; \
             \"hypercopy inspect --{}\" lists the hypertables.",
            side.name()
        ))
    };
    let table = match oid {
        Some(oid) => {
            let found = read::table(session, oid).await.map_err(|error| explain_lock(error, &name))?;
            found.ok_or_else(missing)?
        }
        None => return Err(missing()),
    };
    if side == Side::Source && !table.schema_usable {
        return Err(Error::refused(format!("the role may not use schema {}", display_ident(&table.name.schema)))
            .hint("Grant the role USAGE on the schema."));
    }
    Ok(table)
}

/// TimescaleDB's row for a table that can be copied.
pub(crate) async fn find_hypertable(session: &Session, table: &Table) -> Result<HypertableRow> {
    let name = &table.name;
    let Some(row) = read::hypertable_row(session, name).await? else {
        let what = match table.kind.as_str() {
            "r" => "a plain table",
            "p" => "a partitioned table of PostgreSQL",
            "v" | "m" => "a view",
            "f" => "a foreign table",
            _ => "no table",
        };
        return Err(Error::refused(format!("{name} is {what}, not a hypertable"))
            .hint("\"hypercopy inspect\" lists the hypertables; create_hypertable() makes one of a plain table."));
    };
    let refused = |what: &str, hint: &str| Err(Error::refused(format!("{name} {what}")).hint(hint));
    if row.distributed {
        return refused(
            "is a distributed hypertable, which no current TimescaleDB supports",
            "Copy it into a hypertable of the access node first.",
        );
    }
    if row.internal {
        return refused("is where TimescaleDB keeps compressed rows", "Name the hypertable that they belong to.");
    }
    if row.materialization {
        return refused(
            "holds the rows of a continuous aggregate",
            "Migrate the hypertable below it, then create and refresh the aggregate on the target.",
        );
    }
    Ok(row)
}

/// Rows that a copy would not see.
fn refuse_hidden_rows(table: &Table) -> Result<()> {
    let name = &table.name;
    if !table.unreadable_columns.is_empty() {
        let columns: Vec<String> = table.unreadable_columns.iter().map(|column| display_ident(column)).collect();
        return Err(Error::refused(format!(
            "the role may not read {name}: SELECT is missing on {}",
            columns.join(", ")
        ))
        .hint(format!("Run \"grant select on {name} to ROLE\" on the source.")));
    }
    if table.row_security_active {
        return Err(Error::refused(format!("row-level security filters what the role sees of {name}"))
            .hint("Use the table's owner (without FORCE), or a role with BYPASSRLS: a part of the rows is no copy."));
    }
    if table.root_bytes > 0 {
        return Err(Error::refused(format!(
            "{name} has {} bytes in its own root table, where TimescaleDB shows no rows",
            table.root_bytes
        ))
        .hint(
            "A session without TimescaleDB wrote there. See them with \"set timescaledb.restoring = on; \
                 select * from only …\", move them, and truncate the root in such a session.",
        ));
    }
    Ok(())
}

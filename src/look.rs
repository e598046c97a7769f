//! The first look at a table that shall be read: finds what a name and a range on the command line mean, and refuses
//! what cannot be read whole.
//!
//! **Invariant:** reads one side, whichever it is, and knows neither what the rows are wanted for nor the other side.

use tokio_postgres::error::SqlState;

use crate::catalog::{Chunk, Hypertable, HypertableRow, Server, Table, TargetPlace, read};
use crate::connect::{Conninfo, Reader, Session, Side, Target};
use crate::error::{Error, Result};
use crate::ident::{QualifiedName, display_ident, quote_literal};
use crate::pgcopy::TimeType;
use crate::plan::{HashRequest, IntervalRequest, Layout, Partitioning, Range, primary_dimension, type_name};
use crate::reader::snapshot::{Subject, explain_lock};
use crate::report::EndReport;

/// A hypertable of one side that was found, and of which the role sees every row.
pub struct Found {
    /// The session that looked; it is in no transaction.
    pub session: Reader,
    /// The server.
    pub server: Server,
    /// The table.
    pub table: Table,
    /// TimescaleDB's row for it.
    pub row: HypertableRow,
}

impl Found {
    /// Connects to a side and finds the hypertable that `name` means to the role.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::error::Kind::Refused) for what is no hypertable, or one that cannot be read whole; the
    /// side's kind where its server fails.
    pub async fn look(side: Side, conninfo: &Conninfo, role: &str, name: &str) -> Result<Found> {
        let session = Reader::open(side, conninfo, role).await?;
        let server = read::server(&session).await?;
        refuse_without_timescaledb(&session, &server)?;
        let table = find_table(&session, name).await?;
        let row = find_hypertable(&session, &table).await?;
        refuse_hidden_rows(side, &table)?;
        Ok(Found { session, server, table, row })
    }

    /// Which side it is on.
    pub fn side(&self) -> Side {
        self.session.side()
    }

    /// It, for a report.
    pub fn report(&self) -> EndReport {
        EndReport::new(self.session.endpoint(), &self.table.name, &self.server)
    }

    /// It, for a snapshot that `jobs` workers read under.
    pub fn subject<'a>(&'a self, conninfo: &'a Conninfo, jobs: usize, bounds: Range, role: &'a str) -> Subject<'a> {
        Subject {
            side: self.side(),
            conninfo,
            server: &self.server,
            table: &self.table.name,
            hypertable_id: self.row.id,
            jobs,
            bounds,
            undivided: &[],
            division: None,
            role,
        }
    }

    /// Its definition as a session of its side sees it. Where that is a snapshot's leader, its locks keep DDL away.
    ///
    /// # Errors
    /// The side's kind where the table has gone; [`Kind::Resumable`](crate::error::Kind) where somebody keeps it locked.
    pub async fn describe(&self, session: &Session) -> Result<Hypertable> {
        let described = self.definition(session).await;
        described.map_err(|error| explain_lock(error, self.side(), &self.table.name))
    }

    async fn definition(&self, session: &Session) -> Result<Hypertable> {
        let gone = || Error::new(self.side().kind(), format!("{} was dropped meanwhile", self.table.name));
        let table = read::table(session, self.table.oid).await?.ok_or_else(gone)?;
        let row = read::hypertable_row(session, &table.name).await?.ok_or_else(gone)?;
        read::hypertable(session, &self.server, table, row).await
    }

    /// Its primary dimension.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::error::Kind::Refused) for a kind of dimension that is not supported.
    pub async fn axis(&self) -> Result<Axis<'_>> {
        let dimensions = read::dimensions(&self.session, self.row.id).await?;
        let time_type = primary_dimension(&self.table.name, &dimensions)?.time_type;
        Ok(Axis { session: &self.session, server: &self.server, time_type })
    }

    /// Refuses chunks whose rows this server does not have, or cannot read.
    pub fn refuse_unreadable_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        let (table, side) = (&self.table.name, self.side().name());
        if let Some(chunk) = chunks.iter().find(|chunk| chunk.tiered || chunk.local == Some(false)) {
            return Err(Error::refused(format!(
                "chunk {} of {table} is not in this server (tiered, or on a data node)",
                chunk.table()
            ))
            .hint("Bring it back (untier_chunk), or leave its range out with --from and --until."));
        }
        if let Some(chunk) = chunks.iter().find(|chunk| chunk.oid.is_none() || chunk.slices.is_none()) {
            return Err(Error::refused(format!("chunk {} of {table} has lost its table or its slices", chunk.id))
                .hint(format!("The {side}'s TimescaleDB catalog is damaged; no reading of it can be complete.")));
        }
        let compressed = chunks.iter().filter(|chunk| chunk.compressed).count();
        if compressed > 0 && self.server.is_apache() {
            return Err(Error::refused(format!(
                "{compressed} chunks of {table} are compressed, and the {side}'s Apache edition cannot read them"
            ))
            .hint("Set timescaledb.license = 'timescale' there, with a build that has it."));
        }
        Ok(())
    }
}

/// A primary dimension whose values are read by a server.
pub struct Axis<'a> {
    /// A session of the role that has written them.
    pub session: &'a Session,
    /// Its server.
    pub server: &'a Server,
    /// The dimension's type.
    pub time_type: TimeType,
}

impl Axis<'_> {
    /// Reads a value as psql would in a session of the role; `option` is where it was written.
    pub(crate) async fn internal_value(&self, option: &str, text: &str) -> Result<i64> {
        let type_name = type_name(self.time_type.spoken());
        let function = self.server.internal_function("time_to_internal");
        let sql = format!("select {function}({}::pg_catalog.{type_name})", quote_literal(text));
        let rows = self.session.rows_as_role(&sql, &[]).await.map_err(|error| match error.sqlstate() {
            Some(_) => Error::refused(format!("{option} is no value of type {type_name}"))
                .caused_by(error)
                .hint("Write it as psql would take it for the time dimension, such as '2025-01-31 12:00+01'."),
            None => error,
        })?;
        Ok(rows[0].get(0))
    }
}

/// The range that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// In internal time.
    pub range: Range,
    /// The primary dimension's type, by which it was read.
    pub time_type: TimeType,
}

impl Bounds {
    /// Reads `--from` and `--until` as psql would in a session of the role.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::error::Kind::Refused) for what is no value of the dimension, and for a range that has
    /// its ends the wrong way round.
    pub async fn resolve(axis: &Axis<'_>, from: Option<&str>, until: Option<&str>) -> Result<Bounds> {
        let time_type = axis.time_type;
        let value = async |option: &str, text: Option<&str>| match text {
            None => Ok(None),
            Some(text) => axis.internal_value(option, text).await.map(Some),
        };
        let range = Range { from: value("--from", from).await?, until: value("--until", until).await? };
        if range.is_empty() {
            return Err(Error::refused(format!("--from is not before --until: {}", range.display(time_type)))
                .hint("The range includes --from and leaves --until out."));
        }
        Ok(Bounds { range, time_type })
    }
}

/// What `--chunk-interval` and `--hash-partitions` ask for.
pub(crate) async fn partitioning(
    session: &Session,
    chunk_interval: Option<&str>,
    hash: Option<HashRequest>,
) -> Result<Partitioning> {
    let interval = match chunk_interval.map(str::trim) {
        None => None,
        Some(text) => Some(match text.parse() {
            Ok(integer) => IntervalRequest::Integer(integer),
            Err(_) => IntervalRequest::Microseconds(interval_microseconds(session, text).await?),
        }),
    };
    Ok(Partitioning { interval, hash })
}

async fn interval_microseconds(session: &Session, text: &str) -> Result<i64> {
    let sql = "select (extract(year from value) * 12 + extract(month from value))::int8 as months, \
               (extract(epoch from value) * 1000000)::int8 as microseconds \
               from (select $1::text::pg_catalog.interval as value) asked";
    let row = session.row(sql, &[&text]).await.map_err(|error| match error.sqlstate() {
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

/// Connects to a target that can be written.
///
/// # Errors
/// [`Kind::Refused`](crate::error::Kind::Refused) for one without TimescaleDB, and for a standby.
pub(crate) async fn open_target(conninfo: &Conninfo, role: &str) -> Result<(Target, Server)> {
    let target = Target::open(conninfo, role).await?;
    let server = read::server(&target).await?;
    refuse_without_timescaledb(&target, &server)?;
    if server.in_recovery {
        return Err(Error::refused(format!("the target at {} is a standby and cannot be written", target.endpoint()))
            .hint("Name its primary as the target.")
            // Where a run has lost its target, this one may be about to take its place.
            .retryable());
    }
    Ok((target, server))
}

/// Refuses where the role may not write the ledger.
pub(crate) fn refuse_ledger(server: &Server, place: &TargetPlace) -> Result<()> {
    if place.may_keep_ledger {
        return Ok(());
    }
    let role = display_ident(&server.role);
    Err(Error::refused(format!("role {role} may not write the ledger in schema _hypercopy of the target")).hint(format!(
        "Grant {role} CREATE on the database where that schema is missing, else USAGE on it and SELECT, INSERT, UPDATE \
         and DELETE on its tables."
    )))
}

/// Refuses where the role may not create what ends with its session; `what` needs it.
pub(crate) fn refuse_temporary(server: &Server, place: &TargetPlace, what: &str) -> Result<()> {
    if place.may_create_temporary {
        return Ok(());
    }
    let role = display_ident(&server.role);
    Err(Error::refused(format!("role {role} may not create temporary objects on the target, which {what} needs"))
        .hint(format!("Grant TEMPORARY on the database to {role}.")))
}

/// Refuses where the role may not create a table in the schema of `table`, which is there.
pub(crate) fn refuse_schema(server: &Server, place: &TargetPlace, table: &QualifiedName) -> Result<()> {
    if place.may_create_in_schema {
        return Ok(());
    }
    let (role, schema) = (display_ident(&server.role), display_ident(&table.schema));
    Err(Error::refused(format!("role {role} may not create tables in schema {schema} of the target"))
        .hint(format!("Run \"grant usage, create on schema {schema} to {role}\" there as its owner.")))
}

/// Refuses dimensions that a server does not know.
pub(crate) async fn refuse_unknown_dimensions(session: &Session, server: &Server, layout: &Layout) -> Result<()> {
    let Some(first) = layout.all_open().find(|dimension| dimension.time_type == TimeType::Uuid) else { return Ok(()) };
    if read::divides_uuids(session, server).await? {
        return Ok(());
    }
    Err(Error::refused(format!(
        "dimension {} is a uuid, by which the {}'s {} does not divide tables",
        first.name(),
        session.side().name(),
        server.version()
    ))
    .hint("Dimensions of uuids came with TimescaleDB 2.22: choose a newer server."))
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
        Error::refused(format!("there is no table {name} at {}", session.endpoint())).hint(
            "Unquoted names are folded to lower case and looked up in the role's search_path; \
             \"hypercopy inspect\" lists the hypertables of a database.",
        )
    };
    let table = match oid {
        Some(oid) => {
            let found = read::table(session, oid).await.map_err(|error| explain_lock(error, side, &name))?;
            found.ok_or_else(missing)?
        }
        None => return Err(missing()),
    };
    if !table.schema_usable {
        return Err(Error::refused(format!("the role may not use schema {}", display_ident(&table.name.schema)))
            .hint("Grant the role USAGE on the schema."));
    }
    Ok(table)
}

/// TimescaleDB's row for a table that can be read whole.
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

/// Rows that the role would not see.
fn refuse_hidden_rows(side: Side, table: &Table) -> Result<()> {
    let name = &table.name;
    if !table.unreadable_columns.is_empty() {
        let columns: Vec<String> = table.unreadable_columns.iter().map(|column| display_ident(column)).collect();
        return Err(Error::refused(format!(
            "the role may not read {name}: SELECT is missing on {}",
            columns.join(", ")
        ))
        .hint(format!("Run \"grant select on {name} to ROLE\" on the {}.", side.name())));
    }
    if table.row_security_active {
        return Err(Error::refused(format!("row-level security filters what the role sees of {name}"))
            .hint("Use the table's owner (without FORCE), or a role with BYPASSRLS: what a part of the rows says is not true of all."));
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

/// Refuses rows at −infinity where the layout has no chunk for them; one index probe.
pub(crate) async fn refuse_minus_infinity(
    leader: &Session,
    source: &Hypertable,
    layout: &Layout,
    bounds: Range,
) -> Result<()> {
    if bounds.from.is_some_and(|from| from > i64::MIN) || layout.primary.holds_minus_infinity() {
        return Ok(());
    }
    let (table, value) = (source.name().sql(), layout.primary.value());
    let sql = format!("select exists (select from {table} where {value} = '-infinity')");
    match leader.row(&sql, &[]).await?.get(0) {
        true => Err(minus_infinity(source)),
        false => Ok(()),
    }
}

/// Refuses them where they were found.
pub(crate) fn refuse_found_minus_infinity(source: &Hypertable, layout: &Layout) -> Result<()> {
    if layout.primary.holds_minus_infinity() { Ok(()) } else { Err(minus_infinity(source)) }
}

fn minus_infinity(source: &Hypertable) -> Error {
    Error::refused(format!("{} has rows at -infinity, and the new layout has no chunk for them", source.name()))
        .hint("A chunk without a start exists only for some intervals (7 days is one): choose one, delete the rows, or leave them out where there is a --from ('4714-11-24 00:00:00+00 BC').")
}

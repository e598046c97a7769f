//! Connections: conninfo, TLS, session settings, and the two kinds of session.
//!
//! A [`Reader`] can only be read, on whichever side it is; a [`Target`] can be written. Both hold a [`Session`], whose
//! settings are pinned when it is opened, so that nothing a role or database has set can hide rows or change what values
//! look like (`session_settings.sql` says why each is there).
//!
//! **Invariant:** knows nothing of hypertables, and never prints a conninfo: an endpoint is shown as host, port and
//! database.

mod authentication;
mod certificate;
mod chain;
mod conninfo;
mod copy;
mod dial;
mod hosts;
mod keywords;
mod parameters;
mod passfile;
mod service;
mod session_attributes;
mod sessions;
mod tap;
mod tls;
mod transport;
mod uri;

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use self::dial::{Cancel, Dialled, Startup, dial};
use self::tap::Wire;

pub use conninfo::Conninfo;
pub use copy::{CopyIn, CopyOut};
pub use parameters::Parameters;
pub use passfile::{Login, find_password};
pub use service::{Defect, Service};
pub use sessions::Sessions;

use crate::error::{Context, Error, Kind, Result};
use crate::ident::quote_literal;

/// Which of the two ends a session belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where rows come from.
    Source,
    /// Where rows go to.
    Target,
}

impl Side {
    /// The blame for a statement that this side refuses during the work.
    pub fn kind(self) -> Kind {
        match self {
            Side::Source => Kind::Source,
            Side::Target => Kind::Target,
        }
    }

    /// `source` or `target`.
    pub fn name(self) -> &'static str {
        match self {
            Side::Source => "source",
            Side::Target => "target",
        }
    }
}

/// Parameters of a statement.
pub type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// One connection with pinned settings. Dropping it closes the socket; the server then ends the backend, within
/// `client_connection_check_interval` even in the middle of a statement.
pub struct Session {
    client: Client,
    wire: Arc<dyn Wire>,
    cancel: Cancel,
    side: Side,
    endpoint: String,
    original: Original,
    backend: Backend,
}

/// A session as its server knows it, so that it can be told from a later one with the same process id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// The side it is on.
    pub side: Side,
    /// Its process id.
    pub pid: i32,
    /// When it was started, in UTC.
    pub started_at: String,
    /// Its name in `pg_stat_activity`.
    pub application_name: String,
}

/// What a session is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To read, and nothing else.
    Read,
    /// To write, too.
    Write,
    /// To write with PostgreSQL alone, without TimescaleDB: a hypertable is a parent with children there.
    WritePlain,
}

/// What the role's own session would have had, by setting; names and values on the command line, and in files, are read
/// under these.
type Original = Vec<(String, String)>;

impl Session {
    /// Connects and pins the session's settings. `role` completes the `application_name`, by which operators find us
    /// in `pg_stat_activity`: `hypercopy migrate copy 2`.
    async fn open(side: Side, conninfo: &Conninfo, role: &str, purpose: Purpose) -> Result<Session> {
        let mut startup = Startup { application_name: format!("hypercopy {role}"), options: String::new() };
        let mut switched_off = Vec::new();
        loop {
            let error = match Session::open_once(side, conninfo, &startup, purpose).await {
                Ok(session) => return Ok(session),
                Err(error) => error,
            };
            // A timeout of the role or the database may be shorter than setting it to 0 takes. Only one that the server is
            // known to have is asked for at the start: of another it would refuse the connection.
            match passed_timeout(&error).filter(|timeout| !switched_off.contains(timeout)) {
                None => return Err(error),
                Some(timeout) => {
                    switched_off.push(timeout);
                    startup.options.push_str(&format!(" -c {timeout}=0"));
                }
            }
        }
    }

    async fn open_once(side: Side, conninfo: &Conninfo, startup: &Startup, purpose: Purpose) -> Result<Session> {
        let Dialled { client, wire, cancel } = dial(conninfo, startup).await.map_err(|error| {
            let message =
                format!("cannot connect to the {} at {}: {}", side.name(), conninfo.endpoint(), error.message());
            hint_on_certificates(error.renamed(message).with_kind(side.kind()))
        })?;
        let endpoint = conninfo.endpoint();
        let original = Original::new();
        let backend = Backend { side, pid: 0, started_at: String::new(), application_name: String::new() };
        let mut session = Session { client, wire, cancel, side, endpoint, original, backend };
        session.pin_settings(purpose).await?;
        Ok(session)
    }

    async fn pin_settings(&mut self, purpose: Purpose) -> Result<()> {
        // It works only before the first other statement; a role may have it on.
        let disable_load = if purpose == Purpose::WritePlain { "on" } else { "off" };
        self.batch(&format!("set timescaledb.disable_load = {disable_load}")).await?;
        let row = self.row(include_str!("session.sql"), &[]).await?;
        let names: Vec<String> = row.get(0);
        self.original = names.into_iter().zip(row.get::<_, Vec<String>>(1)).collect();
        self.backend.pid = row.get(2);
        self.backend.started_at = row.get(3);
        self.backend.application_name = row.get(4);
        let read_only = if purpose == Purpose::Read { "on" } else { "off" };
        // Twice: the first look at pg_settings may be what loads TimescaleDB and brings its settings.
        for _ in 0..2 {
            self.rows(include_str!("session_settings.sql"), &[&read_only]).await.map_err(explain_setting)?;
        }
        Ok(())
    }

    /// Which end this is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// `host:port/database`, for people.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The rows of a query. `sql` may not write; to a [`Reader`] the server refuses it.
    pub async fn rows(&self, sql: &str, params: Params<'_>) -> Result<Vec<tokio_postgres::Row>> {
        self.client.query(sql, params).await.map_err(|error| self.error(error, sql))
    }

    /// The one row of a query.
    pub async fn row(&self, sql: &str, params: Params<'_>) -> Result<tokio_postgres::Row> {
        self.client.query_one(sql, params).await.map_err(|error| self.error(error, sql))
    }

    /// The rows of a query as plain data: each row becomes a JSON object whose keys are the column names.
    pub async fn records<T: DeserializeOwned>(&self, sql: &str, params: Params<'_>) -> Result<Vec<T>> {
        let rows = self.rows(&format!("select row_to_json(q)::text from ({sql}) q"), params).await?;
        let record = |row: &tokio_postgres::Row| {
            serde_json::from_str(row.get::<_, &str>(0))
                .doing(Kind::Internal, || format!("cannot read the {}'s answer to a catalog query", self.side.name()))
        };
        rows.iter().map(record).collect()
    }

    /// The one row of a query as plain data.
    pub async fn record<T: DeserializeOwned>(&self, sql: &str, params: Params<'_>) -> Result<T> {
        let mut records = self.records(sql, params).await?;
        match records.len() {
            1 => Ok(records.remove(0)),
            count => Err(Error::internal(format!("a catalog query on the {} gave {count} rows", self.side.name()))),
        }
    }

    /// Statements without rows: transaction control and locks.
    pub async fn batch(&self, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).await.map_err(|error| self.error(error, sql))
    }

    /// Starts `copy … to stdout`. Dropping the copy before its end costs the connection.
    pub async fn copy_out(&self, sql: &str) -> Result<CopyOut> {
        CopyOut::start(self.lend().await?, self.side, sql).await
    }

    /// The stream, when nothing is on its way in either direction: tokio-postgres closes prepared statements behind our
    /// back, in the order of requests.
    async fn lend(&self) -> Result<Arc<dyn Wire>> {
        self.batch("").await?;
        Ok(Arc::clone(&self.wire))
    }

    /// This session as its server knows it.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Ends another session of this server and waits for its end, at most ten seconds. Answers whether it has ended;
    /// a session that is not there has.
    pub async fn end_backend(&self, backend: &Backend) -> Result<bool> {
        let sql = "select coalesce(bool_and(pg_catalog.pg_terminate_backend(pid, 10000)), true) \
                   from pg_catalog.pg_stat_get_activity(null) \
                   where pid = $1 and backend_start = $2::text::timestamptz and application_name = $3";
        let parameters: Params<'_> = &[&backend.pid, &backend.started_at, &backend.application_name];
        Ok(self.row(sql, parameters).await?.get(0))
    }

    /// A handle that cancels whatever statement runs in it.
    pub fn canceller(&self) -> Canceller {
        Canceller(self.cancel.clone())
    }

    /// The statement that makes names and values be read as the role's own session would, for this transaction or until
    /// it is rolled back.
    fn as_the_role_sees(&self) -> String {
        let set = |(name, value): &(String, String)| {
            format!("pg_catalog.set_config('{name}', {}, true)", quote_literal(value))
        };
        format!("select {}", self.original.iter().map(set).collect::<Vec<_>>().join(", "))
    }

    /// A setting as the role's own session would have it; one of those that decide what names and values mean.
    pub fn original(&self, name: &str) -> &str {
        self.original.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The rows of a query that is run under the role's own `search_path`, `TimeZone` and `DateStyle`, as psql would
    /// run it.
    pub async fn rows_as_role(&self, sql: &str, params: Params<'_>) -> Result<Vec<tokio_postgres::Row>> {
        self.batch(&format!("begin read only; {}", self.as_the_role_sees())).await?;
        let rows = self.rows(sql, params).await;
        self.batch("rollback").await?;
        rows
    }

    fn error(&self, error: tokio_postgres::Error, sql: &str) -> Error {
        let verb: String = sql.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
        Error::new(self.side.kind(), format!("the {} refused \"{verb} …\"", self.side.name())).caused_by(error)
    }
}

/// Cancels the statement that a session is running, from outside that session.
#[derive(Clone)]
pub struct Canceller(Cancel);

impl Canceller {
    /// Asks the server to cancel. A request that does not arrive within two seconds is given up: the session's
    /// connection is dropped next, and the server notices that too.
    pub async fn cancel(&self) {
        let _ = tokio::time::timeout(Duration::from_secs(2), self.0.cancel()).await;
    }
}

/// A session that can be read, and nothing else. The source has no others; the target has them where nothing is written.
pub struct Reader(Session);

impl Reader {
    /// Opens a session whose transactions are read-only by default; what fails in it is `side`'s to answer for.
    pub async fn open(side: Side, conninfo: &Conninfo, role: &str) -> Result<Reader> {
        Ok(Reader(Session::open(side, conninfo, role, Purpose::Read).await?))
    }
}

impl std::ops::Deref for Reader {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

/// A session on the target that can write.
pub struct Target(Session);

impl Target {
    /// Opens a session whose transactions are read-write, read committed, whatever role or database have set.
    pub async fn open(conninfo: &Conninfo, role: &str) -> Result<Target> {
        Ok(Target(Session::open(Side::Target, conninfo, role, Purpose::Write).await?))
    }

    /// Opens a session in which TimescaleDB is not loaded: hypertables are parents with children there. Rows written to
    /// a root in it would be lost to TimescaleDB, so it is for `analyze` alone.
    pub async fn open_plain(conninfo: &Conninfo, role: &str) -> Result<Target> {
        Ok(Target(Session::open(Side::Target, conninfo, role, Purpose::WritePlain).await?))
    }

    /// Runs one statement and answers the number of rows it touched.
    pub async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64> {
        self.0.client.execute(sql, params).await.map_err(|error| self.0.error(error, sql))
    }

    /// Makes names and values be read as the role's own session would, for the rest of this transaction: what is not
    /// qualified is looked up in the role's `search_path` from here on.
    pub async fn become_role(&self) -> Result<()> {
        self.0.batch(&self.0.as_the_role_sees()).await
    }

    /// Starts `copy … from stdin`. Dropping the copy before its end costs the connection, and the transaction.
    pub async fn copy_in(&self, sql: &str) -> Result<CopyIn> {
        CopyIn::start(self.0.lend().await?, Side::Target, sql).await
    }
}

impl std::ops::Deref for Target {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

/// The timeout of the server that has ended a statement or a session.
fn passed_timeout(error: &Error) -> Option<&'static str> {
    match error.sqlstate().map(SqlState::code) {
        Some("57014") => Some("statement_timeout"),
        Some("25P03") => Some("idle_in_transaction_session_timeout"),
        Some("25P04") => Some("transaction_timeout"),
        Some("57P05") => Some("idle_session_timeout"),
        // Where the server has said so before it was asked anything, that is lost.
        None if error.is_closed() => Some("idle_session_timeout"),
        _ => None,
    }
}

/// Some settings are a superuser's to set, also back to what they are by default.
fn explain_setting(error: Error) -> Error {
    match error.sqlstate() {
        Some(state) if *state == SqlState::INSUFFICIENT_PRIVILEGE => Error::refused(
            "the role or the database has a setting that can hide rows, and the role may not set it back",
        )
        .caused_by(error)
        .hint("Reset it by \"alter role … reset\" or \"alter database … reset\" as a superuser, or use another role."),
        _ => error,
    }
}

fn hint_on_certificates(error: Error) -> Error {
    if error.summary().contains("invalid peer certificate") {
        error.hint(
            "The certificate is verified against sslrootcert, or ~/.postgresql/root.crt where that is there: name the file \
             of the server's CA, or, on a network that needs no TLS, add sslmode=disable.",
        )
    } else {
        error
    }
}

//! Opening a connection whose stream can be borrowed: which server, which address, with or without TLS.
//!
//! The order is libpq's. A host that cannot be reached, that starts or stops, or that is not what `target_session_attrs`
//! asks for makes the next one's turn; one that refuses us ends the attempt.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::error::SqlState;
use tokio_postgres::{CancelToken, Client, Config, Connection, SimpleQueryMessage};

use super::authentication::{Gate, Seen};
use super::conninfo::{Conninfo, Server, Terms};
use super::hosts::{Host, Place};
use super::session_attributes::{SessionAttributes, State};
use super::tap::{Tap, Tapped, Wire};
use super::tls::Encryption;
use super::transport::{Address, Route, Transport, Unreachable};
use crate::error::{Error, Kind, Result};

/// A connection that stands.
pub(super) struct Dialled {
    pub(super) client: Client,
    pub(super) wire: Arc<dyn Wire>,
    pub(super) cancel: Cancel,
}

/// How a session begins.
#[derive(Clone, Debug)]
pub(super) struct Startup {
    /// Its name in `pg_stat_activity`.
    pub(super) application_name: String,
    /// Settings behind those of the conninfo: `-c name=value …`.
    pub(super) options: String,
}

/// How a statement is cancelled: by another connection of the same kind.
#[derive(Clone)]
pub(super) struct Cancel {
    token: CancelToken,
    route: Route,
    encryption: Encryption,
}

/// Connects to the first server of the conninfo that will do. The one that did the last time comes first: the sessions of
/// a run share a snapshot, and so a server.
pub(super) async fn dial(conninfo: &Conninfo, startup: &Startup) -> Result<Dialled> {
    let terms = conninfo.terms();
    let mut failures: Option<Error> = None;
    for attributes in terms.attributes.rounds() {
        for number in conninfo.order() {
            let server = &terms.servers[number];
            let dialling = Dialling { conninfo, terms, server, startup, attributes: *attributes };
            match dialling.reach().await {
                Ok(dialled) => {
                    conninfo.settle(number);
                    return Ok(dialled);
                }
                Err(failure) => {
                    let is_final = failure.is_final;
                    let all = behind(failures.take(), failure.error);
                    if is_final {
                        return Err(all);
                    }
                    failures = Some(all);
                }
            }
        }
    }
    Err(failures.unwrap_or_else(|| Error::internal("there is no way to connect")))
}

/// Why a server is not connected to.
struct Failure {
    error: Error,
    /// No other one is tried.
    is_final: bool,
}

impl Failure {
    fn passing(error: Error) -> Failure {
        Failure { error, is_final: false }
    }

    /// Of a server that is there; one that starts or stops is as good as one that is not.
    fn last(error: Error) -> Failure {
        let is_final = error.sqlstate() != Some(&SqlState::CANNOT_CONNECT_NOW);
        Failure { error, is_final }
    }
}

/// What has failed before, and then this.
fn behind(before: Option<Error>, error: Error) -> Error {
    let Some(before) = before else { return error };
    let message = format!("{}; {}", before.summary(), error.message());
    match (error.hint_text(), before.hint_text()) {
        (None, Some(hint)) => error.hint(hint).renamed(message),
        _ => error.renamed(message),
    }
}

/// One server, and what is wanted of it.
struct Dialling<'a> {
    conninfo: &'a Conninfo,
    terms: &'a Terms,
    server: &'a Server,
    startup: &'a Startup,
    attributes: SessionAttributes,
}

impl Dialling<'_> {
    async fn reach(&self) -> Result<Dialled, Failure> {
        let mut failures: Option<Error> = None;
        for address in self.addresses().await.map_err(Failure::passing)? {
            let attempt = self.try_ways(&address);
            let tried = match self.terms.timeout {
                None => attempt.await,
                Some(limit) => match tokio::time::timeout(limit, attempt).await {
                    Ok(tried) => tried,
                    Err(_) => Err(Failure::passing(
                        self.at(&address, Error::internal("timeout expired").hint(TIMEOUT).retryable()),
                    )),
                },
            };
            let Failure { error, is_final } = match tried {
                Ok(dialled) => return Ok(dialled),
                Err(failure) => failure,
            };
            let all = behind(failures.take(), error);
            if is_final {
                return Err(Failure::last(all));
            }
            failures = Some(all);
        }
        Err(Failure::passing(failures.unwrap_or_else(|| Error::internal("there is no address to connect to"))))
    }

    /// Where the server may be, in the order in which that is tried.
    async fn addresses(&self) -> Result<Vec<Address>> {
        let Host { place, port, .. } = &self.server.host;
        let name = match place {
            Place::Socket(path) => return Ok(vec![Address::Socket(path.clone())]),
            Place::Address(address) => return Ok(vec![Address::Network(SocketAddr::new(*address, *port))]),
            Place::Name(name) => name,
        };
        let found = tokio::net::lookup_host((name.as_str(), *port)).await;
        let found = found.map_err(|error| {
            Error::internal(format!("could not translate host name \"{name}\" to address")).caused_by(error)
        })?;
        let mut addresses: Vec<Address> = found.map(Address::Network).collect();
        self.terms.shuffle(&mut addresses);
        Ok(addresses)
    }

    async fn try_ways(&self, address: &Address) -> Result<Dialled, Failure> {
        let route = self.terms.route(self.server, address.clone());
        let mut refused: Option<Error> = None;
        for way in self.terms.tls.ways(matches!(address, Address::Socket(_))) {
            let transport = match route.open(*way).await {
                Ok(transport) => transport,
                Err(Unreachable::Silent(error)) => {
                    return Err(Failure::passing(behind(refused, self.failed(address).caused_by(error))));
                }
                Err(Unreachable::Unfit(error)) => {
                    refused = Some(behind(refused, self.at(address, error)));
                    continue;
                }
            };
            let is_encrypted = transport.handshake().is_some();
            let failure = match self.log_in(&route, transport).await {
                Ok(dialled) => return Ok(dialled),
                Err(failure) => failure,
            };
            let all = behind(refused.take(), failure.error);
            // The server's own refusal may be one of how we have come.
            let was_declined = *way != Encryption::None && !is_encrypted;
            if was_declined || all.sqlstate().is_none() {
                return Err(Failure { error: all, is_final: failure.is_final });
            }
            refused = Some(all);
        }
        Err(Failure::last(refused.unwrap_or_else(|| self.failed(address))))
    }

    async fn log_in(&self, route: &Route, transport: Transport) -> Result<Dialled, Failure> {
        let (seen, handshake) = (Seen::default(), transport.handshake().cloned());
        let encryption = if handshake.is_some() { Encryption::Tls } else { Encryption::None };
        let tap = Tap::new(transport, Gate::new(self.terms.require_auth, seen.clone()));
        let wire = tap.wire();
        let connected = self.config().connect_raw(tap, Tapped).await;
        if seen.wants_cleartext() && encryption == Encryption::None && !route.address.is_local() {
            self.conninfo.warn(&in_the_clear(&self.server.host));
        }
        let last = |error: Error| Failure::last(self.at(&route.address, error));
        let (client, connection) = match (connected, seen.refusal(&self.terms.require_auth_text)) {
            (Ok(connected), _) => connected,
            (Err(_), Some(refusal)) => return Err(last(refusal)),
            (Err(error), None) => return Err(Failure::last(self.refused(&route.address, error))),
        };
        let told = Told::by(&connection);
        // The connection ends by itself when the client is dropped; its error reaches the client's own next call.
        tokio::spawn(connection);
        self.terms.tls.refuse(handshake.as_deref()).map_err(|reason| last(Error::new(Kind::Refused, reason)))?;
        self.check_attributes(&client, told, &route.address).await?;
        let cancel = Cancel { token: client.cancel_token(), route: route.clone(), encryption };
        Ok(Dialled { client, wire, cancel })
    }

    /// Whether the server is the one that is looked for.
    async fn check_attributes(&self, client: &Client, told: Told, address: &Address) -> Result<(), Failure> {
        if self.attributes == SessionAttributes::Any {
            return Ok(());
        }
        let state = state(client, told).await;
        let state = state.map_err(|error| Failure::passing(self.failed(address).caused_by(error)))?;
        // Where servers change places it may be another one soon.
        let refused = |reason| Failure::passing(self.at(address, Error::internal(reason).retryable()));
        self.attributes.refuse(state).map_err(refused)
    }

    /// What tokio-postgres is told: who we are. How to get there is no business of its own.
    fn config(&self) -> Config {
        let terms = self.terms;
        let mut config = established();
        config.user(&terms.user).dbname(&terms.database).channel_binding(terms.channel_binding);
        config.application_name(&self.startup.application_name);
        config.options(format!("{} {}", terms.options, self.startup.options).trim());
        if let Some(password) = &self.server.password {
            config.password(password);
        }
        config
    }

    /// What has failed, and where.
    fn at(&self, address: &Address, error: Error) -> Error {
        let message = format!("{}: {}", self.failed(address).message(), error.message());
        error.renamed(message)
    }

    fn failed(&self, address: &Address) -> Error {
        let name = &self.server.host.name;
        Error::internal(match address {
            Address::Socket(path) => format!("connection to server on socket \"{}\" failed", path.display()),
            Address::Network(address) => {
                let (ip, port) = (address.ip().to_string(), address.port());
                match name.is_empty() || *name == ip {
                    true => format!("connection to server at \"{ip}\", port {port} failed"),
                    false => format!("connection to server at \"{name}\" ({ip}), port {port} failed"),
                }
            }
        })
    }

    /// What the server, or tokio-postgres on seeing what it says, has against us.
    fn refused(&self, address: &Address, error: tokio_postgres::Error) -> Error {
        let said = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let failed = self.failed(address);
        if said == "password missing" {
            return failed.caused_by("fe_sendauth: no password supplied").hint(NO_PASSWORD);
        }
        let is_of_file = self.server.password.is_some() && self.terms.password_file.is_some();
        match (&self.terms.password_file, error.code()) {
            (Some(file), Some(code)) if is_of_file && *code == SqlState::INVALID_PASSWORD => {
                failed.caused_by(error).hint(format!("The password was retrieved from file \"{}\".", file.display()))
            }
            _ => failed.caused_by(error),
        }
    }
}

const TIMEOUT: &str = "connect_timeout=SECONDS in the conninfo, or PGCONNECT_TIMEOUT, gives it longer.";

const NO_PASSWORD: &str = "Put it into ~/.pgpass (host:port:database:user:password, mode 0600), or into PGPASSWORD.";

/// A tokio-postgres that finds its stream ready, and leaves the first byte to it.
fn established() -> Config {
    let mut config = Config::new();
    config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
    config
}

fn in_the_clear(host: &Host) -> String {
    format!(
        "the password goes to {} in the clear; sslmode=require would encrypt it, and require_auth=scram-sha-256 would not \
         send it",
        host.shown()
    )
}

/// What a server has said of itself with the login; nothing before version 14.
#[derive(Clone, Copy)]
struct Told {
    is_standby: Option<bool>,
    is_read_only: Option<bool>,
}

impl Told {
    fn by(connection: &Connection<Tap, Tap>) -> Told {
        let is_on = |name| connection.parameter(name).map(|value| value == "on");
        Told { is_standby: is_on("in_hot_standby"), is_read_only: is_on("default_transaction_read_only") }
    }
}

/// What a server is: by what it has told, or else by asking.
async fn state(client: &Client, told: Told) -> Result<State, tokio_postgres::Error> {
    if let Told { is_standby: Some(is_standby), is_read_only: Some(is_read_only) } = told {
        return Ok(State { is_standby, is_read_only });
    }
    let sql = "select pg_catalog.pg_is_in_recovery()::text, pg_catalog.current_setting('transaction_read_only')";
    let messages = client.simple_query(sql).await?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let is = |column: usize, value: &str| row.is_some_and(|row| row.get(column) == Some(value));
    Ok(State { is_standby: is(0, "true"), is_read_only: is(1, "on") })
}

impl Cancel {
    /// Asks the server to cancel whatever statement is run.
    pub(super) async fn cancel(&self) -> Result<()> {
        let transport = match self.route.open(self.encryption).await {
            Ok(transport) => transport,
            Err(Unreachable::Silent(error)) => return Err(Error::internal("cannot cancel").caused_by(error)),
            Err(Unreachable::Unfit(error)) => return Err(error),
        };
        let tap = Tap::new(transport, Gate::new(Default::default(), Seen::default()));
        let cancelled = self.token.cancel_query_raw(tap, Tapped).await;
        cancelled.map_err(|error| Error::internal("cannot cancel").caused_by(error))
    }
}

//! Opening a connection whose stream can be borrowed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::UnixStream;
use tokio_postgres::config::{Host, SslMode, SslNegotiation};
use tokio_postgres::{CancelToken, Client, Config, NoTls};

use super::tap::{Plain, Slot, Tapped, Wire};
use super::tls;
use crate::error::{Error, Kind, Result};

/// A connection that stands.
pub(super) struct Dialled {
    pub(super) client: Client,
    pub(super) wire: Arc<dyn Wire>,
    pub(super) cancel: Cancel,
}

/// How a statement is cancelled: by another connection of the same kind.
#[derive(Clone)]
pub(super) struct Cancel {
    token: CancelToken,
    route: Route,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encryption {
    Tls,
    None,
}

#[derive(Clone)]
enum Route {
    Socket(PathBuf),
    Network(Encryption),
}

type Refused = tokio_postgres::Error;

/// Connects as `config` says; with `sslmode=prefer` without TLS where the server has none, which is noted in `lacks_tls`.
pub(super) async fn dial(config: &Config, lacks_tls: &AtomicBool) -> Result<Dialled, Error> {
    let failed = |error: Refused| Error::internal("cannot connect").caused_by(error);
    if let Some(path) = socket_path(config) {
        return through_socket(config, path).await;
    }
    let attempts: &[Encryption] = match config.get_ssl_mode() {
        SslMode::Disable => &[Encryption::None],
        SslMode::Prefer if lacks_tls.load(Ordering::Relaxed) => &[Encryption::None],
        SslMode::Prefer => &[Encryption::Tls, Encryption::None],
        _ => &[Encryption::Tls],
    };
    let mut refused = None;
    for encryption in attempts {
        match over_network(config, *encryption).await? {
            Ok(dialled) => return Ok(dialled),
            Err(error) if has_no_tls(&error) => {
                lacks_tls.store(true, Ordering::Relaxed);
                refused = Some(error);
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Err(refused.map_or_else(|| Error::internal("there is no way to connect"), failed))
}

async fn over_network(config: &Config, encryption: Encryption) -> Result<Result<Dialled, Refused>> {
    let slot = Slot::default();
    let mut config = config.clone();
    named_by_address(&mut config);
    config.ssl_mode(SslMode::Require);
    let connected = match encryption {
        Encryption::Tls => {
            let connected = config.connect(Tapped::new(tls::connector()?, &slot)).await;
            connected.map(|(client, connection)| (client, tokio::spawn(connection)))
        }
        Encryption::None => {
            config.ssl_negotiation(SslNegotiation::Direct);
            let connected = config.connect(Plain(Arc::clone(&slot))).await;
            connected.map(|(client, connection)| (client, tokio::spawn(connection)))
        }
    };
    // The connection ends by itself when the client is dropped; its error reaches the client's own next call.
    connected.map(|(client, _)| Dialled::new(client, &slot, Route::Network(encryption))).map(Ok).or_else(|e| Ok(Err(e)))
}

async fn through_socket(config: &Config, path: PathBuf) -> Result<Dialled> {
    let slot = Slot::default();
    let stream = UnixStream::connect(&path).await;
    let stream = stream.map_err(|error| Error::internal("cannot connect").caused_by(error))?;
    let connected = config.connect_raw(Plain(Arc::clone(&slot)).tap(stream), NoTls).await;
    let (client, connection) = connected.map_err(|error| Error::internal("cannot connect").caused_by(error))?;
    tokio::spawn(connection);
    Ok(Dialled::new(client, &slot, Route::Socket(path)))
}

/// The file of a server of this machine.
fn socket_path(config: &Config) -> Option<PathBuf> {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match config.get_hosts().first() {
        Some(Host::Unix(directory)) => Some(directory.join(format!(".s.PGSQL.{port}"))),
        _ => None,
    }
}

/// tokio-postgres wants a name wherever it leaves the handshake to a connector; the address is one.
fn named_by_address(config: &mut Config) {
    if config.get_hosts().is_empty() {
        for address in config.get_hostaddrs().to_vec() {
            config.host(address.to_string());
        }
    }
}

fn has_no_tls(error: &Refused) -> bool {
    use std::error::Error;
    error.source().is_some_and(|source| source.to_string() == "server does not support TLS")
}

impl Dialled {
    fn new(client: Client, slot: &Mutex<Option<Arc<dyn Wire>>>, route: Route) -> Self {
        let wire = slot.lock().expect("no holder of the slot panics").take();
        let cancel = Cancel { token: client.cancel_token(), route };
        Dialled { client, wire: wire.expect("every connector leaves its stream in the slot"), cancel }
    }
}

impl Cancel {
    /// Asks the server to cancel whatever statement is run.
    pub(super) async fn cancel(&self) -> Result<()> {
        let failed = |error: Refused| Error::new(Kind::Internal, "cannot cancel").caused_by(error);
        match &self.route {
            Route::Network(Encryption::Tls) => self.token.cancel_query(tls::connector()?).await.map_err(failed),
            Route::Network(Encryption::None) => self.token.cancel_query(Plain(Slot::default())).await.map_err(failed),
            Route::Socket(path) => {
                let stream = UnixStream::connect(path).await;
                let stream = stream.map_err(|error| Error::internal("cannot cancel").caused_by(error))?;
                self.token.cancel_query_raw(stream, NoTls).await.map_err(failed)
            }
        }
    }
}

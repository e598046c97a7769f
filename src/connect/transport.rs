//! The bytes between us and one server: a socket, encrypted or not.
//!
//! **Invariant:** speaks no PostgreSQL but the question whether the server has TLS.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::sockopt;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificate;
use super::tls::{Encryption, Handshake, SslMode, Tls};
use crate::error::{Error, Kind, Result};

/// Where one server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// The file of a socket; a zero byte at its start makes it an abstract one.
    Socket(PathBuf),
    Network(SocketAddr),
}

impl Address {
    /// Whether what is sent there leaves this machine.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Address::Socket(_) => true,
            Address::Network(address) => address.ip().to_canonical().is_loopback(),
        }
    }
}

/// How long silence is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    /// `None` where a silent server is not asked whether it is there.
    pub(super) keepalives: Option<Keepalives>,
    /// How long sent data may stay unconfirmed; 0 is the system's own.
    pub(super) user_timeout_ms: u32,
}

/// When a silent server is asked whether it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keepalives {
    pub(super) idle: Duration,
    pub(super) interval: Duration,
    pub(super) count: u32,
}

/// A way to a server, which can be gone more than once: to cancel a statement takes a second connection.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) address: Address,
    /// The host as it was given, by which its certificate is judged.
    pub(super) host: String,
    pub(super) patience: Patience,
    pub(super) require_peer: Option<String>,
    pub(super) tls: Arc<Tls>,
}

/// What has become of an attempt to reach a server.
pub(super) enum Unreachable {
    /// There is nobody.
    Silent(io::Error),
    /// There is somebody, who cannot be spoken to like this.
    Unfit(Error),
}

impl Route {
    /// Connects. Dropping the future closes the socket.
    pub(super) async fn open(&self, encryption: Encryption) -> Result<Transport, Unreachable> {
        let socket = match &self.address {
            Address::Socket(path) => {
                let stream = UnixStream::connect(path).await.map_err(Unreachable::Silent)?;
                self.check_peer(&stream).map_err(Unreachable::Unfit)?;
                return Ok(Transport::Unix(stream));
            }
            Address::Network(address) => self.connect(*address).await.map_err(Unreachable::Silent)?,
        };
        match encryption {
            Encryption::None => Ok(Transport::Plain(socket)),
            _ => self.encrypt(socket, encryption).await.map_err(Unreachable::Unfit),
        }
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_nodelay(true)?;
        match &self.patience.keepalives {
            None => socket.set_keepalive(false)?,
            Some(keepalives) => {
                socket.set_keepalive(true)?;
                sockopt::set_tcp_keepidle(&socket, keepalives.idle)?;
                sockopt::set_tcp_keepintvl(&socket, keepalives.interval)?;
                sockopt::set_tcp_keepcnt(&socket, keepalives.count)?;
            }
        }
        if self.patience.user_timeout_ms > 0 {
            sockopt::set_tcp_user_timeout(&socket, self.patience.user_timeout_ms)?;
        }
        socket.connect(address).await
    }

    /// The user whom the server runs as has to be the one that was asked for.
    fn check_peer(&self, stream: &UnixStream) -> Result<()> {
        let Some(wanted) = &self.require_peer else { return Ok(()) };
        let failed = |error: io::Error| Error::new(Kind::Refused, "could not get peer credentials").caused_by(error);
        let uid = stream.peer_cred().map_err(failed)?.uid();
        let name = user_name(uid).unwrap_or_else(|| uid.to_string());
        match name == *wanted {
            true => Ok(()),
            false => Err(Error::new(
                Kind::Refused,
                format!("requirepeer specifies \"{wanted}\", but actual peer user name is \"{name}\""),
            )),
        }
    }

    async fn encrypt(&self, mut socket: TcpStream, encryption: Encryption) -> Result<Transport> {
        if !self.tls.is_direct && !wants_tls(&mut socket).await? {
            return match encryption {
                Encryption::IfOffered => Ok(Transport::Plain(socket)),
                _ => Err(Error::new(Kind::Refused, "server does not support SSL, but SSL was required")),
            };
        }
        let (handshake, name) = (self.tls.terms()?, self.server_name()?);
        let stream = TlsConnector::from(Arc::clone(&handshake.config)).connect(name, socket).await;
        let stream = stream.map_err(handshake_failed)?;
        let session = stream.get_ref().1;
        let refused = |reason: String| Error::new(Kind::Refused, reason);
        Handshake::is_for_us(session.alpn_protocol(), self.tls.is_direct).map_err(|said| refused(said.to_string()))?;
        if self.tls.mode == SslMode::VerifyFull {
            let certificate = session.peer_certificates().and_then(<[_]>::first);
            let certificate = certificate.ok_or_else(|| refused("the server has shown no certificate".to_string()))?;
            if self.host.is_empty() {
                return Err(refused("host name must be specified for a verified SSL connection".to_string()));
            }
            certificate::check_host(certificate, &self.host).map_err(refused)?;
        }
        Ok(Transport::Tls(Box::new(stream), Arc::new(handshake)))
    }

    /// What the server is told that it is called by: an address is not told.
    fn server_name(&self) -> Result<ServerName<'static>> {
        let Address::Network(address) = &self.address else {
            return Err(Error::internal("a socket of this machine is not encrypted"));
        };
        Ok(ServerName::try_from(self.host.clone()).unwrap_or_else(|_| address.ip().into()))
    }
}

/// Asks the server for TLS.
async fn wants_tls(socket: &mut TcpStream) -> Result<bool> {
    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    let failed = |error: io::Error| Error::internal("could not negotiate SSL").caused_by(error);
    socket.write_all(&SSL_REQUEST).await.map_err(failed)?;
    // No byte more: what would follow in the clear cannot be the server's (CVE-2021-23222).
    match socket.read_u8().await.map_err(failed)? {
        b'S' => Ok(true),
        b'N' => Ok(false),
        b'E' => Err(Error::new(Kind::Refused, "server sent an error response during SSL exchange")),
        other => {
            let message =
                format!("received invalid response to SSL negotiation: {}", char::from(other).escape_default());
            Err(Error::new(Kind::Refused, message))
        }
    }
}

/// A handshake that one side has refused will be refused again; one that was cut off need not be.
fn handshake_failed(error: io::Error) -> Error {
    let refused = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()).cloned();
    match refused {
        Some(refused) => Error::new(Kind::Refused, "SSL error").caused_by(refused),
        None => Error::internal("could not establish SSL connection").caused_by(error),
    }
}

/// The name of a user of this machine.
fn user_name(uid: u32) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_string())
    })
}

/// A connection to a server.
pub(super) enum Transport {
    Unix(UnixStream),
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>, Arc<Handshake>),
}

impl Transport {
    /// What the handshake was done with, where there was one.
    pub(super) fn handshake(&self) -> Option<&Arc<Handshake>> {
        match self {
            Transport::Unix(_) | Transport::Plain(_) => None,
            Transport::Tls(_, handshake) => Some(handshake),
        }
    }

    /// What a login can be bound to.
    pub(super) fn binding(&self) -> Option<Vec<u8>> {
        match self {
            Transport::Unix(_) | Transport::Plain(_) => None,
            Transport::Tls(stream, _) => {
                stream.get_ref().1.peer_certificates()?.first().and_then(|first| certificate::binding(first))
            }
        }
    }
}

/// Does the same with whichever stream it is.
macro_rules! each {
    ($transport:expr, $stream:ident => $done:expr) => {
        match $transport {
            Transport::Unix($stream) => $done,
            Transport::Plain($stream) => $done,
            Transport::Tls($stream, _) => $done,
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(&mut *self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(&mut *self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(&mut *self, stream => Pin::new(stream).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut *self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut *self, stream => Pin::new(stream).poll_shutdown(context))
    }
}

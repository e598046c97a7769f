//! A connection's stream that a COPY can borrow from tokio-postgres.
//!
//! tokio-postgres hands a COPY's rows on in pieces of eight kilobytes, each through a channel between two tasks; that was
//! most of the engine's CPU time. So the stream under its connection is ours: while it is lent, the connection sees nothing to
//! read, and the borrower speaks the protocol itself, in large reads and writes ([`super::copy`]).
//!
//! **Invariant:** the stream is lent only between two messages, and given back only behind `ReadyForQuery`; a loan that
//! ends otherwise breaks the connection.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};

/// What a borrower can do with the stream.
pub(super) trait Wire: Send + Sync {
    /// Takes the stream away from the connection; `false` where that is in the middle of a message.
    fn lend(&self) -> bool;
    /// Gives the stream back; broken, the connection ends.
    fn give_back(&self, is_broken: bool);
    fn poll_read(&self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>>;
    fn poll_write(&self, context: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>>;
    fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// Where the stream of a connection that is being made is left for its session.
pub(super) type Slot = Arc<Mutex<Option<Arc<dyn Wire>>>>;

/// The stream as the connection sees it.
pub(super) struct Tap<S> {
    shared: Arc<Mutex<Shared<S>>>,
    binding: fn(&S) -> ChannelBinding,
}

struct Shared<S> {
    stream: S,
    is_lent: bool,
    is_broken: bool,
    /// The connection's task, to be woken when it has the stream again.
    waker: Option<Waker>,
    boundary: Boundary,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Tap<S> {
    fn new(stream: S, binding: fn(&S) -> ChannelBinding, slot: &Slot) -> Self {
        let shared = Shared { stream, is_lent: false, is_broken: false, waker: None, boundary: Boundary::default() };
        let shared = Arc::new(Mutex::new(shared));
        *slot.lock().expect("no holder of the slot panics") = Some(Arc::clone(&shared) as Arc<dyn Wire>);
        Tap { shared, binding }
    }

    fn lock(&self) -> MutexGuard<'_, Shared<S>> {
        self.shared.lock().expect("no holder of a stream panics")
    }
}

/// Follows the messages that the connection reads, so that the stream is never lent inside one.
#[derive(Debug, Default)]
struct Boundary {
    header: Vec<u8>,
    rest: usize,
}

impl Boundary {
    fn is_reached(&self) -> bool {
        self.header.is_empty() && self.rest == 0
    }

    fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.rest > 0 {
                let body = self.rest.min(bytes.len());
                self.rest -= body;
                bytes = &bytes[body..];
                continue;
            }
            let wanted = (HEADER - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..wanted]);
            bytes = &bytes[wanted..];
            if let [_, length @ ..] = self.header.as_slice()
                && let Ok(length) = <[u8; 4]>::try_from(length)
            {
                self.rest = (u32::from_be_bytes(length) as usize).saturating_sub(4);
                self.header.clear();
            }
        }
    }
}

/// A message's type and its length.
pub(super) const HEADER: usize = 5;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for Mutex<Shared<S>> {
    fn lend(&self) -> bool {
        let mut shared = self.lock().expect("no holder of a stream panics");
        shared.is_lent = shared.boundary.is_reached();
        shared.is_lent
    }

    fn give_back(&self, is_broken: bool) {
        let mut shared = self.lock().expect("no holder of a stream panics");
        shared.is_lent = false;
        shared.is_broken = is_broken;
        if let Some(waker) = shared.waker.take() {
            waker.wake();
        }
    }

    fn poll_read(&self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().expect("no holder of a stream panics").stream).poll_read(context, buffer)
    }

    fn poll_write(&self, context: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.lock().expect("no holder of a stream panics").stream).poll_write_vectored(context, slices)
    }

    fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().expect("no holder of a stream panics").stream).poll_flush(context)
    }
}

impl<S> Shared<S> {
    /// Whether the connection has the stream.
    fn check(&mut self, context: &Context<'_>) -> Poll<io::Result<()>> {
        // The borrower's polls take the socket's only place for a waker, so that this one has to be kept.
        self.waker = Some(context.waker().clone());
        match (self.is_broken, self.is_lent) {
            (true, _) => Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "a copy was cut off"))),
            (_, true) => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> AsyncRead for Tap<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.lock();
        std::task::ready!(shared.check(context))?;
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut shared.stream).poll_read(context, buffer))?;
        shared.boundary.pass(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> AsyncWrite for Tap<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut shared = self.lock();
        std::task::ready!(shared.check(context))?;
        Pin::new(&mut shared.stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.lock();
        match shared.is_lent {
            // What the connection had to write was written before the loan.
            true => Poll::Ready(Ok(())),
            false => Pin::new(&mut shared.stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsStream for Tap<S> {
    fn channel_binding(&self) -> ChannelBinding {
        (self.binding)(&self.lock().stream)
    }
}

/// A connector that puts a [`Tap`] over the TLS stream that another one makes.
#[derive(Clone)]
pub(super) struct Tapped<C> {
    connector: C,
    slot: Slot,
}

impl<C> Tapped<C> {
    pub(super) fn new(connector: C, slot: &Slot) -> Self {
        Tapped { connector, slot: Arc::clone(slot) }
    }
}

impl<S, C> MakeTlsConnect<S> for Tapped<C>
where
    C: MakeTlsConnect<S>,
    C::Stream: Send + 'static,
    C::TlsConnect: TlsConnect<S, Stream = C::Stream>,
    <C::TlsConnect as TlsConnect<S>>::Future: Send + 'static,
{
    type Stream = Tap<C::Stream>;
    type TlsConnect = Tapped<C::TlsConnect>;
    type Error = C::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, Self::Error> {
        Ok(Tapped::new(self.connector.make_tls_connect(domain)?, &self.slot))
    }
}

impl<S, C> TlsConnect<S> for Tapped<C>
where
    C: TlsConnect<S>,
    C::Stream: Send + 'static,
    C::Future: Send + 'static,
{
    type Stream = Tap<C::Stream>;
    type Error = C::Error;
    type Future = BoxFuture<'static, Result<Self::Stream, Self::Error>>;

    fn connect(self, stream: S) -> Self::Future {
        let (connecting, slot) = (self.connector.connect(stream), self.slot);
        Box::pin(async move { Ok(Tap::new(connecting.await?, TlsStream::channel_binding, &slot)) })
    }
}

/// A connector that encrypts nothing: the [`Tap`] lies over the socket itself. It is for `sslnegotiation=direct`, with
/// which tokio-postgres leaves the first byte to the connector.
#[derive(Clone)]
pub(super) struct Plain(pub(super) Slot);

impl Plain {
    /// The stream over a socket.
    pub(super) fn tap<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, stream: S) -> Tap<S> {
        Tap::new(stream, |_| ChannelBinding::none(), &self.0)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Plain {
    type Stream = Tap<S>;
    type TlsConnect = Plain;
    type Error = io::Error;

    fn make_tls_connect(&mut self, _domain: &str) -> io::Result<Plain> {
        Ok(self.clone())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Plain {
    type Stream = Tap<S>;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Tap<S>>>;

    fn connect(self, stream: S) -> Self::Future {
        std::future::ready(Ok(self.tap(stream)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_is_found_however_the_bytes_are_cut() {
        let messages = [&b"Z\0\0\0\x05I"[..], b"C\0\0\0\x0bCOPY 1\0", b"n\0\0\0\x04"].concat();
        let ends = [6, 18, 23];
        for cut in 0..=messages.len() {
            let mut boundary = Boundary::default();
            boundary.pass(&messages[..cut]);
            assert_eq!(boundary.is_reached(), cut == 0 || ends.contains(&cut), "after {cut} bytes");
            boundary.pass(&messages[cut..]);
            assert!(boundary.is_reached());
        }
    }
}

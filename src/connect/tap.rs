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

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use super::authentication::{Gate, Verdict};
use super::transport::Transport;

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

/// The stream as the connection sees it.
pub(super) struct Tap(Arc<Mutex<Shared>>);

struct Shared {
    stream: Transport,
    /// Who watches the login; `None` when that is over.
    gate: Option<Gate>,
    is_lent: bool,
    is_broken: bool,
    /// The connection's task, to be woken when it has the stream again.
    waker: Option<Waker>,
    boundary: Boundary,
}

impl Tap {
    /// A stream at whose other end a server waits for the first message; `gate` watches the login.
    pub(super) fn new(stream: Transport, gate: Gate) -> Self {
        let (gate, boundary) = (Some(gate), Boundary::default());
        Tap(Arc::new(Mutex::new(Shared { stream, gate, is_lent: false, is_broken: false, waker: None, boundary })))
    }

    /// The stream as a borrower sees it.
    pub(super) fn wire(&self) -> Arc<dyn Wire> {
        Arc::clone(&self.0) as Arc<dyn Wire>
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().expect("no holder of a stream panics")
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

impl Wire for Mutex<Shared> {
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

impl Shared {
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

impl AsyncRead for Tap {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.lock();
        std::task::ready!(shared.check(context))?;
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut shared.stream).poll_read(context, buffer))?;
        if let Some(gate) = &mut shared.gate {
            match gate.judge(&buffer.filled()[before..]) {
                Verdict::Pass => {}
                Verdict::Over => shared.gate = None,
                Verdict::Refuse => {
                    // Nobody is to answer it.
                    buffer.set_filled(before);
                    return Poll::Ready(Err(io::Error::other("the server asks for what it may not have")));
                }
            }
        }
        shared.boundary.pass(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tap {
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

impl TlsStream for Tap {
    fn channel_binding(&self) -> ChannelBinding {
        self.lock().stream.binding().map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

/// The connector of a connection whose stream is ready: tokio-postgres, told that TLS begins with the first byte, leaves
/// that byte to it.
pub(super) struct Tapped;

impl TlsConnect<Tap> for Tapped {
    type Stream = Tap;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Tap>>;

    fn connect(self, stream: Tap) -> Self::Future {
        std::future::ready(Ok(stream))
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

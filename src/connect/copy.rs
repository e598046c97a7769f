//! COPY on a borrowed stream: one simple query, then frames in large reads and writes.
//!
//! The protocol is PostgreSQL's (chapter "Frontend/Backend Protocol", "COPY Operations"). What tokio-postgres could not
//! say is said here: the server's command tag behind a copy out, and an error in the middle of a copy in.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use postgres_protocol::message::{backend, frontend};
use tokio::io::ReadBuf;

use super::Side;
use super::tap::{HEADER, Wire};
use crate::error::{Error, Result, ServerError};

/// Read and parsed at once.
const READ_BYTES: usize = 256 << 10;

/// What a server has said before it closed a connection has arrived with the close, if at all.
const LAST_WORDS_TIME: Duration = Duration::from_secs(1);

/// The stream for the time of one COPY. Unless it is given back, dropping it breaks the connection: nobody could tell
/// where in the protocol it stands.
struct Loan {
    wire: Arc<dyn Wire>,
    side: Side,
    is_over: bool,
    /// `start..end` of it was read and not parsed yet.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of the CopyData message that `start` lies in.
    data_left: usize,
    /// Rows by the server's command tag.
    tag: Option<u64>,
    error: Option<ServerError>,
}

/// What comes next of the server's messages.
enum Event {
    /// Data of a copy out: so many bytes from `start` on.
    Data(usize),
    /// The server is ready for the data of a copy in.
    CopyIn,
    /// The COPY is over, well or not.
    Over,
    /// More has to be read first.
    Starved,
}

impl Loan {
    fn new(wire: Arc<dyn Wire>, side: Side) -> Result<Self> {
        if !wire.lend() {
            return Err(Error::new(side.kind(), "the connection is in the middle of a message").retryable());
        }
        let buffer = vec![0; READ_BYTES];
        Ok(Loan { wire, side, is_over: false, buffer, start: 0, end: 0, data_left: 0, tag: None, error: None })
    }

    async fn query(&mut self, sql: &str) -> Result<()> {
        let mut message = BytesMut::new();
        frontend::query(sql, &mut message).map_err(|error| self.broken(error))?;
        self.write_all(&[], &message).await?;
        self.flush().await
    }

    /// Looks at what was read.
    fn next(&mut self) -> Result<Event> {
        loop {
            if self.data_left > 0 {
                let length = self.data_left.min(self.end - self.start);
                return Ok(if length == 0 { Event::Starved } else { Event::Data(length) });
            }
            let unparsed = &self.buffer[self.start..self.end];
            let Some(header) = backend::Header::parse(unparsed).map_err(|error| self.broken(error))? else {
                return Ok(Event::Starved);
            };
            let length = header.len() as usize + 1;
            if header.tag() == backend::COPY_DATA_TAG {
                self.data_left = length - HEADER;
                self.start += HEADER;
                continue;
            }
            if unparsed.len() < length {
                // Errors may be longer than the buffer.
                let grown = (self.start + length).max(self.buffer.len());
                self.buffer.resize(grown, 0);
                return Ok(Event::Starved);
            }
            let body = &unparsed[HEADER..length];
            self.start += length;
            match header.tag() {
                backend::COPY_IN_RESPONSE_TAG => return Ok(Event::CopyIn),
                backend::COMMAND_COMPLETE_TAG => self.tag = copied_rows(body),
                backend::ERROR_RESPONSE_TAG => self.error = Some(ServerError::parse(body)),
                backend::READY_FOR_QUERY_TAG => {
                    self.is_over = true;
                    self.wire.give_back(false);
                    return Ok(Event::Over);
                }
                backend::COPY_OUT_RESPONSE_TAG | backend::COPY_DONE_TAG => {}
                // The server may send these at any time.
                backend::NOTICE_RESPONSE_TAG | backend::PARAMETER_STATUS_TAG | backend::NOTIFICATION_RESPONSE_TAG => {}
                _ => return Err(self.broken(io::Error::other("unexpected message from the server"))),
            }
        }
    }

    /// Reads more. What was not parsed yet stays.
    async fn fill(&mut self) -> Result<()> {
        match poll_fn(|context| self.poll_fill(context)).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.lost(error).await),
        }
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let mut room = ReadBuf::new(&mut self.buffer[self.end..]);
        std::task::ready!(self.wire.poll_read(context, &mut room))?;
        match room.filled().len() {
            0 => Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed"))),
            read => {
                self.end += read;
                Poll::Ready(Ok(()))
            }
        }
    }

    async fn write_all(&mut self, mut head: &[u8], mut body: &[u8]) -> Result<()> {
        while !head.is_empty() || !body.is_empty() {
            let slices = [IoSlice::new(head), IoSlice::new(body)];
            let written = match poll_fn(|context| self.wire.poll_write(context, &slices)).await {
                Ok(0) => return Err(self.lost(io::ErrorKind::WriteZero.into()).await),
                Ok(written) => written,
                Err(error) => return Err(self.lost(error).await),
            };
            let of_head = written.min(head.len());
            (head, body) = (&head[of_head..], &body[written - of_head..]);
        }
        Ok(())
    }

    /// Reads what has arrived already, without waiting; answers whether that was anything.
    async fn glance(&mut self) -> io::Result<bool> {
        match poll_fn(|context| Poll::Ready(self.poll_fill(context))).await {
            Poll::Ready(read) => read.map(|()| true),
            Poll::Pending => Ok(false),
        }
    }

    async fn flush(&mut self) -> Result<()> {
        let flushed = poll_fn(|context| self.wire.poll_flush(context)).await;
        flushed.map_err(|error| self.broken(error))
    }

    /// How the COPY has ended.
    fn end(&mut self, verb: &str) -> Result<u64> {
        let side = self.side;
        match (self.error.take(), self.tag) {
            (Some(error), _) => {
                Err(Error::new(side.kind(), format!("the {} refused the {verb}", side.name())).caused_by(error))
            }
            (None, Some(rows)) => Ok(rows),
            (None, None) => {
                Err(Error::new(side.kind(), format!("the {} did not say how the {verb} ended", side.name())))
            }
        }
    }

    fn broken(&self, error: io::Error) -> Error {
        Error::new(self.side.kind(), format!("lost the connection to the {} in a copy", self.side.name()))
            .caused_by(error)
    }

    /// The connection is gone; a server that ends a session says why before it closes.
    async fn lost(&mut self, error: io::Error) -> Error {
        let broken = self.broken(error);
        while self.error.is_none() {
            let arrived = tokio::time::timeout(LAST_WORDS_TIME, poll_fn(|context| self.poll_fill(context))).await;
            if !matches!(arrived, Ok(Ok(()))) || self.next().is_err() {
                break;
            }
        }
        match self.error.take() {
            Some(last_words) => self.broken(io::ErrorKind::ConnectionAborted.into()).caused_by(last_words),
            None => broken,
        }
    }
}

/// The rows of a command tag `COPY 42`, with the byte that ends it.
fn copied_rows(tag: &[u8]) -> Option<u64> {
    let rows = tag.strip_prefix(b"COPY ")?.strip_suffix(&[0])?;
    std::str::from_utf8(rows).ok()?.parse().ok()
}

impl Drop for Loan {
    fn drop(&mut self) {
        if !self.is_over {
            self.wire.give_back(true);
        }
    }
}

/// `copy … to stdout`. Dropping it before its end costs the connection.
pub struct CopyOut(Loan);

impl CopyOut {
    pub(super) async fn start(wire: Arc<dyn Wire>, side: Side, sql: &str) -> Result<CopyOut> {
        let mut loan = Loan::new(wire, side)?;
        loan.query(sql).await?;
        Ok(CopyOut(loan))
    }

    /// Waits for more; `false` when there is none, and [`CopyOut::finish`] says why.
    pub async fn fill(&mut self) -> Result<bool> {
        if !self.0.is_over {
            self.0.fill().await?;
        }
        Ok(!self.0.is_over)
    }

    /// The next piece of what has arrived, cut anywhere; `None` when more has to be waited for.
    pub fn piece(&mut self) -> Result<Option<&[u8]>> {
        match self.0.next()? {
            Event::Data(length) => {
                let from = self.0.start;
                self.0.start += length;
                self.0.data_left -= length;
                Ok(Some(&self.0.buffer[from..from + length]))
            }
            Event::Starved | Event::Over => Ok(None),
            Event::CopyIn => Err(self.0.broken(io::Error::other("the server waits for data"))),
        }
    }

    /// How many rows the server says it has sent.
    ///
    /// # Errors
    /// The server's, where it has stopped with one.
    pub fn finish(mut self) -> Result<u64> {
        self.0.end("copy out")
    }
}

/// `copy … from stdin`. Dropping it before its end costs the connection, and with it the transaction.
pub struct CopyIn(Loan);

impl CopyIn {
    pub(super) async fn start(wire: Arc<dyn Wire>, side: Side, sql: &str) -> Result<CopyIn> {
        let mut copy = CopyIn(Loan::new(wire, side)?);
        copy.0.query(sql).await?;
        loop {
            match copy.0.next()? {
                Event::CopyIn => return Ok(copy),
                Event::Starved => copy.0.fill().await?,
                Event::Over => return Err(copy.refused()),
                Event::Data(_) => return Err(copy.0.broken(io::Error::other("the server sends data"))),
            }
        }
    }

    /// Sends data. An error that the server has sent meanwhile is answered at once.
    pub async fn feed(&mut self, bytes: Bytes) -> Result<()> {
        if let Err(error) = self.0.glance().await {
            return Err(self.0.lost(error).await);
        }
        if let Event::Over = self.0.next()? {
            return Err(self.refused());
        }
        let length = i32::try_from(bytes.len() + 4)
            .map_err(|_| Error::new(self.0.side.kind(), "a row is larger than a message may be"))?;
        let mut head = [backend::COPY_DATA_TAG; HEADER];
        head[1..].copy_from_slice(&length.to_be_bytes());
        self.0.write_all(&head, &bytes).await
    }

    /// Ends the data, and answers how many rows the server says it has stored.
    pub async fn finish(mut self) -> Result<u64> {
        let mut done = BytesMut::with_capacity(HEADER);
        done.put_u8(backend::COPY_DONE_TAG);
        done.put_i32(4);
        self.0.write_all(&[], &done).await?;
        self.0.flush().await?;
        while !matches!(self.0.next()?, Event::Over) {
            self.0.fill().await?;
        }
        self.0.end("copy in")
    }

    fn refused(&mut self) -> Error {
        let silent = || Error::internal("the server has ended a copy in by itself");
        self.0.end("copy in").err().unwrap_or_else(silent)
    }
}

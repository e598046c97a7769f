//! Reading one input from its beginning, or from a byte in it, to its end.
//!
//! **Invariant:** after an error nothing is read any more, so that an error is never followed by an end.

use std::io::{self, Read};

use super::condition::Condition;
use super::decoder::{self, Decoder, MAX_WINDOW_LOG};
use super::raw::Raw;
use super::{Codec, encoding, fill};
use crate::error::{Error, Kind, Result};

/// Decompressed bytes.
pub struct Stream {
    name: String,
    codec: Codec,
    decoder: Decoder,
    /// `None` for what can be read once only.
    found: Option<Condition>,
    state: State,
}

enum State {
    /// At its first byte, whose encoding nobody has looked at.
    Fresh,
    /// The bytes that were looked at, from the first unread one on.
    Head(Vec<u8>),
    Reading,
    Failed,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("name", &self.name).field("codec", &self.codec).finish_non_exhaustive()
    }
}

impl Stream {
    pub(super) fn new(name: String, codec: Codec, raw: Raw, found: Option<Condition>, at: u64) -> Result<Stream> {
        let decoder = Decoder::new(codec, raw)
            .map_err(|error| Error::internal(format!("cannot decompress \"{name}\"")).caused_by(error).given_up())?;
        let state = if at == 0 { State::Fresh } else { State::Reading };
        Ok(Stream { name, codec, decoder, found, state })
    }

    /// Reads some bytes into a buffer that is not empty; 0 only at the true end. A read that a signal interrupts is
    /// done again.
    ///
    /// # Errors
    /// [`Kind::Input`] if compressed bytes end early or are corrupt, if the file has become shorter, or if the text is
    /// UTF-16; [`Kind::Source`] if the system cannot read; [`Kind::Internal`] after any of these.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let result = self.read_on(buffer);
        if result.is_err() {
            self.state = State::Failed;
        }
        result
    }

    /// Bytes of the file consumed so far, read ahead included; for progress in [`super::Input::size`].
    pub fn raw_position(&self) -> u64 {
        self.decoder.raw().position()
    }

    /// Whether file size and modification time are what they were when it was found; always so for what can be read
    /// once only.
    ///
    /// # Errors
    /// [`Kind::Input`] if not; [`Kind::Source`] if the system does not say.
    pub fn check_unchanged(&self) -> Result<()> {
        self.found.map_or(Ok(()), |found| found.check(&self.name, self.decoder.raw().file()))
    }

    fn read_on(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if let State::Fresh = self.state {
            self.state = State::Head(self.read_head()?);
        }
        match &mut self.state {
            State::Head(head) if !head.is_empty() => {
                let length = head.len().min(buffer.len());
                buffer[..length].copy_from_slice(&head[..length]);
                head.drain(..length);
                Ok(length)
            }
            State::Failed => Err(Error::internal(format!("\"{}\" is read on after an error", self.name))),
            _ => {
                self.state = State::Reading;
                let result = self.decoder.read(buffer);
                self.judged(result)
            }
        }
    }

    fn read_head(&mut self) -> Result<Vec<u8>> {
        let mut head = vec![0; encoding::HEAD_BYTES];
        let result = fill(&mut head, |rest, _| self.decoder.read(rest));
        let length = self.judged(result)?;
        head.truncate(length);
        match encoding::two_byte_encoding(&head) {
            None => Ok(head),
            Some(encoding) => Err(self.in_two_bytes(encoding)),
        }
    }

    /// Says what it means that the decoder has read so much, or has failed so.
    fn judged(&self, result: io::Result<usize>) -> Result<usize> {
        let raw = self.decoder.raw();
        match (result, self.found) {
            (_, Some(found)) if raw.ended_early() => Err(found.ended_early(&self.name, raw)),
            (Ok(length), _) => Ok(length),
            (Err(error), _) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: io::Error) -> Error {
        let name = &self.name;
        if error.raw_os_error().is_some() {
            return Error::new(Kind::Source, format!("could not read \"{name}\"")).caused_by(error).given_up();
        }
        if decoder::is_window_too_large(&error) {
            return self.too_large_a_window();
        }
        let (codec, position) = (self.codec.name(), self.raw_position());
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::new(
                Kind::Input,
                format!("\"{name}\" is truncated: its {codec} data breaks off at byte {position}"),
            ),
            _ => Error::new(
                Kind::Input,
                format!("\"{name}\" is corrupt: its {codec} data is bad before byte {position}"),
            )
            .caused_by(error)
            .given_up(),
        }
        .hint(format!("Get the file again; {codec} -t tells whether it is whole."))
    }

    fn too_large_a_window(&self) -> Error {
        let name = &self.name;
        let window = (1u64 << MAX_WINDOW_LOG) >> 20;
        Error::new(Kind::Input, format!("\"{name}\" needs more than {window} MiB of memory to be decompressed"))
            .hint(format!("Decompress it into a pipe: zstd -dc --long=31 {name} | hypercopy import … -"))
    }

    fn in_two_bytes(&self, encoding: &str) -> Error {
        let name = &self.name;
        Error::new(Kind::Input, format!("\"{name}\" is in encoding {encoding}, which no server takes"))
            .hint(format!("Convert it into a pipe: iconv -f {encoding} -t UTF-8 {name} | hypercopy import … -"))
    }
}

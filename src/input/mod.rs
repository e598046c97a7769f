//! Where the bytes of an import come from: files, globs, FIFOs and stdin, compressed or not.
//!
//! [`find`] turns the arguments of a command line into [`Input`]s and refuses what cannot be read before anything else
//! is done; [`Input::open`] answers a [`Stream`] of decompressed bytes. Reading blocks, so it belongs into a thread. It
//! may touch the files it is given and stdin. Memory is constant: at most 9 MiB for a file in lz4, 128 MiB for one in
//! zstd that asks for it, and less than 1 MiB otherwise.
//!
//! **Invariant:** a stream ends without an error only where its file does. What is cut, corrupt or changed is an error,
//! never an end. Nothing in here knows what a record is.

mod codec;
mod condition;
mod decoder;
mod encoding;
mod find;
mod fingerprint;
mod lz4;
mod pipe;
mod raw;
mod stream;

pub use codec::Codec;
pub use find::find;
pub use fingerprint::Fingerprint;
pub use stream::Stream;

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use condition::Condition;
use pipe::Pipe;
use raw::Raw;

/// The name of stdin on the command line.
const STDIN: &str = "-";

/// One file of an import, or stdin, as it was found before anything was read from it but its sample.
#[derive(Debug)]
pub struct Input {
    name: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    File(Regular),
    /// Stdin, a FIFO, a device: what can be read once only.
    Pipe(Pipe),
}

/// A regular file.
#[derive(Debug)]
struct Regular {
    path: PathBuf,
    condition: Condition,
    codec: Codec,
    fingerprint: Fingerprint,
}

impl Input {
    /// Its name as given on the command line, or as the glob found it; `-` is stdin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it can be opened anywhere: an uncompressed regular file.
    pub fn is_seekable(&self) -> bool {
        matches!(&self.place, Place::File(file) if file.codec == Codec::None)
    }

    /// Bytes of the file as it lies on disk; `None` for what can be read once only.
    pub fn size(&self) -> Option<u64> {
        match &self.place {
            Place::File(file) => Some(file.condition.size),
            Place::Pipe(_) => None,
        }
    }

    /// How it is compressed, by its first bytes. Of a FIFO or stdin these are read now, and kept for
    /// [`Input::open`], so this waits for whoever writes there; where they cannot be read the answer is
    /// [`Codec::None`], and opening it tells why.
    pub fn codec(&self) -> Codec {
        match &self.place {
            Place::File(file) => file.codec,
            Place::Pipe(pipe) => pipe.codec(&self.name),
        }
    }

    /// What tells this file from another, and from itself after a change; `None` for what can be read once only.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        match &self.place {
            Place::File(file) => Some(file.fingerprint.clone()),
            Place::Pipe(_) => None,
        }
    }

    /// Opens at byte `at` of the *decompressed* contents: a seek where [`Input::is_seekable`], otherwise 0 only (the
    /// caller reads and discards). Waits for the writer of a FIFO.
    ///
    /// # Errors
    /// [`Kind::Input`] if the file is not as it was found, or ends before `at`; [`Kind::Source`] if it cannot be
    /// opened; [`Kind::Internal`] for another `at`, and for the second opening of what can be read once only.
    pub fn open(&self, at: u64) -> Result<Stream> {
        if at > 0 && !self.is_seekable() {
            return Err(Error::internal(format!("\"{}\" can be opened at its beginning only", self.name)));
        }
        match &self.place {
            Place::File(file) => file.open(&self.name, at),
            Place::Pipe(pipe) => {
                let (raw, codec) = pipe.take(&self.name)?;
                Stream::new(self.name.clone(), codec, raw, None, 0)
            }
        }
    }

    /// Whether it is the file at this path.
    pub fn is_at(&self, path: &Path) -> bool {
        let found = path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()));
        found.is_some() && found == self.identity()
    }

    /// What the file is to the system, whatever its name; `None` for a stdin that says nothing of itself.
    fn identity(&self) -> Option<(u64, u64)> {
        match &self.place {
            Place::File(file) => Some(file.condition.identity()),
            Place::Pipe(pipe) => pipe.identity(),
        }
    }
}

impl Regular {
    /// Reads the sample of a file that was just opened.
    fn look(name: &str, path: PathBuf, file: &File) -> Result<Regular> {
        let unreadable =
            |error: io::Error| Error::refused(format!("could not read file \"{name}\"")).caused_by(error).given_up();
        let condition = Condition::of(file).map_err(unreadable)?;
        let head = head(file).map_err(unreadable)?;
        if condition.size == 0 && !head.is_empty() {
            return Err(Error::refused(format!("\"{name}\" says that it is empty, and is not"))
                .hint(format!("Read it through a pipe: cat {name} | hypercopy import … -")));
        }
        let codec = Codec::of(name, &head)?;
        let fingerprint = Fingerprint::of(file, condition.size).map_err(unreadable)?;
        Ok(Regular { path, condition, codec, fingerprint })
    }

    fn open(&self, name: &str, at: u64) -> Result<Stream> {
        let file = open_file(name, &self.path, Kind::Source)?;
        self.condition.check(name, &file)?;
        if at > self.condition.size {
            return Err(condition::changed(name, format!("{at} bytes then, {} now", self.condition.size)));
        }
        let raw = Raw::of_file(file, at, self.condition.size).map_err(|error| {
            Error::new(Kind::Source, format!("could not read file \"{name}\"")).caused_by(error).given_up()
        })?;
        Stream::new(name.to_owned(), self.codec, raw, Some(self.condition), at)
    }
}

/// Opens a file; `kind` says whether anything may have been written before.
fn open_file(name: &str, path: &Path, kind: Kind) -> Result<File> {
    File::open(path).map_err(|error| cannot_open(name, kind, error))
}

fn cannot_open(name: &str, kind: Kind, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "Check the name and the directory it is looked up in.",
        io::ErrorKind::PermissionDenied => "Let the user who runs hypercopy read it.",
        _ => "Check what it is.",
    };
    Error::new(kind, format!("could not open file \"{name}\" for reading")).hint(hint).caused_by(error).given_up()
}

/// The first bytes of a file, as far as [`Codec::of`] looks.
fn head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; codec::HEAD_BYTES];
    let length = fill(&mut head, |rest, at| file.read_at(rest, at as u64))?;
    head.truncate(length);
    Ok(head)
}

/// Reads until the buffer is full or nothing comes any more; `read` gets the rest of it and where that begins.
fn fill(buffer: &mut [u8], mut read: impl FnMut(&mut [u8], usize) -> io::Result<usize>) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match raw::uninterrupted(|| read(&mut buffer[length..], length))? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests;

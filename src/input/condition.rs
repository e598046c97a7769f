//! What a file was when it was found.
//!
//! **Invariant:** two equal conditions of one open file mean that nobody has written to it, as far as the system tells.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use super::raw::Raw;
use crate::error::{Error, Kind, Result};

/// Identity, size and modification time of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    device: u64,
    inode: u64,
    /// In bytes.
    pub(super) size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl Condition {
    pub(super) fn of(file: &File) -> io::Result<Condition> {
        let metadata = file.metadata()?;
        Ok(Condition {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }

    /// What the file is to the system, whatever its name and contents.
    pub(super) fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// # Errors
    /// [`Kind::Input`] if the file is not what it was then; [`Kind::Source`] if the system does not say.
    pub(super) fn check(&self, name: &str, file: &File) -> Result<()> {
        let now = Condition::of(file).map_err(|error| {
            Error::new(Kind::Source, format!("could not stat file \"{name}\"")).caused_by(error).given_up()
        })?;
        match now {
            _ if now == *self => Ok(()),
            _ if now.size != self.size => Err(changed(name, format!("{} bytes then, {} now", self.size, now.size))),
            _ if now.identity() != self.identity() => Err(changed(name, "another file has its name now")),
            _ => Err(changed(name, format!("{} bytes as then, but written to", self.size))),
        }
    }

    /// The error for a file that has ended before its size.
    pub(super) fn ended_early(&self, name: &str, raw: &Raw) -> Error {
        let known = self.check(name, raw.file()).err();
        known.unwrap_or_else(|| changed(name, format!("{} bytes then, {} now", self.size, raw.position())))
    }
}

/// The error for a file that is not what it was.
pub(super) fn changed(name: &str, how: impl std::fmt::Display) -> Error {
    Error::new(Kind::Input, format!("\"{name}\" has changed while it was read: {how}"))
        .hint("Wait until nobody writes to it any more, or import a copy of it.")
}

//! An archive: a directory that holds one hypertable, its definition as data and its rows in segments.
//!
//! ```text
//! DIR/manifest.json            what the archive is, and every segment with its checksums
//! DIR/schema.sql               the definition for people; nothing here reads it
//! DIR/segment-000001.bin.zst   rows of one range of the primary dimension
//! ```
//!
//! ARCHIVE.md describes it for whoever reads one without this tool. [`Manifest`] is data and its checks, [`SegmentWriter`]
//! and [`SegmentReader`] are the files; a [`Directory`] opens and names them, and follows no symbolic link.
//!
//! What is read here was written by anybody: it is checked before it is believed, and never held in memory by a size
//! that it claims.
//!
//! **Invariant:** knows no server. What is bad about an archive is [`Kind::Input`], with the file's name.

mod belongings;
mod contents;
mod directory;
mod extent;
mod identity;
mod json;
mod manifest;
mod partial;
mod segment;

use std::path::Path;

pub use contents::{Contents, Tally};
pub use directory::Directory;
pub use extent::{Census, Extent, Extents};
pub use identity::ArchiveId;
pub use manifest::{
    Asked, Base, Compression, Definition, FORMAT_VERSION, MANIFEST, Manifest, Segment, SegmentColumn, SegmentFormat,
};
pub use partial::{PARTIAL, Partial, Unfinished};
pub use segment::{Nameless, SegmentReader, SegmentWriter, Stored, take_over};

use crate::error::{Error, Kind, Result};

/// A complete archive that was opened.
#[derive(Debug)]
pub struct Archive {
    /// Where it is.
    pub directory: Directory,
    /// What it says of itself; checked for itself, and not yet against the segments.
    pub manifest: Manifest,
}

impl Archive {
    /// Opens the archive in `path` and reads its manifest.
    ///
    /// # Errors
    /// [`Kind::Input`] where there is none, where it is not complete, and for a manifest that is not one.
    pub fn open(path: &Path) -> Result<Archive> {
        let directory = Directory::open(path)?;
        let manifest = Manifest::read(&directory)?;
        Ok(Archive { directory, manifest })
    }

    /// Refuses an archive that lacks a segment, or has one of another size. Reads none of them.
    ///
    /// # Errors
    /// [`Kind::Input`], naming the file.
    pub fn check_files(&self) -> Result<()> {
        self.manifest.segments.iter().try_for_each(|segment| {
            let path = self.directory.display(&segment.file);
            let found = self.directory.size(&segment.file).map_err(|error| unreadable(&path, error))?;
            match found == segment.file_bytes {
                true => Ok(()),
                false => Err(segment::wrong_size(&path, found, segment.file_bytes)),
            }
        })
    }

    /// Opens one of the manifest's segments.
    ///
    /// # Errors
    /// [`Kind::Input`] where the file is missing, no regular file, or of another size than the manifest says.
    pub fn segment(&self, segment: &Segment) -> Result<SegmentReader> {
        SegmentReader::open(&self.directory, segment, self.manifest.compression)
    }
}

/// What completes the name of a file that is being written.
const TEMPORARY: &str = ".tmp";

/// Why a file of an archive cannot be written.
fn unwritable(path: &str, error: std::io::Error) -> Error {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let message = format!("could not write {path}");
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => Error::new(Kind::Resumable, message)
            .caused_by(error)
            .given_up()
            .hint("Make room on the disk of the archive."),
        _ => Error::new(Kind::Target, message).caused_by(error).given_up(),
    }
}

/// A file of an archive that cannot be read.
fn unreadable(path: &str, error: std::io::Error) -> Error {
    let error = Error::new(Kind::Input, format!("could not read {path}")).caused_by(error).given_up();
    error.hint("The archive is not whole: bring the file back from another copy of it, or dump again.")
}

/// A file of an archive that says something else than it should.
pub(crate) fn damaged(message: String) -> Error {
    Error::new(Kind::Input, message).hint(
        "The archive was changed after it was written: bring the file back from another copy of it, or dump again.",
    )
}

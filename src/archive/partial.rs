//! The ledger of a dump: `manifest.partial.json`, in the place of the manifest until the archive is complete.
//!
//! It has one JSON document in each line: first what the archive will be, a manifest without segments, then what became of
//! segments. A line is added for each of them, and nothing is written again: so that thousands of segments cost
//! thousands of lines, and the lock on the file is on the same file from the first one to the last. The manifest is
//! another file, which gets its name when it is whole.
//!
//! **Invariant:** what a line says is on the disk before the call that wrote it ends; a line that a crash has cut says
//! nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::manifest::{Manifest, Segment, number_of};

use super::manifest::SEGMENT;
use super::segment::Nameless;
use super::{Directory, MANIFEST, TEMPORARY, json, unreadable, unwritable};
use crate::error::{Error, Kind, Result};
use crate::failpoint;

/// Its name.
pub const PARTIAL: &str = "manifest.partial.json";

/// What is known of an archive that is not complete.
#[derive(Clone, Debug)]
pub struct Unfinished {
    /// What it will be; without segments.
    pub manifest: Manifest,
    /// The segments that are whole, by their numbers.
    pub segments: BTreeMap<i32, Segment>,
}

/// What a line says of a segment.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// It is whole.
    Done(Segment),
    /// The file of this name is worth nothing any more.
    Forgotten(String),
}

impl Unfinished {
    /// Looks at the dump in a directory; none where nothing was begun.
    ///
    /// # Errors
    /// [`Kind::Input`] for what is no ledger of ours.
    pub fn look(directory: &Directory) -> Result<Option<Unfinished>> {
        match directory.open_file(PARTIAL) {
            Ok(file) => Ok(Unfinished::read(directory, &file)?.0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(&directory.display(PARTIAL), error)),
        }
    }

    /// Answers how many bytes of the file are whole lines, too.
    fn read(directory: &Directory, mut file: &File) -> Result<(Option<Unfinished>, u64)> {
        let path = directory.display(PARTIAL);
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(|error| unreadable(&path, error))?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let parsed = Unfinished::parse(&text[..whole]).map_err(|error| {
            Error::new(Kind::Input, format!("{path} is no ledger of a dump"))
                .caused_by(error)
                .hint("It was changed by somebody else: dump into another directory, or begin anew with --restart.")
        })?;
        Ok((parsed, whole as u64))
    }

    fn parse(text: &[u8]) -> Result<Option<Unfinished>, serde_json::Error> {
        let mut lines = text.split_inclusive(|byte| *byte == b'\n');
        let Some(first) = lines.next() else { return Ok(None) };
        let manifest: Manifest = json::decode(&json::parse(first)?)?;
        let mut segments = BTreeMap::new();
        let number = |file: &str| {
            let number = number_of(manifest.format, manifest.compression, file);
            number.ok_or_else(|| serde::de::Error::custom(format!("{file:?} is no file of a segment")))
        };
        for line in lines {
            match json::decode(&json::parse(line)?)? {
                Line::Done(segment) => segments.insert(number(&segment.file)?, segment),
                Line::Forgotten(file) => segments.remove(&number(&file)?),
            };
        }
        Ok(Some(Unfinished { manifest, segments }))
    }
}

/// The ledger of a dump that is ours alone, as long as this lives.
#[derive(Debug)]
pub struct Partial {
    directory: Arc<Directory>,
    log: Mutex<Log>,
}

#[derive(Debug)]
struct Log {
    file: File,
    /// Bytes of whole lines.
    length: u64,
    /// The files that are whole.
    done: BTreeSet<String>,
}

impl Partial {
    /// Takes the ledger of a directory, or begins an empty one; answers what stands in it, too.
    ///
    /// # Errors
    /// [`Kind::Held`] where another dump has it, [`Kind::Resumable`] for a full disk.
    pub fn take(directory: Arc<Directory>) -> Result<(Partial, Option<Unfinished>)> {
        let path = directory.display(PARTIAL);
        let file = directory.open_log(PARTIAL).map_err(|error| unwritable(&path, error))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(held(&directory)),
            Err(error) => return Err(unwritable(&path, error.into())),
        }
        // Whoever had the lock may have completed the archive, and removed the file that we have opened.
        if !directory.is_named(&file, PARTIAL).map_err(|error| unreadable(&path, error))? {
            return Err(held(&directory));
        }
        let (found, length) = Unfinished::read(&directory, &file)?;
        let segments = found.iter().flat_map(|found| found.segments.values());
        let done = segments.map(|segment| segment.file.clone()).collect();
        let partial = Partial { directory, log: Mutex::new(Log { file, length, done }) };
        partial.cut(&partial.log(), length)?;
        Ok((partial, found))
    }

    /// Begins anew: what stood there is forgotten.
    ///
    /// # Errors
    /// [`Kind::Resumable`] for a full disk, [`Kind::Target`] for what else the system says.
    pub fn begin(&self, manifest: &Manifest) -> Result<()> {
        let mut log = self.log();
        self.cut(&log, 0)?;
        (log.length, log.done) = (0, BTreeSet::new());
        self.append(&mut log, &manifest)
    }

    /// Gives a file the name of its segment, and notes that that is whole. Whoever else does so waits meanwhile, so that the
    /// last line about a file is about the file that is there.
    ///
    /// # Errors
    /// As [`Partial::begin`].
    pub fn add(&self, file: Nameless, segment: Segment) -> Result<()> {
        let mut log = self.log();
        file.give(&segment.file)?;
        failpoint::hit("segment-after-name");
        let name = segment.file.clone();
        self.append(&mut log, &Line::Done(segment))?;
        log.done.insert(name);
        Ok(())
    }

    /// Notes that a file is worth nothing any more: it may be written again then.
    ///
    /// # Errors
    /// As [`Partial::begin`].
    pub fn forget(&self, file: &str) -> Result<()> {
        let mut log = self.log();
        self.append(&mut log, &Line::Forgotten(file.to_string()))?;
        log.done.remove(file);
        Ok(())
    }

    /// Removes what dumps have left in the directory beside the segments that are noted.
    ///
    /// # Errors
    /// As [`Partial::begin`].
    pub fn sweep(&self) -> Result<()> {
        let log = self.log();
        let is_rubbish = |name: &String| {
            let is_ours = name.starts_with(SEGMENT) || name.ends_with(TEMPORARY) || name == MANIFEST;
            is_ours && !log.done.contains(name)
        };
        let sweep = || -> io::Result<()> {
            let names = self.directory.names()?;
            names.iter().filter(|name| is_rubbish(name)).try_for_each(|name| self.directory.remove(name))?;
            self.directory.sync()
        };
        sweep().map_err(|error| unwritable(&self.directory.path().display().to_string(), error))
    }

    /// Completes the archive: `manifest` takes the place of the ledger. All its segments are on the disk.
    ///
    /// # Errors
    /// As [`Partial::begin`].
    pub fn complete(&self, manifest: &Manifest) -> Result<()> {
        failpoint::hit("manifest-before-name");
        self.directory.store(MANIFEST, &manifest.to_json()?)?;
        failpoint::hit("manifest-after-name");
        self.directory.discard(PARTIAL)
    }

    fn append(&self, log: &mut Log, line: &impl Serialize) -> Result<()> {
        let written = serde_json::to_vec(line).map_err(io::Error::from).and_then(|mut text| {
            text.push(b'\n');
            log.file.write_all(&text)?;
            log.file.sync_data()?;
            Ok(text.len() as u64)
        });
        match written {
            Ok(length) => log.length += length,
            Err(error) => {
                // Half a line would spoil the next one. If this fails too, no other line will be written.
                self.cut(log, log.length)?;
                return Err(unwritable(&self.directory.display(PARTIAL), error));
            }
        }
        Ok(())
    }

    fn cut(&self, log: &Log, length: u64) -> Result<()> {
        log.file.set_len(length).map_err(|error| unwritable(&self.directory.display(PARTIAL), error))
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no holder of the ledger panics")
    }
}

fn held(directory: &Directory) -> Error {
    Error::new(Kind::Held, format!("another dump is at work in {}", directory.path().display()))
        .hint("Wait for its end, or choose another directory.")
}

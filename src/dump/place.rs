//! The directory of the archive: what stands there already, and who may write there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::request::Request;
use crate::archive::{Directory, MANIFEST, Manifest, PARTIAL, Partial, Unfinished};
use crate::error::{Error, Kind, Result};
use crate::failpoint;

/// What a run begins with.
pub(super) enum Standing {
    /// Nothing.
    New,
    /// A dump that was interrupted.
    Unfinished(Box<Unfinished>),
    /// An archive that is complete.
    Finished(Box<Manifest>),
    /// What shall be forgotten, of this archive.
    Forgotten(Box<Manifest>),
}

/// The directory, as far as this run has it.
pub(super) struct Place {
    /// None as long as there is no directory.
    directory: Option<Arc<Directory>>,
    /// Its ledger, once that is ours alone.
    partial: Option<Arc<Partial>>,
    /// Whether this run has begun the ledger, or gone on with it.
    has_begun: bool,
    path: PathBuf,
}

impl Place {
    /// Takes the ledger of a dump that was interrupted, unless only a plan is wanted.
    ///
    /// # Errors
    /// [`Kind::Held`] where another dump has it, [`Kind::Refused`] where the directory is that of somebody else.
    pub(super) fn look(request: &Request) -> Result<Place> {
        let path = request.output.clone();
        let mut place = Place { directory: None, partial: None, has_begun: false, path };
        if std::fs::symlink_metadata(&place.path).is_err() {
            return Ok(place);
        }
        let directory = Arc::new(Directory::open(&place.path).map_err(before_writing)?);
        let names = names(&directory)?;
        let has = |name: &str| names.iter().any(|found| found == name);
        if !names.is_empty() && !has(MANIFEST) && !has(PARTIAL) {
            return Err(Error::refused(format!("{} is neither empty nor a dump's", place.path.display()))
                .hint("Name a directory that is empty, or is not there yet."));
        }
        if has(PARTIAL) && !has(MANIFEST) && !request.dry_run {
            place.partial = Some(Arc::new(Partial::take(Arc::clone(&directory)).map_err(before_writing)?.0));
        }
        place.directory = Some(directory);
        Ok(place)
    }

    /// What stands there now; nothing where that will be forgotten.
    pub(super) fn standing(&mut self, request: &Request) -> Result<Standing> {
        let Some(directory) = &self.directory else { return Ok(Standing::New) };
        let standing = if names(directory)?.iter().any(|name| name == MANIFEST) && self.partial.is_none() {
            Standing::Finished(Box::new(Manifest::read(directory).map_err(before_writing)?))
        } else {
            let unfinished = Unfinished::look(directory).map_err(before_writing)?;
            unfinished.map_or(Standing::New, |unfinished| Standing::Unfinished(Box::new(unfinished)))
        };
        Ok(match standing {
            Standing::Unfinished(found) if request.restart && !self.has_begun => {
                Standing::Forgotten(Box::new(found.manifest))
            }
            Standing::Finished(manifest) if request.restart && !self.has_begun => Standing::Forgotten(manifest),
            standing => standing,
        })
    }

    /// Makes the directory, takes its ledger, and begins that unless a dump goes on; `header` is what the archive will be.
    ///
    /// # Errors
    /// [`Kind::Held`] where another dump was faster, [`Kind::Resumable`] for a full disk.
    pub(super) fn begin(&mut self, standing: &Standing, header: &Manifest) -> Result<(Arc<Directory>, Arc<Partial>)> {
        let directory = match &self.directory {
            Some(directory) => Arc::clone(directory),
            None => Arc::new(Directory::create(&self.path)?),
        };
        self.directory = Some(Arc::clone(&directory));
        let partial = match &self.partial {
            Some(partial) => Arc::clone(partial),
            None => Arc::new(take(&directory, standing)?),
        };
        self.partial = Some(Arc::clone(&partial));
        failpoint::hit("dump-before-begin");
        if let Standing::Forgotten(_) = standing {
            // First of all: its segments will be removed, and without them it would be a lie.
            directory.discard(MANIFEST)?;
        }
        if !matches!(standing, Standing::Unfinished(_)) {
            partial.begin(header)?;
        }
        self.has_begun = true;
        failpoint::hit("dump-after-begin");
        partial.sweep()?;
        Ok((directory, partial))
    }

    /// Removes what a run has left that was ended in the very last moment.
    pub(super) fn tidy(&self) -> Result<()> {
        match &self.directory {
            Some(directory) => directory.discard(PARTIAL),
            None => Ok(()),
        }
    }
}

/// Nobody may have begun there since we have looked.
fn take(directory: &Arc<Directory>, standing: &Standing) -> Result<Partial> {
    directory.close_to_others()?;
    let (partial, found) = Partial::take(Arc::clone(directory))?;
    let is_forgotten = matches!(standing, Standing::Forgotten(_));
    match is_forgotten || (found.is_none() && names(directory)? == [PARTIAL]) {
        true => Ok(partial),
        false => Err(Error::new(Kind::Held, format!("another dump has begun in {}", directory.path().display()))
            .hint("Wait for its end, or choose another directory.")),
    }
}

fn names(directory: &Directory) -> Result<Vec<String>> {
    directory.names().map_err(|error| cannot_look(directory.path(), error))
}

fn cannot_look(path: &Path, error: std::io::Error) -> Error {
    Error::refused(format!("could not look into {}", path.display())).caused_by(error).given_up()
}

/// Nothing was written yet, so what is bad about the directory is a reason to refuse.
fn before_writing(error: Error) -> Error {
    match error.kind() {
        Kind::Held => error,
        _ => error.with_kind(Kind::Refused),
    }
}

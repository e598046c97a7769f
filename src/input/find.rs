//! From the arguments of a command line to inputs.
//!
//! **Invariant:** nothing is found twice, and every regular file among what is found could be read.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use glob::{GlobError, MatchOptions, PatternError};

use super::pipe::{self, Pipe};
use super::{Input, Place, Regular, STDIN, cannot_open, open_file};
use crate::error::{Error, Kind, Result};

/// As a shell reads globs.
const LIKE_A_SHELL: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The inputs that `arguments` name, in their order: files, globs (the files they match, sorted; a name that exists is
/// not read as a glob) and `-` for stdin, which is also meant where there is no argument. Of regular files a sample is
/// read, at most 4 MiB each; FIFOs and stdin are not touched.
///
/// # Errors
/// [`Kind::Refused`] for a file that is missing, is a directory, cannot be read or is named twice, and for a glob that
/// matches no file; [`Kind::Input`] for files in formats that are not read.
pub fn find(arguments: &[String]) -> Result<Vec<Input>> {
    if arguments.is_empty() {
        return Ok(vec![stdin()]);
    }
    let mut inputs = Vec::new();
    for argument in arguments {
        inputs.append(&mut named(argument)?);
    }
    refuse_twins(&inputs)?;
    Ok(inputs)
}

fn named(argument: &str) -> Result<Vec<Input>> {
    let path = Path::new(argument);
    match argument {
        STDIN => Ok(vec![stdin()]),
        _ if !argument.contains(['*', '?', '[']) || path.symlink_metadata().is_ok() => {
            input(argument.to_owned(), path.to_owned()).map(|input| vec![input])
        }
        _ => matches(argument)?.into_iter().map(|path| input(path.to_string_lossy().into_owned(), path)).collect(),
    }
}

fn stdin() -> Input {
    let metadata = pipe::stdin().and_then(|file| file.metadata());
    let identity = metadata.ok().map(|metadata| (metadata.dev(), metadata.ino()));
    Input { name: STDIN.to_owned(), place: Place::Pipe(Pipe::new(None, identity)) }
}

fn input(name: String, path: PathBuf) -> Result<Input> {
    let metadata = path.metadata().map_err(|error| cannot_open(&name, Kind::Refused, error))?;
    if metadata.is_dir() {
        return Err(Error::refused(format!("\"{name}\" is a directory"))
            .hint(format!("Name the files in it, or a glob: '{}/*'.", name.trim_end_matches('/'))));
    }
    let place = match metadata.is_file() {
        true => {
            let file = open_file(&name, &path, Kind::Refused)?;
            Place::File(Regular::look(&name, path, &file)?)
        }
        false => Place::Pipe(Pipe::new(Some(path), Some((metadata.dev(), metadata.ino())))),
    };
    Ok(Input { name, place })
}

/// The files that a glob matches, sorted; directories are left out, as no glob can.
fn matches(argument: &str) -> Result<Vec<PathBuf>> {
    let paths = glob::glob_with(argument, LIKE_A_SHELL).map_err(|error: PatternError| {
        Error::refused(format!("there is no file \"{argument}\", and it is no glob"))
            .caused_by(error)
            .hint("Check the name.")
    })?;
    let unreadable = |error: GlobError| {
        let place = error.path().display().to_string();
        Error::refused(format!("could not open directory \"{place}\"")).caused_by(io::Error::from(error)).given_up()
    };
    let mut paths = paths.map(|path| path.map_err(unreadable)).collect::<Result<Vec<PathBuf>>>()?;
    paths.retain(|path| !path.is_dir());
    paths.sort();
    match paths.is_empty() {
        true => Err(Error::refused(format!("there is no file \"{argument}\", and as a glob it matches none"))
            .hint("Check the name and the directory it is looked up in.")),
        false => Ok(paths),
    }
}

fn refuse_twins(inputs: &[Input]) -> Result<()> {
    let mut seen = HashMap::new();
    for input in inputs {
        let Some(identity) = input.identity() else { continue };
        if let Some(twin) = seen.insert(identity, input.name()) {
            return Err(twins(twin, input.name()));
        }
    }
    Ok(())
}

fn twins(first: &str, second: &str) -> Error {
    let message = match first == second {
        true if first == STDIN => "stdin is named twice".to_owned(),
        true => format!("\"{first}\" is named twice"),
        false => format!("\"{first}\" and \"{second}\" are the same file"),
    };
    Error::refused(message).hint("Name it once; its rows would be imported twice.")
}

//! What can be read once only: stdin, a FIFO, a device.
//!
//! **Invariant:** no byte is lost: what was read to learn the codec is read again with the rest.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::raw::Raw;
use super::{Codec, codec, fill, open_file};
use crate::error::{Error, Kind, Result};

/// A pipe that is opened when it is needed: opening a FIFO waits for its writer, which may be busy with an earlier one.
#[derive(Debug)]
pub(super) struct Pipe {
    /// `None` is stdin.
    path: Option<PathBuf>,
    identity: Option<(u64, u64)>,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Closed,
    /// Bytes may have been read, also where this is an error.
    Open(Result<(Raw, Codec)>),
    Taken(Codec),
}

impl Pipe {
    pub(super) fn new(path: Option<PathBuf>, identity: Option<(u64, u64)>) -> Pipe {
        Pipe { path, identity, state: Mutex::new(State::Closed) }
    }

    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        self.identity
    }

    /// See [`super::Input::codec`].
    pub(super) fn codec(&self, name: &str) -> Codec {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Closed = *state {
            *state = State::Open(self.open(name));
        }
        match *state {
            State::Open(Ok((_, codec))) | State::Taken(codec) => codec,
            State::Open(Err(_)) | State::Closed => Codec::None,
        }
    }

    /// All bytes of the pipe, for the one who asks first.
    pub(super) fn take(&self, name: &str) -> Result<(Raw, Codec)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match std::mem::replace(&mut *state, State::Taken(Codec::None)) {
            State::Closed => self.open(name),
            State::Open(opened) => opened,
            State::Taken(_) => Err(Error::internal(format!("\"{name}\" can be read once only"))),
        };
        if let Ok((_, codec)) = opened {
            *state = State::Taken(codec);
        }
        opened
    }

    fn open(&self, name: &str) -> Result<(Raw, Codec)> {
        let unreadable = |error: io::Error| {
            Error::new(Kind::Source, format!("could not read \"{name}\"")).caused_by(error).given_up()
        };
        let mut file = match &self.path {
            Some(path) => open_file(name, path, Kind::Source)?,
            None => stdin().map_err(unreadable)?,
        };
        let mut head = vec![0; codec::HEAD_BYTES];
        let length = fill(&mut head, |rest, _| file.read(rest)).map_err(unreadable)?;
        head.truncate(length);
        let codec = Codec::of(name, &head)?;
        Ok((Raw::of_pipe(file, head), codec))
    }
}

/// Stdin without the buffer of the standard library.
pub(super) fn stdin() -> io::Result<File> {
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

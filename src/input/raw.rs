//! The bytes of a file as they lie there.
//!
//! **Invariant:** of a file that grows, only what was there when it was found is read.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// An open file or pipe; counts what was read and never sees an interrupt.
#[derive(Debug)]
pub(super) struct Raw {
    file: File,
    /// Bytes that were read to learn the codec and are to be read again; taken from its beginning.
    head: Vec<u8>,
    /// How many bytes of the file's size are left; `None` for a pipe.
    left: Option<u64>,
    position: u64,
    /// Whether the file has ended although bytes were left.
    ended_early: bool,
}

impl Raw {
    /// A file of `size` bytes, from byte `at` on.
    pub(super) fn of_file(mut file: File, at: u64, size: u64) -> io::Result<Raw> {
        if at > 0 {
            file.seek(SeekFrom::Start(at))?;
        }
        Ok(Raw { file, head: Vec::new(), left: Some(size.saturating_sub(at)), position: at, ended_early: false })
    }

    /// A pipe that `head` was read from.
    pub(super) fn of_pipe(pipe: File, head: Vec<u8>) -> Raw {
        Raw { file: pipe, head, left: None, position: 0, ended_early: false }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Bytes of the file consumed so far, those before a seek included.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Whether the file has turned out to be shorter than it was.
    pub(super) fn ended_early(&self) -> bool {
        self.ended_early
    }

    fn read_head(&mut self, buffer: &mut [u8]) -> usize {
        let length = self.head.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.head[..length]);
        self.head.drain(..length);
        length
    }

    fn read_file(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.left.map_or(buffer.len(), |left| buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        let file = &mut self.file;
        let length = uninterrupted(|| file.read(&mut buffer[..most]))?;
        self.ended_early |= length == 0 && most > 0 && self.left.is_some();
        self.left = self.left.map(|left| left - length as u64);
        Ok(length)
    }
}

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = match self.head.is_empty() {
            true => self.read_file(buffer)?,
            false => self.read_head(buffer),
        };
        self.position += length as u64;
        Ok(length)
    }
}

/// Does it again as long as a signal comes in between.
pub(super) fn uninterrupted<T>(mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match work() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_read_is_tried_again_and_another_error_is_told() {
        let mut kinds = vec![io::ErrorKind::Interrupted, io::ErrorKind::Interrupted];
        assert_eq!(uninterrupted(|| kinds.pop().map_or(Ok(7), |kind| Err(kind.into()))).unwrap(), 7);
        let error = uninterrupted(|| Err::<(), _>(io::ErrorKind::WouldBlock.into())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}

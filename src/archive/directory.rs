//! The directory of an archive: its files by their names, and nothing outside it.
//!
//! Files are opened relative to the open directory, so that nobody who renames or replaces it meanwhile leads us
//! elsewhere.
//!
//! **Invariant:** no symbolic link is followed, and nothing is opened but regular files.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use super::{TEMPORARY, unwritable};
use crate::error::{Context, Error, Kind, Result};

/// An open directory.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    handle: File,
}

/// Only the owner may enter: rows of users are in there.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: Mode = Mode::from_raw_mode(0o600);

impl Directory {
    /// Opens one that is there.
    ///
    /// # Errors
    /// [`Kind::Input`] where it cannot be opened.
    pub fn open(path: &Path) -> Result<Directory> {
        Directory::open_there(path).map_err(|error| {
            Error::new(Kind::Input, format!("could not open directory {}", path.display()))
                .caused_by(error)
                .given_up()
                .hint("Name the directory of an archive, which the user who runs hypercopy may enter.")
        })
    }

    /// Opens one that is there, or makes it, below one that is there. It is its owner's alone, or made so.
    ///
    /// # Errors
    /// [`Kind::Refused`] where that is not possible.
    pub fn create(path: &Path) -> Result<Directory> {
        let create = || -> io::Result<Directory> {
            match std::fs::DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            Directory::open_there(path)
        };
        create().map_err(|error| {
            Error::refused(format!("could not make directory {}", path.display()))
                .caused_by(error)
                .given_up()
                .hint("The directory above it has to be there, and writable for the user who runs hypercopy.")
        })
    }

    /// Takes the rights to it from everybody but its owner.
    ///
    /// # Errors
    /// [`Kind::Refused`] where it belongs to somebody else.
    pub fn close_to_others(&self) -> Result<()> {
        let mode = Mode::from_raw_mode(DIRECTORY_MODE);
        rustix::fs::fchmod(&self.handle, mode)
            .doing(Kind::Refused, || format!("could not take the rights to {} from others", self.path.display()))
    }

    fn open_there(path: &Path) -> io::Result<Directory> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Directory { path: path.to_path_buf(), handle: handle.into() })
    }

    /// Its path, as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file of it for people.
    pub fn display(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    /// The names in it, in no order; one that is not UTF-8 is none of ours and comes mangled.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.handle)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if ![".", ".."].contains(&name.as_str()) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// The size of a regular file in bytes.
    pub fn size(&self, name: &str) -> io::Result<u64> {
        let found = rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => Ok(found.st_size as u64),
            _ => Err(not_regular()),
        }
    }

    /// Opens a regular file for reading.
    pub fn open_file(&self, name: &str) -> io::Result<File> {
        self.open_regular(name, OFlags::RDONLY)
    }

    /// Opens a regular file that is there, or makes it, for reading and for writing behind its end.
    pub fn open_log(&self, name: &str) -> io::Result<File> {
        self.open_regular(name, OFlags::RDWR | OFlags::APPEND | OFlags::CREATE)
    }

    /// Makes a file for writing, in the place of whatever has the name.
    pub fn create_file(&self, name: &str) -> io::Result<File> {
        self.remove(name)?;
        self.open_regular(name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)
    }

    fn open_regular(&self, name: &str, flags: OFlags) -> io::Result<File> {
        // A FIFO would keep us waiting for whoever writes there.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.handle, name, flags, FILE_MODE)?);
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(not_regular()),
        }
    }

    /// Writes a whole file, which has its name once it is on the disk.
    ///
    /// # Errors
    /// [`Kind::Resumable`] for a full disk, [`Kind::Target`] for what else the system says.
    pub fn store(&self, name: &str, contents: &[u8]) -> Result<()> {
        let temporary = format!("{name}{TEMPORARY}");
        let store = || {
            let mut file = self.create_file(&temporary)?;
            file.write_all(contents)?;
            file.sync_all()?;
            self.rename(&temporary, name)?;
            self.sync()
        };
        store().map_err(|error| unwritable(&self.display(name), error))
    }

    /// Gives a file another name, in the place of whatever has that.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.handle, from, &self.handle, to)?)
    }

    /// Gives a file of `other` a name here as well.
    pub fn link(&self, other: &Directory, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::linkat(&other.handle, from, &self.handle, to, AtFlags::empty())?)
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            Err(rustix::io::Errno::NOENT) => Ok(()),
            removed => Ok(removed?),
        }
    }

    /// Removes a file, if it is there, and waits until that is on the disk.
    ///
    /// # Errors
    /// [`Kind::Target`] for what the system says.
    pub fn discard(&self, name: &str) -> Result<()> {
        self.remove(name).and_then(|()| self.sync()).map_err(|error| unwritable(&self.display(name), error))
    }

    /// Bytes that are free on its disk for whoever runs this.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let disk = rustix::fs::fstatvfs(&self.handle)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Waits until the names in it are on the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    /// Whether the file is still the one that has this name.
    pub fn is_named(&self, file: &File, name: &str) -> io::Result<bool> {
        let held = file.metadata()?;
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => Ok(false),
            found => found.map(|found| (found.st_dev, found.st_ino) == (held.dev(), held.ino())).map_err(Into::into),
        }
    }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

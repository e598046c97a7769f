//! One segment: a file that is written once, under another name until it is whole, and read from its beginning.
//!
//! Reading and writing block, so both belong into a thread. Memory is constant: what zstd needs for a frame at its level, and
//! [`FRAME_BYTES`] twice for a writer, [`PIECE_BYTES`] for a reader.
//!
//! **Invariant:** a file that has a segment's name was on the disk, whole, before it got that. A reader hands out no more
//! bytes than the manifest says, and ends without an error only where length and hash are the manifest's. What it has handed
//! out before may be wrong: believe it when [`SegmentReader::next`] has answered `None`.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zstd::bulk::Compressor;
use zstd::stream::read::Decoder;
use zstd::zstd_safe::compress_bound;

use super::manifest::{Compression, Segment};
use super::{Directory, TEMPORARY, damaged, unreadable, unwritable};
use crate::error::{Context, Error, Kind, Result};

/// What is handed out at once, at most, and what is read of a file.
const PIECE_BYTES: usize = 256 << 10;

/// What one zstd frame holds, before compression. Frames that are compressed at once take a fifth to a quarter less time
/// than one that is streamed (whose window is a ring, in two parts that matches have to be looked for in), and are no
/// larger: `benches/README.md`.
const FRAME_BYTES: usize = 1 << 20;

/// What zstd(1) takes without being told more, as a power of two: 128 MiB. No level of ours asks for more.
const MAX_WINDOW_LOG: u32 = 27;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Bytes that were handed in.
    pub bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// The file's BLAKE3 hash, in hexadecimal digits.
    pub blake3: String,
}

/// A file that is whole and on the disk, and has no name yet that anybody looks for. Dropping it removes it.
#[derive(Debug)]
pub struct Nameless {
    /// What is in it.
    pub stored: Stored,
    file: Temporary,
}

impl Nameless {
    /// Gives it its name, in the place of whatever has that.
    ///
    /// # Errors
    /// [`Kind::Resumable`] for a full disk, [`Kind::Target`] for what else the system says.
    pub fn give(self, name: &str) -> Result<Stored> {
        let Temporary { directory, name: temporary } = &self.file;
        let given = directory.rename(temporary, name).and_then(|()| directory.sync());
        given.map_err(|error| unwritable(&directory.display(name), error))?;
        Ok(self.stored)
    }
}

/// A name that is removed again; no two of them are alike, so that whoever comes late removes nothing of others.
#[derive(Debug)]
struct Temporary {
    directory: Arc<Directory>,
    name: String,
}

impl Temporary {
    fn new(directory: Arc<Directory>, name: &str) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Temporary { directory, name: format!("{name}.{number}{TEMPORARY}") }
    }

    fn path(&self) -> String {
        self.directory.display(&self.name)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What was given a name is not there any more; what cannot be removed is removed by the next run.
        let _ = self.directory.remove(&self.name);
    }
}

/// A segment that is being written. Dropping it removes the file.
pub struct SegmentWriter {
    file: Temporary,
    sink: Sink,
    bytes: u64,
}

enum Sink {
    Plain(Hashing<File>),
    Zstd(Box<Frames>),
}

impl SegmentWriter {
    /// Begins a file that may get this name.
    ///
    /// # Errors
    /// [`Kind::Resumable`] for a full disk, [`Kind::Target`] for
    /// what else the system says.
    pub fn create(directory: Arc<Directory>, name: &str, compression: Compression) -> Result<SegmentWriter> {
        let temporary = Temporary::new(directory, name);
        let open = || -> io::Result<Sink> {
            let file = Hashing::new(temporary.directory.create_file(&temporary.name)?);
            Ok(match compression {
                Compression::None => Sink::Plain(file),
                Compression::Zstd { level } => Sink::Zstd(Box::new(Frames::new(file, level)?)),
            })
        };
        let sink = open().map_err(|error| unwritable(&temporary.path(), error))?;
        Ok(SegmentWriter { file: temporary, sink, bytes: 0 })
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// As [`SegmentWriter::create`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        let written = match &mut self.sink {
            Sink::Plain(file) => file.write_all(bytes),
            Sink::Zstd(frames) => frames.write(bytes),
        };
        written.map_err(|error| unwritable(&self.file.path(), error))
    }

    /// Ends the file, and waits until it is on the disk.
    ///
    /// # Errors
    /// As [`SegmentWriter::create`].
    pub fn finish(self) -> Result<Nameless> {
        let SegmentWriter { file, sink, bytes } = self;
        let finish = || {
            let written = match sink {
                Sink::Plain(written) => written,
                Sink::Zstd(frames) => frames.finish()?,
            };
            written.inner.sync_all()?;
            Ok(Stored { bytes, file_bytes: written.bytes, blake3: written.digits() })
        };
        let stored = finish().map_err(|error| unwritable(&file.path(), error))?;
        Ok(Nameless { stored, file })
    }
}

/// Bytes that become zstd frames of [`FRAME_BYTES`] each, one behind the other, as the format allows.
struct Frames {
    compressor: Compressor<'static>,
    /// What is in no frame yet.
    open: Vec<u8>,
    compressed: Vec<u8>,
    file: Hashing<File>,
}

impl Frames {
    fn new(file: Hashing<File>, level: i32) -> io::Result<Self> {
        let (open, compressed) = (Vec::with_capacity(FRAME_BYTES), Vec::with_capacity(compress_bound(FRAME_BYTES)));
        Ok(Frames { compressor: Compressor::new(level)?, open, compressed, file })
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(FRAME_BYTES - self.open.len()));
            self.open.extend_from_slice(now);
            bytes = later;
            if self.open.len() == FRAME_BYTES {
                self.close()?;
            }
        }
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        self.compressor.compress_to_buffer(&self.open, &mut self.compressed)?;
        self.open.clear();
        self.file.write_all(&self.compressed)
    }

    /// Bytes of no frame are no zstd file, so that no bytes are a frame of their own.
    fn finish(mut self) -> io::Result<Hashing<File>> {
        if !self.open.is_empty() || self.file.bytes == 0 {
            self.close()?;
        }
        Ok(self.file)
    }
}

/// A segment of another archive as a file of this one: the same file, or a copy of it where that is not possible. `None`
/// where it is not what the other manifest says.
///
/// # Errors
/// As [`SegmentWriter::create`], for this archive's files.
pub fn take_over(other: &Directory, segment: &Segment, directory: Arc<Directory>) -> Result<Option<Nameless>> {
    let Ok(mut file) = other.open_file(&segment.file) else { return Ok(None) };
    let (file_bytes, blake3) = match pour(&mut file, &mut io::sink()) {
        Ok(poured) => poured,
        Err(_) => return Ok(None),
    };
    if (file_bytes, &blake3) != (segment.file_bytes, &segment.blake3) {
        return Ok(None);
    }
    let temporary = Temporary::new(directory, &segment.file);
    let linked = temporary.directory.link(other, &segment.file, &temporary.name);
    // Between the two somebody may have put another file in its place.
    let is_same = linked.is_ok() && temporary.directory.is_named(&file, &temporary.name).unwrap_or(false);
    if !is_same && copy(file, &temporary)? != (file_bytes, blake3.clone()) {
        return Ok(None);
    }
    Ok(Some(Nameless { stored: Stored { bytes: segment.bytes, file_bytes, blake3 }, file: temporary }))
}

fn copy(mut from: File, to: &Temporary) -> Result<(u64, String)> {
    let mut copy = || {
        let mut copy = to.directory.create_file(&to.name)?;
        from.seek(io::SeekFrom::Start(0))?;
        let poured = pour(&mut from, &mut copy)?;
        copy.sync_all()?;
        Ok(poured)
    };
    copy().map_err(|error| unwritable(&to.path(), error))
}

/// Copies all of a file; answers how many bytes that are, and their hash.
fn pour(from: &mut File, to: &mut impl Write) -> io::Result<(u64, String)> {
    let mut hashed = Hashing::new(to);
    io::copy(&mut BufReader::with_capacity(PIECE_BYTES, from), &mut hashed)?;
    Ok((hashed.bytes, hashed.digits()))
}

impl Compression {
    /// How many bytes these would take in a file of their own.
    ///
    /// # Errors
    /// [`Kind::Internal`] where there is no memory for it.
    pub fn compressed_bytes(self, bytes: &[u8]) -> Result<u64> {
        match self {
            Compression::None => Ok(bytes.len() as u64),
            Compression::Zstd { level } => {
                let compressed = zstd::bulk::compress(bytes, level);
                compressed
                    .map(|compressed| compressed.len() as u64)
                    .doing(Kind::Internal, || "cannot compress a sample")
            }
        }
    }
}

/// A file whose bytes are hashed and counted as they pass.
struct Hashing<T> {
    inner: T,
    hasher: Box<blake3::Hasher>,
    bytes: u64,
}

impl<T> Hashing<T> {
    fn new(inner: T) -> Self {
        Hashing { inner, hasher: Box::default(), bytes: 0 }
    }

    fn see(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    fn digits(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.see(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.see(&buffer[..read]);
        Ok(read)
    }
}

/// Reads a segment.
pub struct SegmentReader {
    path: String,
    source: Source<File>,
    /// What the manifest says.
    expected: Segment,
    /// Bytes that were handed out.
    seen: u64,
    piece: Vec<u8>,
    is_over: bool,
}

/// The file behind its compression. Nothing is hashed twice, and nothing of the file is left out.
enum Source<R: Read> {
    Plain(Hashing<R>),
    Zstd(Decoder<'static, BufReader<Hashing<R>>>),
}

impl<R: Read> Source<R> {
    fn new(file: R, compression: Compression) -> io::Result<Self> {
        let file = Hashing::new(file);
        Ok(match compression {
            Compression::None => Source::Plain(file),
            Compression::Zstd { .. } => {
                let mut decoder = Decoder::with_buffer(BufReader::with_capacity(PIECE_BYTES, file))?;
                decoder.window_log_max(MAX_WINDOW_LOG)?;
                Source::Zstd(decoder)
            }
        })
    }

    fn file(&self) -> &Hashing<R> {
        match self {
            Source::Plain(file) => file,
            Source::Zstd(decoder) => decoder.get_ref().get_ref(),
        }
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Source::Plain(file) => file.read(buffer),
            Source::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

impl SegmentReader {
    /// Opens a segment of the archive in `directory`.
    ///
    /// # Errors
    /// [`Kind::Input`] where the file is missing, no regular file, or of another size than `expected` says.
    pub fn open(directory: &Directory, expected: &Segment, compression: Compression) -> Result<SegmentReader> {
        let path = directory.display(&expected.file);
        let open = || -> io::Result<(u64, Source<File>)> {
            let file = directory.open_file(&expected.file)?;
            Ok((file.metadata()?.len(), Source::new(file, compression)?))
        };
        let (size, source) = open().map_err(|error| unreadable(&path, error))?;
        if size != expected.file_bytes {
            return Err(wrong_size(&path, size, expected.file_bytes));
        }
        let piece = vec![0; PIECE_BYTES];
        Ok(SegmentReader { path, source, expected: expected.clone(), seen: 0, piece, is_over: false })
    }

    /// The next bytes, cut anywhere; `None` at the end, once length and hash were compared with the manifest's.
    ///
    /// # Errors
    /// [`Kind::Input`] where the file is not what the manifest says, as soon as that is seen: at the latest in the place of
    /// the `None`.
    #[expect(clippy::should_implement_trait, reason = "what it lends is overwritten by the next call")]
    pub fn next(&mut self) -> Result<Option<&[u8]>> {
        if self.is_over {
            return Ok(None);
        }
        let left = self.expected.bytes - self.seen;
        // One byte more than there may be: another one is an error, and none is the end.
        let room = PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES).saturating_add(1));
        let read = loop {
            match self.source.read(&mut self.piece[..room]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let read = read.map_err(|error| self.unreadable(error))? as u64;
        if read > left {
            return Err(self.wrong(format!("more than {} bytes", self.expected.bytes)));
        }
        self.seen += read;
        if read == 0 {
            self.finish()?;
            return Ok(None);
        }
        Ok(Some(&self.piece[..read as usize]))
    }

    fn finish(&mut self) -> Result<()> {
        let file = self.source.file();
        if self.seen != self.expected.bytes {
            return Err(self.wrong(format!("{} bytes instead of {}", self.seen, self.expected.bytes)));
        }
        if file.bytes != self.expected.file_bytes {
            return Err(wrong_size(&self.path, file.bytes, self.expected.file_bytes));
        }
        if file.digits() != self.expected.blake3 {
            return Err(damaged(format!("segment {} has another BLAKE3 hash than the manifest says", self.path)));
        }
        self.is_over = true;
        Ok(())
    }

    fn wrong(&self, what: String) -> Error {
        damaged(format!("segment {} holds {what}", self.path))
    }

    /// What is not compressed data is bad; what the disk says is the disk's fault.
    fn unreadable(&self, error: io::Error) -> Error {
        match error.raw_os_error() {
            Some(_) => unreadable(&self.path, error),
            None => damaged(format!("segment {} cannot be decompressed", self.path)).caused_by(error).given_up(),
        }
    }
}

/// A file that has another size than the manifest says.
pub(super) fn wrong_size(path: &str, found: u64, expected: u64) -> Error {
    damaged(format!("segment {path} has {found} bytes, and {expected} by the manifest"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgcopy::Checksum;
    use crate::plan::Range;

    /// A directory of one test, removed with it.
    struct Scratch(Arc<Directory>);

    impl Scratch {
        fn new(test: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("hypercopy-segment-{}-{test}", std::process::id()));
            Scratch(Arc::new(Directory::create(&path).unwrap()))
        }

        fn write(&self, compression: Compression, contents: &[u8]) -> Segment {
            let mut writer = SegmentWriter::create(Arc::clone(&self.0), "segment", compression).unwrap();
            contents.chunks(1000).for_each(|piece| writer.write(piece).unwrap());
            let Stored { bytes, file_bytes, blake3 } = writer.finish().unwrap().give("segment").unwrap();
            let checksum = Checksum::default();
            Segment {
                file: "segment".into(),
                range: Range::ALL,
                rows: 0,
                extents: None,
                bytes,
                file_bytes,
                checksum,
                blake3,
                reused: false,
            }
        }

        fn read(&self, compression: Compression, segment: &Segment) -> Result<Vec<u8>> {
            let mut reader = SegmentReader::open(&self.0, segment, compression)?;
            let mut contents = Vec::new();
            while let Some(piece) = reader.next()? {
                contents.extend_from_slice(piece);
            }
            Ok(contents)
        }

        fn path(&self) -> std::path::PathBuf {
            self.0.path().join("segment")
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            std::fs::remove_dir_all(self.0.path()).unwrap();
        }
    }

    const BOTH: [Compression; 2] = [Compression::None, Compression::Zstd { level: 1 }];

    fn contents(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at / 7 * at) as u8).collect()
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else_is_left() {
        let scratch = Scratch::new("whole");
        for compression in BOTH {
            for length in [0, 1, PIECE_BYTES, FRAME_BYTES - 1, FRAME_BYTES, 2 * FRAME_BYTES + 5] {
                let segment = scratch.write(compression, &contents(length));
                assert_eq!(scratch.read(compression, &segment).unwrap(), contents(length));
            }
        }
        drop(SegmentWriter::create(Arc::clone(&scratch.0), "other", Compression::None).unwrap());
        assert_eq!(scratch.0.names().unwrap(), ["segment"]);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let scratch = Scratch::new("flip");
        for compression in BOTH {
            let segment = scratch.write(compression, &contents(100));
            let whole = std::fs::read(scratch.path()).unwrap();
            for bit in 0..whole.len() * 8 {
                let mut flipped = whole.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                std::fs::write(scratch.path(), &flipped).unwrap();
                assert_eq!(scratch.read(compression, &segment).unwrap_err().kind(), Kind::Input, "bit {bit}");
            }
            for length in 0..whole.len() {
                std::fs::write(scratch.path(), &whole[..length]).unwrap();
                assert_eq!(scratch.read(compression, &segment).unwrap_err().kind(), Kind::Input, "{length} bytes");
            }
        }
    }

    #[test]
    fn no_more_is_handed_out_than_the_manifest_says() {
        let scratch = Scratch::new("bomb");
        let compression = BOTH[1];
        let bomb = scratch.write(compression, &vec![0; 64 << 20]);
        let segment = Segment { bytes: 1000, ..bomb };
        let mut reader = SegmentReader::open(&scratch.0, &segment, compression).unwrap();
        let error = reader.next().unwrap_err();
        assert!(error.message().contains("more than 1000 bytes"), "{error}");
    }

    #[test]
    fn a_link_is_not_followed() {
        let scratch = Scratch::new("link");
        let segment = scratch.write(Compression::None, b"a");
        std::fs::rename(scratch.path(), scratch.0.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", scratch.path()).unwrap();
        assert_eq!(scratch.read(Compression::None, &segment).unwrap_err().kind(), Kind::Input);
        assert!(scratch.0.size("segment").is_err());
    }
}

//! Cuts files into blocks at record ends, around the blocks that are in already.
//!
//! Reads blocking, in one thread. A file that can be opened anywhere is read where something is missing; of a stream
//! everything is read, and what is in already has to be what it was.
//!
//! **Invariant:** the blocks that are handed out, and those that are in, cover each file from its first record to its
//! end, once.

use std::sync::Arc;

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::block::Block;
use super::preamble::{Preamble, Shape, shown};
use super::room::{Room, Rooms};
use crate::csv::{LineEnd, Splitter};
use crate::error::{Error, Kind, Result};
use crate::input::{Input, Stream};
use crate::ledger::Stretch;

/// Read at once.
const PIECE_BYTES: usize = 256 << 10;
/// Larger blocks grow as they are read.
const MOST_ROOM_BYTES: usize = 64 << 20;
/// The least that is read of a file before it is decided how it begins.
const HEAD_BYTES: usize = 64 << 10;
/// A record longer than this has no end for a reason, and no server would take it.
const MAX_RECORD_BYTES: usize = 1 << 30;

/// A file that was opened, and its first bytes.
pub struct Opened {
    stream: Stream,
    head: Vec<u8>,
    /// Whether `head` is all of it.
    is_whole: bool,
}

impl Opened {
    /// Opens a file at its beginning and reads at least so many bytes, if it has them.
    pub fn new(input: &Input, least: usize) -> Result<Opened> {
        let mut opened = Opened { stream: input.open(0)?, head: Vec::new(), is_whole: false };
        opened.read_head(least)?;
        Ok(opened)
    }

    /// The bytes that were read.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Whether those are all of the file.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// How the file begins.
    ///
    /// # Errors
    /// [`Kind::Input`] where its first record does not end.
    pub fn preamble(&mut self, shape: &Shape) -> Result<Preamble> {
        loop {
            if let Some(preamble) = shape.preamble(&self.head, self.is_whole) {
                return Ok(preamble);
            }
            if self.head.len() > MAX_RECORD_BYTES {
                return Err(Error::new(Kind::Input, "the first record has more than 1 GiB and no end")
                    .hint("Check --quote and --escape: a quote that is not closed takes everything behind it."));
            }
            self.read_head(self.head.len() * 2)?;
        }
    }

    /// Whether it begins with what was read before of another one.
    pub fn holds(&mut self, stretch: &Stretch) -> Result<bool> {
        self.read_head(stretch.until as usize)?;
        let bytes = self.head.get(stretch.from as usize..stretch.until as usize);
        Ok(bytes.is_some_and(|bytes| format!("{:032x}", xxh3_128(bytes)) == stretch.hash))
    }

    /// Whether there is nothing in it.
    pub fn holds_nothing(&self) -> bool {
        self.is_whole && self.head.is_empty()
    }

    fn read_head(&mut self, least: usize) -> Result<()> {
        let mut filled = self.head.len();
        let least = least.max(HEAD_BYTES).max(filled);
        self.head.resize(least, 0);
        while filled < least && !self.is_whole {
            match self.stream.read(&mut self.head[filled..])? {
                0 => self.is_whole = true,
                read => filled += read,
            }
        }
        self.head.truncate(filled);
        Ok(())
    }
}

/// A file, and the blocks of it that are in, in their order.
pub struct File {
    /// The file.
    pub input: Arc<Input>,
    /// It, where it was opened already.
    pub opened: Option<Opened>,
    /// What is in.
    pub done: Vec<Stretch>,
}

/// What of a file belongs to the import: from the first record to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The file's number, from 1.
    pub file: i32,
    /// The first byte.
    pub from: u64,
    /// The byte behind the last.
    pub until: u64,
}

/// Looks at the beginning of a file with this name before it is cut; may refuse it.
pub type Check = Box<dyn Fn(&str, &Preamble, &[u8]) -> Result<()> + Send>;

/// Hears how many bytes of all files were read, compressed as they are.
pub type Heard = Box<dyn Fn(u64) + Send>;

/// Cuts the files of an import.
pub struct Cutter {
    /// The files, in their order.
    pub files: Vec<File>,
    /// How they begin.
    pub shape: Shape,
    /// A block is the least number of records that has so many bytes.
    pub block_bytes: usize,
    /// More records than these are not read.
    pub limit: Option<u64>,
    /// Where they are put.
    pub rooms: Rooms,
    /// Looks at each file.
    pub check: Check,
    /// Hears of the progress.
    pub heard: Heard,
}

impl Cutter {
    /// Rooms in which blocks of this size lie, so that none of them is moved while it grows.
    pub fn rooms(block_bytes: usize) -> Rooms {
        Rooms::new(block_bytes.min(MOST_ROOM_BYTES) + PIECE_BYTES)
    }
}

/// Takes a block; answers whether more are wanted.
pub trait Taker: FnMut(Block) -> bool {}

impl<F: FnMut(Block) -> bool> Taker for F {}

impl Cutter {
    /// Hands out all blocks that are not in, in the order of the files, and answers what there is; nothing of files that
    /// were not asked for any more.
    ///
    /// # Errors
    /// [`Kind::Input`] for what cannot be read to its end, [`Kind::Refused`] for what is not what it was when it was read
    /// before. The blocks before it were handed out.
    pub fn cut(self, mut take: impl Taker) -> Result<Vec<Extent>> {
        let Cutter { files, shape, block_bytes, limit, rooms, check, heard } = self;
        let mut state = State { number: 0, records: 0, limit, is_stopped: false, raw_bytes: 0 };
        let mut extents = Vec::new();
        for (file, number) in files.into_iter().zip(1..) {
            if state.is_over() {
                break;
            }
            let mut opened = match file.opened {
                Some(opened) => opened,
                None => Opened::new(&file.input, HEAD_BYTES)?,
            };
            let preamble = opened.preamble(&shape)?;
            check(file.input.name(), &preamble, &opened.head)?;
            let from = preamble.until;
            let mut cut = Cut {
                input: &file.input,
                number,
                shape: &shape,
                line_end: preamble.line_end,
                block_bytes,
                rooms: &rooms,
                reading: Reading::new(opened, preamble.until)?,
                line: preamble.line,
                heard: &heard,
            };
            cut.all(&file.done, &mut state, &mut take)?;
            if !state.is_over() {
                cut.reading.stream.check_unchanged()?;
            }
            extents.push(Extent { file: number, from, until: cut.reading.at });
            state.raw_bytes += cut.reading.stream.raw_position();
        }
        Ok(extents)
    }
}

/// What goes on from file to file.
struct State {
    number: u64,
    records: u64,
    limit: Option<u64>,
    is_stopped: bool,
    raw_bytes: u64,
}

impl State {
    fn is_over(&self) -> bool {
        self.is_stopped || self.limit.is_some_and(|limit| self.records >= limit)
    }
}

/// A file in the middle of its being cut.
struct Cut<'a> {
    input: &'a Input,
    number: i32,
    shape: &'a Shape,
    line_end: LineEnd,
    block_bytes: usize,
    rooms: &'a Rooms,
    reading: Reading,
    line: u64,
    heard: &'a Heard,
}

impl Cut<'_> {
    fn all(&mut self, done: &[Stretch], state: &mut State, take: &mut impl Taker) -> Result<()> {
        for stretch in done {
            self.gap(Some(stretch.from), state, take)?;
            if state.is_over() {
                return Ok(());
            }
            self.pass(stretch)?;
            self.line = stretch.line_until;
            state.records += stretch.records;
            if state.is_over() {
                return Ok(());
            }
        }
        self.gap(None, state, take)
    }

    /// Cuts from here on, up to a place where a record has ended before, or to the end of the file.
    fn gap(&mut self, until: Option<u64>, state: &mut State, take: &mut impl Taker) -> Result<()> {
        let mut splitter = Splitter::new(&self.shape.dialect, self.line_end);
        let mut bytes = self.rooms.take();
        let (mut piece, mut before) = (vec![0; PIECE_BYTES], Counts::default());
        while until != Some(self.reading.at) && !state.is_over() {
            let room = until.map_or(u64::MAX, |until| until - self.reading.at).min(PIECE_BYTES as u64);
            let read = self.reading.read(&mut piece[..room as usize])?;
            (self.heard)(state.raw_bytes + self.reading.stream.raw_position());
            if read == 0 {
                break;
            }
            let mut rest = &piece[..read];
            while !rest.is_empty() && !state.is_over() {
                let least = match state.limit {
                    // Record by record, for the last one that is wanted has to be found.
                    Some(_) => 1,
                    None => self.block_bytes.saturating_sub(bytes.len()).max(1),
                };
                let end = splitter.find_end(rest, least);
                let (taken, left) = rest.split_at(end.unwrap_or(rest.len()));
                bytes.extend_from_slice(taken);
                rest = left;
                let now = Counts::of(&splitter);
                let is_enough = bytes.len() >= self.block_bytes
                    || state.limit.is_some_and(|limit| state.records + now.since(&before).records >= limit);
                if end.is_some() && is_enough {
                    let behind = self.reading.at - rest.len() as u64;
                    let block = std::mem::replace(&mut bytes, self.rooms.take());
                    self.hand_out(block, behind, now.since(&before), state, take);
                    before = now;
                }
            }
            self.reading.unread(rest.len());
            if bytes.len() > self.block_bytes.saturating_add(MAX_RECORD_BYTES) {
                return Err(self.endless());
            }
        }
        if state.is_over() {
            return Ok(());
        }
        if until.is_some() && (until != Some(self.reading.at) || !splitter.is_between_records()) {
            return Err(self.changed());
        }
        if !bytes.is_empty() {
            let mut counts = Counts::of(&splitter).since(&before);
            counts.records += u64::from(!splitter.is_between_records());
            self.hand_out(bytes, self.reading.at, counts, state, take);
        }
        Ok(())
    }

    fn hand_out(&mut self, bytes: Room, until: u64, counts: Counts, state: &mut State, take: &mut impl Taker) {
        let line = self.line;
        self.line += counts.lines;
        state.records += counts.records;
        let stretch = Stretch {
            file: self.number,
            from: until - bytes.len() as u64,
            until,
            line_until: self.line,
            hash: String::new(),
            records: counts.records,
        };
        let block = Block { number: state.number, stretch, line, line_end: self.line_end, bytes };
        state.number += 1;
        state.is_stopped = !take(block);
    }

    /// Goes on behind a block that is in.
    fn pass(&mut self, stretch: &Stretch) -> Result<()> {
        if self.input.is_seekable() {
            let stream = self.input.open(stretch.until)?;
            self.reading = Reading { stream, buffered: Vec::new(), taken: 0, at: stretch.until };
            return Ok(());
        }
        let mut hasher = Xxh3::new();
        let mut piece = vec![0; PIECE_BYTES];
        while self.reading.at < stretch.until {
            let room = (stretch.until - self.reading.at).min(PIECE_BYTES as u64) as usize;
            match self.reading.read(&mut piece[..room])? {
                0 => return Err(self.changed()),
                read => hasher.update(&piece[..read]),
            }
        }
        match format!("{:032x}", hasher.digest128()) == stretch.hash {
            true => Ok(()),
            false => Err(self.changed()),
        }
    }

    fn endless(&self) -> Error {
        let place = format!("{}, from line {} on", shown(self.input.name()), self.line);
        Error::new(Kind::Input, format!("{place}: there is a record with more than 1 GiB and no end")).hint(
            "No server takes it. Check --quote and --escape: a quote that is not closed takes everything behind it.",
        )
    }

    fn changed(&self) -> Error {
        Error::refused(format!("{} is not what it was when it was read before", shown(self.input.name())))
            .hint("Give the same contents to go on, or another --import-id to import these.")
    }
}

/// Records and lines that have ended.
#[derive(Clone, Copy, Default)]
struct Counts {
    records: u64,
    lines: u64,
}

impl Counts {
    fn of(splitter: &Splitter) -> Counts {
        Counts { records: splitter.records(), lines: splitter.lines() }
    }

    fn since(&self, before: &Counts) -> Counts {
        Counts { records: self.records - before.records, lines: self.lines - before.lines }
    }
}

/// Decompressed bytes from a place on; those that were read for the file's beginning come first.
struct Reading {
    stream: Stream,
    buffered: Vec<u8>,
    taken: usize,
    /// The next byte's place in the file.
    at: u64,
}

impl Reading {
    fn new(opened: Opened, from: u64) -> Result<Reading> {
        Ok(Reading { stream: opened.stream, buffered: opened.head, taken: from as usize, at: from })
    }

    /// Nothing is read at the end of the file alone.
    fn read(&mut self, piece: &mut [u8]) -> Result<usize> {
        let left = &self.buffered[self.taken..];
        let read = match left.is_empty() {
            true => self.stream.read(piece)?,
            false => {
                let length = left.len().min(piece.len());
                piece[..length].copy_from_slice(&left[..length]);
                self.taken += length;
                length
            }
        };
        self.at += read as u64;
        Ok(read)
    }

    /// Where nothing more is wanted of what was read last.
    fn unread(&mut self, bytes: usize) {
        self.at -= bytes as u64;
    }
}

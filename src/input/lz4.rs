//! The frame format of lz4, over a crate that decompresses blocks.
//!
//! Frames follow one another: a header, blocks, an end mark, and a checksum where the header promises one. Between two
//! frames, and nowhere else, the file may end.
//!
//! **Invariant:** memory is bounded by the largest block the format allows, 4 MiB, whatever the bytes are.

use std::io::{self, ErrorKind, Read};

use lz4_flex::block::decompress_into_with_dict;
use xxhash_rust::xxh32::{Xxh32, xxh32};

use super::codec::is_skippable;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// How far back a block may refer to blocks before it.
const HISTORY_BYTES: usize = 64 << 10;
/// Set in the length of a block that is not compressed.
const UNCOMPRESSED: u32 = 1 << 31;

/// A reader of decompressed bytes.
pub(super) struct Lz4<R> {
    reader: R,
    /// `None` between two frames.
    frame: Option<Frame>,
    /// A block as it lies in the file.
    block: Vec<u8>,
    /// What was decompressed last, behind as much of the bytes before it as blocks may refer to.
    window: Vec<u8>,
    /// The part of the window that nobody has read yet.
    unread: std::ops::Range<usize>,
}

/// What the header of a frame says.
struct Frame {
    max_block_bytes: usize,
    has_linked_blocks: bool,
    has_block_checksums: bool,
    /// Bytes that are still to come, where the header knows.
    left: Option<u64>,
    /// Over the contents so far, where it is promised at the end.
    checksum: Option<Xxh32>,
}

impl<R: Read> Lz4<R> {
    pub(super) fn new(reader: R) -> Self {
        Lz4 { reader, frame: None, block: Vec::new(), window: Vec::new(), unread: 0..0 }
    }

    pub(super) fn get_ref(&self) -> &R {
        &self.reader
    }

    /// Reads what comes next, a header or a block; `false` at the end of the file.
    fn advance(&mut self) -> io::Result<bool> {
        match self.frame.take() {
            None => self.begin_frame(),
            Some(frame) => self.read_block(frame).map(|()| true),
        }
    }

    fn begin_frame(&mut self) -> io::Result<bool> {
        let Some(magic) = self.read_magic()? else { return Ok(false) };
        match magic {
            MAGIC => {
                let frame = Frame::read(&mut self.reader)?;
                self.window.resize(HISTORY_BYTES + frame.max_block_bytes, 0);
                self.unread = 0..0;
                self.frame = Some(frame);
            }
            _ if is_skippable(&magic) => self.skip_frame()?,
            _ => return Err(invalid("no frame begins where one has ended")),
        }
        Ok(true)
    }

    fn read_magic(&mut self) -> io::Result<Option<[u8; 4]>> {
        let mut magic = [0; 4];
        match self.reader.read(&mut magic)? {
            0 => Ok(None),
            length => self.reader.read_exact(&mut magic[length..]).map(|()| Some(magic)),
        }
    }

    fn skip_frame(&mut self) -> io::Result<()> {
        let length = u64::from(read_u32(&mut self.reader)?);
        match io::copy(&mut self.reader.by_ref().take(length), &mut io::sink())? {
            skipped if skipped == length => Ok(()),
            _ => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    fn read_block(&mut self, mut frame: Frame) -> io::Result<()> {
        let length = read_u32(&mut self.reader)?;
        if length == 0 {
            return frame.end(&mut self.reader);
        }
        self.read_block_bytes((length & !UNCOMPRESSED) as usize, &frame)?;
        self.decompress(length & UNCOMPRESSED != 0, &frame)?;
        frame.note(&self.window[self.unread.clone()])?;
        self.frame = Some(frame);
        Ok(())
    }

    fn read_block_bytes(&mut self, length: usize, frame: &Frame) -> io::Result<()> {
        if length > frame.max_block_bytes {
            return Err(invalid("a block is larger than its frame allows"));
        }
        self.block.resize(length, 0);
        self.reader.read_exact(&mut self.block)?;
        if frame.has_block_checksums && read_u32(&mut self.reader)? != xxh32(&self.block, 0) {
            return Err(invalid("the checksum of a block differs"));
        }
        Ok(())
    }

    fn decompress(&mut self, is_plain: bool, frame: &Frame) -> io::Result<()> {
        let history = self.keep_history(frame);
        let (before, rest) = self.window.split_at_mut(history);
        let output = &mut rest[..frame.max_block_bytes];
        let length = match is_plain {
            true => {
                output[..self.block.len()].copy_from_slice(&self.block);
                self.block.len()
            }
            false => decompress_into_with_dict(&self.block, output, before)
                .map_err(|_| invalid("a block cannot be decompressed"))?,
        };
        self.unread = history..history + length;
        Ok(())
    }

    /// Moves what the next block may refer to to the window's beginning, and answers its length.
    fn keep_history(&mut self, frame: &Frame) -> usize {
        if !frame.has_linked_blocks {
            return 0;
        }
        let end = self.unread.end;
        let begin = end.saturating_sub(HISTORY_BYTES);
        self.window.copy_within(begin..end, 0);
        end - begin
    }
}

impl<R: Read> Read for Lz4<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.unread.is_empty() {
            if !self.advance()? {
                return Ok(0);
            }
        }
        let length = buffer.len().min(self.unread.len());
        buffer[..length].copy_from_slice(&self.window[self.unread.start..][..length]);
        self.unread.start += length;
        Ok(length)
    }
}

impl Frame {
    /// Reads the header behind the magic number.
    fn read(reader: &mut impl Read) -> io::Result<Frame> {
        let mut descriptor = [0; 10];
        reader.read_exact(&mut descriptor[..2])?;
        let [flags, block_size, ..] = descriptor;
        if flags >> 6 != 1 || flags & 0b10 != 0 || block_size & 0x8f != 0 {
            return Err(invalid("the header of a frame is of another version"));
        }
        if flags & 1 != 0 {
            return Err(invalid("a frame needs a dictionary"));
        }
        let length = if flags & 0b1000 != 0 { 10 } else { 2 };
        reader.read_exact(&mut descriptor[2..length])?;
        let mut checksum = [0];
        reader.read_exact(&mut checksum)?;
        if checksum[0] != (xxh32(&descriptor[..length], 0) >> 8) as u8 {
            return Err(invalid("the checksum of a frame's header differs"));
        }
        let size = descriptor[2..].iter().rev().fold(0, |size, byte| size << 8 | u64::from(*byte));
        Ok(Frame {
            max_block_bytes: max_block_bytes(block_size)?,
            has_linked_blocks: flags & 0b10_0000 == 0,
            has_block_checksums: flags & 0b1_0000 != 0,
            left: (length == 10).then_some(size),
            checksum: (flags & 0b100 != 0).then(|| Xxh32::new(0)),
        })
    }

    /// Takes a block's contents into account.
    fn note(&mut self, contents: &[u8]) -> io::Result<()> {
        if let Some(checksum) = &mut self.checksum {
            checksum.update(contents);
        }
        if let Some(left) = &mut self.left {
            let more = contents.len() as u64;
            *left = left.checked_sub(more).ok_or_else(|| invalid("a frame is longer than its header says"))?;
        }
        Ok(())
    }

    /// Compares what the frame held with what it has promised.
    fn end(self, reader: &mut impl Read) -> io::Result<()> {
        if self.left.is_some_and(|left| left > 0) {
            return Err(invalid("a frame is shorter than its header says"));
        }
        match self.checksum {
            Some(checksum) if read_u32(reader)? != checksum.digest() => Err(invalid("the checksum of a frame differs")),
            _ => Ok(()),
        }
    }
}

/// Of the header's second byte.
fn max_block_bytes(block_size: u8) -> io::Result<usize> {
    match block_size >> 4 {
        code @ 4..=7 => Ok(1 << (8 + 2 * code)),
        _ => Err(invalid("a frame has blocks of an unknown size")),
    }
}

fn read_u32(reader: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    reader.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    use proptest::prelude::*;

    use super::*;

    fn encode(info: FrameInfo, contents: &[u8]) -> Vec<u8> {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(contents).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut contents = Vec::new();
        Lz4::new(bytes).read_to_end(&mut contents).map(|_| contents)
    }

    /// Frames of every block size, linked or not, with every checksum or none, one after the other.
    fn frames(contents: &[u8]) -> Vec<u8> {
        let sizes = [BlockSize::Max64KB, BlockSize::Max4MB, BlockSize::Max256KB, BlockSize::Max1MB];
        let modes = [BlockMode::Linked, BlockMode::Independent];
        let each = sizes.into_iter().flat_map(|size| modes.map(|mode| (size, mode)));
        let encoded = each.enumerate().map(|(i, (size, mode))| {
            let info = FrameInfo::new()
                .block_size(size)
                .block_mode(mode)
                .content_size((i % 3 == 0).then_some(contents.len() as u64))
                .block_checksums(i % 2 == 0)
                .content_checksum(i % 4 < 2);
            encode(info, contents)
        });
        encoded.flatten().collect()
    }

    #[test]
    fn frames_of_every_kind_are_one_stream() {
        let contents: Vec<u8> =
            (0..200_000u32).flat_map(|i| format!("{},{}\n", i % 977, i * 31).into_bytes()).collect();
        assert!(decode(&frames(&contents)).unwrap() == contents.repeat(8));
        assert_eq!(decode(&frames(b"")).unwrap(), b"");
    }

    #[test]
    fn skippable_frames_are_passed_over() {
        let frame = encode(FrameInfo::new(), b"a,b\n");
        let skippable = b"\x5a\x2a\x4d\x18\x03\x00\x00\x00xyz";
        let bytes = [&skippable[..], &frame, skippable, &frame].concat();
        assert_eq!(decode(&bytes).unwrap(), b"a,b\na,b\n");
        for cut in 1..skippable.len() {
            assert_eq!(decode(&skippable[..cut]).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn a_frame_that_says_another_size_than_it_has_is_an_error() {
        for size in [3, 5] {
            let mut frame = encode(FrameInfo::new().content_size(Some(4)), b"a,b\n");
            frame[6] = size;
            frame[14] = (xxh32(&frame[4..14], 0) >> 8) as u8;
            assert_eq!(decode(&frame).unwrap_err().kind(), ErrorKind::InvalidData);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_behind_a_header_are_contents_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for flags in [0x40, 0x60] {
                let mut frame = [&MAGIC[..], &[flags, 0x40]].concat();
                frame.push((xxh32(&frame[4..], 0) >> 8) as u8);
                frame.extend(&bytes);
                let _ = decode(&frame);
            }
        }
    }
}

//! Decompression of everything that a file holds.
//!
//! **Invariant:** the end of the compressed bytes is the end of the contents only between two members or frames;
//! elsewhere it is [`io::ErrorKind::UnexpectedEof`].

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use zstd::stream::read::Decoder as Zstd;

use super::Codec;
use super::lz4::Lz4;
use super::raw::Raw;

/// How much is read of a compressed file at once.
const BUFFER_BYTES: usize = 256 << 10;
/// What zstd(1) takes without being told more, as a power of two: 128 MiB.
pub(super) const MAX_WINDOW_LOG: u32 = 27;
/// What libzstd says of a frame that needs more; it has no other way through the binding.
const WINDOW_TOO_LARGE: &str = "Frame requires too much memory for decoding";

/// A reader of decompressed bytes.
pub(super) enum Decoder {
    None(Raw),
    Gzip(Box<MultiGzDecoder<BufReader<Raw>>>),
    Zstd(Box<Zstd<'static, BufReader<Raw>>>),
    Lz4(Box<Lz4<BufReader<Raw>>>),
}

impl Decoder {
    /// # Errors
    /// Where there is no memory for it.
    pub(super) fn new(codec: Codec, raw: Raw) -> io::Result<Decoder> {
        let buffered = |raw| BufReader::with_capacity(BUFFER_BYTES, raw);
        Ok(match codec {
            Codec::None => Decoder::None(raw),
            Codec::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(buffered(raw)))),
            Codec::Zstd => {
                let mut decoder = Zstd::with_buffer(buffered(raw))?;
                decoder.window_log_max(MAX_WINDOW_LOG)?;
                Decoder::Zstd(Box::new(decoder))
            }
            Codec::Lz4 => Decoder::Lz4(Box::new(Lz4::new(buffered(raw)))),
        })
    }

    pub(super) fn raw(&self) -> &Raw {
        match self {
            Decoder::None(raw) => raw,
            Decoder::Gzip(decoder) => decoder.get_ref().get_ref(),
            Decoder::Zstd(decoder) => decoder.get_ref().get_ref(),
            Decoder::Lz4(decoder) => decoder.get_ref().get_ref(),
        }
    }
}

impl Read for Decoder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Decoder::None(raw) => raw.read(buffer),
            Decoder::Gzip(decoder) => decoder.read(buffer),
            Decoder::Zstd(decoder) => decoder.read(buffer),
            Decoder::Lz4(decoder) => decoder.read(buffer),
        }
    }
}

/// Whether a decoder has failed because it would have needed more memory than it may have.
pub(super) fn is_window_too_large(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|cause| cause.to_string() == WINDOW_TOO_LARGE)
}

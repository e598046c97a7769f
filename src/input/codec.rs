//! How a file is compressed, told by its first bytes.
//!
//! **Invariant:** pure; a name never decides, except where one byte is all there is.

use serde::Serialize;

use crate::error::{Error, Kind, Result};

/// As many bytes as the longest magic number has.
pub(super) const HEAD_BYTES: usize = 10;

const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
const LZ4: &[u8] = b"\x04\x22\x4d\x18";

/// What is no CSV and cannot be read, by its magic number, with the program that can read it.
const FOREIGN: [(&[u8], &str, &str); 4] = [
    (b"\xfd7zXZ\0", "xz", "xz -dc"),
    (b"BZh91AY&SY", "bzip2", "bzip2 -dc"),
    (b"PK\x03\x04", "zip", "unzip -p"),
    (b"\x02\x21\x4c\x18", "legacy lz4", "lz4 -dc"),
];

/// A format of compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Not compressed.
    None,
    /// gzip(1): any number of members.
    Gzip,
    /// zstd(1): any number of frames, skippable ones among them.
    Zstd,
    /// lz4(1): any number of frames, skippable ones among them.
    Lz4,
}

impl Codec {
    /// The program that writes it, which is its name; empty where nothing is compressed.
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "",
            Codec::Gzip => "gzip",
            Codec::Zstd => "zstd",
            Codec::Lz4 => "lz4",
        }
    }

    /// Of a file that begins with `head`: [`HEAD_BYTES`] of them, or all it has. A file that ends within a magic number
    /// was cut there. A file that begins with a skippable frame is taken for zstd's.
    ///
    /// # Errors
    /// [`Kind::Input`] for compressed formats that are not read.
    pub(super) fn of(name: &str, head: &[u8]) -> Result<Codec> {
        if let Some((_, format, program)) = FOREIGN.iter().find(|(magic, ..)| head.starts_with(magic)) {
            return Err(Error::new(Kind::Input, format!("\"{name}\" is in {format} format, which is not read"))
                .hint(format!("Decompress it into a pipe: {program} {name} | hypercopy import … -")));
        }
        let begins = |magic: &[u8]| head.starts_with(magic) || (!head.is_empty() && magic.starts_with(head));
        Ok(match head {
            // The only beginning of a magic number that may be a row.
            b"(" if !name.ends_with(".zst") => Codec::None,
            _ if begins(GZIP) => Codec::Gzip,
            _ if begins(ZSTD) || is_skippable(head) => Codec::Zstd,
            _ if begins(LZ4) => Codec::Lz4,
            _ => Codec::None,
        })
    }
}

/// Whether a frame begins here whose contents are to be passed over; zstd and lz4 have them in common.
pub(super) fn is_skippable(head: &[u8]) -> bool {
    matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codec(head: &[u8]) -> Codec {
        Codec::of("a", head).unwrap()
    }

    #[test]
    fn the_first_bytes_tell_the_codec() {
        assert_eq!(codec(b"\x1f\x8b\x08\0\0\0\0\0\0\0"), Codec::Gzip);
        assert_eq!(codec(b"\x28\xb5\x2f\xfd\x24\x00"), Codec::Zstd);
        assert_eq!(codec(b"\x5f\x2a\x4d\x18\x00\x00\x00\x00"), Codec::Zstd);
        assert_eq!(codec(b"\x04\x22\x4d\x18"), Codec::Lz4);
        assert_eq!(codec(b""), Codec::None);
        assert_eq!(codec(b"time,value"), Codec::None);
    }

    #[test]
    fn a_magic_number_that_is_cut_is_no_row() {
        for magic in [GZIP, ZSTD, LZ4] {
            for length in 1..magic.len() {
                let name = if length == 1 { "a.zst" } else { "a" };
                assert_ne!(Codec::of(name, &magic[..length]).unwrap(), Codec::None, "{:?}", &magic[..length]);
            }
        }
        assert_eq!(codec(b"("), Codec::None);
        assert_eq!(codec(b"(a)"), Codec::None);
        assert_eq!(codec(b"P*M"), Codec::None);
    }

    #[test]
    fn formats_that_are_not_read_are_refused_by_name() {
        let error = Codec::of("a.xz", b"\xfd7zXZ\0\0\x04\xe6\xd6").unwrap_err();
        assert_eq!(error.message(), "\"a.xz\" is in xz format, which is not read");
        assert_eq!(error.kind(), Kind::Input);
        assert!(FOREIGN.iter().all(|(magic, ..)| magic.len() <= HEAD_BYTES));
    }
}

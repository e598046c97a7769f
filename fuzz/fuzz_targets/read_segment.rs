//! Whatever bytes a segment's file has, its reader hands out no more than the manifest says, ends without an error only
//! where all of it is as the manifest says, and never panics. `cargo +nightly fuzz run read_segment`
#![no_main]

use std::sync::LazyLock;

use hypercopy::archive::{Compression, Directory, Segment, SegmentReader};
use hypercopy::pgcopy::Checksum;
use hypercopy::plan::Range;
use libfuzzer_sys::{arbitrary, fuzz_target};

#[derive(Debug, arbitrary::Arbitrary)]
struct Input {
    file: Vec<u8>,
    bytes: u32,
    is_compressed: bool,
    /// Whether the manifest knows the file's hash, as that of somebody who has forged both.
    is_forged: bool,
}

static DIRECTORY: LazyLock<Directory> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("hypercopy-fuzz-{}", std::process::id()));
    Directory::create(&path).expect("the directory can be made")
});

fuzz_target!(|input: Input| {
    std::fs::write(DIRECTORY.path().join("segment"), &input.file).expect("the file can be written");
    let hash = if input.is_forged { blake3::hash(&input.file) } else { blake3::hash(b"") };
    let segment = Segment {
        file: "segment".into(),
        range: Range::ALL,
        rows: 0,
        extents: None,
        bytes: input.bytes.into(),
        file_bytes: input.file.len() as u64,
        checksum: Checksum::default(),
        blake3: hash.to_hex().to_string(),
        reused: false,
    };
    let compression = if input.is_compressed { Compression::DEFAULT } else { Compression::None };
    let mut reader = SegmentReader::open(&DIRECTORY, &segment, compression).expect("the file is there");
    let mut read = 0;
    loop {
        match reader.next() {
            Ok(Some(piece)) => read += piece.len() as u64,
            Ok(None) => {
                assert!(read == segment.bytes && (input.is_forged || input.file.is_empty()));
                break;
            }
            Err(_) => break,
        }
        assert!(read <= segment.bytes);
    }
});

//! However a stream is cut, the scanners find the same rows and the same defects; no bytes make them, the dimension
//! readers or the checksum panic. `cargo +nightly fuzz run scan_rows`
#![no_main]

use hypercopy::pgcopy::binary::{self, HEADER, TRAILER};
use hypercopy::pgcopy::{Canon, HashType, Malformed, RowHasher, TimeType, text};
use libfuzzer_sys::{arbitrary, fuzz_target};

const COLUMNS: u16 = 3;
/// Small, so that the limit is met.
const MAX_BYTES: usize = 200;

#[derive(Debug, arbitrary::Arbitrary)]
struct Input {
    stream: Stream,
    /// Sizes of the pieces; what is left over is the last one.
    sizes: Vec<u8>,
}

#[derive(Debug, arbitrary::Arbitrary)]
enum Stream {
    Bytes(Vec<u8>),
    /// These bytes behind a header.
    AfterHeader(Vec<u8>),
    /// Well-formed rows.
    Rows(Vec<[Option<Vec<u8>>; COLUMNS as usize]>),
}

impl Stream {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Stream::Bytes(bytes) => bytes.clone(),
            Stream::AfterHeader(bytes) => [&HEADER[..], bytes].concat(),
            Stream::Rows(rows) => {
                [&HEADER[..], &rows.iter().flat_map(encode).collect::<Vec<_>>(), &TRAILER[..]].concat()
            }
        }
    }
}

fn encode(row: &[Option<Vec<u8>>; COLUMNS as usize]) -> Vec<u8> {
    let mut out = (COLUMNS as i16).to_be_bytes().to_vec();
    for field in row {
        out.extend(field.as_ref().map_or(-1, |bytes| bytes.len() as i32).to_be_bytes());
        out.extend(field.iter().flatten());
    }
    out
}

fuzz_target!(|input: Input| {
    let stream = input.stream.bytes();
    let pieces = cut(&stream, &input.sizes);
    assert_eq!(scan_binary(&pieces), scan_binary(&[&stream]));
    assert_eq!(scan_text(&pieces), scan_text(&[&stream]));
});

fn cut<'a>(mut rest: &'a [u8], sizes: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for &size in sizes {
        let (piece, tail) = rest.split_at(rest.len().min(size.into()));
        pieces.push(piece);
        rest = tail;
    }
    pieces.push(rest);
    pieces
}

/// The rows, and how the stream ended.
type Scan = (Vec<Vec<u8>>, Result<u64, Malformed>);

fn scan_binary(pieces: &[&[u8]]) -> Scan {
    let (mut scanner, mut found) = (binary::Scanner::new(COLUMNS, MAX_BYTES), Vec::new());
    let mut hashers = hashers();
    for piece in pieces {
        let mut rows = scanner.rows(piece);
        loop {
            match rows.next_row() {
                Ok(Some(row)) => {
                    look_at(&row, &mut hashers);
                    found.push(row.bytes().to_vec());
                }
                Ok(None) => break,
                Err(malformed) => return (found, Err(malformed)),
            }
        }
    }
    (found, scanner.finish())
}

fn scan_text(pieces: &[&[u8]]) -> Scan {
    let (mut scanner, mut found) = (text::Scanner::new(MAX_BYTES), Vec::new());
    for piece in pieces {
        let mut rows = scanner.rows(piece);
        loop {
            match rows.next_row() {
                Ok(Some(row)) => found.push(row.bytes().to_vec()),
                Ok(None) => break,
                Err(malformed) => return (found, Err(malformed)),
            }
        }
    }
    (found, scanner.finish())
}

fn hashers() -> [RowHasher; 2] {
    let array = |element| Canon::Array(Box::new(element));
    let composite = Canon::Composite(vec![Canon::Float8, array(Canon::Raw)]);
    let multirange = Canon::Multirange(Box::new(Canon::Float8));
    [
        RowHasher::new(vec![array(composite), Canon::Range(Box::new(Canon::Float4)), multirange]),
        RowHasher::new(vec![Canon::Float4, Canon::Raw, Canon::Float8]),
    ]
}

fn look_at(row: &binary::Row<'_>, hashers: &mut [RowHasher]) {
    assert_eq!(row.fields().count(), usize::from(COLUMNS));
    for hasher in hashers {
        let _ = hasher.hash(row);
    }
    for field in row.fields() {
        for kind in [HashType::Text, HashType::Bpchar, HashType::Int8, HashType::Float4, HashType::Uuid] {
            assert!(kind.partition_hash(field).is_none_or(|hash| hash < 1 << 31));
        }
        for kind in [TimeType::Timestamptz, TimeType::Timestamp, TimeType::Date, TimeType::Int8] {
            field.and_then(|field| kind.internal(field)).map(|internal| kind.literal(internal));
        }
    }
}

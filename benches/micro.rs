//! What a row costs on its way through the client, without any I/O: `cargo bench --bench micro`.
//!
//! The rows are those of a typical metrics table: timestamptz, int4, a short text and ten float8, 154 bytes. Every
//! bench asserts how many rows it saw, or what it made of them, so a fast wrong answer fails.

use std::hint::black_box;

use bytes::{BufMut, Bytes, BytesMut};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use hypercopy::csv::{Dialect, LineEnd, Parser, Splitter};
use hypercopy::ledger::Stretch;
use hypercopy::pgcopy::binary::{HEADER, Row, Scanner, TRAILER};
use hypercopy::pgcopy::encode::Encoder;
use hypercopy::pgcopy::{Canon, Checksum, Format, HashType, MAX_RECORD_BYTES, RowHash, RowHasher, TimeType, text};
use hypercopy::reader::csv::block::Block;
use hypercopy::reader::csv::cut::Cutter;
use hypercopy::reader::csv::rows::Records;

const ROWS: u64 = 10_000;
const FLOATS: usize = 10;
const COLUMNS: u16 = 3 + FLOATS as u16;
const PIECE_BYTES: usize = 64 << 10;
const BATCH_BYTES: usize = 256 << 10;
/// 2025-01-01 in µs since 2000, and in µs since 1970.
const EPOCH_US: i64 = 789_004_800_000_000;
const UNIX_EPOCH_US: i64 = 1_735_689_600_000_000;

fn main() {
    divan::main();
}

/// The pieces of a stream: header with the first row, one row each, trailer alone, as a server sends them.
fn row_pieces() -> Vec<Bytes> {
    let mut pieces: Vec<Bytes> = (0..ROWS).map(|i| if i == 0 { row(i, &HEADER) } else { row(i, &[]) }).collect();
    pieces.push(Bytes::from_static(&TRAILER));
    pieces
}

fn row(i: u64, before: &[u8]) -> Bytes {
    let mut out = BytesMut::from(before);
    out.put_i16(COLUMNS as i16);
    put_field(&mut out, &(EPOCH_US + 1_000_000 * i as i64).to_be_bytes());
    put_field(&mut out, &(i as i32 % 1000).to_be_bytes());
    put_field(&mut out, format!("device{:02}", i % 100).as_bytes());
    for column in 0..FLOATS {
        put_field(&mut out, &float(i, column).to_be_bytes());
    }
    out.freeze()
}

/// Up to 100, with all the digits that a float8 has.
fn float(i: u64, column: usize) -> f64 {
    let random = (i * FLOATS as u64 + column as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (random >> 11) as f64 / (1u64 << 53) as f64 * 100.0
}

fn put_field(out: &mut BytesMut, field: &[u8]) {
    out.put_i32(field.len() as i32);
    out.put_slice(field);
}

/// The same stream in pieces that are cut in the middle of rows.
fn block_pieces() -> Vec<Bytes> {
    let stream = Bytes::from(row_pieces().concat());
    (0..stream.len()).step_by(PIECE_BYTES).map(|at| stream.slice(at..stream.len().min(at + PIECE_BYTES))).collect()
}

fn text_pieces() -> Vec<Bytes> {
    let line = |i| format!("2025-01-01 00:00:{:02}+00\t{i}\tdevice{:02}\t{}\n", i % 60, i % 100, i as f64 * 0.1);
    (0..ROWS).map(|i| Bytes::from(line(i))).collect()
}

fn each_row(pieces: &[Bytes], mut look: impl FnMut(Row<'_>)) {
    let mut scanner = Scanner::new(COLUMNS, MAX_RECORD_BYTES);
    for piece in pieces {
        let mut rows = scanner.rows(piece);
        while let Some(row) = rows.next_row().expect("well-formed") {
            look(row);
        }
    }
    assert_eq!(scanner.finish(), Ok(ROWS));
}

/// Runs `look` over every row of the stream, counting rows and bytes.
fn bench_rows(bencher: Bencher<'_, '_>, pieces: Vec<Bytes>, mut look: impl FnMut(Row<'_>)) {
    let bytes: usize = pieces.iter().map(Bytes::len).sum();
    bencher
        .counter(ItemsCount::new(ROWS))
        .counter(BytesCount::new(bytes))
        .bench_local(|| each_row(black_box(&pieces), &mut look));
}

#[divan::bench]
fn scan_one_row_pieces(bencher: Bencher<'_, '_>) {
    bench_rows(bencher, row_pieces(), |row| {
        black_box(row.bytes());
    });
}

#[divan::bench]
fn scan_64k_pieces(bencher: Bencher<'_, '_>) {
    bench_rows(bencher, block_pieces(), |row| {
        black_box(row.bytes());
    });
}

/// The worst case for the scanner: half of the fields are NULL, at random, so no branch can be predicted.
#[divan::bench]
fn scan_random_nulls(bencher: Bencher<'_, '_>) {
    let mut random = 1u64;
    let mut stream = BytesMut::from(&HEADER[..]);
    for _ in 0..ROWS {
        stream.put_i16(COLUMNS as i16);
        for _ in 0..COLUMNS {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if random >> 63 == 0 { stream.put_i32(-1) } else { put_field(&mut stream, &random.to_be_bytes()) }
        }
    }
    stream.put_slice(&TRAILER);
    bench_rows(bencher, vec![stream.freeze()], |row| {
        black_box(row.bytes());
    });
}

#[divan::bench]
fn scan_and_coalesce_one_row_pieces(bencher: Bencher<'_, '_>) {
    let mut batch = BytesMut::with_capacity(BATCH_BYTES);
    bench_rows(bencher, row_pieces(), |row| {
        if batch.len() + row.bytes().len() > BATCH_BYTES {
            black_box(&batch);
            batch.clear();
        }
        batch.extend_from_slice(row.bytes());
    });
}

#[divan::bench]
fn scan_and_read_all_fields(bencher: Bencher<'_, '_>) {
    bench_rows(bencher, row_pieces(), |row| {
        let fields = row.fields().map(|field| field.map_or(0, <[u8]>::len)).sum::<usize>();
        assert_eq!(black_box(fields) + 2 + 4 * usize::from(COLUMNS), row.bytes().len());
    });
}

#[divan::bench]
fn scan_and_read_dimensions(bencher: Bencher<'_, '_>) {
    bench_rows(bencher, row_pieces(), |row| {
        let time = row.field(0).and_then(|field| TimeType::Timestamptz.internal(field));
        let space = HashType::Text.partition_hash(row.field(2));
        assert!(black_box(time).is_some() & black_box(space).is_some());
    });
}

fn bench_checksum(bencher: Bencher<'_, '_>, columns: Vec<Canon>) {
    let bytes = row_pieces().iter().map(Bytes::len).sum::<usize>();
    let pieces = row_pieces();
    bencher.counter(ItemsCount::new(ROWS)).counter(BytesCount::new(bytes)).bench_local(|| {
        let (mut hasher, mut checksum) = (RowHasher::new(columns.clone()), Checksum::default());
        each_row(black_box(&pieces), |row| checksum.add_row(hasher.hash(&row).expect("well-formed")));
        assert_eq!(checksum.rows, ROWS);
        checksum
    });
}

#[divan::bench]
fn scan_and_checksum_raw(bencher: Bencher<'_, '_>) {
    bench_checksum(bencher, vec![Canon::Raw; usize::from(COLUMNS)]);
}

#[divan::bench]
fn scan_and_checksum_two_floats(bencher: Bencher<'_, '_>) {
    let mut columns = vec![Canon::Raw; usize::from(COLUMNS)];
    columns[3..5].fill(Canon::Float8);
    bench_checksum(bencher, columns);
}

#[divan::bench]
fn scan_and_checksum_ten_floats(bencher: Bencher<'_, '_>) {
    let mut columns = vec![Canon::Raw; usize::from(COLUMNS)];
    columns[3..].fill(Canon::Float8);
    bench_checksum(bencher, columns);
}

#[divan::bench]
fn scan_and_checksum_text(bencher: Bencher<'_, '_>) {
    let pieces = text_pieces();
    let bytes = pieces.iter().map(Bytes::len).sum::<usize>();
    bencher.counter(ItemsCount::new(ROWS)).counter(BytesCount::new(bytes)).bench_local(|| {
        let (mut scanner, mut checksum) = (text::Scanner::new(MAX_RECORD_BYTES), Checksum::default());
        for piece in black_box(&pieces) {
            let mut rows = scanner.rows(piece);
            while let Some(row) = rows.next_row().expect("well-formed") {
                checksum.add_row(RowHash::of_line(row.line()));
            }
        }
        assert_eq!((scanner.finish(), checksum.rows), (Ok(ROWS), ROWS));
        checksum
    });
}

/// The same rows as the texts of their values, the columns' encoders with them.
fn row_texts() -> (Vec<Vec<String>>, Vec<Encoder>) {
    let row = |i: u64| {
        let time = TimeType::Timestamptz.literal(UNIX_EPOCH_US + 1_000_000 * i as i64);
        let floats = (0..FLOATS).map(|column| float(i, column).to_string());
        [time, (i % 1000).to_string(), format!("device{:02}", i % 100)].into_iter().chain(floats).collect()
    };
    let mut encoders = vec![Encoder::Timestamptz { utc: false }, Encoder::Int4, Encoder::Text];
    encoders.resize(COLUMNS.into(), Encoder::Float8);
    ((0..ROWS).map(row).collect(), encoders)
}

/// The throughput is that of the row as CSV, with a separator behind each value.
#[divan::bench]
fn encode_rows(bencher: Bencher<'_, '_>) {
    let (rows, encoders) = row_texts();
    let expected: Vec<u8> = (0..ROWS).flat_map(|i| row(i, &[])).collect();
    let bytes: usize = rows.iter().flatten().map(|text| text.len() + 1).sum();
    let mut out = Vec::with_capacity(expected.len());
    bencher.counter(ItemsCount::new(ROWS)).counter(BytesCount::new(bytes)).bench_local(|| {
        out.clear();
        for row in black_box(&rows) {
            out.extend_from_slice(&COLUMNS.to_be_bytes());
            let taken = encoders.iter().zip(row).all(|(encoder, text)| encoder.push(text.as_bytes(), &mut out));
            assert!(taken, "every value is in its strict form");
        }
        assert!(out == expected, "the rows are those that the server would send");
    });
}

/// The texts of ten thousand values of a type.
struct Texts {
    name: &'static str,
    encoder: Encoder,
    /// Of one field, with its length.
    field_bytes: usize,
    text: fn(u64) -> String,
}

impl std::fmt::Display for Texts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const TEXTS: [Texts; 10] = [
    Texts { name: "bool", encoder: Encoder::Bool, field_bytes: 5, text: |i| ["t", "f"][i as usize % 2].into() },
    Texts { name: "int4", encoder: Encoder::Int4, field_bytes: 8, text: |i| (i * 4711).to_string() },
    Texts { name: "int8", encoder: Encoder::Int8, field_bytes: 12, text: |i| (i * 471_108_150_000).to_string() },
    Texts { name: "float4", encoder: Encoder::Float4, field_bytes: 8, text: |i| (float(i, 0) as f32).to_string() },
    Texts { name: "float8", encoder: Encoder::Float8, field_bytes: 12, text: |i| float(i, 0).to_string() },
    Texts {
        name: "numeric",
        encoder: Encoder::Numeric,
        field_bytes: 18,
        text: |i| format!("{}.{:02}", 10_001 + i, i % 99 + 1),
    },
    Texts { name: "text", encoder: Encoder::Text, field_bytes: 12, text: |i| format!("device{:02}", i % 100) },
    Texts {
        name: "timestamptz",
        encoder: Encoder::Timestamptz { utc: false },
        field_bytes: 12,
        text: |i| TimeType::Timestamptz.literal(UNIX_EPOCH_US + 1_234_567 * i as i64),
    },
    Texts {
        name: "date",
        encoder: Encoder::Date,
        field_bytes: 8,
        text: |i| TimeType::Date.literal(UNIX_EPOCH_US + 86_400_000_000 * i as i64),
    },
    Texts {
        name: "uuid",
        encoder: Encoder::Uuid,
        field_bytes: 20,
        text: |i| format!("{i:08x}-9c0b-4ef8-bb6d-6bb9bd380a11"),
    },
];

#[divan::bench(args = &TEXTS)]
fn encode(bencher: Bencher<'_, '_>, kind: &Texts) {
    let texts: Vec<String> = (0..ROWS).map(kind.text).collect();
    let bytes: usize = texts.iter().map(String::len).sum();
    let mut out = Vec::with_capacity(ROWS as usize * kind.field_bytes);
    bencher.counter(ItemsCount::new(ROWS)).counter(BytesCount::new(bytes)).bench_local(|| {
        out.clear();
        let taken = black_box(&texts).iter().filter(|text| kind.encoder.push(text.as_bytes(), &mut out)).count();
        assert_eq!((taken, out.len()), (ROWS as usize, ROWS as usize * kind.field_bytes));
    });
}

/// Rows of the same shape as CSV, 216 bytes each; every field in quotes where `quote` is one.
fn csv_file(quote: &str) -> Vec<u8> {
    let mut random = 1u64;
    let mut fraction = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut row = |i: u64| {
        let mut fields =
            vec![format!("2025-01-01 00:00:{:02}+00", i % 60), (i % 1000).to_string(), format!("device{:02}", i % 100)];
        fields.extend((0..FLOATS).map(|_| format!("{:.15}", fraction())));
        format!("{quote}{}{quote}\n", fields.join(&format!("{quote},{quote}")))
    };
    (0..ROWS).flat_map(|i| row(i).into_bytes()).collect()
}

/// Cuts a file into blocks; answers how many records and lines they have.
fn split(file: &[u8], piece_bytes: usize, block_bytes: usize) -> (u64, u64) {
    let mut splitter = Splitter::new(&Dialect::default(), LineEnd::Newline);
    for mut piece in file.chunks(piece_bytes) {
        while let Some(len) = splitter.find_end(piece, block_bytes) {
            piece = black_box(&piece[len..]);
        }
    }
    assert!(splitter.is_between_records());
    (splitter.records(), splitter.lines())
}

fn bench_split(bencher: Bencher<'_, '_>, file: Vec<u8>, block_bytes: usize) {
    bencher
        .counter(ItemsCount::new(ROWS))
        .counter(BytesCount::new(file.len()))
        .bench_local(|| assert_eq!(split(black_box(&file), 1 << 20, block_bytes), (ROWS, ROWS)));
}

#[divan::bench]
fn split_csv(bencher: Bencher<'_, '_>) {
    bench_split(bencher, csv_file(""), BATCH_BYTES);
}

#[divan::bench]
fn split_csv_into_records(bencher: Bencher<'_, '_>) {
    bench_split(bencher, csv_file(""), 0);
}

#[divan::bench]
fn split_quoted_csv(bencher: Bencher<'_, '_>) {
    bench_split(bencher, csv_file("\""), BATCH_BYTES);
}

/// Parses a file and looks at each field.
fn bench_parse(bencher: Bencher<'_, '_>, file: Vec<u8>, value_bytes: usize) {
    let mut parser = Parser::new(&Dialect::default(), LineEnd::Newline);
    bencher.counter(ItemsCount::new(ROWS)).counter(BytesCount::new(file.len())).bench_local(|| {
        let (mut rest, mut records, mut bytes) = (black_box(&file[..]), 0, 0);
        while let Some(record) = parser.record(rest) {
            let fields = record.fields.expect("well-formed");
            assert_eq!(fields.len(), usize::from(COLUMNS));
            bytes += fields.iter().map(|field| field.map_or(0, <[u8]>::len)).sum::<usize>();
            records += 1;
            rest = &rest[record.len..];
        }
        assert_eq!((records, bytes), (ROWS, value_bytes));
    });
}

#[divan::bench]
fn escape_text_fields(bencher: Bencher<'_, '_>) {
    let (rows, _) = row_texts();
    let bytes: usize = rows.iter().flatten().map(|text| text.len() + 1).sum();
    let mut out = Vec::with_capacity(bytes);
    bencher.counter(ItemsCount::new(ROWS)).counter(BytesCount::new(bytes)).bench_local(|| {
        out.clear();
        for text in black_box(&rows).iter().flatten() {
            text::push_field(Some(text.as_bytes()), &mut out);
            out.push(b'\t');
        }
        assert_eq!(out.len(), bytes);
    });
}

#[divan::bench]
fn parse_csv(bencher: Bencher<'_, '_>) {
    let file = csv_file("");
    let value_bytes = file.len() - ROWS as usize * usize::from(COLUMNS);
    bench_parse(bencher, file, value_bytes);
}

#[divan::bench]
fn parse_quoted_csv(bencher: Bencher<'_, '_>) {
    let file = csv_file("\"");
    let value_bytes = file.len() - 3 * ROWS as usize * usize::from(COLUMNS);
    bench_parse(bencher, file, value_bytes);
}

/// The worst case for the parser: doubled quotes in each field, so that each is put together.
#[divan::bench]
fn parse_csv_with_doubled_quotes(bencher: Bencher<'_, '_>) {
    let file = csv_file("\"\"\"");
    let value_bytes = file.len() - 5 * ROWS as usize * usize::from(COLUMNS);
    bench_parse(bencher, file, value_bytes);
}

/// What an import costs on a thread that parses: fields, binary rows, and a hash of the block.
#[divan::bench]
fn parse_and_encode_csv(bencher: Bencher<'_, '_>) {
    let file = csv_file("");
    let columns = (0..COLUMNS).map(|column| format!("column{column}")).collect();
    let mut encoders = vec![Encoder::Timestamptz { utc: false }, Encoder::Int4, Encoder::Text];
    encoders.resize(COLUMNS.into(), Encoder::Float8);
    let records = Records::new(Dialect::default(), columns, Some(encoders), Vec::new(), false);
    let rooms = Cutter::rooms(file.len());
    bencher
        .counter(ItemsCount::new(ROWS))
        .counter(BytesCount::new(file.len()))
        .with_inputs(|| block(&file))
        .bench_local_values(|block| {
            let parsed = records.parse(block, None, &rooms);
            assert_eq!((parsed.rows.len() as u64, parsed.format), (ROWS, Format::Binary));
            parsed
        });
}

fn block(file: &[u8]) -> Block {
    let stretch =
        Stretch { file: 1, from: 0, until: file.len() as u64, line_until: ROWS + 1, hash: String::new(), records: 0 };
    Block { number: 0, stretch, line: 1, line_end: LineEnd::Newline, bytes: file.to_vec().into() }
}

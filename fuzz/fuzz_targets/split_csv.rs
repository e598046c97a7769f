//! However a CSV file is cut into pieces and blocks, its records are the same, and the splitter and the parser agree on
//! where they end; no bytes and no dialect make either panic. `cargo +nightly fuzz run split_csv`
//!
//! An input is a file that people can read, as the seeds are, with up to nine characters before it that say how to read
//! and to cut it, ended by the first newline: delimiter, quote, escape, one character of the null string, the line end
//! (`n`, `r`, `c`, or anything else for what the file shows), then sizes of pieces, over and over.
#![no_main]

use hypercopy::csv::{Defect, Dialect, LineEnd, Parser, Splitter};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(newline) = input.iter().take(10).position(|byte| *byte == b'\n') else {
        return;
    };
    let (how, file) = (&input[..newline], &input[newline + 1..]);
    let Some((dialect, line_end)) = dialect(how, file) else {
        return;
    };
    let sizes: Vec<usize> = how.iter().skip(5).map(|byte| usize::from(*byte) % 64).collect();
    let whole = parse(&dialect, line_end, file);
    assert_eq!(whole.iter().map(|record| record.len).sum::<usize>(), file.len());
    let blocks = blocks(&dialect, line_end, file, &sizes);
    assert_eq!(blocks.concat(), file);
    let parsed: Vec<Record> = blocks.iter().flat_map(|block| parse(&dialect, line_end, block)).collect();
    assert_eq!(parsed, whole);
    assert_eq!(LineEnd::of(&dialect, file, true), first_line_end(&dialect, file));
});

/// How a file is written; `None` if that is no dialect.
fn dialect(how: &[u8], file: &[u8]) -> Option<(Dialect, LineEnd)> {
    let [delimiter, quote, escape, null, line_end, ..] = how else {
        return None;
    };
    let text = |byte: &u8| char::from(*byte).to_string();
    let null = if *null == b'_' { String::new() } else { text(null) };
    let dialect = Dialect::new(&text(delimiter), &text(quote), Some(&text(escape)), &null).ok()?;
    let line_end = match line_end {
        b'n' => LineEnd::Newline,
        b'r' => LineEnd::CarriageReturn,
        b'c' => LineEnd::CarriageReturnNewline,
        _ => LineEnd::of(&dialect, file, true)?,
    };
    Some((dialect, line_end))
}

#[derive(Debug, PartialEq)]
struct Record {
    len: usize,
    lines: u64,
    text: Vec<u8>,
    fields: Result<Vec<Option<Vec<u8>>>, Defect>,
}

fn parse(dialect: &Dialect, line_end: LineEnd, block: &[u8]) -> Vec<Record> {
    let (mut parser, mut rest, mut records) = (Parser::new(dialect, line_end), block, Vec::new());
    while let Some(record) = parser.record(rest) {
        let owned = |field: Option<&[u8]>| field.map(<[u8]>::to_vec);
        let fields = record.fields.map(|fields| fields.iter().map(owned).collect());
        records.push(Record { len: record.len, lines: record.lines, text: record.text.to_vec(), fields });
        rest = &rest[record.len..];
    }
    records
}

/// Cuts a file that arrives in pieces of these sizes into blocks of at least the first of them.
fn blocks(dialect: &Dialect, line_end: LineEnd, file: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let least = sizes.first().copied().unwrap_or_default();
    let (mut splitter, mut blocks, mut block) = (Splitter::new(dialect, line_end), Vec::new(), Vec::new());
    let mut records = 0;
    for mut piece in pieces(file, sizes) {
        while let Some(len) = splitter.find_end(piece, least.saturating_sub(block.len())) {
            block.extend_from_slice(&piece[..len]);
            records += parse(dialect, line_end, &block).len() as u64;
            assert_eq!((splitter.records(), splitter.is_between_records()), (records, true));
            blocks.push(std::mem::take(&mut block));
            piece = &piece[len..];
        }
        block.extend_from_slice(piece);
    }
    blocks.push(block);
    blocks
}

fn pieces<'f>(file: &'f [u8], sizes: &[usize]) -> Vec<&'f [u8]> {
    let (mut rest, mut pieces) = (file, Vec::new());
    // A size that is never zero at the end, so that there is one.
    for size in sizes.iter().copied().chain([1]).cycle().take(file.len() * 2) {
        let (piece, tail) = rest.split_at(size.min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    pieces.push(rest);
    pieces
}

/// The line end as growing prefixes of the file tell it.
fn first_line_end(dialect: &Dialect, file: &[u8]) -> Option<LineEnd> {
    (0..file.len().min(100))
        .find_map(|len| LineEnd::of(dialect, &file[..len], false))
        .or_else(|| LineEnd::of(dialect, file, true))
}

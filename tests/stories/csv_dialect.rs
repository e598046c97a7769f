//! CSV as the server reads it, with the server as the oracle.

use std::ops::RangeInclusive;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::SinkExt;
use hypercopy::csv::infer::Inference;
use hypercopy::csv::{Defect, Dialect, DialectError, Fields, LineEnd, Parser};
use hypercopy::ident::quote_literal;
use tokio_postgres::Client;

use crate::harness::{Database, Server};

const CASES: usize = 500;
const TAIL_BYTES: u64 = 12;

/// What a file is made of; what matters more stands here more often.
const ALPHABET: &[u8] = b"aabb,,,\"\"\"\\\\\n\n\r .";

/// The options of COPY, as somebody gives them.
#[derive(Debug)]
struct Options<'o> {
    delimiter: &'o str,
    quote: &'o str,
    escape: Option<&'o str>,
    null: &'o str,
}

impl Options<'_> {
    fn dialect(&self) -> Result<Dialect, DialectError> {
        Dialect::new(self.delimiter, self.quote, self.escape, self.null)
    }

    fn copy(&self, from: &str) -> String {
        let [delimiter, quote, null] = [self.delimiter, self.quote, self.null].map(quote_literal);
        let escape = self.escape.map_or(String::new(), |escape| format!(", escape {}", quote_literal(escape)));
        format!("copy pairs (a, b) from {from} (format csv, delimiter {delimiter}, quote {quote}, null {null}{escape})")
    }
}

type Row = Vec<Option<String>>;

/// What somebody makes of a file: its rows, or what is wrong with the first bad record and the lines that it spans.
#[derive(Debug, PartialEq)]
enum Reading {
    Rows(Vec<Row>),
    Refusal { message: String, lines: RangeInclusive<u64> },
}

fn ours(dialect: &Dialect, file: &str) -> Reading {
    let line_end = LineEnd::of(dialect, file.as_bytes(), true).expect("the file is whole");
    let (mut parser, mut rest) = (Parser::new(dialect, line_end), file.as_bytes());
    let (mut rows, mut lines) = (Vec::new(), 0);
    while let Some(record) = parser.record(rest) {
        let first_line = lines + 1;
        // While the server does not know yet how lines end, it counts quoted carriage returns.
        let returns = record.text.iter().filter(|byte| **byte == b'\r').count() as u64;
        lines += if rows.is_empty() { 1 + returns } else { record.lines };
        match row(record.fields) {
            Ok(row) => rows.push(row),
            Err(message) => return Reading::Refusal { message, lines: first_line..=lines },
        }
        rest = &rest[record.len..];
    }
    Reading::Rows(rows)
}

/// What stands in the two columns, or the words in which the server says that it does not fit.
fn row(fields: Result<Fields<'_>, Defect>) -> Result<Row, String> {
    let fields = fields.map_err(|defect| defect.to_string())?;
    match fields.len() {
        1 => Err("missing data for column \"b\"".to_string()),
        2 => Ok(fields.iter().map(|field| field.map(|field| String::from_utf8_lossy(field).into_owned())).collect()),
        _ => Err("extra data after last expected column".to_string()),
    }
}

async fn load(client: &Client, options: &Options<'_>, file: &str) -> Result<(), tokio_postgres::Error> {
    let mut sink = Box::pin(client.copy_in(&options.copy("stdin")).await?);
    sink.send(Bytes::from(file.to_string())).await?;
    sink.close().await
}

async fn servers(client: &Client, options: &Options<'_>, file: &str) -> Reading {
    client.batch_execute("delete from pairs").await.unwrap();
    match load(client, options, file).await {
        Ok(()) => {
            let rows = client.query("select a, b from pairs order by row", &[]).await.unwrap();
            Reading::Rows(rows.iter().map(|row| vec![row.get(0), row.get(1)]).collect())
        }
        Err(error) => {
            let error = error.as_db_error().expect("the server refuses");
            assert_eq!(error.code().code(), "22P04");
            let line = error.where_().and_then(|context| {
                let (_, rest) = context.split_once("line ")?;
                rest.split(|other: char| !other.is_ascii_digit()).next()?.parse().ok()
            });
            let line = line.expect("the line is told");
            Reading::Refusal { message: error.message().to_string(), lines: line..=line }
        }
    }
}

/// A small generator, so that a seed says everything.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize]
    }

    /// Mostly what files are written with.
    fn options(&mut self) -> Options<'static> {
        Options {
            delimiter: self.of(&[",", ",", ",", ".", " ", "a"]),
            quote: self.of(&["\"", "\"", "\"", "\\", "b", "."]),
            escape: self.of(&[None, None, Some("\\"), Some("\\"), Some(","), Some("a"), Some("."), Some("\"")]),
            null: self.of(&["", "", "a", "\\", "ab", "\\N", ".", "bb"]),
        }
    }

    /// Some rows that are well written, then anything.
    fn file(&mut self, options: &Options<'_>) -> String {
        let line_end = self.of(&["\n", "\r\n", "\r"]);
        let mut file = String::new();
        for _ in 0..self.below(4) {
            let (a, b) = (self.field(options), self.field(options));
            file += &format!("{a}{}{b}{line_end}", options.delimiter);
        }
        for _ in 0..self.of(&[0, 0, TAIL_BYTES]) {
            file += &match self.of(ALPHABET) {
                b'\n' if self.below(8) > 0 => line_end.to_string(),
                byte => char::from(byte).to_string(),
            };
        }
        file
    }

    /// A field that is quoted in part, with escapes where they are needed and where they are not.
    fn field(&mut self, options: &Options<'_>) -> String {
        let mut field = self.of(&["", "", "a", "b", "\\", "ab", " "]).to_string();
        if self.below(2) == 0 {
            field += options.quote;
            for _ in 0..self.below(5) {
                match char::from(self.of(ALPHABET)).to_string() {
                    text if text == options.quote => field += &(options.escape.unwrap_or(&text).to_string() + &text),
                    text => field += &text,
                }
            }
            field += options.quote;
        }
        field
    }
}

fn seed() -> u64 {
    let given = std::env::var("HYPERCOPY_SEED").ok().map(|seed| seed.parse().expect("the seed is a number"));
    given.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_nanos() as u64)
}

fn version(database: &Database) -> u32 {
    database.value("show server_version_num").parse().expect("the version is a number")
}

fn database(server: Server, story: &str) -> Option<Database> {
    let database = Database::without_timescaledb(server, story)?;
    database.run("create table pairs (row bigserial, a text, b text)");
    Some(database)
}

/// Servers before PostgreSQL 18 take a record that is `\.` for the end of the data, and misread the character behind
/// one that only begins so; we never do.
fn has_end_marker(dialect: &Dialect, file: &str) -> bool {
    let line_end = LineEnd::of(dialect, file.as_bytes(), true).expect("the file is whole");
    let (mut parser, mut rest) = (Parser::new(dialect, line_end), file.as_bytes());
    while let Some(record) = parser.record(rest) {
        if record.text.starts_with(b"\\.") {
            return true;
        }
        rest = &rest[record.len..];
    }
    false
}

/// Whether both read the same; of a bad record the server tells the line where it stopped reading.
fn agree(ours: &Reading, servers: &Reading) -> bool {
    match (ours, servers) {
        (Reading::Refusal { message: ours, lines }, Reading::Refusal { message: servers, lines: line }) => {
            ours == servers && lines.contains(line.start())
        }
        _ => ours == servers,
    }
}

/// Reads random files with both; answers how many had rows and how many were refused.
fn compare(database: &Database, is_told: impl Fn(&Dialect, &str) -> bool) -> (usize, usize) {
    let seed = seed();
    println!("HYPERCOPY_SEED={seed}");
    let (mut random, client) = (Random(seed), database.session());
    let (mut read, mut refused) = (0, 0);
    while read + refused < CASES {
        let options = random.options();
        let file = random.file(&options);
        let Some(dialect) = options.dialect().ok().filter(|dialect| is_told(dialect, &file)) else {
            continue;
        };
        let (ours, servers) = (ours(&dialect, &file), database.wait(servers(&client, &options, &file)));
        assert!(agree(&ours, &servers), "{file:?} as {options:?}\nours: {ours:?}\nthe server's: {servers:?}");
        if matches!(ours, Reading::Rows(_)) { read += 1 } else { refused += 1 }
    }
    (read, refused)
}

#[track_caller]
fn assert_both_kinds_were_seen((read, refused): (usize, usize)) {
    println!("{read} files read, {refused} refused");
    assert!(read > CASES / 10 && refused > CASES / 10, "{read} files read, {refused} refused");
}

#[test]
fn random_files_are_read_as_the_server_reads_them() {
    let database = database(Server::Trixie, "csv_dialect").expect("PostgreSQL 17 can be had");
    assert_both_kinds_were_seen(compare(&database, |dialect, file| !has_end_marker(dialect, file)));
}

#[test]
fn an_end_marker_is_data_as_for_servers_since_postgresql_18() {
    let Some(database) = database(Server::Sid, "csv_end_marker") else {
        return;
    };
    if version(&database) >= 180_000 {
        assert_both_kinds_were_seen(compare(&database, |_, _| true));
    }
}

/// A quote or an escape that ends lines is the one thing that we refuse and the server does not.
fn is_ours_alone(error: &DialectError) -> bool {
    let text = error.to_string();
    text.starts_with("COPY quote cannot be newline") || text.starts_with("COPY escape cannot be newline")
}

#[test]
fn options_that_are_no_dialect_are_refused_in_the_servers_words() {
    let database = database(Server::Trixie, "csv_options").expect("PostgreSQL 17 can be had");
    if version(&database) < 170_000 {
        return; // It words some of them otherwise.
    }
    for options in all_options() {
        let servers = database.try_query(&options.copy("'/dev/null'")).err();
        let servers = servers.as_ref().map(|error| error.as_db_error().expect("the server refuses"));
        match options.dialect() {
            Err(error) if is_ours_alone(&error) => assert!(servers.is_none(), "{options:?}: {servers:?}"),
            ours => {
                let ours = ours.err().map(|error| (error.to_string(), error.sqlstate().to_string()));
                let servers = servers.map(|error| (error.message().to_string(), error.code().code().to_string()));
                assert_eq!(ours, servers, "{options:?}");
            }
        }
    }
}

fn all_options() -> Vec<Options<'static>> {
    let mut all = Vec::new();
    for delimiter in [",", "a", "\n", "\r", "", ",,", "é"] {
        for quote in ["\"", "a", "\n", "", "\"\"", "é"] {
            for escape in [None, Some("a"), Some("\r"), Some(""), Some("\\\\")] {
                all.extend(["", "\\N", "a", ",", "\"", "x\ry"].map(|null| Options { delimiter, quote, escape, null }));
            }
        }
    }
    all
}

/// Parts of values, of which most combinations are nothing.
const PARTS: &[&str] = &[
    "0",
    "1",
    "9",
    "12",
    "007",
    ".",
    "-",
    "+",
    "e",
    "E5",
    "e-400",
    "e400",
    " ",
    "inf",
    "Infinity",
    "NaN",
    "t",
    "yes",
    "2025-01-31",
    "2024-02-29",
    "2023-02-29",
    "0001-01-01",
    "0000-01-01",
    "9999-12-31",
    "T",
    "00:00",
    "23:59:60",
    "24:00:00",
    ".5",
    ":61",
    "Z",
    " UTC",
    "+05:30",
    "-15:59",
    "+16",
    "9223372036854775808",
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "_",
    "x",
];

#[test]
fn a_value_is_valid_for_the_type_that_is_inferred_from_it() {
    let database = database(Server::Trixie, "csv_types").expect("PostgreSQL 17 can be had");
    if version(&database) < 160_000 {
        return; // It cannot be asked.
    }
    let (mut random, mut typed, mut rows) = (Random(seed()), 0, Vec::new());
    println!("HYPERCOPY_SEED={}", random.0);
    for _ in 0..20 * CASES {
        let value: String = (0..1 + random.below(4)).map(|_| random.of(PARTS)).collect();
        let mut inference = Inference::default();
        inference.observe(0, Some(value.as_bytes()));
        typed += usize::from(inference.type_name(0) != "text");
        rows.push(format!("({}, '{}')", quote_literal(&value), inference.type_name(0)));
    }
    let invalid = "select value, type from values_of where not pg_input_is_valid(value, type)";
    let sql = format!("with values_of (value, type) as (values {}) {invalid}", rows.join(", "));
    assert_eq!(database.query(&sql), [] as [Row; 0]);
    assert!(typed > CASES, "{typed} values were no text");
}

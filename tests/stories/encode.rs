//! What the encoder takes is stored as the server itself would have read it.
//!
//! Every text goes to the server as a text COPY; where the encoder takes it, as a binary COPY, too. Both must be stored
//! bit for bit alike, or be refused with the same SQLSTATE. A run is repeated with
//! `HYPERCOPY_SEED=… cargo test --test stories encode`.

use std::pin::pin;

use bytes::Bytes;
use futures_util::SinkExt as _;
use hypercopy::pgcopy::binary::{HEADER, TRAILER};
use hypercopy::pgcopy::encode::Encoder;
use hypercopy::pgcopy::text::push_field;
use tokio_postgres::{Client, Statement};

use crate::harness::{Database, Server};
use crate::random::Random;

/// How many values are made up for a type.
const GENERATED: usize = 300;

/// A column's type, and how its values are spelled.
pub struct Kind {
    /// The type as SQL names it.
    pub column: &'static str,
    /// Its base type, by `pg_type.typname`.
    base: &'static str,
    /// Spellings that the encoder has to take and the server to store.
    pub ordinary: &'static [&'static str],
}

const BOOLS: &[&str] = &["t", "f", "true", "false", "1", "0", "TRUE", "False", "yes", "no", "on", "off", "Y", "n"];
const INTS: &[&str] = &["0", "1", "-1", "42", "-32768", "32767", "007", "+5", "-0"];
const BIGINTS: &[&str] =
    &["0", "-1", "2147483648", "-9223372036854775808", "9223372036854775807", "0000000000000000001", "+12"];
#[rustfmt::skip]
const FLOATS: &[&str] = &[
    "0", "-0", "-0.0", "1", "1.5", "-1.5", "3.4028234e38", "0.1", "0.30000000000000004", "57.294780373612696", "1e5",
    "1E-5", "2.5e+10", ".5", "5.", "+1.5", "1.4012985e-45", "1.17549435e-38", "16777217", "16777216.5000000001",
    "1.00000005960464477540", "0e400", "000.000", "123456789012345678901234567890",
];
#[rustfmt::skip]
const DOUBLES: &[&str] = &[
    "0", "-0", "1", "-1.5", "57.294780373612696", "0.1", "1e308", "1.7976931348623157e308", "5e-324", "2.5e-324",
    "2.2250738585072011e-308", "2.2250738585072014e-308", "9007199254740993", "9007199254740992.99999999999999999999",
    "0.1e-6", "1E5", "1e+22", "1e23", "8.98846567431158e307", "0e-999", ".5", "5.",
    "123456789012345678901234567890e-10",
];
#[rustfmt::skip]
const NUMERICS: &[&str] = &[
    "0", "-0", "0.00", "-0.00", "1", "-1", "1.5", "1.50", "-12345.6789", "10000", "100000000", "0.0001", "0.00001",
    "0.000000000000000000001", "+7", ".5", "5.", "007.70", "99999999.994", "99999999.99", "1.005", "-1.005", "2.675",
    "0.0000000010000", "12345678.9012345678901234567890",
];
const SHORT_NUMERICS: &[&str] = &["0", "-0.001", "0.005", "-0.005", "1.005", "99999999.99", "12.5", "7", "0.00"];
const TEXTS: &[&str] =
    &["", "a", "abc", "ab ", " ", "häß", "漢字", "🦀", "a\tb", "\\", "\\N", "\\.", "\r", "\n", "'\"", "bad"];
const SHORT_TEXTS: &[&str] = &["", "a", "abc", "ab     ", "abc    ", "   ", "häß", "漢字"];
#[rustfmt::skip]
const JSONS: &[&str] = &[
    "{}", "[]", "null", "1.50", "1e2", "\"a\"", " { \"a\" : 1 , \"a\" : 2 } ", "{\"b\":1,\"a\":[1,2,{\"c\":null}]}",
    "\"h\\u00e4\"", "\"\\ud83e\\udd80\"", "\"\\n\\t\"", "-0", "123456789012345678901234567890.10",
];
#[rustfmt::skip]
const TIMESTAMPTZS: &[&str] = &[
    "2024-01-01 00:00:00+00", "2024-02-29T12:34:56Z", "2024-02-29 12:34:56.7Z", "2024-06-30 23:59:59.999999+02",
    "2024-03-10 02:30:00-05", "2024-11-03 01:30:00-0400", "0001-01-01 00:00:00+00", "0001-01-01 00:00:00+15:59",
    "9999-12-31 23:59:59.999999-15:59", "1999-12-31 23:59:59.1+05:30", "1970-01-01 00:00:00-00",
    "0099-12-31 00:00:00Z", "1900-02-28T00:00:00+00:00", "2000-02-29 06:07:08.000001-1234", "1883-11-18 12:03:57-04",
    "0031-12-11 10:09:08+01",
];
#[rustfmt::skip]
const TIMESTAMPS: &[&str] = &[
    "2024-01-01 00:00:00", "2024-02-29T12:34:56", "2024-02-29 12:34:56.7", "2024-06-30 23:59:59.999999",
    "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "1999-12-31 23:59:59.5", "1970-01-01 00:00:00.499999",
    "0012-11-10 00:00:00", "2024-03-10 02:30:00", "2024-03-10T02:30:00.000001",
];
const DATES: &[&str] =
    &["2024-01-01", "2024-02-29", "0001-01-01", "9999-12-31", "1970-01-01", "2000-02-29", "0012-11-10", "0031-12-11"];
#[rustfmt::skip]
const UUIDS: &[&str] = &[
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
    "00000000-0000-0000-0000-000000000000",
];

/// Spellings that no type is asked to take; every type is asked about all of them.
#[rustfmt::skip]
pub const ODD: &[&str] = &[
    "", " ", "NaN", "nan", "-NaN", "inf", "infinity", "-infinity", "Infinity", "+Infinity", "1e400", "-1e400",
    "1e-400", "1e39", "1e-46", "7e-46", "0.000e-400", "1e", "1e+", "e5", ".", "-", "+", "-.", "+.5", "--1", "+-1",
    "0x10", "0X1F", "0b11", "0o17", "0x1p3", "1_000", "1__0", "1_000.5", "1,000", "1.2.3", "1 ", " 1", "\t1", "1\n",
    "1;", "$1", "32768", "-32769", "2147483648", "-2147483649", "9223372036854775808", "-9223372036854775809",
    "18446744073709551616", "00000000000000000000000001", "99999999.995", "100000000", "1e5", "1.5e-3", "0.5",
    "123.456", "tr", "yes", "on", "of", "o", "T", "FALSE ", " true", "2", "null", "NULL", "\\N", "\\.", "a\0b",
    "abcd", "abc ", "abc d", "abcdef", "abcde  ", "sad", "ok", "happy", "Happy", "happy ", "ha", "bad", "{}x",
    "{\"a\":}", "\"\\u0000\"", "{\"a\":\"\\u0000\"}", "\"\\ud800\"", "nul", "[1,]",
    "{\"a\":1,\"a\":2,\"b\":{\"c\":1,\"c\":2}}", "24:00", "2024-01-01 24:00:00", "2024-01-01 24:00:00Z",
    "2024-01-01 24:00:01", "2024-01-01 23:59:60", "2024-12-31 23:59:60Z", "2024-01-01 23:60:00", "epoch", "today",
    "tomorrow", "yesterday", "2024-01-01 BC", "0044-03-15 00:00:00 BC", "0044-03-15 00:00:00+00 BC", "2024-01-01 AD",
    "4714-11-24 00:00:00+00 BC", "2024-03-10 02:30:00", "2024-11-03 01:30:00", "10000-01-01",
    "10000-01-01 00:00:00+00", "294276-12-31 23:59:59", "294277-01-01 00:00:00Z", "5874897-12-31", "5874898-01-01",
    "0000-01-01", "0000-01-01 00:00:00Z", "2024-02-30", "2024-02-30 00:00:00+00", "2023-02-29 00:00:00Z",
    "1900-02-29", "2024-13-01", "2024-00-10", "2024-01-00", "2024-04-31", "2024-01-01 00:00:00+15:59",
    "2024-01-01 00:00:00-15:59", "2024-01-01 00:00:00+16", "2024-01-01 00:00:00+15:60", "2024-01-01 00:00:00+1",
    "2024-01-01 00:00:00+010", "2024-01-01 00:00:00+01:02:03", "2024-01-01 00:00:00+00:00:30",
    "2024-01-01 00:00:00 +01", "2024-01-01 00:00:00 UTC", "2024-01-01 00:00:00z", "2024-01-01 00:00:00EST",
    "2024-01-01 00:00:00 America/New_York", "2024-01-01t00:00:00", "2024-01-01  00:00:00", "2024-01-01 00:00",
    "2024-01-01T00", "2024-01-01T00:00Z", "20240101", "20240101T000000Z", "2024-001", "2024.01.02", "2024/01/02",
    "2024-Jan-02", "Jan 2 2024", "01/02/2024", "13/02/2024", "02/13/2024", "01-02-03", "99-01-02", "24-01-02",
    "024-01-02", "2024-1-2", "2024-01-02 3:04:05 PM", "2024-01-02 13:04:05 PM", "2024-01-01 00:00:00.",
    "2024-01-01 00:00:00.1234567", "2024-01-01 00:00:00.9999995", "2024-01-01 00:00:00.9999994", " 2024-01-01",
    "2024-01-01 ", "2024-01-01 00:00:00+00 ", "2024-01-01 00:00:00,5", "2024-01-01 00:00:00.5e1", "J2451545", "now",
    "2024-01-01 00:00:00-00:00", "2024-01-01_00:00:00", "2024-01-01T00:00:00+00:00:00", "allballs",
    "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11",
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
    "A0eebc99-9C0B-4EF8-bb6d-6bb9bd380a1g", "{A0EEBC999C0B4EF8BB6D6BB9BD380A11}",
];

pub const TYPES: &str = "
    create type mood as enum ('sad', 'ok', 'happy');
    create domain positive as integer check (value > 0);
    create domain short as varchar(3) check (value <> 'bad');
    create domain cheap as numeric(10,2) check (value < 100);
    create domain glad as mood check (value <> 'sad');
    create domain recent as timestamptz(3) check (value > '2000-01-01 00:00:00+00')";

pub const KINDS: [Kind; 24] = [
    Kind { column: "boolean", base: "bool", ordinary: BOOLS },
    Kind { column: "smallint", base: "int2", ordinary: INTS },
    Kind { column: "integer", base: "int4", ordinary: INTS },
    Kind { column: "bigint", base: "int8", ordinary: BIGINTS },
    Kind { column: "real", base: "float4", ordinary: FLOATS },
    Kind { column: "double precision", base: "float8", ordinary: DOUBLES },
    Kind { column: "numeric", base: "numeric", ordinary: NUMERICS },
    Kind { column: "numeric(10,2)", base: "numeric", ordinary: SHORT_NUMERICS },
    Kind { column: "numeric(3,5)", base: "numeric", ordinary: &["0.00999", "0.001", "0", "-0.0000049", "0.000005"] },
    Kind { column: "text", base: "text", ordinary: TEXTS },
    Kind { column: "varchar(3)", base: "varchar", ordinary: SHORT_TEXTS },
    Kind { column: "char(5)", base: "bpchar", ordinary: SHORT_TEXTS },
    Kind { column: "char", base: "bpchar", ordinary: &["a", "ä", "", "a  "] },
    Kind { column: "json", base: "json", ordinary: JSONS },
    Kind { column: "jsonb", base: "jsonb", ordinary: JSONS },
    Kind { column: "uuid", base: "uuid", ordinary: UUIDS },
    Kind { column: "mood", base: "text", ordinary: &["sad", "ok", "happy"] },
    Kind { column: "positive", base: "int4", ordinary: &["1", "2147483647"] },
    Kind { column: "short", base: "varchar", ordinary: SHORT_TEXTS },
    Kind { column: "cheap", base: "numeric", ordinary: &["1", "99.994", "-1.005"] },
    Kind { column: "glad", base: "text", ordinary: &["ok", "happy"] },
    Kind { column: "timestamptz(0)", base: "timestamptz", ordinary: TIMESTAMPTZS },
    Kind { column: "timestamp(3)", base: "timestamp", ordinary: TIMESTAMPS },
    Kind { column: "recent", base: "timestamptz", ordinary: &["2024-01-01 00:00:00.1235Z", "2000-01-01 00:00:01-05"] },
];

const TIMES: [Kind; 3] = [
    Kind { column: "timestamptz", base: "timestamptz", ordinary: TIMESTAMPTZS },
    Kind { column: "timestamp", base: "timestamp", ordinary: TIMESTAMPS },
    Kind { column: "date", base: "date", ordinary: DATES },
];

/// DateStyle, IntervalStyle and TimeZone.
const SETTINGS: [(&str, &str, &str); 8] = [
    ("ISO, MDY", "postgres", "UTC"),
    ("German, DMY", "sql_standard", "Etc/UTC"),
    ("SQL, DMY", "iso_8601", "America/New_York"),
    ("Postgres, YMD", "postgres_verbose", "Asia/Kathmandu"),
    ("ISO, YMD", "sql_standard", "Pacific/Kiritimati"),
    ("SQL, MDY", "postgres", "Africa/Monrovia"),
    // Since PostgreSQL 18 the letters of ISO 8601 are looked up among the abbreviations of the session's zone first.
    ("ISO, MDY", "postgres", "Z5"),
    ("ISO, MDY", "postgres", "T5"),
];

#[test]
fn values_are_stored_as_their_texts_would_be() {
    let mut random = Random::of_this_run();
    for oracle in Oracle::all("encode_values") {
        oracle.run(TYPES);
        for kind in &KINDS {
            oracle.compare(kind, true, &mut random);
        }
    }
}

#[test]
fn times_are_stored_as_their_texts_would_be_in_every_style_and_zone() {
    let mut random = Random::of_this_run();
    for oracle in Oracle::all("encode_times") {
        for (date_style, interval_style, zone) in SETTINGS {
            oracle.run(&format!("set datestyle = '{date_style}'; set intervalstyle = '{interval_style}'"));
            oracle.run(&format!("set timezone = '{zone}'"));
            if !oracle.reads_iso_8601() {
                assert!(["Z5", "T5"].contains(&zone), "{zone} is an ordinary zone");
                continue;
            }
            for kind in &TIMES {
                oracle.compare(kind, zone.ends_with("UTC"), &mut random);
            }
        }
    }
}

#[test]
fn the_largest_numerics_are_stored_and_larger_ones_left_to_the_server() {
    let (whole, fraction) = ("9".repeat(131_072), "7".repeat(16_383));
    let smallest = format!("0.{}1", "0".repeat(16_382));
    let largest = [format!("-{whole}.{fraction}"), smallest, format!("1{}", "0".repeat(131_071))];
    let too_large = [format!("{whole}9"), format!("0.{fraction}7"), format!("{}1.5", "0".repeat(140_000))];
    for oracle in Oracle::all("encode_numerics") {
        let table = Table::new(&oracle, "numeric");
        for (number, text) in largest.iter().chain(&too_large).enumerate() {
            let taken = table.store(number, Encoder::Numeric, text.as_bytes());
            assert!(taken == Some(Ok(())) || number >= largest.len(), "number {number}");
        }
        assert!(table.compared() >= largest.len());
    }
}

#[test]
fn any_bytes_reach_the_server_unchanged_as_text() {
    let mut random = Random::of_this_run();
    let values: Vec<Vec<u8>> = (0..GENERATED).map(|_| random_bytes(&mut random)).collect();
    let mut rows = Vec::new();
    for (number, value) in values.iter().enumerate() {
        push_text_row(number, value, &mut rows);
    }
    let expected: Vec<_> = values.iter().map(|value| vec![Some(hex(value))]).collect();
    for oracle in Oracle::all("encode_escapes") {
        oracle.run("create table escaped (n integer, v text)");
        let copy = oracle.prepare("copy escaped from stdin with (encoding 'LATIN1')");
        oracle.copy(&copy, rows.clone()).expect("the server takes all of LATIN1");
        let stored = oracle.database.query("select encode(convert_to(v, 'LATIN1'), 'hex') from escaped order by n");
        assert_eq!(stored, expected);
    }
}

fn random_bytes(random: &mut Random) -> Vec<u8> {
    let byte = |random: &mut Random| match random.below(2) {
        0 => random.of(b"\\\t\r\nN.x"),
        _ => 1 + random.below(255) as u8,
    };
    (0..random.below(40)).map(|_| byte(random)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A session whose settings the texts are read by.
struct Oracle {
    database: Database,
    session: Client,
}

impl Oracle {
    /// One of each release that can be had: each may read texts that the others do not.
    fn all(story: &str) -> impl Iterator<Item = Oracle> {
        [Server::Trixie, Server::Sid].into_iter().filter_map(move |server| {
            let Some(database) = Database::without_timescaledb(server, story) else {
                eprintln!("skipped {story} on {server:?}, which cannot be had now");
                return None;
            };
            let session = database.session();
            Some(Oracle { database, session })
        })
    }

    #[track_caller]
    fn run(&self, sql: &str) {
        self.database.wait(self.session.batch_execute(sql)).unwrap_or_else(|error| panic!("{error:?}\nin: {sql}"));
    }

    /// What the encoder of the time types asks of a session.
    fn reads_iso_8601(&self) -> bool {
        let sql = "select '2000-01-01T00:00:00Z'::timestamptz = '2000-01-01 00:00:00+00'";
        self.database.wait(self.session.query_one(sql, &[])).is_ok_and(|row| row.get(0))
    }

    fn prepare(&self, sql: &str) -> Statement {
        self.database.wait(self.session.prepare(sql)).expect("the statement is one")
    }

    /// Copies rows; answers the SQLSTATE where the server does not take them.
    fn copy(&self, statement: &Statement, rows: Vec<u8>) -> Result<(), String> {
        let copied = self.database.wait(async {
            let mut sink = pin!(self.session.copy_in(statement).await?);
            sink.send(Bytes::from(rows)).await?;
            sink.finish().await
        });
        copied.map(drop).map_err(|error| error.code().unwrap_or_else(|| panic!("{error:?}")).code().to_string())
    }

    /// Sends all spellings of a type both ways, and compares.
    fn compare(&self, kind: &Kind, utc: bool, random: &mut Random) {
        let encoder = Encoder::of(kind.base, utc).expect("there is an encoder");
        let table = Table::new(self, kind.column);
        for (number, text) in kind.ordinary.iter().enumerate() {
            assert_eq!(table.store(number, encoder, text.as_bytes()), Some(Ok(())), "{text:?} as {}", kind.column);
        }
        for (number, text) in ODD.iter().enumerate() {
            table.store(1000 + number, encoder, text.as_bytes());
        }
        let made_up =
            (0..GENERATED).map(|_| if random.below(2) == 0 { mutated(kind, random) } else { generated(kind, random) });
        let taken = made_up.enumerate().filter(|(n, text)| table.store(2000 + n, encoder, text.as_bytes()).is_some());
        let taken = taken.count();
        assert!(taken > GENERATED / 4, "{taken} of the generated values of {} were taken", kind.column);
        assert!(table.compared() >= kind.ordinary.len());
    }
}

/// A table with a column for each way, where a text stands in two rows of the same number.
struct Table<'a> {
    oracle: &'a Oracle,
    by_text: Statement,
    by_binary: Statement,
    /// The type's send function, and the type without its typmod.
    send: (String, String),
}

impl Table<'_> {
    fn new<'a>(oracle: &'a Oracle, column: &str) -> Table<'a> {
        oracle.run(&format!(
            "drop table if exists stored; create table stored (n integer, by_text {column}, by_binary {column})"
        ));
        let send = |what: &str| {
            oracle.database.value(&format!(
                "select {what} from pg_attribute a join pg_type t on t.oid = a.atttypid
                     left join pg_type base on base.oid = t.typbasetype
                 where a.attrelid = 'stored'::regclass and a.attname = 'by_text'"
            ))
        };
        Table {
            oracle,
            by_text: oracle.prepare("copy stored (n, by_text) from stdin"),
            by_binary: oracle.prepare("copy stored (n, by_binary) from stdin with (format binary)"),
            send: (send("t.typsend"), send("quote_ident(coalesce(base.typname, t.typname))")),
        }
    }

    /// Stores a text both ways; answers how it went if the encoder takes it.
    #[track_caller]
    fn store(&self, number: usize, encoder: Encoder, text: &[u8]) -> Option<Result<(), String>> {
        let mut rows = Vec::new();
        push_text_row(number, text, &mut rows);
        let by_text = self.oracle.copy(&self.by_text, rows);
        let by_binary = self.oracle.copy(&self.by_binary, binary_row(number, encoder, text)?);
        assert_eq!(by_text, by_binary, "{:?} as {encoder:?}", String::from_utf8_lossy(text));
        Some(by_binary)
    }

    /// How many texts were stored both ways, all of them alike.
    #[track_caller]
    fn compared(&self) -> usize {
        let (send, base) = &self.send;
        let differences = format!(
            "select t.n, t.by_text::text, b.by_binary::text from stored t join stored b using (n)
             where t.by_text is not null and b.by_binary is not null
               and ({send}(t.by_text::{base}) <> {send}(b.by_binary::{base}) or t.by_text::text <> b.by_binary::text
                 or pg_column_size(t.by_text) <> pg_column_size(b.by_binary))"
        );
        assert_eq!(self.oracle.database.query(&differences), Vec::<Vec<_>>::new());
        let pairs = "select count(*) from stored t join stored b using (n)
             where t.by_text is not null and b.by_binary is not null";
        let rows = self.oracle.database.value("select count(by_binary) from stored");
        assert_eq!(self.oracle.database.value(pairs), rows, "what is stored as binary is stored as text");
        rows.parse().expect("a count is a number")
    }
}

fn push_text_row(number: usize, text: &[u8], rows: &mut Vec<u8>) {
    rows.extend_from_slice(format!("{number}\t").as_bytes());
    push_field(Some(text), rows);
    rows.push(b'\n');
}

fn binary_row(number: usize, encoder: Encoder, text: &[u8]) -> Option<Vec<u8>> {
    let mut rows = [&HEADER[..], &2i16.to_be_bytes()].concat();
    assert!(Encoder::Int4.push(number.to_string().as_bytes(), &mut rows));
    let taken = encoder.push(text, &mut rows);
    rows.extend_from_slice(&TRAILER);
    taken.then_some(rows)
}

/// An ordinary spelling with up to three characters put in, left out or replaced.
fn mutated(kind: &Kind, random: &mut Random) -> String {
    const CHARACTERS: &[u8] = b"0123456789+-.:eEtTZ x_,/{}aAfF\"\\u'nN";
    let mut text: Vec<char> = random.of(kind.ordinary).chars().collect();
    for _ in 0..random.below(4) {
        let at = random.below(text.len() as u64 + 1) as usize;
        let removed = usize::from(at < text.len() && random.below(3) > 0);
        let added = (random.below(3) > 0).then(|| char::from(random.of(CHARACTERS)));
        text.splice(at..at + removed, added);
    }
    text.into_iter().collect()
}

/// A value of the type, in one of its strict forms or nearly.
fn generated(kind: &Kind, random: &mut Random) -> String {
    match kind.base {
        "int2" => (random.number() >> 47).to_string(),
        "int4" => (random.number() >> 31).to_string(),
        "int8" => random.number().to_string(),
        "float4" => f32::from_bits(random.next() as u32).to_string(),
        "float8" if random.below(2) == 0 => format!("{:e}", f64::from_bits(random.next())),
        "float8" => f64::from_bits(random.next()).to_string(),
        "numeric" => format!("{}.{}", random.number(), random.next() >> random.below(64)),
        "timestamptz" => {
            let sign = random.of(&['+', '-']);
            format!("{}{sign}{:02}:{:02}", random_timestamp(random), random.below(17), random.below(61))
        }
        "timestamp" => random_timestamp(random),
        "date" => random_date(random),
        "uuid" => format!("{:08x}-{:04x}-4ef8-bb6d-6bb9bd380a11", random.next() as u32, random.next() as u16),
        _ => random.of(kind.ordinary).to_string(),
    }
}

fn random_date(random: &mut Random) -> String {
    format!("{:04}-{:02}-{:02}", random.below(10_001), random.below(14), 1 + random.below(31))
}

fn random_timestamp(random: &mut Random) -> String {
    let (date, between) = (random_date(random), random.of(&[' ', 'T']));
    let time = format!("{:02}:{:02}:{:02}", random.below(25), random.below(60), random.below(61));
    let fraction = format!("{:07}", random.below(10_000_000));
    let digits = random.below(8) as usize;
    format!("{date}{between}{time}{}{}", if digits > 0 { "." } else { "" }, &fraction[..digits])
}

//! Files that are no CSV, or not the one that was meant: each ends in one way, however it is cut into blocks and whoever
//! loads them; the server's own COPY is the oracle where it reads the same.

use std::io::Write as _;
use std::process::{Command, Stdio};

use bytes::Bytes;
use futures_util::SinkExt as _;

use crate::harness::{Hold, end, wait_until_held};
use crate::import_ways::{Ended, Import};

const METRICS: &str = "
    create table metrics (time int not null, v text);
    select create_hypertable('metrics', 'time', chunk_time_interval => 10);
    create table plain (like metrics)";

/// A file of two columns; the rows that are good, as SQL's values; and what is bad.
type Case<'c> = (&'c [u8], &'c str, &'c [(u64, u64, Option<&'c str>, &'c str)]);

/// What the server itself says of a file: its SQLSTATE and message.
fn copy(import: &Import, file: &[u8]) -> Result<(), (String, String)> {
    import.target.run("truncate plain");
    let client = import.target.session();
    import.target.wait(async {
        let sink = client.copy_in("copy plain from stdin (format csv)").await.expect("COPY begins");
        let mut sink = std::pin::pin!(sink);
        let sent = sink.send(Bytes::copy_from_slice(file)).await;
        let ended = match sent {
            Ok(()) => sink.finish().await.map(drop),
            Err(error) => Err(error),
        };
        ended.map_err(|error| {
            let said = error.as_db_error().expect("the server has said it");
            (said.code().code().to_string(), said.message().to_string())
        })
    })
}

fn rows(import: &Import, values: &str) -> String {
    match values {
        "" => import.target.multiset("(select * from metrics where false)"),
        values => import.target.multiset(&format!("(select * from (values {values}) v (time, v))")),
    }
}

/// Imports a file in all ways without and with a budget, and compares with what is expected of it, and with the server.
#[track_caller]
fn assert_case(import: &Import, (file, good, bad): &Case<'_>, agrees: bool) {
    let shown = String::from_utf8_lossy(file);
    let name = import.folder.write("bad.csv", file);
    let strict = import.in_all_ways(&[&name], &[]);
    let lenient = import.in_all_ways(&[&name], &["--max-rejects", "9"]);
    assert_eq!((lenient.code, &lenient.rows), (0, &rows(import, good)), "{shown}: {}", lenient.message);
    let told: Vec<_> = lenient.rejects.iter().map(|r| (r.0, r.1, r.2.as_deref(), r.3.as_str())).collect();
    assert_eq!(&told, bad, "{shown}");
    let server = copy(import, file);
    match lenient.rejects.first() {
        None => {
            assert_eq!((strict.code, &strict.rows), (0, &lenient.rows), "{shown}: {}", strict.message);
            assert!(!agrees || server.is_ok() && import.target.multiset("plain") == strict.rows, "{shown}: {server:?}");
        }
        Some((line, byte, column, state, reason)) => {
            let column = column.as_ref().map(|column| format!(", column \"{column}\"")).unwrap_or_default();
            let message = format!("hypercopy: bad.csv, line {line} (byte {byte}){column}: {reason} (SQLSTATE {state})");
            assert_eq!((strict.code, strict.message), (6, message), "{shown}");
            assert!(!agrees || server == Err((state.clone(), reason.clone())), "{shown}: {server:?}");
        }
    }
}

#[track_caller]
fn assert_cases(name: &str, cases: &[Case<'_>]) {
    let import = Import::new(name, METRICS);
    cases.iter().for_each(|case| assert_case(&import, case, true));
}

#[test]
fn line_ends_are_those_of_the_first_record() {
    assert_cases(
        "import_line_ends",
        &[
            (b"1,a\r\n2,b\r\n", "(1, 'a'), (2, 'b')", &[]),
            (b"1,a\r2,b\r", "(1, 'a'), (2, 'b')", &[]),
            (b"1,a\n2,b", "(1, 'a'), (2, 'b')", &[]),
            (b"1,a\n2,b\r\n3,c\n", "(1, 'a'), (3, 'c')", &[(2, 4, None, "22P04")]),
            (b"1,a\r\n2,b\n3,c\r\n4,d\r\n", "(1, 'a'), (4, 'd')", &[(2, 5, None, "22P04")]),
            (b"1,\"a\nb\"\n2,\"c\r\nd\"\n3,e\n", "(1, E'a\\nb'), (2, E'c\\r\\nd'), (3, 'e')", &[]),
        ],
    );
}

#[test]
fn quotes_are_read_as_the_server_reads_them() {
    assert_cases(
        "import_quotes",
        &[
            (b"1,\n2,\"\"\n", "(1, null), (2, '')", &[]),
            (b"1,\"a\"b\n2, \"a\"\n", "(1, 'ab'), (2, ' a')", &[]),
            (b"1,\"\\.\"\n2,b\n", "(1, '\\.'), (2, 'b')", &[]),
            (b"1,a\n2,\"b\n3,c\n", "(1, 'a')", &[(2, 4, None, "22P04")]),
            (b"1,a\na\"b,2\n3,c\n", "(1, 'a')", &[(2, 4, None, "22P04")]),
            (b"", "", &[]),
        ],
    );
}

#[test]
fn records_of_the_wrong_shape_are_named() {
    assert_cases(
        "import_shape",
        &[
            (b"1,a\n2\n3,c\n", "(1, 'a'), (3, 'c')", &[(2, 4, None, "22P04")]),
            (b"1,a\n2,b,c\n3,c\n", "(1, 'a'), (3, 'c')", &[(2, 4, None, "22P04")]),
            (b"1,a\n\n3,c\n", "(1, 'a'), (3, 'c')", &[(2, 4, None, "22P04")]),
            (b"1,a,\n2,b,\n", "", &[(1, 0, None, "22P04"), (2, 5, None, "22P04")]),
        ],
    );
}

#[test]
fn values_that_do_not_fit_are_named_with_their_column() {
    let import = Import::new("import_values", METRICS);
    let file = b"1,a\nx,b\n99999999999,c\n,d\n5,e\n6,f\n";
    // TimescaleDB says the column of a null in its message only.
    let bad = [(2, 4, Some("time"), "22P02"), (3, 8, Some("time"), "22003"), (4, 22, None, "23502")];
    assert_case(&import, &(file, "(1, 'a'), (5, 'e'), (6, 'f')", &bad), true);
}

#[test]
fn bytes_that_are_no_characters_are_bad_records_with_a_column() {
    let column = Some("v");
    assert_cases(
        "import_bytes",
        &[
            (b"1,a\n2,b\0c\n3,d\n", "(1, 'a'), (3, 'd')", &[(2, 4, column, "22021")]),
            (b"1,a\n2,\xff\n3,d\n", "(1, 'a'), (3, 'd')", &[(2, 4, column, "22021")]),
            (b"1,a\n2,\xed\xa0\x80\n3,d\n", "(1, 'a'), (3, 'd')", &[(2, 4, column, "22021")]),
            // A spelling that sends its block as text.
            (b"1,a\n 2,b\n3,\xff\n", "(1, 'a'), (2, 'b')", &[(3, 9, column, "22021")]),
        ],
    );
}

#[test]
fn the_end_of_data_marker_of_psql_ends_nothing() {
    let import = Import::new("import_marker", METRICS);
    let case: Case<'_> = (b"1,a\n\\.\n3,c\n", "(1, 'a'), (3, 'c')", &[(2, 4, None, "22P04")]);
    assert_case(&import, &case, false);
    let name = import.folder.write("one.csv", "1\n\\.\n3\n");
    let ended = import.in_all_ways(&[&name], &["--columns", "time", "--max-rejects", "1"]);
    assert_eq!(ended.rows, rows(&import, "(1, null), (3, null)"));
    assert_eq!((ended.rejects[0].0, ended.rejects[0].2.as_deref()), (2, Some("time")));
}

#[test]
fn a_byte_order_mark_is_skipped_and_said() {
    let import = Import::new("import_mark", METRICS);
    let name = import.folder.write("mark.csv", b"\xef\xbb\xbf1,a\n2,b\n");
    assert_eq!(import.in_all_ways(&[&name], &[]).rows, rows(&import, "(1, 'a'), (2, 'b')"));
    let run = import.import(&["metrics", &name]);
    assert!(run.stderr.contains("warning: the byte order mark at the file's start is skipped"), "{}", run.stderr);
}

#[test]
fn utf_16_is_refused_by_name() {
    let import = Import::new("import_utf16", METRICS);
    for (name, bytes) in [
        ("UTF-16LE", "\u{feff}1,a\n2,b\n".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()),
        ("UTF-16BE", "\u{feff}1,a\n2,b\n".encode_utf16().flat_map(u16::to_be_bytes).collect()),
        ("UTF-16LE", "1,a\n2,b\n".encode_utf16().flat_map(u16::to_le_bytes).collect()),
    ] {
        let file = import.folder.write("wide.csv", bytes);
        let ended = import.in_all_ways(&[&file], &[]);
        let message = format!("hypercopy: \"wide.csv\" is in encoding {name}, which no server takes");
        assert_eq!((ended.code, ended.message), (6, message));
    }
    assert_eq!(import.target.value("select to_regclass('_hypercopy.job')"), "NULL", "no job was begun");
}

/// Imports one file that is not what was meant, once; answers exit code and message, with the hint.
#[track_caller]
fn ended(import: &Import, file: &[u8], arguments: &[&str]) -> (i32, String) {
    let name = import.folder.write("odd.csv", file);
    let run = import.import(&[&["metrics", &name], arguments].concat());
    (run.code, import.folder.without_names(&run.stderr))
}

#[track_caller]
fn assert_said(said: (i32, String), code: i32, parts: &[&str]) {
    assert_eq!(said.0, code, "{}", said.1);
    for part in parts.iter().chain(&["hint: "]) {
        assert!(said.1.contains(part), "{part:?} in: {}", said.1);
    }
}

#[test]
fn headers_say_where_the_fields_go_or_are_refused() {
    let import = Import::new("import_headers", METRICS);
    let matched = ["--header", "match"];
    let ok = |file: &[u8], arguments: &[&str]| {
        let name = import.folder.write("header.csv", file);
        let ended = import.in_all_ways(&[&name], arguments);
        assert_eq!((ended.code, ended.rows), (0, rows(&import, "(1, 'a')")), "{}", ended.message);
    };
    ok(b"v,time\na,1\n", &matched);
    ok(b"Val,t\na,1\n", &["--header", "match", "--map", "t=time", "--map", "Val=v"]);
    ok(b"whatever\na,1\n", &["--header", "skip", "--columns", "v,time"]);
    ok(b"# a comment\r\n\nv,time\na,1\n", &["--header", "match", "--skip-lines", "2"]);
    ok(b"a,1\n", &["--columns", "v,time"]);
    let refused = |file: &[u8], arguments: &[&str], code: i32, part: &str| {
        assert_said(ended(&import, file, arguments), code, &[part]);
    };
    refused(b"v,tim\na,1\n", &matched, 6, "column \"tim\" of the header does not exist");
    refused(b"time,time\n1,1\n", &matched, 6, "column \"time\" specified more than once");
    refused(b"1,a\n", &matched, 6, "column \"1\" of the header does not exist");
    refused(b"time;v\n1;a\n", &matched, 6, "it looks delimited by ';'");
    refused(b"v,time\na,1\n", &["--header", "match", "--map", "x=time"], 6, "column \"x\" of --map does not exist");
    refused(b"a,1\n", &["--columns", "v,tim"], 3, "column tim of public.metrics does not exist");
    refused(b"a,1\n", &["--columns", "v,v"], 3, "column v is specified more than once");
    assert_eq!(import.target.value("select count(*) from _hypercopy.job where state <> 'finished'"), "0");
}

#[test]
fn files_of_one_import_have_one_header() {
    let import = Import::new("import_files_headers", METRICS);
    let matched = ["--header", "match"];
    let first = import.folder.write("a.csv", "v,time\na,1\n");
    let empty = import.folder.write("b.csv", "");
    let other = import.folder.write("c.csv", "time,v\n2,b\n");
    let alike = import.folder.write("d.csv", "v,time\r\nb,2\r\n");
    let ended = import.in_all_ways(&[&first, &empty, &alike], &matched);
    assert_eq!((ended.code, ended.rows), (0, rows(&import, "(1, 'a'), (2, 'b')")), "{}", ended.message);
    let ended = import.in_all_ways(&[&first, &other], &matched);
    assert_eq!((ended.code, &*ended.message), (6, "hypercopy: c.csv: the header is not that of the first file"));
    let ended = import.in_all_ways(&[&empty, &alike], &matched);
    let message = "hypercopy: d.csv: the first file has no header that this one could be like";
    assert_eq!((ended.code, &*ended.message), (6, message));
}

#[test]
fn a_wrong_delimiter_is_told_before_anything_is_done() {
    let import = Import::new("import_delimiter", METRICS);
    import.target.run("insert into metrics values (7, 'kept')");
    for (file, looks) in [(&b"1;a\n2;b\n"[..], "';'"), (b"1\ta\n2\tb\n", "tab"), (b"1|a\n2|b\n", "'|'")] {
        let said = ended(&import, file, &["--truncate"]);
        let expected = format!("odd.csv, line 1: 1 field where there are 2 columns; it looks delimited by {looks}");
        assert_said(said, 6, &[&expected, "--delimiter"]);
    }
    assert_eq!(import.target.multiset("metrics"), rows(&import, "(7, 'kept')"), "nothing was emptied");
    assert_eq!(import.target.value("select to_regclass('_hypercopy.job')"), "NULL", "no job was begun");
    let second = import.folder.write("second.csv", "2;b\n");
    let first = import.folder.write("first.csv", "1,a\n");
    let ended = import.in_all_ways(&[&first, &second], &[]);
    assert!(ended.code == 6 && ended.message.starts_with("hypercopy: second.csv, line 1: 1 field "), "{ended:?}");
}

#[test]
fn other_dialects_are_read() {
    let import = Import::new("import_dialects", METRICS);
    let reads = |file: &[u8], arguments: &[&str], values: &str| {
        let name = import.folder.write("dialect.csv", file);
        let ended = import.in_all_ways(&[&name], arguments);
        assert_eq!((ended.code, ended.rows), (0, rows(&import, values)), "{arguments:?}: {}", ended.message);
    };
    reads(b"1\ta,b\n", &["--delimiter", "\\t"], "(1, 'a,b')");
    reads(b"1,'it\\'s \\\\ ''x'\n2,b\n", &["--quote", "'", "--escape", "\\"], "(1, 'it''s \\ x'), (2, 'b')");
    reads(b"1,NA\n2,\"NA\"\n3,\n", &["--null", "NA"], "(1, null), (2, 'NA'), (3, '')");
    reads(b"1,\\N\n2,\"\\N\"\n", &["--null", "\\N"], "(1, null), (2, '\\N')");
}

#[test]
fn other_encodings_are_the_servers_business_where_they_can_be_cut() {
    let import = Import::new("import_encodings", METRICS);
    let latin = import.folder.write("latin.csv", b"1,gr\xf6\xdfe\n2,b\n");
    let ended_so = import.in_all_ways(&[&latin], &["--encoding", "LATIN1"]);
    assert_eq!((ended_so.code, ended_so.rows), (0, rows(&import, "(1, 'größe'), (2, 'b')")), "{}", ended_so.message);
    let headed = import.folder.write("headed.csv", b"time,gr\xf6\xdfe\n1,gr\xf6\xdfe\n");
    let arguments = ["--encoding", "LATIN1", "--header", "match", "--map", "größe=v"];
    let ended_so = import.in_all_ways(&[&headed], &arguments);
    assert_eq!((ended_so.code, ended_so.rows), (0, rows(&import, "(1, 'größe')")), "{}", ended_so.message);
    let half = import.folder.write("half.csv", b"1,\xa4\xa2\n2,\xa4\n3,c\n");
    let ended_so = import.in_all_ways(&[&half], &["--encoding", "EUC_JP", "--max-rejects", "1"]);
    assert_eq!(ended_so.rows, rows(&import, "(1, 'あ'), (3, 'c')"));
    assert_eq!((ended_so.rejects[0].0, &*ended_so.rejects[0].3), (2, "22021"));
    let refused = |arguments: &[&str], code: i32, part: &str| {
        assert_said(ended(&import, b"1,a\n", arguments), code, &[part]);
    };
    refused(&["--encoding", "SJIS"], 2, "files in SJIS cannot be cut into blocks");
    refused(&["--encoding", "klingon"], 3, "the server knows no encoding \"klingon\"");
    refused(&["--encoding", "LATIN1", "--null", "é"], 2, "--null has to be ASCII");
}

#[test]
fn sixteen_hundred_columns_are_imported() {
    let columns: String = (1..1600).map(|n| format!(", c{n} smallint")).collect();
    let import = Import::new(
        "import_columns",
        &format!(
            "create table metrics (time int not null{columns}); select create_hypertable('metrics', 'time', chunk_time_interval => 10)"
        ),
    );
    let record = |n: u64, fields: usize| vec![n.to_string(); fields].join(",") + "\n";
    let file = [record(1, 1600), record(2, 1601), record(3, 1600), record(4, 1700)].concat();
    let name = import.folder.write("columns.csv", file);
    let ended = import.in_all_ways(&[&name], &["--max-rejects", "2"]);
    assert_eq!((ended.code, ended.rejects.len()), (0, 2), "{}", ended.message);
    assert_eq!(
        import.target.value("select string_agg(time || '=' || c1599, ' ' order by time) from metrics"),
        "1=1 3=3"
    );
    import.target.run("create unique index on metrics (time)");
    let ended = import.anew(&[&name], &["--on-conflict", "skip"]);
    assert_eq!(ended.code, 3, "{}", ended.message);
}

#[test]
fn a_field_of_300_megabytes_needs_twice_its_size() {
    let import = Import::new("import_huge", METRICS);
    import.target.run("alter table metrics alter v set storage external");
    let half = vec![b'x'; 150_000_000];
    let name = import.folder.write("huge.csv", [b"1,a\n2,\"", &half[..], b"\n", &half, b"\"\n3,c\n"].concat());
    drop(half);
    let run = import.import(&["metrics", &name, "-j", "2"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(import.target.value("select count(*) || ' ' || max(length(v)) from metrics"), "3 300000001");
    let peak = run.json()["engine"]["peak_memory_bytes"].as_u64().expect("the report tells the engine's memory");
    assert!(peak < (300 << 20) + 2 * 300_000_000, "{peak}");
}

#[test]
fn what_cannot_be_opened_is_refused_before_anything_is_done() {
    let import = Import::new("import_unopened", METRICS);
    let there = import.folder.write("there.csv", "1,a\n");
    let (missing, glob) = (import.folder.path("missing.csv"), import.folder.path("no*.csv"));
    let directory = import.folder.path("");
    for (files, part) in [
        (&[&*there, &*missing][..], "could not open file \"missing.csv\""),
        (&[&*glob], "as a glob it matches none"),
        (&[&*directory], "is a directory"),
        (&[&*there, &*there], "is named twice"),
    ] {
        let run = import.import(&[&["metrics"], files].concat());
        assert_said((run.code, import.folder.without_names(&run.stderr)), 3, &[part]);
    }
    assert_eq!(import.target.value("select to_regclass('_hypercopy.job')"), "NULL", "no job was begun");
}

/// What a program of the system makes of these bytes.
fn through(program: &str, bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program).arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.stdout
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

#[test]
fn compressed_files_that_break_off_are_errors_and_no_ends() {
    let import = Import::new("import_broken", METRICS);
    let text: String = (0..20_000).map(|n| format!("{},a{}\n", n % 40, n * 7919 % 1000)).collect();
    for program in ["gzip", "zstd", "lz4"].into_iter().filter(|program| is_there(program)) {
        let whole = through(program, text.as_bytes());
        let cut = import.folder.write("cut", &whole[..whole.len() / 2]);
        for way in [["-j", "1", "--block-size", "64KiB"], ["-j", "4", "--block-size", "1GiB"]] {
            let ended = import.anew(&[&cut], &way);
            assert_eq!(ended.code, 6, "{}", ended.message);
            assert!(ended.message.contains(&format!("\"cut\" is truncated: its {program} data")), "{}", ended.message);
        }
        let twice = import.folder.write("twice", [through(program, b"1,a\n"), through(program, b"2,b\n")].concat());
        assert_eq!(import.in_all_ways(&[&twice], &[]).rows, rows(&import, "(1, 'a'), (2, 'b')"), "{program}");
    }
}

#[test]
fn one_bad_file_among_others_is_named() {
    let import = Import::new("import_several", METRICS);
    import.folder.write("s1.csv", "1,a\n");
    import.folder.write("s2.csv", "2,b\nx,c\n");
    import.folder.write("s3.csv", "4,d\ny,e\n");
    let glob = import.folder.path("s*.csv");
    let ended = import.in_all_ways(&[&glob], &[]);
    let reason = "column \"time\": invalid input syntax for type integer: \"x\" (SQLSTATE 22P02)";
    assert_eq!((ended.code, ended.message), (6, format!("hypercopy: s2.csv, line 2 (byte 4), {reason}")));
    let ended = import.in_all_ways(&[&glob], &["--max-rejects", "2"]);
    assert_eq!((ended.code, ended.rows), (0, rows(&import, "(1, 'a'), (2, 'b'), (4, 'd')")));
    assert_eq!(ended.rejects.iter().map(|reject| reject.0).collect::<Vec<_>>(), [2, 2]);
}

/// Imports a file that is changed when its first record is at the gate.
fn changed_meanwhile(name: &str, change: impl FnOnce(&Import)) -> (Import, (i32, String)) {
    let import = Import::new(
        name,
        "create function gate() returns trigger language plpgsql as
             'begin perform pg_advisory_xact_lock_shared(42); return new; end';
         create table metrics (time int not null, v text);
         select create_hypertable('metrics', 'time', chunk_time_interval => 1000000);
         create trigger gate before insert on metrics for each row when (new.time = 0) execute function gate()",
    );
    // More than is read ahead: it cannot have been read to its end when the first block is at the gate.
    let text: String = (0..400_000).map(|n| format!("{n},some text that makes the file longer\n")).collect();
    let file = import.folder.write("changing.csv", text);
    let gate = Hold::gate(&import.target);
    let child = import.command(&["metrics", &file, "-j", "1", "--block-size", "64KiB"]).spawn().unwrap();
    wait_until_held(&import.target, 1);
    change(&import);
    gate.open();
    let run = end(child);
    let said = (run.code, import.folder.without_names(&run.stderr));
    (import, said)
}

#[test]
fn a_file_that_grows_meanwhile_is_not_taken_for_whole() {
    let grow = |import: &Import| {
        let path = import.folder.path("changing.csv");
        std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"9,late\n").unwrap();
    };
    let (import, said) = changed_meanwhile("import_grows", grow);
    assert_said(said, 6, &["\"changing.csv\" has changed while it was read", "rows and left out 0 records"]);
    assert_eq!(import.target.value("select count(*) from metrics where v = 'late'"), "0");
}

#[test]
fn a_file_that_shrinks_meanwhile_is_not_taken_for_whole() {
    let shrink = |import: &Import| {
        let path = import.folder.path("changing.csv");
        std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(1 << 20).unwrap();
    };
    let (_, said) = changed_meanwhile("import_shrinks", shrink);
    assert_said(said, 6, &["\"changing.csv\" has changed while it was read", "1048576 now"]);
}

/// Imports stdin, into which these bytes are written before it is closed.
fn piped(import: &Import, bytes: &[u8], arguments: &[&str]) -> (i32, String) {
    let mut child = import.command(&[&["metrics", "-"], arguments].concat()).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let run = end(child);
    (run.code, run.stderr)
}

#[test]
fn stdin_that_is_closed_early_leaves_a_bad_record() {
    let import = Import::new("import_stdin", METRICS);
    assert_eq!(piped(&import, b"", &["--import-id", "empty"]).0, 0);
    assert_said(
        piped(&import, b"1,a\n2", &["--import-id", "cut"]),
        6,
        &["stdin, line 2 (byte 4): missing data for column \"v\" (SQLSTATE 22P04)"],
    );
    // The stream comes again, whole this time: what is in is not stored twice.
    import.target.run("truncate metrics");
    assert_eq!(piped(&import, b"1,a\n2,b\n", &["--import-id", "whole"]).0, 0);
    assert_eq!(import.target.multiset("metrics"), rows(&import, "(1, 'a'), (2, 'b')"));
}

#[test]
fn a_fifo_is_read_to_its_end() {
    let import = Import::new("import_fifo", METRICS);
    for (n, way) in crate::import_ways::WAYS.iter().enumerate() {
        let path = import.folder.path(&format!("fifo{n}"));
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let writer = std::thread::spawn({
            let path = path.clone();
            move || std::fs::write(path, "1,a\nx,b\n3,c\n").unwrap()
        });
        let Ended { code, rows: stored, rejects, message } =
            import.anew(&[&path], &[&way[..], &["--max-rejects", "1"]].concat());
        writer.join().unwrap();
        assert_eq!((code, stored), (0, rows(&import, "(1, 'a'), (3, 'c')")), "{message}");
        assert_eq!((rejects[0].0, rejects[0].1), (2, 4));
    }
}

#[test]
fn odd_times_and_numbers_are_what_the_server_makes_of_them() {
    let import = Import::new(
        "import_odd",
        "create table metrics (time timestamptz not null, n numeric(5,2), f float8, i smallint);
         select create_hypertable('metrics', 'time', chunk_time_interval => interval '100 years');
         create table plain (like metrics); set timezone = 'UTC'",
    );
    let good = "2024-12-31 24:00:00,1,NaN,1\n2024-12-31 23:59:60,2,-0,2\n0044-03-15 BC,999.99,1e308,3\n\
                2024-03-10 02:30,-1.005,Infinity,-32768\n Jan 2 2024 ,1e2, 1 ,+5\n";
    let bad = "2024-01-01,1000,1,1\n2024-01-01,1,1e400,1\n2024-01-01,1,1,32768\n2024-02-30,1,1,1\n294277-01-01,1,1,1\n\
               infinit,1,1,1\n2024-01-01,\"1,5\",1,1\n";
    let name = import.folder.write("odd.csv", format!("{good}{bad}"));
    let ended = import.in_all_ways(&[&name], &["--max-rejects", "7"]);
    assert_eq!(ended.code, 0, "{}", ended.message);
    let states: Vec<_> = ended.rejects.iter().map(|r| (r.2.as_deref().unwrap_or(""), r.3.as_str())).collect();
    #[rustfmt::skip]
    assert_eq!(states, [("n", "22003"), ("f", "22003"), ("i", "22003"), ("time", "22008"), ("time", "22008"),
        ("time", "22007"), ("n", "22P02")]);
    assert_eq!(copy(&import, good.as_bytes()), Ok(()));
    assert_eq!(ended.rows, import.target.multiset("plain"));
}

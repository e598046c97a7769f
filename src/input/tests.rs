use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;

/// A directory that goes when the test does.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("hypercopy-input-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Directory(path)
    }

    /// Writes a file and answers its name.
    fn file(&self, name: &str, contents: &[u8]) -> String {
        let name = self.name(name);
        fs::write(&name, contents).unwrap();
        name
    }

    fn name(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn find_one(name: &str) -> Input {
    let mut inputs = find(&[name.to_owned()]).unwrap();
    assert_eq!(inputs.len(), 1);
    inputs.pop().unwrap()
}

fn refused(names: &[&str]) -> Error {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let error = find(&names).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.hint_text().is_some() && !error.is_retryable());
    error
}

/// Reads to the end in pieces of these lengths, over and over.
fn drain(stream: &mut Stream, pieces: &[usize]) -> Result<Vec<u8>> {
    let mut contents = Vec::new();
    for piece in pieces.iter().cycle() {
        let mut buffer = vec![0; *piece];
        match stream.read(&mut buffer)? {
            0 => break,
            length => contents.extend_from_slice(&buffer[..length]),
        }
    }
    assert_eq!(stream.read(&mut [0])?, 0, "the end stays the end");
    Ok(contents)
}

fn read_all(input: &Input) -> Result<Vec<u8>> {
    drain(&mut input.open(0)?, &[64 << 10])
}

fn gzip(contents: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::GzBuilder::new()
        .filename("a.csv")
        .comment("made by a test")
        .extra("extra")
        .write(Vec::new(), flate2::Compression::fast());
    encoder.write_all(contents).unwrap();
    encoder.finish().unwrap()
}

fn zstd(contents: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    // A block of its own for either half, so that a file can be cut between two.
    let (first, second) = contents.split_at(contents.len() / 2);
    encoder.write_all(first).unwrap();
    encoder.flush().unwrap();
    encoder.write_all(second).unwrap();
    encoder.finish().unwrap()
}

fn lz4(contents: &[u8]) -> Vec<u8> {
    let info = lz4_flex::frame::FrameInfo::new().content_checksum(true).block_checksums(true);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    let (first, second) = contents.split_at(contents.len() / 2);
    encoder.write_all(first).unwrap();
    encoder.flush().unwrap();
    encoder.write_all(second).unwrap();
    encoder.finish().unwrap()
}

type Encode = fn(&[u8]) -> Vec<u8>;
const ENCODERS: [(Codec, Encode); 3] = [(Codec::Gzip, gzip), (Codec::Zstd, zstd), (Codec::Lz4, lz4)];

fn rows(count: usize) -> Vec<u8> {
    (0..count).flat_map(|i| format!("2025-01-01 00:00:{:02}+00,{i},{}\n", i % 60, i * i % 977).into_bytes()).collect()
}

#[test]
fn a_plain_file_is_opened_anywhere() {
    let directory = Directory::new();
    let input = find_one(&directory.file("a.csv", b"a,1\nb,2\n"));
    assert!(input.is_seekable());
    assert_eq!((input.size(), input.codec()), (Some(8), Codec::None));
    for at in 0..=8 {
        let mut stream = input.open(at).unwrap();
        assert_eq!(stream.raw_position(), at);
        assert_eq!(drain(&mut stream, &[3]).unwrap(), &b"a,1\nb,2\n"[at as usize..]);
        assert_eq!(stream.raw_position(), 8);
        stream.check_unchanged().unwrap();
    }
    assert_eq!(input.open(9).unwrap_err().kind(), Kind::Input);
}

#[test]
fn a_file_of_zero_bytes_has_no_rows() {
    let directory = Directory::new();
    let input = find_one(&directory.file("empty.csv.gz", b""));
    assert_eq!((input.size(), input.codec(), input.is_seekable()), (Some(0), Codec::None, true));
    assert_eq!(read_all(&input).unwrap(), b"");
}

#[test]
fn compressed_files_are_told_by_their_contents_and_read() {
    let directory = Directory::new();
    for (codec, encode) in ENCODERS {
        for contents in [rows(40_000), Vec::new()] {
            let bytes = encode(&contents);
            let input = find_one(&directory.file("a.csv", &bytes));
            assert_eq!((input.codec(), input.is_seekable()), (codec, false));
            let mut stream = input.open(0).unwrap();
            assert!(drain(&mut stream, &[10_000]).unwrap() == contents, "{codec:?}");
            assert_eq!(stream.raw_position(), bytes.len() as u64);
            assert_eq!(input.open(1).unwrap_err().kind(), Kind::Internal);
        }
    }
}

#[test]
fn members_and_frames_one_after_the_other_are_one_stream() {
    let directory = Directory::new();
    for (codec, encode) in ENCODERS {
        let parts = [&b"a,1\n"[..], b"", b"b,", b"2\n", b""];
        let bytes: Vec<u8> = parts.iter().flat_map(|part| encode(part)).collect();
        let input = find_one(&directory.file("a.csv", &bytes));
        assert_eq!(read_all(&input).unwrap(), b"a,1\nb,2\n", "{codec:?}");
    }
}

#[test]
fn skippable_frames_of_zstd_are_passed_over() {
    let directory = Directory::new();
    let skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00\x01\x02\x03\x04";
    let bytes = [&skippable[..], &zstd(b"a\n"), skippable, &zstd(b"b\n"), skippable].concat();
    assert_eq!(read_all(&find_one(&directory.file("a", &bytes))).unwrap(), b"a\nb\n");
}

#[test]
fn a_compressed_file_that_is_cut_anywhere_is_truncated() {
    let directory = Directory::new();
    for (codec, encode) in ENCODERS {
        let bytes = encode(&rows(20));
        for length in 1..bytes.len() {
            let input = find_one(&directory.file("a.csv.zst", &bytes[..length]));
            let error = read_all(&input).unwrap_err();
            assert_eq!(error.kind(), Kind::Input, "{codec:?} cut at {length}");
            assert!(error.message().contains("is truncated"), "{codec:?} cut at {length}: {error}");
            assert!(!error.is_retryable() && error.hint_text().is_some());
        }
    }
}

#[test]
fn a_second_member_or_frame_that_is_cut_is_truncated() {
    let directory = Directory::new();
    for (codec, encode) in ENCODERS {
        let (first, second) = (encode(b"a,1\n"), encode(b"b,2\n"));
        for length in 1..second.len() {
            let input = find_one(&directory.file("a", &[&first, &second[..length]].concat()));
            let error = read_all(&input).unwrap_err();
            assert!(error.message().contains("is truncated"), "{codec:?} cut at {length}: {error}");
        }
    }
}

#[test]
fn bytes_behind_the_last_member_or_frame_are_an_error() {
    let directory = Directory::new();
    for (codec, encode) in ENCODERS {
        for garbage in [&b"garbage behind it"[..], b"\0", &[0; 512]] {
            let input = find_one(&directory.file("a", &[&encode(b"a,1\n"), garbage].concat()));
            assert_eq!(read_all(&input).unwrap_err().kind(), Kind::Input, "{codec:?}");
        }
    }
}

#[test]
fn after_an_error_there_is_no_end() {
    let directory = Directory::new();
    for (_, encode) in ENCODERS {
        let bytes = encode(b"a,1\n");
        let input = find_one(&directory.file("a", &bytes[..bytes.len() - 1]));
        let mut stream = input.open(0).unwrap();
        assert!(drain(&mut stream, &[100]).is_err());
        assert_eq!(stream.read(&mut [0; 100]).unwrap_err().kind(), Kind::Internal);
    }
}

#[test]
fn a_window_that_zstd_would_not_take_either_is_refused_by_its_size() {
    let directory = Directory::new();
    let encode = |log| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(b"a,1\n").unwrap();
        encoder.finish().unwrap()
    };
    let input = find_one(&directory.file("a.zst", &encode(27)));
    assert_eq!(read_all(&input).unwrap(), b"a,1\n");
    let error = read_all(&find_one(&directory.file("b.zst", &encode(28)))).unwrap_err();
    assert_eq!(error.kind(), Kind::Input);
    assert!(error.message().ends_with("needs more than 128 MiB of memory to be decompressed"), "{error}");
}

#[test]
fn text_in_utf_16_is_refused_by_name() {
    let directory = Directory::new();
    let text: Vec<u8> = "\u{feff}time,value\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [text.clone(), gzip(&text)] {
        let error = read_all(&find_one(&directory.file("a.csv", &bytes))).unwrap_err();
        assert_eq!(error.kind(), Kind::Input);
        assert!(error.message().contains("UTF-16LE"), "{error}");
    }
}

#[test]
fn of_a_file_that_grows_only_what_was_found_is_read() {
    let directory = Directory::new();
    let name = directory.file("a.csv", b"a,1\n");
    let input = find_one(&name);
    let mut stream = input.open(0).unwrap();
    File::options().append(true).open(&name).unwrap().write_all(b"b,2\n").unwrap();
    assert_eq!(drain(&mut stream, &[100]).unwrap(), b"a,1\n");
    let error = stream.check_unchanged().unwrap_err();
    assert_eq!(error.kind(), Kind::Input);
    assert_eq!(error.message(), format!("\"{name}\" has changed while it was read: 4 bytes then, 8 now"));
    assert_eq!(input.open(0).unwrap_err().message(), error.message());
}

#[test]
fn a_file_that_shrinks_is_an_error_and_no_end() {
    let directory = Directory::new();
    for bytes in [
        rows(20_000),
        gzip(&(0..300_000u32).flat_map(|i| i.wrapping_mul(2654435761).to_le_bytes()).collect::<Vec<u8>>()),
    ] {
        let name = directory.file("a.csv", &bytes);
        let input = find_one(&name);
        let mut stream = input.open(0).unwrap();
        stream.read(&mut [0; 100]).unwrap();
        File::options().write(true).open(&name).unwrap().set_len(300_000).unwrap();
        let error = drain(&mut stream, &[1000]).unwrap_err();
        let now = format!("\"{name}\" has changed while it was read: {} bytes then, 300000 now", bytes.len());
        assert_eq!((error.kind(), error.message()), (Kind::Input, &*now));
    }
}

#[test]
fn a_file_that_another_one_has_replaced_is_a_changed_file() {
    let directory = Directory::new();
    let name = directory.file("a.csv", b"a,1\n");
    let input = find_one(&name);
    fs::rename(directory.file("b.csv", b"b,2\n"), &name).unwrap();
    assert_eq!(input.open(0).unwrap_err().kind(), Kind::Input);
}

#[test]
fn a_fingerprint_is_of_the_contents_alone() {
    let directory = Directory::new();
    let of = |name: &str, bytes: &[u8]| find_one(&directory.file(name, bytes)).fingerprint().unwrap();
    let large = rows(300_000);
    assert!(large.len() > 8 << 20);
    let fingerprint = of("a", &large);
    assert_eq!(of("b", &large), fingerprint);
    assert_eq!((fingerprint.size_bytes, fingerprint.xxh3.len()), (large.len() as u64, 32));
    for at in [0, 1000, large.len() - 1] {
        let mut changed = large.clone();
        changed[at] ^= 1;
        assert_ne!(of("c", &changed), fingerprint, "byte {at}");
    }
    let stored = serde_json::to_string(&fingerprint).unwrap();
    assert_eq!(serde_json::from_str::<Fingerprint>(&stored).unwrap(), fingerprint);
    assert_eq!(of("d", b"").xxh3, "99aa06d3014798d86001c324468d497f");
}

#[test]
fn globs_are_sorted_and_arguments_keep_their_order() {
    let directory = Directory::new();
    for name in ["b1.csv", "b10.csv", "b2.csv", "a.csv", ".hidden.csv", "[x].csv"] {
        directory.file(name, name.as_bytes());
    }
    fs::create_dir(directory.name("directory.csv")).unwrap();
    let names = |arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(|argument| directory.name(argument)).collect();
        let found = find(&arguments).unwrap().iter().map(|input| input.name().to_owned()).collect::<Vec<_>>();
        found.iter().map(|name| name.rsplit('/').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&["b*.csv", "a.csv"]), ["b1.csv", "b10.csv", "b2.csv", "a.csv"]);
    assert_eq!(names(&["*.csv"]), ["[x].csv", "a.csv", "b1.csv", "b10.csv", "b2.csv"]);
    assert_eq!(names(&["[x].csv"]), ["[x].csv"], "a name that exists is no glob");
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    let directory = Directory::new();
    let missing = directory.name("missing.csv");
    assert_eq!(refused(&[&missing]).message(), format!("could not open file \"{missing}\" for reading"));
    let folder = directory.name("");
    assert_eq!(refused(&[&folder]).message(), format!("\"{folder}\" is a directory"));
    let glob = directory.name("*.csv");
    assert!(refused(&[&glob]).message().ends_with("as a glob it matches none"));
    assert!(refused(&[&directory.name("[.csv")]).message().ends_with("it is no glob"));
    assert!(refused(&["/proc/self/status"]).message().ends_with("says that it is empty, and is not"));
}

#[test]
fn what_is_named_twice_is_refused() {
    let directory = Directory::new();
    let name = directory.file("a.csv", b"a");
    let link = directory.name("link.csv");
    std::os::unix::fs::symlink(&name, &link).unwrap();
    assert_eq!(refused(&["-", &name, "-"]).message(), "stdin is named twice");
    assert_eq!(refused(&[&name, &name]).message(), format!("\"{name}\" is named twice"));
    let error = refused(&[&directory.name("*.csv")]);
    assert_eq!(error.message(), format!("\"{name}\" and \"{link}\" are the same file"));
}

/// The reading end of a pipe as a shell's `<(…)` names it, to be kept, and the name.
fn pipe(bytes: Vec<u8>) -> (std::io::PipeReader, String, std::thread::JoinHandle<()>) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let name = format!("/proc/self/fd/{}", reader.as_raw_fd());
    // One byte at a time at first: the codec must not depend on what one read answers.
    let write = move || {
        let (slow, fast) = bytes.split_at(bytes.len().min(20));
        slow.iter().for_each(|byte| writer.write_all(&[*byte]).unwrap());
        writer.write_all(fast).unwrap();
    };
    (reader, name, std::thread::spawn(write))
}

#[test]
fn a_pipe_is_read_once_and_whole() {
    for (codec, bytes) in [(Codec::None, rows(5000)), (Codec::Gzip, gzip(&rows(5000))), (Codec::None, b"a".to_vec())] {
        for asks_before in [true, false] {
            let (end, name, writer) = pipe(bytes.clone());
            let input = find_one(&name);
            assert_eq!((input.size(), input.fingerprint(), input.is_seekable()), (None, None, false));
            if asks_before {
                assert_eq!(input.codec(), codec);
            }
            let mut stream = input.open(0).unwrap();
            // What is left open here would keep the pipe from its end only for writers.
            drop(end);
            let contents = drain(&mut stream, &[777]).unwrap();
            writer.join().unwrap();
            assert!(contents == if codec == Codec::None { bytes.clone() } else { rows(5000) });
            assert_eq!(input.codec(), codec);
            stream.check_unchanged().unwrap();
            assert_eq!(input.open(0).unwrap_err().kind(), Kind::Internal);
        }
    }
}

#[test]
fn a_pipe_in_a_format_that_is_not_read_stays_refused() {
    let (_end, name, writer) = pipe(b"BZh91AY&SY and more\n".to_vec());
    let input = find_one(&name);
    assert_eq!(input.codec(), Codec::None);
    assert!(input.open(0).unwrap_err().message().contains("bzip2"));
    assert_eq!(input.open(0).unwrap_err().kind(), Kind::Internal);
    writer.join().unwrap();
}

#[test]
fn a_fifo_is_not_opened_before_it_is_read() {
    let directory = Directory::new();
    let name = directory.name("fifo");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &name, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let input = find_one(&name);
    let writer = std::thread::spawn(move || fs::write(name, b"a,1\n").unwrap());
    assert_eq!(read_all(&input).unwrap(), b"a,1\n");
    writer.join().unwrap();
}

/// Set in the process that reads stdin for [`stdin_goes_on_where_it_stands`].
const READS_STDIN: &str = "HYPERCOPY_TEST_READS_STDIN";

#[test]
fn stdin_goes_on_where_it_stands() {
    if std::env::var_os(READS_STDIN).is_some() {
        let input = find(&[]).unwrap().pop().unwrap();
        assert_eq!((input.name(), input.size()), ("-", None));
        let contents = read_all(&input).unwrap();
        eprintln!("read: {}", String::from_utf8(contents).unwrap());
        return;
    }
    let directory = Directory::new();
    let mut file = File::open(directory.file("a.csv", b"header\na,1\n")).unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(7)).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "input::tests::stdin_goes_on_where_it_stands", "--nocapture"])
        .env(READS_STDIN, "1")
        .stdin(Stdio::from(file))
        .output()
        .unwrap();
    let mut lines = BufReader::new(&output.stderr[..]).lines().map(|line| line.unwrap());
    assert!(lines.any(|line| line == "read: a,1"), "{output:?}");
}

#[test]
fn a_stream_can_be_read_by_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Stream>();
    is_send::<Input>();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_split_of_reads_gives_the_same_bytes(
        pieces in prop::collection::vec(1..5000usize, 1..20),
        count in 0..3000usize,
        encoder in 0..4usize,
    ) {
        let directory = Directory::new();
        let contents = rows(count);
        let bytes = if encoder < 3 { ENCODERS[encoder].1(&contents) } else { contents.clone() };
        let input = find_one(&directory.file("a", &bytes));
        prop_assert_eq!(drain(&mut input.open(0).unwrap(), &pieces).unwrap(), contents);
    }

    #[test]
    fn a_changed_byte_is_an_error_or_changes_nothing(at in any::<prop::sample::Index>(), flip in 1..=255u8, encoder in 0..3usize) {
        let directory = Directory::new();
        let contents = rows(300);
        let mut bytes = ENCODERS[encoder].1(&contents);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let Ok(mut inputs) = find(&[directory.file("a", &bytes)]) else { return Ok(()) };
        let input = inputs.pop().unwrap();
        // A changed magic number makes it a text.
        if let Ok(read) = read_all(&input) && input.codec() != Codec::None {
            prop_assert_eq!(read, contents);
        }
    }

    #[test]
    fn a_plain_file_reads_the_same_from_any_byte(at in any::<prop::sample::Index>(), pieces in prop::collection::vec(1..500usize, 1..9)) {
        let directory = Directory::new();
        let contents = rows(100);
        let at = at.index(contents.len() + 1);
        let input = find_one(&directory.file("a", &contents));
        prop_assert_eq!(drain(&mut input.open(at as u64).unwrap(), &pieces).unwrap(), &contents[at..]);
    }
}

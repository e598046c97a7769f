//! No password file makes its reader panic, and it finds what the loops of libpq find, byte by byte.
//! `cargo +nightly fuzz run find_password`
//!
//! The first three lines of an input are host, database and user, the rest is the file.
#![no_main]

use hypercopy::connect::{Login, find_password};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let parts: Vec<&str> = text.splitn(4, '\n').collect();
    let [host, database, user, file] = parts[..] else { return };
    // Who connects has all three, and C's strings end at the first zero.
    if [host, database, user].iter().any(|part| part.is_empty()) || text.contains('\0') {
        return;
    }
    let found = find_password(file, &Login { host, port: 5432, database, user });
    assert_eq!(found, as_libpq([host, "5432", database, user], file));
});

fn as_libpq(wanted: [&str; 4], file: &str) -> Option<String> {
    file.split('\n').filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut rest = line.trim_end_matches('\r').as_bytes();
        for token in wanted {
            rest = behind(rest, token.as_bytes())?;
        }
        let mut password = Vec::new();
        let mut at = 0;
        while at < rest.len() && rest[at] != b':' {
            at += usize::from(rest[at] == b'\\' && at + 1 < rest.len());
            password.push(rest[at]);
            at += 1;
        }
        Some(String::from_utf8(password).expect("only whole characters are left out"))
    })
}

/// What stands behind a field that is this.
fn behind<'l>(line: &'l [u8], token: &[u8]) -> Option<&'l [u8]> {
    if line.starts_with(b"*:") {
        return Some(&line[2..]);
    }
    let (mut at, mut wanted, mut is_escaped) = (0, 0, false);
    while at < line.len() {
        if line[at] == b'\\' && !is_escaped {
            at += 1;
            is_escaped = true;
        }
        let byte = line.get(at).copied()?;
        if byte == b':' && wanted == token.len() && !is_escaped {
            return Some(&line[at + 1..]);
        }
        is_escaped = false;
        if token.get(wanted) != Some(&byte) {
            return None;
        }
        (at, wanted) = (at + 1, wanted + 1);
    }
    None
}

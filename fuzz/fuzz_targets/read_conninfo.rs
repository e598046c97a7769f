//! No text makes the reader of connection strings panic, and what a URI says can be said with keywords.
//! `cargo +nightly fuzz run read_conninfo`
#![no_main]

use hypercopy::connect::Parameters;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(parameters) = Parameters::parse(text) {
        let quoted = |value: &str| format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"));
        let keywords: Vec<_> = parameters.iter().map(|(keyword, value)| format!("{keyword}={}", quoted(value))).collect();
        let again = Parameters::parse(&keywords.join(" ")).expect("what was read can be written");
        assert!(again == parameters, "{keywords:?}");
    }
});

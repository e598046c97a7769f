//! No bytes make the reader of manifests panic, and what it takes it writes as something that it takes as well.
//! `cargo +nightly fuzz run read_manifest`
#![no_main]

use hypercopy::archive::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::parse(bytes) {
        assert!(manifest.segments.iter().all(|segment| manifest.number(segment).is_some() && !segment.file.contains('/')));
        let written = manifest.to_json().expect("what was read can be written");
        let again = Manifest::parse(&written).expect("what was written can be read");
        assert_eq!(again.to_json().expect("it can be written"), written);
    }
});

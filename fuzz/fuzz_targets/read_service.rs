//! No service file makes its reader panic, and what it takes of a section are parameters, none of which names a service.
//! `cargo +nightly fuzz run read_service`
//!
//! The first line of an input is the service that is looked for, the rest the file.
#![no_main]

use hypercopy::connect::{Parameters, Service};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (name, file) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(Some(Service(settings))) = Service::find(file, name) {
        for (keyword, value) in settings {
            assert!(keyword != "service" && !value.contains('\n'));
            assert!(Parameters::parse(&format!("{keyword}=x")).is_ok(), "{keyword}");
        }
    }
});

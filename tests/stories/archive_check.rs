//! `archive check` finds whatever has happened to an archive, and `list` and `show` say what there is.

use serde_json::Value;

use crate::dumps::Dump;
use crate::random::{Random, rounds};
use crate::resume::METRICS;

#[track_caller]
fn assert_bad(story: &Dump, text: &str, what: &str) {
    let run = story.check("a");
    assert_eq!(run.code, 6, "{what}: {}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains(text) || run.stdout.contains(text), "{what}: {}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains("hint: "), "{what}: an error should say what to do: {}", run.stderr);
}

/// Three segments with rows, and one that is empty at either end.
fn archive(name: &str, arguments: &[&str]) -> Dump {
    let story = Dump::new(name, METRICS);
    story.dumped("a", arguments);
    assert_eq!(story.check("a").code, 0);
    story
}

fn file(segment: &Value) -> String {
    format!("a/{}", segment["file"].as_str().expect("it is text"))
}

#[test]
fn one_bit_that_is_flipped_anywhere_is_found() {
    let mut random = Random::of_this_run();
    for format in [["--format", "binary"], ["--format", "csv"], ["--compression", "none"]] {
        let story = archive("flipped", &format);
        let segments = story.segments("a");
        for _ in 0..rounds(12) {
            let segment = &segments[random.below(segments.len() as u64) as usize];
            let whole = story.folder.read(&file(segment));
            let Some(bits) = (whole.len() as u64).checked_mul(8).filter(|bits| *bits > 0) else { continue };
            let bit = random.below(bits) as usize;
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            story.folder.write(&file(segment), flipped);
            let name = segment["file"].as_str().unwrap();
            assert_bad(&story, name, &format!("bit {bit} of {name}"));
            story.folder.write(&file(segment), whole);
        }
        assert_eq!(story.check("a").code, 0, "it is whole again");
    }
}

#[test]
fn a_segment_that_is_cut_lengthened_missing_swapped_or_a_link_is_found() {
    let story = archive("files", &[]);
    let mut segments = story.segments("a");
    segments.sort_by_key(|segment| std::cmp::Reverse(segment["rows"].as_u64()));
    let (one, other) = (file(&segments[0]), file(&segments[1]));
    let (bytes, others) = (story.folder.read(&one), story.folder.read(&other));
    let name = one.strip_prefix("a/").expect("it is in the archive");
    for (contents, what) in [
        (bytes[..bytes.len() - 1].to_vec(), "cut"),
        (Vec::new(), "emptied"),
        ([&bytes[..], b"x"].concat(), "lengthened"),
        (others.clone(), "swapped"),
    ] {
        story.folder.write(&one, contents);
        assert_bad(&story, name, what);
    }
    let path = story.folder.path(&one);
    std::fs::remove_file(&path).expect("it is there");
    assert_bad(&story, name, "missing");
    story.folder.write("a/elsewhere", &bytes);
    std::os::unix::fs::symlink("elsewhere", &path).expect("a link can be made");
    assert_bad(&story, name, "a link");
    std::fs::remove_file(&path).expect("it is there");
    std::fs::create_dir(&path).expect("a directory can be made");
    assert_bad(&story, name, "a directory");
    std::fs::remove_dir(&path).expect("it is there");
    story.folder.write(&one, &bytes);
    assert_eq!(story.check("a").code, 0, "it is whole again");
}

#[test]
fn a_manifest_that_lies_is_refused() {
    let story = archive("manifest", &[]);
    let whole = story.folder.read("a/manifest.json");
    let text = String::from_utf8(whole.clone()).expect("it is text");
    let edited = |edit: &dyn Fn(&mut Value)| {
        let mut manifest: Value = serde_json::from_slice(&whole).expect("it is JSON");
        edit(&mut manifest);
        manifest.to_string()
    };
    let segment = |field: &str, value: Value| edited(&|manifest| manifest["segments"][1][field] = value.clone());
    let attacks = [
        ("a newer version", edited(&|m| m["format_version"] = 2.into()), "format version 2"),
        ("no version", edited(&|m| drop(m.as_object_mut().unwrap().remove("format_version"))), "no format_version"),
        ("an unknown field", edited(&|m| m["extra"] = 1.into()), "unknown field"),
        (
            "an unknown field deep inside",
            edited(&|m| m["definition"]["hypertable"]["table"]["extra"] = 1.into()),
            "unknown field",
        ),
        (
            "a field twice",
            text.replacen("\"format_version\"", "\"encoding\": \"UTF8\", \"format_version\"", 1),
            "comes twice",
        ),
        ("a path upwards", segment("file", "../segment-000002.bin.zst".into()), "would not name so"),
        ("an absolute path", segment("file", "/etc/passwd".into()), "would not name so"),
        ("a name of its own", segment("file", "segment-2.bin.zst".into()), "would not name so"),
        (
            "one file twice",
            edited(&|m| m["segments"][1]["file"] = m["segments"][0]["file"].clone()),
            "two segments have one file",
        ),
        ("a gap", edited(&|m| drop(m["segments"].as_array_mut().unwrap().remove(1))), "tile"),
        ("another order", edited(&|m| m["segments"].as_array_mut().unwrap().reverse()), "tile"),
        (
            "an empty range",
            edited(&|m| m["segments"][1]["range"] = serde_json::json!({"from": 5, "until": 5})),
            "without values",
        ),
        (
            "more rows than bytes",
            edited(&|m| {
                m["segments"][1]["rows"] = u64::MAX.into();
                m["segments"][1]["checksum"] = format!("{}:{:032x}", u64::MAX, 0).into();
            }),
            "more rows than bytes",
        ),
        ("another number of rows", segment("rows", 1.into()), "another number of rows"),
        (
            "more bytes than a disk has",
            edited(&|m| {
                for segment in m["segments"].as_array_mut().unwrap() {
                    segment["bytes"] = u64::MAX.into();
                }
            }),
            "larger than any disk",
        ),
        ("extents out of order", edited(&|m| m["segments"][1]["extents"].as_array_mut().unwrap().reverse()), "extents"),
        ("extents elsewhere", edited(&|m| m["segments"][1]["extents"][0]["first"] = 0.into()), "extents"),
        (
            "extents of fewer rows",
            edited(&|m| drop(m["segments"][1]["extents"].as_array_mut().unwrap().pop())),
            "extents",
        ),
        ("no hash", segment("blake3", "zz".into()), "none of BLAKE3"),
        ("other columns", edited(&|m| m["columns"][0]["name"] = "other".into()), "not the table's"),
        ("another checksum form", edited(&|m| m["checksum_form"] = "binary/9".into()), "not binary/1"),
        ("no segments", edited(&|m| m["segments"] = serde_json::json!([])), "no segments"),
        ("no JSON", text[..text.len() / 2].to_string(), "is no manifest"),
        ("nothing", String::new(), "is no manifest"),
    ];
    for (what, manifest, said) in attacks {
        assert_ne!(manifest.as_bytes(), whole, "{what} changes something");
        story.folder.write("a/manifest.json", manifest);
        assert_bad(&story, said, what);
    }
    for (what, manifest, said) in [
        ("a bomb", segment("bytes", 1000.into()), "more than 1000 bytes"),
        ("fewer bytes", segment("bytes", 1_000_000_000.into()), "instead of 1000000000"),
        (
            "another checksum",
            edited(&|m| {
                let rows = m["segments"][1]["rows"].clone();
                m["segments"][1]["checksum"] = format!("{rows}:{:032x}", 7).into();
            }),
            "other rows than the manifest says",
        ),
        (
            "another range",
            edited(&|m| {
                m["segments"][1]["extents"] = Value::Null;
                let until = m["segments"][1]["range"]["until"].as_i64().unwrap() - 86_400_000_000;
                m["segments"][1]["range"]["until"] = until.into();
                m["segments"][2]["range"]["from"] = until.into();
            }),
            "not where the manifest says",
        ),
    ] {
        story.folder.write("a/manifest.json", manifest);
        assert_bad(&story, said, what);
    }
    std::fs::rename(story.folder.path("a/manifest.json"), story.folder.path("a/real.json")).expect("it is there");
    std::os::unix::fs::symlink("real.json", story.folder.path("a/manifest.json")).expect("a link can be made");
    story.folder.write("a/real.json", &whole);
    assert_bad(&story, "manifest.json", "a link");
    std::fs::remove_file(story.folder.path("a/manifest.json")).expect("it is there");
    assert_bad(&story, "no complete archive", "no manifest");
    story.folder.write("a/manifest.json", &whole);
    assert_eq!(story.check("a").code, 0, "it is whole again");
}

#[test]
fn archives_are_listed_and_shown() {
    let story = archive("listed", &[]);
    story.folder.write("no archive", "");
    std::fs::create_dir_all(story.folder.path("broken")).expect("a directory can be made");
    story.folder.write("broken/manifest.json", "{}");
    let listed = story.archive(&["list", &story.folder.path(""), "--json"]).json();
    assert_eq!(listed["archives"].as_array().map(Vec::len), Some(1), "{listed}");
    let archive = &listed["archives"][0];
    assert_eq!((&archive["table"], &archive["complete"]), (&"public.metrics".into(), &true.into()));
    assert_eq!(archive["rows"], story.source.value("select count(*) from metrics").parse::<u64>().unwrap());
    assert_eq!(listed["unreadable"].as_array().map(Vec::len), Some(1), "{listed}");
    let text = story.archive(&["list", &story.folder.path("")]);
    assert!(text.stdout.contains("public.metrics") && text.stdout.contains("damaged"), "{}", text.stdout);
    let shown = story.archive(&["show", &story.folder.path("a"), "--json"]).json();
    assert_eq!(shown["parts"].as_array().map(Vec::len), Some(story.segments("a").len()));
    assert_eq!(shown["columns"][0], "time timestamp with time zone");
    let text = story.archive(&["show", &story.folder.path("a")]);
    assert!(text.stdout.contains("segment-000001.bin.zst"), "{}", text.stdout);
    let run = story.archive(&["show", &story.folder.path("")]);
    assert_eq!(run.code, 6, "{}", run.stderr);
}

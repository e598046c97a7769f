//! An archive that somebody has damaged or forged: nothing of it arrives, and the error names the file.

use std::os::unix::fs::symlink;

use hypercopy::archive::{MANIFEST, SegmentFormat};
use serde_json::Value;

use crate::archives::Archive;
use crate::harness::Story;
use crate::restore::{METRICS, story};

/// A table whose single segments are read while the table is filled, and a witness that nobody may touch.
fn damaged(name: &str) -> (Story, Archive) {
    let story = story(name, METRICS);
    story.target.run("create table witness ()");
    let archive = Archive::of_slices(&story.source, "metrics", name, SegmentFormat::Binary);
    (story, archive)
}

/// Expects exit 6 that names the file, and that no row of any task with it was kept; with the file as it was the same
/// command goes on.
#[track_caller]
fn assert_found(story: &Story, archive: &Archive, file: &str, damage: &[u8], what: &str) {
    let whole = archive.read(file);
    archive.write(file, damage);
    let run = archive.restore(&story.target, &["-j", "2"]);
    assert_eq!(run.code, 6, "{what}: {}", run.stderr);
    assert!(run.stderr.contains(file) && run.stderr.contains("hint: "), "{what}: {}", run.stderr);
    archive.write(file, whole);
    archive.restored(&story.target, &["-j", "2", "--verify", "checksum"]);
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"), "{what}");
    story.target.run("drop table metrics");
}

#[test]
fn a_segment_that_is_missing_or_has_another_size_is_found_before_anything_is_made() {
    let (story, archive) = damaged("missing");
    let segments = archive.segments();
    let (first, last) = (&segments[0], &segments[segments.len() - 1]);
    let whole = archive.read(last);
    let refused = |text: &str| archive.assert_refused(&story.target, &[], 6, text);

    std::fs::rename(archive.file(last), archive.file("elsewhere")).unwrap();
    refused(last);
    symlink("elsewhere", archive.file(last)).unwrap();
    refused(last);
    std::fs::remove_file(archive.file(last)).unwrap();
    std::fs::create_dir(archive.file(last)).unwrap();
    refused(last);
    std::fs::remove_dir(archive.file(last)).unwrap();
    for contents in [&whole[..whole.len() - 1], &[], &[&whole[..], b"x"].concat(), &archive.read(first)] {
        archive.write(last, contents);
        refused(last);
    }
    archive.write(last, &whole);
    archive.restored(&story.target, &[]);
}

#[test]
fn a_byte_that_was_flipped_anywhere_is_found() {
    let (story, archive) = damaged("flipped");
    for segment in [0, 5] {
        let file = &archive.segments()[segment];
        let whole = archive.read(file);
        for place in [0, 5, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
            let mut damage = whole.clone();
            damage[place] ^= 0x10;
            assert_found(&story, &archive, file, &damage, &format!("byte {place} of segment {segment}"));
        }
    }
}

#[test]
fn segments_that_were_swapped_or_come_from_another_archive_are_found() {
    let (story, archive) = damaged("swapped");
    // Equal sizes: only what is inside tells them apart.
    let segments = archive.segments();
    let [one, other] = [&segments[3], &segments[4]];
    let (file, another) = (archive.read(one), archive.read(other));
    let padded = |bytes: &[u8], like: &[u8]| {
        // A skippable frame of zstd, which decompresses to nothing.
        let missing = like.len().saturating_sub(bytes.len() + 8);
        [bytes, &[0x50, 0x2a, 0x4d, 0x18], &(missing as u32).to_le_bytes(), &vec![0; missing]].concat()
    };
    let damage =
        if file.len() > another.len() + 8 { padded(&another, &file) } else { file.iter().rev().copied().collect() };
    assert_eq!(damage.len(), file.len());
    assert_found(&story, &archive, one, &damage, "the next segment");

    // In the manifest: each segment has the other's rows, and both are whole.
    archive.edit(|manifest| {
        let (one, other) = (manifest["segments"][3].clone(), manifest["segments"][4].clone());
        for (to, from) in [(3, other), (4, one)] {
            let range = manifest["segments"][to]["range"].clone();
            manifest["segments"][to] = from;
            manifest["segments"][to]["range"] = range;
            manifest["segments"][to]["extents"] = Value::Null;
        }
    });
    let run = archive.restore(&story.target, &["-j", "1"]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(run.stderr.contains("a row that is not where the manifest says"), "{}", run.stderr);
    let kept = "select count(*) from metrics where time >= '2025-03-03' and time < '2025-03-03 12:00'";
    assert!(story.target.try_query(kept).is_err() || story.target.value(kept) == "0", "nothing of the task is kept");
}

#[test]
fn rows_that_the_manifest_does_not_know_are_found() {
    let (story, archive) = damaged("forged");
    let file = &archive.segments()[3];
    let rows = zstd::decode_all(&archive.read(file)[..]).unwrap();
    let mut other = rows.clone();
    // The last byte of the last row, in front of the trailer.
    let at = other.len() - 3;
    other[at] ^= 1;
    archive.forge(3, &other);
    let run = archive.restore(&story.target, &[]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(run.stderr.contains("other rows than the manifest says") && run.stderr.contains(file), "{}", run.stderr);
    for (contents, what) in [
        (&rows[..rows.len() - 2], "end without a trailer"),
        (&[&rows[..], &rows[..]].concat()[..], "data after the trailer"),
        (&[b'x'; 20_000], "not the signature"),
    ] {
        archive.forge(3, contents);
        let run = archive.restore(&story.target, &[]);
        assert_eq!(run.code, 6, "{}", run.stderr);
        assert!(run.stderr.contains(what) && run.stderr.contains(file), "{what}: {}", run.stderr);
    }
    archive.forge(3, &rows);
    archive.restored(&story.target, &["--verify", "checksum"]);
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"));
}

#[test]
fn rows_that_lie_elsewhere_than_the_manifest_says_are_found() {
    let (story, archive) = damaged("elsewhere");
    let file = &archive.segments()[3];
    let true_extents = archive.manifest()["segments"][3]["extents"].clone();
    assert_eq!(true_extents.as_array().unwrap().len(), 1, "{true_extents}");
    let lie = |what: &str, by: i64| {
        let mut extents = true_extents.clone();
        extents[0][what] = (extents[0][what].as_i64().unwrap() + by).into();
        archive.edit(|manifest| manifest["segments"][3]["extents"] = extents);
    };
    lie("first", 1);
    let run = archive.restore(&story.target, &[]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(run.stderr.contains("not where the manifest says") && run.stderr.contains(file), "{}", run.stderr);
    for (what, by) in [("rows", 1), ("first", -86_400_000_000), ("last", 86_400_000_000), ("last", i64::MAX / 2)] {
        lie(what, by);
        let run = archive.restore(&story.target, &[]);
        assert_eq!(run.code, 6, "{}", run.stderr);
        assert!(run.stderr.contains("extents") && run.stderr.contains(file), "{what} {by}: {}", run.stderr);
    }
    archive.edit(|manifest| manifest["segments"][3]["extents"] = true_extents.clone());
    archive.restored(&story.target, &["--verify", "checksum"]);
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"));
}

#[test]
fn what_the_target_refuses_of_a_damaged_segment_is_the_segments_fault() {
    let story = story(
        "blame",
        "create table t (time timestamptz not null, v text); select create_hypertable('t', 'time', chunk_time_interval => interval '1 day');
         insert into t select '2025-01-01'::timestamptz + n * interval '1 hour', 'v' || n from generate_series(1, 90) n",
    );
    let archive = Archive::of_slices(&story.source, "t", "blame", SegmentFormat::Binary);
    let mut rows = zstd::decode_all(&archive.read(&archive.segments()[1])[..]).unwrap();
    // Not UTF-8 any more: the server refuses the row before the file has ended.
    let at = rows.iter().rposition(|byte| *byte == b'v').unwrap();
    rows[at] = 0xff;
    archive.forge(1, &rows);
    let run = archive.restore(&story.target, &[]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(run.stderr.contains("other rows than the manifest says"), "{}", run.stderr);
}

#[test]
fn a_bomb_goes_off_in_nobodys_memory() {
    let (story, archive) = damaged("bomb");
    let zeros = vec![0; 256 << 20];
    let bytes = archive.manifest()["segments"][0]["bytes"].clone();
    let bomb = |extents: &Value| {
        archive.forge(0, &zeros);
        archive.edit(|manifest| {
            manifest["segments"][0]["bytes"] = bytes.clone();
            manifest["segments"][0]["extents"] = extents.clone();
        });
    };
    let extents = archive.manifest()["segments"][0]["extents"].clone();
    // Read before anything is made, and no rows at all.
    bomb(&Value::Null);
    archive.assert_refused(&story.target, &[], 6, "more than");
    archive.forge(0, &zeros);
    archive.assert_refused(&story.target, &[], 6, "not the signature");
    // Read while the table is filled.
    bomb(&extents);
    let run = archive.restore(&story.target, &[]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(run.stderr.contains("more than") || run.stderr.contains("not the signature"), "{}", run.stderr);
    let kept = "select count(*) from metrics where time < '2025-03-02'";
    assert!(story.target.try_query(kept).is_err() || story.target.value(kept) == "0", "nothing of the task is kept");
}

#[test]
fn a_manifest_that_leads_elsewhere_or_says_too_much_is_refused() {
    let (story, archive) = damaged("manifest");
    let whole = archive.read(MANIFEST);
    let refused = |text: &str| archive.assert_refused(&story.target, &[], 6, text);
    type Edit = dyn Fn(&mut Value);
    let edits: &[(&str, &Edit)] = &[
        ("has a file that this archive would not name so", &|m| m["segments"][0]["file"] = "../../etc/passwd".into()),
        ("has a file that this archive would not name so", &|m| m["segments"][0]["file"] = "/etc/passwd".into()),
        ("has a file that this archive would not name so", &|m| {
            m["segments"][0]["file"] = "a/segment-000001.bin.zst".into()
        }),
        ("two segments have one file", &|m| m["segments"][1]["file"] = m["segments"][0]["file"].clone()),
        ("unknown field", &|m| m["segments"][0]["extra"] = 1.into()),
        ("unknown field", &|m| m["definition"]["hypertable"]["table"]["sql"] = "drop table witness".into()),
        ("format version 2", &|m| m["format_version"] = 2.into()),
        ("do not tile", &|m| m["segments"][1]["range"]["from"] = 5.into()),
        ("has more rows than bytes", &|m| {
            m["segments"][0]["rows"] = u64::MAX.into();
            m["segments"][0]["checksum"] = format!("{}:{:032x}", u64::MAX, 0).into();
        }),
        ("NUL", &|m| m["definition"]["hypertable"]["columns"][1]["name"] = "a\0b".into()),
        ("a name of 64 bytes", &|m| {
            m["definition"]["hypertable"]["columns"][1]["name"] = "x".repeat(64).into();
            m["columns"][1]["name"] = "x".repeat(64).into();
        }),
        ("a name of 0 bytes", &|m| m["definition"]["hypertable"]["table"]["name"] = "".into()),
        ("has no fixed interval", &|m| m["definition"]["hypertable"]["dimensions"][0]["interval_length"] = 0.into()),
        ("not made of types before it", &|m| {
            let types = m["definition"]["hypertable"]["types"].as_array_mut().unwrap();
            let oid = types[0]["oid"].clone();
            types[0]["inner_oid"] = oid;
        }),
        ("has no column", &|m| m["definition"]["hypertable"]["dimensions"][0]["column"] = "elsewhere".into()),
    ];
    for (text, edit) in edits {
        archive.edit(edit);
        refused(text);
        archive.write(MANIFEST, &whole);
    }
    let text = String::from_utf8(whole.clone()).unwrap();
    archive.write(MANIFEST, text.replacen("\"hypercopy\":", "\"hypercopy\": \"0\", \"hypercopy\":", 1));
    refused("comes twice");
    archive.write(MANIFEST, &whole[..whole.len() / 2]);
    refused("no manifest");
    archive.write(MANIFEST, "[".repeat(100_000));
    refused("no manifest");
    std::fs::rename(archive.file(MANIFEST), archive.file("elsewhere")).unwrap();
    refused("no complete archive");
    archive.write("elsewhere", &whole);
    symlink("elsewhere", archive.file(MANIFEST)).unwrap();
    refused(MANIFEST);
    std::fs::remove_file(archive.file(MANIFEST)).unwrap();
    archive.write(MANIFEST, &whole);
    archive.restored(&story.target, &[]);
}

/// Definitions whose expressions try to be more than expressions.
fn hostile(archive: &Archive) {
    archive.edit(|manifest| {
        let table = &mut manifest["definition"]["hypertable"];
        table["columns"][3]["expression"] = "'x'); drop table witness; create table y (a int default 1".into();
    });
}

#[test]
fn an_expression_stays_one_command_and_rows_alone_run_none() {
    let (story, archive) = damaged("hostile");
    archive.restored(&story.target, &["--schema-only"]);
    hostile(&archive);
    let run = archive.restore(&story.target, &["--as", "other"]);
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(run.stderr.contains("cannot insert multiple commands into a prepared statement"), "{}", run.stderr);
    assert_eq!(story.target.value("select to_regclass('witness') is not null and to_regclass('other') is null"), "t");
    archive.restored(&story.target, &["--data-only", "--verify", "checksum"]);
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"));
}

#[test]
fn hostile_names_are_names() {
    let story = story(
        "hostile_names",
        r#"create schema "s""; drop table witness; --";
           create table "s""; drop table witness; --"."t'; drop table witness; --" (
               "time""; drop table witness; --" timestamptz not null, "v'; --" int constraint "c""); drop table witness; --" check ("v'; --" > 0));
           select create_hypertable('"s""; drop table witness; --"."t''; drop table witness; --"', 'time"; drop table witness; --');
           insert into "s""; drop table witness; --"."t'; drop table witness; --"
           select '2025-01-01'::timestamptz + n * interval '1 day', n from generate_series(1, 20) n"#,
    );
    story.target.run("create table witness ()");
    let table = r#""s""; drop table witness; --"."t'; drop table witness; --""#;
    Archive::of_slices(&story.source, table, "hostile_names", SegmentFormat::Binary)
        .restored(&story.target, &["--verify", "checksum"]);
    assert_eq!(story.source.multiset(table), story.target.multiset(table));
    assert_eq!(story.target.value("select to_regclass('witness') is not null"), "t");
}

#[test]
fn an_archive_of_text_is_checked_as_one_of_rows_is() {
    let story = story("csv_attacks", METRICS);
    let archive = Archive::of_slices(&story.source, "metrics", "csv_attacks", SegmentFormat::Csv);
    let file = &archive.segments()[3];
    let csv = zstd::decode_all(&archive.read(file)[..]).unwrap();
    let text = String::from_utf8(csv.clone()).unwrap();
    let second = text.find('\n').unwrap() + 1;
    for (contents, what) in [
        (text.replacen("time,device", "device,time", 1), "a header with other columns"),
        (text[..text.len() - 1].to_string(), "a record without an end"),
        (format!("{}\"{}", &text[..second], &text[second..]), "segment"),
        (format!("{text}2025-03-02 12:00:00+00,x\n"), "another number of fields"),
        (format!("{text}2020-01-01 00:00:00+00,x,1,y\n"), "a row that is not where the manifest says"),
        (
            format!("{text}{}", &text[text[..text.len() - 1].rfind("\n2025").unwrap() + 1..]),
            "other rows than the manifest says",
        ),
    ] {
        archive.forge(3, contents.as_bytes());
        let run = archive.restore(&story.target, &[]);
        assert_eq!(run.code, 6, "{what}: {}", run.stderr);
        assert!(run.stderr.contains(what) && run.stderr.contains(file), "{what}: {}", run.stderr);
    }
    archive.forge(3, &csv);
    archive.restored(&story.target, &["--verify", "checksum"]);
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"));
}

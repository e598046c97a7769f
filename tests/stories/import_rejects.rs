//! Records that are left out: named, counted, written so that they can be corrected, whatever refuses them.

use crate::harness::Run;
use crate::import_ways::{Import, WAYS};

const METRICS: &str = "
    create table devices (id int primary key);
    insert into devices select generate_series(1, 9);
    create domain percentage as int check (value between 0 and 100);
    create table metrics (time int not null, device int not null, share percentage, note text check (note <> 'bad'));
    select create_hypertable('metrics', 'time', chunk_time_interval => 10);
    alter table metrics add foreign key (device) references devices;
    create unique index on metrics (time, device);
    create function refuse() returns trigger language plpgsql as
        'begin raise exception ''not on a Sunday'' using errcode = ''UE123''; end';
    create trigger refuse before insert on metrics for each row when (new.note = 'sunday') execute function refuse()";

/// A row of a block of ten, and what is wrong with it.
const FAULTS: [(&str, Option<&str>, &str); 7] = [
    ("TIME,1,1,bad", None, "23514"),
    ("TIME,99,1,a", None, "23503"),
    ("TIME,,1,a", Some("device"), "23502"),
    ("TIME,1,1,sunday", None, "UE123"),
    ("TIME,1,101,a", Some("share"), "23514"),
    ("TIME,1,x,a", Some("share"), "22P02"),
    ("0,9,1,a", None, "23505"),
];

fn good(time: u64) -> String {
    format!("{time},{},1,a\n", 1 + time % 8)
}

#[test]
fn whatever_refuses_a_row_names_it_wherever_it_stands_in_its_block() {
    let import = Import::new("import_faults", METRICS);
    for (fault, column, state) in FAULTS {
        for place in [1, 5, 10] {
            let lines = (0..=10).map(|n| match n {
                0 => "0,9,1,a\n".to_string(),
                n if n == place => fault.replace("TIME", "5") + "\n",
                n => good(n),
            });
            let file: String = lines.collect();
            let name = import.folder.write("faults.csv", &file);
            let ended = match place {
                // Of two equal keys in blocks that are loaded at once either may be the first.
                5 if state != "23505" => import.in_all_ways(&[&name], &["--max-rejects", "1"]),
                _ => import.anew(&[&name], &["--max-rejects", "1", "-j", "2", "--block-size", "1MiB"]),
            };
            assert_eq!(ended.code, 0, "{fault}: {}", ended.message);
            let byte = file.find(&fault.replace("TIME", "5")).unwrap() as u64;
            // The same record once more is the bad one of the two.
            let byte = if state == "23505" { file.rfind(fault).unwrap() as u64 } else { byte };
            let [(line, at, named, said, reason)] = &ended.rejects[..] else { panic!("{fault}: {:?}", ended.rejects) };
            assert_eq!((*line, *at, said.as_str()), (place + 1, byte, state), "{fault}: {reason}");
            assert!(column.is_none() || named.as_deref() == column, "{fault}: {named:?}");
            assert_eq!(import.target.value("select count(*) from metrics"), "10");
        }
    }
}

#[test]
fn one_of_two_equal_keys_is_rejected_however_many_load() {
    let import = Import::new("import_equal_keys", METRICS);
    let name = import.folder.write("equal.csv", format!("{0}{1}{0}", good(1), good(2)));
    for way in WAYS {
        let ended = import.anew(&[&name], &[&["--max-rejects", "1"], &way[..]].concat());
        assert_eq!((ended.code, ended.rejects.len()), (0, 1), "{}", ended.message);
        assert!([1, 3].contains(&ended.rejects[0].0) && ended.rejects[0].3 == "23505", "{:?}", ended.rejects);
        assert_eq!(import.target.value("select count(*) from metrics"), "2");
    }
}

#[test]
fn with_no_budget_the_first_bad_record_of_the_file_is_named_however_many_load() {
    let import = Import::new("import_first", METRICS);
    let file: String = (0..60).map(|n| if n % 7 == 6 { format!("{n},1,x,a\n") } else { good(n) }).collect();
    let name = import.folder.write("first.csv", &file);
    let byte = file.find("6,1,x").unwrap();
    let expected = format!(
        "hypercopy: first.csv, line 7 (byte {byte}), column \"share\": invalid input syntax for type integer: \"x\" \
         (SQLSTATE 22P02)"
    );
    for _ in 0..3 {
        let ended = import.anew(&[&name], &["-j", "8", "--block-size", "1"]);
        assert_eq!((ended.code, &ended.message), (6, &expected));
        assert_eq!(import.target.value("select count(*) from metrics where time < 6"), "6", "those before it are in");
    }
}

/// Imports a file of the folder, with its rejects in another.
fn run(import: &Import, file: &str, arguments: &[&str]) -> Run {
    let (file, rejects) = (import.folder.path(file), import.folder.path("rejects"));
    import.import(&[&["metrics", &file, "--rejects", &rejects], arguments].concat())
}

#[test]
fn the_budget_counts_over_all_runs_and_a_larger_one_goes_on() {
    let import = Import::new("import_budget", METRICS);
    let file: String = (0..40).map(|n| if n % 4 == 3 { format!("{n},1,x,a\n") } else { good(n) }).collect();
    import.folder.write("budget.csv", file);
    let way = ["-j", "1", "--block-size", "1"];
    let stopped = run(&import, "budget.csv", &[&["--max-rejects", "3"], &way[..]].concat());
    assert_eq!(stopped.code, 6, "{}", stopped.stderr);
    let said = import.folder.without_names(&stopped.stderr);
    assert!(said.contains("more than 3 records were rejected, the last one budget.csv, line 16 (byte"), "{said}");
    assert!(said.contains("Job 1 has stored 12 rows and left out 3 records."), "{said}");
    assert!(said.contains("larger --max-rejects") && said.contains("hypercopy jobs clean 1"), "{said}");
    assert_eq!(import.rejects().iter().map(|reject| reject.0).collect::<Vec<_>>(), [4, 8, 12]);
    let again = run(&import, "budget.csv", &["--max-rejects", "4", "-j", "4"]);
    assert_eq!(again.code, 6, "four of the ten, over both runs: {}", again.stderr);
    let ended = run(&import, "budget.csv", &["--max-rejects", "25%", "-j", "4"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let report = ended.json();
    assert_eq!((&report["rows"], &report["rejected"]), (&30.into(), &10.into()));
    assert_eq!(import.rejects().len(), 10);
    std::fs::remove_file(import.folder.path("rejects")).unwrap();
    assert_eq!(run(&import, "budget.csv", &["--max-rejects", "25%"]).code, 0);
    assert_eq!(import.folder.read("rejects").iter().filter(|byte| **byte == b'\n').count(), 10, "written again");
}

#[test]
fn a_share_that_is_exceeded_at_the_end_names_a_record() {
    let import = Import::new("import_share", METRICS);
    import.folder.write("share.csv", format!("{}1,1,x,a\n", good(0)));
    let ended = run(&import, "share.csv", &["--max-rejects", "10%"]);
    let said = import.folder.without_names(&ended.stderr);
    let named = "1 of 2 records were rejected, more than 10 % of the records, the first one share.csv, line 2 (byte 8)";
    assert!(ended.code == 6 && said.contains(named), "{said}");
    assert_eq!(run(&import, "share.csv", &["--max-rejects", "50%"]).code, 0);
    import.folder.write("none.csv", "1,1,x,a\n");
    let ended = run(&import, "none.csv", &["--max-rejects", "0%"]);
    assert!(ended.stderr.contains("none.csv, line 1 (byte 0), column \"share\""), "{}", ended.stderr);
}

#[test]
fn rejects_that_are_corrected_and_imported_complete_the_table() {
    let import = Import::new("import_corrected", METRICS);
    let crlf = "1,1,1,a\r\nx,2,2,\"b\r\nb\"\r\n3,3,3,c\r\n";
    let cr = "1,1,1,a\rx,2,2,\"b\nb\"\r3,3,3,c\r";
    let cases: [(&str, String, &[&str]); 6] = [
        ("plain", "1,1,1,a\nx,2,2,b\n3,3,3,c\n".into(), &[]),
        ("crlf", crlf.into(), &[]),
        ("cr", cr.into(), &[]),
        ("header", format!("time,device,share,note\r\n{crlf}"), &["--header", "match"]),
        ("skipped", "# a\n# b\n1,1,1,a\nx,2,2,b\n3,3,3,c\n".into(), &["--skip-lines", "2"]),
        (
            "both",
            "# a\r\n\nno,de,sh,ti\na,1,1,1\nb,2,2,x\nc,3,3,3\n".into(),
            &[
                "--skip-lines",
                "2",
                "--header",
                "match",
                "--map",
                "no=note",
                "--map",
                "de=device",
                "--map",
                "sh=share",
                "--map",
                "ti=time",
            ],
        ),
    ];
    for (name, file, arguments) in cases {
        import.target.run("truncate metrics");
        import.folder.write(name, &file);
        let ended = run(&import, name, &[arguments, &["--max-rejects", "1"]].concat());
        assert_eq!(ended.code, 0, "{name}: {}", ended.stderr);
        assert_eq!(import.rejects().len(), 1, "{name}");
        let corrected = String::from_utf8(import.folder.read("rejects")).unwrap().replace('x', "2");
        let corrected = import.folder.write(&format!("{name}-corrected"), corrected);
        let ended = import.import(&[&["metrics", &corrected], arguments].concat());
        assert_eq!((ended.code, &ended.json()["rows"]), (0, &1.into()), "{name}: {}", ended.stderr);
        assert_eq!(
            import.target.value("select string_agg(time::text, ' ' order by time) from metrics"),
            "1 2 3",
            "{name}"
        );
    }
}

#[test]
fn rejects_are_not_written_over_what_is_imported() {
    let import = Import::new("import_over", METRICS);
    let file = import.folder.write("over.json", "1,1,x,a\n");
    for rejects in ["over.json", "over"] {
        let rejects = import.folder.path(rejects);
        let ended = import.import(&["metrics", &file, "--max-rejects", "1", "--rejects", &rejects]);
        assert_eq!(ended.code, 3, "{}", ended.stderr);
        assert!(ended.stderr.contains("the rejects would be written over"), "{}", ended.stderr);
    }
    assert_eq!(import.folder.read("over.json"), b"1,1,x,a\n");
    let nowhere = import.folder.path("no/where");
    let ended = import.import(&["metrics", &file, "--max-rejects", "1", "--rejects", &nowhere]);
    assert_eq!(ended.code, 2, "before the work, not behind it: {}", ended.stderr);
}

/// How often rows were sent for a block with these bad records, and how many are stored.
fn copies_of(import: &Import, bad: fn(u64) -> bool) -> (u64, String) {
    const RECORDS: u64 = 600;
    // A sequence counts also what is rolled back.
    import.target.run(
        "create sequence if not exists copies; select setval('copies', 1, false);
         create or replace function count_copy() returns trigger language plpgsql as
             'begin perform nextval(''public.copies''); return null; end';
         create or replace trigger count_copy before insert on metrics for each statement execute function count_copy()",
    );
    let file: String = (0..RECORDS).map(|n| if bad(n) { format!("{n},1,1,bad\n") } else { good(n) }).collect();
    let name = import.folder.write("many.csv", file);
    let ended = import.anew(&[&name], &["--max-rejects", "100%", "-j", "1", "--block-size", "1GiB"]);
    assert_eq!(ended.code, 0, "{}", ended.message);
    let expected = (0..RECORDS).filter(|n| bad(*n)).count();
    assert_eq!(ended.rejects.len(), expected);
    assert!(ended.rejects.iter().all(|reject| bad(reject.0 - 1)), "the lines are those of the bad records");
    let copies: u64 = import.target.value("select last_value from copies").parse().unwrap();
    (copies, import.target.value("select count(*) from metrics"))
}

#[test]
fn a_block_of_many_bad_rows_needs_few_statements_for_each() {
    let import = Import::new("import_many", METRICS);
    let (copies, stored) = copies_of(&import, |n| n % 2 == 1);
    assert!(stored == "300" && copies < 5 * 300, "{copies}");
    let (copies, stored) = copies_of(&import, |_| true);
    assert!(stored == "0" && copies < 3 * 600, "{copies}");
    let (copies, stored) = copies_of(&import, |n| n == 234);
    assert!(stored == "599" && copies < 20, "{copies}");
}

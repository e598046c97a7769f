//! No password is shown, whatever happens.

use crate::faults::{assert_complete, gated};
use crate::harness::{Hold, Running, Story, wait_until_held};

/// Two parts, so that one is found where the other was cut off.
pub const CANARY: &str = "kanarien@vogel/7";
const ENCODED_CANARY: &str = "kanarien%40vogel%2F7";

#[track_caller]
pub fn assert_no_canary(text: &str) {
    for part in ["kanarien", "vogel"] {
        assert!(!text.contains(part), "the password is shown: {text}");
    }
}

#[test]
fn no_password_is_shown_however_a_run_ends() {
    let story = gated(Story::new("canary"));
    let report = std::env::temp_dir().join(format!("hypercopy-canary-{}.json", std::process::id()));
    let start = |target: &str, arguments: &[&str]| {
        let fixed = ["migrate", "metrics", "--json", "-v", "-j", "2", "--retry-for", "0s", "--report"];
        let mut command = story.command(&[&fixed, [report.to_str().unwrap()].as_slice(), arguments].concat());
        command.env("PGPASSWORD", CANARY).env("RUST_BACKTRACE", "1").env("HYPERCOPY_TARGET", target);
        Running::start(command)
    };
    let judge = |running: Running, code: i32| {
        let run = running.end();
        assert_eq!(run.code, code, "{}", run.stderr);
        let written = std::fs::read_to_string(&report).unwrap_or_default();
        assert_no_canary(&format!("{}\n{}\n{written}", run.stderr, run.stdout));
    };
    let plain = &story.target.conninfo;
    let word = |key: &str| plain.split_whitespace().filter_map(|word| word.strip_prefix(key)).next_back().unwrap();
    let uri = |password: &str| {
        format!("postgresql://postgres:{password}@{}:{}/{}", word("host="), word("port="), word("dbname="))
    };
    let (keywords, encoded) = (format!("{plain} password='{CANARY}'"), uri(ENCODED_CANARY));
    let nowhere = |text: &str| text.replace(word("port="), "1");
    for (target, code) in [
        (nowhere(plain), 5),
        (nowhere(&keywords), 5),
        (nowhere(&encoded), 5),
        // None of these means what was meant.
        (uri(CANARY), 2),
        (uri("kanarien@vogel?x=y"), 2),
        (uri("kanarien@x?vogel=y"), 2),
        (uri("kanarien@5/vogel"), 2),
        (format!("{plain} password={CANARY} vogel"), 2),
        (format!("{plain} password=kanarien vogel=1"), 2),
        (format!("{plain} password='kanarien' vogel'"), 2),
    ] {
        judge(start(&target, &[]), code);
    }
    // In the middle of the work: a session is terminated, rows are refused, and all is well.
    for (target, cause, code) in [
        (
            plain,
            "select pg_terminate_backend(pid) from pg_stat_activity
             where application_name like 'hypercopy%copy in%' and datname = current_database()",
            8,
        ),
        (&keywords, "create unique index theirs on metrics (time)", 5),
        (&encoded, "drop index theirs", 0),
    ] {
        let ledger = Hold::ledger(&story.target);
        let running = start(target, &[]);
        wait_until_held(&story.target, 1);
        for database in [&story.source, &story.target] {
            let shown = "select string_agg(application_name || ' ' || query, ' ') from pg_stat_activity
                 where application_name like 'hypercopy%'";
            assert_no_canary(&database.value(shown));
        }
        story.target.run(cause);
        ledger.open();
        judge(running, code);
        for table in ["job", "task", "step", "backend"] {
            assert_no_canary(
                &story.target.value(&format!("select string_agg(t::text, ' ') from _hypercopy.{table} t")),
            );
        }
    }
    let _ = std::fs::remove_file(&report);
    assert_complete(&story);
}

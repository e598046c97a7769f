//! What happens to servers, networks, engines and pipes while files are imported: the run goes on, or ends and is gone on
//! with, and in the end every record is a row once.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::faults::{FORGETFUL, cluster};
use crate::folders::File;
use crate::harness::{Database, Hold, Role, Run, Running, Server, Story, wait_until_held};
use crate::imports::{
    BLOCK_BYTES, CHUNKS, IN_BLOCKS, METRICS, RECORDS, assert_complete, assert_complete_by_one_job, begin_anew,
    done_blocks, expect, gated_records, import, imported, records, run, story, through_stdin,
};
use crate::proxy::{COMMIT, Fault, Proxy, Trigger, Way};
use crate::secrets::{CANARY, assert_no_canary};

/// The command of an import in blocks.
fn command(story: &Story, file: &File, arguments: &[&str]) -> Command {
    story.command(&[&["import", "metrics", file.path(), "--json"], &IN_BLOCKS[..], arguments].concat())
}

/// All blocks but the last one, which waits at the gate.
fn last_one_waits() -> String {
    records(0..RECORDS) + &gated_records(RECORDS..RECORDS + 20, 1)
}

/// Starts a run, and answers it when a block waits at the gate and this many are done.
#[track_caller]
fn at_the_gate(story: &Story, command: Command, blocks: u64) -> Running {
    let mut running = Running::start(command);
    let state = format!(
        "select (select count(*) from pg_stat_activity where datname = current_database()
             and application_name like 'hypercopy%copy in%' and wait_event = 'advisory') > 0
             and (select count(*) from _hypercopy.block where job = (select max(id) from _hypercopy.job)) = {blocks}"
    );
    crate::harness::wait_until("all blocks but the last to be done", || {
        assert!(!running.has_ended(), "the run has ended early: {}", running.said());
        story.target.value("select to_regclass('_hypercopy.block') is not null") == "t"
            && story.target.value(&state) == "t"
    });
    running
}

/// How many blocks [`last_one_waits`] has before its last one.
fn blocks_before_the_last(contents: &str) -> u64 {
    // A block is the least number of records that has so many bytes.
    let gate = contents.rfind(",7,").expect("a record waits");
    let (mut blocks, mut from) = (0, 0);
    let ends: Vec<usize> = contents.match_indices("\n2025").map(|(at, _)| at + 1).collect();
    while let Some(end) = ends.iter().find(|end| **end >= from + BLOCK_BYTES).filter(|end| **end <= gate) {
        (blocks, from) = (blocks + 1, *end);
    }
    blocks
}

const TERMINATE_HELD: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity
    where datname = current_database() and application_name like 'hypercopy%copy in%' and wait_event = 'advisory'";
const TERMINATE_CONTROL: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity
    where datname = current_database() and application_name = 'hypercopy import metrics'";

// ---- signals

#[test]
fn a_signal_lets_the_open_blocks_of_all_workers_end_and_a_second_one_does_not() {
    let contents = gated_records(0..RECORDS, 8);
    let (story, file) = story("import_signals", &contents);
    for (signal, code, is_patient) in [("-INT", 130, true), ("-TERM", 143, true), ("-INT", 130, false)] {
        story.target.run(CHUNKS);
        let gate = Hold::gate(&story.target);
        let mut running = Running::start(command(&story, &file, &["--grace", "1h"]));
        wait_until_held(&story.target, 2);
        running.signal(signal);
        running.wait_until_said("stopping: open transactions get 1 h 00 min to end");
        let gate = match is_patient {
            true => {
                gate.open();
                None
            }
            false => {
                running.signal(signal);
                Some(gate)
            }
        };
        let ended = running.end();
        assert_eq!(ended.code, code, "{}", ended.stderr);
        assert!(ended.stderr.contains("run the same command again to go on"), "{}", ended.stderr);
        assert_eq!(ended.json()["outcome"], "failed");
        assert_eq!(done_blocks(&story), if is_patient { 2 } else { 0 }, "{signal}");
        story.target.assert_nothing_left();
        drop(gate);
        imported(&story, file.path(), &[]);
        assert_complete_by_one_job(&story, signal);
        begin_anew(&story);
    }
}

#[test]
fn an_import_that_waits_for_stdin_is_stopped_at_once() {
    let contents = records(0..RECORDS);
    let (story, file) = story("import_waits", &contents);
    // Nothing has come yet, a part of a block has come, or more than the first sample.
    for (bytes, code, signal) in [(0, 130, "-INT"), (1_290_000, 143, "-TERM")] {
        let mut command =
            story.command(&["import", "metrics", "-", "--json", "--grace", "1h", "-j", "2", "--block-size", "8kB"]);
        command.stdin(Stdio::piped());
        let mut running = Running::start(command);
        let mut stdin = running.stdin();
        let before = contents.repeat(30);
        stdin.write_all(&before.as_bytes()[..bytes]).expect("it reads");
        story.target.wait_until(
            "the engine to wait",
            &format!(
                "select count(*) > 0 from pg_stat_activity where datname = current_database() and state = 'idle'
                     and application_name = 'hypercopy import metrics'
                     and ({bytes} = 0 or (xpath('/row/n/text()', query_to_xml('select count(*) as n from metrics', true, true, '')))[1]::text::int > 10000)"
            ),
        );
        running.signal(signal);
        let ended = running.end();
        drop(stdin);
        assert_eq!(ended.code, code, "{}", ended.stderr);
        story.target.assert_nothing_left();
    }
    let whole = File::with("import_waits_whole.csv", contents.repeat(30));
    (0..29).for_each(|_| expect(&story, &contents));
    let resumed = run(through_stdin(&story, &whole, &[]));
    assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    assert!(resumed.json()["resumed_blocks"].as_u64() > Some(10), "{}", resumed.stdout);
    assert_complete_by_one_job(&story, "stdin again");
    drop(file);
}

// ---- engines

#[test]
fn of_two_engines_with_the_same_file_one_wins() {
    let (story, file) = story("import_twins", &records(0..RECORDS));
    let renamed = File::with("import_twins_renamed.csv", records(0..RECORDS));
    for other in [&file, &renamed] {
        // Both have looked, and wait to begin.
        let hold = match other.path() == file.path() {
            true => Hold::new(&story.target, "begin; create schema _hypercopy"),
            false => {
                Hold::new(&story.target, &format!("begin; select pg_advisory_xact_lock({})", 0x6879_7065_7263_6f70u64))
            }
        };
        let engines = [&file, other].map(|file| Running::start(command(&story, file, &[])));
        wait_until_held(&story.target, 2);
        hold.open();
        let mut runs = engines.map(Running::end);
        runs.sort_by_key(|run| run.code);
        assert_eq!(runs.each_ref().map(|run| run.code), [0, 9], "{}\n{}", runs[0].stderr, runs[1].stderr);
        assert!(runs[1].stderr.contains("of another run has just begun to fill"), "{}", runs[1].stderr);
        assert_complete_by_one_job(&story, "twins");
        begin_anew(&story);
    }
}

#[test]
fn an_engine_is_refused_while_another_one_imports_the_same_file() {
    let contents = last_one_waits();
    let (story, file) = story("import_second", &contents);
    let gate = Hold::gate(&story.target);
    let first = at_the_gate(&story, command(&story, &file, &[]), blocks_before_the_last(&contents));
    let second = run(command(&story, &file, &[]));
    assert_eq!(second.code, 9, "{}", second.stderr);
    assert!(second.stderr.contains("job 1 is being worked on by another run"), "{}", second.stderr);
    let clean = story.hypercopy(&["jobs", "clean", "1"]);
    assert_eq!(clean.code, 9, "{}", clean.stderr);
    gate.open();
    assert_eq!(first.end().code, 0);
    assert_complete_by_one_job(&story, "one of two");
}

#[test]
fn files_are_imported_side_by_side() {
    let (story, first) = story("import_side", &records(0..RECORDS));
    first.write(records(0..600));
    let second = File::with("import_side_2.csv", records(600..RECORDS));
    for arguments in [&[] as &[&str], &["--import-id", "2"]] {
        let engines = [&first, &second].map(|file| Running::start(command(&story, file, arguments)));
        for engine in engines {
            let ended = engine.end();
            assert_eq!(ended.code, 0, "{}", ended.stderr);
        }
        assert_complete(&story, "side by side");
        story.target.run("truncate metrics");
    }
}

#[test]
fn a_stopped_engine_that_has_lost_its_import_does_nothing_any_more() {
    let contents = last_one_waits();
    let (story, file) = story("import_stopped", &contents);
    let gate = Hold::gate(&story.target);
    let first = at_the_gate(&story, command(&story, &file, &[]), blocks_before_the_last(&contents));
    first.signal("-STOP");
    assert_eq!(story.target.value(TERMINATE_CONTROL), "1");
    // The second one ends the block that the first has open, and is at it itself when the first goes on.
    let second = at_the_gate(&story, command(&story, &file, &[]), blocks_before_the_last(&contents));
    first.signal("-CONT");
    let first = first.end();
    assert_eq!(first.code, 9, "{}", first.stderr);
    gate.open();
    let second = second.end();
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert_complete_by_one_job(&story, "overtaken");
}

// ---- servers

#[test]
fn blocks_that_a_crashed_target_has_forgotten_are_loaded_again() {
    let mut cluster = cluster("stories-import-forgets", &FORGETFUL);
    let contents = last_one_waits();
    let source = Database::create(Server::Trixie, "import_forgets").expect("trixie has TimescaleDB");
    let story = Story { source, target: Database::in_cluster(&cluster, "import_forgets", "") };
    story.target.run(METRICS);
    story
        .target
        .run("begin; set local synchronous_commit = on; create table waits_for_the_disk (); commit; checkpoint");
    expect(&story, &contents);
    let file = File::with("import_forgets.csv", &contents);
    let times = "select byte_from, completed_at::text from _hypercopy.block";
    let blocks = blocks_before_the_last(&contents);

    for way in ["file", "stdin"] {
        let gate = Hold::gate(&story.target);
        let command = match way {
            "file" => command(&story, &file, &[]),
            _ => through_stdin(&story, &file, &IN_BLOCKS),
        };
        let running = at_the_gate(&story, command, blocks);
        let done = story.target.query(times);
        cluster.restart().expect("the cluster starts again");
        drop(gate);
        let ended = running.end();
        if way == "stdin" && ended.code != 0 {
            assert_eq!(ended.code, 8, "{}", ended.stderr);
            assert!(ended.stderr.contains("comes through a pipe cannot be read again"), "{}", ended.stderr);
            let again = run(through_stdin(&story, &file, &IN_BLOCKS));
            assert_eq!(again.code, 0, "{}", again.stderr);
        } else {
            assert_eq!(ended.code, 0, "{way}: {}", ended.stderr);
        }
        let kept = story.target.query(times);
        assert!(done.iter().any(|block| !kept.contains(block)), "the server has kept what it should have lost");
        assert_complete_by_one_job(&story, way);
        begin_anew(&story);
    }
}

#[test]
fn a_block_whose_backend_is_terminated_is_loaded_once() {
    let contents = last_one_waits();
    let (story, file) = story("import_terminated", &contents);
    for (arguments, code) in [(&[] as &[&str], 0), (&["--retry-for", "0s"], 8)] {
        let gate = Hold::gate(&story.target);
        let running = at_the_gate(&story, command(&story, &file, arguments), blocks_before_the_last(&contents));
        assert_eq!(story.target.value(TERMINATE_HELD), "1");
        if code == 0 {
            wait_until_held(&story.target, 1);
            assert_eq!(story.target.value(TERMINATE_CONTROL), "1", "the session that holds the job");
        }
        let gate = match code {
            0 => {
                gate.open();
                None
            }
            _ => Some(gate),
        };
        let ended = running.end();
        assert_eq!(ended.code, code, "{}", ended.stderr);
        if code == 8 {
            assert!(ended.stderr.contains("run the same command again to go on"), "{}", ended.stderr);
            drop(gate);
            imported(&story, file.path(), &[]);
        }
        assert_complete_by_one_job(&story, "terminated");
        begin_anew(&story);
    }
}

#[test]
fn hostile_timeouts_do_not_reach_an_import() {
    let contents = last_one_waits();
    let (story, file) = story("import_timeouts", &contents);
    let gate = Hold::gate(&story.target);
    let name = story.target.value("select current_database()");
    for setting in ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"]
    {
        story.target.run(&format!("alter database \"{name}\" set {setting} = '1ms'"));
    }
    let running = at_the_gate(&story, command(&story, &file, &[]), blocks_before_the_last(&contents));
    story.target.wait_until(
        "a wait that is longer than all timeouts",
        "select bool_or(clock_timestamp() - query_start > '100 ms' and wait_event = 'advisory') from pg_stat_activity
         where datname = current_database() and application_name like 'hypercopy%'",
    );
    gate.open();
    let ended = running.end();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(!ended.stderr.contains("trying again"), "{}", ended.stderr);
    assert_complete_by_one_job(&story, "timeouts");
}

/// What passes is not the records' fault, however many of them may be left out.
#[test]
fn what_may_pass_is_not_blamed_on_records() {
    let (story, file) = story("import_passes", &records(0..RECORDS));
    story.target.run(
        "create sequence attempts;
         create function fail() returns trigger language plpgsql as
             'begin case nextval(''public.attempts'') when 5 then raise ''not now'' using errcode = ''40001'';
                 when 500 then raise ''not now'' using errcode = ''55P03'';
                 when 900 then raise ''not now'' using errcode = ''53300''; else null; end case; return new; end';
         create trigger fail before insert on metrics for each row execute function fail()",
    );
    let report = run(command(&story, &file, &["--max-rejects", "100%"]));
    assert_eq!(report.code, 0, "{}", report.stderr);
    assert_eq!(report.json()["rejected"], 0, "{}", report.stdout);
    assert_eq!(story.target.value("select last_value > 900 from attempts"), "t", "all three were raised");
    assert_complete_by_one_job(&story, "passing failures");
}

#[test]
fn an_import_waits_for_room_for_its_session() {
    let role = Role::create(Server::OtherTrixie, "import_room");
    let contents = last_one_waits();
    let (story, file) = story("import_room", &contents);
    let database = story.target.value("select current_database()");
    story.target.run(&format!(
        "grant create, temporary on database \"{database}\" to {role}; grant insert, select on metrics to {role}",
        role = role.name
    ));
    let gate = Hold::gate(&story.target);
    let mut command = command(&story, &file, &[]);
    command.env("HYPERCOPY_TARGET", role.conninfo(&story.target));
    let mut running = at_the_gate(&story, command, blocks_before_the_last(&contents));
    story.target.run(&format!("alter role {} connection limit 1", role.name));
    assert_eq!(story.target.value(TERMINATE_HELD), "1");
    running.wait_until_said("too many connections for role");
    story.target.run(&format!("alter role {} connection limit -1", role.name));
    gate.open();
    let ended = running.end();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_complete_by_one_job(&story, "room");
    // Before anything is written, that is an end.
    begin_anew(&story);
    for limit in 0..3 {
        story.target.run(&format!("alter role {} connection limit {limit}", role.name));
        let mut command = story.command(&["import", "metrics", file.path(), "-j", "2"]);
        command.env("HYPERCOPY_TARGET", role.conninfo(&story.target));
        let full = run(command);
        assert_eq!(full.code, 5, "{limit}: {}", full.stderr);
        assert_eq!(story.target.value("select count(*) from _hypercopy.job"), "0");
    }
}

// ---- networks

fn proxied(story: &Story, proxy: &Proxy, file: &File, arguments: &[&str]) -> Running {
    let mut command = command(story, file, arguments);
    command.env("HYPERCOPY_TARGET", proxy.conninfo());
    Running::start(command)
}

/// Of each commit of a run the answer is lost on its way back, or the commit itself on its way to the server.
#[test]
fn a_block_whose_commit_is_in_doubt_is_loaded_once() {
    let (story, file) = story("import_doubt", &records(0..250));
    let proxy = Proxy::to(&story.target.conninfo);
    let lose = |trigger: Trigger| {
        proxy.arm(trigger, Fault::Close);
        let ended = proxied(&story, &proxy, &file, &["--defer-indexes"]).end();
        assert_eq!(ended.code, 0, "{trigger:?}: {}", ended.stderr);
        assert_complete_by_one_job(&story, &format!("{trigger:?}"));
        begin_anew(&story);
        proxy.has_struck()
    };
    let commits = (1..).take_while(|number| lose(Trigger::Answer(COMMIT, *number))).count();
    assert!(commits > 6, "a run commits each block, step and state, and not {commits} times");
    // How many there are depends on which worker comes first.
    let lost = (1..=commits).step_by(3).filter(|number| lose(Trigger::Before(COMMIT, *number))).count();
    assert!(lost > 1, "{lost} of {commits}");
}

#[test]
fn an_import_that_is_cut_off_at_any_byte_goes_on() {
    let (story, file) = story("import_cut", &records(0..RECORDS).repeat(10));
    let proxy = Proxy::to(&story.target.conninfo);
    for (way, bytes, fault) in [
        (Way::ToServer, 5_000, Fault::Close),
        (Way::ToServer, 30_000, Fault::Reset),
        (Way::ToServer, 60_000, Fault::HalfClose),
        (Way::ToServer, 200_000, Fault::Close),
        (Way::ToServer, 350_000, Fault::Reset),
        (Way::ToClient, 10_000, Fault::Reset),
        (Way::ToClient, 28_000, Fault::Close),
    ] {
        proxy.arm(Trigger::Bytes(way, bytes), fault);
        let ended = proxied(&story, &proxy, &file, &[]).end();
        assert!(proxy.has_struck(), "{way:?} {bytes} is never reached");
        if ended.code != 0 {
            assert_eq!((ended.code, &ended.json()["job"]), (5, &serde_json::Value::Null), "{bytes}: {}", ended.stderr);
            let again = proxied(&story, &proxy, &file, &[]).end();
            assert_eq!(again.code, 0, "{bytes}: {}", again.stderr);
        }
        assert_complete_by_one_job(&story, &format!("{way:?} {bytes} {fault:?}"));
        begin_anew(&story);
    }
}

#[test]
fn an_import_whose_connection_stalls_goes_on() {
    let (story, file) = story("import_stalls", &records(0..RECORDS));
    let proxy = Proxy::to(&story.target.conninfo);
    // While the job begins, in the middle of the blocks, and when all of them are in.
    for message in [("insert into _hypercopy.job", 1), ("from stdin", 3), ("update _hypercopy.job set state", 1)] {
        proxy.arm(Trigger::Before(message.0, message.1), Fault::Stall);
        let ended = proxied(&story, &proxy, &file, &["--retry-for", "3s"]).end();
        assert!(proxy.has_struck(), "{message:?}");
        assert_eq!(ended.code, 0, "{message:?}: {}", ended.stderr);
        assert_complete_by_one_job(&story, message.0);
        begin_anew(&story);
    }
}

// ---- secrets

#[test]
fn no_password_is_shown_however_an_import_ends() {
    let bad = records(0..300) + "2025-03-01 00:00:00+00,x,1,\n";
    let (story, file) = story("import_canary", "");
    file.write(&bad);
    let report = File::new("import_canary_report");
    let target = format!("{} password='{CANARY}'", story.target.conninfo);
    let judge = |target: &str, arguments: &[&str], code: i32| {
        let mut command = command(&story, &file, &[&["-v", "--report", report.path()], arguments].concat());
        command.env("HYPERCOPY_TARGET", target).env("PGPASSWORD", CANARY).env("RUST_BACKTRACE", "1");
        let ended: Run = run(command);
        assert_eq!(ended.code, code, "{}", ended.stderr);
        let written = std::fs::read_to_string(report.path()).unwrap_or_default();
        assert_no_canary(&format!("{}{}{written}", ended.stdout, ended.stderr));
    };
    judge(&format!("host=127.0.0.1 port=1 password='{CANARY}'"), &["--retry-for", "0s"], 5);
    judge(&format!("{target} vogel"), &[], 2);
    judge(&target, &["--columns", "nothing"], 3);
    judge(&target, &["--dry-run"], 0);
    judge(&target, &[], 6);
    judge(&target, &["--max-rejects", "1"], 0);
    judge(&target, &["--max-rejects", "1"], 0);
    for table in ["job", "block", "reject", "step", "backend"] {
        let all = format!("select string_agg(t::text, ' ') from _hypercopy.{table} t");
        assert_no_canary(&story.target.value(&all));
    }
    assert_eq!(import(&story, file.path(), &["--max-rejects", "1"]).code, 0);
}

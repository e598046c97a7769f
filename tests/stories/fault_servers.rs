//! What happens to servers, their sessions and the engine while rows are copied: the run goes on, or ends and is gone on
//! with, and in the end every row is there once.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::faults::{
    CHECKED, DONE, FORGETFUL, IMPATIENT, TERMINATE_CONTROL, TERMINATE_HELD, assert_finished, assert_given_up,
    at_the_gate, cluster, command_by, complete, gated, proxied, run_to_the_gate,
};
use crate::harness::{Database, Hold, Role, Running, Server, Story, wait_until, wait_until_held};

/// The commits of tasks do not wait for the disk: a server that crashes forgets what it has said is done.
#[test]
fn a_target_that_forgets_is_told_again() {
    let mut cluster = cluster("stories-forgets", &FORGETFUL);
    let source = Database::create(Server::Trixie, "forgets").expect("trixie has TimescaleDB");
    let story = gated(Story { source, target: Database::in_cluster(&cluster, "forgets", "") });

    let gate = Hold::gate(&story.target);
    let running = run_to_the_gate(&story, &[]);
    let times = format!("select task, completed_at::text from ({DONE}) done");
    let done = story.target.query(&times);
    cluster.restart().expect("the cluster starts again");
    drop(gate);
    let run = running.end();
    assert_finished(&story, &run);
    assert!(run.json()["attempts"].as_u64() > Some(1), "the snapshot was taken again: {}", run.stdout);
    let kept = story.target.query(&times);
    assert!(!done.iter().any(|task| kept.contains(task)), "the server has kept what it should have lost: {kept:?}");
    story.target.run("drop table metrics");

    let gate = Hold::gate(&story.target);
    let running = run_to_the_gate(&story, &IMPATIENT);
    let postmaster = cluster.postmaster_pid().unwrap().to_string();
    assert!(Command::new("kill").args(["-9", &postmaster]).status().is_ok_and(|status| status.success()));
    assert_given_up(&running.end());
    drop(gate);
    cluster.restart().expect("the cluster starts again");
    let lost = story.target.value(&format!("select count(*) from ({DONE}) done"));
    assert_eq!(lost, "0", "the server has kept what it should have lost");
    complete(&story, &IMPATIENT);
}

#[test]
fn a_source_that_restarts_is_waited_for() {
    let mut cluster = cluster("stories-source", &[]);
    let target = Database::create(Server::OtherTrixie, "source").expect("trixie has TimescaleDB");
    let story = gated(Story { source: Database::in_cluster(&cluster, "source", ""), target });
    // The first task waits already, so that there are others to be read after the restart.
    story.target.run(
        "create or replace function gate(at timestamptz) returns boolean language plpgsql as
             'begin perform pg_advisory_xact_lock_shared(42); return true; end'",
    );
    for arguments in [[].as_slice(), &IMPATIENT] {
        let gate = Hold::gate(&story.target);
        let running = Running::start(story.command(&[&CHECKED, arguments].concat()));
        wait_until_held(&story.target, 2);
        cluster.restart().expect("the cluster starts again");
        gate.open();
        let run = running.end();
        if arguments.is_empty() {
            assert_finished(&story, &run);
            assert_eq!(run.json()["attempts"], 2, "the snapshot was taken again: {}", run.stdout);
            story.target.run("drop table metrics");
        } else {
            assert_given_up(&run);
            complete(&story, &IMPATIENT);
        }
    }
}

/// A target that has become a standby may be about to change places: it is waited for. Nothing begins on one.
#[test]
fn a_target_that_is_in_recovery_is_waited_for() {
    let mut cluster = cluster("stories-standby", &[]);
    let source = Database::create(Server::Trixie, "standby").expect("trixie has TimescaleDB");
    let story = gated(Story { source, target: Database::in_cluster(&cluster, "standby", "") });
    let gate = Hold::gate(&story.target);
    let mut running = run_to_the_gate(&story, &["--retry-for", "30s"]);
    cluster.stop_immediately().expect("the cluster stops");
    drop(gate);
    std::fs::write(cluster.data_directory().join("standby.signal"), "").expect("the data directory is ours");
    std::thread::scope(|scope| {
        // Answers when the server has been promoted.
        let restarted = scope.spawn(|| cluster.restart());
        let is_standby = "select pg_is_in_recovery()::text";
        wait_until("a standby", || {
            story.target.try_query(is_standby).is_ok_and(|rows| rows == [[Some("true".to_string())]])
        });
        running.wait_until_said("the target is in recovery; trying again");
        let before = story.target_objects();
        let other = story.hypercopy(&["migrate", "metrics", "--as", "other"]);
        assert_eq!(other.code, 3, "{}", other.stderr);
        assert!(other.stderr.contains("is a standby and cannot be written"), "{}", other.stderr);
        assert_eq!(before, story.target_objects());
        assert_eq!(story.target.value("select pg_promote()"), "t");
        restarted.join().unwrap().expect("the server is promoted");
    });
    assert_finished(&story, &running.end());
}

/// A file system of its own, small enough to be filled.
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// `None` where this process may not mount one.
    fn mount(name: &str, megabytes: u32, owner: &Path) -> Option<Tmpfs> {
        let path = std::env::temp_dir().join(format!("hypercopy-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).expect("a directory can be made");
        let tmpfs = Tmpfs(path);
        let mounted = tmpfs.run("mount", &["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "hypercopy"]);
        let owner = std::fs::metadata(owner).expect("the owner's directory is there");
        mounted.then(|| {
            std::os::unix::fs::chown(&tmpfs.0, Some(owner.uid()), Some(owner.gid())).expect("root may");
            tmpfs
        })
    }

    fn grow(&self, megabytes: u32) {
        assert!(self.run("mount", &["-o", &format!("remount,size={megabytes}m")]));
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = Command::new(program);
        command.args(arguments).arg(&self.0).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        self.run("umount", &["-l"]);
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_disk_that_is_full_ends_the_run_until_there_is_room() {
    let cluster = cluster("stories-disk", &[]);
    let Some(disk) = Tmpfs::mount("disk", 28, &cluster.data_directory()) else {
        eprintln!("skipped a_disk_that_is_full_ends_the_run_until_there_is_room: this user may not mount a tmpfs");
        return;
    };
    let administrator = Database::in_cluster(&cluster, "administrator", "");
    administrator.run(&format!("create tablespace small location '{}'", disk.0.display()));
    let source = Database::create(Server::Trixie, "disk").expect("trixie has TimescaleDB");
    let story = gated(Story { source, target: Database::in_cluster(&cluster, "disk", "tablespace small") });
    let run = story.hypercopy(&CHECKED);
    assert_given_up(&run);
    for words in ["No space left on device", "53100", "hint: Make room on that server's disk."] {
        assert!(run.stderr.contains(words), "{words} is not in: {}", run.stderr);
    }
    disk.grow(200);
    complete(&story, &[]);
}

// ---- sessions

/// Waits pass these times while the run is held, and each statement of it does.
#[test]
fn hostile_timeouts_are_not_ours() {
    let story = gated(Story::new("timeouts"));
    let gate = Hold::gate(&story.target);
    for database in [&story.source, &story.target] {
        let name = database.value("select current_database()");
        for whose in [format!("database \"{name}\""), format!("role postgres in database \"{name}\"")] {
            for setting in [
                "statement_timeout = '1ms'",
                "lock_timeout = '1ms'",
                "idle_in_transaction_session_timeout = '1ms'",
                "idle_session_timeout = '1ms'",
                "transaction_timeout = '1ms'",
            ] {
                database.run(&format!("alter {whose} set {setting}"));
            }
        }
    }
    let running = run_to_the_gate(&story, &[]);
    story.target.wait_until(
        "a wait that is longer than all timeouts",
        "select bool_or(clock_timestamp() - query_start > '100 ms' and wait_event = 'advisory') from pg_stat_activity
         where datname = current_database() and application_name like 'hypercopy%'",
    );
    assert_eq!(story.target.value(TERMINATE_HELD), "1");
    wait_until_held(&story.target, 1);
    gate.open();
    assert_finished(&story, &running.end());
}

/// Rights enough for a migration.
fn grant(story: &Story, role: &Role, is_source: bool) {
    match is_source {
        true => story.source.run(&format!("grant select on metrics to {}", role.name)),
        false => {
            let database = story.target.value("select current_database()");
            let grant = format!("grant create, temporary on database \"{database}\" to {}", role.name);
            story.target.run(&format!("{grant}; grant create on schema public to {}", role.name));
        }
    }
}

#[test]
fn a_server_without_room_for_sessions_leaves_nothing() {
    let (on_source, on_target) = (Role::create(Server::Trixie, "full"), Role::create(Server::OtherTrixie, "full"));
    let story = gated(Story::new("full"));
    for (role, is_source, variable, code) in
        [(&on_source, true, "HYPERCOPY_SOURCE", 4), (&on_target, false, "HYPERCOPY_TARGET", 5)]
    {
        let database = if is_source { &story.source } else { &story.target };
        grant(&story, role, is_source);
        let before = story.target_objects();
        for limit in 0..3 {
            database.run(&format!("alter role {} connection limit {limit}", role.name));
            let mut command = story.command(&CHECKED);
            command.env(variable, role.conninfo(database));
            let run = Running::start(command).end();
            assert_eq!(run.code, code, "{variable} {limit}: {}", run.stderr);
            assert!(run.stderr.contains("too many connections for role"), "{}", run.stderr);
            assert_eq!(before, story.target_objects(), "{variable} {limit}");
        }
    }
}

#[test]
fn a_worker_waits_for_room_for_its_session() {
    let (on_source, on_target) = (Role::create(Server::Trixie, "room"), Role::create(Server::OtherTrixie, "room"));
    let story = gated(Story::new("room"));
    for (role, is_source, variable) in [(&on_source, true, "HYPERCOPY_SOURCE"), (&on_target, false, "HYPERCOPY_TARGET")]
    {
        let database = if is_source { &story.source } else { &story.target };
        grant(&story, role, is_source);
        let gate = Hold::gate(&story.target);
        let mut command = story.command(&CHECKED);
        command.env(variable, role.conninfo(database));
        let mut running = at_the_gate(&story, command);
        database.run(&format!("alter role {} connection limit 1", role.name));
        // The worker that waits at the gate loses its target, and on the source whatever it has there.
        assert_eq!(story.target.value(TERMINATE_HELD), "1");
        running.wait_until_said("too many connections for role");
        database.run(&format!("alter role {} connection limit -1", role.name));
        gate.open();
        let run = running.end();
        assert_finished(&story, &run);
        assert_eq!(run.json()["attempts"], 1, "the snapshot stays: {}", run.stderr);
        story.target.run("drop table metrics; drop schema _hypercopy cascade");
    }
}

// ---- engines

#[test]
fn a_stopped_engine_that_has_lost_its_job_does_nothing_any_more() {
    let story = gated(Story::new("stopped"));
    for goes_on_early in [true, false] {
        let gate = Hold::gate(&story.target);
        let first = run_to_the_gate(&story, &[]);
        first.signal("-STOP");
        if goes_on_early {
            let second = story.hypercopy(&CHECKED);
            assert_eq!(second.code, 9, "{}", second.stderr);
            assert!(second.stderr.contains("is being worked on by another run"), "{}", second.stderr);
            story.target.wait_until(
                "its session to end",
                "select count(*) = 1 from pg_stat_activity
                 where datname = current_database() and application_name = 'hypercopy migrate public.metrics'",
            );
        }
        assert_eq!(story.target.value(TERMINATE_CONTROL), "1");
        let mut gate = Some(gate);
        let second = match goes_on_early {
            true => at_the_gate(&story, story.command(&CHECKED)),
            false => {
                gate.take();
                let second = Running::start(story.command(&CHECKED));
                story.target.wait_until(
                    "the second engine to finish",
                    "select state = 'finished' from _hypercopy.job order by id desc limit 1",
                );
                second
            }
        };
        first.signal("-CONT");
        let first = first.end();
        match goes_on_early {
            true => {
                assert_eq!(first.code, 9, "{}", first.stderr);
                assert!(first.stderr.contains("by another run"), "{}", first.stderr);
                assert_eq!(first.json()["outcome"], "failed");
            }
            // It has nothing left to do, and says so.
            false => {
                assert_eq!(first.code, 0, "{}", first.stderr);
                assert!(first.json()["finished_at"].is_string(), "{}", first.stdout);
            }
        }
        drop(gate);
        assert_finished(&story, &second.end());
        story.target.run("drop table metrics");
    }
}

/// What it has read of the job before it had the lock is old by then.
#[test]
fn an_engine_that_has_waited_for_another_finds_the_job_finished() {
    let story = gated(Story::new("waited"));
    let gate = Hold::gate(&story.target);
    let first = run_to_the_gate(&story, &[]);
    let before = story.source.multiset("metrics");
    story.source.run("update metrics set value = 77 where device = 1");
    let second = Running::start(story.command(&CHECKED));
    story.target.wait_until(
        "the second engine at the job's lock",
        "select count(*) > 0 from pg_stat_activity where datname = current_database()
             and application_name like 'hypercopy%' and query like '%pg_try_advisory_lock%'",
    );
    gate.open();
    assert_eq!(first.end().code, 0);
    let second = second.end();
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert!(second.json()["finished_at"].is_string(), "{}", second.stdout);
    assert_eq!(before, story.target.multiset("metrics"), "what is finished is left alone");
    assert_eq!(story.target.value("select run from _hypercopy.job"), "1");
}

/// The server does not hear that the engine is gone, and builds on.
#[test]
fn an_index_build_that_outlives_its_engine_is_ended() {
    let story = gated(Story::new("build"));
    let proxy = proxied(&story, false);
    proxy.0.keep_servers();
    let gate = Hold::gate(&story.target);
    let first = at_the_gate(&story, command_by(&proxy, &story, &[]));
    let hold = Hold::new(&story.target, "begin; lock table metrics in row exclusive mode");
    gate.open();
    let builds = "select string_agg(pid::text, ',') from pg_stat_activity where datname = current_database()
         and application_name like 'hypercopy%' and query like 'create index%' and wait_event_type = 'Lock'";
    let are_building = format!("select cardinality(string_to_array(({builds}), ',')) = 2");
    story.target.wait_until("two index builds at the lock", &are_building);
    let build = story.target.value(builds);
    first.signal("-KILL");
    first.end();
    // The server would find out about this one too, by its keepalives; until then the job is held.
    assert_eq!(story.target.value(TERMINATE_CONTROL), "1");

    let second = Running::start(story.command(&CHECKED));
    let is_gone = format!("select not exists (select from pg_stat_activity where pid in ({build}))");
    story.target.wait_until("the old builds to be ended", &is_gone);
    story.target.wait_until("the new builds at the lock", &are_building);
    hold.open();
    let run = second.end();
    // Its watching sessions, which hold nothing, are left to the server.
    drop(proxy);
    assert_finished(&story, &run);
}

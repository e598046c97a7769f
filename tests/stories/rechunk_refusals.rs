//! What `rechunk` refuses, with words and a hint and without a trace; and what people may do to a table meanwhile.

use crate::harness::{Role, Run, Server};
use crate::rechunks::Rechunk;

const METRICS: &str = "
    create table metrics (time timestamptz not null, device int);
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '7 days');
    insert into metrics select '2025-03-01'::timestamptz + n * interval '6 hours', n from generate_series(1, 100) n;";

const DAYS: [&str; 2] = ["--chunk-interval", "1 day"];
const READY: [&str; 3] = ["--chunk-interval", "1 day", "--no-swap"];

impl Rechunk {
    /// Expects a refusal that leaves no trace.
    #[track_caller]
    fn refuses(&self, text: &str, arguments: &[&str]) {
        let before = self.database.objects();
        self.fails(3, text, arguments);
        self.assert_as_before(&before, text);
    }

    /// Runs it as another role.
    #[track_caller]
    fn run_as(&self, role: &Role, arguments: &[&str]) -> Run {
        let mut command = self.command(arguments);
        command.env("HYPERCOPY_DATABASE", role.conninfo(&self.database));
        Run::of(command.output().expect("the program starts"))
    }

    #[track_caller]
    fn refuses_role(&self, role: &Role, text: &str, arguments: &[&str]) {
        let before = self.database.objects();
        let run = self.run_as(role, arguments);
        assert!(run.code == 3 && run.stderr.contains(text) && run.stderr.contains("hint: "), "{}", run.stderr);
        self.assert_as_before(&before, text);
    }

    #[track_caller]
    fn done_as(&self, role: &Role, arguments: &[&str]) {
        let run = self.run_as(role, arguments);
        assert_eq!(run.code, 0, "{arguments:?}: {}", run.stderr);
    }
}

#[test]
fn an_owner_needs_to_create_schemas_and_tables_and_a_stranger_may_nothing() {
    let (owner, stranger) = (Role::create(Server::Trixie, "owner"), Role::create(Server::Trixie, "stranger"));
    let story = Rechunk::new("rc_rights", METRICS);
    let database = &story.database;
    let here = format!("\"{}\"", database.value("select current_database()"));
    database.run(&format!(
        "alter table metrics owner to {0}; grant select on metrics to {1}; grant create on database {here} to {1}",
        owner.name, stranger.name
    ));
    story.refuses_role(&stranger, "does not own public.metrics", &DAYS);
    story.refuses_role(&owner, "may not", &DAYS);
    database.run(&format!("grant create on database {here} to {}", owner.name));
    story.refuses_role(&owner, "may not create tables in schema public", &DAYS);
    database.run(&format!("grant create on schema public to {}", owner.name));
    let before = database.multiset("metrics");
    story.done_as(&owner, &READY);
    for action in ["--swap", "--abort"] {
        let run = story.run_as(&stranger, &[action]);
        assert_eq!(run.code, 3, "{}", run.stderr);
    }
    story.done_as(&owner, &["--swap"]);
    story.done_as(&owner, &["--undo"]);
    story.done_as(&owner, &DAYS);
    story.done_as(&owner, &["--drop-old"]);
    assert_eq!(database.multiset("metrics"), before);
    assert_eq!(database.value("select tableowner from pg_tables where tablename = 'metrics'"), owner.name);
    database.run(&format!("drop schema _hypercopy cascade; drop owned by {}, {}", owner.name, stranger.name));
}

#[test]
fn a_member_of_the_owning_role_and_a_superuser_leave_the_table_to_its_owner() {
    let (owner, member) = (Role::create(Server::Trixie, "group"), Role::create(Server::Trixie, "member"));
    let story = Rechunk::new("rc_member", METRICS);
    let database = &story.database;
    let here = format!("\"{}\"", database.value("select current_database()"));
    database.run(&format!(
        "alter table metrics owner to {0}; grant {0} to {1}; grant create on database {here} to {0};
         grant create on schema public to {0}",
        owner.name, member.name
    ));
    let before = database.multiset("metrics");
    let owners = "select string_agg(distinct relowner::regrole::text, ' ') from pg_class
        where oid = 'metrics'::regclass or oid in (select show_chunks('metrics'))";
    story.done_as(&member, &DAYS);
    assert_eq!((database.value(owners), database.multiset("metrics")), (owner.name.clone(), before.clone()));
    let run = story.run_as(&owner, &["--undo"]);
    assert!(run.code == 3 && run.stderr.contains("may not write the ledger"), "{}", run.stderr);
    story.done_as(&member, &["--undo"]);
    story.done(&DAYS);
    assert_eq!((database.value(owners), database.multiset("metrics")), (owner.name.clone(), before.clone()));
    // The owner may write, whoever follows what it does.
    database.run(&format!("set role {}; insert into metrics values ('2025-03-01', -1); reset role", owner.name));
    story.fails(3, "was changed since the swap in [", &["--undo"]);
    story.done(&["--drop-old"]);
    database.run(&format!("drop schema if exists _hypercopy cascade; drop owned by {}, {}", owner.name, member.name));
}

#[test]
fn tables_that_cannot_be_followed_or_read_whole_are_refused() {
    let owner = Role::create(Server::Trixie, "policed");
    let story = Rechunk::new("rc_tables", METRICS);
    let database = &story.database;
    database.run("create table plain (time timestamptz not null); create view seen as table metrics");
    let refuses = |table: &str, text: &str| {
        let before = database.objects();
        let run = story.hypercopy(&["rechunk", table, "--chunk-interval", "1 day"]);
        assert!(run.code == 3 && run.stderr.contains(text) && run.stderr.contains("hint: "), "{}", run.stderr);
        story.assert_as_before(&before, text);
    };
    refuses("plain", "is a plain table, not a hypertable");
    refuses("seen", "is a view, not a hypertable");
    refuses("missing", "there is no table missing");
    database.run(
        "create subscription feed connection 'dbname=nowhere' publication feed with (connect = false, slot_name = none);
         insert into pg_subscription_rel select oid, 'metrics'::regclass, 'r' from pg_subscription where subname = 'feed'",
    );
    refuses("metrics", "is the target of a logical subscription");
    database.run("delete from pg_subscription_rel; drop subscription feed");
    let here = format!("\"{}\"", database.value("select current_database()"));
    database.run(&format!(
        "alter table metrics owner to {0}; grant create on database {here} to {0}; grant create on schema public to {0};
         alter table metrics enable row level security, force row level security",
        owner.name
    ));
    story.refuses_role(&owner, "row-level security filters", &DAYS);
    database.run(&format!("drop view seen; drop owned by {}", owner.name));
}

#[test]
fn a_table_that_inherits_without_being_a_chunk_is_refused_where_there_can_be_one() {
    let story = Rechunk::new("rc_child", METRICS);
    let made = story.database.try_query("create table child () inherits (metrics)");
    match made {
        Ok(_) => story.refuses("inherits from public.metrics and is no chunk of it", &DAYS),
        Err(error) => assert!(error.as_db_error().unwrap().message().contains("hypertable"), "{error:?}"),
    }
}

#[test]
fn continuous_aggregates_are_refused_by_name() {
    let Some(story) = Rechunk::community("rc_aggregates", METRICS) else { return };
    story.database.run(
        "create materialized view daily with (timescaledb.continuous) as
         select time_bucket('1 day', time) as day, count(*) from metrics group by 1 with no data",
    );
    story.refuses("the first one public.daily", &DAYS);
    let run = story.run(&DAYS);
    assert!(run.stderr.contains("--recreate-continuous-aggregates"), "{}", run.stderr);
}

#[test]
fn layouts_that_make_no_sense_are_refused() {
    let story = Rechunk::new("rc_senseless", METRICS);
    for (text, arguments) in [
        ("has this layout already", ["--chunk-interval", "7 days"]),
        ("has months", ["--chunk-interval", "1 month"]),
        ("is no interval", ["--chunk-interval", "a while"]),
        ("is a bare integer", ["--chunk-interval", "86400"]),
        ("does not fit", ["--chunk-interval", "0 days"]),
        ("has no column nobody", ["--hash-partitions", "nobody:2"]),
        ("would be two dimensions at once", ["--hash-partitions", "time:2"]),
        ("needs more than 20 chunks", ["--chunk-interval", "1 second"]),
    ] {
        story.refuses(text, &[&arguments[..], &["--max-new-chunks", "20"]].concat());
    }
}

#[test]
fn a_command_line_that_shows_it_is_wrong_ends_with_2() {
    let story = Rechunk::new("rc_usage", METRICS);
    let wrong: [&[&str]; 13] = [
        &[],
        &["--no-swap"],
        &["--force"],
        &["--force", "--abort"],
        &["--swap", "--abort"],
        &["--swap", "--chunk-interval", "1 day"],
        &["--undo", "--hash-partitions", "device:2"],
        &["--drop-old", "--target-chunk-size", "1GB"],
        &["--swap", "--no-swap"],
        &["--chunk-interval", "1 day", "--target-chunk-size", "1GB"],
        &["--target-chunk-size", "0"],
        &["--target-chunk-size", "big"],
        &["--hash-partitions", "device"],
    ];
    let before = story.database.objects();
    for arguments in wrong {
        let run = story.run(arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {}", run.stderr);
        assert!(!run.stderr.is_empty());
    }
    story.assert_as_before(&before, "nothing was asked for");
    assert_eq!(story.run(&["--target-chunk-size", "2TB", "--dry-run"]).code, 0);
}

#[test]
fn actions_without_their_job_or_in_the_wrong_state_say_what_there_is() {
    let story = Rechunk::new("rc_states", METRICS);
    for action in ["--swap", "--abort", "--undo", "--drop-old"] {
        story.refuses("no rechunk of public.metrics is under way", &[action]);
    }
    story.done(&READY);
    story.fails(3, "is ready, and not swapped", &["--undo"]);
    story.fails(3, "is ready, and not swapped", &["--drop-old"]);
    story.fails(3, "is ready and was asked for otherwise", &["--chunk-interval", "2 days"]);
    story.done(&["--swap"]);
    let run = story.fails(3, "was swapped already by job 1", &["--abort"]);
    assert!(run.stderr.contains("--undo"), "{}", run.stderr);
    let run = story.fails(3, "is swapped and was asked for otherwise", &["--chunk-interval", "2 days"]);
    assert!(run.stderr.contains("--drop-old"), "{}", run.stderr);
    assert_eq!(story.done(&["--swap"])["state"], "swapped", "it is done already");
    story.done(&["--drop-old"]);
    for action in ["--swap", "--abort", "--undo", "--drop-old"] {
        story.fails(3, "no rechunk of public.metrics is under way", &[action]);
    }
}

#[test]
fn an_old_table_that_nobody_has_compared_is_dropped_by_a_person() {
    let story = Rechunk::new("rc_unverified", METRICS);
    let before = story.database.multiset("metrics");
    story.done(&[&DAYS[..], &["--verify", "none"]].concat());
    let run = story.fails(3, "nobody has compared", &["--drop-old"]);
    assert!(run.stderr.contains("hypercopy verify public.metrics_old_1 --as public.metrics"), "{}", run.stderr);
    let run = story.hypercopy(&["verify", "public.metrics_old_1", "--as", "public.metrics"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    story.database.run("drop table metrics_old_1");
    story.fails(3, "public.metrics_old_1 is not there any more", &["--undo"]);
    story.done(&["--drop-old"]);
    assert_eq!(story.database.multiset("metrics"), before);
    assert_eq!(story.database.value("select to_regnamespace('_hypercopy_1') is null"), "t");
}

#[test]
fn what_a_person_renames_or_alters_meanwhile_is_noticed() {
    let story = Rechunk::new("rc_meanwhile", METRICS);
    let (database, objects) = (&story.database, story.database.objects());
    story.done(&READY);
    database.run("alter table metrics rename to renamed");
    for action in [&DAYS[..], &["--swap"], &["--abort"]] {
        let run = story.hypercopy(&[&["rechunk", "renamed"], action].concat());
        assert!(run.code == 3 && run.stderr.contains("was called public.metrics when job 1 began"), "{}", run.stderr);
    }
    database.run("alter table renamed rename to metrics");
    for (ddl, back, part) in [
        ("add column more int", "drop column more", "column more"),
        ("alter column device set not null", "alter column device drop not null", "column device"),
        ("add constraint small check (device < 1000)", "drop constraint small", "constraint small"),
    ] {
        database.run(&format!("alter table metrics {ddl}"));
        story.fails(5, &format!("{part} of public.metrics was altered since"), &["--swap"]);
        database.run(&format!("alter table metrics {back}"));
    }
    database.run("create index sooner on metrics (device)");
    story.fails(5, "index sooner of public.metrics was altered since", &["--swap"]);
    story.done(&["--abort"]);
    database.run("drop index sooner");
    story.assert_as_before(&objects, "given up");
}

#[test]
fn a_column_that_comes_while_the_swap_waits_is_not_lost() {
    let story = Rechunk::new("rc_column", METRICS);
    let reader = crate::harness::Hold::new(&story.database, "begin; lock table metrics in access share mode");
    let mut running = story.start(&[&DAYS[..], &["--lock-timeout", "100ms"]].concat());
    running.wait_until_said("swap: a lock was not had");
    reader.run("alter table metrics add column more int default 5; commit");
    let run = running.end();
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(run.stderr.contains("column more of public.metrics was altered since"), "{}", run.stderr);
    assert_eq!(story.database.value("select sum(more) from metrics"), "500");
}

#[test]
fn old_tables_that_are_renamed_or_whose_name_is_taken_are_not_mistaken() {
    let story = Rechunk::new("rc_mistaken", METRICS);
    story.done(&DAYS);
    story.database.run("alter table metrics_old_1 rename to mine; create table metrics_old_1 as select 1 as treasure");
    for action in ["--undo", "--drop-old"] {
        story.fails(3, "the old table was called public.metrics_old_1, and is public.mine now", &[action]);
    }
    story.database.run("drop table mine");
    story.done(&["--drop-old"]);
    assert_eq!(story.database.value("select treasure from metrics_old_1"), "1", "it belongs to somebody else");
}

#[test]
fn jobs_lists_shows_and_forgets_rechunks_in_every_state() {
    let story = Rechunk::new("rc_jobs", METRICS);
    let objects = story.database.objects();
    let standing = |state: &str| {
        let list = story.hypercopy(&["jobs"]);
        assert!(list.code == 0 && list.stdout.contains(state), "{}{}", list.stdout, list.stderr);
        let shown = story.hypercopy(&["jobs", "show", "1"]);
        assert!(
            shown.stdout.contains("job 1: rechunk") && shown.stdout.contains(state),
            "{}{}",
            shown.stdout,
            shown.stderr
        );
    };
    let stays = |text: &str| {
        let run = story.hypercopy(&["jobs", "clean", "1"]);
        assert!(run.code == 3 && run.stderr.contains(text) && run.stderr.contains("--abort"), "{}", run.stderr);
    };
    for (failpoint, state) in
        [("begin-after-commit", "prepared"), ("after-commit", "copying"), ("finalize-before-step", "finalizing")]
    {
        story.kill_at(failpoint, &DAYS);
        standing("unfinished");
        stays(state);
    }
    story.done(&READY);
    standing("ready");
    stays("ready");
    story.done(&["--swap"]);
    standing("swapped");
    stays("swapped");
    story.done(&["--drop-old"]);
    standing("finished");
    assert_eq!(story.hypercopy(&["jobs", "clean", "1"]).code, 0);
    assert_eq!(story.database.value("select to_regnamespace('_hypercopy') is null"), "t");
    assert_ne!(story.database.objects(), objects, "the chunks are others");
}

#[test]
fn a_job_whose_table_was_dropped_is_cleaned_away() {
    for is_swapped in [false, true] {
        let story = Rechunk::new("rc_dropped", METRICS);
        story.done(if is_swapped { &DAYS[..] } else { &READY });
        // The view that keeps the columns goes with it.
        story.database.run("drop table metrics cascade");
        for action in ["--abort", "--swap"] {
            story.fails(3, "there is no table metrics", &[action]);
        }
        assert!(story.hypercopy(&["jobs"]).stdout.contains("table dropped"));
        let run = story.hypercopy(&["jobs", "clean", "1"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let left = "select count(*) from pg_namespace where nspname like '\\_hypercopy%'";
        assert_eq!(story.database.value(left), "0");
        if is_swapped {
            story.database.run("insert into metrics_old_1 values ('2025-03-01', 1)");
        }
        story.database.assert_nothing_left();
    }
}

#[test]
fn a_ledger_of_an_older_shape_is_refused() {
    let story = Rechunk::new("rc_older", METRICS);
    story.done(&READY);
    story.database.run("drop table _hypercopy.chunk");
    for arguments in [&DAYS[..], &["--swap"], &["--abort"]] {
        story.refuses("was made by another version", arguments);
    }
}

//! What roles and databases have set, against what the engine's sessions need.

use crate::harness::{Run, Story};

const METRICS: &str = "
    create table metrics (time timestamptz not null, device int, value double precision, unique (time, device));
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '12 hours');
    insert into metrics
    select '2025-03-01'::timestamptz + n * interval '7 minutes', n, n / 3.0 from generate_series(1, 1000) n;";

fn set_on_target(story: &Story, setting: &str) {
    let database = story.target.value("select current_database()");
    story.target.run(&format!("alter database \"{database}\" set {setting}"));
}

/// Triggers do not fire there: the rows that make chunks would stay.
#[test]
fn chunks_are_made_without_rows_on_a_database_that_replicates() {
    let story = Story::new("replica");
    story.source.run(METRICS);
    set_on_target(&story, "session_replication_role = 'replica'");
    story.migrate("metrics", &["--verify", "none"]);
}

/// TimescaleDB brings DDL to the chunks in event triggers.
#[test]
fn constraints_reach_the_chunks_where_event_triggers_are_off() {
    let story = Story::new("event_triggers");
    story.source.run(METRICS);
    set_on_target(&story, "event_triggers = off");
    story.migrate("metrics", &[]);
    let chunk_keys =
        "select count(*) from pg_constraint where contype = 'u' and conrelid in (select show_chunks('metrics'))";
    assert_eq!(story.target.value(chunk_keys), story.target.value("select count(*) from show_chunks('metrics')"));
}

/// The rows that make chunks name the dimensions alone, and some domains want more.
#[test]
fn domains_that_refuse_nulls_do_not_stop_the_making_of_chunks() {
    for constraint in ["not null", "check (value is not null)"] {
        let story = Story::new("never_null");
        story.source.run(&format!(
            "create domain present as int {constraint};
             create table metrics (time timestamptz not null, a present, b int not null);
             select create_hypertable('metrics', 'time', chunk_time_interval => interval '12 hours');
             insert into metrics select '2025-03-01'::timestamptz + n * interval '7 minutes', n, n from generate_series(1, 1000) n;",
        ));
        story.migrate("metrics", &["-j", "3"]);
    }
}

/// What a role may not do is known before anything is there.
#[test]
fn a_role_with_too_few_rights_or_connections_leaves_nothing() {
    let story = Story::new("limited");
    story.source.run(METRICS);
    let role = format!("limited_{}", std::process::id());
    let database = story.target.value("select current_database()");
    story.target.run(&format!("create role {role} login connection limit 2; grant create on schema public to {role}"));
    let migrate = || {
        let mut command = story.command(&["migrate", "metrics", "-j", "3"]);
        command.env("HYPERCOPY_TARGET", format!("{} user={role}", story.target.conninfo));
        Run::of(command.output().expect("the program starts"))
    };
    let before = story.target_objects();
    let run = migrate();
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("may not write the ledger in schema _hypercopy"), "{}", run.stderr);
    assert_eq!(before, story.target_objects());

    story.target.run(&format!("grant create on database \"{database}\" to {role}"));
    let run = migrate();
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(run.stderr.contains("too many connections for role"), "{}", run.stderr);
    assert_eq!(before, story.target_objects());

    story.target.run(&format!("alter role {role} connection limit 9"));
    let run = migrate();
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(story.source.multiset("metrics"), story.target.multiset("metrics"));
    story.target.run(&format!("drop owned by {role}; drop role {role}"));
}

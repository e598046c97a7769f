//! What TimescaleDB keeps on a hypertable, and does to it by itself, in a migration and in an archive. These run where
//! `HYPERCOPY_TEST_COMMUNITY_DSN` names a server with TimescaleDB's community edition.

use hypercopy::catalog::{Job, Policies, read};
use hypercopy::connect::{Conninfo, Reader, Side};
use hypercopy::ident::QualifiedName;
use serde_json::Value;

use crate::archives::Archive;
use crate::harness::{Database, Server, Story, has_community};

/// Hostile names, a columnstore with everything set, a column whose ranges are kept.
const METRICS: &str = r#"
    create schema "My.""Schema";
    create table "My.""Schema"."Ta'b.le" ("Time.Stamp" timestamptz not null, "de'vice" int not null, "Va""lue" float8);
    select create_hypertable('"My.""Schema"."Ta''b.le"', 'Time.Stamp', chunk_time_interval => interval '1 day',
        create_default_indexes => false);
    create index "My Index" on "My.""Schema"."Ta'b.le" ("Time.Stamp" desc);
    alter table "My.""Schema"."Ta'b.le" set (timescaledb.compress, timescaledb.compress_segmentby = '"de''vice"',
        timescaledb.compress_orderby = '"Time.Stamp" asc nulls first, "Va""lue" desc',
        timescaledb.compress_chunk_time_interval = '7 days');
    set timescaledb.enable_chunk_skipping = on;
    select enable_chunk_skipping('"My.""Schema"."Ta''b.le"', 'de''vice');
    insert into "My.""Schema"."Ta'b.le"
    select '2025-03-01 UTC'::timestamptz + n * interval '1 hour', n % 3, n from generate_series(0, 239) n;"#;

const TABLE: &str = r#""My.""Schema"."Ta'b.le""#;

/// A job of each kind, with everything about it set to something unusual.
const JOBS: &str = r#"
    create procedure public.act(job_id int, config jsonb) language sql as 'select 1';
    create function public."Check It"(config jsonb) returns void language sql as 'select null';
    select add_retention_policy('"My.""Schema"."Ta''b.le"', interval '30 years', schedule_interval => interval '3 days',
        initial_start => '2030-01-02 03:04:05+00', timezone => 'Europe/Berlin');
    select add_compression_policy('"My.""Schema"."Ta''b.le"', interval '20 years', schedule_interval => interval '5 hours',
        initial_start => '2031-02-03 04:05:06.789+00');
    select add_reorder_policy('"My.""Schema"."Ta''b.le"', 'My Index', initial_start => '2032-01-01+00', timezone => 'UTC');
    select alter_job(job_id, max_runtime => interval '7 minutes', max_retries => 3, retry_period => interval '11 minutes',
        next_start => '2033-01-01+00', timezone => 'Europe/Berlin')
    from timescaledb_information.jobs where proc_name = 'policy_retention' and hypertable_name is not null;
    select alter_job(add_job('public.act', '1 week', config => '{"a": 1.10, "{add}": "{config}"}', initial_start => '2034-01-01+00',
        check_config => 'public."Check It"'), scheduled => false);
    select _timescaledb_functions.alter_job_set_hypertable_id(max(job_id), '"My.""Schema"."Ta''b.le"')
    from timescaledb_information.jobs where proc_name = 'act';"#;

/// What the jobs call.
const PROCEDURES: &str = r#"
    create procedure public.act(job_id int, config jsonb) language sql as 'select 1';
    create function public."Check It"(config jsonb) returns void language sql as 'select null'"#;

/// What TimescaleDB does to the only table of users in a database.
#[track_caller]
fn policies(database: &Database, table: &QualifiedName) -> Policies {
    let conninfo = Conninfo::parse(&database.conninfo, |_| None).expect("the conninfo is one");
    database.wait(async {
        let session = Reader::open(Side::Source, &conninfo, "story").await.expect("the server answers");
        let row = read::hypertable_row(&session, table).await.expect("the catalog can be read");
        read::policies(&session, row.expect("it is a hypertable").id, table).await.expect("the catalog can be read")
    })
}

/// Jobs without what differs between two servers: their numbers, and the ids in their configurations, which have to be those
/// of the hypertable. They are made in one order.
#[track_caller]
fn jobs(policies: &Policies) -> Vec<Job> {
    let mut jobs = policies.jobs.clone();
    for job in &mut jobs {
        job.id = 0;
        if let Some(id) = job.config.as_mut().and_then(|config| config.get_mut("hypertable_id")) {
            assert_eq!(*id, policies.hypertable_id);
            *id = Value::Null;
        }
    }
    jobs
}

fn name() -> QualifiedName {
    QualifiedName::new("My.\"Schema", "Ta'b.le")
}

/// What was listed of this kind, with the reason and the SQL.
pub fn listed(report: &Value, kind: &str) -> Vec<String> {
    let found = report["not_carried"].as_array().expect("there is a list").iter().filter(|found| found["kind"] == kind);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    found
        .map(|found| {
            let sql: Vec<String> = found["sql"].as_array().into_iter().flatten().map(text).collect();
            format!("{}: {}: {}", text(&found["object"]), text(&found["reason"]), sql.join("; "))
        })
        .collect()
}

/// Both ways from the source to the target; each ends with the table dropped.
fn both_ways(story: &Story, arguments: &[&str], see: impl Fn(&Value)) {
    let finish = |report: Value| {
        assert_eq!(story.source.multiset(TABLE), story.target.multiset(TABLE));
        see(&report);
        story.target.run(&format!("drop table {TABLE}; delete from _hypercopy.job"));
    };
    finish(story.migrate(TABLE, arguments));
    finish(Archive::of(&story.source, TABLE, "upkeep", &[]).restored(&story.target, arguments));
}

#[test]
fn settings_and_jobs_arrive_as_they_were() {
    let Some(story) = Story::community("upkeep_settings") else { return };
    story.source.run(METRICS);
    story.source.run(JOBS);
    story.target.run(PROCEDURES);
    let before = policies(&story.source, &name());
    assert_eq!((before.jobs.len(), before.skipping_columns.len()), (4, 1));
    assert!(before.columnstore.is_some());
    both_ways(&story, &["--strict", "--chunk-interval", "6 hours"], |_| {
        let after = policies(&story.target, &name());
        assert_eq!(after.columnstore, before.columnstore);
        assert_eq!(after.skipping_columns, before.skipping_columns);
        assert_eq!(jobs(&after), jobs(&before));
    });
}

#[test]
fn an_index_that_gets_another_name_is_the_one_to_reorder_by() {
    let Some(story) = Story::community("upkeep_renamed") else { return };
    story.source.run(
        "create table metrics (time timestamptz not null, v int);
         select create_hypertable('metrics', 'time');
         select add_reorder_policy('metrics', 'metrics_time_idx', initial_start => '2032-01-01+00')",
    );
    story.migrate("metrics", &["--as", "other"]);
    let after = policies(&story.target, &QualifiedName::new("public", "other"));
    assert_eq!(after.jobs[0].config.as_ref().unwrap()["index_name"], "other_time_idx");
}

#[test]
fn what_the_target_cannot_have_is_listed_with_its_sql() {
    let Some(story) = Story::from_community(Server::Trixie, "upkeep_apache") else { return };
    story.source.run(METRICS);
    story.source.run(JOBS);
    both_ways(&story, &[], |report| {
        let settings = listed(report, "compression settings");
        assert_eq!(settings.len(), 1);
        assert!(settings[0].contains("timescaledb.compress_segmentby = '\"de''vice\"'"), "{settings:?}");
        let jobs = listed(report, "policy or job");
        let calls = ["add_retention_policy", "add_compression_policy", "add_reorder_policy", "add_job"];
        for (job, call) in jobs.iter().zip(calls) {
            assert!(job.contains("the target's edition is apache") && job.contains(call), "{job}");
        }
        assert_eq!(jobs.len(), calls.len());
        assert_eq!(policies(&story.target, &name()).skipping_columns, ["de'vice"], "every edition has that");
    });
}

#[test]
fn a_job_whose_procedure_is_missing_is_listed_and_the_others_are_made() {
    let Some(story) = Story::community("upkeep_procedure") else { return };
    story.source.run(METRICS);
    story.source.run(JOBS);
    let run = story.hypercopy(&["migrate", TABLE, "--strict"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    both_ways(&story, &[], |report| {
        let jobs = listed(report, "policy or job");
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        assert!(jobs[0].contains("is missing on the target") && jobs[0].contains("add_job"), "{jobs:?}");
        assert_eq!(policies(&story.target, &name()).jobs.len(), 3);
    });
}

#[test]
fn tablespaces_take_turns_where_they_exist() {
    if !has_community("upkeep_tablespaces") {
        return;
    }
    let server = Database::community("upkeep_tablespaces").expect("there is a server");
    let space = format!("upkeep_{}", std::process::id());
    server.run("set allow_in_place_tablespaces = on");
    server.run(&format!("create tablespace {space} location ''"));
    let sql = format!("{METRICS} select attach_tablespace('{space}', '{}')", TABLE.replace('\'', "''"));
    {
        let story = Story::community("upkeep_tablespace_there").expect("there is a server");
        story.source.run(&sql);
        both_ways(&story, &["--strict"], |_| {
            assert_eq!(policies(&story.target, &name()).tablespaces, [space.as_str()]);
        });
        let story = Story::from_community(Server::Trixie, "upkeep_tablespace_missing").expect("there is a server");
        story.source.run(&sql);
        both_ways(&story, &[], |report| {
            assert!(policies(&story.target, &name()).tablespaces.is_empty());
            assert!(listed(report, "attached tablespace")[0].starts_with(&space), "{report}");
        });
    }
    server.run(&format!("drop tablespace {space}"));
}

//! What TimescaleDB does to a hypertable by itself, handed over to the table that takes its place. These run where
//! `HYPERCOPY_TEST_COMMUNITY_DSN` names a server with TimescaleDB's community edition.

use hypercopy::catalog::{Chunk, ChunkShape, Columnstore, Job, Policies, read};
use hypercopy::plan::policies::{self, Subject};

use crate::beside::{Beside, jobs_of, quoted};
use crate::harness::{Database, Hold, Role, Server, has_community};

const SCHEMA: &str = "My.\"Schema\"";
const NAME: &str = "Ta'b.le";

/// A table with hostile names, segmented, ordered and indexed.
fn metrics(story: &str) -> Option<Beside> {
    let beside = Beside::community(story, SCHEMA, NAME)?;
    beside.database.run(&format!(
        r#"create table {table} ("Time.Stamp" timestamptz not null, "de'vice" int not null, "Va""lue" float8);
           select create_hypertable('{literal}', 'Time.Stamp', chunk_time_interval => interval '1 day', create_default_indexes => false);
           create index "My Index" on {table} ("Time.Stamp" desc);
           alter table {table} set (timescaledb.compress, timescaledb.compress_segmentby = '"de''vice"',
               timescaledb.compress_orderby = '"Time.Stamp" asc nulls first, "Va""lue" desc',
               timescaledb.compress_chunk_time_interval = '7 days');
           insert into {table} select '2025-03-01 UTC'::timestamptz + n * interval '1 hour', n % 3, n from generate_series(0, 239) n"#,
        table = beside.table.sql(),
        literal = beside.table.sql().replace('\'', "''"),
    ));
    Some(beside)
}

/// A job of each kind, with everything about it set to something unusual.
fn schedule_jobs(beside: &Beside) {
    let table = beside.table.sql().replace('\'', "''");
    beside.database.run(&format!(
        r#"create procedure public.act(job_id int, config jsonb) language sql as 'select 1';
           create function public."Check It"(config jsonb) returns void language sql as 'select null';
           select add_retention_policy('{table}', interval '30 years', schedule_interval => interval '3 days',
               initial_start => '2030-01-02 03:04:05+00', timezone => 'Europe/Berlin');
           select add_compression_policy('{table}', interval '20 years', schedule_interval => interval '5 hours',
               initial_start => '2031-02-03 04:05:06.789+00');
           select add_reorder_policy('{table}', 'My Index', initial_start => '2032-01-01+00', timezone => 'UTC');
           select alter_job(job_id, max_runtime => interval '7 minutes', max_retries => 3, retry_period => interval '11 minutes',
               next_start => '2033-01-01+00', timezone => 'Europe/Berlin')
           from timescaledb_information.jobs where proc_name = 'policy_retention' and hypertable_name is not null;
           select alter_job(add_job('public.act', '1 week', config => '{{"a": 1.10}}', initial_start => '2034-01-01+00',
               check_config => 'public."Check It"'), scheduled => false);
           select _timescaledb_functions.alter_job_set_hypertable_id(max(job_id), '{table}') from timescaledb_information.jobs
           where proc_name = 'act'"#
    ));
}

/// The jobs of a table, without what tells whose they are.
#[track_caller]
fn jobs(policies: &Policies) -> Vec<Job> {
    jobs_of(policies.hypertable_id, &policies.jobs)
}

#[test]
fn jobs_go_with_the_name_and_come_back_in_an_undo() {
    let Some(beside) = metrics("jobs_go") else { return };
    schedule_jobs(&beside);
    let before = beside.policies(&beside.table);
    assert_eq!(before.jobs.len(), 4);
    beside.make_twin("Time.Stamp", "interval '6 hours'");
    let new_id = beside.id(&beside.new);
    beside.run(&[policies::enable_columnstore(before.columnstore.as_ref().unwrap(), &beside.new)]);
    beside.database.run(&format!("create index \"My Index\" on {} (\"Time.Stamp\" desc)", beside.new.sql()));

    let to = Subject { id: new_id, name: &beside.table };
    beside.swap(&policies::hand_over(&before.jobs, before.hypertable_id, to, &beside.server));
    let after = beside.policies(&beside.table);
    assert_eq!(after.hypertable_id, new_id);
    assert_eq!(jobs(&after), jobs(&before));
    assert!(beside.policies(&beside.away).jobs.is_empty());

    let back = Subject { id: before.hypertable_id, name: &beside.table };
    let undo = policies::hand_over(&before.jobs, before.hypertable_id, back, &beside.server);
    beside.undo(&undo);
    assert_eq!(jobs(&beside.policies(&beside.table)), jobs(&before));
    assert!(beside.policies(&beside.new).jobs.is_empty());
}

#[test]
fn dropping_the_old_table_leaves_the_jobs_of_the_new_one() {
    let Some(beside) = metrics("jobs_stay") else { return };
    schedule_jobs(&beside);
    let before = beside.policies(&beside.table);
    beside.make_twin("Time.Stamp", "interval '6 hours'");
    beside.run(&[policies::enable_columnstore(before.columnstore.as_ref().unwrap(), &beside.new)]);
    beside.database.run(&format!("drop index {}.\"My Index\"", quoted(SCHEMA)));
    beside.database.run(&format!("create index \"My Index\" on {} (\"Time.Stamp\" desc)", beside.new.sql()));
    let to = Subject { id: beside.id(&beside.new), name: &beside.table };
    beside.swap(&policies::hand_over(&before.jobs, before.hypertable_id, to, &beside.server));
    beside.database.run(&format!("drop table {}", beside.away.sql()));
    assert_eq!(jobs(&beside.policies(&beside.table)), jobs(&before));
}

#[test]
fn policies_pause_and_resume_as_they_were() {
    let Some(beside) = metrics("pause") else { return };
    schedule_jobs(&beside);
    let reorder = "select alter_job(job_id, scheduled => false, timezone => 'UTC') from timescaledb_information.jobs where proc_name = 'policy_reorder'";
    beside.database.run(reorder);
    let before = beside.policies(&beside.table);
    beside.run_together(&policies::pause(&before, &beside.server));
    let paused = beside.policies(&beside.table);
    assert!(paused.jobs.iter().all(|job| !job.scheduled), "{paused:?}");
    let next_starts = |policies: &Policies| policies.jobs.iter().map(|job| job.next_start.clone()).collect::<Vec<_>>();
    assert_eq!(next_starts(&paused), next_starts(&before));
    // What somebody alters meanwhile stays, and a job that is gone is no mistake.
    beside.database.run("select delete_job(job_id) from timescaledb_information.jobs where proc_name = 'policy_compression' and hypertable_name is not null");
    beside.database.run("select alter_job(job_id, max_retries => 99, timezone => 'Europe/Berlin') from timescaledb_information.jobs where proc_name = 'policy_retention' and hypertable_name is not null");
    beside.run_together(&policies::resume(&before, &beside.server));
    let mut expected = before.clone();
    expected.jobs.retain(|job| job.procedure.name != "policy_compression");
    expected.jobs[0].max_retries = 99;
    let after = beside.policies(&beside.table);
    assert_eq!(after.jobs.iter().map(|job| job.scheduled).collect::<Vec<_>>(), [true, false, false]);
    expected.jobs[0].next_start.clone_from(&after.jobs[0].next_start);
    assert_eq!(jobs(&after), jobs(&expected));
}

#[test]
fn a_job_that_runs_is_told_and_not_waited_for() {
    let Some(beside) = metrics("running") else { return };
    let table = beside.table.sql().replace('\'', "''");
    beside
        .database
        .run(&format!("select add_compression_policy('{table}', interval '1 day', initial_start => '2040-01-01+00')"));
    let policies = beside.policies(&beside.table);
    let job = policies.jobs[0].id;
    let running = || beside.database.wait(read::running_jobs(&beside.session, &[job])).expect("locks can be read");
    assert_eq!(running(), [] as [i32; 0]);
    // It stands behind a reader of a chunk that it would compress.
    let hold = Hold::new(&beside.database, &format!("begin; select count(*) from {}", beside.table.sql()));
    let session = beside.database.session();
    let run = beside.database.spawn(async move { session.batch_execute(&format!("call run_job({job})")).await });
    let waits =
        "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
    beside.database.wait_until("the job at a lock", waits);
    assert_eq!(running(), [job]);
    beside.run(&policies::pause(&policies, &beside.server));
    assert_eq!(running(), [job], "pausing neither waits for a run nor ends it");
    hold.open();
    beside.database.wait(run).expect("the session does not panic").expect("the job ends well");
    assert_eq!(running(), [] as [i32; 0]);
    assert!(!beside.policies(&beside.table).jobs[0].scheduled, "a run that ends does not schedule the job again");
}

#[test]
fn the_columnstore_is_set_up_as_it_was() {
    let Some(beside) = metrics("columnstore") else { return };
    let before = beside.policies(&beside.table).columnstore.expect("it is on");
    assert_eq!(before.segment_by.as_deref(), Some(&["de'vice".to_string()][..]));
    assert_eq!(before.order_by.as_ref().map(Vec::len), Some(2));
    assert_eq!(before.chunk_interval, Some(7 * 86_400_000_000));
    beside.make_twin("Time.Stamp", "interval '6 hours'");
    assert_eq!(beside.policies(&beside.new).columnstore, None);
    beside.run(&[policies::enable_columnstore(&before, &beside.new)]);
    assert_eq!(beside.policies(&beside.new).columnstore, Some(before));
}

#[test]
fn a_columnstore_without_segments_stays_without() {
    let Some(beside) = Beside::community("no_segments", "public", "ticks") else { return };
    // The server would choose the column of the index for it if it were not told.
    beside.database.run(
        "create table ticks (n bigint not null, device int, v float8);
         select create_hypertable('ticks', 'n', chunk_time_interval => 1000);
         create index on ticks (device, n desc);
         alter table ticks set (timescaledb.compress, timescaledb.compress_segmentby = '')",
    );
    let before = beside.policies(&beside.table).columnstore.expect("it is on");
    assert_eq!(before.segment_by, Some(Vec::new()));
    beside.make_twin("n", "500");
    beside.run(&[policies::enable_columnstore(&before, &beside.new)]);
    assert_eq!(beside.policies(&beside.new).columnstore, Some(before));
}

#[test]
fn chunks_take_turns_and_are_skipped_as_before() {
    let Some(beside) = metrics("skipping") else { return };
    let table = beside.table.sql().replace('\'', "''");
    beside.database.run(&format!(
        "set timescaledb.enable_chunk_skipping = on; select enable_chunk_skipping('{table}', 'de''vice')"
    ));
    let before = beside.policies(&beside.table);
    assert_eq!(before.skipping_columns, ["de'vice"]);
    beside.make_twin("Time.Stamp", "interval '6 hours'");
    beside.run_together(&policies::on_empty_table(&before, &beside.new, &beside.server));
    assert_eq!(beside.policies(&beside.new).skipping_columns, before.skipping_columns);
}

#[test]
fn compressed_chunks_are_compressed_again_and_can_be_caught_up() {
    let Some(beside) = metrics("recompress") else { return };
    let table = beside.table.sql();
    let literal = table.replace('\'', "''");
    beside.database.run(&format!(
        "select compress_chunk(c) from show_chunks('{literal}', older_than => '2025-03-08 00:00+00'::timestamptz) c"
    ));
    let before = beside.policies(&beside.table);
    let columnstore = before.columnstore.as_ref().unwrap();
    beside.make_twin("Time.Stamp", "interval '6 hours'");
    beside.copy();
    beside.run(&[policies::enable_columnstore(
        &Columnstore { chunk_interval: None, ..columnstore.clone() },
        &beside.new,
    )]);
    let (old, new) = (beside.chunks(&beside.table), beside.chunks(&beside.new));
    let old: Vec<ChunkShape> = old.iter().map(Chunk::shape).collect();
    let chosen = policies::compressible(&new, &old);
    assert_eq!(chosen.len(), 28, "seven days of four chunks");
    chosen.iter().for_each(|chunk| beside.run(&[policies::compress_chunk(chunk, &beside.server)]));
    assert_eq!(beside.chunks(&beside.new).iter().filter(|chunk| chunk.compressed).count(), 28);
    // A catch-up over the edge between what is compressed and what is not.
    beside.database.run(&format!("update {table} set \"Va\"\"lue\" = -1 where \"Time.Stamp\" >= '2025-03-07 20:00+00' and \"Time.Stamp\" < '2025-03-08 05:00+00'"));
    let range = "\"Time.Stamp\" >= '2025-03-07 00:00+00' and \"Time.Stamp\" < '2025-03-09 00:00+00'";
    let new_name = beside.new.sql();
    beside.database.run(&format!(
        "begin isolation level repeatable read; set local timescaledb.max_tuples_decompressed_per_dml_transaction = 0;
         delete from {new_name} where {range}; insert into {new_name} select * from {table} where {range}; commit"
    ));
    assert_eq!(beside.database.multiset(&table), beside.database.multiset(&new_name));
}

#[test]
fn chunks_that_the_columnstore_merges_are_compressed_in_turn() {
    let Some(beside) = metrics("merged") else { return };
    let literal = beside.table.sql().replace('\'', "''");
    beside.database.run(&format!("select compress_chunk(c) from show_chunks('{literal}') c"));
    let before = beside.policies(&beside.table);
    beside.make_twin("Time.Stamp", "interval '6 hours'");
    beside.copy();
    beside.run(&[policies::enable_columnstore(before.columnstore.as_ref().unwrap(), &beside.new)]);
    let (old, new) = (beside.chunks(&beside.table), beside.chunks(&beside.new));
    let old: Vec<ChunkShape> = old.iter().map(Chunk::shape).collect();
    let chosen = policies::compressible(&new, &old);
    chosen.iter().for_each(|chunk| beside.run(&[policies::compress_chunk(chunk, &beside.server)]));
    let merged = beside.chunks(&beside.new);
    assert!(merged.len() < new.len() && merged.iter().all(|chunk| chunk.compressed), "{merged:?}");
    assert_eq!(beside.database.multiset(&beside.table.sql()), beside.database.multiset(&beside.new.sql()));
}

#[test]
fn of_two_catch_ups_in_one_compressed_chunk_the_later_one_is_repeated() {
    let Some(beside) = metrics("conflict") else { return };
    beside.make_twin("Time.Stamp", "interval '1 day'");
    beside.copy();
    beside.run(&[policies::enable_columnstore(&beside.policies(&beside.table).columnstore.unwrap(), &beside.new)]);
    let literal = beside.new.sql().replace('\'', "''");
    beside.database.run(&format!(
        "select compress_chunk(c) from show_chunks('{literal}', older_than => '2025-03-02+00'::timestamptz) c"
    ));
    let catch_up = |hour: u32| {
        let range =
            format!("\"Time.Stamp\" >= '2025-03-01 {hour}:00+00' and \"Time.Stamp\" < '2025-03-01 {}:00+00'", hour + 1);
        let (table, new) = (beside.table.sql(), beside.new.sql());
        format!(
            "begin isolation level repeatable read; delete from {new} where {range};
             insert into {new} select * from {table} where {range};"
        )
    };
    let first = Hold::new(&beside.database, &catch_up(3));
    let (session, sql) = (beside.database.session(), catch_up(20));
    // Both make the chunk a partial one, which is one row of the catalog.
    let second = beside.database.spawn(async move { session.batch_execute(&sql).await });
    let waits =
        "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
    beside.database.wait_until("the second at a lock", waits);
    first.run("commit");
    let error = beside.database.wait(second).expect("the session does not panic").expect_err("the second cannot go on");
    assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some("40001"));
    assert_eq!(beside.database.multiset(&beside.table.sql()), beside.database.multiset(&beside.new.sql()));
}

#[test]
fn jobs_of_others_are_told_by_name() {
    let Some(beside) = metrics("others") else { return };
    schedule_jobs(&beside);
    let id = beside.id(&beside.table);
    beside.database.run(&format!(
        "select add_job('public.act', '1 day', config => '{{\"deep\": [{{\"hypertable_id\": {id}}}]}}', initial_start => '2040-01-01+00');
         select add_job('public.act', '1 day', config => jsonb_build_object('table', format('%I.%I', $${SCHEMA}$$, $${NAME}$$)), initial_start => '2040-01-01+00')"
    ));
    let kinds: Vec<String> =
        beside.policies(&beside.table).not_carried.iter().map(|found| found.kind.clone()).collect();
    assert_eq!(kinds, ["job that names the table", "job with the hypertable's id"]);
}

#[test]
fn an_ordinary_owner_may_hand_its_own_jobs_over_and_no_others() {
    if !has_community("owners") {
        return;
    }
    let role = Role::create(Server::Community, "owner");
    let beside = Beside::community("owners", "public", "owned").expect("there is a server");
    let database: &Database = &beside.database;
    database.run(&format!(
        "grant create on schema public to {role};
         grant create on database \"{db}\" to {role};
         create table owned (time timestamptz not null, device int);
         select create_hypertable('owned', 'time');
         alter table owned owner to {role};
         set role {role};
         select add_retention_policy('owned', interval '1 year', initial_start => '2040-01-01+00');
         reset role",
        role = role.name,
        db = database.value("select current_database()"),
    ));
    let before = beside.policies(&beside.table);
    assert_eq!(before.jobs[0].owner, role.name);
    assert_eq!(policies::obstacles(&before).len(), 0, "a superuser may");
    let owner = beside.as_role(&role);
    let jobs = database.wait(read::jobs(&owner, before.hypertable_id)).expect("jobs can be read");
    assert!(jobs[0].may_alter);
    for statement in policies::pause(&before, &beside.server).iter().chain(&policies::resume(&before, &beside.server)) {
        database.wait(owner.batch(&statement.sql)).expect("the owner may");
    }
    let other = Role::create(Server::Community, "other");
    let stranger = beside.as_role(&other);
    let seen = database.wait(read::policies(&stranger, before.hypertable_id, &beside.table)).expect("jobs can be read");
    let found = policies::obstacles(&seen);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].object.contains(&role.name), "{found:?}");
    drop((owner, stranger));
    database.run(&format!("drop table owned; drop owned by {}", role.name));
    drop(beside);
    drop(other);
}

#[test]
fn every_edition_and_version_can_be_asked() {
    for server in [Server::Trixie, Server::Sid] {
        let Some(beside) = Beside::on(server, "asked", "public", "asked") else {
            eprintln!("skipped asked: Debian offers no TimescaleDB for {server:?} now");
            continue;
        };
        beside.database.run(
            "create table asked (time timestamptz not null, device int);
             select create_hypertable('asked', 'time');
             set timescaledb.enable_chunk_skipping = on;
             select enable_chunk_skipping('asked', 'device')",
        );
        let policies = beside.policies(&beside.table);
        assert_eq!((policies.jobs.len(), &policies.columnstore), (0, &None));
        assert_eq!(policies.skipping_columns, ["device"]);
        assert!(policies.not_carried.is_empty() && policies.tablespaces.is_empty());
        assert!(beside.aggregates(&beside.table).is_empty());
        assert!(beside.database.wait(read::running_jobs(&beside.session, &[1, 1000])).is_ok());
        beside.make_twin("time", "interval '1 day'");
        beside.run_together(&policies::on_empty_table(&policies, &beside.new, &beside.server));
        assert_eq!(beside.policies(&beside.new).skipping_columns, ["device"]);
    }
}

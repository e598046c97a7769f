//! Which triggers see the changes of a table with compressed chunks: what a rechunk's capture can rely on. These run where
//! `HYPERCOPY_TEST_COMMUNITY_DSN` names a server with TimescaleDB's community edition.

use crate::beside::Beside;

/// A table of two days, the first of them compressed, a segment for each of three devices; and a log of what triggers see.
fn metrics(story: &str) -> Option<Beside> {
    let beside = Beside::community(story, "public", "metrics")?;
    beside.database.run(
        "create table metrics (time timestamptz not null, device int not null, value int, unique (device, time));
         select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
         alter table metrics set (timescaledb.compress, timescaledb.compress_segmentby = 'device');
         insert into metrics select '2025-03-01+00'::timestamptz + n * interval '1 hour', n % 3, n from generate_series(0, 47) n;
         select compress_chunk(c) from show_chunks('metrics', older_than => '2025-03-02+00'::timestamptz) c;
         create table seen (operation text, kind text, time timestamptz);
         create function see_new() returns trigger language plpgsql as $$ begin
             insert into seen select tg_op, 'new', time from new_rows; return null; end $$;
         create function see_both() returns trigger language plpgsql as $$ begin
             insert into seen select tg_op, 'old', time from old_rows;
             insert into seen select tg_op, 'new', time from new_rows; return null; end $$;
         create function see_row() returns trigger language plpgsql as $$ begin
             if tg_op <> 'INSERT' then insert into seen values (tg_op, 'old', old.time); end if;
             if tg_op <> 'DELETE' then insert into seen values (tg_op, 'new', new.time); end if;
             return null; end $$",
    );
    Some(beside)
}

/// Statement triggers for what may have them, a row trigger for deletes.
const MIXED: &str = "
    create trigger a after insert on metrics referencing new table as new_rows for each statement execute function see_new();
    create trigger b after update on metrics referencing old table as old_rows new table as new_rows
        for each statement execute function see_both();
    create trigger c after delete on metrics for each row execute function see_row()";

/// Row triggers alone.
const ROWS: &str =
    "create trigger a after insert or update or delete on metrics for each row execute function see_row()";

/// Changes of compressed rows in every way that there is.
const CHANGES: [&str; 14] = [
    "insert into metrics values ('2025-03-01 00:30+00', 0, 100), ('2025-03-02 00:30+00', 0, 100)",
    "insert into metrics values ('2025-03-01 03:00+00', 0, 7) on conflict (device, time) do update set value = excluded.value",
    "insert into metrics values ('2025-03-01 03:00+00', 0, 7) on conflict do nothing",
    "update metrics set value = -1 where device = 1 and time < '2025-03-01 12:00+00'",
    "update metrics set time = time + interval '1 minute' where device = 1 and time = '2025-03-01 01:00+00'",
    "delete from metrics where time = '2025-03-01 04:00+00'",
    "delete from metrics where device = 2",
    // TimescaleDB refuses to update or delete in a merge where there is a columnstore.
    "merge into metrics m using (values ('2025-03-01 06:00+00'::timestamptz, 0, 66), ('2025-03-01 06:30+00', 0, 67)) n (time, device, value)
     on m.time = n.time and m.device = n.device when not matched then insert values (n.time, n.device, n.value)",
    "with gone as (delete from metrics where device = 1 and time < '2025-03-01 12:00+00' returning *) select count(*) from gone",
    "update metrics m set value = 0 from (values (0)) d (device) where m.device = d.device and m.time < '2025-03-01 10:00+00'",
    "insert into metrics select time, device + 10, value from metrics where time < '2025-03-01 10:00+00'",
    "delete from metrics where device = 10 and time < '2025-03-02+00'",
    "select compress_chunk(c, true) from show_chunks('metrics') c",
    "delete from metrics where device in (0, 10)",
];

/// Runs each change, and compares the rows it has changed with what triggers have seen of it.
fn compare(beside: &Beside) {
    let database = &beside.database;
    let copied = ("copy metrics from stdin", "2025-03-01 07:30+00\t20\t1\n2025-03-02 07:30+00\t20\t1\n");
    let check = |what: &str| {
        // The times of rows that are only before or only after, against those of the log.
        let missed = database.value(
            "select count(*) from (
                 (table before except all table metrics) union all (table metrics except all table before)
             ) changed where not exists (select from seen where seen.time = changed.time)",
        );
        assert_eq!(missed, "0", "rows that were changed and not seen by: {what}");
    };
    database.run("create table before as table metrics");
    for change in CHANGES {
        database.run("truncate before, seen; insert into before table metrics");
        database.run(change);
        check(change);
    }
    database.run("truncate before, seen; insert into before table metrics");
    database.copy(copied.0, copied.1);
    check("copy");
    assert_eq!(database.value("select count(*) from seen"), "2");
}

#[test]
fn statement_triggers_and_a_row_trigger_for_deletes_see_every_change_of_compressed_rows() {
    let Some(beside) = metrics("mixed_triggers") else { return };
    beside.database.run(MIXED);
    compare(&beside);
}

#[test]
fn row_triggers_see_every_change_of_compressed_rows() {
    let Some(beside) = metrics("row_triggers") else { return };
    beside.database.run(ROWS);
    compare(&beside);
}

#[test]
fn deletes_with_a_transition_table_and_a_columnstore_exclude_each_other() {
    let Some(beside) = metrics("no_old_table") else { return };
    let trigger = "create trigger d after delete on metrics referencing old table as old_rows for each statement execute function see_new()";
    assert!(beside.database.try_query(trigger).is_err());
    beside.database.run(
        "create table plain (time timestamptz not null, device int);
         select create_hypertable('plain', 'time');
         create trigger d after delete on plain referencing old table as old_rows for each statement execute function see_new()",
    );
    assert!(beside.database.try_query("alter table plain set (timescaledb.compress)").is_err());
}

#[test]
fn only_a_row_trigger_keeps_segments_from_being_deleted_unread() {
    let Some(beside) = metrics("unread") else { return };
    let deletes_batches = || {
        let explain = "explain (analyze, costs off, timing off, summary off) delete from metrics where device = 2";
        beside.database.run("begin");
        let plan = beside.database.query(explain);
        beside.database.run("rollback");
        plan.iter().flatten().flatten().any(|line| line.contains("Batches deleted"))
    };
    assert!(deletes_batches());
    beside
        .database
        .run("create function see_nothing() returns trigger language plpgsql as $$ begin return null; end $$");
    beside.database.run("create trigger s after delete on metrics for each statement execute function see_nothing()");
    assert!(deletes_batches(), "a statement trigger does not hinder it");
    beside.database.run("create trigger r after delete on metrics for each row execute function see_row()");
    assert!(!deletes_batches());
}

#[test]
fn a_table_with_compressed_chunks_takes_keys_but_no_checks_and_no_foreign_keys() {
    let Some(beside) = metrics("constraints") else { return };
    let database = &beside.database;
    database.run("create table devices (id int primary key); insert into devices values (0), (1), (2)");
    for refused in [
        "alter table metrics add check (value >= 0) not valid",
        "alter table metrics add foreign key (device) references devices not valid",
        "alter table metrics add foreign key (device) references devices",
    ] {
        assert!(database.try_query(refused).is_err(), "{refused}");
    }
    database.run("alter table metrics add constraint twice unique (time, device)");
    database.run("create index on metrics (value)");
    // With the columnstore and no compressed chunk they are taken, but not validated later.
    database
        .run("select decompress_chunk(c) from show_chunks('metrics', older_than => '2025-03-02+00'::timestamptz) c");
    database.run("alter table metrics add constraint known foreign key (device) references devices not valid");
    assert!(database.try_query("alter table metrics validate constraint known").is_err());
    database.run("alter table metrics drop constraint known; alter table metrics add constraint known foreign key (device) references devices");
    database.run("select compress_chunk(c) from show_chunks('metrics') c; alter table metrics drop constraint known");
}

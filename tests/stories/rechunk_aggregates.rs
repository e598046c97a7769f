//! Continuous aggregates over a table that takes another's place: made beside, filled, and exchanged by name. These run
//! where `HYPERCOPY_TEST_COMMUNITY_DSN` names a server with TimescaleDB's community edition.

use hypercopy::catalog::Aggregate;
use hypercopy::plan::aggregates::{self, Exchange};

use crate::beside::{Beside, JOB_SCHEMA, jobs_of};
use crate::harness::{Role, Server, has_community};

const SCHEMA: &str = "My.\"Schema\"";
const NAME: &str = "Ta'b.le";

/// Ten days of rows in a table with hostile names, the first of June to the tenth.
fn metrics(story: &str) -> Option<Beside> {
    let beside = Beside::community(story, SCHEMA, NAME)?;
    let table = beside.table.sql();
    beside.database.run(&format!(
        r#"create table {table} ("Time.Stamp" timestamptz not null, "de'vice" int not null, "Va""lue" float8);
           select create_hypertable('{literal}', 'Time.Stamp', chunk_time_interval => interval '1 day');
           insert into {table} select '2025-06-01 UTC'::timestamptz + n * interval '20 minutes', n % 3, n from generate_series(0, 719) n"#,
        literal = table.replace('\'', "''"),
    ));
    Some(beside)
}

/// A hierarchy in several schemas, twice the same name, with everything an aggregate can have.
fn make_aggregates(beside: &Beside) {
    let table = beside.table.sql();
    beside.database.run("create schema \"Other\"");
    for sql in [
        format!(
            r#"create materialized view "Other"."Hour""ly" with (timescaledb.continuous, timescaledb.materialized_only = false) as
               select public.time_bucket('1 hour', "Time.Stamp") as "Bu'cket", "de'vice", sum("Va""lue") as total
               from {table} where "de'vice" <> 2 or 'x' <> {} group by 1, 2"#,
            hypercopy::ident::quote_literal(&format!("from {table}"))
        ),
        r#"create materialized view public."Hour""ly" with (timescaledb.continuous, timescaledb.materialized_only = true) as
           select public.time_bucket('1 day', h."Bu'cket") as day, sum(h.total) as total
           from "Other"."Hour""ly" h group by 1"#
            .to_string(),
        r#"create materialized view public.weekly with (timescaledb.continuous, timescaledb.materialized_only = false) as
           select public.time_bucket('7 days', day) as week, sum(total) as total, count(*)
           from public."Hour""ly" group by 1"#
            .to_string(),
    ] {
        beside.database.run(&sql);
    }
    beside.database.run(
        r#"create index "My Index" on "Other"."Hour""ly" (total desc);
           comment on view "Other"."Hour""ly" is 'it''s hourly';
           comment on column "Other"."Hour""ly".total is 'a sum';
           grant select on "Other"."Hour""ly" to public;
           alter materialized view "Other"."Hour""ly" set (timescaledb.compress);
           select add_continuous_aggregate_policy('"Other"."Hour""ly"', interval '3 days', interval '1 hour', interval '2 hours',
               initial_start => '2040-01-01+00', timezone => 'Europe/Berlin');
           select add_compression_policy('"Other"."Hour""ly"', interval '30 days', initial_start => '2040-01-01+00');
           select add_retention_policy('public.weekly', interval '30 years', initial_start => '2040-01-01+00');
           create view public.busy with (security_barrier) as select * from "Other"."Hour""ly" where total > 100;
           create view public.busier as select * from public.busy where total > 200;
           grant select on public.busy to public"#,
    );
}

/// What can be seen of an aggregate, without what tells whose it is.
fn seen(aggregates: &[Aggregate]) -> Vec<String> {
    let see = |aggregate: &Aggregate| {
        let indexes: Vec<_> = aggregate
            .indexes
            .iter()
            .map(|index| (index.name.replace(&aggregate.materialization.name, "M"), index.body.clone()))
            .collect();
        let jobs = jobs_of(aggregate.id, &aggregate.jobs);
        let sources =
            (&aggregate.name, &aggregate.source, &aggregate.columns, &aggregate.bucket, aggregate.materialized_only);
        let extent = (aggregate.chunk_interval, aggregate.first, aggregate.watermark);
        let belongings =
            (&aggregate.rights, &aggregate.grants, &aggregate.comments, &aggregate.users, &aggregate.columnstore);
        // One whose name was taken beside has been read under an alias ever since.
        let definition = aggregate.definition.replace("public.\"Hour\"\"ly\" \"Hour\"\"ly\"", "public.\"Hour\"\"ly\"");
        format!("{sources:?} {extent:?} {belongings:?} {indexes:?} {jobs:?} {definition}")
    };
    let mut all: Vec<String> = aggregates.iter().map(see).collect();
    all.sort();
    all
}

/// Makes the aggregates beside, as far as a rechunk would before its swap.
fn make_beside(beside: &Beside, old: &[Aggregate]) -> Vec<Exchange> {
    beside.run_together(&aggregates::create(old, &beside.new, &beside.server.role));
    let new = beside.aggregates(&beside.new);
    let exchanges = aggregates::pair(old, &new, &beside.new, "7").expect("all were made");
    beside.run_together(&aggregates::settle(&exchanges, &beside.server));
    beside.run(&aggregates::fill(&exchanges, &beside.server));
    exchanges
}

const ALL: [&str; 5] =
    ["\"Other\".\"Hour\"\"ly\"", "public.\"Hour\"\"ly\"", "public.weekly", "public.busy", "public.busier"];

fn rows(beside: &Beside) -> Vec<String> {
    ALL.iter().map(|name| format!("{name}: {}", beside.database.multiset(name))).collect()
}

#[test]
fn a_hierarchy_changes_places_and_comes_back() {
    let Some(beside) = metrics("hierarchy") else { return };
    make_aggregates(&beside);
    for name in &ALL[..3] {
        beside.database.run(&format!("call refresh_continuous_aggregate('{name}', null, '2025-06-09+00')"));
    }
    let before = beside.aggregates(&beside.table);
    assert_eq!(aggregates::obstacles(&before, &beside.server.role), []);
    assert_eq!(before.len(), 3);
    let rows_before = rows(&beside);
    beside.make_twin("Time.Stamp", "interval '6 hours'");
    beside.copy();
    let exchanges = make_beside(&beside, &before);
    assert_eq!(rows(&beside), rows_before, "the old ones are read until the swap");

    beside.swap(&aggregates::in_swap(&exchanges, &beside.server));
    assert_eq!(rows(&beside), rows_before, "nobody finds them empty");
    let after = beside.aggregates(&beside.table);
    assert_eq!(seen(&after), seen(&before));
    // What is written now is seen where it was seen before.
    beside.database.run(&format!("insert into {} values ('2025-06-12+00', 1, 1000)", beside.table.sql()));
    assert_eq!(
        beside.database.value("select sum(total) from public.busier where \"Bu'cket\" >= '2025-06-12+00'"),
        "1000"
    );

    let (exchanges, dropped) = aggregates::before_undo(&exchanges, &after).expect("nobody has altered them");
    assert!(dropped.is_empty());
    beside.undo(&aggregates::in_undo(&exchanges, &beside.server));
    assert_eq!(rows(&beside), rows_before);
    assert_eq!(seen(&beside.aggregates(&beside.table)), seen(&before));
    beside.run_together(&aggregates::drop_new(&exchanges));
    beside.database.run(&format!("drop schema {JOB_SCHEMA} cascade"));
    assert_eq!(rows(&beside), rows_before);
}

#[test]
fn the_old_ones_go_before_the_old_table() {
    let Some(beside) = metrics("drop_old") else { return };
    make_aggregates(&beside);
    beside.database.run(&format!("call refresh_continuous_aggregate('{}', null, null)", ALL[0]));
    let before = beside.aggregates(&beside.table);
    let rows_before = rows(&beside);
    beside.make_twin("Time.Stamp", "interval '6 hours'");
    beside.copy();
    let exchanges = make_beside(&beside, &before);
    beside.swap(&aggregates::in_swap(&exchanges, &beside.server));
    beside.run_together(&aggregates::drop_old(&exchanges));
    beside.database.run(&format!("drop table {}", beside.away.sql()));
    assert_eq!(rows(&beside), rows_before);
    assert_eq!(seen(&beside.aggregates(&beside.table)), seen(&before));
    let leftovers = "select count(*) from pg_class where relname like '%\\_old\\_7' or relname like '%\\_new\\_7'";
    assert_eq!(beside.database.value(leftovers), "0");
}

#[test]
fn rows_written_before_the_swap_are_computed_after_it() {
    let Some(beside) = metrics("catch_up") else { return };
    make_aggregates(&beside);
    for name in &ALL[..3] {
        beside.database.run(&format!("call refresh_continuous_aggregate('{name}', null, null)"));
    }
    let before = beside.aggregates(&beside.table);
    beside.make_twin("Time.Stamp", "interval '6 hours'");
    beside.copy();
    let exchanges = make_beside(&beside, &before);
    let (table, new) = (beside.table.sql(), beside.new.sql());
    beside.database.run(&format!("update {table} set \"Va\"\"lue\" = 5 where \"Time.Stamp\" < '2025-06-02+00'"));
    let range = "\"Time.Stamp\" < '2025-06-03+00'";
    beside.database.run(&format!(
        "begin isolation level repeatable read; delete from {new} where {range};
         insert into {new} select * from {table} where {range}; commit"
    ));
    beside.swap(&aggregates::in_swap(&exchanges, &beside.server));
    beside.run(&aggregates::refresh(&exchanges, &beside.server));
    for (name, column) in [(ALL[0], "\"Bu'cket\""), (ALL[1], "day")] {
        let sql = format!("select sum(total) from {name} where {column} < '2025-06-02+00'");
        assert_eq!(beside.database.value(&sql), "360", "{name}");
    }
}

#[test]
fn history_whose_rows_were_dropped_is_carried_and_no_policy_takes_it_away() {
    let Some(beside) = metrics("history") else { return };
    make_aggregates(&beside);
    for name in &ALL[..3] {
        beside.database.run(&format!("call refresh_continuous_aggregate('{name}', null, null)"));
    }
    let literal = beside.table.sql().replace('\'', "''");
    beside.database.run(&format!("select drop_chunks('{literal}', older_than => '2025-06-05+00'::timestamptz)"));
    let rows_before = rows(&beside);
    let before = beside.aggregates(&beside.table);
    beside.make_twin("Time.Stamp", "interval '6 hours'");
    beside.copy();
    let exchanges = make_beside(&beside, &before);
    beside.swap(&aggregates::in_swap(&exchanges, &beside.server));
    assert_eq!(rows(&beside), rows_before);
    beside.run(&aggregates::refresh(&exchanges, &beside.server));
    beside.database.run(&format!("call refresh_continuous_aggregate('{}', '2025-06-01+00', '2025-06-11+00')", ALL[0]));
    assert_eq!(rows(&beside), rows_before, "a refresh over the history leaves it");
}

#[test]
fn integer_time_is_refreshed_in_its_own_width() {
    let Some(beside) = Beside::community("integers", "public", "ticks") else { return };
    beside.database.run(
        "create table ticks (n int not null, v int);
         select create_hypertable('ticks', 'n', chunk_time_interval => 100);
         create function now_int() returns int language sql stable as 'select 1000';
         select set_integer_now_func('ticks', 'now_int');
         insert into ticks select n, n from generate_series(-500, 500) n",
    );
    beside.database.run(
        "create materialized view tens with (timescaledb.continuous) as
         select time_bucket(10, n) as ten, sum(v) as total from ticks group by 1",
    );
    let before = beside.aggregates(&beside.table);
    let rows_before = beside.database.multiset("tens");
    beside.make_twin("n", "30");
    beside.database.run(&format!("select set_integer_now_func('{}', 'now_int')", beside.new.sql()));
    beside.copy();
    let exchanges = make_beside(&beside, &before);
    beside.swap(&aggregates::in_swap(&exchanges, &beside.server));
    assert_eq!(beside.database.multiset("tens"), rows_before);
    assert_eq!(seen(&beside.aggregates(&beside.table)), seen(&before));
}

#[test]
fn what_cannot_be_made_again_is_told_by_name() {
    if !has_community("obstacles") {
        return;
    }
    let other = Role::create(Server::Community, "other");
    let beside = metrics("obstacles").expect("there is a server");
    make_aggregates(&beside);
    beside.database.run(&format!("create materialized view public.kept as select * from {}", ALL[0]));
    let found = aggregates::obstacles(&beside.aggregates(&beside.table), &beside.server.role);
    assert_eq!(found.len(), 1, "{found:?}");
    let reads = format!("materialized view public.kept: it reads continuous aggregate {}", ALL[0]);
    assert!(found[0].to_string().starts_with(&reads), "{found:?}");
    // To another role everything is somebody else's.
    let stranger = beside.as_role(&other);
    let id = beside.id(&beside.table);
    let seen = hypercopy::catalog::read::aggregates(&stranger, &beside.server, id);
    let seen = beside.database.wait(seen).expect("the catalog can be read");
    let found: Vec<String> = aggregates::obstacles(&seen, &other.name).iter().map(ToString::to_string).collect();
    let theirs = format!(
        "continuous aggregate {}: it belongs to postgres, and {} may not act for that role",
        ALL[0], other.name
    );
    assert!(found.contains(&theirs), "{found:?}");
    drop(stranger);
    assert_eq!(aggregates::costs(&beside.aggregates(&beside.table)).len(), 3);
}

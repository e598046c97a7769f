//! What reads a hypertable, made on another server: continuous aggregates and views. Those with aggregates run where
//! `HYPERCOPY_TEST_COMMUNITY_DSN` names a server with TimescaleDB's community edition.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::archives::Archive;
use crate::harness::{Database, Role, Server, Story, has_community};
use crate::upkeep::listed;

const METRICS: &str = r#"
    create schema "Other Schema";
    create table metrics (time timestamptz not null, device int not null, value float8);
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '1 day');
    insert into metrics select '2025-03-01 UTC'::timestamptz + n * interval '20 minutes', n % 5, n from generate_series(0, 719) n;"#;

/// A hierarchy with everything set, a real-time aggregate, one without data.
const AGGREGATES: [&str; 4] = [
    r#"create materialized view "Other Schema"."Hour""ly" with (timescaledb.continuous, timescaledb.materialized_only = true) as
        select time_bucket('1 hour', time) as "Ho""ur", device, count(*) as n, avg(value) as value from metrics group by 1, 2;
    alter materialized view "Other Schema"."Hour""ly" set (timescaledb.compress);
    create index "Own Index" on "Other Schema"."Hour""ly" (n, "Ho""ur");
    comment on view "Other Schema"."Hour""ly" is 'it''s hourly'; comment on column "Other Schema"."Hour""ly".n is 'rows';
    grant select on "Other Schema"."Hour""ly" to public;
    select set_chunk_time_interval('"Other Schema"."Hour""ly"', interval '3 days')"#,
    r#"create materialized view daily with (timescaledb.continuous, timescaledb.materialized_only = true) as
        select time_bucket('1 day', "Ho""ur") as day, sum(n) as n from "Other Schema"."Hour""ly" group by 1"#,
    r#"create materialized view live with (timescaledb.continuous, timescaledb.materialized_only = false) as
        select time_bucket('6 hours', time) as at, max(value) from metrics where device <> 3 group by 1;
    create materialized view empty with (timescaledb.continuous) as
        select time_bucket('6 hours', time) as at, min(value) from metrics group by 1 with no data"#,
    r#"select add_continuous_aggregate_policy('"Other Schema"."Hour""ly"', interval '40 years', interval '1 hour', interval '1 day',
        initial_start => '2040-01-01+00');
    select add_retention_policy('daily', interval '50 years', initial_start => '2041-01-01+00');
    select add_compression_policy('"Other Schema"."Hour""ly"', interval '41 years', initial_start => '2042-01-01+00')"#,
];

/// Over the table, over each other, out of order by name.
const VIEWS: &str = r#"
    create view z_first with (security_barrier) as select *, value * 2 as "Twice It" from metrics where device > 0;
    create view a_second as select device, sum("Twice It") as "Sum", 'from public.metrics' as text from z_first group by 1;
    create view "Other Schema"."Joi""ned" as select m.time, s."Sum" from metrics m join a_second s using (device);
    comment on view a_second is 'se;cond'; comment on column a_second."Sum" is 'sum';
    grant select on a_second to public; grant update ("Twice It") on z_first to public;"#;

const VIEWS_OF_AGGREGATES: &str = r#"
    create view on_aggregates as select d.day, h.n from daily d join "Other Schema"."Hour""ly" h on h."Ho""ur" = d.day"#;

/// Views and aggregates as the catalog tells, but for numbers, with what they show.
fn seen(database: &Database) -> Vec<Vec<Option<String>>> {
    let mut seen = database.query(
        "begin; set local search_path = ''; select namespace.nspname, relname, relkind::text, replace(replace(pg_get_viewdef(class.oid), 'public.renamed metrics', 'public.metrics'), 'public.renamed', 'public.metrics'),
            reloptions::text, relacl::text, pg_get_userbyid(relowner), obj_description(class.oid, 'pg_class'),
            (select string_agg(attname || coalesce(attacl::text, '') || coalesce(col_description(attrelid, attnum), ''), ' ' order by attnum)
             from pg_attribute where attrelid = class.oid and attnum > 0)
         from pg_class class join pg_namespace namespace on namespace.oid = relnamespace
         where namespace.nspname in ('public', 'Other Schema') and relkind = 'v' and relname not like '\\_%'
             and not exists (select from pg_depend where classid = 'pg_class'::regclass and objid = class.oid and deptype = 'e')
             and relname not in (select view_name from timescaledb_information.continuous_aggregates)
         order by 1, 2; commit",
    );
    seen.extend(database.query(
        "begin; set local search_path = ''; select view_schema, view_name, replace(replace(view_definition, 'public.renamed metrics', 'public.metrics'), 'public.renamed', 'public.metrics'), materialized_only::text,
            compression_enabled::text, view_owner::text, obj_description(format('%I.%I', view_schema, view_name)::regclass, 'pg_class'),
            (select relacl::text from pg_class where oid = format('%I.%I', view_schema, view_name)::regclass),
            (select interval_length::text from _timescaledb_catalog.dimension d join _timescaledb_catalog.hypertable h on h.id = hypertable_id
             where h.table_name = materialization_hypertable_name),
            (select string_agg(case when indexname like 'Own%' then indexname else '' end || regexp_replace(indexdef, '.* USING', ''), ' ' order by indexdef)
             from pg_indexes where tablename = materialization_hypertable_name),
            (select string_agg(proc_name || schedule_interval || scheduled || next_start || (config - 'hypertable_id' - 'mat_hypertable_id'), ' ' order by proc_name)
             from timescaledb_information.jobs j where j.hypertable_name in (view_name, materialization_hypertable_name))
         from timescaledb_information.continuous_aggregates order by 1, 2; commit",
    ));
    seen
}

const READERS: [&str; 8] = [
    "z_first",
    "a_second",
    r#""Other Schema"."Joi""ned""#,
    "on_aggregates",
    r#""Other Schema"."Hour""ly""#,
    "daily",
    "live",
    "empty",
];

fn make(database: &Database) {
    database.run(METRICS);
    // Each by itself: TimescaleDB fills aggregates outside of transactions.
    for sql in
        AGGREGATES.iter().flat_map(|sql| sql.split(";\n    ")).chain(VIEWS.split(";\n")).chain([VIEWS_OF_AGGREGATES])
    {
        database.run(sql);
    }
}

#[track_caller]
fn assert_same(story: &Story, what: &str) {
    for reader in READERS {
        assert_eq!(story.source.multiset(reader), story.target.multiset(reader), "{reader} {what}");
    }
    assert_eq!(seen(&story.source), seen(&story.target), "{what}");
}

/// TimescaleDB does not find the way through a hierarchy by itself.
const CLEAN: &str = r#"drop view if exists on_aggregates; drop materialized view if exists daily;
    drop table if exists metrics cascade; drop table if exists renamed cascade;
    drop schema if exists "Other Schema" cascade; delete from _hypercopy.job"#;

#[test]
fn aggregates_and_views_arrive_in_order_with_all_they_have() {
    let Some(story) = Story::community("readers") else { return };
    make(&story.source);
    let archive = Archive::of(&story.source, "metrics", "readers", &[]);
    for arguments in [&["--strict"][..], &["--strict", "--chunk-interval", "6 hours", "--as", "renamed"]] {
        story.migrate("metrics", arguments);
        assert_same(&story, "migrated");
        story.target.run(CLEAN);
        archive.restored(&story.target, arguments);
        assert_same(&story, "restored");
        story.target.run(CLEAN);
    }
}

/// Chunks of days, of which all but the last are compressed.
const PACKED: [&str; 3] = [
    "create materialized view packed with (timescaledb.continuous) as
        select time_bucket('1 hour', time) as hour, device, count(*) as n from metrics group by 1, 2 with no data",
    "select set_chunk_time_interval('packed', interval '1 day');
     alter materialized view packed set (timescaledb.compress, timescaledb.compress_segmentby = 'device')",
    "call refresh_continuous_aggregate('packed', null, '2025-03-08 UTC')",
];
const PACK: &str = "select compress_chunk(c) from show_chunks('packed', older_than => '2025-03-06 UTC'::timestamptz) c";

/// How many chunks of the aggregate are compressed, of how many.
fn packed(database: &Database) -> String {
    database.value(
        "select count(*) filter (where is_compressed) || ' of ' || count(*)
         from timescaledb_information.continuous_aggregates
         join timescaledb_information.chunks c on c.hypertable_name = materialization_hypertable_name",
    )
}

#[test]
fn compressed_aggregates_are_compressed_behind_their_refresh() {
    let Some(story) = Story::community("readers_packed") else { return };
    story.source.run(METRICS);
    PACKED.iter().chain([&PACK]).for_each(|sql| story.source.run(sql));
    assert_eq!(packed(&story.source), "5 of 7");
    let archive = Archive::of(&story.source, "metrics", "readers_packed", &[]);
    let assert_packed = |expected: &str, what: &str| {
        assert_eq!(packed(&story.target), expected, "{what}");
        assert_eq!(story.source.multiset("packed"), story.target.multiset("packed"), "{what}");
        story.target.run("drop materialized view packed; drop table metrics; delete from _hypercopy.job");
    };
    for (arguments, expected) in [
        (&[][..], "5 of 7"),
        (&["--chunk-interval", "6 hours", "--as", "renamed"], "5 of 7"),
        (&["--compress", "none"], "0 of 7"),
        (&["--compress", "all"], "7 of 7"),
        (&["--compress", "older-than 30 years"], "0 of 7"),
    ] {
        story.migrate("metrics", &[&["--strict"], arguments].concat());
        story.target.run("alter table if exists renamed rename to metrics");
        assert_packed(expected, &format!("{arguments:?}"));
    }
    archive.restored(&story.target, &["--strict"]);
    assert_packed("5 of 7", "restored");
    // One that is ended among the chunks goes on with those that are left.
    for failpoint in ["compress-before-commit:1", "compress-before-commit:3", "compress-after-commit:2"] {
        let mut command: Command = story.command(&["migrate", "metrics", "-q"]);
        let killed = command.env("HYPERCOPY_FAILPOINT", failpoint).stderr(Stdio::null()).stdout(Stdio::null()).status();
        assert_eq!(killed.expect("the program starts").signal(), Some(9), "{failpoint} is never reached");
        story.migrate("metrics", &["--strict"]);
        assert_packed("5 of 7", failpoint);
    }
}

#[test]
fn a_run_that_is_killed_among_them_goes_on() {
    let Some(story) = Story::community("readers_killed") else { return };
    make(&story.source);
    for failpoint in [
        "finalize-before-commit:2",
        "finalize-after-commit:5",
        "alone-before-mark:1",
        "alone-before-mark:3",
        "finalize-before-step:20",
        "finalize-after-commit:22",
        "finalize-before-commit:25",
        "before-finish",
    ] {
        let mut command: Command = story.command(&["migrate", "metrics", "--json", "-j", "2"]);
        let killed = command.env("HYPERCOPY_FAILPOINT", failpoint).stderr(Stdio::null()).stdout(Stdio::null()).status();
        assert_eq!(killed.expect("the program starts").signal(), Some(9), "{failpoint} is never reached");
        let run = story.hypercopy(&["migrate", "metrics", "--json", "-j", "2", "--strict"]);
        assert_eq!(run.code, 0, "{failpoint}: {}", run.stderr);
        assert_same(&story, failpoint);
        // A finished job is taken back with what it has made.
        let run = story.hypercopy(&["migrate", "metrics", "--json", "-j", "2", "--restart"]);
        assert_eq!(run.code, 0, "{failpoint}: {}", run.stderr);
        assert_same(&story, "anew");
        story.target.run(CLEAN);
    }
}

#[test]
fn without_the_edition_aggregates_are_listed_with_their_sql_and_views_of_the_table_are_made() {
    let Some(story) = Story::from_community(Server::Trixie, "readers_apache") else { return };
    make(&story.source);
    let archive = Archive::of(&story.source, "metrics", "readers_apache", &[]);
    let see = |report: &Value| {
        let aggregates = listed(report, "continuous aggregate");
        assert_eq!(aggregates.len(), 4, "{aggregates:?}");
        for aggregate in &aggregates {
            assert!(aggregate.contains("the target's edition is apache: create materialized view"), "{aggregate}");
        }
        let views = listed(report, "view");
        assert_eq!(views.len(), 1, "{views:?}");
        assert!(
            views[0].starts_with("public.on_aggregates: ") && views[0].contains("is missing on the target"),
            "{views:?}"
        );
        for reader in &READERS[..3] {
            assert_eq!(story.source.multiset(reader), story.target.multiset(reader), "{reader}");
        }
        story.target.run(CLEAN);
    };
    see(&story.migrate("metrics", &[]));
    see(&archive.restored(&story.target, &[]));
}

#[test]
fn what_a_view_needs_and_the_target_lacks_is_listed() {
    let story = Story::new("readers_missing");
    story.source.run(METRICS);
    story.source.run(VIEWS);
    story.source.run(
        "create table sites (device int, site text);
         create view of_sites as select * from metrics join sites using (device);
         create view over_it as select count(*) from of_sites;
         create function plus(v float8) returns float8 language sql as 'select v + 1';
         create view calls as select plus(value) from metrics;
         create materialized view kept as select * from a_second;
         create materialized view later as select * from kept with no data;
         create function turned() returns trigger language plpgsql as 'begin return null; end';
         create trigger turned instead of update on a_second for each row execute function turned();
         create rule elsewhere as on insert to z_first do instead insert into sites values (new.device);
         create view taken as select 1 as n from metrics;
         create role readers_only; grant select on z_first to readers_only",
    );
    story.target.run("create view taken as select 2 as n");
    let report = story.migrate("metrics", &[]);
    let views = listed(&report, "view");
    let reasons = [
        ("public.calls: ", "function public.plus(double precision) is missing"),
        ("public.of_sites: ", "public.sites, which it reads, is missing"),
        ("public.taken: ", "its name is taken"),
        ("public.over_it: ", "public.of_sites, which it reads, is missing"),
    ];
    assert_eq!(views.len(), reasons.len(), "{views:?}");
    for (view, (name, reason)) in views.iter().zip(reasons) {
        assert!(view.starts_with(name) && view.contains(reason), "{view}");
    }
    assert_eq!(listed(&report, "trigger of a view").len(), 1, "{report}");
    let refused = listed(&report, "refused by the target");
    assert!(refused.len() == 1 && refused[0].starts_with("create rule elsewhere on public.z_first"), "{refused:?}");
    assert_eq!(story.source.multiset("kept"), story.target.multiset("kept"));
    assert_eq!(story.target.value("select relispopulated from pg_class where relname = 'later'"), "f");
    let cost = "materialized view public.kept is filled by its own query in the end";
    assert!(report["plan"]["warnings"].to_string().contains(cost), "{report}");
    assert!(listed(&report, "grant").iter().any(|grant| grant.contains("readers_only")), "{report}");
    assert_eq!(story.target.value("select n from taken"), "2");
    for reader in &READERS[..3] {
        assert_eq!(story.source.multiset(reader), story.target.multiset(reader), "{reader}");
    }
    story.source.run("drop owned by readers_only; drop role readers_only");
}

#[test]
fn an_ordinary_role_makes_what_is_its_own_and_lists_other_owners() {
    if !has_community("readers_ordinary") {
        return;
    }
    let (owner, other) = (Role::create(Server::Community, "reader"), Role::create(Server::Community, "stranger"));
    let mut story = Story::community("readers_ordinary").expect("there is a server");
    make(&story.source);
    story.source.run(&format!(
        r#"alter table metrics owner to {0}; alter materialized view daily owner to {0}; alter view z_first owner to {1};
           grant usage, create on schema public, "Other Schema" to {0}; grant select on all tables in schema public to {0}"#,
        owner.name, other.name
    ));
    let superuser = story.target.conninfo.clone();
    story.target.run(&format!(
        "grant create on database \"{}\" to {1}; grant usage, create on schema public to {1}",
        story.target.value("select current_database()"),
        owner.name
    ));
    story.target.conninfo = owner.conninfo(&story.target);
    let run = story.hypercopy(&["migrate", "metrics", "--json"]);
    story.target.conninfo = superuser;
    assert_eq!(run.code, 0, "{}", run.stderr);
    let owners = listed(&run.json(), "owner");
    assert!(owners.iter().any(|lost| lost.contains(&other.name) && lost.contains("z_first")), "{owners:?}");
    let of_daily =
        "select view_owner::text from timescaledb_information.continuous_aggregates where view_name = 'daily'";
    assert_eq!(story.target.value(of_daily), owner.name);
    for database in [&story.source, &story.target] {
        database.run(&format!("drop owned by {}, {} cascade", owner.name, other.name));
    }
}

#[test]
fn a_view_of_an_archive_that_says_more_than_it_claims_is_refused() {
    let story = Story::new("readers_hostile");
    story.source.run(METRICS);
    story.source.run(VIEWS);
    story.source.run(
        "create view changed as select device, value from metrics; alter view changed alter value set default 7;
         create rule nothing as on delete to changed do instead nothing;
         create function turned() returns trigger language plpgsql as 'begin return null; end';
         create trigger turned instead of update on changed for each row execute function turned();
         create materialized view filled as select device, count(*) as n, 'x'::text as note from metrics group by 1;
         create index on filled (n); create statistics filled_n on device, n from filled;
         alter materialized view filled alter note set storage external",
    );
    let archive = Archive::of(&story.source, "metrics", "readers_hostile", &[]);
    let whole = archive.manifest();
    for (view, field, text) in [
        ("z_first", "/definition", "select 1; drop table kept"),
        ("z_first", "/definition", "select 1 as n -- "),
        ("z_first", "/grants/0/privileges/0", "select on kept to public --"),
        ("changed", "/defaults/0/expression", "7, alter column device set default 8"),
        ("changed", "/rules/0/around/0", "CREATE RULE nothing AS ON DELETE TO kept DO INSTEAD NOTHING -- TO "),
        ("changed", "/rules/0/around/1", " DO INSTEAD NOTHING; drop table kept"),
        ("changed", "/triggers/0/around/0", "DROP TABLE kept, "),
        ("filled", "/kept/indexes/0/body", "USING btree (n); drop table kept"),
        ("filled", "/kept/statistics/0/definition", "drop table kept"),
        ("filled", "/kept/columns/0/storage", "external, alter column n set storage plain"),
    ] {
        archive.edit(|manifest| {
            let views = manifest["definition"]["hypertable"]["views"].as_array_mut().expect("there are views");
            let view = views.iter_mut().find(|found| found["name"] == view).expect("the archive has it");
            *view.pointer_mut(field).expect("it is there") = text.into();
        });
        archive.assert_refused(&story.target, &[], 6, "is more than it says");
        archive.write("manifest.json", whole.to_string());
    }
    archive.restored(&story.target, &[]);
}

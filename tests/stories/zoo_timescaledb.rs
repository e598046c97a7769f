//! The zoo: what TimescaleDB keeps on a table, and what reads it. Some of it runs where `HYPERCOPY_TEST_COMMUNITY_DSN` names a
//! server with TimescaleDB's community edition.

use crate::harness::Server;
use crate::zoo::Fixture;

#[test]
fn columns_are_skipped_by_and_views_are_read_everywhere() {
    views().makes_its_round_trips();
}

/// Views of every kind.
pub fn views() -> Fixture {
    Fixture {
        table: r#""Ta'b.le""#,
        both: "create function noted() returns trigger language plpgsql as 'begin return null; end'",
        ..Fixture::new(
            "zoo_views",
            r#"create table "Ta'b.le" (time timestamptz not null, "de'vice" int not null, value float8);
               select create_hypertable('"Ta''b.le"', 'time', chunk_time_interval => interval '7 days');
               insert into "Ta'b.le" select '2025-01-01'::timestamptz + n * interval '1 day', n % 4, n from generate_series(1, 20) n;
               set timescaledb.enable_chunk_skipping = on;
               select enable_chunk_skipping('"Ta''b.le"', 'de''vice');
               create view "z""1" with (security_barrier, check_option = local) as select * from "Ta'b.le" where value > 0;
               create view a2 as select "de'vice", sum(value) as "Su""m", 'public."Ta''b.le"' as text from "z""1" group by 1;
               alter view a2 owner to {alice};
               comment on view a2 is 'it''s'; comment on column a2."Su""m" is 'a "sum"';
               grant select on "z""1" to {bob}; grant select ("Su""m") on a2 to {carol} with grant option;
               grant select on "z""1" to {alice}; grant usage on schema public to {alice}; set role {alice};
               grant select on a2 to {bob} with grant option; reset role;
               create view w3 as select time, "de'vice", value, 'x'::text as note from "Ta'b.le";
               alter view w3 alter column note set default 'd''efault', alter column value set default 1 + least(2, 3);
               create rule "Ru ""le" as on insert to w3
                   do instead (insert into "Ta'b.le" values (new.time, new."de'vice", new.value); notify seen);
               create rule nothing as on delete to w3 do instead nothing; comment on rule nothing on w3 is 'a ''rule';
               create trigger "Tri TO gger" instead of update on w3 for each row execute function noted('a', 'it''s');
               comment on trigger "Tri TO gger" on w3 is 'a trigger';
               create materialized view "kept""1" with (fillfactor = 70, toast.autovacuum_enabled = off) as
                   select "de'vice", sum("Su""m") as total, count(*) as n, 'x'::text as note from a2 group by 1;
               create unique index "kept ""idx" on "kept""1" ("de'vice"); create index of_total on "kept""1" (total, (n + 1)); create index on "kept""1" (n) where n > 0;
               alter index of_total alter column 2 set statistics 40; comment on index of_total is 'of total';
               alter materialized view "kept""1" cluster on of_total; comment on materialized view "kept""1" is 'kept';
               alter materialized view "kept""1" alter column note set storage external, alter column note set statistics 17,
                   alter column n set (n_distinct = 5);
               comment on column "kept""1".n is 'n'; create statistics "of kept" on "de'vice", n from "kept""1";
               comment on statistics "of kept" is 'both'; alter materialized view "kept""1" owner to {alice};
               grant select on "kept""1" to {bob}; grant select (n) on "kept""1" to {carol};
               create materialized view unfilled as select * from "kept""1" with no data;
               create view over_kept with (security_invoker = true) as select * from "kept""1" where n > 0;"#,
        )
    }
}

#[test]
fn a_view_that_would_show_more_than_it_may_is_not_filled() {
    let source = "create table t (time timestamptz not null, value int); select create_hypertable('t', 'time');
        insert into t values ('2025-01-01', 1); create materialized view kept as select * from t;
        create policy none on t using (value > 1); alter table t enable row level security, force row level security";
    Fixture {
        pairs: &[(Server::Trixie, Server::OtherTrixie)],
        listed: &[
            "rows of a materialized view: public.kept: row-level security that holds for its owner comes behind it",
        ],
        ..Fixture::new("zoo_forced", source)
    }
    .makes_its_round_trips();
}

/// Segments, an order, jobs of each kind.
const COLUMNSTORE: &str = r#"
    create table t (time timestamptz not null, "De'vice" int not null, value float8, note text, unique (time, "De'vice"));
    select create_hypertable('t', 'time', chunk_time_interval => interval '7 days');
    create index on t (note);
    alter table t set (timescaledb.compress, timescaledb.compress_segmentby = '"De''vice"', timescaledb.compress_orderby = 'value desc, time');
    insert into t select '2025-01-01'::timestamptz + n * interval '1 day', n % 4, n, 'n' || n from generate_series(1, 40) n;
    select count(compress_chunk(c)) from show_chunks('t', older_than => '2025-02-01'::timestamptz) c;
    insert into t values ('2025-01-05 12:00', 7, 'NaN', null);
    select add_compression_policy('t', interval '40 years', initial_start => '2040-01-01+00');
    select add_retention_policy('t', interval '50 years', initial_start => '2041-01-01+00', timezone => 'Europe/Berlin');"#;

#[test]
fn a_columnstore_and_its_jobs_stay_what_they_are() {
    const PAIRS: [(Server, Server); 1] = [(Server::Community, Server::Community)];
    Fixture { pairs: &PAIRS, ..Fixture::new("zoo_columnstore", COLUMNSTORE) }.makes_its_round_trips();
}

#[test]
fn a_columnstore_that_the_edition_lacks_is_listed() {
    const PAIRS: [(Server, Server); 2] = [(Server::Community, Server::Trixie), (Server::Community, Server::Sid)];
    const LISTED: [&str; 4] = [
        "compression settings: public.t: the target's edition is apache",
        "compression: 4 chunks arrive uncompressed",
        "policy or job: policy_compression: the target's edition is apache",
        "policy or job: policy_retention: the target's edition is apache",
    ];
    Fixture { pairs: &PAIRS, listed: &LISTED, ..Fixture::new("zoo_columnstore_apache", COLUMNSTORE) }
        .makes_its_round_trips();
}

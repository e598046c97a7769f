//! The zoo: what a table is divided by.

use crate::harness::{Server, Story};
use crate::zoo::{Fixture, PAIRS};

/// What is made only on request.
const ON_REQUEST: &[&str] = &["--with-dependencies"];

#[test]
fn functions_between_columns_and_intervals_arrive() {
    Fixture {
        arguments: ON_REQUEST,
        table: r#""Ta'b.le""#,
        ..Fixture::new(
            "zoo_functions",
            r#"create schema "Fun.c's";
               create function "Fun.c's"."mo""ment" (document jsonb) returns timestamptz language sql immutable
                   as $$ select timezone('UTC', (document ->> 'at')::timestamp) $$;
               create function "Fun.c's".digits(value anyelement) returns bigint language sql immutable
                   as $$ select substr(value::text, 2)::bigint $$;
               create function parity(value anyelement) returns int language sql immutable
                   as 'select case when value::text::int % 2 = 0 then 1 else 2000000000 end';
               create table "Ta'b.le" ("docu'ment" jsonb not null, code text not null, device int, v float8);
               select create_hypertable('"Ta''b.le"', 'docu''ment', chunk_time_interval => interval '5 days',
                   time_partitioning_func => '"Fun.c''s"."mo""ment"'::regproc);
               select add_dimension('"Ta''b.le"', 'code', chunk_time_interval => 10, partitioning_func => '"Fun.c''s".digits'::regproc);
               select add_dimension('"Ta''b.le"', 'device', number_partitions => 2, partitioning_func => 'parity'::regproc);
               create unique index on "Ta'b.le" ("docu'ment", code, device);
               insert into "Ta'b.le" select jsonb_build_object('at', '2025-01-01'::timestamp + n * interval '7 hours'), 'c' || n % 30, n % 7, n
               from generate_series(1, 100) n"#,
        )
    }
    .makes_its_round_trips();
}

/// One for each type that a function may answer.
#[test]
fn functions_answer_what_a_dimension_can_be() {
    for (name, answer, body) in [
        ("zoo_answers_timestamp", "timestamp", "timestamp '2025-01-01' + value * interval '1 hour'"),
        ("zoo_answers_date", "date", "date '2025-01-01' + value::int"),
        ("zoo_answers_smallint", "smallint", "value::smallint"),
        ("zoo_answers_integer", "integer", "-value::integer"),
    ] {
        let interval = if ["timestamp", "date"].contains(&answer) { "interval '2 days'" } else { "20" };
        let source = format!(
            "create function part(value numeric) returns {answer} language sql immutable as $$ select ({body})::{answer} $$;
             create table t (n numeric not null, v text);
             select create_hypertable('t', 'n', chunk_time_interval => {interval}, time_partitioning_func => 'part');
             insert into t select n, 'row ' || n from generate_series(1, 90) n"
        );
        Fixture { arguments: ON_REQUEST, pairs: &PAIRS[..1], ..Fixture::new(name, source.leak()) }
            .makes_its_round_trips();
    }
}

#[test]
fn an_unlogged_table_is_listed_with_the_statement_that_would_make_it_so() {
    const PAIRS: [(Server, Server); 1] = [(Server::Sid, Server::Sid)];
    const LISTED: [&str; 1] = ["unlogged: the table will be logged: a crash would empty it"];
    let fixture = Fixture {
        pairs: &PAIRS,
        listed: &LISTED,
        ..Fixture::new(
            "zoo_unlogged",
            "create unlogged table t (time timestamptz not null, v int); select create_hypertable('t', 'time');
             insert into t select '2025-01-01'::timestamptz + n * interval '7 hours', n from generate_series(1, 100) n",
        )
    };
    fixture.makes_its_round_trips();
    let Some(story) = Story::between(Server::Sid, Server::Sid, fixture.name) else { return };
    story.source.run(fixture.source);
    let report = story.migrate("t", &["--as", "other"]);
    let sql = report["not_carried"][0]["sql"][0].as_str().expect("it is listed with its SQL");
    story.target.run(sql);
    assert_eq!(story.target.value("select relpersistence from pg_class where oid = 'other'::regclass"), "u");
}

#[test]
fn uuids_of_version_7_arrive() {
    const PAIRS: [(Server, Server); 1] = [(Server::Sid, Server::Sid)];
    Fixture {
        pairs: &PAIRS,
        ..Fixture::new(
            "zoo_uuids",
            r#"create table t ("I'd" uuid primary key default uuidv7(), time timestamptz not null, v float8);
               select create_hypertable('t', by_range('I''d', interval '5 days'));
               create index on t (time, "I'd");
               insert into t select to_uuidv7('2025-01-01'::timestamptz + n * interval '7 hours'), '2025-01-01', n from generate_series(1, 100) n;
               insert into t values ('00000000-0000-7000-8000-000000000000', '2025-01-01', -1), ('ffffffff-ffff-7fff-bfff-ffffffffffff', '2025-01-01', -2);
               create table u (time timestamptz not null)"#,
        )
    }
    .makes_its_round_trips();
    Fixture {
        pairs: &PAIRS,
        ..Fixture::new(
            "zoo_uuids_beside",
            "create table t (time timestamptz not null, id uuid not null, device text, v numeric);
             select create_hypertable('t', by_range('time', interval '5 days'));
             select add_dimension('t', by_range('id', interval '10 days')); select add_dimension('t', by_hash('device', 2));
             insert into t select '2025-01-01'::timestamptz + n * interval '7 hours', to_uuidv7('2025-01-01'::timestamptz + (100 - n) * interval '9 hours'),
                 'd' || n % 5, n from generate_series(1, 100) n",
        )
    }
    .makes_its_round_trips();
}

//! Every type that a column can have, with the values at which copies go wrong.

use crate::harness::Server;
use crate::zoo::{Fixture, PAIRS};

/// A table `t` with these columns beside its time, and these rows, each without its time.
macro_rules! table {
    ($columns:literal, $($row:literal),+ $(,)?) => {
        concat!(
            "create table t (time timestamptz not null, ", $columns, ");
             select create_hypertable('t', 'time', chunk_time_interval => interval '1 day');",
            $("insert into t select '2025-01-01'::timestamptz + (count(*) + 1) * interval '5 hours', ", $row, " from t;"),+
        )
    };
}

#[test]
fn numbers_keep_every_digit() {
    numbers().makes_its_round_trips();
}

fn numbers() -> Fixture {
    Fixture::new(
        "numbers",
        table!(
            "s int2, i int4, b int8, n numeric, f numeric(9, 3), g numeric(3, -2), r real, d double precision, y bool",
            "-32768, -2147483648, -9223372036854775808, 'NaN', 'NaN', 'NaN', 'NaN', 'NaN', true",
            "32767, 2147483647, 9223372036854775807, 'Infinity', 999999.999, 99900, 'Infinity', 'Infinity', false",
            "0, 0, 0, '-Infinity', -999999.999, 0, '-Infinity', '-Infinity', null",
            "1, 1, 1, 0, 0.001, -100, '-0', '-0', true",
            "1, 1, 1, '-0.000000', 0, 1, 1.1754944e-38, 2.2250738585072014e-308, true",
            "1, 1, 1, repeat('9', 131072)::numeric, 0, 1, 1.4e-45, 4.9e-324, true",
            "1, 1, 1, ('0.' || repeat('7', 16383))::numeric, 0, 1, 3.4028235e38, 1.7976931348623157e308, true",
            "1, 1, 1, 1.50, 0, 1, 0.1::real, 0.1::float8 + 0.2, true",
            "null, null, null, null, null, null, null, null, null",
        ),
    )
}

#[test]
fn times_keep_their_ends() {
    times().makes_its_round_trips();
}

fn times() -> Fixture {
    Fixture::new(
        "times",
        table!(
            "d date, ts timestamp, tz timestamptz, t3 timestamp(3), o time, oz timetz, i interval, ds interval day to second(2)",
            "'infinity', 'infinity', 'infinity', 'infinity', '24:00', '24:00-15:59', '178000000 years', '1 day'",
            "'-infinity', '-infinity', '-infinity', '-infinity', '00:00', '00:00+15:59', '-178000000 years', '-1.25 s'",
            "'4713-01-01 BC', '4713-01-01 BC', '4713-01-01 00:00+00 BC', '0001-01-01 BC', '23:59:59.999999', '12:00+05:30', '1 mon -1 day 1 us', '0'",
            "'5874897-12-31', '294276-12-31 23:59:59.999999', '294276-12-31 23:59:59.999999+00', '1969-12-31 23:59:59.999', '12:00', '12:00-00:00:01', '-1 mon +30 days -24:00:00.000001', '1 s'",
            "'1582-10-10', '1999-12-31 23:59:60', '2025-03-30 01:30+00', '2000-01-01', null, null,
                case when current_setting('server_version_num')::int >= 170000 then 'infinity'::text::interval end, null",
            "null, null, null, null, null, null, null, null",
        ),
    )
}

#[test]
fn texts_and_bytes_keep_every_byte() {
    texts().makes_its_round_trips();
}

fn texts() -> Fixture {
    Fixture::new(
        "texts",
        table!(
            r#"t text, v varchar(7), c char(5), n name, q "char", b bytea, bi bit(9), bv bit varying(65), u uuid"#,
            r"'', '', '', '', '', '', B'000000000', B'', '00000000-0000-0000-0000-000000000000'",
            r"E'\\N', E'\\.', E'\\', E'\t', '\', '\\x00', B'111111111', B'1', 'ffffffff-ffff-ffff-ffff-ffffffffffff'",
            r#"E'\r\n\v\f\b\001"quoted", ''and'' {a,b}', 'ä€𝄞', 'é', 'NULL', 'x', '\\xff00fe01', B'101010101', repeat('10', 32)::varbit, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"#,
            r#"repeat('long ä ', 40000), 'trail  ', 'pad', repeat('ä', 31), (-128)::"char", decode(repeat('00ff', 50000), 'hex'), null, null, null"#,
            r"null, null, null, null, null, null, null, null, null",
        ),
    )
}

#[test]
fn documents_keep_their_spelling() {
    documents().makes_its_round_trips();
}

fn documents() -> Fixture {
    Fixture::new(
        "documents",
        table!(
            "j json, b jsonb, x xml, p jsonpath, v tsvector, q tsquery",
            r#"'{"a": 1,  "a": 2, "é": "\u00e9"}', '{"a": 1, "b": [null, true, 1e400, -0.0, "\t\\"]}', '<a b="1">x &amp; y</a>', '$.a[*] ? (@ > 1)', 'a fat cat:2A,3B', 'fat & !(rat | cat:AB*)'"#,
            r#"' null', 'null', 'no element, but content', 'strict $."odd \" key"', '''it''''s'':1 ''a b'':2', 'a <-> b <3> c'"#,
            r#"'[]', '{}', '', '$', '', ''"#,
            r#"('[' || repeat('[1.0],', 5000) || '0]')::json, (select jsonb_object_agg(n, n) from generate_series(1, 3000) n), null, null,
                (select string_agg('w' || n || ':' || n, ' ')::tsvector from generate_series(1, 400) n), null"#,
            "null, null, null, null, null, null",
        ),
    )
}

#[test]
fn shapes_and_addresses_keep_their_ends() {
    shapes().makes_its_round_trips();
}

fn shapes() -> Fixture {
    Fixture::new(
        "shapes",
        table!(
            "p point, l line, s lseg, b box, o path, g polygon, c circle, i inet, n cidr, m macaddr, m8 macaddr8, w pg_lsn",
            "'(NaN,Infinity)', '{1,-1,0}', '[(0,0),(1,-0)]', '(2,2),(0,0)', '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))', '<(0,0),0>', '0.0.0.0/0', '10/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '0/0'",
            "'(-0,1e-300)', '{0,-1,0.1}', '[(1,1),(1,1)]', '(1,1),(1,1)', '((0,0),(1,1))', '((0,0))', '<(1,2),Infinity>', '::ffff:1.2.3.4/100', '2001:db8::/32', 'ff:ff:ff:ff:ff:ff', '00:00:00:00:00:00:00:00', 'FFFFFFFF/FFFFFFFF'",
            "null, null, null, null, null, null, null, '192.168.0.1/24', '::/0', null, null, null",
        ),
    )
}

#[test]
fn arrays_keep_their_shape() {
    arrays().makes_its_round_trips();
}

fn arrays() -> Fixture {
    Fixture::new(
        "arrays",
        concat!(
            "create type hue as enum ('red', 'NULL', '', 'a,b'); create type pair as (a int, b text); create domain small as int check (value < 100);",
            table!(
                "i int[], d int[][], t text[], n numeric[], z timestamptz[], h hue[], p pair[], s small[], b bytea[], j jsonb[], x bool[3]",
                "'{}', '{{1,2},{3,null}}', array['', null, 'NULL', '\"', '\\', '{,}', E'\\t'], array['NaN', 1.50]::numeric[], array['infinity', null]::timestamptz[], enum_range(null::hue), array[row(1, null), null, row(null, null), row(0, '\"(,)\"')]::pair[], '{1,null,99}', array['\\xff'::bytea, ''], array['{\"a\": [1]}', 'null']::jsonb[], '{t,f,null}'",
                "'[0:2]={1,null,3}', '[-1:0][5:6]={{1,2},{3,4}}', '[-2147483648:-2147483647]={a,b}', '{null}', '{}', '[3:3]={red}', '[2:2]={\"(7,x)\"}', '{}', '{}', '{{{}}}', null",
                "array_fill(7, array[2, 3, 4]), array_fill(null::int, array[1, 1, 1, 1, 1, 1]), (select array_agg('e' || n) from generate_series(1, 20000) n), null, null, null, null, null, null, null, null",
                "null, null, null, null, null, null, null, null, null, null, null",
            )
        ),
    )
}

#[test]
fn composites_and_domains_keep_their_parts() {
    composites().makes_its_round_trips();
}

fn composites() -> Fixture {
    Fixture::new(
        "composites",
        concat!(
            r#"create type inner_part as (n numeric, gone int, t text collate "C"); alter type inner_part drop attribute gone;
               create type whole as (p inner_part, gone text, ps inner_part[], "Odd ""attribute" int); alter type whole drop attribute gone;
               alter type whole add attribute late date;
               create domain whole_domain as whole; create domain ints as int[] check (cardinality(value) < 9);
               create domain more_ints as ints default '{7}' not null; create domain spans as int4range;
               create domain word as varchar(5) collate "C" constraint "no x" check (value <> 'x') constraint "A" check (value <> 'y');
               create type of_domains as (w word, i ints, m more_ints);"#,
            table!(
                "p inner_part, w whole, wd whole_domain, ws whole[], i ints, m more_ints, s spans, sa spans[], wo word, od of_domains",
                r#"row(1.50, 'a')::inner_part, row(row('NaN', '"')::inner_part, array[row(1, '')::inner_part, null], 3, 'infinity')::whole, row(null, '{}', null, null)::whole, array[row(null, null, null, null)::whole], '{1,null}', '[5:6]={1,2}', 'empty', '{"[1,2)","(,)"}', 'ä', row('w', '{1}', '{2}')::of_domains"#,
                r#"row(null, null)::inner_part, null, null, '{}', '{}', '{}', '[1,5]', '{}', '', row(null, null, '{}')::of_domains"#,
                r#"null, row(null, null, null, null)::whole, null, null, null, '{7}', null, null, null, null"#,
            )
        ),
    )
}

#[test]
fn ranges_and_multiranges_keep_their_bounds() {
    ranges().makes_its_round_trips();
}

fn ranges() -> Fixture {
    Fixture::new(
        "ranges",
        table!(
            "i4 int4range, i8 int8range, n numrange, t tsrange, z tstzrange, d daterange, m int4multirange, mn nummultirange, mz tstzmultirange, a int4range[], ma datemultirange[]",
            "'empty', 'empty', 'empty', 'empty', 'empty', 'empty', '{}', '{}', '{}', '{}', '{}'",
            "'(,)', '[-9223372036854775808,9223372036854775807)', '(1.50,NaN]', '[-infinity,infinity]', '(,infinity)', '[-infinity,)', '{(,)}', '{[1,1],(2,3.0)}', '{[2025-01-01,2025-01-02),[2026-01-01,)}', array['(,1)'::int4range, null, 'empty'], array['{[2025-01-01,infinity]}'::datemultirange, '{}', null]",
            "'[1,5]', null, '[1.0,1.00]', null, null, '(2025-01-01,2025-01-03]', '{[1,2),[5,9)}', null, null, '[2:2]={\"[1,2)\"}', null",
        ),
    )
}

#[test]
fn names_of_objects_travel_as_text() {
    oids().makes_its_round_trips();
}

fn oids() -> Fixture {
    Fixture::new(
        "oids",
        table!(
            "c regclass, t regtype, p regproc, pp regprocedure, o regoper, oo regoperator, r regrole, n regnamespace, co regcollation, cfg regconfig, di regdictionary, x oid, xv oidvector, iv int2vector, xi xid, x8 xid8, ci cid, ti tid, s pg_snapshot, ts txid_snapshot, a regtype[], mo money",
            "'pg_class', 'int4[]', 'now', 'sqrt(numeric)', '|/', '+(integer,integer)', 'pg_monitor', 'pg_catalog', '\"C\"', 'simple', 'simple', 4294967295, '1 2 3', '1 -2', '4294967295', '18446744073709551615', '7', '(4294967295,65535)', '10:20:10,14', '1:1:', array['text', null]::regtype[], '-1234.56'",
            "'t', 't', null, null, null, null, null, null, null, null, null, 0, '', '', '0', '0', '0', '(0,0)', '1:1:', null, '{}', '92233720368547758.07'",
        ),
    )
}

#[test]
fn types_of_extensions_arrive_where_the_extension_is() {
    extension_types().makes_its_round_trips();
}

fn extension_types() -> Fixture {
    Fixture {
        both: "create schema ext; create extension hstore schema ext; create extension citext; create extension ltree; create extension cube; create extension isn; create extension seg; create extension intarray",
        ..Fixture::new(
            "extension_types",
            table!(
                "h ext.hstore, hs ext.hstore[], c citext, l ltree, lq lquery, lt ltxtquery, cu cube, i isbn13, e ean13, s seg, q query_int",
                "'a=>1, \"b c\"=>NULL', array['x=>y'::ext.hstore, null], 'MiXed', 'Top.Science', '*.A{2}.b*', 'Europe & Russia*@', '(1,2),(3,4)', '978-0-11-000533-1', '9780110005331', '1.50 .. 2', '1&(2|!3)'",
                "'', '{}', '', '', null, null, '()', null, null, '5.0 .. ', null",
                "null, null, null, null, null, null, null, null, null, null, null",
            ),
        )
    }
}

/// What is made only on request.
const ON_REQUEST: &[&str] = &["--with-dependencies"];

#[test]
fn ranges_of_ones_own_are_made_on_request() {
    own_ranges().makes_its_round_trips();
}

fn own_ranges() -> Fixture {
    Fixture {
        arguments: ON_REQUEST,
        ..Fixture::new(
            "own_ranges",
            concat!(
                r#"create schema "Range's"; create function apart(float8, float8) returns float8 language sql immutable return $1 - $2;
                   create type "Range's"."Öffnung" as range (subtype = float8, subtype_diff = apart, multirange_type_name = "Range's"."select");
                   create domain day as date check (value > '2000-01-01'); create type days as range (subtype = day);
                   create type words as range (subtype = text, collation = "C", subtype_opclass = text_pattern_ops);"#,
                table!(
                    r#"r "Range's"."Öffnung", m "Range's"."select", ms "Range's"."select"[], d days, w words, ws words[]"#,
                    r#"'[1.5,Infinity]', '{[1,2),(5,)}', array['{}'::"Range's"."select", null], '[2025-01-01,2025-01-01]', '["\"a","z,b"]', '{"[a,b)",empty}'"#,
                    "null, null, null, null, null, null",
                )
            ),
        )
    }
}

#[test]
fn every_kind_of_dimension_arrives() {
    for (name, column, value, interval) in [
        ("dimension_int2", "int2", "(n - 20)::int2 * 1000::int2", "1000::int2"),
        ("dimension_int4", "int4", "n - 20", "7"),
        ("dimension_int8", "int8", "(n - 20)::int8 * 400000000000000000", "1000000000000000000"),
        ("dimension_date", "date", "date '1970-01-01' + (n - 20) * 10", "interval '30 days'"),
        (
            "dimension_timestamp",
            "timestamp",
            "timestamp '1970-01-01' + (n - 20) * interval '7 hours'",
            "interval '1 day'",
        ),
        (
            "dimension_timestamptz",
            "timestamptz",
            "timestamptz '1970-01-01 00:00+00' + (n - 20) * interval '7 hours'",
            "interval '90 minutes'",
        ),
    ] {
        let source = format!(
            "create table t (at {column} not null, a text, b int, u uuid, c numeric, second int not null);
             select create_hypertable('t', 'at', chunk_time_interval => {interval});
             select add_dimension('t', 'second', chunk_time_interval => 20); select add_dimension('t', 'a', number_partitions => 3);
             insert into t select {value}, 'a' || n, n, null, n, n from generate_series(1, 27) n"
        );
        Fixture { pairs: &PAIRS[..2], ..Fixture::new(name, source.leak()) }.makes_its_round_trips();
    }
}

#[test]
fn hash_dimensions_arrive_over_every_kind_of_type() {
    hash_types().makes_its_round_trips();
}

fn hash_types() -> Fixture {
    Fixture::new(
        "hash_types",
        "create type hue as enum ('red', 'green'); create domain tag as text;
         create function parity(value anyelement) returns int language sql immutable as 'select case when value::text::int % 2 = 0 then 1 else 2000000000 end';
         create table t (time timestamptz not null, h hue, g tag, u uuid, n numeric, i inet, p int);
         select create_hypertable('t', 'time', chunk_time_interval => interval '5 days');
         select add_dimension('t', c, number_partitions => 2) from unnest(array['h', 'g', 'u', 'n']) c;
         insert into t select '2025-01-01'::timestamptz + x * interval '1 day', enum_first(null::hue), x, md5(x::text)::uuid, x, '10.0.0.1', x
         from generate_series(1, 20) x",
    )
}

#[test]
fn a_hash_function_of_ones_own_arrives() {
    hash_function().makes_its_round_trips();
}

fn hash_function() -> Fixture {
    Fixture {
        arguments: ON_REQUEST,
        pairs: &[(Server::Trixie, Server::OtherTrixie), (Server::Trixie, Server::Sid)],
        ..Fixture::new(
            "hash_function",
            r#"create schema "Hash'es"; create function "Hash'es"."by ""half" (value anyelement) returns int language sql immutable
                   as 'select case when value::text::int % 2 = 0 then 1 else 2000000000 end';
               create table t (time timestamptz not null, device int);
               select create_hypertable('t', 'time', chunk_time_interval => interval '5 days');
               select add_dimension('t', 'device', number_partitions => 2, partitioning_func => '"Hash''es"."by ""half"'::regproc);
               insert into t select '2025-01-01'::timestamptz + x * interval '1 day', x from generate_series(1, 20) x"#,
        )
    }
}

/// Those that ask nothing of the servers.
pub fn fixtures() -> Vec<Fixture> {
    vec![
        numbers(),
        times(),
        texts(),
        documents(),
        shapes(),
        arrays(),
        composites(),
        ranges(),
        oids(),
        extension_types(),
        own_ranges(),
        hash_types(),
        hash_function(),
    ]
}

//! The ends of the axis: the least and greatest values of a dimension, infinities, and ranges that begin or end there.

use crate::harness::Story;

/// Migrates `range` into a table of its own and compares it with what the server itself finds by `condition`.
#[track_caller]
fn assert_range(story: &Story, name: &str, range: &[&str], condition: &str) {
    let range: Vec<&str> = range.iter().flat_map(|option| option.split('=')).collect();
    let report = story.migrate("edges", &[&["--as", name, "--verify", "checksum"], range.as_slice()].concat());
    let expected = story.source.multiset(&format!("(select * from edges where {condition})"));
    assert_eq!(story.target.multiset(name), expected, "{range:?}: {}", report["plan"]["range"]);
}

#[test]
fn integers_reach_to_both_ends() {
    let story = Story::new("integer_edges");
    story.source.run(
        "create table edges (n bigint not null, note text);
         select create_hypertable('edges', 'n', chunk_time_interval => 1000);
         insert into edges select n, 'x' from unnest(array[-9223372036854775808, -9223372036854775807, -1001, -1000, -999, -1, 0, 1, 999,
             1000, 9223372036854775806, 9223372036854775807]) n;
         create index on edges (n)",
    );
    assert_range(&story, "all_rows", &[], "true");
    assert_range(&story, "finer", &["--chunk-interval", "10", "-j", "3"], "true");
    assert_range(&story, "one_chunk", &["--chunk-interval", "9223372036854775807"], "true");
    assert_range(
        &story,
        "until_max",
        &["--from=0", "--until=9223372036854775807"],
        "n >= 0 and n < 9223372036854775807",
    );
    assert_range(&story, "from_max", &["--from=9223372036854775807"], "n = 9223372036854775807");
    assert_range(&story, "from_min", &["--from=-9223372036854775808", "--until=-1000"], "n < -1000");
    assert_range(&story, "nothing", &["--until=-9223372036854775808"], "false");
}

#[test]
fn times_reach_to_both_infinities() {
    for time_type in ["timestamptz", "timestamp", "date"] {
        let story = Story::new("time_edges");
        story.source.run(&format!(
            "create table edges (t {time_type} not null, note text);
             select create_hypertable('edges', 't', chunk_time_interval => interval '7 days');
             insert into edges select t::{time_type}, t from unnest(array['4714-11-24 BC', '-infinity', '0001-01-01 BC', '1969-12-31', '1970-01-01',
                 '2025-03-05', '2025-03-06', '294246-12-31', 'infinity']) t"
        ));
        assert_range(&story, "all_rows", &["--chunk-interval", "700 days", "-j", "3"], "true");
        assert_range(&story, "from_infinity", &["--from=infinity"], "t = 'infinity'");
        assert_range(
            &story,
            "finite",
            &["--from=4714-11-24 BC", "--until=294246-12-31", "--chunk-interval", "1 day"],
            "t >= '4714-11-24 BC' and t < '294246-12-31'",
        );
        if time_type == "timestamptz" {
            assert_range(
                &story,
                "until_infinity",
                &["--from=2025-03-06", "--until=infinity"],
                "t >= '2025-03-06' and t < 'infinity'",
            );
            assert_range(&story, "nothing", &["--until=-infinity"], "false");
            assert_range(&story, "past", &["--from=-infinity", "--until=1970-01-01"], "t < '1970-01-01'");
        }
    }
}

#[test]
fn small_integers_reach_to_both_ends() {
    for (integer, least, greatest) in [("smallint", "-32768", "32767"), ("int", "-2147483648", "2147483647")] {
        let story = Story::new("small_integer_edges");
        story.source.run(&format!(
            "create table edges (n {integer} not null, note text);
             select create_hypertable('edges', 'n', chunk_time_interval => 1000);
             insert into edges select n, 'x' from unnest(array[{least}, -1, 0, 1000, {greatest}]) n"
        ));
        assert_range(&story, "all_rows", &["--chunk-interval", "7"], "true");
        assert_range(&story, "beyond", &["--from=-99999999999", "--until=99999999999"], "true");
        assert_range(&story, "nothing", &["--from=99999999999"], "false");
    }
}

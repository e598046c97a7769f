//! `rechunk` while applications write: every change reaches the new table exactly once.
//!
//! The oracle is a plain table that gets the same statements in the same transactions. `HYPERCOPY_SEED` repeats a run,
//! `HYPERCOPY_ROUNDS` makes it longer.

use crate::harness::Server;
use crate::random::{Random, rounds};
use crate::rechunks::Rechunk;
use crate::writers::{Key, Writers, tables};

/// Layouts, one after the other: coarser, finer, not nested, and by hash.
const LAYOUTS: [&[&str]; 4] = [
    &["--chunk-interval", "7 days"],
    &["--chunk-interval", "6 hours"],
    &["--chunk-interval", "10 days", "--hash-partitions", "device:3"],
    &["--chunk-interval", "2 days", "--hash-partitions", "none"],
];

/// What is compared before the swap, in turn.
const VERIFY: [&str; 3] = ["--verify=counts", "--verify=checksum", "--verify=none"];

/// Writers from before the command until behind it, in rounds.
fn write_throughout(story: &Rechunk, key: Key, least: u64) {
    let database = &story.database;
    let mut random = Random::of_this_run();
    for round in 0..rounds(least) as usize {
        let layout = [LAYOUTS[round % LAYOUTS.len()], &[VERIFY[round % VERIFY.len()]]].concat();
        let writers = Writers::start(database, key, 8, &mut random);
        let report = story.done(&layout);
        assert_eq!(report["state"], "swapped");
        writers.wait_for_each(5);
        let repeated = writers.stop();
        eprintln!("{layout:?}: {} ranges under the lock, {repeated} transactions repeated", report["swap"]["ranges"]);
        assert_eq!(database.multiset("metrics"), database.multiset("oracle"), "{layout:?}");
        story.drop_old(&layout);
    }
    database.assert_nothing_left();
}

#[test]
fn a_table_without_a_key_that_is_written_loses_nothing_and_doubles_nothing() {
    write_throughout(&Rechunk::new("writers", &tables(Key::None, 12_000)), Key::None, 2);
}

#[test]
fn a_table_with_a_key_that_is_written_loses_nothing_and_doubles_nothing() {
    write_throughout(&Rechunk::new("writers_key", &tables(Key::Primary, 12_000)), Key::Primary, 3);
}

#[test]
fn a_table_that_is_written_on_the_newest_server_loses_nothing_and_doubles_nothing() {
    let Some(story) = Rechunk::on(Server::Sid, "writers_sid", &tables(Key::Primary, 12_000)) else { return };
    write_throughout(&story, Key::Primary, 2);
}

/// Rows of these are noted one by one: transition tables would end the server.
#[test]
fn a_table_with_a_dropped_column_that_is_written_loses_nothing_and_doubles_nothing() {
    let story = Rechunk::new("writers_dropped", &tables(Key::Primary, 12_000));
    story.database.run("alter table metrics add gone int default 7");
    story.database.run("alter table metrics drop column gone");
    let plan = story.run(&[LAYOUTS[0], &["--dry-run"]].concat()).json()["plan"]["capture"].clone();
    assert!(plan.as_str().is_some_and(|capture| capture.contains("row triggers")), "{plan}");
    write_throughout(&story, Key::Primary, 2);
}

#[test]
fn a_new_table_that_follows_for_long_is_swapped_as_the_old_one_is() {
    let story = Rechunk::new("writers_follow", &tables(Key::Primary, 12_000));
    let mut random = Random::of_this_run();
    let writers = Writers::start(&story.database, Key::Primary, 4, &mut random);
    for _ in 0..3 {
        let report = story.done(&["--chunk-interval", "7 days", "--no-swap"]);
        assert_eq!(report["state"], "ready");
        assert!(report["marks"]["bytes"].as_u64() > Some(0), "{report}");
        writers.wait_for_each(5);
    }
    assert_eq!(story.done(&["--swap", "--verify=checksum"])["state"], "swapped");
    writers.wait_for_each(5);
    writers.stop();
    assert_eq!(story.database.multiset("metrics"), story.database.multiset("oracle"));
}

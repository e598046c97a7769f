//! The zoo in the hands of an ordinary role, which owns the tables and may create things on the target: what it can bring, and
//! what needs more.

use crate::harness::Server;
use crate::zoo::Fixture;
use crate::{zoo_belongings, zoo_timescaledb, zoo_types};

/// What takes a membership, or a superuser, by the fixture that has it, as `Fixture::listed`.
const NEEDS_MORE: &[(&str, &[&str])] = &[
    (
        "zoo_grants",
        &[
            "grant: select on public.t to {bob} by {alice} with grant option: {alice} gave it, and the role cannot act as it",
            "grant: select on public.t to public by {bob}: {bob} gave it, and the role cannot act as it",
            "grant: update (value) on public.t to {bob} by {alice}: {alice} gave it, and the role cannot act as it",
        ],
    ),
    (
        "zoo_sequences",
        &["grant: usage on public.t_id_seq to {bob} by {alice}: {alice} gave it, and the role cannot act as it"],
    ),
    (
        "zoo_views",
        &[
            "owner: {alice} of view public.a2: it will belong to {mover}",
            "owner: {alice} of materialized view public.\"kept\"\"1\": it will belong to {mover}",
        ],
    ),
];

#[test]
fn an_ordinary_role_brings_all_but_what_needs_more_and_that_is_named() {
    let fixtures =
        zoo_belongings::fixtures().into_iter().chain(zoo_types::fixtures()).chain([zoo_timescaledb::views()]);
    let fails = |fixture: &Fixture| std::panic::catch_unwind(|| in_ordinary_hands(fixture)).is_err();
    let failed: Vec<&str> = fixtures.filter(fails).map(|fixture| fixture.name).collect();
    assert!(failed.is_empty(), "each has told why: {failed:?}");
}

fn in_ordinary_hands(fixture: &Fixture) {
    // Who is kept from rows cannot copy them.
    let source = fixture.source.replace(", force row level security", "").leak();
    let needs_more = NEEDS_MORE.iter().find(|(name, _)| *name == fixture.name).map_or(&[][..], |(_, lines)| lines);
    let listed = [fixture.listed, needs_more].concat().leak();
    Fixture { source, listed, ..*fixture }
        .makes_the_round_trip_of_an_ordinary_role(Server::Trixie, Server::OtherTrixie);
}

//! What would be lost, so that it can be refused by name before anything is written.

use crate::catalog::belongings::{Belongings, TriggerState};
use crate::catalog::{Obstacle, Server};
use crate::ident::display_ident;

/// What a table that takes this one's place would not have.
pub fn obstacles(belongings: &Belongings, server: &Server) -> Vec<Obstacle> {
    let mut found = belongings.obstacles.clone();
    found.extend(unreadable(belongings));
    found.extend(trigger_states(belongings, server));
    found.extend(second_keys(belongings));
    found.extend(published_chunks(belongings));
    found
}

/// What cannot be put onto this table again when it has left: a hypertable with compressed chunks takes no foreign keys.
/// Coming back it has none of them.
pub fn irreversible(belongings: &Belongings, has_compressed_chunks: bool) -> Vec<Obstacle> {
    let reason = "it cannot be added to the old table again while that has compressed chunks";
    let keys = belongings.foreign_keys.iter().filter(|_| has_compressed_chunks);
    keys.map(|key| Obstacle::new("foreign key", display_ident(&key.name), reason)).collect()
}

fn unreadable(belongings: &Belongings) -> Vec<Obstacle> {
    let obstacle = |kind: &str, name: String| Obstacle::new(kind, name, "its definition cannot be read");
    let triggers = belongings.triggers.iter().filter(|trigger| trigger.around.is_none());
    let statistics = belongings.statistics.iter().filter(|statistics| statistics.body.is_none());
    let keys = belongings.referencing_keys.iter().filter(|key| key.around.is_none());
    triggers
        .map(|trigger| obstacle("trigger", display_ident(&trigger.name)))
        .chain(statistics.map(|statistics| obstacle("statistics", statistics.name.to_string())))
        .chain(keys.map(|key| {
            obstacle("foreign key to this table", format!("{} on {}", display_ident(&key.name), key.referencing))
        }))
        .collect()
}

/// Hypertables refuse `alter table … disable trigger` until 2.26; a trigger that is older than its hypertable can have
/// another state all the same.
pub(super) fn trigger_states(belongings: &Belongings, server: &Server) -> Vec<Obstacle> {
    if is_at_least(server, (2, 27)) {
        return Vec::new();
    }
    let reason =
        "before 2.27 TimescaleDB cannot disable a hypertable's trigger, or enable it in another way than usual";
    let other = belongings.triggers.iter().filter(|trigger| trigger.enabled != TriggerState::Origin);
    other.map(|trigger| Obstacle::new("trigger", display_ident(&trigger.name), reason)).collect()
}

/// Where a table has several foreign keys to one hypertable, TimescaleDB brings the first of them to the chunks each time
/// one is added (its issue 10055), so that rows of chunks that are there already could be
/// deleted in spite of the others.
pub(super) fn second_keys(belongings: &Belongings) -> Vec<Obstacle> {
    let keys = &belongings.referencing_keys;
    let later = keys.iter().enumerate().filter(|(n, key)| keys[..*n].iter().any(|k| k.referencing == key.referencing));
    let reason = "TimescaleDB would not bring a second one of the same table to the chunks that are there";
    later
        .map(|(_, key)| {
            let object = format!("{} on {}", display_ident(&key.name), key.referencing);
            Obstacle::new("foreign key to this table", object, reason)
        })
        .collect()
}

fn published_chunks(belongings: &Belongings) -> Vec<Obstacle> {
    let reason = "it names chunks of the table and not the table itself";
    let chunks_only = belongings.publications.iter().filter(|publication| !publication.table);
    chunks_only.map(|publication| Obstacle::new("publication", display_ident(&publication.name), reason)).collect()
}

pub(super) fn is_at_least(server: &Server, version: (u32, u32)) -> bool {
    let text = server.timescaledb.as_deref().unwrap_or_default();
    let mut numbers = text.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= version
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::belongings::ReferencingKey;
    use crate::ident::QualifiedName;

    #[test]
    fn only_later_keys_of_the_same_table_are_in_the_way() {
        let key = |table: &str, name: &str| ReferencingKey {
            referencing: QualifiedName::new("public", table),
            name: name.into(),
            around: Some(Default::default()),
            validated: true,
            comment: None,
        };
        let keys = vec![key("a", "first"), key("b", "other"), key("a", "second")];
        let belongings = Belongings { referencing_keys: keys, ..super::super::tests::bare() };
        let found = second_keys(&belongings);
        assert_eq!(found.iter().map(|found| found.object.as_str()).collect::<Vec<_>>(), ["second on public.a"]);
    }
}

//! What acts on rows or looks at them: triggers, policies, foreign keys, publications, statistics.

use super::super::attachments::{add, add_scope};
use super::super::obstacles::{is_at_least, second_keys, trigger_states};
use super::super::{Belonging, statistics};
use super::Carrier;
use crate::catalog::ObjectName;
use crate::catalog::belongings::{
    ForeignKey, Policy, Publication, PublicationScope, ReferencingKey, Statistics, Trigger,
};
use crate::ident::{QualifiedName, display_ident};
use crate::plan::losses::{is_known, unknown};
use crate::plan::retarget::follow_name;

const UNREADABLE: &str = "its definition cannot be read";

impl Carrier<'_> {
    /// What of these the target lacks, in words.
    fn unmet(&self, needs: &[ObjectName]) -> Option<String> {
        let footing = self.place.footing;
        let missing = needs.iter().find(|need| footing.missing.contains(need));
        let forbidden = needs.iter().find(|need| footing.forbidden.contains(need));
        missing.map(|need| format!("{} {} is missing on the target", need.kind, need.identity)).or_else(|| {
            forbidden.map(|need| format!("the role, or the owner, may not use {} {}", need.kind, need.identity))
        })
    }

    pub(super) fn triggers(&mut self) -> Vec<Trigger> {
        let old = &self.source.belongings;
        let states = trigger_states(old, self.place.server);
        let mut wanted = Vec::new();
        for trigger in &old.triggers {
            let name = display_ident(&trigger.name);
            let state = states.iter().find(|state| state.object == name).map(|state| state.reason.clone());
            let unreadable = trigger.around.is_none().then(|| UNREADABLE.to_string());
            match unreadable.or_else(|| self.unmet(&trigger.needs)).or(state) {
                None => wanted.push(trigger.clone()),
                Some(reason) => self.lose("trigger", name, reason, trigger.put_on(&self.place.names.table)),
            }
        }
        wanted
    }

    pub(super) fn policies(&mut self) -> Vec<Policy> {
        let mut wanted = Vec::new();
        for old in &self.source.belongings.policies {
            let policy = self.policy_for(old);
            let sql = policy.put_on(&self.place.names.table);
            let name = display_ident(&old.name);
            let (here, gone): (Vec<_>, Vec<_>) =
                policy.roles.iter().cloned().partition(|role| role.as_ref().is_none_or(|role| self.is_there(role)));
            if let Some(reason) = self.unmet(&old.needs).or_else(|| self.mistakes(old)) {
                self.lose("policy", name, reason, sql);
                continue;
            }
            if let Some(Some(role)) = gone.first() {
                self.lose("policy", name, format!("there is no role {} on the target", display_ident(role)), sql);
            }
            if !here.is_empty() {
                wanted.push(Policy { roles: here, ..policy });
            }
        }
        wanted
    }

    /// The policy for the new table, whose rows it reads where it has read the old one's.
    fn policy_for(&self, old: &Policy) -> Policy {
        let (from, to) = (self.source.name(), &self.place.names.table);
        let moved = |expression: &String| follow_name(expression, from, to).unwrap_or_else(|| expression.clone());
        let role = |role: &String| self.in_place_of(role);
        Policy {
            using: old.using.as_ref().map(moved),
            check: old.check.as_ref().map(moved),
            roles: old.roles.iter().map(|name| name.as_ref().map(role)).collect(),
            ..old.clone()
        }
    }

    /// Why the policy would mean something else under the new table's name.
    fn mistakes(&self, policy: &Policy) -> Option<String> {
        let (from, to) = (self.source.name(), &self.place.names.table);
        let is_mistaken = |expression: &String| follow_name(expression, from, to).is_none();
        let mistakes = policy.using.iter().chain(&policy.check).any(is_mistaken);
        mistakes.then(|| format!("a query in its expression calls something else {}", display_ident(&to.name)))
    }

    pub(super) fn foreign_keys(&mut self) -> Vec<ForeignKey> {
        let mut wanted = Vec::new();
        for key in &self.source.belongings.foreign_keys {
            let of_version = (!is_known(&key.definition, self.place.server)).then(|| unknown(self.place.server));
            let obstacle = self.place.footing.foreign_keys.iter().find(|obstacle| obstacle.object == key.name);
            match of_version.or_else(|| obstacle.map(|obstacle| obstacle.reason.clone())) {
                None => wanted.push(key.clone()),
                Some(reason) => {
                    let sql = key.put_on(&self.place.names.table);
                    self.lose("foreign key", display_ident(&key.name), reason, sql);
                }
            }
        }
        wanted
    }

    pub(super) fn referencing_keys(&mut self) -> Vec<ReferencingKey> {
        let old = &self.source.belongings;
        let later = second_keys(old);
        let mut wanted = Vec::new();
        for key in &old.referencing_keys {
            let object = format!("{} on {}", display_ident(&key.name), key.referencing);
            let later = later.iter().find(|later| later.object == object).map(|later| later.reason.clone());
            match self.why_not_referencing(key).or(later) {
                None => wanted.push(key.clone()),
                Some(reason) => {
                    let sql = key.put_on(&self.place.names.table);
                    self.lose("foreign key to this table", object, reason, sql);
                }
            }
        }
        wanted
    }

    fn why_not_referencing(&self, key: &ReferencingKey) -> Option<String> {
        if key.around.is_none() {
            return Some(UNREADABLE.to_string());
        }
        if self.place.beside_the_old {
            return Some("it refers to the old table, which stays".to_string());
        }
        if !is_at_least(self.place.server, (2, 16)) {
            return Some("before 2.16 TimescaleDB has no foreign keys to hypertables".to_string());
        }
        let QualifiedName { schema, name } = &key.referencing;
        let object = format!("{schema}.{name}.{}", key.name);
        let found = self.place.footing.referencing_keys.iter().find(|obstacle| obstacle.object == object);
        found.map(|obstacle| obstacle.reason.clone())
    }

    pub(super) fn publications(&mut self) -> Vec<Publication> {
        let mut wanted = Vec::new();
        for old in &self.source.belongings.publications {
            let here = self.place.footing.publications.iter().find(|here| here.name == old.name);
            let reason = match here {
                // It publishes the table already.
                Some(here) if here.all_tables => continue,
                _ if old.scope == Some(PublicationScope::AllTables) => {
                    "it publishes all tables, and not so on the target"
                }
                _ if old.scope.is_some() => {
                    "it publishes the tables of the schema; whether it does so on the target is not asked"
                }
                _ if !old.table => "it names chunks of the table and not the table itself",
                _ if self.place.beside_the_old => "its subscribers know the old table, which stays in it",
                None => "there is no such publication on the target",
                Some(here) if !here.may_change => "it belongs to another role on the target",
                Some(_) => {
                    wanted.push(old.clone());
                    continue;
                }
            };
            let sql = match old.scope {
                None => add(old, &self.place.names.table, !old.chunks),
                Some(scope) => add_scope(old, scope, &self.place.names.table),
            };
            self.lose("publication", display_ident(&old.name), reason, vec![sql]);
        }
        wanted
    }

    pub(super) fn statistics(&mut self) -> Vec<Statistics> {
        let mut wanted: Vec<Statistics> = Vec::new();
        for old in &self.source.belongings.statistics {
            let name = self.statistics_name(&old.name, &wanted);
            let owner = self.in_place_of(&old.owner);
            let may_own = owner == self.place.owner || self.role(&owner).is_some_and(|role| role.may_act);
            let new = Statistics { name, owner, ..old.clone() };
            let unreadable = old.body.is_none().then(|| UNREADABLE.to_string());
            if let Some(reason) = unreadable.or_else(|| self.unmet(&self.beside_the_schema(old))) {
                self.lose(
                    "extended statistics",
                    old.name.to_string(),
                    reason,
                    statistics::create_named(&new, self.table()),
                );
                continue;
            }
            if !may_own {
                let reason = format!("they will belong to {}", display_ident(self.place.owner));
                let sql = vec![statistics::set_owner(&new.name, &new)];
                self.lose("owner of extended statistics", old.name.to_string(), reason, sql);
            }
            let owner = if may_own { new.owner.clone() } else { self.place.owner.to_string() };
            wanted.push(Statistics { owner, ..new });
        }
        wanted
    }

    /// In the new table's schema where it was in the old one's.
    fn statistics_name(&self, old: &QualifiedName, given: &[Statistics]) -> QualifiedName {
        let schema = if old.schema == self.source.name().schema { &self.table().schema } else { &old.schema };
        let is_used = |name: &str| {
            let name = QualifiedName::new(schema, name);
            self.place.footing.statistics.contains(&name) || given.iter().any(|given| given.name == name)
        };
        QualifiedName::new(schema, self.place.names.free(&old.name, is_used))
    }

    /// What statistics need; the schema of the table is there, or comes with it.
    fn beside_the_schema(&self, old: &Statistics) -> Vec<ObjectName> {
        let is_tables = |need: &&ObjectName| need.kind == "schema" && old.name.schema == self.source.name().schema;
        old.needs.iter().filter(|need| !is_tables(need)).cloned().collect()
    }
}

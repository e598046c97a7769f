//! What a table uses and the target lacks: what is made of it, in which order, and what is only named.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Statement;
use super::ddl::{
    alter_column, column_definition, create_sequence, create_table_of, identity_sequence, own_sequence,
    sequence_options,
};
use super::retarget::tokens;
use super::trappings::{Bare, Passage};
use super::types::{create_type, is_same_type};
use crate::catalog::prerequisites::{Inventory, Making, ObjectName, Part, PlainTable, Prerequisite, Prerequisites};
use crate::catalog::{Hypertable, NotCarried, Trappings, Type, TypeKind};
use crate::ident::{QualifiedName, display_ident, quote_ident};

/// What is asked, and of whom.
#[derive(Clone, Copy)]
pub struct Demand<'a> {
    /// The table that shall be made.
    pub source: &'a Hypertable,
    /// Its name on the target.
    pub table: &'a QualifiedName,
    /// What the target has.
    pub inventory: &'a Inventory,
    /// Which way things go.
    pub passage: Passage<'a>,
    /// Whether everything is made that can be. Otherwise only what is the table's own is: its columns' enums, domains and
    /// composites, and what answers "now" for its integer dimension.
    pub with_dependencies: bool,
}

/// The answer.
#[derive(Debug, Default)]
pub struct Provision {
    /// What is made before the table, what is used before what uses it.
    pub before: Vec<Statement>,
    /// What uses the table, and is made right behind it.
    pub behind: Vec<Statement>,
    /// Owners, privileges and comments of all that, when it is there.
    pub trappings: Vec<Statement>,
    /// The schemas of what is made, but for extensions.
    pub schemas: Vec<String>,
    /// The schemas of extensions, in which a role may make one without any right to make something else.
    pub extension_schemas: Vec<String>,
    /// What is made.
    pub made: Vec<ObjectName>,
    /// Tables among it, which are made without rows.
    pub empty_tables: Vec<QualifiedName>,
    /// What is missing and is not made.
    pub lacking: Vec<Lacking>,
    /// In what things that are made or were there are not those of the source.
    pub losses: Vec<NotCarried>,
}

/// Something that is missing on the target and is not made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lacking {
    /// What it is.
    #[serde(flatten)]
    pub object: ObjectName,
    /// The version that the source has, of an extension.
    pub version: Option<String>,
    /// What of the hypertable uses it, directly or not.
    pub parts: Vec<Part>,
    /// What would make it.
    pub statements: Vec<Statement>,
    /// Why nobody makes it, where that is not for want of being asked.
    pub reason: Option<String>,
}

impl Lacking {
    /// Whether the table cannot be made without it.
    pub fn is_essential(&self) -> bool {
        self.parts.contains(&Part::Table)
    }
}

/// What becomes of one of them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    There,
    Made,
    Lacking,
}

/// Decides what is made.
pub fn provide(demand: &Demand<'_>) -> Provision {
    let objects = &demand.source.prerequisites.objects;
    let Order { places, circular } = order(objects);
    let parts = parts(objects);
    let mut decision =
        Decision { demand, fates: vec![Fate::Lacking; objects.len()], behind: vec![false; objects.len()] };
    let mut provision = Provision::default();
    for place in places {
        let object = &objects[place];
        let obstacle = decision.take(place);
        match decision.fates[place] {
            Fate::There => provision.losses.extend(demand.other_definition(object)),
            Fate::Made => decision.make(place, &mut provision),
            Fate::Lacking => provision.lacking.push(demand.lacking(object, &parts[place], obstacle)),
        }
    }
    for place in circular {
        let reason = "it and what it uses need each other".to_string();
        provision.lacking.push(demand.lacking(&objects[place], &parts[place], Some(reason)));
    }
    provision
}

/// What has been decided of those that others use.
struct Decision<'a> {
    demand: &'a Demand<'a>,
    fates: Vec<Fate>,
    /// Which are made behind the table.
    behind: Vec<bool>,
}

impl Decision<'_> {
    /// Decides about one whose needs are decided; answers why it is not made, where that is not for want of being asked.
    fn take(&mut self, place: usize) -> Option<String> {
        let object = &self.demand.source.prerequisites.objects[place];
        self.behind[place] = self.demand.uses_table(object) || object.needs.iter().any(|need| self.behind[*need]);
        if self.demand.is_there(object) {
            self.fates[place] = Fate::There;
            return None;
        }
        let obstacle = self.obstacle(place, object);
        let is_made = obstacle.is_none() && (self.demand.with_dependencies || self.demand.is_own(object));
        self.fates[place] = if is_made { Fate::Made } else { Fate::Lacking };
        obstacle
    }

    fn obstacle(&self, place: usize, object: &Prerequisite) -> Option<String> {
        let source = self.demand.source;
        let lacking = object.needs.iter().find(|need| self.fates[**need] == Fate::Lacking);
        if let Some(reason) = self.demand.cannot_be_made(object) {
            return Some(reason);
        }
        if let Some(need) = lacking.filter(|_| self.demand.with_dependencies || self.demand.is_own(object)) {
            return Some(format!("it uses {}", source.prerequisites.objects[*need].object));
        }
        if self.behind[place] && self.demand.table != source.name() {
            return Some(format!("it uses {}, which is called {} here", source.name(), self.demand.table));
        }
        None
    }

    fn make(&self, place: usize, provision: &mut Provision) {
        let object = &self.demand.source.prerequisites.objects[place];
        let statements = if self.behind[place] { &mut provision.behind } else { &mut provision.before };
        statements.extend(self.demand.statements(object));
        if let Some((bare, trappings)) = self.demand.bare(object) {
            let mut dressed = self.demand.passage.dress(&bare, trappings);
            // Nobody may call it while it is another one's.
            statements.extend(dressed.owner.take_if(|_| object.as_owner));
            provision.losses.append(&mut dressed.losses);
            provision.trappings.extend(dressed.statements());
        }
        if let Making::Table(table) = &object.making {
            let made = table.sequences.iter().filter(|sequence| self.makes_sequence(&sequence.name));
            statements.extend(made.filter_map(|sequence| own_sequence(sequence, &table.name)));
            provision.empty_tables.push(table.name.clone());
        }
        let schemas = match &object.making {
            Making::Extension { .. } => &mut provision.extension_schemas,
            _ => &mut provision.schemas,
        };
        schemas.extend(object.schema.clone());
        provision.made.push(object.object.clone());
        if !object.left_out.is_empty() {
            let left_out = object.left_out.join(", ");
            let loss = format!("{}: it is made without its {left_out}", object.object.identity);
            provision.losses.push(NotCarried::new(&object.object.kind, loss));
        }
    }

    fn makes_sequence(&self, name: &QualifiedName) -> bool {
        let is_it = |making: &Making| matches!(making, Making::Sequence(sequence) if sequence.name == *name);
        let objects = self.demand.source.prerequisites.objects.iter().zip(&self.fates);
        objects.into_iter().any(|(object, fate)| *fate == Fate::Made && is_it(&object.making))
    }
}

impl Demand<'_> {
    fn is_there(&self, object: &Prerequisite) -> bool {
        self.present(object).is_some() || self.comes_with_the_table(object)
    }

    /// The same object on the target; an extension's objects are where they are used, or it is another one.
    fn present(&self, object: &Prerequisite) -> Option<&Prerequisite> {
        let is_it = |present: &&Prerequisite| present.object == object.object && present.schema == object.schema;
        self.inventory.present.iter().find(is_it)
    }

    /// Whether it uses the hypertable. What answers "now" usually does, in a body that no dependency tells of.
    fn uses_table(&self, object: &Prerequisite) -> bool {
        let name = &self.source.name().name;
        // The quotes of a body, `$function$`, may stand beside a name.
        let is_plain = |token: &&str| token.split('$').any(|word| word.eq_ignore_ascii_case(name));
        let is_it = |token: &&str| is_plain(token) || **token == quote_ident(name);
        let names_it = matches!(&object.making, Making::Statement(text) if tokens(text).iter().any(is_it));
        object.needs_table || (names_it && object.parts.contains(&Part::IntegerNow))
    }

    fn comes_with_the_table(&self, object: &Prerequisite) -> bool {
        let Making::Sequence(wanted) = &object.making else { return false };
        self.source.sequences.iter().any(|sequence| sequence.name == wanted.name)
    }

    /// What is made without being asked for.
    fn is_own(&self, object: &Prerequisite) -> bool {
        if object.parts.contains(&Part::IntegerNow) {
            return true;
        }
        let Making::Type(name) = &object.making else { return false };
        let is_plain = |kind| matches!(kind, TypeKind::Enum | TypeKind::Composite | TypeKind::Domain);
        self.source.types.iter().any(|found| found.name == *name && is_plain(found.kind))
    }

    /// The object as it is when it was made, and what it shall have then.
    fn bare<'a>(&self, object: &'a Prerequisite) -> Option<(Bare, &'a Trappings)> {
        Bare::of(&object.object, object.schema.as_deref().unwrap_or_default()).zip(object.trappings.as_ref())
    }

    /// In the hands of somebody else, who may be a superuser, what runs with the rights of its owner is something else.
    fn cannot_keep_owner(&self, object: &Prerequisite) -> Option<String> {
        let (bare, trappings) = self.bare(object).filter(|_| object.as_owner)?;
        let owner = &trappings.owner;
        (!self.passage.may_belong_to(&bare, owner)).then(|| {
            let (owner, role) = (display_ident(owner), display_ident(&self.passage.to.role));
            format!("it runs with the rights of its owner, {owner}, to whom {role} cannot give it")
        })
    }

    fn cannot_be_made(&self, object: &Prerequisite) -> Option<String> {
        if object.of_superusers && !self.inventory.superuser {
            return Some("only a superuser can make it".into());
        }
        if let Some(reason) = self.cannot_keep_owner(object) {
            return Some(reason);
        }
        match &object.making {
            Making::Nothing { reason, .. } => Some(reason.clone()),
            Making::Type(_) if self.statements(object).is_empty() => Some("its definition does not make it".into()),
            Making::Extension { name, .. } => self.extension_obstacle(object, name),
            _ => None,
        }
    }

    fn extension_obstacle(&self, object: &Prerequisite, name: &str) -> Option<String> {
        let elsewhere = self.inventory.present.iter().find(|present| present.object == object.object);
        if let Some(elsewhere) = elsewhere {
            let schema = |object: &Prerequisite| object.schema.clone().unwrap_or_default();
            return Some(format!("it is there in schema {}, and here in {}", schema(elsewhere), schema(object)));
        }
        match self.inventory.extensions.iter().find(|available| available.name == name) {
            None => Some("the target's server has no files of it".into()),
            Some(available) if !available.may_create => Some("the role may not make it".into()),
            Some(_) => None,
        }
    }

    fn other_definition(&self, object: &Prerequisite) -> Option<NotCarried> {
        let present = self.present(object)?;
        let is_same = match (&object.making, &present.making) {
            (Making::Type(wanted), Making::Type(found)) => {
                let found = self.inventory.types.iter().find(|candidate| candidate.name == *found);
                self.type_of(wanted).zip(found).is_none_or(|(wanted, found)| is_same_type(wanted, found))
            }
            (wanted, found) => wanted.is_same(found),
        };
        let what = format!("{} exists on the target with another definition", object.object.identity);
        (!is_same).then(|| NotCarried::new(&object.object.kind, what))
    }

    fn type_of(&self, name: &QualifiedName) -> Option<&Type> {
        let Prerequisites { types, .. } = &self.source.prerequisites;
        self.source.types.iter().chain(types).find(|found| found.name == *name)
    }

    /// What makes it.
    fn statements(&self, object: &Prerequisite) -> Vec<Statement> {
        let title = format!("create {}", object.object);
        match &object.making {
            Making::Statement(sql) | Making::Extension { statement: sql, .. } => vec![Statement::new(title, sql)],
            Making::Statements(all) | Making::Nothing { statements: all, .. } => {
                all.iter().map(|sql| Statement::new(&title, sql)).collect()
            }
            Making::Type(name) => self.type_of(name).and_then(create_type).into_iter().collect(),
            Making::Sequence(sequence) => vec![create_sequence(sequence)],
            Making::Table(table) => plain_table(table),
        }
    }

    fn lacking(&self, object: &Prerequisite, parts: &BTreeSet<Part>, reason: Option<String>) -> Lacking {
        let version = match &object.making {
            Making::Extension { version, .. } => Some(version.clone()),
            _ => None,
        };
        Lacking {
            object: object.object.clone(),
            version,
            parts: parts.iter().cloned().collect(),
            statements: self.statements(object),
            reason,
        }
    }
}

fn plain_table(table: &PlainTable) -> Vec<Statement> {
    let PlainTable { name, columns, constraints, sequences } = table;
    let identity = |column| identity_sequence(column, sequences).map(sequence_options);
    let elements = columns.iter().map(|column| column_definition(column, identity(column), None));
    let constraints = constraints.iter().map(|c| format!("constraint {} {}", quote_ident(&c.name), c.definition));
    let mut statements = vec![create_table_of(name, elements.chain(constraints).collect())];
    statements.extend(columns.iter().flat_map(|column| alter_column(column, name)));
    statements
}

/// In which order objects can be made.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Places in the list, each behind those that it uses; of several that could be next, the first one.
    pub places: Vec<usize>,
    /// Those that use each other, and those that use one of them.
    pub circular: Vec<usize>,
}

/// Orders objects by what they use.
pub fn order(objects: &[Prerequisite]) -> Order {
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); objects.len()];
    let mut open: Vec<usize> = objects.iter().map(|object| object.needs.len()).collect();
    for (place, object) in objects.iter().enumerate() {
        object.needs.iter().for_each(|need| users[*need].push(place));
    }
    let mut ready: BTreeSet<usize> = (0..objects.len()).filter(|place| open[*place] == 0).collect();
    let mut places = Vec::with_capacity(objects.len());
    while let Some(place) = ready.pop_first() {
        places.push(place);
        for user in &users[place] {
            open[*user] -= 1;
            if open[*user] == 0 {
                ready.insert(*user);
            }
        }
    }
    Order { places, circular: (0..objects.len()).filter(|place| open[*place] > 0).collect() }
}

/// What of the hypertable uses each object, directly or through others.
fn parts(objects: &[Prerequisite]) -> Vec<BTreeSet<Part>> {
    let mut parts: Vec<BTreeSet<Part>> = objects.iter().map(|object| object.parts.iter().cloned().collect()).collect();
    let mut changed: Vec<usize> = (0..objects.len()).collect();
    while let Some(place) = changed.pop() {
        let users = parts[place].clone();
        for need in &objects[place].needs {
            let before = parts[*need].len();
            parts[*need].extend(users.iter().cloned());
            if parts[*need].len() > before {
                changed.push(*need);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, needs: &[usize]) -> Prerequisite {
        Prerequisite {
            object: ObjectName { kind: "function".into(), identity: name.into() },
            schema: Some("app".into()),
            making: Making::Statement(format!("create function {name}")),
            of_superusers: false,
            as_owner: false,
            trappings: None,
            left_out: Vec::new(),
            parts: Vec::new(),
            needs: needs.to_vec(),
            needs_table: false,
        }
    }

    #[test]
    fn what_is_used_comes_before_what_uses_it() {
        let objects = [object("a", &[2, 3]), object("b", &[]), object("c", &[3]), object("d", &[1])];
        assert_eq!(order(&objects), Order { places: vec![1, 3, 2, 0], circular: vec![] });
        assert_eq!(order(&[object("a", &[]), object("b", &[]), object("c", &[])]).places, [0, 1, 2]);
    }

    #[test]
    fn what_uses_itself_in_a_circle_is_set_apart_with_what_uses_it() {
        let objects = [object("a", &[1]), object("b", &[0]), object("c", &[0]), object("d", &[])];
        assert_eq!(order(&objects), Order { places: vec![3], circular: vec![0, 1, 2] });
        assert_eq!(order(&[object("a", &[0])]).circular, [0]);
    }

    #[test]
    fn a_long_chain_is_ordered_without_recursion() {
        let objects: Vec<Prerequisite> =
            (0..100_000).map(|place| object("f", if place < 99_999 { &[0][..] } else { &[] })).collect();
        let chained = objects.into_iter().enumerate().map(|(place, object)| {
            let needs = object.needs.iter().map(|_| place + 1).collect();
            Prerequisite { needs, ..object }
        });
        let chained: Vec<Prerequisite> = chained.collect();
        let found = order(&chained);
        assert!(found.circular.is_empty() && found.places.iter().rev().copied().eq(0..100_000));
    }

    #[test]
    fn parts_are_passed_on_to_what_is_used() {
        let mut objects = vec![object("a", &[1]), object("b", &[2]), object("c", &[1]), object("d", &[2])];
        objects[0].parts = vec![Part::Table];
        objects[3].parts = vec![Part::Trigger("t".into())];
        let found = parts(&objects);
        assert_eq!(found[2], BTreeSet::from([Part::Table, Part::Trigger("t".into())]));
        assert_eq!(found[1], found[2]);
        assert_eq!(found[3], BTreeSet::from([Part::Trigger("t".into())]));
    }
}

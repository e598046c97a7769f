//! The questions about what a table uses, and what a server has of that.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::json;

use super::{columns, constraints, sequence, sequences, types};
use crate::catalog::prerequisites::{
    AvailableExtension, Inventory, Making, ObjectName, Part, PlainTable, Prerequisite, Prerequisites,
};
use crate::catalog::{Sequence, Type};
use crate::connect::Session;
use crate::error::Result;
use crate::ident::QualifiedName;

/// A row of a catalog: the oid of the catalog, and its own.
type Address = (u32, u32);

/// An object, and where it is.
#[derive(Clone, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Located {
    #[serde(flatten)]
    object: ObjectName,
    class: u32,
    oid: u32,
    schema: Option<String>,
}

impl Located {
    fn address(&self) -> Address {
        (self.class, self.oid)
    }
}

/// That one object uses another.
#[derive(Deserialize)]
struct Need {
    user_class: u32,
    user_oid: u32,
    part: String,
    part_name: String,
    #[serde(flatten)]
    used: Located,
}

impl Need {
    fn user(&self) -> Address {
        (self.user_class, self.user_oid)
    }

    fn part(&self) -> Part {
        let name = self.part_name.clone();
        match self.part.as_str() {
            "trigger" => Part::Trigger(name),
            "policy" => Part::Policy(name),
            "foreign key" => Part::ForeignKey(name),
            "statistics" => Part::Statistics(name),
            _ => Part::Table,
        }
    }
}

/// What the hypertable with this oid uses, directly or not; `column_types` are those of its columns with their parts.
pub async fn prerequisites(session: &Session, oid: u32, column_types: &[Type]) -> Result<Prerequisites> {
    let class: u32 = session.row("select 'pg_catalog.pg_class'::regclass::oid", &[]).await?.get(0);
    let root = (class, oid);
    let needs = needs(session, root).await?;
    let used: BTreeSet<Located> =
        needs.iter().map(|need| &need.used).filter(|used| used.address() != root).cloned().collect();
    let used: Vec<Located> = used.into_iter().collect();
    let (objects, found_types) = describe(session, &used).await?;
    let by_address = |address: Address| used.iter().position(|used| used.address() == address);
    let link = |(place, object): (usize, Prerequisite)| {
        let address = used[place].address();
        let own = || needs.iter().filter(move |need| need.user() == address);
        let direct = needs.iter().filter(|need| need.user() == root && need.used.address() == address);
        let parts: BTreeSet<Part> = direct.map(Need::part).collect();
        let uses: BTreeSet<usize> = own().filter_map(|need| by_address(need.used.address())).collect();
        Prerequisite {
            parts: parts.into_iter().collect(),
            needs: uses.into_iter().filter(|used| *used != place).collect(),
            needs_table: own().any(|need| need.used.address() == root),
            ..object
        }
    };
    let objects = objects.into_iter().enumerate().map(link).collect();
    let is_new = |found: &Type| !column_types.iter().any(|known| known.name == found.name);
    Ok(Prerequisites { objects, types: found_types.into_iter().filter(is_new).collect() })
}

/// Who uses whom, from the root on.
async fn needs(session: &Session, root: Address) -> Result<Vec<Need>> {
    let mut found: Vec<Need> = Vec::new();
    let mut known = BTreeSet::from([root]);
    let mut level = vec![root];
    while !level.is_empty() {
        let next: Vec<Need> =
            session.records(include_str!("../sql/prerequisites/needs.sql"), &[&json_of(&level), &root.1]).await?;
        level = next.iter().map(|need| need.used.address()).filter(|address| known.insert(*address)).collect();
        found.extend(next);
    }
    Ok(found)
}

fn json_of(addresses: &[Address]) -> String {
    json!(addresses.iter().map(|(class, oid)| json!({"class": class, "oid": oid})).collect::<Vec<_>>()).to_string()
}

/// Which of the given objects the server lacks.
pub async fn missing_objects(session: &Session, objects: &[ObjectName]) -> Result<Vec<ObjectName>> {
    let found = locate(session, objects).await?;
    let is_missing = |object: &&ObjectName| !found.iter().any(|found| found.object == **object);
    Ok(objects.iter().filter(is_missing).cloned().collect())
}

async fn locate(session: &Session, objects: &[ObjectName]) -> Result<Vec<Located>> {
    session.records(include_str!("../sql/prerequisites/found.sql"), &[&json!(objects).to_string()]).await
}

/// What the server has of these objects.
pub async fn inventory(session: &Session, prerequisites: &Prerequisites) -> Result<Inventory> {
    let wanted: Vec<ObjectName> = prerequisites.objects.iter().map(|wanted| wanted.object.clone()).collect();
    if wanted.is_empty() {
        return Ok(Inventory::default());
    }
    let found = locate(session, &wanted).await?;
    let (present, types) = describe(session, &found).await?;
    let names: Vec<String> = prerequisites.extensions().into_iter().map(|extension| extension.name).collect();
    let extensions: Vec<AvailableExtension> =
        session.records(include_str!("../sql/prerequisites/extensions.sql"), &[&names]).await?;
    Ok(Inventory { present, types, extensions })
}

/// What it takes to make an object, as far as one statement answers it.
#[derive(Deserialize)]
struct Described {
    class: u32,
    oid: u32,
    name: Option<String>,
    version: Option<String>,
    statement: Option<String>,
    obstacle: Option<String>,
    left_out: Vec<String>,
}

/// The objects in their order, each without what it uses; and the types among them, with their parts.
async fn describe(session: &Session, objects: &[Located]) -> Result<(Vec<Prerequisite>, Vec<Type>)> {
    if objects.is_empty() {
        return Ok(Default::default());
    }
    let addresses: Vec<Address> = objects.iter().map(Located::address).collect();
    let described: Vec<Described> =
        session.records(include_str!("../sql/prerequisites/objects.sql"), &[&json_of(&addresses)]).await?;
    let mut described: BTreeMap<Address, Described> =
        described.into_iter().map(|described| ((described.class, described.oid), described)).collect();
    let is_type = |located: &&Located| located.object.kind == "type";
    let type_oids: Vec<u32> = objects.iter().filter(is_type).map(|located| located.oid).collect();
    let types = types(session, &type_oids).await?;
    let mut found = Vec::new();
    for located in objects {
        let described = described.remove(&located.address());
        let left_out = described.iter().flat_map(|described| described.left_out.clone()).collect();
        let making = match described {
            Some(described) => making(session, located, described, &types).await?,
            None => None,
        };
        found.push(Prerequisite {
            object: located.object.clone(),
            schema: located.schema.clone(),
            making: making
                .unwrap_or_else(|| Making::Nothing { reason: "it was dropped meanwhile".into(), statement: None }),
            left_out,
            parts: Vec::new(),
            needs: Vec::new(),
            needs_table: false,
        });
    }
    Ok((found, types))
}

/// How an object is made; none where it is gone.
async fn making(session: &Session, located: &Located, described: Described, types: &[Type]) -> Result<Option<Making>> {
    let Described { name, version, statement, obstacle, .. } = described;
    if let Some(reason) = obstacle {
        return Ok(Some(Making::Nothing { reason, statement }));
    }
    let name = QualifiedName::new(located.schema.clone().unwrap_or_default(), name.unwrap_or_default());
    Ok(match (located.object.kind.as_str(), statement) {
        ("extension", Some(statement)) => {
            Some(Making::Extension { name: name.name, version: version.unwrap_or_default(), statement })
        }
        (_, Some(statement)) => Some(Making::Statement(statement)),
        ("type", None) => {
            types.iter().find(|found| found.oid == located.oid).map(|found| Making::Type(found.name.clone()))
        }
        ("sequence", None) => sequence(session, &name).await?.map(|found| Making::Sequence(Box::new(found))),
        _ => Some(Making::Table(Box::new(plain_table(session, located.oid, name).await?))),
    })
}

async fn plain_table(session: &Session, oid: u32, name: QualifiedName) -> Result<PlainTable> {
    let (columns, constraints) = (columns(session, oid).await?, constraints(session, oid).await?);
    let mut sequences: Vec<Sequence> = sequences(session, oid).await?;
    // Without rows none of their values is taken.
    sequences.iter_mut().for_each(|sequence| sequence.last_value = None);
    Ok(PlainTable { name, columns, constraints, sequences })
}

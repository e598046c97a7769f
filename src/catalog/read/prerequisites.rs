//! The questions about what a table uses, and what a server has of that.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::json;

use super::trappings::{Address, schemas, trappings};
use super::{columns, constraints, sequence, sequences, types};
use crate::catalog::prerequisites::{
    AvailableExtension, Inventory, Making, ObjectName, Part, PlainTable, Prerequisite, Prerequisites,
};
use crate::catalog::{Sequence, Type};
use crate::connect::Session;
use crate::error::Result;
use crate::ident::QualifiedName;

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
            "integer now" => Part::IntegerNow,
            _ => Part::Table,
        }
    }
}

/// What the hypertable with this oid uses, directly or not; `column_types` are those of its columns with their parts, and
/// `others` are schemas that something of it is in beside that.
pub async fn prerequisites(
    session: &Session,
    oid: u32,
    column_types: &[Type],
    others: &[&str],
) -> Result<Prerequisites> {
    let class: u32 = session.row("select 'pg_catalog.pg_class'::regclass::oid", &[]).await?.get(0);
    let root = (class, oid);
    let needs = needs(session, root).await?;
    let used: BTreeSet<Located> =
        needs.iter().map(|need| &need.used).filter(|used| used.address() != root).cloned().collect();
    let used: Vec<Located> = used.into_iter().collect();
    let (mut objects, found_types) = describe(session, &used).await?;
    for (object, located) in objects.iter_mut().zip(&used) {
        object.trappings = trappings(session, located.address()).await?;
    }
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
    let objects: Vec<Prerequisite> = objects.into_iter().enumerate().map(link).collect();
    let is_new = |found: &Type| !column_types.iter().any(|known| known.name == found.name);
    let names = objects.iter().filter_map(|object| object.schema.as_deref()).chain(others.iter().copied()).collect();
    let schemas = schemas(session, &names).await?;
    Ok(Prerequisites { objects, types: found_types.into_iter().filter(is_new).collect(), schemas })
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
    let superuser = session.row("select current_setting('is_superuser') = 'on'", &[]).await?.get(0);
    Ok(Inventory { present, types, extensions, superuser })
}

/// What it takes to make an object, as far as one statement answers it.
#[derive(Deserialize)]
struct Described {
    class: u32,
    oid: u32,
    name: Option<String>,
    version: Option<String>,
    statements: Option<Vec<String>>,
    obstacle: Option<String>,
    left_out: Option<Vec<String>>,
    of_superusers: bool,
    as_owner: bool,
}

/// The objects in their order, each without what it uses; and the types among them, with their parts.
async fn describe(session: &Session, objects: &[Located]) -> Result<(Vec<Prerequisite>, Vec<Type>)> {
    if objects.is_empty() {
        return Ok(Default::default());
    }
    let addresses: Vec<Address> = objects.iter().map(Located::address).collect();
    let described: Vec<Described> = session.records(&sql_of_objects(), &[&json_of(&addresses)]).await?;
    let mut described: BTreeMap<Address, Described> =
        described.into_iter().map(|described| ((described.class, described.oid), described)).collect();
    let is_type = |located: &&Located| located.object.kind == "type";
    let type_oids: Vec<u32> = objects.iter().filter(is_type).map(|located| located.oid).collect();
    let types = types(session, &type_oids).await?;
    let mut found = Vec::new();
    for located in objects {
        let described = described.remove(&located.address()).unwrap_or_else(|| Described::gone(located));
        found.push(Prerequisite {
            object: located.object.clone(),
            schema: located.schema.clone(),
            of_superusers: described.of_superusers,
            as_owner: described.as_owner,
            left_out: described.left_out.clone().unwrap_or_default(),
            making: making(session, located, described, &types).await?,
            trappings: None,
            parts: Vec::new(),
            needs: Vec::new(),
            needs_table: false,
        });
    }
    Ok((found, types))
}

impl Described {
    fn gone(located: &Located) -> Described {
        Described {
            class: located.class,
            oid: located.oid,
            name: None,
            version: None,
            statements: None,
            obstacle: Some(GONE.to_string()),
            left_out: None,
            of_superusers: false,
            as_owner: false,
        }
    }
}

const GONE: &str = "it was dropped meanwhile";

/// How an object is made.
async fn making(session: &Session, located: &Located, described: Described, types: &[Type]) -> Result<Making> {
    let Described { name, version, statements, obstacle, .. } = described;
    let mut statements = statements.unwrap_or_default();
    if let Some(reason) = obstacle {
        return Ok(Making::Nothing { reason, statements });
    }
    let name = QualifiedName::new(located.schema.clone().unwrap_or_default(), name.unwrap_or_default());
    let made = match (located.object.kind.as_str(), statements.len()) {
        ("extension", 1) => {
            let version = version.unwrap_or_default();
            Some(Making::Extension { name: name.name, version, statement: statements.remove(0) })
        }
        ("type", 0) => {
            types.iter().find(|found| found.oid == located.oid).map(|found| Making::Type(found.name.clone()))
        }
        ("sequence", 0) => sequence(session, &name).await?.map(|found| Making::Sequence(Box::new(found))),
        (_, 0) => Some(Making::Table(Box::new(plain_table(session, located.oid, name).await?))),
        (_, 1) => Some(Making::Statement(statements.remove(0))),
        _ => Some(Making::Statements(statements)),
    };
    Ok(made.unwrap_or_else(|| Making::Nothing { reason: GONE.to_string(), statements: Vec::new() }))
}

/// Puts the texts of the larger statements into the query.
fn sql_of_objects() -> String {
    include_str!("../sql/prerequisites/objects.sql")
        .replace("{aggregate}", include_str!("../sql/prerequisites/aggregate.sql"))
        .replace("{operator_class}", include_str!("../sql/prerequisites/operator_class.sql"))
}

async fn plain_table(session: &Session, oid: u32, name: QualifiedName) -> Result<PlainTable> {
    let (columns, constraints) = (columns(session, oid).await?, constraints(session, oid).await?);
    let mut sequences: Vec<Sequence> = sequences(session, oid).await?;
    // Without rows none of their values is taken.
    sequences.iter_mut().for_each(|sequence| sequence.last_value = None);
    Ok(PlainTable { name, columns, constraints, sequences })
}

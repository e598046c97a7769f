//! The frame of the zoo: a fixture is a table with something that can get lost, and makes a round trip from one server to
//! another, straight and through an archive.
//!
//! Source and target are described by the program's own catalog, field by field, without what is a server's own (oids,
//! ids); rows are compared by the server. Where the two differ, the report has to say so: silence is what fails.

use std::collections::BTreeSet;

use hypercopy::catalog::{Hypertable, read};
use hypercopy::connect::{Conninfo, Target};
use hypercopy::ident::QualifiedName;
use serde_json::{Map, Value};

use crate::archives::Archive;
use crate::harness::{Database, Server, Story};

/// From where to where, where a fixture does not say otherwise: the same version, a newer one, an older one.
pub const PAIRS: [(Server, Server); 3] =
    [(Server::Trixie, Server::OtherTrixie), (Server::Trixie, Server::Sid), (Server::Sid, Server::Trixie)];

/// A table, and what becomes of it.
///
/// In SQL `{alice}`, `{bob}` and `{carol}` stand for roles that are on both servers, and `{nobody}` for one that the target
/// lacks.
#[derive(Clone, Copy)]
pub struct Fixture {
    /// What it is about.
    pub name: &'static str,
    /// What is on both sides before: what the table needs and does not bring.
    pub both: &'static str,
    /// What makes the table on the source, with rows in it.
    pub source: &'static str,
    /// The table, as it is written on the command line.
    pub table: &'static str,
    /// What the report has to list, each as the beginning of `kind: object: reason`.
    pub listed: &'static [&'static str],
    /// What the commands that make the table are told.
    pub arguments: &'static [&'static str],
    /// The round trips that it makes.
    pub pairs: &'static [(Server, Server)],
}

impl Fixture {
    /// A table `t` that needs nothing and loses nothing.
    pub const fn new(name: &'static str, source: &'static str) -> Fixture {
        Fixture { name, both: "", source, table: "t", listed: &[], arguments: &[], pairs: &PAIRS }
    }

    /// Makes all its round trips.
    #[track_caller]
    pub fn makes_its_round_trips(&self) {
        for (from, to) in self.pairs {
            self.makes_the_round_trip(*from, *to);
        }
    }

    #[track_caller]
    fn makes_the_round_trip(&self, from: Server, to: Server) {
        self.goes(from, to, Hands::Superuser);
    }

    /// The same by a role that owns what the fixture makes on both sides, and is no superuser.
    #[track_caller]
    pub fn makes_the_round_trip_of_an_ordinary_role(&self, from: Server, to: Server) {
        self.goes(from, to, Hands::Ordinary);
    }

    #[track_caller]
    fn goes(&self, from: Server, to: Server, hands: Hands) {
        let Some(story) = Story::between(from, to, self.name) else { return };
        let Some(restored) = Database::create(to, self.name) else { return };
        let roles = Roles::create(&[&story.source, &story.target]);
        let (both, source) = (roles.in_sql(self.both), roles.in_sql(self.source));
        let listed: Vec<&str> = self.listed.iter().map(|line| &*roles.in_sql(line).leak()).collect();
        let told = Fixture { listed: listed.leak(), ..*self };
        story.source.run(&format!("{both};{source}"));
        story.target.run(&both);
        restored.run(&both);
        let conninfo = |database: &Database| match hands {
            Hands::Superuser => database.conninfo.clone(),
            Hands::Ordinary => {
                database.run(&roles.in_sql(include_str!("hand_over.sql")));
                roles.conninfo(database)
            }
        };
        let [from_source, to_target, to_restored] = [&story.source, &story.target, &restored].map(conninfo);
        let what = format!("{} from {from:?} to {to:?}", self.name);
        let before = Described::read(&story.source, self.table);

        let ends = ["--source", &from_source, "--target", &to_target];
        let report = story.migrate(self.table, &[&ends, &["--verify", "checksum"][..], self.arguments].concat());
        told.assert_told(&before, &Described::read(&story.target, self.table), &report, &format!("{what}, migrated"));

        let archive = Archive::of(&story.source, self.table, self.name, &["--source", &from_source]);
        let end = ["--target", &to_restored, "--verify", "checksum"];
        let report = archive.restored(&restored, &[&end, self.arguments].concat());
        told.assert_told(&before, &Described::read(&restored, self.table), &report, &format!("{what}, restored"));
        assert_eq!(restored.multiset(self.table), story.source.multiset(self.table), "{what}, restored");
        assert_eq!(Described::read(&story.source, self.table), before, "{what}: the source is left alone");
    }

    /// Expects every difference to be listed, and everything to be listed that the fixture says.
    #[track_caller]
    pub fn assert_told(&self, before: &Described, after: &Described, report: &Value, what: &str) {
        let listed = not_carried(report);
        let missing: Vec<_> =
            self.listed.iter().filter(|wanted| !listed.iter().any(|line| line.starts_with(**wanted))).collect();
        assert!(missing.is_empty(), "{what}: {missing:?} is not among {listed:#?}");
        let kinds: BTreeSet<&str> = listed.iter().map(|line| line.split(": ").next().unwrap_or_default()).collect();
        let excused: BTreeSet<&str> =
            kinds.iter().flat_map(|kind| fields_of(kind)).chain(before.of_versions(after)).copied().collect();
        for (field, (is, was)) in before.differences(after) {
            assert!(
                excused.contains(field.as_str()),
                "{what}: {field} differs, and the report is silent about it\nwas {was:#}\nis {is:#}\nlisted: {listed:#?}"
            );
        }
        assert!(
            listed.iter().all(|line| self.listed.iter().any(|wanted| line.starts_with(wanted))),
            "{what}: something is listed that the fixture does not say: {listed:#?}"
        );
    }
}

/// Who makes a round trip.
#[derive(Clone, Copy)]
enum Hands {
    Superuser,
    Ordinary,
}

/// `kind: object: reason` of everything that a report lists.
pub fn not_carried(report: &Value) -> Vec<String> {
    let list = report["not_carried"].as_array().expect("the report has the list");
    let text = |found: &Value| {
        let parts = ["kind", "object", "reason"].map(|key| found[key].as_str().map(str::to_string));
        parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
    };
    list.iter().map(text).collect()
}

/// Where a table can differ when something of this kind is listed.
fn fields_of(kind: &str) -> &'static [&'static str] {
    match kind {
        "owner" => &[
            "table.owner",
            "belongings.table",
            "belongings.grants",
            "belongings.drawn_sequences",
            "belongings.identity_sequences",
            "views",
        ],
        "dependency on an extension" => &["belongings.triggers", "belongings.indexes"],
        "unlogged" => &["table.unlogged"],
        "trigger" => &["belongings.triggers", "prerequisites"],
        "policy" => &["belongings.policies", "prerequisites"],
        "grant" => &["belongings.grants", "belongings.identity_sequences", "belongings.drawn_sequences"],
        "owner of a sequence" => &["belongings.drawn_sequences"],
        "comment" => &["belongings.comments"],
        "name of NOT NULL" | "NOT NULL" => &["belongings.not_nulls"],
        "extended statistics" | "owner of extended statistics" => &["belongings.statistics", "prerequisites"],
        "foreign key" => &["belongings.foreign_keys", "prerequisites"],
        "validation of foreign key" => &["belongings.foreign_keys"],
        "foreign key to this table" => &["belongings.referencing_keys"],
        "publication" => &["belongings.publications"],
        "tablespace" => &["belongings.table", "belongings.indexes"],
        "constraint" => &["constraints"],
        "invalid index" => &["indexes", "belongings.indexes"],
        "attached tablespace" => &["policies.tablespaces"],
        "compression settings" => &["policies.columnstore", "row.columnstore"],
        "policy or job" => &["policies.jobs"],
        "continuous aggregate" => &["aggregates"],
        "view" | "rows of a materialized view" => &["views"],
        _ => &[],
    }
}

/// A table's description, field by field.
#[derive(Debug, PartialEq)]
pub struct Described {
    postgresql: u32,
    fields: Map<String, Value>,
}

/// What is a server's own (versions of extensions and schemas that were there among it), or the role's that asks.
const OWN: [&str; 15] = [
    "version",
    "schemas",
    "bytes",
    "extension",
    "oid",
    "id",
    "hypertable_id",
    "mat_hypertable_id",
    "type_oid",
    "inner_oid",
    "root_bytes",
    "row_security_active",
    "schema_usable",
    "unreadable_columns",
    "readable",
];

/// What has no order of its own.
const UNORDERED: [&str; 4] = ["types", "sequences", "dependencies", "needs"];

impl Described {
    /// Of a table of a database.
    #[track_caller]
    pub fn read(database: &Database, table: &str) -> Described {
        let conninfo = Conninfo::parse(&database.conninfo, |_| None).unwrap();
        let name = QualifiedName::parse(table, "public").unwrap();
        let (server, described) = database.wait(async {
            let session = Target::open(&conninfo, "zoo").await.unwrap();
            let server = read::server(&session).await.unwrap();
            let oid = read::resolve_exactly(&session, &name).await.unwrap().expect("the table is there");
            let table = read::table(&session, oid).await.unwrap().unwrap();
            let row = read::hypertable_row(&session, &table.name).await.unwrap().unwrap();
            let described: Hypertable = read::hypertable(&session, &server, table, row).await.unwrap();
            (server, described)
        });
        let mut described = serde_json::to_value(&described).expect("it can be written as JSON");
        let described = described.as_object_mut().expect("it is an object");
        described.remove("not_carried");
        Described { postgresql: server.postgresql_number, fields: fields(std::mem::take(described)) }
    }

    /// Fields that differ, with what they are and what they were.
    pub fn differences<'a>(&'a self, after: &'a Described) -> Vec<(String, (&'a Value, &'a Value))> {
        let names: BTreeSet<&String> = self.fields.keys().chain(after.fields.keys()).collect();
        let pair = |name: &String| {
            let of = |fields: &'a Map<String, Value>| fields.get(name).unwrap_or(&Value::Null);
            (name.clone(), (of(&after.fields), of(&self.fields)))
        };
        names.into_iter().map(pair).filter(|(_, (is, was))| is != was).collect()
    }

    /// What cannot be the same in both versions.
    fn of_versions(&self, after: &Described) -> &'static [&'static str] {
        let is_between = |number: u32| (self.postgresql >= number) != (after.postgresql >= number);
        match (is_between(180_000), is_between(170_000)) {
            // NOT NULL has names, and owners have MAINTAIN.
            (true, true) => &["belongings.not_nulls", "belongings.grants", "belongings.identity_sequences"],
            (true, false) => &["belongings.not_nulls"],
            (false, true) => &["belongings.grants", "belongings.identity_sequences"],
            (false, false) => &[],
        }
    }
}

/// The fields of a description, those of its larger parts one by one.
fn fields(described: Map<String, Value>) -> Map<String, Value> {
    let mut fields = Map::new();
    for (name, value) in described {
        match value {
            Value::Object(parts) if ["table", "row", "belongings", "policies"].contains(&name.as_str()) => {
                fields.extend(parts.into_iter().map(|(part, value)| (format!("{name}.{part}"), value)));
            }
            value => drop(fields.insert(name, value)),
        }
    }
    fields.retain(|name, _| !OWN.iter().any(|own| name.ends_with(&format!(".{own}"))));
    fields.iter_mut().for_each(|(name, value)| normalize(name, value));
    fields
}

fn normalize(name: &str, value: &mut Value) {
    match value {
        Value::Object(parts) => {
            OWN.iter().for_each(|own| drop(parts.remove(*own)));
            parts.iter_mut().for_each(|(name, value)| normalize(name, value));
        }
        Value::Array(items) => {
            items.iter_mut().for_each(|item| normalize("", item));
            if UNORDERED.contains(&name) {
                items.sort_by_key(ToString::to_string);
            }
        }
        _ => {}
    }
}

/// The roles of a fixture, dropped with it.
pub struct Roles<'a> {
    databases: [&'a Database; 2],
    suffix: String,
}

/// The last of them may log in.
const EVERYWHERE: [&str; 4] = ["alice", "bob", "carol", "mover"];

impl<'a> Roles<'a> {
    /// On the source's server and on the target's.
    pub fn create(databases: &[&'a Database; 2]) -> Roles<'a> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let suffix = format!("{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let roles = Roles { databases: *databases, suffix };
        for database in databases {
            // Both may be on one server.
            let create = |role: &&str| {
                let role = roles.name(role);
                format!("do $$ begin if to_regrole('{role}') is null then create role {role}; end if; end $$")
            };
            EVERYWHERE.iter().for_each(|role| database.run(&create(role)));
            database.run(&format!("alter role {} login password 'ordinary'", roles.name("mover")));
        }
        databases[0].run(&format!("create role {}", roles.name("nobody")));
        roles
    }

    /// A database as the role that may log in.
    fn conninfo(&self, database: &Database) -> String {
        format!("{} user={} password=ordinary", database.conninfo, self.name("mover"))
    }

    fn name(&self, role: &str) -> String {
        format!("{role}_{}", self.suffix)
    }

    /// With the names of roles in their places.
    pub fn in_sql(&self, sql: &str) -> String {
        EVERYWHERE
            .iter()
            .chain(&["nobody"])
            .fold(sql.to_string(), |sql, role| sql.replace(&format!("{{{role}}}"), &self.name(role)))
    }
}

impl Drop for Roles<'_> {
    fn drop(&mut self) {
        // A database that is dropped later may still hold something of theirs; the clusters end with the run.
        for database in self.databases {
            for role in EVERYWHERE.iter().chain(&["nobody"]) {
                let role = self.name(role);
                let _ = database.try_query(&format!("drop owned by {role}; drop role {role}"));
            }
        }
    }
}

//! A table and its twin, which exchange their names, and what must be the same of both.

use std::collections::BTreeSet;
use std::process::Command;

use hypercopy::catalog::belongings::Belongings;
use hypercopy::catalog::{Hypertable, Server as Facts, read};
use hypercopy::cluster::{Installation, Release};
use hypercopy::connect::{Conninfo, Target};
use hypercopy::ident::{QualifiedName, quote_ident};
use hypercopy::plan::belongings::{self, Away};
use hypercopy::plan::{
    Beside, IntervalRequest, Keys, Layout, Partitioning, Statement, TargetNames, post_data, pre_data,
};

use crate::harness::{Database, Server};

pub const DAY: i64 = 86_400_000_000;
/// Where a new table waits.
pub const BESIDE: &str = "_hypercopy_7";
/// What the names of one that has left end with.
pub const SUFFIX: &str = "_old_7";

/// A hypertable and its twin with other chunks, one of which has the name.
pub struct Twins<'a> {
    pub database: &'a Database,
    pub session: Target,
    pub server: Facts,
    pub name: QualifiedName,
    pub old_oid: u32,
    pub new_oid: u32,
    /// Where the old one's names are while the new one has them.
    pub away: Option<Away>,
}

impl<'a> Twins<'a> {
    /// Makes the twin, with everything that comes before the swap.
    #[track_caller]
    pub fn make(database: &'a Database, name: &QualifiedName) -> Twins<'a> {
        Twins::make_as(database, &database.conninfo, name)
    }

    /// The same in a session of another role.
    #[track_caller]
    pub fn make_as(database: &'a Database, conninfo: &str, name: &QualifiedName) -> Twins<'a> {
        let conninfo = Conninfo::parse(conninfo, |_| None).unwrap();
        let session = database.wait(Target::open(&conninfo, "story")).unwrap();
        let server = database.wait(read::server(&session)).unwrap();
        let old_oid = database.wait(read::resolve_exactly(&session, name)).unwrap().expect("the table is there");
        let mut twins = Twins { database, session, server, name: name.clone(), old_oid, new_oid: 0, away: None };
        twins.build();
        twins
    }

    #[track_caller]
    pub fn build(&mut self) {
        let old = self.describe(self.old_oid);
        let wanted = self.read(self.old_oid);
        let partitioning = Partitioning { interval: Some(IntervalRequest::Microseconds(DAY)), hash: None };
        let layout = Layout::resolve(&old, &partitioning, &self.server.encoding).unwrap();
        let beside = QualifiedName::new(BESIDE, &self.name.name);
        let schema = self.server.timescaledb_schema.clone().unwrap();
        let names = TargetNames::new(&old, beside.clone(), schema, &[]);
        self.run(&pre_data(
            &old,
            &layout,
            &names,
            Beside { schemas: &[BESIDE.to_string()], ..Beside::default() },
            Keys::PrimaryFirst,
        ));
        self.new_oid = self.database.wait(read::resolve_exactly(&self.session, &beside)).unwrap().unwrap();
        self.run(&belongings::settings(&self.read(self.new_oid), &wanted, &beside));
        let columns: Vec<String> = old.copied_columns().map(|column| quote_ident(&column.name)).collect();
        let columns = columns.join(", ");
        let copy = format!(
            "insert into {} ({columns}) overriding system value select {columns} from {}",
            beside.sql(),
            self.name.sql()
        );
        self.run(&[Statement::new("copy the rows", copy)]);
        let (constraints, indexes) = post_data(&old, &names, Keys::PrimaryFirst).unwrap();
        self.run(&constraints);
        self.run(&indexes);
        self.run(&belongings::behind_indexes(&self.read(self.new_oid), &wanted, &beside));
    }

    /// The new table gets the name.
    #[track_caller]
    pub fn swap(&mut self) {
        let wanted = self.read(self.old_oid);
        let away = Away::beside(&wanted, &self.name, SUFFIX, &self.relations());
        let (table, beside) = (self.name.sql(), QualifiedName::new(BESIDE, &self.name.name).sql());
        self.batch(&format!("begin; lock table {table} in access exclusive mode"));
        self.run(&belongings::take_off(&wanted, &self.name));
        self.run(&away.leave());
        self.batch(&format!(
            "alter table {table} rename to {}; alter table {beside} set schema {}",
            quote_ident(&away.table.name),
            quote_ident(&self.name.schema)
        ));
        self.run(&belongings::put_on(&self.read(self.new_oid), &wanted, &self.name, &away));
        self.batch("commit");
        self.run(&belongings::after_swap(&wanted, &self.name));
        self.away = Some(away);
    }

    /// The old table gets it back.
    #[track_caller]
    pub fn undo(&mut self) {
        let old_away = self.away.take().expect("the names were exchanged");
        let wanted = self.read(self.new_oid);
        let away = Away::into_schema(&wanted, &self.name, BESIDE);
        let (table, old) = (self.name.sql(), old_away.table.sql());
        self.batch(&format!("begin; lock table {table}, {old} in access exclusive mode"));
        self.run(&belongings::take_off(&wanted, &self.name));
        self.run(&away.leave());
        self.batch(&format!(
            "alter table {table} set schema {}; alter table {old} rename to {}",
            quote_ident(BESIDE),
            quote_ident(&self.name.name)
        ));
        self.run(&old_away.come_back(&self.server));
        self.run(&belongings::put_on(&self.read(self.old_oid), &wanted, &self.name, &away));
        self.batch("commit");
        self.run(&belongings::after_swap(&wanted, &self.name));
    }

    /// What belongs to the table that has the name now.
    #[track_caller]
    pub fn belongings(&self) -> Belongings {
        let oid = self.database.wait(read::resolve_exactly(&self.session, &self.name)).unwrap();
        self.read(oid.expect("the table is there"))
    }

    #[track_caller]
    pub fn read(&self, oid: u32) -> Belongings {
        self.database.wait(read::belongings(&self.session, oid)).unwrap_or_else(|error| panic!("{}", error.report()))
    }

    pub fn describe(&self, oid: u32) -> Hypertable {
        self.database.wait(async {
            let table = read::table(&self.session, oid).await.unwrap().unwrap();
            let row = read::hypertable_row(&self.session, &table.name).await.unwrap().unwrap();
            read::hypertable(&self.session, &self.server, table, row).await.unwrap()
        })
    }

    pub fn relations(&self) -> Vec<String> {
        let place = self.database.wait(read::target_place(&self.session, &self.name, "postgres")).unwrap();
        place.taken
    }

    #[track_caller]
    pub fn run(&self, statements: &[Statement]) {
        let titles: BTreeSet<&str> = statements.iter().map(|statement| statement.title.as_str()).collect();
        assert_eq!(titles.len(), statements.len(), "titles tell statements apart: {statements:#?}");
        for statement in statements {
            let (title, sql) = (&statement.title, statement.script());
            if let Err(error) = self.database.wait(self.session.batch(&sql)) {
                panic!("{title}: {}\nin: {sql}", error.report());
            }
        }
    }

    #[track_caller]
    pub fn batch(&self, sql: &str) {
        self.run(&[Statement::new("story", sql)]);
    }
}

/// The words of `pg_dump -s` for everything of users but for the table that has no name of its own now, and for what
/// TimescaleDB makes.
#[track_caller]
pub fn dumped(database: &Database, release: Release) -> Vec<String> {
    let installation = Installation::debian(release).unwrap().expect("its server runs");
    let mut command = Command::new(installation.program("pg_dump"));
    command.args(["--schema-only", "--exclude-schema", "_timescaledb_*", "--exclude-schema", BESIDE]);
    command.args(["--exclude-table", &format!("*.*{SUFFIX}"), "--dbname", &database.conninfo]);
    let output = command.output().expect("pg_dump starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("it is UTF-8");
    // Chunks are partitioning, which is meant to change; and a key against being run by hand is new each time.
    let is_left_out = |line: &&str| {
        ["\\restrict", "\\unrestrict", "--"].iter().any(|start| line.starts_with(start))
            || line.is_empty()
            || line.contains("_timescaledb_internal._hyper_")
    };
    text.lines().filter(|line| !is_left_out(line)).map(str::to_string).collect()
}

/// Lines that only one of two has.
#[track_caller]
pub fn assert_same_dump(before: &[String], after: &[String], when: &str) {
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    assert_eq!((only(before, after), only(after, before)), (Vec::new(), Vec::new()), "{when}");
    assert_eq!(before, after, "{when}: in the same order");
}

/// Swaps, and back, and expects catalog and `pg_dump` to say the same each time.
#[track_caller]
pub fn assert_kept(database: &Database, name: &QualifiedName) {
    let mut twins = Twins::make(database, name);
    let (before, text) = (twins.belongings(), dumped(database, Release::Trixie));
    let refused = belongings::obstacles(&before, &twins.server);
    assert_eq!(refused, Vec::new());
    twins.swap();
    assert_eq!(twins.belongings(), before, "swapped");
    assert_same_dump(&text, &dumped(database, Release::Trixie), "swapped");
    twins.undo();
    assert_eq!(twins.belongings(), before, "undone");
    assert_same_dump(&text, &dumped(database, Release::Trixie), "undone");
}

pub fn metrics() -> QualifiedName {
    QualifiedName::new("public", "metrics")
}

/// Rows of a table whose foreign key refers to a hypertable are checked with custom plans in these stories: with the
/// generic plan that the server may take from the sixth row on, 2.19.3 does not find rows that are in chunks.
pub const METRICS: &str = "
    create table metrics (time timestamptz not null, device int not null, value float8, note text,
        constraint metrics_key primary key (device, time), constraint \"Some check\" check (device >= 0));
    create index metrics_note on metrics (note);
    create index metrics_half on metrics (device, (value / 2)) where value > 0;
    select create_hypertable('metrics', 'time', chunk_time_interval => interval '7 days', create_default_indexes => false);
    insert into metrics select '2025-01-01'::timestamptz + n * interval '5 hours', n % 5, n, 'note ' || n
    from generate_series(1, 150) n;";

pub fn database(story: &str, sql: &str) -> Database {
    let database = Database::create(Server::Trixie, story).expect("trixie has TimescaleDB");
    database.run(sql);
    database
}

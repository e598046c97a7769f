//! A hypertable with a second one beside it that takes its place, by hand: what a rechunk does around the statements that
//! are tested.

use hypercopy::catalog::{Aggregate, Chunk, Job, Policies, Server, read};
use hypercopy::connect::{Conninfo, Target};
use hypercopy::error::Result;
use hypercopy::ident::QualifiedName;
use hypercopy::plan::Statement;

use crate::harness::{self, Database, Role, has_community};

/// The schema of the job, as a rechunk would call it.
pub const JOB_SCHEMA: &str = "_hypercopy_7";

/// The two tables of one database.
pub struct Beside {
    /// Where they are.
    pub database: Database,
    /// What the server is.
    pub server: Server,
    /// The session of the engine.
    pub session: Target,
    /// The table's name, which the new one has after the swap.
    pub table: QualifiedName,
    /// The new table's name before the swap.
    pub new: QualifiedName,
    /// The old table's name after the swap.
    pub away: QualifiedName,
}

impl Beside {
    /// A database of the community edition; `None`, with a word about it, without one.
    pub fn community(story: &str, schema: &str, name: &str) -> Option<Beside> {
        if has_community(story) { Beside::on(harness::Server::Community, story, schema, name) } else { None }
    }

    /// A database of this server; `None` where it cannot be had.
    pub fn on(server: harness::Server, story: &str, schema: &str, name: &str) -> Option<Beside> {
        let database = Database::create(server, story)?;
        let table = QualifiedName::new(schema, name);
        database.run(&format!("create schema if not exists {}", quoted(schema)));
        let conninfo = Conninfo::parse(&database.conninfo, |_| None).expect("the conninfo is one");
        let session = database.wait(Target::open(&conninfo, "rechunk")).expect("the server answers");
        let server = database.wait(read::server(&session)).expect("the server says what it is");
        let new = QualifiedName::new(JOB_SCHEMA, name);
        let away = QualifiedName::new(schema, format!("{name}_old_7"));
        Some(Beside { database, server, session, table, new, away })
    }

    /// Makes the new table like the old one, with chunks of this interval.
    pub fn make_twin(&self, time: &str, interval: &str) {
        self.database.run(&format!(
            "create schema {JOB_SCHEMA}; create table {} (like {} including all);
             select create_hypertable('{}', {}, chunk_time_interval => {interval}, create_default_indexes => false)",
            self.new.sql(),
            self.table.sql(),
            self.new.sql().replace('\'', "''"),
            hypercopy::ident::quote_literal(time),
        ));
    }

    /// Copies all rows.
    pub fn copy(&self) {
        self.database.run(&format!("insert into {} select * from {}", self.new.sql(), self.table.sql()));
    }

    /// Runs statements, each by itself.
    #[track_caller]
    pub fn run(&self, statements: &[Statement]) {
        statements.iter().for_each(|statement| self.try_run(statement).unwrap_or_else(|error| fail(statement, &error)));
    }

    /// Runs one statement, which may fail.
    pub fn try_run(&self, statement: &Statement) -> Result<()> {
        self.database.wait(self.session.batch(&statement.sql))
    }

    /// Runs statements in one transaction.
    #[track_caller]
    pub fn run_together(&self, statements: &[Statement]) {
        self.batch("begin");
        self.run(statements);
        self.batch("commit");
    }

    /// Exchanges the tables' names, with statements behind the renames.
    #[track_caller]
    pub fn swap(&self, statements: &[Statement]) {
        let (table, new, away) = (self.table.sql(), self.new.sql(), quoted(&self.away.name));
        self.batch(&format!("begin; lock table {table} in access exclusive mode"));
        self.rename_indexes(&self.table, "relname || '_old_7'");
        self.batch(&format!("alter table {table} rename to {away}"));
        self.batch(&format!("alter table {new} set schema {}", quoted(&self.table.schema)));
        self.run(statements);
        self.batch("commit");
    }

    /// Exchanges the names back, with statements behind the renames.
    #[track_caller]
    pub fn undo(&self, statements: &[Statement]) {
        let (table, away) = (self.table.sql(), self.away.sql());
        self.batch(&format!("begin; lock table {table} in access exclusive mode"));
        self.batch(&format!("alter table {table} set schema {JOB_SCHEMA}"));
        self.batch(&format!("alter table {away} rename to {}", quoted(&self.table.name)));
        self.rename_indexes(&self.table, "left(relname, -6)");
        self.run(statements);
        self.batch("commit");
    }

    /// Gives all indexes of a table the names that `name` makes of theirs.
    #[track_caller]
    fn rename_indexes(&self, table: &QualifiedName, name: &str) {
        let literal = table.sql().replace('\'', "''");
        let names = format!(
            "select format('alter index %I.%I rename to %I', nspname, relname, {name})
             from pg_index join pg_class on pg_class.oid = indexrelid join pg_namespace on pg_namespace.oid = relnamespace
             where indrelid = '{literal}'::regclass"
        );
        let statements = self.database.wait(self.session.rows(&names, &[])).expect("indexes can be read");
        statements.iter().for_each(|row| self.batch(row.get(0)));
    }

    #[track_caller]
    fn batch(&self, sql: &str) {
        self.database.wait(self.session.batch(sql)).unwrap_or_else(|error| panic!("{error:?}\nin: {sql}"));
    }

    /// A session of another role.
    pub fn as_role(&self, role: &Role) -> Target {
        let conninfo = Conninfo::parse(&role.conninfo(&self.database), |_| None).expect("the conninfo is one");
        self.database.wait(Target::open(&conninfo, "rechunk")).expect("the server answers")
    }

    /// The id of a hypertable.
    #[track_caller]
    pub fn id(&self, name: &QualifiedName) -> i32 {
        let row = self.database.wait(read::hypertable_row(&self.session, name)).expect("the catalog can be read");
        row.unwrap_or_else(|| panic!("{name} is a hypertable")).id
    }

    /// What TimescaleDB does to a hypertable.
    #[track_caller]
    pub fn policies(&self, name: &QualifiedName) -> Policies {
        let policies = read::policies(&self.session, self.id(name), name);
        kept(self.database.wait(policies).expect("policies can be read"))
    }

    /// The continuous aggregates over a hypertable.
    #[track_caller]
    pub fn aggregates(&self, name: &QualifiedName) -> Vec<Aggregate> {
        let aggregates = read::aggregates(&self.session, &self.server, self.id(name));
        kept(self.database.wait(aggregates).expect("aggregates can be read"))
    }

    /// The chunks of a hypertable.
    #[track_caller]
    pub fn chunks(&self, name: &QualifiedName) -> Vec<Chunk> {
        let chunks = read::chunks(&self.session, &self.server, self.id(name));
        self.database.wait(chunks).expect("chunks can be read")
    }
}

/// As the ledger gives it back.
fn kept<T: serde::Serialize + serde::de::DeserializeOwned>(facts: T) -> T {
    let json = serde_json::to_string(&facts).expect("facts can be kept");
    serde_json::from_str(&json).expect("facts that were kept can be read")
}

/// Jobs as they are but for the id of the table they belong to, which their configurations have to know.
#[track_caller]
pub fn jobs_of(id: i32, jobs: &[Job]) -> Vec<Job> {
    let mut jobs = jobs.to_vec();
    for job in &mut jobs {
        let config = job.config.as_mut().and_then(|config| config.as_object_mut());
        for (key, value) in config.into_iter().flatten().filter(|(key, _)| key.ends_with("hypertable_id")) {
            assert_eq!(*value, id, "{key} of {:?}", job.procedure);
            *value = 0.into();
        }
    }
    jobs
}

/// A name in SQL.
pub fn quoted(name: &str) -> String {
    hypercopy::ident::quote_ident(name)
}

#[track_caller]
fn fail(statement: &Statement, error: &hypercopy::error::Error) -> ! {
    panic!("cannot {}: {error:?}\nin: {}", statement.title, statement.sql)
}

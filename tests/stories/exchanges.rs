//! A table and its twin, which exchange their names with all that uses them, and how what uses a table is told.

use std::time::Duration;

use hypercopy::catalog::dependents::Dependents;
use hypercopy::catalog::read;
use hypercopy::connect::{Conninfo, Target};
use hypercopy::ident::{QualifiedName, quote_ident, quote_literal};
use hypercopy::plan::{Statement, dependents};

use crate::harness::{Database, Server};

pub const JOB: i64 = 7;
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// A hypertable and its twin with other chunks, which exchange their names.
pub struct Exchange {
    pub database: Database,
    pub table: QualifiedName,
    pub target: Target,
}

impl Exchange {
    /// A database with a hypertable of this name, partitioned by its column `time`, in which `sql` was run then.
    pub fn new(server: Server, story: &str, table: QualifiedName, sql: &str) -> Option<Exchange> {
        let database = Database::create(server, story)?;
        let schema = quote_ident(&table.schema);
        database.run(&format!(
            "create schema if not exists {schema};
             create table {table} (time timestamptz not null, device int not null, value double precision,
                 note text, primary key (time, device));
             select create_hypertable({literal}, 'time', chunk_time_interval => interval '1 day');
             insert into {table} select '2025-03-01'::timestamptz + n * interval '1 hour', n % 5, n, 'note ' || n
             from generate_series(0, 99) n;",
            table = table.sql(),
            literal = quote_literal(&table.sql()),
        ));
        database.run(&sql.replace("{table}", &table.sql()));
        let exchange = Exchange { target: session(&database, &database.conninfo), database, table };
        exchange.make_twin();
        Some(exchange)
    }

    pub fn twin(&self) -> QualifiedName {
        QualifiedName::new(format!("_hypercopy_{JOB}"), &self.table.name)
    }

    pub fn old(&self) -> QualifiedName {
        QualifiedName::new(&self.table.schema, format!("{}_old_{JOB}", self.table.name))
    }

    /// It has a row more, so that it can be told from the table.
    pub fn make_twin(&self) {
        let (table, twin) = (self.table.sql(), self.twin());
        self.database.run(&format!(
            "create schema {schema}; create table {twin} (like {table} including all);
             select create_hypertable({literal}, 'time', chunk_time_interval => interval '6 hours',
                 create_default_indexes => false);
             insert into {twin} select * from {table};
             insert into {twin} values ('2025-04-01', 1, 1000, 'only here')",
            schema = quote_ident(&twin.schema),
            twin = twin.sql(),
            literal = quote_literal(&twin.sql()),
        ));
    }

    pub fn oid(&self, name: &QualifiedName) -> u32 {
        self.database.wait(read::resolve_exactly(&self.target, name)).unwrap().expect("the relation is there")
    }

    pub fn dependents(&self) -> Dependents {
        self.dependents_of(&self.table)
    }

    pub fn dependents_of(&self, table: &QualifiedName) -> Dependents {
        let oid = self.oid(table);
        self.database.wait(read::dependents(&self.target, oid)).unwrap()
    }

    #[track_caller]
    pub fn run(&self, statements: &[Statement]) {
        for statement in statements {
            self.run_sql(&statement.title, &statement.sql);
        }
    }

    #[track_caller]
    pub fn run_sql(&self, title: &str, sql: &str) {
        self.database.wait(self.target.batch(sql)).unwrap_or_else(|error| panic!("{title}: {error:?}\n{sql}"));
    }

    /// The twin gets the table's name, and whatever uses the table follows.
    #[track_caller]
    pub fn swap(&self, found: &Dependents) {
        self.exchange(found, &self.names_of_swap());
        self.renew(found);
        assert_eq!(self.dependents_of(&self.old()), Dependents::default(), "nothing uses the old table");
    }

    pub fn names_of_swap(&self) -> String {
        format!(
            "{}; alter table {} rename to {}; alter table {} set schema {}",
            self.rename_indexes(&self.table, "index.relname || '_old'"),
            self.table.sql(),
            quote_ident(&self.old().name),
            self.twin().sql(),
            quote_ident(&self.table.schema),
        )
    }

    /// The old table gets its name back.
    #[track_caller]
    pub fn undo(&self, found: &Dependents) {
        let (old, twin) = (self.old(), self.twin());
        let names = format!(
            "alter table {} set schema {}; alter table {} rename to {}; {}",
            self.table.sql(),
            quote_ident(&twin.schema),
            old.sql(),
            quote_ident(&self.table.name),
            self.rename_indexes(&self.table, "regexp_replace(index.relname, '_old$', '')"),
        );
        self.exchange(found, &names);
        self.renew(found);
        assert_eq!(self.dependents_of(&twin), Dependents::default(), "nothing uses the new table");
    }

    /// What the conductor does in the transaction of the swap.
    #[track_caller]
    pub fn exchange(&self, found: &Dependents, names: &str) {
        // What the ledger keeps of it serves as well.
        let found: &Dependents = &serde_json::from_str(&serde_json::to_string(found).unwrap()).unwrap();
        self.run_sql("begin", "begin");
        self.run(&dependents::locks(found));
        self.run_sql("lock", &format!("lock table {} in access exclusive mode", self.table.sql()));
        assert_eq!(&self.dependents(), found, "nothing has changed before the lock");
        self.run_sql("exchange names", names);
        self.run(&dependents::in_swap(found));
        self.run_sql("commit", "commit");
    }

    /// What the conductor does after it; the materialized views can be read all the time.
    #[track_caller]
    pub fn renew(&self, found: &Dependents) {
        for statement in dependents::after_swap(found, &[], JOB, LOCK_TIMEOUT) {
            self.run_sql(&statement.title, &format!("begin; {}; commit", statement.sql));
            for view in found.materialized_views.iter().filter(|view| view.heap.populated) {
                self.database.query(&format!("select count(*) from {}", view.name.sql()));
            }
        }
    }

    pub fn rename_indexes(&self, table: &QualifiedName, name: &str) -> String {
        format!(
            "do $do$ declare renamed record; begin
                 for renamed in
                     select index.oid::regclass as index, {name} as name
                     from pg_index join pg_class index on index.oid = indexrelid where indrelid = {}::regclass
                 loop execute format('alter index %s rename to %I', renamed.index, renamed.name); end loop;
             end $do$",
            quote_literal(&table.sql())
        )
    }

    /// The rows that a relation shows.
    #[track_caller]
    pub fn count(&self, relation: &str) -> String {
        self.database.value(&format!("select count(*) from {relation}"))
    }

    pub fn obstacles(&self, role: &str) -> Vec<String> {
        dependents::obstacles(&self.dependents(), role).iter().map(ToString::to_string).collect()
    }
}

pub fn session(database: &Database, conninfo: &str) -> Target {
    let conninfo = Conninfo::parse(conninfo, |_| None).unwrap();
    database.wait(Target::open(&conninfo, "story")).unwrap()
}

pub fn metrics() -> QualifiedName {
    QualifiedName::new("app", "metrics")
}

/// Everything that PostgreSQL knows of views, functions, rules and policies, by name; and the oids of what can be
/// replaced in its place.
pub fn described(database: &Database) -> Vec<String> {
    let lines = database.query(
        "set search_path = '';
         with relation as (
             select c.*, n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where c.relkind in ('v', 'm', 'i', 'r') and n.nspname !~ '^(pg_|_?timescaledb|information_schema)'
                 and not exists (select from pg_index i where i.indexrelid = c.oid and i.indrelid in
                     (select oid from pg_class where relkind <> 'm'))
         ),
         named (line) as (
             select concat_ws(' ', nspname, relname, relkind, case when relkind in ('v') then oid end,
                 case when relkind in ('v', 'm') then pg_get_viewdef(oid) end,
                 case when relkind = 'i' then pg_get_indexdef(oid) end, relowner::regrole, relispopulated,
                 'options', reloptions, 'comment', obj_description(oid, 'pg_class'),
                 'am', relam, 'space', reltablespace,
                 'clustered', (select indisclustered from pg_index where indexrelid = oid),
                 'toast', (select t.reloptions from pg_class t where t.oid = reltoastrelid))
             from relation where relkind <> 'r'
             union all
             select concat_ws(' ', 'acl of', nspname, relname, a.grantor::regrole, nullif(a.grantee, 0)::regrole, a.privilege_type,
                 a.is_grantable)
             from relation, aclexplode(coalesce(relacl, acldefault('r', relowner))) a where relkind in ('v', 'm')
             union all
             select concat_ws(' ', 'column', nspname, relname, attnum, attname, format_type(atttypid, atttypmod),
                 attcollation::regcollation, attstorage, attcompression, nullif(attstattarget, -1),
                 (select string_agg(o, ',') from unnest(attoptions) o where o not like 'pg\\_%'), attacl,
                 col_description(relation.oid, attnum), pg_get_expr(adbin, adrelid))
             from relation join pg_attribute on attrelid = relation.oid and attnum > 0 left join pg_attrdef
                 on adrelid = attrelid and adnum = attnum
             where relkind <> 'r'
             union all
             select concat_ws(' ', 'trigger', t.oid, tgenabled, pg_get_triggerdef(t.oid), obj_description(t.oid, 'pg_trigger'))
             from relation join pg_trigger t on tgrelid = relation.oid where relkind = 'v'
             union all
             select concat_ws(' ', 'rule', r.oid, ev_enabled, pg_get_ruledef(r.oid), obj_description(r.oid, 'pg_rewrite'))
             from relation join pg_rewrite r on ev_class = relation.oid where rulename <> '_RETURN'
             union all
             select concat_ws(' ', 'policy', p.oid, polname, polcmd, polpermissive, polroles, pg_get_expr(polqual, polrelid),
                 pg_get_expr(polwithcheck, polrelid), obj_description(p.oid, 'pg_policy'))
             from relation join pg_policy p on polrelid = relation.oid
             union all
             select concat_ws(' ', 'function', p.oid, pg_get_functiondef(p.oid), proowner::regrole, proacl,
                 obj_description(p.oid, 'pg_proc'))
             from pg_proc p join pg_namespace n on n.oid = pronamespace
             where n.nspname !~ '^(pg_|_?timescaledb|information_schema)' and prokind in ('f', 'p')
                 and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid
                     and d.deptype = 'e')
             union all
             select concat_ws(' ', 'statistics', stxname, stxowner::regrole, nullif(stxstattarget, -1),
                 pg_get_statisticsobjdef(s.oid), obj_description(s.oid, 'pg_statistic_ext'))
             from pg_statistic_ext s
         )
         select line from named order by line",
    );
    database.run("reset search_path");
    lines.into_iter().map(|row| row[0].clone().unwrap()).collect()
}

/// Expects the same lines, and names those that differ.
#[track_caller]
pub fn assert_same(now: &[String], before: &[String]) {
    let only_in = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|line| !other.contains(line)).cloned().collect()
    };
    assert_eq!(only_in(now, before), only_in(before, now));
    assert_eq!(now, before, "in the same order");
}

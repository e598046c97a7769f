//! Random tables of the zoo's vocabulary make the round trip, too.

use crate::random::{Random, each_round};
use crate::zoo::{Fixture, PAIRS};

/// A type, and values of it as literals.
struct Kind {
    name: &'static str,
    /// What makes it; `{s}` is the table's schema.
    made_by: &'static str,
    /// The access method of an index over it alone.
    index: Option<&'static str>,
    values: &'static [&'static str],
}

const fn kind(name: &'static str, index: Option<&'static str>, values: &'static [&'static str]) -> Kind {
    Kind { name, made_by: "", index, values }
}

const fn own(name: &'static str, made_by: &'static str, values: &'static [&'static str]) -> Kind {
    Kind { name, made_by, index: None, values }
}

static KINDS: [Kind; 34] = [
    kind("bool", Some("btree"), &["t", "f"]),
    kind("int2", Some("hash"), &["-32768", "0", "7"]),
    kind("int4", Some("brin"), &["-2147483648", "0", "1", "2147483647"]),
    kind("int8", Some("btree"), &["-9223372036854775808", "0", "5"]),
    kind("numeric", Some("btree"), &["NaN", "1.500", "-0.00", "1e200", "Infinity"]),
    kind("numeric(7,3)", Some("btree"), &["NaN", "-1.5", "9999.999"]),
    kind("float4", Some("btree"), &["NaN", "-0", "1e-45", "0.1"]),
    kind("float8", Some("brin"), &["-Infinity", "-0", "4.9e-324", "0.1"]),
    kind("money", Some("btree"), &["-1.23", "4.56"]),
    kind("text", Some("btree"), &["", "NULL", "\\\\N", "tab\t\"quote\"", "ä𝄞"]),
    kind("varchar(5)", Some("hash"), &["", "abc  ", "ä"]),
    kind("char(4)", Some("btree"), &["", "a", "äöü"]),
    kind("name", Some("btree"), &["", "a name"]),
    kind("bytea", Some("btree"), &["", "\\x00ff", "\\x5c"]),
    kind("bit(3)", Some("btree"), &["101", "000"]),
    kind("varbit", Some("btree"), &["", "1", "1010101010101"]),
    kind("date", Some("brin"), &["infinity", "4713-01-01 BC", "2025-02-28"]),
    kind("timestamptz(2)", Some("btree"), &["-infinity", "2025-01-01 01:02:03.45+00"]),
    kind("time", Some("btree"), &["24:00", "00:00:00.000001"]),
    kind("timetz", Some("btree"), &["24:00-15:59", "12:00+05:30"]),
    kind("interval", Some("btree"), &["1 mon -1 day", "-178000000 years", "00:00:00.000001"]),
    kind("uuid", Some("hash"), &["00000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    kind("inet", Some("btree"), &["10.0.0.1/8", "::1"]),
    kind("json", None, &["{\"a\":  1, \"a\": null}", "[]"]),
    kind("jsonb", Some("gin"), &["{\"a\": [1e400, \"\\u00e9\"]}", "null"]),
    kind("tsvector", Some("gin"), &["a:1A b:2,3", ""]),
    kind("point", Some("gist"), &["(NaN,-0)", "(1,2)"]),
    kind("int4range", Some("spgist"), &["empty", "(,5)", "[1,1]"]),
    kind("tstzmultirange", Some("gist"), &["{}", "{[2025-01-01,infinity),(,2000-01-01)}"]),
    kind("int4[]", Some("gin"), &["{}", "[0:1]={1,NULL}", "{{1,2},{3,4}}"]),
    kind("text[]", None, &["{NULL,\"NULL\",\"\"}", "{\"a,b\",\"\\\"\"}"]),
    own("{s}.hue", "create type {s}.hue as enum ('red', 'it''s', '')", &["red", "it's", ""]),
    own(
        "{s}.pairs[]",
        "create type {s}.pair as (a int, \"b c\" text collate \"C\"); create domain {s}.pairs as {s}.pair check ((value).a is distinct from 13)",
        &["{}", "{\"(1,x)\",NULL,\"(,)\"}"],
    ),
    own(
        "{s}.span",
        "create function {s}.apart(float8, float8) returns float8 language sql immutable return $1 - $2;
         create type {s}.span as range (subtype = float8, subtype_diff = {s}.apart)",
        &["empty", "[1.5,Infinity]", "(,-0)"],
    ),
];

/// The type of a primary dimension, its interval, and what row `n` has there.
const DIMENSIONS: [(&str, &str, &str); 6] = [
    ("timestamptz", "interval '6 hours'", "'2025-01-01 00:00+00'::timestamptz + {n} * interval '77 minutes'"),
    ("timestamp", "interval '90 minutes'", "'1969-12-31'::timestamp + {n} * interval '13 minutes 0.000001 s'"),
    ("date", "interval '3 days'", "'1999-12-30'::date + {n}"),
    ("int2", "100::int2", "({n} * 17 - 300)::int2"),
    ("int4", "50", "{n} * 7 - 300"),
    ("int8", "9000000000", "{n}::int8 * 3000000001 - 9000000007"),
];

const NAMES: [&str; 6] = ["{}", "Odd \"{}\"", "select {}", "ä{}", "{}'s", "{}\n"];

fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A name of something, which needs quoting or not.
fn name(random: &mut Random, of: &str) -> String {
    format!("\"{}\"", random.of(&NAMES).replace("{}", of).replace('"', "\"\""))
}

/// A random column: its definition, its name, its kind and whether it is never null.
struct RandomColumn {
    name: String,
    kind: &'static Kind,
    not_null: bool,
    default: Option<&'static str>,
}

impl RandomColumn {
    fn new(random: &mut Random, number: usize) -> RandomColumn {
        let kind = &KINDS[random.below(KINDS.len() as u64) as usize];
        let default = (random.below(3) == 0).then(|| random.of(kind.values));
        RandomColumn { name: name(random, &format!("c{number}")), kind, not_null: random.below(4) == 0, default }
    }

    fn definition(&self) -> String {
        let default = self.default.map(|value| format!(" default {}", literal(value))).unwrap_or_default();
        format!("{} {}{default}{}", self.name, self.kind.name, if self.not_null { " not null" } else { "" })
    }

    /// Its value in row `{n}`.
    fn value(&self, random: &mut Random) -> String {
        let values: Vec<String> = self.kind.values.iter().map(|value| literal(value)).collect();
        let count = values.len() + usize::from(!self.not_null);
        let shift = random.below(97);
        format!(
            "((array[{}]::text[])[({{n}} * 31 + {shift}) % {count} + 1])::text::{}",
            values.join(", "),
            self.kind.name
        )
    }
}

/// The statements that make a random table, and its name.
fn table(random: &mut Random) -> (String, String) {
    let schema = name(random, "s");
    let table = format!("{schema}.{}", name(random, "t"));
    let time = name(random, "time");
    let (time_type, interval, value) = random.of(&DIMENSIONS);
    let columns: Vec<RandomColumn> =
        (0..random.below(9) as usize).map(|number| RandomColumn::new(random, number)).collect();
    let mut statements = vec![format!("create schema {schema}")];
    let mut made: Vec<&str> = columns.iter().map(|column| column.kind.made_by).filter(|sql| !sql.is_empty()).collect();
    made.sort_unstable();
    made.dedup();
    statements.extend(made.iter().map(|sql| sql.to_string()));
    let mut elements = vec![format!("{time} {time_type} not null"), "hashed int default 7".to_string()];
    elements.extend(columns.iter().map(RandomColumn::definition));
    if random.below(2) == 0 {
        elements.push("twice bigint generated always as (hashed::bigint * 2) stored".into());
    }
    if random.below(2) == 0 {
        elements.push("number int generated by default as identity".into());
    }
    if random.below(2) == 0 {
        elements.push(format!("constraint {} check (hashed is distinct from -1)", name(random, "k")));
    }
    if random.below(3) == 0 {
        elements.push(format!("primary key ({time}, hashed)"));
    }
    let at = random.below(elements.len() as u64 + 1) as usize;
    elements.insert(at, "gone text".into());
    statements.push(format!("create table {table} ({})", elements.join(", ")));
    statements.push(format!(
        "select create_hypertable({}, {}, chunk_time_interval => {interval})",
        literal(&table),
        literal(&unquoted(&time))
    ));
    if random.below(3) == 0 {
        statements.push(format!(
            "select add_dimension({}, 'hashed', number_partitions => {})",
            literal(&table),
            random.below(3) + 1
        ));
    }
    for column in columns.iter().filter(|column| column.kind.index.is_some()) {
        if random.below(3) == 0 {
            let method = column.kind.index.unwrap_or_default();
            statements.push(format!("create index on {table} using {method} ({})", column.name));
        }
    }
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let list = [vec![time.as_str(), "hashed"], names].concat().join(", ");
    let values: Vec<String> = columns.iter().map(|column| column.value(random)).collect();
    let row = [vec![value.to_string(), "{n}".to_string()], values].concat().join(", ").replace("{n}", "n");
    let insert = |from: u64, until: u64| {
        format!("insert into {table} ({list}) select {row} from generate_series({from}, {until}) n")
    };
    let rows = random.below(80);
    statements.push(insert(1, rows));
    statements.push(format!("alter table {table} drop gone"));
    statements.push(insert(rows + 1, rows + random.below(20)));
    let columns = [vec![time, "hashed".to_string()], columns.into_iter().map(|column| column.name).collect()].concat();
    for _ in 0..random.below(8) {
        statements.extend(Hanging { random, table: &table, schema: &schema, columns: &columns }.any());
    }
    let sql = statements.join(";\n").replace("{s}", &schema);
    (sql, table)
}

/// What hangs on a table, or is over it.
struct Hanging<'a> {
    random: &'a mut Random,
    table: &'a str,
    schema: &'a str,
    columns: &'a [String],
}

const ROLES: [&str; 4] = ["{alice}", "{bob}", "{carol}", "public"];

impl Hanging<'_> {
    fn any(&mut self) -> Vec<String> {
        match self.random.below(6) {
            0 => self.trigger(),
            1 => self.policy(),
            2 => self.view(),
            3 => self.statistics(),
            4 => self.grant(),
            _ => vec![self.comment("table", self.table.to_string()), self.comment_on_column()],
        }
    }

    /// A name that is nobody else's.
    fn name(&mut self) -> String {
        let number = self.random.below(1 << 40).to_string();
        name(self.random, &number)
    }

    fn qualified(&mut self) -> String {
        let name = self.name();
        format!("{}.{name}", self.schema)
    }

    fn column(&mut self) -> String {
        self.columns[self.random.below(self.columns.len() as u64) as usize].clone()
    }

    fn comment(&mut self, kind: &str, object: String) -> String {
        let text = self.random.of(&["it's", "a \\ and\nlines", "ä"]);
        format!("comment on {kind} {object} is {}", literal(text))
    }

    fn comment_on_column(&mut self) -> String {
        let column = self.column();
        self.comment("column", format!("{}.{column}", self.table))
    }

    fn trigger(&mut self) -> Vec<String> {
        let (name, function, table) = (self.name(), self.qualified(), self.table);
        let event = self.random.of(&["insert", "update", "delete or insert", "update of hashed"]);
        let level = self.random.of(&["row when (pg_trigger_depth() < 7)", "row", "statement"]);
        let time = self.random.of(&["before", "after"]);
        let mut made = vec![
            format!(
                "create function {function}() returns trigger language plpgsql as 'begin raise exception ''seen''; end'"
            ),
            format!(
                "create trigger {name} {time} {event} on {table} for each {level} execute function {function}('it''s')"
            ),
        ];
        made.extend((self.random.below(2) == 0).then(|| self.comment("trigger", format!("{name} on {table}"))));
        made
    }

    fn policy(&mut self) -> Vec<String> {
        let (name, table) = (self.name(), self.table);
        let (kind, role) = (self.random.of(&["permissive", "restrictive"]), self.random.of(&ROLES));
        let clauses = self.random.of(&[
            "for all to {r} using (hashed > 1)",
            "for insert to {r} with check (hashed is not null)",
            "for select to {r} using (true)",
            "for update to {r} using (hashed < 5) with check (hashed in (select max(hashed) from {t}))",
        ]);
        let clauses = clauses.replace("{r}", role).replace("{t}", table);
        let mut made = vec![format!("create policy {name} on {table} as {kind} {clauses}")];
        made.extend((self.random.below(2) == 0).then(|| format!("alter table {table} enable row level security")));
        made.extend((self.random.below(2) == 0).then(|| self.comment("policy", format!("{name} on {table}"))));
        made
    }

    fn view(&mut self) -> Vec<String> {
        let (view, over) = (self.qualified(), self.qualified());
        let options =
            self.random.of(&["", " with (security_barrier)", " with (security_invoker, check_option = local)"]);
        let column = self.column();
        let mut made = vec![
            format!("create view {view}{options} as select {column} as c, hashed from {} where hashed > 3", self.table),
            format!("create materialized view {over} as select c::text, count(*) as n from {view} group by 1"),
            format!("create unique index on {over} (c)"),
            format!("grant select on {view} to {}", self.random.of(&ROLES)),
        ];
        made.extend((self.random.below(2) == 0).then(|| self.comment("view", view.clone())));
        made.extend((self.random.below(2) == 0).then(|| self.comment("materialized view", over)));
        made.extend(
            (self.random.below(2) == 0).then(|| format!("alter view {view} alter column hashed set default 7")),
        );
        made
    }

    fn statistics(&mut self) -> Vec<String> {
        let name = self.qualified();
        let of =
            self.random.of(&["(mcv) on hashed, {c}", "on (hashed + 1), (hashed * 2)", "(ndistinct) on {c}, hashed"]);
        let of = of.replace("{c}", &self.columns[0]);
        let comment = self.comment("statistics", name.clone());
        vec![format!("create statistics {name} {of} from {}", self.table), comment]
    }

    fn grant(&mut self) -> Vec<String> {
        let (role, column) = (self.random.of(&ROLES), self.column());
        let privileges = self.random.of(&["select", "insert, update", "all", "select ({c}), update ({c})", "maintain"]);
        let option = if role != "public" && self.random.below(2) == 0 { " with grant option" } else { "" };
        vec![format!("grant {} on {} to {role}{option}", privileges.replace("{c}", &column), self.table)]
    }
}

fn unquoted(name: &str) -> String {
    name[1..name.len() - 1].replace("\"\"", "\"")
}

#[test]
fn random_tables_make_the_round_trip() {
    each_round(4, |mut random| {
        let (source, table) = table(&mut random);
        eprintln!("{source};");
        let pair = random.below(PAIRS.len() as u64) as usize;
        Fixture {
            table: table.leak(),
            arguments: &["--with-dependencies"],
            pairs: &PAIRS[pair..=pair],
            ..Fixture::new("random", source.leak())
        }
        .makes_its_round_trips();
    });
}

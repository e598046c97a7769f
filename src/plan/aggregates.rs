//! DDL text: continuous aggregates over a table that takes another's place.
//!
//! A continuous aggregate cannot be made to read another table. So a second one is made beside it, over the new table and
//! in the same schema, and filled while the first one is read; in the swap the two change names, which is a matter of the
//! catalog. Nobody ever finds it empty.
//!
//! | when | what | how |
//! | --- | --- | --- |
//! | behind rows and indexes | [`create`], then read what was made and [`pair`] it | in a transaction |
//! | then | [`settle`] | in a transaction |
//! | then | [`fill`] | each by itself: TimescaleDB refuses to refresh inside a transaction |
//! | in the swap, behind the table's renames | [`in_swap`]; in an undo [`in_undo`] | in the swap's transaction |
//! | after the swap | [`refresh`] | each by itself |
//! | with the old table | [`drop_old`] before it, or [`drop_new`] on an abort | in a transaction |
//!
//! Rows that writers change between [`fill`] and the swap are noted by TimescaleDB, as they are copied into the new table, and
//! computed by [`refresh`], or by the aggregate's own policy if that is first.
//!
//! **Invariant:** pure, and symmetric: what leaves the old aggregates in the swap comes back to them in an undo.

use serde::{Deserialize, Serialize};

use super::layout::time_type;
use super::policies::{Subject, columnstore_options, hand_over};
use super::retarget::retarget;
use super::{Statement, ddl::with_suffix, range::sql_value};
use crate::catalog::{Aggregate, Comment, Grant, Index, NotCarried, Server, View};
use crate::error::{Error, Result};
use crate::ident::{QualifiedName, quote_columns, quote_ident, quote_literal};

/// Two aggregates that change places.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exchange {
    /// The one over the old table, as it was read before the swap.
    pub old: Aggregate,
    /// The one over the new table, as it was read when it was made.
    pub new: Aggregate,
    /// What tells the names of this job's things from others: its number.
    pub label: String,
}

impl Exchange {
    /// The old one's name while the new one has it.
    fn away(&self) -> QualifiedName {
        QualifiedName::new(&self.old.name.schema, self.old_name(&self.old.name.name))
    }

    fn old_name(&self, name: &str) -> String {
        with_suffix(name, &format!("_old_{}", self.label))
    }

    fn new_name(&self, name: &str) -> String {
        with_suffix(name, &format!("_new_{}", self.label))
    }

    /// Indexes that have names of their own. The others are called after their materialization, by TimescaleDB.
    fn named_indexes(&self) -> impl Iterator<Item = &Index> {
        self.old.indexes.iter().filter(|index| !is_called_after(index, &self.old))
    }
}

fn is_called_after(index: &Index, aggregate: &Aggregate) -> bool {
    index.name.starts_with(&aggregate.materialization.name)
}

/// What the plan has to refuse, with aggregates or what reads them.
pub fn obstacles(aggregates: &[Aggregate]) -> Vec<NotCarried> {
    let of = |aggregate: &Aggregate| {
        let name = &aggregate.name;
        let form = (!aggregate.finalized).then(|| {
            NotCarried::new("continuous aggregate of the old form", format!("{name}: cagg_migrate() renews it"))
        });
        let owner = (!aggregate.may_alter)
            .then(|| NotCarried::new("continuous aggregate of another role", format!("{name} of {}", aggregate.owner)));
        let bucket = time_type(&aggregate.bucket_type).is_none().then(|| {
            NotCarried::new("continuous aggregate", format!("{name}: its bucket is of type {}", aggregate.bucket_type))
        });
        let jobs = aggregate.jobs.iter().filter(|job| !job.may_alter);
        let jobs = jobs.map(|job| NotCarried::new("job of another role", format!("job {} of {}", job.id, job.owner)));
        let readers = aggregate.obstacles.iter().map(|reader| {
            NotCarried::new(
                format!("{} over a continuous aggregate", reader.kind),
                format!("{} over {name}", reader.object),
            )
        });
        form.into_iter().chain(owner).chain(bucket).chain(jobs).chain(readers).collect::<Vec<_>>()
    };
    aggregates.iter().flat_map(of).collect()
}

/// What it costs to make them again, for people: one line each.
pub fn costs(aggregates: &[Aggregate]) -> Vec<String> {
    let cost = |aggregate: &Aggregate| match window(aggregate) {
        Some((from, until)) => format!("{} is computed again from {from} to {until}", aggregate.name),
        None => format!("{} holds nothing yet", aggregate.name),
    };
    aggregates.iter().map(cost).collect()
}

/// The names of the new aggregates, in the schema of the new `table`: the old ones' where they are free there.
fn names(aggregates: &[Aggregate], table: &QualifiedName) -> Vec<QualifiedName> {
    let mut names: Vec<QualifiedName> = Vec::new();
    for aggregate in aggregates {
        let own = QualifiedName::new(&table.schema, &aggregate.name.name);
        let is_free = own != *table && !names.contains(&own);
        names.push(if is_free {
            own
        } else {
            QualifiedName::new(&table.schema, format!("aggregate_{}", aggregate.id))
        });
    }
    names
}

/// Makes an empty aggregate over the new `table` for each of those over the old one, and over each other as those are.
/// TimescaleDB notes changes of the new table from here on: it comes behind the rows.
pub fn create(aggregates: &[Aggregate], table: &QualifiedName) -> Vec<Statement> {
    let names = names(aggregates, table);
    let new_source = |aggregate: &Aggregate| {
        let below = aggregates.iter().position(|below| below.id == aggregate.source_id);
        below.map_or(table, |below| &names[below])
    };
    let create = |(aggregate, name): (&Aggregate, &QualifiedName)| {
        let definition = retarget(&aggregate.definition, &aggregate.source, new_source(aggregate));
        Statement::new(
            format!("create continuous aggregate {name}"),
            format!(
                "create materialized view {} with (timescaledb.continuous, timescaledb.materialized_only = {}, \
                 timescaledb.create_group_indexes = false) as {definition} with no data",
                name.sql(),
                aggregate.materialized_only
            ),
        )
    };
    aggregates.iter().zip(&names).map(create).collect()
}

/// Puts the aggregates that [`create`] has made next to those that they are for.
///
/// # Errors
/// Where one of them is not there.
pub fn pair(old: &[Aggregate], new: &[Aggregate], table: &QualifiedName, label: &str) -> Result<Vec<Exchange>> {
    let exchange = |(old, name): (&Aggregate, QualifiedName)| {
        let new = new.iter().find(|new| new.name == name);
        let new = new.ok_or_else(|| Error::internal(format!("continuous aggregate {name} was not made")))?;
        Ok(Exchange { old: old.clone(), new: new.clone(), label: label.to_string() })
    };
    old.iter().zip(names(old, table)).map(exchange).collect()
}

/// Gives the new aggregates what the old ones have beside their definition.
pub fn settle(exchanges: &[Exchange], server: &Server) -> Vec<Statement> {
    let settle = |exchange: &Exchange| {
        let Exchange { old, new, .. } = exchange;
        let mut statements = vec![chunk_interval(old, new, server)];
        statements.extend(old.indexes.iter().filter_map(|index| create_index(exchange, index)));
        statements.extend(old.columnstore.iter().map(|settings| {
            let options = columnstore_options(settings).join(", ");
            alter(new, "enable the columnstore of", &format!("set ({options})"))
        }));
        statements.extend(grants(old, new));
        statements.extend(old.comments.iter().map(|comment| comment_on(new, comment)));
        if old.owner != new.owner {
            statements.push(alter(new, "give away", &format!("owner to {}", quote_ident(&old.owner))));
        }
        statements
    };
    exchanges.iter().flat_map(settle).collect()
}

/// TimescaleDB would take ten times the interval of the table below, which is another one than before.
fn chunk_interval(old: &Aggregate, new: &Aggregate, server: &Server) -> Statement {
    Statement::new(
        format!("set the chunk interval of {}", new.name),
        format!(
            "select {}({}::pg_catalog.regclass, {}::pg_catalog.int8)",
            server.user_function("set_chunk_time_interval"),
            quote_literal(&new.materialization.sql()),
            old.chunk_interval
        ),
    )
}

/// The columns of a materialization are those of its view, on which TimescaleDB makes its indexes. The one over its bucket
/// is there from the beginning, as that of any hypertable is.
fn create_index(exchange: &Exchange, index: &Index) -> Option<Statement> {
    let body = index.body.as_ref().filter(|_| index.valid)?;
    let is_named = !is_called_after(index, &exchange.old);
    if !is_named && exchange.new.indexes.iter().any(|made| made.body.as_ref() == Some(body)) {
        return None;
    }
    let name = if is_named { format!(" {}", quote_ident(&exchange.new_name(&index.name))) } else { String::new() };
    let unique = if index.unique { "unique " } else { "" };
    Some(Statement::new(
        format!("create index {} of {}", index.name, exchange.new.name),
        format!("create {unique}index{name} on {} {body}", exchange.new.name.sql()),
    ))
}

fn alter(aggregate: &Aggregate, title: &str, action: &str) -> Statement {
    let name = &aggregate.name;
    Statement::new(format!("{title} {name}"), format!("alter materialized view {} {action}", name.sql()))
}

/// What the new one has already comes from default privileges of the role that makes it.
fn grants(old: &Aggregate, new: &Aggregate) -> Vec<Statement> {
    let superfluous = new.grants.iter().filter(|grant| !old.grants.contains(grant));
    let missing = old.grants.iter().filter(|grant| !new.grants.contains(grant));
    superfluous
        .map(|grant| privilege(grant, "revoke", "from", new))
        .chain(missing.map(|grant| privilege(grant, "grant", "to", new)))
        .collect()
}

fn privilege(grant: &Grant, verb: &str, preposition: &str, on: &Aggregate) -> Statement {
    let column = grant.column.as_ref().map(|column| format!(" ({})", quote_ident(column))).unwrap_or_default();
    let role = grant.grantee.as_deref().map_or("public".to_string(), quote_ident);
    let option = if grant.grantable && verb == "grant" { " with grant option" } else { "" };
    let what = format!("{}{column}", grant.privilege.to_lowercase());
    Statement::new(
        format!("{verb} {what} on {} {preposition} {role}", on.name),
        format!("{verb} {what} on {} {preposition} {role}{option}", on.name.sql()),
    )
}

/// To PostgreSQL it is a view.
fn comment_on(aggregate: &Aggregate, comment: &Comment) -> Statement {
    let name = aggregate.name.sql();
    let object = match &comment.column {
        Some(column) => format!("column {name}.{}", quote_ident(column)),
        None => format!("view {name}"),
    };
    let title = comment.column.as_ref().map_or(String::new(), |column| format!("column {column} of "));
    Statement::new(
        format!("comment on {title}{}", aggregate.name),
        format!("comment on {object} is {}", quote_literal(&comment.text)),
    )
}

/// Computes the new aggregates as far as the old ones are, and brings what only those have. One level after the other, so
/// that an aggregate is over all that it shall be over. Each statement by itself, and as often as need be.
pub fn fill(exchanges: &[Exchange], server: &Server) -> Vec<Statement> {
    let fill = |exchange: &Exchange| {
        refresh_one(exchange, &exchange.new.name, server).into_iter().chain(carry_history(exchange))
    };
    exchanges.iter().flat_map(fill).collect()
}

/// Computes behind the swap what has changed since [`fill`]. Each statement by itself.
pub fn refresh(exchanges: &[Exchange], server: &Server) -> Vec<Statement> {
    exchanges.iter().filter_map(|exchange| refresh_one(exchange, &exchange.old.name, server)).collect()
}

/// The whole of what the old one holds: what is not refreshed counts as changed, and a policy over it would empty the
/// history that [`carry_history`] brings.
fn refresh_one(exchange: &Exchange, name: &QualifiedName, server: &Server) -> Option<Statement> {
    let (from, until) = window(&exchange.old)?;
    Some(Statement::new(
        format!("refresh {name}"),
        format!(
            "call {}({}::pg_catalog.regclass, {}, {})",
            server.user_function("refresh_continuous_aggregate"),
            quote_literal(&name.sql()),
            // Without a type: TimescaleDB takes an integer of another width than the column's for a mistake.
            quote_literal(&from),
            quote_literal(&until)
        ),
    ))
}

/// From the first bucket to where what is materialized ends.
fn window(aggregate: &Aggregate) -> Option<(String, String)> {
    let time_type = time_type(&aggregate.bucket_type)?;
    Some((time_type.literal(aggregate.first?), time_type.literal(aggregate.watermark?)))
}

/// Copies the buckets that only the old aggregate has, because the rows they were computed of are dropped: those that
/// begin before the first chunk of what it is over. Behind its refresh, which computes the last of them in part.
///
/// Chunks that were dropped out of the middle are not told from those that never were: their buckets are lost.
fn carry_history(exchange: &Exchange) -> Option<Statement> {
    let Exchange { old, new, .. } = exchange;
    if old.first? >= old.source_start.unwrap_or(i64::MAX) {
        return None;
    }
    let bucket = quote_ident(&old.bucket);
    let columns = quote_columns(old.columns.iter().map(String::as_str));
    let (from, into) = (old.materialization.sql(), new.materialization.sql());
    let is_history = match old.source_start {
        Some(start) => {
            let start = sql_value(time_type(&old.bucket_type)?, start);
            format!("coalesce({bucket} < (select min({bucket}) from {from} where {bucket} >= {start}), true)")
        }
        None => "true".to_string(),
    };
    Some(Statement::new(
        format!("carry the history of {}", new.name),
        format!(
            "delete from {into} where {is_history}; \
             insert into {into} ({columns}) select {columns} from {from} where {is_history}"
        ),
    ))
}

/// Puts the new aggregates in the old ones' places: names, indexes, jobs, and the views that read them.
pub fn in_swap(exchanges: &[Exchange], server: &Server) -> Vec<Statement> {
    let renamed = renames(exchanges).into_iter().flat_map(|rename| rename.statements());
    let jobs = exchanges.iter().flat_map(|exchange| give_jobs(exchange, exchange.new.id, server));
    renamed.chain(jobs).chain(views(exchanges)).collect()
}

/// Undoes [`in_swap`].
pub fn in_undo(exchanges: &[Exchange], server: &Server) -> Vec<Statement> {
    let renamed = renames(exchanges).into_iter().rev().flat_map(|rename| rename.inverse().statements());
    let jobs = exchanges.iter().flat_map(|exchange| give_jobs(exchange, exchange.old.id, server));
    renamed.chain(jobs).chain(views(exchanges)).collect()
}

/// To the aggregate that has the name by then.
fn give_jobs(exchange: &Exchange, id: i32, server: &Server) -> Vec<Statement> {
    let old = &exchange.old;
    hand_over(&old.jobs, old.id, Subject { id, name: &old.name }, server)
}

/// The same text names the other aggregate now. Only those that read it themselves: what reads them finds them as before.
fn views(exchanges: &[Exchange]) -> Vec<Statement> {
    let mut views: Vec<&View> = exchanges.iter().flat_map(|exchange| &exchange.old.views).collect();
    views.sort_by_key(|view| &view.name);
    // One that reads several is there several times.
    views.dedup_by_key(|view| &view.name);
    views.into_iter().map(replace_view).collect()
}

fn replace_view(view: &View) -> Statement {
    let option = |option: &String| {
        let (name, value) = option.split_once('=').unwrap_or((option, "true"));
        format!("{} = {}", quote_ident(name), quote_literal(value))
    };
    let options = match view.options.as_slice() {
        [] => String::new(),
        options => format!(" with ({})", options.iter().map(option).collect::<Vec<_>>().join(", ")),
    };
    Statement::new(
        format!("replace view {}", view.name),
        format!("create or replace view {}{options} as {}", view.name.sql(), view.definition),
    )
}

/// Another name, in the same schema or another one.
struct Rename {
    kind: &'static str,
    from: QualifiedName,
    to: QualifiedName,
}

impl Rename {
    fn inverse(self) -> Rename {
        Rename { from: self.to, to: self.from, ..self }
    }

    fn statements(&self) -> Vec<Statement> {
        let Rename { kind, from, to } = self;
        let renamed = QualifiedName::new(&from.schema, &to.name);
        let rename = (from.name != to.name).then(|| {
            let sql = format!("alter {kind} {} rename to {}", from.sql(), quote_ident(&to.name));
            Statement::new(format!("rename {kind} {from} to {renamed}"), sql)
        });
        let set_schema = (from.schema != to.schema).then(|| {
            let sql = format!("alter {kind} {} set schema {}", renamed.sql(), quote_ident(&to.schema));
            Statement::new(format!("move {kind} {renamed} to {to}"), sql)
        });
        rename.into_iter().chain(set_schema).collect()
    }
}

/// Old ones go before new ones come. Indexes have to be renamed by themselves: all materializations are in one schema.
fn renames(exchanges: &[Exchange]) -> Vec<Rename> {
    let aggregate =
        |from: &QualifiedName, to: QualifiedName| Rename { kind: "materialized view", from: from.clone(), to };
    let index = |of: &Aggregate, from: String, to: String| {
        let name = |name: String| QualifiedName::new(&of.materialization.schema, name);
        Rename { kind: "index", from: name(from), to: name(to) }
    };
    let go = exchanges.iter().flat_map(|exchange| {
        let away = |found: &Index| index(&exchange.old, found.name.clone(), exchange.old_name(&found.name));
        std::iter::once(aggregate(&exchange.old.name, exchange.away())).chain(exchange.named_indexes().map(away))
    });
    let come = exchanges.iter().flat_map(|exchange| {
        let home = |found: &Index| index(&exchange.new, exchange.new_name(&found.name), found.name.clone());
        std::iter::once(aggregate(&exchange.new.name, exchange.old.name.clone()))
            .chain(exchange.named_indexes().map(home))
    });
    go.collect::<Vec<_>>().into_iter().chain(come).collect()
}

/// Drops the old aggregates after the swap, those over others first; before the old table.
pub fn drop_old(exchanges: &[Exchange]) -> Vec<Statement> {
    exchanges.iter().rev().map(|exchange| drop_aggregate(&exchange.away())).collect()
}

/// Drops the new aggregates while the old ones have their names: on an abort, and after an undo; before the new table.
pub fn drop_new(aggregates: &[Aggregate], table: &QualifiedName) -> Vec<Statement> {
    names(aggregates, table).iter().rev().map(drop_aggregate).collect()
}

/// One that was not made yet is no mistake.
fn drop_aggregate(name: &QualifiedName) -> Statement {
    let sql = format!("drop materialized view if exists {}", name.sql());
    Statement::new(format!("drop continuous aggregate {name}"), sql)
}

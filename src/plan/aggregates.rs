//! DDL text: continuous aggregates over a table that takes another's place.
//!
//! A continuous aggregate cannot be made to read another table. So a second one is made beside it, over the new table and
//! in the same schema, and filled while the first one is read; in the swap the two change names, which is a matter of the
//! catalog. Nobody ever finds it empty.
//!
//! | when | what | how |
//! | --- | --- | --- |
//! | behind rows and indexes | [`create`], then read what was made and [`pair`] it, then [`settle`] | in a transaction |
//! | then, and again before the swap | [`fill`] | each by itself: TimescaleDB refuses to refresh inside a transaction |
//! | in the swap, before the table is locked | [`locks`] | in the swap's transaction |
//! | behind the table's renames | [`in_swap`]; in an undo [`in_undo`] | in the swap's transaction |
//! | after the swap | [`refresh`] | each by itself |
//! | with the old table | [`drop_old`] before it, or [`drop_new`] on an abort | in a transaction |
//!
//! Rows that writers change between [`fill`] and the swap are noted by TimescaleDB, as they are copied into the new table, and
//! computed by [`refresh`], or by the aggregate's own policy if that is first.
//!
//! **Invariant:** pure, and symmetric: what leaves the old aggregates in the swap comes back to them in an undo.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::dependents::{obstacle_of_rights, repoint, user_locks, user_obstacles};
use super::layout::time_type;
use super::policies::{self, Subject, columnstore_options, hand_over};
use super::retarget::retarget;
use super::{Statement, ddl::with_suffix, range::sql_value};
use crate::catalog::{Aggregate, Comment, Grant, Index, Obstacle, Server};
use crate::error::{Error, Result};
use crate::ident::{QualifiedName, quote_columns, quote_ident, quote_literal};

/// Two aggregates that change places.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exchange {
    /// The one over the old table, as it was read before the swap.
    pub old: Aggregate,
    /// The one over the new table, as it was read when it was made; what changes by itself as it was read before an undo.
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

    fn named_indexes(&self) -> impl Iterator<Item = &Index> {
        named_indexes(&self.old)
    }
}

/// Indexes whose names go over to other ones.
fn named_indexes(aggregate: &Aggregate) -> impl Iterator<Item = &Index> {
    aggregate.indexes.iter().filter(|index| aggregate.may_rename_indexes && has_own_name(index, aggregate))
}

/// The others are called after their materialization, by TimescaleDB.
fn has_own_name(index: &Index, aggregate: &Aggregate) -> bool {
    !index.name.starts_with(&aggregate.materialization.name)
}

/// Whether one is as another was made after: all that [`create`] and [`settle`] carry, but for the definition, in which the
/// server may name what it reads in another way.
fn is_like(one: &Aggregate, other: &Aggregate) -> bool {
    let seen = |of: &Aggregate| (of.name.clone(), of.columns.clone(), of.materialized_only, of.rights.owner.clone());
    let set = |of: &Aggregate| (of.columnstore.clone(), of.grants.clone(), of.comments.clone());
    let indexes = |of: &Aggregate| of.indexes.iter().map(|index| index.body.clone()).collect::<BTreeSet<_>>();
    let names = |of: &Aggregate| named_indexes(of).map(|index| index.name.clone()).collect::<BTreeSet<_>>();
    seen(one) == seen(other) && set(one) == set(other) && indexes(one) == indexes(other) && names(one) == names(other)
}

/// The exchanges for the aggregates that are over the old table `now`, with what changes by itself: jobs, users, how far they
/// are. None where they are not those any more for which others were made.
pub fn before_swap(exchanges: &[Exchange], now: &[Aggregate]) -> Option<Vec<Exchange>> {
    let same = |(exchange, now): (&Exchange, &Aggregate)| {
        let Exchange { old, new, label } = exchange;
        let is_same = old.id == now.id && old.definition == now.definition && is_like(old, now);
        is_same.then(|| Exchange { old: now.clone(), new: new.clone(), label: label.clone() })
    };
    (exchanges.len() == now.len()).then(|| exchanges.iter().zip(now).map(same).collect())?
}

/// The exchanges for the aggregates that are over the new table `now`, before they are undone. Those that somebody has dropped
/// since are in the second list: the old ones have no name to come back to.
///
/// # Errors
/// [`Kind::Refused`](crate::error::Kind::Refused) where one was made or altered since: the old one lacks that.
pub fn before_undo(exchanges: &[Exchange], now: &[Aggregate]) -> Result<(Vec<Exchange>, Vec<Exchange>)> {
    let of =
        |now: &Aggregate| exchanges.iter().find(|exchange| exchange.new.id == now.id && is_like(&exchange.old, now));
    if let Some(other) = now.iter().find(|now| of(now).is_none()) {
        return Err(Error::refused(format!("continuous aggregate {} was made or altered since the swap", other.name))
            .hint("It would be lost: take that back, or drop it, and run the same command again."));
    }
    let (there, dropped): (Vec<Exchange>, Vec<Exchange>) =
        exchanges.iter().cloned().partition(|exchange| now.iter().any(|now| now.id == exchange.new.id));
    let is_now = |mut exchange: Exchange| {
        for now in now.iter().filter(|now| now.id == exchange.new.id) {
            (exchange.new.jobs, exchange.new.users) = (now.jobs.clone(), now.users.clone());
        }
        exchange
    };
    Ok((there.into_iter().map(is_now).collect(), dropped))
}

/// What the plan has to refuse: aggregates, or what uses them. `role` is the one that would make them again.
pub fn obstacles(aggregates: &[Aggregate], role: &str) -> Vec<Obstacle> {
    let of = |aggregate: &Aggregate| {
        let (kind, name) = ("continuous aggregate", aggregate.name.to_string());
        let old_form = (!aggregate.finalized).then(|| {
            Obstacle::new(
                kind,
                &name,
                "it is of the form before 2.7, and cannot be made again: cagg_migrate() renews it",
            )
        });
        let bucket = time_type(&aggregate.bucket_type)
            .is_none()
            .then(|| Obstacle::new(kind, &name, format!("its bucket is of type {}", aggregate.bucket_type)));
        let readers = aggregate.materialized_views.iter().map(|view| {
            let reason = format!("it reads continuous aggregate {name}, and cannot be made to read another one");
            Obstacle::new("materialized view", view.to_string(), reason)
        });
        let users = user_obstacles(&aggregate.users, &format!("continuous aggregate {name}"), role);
        obstacle_of_rights(kind, &name, &aggregate.rights, role)
            .into_iter()
            .chain(old_form)
            .chain(bucket)
            .chain(policies::job_obstacles(&aggregate.jobs))
            .chain(readers)
            .chain(users)
            .collect::<Vec<_>>()
    };
    aggregates.iter().flat_map(of).collect()
}

/// What it costs to make them again, for people: one line each.
pub fn costs(aggregates: &[Aggregate]) -> Vec<String> {
    let cost = |aggregate: &Aggregate| match window(aggregate) {
        Some((from, until)) => format!("{} is computed again from {from} to {until}", aggregate.name),
        None => format!("{} holds nothing yet", aggregate.name),
    };
    let lost = |aggregate: &Aggregate| {
        let named =
            aggregate.indexes.iter().filter(|index| has_own_name(index, aggregate) && !aggregate.may_rename_indexes);
        let schema = &aggregate.materialization.schema;
        let lost = |index: &Index| {
            format!(
                "index {} of {} gets another name: the role may not create in schema {schema}",
                index.name, aggregate.name
            )
        };
        named.map(lost).collect::<Vec<_>>()
    };
    aggregates.iter().flat_map(|aggregate| std::iter::once(cost(aggregate)).chain(lost(aggregate))).collect()
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
///
/// Each is made by its owner: TimescaleDB lets nobody but a superuser give one away. `role` is the one that runs it.
pub fn create(aggregates: &[Aggregate], table: &QualifiedName, role: &str) -> Vec<Statement> {
    let names = names(aggregates, table);
    let new_source = |aggregate: &Aggregate| {
        let below = aggregates.iter().position(|below| below.id == aggregate.source_id);
        below.map_or(table, |below| &names[below])
    };
    let create = |(aggregate, name): (&Aggregate, &QualifiedName)| {
        let create = create_as(aggregate, name, new_source(aggregate));
        let owner = &aggregate.rights.owner;
        if owner == role { create } else { create.by(owner) }
    };
    aggregates.iter().zip(&names).map(create).collect()
}

/// Makes an empty aggregate like this one, under a name and over a relation.
pub(super) fn create_as(aggregate: &Aggregate, name: &QualifiedName, source: &QualifiedName) -> Statement {
    let definition = retarget(&aggregate.definition, &aggregate.source, source);
    let sql = format!(
        "create materialized view {} with (timescaledb.continuous, timescaledb.materialized_only = {}, \
         timescaledb.create_group_indexes = false) as {definition} with no data",
        name.sql(),
        aggregate.materialized_only
    );
    Statement::new(format!("create continuous aggregate {name}"), sql)
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
    let settle = |exchange: &Exchange| settle_one(&exchange.old, &exchange.new, |name| exchange.new_name(name), server);
    exchanges.iter().flat_map(settle).collect()
}

/// Gives one aggregate what another one has beside its definition; `index` tells what an index with a name of its own is
/// called.
pub fn settle_one(old: &Aggregate, new: &Aggregate, index: impl Fn(&str) -> String, server: &Server) -> Vec<Statement> {
    let mut statements = vec![chunk_interval(old, new, server)];
    statements.extend(old.indexes.iter().filter_map(|found| create_index(old, new, found, &index)));
    statements.extend(old.columnstore.iter().map(|settings| {
        let options = columnstore_options(settings).join(", ");
        alter(new, "enable the columnstore of", &format!("set ({options})"))
    }));
    statements.extend(grants(old, new));
    statements.extend(old.comments.iter().map(|comment| comment_on(&new.name, comment)));
    statements
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
fn create_index(old: &Aggregate, new: &Aggregate, index: &Index, name: impl Fn(&str) -> String) -> Option<Statement> {
    let body = index.body.as_ref().filter(|_| index.valid)?;
    let is_named = named_indexes(old).any(|named| named.name == index.name);
    if !is_named && new.indexes.iter().any(|made| made.body.as_ref() == Some(body)) {
        return None;
    }
    let name = if is_named { format!(" {}", quote_ident(&name(&index.name))) } else { String::new() };
    let unique = if index.unique { "unique " } else { "" };
    Some(Statement::new(
        format!("create index {} of {}", index.name, new.name),
        format!("create {unique}index{name} on {} {body}", new.name.sql()),
    ))
}

fn alter(aggregate: &Aggregate, title: &str, action: &str) -> Statement {
    let name = &aggregate.name;
    Statement::new(format!("{title} {name}"), format!("alter materialized view {} {action}", name.sql()))
}

/// What the new one has already comes from default privileges of its owner.
fn grants(old: &Aggregate, new: &Aggregate) -> Vec<Statement> {
    let superfluous = new.grants.iter().filter(|grant| !old.grants.contains(grant));
    let missing = old.grants.iter().filter(|grant| !new.grants.contains(grant));
    superfluous
        .map(|grant| privilege(grant, "revoke", "from", &new.name))
        .chain(missing.map(|grant| privilege(grant, "grant", "to", &new.name)))
        .collect()
}

pub(super) fn privilege(grant: &Grant, verb: &str, preposition: &str, on: &QualifiedName) -> Statement {
    let column = grant.column.as_ref().map(|column| format!(" ({})", quote_ident(column))).unwrap_or_default();
    let role = grant.grantee.as_deref().map_or("public".to_string(), quote_ident);
    let option = if grant.grantable && verb == "grant" { " with grant option" } else { "" };
    let what = format!("{}{column}", grant.privilege.to_lowercase());
    Statement::new(
        format!("{verb} {what} on {on} {preposition} {role}"),
        format!("{verb} {what} on {} {preposition} {role}{option}", on.sql()),
    )
}

/// To PostgreSQL it is a view.
fn comment_on(view: &QualifiedName, comment: &Comment) -> Statement {
    let name = view.sql();
    let object = match &comment.column {
        Some(column) => format!("column {name}.{}", quote_ident(column)),
        None => format!("view {name}"),
    };
    let title = comment.column.as_ref().map_or(String::new(), |column| format!("column {column} of "));
    Statement::new(
        format!("comment on {title}{view}"),
        format!("comment on {object} is {}", quote_literal(&comment.text)),
    )
}

/// Computes the new aggregates as far as the old ones are, and brings what only those have. One level after the other, so
/// that an aggregate is over all that it shall be over. Each statement by itself, and as often as need be: TimescaleDB knows
/// what has changed since the last time, and computes nothing else.
pub fn fill(exchanges: &[Exchange], server: &Server) -> Vec<Statement> {
    let fill = |exchange: &Exchange| {
        refresh_one(&exchange.old, &exchange.new.name, server).into_iter().chain(carry_history(exchange))
    };
    exchanges.iter().flat_map(fill).collect()
}

/// Computes behind the swap what has changed since [`fill`]. Each statement by itself.
pub fn refresh(exchanges: &[Exchange], server: &Server) -> Vec<Statement> {
    exchanges.iter().filter_map(|exchange| refresh_one(&exchange.old, &exchange.old.name, server)).collect()
}

/// The whole of what the old one holds: what is not refreshed counts as changed, and a policy over it would empty the
/// history that [`carry_history`] brings.
pub(super) fn refresh_one(old: &Aggregate, name: &QualifiedName, server: &Server) -> Option<Statement> {
    let (from, until) = window(old)?;
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

/// Whether it has buckets whose rows are dropped, as far as what it is over has its first chunk behind them; none where it has no
/// bucket.
pub(super) fn has_history(aggregate: &Aggregate) -> Option<bool> {
    Some(aggregate.first? < aggregate.source_start.unwrap_or(i64::MAX))
}

/// Copies the buckets that only the old aggregate has, because the rows they were computed of are dropped: those that
/// begin before the first chunk of what it is over. Behind its refresh, which computes the last of them in part.
///
/// Chunks that were dropped out of the middle are not told from those that never were: their buckets are lost.
fn carry_history(exchange: &Exchange) -> Option<Statement> {
    let Exchange { old, new, .. } = exchange;
    if !has_history(old)? {
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

/// What locks the aggregates that have the names, and what uses them, in the order of those who read them: to be run before
/// the table is locked. Taking another name for a moment takes the lock of the view alone; `lock table` would take those of
/// all that it reads, and giving it to its owner those of its chunks.
pub fn locks(aggregates: &[Aggregate]) -> Vec<Statement> {
    let lock = |aggregate: &Aggregate| {
        let (name, meanwhile) = (&aggregate.name, with_suffix(&aggregate.name.name, "_locked"));
        let away = QualifiedName::new(&name.schema, &meanwhile);
        let sql = format!(
            "alter materialized view {} rename to {}; alter materialized view {} rename to {}",
            name.sql(),
            quote_ident(&meanwhile),
            away.sql(),
            quote_ident(&name.name)
        );
        Statement::new(format!("lock continuous aggregate {name}"), sql)
    };
    let users = aggregates.iter().rev().flat_map(|aggregate| user_locks(&aggregate.users));
    let mut locks: Vec<Statement> = users.chain(aggregates.iter().rev().map(lock)).collect();
    let mut titles = BTreeSet::new();
    // What uses several is there several times.
    locks.retain(|lock| titles.insert(lock.title.clone()));
    locks
}

/// Puts the new aggregates in the old ones' places: names, indexes, jobs, and what uses them.
pub fn in_swap(exchanges: &[Exchange], server: &Server) -> Vec<Statement> {
    let renamed = renames(exchanges).into_iter().flat_map(|rename| rename.statements());
    let follow = exchanges.iter().map(|exchange| (&exchange.old, exchange.new.id));
    renamed.chain(follow_name(exchanges, follow, server)).collect()
}

/// Undoes [`in_swap`].
pub fn in_undo(exchanges: &[Exchange], server: &Server) -> Vec<Statement> {
    let renamed = renames(exchanges).into_iter().rev().flat_map(|rename| rename.inverse().statements());
    let follow = exchanges.iter().map(|exchange| (&exchange.new, exchange.old.id));
    renamed.chain(follow_name(exchanges, follow, server)).collect()
}

/// Jobs and users of one aggregate go to the one of this id, which has its name by then.
fn follow_name<'a>(
    exchanges: &[Exchange],
    follow: impl Iterator<Item = (&'a Aggregate, i32)>,
    server: &Server,
) -> Vec<Statement> {
    let (mut jobs, mut users) = (Vec::new(), Vec::new());
    for (exchange, (from, id)) in exchanges.iter().zip(follow) {
        jobs.extend(hand_over(&from.jobs, from.id, Subject { id, name: &exchange.old.name }, server));
        users.extend(repoint(&from.users));
    }
    let mut titles = BTreeSet::new();
    users.retain(|user: &Statement| titles.insert(user.title.clone()));
    jobs.into_iter().chain(users).collect()
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
pub fn drop_new(exchanges: &[Exchange]) -> Vec<Statement> {
    exchanges.iter().rev().map(|exchange| drop_aggregate(&exchange.new.name)).collect()
}

/// One that is gone already is no mistake.
fn drop_aggregate(name: &QualifiedName) -> Statement {
    let sql = format!("drop materialized view if exists {}", name.sql());
    Statement::new(format!("drop continuous aggregate {name}"), sql)
}

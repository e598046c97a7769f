//! DDL text: what uses a relation by its oid, brought to the relation that has the name now.
//!
//! The same text serves to go and to come back: it names the relation, and whoever has the name is meant. What can be
//! replaced keeps its oid, and with it owner, grants, comment, triggers and whatever is built on it. A materialized view
//! cannot: PostgreSQL has no `create or replace` for it and refuses to replace its rule. It is made anew beside the old one,
//! which can be read until the two exchange their names.
//!
//! **Invariant:** knows neither the old relation nor the new one, only the name that they share.

use std::time::Duration;

use super::materialized::with_clause;
use super::{Statement, materialized};
use crate::catalog::Obstacle;
use crate::catalog::dependents::{
    Dependents, Function, Grant, Grantee, MaterializedIndex, MaterializedView, Policy, Rights, Rule, Statistics, Users,
    View,
};
use crate::ident::{QualifiedName, display_ident, quote_ident};

/// What forbids the exchange. `role` is the one that would do it.
pub fn obstacles(dependents: &Dependents, role: &str) -> Vec<Obstacle> {
    let anew = dependents.materialized_views.iter().flat_map(|view| {
        let itself = obstacle_of_rights("materialized view", view.name.to_string(), &view.rights, role);
        let unreadable = view.heap.indexes.iter().filter(|index| index.body.is_none()).map(|index| {
            let object = format!("{} of materialized view {}", display_ident(&index.name), view.name);
            Obstacle::new("index", object, "its definition cannot be read")
        });
        let users = user_obstacles(&view.users, &format!("the materialized view {}", view.name), role);
        itself.into_iter().chain(unreadable).chain(users).collect::<Vec<_>>()
    });
    user_obstacles(&dependents.users, "the table", role).into_iter().chain(anew).collect()
}

pub(super) fn user_obstacles(users: &Users, used: &str, role: &str) -> Vec<Obstacle> {
    let views = users.views.iter().map(|view| ("view", view.name.to_string(), &view.rights));
    let rules = users.rules.iter().map(|rule| ("rule", rule_object(rule), &rule.rights));
    let functions = users.functions.iter().map(|function| ("function", function.identity.clone(), &function.rights));
    let policies = users.policies.iter().map(|policy| ("policy", policy_object(policy), &policy.rights));
    let replaced = views.chain(rules).chain(functions).chain(policies);
    let reason =
        format!("it refers to {used}, its row type or a part of it by oid, and cannot be changed in its place");
    let others = users.others.iter().map(|identity| Obstacle::new("dependent", identity, &reason));
    replaced.filter_map(|(kind, object, rights)| obstacle_of_rights(kind, object, rights, role)).chain(others).collect()
}

pub(super) fn obstacle_of_rights(
    kind: &str,
    object: impl Into<String>,
    rights: &Rights,
    role: &str,
) -> Option<Obstacle> {
    let (owner, role) = (display_ident(&rights.owner), display_ident(role));
    let reason = match rights {
        Rights { may_act_as_owner: false, .. } => {
            format!("it belongs to {owner}, and {role} may not act for that role")
        }
        Rights { may_create_in_schema: false, .. } => format!("{role} may not create anything in its schema"),
        _ => return None,
    };
    Some(Obstacle::new(kind, object, reason))
}

/// What locks the users of a relation against everybody, to be run in the transaction of the exchange *before* the
/// relation is locked. Who reads a view locks it first and the tables behind it next: a transaction that took them the
/// other way round would meet a reader of a busy view in a deadlock every time. Facts are to be read again behind the
/// relation's lock; if they are others by then, it has to begin anew.
///
/// A transaction that has read the table and wants the view next is met the wrong way round even so. Where the relation's
/// lock is waited for less long than `deadlock_timeout`, it is the exchange that gives way.
pub fn locks(dependents: &Dependents) -> Vec<Statement> {
    user_locks(&dependents.users)
}

pub(super) fn user_locks(users: &Users) -> Vec<Statement> {
    let views = users.views.iter().map(|view| lock_view(&view.name, &view.rights.owner));
    let rules = users.rules.iter().map(|rule| match rule.on_view {
        true => lock_view(&rule.relation, &rule.rights.owner),
        false => lock_table(&rule.relation),
    });
    let policies = users.policies.iter().map(|policy| lock_table(&policy.table));
    let mut locks: Vec<Statement> = views.chain(rules).chain(policies).collect();
    // In one order, so that two of us do not wait for each other.
    locks.sort_by(|one, other| one.title.cmp(&other.title));
    locks.dedup_by(|one, other| one.title == other.title);
    locks
}

/// `lock table` locks everything behind a view, too. Giving it to the role that it belongs to changes nothing and takes
/// the view's own lock alone.
fn lock_view(view: &QualifiedName, owner: &str) -> Statement {
    Statement::new(format!("lock {view}"), format!("alter view {} owner to {}", view.sql(), quote_ident(owner)))
}

fn lock_table(table: &QualifiedName) -> Statement {
    Statement::new(format!("lock {table}"), format!("lock table only {} in access exclusive mode", table.sql()))
}

/// Makes the users of a relation mean whatever has its name now, in the transaction that has exchanged the names. Quick:
/// no row is read.
pub fn in_swap(dependents: &Dependents) -> Vec<Statement> {
    repoint(&dependents.users)
}

pub(super) fn repoint(users: &Users) -> Vec<Statement> {
    let views = users.views.iter().map(replace_view);
    let rules = users.rules.iter().map(replace_rule);
    let functions = users.functions.iter().map(replace_function);
    views.chain(rules).chain(functions).chain(users.policies.iter().filter_map(alter_policy)).collect()
}

fn replace_view(view: &View) -> Statement {
    // Options that are not named would be taken away.
    let options = with_clause(&view.options);
    let sql = format!("create or replace view {}{options} as\n{}", view.name.sql(), query(&view.definition));
    Statement::new(format!("re-point view {}", view.name), sql)
}

/// Whether it is enabled is left as it was.
fn replace_rule(rule: &Rule) -> Statement {
    let sql = rule.definition.replacen("CREATE RULE", "create or replace rule", 1);
    Statement::new(format!("re-point rule {}", rule_object(rule)), query(&sql))
}

fn replace_function(function: &Function) -> Statement {
    Statement::new(format!("re-point function {}", function.identity), function.definition.trim_end())
}

fn alter_policy(policy: &Policy) -> Option<Statement> {
    let clause = |word: &str, expression: &Option<String>| expression.as_ref().map(|text| format!(" {word} ({text})"));
    let clauses: String =
        [clause("using", &policy.using), clause("with check", &policy.check)].into_iter().flatten().collect();
    let sql = format!("alter policy {} on {}{clauses}", quote_ident(&policy.policy), policy.table.sql());
    (!clauses.is_empty()).then(|| Statement::new(format!("re-point policy {}", policy_object(policy)), sql))
}

fn rule_object(rule: &Rule) -> String {
    format!("{} on {}", display_ident(&rule.rule), rule.relation)
}

fn policy_object(policy: &Policy) -> String {
    format!("{} on {}", display_ident(&policy.policy), policy.table)
}

/// Makes materialized views anew, after the commit of the swap: each statement is a transaction of its own, in this
/// order, and is not run again once it is done. Several statements of one step are in one text.
///
/// The old ones are dropped at the end, because one may use another. An exchange back has the same titles: what was noted as
/// done before has to be forgotten in its transaction. Of those that are `gone` meanwhile nothing is left. `job` tells the names
/// that they have meanwhile from those of other jobs; `lock_timeout` is how long an exchange waits for each of its locks,
/// behind which others queue: less than `deadlock_timeout`, as in [`locks`].
pub fn after_swap(dependents: &Dependents, gone: &[QualifiedName], job: i64, lock_timeout: Duration) -> Vec<Statement> {
    let renewals: Vec<Renewal> = dependents
        .materialized_views
        .iter()
        .enumerate()
        .map(|(position, view)| Renewal { view, job, position, lock_timeout })
        .collect();
    let (given_up, renewals): (Vec<Renewal>, Vec<Renewal>) =
        renewals.into_iter().partition(|renewal| gone.contains(&renewal.view.name));
    let made = renewals.iter().flat_map(|renewal| {
        let fill = renewal.view.heap.populated.then(|| renewal.fill());
        std::iter::once(renewal.build()).chain(fill).chain([renewal.exchange()]).chain(renewal.analyze())
    });
    let given_up = given_up.iter().rev().map(Renewal::give_up);
    given_up.chain(made).chain(renewals.iter().rev().map(Renewal::drop_old)).collect()
}

/// The title of the step with which a materialized view begins to be made anew.
pub fn build_title(view: &MaterializedView) -> String {
    step_title("build", view)
}

/// The title of the step with which a materialized view is the new one.
pub fn exchange_title(view: &MaterializedView) -> String {
    step_title("exchange", view)
}

fn step_title(verb: &str, view: &MaterializedView) -> String {
    format!("{verb} materialized view {}", view.name)
}

/// A materialized view that is made anew.
struct Renewal<'a> {
    view: &'a MaterializedView,
    job: i64,
    /// Its place among those of the job.
    position: usize,
    lock_timeout: Duration,
}

impl Renewal<'_> {
    /// A name that always fits and is nobody else's; nobody has to know it.
    fn beside(&self, age: &str) -> QualifiedName {
        QualifiedName::new(&self.view.name.schema, format!("_hypercopy_{}_{age}_{}", self.job, self.position))
    }

    fn index_beside(&self, age: &str, number: usize) -> QualifiedName {
        let beside = self.beside(age);
        QualifiedName::new(beside.schema, format!("{}_{number}", beside.name))
    }

    fn index_name(&self, index: &MaterializedIndex) -> QualifiedName {
        QualifiedName::new(&self.view.name.schema, &index.name)
    }

    /// Without rows at first: as the owner's it can be filled by what the owner may do, and not by what we may.
    fn build(&self) -> Statement {
        let (view, beside) = (self.view, self.beside("new"));
        let (heap, new) = (&view.heap, beside.sql());
        let mut sql = vec![
            // What has no tablespace of its own shall not get the session's.
            "set local default_tablespace = ''".to_string(),
            format!(
                "create materialized view {new} using {}{}{} as\n{}\nwith no data",
                quote_ident(&heap.method),
                with_clause(&heap.options),
                tablespace_clause(heap.tablespace.as_deref()),
                query(&view.definition)
            ),
            format!("alter materialized view {new} owner to {}", quote_ident(&view.rights.owner)),
        ];
        sql.extend(heap.columns.iter().flat_map(|column| texts(materialized::alter_column(&beside, column))));
        sql.extend(texts(materialized::comment("materialized view", &new, view.comment.as_deref())));
        let index =
            |(number, index)| texts(materialized::create_index(&beside, &self.index_beside("new", number).name, index));
        sql.extend(heap.indexes.iter().enumerate().flat_map(index));
        sql.extend(self.grants());
        self.step("build", &sql)
    }

    /// What the old one grants, without what the default privileges of our role have added; the owner is who grants it.
    fn grants(&self) -> Vec<String> {
        let new = self.beside("new").sql();
        let owner = Grantee(Some(self.view.rights.owner.clone()));
        let mut revoked: Vec<&Grantee> = self.view.default_grantees.iter().collect();
        revoked.push(&owner);
        let revokes = revoked.iter().map(|grantee| format!("revoke all on {new} from {}", role(grantee)));
        revokes.chain(self.view.grants.iter().map(|grant| grant_sql(&new, grant))).collect()
    }

    /// As the owner's refresh would, under the settings of a role's own session. The planner knows it before anybody reads it.
    fn fill(&self) -> Statement {
        let new = self.beside("new").sql();
        let sql = [
            "set local search_path = default".to_string(),
            "set local row_security = on".to_string(),
            format!("refresh materialized view {new}"),
            format!("analyze {new}"),
        ];
        self.step("fill", &sql)
    }

    /// The old one goes out of the way, the new one takes its place, and what uses it follows.
    fn exchange(&self) -> Statement {
        let (view, old, new) = (self.view, self.beside("old"), self.beside("new"));
        let mut sql = vec![format!("set local lock_timeout = {}", self.lock_timeout.as_millis())];
        sql.extend(texts(user_locks(&view.users)));
        sql.push(rename("materialized view", &view.name, &old));
        sql.extend(
            self.numbered().map(|(n, index)| rename("index", &self.index_name(index), &self.index_beside("old", n))),
        );
        sql.push(rename("materialized view", &new, &view.name));
        sql.extend(
            self.numbered().map(|(n, index)| rename("index", &self.index_beside("new", n), &self.index_name(index))),
        );
        sql.extend(texts(repoint(&view.users)));
        sql.extend(view.heap.statistics.iter().flat_map(recreate_statistics));
        self.step("exchange", &sql)
    }

    fn numbered(&self) -> impl Iterator<Item = (usize, &MaterializedIndex)> {
        self.view.heap.indexes.iter().enumerate()
    }

    /// Extended statistics have come with the name.
    fn analyze(&self) -> Option<Statement> {
        let needed = self.view.heap.populated && !self.view.heap.statistics.is_empty();
        needed.then(|| self.step("analyze", &[format!("analyze {}", self.view.name.sql())]))
    }

    fn drop_old(&self) -> Statement {
        let sql = [
            format!("set local lock_timeout = {}", self.lock_timeout.as_millis()),
            format!("drop materialized view {}", self.beside("old").sql()),
        ];
        self.step("drop the old", &sql)
    }

    /// Somebody has dropped the old one.
    fn give_up(&self) -> Statement {
        self.step("give up", &[format!("drop materialized view if exists {}", self.beside("new").sql())])
    }

    fn step(&self, verb: &str, sql: &[String]) -> Statement {
        Statement::new(step_title(verb, self.view), sql.join(";\n"))
    }
}

fn rename(kind: &str, from: &QualifiedName, to: &QualifiedName) -> String {
    format!("alter {kind} {} rename to {}", from.sql(), quote_ident(&to.name))
}

/// They belong to the old one until it is out of the way.
fn recreate_statistics(statistics: &Statistics) -> Vec<String> {
    let drop = format!("drop statistics {}", statistics.name.sql());
    std::iter::once(drop).chain(texts(materialized::create_statistics(statistics))).collect()
}

fn texts(statements: impl IntoIterator<Item = Statement>) -> impl Iterator<Item = String> {
    statements.into_iter().map(|statement| statement.sql)
}

fn grant_sql(relation: &str, grant: &Grant) -> String {
    let column = grant.column.as_ref().map(|column| format!(" ({})", quote_ident(column))).unwrap_or_default();
    let privileges: Vec<String> = grant.privileges.iter().map(|privilege| format!("{privilege}{column}")).collect();
    let option = if grant.grantable { " with grant option" } else { "" };
    format!("grant {} on {relation} to {}{option}", privileges.join(", "), role(&grant.grantee))
}

fn role(grantee: &Grantee) -> String {
    grantee.0.as_deref().map_or("public".to_string(), quote_ident)
}

/// A query or statement as the server prints it, without the semicolon at its end.
fn query(definition: &str) -> &str {
    definition.trim_end().trim_end_matches(';')
}

fn tablespace_clause(tablespace: Option<&str>) -> String {
    tablespace.map(|tablespace| format!(" tablespace {}", quote_ident(tablespace))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn materialized_view(name: &str, populated: bool) -> MaterializedView {
        let view = json!({
            "schema": "s", "name": name, "owner": "o", "may_act_as_owner": true, "may_create_in_schema": true,
            "definition": " SELECT 1;", "populated": populated, "method": "heap", "tablespace": null, "options": [],
            "comment": null, "columns": [], "indexes": [], "statistics": [], "grants": [], "default_grantees": [null],
        });
        serde_json::from_value(view).unwrap()
    }

    #[test]
    fn materialized_views_are_made_in_turn_and_the_old_ones_dropped_the_other_way_round() {
        let materialized_views = vec![materialized_view("first", true), materialized_view("second", false)];
        let found = Dependents { users: Users::default(), materialized_views };
        let steps = after_swap(&found, &[], 7, Duration::from_secs(2));
        let titles: Vec<&str> = steps.iter().map(|step| step.title.as_str()).collect();
        let wanted = [
            "build materialized view s.first",
            "fill materialized view s.first",
            "exchange materialized view s.first",
            "build materialized view s.second",
            "exchange materialized view s.second",
            "drop the old materialized view s.second",
            "drop the old materialized view s.first",
        ];
        assert_eq!(titles, wanted);
        assert!(steps[0].sql.contains("revoke all on \"s\".\"_hypercopy_7_new_0\" from public"), "{}", steps[0].sql);
        assert_eq!(steps[6].sql, "set local lock_timeout = 2000;\ndrop materialized view \"s\".\"_hypercopy_7_old_0\"");
        let without_first = after_swap(&found, &[QualifiedName::new("s", "first")], 7, Duration::from_secs(2));
        assert_eq!(without_first[0].sql, "drop materialized view if exists \"s\".\"_hypercopy_7_new_0\"");
        assert!(
            without_first[1].sql.contains("_hypercopy_7_new_1"),
            "the other one keeps its name: {}",
            without_first[1].sql
        );
    }

    #[test]
    fn a_policy_is_altered_in_what_it_has() {
        let policy = |using: Option<&str>, check: Option<&str>| {
            let policy = json!({
                "policy": "p", "schema": "s", "name": "t", "owner": "o", "may_act_as_owner": true,
                "may_create_in_schema": true, "using": using, "check": check,
            });
            alter_policy(&serde_json::from_value(policy).unwrap()).map(|statement| statement.sql)
        };
        assert_eq!(policy(Some("a"), None).unwrap(), "alter policy \"p\" on \"s\".\"t\" using (a)");
        assert_eq!(policy(None, Some("b")).unwrap(), "alter policy \"p\" on \"s\".\"t\" with check (b)");
        assert_eq!(policy(None, None), None);
    }
}

//! DDL text: a view with everything that it has, on another server.
//!
//! **Invariant:** pure. What the server cannot have is listed, with the statement that would make it.

use serde::{Deserialize, Serialize};

use super::Statement;
use super::belongings::create_trigger;
use super::materialized::{self, with_clause};
use super::readers::Move;
use super::retarget::retarget;
use super::trappings::{Bare, Passage};
use crate::catalog::NotCarried;
use crate::catalog::dependents::MaterializedIndex;
use crate::catalog::views::{Kept, Rule, View, ViewPlaces};
use crate::ident::{QualifiedName, display_ident, quote_ident};

/// A view as it is made: what every run of a job wants the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ViewScript {
    /// Its name.
    pub name: QualifiedName,
    /// It keeps rows of its own.
    pub materialized: bool,
    /// What makes it, without rows, and gives it what it has.
    pub making: Vec<Statement>,
    /// What fills it, when all views are there.
    pub filling: Vec<Statement>,
    /// What that costs, in words.
    pub cost: Option<String>,
}

/// The statement that makes a view, without rows.
pub(super) fn create(view: &View, names: Move<'_>) -> Statement {
    let query = retarget(&view.definition, names.from, names.to);
    let name = view.name.sql();
    let sql = match &view.kept {
        None => format!("create view {name}{} as {query}", with_clause(&view.options)),
        Some(Kept { heap, .. }) => {
            let method =
                if heap.method == "heap" { String::new() } else { format!(" using {}", quote_ident(&heap.method)) };
            format!("create materialized view {name}{method}{} as {query} with no data", with_clause(&heap.options))
        }
    };
    Statement::new(create_title(&view.name, view.kept.is_some()), sql)
}

/// The title of the statement that makes it.
pub(super) fn create_title(name: &QualifiedName, materialized: bool) -> String {
    format!("create {} {name}", kind(materialized))
}

/// What SQL calls it.
pub(super) fn kind(materialized: bool) -> &'static str {
    if materialized { "materialized view" } else { "view" }
}

/// A view, where all that its query needs is there; and what is lost of it. `waits` is why it cannot be filled.
pub(super) fn script(
    view: &View,
    names: Move<'_>,
    passage: &Passage<'_>,
    places: &ViewPlaces,
    waits: Option<&str>,
) -> (ViewScript, Vec<NotCarried>) {
    let mut maker = Maker { view, names, places, making: vec![create(view, names)], losses: Vec::new() };
    maker.defaults();
    maker.keep();
    maker.trappings(passage);
    maker.rules();
    maker.triggers();
    let refresh = refresh(view);
    let (filling, lost) = match waits {
        None => (refresh, None),
        Some(reason) => (Vec::new(), lost_refresh(view, refresh, reason)),
    };
    let cost = view.kept.iter().filter(|_| !filling.is_empty()).map(|kept| cost(view, kept)).next();
    let Maker { making, mut losses, .. } = maker;
    losses.extend(lost);
    (ViewScript { name: view.name.clone(), materialized: view.kept.is_some(), making, filling, cost }, losses)
}

/// What fills it as it was filled, and tells the planner.
fn refresh(view: &View) -> Vec<Statement> {
    let name = &view.name;
    let is_filled = view.kept.as_ref().is_some_and(|kept| kept.heap.populated);
    let fill = |verb: &str, sql: &str| Statement::new(format!("{verb} {name}"), format!("{sql} {}", name.sql()));
    is_filled
        .then(|| [fill("refresh", "refresh materialized view"), fill("analyze", "analyze")])
        .into_iter()
        .flatten()
        .collect()
}

fn lost_refresh(view: &View, refresh: Vec<Statement>, reason: &str) -> Option<NotCarried> {
    let sql: Vec<String> = refresh.into_iter().map(|statement| statement.sql).collect();
    let lost = NotCarried::new("rows of a materialized view", view.name.to_string()).because(reason);
    (!sql.is_empty()).then(|| lost.made_by(sql))
}

fn cost(view: &View, kept: &Kept) -> String {
    let size = kept.bytes / 1024;
    format!("materialized view {} is filled by its own query in the end: it takes {size} kB on the source", view.name)
}

struct Maker<'a> {
    view: &'a View,
    names: Move<'a>,
    places: &'a ViewPlaces,
    making: Vec<Statement>,
    losses: Vec<NotCarried>,
}

impl Maker<'_> {
    fn defaults(&mut self) {
        let name = &self.view.name;
        self.making.extend(self.view.defaults.iter().map(|default| {
            let column = quote_ident(&default.column);
            Statement::new(
                format!("set the default of column {} of {name}", display_ident(&default.column)),
                format!("alter view {} alter column {column} set default {}", name.sql(), default.expression),
            )
        }));
    }

    /// What is kept with rows. Comments on columns are among its trappings.
    fn keep(&mut self) {
        let Some(Kept { heap, .. }) = &self.view.kept else { return };
        let name = &self.view.name;
        self.making.extend(heap.tablespace.iter().map(|space| {
            let sql = format!("alter materialized view {} set tablespace {}", name.sql(), quote_ident(space));
            Statement::new(format!("set tablespace of {name}"), sql)
        }));
        self.making.extend(heap.columns.iter().flat_map(|column| materialized::alter_column(name, column)));
        for index in &heap.indexes {
            match index.body {
                Some(_) => self.making.extend(materialized::create_index(name, &index.name, index)),
                None => self.losses.push(self.unreadable_index(index)),
            }
        }
        self.making.extend(heap.statistics.iter().flat_map(materialized::create_statistics));
    }

    fn unreadable_index(&self, index: &MaterializedIndex) -> NotCarried {
        NotCarried::new("index of a materialized view", format!("{} of {}", display_ident(&index.name), self.view.name))
            .because(UNREADABLE)
    }

    fn trappings(&mut self, passage: &Passage<'_>) {
        let bare = Bare::view(&self.view.name, self.view.kept.is_some());
        let mut dressed = passage.dress(&bare, &self.view.trappings);
        self.losses.append(&mut dressed.losses);
        self.making.extend(dressed.statements());
    }

    fn rules(&mut self) {
        let name = &self.view.name;
        for rule in &self.view.rules {
            match self.rule(rule) {
                Some(create) => {
                    let object = format!("{} on {}", quote_ident(&rule.name), name.sql());
                    self.making.push(create);
                    self.making.extend(materialized::comment("rule", &object, rule.comment.as_deref()));
                }
                None => {
                    let lost = NotCarried::new("rule of a view", format!("{} on {name}", display_ident(&rule.name)));
                    self.losses.push(lost.because(UNREADABLE));
                }
            }
        }
    }

    fn rule(&self, rule: &Rule) -> Option<Statement> {
        let (before, after) = rule.around.as_ref()?;
        let after = retarget(after, self.names.from, self.names.to);
        let title = format!("create rule {} on {}", display_ident(&rule.name), self.view.name);
        Some(Statement::new(title, format!("{before}{}{after}", self.view.name.sql())))
    }

    fn triggers(&mut self) {
        let name = &self.view.name;
        for trigger in &self.view.triggers {
            let missing = trigger.needs.iter().find(|need| self.places.missing.contains(need));
            let unreadable = trigger.around.is_none().then(|| UNREADABLE.to_string());
            let reason = missing.map(|need| format!("{} {} is missing on the target", need.kind, need.identity));
            let create = create_trigger(trigger, name);
            match reason.or(unreadable) {
                None => self.making.extend(create),
                Some(reason) => {
                    let object = format!("{} on {name}", display_ident(&trigger.name));
                    let sql = create.into_iter().map(|statement| statement.sql).collect();
                    self.losses.push(NotCarried::new("trigger of a view", object).because(reason).made_by(sql));
                }
            }
        }
    }
}

const UNREADABLE: &str = "its definition cannot be read";

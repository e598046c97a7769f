//! How the changes of a table are noted while it is copied: a table of marks, a function, and triggers.
//!
//! A mark says that something in a bucket has changed. It is written by the transaction that makes the change, so that a
//! snapshot sees the one if and only if it sees the other.

use serde::{Deserialize, Serialize};

use super::dimension::value_sql;
use super::{Buckets, Statement};
use crate::ident::{QualifiedName, quote_ident, quote_literal};

/// What notes changes, for one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// The job's schema, in which the marks are.
    pub schema: String,
    /// What completes the names of the triggers.
    pub job: i64,
    /// Who owns the table: TimescaleDB makes triggers of its chunks as this role.
    pub owner: String,
    /// The grid of the marks.
    pub buckets: Buckets,
    /// The primary dimension's column.
    pub column: String,
    /// The function that makes a value of the dimension of it, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<QualifiedName>,
    /// The schema of TimescaleDB's internal functions.
    pub functions: String,
    /// Triggers for each row: where the server has no transition tables for hypertables, or would crash of them.
    pub by_row: bool,
    /// Columns that nobody may drop meanwhile, because the server would crash of it; none where it does not.
    #[serde(default)]
    pub kept_columns: Vec<String>,
}

/// The name of the view that keeps columns, which is what whoever drops one is told: that the view depends on the column, and
/// that CASCADE would help.
const KEEPER: &str = "cascade would crash the server: end the rechunk first";

impl Capture {
    /// The table of marks.
    pub fn marks(&self) -> QualifiedName {
        QualifiedName::new(&self.schema, "mark")
    }

    /// Makes the table of marks. It has no unique key: writers would wait for each other.
    pub fn make_marks(&self) -> Vec<Statement> {
        let marks = self.marks().sql();
        vec![
            Statement::new("create the table of marks", format!("create table {marks} (bucket bigint not null)")),
            Statement::new("create the index of marks", format!("create index on {marks} (bucket)")),
        ]
    }

    /// Makes every later change of `table` leave a mark. Whoever is not let in by `guard` is told to repeat the statement.
    pub fn install(&self, table: &QualifiedName, guard: Option<&Guard>) -> Vec<Statement> {
        let function = self.function(guard);
        let mut statements = self.keep_columns(table);
        statements.extend([
            Statement::new(format!("create function {function}"), self.create_function(&function, guard)),
            Statement::new(
                format!("keep others from function {function}"),
                format!("revoke all on function {}() from public", function.sql()),
            ),
            Statement::new(
                format!("let {} use function {function}", self.owner),
                format!("grant execute on function {}() to {}", function.sql(), quote_ident(&self.owner)),
            ),
        ]);
        statements.extend(self.triggers(guard).into_iter().map(|(name, event, scope)| {
            Statement::new(
                format!("create trigger {name} on {table}"),
                format!(
                    "create trigger {} {event} on {} {scope} execute function {}()",
                    quote_ident(&name),
                    table.sql(),
                    function.sql()
                ),
            )
        }));
        statements
    }

    /// Ends the noting of changes of `table`. The marks stay.
    pub fn remove(&self, table: &QualifiedName, guard: Option<&Guard>) -> Vec<Statement> {
        let mut statements: Vec<Statement> = self
            .triggers(guard)
            .into_iter()
            .map(|(name, ..)| {
                Statement::new(
                    format!("drop trigger {name} on {table}"),
                    format!("drop trigger if exists {} on {}", quote_ident(&name), table.sql()),
                )
            })
            .collect();
        let function = self.function(guard);
        statements.push(Statement::new(
            format!("drop function {function}"),
            format!("drop function if exists {}()", function.sql()),
        ));
        if !self.kept_columns.is_empty() {
            let keeper = self.keeper().sql();
            statements.push(Statement::new("let columns go", format!("drop view if exists {keeper}")));
        }
        statements
    }

    /// A view needs the columns that it selects.
    fn keep_columns(&self, table: &QualifiedName) -> Vec<Statement> {
        if self.kept_columns.is_empty() {
            return Vec::new();
        }
        let columns: Vec<String> = self.kept_columns.iter().map(|column| quote_ident(column)).collect();
        let select = format!("select {} from {}", columns.join(", "), table.sql());
        vec![Statement::new("keep columns", format!("create view {} as {select}", self.keeper().sql()))]
    }

    fn keeper(&self) -> QualifiedName {
        QualifiedName::new(&self.schema, KEEPER)
    }

    /// Name, event and scope of each trigger. The guard is asked before the statement: an older transaction does not find
    /// rows that are there, so that it would do nothing, or violate a key.
    fn triggers(&self, guard: Option<&Guard>) -> Vec<(String, &'static str, &'static str)> {
        let name = |event: &str| format!("hypercopy_{}_{event}", self.job);
        let mut triggers = match self.by_row {
            true => vec![(name("change"), "after insert or update or delete", "for each row")],
            false => vec![
                (name("insert"), "after insert", "referencing new table as new_rows for each statement"),
                (
                    name("update"),
                    "after update",
                    "referencing old table as old_rows new table as new_rows for each statement",
                ),
                (name("delete"), "after delete", "referencing old table as old_rows for each statement"),
            ],
        };
        if guard.is_some() {
            triggers.push((name("guard"), "before insert or update or delete", "for each statement"));
        }
        triggers
    }

    fn function(&self, guard: Option<&Guard>) -> QualifiedName {
        QualifiedName::new(&self.schema, if guard.is_some() { "note_after_swap" } else { "note" })
    }

    /// Every writer may leave a mark, whoever it is: the function runs as its owner.
    fn create_function(&self, function: &QualifiedName, guard: Option<&Guard>) -> String {
        format!(
            "create function {}() returns trigger language plpgsql security definer \
             set search_path = pg_catalog, pg_temp as {}",
            function.sql(),
            quote_literal(&format!(
                "begin\n{}{}    return null;\nend",
                guard.map(Guard::test).unwrap_or_default(),
                self.note()
            ))
        )
    }

    fn note(&self) -> String {
        let marks = self.marks().sql();
        if self.by_row {
            let (new, old) = (self.bucket("new."), self.bucket("old."));
            return format!(
                "    if tg_op <> 'DELETE' then insert into {marks} values ({new}); end if;\n    \
                 if tg_op = 'DELETE' or (tg_op = 'UPDATE' and {old} <> {new}) then insert into {marks} values ({old}); end if;\n"
            );
        }
        let bucket = self.bucket("");
        format!(
            "    if tg_op = 'INSERT' then\n        insert into {marks} select distinct {bucket} from new_rows;\n    \
             elsif tg_op = 'DELETE' then\n        insert into {marks} select distinct {bucket} from old_rows;\n    \
             else\n        insert into {marks} select {bucket} from old_rows union select {bucket} from new_rows;\n    \
             end if;\n"
        )
    }

    fn bucket(&self, row: &str) -> String {
        let value = value_sql(self.function.as_ref(), &self.column, row);
        let internal = format!("{}.time_to_internal({value})", quote_ident(&self.functions));
        self.buckets.number_sql(&internal)
    }
}

/// What keeps transactions from writing whose snapshot is older than the swap: they would see the new table as it was
/// while it was filled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// The transaction of the swap, as `xid8` prints it.
    pub transaction: String,
}

impl Guard {
    fn test(&self) -> String {
        format!(
            "    if tg_when = 'BEFORE' then\n        \
             if not pg_visible_in_snapshot({}::text::xid8, pg_current_snapshot()) then\n            \
             raise exception 'the table was re-chunked by hypercopy after this transaction began' \
             using errcode = 'serialization_failure', hint = 'Repeat the transaction.';\n        end if;\n        \
             return null;\n    end if;\n",
            quote_literal(&self.transaction)
        )
    }
}

/// Keeps whoever has found the old table before the swap, and has waited for its lock, from writing into it. A COPY that
/// has waited fires the statement triggers of the table that has the name now, and writes to chunks of the one that had
/// it: it is the row trigger, which is on all chunks, that keeps it out.
pub fn close(table: &QualifiedName, capture: &Capture) -> Vec<Statement> {
    let function = QualifiedName::new(&capture.schema, "refuse");
    let body = "begin raise exception 'the table was re-chunked by hypercopy while this statement waited' \
                using errcode = 'serialization_failure', hint = 'Repeat the statement.'; end";
    let trigger = |name: &str, events: &str, scope: &str| {
        Statement::new(
            format!("close {table} by trigger {name}"),
            format!(
                "create trigger {} before {events} on {} for each {scope} execute function {}()",
                quote_ident(name),
                table.sql(),
                function.sql()
            ),
        )
    };
    vec![
        Statement::new(
            format!("create function {function}"),
            format!("create function {}() returns trigger language plpgsql as {}", function.sql(), quote_literal(body)),
        ),
        trigger(&closing_trigger(capture), "insert or update or delete or truncate", "statement"),
        trigger(&closing_row_trigger(capture), "insert or update or delete", "row"),
    ]
}

/// Lets writers in again.
pub fn open(table: &QualifiedName, capture: &Capture) -> Vec<Statement> {
    let function = QualifiedName::new(&capture.schema, "refuse");
    let drop = |name: String| {
        Statement::new(
            format!("open {table} by trigger {name}"),
            format!("drop trigger if exists {} on {}", quote_ident(&name), table.sql()),
        )
    };
    vec![
        drop(closing_trigger(capture)),
        drop(closing_row_trigger(capture)),
        Statement::new(format!("drop function {function}"), format!("drop function if exists {}()", function.sql())),
    ]
}

fn closing_row_trigger(capture: &Capture) -> String {
    format!("hypercopy_{}_closed_rows", capture.job)
}

fn closing_trigger(capture: &Capture) -> String {
    format!("hypercopy_{}_closed", capture.job)
}

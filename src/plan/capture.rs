//! How the changes of a table are noted while it is copied: a table of marks, a function, and triggers.
//!
//! A mark says that something in a bucket has changed. It is written by the transaction that makes the change, so that a
//! snapshot sees the one if and only if it sees the other.

use serde::{Deserialize, Serialize};

use super::{Buckets, Statement};
use crate::ident::{QualifiedName, quote_ident, quote_literal};

/// What notes changes, for one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// The job's schema, in which the marks are.
    pub schema: String,
    /// What completes the names of the triggers.
    pub job: i64,
    /// The grid of the marks.
    pub buckets: Buckets,
    /// The primary dimension's column.
    pub column: String,
    /// The schema of TimescaleDB's internal functions.
    pub functions: String,
    /// Triggers for each row: where the server has no transition tables for hypertables, or would crash of them.
    pub by_row: bool,
}

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
        let mut statements = vec![
            Statement::new(format!("create function {function}"), self.create_function(&function, guard)),
            Statement::new(
                format!("keep others from function {function}"),
                format!("revoke all on function {}() from public", function.sql()),
            ),
        ];
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
        statements
    }

    /// Name, event and scope of each trigger. Where rows are noted one by one, a statement that finds none has to pass
    /// the guard, too: an older transaction does not find all rows that it should.
    fn triggers(&self, guard: Option<&Guard>) -> Vec<(String, &'static str, &'static str)> {
        let name = |event: &str| format!("hypercopy_{}_{event}", self.job);
        if !self.by_row {
            return vec![
                (name("insert"), "after insert", "referencing new table as new_rows for each statement"),
                (
                    name("update"),
                    "after update",
                    "referencing old table as old_rows new table as new_rows for each statement",
                ),
                (name("delete"), "after delete", "referencing old table as old_rows for each statement"),
            ];
        }
        let mut triggers = vec![(name("change"), "after insert or update or delete", "for each row")];
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
            quote_literal(&format!("begin\n{}{}    return null;\nend", self.guarded(guard), self.note()))
        )
    }

    fn guarded(&self, guard: Option<&Guard>) -> String {
        let Some(test) = guard.map(Guard::test) else { return String::new() };
        match self.by_row {
            true => format!("    if tg_level = 'STATEMENT' then\n{test}        return null;\n    end if;\n"),
            false => test,
        }
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
        let internal = format!("{}.time_to_internal({row}{})", quote_ident(&self.functions), quote_ident(&self.column));
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
            "    if not pg_visible_in_snapshot({}::text::xid8, pg_current_snapshot()) then\n        \
             raise exception 'the table was re-chunked by hypercopy after this transaction began' \
             using errcode = 'serialization_failure', hint = 'Repeat the transaction.';\n    end if;\n",
            quote_literal(&self.transaction)
        )
    }
}

/// Keeps whoever has found the old table before the swap, and has waited for its lock, from writing into it.
pub fn close(table: &QualifiedName, capture: &Capture) -> Vec<Statement> {
    let function = QualifiedName::new(&capture.schema, "refuse");
    let body = "begin raise exception 'the table was re-chunked by hypercopy while this statement waited' \
                using errcode = 'serialization_failure', hint = 'Repeat the statement.'; end";
    vec![
        Statement::new(
            format!("create function {function}"),
            format!("create function {}() returns trigger language plpgsql as {}", function.sql(), quote_literal(body)),
        ),
        Statement::new(
            format!("close {table}"),
            format!(
                "create trigger {} before insert or update or delete or truncate on {} for each statement execute function {}()",
                quote_ident(&closing_trigger(capture)),
                table.sql(),
                function.sql()
            ),
        ),
    ]
}

/// Lets writers in again.
pub fn open(table: &QualifiedName, capture: &Capture) -> Vec<Statement> {
    let function = QualifiedName::new(&capture.schema, "refuse");
    vec![
        Statement::new(
            format!("open {table}"),
            format!("drop trigger if exists {} on {}", quote_ident(&closing_trigger(capture)), table.sql()),
        ),
        Statement::new(format!("drop function {function}"), format!("drop function if exists {}()", function.sql())),
    ]
}

fn closing_trigger(capture: &Capture) -> String {
    format!("hypercopy_{}_closed", capture.job)
}

//! How a table, its columns and its indexes are tuned, guarded and explained.

use super::{Belonging, Statement, turn};
use crate::catalog::belongings::{
    Belongings, ColumnSetting, Comment, CommentOn, IndexSettings, NotNull, Policy, ReplicaIdentity, StorageParameter,
    TableSettings,
};
use crate::ident::{QualifiedName, display_ident, quote_ident, quote_literal};
use crate::plan::set_owner;

/// Gives the table to its owner.
pub(super) fn owner(have: &TableSettings, wanted: &TableSettings, table: &QualifiedName) -> Vec<Statement> {
    (have.owner != wanted.owner).then(|| set_owner(table, &wanted.owner)).into_iter().collect()
}

pub(super) fn of_empty_table(have: &Belongings, wanted: &Belongings, table: &QualifiedName) -> Vec<Statement> {
    let main = |parameter: &&StorageParameter| !parameter.toast;
    let of_table = |comment: &&Comment| matches!(comment.on, CommentOn::Table | CommentOn::Column(_));
    let mut statements = tablespace(&have.table, &wanted.table, table);
    statements.extend(not_null_names(have, wanted, table));
    statements.extend(turn(
        have.storage_parameters.iter().filter(main),
        wanted.storage_parameters.iter().filter(main),
        table,
    ));
    statements.extend(turn(have.column_settings.iter(), wanted.column_settings.iter(), table));
    statements.extend(row_security(&have.table, &wanted.table, table));
    if !matches!(wanted.table.replica_identity, ReplicaIdentity::Index(_)) {
        statements.extend(replica_identity(&have.table, &wanted.table, table));
    }
    statements.extend(turn(have.comments.iter().filter(of_table), wanted.comments.iter().filter(of_table), table));
    statements
}

pub(super) fn behind_indexes(have: &Belongings, wanted: &Belongings, table: &QualifiedName) -> Vec<Statement> {
    // TimescaleDB brings these to the chunks that there are, but not to those that it makes later.
    let toast = |parameter: &&StorageParameter| parameter.toast;
    let of_parts = |comment: &&Comment| matches!(comment.on, CommentOn::Constraint(_) | CommentOn::Index(_));
    let mut statements =
        turn(have.storage_parameters.iter().filter(toast), wanted.storage_parameters.iter().filter(toast), table);
    statements.extend(wanted.indexes.iter().flat_map(|index| {
        have.indexes.iter().filter(|have| have.name == index.name).flat_map(|have| index_settings(have, index, table))
    }));
    if matches!(wanted.table.replica_identity, ReplicaIdentity::Index(_)) {
        statements.extend(replica_identity(&have.table, &wanted.table, table));
    }
    statements.extend(clustered(&have.table, &wanted.table, table));
    statements.extend(turn(have.comments.iter().filter(of_parts), wanted.comments.iter().filter(of_parts), table));
    statements
}

fn alter(table: &QualifiedName, action: impl AsRef<str>, title: impl Into<String>) -> Statement {
    Statement::new(title, format!("alter table {} {}", table.sql(), action.as_ref()))
}

/// TimescaleDB attaches the tablespace to the hypertable as well, for its chunks.
pub(super) fn tablespace(have: &TableSettings, wanted: &TableSettings, table: &QualifiedName) -> Vec<Statement> {
    let missing = wanted.tablespace.iter().filter(|_| have.tablespace != wanted.tablespace);
    missing
        .map(|name| {
            let title = format!("set tablespace of {table} to {}", display_ident(name));
            alter(table, format!("set tablespace {}", quote_ident(name)), title)
        })
        .collect()
}

fn not_null_names(have: &Belongings, wanted: &Belongings, table: &QualifiedName) -> Vec<Statement> {
    let named_otherwise = wanted.not_nulls.iter().filter_map(|not_null| {
        let have = have.not_nulls.iter().find(|have| have.column == not_null.column)?;
        (have.name != not_null.name).then_some((&have.name, &not_null.name))
    });
    named_otherwise
        .map(|(have, wanted)| {
            let action = format!("rename constraint {} to {}", quote_ident(have), quote_ident(wanted));
            alter(table, action, format!("rename constraint {} to {}", display_ident(have), display_ident(wanted)))
        })
        .collect()
}

/// NOT NULL that rows may break which were there before it.
pub(super) fn unproven_not_nulls(have: &Belongings, wanted: &Belongings, table: &QualifiedName) -> Vec<Statement> {
    let is_missing = |wanted: &&NotNull| !have.not_nulls.iter().any(|have| have.column == wanted.column);
    let missing = wanted.not_nulls.iter().filter(|wanted| !wanted.validated).filter(is_missing);
    missing.map(|not_null| add_unproven(not_null, table)).collect()
}

pub(super) fn add_unproven(not_null: &NotNull, table: &QualifiedName) -> Statement {
    let (name, column) = (quote_ident(&not_null.name), quote_ident(&not_null.column));
    let title = format!("add constraint {}", display_ident(&not_null.name));
    alter(table, format!("add constraint {name} not null {column} not valid"), title)
}

pub(super) fn row_security(have: &TableSettings, wanted: &TableSettings, table: &QualifiedName) -> Vec<Statement> {
    let enable = if wanted.row_security { "enable" } else { "disable" };
    let force = if wanted.row_security_forced { "force" } else { "no force" };
    let set = |verb: &str| {
        alter(table, format!("{verb} row level security"), format!("{verb} row level security of {table}"))
    };
    let enable = (have.row_security != wanted.row_security).then(|| set(enable));
    enable.into_iter().chain((have.row_security_forced != wanted.row_security_forced).then(|| set(force))).collect()
}

fn replica_identity(have: &TableSettings, wanted: &TableSettings, table: &QualifiedName) -> Option<Statement> {
    let identity = match &wanted.replica_identity {
        identity if *identity == have.replica_identity => return None,
        ReplicaIdentity::Default => "default".to_string(),
        ReplicaIdentity::Full => "full".to_string(),
        ReplicaIdentity::Nothing => "nothing".to_string(),
        ReplicaIdentity::Index(index) => format!("using index {}", quote_ident(index)),
    };
    Some(alter(table, format!("replica identity {identity}"), format!("set replica identity of {table}")))
}

fn clustered(have: &TableSettings, wanted: &TableSettings, table: &QualifiedName) -> Option<Statement> {
    let (action, title) = match &wanted.clustered_index {
        index if *index == have.clustered_index => return None,
        Some(index) => {
            (format!("cluster on {}", quote_ident(index)), format!("mark {} as clustered", display_ident(index)))
        }
        None => ("set without cluster".to_string(), format!("mark {table} as not clustered")),
    };
    Some(alter(table, action, title))
}

/// A tablespace moves what an index holds, and TimescaleDB does it for its chunks' indexes, too.
pub(super) fn index_settings(have: &IndexSettings, wanted: &IndexSettings, table: &QualifiedName) -> Vec<Statement> {
    let name = QualifiedName::new(&table.schema, &wanted.name);
    let alter = |action: String, title: String| Statement::new(title, format!("alter index {} {action}", name.sql()));
    let tablespace = wanted.tablespace.iter().filter(|_| have.tablespace != wanted.tablespace).map(|tablespace| {
        let title = format!("set tablespace of index {name} to {}", display_ident(tablespace));
        alter(format!("set tablespace {}", quote_ident(tablespace)), title)
    });
    let targets = wanted.statistics_targets.iter().filter(|target| !have.statistics_targets.contains(target));
    let targets = targets.map(|(column, target)| {
        let title = format!("set statistics of column {column} of index {name}");
        alter(format!("alter column {column} set statistics {target}"), title)
    });
    tablespace.chain(targets).collect()
}

impl Belonging for StorageParameter {
    fn put_on(&self, table: &QualifiedName) -> Vec<Statement> {
        let action = format!("set ({} = {})", self.sql(), quote_literal(&self.value));
        vec![alter(table, action, format!("set {} of {table}", self.display()))]
    }

    fn take_off(&self, table: &QualifiedName) -> Statement {
        alter(table, format!("reset ({})", self.sql()), format!("reset {} of {table}", self.display()))
    }
}

impl StorageParameter {
    fn sql(&self) -> String {
        format!("{}{}", if self.toast { "toast." } else { "" }, quote_ident(&self.name))
    }

    fn display(&self) -> String {
        format!("{}{}", if self.toast { "toast." } else { "" }, self.name)
    }
}

impl Belonging for ColumnSetting {
    fn put_on(&self, table: &QualifiedName) -> Vec<Statement> {
        let action = match &self.option {
            None => format!("set statistics {}", self.value),
            Some(option) => format!("set ({} = {})", quote_ident(option), quote_literal(&self.value)),
        };
        vec![self.alter(table, &action, "set")]
    }

    fn take_off(&self, table: &QualifiedName) -> Statement {
        let action = match &self.option {
            None => "set statistics -1".to_string(),
            Some(option) => format!("reset ({})", quote_ident(option)),
        };
        self.alter(table, &action, "reset")
    }
}

impl ColumnSetting {
    fn alter(&self, table: &QualifiedName, action: &str, verb: &str) -> Statement {
        let what = self.option.as_deref().unwrap_or("statistics");
        let title = format!("{verb} {what} of column {}", display_ident(&self.column));
        alter(table, format!("alter column {} {action}", quote_ident(&self.column)), title)
    }
}

impl Belonging for Comment {
    fn put_on(&self, table: &QualifiedName) -> Vec<Statement> {
        let (object, display) = self.on.object(table);
        vec![comment(&object, &display, &self.text)]
    }

    fn take_off(&self, table: &QualifiedName) -> Statement {
        let (object, display) = self.on.object(table);
        Statement::new(format!("remove comment on {display}"), format!("comment on {object} is null"))
    }
}

impl CommentOn {
    /// As SQL, and for people.
    pub(super) fn object(&self, table: &QualifiedName) -> (String, String) {
        let sql = table.sql();
        match self {
            CommentOn::Table => (format!("table {sql}"), format!("table {table}")),
            CommentOn::Column(name) => {
                (format!("column {sql}.{}", quote_ident(name)), format!("column {}", display_ident(name)))
            }
            CommentOn::Constraint(name) => {
                (format!("constraint {} on {sql}", quote_ident(name)), format!("constraint {}", display_ident(name)))
            }
            CommentOn::Index(name) => {
                let index = QualifiedName::new(&table.schema, name);
                (format!("index {}", index.sql()), format!("index {index}"))
            }
        }
    }
}

pub(super) fn comment(object: &str, display: &str, text: &str) -> Statement {
    Statement::new(format!("comment on {display}"), format!("comment on {object} is {}", quote_literal(text)))
}

/// The same for what has a name within the table.
pub(super) fn comment_on(kind: &str, name: &str, table: &QualifiedName, text: &str) -> Statement {
    let object = format!("{kind} {} on {}", quote_ident(name), table.sql());
    comment(&object, &format!("{kind} {} of {table}", display_ident(name)), text)
}

impl Belonging for Policy {
    fn put_on(&self, table: &QualifiedName) -> Vec<Statement> {
        let kind = if self.permissive { "permissive" } else { "restrictive" };
        let role = |role: &Option<String>| role.as_deref().map_or_else(|| "public".to_string(), quote_ident);
        let roles: Vec<String> = self.roles.iter().map(role).collect();
        let using = self.using.iter().map(|expression| format!(" using ({expression})"));
        let check = self.check.iter().map(|expression| format!(" with check ({expression})"));
        let sql = format!(
            "create policy {} on {} as {kind} for {} to {}{}",
            quote_ident(&self.name),
            table.sql(),
            self.command,
            roles.join(", "),
            using.chain(check).collect::<String>()
        );
        let create = Statement::new(format!("create policy {}", display_ident(&self.name)), sql);
        let comment = self.comment.iter().map(|text| comment_on("policy", &self.name, table, text));
        std::iter::once(create).chain(comment).collect()
    }

    fn take_off(&self, table: &QualifiedName) -> Statement {
        Statement::new(
            format!("drop policy {}", display_ident(&self.name)),
            format!("drop policy {} on {}", quote_ident(&self.name), table.sql()),
        )
    }
}

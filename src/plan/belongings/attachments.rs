//! What acts when rows are written, or is told of them: triggers, foreign keys in both directions, publications.

use super::settings::comment_on;
use super::{Belonging, Statement};
use crate::catalog::belongings::{
    Belongings, ForeignKey, Publication, PublicationScope, ReferencingKey, Trigger, TriggerState,
};
use crate::ident::{QualifiedName, display_ident, quote_columns, quote_ident};

impl Belonging for Trigger {
    fn put_on(&self, table: &QualifiedName) -> Vec<Statement> {
        let Some((before, after)) = &self.around else { return Vec::new() };
        let name = display_ident(&self.name);
        let create = Statement::new(format!("create trigger {name}"), format!("{before}{}{after}", table.sql()));
        let state = self.state().map(|state| {
            let action = format!("{state} trigger");
            let sql = format!("alter table {} {action} {}", table.sql(), quote_ident(&self.name));
            Statement::new(format!("{action} {name}"), sql)
        });
        let comment = self.comment.iter().map(|text| comment_on("trigger", &self.name, table, text));
        std::iter::once(create).chain(state).chain(comment).collect()
    }

    fn take_off(&self, table: &QualifiedName) -> Statement {
        Statement::new(
            format!("drop trigger {}", display_ident(&self.name)),
            format!("drop trigger {} on {}", quote_ident(&self.name), table.sql()),
        )
    }
}

impl Trigger {
    /// What a new trigger is not by itself.
    fn state(&self) -> Option<&'static str> {
        match self.enabled {
            TriggerState::Origin => None,
            TriggerState::Disabled => Some("disable"),
            TriggerState::Replica => Some("enable replica"),
            TriggerState::Always => Some("enable always"),
        }
    }
}

impl Belonging for ForeignKey {
    fn put_on(&self, table: &QualifiedName) -> Vec<Statement> {
        let add = add_unvalidated(table, &self.name, &self.definition);
        let comment = self.comment.iter().map(|text| comment_on("constraint", &self.name, table, text));
        std::iter::once(add).chain(comment).collect()
    }

    fn take_off(&self, table: &QualifiedName) -> Statement {
        drop_constraint(table, &self.name)
    }
}

impl Belonging for ReferencingKey {
    fn put_on(&self, table: &QualifiedName) -> Vec<Statement> {
        let Some((before, after)) = &self.around else { return Vec::new() };
        let add = add_unvalidated(&self.referencing, &self.name, &format!("{before}{}{after}", table.sql()));
        let comment = self.comment.iter().map(|text| comment_on("constraint", &self.name, &self.referencing, text));
        std::iter::once(add).chain(comment).collect()
    }

    fn take_off(&self, _: &QualifiedName) -> Statement {
        drop_constraint(&self.referencing, &self.name)
    }
}

/// On a hypertable it comes to all chunks, unvalidated there as well.
fn add_unvalidated(table: &QualifiedName, name: &str, definition: &str) -> Statement {
    Statement::new(
        format!("add foreign key {} of {table}", display_ident(name)),
        format!("alter table {} add constraint {} {definition} not valid", table.sql(), quote_ident(name)),
    )
}

fn drop_constraint(table: &QualifiedName, name: &str) -> Statement {
    Statement::new(
        format!("drop foreign key {} of {table}", display_ident(name)),
        format!("alter table {} drop constraint {}", table.sql(), quote_ident(name)),
    )
}

/// Validates the foreign keys, in both directions, that were validated.
pub(super) fn validate(wanted: &Belongings, table: &QualifiedName) -> Vec<Statement> {
    let own = wanted.foreign_keys.iter().filter(|key| key.validated).map(|key| (table, &key.name));
    let others = wanted.referencing_keys.iter().filter(|key| key.validated).map(|key| (&key.referencing, &key.name));
    own.chain(others).map(|(table, name)| validate_key(table, name)).collect()
}

pub(super) fn validate_key(table: &QualifiedName, name: &str) -> Statement {
    Statement::new(
        format!("validate foreign key {} of {table}", display_ident(name)),
        format!("alter table {} validate constraint {}", table.sql(), quote_ident(name)),
    )
}

/// Makes the table a member of its publications, and its chunks where they were. Chunks that it has left there stay
/// members, so those are members already of a table that comes back; nothing is written to them while it is away.
pub(super) fn publish(have: &[Publication], wanted: &[Publication], table: &QualifiedName) -> Vec<Statement> {
    let of = |name: &str| have.iter().find(|have| have.name == name);
    let missing = wanted.iter().filter(|wanted| of(&wanted.name) != Some(wanted));
    missing
        .flat_map(|wanted| {
            let have = of(&wanted.name);
            let changed = have.filter(|have| have.table).map(|_| unpublish(wanted, table));
            let only = !wanted.chunks || have.is_some_and(|have| have.chunks);
            changed.into_iter().chain([add(wanted, table, only)])
        })
        .collect()
}

pub(super) fn add(publication: &Publication, table: &QualifiedName, only: bool) -> Statement {
    let columns = publication.columns.iter();
    let columns = columns.map(|names| format!(" ({})", quote_columns(names.iter().map(String::as_str))));
    let filter = publication.filter.iter().map(|filter| format!(" where ({filter})"));
    let details: String = columns.chain(filter).collect();
    let only = if only { "only " } else { "" };
    Statement::new(
        format!("add {table} to publication {}", display_ident(&publication.name)),
        format!("alter publication {} add table {only}{}{details}", quote_ident(&publication.name), table.sql()),
    )
}

/// Lets a publication publish what it publishes without naming the table.
pub(super) fn add_scope(publication: &Publication, scope: PublicationScope, table: &QualifiedName) -> Statement {
    let name = quote_ident(&publication.name);
    let sql = match scope {
        PublicationScope::AllTables => format!("create publication {name} for all tables"),
        PublicationScope::Schema => {
            format!("alter publication {name} add tables in schema {}", quote_ident(&table.schema))
        }
    };
    Statement::new(format!("publish {table} by publication {}", display_ident(&publication.name)), sql)
}

/// Takes the table alone out of a publication: PostgreSQL would refuse to take out chunks of which one is no member.
pub(super) fn unpublish(publication: &Publication, table: &QualifiedName) -> Statement {
    Statement::new(
        format!("drop {table} from publication {}", display_ident(&publication.name)),
        format!("alter publication {} drop table only {}", quote_ident(&publication.name), table.sql()),
    )
}

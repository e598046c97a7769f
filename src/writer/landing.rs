//! Where the rows of an import go, and the statements that take them there.
//!
//! **Invariant:** text only; what it is sent to is the business of [`block`](super::block).

use crate::csv::Dialect;
use crate::ident::{QualifiedName, quote_columns, quote_ident, quote_literal};
use crate::ledger::Claim;
use crate::pgcopy::Format;

/// Where the rows of all blocks go.
pub struct Landing {
    /// The run that writes.
    pub claim: Claim,
    /// The table.
    pub table: QualifiedName,
    /// The columns that the files give, in their order.
    pub columns: Vec<String>,
    /// How records of the files are written.
    pub dialect: Dialect,
    /// The encoding of the files, by PostgreSQL's name, where it is not UTF-8.
    pub encoding: Option<String>,
    /// Whether a trigger of the table may take rows away.
    pub may_suppress: bool,
    /// What becomes of a row whose key is there already; an error where there is none.
    pub merge: Option<Merge>,
}

/// What becomes of a row whose key is there already.
#[derive(Clone, Debug)]
pub struct Merge {
    /// The columns of the key.
    pub key: Vec<String>,
    /// Columns that the new row overwrites; none where the first one wins.
    pub overwritten: Vec<String>,
    /// Columns that stay as the first row had them, because the server lets nobody change them.
    pub kept: Vec<String>,
    /// Whether nulls of the key are equal to each other.
    pub nulls_equal: bool,
}

impl Landing {
    /// The statement that loads rows where they go; with a [`Merge`], where they wait for it.
    pub fn copy_in(&self, format: Format) -> String {
        let encoding = match (&self.encoding, format) {
            (Some(name), Format::Text) => format!(", encoding {}", quote_literal(name)),
            _ => String::new(),
        };
        let columns = quote_columns(self.columns.iter().map(String::as_str));
        let (table, columns) = match &self.merge {
            None => (self.table.sql(), columns),
            Some(_) => (STAGE.to_string(), format!("{columns}, {}", quote_ident(&self.position()))),
        };
        format!("copy {table} ({columns}) from stdin (format {}{encoding})", format.name())
    }

    /// What the server calls the table of [`Landing::copy_in`] in the context of an error.
    pub fn copied_relation(&self) -> &str {
        match self.merge {
            None => &self.table.name,
            Some(_) => STAGE_NAME,
        }
    }

    /// Makes the table in which rows wait, once in a session: the columns' types and nothing else, and each row's place.
    pub fn create_stage(&self) -> String {
        let columns = quote_columns(self.columns.iter().map(String::as_str));
        let (table, position) = (self.table.sql(), quote_ident(&self.position()));
        format!(
            "create temporary table if not exists {STAGE_NAME} on commit delete rows as \
             select {columns}, 0::int8 as {position} from {table} with no data"
        )
    }

    /// Takes the waiting rows where they go, in the order of the file. Of several with one key the first one stays, or the
    /// last, as the merge would have it.
    pub fn merge(&self, merge: &Merge) -> String {
        let columns = quote_columns(self.columns.iter().map(String::as_str));
        let key = quote_columns(merge.key.iter().map(String::as_str));
        let (table, position) = (self.table.sql(), quote_ident(&self.position()));
        let insert = format!("insert into {table} ({columns}) overriding system value select");
        if merge.overwritten.is_empty() {
            return format!("{insert} {columns} from {STAGE} order by {position} on conflict ({key}) do nothing");
        }
        let has_null: Vec<String> = match merge.nulls_equal {
            true => Vec::new(),
            false => merge.key.iter().map(|column| format!("{} is null", quote_ident(column))).collect(),
        };
        let or_null: String = has_null.iter().map(|is_null| format!(" or {is_null}")).collect();
        let set: Vec<String> = merge.overwritten.iter().map(|column| quote_ident(column)).collect();
        let set: Vec<String> = set.iter().map(|column| format!("{column} = excluded.{column}")).collect();
        let last = quote_ident(&format!("{} last", self.position()));
        let staged: Vec<String> =
            self.columns.iter().map(|column| self.staged(column, merge, &key, &has_null)).collect();
        format!(
            "{insert} {columns} from (select {}, {position}, pg_catalog.max({position}) over (partition by {key}) as {last} \
             from {STAGE}) staged where {position} operator(pg_catalog.=) {last}{or_null} order by {position} \
             on conflict ({key}) do update set {}",
            staged.join(", "),
            set.join(", ")
        )
    }

    /// A column of the waiting rows: as it is, or as the first row of its key has it.
    fn staged(&self, column: &String, merge: &Merge, key: &str, has_null: &[String]) -> String {
        let (name, position) = (quote_ident(column), quote_ident(&self.position()));
        if !merge.kept.contains(column) {
            return name;
        }
        let first = format!("pg_catalog.first_value({name}) over (partition by {key} order by {position})");
        match has_null.is_empty() {
            true => format!("{first} as {name}"),
            false => format!("case when {} then {name} else {first} end as {name}", has_null.join(" or ")),
        }
    }

    /// A column's name that none of the others has.
    fn position(&self) -> String {
        let mut name = "position in file".to_string();
        while self.columns.contains(&name) {
            name.push('_');
        }
        name
    }
}

/// The table in which rows wait.
const STAGE: &str = "pg_temp.hypercopy_stage";
const STAGE_NAME: &str = "hypercopy_stage";
/// Empties it.
pub const EMPTY_STAGE: &str = "truncate pg_temp.hypercopy_stage";

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ledger::JobId;

    pub(in crate::writer) fn landing(merge: Option<Merge>) -> Landing {
        Landing {
            claim: Claim { job: JobId(1), run: 1 },
            table: QualifiedName::new("app", "Odd"),
            columns: vec!["time".into(), "v".into(), "position in file".into()],
            dialect: Dialect::default(),
            encoding: Some("LATIN1".into()),
            may_suppress: false,
            merge,
        }
    }

    #[test]
    fn only_text_has_an_encoding() {
        let landing = landing(None);
        let columns = "\"time\", \"v\", \"position in file\"";
        assert_eq!(
            landing.copy_in(Format::Text),
            format!("copy \"app\".\"Odd\" ({columns}) from stdin (format text, encoding 'LATIN1')")
        );
        assert_eq!(
            landing.copy_in(Format::Binary),
            format!("copy \"app\".\"Odd\" ({columns}) from stdin (format binary)")
        );
    }

    #[test]
    fn the_place_of_a_row_has_a_name_of_its_own() {
        let merge = Merge { key: vec!["time".into()], overwritten: Vec::new(), kept: Vec::new(), nulls_equal: false };
        let landing = landing(Some(merge.clone()));
        assert!(landing.copy_in(Format::Text).contains("\"position in file\", \"position in file_\")"));
        assert!(landing.merge(&merge).ends_with("order by \"position in file_\" on conflict (\"time\") do nothing"));
    }

    #[test]
    fn rows_whose_key_has_a_null_are_all_kept() {
        let merge = |nulls_equal| Merge {
            key: vec!["v".into()],
            overwritten: vec!["time".into()],
            kept: Vec::new(),
            nulls_equal,
        };
        let landing = landing(None);
        assert!(landing.merge(&merge(false)).contains(" or \"v\" is null order by"));
        assert!(!landing.merge(&merge(true)).contains("is null"));
        assert!(landing.merge(&merge(true)).ends_with("do update set \"time\" = excluded.\"time\""));
    }
}

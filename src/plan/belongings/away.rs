//! Where the names go that a table shares with the one that takes its place: of indexes, identity sequences and extended
//! statistics. Names of other constraints, triggers and policies live within their table and never meet.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::Statement;
use super::obstacles::is_at_least;
use super::statistics::{provisional, rename};
use crate::catalog::Server;
use crate::catalog::belongings::Belongings;
use crate::ident::{QualifiedName, quote_ident};
use crate::plan::ddl::with_suffix;

/// The names of a table that leaves, as they are afterwards. Kept until it comes back.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Away {
    /// What the table is called then.
    pub table: QualifiedName,
    /// Names of its objects that do not simply follow it into its schema.
    pub renames: Vec<Rename>,
}

/// A name, and the one in its place.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Rename {
    /// Of what.
    pub what: Renamed,
    /// As it is.
    pub from: QualifiedName,
    /// As it will be.
    pub to: QualifiedName,
}

/// Kinds of objects that are renamed.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Renamed {
    /// An index, and with it the constraint that it belongs to.
    Index,
    /// A sequence.
    Sequence,
    /// Extended statistics.
    Statistics,
}

impl Away {
    /// Everything stays in its schema and gets `suffix` (`_old_7`); names are cut to fit, and numbered where that makes
    /// two of them the same, or where one is among the `taken` ones of the table's schema.
    pub fn beside(leaving: &Belongings, table: &QualifiedName, suffix: &str, taken: &[String]) -> Away {
        let mut names = Names { suffix, used: taken.iter().map(|name| (table.schema.clone(), name.clone())).collect() };
        let away = names.give(table);
        let here = |name: &String| QualifiedName::new(&table.schema, name);
        let indexes = leaving.indexes.iter().map(|index| (Renamed::Index, here(&index.name)));
        let sequences = leaving.identity_sequences.iter().map(|sequence| (Renamed::Sequence, here(&sequence.name)));
        let statistics = leaving.statistics.iter().map(|statistics| (Renamed::Statistics, statistics.name.clone()));
        let renames = indexes.chain(sequences).chain(statistics);
        let renames = renames.map(|(what, from)| Rename { what, to: names.give(&from), from }).collect();
        Away { table: away, renames }
    }

    /// The table goes into `schema`, and its indexes and sequences with it; only statistics do not follow by themselves.
    pub fn into_schema(leaving: &Belongings, table: &QualifiedName, schema: &str) -> Away {
        let away = QualifiedName::new(schema, &table.name);
        let renames = leaving.statistics.iter().enumerate().map(|(number, statistics)| Rename {
            what: Renamed::Statistics,
            from: statistics.name.clone(),
            to: provisional(&away, number),
        });
        Away { renames: renames.collect(), table: away }
    }

    /// Frees the names, behind [`take_off`](super::take_off). The table's own is the caller's to change.
    pub fn leave(&self) -> Vec<Statement> {
        self.renames.iter().flat_map(|rename| rename.statements(Rename::root_index)).collect()
    }

    /// Gives the names back, when they are free again.
    ///
    /// A chunk that was made while the table was away, which its guard is there to prevent, has the constraints of that
    /// time: 2.31 does not drop its key together with the table's afterwards. 2.19 does.
    pub fn come_back(&self, server: &Server) -> Vec<Statement> {
        let index = if is_at_least(server, (2, 22)) { Rename::root_index } else { Rename::index_of_late_chunks };
        self.renames.iter().rev().flat_map(|rename| rename.reversed().statements(index)).collect()
    }

    /// What an identity sequence of the table is called when it is away.
    pub(super) fn sequence(&self, name: &str) -> QualifiedName {
        let is_it = |rename: &&Rename| rename.what == Renamed::Sequence && rename.from.name == name;
        let renamed = self.renames.iter().find(is_it).map(|rename| rename.to.clone());
        renamed.unwrap_or_else(|| QualifiedName::new(&self.table.schema, name))
    }
}

impl Rename {
    fn reversed(&self) -> Rename {
        Rename { what: self.what, from: self.to.clone(), to: self.from.clone() }
    }

    fn statements(&self, index: fn(&Rename) -> Statement) -> Vec<Statement> {
        match self.what {
            Renamed::Index => vec![index(self)],
            Renamed::Sequence => rename("sequence", &self.from, &self.to),
            Renamed::Statistics => rename("statistics", &self.from, &self.to),
        }
    }

    /// Renames the index of the hypertable, and its constraint, and none of its chunks' indexes: PostgreSQL takes ALTER
    /// TABLE for an index, too, and TimescaleDB does not look for one there. `alter index … rename` renames the chunks'
    /// indexes one by one under the lock of the swap, which with 1,000 of them was measured to take 35 times as long.
    ///
    /// Until 2.21 TimescaleDB knows a chunk's index by the hypertable's index's name, so that on a table whose indexes
    /// are called otherwise for now `on conflict` finds no index. Nobody writes to a table that is away, and coming
    /// back it is whole again; dropping it, or chunks of it, does not depend on it.
    fn root_index(&self) -> Statement {
        self.rename_index("table")
    }

    /// Renames the index for TimescaleDB, too, which knows chunks under the away name only if they were made while the
    /// table was away, against all plans.
    fn index_of_late_chunks(&self) -> Statement {
        self.rename_index("index")
    }

    fn rename_index(&self, kind: &str) -> Statement {
        Statement::new(
            format!("rename index {} to {}", self.from, self.to.name),
            format!("alter {kind} {} rename to {}", self.from.sql(), quote_ident(&self.to.name)),
        )
    }
}

/// Names that are given out once.
struct Names<'a> {
    suffix: &'a str,
    used: HashSet<(String, String)>,
}

impl Names<'_> {
    fn give(&mut self, name: &QualifiedName) -> QualifiedName {
        let wanted = with_suffix(&name.name, self.suffix);
        let free = std::iter::once(wanted)
            .chain((1..).map(|number| with_suffix(&name.name, &format!("{}_{number}", self.suffix))))
            .find(|candidate| self.used.insert((name.schema.clone(), candidate.clone())))
            .expect("there are more numbers than names");
        QualifiedName::new(&name.schema, free)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::bare;
    use super::*;
    use crate::catalog::belongings::IndexSettings;

    fn with_indexes(names: &[&str]) -> Belongings {
        let index =
            |name: &&str| IndexSettings { name: name.to_string(), tablespace: None, statistics_targets: Vec::new() };
        Belongings { indexes: names.iter().map(index).collect(), ..bare() }
    }

    fn names(away: &Away) -> Vec<&str> {
        away.renames.iter().map(|rename| rename.to.name.as_str()).collect()
    }

    #[test]
    fn names_that_are_cut_to_the_same_or_in_use_get_numbers() {
        let (one, two) = ("x".repeat(62) + "1", "x".repeat(62) + "2");
        let table = QualifiedName::new("public", "metrics");
        let taken = ["a_old_7".to_string(), "metrics_old_7".to_string()];
        let away = Away::beside(&with_indexes(&[&one, &two, "a"]), &table, "_old_7", &taken);
        assert_eq!(away.table.name, "metrics_old_7_1");
        assert_eq!(names(&away), ["x".repeat(57) + "_old_7", "x".repeat(55) + "_old_7_1", "a_old_7_1".to_string()]);
    }

    #[test]
    fn coming_back_undoes_leaving_in_the_opposite_order() {
        let table = QualifiedName::new("public", "metrics");
        let away = Away::beside(&with_indexes(&["a", "b"]), &table, "_old_7", &[]);
        let back = away.renames.iter().rev().map(|rename| rename.reversed().root_index().sql);
        assert_eq!(
            back.collect::<Vec<_>>(),
            [
                "alter table \"public\".\"b_old_7\" rename to \"b\"",
                "alter table \"public\".\"a_old_7\" rename to \"a\""
            ]
        );
    }
}

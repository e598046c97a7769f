//! How many records of an import may be left out.
//!
//! **Invariant:** counts over the whole job, what earlier runs have left out included.

use std::sync::{Mutex, MutexGuard};

use crate::error::{Error, Kind, Result};
use crate::ledger::{Outcome, Reject};

/// How many records may be left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// So many.
    Records(u64),
    /// So many of a hundred.
    Percent(f64),
}

/// A share of few records says little: it is asked for when so many were read, and at the end.
const LEAST_RECORDS: u64 = 10_000;

const MORE_ROOM: &str = "Run the same command with a larger --max-rejects to leave out such records and go on.";

/// What is left of the limit; shared by all workers.
#[derive(Debug)]
pub struct Budget {
    limit: Limit,
    files: Vec<String>,
    spent: Mutex<Spent>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    records: u64,
    rejected: u64,
}

impl Budget {
    /// The budget of a job that has read so many records and left some of them out; `files` are its files' names.
    pub fn new(limit: Limit, files: Vec<String>, records: u64, rejected: u64) -> Self {
        Budget { limit, files, spent: Mutex::new(Spent { records, rejected }) }
    }

    /// Whether `more` records may be left out, as far as is known now.
    pub fn has_room(&self, more: u64) -> bool {
        let spent = *self.spent();
        self.limit.allows(Spent { rejected: spent.rejected + more, ..spent }, false)
    }

    /// That all of these may be left out, the rejects of a block up to now.
    ///
    /// # Errors
    /// [`Kind::Input`], naming the last one.
    pub fn check(&self, rejects: &[Reject]) -> Result<()> {
        match (rejects.last(), self.has_room(rejects.len() as u64)) {
            (Some(last), false) => Err(self.exceeded(last)),
            _ => Ok(()),
        }
    }

    /// Takes the rejects of a block with so many records out of the budget, until the answer is dropped or kept.
    ///
    /// # Errors
    /// [`Kind::Input`] where they may not all be left out.
    pub fn spend(&self, rejects: &[Reject], records: u64) -> Result<Spending<'_>> {
        let mut spent = self.spent();
        let rejected = rejects.len() as u64;
        let then = Spent { records: spent.records + records, rejected: spent.rejected + rejected };
        match rejects.last() {
            Some(last) if !self.limit.allows(then, false) => {
                drop(spent);
                Err(self.exceeded(last))
            }
            _ => {
                *spent = then;
                Ok(Spending { budget: self, records, rejected, is_kept: false })
            }
        }
    }

    /// Counts a block that turns out to have been committed before.
    pub fn count(&self, records: u64, outcome: &Outcome) {
        let mut spent = self.spent();
        spent.records += records;
        spent.rejected += outcome.rejected;
    }

    /// Whether the whole job, at its end, is inside the limit.
    pub fn is_kept(&self) -> bool {
        self.limit.allows(*self.spent(), true)
    }

    /// The error for a job that at its end is not inside the limit; `first` is the first record that it has left out.
    pub fn overdrawn(&self, first: Option<&Reject>) -> Error {
        let Spent { rejected, records } = *self.spent();
        let first = first.map(|first| format!(", the first one {}", self.describe(first))).unwrap_or_default();
        let limit = self.limit.name();
        Error::new(Kind::Input, format!("{rejected} of {records} records were rejected, more than {limit}{first}"))
            .hint(MORE_ROOM)
    }

    fn exceeded(&self, last: &Reject) -> Error {
        let last = self.describe(last);
        let message = match self.limit {
            Limit::Records(0) => last,
            limit => format!("more than {} were rejected, the last one {last}", limit.name()),
        };
        Error::new(Kind::Input, message).hint(MORE_ROOM)
    }

    /// Where a record stands, and why it was left out.
    fn describe(&self, reject: &Reject) -> String {
        let file = self.files.get(reject.file as usize - 1).map_or("", String::as_str);
        let column = reject.column.as_ref().map(|column| format!(", column \"{column}\"")).unwrap_or_default();
        let Reject { line, byte, reason, sqlstate, .. } = reject;
        format!("{file}, line {line} (byte {byte}){column}: {reason} (SQLSTATE {sqlstate})")
    }

    fn spent(&self) -> MutexGuard<'_, Spent> {
        self.spent.lock().expect("no holder of the budget panics")
    }
}

impl Limit {
    fn allows(self, spent: Spent, is_end: bool) -> bool {
        match self {
            Limit::Records(limit) => spent.rejected <= limit,
            Limit::Percent(_) if spent.records < LEAST_RECORDS && !is_end => true,
            Limit::Percent(percent) => spent.rejected as f64 <= spent.records as f64 * percent / 100.0,
        }
    }

    fn name(self) -> String {
        match self {
            Limit::Records(1) => "1 record".to_string(),
            Limit::Records(limit) => format!("{limit} records"),
            Limit::Percent(percent) => format!("{percent} % of the records"),
        }
    }
}

/// What a block has taken out of the budget; given back unless it is kept.
#[must_use]
pub struct Spending<'a> {
    budget: &'a Budget,
    records: u64,
    rejected: u64,
    is_kept: bool,
}

impl Spending<'_> {
    /// The block was committed.
    pub fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Spending<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            let mut spent = self.budget.spent();
            spent.records -= self.records;
            spent.rejected -= self.rejected;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reject(line: u64) -> Reject {
        Reject {
            file: 1,
            byte: line * 10,
            line,
            record: Vec::new(),
            column: Some("v".into()),
            reason: "bad".into(),
            sqlstate: "22P02".into(),
        }
    }

    #[test]
    fn the_first_bad_record_is_named_where_none_may_be_left_out() {
        let budget = Budget::new(Limit::Records(0), vec!["a.csv".into()], 0, 0);
        assert!(budget.has_room(0) && !budget.has_room(1));
        let error = budget.check(&[reject(7)]).unwrap_err();
        assert_eq!(error.message(), "a.csv, line 7 (byte 70), column \"v\": bad (SQLSTATE 22P02)");
        assert_eq!(error.kind().exit_code(), 6);
    }

    #[test]
    fn what_is_not_kept_is_given_back() {
        let budget = Budget::new(Limit::Records(1), vec!["a.csv".into()], 0, 0);
        drop(budget.spend(&[reject(1)], 5).unwrap());
        budget.spend(&[reject(1)], 5).unwrap().keep();
        let error = budget.spend(&[reject(2)], 5).map(Spending::keep).unwrap_err();
        assert!(error.message().starts_with("more than 1 record were rejected, the last one a.csv, line 2"), "{error}");
        budget.spend(&[], 5).unwrap().keep();
    }

    #[test]
    fn a_share_is_asked_for_when_there_are_enough_records() {
        let budget = Budget::new(Limit::Percent(1.0), vec!["a.csv".into()], 0, 0);
        budget.spend(&[reject(1), reject(2)], 100).unwrap().keep();
        assert!(!budget.is_kept());
        let error = budget.overdrawn(Some(&reject(1)));
        assert_eq!(
            error.message(),
            "2 of 100 records were rejected, more than 1 % of the records, the first one a.csv, line 1 (byte 10), \
             column \"v\": bad (SQLSTATE 22P02)"
        );
        budget.spend(&[], 9_900).unwrap().keep();
        assert!(budget.is_kept() && budget.has_room(98) && !budget.has_room(99));
    }
}

//! One block of an import: one transaction, with its row in the ledger and the records that were left out.
//!
//! All rows are loaded at once, in the order that is best for the server. Where the server refuses one of them, or a
//! record was no row to begin with and not all of them may be left out, the block is loaded anew, in the order of the
//! file and in parts: a part that is refused is divided, at the row that the server names where it names one, until the
//! refused rows stand alone. A lone row goes as text: what is said of it is what `\copy` would say, wherever blocks were
//! cut and whatever stands beside it in its own.
//!
//! **Invariant:** of a block either all of its good rows are stored and all others stand in the ledger, or nothing is.

use bytes::{Bytes, BytesMut};

use super::budget::Budget;
use super::landing::{EMPTY_STAGE, Landing};
use super::place::{self, Place};
use crate::connect::{CopyIn, Target};
use crate::error::{Error, Kind, Refusal, Result};
use crate::failpoint;
use crate::ledger::{self, Outcome, Reject, Taken};
use crate::pgcopy::{Format, binary};
use crate::progress::Latency;
use crate::reader::csv::block::{Lines, Parsed, Why};

/// Handed to the socket at once.
const PIECE_BYTES: usize = 256 << 10;

/// Loads a block, unless an earlier attempt has done so, and answers what became of its records.
///
/// # Errors
/// [`Kind::Input`] for a record that may not be left out any more, the server's own for everything that is not a row's
/// fault. Nothing of the block is stored then.
pub async fn load(
    target: &Target,
    to: &Landing,
    parsed: &Parsed,
    budget: &Budget,
    waits: &mut Latency,
) -> Result<Outcome> {
    if budget.has_room(parsed.rejects.len() as u64) {
        match attempt(target, to, parsed, budget, waits, false).await {
            Err(error) if is_a_rows_fault(&error, to) => target.batch("rollback").await?,
            ended => return ended,
        }
    }
    attempt(target, to, parsed, budget, waits, true).await
}

/// One transaction. One that fails is left as it is, unless the fault is the input's.
async fn attempt(
    target: &Target,
    to: &Landing,
    parsed: &Parsed,
    budget: &Budget,
    waits: &mut Latency,
    carefully: bool,
) -> Result<Outcome> {
    let stretch = &parsed.block.stretch;
    begin(target, to).await?;
    failpoint::hit("before-claim");
    if ledger::take_block(target, to.claim, stretch).await? == Taken::Already {
        target.batch("rollback").await?;
        let outcome = ledger::block_outcome(target, to.claim.job, stretch).await?;
        budget.count(stretch.records, &outcome);
        return Ok(outcome);
    }
    failpoint::hit("after-claim");
    target.become_role().await?;
    let lines = Lines::of(&parsed.block, &to.dialect);
    let mut loading = Loading { target, to, parsed, waits, stored: 0, rejects: Vec::new(), lines };
    let loaded = match carefully {
        true => loading.all_carefully(budget).await,
        false => loading.all().await,
    };
    let spent = match loaded {
        Ok(()) => budget.spend(&loading.rejects, stretch.records),
        Err(error) => Err(error),
    };
    let spending = match spent {
        Ok(spending) => spending,
        Err(error) if error.kind() == Kind::Input => {
            target.batch("rollback").await?;
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    target.batch("set local search_path = ''").await?;
    failpoint::hit("before-count-check");
    let outcome = loading.outcome()?;
    ledger::complete_block(target, to.claim.job, stretch, &outcome).await?;
    ledger::insert_rejects(target, to.claim.job, &loading.rejects).await?;
    failpoint::hit("before-commit");
    target.batch("commit").await?;
    spending.keep();
    failpoint::hit("after-commit");
    Ok(outcome)
}

/// Constraints are checked with each part of a block: at the commit nobody could tell whose fault it is. The commit need
/// not wait for the disk: the ledger's row is lost with the rows.
async fn begin(target: &Target, to: &Landing) -> Result<()> {
    if to.merge.is_some() {
        target.batch(&to.create_stage()).await?;
    }
    target
        .batch(
            "begin isolation level read committed read write; set local synchronous_commit = off; \
             set constraints all immediate",
        )
        .await
}

/// A block in the middle of its transaction.
struct Loading<'a> {
    target: &'a Target,
    to: &'a Landing,
    parsed: &'a Parsed,
    waits: &'a mut Latency,
    stored: u64,
    rejects: Vec<Reject>,
    lines: Lines,
}

/// A stretch of rows in the order of the file that is still to be loaded.
struct Part {
    from: usize,
    until: usize,
    /// Whether the row that the server names is looked at: where that has not led to the culprit, halves will.
    asks_server: bool,
}

impl Loading<'_> {
    /// All rows at once.
    async fn all(&mut self) -> Result<()> {
        self.rejects = self.parsed.rejects.clone();
        let parsed = self.parsed;
        self.stored = self.copy(parsed.format, parsed.rows.len(), slices(&parsed.data)).await?;
        Ok(())
    }

    /// All rows in the order of the file, and around those that the server refuses.
    async fn all_carefully(&mut self, budget: &Budget) -> Result<()> {
        let parsed = self.parsed;
        let mut order: Vec<usize> = (0..parsed.rows.len()).collect();
        order.sort_unstable_by_key(|row| parsed.rows[*row].record);
        self.target.batch("savepoint hypercopy_part").await?;
        // Records that are no rows stand between the others: what comes before one has to be known before it counts.
        let mut from = 0;
        for reject in &parsed.rejects {
            let at = (reject.byte - parsed.block.stretch.from) as usize;
            let until = order.partition_point(|row| parsed.rows[*row].record < at);
            self.part(&order, Part { from, until, asks_server: true }, budget).await?;
            self.reject(reject.clone(), budget)?;
            from = until;
        }
        self.part(&order, Part { from, until: order.len(), asks_server: true }, budget).await?;
        self.target.batch("release savepoint hypercopy_part").await
    }

    async fn part(&mut self, order: &[usize], part: Part, budget: &Budget) -> Result<()> {
        let mut parts = vec![part];
        while let Some(part) = parts.pop() {
            if part.from == part.until {
                continue;
            }
            let error = match self.copy_part(&order[part.from..part.until]).await {
                Ok(stored) => {
                    self.keep_part().await?;
                    self.stored += stored;
                    continue;
                }
                Err(error) if is_a_rows_fault(&error, self.to) => error,
                Err(error) => return Err(error),
            };
            self.target.batch("rollback to savepoint hypercopy_part").await?;
            match part.until - part.from {
                1 => {
                    let reject = self.refused(order[part.from], &error);
                    self.reject(reject, budget)?;
                }
                rows => parts.extend(part.divide(place_of(&error, self.to), rows)),
            }
        }
        Ok(())
    }

    async fn copy_part(&mut self, rows: &[usize]) -> Result<u64> {
        let parsed = self.parsed;
        match rows {
            [only] => {
                let row = parsed.text_row(*only, &self.to.dialect, self.to.merge.is_some());
                self.copy(Format::Text, 1, std::iter::once(row)).await
            }
            _ => self.copy(parsed.format, rows.len(), rows.iter().map(|row| parsed.row(*row))).await,
        }
    }

    /// What has been loaded stays, whatever becomes of the next part.
    async fn keep_part(&self) -> Result<()> {
        let next = "release savepoint hypercopy_part; savepoint hypercopy_part";
        match self.to.merge {
            None => self.target.batch(next).await,
            Some(_) => self.target.batch(&format!("{EMPTY_STAGE}; {next}")).await,
        }
    }

    fn reject(&mut self, reject: Reject, budget: &Budget) -> Result<()> {
        self.rejects.push(reject);
        budget.check(&self.rejects)
    }

    /// The record behind a row that the server has refused; rows are asked about in the order of the file.
    fn refused(&mut self, row: usize, error: &Error) -> Reject {
        let said = error.refusal();
        let column = said.and_then(|said| said.column.map(str::to_string));
        let why = Why {
            column: column
                .or(place_of(error, self.to).and_then(|place| place.column))
                .or_else(|| self.garbled(row, error)),
            reason: said.map(|said| said.message.to_string()).unwrap_or_default(),
            sqlstate: said.map(|said| said.sqlstate.to_string()).unwrap_or_default(),
        };
        let (block, at) = (&self.parsed.block, self.parsed.rows[row].record);
        block.reject(&self.to.dialect, at, self.lines.line(block, at), why)
    }

    /// The column whose bytes are no characters: the server looks at them before it knows of columns.
    fn garbled(&self, row: usize, error: &Error) -> Option<String> {
        let is_asked = error.refusal()?.sqlstate == CHARACTER_NOT_IN_REPERTOIRE && self.to.encoding.is_none();
        let field = is_asked.then(|| self.parsed.garbled_field(row, &self.to.dialect))??;
        self.to.columns.get(field).cloned()
    }

    /// Sends so many rows, and answers how many of them were stored.
    async fn copy(&mut self, format: Format, count: usize, rows: impl Iterator<Item = Bytes>) -> Result<u64> {
        let target = self.target;
        let mut copy = target.copy_in(&self.to.copy_in(format)).await?;
        if format == Format::Binary {
            copy.feed(Bytes::from_static(&binary::HEADER)).await?;
        }
        feed(&mut copy, rows, self.waits).await?;
        failpoint::hit("mid-copy");
        if format == Format::Binary {
            copy.feed(Bytes::from_static(&binary::TRAILER)).await?;
        }
        let stored = self.waits.time(copy.finish()).await?;
        match &self.to.merge {
            None => Ok(stored),
            Some(merge) if stored == count as u64 => target.execute(&self.to.merge(merge), &[]).await,
            Some(_) => Err(Error::new(Kind::Target, format!("{count} rows were sent and {stored} staged"))),
        }
    }

    /// What became of the records.
    ///
    /// # Errors
    /// Where rows were lost without a reason.
    fn outcome(&self) -> Result<Outcome> {
        let (records, rejected) = (self.parsed.block.stretch.records, self.rejects.len() as u64);
        let lost = (records - rejected).checked_sub(self.stored);
        let outcome = Outcome { rows: self.stored, skipped: 0, suppressed: 0, rejected };
        match lost {
            Some(0) => Ok(outcome),
            Some(skipped) if self.to.merge.is_some() => Ok(Outcome { skipped, ..outcome }),
            Some(suppressed) if self.to.may_suppress => Ok(Outcome { suppressed, ..outcome }),
            _ => Err(Error::new(
                Kind::Target,
                format!("{records} records were read, {rejected} left out, and {} rows stored", self.stored),
            )
            .hint("Nothing of them was committed. A rule of the table may have changed their number.")),
        }
    }
}

impl Part {
    /// Parts in the order in which they are popped from a stack. What lies behind a row that is named is halved: sent whole
    /// after each of many bad rows it would cost the square of the block.
    fn divide(&self, place: Option<Place>, rows: usize) -> Vec<Part> {
        let named =
            place.filter(|_| self.asks_server).map(|place| self.from + place.row).filter(|row| *row < self.until);
        let part = |from, until, asks_server| Part { from, until, asks_server };
        match named {
            Some(row) => {
                let middle = row + 1 + (self.until - row - 1) / 2;
                let behind = [part(middle, self.until, true), part(row + 1, middle, true)];
                behind.into_iter().chain([part(row, row + 1, true), part(self.from, row, false)]).collect()
            }
            None => {
                let middle = self.from + rows / 2;
                vec![part(middle, self.until, true), part(self.from, middle, true)]
            }
        }
    }
}

/// Sends pieces together that are small.
async fn feed(copy: &mut CopyIn, rows: impl Iterator<Item = Bytes>, waits: &mut Latency) -> Result<()> {
    let mut gathered = BytesMut::new();
    for row in rows {
        if gathered.is_empty() && row.len() >= PIECE_BYTES {
            waits.time(copy.feed(row)).await?;
            continue;
        }
        gathered.extend_from_slice(&row);
        if gathered.len() >= PIECE_BYTES {
            waits.time(copy.feed(gathered.split().freeze())).await?;
        }
    }
    match gathered.is_empty() {
        true => Ok(()),
        false => waits.time(copy.feed(gathered.freeze())).await,
    }
}

fn slices(data: &Bytes) -> impl Iterator<Item = Bytes> {
    (0..data.len()).step_by(PIECE_BYTES).map(|from| data.slice(from..data.len().min(from + PIECE_BYTES)))
}

const CHARACTER_NOT_IN_REPERTOIRE: &str = "22021";

/// Where in the data of its COPY the server has met an error.
fn place_of(error: &Error, to: &Landing) -> Option<Place> {
    place::of(error.refusal()?.context?, to.copied_relation(), &to.columns)
}

/// Whether a server's error is about what a row holds, so that the others may do without it. A trigger can raise whatever
/// it likes; so it is told by what it is not. Where the server names a column it was reading a value, which may be the
/// name of a table or of a role that is not there.
fn is_a_rows_fault(error: &Error, to: &Landing) -> bool {
    let Some(Refusal { sqlstate, .. }) = error.refusal() else { return false };
    let can_be_a_values = OF_A_VALUE.iter().any(|state| sqlstate.starts_with(state));
    let is_of_a_value = || can_be_a_values && place_of(error, to).is_some_and(|place| place.column.is_some());
    error.kind() == Kind::Target && !error.is_retryable() && (error.is_about_rows() || is_of_a_value())
}

/// What is about the server by its SQLSTATE, and what input functions raise as well: names, the syntax of what is a language of its own (tsquery,
/// jsonpath, xml), and what an extension (hstore) had no code for.
const OF_A_VALUE: [&str; 5] = ["0A", "3D", "3F", "42", "XX000"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ServerError;
    use crate::writer::landing::tests::landing;

    fn refused(sqlstate: &str, context: &str) -> Error {
        let body = format!("C{sqlstate}\0Msomething\0W{context}\0\0");
        Error::new(Kind::Target, "copying").caused_by(ServerError::parse(body.as_bytes()))
    }

    #[test]
    fn what_is_a_rows_fault_is_told_from_what_is_the_servers() {
        let is_fault = |state, context| is_a_rows_fault(&refused(state, context), &landing(None));
        for state in ["22P02", "23505", "23514", "P0001", "20000", "44000", "54000", "ABCDE"] {
            assert!(is_fault(state, "COPY Odd, line 1"), "{state}");
        }
        for state in ["53100", "57P01", "40P01", "42501", "0A000", "58030", "08006"] {
            assert!(!is_fault(state, "COPY Odd, line 1"), "{state}");
        }
        assert!(!is_a_rows_fault(&Error::new(Kind::Target, "connection lost"), &landing(None)));
        // A name that is not there, in a value and in a trigger's function.
        assert!(is_fault("42P01", "COPY Odd, line 1, column v: \"x\""));
        assert!(!is_fault("42P01", "PL/pgSQL function f() line 1\nCOPY Odd, line 1: \"x\""));
        assert!(is_fault("XX000", "COPY Odd, line 1, column v: \"a=>\""));
        for state in ["53200", "XX001", "57014"] {
            assert!(!is_fault(state, "COPY Odd, line 1, column v: \"x\""), "{state}");
        }
    }

    #[test]
    fn a_part_is_divided_where_the_server_says_and_otherwise_in_the_middle() {
        let ranges = |part: Part, row: Option<usize>| -> Vec<(usize, usize)> {
            let place = row.map(|row| Place { row, column: None });
            let rows = part.until - part.from;
            part.divide(place, rows).iter().rev().map(|part| (part.from, part.until)).collect()
        };
        let part = |asks_server| Part { from: 10, until: 20, asks_server };
        assert_eq!(ranges(part(true), Some(3)), [(10, 13), (13, 14), (14, 17), (17, 20)]);
        assert_eq!(ranges(part(false), Some(3)), [(10, 15), (15, 20)]);
        assert_eq!(ranges(part(true), Some(10)), [(10, 15), (15, 20)]);
        assert_eq!(ranges(part(true), None), [(10, 15), (15, 20)]);
    }
}

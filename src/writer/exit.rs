//! What every door out has in common: a task is begun, its rows are fed, and it is committed when all counts agree.

use bytes::Bytes;

use crate::connect::{Backend, Target};
use crate::error::Result;
use crate::ledger::Counted;
use crate::plan::Task;

/// A door out: where the rows of tasks go. All workers share it.
pub trait Exit: Send + Sync + 'static {
    /// What one worker writes by: a session, or nothing where the door is a directory.
    type Hand: Hand;
    /// A task that is being written. Dropping it undoes what it has done.
    type Sink: Sink;

    /// Begins a task; `None` where an earlier attempt has done it.
    fn begin(&self, hand: &Self::Hand, task: &Task) -> impl Future<Output = Result<Option<Self::Sink>>> + Send;

    /// Compares the counts and makes what was written last, with the task's row in the ledger.
    ///
    /// # Errors
    /// Where rows were lost between the hand-overs; nothing of the task lasts then.
    fn commit(
        &self,
        hand: &Self::Hand,
        task: &Task,
        written: Written<<Self::Sink as Sink>::Receipt>,
    ) -> impl Future<Output = Result<()>> + Send;
}

/// What one worker writes by.
pub trait Hand: Send + Sync + 'static {
    /// The session, where it is one.
    fn backend(&self) -> Option<&Backend>;
}

impl Hand for Target {
    fn backend(&self) -> Option<&Backend> {
        Some((**self).backend())
    }
}

/// Nothing but the door itself.
impl Hand for () {
    fn backend(&self) -> Option<&Backend> {
        None
    }
}

/// Takes the rows of one task.
pub trait Sink: Send {
    /// What is known of what was stored, beside the number of rows.
    type Receipt: Send;

    /// Hands over the bytes of whole rows. Ready when there is room for more.
    fn feed(&mut self, bytes: Bytes) -> impl Future<Output = Result<()>> + Send;

    /// Ends the rows, and answers how many were stored, as whoever has stored them counts.
    fn finish(self) -> impl Future<Output = Result<(u64, Self::Receipt)>> + Send;
}

/// What became of a task's rows on their way.
#[derive(Clone, Debug)]
pub struct Written<R> {
    /// What the reader has seen.
    pub read: Counted,
    /// Rows that were handed on.
    pub sent_rows: u64,
    /// Rows that were stored, as whoever has stored them says.
    pub stored_rows: u64,
    /// Bytes of rows.
    pub bytes: u64,
    /// What else is known of what was stored.
    pub receipt: R,
}

impl<R> Written<R> {
    /// Whether a row was lost, or came twice, between the hand-overs.
    pub fn is_uneven(&self) -> bool {
        self.read.rows != self.sent_rows || self.sent_rows != self.stored_rows
    }

    /// The counts, in words.
    pub fn counts(&self) -> String {
        format!("{} rows were read, {} sent and {} stored", self.read.rows, self.sent_rows, self.stored_rows)
    }
}

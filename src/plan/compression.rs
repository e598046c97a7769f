//! Which chunks of a new table are compressed, and when.
//!
//! **Invariant:** pure; whoever asks for an age has been told which moment of the axis that is.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Task, policies};
use crate::catalog::belongings::Belongings;
use crate::catalog::{Chunk, ChunkShape, Columnstore, Hypertable};

/// What was asked for. Reads and displays as on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CompressRequest {
    /// What was compressed on the source.
    #[default]
    Preserve,
    /// Everything.
    All,
    /// What has ended so long ago: an interval, or a number of the axis's units.
    OlderThan(String),
    /// Nothing.
    None,
}

impl FromStr for CompressRequest {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let older_than = |text: &str| text.strip_prefix("older-than").map(|rest| rest.trim().to_string());
        match text.trim() {
            "preserve" => Ok(CompressRequest::Preserve),
            "all" => Ok(CompressRequest::All),
            "none" => Ok(CompressRequest::None),
            text => older_than(text)
                .filter(|age| !age.is_empty())
                .map(CompressRequest::OlderThan)
                .ok_or("it takes preserve, all, none, or older-than with an interval: 'older-than 7 days'"),
        }
    }
}

impl fmt::Display for CompressRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompressRequest::Preserve => f.write_str("preserve"),
            CompressRequest::All => f.write_str("all"),
            CompressRequest::OlderThan(age) => write!(f, "older-than {age}"),
            CompressRequest::None => f.write_str("none"),
        }
    }
}

impl TryFrom<String> for CompressRequest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        text.parse()
    }
}

impl From<CompressRequest> for String {
    fn from(request: CompressRequest) -> String {
        request.to_string()
    }
}

/// The chunks that are compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compressed {
    /// None.
    Nothing,
    /// All.
    All,
    /// Those that end at this value of the axis, in internal time, or before it.
    Before(i64),
    /// Those whose rows have all been in compressed chunks among these.
    Like(Vec<ChunkShape>),
}

impl Compressed {
    /// Those of `chunks` that are to be compressed and are not yet.
    pub fn missing<'a>(&self, chunks: &'a [Chunk]) -> Vec<&'a Chunk> {
        let open = chunks.iter().filter(|chunk| !chunk.compressed);
        match self {
            Compressed::Nothing => Vec::new(),
            Compressed::All => open.collect(),
            Compressed::Before(end) => open.filter(|chunk| chunk.primary().end <= *end).collect(),
            Compressed::Like(shapes) => policies::compressible(chunks, shapes),
        }
    }

    /// Whether some chunk may be.
    pub fn is_any(&self) -> bool {
        match self {
            Compressed::Nothing => false,
            Compressed::All | Compressed::Before(_) => true,
            Compressed::Like(shapes) => shapes.iter().any(|shape| shape.compressed),
        }
    }
}

/// When chunks are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Each behind its last row, while others are filled: the columnstore and all keys are made on the empty table.
    WithTheCopy,
    /// Behind everything else.
    Behind,
}

impl Moment {
    /// When a table can be compressed that has the constraints of `source`, and shall have these belongings.
    ///
    /// Once there are compressed chunks, TimescaleDB takes no check and no foreign key any more. A columnstore that merges
    /// chunks changes slices under those who fill them.
    pub fn of(source: &Hypertable, wanted: &Belongings, columnstore: &Columnstore) -> Moment {
        let has_late_checks = source.constraints.iter().any(|constraint| constraint.is_unvalidated());
        let has_foreign_keys = !wanted.foreign_keys.is_empty() || !wanted.referencing_keys.is_empty();
        match has_late_checks || has_foreign_keys || columnstore.chunk_interval.is_some() {
            true => Moment::Behind,
            false => Moment::WithTheCopy,
        }
    }
}

/// Chunks that wait for their last rows.
#[derive(Debug)]
pub struct Filling {
    /// Each with the tasks that may bring it rows.
    waiting: Vec<(Chunk, Vec<i32>)>,
    done: HashSet<i32>,
}

impl Filling {
    /// These chunks wait for those of `tasks` that reach into them.
    pub fn new(chunks: &[&Chunk], tasks: &[Task]) -> Self {
        let fillers = |chunk: &Chunk| {
            let fills = |task: &&Task| task.range.overlaps(chunk.primary());
            tasks.iter().filter(fills).map(|task| task.id).collect()
        };
        let waiting = chunks.iter().map(|chunk| ((*chunk).clone(), fillers(chunk))).collect();
        Filling { waiting, done: HashSet::new() }
    }

    /// The chunks that `task` has brought rows, or could have, and that wait for no other one by now. Asked again it answers them
    /// again.
    pub fn filled_by(&mut self, task: i32) -> Vec<Chunk> {
        self.done.insert(task);
        let is_full = |tasks: &[i32]| tasks.contains(&task) && tasks.iter().all(|task| self.done.contains(task));
        self.waiting.iter().filter(|(_, tasks)| is_full(tasks)).map(|(chunk, _)| chunk.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Slice;
    use crate::plan::Range;

    #[test]
    fn requests_read_as_they_display() {
        for text in ["preserve", "all", "none", "older-than 7 days"] {
            assert_eq!(text.parse::<CompressRequest>().unwrap().to_string(), text);
        }
        for text in ["", "older-than", "older-than  ", "some"] {
            assert!(text.parse::<CompressRequest>().is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_is_like_chunks_that_are_not_compressed() {
        let shape = |compressed| ChunkShape { slices: vec![Slice { start: 0, end: 10 }], compressed };
        assert!(!Compressed::Like(vec![shape(false)]).is_any());
        assert!(Compressed::Like(vec![shape(false), shape(true)]).is_any());
    }

    #[test]
    fn a_chunk_is_full_when_the_last_of_its_tasks_is_done() {
        let chunk = |start, end| -> Chunk {
            let chunk = serde_json::json!({
                "id": start, "oid": null, "schema": "s", "name": "c", "local": true, "tiered": false, "compressed": false,
                "slices": [[start, end]], "bytes": null, "index_bytes": null, "estimated_rows": null, "filenode": null,
            });
            serde_json::from_value(chunk).unwrap()
        };
        let task = |id, from, until| Task::of(id, Range { from, until }, &[], &[]);
        let (chunks, tasks) = (
            [chunk(0, 10), chunk(10, 20), chunk(20, 30)],
            [task(1, None, Some(10)), task(2, Some(10), Some(15)), task(3, Some(15), None)],
        );
        let chunks: Vec<&Chunk> = chunks.iter().collect();
        let mut filling = Filling::new(&chunks, &tasks);
        let mut filled = |task| filling.filled_by(task).iter().map(|chunk| chunk.id).collect::<Vec<_>>();
        assert_eq!(filled(3), [20]);
        assert_eq!(filled(1), [0]);
        assert_eq!(filled(2), [10]);
        assert_eq!(filled(3), [10, 20], "whoever tries again hears of all of it");
    }
}

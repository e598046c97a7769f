//! Which chunks of a new table are compressed, and when.
//!
//! **Invariant:** pure; whoever asks for an age has been told which moment of the axis that is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::policies;
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
    /// When a table that has all that `source` has can be compressed.
    ///
    /// Once there are compressed chunks, TimescaleDB takes no check and no foreign key any more. A columnstore that merges
    /// chunks changes slices under those who fill them.
    pub fn of(source: &Hypertable, columnstore: &Columnstore) -> Moment {
        let is_late = source.constraints.iter().any(|constraint| constraint.is_unvalidated());
        match is_late || columnstore.chunk_interval.is_some() {
            true => Moment::Behind,
            false => Moment::WithTheCopy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Slice;

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
}

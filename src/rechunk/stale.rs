//! Where the old table's chunks are no longer those that were copied: dropped, truncated, rewritten or made since.

use crate::catalog::ChunkFile;
use crate::ledger::NotedChunk;
use crate::plan::Range;

/// What has to be copied again, and what is known of the chunks from then on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stale {
    /// Ranges in which rows may have changed without leaving a mark.
    pub(super) ranges: Vec<Range>,
    /// What was noted and is not true any more.
    pub(super) gone: Vec<NotedChunk>,
    /// What is true in its place.
    pub(super) new: Vec<NotedChunk>,
}

/// Compares what was noted when rows were read with the chunks that are there now.
pub(super) fn stale(noted: &[NotedChunk], current: &[ChunkFile]) -> Stale {
    let mut stale = Stale::default();
    for note in noted.iter().filter(|note| !current.contains(&note.chunk)) {
        stale.gone.push(note.clone());
        stale.ranges.push(note.range.intersect(Range::of(note.chunk.slice)));
    }
    stale.new = unknown(noted, current, Range::ALL);
    stale.ranges.extend(stale.new.iter().map(|note| note.range));
    stale
}

/// What lies in a range of the chunks that are there, and was not noted.
pub(super) fn unknown(noted: &[NotedChunk], current: &[ChunkFile], range: Range) -> Vec<NotedChunk> {
    let mut unknown = Vec::new();
    for chunk in current {
        let part = Range::of(chunk.slice).intersect(range);
        let known = noted.iter().filter(|note| note.chunk == *chunk).map(|note| note.range.intersect(part));
        let mut known: Vec<Range> = known.filter(|known| !known.is_empty()).collect();
        known.sort_unstable_by_key(|range| range.from);
        let rest = part.without(known).into_iter().filter(|rest| !rest.is_empty());
        unknown.extend(rest.map(|range| NotedChunk { range, chunk: chunk.clone() }));
    }
    unknown
}

impl Stale {
    /// Whether all is as it was.
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// What is left of a range without these.
    pub(super) fn rest_of(&self, range: Range) -> Vec<Range> {
        let outside =
            |rest: Range, stale: Range| rest.without(Some(rest.intersect(stale)).filter(|part| !part.is_empty()));
        self.ranges
            .iter()
            .fold(vec![range], |rest, stale| rest.into_iter().flat_map(|rest| outside(rest, *stale)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Slice;

    fn chunk(relation: u32, filenode: u32, start: i64, end: i64) -> ChunkFile {
        ChunkFile { relation, filenode, compressed: false, slice: Slice { start, end } }
    }

    fn range(from: i64, until: i64) -> Range {
        Range { from: Some(from), until: Some(until) }
    }

    fn note(range: Range, chunk: &ChunkFile) -> NotedChunk {
        NotedChunk { range, chunk: chunk.clone() }
    }

    #[test]
    fn chunks_that_are_as_they_were_are_not_copied_again() {
        let (one, two) = (chunk(1, 10, 0, 10), chunk(2, 20, 10, 20));
        let halves = [note(range(0, 5), &one), note(range(5, 15), &one), note(range(5, 15), &two)];
        let rest = note(Range { from: Some(15), until: None }, &two);
        let noted: Vec<NotedChunk> = halves.into_iter().chain([rest]).collect();
        assert!(stale(&noted, &[one, two]).is_empty());
    }

    #[test]
    fn a_chunk_that_is_gone_is_empty_now() {
        let one = chunk(1, 10, 0, 10);
        let found = stale(&[note(Range::ALL, &one)], &[]);
        assert_eq!(found.ranges, [range(0, 10)]);
        assert_eq!(found.gone.len(), 1);
        assert!(found.new.is_empty());
    }

    #[test]
    fn a_chunk_with_another_file_is_copied_again_once() {
        let (before, after) = (chunk(1, 10, 0, 10), chunk(1, 11, 0, 10));
        let found = stale(&[note(Range::ALL, &before)], std::slice::from_ref(&after));
        assert_eq!(found.ranges, [range(0, 10), range(0, 10)]);
        assert_eq!(found.new, [note(range(0, 10), &after)]);
        assert!(stale(&found.new, &[after]).is_empty());
    }

    #[test]
    fn what_is_stale_is_left_out_wherever_it_lies() {
        let stale = Stale { ranges: vec![range(5, 7), range(0, 6), range(20, 30)], ..Stale::default() };
        assert_eq!(stale.rest_of(range(0, 10)), [range(7, 10)]);
        assert_eq!(stale.rest_of(Range::ALL).len(), 3);
        assert_eq!(stale.rest_of(range(21, 22)), []);
    }

    #[test]
    fn a_chunk_that_came_between_two_reads_is_copied_where_it_was_not_seen() {
        let new = chunk(7, 70, 0, 10);
        let found = stale(&[note(range(5, 20), &new)], &[new]);
        assert_eq!(found.ranges, [range(0, 5)]);
    }
}

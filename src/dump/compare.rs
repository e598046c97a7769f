//! What is there already against the source as it is now: the same rows stay.

use std::sync::Arc;

use super::planned::Candidate;
use super::work::Work;
use crate::archive::{Archive, Nameless, Segment, take_over};
use crate::error::Result;
use crate::ledger::Counted;
use crate::plan::Range;
use crate::writer::archive::blocking;

/// What came of it.
#[derive(Default)]
pub(super) struct Compared {
    /// Ranges that are written again as they were, by the numbers of their segments.
    pub(super) again: Vec<(i32, Range)>,
    /// Ranges without an end in which something has changed: they are cut anew.
    pub(super) open: Vec<Range>,
    /// Segments of earlier runs that have changed.
    pub(super) changed_done: usize,
}

impl Compared {
    fn add(&mut self, candidate: &Candidate) {
        let range = candidate.segment.range;
        match range.from.is_some() && range.until.is_some() {
            true => self.again.push((candidate.number, range)),
            false => self.open.push(range),
        }
        self.changed_done += usize::from(!candidate.is_of_base);
    }
}

impl Work<'_> {
    /// Keeps what is the same, forgets what is not, and takes over what the base has; `counted` is what the source holds.
    pub(super) async fn settle_candidates(&self, counted: &[(i32, Counted)]) -> Result<Compared> {
        let mut compared = Compared::default();
        for candidate in &self.planned.candidates {
            let now = counted.iter().find(|(number, _)| *number == candidate.number).map(|(_, counted)| *counted);
            let is_same = now.is_some_and(|now| now.checksum == Some(candidate.segment.checksum));
            if is_same && (!candidate.is_of_base || self.take_over(candidate).await?) {
                continue;
            }
            if !candidate.is_of_base {
                self.partial.forget(&candidate.segment.file)?;
            }
            compared.add(candidate);
        }
        Ok(compared)
    }

    /// Makes a segment of the base one of the archive; false where its file is not what its manifest says.
    async fn take_over(&self, candidate: &Candidate) -> Result<bool> {
        let Some(base) = &self.base else { return Ok(false) };
        let Some(file) = self.taken(base, &candidate.segment).await? else {
            let path = base.directory.display(&candidate.segment.file);
            self.run.supervision.progress.say(format!("{path} is damaged: its rows are written anew"));
            return Ok(false);
        };
        let header = &self.planned.header;
        let name = header.format.file(header.compression, candidate.number);
        let segment = Segment { file: name, reused: true, ..candidate.segment.clone() };
        let partial = Arc::clone(&self.partial);
        blocking(move || partial.add(file, segment)).await?;
        Ok(true)
    }

    async fn taken(&self, base: &Arc<Archive>, segment: &Segment) -> Result<Option<Nameless>> {
        let (base, segment, directory) = (Arc::clone(base), segment.clone(), Arc::clone(&self.directory));
        blocking(move || take_over(&base.directory, &segment, directory)).await
    }
}

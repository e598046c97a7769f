//! Where the rows of a segment lie: a restore plans by this what it would otherwise have to read.
//!
//! **Invariant:** pure. What is answered holds for all rows, or nothing is answered.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::catalog::Slice;
use crate::pgcopy::Coordinate;
use crate::plan::OpenDimension;

/// A segment with more extents than these has none in the manifest.
const MOST_EXTENTS: usize = 1_000;

/// Rows of a segment that one chunk of the source had, or would have had with the interval of the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// The least value of the primary dimension among them, in internal time.
    pub first: i64,
    /// The greatest one.
    pub last: i64,
    /// How many rows there are.
    pub rows: u64,
}

impl Extent {
    /// Whether the value lies between its ends.
    #[inline]
    pub fn contains(&self, value: i64) -> bool {
        (self.first..=self.last).contains(&value)
    }
}

/// Finds the extents of rows that pass by in any order.
#[derive(Debug)]
pub struct Extents {
    dimension: OpenDimension,
    coordinate: Option<Coordinate>,
    found: Vec<Extent>,
    /// Which of them is of a bucket, by where that begins.
    known: HashMap<i64, usize>,
    /// The bucket of the latest row, where the next one usually lies as well.
    latest: Option<(Slice, usize)>,
    is_unknown: bool,
}

impl Extents {
    /// Along this dimension, whose values rows have at `coordinate`; none where only the server knows them.
    pub fn new(dimension: OpenDimension, coordinate: Option<Coordinate>) -> Self {
        Extents { dimension, coordinate, found: Vec::new(), known: HashMap::new(), latest: None, is_unknown: false }
    }

    /// Where rows have their values.
    #[inline]
    pub fn coordinate(&self) -> Option<Coordinate> {
        self.coordinate
    }

    /// A row with this value; none where it cannot be told.
    #[inline]
    pub fn add(&mut self, value: Option<i64>) {
        let Some(value) = value.filter(|_| !self.is_unknown) else { return self.is_unknown = true };
        let number = match self.latest {
            Some((slice, number)) if slice.contains(value) => number,
            _ => self.find(value),
        };
        if let Some(extent) = self.found.get_mut(number) {
            extent.first = extent.first.min(value);
            extent.last = extent.last.max(value);
            extent.rows += 1;
        }
    }

    /// The number of the extent of a value's bucket.
    fn find(&mut self, value: i64) -> usize {
        let slice = self.dimension.bucket(value);
        let number = *self.known.entry(slice.start).or_insert(self.found.len());
        if number == self.found.len() {
            match self.found.len() < MOST_EXTENTS {
                true => self.found.push(Extent { first: value, last: value, rows: 0 }),
                false => self.is_unknown = true,
            }
        }
        self.latest = Some((slice, number));
        number
    }

    /// What was found, along the axis; nothing where that is not all.
    pub fn end(mut self) -> Option<Vec<Extent>> {
        self.found.sort_unstable_by_key(|extent| extent.first);
        (!self.is_unknown).then_some(self.found)
    }
}

/// Compares rows that are read with the extents that they should have.
#[derive(Debug)]
pub struct Census {
    /// What is expected, and how many rows of it were seen.
    expected: Vec<(Extent, u64)>,
    latest: usize,
}

impl Census {
    /// Of rows that have these extents, which lie along the axis.
    pub fn new(extents: &[Extent]) -> Self {
        Census { expected: extents.iter().map(|extent| (*extent, 0)).collect(), latest: 0 }
    }

    /// A row with this value; false where none such should be there.
    #[inline]
    pub fn see(&mut self, value: i64) -> bool {
        if !self.expected.get(self.latest).is_some_and(|(extent, _)| extent.contains(value)) {
            self.latest = self.expected.partition_point(|(extent, _)| extent.last < value);
        }
        match self.expected.get_mut(self.latest) {
            Some((extent, seen)) if extent.contains(value) => {
                *seen += 1;
                true
            }
            _ => false,
        }
    }

    /// Whether each extent had its rows.
    pub fn is_complete(&self) -> bool {
        self.expected.iter().all(|(extent, seen)| extent.rows == *seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgcopy::TimeType;

    fn extents(values: &[Option<i64>]) -> Option<Vec<Extent>> {
        let dimension = OpenDimension { column: "n".into(), time_type: TimeType::Int8, interval: 10, function: None };
        let mut extents = Extents::new(dimension, Some(Coordinate { column: 0, time_type: TimeType::Int8 }));
        values.iter().for_each(|value| extents.add(*value));
        extents.end()
    }

    #[test]
    fn each_bucket_with_rows_has_one_extent_along_the_axis() {
        let found = extents(&[25, 3, 1, 29, 3].map(Some)).unwrap();
        assert_eq!(found, [Extent { first: 1, last: 3, rows: 3 }, Extent { first: 25, last: 29, rows: 2 }]);
        assert_eq!(extents(&[]), Some(Vec::new()));
    }

    #[test]
    fn what_cannot_be_told_or_is_too_much_has_none() {
        assert_eq!(extents(&[Some(1), None]), None);
        let far: Vec<Option<i64>> = (0..=MOST_EXTENTS as i64).map(|n| Some(n * 10)).collect();
        assert_eq!(extents(&far), None);
        assert_eq!(extents(&far[1..]).unwrap().len(), MOST_EXTENTS);
    }

    #[test]
    fn a_census_finds_rows_that_are_elsewhere_too_many_or_too_few() {
        let expected = [Extent { first: 1, last: 3, rows: 2 }, Extent { first: 25, last: 29, rows: 1 }];
        let mut census = Census::new(&expected);
        assert!(census.see(1) && census.see(27) && !census.is_complete());
        assert!(census.see(3) && census.is_complete());
        assert!(!census.see(0) && !census.see(4) && !census.see(30));
        assert!(census.see(2) && !census.is_complete());
    }
}

//! One record, and its fields.

use super::Defect;

/// Fields of a record that are kept; what lies beyond is only counted. It is more than a table can have columns, so a
/// record that is cut here is refused anyway; a line of a gigabyte of commas would else cost twenty-four of memory.
pub const MAX_FIELDS: usize = 1664;

/// One record of a file.
#[derive(Clone, Copy, Debug)]
pub struct Record<'p> {
    /// The length in bytes with the line end, at least 1: where the next record begins.
    pub len: usize,
    /// The lines that it spans, at least 1: a quoted line end begins another one.
    pub lines: u64,
    /// What stands in the file, without the line end.
    pub text: &'p [u8],
    /// The fields, at least one; or why there are none.
    pub fields: Result<Fields<'p>, Defect>,
}

/// The fields of a record.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'p> {
    pub(super) text: &'p [u8],
    pub(super) scratch: &'p [u8],
    pub(super) null: &'p [u8],
    pub(super) spans: &'p [Span],
    pub(super) count: usize,
}

impl<'p> Fields<'p> {
    /// How many fields the record has, at least one. Only the first [`MAX_FIELDS`] of them are kept.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "there is always a field")]
    pub fn len(&self) -> usize {
        self.count
    }

    /// The field at `index`, from 0, without its quotes and escapes; `None` if it is NULL or not there.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&'p [u8]> {
        self.spans.get(index).and_then(|span| self.value(span))
    }

    /// The fields in order; `None` is NULL.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&'p [u8]>> + use<'p> {
        let fields = *self;
        fields.spans.iter().map(move |span| fields.value(span))
    }

    #[inline]
    fn value(&self, span: &Span) -> Option<&'p [u8]> {
        let of = |bytes: &'p [u8]| bytes.get(span.start..span.end);
        match span.place {
            Place::Unquoted => of(self.text).filter(|value| *value != self.null),
            Place::Quoted => of(self.text),
            Place::Scratch => of(self.scratch),
        }
    }
}

/// Where the value of a field lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the text, as it is; it may read as NULL.
    Unquoted,
    /// In the text, between two quotes.
    Quoted,
    /// In the scratch, where it was put together.
    Scratch,
}

//! An order-independent checksum of a multiset of rows.
//!
//! Every row is hashed alone (XXH3, 128 bits) and the hashes are added up, so it does not matter in which order, in how
//! many streams and over which chunks the rows came. A sum, not an exclusive or: a row that is there twice does not
//! cancel itself out. It finds mistakes, not forgeries: who can choose rows can make sums collide.
//!
//! What is hashed is the *canonical form* of a row: its bytes, in which every part that may differ between two servers
//! holding the same value is overwritten by a constant. Lengths stay, so two different rows never get one form.
//! Version 1 overwrites:
//!
//! - a NaN by the one NaN that PostgreSQL itself makes ([`Canon::Float4`], [`Canon::Float8`], [`Canon::Float8s`]); −0 and
//!   0 stay different;
//! - the element type OID of an array and the column type OIDs of a composite by 0;
//! - the flag of an array that says whether it may hold NULLs by 0: `array_send` sets it for arrays that lost their
//!   last NULL by an update, and `array_recv` on the other side works it out anew.
//!
//! A column of type `int[]` is therefore [`Canon::Array`] of [`Canon::Raw`], although its elements need nothing.
//!
//! For whoever changes this: a row is copied into the scratch buffer only when its first byte has to change, so nearly
//! all rows are hashed where they lie. Any change of the form is a new [`VERSION`].

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;

use xxhash_rust::xxh3::xxh3_128;

use super::{Malformed, binary};

/// The version of the canonical form. Checksums of different versions, or of different formats, cannot be compared.
pub const VERSION: u32 = 1;

/// `NaN` as PostgreSQL makes it, in network order.
const FLOAT4_NAN: [u8; 4] = 0x7fc0_0000u32.to_be_bytes();
const FLOAT8_NAN: [u8; 8] = 0x7ff8_0000_0000_0000u64.to_be_bytes();

/// More dimensions than PostgreSQL (`MAXDIM`) allows an array.
const MAX_DIMENSIONS: i32 = 6;

/// How the binary value of a column becomes canonical. A domain is what it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Canon {
    /// Equal values have equal bytes.
    Raw,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// A geometric type: some bytes, then nothing but `double precision` numbers to its end.
    Float8s {
        /// How many bytes come first: none, or the number of points and whether a path is closed.
        skip_bytes: u8,
    },
    /// An array, of any number of dimensions.
    Array(Box<Canon>),
    /// A composite type, with its columns in order (without dropped ones).
    Composite(Vec<Canon>),
    /// A range, by the type of its bounds.
    Range(Box<Canon>),
    /// A multirange, by the type of its bounds.
    Multirange(Box<Canon>),
}

/// The hash of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowHash(u128);

impl RowHash {
    /// Of a row in text format: its line without the newline ([`text::Row::line`](super::text::Row::line)).
    #[inline]
    pub fn of_line(line: &[u8]) -> RowHash {
        RowHash(xxh3_128(line))
    }
}

/// Hashes rows in binary format.
#[derive(Clone, Debug)]
pub struct RowHasher {
    /// Up to the last column that is not raw.
    columns: Vec<Canon>,
    /// The canonical form of a row that is not canonical already.
    scratch: Vec<u8>,
}

impl RowHasher {
    /// A hasher for rows with these columns.
    pub fn new(mut columns: Vec<Canon>) -> Self {
        let used = columns.iter().rposition(|canon| *canon != Canon::Raw).map_or(0, |last| last + 1);
        columns.truncate(used);
        RowHasher { columns, scratch: Vec::new() }
    }

    /// The hash of the canonical form of `row`.
    ///
    /// # Errors
    /// [`Malformed`] if a value is not what its [`Canon`] says.
    #[inline]
    pub fn hash(&mut self, row: &binary::Row<'_>) -> Result<RowHash, Malformed> {
        if self.columns.is_empty() {
            return Ok(RowHash(xxh3_128(row.bytes())));
        }
        self.scratch.clear();
        let mut form = Form::new(row.bytes(), &mut self.scratch);
        match form.columns(&self.columns) {
            Ok(()) => Ok(RowHash(xxh3_128(form.bytes()))),
            Err(what) => Err(row.malformed(what, form.at)),
        }
    }
}

/// What is wrong with a value.
type Wrong = &'static str;

/// The canonical form of a row in the making: a walk over the row that overwrites parts of a copy.
struct Form<'a> {
    row: &'a [u8],
    /// Where the walk is.
    at: usize,
    /// Where the value ends that the walk is in.
    end: usize,
    /// Empty as long as the row is its own canonical form.
    scratch: &'a mut Vec<u8>,
}

impl<'a> Form<'a> {
    fn new(row: &'a [u8], scratch: &'a mut Vec<u8>) -> Self {
        // The walk begins behind the field count.
        Form { row, at: 2, end: row.len(), scratch }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        if self.scratch.is_empty() { self.row } else { self.scratch }
    }

    #[inline]
    fn columns(&mut self, columns: &[Canon]) -> Result<(), Wrong> {
        columns.iter().try_for_each(|canon| match canon {
            Canon::Raw => self.skip_value(),
            Canon::Float8 => self.float8_value(),
            canon => self.value(canon),
        })
    }

    /// [`Form::value`] of a raw value.
    #[inline]
    fn skip_value(&mut self) -> Result<(), Wrong> {
        match self.int()? {
            // The common length, apart for the reason that `binary::measure` gives.
            8 => self.skip(8),
            len => self.skip(len.max(0)),
        }
    }

    /// [`Form::value`] of the most common type that is not raw.
    #[inline]
    fn float8_value(&mut self) -> Result<(), Wrong> {
        match self.int()? {
            -1 => Ok(()),
            8 => self.float8(),
            _ => Err("float8 value not 8 bytes long"),
        }
    }

    /// A length (−1 is NULL) and that many bytes.
    fn value(&mut self, canon: &Canon) -> Result<(), Wrong> {
        match self.int()? {
            -1 => Ok(()),
            len => self.sized(len, |form| form.content(canon)),
        }
    }

    fn content(&mut self, canon: &Canon) -> Result<(), Wrong> {
        match canon {
            Canon::Raw => self.skip_rest(),
            Canon::Float4 => self.float4(),
            Canon::Float8 => self.float8(),
            Canon::Float8s { skip_bytes } => self.float8s(*skip_bytes),
            Canon::Array(element) => self.array(element),
            Canon::Composite(columns) => self.composite(columns),
            Canon::Range(bound) => self.range(bound),
            Canon::Multirange(bound) => self.multirange(bound),
        }
    }

    fn float4(&mut self) -> Result<(), Wrong> {
        let bytes = *self.peek().ok_or("float4 value not 4 bytes long")?;
        if f32::from_be_bytes(bytes).is_nan() {
            self.overwrite(&FLOAT4_NAN);
        }
        self.skip(4)
    }

    #[inline]
    fn float8(&mut self) -> Result<(), Wrong> {
        let bytes = *self.peek().ok_or("float8 value not 8 bytes long")?;
        if f64::from_be_bytes(bytes).is_nan() {
            self.overwrite(&FLOAT8_NAN);
        }
        self.skip(8)
    }

    /// `point_send`, `path_send` and their like.
    fn float8s(&mut self, skip_bytes: u8) -> Result<(), Wrong> {
        self.skip(skip_bytes.into())?;
        while self.at < self.end {
            self.float8()?;
        }
        Ok(())
    }

    /// `array_send`: dimensions, NULL flag, element type; per dimension length and lower bound; elements.
    fn array(&mut self, element: &Canon) -> Result<(), Wrong> {
        let dimensions = self.int()?;
        if !(0..=MAX_DIMENSIONS).contains(&dimensions) {
            return Err("impossible number of array dimensions");
        }
        self.blank()?;
        self.blank()?;
        let mut elements = i64::from(dimensions > 0);
        for _ in 0..dimensions {
            let length = self.int()?;
            self.skip(4)?;
            let product = elements.checked_mul(length.into());
            elements = product.filter(|count| *count >= 0).ok_or("impossible array dimension")?;
        }
        // However many are announced: each takes four bytes at least, so the end of the value stops this soon.
        (0..elements).try_for_each(|_| self.value(element))
    }

    /// `record_send`: number of columns; per column its type and value.
    fn composite(&mut self, columns: &[Canon]) -> Result<(), Wrong> {
        if usize::try_from(self.int()?) != Ok(columns.len()) {
            return Err("unexpected number of columns in a composite value");
        }
        for canon in columns {
            self.blank()?;
            self.value(canon)?;
        }
        Ok(())
    }

    /// `range_send`: flags; the bounds that the flags say are there.
    fn range(&mut self, bound: &Canon) -> Result<(), Wrong> {
        const EMPTY: u8 = 0x01;
        const LOWER_INFINITE: u8 = 0x08;
        const UPPER_INFINITE: u8 = 0x10;
        const LOWER_NULL: u8 = 0x20;
        const UPPER_NULL: u8 = 0x40;
        let [flags] = *self.peek().ok_or("range value without flags")?;
        self.skip(1)?;
        for absent in [EMPTY | LOWER_INFINITE | LOWER_NULL, EMPTY | UPPER_INFINITE | UPPER_NULL] {
            if flags & absent == 0 {
                let len = self.int()?;
                self.sized(len, |form| form.content(bound))?;
            }
        }
        Ok(())
    }

    /// `multirange_send`: number of ranges; per range its length and value.
    fn multirange(&mut self, bound: &Canon) -> Result<(), Wrong> {
        for _ in 0..self.int()? {
            let len = self.int()?;
            self.sized(len, |form| form.range(bound))?;
        }
        Ok(())
    }

    /// Walks a value of `len` bytes, which `walk` must use up.
    fn sized(&mut self, len: i32, walk: impl FnOnce(&mut Self) -> Result<(), Wrong>) -> Result<(), Wrong> {
        let end = usize::try_from(len).map_err(|_| "negative length inside a value")? + self.at;
        if end > self.end {
            return Err("value longer than what holds it");
        }
        let outer_end = std::mem::replace(&mut self.end, end);
        walk(self)?;
        if self.at != end {
            return Err("bytes left over in a value");
        }
        self.end = outer_end;
        Ok(())
    }

    /// The next `N` bytes of the value, if it has them.
    #[inline]
    fn peek<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.row[self.at..self.end].first_chunk()
    }

    #[inline]
    fn int(&mut self) -> Result<i32, Wrong> {
        let bytes = *self.peek().ok_or("value too short")?;
        self.at += 4;
        Ok(i32::from_be_bytes(bytes))
    }

    /// Skips `len` bytes, which must not be negative.
    #[inline]
    fn skip(&mut self, len: i32) -> Result<(), Wrong> {
        let at = self.at + len as usize;
        if at > self.end {
            return Err("value too short");
        }
        self.at = at;
        Ok(())
    }

    fn skip_rest(&mut self) -> Result<(), Wrong> {
        self.at = self.end;
        Ok(())
    }

    /// Overwrites the next four bytes with zeros and skips them.
    fn blank(&mut self) -> Result<(), Wrong> {
        let bytes: &[u8; 4] = self.peek().ok_or("value too short")?;
        if *bytes != [0; 4] {
            self.overwrite(&[0; 4]);
        }
        self.skip(4)
    }

    /// Overwrites what comes next; it must be there.
    #[cold]
    fn overwrite(&mut self, bytes: &[u8]) {
        if self.scratch.is_empty() {
            self.scratch.extend_from_slice(self.row);
        }
        self.scratch[self.at..self.at + bytes.len()].copy_from_slice(bytes);
    }
}

/// How many rows there are, and the sum of their hashes modulo 2¹²⁸.
///
/// Displays as `rows:sum`, the sum in 32 hexadecimal digits, and reads the same back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksum {
    /// The number of rows.
    pub rows: u64,
    /// The sum of their hashes.
    pub sum: u128,
}

impl Checksum {
    /// Counts one row in.
    #[inline]
    pub fn add_row(&mut self, hash: RowHash) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash.0);
    }
}

impl AddAssign for Checksum {
    fn add_assign(&mut self, other: Checksum) {
        self.rows += other.rows;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

impl Add for Checksum {
    type Output = Checksum;

    fn add(mut self, other: Checksum) -> Checksum {
        self += other;
        self
    }
}

impl Sub for Checksum {
    type Output = Checksum;

    /// What is left without `part`, which must be a part of it.
    fn sub(self, part: Checksum) -> Checksum {
        Checksum { rows: self.rows.saturating_sub(part.rows), sum: self.sum.wrapping_sub(part.sum) }
    }
}

impl std::iter::Sum for Checksum {
    fn sum<I: Iterator<Item = Checksum>>(parts: I) -> Checksum {
        parts.fold(Checksum::default(), Checksum::add)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:032x}", self.rows, self.sum)
    }
}

impl FromStr for Checksum {
    type Err = NotAChecksum;

    fn from_str(text: &str) -> Result<Self, NotAChecksum> {
        let (rows, sum) = text.split_once(':').ok_or(NotAChecksum)?;
        let checksum = Checksum {
            rows: rows.parse().map_err(|_| NotAChecksum)?,
            sum: u128::from_str_radix(sum, 16).map_err(|_| NotAChecksum)?,
        };
        // Signs, upper case and missing zeros are not what `Display` writes.
        if checksum.to_string() == text { Ok(checksum) } else { Err(NotAChecksum) }
    }
}

/// A text is not what a [`Checksum`] displays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAChecksum;

impl fmt::Display for NotAChecksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a checksum of the form rows:sum")
    }
}

impl std::error::Error for NotAChecksum {}

#[cfg(test)]
mod tests {
    use super::super::MAX_RECORD_BYTES;
    use super::super::binary::Scanner;
    use super::super::binary::tests::{row, stream};
    use super::*;
    use proptest::prelude::*;

    /// One value as a row of its own.
    fn try_hash(canon: Canon, value: Option<&[u8]>) -> Result<RowHash, Malformed> {
        let stream = stream(&[row(&[value])]);
        let mut scanner = Scanner::new(1, MAX_RECORD_BYTES);
        let mut rows = scanner.rows(&stream);
        RowHasher::new(vec![canon]).hash(&rows.next_row().unwrap().unwrap())
    }

    fn hash(canon: Canon, value: impl AsRef<[u8]>) -> RowHash {
        try_hash(canon, Some(value.as_ref())).unwrap()
    }

    /// The checksum of rows of three columns.
    fn checksum(columns: [Canon; 3], rows: &[Vec<u8>]) -> Checksum {
        let stream = stream(rows);
        let (mut scanner, mut hasher) = (Scanner::new(3, MAX_RECORD_BYTES), RowHasher::new(columns.to_vec()));
        let (mut rows, mut sum) = (scanner.rows(&stream), Checksum::default());
        while let Some(row) = rows.next_row().unwrap() {
            sum.add_row(hasher.hash(&row).unwrap());
        }
        drop(rows);
        assert_eq!(scanner.finish(), Ok(sum.rows));
        sum
    }

    fn raw(rows: &[Vec<u8>]) -> Checksum {
        checksum([Canon::Raw, Canon::Raw, Canon::Raw], rows)
    }

    fn sample_rows() -> Vec<Vec<u8>> {
        (0..20u64).map(|i| row(&[Some(&i.to_be_bytes()), None, Some(&(i as f64).to_be_bytes())])).collect()
    }

    fn array(oid: u32, flag: i32, bounds: &[(i32, i32)], elements: &[Option<&[u8]>]) -> Vec<u8> {
        let mut out = [(bounds.len() as i32).to_be_bytes(), flag.to_be_bytes(), oid.to_be_bytes()].concat();
        for (length, lower) in bounds {
            out.extend([length.to_be_bytes(), lower.to_be_bytes()].concat());
        }
        // The elements follow each other as the fields of a row do, behind the field count.
        out.extend_from_slice(&row(elements)[2..]);
        out
    }

    fn composite(columns: &[(u32, Option<&[u8]>)]) -> Vec<u8> {
        let mut out = (columns.len() as i32).to_be_bytes().to_vec();
        for (oid, value) in columns {
            out.extend_from_slice(&oid.to_be_bytes());
            out.extend_from_slice(&row(&[*value])[2..]);
        }
        out
    }

    fn range(flags: u8, bounds: &[&[u8]]) -> Vec<u8> {
        let bounds: Vec<Option<&[u8]>> = bounds.iter().map(|bound| Some(*bound)).collect();
        [&[flags], &row(&bounds)[2..]].concat()
    }

    fn array_of(canon: Canon) -> Canon {
        Canon::Array(Box::new(canon))
    }

    fn range_of(canon: Canon) -> Canon {
        Canon::Range(Box::new(canon))
    }

    const OTHER_NAN: [u8; 8] = 0xfff8_0000_0000_0001u64.to_be_bytes();

    #[test]
    fn order_and_parts_do_not_matter() {
        let rows = sample_rows();
        let mut reversed = rows.clone();
        reversed.reverse();
        assert_eq!(raw(&rows), raw(&reversed));
        assert_eq!(raw(&rows), raw(&rows[..7]) + raw(&rows[7..]));
        assert_eq!(raw(&rows) - raw(&rows[..7]), raw(&rows[7..]));
        assert_eq!(raw(&rows), [raw(&rows[7..]), Checksum::default(), raw(&rows[..7])].into_iter().sum());
    }

    #[test]
    fn every_flipped_bit_of_a_value_is_seen() {
        let rows = sample_rows();
        for bit in 0..64 {
            let mut other = rows.clone();
            other[13] = row(&[Some(&(13u64 ^ (1 << bit)).to_be_bytes()), None, Some(&13f64.to_be_bytes())]);
            assert_ne!(raw(&rows), raw(&other), "bit {bit}");
        }
    }

    #[test]
    fn a_missing_row_and_a_pair_too_many_are_seen() {
        let rows = sample_rows();
        let two_more = [&rows[..], &[rows[3].clone(), rows[3].clone()]].concat();
        assert_ne!(raw(&rows), raw(&rows[1..]));
        assert_ne!(raw(&rows).sum, raw(&two_more).sum, "an exclusive or would not see them");
        let mut swapped = rows.clone();
        swapped[4] = rows[5].clone();
        assert_ne!(raw(&rows), raw(&swapped));
    }

    #[test]
    fn a_value_that_moves_to_the_next_column_is_seen() {
        let left = row(&[Some(b"ab"), Some(b"c"), None]);
        let right = row(&[Some(b"a"), Some(b"bc"), None]);
        assert_ne!(raw(&[left]), raw(&[right]));
        assert_ne!(raw(&[row(&[None, Some(b""), None])]), raw(&[row(&[Some(b""), None, None])]));
    }

    #[test]
    fn the_canonical_form_of_a_canonical_row_is_its_bytes() {
        let rows = sample_rows();
        assert_eq!(raw(&rows), checksum([Canon::Raw, array_of(Canon::Float4), Canon::Float8], &rows));
        assert_eq!(raw(&rows[..1]).sum, xxh3_128(&rows[0]));
    }

    #[test]
    fn all_nans_are_one_and_the_zeros_are_two() {
        assert_eq!(hash(Canon::Float8, f64::NAN.to_be_bytes()), hash(Canon::Float8, OTHER_NAN));
        assert_eq!(hash(Canon::Float4, f32::NAN.to_be_bytes()), hash(Canon::Float4, 0xffc0_0001u32.to_be_bytes()));
        assert_ne!(hash(Canon::Raw, f64::NAN.to_be_bytes()), hash(Canon::Raw, OTHER_NAN));
        assert_ne!(hash(Canon::Float8, 0f64.to_be_bytes()), hash(Canon::Float8, (-0f64).to_be_bytes()));
        assert_ne!(hash(Canon::Float8, f64::INFINITY.to_be_bytes()), hash(Canon::Float8, f64::NAN.to_be_bytes()));
    }

    #[test]
    fn nans_inside_geometric_values_are_one() {
        let one = 1f64.to_be_bytes();
        let value = |head: &[u8], nan: &[u8; 8]| [head, &one, nan].concat();
        for head in [&[][..], &[0, 0, 0, 1], &[1, 0, 0, 0, 1]] {
            let canon = || Canon::Float8s { skip_bytes: head.len() as u8 };
            let nan = hash(canon(), value(head, &f64::NAN.to_be_bytes()));
            assert_eq!(nan, hash(canon(), value(head, &OTHER_NAN)));
            assert_ne!(nan, hash(canon(), value(head, &0f64.to_be_bytes())));
        }
        let closed = |flag| hash(Canon::Float8s { skip_bytes: 5 }, value(&[flag, 0, 0, 0, 1], &one));
        assert_ne!(closed(0), closed(1));
        assert!(try_hash(Canon::Float8s { skip_bytes: 0 }, Some(&[0; 12])).is_err());
    }

    #[test]
    fn a_row_after_a_rewritten_one_is_hashed_alone() {
        let nan = row(&[None, None, Some(&OTHER_NAN)]);
        let one = row(&[None, None, Some(&1f64.to_be_bytes())]);
        let columns = [Canon::Raw, Canon::Raw, Canon::Float8];
        let alone = checksum(columns.clone(), std::slice::from_ref(&nan))
            + checksum(columns.clone(), std::slice::from_ref(&one));
        assert_eq!(checksum(columns, &[nan, one]), alone);
    }

    #[test]
    fn type_oids_inside_values_do_not_matter() {
        let elements: [Option<&[u8]>; 2] = [Some(b"on"), None];
        let enums = |oid| array(oid, 1, &[(2, 1)], &elements);
        assert_eq!(hash(array_of(Canon::Raw), enums(16384)), hash(array_of(Canon::Raw), enums(20001)));
        assert_ne!(hash(Canon::Raw, enums(16384)), hash(Canon::Raw, enums(20001)));

        let pair = |oid| composite(&[(23, Some(&[0, 0, 0, 1])), (oid, Some(&enums(oid)))]);
        let canon = || Canon::Composite(vec![Canon::Raw, array_of(Canon::Raw)]);
        assert_eq!(hash(canon(), pair(16384)), hash(canon(), pair(20001)));
        let pairs = |oid| array(oid, 0, &[(1, 1)], &[Some(&pair(oid))]);
        assert_eq!(hash(array_of(canon()), pairs(16384)), hash(array_of(canon()), pairs(20001)));
    }

    #[test]
    fn a_stale_null_flag_of_an_array_does_not_matter_but_its_shape_does() {
        let shaped = |flag, bounds: &[(i32, i32)]| array(25, flag, bounds, &[Some(b"a"), Some(b"b")]);
        let expected = hash(array_of(Canon::Raw), shaped(0, &[(2, 1)]));
        assert_eq!(hash(array_of(Canon::Raw), shaped(1, &[(2, 1)])), expected);
        assert_ne!(hash(array_of(Canon::Raw), shaped(0, &[(2, 0)])), expected);
        assert_ne!(
            hash(array_of(Canon::Raw), shaped(0, &[(2, 1), (1, 1)])),
            hash(array_of(Canon::Raw), shaped(0, &[(1, 1), (2, 1)]))
        );
    }

    #[test]
    fn nans_inside_ranges_are_one() {
        let one = 1f64.to_be_bytes();
        let nan = f64::NAN.to_be_bytes();
        let upper = |nan: &[u8]| range(0x02, &[&one, nan]);
        assert_eq!(hash(range_of(Canon::Float8), upper(&nan)), hash(range_of(Canon::Float8), upper(&OTHER_NAN)));
        // (,NaN), [1,) and empty: one bound, one bound, none.
        assert_eq!(
            hash(range_of(Canon::Float8), range(0x08, &[&nan])),
            hash(range_of(Canon::Float8), range(0x08, &[&OTHER_NAN]))
        );
        hash(range_of(Canon::Float8), range(0x12, &[&one]));
        hash(range_of(Canon::Float8), range(0x01, &[]));
        let multirange = |nan: &[u8]| [&[0, 0, 0, 1][..], &row(&[Some(&upper(nan))])[2..]].concat();
        let canon = || Canon::Multirange(Box::new(Canon::Float8));
        assert_eq!(hash(canon(), multirange(&nan)), hash(canon(), multirange(&OTHER_NAN)));
        hash(canon(), [0; 4]);
    }

    #[test]
    fn malformed_values_are_named_with_their_place() {
        let what = |canon, value: &[u8]| {
            let wrong = try_hash(canon, Some(value)).unwrap_err();
            assert_eq!(wrong.row(), 1);
            (wrong.defect().to_string(), wrong.offset())
        };
        // The value begins behind header, field count and length: at byte 25.
        assert_eq!(what(Canon::Float8, &[0; 4]), ("float8 value not 8 bytes long".to_owned(), 25));
        assert_eq!(what(Canon::Float4, &[0; 8]), ("bytes left over in a value".to_owned(), 29));
        assert_eq!(what(array_of(Canon::Raw), &[0; 5]), ("value too short".to_owned(), 29));
        assert_eq!(what(Canon::Composite(vec![]), &[0, 0, 0, 1]).1, 29);
        assert_eq!(what(range_of(Canon::Raw), &[]), ("range value without flags".to_owned(), 25));
        let lengths_overflow = array(25, 0, &[(i32::MAX, 1), (i32::MAX, 1), (i32::MAX, 1)], &[]);
        assert_eq!(what(array_of(Canon::Raw), &lengths_overflow).0, "impossible array dimension");
        let huge = array(25, 0, &[(i32::MAX, 1), (i32::MAX, 1)], &[Some(b"a")]);
        assert_eq!(what(array_of(Canon::Raw), &huge).0, "value too short");
        let too_long = array(25, 0, &[(1, 1)], &[]).into_iter().chain([0, 0, 0, 9]).collect::<Vec<_>>();
        assert_eq!(what(array_of(Canon::Raw), &too_long).0, "value longer than what holds it");
    }

    #[test]
    fn a_checksum_reads_back_what_it_displays() {
        let sum = Checksum { rows: 12, sum: 0xab };
        assert_eq!(sum.to_string(), "12:000000000000000000000000000000ab");
        assert_eq!(sum.to_string().parse(), Ok(sum));
        for text in [
            "",
            "12",
            "12:ab",
            "+12:000000000000000000000000000000ab",
            "12:+00000000000000000000000000000ab",
            "12:000000000000000000000000000000AB",
            "12:000000000000000000000000000000ab ",
            ":",
        ] {
            assert_eq!(text.parse::<Checksum>(), Err(NotAChecksum), "{text}");
        }
    }

    fn any_canon() -> impl Strategy<Value = Canon> {
        let leaf = prop_oneof![
            Just(Canon::Raw),
            Just(Canon::Float4),
            Just(Canon::Float8),
            (0u8..9).prop_map(|skip_bytes| Canon::Float8s { skip_bytes }),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(array_of),
                inner.clone().prop_map(range_of),
                inner.clone().prop_map(|bound| Canon::Multirange(Box::new(bound))),
                proptest::collection::vec(inner, 0..3).prop_map(Canon::Composite),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_value_makes_it_panic(
            canon in any_canon(),
            value in proptest::collection::vec(prop_oneof![4 => Just(0u8), 1 => 1u8..9, 1 => any::<u8>()], 0..80),
        ) {
            let _ = try_hash(canon, Some(&value));
        }
    }
}

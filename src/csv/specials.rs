//! Where the few bytes stand that mean something.

/// The bytes that are looked for, each repeated eight times; ASCII.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needles([u64; 5]);

impl Needles {
    pub(super) fn new(bytes: [u8; 5]) -> Needles {
        Needles(bytes.map(|byte| u64::from_ne_bytes([byte; 8])))
    }

    /// The highest bit of each byte of `word` that is one of these; no other bit.
    ///
    /// Seven bits plus 0x7F reach the eighth unless all of them are zero, and never the next byte; a byte above 0x7F
    /// is none of these.
    #[inline(always)]
    fn matches(self, word: u64) -> u64 {
        let seven_bits = word & SEVEN_BITS;
        let differs = |needle: u64| (seven_bits ^ needle).wrapping_add(SEVEN_BITS);
        let [a, b, c, d, e] = self.0;
        !(differs(a) & differs(b) & differs(c) & differs(d) & differs(e) | word | SEVEN_BITS)
    }
}

const SEVEN_BITS: u64 = u64::from_ne_bytes([0x7F; 8]);
const WORD_BYTES: usize = size_of::<u64>();

/// The positions of all needles in some bytes, in order.
///
/// A word is looked at once for all the needles in it: fields are short, and a `memchr3` for each of them costs more to
/// begin than to run (3.0 against 3.7 GB/s on rows of 13 numbers, and 1.8 for a loop over bytes).
pub(super) struct Specials<'b> {
    bytes: &'b [u8],
    needles: Needles,
    /// Where the word begins that is being looked at.
    base: usize,
    /// What is left of its matches.
    matches: u64,
}

impl<'b> Specials<'b> {
    pub(super) fn new(bytes: &'b [u8], needles: Needles) -> Specials<'b> {
        let mut specials = Specials { bytes, needles, base: 0, matches: 0 };
        specials.seek(0);
        specials
    }

    /// Goes on at `at`.
    #[inline]
    pub(super) fn seek(&mut self, at: usize) {
        self.base = at;
        self.matches = self.needles.matches(self.word());
    }

    /// The word at `base`. What lies behind the end reads as 0xFF, which is no needle.
    #[inline(always)]
    fn word(&self) -> u64 {
        match self.bytes.get(self.base..).and_then(|rest| rest.first_chunk()) {
            Some(word) => u64::from_le_bytes(*word),
            None => self.last_word(),
        }
    }

    #[cold]
    fn last_word(&self) -> u64 {
        let rest = self.bytes.get(self.base..).unwrap_or_default();
        let mut word = [0xFF; WORD_BYTES];
        word[..rest.len()].copy_from_slice(rest);
        u64::from_le_bytes(word)
    }
}

impl Iterator for Specials<'_> {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        while self.matches == 0 {
            if self.bytes.len().saturating_sub(self.base) <= WORD_BYTES {
                return None;
            }
            self.seek(self.base + WORD_BYTES);
        }
        let at = self.base + self.matches.trailing_zeros() as usize / 8;
        self.matches &= self.matches - 1;
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn specials_are_what_a_loop_over_all_bytes_finds(
            bytes in proptest::collection::vec(prop_oneof![Just(b','), Just(b'\n'), Just(0xAC), any::<u8>()], 0..60),
            from in 0usize..70,
        ) {
            let wanted = [b',', b'"', b'\\', b'\n', b'\r'];
            let mut specials = Specials::new(&bytes, Needles::new(wanted));
            specials.seek(from);
            let found: Vec<usize> = specials.collect();
            let expected: Vec<usize> = (from..bytes.len()).filter(|at| wanted.contains(&bytes[*at])).collect();
            prop_assert_eq!(found, expected);
        }
    }
}

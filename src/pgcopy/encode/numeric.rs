//! `numeric`, as a sign, digits and a point; exponents are left to the server.
//!
//! A binary value is four 16-bit numbers and then base-10000 digits, 16 bits each: how many digits there are, the power
//! of 10000 of the first one (the weight), the sign, and how many decimal digits stand behind the point (the display
//! scale). The first and the last digit are not zero. Precision and scale of a column are applied by the server's
//! receive function, as by its input function.

use memchr::memchr;

use super::split_sign;

/// Decimal digits in a base-10000 digit.
const GROUP: usize = 4;
/// The largest display scale.
const MAX_DSCALE: usize = 0x3fff;
/// What stands before the digits.
const HEADER_BYTES: usize = 8;
const POSITIVE: u16 = 0;
const NEGATIVE: u16 = 0x4000;

/// Appends a value; false, with anything behind what was there, where only the server can judge.
pub(super) fn push(text: &[u8], out: &mut Vec<u8>) -> bool {
    Decimal::parse(text).is_some_and(|decimal| decimal.push(out).is_some())
}

/// A number as it is written.
struct Decimal<'a> {
    is_negative: bool,
    /// The digits before the point, without zeros at the beginning.
    whole: &'a [u8],
    /// The digits behind the point.
    fraction: &'a [u8],
}

impl Decimal<'_> {
    fn parse(text: &[u8]) -> Option<Decimal<'_>> {
        let (is_negative, number) = split_sign(text);
        let (whole, fraction) = split_point(number);
        let is_number = |digits: &[u8]| digits.iter().all(u8::is_ascii_digit);
        if whole.len() + fraction.len() == 0 || !is_number(whole) || !is_number(fraction) {
            return None;
        }
        let zeros = whole.iter().take_while(|&&digit| digit == b'0').count();
        Some(Decimal { is_negative, whole: &whole[zeros..], fraction })
    }

    /// `None` for more digits before or behind the point than a numeric has.
    fn push(&self, out: &mut Vec<u8>) -> Option<()> {
        let dscale = u16::try_from(self.fraction.len()).ok().filter(|&dscale| usize::from(dscale) <= MAX_DSCALE)?;
        let header = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        let first = self.push_digits(out);
        // Zero has no sign and no weight.
        let (sign, weight) = match first {
            None => (POSITIVE, 0),
            Some(first) => (if self.is_negative { NEGATIVE } else { POSITIVE }, self.weight(first)?),
        };
        let digits = u16::try_from((out.len() - header - HEADER_BYTES) / 2).ok()?;
        for (at, word) in [digits, weight as u16, sign, dscale].into_iter().enumerate() {
            out[header + 2 * at..][..2].copy_from_slice(&word.to_be_bytes());
        }
        Some(())
    }

    /// Appends the base-10000 digits from the first to the last that is not zero; answers which the first one is.
    fn push_digits(&self, out: &mut Vec<u8>) -> Option<usize> {
        let whole = self.whole.rchunks(GROUP).rev().map(digit);
        let fraction = self.fraction.chunks(GROUP).map(|group| digit(group) * 10u16.pow((GROUP - group.len()) as u32));
        let mut digits = whole.chain(fraction).enumerate().skip_while(|&(_, digit)| digit == 0).peekable();
        let first = digits.peek()?.0;
        digits.for_each(|(_, digit)| out.extend_from_slice(&digit.to_be_bytes()));
        while out.ends_with(&[0, 0]) {
            out.truncate(out.len() - 2);
        }
        Some(first)
    }

    /// The power of 10000 of a base-10000 digit, by its place.
    fn weight(&self, place: usize) -> Option<i16> {
        let whole = i64::try_from(self.whole.len().div_ceil(GROUP)).ok()?;
        i16::try_from(whole - 1 - i64::try_from(place).ok()?).ok()
    }
}

/// What stands before the point and what behind it; nothing behind it where there is none.
fn split_point(number: &[u8]) -> (&[u8], &[u8]) {
    memchr(b'.', number).map_or((number, &[]), |point| (&number[..point], &number[point + 1..]))
}

/// The number that up to four decimal digits spell.
fn digit(group: &[u8]) -> u16 {
    group.iter().fold(0, |digit, byte| 10 * digit + u16::from(byte - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Option<Vec<u16>> {
        let mut out = Vec::new();
        push(text.as_bytes(), &mut out)
            .then(|| out.chunks(2).map(|word| u16::from_be_bytes([word[0], word[1]])).collect())
    }

    #[test]
    fn numbers_become_what_the_server_sends() {
        // Made with numeric_send of PostgreSQL 17.
        for (text, expected) in [
            ("0", &[0, 0, POSITIVE, 0][..]),
            ("-0.00", &[0, 0, POSITIVE, 2]),
            ("1", &[1, 0, POSITIVE, 0, 1]),
            ("-12345.678", &[3, 1, NEGATIVE, 3, 1, 2345, 6780]),
            ("100000000", &[1, 2, POSITIVE, 0, 1]),
            ("+0.00001", &[1, 0xfffe, POSITIVE, 5, 1000]),
            (".5", &[1, 0xffff, POSITIVE, 1, 5000]),
            ("5.", &[1, 0, POSITIVE, 0, 5]),
            ("000000000012.500000", &[2, 0, POSITIVE, 6, 12, 5000]),
            ("10000.0001", &[3, 1, POSITIVE, 4, 1, 0, 1]),
        ] {
            assert_eq!(words(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn only_plain_decimals_are_taken() {
        for text in ["", ".", "-", "+.", "1e5", "NaN", "Infinity", "1_000", "0x1", " 1", "1 ", "1.2.3", "1,5", "--1"] {
            assert_eq!(words(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_largest_numbers_are_taken_and_larger_ones_are_not() {
        let largest = words(&format!("{}.{}", "9".repeat(131_072), "9".repeat(16_383))).unwrap();
        assert_eq!((largest.len(), &largest[..4]), (4 + 36_864, &[36_864, 0x7fff, POSITIVE, 16_383][..]));
        assert_eq!(words(&"9".repeat(131_073)), None);
        assert_eq!(words(&format!("0.{}", "0".repeat(16_384))), None);
        assert_eq!(words(&format!("{}1", "0".repeat(200_000))), words("1"), "zeros before a number do not count");
    }

    /// The decimal that base-10000 digits mean, the slow and obvious way.
    fn read_back(words: &[u16]) -> String {
        let (weight, dscale) = (i64::from(words[1] as i16), usize::from(words[3]));
        let digit = |power: i64| usize::try_from(weight - power).map_or(0, |at| *words.get(4 + at).unwrap_or(&0));
        let whole: String = (0..=weight.max(0)).rev().map(|power| format!("{:04}", digit(power))).collect();
        let fraction: String = (1..=dscale.div_ceil(4) as i64).map(|power| format!("{:04}", digit(-power))).collect();
        let whole = Some(whole.trim_start_matches('0')).filter(|whole| !whole.is_empty()).unwrap_or("0");
        let point = if dscale > 0 { "." } else { "" };
        format!("{}{whole}{point}{}", if words[2] == NEGATIVE { "-" } else { "" }, &fraction[..dscale])
    }

    proptest! {
        #[test]
        fn numbers_read_back(text in "-?(0|[1-9]0{0,9}[0-9]{0,20})(\\.0{0,9}[0-9]{1,20}0{0,9})?") {
            let words = words(&text).unwrap();
            let is_zero = !text.contains(|c| ('1'..='9').contains(&c));
            prop_assert_eq!(read_back(&words), if is_zero { text.trim_start_matches('-') } else { &text });
            prop_assert_eq!(usize::from(words[0]), words.len() - 4);
            prop_assert!(words[4..].iter().all(|&digit| digit < 10_000));
            prop_assert!(words[4..].first() != Some(&0) && words[4..].last() != Some(&0));
        }
    }
}

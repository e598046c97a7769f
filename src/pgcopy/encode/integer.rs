//! `smallint`, `integer` and `bigint`, in decimal digits.

use super::split_sign;

/// A `u64` holds every number of so many digits.
const MAX_DIGITS: usize = 19;

/// A sign and digits, in the range of the type.
#[inline]
pub(super) fn parse<T: TryFrom<i64>>(text: &[u8]) -> Option<T> {
    let (is_negative, digits) = split_sign(text);
    let magnitude = unsigned(digits)?;
    let value = if is_negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() };
    T::try_from(value?).ok()
}

/// The number that 1 to 19 decimal digits spell.
#[inline]
pub(super) fn unsigned(digits: &[u8]) -> Option<u64> {
    let add = |number: u64, byte: &u8| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + u64::from(digit))
    };
    if !(1..=MAX_DIGITS).contains(&digits.len()) {
        return None;
    }
    digits.iter().try_fold(0, add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ends_of_each_range_are_in_it() {
        assert_eq!(parse::<i16>(b"-32768"), Some(i16::MIN));
        assert_eq!(parse::<i16>(b"32768"), None);
        assert_eq!(parse::<i32>(b"2147483647"), Some(i32::MAX));
        assert_eq!(parse::<i32>(b"-2147483649"), None);
        assert_eq!(parse::<i64>(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse::<i64>(b"-9223372036854775809"), None);
        assert_eq!(parse::<i64>(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse::<i64>(b"9223372036854775808"), None);
        assert_eq!(parse::<i64>(b"9999999999999999999"), None);
    }

    #[test]
    fn only_a_sign_and_digits_are_taken() {
        assert_eq!(parse::<i32>(b"-0"), Some(0));
        assert_eq!(parse::<i32>(b"+007"), Some(7));
        for text in ["", "-", "+", "--1", "+-1", "1_000", "0x10", "0b1", " 1", "1 ", "1.0", "1e3", "\u{661}", "1\0"] {
            assert_eq!(parse::<i64>(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_integer_reads_back(value: i64) {
            prop_assert_eq!(parse(value.to_string().as_bytes()), Some(value));
            prop_assert_eq!(parse::<i16>(value.to_string().as_bytes()), i16::try_from(value).ok());
        }

        #[test]
        fn digits_mean_what_the_standard_library_says(text in "[+-]?[0-9]{0,21}") {
            if let Some(value) = parse::<i32>(text.as_bytes()) {
                prop_assert_eq!(Ok(value), text.parse());
            } else if text.len() <= MAX_DIGITS {
                prop_assert!(text.parse::<i32>().is_err());
            }
        }
    }
}

//! `real` and `double precision`, in decimal digits with a point and an exponent.
//!
//! The server reads them with `strtof` and `strtod`, which round correctly, as is done here; a `real` is not read as a
//! `double precision` first, which would round it twice. What is too large, or so small that it would be zero, is an
//! error there.

use fast_float2::FastFloat;

use super::precise;

/// In a longer text an exponent could be larger than the parser counts and its digits make up for it.
const MAX_BYTES: usize = 1024;

/// A finite number; zero only if it is written as zero.
#[inline]
pub(super) fn parse<F: FastFloat + Into<f64>>(text: &[u8]) -> Option<F> {
    if text.len() > MAX_BYTES {
        return None;
    }
    let value: F = fast_float2::parse(text).ok()?;
    let wide: f64 = value.into();
    (wide.is_finite() && (wide != 0.0 || is_zero(text))).then_some(value)
}

/// The same as a `double precision`, by the shortest way.
#[inline]
pub(super) fn parse_double(text: &[u8]) -> Option<f64> {
    precise::parse(text).or_else(|| parse(text))
}

/// Whether the digits before an exponent are all zero.
fn is_zero(number: &[u8]) -> bool {
    number.iter().take_while(|byte| !byte.eq_ignore_ascii_case(&b'e')).all(|byte| !(b'1'..=b'9').contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn float8(text: &str) -> Option<u64> {
        parse_double(text.as_bytes()).map(f64::to_bits)
    }

    #[test]
    fn zero_is_zero_only_when_it_is_written() {
        for text in ["0", "-0", "0.000", "0e400", "-0.0E-99999", ".0", "0."] {
            let expected = if text.starts_with('-') { -0.0f64 } else { 0.0 };
            assert_eq!(float8(text), Some(expected.to_bits()), "{text}");
        }
        for text in ["1e400", "-1e400", "1e-400", "0.1e-350", "1e99999999999999999999", "1e-99999999999999999999"] {
            assert_eq!(float8(text), None, "{text}");
        }
        assert_eq!(float8("5e-324"), Some(1));
        assert_eq!(parse::<f32>(b"1e-46"), None);
        assert_eq!(parse::<f32>(b"1e39"), None);
        assert_eq!(parse::<f32>(b"1e-45").map(f32::to_bits), Some(1));
    }

    #[test]
    fn only_decimal_numbers_are_taken() {
        for text in
            ["", ".", "-", "e5", "1e", "1e+", "NaN", "inf", "-Infinity", "0x10", "1_0", " 1", "1 ", "1,5", "--1", "1f"]
        {
            assert_eq!(float8(text), None, "{text:?}");
        }
        for text in ["1", "-1.5", "+.5", "5.", "1e5", "1E-5", "1.25e+05", "007"] {
            assert_eq!(float8(text), Some(text.parse::<f64>().unwrap().to_bits()), "{text}");
        }
    }

    #[test]
    fn a_real_is_rounded_once() {
        // Just above the middle of two reals; as a double it is the middle, which would be rounded to the even one.
        let text = "1.00000005960464477540";
        assert_eq!(parse::<f32>(text.as_bytes()), Some(1.0 + f32::EPSILON));
        assert_eq!(text.parse::<f64>().unwrap() as f32, 1.0);
    }

    #[test]
    fn an_exponent_that_long_digits_make_up_for_is_left_to_the_server() {
        assert_eq!(float8(&format!("0.{}1e655399999", "0".repeat(655_398))), None);
    }

    proptest! {
        #[test]
        fn numbers_are_rounded_as_the_standard_library_does(
            text in "[+-]?[0-9]{0,25}(\\.[0-9]{0,25})?([eE][+-]?[0-9]{1,3})?"
        ) {
            if let Some(bits) = float8(&text) {
                prop_assert_eq!(Ok(bits), text.parse().map(f64::to_bits));
            }
            if let Some(value) = parse::<f32>(text.as_bytes()) {
                prop_assert_eq!(Ok(value.to_bits()), text.parse().map(f32::to_bits));
            }
        }

        #[test]
        fn every_finite_float_reads_back(bits: u64) {
            let value = f64::from_bits(bits);
            let expected = value.is_finite().then_some(bits);
            prop_assert_eq!(float8(&value.to_string()), expected);
            prop_assert_eq!(float8(&format!("{value:e}")), expected);
            let value = f32::from_bits(bits as u32);
            prop_assert_eq!(parse::<f32>(value.to_string().as_bytes()), value.is_finite().then_some(value));
        }
    }
}

//! A `double precision` with all its digits, as PostgreSQL prints it: `93.12345678901234`.
//!
//! Most numbers that are measured look so, and hardly two of them in a row are equally long. Here nothing is asked digit
//! by digit: a branch that nobody can foresee costs more than all of the arithmetic. Whatever else a number may look like
//! is for [`float`](super::float), which reads it to the same value.

use super::split_sign;

/// Digits before the point, and behind it, that are read here.
const WHOLE_DIGITS: std::ops::RangeInclusive<usize> = 1..=7;
const FRACTION_DIGITS: std::ops::RangeInclusive<usize> = 9..=16;
/// A `u64` holds every number of so many digits.
const MAX_DIGITS: usize = 19;

/// The double nearest to a decimal with a point and enough digits; `None` for what has another form.
#[inline]
pub(super) fn parse(text: &[u8]) -> Option<f64> {
    let (is_negative, number) = split_sign(text);
    let head = u64::from_le_bytes(*number.first_chunk()?);
    let (tail, last) = number.last_chunk::<16>()?.split_at(8);
    let point = find_point(head);
    let fraction = number.len().checked_sub(point + 1)?;
    if !WHOLE_DIGITS.contains(&point) || !FRACTION_DIGITS.contains(&fraction) || point + fraction > MAX_DIGITS {
        return None;
    }
    // Of the words only the digits stay, the last one in the highest byte; zeros stand before them.
    let foreign_bits = 8 * (16 - fraction);
    let whole = (head ^ ZEROS) << (64 - 8 * point);
    let tail = (u64::from_le_bytes(tail.try_into().ok()?) ^ ZEROS) >> foreign_bits << foreign_bits;
    let last = u64::from_le_bytes(last.try_into().ok()?) ^ ZEROS;
    if (beyond_nine(whole) | beyond_nine(tail) | beyond_nine(last)) != 0 {
        return None;
    }
    let digits = spelled(whole) * POWERS[fraction] + spelled(tail) * 100_000_000 + spelled(last);
    let value = scaled_down(digits, fraction)?;
    Some(if is_negative { -value } else { value })
}

/// Powers of ten.
const POWERS: [u64; 17] = {
    let mut table = [1; 17];
    let mut place = 1;
    while place < table.len() {
        table[place] = table[place - 1] * 10;
        place += 1;
    }
    table
};

const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
const POINTS: u64 = u64::from_ne_bytes([b'.'; 8]);
const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);

/// Where the first point of eight bytes stands; 8 where there is none.
#[inline]
fn find_point(word: u64) -> usize {
    let differs = word ^ POINTS;
    // Borrows spoil only what lies behind the first match.
    (differs.wrapping_sub(ONES) & !differs & HIGH_BITS).trailing_zeros() as usize / 8
}

/// Not zero where a byte is no number from 0 to 9.
#[inline]
fn beyond_nine(bytes: u64) -> u64 {
    (bytes.wrapping_add(u64::from_ne_bytes([0x80 - 10; 8])) | bytes) & HIGH_BITS
}

/// The number that eight bytes from 0 to 9 spell, the first one in the lowest byte: pairs, then fours, then all.
#[inline]
fn spelled(digits: u64) -> u64 {
    const PAIRS: u64 = 0x0000_00FF_0000_00FF;
    let pairs = digits * 10 + (digits >> 8);
    let odd = (pairs & PAIRS).wrapping_mul(100 + (1_000_000 << 32));
    let even = (pairs >> 16 & PAIRS).wrapping_mul(1 + (10_000 << 32));
    odd.wrapping_add(even) >> 32
}

/// The double nearest to `digits` / 10 ^ `places`, by the method of Lemire, "Number Parsing at a Gigabyte per Second"
/// (2021); Mushtak and Lemire (2022) have shown that for these powers it always decides. `None` for zero.
///
/// There are no halfway cases: such a number would be a multiple of 5 ^ `places` of 54 bits more.
#[inline(always)]
fn scaled_down(digits: u64, places: usize) -> Option<f64> {
    let shift = digits.leading_zeros();
    let digits = digits.checked_shl(shift)?;
    let reciprocal = RECIPROCALS[places];
    let product = u128::from(digits) * (reciprocal >> 64);
    // The lower half of the reciprocal matters where it may carry into the bits that are kept.
    let product = match product >> 64 & 0x1FF {
        0x1FF => product + ((u128::from(digits) * (reciprocal & u128::from(u64::MAX))) >> 64),
        _ => product,
    };
    let high = (product >> 64) as u64;
    let is_large = high >> 63;
    // One bit more than a double has, to round by.
    let mantissa = high >> (is_large + 9);
    let mantissa = (mantissa + (mantissa & 1)) >> 1;
    let exponent = EXPONENTS[places] + is_large - u64::from(shift);
    // The mantissa's highest bit adds one to the exponent, and one more where rounding has carried into the next.
    Some(f64::from_bits((exponent << 52) + mantissa))
}

/// 1 / 5 ^ places, rounded up, as the 128 bits from the highest that is set; there is none for no places.
const RECIPROCALS: [u128; 17] = reciprocals();
/// The exponent of a double for a product of a number and a reciprocal whose highest bits are clear, less one.
const EXPONENTS: [u64; 17] = exponents();

const fn reciprocals() -> [u128; 17] {
    let mut table = [0; 17];
    let mut places = 1;
    while places < table.len() {
        table[places] = reciprocal(5u64.pow(places as u32));
        places += 1;
    }
    table
}

/// By long division, bit for bit.
const fn reciprocal(divisor: u64) -> u128 {
    let (mut quotient, mut rest) = (0u128, 1u128);
    while quotient >> 127 == 0 {
        rest *= 2;
        quotient *= 2;
        if rest >= divisor as u128 {
            rest -= divisor as u128;
            quotient += 1;
        }
    }
    quotient + if rest > 0 { 1 } else { 0 }
}

const fn exponents() -> [u64; 17] {
    let mut table = [0; 17];
    let mut places = 0;
    while places < table.len() {
        // log2(10) times 2 ^ 16, which is exact enough for powers below 300.
        table[places] = (((places as i64 * -217_706) >> 16) + 63 + 1023 - 1) as u64;
        places += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits(text: &str) -> Option<u64> {
        parse(text.as_bytes()).map(f64::to_bits)
    }

    #[test]
    fn reciprocals_are_those_of_the_powers_of_five() {
        // From the table of the paper.
        assert_eq!(RECIPROCALS[1], 0xcccc_cccc_cccc_cccc_cccc_cccc_cccc_cccd);
        assert_eq!(RECIPROCALS[16], 0xe695_94be_c44d_e15b_4c2e_be68_7989_a9b4);
    }

    #[test]
    fn other_forms_are_left_to_others() {
        for text in [
            "",
            ".",
            "1",
            "1.5",
            "12.345678",
            "0.00000000000000",
            "-0.0000000000000",
            "93.1234567890123e1",
            "12345678.123456789",
            "1234.1234567890123456",
            "1.12345678901234567",
            "93.1234567.901234",
            "93.12345678901a34",
            "9a.12345678901234",
            "93:12345678901234",
            "--3.12345678901234",
            " 3.12345678901234",
            "93.12345678901234 ",
            "93.1234567/901234",
            "93.1234567\u{80}01234",
        ] {
            assert_eq!(bits(text), None, "{text:?}");
        }
    }

    #[test]
    fn numbers_at_the_ends_of_what_is_read_are_right() {
        for text in [
            "93.12345678901234",
            "-0.1234567890123456",
            "+1234567.123456789",
            "0.0000000000000001",
            "999.9999999999999999",
            "9.007199254740993",
            "9.0071992547409935",
            "0.9999999999999999",
            "1.0000000000000002",
            "0.999999999999999944",
        ] {
            if let Some(bits) = bits(text) {
                assert_eq!(bits, text.parse::<f64>().unwrap().to_bits(), "{text}");
            }
        }
        assert!(bits("93.12345678901234").is_some() && bits("0.0000000000000001").is_some());
        assert!(bits("-1234567.123456789").is_some() && bits("+999.9999999999999999").is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn numbers_are_rounded_as_the_standard_library_does(text in "[+-]?[0-9]{1,8}\\.[0-9]{8,17}") {
            if let Some(bits) = bits(&text) {
                prop_assert_eq!(bits, text.parse::<f64>().unwrap().to_bits());
            }
        }

        #[test]
        fn what_lies_near_the_middle_of_two_doubles_is_rounded_to_the_nearer_one(
            mantissa in 0u64..1 << 53, exponent in 40u32..53, places in 9usize..=16, nudge in 0i128..=2,
        ) {
            let middle = (2.0 * mantissa as f64 + 1.0) / 2f64.powi(exponent as i32 + 1);
            let digits = (middle * 10f64.powi(places as i32)) as i128 + nudge;
            let text = format!("{}.{:0places$}", digits / 10i128.pow(places as u32), digits % 10i128.pow(places as u32));
            if let Some(bits) = bits(&text) {
                prop_assert_eq!(bits, text.parse::<f64>().unwrap().to_bits());
            }
        }

        #[test]
        fn no_bytes_make_it_panic(text: Vec<u8>, tail in "[0-9.]{0,30}") {
            let _ = parse(&[text.as_slice(), tail.as_bytes()].concat());
        }
    }
}

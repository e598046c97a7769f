//! `timestamp` with and without time zone, and `date`, as ISO 8601 writes them.
//!
//! With the year first, in four digits, a date means the same in every DateStyle. Years are those from 1 to 9999;
//! hour 24, second 60 and more than six digits of a second are left to the server, which rounds them.

use super::integer::unsigned;
use crate::pgcopy::civil::{Civil, EPOCH_DAYS, US_PER_DAY, US_PER_SECOND};

/// What the last of so many digits of a second is worth, in µs.
const FRACTION_US: [i64; 7] = [0, 100_000, 10_000, 1_000, 100, 10, 1];
/// The largest displacement from UTC that PostgreSQL reads is 15:59:59.
const MAX_ZONE_HOUR: i64 = 15;

/// Days since 2000-01-01 of `YYYY-MM-DD`.
#[inline]
pub(super) fn parse_date(text: &[u8]) -> Option<i32> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else { return None };
    i32::try_from(date(number([y1, y2, y3, y4])?, number([m1, m2])?, number([d1, d2])?)?).ok()
}

/// µs since 2000-01-01 of `YYYY-MM-DD HH:MM:SS`, with a `T` instead of the blank and digits of the second if need be.
#[inline]
pub(super) fn parse(text: &[u8]) -> Option<i64> {
    let (us, rest) = split_local(text)?;
    rest.is_empty().then_some(us)
}

/// µs since 2000-01-01 00:00 UTC of the same with a time zone: `Z`, `±HH`, `±HHMM` or `±HH:MM`; or without one where
/// the session's is `utc`.
#[inline]
pub(super) fn parse_with_zone(text: &[u8], utc: bool) -> Option<i64> {
    let (us, zone) = split_local(text)?;
    match zone {
        b"" => utc.then_some(us),
        _ => Some(us - zone_seconds(zone)? * US_PER_SECOND),
    }
}

/// Date and time, in µs since 2000-01-01, and what stands behind them.
#[inline]
fn split_local(text: &[u8]) -> Option<(i64, &[u8])> {
    let (head, rest) = text.split_first_chunk()?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b' ' | b'T', h1, h2, b':', i1, i2, b':', s1, s2] = *head else {
        return None;
    };
    let days = date(number([y1, y2, y3, y4])?, number([m1, m2])?, number([d1, d2])?)?;
    let seconds = time(number([h1, h2])?, number([i1, i2])?, number([s1, s2])?)?;
    let (fraction_us, rest) = split_fraction(rest)?;
    Some((days * US_PER_DAY + seconds * US_PER_SECOND + fraction_us, rest))
}

/// Days since 2000-01-01.
#[inline]
fn date(year: i64, month: i64, day: i64) -> Option<i64> {
    let date = Civil::new(year, month, day).filter(|_| year >= 1)?;
    Some(date.days() - EPOCH_DAYS)
}

/// Seconds since midnight.
#[inline]
fn time(hour: i64, minute: i64, second: i64) -> Option<i64> {
    (hour < 24 && minute < 60 && second < 60).then_some(hour * 3600 + minute * 60 + second)
}

/// µs that a point and one to six digits add; none, where no point is.
#[inline]
fn split_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.', text @ ..] = text else { return Some((0, text)) };
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, rest) = text.split_at(digits);
    let unit_us = FRACTION_US.get(digits)?;
    Some((i64::try_from(unsigned(fraction)?).ok()? * unit_us, rest))
}

/// Seconds east of UTC.
#[inline]
fn zone_seconds(zone: &[u8]) -> Option<i64> {
    let (sign, hour, minute) = match *zone {
        [b'Z'] => return Some(0),
        [sign, h1, h2] => (sign, [h1, h2], [b'0'; 2]),
        [sign, h1, h2, m1, m2] | [sign, h1, h2, b':', m1, m2] => (sign, [h1, h2], [m1, m2]),
        _ => return None,
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let seconds = (hour <= MAX_ZONE_HOUR && minute < 60).then_some(hour * 3600 + minute * 60)?;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

/// The number that a few digits spell.
#[inline]
fn number<const N: usize>(digits: [u8; N]) -> Option<i64> {
    digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgcopy::civil::tests::days_from_civil;
    use crate::pgcopy::dimension::TimeType;
    use proptest::prelude::*;

    fn utc(text: &str) -> Option<i64> {
        parse_with_zone(text.as_bytes(), true)
    }

    #[test]
    fn times_of_all_spellings_mean_the_same_moment() {
        let expected = utc("2024-02-29 12:34:56.789+00");
        assert_eq!(expected, Some(762_525_296_789_000));
        for text in [
            "2024-02-29 12:34:56.789",
            "2024-02-29T12:34:56.789000Z",
            "2024-02-29 13:34:56.789+01",
            "2024-02-29 18:04:56.789+0530",
            "2024-02-29T18:04:56.789+05:30",
            "2024-02-28 20:35:56.7890-15:59",
        ] {
            assert_eq!(utc(text), expected, "{text}");
        }
        assert_eq!(parse(b"2000-01-01 00:00:00"), Some(0));
        assert_eq!(parse(b"0001-01-01T00:00:00.000001"), Some(-63_082_281_599_999_999));
        assert_eq!(parse_date(b"9999-12-31"), Some(2_921_939));
    }

    #[test]
    fn a_time_without_a_zone_needs_a_session_in_utc() {
        assert_eq!(parse_with_zone(b"2024-03-10 02:30:00", false), None);
        assert!(parse_with_zone(b"2024-03-10 02:30:00-05", false).is_some());
    }

    #[test]
    fn what_only_the_server_can_judge_is_left_to_it() {
        let day = "2024-01-01";
        for time in ["24:00:00", "23:60:00", "23:59:60", "1:00:00", "00:00", "00:00:00.", "00:00:00.1234567", "000000"]
        {
            assert_eq!(utc(&format!("{day} {time}")), None, "{time}");
        }
        for zone in
            [" +00", "z", "ZZ", " UTC", "UTC", "+1", "+16", "+15:60", "+010", "+01:0", "+01:00:00", "+00 BC", " "]
        {
            assert_eq!(utc(&format!("{day} 00:00:00{zone}")), None, "{zone:?}");
        }
        for text in
            ["", day, "0000-01-01 00:00:00", "2023-02-29 00:00:00", "10000-01-01 00:00:00", "2024-1-01 00:00:00"]
        {
            assert_eq!(utc(text), None, "{text:?}");
        }
        for text in
            ["infinity", "2024-02-30", "0000-01-01", "2024-01-01 ", "20240101", "01/02/2024", "2024-001", "today"]
        {
            assert_eq!(parse_date(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse(b"2024-01-01 00:00:00Z"), None, "a zone that would be ignored");
    }

    proptest! {
        #[test]
        fn literals_read_back(internal in -62_135_596_800_000_000i64..253_402_300_800_000_000) {
            let us = internal - EPOCH_DAYS * US_PER_DAY;
            prop_assert_eq!(utc(&TimeType::Timestamptz.literal(internal)), Some(us));
            prop_assert_eq!(parse(TimeType::Timestamp.literal(internal).as_bytes()), Some(us));
            let days = parse_date(TimeType::Date.literal(internal).as_bytes()).map(i64::from);
            prop_assert_eq!(days, Some(us.div_euclid(US_PER_DAY)));
        }

        #[test]
        fn dates_and_times_mean_what_the_slow_calendar_says(
            (y, m, d) in (1i64..=9999, 1i64..=12, 1i64..=28), (h, i, s) in (0i64..24, 0i64..60, 0i64..60),
            fraction in "[0-9]{1,6}", sign in prop_oneof![Just(1), Just(-1)], (zh, zi) in (0i64..=15, 0i64..60),
        ) {
            let east = if sign > 0 { '+' } else { '-' };
            let text = format!("{y:04}-{m:02}-{d:02}T{h:02}:{i:02}:{s:02}.{fraction}{east}{zh:02}:{zi:02}");
            let seconds = (days_from_civil(y, m, d) - EPOCH_DAYS) * 86_400 + h * 3600 + i * 60 + s;
            let fraction_us: i64 = format!("{fraction:0<6}").parse().unwrap();
            let expected = (seconds - sign * (zh * 3600 + zi * 60)) * US_PER_SECOND + fraction_us;
            prop_assert_eq!(utc(&text), Some(expected));
        }

        #[test]
        fn no_text_makes_them_panic(text in "[0-9TZ:+. -]{0,35}") {
            let _ = (utc(&text), parse(text.as_bytes()), parse_date(text.as_bytes()));
        }
    }
}

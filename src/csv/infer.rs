//! Which types the values of a file have, for a table that is to be made of it.

use super::record::MAX_FIELDS;

/// What the columns of a sample can be stored as without losing anything.
///
/// The order of rows does not matter, and a value more can only widen a type. Blanks around numbers and times are
/// ignored, as the server's input functions do.
#[derive(Clone, Debug, Default)]
pub struct Inference {
    kinds: Vec<Option<Kind>>,
}

impl Inference {
    /// Takes note of a value of the column at this index, from 0; `None` is NULL and says nothing. A column that no
    /// table can have is ignored.
    pub fn observe(&mut self, column: usize, value: Option<&[u8]>) {
        if column >= MAX_FIELDS {
            return;
        }
        if self.kinds.len() <= column {
            self.kinds.resize(column + 1, None);
        }
        if let Some(value) = value {
            let kind = Kind::of(value);
            self.kinds[column] = Some(self.kinds[column].map_or(kind, |known| known.join(kind)));
        }
    }

    /// How many columns were observed.
    pub fn column_count(&self) -> usize {
        self.kinds.len()
    }

    /// The type of the column, by its SQL name; `text` where nothing but NULL was observed.
    pub fn type_name(&self, column: usize) -> &'static str {
        self.kinds.get(column).copied().flatten().unwrap_or(Kind::Text).type_name()
    }
}

/// The name of a column at this index, from 0, of a file without a header: `column1`, as `values` names them.
pub fn column_name(index: usize) -> String {
    format!("column{}", index.saturating_add(1))
}

/// A type. Those of one family stand together, and each holds what stands before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Bigint,
    Double,
    /// A number beyond the others.
    Numeric,
    Date,
    Timestamp,
    Timestamptz,
    Boolean,
    Uuid,
    Text,
}

#[derive(PartialEq, Eq)]
enum Family {
    Number,
    Time,
    Boolean,
    Uuid,
    Text,
}

impl Kind {
    fn of(value: &[u8]) -> Kind {
        let trimmed = value.trim_ascii();
        number(trimmed)
            .or_else(|| time(trimmed))
            .or_else(|| is_boolean(trimmed).then_some(Kind::Boolean))
            .or_else(|| is_uuid(value).then_some(Kind::Uuid))
            .unwrap_or(Kind::Text)
    }

    /// The narrowest kind that holds both.
    ///
    /// Times with and without zones are times with zones: the server drops the zone of a time without one, silently.
    fn join(self, other: Kind) -> Kind {
        if self.family() == other.family() { self.max(other) } else { Kind::Text }
    }

    fn family(self) -> Family {
        match self {
            Kind::Bigint | Kind::Double | Kind::Numeric => Family::Number,
            Kind::Date | Kind::Timestamp | Kind::Timestamptz => Family::Time,
            Kind::Boolean => Family::Boolean,
            Kind::Uuid => Family::Uuid,
            Kind::Text => Family::Text,
        }
    }

    fn type_name(self) -> &'static str {
        match self {
            Kind::Bigint => "bigint",
            Kind::Double => "double precision",
            Kind::Numeric => "numeric",
            Kind::Date => "date",
            Kind::Timestamp => "timestamp without time zone",
            Kind::Timestamptz => "timestamp with time zone",
            Kind::Boolean => "boolean",
            Kind::Uuid => "uuid",
            Kind::Text => "text",
        }
    }
}

/// Digits of a number that is stored as `numeric`, at most; longer ones are no measurements.
const NUMERIC_BYTES: usize = 1000;

/// What kind of number this is, if it is one. A code like `007` would lose its zeros and is none.
fn number(value: &[u8]) -> Option<Kind> {
    let text = str::from_utf8(value).ok().filter(|text| text.len() <= NUMERIC_BYTES)?;
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if is_word(unsigned.as_bytes(), &["nan", "inf", "infinity"]) {
        // The server takes no sign before NaN.
        return (unsigned.len() == text.len() || !is_word(unsigned.as_bytes(), &["nan"])).then_some(Kind::Double);
    }
    let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 1 && unsigned.starts_with('0') {
        return None;
    }
    if digits > 0 && digits == unsigned.len() {
        return Some(if text.parse::<i64>().is_ok() { Kind::Bigint } else { Kind::Numeric });
    }
    is_decimal(unsigned).then(|| decimal(text)).flatten()
}

/// Whether this begins as a decimal fraction or its exponential form; what Rust parses beyond that are words.
fn is_decimal(unsigned: &str) -> bool {
    unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.')
}

/// A fraction that fits, or one that only `numeric` holds. The server refuses what a double makes infinite, or zero.
fn decimal(text: &str) -> Option<Kind> {
    let parsed: f64 = text.parse().ok()?;
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let is_zero = !mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    if is_zero || parsed.is_normal() {
        return Some(Kind::Double);
    }
    let exponent: i32 = exponent.parse().ok()?;
    (exponent.unsigned_abs() as usize <= NUMERIC_BYTES).then_some(Kind::Numeric)
}

/// Words only: 0 and 1 are numbers.
fn is_boolean(value: &[u8]) -> bool {
    is_word(value, &["t", "f", "true", "false", "yes", "no"])
}

fn is_word(value: &[u8], words: &[&str]) -> bool {
    words.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
}

/// The standard form, `8-4-4-4-12` hexadecimal digits.
fn is_uuid(value: &[u8]) -> bool {
    let is_hyphen = |at: usize| [8, 13, 18, 23].contains(&at);
    let fits = |(at, byte): (usize, &u8)| if is_hyphen(at) { *byte == b'-' } else { byte.is_ascii_hexdigit() };
    value.len() == 36 && value.iter().enumerate().all(fits)
}

/// What kind of ISO 8601 date or time this is, if it is one: `2025-01-31`, then a blank or `T` and `23:59[:59[.9]]`, then
/// a zone.
fn time(value: &[u8]) -> Option<Kind> {
    let (day, rest) = value.split_at_checked(10)?;
    if !is_date(day) {
        return None;
    }
    let [b' ' | b'T', clock @ ..] = rest else {
        return rest.is_empty().then_some(Kind::Date);
    };
    let len = clock_len(clock)?;
    let zone = clock[len..].trim_ascii_start();
    match zone {
        [] => Some(Kind::Timestamp),
        _ => is_zone(zone).then_some(Kind::Timestamptz),
    }
}

fn is_date(day: &[u8]) -> bool {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = day else {
        return false;
    };
    let (Some(century), Some(year), Some(month), Some(day)) =
        (two_digits(*y1, *y2), two_digits(*y3, *y4), two_digits(*m1, *m2), two_digits(*d1, *d2))
    else {
        return false;
    };
    let year = 100 * u32::from(century) + u32::from(year);
    year > 0 && (1..=days_in_month(year, month)).contains(&day)
}

/// 0 where there is no such month.
fn days_in_month(year: u32, month: u8) -> u8 {
    let is_leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 0,
    }
}

fn two_digits(tens: u8, units: u8) -> Option<u8> {
    (tens.is_ascii_digit() && units.is_ascii_digit()).then(|| 10 * (tens - b'0') + (units - b'0'))
}

/// How long the time of day is that this begins with.
fn clock_len(clock: &[u8]) -> Option<usize> {
    let (hour, minute, rest) = match clock {
        [h1, h2, b':', m1, m2, rest @ ..] => (two_digits(*h1, *h2)?, two_digits(*m1, *m2)?, rest),
        _ => return None,
    };
    let (second, rest) = match rest {
        [b':', s1, s2, rest @ ..] => (two_digits(*s1, *s2)?, fraction_end(rest)),
        _ => (0, rest),
    };
    // The server takes the end of the day as 24:00:00, and a leap second.
    let is_in_day = hour < 24 && minute < 60 && second <= 60 || (hour, minute, second) == (24, 0, 0);
    is_in_day.then_some(clock.len() - rest.len())
}

/// What follows a fraction of a second, if there is one.
fn fraction_end(rest: &[u8]) -> &[u8] {
    match rest {
        [b'.', digits @ ..] => &digits[digits.iter().take_while(|byte| byte.is_ascii_digit()).count()..],
        _ => rest,
    }
}

/// `Z`, `UTC`, `GMT`, or an offset: `+01`, `+0100`, `+01:00`, `+01:00:00`.
fn is_zone(zone: &[u8]) -> bool {
    let is_offset = |hour: [u8; 2], minute: [u8; 2]| {
        two_digits(hour[0], hour[1]).is_some_and(|hour| hour < 16)
            && two_digits(minute[0], minute[1]).is_some_and(|minute| minute < 60)
    };
    match zone {
        [b'+' | b'-', h1, h2] => is_offset([*h1, *h2], [b'0'; 2]),
        [b'+' | b'-', h1, h2, m1, m2] | [b'+' | b'-', h1, h2, b':', m1, m2] => is_offset([*h1, *h2], [*m1, *m2]),
        [b'+' | b'-', h1, h2, b':', m1, m2, b':', s1, s2] => {
            is_offset([*h1, *h2], [*m1, *m2]) && is_offset([b'0'; 2], [*s1, *s2])
        }
        _ => is_word(zone, &["z", "utc", "gmt"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The type of a column with these values.
    fn of(values: &[&str]) -> &'static str {
        let mut inference = Inference::default();
        values.iter().for_each(|value| inference.observe(0, Some(value.as_bytes())));
        inference.type_name(0)
    }

    #[track_caller]
    fn each(values: &[&str], type_name: &str) {
        for value in values {
            assert_eq!(of(&[value]), type_name, "{value:?}");
        }
    }

    #[test]
    fn whole_numbers_are_bigint_until_one_is_too_large() {
        each(&["0", "1", "-1", "+5", " 42 ", "9223372036854775807", "-9223372036854775808"], "bigint");
        each(&["9223372036854775808", "1e400", "1e-400"], "numeric");
        assert_eq!(of(&["1", "9223372036854775808"]), "numeric");
        assert_eq!(of(&["1", "0.5"]), "double precision");
        assert_eq!(of(&["0.5", "9223372036854775808"]), "numeric");
    }

    #[test]
    fn fractions_are_double_precision() {
        each(&["0.5", "-.5", "5.", "1e5", "1E-7", "0.0", "0e999", "NaN", "-Infinity", "inf"], "double precision");
        each(&[".", "-", "1e", "0x10", "1_000", "1,5", "-nan", "infinit", "e5", "1e99999"], "text");
    }

    #[test]
    fn codes_with_leading_zeros_are_text() {
        each(&["007", "-007", "00", "00.5"], "text");
        assert_eq!(of(&["1", "007"]), "text");
    }

    #[test]
    fn only_words_are_boolean() {
        each(&["t", "f", "TRUE", "false", "Yes", "no"], "boolean");
        each(&["0", "1"], "bigint");
        each(&["y", "on", "tr"], "text");
        assert_eq!(of(&["t", "1"]), "text");
    }

    #[test]
    fn times_are_told_from_dates_and_by_their_zones() {
        each(&["2025-01-31", "2024-02-29", "0001-01-01"], "date");
        each(&["2025-02-29", "2025-13-01", "2025-00-10", "0000-01-01", "2025-1-1", "01/02/2025"], "text");
        let timestamps =
            ["2025-01-31 23:59", "2025-01-31T23:59:60", "2025-01-31 24:00:00", "2025-01-31 00:00:00.123456"];
        each(&timestamps, "timestamp without time zone");
        each(&["2025-01-31 24:00:01", "2025-01-31 1:00", "2025-01-31 10:60", "2025-01-31 10"], "text");
        for zone in ["Z", "+00", "-0530", "+05:30", " UTC", "+01:02:03", "+15:59"] {
            each(&[&format!("2025-01-31 00:00:00{zone}")], "timestamp with time zone");
        }
        each(&["2025-01-31 00:00:00+16", "2025-01-31 00:00:00+1", "2025-01-31 00:00:00 x", "2025-01-31+00"], "text");
    }

    #[test]
    fn mixed_times_lose_neither_hours_nor_zones() {
        assert_eq!(of(&["2025-01-31", "2025-01-31 00:00"]), "timestamp without time zone");
        assert_eq!(of(&["2025-01-31 00:00", "2025-01-31 00:00+00"]), "timestamp with time zone");
        assert_eq!(of(&["2025-01-31", "1"]), "text");
    }

    #[test]
    fn a_uuid_has_its_standard_form() {
        each(&["a0eebc99-9c0b-4ef8-BB6d-6bb9bd380a11"], "uuid");
        each(&["a0eebc999c0b4ef8bb6d6bb9bd380a11", " a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"], "text");
    }

    #[test]
    fn nothing_but_null_is_text() {
        let mut inference = Inference::default();
        inference.observe(2, None);
        inference.observe(usize::MAX, Some(b"1"));
        assert_eq!((inference.column_count(), inference.type_name(2), inference.type_name(9)), (3, "text", "text"));
        inference.observe(2, Some(b"1"));
        assert_eq!(inference.type_name(2), "bigint");
        each(&["", " ", "\u{e9}"], "text");
    }

    #[test]
    fn columns_without_a_name_are_numbered_as_values_does() {
        assert_eq!([0, 1].map(column_name), ["column1", "column2"]);
    }

    fn value() -> impl Strategy<Value = Vec<u8>> {
        let spellings =
            ["1", "-0.5", "9999999999999999999", "t", "2025-01-31", "2025-01-31 00:00", "2025-01-31 00:00Z"];
        prop_oneof![
            proptest::sample::select(spellings.to_vec()).prop_map(|value| value.as_bytes().to_vec()),
            "[-+0-9.eETZ: ]{0,30}".prop_map(String::into_bytes),
            any::<Vec<u8>>(),
        ]
    }

    proptest! {
        #[test]
        fn the_order_of_rows_does_not_matter(values in proptest::collection::vec(value(), 0..6)) {
            let (mut forwards, mut backwards) = (Inference::default(), Inference::default());
            values.iter().for_each(|value| forwards.observe(0, Some(value)));
            values.iter().rev().for_each(|value| backwards.observe(0, Some(value)));
            prop_assert_eq!(forwards.type_name(0), backwards.type_name(0));
        }
    }
}

//! Dimension values: from the bytes of a binary field to the number that TimescaleDB partitions by.
//!
//! An *open* dimension partitions by internal time, an `i64`: µs since 1970-01-01 00:00 UTC for the time types, the
//! number itself for integers ([`TimeType`]). A *closed* dimension partitions by `get_partition_hash(value)`, which
//! is the type's default hash function without its sign bit ([`HashType`]). Types that are not here have hash
//! functions of their own; the server has to route them.

use super::civil::{Civil, EPOCH_DAYS, US_PER_DAY, US_PER_SECOND};
use super::uuid;

/// The types of an open dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeType {
    /// `timestamp with time zone`
    Timestamptz,
    /// `timestamp without time zone`, counted as if it were UTC
    Timestamp,
    /// `date`, counted as its midnight
    Date,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `uuid` of version 7, counted as the millisecond that it begins with
    Uuid,
}

/// µs in the unit that a `uuid` counts.
const US_PER_MILLISECOND: i64 = 1000;

impl TimeType {
    /// Whether it counts in a unit of the user's, and not in time.
    pub fn is_integer(self) -> bool {
        matches!(self, TimeType::Int2 | TimeType::Int4 | TimeType::Int8)
    }

    /// Whether it has the values `infinity` and `-infinity`.
    pub fn has_infinities(self) -> bool {
        matches!(self, TimeType::Timestamptz | TimeType::Timestamp | TimeType::Date)
    }

    /// µs, or units of the user's, between two values that can be told apart.
    pub fn unit(self) -> i64 {
        match self {
            TimeType::Date => US_PER_DAY,
            TimeType::Uuid => US_PER_MILLISECOND,
            TimeType::Timestamptz | TimeType::Timestamp | TimeType::Int2 | TimeType::Int4 | TimeType::Int8 => 1,
        }
    }

    /// The type in which people name its values: nobody writes the bounds of a range as `uuid`s.
    pub fn spoken(self) -> TimeType {
        match self {
            TimeType::Uuid => TimeType::Timestamptz,
            named => named,
        }
    }

    /// The internal time of a field of a binary row; `None` when the field has the wrong length for the type, and for a
    /// `uuid` of another version.
    ///
    /// `infinity` is `i64::MAX` and `-infinity` is `i64::MIN`. Finite values outside of `i64` saturate there too:
    /// timestamps of the last 29 years that PostgreSQL knows (from 294247-01-10) and dates of the years beyond. A
    /// hypertable holds none of them.
    #[inline]
    pub fn internal(self, field: &[u8]) -> Option<i64> {
        match self {
            TimeType::Timestamptz | TimeType::Timestamp => int8(field).map(timestamp_to_internal),
            TimeType::Date => int4(field).map(date_to_internal),
            TimeType::Int2 => int2(field).map(i64::from),
            TimeType::Int4 => int4(field).map(i64::from),
            TimeType::Int8 => int8(field),
            TimeType::Uuid => uuid_to_internal(field.try_into().ok()?),
        }
    }

    /// The body of an SQL literal, without quotes, that PostgreSQL reads as this internal time in every DateStyle and
    /// time zone.
    ///
    /// A `date` is the day that contains the internal time. `i64::MAX` and `i64::MIN` are the infinities of a time
    /// type; of an integer type they are plain numbers, which `int2` and `int4` cannot hold, so leave out the
    /// comparison with an end that is open. What PostgreSQL cannot hold (before 4714-11-24 BC) it will refuse.
    ///
    /// A `uuid` is the least one of version 7 that does not lie before the internal time, and behind all of them where
    /// there is none.
    pub fn literal(self, internal: i64) -> String {
        match (self, internal) {
            (TimeType::Int2 | TimeType::Int4 | TimeType::Int8, number) => number.to_string(),
            (TimeType::Uuid, us) => uuid_literal(us),
            (_, i64::MAX) => "infinity".to_owned(),
            (_, i64::MIN) => "-infinity".to_owned(),
            (TimeType::Timestamptz, us) => timestamp_literal(us, "+00"),
            (TimeType::Timestamp, us) => timestamp_literal(us, ""),
            (TimeType::Date, us) => {
                let date = Civil::from_days(us.div_euclid(US_PER_DAY));
                format!("{date}{}", date.era())
            }
        }
    }

    /// The internal time of a value as a server writes it in DateStyle ISO and TimeZone UTC; `None` for any other text.
    /// What [`TimeType::literal`] answers reads back, a date as its midnight. Saturates as [`TimeType::internal`] does.
    pub fn read(self, text: &[u8]) -> Option<i64> {
        let text = std::str::from_utf8(text).ok()?;
        match (self, text) {
            (TimeType::Int2 | TimeType::Int4 | TimeType::Int8, number) => number.parse().ok(),
            (TimeType::Uuid, _) => uuid::parse(text.as_bytes()).and_then(uuid_to_internal),
            (_, "infinity") => Some(i64::MAX),
            (_, "-infinity") => Some(i64::MIN),
            (TimeType::Timestamptz, _) => read_timestamp(text, "+00"),
            (TimeType::Timestamp, _) => read_timestamp(text, ""),
            (TimeType::Date, _) => read_date(without_era(text)).map(|days| saturated(days, 0)),
        }
    }
}

fn read_timestamp(text: &str, zone: &str) -> Option<i64> {
    let (text, is_bc) = without_era(text);
    let (date, time) = text.strip_suffix(zone)?.split_once(' ')?;
    Some(saturated(read_date((date, is_bc))?, read_time(time)?))
}

/// What stands before the era, and whether that is the one before 1 AD.
fn without_era(text: &str) -> (&str, bool) {
    text.strip_suffix(" BC").map_or((text, false), |text| (text, true))
}

/// Days since 1970.
fn read_date((date, is_bc): (&str, bool)) -> Option<i64> {
    let mut parts = date.split('-').map(digits);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let year = if is_bc { 1 - year } else { year };
    // What PostgreSQL knows has seven digits at most.
    let date = Civil::new(year, month, day).filter(|_| year.abs() < 10_000_000 && parts.next().is_none());
    date.map(Civil::days)
}

/// µs since midnight.
fn read_time(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = clock.split(':').map(digits);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let is_time = hour < 24 && minute < 60 && second < 60 && parts.next().is_none() && fraction.len() <= 6;
    let fraction_us = digits(fraction)? * 10i64.pow(6u32.checked_sub(fraction.len() as u32)?);
    is_time.then_some((hour * 3600 + minute * 60 + second) * US_PER_SECOND + fraction_us)
}

fn digits(text: &str) -> Option<i64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Together at the end: the days alone may lie outside of `i64` by less than one.
fn saturated(days: i64, us: i64) -> i64 {
    let internal = i128::from(days) * i128::from(US_PER_DAY) + i128::from(us);
    internal.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// µs since 2000 to µs since 1970; the ends of the range are the infinities and stay.
#[inline]
fn timestamp_to_internal(us: i64) -> i64 {
    match us {
        i64::MIN | i64::MAX => us,
        _ => us.saturating_add(EPOCH_DAYS * US_PER_DAY),
    }
}

#[inline]
fn date_to_internal(days: i32) -> i64 {
    match days {
        i32::MIN => i64::MIN,
        i32::MAX => i64::MAX,
        _ => (i64::from(days) + EPOCH_DAYS).saturating_mul(US_PER_DAY),
    }
}

#[inline]
fn uuid_to_internal(uuid: [u8; 16]) -> Option<i64> {
    uuid::milliseconds(uuid).map(|milliseconds| milliseconds * US_PER_MILLISECOND)
}

fn uuid_literal(us: i64) -> String {
    uuid::first_of((us.max(0) as u64).div_ceil(US_PER_MILLISECOND as u64))
}

fn timestamp_literal(us: i64, zone: &str) -> String {
    let date = Civil::from_days(us.div_euclid(US_PER_DAY));
    let (second, fraction_us) = (us.rem_euclid(US_PER_DAY) / US_PER_SECOND, us.rem_euclid(US_PER_SECOND));
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = if fraction_us == 0 { String::new() } else { format!(".{fraction_us:06}") };
    format!("{date} {hour:02}:{minute:02}:{second:02}{fraction}{zone}{}", date.era())
}

/// The types of a closed dimension whose hash function is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HashType {
    /// `text` and `varchar`, with a deterministic collation, and in the encoding of the server: a stream that was
    /// converted to another client encoding hashes differently.
    Text,
    /// `character(n)`: as text, without the blanks at its end
    Bpchar,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `date`
    Date,
    /// `timestamp` with and without time zone
    Timestamp,
    /// `boolean`
    Bool,
    /// `uuid`
    Uuid,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
}

impl HashType {
    /// The coordinate of a field of a binary row: `get_partition_hash(value)`, from 0 to 2³¹ − 1.
    ///
    /// NULL (`None`) is at 0. Answers `None` when the field has the wrong length for the type.
    #[inline]
    pub fn partition_hash(self, field: Option<&[u8]>) -> Option<u32> {
        let Some(field) = field else { return Some(0) };
        let hash = match self {
            HashType::Text => hash_bytes(field),
            HashType::Bpchar => hash_bytes(without_trailing_blanks(field)),
            HashType::Int2 => hash_int4(int2(field)?.into()),
            HashType::Int4 | HashType::Date => hash_int4(int4(field)?),
            HashType::Int8 | HashType::Timestamp => hash_int8(int8(field)?),
            HashType::Bool => hash_int4(i8::from_be_bytes(field.try_into().ok()?).into()),
            HashType::Uuid => hash_bytes(<&[u8; 16]>::try_from(field).ok()?),
            HashType::Float4 => hash_float8(f32::from_be_bytes(field.try_into().ok()?).into()),
            HashType::Float8 => hash_float8(f64::from_be_bytes(field.try_into().ok()?)),
        };
        Some(hash & 0x7fff_ffff)
    }
}

fn without_trailing_blanks(text: &[u8]) -> &[u8] {
    let len = text.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
    &text[..len]
}

#[inline]
fn int2(field: &[u8]) -> Option<i16> {
    Some(i16::from_be_bytes(field.try_into().ok()?))
}

#[inline]
fn int4(field: &[u8]) -> Option<i32> {
    Some(i32::from_be_bytes(field.try_into().ok()?))
}

#[inline]
fn int8(field: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(field.try_into().ok()?))
}

/// PostgreSQL's `hashint4`, and that of every type of at most four bytes.
fn hash_int4(value: i32) -> u32 {
    let start = Jenkins::new(4);
    Jenkins { a: start.a.wrapping_add(value as u32), ..start }.finish()
}

/// PostgreSQL's `hashint8`: a value that fits into four bytes hashes as if it had them.
fn hash_int8(value: i64) -> u32 {
    let (low, high) = (value as u32, (value >> 32) as u32);
    hash_int4((low ^ if value >= 0 { high } else { !high }) as i32)
}

/// PostgreSQL's `hashfloat8`: both zeros are 0, all NaNs are one.
fn hash_float8(value: f64) -> u32 {
    const NAN_BITS: u64 = 0x7ff8_0000_0000_0000;
    if value == 0.0 {
        return 0;
    }
    let bits = if value.is_nan() { NAN_BITS } else { value.to_bits() };
    hash_bytes(&bits.to_le_bytes())
}

/// PostgreSQL's `hash_bytes` on a little-endian machine: Bob Jenkins' lookup3 with a start value of its own.
///
/// On a big-endian server the words are built the other way round, and so are hashes and chunks.
fn hash_bytes(key: &[u8]) -> u32 {
    let mut state = Jenkins::new(key.len() as u32);
    let mut blocks = key.chunks_exact(12);
    for block in &mut blocks {
        state.add(block);
        state.mix();
    }
    let tail = blocks.remainder();
    let mut last = [0; 12];
    // The lowest byte of the third word is reserved for the length, so the tail leaves it out.
    let (words, third) = tail.split_at(tail.len().min(8));
    last[..words.len()].copy_from_slice(words);
    last[9..9 + third.len()].copy_from_slice(third);
    state.add(&last);
    state.finish()
}

/// The three words of lookup3.
#[derive(Clone, Copy)]
struct Jenkins {
    a: u32,
    b: u32,
    c: u32,
}

impl Jenkins {
    fn new(len: u32) -> Self {
        let start = 0x9e37_79b9u32.wrapping_add(len).wrapping_add(3_923_095);
        Jenkins { a: start, b: start, c: start }
    }

    /// Adds twelve bytes.
    fn add(&mut self, block: &[u8]) {
        let word = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
        self.a = self.a.wrapping_add(word(0));
        self.b = self.b.wrapping_add(word(4));
        self.c = self.c.wrapping_add(word(8));
    }

    fn mix(&mut self) {
        let Jenkins { mut a, mut b, mut c } = *self;
        (a, c) = (a.wrapping_sub(c) ^ c.rotate_left(4), c.wrapping_add(b));
        (b, a) = (b.wrapping_sub(a) ^ a.rotate_left(6), a.wrapping_add(c));
        (c, b) = (c.wrapping_sub(b) ^ b.rotate_left(8), b.wrapping_add(a));
        (a, c) = (a.wrapping_sub(c) ^ c.rotate_left(16), c.wrapping_add(b));
        (b, a) = (b.wrapping_sub(a) ^ a.rotate_left(19), a.wrapping_add(c));
        (c, b) = (c.wrapping_sub(b) ^ b.rotate_left(4), b.wrapping_add(a));
        *self = Jenkins { a, b, c };
    }

    fn finish(self) -> u32 {
        let Jenkins { mut a, mut b, mut c } = self;
        c = (c ^ b).wrapping_sub(b.rotate_left(14));
        a = (a ^ c).wrapping_sub(c.rotate_left(11));
        b = (b ^ a).wrapping_sub(a.rotate_left(25));
        c = (c ^ b).wrapping_sub(b.rotate_left(16));
        a = (a ^ c).wrapping_sub(c.rotate_left(4));
        b = (b ^ a).wrapping_sub(a.rotate_left(14));
        (c ^ b).wrapping_sub(b.rotate_left(24))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgcopy::civil::tests::days_from_civil;
    use proptest::prelude::*;

    fn hash(kind: HashType, field: impl AsRef<[u8]>) -> u32 {
        kind.partition_hash(Some(field.as_ref())).unwrap()
    }

    /// `get_partition_hash` of the first n bytes of the pattern `i * 37 + 11`, n from 0 to 40, made with an
    /// implementation that was compared with the server.
    const BY_LENGTH: [u32; 41] = [
        669664877, 1615440921, 1111147605, 1457673393, 1008629105, 1591199854, 1614725472, 2123903417, 1235049898,
        1388505570, 719007076, 97074518, 1326736581, 664714592, 1963403836, 1485000705, 375716508, 140000460,
        958326115, 567253377, 225868088, 1299978086, 929418543, 1401663461, 1301158456, 746749178, 767584164,
        1672616155, 1497706638, 1208552871, 590290100, 1588192302, 151950391, 316887807, 1686976145, 371131492,
        417696471, 1852537003, 734511069, 643341853, 1835208244,
    ];

    #[test]
    fn text_hashes_as_the_server_does_at_every_length() {
        let pattern: Vec<u8> = (0..40u32).map(|i| (i * 37 + 11) as u8).collect();
        for (len, expected) in BY_LENGTH.into_iter().enumerate() {
            assert_eq!(hash(HashType::Text, &pattern[..len]), expected, "{len} bytes");
        }
        for (text, expected) in [
            ("dev1", 1129986420),
            ("", 669664877),
            ("häß", 1435792695),
            ("a much longer device identifier 0123456789", 2146644727),
        ] {
            assert_eq!(hash(HashType::Text, text), expected, "{text}");
        }
    }

    #[test]
    fn blanks_at_the_end_of_a_char_do_not_count() {
        assert_eq!(hash(HashType::Bpchar, "dev1   "), 1129986420);
        assert_eq!(hash(HashType::Bpchar, "   "), 669664877);
        assert_ne!(hash(HashType::Text, "dev1 "), 1129986420);
    }

    #[test]
    fn integers_hash_alike_in_every_width() {
        for (value, expected) in [
            (0i16, 1874772143),
            (1, 242423622),
            (-1, 385747274),
            (7, 1168690175),
            (-7, 2065279231),
            (i16::MAX, 1289782602),
            (i16::MIN, 193646934),
        ] {
            assert_eq!(hash(HashType::Int2, value.to_be_bytes()), expected);
            assert_eq!(hash(HashType::Int4, i32::from(value).to_be_bytes()), expected);
            assert_eq!(hash(HashType::Int8, i64::from(value).to_be_bytes()), expected);
        }
        assert_eq!(hash(HashType::Int4, i32::MAX.to_be_bytes()), 2050725395);
        assert_eq!(hash(HashType::Int4, i32::MIN.to_be_bytes()), 623132599);
    }

    #[test]
    fn eight_byte_integers_and_times_hash_as_the_server_does() {
        for (value, expected) in [
            (123456789012345i64, 297539683),
            (-123456789012345, 119542313),
            (i64::MAX, 623132599),
            (i64::MIN, 2050725395),
            (1 << 32, 242423622),
            (-(1 << 32), 1874772143),
            (789004800000000, 748062131),
        ] {
            assert_eq!(hash(HashType::Int8, value.to_be_bytes()), expected, "{value}");
            assert_eq!(hash(HashType::Timestamp, value.to_be_bytes()), expected, "{value}");
        }
        assert_eq!(hash(HashType::Date, 9132i32.to_be_bytes()), 2044108475);
    }

    #[test]
    fn floats_hash_as_the_server_does() {
        for (value, expected) in [
            (0.0f64, 0),
            (-0.0, 0),
            (1.5, 630860146),
            (-1.5, 2142199680),
            (f64::INFINITY, 14257346),
            (f64::NEG_INFINITY, 769802992),
            (f64::from_bits(0xfff8_0000_0000_beef), 871718808),
        ] {
            assert_eq!(hash(HashType::Float8, value.to_be_bytes()), expected, "{value}");
            assert_eq!(hash(HashType::Float4, (value as f32).to_be_bytes()), expected, "{value}");
        }
        assert_eq!(hash(HashType::Float8, 1e308f64.to_be_bytes()), 1755294560);
        assert_eq!(hash(HashType::Float8, 5e-324f64.to_be_bytes()), 1656029872);
        assert_eq!(hash(HashType::Float8, 0.1f64.to_be_bytes()), 1573612081);
        assert_eq!(hash(HashType::Float4, 0.1f32.to_be_bytes()), 1925426534, "widened, not printed");
    }

    #[test]
    fn bool_and_uuid_hash_as_the_server_does() {
        assert_eq!(hash(HashType::Bool, [0]), 1874772143);
        assert_eq!(hash(HashType::Bool, [1]), 242423622);
        let uuid = 0xa0eebc99_9c0b_4ef8_bb6d_6bb9bd380a11u128;
        assert_eq!(hash(HashType::Uuid, uuid.to_be_bytes()), 1154666245);
    }

    #[test]
    fn null_is_at_zero_and_a_wrong_length_is_no_value() {
        use HashType::*;
        for kind in [Text, Bpchar, Int2, Int4, Int8, Date, Timestamp, Bool, Uuid, Float4, Float8] {
            assert_eq!(kind.partition_hash(None), Some(0));
        }
        for kind in [Int2, Int4, Int8, Date, Timestamp, Bool, Uuid, Float4, Float8] {
            assert_eq!(kind.partition_hash(Some(&[0; 3])), None);
            assert_eq!(kind.partition_hash(Some(&[])), None);
        }
    }

    #[test]
    fn times_become_internal_time() {
        let timestamp = |us: i64| TimeType::Timestamptz.internal(&us.to_be_bytes()).unwrap();
        assert_eq!(timestamp(0), 946_684_800_000_000);
        assert_eq!(timestamp(-946_684_800_000_000), 0);
        assert_eq!(timestamp(i64::MAX), i64::MAX);
        assert_eq!(timestamp(i64::MAX - 1), i64::MAX);
        assert_eq!(timestamp(i64::MIN), i64::MIN);
        assert_eq!(timestamp(i64::MIN + 1), i64::MIN + 1 + 946_684_800_000_000);
        let date = |days: i32| TimeType::Date.internal(&days.to_be_bytes()).unwrap();
        assert_eq!(date(0), 946_684_800_000_000);
        assert_eq!(date(-10_957), 0);
        assert_eq!(date(i32::MAX), i64::MAX);
        assert_eq!(date(i32::MIN), i64::MIN);
        assert_eq!(date(2_145_031_948), i64::MAX, "5874897-12-31");
        assert_eq!(TimeType::Timestamp.internal(&[0; 4]), None);
        assert_eq!(TimeType::Date.internal(&[0; 8]), None);
    }

    #[test]
    fn integers_are_their_own_internal_time() {
        assert_eq!(TimeType::Int2.internal(&(-5i16).to_be_bytes()), Some(-5));
        assert_eq!(TimeType::Int4.internal(&i32::MIN.to_be_bytes()), Some(i32::MIN.into()));
        assert_eq!(TimeType::Int8.internal(&i64::MAX.to_be_bytes()), Some(i64::MAX));
        assert_eq!(TimeType::Int4.internal(&[0; 2]), None);
    }

    #[test]
    fn literals_are_spelled_so_that_no_setting_matters() {
        use TimeType::*;
        for (kind, internal, expected) in [
            (Timestamptz, 0, "1970-01-01 00:00:00+00"),
            (Timestamptz, -1, "1969-12-31 23:59:59.999999+00"),
            (Timestamp, 951_782_400_000_500, "2000-02-29 00:00:00.000500"),
            (Timestamptz, -63_517_824_000_000_000, "0044-03-15 00:00:00+00 BC"),
            (Timestamp, -62_135_596_800_000_000, "0001-01-01 00:00:00"),
            (Timestamp, -62_135_596_800_000_001, "0001-12-31 23:59:59.999999 BC"),
            (Timestamptz, -210_866_803_200_000_000, "4714-11-24 00:00:00+00 BC"),
            (Timestamptz, 9_223_371_331_200_000_000, "294247-01-02 00:00:00+00"),
            (Date, 253_402_300_800_000_000, "10000-01-01"),
            (Date, -1, "1969-12-31"),
            (Date, i64::MAX, "infinity"),
            (Timestamp, i64::MIN, "-infinity"),
            (Int8, i64::MIN, "-9223372036854775808"),
            (Int2, -7, "-7"),
            (Uuid, 1_735_689_600_000_000, "01941f29-7c00-7000-8000-000000000000"),
            (Uuid, 1_735_689_600_000_001, "01941f29-7c01-7000-8000-000000000000"),
            (Uuid, -1, "00000000-0000-7000-8000-000000000000"),
            (Uuid, ((1 << 48) - 1) * 1000, "ffffffff-ffff-7000-8000-000000000000"),
            (Uuid, ((1 << 48) - 1) * 1000 + 1, "ffffffff-ffff-ffff-ffff-ffffffffffff"),
            (Uuid, i64::MAX, "ffffffff-ffff-ffff-ffff-ffffffffffff"),
        ] {
            assert_eq!(kind.literal(internal), expected);
        }
    }

    #[test]
    fn values_are_read_as_a_server_writes_them() {
        use TimeType::*;
        for (kind, text, expected) in [
            (Timestamptz, "2000-01-01 00:00:00.5+00", Some(946_684_800_500_000)),
            (Timestamp, "0044-03-15 00:00:00 BC", Some(-63_517_824_000_000_000)),
            (Timestamptz, "0044-03-15 00:00:00+00 BC", Some(-63_517_824_000_000_000)),
            (Timestamp, "infinity", Some(i64::MAX)),
            (Date, "-infinity", Some(i64::MIN)),
            (Date, "1970-01-02", Some(US_PER_DAY)),
            (Date, "0001-12-31 BC", Some(-62_135_683_200_000_000)),
            (Date, "5874897-12-31", Some(i64::MAX)),
            (Int2, "-7", Some(-7)),
            (Timestamptz, "2000-01-01 00:00:00+01", None),
            (Timestamptz, "2000-01-01 00:00:00.1234567+00", None),
            (Timestamp, "2000-01-01 24:00:00", None),
            (Timestamp, "2000-02-30 00:00:00", None),
            (Timestamp, "2000-01-01", None),
            (Timestamp, "99999999999999999-01-01 00:00:00", None),
            (Date, "2000-01-01-01", None),
            (Date, "+2000-01-01", None),
            (Int8, "9223372036854775808", None),
            (Int8, "\\N", None),
            (Uuid, "01941f29-7c01-7fff-bfff-ffffffffffff", Some(1_735_689_600_001_000)),
            (Uuid, "ffffffff-ffff-7000-8000-000000000000", Some(((1 << 48) - 1) * 1000)),
            (Uuid, "01941f29-7c01-4fff-bfff-ffffffffffff", None),
            (Uuid, "01941f29-7c01-7fff-3fff-ffffffffffff", None),
        ] {
            assert_eq!(kind.read(text.as_bytes()), expected, "{text}");
        }
    }

    fn read_back(literal: &str) -> i64 {
        let (body, is_bc) = literal.strip_suffix(" BC").map_or((literal, false), |body| (body, true));
        let (date, time) = body.strip_suffix("+00").unwrap().split_once(' ').unwrap();
        let numbers = |text: &str, by: char| text.split(by).map(|n| n.parse::<i64>().unwrap()).collect::<Vec<_>>();
        let (date, (clock, fraction)) = (numbers(date, '-'), time.split_once('.').unwrap_or((time, "0")));
        let clock = numbers(clock, ':');
        let year = if is_bc { 1 - date[0] } else { date[0] };
        let seconds = clock[0] * 3600 + clock[1] * 60 + clock[2];
        let days = days_from_civil(year, date[1], date[2]);
        // Together at the end: the days alone may lie outside of `i64` by less than one.
        i64::try_from(i128::from(days) * i128::from(US_PER_DAY) + i128::from(seconds * US_PER_SECOND)).unwrap()
            + fraction.parse::<i64>().unwrap()
    }

    proptest! {
        #[test]
        fn literals_read_back(internal in i64::MIN + 1..i64::MAX) {
            prop_assert_eq!(read_back(&TimeType::Timestamptz.literal(internal)), internal);
            prop_assert_eq!(TimeType::Timestamp.read(TimeType::Timestamp.literal(internal).as_bytes()), Some(internal));
        }

        #[test]
        fn no_text_makes_it_panic(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            for kind in [TimeType::Timestamptz, TimeType::Date, TimeType::Int8, TimeType::Uuid] {
                let _ = kind.read(&text);
            }
        }

        #[test]
        fn literals_around_the_common_years_read_back(internal in -70_000_000_000_000_000i64..5_000_000_000_000_000) {
            prop_assert_eq!(read_back(&TimeType::Timestamptz.literal(internal)), internal);
        }
    }
}

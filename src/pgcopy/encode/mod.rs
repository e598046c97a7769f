//! From the text of a value to the field of a binary row.
//!
//! A server stores the same value for much less work if it is sent as binary; the text of the common spellings is
//! turned into that here. Whatever else a type's input function may read, or refuse, is left to the server: it goes
//! there as text ([`text::push_field`](super::text::push_field)).
//!
//! May touch: bytes that it is handed. Does no I/O, reads no clock, allocates nothing but room in the buffer.
//!
//! **Invariant:** where [`Encoder::push`] answers true, the type's receive function stores of the field exactly what
//! its input function would have stored of the text, in every session that is as the caller said. It does not know
//! columns, typmods or encodings: the server's receive functions apply them.

mod boolean;
mod float;
mod integer;
mod numeric;
mod precise;
mod timestamp;

use super::uuid;

/// How the text of a column's values becomes binary fields.
///
/// ```
/// use hypercopy::pgcopy::encode::Encoder;
///
/// let mut row = Vec::new();
/// assert!(Encoder::Int4.push(b"258", &mut row));
/// assert_eq!(row, [0, 0, 0, 4, 0, 0, 1, 2]);
/// assert!(!Encoder::Int4.push(b"0x102", &mut row), "the server's version decides about that one");
/// assert_eq!(row.len(), 8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoder {
    /// `boolean`: `t`, `true`, `1`, `y`, `yes`, `on` and their opposites, in either case.
    Bool,
    /// `smallint`: decimal digits, with a sign or without.
    Int2,
    /// `integer`, likewise.
    Int4,
    /// `bigint`, likewise.
    Int8,
    /// `real`: finite decimal numbers, with an exponent or without.
    Float4,
    /// `double precision`, likewise.
    Float8,
    /// `numeric`: decimal numbers without exponent.
    Numeric,
    /// `text`, `varchar(n)`, `char(n)`, `json` and enums: any bytes.
    Text,
    /// `jsonb`: any bytes.
    Jsonb,
    /// `timestamp with time zone`: `YYYY-MM-DD HH:MM:SS`, with a `T` or a blank, up to six digits of a second, and `Z`,
    /// `±HH`, `±HHMM` or `±HH:MM`.
    Timestamptz {
        /// Whether the session's zone is UTC, so that a text without a zone may be taken, too.
        utc: bool,
    },
    /// `timestamp without time zone`: the same, without a zone.
    Timestamp,
    /// `date`: `YYYY-MM-DD`.
    Date,
    /// `uuid`: 8-4-4-4-12 hexadecimal digits.
    Uuid,
}

impl Encoder {
    /// The encoder of a base type, by its `pg_type.typname` in `pg_catalog`; `None` if the type has none.
    ///
    /// `utc` is whether the session's TimeZone is UTC. An enum's encoder is [`Encoder::Text`], a domain's that of its
    /// base type.
    ///
    /// Those of the timestamps are for sessions that read ISO 8601: TimeZone (since PostgreSQL 18, if it is one like
    /// `Z5`) and timezone_abbreviations can give the letters `T` and `Z` another meaning. Ask the session once whether
    /// `'2000-01-01T00:00:00Z'::timestamptz` equals `'2000-01-01 00:00:00+00'`; where it does not, or fails, send these
    /// types as text.
    pub fn of(type_name: &str, utc: bool) -> Option<Encoder> {
        Some(match type_name {
            "bool" => Encoder::Bool,
            "int2" => Encoder::Int2,
            "int4" => Encoder::Int4,
            "int8" => Encoder::Int8,
            "float4" => Encoder::Float4,
            "float8" => Encoder::Float8,
            "numeric" => Encoder::Numeric,
            "text" | "varchar" | "bpchar" | "json" => Encoder::Text,
            "jsonb" => Encoder::Jsonb,
            "timestamptz" => Encoder::Timestamptz { utc },
            "timestamp" => Encoder::Timestamp,
            "date" => Encoder::Date,
            "uuid" => Encoder::Uuid,
            _ => return None,
        })
    }

    /// Appends length and value of a field; answers false, with `out` as it was, where the text is not in the strict
    /// common form and only the server can judge it.
    ///
    /// True does not mean that the server takes the value: it still checks encodings, JSON, enum labels, lengths and
    /// ranges of a column, as it does with the text.
    #[inline]
    pub fn push(&self, text: &[u8], out: &mut Vec<u8>) -> bool {
        match *self {
            Encoder::Bool => push_fixed(boolean::parse(text).map(|value| [value.into()]), out),
            Encoder::Int2 => push_fixed(integer::parse(text).map(i16::to_be_bytes), out),
            Encoder::Int4 => push_fixed(integer::parse(text).map(i32::to_be_bytes), out),
            Encoder::Int8 => push_fixed(integer::parse(text).map(i64::to_be_bytes), out),
            Encoder::Float4 => push_fixed(float::parse(text).map(f32::to_be_bytes), out),
            Encoder::Float8 => push_fixed(float::parse_double(text).map(f64::to_be_bytes), out),
            Encoder::Numeric => push_varying(out, |out| numeric::push(text, out)),
            Encoder::Text => push_text(text, out),
            Encoder::Jsonb => push_varying(out, |out| push_jsonb(text, out)),
            Encoder::Timestamptz { utc } => {
                push_fixed(timestamp::parse_with_zone(text, utc).map(i64::to_be_bytes), out)
            }
            Encoder::Timestamp => push_fixed(timestamp::parse(text).map(i64::to_be_bytes), out),
            Encoder::Date => push_fixed(timestamp::parse_date(text).map(i32::to_be_bytes), out),
            Encoder::Uuid => push_fixed(uuid::parse(text), out),
        }
    }
}

/// Appends a NULL: the length −1 and no value.
#[inline]
pub fn push_null(out: &mut Vec<u8>) {
    out.extend_from_slice(&(-1i32).to_be_bytes());
}

/// Appends a value of a type that has only one length.
#[inline]
fn push_fixed<const N: usize>(value: Option<[u8; N]>, out: &mut Vec<u8>) -> bool {
    let Some(value) = value else { return false };
    out.reserve(4 + N);
    out.extend_from_slice(&(N as i32).to_be_bytes());
    out.extend_from_slice(&value);
    true
}

#[inline]
fn push_text(text: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(len) = i32::try_from(text.len()) else { return false };
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(text);
    true
}

/// Appends the value that `push` appends, with its length in front; nothing, if that answers false.
fn push_varying(out: &mut Vec<u8>, push: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let pushed = push(out);
    match i32::try_from(out.len() - start - 4) {
        Ok(len) if pushed => out[start..start + 4].copy_from_slice(&len.to_be_bytes()),
        _ => {
            out.truncate(start);
            return false;
        }
    }
    true
}

/// A version in front of the text; there is one so far.
fn push_jsonb(text: &[u8], out: &mut Vec<u8>) -> bool {
    const VERSION: u8 = 1;
    // Too long for a field, too long to be copied.
    let fits = !text.is_empty() && text.len() < i32::MAX as usize;
    if fits {
        out.push(VERSION);
        out.extend_from_slice(text);
    }
    fits
}

/// Whether there is a minus, and what follows the sign.
#[inline]
fn split_sign(number: &[u8]) -> (bool, &[u8]) {
    match number {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Encoder; 14] = [
        Encoder::Bool,
        Encoder::Int2,
        Encoder::Int4,
        Encoder::Int8,
        Encoder::Float4,
        Encoder::Float8,
        Encoder::Numeric,
        Encoder::Text,
        Encoder::Jsonb,
        Encoder::Timestamptz { utc: true },
        Encoder::Timestamptz { utc: false },
        Encoder::Timestamp,
        Encoder::Date,
        Encoder::Uuid,
    ];

    fn field(encoder: Encoder, text: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        encoder.push(text.as_bytes(), &mut out).then_some(out)
    }

    #[test]
    fn fields_are_a_length_and_a_value() {
        for (encoder, text, expected) in [
            (Encoder::Bool, "t", &b"\0\0\0\x01\x01"[..]),
            (Encoder::Int2, "-2", b"\0\0\0\x02\xff\xfe"),
            (Encoder::Int8, "1", b"\0\0\0\x08\0\0\0\0\0\0\0\x01"),
            (Encoder::Float4, "1", b"\0\0\0\x04\x3f\x80\0\0"),
            (Encoder::Float8, "-0", b"\0\0\0\x08\x80\0\0\0\0\0\0\0"),
            (Encoder::Numeric, "0", b"\0\0\0\x08\0\0\0\0\0\0\0\0"),
            (Encoder::Text, "", b"\0\0\0\0"),
            (Encoder::Text, "h\u{e4}", b"\0\0\0\x03h\xc3\xa4"),
            (Encoder::Jsonb, "{}", b"\0\0\0\x03\x01{}"),
            (Encoder::Date, "2000-01-02", b"\0\0\0\x04\0\0\0\x01"),
            (Encoder::Timestamp, "2000-01-01 00:00:01", b"\0\0\0\x08\0\0\0\0\0\x0f\x42\x40"),
        ] {
            assert_eq!(field(encoder, text).as_deref(), Some(expected), "{text:?} as {encoder:?}");
        }
        let mut out = Vec::new();
        push_null(&mut out);
        assert_eq!(out, [0xff; 4]);
    }

    #[test]
    fn no_type_but_text_has_empty_values() {
        for encoder in ALL {
            assert_eq!(field(encoder, "").is_some(), encoder == Encoder::Text, "{encoder:?}");
        }
    }

    #[test]
    fn types_without_an_encoder_have_none() {
        for name in ["interval", "time", "bytea", "name", "char", "citext", "_int4", "oid", "INT4", ""] {
            assert_eq!(Encoder::of(name, true), None, "{name}");
        }
        assert_eq!(Encoder::of("bpchar", false), Some(Encoder::Text));
        assert_eq!(Encoder::of("timestamptz", false), Some(Encoder::Timestamptz { utc: false }));
    }

    proptest! {
        #[test]
        fn the_length_is_right_and_nothing_is_left_of_a_text_that_is_not_taken(
            text in prop_oneof![
                "[0-9.eE+-]{0,30}",
                "[0-9]{4}-[01][0-9]-[0-3][0-9]([ T][0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,7})?(Z|[+-][01][0-9])?)?",
                ".{0,20}",
            ],
            before in proptest::collection::vec(any::<u8>(), 0..9),
        ) {
            for encoder in ALL {
                let mut out = before.clone();
                let pushed = encoder.push(text.as_bytes(), &mut out);
                prop_assert_eq!(&out[..before.len()], &before);
                let field = &out[before.len()..];
                match field.split_first_chunk() {
                    Some((&len, value)) => prop_assert!(pushed && i32::from_be_bytes(len) as usize == value.len()),
                    None => prop_assert!(!pushed && field.is_empty()),
                }
            }
        }
    }
}

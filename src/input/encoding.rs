//! Encodings that no server takes.
//!
//! **Invariant:** pure; text in any client encoding of PostgreSQL passes, because none of them has zero bytes.

/// As many bytes as are looked at: enough for a delimiter or a newline to show itself in a text without Latin letters.
pub(super) const HEAD_BYTES: usize = 64;

/// The name of the encoding of a text that begins with `head`, where it is one of two bytes a character.
pub(super) fn two_byte_encoding(head: &[u8]) -> Option<&'static str> {
    match head {
        [0xff, 0xfe, rest @ ..] if rest.contains(&0) => Some("UTF-16LE"),
        [0xfe, 0xff, rest @ ..] if rest.contains(&0) => Some("UTF-16BE"),
        [a, 0, b, 0, ..] if *a > 0 && *b > 0 => Some("UTF-16LE"),
        [0, a, 0, b, ..] if *a > 0 && *b > 0 => Some("UTF-16BE"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf_16_is_told_with_and_without_a_byte_order_mark() {
        let little = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let big = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
        for text in ["time,value\n", "\u{feff}time,value\n", "\u{feff}時間,値\n"] {
            assert_eq!(two_byte_encoding(&little(text)), Some("UTF-16LE"), "{text}");
            assert_eq!(two_byte_encoding(&big(text)), Some("UTF-16BE"), "{text}");
        }
    }

    #[test]
    fn other_texts_pass() {
        for text in [&b""[..], b"a", b"time,value\n", "\u{feff}time".as_bytes(), b"\xff\xfea,b\n", b"a\0b,c"] {
            assert_eq!(two_byte_encoding(text), None, "{text:?}");
        }
    }
}

//! `uuid`, as 8-4-4-4-12 hexadecimal digits, and the time that those of version 7 begin with.

const HYPHENS: [usize; 4] = [8, 13, 18, 23];
/// Where the two digits of each byte begin.
const BYTES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// The last millisecond that 48 bits hold, in the year 10889.
const LAST_MILLISECOND: u64 = (1 << 48) - 1;

/// The 16 bytes, from digits of either case. Braces and other groups are left to the server.
#[inline]
pub(super) fn parse(text: &[u8]) -> Option<[u8; 16]> {
    let text: &[u8; 36] = text.try_into().ok()?;
    if HYPHENS.iter().any(|&at| text[at] != b'-') {
        return None;
    }
    let mut uuid = [0; 16];
    for (byte, at) in uuid.iter_mut().zip(BYTES) {
        *byte = nibble(text[at])? << 4 | nibble(text[at + 1])?;
    }
    Some(uuid)
}

/// Milliseconds since 1970 that a value of version 7 begins with; none for another version or variant (RFC 9562).
#[inline]
pub(super) fn milliseconds(uuid: [u8; 16]) -> Option<i64> {
    let is_v7 = uuid[6] >> 4 == 7 && uuid[8] >> 6 == 0b10;
    is_v7.then(|| uuid[..6].iter().fold(0, |number, byte| number << 8 | i64::from(*byte)))
}

/// The least value of version 7 that does not lie before a millisecond; one behind all of them where there is none.
pub(super) fn first_of(millisecond: u64) -> String {
    match millisecond > LAST_MILLISECOND {
        true => "ffffffff-ffff-ffff-ffff-ffffffffffff".to_string(),
        false => format!("{:08x}-{:04x}-7000-8000-000000000000", millisecond >> 16, millisecond & 0xffff),
    }
}

#[inline]
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_common_form_is_taken() {
        let uuid = 0xa0eebc99_9c0b_4ef8_bb6d_6bb9bd380a11u128;
        for text in ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"] {
            assert_eq!(parse(text.as_bytes()), Some(uuid.to_be_bytes()));
        }
        for text in [
            "",
            "a0eebc999c0b4ef8bb6d6bb9bd380a11",
            "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
            "a0eebc99-9c0b-4ef8-bb6d6-bb9bd380a11",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a-1",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_uuid_reads_back(bytes: [u8; 16]) {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let text = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
            prop_assert_eq!(parse(text.as_bytes()), Some(bytes));
        }
    }
}

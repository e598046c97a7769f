//! `boolean`, in the words that its input function spells out. Their beginnings (`tr`) are left to the server.

const TRUE: [&[u8]; 6] = [b"t", b"true", b"1", b"y", b"yes", b"on"];
const FALSE: [&[u8]; 6] = [b"f", b"false", b"0", b"n", b"no", b"off"];

/// What a word in upper or lower case means.
#[inline]
pub(super) fn parse(text: &[u8]) -> Option<bool> {
    match text {
        b"t" | b"1" => Some(true),
        b"f" | b"0" => Some(false),
        _ => parse_word(text),
    }
}

fn parse_word(text: &[u8]) -> Option<bool> {
    let is_among = |words: [&[u8]; 6]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_among(TRUE) { Some(true) } else { is_among(FALSE).then_some(false) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_whole_and_in_any_case() {
        for text in ["t", "true", "1", "T", "True", "TRUE", "yes", "on"] {
            assert_eq!(parse(text.as_bytes()), Some(true), "{text}");
        }
        for text in ["f", "false", "0", "F", "False", "FALSE", "no", "off"] {
            assert_eq!(parse(text.as_bytes()), Some(false), "{text}");
        }
        for text in ["", "tr", "o", "of", " t", "t ", "2", "00", "truee", "null"] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }
}

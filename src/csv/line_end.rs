//! How the lines of a file end.

use memchr::{memchr2, memchr3};

use super::Dialect;

/// What ends the records of a file. Its first record decides, and every other one has to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LineEnd {
    /// LF.
    Newline,
    /// CR.
    CarriageReturn,
    /// CR LF.
    CarriageReturnNewline,
}

impl LineEnd {
    /// The line end of the first record of `bytes`, which are a prefix of the file, and all of it if `is_last`.
    ///
    /// `None` where they do not show it yet: call again with a longer prefix. A file without a line end has
    /// [`LineEnd::Newline`].
    pub fn of(dialect: &Dialect, bytes: &[u8], is_last: bool) -> Option<LineEnd> {
        match (first_line_end(dialect, bytes), is_last) {
            (Some([b'\n', ..]), _) => Some(LineEnd::Newline),
            (Some([_, b'\n', ..]), _) => Some(LineEnd::CarriageReturnNewline),
            (Some([_, _, ..]), _) | (Some(_), true) => Some(LineEnd::CarriageReturn),
            (None, true) => Some(LineEnd::Newline),
            (_, false) => None,
        }
    }

    /// The line end's own bytes.
    pub fn bytes(self) -> &'static [u8] {
        match self {
            LineEnd::Newline => b"\n",
            LineEnd::CarriageReturn => b"\r",
            LineEnd::CarriageReturnNewline => b"\r\n",
        }
    }

    /// The byte that the server counts as a line, also between quotes.
    pub(super) fn first_byte(self) -> u8 {
        self.bytes()[0]
    }

    /// The byte with which a record is over.
    pub(super) fn last_byte(self) -> u8 {
        if self == LineEnd::CarriageReturn { b'\r' } else { b'\n' }
    }
}

/// What begins with the first unquoted CR or LF.
fn first_line_end<'b>(dialect: &Dialect, bytes: &'b [u8]) -> Option<&'b [u8]> {
    let mut rest = bytes;
    loop {
        rest = rest.get(memchr3(dialect.quote, b'\n', b'\r', rest)?..)?;
        match rest.split_first()? {
            (quote, quoted) if *quote == dialect.quote => rest = quoted.get(quoted_len(dialect, quoted)?..)?,
            _ => return Some(rest),
        }
    }
}

/// How many bytes behind an opening quote belong to it, with the closing one; `None` where it is not closed.
fn quoted_len(dialect: &Dialect, quoted: &[u8]) -> Option<usize> {
    let own_escape = dialect.own_escape();
    let mut at = 0;
    loop {
        at += memchr2(dialect.quote, own_escape.unwrap_or(dialect.quote), quoted.get(at..)?)?;
        if own_escape != Some(quoted[at]) {
            return Some(at + 1);
        }
        let is_pair = quoted.get(at + 1).is_some_and(|next| [dialect.quote, dialect.escape].contains(next));
        at += if is_pair { 2 } else { 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8], is_last: bool) -> Option<LineEnd> {
        LineEnd::of(&Dialect::default(), bytes, is_last)
    }

    #[test]
    fn the_first_unquoted_line_end_decides() {
        assert_eq!(of(b"a\nb\r\n", false), Some(LineEnd::Newline));
        assert_eq!(of(b"a\rb\n", false), Some(LineEnd::CarriageReturn));
        assert_eq!(of(b"a\r\nb\n", false), Some(LineEnd::CarriageReturnNewline));
        assert_eq!(of(b"\"\n\r\"\"\n\"x\r\n", false), Some(LineEnd::CarriageReturnNewline));
    }

    #[test]
    fn a_carriage_return_at_the_end_of_a_prefix_decides_nothing() {
        assert_eq!(of(b"a\r", false), None);
        assert_eq!(of(b"a\r", true), Some(LineEnd::CarriageReturn));
    }

    #[test]
    fn what_shows_no_line_end_has_newlines_where_nothing_follows() {
        for bytes in [&b""[..], b"a,b", b"\"a\n", b"\"a\"\"\n"] {
            assert_eq!((of(bytes, false), of(bytes, true)), (None, Some(LineEnd::Newline)));
        }
    }

    #[test]
    fn an_escaped_quote_does_not_close() {
        let dialect = Dialect::new(",", "\"", Some("\\"), "").unwrap();
        assert_eq!(LineEnd::of(&dialect, b"\"\\\"\n\\\\\"\r\n", false), Some(LineEnd::CarriageReturnNewline));
        assert_eq!(LineEnd::of(&dialect, b"\"\\\"\n\\", true), Some(LineEnd::Newline));
    }
}

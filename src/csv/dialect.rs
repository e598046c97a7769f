//! The options of COPY that say how a CSV file is written.

use std::fmt;

/// The delimiter, quote and escape characters and the null string; the default is PostgreSQL's.
///
/// The three characters are ASCII, none of them ends lines, and the delimiter is not the quote; [`Dialect::new`] sees
/// to that. The escape may be any of the others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dialect {
    /// What separates fields.
    pub delimiter: u8,
    /// What opens and closes a quoted part of a field.
    pub quote: u8,
    /// What stands before a quote, or another escape, that is data; only between quotes.
    pub escape: u8,
    /// An unquoted field that reads so is NULL.
    pub null: Vec<u8>,
}

impl Default for Dialect {
    fn default() -> Self {
        Dialect { delimiter: b',', quote: b'"', escape: b'"', null: Vec::new() }
    }
}

impl Dialect {
    /// The dialect of these options of COPY; without an `escape` it is the quote.
    ///
    /// # Errors
    /// What the server refuses, in its order; and a quote or an escape that ends lines, which the server takes, though
    /// nothing can be read with it.
    pub fn new(delimiter: &str, quote: &str, escape: Option<&str>, null: &str) -> Result<Dialect, DialectError> {
        let delimiter = byte("COPY delimiter", delimiter)?;
        refuse_if(ends_lines(&delimiter), "COPY delimiter cannot be newline or carriage return")?;
        let null_has_line_end = null.bytes().any(|byte| ends_lines(&byte));
        refuse_if(null_has_line_end, "COPY null representation cannot use newline or carriage return")?;
        let escape = escape.unwrap_or(quote);
        let quote = byte("COPY quote", quote)?;
        refuse_if(delimiter == quote, "COPY delimiter and quote must be different")?;
        let escape = byte("COPY escape", escape)?;
        let null: Vec<u8> = null.into();
        let appears = "must not appear in the NULL specification";
        refuse_if(null.contains(&delimiter), &format!("COPY delimiter character {appears}"))?;
        refuse_if(null.contains(&quote), &format!("CSV quote character {appears}"))?;
        refuse_if(ends_lines(&quote), "COPY quote cannot be newline or carriage return")?;
        refuse_if(ends_lines(&escape), "COPY escape cannot be newline or carriage return")?;
        Ok(Dialect { delimiter, quote, escape, null })
    }

    /// The escape, where it is not simply the quote, which doubled needs no care of its own to be skipped.
    pub(super) fn own_escape(&self) -> Option<u8> {
        Some(self.escape).filter(|escape| *escape != self.quote)
    }
}

fn ends_lines(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn refuse_if(is_wrong: bool, message: &str) -> Result<(), DialectError> {
    if is_wrong {
        return Err(DialectError { message: message.to_string(), sqlstate: INVALID_PARAMETER_VALUE });
    }
    Ok(())
}

/// The one byte of an option, which for the server is a C string.
fn byte(option: &str, value: &str) -> Result<u8, DialectError> {
    match value.as_bytes() {
        [byte] if *byte != 0 => Ok(*byte),
        _ => Err(DialectError {
            message: format!("{option} must be a single one-byte character"),
            sqlstate: FEATURE_NOT_SUPPORTED,
        }),
    }
}

const FEATURE_NOT_SUPPORTED: &str = "0A000";
const INVALID_PARAMETER_VALUE: &str = "22023";

/// Options that are no dialect, in the server's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialectError {
    message: String,
    sqlstate: &'static str,
}

impl DialectError {
    /// The SQLSTATE that the server answers.
    pub fn sqlstate(&self) -> &'static str {
        self.sqlstate
    }
}

impl fmt::Display for DialectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DialectError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(delimiter: &str, quote: &str, escape: &str, null: &str) -> (String, &'static str) {
        let error = Dialect::new(delimiter, quote, Some(escape), null).unwrap_err();
        (error.to_string(), error.sqlstate())
    }

    #[test]
    fn the_default_is_what_postgresql_takes_without_options() {
        assert_eq!(Dialect::new(",", "\"", None, ""), Ok(Dialect::default()));
        assert_eq!(Dialect::new("\t", "'", None, "\\N").unwrap().escape, b'\'');
    }

    #[test]
    fn the_escape_may_be_any_character_that_does_not_end_lines() {
        for escape in [",", "\"", "\\", " ", "a"] {
            assert_eq!(Dialect::new(",", "\"", Some(escape), "").unwrap().escape, escape.as_bytes()[0]);
        }
        assert_eq!(refusal(",", "\"", "\n", "").1, "22023");
    }

    #[test]
    fn an_option_of_no_or_several_bytes_is_not_supported() {
        for wrong in ["", ",,", "é", "\0"] {
            let expected = |option| (format!("COPY {option} must be a single one-byte character"), "0A000");
            assert_eq!(refusal(wrong, "\"", "\"", ""), expected("delimiter"));
            assert_eq!(refusal(",", wrong, "\"", ""), expected("quote"));
            assert_eq!(refusal(",", "\"", wrong, ""), expected("escape"));
        }
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused() {
        assert_eq!(refusal("\n", "\"", "\"", "").0, "COPY delimiter cannot be newline or carriage return");
        assert_eq!(refusal(",", "\"", "\"", "a\r").0, "COPY null representation cannot use newline or carriage return");
        assert_eq!(refusal("|", "|", "\"", "").0, "COPY delimiter and quote must be different");
        let appears = "must not appear in the NULL specification";
        assert_eq!(refusal(",", "\"", "\"", "a,").0, format!("COPY delimiter character {appears}"));
        assert_eq!(refusal(",", "\"", "\"", "\"a").0, format!("CSV quote character {appears}"));
    }
}

//! Identifiers and literals: the only place where names and values become SQL text.
//!
//! **Invariant:** knows nothing of servers. What PostgreSQL quotes is quoted here always, not only where it must be,
//! so that no list of reserved words has to be kept.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// `name` as a delimited identifier: `a"b` becomes `"a""b"`.
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `value` as a string literal that means the same under every setting of `standard_conforming_strings`.
pub fn quote_literal(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// A comma-separated list of delimited identifiers.
pub fn quote_columns<'a>(columns: impl IntoIterator<Item = &'a str>) -> String {
    columns.into_iter().map(quote_ident).collect::<Vec<_>>().join(", ")
}

/// A schema-qualified name of a relation, type, function or operator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QualifiedName {
    /// The schema, unquoted.
    pub schema: String,
    /// The name inside the schema, unquoted.
    pub name: String,
}

impl QualifiedName {
    /// A name from its unquoted parts.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        QualifiedName { schema: schema.into(), name: name.into() }
    }

    /// The SQL text of the name, both parts delimited.
    pub fn sql(&self) -> String {
        format!("{}.{}", quote_ident(&self.schema), quote_ident(&self.name))
    }

    /// Reads `name` or `schema.name` by SQL's rules: unquoted parts fold to lower case, `"…"` is taken as it is, `""`
    /// stands for one quote. A name without a schema takes `default_schema`.
    ///
    /// # Errors
    /// [`Kind::Usage`] where `text` is no such name.
    pub fn parse(text: &str, default_schema: &str) -> Result<Self> {
        let mut parts = split_identifiers(text)?;
        match parts.len() {
            1 => Ok(QualifiedName::new(default_schema, parts.remove(0))),
            2 => {
                let name = parts.remove(1);
                Ok(QualifiedName::new(parts.remove(0), name))
            }
            count => {
                Err(Error::new(Kind::Usage, format!("\"{text}\" has {count} parts where a table name has one or two"))
                    .hint("Write NAME or SCHEMA.NAME; a part with a dot in it needs double quotes."))
            }
        }
    }
}

/// For people: parts are delimited only where SQL would need it.
impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", display_ident(&self.schema), display_ident(&self.name))
    }
}

/// `name` as a person would write it: delimited only where it would otherwise read differently.
pub fn display_ident(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.is_empty() && name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        name.to_string()
    } else {
        quote_ident(name)
    }
}

/// Reads names with commas between them, each by SQL's rules: `time, "Odd name"`.
///
/// # Errors
/// [`Kind::Usage`] where `text` is no such list.
pub fn parse_columns(text: &str) -> Result<Vec<String>> {
    split_names(text, ',', "Write NAME or NAME,NAME; double quotes keep capitals, spaces and commas as they are.")
}

fn split_identifiers(text: &str) -> Result<Vec<String>> {
    split_names(text, '.', "Write NAME or SCHEMA.NAME; double quotes keep capitals, spaces and dots as they are.")
}

fn split_names(text: &str, separator: char, hint: &str) -> Result<Vec<String>> {
    let malformed = |why: &str| Error::new(Kind::Usage, format!("\"{text}\" is not a name: {why}")).hint(hint);
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let is_delimited = rest.starts_with('"');
        let (part, tail) = if let Some(quoted) = rest.strip_prefix('"') {
            delimited(quoted).ok_or_else(|| malformed("a double quote is not closed"))?
        } else {
            let end = rest.find([separator, '"']).unwrap_or(rest.len());
            (rest[..end].trim().to_ascii_lowercase(), rest[end..].trim_start())
        };
        if part.is_empty() {
            return Err(malformed("a part is empty"));
        }
        if !is_delimited && part.contains(char::is_whitespace) {
            return Err(malformed("a part with a space in it needs double quotes"));
        }
        parts.push(part);
        rest = match tail.strip_prefix(separator) {
            Some(next) => next.trim_start(),
            None if tail.is_empty() => return Ok(parts),
            None => return Err(malformed(&format!("a \"{separator}\" is missing between its parts"))),
        };
    }
}

/// The text up to the closing quote, undoubled, and what follows it.
fn delimited(text: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut rest = text;
    loop {
        let quote = rest.find('"')?;
        part.push_str(&rest[..quote]);
        rest = &rest[quote + 1..];
        match rest.strip_prefix('"') {
            Some(next) => {
                part.push('"');
                rest = next;
            }
            None => return Some((part, rest.trim_start())),
        }
    }
}

/// Cuts `name` to the 63 bytes that PostgreSQL keeps of an identifier, at a character boundary.
pub fn truncate_ident(name: &str, max_bytes: usize) -> &str {
    let mut end = name.len().min(max_bytes.min(MAX_IDENT_BYTES));
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

/// `NAMEDATALEN - 1` of a server as it is shipped.
pub const MAX_IDENT_BYTES: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_sql_quoting_rules() {
        let parse = |text| QualifiedName::parse(text, "public").map(|name| (name.schema, name.name));
        let pair = |schema: &str, name: &str| (schema.to_string(), name.to_string());
        assert_eq!(parse("Metrics").unwrap(), pair("public", "metrics"));
        assert_eq!(parse("App . \"My \"\"t\"\".x\"").unwrap(), pair("app", "My \"t\".x"));
        assert_eq!(parse("\"A\".b").unwrap(), pair("A", "b"));
        for bad in ["", "a.", ".a", "\"a", "a.b.c", "\"a\"b", "\"\"", "two words"] {
            assert_eq!(parse(bad).unwrap_err().kind(), Kind::Usage, "{bad}");
        }
    }

    #[test]
    fn columns_are_a_list_of_names() {
        assert_eq!(parse_columns("Time, \"Odd, name\",v").unwrap(), ["time", "Odd, name", "v"]);
        for bad in ["", "a,", ",a", "a,,b", "\"a", "a b"] {
            assert_eq!(parse_columns(bad).unwrap_err().kind(), Kind::Usage, "{bad}");
        }
    }

    #[test]
    fn quoting_survives_quotes_and_backslashes() {
        assert_eq!(quote_ident("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("a\\'b"), "E'a\\\\''b'");
        assert_eq!(QualifiedName::new("public", "Sales-2025").to_string(), "public.\"Sales-2025\"");
    }

    #[test]
    fn identifiers_are_cut_at_character_boundaries() {
        let name = "ä".repeat(40);
        assert_eq!(truncate_ident(&name, 63).len(), 62);
        assert_eq!(truncate_ident("short", 63), "short");
    }
}

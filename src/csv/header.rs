//! What the header of a file says: which column of the table each of its fields is for.

use std::collections::BTreeSet;
use std::fmt;

use super::Fields;

/// A mark that some programs put before UTF-8; it is no part of a name.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// What a message shows of a name at most, in characters: PostgreSQL's names are not longer.
const SHOWN_CHARACTERS: usize = 63;

/// The names in the first record of a file, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    names: Vec<String>,
}

impl Header {
    /// The header that these fields are.
    ///
    /// # Errors
    /// A name that is NULL, empty, or not UTF-8.
    pub fn of(fields: &Fields<'_>) -> Result<Header, HeaderError> {
        let name = |(at, field): (usize, Option<&[u8]>)| {
            let text =
                String::from_utf8(field.unwrap_or_default().to_vec()).map_err(|_| HeaderError::NotText(at + 1))?;
            Ok(if at == 0 { without_mark(&text).to_string() } else { text })
        };
        let names = fields.iter().enumerate().map(name).collect::<Result<Vec<_>, _>>()?;
        check_names(&names)?;
        Ok(Header { names })
    }

    /// The names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The columns of the table that the fields of the file are for, in the order of the file; see [`columns`].
    ///
    /// # Errors
    /// Those of [`columns`].
    pub fn columns(&self, maps: &[(String, String)], table: &[String]) -> Result<Vec<String>, HeaderError> {
        columns(&self.names, maps, table)
    }
}

/// The columns of `table` that the fields of a file with this `header` are for, in the order of the file.
///
/// A name that `maps` holds, as file column and table column, stands for the table column; any other one for itself.
/// Names are compared as they are, as the server's `header match` does; a byte order mark before the first one is
/// ignored.
///
/// # Errors
/// A name that is empty or that the table does not have, a column that would be filled twice, a map of a name that is
/// not in the header or that has another map.
pub fn columns(header: &[String], maps: &[(String, String)], table: &[String]) -> Result<Vec<String>, HeaderError> {
    let names: Vec<&str> =
        header.iter().enumerate().map(|(at, name)| if at == 0 { without_mark(name) } else { name }).collect();
    check_names(&names)?;
    check_maps(&names, maps)?;
    let mut seen = BTreeSet::new();
    names.iter().map(|name| column(name, maps, table, &mut seen)).collect()
}

fn without_mark(name: &str) -> &str {
    name.strip_prefix(BYTE_ORDER_MARK).unwrap_or(name)
}

fn check_names(names: &[impl AsRef<str>]) -> Result<(), HeaderError> {
    let empty = names.iter().position(|name| name.as_ref().is_empty());
    empty.map_or(Ok(()), |at| Err(HeaderError::NoName(at + 1)))
}

fn check_maps(names: &[&str], maps: &[(String, String)]) -> Result<(), HeaderError> {
    let mut seen = BTreeSet::new();
    for (file_column, _) in maps {
        if !names.contains(&file_column.as_str()) {
            return Err(HeaderError::NotInHeader { name: shown(file_column), header: list(names) });
        }
        if !seen.insert(file_column) {
            return Err(HeaderError::MappedTwice(shown(file_column)));
        }
    }
    Ok(())
}

/// The table's column for one name of the file.
fn column(
    name: &str,
    maps: &[(String, String)],
    table: &[String],
    seen: &mut BTreeSet<String>,
) -> Result<String, HeaderError> {
    let mapped = maps.iter().find(|(file_column, _)| file_column == name);
    let column = mapped.map_or(name, |(_, table_column)| table_column);
    if !table.iter().any(|known| known == column) {
        return Err(HeaderError::NotInTable { name: shown(column), table: list(table) });
    }
    if !seen.insert(column.to_string()) {
        return Err(HeaderError::Twice(shown(column)));
    }
    Ok(column.to_string())
}

/// A name for a message: not endless, and nothing in it that a terminal obeys.
fn shown(name: &str) -> String {
    let visible = |character: char| if character.is_control() { '?' } else { character };
    let mut shown: String = name.chars().take(SHOWN_CHARACTERS).map(visible).collect();
    if name.chars().nth(SHOWN_CHARACTERS).is_some() {
        shown.push('…');
    }
    shown
}

fn list(names: &[impl AsRef<str>]) -> String {
    names.iter().map(|name| shown(name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// Why a header does not say where the fields of a file belong. Positions count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name of this field is not valid UTF-8.
    NotText(usize),
    /// This field has no name.
    NoName(usize),
    /// The table has no such column.
    NotInTable {
        /// The column.
        name: String,
        /// What the table has, for the hint.
        table: String,
    },
    /// Two fields are for the same column.
    Twice(String),
    /// A map is for a name that is not in the header.
    NotInHeader {
        /// The name.
        name: String,
        /// What the header has, for the hint.
        header: String,
    },
    /// Two maps are for the same name.
    MappedTwice(String),
}

impl HeaderError {
    /// What to do, in sentences.
    pub fn hint(&self) -> String {
        match self {
            HeaderError::NotText(_) => "Name the file's encoding with --encoding.".to_string(),
            HeaderError::NoName(_) => {
                "Name all columns in the header, or skip it with --header skip and give --columns.".to_string()
            }
            HeaderError::NotInTable { name, table } => {
                format!(
                    "The table has the columns {table}. Say with --map FILE_COLUMN=TABLE_COLUMN which one {name} is."
                )
            }
            HeaderError::Twice(_) => {
                "Give each column once, in the header and behind the = of --map; or skip the header with --header skip \
                 and give --columns."
                    .to_string()
            }
            HeaderError::NotInHeader { header, .. } => format!("The header has the columns {header}."),
            HeaderError::MappedTwice(_) => "Give one --map for each column of the file.".to_string(),
        }
    }

    /// The SQLSTATE that the server has for such a thing.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            HeaderError::NotText(_) => "22021",
            HeaderError::NoName(_) => "22P04",
            HeaderError::NotInTable { .. } | HeaderError::NotInHeader { .. } => "42703",
            HeaderError::Twice(_) | HeaderError::MappedTwice(_) => "42701",
        }
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderError::NotText(position) => write!(f, "the name in header line field {position} is not valid UTF-8"),
            HeaderError::NoName(position) => write!(f, "header line field {position} is empty"),
            HeaderError::NotInTable { name, .. } => {
                write!(f, "column \"{name}\" of the header does not exist in the table")
            }
            HeaderError::Twice(name) => write!(f, "column \"{name}\" specified more than once"),
            HeaderError::NotInHeader { name, .. } => {
                write!(f, "column \"{name}\" of --map does not exist in the header")
            }
            HeaderError::MappedTwice(name) => write!(f, "column \"{name}\" of the header is mapped more than once"),
        }
    }
}

impl std::error::Error for HeaderError {}

#[cfg(test)]
mod tests {
    use super::super::{Dialect, LineEnd, Parser};
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    fn of(header: &[&str], maps: &[(&str, &str)]) -> Result<Vec<String>, HeaderError> {
        let maps: Vec<_> = maps.iter().map(|(file, table)| (file.to_string(), table.to_string())).collect();
        columns(&strings(header), &maps, &strings(&["time", "device", "value"]))
    }

    fn refusal(header: &[&str], maps: &[(&str, &str)]) -> String {
        of(header, maps).unwrap_err().to_string()
    }

    #[test]
    fn fields_go_where_the_header_says() {
        assert_eq!(of(&["value", "time"], &[]), Ok(strings(&["value", "time"])));
        assert_eq!(of(&["Zeit", "value"], &[("Zeit", "time")]), Ok(strings(&["time", "value"])));
    }

    #[test]
    fn columns_may_be_exchanged_by_maps() {
        assert_eq!(of(&["time", "value"], &[("time", "value"), ("value", "time")]), Ok(strings(&["value", "time"])));
    }

    #[test]
    fn a_byte_order_mark_belongs_to_no_name() {
        assert_eq!(of(&["\u{feff}time"], &[]), Ok(strings(&["time"])));
        assert_eq!(of(&["\u{feff}Zeit"], &[("Zeit", "time")]), Ok(strings(&["time"])));
        let mut parser = Parser::new(&Dialect::default(), LineEnd::Newline);
        let fields = parser.record("\u{feff}\"time\",value\n".as_bytes()).unwrap().fields.unwrap();
        assert_eq!(Header::of(&fields).unwrap().names(), strings(&["time", "value"]));
        assert_eq!(refusal(&["\u{feff}"], &[]), "header line field 1 is empty");
    }

    #[test]
    fn what_the_table_does_not_have_is_named_with_what_it_has() {
        let error = of(&["time", "Device"], &[]).unwrap_err();
        assert_eq!(error.to_string(), "column \"Device\" of the header does not exist in the table");
        assert!(error.hint().starts_with("The table has the columns time, device, value."), "{}", error.hint());
        assert_eq!(refusal(&["a"], &[("a", "b")]), "column \"b\" of the header does not exist in the table");
    }

    #[test]
    fn a_column_cannot_be_filled_twice() {
        assert_eq!(refusal(&["time", "time"], &[]), "column \"time\" specified more than once");
        assert_eq!(refusal(&["time", "t"], &[("t", "time")]), "column \"time\" specified more than once");
    }

    #[test]
    fn a_field_without_a_name_is_refused() {
        assert_eq!(refusal(&["time", ""], &[]), "header line field 2 is empty");
        let mut parser = Parser::new(&Dialect::default(), LineEnd::Newline);
        let header = |parser: &mut Parser, line: &[u8]| Header::of(&parser.record(line).unwrap().fields.unwrap());
        assert_eq!(header(&mut parser, b"a,,b"), Err(HeaderError::NoName(2)));
        assert_eq!(header(&mut parser, b"a,\xE9"), Err(HeaderError::NotText(2)));
    }

    #[test]
    fn a_map_has_to_be_of_use() {
        let error = of(&["time"], &[("tiem", "time")]).unwrap_err();
        assert_eq!(error.to_string(), "column \"tiem\" of --map does not exist in the header");
        assert_eq!(error.hint(), "The header has the columns time.");
        assert_eq!(
            refusal(&["t"], &[("t", "time"), ("t", "value")]),
            "column \"t\" of the header is mapped more than once"
        );
    }

    #[test]
    fn a_name_cannot_flood_or_command_a_terminal() {
        let name = format!("\u{1b}[2J{}", "a".repeat(1000));
        let message = refusal(&[&name], &[]);
        assert!(message.len() < 150 && !message.contains('\u{1b}'), "{message:?}");
    }
}

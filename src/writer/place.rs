//! Where in the data of a COPY the server has met an error, read from its CONTEXT.
//!
//! **Invariant:** never needed for truth. The words around the names are in the server's language, and a row that is
//! named may be another than the culprit.

/// A row of the data of one COPY, and a column of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number, from 0.
    pub row: usize,
    /// The column.
    pub column: Option<String>,
}

/// Reads `COPY relation, line 3, column v: …`, which may stand below other lines.
pub fn of(context: &str, relation: &str, columns: &[String]) -> Option<Place> {
    let prefix = format!("COPY {relation}, ");
    // The relation's name may have lines of its own.
    let is_at_line_start = |at: &usize| *at == 0 || context.as_bytes()[at - 1] == b'\n';
    let start = context.match_indices(&prefix).map(|(at, _)| at).find(is_at_line_start)?;
    let rest = &context[start + prefix.len()..];
    let from = rest.find(|c: char| c.is_ascii_digit())?;
    let digits = rest[from..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - from);
    let line: usize = rest[from..from + digits].parse().ok()?;
    Some(Place { row: line.checked_sub(1)?, column: column(&rest[from + digits..], columns) })
}

/// The column of `, column v: "…"` or `, column v`.
fn column(rest: &str, columns: &[String]) -> Option<String> {
    let (_, named) = rest.strip_prefix(", ")?.split_once(' ')?;
    let is_it = |column: &&String| {
        named.strip_prefix(column.as_str()).is_some_and(|behind| behind.is_empty() || behind.starts_with([':', '\n']))
    };
    columns.iter().filter(is_it).max_by_key(|column| column.len()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(context: &str) -> Option<(usize, Option<String>)> {
        let columns: Vec<String> = ["v", "v: x", "odd 7, name"].map(String::from).to_vec();
        of(context, "metrics, 5", &columns).map(|place| (place.row, place.column))
    }

    #[test]
    fn a_row_and_its_column_are_found_in_any_language() {
        assert_eq!(place("COPY metrics, 5, line 3, column v: \"a, line 9\""), Some((2, Some("v".into()))));
        assert_eq!(place("COPY metrics, 5, Zeile 12, Spalte v: x: »a«"), Some((11, Some("v: x".into()))));
        assert_eq!(place("PL/pgSQL function f() line 3\nCOPY metrics, 5, line 1: \"a\tb\""), Some((0, None)));
        assert_eq!(place("COPY metrics, 5, line 4, column odd 7, name"), Some((3, Some("odd 7, name".into()))));
    }

    #[test]
    fn names_may_have_several_lines() {
        let place = of("f() line 1\nCOPY a\nb, line 3, column c\nd: \"1\"", "a\nb", &["c\nd".to_string()]);
        assert_eq!(place, Some(Place { row: 2, column: Some("c\nd".into()) }));
    }

    #[test]
    fn what_is_not_said_is_not_guessed() {
        for context in ["", "COPY other, line 3", "SQL statement", "COPY metrics, 5, line 0", "COPY metrics, 5, x"] {
            assert_eq!(place(context), None, "{context}");
        }
        assert_eq!(place("COPY metrics, 5, line 99999999999999999999999"), None);
    }
}

//! A connection string of keywords: `host=… dbname='…'`.
//!
//! **Invariant:** pure; a value leaves this room only as the parameter that it is.

use super::parameters::{Parameters, QUOTING, unreadable};
use crate::error::Result;

pub(super) fn parse(text: &str) -> Result<Parameters> {
    let mut parameters = Parameters::default();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let end = rest.find(|character| character == '=' || is_space(character)).unwrap_or(rest.len());
        let (keyword, behind) = rest.split_at(end);
        let Some(behind) = behind.trim_start_matches(is_space).strip_prefix('=') else {
            let message = format!("missing \"=\" after {} in connection info string", parameters.shown(keyword));
            return Err(unreadable(message).hint(QUOTING));
        };
        let (value, behind) = value(behind.trim_start_matches(is_space))?;
        if parameters.set(keyword, &value).is_err() {
            return Err(parameters.unknown(keyword));
        }
        rest = behind.trim_start_matches(is_space);
    }
    Ok(parameters)
}

/// What `isspace` says in the C locale.
pub(super) fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t'..='\r')
}

/// A value and what stands behind it. A backslash takes the next character as it is, with quotes or without.
fn value(text: &str) -> Result<(String, &str)> {
    let (is_quoted, mut characters) = match text.strip_prefix('\'') {
        Some(quoted) => (true, quoted.chars()),
        None => (false, text.chars()),
    };
    let mut value = String::new();
    loop {
        match characters.next() {
            Some('\\') => value.extend(characters.next()),
            Some('\'') if is_quoted => break,
            Some(character) if !is_quoted && is_space(character) => break,
            Some(character) => value.push(character),
            None if is_quoted => {
                return Err(unreadable("unterminated quoted string in connection info string").hint(QUOTING));
            }
            None => break,
        }
    }
    Ok((value, characters.as_str()))
}

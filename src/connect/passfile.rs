//! libpq's password file: lines of `host:port:database:user:password`.
//!
//! **Invariant:** a password leaves this room only as the answer that was asked for.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whose password is looked for.
pub struct Login<'a> {
    /// The host as it was given, or its address; `localhost` for the socket of this machine.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// The database.
    pub database: &'a str,
    /// The user.
    pub user: &'a str,
}

/// The text of a password file. One that is not there is empty; one that is no file or that others may read is left alone,
/// as by libpq.
///
/// # Errors
/// Why the file is left alone, for a warning.
pub(super) fn read(file: &Path) -> Result<String, String> {
    let Ok(metadata) = std::fs::metadata(file) else { return Ok(String::new()) };
    let shown = file.display();
    if !metadata.is_file() {
        return Err(format!("password file \"{shown}\" is not a plain file"));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(format!(
            "password file \"{shown}\" has group or world access; permissions should be u=rw (0600) or less"
        ));
    }
    // Other users' passwords may be in any encoding.
    Ok(std::fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default())
}

/// The password of a login, by the first line of a password file's text that fits.
pub fn find_password(text: &str, login: &Login<'_>) -> Option<String> {
    let port = login.port.to_string();
    let wanted = [login.host, &port, login.database, login.user];
    text.split('\n').filter(|line| !line.starts_with('#')).find_map(|line| {
        let line = line.trim_end_matches('\r');
        wanted.iter().try_fold(line, |rest, wanted| behind_field(rest, wanted)).map(password)
    })
}

/// What stands behind a field that is this, or a lone `*`.
fn behind_field<'t>(text: &'t str, wanted: &str) -> Option<&'t str> {
    if let Some(behind) = text.strip_prefix("*:") {
        return Some(behind);
    }
    let mut rest = text;
    for expected in wanted.chars() {
        // A backslash takes the next character as it is.
        rest = rest.strip_prefix('\\').unwrap_or(rest).strip_prefix(expected)?;
    }
    rest.strip_prefix(':')
}

/// The rest of a line up to the next colon; a backslash takes the next character as it is.
fn password(text: &str) -> String {
    let (mut password, mut characters) = (String::new(), text.chars());
    while let Some(character) = characters.next() {
        match character {
            ':' => break,
            '\\' => password.push(characters.next().unwrap_or('\\')),
            character => password.push(character),
        }
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_counts() {
        let text =
            "# a comment:1:*:*:no\nother:5432:app:ann:wrong\nh:*:app:ann:a\\:b\\\\c:d\n*:*:*:*:last\nshort:line\n";
        let password = |host, port, database, user| find_password(text, &Login { host, port, database, user });
        assert_eq!(password("h", 6000, "app", "ann").as_deref(), Some("a:b\\c"));
        assert_eq!(password("other", 5432, "app", "ann").as_deref(), Some("wrong"));
        assert_eq!(password("h", 6000, "app", "bob").as_deref(), Some("last"));
        assert_eq!(find_password("h:1:d:u", &Login { host: "h", port: 1, database: "d", user: "u" }), None);
    }

    #[test]
    fn names_are_escaped_and_lines_end_as_files_of_windows_do() {
        let login = Login { host: "::1", port: 1, database: "a\\b", user: "*" };
        assert_eq!(find_password("\\:\\:1:1:a\\\\b:*:x\r\n", &login).as_deref(), Some("x"));
        // libpq takes a colon for itself where one is looked for.
        assert_eq!(find_password("::1:1:a\\\\b:*:x", &login).as_deref(), Some("x"));
        assert_eq!(find_password("*:*:*:*x:y", &login), None);
    }
}

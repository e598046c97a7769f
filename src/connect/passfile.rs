//! libpq's password file: lines of `host:port:database:user:password`.
//!
//! **Invariant:** a password leaves this room only as the answer that was asked for.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whose password is looked for.
pub(super) struct Login<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// The password in the file, by the first line that fits. A file that others may read is left alone, as by libpq.
pub(super) fn password(file: &Path, login: &Login<'_>) -> Option<String> {
    let metadata = std::fs::metadata(file).ok()?;
    if !metadata.is_file() || metadata.mode() & 0o077 != 0 {
        return None;
    }
    find(&std::fs::read_to_string(file).ok()?, login)
}

fn find(text: &str, login: &Login<'_>) -> Option<String> {
    let port = login.port.to_string();
    let wanted = [login.host, &port, login.database, login.user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let (password, names) = fields.split_last()?;
        let fits = |(name, wanted): (&String, &&str)| name == "*" || name == wanted;
        (names.len() == wanted.len() && names.iter().zip(&wanted).all(fits)).then(|| password.clone())
    })
}

/// The five fields of a line; a backslash takes the next character as it is.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => fields.last_mut().into_iter().for_each(|field| field.extend(characters.next())),
            // What follows the fourth colon is the password, colons and all.
            ':' if fields.len() < 5 => fields.push(String::new()),
            character => fields.last_mut().into_iter().for_each(|field| field.push(character)),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_counts() {
        let text =
            "# a comment:1:*:*:no\nother:5432:app:ann:wrong\nh:*:app:ann:a:b\\\\c\\:d\n*:*:*:*:last\nshort:line\n";
        let password = |host, port, database, user| find(text, &Login { host, port, database, user });
        assert_eq!(password("h", 6000, "app", "ann").as_deref(), Some("a:b\\c:d"));
        assert_eq!(password("other", 5432, "app", "ann").as_deref(), Some("wrong"));
        assert_eq!(password("h", 6000, "app", "bob").as_deref(), Some("last"));
        assert_eq!(find("h:1:d:u", &Login { host: "h", port: 1, database: "d", user: "u" }), None);
    }
}

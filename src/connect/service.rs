//! libpq's connection service file: sections of parameters, by name.
//!
//! **Invariant:** pure but for [`complete`], which reads the files; a value leaves this room only as the parameter that
//! it is.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::keywords::is_space;
use super::parameters::{Parameters, unreadable};
use crate::error::{Error, Result};

/// The longest line that libpq reads.
const LONGEST_LINE: usize = 1023;

/// Where packages of PostgreSQL keep what holds for the whole machine: Debian's and Red Hat's.
const SYSTEM_DIRECTORIES: [&str; 2] = ["/etc/postgresql-common", "/etc/sysconfig/pgsql"];

/// Completes the parameters by those of the service that they, or else the environment, name: what was given stays.
pub(super) fn complete(parameters: &mut Parameters, variable: impl Fn(&str) -> Option<String>) -> Result<()> {
    let Some(service) = parameters.get("service").map(str::to_string).or_else(|| variable("PGSERVICE")) else {
        return Ok(());
    };
    for file in files(&variable) {
        let text = match std::fs::read_to_string(&file.path) {
            Ok(text) => text,
            Err(_) if !file.is_asked_for => continue,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let message = format!("service file \"{}\" not found", file.path.display());
                return Err(unreadable(message).hint("PGSERVICEFILE names it."));
            }
            Err(error) => {
                let message = format!("could not read service file \"{}\"", file.path.display());
                return Err(unreadable(message).caused_by(error));
            }
        };
        let section = Service::find(&text, &service).map_err(|defect| defect.of(&file.path))?;
        if let Some(Service(section)) = section {
            for (keyword, value) in section {
                parameters.complete(&keyword, &value).map_err(|_| parameters.unknown(&keyword))?;
            }
            return Ok(());
        }
    }
    Err(unreadable(format!("definition of service \"{service}\" not found"))
        .hint("It is looked for in PGSERVICEFILE or ~/.pg_service.conf, then in pg_service.conf of PGSYSCONFDIR."))
}

struct File {
    path: PathBuf,
    /// One that is not there is an error.
    is_asked_for: bool,
}

fn files(variable: &impl Fn(&str) -> Option<String>) -> Vec<File> {
    let own = match (variable("PGSERVICEFILE"), variable("HOME")) {
        (Some(path), _) => Some(File { path: path.into(), is_asked_for: true }),
        (None, home) => home.map(|home| Path::new(&home).join(".pg_service.conf")).map(File::maybe),
    };
    let given = variable("PGSYSCONFDIR").map(PathBuf::from);
    let system = given.map_or_else(|| SYSTEM_DIRECTORIES.map(PathBuf::from).to_vec(), |directory| vec![directory]);
    own.into_iter().chain(system.into_iter().map(|directory| File::maybe(directory.join("pg_service.conf")))).collect()
}

impl File {
    fn maybe(path: PathBuf) -> File {
        File { path, is_asked_for: false }
    }
}

/// The parameters of one section of a service file, in their order.
#[derive(Debug, PartialEq, Eq)]
pub struct Service(pub Vec<(String, String)>);

/// What is wrong with a line of a service file; lines are counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub enum Defect {
    /// It is longer than libpq reads.
    TooLong(usize),
    /// It is no parameter of libpq.
    Syntax(usize),
    /// It names a service itself.
    Nested(usize),
    /// It asks a directory server, which hypercopy does not do.
    Ldap(usize),
}

impl Service {
    /// The first section of this name in a service file's text, where there is one. What stands in other sections may
    /// be anything.
    ///
    /// # Errors
    /// The first defect of what is read: up to the end of the section.
    pub fn find(text: &str, name: &str) -> Result<Option<Service>, Defect> {
        let mut section: Option<Vec<(String, String)>> = None;
        for (number, line) in (1..).zip(text.lines()) {
            if line.len() >= LONGEST_LINE {
                return Err(Defect::TooLong(number));
            }
            let line = line.trim_matches(is_space);
            match (&mut section, line.strip_prefix('[')) {
                _ if line.is_empty() || line.starts_with('#') => {}
                (Some(_), Some(_)) => break,
                (None, Some(header)) => {
                    let is_it = header.strip_prefix(name).is_some_and(|rest| rest.starts_with(']'));
                    section = is_it.then(Vec::new);
                }
                (Some(section), None) => section.push(setting(line, number)?),
                (None, None) => {}
            }
        }
        Ok(section.map(Service))
    }
}

fn setting(line: &str, number: usize) -> Result<(String, String), Defect> {
    if line.starts_with("ldap") {
        return Err(Defect::Ldap(number));
    }
    let (keyword, value) = line.split_once('=').ok_or(Defect::Syntax(number))?;
    if keyword == "service" {
        return Err(Defect::Nested(number));
    }
    let is_known = super::parameters::PARAMETERS.iter().any(|parameter| parameter.keyword == keyword);
    if is_known { Ok((keyword.to_string(), value.to_string())) } else { Err(Defect::Syntax(number)) }
}

impl Defect {
    fn of(&self, file: &Path) -> Error {
        let file = file.display();
        unreadable(match self {
            Defect::TooLong(line) => format!("line {line} too long in service file \"{file}\""),
            Defect::Syntax(line) => format!("syntax error in service file \"{file}\", line {line}"),
            Defect::Nested(line) => {
                format!("nested service specifications not supported in service file \"{file}\", line {line}")
            }
            Defect::Ldap(line) => format!("LDAP is not supported in service file \"{file}\", line {line}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# all\n[a]\nhost=x\n port=7 \n\n[ab]\nnonsense\n[b]\nhost = y\n[c]\nservice=a\n[d]\nldap://x\n";

    #[test]
    fn a_section_reaches_to_the_next() {
        let found = |name| Service::find(FILE, name);
        let pair = |keyword: &str, value: &str| (keyword.to_string(), value.to_string());
        assert_eq!(found("a"), Ok(Some(Service(vec![pair("host", "x"), pair("port", "7")]))));
        assert_eq!(found("e"), Ok(None));
        assert_eq!(found("ab"), Err(Defect::Syntax(7)));
        // The keyword of this line ends in a space.
        assert_eq!(found("b"), Err(Defect::Syntax(9)));
        assert_eq!(found("c"), Err(Defect::Nested(11)));
        assert_eq!(found("d"), Err(Defect::Ldap(13)));
        assert_eq!(Service::find(&format!("{}\n[a]", "x".repeat(1023)), "a"), Err(Defect::TooLong(1)));
    }
}

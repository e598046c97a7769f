//! The servers that a conninfo names: `host`, `hostaddr` and `port`, each a list.
//!
//! **Invariant:** pure; looks no name up.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::parameters::{Parameters, number, unreadable};
use crate::error::Result;

/// Where a server of this machine listens when nothing else is said, by Debian's and Red Hat's packages.
const SOCKET_DIRECTORY: &str = "/var/run/postgresql";

const DEFAULT_PORT: u16 = 5432;

/// One server that may be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// As it was given: a name, an address, a socket's directory; empty where there is only a `hostaddr`.
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) port: u16,
}

/// How a server is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The file of a socket; a zero byte at its start makes it an abstract one.
    Socket(PathBuf),
    /// By a name that has to be looked up.
    Name(String),
    Address(IpAddr),
}

impl Host {
    /// The name to look a password up by: `localhost` is libpq's for the place where servers of this machine listen.
    pub(super) fn password_name(&self) -> String {
        match &self.place {
            Place::Socket(_) if Path::new(&self.name) == Path::new(SOCKET_DIRECTORY) => "localhost".to_string(),
            _ if !self.name.is_empty() => self.name.clone(),
            Place::Address(address) => address.to_string(),
            Place::Name(name) => name.clone(),
            Place::Socket(_) => "localhost".to_string(),
        }
    }

    /// `host:port`, for people.
    pub(super) fn shown(&self) -> String {
        match (&self.place, self.name.as_str()) {
            (Place::Address(address), "") => format!("{address}:{}", self.port),
            (_, name) => format!("{name}:{}", self.port),
        }
    }
}

/// The servers in the order in which they were given.
pub(super) fn hosts(parameters: &Parameters) -> Result<Vec<Host>> {
    let list = |keyword| parameters.get(keyword).filter(|text| !text.is_empty()).map(|text| text.split(','));
    let names: Option<Vec<&str>> = list("host").map(Iterator::collect);
    let addresses: Option<Vec<&str>> = list("hostaddr").map(Iterator::collect);
    let ports: Vec<&str> = list("port").map(Iterator::collect).unwrap_or_default();
    let count = addresses.as_ref().or(names.as_ref()).map_or(1, Vec::len);
    if let Some(names) = names.as_ref().filter(|names| names.len() != count) {
        let message = format!("could not match {} host names to {count} hostaddr values", names.len());
        return Err(unreadable(message));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(unreadable(format!("could not match {} port numbers to {count} hosts", ports.len())));
    }
    let part = |parts: &Option<Vec<&str>>, n: usize| parts.as_ref().map_or("", |parts| parts[n]).to_string();
    (0..count)
        .map(|n| {
            let port = port(ports.get(n).or(ports.first()).copied().unwrap_or_default())?;
            host(part(&names, n), &part(&addresses, n), port)
        })
        .collect()
}

fn host(name: String, address: &str, port: u16) -> Result<Host> {
    let in_directory = |directory: &str| {
        let file = Path::new(directory).join(format!(".s.PGSQL.{port}"));
        Place::Socket(match directory.strip_prefix('@') {
            Some(_) => format!("\0{}", &file.display().to_string()[1..]).into(),
            None => file,
        })
    };
    if !address.is_empty() {
        let message = || unreadable(format!("could not parse network address \"{address}\""));
        return Ok(Host { place: Place::Address(address.parse().map_err(|_| message())?), name, port });
    }
    Ok(match name.as_str() {
        "" if Path::new(SOCKET_DIRECTORY).is_dir() => {
            Host { place: in_directory(SOCKET_DIRECTORY), name: SOCKET_DIRECTORY.to_string(), port }
        }
        "" => Host { place: Place::Name("localhost".to_string()), name: "localhost".to_string(), port },
        directory if directory.starts_with(['/', '@']) => Host { place: in_directory(directory), name, port },
        _ => Host { place: name.parse().map_or_else(|_| Place::Name(name.clone()), Place::Address), name, port },
    })
}

fn port(text: &str) -> Result<u16> {
    if text.is_empty() {
        return Ok(DEFAULT_PORT);
    }
    let port = u16::try_from(number("port", text)?).ok().filter(|port| *port > 0);
    port.ok_or_else(|| unreadable(format!("invalid port number: \"{text}\"")).hint("A port is between 1 and 65535."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<Vec<String>> {
        Ok(hosts(&Parameters::parse(text)?)?.iter().map(Host::shown).collect())
    }

    #[test]
    fn one_port_serves_all_hosts_and_an_empty_one_is_the_default() {
        assert_eq!(shown("host=a,b port=7").unwrap(), ["a:7", "b:7"]);
        assert_eq!(shown("host=a,b port=7,").unwrap(), ["a:7", "b:5432"]);
        assert_eq!(shown("hostaddr=::1,10.0.0.1").unwrap(), ["::1:5432", "10.0.0.1:5432"]);
        assert_eq!(shown("host=a,b hostaddr=,10.0.0.1").unwrap(), ["a:5432", "b:5432"]);
        assert_eq!(shown("host=/tmp port=7").unwrap(), ["/tmp:7"]);
    }

    #[test]
    fn lists_that_do_not_fit_each_other_are_refused() {
        let message = |text| shown(text).unwrap_err().report();
        assert!(message("host=a,b port=1,2,3").contains("could not match 3 port numbers to 2 hosts"));
        assert!(message("host=a,b hostaddr=::1").contains("could not match 2 host names to 1 hostaddr values"));
        assert!(message("hostaddr=nowhere").contains("could not parse network address \"nowhere\""));
        assert!(message("port=0").contains("invalid port number: \"0\""));
        assert!(message("port=70000").contains("invalid port number: \"70000\""));
        assert!(message("port=x").contains("invalid integer value \"x\" for connection option \"port\""));
    }

    #[test]
    fn sockets_are_files_or_abstract() {
        let place = |text| hosts(&Parameters::parse(text).unwrap()).unwrap().remove(0).place;
        assert_eq!(place("host=/tmp port=7"), Place::Socket("/tmp/.s.PGSQL.7".into()));
        assert_eq!(place("host=@name port=7"), Place::Socket("\0name/.s.PGSQL.7".into()));
        assert_eq!(place("host=::1"), Place::Address("::1".parse().unwrap()));
    }
}

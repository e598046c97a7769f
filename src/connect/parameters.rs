//! libpq's connection parameters: their names, where they come from, and the values of one connection.
//!
//! The names, variables and defaults are those of PostgreSQL 17 (chapters "Parameter Key Words" and "Environment
//! Variables" of libpq's manual).
//!
//! **Invariant:** pure; knows no parameter's meaning, and shows no value.

use std::collections::BTreeMap;

use super::{keywords, uri};
use crate::error::{Error, Kind, Result};

/// One parameter.
pub(super) struct Parameter {
    /// Its name in a conninfo and in a service file.
    pub(super) keyword: &'static str,
    /// The environment's name for it.
    pub(super) variable: Option<&'static str>,
}

const fn parameter(keyword: &'static str, variable: &'static str) -> Parameter {
    Parameter { keyword, variable: Some(variable) }
}

const fn unnamed(keyword: &'static str) -> Parameter {
    Parameter { keyword, variable: None }
}

/// All that libpq knows.
pub(super) const PARAMETERS: &[Parameter] = &[
    parameter("service", "PGSERVICE"),
    parameter("user", "PGUSER"),
    parameter("password", "PGPASSWORD"),
    parameter("passfile", "PGPASSFILE"),
    parameter("channel_binding", "PGCHANNELBINDING"),
    parameter("connect_timeout", "PGCONNECT_TIMEOUT"),
    parameter("dbname", "PGDATABASE"),
    parameter("host", "PGHOST"),
    parameter("hostaddr", "PGHOSTADDR"),
    parameter("port", "PGPORT"),
    parameter("client_encoding", "PGCLIENTENCODING"),
    parameter("options", "PGOPTIONS"),
    parameter("application_name", "PGAPPNAME"),
    unnamed("fallback_application_name"),
    unnamed("keepalives"),
    unnamed("keepalives_idle"),
    unnamed("keepalives_interval"),
    unnamed("keepalives_count"),
    unnamed("tcp_user_timeout"),
    parameter("sslmode", "PGSSLMODE"),
    parameter("sslnegotiation", "PGSSLNEGOTIATION"),
    parameter("sslcompression", "PGSSLCOMPRESSION"),
    parameter("sslcert", "PGSSLCERT"),
    parameter("sslkey", "PGSSLKEY"),
    parameter("sslcertmode", "PGSSLCERTMODE"),
    unnamed("sslpassword"),
    parameter("sslrootcert", "PGSSLROOTCERT"),
    parameter("sslcrl", "PGSSLCRL"),
    parameter("sslcrldir", "PGSSLCRLDIR"),
    parameter("sslsni", "PGSSLSNI"),
    parameter("requirepeer", "PGREQUIREPEER"),
    parameter("require_auth", "PGREQUIREAUTH"),
    parameter("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    parameter("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    parameter("gssencmode", "PGGSSENCMODE"),
    parameter("krbsrvname", "PGKRBSRVNAME"),
    parameter("gsslib", "PGGSSLIB"),
    parameter("gssdelegation", "PGGSSDELEGATION"),
    unnamed("replication"),
    parameter("target_session_attrs", "PGTARGETSESSIONATTRS"),
    parameter("load_balance_hosts", "PGLOADBALANCEHOSTS"),
];

/// The values that were given, by keyword. Holds the password, and so is not for printing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Parameters(BTreeMap<&'static str, String>);

impl Parameters {
    /// Reads a connection string, a URI (`postgresql://…`) or keywords (`host=… dbname=…`), as libpq does. Nothing but
    /// what stands in the text is there afterwards.
    ///
    /// # Errors
    /// [`Kind::Usage`], in libpq's words; what may be a part of a password is not repeated.
    pub fn parse(text: &str) -> Result<Parameters> {
        match ["postgresql://", "postgres://"].iter().find_map(|prefix| text.strip_prefix(prefix)) {
            Some(rest) => uri::parse(rest),
            None => keywords::parse(text),
        }
    }

    /// The value of a parameter, where one was given.
    pub fn get(&self, keyword: &str) -> Option<&str> {
        self.0.get(keyword).map(String::as_str)
    }

    /// All that was given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(keyword, value)| (*keyword, value.as_str()))
    }

    /// Gives a parameter its value, whatever it had.
    pub(super) fn set(&mut self, keyword: &str, value: &str) -> Result<(), Unknown> {
        let (keyword, value) = match keyword {
            // What sslmode was called once.
            "requiressl" => ("sslmode", if value.starts_with('1') { "require" } else { "prefer" }),
            _ => (keyword, value),
        };
        let known = PARAMETERS.iter().find(|parameter| parameter.keyword == keyword).ok_or(Unknown)?;
        self.0.insert(known.keyword, value.to_string());
        Ok(())
    }

    /// Gives a parameter a value if it has none.
    pub(super) fn complete(&mut self, keyword: &str, value: &str) -> Result<(), Unknown> {
        if self.0.contains_key(keyword) { Ok(()) } else { self.set(keyword, value) }
    }

    /// A word that the reader of the text does not understand, for an error: not where a password was read, because
    /// the word may be the rest of that.
    pub(super) fn shown(&self, word: &str) -> String {
        match self.0.contains_key("password") {
            true => "not shown: it stands behind a password".to_string(),
            false => format!("\"{word}\""),
        }
    }

    pub(super) fn unknown(&self, keyword: &str) -> Error {
        unreadable(format!("invalid connection option {}", self.shown(keyword))).hint(QUOTING)
    }
}

/// No parameter of libpq has this name.
#[derive(Debug)]
pub(super) struct Unknown;

/// A conninfo that means nothing.
pub(super) fn unreadable(message: impl Into<String>) -> Error {
    Error::new(Kind::Usage, message)
}

/// How values with odd characters are written.
pub(super) const QUOTING: &str = "In a URI write an @ of the user's name or password as %40, a : as %3A and a / as %2F; in \
                                  keyword form put a value with spaces into single quotes.";

#[cfg(test)]
mod tests {
    use super::*;

    /// The one value that a text gives a keyword.
    fn value(text: &str, keyword: &str) -> Option<String> {
        Parameters::parse(text).unwrap_or_else(|error| panic!("{}", error.report())).get(keyword).map(str::to_string)
    }

    fn refused(text: &str) -> String {
        match Parameters::parse(text) {
            Ok(_) => panic!("{text} is taken"),
            Err(error) => error.report(),
        }
    }

    #[test]
    fn keywords_are_quoted_as_libpq_has_it() {
        for (text, host) in [
            ("host=a", "a"),
            (" host = a\tport=1", "a"),
            ("host='a b' port=1", "a b"),
            ("host='it\\'s' port=1", "it's"),
            ("host=a\\ b port=1", "a b"),
            ("host='a'port=1", "a"),
            ("host='' port=1", ""),
            ("host= port", "port"),
            ("host=a\\", "a"),
            ("host=a host=b", "b"),
        ] {
            assert_eq!(value(text, "host").as_deref(), Some(host), "{text}");
        }
        assert_eq!(value("requiressl=1", "sslmode").as_deref(), Some("require"));
        assert!(refused("host").contains("missing \"=\" after \"host\" in connection info string"));
        assert!(refused("host port=1").contains("missing \"=\" after \"host\""));
        assert!(refused("host='a").contains("unterminated quoted string in connection info string"));
        assert!(refused("nonsense=1").contains("invalid connection option \"nonsense\""));
        assert!(refused("=1").contains("invalid connection option \"\""));
    }

    #[test]
    fn a_uri_has_all_its_parts_or_none() {
        for (text, keyword, expected) in [
            ("postgresql://", "host", None),
            ("postgres://h", "host", Some("h")),
            ("postgresql://ann:p%40ss@h:7/d%20b", "password", Some("p@ss")),
            ("postgresql://ann:p?q@h:7/d", "password", Some("p?q")),
            ("postgresql://ann:p%40ss@h:7/d%20b", "dbname", Some("d b")),
            ("postgresql://ann@/d", "host", None),
            ("postgresql://ann@/d", "user", Some("ann")),
            ("postgresql://:secret@h", "user", None),
            ("postgresql://%2Fvar%2Frun/d", "host", Some("/var/run")),
            ("postgresql:///d?host=/var/run", "host", Some("/var/run")),
            ("postgresql://[::1]:7/d", "host", Some("::1")),
            ("postgresql://[::1]", "host", Some("::1")),
            ("postgresql://a:1,b,[::2]:3/d", "host", Some("a,b,::2")),
            ("postgresql://a:1,b,[::2]:3/d", "port", Some("1,,3")),
            ("postgresql://a,b", "port", Some(",")),
            ("postgresql://h/", "dbname", None),
            ("postgresql://h?sslmode=require", "sslmode", Some("require")),
            ("postgresql://h/d?ssl=true", "sslmode", Some("require")),
            ("postgresql://h/d?options=-c%20a%3Db", "options", Some("-c a=b")),
            ("postgresql://h:7/d?options=a@b&", "options", Some("a@b")),
            ("postgresql://h:7/d?options=a@b&", "port", Some("7")),
        ] {
            assert_eq!(value(text, keyword).as_deref(), expected, "{text}");
        }
        for (text, said) in [
            ("postgresql://[::1/d", "end of string reached when looking for matching \"]\""),
            ("postgresql://[]/d", "IPv6 host address may not be empty in URI"),
            ("postgresql://[::1]x/d", "unexpected character \"x\""),
            ("postgresql://h/d?a=b=c", "extra key/value separator \"=\" in URI query parameter"),
            ("postgresql://h/d?a", "missing key/value separator \"=\" in URI query parameter: \"a\""),
            ("postgresql://h/d?user=bob&&", "missing key/value separator"),
            ("postgresql://h/d?a=b", "invalid URI query parameter: \"a\""),
            ("postgresql://h/d%2", "invalid percent-encoded token"),
            ("postgresql://h/d%zz", "invalid percent-encoded token"),
            ("postgresql://h/d%00", "forbidden value %00 in percent-encoded value"),
            ("postgresql://h/d%ff", "not UTF-8"),
        ] {
            assert!(refused(text).contains(said), "{text}: {}", refused(text));
        }
    }

    #[test]
    fn no_error_shows_a_part_of_a_password() {
        for text in [
            "host=h password=hunter2 nonsense=hunter2",
            "host=h password=hun ter2",
            "host=h password=hun ter2=x",
            "host=h password='hun' ter2'",
            "postgresql://bob:hun@ter2@localhost:1/d",
            "postgresql://bob:hun@h/ter2@localhost:1/d",
            "postgresql://bob:hun@h?ter2=x@localhost:1/d",
            "postgresql://bob:hun@h?ter2@localhost:1/d",
            "postgresql://bob:ter2/x@localhost:1/d",
            "postgresql://bob:ter2%zz@localhost:1/d",
            "postgresql://bob:hun@[ter2/d",
            "postgresql://bob:hun@[h]ter2/d",
        ] {
            assert!(!refused(text).contains("ter2"), "{}", refused(text));
        }
    }
}

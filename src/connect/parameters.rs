//! libpq's connection parameters: their names, where they come from, and the values of one connection.
//!
//! The names, variables and defaults are those of PostgreSQL 17 (chapters "Parameter Key Words" and "Environment
//! Variables" of libpq's manual).
//!
//! **Invariant:** pure; knows no parameter's meaning, and shows no value.

use std::collections::BTreeMap;

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
    /// The value of a parameter, where one was given.
    pub fn get(&self, keyword: &str) -> Option<&str> {
        self.0.get(keyword).map(String::as_str)
    }

    /// The value of a parameter, where it is not empty.
    pub(super) fn given(&self, keyword: &str) -> Option<&str> {
        self.get(keyword).filter(|value| !value.is_empty())
    }

    /// What one of a few words means.
    pub(super) fn choice<T: Copy>(&self, keyword: &str, names: &[(&str, T)], default: T) -> Result<T> {
        let Some(value) = self.get(keyword) else { return Ok(default) };
        names.iter().find(|(name, _)| *name == value).map(|(_, meaning)| *meaning).ok_or_else(|| {
            let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
            unreadable(format!("invalid {keyword} value: \"{value}\"")).hint(format!("It takes {}.", names.join(", ")))
        })
    }

    /// A number, as C reads one, where the parameter has a value.
    pub(super) fn number(&self, keyword: &str) -> Result<Option<i32>> {
        self.get(keyword).map(|text| number(keyword, text)).transpose()
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

/// A number, as C reads one.
pub(super) fn number(keyword: &str, text: &str) -> Result<i32> {
    text.trim()
        .parse()
        .map_err(|_| unreadable(format!("invalid integer value \"{text}\" for connection option \"{keyword}\"")))
}

/// How values with odd characters are written.
pub(super) const QUOTING: &str = "In a URI write an @ of the user's name or password as %40, a : as %3A and a / as %2F; in \
                                  keyword form put a value with spaces into single quotes.";

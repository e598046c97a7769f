//! Where a server is: a conninfo string, completed by the `PG*` environment.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::passfile::{self, Login};
use crate::error::{Context, Error, Kind, Result};

/// A server and database to connect to. Holds the password, and shows neither it nor itself.
#[derive(Clone)]
pub struct Conninfo {
    config: Config,
    /// Set once the server has said that it has no TLS, where that is no error: it need not be asked each time.
    lacks_tls: Arc<AtomicBool>,
}

impl Conninfo {
    /// Parses what tokio-postgres parses, a URI (`postgresql://user@host:port/database`) or keywords
    /// (`host=… dbname=…`), and fills what is missing from `environment` (`PGHOST`, `PGPORT`, `PGDATABASE`, `PGUSER`,
    /// `PGPASSWORD`, `PGSSLMODE`, `PGOPTIONS`, `PGTZ`, `PGDATESTYLE`, `PGCONNECT_TIMEOUT`), then from the password file and libpq's defaults.
    ///
    /// # Errors
    /// [`Kind::Usage`]; the text itself is not repeated, because it may hold a password.
    pub fn parse(text: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Conninfo> {
        let mut config: Config = text.parse().map_err(unreadable)?;
        refuse_misplaced_password(&config)?;
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            default_host(&mut config, variable("PGHOST"));
        }
        if let (true, Some(port)) = (config.get_ports().is_empty(), variable("PGPORT")) {
            config.port(number("PGPORT", &port)?);
        }
        if let (None, Some(user)) = (config.get_user(), variable("PGUSER")) {
            config.user(user);
        }
        if let (None, Some(password)) = (config.get_password(), variable("PGPASSWORD")) {
            config.password(password);
        }
        if let (None, Some(database)) = (config.get_dbname(), variable("PGDATABASE")) {
            config.dbname(database);
        }
        if let (None, Some(options)) = (config.get_options(), variable("PGOPTIONS")) {
            config.options(options);
        }
        for (name, setting) in [("PGTZ", "TimeZone"), ("PGDATESTYLE", "DateStyle")] {
            if let Some(value) = variable(name) {
                add_option(&mut config, setting, &value);
            }
        }
        if let (None, Some(seconds)) = (config.get_connect_timeout(), variable("PGCONNECT_TIMEOUT")) {
            config.connect_timeout(Duration::from_secs(number("PGCONNECT_TIMEOUT", &seconds)?));
        }
        if let (false, Some(mode)) = (text.contains("sslmode="), variable("PGSSLMODE")) {
            config.ssl_mode(ssl_mode(&mode)?);
        }
        if config.get_password().is_none() {
            password_of_file(&mut config, &variable);
        }
        notice_silence(&mut config);
        Ok(Conninfo { config, lacks_tls: Arc::default() })
    }

    /// `host:port/database` for people: never the password, never the user's options.
    pub fn endpoint(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            #[cfg(unix)]
            Some(Host::Unix(path)) => path.display().to_string(),
            None => self.config.get_hostaddrs().first().map(ToString::to_string).unwrap_or_default(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or("");
        format!("{host}:{port}/{database}")
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn lacks_tls(&self) -> &AtomicBool {
        &self.lacks_tls
    }

    /// How long a whole connect may take, TLS and authentication included; a minute unless the conninfo says.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.config.get_connect_timeout().copied().unwrap_or(Duration::from_secs(60))
    }
}

/// A setting of the session, as libpq passes one from the environment: it wins over what the options say.
fn add_option(config: &mut Config, setting: &str, value: &str) {
    let value = value.replace('\\', "\\\\").replace(' ', "\\ ");
    let given = config.get_options().unwrap_or_default();
    config.options(format!("{given} -c {setting}={value}").trim_start());
}

/// libpq's password file, `PGPASSFILE` or `~/.pgpass`, for the first host.
fn password_of_file(config: &mut Config, variable: &impl Fn(&str) -> Option<String>) {
    let home = || variable("HOME").map(|home| Path::new(&home).join(".pgpass"));
    let Some(file) = variable("PGPASSFILE").map(PathBuf::from).or_else(home) else { return };
    let host = match (config.get_hosts().first(), config.get_hostaddrs().first()) {
        (Some(Host::Tcp(name)), _) => name.clone(),
        // libpq's name for the place where servers of this machine listen.
        (Some(Host::Unix(path)), _) if path == Path::new(SOCKET_DIRECTORY) => "localhost".to_string(),
        (Some(Host::Unix(path)), _) => path.display().to_string(),
        (None, Some(address)) => address.to_string(),
        (None, None) => return,
    };
    let Some(user) = config.get_user().map(str::to_string).or_else(|| variable("USER")) else { return };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().unwrap_or(&user);
    if let Some(password) = passfile::password(&file, &Login { host: &host, port, database, user: &user }) {
        config.password(password);
    }
}

/// Where servers of this machine listen.
const SOCKET_DIRECTORY: &str = "/var/run/postgresql";

/// A server that is gone without a word is noticed within two minutes also while nothing is sent; by default it would take
/// more than two hours.
fn notice_silence(config: &mut Config) {
    const DEFAULT_IDLE: Duration = Duration::from_secs(2 * 60 * 60);
    if config.get_keepalives_idle() == DEFAULT_IDLE {
        config.keepalives_idle(Duration::from_secs(60));
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(Duration::from_secs(10));
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(6);
    }
}

/// In a URI an `@` of the password has to be written `%40`; otherwise the rest of it is taken for the host, or for the
/// database, and shown.
fn refuse_misplaced_password(config: &Config) -> Result<()> {
    let is_odd = |host: &Host| matches!(host, Host::Tcp(name) if name.contains('@'));
    let part = match (config.get_hosts().iter().any(is_odd), config.get_dbname()) {
        (true, _) => "host",
        (false, Some(database)) if database.contains('@') => "database",
        _ => return Ok(()),
    };
    Err(Error::new(Kind::Usage, format!("the conninfo's {part} has an @ in it")).hint(MISPLACED_PASSWORD))
}

const MISPLACED_PASSWORD: &str = "In a URI write an @ of the user's name or password as %40, a : as %3A and a / as %2F; in \
                                  keyword form put a password with spaces into single quotes.";

/// Parameters of libpq that tokio-postgres does not take. Any other word that it does not know may be a part of a password.
const NOT_TAKEN: [&str; 12] = [
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslcrl",
    "passfile",
    "service",
    "require_auth",
    "client_encoding",
    "fallback_application_name",
    "gssencmode",
    "krbsrvname",
];

fn unreadable(error: tokio_postgres::Error) -> Error {
    let said = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    let is_harmless = said.starts_with("invalid value for option `")
        || NOT_TAKEN.iter().any(|name| said == format!("unknown option `{name}`"));
    let unreadable = Error::new(Kind::Usage, "cannot read the conninfo");
    if is_harmless { unreadable.caused_by(error) } else { unreadable.hint(MISPLACED_PASSWORD) }
}

/// libpq's order: the variable, the directory where servers of this machine listen, localhost.
fn default_host(config: &mut Config, variable: Option<String>) {
    match variable {
        Some(hosts) => hosts.split(',').for_each(|host| {
            config.host(host);
        }),
        None if std::path::Path::new(SOCKET_DIRECTORY).is_dir() => {
            config.host_path(SOCKET_DIRECTORY);
        }
        None => {
            config.host("localhost");
        }
    }
}

/// Whenever TLS is used the certificate and the name in it are verified, so `verify-full` asks for what `require`
/// already does here.
fn ssl_mode(mode: &str) -> Result<SslMode> {
    match mode {
        "disable" => Ok(SslMode::Disable),
        "allow" | "prefer" => Ok(SslMode::Prefer),
        "require" | "verify-ca" | "verify-full" => Ok(SslMode::Require),
        _ => Err(Error::new(Kind::Usage, format!("PGSSLMODE is \"{mode}\""))
            .hint("It takes disable, allow, prefer, require, verify-ca or verify-full.")),
    }
}

fn number<T: std::str::FromStr<Err = std::num::ParseIntError>>(name: &str, value: &str) -> Result<T> {
    value.parse().doing(Kind::Usage, || format!("{name} is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Conninfo> {
        Conninfo::parse(text, |name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string()))
    }

    #[test]
    fn the_environment_fills_what_the_text_leaves_out() {
        let environment = [("PGHOST", "db.example"), ("PGPORT", "6000"), ("PGDATABASE", "metrics"), ("PGUSER", "ann")];
        assert_eq!(parse("", &environment).unwrap().endpoint(), "db.example:6000/metrics");
        assert_eq!(parse("host=a port=1 dbname=b", &environment).unwrap().endpoint(), "a:1/b");
        assert_eq!(parse("postgresql://bob@h:7/d", &environment).unwrap().endpoint(), "h:7/d");
    }

    #[test]
    fn no_error_and_no_endpoint_shows_a_password() {
        let shown = parse("postgresql://bob:hunter2@h/d", &[]).unwrap().endpoint();
        assert!(!shown.contains("hunter2"));
        let error = parse("host=h password=hunter2 nonsense=hunter2", &[]).err().unwrap();
        assert!(!error.report().contains("hunter2"), "{}", error.report());
        let error = parse("postgresql://bob:hun@ter2@localhost:1/d", &[]).err().unwrap();
        assert!(!error.report().contains("ter2"), "{}", error.report());
        for text in [
            "postgresql://bob:hun@h/ter2@localhost:1/d",
            "postgresql://bob:hun@h?ter2=x@localhost:1/d",
            "postgresql://bob:hun@h?ter2@localhost:1/d",
            "host=h password=hun ter2",
            "host=h password=hun ter2=x",
        ] {
            let error = parse(text, &[]).err().expect(text);
            assert!(!error.report().contains("ter2"), "{}", error.report());
        }
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let report = |text| parse(text, &[]).err().unwrap().report();
        assert!(report("postgresql://bob:hunter2@h/d?sslrootcert=ca.pem").contains("unknown option `sslrootcert`"));
        assert!(report("host=h port=x").contains("invalid value for option `port`"));
    }

    #[test]
    fn keepalives_are_those_asked_for_or_short() {
        let idle = |text| parse(text, &[]).unwrap().config.get_keepalives_idle().as_secs();
        assert_eq!((idle(""), idle("keepalives_idle=5")), (60, 5));
    }

    #[test]
    fn a_bad_variable_is_named() {
        assert_eq!(parse("", &[("PGPORT", "x")]).err().unwrap().message(), "PGPORT is not a number");
        assert_eq!(parse("", &[("PGSSLMODE", "maybe")]).err().unwrap().kind(), Kind::Usage);
    }
}

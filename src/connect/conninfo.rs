//! Where a server is and how it is spoken to: a connection string, completed as libpq completes it.
//!
//! What the text leaves out comes from the service file, then from the `PG*` environment, then from libpq's defaults; a
//! password that is still missing from the password file, for each server its own.
//!
//! **Invariant:** no text from here shows a password.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_postgres::config::ChannelBinding;

use super::authentication::RequireAuth;
use super::hosts::{Host, hosts};
use super::parameters::{PARAMETERS, Parameters, unreadable};
use super::passfile::{self, Login, find_password};
use super::service;
use super::session_attributes::SessionAttributes;
use super::tls::Tls;
use super::transport::{Address, Keepalives, Patience, Route};
use crate::error::{Error, Kind, Result};

/// Servers and a database to connect to. Holds the password, and shows neither it nor itself.
#[derive(Clone)]
pub struct Conninfo {
    terms: Arc<Terms>,
    state: Arc<Mutex<State>>,
    tell: fn(&str),
}

/// What was found out, for all who connect with the same conninfo.
#[derive(Default)]
struct State {
    /// The server that the last connection went to.
    settled: Option<usize>,
    /// What was told already.
    warnings: Vec<String>,
}

/// What the parameters mean.
pub(super) struct Terms {
    pub(super) servers: Vec<Server>,
    pub(super) user: String,
    pub(super) database: String,
    pub(super) options: String,
    /// Where the passwords of the servers are from, if they are from a file.
    pub(super) password_file: Option<PathBuf>,
    pub(super) attributes: SessionAttributes,
    is_random: bool,
    /// How long a whole connect to one address may take, TLS and authentication included; `None` for as long as it takes.
    pub(super) timeout: Option<Duration>,
    patience: Patience,
    pub(super) require_auth: RequireAuth,
    pub(super) require_auth_text: String,
    require_peer: Option<String>,
    pub(super) channel_binding: ChannelBinding,
    pub(super) tls: Arc<Tls>,
}

/// One server, and the password that is meant for it.
pub(super) struct Server {
    pub(super) host: Host,
    pub(super) password: Option<String>,
}

impl Conninfo {
    /// Parses a URI (`postgresql://user@host:port/database`) or keywords (`host=… dbname=…`), and completes it as libpq
    /// does: from the service file, from the variables of `environment`, which also answers `HOME`, and from the password
    /// file. An empty variable is none.
    ///
    /// # Errors
    /// [`Kind::Usage`], in libpq's words; the text itself is not repeated, because it may hold a password.
    pub fn parse(text: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Conninfo> {
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        let mut parameters = Parameters::parse(text)?;
        service::complete(&mut parameters, variable)?;
        complete(&mut parameters, &variable);
        let mut state = State::default();
        let terms = Arc::new(Terms::new(&parameters, &variable, &mut state.warnings)?);
        Ok(Conninfo { terms, state: Arc::new(Mutex::new(state)), tell: |_| {} })
    }

    /// Whom to tell what a person should know: of files that are left alone, and of passwords that travel in the clear.
    /// What was found so far is told at once, everything once.
    #[must_use]
    pub fn telling(self, tell: fn(&str)) -> Conninfo {
        self.state.lock().expect("no holder of a conninfo panics").warnings.iter().for_each(|warning| tell(warning));
        Conninfo { tell, ..self }
    }

    /// `host:port/database` for people, of the server that was connected to, before that of all that may be: never the
    /// password, never the user's options.
    pub fn endpoint(&self) -> String {
        let settled = self.state.lock().expect("no holder of a conninfo panics").settled;
        let servers = match settled {
            Some(number) => &self.terms.servers[number..=number],
            None => &self.terms.servers,
        };
        let shown: Vec<String> = servers.iter().map(|server| server.host.shown()).collect();
        format!("{}/{}", shown.join(","), self.terms.database)
    }

    pub(super) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Tells a person something, once.
    pub(super) fn warn(&self, warning: &str) {
        let mut state = self.state.lock().expect("no holder of a conninfo panics");
        if !state.warnings.iter().any(|told| told == warning) {
            state.warnings.push(warning.to_string());
            (self.tell)(warning);
        }
    }

    /// The numbers of the servers in the order in which they are tried.
    pub(super) fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.terms.servers.len()).collect();
        self.terms.shuffle(&mut order);
        if let Some(settled) = self.state.lock().expect("no holder of a conninfo panics").settled {
            order.retain(|number| *number != settled);
            order.insert(0, settled);
        }
        order
    }

    /// This server is the one.
    pub(super) fn settle(&self, number: usize) {
        self.state.lock().expect("no holder of a conninfo panics").settled = Some(number);
    }
}

/// What the environment has for parameters that nobody has given.
fn complete(parameters: &mut Parameters, variable: &impl Fn(&str) -> Option<String>) {
    for parameter in PARAMETERS {
        if let Some(value) = parameter.variable.and_then(variable) {
            // All of them are known.
            let _ = parameters.complete(parameter.keyword, &value);
        }
    }
    // What PGSSLMODE was called once.
    if variable("PGREQUIRESSL").is_some_and(|value| value.starts_with('1')) {
        let _ = parameters.complete("sslmode", "require");
    }
}

impl Terms {
    fn new(
        parameters: &Parameters,
        variable: &impl Fn(&str) -> Option<String>,
        warnings: &mut Vec<String>,
    ) -> Result<Terms> {
        refuse_unsupported(parameters)?;
        let home = variable("HOME").map(PathBuf::from);
        let user = match given(parameters, "user") {
            Some(user) => user.to_string(),
            None => whoami::username().map_err(|error| {
                Error::new(Kind::Usage, "cannot find out the name of the operating system's user")
                    .caused_by(error)
                    .hint("Name the user in the conninfo, or in PGUSER.")
            })?,
        };
        let database = given(parameters, "dbname").unwrap_or(&user).to_string();
        let tls = Tls::new(parameters, home.as_deref())?;
        if let Some(file) = tls.missing_roots().filter(|_| given(parameters, "sslrootcert").is_some()) {
            warnings.push(format!("root certificate file \"{}\" does not exist", file.display()));
        }
        let mut terms = Terms {
            servers: Vec::new(),
            user,
            database,
            options: options(parameters, variable),
            password_file: None,
            attributes: choice(parameters, "target_session_attrs", &SessionAttributes::NAMES, SessionAttributes::Any)?,
            is_random: choice(parameters, "load_balance_hosts", &[("disable", false), ("random", true)], false)?,
            timeout: timeout(parameters)?,
            patience: patience(parameters)?,
            require_auth: given(parameters, "require_auth").map_or(Ok(RequireAuth::default()), RequireAuth::parse)?,
            require_auth_text: given(parameters, "require_auth").unwrap_or_default().to_string(),
            require_peer: given(parameters, "requirepeer").map(str::to_string),
            channel_binding: choice(parameters, "channel_binding", CHANNEL_BINDINGS, ChannelBinding::Prefer)?,
            tls: Arc::new(tls),
        };
        terms.add_servers(parameters, home.as_deref(), warnings)?;
        Ok(terms)
    }

    fn add_servers(&mut self, parameters: &Parameters, home: Option<&Path>, warnings: &mut Vec<String>) -> Result<()> {
        let hosts = hosts(parameters)?;
        if let Some(password) = given(parameters, "password") {
            let password = || Some(password.to_string());
            self.servers = hosts.into_iter().map(|host| Server { host, password: password() }).collect();
            return Ok(());
        }
        let file = given(parameters, "passfile").map(PathBuf::from).or_else(|| home.map(|home| home.join(".pgpass")));
        let text = file.as_deref().map(passfile::read).unwrap_or(Ok(String::new()));
        let text = text.unwrap_or_else(|warning| {
            warnings.push(warning);
            String::new()
        });
        let password = |host: &Host| {
            let name = host.password_name();
            find_password(&text, &Login { host: &name, port: host.port, database: &self.database, user: &self.user })
        };
        let servers = hosts.into_iter().map(|host| Server { password: password(&host), host }).collect();
        (self.servers, self.password_file) = (servers, file);
        Ok(())
    }

    /// The way to a server at one of its addresses.
    pub(super) fn route(&self, server: &Server, address: Address) -> Route {
        Route {
            address,
            host: server.host.name.clone(),
            patience: self.patience.clone(),
            require_peer: self.require_peer.clone(),
            tls: Arc::clone(&self.tls),
        }
    }

    /// Puts what is to be tried into another order, where the load is to be balanced.
    pub(super) fn shuffle<T>(&self, tried: &mut [T]) {
        if !self.is_random {
            return;
        }
        for last in (1..tried.len()).rev() {
            tried.swap(last, random(last + 1));
        }
    }
}

/// A number below this; all of them are as likely, but for what a remainder costs.
fn random(below: usize) -> usize {
    let mut bytes = [0; 8];
    // Without randomness the order is a given one, which is an order, too.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    (u64::from_ne_bytes(bytes) % below as u64) as usize
}

const CHANNEL_BINDINGS: &[(&str, ChannelBinding)] =
    &[("disable", ChannelBinding::Disable), ("prefer", ChannelBinding::Prefer), ("require", ChannelBinding::Require)];

/// What libpq would do, and this does not.
fn refuse_unsupported(parameters: &Parameters) -> Result<()> {
    let modes = &[("disable", false), ("prefer", false), ("require", true)];
    if choice(parameters, "gssencmode", modes, false)? {
        return Err(unreadable("gssencmode=require is not supported: hypercopy speaks no GSSAPI")
            .hint("Encrypt by TLS: gssencmode=disable sslmode=verify-full."));
    }
    let off = ["", "0", "false", "off", "no"];
    match given(parameters, "replication") {
        Some(mode) if !off.contains(&mode) => {
            Err(unreadable("a replication connection cannot copy tables")
                .hint("Leave replication out of the conninfo."))
        }
        _ => Ok(()),
    }
}

/// The options of the server's command line, with the variables that libpq passes on as settings; those come last and win.
fn options(parameters: &Parameters, variable: &impl Fn(&str) -> Option<String>) -> String {
    let mut options = given(parameters, "options").unwrap_or_default().to_string();
    for (name, setting) in [("PGTZ", "TimeZone"), ("PGDATESTYLE", "DateStyle"), ("PGGEQO", "geqo")] {
        if let Some(value) = variable(name) {
            let value = value.replace('\\', "\\\\").replace(' ', "\\ ");
            options.push_str(&format!(" -c {setting}={value}"));
        }
    }
    options.trim_start().to_string()
}

/// A minute unless it is given; what is not positive is for ever.
fn timeout(parameters: &Parameters) -> Result<Option<Duration>> {
    match parameters.get("connect_timeout") {
        None => Ok(Some(Duration::from_secs(60))),
        Some(text) => {
            let seconds = u64::try_from(integer("connect_timeout", text)?).unwrap_or_default();
            Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
        }
    }
}

/// A server that is gone without a word is noticed within two minutes also while nothing is sent; by the system's defaults it
/// would take more than two hours.
fn patience(parameters: &Parameters) -> Result<Patience> {
    let number = |keyword: &str, default: u32| match parameters.get(keyword) {
        None => Ok(default),
        Some(text) => Ok(u32::try_from(integer(keyword, text)?).ok().filter(|number| *number > 0).unwrap_or(default)),
    };
    let seconds = |keyword, default| Ok::<_, Error>(Duration::from_secs(number(keyword, default)?.into()));
    let keepalives = Keepalives {
        idle: seconds("keepalives_idle", 60)?,
        interval: seconds("keepalives_interval", 10)?,
        count: number("keepalives_count", 6)?,
    };
    let is_kept_alive = match parameters.get("keepalives") {
        None => true,
        Some(text) => integer("keepalives", text)? != 0,
    };
    Ok(Patience { keepalives: is_kept_alive.then_some(keepalives), user_timeout_ms: number("tcp_user_timeout", 0)? })
}

/// A value that is not empty.
pub(super) fn given<'p>(parameters: &'p Parameters, keyword: &str) -> Option<&'p str> {
    parameters.get(keyword).filter(|value| !value.is_empty())
}

/// What one of a few words means.
pub(super) fn choice<T: Copy>(parameters: &Parameters, keyword: &str, names: &[(&str, T)], default: T) -> Result<T> {
    let Some(value) = parameters.get(keyword) else { return Ok(default) };
    names.iter().find(|(name, _)| *name == value).map(|(_, meaning)| *meaning).ok_or_else(|| {
        let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        unreadable(format!("invalid {keyword} value: \"{value}\"")).hint(format!("It takes {}.", names.join(", ")))
    })
}

/// A number, as C reads one.
pub(super) fn integer(keyword: &str, text: &str) -> Result<i32> {
    text.trim()
        .parse()
        .map_err(|_| unreadable(format!("invalid integer value \"{text}\" for connection option \"{keyword}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Conninfo> {
        Conninfo::parse(text, |name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string()))
    }

    fn refused(text: &str, variables: &[(&str, &str)]) -> String {
        parse(text, variables).err().expect(text).report()
    }

    #[test]
    fn the_environment_fills_what_the_text_leaves_out() {
        let environment = [("PGHOST", "db.example"), ("PGPORT", "6000"), ("PGDATABASE", "metrics"), ("PGUSER", "ann")];
        assert_eq!(parse("", &environment).unwrap().endpoint(), "db.example:6000/metrics");
        assert_eq!(parse("host=a port=1 dbname=b", &environment).unwrap().endpoint(), "a:1/b");
        assert_eq!(parse("postgresql://bob@h:7/d", &environment).unwrap().endpoint(), "h:7/d");
        assert_eq!(parse("host=a,b port=1,2", &environment).unwrap().endpoint(), "a:1,b:2/metrics");
        assert_eq!(parse("host=a dbname=", &environment).unwrap().endpoint(), "a:6000/ann");
    }

    #[test]
    fn no_endpoint_shows_a_password() {
        let shown = parse("postgresql://bob:hunter2@h/d", &[]).unwrap().endpoint();
        assert!(!shown.contains("hunter2"));
    }

    #[test]
    fn the_server_that_did_comes_first() {
        let conninfo = parse("host=a,b,c load_balance_hosts=random", &[]).unwrap();
        conninfo.clone().settle(1);
        for _ in 0..20 {
            let mut order = conninfo.order();
            assert_eq!(order[0], 1);
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2]);
        }
        assert_eq!(conninfo.endpoint(), "b:5432/".to_string() + &conninfo.terms.database);
    }

    #[test]
    fn keepalives_are_those_asked_for_or_short() {
        let keepalives = |text| parse(text, &[]).unwrap().terms.patience.keepalives.clone();
        let idle = |text| keepalives(text).unwrap().idle.as_secs();
        assert_eq!((idle(""), idle("keepalives_idle=5"), idle("keepalives_idle=0")), (60, 5, 60));
        assert_eq!(keepalives("keepalives=0"), None);
        let timeout = |text| parse(text, &[]).unwrap().terms.patience.user_timeout_ms;
        assert_eq!((timeout(""), timeout("tcp_user_timeout=30000")), (0, 30000));
    }

    #[test]
    fn a_connect_takes_a_minute_or_what_is_given() {
        let seconds = |text, variables| parse(text, variables).unwrap().terms.timeout.map(|limit| limit.as_secs());
        assert_eq!(seconds("", &[]), Some(60));
        assert_eq!(seconds("connect_timeout=0", &[]), None);
        assert_eq!(seconds("connect_timeout=-1", &[]), None);
        assert_eq!(seconds("", &[("PGCONNECT_TIMEOUT", "7")]), Some(7));
    }

    #[test]
    fn values_without_a_meaning_are_refused_in_libpqs_words() {
        for (text, said) in [
            ("sslmode=maybe", "invalid sslmode value: \"maybe\""),
            ("sslmode=", "invalid sslmode value: \"\""),
            ("channel_binding=x", "invalid channel_binding value: \"x\""),
            ("target_session_attrs=x", "invalid target_session_attrs value: \"x\""),
            ("load_balance_hosts=x", "invalid load_balance_hosts value: \"x\""),
            ("sslnegotiation=x", "invalid sslnegotiation value: \"x\""),
            ("sslcertmode=x", "invalid sslcertmode value: \"x\""),
            ("gssencmode=x", "invalid gssencmode value: \"x\""),
            ("gssencmode=require", "gssencmode=require is not supported"),
            ("ssl_min_protocol_version=x", "invalid \"ssl_min_protocol_version\" value: \"x\""),
            ("ssl_min_protocol_version=tlsv1.3 ssl_max_protocol_version=TLSv1.2", "invalid SSL protocol version range"),
            ("ssl_min_protocol_version=TLSv1 ssl_max_protocol_version=TLSv1.1", "TLSv1.1 is too old"),
            ("sslnegotiation=direct", "weak sslmode \"prefer\" may not be used with sslnegotiation=direct"),
            ("sslrootcert=system sslmode=require", "weak sslmode \"require\" may not be used with sslrootcert=system"),
            ("connect_timeout=soon", "invalid integer value \"soon\" for connection option \"connect_timeout\""),
            ("keepalives_idle=x", "invalid integer value \"x\" for connection option \"keepalives_idle\""),
            ("require_auth=x", "invalid require_auth value: \"x\""),
            ("replication=database", "a replication connection cannot copy tables"),
        ] {
            assert!(refused(text, &[]).contains(said), "{text}: {}", refused(text, &[]));
        }
        assert!(refused("", &[("PGPORT", "x")]).contains("invalid integer value \"x\" for connection option \"port\""));
        assert!(refused("", &[("PGSSLMODE", "maybe")]).contains("invalid sslmode value: \"maybe\""));
        assert!(refused("", &[("PGSERVICE", "x")]).contains("definition of service \"x\" not found"));
    }
}

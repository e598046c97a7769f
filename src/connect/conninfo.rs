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
use super::session_attributes::SessionAttributes;
use super::tls::Tls;
use super::transport::{Address, Keepalives, Patience, Route};
use super::{keywords, service, uri};
use crate::error::{Error, Kind, Result};

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
}

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
        let user = match parameters.given("user") {
            Some(user) => user.to_string(),
            None => whoami::username().map_err(|error| {
                Error::new(Kind::Usage, "cannot find out the name of the operating system's user")
                    .caused_by(error)
                    .hint("Name the user in the conninfo, or in PGUSER.")
            })?,
        };
        let database = parameters.given("dbname").unwrap_or(&user).to_string();
        let tls = Tls::new(parameters, home.as_deref())?;
        if let Some(file) = tls.missing_roots().filter(|_| parameters.given("sslrootcert").is_some()) {
            warnings.push(format!("root certificate file \"{}\" does not exist", file.display()));
        }
        let mut terms = Terms {
            servers: Vec::new(),
            user,
            database,
            options: options(parameters, variable),
            password_file: None,
            attributes: parameters.choice("target_session_attrs", &SessionAttributes::NAMES, SessionAttributes::Any)?,
            is_random: parameters.choice("load_balance_hosts", &[("disable", false), ("random", true)], false)?,
            timeout: timeout(parameters)?,
            patience: patience(parameters)?,
            require_auth: parameters.given("require_auth").map_or(Ok(RequireAuth::default()), RequireAuth::parse)?,
            require_auth_text: parameters.given("require_auth").unwrap_or_default().to_string(),
            require_peer: parameters.given("requirepeer").map(str::to_string),
            channel_binding: parameters.choice("channel_binding", CHANNEL_BINDINGS, ChannelBinding::Prefer)?,
            tls: Arc::new(tls),
        };
        terms.add_servers(parameters, home.as_deref(), warnings)?;
        Ok(terms)
    }

    fn add_servers(&mut self, parameters: &Parameters, home: Option<&Path>, warnings: &mut Vec<String>) -> Result<()> {
        let hosts = hosts(parameters)?;
        if let Some(password) = parameters.given("password") {
            let password = || Some(password.to_string());
            self.servers = hosts.into_iter().map(|host| Server { host, password: password() }).collect();
            return Ok(());
        }
        let file = parameters.given("passfile").map(PathBuf::from).or_else(|| home.map(|home| home.join(".pgpass")));
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
    if parameters.choice("gssencmode", modes, false)? {
        return Err(unreadable("gssencmode=require is not supported: hypercopy speaks no GSSAPI")
            .hint("Encrypt by TLS: gssencmode=disable sslmode=verify-full."));
    }
    let off = ["", "0", "false", "off", "no"];
    match parameters.given("replication") {
        Some(mode) if !off.contains(&mode) => {
            Err(unreadable("a replication connection cannot copy tables")
                .hint("Leave replication out of the conninfo."))
        }
        _ => Ok(()),
    }
}

/// The options of the server's command line, with the variables that libpq passes on as settings; those come last and win.
fn options(parameters: &Parameters, variable: &impl Fn(&str) -> Option<String>) -> String {
    let mut options = parameters.given("options").unwrap_or_default().to_string();
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
    let seconds = parameters.number("connect_timeout")?.map_or(60, |seconds| u64::try_from(seconds).unwrap_or(0));
    Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
}

/// A server that is gone without a word is noticed within two minutes also while nothing is sent; by the system's defaults it
/// would take more than two hours.
fn patience(parameters: &Parameters) -> Result<Patience> {
    let number = |keyword: &str, default: u32| {
        let given = parameters.number(keyword)?.and_then(|number| u32::try_from(number).ok());
        Ok::<_, Error>(given.filter(|number| *number > 0).unwrap_or(default))
    };
    let seconds = |keyword, default| Ok::<_, Error>(Duration::from_secs(number(keyword, default)?.into()));
    let keepalives = Keepalives {
        idle: seconds("keepalives_idle", 60)?,
        interval: seconds("keepalives_interval", 10)?,
        count: number("keepalives_count", 6)?,
    };
    let is_kept_alive = parameters.number("keepalives")? != Some(0);
    Ok(Patience { keepalives: is_kept_alive.then_some(keepalives), user_timeout_ms: number("tcp_user_timeout", 0)? })
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

    /// The one value that a text gives a keyword.
    fn value_of(text: &str, keyword: &str) -> Option<String> {
        Parameters::parse(text).unwrap_or_else(|error| panic!("{}", error.report())).get(keyword).map(str::to_string)
    }

    fn unreadable_text(text: &str) -> String {
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
            assert_eq!(value_of(text, "host").as_deref(), Some(host), "{text}");
        }
        assert_eq!(value_of("requiressl=1", "sslmode").as_deref(), Some("require"));
        assert!(unreadable_text("host").contains("missing \"=\" after \"host\" in connection info string"));
        assert!(unreadable_text("host port=1").contains("missing \"=\" after \"host\""));
        assert!(unreadable_text("host='a").contains("unterminated quoted string in connection info string"));
        assert!(unreadable_text("nonsense=1").contains("invalid connection option \"nonsense\""));
        assert!(unreadable_text("=1").contains("invalid connection option \"\""));
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
            assert_eq!(value_of(text, keyword).as_deref(), expected, "{text}");
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
            assert!(unreadable_text(text).contains(said), "{text}: {}", unreadable_text(text));
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
            assert!(!unreadable_text(text).contains("ter2"), "{}", unreadable_text(text));
        }
    }
}

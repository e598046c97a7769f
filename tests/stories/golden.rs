//! The same connection through psql and through us: both connect, to the same, or both do not, for the same reasons.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use hypercopy::connect::{Conninfo, Reader, Side};
use tokio::runtime::Runtime;

use crate::folders::Folder;
use crate::guarded::Guarded;

/// Who has connected to what, and how.
const WHERE: &str = "select concat_ws(' ', current_user, current_database(), inet_server_addr(), inet_server_port(),
    case when ssl then version else 'plain' end, client_dn, current_setting('work_mem'), current_setting('geqo'))
    from pg_stat_ssl where pid = pg_backend_pid()";

/// What can be in the way, each with its words. Where libpq's words are ours there is one; what OpenSSL and rustls say, and
/// libpq and tokio-postgres, has several.
const REASONS: &[&[&str]] = &[
    &["invalid connection option"],
    &["missing \"=\" after"],
    &["unterminated quoted string"],
    &["invalid URI query parameter"],
    &["extra key/value separator"],
    &["missing key/value separator"],
    &["invalid percent-encoded token"],
    &["forbidden value %00"],
    &["IPv6 host address may not be empty"],
    &["matching \"]\""],
    &["unexpected character"],
    &["host names to"],
    &["port numbers to"],
    &["invalid port number"],
    &["invalid integer value"],
    &["invalid sslmode value"],
    &["invalid sslnegotiation value"],
    &["invalid target_session_attrs value"],
    &["invalid load_balance_hosts value"],
    &["invalid channel_binding value"],
    &["invalid require_auth value"],
    &["invalid \"ssl_min_protocol_version\" value"],
    &["invalid SSL protocol version range"],
    &["weak sslmode"],
    &["cannot be mixed with negative"],
    &["cannot be mixed with non-negative"],
    &["specified more than once"],
    &["definition of service"],
    &["service file \"", "syntax error in service file"],
    &["nested service specifications"],
    &["could not parse network address"],
    &["could not translate host name"],
    &["Connection refused"],
    &["No such file or directory"],
    &["timeout expired"],
    &["no password supplied"],
    &["password authentication failed"],
    &["requested a cleartext password"],
    &["requested a hashed password"],
    &["requested SASL authentication"],
    &["did not complete authentication"],
    &["does not support SSL"],
    &["session is read-only"],
    &["session is not read-only"],
    &["server is in hot standby mode"],
    &["server is not in hot standby mode"],
    &["requirepeer specifies"],
    &["GSSAPI"],
    &["channel binding"],
    &["root certificate file \""],
    &["does not match host name"],
    &["host name must be specified"],
    &["has group or world access; file must"],
    &["but not private key file"],
    &["key values mismatch"],
    &["did not request an SSL certificate"],
    &["without a valid SSL certificate"],
    &["no pg_hba.conf entry"],
    &["pg_hba.conf rejects"],
    &["requires a valid client certificate"],
    &["certificate authentication failed"],
    &["certificate verify failed", "invalid peer certificate"],
    &["protocol version", "unsupported protocol", "peer is incompatible", "ProtocolVersion"],
    &["role \"nobody_knows\" does not exist"],
    &["database \"nowhere\" does not exist"],
];

/// Where somebody has come to, or the numbers of what was in the way.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Connected(String),
    Refused(BTreeSet<usize>),
}

/// Two clients in one environment.
pub struct Golden {
    /// The home directory of both.
    pub home: Folder,
    psql: PathBuf,
    runtime: Runtime,
}

impl Golden {
    pub fn new(server: &Guarded, name: &str) -> Golden {
        let psql = server.cluster.installation().program("psql");
        Golden { home: Folder::new(name), psql, runtime: Runtime::new().expect("a runtime starts") }
    }

    /// Connects both, expects that they come to the same, and answers where, or what we have said.
    #[track_caller]
    pub fn compare(&self, conninfo: &str, environment: &[(&str, &str)]) -> Result<String, String> {
        let (theirs, ours) = (self.psql(conninfo, environment), self.hypercopy(conninfo, environment));
        let outcome = |said: &Result<String, String>| match said {
            Ok(place) => Outcome::Connected(place.clone()),
            Err(text) => Outcome::Refused(reasons(text)),
        };
        let context = || format!("{conninfo} {environment:?}\npsql: {theirs:?}\nhypercopy: {ours:?}");
        assert_eq!(outcome(&theirs), outcome(&ours), "{}", context());
        assert_ne!(outcome(&ours), Outcome::Refused(BTreeSet::new()), "an unknown reason: {}", context());
        ours
    }

    /// Connects both and expects that they come to the same place.
    #[track_caller]
    pub fn connects(&self, conninfo: &str, environment: &[(&str, &str)]) -> String {
        let compared = self.compare(conninfo, environment);
        compared.unwrap_or_else(|said| panic!("{conninfo} {environment:?} is refused: {said}"))
    }

    /// Connects both and expects that neither comes anywhere, for the same reasons, of which this is one.
    #[track_caller]
    pub fn is_refused(&self, conninfo: &str, environment: &[(&str, &str)], reason: &str) {
        match self.compare(conninfo, environment) {
            Ok(place) => panic!("{conninfo} {environment:?} has come to {place}"),
            Err(said) => assert!(said.contains(reason), "{conninfo} {environment:?}: {said}"),
        }
    }

    fn psql(&self, conninfo: &str, environment: &[(&str, &str)]) -> Result<String, String> {
        let mut command = Command::new(&self.psql);
        command.args(["-X", "-A", "-t", "-w", "-c", WHERE, "-d", conninfo]).env_clear();
        command.env("HOME", self.home.path("")).env("LC_ALL", "C").envs(environment.iter().copied());
        let output = command.output().expect("psql starts");
        let text = |bytes| String::from_utf8_lossy(bytes).trim().to_string();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(text(&output.stderr)),
        }
    }

    /// What we say of ourselves is said without a newline, as in a log.
    fn hypercopy(&self, conninfo: &str, environment: &[(&str, &str)]) -> Result<String, String> {
        let home = self.home.path("");
        let variable = |wanted: &str| {
            let given = environment.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.to_string());
            given.or_else(|| (wanted == "HOME").then(|| home.clone()))
        };
        let connect = async {
            let conninfo = Conninfo::parse(conninfo, variable)?;
            let session = Reader::open(Side::Source, &conninfo, "golden").await?;
            Ok(session.row(WHERE, &[]).await?.get(0))
        };
        self.runtime.block_on(connect).map_err(|error: hypercopy::error::Error| error.report())
    }
}

fn reasons(text: &str) -> BTreeSet<usize> {
    let is_said = |words: &&[&str]| words.iter().any(|words| text.contains(words));
    REASONS.iter().enumerate().filter(|(_, words)| is_said(words)).map(|(number, _)| number).collect()
}

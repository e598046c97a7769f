//! TLS as libpq means it: `sslmode`, certificates and keys, and which of the server's certificates is believed.
//!
//! **Invariant:** reads files and decides; opens no connection.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, InconsistentKeys, SignatureScheme, SupportedProtocolVersion};

use super::chain::Chain;
use super::parameters::{Parameters, unreadable};
use crate::error::{Context, Error, Kind, Result};

/// How much TLS is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

const MODES: &[(&str, SslMode)] = &[
    ("disable", SslMode::Disable),
    ("allow", SslMode::Allow),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

/// Whether a client certificate is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CertMode {
    Disable,
    Allow,
    Require,
}

/// One way of several to speak to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encryption {
    None,
    /// TLS, or the server's no to it.
    IfOffered,
    Tls,
}

/// What a conninfo says about TLS. What the files hold is read with the first connection that needs it, once.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) mode: SslMode,
    /// Whether TLS begins with the first byte, without asking the server.
    pub(super) is_direct: bool,
    /// Whether the server is told the name that it is called by.
    has_sni: bool,
    cert_mode: CertMode,
    roots: Roots,
    revocations: Revocations,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    versions: Vec<&'static SupportedProtocolVersion>,
    material: OnceLock<Material>,
}

/// What the files hold.
#[derive(Debug)]
struct Material {
    config: ClientConfig,
    /// Our own certificate.
    key: Option<Arc<CertifiedKey>>,
}

/// Where the authorities are that are believed.
#[derive(Debug)]
enum Roots {
    System,
    File(PathBuf),
    /// There is no home directory to look for them.
    Nowhere,
}

impl Tls {
    /// Reads the parameters; `home` is where `.postgresql` may be.
    pub(super) fn new(parameters: &Parameters, home: Option<&Path>) -> Result<Tls> {
        let in_home = |name: &str| home.map(|home| home.join(".postgresql").join(name));
        let named = |keyword: &str, name: &str| parameters.given(keyword).map(PathBuf::from).or_else(|| in_home(name));
        let roots = match parameters.given("sslrootcert") {
            Some("system") => Roots::System,
            Some(file) => Roots::File(file.into()),
            None => in_home("root.crt").map_or(Roots::Nowhere, Roots::File),
        };
        let is_of_system = matches!(roots, Roots::System);
        let mode =
            parameters.choice("sslmode", MODES, if is_of_system { SslMode::VerifyFull } else { SslMode::Prefer })?;
        let is_direct = parameters.choice("sslnegotiation", &[("postgres", false), ("direct", true)], false)?;
        refuse_weak_modes(mode, is_direct, is_of_system)?;
        let cert_modes = &[("disable", CertMode::Disable), ("allow", CertMode::Allow), ("require", CertMode::Require)];
        Ok(Tls {
            mode,
            is_direct,
            has_sni: !parameters.given("sslsni").is_some_and(|sni| sni.starts_with('0')),
            cert_mode: parameters.choice("sslcertmode", cert_modes, CertMode::Allow)?,
            roots,
            revocations: Revocations::new(parameters, in_home("root.crl")),
            certificate: named("sslcert", "postgresql.crt"),
            key: named("sslkey", "postgresql.key"),
            versions: versions(parameters)?,
            material: OnceLock::new(),
        })
    }

    /// The ways to speak to a server, best first; a socket of this machine is not encrypted.
    pub(super) fn ways(&self, is_socket: bool) -> &'static [Encryption] {
        match self.mode {
            _ if is_socket => &[Encryption::None],
            SslMode::Disable => &[Encryption::None],
            SslMode::Allow => &[Encryption::None, Encryption::Tls],
            SslMode::Prefer => &[Encryption::IfOffered, Encryption::None],
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Encryption::Tls],
        }
    }

    /// What a handshake needs.
    ///
    /// # Errors
    /// Names the file that cannot be used, and why.
    pub(super) fn terms(&self) -> Result<Handshake> {
        let Material { config, key } = match self.material.get() {
            Some(material) => material,
            None => {
                let material = self.read()?;
                self.material.get_or_init(|| material)
            }
        };
        let identity = Arc::new(Identity { key: key.clone(), was_asked_for: AtomicBool::new(false) });
        let mut config = config.clone();
        config.client_auth_cert_resolver = Arc::clone(&identity) as Arc<dyn ResolvesClientCert>;
        Ok(Handshake { config: Arc::new(config), identity })
    }

    /// Why a login is not taken although the server has let us in.
    pub(super) fn refuse(&self, handshake: Option<&Handshake>) -> Result<(), &'static str> {
        let identity = handshake.map(|handshake| &handshake.identity);
        match self.cert_mode {
            CertMode::Disable | CertMode::Allow => Ok(()),
            CertMode::Require if !identity.is_some_and(|identity| identity.was_asked_for.load(Ordering::Relaxed)) => {
                Err("server did not request an SSL certificate")
            }
            CertMode::Require if identity.is_some_and(|identity| identity.key.is_none()) => {
                Err("server accepted connection without a valid SSL certificate")
            }
            CertMode::Require => Ok(()),
        }
    }

    /// What is looked for and not there, so that nothing is verified although it may have been meant to be.
    pub(super) fn missing_roots(&self) -> Option<&Path> {
        match &self.roots {
            Roots::File(file) if !file.exists() => Some(file),
            _ => None,
        }
    }

    fn read(&self) -> Result<Material> {
        let config = self.client_config()?;
        let key = self.client_identity(config.crypto_provider())?.map(Arc::new);
        Ok(Material { config, key })
    }

    fn client_config(&self) -> Result<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let authorities = self.authorities()?;
        let revocations = if authorities.is_some() { self.revocation_lists()? } else { Vec::new() };
        let chain = Chain::new(authorities, revocations, &provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .doing(Kind::Usage, || "cannot set up TLS")?;
        let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(chain)).with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_sni = self.has_sni;
        // Each connection is looked at anew; PostgreSQL resumes no sessions either.
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    /// The authorities that are believed; `None` where nothing is verified.
    fn authorities(&self) -> Result<Option<Vec<CertificateDer<'static>>>> {
        let is_verified = self.mode >= SslMode::VerifyCa;
        match &self.roots {
            Roots::System => Ok(Some(rustls_native_certs::load_native_certs().certs)),
            Roots::File(file) if file.exists() => {
                let reading = || format!("could not read root certificate file \"{}\"", file.display());
                let certificates = certificates(file, reading)?;
                if certificates.is_empty() {
                    return Err(Error::new(Kind::Usage, reading()).caused_by("it holds no certificate"));
                }
                Ok(Some(certificates))
            }
            Roots::File(file) if is_verified => {
                Err(Error::new(Kind::Usage, format!("root certificate file \"{}\" does not exist", file.display()))
                    .hint(WITHOUT_ROOTS))
            }
            Roots::Nowhere if is_verified => {
                let message = "could not get home directory to locate root certificate file";
                Err(Error::new(Kind::Usage, message).hint(WITHOUT_ROOTS))
            }
            Roots::File(_) | Roots::Nowhere => Ok(None),
        }
    }

    fn revocation_lists(&self) -> Result<Vec<CertificateRevocationListDer<'static>>> {
        let mut lists = Vec::new();
        for file in self.revocations.files() {
            let reading = || format!("could not read certificate revocation list \"{}\"", file.display());
            for list in CertificateRevocationListDer::pem_file_iter(&file).doing(Kind::Usage, reading)? {
                lists.push(list.doing(Kind::Usage, reading)?);
            }
        }
        match &self.revocations.directory {
            Some(directory) if lists.is_empty() => {
                let message = "certificate verify failed: there is no certificate revocation list";
                Err(Error::new(Kind::Usage, format!("{message} in directory \"{}\"", directory.display())))
            }
            _ => Ok(lists),
        }
    }

    /// The certificate that we show to servers that ask for one.
    fn client_identity(&self, provider: &CryptoProvider) -> Result<Option<CertifiedKey>> {
        let Some(file) = self.certificate.as_ref().filter(|_| self.cert_mode != CertMode::Disable) else {
            return Ok(None);
        };
        if !file.exists() {
            return Ok(None);
        }
        let reading = || format!("could not read certificate file \"{}\"", file.display());
        let chain = certificates(file, reading)?;
        let key_file = self.key.as_ref().filter(|key| key.exists()).ok_or_else(|| {
            let wanted = self.key.as_deref().unwrap_or(Path::new("")).display().to_string();
            Error::new(Kind::Usage, format!("certificate present, but not private key file \"{wanted}\""))
        })?;
        let shown = key_file.display();
        refuse_open_key(key_file)?;
        let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| unreadable_key(key_file, error))?;
        let key = provider.key_provider.load_private_key(key);
        let key = key.doing(Kind::Usage, || format!("could not load private key file \"{shown}\""))?;
        let identity = CertifiedKey::new(chain, key);
        match identity.keys_match() {
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                Err(Error::new(Kind::Usage, format!("could not load private key file \"{shown}\""))
                    .caused_by("key values mismatch")
                    .hint("The key is another certificate's: sslcert and sslkey name the two."))
            }
            // Certificates of version 1 cannot be compared; the server will.
            _ => Ok(Some(identity)),
        }
    }
}

const ALPN: &[u8] = b"postgresql";

const WITHOUT_ROOTS: &str = "Either provide the file, use the system's trusted roots with sslrootcert=system, or change sslmode to \
                             disable server certificate verification.";

/// What one handshake is done with.
pub(super) struct Handshake {
    pub(super) config: Arc<ClientConfig>,
    identity: Arc<Identity>,
}

impl Handshake {
    /// Whether what the server has chosen is PostgreSQL's protocol.
    pub(super) fn is_for_us(protocol: Option<&[u8]>, is_direct: bool) -> Result<(), &'static str> {
        match protocol {
            Some(ALPN) => Ok(()),
            Some(_) => Err("SSL connection was established with unexpected ALPN protocol"),
            None if is_direct => {
                Err("direct SSL connection was established without ALPN protocol negotiation extension")
            }
            None => Ok(()),
        }
    }
}

/// Our own certificate, and whether the server wanted to see it.
#[derive(Debug)]
struct Identity {
    key: Option<Arc<CertifiedKey>>,
    was_asked_for: AtomicBool,
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.was_asked_for.store(true, Ordering::Relaxed);
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn refuse_weak_modes(mode: SslMode, is_direct: bool, is_of_system: bool) -> Result<()> {
    let shown = MODES.iter().find(|(_, known)| *known == mode).map_or("", |(name, _)| name);
    if is_direct && mode < SslMode::Require {
        let message = format!(
            "weak sslmode \"{shown}\" may not be used with sslnegotiation=direct (use \"require\", \"verify-ca\", or \
             \"verify-full\")"
        );
        return Err(unreadable(message));
    }
    if is_of_system && mode < SslMode::VerifyFull {
        let message = format!("weak sslmode \"{shown}\" may not be used with sslrootcert=system (use \"verify-full\")");
        return Err(unreadable(message));
    }
    Ok(())
}

/// Where lists of revoked certificates are.
#[derive(Debug)]
struct Revocations {
    file: Option<PathBuf>,
    /// All of its files.
    directory: Option<PathBuf>,
}

impl Revocations {
    /// Those that are named, else the file in the home directory if it is there.
    fn new(parameters: &Parameters, in_home: Option<PathBuf>) -> Revocations {
        let named = |keyword| parameters.given(keyword).map(PathBuf::from);
        match (named("sslcrl"), named("sslcrldir")) {
            (None, None) => Revocations { file: in_home.filter(|file| file.exists()), directory: None },
            (file, directory) => Revocations { file, directory },
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = self.directory.iter().flat_map(|directory| std::fs::read_dir(directory).into_iter().flatten());
        let listed = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file());
        self.file.iter().cloned().chain(listed).collect()
    }
}

/// The versions of TLS between the two; those below 1.2 exist no more.
fn versions(parameters: &Parameters) -> Result<Vec<&'static SupportedProtocolVersion>> {
    const NAMES: [&str; 4] = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
    let rank = |keyword: &str, default: usize| match parameters.given(keyword) {
        None => Ok(default),
        Some(version) => NAMES.iter().position(|name| name.eq_ignore_ascii_case(version)).ok_or_else(|| {
            unreadable(format!("invalid \"{keyword}\" value: \"{version}\""))
                .hint(format!("It takes {}.", NAMES.join(", ")))
        }),
    };
    let (least, most) = (rank("ssl_min_protocol_version", 2)?, rank("ssl_max_protocol_version", 3)?);
    if least > most {
        return Err(unreadable("invalid SSL protocol version range"));
    }
    let versions = [(2, &rustls::version::TLS12), (3, &rustls::version::TLS13)];
    let wanted: Vec<_> = versions.into_iter().filter(|(rank, _)| (least..=most).contains(rank)).collect();
    match wanted.is_empty() {
        true => Err(unreadable(format!("{} is too old to be spoken", NAMES[most]))
            .hint("ssl_max_protocol_version has to be TLSv1.2 or TLSv1.3.")),
        false => Ok(wanted.into_iter().map(|(_, version)| version).collect()),
    }
}

fn certificates(file: &Path, reading: impl Fn() -> String) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(file).doing(Kind::Usage, &reading)?;
    read.map(|certificate| certificate.doing(Kind::Usage, &reading)).collect()
}

/// A key that others may read is none.
fn refuse_open_key(file: &Path) -> Result<()> {
    let shown = file.display();
    let metadata =
        std::fs::metadata(file).doing(Kind::Usage, || format!("could not stat private key file \"{shown}\""))?;
    if !metadata.is_file() {
        return Err(Error::new(Kind::Usage, format!("private key file \"{shown}\" is not a regular file")));
    }
    let open_to = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & open_to == 0 {
        return Ok(());
    }
    Err(Error::new(
        Kind::Usage,
        format!(
            "private key file \"{shown}\" has group or world access; file must have permissions u=rw (0600) or less if owned \
             by the current user, or permissions u=rw,g=r (0640) or less if owned by root"
        ),
    )
    .hint(format!("chmod 600 {shown}")))
}

fn unreadable_key(file: &Path, error: pem::Error) -> Error {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let unreadable = Error::new(Kind::Usage, format!("could not load private key file \"{}\"", file.display()));
    match text.contains("ENCRYPTED") {
        true => unreadable
            .caused_by("it is encrypted")
            .hint("hypercopy reads plain keys only: openssl pkey -in ENCRYPTED -out PLAIN, with mode 0600."),
        false => unreadable.caused_by(error),
    }
}

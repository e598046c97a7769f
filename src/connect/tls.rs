//! TLS by rustls. A certificate is always verified against the system's roots, or against `PGSSLROOTCERT`.

use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls_improved::MakeRustlsConnect;

use crate::error::{Context, Error, Kind, Result};

static CONFIG: OnceLock<ClientConfig> = OnceLock::new();

/// A connector for one connection. The roots are read once per process.
pub(super) fn connector() -> Result<MakeRustlsConnect> {
    let config = match CONFIG.get() {
        Some(config) => config,
        None => {
            let config = client_config()?;
            CONFIG.get_or_init(|| config)
        }
    };
    Ok(MakeRustlsConnect::new(config.clone()))
}

fn client_config() -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .doing(Kind::Internal, || "cannot set up TLS")?;
    Ok(builder.with_root_certificates(roots()?).with_no_client_auth())
}

fn roots() -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match std::env::var("PGSSLROOTCERT").ok().filter(|path| !path.is_empty() && path != "system") {
        Some(path) => {
            let reading = || format!("cannot read the certificates of PGSSLROOTCERT, {path}");
            let certificates = CertificateDer::pem_file_iter(&path).doing(Kind::Usage, reading)?;
            for certificate in certificates {
                store.add(certificate.doing(Kind::Usage, reading)?).doing(Kind::Usage, reading)?;
            }
            if store.is_empty() {
                return Err(Error::new(Kind::Usage, reading()).caused_by("it holds none"));
            }
        }
        // A machine without roots can still connect where TLS is not used; where it is, verification will fail.
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(store)
}

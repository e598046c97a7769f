//! Whether a server's certificate comes from an authority that is believed.
//!
//! webpki decides, but for two kinds of certificate that it does not know and that PostgreSQL's servers have: one that
//! is its own authority, listed itself, and one of version 1, which is what the commands in PostgreSQL's manual make.
//!
//! **Invariant:** decides nothing about names.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::der::{Decode, Encode};

use super::certificate;
use crate::error::{Context, Kind, Result};

/// Judges chains of certificates.
#[derive(Debug)]
pub(super) struct Chain {
    algorithms: WebPkiSupportedAlgorithms,
    /// `None` where every certificate will do.
    authorities: Option<Authorities>,
}

#[derive(Debug)]
struct Authorities {
    webpki: Arc<WebPkiServerVerifier>,
    listed: Vec<CertificateDer<'static>>,
    has_revocations: bool,
}

impl Chain {
    /// Believes these authorities and what they have not revoked, or anybody.
    pub(super) fn new(
        authorities: Option<Vec<CertificateDer<'static>>>,
        revocations: Vec<CertificateRevocationListDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Chain> {
        let algorithms = provider.signature_verification_algorithms;
        let Some(listed) = authorities else { return Ok(Chain { algorithms, authorities: None }) };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(listed.iter().cloned());
        let has_revocations = !revocations.is_empty();
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .with_crls(revocations)
            .enforce_revocation_expiration()
            .build()
            .doing(Kind::Usage, || "cannot use the root certificates and revocation lists")?;
        Ok(Chain { algorithms, authorities: Some(Authorities { webpki, listed, has_revocations }) })
    }

    /// Whether an authority of the list has signed this very certificate, or is it.
    fn is_listed(&self, authorities: &Authorities, der: &CertificateDer<'_>, now: UnixTime) -> Option<bool> {
        let certificate = Certificate::from_der(der).ok()?;
        let is_valid = |certificate: &Certificate| {
            let validity = certificate.tbs_certificate().validity();
            let (from, until) = (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration());
            (from.as_secs()..=until.as_secs()).contains(&now.as_secs())
        };
        if authorities.has_revocations || !is_valid(&certificate) {
            return Some(false);
        }
        let listed = &authorities.listed;
        if listed.iter().any(|authority| authority.as_ref() == der.as_ref()) {
            return Some(true);
        }
        // What a later version says of itself, its use for one, webpki alone reads.
        if certificate.tbs_certificate().version() == Version::V3 {
            return Some(false);
        }
        let has_signed = |authority: &Certificate| {
            authority.tbs_certificate().subject() == certificate.tbs_certificate().issuer()
                && is_valid(authority)
                && self.is_signed_by(&certificate, authority).is_some()
        };
        Some(
            listed.iter().filter_map(|authority| Certificate::from_der(authority).ok()).any(|known| has_signed(&known)),
        )
    }

    fn is_signed_by(&self, certificate: &Certificate, authority: &Certificate) -> Option<()> {
        let key = authority.tbs_certificate().subject_public_key_info();
        let signed = certificate.tbs_certificate().to_der().ok()?;
        let signature_algorithm = certificate.signature_algorithm().to_der().ok()?;
        let key_algorithm = key.algorithm.to_der().ok()?;
        // Both stand in sequences, whose header webpki's names of algorithms leave out.
        let body = |sequence: &[u8]| sequence.get(2..).map(<[u8]>::to_vec);
        let (signature_algorithm, key_algorithm) = (body(&signature_algorithm)?, body(&key_algorithm)?);
        let mut algorithms = self.algorithms.all.iter().filter(|algorithm| {
            algorithm.signature_alg_id().as_ref() == signature_algorithm
                && algorithm.public_key_alg_id().as_ref() == key_algorithm
        });
        let (key, signature) = (key.subject_public_key.raw_bytes(), certificate.signature().raw_bytes());
        algorithms.any(|algorithm| algorithm.verify_signature(key, &signed, signature).is_ok()).then_some(())
    }
}

impl ServerCertVerifier for Chain {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        let Some(authorities) = &self.authorities else { return Ok(ServerCertVerified::assertion()) };
        match authorities.webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // It looks at names last.
            Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {}
            Err(error) if self.is_listed(authorities, end_entity, now) != Some(true) => return Err(error),
            _ => {}
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    /// By the key alone: of a certificate of version 1 webpki would read nothing.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let unreadable = || rustls::Error::InvalidCertificate(CertificateError::BadEncoding);
        let key = SubjectPublicKeyInfoDer::from(certificate::public_key(cert).ok_or_else(unreadable)?);
        verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

//! What a server's certificate says: whose it is, and the hash that binds a login to it.
//!
//! **Invariant:** pure; whether a certificate is to be believed, others decide.

use std::net::IpAddr;

use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ECDSA_WITH_SHA_512, SHA_1_WITH_RSA_ENCRYPTION, SHA_256_WITH_RSA_ENCRYPTION,
    SHA_384_WITH_RSA_ENCRYPTION, SHA_512_WITH_RSA_ENCRYPTION,
};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Whether a certificate is one of this host, as libpq decides: by its alternative names, and by its common name where it
/// has none of the host's kind.
///
/// # Errors
/// Says what the certificate is for.
pub(super) fn check_host(der: &[u8], host: &str) -> Result<(), String> {
    let certificate = Certificate::from_der(der).map_err(|error| format!("could not read the certificate: {error}"))?;
    let names = Names::of(&certificate).ok_or("could not read the names of the server certificate")?;
    if names.fit(host) { Ok(()) } else { Err(names.complaint(host)) }
}

/// Whose a certificate is.
#[derive(Debug, Default)]
struct Names {
    dns: Vec<String>,
    addresses: Vec<Vec<u8>>,
    common: Option<String>,
}

impl Names {
    fn of(certificate: &Certificate) -> Option<Names> {
        let tbs = certificate.tbs_certificate();
        let mut names = Names::default();
        if let Some((_, SubjectAltName(alternatives))) = tbs.get_extension::<SubjectAltName>().ok()? {
            for alternative in alternatives {
                match alternative {
                    GeneralName::DnsName(name) => names.dns.push(name.as_str().to_string()),
                    GeneralName::IpAddress(address) => names.addresses.push(address.as_bytes().to_vec()),
                    _ => {}
                }
            }
        }
        // Where there are several the last one counts, which is the most specific by custom.
        let common = tbs.subject().iter().filter(|attribute| attribute.oid == COMMON_NAME).last();
        names.common = common.and_then(|attribute| String::from_utf8(attribute.value.value().to_vec()).ok());
        Some(names)
    }

    fn fit(&self, host: &str) -> bool {
        let address: Option<IpAddr> = host.parse().ok();
        let octets = address.map(|address| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        });
        let has_alternative = if octets.is_some() { !self.addresses.is_empty() } else { !self.dns.is_empty() };
        self.dns.iter().any(|name| name_fits(name, host))
            || octets.is_some_and(|octets| self.addresses.contains(&octets))
            || (!has_alternative && self.common.as_ref().is_some_and(|name| name_fits(name, host)))
    }

    fn complaint(&self, host: &str) -> String {
        let address = |octets: &Vec<u8>| match (
            <[u8; 4]>::try_from(octets.as_slice()),
            <[u8; 16]>::try_from(octets.as_slice()),
        ) {
            (Ok(octets), _) => IpAddr::from(octets).to_string(),
            (_, Ok(octets)) => IpAddr::from(octets).to_string(),
            _ => "an odd address".to_string(),
        };
        let mut all: Vec<String> = self.dns.clone();
        all.extend(self.addresses.iter().map(address));
        if all.is_empty() {
            all.extend(self.common.clone());
        }
        let others = match all.len() {
            0 => return format!("server certificate has no name, which does not match host name \"{host}\""),
            1 => String::new(),
            2 => " (and 1 other name)".to_string(),
            count => format!(" (and {} other names)", count - 1),
        };
        format!("server certificate for \"{}\"{others} does not match host name \"{host}\"", all[0])
    }
}

/// Whether a name is the host's; `*.` stands for one label.
fn name_fits(name: &str, host: &str) -> bool {
    if name.contains('\0') {
        return false;
    }
    let is_below = |domain: &str| {
        // Something has to stand for the star, and be one label.
        host.len() > domain.len()
            && host.is_char_boundary(host.len() - domain.len())
            && host[host.len() - domain.len()..].eq_ignore_ascii_case(domain)
            && !host[..host.len() - domain.len()].contains('.')
    };
    name.eq_ignore_ascii_case(host)
        || name.strip_prefix('*').is_some_and(|domain| domain.starts_with('.') && is_below(domain))
}

/// The hash that SCRAM binds a login to (`tls-server-end-point` of RFC 5929), where the certificate's signature names one.
pub(super) fn binding(der: &[u8]) -> Option<Vec<u8>> {
    const MD5_WITH_RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.4");
    let certificate = Certificate::from_der(der).ok()?;
    match certificate.signature_algorithm().oid {
        // Weaker ones are replaced by it.
        MD5_WITH_RSA_ENCRYPTION | SHA_1_WITH_RSA_ENCRYPTION | SHA_256_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_256 => {
            Some(Sha256::digest(der).to_vec())
        }
        SHA_384_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_384 => Some(Sha384::digest(der).to_vec()),
        SHA_512_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_512 => Some(Sha512::digest(der).to_vec()),
        _ => None,
    }
}

/// The public key of a certificate, as a `SubjectPublicKeyInfo`.
pub(super) fn public_key(der: &[u8]) -> Option<Vec<u8>> {
    Certificate::from_der(der).ok()?.tbs_certificate().subject_public_key_info().to_der().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dns: &[&str], addresses: &[&[u8]], common: Option<&str>) -> Names {
        Names {
            dns: dns.iter().map(ToString::to_string).collect(),
            addresses: addresses.iter().map(|octets| octets.to_vec()).collect(),
            common: common.map(str::to_string),
        }
    }

    #[test]
    fn a_star_stands_for_one_label() {
        for (name, host, fits) in [
            ("db.example", "DB.example", true),
            ("*.example", "db.example", true),
            ("*.example", "a.db.example", false),
            ("*.example", ".example", false),
            ("*.example", "example", false),
            ("*", "db", false),
            ("d*.example", "db.example", false),
            ("*.example", "é.example", true),
        ] {
            assert_eq!(name_fits(name, host), fits, "{name} {host}");
        }
    }

    #[test]
    fn the_common_name_counts_where_no_other_name_is_of_the_hosts_kind() {
        let loopback: &[u8] = &[127, 0, 0, 1];
        for (names, host, fits) in [
            (names(&[], &[], Some("db")), "db", true),
            (names(&["other"], &[], Some("db")), "db", false),
            (names(&["other"], &[], Some("127.0.0.1")), "127.0.0.1", true),
            (names(&["127.0.0.1"], &[], None), "127.0.0.1", true),
            (names(&[], &[loopback], Some("db")), "127.0.0.1", true),
            (names(&[], &[loopback], Some("127.0.0.2")), "127.0.0.2", false),
            (names(&[], &[loopback], Some("db")), "db", true),
        ] {
            assert_eq!(names.fit(host), fits, "{names:?} {host}");
        }
        let complaint = names(&["a", "b", "c"], &[], None).complaint("d");
        assert_eq!(complaint, "server certificate for \"a\" (and 2 other names) does not match host name \"d\"");
    }
}

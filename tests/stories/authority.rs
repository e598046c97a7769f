//! An authority of a story's own, and the certificates that it signs.

use std::cell::Cell;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};

/// Who signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, in PEM.
    pub certificate: String,
    next_serial: Cell<u64>,
}

/// A certificate and its key, in PEM.
pub struct Certified {
    pub certificate: String,
    pub key: String,
    pub serial: u64,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let (mut params, key) = (params(&[], name), key());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key).expect("it signs itself").pem();
        Authority { issuer: Issuer::new(params, key), certificate, next_serial: Cell::new(1) }
    }

    /// A certificate for these names, with another common name.
    pub fn certify(&self, names: &[&str], common: &str) -> Certified {
        self.sign(params(names, common))
    }

    /// One that has expired.
    pub fn certify_expired(&self, names: &[&str]) -> Certified {
        let mut params = params(names, "expired");
        (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> Certified {
        let (key, serial) = (key(), self.next_serial.replace(self.next_serial.get() + 1));
        params.serial_number = Some(SerialNumber::from(serial));
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).expect("it signs").pem();
        Certified { certificate, key: key.serialize_pem(), serial }
    }

    /// The list of what is believed no more, in PEM.
    pub fn revoke(&self, certified: &[&Certified]) -> String {
        let revoked = |certified: &&Certified| RevokedCertParams {
            serial_number: SerialNumber::from(certified.serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: certified.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("it signs").pem().expect("it can be written")
    }
}

/// A certificate that nobody but itself answers for.
pub fn self_signed(names: &[&str]) -> Certified {
    let (mut params, key) = (params(names, "alone"), key());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).expect("it signs itself").pem();
    Certified { certificate, key: key.serialize_pem(), serial: 0 }
}

fn params(names: &[&str], common: &str) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("the names are names");
    params.distinguished_name.push(DnType::CommonName, common);
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key can be made")
}

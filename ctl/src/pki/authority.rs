//! The authority's key at work: certificates and the list of revoked ones.
//!
//! Keys are ECDSA P-256: TLS libraries and tools everywhere take it, and a handshake costs little.

use super::{DAY_SECS, Wish};
use anyhow::{Context, bail, ensure};
use hacluster_proto::identity::{Identity, Role, node_uri};
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData,
    RevocationReason, RevokedCertParams, SanType, SerialNumber,
};
use std::fs::File;
use std::io::Read;
use std::time::SystemTime;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A clock that is behind ours by less than this takes a new certificate at once.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(1);
/// Random bytes of a serial number; RFC 5280 allows 20.
const SERIAL_BYTES: usize = 16;

/// Who signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its name, as in certificates.
    pub(crate) name: String,
    /// Its certificate, PEM.
    pub(crate) pem: String,
    /// When it ends; nothing it signs lasts longer.
    pub(crate) expires: Timestamp,
}

/// A new certificate.
pub(crate) struct Signed {
    /// PEM.
    pub(crate) pem: String,
    /// In hex.
    pub(crate) serial: String,
    /// When it ends.
    pub(crate) expires: Timestamp,
}

/// Makes a key.
pub(crate) fn new_key() -> anyhow::Result<KeyPair> {
    KeyPair::generate().context("cannot make a key")
}

impl Authority {
    /// Makes an authority for `cluster`; its certificate and its key, PEM.
    pub(crate) fn found(cluster: &str, days: u32, now: Timestamp) -> anyhow::Result<(String, String)> {
        let key = new_key()?;
        let mut params = own_params(now, days)?;
        // Two authorities of one name could not be told apart when a certificate is refused.
        let serial = params.serial_number.as_ref().map(SerialNumber::to_bytes).unwrap_or_default();
        let number: String = serial.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        params.distinguished_name.push(DnType::CommonName, format!("{cluster} CA {number}"));
        let certificate = params.self_signed(&key).context("cannot sign")?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// The same authority with another end: name and key stay, so whatever it signed is believed by those
    /// who have the new certificate and by those who have the former one. It may have ended.
    ///
    /// # Errors
    /// As [`open`](Self::open); a certificate that `haclusterctl pki` did not make.
    pub(crate) fn renew(certificate: &str, key: &str, days: u32, now: Timestamp) -> anyhow::Result<Self> {
        let (name, _, public) = read_authority(certificate)?;
        let pair = key_of(key, &public)?;
        let mut params = own_params(now, days)?;
        params.distinguished_name.push(DnType::CommonName, name.as_str());
        let renewed = params.self_signed(&pair).context("cannot sign")?.pem();
        ensure!(subject(&renewed)? == subject(certificate)?, "ca.crt was not made by haclusterctl pki");
        Self::open(&renewed, key, now)
    }

    /// Of its two files' texts.
    ///
    /// # Errors
    /// When they are no authority's, or do not belong together. The key is in no error's text.
    pub(crate) fn open(certificate: &str, key: &str, now: Timestamp) -> anyhow::Result<Self> {
        let (name, expires, public) = read_authority(certificate)?;
        ensure!(now < expires, "ca.crt ended at {expires}: haclusterctl pki renew ca");
        let key = key_of(key, &public)?;
        let issuer = Issuer::from_ca_cert_pem(certificate, key).context("ca.crt cannot be used")?;
        Ok(Self { issuer, name, pem: certificate.to_owned(), expires })
    }

    /// Signs what `wish` says for the holder of `key`. It ends when the authority does, or before.
    pub(crate) fn sign(&self, wish: &Wish, key: &KeyPair, now: Timestamp) -> anyhow::Result<Signed> {
        let expires = after(now, wish.days)?.min(self.expires);
        let mut params = params(now, expires)?;
        params.distinguished_name.push(DnType::CommonName, wish.name.as_str());
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let uri = |text: String| Ok::<_, rcgen::Error>(SanType::URI(text.try_into()?));
        params.subject_alt_names.push(uri(wish.role.uri())?);
        if wish.role == Role::Peer {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
            params.subject_alt_names.push(uri(node_uri(&wish.name).map_err(anyhow::Error::msg)?)?);
            let hosts = std::iter::once(&wish.name).chain(&wish.addresses).filter(|host| !host.is_empty());
            for host in hosts {
                params.subject_alt_names.push(match host.parse() {
                    Ok(ip) => SanType::IpAddress(ip),
                    Err(_) => SanType::DnsName(host.as_str().try_into()?),
                });
            }
        }
        let certificate = params.signed_by(key, &self.issuer).context("cannot sign")?;
        let identity = Identity::of(certificate.der())?; // what will be read is what was meant
        ensure!(identity.has(wish.role), "the certificate does not say what it should");
        Ok(Signed { pem: certificate.pem(), serial: identity.serial, expires: identity.expires.try_into()? })
    }

    /// The list of revoked certificates, PEM; `revoked`: serial number in hex, and since when.
    pub(crate) fn revocations<'a>(
        &self,
        number: u64,
        revoked: impl Iterator<Item = (&'a str, Timestamp)>,
        now: Timestamp,
    ) -> anyhow::Result<String> {
        let revoked: anyhow::Result<Vec<_>> = revoked
            .map(|(serial, since)| {
                Ok(RevokedCertParams {
                    serial_number: SerialNumber::from(bytes(serial)?),
                    revocation_time: SystemTime::from(since).into(),
                    reason_code: Some(RevocationReason::Unspecified),
                    invalidity_date: None,
                })
            })
            .collect();
        let list = CertificateRevocationListParams {
            this_update: SystemTime::from(now - CLOCK_SKEW).into(),
            // A list that ends would lock everybody out on a day nobody remembers.
            next_update: SystemTime::from(self.expires).into(),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked?,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let signed = list.signed_by(&self.issuer).context("cannot sign the list of revoked certificates")?;
        signed.pem().context("cannot write the list of revoked certificates")
    }
}

/// The key in `pem`, which belongs to the public one.
fn key_of(pem: &str, public: &[u8]) -> anyhow::Result<KeyPair> {
    let Ok(key) = KeyPair::from_pem(pem) else { bail!("ca.key holds no private key (PEM)") };
    ensure!(key.der_bytes() == public, "ca.key does not belong to ca.crt: restore both from one backup");
    Ok(key)
}

/// Whom the certificate `pem` names, as it is encoded.
fn subject(pem: &str) -> anyhow::Result<Vec<u8>> {
    let (_, der) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).ok().context("no certificate (PEM)")?;
    let (_, certificate) = X509Certificate::from_der(&der.contents).ok().context("no certificate")?;
    Ok(certificate.subject().as_raw().to_vec())
}

/// Name, end and public key of the authority whose certificate is `pem`.
pub(crate) fn read_authority(pem: &str) -> anyhow::Result<(String, Timestamp, Vec<u8>)> {
    let (_, der) = x509_parser::pem::parse_x509_pem(pem.as_bytes())
        .ok()
        .filter(|(_, pem)| pem.label == "CERTIFICATE")
        .context("ca.crt holds no certificate (PEM)")?;
    let (_, certificate) =
        X509Certificate::from_der(&der.contents).ok().context("ca.crt holds no certificate")?;
    ensure!(certificate.is_ca(), "ca.crt is not the certificate of an authority");
    let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let expires = Timestamp::from_second(certificate.validity().not_after.timestamp())?;
    let public = certificate.public_key().subject_public_key.data.to_vec();
    Ok((name.unwrap_or("-").to_owned(), expires, public))
}

/// What an authority says of itself, but its name.
fn own_params(now: Timestamp, days: u32) -> anyhow::Result<CertificateParams> {
    let mut params = params(now, after(now, days)?)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn params(now: Timestamp, expires: Timestamp) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.not_before = SystemTime::from(now - CLOCK_SKEW).into();
    params.not_after = SystemTime::from(expires).into();
    params.serial_number = Some(SerialNumber::from(new_serial()?));
    params.distinguished_name = DistinguishedName::new();
    Ok(params)
}

fn after(now: Timestamp, days: u32) -> anyhow::Result<Timestamp> {
    let span = SignedDuration::from_secs(i64::from(days) * DAY_SECS);
    now.checked_add(span).context("that many days reach too far")
}

/// Random, of a fixed length and positive, as X.509 wants it.
fn new_serial() -> anyhow::Result<Vec<u8>> {
    let mut serial = vec![0; SERIAL_BYTES];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut serial))
        .context("no randomness")?;
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x3f | 0x40;
    }
    Ok(serial)
}

fn bytes(hex: &str) -> anyhow::Result<Vec<u8>> {
    let digits: Option<Vec<u32>> = hex.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| !digits.is_empty() && digits.len() % 2 == 0);
    let digits = digits.with_context(|| format!("index.json: {hex:?} is no serial number"))?;
    Ok(digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | *digit as u8)).collect())
}

#[cfg(test)]
mod tests;

//! Certificates that nobody should believe, or not any more: what `haclusterctl pki` never makes.

use anyhow::{Context, Result, bail};
use hacluster_lab::Fleet;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use std::{
    fs::{self, OpenOptions},
    io::Write,
    ops::Range,
    os::unix::fs::OpenOptionsExt,
    time::{Duration, SystemTime},
};

/// From when until when, in seconds from now; negative is the past.
pub type Validity = Range<i64>;

/// A certificate to be.
#[derive(Clone, Debug)]
pub struct Stranger {
    /// File name, and the name of the context that shows it.
    pub name: &'static str,
    /// URIs in it, such as `hacluster://role/operator`.
    pub uris: Vec<String>,
    /// DNS names in it.
    pub names: Vec<String>,
    /// When it counts.
    pub validity: Validity,
    /// Signed by an authority that is not the fleet's.
    pub foreign: bool,
}

impl Stranger {
    /// An operator's certificate that counts for an hour, called `name`.
    pub fn operator(name: &'static str) -> Self {
        Self {
            name,
            uris: vec!["hacluster://role/operator".to_owned()],
            names: Vec::new(),
            validity: -60..3_600,
            foreign: false,
        }
    }

    /// A node's certificate, to be put in the place of the real one.
    pub fn node(name: &'static str) -> Self {
        let uris = ["role/peer".to_owned(), format!("node/{name}")];
        Self {
            uris: uris.map(|uri| format!("hacluster://{uri}")).to_vec(),
            names: vec![name.to_owned()],
            ..Self::operator(name)
        }
    }

    /// Writes certificate and key into the fleet's folder, and a context file that shows them.
    pub fn join(&self, fleet: &Fleet) -> Result<()> {
        let key = KeyPair::generate()?;
        let certificate = if self.foreign {
            let (own, mut authority) = (KeyPair::generate()?, CertificateParams::default());
            authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            authority.distinguished_name.push(DnType::CommonName, "another authority");
            self.parameters()?.signed_by(&key, &Issuer::new(authority, own))?
        } else {
            self.parameters()?.signed_by(&key, &authority_of(fleet)?)?
        };
        let [file, secret] = fleet.identity(self.name);
        fs::write(&file, certificate.pem())?;
        // Whoever reads keys of others refuses to: so it is ours alone from the beginning.
        let _ = fs::remove_file(&secret);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&secret)?;
        file.write_all(key.serialize_pem().as_bytes())?;
        fleet.write_context(self.name, self.name)
    }

    fn parameters(&self) -> Result<CertificateParams> {
        let mut parameters = CertificateParams::new(self.names.clone())?;
        parameters.distinguished_name.push(DnType::CommonName, self.name);
        for uri in &self.uris {
            parameters.subject_alt_names.push(SanType::URI(uri.as_str().try_into()?));
        }
        parameters.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.not_before = at(self.validity.start).into();
        parameters.not_after = at(self.validity.end).into();
        Ok(parameters)
    }
}

fn at(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { SystemTime::now() - distance } else { SystemTime::now() + distance }
}

/// The fleet's authority, to sign what it never would.
fn authority_of(fleet: &Fleet) -> Result<Issuer<'static, KeyPair>> {
    let secret = fleet.authority_key();
    let secret = fs::read_to_string(&secret).with_context(|| secret.display().to_string())?;
    let pem = fs::read(fleet.authority())?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem)?;
    let certificate = pem.parse_x509()?;
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.distinguished_name = DistinguishedName::new();
    for attribute in certificate.subject().iter_attributes() {
        let kind = match attribute.attr_type().to_id_string().as_str() {
            "2.5.4.3" => DnType::CommonName,
            "2.5.4.10" => DnType::OrganizationName,
            "2.5.4.11" => DnType::OrganizationalUnitName,
            other => bail!("the authority's name has a part {other}, which this does not know"),
        };
        parameters.distinguished_name.push(kind, attribute.as_str()?);
    }
    Ok(Issuer::new(parameters, KeyPair::from_pem(&secret)?))
}

//! The files of a TLS identity: read whole, bounded, and checked against each other.

use crate::identity::Identity;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

/// Longest file: a list of revoked certificates has some 40 bytes for each.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Where the parts of an identity are, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The holder's certificate, with its chain.
    pub certificate: PathBuf,
    /// Its private key; nobody else may read the file.
    pub key: PathBuf,
    /// Who signs those that are believed.
    pub authority: PathBuf,
    /// Certificates that count no more.
    pub revoked: Option<PathBuf>,
}

/// What the files hold. The key never leaves it but to TLS.
pub struct Material {
    files: Files,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
    revoked_due: Option<SystemTime>,
    verifier: Arc<dyn ClientCertVerifier>,
    identity: Identity,
    authority_expires: SystemTime,
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// What is wrong with which file, and the mend; one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaterialError {
    /// The file.
    pub path: PathBuf,
    text: String,
}

impl fmt::Display for MaterialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.text)
    }
}

impl std::error::Error for MaterialError {}

fn wrong(path: &Path, text: impl Into<String>) -> MaterialError {
    MaterialError { path: path.to_owned(), text: text.into() }
}

impl Material {
    /// Reads and checks `files`.
    ///
    /// # Errors
    /// Which file, what is wrong with it, and the mend.
    pub fn load(files: &Files) -> Result<Self, MaterialError> {
        let chain: Vec<CertificateDer<'static>> = all(&files.certificate, "certificate")?;
        let key = key(&files.key)?;
        let (roots, ends) = authorities(&files.authority)?;
        let revoked = files.revoked.as_deref().map(|path| revoked(path, &files.authority, &ends));
        let (revoked, revoked_due) = revoked.transpose()?.unwrap_or_default();
        let identity =
            Identity::of(&chain[0]).map_err(|error| wrong(&files.certificate, error.to_string()))?;
        let roots = Arc::new(roots);
        let material = Self {
            verifier: verifier(files, roots.clone(), revoked.clone())?,
            authority_expires: expiry(&chain[0], &ends),
            files: files.clone(),
            chain,
            key,
            roots,
            revoked,
            revoked_due,
            identity,
        };
        material.check_key()?;
        material.check_chain()?;
        Ok(material)
    }

    /// Whether the others could believe it at all. That it has ended, or was revoked, they say themselves:
    /// clocks and lists differ.
    fn check_chain(&self) -> Result<(), MaterialError> {
        use rustls::{CertificateError as C, Error as E};
        match self.verifier.verify_client_cert(&self.chain[0], &self.chain[1..], UnixTime::now()) {
            Err(E::InvalidCertificate(C::UnknownIssuer | C::BadSignature)) => Err(wrong(
                &self.files.certificate,
                format!(
                    "was signed by no authority in {}; both come from one `haclusterctl pki`",
                    self.files.authority.display()
                ),
            )),
            Err(E::InvalidCertRevocationList(error)) => Err(wrong(
                self.files.revoked.as_ref().unwrap_or(&self.files.authority),
                format!("cannot be believed ({error:?}); copy it again from where the authority is"),
            )),
            _ => Ok(()),
        }
    }

    /// A key of another certificate is the commonest mistake when files are renewed by hand.
    fn check_key(&self) -> Result<(), MaterialError> {
        let key = super::provider()
            .key_provider
            .load_private_key(self.key())
            .map_err(|error| wrong(&self.files.key, format!("this private key cannot be used ({error})")))?;
        match rustls::sign::CertifiedKey::new(self.chain.clone(), key).keys_match() {
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => Err(wrong(
                &self.files.key,
                format!(
                    "this private key does not belong to {}; put both files of one `haclusterctl pki` call in place",
                    self.files.certificate.display()
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Where it was read from.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Whom the certificate names.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// When the authority that signed the certificate ends; the first that ends when it is not known.
    pub fn authority_expires(&self) -> SystemTime {
        self.authority_expires
    }

    /// The certificate, then those between it and the authority; never empty.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The private key, for TLS.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    /// The authorities.
    pub fn roots(&self) -> Arc<RootCertStore> {
        self.roots.clone()
    }

    /// Lists of revoked certificates.
    pub fn revoked(&self) -> &[CertificateRevocationListDer<'static>] {
        &self.revoked
    }

    /// When the first of those lists is to be replaced by a newer one; one that is late is in force all the
    /// same. `None` without a list, or when none says so.
    pub fn revoked_due(&self) -> Option<SystemTime> {
        self.revoked_due
    }

    /// Decides on the certificates of those who come to us.
    pub fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        self.verifier.clone()
    }

    /// What TLS found wrong only when all was put together.
    pub(super) fn unusable(&self, error: &dyn std::error::Error) -> MaterialError {
        wrong(&self.files.certificate, format!("cannot be used for TLS: {error}"))
    }

    /// What a server runs with: TLS 1.3, a certificate from everybody, nobody resumes.
    ///
    /// # Errors
    /// What of the files cannot be used.
    pub fn server(&self) -> Result<ServerConfig, MaterialError> {
        let mut server = ServerConfig::builder_with_provider(super::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| self.unusable(&error))?
            .with_client_cert_verifier(self.verifier())
            .with_single_cert(self.chain.clone(), self.key())
            .map_err(|error| self.unusable(&error))?;
        server.alpn_protocols = vec![super::ALPN.to_vec()];
        // Who resumes is not looked at again.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(server)
    }
}

/// A certificate of an authority that no list speaks of is believed: while an authority is replaced there
/// are two, and one list.
fn verifier(
    files: &Files,
    roots: Arc<RootCertStore>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
) -> Result<Arc<dyn ClientCertVerifier>, MaterialError> {
    WebPkiClientVerifier::builder_with_provider(roots, super::provider())
        .with_crls(revoked)
        .only_check_end_entity_revocation()
        .allow_unknown_revocation_status()
        .build()
        .map_err(|error| {
            let path = files.revoked.as_ref().unwrap_or(&files.authority);
            wrong(path, format!("cannot be used for TLS: {error}"))
        })
}

type Lists = (Vec<CertificateRevocationListDer<'static>>, Option<SystemTime>);

/// The lists in `path`, and when the first of them is due. One of an unknown authority would revoke nothing,
/// silently.
fn revoked(path: &Path, authority: &Path, ends: &Ends) -> Result<Lists, MaterialError> {
    let mut due: Option<SystemTime> = None;
    let lists: Vec<CertificateRevocationListDer<'static>> = all(path, "list of revoked certificates")?;
    for list in &lists {
        let (_, parsed) = CertificateRevocationList::from_der(list)
            .map_err(|error| wrong(path, format!("is not a list of revoked certificates: {error}")))?;
        if !ends.iter().any(|(subject, _)| subject == parsed.issuer().as_raw()) {
            let text = format!(
                "holds a list of no authority in {}, so it would revoke nothing; copy the right ca.crl",
                authority.display()
            );
            return Err(wrong(path, text));
        }
        let secs = parsed.next_update().and_then(|next| u64::try_from(next.timestamp()).ok());
        let next = secs.and_then(|secs| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(secs)));
        due = [due, next].into_iter().flatten().min();
    }
    Ok((lists, due))
}

fn read(path: &Path) -> Result<Vec<u8>, MaterialError> {
    let cannot = |error: std::io::Error| {
        let mend = match error.kind() {
            std::io::ErrorKind::NotFound => "; make it with `haclusterctl pki`, or correct the path",
            std::io::ErrorKind::PermissionDenied => "; it must belong to the user who runs this",
            _ => "",
        };
        wrong(path, format!("cannot be read: {error}{mend}"))
    };
    // Opening a pipe would wait for a writer.
    if !fs::metadata(path).map_err(cannot)?.is_file() {
        return Err(wrong(path, "is not a file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(cannot)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(wrong(path, format!("has more than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    Ok(bytes)
}

/// Every PEM section of one kind; at least one.
fn all<T: PemObject>(path: &Path, kind: &str) -> Result<Vec<T>, MaterialError> {
    let bytes = read(path)?;
    let found: Result<Vec<T>, _> = T::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| wrong(path, format!("is damaged PEM ({error})")))?;
    if found.is_empty() {
        return Err(wrong(path, format!("holds no {kind} (PEM)")));
    }
    Ok(found)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, MaterialError> {
    let bytes = read(path)?;
    let mode = fs::metadata(path).map(|found| found.permissions().mode()).unwrap_or(0);
    if mode & 0o077 != 0 {
        let path_shown = path.display();
        return Err(wrong(
            path,
            format!(
                "others may use this private key (mode {:03o}); run chmod 600 {path_shown}",
                mode & 0o777
            ),
        ));
    }
    // The error's text may quote the file: a secret.
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| wrong(path, "holds no private key (PEM)"))
}

type Ends = Vec<(Vec<u8>, SystemTime)>;

/// The authorities, and of each the name and the end.
fn authorities(path: &Path) -> Result<(RootCertStore, Ends), MaterialError> {
    let (mut roots, mut ends) = (RootCertStore::empty(), Vec::new());
    for certificate in all::<CertificateDer<'static>>(path, "certificate of an authority")? {
        let (_, parsed) = X509Certificate::from_der(&certificate)
            .map_err(|error| wrong(path, format!("is not a certificate: {error}")))?;
        if !parsed.is_ca() {
            return Err(wrong(path, "holds a certificate that is not an authority's; it needs the CA's own"));
        }
        let expires = Identity::of(&certificate).map_err(|error| wrong(path, error.to_string()))?.expires;
        ends.push((parsed.subject().as_raw().to_vec(), expires));
        roots.add(certificate.clone()).map_err(|error| wrong(path, format!("cannot be used: {error}")))?;
    }
    Ok((roots, ends))
}

fn expiry(certificate: &CertificateDer<'_>, ends: &Ends) -> SystemTime {
    let issuer = X509Certificate::from_der(certificate).ok();
    let issuer = issuer.as_ref().map(|(_, certificate)| certificate.issuer().as_raw());
    let signed_it = ends.iter().filter(|(subject, _)| Some(subject.as_slice()) == issuer);
    // Two of one name: while an authority is renewed. The later one counts.
    let own = signed_it.map(|(_, end)| *end).max();
    own.or_else(|| ends.iter().map(|(_, end)| *end).min()).unwrap_or(SystemTime::UNIX_EPOCH)
}

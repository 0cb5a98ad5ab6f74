//! TLS towards servers that are checked. As with keepalived nobody's certificate is looked at, unless
//! there are authorities; then its chain and dates must be right, and its name where one is configured.

use super::outcome::{Bad, bad, line, shown, words};
use hacluster_proto::tls::provider;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use std::fmt::Display;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest file with certificates or a key.
const FILE_MAX: u64 = 16 << 20;

/// How servers are greeted; the same for all checks.
#[derive(Debug)]
pub(super) struct Greetings {
    /// The name in a certificate does not count; HTTP/1.
    any: Arc<ClientConfig>,
    any_h2: Arc<ClientConfig>,
    /// It does.
    named: Arc<ClientConfig>,
    named_h2: Arc<ClientConfig>,
}

impl Greetings {
    /// Reads the files: certificate chain and key of our own, authorities of others.
    ///
    /// # Errors
    /// Which file, and what is wrong with it.
    pub(super) fn load(own: Option<&(PathBuf, PathBuf)>, authorities: Option<&Path>) -> Result<Self, String> {
        let mut provider = CryptoProvider::clone(&provider());
        // A greeting with a post-quantum key share does not fit into one packet: old servers and
        // firewalls stumble, and there is no secret here.
        provider.kx_groups =
            vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1, aws_lc_rs::kx_group::SECP384R1];
        let provider = Arc::new(provider);
        let strict = authorities.map(|path| authority(path, &provider)).transpose()?;
        let make = |any_name, h2| {
            let verifier = Verifier { strict: strict.clone(), any_name, schemes: schemes(&provider) };
            config(&provider, verifier, own, h2)
        };
        Ok(Self {
            any: make(true, false)?,
            any_h2: make(true, true)?,
            named: make(false, false)?,
            named_h2: make(false, true)?,
        })
    }

    /// How a server at `address` is greeted, for HTTP/2 or not, and by which name.
    ///
    /// # Errors
    /// When its name is none.
    pub(super) fn of(
        &self,
        sni: Option<&str>,
        http2: bool,
        address: IpAddr,
    ) -> Result<(Arc<ClientConfig>, ServerName<'static>), String> {
        let config = match (sni, http2) {
            (Some(_), false) => &self.named,
            (Some(_), true) => &self.named_h2,
            (None, false) => &self.any,
            (None, true) => &self.any_h2,
        };
        let name = match sni {
            Some(name) => ServerName::try_from(name.to_owned())
                .map_err(|_| format!("`{}` is no name for a TLS greeting", line(name)))?,
            None => ServerName::IpAddress(address.into()), // goes into no greeting
        };
        Ok((config.clone(), name))
    }
}

fn config(
    provider: &Arc<CryptoProvider>,
    verifier: Verifier,
    own: Option<&(PathBuf, PathBuf)>,
    h2: bool,
) -> Result<Arc<ClientConfig>, String> {
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match own {
        Some((chain, path)) => {
            let key = PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| wrong(path, error))?;
            let config = config.with_client_auth_cert(certificates(chain)?, key);
            config.map_err(|error| wrong(chain, error))?
        }
        None => config.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled(); // what is checked includes the whole greeting
    if h2 {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    Ok(Arc::new(config))
}

fn authority(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, String> {
    let mut roots = RootCertStore::empty();
    if roots.add_parsable_certificates(certificates(path)?).0 == 0 {
        return Err(wrong(path, "it holds no authority"));
    }
    let strict = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone());
    strict.build().map_err(|error| wrong(path, error))
}

fn wrong(path: &Path, error: impl Display) -> String {
    format!("{}: {error}", path.display())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match found {
        Ok(found) if found.is_empty() => Err(wrong(path, "it holds no certificate (PEM)")),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(path, error)),
    }
}

/// A file, or why not.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(FILE_MAX).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| wrong(path, words(&error)))
}

fn schemes(provider: &CryptoProvider) -> Vec<SignatureScheme> {
    provider.signature_verification_algorithms.supported_schemes()
}

/// Looks at certificates only where there are authorities.
#[derive(Debug)]
struct Verifier {
    strict: Option<Arc<WebPkiServerVerifier>>,
    any_name: bool,
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        use rustls::Error::InvalidCertificate;
        let Some(strict) = &self.strict else { return Ok(ServerCertVerified::assertion()) };
        match strict.verify_server_cert(own, between, name, ocsp, now) {
            // The name comes last: all else was right.
            Err(InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) if self.any_name => {
                Ok(ServerCertVerified::assertion())
            }
            answer => answer,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match &self.strict {
            Some(strict) => strict.verify_tls12_signature(message, own, signed),
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match &self.strict {
            Some(strict) => strict.verify_tls13_signature(message, own, signed),
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// Why there is no TLS with a server whose first bytes were `head`.
pub(super) fn explain(error: &io::Error, head: &[u8]) -> Bad {
    use rustls::Error as Tls;
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>());
    let Some(tls) = inner else {
        return bad(format!("no TLS greeting: {}", words(error)));
    };
    match tls {
        Tls::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            bad("certificate expired")
        }
        Tls::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => bad("certificate not valid yet"),
        Tls::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            bad("certificate of an unknown authority")
        }
        Tls::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => bad("certificate is for another name"),
        Tls::InvalidCertificate(error) => bad(format!("certificate not valid: {}", line(&error.to_string()))),
        Tls::NoApplicationProtocol | Tls::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            bad("server does not offer HTTP/2 (ALPN)")
        }
        Tls::AlertReceived(alert) => bad(format!("server refuses the TLS greeting: {alert:?}")),
        Tls::InvalidMessage(_) => bad(format!("answers no TLS{}", shown(head))),
        other => bad(format!("no TLS: {}", line(&other.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_wrong_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("own.pem");
        let own = (path.clone(), path.clone());
        for (own, authorities) in [(Some(&own), None), (None, Some(path.as_path()))] {
            let _ = std::fs::remove_file(&path);
            let why = Greetings::load(own, authorities).unwrap_err();
            assert!(why.contains("own.pem: No such file"), "{why}");
            std::fs::write(&path, "no").unwrap();
            let why = Greetings::load(own, authorities).unwrap_err();
            assert!(why.contains("own.pem: "), "{why}");
        }
        assert!(Greetings::load(None, None).is_ok());
    }
}

//! Who somebody is: what a certificate says of its holder, in URIs beside the names of X.509.
//!
//! ```text
//!   subject            CN = alice                      CN = node1
//!   subjectAltName     URI hacluster://role/operator   URI hacluster://role/peer
//!                                                      URI hacluster://node/node1
//!                                                      DNS node1        (what clients check)
//! ```
//!
//! A certificate without a role says nothing here and may nothing. URIs that are not ours are ignored;
//! one of ours that is not understood is an error, so that a misspelt role is not a silent "none".
//! [`Identity::of`] verifies nothing: give it only certificates that a TLS handshake has verified.

use std::fmt;
use std::time::{Duration, SystemTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Our URIs begin so.
const SCHEME: &str = "hacluster://";
/// Longest name of a node, in bytes: one label of the domain name system.
pub const NODE_NAME_MAX_BYTES: usize = 63;
/// Longest name of a holder that is told or logged, in characters.
const HOLDER_MAX_CHARS: usize = 64;

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Looks.
    Viewer,
    /// Looks and moves.
    Operator,
    /// Another node's agent.
    Peer,
}

impl Role {
    /// Every role there is.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Peer];

    /// Its name, as in a certificate.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Peer => "peer",
        }
    }

    /// The URI that a certificate carries for it.
    pub fn uri(self) -> String {
        format!("{SCHEME}role/{}", self.name())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The URI that the certificate of node `name` carries.
///
/// # Errors
/// When a certificate cannot carry that name, in words.
pub fn node_uri(name: &str) -> Result<String, String> {
    check_node_name(name).map(|()| format!("{SCHEME}node/{name}"))
}

/// Whether a node can have this name: it stands in certificates as a host name does.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check_node_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let host_name = || rustls::pki_types::DnsName::try_from(name).is_ok();
    if (1..=NODE_NAME_MAX_BYTES).contains(&name.len()) && name.chars().all(plain) && host_name() {
        return Ok(());
    }
    Err(format!(
        "`{}` cannot be a node's name: it has 1 to {NODE_NAME_MAX_BYTES} letters, digits, `-`, `_` or `.`, \
         as a host name (set router_id)",
        tame(name)
    ))
}

/// Who holds a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The subject's common name, made safe to show; `-` when there is none.
    pub name: String,
    /// What it may do, sorted; empty for nothing.
    pub roles: Vec<Role>,
    /// The node whose agent it is.
    pub node: Option<String>,
    /// Serial number in hex, as in `openssl x509 -serial`.
    pub serial: String,
    /// Valid from.
    pub not_before: SystemTime,
    /// Valid until.
    pub expires: SystemTime,
}

/// Why a certificate tells nobody's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnIdentity(String);

impl fmt::Display for NotAnIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate says not who its holder is: {}; make one with `haclusterctl pki`", self.0)
    }
}

impl std::error::Error for NotAnIdentity {}

impl Identity {
    /// What the certificate `der` says.
    ///
    /// # Errors
    /// When it is no certificate, or contradicts itself.
    pub fn of(der: &[u8]) -> Result<Self, NotAnIdentity> {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|error| NotAnIdentity(error.to_string()))?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or("-");
        let validity = certificate.validity();
        let mut identity = Self {
            name: tame(name),
            roles: Vec::new(),
            node: None,
            serial: certificate.tbs_certificate.raw_serial_as_string().replace(':', ""),
            not_before: moment(validity.not_before.timestamp()),
            expires: moment(validity.not_after.timestamp()),
        };
        let names = certificate.subject_alternative_name();
        let names = names.map_err(|error| NotAnIdentity(format!("subjectAltName: {error}")))?;
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            if let GeneralName::URI(uri) = name {
                identity.read(uri).map_err(NotAnIdentity)?;
            }
        }
        identity.roles.sort();
        identity.roles.dedup();
        if identity.roles.contains(&Role::Peer) && identity.node.is_none() {
            return Err(NotAnIdentity("it has the role peer, but names no node".to_owned()));
        }
        Ok(identity)
    }

    fn read(&mut self, uri: &str) -> Result<(), String> {
        let Some(path) = uri.strip_prefix(SCHEME) else { return Ok(()) };
        match path.split_once('/') {
            Some(("role", name)) => {
                let role = Role::ALL.into_iter().find(|role| role.name() == name);
                self.roles.push(role.ok_or_else(|| format!("unknown role `{}`", tame(name)))?);
            }
            Some(("node", name)) => {
                check_node_name(name)?;
                if self.node.replace(name.to_owned()).is_some() {
                    return Err("it names two nodes".to_owned());
                }
            }
            _ => return Err(format!("unknown URI `{}`", tame(uri))),
        }
        Ok(())
    }

    /// Whether it has `role`.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// What a certificate says may stand in a log line: short, on one line, no control characters.
fn tame(text: &str) -> String {
    let printable = |c: char| if c.is_alphanumeric() || c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().take(HOLDER_MAX_CHARS).map(printable).collect()
}

fn moment(unix_secs: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(unix_secs.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn certificate(name: &str, uris: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn what_is_written_is_read() {
        let operator = Identity::of(&certificate("alice", &[&Role::Operator.uri()])).unwrap();
        assert_eq!(
            (operator.name.as_str(), operator.roles, operator.node),
            ("alice", vec![Role::Operator], None)
        );
        let node = node_uri("node-1_a.example").unwrap();
        let peer = Identity::of(&certificate("x", &[&node, &Role::Peer.uri(), &Role::Viewer.uri()])).unwrap();
        assert_eq!(peer.node.as_deref(), Some("node-1_a.example"));
        assert_eq!(peer.roles, [Role::Viewer, Role::Peer]);
        assert!(peer.not_before < peer.expires && !peer.serial.is_empty());
    }

    #[test]
    fn what_is_not_ours_says_nothing() {
        let stranger = Identity::of(&certificate("s", &["spiffe://a/b", "https://role/operator"])).unwrap();
        assert_eq!((stranger.roles, stranger.node), (vec![], None));
    }

    #[test]
    fn what_is_ours_and_wrong_is_an_error() {
        for (uris, expected) in [
            (&["hacluster://role/admin"][..], "unknown role `admin`"),
            (&["hacluster://role/peer"], "names no node"),
            (&["hacluster://node/a b"], "cannot be a node's name"),
            (&["hacluster://node/a", "hacluster://node/b"], "two nodes"),
            (&["hacluster://other"], "unknown URI"),
        ] {
            let message = Identity::of(&certificate("s", uris)).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert!(Identity::of(b"\x30\x82").is_err() && Identity::of(&[]).is_err());
    }

    #[test]
    fn damaged_certificates_never_panic() {
        let whole = certificate("alice", &[&Role::Operator.uri()]);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            let _ = Identity::of(&damaged);
            let _ = Identity::of(&whole[..at]);
        }
    }

    #[test]
    fn names_are_tame() {
        let identity = Identity::of(&certificate("a\n\u{1b}[31m\u{202e}b", &[])).unwrap();
        assert_eq!(identity.name, "a??[31m?b");
    }
}

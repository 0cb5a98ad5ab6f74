//! Why a connection does not work, in words: what, whose, and the mend.
//!
//! What TLS and the kernel say lies deep in chains of causes; [`explain`] finds it.

use super::Material;
use rustls::{AlertDescription, CertificateError, Error as TlsError};
use std::error::Error;
use std::fmt;
use std::io;
use std::time::{Duration, SystemTime};

/// Why there is no connection; for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The address is none, or its name is not known.
    Address,
    /// Nobody listens there.
    Refused,
    /// The network does not lead there, or nobody answered in time.
    Unreachable,
    /// Whoever listens there speaks no TLS 1.3.
    NotTls,
    /// The server's certificate comes from another authority.
    WrongAuthority,
    /// The server's certificate has ended.
    Expired,
    /// The server's certificate is not valid yet: a clock is off.
    NotYetValid,
    /// The server is another node than was meant.
    WrongNode,
    /// The server's certificate was revoked.
    Revoked,
    /// The server does not take our certificate.
    ClientRefused,
    /// The connection ended.
    Lost,
    /// Anything else.
    Other,
}

/// Why there is no connection: [`Fault`] for programs, one line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectError {
    /// For programs.
    pub fault: Fault,
    text: String,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for ConnectError {}

/// Finds in `error` and its causes what TLS or the kernel said, and says it in words. For errors of
/// calls on a channel; [`connect`](super::connect) explains its own.
pub fn explain(error: &(dyn Error + 'static), tls: &Material, address: &str, node: &str) -> ConnectError {
    To { address, node, tls }.explain(error)
}

/// Whom we talk to, and who we are.
pub(super) struct To<'a> {
    pub(super) address: &'a str,
    pub(super) node: &'a str,
    pub(super) tls: &'a Material,
}

impl To<'_> {
    pub(super) fn timed_out(&self, after: Duration) -> ConnectError {
        let (node, address) = (self.node, self.address);
        let text = format!(
            "{node} at {address} did not answer within {after:?}; look whether a firewall drops the port, \
             and whether the host is up"
        );
        ConnectError { fault: Fault::Unreachable, text }
    }

    pub(super) fn explain(&self, error: &(dyn Error + 'static)) -> ConnectError {
        let mut cause = Some(error);
        let mut system = None;
        while let Some(at) = cause {
            if let Some(tls) = at.downcast_ref::<TlsError>() {
                return self.tls(tls);
            }
            if let Some(io) = at.downcast_ref::<io::Error>() {
                system = Some(io);
                // An io::Error does not count what it wraps among its causes, but what that has.
                if let Some(inner) = io.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
                    return self.tls(inner);
                }
            }
            cause = at.source();
        }
        match system {
            Some(io) => self.io(io),
            None => self.say(Fault::Other, &format!("cannot be asked: {error}")),
        }
    }

    fn say(&self, fault: Fault, text: &str) -> ConnectError {
        ConnectError { fault, text: format!("{} at {} {text}", self.node, self.address) }
    }

    fn io(&self, error: &io::Error) -> ConnectError {
        use io::ErrorKind;
        let (fault, text) = match error.kind() {
            ErrorKind::ConnectionRefused => (
                Fault::Refused,
                "does not listen; start hacluster-agent there, with [api] listen at this address".to_owned(),
            ),
            ErrorKind::TimedOut
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::AddrNotAvailable => {
                (Fault::Unreachable, format!("cannot be reached: {error}; look at routes and firewall"))
            }
            ErrorKind::InvalidInput => {
                (Fault::Address, format!("cannot be asked: {error}; write host:port and the node's name"))
            }
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
                (Fault::Lost, format!("ended the connection ({error}); its log says why"))
            }
            ErrorKind::UnexpectedEof => (
                Fault::Lost,
                "closed the connection before it said anything: it has too many, or does not speak TLS; \
                 its log says why"
                    .to_owned(),
            ),
            _ if error.raw_os_error().is_none() => {
                (Fault::Address, format!("cannot be found: {error}; correct the address"))
            }
            _ => (Fault::Other, format!("cannot be asked: {error}")),
        };
        self.say(fault, &text)
    }

    fn tls(&self, error: &TlsError) -> ConnectError {
        match error {
            TlsError::InvalidCertificate(certificate) => self.certificate(certificate),
            TlsError::AlertReceived(alert) => self.alert(*alert),
            TlsError::InvalidMessage(_) | TlsError::PeerIncompatible(_) | TlsError::NoApplicationProtocol => {
                self.say(Fault::NotTls, "does not speak TLS 1.3 as an agent does; look what listens there")
            }
            _ => self.say(Fault::Other, &format!("cannot be trusted: {error}")),
        }
    }

    fn certificate(&self, error: &CertificateError) -> ConnectError {
        use CertificateError as E;
        let node = self.node;
        let now = show(SystemTime::now());
        let (fault, text) = match error {
            E::UnknownIssuer | E::BadSignature => (
                Fault::WrongAuthority,
                format!(
                    "has a certificate that no authority in {} signed; both sides need the same authority",
                    self.tls.files().authority.display()
                ),
            ),
            E::ExpiredContext { not_after, .. } => (
                Fault::Expired,
                format!(
                    "has a certificate that expired {} (it is {now} here); renew it with `haclusterctl pki \
                     renew {node}`, unless the clock of this host is off",
                    show(from_unix(not_after.as_secs()))
                ),
            ),
            E::NotValidYetContext { not_before, .. } => (
                Fault::NotYetValid,
                format!(
                    "has a certificate that is valid only from {} (it is {now} here): the clock of this host, \
                     or of the one that made it, is off; set it (chronyc makestep)",
                    show(from_unix(not_before.as_secs()))
                ),
            ),
            E::NotValidForName | E::NotValidForNameContext { .. } => (
                Fault::WrongNode,
                format!(
                    "is not {node}: its certificate has other names{}; correct the address or the node's name",
                    presented(error)
                ),
            ),
            E::Revoked => (
                Fault::Revoked,
                format!(
                    "has a certificate that was revoked; give it another: `haclusterctl pki node {node}`"
                ),
            ),
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => (
                Fault::WrongNode,
                format!("has a certificate that is no node's; make one: `haclusterctl pki node {node}`"),
            ),
            other => (Fault::Other, format!("has a certificate that cannot be used: {other}")),
        };
        self.say(fault, &text)
    }

    /// The server tells why it does not take our certificate in one word.
    fn alert(&self, alert: AlertDescription) -> ConnectError {
        let path = self.tls.files().certificate.display();
        let own = self.tls.identity();
        let text = match alert {
            AlertDescription::CertificateRevoked => {
                format!("refuses {path}: it was revoked; ask for another: `haclusterctl pki`")
            }
            AlertDescription::CertificateExpired => self.refused_by_clock(),
            AlertDescription::UnknownCA => format!(
                "refuses {path}: it was signed by an authority that the node does not know; both sides need \
                 the same authority"
            ),
            AlertDescription::CertificateRequired => "demands a certificate and was given none".to_owned(),
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied => {
                format!("refuses {path} of {}: {alert:?}; make another with `haclusterctl pki`", own.name)
            }
            AlertDescription::ProtocolVersion
            | AlertDescription::NoApplicationProtocol
            | AlertDescription::HandshakeFailure => {
                return self
                    .say(Fault::NotTls, "does not speak TLS 1.3 as an agent does; look what listens there");
            }
            other => {
                return self.say(Fault::Other, &format!("ended the connection: {other:?}; its log says why"));
            }
        };
        self.say(Fault::ClientRefused, &text)
    }

    /// One alert stands for "too old" and "too new"; our own clock tells them apart.
    fn refused_by_clock(&self) -> String {
        let (own, now) = (self.tls.identity(), SystemTime::now());
        let path = self.tls.files().certificate.display();
        if own.expires <= now {
            format!(
                "refuses {path}: it expired {}; make another with `haclusterctl pki renew {}`",
                show(own.expires),
                own.name
            )
        } else {
            format!(
                "refuses {path} as expired or not yet valid, but by the clock here ({}) it is valid from {} to \
                 {}: the clock of {} or of this host is off; compare them and set the wrong one",
                show(now),
                show(own.not_before),
                show(own.expires),
                self.node
            )
        }
    }
}

fn presented(error: &CertificateError) -> String {
    match error {
        CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
            let names: Vec<_> = presented.iter().take(4).map(|name| format!("{name:?}")).collect();
            format!(" ({})", names.join(", "))
        }
        _ => String::new(),
    }
}

fn from_unix(secs: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(secs)).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// RFC 3339, to the second.
fn show(at: SystemTime) -> String {
    let secs = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    prost_types::Timestamp { seconds: secs.try_into().unwrap_or(i64::MAX), nanos: 0 }.to_string()
}

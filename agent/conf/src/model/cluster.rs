//! How this node is reached, and the other agents it knows.

use std::net::SocketAddr;
use std::path::PathBuf;

/// `[api]`: the control API over TCP. Without it the agent answers on its unix socket alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// Where to listen.
    pub listen: SocketAddr,
    /// How to know others and be known.
    pub tls: Tls,
}

/// Files of the TLS identity, PEM. All are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// This node's certificate, with its chain.
    pub certificate: PathBuf,
    /// Its private key; nobody else may read the file.
    pub key: PathBuf,
    /// The authority that signs nodes and operators.
    pub authority: PathBuf,
    /// Certificates that count no more.
    pub revoked: Option<PathBuf>,
}

/// `[[peer]]`: another node's agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name: its `router_id`, and the name in its certificate.
    pub name: String,
    /// Where it listens: `host:port`.
    pub address: String,
}

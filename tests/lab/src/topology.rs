//! A topology as data: which hosts exist, on which networks, with which addresses.
//!
//! ```
//! use hacluster_lab::Topology;
//!
//! let two_hosts = Topology::new("pair")
//!     .network("lan")
//!     .node("left", &[("eth0", "lan", "10.0.0.1/24")])
//!     .node("right", &[("eth0", "lan", "10.0.0.2/24")]);
//! assert_eq!(two_hosts.nodes.len(), 2);
//! ```
//!
//! Nothing is checked here; [`Lab::new`](crate::Lab::new) refuses what it cannot build and says why.

use std::{fmt, net::Ipv4Addr, str::FromStr};

/// The longest interface name the kernel takes, in bytes (`IFNAMSIZ` less its final zero).
pub const INTERFACE_NAME_MAX: usize = 15;

/// Hosts and the networks between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// What the lab calls itself in messages and temporary directories.
    pub name: String,
    /// One bridge each.
    pub networks: Vec<String>,
    /// One network namespace each.
    pub nodes: Vec<NodeSpec>,
}

/// A host to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    /// Unique in its topology.
    pub name: String,
    /// In the order they are created.
    pub interfaces: Vec<InterfaceSpec>,
}

/// An interface to be: a cable from a host to a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceSpec {
    /// As the host sees it, such as `eth0`.
    pub name: String,
    /// One of [`Topology::networks`].
    pub network: String,
    /// Addresses with prefix lengths, such as `10.0.0.1/24`; separated by spaces, may be empty.
    pub addresses: String,
}

impl Topology {
    /// No hosts and no networks yet.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Adds a network. Its name is also its bridge's: at most [`INTERFACE_NAME_MAX`] bytes.
    pub fn network(mut self, name: &str) -> Self {
        self.networks.push(name.to_owned());
        self
    }

    /// Adds a host with its interfaces: name, network, and addresses separated by spaces.
    pub fn node(mut self, name: &str, interfaces: &[(&str, &str, &str)]) -> Self {
        let interfaces = interfaces
            .iter()
            .map(|(name, network, addresses)| InterfaceSpec {
                name: (*name).to_owned(),
                network: (*network).to_owned(),
                addresses: (*addresses).to_owned(),
            })
            .collect();
        self.nodes.push(NodeSpec { name: name.to_owned(), interfaces });
        self
    }
}

/// An IPv4 address with its prefix length, such as `10.0.0.1/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    /// The host's address.
    pub ip: Ipv4Addr,
    /// Bits of it that name the network: 0 to 32.
    pub prefix_len: u8,
}

impl Cidr {
    /// The broadcast address of its network; `None` where there is no room for one.
    pub fn broadcast(&self) -> Option<Ipv4Addr> {
        let hosts = u32::MAX.checked_shr(self.prefix_len.into()).unwrap_or(0);
        (self.prefix_len < 31).then(|| Ipv4Addr::from_bits(self.ip.to_bits() | hosts))
    }
}

impl FromStr for Cidr {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (ip, prefix_len) = text.split_once('/')?;
            let (ip, prefix_len) = (ip.parse().ok()?, prefix_len.parse().ok()?);
            (prefix_len <= 32).then_some(Self { ip, prefix_len })
        };
        read().ok_or_else(|| {
            anyhow::anyhow!("`{text}` is no IPv4 address with a prefix length, such as 10.0.0.1/24")
        })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cidr_reads_what_it_writes() {
        for text in ["10.0.0.1/24", "192.168.20.187/32", "0.0.0.0/0"] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn cidr_refuses_what_is_none() {
        for text in ["", "10.0.0.1", "10.0.0.1/33", "10.0.0/24", "fe80::1/64", "10.0.0.1/-1", "a/8"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    #[test]
    fn broadcast_is_the_last_address() {
        let broadcast = |text: &str| text.parse::<Cidr>().unwrap().broadcast().map(|ip| ip.to_string());
        assert_eq!(broadcast("172.18.10.10/16").as_deref(), Some("172.18.255.255"));
        assert_eq!(broadcast("1.2.3.4/0").as_deref(), Some("255.255.255.255"));
        assert_eq!(broadcast("1.2.3.4/31"), None);
        assert_eq!(broadcast("1.2.3.4/32"), None);
    }
}

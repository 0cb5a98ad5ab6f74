//! What is balanced, over whom, and how it is known who can take it: virtual servers, real servers,
//! checks.
//!
//! ```text
//!   Lvs -- VirtualServer -- Frontend*      what the kernel matches: address and port, or mark
//!            |        `---- sorry          who answers while the quorum is lost
//!            `-- RealServer -- Check*      all must be good
//! ```

mod check;

pub use check::{
    Check, CheckKind, CheckPace, CheckRoute, DnsRecord, HttpCheck, HttpVersion, Pattern, UdpCheck, UdpReply,
    Url,
};

use super::command::{Command, Fifo};
use hacluster_core::time::Duration;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Everything that concerns IPVS.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lvs {
    /// In the order written; no two share a frontend.
    pub services: Vec<VirtualServer>,
    /// Connection synchronisation; `None` for none.
    pub sync: Option<SyncDaemon>,
    /// Connection timeouts of the kernel, `None` where they stay as they are.
    pub timeouts: Timeouts,
    /// Remove whatever the kernel balances at start, ours or not (`lvs_flush`).
    pub flush: bool,
    /// How services leave at the end.
    pub flush_on_stop: FlushOnStop,
    /// Pipe that is told about virtual and real servers alone (`lvs_notify_fifo`).
    pub fifo: Option<Fifo>,
    /// Certificate of our own for `SSL_GET`, if servers ask for one (block `SSL`).
    pub client: Option<ClientCertificate>,
    /// Authorities, PEM, that servers of `SSL_GET` are checked against, in `agent.toml` only; `None` looks
    /// at no certificate, as keepalived.
    pub authorities: Option<PathBuf>,
    /// Mail only when a real server comes or goes, not when one of its several checks turns
    /// (`no_checker_emails`).
    pub fewer_mails: bool,
    /// Servers that are up when they are set up are told to `notify_up` and to fifos, as if they had come
    /// then (`rs_init_notifies`).
    pub tell_at_start: bool,
}

/// Connection timeouts of the kernel, whole seconds above zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Established TCP.
    pub tcp: Option<Duration>,
    /// TCP after a FIN.
    pub tcp_fin: Option<Duration>,
    /// UDP.
    pub udp: Option<Duration>,
}

/// How services leave when the agent ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlushOnStop {
    /// Ours are removed one by one.
    #[default]
    Ours,
    /// Everything goes in one request, others' too (`lvs_flush_on_stop`).
    All,
    /// Ours are removed, their real servers going with them (`lvs_flush_on_stop VS`).
    Services,
}

/// The kernel's connection synchronisation (`lvs_sync_daemon`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncDaemon {
    /// Interface it speaks on.
    pub interface: String,
    /// Virtual router whose state decides who sends; `None` sends and receives all the time.
    pub router: Option<String>,
    /// 0 to 255; must be equal on both sides.
    pub id: u8,
    /// Largest packet in bytes; `None` for the interface's.
    pub max_len: Option<u16>,
    /// UDP port; `None` for 8848.
    pub port: Option<u16>,
    /// TTL of its packets; `None` for 1.
    pub ttl: Option<u8>,
    /// Multicast group; `None` for 224.0.0.81.
    pub group: Option<IpAddr>,
}

impl SyncDaemon {
    /// Bytes that one which hears takes at least: the kernel raises a smaller [`Self::max_len`].
    pub const HEARS_LEAST: u16 = 1_024;

    /// What is to be said of `max_len`, written as `key`; `None` when the kernel takes it in both roles.
    pub fn raised(key: &str, max_len: u16) -> Option<String> {
        let least = Self::HEARS_LEAST;
        let text =
            || format!("{key} {max_len} is {least} while this node hears (backup): the kernel raises it");
        (max_len < least).then(text)
    }
}

/// Certificate and key for servers that ask for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
}

/// Several frontends with the same real servers and one fate.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualServer {
    /// As written after `virtual_server`: `10.0.0.1 80`, `fwmark 3`, `group web`; then the protocol unless
    /// it is TCP or a mark, and `inet6` for marks of IPv6: `10.0.0.1 53 UDP`. Unique.
    pub name: String,
    /// What the kernel matches: one unless it is a group, never empty.
    pub frontends: Vec<Frontend>,
    /// How a real server is chosen.
    pub scheduler: Scheduler,
    /// Keeps clients at their real server.
    pub persistence: Option<Persistence>,
    /// Every packet by itself, UDP only (`ops`).
    pub one_packet: bool,
    /// Way to the real servers that name no other.
    pub forwarding: Forwarding,
    /// Checks rest while the address is not on this machine, whoever puts it there (`ha_suspend`).
    pub ha_suspend: bool,
    /// Run the scripts for "down" when the agent ends (`omega`).
    pub omega: bool,
    /// Least sum of weights for the service to be up, at least 1.
    pub quorum: u32,
    /// How far the sum must exceed it, or fall below it, to count; less than the quorum.
    pub hysteresis: u32,
    /// Run when the quorum is reached.
    pub quorum_up: Option<Command>,
    /// Run when it is lost.
    pub quorum_down: Option<Command>,
    /// Mail when either happens.
    pub mail: bool,
    /// Answers while the quorum is lost.
    pub sorry: Option<SorryServer>,
    /// In the order written; no two with the same address and port.
    pub servers: Vec<RealServer>,
}

impl VirtualServer {
    /// What all directors must have alike: without what each does in its own way, which is scripts, mail and
    /// where its checks come from.
    #[must_use]
    pub fn shared(&self) -> Self {
        let mut shared = Self { quorum_up: None, quorum_down: None, mail: false, ..self.clone() };
        for server in &mut shared.servers {
            (server.notify_up, server.notify_down, server.mail) = (None, None, false);
            for check in &mut server.checks {
                (check.route.from, check.route.interface) = (None, None);
                check.route.fwmark = 0;
            }
        }
        shared
    }
}

/// What the kernel matches packets against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Frontend {
    /// Address and port; port 0 for every port, with persistence only.
    Address {
        /// Transport.
        protocol: Protocol,
        /// Where.
        to: SocketAddr,
    },
    /// Packets the packet filter has marked.
    Mark {
        /// Above zero.
        mark: u32,
        /// IPv6, not IPv4.
        ipv6: bool,
    },
}

impl fmt::Display for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { protocol, to } => write!(f, "{protocol} {to}"),
            Self::Mark { mark, ipv6: false } => write!(f, "fwmark {mark}"),
            Self::Mark { mark, ipv6: true } => write!(f, "fwmark {mark} (IPv6)"),
        }
    }
}

/// Transport protocols that IPVS balances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

/// How a real server is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduler {
    /// The kernel's name: `rr`, `wlc` and so on.
    pub name: String,
    /// `flag-1` to `flag-3`, whose meaning is the scheduler's; `sh-fallback` is 1, `sh-port` 2, same for `mh`.
    pub flags: [bool; 3],
}

/// How long and how widely clients stay at their real server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// Whole seconds, 1 to 2,678,400.
    pub timeout: Duration,
    /// Clients whose addresses share so many bits count as one: 1 to 32, for IPv6 to 128.
    pub prefix_len: u8,
    /// What connections are told apart by beside the address, such as `sip`.
    pub engine: Option<String>,
}

/// Way of packets to a real server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Forwarding {
    /// Addresses are rewritten (`NAT`).
    #[default]
    Masquerade,
    /// The frame is sent on as it is (`DR`).
    DirectRouting,
    /// Packed into another packet (`TUN`).
    Tunnel(Tunnel),
}

impl fmt::Display for Forwarding {
    /// As written in keepalived.conf.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = |checksum: &TunnelChecksum| match checksum {
            TunnelChecksum::None => "",
            TunnelChecksum::Full => " csum",
            TunnelChecksum::Remote => " remcsum",
        };
        match self {
            Self::Masquerade => f.write_str("NAT"),
            Self::DirectRouting => f.write_str("DR"),
            Self::Tunnel(Tunnel::Ipip) => f.write_str("TUN"),
            Self::Tunnel(Tunnel::Gue { port, checksum }) => {
                write!(f, "TUN type gue port {port}{}", with(checksum))
            }
            Self::Tunnel(Tunnel::Gre { checksum }) => write!(f, "TUN type gre{}", with(checksum)),
        }
    }
}

/// What a tunnelled packet is packed into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tunnel {
    /// IP in IP.
    #[default]
    Ipip,
    /// Generic UDP encapsulation.
    Gue {
        /// UDP port.
        port: u16,
        /// Checksums.
        checksum: TunnelChecksum,
    },
    /// Generic routing encapsulation.
    Gre {
        /// Checksums.
        checksum: TunnelChecksum,
    },
}

/// Checksums of an outer packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TunnelChecksum {
    /// None (`nocsum`).
    #[default]
    None,
    /// Over the whole (`csum`).
    Full,
    /// Remote checksum offload (`remcsum`), GUE only.
    Remote,
}

/// Whether the virtual server of this name is meant by `typed`: `10.0.0.1 80`, `10.0.0.1:80`, `group web`,
/// `web`.
pub fn is_called(name: &str, typed: &str) -> bool {
    let is = |typed: &str| name.eq_ignore_ascii_case(typed);
    let spaced = || {
        let (ip, port) = typed.rsplit_once(':')?;
        Some(format!("{} {port}", ip.trim_matches(['[', ']'])))
    };
    is(typed)
        || name.strip_prefix("group ").is_some_and(|group| group.eq_ignore_ascii_case(typed))
        || spaced().is_some_and(|typed| is(&typed))
}

/// Address and port as they are written: `10.0.0.2 80`, or the address alone without a port.
pub fn written(to: &SocketAddr) -> String {
    if to.port() == 0 { to.ip().to_string() } else { format!("{} {}", to.ip(), to.port()) }
}

/// Who answers while the quorum is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SorryServer {
    /// Port 0 for the virtual server's.
    pub to: SocketAddr,
    /// Way there.
    pub forwarding: Forwarding,
    /// Keep it in the table with weight 0 while it is not needed (`sorry_server_inhibit`).
    pub inhibit: bool,
}

/// A server that takes connections.
#[derive(Clone, Debug, PartialEq)]
pub struct RealServer {
    /// Port 0 for the virtual server's.
    pub to: SocketAddr,
    /// 0 (no new connections) to 65,535.
    pub weight: u16,
    /// Way there.
    pub forwarding: Forwarding,
    /// With more connections it gets no new ones; 0 for no limit.
    pub upper_threshold: u32,
    /// With fewer it gets new ones again, not above the upper one; 0 for three quarters of that.
    pub lower_threshold: u32,
    /// Weight 0 instead of removal when a check fails.
    pub inhibit_on_failure: bool,
    /// Run when it comes.
    pub notify_up: Option<Command>,
    /// Run when it goes.
    pub notify_down: Option<Command>,
    /// Mail when it comes or goes.
    pub mail: bool,
    /// All must be good; none means that it is always good.
    pub checks: Vec<Check>,
}

//! Destinations: the real servers of a service, and the way to them.
//!
//! ```text
//!   DEST { ADDR_FAMILY, ADDR, PORT }                                           names one
//!   DEST { … FWD_METHOD, WEIGHT, TUN_TYPE, TUN_PORT, TUN_FLAGS, thresholds }   describes it
//! ```

use super::{
    service::{Family, address, number16, put_address},
    stats::Stats,
};
use crate::netlink::{
    build::Attributes,
    frame::{attributes, number},
};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

const ADDR: u16 = 1;
const PORT: u16 = 2;
const FWD_METHOD: u16 = 3;
const WEIGHT: u16 = 4;
const U_THRESH: u16 = 5;
const L_THRESH: u16 = 6;
const ACTIVE_CONNS: u16 = 7;
const INACT_CONNS: u16 = 8;
const PERSIST_CONNS: u16 = 9;
const STATS: u16 = 10;
const ADDR_FAMILY: u16 = 11;
const STATS64: u16 = 12;
const TUN_TYPE: u16 = 13;
const TUN_PORT: u16 = 14;
const TUN_FLAGS: u16 = 15;

/// `FWD_METHOD` of a tunnel.
const TUNNEL: u32 = 2;

/// What a real server is known by within its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestKey {
    /// Its address; of another family than the service's it needs a tunnel.
    pub ip: IpAddr,
    /// Its port. Only masquerading can make it differ from the service's.
    pub port: u16,
}

impl DestKey {
    /// Appends what names it.
    pub(super) fn put(&self, dest: &mut Attributes<'_>) {
        dest.ne16(ADDR_FAMILY, Family::of(self.ip).number());
        put_address(dest, ADDR, self.ip);
        dest.be16(PORT, self.port);
    }
}

impl fmt::Display for DestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.ip, self.port).fmt(f)
    }
}

/// Way of packets to a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forwarding {
    /// Addresses are rewritten (NAT).
    Masquerade,
    /// The packet is sent on as it is, to the server's Ethernet address (DR).
    Direct,
    /// Packed into another packet (TUN).
    Tunnel(Tunnel),
    /// Kept for this host. Older kernels report it; it cannot be asked for.
    Local,
    /// Something newer, by the kernel's number. It cannot be asked for.
    Other(u32),
}

/// What a tunnelled packet is packed into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tunnel {
    /// IP in IP.
    Ipip,
    /// Generic UDP encapsulation; since Linux 5.3.
    Gue {
        /// UDP port, above zero.
        port: u16,
        /// Checksums.
        checksum: Checksum,
    },
    /// Generic routing encapsulation; since Linux 5.3.
    Gre {
        /// Checksums; not [`Checksum::Remote`].
        checksum: Checksum,
    },
}

/// Checksums of an outer packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// None.
    None,
    /// Over the whole.
    Full,
    /// Remote checksum offload.
    Remote,
}

impl Forwarding {
    fn number(self) -> u32 {
        match self {
            Self::Masquerade => 0,
            Self::Local => 1,
            Self::Tunnel(_) => TUNNEL,
            Self::Direct => 3,
            Self::Other(number) => number,
        }
    }

    fn from_numbers(method: u32, tunnel: (u8, u16, u16)) -> Self {
        let (kind, port, flags) = tunnel;
        let checksum = match flags {
            flags if flags & 2 != 0 => Checksum::Remote,
            flags if flags & 1 != 0 => Checksum::Full,
            _ => Checksum::None,
        };
        match (method, kind) {
            (0, _) => Self::Masquerade,
            (1, _) => Self::Local,
            (3, _) => Self::Direct,
            (TUNNEL, 0) => Self::Tunnel(Tunnel::Ipip),
            (TUNNEL, 1) => Self::Tunnel(Tunnel::Gue { port, checksum }),
            (TUNNEL, 2) => Self::Tunnel(Tunnel::Gre { checksum }),
            (method, _) => Self::Other(method),
        }
    }

    /// Kind, port and flags of the tunnel, zeros for everything else.
    fn tunnel(self) -> (u8, u16, u16) {
        let Self::Tunnel(tunnel) = self else { return (0, 0, 0) };
        match tunnel {
            Tunnel::Ipip => (0, 0, 0),
            Tunnel::Gue { port, checksum } => (1, port, checksum.flags()),
            Tunnel::Gre { checksum } => (2, 0, checksum.flags()),
        }
    }
}

impl Checksum {
    fn flags(self) -> u16 {
        match self {
            Self::None => 0,
            Self::Full => 1,
            Self::Remote => 2,
        }
    }
}

/// How a real server shall be, or is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DestSpec {
    /// What it is known by.
    pub key: DestKey,
    /// Its share of new connections, 0 (none) to 2^31 - 1.
    pub weight: u32,
    /// Way there.
    pub forwarding: Forwarding,
    /// With so many connections it gets no new ones; 0 for no limit.
    pub upper_threshold: u32,
    /// With fewer it gets new ones again; 0 for three quarters of the upper one.
    pub lower_threshold: u32,
}

impl DestSpec {
    /// A real server without limits.
    pub fn new(ip: IpAddr, port: u16, weight: u32, forwarding: Forwarding) -> Self {
        let key = DestKey { ip, port };
        Self { key, weight, forwarding, upper_threshold: 0, lower_threshold: 0 }
    }

    /// Appends what describes it.
    pub(super) fn put(&self, dest: &mut Attributes<'_>) {
        let (tunnel, port, flags) = self.forwarding.tunnel();
        self.key.put(dest);
        dest.ne32(FWD_METHOD, self.forwarding.number());
        dest.ne32(WEIGHT, self.weight);
        dest.u8(TUN_TYPE, tunnel);
        dest.be16(TUN_PORT, port);
        dest.ne16(TUN_FLAGS, flags);
        dest.ne32(U_THRESH, self.upper_threshold);
        dest.ne32(L_THRESH, self.lower_threshold);
    }
}

/// A real server as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestEntry {
    /// How it is.
    pub spec: DestSpec,
    /// Connections established now.
    pub active: u32,
    /// Connections that are not, or no longer.
    pub inactive: u32,
    /// Clients that persistence keeps at it.
    pub persistent: u32,
    /// What it did so far.
    pub stats: Stats,
}

/// What a `DEST` attribute says, as far as it was understood.
#[derive(Default)]
struct Said {
    family: Option<Family>,
    address: Option<[u8; 16]>,
    port: Option<u16>,
    method: u32,
    weight: u32,
    thresholds: (u32, u32),
    tunnel: (u8, u16, u16),
    connections: (u32, u32, u32),
    stats: Stats,
    stats64: Option<Stats>,
}

impl DestEntry {
    /// From the content of a `DEST` attribute of a service of family `of_service`; `None` when that
    /// names no server.
    pub(super) fn parse(dest: &[u8], of_service: Family) -> Option<Self> {
        let mut said = Said { family: Some(of_service), ..Said::default() };
        attributes(dest, &mut |kind, value| {
            let count = || number(value).unwrap_or_default();
            match kind {
                ADDR_FAMILY => said.family = number16(value).and_then(Family::from_number),
                ADDR => said.address = value.try_into().ok(),
                PORT => said.port = value.try_into().ok().map(u16::from_be_bytes),
                FWD_METHOD => said.method = count(),
                WEIGHT => said.weight = count(),
                U_THRESH => said.thresholds.0 = count(),
                L_THRESH => said.thresholds.1 = count(),
                TUN_TYPE => said.tunnel.0 = value.first().copied().unwrap_or_default(),
                TUN_PORT => said.tunnel.1 = value.try_into().map(u16::from_be_bytes).unwrap_or_default(),
                TUN_FLAGS => said.tunnel.2 = number16(value).unwrap_or_default(),
                ACTIVE_CONNS => said.connections.0 = count(),
                INACT_CONNS => said.connections.1 = count(),
                PERSIST_CONNS => said.connections.2 = count(),
                STATS => said.stats = Stats::parse(value),
                STATS64 => said.stats64 = Some(Stats::parse(value)),
                _ => {}
            }
        });
        said.entry()
    }
}

impl Said {
    fn entry(self) -> Option<DestEntry> {
        let key = DestKey { ip: address(self.family?, &self.address?), port: self.port? };
        let forwarding = Forwarding::from_numbers(self.method, self.tunnel);
        let (upper_threshold, lower_threshold) = self.thresholds;
        let (active, inactive, persistent) = self.connections;
        let spec = DestSpec { key, weight: self.weight, forwarding, upper_threshold, lower_threshold };
        let stats = self.stats64.unwrap_or(self.stats);
        Some(DestEntry { spec, active, inactive, persistent, stats })
    }
}

//! Virtual services: what the kernel matches packets against, and how it spreads them.
//!
//! ```text
//!   SERVICE { AF, PROTOCOL, ADDR, PORT | AF, FWMARK }                          names one
//!   SERVICE { … SCHED_NAME, PE_NAME, FLAGS (value, mask), TIMEOUT, NETMASK }   describes it
//! ```
//!
//! Address, port and IPv4 mask are big-endian, everything else native, an IPv6 prefix length too.

use super::stats::Stats;
use crate::netlink::{
    build::Attributes,
    frame::{attributes, number, string},
};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::BitOr,
};

const AF: u16 = 1;
const PROTOCOL: u16 = 2;
const ADDR: u16 = 3;
const PORT: u16 = 4;
const FWMARK: u16 = 5;
const SCHED_NAME: u16 = 6;
const FLAGS: u16 = 7;
const TIMEOUT: u16 = 8;
const NETMASK: u16 = 9;
const STATS: u16 = 10;
const PE_NAME: u16 = 11;
const STATS64: u16 = 12;

/// Bytes of an address attribute; an IPv4 address fills the first four.
const ADDRESS_BYTES: usize = 16;

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Bits of an address.
    pub fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    pub(super) fn number(self) -> u16 {
        match self {
            Self::V4 => libc::AF_INET as u16,
            Self::V6 => libc::AF_INET6 as u16,
        }
    }

    pub(super) fn from_number(number: u16) -> Option<Self> {
        [Self::V4, Self::V6].into_iter().find(|family| family.number() == number)
    }
}

/// Transport protocols that IPVS balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    fn number(self) -> u16 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
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

/// What a service is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceKey {
    /// Packets to an address and port.
    Address {
        /// Transport.
        protocol: Protocol,
        /// Address.
        ip: IpAddr,
        /// Port; 0 for every port, which the kernel takes with persistence only.
        port: u16,
    },
    /// Packets that carry a mark of the packet filter.
    Mark {
        /// Above zero.
        mark: u32,
        /// Of which family.
        family: Family,
    },
}

impl ServiceKey {
    /// IPv4 or IPv6.
    pub fn family(&self) -> Family {
        match self {
            Self::Address { ip, .. } => Family::of(*ip),
            Self::Mark { family, .. } => *family,
        }
    }

    /// Appends what names it.
    pub(super) fn put(&self, service: &mut Attributes<'_>) {
        service.ne16(AF, self.family().number());
        match *self {
            Self::Address { protocol, ip, port } => {
                service.ne16(PROTOCOL, protocol.number());
                put_address(service, ADDR, ip);
                service.be16(PORT, port);
            }
            Self::Mark { mark, .. } => service.ne32(FWMARK, mark),
        }
    }
}

/// `TCP 192.0.2.1:80`, `FWM 7`, `FWM 7 IPv6`: as ipvsadm says it.
impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Address { protocol, ip, port } => write!(f, "{protocol} {}", SocketAddr::new(ip, port)),
            Self::Mark { mark, family: Family::V4 } => write!(f, "FWM {mark}"),
            Self::Mark { mark, family: Family::V6 } => write!(f, "FWM {mark} IPv6"),
        }
    }
}

/// Properties of a service that are there or not. Bits we do not know are kept, to be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServiceFlags(u32);

impl ServiceFlags {
    /// Clients stay at their real server.
    pub const PERSISTENT: Self = Self(0x1);
    /// Every packet is scheduled by itself; UDP only.
    pub const ONE_PACKET: Self = Self(0x4);
    /// First flag of the scheduler: `sh-fallback`, `mh-fallback`.
    pub const SCHEDULER_1: Self = Self(0x8);
    /// Second flag of the scheduler: `sh-port`, `mh-port`.
    pub const SCHEDULER_2: Self = Self(0x10);
    /// Third flag of the scheduler.
    pub const SCHEDULER_3: Self = Self(0x20);
    /// The kernel's own: the service is in its table.
    const HASHED: u32 = 0x2;

    /// Whether all of `flags` are set.
    pub fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// These flags if `wanted`, else none.
    pub fn only_if(self, wanted: bool) -> Self {
        if wanted { self } else { Self::default() }
    }

    /// Value and mask: exactly these shall be set.
    fn bytes(self) -> [u8; 8] {
        let mut bytes = [0xff; 8];
        bytes[..4].copy_from_slice(&self.0.to_ne_bytes());
        bytes
    }
}

impl BitOr for ServiceFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// How a service shall be, or is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceSpec {
    /// What it is known by.
    pub key: ServiceKey,
    /// The kernel's name, `rr`, `wlc` and so on, at most 15 bytes. Its module is loaded on demand.
    pub scheduler: String,
    /// Exactly these.
    pub flags: ServiceFlags,
    /// How long a client stays at its real server, in seconds; 0 without [`ServiceFlags::PERSISTENT`].
    pub timeout_s: u32,
    /// Clients whose addresses share so many bits are one to persistence: 0 to 32, for IPv6 1 to 128.
    /// A mask of another hand that is no prefix is read as 255.
    pub prefix_len: u8,
    /// What connections are told apart by beside the address, such as `sip`; at most 15 bytes.
    pub engine: Option<String>,
}

impl ServiceSpec {
    /// A service without persistence.
    pub fn new(key: ServiceKey, scheduler: impl Into<String>) -> Self {
        let prefix_len = key.family().bits();
        let flags = ServiceFlags::default();
        Self { key, scheduler: scheduler.into(), flags, timeout_s: 0, prefix_len, engine: None }
    }

    /// Appends what describes it.
    pub(super) fn put(&self, service: &mut Attributes<'_>) {
        self.key.put(service);
        service.string(SCHED_NAME, &self.scheduler);
        if let Some(engine) = &self.engine {
            service.string(PE_NAME, engine);
        }
        service.bytes(FLAGS, &self.flags.bytes());
        service.ne32(TIMEOUT, self.timeout_s);
        match self.key.family() {
            Family::V4 => service.be32(NETMASK, mask(self.prefix_len)),
            Family::V6 => service.ne32(NETMASK, self.prefix_len.into()),
        }
    }
}

/// A service as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEntry {
    /// How it is.
    pub spec: ServiceSpec,
    /// What it did so far.
    pub stats: Stats,
}

/// What a `SERVICE` attribute says, as far as it was understood.
#[derive(Default)]
struct Said {
    family: Option<Family>,
    protocol: Option<Protocol>,
    address: Option<[u8; ADDRESS_BYTES]>,
    port: Option<u16>,
    mark: Option<u32>,
    scheduler: String,
    engine: Option<String>,
    flags: u32,
    timeout_s: u32,
    mask: Option<[u8; 4]>,
    stats: Stats,
    stats64: Option<Stats>,
}

impl ServiceEntry {
    /// From the content of a `SERVICE` attribute; `None` when that names no service we know the kind of.
    pub(super) fn parse(service: &[u8]) -> Option<Self> {
        let mut said = Said::default();
        attributes(service, &mut |kind, value| match kind {
            AF => said.family = number16(value).and_then(Family::from_number),
            PROTOCOL => said.protocol = number16(value).and_then(protocol),
            ADDR => said.address = value.try_into().ok(),
            PORT => said.port = value.try_into().ok().map(u16::from_be_bytes),
            FWMARK => said.mark = number(value),
            SCHED_NAME => said.scheduler = string(value),
            PE_NAME => said.engine = Some(string(value)),
            FLAGS => said.flags = value.get(..4).and_then(number).unwrap_or_default(),
            TIMEOUT => said.timeout_s = number(value).unwrap_or_default(),
            NETMASK => said.mask = value.try_into().ok(),
            STATS => said.stats = Stats::parse(value),
            STATS64 => said.stats64 = Some(Stats::parse(value)),
            _ => {}
        });
        said.entry()
    }
}

impl Said {
    fn entry(self) -> Option<ServiceEntry> {
        let family = self.family?;
        let key = match self.mark {
            Some(mark) => ServiceKey::Mark { mark, family },
            None => ServiceKey::Address {
                protocol: self.protocol?,
                ip: address(family, &self.address?),
                port: self.port?,
            },
        };
        let prefix_len = self.mask.map_or(family.bits(), |mask| prefix_len(family, mask));
        let spec = ServiceSpec {
            key,
            scheduler: self.scheduler,
            flags: ServiceFlags(self.flags & !ServiceFlags::HASHED),
            timeout_s: self.timeout_s,
            prefix_len,
            engine: self.engine,
        };
        Some(ServiceEntry { spec, stats: self.stats64.unwrap_or(self.stats) })
    }
}

fn protocol(number: u16) -> Option<Protocol> {
    [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(|known| known.number() == number)
}

/// A native 16-bit number.
pub(super) fn number16(value: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(value.try_into().ok()?))
}

pub(super) fn put_address(attributes: &mut Attributes<'_>, kind: u16, ip: IpAddr) {
    let mut bytes = [0; ADDRESS_BYTES];
    match ip {
        IpAddr::V4(ip) => bytes[..4].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes = ip.octets(),
    }
    attributes.bytes(kind, &bytes);
}

pub(super) fn address(family: Family, bytes: &[u8; ADDRESS_BYTES]) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into(),
        Family::V6 => Ipv6Addr::from(*bytes).into(),
    }
}

fn mask(prefix_len: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix_len.min(32))).unwrap_or(0)
}

fn prefix_len(family: Family, bytes: [u8; 4]) -> u8 {
    const NO_PREFIX: u8 = u8::MAX;
    match family {
        Family::V6 => u8::try_from(u32::from_ne_bytes(bytes)).unwrap_or(NO_PREFIX),
        Family::V4 => {
            let bits = u32::from_be_bytes(bytes);
            let len = bits.leading_ones() as u8;
            if mask(len) == bits { len } else { NO_PREFIX }
        }
    }
}

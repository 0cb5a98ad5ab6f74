//! VRRPv2 adverts [RFC 3768 section 5.1, authentication from RFC 2338 section 5.3].
//!
//! ```text
//!    0                   1                   2                   3
//!    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!   +-------+-------+---------------+---------------+---------------+
//!   |Version| Type  | Virtual Rtr ID|   Priority    | Count IP Addrs|
//!   +-------+-------+---------------+---------------+---------------+
//!   |   Auth Type   | Adver Int (s) |           Checksum            |
//!   +---------------+---------------+-------------------------------+
//!   |                     IP Address (1) .. (n)                     |
//!   +---------------------------------------------------------------+
//!   |                 Authentication Data (8 bytes)                 |
//!   +---------------------------------------------------------------+
//! ```

// The derive writes public items without documentation (the drawing above is theirs) and a plain
// struct that the views do not need.
#[allow(missing_docs, unreachable_pub, dead_code)]
mod layout {
    use alloc::vec::Vec;
    use pnet_macros::packet;
    use pnet_macros_support::types::{u4, u16be};

    #[packet]
    pub struct Vrrp {
        pub version: u4,
        pub kind: u4,
        pub vrid: u8,
        pub priority: u8,
        pub address_count: u8,
        pub auth_type: u8,
        pub interval: u8,
        pub checksum: u16be,
        #[payload]
        pub payload: Vec<u8>,
    }
}

use super::auth::{AUTH_DATA_LEN, Auth};
use super::{ADDRESSES_MAX, checksum, ipv4};
use crate::{interval::Seconds, priority::Priority, vrid::Vrid};
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv4Addr;
use layout::{MutableVrrpPacket, VrrpPacket};
use pnet_packet::Packet;

const HEADER_LEN: usize = 8;
const ADDRESS_LEN: usize = 4;
const VERSION: u8 = 2;
const TYPE_ADVERTISEMENT: u8 = 1;

/// A well-formed VRRPv2 advert, borrowed from the packet it arrived in.
///
/// Well-formed means: lengths, version, type, checksum and TTL are right. Whether it concerns us
/// and is to be believed is decided by [`receive::check`](crate::receive::check).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert<'a> {
    /// Sender.
    pub source: Ipv4Addr,
    /// Group or address it was sent to.
    pub destination: Ipv4Addr,
    /// The virtual router it speaks for.
    pub vrid: Vrid,
    /// The sender's priority; 0 says that it leaves.
    pub priority: Priority,
    /// Authentication type as in the packet.
    pub auth_type: u8,
    /// Seconds between the sender's adverts, as in the packet: may be 0.
    pub interval_secs: u8,
    /// Address list, 4 bytes each.
    pub addresses: &'a [u8],
    /// Authentication data.
    pub auth_data: [u8; AUTH_DATA_LEN],
}

impl Advert<'_> {
    /// The advertised addresses in the packet's order.
    pub fn addresses(&self) -> impl ExactSizeIterator<Item = Ipv4Addr> + '_ {
        self.addresses.as_chunks::<ADDRESS_LEN>().0.iter().map(|octets| Ipv4Addr::from(*octets))
    }
}

/// Why a packet is no VRRPv2 advert [RFC 3768 section 7.1].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not IPv4 with VRRP in it, or lengths that contradict each other.
    #[error("not a whole IPv4 packet with VRRP in it")]
    Ip,
    /// TTL is not 255.
    #[error("TTL {0}, not 255: the packet was routed or forged")]
    Ttl(u8),
    /// Shorter than a header or not exactly as long as its address count says.
    #[error("{actual} bytes where {expected} were expected")]
    Length {
        /// Bytes the header promises.
        expected: usize,
        /// Bytes that are there.
        actual: usize,
    },
    /// Not version 2.
    #[error("VRRP version {0}, not 2")]
    Version(u8),
    /// Not an advertisement.
    #[error("packet type {0}, not 1 (advertisement)")]
    Type(u8),
    /// Damaged.
    #[error("checksum is wrong")]
    Checksum,
    /// VRID 0.
    #[error("VRID 0 is no virtual router")]
    Vrid,
}

/// The VRID a packet claims, read as leniently as possible, so that even a broken packet can be
/// counted where it belongs.
pub fn claimed_vrid(packet: &[u8]) -> Option<Vrid> {
    let header_len = usize::from(packet.first()? & 0x0f) * 4;
    Vrid::new(*packet.get(header_len + 1)?)
}

/// Reads a whole IPv4 packet as it comes from a raw socket.
///
/// # Errors
/// The first thing that is wrong, in the order of RFC 3768 section 7.1.
pub fn parse(packet: &[u8]) -> Result<Advert<'_>, ParseError> {
    let ip = ipv4::parse(packet).ok_or(ParseError::Ip)?;
    if ip.ttl != ipv4::TTL {
        return Err(ParseError::Ttl(ip.ttl));
    }
    let bytes = ip.payload;
    let length = |expected| ParseError::Length { expected, actual: bytes.len() };
    let header = VrrpPacket::new(bytes).ok_or(length(HEADER_LEN))?;
    if header.get_version() != VERSION {
        return Err(ParseError::Version(header.get_version()));
    }
    if header.get_kind() != TYPE_ADVERTISEMENT {
        return Err(ParseError::Type(header.get_kind()));
    }
    let expected = packet_len(usize::from(header.get_address_count()));
    let addresses = bytes.get(HEADER_LEN..expected - AUTH_DATA_LEN).ok_or(length(expected))?;
    let auth_data = bytes.get(expected - AUTH_DATA_LEN..).ok_or(length(expected))?;
    let auth_data = auth_data.try_into().map_err(|_| length(expected))?;
    if checksum(bytes) != 0 {
        return Err(ParseError::Checksum);
    }
    Ok(Advert {
        source: ip.source,
        destination: ip.destination,
        vrid: Vrid::new(header.get_vrid()).ok_or(ParseError::Vrid)?,
        priority: Priority::from_wire(header.get_priority()),
        auth_type: header.get_auth_type(),
        interval_secs: header.get_interval(),
        addresses,
        auth_data,
    })
}

/// Length of a VRRPv2 packet with `addresses` addresses, without the IP header.
pub const fn packet_len(addresses: usize) -> usize {
    HEADER_LEN + addresses * ADDRESS_LEN + AUTH_DATA_LEN
}

/// Everything an advert of ours is made of, except the priority of the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Source address of the packet.
    pub source: Ipv4Addr,
    /// Group it goes to.
    pub destination: Ipv4Addr,
    /// The virtual router we speak for.
    pub vrid: Vrid,
    /// Time between adverts.
    pub interval: Seconds,
    /// Authentication.
    pub auth: Auth,
    /// Addresses in configuration order; those beyond [`ADDRESSES_MAX`] are left out.
    pub addresses: Vec<Ipv4Addr>,
}

/// An advert ready to send; only the priority changes from one to the next.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    packet: Vec<u8>,
    destination: Ipv4Addr,
}

impl fmt::Debug for Template {
    /// Without the bytes: they hold the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({} bytes to {})", self.packet.len(), self.destination)
    }
}

impl Template {
    /// Lays out the packet once.
    pub fn new(outgoing: &Outgoing) -> Self {
        let count = outgoing.addresses.len().min(ADDRESSES_MAX);
        let mut packet = alloc::vec![0; ipv4::HEADER_LEN + packet_len(count)];
        ipv4::emit(&mut packet, outgoing.source, outgoing.destination, packet_len(count));
        let bytes = &mut packet[ipv4::HEADER_LEN..];
        if let Some(mut header) = MutableVrrpPacket::new(bytes) {
            header.set_version(VERSION);
            header.set_kind(TYPE_ADVERTISEMENT);
            header.set_vrid(outgoing.vrid.get());
            header.set_address_count(count as u8);
            header.set_auth_type(outgoing.auth.type_number());
            header.set_interval(outgoing.interval.get());
        }
        let (list, auth_data) = bytes[HEADER_LEN..].split_at_mut(count * ADDRESS_LEN);
        for (slot, address) in list.as_chunks_mut::<ADDRESS_LEN>().0.iter_mut().zip(&outgoing.addresses) {
            *slot = address.octets();
        }
        auth_data.copy_from_slice(&outgoing.auth.data());
        let mut template = Self { packet, destination: outgoing.destination };
        template.set_priority(Priority::RESIGN);
        template
    }

    /// Group the packet goes to.
    pub fn destination(&self) -> Ipv4Addr {
        self.destination
    }

    /// The packet as [`with_priority`](Self::with_priority) last left it.
    pub fn packet(&self) -> &[u8] {
        &self.packet
    }

    /// The whole IPv4 packet with `priority` and its checksum in place.
    pub fn with_priority(&mut self, priority: Priority) -> &[u8] {
        if self.priority() != priority {
            self.set_priority(priority);
        }
        &self.packet
    }

    fn priority(&self) -> Priority {
        let header = VrrpPacket::new(&self.packet[ipv4::HEADER_LEN..]);
        header.map_or(Priority::RESIGN, |header| Priority::from_wire(header.get_priority()))
    }

    fn set_priority(&mut self, priority: Priority) {
        if let Some(mut header) = MutableVrrpPacket::new(&mut self.packet[ipv4::HEADER_LEN..]) {
            header.set_priority(priority.get());
            header.set_checksum(0);
            let sum = checksum(header.packet());
            header.set_checksum(sum);
        }
    }
}

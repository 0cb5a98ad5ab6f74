//! The IPv4 header around an advert [RFC 3768 section 5.2].

use super::IP_PROTOCOL_VRRP;
use core::net::Ipv4Addr;
use pnet_packet::{
    Packet,
    ip::IpNextHeaderProtocol,
    ipv4::{Ipv4Packet, MutableIpv4Packet},
};

/// Length of a header without options, the only kind we send.
pub const HEADER_LEN: usize = 20;
/// Adverts must arrive with exactly this TTL: nothing that was routed has it.
pub const TTL: u8 = 255;
/// TOS 0xc0, internetwork control, as keepalived and FRR send: the upper six bits.
const DSCP: u8 = 0xc0 >> 2;

/// What the receiver needs of the header, and what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4View<'a> {
    /// Sender.
    pub source: Ipv4Addr,
    /// Group or address it was sent to.
    pub destination: Ipv4Addr,
    /// Hops left.
    pub ttl: u8,
    /// The packet within, cut to the header's total length: short frames are padded on Ethernet.
    pub payload: &'a [u8],
}

/// Reads the header of a whole IPv4 packet; `None` when lengths contradict each other or the
/// payload is not VRRP.
pub fn parse(packet: &[u8]) -> Option<Ipv4View<'_>> {
    let header = Ipv4Packet::new(packet)?;
    let header_len = usize::from(header.get_header_length()) * 4;
    let total_len = usize::from(header.get_total_length());
    let vrrp = header.get_next_level_protocol().0 == IP_PROTOCOL_VRRP;
    if header.get_version() != 4 || header_len < HEADER_LEN || !vrrp {
        return None;
    }
    Some(Ipv4View {
        source: Ipv4Addr::from(header.get_source().octets()),
        destination: Ipv4Addr::from(header.get_destination().octets()),
        ttl: header.get_ttl(),
        payload: packet.get(header_len..total_len)?,
    })
}

/// Writes a header for `payload_len` bytes of VRRP to the first [`HEADER_LEN`] bytes of `buffer`.
///
/// The identification and the checksum stay 0: with `IP_HDRINCL` the kernel fills both.
pub(crate) fn emit(buffer: &mut [u8], source: Ipv4Addr, destination: Ipv4Addr, payload_len: usize) {
    let Some(mut header) = MutableIpv4Packet::new(buffer) else { return };
    header.set_version(4);
    header.set_header_length(5);
    header.set_dscp(DSCP);
    header.set_total_length((HEADER_LEN + payload_len) as u16);
    header.set_ttl(TTL);
    header.set_next_level_protocol(IpNextHeaderProtocol::new(IP_PROTOCOL_VRRP));
    header.set_source(source.octets().into());
    header.set_destination(destination.octets().into());
    debug_assert!(header.packet().len() >= HEADER_LEN);
}

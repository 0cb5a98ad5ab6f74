//! Packets as bytes: VRRPv2 adverts in IPv4, and gratuitous ARP.
//!
//! Parsing borrows from the packet, allocates nothing and cannot panic: every length is checked
//! before a field is read, and what is wrong comes back as a [`ParseError`]. Emitting writes exact
//! lengths. Known bytes of real daemons pin both ways.
//!
//! ```text
//!   raw socket bytes:  IPv4 header (20..60) | VRRP header (8) | addresses (4 each) | auth data (8)
//! ```

pub mod auth;
pub mod ipv4;
pub mod neighbor;
pub mod v2;

pub use auth::Auth;
pub use v2::{Advert, ParseError};

/// IP protocol number of VRRP [RFC 3768 section 5.2.4].
pub const IP_PROTOCOL_VRRP: u8 = 112;

/// A virtual router's adverts carry at most this many addresses: the count is one byte.
pub const ADDRESSES_MAX: usize = 255;

/// The 16-bit one's complement checksum of `bytes` [RFC 1071].
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    pnet_packet::util::checksum(bytes, usize::MAX)
}

#[cfg(test)]
mod tests;

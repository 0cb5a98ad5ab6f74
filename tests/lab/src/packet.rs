//! Reading VRRP and ARP out of Ethernet frames.
//!
//! Small on purpose, and not the agent's own codec: a test that reads with the code under test would
//! believe its mistakes. Nothing is judged here (checksums, lengths); a frame that is too short to be
//! read is `None`.

use std::net::Ipv4Addr;

/// EtherTypes and IP protocols we look at.
const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const VLAN: u16 = 0x8100;
const PROTOCOL_AH: u8 = 51;
const PROTOCOL_VRRP: u8 = 112;

/// What a frame holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A VRRP advertisement over IPv4.
    Advert(Advert),
    /// An ARP request or reply.
    Arp(Arp),
}

/// A VRRP advertisement, version 2 or 3, as it stands in the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    /// The sender's IP address.
    pub source: Ipv4Addr,
    /// The group, or the peer in unicast.
    pub destination: Ipv4Addr,
    /// Time to live; 255 in a good one.
    pub ttl: u8,
    /// 2 or 3.
    pub version: u8,
    /// 1 in a good one.
    pub kind: u8,
    /// Virtual router identifier.
    pub vrid: u8,
    /// 0 says "I am leaving".
    pub priority: u8,
    /// Version 2: 0 none, 1 PASS, 2 AH. Version 3: `None`.
    pub auth_type: Option<u8>,
    /// Version 2: the eight bytes at the end.
    pub auth_data: Option<[u8; 8]>,
    /// As sent: seconds in version 2, centiseconds in version 3.
    pub interval: u16,
    /// The virtual addresses, in the packet's order.
    pub addresses: Vec<Ipv4Addr>,
}

/// An ARP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 request, 2 reply.
    pub operation: u16,
    /// Who says it: Ethernet address.
    pub sender_mac: [u8; 6],
    /// Who says it: IP address.
    pub sender_ip: Ipv4Addr,
    /// Who is meant.
    pub target_ip: Ipv4Addr,
}

impl Arp {
    /// Whether it announces its own address to everybody.
    pub fn is_gratuitous(&self) -> bool {
        self.sender_ip == self.target_ip
    }
}

/// Reads an Ethernet frame; `None` when it holds neither VRRP nor ARP.
pub fn decode(frame: &[u8]) -> Option<Packet> {
    let mut at = 12;
    if word(frame, at)? == VLAN {
        at += 4;
    }
    let payload = frame.get(at + 2..)?;
    match word(frame, at)? {
        IPV4 => advert(payload).map(Packet::Advert),
        ARP => arp(payload).map(Packet::Arp),
        _ => None,
    }
}

fn arp(packet: &[u8]) -> Option<Arp> {
    Some(Arp {
        operation: word(packet, 6)?,
        sender_mac: packet.get(8..14)?.try_into().ok()?,
        sender_ip: ip(packet, 14)?,
        target_ip: ip(packet, 24)?,
    })
}

fn advert(packet: &[u8]) -> Option<Advert> {
    let first = *packet.first()?;
    let header = usize::from(first & 0x0f) * 4;
    // Ethernet pads short frames; the IP header knows the true length.
    let end = usize::from(word(packet, 2)?).min(packet.len());
    let mut vrrp = packet.get(header..end)?;
    match *packet.get(9)? {
        PROTOCOL_VRRP => {}
        PROTOCOL_AH if *vrrp.first()? == PROTOCOL_VRRP => {
            let authentication = (usize::from(*vrrp.get(1)?) + 2) * 4;
            vrrp = vrrp.get(authentication..)?;
        }
        _ => return None,
    }
    let version = vrrp.first()? >> 4;
    let count = usize::from(*vrrp.get(3)?);
    let is_v2 = version == 2;
    Some(Advert {
        source: ip(packet, 12)?,
        destination: ip(packet, 16)?,
        ttl: *packet.get(8)?,
        version,
        kind: vrrp.first()? & 0x0f,
        vrid: *vrrp.get(1)?,
        priority: *vrrp.get(2)?,
        auth_type: is_v2.then_some(*vrrp.get(4)?),
        auth_data: vrrp
            .get(8 + 4 * count..16 + 4 * count)
            .filter(|_| is_v2)
            .and_then(|data| data.try_into().ok()),
        interval: if is_v2 { u16::from(*vrrp.get(5)?) } else { word(vrrp, 4)? & 0x0fff },
        addresses: (0..count).map(|index| ip(vrrp, 8 + 4 * index)).collect::<Option<_>>()?,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

fn ip(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(octets.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(ethertype: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x01, 0, 0x5e, 0, 0, 0x12, 2, 0, 0, 0, 0, 1];
        frame.extend(ethertype.to_be_bytes());
        frame.extend(payload);
        frame
    }

    fn sample() -> Vec<u8> {
        let mut ip = vec![0x45, 0xc0, 0, 40, 0, 1, 0, 0, 255, 112, 0, 0, 172, 18, 10, 10, 224, 0, 100, 50];
        ip.extend([0x21, 50, 100, 1, 1, 1, 0xab, 0xcd, 172, 18, 50, 50]);
        ip.extend(b"123456\0\0");
        ip.extend([0; 6]); // Ethernet padding
        frame(IPV4, &ip)
    }

    #[test]
    fn an_advert_is_read_and_padding_is_not() {
        let Some(Packet::Advert(advert)) = decode(&sample()) else { panic!("no advert") };
        assert_eq!((advert.version, advert.kind, advert.ttl), (2, 1, 255));
        assert_eq!((advert.vrid, advert.priority, advert.interval), (50, 100, 1));
        assert_eq!(advert.source, Ipv4Addr::new(172, 18, 10, 10));
        assert_eq!(advert.destination, Ipv4Addr::new(224, 0, 100, 50));
        assert_eq!(advert.addresses, [Ipv4Addr::new(172, 18, 50, 50)]);
        assert_eq!((advert.auth_type, advert.auth_data), (Some(1), Some(*b"123456\0\0")));
    }

    #[test]
    fn version_3_has_centiseconds_and_no_authentication() {
        let mut bytes = sample();
        bytes[14 + 20] = 0x31;
        bytes[14 + 24..14 + 26].copy_from_slice(&[0xf0, 100]);
        let Some(Packet::Advert(advert)) = decode(&bytes) else { panic!("no advert") };
        assert_eq!((advert.interval, advert.auth_type, advert.auth_data), (100, None, None));
    }

    #[test]
    fn an_announcement_is_gratuitous() {
        let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 9];
        bytes.extend([0xff; 6]);
        bytes.extend([10, 0, 0, 9]);
        let Some(Packet::Arp(arp)) = decode(&frame(ARP, &bytes)) else { panic!("no ARP") };
        assert!(arp.is_gratuitous());
        assert_eq!(arp.sender_mac, [2, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn every_cut_is_survived() {
        let whole = sample();
        for end in 0..whole.len() - 14 {
            let _ = decode(&whole[..end]);
        }
        assert_eq!(decode(&whole[..30]), None);
    }
}

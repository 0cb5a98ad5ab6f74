//! Whether everything on the wire is plain VRRPv2 [RFC 3768 section 5.3].

use anyhow::{Result, ensure};
use hacluster_lab::packet::{Advert, Packet};
use hacluster_tests::harness::{GROUP, VIP, Wire};

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// Fails when an advert was anything but a good one of VRID 51 for its address.
pub(crate) fn everything(wire: &Wire) -> Result<()> {
    let frames = wire.capture.frames();
    let mut adverts = 0;
    for frame in &frames {
        let Packet::Advert(advert) = &frame.packet else { continue };
        adverts += 1;
        ensure!(is_good(advert), "{} sent {advert:?}", frame.host);
        let packet = &frame.bytes[ETHERNET..];
        let header = usize::from(packet[0] & 0x0f) * 4;
        let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
        ensure!(sum(&packet[..header]) == 0xffff, "{} sent a wrong IPv4 checksum", frame.host);
        ensure!(sum(&packet[header..length]) == 0xffff, "{} sent a wrong VRRP checksum", frame.host);
    }
    ensure!(adverts > 0 && wire.capture.missed() == 0, "{adverts} adverts, {} missed", wire.capture.missed());
    Ok(())
}

fn is_good(advert: &Advert) -> bool {
    advert.version == 2
        && advert.kind == 1
        && advert.ttl == 255
        && advert.destination == GROUP
        && advert.vrid == 51
        && advert.priority < 255
        && advert.interval == 1
        && advert.addresses == [VIP]
}

/// The ones' complement sum that is all ones for a good packet.
fn sum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

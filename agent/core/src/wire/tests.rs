//! Known bytes of real daemons, both ways, and properties.

use super::*;
use crate::{interval::Seconds, priority::Priority, vrid::Vrid};
use alloc::{vec, vec::Vec};
use core::net::Ipv4Addr;
use proptest::prelude::*;

const VIP: Ipv4Addr = Ipv4Addr::new(172, 18, 50, 50);
const SOURCE: Ipv4Addr = Ipv4Addr::new(172, 18, 10, 11);
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 100, 50);

fn outgoing(addresses: Vec<Ipv4Addr>) -> v2::Outgoing {
    v2::Outgoing {
        source: SOURCE,
        destination: GROUP,
        vrid: Vrid::new(50).unwrap(),
        interval: Seconds::ONE,
        auth: Auth::pass(b"123456"),
        addresses,
    }
}

fn advert_bytes() -> Vec<u8> {
    v2::Template::new(&outgoing(vec![VIP])).with_priority(Priority::DEFAULT).to_vec()
}

/// Re-does the VRRP checksum after a test changed a field.
fn mend_checksum(packet: &mut [u8]) {
    packet[26..28].fill(0);
    let sum = checksum(&packet[20..]);
    packet[26..28].copy_from_slice(&sum.to_be_bytes());
}

/// An advert of keepalived 2.2.7 as seen on the wire (VRID 202, priority 100, three addresses,
/// password `p@ss-3`). The kernel fills identification and IP checksum of ours, so they are 0 here.
#[test]
fn known_bytes_of_a_keepalived_advert() {
    let theirs = [
        0x45, 0xc0, 0x00, 0x30, 0, 0, 0x00, 0x00, 0xff, 0x70, 0, 0, 0x0a, 0x33, 0x00, 0x01, 0xe0, 0x00, 0x00,
        0x12, // IPv4
        0x21, 0xca, 0x64, 0x03, 0x01, 0x01, 0x47, 0x50, // VRRP
        0x0a, 0x33, 0x00, 0xca, 0x0a, 0x33, 0x00, 0xcb, 0x0a, 0x33, 0x00, 0xcc, // addresses
        0x70, 0x40, 0x73, 0x73, 0x2d, 0x33, 0x00, 0x00, // authentication data
    ];
    let ours = v2::Outgoing {
        source: Ipv4Addr::new(10, 51, 0, 1),
        destination: Ipv4Addr::new(224, 0, 0, 18),
        vrid: Vrid::new(202).unwrap(),
        interval: Seconds::ONE,
        auth: Auth::pass(b"p@ss-3"),
        addresses: [202, 203, 204].map(|last| Ipv4Addr::new(10, 51, 0, last)).to_vec(),
    };
    assert_eq!(v2::Template::new(&ours).with_priority(Priority::DEFAULT), theirs);
    assert_eq!(v2::parse(&theirs).unwrap().addresses().collect::<Vec<_>>(), ours.addresses);
}

#[test]
fn what_was_sent_is_read_back() {
    let packet = advert_bytes();
    let advert = v2::parse(&packet).unwrap();
    assert_eq!(advert.source, SOURCE);
    assert_eq!(advert.destination, GROUP);
    assert_eq!(advert.priority, Priority::DEFAULT);
    assert_eq!((advert.auth_type, advert.auth_data), (1, *b"123456\0\0"));
    assert_eq!(advert.addresses().collect::<Vec<_>>(), [VIP]);
}

#[test]
fn one_template_serves_every_priority() {
    let mut template = v2::Template::new(&outgoing(vec![VIP]));
    for number in [100, 0, 255, 0, 100] {
        let priority = Priority::from_wire(number);
        assert_eq!(v2::parse(template.with_priority(priority)).unwrap().priority, priority);
    }
}

#[test]
fn the_address_list_ends_at_255() {
    let many: Vec<_> = (0..300_u32).map(|n| Ipv4Addr::from(0x0a00_0000 + n)).collect();
    let packet = v2::Template::new(&outgoing(many)).with_priority(Priority::DEFAULT).to_vec();
    assert_eq!(v2::parse(&packet).unwrap().addresses().len(), ADDRESSES_MAX);
}

#[test]
fn ethernet_padding_after_the_ip_packet_is_ignored() {
    let mut packet = advert_bytes();
    packet.extend([0; 6]);
    assert!(v2::parse(&packet).is_ok());
}

#[test]
fn ip_options_are_accepted() {
    let mut packet = advert_bytes();
    packet[0] = 0x46;
    packet[3] += 4;
    packet.splice(20..20, [1, 1, 1, 0]);
    assert!(v2::parse(&packet).is_ok());
    assert_eq!(v2::claimed_vrid(&packet).unwrap().get(), 50);
}

#[test]
fn each_thing_that_can_be_wrong_has_its_name() {
    let wrong = |at: usize, value: u8| {
        let mut packet = advert_bytes();
        packet[at] = value;
        if at >= 20 {
            mend_checksum(&mut packet);
        }
        v2::parse(&packet).unwrap_err()
    };
    assert_eq!(wrong(0, 0x65), ParseError::Ip, "IPv6 in a raw IPv4 socket");
    assert_eq!(wrong(0, 0x44), ParseError::Ip, "header shorter than 20");
    assert_eq!(wrong(9, 51), ParseError::Ip, "another protocol");
    assert_eq!(wrong(2, 9), ParseError::Ip, "longer than what came");
    assert_eq!(wrong(8, 254), ParseError::Ttl(254));
    assert_eq!(wrong(20, 0x31), ParseError::Version(3));
    assert_eq!(wrong(20, 0x22), ParseError::Type(2));
    assert_eq!(wrong(21, 0), ParseError::Vrid);
    assert_eq!(wrong(23, 2), ParseError::Length { expected: 24, actual: 20 });
    assert_eq!(wrong(23, 0), ParseError::Length { expected: 16, actual: 20 });
    let mut damaged = advert_bytes();
    damaged[33] ^= 1;
    assert_eq!(v2::parse(&damaged), Err(ParseError::Checksum), "the password is covered");
}

/// As keepalived announces: a broadcast request, sender and target the same address.
#[test]
fn known_bytes_of_a_gratuitous_arp() {
    let mac = [2, 0, 0, 0, 0, 1];
    let expected = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06, // Ethernet
        0, 1, 0x08, 0, 6, 4, 0, 1, // request
        2, 0, 0, 0, 0, 1, 172, 18, 50, 50, // sender
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 172, 18, 50, 50, // target
    ];
    assert_eq!(neighbor::gratuitous_arp(VIP, mac), expected);
}

#[test]
fn a_password_is_never_printed() {
    assert!(!alloc::format!("{:?}", Auth::pass(b"geheim")).contains("geheim"));
}

proptest! {
    #[test]
    fn no_bytes_can_panic(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
        let _ = v2::parse(&bytes);
        let _ = v2::claimed_vrid(&bytes);
    }

    #[test]
    fn damage_anywhere_in_the_vrrp_packet_is_noticed(at in 20_usize..40, flip in 1_u8..=255) {
        let mut packet = advert_bytes();
        packet[at] ^= flip;
        prop_assert!(v2::parse(&packet).is_err());
    }

    #[test]
    fn any_advert_survives_the_round_trip(
        vrid in 1_u8..=255, priority: u8, interval in 1_u8..=255, pass: Option<[u8; 8]>,
        source: u32, addresses in proptest::collection::vec(any::<u32>(), 0..255),
    ) {
        let sent = v2::Outgoing {
            source: source.into(),
            destination: GROUP,
            vrid: Vrid::new(vrid).unwrap(),
            interval: Seconds::new(interval).unwrap(),
            auth: pass.map_or(Auth::None, Auth::Pass),
            addresses: addresses.into_iter().map(Ipv4Addr::from).collect(),
        };
        let mut template = v2::Template::new(&sent);
        let packet = template.with_priority(Priority::from_wire(priority));
        let read = v2::parse(packet).unwrap();
        prop_assert_eq!(read.vrid, sent.vrid);
        prop_assert_eq!(read.priority.get(), priority);
        prop_assert_eq!(read.interval_secs, interval);
        prop_assert_eq!(read.auth_data, sent.auth.data());
        prop_assert_eq!(read.addresses().collect::<Vec<_>>(), sent.addresses);
    }
}

//! Gratuitous ARP: how a new master tells the network where an address lives now
//! [RFC 3768 section 8.2; layout RFC 826].

use core::net::Ipv4Addr;
use pnet_base::MacAddr;
use pnet_packet::{
    arp::{ArpHardwareTypes, ArpOperations, MutableArpPacket},
    ethernet::{EtherTypes, MutableEthernetPacket},
};

const ETHERNET_LEN: usize = 14;
/// Length of the whole Ethernet frame; drivers pad it to the 60 bytes of the medium.
pub const GRATUITOUS_ARP_LEN: usize = ETHERNET_LEN + 28;

/// An Ethernet frame that announces `address` at `mac`.
///
/// As keepalived sends it: a broadcast *request* with sender and target address alike and the
/// target hardware address all ones. Switches learn the port from the Ethernet source.
pub fn gratuitous_arp(address: Ipv4Addr, mac: [u8; 6]) -> [u8; GRATUITOUS_ARP_LEN] {
    let mut frame = [0; GRATUITOUS_ARP_LEN];
    let (ethernet, arp) = frame.split_at_mut(ETHERNET_LEN);
    let mac = MacAddr::from(mac);
    if let Some(mut header) = MutableEthernetPacket::new(ethernet) {
        header.set_destination(MacAddr::broadcast());
        header.set_source(mac);
        header.set_ethertype(EtherTypes::Arp);
    }
    if let Some(mut packet) = MutableArpPacket::new(arp) {
        packet.set_hardware_type(ArpHardwareTypes::Ethernet);
        packet.set_protocol_type(EtherTypes::Ipv4);
        packet.set_hw_addr_len(6);
        packet.set_proto_addr_len(4);
        packet.set_operation(ArpOperations::Request);
        packet.set_sender_hw_addr(mac);
        packet.set_sender_proto_addr(address.octets().into());
        packet.set_target_hw_addr(MacAddr::broadcast());
        packet.set_target_proto_addr(address.octets().into());
    }
    frame
}

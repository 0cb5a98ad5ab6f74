//! A network interface as the kernel describes it.

use super::frame::{attributes, number, string};
use netlink_packet_route::link::{LinkFlags, LinkHeader, LinkLayerType};

const HEADER_BYTES: usize = 16;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;

/// What the protocol needs to know of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number of the interface, 1 and above. It survives renaming, not recreation.
    pub index: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Switched on by the administrator (`IFF_UP`).
    pub up: bool,
    /// Able to carry packets: switched on, carrier present, not dormant (`IFF_RUNNING`).
    pub running: bool,
    /// Ethernet address; zeros where the interface has none of six bytes.
    pub mac: [u8; 6],
    /// Whether it is an Ethernet-like device, where ARP announcements make sense.
    pub ethernet: bool,
    /// Whether multicast is switched on.
    pub multicast: bool,
    /// Whether it is the loopback device.
    pub loopback: bool,
    /// Point-to-point: it has no broadcast and no ARP.
    pub point_to_point: bool,
    /// Largest packet in bytes, without the link-layer header.
    pub mtu: u32,
    /// The bridge, bond or VRF it belongs to.
    pub master: Option<u32>,
}

impl Link {
    /// Reads the body of an `RTM_NEWLINK` or `RTM_DELLINK`; `None` when it is not about a link as such
    /// (bridges report their ports in the same group) or not readable.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let header = LinkHeader::parse(body).ok()?;
        if u8::from(header.interface_family) != libc::AF_UNSPEC as u8 {
            return None;
        }
        let has = |flag| header.flags.contains(flag);
        let mut link = Self {
            index: header.index,
            name: String::new(),
            up: has(LinkFlags::Up),
            running: has(LinkFlags::Up) && has(LinkFlags::Running),
            mac: [0; 6],
            ethernet: header.link_layer_type == LinkLayerType::Ether,
            multicast: has(LinkFlags::Multicast),
            loopback: has(LinkFlags::Loopback),
            point_to_point: has(LinkFlags::Pointopoint),
            mtu: 0,
            master: None,
        };
        attributes(body.get(HEADER_BYTES..)?, &mut |kind, value| match kind {
            IFLA_IFNAME => link.name = string(value),
            IFLA_ADDRESS => link.mac = value.try_into().unwrap_or_default(),
            IFLA_MTU => link.mtu = number(value).unwrap_or_default(),
            IFLA_MASTER => link.master = number(value),
            _ => {}
        });
        (!link.name.is_empty()).then_some(link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::Emitable;
    use netlink_packet_route::{
        AddressFamily,
        link::{LinkAttribute, LinkMessage},
    };

    fn bytes(message: &LinkMessage) -> Vec<u8> {
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        bytes
    }

    fn sample() -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        message.header.link_layer_type = LinkLayerType::Ether;
        message.header.flags = LinkFlags::Up | LinkFlags::Running | LinkFlags::Multicast;
        message.attributes = vec![
            LinkAttribute::IfName("eth7".into()),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 7]),
            LinkAttribute::Mtu(1500),
            LinkAttribute::Controller(3),
        ];
        message
    }

    #[test]
    fn a_link_is_read() {
        let link = Link::parse(&bytes(&sample())).unwrap();
        assert_eq!((link.index, link.name.as_str(), link.mtu, link.master), (7, "eth7", 1500, Some(3)));
        assert!(link.up && link.running && link.multicast && link.ethernet && !link.loopback);
        assert_eq!(link.mac, [2, 0, 0, 0, 0, 7]);
    }

    #[test]
    fn a_bridge_port_message_is_not_a_link() {
        let mut message = sample();
        message.header.interface_family = AddressFamily::Bridge;
        assert_eq!(Link::parse(&bytes(&message)), None);
    }

    #[test]
    fn every_cut_is_survived() {
        let whole = bytes(&sample());
        for end in 0..whole.len() {
            let _ = Link::parse(&whole[..end]);
        }
    }
}

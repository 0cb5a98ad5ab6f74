//! The few netlink requests the lab needs beyond [`hacluster_net::netlink::lab`].
//!
//! All are to be made inside the namespace they are about, by [`Namespace::run`](crate::Namespace::run).

use crate::topology::Cidr;
use anyhow::Result;
use hacluster_net::netlink::{Request, Requests};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressHeader, AddressMessage},
    link::{
        InfoBridgePort, InfoData, InfoKind, InfoMacVlan, InfoPortData, InfoPortKind, LinkAttribute, LinkInfo,
        LinkMessage, MacVlanMode,
    },
};
use std::net::IpAddr;

/// Gives `interface` an address of its own: without the mark that says "a virtual address of ours".
pub(crate) fn add_address(requests: &mut Requests, interface: &str, address: Cidr) -> Result<()> {
    let mut message = AddressMessage::default();
    message.header = AddressHeader {
        family: AddressFamily::Inet,
        prefix_len: address.prefix_len,
        index: requests.link(interface)?.index,
        ..AddressHeader::default()
    };
    message.attributes.push(AddressAttribute::Local(IpAddr::V4(address.ip)));
    message.attributes.push(AddressAttribute::Address(IpAddr::V4(address.ip)));
    message.attributes.extend(address.broadcast().map(AddressAttribute::Broadcast));
    execute(requests, RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL)
}

/// Puts an interface with an Ethernet address of its own on top of `lower`; it starts switched off.
pub(crate) fn create_macvlan(requests: &mut Requests, name: &str, lower: &str, mac: [u8; 6]) -> Result<()> {
    let mode = InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Bridge)]);
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Link(requests.link(lower)?.index),
        LinkAttribute::Address(mac.to_vec()),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::MacVlan), LinkInfo::Data(mode)]),
    ];
    execute(requests, RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
}

/// Says that a protocol daemon keeps `name` down for now (`protodown`), or no longer does.
pub(crate) fn set_protodown(requests: &mut Requests, name: &str, down: bool) -> Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = requests.link(name)?.index;
    message.attributes.push(LinkAttribute::ProtoDown(down.into()));
    execute(requests, RouteNetlinkMessage::SetLink(message), 0)
}

/// Whether the bridge passes multicast on to its port `name`.
pub(crate) fn set_multicast_flood(requests: &mut Requests, name: &str, on: bool) -> Result<()> {
    let port = InfoPortData::BridgePort(vec![InfoBridgePort::MulticastFlood(on)]);
    let mut message = LinkMessage::default();
    message.header.index = requests.link(name)?.index;
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::PortKind(InfoPortKind::Bridge),
        LinkInfo::PortData(port),
    ]));
    execute(requests, RouteNetlinkMessage::NewLink(message), 0)
}

fn execute(requests: &mut Requests, message: RouteNetlinkMessage, flags: u16) -> Result<()> {
    let results = requests.execute([Request { message, flags }]);
    results.into_iter().try_for_each(|result| result).map_err(Into::into)
}

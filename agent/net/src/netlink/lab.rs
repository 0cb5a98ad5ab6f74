//! Building small networks: virtual cables, switches, and pulling their plugs. For tests and labs;
//! the agent itself never creates or changes an interface.

use super::{
    request::{Request, Requests},
    route::{self, RouteSpec},
};
use crate::NetError;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoBridge, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
};
use std::os::fd::{AsRawFd, BorrowedFd};

impl Requests {
    /// Creates a virtual cable with the ends `a` and `b`; `b` appears in `peer_netns` when given.
    pub fn create_veth(
        &mut self,
        a: &str,
        b: &str,
        peer_netns: Option<BorrowedFd<'_>>,
    ) -> Result<(), NetError> {
        let mut peer = named(b);
        peer.attributes.extend(peer_netns.map(|netns| LinkAttribute::NetNsFd(netns.as_raw_fd())));
        self.create(a, InfoKind::Veth, Some(InfoData::Veth(InfoVeth::Peer(peer))))
    }

    /// Creates a switch that floods multicast and forwards at once: no spanning tree, no snooping.
    pub fn create_bridge(&mut self, name: &str) -> Result<(), NetError> {
        let options = vec![InfoBridge::ForwardDelay(0), InfoBridge::MulticastSnooping(false)];
        self.create(name, InfoKind::Bridge, Some(InfoData::Bridge(options)))
    }

    /// Creates an interface that shows every netlink message of its namespace (`nlmon`).
    pub fn create_netlink_monitor(&mut self, name: &str) -> Result<(), NetError> {
        self.create(name, InfoKind::Other("nlmon".into()), None)
    }

    fn create(&mut self, name: &str, kind: InfoKind, data: Option<InfoData>) -> Result<(), NetError> {
        let mut message = named(name);
        let mut info = vec![LinkInfo::Kind(kind)];
        info.extend(data.map(LinkInfo::Data));
        message.attributes.push(LinkAttribute::LinkInfo(info));
        let message = RouteNetlinkMessage::NewLink(message);
        self.execute_one(Request { message, flags: NLM_F_CREATE | NLM_F_EXCL })
    }

    /// Plugs `name` into the bridge `master`, or unplugs it.
    pub fn set_master(&mut self, name: &str, master: Option<&str>) -> Result<(), NetError> {
        let index = master.map_or(Ok(0), |master| self.link(master).map(|link| link.index))?;
        self.set(name, LinkAttribute::Controller(index))
    }

    /// Switches `name` on. Works for `lo` as well.
    pub fn set_up(&mut self, name: &str) -> Result<(), NetError> {
        self.set_flag(name, LinkFlags::Up, true)
    }

    /// Switches `name` off. The other end of a virtual cable loses its carrier.
    pub fn set_down(&mut self, name: &str) -> Result<(), NetError> {
        self.set_flag(name, LinkFlags::Up, false)
    }

    /// Allows or forbids multicast on `name`.
    pub fn set_multicast(&mut self, name: &str, on: bool) -> Result<(), NetError> {
        self.set_flag(name, LinkFlags::Multicast, on)
    }

    /// Plugs or pulls the cable of `name`, for drivers that let software do so (`dummy`, `macvlan`, …).
    /// Others, `veth` among them, answer `EOPNOTSUPP`: switch off the other end instead.
    pub fn set_carrier(&mut self, name: &str, on: bool) -> Result<(), NetError> {
        self.set(name, LinkAttribute::Carrier(on.into()))
    }

    /// Moves `name` into another network namespace. It arrives switched off and without addresses.
    pub fn move_to_netns(&mut self, name: &str, netns: BorrowedFd<'_>) -> Result<(), NetError> {
        self.set(name, LinkAttribute::NetNsFd(netns.as_raw_fd()))
    }

    /// Gives `name` another Ethernet address.
    pub fn set_mac(&mut self, name: &str, mac: [u8; 6]) -> Result<(), NetError> {
        self.set(name, LinkAttribute::Address(mac.to_vec()))
    }

    /// Sets the largest packet of `name` in bytes.
    pub fn set_mtu(&mut self, name: &str, bytes: u32) -> Result<(), NetError> {
        self.set(name, LinkAttribute::Mtu(bytes))
    }

    /// Renames an interface; most kernels want it switched off for that.
    pub fn rename(&mut self, name: &str, new_name: &str) -> Result<(), NetError> {
        let mut message = named(new_name);
        message.header.index = self.link(name)?.index;
        self.execute_one(Request { message: RouteNetlinkMessage::SetLink(message), flags: 0 })
    }

    /// Deletes an interface, a virtual cable with both its ends.
    pub fn delete_link(&mut self, name: &str) -> Result<(), NetError> {
        self.execute_one(Request { message: RouteNetlinkMessage::DelLink(named(name)), flags: 0 })
    }

    /// Adds a route in the name of another program, which marks its routes `protocol` (4 is STATIC).
    pub fn add_route_as(&mut self, protocol: u8, spec: &RouteSpec) -> Result<(), NetError> {
        self.route_as(protocol, route::add(spec))
    }

    /// Puts a route in the place of whatever has its destination, in the name of another program
    /// (`ip route replace`).
    pub fn replace_route_as(&mut self, protocol: u8, spec: &RouteSpec) -> Result<(), NetError> {
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        self.route_as(protocol, Request { flags, ..route::add(spec) })
    }

    /// Removes a route in the name of another program.
    pub fn remove_route_as(&mut self, protocol: u8, spec: &RouteSpec) -> Result<(), NetError> {
        self.route_as(protocol, route::remove(spec))
    }

    fn route_as(&mut self, protocol: u8, mut request: Request) -> Result<(), NetError> {
        if let RouteNetlinkMessage::NewRoute(message) | RouteNetlinkMessage::DelRoute(message) =
            &mut request.message
        {
            message.header.protocol = protocol.into();
        }
        self.execute_one(request)
    }

    fn set(&mut self, name: &str, attribute: LinkAttribute) -> Result<(), NetError> {
        let mut message = named(name);
        message.attributes.push(attribute);
        self.execute_one(Request { message: RouteNetlinkMessage::SetLink(message), flags: 0 })
    }

    fn set_flag(&mut self, name: &str, flag: LinkFlags, on: bool) -> Result<(), NetError> {
        let mut message = named(name);
        message.header.change_mask = flag;
        message.header.flags = if on { flag } else { LinkFlags::empty() };
        self.execute_one(Request { message: RouteNetlinkMessage::SetLink(message), flags: 0 })
    }
}

/// A message about the interface called `name`: the kernel finds its number.
fn named(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.into()));
    message
}

//! One interface: one socket for all its virtual routers, and who is behind which VRID.

use crate::kernel::{InterfaceNow, RouterId};
use hacluster_core::vrid::Vrid;
use hacluster_net::NetError;
use hacluster_net::raw::{Outgoing, VrrpSocket};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::Range;

/// An interface that virtual routers use.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) name: String,
    /// As the kernel thread last reported; `None` until then and while it does not exist.
    pub(super) now: Option<InterfaceNow>,
    pub(super) socket: Option<VrrpSocket>,
    routers: BTreeMap<Vrid, (RouterId, Ipv4Addr)>,
    /// The socket's filter does not know the latest of `routers`.
    filter_is_stale: bool,
    /// Adverts of this round, back to back, and where each goes.
    packets: Vec<u8>,
    outgoing: Vec<(RouterId, Ipv4Addr, Range<usize>)>,
}

impl Port {
    /// `now`: as the kernel thread reported it before anybody ran here.
    pub(super) fn new(name: &str, now: Option<InterfaceNow>) -> Self {
        Self {
            name: name.to_owned(),
            now,
            socket: None,
            routers: BTreeMap::new(),
            filter_is_stale: false,
            packets: Vec::new(),
            outgoing: Vec::new(),
        }
    }

    /// Who speaks for `vrid` here.
    pub(super) fn router(&self, vrid: Vrid) -> Option<RouterId> {
        self.routers.get(&vrid).map(|(id, _)| *id)
    }

    /// All routers here.
    pub(super) fn routers(&self) -> Vec<RouterId> {
        self.routers.values().map(|(id, _)| *id).collect()
    }

    /// Whether nobody uses the interface any more.
    pub(super) fn is_unused(&self) -> bool {
        self.routers.is_empty()
    }

    /// Lets `id` hear `vrid` by `group`.
    pub(super) fn attach(&mut self, vrid: Vrid, id: RouterId, group: Ipv4Addr) -> Result<(), NetError> {
        let former = self.routers.insert(vrid, (id, group)).map(|(_, group)| group);
        self.apply_membership(former, Some(group))
    }

    /// Nobody speaks for `vrid` any more.
    pub(super) fn detach(&mut self, vrid: Vrid) -> Result<(), NetError> {
        let former = self.routers.remove(&vrid).map(|(_, group)| group);
        self.apply_membership(former, None)
    }

    /// Membership is counted per group: leave after joining, so that a change of nothing is silent.
    fn apply_membership(&mut self, leave: Option<Ipv4Addr>, join: Option<Ipv4Addr>) -> Result<(), NetError> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        self.filter_is_stale = true;
        if let Some(group) = join {
            socket.join(group)?;
        }
        if let Some(group) = leave {
            socket.leave(group);
        }
        Ok(())
    }

    /// Tells the kernel whom to listen for, once for all routers that came and went in a round: it
    /// translates the filter to machine code each time.
    pub(super) fn refresh_filter(&mut self) -> Result<(), NetError> {
        match &self.socket {
            Some(socket) if std::mem::take(&mut self.filter_is_stale) => {
                socket.set_filter(&self.routers.keys().copied().collect::<Vec<_>>())
            }
            _ => Ok(()),
        }
    }

    /// Opens the socket on interface number `index`.
    pub(super) fn open(&mut self, index: u32) -> Result<(), NetError> {
        self.socket = None;
        let mut socket = VrrpSocket::open(index, &self.name)?;
        for (_, group) in self.routers.values() {
            socket.join(*group)?;
        }
        self.socket = Some(socket);
        self.filter_is_stale = true;
        self.refresh_filter()
    }

    /// Queues an advert for the end of the round; true when it is the first one.
    pub(super) fn queue(&mut self, id: RouterId, destination: Ipv4Addr, packet: &[u8]) -> bool {
        let start = self.packets.len();
        self.packets.extend_from_slice(packet);
        self.outgoing.push((id, destination, start..self.packets.len()));
        self.outgoing.len() == 1
    }

    /// Sends what was queued in one go; returns what could not leave.
    pub(super) fn flush(&mut self) -> Vec<(RouterId, NetError)> {
        if self.outgoing.is_empty() {
            return Vec::new();
        }
        let mut failed = Vec::new();
        if let Some(socket) = &self.socket {
            let packets: Vec<Outgoing<'_>> = self
                .outgoing
                .iter()
                .map(|(_, destination, range)| Outgoing {
                    destination: *destination,
                    bytes: &self.packets[range.clone()],
                })
                .collect();
            socket.send(&packets, &mut |position, error| {
                failed.extend(self.outgoing.get(position).map(|(id, _, _)| (*id, error)));
            });
        }
        self.packets.clear();
        self.outgoing.clear();
        failed
    }
}

//! Hearing of changes to links, addresses, routes and rules as they happen.

use super::{
    AddressEntry, Link, RouteEntry,
    ear::{Ear, Heard, instruction, number_in_filter},
    frame::{Frame, frames},
    open_socket,
};
use crate::NetError;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::SockFilter;
use std::os::fd::{AsFd, BorrowedFd};

/// What to listen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Interfaces: created, changed, renamed, deleted (`RTNLGRP_LINK`).
    Links,
    /// IPv4 addresses: added, changed, removed (`RTNLGRP_IPV4_IFADDR`).
    Ipv4Addresses,
    /// IPv4 routes (`RTNLGRP_IPV4_ROUTE`): of interest with [`Monitor::only_losses_of`].
    Ipv4Routes,
    /// IPv4 policy rules (`RTNLGRP_IPV4_RULE`).
    Ipv4Rules,
}

/// Something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An interface appeared or changed; this is how it is now.
    Link(Link),
    /// An interface was deleted or left for another network namespace.
    LinkGone {
        /// Its number.
        index: u32,
        /// Its last name.
        name: String,
    },
    /// An address was added or changed.
    AddressAdded {
        /// How it is now.
        address: AddressEntry,
        /// Port id of the socket that asked for it, see [`Event::AddressRemoved`].
        sender: Option<u32>,
    },
    /// An address was removed.
    AddressRemoved {
        /// How it was.
        address: AddressEntry,
        /// Port id of the socket that asked for it: compare with [`Requests::port_id`](super::Requests::port_id).
        /// For the first netlink socket of a process this is its process id, which names the culprit;
        /// later ones get arbitrary numbers. `None` when the kernel itself did it or `ioctl` was used.
        sender: Option<u32>,
    },
    /// A route or a rule was removed; which one, a listing tells.
    RouteRemoved {
        /// Port id of the socket that asked for it, see [`Event::AddressRemoved`].
        sender: Option<u32>,
    },
    /// A route took the place of another one that had its destination, table and metric
    /// (`ip route replace`, `ip route change`). What was there before is not told.
    RouteReplaced {
        /// How it is now.
        route: RouteEntry,
        /// Port id of the socket that asked for it, see [`Event::AddressRemoved`].
        sender: Option<u32>,
    },
    /// Changes came faster than they were read and some are lost: list everything anew. Whatever was
    /// queued has been thrown away, so that nothing older than the new list can follow it.
    Overrun,
}

/// A netlink socket that listens and never blocks.
#[derive(Debug)]
pub struct Monitor {
    ear: Ear,
}

impl Monitor {
    /// Listens to `groups` in the network namespace of the calling thread.
    ///
    /// Open the monitor first and list objects afterwards: a change in between is then seen twice
    /// rather than never.
    pub fn open(groups: &[Group]) -> Result<Self, NetError> {
        let (socket, _) = open_socket(NETLINK_ROUTE)?;
        let failed = |error| NetError::from_io("listen to netlink notifications", &error);
        for group in groups {
            let number = match group {
                Group::Links => libc::RTNLGRP_LINK,
                Group::Ipv4Addresses => libc::RTNLGRP_IPV4_IFADDR,
                Group::Ipv4Routes => libc::RTNLGRP_IPV4_ROUTE,
                Group::Ipv4Rules => libc::RTNLGRP_IPV4_RULE,
            };
            socket.add_membership(number).map_err(failed)?;
        }
        Ok(Self { ear: Ear::new(socket) })
    }

    /// From now on, leaves out addresses added through the socket with this port id
    /// ([`Requests::port_id`](super::Requests::port_id)): whoever claims thousands has the results and
    /// needs no echo. Removals are always reported, as one can take other addresses along.
    pub fn ignore_additions_by(&self, port_id: u32) -> Result<(), NetError> {
        self.ear.filter(&additions_filter(port_id))
    }

    /// From now on, of routes and rules reports only what may cost one with the mark `protocol`: removals
    /// of routes with that mark and of rules, and every replacement. A routing daemon may add and remove
    /// thousands of others a second.
    pub fn only_losses_of(&self, protocol: u8) -> Result<(), NetError> {
        self.ear.filter(&losses_filter(protocol))
    }

    /// Limits the queue in the kernel to about `bytes` (4 MiB at first), to provoke overruns in tests.
    pub fn limit_queue(&mut self, bytes: usize) -> Result<(), NetError> {
        setsockopt(&self.ear.socket, sockopt::RcvBuf, &bytes)
            .map_err(|errno| NetError::new("set the queue of a netlink socket", errno))
    }

    /// Hands at most `limit` notifications to `f`; true when there may be more.
    pub fn read(&mut self, limit: usize, f: &mut dyn FnMut(Event)) -> Result<bool, NetError> {
        for _ in 0..limit {
            match self.ear.hear()? {
                Heard::Datagram(datagram) => {
                    frames(datagram).filter_map(|frame| event(&frame)).for_each(&mut *f);
                }
                Heard::Nothing => return Ok(false),
                Heard::Lost => {
                    let drained = self.ear.drain();
                    f(Event::Overrun);
                    return Ok(!drained);
                }
            }
        }
        Ok(true)
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ear.socket.as_fd()
    }
}

/// Where the kind of a notification is.
const KIND_OFFSET: u32 = 4;

/// The filter reads numbers as big-endian, netlink's are native.
fn kind_in_filter(kind: u16) -> u32 {
    u16::from_be_bytes(kind.to_ne_bytes()).into()
}

/// Drops `RTM_NEWADDR` caused by `port_id`.
fn additions_filter(port_id: u32) -> [SockFilter; 6] {
    use libc::*;
    const PORT_OFFSET: u32 = 12;
    let kind = kind_in_filter(RTM_NEWADDR);
    let port = number_in_filter(port_id);
    [
        instruction(BPF_LD | BPF_H | BPF_ABS, 0, 0, KIND_OFFSET),
        instruction(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, kind),
        instruction(BPF_LD | BPF_W | BPF_ABS, 0, 0, PORT_OFFSET),
        instruction(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, port),
        instruction(BPF_RET | BPF_K, 0, 0, 0),
        instruction(BPF_RET | BPF_K, 0, 0, u32::MAX),
    ]
}

/// Lets pass `RTM_DELRULE`, `RTM_DELROUTE` of routes marked `protocol`, and `RTM_NEWROUTE` that took the
/// place of another.
fn losses_filter(protocol: u8) -> [SockFilter; 10] {
    use libc::*;
    const FLAGS_OFFSET: u32 = 6;
    const PROTOCOL_OFFSET: u32 = 16 + 5;
    let is = |kind, yes, no| instruction(BPF_JMP | BPF_JEQ | BPF_K, yes, no, kind_in_filter(kind));
    [
        instruction(BPF_LD | BPF_H | BPF_ABS, 0, 0, KIND_OFFSET),
        is(RTM_DELRULE, 6, 0),
        is(RTM_DELROUTE, 1, 0),
        is(RTM_NEWROUTE, 2, 5),
        instruction(BPF_LD | BPF_B | BPF_ABS, 0, 0, PROTOCOL_OFFSET),
        instruction(BPF_JMP | BPF_JEQ | BPF_K, 2, 3, protocol.into()),
        instruction(BPF_LD | BPF_H | BPF_ABS, 0, 0, FLAGS_OFFSET),
        instruction(BPF_JMP | BPF_JSET | BPF_K, 0, 1, kind_in_filter(NLM_F_REPLACE as u16)),
        instruction(BPF_RET | BPF_K, 0, 0, u32::MAX),
        instruction(BPF_RET | BPF_K, 0, 0, 0),
    ]
}

fn event(frame: &Frame<'_>) -> Option<Event> {
    let sender = (frame.port != 0).then_some(frame.port);
    match frame.kind {
        libc::RTM_NEWLINK => Link::parse(frame.body).map(Event::Link),
        libc::RTM_DELLINK => {
            Link::parse(frame.body).map(|link| Event::LinkGone { index: link.index, name: link.name })
        }
        libc::RTM_NEWADDR => {
            AddressEntry::parse(frame.body).map(|address| Event::AddressAdded { address, sender })
        }
        libc::RTM_DELADDR => {
            AddressEntry::parse(frame.body).map(|address| Event::AddressRemoved { address, sender })
        }
        libc::RTM_NEWROUTE if frame.flags & libc::NLM_F_REPLACE as u16 != 0 => {
            RouteEntry::parse(frame.body).map(|route| Event::RouteReplaced { route, sender })
        }
        libc::RTM_DELROUTE | libc::RTM_DELRULE => Some(Event::RouteRemoved { sender }),
        _ => None,
    }
}

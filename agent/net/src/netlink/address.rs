//! IPv4 addresses: what we want on an interface, what is there, and the batch that makes them agree.

use super::{
    frame::{attributes, number, string},
    request::{Request, Requests},
};
use crate::NetError;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressFlags, AddressHeader, AddressMessage, AddressProtocol},
};
use nix::errno::Errno;
use std::net::{IpAddr, Ipv4Addr};

/// Our mark on every address we add (`IFA_PROTO`): VRRP's own protocol number. Kernels before 5.18
/// ignore it.
pub const PROTOCOL_MARK: u8 = 112;

const HEADER_BYTES: usize = 8;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFA_PROTO: u16 = 11;
const IFA_F_SECONDARY: u32 = 1;

/// An address as we want it. The kernel tells addresses apart by interface, `ip`, `prefix_len` and `peer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressSpec {
    /// Interface to put it on.
    pub index: u32,
    /// The address.
    pub ip: Ipv4Addr,
    /// Length of the network part, 0 to 32.
    pub prefix_len: u8,
    /// Name for old tools, such as `eth0:1`: at most 15 bytes and beginning with the interface's name.
    pub label: Option<String>,
    /// `RT_SCOPE_*`: 0 global, 253 link, 254 host.
    pub scope: u8,
    /// Broadcast address; none is set when absent.
    pub broadcast: Option<Ipv4Addr>,
    /// The other end of a point-to-point address.
    pub peer: Option<Ipv4Addr>,
    /// Do not add the route to the address's own network.
    pub no_prefix_route: bool,
}

/// An address as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressEntry {
    /// Interface it is on.
    pub index: u32,
    /// The address.
    pub ip: Ipv4Addr,
    /// Length of the network part, 0 to 32.
    pub prefix_len: u8,
    /// Its label; the interface's name where none was given.
    pub label: String,
    /// `RT_SCOPE_*`: 0 global, 253 link, 254 host.
    pub scope: u8,
    /// Who added it (`IFA_PROTO`): [`PROTOCOL_MARK`] for us, 0 for nobody in particular.
    pub protocol: u8,
    /// Whether another address of the same network comes first; it may vanish with that one.
    pub secondary: bool,
    /// Broadcast address.
    pub broadcast: Option<Ipv4Addr>,
    /// The other end of a point-to-point address.
    pub peer: Option<Ipv4Addr>,
}

/// The request that puts an address in place. One that is there already is taken over: it gets our mark.
pub fn add(spec: &AddressSpec) -> Request {
    let mut message = message(spec);
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL_MARK)));
    if let Some(broadcast) = spec.broadcast {
        message.attributes.push(AddressAttribute::Broadcast(broadcast));
    }
    if let Some(label) = &spec.label {
        message.attributes.push(AddressAttribute::Label(label.clone()));
    }
    if spec.no_prefix_route {
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Noprefixroute));
    }
    Request { message: RouteNetlinkMessage::NewAddress(message), flags: NLM_F_CREATE | NLM_F_REPLACE }
}

/// The request that takes an address away. The label plays no part.
pub fn remove(spec: &AddressSpec) -> Request {
    Request { message: RouteNetlinkMessage::DelAddress(message(spec)), flags: 0 }
}

/// What identifies an address to the kernel.
fn message(spec: &AddressSpec) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header = AddressHeader {
        family: AddressFamily::Inet,
        prefix_len: spec.prefix_len,
        scope: spec.scope.into(),
        index: spec.index,
        ..AddressHeader::default()
    };
    message.attributes.reserve_exact(6);
    message.attributes.push(AddressAttribute::Local(IpAddr::V4(spec.ip)));
    message.attributes.push(AddressAttribute::Address(IpAddr::V4(spec.peer.unwrap_or(spec.ip))));
    message
}

/// One change of [`Requests::change_addresses`].
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// Put it in place; being there already is success.
    Add(&'a AddressSpec),
    /// Take it away; being gone already, even with the interface, is success.
    Remove(&'a AddressSpec),
}

impl AddressSpec {
    /// What identifies `entry` to the kernel, to remove it.
    pub fn of(entry: &AddressEntry) -> Self {
        Self {
            index: entry.index,
            ip: entry.ip,
            prefix_len: entry.prefix_len,
            label: None,
            scope: entry.scope,
            broadcast: None,
            peer: entry.peer,
            no_prefix_route: false,
        }
    }
}

impl Requests {
    /// Carries out additions and removals in order, as few system calls as possible; the results are
    /// in the same order.
    pub fn change_addresses(&mut self, changes: &[Change<'_>]) -> Vec<Result<(), NetError>> {
        let mut results = self.execute(changes.iter().map(|change| match change {
            Change::Add(spec) => add(spec),
            Change::Remove(spec) => remove(spec),
        }));
        for (change, result) in changes.iter().zip(&mut results) {
            let tolerated: &[Errno] = match change {
                Change::Add(_) => &[Errno::EEXIST],
                Change::Remove(_) => &[Errno::EADDRNOTAVAIL, Errno::ENODEV],
            };
            if result.as_ref().is_err_and(|error| tolerated.contains(&error.errno())) {
                *result = Ok(());
            }
        }
        results
    }

    /// Puts all of `specs` in place, in order; the results are in the same order. Being there already is
    /// success. The results of a claim may be mixed: undo is the caller's decision.
    pub fn add_addresses<'a>(
        &mut self,
        specs: impl IntoIterator<Item = &'a AddressSpec>,
    ) -> Vec<Result<(), NetError>> {
        self.execute_tolerating(specs.into_iter().map(add), &[Errno::EEXIST])
    }

    /// Takes all of `specs` away, in order. Being gone already, even with the interface, is success.
    pub fn remove_addresses<'a>(
        &mut self,
        specs: impl IntoIterator<Item = &'a AddressSpec>,
    ) -> Vec<Result<(), NetError>> {
        self.execute_tolerating(specs.into_iter().map(remove), &[Errno::EADDRNOTAVAIL, Errno::ENODEV])
    }

    /// Every IPv4 address of this network namespace.
    pub fn dump_addresses(&mut self) -> Result<Vec<AddressEntry>, NetError> {
        let mut query = AddressMessage::default();
        query.header.family = AddressFamily::Inet;
        self.dump(
            "list addresses",
            &RouteNetlinkMessage::GetAddress(query),
            libc::RTM_NEWADDR,
            AddressEntry::parse,
        )
    }
}

impl AddressEntry {
    /// Reads the body of an `RTM_NEWADDR` or `RTM_DELADDR`; `None` when it is not IPv4 or not readable.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let header = AddressHeader::parse(body).ok()?;
        if header.family != AddressFamily::Inet {
            return None;
        }
        let (mut local, mut address, mut broadcast) = (None, None, None);
        let (mut label, mut protocol, mut flags) = (String::new(), 0, u32::from(header.flags.bits()));
        attributes(body.get(HEADER_BYTES..)?, &mut |kind, value| match kind {
            IFA_LOCAL => local = ipv4(value),
            IFA_ADDRESS => address = ipv4(value),
            IFA_BROADCAST => broadcast = ipv4(value),
            IFA_LABEL => label = string(value),
            IFA_PROTO => protocol = value.first().copied().unwrap_or_default(),
            IFA_FLAGS => flags = number(value).unwrap_or(flags),
            _ => {}
        });
        let ip = local.or(address)?;
        Some(Self {
            index: header.index,
            ip,
            prefix_len: header.prefix_len,
            label,
            scope: header.scope.into(),
            protocol,
            secondary: flags & IFA_F_SECONDARY != 0,
            broadcast,
            peer: address.filter(|&peer| peer != ip),
        })
    }
}

fn ipv4(value: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::Emitable;

    fn spec() -> AddressSpec {
        AddressSpec {
            index: 4,
            ip: Ipv4Addr::new(192, 0, 2, 9),
            prefix_len: 24,
            label: Some("eth0:1".into()),
            scope: 253,
            broadcast: Some(Ipv4Addr::new(192, 0, 2, 255)),
            peer: Some(Ipv4Addr::new(192, 0, 2, 10)),
            no_prefix_route: true,
        }
    }

    fn body(request: Request) -> Vec<u8> {
        let message = match request.message {
            RouteNetlinkMessage::NewAddress(message) | RouteNetlinkMessage::DelAddress(message) => message,
            other => panic!("{other:?}"),
        };
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        bytes
    }

    #[test]
    fn what_is_asked_for_reads_back() {
        let spec = spec();
        let entry = AddressEntry::parse(&body(add(&spec))).unwrap();
        assert_eq!(
            entry,
            AddressEntry {
                index: spec.index,
                ip: spec.ip,
                prefix_len: 24,
                label: "eth0:1".into(),
                scope: 253,
                protocol: PROTOCOL_MARK,
                secondary: false,
                broadcast: spec.broadcast,
                peer: spec.peer,
            }
        );
    }

    #[test]
    fn removal_names_the_address_alone() {
        let entry = AddressEntry::parse(&body(remove(&spec()))).unwrap();
        assert_eq!((entry.ip, entry.prefix_len, entry.peer), (spec().ip, 24, spec().peer));
        assert_eq!((entry.label.as_str(), entry.broadcast, entry.protocol), ("", None, 0));
    }

    #[test]
    fn an_address_without_peer_has_none() {
        let spec = AddressSpec { peer: None, ..spec() };
        assert_eq!(AddressEntry::parse(&body(add(&spec))).unwrap().peer, None);
    }

    #[test]
    fn every_cut_is_survived() {
        let whole = body(add(&spec()));
        for end in 0..whole.len() {
            let _ = AddressEntry::parse(&whole[..end]);
        }
    }
}

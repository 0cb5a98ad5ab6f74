//! IPv4 routes: what we want, what is there under our mark, and the requests that change it.
//!
//! ```text
//!   RouteSpec --add--> kernel --dump_routes(mark)--> RouteEntry::is(spec)?
//! ```
//!
//! An addition never takes the place of another's route: where one has the same destination, type of
//! service, table and metric, the kernel answers `EEXIST`.

use super::{
    frame::{attributes, number},
    request::{Request, Requests},
};
use crate::NetError;
use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteNextHop,
        RouteNextHopFlags,
    },
};
use nix::errno::Errno;
use std::net::Ipv4Addr;

/// Our mark on every route and rule we add: the number that is known as `keepalived`, so that whoever
/// selects routes by it (`ip route show proto keepalived`, routing daemons) goes on to find them.
pub const ROUTE_PROTOCOL: u8 = 18;

const HEADER_BYTES: usize = 12;
const HOP_HEADER_BYTES: usize = 8;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTAX_LOCK: u16 = 1;
const SCOPE_NOWHERE: u8 = 255;
const ONLINK: u32 = 4;

/// One way to a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// Interface to leave by; 0 lets the kernel find it.
    pub index: u32,
    /// Router to hand packets to.
    pub gateway: Option<Ipv4Addr>,
    /// Share among several ways, beyond the first: 0 to 255.
    pub extra_weight: u8,
    /// The gateway is on the link whatever the addresses say.
    pub onlink: bool,
}

/// A route as we want it. The kernel tells routes apart by destination, `tos`, `table` and `metric`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSpec {
    /// `RTN_*`: 1 unicast, 6 blackhole, 7 unreachable, 8 prohibit, 9 throw.
    pub kind: u8,
    /// Destination, bits beyond `prefix_len` clear.
    pub destination: Ipv4Addr,
    /// Length of the destination's network part, 0 to 32.
    pub prefix_len: u8,
    /// Type of service; 0 for any.
    pub tos: u8,
    /// Table that holds it.
    pub table: u32,
    /// The lower goes first.
    pub metric: u32,
    /// `RT_SCOPE_*`: 0 for destinations behind a gateway, 253 for those on the link.
    pub scope: u8,
    /// Source of packets that this host sends along it.
    pub source: Option<Ipv4Addr>,
    /// The ways; empty for kinds that send nothing.
    pub hops: Vec<Hop>,
    /// Settings for TCP and others: `RTAX_*` and value.
    pub settings: Vec<(u16, u32)>,
    /// Bits `1 << RTAX_*` of settings that path discovery does not change.
    pub locked: u32,
}

/// A route as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteEntry {
    /// `RTN_*`.
    pub kind: u8,
    /// Destination.
    pub destination: Ipv4Addr,
    /// Length of the destination's network part.
    pub prefix_len: u8,
    /// Type of service.
    pub tos: u8,
    /// Table that holds it.
    pub table: u32,
    /// The lower goes first.
    pub metric: u32,
    /// Who added it (`RTPROT_*`): [`ROUTE_PROTOCOL`] for us.
    pub protocol: u8,
    /// Source of packets that this host sends along it.
    pub source: Option<Ipv4Addr>,
    /// The ways.
    pub hops: Vec<Hop>,
}

impl RouteEntry {
    /// Whether it is the route that `spec` asks for; settings and scope are not compared.
    pub fn is(&self, spec: &RouteSpec) -> bool {
        let several = spec.hops.len() > 1;
        let same = |(one, other): (&Hop, &Hop)| {
            (one.index == 0 || one.index == other.index)
                && one.gateway == other.gateway
                && (!several || one.extra_weight == other.extra_weight)
        };
        (self.destination, self.prefix_len, self.tos, self.table, self.metric)
            == (spec.destination, spec.prefix_len, spec.tos, spec.table, spec.metric)
            && self.kind == spec.kind
            && self.source == spec.source
            && self.hops.len() == spec.hops.len()
            && spec.hops.iter().zip(&self.hops).all(same)
    }

    /// Reads the body of an `RTM_NEWROUTE` or `RTM_DELROUTE`; `None` when it is not IPv4 or not readable.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let header = RouteHeader::parse(body).ok()?;
        if header.address_family != AddressFamily::Inet {
            return None;
        }
        let mut entry = Self {
            kind: header.kind.into(),
            destination: Ipv4Addr::UNSPECIFIED,
            prefix_len: header.destination_prefix_length,
            tos: header.tos,
            table: header.table.into(),
            metric: 0,
            protocol: header.protocol.into(),
            source: None,
            hops: Vec::new(),
        };
        let mut one = Hop::default();
        attributes(body.get(HEADER_BYTES..)?, &mut |kind, value| match kind {
            RTA_DST => entry.destination = ipv4(value).unwrap_or(entry.destination),
            RTA_TABLE => entry.table = number(value).unwrap_or(entry.table),
            RTA_PRIORITY => entry.metric = number(value).unwrap_or_default(),
            RTA_PREFSRC => entry.source = ipv4(value),
            RTA_OIF => one.index = number(value).unwrap_or_default(),
            RTA_GATEWAY => one.gateway = ipv4(value),
            RTA_MULTIPATH => entry.hops = hops(value),
            _ => {}
        });
        if one != Hop::default() {
            one.onlink = header.flags.bits() & ONLINK != 0;
            entry.hops.push(one);
        }
        Some(entry)
    }
}

/// The ways of `RTA_MULTIPATH`, each with a header and attributes; stops at the first that does not fit.
fn hops(mut rest: &[u8]) -> Vec<Hop> {
    let mut found = Vec::new();
    while let Some(&[l0, l1, flags, weight, i0, i1, i2, i3]) = rest.first_chunk::<HOP_HEADER_BYTES>() {
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let Some(body) = rest.get(HOP_HEADER_BYTES..length) else { break };
        let mut hop = Hop {
            index: u32::from_ne_bytes([i0, i1, i2, i3]),
            gateway: None,
            extra_weight: weight,
            onlink: u32::from(flags) & ONLINK != 0,
        };
        attributes(body, &mut |kind, value| {
            if kind == RTA_GATEWAY {
                hop.gateway = ipv4(value);
            }
        });
        found.push(hop);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn ipv4(value: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from)
}

pub(super) fn add(spec: &RouteSpec) -> Request {
    let mut message = message(spec);
    message.header.scope = spec.scope.into();
    if !spec.settings.is_empty() {
        let locked = (spec.locked != 0).then_some((RTAX_LOCK, spec.locked));
        let all = locked.into_iter().chain(spec.settings.iter().copied());
        let metric = |(kind, value): (u16, u32)| {
            RouteMetric::Other(DefaultNla::new(kind, value.to_ne_bytes().to_vec()))
        };
        message.attributes.push(RouteAttribute::Metrics(all.map(metric).collect()));
    }
    Request { message: RouteNetlinkMessage::NewRoute(message), flags: NLM_F_CREATE | NLM_F_EXCL }
}

/// Of several that fit, the kernel takes the first: ours alone fit, by the mark.
pub(super) fn remove(spec: &RouteSpec) -> Request {
    let mut message = message(spec);
    message.header.scope = SCOPE_NOWHERE.into();
    Request { message: RouteNetlinkMessage::DelRoute(message), flags: 0 }
}

fn message(spec: &RouteSpec) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: AddressFamily::Inet,
        destination_prefix_length: spec.prefix_len,
        tos: spec.tos,
        table: u8::try_from(spec.table).unwrap_or_default(),
        protocol: ROUTE_PROTOCOL.into(),
        kind: spec.kind.into(),
        ..RouteHeader::default()
    };
    let wanted = &mut message.attributes;
    wanted.push(RouteAttribute::Table(spec.table));
    if spec.prefix_len > 0 {
        wanted.push(RouteAttribute::Destination(RouteAddress::Inet(spec.destination)));
    }
    if spec.metric > 0 {
        wanted.push(RouteAttribute::Priority(spec.metric));
    }
    if let Some(source) = spec.source {
        wanted.push(RouteAttribute::PrefSource(RouteAddress::Inet(source)));
    }
    match &spec.hops[..] {
        [] => {}
        [one] => {
            wanted.extend(gateway(one));
            if one.index > 0 {
                wanted.push(RouteAttribute::Oif(one.index));
            }
            if one.onlink {
                message.header.flags = RouteFlags::from_bits_retain(ONLINK);
            }
        }
        several => wanted.push(RouteAttribute::MultiPath(several.iter().map(next_hop).collect())),
    }
    message
}

fn gateway(hop: &Hop) -> Option<RouteAttribute> {
    hop.gateway.map(|ip| RouteAttribute::Gateway(RouteAddress::Inet(ip)))
}

fn next_hop(hop: &Hop) -> RouteNextHop {
    let mut made = RouteNextHop::default();
    made.interface_index = hop.index;
    made.hops = hop.extra_weight;
    made.attributes.extend(gateway(hop));
    if hop.onlink {
        made.flags = RouteNextHopFlags::Onlink;
    }
    made
}

/// A route's destination, to follow "add route" and the like.
pub(super) fn describe(message: &RouteMessage) -> String {
    let destination = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(ip)) => Some(*ip),
        _ => None,
    });
    match destination {
        Some(ip) => format!("{ip}/{}", message.header.destination_prefix_length),
        None => "default".to_owned(),
    }
}

impl Requests {
    /// Adds routes in order; the results are in the same order.
    pub fn add_routes<'a>(
        &mut self,
        specs: impl IntoIterator<Item = &'a RouteSpec>,
    ) -> Vec<Result<(), NetError>> {
        self.execute(specs.into_iter().map(add))
    }

    /// Removes routes of ours in order. Being gone already, even with the interface, is success.
    pub fn remove_routes<'a>(
        &mut self,
        specs: impl IntoIterator<Item = &'a RouteSpec>,
    ) -> Vec<Result<(), NetError>> {
        let gone = [Errno::ESRCH, Errno::ENODEV, Errno::ENETDOWN, Errno::ENETUNREACH];
        self.execute_tolerating(specs.into_iter().map(remove), &gone)
    }

    /// The IPv4 routes of all tables that carry the mark `protocol`. Kernels from 4.20 on leave out the
    /// others themselves: a host may have a million.
    pub fn dump_routes(&mut self, protocol: u8) -> Result<Vec<RouteEntry>, NetError> {
        let mut query = RouteMessage::default();
        query.header.address_family = AddressFamily::Inet;
        query.header.protocol = protocol.into();
        let query = RouteNetlinkMessage::GetRoute(query);
        let mut routes = self.dump("list routes", &query, libc::RTM_NEWROUTE, RouteEntry::parse)?;
        routes.retain(|route| route.protocol == protocol);
        Ok(routes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::Emitable;

    fn spec(hops: Vec<Hop>) -> RouteSpec {
        RouteSpec {
            kind: 1,
            destination: Ipv4Addr::new(198, 51, 100, 0),
            prefix_len: 24,
            tos: 16,
            table: 1000,
            metric: 7,
            scope: 0,
            source: Some(Ipv4Addr::new(192, 0, 2, 9)),
            hops,
            settings: vec![(2, 1400)],
            locked: 4,
        }
    }

    fn hop(last: u8) -> Hop {
        Hop { index: 4, gateway: Some(Ipv4Addr::new(192, 0, 2, last)), extra_weight: last, onlink: last == 2 }
    }

    fn body(request: Request) -> Vec<u8> {
        let message = match request.message {
            RouteNetlinkMessage::NewRoute(message) | RouteNetlinkMessage::DelRoute(message) => message,
            other => panic!("{other:?}"),
        };
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        bytes
    }

    #[test]
    fn what_is_asked_for_reads_back() {
        for hops in [vec![], vec![Hop { extra_weight: 0, ..hop(2) }], vec![hop(1), hop(2), hop(3)]] {
            let spec = spec(hops);
            for request in [add(&spec), remove(&spec)] {
                let entry = RouteEntry::parse(&body(request)).unwrap();
                assert!(entry.is(&spec), "{entry:?}");
                assert_eq!((entry.protocol, &entry.hops), (ROUTE_PROTOCOL, &spec.hops));
            }
        }
    }

    #[test]
    fn another_way_is_another_route() {
        let wanted = spec(vec![hop(1)]);
        let entry = RouteEntry::parse(&body(add(&wanted))).unwrap();
        assert!(entry.is(&spec(vec![Hop { index: 0, ..hop(1) }])), "the kernel found the interface");
        assert!(!entry.is(&spec(vec![hop(2)])));
        assert!(!entry.is(&spec(vec![Hop { index: 5, ..hop(1) }])));
        assert!(!entry.is(&RouteSpec { metric: 8, ..wanted.clone() }));
        assert!(!entry.is(&RouteSpec { kind: 6, ..wanted }));
    }

    #[test]
    fn every_cut_is_survived() {
        let whole = body(add(&spec(vec![hop(1), hop(2)])));
        for end in 0..whole.len() {
            let _ = RouteEntry::parse(&whole[..end]);
        }
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 0xff;
            let _ = RouteEntry::parse(&broken);
        }
    }
}

//! IPv4 policy rules: what we want, what is there under our mark, and the requests that change it.
//!
//! The kernel takes away the first rule that fits what is named, whoever added it. A removal therefore
//! goes by a rule that was listed, with the priority the kernel gave it.

use super::{
    frame::{attributes, number, string},
    request::{Request, Requests},
    route::ROUTE_PROTOCOL,
};
use crate::NetError;
use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    rule::{RuleAttribute, RuleFlags, RuleHeader, RuleMessage, RulePortRange, RuleUidRange},
};
use nix::errno::Errno;
use std::net::{IpAddr, Ipv4Addr};

const HEADER_BYTES: usize = 12;
const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_UID_RANGE: u16 = 20;
const FRA_PROTOCOL: u16 = 21;
const FRA_IP_PROTO: u16 = 22;
const FRA_SPORT_RANGE: u16 = 23;
const FRA_DPORT_RANGE: u16 = 24;

/// A policy rule. What is `None` picks every packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSpec {
    /// It picks the packets that do not fit.
    pub not: bool,
    /// Source network and its prefix length.
    pub from: Option<(Ipv4Addr, u8)>,
    /// Destination network and its prefix length.
    pub to: Option<(Ipv4Addr, u8)>,
    /// Type of service; 0 for any.
    pub tos: u8,
    /// Mark, and which of its bits count.
    pub mark: Option<(u32, u32)>,
    /// Interface packets came by.
    pub iif: Option<String>,
    /// Interface a socket is bound to.
    pub oif: Option<String>,
    /// IP protocol number.
    pub ip_protocol: Option<u8>,
    /// First and last source port.
    pub sport: Option<(u16, u16)>,
    /// First and last destination port.
    pub dport: Option<(u16, u16)>,
    /// First and last user.
    pub uids: Option<(u32, u32)>,
    /// Routes with a prefix of this length or shorter do not count.
    pub suppress_prefix_len: Option<u8>,
    /// The lower goes first; `None` lets the kernel pick one.
    pub priority: Option<u32>,
    /// `FR_ACT_*`: 1 to a table, 6 blackhole, 7 unreachable, 8 prohibit.
    pub action: u8,
    /// Table to ask; 0 for the other actions.
    pub table: u32,
}

/// A rule as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleEntry {
    /// What it is; its priority is known.
    pub rule: RuleSpec,
    /// Who added it: [`ROUTE_PROTOCOL`] for us.
    pub protocol: u8,
}

impl RuleEntry {
    /// Whether it is the rule that `spec` asks for.
    pub fn is(&self, spec: &RuleSpec) -> bool {
        let priority = spec.priority.or(self.rule.priority);
        RuleSpec { priority, ..spec.clone() } == self.rule
    }

    /// Reads the body of an `RTM_NEWRULE`; `None` when it is not IPv4 or not readable.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let header = RuleHeader::parse(body).ok()?;
        if header.family != AddressFamily::Inet {
            return None;
        }
        let mut rule = RuleSpec {
            not: header.flags.contains(RuleFlags::Invert),
            tos: header.tos,
            priority: Some(0),
            action: header.action.into(),
            table: header.table.into(),
            ..RuleSpec::default()
        };
        let (mut protocol, mut mark, mut mask) = (0, 0, 0);
        attributes(body.get(HEADER_BYTES..)?, &mut |kind, value| match kind {
            FRA_DST => rule.to = network(value, header.dst_len),
            FRA_SRC => rule.from = network(value, header.src_len),
            FRA_IIFNAME => rule.iif = Some(string(value)),
            FRA_OIFNAME => rule.oif = Some(string(value)),
            FRA_PRIORITY => rule.priority = number(value).or(Some(0)),
            FRA_FWMARK => mark = number(value).unwrap_or_default(),
            FRA_FWMASK => mask = number(value).unwrap_or_default(),
            FRA_SUPPRESS_PREFIXLEN => {
                rule.suppress_prefix_len = number(value).and_then(|length| u8::try_from(length).ok());
            }
            FRA_TABLE => rule.table = number(value).unwrap_or(rule.table),
            FRA_UID_RANGE => rule.uids = halves(value).and_then(|(a, b)| Some((number(a)?, number(b)?))),
            FRA_PROTOCOL => protocol = value.first().copied().unwrap_or_default(),
            FRA_IP_PROTO => rule.ip_protocol = value.first().copied(),
            FRA_SPORT_RANGE => rule.sport = ports(value),
            FRA_DPORT_RANGE => rule.dport = ports(value),
            _ => {}
        });
        rule.mark = (mark != 0 || mask != 0).then_some((mark, mask));
        Some(Self { rule, protocol })
    }
}

fn network(value: &[u8], length: u8) -> Option<(Ipv4Addr, u8)> {
    Some((<[u8; 4]>::try_from(value).ok()?.into(), length))
}

fn halves(value: &[u8]) -> Option<(&[u8], &[u8])> {
    value.len().is_multiple_of(2).then(|| value.split_at(value.len() / 2))
}

fn ports(value: &[u8]) -> Option<(u16, u16)> {
    let (first, last) = halves(value)?;
    Some((u16::from_ne_bytes(first.try_into().ok()?), u16::from_ne_bytes(last.try_into().ok()?)))
}

fn message(spec: &RuleSpec) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header = RuleHeader {
        family: AddressFamily::Inet,
        dst_len: spec.to.map_or(0, |(_, length)| length),
        src_len: spec.from.map_or(0, |(_, length)| length),
        tos: spec.tos,
        table: u8::try_from(spec.table).unwrap_or_default(),
        action: spec.action.into(),
        flags: if spec.not { RuleFlags::Invert } else { RuleFlags::empty() },
    };
    let mark = spec.mark.map(|(mark, mask)| [RuleAttribute::FwMark(mark), RuleAttribute::FwMask(mask)]);
    let range = |(start, end)| RulePortRange { start, end };
    let wanted = [
        Some(RuleAttribute::Protocol(ROUTE_PROTOCOL.into())),
        Some(RuleAttribute::Table(spec.table)).filter(|_| spec.table > 0),
        spec.to.map(|(ip, _)| RuleAttribute::Destination(IpAddr::V4(ip))),
        spec.from.map(|(ip, _)| RuleAttribute::Source(IpAddr::V4(ip))),
        spec.iif.clone().map(RuleAttribute::Iifname),
        spec.oif.clone().map(RuleAttribute::Oifname),
        spec.ip_protocol.map(|number| RuleAttribute::Other(DefaultNla::new(FRA_IP_PROTO, vec![number]))),
        spec.sport.map(range).map(RuleAttribute::SourcePortRange),
        spec.dport.map(range).map(RuleAttribute::DestinationPortRange),
        spec.uids.map(|(start, end)| RuleAttribute::UidRange(RuleUidRange { start, end })),
        spec.suppress_prefix_len.map(|length| RuleAttribute::SuppressPrefixLen(length.into())),
        spec.priority.map(RuleAttribute::Priority),
    ];
    message.attributes.extend(wanted.into_iter().flatten().chain(mark.into_iter().flatten()));
    message
}

/// What a rule picks, to follow "add rule" and the like.
pub(super) fn describe(message: &RuleMessage) -> String {
    let header = &message.header;
    let mut text = String::new();
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Source(ip) => text += &format!(" from {ip}/{}", header.src_len),
            RuleAttribute::Destination(ip) => text += &format!(" to {ip}/{}", header.dst_len),
            RuleAttribute::Priority(priority) => text += &format!(" priority {priority}"),
            RuleAttribute::Table(table) => text += &format!(" table {table}"),
            _ => {}
        }
    }
    text.trim_start().to_owned()
}

impl Requests {
    /// Adds rules in order; the results are in the same order. One that is there already, whoever added
    /// it, is an `EEXIST`.
    pub fn add_rules<'a>(
        &mut self,
        specs: impl IntoIterator<Item = &'a RuleSpec>,
    ) -> Vec<Result<(), NetError>> {
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        let add = |spec| Request { message: RouteNetlinkMessage::NewRule(message(spec)), flags };
        self.execute(specs.into_iter().map(add))
    }

    /// Removes rules as they were listed. Being gone already is success.
    pub fn remove_rules<'a>(
        &mut self,
        rules: impl IntoIterator<Item = &'a RuleEntry>,
    ) -> Vec<Result<(), NetError>> {
        let remove = |entry: &RuleEntry| Request {
            message: RouteNetlinkMessage::DelRule(message(&entry.rule)),
            flags: 0,
        };
        self.execute_tolerating(rules.into_iter().map(remove), &[Errno::ENOENT, Errno::ESRCH])
    }

    /// The IPv4 rules that carry the mark `protocol`.
    pub fn dump_rules(&mut self, protocol: u8) -> Result<Vec<RuleEntry>, NetError> {
        let mut query = RuleMessage::default();
        query.header.family = AddressFamily::Inet;
        let query = RouteNetlinkMessage::GetRule(query);
        let mut rules = self.dump("list rules", &query, libc::RTM_NEWRULE, RuleEntry::parse)?;
        rules.retain(|rule| rule.protocol == protocol);
        Ok(rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::Emitable;

    fn spec() -> RuleSpec {
        RuleSpec {
            not: true,
            from: Some((Ipv4Addr::new(10, 1, 0, 0), 16)),
            to: Some((Ipv4Addr::new(10, 2, 0, 0), 16)),
            tos: 8,
            mark: Some((0x10, 0xff)),
            iif: Some("eth0".into()),
            oif: Some("eth1".into()),
            ip_protocol: Some(6),
            sport: Some((80, 81)),
            dport: Some((1, 65_535)),
            uids: Some((0, 99)),
            suppress_prefix_len: Some(0),
            priority: Some(50),
            action: 1,
            table: 1000,
        }
    }

    fn body(spec: &RuleSpec) -> Vec<u8> {
        let message = message(spec);
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        bytes
    }

    #[test]
    fn what_is_asked_for_reads_back() {
        let entry = RuleEntry::parse(&body(&spec())).unwrap();
        assert_eq!(entry, RuleEntry { rule: spec(), protocol: ROUTE_PROTOCOL });
        assert!(entry.is(&RuleSpec { priority: None, ..spec() }), "the kernel picked the priority");
        assert!(!entry.is(&RuleSpec { priority: Some(51), ..spec() }));
        assert!(!entry.is(&RuleSpec { from: None, ..spec() }));
    }

    #[test]
    fn every_cut_is_survived() {
        let whole = body(&spec());
        for end in 0..whole.len() {
            let _ = RuleEntry::parse(&whole[..end]);
        }
    }
}

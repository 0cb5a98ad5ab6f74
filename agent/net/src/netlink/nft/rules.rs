//! The table's content: one set of addresses and two chains that drop what the set names.

use super::super::build::Attributes;
use super::Table;
use super::message::{Datagram, Kind, comment};
use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};
use std::net::Ipv4Addr;

/// The set with the addresses.
pub(super) const SET: &str = "vips";
/// Kind of a set's comment within its user data.
pub(super) const SET_COMMENT: u8 = 7;
/// Kind of a set's byte order within its user data; without it nft shows numbers.
const SET_BYTE_ORDER: u8 = 0;
const BIG_ENDIAN: u32 = 2;
/// nft's number of the type `ipv4_addr`.
const TYPE_IPV4_ADDRESS: u32 = 7;
/// Numbers the set within a transaction.
const SET_ID: u32 = 1;

const HOOK_INPUT: u32 = 1;
const HOOK_OUTPUT: u32 = 3;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
const REGISTER_1: u32 = 1;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

const PROTOCOL_OFFSET: u32 = 9;
const SOURCE_OFFSET: u32 = 12;
const DESTINATION_OFFSET: u32 = 16;
const ICMP: u8 = 1;
const VRRP: u8 = 112;
/// Errors of ICMP: unreachable (with "fragmentation needed"), redirect, time exceeded, bad parameter.
const ICMP_ERRORS: [u8; 4] = [3, 5, 11, 12];

/// How many rules the table has.
pub(super) const RULES: usize = 1 + 2 + ICMP_ERRORS.len() + 1;

/// One step of a rule.
enum Step {
    /// Take `length` bytes at `offset` of a header.
    Load { header: u32, offset: u32, length: u32 },
    /// Go on when they stand in the set, or when they do not.
    InSet(bool),
    /// Go on when they are this byte.
    Is(u8),
    /// Count packets and bytes.
    Count,
    /// The end.
    Verdict(u32),
}

/// Appends everything but the elements. `first` makes the table, `flags` says how.
pub(super) fn build(datagram: &mut Datagram, table: &Table, exclusive: bool) {
    let exclusive = if exclusive { NLM_F_EXCL } else { 0 };
    datagram.message(Kind::NewTable, NLM_F_CREATE | exclusive, |table_| table_.string(1, &table.name));
    set(datagram, table);
    chain(datagram, table, "in", HOOK_INPUT);
    chain(datagram, table, "out", HOOK_OUTPUT);
    rules(datagram, table);
}

fn set(datagram: &mut Datagram, table: &Table) {
    let mut user_data = vec![SET_BYTE_ORDER, 4];
    user_data.extend(BIG_ENDIAN.to_ne_bytes());
    user_data.extend(comment(SET_COMMENT, &table.owner));
    datagram.message(Kind::NewSet, NLM_F_CREATE, |set| {
        set.string(1, &table.name);
        set.string(2, SET);
        set.be32(3, 0);
        set.be32(4, TYPE_IPV4_ADDRESS);
        set.be32(5, 4);
        set.be32(10, SET_ID);
        set.bytes(13, &user_data);
    });
}

fn chain(datagram: &mut Datagram, table: &Table, name: &str, hook: u32) {
    datagram.message(Kind::NewChain, NLM_F_CREATE, |chain| {
        chain.string(1, &table.name);
        chain.string(3, name);
        chain.nest(4, |where_| {
            where_.be32(1, hook);
            where_.bytes(2, &table.priority.to_be_bytes());
        });
        chain.be32(5, ACCEPT);
        chain.string(7, "filter");
    });
}

/// What is sent to the addresses is dropped, and what is sent from them, as it would be answers of a
/// service. Adverts may leave from one (`mcast_src_ip`), and a router must be able to tell hosts of
/// lost packets, or their connections through it hang.
fn rules(datagram: &mut Datagram, table: &Table) {
    let load = |offset, length| Step::Load { header: NETWORK_HEADER, offset, length };
    let drop = || table.counters.then_some(Step::Count).into_iter().chain([Step::Verdict(DROP)]);
    let to: Vec<_> = [load(DESTINATION_OFFSET, 4), Step::InSet(true)].into_iter().chain(drop()).collect();
    rule(datagram, table, "in", &to);
    rule(datagram, table, "out", &[load(SOURCE_OFFSET, 4), Step::InSet(false), Step::Verdict(ACCEPT)]);
    rule(datagram, table, "out", &[load(PROTOCOL_OFFSET, 1), Step::Is(VRRP), Step::Verdict(ACCEPT)]);
    for kind in ICMP_ERRORS {
        let kind_of = Step::Load { header: TRANSPORT_HEADER, offset: 0, length: 1 };
        let steps =
            [load(PROTOCOL_OFFSET, 1), Step::Is(ICMP), kind_of, Step::Is(kind), Step::Verdict(ACCEPT)];
        rule(datagram, table, "out", &steps);
    }
    rule(datagram, table, "out", &drop().collect::<Vec<_>>());
}

fn rule(datagram: &mut Datagram, table: &Table, chain: &str, steps: &[Step]) {
    datagram.message(Kind::NewRule, NLM_F_CREATE | NLM_F_APPEND, |rule| {
        rule.string(1, &table.name);
        rule.string(2, chain);
        rule.nest(4, |list| steps.iter().for_each(|step| list.nest(1, |element| step.append(element))));
    });
}

impl Step {
    fn append(&self, element: &mut Attributes<'_>) {
        match *self {
            Self::Load { header, offset, length } => expression(element, "payload", |data| {
                data.be32(1, REGISTER_1);
                data.be32(2, header);
                data.be32(3, offset);
                data.be32(4, length);
            }),
            Self::InSet(wanted) => expression(element, "lookup", |data| {
                data.string(1, SET);
                data.be32(2, REGISTER_1);
                data.be32(4, SET_ID);
                data.be32(5, u32::from(!wanted));
            }),
            Self::Is(byte) => expression(element, "cmp", |data| {
                data.be32(1, REGISTER_1);
                data.be32(2, 0);
                data.nest(3, |value| value.bytes(1, &[byte]));
            }),
            Self::Count => expression(element, "counter", |_| ()),
            Self::Verdict(verdict) => expression(element, "immediate", |data| {
                data.be32(1, 0);
                data.nest(2, |value| value.nest(2, |of| of.be32(1, verdict)));
            }),
        }
    }
}

fn expression(element: &mut Attributes<'_>, name: &str, fill: impl FnOnce(&mut Attributes<'_>)) {
    element.string(1, name);
    element.nest(2, fill);
}

/// Appends messages that add or remove elements.
pub(super) fn elements(datagram: &mut Datagram, table: &str, kind: Kind, addresses: &[Ipv4Addr]) {
    /// 16 bytes each: well below the 64 KiB of an attribute.
    const PER_MESSAGE: usize = 1024;
    let flags = if kind == Kind::NewElements { NLM_F_CREATE } else { 0 };
    for some in addresses.chunks(PER_MESSAGE) {
        datagram.message(kind, flags, |message| {
            message.string(1, table);
            message.string(2, SET);
            message.nest(3, |list| {
                for address in some {
                    list.nest(1, |element| element.nest(1, |key| key.bytes(1, &address.octets())));
                }
            });
        });
    }
}

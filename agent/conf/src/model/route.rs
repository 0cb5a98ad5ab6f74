//! Routes and policy rules, as `ip route` and `ip rule` know them.
//!
//! Their text form is read back by [`FromStr`] as the same value: a record on disk is made of it.

use super::{Address, AddressScope};
use crate::iproute;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Addresses, routes and rules that are the host's own: set at start, kept, removed at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statics {
    /// Addresses, each with its interface.
    pub addresses: Vec<Address>,
    /// Routes, set after the addresses.
    pub routes: Vec<Route>,
    /// Rules, set after the routes.
    pub rules: Vec<Rule>,
}

/// The routing table that a packet asks unless a rule says otherwise.
pub const TABLE_MAIN: u32 = 254;

/// An IPv4 network: address and prefix length, 0 to 32; bits beyond the length are clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    /// Its first address.
    pub ip: Ipv4Addr,
    /// How many bits of it count.
    pub prefix_len: u8,
}

impl Network {
    /// The network that `ip` lies in; a length above 32 counts as 32.
    pub fn of(ip: Ipv4Addr, prefix_len: u8) -> Self {
        let prefix_len = prefix_len.min(32);
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix_len)).unwrap_or(0);
        Self { ip: (u32::from(ip) & mask).into(), prefix_len }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix_len {
            0 => f.write_str("default"),
            length => write!(f, "{}/{length}", self.ip),
        }
    }
}

/// What becomes of packets to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// They are sent on.
    Unicast,
    /// They are dropped without a word.
    Blackhole,
    /// They are dropped, the sender hears "unreachable".
    Unreachable,
    /// They are dropped, the sender hears "prohibited".
    Prohibit,
    /// The next table is asked.
    Throw,
}

impl RouteKind {
    /// Each with its name.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("unicast", Self::Unicast),
        ("blackhole", Self::Blackhole),
        ("unreachable", Self::Unreachable),
        ("prohibit", Self::Prohibit),
        ("throw", Self::Throw),
    ];
}

/// A setting that TCP and others take from a route, as the kernel numbers it (`RTAX_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteMetric {
    /// Which one: a row of [`RouteMetric::NAMES`].
    pub number: u16,
    /// Its value.
    pub value: u32,
    /// Path discovery does not change it.
    pub lock: bool,
}

impl RouteMetric {
    /// Those that can be written, each with the kernel's number.
    pub const NAMES: [(&'static str, u16); 9] = [
        ("mtu", 2),
        ("window", 3),
        ("ssthresh", 6),
        ("cwnd", 7),
        ("advmss", 8),
        ("hoplimit", 10),
        ("initcwnd", 11),
        ("initrwnd", 14),
        ("quickack", 15),
    ];
}

/// One way to a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// The router to hand packets to; none when the destination is on the link.
    pub gateway: Option<Ipv4Addr>,
    /// The interface they leave by; the kernel finds it when there is none.
    pub dev: Option<String>,
    /// Share among several, 1 to 256; 0 when not said.
    pub weight: u16,
    /// The gateway is on the link whatever the addresses say.
    pub onlink: bool,
}

/// One route. The kernel tells routes apart by destination, `tos`, `table` and `metric`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// What becomes of the packets.
    pub kind: RouteKind,
    /// Where they go.
    pub destination: Network,
    /// Type of service they must carry; 0 for any.
    pub tos: u8,
    /// Table that holds it.
    pub table: u32,
    /// The lower goes first; 0 unless said.
    pub metric: u32,
    /// How far the destination is; by default as far as `next_hops` say.
    pub scope: Option<AddressScope>,
    /// Source of packets that this host sends along it.
    pub source: Option<Ipv4Addr>,
    /// The ways to it; empty for kinds that send nothing.
    pub next_hops: Vec<NextHop>,
    /// Settings for TCP and others.
    pub metrics: Vec<RouteMetric>,
    /// Trouble of its interface is not the router's.
    pub no_track: bool,
}

impl Route {
    /// A unicast route of the main table, nothing else said.
    pub fn new(destination: Network) -> Self {
        Self {
            kind: RouteKind::Unicast,
            destination,
            tos: 0,
            table: TABLE_MAIN,
            metric: 0,
            scope: None,
            source: None,
            next_hops: Vec::new(),
            metrics: Vec::new(),
            no_track: false,
        }
    }

    /// What no two routes of a host have in common.
    pub fn key(&self) -> (Network, u8, u32, u32) {
        (self.destination, self.tos, self.table, self.metric)
    }

    /// The interfaces it names.
    pub fn devices(&self) -> impl Iterator<Item = &str> {
        self.next_hops.iter().filter_map(|hop| hop.dev.as_deref())
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gateway, dev, weight, onlink } = self;
        if let Some(gateway) = gateway {
            write!(f, " via {gateway}")?;
        }
        if let Some(dev) = dev {
            write!(f, " dev {dev}")?;
        }
        if *weight > 0 {
            write!(f, " weight {weight}")?;
        }
        f.write_str(if *onlink { " onlink" } else { "" })
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = RouteKind::NAMES.iter().find(|(_, kind)| *kind == self.kind);
        if let Some((name, _)) = kind.filter(|(_, kind)| *kind != RouteKind::Unicast) {
            write!(f, "{name} ")?;
        }
        write!(f, "{}", self.destination)?;
        match &self.next_hops[..] {
            [one] if one.weight == 0 => write!(f, "{one}")?,
            several => several.iter().try_for_each(|hop| write!(f, " nexthop{hop}"))?,
        }
        if let Some(source) = self.source {
            write!(f, " src {source}")?;
        }
        if let Some(scope) = self.scope {
            write!(f, " scope {}", scope.0)?;
        }
        if self.table != TABLE_MAIN {
            write!(f, " table {}", self.table)?;
        }
        for (name, value) in [("metric", self.metric), ("tos", self.tos.into())] {
            if value > 0 {
                write!(f, " {name} {value}")?;
            }
        }
        for metric in &self.metrics {
            let name = RouteMetric::NAMES.iter().find(|(_, number)| *number == metric.number);
            let lock = if metric.lock { "lock " } else { "" };
            write!(f, " {} {lock}{}", name.map_or("?", |(name, _)| name), metric.value)?;
        }
        f.write_str(if self.no_track { " no_track" } else { "" })
    }
}

impl FromStr for Route {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = text.split_whitespace().collect();
        iproute::route(&words).map_err(|wrong| wrong.message)
    }
}

/// What a rule does with the packets it picks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleAction {
    /// They ask this table.
    Table(u32),
    /// They are dropped without a word.
    Blackhole,
    /// They are dropped, the sender hears "unreachable".
    Unreachable,
    /// They are dropped, the sender hears "prohibited".
    Prohibit,
}

/// A range of numbers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span<T> {
    /// The first one.
    pub first: T,
    /// The last one.
    pub last: T,
}

impl<T: fmt::Display + PartialEq> fmt::Display for Span<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// One policy rule. What is `None` picks every packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// It picks the packets that do not fit.
    pub not: bool,
    /// Source of the packets.
    pub from: Option<Network>,
    /// Destination of the packets.
    pub to: Option<Network>,
    /// Type of service they carry; 0 for any.
    pub tos: u8,
    /// Mark they carry, and which of its bits count.
    pub mark: Option<(u32, u32)>,
    /// Interface they came by; `lo` for packets of this host.
    pub iif: Option<String>,
    /// Interface a socket is bound to.
    pub oif: Option<String>,
    /// IP protocol number.
    pub ip_protocol: Option<u8>,
    /// Source ports.
    pub sport: Option<Span<u16>>,
    /// Destination ports.
    pub dport: Option<Span<u16>>,
    /// Users whose packets they are.
    pub uids: Option<Span<u32>>,
    /// Routes with a shorter prefix, or this one, do not count.
    pub suppress_prefix_len: Option<u8>,
    /// The lower goes first; the kernel picks one when there is none.
    pub priority: Option<u32>,
    /// What it does.
    pub action: RuleAction,
    /// Trouble of its interface is not the router's.
    pub no_track: bool,
}

impl Rule {
    /// Every packet, `action`, nothing else said.
    pub fn new(action: RuleAction) -> Self {
        Self {
            not: false,
            from: None,
            to: None,
            tos: 0,
            mark: None,
            iif: None,
            oif: None,
            ip_protocol: None,
            sport: None,
            dport: None,
            uids: None,
            suppress_prefix_len: None,
            priority: None,
            action,
            no_track: false,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn part<T: fmt::Display>(f: &mut fmt::Formatter<'_>, name: &str, value: Option<T>) -> fmt::Result {
            value.map_or(Ok(()), |value| write!(f, " {name} {value}"))
        }
        f.write_str(if self.not { "not from " } else { "from " })?;
        match self.from {
            Some(from) => write!(f, "{from}")?,
            None => f.write_str("all")?,
        }
        part(f, "to", self.to)?;
        part(f, "tos", Some(self.tos).filter(|tos| *tos > 0))?;
        if let Some((mark, mask)) = self.mark {
            write!(f, " fwmark {mark:#x}")?;
            if mask != u32::MAX {
                write!(f, "/{mask:#x}")?;
            }
        }
        part(f, "iif", self.iif.as_ref())?;
        part(f, "oif", self.oif.as_ref())?;
        part(f, "ipproto", self.ip_protocol)?;
        part(f, "sport", self.sport)?;
        part(f, "dport", self.dport)?;
        part(f, "uidrange", self.uids)?;
        part(f, "priority", self.priority)?;
        match self.action {
            RuleAction::Table(table) => write!(f, " table {table}")?,
            RuleAction::Blackhole => f.write_str(" blackhole")?,
            RuleAction::Unreachable => f.write_str(" unreachable")?,
            RuleAction::Prohibit => f.write_str(" prohibit")?,
        }
        part(f, "suppress_prefixlength", self.suppress_prefix_len)?;
        f.write_str(if self.no_track { " no_track" } else { "" })
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = text.split_whitespace().collect();
        iproute::rule(&words).map_err(|wrong| wrong.message)
    }
}

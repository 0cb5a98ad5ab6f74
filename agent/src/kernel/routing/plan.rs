//! Routes, rules and static addresses that shall be there, and which of them are. Pure.

use super::super::holding::address_spec;
use super::super::interfaces::Interfaces;
use hacluster_conf::model::route::{NextHop, Route, RouteKind, Rule, RuleAction};
use hacluster_conf::model::{Address, Statics};
use hacluster_net::netlink::{
    AddressEntry, AddressSpec, Hop, PROTOCOL_MARK, RouteEntry, RouteSpec, RuleEntry, RuleSpec,
};
use std::fmt;
use std::net::Ipv4Addr;

/// How the kernel numbers "valid on the link" and "valid everywhere".
const SCOPE_LINK: u8 = 253;
const SCOPE_GLOBAL: u8 = 0;

/// One thing to be set, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Thing {
    /// A static address, with its interface.
    Address(Address),
    Route(Route),
    Rule(Rule),
}

impl Thing {
    /// Whether the two differ at most in what concerns the agent alone.
    pub(super) fn same_for_kernel(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Route(one), Self::Route(other)) => {
                (one.key(), one.kind, one.source, &one.next_hops)
                    == (other.key(), other.kind, other.source, &other.next_hops)
            }
            (Self::Rule(one), Self::Rule(other)) => *one == Rule { no_track: one.no_track, ..other.clone() },
            (Self::Address(one), Self::Address(other)) => one == other,
            (Self::Route(_) | Self::Rule(_) | Self::Address(_), _) => false,
        }
    }
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => {
                write!(f, "address {address} dev {}", address.dev.as_deref().unwrap_or("?"))
            }
            Self::Route(route) => write!(f, "route {route}"),
            Self::Rule(rule) => write!(f, "rule {rule}"),
        }
    }
}

/// What the kernel is asked for.
#[derive(Clone, Debug)]
pub(super) enum Spec {
    Address(AddressSpec),
    Route(RouteSpec),
    Rule(RuleSpec),
}

/// What the kernel has.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Only when there are static addresses.
    pub(super) addresses: Vec<AddressEntry>,
    pub(super) routes: Vec<RouteEntry>,
    pub(super) rules: Vec<RuleEntry>,
}

/// One thing and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) thing: Thing,
    pub(super) present: bool,
    /// Somebody else's: it was there before us and stays when we go.
    pub(super) keep: bool,
    /// It was there and somebody, or the kernel, took it away.
    pub(super) lost: bool,
    /// Its refusal was told.
    pub(super) told: bool,
}

/// Things in the order of setting them: addresses, routes, rules. They are removed backwards.
#[derive(Debug, Default)]
pub(in super::super) struct Plan {
    pub(super) items: Vec<Item>,
    /// How often lost things were put back.
    pub(super) restorations: u64,
}

impl Plan {
    /// What goes with the addresses of a router.
    pub(in super::super) fn of(routes: &[Route], rules: &[Rule]) -> Self {
        let routes = routes.iter().cloned().map(Thing::Route);
        Self::from_things(routes.chain(rules.iter().cloned().map(Thing::Rule)))
    }

    /// What is the host's own.
    pub(super) fn of_statics(statics: &Statics) -> Self {
        let addresses = statics.addresses.iter().cloned().map(Thing::Address);
        let routes = statics.routes.iter().cloned().map(Thing::Route);
        Self::from_things(addresses.chain(routes).chain(statics.rules.iter().cloned().map(Thing::Rule)))
    }

    pub(super) fn from_things(things: impl Iterator<Item = Thing>) -> Self {
        let item = |thing| Item { thing, present: false, keep: false, lost: false, told: false };
        Self { items: things.map(item).collect(), restorations: 0 }
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Which of it are there, in order.
    pub(in super::super) fn present(&self) -> impl Iterator<Item = bool> + '_ {
        self.items.iter().map(|item| item.present)
    }

    /// Every interface that is named.
    pub(in super::super) fn devices(&self) -> impl Iterator<Item = &str> {
        self.items.iter().flat_map(|item| devices(&item.thing))
    }

    /// Interfaces whose trouble is the router's.
    pub(in super::super) fn tracked_devices(&self) -> impl Iterator<Item = &str> {
        let tracked = self.items.iter().filter(|item| match &item.thing {
            Thing::Route(route) => !route.no_track,
            Thing::Address(_) | Thing::Rule(_) => false,
        });
        tracked.flat_map(|item| devices(&item.thing))
    }

    /// Whether a route that is there stands where `entry` is now.
    pub(super) fn has_at(&self, entry: &RouteEntry) -> bool {
        self.items.iter().any(|item| match &item.thing {
            Thing::Route(route) => {
                let network = (route.destination.ip, route.destination.prefix_len);
                item.present
                    && (network, route.tos, route.table, route.metric)
                        == ((entry.destination, entry.prefix_len), entry.tos, entry.table, entry.metric)
            }
            Thing::Address(_) | Thing::Rule(_) => false,
        })
    }

    pub(super) fn has_addresses(&self) -> bool {
        self.items.iter().any(|item| matches!(item.thing, Thing::Address(_)))
    }

    pub(super) fn lacks(&self) -> bool {
        self.items.iter().any(|item| !item.present)
    }

    /// Takes over what stays from the `former` plan and returns what does not.
    pub(in super::super) fn succeed(&mut self, former: Self) -> Self {
        let mut dropped = Self::default();
        self.restorations = former.restorations;
        for old in former.items {
            match self.items.iter_mut().find(|new| new.thing == old.thing) {
                Some(new) => *new = old,
                None => dropped.items.push(old),
            }
        }
        dropped
    }

    /// Notes what is there; what was and is not any more is lost where it is `wanted`.
    pub(super) fn compare(&mut self, listing: &Listing, interfaces: &Interfaces, wanted: bool) {
        for item in &mut self.items {
            let spec = spec(&item.thing, interfaces, false);
            let found = spec.is_some_and(|spec| match spec {
                Spec::Route(spec) => listing.routes.iter().any(|entry| entry.is(&spec)),
                Spec::Rule(spec) => listing.rules.iter().any(|entry| entry.is(&spec)),
                Spec::Address(spec) => {
                    let same = |entry: &&AddressEntry| {
                        (entry.index, entry.ip, entry.prefix_len) == (spec.index, spec.ip, spec.prefix_len)
                    };
                    let found = listing.addresses.iter().find(same);
                    let before_us = found.is_some_and(|entry| entry.protocol != PROTOCOL_MARK);
                    item.keep = found.is_some() && (item.keep || (!item.present && before_us));
                    found.is_some()
                }
            });
            item.lost |= item.present && !found && wanted;
            item.present = found;
        }
    }
}

fn devices(thing: &Thing) -> Vec<&str> {
    match thing {
        Thing::Address(address) => address.dev.as_deref().into_iter().collect(),
        Thing::Route(route) => route.devices().collect(),
        Thing::Rule(_) => Vec::new(),
    }
}

/// What to ask of the kernel; `None` while an interface that it names does not exist or, with `up`, is
/// switched off.
pub(super) fn spec(thing: &Thing, interfaces: &Interfaces, up: bool) -> Option<Spec> {
    let index = |name: &str| interfaces.link(name).filter(|link| link.up || !up).map(|link| link.index);
    match thing {
        Thing::Address(address) => {
            // Addresses can be put on an interface that is off.
            let index = interfaces.link(address.dev.as_deref()?)?.index;
            Some(Spec::Address(address_spec(address, index)))
        }
        Thing::Route(route) => {
            let hop = |hop: &NextHop| {
                let index = match &hop.dev {
                    Some(dev) => index(dev)?,
                    None => 0,
                };
                let extra_weight = u8::try_from(hop.weight.saturating_sub(1)).unwrap_or(u8::MAX);
                Some(Hop { index, gateway: hop.gateway, extra_weight, onlink: hop.onlink })
            };
            let hops = route.next_hops.iter().map(hop).collect::<Option<Vec<_>>>()?;
            Some(Spec::Route(route_spec(route, hops)))
        }
        Thing::Rule(rule) => Some(Spec::Rule(rule_spec(rule))),
    }
}

fn route_spec(route: &Route, hops: Vec<Hop>) -> RouteSpec {
    let on_link = route.kind == RouteKind::Unicast && hops.iter().all(|hop| hop.gateway.is_none());
    RouteSpec {
        kind: match route.kind {
            RouteKind::Unicast => 1,
            RouteKind::Blackhole => 6,
            RouteKind::Unreachable => 7,
            RouteKind::Prohibit => 8,
            RouteKind::Throw => 9,
        },
        destination: route.destination.ip,
        prefix_len: route.destination.prefix_len,
        tos: route.tos,
        table: route.table,
        metric: route.metric,
        scope: route.scope.map_or(if on_link { SCOPE_LINK } else { SCOPE_GLOBAL }, |scope| scope.0),
        source: route.source,
        hops,
        settings: route.metrics.iter().map(|metric| (metric.number, metric.value)).collect(),
        locked: route
            .metrics
            .iter()
            .filter(|metric| metric.lock)
            .fold(0, |bits, metric| bits | (1 << metric.number)),
    }
}

fn rule_spec(rule: &Rule) -> RuleSpec {
    let network = |network: hacluster_conf::model::route::Network| -> (Ipv4Addr, u8) {
        (network.ip, network.prefix_len)
    };
    let (action, table) = match rule.action {
        RuleAction::Table(table) => (1, table),
        RuleAction::Blackhole => (6, 0),
        RuleAction::Unreachable => (7, 0),
        RuleAction::Prohibit => (8, 0),
    };
    RuleSpec {
        not: rule.not,
        from: rule.from.map(network),
        to: rule.to.map(network),
        tos: rule.tos,
        mark: rule.mark,
        iif: rule.iif.clone(),
        oif: rule.oif.clone(),
        ip_protocol: rule.ip_protocol,
        sport: rule.sport.map(|span| (span.first, span.last)),
        dport: rule.dport.map(|span| (span.first, span.last)),
        uids: rule.uids.map(|span| (span.first, span.last)),
        suppress_prefix_len: rule.suppress_prefix_len,
        priority: rule.priority,
        action,
        table,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacluster_net::netlink::ROUTE_PROTOCOL;

    fn plan(lines: &[&str]) -> Plan {
        Plan::from_things(lines.iter().map(|line| Thing::Route(line.parse().unwrap())))
    }

    fn listed(plan: &Plan) -> Listing {
        let entry = |item: &Item| match spec(&item.thing, &Interfaces::default(), false) {
            Some(Spec::Route(spec)) => RouteEntry {
                kind: spec.kind,
                destination: spec.destination,
                prefix_len: spec.prefix_len,
                tos: spec.tos,
                table: spec.table,
                metric: spec.metric,
                protocol: ROUTE_PROTOCOL,
                source: spec.source,
                hops: spec.hops.iter().map(|hop| Hop { index: 3, ..*hop }).collect(),
            },
            other => panic!("{other:?}"),
        };
        Listing { routes: plan.items.iter().map(entry).collect(), ..Listing::default() }
    }

    #[test]
    fn what_was_there_and_is_not_is_lost_where_it_is_wanted() {
        let mut plan = plan(&["10.1.0.0/16 via 10.0.0.1", "10.2.0.0/16 via 10.0.0.1"]);
        let (all, none) = (listed(&plan), Listing::default());
        let interfaces = Interfaces::default();
        plan.compare(&none, &interfaces, true);
        assert!(plan.items.iter().all(|item| !item.present && !item.lost), "never there, never lost");
        plan.compare(&all, &interfaces, true);
        assert!(plan.items.iter().all(|item| item.present && !item.lost));
        plan.compare(&none, &interfaces, false);
        assert!(plan.items.iter().all(|item| !item.present && !item.lost), "nobody misses it");
        plan.compare(&all, &interfaces, true);
        plan.compare(&none, &interfaces, true);
        assert!(plan.items.iter().all(|item| !item.present && item.lost));
    }

    #[test]
    fn a_new_plan_keeps_what_stays() {
        let mut old = plan(&["10.1.0.0/16 via 10.0.0.1", "10.2.0.0/16 via 10.0.0.1"]);
        old.compare(&listed(&old), &Interfaces::default(), true);
        let mut new = plan(&["10.2.0.0/16 via 10.0.0.1", "10.1.0.0/16 via 10.0.0.2"]);
        let dropped = new.succeed(old);
        assert_eq!(new.present().collect::<Vec<_>>(), [true, false]);
        assert_eq!(dropped.items.len(), 1);
        assert_eq!(dropped.items[0].thing.to_string(), "route 10.1.0.0/16 via 10.0.0.1");
    }

    #[test]
    fn nothing_is_asked_of_an_interface_that_does_not_exist() {
        let plan = plan(&["10.1.0.0/16 dev eth7"]);
        assert!(spec(&plan.items[0].thing, &Interfaces::default(), true).is_none());
    }
}

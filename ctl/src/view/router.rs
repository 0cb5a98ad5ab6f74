//! What a node says of a virtual router, in the names that JSON and YAML promise.

use super::beside::{Hook, Route};
use super::filter::Filter;
use super::node::{Hold, millis};
use super::{known, short};
use crate::times::timestamp;
use hacluster_proto::v1;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Router {
    pub(crate) name: String,
    pub(crate) vrid: u32,
    pub(crate) interface: String,
    pub(crate) state: String,
    pub(crate) since: Option<Timestamp>,
    pub(crate) last_transition: Option<Transition>,
    pub(crate) priority_base: u32,
    pub(crate) priority_effective: u32,
    /// Whatever makes the two differ.
    pub(crate) priority_causes: Vec<PriorityCause>,
    pub(crate) faults: Vec<String>,
    pub(crate) master_address: Option<String>,
    pub(crate) master_priority: Option<u32>,
    pub(crate) source: Option<String>,
    pub(crate) advert_interval_ms: f64,
    pub(crate) addresses: Vec<Address>,
    pub(crate) counters: Counters,
    pub(crate) hold: Option<Hold>,
    pub(crate) lead: Option<Lead>,
    pub(crate) r#move: Option<Move>,
    /// Packets to its addresses are dropped.
    pub(crate) filter: Option<Filter>,
    /// Routes, then rules, that go with its addresses.
    pub(crate) routes: Vec<Route>,
    /// The latest program that was told of a change.
    pub(crate) last_hook: Option<Hook>,
    pub(crate) agreement: Option<String>,
    pub(crate) sync_group: Option<SyncGroup>,
}

/// Virtual routers that change hands together, on one node.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SyncGroup {
    pub(crate) name: String,
    pub(crate) state: String,
    /// What keeps it from ruling.
    pub(crate) waits_for: Option<WaitsFor>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct WaitsFor {
    /// A member; none when no member is to blame.
    pub(crate) router: Option<String>,
    pub(crate) reason: String,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Transition {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) reason_kind: String,
    pub(crate) reason: String,
    pub(crate) priority: u32,
    pub(crate) at: Option<Timestamp>,
    /// Trace of the W3C Trace Context.
    pub(crate) trace_id: Option<String>,
    /// To Master: so long nobody served the addresses at most, as far as the node knows.
    pub(crate) unserved_ms: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct PriorityCause {
    pub(crate) difference: i32,
    pub(crate) name: String,
    pub(crate) text: String,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Lead {
    pub(crate) priority: u32,
    pub(crate) from_node: Option<String>,
    pub(crate) by: String,
    pub(crate) reason: String,
    pub(crate) since: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Move {
    pub(crate) to_node: Option<String>,
    pub(crate) by: String,
    pub(crate) since: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Address {
    pub(crate) address: String,
    pub(crate) interface: String,
    pub(crate) present: bool,
    pub(crate) advertised: bool,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Counters {
    pub(crate) adverts_sent: u64,
    pub(crate) adverts_accepted: u64,
    pub(crate) adverts_discarded: BTreeMap<String, u64>,
    pub(crate) send_failures: u64,
    pub(crate) became_master: u64,
    pub(crate) restorations: u64,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Event {
    pub(crate) sequence: u64,
    pub(crate) at: Option<Timestamp>,
    pub(crate) router: Option<String>,
    pub(crate) warning: bool,
    pub(crate) text: String,
    pub(crate) transition: Option<Transition>,
    /// By which those who collect traces find it.
    pub(crate) trace_id: Option<String>,
}

impl Router {
    pub(crate) fn rules(&self) -> bool {
        self.state == "master"
    }

    /// The priority that plain VRRP would compare: without what a lead adds.
    pub(crate) fn priority_own(&self) -> u32 {
        if self.lead.is_none() {
            return self.priority_effective;
        }
        let causes = self.priority_causes.iter().filter(|cause| cause.name != "lead");
        let differences: i64 = causes.map(|cause| i64::from(cause.difference)).sum();
        u32::try_from((i64::from(self.priority_base) + differences).clamp(1, 255)).unwrap_or(1)
    }

    /// What made the last change.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.last_transition.as_ref().map(|last| last.reason.as_str()).filter(|reason| !reason.is_empty())
    }

    /// The advertised addresses, in order.
    pub(crate) fn advertised(&self) -> Vec<&str> {
        let advertised = self.addresses.iter().filter(|address| address.advertised);
        let mut addresses: Vec<_> = advertised.map(|address| bare(&address.address)).collect();
        addresses.sort_unstable();
        addresses
    }
}

/// An address without its prefix length.
pub(crate) fn bare(address: &str) -> &str {
    address.split('/').next().unwrap_or(address)
}

impl From<v1::Transition> for Transition {
    fn from(of: v1::Transition) -> Self {
        let reason = of.reason.clone().unwrap_or_default();
        Self {
            from: short(of.from().as_str_name(), "STATE_"),
            to: short(of.to().as_str_name(), "STATE_"),
            reason_kind: short(reason.kind().as_str_name(), "REASON_KIND_"),
            reason: reason.text,
            priority: of.priority,
            at: timestamp(of.at.as_ref()),
            trace_id: known(of.trace_id),
            unserved_ms: of.unserved.as_ref().map(millis),
        }
    }
}

impl From<v1::Event> for Event {
    fn from(of: v1::Event) -> Self {
        Self {
            sequence: of.sequence,
            at: timestamp(of.at.as_ref()),
            router: known(of.router),
            warning: of.warning,
            text: of.text,
            transition: of.transition.map(Transition::from),
            trace_id: known(of.trace_id),
        }
    }
}

impl From<v1::Counters> for Counters {
    fn from(of: v1::Counters) -> Self {
        Self {
            adverts_sent: of.adverts_sent,
            adverts_accepted: of.adverts_accepted,
            adverts_discarded: of.adverts_discarded.into_iter().collect(),
            send_failures: of.send_failures,
            became_master: of.became_master,
            restorations: of.restorations,
        }
    }
}

impl From<v1::Address> for Address {
    fn from(of: v1::Address) -> Self {
        Self { address: of.address, interface: of.interface, present: of.present, advertised: of.advertised }
    }
}

impl From<v1::Lead> for Lead {
    fn from(of: v1::Lead) -> Self {
        Self {
            priority: of.priority,
            from_node: known(of.from_node),
            by: of.by,
            reason: of.reason,
            since: timestamp(of.since.as_ref()),
        }
    }
}

impl From<v1::MoveUnderWay> for Move {
    fn from(of: v1::MoveUnderWay) -> Self {
        Self { to_node: known(of.to_node), by: of.by, since: timestamp(of.since.as_ref()) }
    }
}

impl SyncGroup {
    /// An agent that is older says its name only.
    fn of(name: String, now: Option<v1::SyncGroup>) -> Self {
        let now = now.unwrap_or_default();
        let state = short(now.state().as_str_name(), "STATE_");
        let router = known(now.waits_for);
        let waits_for = known(now.waits_because).map(|reason| WaitsFor { router, reason });
        Self { name, state, waits_for }
    }
}

impl WaitsFor {
    /// `VI_52: it does not run`.
    pub(crate) fn text(&self) -> String {
        match &self.router {
            Some(router) => format!("{router}: {}", self.reason),
            None => self.reason.clone(),
        }
    }
}

impl From<v1::VirtualRouter> for Router {
    fn from(of: v1::VirtualRouter) -> Self {
        let cause =
            |of: v1::PriorityCause| PriorityCause { difference: of.difference, name: of.name, text: of.text };
        Self {
            state: short(of.state().as_str_name(), "STATE_"),
            faults: of.faults().map(|fault| short(fault.as_str_name(), "FAULT_")).collect(),
            name: of.name,
            vrid: of.vrid,
            interface: of.interface,
            since: timestamp(of.since.as_ref()),
            last_transition: of.last_transition.map(Transition::from),
            priority_base: of.priority_base,
            priority_effective: of.priority_effective,
            priority_causes: of.priority_causes.into_iter().map(cause).collect(),
            master_address: known(of.master_address),
            master_priority: Some(of.master_priority).filter(|priority| *priority > 0),
            source: known(of.source),
            advert_interval_ms: of.advert_interval.as_ref().map_or(0.0, millis),
            addresses: of.addresses.into_iter().map(Address::from).collect(),
            counters: of.counters.unwrap_or_default().into(),
            hold: of.hold.map(Hold::from),
            lead: of.lead.map(Lead::from),
            r#move: of.r#move.map(Move::from),
            filter: of.filter.map(Filter::from),
            routes: of.routes.into_iter().map(Route::from).collect(),
            last_hook: of.last_hook.map(Hook::from),
            agreement: known(of.agreement),
            sync_group: known(of.sync_group).map(|name| SyncGroup::of(name, of.group)),
        }
    }
}

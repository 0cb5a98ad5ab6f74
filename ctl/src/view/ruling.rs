//! Who rules a virtual router, who should, and why not.
//!
//! Who should: the highest base priority of the nodes that answer, and of a master without agent by
//! what it advertises. A node in Fault, drained or holding back keeps its claim here; `why_not` says
//! what stands against it, and whether somebody wants it so.

use super::group::{Group, OnNode};
use super::node::Node;
use crate::times::ago;
use jiff::Timestamp;
use serde::Serialize;
use std::net::IpAddr;

/// A master.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Ruler {
    /// Its node; none for a router without agent.
    pub(crate) node: Option<String>,
    /// Where its adverts come from.
    pub(crate) address: Option<String>,
    /// What it advertises.
    pub(crate) priority: Option<u32>,
    /// It told so itself; otherwise a backup hears it.
    pub(crate) told: bool,
}

impl Ruler {
    /// For people: its node, else its address.
    pub(crate) fn label(&self) -> &str {
        self.node.as_deref().or(self.address.as_deref()).unwrap_or("?")
    }
}

/// Who should rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Best {
    pub(crate) node: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) priority: u32,
}

impl Best {
    /// For people: its node, else its address.
    pub(crate) fn label(&self) -> &str {
        self.node.as_deref().or(self.address.as_deref()).unwrap_or("?")
    }
}

/// Why the best does not rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct WhyNot {
    /// `fault`, `not_running`, `drained`, `moving`, `holds_back`, `paused`, `led`,
    /// `priority_lowered`, `waits_for_group`, `does_not_preempt`, `no_master` or `two_masters`.
    pub(crate) kind: &'static str,
    pub(crate) text: String,
    /// Somebody wants it so.
    pub(crate) on_purpose: bool,
}

/// Fills in who rules, who should, and why not.
pub(super) fn decide(group: &mut Group, nodes: &[Node]) {
    group.masters = rulers(group, nodes);
    group.should_be = best(group);
    group.since = since(group);
    group.why_not = why_not(group, nodes);
}

fn rulers(group: &Group, nodes: &[Node]) -> Vec<Ruler> {
    let ruling = group.nodes.iter().filter(|on| on.router.rules());
    let mut rulers: Vec<Ruler> = ruling
        .map(|on| Ruler {
            node: Some(on.node.clone()),
            address: on.router.source.clone(),
            priority: Some(on.router.priority_effective),
            told: true,
        })
        .collect();
    for on in group.nodes.iter().filter(|on| !on.router.rules()) {
        let Some(address) = &on.router.master_address else { continue };
        // An agent that answers says itself whether it rules: what a backup heard may be older.
        let answers = group.nodes.iter().any(|other| other.router.source.as_ref() == Some(address));
        if answers || rulers.iter().any(|ruler| ruler.address.as_ref() == Some(address)) {
            continue;
        }
        let silent = nodes.iter().find(|node| !node.reachable && host(&node.address) == address);
        rulers.push(Ruler {
            node: silent.map(|node| node.name.clone()),
            address: Some(address.clone()),
            priority: on.router.master_priority,
            told: false,
        });
    }
    rulers
}

/// The host of `host:port`.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_matches(['[', ']'])
}

fn best(group: &Group) -> Option<Best> {
    let ip = |address: &Option<String>| address.as_ref().and_then(|text| text.parse::<IpAddr>().ok());
    let of_agents = group.nodes.iter().map(|on| Best {
        node: Some(on.node.clone()),
        address: on.router.source.clone(),
        priority: on.router.priority_base,
    });
    let others = group.masters.iter().filter(|ruler| !ruler.told).filter_map(|ruler| {
        let (node, address) = (ruler.node.clone(), ruler.address.clone());
        Some(Best { node, address, priority: ruler.priority? })
    });
    // Of equals the one that rules stays; else the higher address wins [RFC 3768 section 6.4.3].
    of_agents.chain(others).max_by_key(|best| {
        let rules = group.masters.iter().any(|ruler| ruler.label() == best.label());
        (best.priority, rules, ip(&best.address))
    })
}

fn since(group: &Group) -> Option<Timestamp> {
    let [Ruler { node: Some(node), told: true, .. }] = &group.masters[..] else { return None };
    group.on(node)?.router.since
}

fn why_not(group: &Group, nodes: &[Node]) -> Option<WhyNot> {
    let best = group.should_be.as_ref()?;
    let some = |kind, text: String| Some(WhyNot { kind, text, on_purpose: false });
    let wanted = |kind, text: String| Some(WhyNot { kind, text, on_purpose: true });
    match &group.masters[..] {
        [one] if one.label() == best.label() => return None,
        [] | [_] => {}
        _ => return some("two_masters", "two masters".to_owned()),
    }
    let on = group.on(best.node.as_deref()?)?;
    let agent = nodes.iter().find(|node| node.name == on.node).and_then(|node| node.agent.as_ref());
    let router = &on.router;
    let hold_is = |kind: &str| router.hold.as_ref().is_some_and(|hold| hold.kind == kind);
    match router.state.as_str() {
        "backup" => {}
        "fault" => return some("fault", in_fault(on)),
        _ => return some("not_running", format!("{} does not run it", on.node)),
    }
    let Some(master) = group.masters.first() else {
        return some("no_master", "nobody rules".to_owned());
    };
    if hold_is("drain") || agent.is_some_and(|agent| agent.drain.is_some()) {
        return wanted("drained", format!("{} is drained", on.node));
    }
    if group.moving() {
        return wanted("moving", "a move is under way".to_owned());
    }
    if hold_is("pause") || agent.is_some_and(|agent| agent.pause.is_some()) {
        return wanted("paused", format!("automatic moves are paused on {}", on.node));
    }
    if router.hold.is_some() {
        return wanted("holds_back", format!("{} holds back", on.node));
    }
    let leads = group.nodes.iter().any(|other| other.router.rules() && other.router.lead.is_some());
    if leads {
        return wanted("led", format!("{} was handed the router", master.label()));
    }
    if router.priority_own() < router.priority_base {
        return some("priority_lowered", lowered(on));
    }
    if let Some(text) = waits_for_group(on) {
        return wanted("waits_for_group", text);
    }
    let text = format!(
        "{} (priority {}) stays behind {} ({}): it does not preempt, or not yet (nopreempt, preempt_delay)",
        on.node,
        router.priority_own(),
        master.label(),
        master.priority.map_or_else(|| "?".to_owned(), |priority| priority.to_string()),
    );
    wanted("does_not_preempt", text)
}

/// `node1 waits for VI_52 of its sync group BOTH: it does not run`.
pub(super) fn waits_for_group(on: &OnNode) -> Option<String> {
    let group = on.router.sync_group.as_ref().filter(|_| on.router.state == "backup")?;
    let waits = group.waits_for.as_ref().filter(|waits| waits.router.as_ref() != Some(&on.router.name))?;
    Some(match &waits.router {
        Some(router) => {
            format!("{} waits for {router} of its sync group {}: {}", on.node, group.name, waits.reason)
        }
        None => format!("{} waits with its sync group {}: {}", on.node, group.name, waits.reason),
    })
}

/// `node2 is in Fault for 4 m: the interface has no link`.
pub(super) fn in_fault(on: &OnNode) -> String {
    let last = on.router.reason().map(str::to_owned);
    let why = last.or_else(|| Some(on.router.faults.join(", ")).filter(|faults| !faults.is_empty()));
    let why = why.unwrap_or_else(|| "no reason told".to_owned());
    format!("{} is in Fault for {}: {why}", on.node, ago(on.router.since, on.now))
}

/// `node1 advertises 51 instead of 201: chk_nginx -150 (exit 1)`.
pub(super) fn lowered(on: &OnNode) -> String {
    let causes = on.router.priority_causes.iter().filter(|cause| cause.name != "lead");
    let causes: Vec<_> =
        causes.map(|cause| format!("{} {:+} ({})", cause.name, cause.difference, cause.text)).collect();
    let router = &on.router;
    let instead =
        format!("{} compares with {} instead of {}", on.node, router.priority_own(), router.priority_base);
    if causes.is_empty() { instead } else { format!("{instead}: {}", causes.join(", ")) }
}

//! What is not as it should be with virtual routers, and what is good to know of them.
//!
//! A warning degrades; a note does not: what an operator ordered is as it should be.

use super::Status;
use super::group::{Group, OnNode};
use super::node::Hold;
use super::router::bare;
use super::ruling::{in_fault, lowered, waits_for_group};
use super::{beside, filter};
use crate::output::text::word;
use crate::times::ago;
use jiff::Timestamp;
use serde::Serialize;

/// One thing to say, with what to do about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Finding {
    /// For programs.
    pub(crate) kind: &'static str,
    /// Virtual router, or nothing for a node.
    pub(crate) router: Option<String>,
    /// Node, or nothing for a router as a whole.
    pub(crate) node: Option<String>,
    pub(crate) text: String,
    /// The next command, or what to do; empty when there is nothing to do.
    pub(crate) mend: String,
}

impl Finding {
    pub(super) fn of(group: &Group, kind: &'static str, text: String, mend: String) -> Self {
        Self { kind, router: Some(group.name.clone()), node: None, text, mend }
    }

    pub(super) fn on(mut self, on: &OnNode) -> Self {
        self.node = Some(on.node.clone());
        self
    }
}

/// Most addresses that are named.
const NAMED_MAX: usize = 3;

/// Adds what there is to say of all virtual routers.
pub(super) fn of_routers(status: &mut Status) {
    let local = status.is_local();
    let all_answer = !local && status.nodes.iter().all(|node| node.reachable);
    for group in &status.routers {
        let warnings = &mut status.warnings;
        // A lone node in Fault cannot know whether another one rules: its fault is said anyway.
        let alone = local && group.nodes.iter().all(|on| on.router.state != "backup" && !on.router.rules());
        warnings.extend(mastership(group, all_answer).filter(|_| !alone));
        warnings.extend(states(group));
        warnings.extend(addresses(group));
        warnings.extend(drift(group));
        warnings.extend(filter::missing(group));
        warnings.extend(beside::missing(group));
        status.notes.extend(orders(group));
        status.notes.extend(names(group));
        status.notes.extend(tie(group));
        status.notes.extend(filter::note(group));
        status.notes.extend(beside::failed(group));
    }
}

pub(super) fn events(group: &Group) -> String {
    format!("haclusterctl events {}", word(&group.name))
}

fn mastership(group: &Group, all_answer: bool) -> Option<Finding> {
    if group.masters.is_empty() {
        let nodes: Vec<_> = group.nodes.iter().map(|on| format!("{} {}", on.node, on.router.state)).collect();
        let held = group.addresses.iter().any(|address| !address.present_on.is_empty());
        let nowhere = if held || !all_answer { "" } else { "; its addresses are nowhere" };
        let who = if all_answer { "nobody rules" } else { "nobody who answers rules or hears a master" };
        let waiting: String =
            group.nodes.iter().filter_map(waits_for_group).map(|it| format!("; {it}")).collect();
        let text = format!("{who} ({}){nowhere}{waiting}", nodes.join(", "));
        return Some(Finding::of(group, "no_master", text, events(group)));
    }
    if group.masters.len() > 1 && !group.moving() {
        return Some(Finding::of(group, "two_masters", two_masters(group), two_masters_mend(group)));
    }
    let why = group.why_not.as_ref().filter(|why| why.kind == "priority_lowered")?;
    Some(Finding::of(group, why.kind, why.text.clone(), events(group)))
}

/// Who they are, and who hears whom.
fn two_masters(group: &Group) -> String {
    let priority = |priority: Option<u32>| priority.map_or_else(|| "?".to_owned(), |of| of.to_string());
    let mut masters: Vec<_> = group.masters.iter().collect();
    masters.sort_by_key(|ruler| std::cmp::Reverse(ruler.priority));
    let shown: Vec<_> =
        masters.iter().map(|ruler| format!("{} ({})", ruler.label(), priority(ruler.priority))).collect();
    let count = if shown.len() == 2 { "two".to_owned() } else { shown.len().to_string() };
    let mut text = format!("{count} masters: {}", shown.join(" and "));
    // A master yields to a better one that it hears: the worse ones do not hear the best.
    for worse in masters.iter().skip(1).filter(|ruler| ruler.told) {
        let Some(on) = group.on(worse.label()) else { continue };
        text.push_str(&format!("; {} does not accept adverts of {}", on.node, masters[0].label()));
        text.push_str(&dropped(on));
    }
    for on in group.nodes.iter().filter(|on| !on.router.rules()) {
        let Some(address) = &on.router.master_address else { continue };
        let of = group.nodes.iter().find(|other| other.router.source.as_ref() == Some(address));
        text.push_str(&format!("; {} follows {}", on.node, of.map_or(address, |of| &of.node)));
    }
    text
}

/// ` (it dropped auth_failure 41)`.
fn dropped(on: &OnNode) -> String {
    let dropped = on.router.counters.adverts_discarded.iter().filter(|(_, count)| **count > 0);
    let dropped: Vec<_> = dropped.map(|(cause, count)| format!("{cause} {count}")).collect();
    if dropped.is_empty() {
        " (none arrives, or a firewall drops them)".to_owned()
    } else {
        format!(" (it dropped {})", dropped.join(", "))
    }
}

fn two_masters_mend(group: &Group) -> String {
    let told = group.masters.iter().filter(|ruler| ruler.told);
    let masters: Vec<_> = told.map(|ruler| ruler.label()).collect();
    let unlike =
        |on: &OnNode| on.router.counters.adverts_discarded.keys().any(|cause| cause.contains("auth"));
    match &masters[..] {
        [one, other, ..] if !group.agree => format!("haclusterctl config diff {one} {other}"),
        _ if group.nodes.iter().any(|on| on.router.rules() && unlike(on)) => {
            "give both the same authentication (auth_type, auth_pass)".to_owned()
        }
        _ => {
            "let multicast 224.0.0.18, IP protocol 112, pass between them; to look: tcpdump -ni DEV proto 112"
                .to_owned()
        }
    }
}

fn states(group: &Group) -> Vec<Finding> {
    let rules = match group.masters.first() {
        Some(master) => format!("; {} rules", master.label()),
        None => String::new(),
    };
    let of = |on: &OnNode| {
        let (kind, text) = match on.router.state.as_str() {
            "fault" => ("fault", format!("{}{rules}", in_fault(on))),
            "master" | "backup" => return None,
            _ => ("not_running", format!("{} does not run it yet{rules}", on.node)),
        };
        Some(Finding::of(group, kind, text, events(group)).on(on))
    };
    group.nodes.iter().filter_map(of).collect()
}

fn addresses(group: &Group) -> Vec<Finding> {
    if group.moving() {
        return Vec::new(); // in the middle of it both have them
    }
    let mut found = Vec::new();
    for on in &group.nodes {
        let all = &on.router.addresses;
        let odd = all.iter().filter(|address| address.present != on.router.rules());
        let odd: Vec<_> = odd.map(|address| bare(&address.address)).collect();
        if odd.is_empty() || on.is_settling() {
            continue;
        }
        let named = name_some(&odd);
        let finding = if on.router.rules() {
            let count = format!("{} of {} addresses", odd.len(), all.len());
            let text = format!("{} is master, but {count} are not in place: {named}", on.node);
            Finding::of(group, "address_missing", text, events(group))
        } else {
            let state = &on.router.state;
            let text = format!("{} is {state}, but has {named}: two hosts may answer for it", on.node);
            let mend = format!("on {}: ip address show to {}; then remove it", on.node, odd[0]);
            Finding::of(group, "address_extra", text, mend)
        };
        found.push(finding.on(on));
    }
    found
}

fn name_some(addresses: &[&str]) -> String {
    let mut named: Vec<String> = addresses.iter().take(NAMED_MAX).map(|text| (*text).to_owned()).collect();
    if addresses.len() > NAMED_MAX {
        named.push(format!("{} more", addresses.len() - NAMED_MAX));
    }
    named.join(", ")
}

fn drift(group: &Group) -> Option<Finding> {
    if group.agree {
        return None;
    }
    let mut parties: Vec<(&str, Vec<&str>)> = Vec::new();
    for on in &group.nodes {
        let Some(agreement) = on.router.agreement.as_deref() else { continue };
        match parties.iter_mut().find(|(known, _)| *known == agreement) {
            Some((_, nodes)) => nodes.push(&on.node),
            None => parties.push((agreement, vec![&on.node])),
        }
    }
    let shown: Vec<_> = parties.iter().map(|(_, nodes)| nodes.join(", ")).collect();
    let text =
        format!("not the same on {}: interval, authentication or addresses differ", shown.join(" and "));
    let first = |party: usize| parties.get(party).and_then(|(_, nodes)| nodes.first()).copied().unwrap_or("");
    Some(Finding::of(group, "drift", text, format!("haclusterctl config diff {} {}", first(0), first(1))))
}

/// What somebody ordered, and what is under way.
fn orders(group: &Group) -> Vec<Finding> {
    let mut found = Vec::new();
    for on in &group.nodes {
        let router = &on.router;
        if let Some(of) = &router.r#move {
            let to = of.to_node.as_deref().unwrap_or("any other node");
            let text = format!("moves from {} to {to} for {}, by {}", on.node, ago(of.since, on.now), of.by);
            found.push(Finding::of(group, "moving", text, "haclusterctl watch".to_owned()).on(on));
        }
        // A drain or a pause concerns the node, and is said once there.
        if let Some(hold) =
            router.hold.as_ref().filter(|hold| !["drain", "pause"].contains(&hold.kind.as_str()))
        {
            let favour = hold.to_node.as_ref().map_or(String::new(), |node| format!(" in favour of {node}"));
            let text = format!(
                "{} (priority {}) holds back{favour}{}",
                on.node,
                router.priority_own(),
                circumstances(hold, on.now)
            );
            let mend = format!("haclusterctl failback {}", word(&group.name));
            found.push(Finding::of(group, "hold", text, mend).on(on));
        }
        let held = group.nodes.iter().any(|other| other.router.hold.is_some());
        if let Some(lead) = router.lead.as_ref().filter(|_| !held) {
            let from = lead.from_node.as_ref().map_or(String::new(), |node| format!(" from {node}"));
            let text = format!(
                "{} leads{from} with priority {} for {}, by {}{}",
                on.node,
                lead.priority,
                ago(lead.since, on.now),
                lead.by,
                because(&lead.reason)
            );
            let mend = format!("haclusterctl failback {}", word(&group.name));
            found.push(Finding::of(group, "lead", text, mend).on(on));
        }
    }
    found.extend(group.why_not.as_ref().and_then(|why| {
        let next = match why.kind {
            "does_not_preempt" => failover(group),
            "waits_for_group" => events(group),
            _ => return None,
        };
        Some(Finding::of(group, why.kind, why.text.clone(), next))
    }));
    let is_best = |on: &&OnNode| group.why_not.is_some() && Some(&on.node) == best_node(group);
    let lower =
        group.nodes.iter().filter(|on| !is_best(on) && on.router.priority_own() < on.router.priority_base);
    let lower = lower.filter(|on| {
        on.router.priority_causes.iter().any(|cause| !["drained", "lead"].contains(&cause.name.as_str()))
    });
    found.extend(lower.map(|on| Finding::of(group, "priority_lowered", lowered(on), events(group)).on(on)));
    found
}

fn best_node(group: &Group) -> Option<&String> {
    group.should_be.as_ref().and_then(|best| best.node.as_ref())
}

fn failover(group: &Group) -> String {
    let to = group.should_be.as_ref().map_or("NODE", |best| best.label());
    format!("haclusterctl failover {} --to {to}", word(&group.name))
}

/// ` for 4 m, by anna: kernel update, for 56 m more`.
pub(super) fn circumstances(hold: &Hold, now: Option<Timestamp>) -> String {
    let until = match hold.until {
        Some(until) => format!(", for {} more", ago(now, Some(until))),
        None => String::new(),
    };
    format!(" for {}, by {}{}{until}", ago(hold.since, now), hold.by, because(&hold.reason))
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" ({reason})") }
}

fn names(group: &Group) -> Option<Finding> {
    let folded: Vec<String> = group.names.iter().map(|name| name.to_lowercase()).collect();
    if folded.windows(2).all(|pair| pair[0] == pair[1]) {
        return None;
    }
    let called: Vec<_> = group.nodes.iter().map(|on| format!("{} on {}", on.router.name, on.node)).collect();
    let text = format!("VRID {} has several names: {}", group.vrid, called.join(", "));
    Some(Finding::of(group, "names_differ", text, String::new()))
}

/// Nobody means equal priorities: who rules then depends on addresses and on who came first.
fn tie(group: &Group) -> Option<Finding> {
    let best = group.nodes.iter().map(|on| on.router.priority_base).max()?;
    let tied: Vec<_> = group.nodes.iter().filter(|on| on.router.priority_base == best).collect();
    if tied.len() < 2 {
        return None;
    }
    let nodes: Vec<_> = tied.iter().map(|on| on.node.as_str()).collect();
    let text = format!(
        "{} have the same priority {best}: whoever rules stays, and of two that begin together the one with the \
         higher address does",
        nodes.join(" and ")
    );
    let mend = "give one of them a lower priority".to_owned();
    Some(Finding::of(group, "priorities_tie", text, mend))
}

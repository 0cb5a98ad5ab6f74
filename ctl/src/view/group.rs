//! The same virtual router on several nodes.
//!
//! Routers belong together by VRID and by what they advertise; a name only decides where the
//! addresses of two nodes have nothing in common. On one node no two routers are the same one.

use super::names::{ambiguous, unknown};
use super::node::Node;
use super::router::Router;
use super::ruling::{Best, Ruler, WhyNot};
use crate::Usage;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// A virtual router of the cluster.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Group {
    /// Its most common name.
    pub(crate) name: String,
    pub(crate) vrid: u32,
    /// All its names, when nodes call it differently.
    pub(crate) names: Vec<String>,
    /// Who rules; more than one is an error.
    pub(crate) masters: Vec<Ruler>,
    /// Who has the highest base priority of those that answer.
    pub(crate) should_be: Option<Best>,
    /// Why that one does not rule.
    pub(crate) why_not: Option<WhyNot>,
    /// Since when the master rules, by its own clock.
    pub(crate) since: Option<Timestamp>,
    /// All nodes agree on what they must agree on.
    pub(crate) agree: bool,
    pub(crate) addresses: Vec<GroupAddress>,
    /// One for each node that runs it.
    pub(crate) nodes: Vec<OnNode>,
}

/// An address and the nodes that have it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GroupAddress {
    pub(crate) address: String,
    pub(crate) advertised: bool,
    pub(crate) present_on: Vec<String>,
}

/// A virtual router on one node.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OnNode {
    pub(crate) node: String,
    /// The node's clock.
    #[serde(skip)]
    pub(crate) now: Option<Timestamp>,
    #[serde(flatten)]
    pub(crate) router: Router,
}

/// A node that changed this recently may not have put everything right yet.
const SETTLING_SECS: i64 = 3;

impl OnNode {
    /// It changed its state just now.
    pub(crate) fn is_settling(&self) -> bool {
        let since = self.router.since.zip(self.now);
        since.is_some_and(|(since, now)| (0..SETTLING_SECS).contains(&now.duration_since(since).as_secs()))
    }
}

impl Group {
    /// How `node` runs it.
    pub(crate) fn on(&self, node: &str) -> Option<&OnNode> {
        self.nodes.iter().find(|on| on.node == node)
    }

    /// A move of it is under way somewhere.
    pub(crate) fn moving(&self) -> bool {
        self.nodes.iter().any(|on| on.router.r#move.is_some())
    }
}

/// Puts together what belongs together; in the order of name and VRID.
pub(super) fn group(nodes: Vec<(String, Option<Timestamp>, Vec<Router>)>) -> Vec<Group> {
    let mut found: BTreeMap<u32, Vec<Vec<OnNode>>> = BTreeMap::new();
    for (node, now, routers) in nodes {
        let mut by_vrid: BTreeMap<u32, Vec<OnNode>> = BTreeMap::new();
        for router in routers {
            let on = OnNode { node: node.clone(), now, router };
            by_vrid.entry(on.router.vrid).or_default().push(on);
        }
        for (vrid, routers) in by_vrid {
            assign(routers, found.entry(vrid).or_default());
        }
    }
    let mut groups: Vec<Group> = found.into_values().flatten().map(Group::of).collect();
    groups.sort_by_key(|group| (group.name.to_lowercase(), group.vrid));
    groups
}

/// Adds the routers of one node that share a VRID to the groups of that VRID, best matches first.
fn assign(routers: Vec<OnNode>, groups: &mut Vec<Vec<OnNode>>) {
    let alone = routers.len() == 1 && groups.len() == 1;
    let mut matches = Vec::new();
    for (router, on) in routers.iter().enumerate() {
        for (group, members) in groups.iter().enumerate() {
            let best = members.iter().map(|member| likeness(&on.router, &member.router)).max();
            matches.push((best.unwrap_or(0), router, group));
        }
    }
    matches.sort_by_key(|(likeness, ..)| std::cmp::Reverse(*likeness));
    let mut place: Vec<Option<usize>> = vec![None; routers.len()];
    for (likeness, router, group) in matches {
        let taken = place.contains(&Some(group));
        if place[router].is_none()
            && !taken
            && (likeness > 0 || alone && shares_nothing_known(&routers[router]))
        {
            place[router] = Some(group);
        }
    }
    for (on, place) in routers.into_iter().zip(place) {
        match place {
            Some(group) => groups[group].push(on),
            None => groups.push(vec![on]),
        }
    }
}

/// A router without addresses can only be told by its VRID.
fn shares_nothing_known(on: &OnNode) -> bool {
    on.router.addresses.is_empty()
}

/// How much two routers of one VRID look like the same one.
fn likeness(one: &Router, other: &Router) -> u8 {
    let (a, b) = (one.advertised(), other.advertised());
    if a == b && !a.is_empty() {
        3
    } else if a.iter().any(|address| b.contains(address)) {
        2
    } else {
        u8::from(one.name.eq_ignore_ascii_case(&other.name))
    }
}

impl Group {
    fn of(nodes: Vec<OnNode>) -> Self {
        let mut names: Vec<(String, usize)> = Vec::new();
        for on in &nodes {
            match names.iter_mut().find(|(name, _)| *name == on.router.name) {
                Some((_, count)) => *count += 1,
                None => names.push((on.router.name.clone(), 1)),
            }
        }
        // Of equally common ones, that of the first node.
        let most = names.iter().map(|(_, count)| *count).max();
        let name = names.iter().find(|(_, count)| Some(*count) == most).map(|(name, _)| name.clone());
        let agreements: Vec<_> = nodes.iter().filter_map(|on| on.router.agreement.as_ref()).collect();
        Self {
            name: name.unwrap_or_default(),
            vrid: nodes.first().map_or(0, |on| on.router.vrid),
            names: names.into_iter().map(|(name, _)| name).collect(),
            masters: Vec::new(),
            should_be: None,
            why_not: None,
            since: None,
            agree: agreements.windows(2).all(|pair| pair[0] == pair[1]),
            addresses: addresses(&nodes),
            nodes,
        }
    }
}

fn addresses(nodes: &[OnNode]) -> Vec<GroupAddress> {
    let mut found: Vec<GroupAddress> = Vec::new();
    for on in nodes {
        for of in &on.router.addresses {
            let at = found.iter().position(|known| known.address == of.address).unwrap_or_else(|| {
                let (address, advertised) = (of.address.clone(), of.advertised);
                found.push(GroupAddress { address, advertised, present_on: Vec::new() });
                found.len() - 1
            });
            if of.present && !found[at].present_on.contains(&on.node) {
                found[at].present_on.push(on.node.clone());
            }
        }
    }
    found
}

/// The number of the group that `typed` means: a name on any node, or a VRID.
pub(super) fn find(typed: &str, groups: &[Group], nodes: &[Node]) -> Result<usize, Usage> {
    let holds = |same: &dyn Fn(&str) -> bool| -> Vec<usize> {
        let named = groups.iter().enumerate().filter(|(_, group)| group.names.iter().any(|name| same(name)));
        named.map(|(number, _)| number).collect()
    };
    let mut fit = holds(&|name| name == typed);
    if fit.is_empty() {
        fit = holds(&|name| name.eq_ignore_ascii_case(typed));
    }
    if fit.is_empty()
        && let Ok(vrid) = typed.parse::<u32>()
    {
        let with = groups.iter().enumerate().filter(|(_, group)| group.vrid == vrid);
        fit = with.map(|(number, _)| number).collect();
    }
    match fit[..] {
        [one] => Ok(one),
        [] => {
            let names: Vec<String> = groups.iter().flat_map(|group| group.names.clone()).collect();
            let mut usage = unknown("virtual router", typed, &names);
            if let Some(dead) = nodes.iter().find(|node| !node.reachable) {
                usage.0.push_str(&format!(" ({} did not answer and may have it)", dead.name));
            }
            Err(usage)
        }
        _ => {
            let alike = fit.iter().map(|number| &groups[*number]);
            let alike: Vec<_> = alike.map(|group| format!("{} (VRID {})", group.name, group.vrid)).collect();
            let vrids: Vec<_> = fit.iter().map(|number| groups[*number].vrid).collect();
            let mut usage = ambiguous(typed, &alike);
            if vrids.windows(2).all(|pair| pair[0] != pair[1]) {
                usage.0.push_str(", or give the VRID");
            }
            Err(usage)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, status};
    use hacluster_proto::v1::State;

    fn names(of: &super::super::Status) -> Vec<(String, usize)> {
        of.routers.iter().map(|group| (group.name.clone(), group.nodes.len())).collect()
    }

    #[test]
    fn the_same_router_under_other_names_is_one() {
        let a = Sample::node("node1").router("VI_1", 51, State::Master, 150);
        let b = Sample::node("node2").router("WEB", 51, State::Backup, 100);
        let c = Sample::node("node3").router("WEB", 51, State::Backup, 90);
        let status = status(vec![a, b, c]);
        assert_eq!(names(&status), [("WEB".to_owned(), 3)]);
        assert_eq!(status.notes[0].kind, "names_differ");
    }

    #[test]
    fn equal_priorities_are_pointed_out() {
        let pair = |priority| {
            let a = Sample::node("node1").router("VI_1", 51, State::Master, 98);
            let b = Sample::node("node2").router("VI_1", 51, State::Backup, priority);
            status(vec![a, b])
        };
        let tie = pair(98).notes;
        assert_eq!((tie.len(), tie[0].kind), (1, "priorities_tie"));
        assert!(tie[0].text.contains("node1 and node2 have the same priority 98"), "{}", tie[0].text);
        assert!(pair(97).notes.is_empty());
    }

    #[test]
    fn one_vrid_on_two_networks_is_two_routers() {
        let a = Sample::node("node1")
            .router("A", 51, State::Master, 150)
            .router("B", 51, State::Backup, 100)
            .addresses(&["198.51.100.1/24"]);
        let b = Sample::node("node2")
            .router("B", 51, State::Master, 150)
            .addresses(&["198.51.100.1/24"])
            .router("A", 51, State::Backup, 100);
        assert_eq!(names(&status(vec![a, b])), [("A".to_owned(), 2), ("B".to_owned(), 2)]);
    }

    #[test]
    fn strangers_that_share_a_vrid_are_two_routers() {
        let a = Sample::node("node1").router("OFFICE", 51, State::Master, 100);
        let b = Sample::node("node2").router("LAB", 51, State::Master, 100).addresses(&["198.51.100.1/24"]);
        assert_eq!(names(&status(vec![a, b])).len(), 2);
    }

    #[test]
    fn one_name_with_other_addresses_is_drift() {
        let a = Sample::node("node1").router("VI_1", 51, State::Master, 150).agreement("a");
        let b = Sample::node("node2")
            .router("vi_1", 51, State::Backup, 100)
            .addresses(&["198.51.100.1/24"])
            .agreement("b");
        let status = status(vec![a, b]);
        assert_eq!(names(&status), [("VI_1".to_owned(), 2)]);
        assert!(!status.routers[0].agree);
    }
}

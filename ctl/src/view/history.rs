//! What happened on all nodes, in one order: times brought to our clock by the offset of each node's.

use super::Status;
use super::by_our_clock;
use super::router::Event;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// Something that happened on a node. Names of `events -o json`: these, and those of [`Event`].
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NodeEvent {
    pub(crate) node: String,
    /// When, by our clock.
    pub(crate) at_here: Option<Timestamp>,
    /// That is right within this.
    pub(crate) uncertainty_ms: Option<f64>,
    /// Its agent has run since then: the offset of its clock was measured in the same life.
    #[serde(skip)]
    pub(crate) is_of_this_life: bool,
    /// Name of the virtual router in the cluster; its name on the node is `router`.
    pub(crate) cluster_router: Option<String>,
    #[serde(flatten)]
    pub(crate) event: Event,
}

impl NodeEvent {
    /// `event` of node `number` of `status`.
    pub(crate) fn of(event: Event, status: &Status, number: usize) -> Self {
        let node = status.nodes.get(number);
        let name = node.map(|node| node.name.clone()).unwrap_or_default();
        let called = |group: &&super::Group| {
            group.on(&name).is_some_and(|on| Some(&on.router.name) == event.router.as_ref())
        };
        let started = node.and_then(|node| node.agent.as_ref()?.started);
        let group = status.routers.iter().find(called).map(|group| group.name.clone());
        Self {
            at_here: by_our_clock(event.at, node.and_then(|node| node.clock_offset_ms)),
            uncertainty_ms: node.and_then(|node| node.clock_uncertainty_ms),
            is_of_this_life: event.at.zip(started).is_some_and(|(at, started)| at >= started),
            cluster_router: group.or_else(|| event.router.clone()),
            node: name,
            event,
        }
    }
}

/// In the order of time; what one node tells stays in its own order.
pub(crate) fn merge(mut events: Vec<NodeEvent>) -> Vec<NodeEvent> {
    events.sort_by_key(|event| event.at_here);
    events
}

/// A change of state. Names of `history -o json`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Change {
    pub(crate) at: Option<Timestamp>,
    pub(crate) router: String,
    pub(crate) node: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) reason_kind: String,
    pub(crate) reason: String,
    pub(crate) priority: u32,
    /// To Master: how long no known node ruled before; `null` when that cannot be known.
    pub(crate) gap_ms: Option<f64>,
    /// The gap is right within this.
    pub(crate) gap_uncertainty_ms: Option<f64>,
    /// To Master: so long nobody served the addresses at most, as far as this node alone knows.
    pub(crate) unserved_ms: Option<f64>,
    /// By which those who collect traces find it.
    pub(crate) trace_id: Option<String>,
}

/// Who rules one virtual router, as far as events tell.
#[derive(Default)]
struct Reign {
    masters: Vec<String>,
    /// The change since which nobody does.
    empty: Option<NodeEvent>,
}

/// The changes of state among `events`, which are in order.
pub(crate) fn changes(events: &[NodeEvent]) -> Vec<Change> {
    let mut reigns: BTreeMap<&str, Reign> = BTreeMap::new();
    let mut found = Vec::new();
    for of in events {
        let (Some(transition), Some(router)) = (&of.event.transition, &of.cluster_router) else { continue };
        let reign = reigns.entry(router).or_default();
        let gap = reign.take(of);
        found.push(Change {
            at: of.at_here,
            router: router.clone(),
            node: of.node.clone(),
            from: transition.from.clone(),
            to: transition.to.clone(),
            reason_kind: transition.reason_kind.clone(),
            reason: transition.reason.clone(),
            priority: transition.priority,
            gap_ms: gap.map(|(gap, _)| gap),
            gap_uncertainty_ms: gap.map(|(_, uncertainty)| uncertainty),
            unserved_ms: transition.unserved_ms,
            trace_id: transition.trace_id.clone(),
        });
    }
    found
}

impl Change {
    /// To Master: how long nobody ruled before, in milliseconds, and how far that can be wrong.
    ///
    /// Who took over because the former master left or fell silent knows it best: its own clock measured
    /// it, and it holds whatever the other did not live to write down.
    pub(crate) fn nobody_ruled(&self) -> Option<(f64, f64)> {
        let measured = self.unserved_ms.map(|gap| (gap, 0.0));
        let told = self.gap_ms.map(|gap| (gap, self.gap_uncertainty_ms.unwrap_or(0.0)));
        if is_bereft(&self.reason_kind) { measured.or(told) } else { told.or(measured) }
    }
}

/// Whether a change for this reason says that nobody else rules.
fn is_bereft(reason_kind: &str) -> bool {
    ["silence", "resigned"].contains(&reason_kind)
}

impl Reign {
    /// The gap that `of` ends, with its uncertainty.
    fn take(&mut self, of: &NodeEvent) -> Option<(f64, f64)> {
        let transition = of.event.transition.as_ref()?;
        let (at, uncertainty) = (of.at_here?, of.uncertainty_ms.unwrap_or(0.0));
        if transition.from == "initialize" && self.masters.contains(&of.node) {
            // It began anew without a word of its end: nobody knows when that was.
            self.masters.retain(|node| *node != of.node);
            self.empty = None;
        }
        if transition.to == "master" {
            let empty = self.empty.take();
            let somebody = !self.masters.is_empty();
            self.masters.push(of.node.clone());
            // Handed over: the successor had the addresses before the other let go.
            if transition.reason_kind == "handed_over" {
                return Some((0.0, 0.0));
            }
            if somebody {
                // Who is not heard any more may have ended without a word.
                return (!is_bereft(&transition.reason_kind)).then_some((0.0, 0.0));
            }
            let empty = empty?;
            let (since, theirs) = (empty.at_here?, empty.uncertainty_ms.unwrap_or(0.0));
            // What two clocks differed by then is not known from what they differ by now.
            let same = empty.node == of.node;
            let comparable = same || of.is_of_this_life && empty.is_of_this_life;
            if !comparable {
                return None;
            }
            let gap = at.duration_since(since).as_secs_f64() * 1_000.0;
            let unsure = if same { 0.0 } else { uncertainty + theirs };
            return Some((super::round(gap.max(0.0)), super::round(unsure)));
        }
        self.masters.retain(|node| *node != of.node);
        if transition.from == "master" {
            // Who yields hears another master: somebody rules, known or not.
            let somebody = ["yielded", "gave_away"].contains(&transition.reason_kind.as_str());
            let nobody = self.masters.is_empty() && !somebody;
            self.empty = nobody.then(|| of.clone());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::router::Transition;
    use super::*;

    fn event(node: &str, ms: i64, from: &str, to: &str, kind: &str) -> NodeEvent {
        let transition = Transition {
            from: from.into(),
            to: to.into(),
            reason_kind: kind.into(),
            reason: kind.into(),
            priority: 100,
            at: None,
            trace_id: None,
            unserved_ms: None,
        };
        NodeEvent {
            node: node.into(),
            at_here: Timestamp::from_millisecond(ms).ok(),
            uncertainty_ms: Some(0.5),
            is_of_this_life: true,
            cluster_router: Some("VI_1".into()),
            event: Event {
                sequence: 1,
                at: None,
                router: Some("VI_1".into()),
                warning: false,
                text: String::new(),
                transition: Some(transition),
                trace_id: None,
            },
        }
    }

    fn gaps(events: &[NodeEvent]) -> Vec<Option<f64>> {
        changes(events).iter().map(|change| change.gap_ms).collect()
    }

    #[test]
    fn the_gap_is_from_the_last_master_to_the_next() {
        let events = [
            event("node1", 0, "backup", "master", "silence"),
            event("node1", 5_000, "master", "fault", "fault"),
            event("node2", 5_011, "backup", "master", "resigned"),
        ];
        assert_eq!(gaps(&events), [None, None, Some(11.0)]);
        assert_eq!(changes(&events)[2].gap_uncertainty_ms, Some(1.0));
    }

    #[test]
    fn between_clocks_of_former_lives_no_gap_is_known() {
        let mut events = [
            event("node1", 0, "backup", "master", "silence"),
            event("node1", 5_000, "master", "fault", "fault"),
            event("node2", 5_011, "backup", "master", "resigned"),
            event("node2", 6_000, "master", "fault", "fault"),
            event("node2", 6_020, "backup", "master", "silence"),
        ];
        events[1].is_of_this_life = false;
        assert_eq!(gaps(&events), [None, None, None, None, Some(20.0)], "one clock agrees with itself");
    }

    #[test]
    fn an_overlap_is_no_gap() {
        let events = [
            event("node1", 0, "backup", "master", "silence"),
            event("node2", 5_000, "backup", "master", "handed_over"),
            event("node1", 5_001, "master", "backup", "gave_away"),
        ];
        assert_eq!(gaps(&events), [None, Some(0.0), None]);
        // The same, told by clocks that differ by more than the move took.
        let events = [events[0].clone(), events[2].clone(), events[1].clone()];
        assert_eq!(gaps(&events), [None, None, Some(0.0)]);
    }

    /// A node that lost its power, came back, and tells what it kept, beside its successor.
    #[test]
    fn a_crash_leaves_a_gap_that_the_successor_measured() {
        let mut events = [
            event("node1", 0, "backup", "master", "silence"),
            event("node2", 5_000, "backup", "master", "silence"),
            event("node1", 9_000, "initialize", "backup", "started"),
            event("node1", 9_100, "backup", "master", "lower_priority"),
            event("node2", 9_101, "master", "backup", "yielded"),
        ];
        let told = events[1].event.transition.as_mut().unwrap();
        told.unserved_ms = Some(3_600.0);
        let told = changes(&events);
        assert_eq!(told[1].gap_ms, None, "when the first one ended nobody knows");
        assert_eq!(told[1].nobody_ruled(), Some((3_600.0, 0.0)));
        assert_eq!(told[3].nobody_ruled(), Some((0.0, 0.0)), "the successor still ruled");
        // The only one, twice.
        let events = [
            event("node1", 0, "backup", "master", "silence"),
            event("node1", 9_000, "initialize", "backup", "started"),
            event("node1", 9_100, "backup", "master", "silence"),
        ];
        assert_eq!(gaps(&events), [None, None, None]);
    }

    #[test]
    fn who_ruled_between_is_not_known() {
        let events = [
            event("node1", 0, "backup", "master", "silence"),
            event("node1", 5_000, "master", "backup", "yielded"),
            event("node2", 9_000, "backup", "master", "silence"),
        ];
        assert_eq!(gaps(&events), [None, None, None], "a router without agent ruled");
    }
}

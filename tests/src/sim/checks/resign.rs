//! A heard priority 0 brings takeover within one skew, by somebody: who heard it rules by then, has
//! heard another ruler, or is itself out of the race.

use super::{Check, Record, World};
use crate::sim::trace::{Stimulus, What};
use hacluster_core::interval::skew_v2;
use hacluster_core::machine::{Input, StateKind};
use hacluster_core::receive::Heard;
use hacluster_core::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Timers are exact to a microsecond; the rest is for rounding.
const SLACK: Duration = Duration::from_millis(1);

#[derive(Default)]
pub(super) struct Resign {
    /// (listener, virtual router) -> when it must be decided.
    due: BTreeMap<(usize, usize), Instant>,
    /// (listener, virtual router) -> who was heard ruling, and when.
    heard: BTreeMap<(usize, usize), BTreeMap<Ipv4Addr, Instant>>,
}

impl Resign {
    fn note(&mut self, world: &World, at: Instant, place: (usize, usize), heard: Heard) {
        let parameters = &world.nodes[place.0].routers[place.1].parameters;
        let known = self.heard.entry(place).or_default();
        if heard.sender == world.nodes[place.0].address {
            // Somebody rules with our address, or it is a reflection: indistinguishable. A farewell
            // from there means nothing.
            if !heard.priority.is_resign() {
                known.insert(heard.sender, at);
                self.due.remove(&place);
            }
        } else if heard.priority.is_resign() {
            known.remove(&heard.sender);
            let master_down = parameters.master_down();
            let other_rules = known.values().any(|spoke| at.since(*spoke) < master_down);
            if !other_rules {
                let lateness = world.plan.late_max + SLACK;
                self.due.entry(place).or_insert(at + skew_v2(parameters.priority) + lateness);
            }
        } else {
            known.insert(heard.sender, at);
            self.due.remove(&place);
        }
    }
}

impl Check for Resign {
    fn name(&self) -> &'static str {
        "resign"
    }

    fn look(&mut self, world: &World, fresh: &[Record]) -> Result<(), String> {
        for record in fresh {
            let (Some(index), Some(vr)) = (record.node, record.vr) else { continue };
            let What::Met { stimulus, after, .. } = &record.what else { continue };
            match stimulus {
                Stimulus::Told(Input::Heard(heard)) if after.kind() == StateKind::Backup => {
                    self.note(world, record.at, (index, vr), *heard);
                }
                Stimulus::Told(Input::Start { .. }) => drop(self.heard.remove(&(index, vr))),
                Stimulus::Told(_) | Stimulus::Discarded(_) => {}
            }
        }
        let now = world.now();
        self.due.retain(|(index, vr), _| {
            let node = &world.nodes[*index];
            node.is_awake() && node.kind(*vr) == StateKind::Backup
        });
        match self.due.iter().find(|(_, due)| **due < now) {
            None => Ok(()),
            Some(((index, _), _)) => Err(format!("node {index} heard priority 0 and still waits")),
        }
    }
}

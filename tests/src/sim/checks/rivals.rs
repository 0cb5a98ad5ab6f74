//! Two rulers that hear each other do not last longer than one interval plus latency.

use super::{Check, Record, World};
use crate::sim::trace::{Stimulus, What};
use hacluster_core::machine::handover::FORMER_MAX;
use hacluster_core::machine::{Input, State};
use hacluster_core::time::{Duration, Instant};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Rivals {
    /// (one, other, virtual router) -> since when both rule within earshot.
    since: BTreeMap<(usize, usize, usize), Instant>,
}

fn within_earshot(world: &World, one: usize, other: usize, vr: usize) -> bool {
    let serves = |index: usize| {
        let node = &world.nodes[index];
        node.is_awake() && node.link_up && node.rules(vr)
    };
    let connected = world.net.connects(one, other) && world.net.connects(other, one);
    world.net.is_fair() && connected && serves(one) && serves(other)
}

/// Whether `ruler` got the router from `giver`: what that one says is disregarded for a while.
fn is_former(world: &World, ruler: usize, giver: usize, vr: usize) -> bool {
    let State::Master(master) = world.nodes[ruler].routers[vr].machine.state() else { return false };
    master.handover.former.is_some_and(|(former, _)| former == world.nodes[giver].address)
}

impl Check for Rivals {
    fn name(&self) -> &'static str {
        "rivals"
    }

    fn look(&mut self, world: &World, fresh: &[Record]) -> Result<(), String> {
        for record in fresh {
            // Who just changed its priority has not told anybody yet.
            let What::Met { stimulus: Stimulus::Told(told), .. } = record.what else { continue };
            if !matches!(told, Input::Parameters(_) | Input::Lead(_) | Input::YieldTo(_)) {
                continue;
            }
            self.since.retain(|(one, other, _), _| ![Some(*one), Some(*other)].contains(&record.node));
        }
        let now = world.now();
        for (vr, shared) in world.plan.virtual_routers.iter().enumerate() {
            let late = world.plan.late_max.times(2) + Duration::from_millis(1);
            let bound = shared.interval.duration() + world.net.latency_max + late;
            for one in 0..world.nodes.len() {
                for other in one + 1..world.nodes.len() {
                    if !within_earshot(world, one, other, vr) {
                        self.since.remove(&(one, other, vr));
                        continue;
                    }
                    let since = *self.since.entry((one, other, vr)).or_insert(now);
                    let heed = is_former(world, one, other, vr) || is_former(world, other, one, vr);
                    let bound = if heed { bound + FORMER_MAX } else { bound };
                    if now.since(since) > bound {
                        return Err(format!(
                            "{one} and {other} both rule for {} s",
                            now.since(since).as_secs_f64()
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

//! Two rulers that hear each other do not last longer than one interval plus latency.

use super::{Check, Record, World};
use crate::sim::trace::{Stimulus, What};
use hacluster_core::machine::Input;
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

impl Check for Rivals {
    fn name(&self) -> &'static str {
        "rivals"
    }

    fn look(&mut self, world: &World, fresh: &[Record]) -> Result<(), String> {
        for record in fresh {
            // Who just changed its priority has not told anybody yet.
            let What::Met { stimulus: Stimulus::Told(Input::Parameters(_)), .. } = record.what else {
                continue;
            };
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

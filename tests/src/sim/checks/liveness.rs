//! After healing: every group of nodes that hear each other gets exactly one ruler, the one the
//! reference names, in bounded time; then nothing moves any more.

use super::{Check, Record, World};
use crate::sim::net::Net;
use crate::sim::node::Life;
use crate::sim::reference;
use crate::sim::trace::What;
use hacluster_core::machine::Preemption;
use hacluster_core::time::Duration;

/// Time a healed world may take, phase by phase.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Until each group has a ruler: the longest master-down time, and packets under way.
    pub somebody_rules: Duration,
    /// From then until it is the right one: preempt delay, the RFC's timer, rivals.
    pub the_right_one_rules: Duration,
    /// From then on nothing may change; this long is looked at.
    pub quiet: Duration,
}

impl Bounds {
    /// The bounds for the parameters in force.
    pub fn of(world: &World) -> Self {
        let all = || world.nodes.iter().flat_map(|node| node.routers.iter().map(|router| &router.parameters));
        let longest = |spans: &mut dyn Iterator<Item = Duration>| spans.max().unwrap_or(Duration::ZERO);
        let master_down = longest(&mut all().map(|parameters| parameters.master_down()));
        let interval = longest(&mut all().map(|parameters| parameters.interval.duration()));
        let delay = longest(&mut all().map(|parameters| match parameters.preemption {
            Preemption::After(delay) => delay,
            Preemption::Never => Duration::ZERO,
        }));
        let late = world.plan.late_max + world.plan.latency_max + Duration::from_millis(1);
        Self {
            somebody_rules: master_down + late + Net::SPIKE_MAX,
            the_right_one_rules: delay + master_down + interval.times(2) + late.times(4) + Self::STAGGER_MAX,
            quiet: interval.times(3),
        }
    }

    /// A fast takeover waits 0.5 ms per point of priority that it lacks.
    const STAGGER_MAX: Duration = Duration::from_millis(128);
}

/// What must be true in the end.
pub struct Settled {
    /// Per virtual router and group: the members, and of whom one must rule.
    expected: Vec<(usize, Vec<usize>, Vec<usize>)>,
}

impl Settled {
    /// Asks the reference.
    ///
    /// # Errors
    /// A group without a ruler, though somebody in it could rule.
    pub fn expect(world: &World, groups: &[usize]) -> Result<Self, String> {
        let mut expected = Vec::new();
        for vr in 0..world.plan.virtual_routers.len() {
            for group in 0..2 {
                let members: Vec<_> = (0..groups.len()).filter(|index| groups[*index] == group).collect();
                let candidates = reference::candidates(world, vr, &members);
                let rulers = reference::rulers(&candidates);
                if rulers.is_empty() && !candidates.is_empty() {
                    return Err(format!("virtual router {vr}: nobody of {candidates:?} rules"));
                }
                expected.push((vr, members, rulers));
            }
        }
        Ok(Self { expected })
    }

    /// Compares with the world.
    ///
    /// # Errors
    /// Another ruler than expected, several, or addresses in other places.
    pub fn verify(&self, world: &World) -> Result<(), String> {
        for (vr, members, rulers) in &self.expected {
            let mut present = world.rulers(*vr);
            present.retain(|index| members.contains(index));
            let right = match (present.as_slice(), rulers.is_empty()) {
                ([], true) => true,
                ([one], false) => rulers.contains(one),
                _ => false,
            };
            if !right {
                return Err(format!("virtual router {vr}: {present:?} rule, expected one of {rulers:?}"));
            }
            for index in members.iter().filter(|index| world.nodes[**index].life != Life::Crashed) {
                let (kernel, rules) = (&world.nodes[*index].kernel, world.nodes[*index].rules(*vr));
                if kernel.holds(*vr) != rules || kernel.is_busy(*vr) {
                    return Err(format!("virtual router {vr}: addresses on node {index} do not match"));
                }
            }
        }
        Ok(())
    }
}

/// A group with candidates is never without a ruler.
pub(super) struct NeverVacant {
    pub(super) groups: Vec<usize>,
}

impl Check for NeverVacant {
    fn name(&self) -> &'static str {
        "liveness"
    }

    fn look(&mut self, world: &World, _: &[Record]) -> Result<(), String> {
        Settled::expect(world, &self.groups).map(drop)
    }
}

/// Nothing changes any more.
pub(super) struct Quiet;

impl Check for Quiet {
    fn name(&self) -> &'static str {
        "liveness"
    }

    fn look(&mut self, _: &World, fresh: &[Record]) -> Result<(), String> {
        let moved = fresh.iter().find(
            |record| matches!(&record.what, What::Met { before, after, .. } if before.kind() != after.kind()),
        );
        moved.map_or(Ok(()), |record| Err(format!("settled, but node {:?} moves", record.node)))
    }
}

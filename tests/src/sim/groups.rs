//! Worlds in which all virtual routers of a node are one sync group.
//!
//! What their seeds draw is their own: the other worlds stay as they are. Checks that look at one router
//! alone do not fit; what counts is that a group is never half of anything, and that it comes back.

use super::checks::Checks;
use super::net::NODES_MAX;
use super::node::Node;
use super::plan::Plan;
use super::run::{Failure, Outcome, Run, finish};
use super::sabotage::Sabotage;
use super::trace::Stimulus;
use super::world::{Event, World};
use hacluster_core::group::{Group, Member};
use hacluster_core::machine::{Fault, Input};
use hacluster_core::time::Duration;

/// A group comes to rest in fewer steps.
const STEPS_MAX: usize = 16;
/// By then two nodes that unseat each other have fallen out of step.
const SETTLES: Duration = Duration::from_secs(120);
/// Nothing may change so long after that.
const QUIET: Duration = Duration::from_secs(30);

/// Runs the world of `seed` with sync groups until a check fails or everything is settled.
pub fn run_grouped(seed: u64, sabotage: Sabotage) -> Outcome {
    let world = World::grouped(seed, sabotage);
    let mut run = Run { world, checks: Checks::of_groups(), looked: 0 };
    let failure = run.as_groups().err();
    finish(seed, run, failure)
}

impl World {
    fn grouped(seed: u64, sabotage: Sabotage) -> Self {
        Self::with(seed, sabotage, Plan::draw_of(2), true)
    }

    /// Lets the group draw its conclusions from what happened to one of its members.
    pub(super) fn settle_group(&mut self, index: usize) {
        if self.sabotage == Sabotage::ForgetGroup {
            return;
        }
        for _ in 0..STEPS_MAX {
            let now = self.now();
            let node = &mut self.nodes[index];
            let Some(group) = &mut node.group else { return };
            let members: Vec<_> =
                node.routers.iter().map(|router| Member::of(&router.machine, now)).collect();
            let told = group.step(now, &members);
            let due = group.next_deadline(now);
            if told.is_empty() {
                return self.await_group(index, due);
            }
            for (vr, input) in told {
                self.meet_alone(index, vr, now, Stimulus::Told(input), None);
            }
        }
    }

    fn await_group(&mut self, index: usize, due: Option<hacluster_core::time::Instant>) {
        let process = self.nodes[index].process;
        if let Some(at) = due {
            self.clock.at(at, Event::GroupDue { node: index, process });
        }
    }

    pub(super) fn group_due(&mut self, index: usize, process: u32) {
        let node = &self.nodes[index];
        if node.process == process && node.is_awake() {
            self.settle_group(index);
        }
    }

    /// Something that one member tracks fails, or is good again.
    pub(super) fn flip_tracked(&mut self, index: usize) {
        let vr = self.rng.index(self.plan.virtual_routers.len());
        let failed = self.nodes[index].routers[vr].machine.faults().contains(Fault::Tracked);
        let input = if failed { Input::FaultCleared } else { Input::Fault };
        self.tell(index, vr, input(Fault::Tracked));
    }

    pub(super) fn heal_tracked(&mut self, index: usize) {
        for vr in 0..self.plan.virtual_routers.len() {
            let node = &self.nodes[index];
            if node.is_awake() && node.routers[vr].machine.faults().contains(Fault::Tracked) {
                self.tell(index, vr, Input::FaultCleared(Fault::Tracked));
            }
        }
    }

    /// In each half of the segment one node rules everything, when anybody could.
    fn one_rules_all(&self, halves: &[usize]) -> Result<(), String> {
        let all = |node: &Node, is: fn(&Node, usize) -> bool| (0..node.routers.len()).all(|vr| is(node, vr));
        for half in 0..NODES_MAX {
            let members =
                || self.nodes.iter().zip(halves).filter(|(_, its)| **its == half).map(|(node, _)| node);
            let candidates = members().filter(|node| all(node, Node::is_candidate)).count();
            let rulers = members().filter(|node| all(node, Node::rules)).count();
            if rulers != candidates.min(1) {
                return Err(format!("{rulers} of {candidates} nodes in half {half} rule everything"));
            }
        }
        Ok(())
    }
}

impl Run {
    fn as_groups(&mut self) -> Result<(), Failure> {
        self.until(self.world.now() + self.world.plan.safety)?;
        let halves = self.world.heal();
        self.until(self.world.now() + SETTLES)?;
        self.checks.expect_quiet();
        self.liveness(|world| world.one_rules_all(&halves))?;
        self.until(self.world.now() + QUIET)?;
        self.liveness(|world| world.one_rules_all(&halves))
    }
}

/// A group of its own for a process that starts.
pub(super) fn fresh(grouped: bool) -> Option<Group> {
    grouped.then(Group::default)
}

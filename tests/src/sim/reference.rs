//! Who should rule, from configuration, connectivity and history. Knows nothing of timers.

use super::node::Life;
use super::world::World;
use hacluster_core::machine::Preemption;

/// A router that could rule, as the reference sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Node number; addresses ascend with it.
    pub node: usize,
    /// Priority in force; a ruler's lead included.
    pub priority: u8,
    /// It may replace a living ruler of lower priority: not told otherwise, and does not hold back.
    pub preempts: bool,
    /// It rules at the moment.
    pub rules: bool,
}

/// The nodes of which one should rule in the end; nothing else may. Empty when nobody rules yet or
/// nobody can.
///
/// Of the present rulers the best one stays: highest priority, then highest address. Unless a
/// candidate of higher priority preempts: then the highest of those will rule, and among equals
/// the first to speak.
pub fn rulers(candidates: &[Candidate]) -> Vec<usize> {
    let present = candidates.iter().filter(|candidate| candidate.rules);
    let Some(best) = present.max_by_key(|candidate| (candidate.priority, candidate.node)) else {
        return Vec::new();
    };
    let preempts = |candidate: &&Candidate| candidate.preempts && candidate.priority > best.priority;
    let highest = candidates.iter().filter(preempts).map(|candidate| candidate.priority).max();
    let Some(highest) = highest else { return vec![best.node] };
    candidates.iter().filter(preempts).filter(|c| c.priority == highest).map(|c| c.node).collect()
}

/// The candidates for `vr` among `members`.
pub fn candidates(world: &World, vr: usize, members: &[usize]) -> Vec<Candidate> {
    let able = members.iter().filter(|index| world.nodes[**index].is_candidate(vr));
    able.map(|index| {
        let node = &world.nodes[*index];
        let router = &node.routers[vr];
        let parameters = router.in_force();
        Candidate {
            node: *index,
            priority: if node.rules(vr) { router.machine.priority() } else { parameters.priority }.get(),
            preempts: parameters.preemption != Preemption::Never,
            rules: node.life == Life::Running && node.rules(vr),
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn candidate(node: usize, priority: u8, preempts: bool, rules: bool) -> Candidate {
        Candidate { node, priority, preempts, rules }
    }

    #[test]
    fn the_best_of_two_rulers_stays() {
        let tied = [candidate(0, 100, true, true), candidate(1, 100, true, true)];
        assert_eq!(rulers(&tied), [1]);
    }

    #[test]
    fn a_preemptor_replaces_and_others_wait() {
        let low = candidate(0, 100, true, true);
        assert_eq!(rulers(&[low, candidate(1, 200, true, false)]), [1]);
        assert_eq!(rulers(&[low, candidate(1, 200, false, false)]), [0]);
        assert_eq!(rulers(&[low, candidate(1, 100, true, false)]), [0], "equals never preempt");
    }

    #[test]
    fn equal_preemptors_may_race() {
        let low = candidate(0, 100, true, true);
        assert_eq!(rulers(&[low, candidate(1, 200, true, false), candidate(2, 200, true, false)]), [1, 2]);
    }
}

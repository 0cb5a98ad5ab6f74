//! In a healed world that has come to rest: a move, the way back, and the end of the new ruler.
//! What may go wrong while faults are on must not go wrong here.

use super::checks::Route;
use super::node::Life;
use super::run::{Failure, Run};
use hacluster_core::machine::StateKind;
use hacluster_core::time::Duration;

/// Longer than a successor may take.
const SLOW_KERNEL: Duration = Duration::from_millis(1_500);

/// What goes wrong with a move, and with nothing else.
#[derive(Clone, Copy, Debug)]
enum Hitch {
    /// Half of the messages are lost.
    Messages,
    /// The kernel refuses.
    Refusals,
    /// The kernel takes longer than it may.
    SlowKernels,
}

impl Run {
    /// Moves each router in each group once, if there is somebody to move it to.
    pub(super) fn drill(&mut self, groups: &[usize]) -> Result<(), Failure> {
        if !self.world.moves_routers() {
            return Ok(());
        }
        for vr in 0..self.world.plan.virtual_routers.len() {
            for group in 0..2 {
                let members: Vec<_> = (0..groups.len()).filter(|index| groups[*index] == group).collect();
                self.drill_group(vr, &members)?;
            }
        }
        self.bury_a_ruler(groups)
    }

    fn drill_group(&mut self, vr: usize, members: &[usize]) -> Result<(), Failure> {
        let world = &mut self.world;
        let rules = |index: &&usize| world.nodes[**index].rules(vr);
        let Some(from) = members.iter().find(rules).copied() else { return Ok(()) };
        let ready = |index: &usize| {
            let node = &world.nodes[*index];
            node.is_awake() && node.kind(vr) == StateKind::Backup && !node.kernel.is_busy(vr)
        };
        let ready: Vec<_> = members.iter().copied().filter(ready).collect();
        if ready.is_empty() {
            return Ok(());
        }
        let to = world.desk.rng.pick(&ready);
        let plain = world.nodes[from].routers[vr].machine.lead().is_none();
        let route = Route { vr, from, to };
        let hitch = world.desk.rng.pick(&[Hitch::Messages, Hitch::Refusals, Hitch::SlowKernels]);
        self.hitched(route, members, hitch)?;
        if self.world.nodes[from].rules(vr) && self.undisturbed(route, members, false)? && plain {
            self.undisturbed(Route { vr, from: to, to: from }, members, true)?;
        }
        Ok(())
    }

    /// A move with a hitch may fail, but then all is as before: nothing is lost on the way.
    fn hitched(&mut self, route: Route, members: &[usize], hitch: Hitch) -> Result<(), Failure> {
        let kernel_max = self.world.plan.kernel_max;
        match hitch {
            Hitch::Messages => self.world.desk.loss_permille = 500,
            Hitch::Refusals => self.world.refuse_permille = 1_000,
            Hitch::SlowKernels => self.world.plan.kernel_max = SLOW_KERNEL,
        }
        let outcome = self.carry_out(route, members, false)?;
        self.world.desk.loss_permille = 0;
        self.world.refuse_permille = 0;
        self.world.plan.kernel_max = kernel_max;
        let Some(rulers) = outcome else { return Ok(()) };
        if rulers == [route.from] || rulers == [route.to] {
            return Ok(());
        }
        let message = format!("{rulers:?} rule after a move from {} to {}", route.from, route.to);
        Err(Failure { check: "moved", message, at: self.world.now() })
    }

    /// A move that nothing disturbs must succeed; false when it is refused because of an owner.
    fn undisturbed(&mut self, route: Route, members: &[usize], back: bool) -> Result<bool, Failure> {
        let Some(rulers) = self.carry_out(route, members, back)? else { return Ok(false) };
        if rulers == [route.to] {
            return Ok(true);
        }
        let message =
            format!("{rulers:?} rule after an undisturbed move from {} to {}", route.from, route.to);
        Err(Failure { check: "moved", message, at: self.world.now() })
    }

    /// Moves and waits until that is over; who rules then, or nothing when it was refused at once.
    fn carry_out(
        &mut self,
        route: Route,
        members: &[usize],
        back: bool,
    ) -> Result<Option<Vec<usize>>, Failure> {
        let Route { vr, from, to } = route;
        if !self.world.begin_move(from, to, vr, back) {
            return Ok(None);
        }
        self.checks.expect_move(route, members.to_vec());
        let plan = &self.world.plan;
        let interval = plan.virtual_routers[vr].interval.duration();
        let calm = interval.times(2) + plan.late_max.times(4) + plan.kernel_max.times(4);
        self.until(self.world.now() + self.world.move_max() + calm)?;
        self.checks.move_is_over();
        let world = &self.world;
        let living = |index: &usize| world.nodes[*index].life != Life::Crashed;
        let misplaced = |index: &usize| world.nodes[*index].kernel.holds(vr) != world.nodes[*index].rules(vr);
        if let Some(index) = members.iter().copied().filter(living).find(misplaced) {
            let message = format!("addresses on node {index} do not match after a move from {from} to {to}");
            return Err(Failure { check: "moved", message, at: world.now() });
        }
        Ok(Some(members.iter().copied().filter(|index| world.nodes[*index].rules(vr)).collect()))
    }

    /// A ruler dies: whoever is left takes over, whether it holds back or not.
    fn bury_a_ruler(&mut self, groups: &[usize]) -> Result<(), Failure> {
        let rulers = self.world.rulers(0);
        if rulers.is_empty() {
            return Ok(());
        }
        let ruler = self.world.desk.rng.pick(&rulers);
        self.world.crash(ruler);
        debug_assert_eq!(self.world.nodes[ruler].life, Life::Crashed);
        self.checks.expect_unrest();
        self.settle(groups, Duration::ZERO)
    }
}

//! An undisturbed move: the addresses are always somewhere, the former ruler lets go of them only
//! after its successor has them and has said so, and nobody else ever rules.

use super::{Check, Record, World};
use crate::sim::node::Life;
use crate::sim::trace::What;
use hacluster_core::machine::{Action, StateKind};

/// From where to where.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Virtual router.
    pub vr: usize,
    /// Who rules.
    pub from: usize,
    /// Who shall rule.
    pub to: usize,
}

pub(super) struct Moved {
    pub(super) route: Route,
    /// The nodes that hear each other.
    pub(super) members: Vec<usize>,
    /// The successor claimed, announced and advertised, so far.
    pub(super) announced: bool,
    pub(super) advertised: bool,
}

impl Moved {
    fn step(&mut self, record: &Record) -> Result<(), String> {
        let Route { vr, from, to } = self.route;
        let (Some(index), true) = (record.node, record.vr == Some(vr)) else { return Ok(()) };
        match &record.what {
            What::Announced { .. } if index == to => self.announced = true,
            What::Sent(_) if index == to && !self.announced => {
                return Err(format!("node {to} advertises before it has announced"));
            }
            What::Sent(_) if index == to => self.advertised = true,
            What::Met { after, actions, .. } => {
                let released = actions.contains(&Action::Release);
                if index == from && released && !(self.announced && self.advertised) {
                    return Err(format!("node {from} releases before node {to} has announced"));
                }
                let stranger = index != from && index != to && self.members.contains(&index);
                if stranger && after.kind() == StateKind::Master {
                    return Err(format!("node {index} rules during a move from {from} to {to}"));
                }
            }
            What::Sent(_) | What::Announced { .. } | What::Claimed { .. } => {}
            What::Released | What::World(_) => {}
        }
        Ok(())
    }
}

impl Check for Moved {
    fn name(&self) -> &'static str {
        "moved"
    }

    fn look(&mut self, world: &World, fresh: &[Record]) -> Result<(), String> {
        fresh.iter().try_for_each(|record| self.step(record))?;
        let vr = self.route.vr;
        let living = self.members.iter().map(|index| &world.nodes[*index]);
        let held = living.filter(|node| node.life == Life::Running).any(|node| node.kernel.holds(vr));
        if held { Ok(()) } else { Err(format!("nobody has the addresses of virtual router {vr}")) }
    }
}

//! No node ever has half of a sync group: all of its routers rule or none, all are in Fault or none.

use super::{Check, Record, World};
use crate::sim::node::{Life, Node};
use hacluster_core::machine::StateKind;

pub(super) struct Together;

impl Check for Together {
    fn name(&self) -> &'static str {
        "together"
    }

    fn look(&mut self, world: &World, _: &[Record]) -> Result<(), String> {
        let mut running = world.nodes.iter().enumerate().filter(|(_, node)| node.life == Life::Running);
        running.try_for_each(|(index, node)| whole(index, node))
    }
}

fn whole(index: usize, node: &Node) -> Result<(), String> {
    let kinds: Vec<_> = (0..node.routers.len()).map(|vr| node.kind(vr)).collect();
    for kind in [StateKind::Master, StateKind::Fault] {
        if kinds.contains(&kind) && kinds.iter().any(|other| *other != kind) {
            return Err(format!("node {index} has half of its group: {kinds:?}"));
        }
    }
    Ok(())
}

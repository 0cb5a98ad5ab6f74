//! At quiet moments the kernel holds the addresses of those who rule or prepare to, and of
//! nobody else.
//!
//! Quiet: no request is unanswered. A killed process leaves what it had; its successor may keep
//! that until it is decided who rules.

use super::{Check, Record, World};
use crate::sim::node::Life;
use crate::sim::trace::What;

pub(super) struct Addresses;

impl Check for Addresses {
    fn name(&self) -> &'static str {
        "addresses"
    }

    fn look(&mut self, world: &World, fresh: &[Record]) -> Result<(), String> {
        let touched = fresh.iter().filter(|record| !matches!(record.what, What::World(_)));
        for record in touched {
            let (Some(index), Some(vr)) = (record.node, record.vr) else { continue };
            let node = &world.nodes[index];
            let settled = node.life != Life::Crashed && !node.kernel.is_busy(vr) && !node.adopts(vr);
            let entitled = node.rules(vr) || node.prepares(vr);
            if settled && node.kernel.holds(vr) != entitled {
                let holds = node.kernel.holds(vr);
                return Err(format!("node {index} is {} but holding is {holds}", node.kind(vr)));
            }
        }
        Ok(())
    }
}

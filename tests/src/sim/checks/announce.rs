//! No announcement before the claim is confirmed, and none by a router that neither rules nor
//! prepares to.

use super::{Check, Record, World};
use crate::sim::trace::What;

pub(super) struct Announce;

impl Check for Announce {
    fn name(&self) -> &'static str {
        "announce"
    }

    fn look(&mut self, _: &World, fresh: &[Record]) -> Result<(), String> {
        for record in fresh {
            let What::Announced { held, entitled } = record.what else { continue };
            if !(held && entitled) {
                let node = record.node;
                return Err(format!(
                    "node {node:?} announces; addresses in place: {held}, entitled: {entitled}"
                ));
            }
        }
        Ok(())
    }
}

//! Invalid input changes neither state nor deadline, and asks for nothing.

use super::{Check, Record, World};
use crate::sim::trace::{Garbage, What};
use hacluster_core::machine::{Action, StateKind};

pub(super) struct Invalid;

impl Check for Invalid {
    fn name(&self) -> &'static str {
        "invalid"
    }

    fn look(&mut self, _: &World, fresh: &[Record]) -> Result<(), String> {
        for record in fresh {
            let What::Met { injected: Some(garbage), before, after, actions, .. } = &record.what else {
                continue;
            };
            // A reflection is a valid packet: a backup may take note, a master must not move.
            let may_move = *garbage == Garbage::Reflection && before.kind() != StateKind::Master;
            let only_notes = actions.iter().all(|action| matches!(action, Action::Note(_)));
            let untouched = before == after && only_notes;
            if before.kind() != after.kind() || !(may_move || untouched) {
                return Err(format!("injected {garbage:?} moved node {:?}", record.node));
            }
        }
        Ok(())
    }
}

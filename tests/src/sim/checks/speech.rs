//! Only who rules, or just stopped ruling, speaks; and only who leaves says priority 0.

use super::{Check, Record, World};
use crate::sim::trace::{Stimulus, What};
use hacluster_core::machine::{Action, Input, StateKind};

pub(super) struct Speech;

impl Check for Speech {
    fn name(&self) -> &'static str {
        "speech"
    }

    fn look(&mut self, _: &World, fresh: &[Record]) -> Result<(), String> {
        for record in fresh {
            let What::Met { stimulus, before, after, actions, .. } = &record.what else { continue };
            let (from, to) = (before.kind(), after.kind());
            for action in actions {
                let Action::Advertise(priority) = action else { continue };
                let told = [Input::Resign, Input::GroupYields].map(Stimulus::Told);
                let resigns = told.contains(stimulus) && to == StateKind::Backup;
                let ends = matches!(to, StateKind::Initialize | StateKind::Fault);
                let leaves = from == StateKind::Master && (resigns || ends);
                let rules = from == StateKind::Master || to == StateKind::Master;
                if !rules || priority.is_resign() != leaves {
                    return Err(format!("node {:?} says {priority} going {from} -> {to}", record.node));
                }
            }
        }
        Ok(())
    }
}

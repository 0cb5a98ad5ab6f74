//! A served deadline is over: the next one lies ahead, or the shell would spin.

use super::{Check, Record, World};
use crate::sim::trace::{Stimulus, What};
use hacluster_core::machine::Input;

pub(super) struct Progress;

impl Check for Progress {
    fn name(&self) -> &'static str {
        "progress"
    }

    fn look(&mut self, _: &World, fresh: &[Record]) -> Result<(), String> {
        for record in fresh {
            let What::Met { stimulus: Stimulus::Told(Input::Tick), after, .. } = &record.what else {
                continue;
            };
            if after.next_deadline().is_some_and(|deadline| deadline <= record.at) {
                return Err(format!("node {:?} served a deadline that is still due", record.node));
            }
        }
        Ok(())
    }
}

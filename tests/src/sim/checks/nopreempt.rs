//! With nopreempt a newcomer never displaces a ruler it can hear.
//!
//! Who was heard counts from its last accepted advert until it resigns, ends to rule or is silent
//! for the adverts that may be missed.

use super::{Check, Record, World};
use crate::sim::trace::{Stimulus, What};
use hacluster_core::machine::{Input, Preemption, State, StateKind, TakeoverCause};
use hacluster_core::time::Instant;
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct NoPreempt {
    /// (listener, virtual router) -> the last advert it accepted: from whom, when.
    heard: BTreeMap<(usize, usize), (usize, Instant)>,
    /// (ruler, virtual router) -> since when.
    rules_since: BTreeMap<(usize, usize), Instant>,
}

impl NoPreempt {
    fn note(&mut self, world: &World, at: Instant, place: (usize, usize), stimulus: Stimulus) {
        match stimulus {
            Stimulus::Told(Input::Heard(heard)) => {
                let speaker = world.nodes.iter().position(|node| node.address == heard.sender);
                let Some(speaker) = speaker.filter(|speaker| *speaker != place.0) else { return };
                let resigned = heard.priority.is_resign();
                match self.heard.get(&place) {
                    Some((known, _)) if resigned && *known != speaker => {}
                    _ if resigned => drop(self.heard.remove(&place)),
                    _ => drop(self.heard.insert(place, (speaker, at))),
                }
            }
            Stimulus::Told(Input::Start { .. }) => drop(self.heard.remove(&place)),
            Stimulus::Told(_) | Stimulus::Discarded(_) => {}
        }
    }

    fn takes_over(
        &self,
        world: &World,
        at: Instant,
        place: (usize, usize),
        resigned: bool,
    ) -> Result<(), String> {
        let (index, vr) = place;
        let parameters = world.nodes[index].routers[vr].in_force();
        let Some((ruler, heard)) = self.heard.get(&place) else { return Ok(()) };
        let reigns = self.rules_since.get(&(*ruler, vr)).is_some_and(|since| since <= heard);
        // After a farewell of somebody else a ruler that was silent for two intervals counts as gone.
        let adverts = if resigned { 2 } else { parameters.down_adverts };
        let patience = parameters.interval.duration().times(adverts.into());
        let waited = at.since(*heard);
        if parameters.preemption == Preemption::Never && reigns && waited < patience {
            return Err(format!("node {index} displaces {ruler}, heard {} s ago", waited.as_secs_f64()));
        }
        Ok(())
    }
}

impl Check for NoPreempt {
    fn name(&self) -> &'static str {
        "nopreempt"
    }

    fn look(&mut self, world: &World, fresh: &[Record]) -> Result<(), String> {
        for record in fresh {
            let (Some(index), Some(vr)) = (record.node, record.vr) else { continue };
            let What::Met { stimulus, stamp, before, after, .. } = &record.what else { continue };
            // Who was asked by the ruler displaces nobody.
            let asked = *stimulus == Stimulus::Told(Input::Claimed);
            if before.kind() == StateKind::Backup && after.kind() == StateKind::Master && !asked {
                let resigned = matches!(before, State::Backup(backup)
                    if matches!(backup.cause, TakeoverCause::Resigned(_)));
                self.takes_over(world, record.at, (index, vr), resigned)?;
            }
            match after.kind() {
                StateKind::Backup | StateKind::Master => self.note(world, *stamp, (index, vr), *stimulus),
                // Who cannot rule does not listen, and starts anew.
                StateKind::Initialize | StateKind::Fault => drop(self.heard.remove(&(index, vr))),
            }
            if after.kind() == StateKind::Master {
                self.rules_since.entry((index, vr)).or_insert(record.at);
            }
        }
        self.rules_since.retain(|(index, vr), _| world.nodes[*index].rules(*vr));
        Ok(())
    }
}

//! The kernel thread's work: batches of requests from what differs, and batches of announcements.

use super::hands::{Hands, process_name};
use super::holding::{Step, Vanished, Want};
use super::{Report, RouterId};
use crate::event::{Event, What};
use crate::fact::Fact;
use crate::story::Batch;
use hacluster_core::wire::neighbor::gratuitous_arp;
use hacluster_net::netlink::Change;
use hacluster_net::{NetError, clock};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Addresses per batch: about 10 ms of kernel time.
const BATCH: usize = 128;
/// Addresses in the first batch of a claim: the first announcement leaves after these.
const FIRST_BATCH: usize = 8;
/// Frames per batch.
const FRAMES: usize = 64;

impl Hands {
    pub(super) fn enqueue(&mut self, id: RouterId) {
        let Some(holding) = self.holdings.get_mut(&id) else { return };
        if holding.queued {
            // Begin again: what was passed over may have changed.
            self.work.iter_mut().filter(|(other, _)| *other == id).for_each(|(_, cursor)| *cursor = 0);
        } else {
            holding.queued = true;
            self.work.push_back((id, 0));
        }
    }

    /// Collects up to a batch of steps, over several routers if need be, and carries them out.
    pub(super) fn work_one_batch(&mut self) {
        let limit = if std::mem::take(&mut self.early) { FIRST_BATCH } else { BATCH };
        let mut steps = Vec::new();
        let mut finished = Vec::new();
        while let Some((id, cursor)) = self.work.front_mut() {
            let Some(holding) = self.holdings.get(id) else {
                self.work.pop_front();
                continue;
            };
            while *cursor < holding.slots.len() && steps.len() < limit {
                steps.extend(holding.step(*cursor).map(|step| (*id, *cursor, step)));
                *cursor += 1;
            }
            if *cursor < holding.slots.len() {
                break;
            }
            finished.push(*id);
            self.work.pop_front();
        }
        self.carry_out(&steps);
        for id in finished {
            self.finish(id);
        }
    }

    pub(super) fn carry_out(&mut self, steps: &[(RouterId, usize, Step)]) {
        if steps.is_empty() {
            return;
        }
        let unserved = |(id, number, step): &(RouterId, usize, Step)| {
            let holding = self.holdings.get(id).filter(|holding| holding.drops && *step == Step::Add)?;
            Some(holding.slots.get(*number)?.spec.ip)
        };
        let unserved: Vec<_> = steps.iter().filter_map(unserved).collect();
        self.filter.admit(&unserved); // first: never is one of them in place and served
        let holdings = &self.holdings;
        let spec = |id: &RouterId, number: usize| {
            holdings.get(id).and_then(|h| h.slots.get(number)).map(|s| &s.spec)
        };
        let changes = steps.iter().filter_map(|(id, number, step)| {
            let spec = spec(id, *number)?;
            Some(match step {
                Step::Add => Change::Add(spec),
                Step::Remove => Change::Remove(spec),
            })
        });
        let begun = clock::now();
        let results = self.requests.change_addresses(&changes.collect::<Vec<_>>());
        let ended = clock::now();
        let mut batches: BTreeMap<RouterId, Batch> = BTreeMap::new();
        for ((id, number, step), result) in steps.iter().zip(results) {
            if *step == Step::Add {
                let fresh = Batch { begun, ended, added: 0, refused: 0 };
                let batch = batches.entry(*id).or_insert(fresh);
                *(if result.is_ok() { &mut batch.added } else { &mut batch.refused }) += 1;
            }
            self.note_result(*id, *number, *step, result);
        }
        for (id, batch) in batches {
            if let Some((_, claim)) = self.holdings.get_mut(&id).and_then(|it| it.claiming.as_mut()) {
                claim.add(batch);
            }
        }
    }

    pub(super) fn note_result(
        &mut self,
        id: RouterId,
        number: usize,
        step: Step,
        result: Result<(), NetError>,
    ) {
        let Some(holding) = self.holdings.get_mut(&id) else { return };
        let Some(slot) = holding.slots.get_mut(number) else { return };
        match (step, result) {
            (Step::Add, Ok(())) => {
                slot.present = true;
                self.announcer.add(slot.spec.index, slot.spec.ip, holding.rounds.max(1), holding.gap);
            }
            (Step::Add, Err(error)) => {
                slot.refused = true;
                holding.refusals.push(error);
                self.look_again();
            }
            (Step::Remove, Ok(())) => {
                slot.present = false;
                if let Some((_, release)) = &mut holding.releasing {
                    release.removed += 1;
                }
                let spec = slot.spec.clone();
                self.expect_farewell(&spec);
            }
            (Step::Remove, Err(error)) => {
                holding.refusals.push(error);
                self.look_again();
            }
        }
    }

    /// A router's work is done for now: tell what came of it.
    pub(super) fn finish(&mut self, id: RouterId) {
        let Some(holding) = self.holdings.get_mut(&id) else { return };
        holding.queued = false;
        self.filter.due |= holding.drops;
        let (count, of) = (holding.refusals.len(), holding.slots.len());
        let first_refusal = holding.refusals.drain(..).next();
        let identity = holding.identity.clone();
        let forget = holding.forget;
        let vanished = holding.vanished.take();
        let intruders = holding.intruders.take();
        let restored = vanished.is_some();
        holding.restorations += u64::from(restored);
        let times = holding.restorations;
        let released = holding.releasing.take();
        let all_refused = holding.want == Want::Present && of > 0 && holding.present() == 0;
        let refused = holding.claim.take_if(|_| all_refused);
        if refused.is_some() {
            holding.claiming = None;
        }
        if let Some((trail, release)) = released {
            let told = Event::now(Some(identity.clone()), Fact::Released(release));
            self.events.send_or_drop(told.on(trail));
        }
        if let Some(error) = first_refusal {
            self.event(Some(identity.clone()), What::Refused { error, count, of });
        }
        if let Some(claim) = refused {
            self.reports.send_patiently(Report::Refused { id, claim });
        }
        if let Some(Vanished { address, count, sender }) = vanished {
            let by = sender.and_then(process_name);
            self.event(Some(identity.clone()), What::Restored { address, count, by, times });
        }
        if let Some((address, count)) = intruders {
            self.event(Some(identity), What::Evicted { address, count });
        }
        if restored {
            self.doubt_routes();
        }
        if forget {
            self.forget(id);
        }
        self.addresses_in_place(id);
    }

    pub(super) fn forget(&mut self, id: RouterId) {
        if let Some(holding) = self.holdings.remove(&id) {
            for slot in holding.slots {
                self.disown(id, &slot.spec);
            }
        }
    }

    /// First announcements as long as claims are being worked on, further rounds when there is time.
    pub(super) fn announce_one_batch(&mut self) {
        let due = self.announcer.take(clock::now(), FRAMES, !self.work.is_empty());
        if due.is_empty() {
            return;
        }
        let frames: Vec<_> = due
            .iter()
            .filter_map(|(index, ip)| Some((*index, gratuitous_arp(*ip, self.interfaces.mac(*index)?))))
            .collect();
        let borrowed: Vec<(u32, &[u8])> = frames.iter().map(|(index, frame)| (*index, &frame[..])).collect();
        // A frame that cannot leave (link down) is not repeated: the router will be in Fault.
        self.arp.send(&borrowed, &mut |_, _| ());
        let at = clock::now();
        for address in &due {
            let Some((id, number)) = self.owners.get(address) else { continue };
            let Some(holding) = self.holdings.get_mut(id) else { continue };
            let Some(slot) = holding.slots.get_mut(*number) else { continue };
            if let Some((_, claim)) = holding.claiming.as_mut().filter(|_| !slot.announced) {
                claim.announce(at);
            }
            slot.announced = true;
        }
    }

    /// Tells of claims that have succeeded.
    pub(super) fn report_claimed(&mut self) {
        for holding in self.holdings.values_mut() {
            let claimed = holding.take_claimed();
            if let Some(claim) = claimed {
                self.reports.send_patiently(Report::Claimed { id: holding.id, claim, at: clock::now() });
            }
            if let Some((trail, claim)) = holding.take_told(claimed.is_some()) {
                let told = Event::now(Some(holding.identity.clone()), Fact::Claimed(Arc::new(claim)));
                self.events.send_or_drop(told.on(trail));
            }
        }
    }
}

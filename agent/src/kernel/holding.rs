//! The addresses of one virtual router: what shall be there and what is. Pure.

use super::routing::Plan;
use super::{Definition, RouterId};
use crate::event::Identity;
use crate::fact::Held;
use crate::story::{Claim, Release, Trail};
use hacluster_conf::model::{Address, Broadcast};
use hacluster_core::time::Duration;
use hacluster_net::NetError;
use hacluster_net::netlink::{AddressEntry, AddressSpec, PROTOCOL_MARK};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// What shall become of a router's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Leave what is found until it is decided who rules.
    Undecided,
    /// They shall be there.
    Present,
    /// They shall not.
    Absent,
}

/// One address and where it stands.
#[derive(Debug)]
pub(super) struct Slot {
    /// As asked of the kernel; interface number 0 while the interface does not exist.
    pub(super) spec: AddressSpec,
    /// Interface by name.
    pub(super) dev: String,
    /// Its trouble is not the router's (`no_track`).
    pub(super) no_track: bool,
    /// The kernel has it.
    pub(super) present: bool,
    /// It was there before us and its router owns it: never removed.
    pub(super) keep: bool,
    /// The kernel refused it; tried again on the next sweep.
    pub(super) refused: bool,
    /// It was announced since the claim at hand began.
    pub(super) announced: bool,
}

/// A router's addresses.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) id: RouterId,
    pub(super) identity: Arc<Identity>,
    pub(super) slots: Vec<Slot>,
    /// Routes and rules that go with them.
    pub(super) plan: Plan,
    pub(super) want: Want,
    pub(super) owner: bool,
    pub(super) gap: Duration,
    /// What is sent to its addresses is dropped.
    pub(super) drops: bool,
    /// Rounds of announcements of the claim in force.
    pub(super) rounds: u32,
    /// Number of the claim whose outcome is still to be reported.
    pub(super) claim: Option<u64>,
    /// What is to be told of that claim.
    pub(super) claiming: Option<(Trail, Claim)>,
    /// What is to be told of the release at hand.
    pub(super) releasing: Option<(Trail, Release)>,
    /// It waits in the work queue.
    pub(super) queued: bool,
    /// Its first definition was answered.
    pub(super) settled: bool,
    /// To be forgotten once nothing is left.
    pub(super) forget: bool,
    /// Last report about interfaces other than its own.
    pub(super) usable: Option<bool>,
    /// Refusals of the pass at hand.
    pub(super) refusals: Vec<NetError>,
    /// Addresses that vanished and are being put back: the first, how many, who took them.
    pub(super) vanished: Option<Vanished>,
    /// Addresses that somebody else put in place: the first, and how many.
    pub(super) intruders: Option<(Ipv4Addr, usize)>,
    /// How often addresses were put back.
    pub(super) restorations: u64,
    /// What was last told of its addresses.
    pub(super) told: Option<Held>,
}

/// Addresses that somebody else took away.
#[derive(Clone, Debug)]
pub(super) struct Vanished {
    pub(super) address: Ipv4Addr,
    pub(super) count: usize,
    pub(super) sender: Option<u32>,
}

/// What to ask of the kernel for one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Add,
    Remove,
}

impl Holding {
    pub(super) fn new(definition: &Definition) -> Self {
        let slots =
            definition.addresses.iter().map(|address| Slot::new(address, &definition.identity)).collect();
        Self {
            id: definition.id,
            identity: definition.identity.clone(),
            slots,
            plan: Plan::of(&definition.routes, &definition.rules),
            want: Want::Undecided,
            owner: definition.owner,
            gap: definition.garp_interval,
            drops: definition.drops,
            rounds: 0,
            claim: None,
            claiming: None,
            releasing: None,
            queued: false,
            settled: false,
            forget: false,
            usable: None,
            refusals: Vec::new(),
            vanished: None,
            intruders: None,
            restorations: 0,
            told: None,
        }
    }

    /// What is to be done for slot `number`.
    pub(super) fn step(&self, number: usize) -> Option<Step> {
        let slot = self.slots.get(number)?;
        if slot.spec.index == 0 {
            return None;
        }
        match self.want {
            Want::Present => (!slot.present && !slot.refused).then_some(Step::Add),
            Want::Absent => (slot.present && !slot.keep).then_some(Step::Remove),
            Want::Undecided => None,
        }
    }

    /// Whether what is there differs from what shall be.
    pub(super) fn differs(&self) -> bool {
        (0..self.slots.len()).any(|number| self.step(number).is_some())
    }

    /// The kernel has `address` as slot `number` wants it.
    pub(super) fn found(&mut self, number: usize, address: &AddressEntry) {
        let was_there_before_us = self.owner && !self.settled && address.protocol != PROTOCOL_MARK;
        if let Some(slot) = self.slots.get_mut(number)
            && slot.spec.prefix_len == address.prefix_len
        {
            slot.present = true;
            slot.keep |= was_there_before_us;
        }
    }

    /// Somebody else put slot `number` in place.
    pub(super) fn intruded(&mut self, number: usize) {
        if let Some(slot) = self.slots.get(number)
            && self.want == Want::Absent
            && !slot.present
        {
            self.intruders.get_or_insert((slot.spec.ip, 0)).1 += 1;
        }
    }

    /// Begins a claim: what the kernel refused before may work now, and what was found is asked
    /// for again so that it carries our mark.
    pub(super) fn begin_claim(&mut self, rounds: u32, claim: u64) {
        self.want = Want::Present;
        self.rounds = rounds;
        self.claim = Some(claim);
        self.refusals.clear();
        for slot in &mut self.slots {
            slot.refused = false;
            slot.announced = rounds == 0 && slot.present; // nothing will be said of it
        }
    }

    /// Takes the number of the claim once it has succeeded: see [`Report::Claimed`](super::Report).
    pub(super) fn take_claimed(&mut self) -> Option<u64> {
        if self.claim.is_none() || self.queued || self.want != Want::Present {
            return None;
        }
        let mut present = self.slots.iter().filter(|slot| slot.present).peekable();
        let in_place = self.slots.is_empty() || present.peek().is_some();
        let announced = if self.gap.is_zero() {
            present.all(|slot| slot.announced)
        } else {
            self.slots.is_empty() || present.any(|slot| slot.announced)
        };
        self.claim.take_if(|_| in_place && announced)
    }

    /// What is to be told of the claim: when it has `succeeded`, and when everything is announced.
    pub(super) fn take_told(&mut self, succeeded: bool) -> Option<(Trail, Claim)> {
        let waits = self.claim.is_some() || self.queued || self.want != Want::Present;
        let whole = !waits && self.slots.iter().filter(|slot| slot.present).all(|slot| slot.announced);
        let (trail, claim) = self.claiming.as_mut().filter(|_| succeeded || whole)?;
        claim.whole = whole;
        let told = (*trail, claim.clone());
        claim.batches.clear();
        self.claiming.take_if(|_| whole);
        Some(told)
    }

    /// Which addresses are there, unless that was told already. Compares without allocating.
    pub(super) fn held_news(&mut self, filter_missing: bool) -> Option<Held> {
        let served = self.drops && filter_missing;
        let present = || self.slots.iter().map(|slot| slot.present);
        let told = self.told.as_ref();
        if told.is_some_and(|told| {
            (told.restorations, told.served) == (self.restorations, served)
                && told.present.iter().copied().eq(present())
                && told.routes.iter().copied().eq(self.plan.present())
        }) {
            return None;
        }
        let routes = self.plan.present().collect();
        let held = Held { present: present().collect(), routes, restorations: self.restorations, served };
        self.told = Some(held.clone());
        Some(held)
    }

    /// Addresses that are there, or will be, and are not to be served.
    pub(super) fn unserved(&self) -> impl Iterator<Item = Ipv4Addr> {
        let wanted = self.want == Want::Present;
        let slots = self.slots.iter().filter(move |_| self.drops);
        slots.filter(move |slot| slot.present || wanted && slot.spec.index != 0).map(|slot| slot.spec.ip)
    }

    /// How many of its addresses are there.
    pub(super) fn present(&self) -> usize {
        self.slots.iter().filter(|slot| slot.present).count()
    }
}

impl Slot {
    fn new(address: &Address, identity: &Identity) -> Self {
        Self {
            spec: address_spec(address, 0),
            dev: address.dev.clone().unwrap_or_else(|| identity.interface.clone()),
            no_track: address.no_track,
            present: false,
            keep: false,
            refused: false,
            announced: false,
        }
    }
}

/// What to ask of the kernel for `address` on interface number `index`.
pub(super) fn address_spec(address: &Address, index: u32) -> AddressSpec {
    AddressSpec {
        index,
        ip: address.ip,
        prefix_len: address.prefix_len,
        label: address.label.clone(),
        scope: address.scope.0,
        broadcast: broadcast(address),
        peer: address.peer.map(|(ip, _)| ip),
        no_prefix_route: address.no_prefix_route,
    }
}

fn broadcast(address: &Address) -> Option<Ipv4Addr> {
    let host_bits = u32::MAX.checked_shr(address.prefix_len.into()).unwrap_or(0);
    let bits = u32::from(address.ip);
    match address.broadcast {
        Broadcast::None => None,
        Broadcast::HostBitsSet => Some((bits | host_bits).into()),
        Broadcast::HostBitsClear => Some((bits & !host_bits).into()),
        Broadcast::Address(written) => Some(written),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacluster_core::time::Instant;
    use hacluster_core::vrid::Vrid;

    fn holding(count: u8) -> Holding {
        let mut holding = Holding::new(&Definition {
            tracked: Vec::new(),
            id: RouterId(1),
            identity: Arc::new(Identity {
                name: "VI_1".into(),
                vrid: Vrid::new(1).unwrap(),
                interface: "eth0".into(),
            }),
            addresses: (0..count).map(|last| Address::new(Ipv4Addr::new(192, 0, 2, last), 24)).collect(),
            routes: Vec::new(),
            rules: Vec::new(),
            promote_secondaries: false,
            owner: false,
            garp_interval: Duration::ZERO,
            drops: false,
        });
        holding.slots.iter_mut().for_each(|slot| slot.spec.index = 3);
        holding
    }

    #[test]
    fn steps_are_the_difference_between_wanted_and_present() {
        let mut holding = holding(2);
        holding.slots[1].present = true;
        assert_eq!([holding.step(0), holding.step(1)], [None, None], "undecided: hands off");
        holding.want = Want::Present;
        assert_eq!([holding.step(0), holding.step(1)], [Some(Step::Add), None]);
        holding.want = Want::Absent;
        assert_eq!([holding.step(0), holding.step(1)], [None, Some(Step::Remove)]);
        holding.slots[1].keep = true;
        assert!(!holding.differs(), "an owner's own address stays");
    }

    fn claimed(present: [bool; 2], announced: [bool; 2], gap: Duration) -> Option<u64> {
        let mut holding = holding(2);
        holding.gap = gap;
        holding.begin_claim(1, 7);
        for (number, slot) in holding.slots.iter_mut().enumerate() {
            (slot.present, slot.announced) = (present[number], announced[number]);
        }
        let claimed = holding.take_claimed();
        assert!(claimed.is_none() || holding.take_claimed().is_none(), "told once");
        claimed
    }

    #[test]
    fn claimed_is_what_is_in_place_and_announced() {
        let (at_once, slowly) = (Duration::ZERO, Duration::from_secs(1));
        assert_eq!(claimed([true, true], [true, false], at_once), None);
        assert_eq!(claimed([true, true], [true, true], at_once), Some(7));
        assert_eq!(claimed([true, false], [true, false], at_once), Some(7), "one was refused");
        assert_eq!(claimed([false, false], [false, false], at_once), None, "all were refused");
        assert_eq!(claimed([true, true], [false, false], slowly), None);
        assert_eq!(claimed([true, true], [true, false], slowly), Some(7), "the first stands for all");
        let mut none = holding(0);
        none.begin_claim(1, 7);
        assert_eq!(none.take_claimed(), Some(7), "without addresses nothing is left to do");
    }

    /// With a gap the first address stands for all; what is told of the last one must not be its time.
    #[test]
    fn a_claim_with_a_gap_is_told_again_when_all_is_announced() {
        let mut holding = holding(2);
        holding.gap = Duration::from_secs(1);
        holding.begin_claim(1, 7);
        holding.claiming = Some((Trail::begin(), Claim::new(Instant::ZERO, 2)));
        holding.slots.iter_mut().for_each(|slot| slot.present = true);
        assert_eq!(holding.take_told(false), None, "nothing is announced");
        holding.slots[0].announced = true;
        let succeeded = holding.take_claimed().is_some();
        let (_, first) = holding.take_told(succeeded).unwrap();
        assert!(succeeded && !first.whole);
        assert_eq!(holding.take_told(false), None);
        holding.slots[1].announced = true;
        let (_, last) = holding.take_told(false).unwrap();
        assert!(last.whole && last.batches.is_empty());
        assert_eq!(holding.take_told(false), None, "told once");
    }

    #[test]
    fn a_claim_at_work_or_given_up_is_not_claimed() {
        let mut holding = holding(0);
        holding.begin_claim(1, 7);
        holding.queued = true;
        assert_eq!(holding.take_claimed(), None);
        (holding.queued, holding.want) = (false, Want::Absent);
        assert_eq!(holding.take_claimed(), None);
    }

    #[test]
    fn a_new_claim_wants_new_announcements() {
        let mut holding = holding(1);
        holding.begin_claim(1, 7);
        (holding.slots[0].present, holding.slots[0].announced) = (true, true);
        holding.begin_claim(1, 8);
        assert_eq!(holding.take_claimed(), None);
        holding.begin_claim(0, 9);
        assert_eq!(holding.take_claimed(), Some(9), "no announcement is wanted");
    }

    #[test]
    fn nothing_is_asked_of_an_interface_that_does_not_exist() {
        let mut holding = holding(1);
        holding.slots[0].spec.index = 0;
        holding.want = Want::Present;
        assert!(!holding.differs());
    }

    #[test]
    fn unserved_is_what_is_in_place_or_will_be() {
        let mut holding = holding(2);
        holding.slots[1].present = true;
        assert_eq!(holding.unserved().count(), 0, "it serves");
        holding.drops = true;
        assert_eq!(holding.unserved().collect::<Vec<_>>(), [Ipv4Addr::new(192, 0, 2, 1)]);
        holding.want = Want::Present;
        assert_eq!(holding.unserved().count(), 2);
        (holding.want, holding.slots[1].present) = (Want::Absent, false);
        assert_eq!(holding.unserved().count(), 0);
    }

    #[test]
    fn served_against_the_will_is_news() {
        let mut holding = holding(1);
        holding.drops = true;
        assert!(holding.held_news(false).is_some_and(|held| !held.served));
        assert_eq!(holding.held_news(false), None);
        assert!(holding.held_news(true).is_some_and(|held| held.served));
        holding.drops = false;
        assert!(holding.held_news(true).is_some_and(|held| !held.served));
    }

    #[test]
    fn broadcast_is_computed_from_the_prefix() {
        let mut address = Address::new(Ipv4Addr::new(10, 1, 2, 3), 16);
        assert_eq!(broadcast(&address), None);
        address.broadcast = Broadcast::HostBitsSet;
        assert_eq!(broadcast(&address), Some(Ipv4Addr::new(10, 1, 255, 255)));
        address.broadcast = Broadcast::HostBitsClear;
        assert_eq!(broadcast(&address), Some(Ipv4Addr::new(10, 1, 0, 0)));
        address.prefix_len = 32;
        assert_eq!(broadcast(&address), Some(Ipv4Addr::new(10, 1, 2, 3)));
        address.prefix_len = 0;
        assert_eq!(broadcast(&address), Some(Ipv4Addr::new(0, 0, 0, 0)));
    }
}

//! One virtual router in the shell: its machine, its packet, what it expects and what it counted.

use super::Notice;
use super::arrival::{Arrivals, Lead, plausible};
use super::schedule::phase;
use super::tracking::Watched;
use crate::event::{Event, EventSender, Identity, What};
use crate::fact::{Fact, GroupNow, Setup, Standing};
use crate::kernel::RouterId;
use crate::orders::Orders;
use crate::story::Trail;
use crate::tally::Tally;
use crate::translate;
use hacluster_conf::model::VirtualRouter;
use hacluster_core::machine::{
    Fault, Input, Machine, Note, Parameters, Reason, State, StateKind, TakeoverCause, Transition,
};
use hacluster_core::priority::Priority;
use hacluster_core::receive::{Discard, DiscardKind, Expectation, Heard};
use hacluster_core::time::{Duration, Instant};
use hacluster_core::wire::v2::Template;
use hacluster_net::NetError;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A remark of one kind is made at most this often; what happened between is counted into it.
const REMARK_INTERVAL: Duration = Duration::from_secs(10);
/// Members of a sync group follow each other within this.
const THE_SAME_MOMENT: Duration = Duration::from_millis(20);
/// That another master is followed is told at most this often: forged adverts could make it flap.
const MASTER_INTERVAL: Duration = Duration::from_secs(1);

/// A virtual router that runs, or waits for its interface.
#[derive(Debug)]
pub(super) struct Router {
    id: RouterId,
    /// Place of its interface among the engine's ports.
    pub(super) port: usize,
    pub(super) identity: Arc<Identity>,
    pub(super) configured: VirtualRouter,
    fast_takeover: bool,
    /// As last ordered. Of a lead only the machine knows whether it still lasts.
    pub(super) orders: Orders,
    pub(super) machine: Machine,
    pub(super) watched: Watched,
    /// Place of its sync group among the engine's.
    pub(super) group: Option<usize>,
    /// How that group stands, as told.
    pub(super) group_now: Option<Arc<GroupNow>>,
    /// What last happened to another member of it and concerns this one.
    pub(super) companion: Option<Arc<str>>,
    pub(super) expected: Expectation,
    pub(super) template: Template,
    /// The kernel thread knows its addresses: whether some were in place.
    pub(super) adopts: Option<bool>,
    /// It runs.
    pub(super) started: bool,
    /// Number of the latest claim.
    pub(super) claim: u64,
    /// For whoever asks.
    pub(super) tally: Arc<Tally>,
    /// The story of the latest change of state.
    latest: Option<(Trail, Instant)>,
    /// What the next change of state is part of.
    pub(super) story: Option<Story>,
    arrivals: Arrivals,
    source: Ipv4Addr,
    entered: Instant,
    last: Option<(Transition, Priority)>,
    /// What was told last, and when.
    told: Option<(Standing, Instant)>,
    /// Dropped packets by kind: when to speak of them.
    discards: [Counter; DiscardKind::COUNT],
    send_failures: Counter,
    differing: Counter,
    duplicates: Counter,
    rivals: Counter,
}

/// Why a router is about to change: it counts for so long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Story {
    /// The change's own part in it.
    pub(super) trail: Trail,
    /// When it began here.
    pub(super) began: Instant,
    pub(super) until: Instant,
}

/// What may lead to a change that is about to be decided.
#[derive(Clone, Copy, Debug)]
pub(super) enum Before {
    /// A command, carried out since then.
    Command(Instant),
    /// The last word of the master, read then.
    LastWord(Option<Instant>),
}

/// Counts, and says when it is time to speak of it.
#[derive(Clone, Copy, Debug, Default)]
struct Counter {
    total: u64,
    unspoken: u64,
    spoken: Option<Instant>,
}

impl Counter {
    /// Counts one; returns how many there were since the last remark when the next one is due.
    fn count(&mut self, now: Instant) -> Option<u64> {
        self.total += 1;
        self.unspoken += 1;
        if self.spoken.is_some_and(|at| now.since(at) < REMARK_INTERVAL) {
            return None;
        }
        self.spoken = Some(now);
        Some(std::mem::take(&mut self.unspoken))
    }
}

impl Router {
    pub(super) fn new(
        id: RouterId,
        port: usize,
        configured: VirtualRouter,
        fast_takeover: bool,
        orders: Orders,
        waits: bool,
        source: Option<Ipv4Addr>,
    ) -> Self {
        let source = source.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let told = translate::parameters(&configured, fast_takeover, orders);
        let parameters = Parameters { phase: phase(id, told.interval), ..told };
        Self {
            id,
            port,
            identity: Arc::new(Identity {
                name: configured.name.clone(),
                vrid: configured.vrid,
                interface: configured.interface.clone(),
            }),
            machine: Machine::new(parameters, source),
            expected: translate::expectation(&configured, orders),
            template: Template::new(&translate::outgoing(&configured, source)),
            configured,
            fast_takeover,
            orders,
            watched: Watched::new(waits),
            group: None,
            group_now: None,
            companion: None,
            adopts: None,
            started: false,
            claim: 0,
            tally: Arc::default(),
            latest: None,
            story: None,
            arrivals: Arrivals::default(),
            source,
            entered: hacluster_net::clock::now(),
            last: None,
            told: None,
            discards: [Counter::default(); DiscardKind::COUNT],
            send_failures: Counter::default(),
            differing: Counter::default(),
            duplicates: Counter::default(),
            rivals: Counter::default(),
        }
    }

    /// Takes a new configuration; the machine is told separately.
    pub(super) fn reconfigure(
        &mut self,
        configured: VirtualRouter,
        fast_takeover: bool,
        source: Option<Ipv4Addr>,
    ) {
        self.identity =
            Arc::new(Identity { name: configured.name.clone(), ..Identity::clone(&self.identity) });
        self.expected = translate::expectation(&configured, self.orders);
        (self.configured, self.fast_takeover) = (configured, fast_takeover);
        self.set_source(source.unwrap_or(Ipv4Addr::UNSPECIFIED));
    }

    /// Takes new orders; the machine is told separately. Returns what it has to be told of a lead, if
    /// anything: orders that say the same of it as those before say nothing.
    pub(super) fn obey(&mut self, orders: Orders) -> Option<Option<Priority>> {
        let before = std::mem::replace(&mut self.orders, orders);
        self.expected = translate::expectation(&self.configured, orders);
        let begins_to_rest = orders.rest && !before.rest;
        let lead = orders.lead_in_force();
        (begins_to_rest || lead != before.lead_in_force()).then_some(lead)
    }

    /// What the machine is told to be.
    pub(super) fn parameters(&self) -> Parameters {
        let told = translate::parameters(&self.configured, self.fast_takeover, self.orders);
        let priority = self.orders.priority(self.watched.priority(self.configured.priority));
        Parameters { priority, phase: phase(self.id, told.interval), ..told }
    }

    /// Adverts leave from `source`.
    pub(super) fn set_source(&mut self, source: Ipv4Addr) {
        self.source = source;
        self.template = Template::new(&translate::outgoing(&self.configured, source));
    }

    /// Where adverts leave from when the interface's own address is `interface_source`: as told, else
    /// that, else, for an owner, the address it owns.
    pub(super) fn source(&self, interface_source: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        source_of(&self.configured, interface_source)
    }

    /// An advert was believed that had waited so long to be read.
    pub(super) fn accepted(&mut self, now: Instant, heard: Heard, waited: Option<std::time::Duration>) {
        let waited = plausible(waited);
        self.tally.accepted.add_one();
        if heard.priority.is_resign() {
            self.tally.resignations.add_one();
        }
        if let Some(waited) = waited {
            self.tally.waited.add(waited);
        }
        self.arrivals.take(heard, now, waited);
    }

    pub(super) fn discarded(
        &mut self,
        now: Instant,
        sender: Option<Ipv4Addr>,
        why: Discard,
        events: &EventSender,
    ) {
        self.tally.discarded[why.kind() as usize].add_one();
        if let Some(count) = self.discards[why.kind() as usize].count(now) {
            self.tell(events, What::Discarded { sender, why, count });
        }
    }

    pub(super) fn addresses_differ(&mut self, now: Instant, sender: Ipv4Addr, events: &EventSender) {
        if self.configured.skip_check_adv_addr {
            return;
        }
        self.tally.addresses_differ.add_one();
        if self.differing.count(now).is_some() {
            self.tell(events, What::AddressesDiffer { sender });
        }
    }

    pub(super) fn send_failed(&mut self, now: Instant, error: NetError, events: &EventSender) {
        self.tally.send_failures.add_one();
        if let Some(count) = self.send_failures.count(now) {
            self.tell(events, What::SendFailed { error, count });
        }
    }

    pub(super) fn note(&mut self, now: Instant, note: Note, events: &EventSender) {
        let due = match note {
            Note::DuplicateAddress(_) => self.duplicates.count(now).is_some(),
            Note::RivalHeard(_) => self.rivals.count(now).is_some(),
            Note::AdvertsMissed(_) | Note::TakeOverTooSlow(_) | Note::TakeOverRefused(_) => true,
        };
        if due {
            self.tell(events, What::Note(note));
        }
    }

    /// The machine changed its state.
    pub(super) fn changed(
        &mut self,
        now: Instant,
        transition: Transition,
        (trail, before): (Trail, Before),
        events: &EventSender,
    ) {
        let priority = self.machine.priority();
        self.entered = now;
        self.latest = Some((trail, now));
        self.last = Some((transition, priority));
        self.tally.changes.add(&transition);
        if transition.to == StateKind::Master {
            self.tally.became_master.add_one();
        }
        if transition.from == StateKind::Master {
            self.tally.left_master.add_one();
        }
        let detail = match transition.reason {
            Reason::Fault(Fault::Group) | Reason::GroupYielded => self.companion.clone(),
            _ => self.watched.fault(),
        };
        let (began, waited): Lead = match before {
            Before::Command(at) => (Some(at), None),
            Before::LastWord(at) => self.arrivals.lead(&transition.reason, at),
        };
        let what = What::Transition { transition, priority, detail, began, waited };
        events.send_or_drop(Event::now(Some(self.identity.clone()), what).on(trail));
    }

    /// The story of a change made this very moment.
    pub(super) fn just_changed(&self, now: Instant) -> Option<Trail> {
        self.latest.filter(|(_, at)| now.since(*at) < THE_SAME_MOMENT).map(|(trail, _)| trail)
    }

    /// What it does next follows from another member of its group, unless something of its own comes first.
    pub(super) fn follow(&mut self, tale: Trail, now: Instant) {
        let follows = Story { trail: tale.child(), began: now, until: now + THE_SAME_MOMENT };
        if self.story.is_none_or(|story| story.until <= now) {
            self.story = Some(follows);
        }
    }

    /// The story at hand, and what may lead to a change that `input` may bring.
    pub(super) fn beginnings(&self, now: Instant, input: &Input) -> (Option<Trail>, Before) {
        if let Some(story) = self.story.filter(|story| now < story.until) {
            return (Some(story.trail), Before::Command(story.began));
        }
        let heard = match self.machine.state() {
            State::Backup(backup) => backup.master.map(|(_, at)| at),
            State::Initialize | State::Master(_) | State::Fault => None,
        };
        (self.outranked_by(now, input), Before::LastWord(heard))
    }

    /// The story of a change for a priority that `input` may bring: it goes on from the verdict that made
    /// ours the lower or the higher one.
    fn outranked_by(&self, now: Instant, input: &Input) -> Option<Trail> {
        let other = match (self.machine.state(), input) {
            (State::Master(_), Input::Heard(heard)) => *heard,
            (State::Backup(backup), Input::Heard(_) | Input::Tick) => match backup.cause {
                TakeoverCause::LowerPriority(heard) => heard,
                _ => return None,
            },
            _ => return None,
        };
        let verdict = self.watched.verdict(other.priority, self.entered, now)?;
        Some(verdict.trail.child())
    }

    /// The latest change.
    pub(super) fn last_transition(&self) -> Option<Transition> {
        self.last.map(|(transition, _)| transition)
    }

    /// The notice of a change just made.
    pub(super) fn notice(&self, at: Instant, transition: Transition, trail: Trail) -> Notice {
        let (router, priority) = (self.identity.clone(), self.machine.priority());
        Notice::Transition { router, transition, priority, source: self.source, at, trail }
    }

    /// It rules whenever it lives.
    pub(super) fn is_owner(&self) -> bool {
        self.machine.parameters().priority.is_owner()
    }

    /// The lead it rules with.
    fn lead(&self) -> Option<Priority> {
        let priority = self.machine.priority();
        (priority > self.machine.parameters().priority).then_some(priority)
    }

    /// Tells how its sync group stands if that is news.
    pub(super) fn tell_group(&mut self, group: Option<&Arc<GroupNow>>, events: &EventSender) {
        if self.group_now.as_ref() != group {
            self.group_now = group.cloned();
            self.tell(events, Fact::Group(group.cloned()));
        }
    }

    /// Tells where it stands if that is news. Called for every packet: compares, copies, no more.
    pub(super) fn tell_standing(&mut self, now: Instant, events: &EventSender) {
        let standing = self.standing();
        let due = match &self.told {
            None => true,
            Some((told, _)) if standing == *told => false,
            Some((told, at)) => {
                standing.differs_beyond_master(told)
                    || told.master.is_none()
                    || now.since(*at) >= MASTER_INTERVAL
            }
        };
        if due {
            self.told = Some((standing, now));
            self.tell(events, Fact::Standing(standing));
        }
    }

    /// Tells everything that is so.
    pub(super) fn retell(&mut self, now: Instant, events: &EventSender) {
        let setup = Setup::of(&self.configured, self.tally.clone());
        self.tell(events, Fact::Configured(Arc::new(setup)));
        self.tell(events, self.watched.fact());
        self.tell(events, Fact::Group(self.group_now.clone()));
        self.told = None;
        self.tell_standing(now, events);
    }

    fn standing(&self) -> Standing {
        let master = match self.machine.state() {
            State::Backup(backup) => backup.master.map(|(heard, _)| heard),
            State::Initialize | State::Master(_) | State::Fault => None,
        };
        Standing {
            state: self.machine.state().kind(),
            entered: self.entered,
            last: self.last,
            priority: self.machine.priority(),
            source: self.source,
            faults: self.machine.faults(),
            master,
            orders: Orders { lead: self.lead(), ..self.orders },
        }
    }

    pub(super) fn tell(&self, events: &EventSender, what: impl Into<What>) {
        events.send_or_drop(Event::now(Some(self.identity.clone()), what));
    }
}

/// See [`Router::source`].
pub(super) fn source_of(configured: &VirtualRouter, interface_source: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
    let owned = configured.addresses.first().filter(|_| configured.priority.is_owner());
    configured.source.or(interface_source).or(owned.map(|address| address.ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_are_rare_and_complete() {
        let mut counter = Counter::default();
        let mut spoken = Vec::new();
        for millis in 0..25_000 {
            spoken.extend(counter.count(Instant::from_micros(millis * 1_000)));
        }
        assert_eq!(spoken, [1, 10_000, 10_000]);
        assert_eq!(counter.total, 25_000);
    }
}

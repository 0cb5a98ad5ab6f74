//! Commands about who rules, and what is answered to them.
//!
//! ```text
//!   TakeOver --> Machine --> Claim --> kernel thread       (still backup)
//!                                           |
//!                Machine <-- Claimed -------'
//!                   `--> advert leaves --> Answer::Ruling
//! ```
//!
//! A takeover is watched from its command to its answer; everything else is answered at the end of
//! the round that carried it out. Nothing is believed of the command but that it was sent.

use super::command::Ticket;
use super::engine::Engine;
use super::notice::{Answer, Notice, Refusal};
use super::router::{Router, Story};
use crate::event::Place;
use crate::kernel::RouterId;
use crate::orders::Orders;
use crate::story::Trail;
use hacluster_core::machine::{Fault, Faults, Input, State, StateKind};
use hacluster_core::priority::Priority;
use hacluster_core::time::{Duration, Instant};
use hacluster_net::clock;
use std::net::Ipv4Addr;

/// For so long after a command that moves a router every packet is served at once, and then whoever
/// waits for a takeover is answered whatever became of it.
const MOVE_MAX: Duration = Duration::from_secs(2);

/// A takeover somebody waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Takeover {
    ticket: Ticket,
    until: Instant,
    announced: Option<Instant>,
    advertised: Option<Instant>,
    /// In this round the router sends an advert, not its farewell.
    pub(super) speaks: bool,
    /// The kernel refused the addresses.
    refused: bool,
}

impl Takeover {
    fn new(ticket: Ticket, until: Instant) -> Self {
        Self { ticket, until, announced: None, advertised: None, speaks: false, refused: false }
    }

    /// What came of it, at the end of a round; `None` while it is under way. A router that becomes
    /// master for another reason meanwhile does what was asked as well.
    fn outcome(&mut self, now: Instant, state: &State, faults: Faults) -> Option<Result<Answer, Refusal>> {
        if std::mem::take(&mut self.speaks) {
            self.advertised.get_or_insert(now);
        }
        let failure = match state {
            State::Master(_) => match (self.announced, self.advertised) {
                (Some(announced), Some(advertised)) => {
                    return Some(Ok(Answer::Ruling { announced, advertised }));
                }
                _ if now < self.until => return None,
                _ => Refusal::TooSlow,
            },
            State::Backup(backup) if backup.preparing.is_some() => return None,
            State::Backup(_) => Refusal::TooSlow,
            State::Fault => Refusal::Fault(faults.first().unwrap_or(Fault::Interface)),
            State::Initialize => Refusal::NotBackup(StateKind::Initialize),
        };
        Some(Err(if self.refused { Refusal::ClaimRefused } else { failure }))
    }
}

impl Engine {
    pub(super) fn router_at(&self, place: &Place) -> Result<RouterId, Refusal> {
        let port = self.port_number(&place.interface);
        port.and_then(|number| self.ports[number].router(place.vrid)).ok_or(Refusal::UnknownRouter)
    }

    /// The router at `place` if it is in state `wanted` and not an owner.
    fn router_in(&self, place: &Place, wanted: StateKind) -> Result<RouterId, Refusal> {
        let id = self.router_at(place)?;
        let machine = &self.routers.get(&id).ok_or(Refusal::UnknownRouter)?.machine;
        let owns = |id: &RouterId| self.routers.get(id).is_some_and(Router::is_owner);
        match machine.state().kind() {
            _ if owns(&id) || self.companions(id).any(|id| owns(&id)) => Err(Refusal::Owner),
            state if state == wanted => Ok(id),
            StateKind::Fault => Err(Refusal::Fault(machine.faults().first().unwrap_or(Fault::Interface))),
            state if wanted == StateKind::Backup => Err(Refusal::NotBackup(state)),
            state => Err(Refusal::NotMaster(state)),
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Result<Answer, Refusal>) {
        self.notices.push(Notice::Answer { ticket, answer });
    }

    pub(super) fn take_over(
        &mut self,
        place: &Place,
        from: Ipv4Addr,
        lead: Option<Priority>,
        (ticket, trail): (Ticket, Option<Trail>),
    ) {
        let found = self.router_in(place, StateKind::Backup);
        let free =
            found.and_then(|id| if self.takeovers.contains_key(&id) { Err(Refusal::Busy) } else { Ok(id) });
        let id = match free {
            Ok(id) => id,
            Err(refusal) => return self.answer(ticket, Err(refusal)),
        };
        self.hurry();
        self.takeovers.insert(id, Takeover::new(ticket, self.busy_until));
        self.goes_on(id, trail);
        self.feed(id, clock::now(), Input::TakeOver { from, lead });
        self.take_over_with(id, lead);
    }

    pub(super) fn yield_to(
        &mut self,
        place: &Place,
        to: Option<Ipv4Addr>,
        (ticket, trail): (Ticket, Option<Trail>),
    ) {
        let found = match to {
            Some(_) => self.router_in(place, StateKind::Master),
            None => self.router_at(place),
        };
        if to.is_some() {
            self.hurry();
        }
        if let Ok(id) = found {
            self.goes_on(id, trail.filter(|_| to.is_some()));
            self.yield_with(id, to);
        }
        self.tell_machine(found, Input::YieldTo(to), ticket);
    }

    pub(super) fn resign(&mut self, place: &Place, (ticket, trail): (Ticket, Option<Trail>)) {
        let found = self.router_in(place, StateKind::Master);
        if let Ok(id) = found {
            self.goes_on(id, trail);
        }
        self.tell_machine(found, Input::Resign, ticket);
    }

    pub(super) fn lead(&mut self, place: &Place, lead: Option<Priority>, ticket: Ticket) {
        let found = self.router_at(place);
        if let Some(router) = found.ok().and_then(|id| self.routers.get_mut(&id)) {
            router.orders.lead = lead;
        }
        if let (Ok(id), None) = (found, lead) {
            self.end_lead_with(id);
        }
        self.tell_machine(found, Input::Lead(lead), ticket);
    }

    /// Carries out what is done at once.
    fn tell_machine(&mut self, router: Result<RouterId, Refusal>, input: Input, ticket: Ticket) {
        if let Ok(id) = router {
            self.feed(id, clock::now(), input);
        }
        self.answer(ticket, router.map(|_| Answer::Done));
    }

    /// What `id` and the others of its group do next for this command continues `trail`.
    fn goes_on(&mut self, id: RouterId, trail: Option<Trail>) {
        let now = clock::now();
        let members: Vec<_> = self.companions(id).chain([id]).collect();
        for member in members {
            if let Some(router) = self.routers.get_mut(&member) {
                router.story =
                    trail.map(|trail| Story { trail: trail.child(), began: now, until: now + MOVE_MAX });
            }
        }
    }

    fn hurry(&mut self) {
        self.busy_until = clock::now() + MOVE_MAX;
    }

    pub(super) fn order(&mut self, place: &Place, orders: Orders) {
        if let Ok(id) = self.router_at(place) {
            self.obey(id, orders);
        }
    }

    /// Puts `orders` and the configuration at hand in force.
    pub(super) fn obey(&mut self, id: RouterId, orders: Orders) {
        let Some(router) = self.routers.get_mut(&id) else { return };
        let lead = router.obey(orders);
        let parameters = router.parameters();
        let now = clock::now();
        if parameters != *router.machine.parameters() {
            self.feed(id, now, Input::Parameters(parameters));
        }
        if let Some(lead) = lead {
            self.feed(id, now, Input::Lead(lead));
        }
        if let Some(router) = self.routers.get_mut(&id) {
            router.tell_standing(now, &self.queues.events);
        }
    }

    pub(super) fn claimed(&mut self, id: RouterId, at: Instant) {
        if let Some(takeover) = self.takeovers.get_mut(&id) {
            takeover.announced = Some(at);
        }
        self.feed(id, clock::now(), Input::Claimed);
    }

    pub(super) fn claim_refused(&mut self, id: RouterId) {
        if let Some(takeover) = self.takeovers.get_mut(&id) {
            takeover.refused = true;
        }
        self.feed(id, clock::now(), Input::ClaimRefused);
    }

    /// Answers the takeovers that have ended, once their adverts have left.
    pub(super) fn settle_takeovers(&mut self) {
        if self.takeovers.is_empty() {
            return;
        }
        let (now, routers, notices) = (clock::now(), &self.routers, &mut self.notices);
        self.takeovers.retain(|id, takeover| {
            let outcome = match routers.get(id) {
                Some(router) => takeover.outcome(now, router.machine.state(), router.machine.faults()),
                None => Some(Err(Refusal::UnknownRouter)),
            };
            let ended = outcome.map(|answer| Notice::Answer { ticket: takeover.ticket, answer });
            let goes_on = ended.is_none();
            notices.extend(ended);
            goes_on
        });
    }
}

#[cfg(test)]
mod tests;

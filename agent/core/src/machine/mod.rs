//! One VRRPv2 router as a machine [RFC 3768 section 6.4, with keepalived's Fault state].
//!
//! ```text
//!                 start (owner)                            interface, address or claim fails
//!   +------------+----------------------->+--------+ --------------------------> +-------+
//!   | Initialize |        stop            | Master |       (priority 0)          |       |
//!   |            |<-----------------------+--------+                             | Fault |
//!   |            |  (priority 0)            |    ^                               |       |
//!   |            |     higher priority,     |    | silence, priority 0,          |       |
//!   |            |     or equal and higher  |    | lower priority (preempt)      |       |
//!   |            |     address heard,       |    | asked to take over, and       |       |
//!   |            |     successor heard,     |    | claimed                       |       |
//!   |            |     told to resign       v    |                               |       |
//!   |            |       start            +--------+         fails               |       |
//!   |            |----------------------->| Backup | --------------------------> |       |
//!   +------------+<-----------------------+--------+ <-------------------------- +-------+
//!                         stop                             all faults cleared
//! ```
//!
//! # Contract
//! - [`Machine::handle`] takes what happened and when. Time never runs backwards; nothing is read
//!   from a clock.
//! - After each call, take [`Machine::poll_action`] until it returns `None`, in that order.
//! - Then ask [`Machine::next_deadline`] and call `handle(now, Input::Tick)` at that moment or
//!   later. Give it the packets that arrived before a deadline first: an advert that is already
//!   here must not lose against a timer that was merely served earlier.
//! - Every input is legal in every state; none panics.
//!
//! What happens is decided in two tables without wildcard: [`transition::transition`] says where
//! to go, [`effects::effects`] what is owed for going there. A move between two nodes that agree on
//! it is described in [`handover`]; a member of a sync group asks its [`group`](crate::group) before it
//! rules.

mod action;
mod backup;
mod bound;
pub mod effects;
pub mod handover;
mod input;
mod master;
mod reason;
mod state;
pub mod transition;

pub use action::{Action, Note, Transition};
pub use handover::{ANYBODY, Handover, Preparing, YIELD_TO_MAX};
pub use input::{Announce, Input, Parameters, Preemption};
pub use reason::{Fault, Faults, Reason, TakeoverCause};
pub use state::{State, StateKind};

use crate::interval::master_down_v2;
use crate::priority::Priority;
use crate::receive::Heard;
use crate::time::{Duration, Instant};
use alloc::collections::VecDeque;
use core::net::Ipv4Addr;
use effects::{Effect, LastWord, effects, last_word};
use state::Backup;
use transition::{Event, Response, transition};

/// A virtual router on one node. See the [module](self) for the contract.
#[derive(Clone, Debug)]
pub struct Machine {
    parameters: Parameters,
    /// Our primary address: decides ties and recognises our own packets.
    source: Ipv4Addr,
    faults: Faults,
    state: State,
    /// As master we advertise this if it is more than our priority.
    lead: Option<Priority>,
    /// Member of a sync group: rules only when the group does.
    bound: bool,
    actions: VecDeque<Action>,
}

impl Machine {
    /// A router in Initialize. `source` is the address its adverts come from.
    pub fn new(parameters: Parameters, source: Ipv4Addr) -> Self {
        let faults = Faults::default();
        let (state, actions) = (State::Initialize, VecDeque::new());
        Self { parameters, source, faults, state, lead: None, bound: false, actions }
    }

    /// Where the router stands, with its deadlines.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What it was told to be.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The address its adverts come from.
    pub fn source(&self) -> Ipv4Addr {
        self.source
    }

    /// Everything that keeps it in Fault.
    pub fn faults(&self) -> Faults {
        self.faults
    }

    /// The priority it advertises and compares with: as master, that of a lead if it is higher.
    pub fn priority(&self) -> Priority {
        let lead = self.lead.filter(|_| matches!(self.state, State::Master(_)));
        lead.map_or(self.parameters.priority, |lead| lead.max(self.parameters.priority))
    }

    /// The lead it has, or will have when it becomes master: what a shell keeps over a restart.
    pub fn lead(&self) -> Option<Priority> {
        self.lead
    }

    /// The next thing owed to the network or the kernel.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Input::Tick`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.state.next_deadline()
    }

    /// Takes what happened at `now`.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Start { adopt } => self.start(now, adopt),
            Input::Stop => self.apply(now, Event::Stop, Reason::Stopped),
            Input::Tick => self.tick(now),
            Input::Heard(heard) => self.heard(now, heard),
            Input::Fault(fault) => self.fault(now, fault),
            Input::FaultCleared(fault) => self.fault_cleared(now, fault),
            Input::ClaimRefused => self.claim_refused(now),
            Input::Parameters(parameters) => self.change_parameters(now, parameters),
            Input::Source(source) => self.source = source,
            Input::TakeOver { from, lead } => self.prepare(now, from, lead),
            Input::Claimed => self.claimed(now),
            Input::YieldTo(successor) => self.yield_to(now, successor),
            Input::Resign => self.resign(now),
            Input::Lead(lead) => self.change_lead(now, lead),
            Input::Bind(bound) => self.bind(now, bound),
            Input::GroupRules => self.rule_with_group(now),
            Input::GroupYields => self.apply(now, Event::GroupYields, Reason::GroupYielded),
            Input::GroupHastens => self.hasten(now),
        }
    }

    fn start(&mut self, now: Instant, adopt: bool) {
        let owner = self.parameters.priority.is_owner() && !self.bound;
        let event = if owner { Event::StartOwner } else { Event::Start };
        let first = matches!(self.state, State::Initialize);
        if first && !self.faults.is_empty() {
            let fault = self.faults.first().unwrap_or(Fault::Interface);
            return self.apply(now, Event::FaultRaised, Reason::Fault(fault));
        }
        let reason = if event == Event::StartOwner { Reason::OwnerStarted } else { Reason::Started };
        self.apply(now, event, reason);
        if let (true, State::Backup(backup)) = (first, &mut self.state) {
            backup.start(now, self.parameters.first_wait(adopt), adopt);
            if !adopt {
                self.actions.push_back(Action::Release);
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        match &self.state {
            State::Initialize | State::Fault => {}
            State::Backup(backup) => match backup.expired(now) {
                Some(_) if self.bound => self.stand_by(now),
                Some(cause) => self.master_down(now, cause),
                None => self.give_up_late_takeover(now),
            },
            State::Master(_) => self.tick_master(now),
        }
    }

    fn heard(&mut self, now: Instant, heard: Heard) {
        let plain = || Event::classify(heard, self.priority(), self.source);
        let event = self.heard_in_handover(now, heard).unwrap_or_else(plain);
        let gave = event == Event::HeardSuccessor;
        let reason = if gave { Reason::GaveAway(heard) } else { Reason::Yielded(heard) };
        self.apply_heard(now, event, reason, Some(heard));
    }

    fn fault(&mut self, now: Instant, fault: Fault) {
        self.faults.insert(fault);
        if !matches!(self.state, State::Initialize) {
            self.apply(now, Event::FaultRaised, Reason::Fault(fault));
        }
    }

    fn fault_cleared(&mut self, now: Instant, fault: Fault) {
        self.faults.remove(fault);
        if self.faults.is_empty() {
            self.apply(now, Event::FaultCleared, Reason::Recovered(fault));
        }
    }

    /// A late answer to a claim that was given up meanwhile says nothing about the present.
    fn claim_refused(&mut self, now: Instant) {
        if matches!(self.state, State::Master(_)) {
            self.faults.insert(Fault::Claim);
            self.apply(now, Event::FaultRaised, Reason::Fault(Fault::Claim));
        } else {
            self.give_up_takeover(Note::TakeOverRefused);
        }
    }

    fn change_parameters(&mut self, now: Instant, new: Parameters) {
        let (before, after) = (self.parameters.master_down(), new.master_down());
        let interval_changed = self.parameters.interval != new.interval;
        let refresh_changed = self.parameters.announce.refresh != new.announce.refresh;
        let spoken = self.priority();
        self.parameters = new;
        match &mut self.state {
            State::Initialize | State::Fault => {}
            State::Backup(backup) => backup.shift(now, before, after),
            State::Master(master) => {
                if interval_changed {
                    master.next_advert = master.next_advert.min(now + new.interval.duration());
                }
                if refresh_changed {
                    master.refresh = new.master_since(now).refresh;
                }
            }
        }
        if self.priority() < spoken {
            self.priority_fell(now);
        }
    }

    fn apply(&mut self, now: Instant, event: Event, reason: Reason) {
        self.apply_heard(now, event, reason, None);
    }

    /// The one place where the state changes: transition first, effects second, response last.
    fn apply_heard(&mut self, now: Instant, event: Event, reason: Reason, heard: Option<Heard>) {
        let from = self.state.kind();
        let (to, response) = transition(from, event);
        if from != to {
            let ruled_with = self.priority();
            self.enter(now, to);
            for effect in effects(from, to) {
                self.owe(*effect, event, ruled_with);
            }
            self.actions.push_back(Action::Transition(Transition { from, to, reason }));
        }
        self.respond(now, response, heard);
    }

    fn enter(&mut self, now: Instant, to: StateKind) {
        if matches!(self.state, State::Master(_)) {
            self.lead = None;
        }
        let parameters = &self.parameters;
        self.state = match to {
            StateKind::Initialize => State::Initialize,
            StateKind::Backup if parameters.priority.is_owner() => {
                State::Backup(Backup::silent_since(now, parameters.first_wait(false)))
            }
            StateKind::Backup => State::Backup(Backup::silent_since(now, parameters.master_down())),
            StateKind::Master => State::Master(parameters.master_since(now)),
            StateKind::Fault => State::Fault,
        };
    }

    fn owe(&mut self, effect: Effect, event: Event, ruled_with: Priority) {
        let parameters = &self.parameters;
        let action = match effect {
            Effect::Advertise => Action::Advertise(self.priority()),
            Effect::Resign => Action::Advertise(Priority::RESIGN),
            Effect::LastWord => match last_word(event) {
                LastWord::Nothing => return,
                LastWord::Advertise if !parameters.higher_prio_send_advert => return,
                LastWord::Advertise => Action::Advertise(ruled_with),
                LastWord::Resign => Action::Advertise(Priority::RESIGN),
            },
            Effect::Claim => Action::Claim { rounds: parameters.announce.master_rounds },
            Effect::Release => Action::Release,
        };
        self.actions.push_back(action);
    }

    fn respond(&mut self, now: Instant, response: Response, heard: Option<Heard>) {
        match (response, heard) {
            (Response::Nothing, _) | (_, None) => {}
            (Response::Follow, Some(heard)) => {
                self.lead = None;
                self.follow(now, heard);
            }
            (Response::AwaitSkew, Some(heard)) => self.await_skew(now, heard),
            (Response::ConsiderTakeover, Some(heard)) => {
                self.lead = None;
                self.consider_takeover(now, heard);
            }
            (Response::Insist, Some(heard)) => self.insist(now, heard),
            (Response::AdvertiseNow, Some(_)) => self.answer_farewell(now),
            (Response::WarnDuplicate, Some(heard)) => {
                self.actions.push_back(Action::Note(Note::DuplicateAddress(heard.sender)));
                self.follow(now, heard); // as a backup; a master stays what it is
            }
        }
    }
}

impl Parameters {
    /// Master_Down_Interval.
    pub fn master_down(&self) -> Duration {
        master_down_v2(self.interval, self.priority, self.down_adverts)
    }

    /// How long to listen before the first claim.
    ///
    /// A router that expects to rule, or that finds its addresses still in place, needs one
    /// interval to hear a living master: waiting for three would only prolong the outage.
    fn first_wait(&self, adopt: bool) -> Duration {
        if adopt || self.start_as_master || self.priority.is_owner() {
            self.interval.duration() + Duration::from_micros(1_000_000 / 256)
        } else {
            self.master_down()
        }
    }
}

#[cfg(test)]
mod tests;

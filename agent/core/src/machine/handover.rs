//! A move from one node to another that both agreed on: make before break.
//!
//! ```text
//!    A, master            their shells            B, backup
//!       | <- YieldTo(B) ---- move ---- TakeOver{A} -> | Claim: addresses in place, announced
//!       |                                    Claimed -> | Master
//!       | <--------------- advert, at least A's priority |
//!       | Backup, Release: silent                        | 100 ms later: advert and announcement
//! ```
//!
//! The addresses are nowhere missing, and a third node that knows nothing of this hears one master
//! after the other, of the same priority: B *leads*. Every step can fail: B gives up what takes
//! longer than [`PREPARING_MAX`], A lets go only when it hears B. A shell that wants A to leave it at
//! that gives A [`Preemption::Never`](super::Preemption::Never) before.

use super::Machine;
use super::action::{Action, Note};
use super::reason::{Reason, TakeoverCause};
use super::state::{Backup, State};
use super::transition::Event;
use crate::priority::Priority;
use crate::receive::Heard;
use crate::time::{Duration, Instant};
use core::net::Ipv4Addr;

/// A takeover on request is given up when the addresses are not in place by then.
pub const PREPARING_MAX: Duration = Duration::from_millis(1_000);

/// A master that was told to yield to somebody stops expecting it after this long: a shell that
/// forgot about it must not decide an election much later.
pub const YIELD_TO_MAX: Duration = Duration::from_millis(5_000);

/// Once a successor is being asked, a lowered priority is kept back until it is heard, at most so long: it
/// would have the successor, or somebody else, take over before the addresses are in place there.
pub const SUCCESSOR_MAX: Duration = Duration::from_millis(500);

/// What the former master said before it heard us is under way at most this long.
pub const FORMER_MAX: Duration = Duration::from_millis(500);

/// In [`Input::YieldTo`](super::Input::YieldTo): whoever speaks. A sync group yields to one node, whose
/// address is known on one of its networks only.
pub const ANYBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// The former master answers requests for the MAC until it has let go: announce again by then.
pub const CONFIRM_AFTER: Duration = Duration::from_millis(100);

/// A backup that was asked to rule and is claiming the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preparing {
    /// Who asked: the master that will yield.
    pub from: Ipv4Addr,
    /// What to advertise at least.
    pub lead: Option<Priority>,
    /// Given up then.
    pub until: Instant,
    /// The addresses are in place; in a sync group they may not be yet for the other members.
    pub claimed: bool,
}

/// What a master has to do with handovers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handover {
    /// Whom it yields to whatever the priority, and until when.
    pub yield_to: Option<(Ipv4Addr, Instant)>,
    /// Who handed it over: until then its adverts come from before that, and unseat nobody.
    pub former: Option<(Ipv4Addr, Instant)>,
    /// When to advertise and announce once more.
    pub confirm: Option<Instant>,
}

/// 0 and 255 have meanings of their own and lead nobody.
fn rightful(lead: Option<Priority>) -> Option<Priority> {
    lead.filter(|priority| !priority.is_resign() && !priority.is_owner())
}

impl Machine {
    /// Asked to rule in place of `from`: claims the addresses while still backup.
    pub(super) fn prepare(&mut self, now: Instant, from: Ipv4Addr, lead: Option<Priority>) {
        let owner = self.parameters.priority.is_owner();
        let State::Backup(backup) = &mut self.state else { return };
        if owner || backup.preparing.is_some() {
            return;
        }
        backup.preparing =
            Some(Preparing { from, lead: rightful(lead), until: now + PREPARING_MAX, claimed: false });
        backup.adopted = false; // no longer a predecessor's: ours, until this is decided
        self.actions.push_back(Action::Claim { rounds: 1 });
    }

    fn preparing(&self) -> Option<Preparing> {
        match &self.state {
            State::Backup(backup) => backup.preparing,
            State::Initialize | State::Master(_) | State::Fault => None,
        }
    }

    /// The addresses are in place. Only a backup that prepares makes something of it.
    pub(super) fn claimed(&mut self, now: Instant) {
        match &mut self.state {
            State::Backup(Backup { preparing: Some(preparing), .. }) if self.bound => {
                preparing.claimed = true
            }
            State::Initialize | State::Backup(_) | State::Master(_) | State::Fault => self.rule_as_asked(now),
        }
    }

    pub(super) fn rule_as_asked(&mut self, now: Instant) {
        let Some(Preparing { from, lead, .. }) = self.preparing() else { return };
        self.lead = lead;
        self.apply(now, Event::Claimed, Reason::TookOver(TakeoverCause::HandedOver(from)));
        if let State::Master(master) = &mut self.state {
            master.handover.former = Some((from, now + FORMER_MAX));
        }
        self.confirm_later(now);
    }

    /// The timer ran out. A backup that was asked to rule leads as asked, whichever came first.
    pub(super) fn master_down(&mut self, now: Instant, cause: TakeoverCause) {
        if let Some(preparing) = self.preparing() {
            self.lead = preparing.lead;
        }
        self.apply(now, Event::MasterDown, Reason::TookOver(cause));
    }

    pub(super) fn give_up_late_takeover(&mut self, now: Instant) {
        if self.preparing().is_some_and(|preparing| now >= preparing.until) {
            self.give_up_takeover(Note::TakeOverTooSlow);
        }
    }

    /// Back to a plain backup, whose timer ran on meanwhile.
    pub(super) fn give_up_takeover(&mut self, why: fn(Ipv4Addr) -> Note) {
        if let State::Backup(Backup { preparing, .. }) = &mut self.state
            && let Some(Preparing { from, .. }) = preparing.take()
        {
            self.actions.push_back(Action::Release);
            self.actions.push_back(Action::Note(why(from)));
        }
    }

    /// Whoever was to have it and did not get it may have announced the addresses already: once that is
    /// taken back, clients have to hear who rules, now and again when the other has let go.
    pub(super) fn yield_to(&mut self, now: Instant, successor: Option<Ipv4Addr>) {
        let State::Master(master) = &mut self.state else { return };
        let promised = successor.map(|successor| (successor, now + YIELD_TO_MAX));
        let before = core::mem::replace(&mut master.handover.yield_to, promised);
        if before.is_none() && promised.is_some() && master.owes_fall() {
            master.lowered = Some(now + SUCCESSOR_MAX);
            master.next_advert = now + SUCCESSOR_MAX;
        }
        if before.is_some() && successor.is_none() {
            master.handover.confirm = Some(now);
            self.confirm_handover(now);
            self.confirm_later(now);
        }
    }

    fn confirm_later(&mut self, now: Instant) {
        if let State::Master(master) = &mut self.state {
            master.handover.confirm = Some(now + CONFIRM_AFTER);
        }
    }

    pub(super) fn resign(&mut self, now: Instant) {
        if !self.parameters.priority.is_owner() {
            self.apply(now, Event::Resign, Reason::ResignedOnRequest);
        }
    }

    /// A master tells at once that its priority is another: who waits for that need not wait longer.
    pub(super) fn change_lead(&mut self, now: Instant, lead: Option<Priority>) {
        if self.parameters.priority.is_owner() {
            return;
        }
        let before = self.priority();
        self.lead = rightful(lead);
        let lead_ended = self.lead.is_none();
        let (parameters, priority) = (self.parameters, self.priority());
        if let State::Backup(Backup { preparing: Some(preparing), .. }) = &mut self.state {
            preparing.lead = self.lead;
        }
        let State::Master(master) = &mut self.state else { return };
        if lead_ended {
            master.handover.former = None; // it may rule again
        }
        if priority != before {
            master.next_advert = parameters.advert_after(now);
            self.actions.push_back(Action::Advertise(priority));
        }
    }

    /// In a handover it counts who speaks, not with which priority; `None` for all others.
    pub(super) fn heard_in_handover(&self, now: Instant, heard: Heard) -> Option<Event> {
        let State::Master(master) = &self.state else { return None };
        if heard.priority.is_resign() || heard.sender == self.source {
            return None;
        }
        let speaks = |part: Option<(Ipv4Addr, Instant)>| {
            part.is_some_and(|(node, until)| (node == heard.sender || node == ANYBODY) && now < until)
        };
        if speaks(master.handover.yield_to) && !self.parameters.priority.is_owner() {
            Some(Event::HeardSuccessor)
        } else {
            speaks(master.handover.former).then_some(Event::HeardLower)
        }
    }

    /// Says and announces once more that it rules now.
    pub(super) fn confirm_handover(&mut self, now: Instant) {
        let (parameters, priority) = (self.parameters, self.priority());
        let State::Master(master) = &mut self.state else { return };
        if master.handover.confirm.take_if(|at| now >= *at).is_some() {
            master.next_advert = parameters.advert_after(now);
            self.actions.push_back(Action::Advertise(priority));
            self.actions.push_back(Action::Announce { rounds: parameters.announce.lower_prio_rounds.max(1) });
        }
    }
}

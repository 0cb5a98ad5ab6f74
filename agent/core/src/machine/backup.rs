//! A backup's timer: whom to follow, and when to take over.

use super::action::Action;
use super::input::Preemption;
use super::reason::TakeoverCause;
use super::state::{Backup, State};
use super::{Machine, Parameters};
use crate::interval::skew_v2;
use crate::priority::Priority;
use crate::receive::Heard;
use crate::time::{Duration, Instant};

/// How much longer a backup waits per point of priority that it lacks, so that of several
/// candidates the best one speaks first and the others hear it. More than the latency and the
/// reaction time of a local network; small enough that a neighbour by priority acts at once.
pub(super) const STAGGER_PER_PRIORITY: Duration = Duration::from_micros(500);

impl Backup {
    /// The first wait after start.
    pub(super) fn start(&mut self, now: Instant, wait: Duration, adopted: bool) {
        self.master_down = now + wait;
        self.adopted = adopted;
    }

    /// What an expired timer means; `None` while it runs.
    pub(super) fn expired(&self, now: Instant) -> Option<TakeoverCause> {
        (now >= self.master_down).then_some(self.cause)
    }

    /// A priority or interval changed: moves the running timer by the difference.
    pub(super) fn shift(&mut self, now: Instant, before: Duration, after: Duration) {
        match self.cause {
            TakeoverCause::Silence | TakeoverCause::MasterSilent(_) => {
                self.master_down = (self.master_down + (after - before) - (before - after)).max(now);
            }
            TakeoverCause::Resigned(_) | TakeoverCause::HandedOver(_) => {}
            // Whether this takeover is still wanted is for the next advert to decide.
            TakeoverCause::LowerPriority(heard) => {
                self.master_down = now + after;
                self.cause = TakeoverCause::MasterSilent(heard.sender);
            }
        }
    }

    /// Whether `sender` speaks while another master, of priority `lowest` at least, lives: it is
    /// then the loser of a split brain, and not ours to replace.
    fn has_better_master_than(&self, sender: Heard, lowest: Priority, now: Instant, alive: Duration) -> bool {
        self.master.is_some_and(|(master, at)| {
            master.sender != sender.sender && master.priority >= lowest && now.since(at) < alive
        })
    }

    /// Whether the running timer is the promise of somebody else than `sender`.
    fn relies_on_other_than(&self, sender: Heard) -> bool {
        matches!(self.cause, TakeoverCause::MasterSilent(other) if other != sender.sender)
    }

    /// The priority that bounds every candidate: the last master that ruled with our consent.
    /// Unknown (we just started): the highest there can be.
    fn candidates_bound(&self, ours: Priority) -> Priority {
        let bound = self.master.map(|(master, _)| master.priority).filter(|priority| *priority >= ours);
        bound.unwrap_or(Priority::OWNER)
    }

    fn take_over_at(&mut self, at: Instant, cause: TakeoverCause) {
        if at < self.master_down {
            self.master_down = at;
            self.cause = cause;
        }
    }
}

impl Parameters {
    /// A living master of this priority is left to rule.
    const fn lowest_respected(&self) -> Priority {
        match self.preemption {
            Preemption::After(_) => self.priority,
            Preemption::Never => Priority::RESIGN,
        }
    }

    fn stagger(&self, bound: Priority) -> Duration {
        STAGGER_PER_PRIORITY.times(u64::from(bound.get().saturating_sub(self.priority.get())))
    }
}

impl Machine {
    /// Its word counts: start the master-down timer anew. What a killed predecessor left behind is
    /// not ours then.
    pub(super) fn follow(&mut self, now: Instant, heard: Heard) {
        if heard.priority.is_resign() {
            return; // a reflection of our own farewell is nobody's promise to rule
        }
        let master_down = self.parameters.master_down();
        let State::Backup(backup) = &mut self.state else { return };
        backup.master_down = now + master_down;
        backup.cause = TakeoverCause::MasterSilent(heard.sender);
        backup.master = Some((heard, now));
        backup.preempt_after = None;
        self.give_up_adopted();
    }

    fn give_up_adopted(&mut self) {
        if let State::Backup(backup) = &mut self.state
            && core::mem::take(&mut backup.adopted)
        {
            self.actions.push_back(Action::Release);
        }
    }

    /// The master leaves: the skew lets the best backup speak first.
    pub(super) fn await_skew(&mut self, now: Instant, heard: Heard) {
        let parameters = self.parameters;
        let State::Backup(backup) = &mut self.state else { return };
        let alive = parameters.interval.duration().times(2);
        let heard_last = backup.master_down - parameters.master_down();
        let other_master_lives = backup.relies_on_other_than(heard) && now.since(heard_last) < alive
            || backup.has_better_master_than(heard, parameters.lowest_respected(), now, alive);
        // A second farewell, or a copy of the first, must not make us wait longer.
        let waits = matches!(backup.cause, TakeoverCause::Resigned(_));
        if !other_master_lives && !waits {
            backup.master_down = now + skew_v2(parameters.priority);
            backup.cause = TakeoverCause::Resigned(heard.sender);
        } else if backup.cause == TakeoverCause::MasterSilent(heard.sender)
            && let Some((other, at)) = backup.master.filter(|(other, _)| other.sender != heard.sender)
        {
            // Its promise is void; what counts is that of the other one.
            backup.master_down = at + parameters.master_down();
            backup.cause = TakeoverCause::MasterSilent(other.sender);
        }
        // Who left counts no longer as the better master when a lower one speaks.
        backup.master = backup.master.filter(|(master, _)| master.sender != heard.sender);
    }

    /// Without preemption any living master is good enough: restart the timer. Of two that are
    /// heard the one that will win stays the known one.
    fn tolerate(&mut self, now: Instant, heard: Heard) {
        let alive = self.parameters.master_down();
        let State::Backup(backup) = &mut self.state else { return };
        backup.master_down = now + alive;
        backup.cause = TakeoverCause::MasterSilent(heard.sender);
        let known_is_better = backup.master.is_some_and(|(known, at)| {
            let beats = (known.priority, known.sender) > (heard.priority, heard.sender);
            known.sender != heard.sender && beats && now.since(at) < alive
        });
        if !known_is_better {
            backup.master = Some((heard, now));
        }
        self.give_up_adopted();
    }

    /// A master of lower priority lives.
    ///
    /// RFC 3768 lets the timer run on, which costs up to three intervals. Nobody with a better
    /// claim is silent that long: unless told otherwise, take over after a short stagger.
    pub(super) fn consider_takeover(&mut self, now: Instant, heard: Heard) {
        let parameters = self.parameters;
        let Preemption::After(delay) = parameters.preemption else { return self.tolerate(now, heard) };
        let State::Backup(backup) = &mut self.state else { return };
        let alive = parameters.master_down();
        if backup.has_better_master_than(heard, parameters.priority, now, alive) {
            return;
        }
        let not_before = backup.preempt_after.unwrap_or(now + delay);
        if now < not_before {
            backup.preempt_after = Some(not_before);
            backup.master_down = now + alive;
            backup.cause = TakeoverCause::MasterSilent(heard.sender);
        }
        if parameters.fast_takeover {
            let at = not_before.max(now) + parameters.stagger(backup.candidates_bound(parameters.priority));
            backup.take_over_at(at, TakeoverCause::LowerPriority(heard));
        } else if not_before <= now {
            // The RFC's way: the running timer decides, and this is what its expiry will mean.
            backup.cause = TakeoverCause::LowerPriority(heard);
        }
        if !delay.is_zero() {
            self.give_up_adopted();
        }
    }
}

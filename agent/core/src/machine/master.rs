//! A master's duties: adverts on schedule, announcements, and an answer to rivals.

use super::action::{Action, Note};
use super::handover::Handover;
use super::state::{Master, State};
use super::{Machine, Parameters};
use crate::receive::Heard;
use crate::time::{Duration, Instant};

/// A rival is answered at most this often, however fast it speaks: the answer is multicast and
/// reaches all rivals at once. One that came too soon is made up for: it may have been the rival's last
/// word, after announcements that must not stand.
pub(super) const INSIST_INTERVAL_MIN: Duration = Duration::from_millis(100);

impl Parameters {
    /// When a master speaks next that spoke at `now` and begins its schedule there.
    pub(super) fn advert_after(&self, now: Instant) -> Instant {
        let interval = self.interval.duration();
        now + (interval - self.phase.min(Duration::from_micros(interval.as_micros() / 4)))
    }

    /// The duties of a master that begins to rule at `now`.
    pub(super) fn master_since(&self, now: Instant) -> Master {
        let announce = &self.announce;
        let later = |delay: Duration| (!delay.is_zero()).then(|| now + delay);
        Master {
            next_advert: self.advert_after(now),
            second_burst: later(announce.master_delay).map(|at| (at, announce.master_rounds)),
            refresh: later(announce.refresh),
            since: now,
            lowered: None,
            insisted: None,
            owed_answer: None,
            handover: Handover::default(),
        }
    }
}

impl Master {
    /// A fall of the priority is not said yet. Any advert says it, and moves the next one beyond.
    pub(super) fn owes_fall(&self) -> bool {
        self.lowered.is_some_and(|at| self.next_advert <= at)
    }
}

impl Machine {
    /// Serves every duty that is due.
    pub(super) fn tick_master(&mut self, now: Instant) {
        let (parameters, priority) = (self.parameters, self.priority());
        let State::Master(master) = &mut self.state else { return };
        if now >= master.next_advert {
            let interval = parameters.interval.duration();
            let missed = now.since(master.next_advert).as_micros() / interval.as_micros();
            // From the schedule, not from the late moment; whole missed intervals are not made up.
            master.next_advert += interval.times(missed + 1);
            self.actions.push_back(Action::Advertise(priority));
            if missed > 0 {
                self.actions.push_back(Action::Note(Note::AdvertsMissed(missed.min(u32::MAX.into()) as u32)));
            }
        }
        let owed = master.owed_answer.is_some_and(|at| now >= at);
        if let Some((_, rounds)) = master.second_burst.take_if(|(at, _)| now >= *at) {
            self.actions.push_back(Action::Announce { rounds });
        }
        if master.refresh.is_some_and(|at| now >= at) {
            let refresh = parameters.announce.refresh;
            master.refresh = (!refresh.is_zero()).then(|| now + refresh);
            self.actions.push_back(Action::Announce { rounds: parameters.announce.refresh_rounds });
        }
        if owed {
            self.answer(now);
        }
        self.confirm_handover(now);
    }

    /// Speaks at once; the schedule starts anew from here.
    pub(super) fn advertise_now(&mut self, now: Instant) {
        let (parameters, priority) = (self.parameters, self.priority());
        let State::Master(master) = &mut self.state else { return };
        if master.insisted.is_some_and(|at| now.since(at) < INSIST_INTERVAL_MIN) {
            return;
        }
        master.insisted = Some(now);
        master.next_advert = parameters.advert_after(now);
        self.actions.push_back(Action::Advertise(priority));
    }

    /// Its priority fell: somebody better may be there and must not wait for up to an interval to hear it.
    /// A priority that keeps falling is said as often as a rival is answered, and no later for that.
    pub(super) fn priority_fell(&mut self, now: Instant) {
        let (parameters, priority) = (self.parameters, self.priority());
        let State::Master(master) = &mut self.state else { return };
        let soon = now + parameters.lowered_advert_delay;
        let at = match master.lowered {
            Some(owed) if master.owes_fall() => owed,
            Some(said) => soon.max(said + INSIST_INTERVAL_MIN),
            None => soon,
        };
        master.lowered = Some(at);
        master.next_advert = at;
        if at <= now {
            master.next_advert = parameters.advert_after(now);
            self.actions.push_back(Action::Advertise(priority));
        }
    }

    /// Another master says that it leaves. It may have answered requests for the MAC until now.
    pub(super) fn answer_farewell(&mut self, now: Instant) {
        let owed = self.actions.len();
        self.advertise_now(now);
        if self.actions.len() > owed {
            self.actions.push_back(Action::Announce { rounds: self.parameters.announce.lower_prio_rounds });
        }
    }

    /// A rival speaks: clients may have learned its MAC, so answer and announce, now and again
    /// when it has had time to let go.
    pub(super) fn insist(&mut self, now: Instant, heard: Heard) {
        let State::Master(master) = &mut self.state else { return };
        if let Some(at) = master.insisted.filter(|at| now.since(*at) < INSIST_INTERVAL_MIN) {
            master.owed_answer = Some(at + INSIST_INTERVAL_MIN);
            return;
        }
        // Right after a takeover it is the former master's last word: expected, not remarkable.
        if now.since(master.since) >= self.parameters.interval.duration() {
            self.actions.push_back(Action::Note(Note::RivalHeard(heard)));
        }
        self.answer(now);
    }

    fn answer(&mut self, now: Instant) {
        let (parameters, priority) = (self.parameters, self.priority());
        let State::Master(master) = &mut self.state else { return };
        master.insisted = Some(now);
        master.owed_answer = None;
        let announce = parameters.announce;
        if !announce.lower_prio_delay.is_zero() {
            master.second_burst = Some((now + announce.lower_prio_delay, announce.lower_prio_rounds));
        }
        if !parameters.lower_prio_no_advert {
            master.next_advert = parameters.advert_after(now);
            self.actions.push_back(Action::Advertise(priority));
        }
        self.actions.push_back(Action::Announce { rounds: announce.lower_prio_rounds });
    }
}

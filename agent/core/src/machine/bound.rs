//! A member of a sync group: it does not rule before the [group](crate::group) does.

use super::Machine;
use super::handover::Preparing;
use super::reason::TakeoverCause;
use super::state::{Backup, State};
use crate::interval::skew_v2;
use crate::time::{Duration, Instant};

impl Machine {
    /// Why it would rule now, if it only could; `None` for all but a backup.
    pub fn would_rule(&self, now: Instant) -> Option<TakeoverCause> {
        let State::Backup(backup) = &self.state else { return None };
        match backup.preparing {
            Some(Preparing { from, claimed: true, .. }) => Some(TakeoverCause::HandedOver(from)),
            Some(_) | None => backup.expired(now),
        }
    }

    /// Whether [`Input::GroupHastens`](super::Input::GroupHastens) would shorten what it waits for.
    pub fn can_hasten(&self) -> bool {
        match &self.state {
            State::Backup(backup) => self.hastened(backup).is_some_and(|at| at < backup.master_down),
            State::Initialize | State::Master(_) | State::Fault => false,
        }
    }

    pub(super) fn bind(&mut self, now: Instant, bound: bool) {
        self.bound = bound;
        if let (false, State::Backup(backup)) = (bound, &mut self.state) {
            backup.stands_by = None;
            if backup.preparing.is_some_and(|preparing| preparing.claimed) {
                self.rule_as_asked(now);
            }
        }
    }

    /// Could rule, and the group knows. A takeover that is prepared still has its limit.
    pub(super) fn stand_by(&mut self, now: Instant) {
        self.give_up_late_takeover(now);
        if let State::Backup(backup) = &mut self.state {
            backup.stands_by = Some(backup.master_down);
        }
    }

    pub(super) fn rule_with_group(&mut self, now: Instant) {
        match self.would_rule(now) {
            Some(TakeoverCause::HandedOver(_)) => self.rule_as_asked(now),
            Some(cause) => self.master_down(now, cause),
            None => {}
        }
    }

    pub(super) fn hasten(&mut self, now: Instant) {
        let State::Backup(backup) = &self.state else { return };
        let Some(at) = self.hastened(backup) else { return };
        if let State::Backup(backup) = &mut self.state {
            backup.master_down = backup.master_down.min(at.max(now));
        }
    }

    /// When the next advert of its master is late: an interval and some grace after the last one.
    fn hastened(&self, backup: &Backup) -> Option<Instant> {
        let TakeoverCause::MasterSilent(master) = backup.cause else { return None };
        let (_, heard_at) = backup.master.filter(|(heard, _)| heard.sender == master)?;
        let interval = self.parameters.interval.duration();
        let grace = skew_v2(self.parameters.priority).max(Duration::from_micros(interval.as_micros() / 4));
        Some(heard_at + interval + grace)
    }
}

//! Sync groups: virtual routers that change hands together.
//!
//! ```text
//!   Machine (member 1) --.                                .--> Input of member 1
//!   Machine (member 2) --+-- Member, each --> Group::step-+--> Input of member 2
//!   Machine (member 3) --'                                '--> ... until it has none left
//! ```
//!
//! A member is a [`Machine`] that was told [`Input::Bind`]: it elects as ever, but stands by when it
//! could rule. The group looks at how its members *stand*, not at what happened to them, so nothing
//! can be missed: whoever feeds a member calls [`Group::step`] afterwards, feeds what it says and
//! calls it again, in one go, until it says nothing. The adverts of all members then leave together.
//!
//! | members                                              | what the group does                                  |
//! |------------------------------------------------------|------------------------------------------------------|
//! | one has a fault of its own                           | all others: [`Fault::Group`], so priority 0 for all  |
//! | its own faults are cleared                           | the others': cleared; all are backups                |
//! | two have faults of their own                         | both have [`Fault::Group`] too; neither by the other's `Group` |
//! | all could rule (silence, priority 0, lower and preempted, asked and claimed) | all rule                     |
//! | some could, others follow a master or may not preempt| nobody rules: no side is taken that must be given back |
//! | one could because its master left (priority 0)       | the others wait for one advert, not for three        |
//! | one that ruled gave way (better master, asked, told) | the others give way with priority 0                  |
//! | a new one beside those that rule                     | they rule on; it joins when it could rule            |
//! | a new one, and it follows a master                   | the others give way with priority 0                  |
//! | one does not run                                     | it is not counted, but nobody begins to rule before  |
//!
//! Preemption is thus the group's: it waits for the longest delay, and one member with `nopreempt` or
//! the lower priority keeps all from it. Members may differ in priority. Two nodes of which each is
//! better on one network could unseat each other in the same instant for ever: after having ruled for
//! less than [`BRIEF_INTERVALS`] a group waits before the next try, as long as its address and the
//! number of tries make it, so the nodes fall out of step and the first one is left to rule.

mod hindrance;

pub use hindrance::Hindrance;

use crate::machine::{Fault, Faults, Input, Machine, State, StateKind, TakeoverCause};
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

/// A reign shorter than this many advert intervals was a collision.
pub const BRIEF_INTERVALS: u64 = 2;

/// The wait after a collision is at most 2 to this power quarters of an interval.
const BACKOFF_MAX_EXPONENT: u32 = 4;

/// How one member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its state.
    pub state: StateKind,
    /// All of its faults.
    pub faults: Faults,
    /// A backup that would rule if it were alone, and why.
    pub would_rule: Option<TakeoverCause>,
    /// A backup that waits for the adverts of a master that lives, as far as it knows.
    pub follows: bool,
    /// A backup that was asked to rule and claims its addresses.
    pub prepares: bool,
    /// [`Input::GroupHastens`] would shorten that wait.
    pub can_hasten: bool,
    /// Time between adverts.
    pub interval: Duration,
    /// Differs from node to node.
    pub seed: u32,
}

impl Member {
    /// How `machine` stands at `now`.
    pub fn of(machine: &Machine, now: Instant) -> Self {
        let would_rule = machine.would_rule(now);
        let (follows, prepares) = match machine.state() {
            State::Backup(backup) => {
                let follows = matches!(backup.cause, TakeoverCause::MasterSilent(_));
                (would_rule.is_none() && follows, backup.preparing.is_some())
            }
            State::Initialize | State::Master(_) | State::Fault => (false, false),
        };
        Self {
            state: machine.state().kind(),
            faults: machine.faults(),
            would_rule,
            follows,
            prepares,
            can_hasten: machine.can_hasten(),
            interval: machine.parameters().interval.duration(),
            seed: machine.source().to_bits(),
        }
    }

    fn is_running(&self) -> bool {
        self.state != StateKind::Initialize
    }

    /// It lacks something itself.
    fn is_unable(&self) -> bool {
        self.is_running() && !self.faults.without(Fault::Group).is_empty()
    }

    fn rules(&self) -> bool {
        self.state == StateKind::Master
    }
}

/// What a group remembers beside its members. See the [module](self) for the rules.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// One per member: it rules with the group, or did until a moment ago.
    joined: Vec<bool>,
    /// Since when it rules.
    since: Option<Instant>,
    /// Brief reigns in a row.
    collisions: u32,
    /// Does not begin to rule before.
    not_before: Instant,
}

impl Group {
    /// What to tell which member (by its place in `members`); nothing when all is as it should be.
    ///
    /// `members` are in the same order and number in every call for this group.
    #[must_use]
    pub fn step(&mut self, now: Instant, members: &[Member]) -> Vec<(usize, Input)> {
        let faults = share_faults(members);
        if !faults.is_empty() {
            return faults;
        }
        self.note_who_rules(now, members);
        if self.is_broken(members) {
            self.ends(now, members);
            return tell(members, Member::rules, Input::GroupYields);
        }
        if self.since.is_some() {
            return tell(members, |member| member.would_rule.is_some(), Input::GroupRules);
        }
        if members.iter().all(|member| member.would_rule.is_some()) {
            let asked = |member: &Member| matches!(member.would_rule, Some(TakeoverCause::HandedOver(_)));
            let due = now >= self.not_before || members.iter().any(asked);
            return tell(members, |_| due, Input::GroupRules);
        }
        let left = |member: &Member| matches!(member.would_rule, Some(TakeoverCause::Resigned(_)));
        let hurries = members.iter().any(left);
        tell(members, |member| hurries && member.can_hasten, Input::GroupHastens)
    }

    /// When to call [`Group::step`] although nothing happened.
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        Some(self.not_before).filter(|at| self.since.is_none() && *at > now)
    }

    /// How the group stands, once [`Group::step`] says nothing more.
    pub fn state(&self, members: &[Member]) -> StateKind {
        if members.iter().any(|member| member.state == StateKind::Fault) {
            StateKind::Fault
        } else if self.since.is_some() {
            StateKind::Master
        } else if members.iter().any(Member::is_running) {
            StateKind::Backup
        } else {
            StateKind::Initialize
        }
    }

    fn note_who_rules(&mut self, now: Instant, members: &[Member]) {
        self.joined.resize(members.len(), false);
        for (joined, member) in self.joined.iter_mut().zip(members) {
            *joined = member.rules() || *joined && member.is_running();
        }
        if !self.joined.contains(&true) {
            self.since = None; // those that ruled were stopped
        } else if self.since.is_none() {
            self.since = Some(now);
        }
    }

    /// One of those that ruled does not any more, or a new one never will beside them.
    fn is_broken(&self, members: &[Member]) -> bool {
        let mut seats = self.joined.iter().zip(members);
        let apart = |(joined, member): (&bool, &Member)| match member.state {
            StateKind::Initialize | StateKind::Master => false,
            StateKind::Fault => true,
            StateKind::Backup => *joined || member.follows,
        };
        self.since.is_some() && seats.any(apart)
    }

    fn ends(&mut self, now: Instant, members: &[Member]) {
        let interval = members.iter().map(|member| member.interval).max().unwrap_or_default();
        let reign = self.since.take().map(|since| now.since(since)).unwrap_or_default();
        self.joined.fill(false);
        let collided = reign < interval.times(BRIEF_INTERVALS) && !members.iter().any(Member::is_unable);
        self.collisions = if collided { self.collisions.saturating_add(1) } else { 0 };
        let choices = 1 << self.collisions.min(BACKOFF_MAX_EXPONENT);
        let seed = members.first().map_or(0, |member| member.seed);
        let quarters = scatter(seed, self.collisions) % choices;
        self.not_before = now + Duration::from_micros(interval.as_micros() / 4 * u64::from(quarters));
    }
}

/// A failure keeps all from ruling but is nobody's own: what a member has of it is not passed on.
fn share_faults(members: &[Member]) -> Vec<(usize, Input)> {
    let unable = members.iter().filter(|member| member.is_unable()).count();
    let told = members.iter().enumerate().filter(|(_, member)| member.is_running());
    told.filter_map(|(place, member)| {
        let others = unable - usize::from(member.is_unable());
        match (others > 0, member.faults.contains(Fault::Group)) {
            (true, false) => Some((place, Input::Fault(Fault::Group))),
            (false, true) => Some((place, Input::FaultCleared(Fault::Group))),
            (true, true) | (false, false) => None,
        }
    })
    .collect()
}

fn tell(members: &[Member], whom: impl Fn(&Member) -> bool, what: Input) -> Vec<(usize, Input)> {
    let told = members.iter().enumerate().filter(|(_, member)| whom(member));
    told.map(|(place, _)| (place, what)).collect()
}

/// A number that two nodes hardly ever have in common twice in a row.
fn scatter(seed: u32, round: u32) -> u32 {
    let mut mixed = seed ^ round.wrapping_mul(0x9e37_79b9);
    for factor in [0x85eb_ca6b, 0xc2b2_ae35_u32] {
        mixed = (mixed ^ mixed >> 15).wrapping_mul(factor);
    }
    mixed >> 16
}

#[cfg(test)]
mod tests;

//! What a tracker found, as the beginning of the story of all that follows from it. Pure.
//!
//! ```text
//!   desk, links -- Verdict{trail} --> Transition, agent.give_to_the_better: children of that trail
//!                      `---- Event, Fact::Verdict ----> log, span `track.verdict`: the trail itself
//! ```
//!
//! It goes along with the command that it causes, so whoever tells of a change knows its cause however
//! the events overtake each other.

use super::view::Seen;
use crate::story::Trail;
use hacluster_core::priority::Priority;
use hacluster_core::time::{Duration, Instant};
use hacluster_core::track::Reading;
use hacluster_net::clock;
use std::sync::Arc;

/// Changes of a priority that are remembered.
const MOVES_MAX: usize = 8;
/// How long a changed priority may take to have its effect; the longest `preempt_delay`.
const EFFECT_MAX: Duration = Duration::from_secs(1_000);

/// Something that is tracked is good or bad now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Kind and name of the tracker.
    pub name: String,
    /// What is known.
    pub reading: Reading,
    /// All who track it are content with that (`reverse` wants it bad).
    pub wanted: bool,
    /// What was seen.
    pub why: Arc<str>,
    /// When it was known.
    pub at: Instant,
    /// How long the try took that decided it, where that means anything.
    pub took: Duration,
    /// The story that begins with it.
    pub trail: Trail,
}

impl Verdict {
    /// Known now.
    pub(crate) fn now(name: impl Into<String>, reading: Reading, why: Arc<str>) -> Self {
        let (at, trail) = (clock::now(), Trail::begin());
        let wanted = reading != Reading::Bad;
        Self { name: name.into(), reading, wanted, why, at, took: Duration::ZERO, trail }
    }

    /// Of what a probe saw of the tracker called `name`, known now; whether all who track it want it so.
    pub(super) fn of(name: String, seen: &Seen, wanted: bool) -> Self {
        let micros = seen.took.map_or(0, |took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        Self {
            wanted,
            took: Duration::from_micros(micros),
            ..Self::now(name, seen.reading, seen.why.clone())
        }
    }

    /// Whether it is known, and as it should be.
    pub fn is_good(&self) -> bool {
        self.wanted && self.reading != Reading::Unknown
    }
}

/// What verdicts made of a priority, latest last; the last few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves(Arc<[Moved]>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Moved {
    before: Priority,
    after: Priority,
    by: Arc<Verdict>,
}

impl Moves {
    /// With one more, where it is one.
    pub(crate) fn note(&mut self, before: Priority, after: Priority, by: &Arc<Verdict>) {
        if before != after {
            let surplus = (self.0.len() + 1).saturating_sub(MOVES_MAX);
            let moved = Moved { before, after, by: by.clone() };
            self.0 = self.0.iter().skip(surplus).cloned().chain([moved]).collect();
        }
    }

    /// The verdict that made the priority lower, or higher, than `other`, if that was not before `since`:
    /// whatever it was to bring about before has happened.
    pub(crate) fn across(&self, other: Priority, since: Instant, now: Instant) -> Option<&Arc<Verdict>> {
        let crosses = |moved: &&Moved| moved.before.cmp(&other) != moved.after.cmp(&other);
        let moved = self.0.iter().rev().find(crosses)?;
        let counts = moved.by.at >= since && now.since(moved.by.at) < EFFECT_MAX;
        counts.then_some(&moved.by)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn verdict(name: &str, seconds: u64) -> Arc<Verdict> {
        let at = Instant::ZERO + Duration::from_secs(seconds);
        Arc::new(Verdict { at, ..Verdict::now(name, Reading::Bad, "exit 1".into()) })
    }

    fn moves(of: &[(u8, u8, &str, u64)]) -> Moves {
        let mut moves = Moves::default();
        for (before, after, name, at) in of {
            moves.note(Priority::from_wire(*before), Priority::from_wire(*after), &verdict(name, *at));
        }
        moves
    }

    fn across(moves: &Moves, other: u8, since: u64, now: u64) -> Option<String> {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        moves.across(Priority::from_wire(other), at(since), at(now)).map(|verdict| verdict.name.clone())
    }

    #[test]
    fn the_cause_is_the_verdict_that_crossed_the_other_priority() {
        let moves = moves(&[(100, 90, "one", 10), (90, 70, "two", 11), (70, 60, "three", 12)]);
        assert_eq!(across(&moves, 80, 5, 13).as_deref(), Some("two"));
        assert_eq!(across(&moves, 95, 5, 13).as_deref(), Some("one"));
        assert_eq!(across(&moves, 60, 5, 13).as_deref(), Some("three"), "equal is not higher");
        assert_eq!(across(&moves, 110, 5, 13), None, "that was higher all the time");
    }

    #[test]
    fn what_has_had_its_effect_or_waited_too_long_is_no_cause() {
        let moves = moves(&[(100, 70, "one", 10)]);
        assert_eq!(across(&moves, 80, 11, 12), None, "the state changed since");
        assert_eq!(across(&moves, 80, 5, 2_000), None);
    }

    #[test]
    fn moves_are_bounded_and_a_standstill_is_none() {
        let mut many = moves(&[(100, 100, "none", 1)]);
        assert_eq!(many, Moves::default());
        for number in 0..100 {
            many.note(Priority::from_wire(100 - number), Priority::from_wire(99 - number), &verdict("x", 1));
        }
        assert_eq!(many.0.len(), MOVES_MAX);
    }
}

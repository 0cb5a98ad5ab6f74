//! What a tracker says, and what all trackers of a router together do to it.

use super::Moves;
use arc_swap::ArcSwap;
use hacluster_conf::model::TrackerId;
use hacluster_core::track::Reading;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What was seen last, and what it means.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What is known.
    pub reading: Reading,
    /// Since when it is so.
    pub since: SystemTime,
    /// What was seen last: `exit 1: "no process"`.
    pub why: Arc<str>,
    /// When that was; none before the first look.
    pub at: Option<SystemTime>,
    /// How long the last try took, where that means anything.
    pub took: Option<Duration>,
    /// So many results in a row speak against the reading, of so many that would change it.
    pub against: (u32, u32),
    /// The latest run, where a program is run.
    pub ran: Option<Ran>,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// `exit 1`.
    pub end: Arc<str>,
    /// The end of what it wrote, on one line.
    pub output: Arc<str>,
}

impl Seen {
    /// Before the first look.
    pub(super) fn nothing(reading: Reading, why: &str) -> Self {
        Self {
            reading,
            since: SystemTime::now(),
            why: why.into(),
            at: None,
            took: None,
            against: (0, 0),
            ran: None,
        }
    }
}

/// How those who use a tracker want it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) good: bool,
    /// By those who turn it round (`reverse`).
    pub(super) bad: bool,
}

/// A tracker as a status shows it. Always what is known now, however old this copy is.
#[derive(Clone, Debug)]
pub struct View {
    /// Which.
    pub id: TrackerId,
    wanted: Wanted,
    latest: Arc<ArcSwap<Seen>>,
}

impl View {
    pub(super) fn new(id: TrackerId, seen: Seen) -> Self {
        Self { id, wanted: Wanted { good: true, bad: false }, latest: Arc::new(ArcSwap::from_pointee(seen)) }
    }

    /// What is known now.
    pub fn seen(&self) -> Arc<Seen> {
        self.latest.load_full()
    }

    /// The same for those who want it so.
    pub(super) fn wanted(self, wanted: Wanted) -> Self {
        Self { wanted, ..self }
    }

    /// Whether everybody who uses it is content with `reading`.
    pub fn is_wanted(&self, reading: Reading) -> bool {
        match reading {
            Reading::Good => !self.wanted.bad,
            Reading::Bad => !self.wanted.good,
            Reading::Unknown | Reading::Number(_) => true,
        }
    }

    pub(super) fn put(&self, seen: Seen) {
        self.latest.store(Arc::new(seen));
    }
}

/// What all trackers of a router together do to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracked {
    /// Added to its priority.
    pub points: i32,
    /// Why it must not rule.
    pub fault: Option<Arc<str>>,
    /// Something is not known yet that could be a fault.
    pub wait: bool,
    /// What adds or takes points, by name.
    pub causes: Arc<[Cause]>,
    /// What verdicts made of the priority lately; the protocol thread keeps it.
    pub moves: Moves,
}

/// One part of a router's points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Kind and name of the tracker.
    pub name: String,
    /// Points.
    pub difference: i32,
    /// What was seen.
    pub text: Arc<str>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacluster_conf::model::TrackerKind;

    #[test]
    fn what_is_turned_round_is_wanted_bad() {
        let id = TrackerId { kind: TrackerKind::Script, name: "chk".to_owned() };
        let view = View::new(id, Seen::nothing(Reading::Unknown, ""));
        let of = |good, bad| {
            let view = view.clone().wanted(Wanted { good, bad });
            [Reading::Good, Reading::Bad, Reading::Unknown].map(|reading| view.is_wanted(reading))
        };
        assert_eq!(of(true, false), [true, false, true]);
        assert_eq!(of(false, true), [false, true, true]);
        assert_eq!(of(true, true), [false, false, true], "somebody is never content");
    }
}

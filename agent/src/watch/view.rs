//! What a tracker says, and what all trackers of a router together do to it.

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
}

impl Seen {
    /// Before the first look.
    pub(super) fn nothing(reading: Reading, why: &str) -> Self {
        Self { reading, since: SystemTime::now(), why: why.into(), at: None, took: None, against: (0, 0) }
    }
}

/// A tracker as a status shows it. Always what is known now, however old this copy is.
#[derive(Clone, Debug)]
pub struct View {
    /// Which.
    pub id: TrackerId,
    latest: Arc<ArcSwap<Seen>>,
}

impl View {
    pub(super) fn new(id: TrackerId, seen: Seen) -> Self {
        Self { id, latest: Arc::new(ArcSwap::from_pointee(seen)) }
    }

    /// What is known now.
    pub fn seen(&self) -> Arc<Seen> {
        self.latest.load_full()
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

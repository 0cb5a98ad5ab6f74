//! What is and what was: events folded into the state of every router and a ring of history. Pure.
//!
//! ```text
//!   Event --fold--> routers (facts, latest standing, addresses held)
//!            |----> history (what made a log line, numbered from 1)
//!            `----> Change: what subscribers have to be told
//! ```
//!
//! Contract: memory is bounded by routers and [`HISTORY_MAX`]; any order of events folds without
//! panic; a retelling makes the state true again whatever was lost before.

use crate::event::{Event, Identity, Level, Place, What};
use crate::fact::{Fact, GroupNow, Held, Setup, Standing};
use crate::in_force::InForce;
use crate::notify::LastHook;
use crate::story::Trail;
use crate::watch::{Tracked, View};
use hacluster_core::machine::{StateKind, Transition};
use hacluster_core::priority::Priority;
use hacluster_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Events that are remembered.
pub const HISTORY_MAX: usize = 1_024;

/// A moment on both clocks, to turn one into the other.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For people.
    pub wall: SystemTime,
    /// For the protocol.
    pub monotonic: Instant,
}

impl Moment {
    /// When `at` was, by the wall clock.
    pub fn wall_of(&self, at: Instant) -> SystemTime {
        let ago = Duration::from_micros(self.monotonic.since(at).as_micros());
        self.wall.checked_sub(ago).unwrap_or(self.wall)
    }
}

/// One remembered event.
#[derive(Clone, Debug)]
pub struct Record {
    /// Counts up from 1.
    pub sequence: u64,
    /// When it happened.
    pub at: SystemTime,
    /// Whom it concerns; the node when absent.
    pub router: Option<Arc<Identity>>,
    /// How much it matters.
    pub level: Level,
    /// The log line.
    pub text: String,
    /// Set when the state changed.
    pub transition: Option<(Transition, Priority)>,
    /// What the transition's reason cannot say: which tracker failed, and how.
    pub detail: Option<Arc<str>>,
    /// The story it belongs to.
    pub trail: Option<Trail>,
}

/// One router as far as known. Cheap to copy.
#[derive(Clone, Debug)]
pub struct RouterView {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// What it was told to be.
    pub setup: Arc<Setup>,
    /// Where it stands; absent for an instant after it was added.
    pub standing: Option<Standing>,
    /// When it entered its state.
    pub since: SystemTime,
    /// Which addresses are there.
    pub held: Arc<Held>,
    /// What is tracked does this to it.
    pub tracked: Arc<Tracked>,
    /// The sync group it belongs to, and how that stands.
    pub group: Option<Arc<GroupNow>>,
    /// What its last change of state says beyond its reason; see [`crate::event::explain`].
    pub detail: Option<Arc<str>>,
    /// The story of its last change of state.
    pub trail: Option<Trail>,
    /// The latest hook that told of it.
    pub notified: Option<Arc<LastHook>>,
}

impl RouterView {
    /// Its state.
    pub fn state(&self) -> StateKind {
        self.standing.map_or(StateKind::Initialize, |standing| standing.state)
    }
}

/// What subscribers have to be told.
#[derive(Clone, Debug)]
pub enum Change {
    /// Something happened, or is so now.
    Router {
        /// What made a log line.
        record: Option<Arc<Record>>,
        /// The router after it.
        router: Option<RouterView>,
    },
    /// Everything may have changed.
    Everything,
}

/// State and history of this node.
#[derive(Debug)]
pub struct Chronicle {
    /// The configuration in force.
    pub in_force: Arc<InForce>,
    /// Everything that is watched.
    pub trackers: Arc<[View]>,
    routers: BTreeMap<Place, RouterView>,
    history: VecDeque<Arc<Record>>,
    sequence: u64,
    /// Routers that a running retelling has not named yet.
    unconfirmed: BTreeSet<Place>,
}

impl Chronicle {
    /// Nothing happened yet.
    pub fn new(in_force: Arc<InForce>) -> Self {
        Self {
            in_force,
            trackers: Arc::new([]),
            routers: BTreeMap::new(),
            history: VecDeque::new(),
            sequence: 0,
            unconfirmed: BTreeSet::new(),
        }
    }

    /// Takes what happened; `now` is when it is told.
    pub fn fold(&mut self, event: &Event, now: Moment) -> Option<Change> {
        let place = event.router.as_deref().map(Identity::place);
        if let What::Fact(fact) = &event.what {
            return self.fold_fact(event.router.as_ref(), place, fact, now);
        }
        self.sequence += 1;
        let record = Arc::new(Record {
            sequence: self.sequence,
            at: now.wall_of(event.at),
            router: event.router.clone(),
            level: event.what.level(),
            text: event.what.to_string(),
            trail: event.trail,
            detail: match &event.what {
                What::Transition { detail, .. } => detail.clone(),
                _ => None,
            },
            transition: match event.what {
                What::Transition { transition, priority, .. } => Some((transition, priority)),
                _ => None,
            },
        });
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back(record.clone());
        let mut router = place.and_then(|place| self.routers.get_mut(&place));
        if let (Some(view), What::Transition { detail, .. }) = (&mut router, &event.what) {
            view.detail.clone_from(detail);
            view.trail = event.trail;
        }
        if let (Some(view), Some((transition, _))) = (&router, record.transition)
            && view.state() != transition.to
        {
            // The standing that says so comes next and is told with it.
            return Some(Change::Router { record: Some(record), router: None });
        }
        Some(Change::Router { record: Some(record), router: router.cloned() })
    }

    fn fold_fact(
        &mut self,
        identity: Option<&Arc<Identity>>,
        place: Option<Place>,
        fact: &Fact,
        now: Moment,
    ) -> Option<Change> {
        match (fact, identity, place) {
            (Fact::InForce(in_force), ..) => self.in_force = in_force.clone(),
            (Fact::Retelling, ..) => {
                self.unconfirmed = self.routers.keys().cloned().collect();
                return None;
            }
            (Fact::Retold, ..) => {
                for place in std::mem::take(&mut self.unconfirmed) {
                    self.routers.remove(&place);
                }
            }
            (Fact::Configured(setup), Some(identity), Some(place)) => {
                self.unconfirmed.remove(&place);
                self.configured(identity, place, setup, now);
                return None; // its standing follows
            }
            (Fact::Removed, _, Some(place)) => {
                self.routers.remove(&place)?;
            }
            (Fact::Standing(standing), _, Some(place)) => {
                let view = self.routers.get_mut(&place)?;
                if view.standing.is_none_or(|before| before.entered != standing.entered) {
                    view.since = now.wall_of(standing.entered);
                }
                view.standing = Some(*standing);
                return Some(Change::Router { record: None, router: Some(view.clone()) });
            }
            (Fact::Held(held), _, Some(place)) => {
                let view = self.routers.get_mut(&place)?;
                view.held = Arc::new(held.clone());
                return Some(Change::Router { record: None, router: Some(view.clone()) });
            }
            (Fact::Ordered, _, Some(place)) => {
                let router = self.routers.get(&place)?.clone();
                return Some(Change::Router { record: None, router: Some(router) });
            }
            (Fact::Ordered, _, None) => {}
            (Fact::Tracked(tracked), _, Some(place)) => {
                let view = self.routers.get_mut(&place)?;
                view.tracked = tracked.clone();
                return Some(Change::Router { record: None, router: Some(view.clone()) });
            }
            (Fact::Group(group), _, Some(place)) => {
                let view = self.routers.get_mut(&place)?;
                if view.group == *group {
                    return None;
                }
                view.group = group.clone();
                return Some(Change::Router { record: None, router: Some(view.clone()) });
            }
            (Fact::Notified(last), _, Some(place)) => {
                let view = self.routers.get_mut(&place)?;
                view.notified = Some(last.clone());
                return Some(Change::Router { record: None, router: Some(view.clone()) });
            }
            (Fact::Trackers(views), ..) => self.trackers = views.clone(),
            (
                Fact::Configured(_)
                | Fact::Removed
                | Fact::Standing(_)
                | Fact::Held(_)
                | Fact::Tracked(_)
                | Fact::Verdict(_)
                | Fact::Group(_)
                | Fact::Claimed(_)
                | Fact::Released(_)
                | Fact::Said(_)
                | Fact::Step(_)
                | Fact::Mailed(_)
                | Fact::Balanced(_)
                | Fact::Notified(_),
                ..,
            ) => return None,
        }
        Some(Change::Everything)
    }

    fn configured(&mut self, identity: &Arc<Identity>, place: Place, setup: &Arc<Setup>, now: Moment) {
        let before = self.routers.remove(&place);
        let held = before.as_ref().filter(|before| {
            before.setup.addresses == setup.addresses && before.setup.routes == setup.routes
        });
        let view = RouterView {
            identity: identity.clone(),
            setup: setup.clone(),
            held: held.map(|before| before.held.clone()).unwrap_or_default(),
            since: before.as_ref().map_or(now.wall, |before| before.since),
            notified: before.as_ref().and_then(|before| before.notified.clone()),
            tracked: before.as_ref().map(|before| before.tracked.clone()).unwrap_or_default(),
            group: before.as_ref().and_then(|before| before.group.clone()),
            detail: before.as_ref().and_then(|before| before.detail.clone()),
            trail: before.as_ref().and_then(|before| before.trail),
            standing: before.and_then(|before| before.standing),
        };
        self.routers.insert(place, view);
    }

    /// All routers, by name.
    pub fn routers(&self) -> Vec<RouterView> {
        let mut routers: Vec<_> = self.routers.values().cloned().collect();
        routers.sort_by(|one, other| one.identity.name.cmp(&other.identity.name));
        routers
    }

    /// The one at `place`.
    pub fn router(&self, place: &Place) -> Option<RouterView> {
        self.routers.get(place).cloned()
    }

    /// Number of the latest event; 0 before the first.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Remembered events after number `after`, oldest first, and how many of those are forgotten.
    pub fn since(&self, after: u64) -> (Vec<Arc<Record>>, u64) {
        let records = self.history.iter().filter(|record| record.sequence > after).cloned().collect();
        let oldest = self.history.front().map_or(self.sequence + 1, |record| record.sequence);
        (records, oldest.saturating_sub(after.saturating_add(1)))
    }
}

#[cfg(test)]
pub(crate) mod tests;

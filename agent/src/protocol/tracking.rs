//! What is tracked, and what it makes of a router: its priority, or a fault.
//!
//! ```text
//!   Command::Tracked (scripts, files, processes ...) --.
//!   Report::Interface (links, at once) ----------------+-- weigh --> Parameters, Fault::Tracked
//! ```

use super::engine::Engine;
use super::router::{Router, Story};
use crate::event::{Event, Place};
use crate::fact::Fact;
use crate::kernel::{InterfaceNow, RouterId};
use crate::watch::{Cause, Tracked, Verdict};
use hacluster_conf::model::{TrackerId, TrackerKind, VirtualRouter};
use hacluster_core::machine::{Fault, Input};
use hacluster_core::priority::Priority;
use hacluster_core::time::{Duration, Instant};
use hacluster_core::track::{Effect, Reading, sum};
use hacluster_net::clock;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What follows from a verdict at once follows within this.
const VERDICT_COUNTS: Duration = Duration::from_secs(1);

/// Interfaces by name as last reported: `None` does not exist, one never reported is missing here.
pub(super) type Links = BTreeMap<String, Option<InterfaceNow>>;

/// What a router knows of all that it tracks.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// As the watching thread said last.
    told: Tracked,
    /// All of it, links included.
    sum: Arc<Tracked>,
    /// The watching thread has yet to speak.
    silent: bool,
}

impl Watched {
    /// `silent`: nothing may begin before the watching thread has spoken.
    pub(super) fn new(silent: bool) -> Self {
        Self { silent, ..Self::default() }
    }

    /// Takes what the watching thread said, if it has spoken.
    pub(super) fn know(&mut self, told: Option<&Tracked>) {
        if let Some(told) = told {
            (self.told, self.silent) = (told.clone(), false);
        }
    }

    /// Whether the router must not start yet.
    pub(super) fn waits(&self) -> bool {
        self.silent || self.sum.wait
    }

    /// What makes it unable to rule.
    pub(super) fn fault(&self) -> Option<Arc<str>> {
        self.sum.fault.clone()
    }

    /// The priority that results from `base`.
    pub(super) fn priority(&self, base: Priority) -> Priority {
        sum(base, [Effect::Points(self.sum.points)]).priority
    }

    /// The verdict that put the priority on the other side of `other`, after `since`.
    pub(super) fn verdict(&self, other: Priority, since: Instant, now: Instant) -> Option<&Arc<Verdict>> {
        self.sum.moves.across(other, since, now)
    }

    /// For whoever asks.
    pub(super) fn fact(&self) -> Fact {
        Fact::Tracked(self.sum.clone())
    }

    /// Adds up; returns whether anything differs from before.
    fn add_up(&mut self, configured: &VirtualRouter, links: &Links) -> bool {
        let mut sum = Tracked { moves: self.sum.moves.clone(), ..self.told.clone() };
        let mut causes = sum.causes.to_vec();
        let interfaces = configured.tracked.iter().filter(|used| used.tracker.kind == TrackerKind::Interface);
        for used in interfaces {
            let (reading, text) = link(&used.tracker, links);
            // Without a weight a failure is a fault.
            match used.weight.unwrap_or_default().effect(reading) {
                Effect::Points(0) | Effect::Wait => {}
                Effect::Points(points) => {
                    sum.points = sum.points.saturating_add(points);
                    causes.push(Cause {
                        name: used.tracker.to_string(),
                        difference: points,
                        text: text.into(),
                    });
                }
                Effect::Fault => {
                    sum.fault.get_or_insert_with(|| format!("{}: {text}", used.tracker).into());
                }
            }
        }
        sum.causes = causes.into();
        let differs = *self.sum != sum;
        if differs {
            self.sum = Arc::new(sum);
        }
        differs
    }
}

fn link(tracker: &TrackerId, links: &Links) -> (Reading, &'static str) {
    match links.get(&tracker.name) {
        Some(Some(now)) if now.running => (Reading::Good, "it is up"),
        Some(Some(_)) => (Reading::Bad, "it is down or has no carrier"),
        Some(None) => (Reading::Bad, "it does not exist"),
        None => (Reading::Unknown, "it was not seen yet"),
    }
}

/// Interfaces that `router` tracks beside its own.
pub(super) fn interfaces(router: &VirtualRouter) -> impl Iterator<Item = &String> {
    let tracked = router.tracked.iter().map(|used| &used.tracker);
    tracked.filter(|tracker| tracker.kind == TrackerKind::Interface).map(|tracker| &tracker.name)
}

impl Router {
    /// What it does until this is undone follows from `verdict`. Gives the story that it had before.
    fn owes_to(&mut self, verdict: &Verdict) -> (Story, Option<Story>) {
        let until = clock::now() + VERDICT_COUNTS;
        let story = Story { trail: verdict.trail.child(), began: verdict.at, until };
        (story, self.story.replace(story))
    }

    /// Adds up what is tracked; returns whether that is news.
    fn add_up(&mut self, links: &Links, verdict: Option<&Arc<Verdict>>) -> bool {
        let before = self.parameters().priority;
        let news = self.watched.add_up(&self.configured, links);
        let after = self.parameters().priority;
        if let Some(verdict) = verdict.filter(|_| before != after) {
            Arc::make_mut(&mut self.watched.sum).moves.note(before, after, verdict);
        }
        news
    }
}

impl Engine {
    /// The watching thread has spoken.
    pub(super) fn tracked(&mut self, place: Place, tracked: Option<Tracked>, verdict: Option<&Arc<Verdict>>) {
        let known = tracked.clone().unwrap_or_default();
        if let Ok(id) = self.router_at(&place) {
            if let Some(router) = self.routers.get_mut(&id) {
                router.watched.know(Some(&known));
            }
            self.weigh(id, verdict);
        }
        match tracked {
            Some(tracked) => self.told.insert(place, tracked),
            None => self.told.remove(&place),
        };
    }

    /// An interface changed: whoever tracks it is weighed anew.
    pub(super) fn weigh_users_of(&mut self, interface: &str) {
        let uses = |router: &Router| interfaces(&router.configured).any(|name| name == interface);
        let users: Vec<RouterId> =
            self.routers.iter().filter(|(_, router)| uses(router)).map(|(id, _)| *id).collect();
        if users.is_empty() {
            return;
        }
        let tracker = TrackerId { kind: TrackerKind::Interface, name: interface.to_owned() };
        let (reading, text) = link(&tracker, &self.links);
        let verdict = Arc::new(Verdict::now(tracker.to_string(), reading, text.into()));
        let mut counts = false;
        for id in users {
            counts |= self.weigh(id, Some(&verdict));
        }
        if counts {
            let (at, trail) = (verdict.at, Some(verdict.trail));
            let what = Fact::Verdict(verdict).into();
            self.queues.events.send_or_drop(Event { at, router: None, what, trail });
        }
    }

    /// Draws the conclusions from everything the router tracks; `verdict` is what changed of that.
    /// Returns whether anything did.
    pub(super) fn weigh(&mut self, id: RouterId, verdict: Option<&Arc<Verdict>>) -> bool {
        let Some(router) = self.routers.get_mut(&id) else { return false };
        let news = router.add_up(&self.links, verdict);
        if news {
            router.tell(&self.queues.events, router.watched.fact());
        }
        let (parameters, fault) = (router.parameters(), router.watched.fault().is_some());
        let changes = *router.machine.parameters() != parameters;
        let stories = verdict.map(|verdict| router.owes_to(verdict));
        if changes {
            self.feed(id, clock::now(), Input::Parameters(parameters));
        }
        self.set_fault(id, Fault::Tracked, fault);
        if let Some((story, former)) = stories
            && let Some(router) = self.routers.get_mut(&id)
        {
            // A change has used it up.
            if router.story.is_some_and(|at_hand| at_hand.trail == story.trail) {
                router.story = former;
            }
        }
        self.start_when_ready(id);
        news
    }
}

//! What is tracked, and what it makes of a router: its priority, or a fault.
//!
//! ```text
//!   Command::Tracked (scripts, files, processes ...) --.
//!   Report::Interface (links, at once) ----------------+-- weigh --> Parameters, Fault::Tracked
//! ```

use super::engine::Engine;
use super::router::Router;
use crate::event::Place;
use crate::fact::Fact;
use crate::kernel::{InterfaceNow, RouterId};
use crate::watch::{Cause, Tracked};
use hacluster_conf::model::{TrackerId, TrackerKind, VirtualRouter};
use hacluster_core::machine::{Fault, Input};
use hacluster_core::priority::Priority;
use hacluster_core::track::{Effect, Reading, sum};
use hacluster_net::clock;
use std::collections::BTreeMap;
use std::sync::Arc;

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

    /// For whoever asks.
    pub(super) fn fact(&self) -> Fact {
        Fact::Tracked(self.sum.clone())
    }

    /// Adds up; returns whether anything differs from before.
    fn add_up(&mut self, configured: &VirtualRouter, links: &Links) -> bool {
        let mut sum = self.told.clone();
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

impl Engine {
    /// The watching thread has spoken.
    pub(super) fn tracked(&mut self, place: Place, tracked: Option<Tracked>) {
        let known = tracked.clone().unwrap_or_default();
        if let Ok(id) = self.router_at(&place) {
            if let Some(router) = self.routers.get_mut(&id) {
                router.watched.know(Some(&known));
            }
            self.weigh(id);
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
        for id in users {
            self.weigh(id);
        }
    }

    /// Draws the conclusions from everything the router tracks.
    pub(super) fn weigh(&mut self, id: RouterId) {
        let Some(router) = self.routers.get_mut(&id) else { return };
        if router.watched.add_up(&router.configured, &self.links) {
            router.tell(&self.queues.events, router.watched.fact());
        }
        let (parameters, fault) = (router.parameters(), router.watched.fault().is_some());
        if *router.machine.parameters() != parameters {
            self.feed(id, clock::now(), Input::Parameters(parameters));
        }
        self.set_fault(id, Fault::Tracked, fault);
        self.start_when_ready(id);
    }
}

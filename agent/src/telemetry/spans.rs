//! From events to spans: the story of a change of state as a tree. Pure but for the clock's anchor.
//!
//! ```text
//!   operator.failover                      asked by a person                     node A
//!   |- vrrp.failover  Master -> Backup     from the command until all is quiet   node A
//!   |  |- vrrp.decide, vrrp.advert, net.release, notify.script
//!   `- peer.take_over                      the call, and below it what was served
//!      `- peer.take_over                                                         node B
//!         `- vrrp.takeover  Backup -> Master                                     node B
//!            |- vrrp.decide, vrrp.advert, net.claim (net.batch ...), net.announce
//!            |- notify.script, notify.mail     off the path: may outlast their parent
//!            `- ipvs.sync_daemon, lvs.wake     what the balancer does because of it
//! ```
//!
//! What a tracker found begins the story of whatever follows from it, on all nodes:
//!
//! ```text
//!   track.verdict                            script chk: exit 1                    node A
//!   |- vrrp.failover  Master -> Fault        and below it peer.take_over ...       node A, node B
//!   |- agent.give_to_the_better              where it only lowered the priority    node A
//!   |  `- peer.take_over, vrrp.failover ...                                        node A, node B
//!   `- vrrp.failover  Master -> Backup       or, without peers, once outranked     node A
//! ```
//!
//! Real servers have stories of their own, see [`balance`].
//!
//! A child is told when it has ended, the change itself once it has settled: both addresses and advert
//! are out, or nothing came any more for [`QUIET`]. Every time is the event's own. Memory is bounded by
//! virtual routers.

use super::anchor::Anchor;
use super::attributes::{attributes, of_router, of_verdict};
use super::names;
use super::words::{outcome, state};
use crate::event::{Event, Identity, Place, What, explain};
use crate::fact::Fact;
use crate::notify::LastHook;
use crate::story::{Claim, Release, Said, Step, Trail};
use crate::watch::Verdict;
use hacluster_core::machine::{Reason, StateKind, TakeoverCause, Transition};
use hacluster_core::time::{Duration, Instant};
use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Nothing more belongs to a change that was quiet for so long.
const QUIET: Duration = Duration::from_secs(1);

/// Finds the story that peers told last of a virtual router.
pub(super) type Known = Box<dyn Fn(&Identity) -> Option<Trail> + Send>;

/// Builds spans.
pub(super) struct Builder {
    anchor: Anchor,
    scope: InstrumentationScope,
    changes: BTreeMap<Place, Change>,
    known: Known,
}

/// The latest change of a router.
struct Change {
    trail: Trail,
    to: StateKind,
    began: Instant,
    /// When its latest part ended.
    last: Instant,
    said: bool,
    claimed: bool,
    /// Its own span; `None` once told.
    span: Option<SpanData>,
}

impl Builder {
    pub(super) fn new(scope: InstrumentationScope, known: Known) -> Self {
        Self { anchor: Anchor::default(), scope, changes: BTreeMap::new(), known }
    }

    /// Takes what happened; gives what has ended by it.
    pub(super) fn take(&mut self, event: &Event) -> Vec<SpanData> {
        self.anchor.renew();
        match (&event.what, &event.router, event.trail) {
            (What::Transition { .. }, Some(router), Some(trail)) => self.changed(event, router, trail),
            (What::Tracker(verdict) | What::Fact(Fact::Verdict(verdict)), ..) => vec![self.verdict(verdict)],
            (What::Balance(notice), _, Some(trail)) => {
                notice.told.iter().flat_map(|told| self.balanced(told, trail, event.at)).collect()
            }
            (What::Fact(fact), router, trail) => self.fact(fact, router.as_ref(), trail, event.at),
            _ => Vec::new(),
        }
    }

    fn fact(
        &mut self,
        fact: &Fact,
        router: Option<&Arc<Identity>>,
        trail: Option<Trail>,
        at: Instant,
    ) -> Vec<SpanData> {
        match (fact, router, trail) {
            (Fact::Said(said), Some(router), Some(trail)) => self.said(router, trail, *said, at),
            (Fact::Claimed(claim), Some(router), Some(trail)) => self.claimed(router, trail, claim, at),
            (Fact::Released(release), Some(router), Some(trail)) => {
                self.released(router, trail, *release, at)
            }
            (Fact::Step(step), router, Some(trail)) => vec![self.step(router, trail, step, at)],
            (Fact::Notified(last), _, Some(trail)) => vec![self.hook(trail, last, at)],
            (Fact::Notified(last), Some(router), None) => {
                self.notified(router, last, at).into_iter().collect()
            }
            (Fact::Mailed(mailed), _, Some(trail)) => vec![self.mailed(trail, mailed, at)],
            (Fact::Balanced(done), ..) => self.done(done).into(),
            _ => Vec::new(),
        }
    }

    /// Gives changes that have been quiet for long enough.
    pub(super) fn settle(&mut self, now: Instant) -> Vec<SpanData> {
        let due = |change: &&mut Change| now.since(change.last) >= QUIET;
        self.changes.values_mut().filter(due).filter_map(Change::end).collect()
    }

    /// Gives all that is left.
    pub(super) fn finish(&mut self) -> Vec<SpanData> {
        self.changes.values_mut().filter_map(Change::end).collect()
    }

    /// When [`settle`](Self::settle) has something to do.
    pub(super) fn is_waiting(&self) -> bool {
        self.changes.values().any(|change| change.span.is_some())
    }

    // ---- a change of state --------------------------------------------------------------------

    fn changed(&mut self, event: &Event, router: &Arc<Identity>, trail: Trail) -> Vec<SpanData> {
        let What::Transition { transition, detail, began, waited, .. } = &event.what else {
            return Vec::new();
        };
        let place = router.place();
        let before = self.changes.remove(&place);
        let former = before.as_ref().map(|change| change.trail);
        let mut done: Vec<_> = before.and_then(|mut change| change.end()).into_iter().collect();
        let words = explain(&transition.reason, detail.as_deref());
        let led = began.filter(|_| is_led_to(transition));
        let begins = led.map_or(event.at, |at| at.min(event.at));
        let mut span = self.span(trail, name_of(transition), router, (begins, event.at));
        span.attributes = attributes(event);
        if transition.to == StateKind::Fault {
            span.status = Status::error(words.clone());
        }
        if trail.parent().is_none() && transition.to == StateKind::Master {
            let known = (self.known)(router).into_iter().chain(former);
            let mut links: Vec<_> = known.filter(|known| known.trace() != trail.trace()).collect();
            links.dedup_by_key(|known| known.trace());
            span.links = links_to(&links);
        }
        if let (Some(led), Some(name)) = (led, wait_of(transition)) {
            let mut wait = self.span(trail.child(), name, router, (led.min(event.at), event.at));
            if let Some(waited) = waited {
                wait.span_kind = SpanKind::Consumer;
                wait.attributes.push(KeyValue::new(names::RECEIVE_DELAY, seconds(*waited)));
            }
            done.push(wait);
        }
        let mut decided = self.span(trail.child(), "vrrp.decide", router, (event.at, event.at));
        decided.attributes.push(KeyValue::new(names::REASON_TEXT, words));
        done.push(decided);
        let change = Change {
            trail,
            to: transition.to,
            began: begins,
            last: event.at,
            said: false,
            claimed: false,
            span: Some(span),
        };
        self.changes.insert(place, change);
        done
    }

    /// What a tracker found: the root of all that follows from it.
    fn verdict(&self, verdict: &Verdict) -> SpanData {
        let took = verdict.took.as_micros();
        let begun = Instant::from_micros(verdict.at.as_micros().saturating_sub(took));
        let mut span = self.bare(verdict.trail, "track.verdict", (begun, verdict.at));
        span.attributes.extend(of_verdict(verdict));
        span
    }

    /// A part of the change `trail` ended at `at`.
    fn part(
        &mut self,
        router: &Identity,
        trail: Trail,
        at: Instant,
        note: impl FnOnce(&mut Change),
    ) -> Option<SpanData> {
        let change = self.changes.get_mut(&router.place()).filter(|change| change.trail == trail)?;
        change.last = change.last.max(at);
        note(change);
        let settled = change.to == StateKind::Master && change.said && change.claimed;
        let anchor = self.anchor;
        if let Some(span) = &mut change.span {
            span.end_time = span.end_time.max(anchor.wall(at));
        }
        if settled { change.end() } else { None }
    }

    fn said(&mut self, router: &Arc<Identity>, trail: Trail, said: Said, at: Instant) -> Vec<SpanData> {
        let mut span = self.span(trail.child(), "vrrp.advert", router, (said.begun, at));
        span.span_kind = SpanKind::Producer;
        span.attributes.push(KeyValue::new(names::PRIORITY, i64::from(said.priority.get())));
        let settled = self.part(router, trail, at, |change| change.said = true);
        [span].into_iter().chain(settled).collect()
    }

    fn claimed(&mut self, router: &Arc<Identity>, trail: Trail, claim: &Claim, at: Instant) -> Vec<SpanData> {
        let mut spans = Vec::new();
        if let (Some(first), Some(last)) = (claim.batches.first(), claim.batches.last()) {
            let own = trail.child();
            let sum = |of: fn(&crate::story::Batch) -> usize| claim.batches.iter().map(of).sum::<usize>();
            let mut span = self.span(own, "net.claim", router, (first.begun, last.ended));
            span.attributes.extend([
                KeyValue::new(names::VIP_ADDED, count(sum(|batch| batch.added))),
                KeyValue::new(names::VIP_REFUSED, count(sum(|batch| batch.refused))),
                KeyValue::new(names::VIP_BATCHES, count(claim.batches.len())),
            ]);
            for batch in &claim.batches {
                let mut part = self.span(own.child(), "net.batch", router, (batch.begun, batch.ended));
                part.attributes.push(KeyValue::new(names::VIP_ADDED, count(batch.added)));
                part.attributes.push(KeyValue::new(names::VIP_REFUSED, count(batch.refused)));
                spans.push(part);
            }
            spans.push(span);
        }
        let done = claim.announced.map_or(at, |(_, last)| last);
        let mut began = None;
        let settled = self.part(router, trail, done, |change| {
            change.claimed = claim.whole;
            began = Some(change.began);
        });
        if let Some((first, last)) = claim.announced.filter(|_| claim.whole) {
            let mut span = self.span(trail.child(), "net.announce", router, (first, last));
            let since = began.unwrap_or(claim.begun);
            span.attributes.extend([
                KeyValue::new(names::VIP_COUNT, count(claim.addresses)),
                KeyValue::new(names::FIRST_ANNOUNCED, seconds(first.since(since))),
                KeyValue::new(names::LAST_ANNOUNCED, seconds(last.since(since))),
            ]);
            spans.push(span);
        }
        spans.extend(settled);
        spans
    }

    fn released(
        &mut self,
        router: &Arc<Identity>,
        trail: Trail,
        release: Release,
        at: Instant,
    ) -> Vec<SpanData> {
        let mut span = self.span(trail.child(), "net.release", router, (release.begun, at));
        span.attributes.push(KeyValue::new(names::VIP_REMOVED, count(release.removed)));
        let settled = self.part(router, trail, at, |_| ());
        [span].into_iter().chain(settled).collect()
    }

    /// A hook whose story is not known tells of the latest change to the state it was run for.
    fn notified(&mut self, router: &Arc<Identity>, last: &LastHook, at: Instant) -> Option<SpanData> {
        let change = self.changes.get(&router.place())?;
        if !state(change.to).eq_ignore_ascii_case(&last.state) {
            return None;
        }
        let mut span = self.hook(change.trail, last, at);
        span.attributes.extend(of_router(router));
        Some(span)
    }

    /// A program that told of what happened in the story `trail`.
    fn hook(&self, trail: Trail, last: &LastHook, at: Instant) -> SpanData {
        let mut span = self.bare(trail.child(), "notify.script", (at, at));
        span.end_time = last.at;
        span.start_time = last.at.checked_sub(last.took).unwrap_or(last.at);
        span.attributes.extend([
            KeyValue::new(names::NOTIFY_HOOK, last.hook),
            KeyValue::new(names::NOTIFY_STATE, last.state.clone()),
            KeyValue::new(names::NOTIFY_TEXT, last.text.clone()),
            KeyValue::new(names::OUTCOME, outcome(last.success)),
        ]);
        if !last.success {
            span.status = Status::error(last.text.clone());
        }
        span
    }

    fn step(&self, router: Option<&Arc<Identity>>, trail: Trail, step: &Step, at: Instant) -> SpanData {
        let mut span = self.bare(trail, step.name, (step.begun, at));
        span.span_kind = match (step.served, call_of(step.name).is_some()) {
            (true, _) => SpanKind::Server,
            (false, true) => SpanKind::Client,
            (false, false) => SpanKind::Internal,
        };
        span.parent_span_is_remote = step.served;
        span.attributes.extend(router.into_iter().flat_map(|router| of_router(router)));
        match call_of(step.name) {
            Some(method) => span.attributes.extend([
                KeyValue::new(names::RPC_SYSTEM, "grpc"),
                KeyValue::new(names::RPC_SERVICE, "hacluster.v1.Peer"),
                KeyValue::new(names::RPC_METHOD, method),
                KeyValue::new(names::PEER, step.with.clone()),
            ]),
            None => span.attributes.push(KeyValue::new(names::OPERATOR, step.with.clone())),
        }
        if let Some((host, port)) = step.address.as_deref().and_then(|address| address.rsplit_once(':')) {
            span.attributes
                .push(KeyValue::new(names::SERVER_ADDRESS, host.trim_matches(['[', ']']).to_owned()));
            span.attributes
                .extend(port.parse().ok().map(|port: i64| KeyValue::new(names::SERVER_PORT, port)));
        }
        span.attributes.extend([
            KeyValue::new(names::OUTCOME, outcome(!step.failed)),
            KeyValue::new(names::STEP_TEXT, step.text.clone()),
        ]);
        if let Some(nanos) = step.clock_offset_nanos {
            span.attributes.push(KeyValue::new(names::CLOCK_OFFSET, nanos as f64 / 1e9));
        }
        if step.failed {
            span.status = Status::error(step.text.clone());
        }
        span
    }

    fn span(
        &self,
        trail: Trail,
        name: &'static str,
        router: &Identity,
        times: (Instant, Instant),
    ) -> SpanData {
        let mut span = self.bare(trail, name, times);
        span.attributes.extend(of_router(router));
        span
    }

    fn bare(&self, trail: Trail, name: &'static str, (begun, ended): (Instant, Instant)) -> SpanData {
        SpanData {
            span_context: context(trail),
            parent_span_id: trail.parent().map_or(SpanId::INVALID, SpanId::from),
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: self.anchor.wall(begun),
            end_time: self.anchor.wall(ended.max(begun)),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

impl Change {
    /// Its span, once.
    fn end(&mut self) -> Option<SpanData> {
        self.span.take()
    }
}

/// The call between agents that a step is.
fn call_of(step: &str) -> Option<&'static str> {
    match step {
        "peer.take_over" => Some("TakeOver"),
        "peer.hand_over" => Some("HandOver"),
        _ => None,
    }
}

/// What a change is called.
fn name_of(of: &Transition) -> &'static str {
    match (of.from, of.to) {
        (_, StateKind::Master) => "vrrp.takeover",
        (StateKind::Master, _) => "vrrp.failover",
        _ => "vrrp.transition",
    }
}

/// What passed between that which led to a change and the decision.
fn wait_of(of: &Transition) -> Option<&'static str> {
    match of.reason {
        Reason::TookOver(TakeoverCause::MasterSilent(_)) => Some("vrrp.silence"),
        Reason::TookOver(TakeoverCause::Resigned(_)) => Some("vrrp.skew"),
        Reason::TookOver(TakeoverCause::LowerPriority(_)) | Reason::Yielded(_) => Some("vrrp.heard"),
        _ => None,
    }
}

/// Whether the beginning that the protocol thread knows is that of the change.
fn is_led_to(of: &Transition) -> bool {
    wait_of(of).is_some()
        || matches!(
            of.reason,
            Reason::TookOver(TakeoverCause::HandedOver(_))
                | Reason::GaveAway(_)
                | Reason::ResignedOnRequest
                | Reason::Fault(_)
                | Reason::Recovered(_)
                | Reason::GroupYielded
        )
}

pub(super) fn context(trail: Trail) -> SpanContext {
    let (trace, span) = (TraceId::from(trail.trace()), SpanId::from(trail.span()));
    let flags = TraceFlags::default().with_sampled(trail.is_sampled());
    SpanContext::new(trace, span, flags, false, TraceState::default())
}

fn links_to(stories: &[Trail]) -> SpanLinks {
    let mut links = SpanLinks::default();
    for story in stories {
        let words = vec![KeyValue::new(names::LINK, "the last known story of this virtual router")];
        links.links.push(Link::new(context(*story), words, 0));
    }
    links
}

fn count(of: usize) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}

fn seconds(of: Duration) -> f64 {
    of.as_micros() as f64 / 1e6
}

mod balance;
#[cfg(test)]
mod tests;

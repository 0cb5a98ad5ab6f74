//! The node: what it watches, its peers, the programs it runs, its queues, and telemetry itself.

use super::Shown;
use super::book::{Book, words};
use crate::script::Purpose;
use crate::tally::Queue;
use crate::telemetry::health::{Health, Signal, Tale};
use crate::telemetry::names;
use crate::telemetry::sample::{Sample, TRACKERS_MAX};
use hacluster_core::track::Reading;
use hacluster_proto::v1::PeerLink;
use opentelemetry::KeyValue;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

/// Tells numbers of a sample.
type Look = fn(&Sample, &mut dyn FnMut(f64, KeyValue));

pub(super) fn instruments(book: &mut Book<'_>, shown: &Shown, health: &Arc<Health>) {
    gauges(book, shown);
    peers(book, shown);
    let labels = &[names::SCRIPT_PURPOSE, names::OUTCOME];
    let text = "Programs that ended, by what they were run for and how they ended";
    book.counter(words("hacluster.script.runs", "{run}", labels, text), |to| {
        for (purpose, outcome, count) in Purpose::runs() {
            let purpose = KeyValue::new(names::SCRIPT_PURPOSE, purpose);
            to.observe(count, &[purpose, KeyValue::new(names::OUTCOME, outcome)]);
        }
    });
    let text = "What did not fit into a queue whose writers never wait";
    book.counter(words("hacluster.queue.dropped", "{item}", &[names::QUEUE], text), |to| {
        for (queue, name) in Queue::ALL {
            to.observe(queue.lost(), &[KeyValue::new(names::QUEUE, name)]);
        }
    });
    itself(book, health);
}

fn gauges(book: &mut Book<'_>, shown: &Shown) {
    let mut gauge = |of, look: Look| {
        let shown = shown.clone();
        book.gauge(of, move |to| look(&shown.load(), &mut |value, label| to.observe(value, &[label])));
    };
    let text = "1 for a tracker that is good, 0 for one that is not or not yet known";
    let labels = &[names::TRACKER];
    gauge(words("hacluster.tracker.good", "{tracker}", labels, text), |sample, tell| {
        for view in sample.trackers.iter().flat_map(|views| views.iter()).take(TRACKERS_MAX) {
            let good = matches!(view.seen().reading, Reading::Good | Reading::Number(_));
            let label = KeyValue::new(names::TRACKER, view.id.to_string());
            tell(f64::from(u8::from(good)), label);
        }
    });
    let text = "1 for what holds: the node is drained (drain), automatic moves are paused (pause)";
    gauge(words("hacluster.node.held", "{hold}", &[names::HOLD], text), |sample, tell| {
        for (kind, holds) in [("drain", sample.drained), ("pause", sample.paused)] {
            tell(f64::from(u8::from(holds)), KeyValue::new(names::HOLD, kind));
        }
    });
}

/// A number of one peer, where it is known.
type OfPeer = fn(&PeerLink) -> Option<f64>;

fn seconds(of: &prost_types::Duration) -> f64 {
    of.seconds as f64 + f64::from(of.nanos) / 1e9
}

fn peers(book: &mut Book<'_>, shown: &Shown) {
    let mut gauge = |name, unit, text, number: OfPeer| {
        let shown = shown.clone();
        book.gauge(words(name, unit, &[names::PEER], text), move |to| {
            for peer in &shown.load().peers {
                if let Some(number) = number(peer) {
                    to.observe(number, &[KeyValue::new(names::PEER, peer.name.clone())]);
                }
            }
        });
    };
    let text = "1 for a peer that answers, 0 for one that does not";
    gauge("hacluster.peer.connected", "{peer}", text, |peer| Some(f64::from(u8::from(peer.connected))));
    let text = "For how long a peer has answered, or has not";
    gauge("hacluster.peer.state.duration", "s", text, |peer| {
        let since = SystemTime::try_from(peer.since?).ok()?;
        Some(SystemTime::now().duration_since(since).unwrap_or_default().as_secs_f64())
    });
    let text = "A peer's clock less ours";
    gauge("hacluster.peer.clock.offset", "s", text, |peer| peer.clock_offset.as_ref().map(seconds));
    let text = "How long the control channel takes there and back";
    gauge("hacluster.peer.round_trip", "s", text, |peer| {
        peer.clock_uncertainty.as_ref().map(|half| 2.0 * seconds(half))
    });
}

fn itself(book: &mut Book<'_>, health: &Arc<Health>) {
    type Number = fn(&Tale) -> u64;
    let numbers: [(&'static str, &'static str, Number); 3] = [
        (
            "hacluster.telemetry.exported",
            "Spans, log lines and collections of metrics that were taken",
            |tale| tale.exported.load(Relaxed),
        ),
        (
            "hacluster.telemetry.dropped",
            "Spans, log lines and collections of metrics that were given up",
            |tale| tale.dropped.load(Relaxed),
        ),
        ("hacluster.telemetry.failures", "Attempts to export that failed", |tale| {
            tale.failures.load(Relaxed)
        }),
    ];
    for (name, text, number) in numbers {
        let health = health.clone();
        book.counter(words(name, "{item}", &[names::SIGNAL], text), move |to| {
            for signal in Signal::ALL {
                to.observe(number(health.of(signal)), &[KeyValue::new(names::SIGNAL, signal.name())]);
            }
        });
    }
    let health = health.clone();
    let text = "Events that telemetry had no room for";
    book.counter(words("hacluster.telemetry.events.dropped", "{event}", &[], text), move |to| {
        to.observe(health.events_dropped.load(Relaxed), &[]);
    });
}

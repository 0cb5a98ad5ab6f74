//! Metrics after OpenTelemetry's rules: one set of instruments for OTLP and for the Prometheus page.
//!
//! Cardinality: per virtual router at most four states, the causes of drops and the reasons of changes;
//! never an address, never a label that changes while the series lives. What is told at a moment comes
//! from one [`Sample`], consistent in itself.

use super::health::{Health, Signal};
use super::sample::{Sample, TRACKERS_MAX};
use super::words::{reason_kind, state};
use crate::chronicle::RouterView;
use crate::event::{Event, What};
use crate::fact::Fact;
use crate::tally::Lateness;
use arc_swap::ArcSwap;
use hacluster_core::machine::StateKind;
use hacluster_core::receive::DiscardKind;
use hacluster_core::track::Reading;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Counter, Histogram, Meter};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Series of one instrument; more fall together into one that says so.
pub(super) const SERIES_MAX: usize = 20_000;
/// Timers, and adverts, that are told one by one between two looks.
const TIMERS_MAX: u64 = 20_000;

type Shown = Arc<ArcSwap<Sample>>;

/// The instruments that are fed; the others look by themselves.
pub(super) struct Meters {
    transitions: Counter<u64>,
    scripts: Counter<u64>,
    lost: Counter<u64>,
    lateness: Histogram<f64>,
    receive_delay: Histogram<f64>,
    shown: Shown,
    /// What was told of each router's timers, and of the adverts it read.
    told: BTreeMap<usize, [Counts; 2]>,
}

/// As a [`Lateness`] counts.
type Counts = [u64; Lateness::BOUNDS.len() + 1];

fn of(router: &RouterView) -> [KeyValue; 3] {
    [
        KeyValue::new("vrrp.router", router.identity.name.clone()),
        KeyValue::new("vrrp.vrid", i64::from(router.identity.vrid.get())),
        KeyValue::new("network.interface.name", router.identity.interface.clone()),
    ]
}

/// Tells numbers of one router, each with one more label or none.
type Look = fn(&RouterView, &mut dyn FnMut(u64, Option<KeyValue>));

fn each(shown: &Shown, look: Look, tell: &mut dyn FnMut(u64, &[KeyValue])) {
    for router in &shown.load().routers {
        let common = of(router);
        look(router, &mut |value, label| match label {
            Some(label) => {
                let [name, vrid, interface] = common.clone();
                tell(value, &[name, vrid, interface, label]);
            }
            None => tell(value, &common),
        });
    }
}

/// What an instrument that looks by itself does when it is asked.
fn telling(shown: &Shown, look: Look) -> impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + use<> {
    let shown = shown.clone();
    move |to| each(&shown, look, &mut |value, labels| to.observe(value, labels))
}

fn gauge(
    meter: &Meter,
    shown: &Shown,
    (name, unit, text): (&'static str, &'static str, &'static str),
    look: Look,
) {
    let tell = telling(shown, look);
    meter.u64_observable_gauge(name).with_unit(unit).with_description(text).with_callback(tell).build();
}

fn counter(
    meter: &Meter,
    shown: &Shown,
    (name, unit, text): (&'static str, &'static str, &'static str),
    look: Look,
) {
    let tell = telling(shown, look);
    meter.u64_observable_counter(name).with_unit(unit).with_description(text).with_callback(tell).build();
}

impl Meters {
    pub(super) fn new(meter: &Meter, shown: Shown, health: &Arc<Health>) -> Self {
        routers(meter, &shown);
        adverts(meter, &shown);
        node(meter, &shown);
        itself(meter, health);
        let fed = |name: &'static str, unit: &'static str, text: &'static str| {
            meter.u64_counter(name).with_unit(unit).with_description(text).build()
        };
        let lost = fed("hacluster.events.lost", "{event}", "Events that came faster than they could be told");
        lost.add(0, &[]); // the series is there before the first one is lost
        let histogram = |name: &'static str, text: &'static str| {
            let bounds = Lateness::BOUNDS.iter().map(|micros| *micros as f64 / 1e6).collect();
            meter.f64_histogram(name).with_unit("s").with_description(text).with_boundaries(bounds).build()
        };
        Self {
            transitions: fed(
                "hacluster.vrrp.transitions",
                "{transition}",
                "Changes of state, by the state entered and the reason",
            ),
            scripts: fed("hacluster.notify.scripts", "{run}", "Notification programs that have ended"),
            lost,
            lateness: histogram(
                "hacluster.vrrp.timer.lateness",
                "How late timers of the protocol were served; sums are those of the bounds",
            ),
            receive_delay: histogram(
                "hacluster.vrrp.adverts.receive_delay",
                "From the kernel's receiving an advert to the agent's; sums are those of the bounds",
            ),
            shown,
            told: BTreeMap::new(),
        }
    }

    /// Counts what happened.
    pub(super) fn take(&self, event: &Event) {
        match (&event.what, &event.router) {
            (What::Transition { transition, .. }, Some(router)) => self.transitions.add(
                1,
                &[
                    KeyValue::new("vrrp.router", router.name.clone()),
                    KeyValue::new("vrrp.vrid", i64::from(router.vrid.get())),
                    KeyValue::new("network.interface.name", router.interface.clone()),
                    KeyValue::new("vrrp.state", state(transition.to)),
                    KeyValue::new("vrrp.reason", reason_kind(&transition.reason)),
                ],
            ),
            (What::Fact(Fact::Notified(last)), _) => {
                let outcome = if last.success { "success" } else { "failure" };
                let labels =
                    [KeyValue::new("hacluster.notify.hook", last.hook), KeyValue::new("outcome", outcome)];
                self.scripts.add(1, &labels);
            }
            (What::Lost(count), _) => self.lost.add(*count, &[]),
            _ => {}
        }
    }

    /// Shows `sample` from now on.
    pub(super) fn show(&mut self, sample: Sample) {
        let mut fresh = [[0_u64; Lateness::BOUNDS.len() + 1]; 2];
        let mut told = BTreeMap::new();
        for router in &sample.routers {
            // Its tally is what it is known by: a router that starts anew counts anew.
            let tally = &router.setup.tally;
            let (key, now) = (Arc::as_ptr(tally) as usize, [tally.lateness.get(), tally.waited.get()]);
            let before = self.told.get(&key).copied().unwrap_or_default();
            let numbers = now.as_flattened().iter().zip(before.as_flattened());
            for (fresh, (now, before)) in fresh.as_flattened_mut().iter_mut().zip(numbers) {
                *fresh += now.saturating_sub(*before);
            }
            told.insert(key, now);
        }
        self.told = told;
        for (histogram, fresh) in [&self.lateness, &self.receive_delay].into_iter().zip(fresh) {
            record(histogram, fresh);
        }
        self.shown.store(Arc::new(sample));
    }
}

fn record(histogram: &Histogram<f64>, fresh: Counts) {
    for (at, count) in fresh.into_iter().enumerate() {
        let micros = Lateness::BOUNDS.get(at).copied().unwrap_or(2 * 1_000_000);
        for _ in 0..count.min(TIMERS_MAX) {
            histogram.record(micros as f64 / 1e6, &[]);
        }
    }
}

fn routers(meter: &Meter, shown: &Shown) {
    let text = "Where a virtual router stands: 1 for its state, 0 for the others";
    gauge(meter, shown, ("hacluster.vrrp.state", "{state}", text), |router, tell| {
        for kind in StateKind::ALL {
            tell(u64::from(router.state() == kind), Some(KeyValue::new("vrrp.state", state(kind))));
        }
    });
    gauge(
        meter,
        shown,
        ("hacluster.vrrp.priority", "{priority}", "The priority in force"),
        |router, tell| {
            let now = router.standing.map_or(router.setup.priority, |standing| standing.priority);
            tell(now.get().into(), None);
        },
    );
    let text = "The priority that is configured";
    gauge(meter, shown, ("hacluster.vrrp.priority.base", "{priority}", text), |router, tell| {
        tell(router.setup.priority.get().into(), None);
    });
    let text = "Addresses that the state wants in place here";
    gauge(meter, shown, ("hacluster.vip.wanted", "{address}", text), |router, tell| {
        let rules = router.state() == StateKind::Master;
        tell(if rules { router.setup.addresses.len() as u64 } else { 0 }, None);
    });
    gauge(
        meter,
        shown,
        ("hacluster.vip.present", "{address}", "Addresses that are in place here"),
        |router, tell| {
            tell(router.held.present.iter().filter(|present| **present).count() as u64, None);
        },
    );
    let text = "How often addresses that others removed were put back";
    counter(meter, shown, ("hacluster.vip.restorations", "{restoration}", text), |router, tell| {
        tell(router.held.restorations, None);
    });
}

fn adverts(meter: &Meter, shown: &Shown) {
    let unit = "{advert}";
    counter(
        meter,
        shown,
        ("hacluster.vrrp.adverts.sent", unit, "Adverts handed to the kernel"),
        |router, tell| {
            tell(router.setup.tally.sent.get(), None);
        },
    );
    let text = "Adverts, of those sent, that the kernel refused";
    counter(meter, shown, ("hacluster.vrrp.adverts.send_failures", unit, text), |router, tell| {
        tell(router.setup.tally.send_failures.get(), None);
    });
    counter(
        meter,
        shown,
        ("hacluster.vrrp.adverts.received", unit, "Adverts that were believed"),
        |router, tell| {
            tell(router.setup.tally.accepted.get(), None);
        },
    );
    let text = "Adverts that were dropped, by cause";
    counter(meter, shown, ("hacluster.vrrp.adverts.discarded", unit, text), |router, tell| {
        for (cause, count) in DiscardKind::NAMES.iter().zip(&router.setup.tally.discarded) {
            tell(count.get(), Some(KeyValue::new("cause", *cause)));
        }
    });
}

fn node(meter: &Meter, shown: &Shown) {
    let gauge = |name: &'static str, unit: &'static str, text: &'static str| {
        meter.f64_observable_gauge(name).with_unit(unit).with_description(text)
    };
    let sample = shown.clone();
    let text = "1 for a tracker that is good, 0 for one that is not or not yet known";
    gauge("hacluster.tracker.good", "{tracker}", text)
        .with_callback(move |to| {
            let sample = sample.load();
            for view in sample.trackers.iter().flat_map(|views| views.iter()).take(TRACKERS_MAX) {
                let good = matches!(view.seen().reading, Reading::Good | Reading::Number(_));
                let label = KeyValue::new("hacluster.tracker.name", view.id.to_string());
                to.observe(f64::from(u8::from(good)), &[label]);
            }
        })
        .build();
    let sample = shown.clone();
    gauge("hacluster.peer.connected", "{peer}", "1 for a peer that answers, 0 for one that does not")
        .with_callback(move |to| {
            for peer in &sample.load().peers {
                let label = KeyValue::new("hacluster.peer", peer.name.clone());
                to.observe(f64::from(u8::from(peer.connected)), &[label]);
            }
        })
        .build();
    let sample = shown.clone();
    gauge("hacluster.peer.clock.offset", "s", "A peer's clock less ours")
        .with_callback(move |to| {
            for peer in &sample.load().peers {
                let Some(offset) = &peer.clock_offset else { continue };
                let label = KeyValue::new("hacluster.peer", peer.name.clone());
                to.observe(offset.seconds as f64 + f64::from(offset.nanos) / 1e9, &[label]);
            }
        })
        .build();
    let sample = shown.clone();
    let text = "1 for what holds: the node is drained, automatic moves are paused";
    gauge("hacluster.node.held", "{hold}", text)
        .with_callback(move |to| {
            let sample = sample.load();
            for (kind, holds) in [("drain", sample.drained), ("pause", sample.paused)] {
                to.observe(f64::from(u8::from(holds)), &[KeyValue::new("hacluster.hold", kind)]);
            }
        })
        .build();
}

fn itself(meter: &Meter, health: &Arc<Health>) {
    type Number = fn(&super::health::Tale) -> u64;
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
        meter
            .u64_observable_counter(name)
            .with_unit("{item}")
            .with_description(text)
            .with_callback(move |to| {
                for signal in Signal::ALL {
                    to.observe(number(health.of(signal)), &[KeyValue::new("signal", signal.name())]);
                }
            })
            .build();
    }
    let health = health.clone();
    meter
        .u64_observable_counter("hacluster.telemetry.events.dropped")
        .with_unit("{event}")
        .with_description("Events that telemetry had no room for")
        .with_callback(move |to| to.observe(health.events_dropped.load(Relaxed), &[]))
        .build();
}

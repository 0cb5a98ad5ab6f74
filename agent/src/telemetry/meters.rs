//! Metrics after OpenTelemetry's rules: one set of instruments for OTLP and for the Prometheus page.
//!
//! | module | about |
//! |---|---|
//! | [`book`] | how instruments are made, and their list |
//! | [`routers`] | virtual routers, their adverts and addresses |
//! | [`node`] | trackers, peers, programs, queues, telemetry itself |
//! | [`balance`] | virtual and real servers, checks, the kernel's IPVS |
//!
//! Cardinality: per virtual router at most four states, the causes of drops and the reasons of changes; of
//! virtual and real servers the first [`SERVICES_MAX`](super::sample::SERVICES_MAX) and
//! [`SERVERS_MAX`](super::sample::SERVERS_MAX); never an address that comes and goes, never a label that
//! changes while the series lives. What is told at a moment comes from one [`Sample`], consistent in itself.

mod balance;
mod book;
mod node;
mod routers;

use super::health::Health;
use super::late::Told;
use super::sample::Sample;
use super::words::{reason_kind, state};
use crate::check::Counted;
use crate::event::{Event, What};
use crate::fact::Fact;
use crate::story::Delivery;
use crate::tally::{Lateness, Tally};
use arc_swap::ArcSwap;
use book::{Book, words};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Series of one instrument; more fall together into one that says so.
pub(super) const SERIES_MAX: usize = 20_000;

type Shown = Arc<ArcSwap<Sample>>;

/// The instruments that are fed; the others look by themselves.
pub(super) struct Meters {
    transitions: Counter<u64>,
    balanced: Counter<u64>,
    scripts: Counter<u64>,
    mails: Counter<u64>,
    lost: Counter<u64>,
    lateness: Histogram<f64>,
    receive_delay: Histogram<f64>,
    check_lateness: Histogram<f64>,
    shown: Shown,
    /// What was told of each router's timers, and of the adverts it read. Its tally is what it is known by: a router that starts anew
    /// counts anew.
    told: BTreeMap<usize, (Arc<Tally>, [Told; 2])>,
    told_of_checks: Option<(Arc<Counted>, Told)>,
    /// Virtual servers whose transitions have series already, before the first one.
    services: Vec<KeyValue>,
    /// Something was shown: from now on everything is new.
    began: bool,
}

fn of_router(name: &str, vrid: u8, interface: &str) -> [KeyValue; 3] {
    [
        KeyValue::new("vrrp.router", name.to_owned()),
        KeyValue::new("vrrp.vrid", i64::from(vrid)),
        KeyValue::new("network.interface.name", interface.to_owned()),
    ]
}

impl Meters {
    pub(super) fn new(meter: &Meter, shown: Shown, health: &Arc<Health>) -> Self {
        Self::written_down(&mut Book::new(meter), shown, health)
    }

    fn written_down(book: &mut Book<'_>, shown: Shown, health: &Arc<Health>) -> Self {
        let transitions = book.fed(words(
            "hacluster.vrrp.transitions",
            "{transition}",
            &["vrrp.router", "vrrp.vrid", "network.interface.name", "vrrp.state", "vrrp.reason"],
            "Changes of state, by the state entered and the reason",
        ));
        routers::instruments(book, &shown);
        let bounds = || Lateness::BOUNDS.iter().map(|micros| *micros as f64 / 1e6).collect();
        let lateness = book.histogram(
            words("hacluster.vrrp.timer.lateness", "s", &[], "How late timers of the protocol were served"),
            bounds(),
        );
        let text = "From the kernel's receiving an advert to the agent's";
        let receive_delay =
            book.histogram(words("hacluster.vrrp.adverts.receive_delay", "s", &[], text), bounds());
        let scripts = book.fed(words(
            "hacluster.notify.scripts",
            "{run}",
            &["hacluster.notify.hook", "outcome"],
            "Notification programs that have ended",
        ));
        let mails = book.fed(words(
            "hacluster.notify.mails",
            "{mail}",
            &["outcome"],
            "Mails that were sent, refused by the server, or dropped (too many, too old)",
        ));
        for (_, name) in Delivery::ALL {
            mails.add(0, &[KeyValue::new("outcome", name)]); // the series is there before the first one
        }
        let lost = book.fed(words(
            "hacluster.events.lost",
            "{event}",
            &[],
            "Events that came faster than they could be told",
        ));
        lost.add(0, &[]);
        node::instruments(book, &shown, health);
        let balanced = book.fed(words(
            "hacluster.lvs.transitions",
            "{transition}",
            &["lvs.service", "lvs.subject", "lvs.state"],
            "Real servers that came (up) or went (down), and quorums that were reached or lost",
        ));
        balance::instruments(book, &shown);
        let check_lateness = book.histogram(
            words("hacluster.lvs.check.lateness", "s", &[], "How late tries of checks began"),
            bounds(),
        );
        let (told, told_of_checks, services, began) = (BTreeMap::new(), None, Vec::new(), false);
        Self {
            transitions,
            balanced,
            scripts,
            mails,
            lost,
            lateness,
            receive_delay,
            check_lateness,
            shown,
            told,
            told_of_checks,
            services,
            began,
        }
    }

    /// Counts what happened.
    pub(super) fn take(&self, event: &Event) {
        match (&event.what, &event.router) {
            (What::Transition { transition, .. }, Some(router)) => {
                let [name, vrid, interface] = of_router(&router.name, router.vrid.get(), &router.interface);
                let to = KeyValue::new("vrrp.state", state(transition.to));
                let reason = KeyValue::new("vrrp.reason", reason_kind(&transition.reason));
                self.transitions.add(1, &[name, vrid, interface, to, reason]);
            }
            (What::Balance(notice), _) => {
                let Some(told) = notice.told.as_ref().filter(|told| told.check.is_none()) else { return };
                let subject = if told.called.server.is_some() { "server" } else { "quorum" };
                let labels = [
                    KeyValue::new("lvs.service", told.called.service.clone()),
                    KeyValue::new("lvs.subject", subject),
                    KeyValue::new("lvs.state", if told.up { "up" } else { "down" }),
                ];
                self.balanced.add(1, &labels);
            }
            (What::Fact(Fact::Notified(last)), _) => {
                let outcome = if last.success { "success" } else { "failure" };
                let labels =
                    [KeyValue::new("hacluster.notify.hook", last.hook), KeyValue::new("outcome", outcome)];
                self.scripts.add(1, &labels);
            }
            (What::Fact(Fact::Mailed(mailed)), _) => {
                self.mails.add(mailed.count, &[KeyValue::new("outcome", mailed.delivery.name())]);
            }
            (What::Lost(count), _) => self.lost.add(*count, &[]),
            _ => {}
        }
    }

    /// Shows `sample` from now on. What was counted before the first one is not told.
    pub(super) fn show(&mut self, sample: Sample) {
        let first = !std::mem::replace(&mut self.began, true);
        let begin = |now: &Lateness| if first { Told::up_to(now) } else { Told::default() };
        let mut former = std::mem::take(&mut self.told);
        for router in &sample.routers {
            let tally = &router.setup.tally;
            let key = Arc::as_ptr(tally) as usize;
            let known = former.remove(&key);
            let fresh = || (tally.clone(), [&tally.lateness, &tally.waited].map(begin));
            let (_, mut told) = known.unwrap_or_else(fresh);
            told[0].tell(&tally.lateness, |late| self.lateness.record(late, &[]));
            told[1].tell(&tally.waited, |late| self.receive_delay.record(late, &[]));
            self.told.insert(key, (tally.clone(), told));
        }
        if let Some(checks) = &sample.checks {
            let known = self.told_of_checks.take();
            let (_, mut told) = known.unwrap_or_else(|| (checks.clone(), begin(&checks.lateness)));
            told.tell(&checks.lateness, |late| self.check_lateness.record(late, &[]));
            self.told_of_checks = Some((checks.clone(), told));
        }
        self.begin_transitions(&sample);
        self.shown.store(Arc::new(sample));
    }

    /// A series that begins with its first transition would hide that from `increase`.
    fn begin_transitions(&mut self, sample: &Sample) {
        let rows = sample.balance.iter().flat_map(|balance| &balance.services);
        let services: Vec<KeyValue> = rows.map(|row| row.label.clone()).collect();
        if services == self.services {
            return;
        }
        for service in &services {
            for (subject, state) in
                [("server", "up"), ("server", "down"), ("quorum", "up"), ("quorum", "down")]
            {
                let (subject, state) =
                    (KeyValue::new("lvs.subject", subject), KeyValue::new("lvs.state", state));
                self.balanced.add(0, &[service.clone(), subject, state]);
            }
        }
        self.services = services;
    }
}

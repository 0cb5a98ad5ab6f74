//! Metrics after OpenTelemetry's rules: one set of instruments for OTLP and for the Prometheus page.
//!
//! | module | about |
//! |---|---|
//! | [`book`] | how instruments are made, and their list |
//! | [`routers`] | virtual routers, their adverts and addresses |
//! | [`node`] | trackers, peers, programs, queues, telemetry itself |
//! | [`tls`] | files of TLS that end |
//! | [`ledger`] | what is counted by events |
//! | [`balance`] | virtual and real servers, checks, the kernel's IPVS |
//!
//! Cardinality: per virtual router at most four states, the causes of drops and the reasons of changes; of
//! virtual and real servers the first [`SERVICES_MAX`](super::sample::SERVICES_MAX) and
//! [`SERVERS_MAX`](super::sample::SERVERS_MAX); never an address that comes and goes, never a label that
//! changes while the series lives. What only grows is counted elsewhere and goes on when settings change; its
//! series are there before the first change. One collection is told of one [`Sample`], see [`Shown`].

mod balance;
mod book;
mod ledger;
mod node;
mod routers;
mod tls;

use super::health::Health;
use super::late::Told;
use super::names;
use super::sample::Sample;
use super::words::outcome;
use crate::check::Counted;
use crate::event::{Event, What};
use crate::fact::Fact;
use crate::story::Delivery;
use crate::tally::{Lateness, Tally};
use arc_swap::ArcSwap;
use book::{Book, words};
pub(super) use ledger::Ledger;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

const SCRIPTS: &str = "hacluster.notify.scripts";
const MAILS: &str = "hacluster.notify.mails";
const LOST: &str = "hacluster.events.lost";
const BALANCED: &str = "hacluster.lvs.transitions";

/// Hooks of virtual routers and their groups, whose series are there before they ran.
const HOOKS: [&str; 7] = [
    "notify",
    "notify_master",
    "notify_backup",
    "notify_fault",
    "notify_stop",
    "notify_deleted",
    "notify_master_rx_lower_pri",
];

/// Series of one instrument; more fall together into one that says so.
pub(super) const SERIES_MAX: usize = 20_000;

/// What is told, the same all through a collection.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    sample: ArcSwap<Sample>,
    /// Held while somebody collects: another sample waits for that.
    collecting: Mutex<()>,
}

impl Shown {
    /// What is told.
    pub(super) fn load(&self) -> Arc<Sample> {
        self.0.sample.load_full()
    }

    /// Nothing else is told until `collect` is done.
    pub(super) fn during<R>(&self, collect: impl FnOnce() -> R) -> R {
        let _collecting = self.0.collecting.lock().unwrap_or_else(PoisonError::into_inner);
        collect()
    }

    fn store(&self, sample: Sample) {
        self.during(|| self.0.sample.store(Arc::new(sample)));
    }
}

/// The instruments that are fed; the others look by themselves.
pub(super) struct Meters {
    ledger: Arc<Ledger>,
    lateness: Histogram<f64>,
    receive_delay: Histogram<f64>,
    check_lateness: Histogram<f64>,
    shown: Shown,
    /// What was told of each router's timers, and of the adverts it read. Its tally is what it is known by: a router
    /// that starts anew counts anew.
    told: BTreeMap<usize, (Arc<Tally>, [Told; 2])>,
    told_of_checks: Option<(Arc<Counted>, Told)>,
    /// Virtual servers whose transitions have series already, before the first one.
    services: Vec<KeyValue>,
    /// Something was shown: from now on everything is new.
    began: bool,
}

/// Those that events feed.
fn fed(book: &mut Book<'_>, ledger: &Arc<Ledger>) {
    let text = "Notification programs that have ended";
    book.kept(words(SCRIPTS, "{run}", &[names::NOTIFY_HOOK, names::OUTCOME], text), ledger);
    for hook in HOOKS {
        [true, false].map(outcome).iter().for_each(|ended| ledger.add(SCRIPTS, &[hook, ended], 0));
    }
    let text = "Mails that were sent, refused by the server, or dropped (too many, too old)";
    book.kept(words(MAILS, "{mail}", &[names::OUTCOME], text), ledger);
    Delivery::ALL.iter().for_each(|(_, name)| ledger.add(MAILS, &[name], 0));
    let text = "Events that came faster than they could be told";
    book.kept(words(LOST, "{event}", &[], text), ledger);
    ledger.add(LOST, &[], 0);
    let text = "Real servers that came (up) or went (down), and quorums that were reached or lost";
    let labels = &[names::SERVICE, names::SUBJECT, names::LVS_STATE];
    book.kept(words(BALANCED, "{transition}", labels, text), ledger);
}

impl Meters {
    pub(super) fn new(meter: &Meter, shown: Shown, health: &Arc<Health>, ledger: Arc<Ledger>) -> Self {
        Self::written_down(&mut Book::new(meter), shown, health, ledger)
    }

    fn written_down(book: &mut Book<'_>, shown: Shown, health: &Arc<Health>, ledger: Arc<Ledger>) -> Self {
        routers::instruments(book, &shown);
        let bounds = || Lateness::BOUNDS.iter().map(|micros| *micros as f64 / 1e6).collect();
        let lateness = book.histogram(
            words("hacluster.vrrp.timer.lateness", "s", &[], "How late timers of the protocol were served"),
            bounds(),
        );
        let text = "From the kernel's receiving an advert to the agent's";
        let receive_delay =
            book.histogram(words("hacluster.vrrp.adverts.receive_delay", "s", &[], text), bounds());
        fed(book, &ledger);
        node::instruments(book, &shown, health);
        tls::instruments(book, &shown);
        balance::instruments(book, &shown);
        let check_lateness = book.histogram(
            words("hacluster.lvs.check.lateness", "s", &[], "How late tries of checks began"),
            bounds(),
        );
        let (told, told_of_checks, services, began) = (BTreeMap::new(), None, Vec::new(), false);
        Self { ledger, lateness, receive_delay, check_lateness, shown, told, told_of_checks, services, began }
    }

    /// Counts what happened.
    pub(super) fn take(&self, event: &Event) {
        match &event.what {
            What::Balance(notice) => {
                let Some(told) = notice.told.as_ref().filter(|told| told.check.is_none()) else { return };
                let subject = if told.called.server.is_some() { "server" } else { "quorum" };
                let state = if told.up { "up" } else { "down" };
                self.ledger.add(BALANCED, &[&told.called.service, subject, state], 1);
            }
            What::Fact(Fact::Notified(last)) => {
                self.ledger.add(SCRIPTS, &[last.hook, outcome(last.success)], 1);
            }
            What::Fact(Fact::Mailed(mailed)) => {
                self.ledger.add(MAILS, &[mailed.delivery.name()], mailed.count);
            }
            What::Lost(count) => self.ledger.add(LOST, &[], *count),
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
        self.shown.store(sample);
    }

    /// A series that begins with its first transition would hide that from `increase`.
    fn begin_transitions(&mut self, sample: &Sample) {
        let rows = sample.balance.iter().flat_map(|balance| &balance.services);
        let services: Vec<KeyValue> = rows.map(|row| row.label.clone()).collect();
        if services == self.services {
            return;
        }
        let names: BTreeSet<_> = services.iter().map(|label| label.value.to_string()).collect();
        for name in &names {
            for subject in ["server", "quorum"] {
                ["up", "down"].iter().for_each(|state| self.ledger.add(BALANCED, &[name, subject, state], 0));
            }
        }
        self.ledger.keep(BALANCED, |values| values.first().is_some_and(|name| names.contains(name)));
        self.services = services;
    }
}

#[cfg(test)]
mod tests;

//! Virtual routers: where they stand, their addresses and adverts.

use super::Shown;
use super::book::{Book, words};
use crate::chronicle::RouterView;
use crate::telemetry::attributes::of_router;
use crate::telemetry::names;
use crate::telemetry::words::{kind, state};
use hacluster_core::machine::StateKind;
use hacluster_core::receive::DiscardKind;
use hacluster_proto::v1::ReasonKind;
use opentelemetry::KeyValue;

/// Names a router.
const ROUTER: &[&str] = &[names::ROUTER, names::VRID, names::INTERFACE];

/// Tells numbers of one router, each with one more label or none.
type Look = fn(&RouterView, &mut dyn FnMut(u64, Option<KeyValue>));

fn each(shown: &Shown, look: Look, tell: &mut dyn FnMut(u64, &[KeyValue])) {
    for router in &shown.load().routers {
        let common = of_router(&router.identity);
        look(router, &mut |value, label| match label {
            Some(label) => {
                let [name, vrid, interface] = common.clone();
                tell(value, &[name, vrid, interface, label]);
            }
            None => tell(value, &common),
        });
    }
}

pub(super) fn instruments(book: &mut Book<'_>, shown: &Shown) {
    transitions(book, shown);
    let mut gauge = |of, look: Look| {
        let shown = shown.clone();
        book.gauge(of, move |to| {
            each(&shown, look, &mut |value, labels| to.observe(value as f64, labels));
        });
    };
    let text = "1 for the state it is in, 0 for the other three";
    let labels = &[names::ROUTER, names::VRID, names::INTERFACE, names::STATE];
    gauge(words("hacluster.vrrp.state", "{state}", labels, text), |router, tell| {
        for kind in StateKind::ALL {
            tell(u64::from(router.state() == kind), Some(KeyValue::new(names::STATE, state(kind))));
        }
    });
    let text = "1 while it hears a master, ours or another; 0 for one that rules itself";
    gauge(words("hacluster.vrrp.master.heard", "{master}", ROUTER, text), |router, tell| {
        tell(u64::from(router.standing.is_some_and(|standing| standing.master.is_some())), None);
    });
    let text = "The priority in force";
    gauge(words("hacluster.vrrp.priority", "{priority}", ROUTER, text), |router, tell| {
        let now = router.standing.map_or(router.setup.priority, |standing| standing.priority);
        tell(now.get().into(), None);
    });
    let text = "The priority that is configured";
    gauge(words("hacluster.vrrp.priority.base", "{priority}", ROUTER, text), |router, tell| {
        tell(router.setup.priority.get().into(), None);
    });
    let text = "Addresses that the state wants in place; never a series for each";
    gauge(words("hacluster.vip.wanted", "{address}", ROUTER, text), |router, tell| {
        let rules = router.state() == StateKind::Master;
        tell(if rules { router.setup.addresses.len() as u64 } else { 0 }, None);
    });
    let text = "Addresses that are in place";
    gauge(words("hacluster.vip.present", "{address}", ROUTER, text), |router, tell| {
        tell(router.held.present.iter().filter(|present| **present).count() as u64, None);
    });
    counters(book, shown);
}

/// Whether a state is usually entered for such a reason: then the series is there before the first time,
/// which `increase` could not see otherwise.
fn is_usual(state: StateKind, kind: ReasonKind) -> bool {
    use ReasonKind as Kind;
    match state {
        StateKind::Initialize => kind == Kind::Stopped,
        StateKind::Backup => matches!(
            kind,
            Kind::Started
                | Kind::Yielded
                | Kind::GaveAway
                | Kind::GroupYielded
                | Kind::ResignedOnRequest
                | Kind::Recovered
        ),
        StateKind::Master => {
            matches!(kind, Kind::Silence | Kind::Resigned | Kind::LowerPriority | Kind::HandedOver)
        }
        StateKind::Fault => kind == Kind::Fault,
    }
}

fn transitions(book: &mut Book<'_>, shown: &Shown) {
    let shown = shown.clone();
    let text = "Changes of state, by the state entered and the reason";
    let labels = &[names::ROUTER, names::VRID, names::INTERFACE, names::STATE, names::REASON_KIND];
    book.counter(words("hacluster.vrrp.transitions", "{transition}", labels, text), move |to| {
        for router in &shown.load().routers {
            let [name, vrid, interface] = of_router(&router.identity);
            let all = router.setup.tally.changes.all();
            for (entered, why, count) in
                all.filter(|(entered, why, count)| *count > 0 || is_usual(*entered, *why))
            {
                let (entered, why) = (
                    KeyValue::new(names::STATE, state(entered)),
                    KeyValue::new(names::REASON_KIND, kind(why)),
                );
                to.observe(count, &[name.clone(), vrid.clone(), interface.clone(), entered, why]);
            }
        }
    });
}

fn counters(book: &mut Book<'_>, shown: &Shown) {
    let mut counter = |of, look: Look| {
        let shown = shown.clone();
        book.counter(of, move |to| {
            each(&shown, look, &mut |value, labels| to.observe(value, labels));
        });
    };
    let text = "How often addresses that others removed were put back";
    counter(words("hacluster.vip.restorations", "{restoration}", ROUTER, text), |router, tell| {
        tell(router.held.restorations, None);
    });
    let text = "Adverts handed to the kernel";
    counter(words("hacluster.vrrp.adverts.sent", "{advert}", ROUTER, text), |router, tell| {
        tell(router.setup.tally.sent.get(), None);
    });
    let text = "Adverts, of those sent, that the kernel refused";
    counter(words("hacluster.vrrp.adverts.send_failures", "{advert}", ROUTER, text), |router, tell| {
        tell(router.setup.tally.send_failures.get(), None);
    });
    let text = "Adverts that were believed";
    counter(words("hacluster.vrrp.adverts.received", "{advert}", ROUTER, text), |router, tell| {
        tell(router.setup.tally.accepted.get(), None);
    });
    let text = "Adverts with priority 0, by which masters resign: sent (transmit), and believed (receive)";
    let labels = &[names::ROUTER, names::VRID, names::INTERFACE, names::DIRECTION];
    counter(words("hacluster.vrrp.adverts.priority_zero", "{advert}", labels, text), |router, tell| {
        let tally = &router.setup.tally;
        for (way, count) in [("transmit", &tally.resigned), ("receive", &tally.resignations)] {
            tell(count.get(), Some(KeyValue::new(names::DIRECTION, way)));
        }
    });
    let text = "Adverts that were believed although their addresses are not ours";
    counter(words("hacluster.vrrp.adverts.addresses_differ", "{advert}", ROUTER, text), |router, tell| {
        tell(router.setup.tally.addresses_differ.get(), None);
    });
    let text = "Adverts that were dropped, by cause";
    let labels = &[names::ROUTER, names::VRID, names::INTERFACE, names::DISCARD_CAUSE];
    counter(words("hacluster.vrrp.adverts.discarded", "{advert}", labels, text), |router, tell| {
        for (cause, count) in DiscardKind::NAMES.iter().zip(&router.setup.tally.discarded) {
            tell(count.get(), Some(KeyValue::new(names::DISCARD_CAUSE, *cause)));
        }
    });
}

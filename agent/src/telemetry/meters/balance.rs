//! Virtual and real servers, checks, and the kernel's IPVS.

use super::Shown;
use super::book::{Book, words};
use crate::telemetry::balance::{Balance, ServerRow, ServiceRow};
use crate::telemetry::names;
use crate::telemetry::words::outcome;
use hacluster_net::netlink::ipvs::Stats;
use opentelemetry::KeyValue;

const SERVICE: &[&str] = &[names::SERVICE];
const SERVER: &[&str] = &[names::SERVICE, names::SERVER];
const SERVICE_WAY: &[&str] = &[names::SERVICE, names::DIRECTION];
const SERVER_WAY: &[&str] = &[names::SERVICE, names::SERVER, names::DIRECTION];

pub(super) fn instruments(book: &mut Book<'_>, shown: &Shown) {
    services(book, shown);
    servers(book, shown);
    traffic(book, shown);
    checks(book, shown);
    kernel(book, shown);
}

fn flag(of: bool) -> f64 {
    f64::from(u8::from(of))
}

/// A number of a virtual server, where there is one.
type OfService = fn(&ServiceRow) -> Option<f64>;

fn services(book: &mut Book<'_>, shown: &Shown) {
    let mut gauge = |name, unit, text, number: OfService| {
        let shown = shown.clone();
        book.gauge(words(name, unit, SERVICE, text), move |to| {
            for row in shown.load().balance.iter().flat_map(|balance| &balance.services) {
                if let Some(number) = number(row) {
                    to.observe(number, std::slice::from_ref(&row.label));
                }
            }
        });
    };
    let text = "1 for a virtual server that has its quorum, 0 for one that lost it";
    gauge("hacluster.lvs.service.up", "{service}", text, |row| Some(flag(row.up)));
    let text = "For how long it has had its quorum, or not";
    gauge("hacluster.lvs.service.state.duration", "s", text, |row| Some(row.age.as_secs_f64()));
    let text = "Sum of the weights of its servers that are up";
    gauge("hacluster.lvs.service.weight", "{weight}", text, |row| Some(row.weight_up as f64));
    let text = "Sum of weights that is needed for the quorum";
    gauge("hacluster.lvs.service.weight.needed", "{weight}", text, |row| Some(row.weight_needed as f64));
    let text = "1 while its checks rest because another node holds its address (ha_suspend)";
    gauge("hacluster.lvs.service.suspended", "{service}", text, |row| Some(flag(row.suspended)));
    let text = "1 while its sorry server answers; none without one";
    gauge("hacluster.lvs.service.sorry", "{service}", text, |row| row.sorry.map(flag));
    let shown = shown.clone();
    let labels = &[names::SERVICE, names::LVS_STATE];
    let text =
        "Its real servers that are up or down, and that an operator drained, also those without series";
    book.gauge(words("hacluster.lvs.service.servers", "{server}", labels, text), move |to| {
        for row in shown.load().balance.iter().flat_map(|balance| &balance.services) {
            let all = [("up", row.servers_up), ("down", row.servers_down), ("drained", row.servers_drained)];
            for (name, count) in all {
                to.observe(count as f64, &[row.label.clone(), KeyValue::new(names::LVS_STATE, name)]);
            }
        }
    });
}

/// Numbers of a real server, each with one more label or none.
type OfServer = fn(&ServerRow, &mut dyn FnMut(f64, Option<KeyValue>));

fn with(row: &ServerRow, label: Option<KeyValue>) -> Vec<KeyValue> {
    row.labels.iter().cloned().chain(label).collect()
}

fn servers(book: &mut Book<'_>, shown: &Shown) {
    let mut gauge = |name, unit, labels, text, look: OfServer| {
        let shown = shown.clone();
        book.gauge(words(name, unit, labels, text), move |to| {
            for row in shown.load().balance.iter().flat_map(|balance| &balance.servers) {
                look(row, &mut |number, label| to.observe(number, &with(row, label)));
            }
        });
    };
    let text = "1 for a real server that can take connections, 0 for one that cannot";
    gauge("hacluster.lvs.server.up", "{server}", SERVER, text, |row, tell| tell(flag(row.up), None));
    let text = "For how long it has been up, or down";
    gauge("hacluster.lvs.server.state.duration", "s", SERVER, text, |row, tell| {
        tell(row.age.as_secs_f64(), None);
    });
    let text = "Its weight in force: the operator's, or one that checks ask for, or the configured one";
    gauge("hacluster.lvs.server.weight", "{weight}", SERVER, text, |row, tell| {
        tell(row.weight.into(), None);
    });
    let text = "Its configured weight";
    gauge("hacluster.lvs.server.weight.configured", "{weight}", SERVER, text, |row, tell| {
        tell(row.weight_configured.into(), None);
    });
    let labels = &[names::SERVICE, names::SERVER, names::ORDER];
    let text = "1 while an operator's order is in force: no new connections (drain), another weight (weight)";
    gauge("hacluster.lvs.server.ordered", "{order}", labels, text, |row, tell| {
        tell(flag(row.drained), Some(KeyValue::new(names::ORDER, "drain")));
        tell(flag(row.overridden), Some(KeyValue::new(names::ORDER, "weight")));
    });
    let text = "How long the latest try of its slowest check took";
    gauge("hacluster.lvs.server.check.duration", "s", SERVER, text, |row, tell| {
        if let Some(took) = row.took {
            tell(took.as_secs_f64(), None);
        }
    });
    let labels = &[names::SERVICE, names::SERVER, names::CONNECTION_STATE];
    let text = "Connections that the kernel keeps of it: established (active), or not any more (inactive)";
    gauge("hacluster.lvs.server.connections.kept", "{connection}", labels, text, |row, tell| {
        if let Some(counted) = &row.counted {
            tell(counted.active.into(), Some(KeyValue::new(names::CONNECTION_STATE, "active")));
            tell(counted.inactive.into(), Some(KeyValue::new(names::CONNECTION_STATE, "inactive")));
        }
    });
}

/// Totals of the kernel, each with its direction or none.
type OfStats = fn(&Stats, &mut dyn FnMut(u64, Option<KeyValue>));

fn way(direction: &'static str) -> Option<KeyValue> {
    Some(KeyValue::new(names::DIRECTION, direction))
}

fn traffic(book: &mut Book<'_>, shown: &Shown) {
    let connections: OfStats = |of, tell| tell(of.connections, None);
    let packets: OfStats = |of, tell| {
        tell(of.packets_in, way("receive"));
        tell(of.packets_out, way("transmit"));
    };
    let bytes: OfStats = |of, tell| {
        tell(of.bytes_in, way("receive"));
        tell(of.bytes_out, way("transmit"));
    };
    let of_services = [
        ("hacluster.lvs.service.connections", "{connection}", SERVICE, "Connections scheduled", connections),
        (
            "hacluster.lvs.service.packets",
            "{packet}",
            SERVICE_WAY,
            "Packets from clients (receive), and to them as far as they come back through the node (transmit)",
            packets,
        ),
        ("hacluster.lvs.service.io", "By", SERVICE_WAY, "The same in bytes", bytes),
    ];
    for (name, unit, labels, text, look) in of_services {
        let shown = shown.clone();
        book.counter(words(name, unit, labels, text), move |to| {
            for row in shown.load().balance.iter().flat_map(|balance| &balance.services) {
                let Some(stats) = &row.stats else { continue };
                look(stats, &mut |number, label| {
                    let labels: Vec<_> = std::iter::once(row.label.clone()).chain(label).collect();
                    to.observe(number, &labels);
                });
            }
        });
    }
    let of_servers = [
        (
            "hacluster.lvs.server.connections",
            "{connection}",
            SERVER,
            "Connections scheduled since it came into the kernel's table",
            connections,
        ),
        ("hacluster.lvs.server.packets", "{packet}", SERVER_WAY, "Its packets", packets),
        ("hacluster.lvs.server.io", "By", SERVER_WAY, "Its bytes", bytes),
    ];
    for (name, unit, labels, text, look) in of_servers {
        let shown = shown.clone();
        book.counter(words(name, unit, labels, text), move |to| {
            for row in shown.load().balance.iter().flat_map(|balance| &balance.servers) {
                let Some(counted) = &row.counted else { continue };
                look(&counted.stats, &mut |number, label| to.observe(number, &with(row, label)));
            }
        });
    }
}

fn checks(book: &mut Book<'_>, shown: &Shown) {
    let shown = shown.clone();
    let labels = &[names::CHECK_KIND, names::OUTCOME];
    let text = "Tries of checks: good, bad, or untried because this node could not";
    book.counter(words("hacluster.lvs.checks", "{try}", labels, text), move |to| {
        let sample = shown.load();
        if sample.balance.is_none() {
            return;
        }
        for (kind, result, count) in sample.checks.iter().flat_map(|checks| checks.tries()) {
            let kind = KeyValue::new(names::CHECK_KIND, kind);
            to.observe(count, &[kind, KeyValue::new(names::OUTCOME, result)]);
        }
    });
}

/// A number of the whole.
type OfAll = fn(&Balance) -> f64;

fn kernel(book: &mut Book<'_>, shown: &Shown) {
    let mut gauge = |name, unit, text, number: OfAll| {
        let shown = shown.clone();
        book.gauge(words(name, unit, &[], text), move |to| {
            if let Some(balance) = &shown.load().balance {
                to.observe(number(balance), &[]);
            }
        });
    };
    let text = "Virtual servers beyond those that have series of their own";
    gauge("hacluster.lvs.services.unlisted", "{service}", text, |of| of.unlisted.0 as f64);
    let text = "Real servers beyond those that have series of their own";
    gauge("hacluster.lvs.servers.unlisted", "{server}", text, |of| of.unlisted.1 as f64);
    let text = "1 while the kernel balances (ip_vs is there and answers)";
    gauge("hacluster.ipvs.available", "{kernel}", text, |of| flag(of.available));
    let text = "Things that the kernel refuses of what is wanted";
    gauge("hacluster.ipvs.refused", "{refusal}", text, |of| of.refused as f64);
    let own = shown.clone();
    let text = "Changes of its table that were sent to the kernel, by whether it took them";
    book.counter(words("hacluster.ipvs.changes", "{change}", &[names::OUTCOME], text), move |to| {
        if let Some(balance) = &own.load().balance {
            let counts = &balance.counts;
            to.observe(counts.sent.get(), &[KeyValue::new(names::OUTCOME, outcome(true))]);
            to.observe(counts.refused.get(), &[KeyValue::new(names::OUTCOME, outcome(false))]);
        }
    });
    let own = shown.clone();
    let text = "How often what other programs did to our virtual servers was mended";
    book.counter(words("hacluster.ipvs.mended", "{look}", &[], text), move |to| {
        if let Some(balance) = &own.load().balance {
            to.observe(balance.counts.mended.get(), &[]);
        }
    });
    let own = shown.clone();
    let text = "How often the kernel did not answer over netlink as it should";
    book.counter(words("hacluster.ipvs.failures", "{failure}", &[], text), move |to| {
        if let Some(balance) = &own.load().balance {
            to.observe(balance.counts.lost.get(), &[]);
        }
    });
}

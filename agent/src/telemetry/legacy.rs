//! The names that exporters for keepalived gave their metrics, for dashboards that have them.
//!
//! Not repeated: a series for every address (`ip_address` is the first one), and the state as a label of
//! counters, which broke their rates at every change. The number of the state stays what it was: 0
//! initialize, 1 backup, 2 master, 3 fault; `hacluster_vrrp_state` is the better one.

use super::sample::{Sample, TRACKERS_MAX};
use crate::chronicle::RouterView;
use hacluster_core::machine::StateKind;
use hacluster_core::receive::DiscardKind;
use hacluster_core::track::Reading;
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Labels of a virtual router.
const ROUTER: [&str; 3] = ["iname", "intf", "vrid"];

/// A counter of theirs, and what it is here.
type Number = fn(&RouterView) -> u64;

fn dropped(router: &RouterView, kinds: &[DiscardKind]) -> u64 {
    kinds.iter().map(|kind| router.setup.tally.discarded[*kind as usize].get()).sum()
}

const COUNTERS: &[(&str, Number)] = &[
    ("keepalived_advertisements_received_total", |it| it.setup.tally.accepted.get()),
    ("keepalived_advertisements_sent_total", |it| it.setup.tally.sent.get()),
    ("keepalived_become_master_total", |it| it.setup.tally.became_master.get()),
    ("keepalived_release_master_total", |it| it.setup.tally.left_master.get()),
    ("keepalived_priority_zero_received_total", |it| it.setup.tally.resignations.get()),
    ("keepalived_priority_zero_sent_total", |it| it.setup.tally.resigned.get()),
    ("keepalived_address_list_errors_total", |it| it.setup.tally.addresses_differ.get()),
    ("keepalived_packet_length_errors_total", |it| dropped(it, &[DiscardKind::Length])),
    ("keepalived_advertisements_interval_errors_total", |it| dropped(it, &[DiscardKind::Interval])),
    ("keepalived_ip_ttl_errors_total", |it| dropped(it, &[DiscardKind::Ttl])),
    ("keepalived_invalid_type_received_total", |it| dropped(it, &[DiscardKind::Type])),
    ("keepalived_authentication_invalid_total", |it| dropped(it, &[DiscardKind::AuthUnknown])),
    ("keepalived_authentication_mismatch_total", |it| dropped(it, &[DiscardKind::AuthMismatch])),
    ("keepalived_authentication_failure_total", |it| dropped(it, &[DiscardKind::AuthFailure])),
];

/// All of them, of one moment.
pub(super) fn families(sample: &Sample) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let registry = Registry::new();
    let up = IntGauge::new("keepalived_up", "1: the state could be read")?;
    up.set(1);
    registry.register(Box::new(up))?;
    let mut labels = ROUTER.to_vec();
    labels.push("ip_address");
    let text = "0 initialize, 1 backup, 2 master, 3 fault";
    let states = IntGaugeVec::new(Opts::new("keepalived_vrrp_state", text), &labels)?;
    for router in &sample.routers {
        let [name, interface, vrid] = of(router);
        let first = router.setup.addresses.first().map_or("", |address| address.text.as_str());
        let values = [name.as_str(), interface.as_str(), vrid.as_str(), first];
        states.with_label_values(&values).set(number(router.state()));
    }
    registry.register(Box::new(states))?;
    for (name, number) in COUNTERS {
        let counter = IntCounterVec::new(Opts::new(*name, "see hacluster_vrrp_adverts"), &ROUTER)?;
        for router in &sample.routers {
            counter.with_label_values(&of(router)).inc_by(number(router));
        }
        registry.register(Box::new(counter))?;
    }
    let scripts = IntGaugeVec::new(Opts::new("keepalived_script_status", "1 good, 0 failed"), &["name"])?;
    for view in sample.trackers.iter().flat_map(|views| views.iter()).take(TRACKERS_MAX) {
        let good = matches!(view.seen().reading, Reading::Good | Reading::Number(_));
        let name = view.id.to_string();
        if let Some(name) = name.strip_prefix("script ") {
            scripts.with_label_values(&[name]).set(i64::from(good));
        }
    }
    registry.register(Box::new(scripts))?;
    Ok(registry.gather())
}

fn of(router: &RouterView) -> [String; 3] {
    let identity = &router.identity;
    [identity.name.clone(), identity.interface.clone(), identity.vrid.to_string()]
}

fn number(of: StateKind) -> i64 {
    match of {
        StateKind::Initialize => 0,
        StateKind::Backup => 1,
        StateKind::Master => 2,
        StateKind::Fault => 3,
    }
}

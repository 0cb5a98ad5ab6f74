//! What people see, as texts.

use super::events;
use super::screen::Screen;
use super::status::{Style, text};
use super::yaml;
use crate::view::history::{NodeEvent, changes, merge};
use crate::view::samples::{NOW, Sample, ago, asked, local, status};
use crate::view::{Certificate, Event, Status};
use hacluster_proto::v1::{self, ReasonKind, State::*};
use jiff::Timestamp;

const PLAIN: Style = Style { wide: false, color: false, columns: 80 };

/// As on a terminal of 80 columns: nothing is wider.
fn shown(status: &Status) -> String {
    let text = text(status, PLAIN);
    let wide: Vec<_> = text.lines().filter(|line| line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "{wide:#?}");
    text
}

fn pair() -> Vec<Sample> {
    vec![
        Sample::node("node1").router("VI_1", 191, Master, 201),
        Sample::node("node2").router("VI_1", 191, Backup, 101).hears("192.0.2.11", 201),
    ]
}

#[test]
fn healthy_pair() {
    let status = status(pair());
    assert_eq!(status.health, "ok");
    insta::assert_snapshot!(shown(&status));
}

#[test]
fn dual_master_topology() {
    let [one, two] = <[Sample; 2]>::try_from(pair()).ok().unwrap();
    let one = one.router("VI_2", 192, Backup, 101).hears("192.0.2.12", 201);
    let status = status(vec![one, two.router("VI_2", 192, Master, 201)]);
    assert_eq!(status.health, "ok");
    insta::assert_snapshot!(shown(&status));
}

fn ring() -> Vec<Sample> {
    vec![
        Sample::node("node1")
            .router("VI_1", 191, Master, 201)
            .router("VI_3", 193, Backup, 101)
            .hears("192.0.2.13", 201),
        Sample::node("node2")
            .router("VI_2", 192, Master, 201)
            .router("VI_1", 191, Backup, 101)
            .hears("192.0.2.11", 201),
        Sample::node("node3")
            .router("VI_3", 193, Master, 201)
            .router("VI_2", 192, Backup, 101)
            .hears("192.0.2.12", 201),
    ]
}

#[test]
fn ring_of_three() {
    let status = status(ring());
    assert_eq!(status.health, "ok");
    insta::assert_snapshot!(shown(&status));
}

#[test]
fn ring_of_three_on_a_wide_terminal() {
    insta::assert_snapshot!(text(&status(ring()), Style { columns: 120, ..PLAIN }));
}

#[test]
fn everything_there_is() {
    insta::assert_snapshot!(text(&status(pair()), Style { wide: true, ..PLAIN }));
}

#[test]
fn fault() {
    let one = Sample::node("node1").router("VI_1", 191, Fault, 201);
    let one = one.since(240, ReasonKind::Fault, "the interface has no link");
    let two = Sample::node("node2").router("VI_1", 191, Master, 101);
    let status = status(vec![one, two.since(239, ReasonKind::Resigned, "node1 resigned")]);
    assert_eq!((status.health, status.routers[0].why_not.as_ref().unwrap().kind), ("degraded", "fault"));
    insta::assert_snapshot!(shown(&status));
}

#[test]
fn nobody_rules() {
    let one = Sample::node("node1").router("VI_1", 191, Fault, 201);
    let status = status(vec![one, Sample::node("node2").router("VI_1", 191, Fault, 101)]);
    assert_eq!(status.warnings[0].kind, "no_master");
    insta::assert_snapshot!(shown(&status));
}

#[test]
fn two_masters() {
    let two = Sample::node("node2").router("VI_1", 191, Master, 101).with(|router| {
        let counters = router.counters.get_or_insert_default();
        counters.adverts_discarded.insert("auth_failure".into(), 41);
    });
    let three = Sample::node("node3").router("VI_1", 191, Backup, 90).hears("192.0.2.11", 201);
    let [one, _] = <[Sample; 2]>::try_from(pair()).ok().unwrap();
    let status = status(vec![one, two, three]);
    assert_eq!(status.warnings[0].kind, "two_masters");
    insta::assert_snapshot!(shown(&status));
}

#[test]
fn node_unreachable() {
    let [_, two] = <[Sample; 2]>::try_from(pair()).ok().unwrap();
    let status = status(vec![Sample::dead("node1"), two]);
    assert_eq!(status.health, "unreachable");
    insta::assert_snapshot!(shown(&status));
}

fn hold(kind: v1::HoldKind, to: &str) -> v1::Hold {
    v1::Hold {
        kind: kind.into(),
        by: "anna".into(),
        reason: "kernel update".into(),
        since: ago(240),
        until: ago(-3_360),
        to_node: to.into(),
    }
}

fn moved() -> Vec<Sample> {
    let one = Sample::node("node1").router("VI_1", 191, Backup, 201).hears("192.0.2.12", 201);
    let one = one.since(240, ReasonKind::GaveAway, "handed over to node2");
    let two = Sample::node("node2").router("VI_1", 191, Master, 101).with(|router| {
        let (by, reason) = ("anna".into(), "kernel update".into());
        let from_node = "node1".into();
        router.lead = Some(v1::Lead { priority: 201, from_node, by, reason, since: ago(240) });
        router.priority_effective = 201;
        let text = "leads since node1 handed over".into();
        router.priority_causes = vec![v1::PriorityCause { difference: 100, name: "lead".into(), text }];
    });
    vec![
        one.with(|router| router.hold = Some(hold(v1::HoldKind::Failover, "node2"))),
        two.since(240, ReasonKind::HandedOver, "node1 handed over"),
    ]
}

#[test]
fn hold_after_failover() {
    let status = status(moved());
    assert_eq!(status.health, "ok", "what was ordered is as it should be");
    assert_eq!(status.routers[0].why_not.as_ref().unwrap().kind, "holds_back");
    insta::assert_snapshot!(shown(&status));
}

#[test]
fn drained_node() {
    let drain = hold(v1::HoldKind::Drain, "");
    let one = Sample::node("node1").and(|node| node.drain = Some(drain.clone()));
    let one = one.router("VI_1", 191, Backup, 201).hears("192.0.2.12", 101).with(|router| {
        router.priority_effective = 1;
        let text = "the node is drained".into();
        router.priority_causes = vec![v1::PriorityCause { difference: -200, name: "drained".into(), text }];
        router.hold = Some(drain);
    });
    let two = Sample::node("node2").router("VI_1", 191, Master, 101);
    let status = status(vec![one, two.since(240, ReasonKind::HandedOver, "node1 handed over")]);
    assert_eq!((status.health, status.notes.len()), ("ok", 1));
    insta::assert_snapshot!(shown(&status));
}

#[test]
fn filtered_on_purpose() {
    let filter = |missing| v1::PacketFilter { reason: "vrrp_strict without accept".into(), missing };
    let both = pair().into_iter().map(|node| node.with(|router| router.filter = Some(filter(false))));
    let filtered = status(both.collect());
    assert_eq!((filtered.health, filtered.notes.len()), ("ok", 1));
    insta::assert_snapshot!(shown(&filtered));
    let [one, two] = <[Sample; 2]>::try_from(pair()).ok().unwrap();
    let served = status(vec![one.with(|router| router.filter = Some(filter(true))), two]);
    assert_eq!((served.health, served.warnings[0].kind), ("degraded", "filter_missing"));
    insta::assert_snapshot!(shown(&served));
}

#[test]
fn drift() {
    let [one, two] = <[Sample; 2]>::try_from(pair()).ok().unwrap();
    let three = Sample::node("node3").router("VI_1", 191, Backup, 50).hears("192.0.2.11", 201);
    let status = status(vec![one, two.agreement("other"), three]);
    insta::assert_snapshot!(shown(&status));
}

#[test]
fn plain_keepalived_master() {
    let one = Sample::node("node1").router("VI_1", 191, Backup, 201).hears("192.0.2.99", 240);
    let status =
        status(vec![one, Sample::node("node2").router("VI_1", 191, Backup, 101).hears("192.0.2.99", 240)]);
    assert_eq!(status.health, "ok");
    insta::assert_snapshot!(shown(&status));
}

#[test]
fn plain_master_with_a_lower_priority() {
    let one = Sample::node("node1").router("VI_1", 191, Backup, 201).hears("192.0.2.99", 140);
    let status = status(vec![one]);
    assert_eq!(status.routers[0].why_not.as_ref().unwrap().kind, "does_not_preempt");
    insta::assert_snapshot!(shown(&status));
}

#[test]
fn certificate_of_30_days() {
    let certificate = |days: i64| v1::Certificate {
        path: "/etc/hacluster/node.crt".into(),
        subject: "node2".into(),
        expires: ago(-86_400 * days),
        authority_expires: ago(-86_400 * 3_000),
        revoked_due: ago(-86_400 * 3_000),
    };
    let [one, two] = <[Sample; 2]>::try_from(pair()).ok().unwrap();
    let one = one.and(|node| node.certificate = Some(certificate(31)));
    let two = two.and(|node| node.certificate = Some(certificate(29)));
    let own = Certificate {
        path: "~/.config/haclusterctl/anna.crt".into(),
        subject: "anna".into(),
        expires: Timestamp::from_second(NOW + 86_400).ok(),
        authority_expires: None,
        revoked_due: None,
    };
    let status = asked(vec![one, two], Some(own), &[]).unwrap();
    assert_eq!(status.warnings.len(), 2);
    insta::assert_snapshot!(shown(&status));
}

#[test]
fn many_odd_things() {
    let [one, two] = <[Sample; 2]>::try_from(pair()).ok().unwrap();
    let one = one.and(|node| {
        node.now = ago(-3_600);
        node.peers = vec![v1::PeerLink {
            name: "node2".into(),
            address: "192.0.2.12:9443".into(),
            since: ago(60 - 3_600),
            error: "connection refused".into(),
            ..Default::default()
        }];
    });
    let one = one.with(|router| router.addresses[0].present = false);
    let mut two = two.with(|router| router.addresses[0].present = true).and(|node| {
        node.agent_version = "0.2.0".into();
        node.name = "two".into();
        node.configuration.get_or_insert_default().file_state = v1::FileState::Changed.into();
    });
    two.answer.refused =
        vec![v1::RefusedRouter { name: "VI_6".into(), reason: "IPv6 is not supported".into() }];
    insta::assert_snapshot!(shown(&status(vec![one, two])));
}

#[test]
fn local_only() {
    let node = Sample::node("node1").router("VI_1", 51, Master, 100);
    let node = node.router("VI_2", 52, Backup, 98).hears("192.168.4.200", 150);
    let status = local(node);
    assert_eq!(status.health, "ok");
    insta::assert_snapshot!(shown(&status));
}

#[test]
fn local_and_degraded() {
    let mut node = Sample::node("node1").router("VI_1", 51, Fault, 100);
    node = node.since(240, ReasonKind::Fault, "the interface has no link");
    node.answer.refused =
        vec![v1::RefusedRouter { name: "VI_6".into(), reason: "IPv6 is not supported".into() }];
    insta::assert_snapshot!(text(&local(node), Style { wide: true, ..PLAIN }));
}

#[test]
fn a_failed_check_and_what_it_lowers() {
    let [mut one, two] = <[Sample; 2]>::try_from(pair()).ok().unwrap();
    one.answer.node.as_mut().unwrap().trackers = vec![
        v1::Tracker {
            name: "script chk_nginx".into(),
            reading: v1::Reading::Bad.into(),
            since: ago(240),
            text: "exit 1: \"no process\"".into(),
            looked: ago(1),
            took: Some(prost_types::Duration { seconds: 0, nanos: 12_300_000 }),
            against: 1,
            needed: 2,
            kind: "script".into(),
            end: "exit 1".into(),
            output: "no process".into(),
            as_wanted: Some(false),
        },
        v1::Tracker {
            name: "file down".into(),
            reading: v1::Reading::Number.into(),
            since: ago(240),
            text: "/etc/keepalived/down says 0".into(),
            looked: ago(240),
            ..Default::default()
        },
    ];
    let cause = v1::PriorityCause {
        difference: -20,
        name: "script chk_nginx".into(),
        text: "exit 1: \"no process\"".into(),
    };
    let one = one.with(|router| {
        router.priority_effective = 181;
        router.priority_causes = vec![cause];
    });
    let status = status(vec![one, two]);
    assert_eq!(status.health, "degraded");
    insta::assert_snapshot!(text(&status, Style { wide: true, ..PLAIN }));
}

#[test]
fn a_tracker_that_is_wanted_bad_does_not_degrade() {
    let tracker = |reading: v1::Reading, as_wanted| v1::Tracker {
        name: "process mysqld".into(),
        reading: reading.into(),
        since: ago(240),
        text: "0 mysqld run, at least 1 wanted".into(),
        looked: ago(1),
        as_wanted,
        ..Default::default()
    };
    let health = |reading, as_wanted| {
        let [mut one, two] = <[Sample; 2]>::try_from(pair()).ok().unwrap();
        one.answer.node.as_mut().unwrap().trackers = vec![tracker(reading, as_wanted)];
        let status = status(vec![one, two]);
        (status.health, status.warnings.first().map(|found| found.text.clone()))
    };
    assert_eq!(health(v1::Reading::Bad, Some(true)).0, "ok");
    assert_eq!(health(v1::Reading::Good, Some(true)).0, "ok");
    let (state, text) = health(v1::Reading::Good, Some(false));
    assert!(state == "degraded" && text.as_ref().unwrap().contains("wanted bad (reverse)"), "{text:?}");
    assert_eq!(health(v1::Reading::Bad, None).0, "degraded", "an agent that does not tell");
}

#[test]
fn routes_and_hooks_beside_the_addresses() {
    let routes = |present: bool| {
        let route = |text: &str, present| v1::Route { text: text.into(), present };
        vec![
            route("route 198.51.100.0/24 via 192.0.2.254", present),
            route("rule from 192.0.2.1 lookup 5", false),
        ]
    };
    let hook = |hook: &str, state: &str, success, text: &str| v1::HookRun {
        hook: hook.into(),
        state: state.into(),
        at: ago(30),
        success,
        text: text.into(),
    };
    let [one, two] = <[Sample; 2]>::try_from(pair()).ok().unwrap();
    let one = one.with(|router| {
        router.routes = routes(true);
        router.last_hook = Some(hook("notify_master", "MASTER", false, "exit 127: \"mail: not found\""));
    });
    let two = two.with(|router| {
        router.routes = routes(false);
        router.last_hook = Some(hook("notify", "BACKUP", true, "exit 0"));
    });
    let status = status(vec![one, two]);
    assert_eq!((status.warnings[0].kind, status.notes[0].kind), ("route_missing", "hook_failed"));
    insta::assert_snapshot!(text(&status, Style { wide: true, ..PLAIN }));
}

#[test]
fn one_router_for_programs() {
    let status = asked(ring(), None, &["vi_2"]).unwrap();
    insta::assert_snapshot!(yaml::text(&serde_json::to_value(&status).unwrap()));
}

#[test]
fn a_name_nobody_has_may_be_on_a_dead_node() {
    let alive = Sample::node("node1").router("VI_1", 191, Master, 201);
    let usage = asked(vec![alive, Sample::dead("node3")], None, &["VI_9"]).unwrap_err().0;
    assert!(usage.contains("node3 did not answer"), "{usage}");
    let dead = asked(vec![Sample::dead("node3")], None, &["VI_9"]).unwrap();
    assert_eq!(dead.health, "unreachable", "not wrong usage: nobody knows");
}

fn told(node: &str, seconds: i64, to: v1::State, kind: ReasonKind, text: &str) -> NodeEvent {
    let from = if to == Master { Backup } else { Master };
    let transition = v1::Transition {
        from: from.into(),
        to: to.into(),
        reason: Some(v1::Reason { kind: kind.into(), text: text.into() }),
        priority: 100,
        at: ago(seconds),
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".into(),
        ..Default::default()
    };
    let event = v1::Event {
        at: ago(seconds),
        router: "VI_1".into(),
        warning: to == Fault,
        text: format!("is {}: {text}", to.as_str_name()),
        transition: Some(transition),
        ..Default::default()
    };
    let mut status = status(pair());
    status.nodes[1].clock_offset_ms = Some(2_989.0);
    let number = usize::from(node == "node2");
    NodeEvent::of(Event::from(event), &status, number)
}

/// The samples' agents began 200000 s ago.
#[test]
fn an_offset_measured_now_says_nothing_of_the_time_before_an_agent_began() {
    let moved = |earlier: i64| {
        let events = merge(vec![
            told("node1", earlier + 60, Fault, ReasonKind::Fault, "the interface has no link"),
            told("node2", earlier + 54, Master, ReasonKind::Resigned, "node1 resigned"),
        ]);
        changes(&events)[1].nobody_ruled().map(|(gap, _)| gap)
    };
    assert_eq!(moved(0), Some(3_011.0));
    assert_eq!(moved(199_943), None, "node1 began anew in between");
    assert_eq!(moved(300_000), None);
}

#[test]
fn history_of_two_nodes() {
    // node2's clock is 3 s ahead: only by our clock its takeover comes second.
    let events = merge(vec![
        told("node2", 57, Master, ReasonKind::Resigned, "node1 resigned"),
        told("node1", 900, Master, ReasonKind::Silence, "no master was heard"),
        told("node1", 60, Fault, ReasonKind::Fault, "the interface has no link"),
    ]);
    insta::assert_snapshot!(events::history(&changes(&events), false));
    insta::assert_snapshot!(events.iter().map(|of| events::event(of, Some(5))).collect::<String>());
}

fn drawn(screen: &Screen, columns: u16, rows: u16) -> String {
    let backend = ratatui::backend::TestBackend::new(columns, rows);
    let mut terminal = ratatui::Terminal::new(backend).unwrap();
    terminal.draw(|frame| screen.draw(frame)).unwrap();
    terminal.backend().to_string()
}

fn screen(status: Status) -> Screen {
    Screen { status, events: Vec::new(), scrolled: 0, color: false, clock: "14:13:20".into() }
}

#[test]
fn the_picture_of_watch() {
    let mut screen = screen(status(moved()));
    screen.add(vec![
        told("node2", 57, Master, ReasonKind::Resigned, "node1 resigned"),
        told("node1", 60, Fault, ReasonKind::Fault, "the interface has no link, and this reason is long"),
    ]);
    insta::assert_snapshot!(drawn(&screen, 80, 16));
}

#[test]
fn the_picture_scrolls_and_fits_any_terminal() {
    let mut node = Sample::node("node1");
    for number in 1..=30 {
        node = node.router(&format!("VI_{number:02}"), number, Master, 100);
    }
    let mut screen = screen(status(vec![node]));
    screen.scroll(5);
    insta::assert_snapshot!(drawn(&screen, 80, 14));
    screen.scroll(isize::MAX);
    assert!(drawn(&screen, 80, 14).contains("VI_30"));
    screen.scroll(isize::MIN);
    assert!(drawn(&screen, 80, 14).contains("VI_01"));
    for (columns, rows) in [(1, 1), (5, 3), (300, 2), (20, 100)] {
        drawn(&screen, columns, rows);
    }
}

#[test]
fn the_picture_keeps_a_bounded_past() {
    let mut screen = screen(status(pair()));
    for _ in 0..3 {
        let event = || told("node1", 60, Fault, ReasonKind::Fault, "x");
        screen.add((0..600).map(|_| event()).collect());
    }
    assert_eq!(screen.events.len(), super::screen::EVENTS_MAX);
}

#[test]
fn an_event_moves_no_cursor() {
    let event =
        v1::Event { router: "VI_1".into(), warning: true, text: "a\x1b[2J\nb".into(), ..Default::default() };
    let event = NodeEvent::of(Event::from(event), &status(pair()), 0);
    assert_eq!(events::event(&event, None), "- ! VI_1: a\u{fffd}[2J\u{fffd}b\n");
}

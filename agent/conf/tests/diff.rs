//! What a reload changes: every field, how it is put in force, and the line people read.

#![allow(clippy::unwrap_used)] // a helper fails its test that way

use hacluster_conf::diag::{Diagnostic, FileId, Severity, Span};
use hacluster_conf::diff::{Change, Effect, diff, new_errors};
use hacluster_conf::model::{
    Accept, Address, Authentication, Config, Garp, InitialState, Notify, Preemption, VirtualRouter,
};
use hacluster_core::{interval::Seconds, priority::Priority, time::Duration, vrid::Vrid};
use std::net::Ipv4Addr;

fn router(name: &str, interface: &str, vrid: u8) -> VirtualRouter {
    VirtualRouter {
        name: name.into(),
        interface: interface.into(),
        vrid: Vrid::new(vrid).unwrap(),
        initial_state: InitialState::Backup,
        priority: Priority::DEFAULT,
        advert_interval: Seconds::ONE,
        preemption: Preemption::After(Duration::ZERO),
        authentication: Authentication::Pass(*b"old\0\0\0\0\0"),
        addresses: vec![address(1), address(2)],
        excluded: vec![],
        routes: vec![],
        rules: vec![],
        mcast_group: Ipv4Addr::new(224, 0, 0, 18),
        source: None,
        garp: Garp::default(),
        down_timer_adverts: 3,
        lower_prio_no_advert: false,
        higher_prio_send_advert: true,
        owner_ignore_adverts: false,
        skip_check_adv_addr: false,
        strict: false,
        accept: Accept::Yes,
        dont_track_primary: false,
        promote_secondaries: false,
        tracked: vec![],
        notify: Notify::default(),
    }
}

fn address(last: u8) -> Address {
    Address::new(Ipv4Addr::new(192, 0, 2, last), 24)
}

fn of(routers: Vec<VirtualRouter>) -> Config {
    Config { routers, ..Config::default() }
}

fn lines(old: &Config, new: &Config) -> Vec<String> {
    diff(old, new).iter().map(ToString::to_string).collect()
}

#[test]
fn unchanged_is_empty() {
    let config = of(vec![router("A", "eth0", 1), router("B", "eth0", 2)]);
    assert_eq!(diff(&config, &config), []);
}

type Edit = fn(&mut VirtualRouter);

#[test]
fn every_field_of_a_router_is_seen_and_named() {
    use Effect::{Live, Restart};
    let table: &[(Edit, Effect, &str)] = &[
        (|r| r.name = "B".into(), Live, "B: name A -> B"),
        (|r| r.interface = "eth1".into(), Restart, "A: interface eth0 -> eth1 (restarts it)"),
        (|r| r.vrid = Vrid::new(9).unwrap(), Restart, "A: vrid 1 -> 9 (restarts it)"),
        (|r| r.initial_state = InitialState::Master, Live, "A: state BACKUP -> MASTER"),
        (|r| r.priority = Priority::from_wire(90), Live, "A: priority 100 -> 90"),
        (|r| r.advert_interval = Seconds::new(2).unwrap(), Live, "A: advert_interval 1s -> 2s"),
        (|r| r.preemption = Preemption::Never, Live, "A: preempt at once -> never"),
        (
            |r| r.preemption = Preemption::After(Duration::from_millis(2500)),
            Live,
            "A: preempt at once -> after 2.5s",
        ),
        (|r| r.authentication = Authentication::Pass(*b"hunter22"), Live, "A: password changed"),
        (|r| r.authentication = Authentication::None, Live, "A: password removed"),
        (|r| r.addresses = vec![address(2), address(3)], Live, "A: addresses +192.0.2.3/24 -192.0.2.1/24"),
        (|r| r.addresses.reverse(), Live, "A: addresses reordered"),
        (|r| r.addresses[0].label = Some("eth0:1".into()), Live, "A: addresses ~192.0.2.1/24"),
        (
            |r| r.routes.push("10.0.0.0/8 via 192.0.2.9".parse().unwrap()),
            Live,
            "A: routes +(10.0.0.0/8 via 192.0.2.9)",
        ),
        (
            |r| r.rules.push("from 192.0.2.1 table 7".parse().unwrap()),
            Live,
            "A: rules +(from 192.0.2.1/32 table 7)",
        ),
        (|r| r.excluded.push(address(7)), Live, "A: excluded +192.0.2.7/24"),
        (
            |r| r.mcast_group = Ipv4Addr::new(224, 0, 0, 200),
            Restart,
            "A: mcast_group 224.0.0.18 -> 224.0.0.200 (restarts it)",
        ),
        (
            |r| r.source = Some(Ipv4Addr::new(192, 0, 2, 99)),
            Restart,
            "A: source automatic -> 192.0.2.99 (restarts it)",
        ),
        (|r| r.garp.master_delay = Duration::from_secs(1), Live, "A: garp.master_delay 5s -> 1s"),
        (|r| r.garp.master_repeat = 1, Live, "A: garp.master_repeat 5 -> 1"),
        (|r| r.garp.master_refresh = Duration::from_secs(60), Live, "A: garp.master_refresh 0s -> 60s"),
        (|r| r.garp.master_refresh_repeat = 2, Live, "A: garp.master_refresh_repeat 1 -> 2"),
        (|r| r.garp.lower_prio_delay = Duration::ZERO, Live, "A: garp.lower_prio_delay 5s -> 0s"),
        (|r| r.garp.lower_prio_repeat = 1, Live, "A: garp.lower_prio_repeat 5 -> 1"),
        (|r| r.garp.interval = Duration::from_millis(1), Live, "A: garp.interval 0s -> 0.001s"),
        (|r| r.down_timer_adverts = 5, Live, "A: down_timer_adverts 3 -> 5"),
        (|r| r.lower_prio_no_advert = true, Live, "A: lower_prio_no_advert false -> true"),
        (|r| r.higher_prio_send_advert = false, Live, "A: higher_prio_send_advert true -> false"),
        (|r| r.owner_ignore_adverts = true, Live, "A: owner_ignore_adverts false -> true"),
        (|r| r.skip_check_adv_addr = true, Live, "A: skip_check_adv_addr false -> true"),
        (|r| r.strict = true, Live, "A: strict false -> true"),
        (|r| r.accept = Accept::No, Live, "A: accept true -> false"),
        (|r| r.dont_track_primary = true, Live, "A: dont_track_primary false -> true"),
        (|r| r.promote_secondaries = true, Live, "A: promote_secondaries false -> true"),
    ];
    let old = router("A", "eth0", 1);
    for (edit, effect, line) in table {
        let mut new = old.clone();
        edit(&mut new);
        let changes = diff(&of(vec![old.clone()]), &of(vec![new]));
        assert_eq!(changes.len(), 1, "{line}: {changes:?}");
        assert_eq!(changes[0].to_string(), *line);
        assert_eq!(changes[0].effect(), *effect, "{line}");
        assert!(matches!(changes[0], Change::Modify { .. }), "{line}");
    }
}

#[test]
fn several_fields_are_one_change_with_the_strongest_effect() {
    let old = of(vec![router("A", "eth0", 1)]);
    let mut new = old.clone();
    new.routers[0].priority = Priority::from_wire(50);
    new.routers[0].source = Some(Ipv4Addr::LOCALHOST);
    assert_eq!(lines(&old, &new), ["A: priority 100 -> 50, source automatic -> 127.0.0.1 (restarts it)"]);
}

#[test]
fn routers_come_and_go_in_an_order_that_frees_names_first() {
    let old = of(vec![router("A", "eth0", 1), router("B", "eth0", 2)]);
    let new = of(vec![router("C", "eth1", 2), router("A", "eth0", 1)]);
    assert_eq!(lines(&old, &new), ["B: removed (VRID 2 on eth0)", "C: added (VRID 2 on eth1)"]);
    assert!(diff(&old, &new).iter().all(|change| change.effect() == Effect::Live));
}

#[test]
fn names_that_swap_do_not_disturb_the_routers() {
    let old = of(vec![router("A", "eth0", 1), router("B", "eth0", 2)]);
    let new = of(vec![router("B", "eth0", 1), router("A", "eth0", 2)]);
    assert_eq!(lines(&old, &new), ["B: name A -> B", "A: name B -> A"]);
}

#[test]
fn a_name_taken_over_at_another_place_is_another_router() {
    let old = of(vec![router("A", "eth0", 1)]);
    let new = of(vec![router("B", "eth0", 1), router("A", "eth1", 1)]);
    assert_eq!(lines(&old, &new), ["B: name A -> B", "A: added (VRID 1 on eth1)"]);
}

#[test]
fn settings_of_process_and_globals() {
    let old = Config::default();
    let mut new = Config::default();
    new.agent.realtime_priority = Some(50);
    new.agent.urgency = Some(hacluster_conf::model::Urgency { most: 20, late: Duration::from_millis(250) });
    new.agent.lock_memory = true;
    new.agent.cpu_affinity = vec![1, 2];
    new.agent.fast_takeover = false;
    new.agent.run_dir = Some("/run/x".into());
    new.global.router_id = Some("n1".into());
    new.global.mcast_group = Ipv4Addr::new(224, 0, 0, 99);
    new.global.startup_delay_ms = 1500;
    new.global.delay_after_boot_ms = 60_000;
    new.global.log_unknown_vrids = true;
    new.filter.table = Some("vips".into());
    assert_eq!(
        lines(&old, &new),
        [
            "agent: realtime_priority off -> 50",
            "agent: realtime_priority_max off -> 20 after 0.25s late",
            "agent: lock_memory false -> true",
            "agent: cpu_affinity [] -> [1, 2]",
            "agent: fast_takeover true -> false",
            "agent: run_dir default -> /run/x (needs a restart of the agent)",
            "global: router_id host name -> n1",
            "global: mcast_group 224.0.0.18 -> 224.0.0.99",
            "global: startup_delay 0s -> 1.5s",
            "global: delay_after_boot 0s -> 60s",
            "global: log_unknown_vrids false -> true",
            "global: packet_filter table default at priority -1 -> table vips at priority -1 (needs a restart of the agent)",
        ]
    );
}

#[test]
fn no_password_in_debug_or_text() {
    let old = of(vec![router("A", "eth0", 1)]);
    let mut new = old.clone();
    new.routers[0].authentication = Authentication::Pass(*b"hunter22");
    let changes = diff(&old, &new);
    assert!(!format!("{changes:?} {}", changes[0]).contains("hunter"));
}

#[test]
fn only_errors_that_were_not_there_before_are_new() {
    let at = |at| Span { file: FileId(0), range: at..at + 1 };
    let error = |message: &str, place| Diagnostic::new(Severity::Error, "code", message).at(&at(place));
    let old = [error("a", 1), Diagnostic::new(Severity::Warning, "code", "b")];
    let new = [error("a", 7), error("b", 2), Diagnostic::new(Severity::Warning, "code", "c")];
    assert_eq!(new_errors(&old, &new), [&new[1]]);
    assert_eq!(new_errors(&new, &old), Vec::<&Diagnostic>::new());
}

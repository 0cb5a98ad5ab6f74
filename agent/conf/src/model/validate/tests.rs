//! Each rule, and what it must leave alone.

use super::*;
use crate::keepalived::{load, source::Memory};
use std::path::Path;

/// Routers `a` and `b` on eth0, VRIDs 1 and 2, each with what is written for it.
fn routers(a: &str, b: &str) -> Vec<VirtualRouter> {
    let instance = |name: &str, vrid: u8, lines: &str| {
        format!("vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\n{lines}\n}}\n")
    };
    let text = instance("a", 1, a) + &instance("b", 2, b);
    let loaded = load(Path::new("/k"), &Memory::new("/k", text));
    assert_eq!(loaded.config.refused, []);
    loaded.config.routers
}

/// Router, code, place.
type Found = (usize, &'static str, About);

fn found(routers: &[VirtualRouter]) -> Vec<Found> {
    check(routers).iter().map(|remark| (remark.router, remark.finding.code, remark.about)).collect()
}

/// Addresses of `a` and `b`, one a word.
fn with_addresses(a: &str, b: &str) -> Vec<VirtualRouter> {
    let block =
        |list: &str| format!("virtual_ipaddress {{\n{}\n}}", list.replace(' ', "\n").replace('_', " "));
    routers(&block(a), &block(b))
}

#[test]
fn addresses() {
    use About::{Address, Addresses};
    let cases: [(&str, &str, &[Found]); 9] = [
        ("192.0.2.1", "192.0.2.2", &[]),
        ("192.0.2.1", "192.0.2.2 192.0.2.1", &[(1, "shared-address", Address(1))]),
        ("192.0.2.1", "", &[(1, "no-address", Addresses)]),
        ("192.0.2.1/24 192.0.2.2", "192.0.2.3/24", &[]),
        ("192.0.2.1/24", "192.0.2.3/25", &[(1, "prefix-mismatch", Address(0))]),
        ("192.0.2.1/25 192.0.2.3/24", "192.0.2.4/32", &[(0, "prefix-mismatch", Address(0))]),
        ("192.0.2.1/24", "192.0.2.3/25_dev_eth1", &[]),
        ("192.0.2.1/24", "198.51.100.3/25", &[]),
        ("192.0.2.1/0", "192.0.2.3/25", &[]),
    ];
    for (a, b, expected) in cases {
        assert_eq!(found(&with_addresses(a, b)), expected, "{a} | {b}");
    }
}

#[test]
fn what_cannot_run_is_refused_and_takes_part_in_nothing() {
    let mut same = with_addresses("192.0.2.1", "192.0.2.1");
    same[1].vrid = same[0].vrid;
    assert_eq!(found(&same), [(1, "duplicate-vrid", About::Vrid)]);
    assert!(check(&same)[0].refusal.is_some());
    same[1].interface = "eth1".to_owned();
    assert_eq!(found(&same), [(1, "shared-address", About::Address(0))]);
    let mut many = with_addresses("192.0.2.1", "192.0.2.2");
    many[0].addresses = vec![many[0].addresses[0].clone(); 256];
    assert_eq!(found(&many), [(0, "too-many-addresses", About::Addresses)]);
}

#[test]
fn one_router_alone() {
    let cases = [
        ("", None),
        ("priority 255\nstate MASTER", None),
        ("priority 255\nstate MASTER\nmcast_src_ip 192.0.2.1", None),
        ("priority 255\nstate MASTER\nmcast_src_ip 192.0.2.9", Some(("not-an-owner", About::Priority))),
        ("mcast_src_ip 192.0.2.9", None),
        ("mcast_src_ip 192.0.2.1", Some(("virtual-source", About::Source))),
        ("mcast_dst_ip 224.0.0.50", None),
        ("mcast_dst_ip 224.0.1.50", Some(("routed-group", About::Group))),
        ("down_timer_adverts 2", None),
        ("down_timer_adverts 1", Some(("short-dead-time", About::DownTimer))),
        ("down_timer_adverts 100", Some(("slow-failover", About::DownTimer))),
        ("advert_int 29", None),
        ("advert_int 30", Some(("slow-failover", About::Interval))),
        ("garp_master_refresh 1", None),
        ("garp_master_refresh 0.0005", Some(("announce-flood", About::GarpRefresh))),
    ];
    for (lines, expected) in cases {
        let addresses = |ip: &str| format!("virtual_ipaddress {{\n{ip}\n}}\n");
        let routers = routers(&(addresses("192.0.2.1") + lines), &addresses("192.0.2.2"));
        let expected: Vec<_> = expected.iter().map(|(code, about)| (0, *code, *about)).collect();
        assert_eq!(found(&routers), expected, "{lines}");
    }
}

#[test]
fn names_that_differ_in_case_only() {
    let mut routers = with_addresses("192.0.2.1", "192.0.2.2");
    routers[1].name = "A".to_owned();
    assert_eq!(found(&routers), [(1, "alike-names", About::Router)]);
}

#[test]
fn a_backup_that_says_it_owns() {
    let mut routers = with_addresses("192.0.2.1", "192.0.2.2");
    routers[0].priority = hacluster_core::priority::Priority::OWNER;
    assert_eq!(found(&routers), [(0, "owner-backup", About::State)]);
}

#[test]
fn addresses_that_do_not_answer_are_named_unless_they_do() {
    let cases: [(&str, Option<Severity>); 6] = [
        ("", None),
        ("no_accept", Some(Severity::Hint)),
        ("strict_mode", Some(Severity::Warning)),
        ("strict_mode\naccept", None),
        ("no_accept\npriority 255", None),
        ("strict_mode\npriority 255", None),
    ];
    for (lines, expected) in cases {
        let routers = routers(&format!("virtual_ipaddress {{\n192.0.2.1\n}}\n{lines}"), "");
        let remarks = check(&routers);
        let about = remarks.iter().find(|remark| remark.about == About::Accept);
        assert_eq!(about.map(|remark| remark.finding.severity), expected, "{lines}");
        assert_eq!(routers[0].filtered_because().is_some(), expected.is_some(), "{lines}");
    }
}

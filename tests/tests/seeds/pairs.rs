//! Two nodes and one virtual router.

use crate::scene::{Node, Scene, both, seeds_only};
use anyhow::{Result, ensure};
use hacluster_tests::harness::{Suite, remove_address};
use std::{net::Ipv4Addr, time::Instant};

/// PASS, as the packets count it.
const PASS: u8 = 1;
const NONE: u8 = 0;

static NODES_10_11: [Node; 2] = [
    Node {
        name: "master",
        interfaces: &[("eth1", "lan", "172.18.10.11/16")],
        ours: "cases/node-pair/master.conf",
        seeds: &["02-000-node11-master.conf"],
    },
    Node {
        name: "backup",
        interfaces: &[("eth1", "lan", "172.18.10.10/16")],
        ours: "cases/node-pair/backup.conf",
        seeds: &["03-000-node10-backup.conf"],
    },
];

static WITH_NOTIFY: [Node; 2] = [
    Node { seeds: &["composed/000-node11-notify.conf"], ..NODES_10_11[0] },
    Node { seeds: &["composed/000-node10-notify.conf"], ..NODES_10_11[1] },
];

static WEB: [Node; 2] = [
    Node {
        name: "web1",
        interfaces: &[("eth0", "lan", "192.168.4.100/24")],
        ours: "cases/web-pair/web1.conf",
        seeds: &["14-001-web1-master.conf"],
    },
    Node {
        name: "web2",
        interfaces: &[("eth0", "lan", "192.168.4.200/24")],
        ours: "cases/web-pair/web2.conf",
        seeds: &["15-001-web2-backup.conf"],
    },
];

static DIRECTORS: [Node; 2] = [
    Node {
        name: "proxy",
        interfaces: &[("eth0", "lan", "192.168.4.5/24")],
        ours: "cases/lvs-pair/director1.conf",
        seeds: &["16-001-lvs1-master.conf"],
    },
    Node {
        name: "proxy2",
        interfaces: &[("eth0", "lan", "192.168.4.6/24")],
        ours: "cases/lvs-pair/director2.conf",
        seeds: &["17-001-lvs2-backup-missing-brace.conf"],
    },
];

static DIRECTORS_MENDED: [Node; 2] =
    [DIRECTORS[0], Node { seeds: &["composed/001-lvs2-backup-brace-added.conf"], ..DIRECTORS[1] }];

static HTTPD: [Node; 2] = [
    Node {
        name: "master",
        interfaces: &[("ens33", "lan", "192.168.224.11/24")],
        ours: "",
        seeds: &["18-002-master.conf"],
    },
    Node {
        name: "backup",
        interfaces: &[("ens33", "lan", "192.168.224.12/24")],
        ours: "",
        seeds: &["19-002-backup.conf"],
    },
];

static HOSTS: [Node; 2] = [
    Node {
        name: "node1",
        interfaces: &[("ens34", "lan", "192.168.1.200/24")],
        ours: "tests/seeds/host-pair/node1.conf",
        seeds: &["22-003-node1-master.conf"],
    },
    Node {
        name: "node2",
        interfaces: &[("ens34", "lan", "192.168.1.201/24")],
        ours: "tests/seeds/host-pair/node2.conf",
        seeds: &["23-003-node2-backup.conf"],
    },
];

static TRACKED: [Node; 2] = [
    Node { ours: "cases/track-scripts/node1.conf", seeds: &["25-003-node1-track-scripts.conf"], ..HOSTS[0] },
    Node {
        ours: "cases/track-scripts/node2.conf",
        seeds: &["composed/003-node2-track-scripts-prio99.conf"],
        ..HOSTS[1]
    },
];

static PLAINEST: [Node; 2] = [
    Node {
        name: "master",
        interfaces: &[("eth0", "lan", "172.16.60.205/24")],
        ours: "cases/single-address/master.conf",
        seeds: &["33-004-web-master.conf"],
    },
    Node {
        name: "slave",
        interfaces: &[("eth0", "lan", "172.16.60.206/24")],
        ours: "cases/single-address/backup.conf",
        seeds: &["34-004-web-slave.conf"],
    },
];

pub(crate) fn trials(suite: &mut Suite) {
    both(suite, "node_pair", &NODES_10_11, node_pair);
    seeds_only(suite, "node_pair_with_notify", &WITH_NOTIFY, node_pair);
    both(suite, "web_pair", &WEB, web_pair);
    both(suite, "director_pair", &DIRECTORS, director_pair);
    seeds_only(suite, "director_pair_with_its_brace", &DIRECTORS_MENDED, director_pair);
    seeds_only(suite, "httpd_pair", &HTTPD, httpd_pair);
    both(suite, "host_pair", &HOSTS, host_pair);
    both(suite, "lowered_priority", &TRACKED, lowered_priority);
    both(suite, "plainest_pair", &PLAINEST, plainest_pair);
}

/// The backup starts alone and loses the address to the master at once.
fn node_pair(scene: &Scene<'_>) -> Result<()> {
    let vip = Ipv4Addr::new(172, 18, 50, 50);
    let _backup = scene.start("backup")?;
    scene.only("backup", vip)?;
    scene.advertises("backup", 50, 98, PASS)?;
    let master = scene.start("master")?;
    scene.only("master", vip)?;
    let entry = scene.entry("master", vip)?;
    ensure!(entry.interface == "eth1" && entry.address.prefix_len == 16, "{entry:?}");
    ensure!(entry.address.secondary && entry.address.scope == 0, "{entry:?}");
    scene.advertises("master", 50, 100, PASS)?;
    let advert = scene.wire.advert("master", 50, Instant::now(), |_| true)?;
    ensure!(advert.packet.destination == Ipv4Addr::new(224, 0, 100, 50), "{advert:?}");
    ensure!(advert.packet.auth_data == Some(*b"123456\0\0"), "{advert:?}");
    // From its last advert on, only the master speaks.
    let yielded = Instant::now();
    scene.wire.count("master", 50, yielded, 3)?;
    ensure!(scene.wire.adverts_since("backup", 50, yielded).is_empty(), "{}", scene.wire.capture.summary());
    master.kill()?;
    scene.holds("backup", vip)?;
    scene.start("master")?;
    scene.only("master", vip)
}

/// `auth_type pass` in lower case is no authentication, for both.
fn web_pair(scene: &Scene<'_>) -> Result<()> {
    let vip = Ipv4Addr::new(192, 168, 4, 80);
    let web1 = scene.start("web1")?;
    let _web2 = scene.start("web2")?;
    scene.only("web1", vip)?;
    ensure!(scene.entry("web1", vip)?.address.prefix_len == 24);
    scene.advertises("web1", 51, 100, NONE)?;
    web1.logged(&["WITHOUT authentication"])?;
    let host = scene.lab.host("web1")?;
    host.cut()?; // as good as powered off, seen from web2
    scene.only("web2", vip)?;
    scene.advertises("web2", 51, 50, NONE)?;
    host.restore()?;
    scene.only("web1", vip)
}

fn director_pair(scene: &Scene<'_>) -> Result<()> {
    let vip = Ipv4Addr::new(192, 168, 4, 15);
    let proxy = scene.start("proxy")?;
    let _proxy2 = scene.start("proxy2")?;
    scene.only("proxy", vip)?;
    scene.advertises("proxy", 51, 100, NONE)?;
    proxy.stop()?;
    scene.only("proxy2", vip)?;
    scene.advertises("proxy2", 51, 50, NONE)?;
    scene.start("proxy")?;
    scene.only("proxy", vip)
}

/// Priorities 100 and 99; and `ip addr del`, after which nothing is finished.
fn httpd_pair(scene: &Scene<'_>) -> Result<()> {
    let vip = Ipv4Addr::new(192, 168, 224, 100);
    let master = scene.start("master")?;
    let _backup = scene.start_settled("backup", 1)?;
    scene.only("master", vip)?;
    scene.advertises("master", 51, 100, PASS)?;
    remove_address(master.host, "ens33", "192.168.224.100/24")?;
    master.logged(&["1 address(es) had been removed (first 192.168.224.100) and are back in place"])?;
    scene.only("master", vip)?;
    scene.wire.never_ruled("backup", 51)?;
    master.stop()?;
    scene.only("backup", vip)?;
    scene.advertises("backup", 51, 99, PASS)?;
    scene.start("master")?;
    scene.only("master", vip)
}

fn host_pair(scene: &Scene<'_>) -> Result<()> {
    let vip = Ipv4Addr::new(192, 168, 1, 199);
    let node1 = scene.start("node1")?;
    let _node2 = scene.start("node2")?;
    scene.only("node1", vip)?;
    let advert = scene.wire.advert("node1", 51, Instant::now(), |_| true)?.packet;
    ensure!(advert.destination == Ipv4Addr::new(224, 1, 101, 33), "{advert:?}");
    scene.advertises("node1", 51, 100, PASS)?;
    node1.stop()?;
    scene.only("node2", vip)?;
    let entry = scene.entry("node2", vip)?;
    ensure!(entry.address.prefix_len == 32 && entry.address.broadcast.is_none(), "{entry:?}");
    scene.advertises("node2", 51, 96, PASS)?;
    scene.start("node1")?;
    scene.only("node1", vip)
}

/// What the scripts do, done by a reload: 100 becomes 80, the other one has 99. Whether nginx runs on this
/// machine must not matter.
fn lowered_priority(scene: &Scene<'_>) -> Result<()> {
    let vip = Ipv4Addr::new(192, 168, 1, 198);
    let node1 = scene.start("node1")?;
    let node2 = scene.start_settled("node2", 1)?;
    scene.only("node1", vip)?;
    let nginx = "pidof nginx && exit 0 || exit 1";
    let as_written = scene.config("node1")?.replacen(nginx, "true", 1);
    node1.reload(&as_written)?;
    node2.reload(scene.config("node2")?.replacen(nginx, "true", 1))?;
    [&node1, &node2].into_iter().try_for_each(|node| node.logged(&["script chk_nginx is good"]).map(drop))?;
    scene.wire.advert("node1", 51, Instant::now(), |advert| advert.priority == 100)?;
    node1.reload(as_written.replacen("priority 100", "priority 80", 1))?;
    scene.only("node2", vip)?;
    node2.logged(&["Backup -> Master, priority 99", "has the lower priority 80"])?;
    let taken = scene.wire.adverts("node2", 51)[0].at;
    let mut lowered = scene.wire.adverts("node1", 51);
    lowered.retain(|seen| seen.packet.priority == 80 && seen.at < taken);
    // Silence would have taken three.
    ensure!((1..=2).contains(&lowered.len()), "{}", scene.wire.capture.summary());
    node1.reload(as_written)?;
    scene.only("node1", vip)?;
    scene.advertises("node1", 51, 100, PASS)
}

fn plainest_pair(scene: &Scene<'_>) -> Result<()> {
    let vip = Ipv4Addr::new(172, 16, 60, 129);
    let master = scene.start("master")?;
    let _slave = scene.start("slave")?;
    scene.only("master", vip)?;
    let entry = scene.entry("master", vip)?;
    let facts = (entry.interface.as_str(), entry.address.prefix_len, entry.address.scope);
    ensure!(facts == ("eth0", 32, 0), "{entry:?}");
    scene.advertises("master", 51, 100, PASS)?;
    master.stop()?;
    scene.only("slave", vip)?;
    scene.advertises("slave", 51, 90, PASS)?;
    scene.start("master")?;
    scene.only("master", vip)
}

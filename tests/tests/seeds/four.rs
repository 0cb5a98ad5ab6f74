//! Several virtual routers: each node master of one, a ring, two networks.

use crate::scene::{Node, Scene, both, seeds_only};
use anyhow::{Result, ensure};
use hacluster_tests::harness::{Running, Suite};
use std::{net::Ipv4Addr, time::Instant};

const PASS: u8 = 1;

static DUAL_MASTER: [Node; 2] = [
    Node {
        name: "node11",
        interfaces: &[("eth1", "lan", "172.18.10.11/16")],
        ours: "cases/dual-master/node11.conf",
        seeds: &["composed/000-node11-dual-master.conf"],
    },
    Node {
        name: "node10",
        interfaces: &[("eth1", "lan", "172.18.10.10/16")],
        ours: "cases/dual-master/node10.conf",
        seeds: &["composed/000-node10-dual-master.conf"],
    },
];

/// As the text tells to make them: a base with a second virtual router appended.
static APPENDED: [Node; 2] = [
    Node {
        seeds: &["02-000-node11-master.conf", "04-000-node11-add-myroute2-backup.conf"],
        ..DUAL_MASTER[0]
    },
    Node {
        seeds: &["03-000-node10-backup.conf", "05-000-node10-add-myroute2-master.conf"],
        ..DUAL_MASTER[1]
    },
];

static TIE: [Node; 2] = [
    Node { ours: "cases/dual-master-tie/node11.conf", seeds: &["13-000-vs1-full.conf"], ..DUAL_MASTER[0] },
    Node { ours: "cases/dual-master-tie/node10.conf", seeds: &["12-000-vs2-full.conf"], ..DUAL_MASTER[1] },
];

static LABELLED: [Node; 2] = [
    Node {
        name: "node1",
        interfaces: &[("ens34", "lan", "192.168.1.200/24")],
        ours: "cases/dual-master-lvs/node1.conf",
        seeds: &["24-003-node1-dual-master-lvs.conf"],
    },
    Node {
        name: "node2",
        interfaces: &[("ens34", "lan", "192.168.1.201/24")],
        ours: "cases/dual-master-lvs/node2.conf",
        seeds: &["composed/003-node2-dual-master-lvs.conf"],
    },
];

static TWO_CARDS: [Node; 2] = [
    Node {
        name: "master",
        interfaces: &[("ens33", "lan", "192.168.224.11/24"), ("ens37", "other", "192.168.198.11/24")],
        ours: "cases/dual-nic/master.conf",
        seeds: &["composed/002-master-dual-nic.conf"],
    },
    Node {
        name: "backup",
        interfaces: &[("ens33", "lan", "192.168.224.12/24"), ("ens37", "other", "192.168.198.12/24")],
        ours: "cases/dual-nic/backup.conf",
        seeds: &["composed/002-backup-dual-nic.conf"],
    },
];

static RING: [Node; 3] = [
    Node {
        name: "node01",
        interfaces: &[("eth0", "lan", "192.168.20.191/24")],
        ours: "cases/ring/node01.conf",
        seeds: &["35-004-node01.conf"],
    },
    Node {
        name: "node02",
        interfaces: &[("eth0", "lan", "192.168.20.192/24")],
        ours: "cases/ring/node02.conf",
        seeds: &["36-004-node02.conf"],
    },
    Node {
        name: "node03",
        interfaces: &[("eth0", "lan", "192.168.20.193/24")],
        ours: "cases/ring/node03.conf",
        seeds: &["37-004-node03.conf"],
    },
];

static STRICT_RING: [Node; 3] = [
    RING[0],
    RING[1],
    Node {
        ours: "cases/ring-strict/node03.conf",
        seeds: &["composed/004-node03-vrrp-strict-on.conf"],
        ..RING[2]
    },
];

pub(crate) fn trials(suite: &mut Suite) {
    both(suite, "ring", &RING, ring);
    both(suite, "ring_with_one_strict_node", &STRICT_RING, strict_ring);
    both(suite, "dual_master", &DUAL_MASTER, dual_master);
    seeds_only(suite, "dual_master_appended", &APPENDED, dual_master);
    both(suite, "dual_master_tie", &TIE, tie);
    both(suite, "dual_master_with_labels", &LABELLED, labelled);
    both(suite, "two_cards", &TWO_CARDS, two_cards);
}

/// One address each; a node that hears nobody takes both, and lets go as soon as it hears again.
fn dual_master(scene: &Scene<'_>) -> Result<()> {
    let (vip50, vip51) = (Ipv4Addr::new(172, 18, 50, 50), Ipv4Addr::new(172, 18, 51, 51));
    let _node11 = scene.start("node11")?;
    let node10 = scene.start("node10")?;
    scene.only("node11", vip50)?;
    scene.only("node10", vip51)?;
    scene.advertises("node11", 50, 100, PASS)?;
    scene.advertises("node10", 51, 100, PASS)?;
    let quiet = Instant::now();
    scene.wire.count("node11", 50, quiet, 2)?;
    ensure!(scene.wire.adverts_since("node10", 50, quiet).is_empty(), "{}", scene.wire.capture.summary());
    // node11's adverts do not arrive, node10's do.
    let host10 = scene.lab.host("node10")?;
    host10.deafen()?;
    scene.holds("node10", vip50)?;
    scene.holds("node11", vip50)?;
    scene.only("node10", vip51)?;
    scene.advertises("node10", 50, 98, PASS)?;
    scene.wire.count("node11", 50, Instant::now(), 2)?;
    let healed = Instant::now();
    host10.restore()?;
    scene.only("node11", vip50)?;
    node10.logged(&["Master -> Backup", "172.18.10.11 is master with priority 100"])?;
    let late = scene.wire.adverts_since("node10", 50, healed).len();
    ensure!(late <= 2, "it advertised {late} times more");
    scene.only("node10", vip51)
}

/// Equal priorities: who starts first keeps it; of two masters the higher address does.
fn tie(scene: &Scene<'_>) -> Result<()> {
    let (vip50, vip51) = (Ipv4Addr::new(172, 18, 50, 50), Ipv4Addr::new(172, 18, 51, 51));
    let _node10 = scene.start("node10")?;
    scene.only("node10", vip51)?;
    let _node11 = scene.start("node11")?;
    scene.only("node11", vip50)?;
    scene.wire.count("node10", 51, Instant::now(), 4)?;
    scene.only("node10", vip51)?;
    scene.wire.never_ruled("node11", 51)?;
    scene.advertises("node10", 51, 98, PASS)?;
    let host11 = scene.lab.host("node11")?;
    host11.isolate()?;
    scene.holds("node11", vip51)?;
    host11.restore()?;
    scene.only("node11", vip51)?;
    scene.only("node11", vip50)
}

fn labelled(scene: &Scene<'_>) -> Result<()> {
    let (vip198, vip197) = (Ipv4Addr::new(192, 168, 1, 198), Ipv4Addr::new(192, 168, 1, 197));
    let node1 = scene.start("node1")?;
    let _node2 = scene.start("node2")?;
    scene.only("node1", vip198)?;
    scene.only("node2", vip197)?;
    let entry = scene.entry("node1", vip198)?;
    ensure!(entry.address.label == "ens34:0" && entry.address.prefix_len == 32, "{entry:?}");
    scene.advertises("node1", 51, 100, PASS)?;
    scene.advertises("node2", 52, 100, PASS)?;
    node1.stop()?;
    scene.only("node2", vip198)?;
    scene.only("node2", vip197)?;
    scene.start("node1")?;
    scene.only("node1", vip198)?;
    scene.only("node2", vip197)
}

/// Priorities 100 and 99 on one network, a tie on the other: without a sync group they can part.
fn two_cards(scene: &Scene<'_>) -> Result<()> {
    let (vip51, vip52) = (Ipv4Addr::new(192, 168, 224, 100), Ipv4Addr::new(192, 168, 198, 100));
    let master = scene.start("master")?;
    scene.holds("master", vip51)?;
    scene.holds("master", vip52)?;
    let _backup = scene.start_settled("backup", 2)?;
    scene.advertises("master", 51, 100, PASS)?;
    ensure!(scene.entry("master", vip51)?.interface == "ens33");
    ensure!(scene.entry("master", vip52)?.interface == "ens37");
    scene.wire.count("master", 51, Instant::now(), 4)?;
    scene.only("master", vip51)?;
    scene.only("master", vip52)?;
    master.stop()?;
    scene.only("backup", vip51)?;
    scene.only("backup", vip52)?;
    scene.start("master")?;
    scene.only("master", vip51)?;
    scene.wire.count("master", 51, Instant::now(), 4)?;
    scene.only("backup", vip52)
}

/// Three nodes, three addresses: the loss of a node moves one, and its return brings it back.
fn ring(scene: &Scene<'_>) -> Result<()> {
    let vip = |vrid: u8| Ipv4Addr::new(192, 168, 20, vrid - 4);
    let nodes = ["node01", "node02", "node03"];
    let owned = |index: usize| 191 + (index % 3) as u8;
    let mut agents = nodes.iter().map(|name| scene.start(name)).collect::<Result<Vec<Running>>>()?;
    let all_at_home =
        || nodes.iter().enumerate().try_for_each(|(index, name)| scene.only(name, vip(owned(index))));
    all_at_home()?;
    for (index, name) in nodes.iter().enumerate() {
        let entry = scene.entry(name, vip(owned(index)))?;
        ensure!(entry.address.prefix_len == 32 && entry.interface == "eth0", "{entry:?}");
        scene.advertises(name, owned(index), 201, PASS)?;
    }
    for lost in 0..3 {
        agents[lost].stop()?;
        let heir = nodes[(lost + 1) % 3];
        scene.only(heir, vip(owned(lost)))?;
        scene.advertises(heir, owned(lost), 101, PASS)?;
        for stays in [lost + 1, lost + 2] {
            scene.only(nodes[stays % 3], vip(owned(stays)))?;
        }
        agents[lost] = scene.start(nodes[lost])?;
        all_at_home()?;
    }
    Ok(())
}

/// It sends no authentication and takes none: what it shares with a neighbour has two masters.
fn strict_ring(scene: &Scene<'_>) -> Result<()> {
    let vip = |last: u8| Ipv4Addr::new(192, 168, 20, last);
    let agents = ["node01", "node02", "node03"].map(|name| scene.start(name));
    for agent in agents {
        agent?;
    }
    scene.holds("node03", vip(189))?;
    scene.holds("node03", vip(188))?;
    scene.holds("node02", vip(188))?;
    scene.holds("node01", vip(189))?;
    scene.only("node01", vip(187))?;
    scene.advertises("node03", 193, 201, 0)?;
    scene.advertises("node01", 191, 201, PASS)
}

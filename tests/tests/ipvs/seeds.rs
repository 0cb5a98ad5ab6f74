//! Configurations people use, from published walk-throughs: what their texts say must be seen.
//!
//! Once from the files beside these trials and once, where they are at hand, from the texts themselves.

use crate::scene::{Daemon, SERVERS, Scene, stage};
use anyhow::{Context, Result};
use hacluster_lab::Topology;
use hacluster_tests::harness::{Skip, Suite};
use std::{fs, net::Ipv4Addr, path::PathBuf};

pub(crate) fn trials(suite: &mut Suite) {
    for story in [&DUAL_MASTER, &PAIR, &LABELS] {
        let plays = [("ours", Daemon::Agent), ("seeds", Daemon::Agent), ("ours", Daemon::Keepalived)];
        for (origin, daemon) in plays {
            let name = format!("{}::{origin}_{}", daemon.name(), story.name);
            suite.trial(name, move || {
                let files = if origin == "ours" { story.ours } else { story.seeds };
                let [first, second] = [text(files[0])?, text(files[1])?];
                stage(daemon, story.topology, &["curl"], |scene| (story.play)(scene, [&first, &second]))
            });
        }
    }
}

/// A pair of directors and what is told of them.
struct Story {
    name: &'static str,
    topology: fn() -> Topology,
    /// Of director1 and director2, below the folder of these trials' package.
    ours: [&'static str; 2],
    seeds: [&'static str; 2],
    play: fn(&Scene<'_>, [&str; 2]) -> Result<()>,
}

fn text(file: &str) -> Result<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    if !path.is_file() {
        return Err(Skip(format!("{file} is not here")).into());
    }
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// All on one network, with these addresses: client, directors, real servers.
fn network(interface: &'static str, addresses: [&str; 5]) -> Topology {
    let names = ["client", "director1", "director2", "one", "two"];
    names
        .into_iter()
        .zip(addresses)
        .fold(Topology::new("seed").network("lan"), |topology, (name, address)| {
            topology.node(name, &[(interface, "lan", address)])
        })
}

/// The lines of one service that is routed directly.
fn service(vip: Ipv4Addr, scheduler: &str, servers: &[(&str, u32)]) -> Vec<String> {
    let server = |(ip, weight): &(&str, u32)| format!("-a -t {vip}:80 -r {ip}:80 -g -w {weight}");
    let head = format!("-A -t {vip}:80 -s {scheduler}");
    [head].into_iter().chain(servers.iter().map(server)).collect()
}

static DUAL_MASTER: Story = Story {
    name: "dual_master",
    topology: || {
        let directors = ["172.18.10.11/16", "172.18.10.10/16"];
        let servers = ["172.18.200.100/16", "172.18.249.57/16"];
        network("eth1", ["172.18.0.9/16", directors[0], directors[1], servers[0], servers[1]])
    },
    ours: ["cases/lvs-dual-master/director1.conf", "cases/lvs-dual-master/director2.conf"],
    seeds: [
        "../../shared/seed-configs/13-000-vs1-full.conf",
        "../../shared/seed-configs/12-000-vs2-full.conf",
    ],
    play: dual_master,
};

fn dual_master(scene: &Scene<'_>, configs: [&str; 2]) -> Result<()> {
    let masters = Masters {
        vips: [Ipv4Addr::new(172, 18, 50, 50), Ipv4Addr::new(172, 18, 51, 51)],
        servers: ["172.18.200.100", "172.18.249.57"],
        sorry: "127.0.0.1",
        apologize: &["director1", "director2"],
    };
    masters.play(scene, configs)
}

/// Each director is master of one address, and both have the same rules all the time.
struct Masters {
    vips: [Ipv4Addr; 2],
    servers: [&'static str; 2],
    sorry: &'static str,
    /// Whom clients of the addresses hear then; where the sorry server is one director's own address, the
    /// other one sends them to somebody who does not have theirs.
    apologize: &'static [&'static str],
}

impl Masters {
    fn table(&self, servers: &[&'static str]) -> Vec<String> {
        let servers: Vec<_> = servers.iter().map(|ip| (*ip, 1)).collect();
        self.vips.map(|vip| service(vip, "wrr", &servers)).concat()
    }

    fn play(&self, scene: &Scene<'_>, [first, second]: [&str; 2]) -> Result<()> {
        let [one, two] = self.servers;
        self.vips.into_iter().try_for_each(|vip| scene.take(vip))?;
        ["one", "two", "director1", "director2"].into_iter().try_for_each(|name| scene.serve(name))?;
        scene.start("director2", second)?;
        scene.holds("director2", self.vips[1])?; // of two equals, who came first keeps it
        scene.start("director1", first)?;
        scene.holds("director1", self.vips[0])?;
        scene.tables(&self.table(&[one, two]))?;
        for vip in self.vips {
            scene.listed(vip, "wrr", &[(one, 1), (two, 1)])?;
            scene.answered(vip)?;
            scene.alternate(vip)?;
        }
        scene.close("one");
        scene.tables(&self.table(&[two]))?;
        scene.shares(self.vips[1], &[("two", 3)])?;
        scene.close("two");
        scene.tables(&self.table(&[self.sorry]))?;
        for (vip, director) in self.vips.into_iter().zip(self.apologize) {
            scene.answered_by(vip, director)?;
        }
        SERVERS.into_iter().try_for_each(|name| scene.serve(name))?;
        scene.tables(&self.table(&[one, two]))?;
        scene.lose_the_master(self.vips[0])?;
        scene.alternate(self.vips[0])
    }
}

static PAIR: Story = Story {
    name: "pair",
    topology: || {
        let addresses =
            ["192.168.4.9/24", "192.168.4.5/24", "192.168.4.6/24", "192.168.4.100/24", "192.168.4.200/24"];
        network("eth0", addresses)
    },
    ours: ["cases/lvs-pair/director1.conf", "cases/lvs-pair/director2.conf"],
    seeds: [
        "../../shared/seed-configs/16-001-lvs1-master.conf",
        "../../shared/seed-configs/17-001-lvs2-backup-missing-brace.conf",
    ],
    play: pair,
};

/// The weights differ between the two files, and `rr` ignores them.
fn pair(scene: &Scene<'_>, [first, second]: [&str; 2]) -> Result<()> {
    let vip = Ipv4Addr::new(192, 168, 4, 15);
    let table = |last| service(vip, "rr", &[("192.168.4.100", 1), ("192.168.4.200", last)]);
    scene.take(vip)?;
    SERVERS.into_iter().try_for_each(|name| scene.serve(name))?;
    scene.start("director1", first)?;
    scene.start("director2", second)?;
    scene.holds("director1", vip)?;
    scene.table("director1", &table(2))?;
    scene.table("director2", &table(1))?;
    scene.answered(vip)?;
    scene.alternate(vip)?;
    scene.close("one");
    scene.table("director1", &service(vip, "rr", &[("192.168.4.200", 2)]))?;
    scene.shares(vip, &[("two", 3)])?;
    scene.serve("one")?;
    scene.table("director1", &table(2))?;
    scene.lose_the_master(vip)?;
    scene.alternate(vip)
}

static LABELS: Story = Story {
    name: "labels",
    topology: || {
        let directors = ["192.168.1.200/24", "192.168.1.201/24"];
        let servers = ["192.168.1.202/24", "192.168.1.203/24"];
        network("ens34", ["192.168.1.9/24", directors[0], directors[1], servers[0], servers[1]])
    },
    ours: ["cases/dual-master-lvs/node1.conf", "cases/dual-master-lvs/node2.conf"],
    seeds: [
        "../../shared/seed-configs/24-003-node1-dual-master-lvs.conf",
        "../../shared/seed-configs/composed/003-node2-dual-master-lvs.conf",
    ],
    play: labels,
};

/// One server is asked by HTTP, the other by TCP.
fn labels(scene: &Scene<'_>, configs: [&str; 2]) -> Result<()> {
    let masters = Masters {
        vips: [Ipv4Addr::new(192, 168, 1, 198), Ipv4Addr::new(192, 168, 1, 197)],
        servers: ["192.168.1.202", "192.168.1.203"],
        sorry: "192.168.1.200",
        apologize: &["director1"],
    };
    masters.play(scene, configs)
}

//! Addresses, groups and sources are what the configuration says.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{LIMIT, Lab, Topology, wait_for};
use hacluster_tests::harness::{Entry, Instance, Running, Suite, VIP, Wire, entries, free, hold, pair};
use std::{net::Ipv4Addr, time::Instant};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("an_owners_own_address_stays_after_the_stop", owner);
    suite.trial("addresses_have_the_label_scope_broadcast_and_device_written", address_options);
    suite.trial("thirty_five_addresses", || many(35));
    suite.trial("two_hundred_fifty_five_addresses", || many(255));
    suite.trial("multicast_group_and_source_are_as_written", group_and_source);
    suite.trial("an_interval_of_three_seconds_is_kept_and_agreed_on", three_seconds);
    suite.trial("two_agents_share_a_host_with_two_run_directories", two_run_directories);
}

fn owner() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = lab.host("left")?;
        let config = Instance::new(255).master().addresses(["10.9.0.1/24", "10.9.0.100/24"]);
        let agent = Running::start(left, config)?;
        hold(left, VIP)?;
        let advert = wire.advert("left", 51, Instant::now(), |_| true)?.packet;
        let own = Ipv4Addr::new(10, 9, 0, 1);
        ensure!((advert.source, advert.priority) == (own, 255), "{advert:?}");
        ensure!(advert.addresses == [own, VIP], "{advert:?}");
        agent.stop()?;
        ensure!(left.holds(own)?, "it took the interface's own address along");
        ensure!(!left.holds(VIP)?, "the other address is left behind");
        Ok(())
    })
}

fn address_options() -> Result<()> {
    let two_nets = Topology::new("two-nets")
        .network("lan")
        .network("wan")
        .node("left", &[("eth0", "lan", "10.9.0.1/24"), ("eth1", "wan", "10.8.0.1/24")]);
    Lab::run(two_nets, |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = lab.host("left")?;
        let config = Instance::new(255)
            .addresses([
                "10.9.0.100/24 brd + label eth0:vip",
                "10.9.0.101 scope link",
                "10.9.0.102/24 brd 10.9.0.254",
                "10.8.0.100/24 dev eth1",
            ])
            .with("virtual_ipaddress_excluded {\n        10.8.0.101/32 dev eth1\n    }");
        let agent = Running::start(left, config)?;
        let entry = |ip: [u8; 4]| -> Result<Entry> {
            hold(left, ip.into())?;
            entries(left, ip.into())?.pop().context("gone again")
        };
        let one = entry([10, 9, 0, 100])?;
        ensure!(one.address.label == "eth0:vip" && one.address.prefix_len == 24, "{one:?}");
        ensure!(one.address.broadcast == Some([10, 9, 0, 255].into()), "{one:?}");
        let link = entry([10, 9, 0, 101])?;
        ensure!((link.address.scope, link.address.prefix_len) == (253, 32), "{link:?}");
        ensure!(link.address.broadcast.is_none() && link.interface == "eth0", "{link:?}");
        let written = entry([10, 9, 0, 102])?;
        ensure!(written.address.broadcast == Some([10, 9, 0, 254].into()), "{written:?}");
        ensure!(entry([10, 8, 0, 100])?.interface == "eth1");
        let excluded = entry([10, 8, 0, 101])?;
        ensure!(excluded.interface == "eth1" && excluded.address.prefix_len == 32, "{excluded:?}");
        let advertised = wire.advert("left", 51, Instant::now(), |_| true)?.packet.addresses;
        let expected: [Ipv4Addr; 4] =
            [[10, 9, 0, 100], [10, 9, 0, 101], [10, 9, 0, 102], [10, 8, 0, 100]].map(Into::into);
        ensure!(advertised == expected, "{advertised:?}");
        // An interface that only carries addresses counts too.
        left.link_down("eth1")?;
        agent.logged(&["Master -> Fault", "an interface that carries its addresses"])?;
        free(left, VIP)?;
        left.link_up("eth1")?;
        hold(left, VIP)?;
        agent.stop()?;
        let left_over = left.addresses()?;
        ensure!(left_over.len() == 2, "left behind: {left_over:?}");
        Ok(())
    })
}

fn many(count: u8) -> Result<()> {
    Lab::run(pair(), move |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let config = |priority| {
            let addresses = (1..=count).map(|last| format!("10.7.0.{last}/32"));
            Instance::new(priority).addresses(addresses)
        };
        let master = Running::start(left, config(255))?;
        let last = Ipv4Addr::new(10, 7, 0, count);
        hold(left, last)?;
        let advert = wire.advert("left", 51, Instant::now(), |_| true)?.packet;
        ensure!(advert.addresses.len() == usize::from(count), "{}", advert.addresses.len());
        wire.announced("left", last, Instant::now() - LIMIT, 1)?;
        let backup = Running::start(right, config(100))?;
        backup.logged(&["-> Backup"])?;
        master.stop()?;
        ensure!(left.addresses()?.len() == 1, "addresses are left behind");
        let all = usize::from(count) + 1;
        wait_for("all on right", LIMIT, || right.addresses().is_ok_and(|found| found.len() == all))?;
        backup.never_logged(&["other addresses"])?;
        backup.stop()
    })
}

fn group_and_source() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        left.add_address("eth0", "10.9.0.11/24")?;
        let config = |instance: Instance| {
            format!("global_defs {{\n    vrrp_mcast_group4 224.0.100.50\n}}\n{instance}")
        };
        let master =
            Running::start(left, config(Instance::new(150).master().with("mcast_src_ip 10.9.0.11")))?;
        hold(left, VIP)?;
        let advert = wire.advert("left", 51, Instant::now(), |_| true)?.packet;
        ensure!(advert.destination == Ipv4Addr::new(224, 0, 100, 50), "{advert:?}");
        ensure!(advert.source == Ipv4Addr::new(10, 9, 0, 11), "{advert:?}");
        let backup = Running::start(right, config(Instance::new(100)))?;
        backup.logged(&["-> Backup"])?;
        wire.count("left", 51, Instant::now(), 5)?;
        wire.never_ruled("right", 51)?;
        master.stop()?;
        backup.logged(&["master 10.9.0.11 resigned"]).map(drop)
    })
}

fn two_run_directories() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let other = Ipv4Addr::new(10, 9, 0, 101);
        let first = Running::start(left, Instance::new(255))?;
        let file = left.directory().join("other.conf");
        std::fs::write(&file, Instance::new(255).vrid(52).addresses(["10.9.0.101/24"]).to_string())?;
        let mut command = std::process::Command::new(hacluster_lab::Agent::find()?.binary);
        command.arg("--config").arg(&file).arg("--run-dir").arg(left.directory().join("other-run"));
        let second = left.spawn("another agent", command)?;
        hold(left, VIP)?;
        hold(left, other)?;
        first.stop()?;
        ensure!(!left.holds(VIP)? && left.holds(other)?, "each must care for its own only");
        ensure!(second.stop()?.code() == Some(0));
        ensure!(!left.holds(other)?, "left behind");
        Ok(())
    })
}

fn three_seconds() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let begin = Instant::now();
        let _left = Running::start(lab.host("left")?, Instance::new(150).master().interval(3))?;
        let right = Running::start(lab.host("right")?, Instance::new(100).interval(3))?;
        wire.count("left", 51, begin, 4)?;
        let adverts = wire.adverts_since("left", 51, begin);
        for pair in adverts.windows(2) {
            let between = pair[1].at.duration_since(pair[0].at);
            ensure!(between >= std::time::Duration::from_millis(2_500), "after {between:?}");
        }
        ensure!(adverts.iter().all(|advert| advert.packet.interval == 3), "{}", wire.capture.summary());
        ensure!(wire.adverts_since("right", 51, begin).is_empty(), "the backup spoke");
        right.never_logged(&["dropped"])
    })
}

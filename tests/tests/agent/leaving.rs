//! How a node goes: in order, by a crash, and coming back at once.

use anyhow::{Result, ensure};
use hacluster_lab::{Agent, LIMIT, Lab, wait_for};
use hacluster_tests::harness::{Instance, Running, Suite, VIP, Vigil, Wire, free, hold, pair, settle_first};
use nix::sys::signal::Signal;
use std::{
    net::Ipv4Addr,
    process::Command,
    time::{Duration, Instant},
};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("stop_hands_over_and_removes_the_addresses", stop_hands_over);
    suite.trial("a_killed_masters_addresses_stay_and_the_peer_takes_over", killed);
    suite.trial("killed_and_started_again_adopts_without_a_change", adopts);
    suite.trial("ended_for_a_successor_nothing_moves", makes_way);
    suite.trial("without_a_file_for_a_successor_it_stops_in_order", no_way);
    suite.trial("after_a_crash_a_broken_file_leaves_no_address_behind", broken);
    suite.trial("killed_then_started_with_less_cleans_what_is_stale", stale_is_cleaned);
    suite.trial("three_hundred_instances_start_crash_return_and_stop", three_hundred);
}

fn stop_hands_over() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let master = (left, Instance::new(150).master().to_string());
        let (master, backup) = settle_first(master, (right, Instance::new(100).to_string()), VIP)?;
        wire.count("left", 51, Instant::now(), 1)?;
        master.stop()?;
        ensure!(!left.holds(VIP)?, "the address is left behind");
        hold(right, VIP)?;
        let last = wire.adverts("left", 51).pop().map(|seen| seen.packet.priority);
        ensure!(last == Some(0), "its last word was priority {last:?}");
        backup.logged(&["Backup -> Master", "master 10.9.0.1 resigned"])?;
        backup.stop()?;
        ensure!(!right.holds(VIP)?, "the address is left behind on right");
        Ok(())
    })
}

fn killed() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let master = (left, Instance::new(150).master().to_string());
        let (master, backup) = settle_first(master, (right, Instance::new(100).to_string()), VIP)?;
        wire.count("left", 51, Instant::now(), 2)?;
        master.kill()?;
        hold(right, VIP)?;
        ensure!(left.holds(VIP)?, "a killed agent cannot have removed it");
        wire.never_resigned("left")?;
        backup.logged(&["Backup -> Master", "master 10.9.0.1 fell silent"])?;
        // 3 intervals and a skew of 156/256 s after the last word, for the peer of priority 100.
        let last = wire.adverts("left", 51).pop().map(|seen| seen.at);
        let first = wire.advert("right", 51, Instant::now() - LIMIT, |_| true)?.at;
        let silence = last.map(|last| first - last).unwrap_or_default();
        ensure!(silence >= Duration::from_millis(3_550), "it took over after {silence:?}");
        Ok(())
    })
}

fn adopts() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let config = Instance::new(150).master().to_string();
        let (master, _backup) =
            settle_first((left, config.clone()), (right, Instance::new(100).to_string()), VIP)?;
        for _ in 0..2 {
            wire.count("left", 51, Instant::now(), 2)?;
        }
        master.kill()?;
        let killed = Instant::now();
        let successor = Running::start(left, config)?;
        wait_for("an advert of the successor", LIMIT, || {
            !wire.adverts_since("left", 51, killed).is_empty() || left.holds(VIP).is_ok_and(|held| !held)
        })?;
        ensure!(left.holds(VIP)?, "the address left during the change");
        successor.logged(&["1 address(es) of a predecessor found in place"])?;
        wire.count("left", 51, killed, 3)?;
        wire.never_ruled("right", 51)?;
        successor.never_logged(&["had been removed"])?;
        successor.stop()?;
        ensure!(!left.holds(VIP)?, "an adopted address is left behind");
        Ok(())
    })
}

/// What the unit's restart does, an upgrade of the package among them.
fn makes_way() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let config = Instance::new(150).to_string();
        let (master, _backup) =
            settle_first((left, config.clone()), (right, Instance::new(100).to_string()), VIP)?;
        wire.count("left", 51, Instant::now(), 2)?;
        let vigil = Vigil::start(&[left], VIP)?;
        master.process.signal(Signal::SIGQUIT)?;
        let status = master.process.wait(LIMIT)?;
        ensure!(status.code() == Some(75), "{status}: {:#?}", master.process.lines());
        let gone = Instant::now();
        let successor = Running::start(left, config)?;
        wire.count("left", 51, gone, 3)?;
        vigil.never_without()?;
        wire.never_resigned("left")?;
        wire.never_ruled("right", 51)?;
        successor.logged(&["1 address(es) of a predecessor found in place"])?;
        successor.stop()
    })
}

fn no_way() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let master = Running::start(left, Instance::new(150).master())?;
        hold(left, VIP)?;
        std::fs::remove_file(master.config())?;
        master.process.signal(Signal::SIGQUIT)?;
        master.process.wait(LIMIT)?;
        master.logged(&["no successor could run", "keepalived.conf"])?;
        ensure!(!left.holds(VIP)?, "nobody will speak for the address that is left behind");
        Ok(())
    })
}

fn broken() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let master = Running::start(left, Instance::new(150).master())?;
        hold(left, VIP)?;
        master.kill()?;
        ensure!(left.holds(VIP)?, "a killed agent cannot have removed it");
        let mut command = Command::new(Agent::find()?.binary);
        command.arg("--config").arg(left.directory().join("nowhere.conf"));
        command.arg("--run-dir").arg(left.directory().join("run"));
        let output = left.run(command)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success() && said.contains("nothing can run"), "{said}");
        ensure!(said.contains("1 address(es) of a predecessor removed (10.9.0.100 first)"), "{said}");
        ensure!(!left.holds(VIP)?, "nobody will speak for the address that is left behind");
        Ok(())
    })
}

fn stale_is_cleaned() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let second = Ipv4Addr::new(10, 9, 0, 101);
        let both = Instance::new(255).addresses(["10.9.0.100/24", "10.9.0.101/24"]);
        let first = Running::start(left, both)?;
        hold(left, VIP)?;
        hold(left, second)?;
        first.kill()?;
        ensure!(left.holds(second)?, "a killed agent cannot have removed it");
        let successor = Running::start(left, Instance::new(150).master())?;
        successor.logged(&["1 stale address(es) removed (first 10.9.0.101)"])?;
        free(left, second)?;
        ensure!(left.holds(VIP)?, "the other one must stay");
        successor.stop()?;
        ensure!(!left.holds(VIP)?, "left behind");
        Ok(())
    })
}

fn three_hundred() -> Result<()> {
    const EACH: u8 = 150;
    let topology = hacluster_lab::Topology::new("many")
        .network("lan")
        .network("wan")
        .node("left", &[("eth0", "lan", "10.9.0.1/16"), ("eth1", "wan", "10.8.0.1/16")])
        .node("right", &[("eth0", "lan", "10.9.0.2/16"), ("eth1", "wan", "10.8.0.2/16")]);
    let text = |priority: u8| -> String {
        let instance = |vrid: u8, interface: &str, network: u8| {
            let address = format!("10.{network}.1.{vrid}/16");
            let instance = Instance::new(priority).vrid(vrid).interface(interface).addresses([address]);
            instance.to_string().replace(&format!("VI_{vrid} "), &format!("{interface}_{vrid} "))
        };
        let each = (1..=EACH).map(|vrid| instance(vrid, "eth0", 9) + &instance(vrid, "eth1", 8));
        each.collect()
    };
    Lab::run(topology, |lab| {
        let count = |name: &str| -> Result<usize> {
            let addresses = lab.host(name)?.addresses()?;
            Ok(addresses.iter().filter(|address| address.cidr.ip.octets()[2] == 1).count())
        };
        let all = usize::from(EACH) * 2;
        let lacking = std::cell::Cell::new(false);
        let master = Running::start(lab.host("left")?, text(150))?;
        wait_for("300 addresses on left", LIMIT, || count("left").is_ok_and(|found| found == all))?;
        master.kill()?;
        let master = Running::start(lab.host("left")?, text(150))?;
        wait_for("300 masters again", LIMIT, || {
            lacking.set(lacking.get() || count("left").is_ok_and(|found| found < all));
            master.lines(&["-> Master"]).len() == all
        })?;
        ensure!(!lacking.get() && count("left")? == all, "addresses left while their agent came back");
        master.never_logged(&["stale"])?;
        let backup = Running::start(lab.host("right")?, text(100))?;
        wait_for("300 backups", LIMIT, || backup.lines(&["-> Backup"]).len() == all)?;
        master.stop()?;
        ensure!(count("left")? == 0, "{} addresses are left behind", count("left")?);
        wait_for("300 addresses on right", LIMIT, || count("right").is_ok_and(|found| found == all))?;
        backup.stop()?;
        ensure!(count("right")? == 0, "{} addresses are left behind", count("right")?);
        Ok(())
    })
}

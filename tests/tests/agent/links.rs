//! Interfaces that lose their link, vanish, come late or have nothing to send from.

use anyhow::{Result, ensure};
use hacluster_lab::{Host, LIMIT, Lab, Topology, wait_for};
use hacluster_tests::harness::{Instance, Running, Suite, VIP, Wire, free, hold, pair, settle_first};
use std::time::Instant;

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("an_interface_switched_off_and_on", || goes_and_comes(down, up));
    suite.trial("a_carrier_lost_and_back", || goes_and_comes(Host::cut, Host::restore));
    suite.trial("an_interface_missing_at_start_is_waited_for", missing_at_start);
    suite.trial("an_interface_made_anew_is_used_again", made_anew);
    suite.trial("no_address_to_send_from_is_a_fault_with_its_mend", no_source);
}

fn down(host: &Host) -> Result<()> {
    host.link_down("eth0")
}

fn up(host: &Host) -> Result<()> {
    host.link_up("eth0")
}

fn goes_and_comes(go: fn(&Host) -> Result<()>, come: fn(&Host) -> Result<()>) -> Result<()> {
    Lab::run(pair(), |lab| {
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let master = (left, Instance::new(150).master().to_string());
        let (master, _backup) = settle_first(master, (right, Instance::new(100).to_string()), VIP)?;
        go(left)?;
        master.logged(&["Master -> Fault", "the interface has no link"])?;
        master.logged(&["interface eth0 is down or has no carrier"])?;
        free(left, VIP)?;
        hold(right, VIP)?;
        come(left)?;
        master.logged(&["Fault -> Backup", "recovered"])?;
        hold(left, VIP)?;
        free(right, VIP)
    })
}

/// Puts a virtual cable into `host`, both ends switched on.
fn plug(host: &Host, name: &'static str) -> Result<()> {
    host.netlink(move |requests| {
        let far = format!("{name}-far");
        requests.create_veth(name, &far, None)?;
        requests.set_up(&far)?;
        Ok(requests.set_up(name)?)
    })
}

fn missing_at_start() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let agent = Running::start(left, Instance::new(255).interface("late0"))?;
        agent.logged(&["interface late0 does not exist; waiting for it"])?;
        agent.logged(&["Initialize -> Fault", "the interface does not exist"])?;
        plug(left, "late0")?;
        left.add_address("late0", "10.6.0.1/24")?;
        hold(left, VIP)?;
        agent.logged(&["interface late0 is up, adverts leave from 10.6.0.1"])?;
        agent.stop()?;
        ensure!(!left.holds(VIP)?, "left behind");
        Ok(())
    })
}

fn made_anew() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        plug(left, "vlan0")?;
        left.add_address("vlan0", "10.6.0.1/24")?;
        let agent = Running::start(left, Instance::new(255).interface("vlan0"))?;
        hold(left, VIP)?;
        let index = |host: &Host| host.netlink(|requests| Ok(requests.link("vlan0")?.index));
        let before = index(left)?;
        for round in 1..=2 {
            left.netlink(|requests| Ok(requests.delete_link("vlan0")?))?;
            // Its link goes first, and is the reason named when both are heard one by one.
            let vanished = || agent.lines(&["interface vlan0 does not exist"]).len() == round;
            wait_for("the agent to miss it", LIMIT, vanished)?;
            wait_for("a Fault", LIMIT, || agent.lines(&["Master -> Fault"]).len() == round)?;
            plug(left, "vlan0")?;
            left.add_address("vlan0", "10.6.0.1/24")?;
            hold(left, VIP)?;
            ensure!(index(left)? > before, "the lab gave the same number");
        }
        agent.stop()?;
        ensure!(!left.holds(VIP)?, "left behind");
        Ok(())
    })
}

fn no_source() -> Result<()> {
    let bare = Topology::new("bare").network("lan").node("left", &[("eth0", "lan", "")]);
    Lab::run(bare, |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = lab.host("left")?;
        let agent = Running::start(left, Instance::new(150).master())?;
        agent.logged(&["interface eth0 is up but has no IPv4 address", "mcast_src_ip"])?;
        agent.logged(&["Initialize -> Fault", "the interface has no address to send from"])?;
        wire.never_ruled("left", 51)?;
        left.add_address("eth0", "10.9.0.1/24")?;
        hold(left, VIP)?;
        let source = wire.advert("left", 51, Instant::now(), |_| true)?.packet.source;
        ensure!(source.octets() == [10, 9, 0, 1], "{source}");
        Ok(())
    })
}

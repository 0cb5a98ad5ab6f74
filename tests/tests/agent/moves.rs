//! Addresses that change hands within a node: between virtual routers, and between two lives of one.

use anyhow::{Result, ensure};
use hacluster_lab::{LIMIT, Lab, wait_for};
use hacluster_tests::harness::{
    Instance, Running, Suite, VIP, Wire, entries, free, hold, left_alone, pair, remove_address, settle_first,
};
use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("a_changed_vrid_keeps_its_addresses_watched", changed_vrid);
    suite.trial("an_address_moved_to_another_router_stays_watched", moved);
    suite.trial("a_changed_prefix_is_changed_live", || changed_prefix(false));
    suite.trial("a_changed_prefix_is_cleaned_after_a_crash", || changed_prefix(true));
    suite.trial("an_adopted_address_is_given_up_when_another_rules", given_up);
    suite.trial("stopped_during_startup_delay_or_fault_it_ends_well", stopped_early);
    suite.trial("many_reloads_in_a_row_end_at_the_last", many_reloads);
}

/// `ip` must be back when it is taken away, time and again.
fn is_watched(agent: &Running<'_>, cidr: &str, ip: Ipv4Addr) -> Result<()> {
    // What the agent itself does to get there may not count as somebody else's doing.
    agent.never_logged(&["had been removed"])?;
    for time in 1..=2 {
        remove_address(agent.host, "eth0", cidr)?;
        let restored = || agent.lines(&["had been removed", &ip.to_string()]).len() == time;
        wait_for(&format!("{ip} to be put back, time {time}"), LIMIT, restored)?;
        hold(agent.host, ip)?;
    }
    Ok(())
}

fn changed_vrid() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = lab.host("left")?;
        let agent = Running::start(left, Instance::new(150).master())?;
        hold(left, VIP)?;
        agent.reload(Instance::new(150).master().vrid(61))?;
        wire.advert("left", 61, Instant::now(), |_| true)?;
        hold(left, VIP)?;
        is_watched(&agent, "10.9.0.100/24", VIP)?;
        agent.stop()?;
        ensure!(left.addresses()?.len() == 1, "left behind: {:?}", left.addresses()?);
        Ok(())
    })
}

fn moved() -> Result<()> {
    const OTHER: &str = "10.9.0.109/24";
    let one = |addresses: &[&str]| Instance::new(150).master().addresses(addresses.to_vec());
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = lab.host("left")?;
        let both =
            |first: &[&str], second: &[&str]| format!("{}{}", one(first).vrid(51), one(second).vrid(52));
        let (a, b, moving) = ("10.9.0.101/24", "10.9.0.102/24", "10.9.0.100/24");
        let agent = Running::start(left, both(&[a, moving], &[b]))?;
        hold(left, VIP)?;
        hold(left, Ipv4Addr::new(10, 9, 0, 102))?;
        // Downwards and upwards in the file, with something else new as a sign that it is done.
        for (first, second, vrid) in
            [(&[a][..], &[b, moving, OTHER][..], 52), (&[a, moving, OTHER], &[b], 51)]
        {
            let begin = Instant::now();
            agent.reload(both(first, second))?;
            let moved = |advert: &hacluster_lab::packet::Advert| advert.addresses.contains(&VIP);
            wire.advert("left", vrid, begin, moved)?;
            hold(left, Ipv4Addr::new(10, 9, 0, 109))?;
            hold(left, VIP)?;
            left_alone(left, VIP, Duration::from_millis(300))?;
        }
        is_watched(&agent, moving, VIP)?;
        agent.stop()?;
        ensure!(left.addresses()?.len() == 1, "left behind: {:?}", left.addresses()?);
        Ok(())
    })
}

fn changed_prefix(crash: bool) -> Result<()> {
    let prefixes = |lab: &Lab| -> Result<Vec<u8>> {
        Ok(entries(lab.host("left")?, VIP)?.iter().map(|entry| entry.address.prefix_len).collect())
    };
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let mut agent = Running::start(left, Instance::new(150).master())?;
        hold(left, VIP)?;
        let changed = Instance::new(150).master().addresses(["10.9.0.100/32"]);
        if crash {
            agent.kill()?;
            agent = Running::start(left, changed)?;
        } else {
            agent.reload(changed)?;
        }
        wait_for("the new prefix alone", LIMIT, || prefixes(lab).is_ok_and(|found| found == [32]))?;
        agent.stop()?;
        ensure!(!left.holds(VIP)?, "left behind: {:?}", prefixes(lab)?);
        Ok(())
    })
}

fn given_up() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let master = (left, Instance::new(150).master().to_string());
        let (master, backup) = settle_first(master, (right, Instance::new(100).to_string()), VIP)?;
        master.kill()?;
        hold(right, VIP)?;
        let killed = Instant::now();
        let _successor = Running::start(left, Instance::new(150).with("nopreempt"))?;
        free(left, VIP)?;
        wire.count("right", 51, Instant::now(), 2)?;
        ensure!(wire.adverts_since("left", 51, killed).is_empty(), "it took over");
        ensure!(backup.lines(&["Master -> "]).is_empty() && right.holds(VIP)?, "right yielded");
        Ok(())
    })
}

fn stopped_early() -> Result<()> {
    Lab::run(pair(), |lab| {
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let lock = |host: &hacluster_lab::Host| host.directory().join("run/agent.lock").exists();
        let delayed = format!("global_defs {{\n    vrrp_startup_delay 600\n}}\n{}", Instance::new(150));
        let waiting = Running::start(left, delayed)?;
        wait_for("its lock", LIMIT, || lock(left))?;
        waiting.stop()?;
        let faulty = Running::start(right, Instance::new(150).interface("none0"))?;
        faulty.logged(&["-> Fault"])?;
        faulty.stop()
    })
}

fn many_reloads() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = lab.host("left")?;
        let agent = Running::start(left, Instance::new(255))?;
        hold(left, VIP)?;
        let begin = Instant::now();
        for number in 0..60_u8 {
            let last = 101 + number % 3;
            let config = Instance::new(100 + number)
                .addresses(["10.9.0.100/24".to_owned(), format!("10.9.0.{last}/24")]);
            agent.reload(config)?;
        }
        wire.advert("left", 51, begin, |advert| advert.priority == 159)?;
        hold(left, Ipv4Addr::new(10, 9, 0, 103))?;
        let two = || left.addresses().is_ok_and(|found| found.len() == 3);
        wait_for("the last two addresses alone", LIMIT, two)?;
        left_alone(left, VIP, Duration::from_millis(300))?;
        wire.never_resigned("left")?;
        agent.never_logged(&["had been removed"])?;
        agent.stop()?;
        ensure!(left.addresses()?.len() == 1, "left behind: {:?}", left.addresses()?);
        Ok(())
    })
}

//! Virtual addresses that somebody else takes away.

use anyhow::{Result, ensure};
use hacluster_lab::{LIMIT, Lab, wait_for, wait_until};
use hacluster_tests::harness::{
    Instance, Running, Suite, VIP, Wire, add_virtual, free, hold, pair, remove_address, settle_first,
};
use std::{net::Ipv4Addr, process::Command, time::Instant};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("an_address_deleted_by_hand_is_back_without_a_change", deleted_by_hand);
    suite.trial("addresses_purged_with_their_first_one_are_back", purged);
    suite.trial("promote_secondaries_is_left_as_it_was_found", promoted);
    suite.trial("another_tool_that_adds_and_removes_changes_nothing", another_tool);
    suite.trial("an_address_put_on_a_backup_is_taken_off", put_on_a_backup);
}

fn deleted_by_hand() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let master = (left, Instance::new(150).master().to_string());
        let (master, _backup) = settle_first(master, (right, Instance::new(100).to_string()), VIP)?;
        let transitions = master.transitions().len();
        for time in 1..=3 {
            let deleted = Instant::now();
            remove_address(left, "eth0", "10.9.0.100/24")?;
            master.logged(&["1 address(es) had been removed (first 10.9.0.100)", &format!("time {time}")])?;
            hold(left, VIP)?;
            wire.announced("left", VIP, deleted, 1)?;
        }
        wire.count("left", 51, Instant::now(), 2)?;
        ensure!(master.transitions().len() == transitions, "the state changed");
        wire.never_resigned("left")?;
        wire.never_ruled("right", 51)
    })
}

/// The kernel removes all addresses of a network with the first one.
fn purged() -> Result<()> {
    const COUNT: u8 = 5;
    let vip = |last: u8| Ipv4Addr::new(10, 7, 0, last);
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = lab.host("left")?;
        left.set_sysctl("net/ipv4/conf/eth0/promote_secondaries", "0")?;
        left.set_sysctl("net/ipv4/conf/all/promote_secondaries", "0")?;
        let addresses = (1..=COUNT).map(|last| format!("{}/24", vip(last)));
        let master = Running::start(left, Instance::new(255).addresses(addresses))?;
        let all = || (1..=COUNT).try_for_each(|last| hold(left, vip(last)));
        all()?;
        wire.count("left", 51, Instant::now(), 1)?;
        let transitions = master.transitions().len();
        for _ in 0..3 {
            remove_address(left, "eth0", "10.7.0.1/24")?;
            all()?;
        }
        // And with every single one taken away in turn.
        for last in 1..=COUNT {
            let _ = remove_address(left, "eth0", &format!("{}/24", vip(last)));
        }
        all()?;
        master.logged(&["address(es) had been removed"])?;
        wire.count("left", 51, Instant::now(), 2)?;
        all()?;
        ensure!(master.transitions().len() == transitions, "the state changed");
        wire.never_resigned("left")
    })
}

fn promoted() -> Result<()> {
    const SETTING: &str = "/proc/sys/net/ipv4/conf/eth0/promote_secondaries";
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let is = |value: &'static str| {
            wait_until("the setting of the interface", LIMIT, || {
                let mut command = Command::new("cat");
                command.arg(SETTING);
                let said = left.run(command)?.stdout;
                Ok((String::from_utf8_lossy(&said).trim() == value).then_some(()))
            })
        };
        for before in ["0", "1"] {
            left.set_sysctl("net/ipv4/conf/eth0/promote_secondaries", before)?;
            let agent = Running::start(left, Instance::new(255).with("promote_secondaries"))?;
            hold(left, VIP)?;
            is("1")?;
            agent.stop()?;
            is(before)?;
        }
        Ok(())
    })
}

fn another_tool() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = lab.host("left")?;
        let master = Running::start(left, Instance::new(255))?;
        hold(left, VIP)?;
        wire.count("left", 51, Instant::now(), 1)?;
        let transitions = master.transitions().len();
        for _ in 0..20 {
            // It may find the address absent or present: both are its own trouble.
            let _ = remove_address(left, "eth0", "10.9.0.100/24");
            let _ = left.add_address("eth0", "10.9.0.100/24");
            left.add_address("eth0", "10.9.0.55/24")?;
            remove_address(left, "eth0", "10.9.0.55/24")?;
        }
        hold(left, VIP)?;
        wire.count("left", 51, Instant::now(), 2)?;
        ensure!(left.holds(VIP)?, "the address is lost");
        ensure!(master.transitions().len() == transitions, "the state changed");
        ensure!(master.process.lines().len() < 60, "it talks too much");
        wire.never_resigned("left")?;
        master.stop()?;
        ensure!(!left.holds(VIP)?, "the address is left behind");
        Ok(())
    })
}

fn put_on_a_backup() -> Result<()> {
    Lab::run(pair(), |lab| {
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let master = (left, Instance::new(150).master().to_string());
        let (_master, backup) = settle_first(master, (right, Instance::new(100).to_string()), VIP)?;
        add_virtual(right, "eth0", "10.9.0.100/24")?;
        free(right, VIP)?;
        wait_for("still a backup", LIMIT, || backup.lines(&["Backup -> "]).is_empty())
    })
}

//! Garbage, interfaces that vanish, and reloads in the middle of it all.

use super::stage::{config, fails_while, script, vrrp_script};
use anyhow::{Result, ensure};
use hacluster_lab::{Host, LIMIT, Lab, wait_for};
use hacluster_tests::harness::{Instance, Running, Suite, VIP, Wire, free, hold, pair};
use std::{fs, time::Instant};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("garbage_in_a_tracked_file_counts_as_zero_and_is_said", garbage);
    suite.trial("a_tracked_interface_that_comes_back_as_another_one", made_anew);
    suite.trial("dont_track_primary_rules_without_a_link", dont_track_primary);
    suite.trial("a_router_restarted_by_a_reload_does_not_wait_for_ever", restarted);
    suite.trial("a_reload_that_changes_a_script_repairs_nothing", changed_script);
    suite.trial("a_tracker_that_is_taken_out_counts_no_more", taken_out);
}

fn garbage() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = lab.host("left")?;
        let down = left.directory().join("down");
        fs::write(&down, "-20")?;
        let block = format!("track_file down {{\n    file {}\n}}", down.display());
        let instance = Instance::new(150).master().with("track_file {\n        down\n    }");
        let agent = Running::start(left, config(&block, &instance))?;
        hold(left, VIP)?;
        wire.advert("left", 51, Instant::now(), |advert| advert.priority == 130)?;
        fs::write(&down, [0xff; 4096])?;
        agent.logged(&["counts as 0", "it holds no number"])?;
        wire.advert("left", 51, Instant::now(), |advert| advert.priority == 150)?;
        fs::remove_file(&down)?;
        fs::create_dir(&down)?;
        agent.logged(&["counts as 0", "not a file"])?;
        agent.stop()
    })
}

/// Puts a virtual cable into `host`, both ends switched on.
fn plug(host: &Host) -> Result<()> {
    host.netlink(|requests| {
        requests.create_veth("side0", "side0-far", None)?;
        requests.set_up("side0-far")?;
        Ok(requests.set_up("side0")?)
    })
}

fn made_anew() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        plug(left)?;
        let instance = Instance::new(150).master().with("track_interface {\n        side0\n    }");
        let agent = Running::start(left, config("", &instance))?;
        hold(left, VIP)?;
        for round in 1..=2 {
            left.netlink(|requests| Ok(requests.delete_link("side0")?))?;
            wait_for("a Fault", LIMIT, || {
                agent.lines(&["Master -> Fault", "interface side0"]).len() == round
            })?;
            free(left, VIP)?;
            plug(left)?;
            hold(left, VIP)?;
        }
        agent.stop()
    })
}

fn dont_track_primary() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let agent = Running::start(left, Instance::new(150).master().with("dont_track_primary"))?;
        hold(left, VIP)?;
        left.cut()?;
        agent.logged(&["interface eth0 is down or has no carrier"])?;
        agent.never_logged(&["-> Fault"])?;
        ensure!(left.holds(VIP)?, "it gave its address up");
        agent.stop()
    })
}

fn restarted() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let block = vrrp_script(&script(left, "check.sh", "exit 0")?, "");
        let tracked = Instance::new(150).master().with("track_script {\n        chk\n    }");
        let agent = Running::start(left, config(&block, &tracked))?;
        hold(left, VIP)?;
        for group in ["224.0.0.50", "224.0.0.51"] {
            agent.reload(config(&block, &tracked.clone().with(&format!("mcast_dst_ip {group}"))))?;
            agent.logged(&["mcast_group", group, "restarts it"])?;
        }
        wait_for("three starts", LIMIT, || agent.lines(&["Initialize -> Backup"]).len() == 3)?;
        hold(left, VIP)
    })
}

fn changed_script() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let down = left.directory().join("down");
        fs::write(&down, "")?;
        let path = fails_while(left, &down)?;
        let instance = Instance::new(150).master().with("track_script {\n        chk\n    }");
        let agent = Running::start(left, config(&vrrp_script(&path, ""), &instance))?;
        agent.logged(&["Initialize -> Fault", "script chk"])?;
        // The new one hangs at first: until it has spoken the old word counts.
        let hangs = script(left, "hangs.sh", "sleep 2; exit 1")?;
        agent.reload(config(&vrrp_script(&hangs, "timeout 20"), &instance))?;
        agent.logged(&["trackers ~script chk"])?;
        fs::remove_file(&down)?;
        wait_for("two seconds more", LIMIT, {
            let start = Instant::now();
            move || start.elapsed().as_secs() >= 3
        })?;
        agent.never_logged(&["Fault -> "])?;
        agent.reload(config(&vrrp_script(&path, ""), &instance))?;
        hold(left, VIP)
    })
}

fn taken_out() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let block = vrrp_script(&script(left, "check.sh", "exit 1")?, "");
        let plain = Instance::new(150).master();
        let tracked = plain.clone().with("track_script {\n        chk\n    }");
        let agent = Running::start(left, config(&block, &tracked))?;
        agent.logged(&["Initialize -> Fault", "script chk"])?;
        agent.reload(config(&block, &plain))?;
        hold(left, VIP)?;
        agent.reload(config(&block, &tracked))?;
        agent.logged(&["Master -> Fault", "script chk"])?;
        free(left, VIP)
    })
}

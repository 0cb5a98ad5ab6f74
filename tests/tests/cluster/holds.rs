//! What stays after a move, a drain or a pause, and when it ends.

use anyhow::{Result, ensure};
use hacluster_lab::Lab;
use hacluster_tests::harness::{Cluster, Instance, LAN, Suite, VIP, Wire, free, hold, trio};
use std::time::Instant;

/// Adverts of the same master that prove a rule to be steady: longer than any backup's patience.
const STEADY: usize = 5;

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("a_hold_survives_the_agents_crash_and_its_restart", survives);
    suite.trial("a_failback_right_after_a_restart_waits_for_the_masters_advert", failback_at_once);
    suite.trial("a_lead_survives_the_agents_crash", lead_survives);
    suite.trial("a_hold_ends_when_the_new_master_dies", new_master_dies);
    suite.trial("a_hold_ends_at_its_time_limit", time_limit);
    suite.trial("drained_it_is_the_last_resort_until_undrain", drain);
    suite.trial("paused_nothing_is_taken_from_a_living_master", pause);
}

fn survives() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair()?;
        let wire = Wire::tap(lab, LAN)?;
        cluster.ctl(&["failover", "vi_1", "--yes", "--reason", "new disk"])?.well()?;
        cluster.served_by("right")?;
        for crash in [true, false] {
            let mut left = cluster.host("left")?.processes();
            let running =
                left.pop().map(|process| hacluster_tests::harness::Running { host: pair.left.host, process });
            let running = running.as_ref().unwrap_or(&pair.left);
            if crash {
                running.kill()?
            } else {
                running.stop()?
            }
            let again = cluster.start("left", Instance::new(100).master())?;
            again.logged(&["-> Backup"])?;
            wire.count("right", 51, Instant::now(), STEADY)?;
            cluster.served_by("right")?;
            cluster.shows("a hold", |status| status.contains("new disk") && status.contains("failover"))?;
        }
        wire.never_resigned("right")?;
        cluster.ctl(&["failback", "vi_1", "--yes"])?.well()?;
        cluster.served_by("left")?;
        cluster.shows("no hold", |status| !status.contains("new disk"))
    })
}

/// Who holds back and has just started has heard nobody yet: the way back must not end in a shrug.
fn failback_at_once() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair()?;
        cluster.ctl(&["failover", "vi_1", "--yes"])?.well()?;
        cluster.served_by("right")?;
        pair.left.kill()?;
        let again = cluster.start("left", Instance::new(100).master())?;
        again.logged(&["-> Backup"])?;
        again.logged(&["peer right answers"])?;
        cluster.ctl(&["failback", "vi_1", "--yes"])?.well()?;
        cluster.served_by("left")
    })
}

/// The one that leads crashes and adopts its addresses: it must not be less than it was.
fn lead_survives() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair()?;
        cluster.ctl(&["failover", "vi_1", "--yes"])?.well()?;
        cluster.served_by("right")?;
        let wire = Wire::tap(lab, LAN)?;
        pair.right.kill()?;
        let killed = Instant::now();
        let _again = cluster.start("right", Instance::new(98))?;
        let first = wire.advert("right", 51, killed, |_| true)?;
        ensure!(first.packet.priority == 100, "it came back with {}", first.packet.priority);
        wire.count("right", 51, first.at, STEADY)?;
        cluster.served_by("right")
    })
}

fn new_master_dies() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair()?;
        cluster.ctl(&["failover", "vi_1", "--yes"])?.well()?;
        cluster.served_by("right")?;
        pair.right.host.cut()?;
        pair.right.kill()?;
        hold(pair.left.host, VIP)?;
        pair.right.host.restore()?;
        let again = cluster.start("right", Instance::new(98))?;
        again.logged(&["-> Backup"])?;
        cluster.served_by("left")?;
        cluster.ready()?;
        // Nothing of the hold is left: it is master by its own right, and would preempt again.
        cluster.shows("no hold", |status| !status.contains(r#""kind":"failover""#))?;
        Ok(())
    })
}

fn time_limit() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let _pair = cluster.pair()?;
        cluster.ctl(&["failover", "vi_1", "--yes", "--hold-for", "4s"])?.well()?;
        cluster.served_by("right")?;
        cluster.served_by("left")?;
        cluster.ready()
    })
}

fn drain() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair()?;
        let wire = Wire::tap(lab, LAN)?;
        cluster.ctl(&["drain", "left", "--yes", "--reason", "new kernel"])?.well()?;
        cluster.served_by("right")?;
        cluster.shows("a drain", |status| status.contains("new kernel"))?;
        pair.left.stop()?;
        let left = cluster.start("left", Instance::new(100).master())?;
        left.logged(&["-> Backup"])?;
        wire.count("right", 51, Instant::now(), STEADY)?;
        cluster.served_by("right")?;
        // Nobody else is there: then even a drained node serves, as the least of all.
        pair.right.host.cut()?;
        hold(left.host, VIP)?;
        free(pair.right.host, VIP)?;
        let alone = wire.advert("left", 51, Instant::now(), |_| true)?;
        ensure!(alone.packet.priority == 1, "drained it speaks with {}", alone.packet.priority);
        pair.right.host.restore()?;
        cluster.served_by("right")?;
        cluster.ctl(&["undrain", "left"])?.well()?;
        cluster.served_by("left")?;
        cluster.ready()
    })
}

fn pause() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair()?;
        let wire = Wire::tap(lab, LAN)?;
        cluster.ctl(&["pause", "--reason", "switch update"])?.well()?;
        pair.right.reload(Instance::new(150))?;
        pair.right.logged(&["reload: "])?;
        wire.count("left", 51, Instant::now(), STEADY)?;
        cluster.served_by("left")?;
        wire.never_ruled("right", 51)?;
        // One that dies is still replaced.
        cluster.ctl(&["resume", "left"])?.well()?;
        pair.left.host.cut()?;
        hold(pair.right.host, VIP)?;
        pair.left.host.restore()?;
        cluster.served_by("right")?;
        cluster.ctl(&["resume"])?.well()?;
        cluster.ready()
    })
}

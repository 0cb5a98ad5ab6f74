//! Agents that go, or cannot any more, tell the others; and plain VRRP where they cannot be told.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{LIMIT, Lab, wait_for};
use hacluster_tests::harness::{
    CONTROL, Cluster, Instance, LAN, SIDE, Suite, VIP, Vigil, Wire, free, hold, trio,
};
use std::time::{Duration, Instant};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("a_graceful_stop_leaves_no_moment_without_a_holder", stop);
    suite.trial("a_master_that_loses_a_side_link_hands_over", side_link);
    suite.trial("a_master_cut_from_its_clients_is_replaced_by_the_control_network", cut);
    suite.trial("without_the_control_network_a_crash_is_plain_vrrp", || uncontrolled(true));
    suite.trial("without_the_control_network_a_stop_is_plain_vrrp", || uncontrolled(false));
    suite.trial("history_knows_how_long_nobody_ruled_after_a_crash", crash_in_history);
    suite.trial("a_flapping_control_network_changes_no_master", flapping);
}

fn stop() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair()?;
        let wire = Wire::tap(lab, LAN)?;
        let vigil = Vigil::start(&[pair.left.host, pair.right.host], VIP)?;
        pair.left.stop()?;
        ensure!(!pair.left.host.holds(VIP)?, "the address is left behind");
        pair.right.logged(&["Backup -> Master", "master 10.9.0.1 handed it over"])?;
        vigil.never_without()?;
        wire.never_resigned("left")?;
        // Back again, it takes what is its own: a stop leaves nothing to be undone.
        let _left = cluster.start("left", Instance::new(100).master())?;
        cluster.served_by("left")?;
        crate::valid::everything(&wire)
    })
}

/// One address is on a network beside the one of the adverts.
fn with_side(priority: u8) -> Instance {
    Instance::new(priority).addresses(["10.9.0.100/24", "10.7.0.100/24 dev eth2"])
}

fn side_link() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair_of(with_side(100).master(), with_side(98))?;
        pair.left.host.cut_from(SIDE)?;
        cluster.served_by("right")?;
        pair.left.logged(&["Master -> Fault"])?;
        pair.right.logged(&["Backup -> Master", "master 10.9.0.1 handed it over"])?;
        pair.left.host.restore()?;
        cluster.served_by("left")?;
        cluster.ready()
    })
}

fn cut() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair()?;
        pair.left.host.cut_from(LAN)?;
        hold(pair.right.host, VIP)?;
        pair.right.logged(&["Backup -> Master", "master 10.9.0.1 handed it over"])?;
        free(pair.left.host, VIP)?;
        pair.left.host.restore()?;
        cluster.served_by("left")?;
        cluster.ready()
    })
}

fn uncontrolled(crash: bool) -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair()?;
        let wire = Wire::tap(lab, LAN)?;
        pair.left.host.isolate_from(CONTROL)?;
        // That alone changes nothing.
        wire.count("left", 51, Instant::now(), 5)?;
        wire.never_ruled("right", 51)?;
        let said = cluster.ctl(&["--timeout", "1s", "status"])?;
        ensure!(said.code == 2, "left cannot be reached, and status ends with {}", said.code);
        if crash {
            pair.left.host.cut()?;
            pair.left.kill()?;
            pair.right.logged(&["Backup -> Master", "master 10.9.0.1 fell silent"])?;
            hold(pair.right.host, VIP)?;
        } else {
            pair.left.stop()?;
            pair.right.logged(&["Backup -> Master", "master 10.9.0.1 resigned"])?;
            cluster.served_by("right")?;
        }
        pair.left.host.restore()?;
        let _left = cluster.start("left", Instance::new(100).master())?;
        cluster.served_by("left")?;
        cluster.ready()
    })
}

fn crash_in_history() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair()?;
        pair.left.kill()?;
        hold(pair.right.host, VIP)?;
        let _left = cluster.start("left", Instance::new(100).master())?;
        cluster.served_by("left")?;
        cluster.ready()?;
        let said = cluster.ctl(&["history", "-o", "json"])?.well()?;
        let told: serde_json::Value = serde_json::from_str(&said.out)?;
        let fell_silent = |change: &&serde_json::Value| {
            change["node"] == "right" && change["to"] == "master" && change["reason_kind"] == "silence"
        };
        let change = told.as_array().into_iter().flatten().find(fell_silent).context("no takeover")?;
        let unserved = change["unserved_ms"].as_f64().context("nothing of how long nobody served")?;
        ensure!(unserved > 1_000.0 && change["gap_ms"].is_null(), "{change:#}");
        let said = cluster.ctl(&["history"])?.well()?;
        let line = said.out.lines().find(|line| line.contains("fell silent")).context("no such line")?;
        ensure!(!line.contains("not at all") && line.contains("s  "), "{}", said.out);
        Ok(())
    })
}

fn flapping() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair()?;
        let before = [&pair.left, &pair.right].map(|one| one.transitions().len());
        let start = Instant::now();
        wait_for("some seconds of flapping", LIMIT, || {
            let flap = pair.left.host.cut_from(CONTROL).and_then(|()| {
                std::thread::sleep(Duration::from_millis(100));
                pair.left.host.restore()
            });
            std::thread::sleep(Duration::from_millis(150));
            flap.is_ok() && start.elapsed() > Duration::from_secs(5)
        })?;
        cluster.ready()?;
        let after = [&pair.left, &pair.right].map(|one| one.transitions().len());
        ensure!(before == after, "{:#?}", pair.left.transitions());
        cluster.served_by("left")
    })
}

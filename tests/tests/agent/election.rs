//! Who rules: priority, ties, delays, three candidates.

use anyhow::{Result, ensure};
use hacluster_lab::{LIMIT, Lab, Topology, wait_for};
use hacluster_tests::harness::{
    Instance, Running, Suite, VIP, Wire, free, hold, left_alone, pair, settle_first,
};
use std::time::{Duration, Instant};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("pair_elects_and_a_higher_priority_takes_it_back", pair_elects);
    suite.trial("nopreempt_leaves_a_living_master_alone", nopreempt);
    suite.trial("preempt_delay_is_waited_for", preempt_delay);
    suite.trial("an_equal_priority_does_not_take_over", equal_priority_stays);
    suite.trial("a_tie_of_two_masters_is_decided_by_address", tie_of_two_masters);
    suite.trial("the_best_of_three_takes_over_alone", three_candidates);
    suite.trial("startup_delay_is_waited_for", startup_delay);
}

fn pair_elects() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let backup = Running::start(right, Instance::new(100))?;
        hold(right, VIP)?;
        let master = Running::start(left, Instance::new(150).master())?;
        hold(left, VIP)?;
        free(right, VIP)?;
        backup.logged(&["Master -> Backup", "10.9.0.1 is master with priority 150"])?;
        master.logged(&["Backup -> Master"])?;
        let advert = wire.advert("left", 51, Instant::now(), |_| true)?.packet;
        ensure!((advert.version, advert.kind, advert.ttl) == (2, 1, 255), "{advert:?}");
        ensure!((advert.priority, advert.interval, advert.auth_type) == (150, 1, Some(1)), "{advert:?}");
        ensure!(advert.auth_data == Some(*b"lab\0\0\0\0\0") && advert.addresses == [VIP], "{advert:?}");
        wire.never_resigned("right")
    })
}

fn nopreempt() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let lower = (right, Instance::new(100).to_string());
        let higher = (left, Instance::new(150).with("nopreempt").to_string());
        let (lower, higher) = settle_first(lower, higher, VIP)?;
        // Longer than any master-down interval, counted in adverts instead of seconds.
        wire.count("right", 51, Instant::now(), 5)?;
        wire.never_ruled("left", 51)?;
        lower.stop()?;
        hold(left, VIP)?;
        higher.logged(&["Backup -> Master", "resigned"]).map(drop)
    })
}

fn preempt_delay() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let lower = (right, Instance::new(100).to_string());
        let higher = (left, Instance::new(150).with("preempt_delay 2").to_string());
        let begin = Instant::now();
        let (_lower, _higher) = settle_first(lower, higher, VIP)?;
        hold(left, VIP)?;
        let first_rival = wire.adverts("right", 51);
        let taken = wire.advert("left", 51, begin, |_| true)?;
        let heard = first_rival.iter().filter(|seen| seen.at < taken.at).count();
        ensure!(heard >= 2, "it waited for {heard} adverts only:\n{}", wire.capture.summary());
        free(right, VIP)
    })
}

fn equal_priority_stays() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        // right has the higher address and comes second.
        let config = || Instance::new(100).to_string();
        let (_first, _second) = settle_first((left, config()), (right, config()), VIP)?;
        wire.count("left", 51, Instant::now(), 5)?;
        wire.never_ruled("right", 51)
    })
}

fn tie_of_two_masters() -> Result<()> {
    Lab::run(pair(), |lab| {
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        right.isolate()?;
        let lower = Running::start(left, Instance::new(100).master())?;
        let _higher = Running::start(right, Instance::new(100).master())?;
        hold(left, VIP)?;
        hold(right, VIP)?;
        right.restore()?;
        free(left, VIP)?;
        lower.logged(&["Master -> Backup", "10.9.0.2 is master with priority 100"])?;
        left_alone(right, VIP, Duration::from_millis(500))
    })
}

fn three_candidates() -> Result<()> {
    let three = Topology::new("three")
        .network("lan")
        .node("best", &[("eth0", "lan", "10.9.0.1/24")])
        .node("good", &[("eth0", "lan", "10.9.0.2/24")])
        .node("fair", &[("eth0", "lan", "10.9.0.3/24")]);
    Lab::run(three, |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let best = Running::start(lab.host("best")?, Instance::new(200).master())?;
        hold(best.host, VIP)?;
        let good = Running::start(lab.host("good")?, Instance::new(150))?;
        let fair = Running::start(lab.host("fair")?, Instance::new(149))?;
        for backup in [&good, &fair] {
            backup.logged(&["-> Backup"])?;
        }
        wire.count("best", 51, Instant::now(), 2)?;
        // By resignation, then by silence.
        best.stop()?;
        hold(good.host, VIP)?;
        wire.never_ruled("fair", 51)?;
        let again = Running::start(lab.host("best")?, Instance::new(200))?;
        hold(again.host, VIP)?;
        wire.never_ruled("fair", 51)?;
        again.kill()?;
        hold(good.host, VIP)?;
        wire.count("good", 51, Instant::now(), 2)?;
        wire.never_ruled("fair", 51)
    })
}

fn startup_delay() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = lab.host("left")?;
        let config = format!("global_defs {{\n    vrrp_startup_delay 2\n}}\n{}", Instance::new(255));
        let begin = Instant::now();
        let agent = Running::start(left, config)?;
        wait_for("the agent's lock", LIMIT, || left.directory().join("run/agent.lock").exists())?;
        hold(left, VIP)?;
        let first = wire.adverts("left", 51)[0].at - begin;
        ensure!(first >= Duration::from_secs(2), "the first advert came after {first:?}");
        agent.stop()
    })
}

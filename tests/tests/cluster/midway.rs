//! Two wishes at once, and agents that die in the middle of a move: one node serves afterwards.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{Lab, Process};
use hacluster_tests::harness::{Cluster, Instance, LAN, Running, Said, Suite, VIP, Vigil, Wire, hold, trio};
use std::{
    thread,
    time::{Duration, Instant},
};

/// When an agent is killed, after the operator's wish went out.
const MOMENTS_MS: [u64; 6] = [0, 5, 10, 20, 40, 80];

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("two_operators_at_once_move_it_once", two_at_once);
    suite.trial("there_and_back_at_once_end_with_one_master", crossing);
    suite.trial("the_target_killed_mid_move_leaves_it_where_it_was_or_takes_over_again", || killed("right"));
    suite.trial("the_old_master_killed_mid_move_leaves_one_that_serves", || killed("left"));
}

/// Both wishes at the same time; what each was told.
fn at_once(cluster: &Cluster<'_>, wishes: [&[&str]; 2]) -> Result<Vec<Said>> {
    thread::scope(|scope| {
        let asked = wishes.map(|wish| scope.spawn(move || cluster.ctl(wish)));
        asked.into_iter().map(|asking| asking.join().map_err(|_| anyhow::anyhow!("panicked"))?).collect()
    })
}

fn two_at_once() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair()?;
        let vigil = Vigil::start(&[pair.left.host, pair.right.host], VIP)?;
        for round in 1..=3 {
            let wish: &[&str] = &["failover", "vi_1", "--to", "right", "--yes"];
            let said = at_once(&cluster, [wish, wish])?;
            ensure!(said.iter().any(|said| said.code == 0), "round {round}: {said:#?}");
            // The loser hears who moves, or that it is done.
            for loser in said.into_iter().filter(|said| said.code != 0) {
                loser.with(&["VI_1", "right"])?;
            }
            cluster.served_by("right")?;
            cluster.ctl(&["failback", "vi_1", "--yes"])?.well()?;
            cluster.served_by("left")?;
        }
        let holders = vigil.never_without()?;
        ensure!(holders.releases == 6, "it was moved more than once: {holders:?}");
        cluster.ready()
    })
}

fn crossing() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair()?;
        let vigil = Vigil::start(&[pair.left.host, pair.right.host], VIP)?;
        let mut told = Vec::new();
        for _ in 0..3 {
            told.extend(at_once(&cluster, [&["failover", "vi_1", "--yes"], &["failback", "vi_1", "--yes"]])?);
            settled(&cluster)?;
        }
        vigil.never_without()?;
        let wire = Wire::tap(lab, LAN)?;
        // Which of two that cross comes last is chance, and so is the side that a failback leads to;
        // stuck it must never be.
        told.push(cluster.ctl(&["failover", "vi_1", "--to", "left", "--yes"])?);
        cluster.served_by("left").with_context(|| format!("{told:#?}"))?;
        wire.count("left", 51, Instant::now(), 4)?;
        cluster.served_by("left")
    })
}

/// Waits until one node alone has the address.
fn settled(cluster: &Cluster<'_>) -> Result<()> {
    let one = |name: &str| cluster.host(name).and_then(|host| host.holds(VIP)).unwrap_or(false);
    hacluster_lab::wait_for("one holder", hacluster_lab::LIMIT, || one("left") != one("right"))
}

fn killed(victim: &str) -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let mut pair = cluster.pair()?;
        for moment in MOMENTS_MS {
            let asking = ask(&cluster)?;
            thread::sleep(Duration::from_millis(moment));
            let config = |name| match name {
                "left" => Instance::new(100).master(),
                _ => Instance::new(98),
            };
            let slot = if victim == "left" { &mut pair.left } else { &mut pair.right };
            slot.kill()?;
            // Whatever it was told: an answer, not silence.
            asking.wait(hacluster_lab::LIMIT)?;
            *slot = cluster.start(victim, config(victim))?;
            settled(&cluster)?;
            cluster.ready()?;
            back(&cluster, &pair.left)?;
        }
        Ok(())
    })
}

fn ask(cluster: &Cluster<'_>) -> Result<Process> {
    let context = cluster.fleet.context("operator");
    let command = cluster.fleet.program().command(&[
        "--config",
        &context.to_string_lossy(),
        "failover",
        "vi_1",
        "--to",
        "right",
        "--yes",
    ]);
    cluster.host("client")?.spawn("haclusterctl", command)
}

/// To the beginning, wherever it is.
fn back(cluster: &Cluster<'_>, left: &Running<'_>) -> Result<()> {
    if !left.host.holds(VIP)? {
        cluster.ctl(&["failback", "vi_1", "--yes"])?.well()?;
    }
    hold(left.host, VIP)?;
    cluster.served_by("left")
}

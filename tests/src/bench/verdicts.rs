//! How soon the backup speaks after a tracker said that the master is ill: one number in a tracked file,
//! which lowers the priority or, without a weight, is a fault.
//!
//! ```text
//!   "-20" written -> seen -> verdict -> (peers: handed over | no peers: advert, or priority 0) -> advert
//! ```
//!
//! Reading the file is part of what is measured, for all alike.

use super::Bench;
use super::daemon::Kind;
use super::duo::{Duo, SETTLE, until_right_speaks, with_daemons};
use super::recorder::Recorder;
use super::report::{Aim, Report};
use super::stats::{median, percentile};
use crate::harness::{Instance, VIP};
use anyhow::Result;
use hacluster_lab::{Host, LIMIT, Lab, wait_for};
use std::{fs, thread};

/// From the verdict to the backup's advert.
const AIM_MS: f64 = 20.0;

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    lowered(bench, report)?;
    failed(bench, report)
}

/// 100 -> 80, the backup has 98.
fn lowered(bench: &Bench, report: &mut Report) -> Result<()> {
    let [peers, plain, keepalived] = all(bench, 1)?;
    let what = "a tracked file lowers 100 to 80, backup 98";
    rows(report, &format!("{what}, peers"), &peers, &keepalived, Aim::AtMost(AIM_MS));
    // By the wire alone: one advert, and half a millisecond per point that the backup lacks.
    rows(report, &format!("{what}, no peers"), &plain, &keepalived, Aim::AtMost(AIM_MS));
    Ok(())
}

/// Master -> Fault.
fn failed(bench: &Bench, report: &mut Report) -> Result<()> {
    let [peers, plain, keepalived] = all(bench, 0)?;
    let what = "a tracked file without a weight fails";
    rows(report, &format!("{what}, peers"), &peers, &keepalived, Aim::AtMost(AIM_MS));
    // By the wire alone: priority 0, and the backup's skew of (256 - 98) / 256 s.
    rows(report, &format!("{what}, no peers"), &plain, &keepalived, Aim::None);
    Ok(())
}

fn rows(report: &mut Report, name: &str, agent: &[f64], keepalived: &[f64], aim: Aim) {
    report.row(format!("{name}: p50"), "ms", [median(agent), median(keepalived)], aim);
    let most = [percentile(agent, 100.0), percentile(keepalived, 100.0)];
    report.row(format!("{name}: max"), "ms", most, Aim::None);
}

/// With peers, without, and keepalived.
fn all(bench: &Bench, weight: u8) -> Result<[Vec<f64>; 3]> {
    let times = bench.repeat(6);
    let tracking = Instance::new(100).master().with("track_file {\n        health\n    }");
    let left = |host: &Host| {
        let file = host.directory().join("health");
        fs::write(&file, "0")?;
        Ok(format!("track_file health {{\n    file {}\n    weight {weight}\n}}\n{tracking}", file.display()))
    };
    let peers = Duo::with_agents_of(left, Instance::new(98), |duo| measure(duo.lab, &duo.recorder, times))?;
    let plain = with_daemons(bench, Kind::Agent, left, Instance::new(98), |lab, recorder, _| {
        measure(lab, recorder, times)
    })?;
    if !bench.daemons.has(Kind::Keepalived) {
        return Ok([peers, plain, Vec::new()]);
    }
    let keepalived = with_daemons(bench, Kind::Keepalived, left, Instance::new(98), |lab, recorder, _| {
        measure(lab, recorder, times.min(3))
    })?;
    Ok([peers, plain, keepalived])
}

/// There, and back again, `times` over.
fn measure(lab: &Lab, recorder: &Recorder, times: usize) -> Result<Vec<f64>> {
    let left = lab.host("left")?;
    let health = left.directory().join("health");
    let one = |_| {
        let took = until_right_speaks(recorder, || Ok(fs::write(&health, "-20")?))?;
        fs::write(&health, "0")?;
        wait_for("left to rule again", LIMIT, || {
            let holds = |host: &str| lab.host(host).and_then(|host| host.holds(VIP)).unwrap_or(true);
            holds("left") && !holds("right")
        })?;
        thread::sleep(SETTLE);
        Ok(took)
    };
    (0..times).map(one).collect()
}

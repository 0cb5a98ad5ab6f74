//! A split brain that heals: clients behind the loser's switch have learned the loser's Ethernet
//! address, so the winner has to announce the addresses again.
//!
//! Twelve pairs at once, each cut and joined at another moment of its interval.

use super::Bench;
use super::config::{Router, text};
use super::daemon::Kind;
use super::recorder::{Heard, Recorder};
use super::report::{Aim, Report};
use super::stats::now_ns;
use anyhow::{Context, Result};
use hacluster_lab::{Lab, Topology};
use std::{net::Ipv4Addr, thread, time::Duration};

const PAIRS: usize = 12;
/// So that twelve pairs meet twelve different phases of the interval.
const STAGGER: Duration = Duration::from_millis(77);
/// Long enough for an election and the bursts after it.
const SPLIT: Duration = Duration::from_secs(5);
const HEAL: Duration = Duration::from_secs(4);

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let pairs = if bench.quick { 4 } else { PAIRS };
    let both = bench.daemons.each(|kind| missing(bench, kind, pairs))?;
    report.row(format!("{pairs} healed splits: without new announcement"), "", both, Aim::AtMost(0.0));
    Ok(())
}

fn topology(pairs: usize) -> Topology {
    let mut topology = Topology::new("heal");
    let mut ears = Vec::new();
    for pair in 0..pairs {
        let lan = format!("lan{pair}");
        topology = topology.network(&lan);
        for (name, last) in [("a", 1), ("b", 2)] {
            let address = format!("10.{pair}.0.{last}/24");
            topology = topology.node(&format!("{name}{pair}"), &[("eth0", &lan, &address)]);
        }
        ears.push((format!("eth{pair}"), lan, format!("10.{pair}.0.3/24")));
    }
    let ears: Vec<(&str, &str, &str)> =
        ears.iter().map(|(name, network, address)| (&**name, &**network, &**address)).collect();
    topology.node("witness", &ears)
}

/// How many winners did not announce themselves again.
fn missing(bench: &Bench, kind: Kind, pairs: usize) -> Result<f64> {
    let lab = Lab::new(topology(pairs))?;
    let recorder = Recorder::start(lab.host("witness")?)?;
    for pair in 0..pairs {
        for (name, priority) in [("a", 200), ("b", 100)] {
            let addresses = vec![format!("{}/24", vip(pair))];
            let config = text(&[Router { interface: 0, vrid: 1, priority, addresses }]);
            bench.daemons.start(kind, lab.host(&format!("{name}{pair}"))?, &config)?;
        }
        thread::sleep(STAGGER);
    }
    thread::sleep(SPLIT);
    for pair in 0..pairs {
        lab.host(&format!("b{pair}"))?.isolate()?;
    }
    thread::sleep(SPLIT);
    let mut healed = Vec::new();
    for pair in 0..pairs {
        anyhow::ensure!(lab.host(&format!("b{pair}"))?.holds(vip(pair))?, "b{pair} did not take over");
        healed.push(now_ns());
        lab.host(&format!("b{pair}"))?.restore()?;
        thread::sleep(STAGGER / 2);
    }
    thread::sleep(HEAL);
    let mut missing = 0;
    for (pair, healed) in healed.into_iter().enumerate() {
        let links = lab.host(&format!("a{pair}"))?.links()?;
        let mac = links.iter().find(|link| link.name == "eth0").context("no eth0")?.mac;
        let announced = Heard::Garp { ip: vip(pair), mac };
        missing += usize::from(
            !recorder.records().iter().any(|record| record.at > healed && record.heard == announced),
        );
    }
    Ok(missing as f64)
}

fn vip(pair: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, pair as u8, 0, 200)
}

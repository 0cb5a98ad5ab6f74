//! Processor time per advert received: all of a second in one burst, as one master with many virtual
//! routers sends them, and spread evenly over the second, where each one wakes the daemon.

use super::Bench;
use super::config::{self, interfaces};
use super::daemon::Kind;
use super::report::{Aim, Report};
use super::stand::{PEER, Stand};
use super::usage::cpu_us;
use super::voice::Voice;
use anyhow::Result;
use std::{thread, time::Duration};

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let sizes: &[usize] = if bench.quick { &[255] } else { &[255, 1_000] };
    for &count in sizes {
        let aim = Aim::OfKeepalived(1.0 / 3.0);
        for (how, burst) in [("at once", count), ("evenly", 1)] {
            let both = bench.daemons.each(|kind| one(bench, kind, count, burst as u32))?;
            report.row(format!("{count} routers: CPU per advert received, {how}"), "us", both, aim);
        }
    }
    Ok(())
}

fn one(bench: &Bench, kind: Kind, count: usize, burst: u32) -> Result<f64> {
    let stand = Stand::new(interfaces(count))?;
    let routers = config::many(count, 100);
    let voice = Voice::new(stand.peer()?, PEER, &routers, b"bench")?;
    let daemon = bench.daemons.start(kind, stand.node()?, &config::text(&routers))?;
    let speech = voice.keep_saying(200, count as u32, burst)?;
    thread::sleep(Duration::from_secs(3));
    let (said, before) = (speech.said(), cpu_us(&daemon)?);
    thread::sleep(Duration::from_secs(if bench.quick { 4 } else { 6 }));
    let used = cpu_us(&daemon)? - before;
    Ok(used / (speech.said() - said).max(1) as f64)
}

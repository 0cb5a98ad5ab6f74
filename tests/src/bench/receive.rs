//! Processor time per advert received, the adverts spread evenly over the second.

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
    let sizes: &[usize] = if bench.quick { &[255] } else { &[1, 255, 1_000] };
    for &count in sizes {
        let aim = if count == 1 { Aim::None } else { Aim::OfKeepalived(1.0 / 3.0) };
        let both = bench.daemons.each(|kind| one(bench, kind, count))?;
        report.row(format!("{count} routers: CPU per advert received"), "us", both, aim);
    }
    Ok(())
}

fn one(bench: &Bench, kind: Kind, count: usize) -> Result<f64> {
    let stand = Stand::new(interfaces(count))?;
    let routers = config::many(count, 100);
    let voice = Voice::new(stand.peer()?, PEER, &routers, b"bench")?;
    let daemon = bench.daemons.start(kind, stand.node()?, &config::text(&routers))?;
    let speech = voice.keep_saying(200, count as u32)?;
    thread::sleep(Duration::from_secs(3));
    let (said, before) = (speech.said(), cpu_us(&daemon)?);
    thread::sleep(Duration::from_secs(if bench.quick { 4 } else { 8 }));
    let used = cpu_us(&daemon)? - before;
    Ok(used / (speech.said() - said).max(1) as f64)
}

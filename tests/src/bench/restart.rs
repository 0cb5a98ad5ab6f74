//! A crash and a restart at once, as a service manager does it: how long clients are cut off.

use super::Bench;
use super::config::{LOCAL_VIP, Router, text};
use super::daemon::Kind;
use super::events::ruler;
use super::report::{Aim, Report};
use super::stand::Stand;
use super::stats::median;
use super::usage::pids;
use anyhow::{Context, Result};
use hacluster_lab::{Probe, wait_for};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    thread,
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_secs(20);
const SPACING: Duration = Duration::from_millis(1);
/// All that a restart can bring is over by then.
const AFTERMATH: Duration = Duration::from_secs(5);

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let times = bench.repeat(2);
    let both = bench.daemons.each(|kind| (0..times).map(|_| one(bench, kind)).collect::<Result<Vec<_>>>())?;
    let both = both.map(|gaps| median(&gaps?));
    report.row("kill -9 and restart: longest gap at 1,000 pings/s", "ms", both, Aim::OfKeepalived(0.1));
    Ok(())
}

fn one(bench: &Bench, kind: Kind) -> Result<f64> {
    let stand = Stand::new(1)?;
    let router = Router::local(150);
    let daemon = ruler(bench, kind, &stand, router.clone())?;
    thread::sleep(Duration::from_millis(1_500));
    let probe = Probe::start(stand.witness()?, LOCAL_VIP, SPACING)?;
    let begin = Instant::now();
    wait_for("an answer", LIMIT, || probe.answered_since(begin))?;
    thread::sleep(Duration::from_millis(200));
    for pid in pids(&daemon) {
        // One that ended with its parent is what we want.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    daemon.kill()?;
    let _successor = bench.daemons.start(kind, stand.node()?, &text(&[router]))?;
    thread::sleep(AFTERMATH);
    let gap = probe.stop().longest_gap().context("no answers")?;
    Ok(gap.length.as_secs_f64() * 1e3)
}

//! Two nodes with a control network, a client, and somebody who hears everything.
//!
//! ```text
//!   left 100   right 98   client: pings, asks, and hears every network
//! ```

use super::Bench;
use super::daemon::Kind;
use super::recorder::{Heard, Recorder};
use super::stats::now_ns;
use crate::harness::{Cluster, Instance, VIP, trio};
use anyhow::{Context, Result};
use hacluster_lab::{Host, Lab, Probe, Process, wait_for};
use nix::sys::signal::Signal;
use std::{
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

/// Longest wait for anything.
pub(super) const LIMIT: Duration = Duration::from_secs(20);
/// All that a stop or a fault of keepalived's can bring is over by then.
pub(super) const AFTERMATH: Duration = Duration::from_secs(6);
/// A ping answered later than this is lost, in ms.
pub(super) const STOPPED_MS: u64 = 210;
/// Adverts and announcements of the start are over by then.
pub(super) const SETTLE: Duration = Duration::from_millis(6_500);
const SPACING: Duration = Duration::from_millis(1);
const RIGHT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

/// Two agents that know each other, settled.
#[derive(Debug)]
pub(super) struct Duo<'lab> {
    pub(super) lab: &'lab Lab,
    pub(super) cluster: Cluster<'lab>,
    pub(super) recorder: Recorder,
    pub(super) left: Process,
}

impl Duo<'_> {
    /// Runs `body` with two agents; left rules.
    pub(super) fn with_agents<T>(body: impl FnOnce(&Duo<'_>) -> Result<T>) -> Result<T> {
        Self::with_agents_of(|_| Ok(Instance::new(100).master().to_string()), Instance::new(98), body)
    }

    /// As [`with_agents`](Self::with_agents), so configured.
    pub(super) fn with_agents_of<T>(
        left: impl FnOnce(&Host) -> Result<String>,
        right: Instance,
        body: impl FnOnce(&Duo<'_>) -> Result<T>,
    ) -> Result<T> {
        let lab = Lab::new(trio())?;
        let cluster = Cluster::found(&lab)?;
        let recorder = Recorder::start(lab.host("client")?)?;
        let left = left(lab.host("left")?)?;
        let pair = cluster.pair_of(left, right)?;
        thread::sleep(SETTLE);
        body(&Duo { lab: &lab, cluster, recorder, left: pair.left.process })
    }
}

/// Runs `body` with two keepalived of these configurations; left rules, its process is given.
pub(super) fn with_keepalived<T>(
    bench: &Bench,
    [left, right]: [Instance; 2],
    body: impl FnOnce(&Lab, &Recorder, &Process) -> Result<T>,
) -> Result<T> {
    with_daemons(bench, Kind::Keepalived, |_| Ok(left.to_string()), right, body)
}

/// As [`with_keepalived`], or with two agents that do not know each other.
pub(super) fn with_daemons<T>(
    bench: &Bench,
    kind: Kind,
    left: impl FnOnce(&Host) -> Result<String>,
    right: Instance,
    body: impl FnOnce(&Lab, &Recorder, &Process) -> Result<T>,
) -> Result<T> {
    let lab = Lab::new(trio())?;
    let recorder = Recorder::start(lab.host("client")?)?;
    let left = left(lab.host("left")?)?;
    let master = bench.daemons.start(kind, lab.host("left")?, &left)?;
    wait_for("the master", LIMIT, || lab.host("left").and_then(|host| host.holds(VIP)).unwrap_or(false))?;
    let _backup = bench.daemons.start(kind, lab.host("right")?, &right.to_string())?;
    thread::sleep(SETTLE);
    body(&lab, &recorder, &master)
}

/// A client that is answered.
pub(super) fn client(lab: &Lab) -> Result<Probe> {
    let probe = Probe::start(lab.host("client")?, VIP, SPACING)?;
    let begin = Instant::now();
    wait_for("an answer", LIMIT, || probe.answered_since(begin))?;
    thread::sleep(Duration::from_millis(200));
    Ok(probe)
}

/// Pings lost and the longest outage in ms while `deed` is done and until its effects are over.
pub(super) fn outage(lab: &Lab, deed: impl FnOnce() -> Result<()>) -> Result<(f64, f64)> {
    let probe = client(lab)?;
    deed()?;
    thread::sleep(AFTERMATH);
    let report = probe.report();
    // Those under way count for nothing.
    let until =
        Instant::now().checked_sub(Duration::from_millis(STOPPED_MS)).context("no time has passed")?;
    let first = report.pings.first().context("no pings")?.sent;
    let report = report.between(first, until);
    let longest = report.longest_outage().unwrap_or_default();
    Ok((report.missed() as f64, longest.as_secs_f64() * 1e3))
}

/// From now until the first advert of right, in ms.
pub(super) fn until_right_speaks(recorder: &Recorder, deed: impl FnOnce() -> Result<()>) -> Result<f64> {
    let begin = now_ns();
    deed()?;
    let at = recorder.wait("an advert of right", LIMIT, |records| {
        let rights = |heard| matches!(heard, Heard::Advert { source, .. } if source == RIGHT);
        records.iter().find(|record| record.at >= begin && rights(record.heard)).map(|record| record.at)
    })?;
    Ok(super::stats::ms_between(begin, at))
}

/// The longest outages when keepalived's master is stopped, in ms; none where it is not installed.
pub(super) fn stopped_keepalived(bench: &Bench) -> Result<Vec<f64>> {
    if !bench.daemons.has(Kind::Keepalived) {
        return Ok(Vec::new());
    }
    let one = || {
        let pair = [Instance::new(100).master(), Instance::new(98)];
        with_keepalived(bench, pair, |lab, _, master| Ok(outage(lab, || master.signal(Signal::SIGTERM))?.1))
    };
    (0..bench.repeat(3)).map(|_| one()).collect()
}

//! How soon clients are served again when a master goes, or cannot any more, and tells its peers.

use super::Bench;
use super::daemon::Kind;
use super::duo::{Duo, outage, stopped_keepalived, until_right_speaks, with_keepalived};
use super::report::{Aim, Report};
use super::stats::{median, percentile};
use crate::harness::{Instance, LAN, SIDE};
use anyhow::Result;
use hacluster_lab::{Host, Lab};
use nix::sys::signal::Signal;

/// What happens to the master.
type Deed = fn(&Host) -> Result<()>;

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let times = bench.repeat(6);
    let stop = |_| Duo::with_agents(|duo| outage(duo.lab, || duo.left.signal(Signal::SIGTERM)));
    let stops = (0..times).map(stop).collect::<Result<Vec<(f64, f64)>>>()?;
    let stopped = stopped_keepalived(bench)?;
    let (lost, outages): (Vec<_>, Vec<_>) = stops.into_iter().unzip();
    let name = |what: &str| format!("graceful stop: {what}");
    report.row(
        name("pings lost, the most of all runs"),
        "",
        [percentile(&lost, 100.0), None],
        Aim::AtMost(0.0),
    );
    report.row(name("longest outage, p50"), "ms", [median(&outages), median(&stopped)], Aim::None);
    let side = |priority| Instance::new(priority).addresses(["10.9.0.100/24", "10.7.0.100/24 dev eth2"]);
    fault(bench, report, "link of a service interface lost", side, |host| host.cut_from(SIDE), 20.0)?;
    fault(bench, report, "master's link cut", Instance::new, |host| host.cut_from(LAN), 50.0)
}

/// Until the backup's first advert.
fn fault(
    bench: &Bench,
    report: &mut Report,
    what: &str,
    config: fn(u8) -> Instance,
    deed: Deed,
    aim_ms: f64,
) -> Result<()> {
    let times = bench.repeat(6);
    let agent = |_| {
        Duo::with_agents_of(
            |_| Ok(config(100).master().to_string()),
            config(98),
            |duo| until_right_speaks(&duo.recorder, || deed(duo.lab.host("left")?)),
        )
    };
    let agent = (0..times).map(agent).collect::<Result<Vec<f64>>>()?;
    let keepalived = |_| {
        let tracked = |priority| config(priority).with("track_interface {\n        eth2\n    }");
        with_keepalived(bench, [tracked(100).master(), tracked(98)], |lab: &Lab, recorder, _| {
            until_right_speaks(recorder, || deed(lab.host("left")?))
        })
    };
    let times = if bench.daemons.has(Kind::Keepalived) { bench.repeat(3) } else { 0 };
    let keepalived = (0..times).map(keepalived).collect::<Result<Vec<f64>>>()?;
    let both = [median(&agent), median(&keepalived)];
    report.row(format!("{what}: until the backup's first advert, p50"), "ms", both, Aim::AtMost(aim_ms));
    let both = [percentile(&agent, 100.0), percentile(&keepalived, 100.0)];
    report.row(format!("{what}: the same, max"), "ms", both, Aim::None);
    Ok(())
}

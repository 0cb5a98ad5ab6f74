//! Moves on purpose, there and back, under a client that pings a thousand times a second; beside
//! them keepalived's only way to move: to stop the master.

use super::Bench;
use super::duo::{Duo, STOPPED_MS, client};
use super::report::{Aim, Report};
use super::stats::{median, percentile};
use anyhow::{Result, ensure};
use hacluster_lab::Probe;
use std::{
    thread,
    time::{Duration, Instant},
};

/// All that a move can bring is over by then; also the time between two moves.
const AFTERMATH: Duration = Duration::from_millis(300);
/// Moves under one probe, which has a limit of pings.
const MOVES_PER_PROBE: usize = 20;
/// Of a hundred moves, so many may be noticed by a client.
const NOTICED_MAX: f64 = 0.05;
/// And never for longer than this.
const OUTAGE_MAX_MS: f64 = 5.0;

/// What a client saw of one move.
#[derive(Clone, Copy, Debug)]
struct Seen {
    lost: usize,
    outage_ms: f64,
    took_ms: f64,
}

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let count = if bench.quick { 20 } else { 100 };
    let seen = agents(count)?;
    let stopped = super::duo::stopped_keepalived(bench)?;
    let pick = |field: fn(&Seen) -> f64| seen.iter().map(field).collect::<Vec<_>>();
    let noticed = seen.iter().filter(|one| one.lost > 0).count() as f64;
    let lost: usize = seen.iter().map(|one| one.lost).sum();
    let name = |what: &str| format!("{count} moves: {what}");
    let most = Aim::AtMost((NOTICED_MAX * count as f64).floor());
    report.row(name("moves in which a ping was lost"), "", [Some(noticed), None], most);
    report.row(name("pings lost in all of them"), "", [Some(lost as f64), None], Aim::None);
    let outages = pick(|one| one.outage_ms);
    let worst = percentile(&outages, 100.0);
    report.row(
        name("longest outage (keepalived: its master stops)"),
        "ms",
        [worst, median(&stopped)],
        Aim::AtMost(OUTAGE_MAX_MS),
    );
    let took = pick(|one| one.took_ms);
    report.row(name("`haclusterctl failover`, whole process, p50"), "ms", [median(&took), None], Aim::None);
    report.row(name("the same, max"), "ms", [percentile(&took, 100.0), None], Aim::None);
    Ok(())
}

fn agents(count: usize) -> Result<Vec<Seen>> {
    Duo::with_agents(|duo| {
        let mut seen = Vec::new();
        while seen.len() < count {
            let probe = client(duo.lab)?;
            for _ in 0..MOVES_PER_PROBE.min(count - seen.len()) {
                seen.push(one(duo, &probe, seen.len().is_multiple_of(2))?);
            }
        }
        Ok(seen)
    })
}

fn one(duo: &Duo<'_>, probe: &Probe, over: bool) -> Result<Seen> {
    let verb = if over { "failover" } else { "failback" };
    let from = Instant::now();
    let said = duo.cluster.ctl(&[verb, "vi_1", "--yes"])?;
    let took = from.elapsed();
    ensure!(said.code == 0, "{verb}: {said:?}");
    thread::sleep(AFTERMATH);
    let until = Instant::now();
    // Those sent last may still be answered.
    thread::sleep(Duration::from_millis(STOPPED_MS));
    let during = probe.report().between(from, until);
    let outage = during.longest_outage().unwrap_or_default();
    Ok(Seen {
        lost: during.missed(),
        outage_ms: outage.as_secs_f64() * 1e3,
        took_ms: took.as_secs_f64() * 1e3,
    })
}

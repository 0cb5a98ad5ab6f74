//! Many virtual routers: start-up, processor time per advert sent, punctuality, memory.
//!
//! All start as backups of priority 254 on a silent network and rule after 3 intervals and a skew;
//! that wait is the protocol's own and is taken off.

use super::Bench;
use super::config::{self, interfaces};
use super::daemon::Kind;
use super::recorder::{Heard, Record, Recorder};
use super::report::{Aim, Report};
use super::stand::{Stand, is_node};
use super::stats::{ms_between, now_ns, percentile};
use super::usage::{cpu_us, pss_mib};
use anyhow::Result;
use hacluster_lab::Process;
use hacluster_net::{clock, sched};
use std::{
    collections::{HashMap, HashSet},
    process::Command,
    thread,
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(30);
/// Master_Down_Interval of priority 254 at 1 s.
const PROTOCOL_WAIT_MS: f64 = 3_007.812_5;
/// The second burst of announcements (`garp_master_delay 1`) is over by then.
const AFTER_ANNOUNCEMENTS: Duration = Duration::from_millis(2_500);
/// Beyond this many virtual routers only the start is looked at.
const WATCHED_MAX: usize = 1_000;
/// Virtual routers under load.
const LOADED: usize = 255;
const BUSY_LOOPS: usize = 2;

#[derive(Clone, Copy, Debug, Default)]
struct Scale {
    start_ms: f64,
    start_cpu_ms: f64,
    pss_mib: f64,
    sent_us: Option<f64>,
    idle: Option<Lateness>,
    loaded: Option<Lateness>,
    realtime: Option<Lateness>,
}

/// By how much the time between two adverts of one router differs from the interval, in ms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lateness {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let floor = idle_timer(if bench.quick { 4 } else { 6 })?;
    report.row("idle machine: a bare timer once a second, late, max", "ms", [Some(floor), None], Aim::None);
    let sizes: &[usize] = if bench.quick { &[1, 255] } else { &[1, 255, 1_000, 2_000] };
    for &count in sizes {
        let both = bench.daemons.each(|kind| one(bench, kind, count))?;
        let pick = |field: fn(&Scale) -> Option<f64>| both.map(|one| field(&one?));
        let name = |what: &str| format!("{count} routers: {what}");
        let tenth = if count >= 1_000 { Aim::OfKeepalived(0.1) } else { Aim::None };
        report.row(name("start, less the protocol's wait"), "ms", pick(|one| Some(one.start_ms)), tenth);
        report.row(name("start, CPU per router"), "ms", pick(|one| Some(one.start_cpu_ms)), tenth);
        let memory = if count == 1 { Aim::AtMost(12.0) } else { Aim::None };
        report.row(name("memory (PSS)"), "MiB", pick(|one| Some(one.pss_mib)), memory);
        if count > WATCHED_MAX {
            continue;
        }
        let third = if count == 1 { Aim::None } else { Aim::OfKeepalived(1.0 / 3.0) };
        report.row(name("CPU per advert sent"), "us", pick(|one| one.sent_us), third);
        let idle = both.map(|one| one?.idle);
        lateness_rows(report, &name("idle"), idle, Aim::OfKeepalived(1.0), Aim::None);
        if count == LOADED {
            lateness_rows(report, &name("2 busy loops"), both.map(|one| one?.loaded), Aim::None, Aim::None);
            let realtime = both.map(|one| one?.realtime);
            lateness_rows(report, &name("2 busy loops, real time"), realtime, Aim::AtMost(1.0), Aim::None);
        }
    }
    Ok(())
}

/// How late this machine wakes a thread that does nothing else: no daemon can do better.
fn idle_timer(seconds: usize) -> Result<f64> {
    let mut latest = 0.0_f64;
    let mut deadline = clock::now();
    sched::set_exact_timers()?;
    for _ in 0..seconds {
        deadline += hacluster_core::time::Duration::from_secs(1);
        clock::sleep_until(deadline);
        latest = latest.max(clock::now().since(deadline).as_micros() as f64 / 1e3);
    }
    Ok(latest)
}

fn lateness_rows(report: &mut Report, name: &str, both: [Option<Lateness>; 2], p99: Aim, max: Aim) {
    type Row = (&'static str, fn(Lateness) -> f64, Aim);
    let rows: [Row; 3] =
        [("p50", |late| late.p50, Aim::None), ("p99", |late| late.p99, p99), ("max", |late| late.max, max)];
    for (which, field, aim) in rows {
        report.row(
            format!("{name}, advert off schedule, {which}"),
            "ms",
            both.map(|late| late.map(field)),
            aim,
        );
    }
}

fn one(bench: &Bench, kind: Kind, count: usize) -> Result<Scale> {
    let stand = Stand::new(interfaces(count))?;
    let config = config::text(&config::many(count, 254));
    let begin = now_ns();
    let daemon = bench.daemons.start(kind, stand.node()?, &config)?;
    let all_rule = all_rule_of(&stand.recorder, count)?;
    let start_cpu_ms = cpu_us(&daemon)? / 1e3 / count as f64;
    let mut scale = Scale {
        start_ms: ms_between(begin, all_rule) - PROTOCOL_WAIT_MS,
        start_cpu_ms,
        pss_mib: pss_mib(&daemon),
        ..Scale::default()
    };
    if count > WATCHED_MAX {
        return Ok(scale);
    }
    let window = Duration::from_secs(if bench.quick { 4 } else { 6 });
    thread::sleep(AFTER_ANNOUNCEMENTS);
    let (sent_us, idle) = watch(&stand, &daemon, window)?;
    (scale.sent_us, scale.idle) = (Some(sent_us), idle);
    if count == LOADED {
        scale.loaded = under_load(&stand, &daemon, window)?;
        daemon.kill()?;
        scale.realtime = realtime(bench, kind, &config, window)?;
    }
    Ok(scale)
}

fn realtime(bench: &Bench, kind: Kind, config: &str, window: Duration) -> Result<Option<Lateness>> {
    let stand = Stand::new(interfaces(LOADED))?;
    let daemon = bench.daemons.start_realtime(kind, stand.node()?, config)?;
    all_rule_of(&stand.recorder, LOADED)?;
    thread::sleep(AFTER_ANNOUNCEMENTS);
    under_load(&stand, &daemon, window)
}

/// When the last of `count` virtual routers first spoke.
pub(super) fn all_rule_of(recorder: &Recorder, count: usize) -> Result<u64> {
    let mut seen = HashSet::new();
    let mut looked_at = 0;
    let mut last = 0;
    recorder.wait("an advert of every virtual router", LIMIT, |records| {
        for record in &records[looked_at..] {
            if let Heard::Advert { source, vrid, .. } = record.heard
                && is_node(source)
                && seen.insert((record.interface, vrid))
            {
                last = record.at;
            }
        }
        looked_at = records.len();
        (seen.len() == count).then_some(last)
    })
}

/// Microseconds per advert, and lateness, for a while.
fn watch(stand: &Stand, daemon: &Process, window: Duration) -> Result<(f64, Option<Lateness>)> {
    let (begin, before) = (now_ns(), cpu_us(daemon)?);
    thread::sleep(window);
    let used = cpu_us(daemon)? - before;
    let adverts = stand.recorder.adverts(is_node, begin);
    Ok((used / adverts.len().max(1) as f64, lateness(&adverts)))
}

fn under_load(stand: &Stand, daemon: &Process, window: Duration) -> Result<Option<Lateness>> {
    let busy = || {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "while :; do :; done"]);
        stand.witness()?.spawn("busy loop", command)
    };
    let loops = (0..BUSY_LOOPS).map(|_| busy()).collect::<Result<Vec<_>>>()?;
    let lateness = watch(stand, daemon, window)?.1;
    for busy in loops {
        busy.kill()?;
    }
    Ok(lateness)
}

pub(super) fn lateness(adverts: &[Record]) -> Option<Lateness> {
    let off = off_schedule(adverts);
    let at = |percent| percentile(&off, percent);
    Some(Lateness { p50: at(50.0)?, p99: at(99.0)?, max: at(100.0)? })
}

/// By how much the time between two adverts of one virtual router differs from the interval, in ms.
pub(super) fn off_schedule(adverts: &[Record]) -> Vec<f64> {
    let mut last: HashMap<(usize, u8), u64> = HashMap::new();
    let mut off = Vec::new();
    for record in adverts {
        let Heard::Advert { vrid, .. } = record.heard else { continue };
        if let Some(before) = last.insert((record.interface, vrid), record.at) {
            off.push((ms_between(before, record.at) - 1_000.0).abs());
        }
    }
    off
}

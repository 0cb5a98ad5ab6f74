//! Many tracked scripts: processor time of the daemon itself, and what they do to its punctuality.
//!
//! 1,000 virtual routers, each with a script of its own at an interval of one second. What the
//! scripts use is not counted: of every daemon its own process and those it keeps (keepalived's VRRP
//! child, the agent's script runner). On a machine with little room keepalived leaves runs out, and
//! what it uses falls with them: so there is a figure per program started, too.

use super::Bench;
use super::config::{self, interfaces};
use super::daemon::Kind;
use super::recorder::Heard;
use super::report::{Aim, Report};
use super::scale::{Lateness, lateness};
use super::stand::{Stand, is_node};
use super::stats::now_ns;
use super::usage::pids;
use anyhow::{Context, Result};
use hacluster_lab::Process;
use nix::unistd::{SysconfVar, sysconf};
use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    fs, thread,
    time::Duration,
};

const ROUTERS: usize = 1_000;
/// All rule by then, the second burst of announcements is over and every script has run; who needs
/// longer is not waited for.
const SETTLED: Duration = Duration::from_secs(15);

/// What one daemon does with, and without, its scripts.
#[derive(Clone, Copy, Debug)]
struct Tracked {
    /// Milliseconds per second, all that it keeps.
    cpu: f64,
    /// Of that, everything but its main process.
    helpers: f64,
    cpu_without: f64,
    /// Processes and threads that the whole machine started in a second.
    started: f64,
    rule: f64,
    late: Option<Lateness>,
    late_without: Option<Lateness>,
}

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let both = bench.daemons.each(|kind| one(bench, kind))?;
    let mut row = |what: &str, unit, field: fn(&Tracked) -> Option<f64>, aim| {
        let name = format!("{ROUTERS} scripts a second: {what}");
        report.row(name, unit, both.map(|one| field(&one?)), aim);
    };
    row("CPU without scripts", "ms/s", |one| Some(one.cpu_without), Aim::None);
    row("CPU, scripts' own excluded", "ms/s", |one| Some(one.cpu), Aim::OfKeepalived(0.5));
    let per_run = |one: &Tracked| Some((one.cpu - one.cpu_without) / one.started.max(1.0));
    row("the same per program that was started", "ms", per_run, Aim::OfKeepalived(0.5));
    row("of that, helper processes", "ms/s", |one| Some(one.helpers), Aim::None);
    row("processes started by the machine", "/s", |one| Some(one.started), Aim::None);
    row("virtual routers that rule 15 s after the start", "", |one| Some(one.rule), Aim::None);
    row("advert off schedule, p99, without", "ms", |one| Some(one.late_without?.p99), Aim::None);
    row("advert off schedule, p99", "ms", |one| Some(one.late?.p99), Aim::OfKeepalived(1.0));
    row("advert off schedule, max", "ms", |one| Some(one.late?.max), Aim::None);
    Ok(())
}

fn one(bench: &Bench, kind: Kind) -> Result<Tracked> {
    let window = Duration::from_secs(if bench.quick { 5 } else { 15 });
    let without = watched(bench, kind, &config::text(&config::many(ROUTERS, 254)), window)?;
    let with = watched(bench, kind, &text(), window)?;
    Ok(Tracked {
        cpu: with.cpu.iter().sum(),
        helpers: with.cpu.iter().skip(1).sum(),
        cpu_without: without.cpu.iter().sum(),
        started: with.started,
        rule: with.rule as f64,
        late: with.late,
        late_without: without.late,
    })
}

/// Every router with a script of its own.
fn text() -> String {
    let mut scripts = "global_defs {\n script_user root\n}\n".to_owned();
    let mut number = 0;
    let routers = config::text(&config::many(ROUTERS, 254));
    let routers = routers.split_inclusive(" advert_int 1\n").map(|part| {
        if !part.ends_with(" advert_int 1\n") {
            return part.to_owned();
        }
        number += 1;
        let _ = write!(
            scripts,
            "vrrp_script chk_{number} {{\n script \"/bin/true {number}\"\n interval 1\n weight -2\n}}\n"
        );
        format!("{part} track_script {{\n  chk_{number}\n }}\n")
    });
    let routers: String = routers.collect();
    scripts + &routers
}

struct Watched {
    /// Per process, the main one first.
    cpu: Vec<f64>,
    started: f64,
    /// Virtual routers that speak.
    rule: usize,
    late: Option<Lateness>,
}

fn watched(bench: &Bench, kind: Kind, config: &str, window: Duration) -> Result<Watched> {
    let stand = Stand::new(interfaces(ROUTERS))?;
    let daemon = bench.daemons.start(kind, stand.node()?, config)?;
    thread::sleep(SETTLED);
    let kept = kept(&daemon);
    let (begin, before, started) = (now_ns(), used(&kept)?, started()?);
    thread::sleep(window);
    let after = used(&kept)?;
    let seconds = (now_ns() - begin) as f64 / 1e9;
    let cpu = kept.iter().map(|pid| (after[pid] - before[pid]) / seconds).collect();
    let adverts = stand.recorder.adverts(is_node, begin);
    let routers = adverts.iter().filter_map(|record| match record.heard {
        Heard::Advert { vrid, .. } => Some((record.interface, vrid)),
        Heard::Garp { .. } => None,
    });
    let routers: HashSet<_> = routers.collect();
    let started = (self::started()? - started) / seconds;
    Ok(Watched { cpu, started, rule: routers.len(), late: lateness(&adverts) })
}

/// The daemon's processes that stay: what looks like a script of ours is none.
fn kept(daemon: &Process) -> Vec<i32> {
    let is_script = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with(b"/bin/true") || line.starts_with(b"/usr/bin/true") || line.is_empty()
    };
    pids(daemon).into_iter().filter(|pid| !is_script(pid)).collect()
}

/// Processor time so far, user and system, threads that ended included, in milliseconds.
fn used(pids: &[i32]) -> Result<HashMap<i32, f64>> {
    let tick = sysconf(SysconfVar::CLK_TCK)?.context("no clock tick")? as f64;
    let of = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("process {pid} of the daemon has ended"))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        Ok((*pid, (ticks(11) + ticks(12)) * 1e3 / tick))
    };
    pids.iter().map(of).collect()
}

/// Processes and threads that this machine has ever started.
fn started() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat").context("/proc/stat")?;
    let line = stat.lines().find_map(|line| line.strip_prefix("processes ")).context("no `processes`")?;
    Ok(line.trim().parse()?)
}

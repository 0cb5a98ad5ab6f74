//! Load balancing: the agent beside keepalived, on a kernel that has IPVS.
//!
//! Where that is a virtual machine (user-mode-linux), its system calls cost some twenty times what they
//! do elsewhere, and it has one processor: figures are for comparison with each other.

mod checks;
pub mod farm;
mod pretence;
mod stops;
mod tables;
mod tap;

use super::daemon::{Daemons, Kind};
use super::report::Report;
use hacluster_lab::Topology;
use std::{fmt::Write as _, path::Path, time::Duration};

/// A daemon that needs longer has no figure.
const LIMIT: Duration = Duration::from_secs(120);
/// How often every server stops and comes back.
const TIMES: usize = 4;
/// Rounds of checks that are measured, and checks: as many as both daemons can do on such a processor.
const ROUNDS: u32 = 6;
const CHECKS: u32 = 1_000;

/// Runs the groups whose name contains one of `filters` (all when there are none); says on standard
/// error which one is under way, and returns all tables.
///
/// # Errors
/// When the agent is not built. A group that fails is named in the tables, and the others still run.
pub fn run(filters: &[String], quick: bool) -> anyhow::Result<String> {
    let daemons = Daemons::find()?;
    let mut text = daemons.describe();
    for name in ["tables", "checks", "stops"] {
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        eprintln!("benchmark: {name}");
        let mut report = Report::new(daemons.has(Kind::Keepalived));
        let outcome = match name {
            "tables" => tables::run(&daemons, &mut report),
            "checks" => checks::run(&daemons, &mut report, CHECKS, if quick { 2 } else { ROUNDS }),
            _ => stops::run(&daemons, &mut report, if quick { 1 } else { TIMES }),
        };
        let _ = write!(text, "\n### {name}\n\n{report}");
        if let Err(error) = outcome {
            let _ = writeln!(text, "\n{name} did not come to its end: {error:#}");
        }
    }
    Ok(text)
}

/// Measures `count` checks for so many rounds on one processor of this machine. Without IPVS here
/// keepalived is led to believe that there is.
///
/// # Errors
/// When the agent is not built, or a daemon does not run.
pub fn run_checks(count: u32, rounds: u32) -> anyhow::Result<String> {
    farm::pin(0);
    if !Path::new("/proc/net/ip_vs").exists() {
        pretence::begin()?;
    }
    let daemons = Daemons::find()?;
    let mut report = Report::new(daemons.has(Kind::Keepalived));
    let head = daemons.describe();
    checks::run(&daemons, &mut report, count, rounds)?;
    Ok(format!("{head}\n### {count} checks, {rounds} rounds\n\n{report}"))
}

/// One host: what is balanced is its own.
fn topology() -> Topology {
    Topology::new("bench").network("lan").node("node", &[("eth0", "lan", "10.0.0.1/24")])
}

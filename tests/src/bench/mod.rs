//! Benchmarks: the release agent beside keepalived, in the same run, on the same kernel.
//!
//! ```text
//!   node [eth0..]──┐
//!   peer [eth0..]──┼──[ bridges ]   node: the daemon measured; peer: adverts made here, or a daemon
//!   witness ───────┘                witness: hears everything, with the kernel's own times
//! ```
//!
//! Contract: every figure is the median of its repetitions unless its name says otherwise. Nothing
//! is asserted: the table says which aims are met. A program that is absent leaves its column empty.

mod collectors;
mod config;
mod control;
mod daemon;
mod duo;
mod events;
mod files;
mod flood;
mod heal;
pub mod lvs;
mod moves;
mod receive;
mod recorder;
mod report;
mod restart;
mod scale;
mod stand;
mod stand_ins;
mod stats;
mod stops;
mod takeover;
mod telemetry;
mod tracked;
mod usage;
mod verdicts;
mod voice;

pub use report::{Aim, Report, Row};

use daemon::Daemons;
use std::fmt::Write as _;

/// A group of benchmarks: its name, what it is, and how it is run.
type Group = (&'static str, fn(&Bench, &mut Report) -> anyhow::Result<()>);

const GROUPS: [Group; 15] = [
    ("takeover", takeover::run),
    ("scale", scale::run),
    ("tracked", tracked::run),
    ("receive", receive::run),
    ("events", events::run),
    ("restart", restart::run),
    ("flood", flood::run),
    ("heal", heal::run),
    ("files", files::run),
    ("move", moves::run),
    ("stop", stops::run),
    ("verdict", verdicts::run),
    ("control", control::run),
    ("telemetry", telemetry::run),
    ("collectors", collectors::run),
];

/// What every group needs to know.
#[derive(Debug)]
pub struct Bench {
    daemons: Daemons,
    /// Fewer sizes and repetitions.
    quick: bool,
}

impl Bench {
    /// `many` repetitions, or few when in a hurry.
    fn repeat(&self, many: usize) -> usize {
        if self.quick { many.div_ceil(3) } else { many }
    }
}

/// Runs the groups whose name contains one of `filters` (all when there are none); says on standard
/// error which one is under way, and returns all tables.
///
/// # Errors
/// When the agent is not built. A group that fails is named in the tables, and the others still run.
pub fn run(filters: &[String], quick: bool) -> anyhow::Result<String> {
    let bench = Bench { daemons: Daemons::find()?, quick };
    let mut text = bench.daemons.describe();
    for (name, group) in GROUPS {
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        eprintln!("benchmark: {name}");
        let mut report = Report::new(bench.daemons.has(daemon::Kind::Keepalived));
        let outcome = group(&bench, &mut report);
        let _ = write!(text, "\n### {name}\n\n{report}");
        if let Err(error) = outcome {
            let _ = writeln!(text, "\n{name} did not come to its end: {error:#}");
        }
    }
    Ok(text)
}

/// Builds the release programs that are measured, unless one is named.
///
/// # Errors
/// When cargo does not build them.
pub fn build_agent() -> anyhow::Result<()> {
    if std::env::var_os(hacluster_lab::agent::BINARY_VARIABLE).is_some() {
        return Ok(());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = std::process::Command::new(cargo)
        .args(["build", "--release", "--package", "hacluster-agent", "--package", "haclusterctl"])
        .status()?;
    anyhow::ensure!(status.success(), "cargo could not build them");
    Ok(())
}

//! The units as systemd's own tools see them.

use anyhow::{Context, Result, ensure};
use hacluster_lab::Agent;
use hacluster_tests::harness::{Skip, Suite};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("systemd_finds_nothing_wrong_with_the_units", verify);
    suite.trial("the_units_are_confined", security);
}

const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/systemd");
/// systemd's figure for how much a service could do, 0 to 10; a service without confinement has 9.6.
const EXPOSURE_MAX: f64 = 4.0;

fn analyze(arguments: &[&str]) -> Result<Output> {
    Command::new("systemd-analyze")
        .args(arguments)
        .output()
        .map_err(|_| Skip("needs systemd-analyze: apt-get install systemd".to_owned()).into())
}

/// The units in a directory of their own, with a drop-in or without, naming a program that is here.
fn lay_out(directory: &Path, drop_in: Option<&str>) -> Result<String> {
    let program = Agent::find()?.binary.display().to_string();
    for name in ["hacluster-agent.service", "hacluster-agent@.service"] {
        let unit = fs::read_to_string(Path::new(UNITS).join(name)).context(name)?;
        fs::write(directory.join(name), unit.replace("/usr/sbin/hacluster-agent", &program))?;
    }
    if let Some(name) = drop_in {
        let folder = directory.join("hacluster-agent.service.d");
        fs::create_dir_all(&folder)?;
        fs::copy(Path::new(UNITS).join(name), folder.join(name)).context(name.to_owned())?;
    }
    Ok(directory.join("hacluster-agent.service").display().to_string())
}

fn verify() -> Result<()> {
    for drop_in in [None, Some("scripts-as-others.conf"), Some("as-root.conf")] {
        let directory = tempfile::tempdir()?;
        let unit = lay_out(directory.path(), drop_in)?;
        let instance = directory.path().join("hacluster-agent@web.service").display().to_string();
        let said = analyze(&["verify", "--man=no", &unit, &instance])?;
        let text = String::from_utf8_lossy(&said.stderr);
        let ours: Vec<_> = text.lines().filter(|line| line.contains("hacluster")).collect();
        ensure!(said.status.success() && ours.is_empty(), "with {drop_in:?}: {}\n{text}", said.status);
    }
    Ok(())
}

fn security() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let unit = lay_out(directory.path(), None)?;
    let said = analyze(&["security", "--offline=yes", "--no-pager", &unit])?;
    let text = String::from_utf8_lossy(&said.stdout);
    let line = text.lines().find(|line| line.contains("Overall exposure level")).context("no score")?;
    eprintln!("{line}");
    let score = line.split(": ").nth(1).and_then(|rest| rest.split(' ').next()).context("no figure")?;
    let score: f64 = score.parse().context(score.to_owned())?;
    ensure!(score <= EXPOSURE_MAX, "{line}");
    Ok(())
}

//! The units as systemd's own tools see them.
//!
//! ```text
//!   unit + drop-ins --> systemd --test --> what it read: user, capabilities, order
//!                                            `--> setpriv, agent in the lab: it holds an address
//! ```

use anyhow::{Context, Result, ensure};
use hacluster_lab::{Agent, Ctl, Lab};
use hacluster_tests::harness::{Instance, Skip, Suite, VIP, copy_program, hold, pair};
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("systemd_finds_nothing_wrong_with_the_units", verify);
    suite.trial("the_units_are_confined", security);
    suite.trial("keepalived_has_stopped_before_the_agent_starts", order);
    suite.trial("every_drop_in_gives_the_capabilities_it_says", capabilities);
    for drop_ins in COMBINATIONS {
        let what = drop_ins.join("_and_").replace(".conf", "").replace('-', "_");
        let name = format!("the_agent_holds_an_address_with_the_unit_{what}");
        suite.trial(name.trim_end_matches('_'), move || serves(drop_ins));
    }
}

const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/systemd");
/// systemd's figure for how much a service could do, 0 to 10; a service without confinement has 9.6.
const EXPOSURE_MAX: f64 = 4.0;
const OTHERS: &str = "scripts-as-others.conf";
const ROOT: &str = "as-root.conf";
const COMBINATIONS: [&[&str]; 4] = [&[], &[OTHERS], &[ROOT], &[OTHERS, ROOT]];
/// Nobody's number, for what an ordinary user does.
const NOBODY: u32 = 65_534;

fn analyze(arguments: &[&str]) -> Result<Output> {
    Command::new("systemd-analyze")
        .args(arguments)
        .output()
        .map_err(|_| Skip("needs systemd-analyze: apt-get install systemd".to_owned()).into())
}

/// The units in a directory of their own, with the drop-ins, naming programs that are here.
fn lay_out(directory: &Path, drop_ins: &[&str]) -> Result<String> {
    let program = Agent::find()?.binary.display().to_string();
    let ctl = Ctl::find()?.binary.display().to_string();
    for name in ["hacluster-agent.service", "hacluster-agent@.service", "hacluster-release@.service"] {
        let unit = fs::read_to_string(Path::new(UNITS).join(name)).context(name)?;
        let unit = unit.replace("/usr/sbin/hacluster-agent", &program).replace("/usr/bin/haclusterctl", &ctl);
        fs::write(directory.join(name), unit)?;
    }
    for (name, unit) in
        drop_ins.iter().flat_map(|name| [(name, "hacluster-agent"), (name, "hacluster-agent@")])
    {
        let folder = directory.join(format!("{unit}.service.d"));
        fs::create_dir_all(&folder)?;
        fs::copy(Path::new(UNITS).join(name), folder.join(name)).context((*name).to_owned())?;
    }
    Ok(directory.join("hacluster-agent.service").display().to_string())
}

fn verify() -> Result<()> {
    for drop_ins in COMBINATIONS {
        let directory = tempfile::tempdir()?;
        let unit = lay_out(directory.path(), drop_ins)?;
        let instance = |name: &str| directory.path().join(name).display().to_string();
        let (web, release) =
            (instance("hacluster-agent@web.service"), instance("hacluster-release@hacluster.service"));
        let said = analyze(&["verify", "--man=no", &unit, &web, &release])?;
        let text = String::from_utf8_lossy(&said.stderr);
        let ours: Vec<_> = text.lines().filter(|line| line.contains("hacluster")).collect();
        ensure!(said.status.success() && ours.is_empty(), "with {drop_ins:?}: {}\n{text}", said.status);
    }
    Ok(())
}

fn security() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let unit = lay_out(directory.path(), &[])?;
    let said = analyze(&["security", "--offline=yes", "--no-pager", &unit])?;
    let text = String::from_utf8_lossy(&said.stdout);
    let line = text.lines().find(|line| line.contains("Overall exposure level")).context("no score")?;
    eprintln!("{line}");
    let score = line.split(": ").nth(1).and_then(|rest| rest.split(' ').next()).context("no figure")?;
    let score: f64 = score.parse().context(score.to_owned())?;
    ensure!(score <= EXPOSURE_MAX, "{line}");
    Ok(())
}

/// What systemd read of a unit: `Name: value`, a name may come more than once.
struct Read(Vec<(String, String)>);

impl Read {
    /// Reads `unit` with `drop_ins`, beside a keepalived that has a unit, too.
    fn unit(unit: &str, drop_ins: &[&str]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        fs::set_permissions(&directory, Permissions::from_mode(0o755))?;
        lay_out(directory.path(), drop_ins)?;
        fs::write(directory.path().join("keepalived.service"), "[Service]\nExecStart=/bin/true\n")?;
        let system = "/lib/systemd/system";
        let mut command = Command::new("/lib/systemd/systemd");
        command.args(["--test", "--system", "--log-target=console", "--unit", unit]);
        command.env("SYSTEMD_UNIT_PATH", format!("{}:{system}", directory.path().display()));
        if nix::unistd::Uid::effective().is_root() {
            command.uid(NOBODY).gid(NOBODY); // it tests for ordinary users alone
        }
        let said = command.output().map_err(|_| Skip("needs systemd: apt-get install systemd".to_owned()))?;
        let text = String::from_utf8_lossy(&said.stdout);
        let mut lines = text.lines().map(str::trim);
        let _ = lines.find(|line| *line == format!("-> Unit {unit}:"));
        let own = lines.take_while(|line| !line.starts_with("-> Unit "));
        let pairs = own.filter_map(|line| line.split_once(": "));
        let pairs: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        let errors = String::from_utf8_lossy(&said.stderr);
        ensure!(!pairs.is_empty(), "systemd --test does not tell {unit}: {}\n{errors}", said.status);
        Ok(Self(pairs))
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(told, _)| told == name).map(|(_, value)| value.as_str())
    }

    /// Without the prefix; systemd says nothing of an ambient set without members.
    fn set<'a>(&'a self, name: &'a str) -> BTreeSet<&'a str> {
        let words = self.all(name).flat_map(str::split_whitespace);
        words.map(|word| word.trim_start_matches("cap_")).collect()
    }
}

fn order() -> Result<()> {
    let read = Read::unit("hacluster-agent.service", &[])?;
    for name in ["Conflicts", "After"] {
        let named = read.all(name).any(|value| value.starts_with("keepalived.service "));
        ensure!(named, "{name} does not name keepalived.service, so that both run for a moment");
    }
    Ok(())
}

fn capabilities() -> Result<()> {
    let own = BTreeSet::from(["net_admin", "net_raw"]);
    let others = BTreeSet::from(["net_admin", "net_raw", "setuid", "setgid", "kill"]);
    for unit in ["hacluster-agent.service", "hacluster-agent@web.service"] {
        for (drop_ins, expected) in [(COMBINATIONS[0], &own), (COMBINATIONS[1], &others)] {
            let read = Read::unit(unit, drop_ins)?;
            for name in ["AmbientCapabilities", "CapabilityBoundingSet"] {
                ensure!(read.set(name) == *expected, "{unit} {drop_ins:?} {name}: {:?}", read.set(name));
            }
            ensure!(read.all("User").eq(["_hacluster"]), "{unit} {drop_ins:?}");
        }
        for drop_ins in &COMBINATIONS[2..] {
            let read = Read::unit(unit, drop_ins)?;
            let set = read.set("CapabilityBoundingSet");
            let kept =
                ["net_admin", "net_raw", "setuid", "setgid", "kill", "dac_override", "sys_admin", "chown"];
            let without = ["sys_module", "sys_rawio", "sys_boot", "sys_time", "mac_admin"];
            ensure!(kept.iter().all(|name| set.contains(name)), "{unit} {drop_ins:?}: {set:?}");
            ensure!(!without.iter().any(|name| set.contains(name)), "{unit} {drop_ins:?}: {set:?}");
            ensure!(read.all("User").eq(["root"]), "{unit} {drop_ins:?}");
        }
    }
    Ok(())
}

/// The agent with the user and the capabilities that systemd read: an address is held.
fn serves(drop_ins: &[&str]) -> Result<()> {
    if !nix::unistd::Uid::effective().is_root() || Command::new("setpriv").arg("--version").output().is_err()
    {
        return Err(Skip("needs root and setpriv (util-linux)".to_owned()).into());
    }
    let read = Read::unit("hacluster-agent.service", drop_ins)?;
    let exactly = |name| read.set(name).iter().fold("-all".to_owned(), |all, one| format!("{all},+{one}"));
    let (bounding, ambient) = (exactly("CapabilityBoundingSet"), exactly("AmbientCapabilities"));
    let user = if read.all("User").eq(["root"]) { 0 } else { NOBODY };
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        // Where another user may come.
        let directory = tempfile::tempdir()?;
        fs::set_permissions(&directory, Permissions::from_mode(0o755))?;
        let at = |name| directory.path().join(name);
        copy_program(Agent::find()?.binary, &at("agent"))?;
        fs::write(at("keepalived.conf"), Instance::new(150).master().to_string())?;
        fs::create_dir(at("run"))?;
        chown(at("run"), Some(user), Some(user))?;
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={user}")).arg(format!("--regid={user}")).arg("--clear-groups");
        command.args(["--bounding-set", &bounding, "--inh-caps", &ambient, "--ambient-caps", &ambient]);
        command.arg(at("agent")).arg("--config").arg(at("keepalived.conf")).arg("--run-dir").arg(at("run"));
        let agent = left.spawn("hacluster-agent", command)?;
        hold(left, VIP).with_context(|| format!("{:#?}", agent.lines()))?;
        ensure!(agent.stop()?.success(), "{:#?}", agent.lines());
        Ok(())
    })
}

//! A throw-away copy of this machine with systemd as its process 1, on a host of the lab.
//!
//! ```text
//!   lab host (network) -- unshare: PID, mount, IPC, UTS, cgroup -- boot.sh -- systemd (process 1)
//!        `-- nsenter: systemctl, dpkg, journalctl, haclusterctl ----------------^
//! ```
//!
//! Contract: all of it ends with the value, also after a failure: process 1 by the lab, with it everything
//! else of its namespace, then the cgroup is removed. Nothing of this machine is written to.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{Host, LIMIT, Privilege, Process, privilege, wait_for, wait_until};
use hacluster_tests::harness::{Said, Skip};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

const BOOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/boot.sh");
const SYSTEMD: &str = "/lib/systemd/systemd";
/// Where cgroup2 is: alone, and beside the former kind.
const CGROUPS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// Names of our control groups; the process id of the trials follows.
const PREFIX: &str = "hacluster-trial-";
/// What commands inside find programs by.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The booted copy.
pub(crate) struct Machine<'lab> {
    host: &'lab Host,
    process_1: Pid,
    around: Process,
    // Last: what is in it must have ended before.
    _cgroup: Cgroup,
    _layer: tempfile::TempDir,
}

impl<'lab> Machine<'lab> {
    /// Why there can be none here.
    pub(crate) fn possible() -> Result<()> {
        let skip = |why: &str| Err(Skip(why.to_owned()).into());
        if !privilege::entered().is_some_and(|entered| entered == Privilege::Root) {
            return skip("needs root, to boot systemd on a layer over the file system");
        }
        if !Path::new(SYSTEMD).is_file() {
            return skip("needs systemd: apt-get install systemd");
        }
        for program in ["unshare", "nsenter", "pivot_root"] {
            if Command::new(program).arg("--version").output().is_err() {
                return skip("needs unshare, nsenter and pivot_root: apt-get install util-linux");
            }
        }
        Cgroup::new().map(drop)
    }

    /// Boots it in `host`'s network.
    pub(crate) fn boot(host: &'lab Host) -> Result<Self> {
        let (cgroup, layer) = (Cgroup::new()?, tempfile::tempdir()?);
        let mut command = Command::new("unshare");
        command.args(["--fork", "--kill-child", "--pid", "--mount", "--ipc", "--uts", "--", "bash", BOOT]);
        command.arg(layer.path()).arg(&cgroup.0);
        let around = host.spawn("systemd", command)?;
        let process_1 = wait_until("a process 1", LIMIT, || {
            let listed = fs::read_to_string(format!("/proc/{0}/task/{0}/children", around.pid()));
            let first = listed.unwrap_or_default().split_whitespace().find_map(|pid| pid.parse().ok());
            Ok(first.map(Pid::from_raw))
        })?;
        let machine = Self { host, process_1, around, _cgroup: cgroup, _layer: layer };
        wait_until("systemd's socket", LIMIT, || {
            ensure!(machine.around.is_running(), "systemd did not start: {:#?}", machine.around.lines());
            Ok(machine.path("run/systemd/private").exists().then_some(()))
        })?;
        // "degraded" is for the trial to judge.
        let state = machine.run(&["systemctl", "is-system-running", "--wait"])?;
        ensure!(state.out.trim() == "running", "systemd is {state:?}\n{}", machine.journal());
        Ok(machine)
    }

    /// A file of it, as seen from here.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        Path::new("/proc").join(self.process_1.to_string()).join("root").join(inside)
    }

    /// Runs a command inside to its end.
    pub(crate) fn run(&self, command: &[&str]) -> Result<Said> {
        let mut enter = Command::new("nsenter");
        enter.args(["--all", "--root", "--wd", "--target", &self.process_1.to_string(), "--"]).args(command);
        enter.env_clear().env("PATH", PATH);
        Ok(self.host.run(enter)?.into())
    }

    /// As [`run`](Self::run); anything but exit status 0 is an error. Gives what it wrote.
    pub(crate) fn well(&self, command: &[&str]) -> Result<String> {
        let said = self.run(command)?;
        ensure!(said.code == 0, "{command:?}: {said:?}\n{}", self.journal());
        Ok(said.out)
    }

    /// What systemd knows of a unit by this name.
    pub(crate) fn property(&self, unit: &str, name: &str) -> Result<String> {
        Ok(self.well(&["systemctl", "show", "--value", "--property", name, unit])?.trim().to_owned())
    }

    /// Waits until a property of a unit is as `holds` says, and gives it.
    pub(crate) fn becomes(&self, unit: &str, name: &str, holds: impl Fn(&str) -> bool) -> Result<String> {
        let what = format!("{name} of {unit}");
        let met = wait_until(&what, LIMIT, || Ok(Some(self.property(unit, name)?).filter(|now| holds(now))));
        met.with_context(|| format!("it is {:?}\n{}", self.property(unit, name), self.journal()))
    }

    /// Writes a file inside, its folders made.
    pub(crate) fn write(&self, file: &str, text: impl ToString) -> Result<()> {
        let path = self.path(file);
        fs::create_dir_all(path.parent().context("no folder")?)?;
        fs::write(&path, text.to_string()).with_context(|| path.display().to_string())
    }

    /// The latest lines of its journal.
    pub(crate) fn journal(&self) -> String {
        let said = self.run(&[
            "journalctl",
            "--no-pager",
            "--quiet",
            "--lines",
            "60",
            "--output",
            "short-monotonic",
        ]);
        said.map_or_else(|error| error.to_string(), |said| said.out)
    }
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        // Whose child it is reaps it, and ends then.
        let _ = kill(self.process_1, Signal::SIGKILL);
        let _ = self.around.wait(LIMIT);
    }
}

/// A control group of our own; removed with what systemd made in it.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let skip = |why: String| Skip(format!("{why}; systemd as process 1 needs cgroup2"));
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let mounted = |at: &&str| mounts.lines().any(|line| line.contains(&format!(" {at} cgroup2 ")));
        let root = CGROUPS.iter().copied().find(mounted);
        let root = root.ok_or_else(|| skip(format!("nothing is mounted at {CGROUPS:?}")))?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        let place = Path::new(root).join(own);
        sweep(&place);
        let name = format!("{PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = place.join(name);
        fs::create_dir(&path).map_err(|error| skip(format!("{}: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let removed = wait_for("an empty control group", LIMIT, || remove(&self.0).is_ok());
        if let Err(error) = removed {
            eprintln!("{}: {error:#}", self.0.display());
        }
    }
}

/// Removes what trials left that were killed themselves; the kernel keeps any that is still in use.
fn sweep(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = remove(&entry.path());
        }
    }
}

/// Files of a control group go with it, and must not be removed.
fn remove(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

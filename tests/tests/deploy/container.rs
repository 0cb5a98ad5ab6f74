//! The agent as process 1 of a container: signals arrive, orphans are taken in, the address goes.

use anyhow::{Result, ensure};
use hacluster_lab::{Agent, Host, LIMIT, Lab, Process, wait_for, wait_until};
use hacluster_tests::harness::{Instance, Skip, Suite, VIP, free, hold, pair};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("a_stopped_container_takes_its_addresses_along", stopped);
    suite.trial("process_1_takes_in_what_scripts_leave_behind", orphans);
}

/// Starts the agent as process 1 of a PID namespace; its number outside, too.
fn start(host: &Host, config: &str) -> Result<(Process, Pid)> {
    let file = host.directory().join("keepalived.conf");
    fs::write(&file, config)?;
    let mut command = Command::new("unshare");
    command.args(["--fork", "--pid", "--kill-child", "--mount-proc", "--"]).arg(Agent::find()?.binary);
    command.arg("--config").arg(&file).arg("--run-dir").arg(host.directory());
    let around = host.spawn("unshare", command)?;
    let inner =
        wait_until("process 1 of the container", LIMIT, || Ok(children(around.pid()).first().copied()))?;
    Ok((around, inner))
}

fn children(of: Pid) -> Vec<Pid> {
    let listed = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
}

fn has_unshare() -> Result<()> {
    let there = Command::new("unshare").arg("--version").output().is_ok();
    if there { Ok(()) } else { Err(Skip("needs unshare: apt-get install util-linux".to_owned()).into()) }
}

fn stopped() -> Result<()> {
    has_unshare()?;
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let (around, process_1) = start(left, &Instance::new(150).master().to_string())?;
        hold(left, VIP)?;
        kill(process_1, Signal::SIGHUP)?;
        wait_for("the reload", LIMIT, || around.logged("reload: nothing changed"))?;
        kill(process_1, Signal::SIGTERM)?;
        free(left, VIP)?;
        let status = around.wait(LIMIT)?;
        ensure!(status.code() == Some(0), "{status}");
        Ok(())
    })
}

fn orphans() -> Result<()> {
    has_unshare()?;
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let script = left.directory().join("leaves-a-child.sh");
        // The child's parent ends before it does: process 1 inherits it.
        fs::write(&script, "#!/bin/sh\n(sh -c 'sleep 2; exit 3' >/dev/null 2>&1 &)\n")?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        let notify = format!("notify_master {}", script.display());
        let (_around, process_1) = start(left, &Instance::new(150).master().with(&notify).to_string())?;
        hold(left, VIP)?;
        wait_for("the script's child below process 1", LIMIT, || children(process_1).len() > 1)?;
        wait_for("no child but the agent", LIMIT, || children(process_1).len() == 1)
    })
}

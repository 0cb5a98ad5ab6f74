//! Two nodes, `left` at 100 and `right` at 99, and the files that scripts look at.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{Host, LIMIT, wait_until};
use hacluster_tests::harness::{Instance, Running, VIP, Wire, hold};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// VRID of [`Instance::new`].
pub(crate) const VRID: u8 = 51;

/// A keepalived.conf of `blocks` before the virtual router; scripts are run as root.
pub(crate) fn config(blocks: &str, instance: &Instance) -> String {
    format!("global_defs {{\n    script_user root\n}}\n{blocks}\n{instance}")
}

/// What `ip` says on the host; that it fails is an error.
pub(crate) fn ip(host: &Host, words: &str) -> Result<String> {
    let mut command = Command::new("ip");
    command.args(words.split(' '));
    let said = host.run(command)?;
    ensure!(said.status.success(), "ip {words}: {}", String::from_utf8_lossy(&said.stderr));
    Ok(String::from_utf8_lossy(&said.stdout).into_owned())
}

/// Writes an executable script into the host's directory.
pub(crate) fn script(host: &Host, name: &str, text: &str) -> Result<PathBuf> {
    let path = host.directory().join(name);
    let fresh = host.directory().join(format!("{name}.new"));
    fs::write(&fresh, format!("#!/bin/sh\n{text}\n"))?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755))?;
    // Whole or not at all, and never while it is written: somebody may be about to run it.
    fs::rename(&fresh, &path).with_context(|| path.display().to_string())?;
    Ok(path)
}

/// A script that fails while `down` is there.
pub(crate) fn fails_while(host: &Host, down: &Path) -> Result<PathBuf> {
    let text = format!("if [ -f {0} ]; then echo {0} is there; exit 1; fi", down.display());
    script(host, "check.sh", &text)
}

/// A `vrrp_script` block called `chk`.
pub(crate) fn vrrp_script(path: &Path, more: &str) -> String {
    format!("vrrp_script chk {{\n    script \"{}\"\n    interval 1\n    {more}\n}}", path.display())
}

/// Starts `left`, which has to become master, and then `right` with priority 99.
pub(crate) fn left_over_right<'a>(
    left: (&'a Host, String),
    right: &'a Host,
) -> Result<(Running<'a>, Running<'a>)> {
    let master = Running::start(left.0, left.1)?;
    hold(left.0, VIP)?;
    let backup = Running::start(right, Instance::new(99))?;
    backup.logged(&["-> Backup"])?;
    Ok((master, backup))
}

/// Waits until `left` has said `lowered` and `right` rules with 99.
pub(crate) fn lowered(wire: &Wire, left: &Host, right: &Host, since: Instant, lowered: u8) -> Result<()> {
    wire.advert(left.name(), VRID, since, |advert| advert.priority == lowered)?;
    wire.advert(right.name(), VRID, since, |advert| advert.priority == 99)?;
    hold(right, VIP)?;
    hacluster_tests::harness::free(left, VIP)
}

/// Waits until `left` rules again with 100.
pub(crate) fn back(wire: &Wire, left: &Host, right: &Host, since: Instant) -> Result<()> {
    wire.advert(left.name(), VRID, since, |advert| advert.priority == 100)?;
    hold(left, VIP)?;
    hacluster_tests::harness::free(right, VIP)
}

/// The priorities that `host` said, each once in a row.
pub(crate) fn said(wire: &Wire, host: &str) -> Vec<u8> {
    let mut said: Vec<u8> = wire.adverts(host, VRID).iter().map(|seen| seen.packet.priority).collect();
    said.dedup();
    said
}

/// The process ids that stand in `file`, one a line, that live. A zombie does not.
pub(crate) fn living(file: &Path) -> Vec<u32> {
    let numbers = fs::read_to_string(file).unwrap_or_default();
    let lives = |number: &u32| {
        let status = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        status.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
    };
    numbers.lines().filter_map(|line| line.trim().parse().ok()).filter(lives).collect()
}

/// Waits until none of the processes in `file` lives.
pub(crate) fn all_gone(file: &Path) -> Result<()> {
    ensure!(file.exists(), "{} was never written", file.display());
    wait_until("the end of what scripts started", LIMIT, || Ok(living(file).is_empty().then_some(())))
}

//! One director alone, and the table as ipvsadm prints it.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{Ctl, Host, Lab, Topology, peer};
use hacluster_net::netlink::ipvs::{Command, Ipvs, Protocol, ServiceKey};
use hacluster_tests::harness::Suite;
use std::process;

/// What is loaded on demand otherwise.
const MODULES: [&str; 14] = [
    "ip_vs_rr",
    "ip_vs_wrr",
    "ip_vs_lc",
    "ip_vs_wlc",
    "ip_vs_fo",
    "ip_vs_ovf",
    "ip_vs_lblc",
    "ip_vs_lblcr",
    "ip_vs_dh",
    "ip_vs_sh",
    "ip_vs_mh",
    "ip_vs_sed",
    "ip_vs_nq",
    "ip_vs_pe_sip",
];

/// Loads the kernel's schedulers, if it runs here. Loaded on demand while another trial's namespace goes
/// away they can lock up IPVS for ever: the demand holds its lock and waits for the module, which
/// (`lblc`, `lblcr`) waits for the namespace, which waits for the lock.
pub(crate) fn load_modules() {
    if Ipvs::open().is_ok()
        && let Ok(modprobe) = peer::find("modprobe")
    {
        let _ = process::Command::new(modprobe).arg("-aq").args(MODULES).status();
    }
}

/// A trial that needs one host with an empty table.
pub(crate) fn alone(
    suite: &mut Suite,
    name: &str,
    body: impl FnOnce(&Host, &mut Ipvs) -> Result<()> + Send + 'static,
) {
    suite.trial(name, move || {
        let ipvsadm = peer::find("ipvsadm")?; // a reason to skip, outside of the lab
        drop(ipvsadm);
        let topology =
            Topology::new("ipvs").network("lan").node("director", &[("eth0", "lan", "10.0.0.1/24")]);
        Lab::run(topology, |lab| {
            let host = lab.host("director")?;
            body(host, &mut open(host)?)
        })
    });
}

/// A handle on the table of `host`.
pub(crate) fn open(host: &Host) -> Result<Ipvs> {
    host.namespace().run(|| Ok(Ipvs::open()?))
}

/// The lines that `ipvsadm` prints.
pub(crate) fn ipvsadm(host: &Host, arguments: &[&str]) -> Result<Vec<String>> {
    let mut command = process::Command::new(peer::find("ipvsadm")?);
    command.args(arguments);
    let output = host.run(command)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ipvsadm {arguments:?}: {errors}");
    let text = String::from_utf8(output.stdout).context("ipvsadm")?;
    Ok(text.lines().map(|line| line.trim_end().to_owned()).collect())
}

/// The table in the form that `ipvsadm -R` reads.
pub(crate) fn saved(host: &Host) -> Result<Vec<String>> {
    ipvsadm(host, &["-Sn"])
}

/// What `haclusterctl` with `arguments` prints about the agent of `host`, and how it ends.
pub(crate) fn ctl(host: &Host, arguments: &[&str]) -> Result<(String, Option<i32>)> {
    let mut command = Ctl::find()?.command(arguments);
    command.args(["--timeout", "60s", "--socket"]).arg(host.directory().join("run/agent.sock"));
    let output = host.run(command)?;
    let text = [output.stdout, output.stderr].concat();
    Ok((String::from_utf8_lossy(&text).into_owned(), output.status.code()))
}

/// Carries out all, and stops at the first refusal.
pub(crate) fn done(ipvs: &mut Ipvs, commands: &[Command]) -> Result<()> {
    let results = ipvs.execute(commands);
    ensure!(results.len() == commands.len(), "{} results", results.len());
    Ok(results.into_iter().collect::<Result<(), _>>()?)
}

/// `TCP 192.0.2.1:PORT`.
pub(crate) fn tcp(port: u16) -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, ip: [192, 0, 2, 1].into(), port }
}

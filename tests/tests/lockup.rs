//! A kernel whose load balancer does not answer: the module is asked for, and whoever loads modules hangs.
//!
//! ```text
//!   agent -- is there IPVS? --> kernel -- modprobe --> waits until a file is gone
//! ```
//!
//! The kernel has one such program for all: these trials run in a virtual machine of their own.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{LIMIT, Lab, wait_until};
use hacluster_net::netlink::ipvs::Ipvs;
use hacluster_tests::harness::{Instance, Running, Skip, Suite, VIP, Wire, hold, pair};
use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Where the kernel looks for the program that loads modules.
const MODPROBE: &str = "/proc/sys/kernel/modprobe";
const VRID: u8 = 51;
/// Adverts that are enough to see that they go on.
const ADVERTS: usize = 4;
/// Virtual servers are waited for at the end, but not for ever: less than the fifteen seconds after which
/// the lab kills what does not end.
const END_MAX: Duration = Duration::from_secs(12);

fn main() {
    let mut suite = Suite::enter_in_vm();
    suite.trial("lockup::routers_go_on_and_the_agent_ends_without_an_answer_of_ipvs", || {
        if !Path::new(MODPROBE).exists() {
            return Err(Skip("needs a kernel that loads modules".into()).into());
        }
        Lab::run(pair(), |lab| routers_go_on(lab, &Lockup::begin(lab)?))
    });
    suite.run()
}

/// From its beginning on, until it is dropped, nobody hears whether there is IPVS.
struct Lockup {
    asked: PathBuf,
    locked: PathBuf,
    former: String,
}

impl Lockup {
    fn begin(lab: &Lab) -> Result<Self> {
        let folder = lab.host("left")?.directory();
        let [program, asked, locked] = ["modprobe", "asked", "locked"].map(|name| folder.join(name));
        let former = fs::read_to_string(MODPROBE)?.trim().to_owned();
        let (ask, lock) = (asked.display(), locked.display());
        let text = format!(
            "#!/bin/sh\ncase \"$*\" in *IPVS*) : > {ask}; while [ -e {lock} ]; do sleep 0.1; done;; esac\n\
             exec {former} \"$@\"\n"
        );
        fs::write(&program, text)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        fs::write(&locked, "")?;
        fs::write(MODPROBE, program.as_os_str().as_encoded_bytes()).context(MODPROBE)?;
        Ok(Self { asked, locked, former })
    }

    fn is_met(&self) -> Result<()> {
        wait_until("the question for IPVS", LIMIT, || Ok(self.asked.exists().then_some(())))
    }

    fn end(&self) {
        let _ = fs::remove_file(&self.locked);
        let _ = fs::write(MODPROBE, &self.former);
    }
}

impl Drop for Lockup {
    fn drop(&mut self) {
        self.end();
    }
}

fn config(addresses: &[Ipv4Addr]) -> String {
    let addresses = addresses.iter().map(|ip| format!("{ip}/24"));
    let instance = Instance::new(150).master().addresses(addresses);
    format!(
        "{instance}virtual_server {VIP} 80 {{\n lb_algo rr\n lb_kind NAT\n real_server 10.9.0.9 80 {{\n }}\n}}\n"
    )
}

fn routers_go_on(lab: &Lab, lockup: &Lockup) -> Result<()> {
    let (host, wire) = (lab.host("left")?, Wire::tap(lab, "lan")?);
    let agent = Running::start(host, config(&[VIP]))?;
    lockup.is_met()?;
    hold(host, VIP)?;
    wire.count("left", VRID, Instant::now(), ADVERTS)?;
    let second = Ipv4Addr::new(10, 9, 0, 101);
    agent.reload(config(&[VIP, second]))?;
    hold(host, second)?;
    agent.logged(&["IPVS does not answer", "virtual routers go on"])?;
    wire.count("left", VRID, Instant::now(), ADVERTS)?;
    let begun = Instant::now();
    agent.stop()?;
    let took = begun.elapsed();
    ensure!(took < END_MAX, "it took {took:?} to end");
    let resigned = wire.advert("left", VRID, begun, |advert| advert.priority == 0)?;
    let last = resigned.at.duration_since(begun);
    ensure!(last < took, "the neighbours heard of it after {last:?} only");
    agent.logged(&["virtual servers may stay in the kernel"])?;

    let agent = Running::start(host, config(&[VIP]))?;
    hold(host, VIP)?;
    agent.logged(&["IPVS does not answer"])?;
    lockup.end();
    agent.logged(&["IPVS answers again"])?;
    wait_until("the virtual server in the kernel", LIMIT, || {
        Ok((host.namespace().run(|| Ok(Ipvs::open()?.services()?.len()))? == 1).then_some(()))
    })?;
    agent.stop()
}

//! Hosts on one network, daemons on them, and what can be said about who rules.
//!
//! ```text
//!   one .1    two .2    three .3    client .9
//!     |         |          |          |
//!     +---------+----------+----------+---- lan, recorded
//! ```

use crate::router::{Router, config};
use anyhow::{Context, Result, anyhow, bail, ensure};
use hacluster_lab::{
    Agent, Capture, Host, LIMIT, Lab, Process, Topology,
    capture::Seen,
    diagnose,
    packet::Advert,
    peer::{Frr, FrrProcesses, Keepalived},
    wait_until,
};
use nix::sys::signal::Signal;
use std::{
    cell::RefCell,
    fmt, fs,
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

/// Adverts of the same master that prove a rule to be steady: more than a master-down interval.
const STEADY_ADVERTS: usize = 5;
/// A condition here asks the kernel: not too often.
const PAUSE: Duration = Duration::from_millis(25);

/// Which daemon a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Agent,
    Keepalived,
    Frr,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agent => "agent",
            Self::Keepalived => "keepalived",
            Self::Frr => "frr",
        })
    }
}

/// A running lab and its recording.
pub(crate) struct Stage<'lab> {
    pub(crate) lab: &'lab Lab,
    pub(crate) capture: Capture,
}

/// Builds the hosts and runs `body`; a failure also tells what was on the wire.
pub(crate) fn play(body: impl FnOnce(&Stage<'_>) -> Result<()>) -> Result<()> {
    let topology = Topology::new("interop")
        .network("lan")
        .node("one", &[("eth0", "lan", "10.9.0.1/24")])
        .node("two", &[("eth0", "lan", "10.9.0.2/24")])
        .node("three", &[("eth0", "lan", "10.9.0.3/24")])
        .node("client", &[("eth0", "lan", "10.9.0.9/24")]);
    Lab::run(topology, |lab| {
        let stage = Stage { lab, capture: lab.capture("lan")? };
        body(&stage).map_err(|error| anyhow!("{error:#}\n{}", diagnose::packets(&stage.capture)))
    })
}

/// Waits for a yes, with a pause that suits questions to the kernel.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    wait_until(what, LIMIT, || {
        let yes = condition()?;
        if !yes {
            thread::sleep(PAUSE);
        }
        Ok(yes.then_some(()))
    })
}

impl Stage<'_> {
    /// A daemon that is not started yet, on a host of its own.
    pub(crate) fn node(&self, kind: Kind, host: &str, routers: &[Router]) -> Result<Node<'_>> {
        let host = self.lab.host(host)?;
        let address = host.addresses()?.first().context("a host without address")?.cidr.ip;
        let programs = RefCell::new(Programs::None);
        Ok(Node { stage: self, kind, host, address, routers: RefCell::new(routers.to_vec()), programs })
    }

    /// As [`node`](Self::node), started.
    pub(crate) fn start(&self, kind: Kind, host: &str, router: &Router) -> Result<Node<'_>> {
        let node = self.node(kind, host, std::slice::from_ref(router))?;
        node.start()?;
        Ok(node)
    }

    /// The client's MAC for `ip`, if it knows one.
    pub(crate) fn client_knows(&self, ip: Ipv4Addr) -> Result<Option<[u8; 6]>> {
        let table =
            self.lab.host("client")?.namespace().run(|| {
                fs::read_to_string("/proc/thread-self/net/arp").context("cannot read the ARP table")
            })?;
        let entry = table.lines().find_map(|line| {
            let mut fields = line.split_whitespace();
            (fields.next()? == ip.to_string()).then(|| fields.nth(2))?
        });
        let octets = entry.map(|mac| mac.split(':').map(|octet| u8::from_str_radix(octet, 16)).collect());
        let octets: Option<Vec<u8>> = octets.transpose().context("an odd MAC")?;
        Ok(octets.and_then(|octets| octets.try_into().ok()).filter(|mac| *mac != [0; 6]))
    }
}

enum Programs {
    None,
    One(Process),
    Frr(FrrProcesses),
}

/// A daemon on a host. All questions are about its first virtual router unless they say otherwise.
pub(crate) struct Node<'stage> {
    stage: &'stage Stage<'stage>,
    pub(crate) kind: Kind,
    pub(crate) host: &'stage Host,
    pub(crate) address: Ipv4Addr,
    routers: RefCell<Vec<Router>>,
    programs: RefCell<Programs>,
}

impl Node<'_> {
    pub(crate) fn start(&self) -> Result<()> {
        let routers = self.routers.borrow();
        let programs = match self.kind {
            Kind::Agent => Programs::One(Agent::find()?.start(self.host, &config(&routers))?),
            Kind::Keepalived => Programs::One(Keepalived::find()?.start(self.host, &config(&routers))?),
            Kind::Frr => {
                self.remove_macvlan();
                Programs::Frr(Frr::find()?.start(self.host, &self.router().frr())?)
            }
        };
        self.programs.replace(programs);
        Ok(())
    }

    /// FRR finds its interface made for it; the one of an earlier run goes first.
    fn remove_macvlan(&self) {
        let name = self.macvlan();
        let _ = self.host.netlink(move |requests| Ok(requests.delete_link(&name)?)); // there may be none
    }

    fn macvlan(&self) -> String {
        format!("vrrp{}", self.router().vrid)
    }

    pub(crate) fn router(&self) -> Router {
        self.routers.borrow()[0].clone()
    }

    /// The program that speaks VRRP.
    pub(crate) fn process(&self) -> Result<Process> {
        match &*self.programs.borrow() {
            Programs::One(process) => Ok(process.clone()),
            Programs::Frr(processes) => Ok(processes.vrrpd.clone()),
            Programs::None => bail!("{} is not started", self.host.name()),
        }
    }

    /// SIGTERM, and a good end.
    pub(crate) fn stop(&self) -> Result<()> {
        match &*self.programs.borrow() {
            Programs::One(process) => {
                let status = process.stop()?;
                ensure!(status.success(), "{process:?} ended with {status}");
                Ok(())
            }
            Programs::Frr(processes) => processes.stop(),
            Programs::None => Ok(()),
        }
    }

    /// A crash.
    pub(crate) fn kill(&self) -> Result<()> {
        match &*self.programs.borrow() {
            Programs::One(process) => process.kill().map(drop),
            Programs::Frr(processes) => {
                processes.vrrpd.kill()?;
                processes.zebra.kill().map(drop)
            }
            Programs::None => Ok(()),
        }
    }

    /// Writes a changed configuration and sends SIGHUP.
    pub(crate) fn reload(&self, change: impl FnOnce(&mut Router)) -> Result<()> {
        ensure!(self.kind != Kind::Frr, "FRR is not reloaded here");
        change(&mut self.routers.borrow_mut()[0]);
        let file = self.host.directory().join("keepalived.conf");
        fs::write(&file, config(&self.routers.borrow())).context("cannot write the configuration")?;
        self.process()?.signal(Signal::SIGHUP)
    }

    /// Whether clients are served here: all addresses are in place; FRR's are on an interface it switches.
    pub(crate) fn rules(&self) -> Result<bool> {
        let router = self.router();
        if self.kind == Kind::Frr {
            return self.host.is_running(&self.macvlan());
        }
        let held = self.host.addresses()?;
        Ok(router.addresses().all(|ip| held.iter().any(|address| address.cidr.ip == ip)))
    }

    /// Whether nothing is served here.
    pub(crate) fn rests(&self) -> Result<bool> {
        let router = self.router();
        if self.kind == Kind::Frr {
            return Ok(!self.host.is_running(&self.macvlan())?);
        }
        let held = self.host.addresses()?;
        Ok(!router.addresses().any(|ip| held.iter().any(|address| address.cidr.ip == ip)))
    }

    /// Its adverts of the first virtual router since `since`.
    pub(crate) fn adverts(&self, since: Instant) -> Vec<Seen<Advert>> {
        let vrid = self.router().vrid;
        let adverts = self.stage.capture.adverts().into_iter();
        adverts
            .filter(|seen| seen.at >= since && seen.host == self.host.name() && seen.packet.vrid == vrid)
            .collect()
    }

    /// Whether it announced the first virtual address since `since`.
    pub(crate) fn announced(&self, since: Instant) -> bool {
        let vip = self.router().vips[0];
        self.stage.capture.arps().iter().any(|seen| {
            let arp = &seen.packet;
            seen.at >= since && seen.host == self.host.name() && arp.is_gratuitous() && arp.sender_ip == vip
        })
    }

    /// Waits for such an announcement: addresses are set in place by the kernel meanwhile.
    pub(crate) fn announces(&self, since: Instant) -> Result<()> {
        until(&format!("an announcement of {self}"), || Ok(self.announced(since)))
    }

    /// The Ethernet address it announces with.
    pub(crate) fn mac(&self) -> Result<[u8; 6]> {
        let name = if self.kind == Kind::Frr { self.macvlan() } else { "eth0".to_owned() };
        self.host.netlink(move |requests| Ok(requests.link(&name)?.mac))
    }

    /// Waits until it serves clients and says so on the wire.
    pub(crate) fn is_master(&self) -> Result<()> {
        let since = Instant::now();
        until(&format!("{self} as master"), || Ok(self.rules()? && !self.adverts(since).is_empty()))
    }

    /// Waits until it serves nobody.
    pub(crate) fn is_backup(&self) -> Result<()> {
        until(&format!("{self} without addresses"), || self.rests())
    }

    /// Waits for its log to say `text`.
    pub(crate) fn says(&self, text: &str) -> Result<()> {
        let process = self.process()?;
        until(&format!("`{text}` in the log of {self}"), || Ok(process.logged(text)))
    }

    /// Waits until it listens as a backup, by its own account.
    pub(crate) fn listens(&self) -> Result<()> {
        match self.kind {
            Kind::Agent => self.says("-> Backup"),
            Kind::Keepalived => self.says("Entering BACKUP STATE"),
            Kind::Frr => self.says("Backup"),
        }
    }

    /// Waits for a few more adverts of it, during which `others` must be silent and serve nobody.
    pub(crate) fn rules_alone_over(&self, others: &[&Node<'_>]) -> Result<()> {
        let since = Instant::now();
        let what = format!("{STEADY_ADVERTS} adverts of {self}");
        until(&what, || Ok(self.adverts(since).len() >= STEADY_ADVERTS))?;
        ensure!(self.rules()?, "{self} does not hold the addresses");
        for other in others {
            ensure!(other.adverts(since).is_empty(), "{other} speaks, too");
            ensure!(other.rests()?, "{other} holds addresses, too");
        }
        Ok(())
    }
}

impl fmt::Display for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.kind, self.host.name())
    }
}

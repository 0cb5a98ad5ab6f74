//! Playing a scenario: build, elect, cut a node off, restore it, stop its daemon; then, with agents,
//! ask all of them and move an address on purpose.

use super::{
    cluster,
    daemon::Daemon,
    narrate::{BAR_WIDTH, Narrator, span},
    scenario::{CLIENT, Gone, NETWORK, Node, Router, Scenario},
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use hacluster_lab::{
    Capture, Fleet, Host, LIMIT, Lab, Privilege, Probe,
    capture::Seen,
    diagnose,
    packet::Advert,
    probe::Report,
    wait::{Interrupted, wait_for, wait_until},
};
use nix::sys::signal::Signal;
use std::{
    ops::Deref,
    time::{Duration, Instant},
};

/// The client's pings: often enough to measure a gap, seldom enough for a busy laptop.
const PING_EVERY: Duration = Duration::from_millis(5);
/// During a move that nobody shall notice.
pub(super) const PING_FAST: Duration = Duration::from_millis(1);
/// Pings before and after an event, so that the bar shows what is normal.
const PINGS_AROUND: usize = 100;
/// A lab that is kept waits for Ctrl-C; nobody looks at it for longer.
const KEEP_LIMIT: Duration = Duration::from_secs(30 * 24 * 3600);

/// One scenario to be played.
#[derive(Debug)]
pub(crate) struct Play<'a> {
    pub(crate) narrator: &'a Narrator,
    pub(crate) daemon: &'a Daemon,
    pub(crate) scenario: &'a Scenario,
    pub(crate) privilege: Privilege,
    /// Leave it running at the end, until Ctrl-C.
    pub(crate) keep: bool,
}

impl Play<'_> {
    /// Plays it from beginning to end. An error holds what every host looked like.
    pub(crate) fn perform(&self) -> Result<()> {
        self.narrator.title(self.scenario.name, self.scenario.title);
        let start = Instant::now();
        let lab = Lab::new(self.scenario.topology())?;
        let hosts: Vec<_> = lab.hosts().iter().map(|host| host.name()).collect();
        let took = span(start.elapsed());
        let on = if self.scenario.networks.len() == 1 { "one network" } else { "two networks" };
        self.narrator.event("built", format_args!("{} on {on}, in {took}", hosts.join(", ")));
        let whose = match self.privilege {
            Privilege::Root => "as root, in network namespaces",
            Privilege::UserNamespace => "without root, in a user namespace",
        };
        self.narrator.event("", whose);
        let capture = lab.capture(NETWORK)?;
        let fleet = match self.daemon {
            Daemon::Agent(_) => Some(cluster::found(&lab, self.scenario)?),
            Daemon::Keepalived(_) => None,
        };
        let stage = Stage { play: self, lab: &lab, capture: &capture, fleet };
        let outcome = stage.acts().map_err(|error| {
            if error.is::<Interrupted>() {
                return error;
            }
            let looked = diagnose::report(&lab);
            anyhow!("{}: {error:#}\n\n{looked}{}", self.scenario.name, diagnose::packets(&capture))
        });
        drop(capture);
        let errors = lab.teardown();
        outcome?;
        ensure!(errors.is_empty(), "teardown: {errors:?}");
        Ok(())
    }
}

/// A play on its running lab.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    play: &'a Play<'a>,
    pub(super) lab: &'a Lab,
    capture: &'a Capture,
    /// What makes the agents a cluster.
    pub(super) fleet: Option<Fleet>,
}

impl<'a> Deref for Stage<'a> {
    type Target = Play<'a>;

    fn deref(&self) -> &Self::Target {
        self.play
    }
}

impl Stage<'_> {
    fn acts(&self) -> Result<()> {
        self.elect()?;
        let name = self.scenario.cut;
        let host = self.lab.host(name)?;
        let cut = format!("{name}: its cable is pulled");
        self.act("cut", &cut, Gone::CutOff(name), || host.cut_from(NETWORK))?;
        let restored = format!("{name}: its cable is plugged in");
        self.act("restored", &restored, Gone::Nobody, || host.restore())?;
        if self.fleet.is_none() && self.keep {
            return self.keep();
        }
        let stopped = format!("{name}: {} is asked to end", self.daemon.name());
        self.act("stopped", &stopped, Gone::Stopped(name), || {
            host.processes().iter().try_for_each(|process| process.signal(Signal::SIGTERM))
        })?;
        let Some(fleet) = &self.fleet else { return self.end() };
        let node = self.scenario.nodes.iter().find(|node| node.name == name).context("no such node")?;
        let started = format!("{name}: {} again", self.daemon.name());
        self.act("started", &started, Gone::Nobody, || self.start(node))?;
        self.moves(fleet)?;
        if self.keep { self.keep() } else { self.end() }
    }

    fn elect(&self) -> Result<()> {
        let start = Instant::now();
        self.scenario.nodes.iter().try_for_each(|node| self.start(node))?;
        let count = self.scenario.nodes.len();
        self.narrator.event("started", format_args!("{} on {count} nodes", self.daemon.name()));
        self.as_configured(Gone::Nobody)?;
        let took = span(start.elapsed());
        self.narrator.event("elected", format_args!("every virtual router has its master after {took}"));
        self.table()
    }

    fn start(&self, node: &Node) -> Result<()> {
        let host = self.lab.host(node.name)?;
        match &self.fleet {
            Some(fleet) => fleet.start_with(host, node.config, &cluster::agent_toml(fleet, node)),
            None => self.daemon.start(host, node.config),
        }
        .map(drop)
    }

    /// Does something to a node while the client pings, waits until all is well, and tells what was
    /// seen. From then on `gone` says who can be master of what.
    fn act(&self, verb: &str, what: &str, gone: Gone, deed: impl FnOnce() -> Result<()>) -> Result<()> {
        let router = self.scenario.watched();
        let probe = self.client(router, PING_EVERY)?;
        self.narrator.event(verb, what);
        let start = Instant::now();
        deed()?;
        self.as_configured(gone)?;
        let took = span(start.elapsed());
        let holder = router.holder(gone);
        self.heard(&probe, holder)?;
        self.narrator.event("moved", format_args!("{} is on {holder}, {took} later", router.address));
        self.tell_wire(router);
        self.tell_client(&probe.stop());
        self.table()
    }

    /// Waits until every virtual router is where it should be while `gone` is so.
    fn as_configured(&self, gone: Gone) -> Result<()> {
        self.scenario.routers.iter().try_for_each(|router| self.alone_on(router, router.holder(gone), gone))
    }

    /// Waits until the address of `router` is on `holder` and nowhere else.
    pub(super) fn alone_on(&self, router: &Router, holder: &str, gone: Gone) -> Result<()> {
        let what = format!("{} ({}) on {holder} and on no other node", router.address, router.name);
        self.narrator.while_waiting(&what, || {
            wait_until(&what, LIMIT, || {
                self.daemons_run(gone)?;
                Ok((self.holders(router)? == [holder]).then_some(()))
            })
        })
    }

    /// Waits until the client has heard from `holder`, and a little longer for the picture.
    pub(super) fn heard(&self, probe: &Probe, holder: &str) -> Result<()> {
        let since = Instant::now();
        let what = format!("the client to hear {holder}");
        self.narrator.while_waiting(&what, || wait_for(&what, LIMIT, || probe.answered_since(since)))?;
        let seen = probe.report().pings.len();
        wait_for("more pings", LIMIT, || probe.report().pings.len() >= seen + PINGS_AROUND)
    }

    /// A client that hears the virtual router, and has for a while.
    pub(super) fn client(&self, router: &Router, every: Duration) -> Result<Probe> {
        let probe = Probe::start(self.lab.host(CLIENT)?, router.address, every)?;
        let since = Instant::now();
        let what = format!("answers from {}", router.address);
        self.narrator.while_waiting(&what, || {
            wait_for(&what, LIMIT, || {
                probe.report().pings.len() >= PINGS_AROUND && probe.answered_since(since)
            })
        })?;
        Ok(probe)
    }

    pub(super) fn tell_client(&self, report: &Report) {
        let silence = match report.longest_outage() {
            Some(outage) => format!("gap {}", span(outage)),
            None => "no gap".to_owned(),
        };
        self.narrator.event("client", report.bar(BAR_WIDTH));
        self.narrator.event(
            "",
            format_args!(
                "{silence}; {} of {} pings missed (.), one every {}",
                report.missed(),
                report.pings.len(),
                span(report.every)
            ),
        );
    }

    /// What was on the wire: the old master's last advert, the new one's first.
    pub(super) fn tell_wire(&self, router: &Router) {
        let mut adverts = self.capture.adverts();
        adverts.retain(|advert| advert.packet.vrid == router.vrid);
        let change = adverts.windows(2).rev().find(|pair| pair[0].host != pair[1].host);
        if let Some([last, first]) = change {
            let silence = span(first.at.saturating_duration_since(last.at));
            let told = format!("first advert of {} {silence} after the last of {}", first.host, last.host);
            self.narrator.event("wire", told);
        }
    }

    /// Who holds what, as the kernels say; priorities as last heard on the wire.
    fn table(&self) -> Result<()> {
        let mut rows = vec![["VIRTUAL ROUTER", "VRID", "ADDRESS"].map(str::to_owned).to_vec()];
        rows[0].extend(self.scenario.nodes.iter().map(|node| node.name.to_owned()));
        let adverts = self.capture.adverts();
        for router in self.scenario.routers {
            let mut row = vec![router.name.to_owned(), router.vrid.to_string(), router.address.to_string()];
            let holders = self.holders(router)?;
            for node in self.scenario.nodes {
                row.push(if holders.contains(&node.name) {
                    let sent = |advert: &&Seen<Advert>| {
                        advert.packet.vrid == router.vrid && advert.host == node.name
                    };
                    let last = adverts.iter().rev().find(sent);
                    format!(
                        "Master {}",
                        last.map_or(String::new(), |advert| advert.packet.priority.to_string())
                    )
                } else if [router.master, router.backup].contains(&node.name) {
                    self.idle(node.name)?.to_owned()
                } else {
                    "-".to_owned()
                });
            }
            rows.push(row);
        }
        self.narrator.table(&rows);
        Ok(())
    }

    /// Why a node that could hold an address does not.
    fn idle(&self, node: &str) -> Result<&'static str> {
        let host = self.lab.host(node)?;
        Ok(if !host.processes().iter().any(|process| process.is_running()) {
            "stopped"
        } else if !host.is_running(self.scenario.interface(node))? {
            "cut off"
        } else {
            "Backup"
        })
    }

    /// Fails when a daemon has ended that should run: on each node the latest, on one that stopped none.
    fn daemons_run(&self, gone: Gone) -> Result<()> {
        let hosts = self
            .lab
            .hosts()
            .iter()
            .filter(|host| !matches!(gone, Gone::Stopped(node) if node == host.name()));
        for process in hosts.filter_map(|host| host.processes().pop()) {
            if let Some(status) = process.status()? {
                bail!("{} has ended: {status}", process.name());
            }
        }
        Ok(())
    }

    fn end(&self) -> Result<()> {
        let start = Instant::now();
        for process in self.lab.hosts().iter().flat_map(|host| host.processes()) {
            let status = process.stop()?;
            ensure!(status.success(), "{} ended badly: {status}", process.name());
        }
        for router in self.scenario.routers {
            let left = self.holders(router)?;
            ensure!(left.is_empty(), "{} was left behind on {}", router.address, left.join(", "));
        }
        self.narrator.event(
            "ended",
            format_args!("all daemons, and they took their addresses along, in {}\n", span(start.elapsed())),
        );
        Ok(())
    }

    /// Says how to look inside, and waits for Ctrl-C.
    fn keep(&self) -> Result<()> {
        let file = self.lab.directory().join("packets.pcap");
        self.capture.write_pcap(&file).context("cannot keep the packets")?;
        self.narrator.line("It stays up until Ctrl-C. To look inside, from another terminal:");
        for host in self.lab.hosts() {
            self.narrator.line(format_args!("  {:8} {} ip -brief address", host.name(), self.enter(host)));
        }
        self.narrator.line(format_args!("  files    {}", self.lab.directory().display()));
        self.narrator.line(format_args!("  packets  tcpdump -nr {}\n", file.display()));
        if let Some(fleet) = &self.fleet {
            self.tell_commands(fleet)?;
        }
        match wait_for("Ctrl-C", KEEP_LIMIT, || false) {
            // All waits are over now, so nothing is asked to end: the lab kills it.
            Err(error) if error.is::<Interrupted>() => {
                self.narrator.event(
                    "ended",
                    format_args!("{} hosts and everything on them\n", self.lab.hosts().len()),
                );
                Ok(())
            }
            other => other,
        }
    }

    /// What to put before a command so that it runs on `host`.
    pub(super) fn enter(&self, host: &Host) -> String {
        let user = match self.privilege {
            Privilege::Root => String::new(),
            Privilege::UserNamespace => {
                format!("--target {} --user --preserve-credentials ", std::process::id())
            }
        };
        format!("nsenter {user}--net={}", host.namespace().path().display())
    }

    /// The nodes that have the virtual router's address, in the scenario's order.
    fn holders(&self, router: &Router) -> Result<Vec<&'static str>> {
        let mut holders = Vec::new();
        for node in self.scenario.nodes {
            if self.lab.host(node.name)?.holds(router.address)? {
                holders.push(node.name);
            }
        }
        Ok(holders)
    }
}

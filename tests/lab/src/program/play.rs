//! Playing a scenario: build, elect, cut a node off, take over, restore, take back.

use super::{
    daemon::Daemon,
    narrate::{BAR_WIDTH, Narrator, span},
    scenario::{CLIENT, NETWORK, Router, Scenario},
};
use anyhow::{Context, Result, anyhow, ensure};
use hacluster_lab::{
    Capture, LIMIT, Lab, Privilege, Probe,
    capture::Seen,
    diagnose,
    packet::Advert,
    probe::Report,
    wait::{Interrupted, wait_for, wait_until},
};
use std::time::{Duration, Instant};

/// The client's pings: often enough to measure a gap, seldom enough for a busy laptop.
const PING_EVERY: Duration = Duration::from_millis(5);
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
        let whose = match self.privilege {
            Privilege::Root => "as root",
            Privilege::UserNamespace => "without root, in a user namespace",
        };
        self.narrator.event(
            "built",
            format_args!("{} on one network, {whose}, in {}", hosts.join(", "), span(start.elapsed())),
        );
        let capture = lab.capture(NETWORK)?;
        let outcome = self.acts(&lab, &capture).map_err(|error| {
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

    fn acts(&self, lab: &Lab, capture: &Capture) -> Result<()> {
        self.elect(lab, capture)?;
        let router = self.scenario.watched();
        let Scenario { cut, .. } = *self.scenario;

        let probe = self.client(lab, router)?;
        self.narrator.event("cut", format_args!("{cut}: its cable is pulled"));
        lab.host(cut)?.cut()?;
        let took = self.settle(lab, &probe, router.backup, &[cut])?;
        self.narrator.event(
            "taken",
            format_args!("{} is on {}, {} after the cut", router.address, router.backup, span(took)),
        );
        self.tell_wire(capture, router);
        self.tell_client(&probe.stop());
        self.table(lab, capture)?;

        let probe = self.client(lab, router)?;
        self.narrator.event("restored", format_args!("{cut}: its cable is plugged in"));
        lab.host(cut)?.restore()?;
        let took = self.settle(lab, &probe, router.master, &[])?;
        self.narrator.event(
            "back",
            format_args!("{} is on {} again, {} after that", router.address, router.master, span(took)),
        );
        self.tell_client(&probe.stop());
        self.table(lab, capture)?;
        if self.keep { self.keep(lab, capture) } else { self.end(lab) }
    }

    fn elect(&self, lab: &Lab, capture: &Capture) -> Result<()> {
        let start = Instant::now();
        for node in self.scenario.nodes {
            self.daemon.start(lab.host(node.name)?, node.config)?;
        }
        self.narrator
            .event("started", format_args!("{} on {} nodes", self.daemon.name(), self.scenario.nodes.len()));
        self.as_configured(lab, &[])?;
        self.narrator.event(
            "elected",
            format_args!("every virtual router has its master after {}", span(start.elapsed())),
        );
        self.table(lab, capture)
    }

    /// Waits until every virtual router is on its master, or on its backup where that is `gone`.
    fn as_configured(&self, lab: &Lab, gone: &[&str]) -> Result<()> {
        for router in self.scenario.routers {
            let holder = if gone.contains(&router.master) { router.backup } else { router.master };
            let what = format!("{} ({}) on {holder} and on no other node", router.address, router.name);
            self.narrator.while_waiting(&what, || {
                wait_until(&what, LIMIT, || {
                    self.daemons_run(lab)?;
                    Ok((holders(self.scenario, lab, router)? == [holder]).then_some(()))
                })
            })?;
        }
        Ok(())
    }

    /// Waits until addresses are where they belong, and the client has seen it, too. Gives the time
    /// the addresses took.
    fn settle(&self, lab: &Lab, probe: &Probe, holder: &str, gone: &[&str]) -> Result<Duration> {
        let start = Instant::now();
        self.as_configured(lab, gone)?;
        let took = start.elapsed();
        let since = Instant::now();
        let what = format!("the client to hear {holder}");
        self.narrator.while_waiting(&what, || wait_for(&what, LIMIT, || probe.answered_since(since)))?;
        let seen = probe.report().pings.len();
        wait_for("more pings", LIMIT, || probe.report().pings.len() >= seen + PINGS_AROUND)?;
        Ok(took)
    }

    fn client(&self, lab: &Lab, router: &Router) -> Result<Probe> {
        let probe = Probe::start(lab.host(CLIENT)?, router.address, PING_EVERY)?;
        let since = Instant::now();
        let what = format!("answers from {}", router.address);
        self.narrator.while_waiting(&what, || {
            wait_for(&what, LIMIT, || {
                probe.report().pings.len() >= PINGS_AROUND && probe.answered_since(since)
            })
        })?;
        Ok(probe)
    }

    fn tell_client(&self, report: &Report) {
        let gap = report.longest_gap().map_or(Duration::ZERO, |gap| gap.length);
        let silence = if report.missed() == 0 { "no gap".to_owned() } else { format!("gap {}", span(gap)) };
        self.narrator.event("client", report.bar(BAR_WIDTH));
        self.narrator.event(
            "",
            format_args!(
                "{silence}; {} of {} pings missed, one every {}",
                report.missed(),
                report.pings.len(),
                span(report.every)
            ),
        );
    }

    /// What was on the wire: the old master's last advert, the new one's first.
    fn tell_wire(&self, capture: &Capture, router: &Router) {
        let mut adverts = capture.adverts();
        adverts.retain(|advert| advert.packet.vrid == router.vrid);
        let change = adverts.windows(2).rev().find(|pair| pair[0].host != pair[1].host);
        if let Some([last, first]) = change {
            let silence = span(first.at.saturating_duration_since(last.at));
            let told = format!("first advert of {} {silence} after the last of {}", first.host, last.host);
            self.narrator.event("wire", told);
        }
    }

    /// Who holds what, as the kernels say; priorities as last heard on the wire.
    fn table(&self, lab: &Lab, capture: &Capture) -> Result<()> {
        let mut rows = vec![["VIRTUAL ROUTER", "VRID", "ADDRESS"].map(str::to_owned).to_vec()];
        rows[0].extend(self.scenario.nodes.iter().map(|node| node.name.to_owned()));
        let adverts = capture.adverts();
        for router in self.scenario.routers {
            let mut row = vec![router.name.to_owned(), router.vrid.to_string(), router.address.to_string()];
            let holders = holders(self.scenario, lab, router)?;
            for node in self.scenario.nodes {
                let connected = lab.host(node.name)?.is_running(self.scenario.interface)?;
                row.push(if holders.contains(&node.name) {
                    let sent = |advert: &&Seen<Advert>| {
                        advert.packet.vrid == router.vrid && advert.host == node.name
                    };
                    let last = adverts.iter().rev().find(sent);
                    format!(
                        "Master {}",
                        last.map_or(String::new(), |advert| advert.packet.priority.to_string())
                    )
                } else if ![router.master, router.backup].contains(&node.name) {
                    "-".to_owned()
                } else if connected {
                    "Backup".to_owned()
                } else {
                    "cut off".to_owned()
                });
            }
            rows.push(row);
        }
        self.narrator.table(&rows);
        Ok(())
    }

    fn daemons_run(&self, lab: &Lab) -> Result<()> {
        for process in lab.hosts().iter().flat_map(|host| host.processes()) {
            if let Some(status) = process.status()? {
                return Err(anyhow!("{} has ended: {status}", process.name()));
            }
        }
        Ok(())
    }

    fn end(&self, lab: &Lab) -> Result<()> {
        let start = Instant::now();
        for process in lab.hosts().iter().flat_map(|host| host.processes()) {
            let status = process.stop()?;
            ensure!(status.success(), "{} ended badly: {status}", process.name());
        }
        for router in self.scenario.routers {
            let left = holders(self.scenario, lab, router)?;
            ensure!(left.is_empty(), "{} was left behind on {}", router.address, left.join(", "));
        }
        self.narrator.event(
            "ended",
            format_args!("all daemons, and they took their addresses along, in {}\n", span(start.elapsed())),
        );
        Ok(())
    }

    /// Says how to look inside, and waits for Ctrl-C.
    fn keep(&self, lab: &Lab, capture: &Capture) -> Result<()> {
        let file = lab.directory().join("packets.pcap");
        capture.write_pcap(&file).context("cannot keep the packets")?;
        let own = std::process::id();
        let user = match self.privilege {
            Privilege::Root => String::new(),
            Privilege::UserNamespace => format!("--target {own} --user --preserve-credentials "),
        };
        self.narrator.line("It stays up until Ctrl-C. To look inside, from another terminal:");
        for host in lab.hosts() {
            let enter = format!("nsenter {user}--net={}", host.namespace().path().display());
            self.narrator.line(format_args!("  {:8} {enter} ip -brief address", host.name()));
        }
        self.narrator.line(format_args!("  files    {}", lab.directory().display()));
        self.narrator.line(format_args!("  packets  tcpdump -nr {}\n", file.display()));
        match wait_for("Ctrl-C", KEEP_LIMIT, || false) {
            // All waits are over now, so nothing is asked to end: the lab kills it.
            Err(error) if error.is::<Interrupted>() => {
                self.narrator
                    .event("ended", format_args!("{} hosts and everything on them\n", lab.hosts().len()));
                Ok(())
            }
            other => other,
        }
    }
}

/// The nodes that have the virtual router's address, in the scenario's order.
fn holders<'a>(scenario: &'a Scenario, lab: &Lab, router: &Router) -> Result<Vec<&'a str>> {
    let mut holders = Vec::new();
    for node in scenario.nodes {
        if lab.host(node.name)?.holds(router.address)? {
            holders.push(node.name);
        }
    }
    Ok(holders)
}

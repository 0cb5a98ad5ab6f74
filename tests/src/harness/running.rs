//! Agents on hosts, and what hosts hold.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{
    Agent, Host, LIMIT, Process, Topology, process::LogLine, topology::Cidr, wait_for, wait_until,
};
use hacluster_net::netlink::{AddressEntry, AddressSpec};
use nix::sys::signal::Signal;
use std::{
    fs,
    net::Ipv4Addr,
    path::PathBuf,
    time::{Duration, Instant},
};

/// An agent on a host. A second one on the same host uses the same run directory: its successor.
#[derive(Debug)]
pub struct Running<'a> {
    /// Where.
    pub host: &'a Host,
    /// What.
    pub process: Process,
}

impl<'a> Running<'a> {
    /// Starts an agent with the text of a keepalived.conf.
    pub fn start(host: &'a Host, config: impl ToString) -> Result<Self> {
        Self::start_with(host, config, &[])
    }

    /// As [`start`](Self::start), with more arguments.
    pub fn start_with(host: &'a Host, config: impl ToString, more: &[&str]) -> Result<Self> {
        let process = Agent::find()?.start_with(host, &config.to_string(), more)?;
        Ok(Self { host, process })
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.host.directory().join("keepalived.conf")
    }

    /// Writes another configuration and asks for it to be read.
    pub fn reload(&self, config: impl ToString) -> Result<()> {
        let file = self.config();
        // Whole or not at all: the agent may be reading for an earlier request.
        let fresh = self.host.directory().join("keepalived.conf.new");
        let written = fs::write(&fresh, config.to_string()).and_then(|()| fs::rename(&fresh, &file));
        written.with_context(|| file.display().to_string())?;
        self.process.signal(Signal::SIGHUP)
    }

    /// Stops it in order; anything but exit status 0 is an error.
    pub fn stop(&self) -> Result<()> {
        let status = self.process.stop()?;
        ensure!(status.code() == Some(0), "the agent on {} ended with {status}", self.host.name());
        Ok(())
    }

    /// Kills it: what a crash looks like.
    pub fn kill(&self) -> Result<()> {
        self.process.kill().map(drop)
    }

    /// Waits until a line holds all of `parts`, and gives the first such line.
    pub fn logged(&self, parts: &[&str]) -> Result<LogLine> {
        let what = format!("a line of {} with {parts:?}", self.host.name());
        wait_until(&what, LIMIT, || Ok(self.lines(parts).into_iter().next()))
    }

    /// The lines so far that hold all of `parts`.
    pub fn lines(&self, parts: &[&str]) -> Vec<LogLine> {
        let mut lines = self.process.lines();
        lines.retain(|line| parts.iter().all(|part| line.text.contains(part)));
        lines
    }

    /// Fails when a line holds all of `parts`.
    pub fn never_logged(&self, parts: &[&str]) -> Result<()> {
        let lines = self.lines(parts);
        ensure!(lines.is_empty(), "{} should not have logged: {}", self.host.name(), lines[0].text);
        Ok(())
    }

    /// Transitions so far, such as `Backup -> Master`.
    pub fn transitions(&self) -> Vec<LogLine> {
        self.lines(&[" -> ", ", priority "])
    }
}

/// Waits until `ip` is on `host`.
pub fn hold(host: &Host, ip: Ipv4Addr) -> Result<()> {
    let what = format!("{ip} on {}", host.name());
    wait_until(&what, LIMIT, || Ok(host.holds(ip)?.then_some(())))
}

/// Waits until `ip` is not on `host`.
pub fn free(host: &Host, ip: Ipv4Addr) -> Result<()> {
    let what = format!("{} without {ip}", host.name());
    wait_until(&what, LIMIT, || Ok((!host.holds(ip)?).then_some(())))
}

/// Watches for `length` that `ip` stays on `host`.
pub fn left_alone(host: &Host, ip: Ipv4Addr, length: Duration) -> Result<()> {
    let start = Instant::now();
    wait_until("the end of watching", LIMIT + length, || {
        ensure!(host.holds(ip)?, "{ip} left {}", host.name());
        Ok((start.elapsed() >= length).then_some(()))
    })
}

/// An address of a host as the kernel describes it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Interface by name.
    pub interface: String,
    /// Everything else.
    pub address: AddressEntry,
}

/// The entries of `ip` on `host`.
pub fn entries(host: &Host, ip: Ipv4Addr) -> Result<Vec<Entry>> {
    host.netlink(move |requests| {
        let links = requests.dump_links()?;
        let found = requests.dump_addresses()?.into_iter().filter(|address| address.ip == ip);
        let named = found.filter_map(|address| {
            let link = links.iter().find(|link| link.index == address.index)?;
            Some(Entry { interface: link.name.clone(), address })
        });
        Ok(named.collect())
    })
}

/// Takes `cidr` off `interface`, as `ip address del` would.
pub fn remove_address(host: &Host, interface: &str, cidr: &str) -> Result<()> {
    change(host, interface, cidr, true)
}

/// Puts `cidr` on `interface` as the agent itself would, mark included.
pub fn add_virtual(host: &Host, interface: &str, cidr: &str) -> Result<()> {
    change(host, interface, cidr, false)
}

fn change(host: &Host, interface: &str, cidr: &str, remove: bool) -> Result<()> {
    let (interface, cidr) = (interface.to_owned(), cidr.parse::<Cidr>()?);
    host.netlink(move |requests| {
        let spec = AddressSpec {
            index: requests.link(&interface)?.index,
            ip: cidr.ip,
            prefix_len: cidr.prefix_len,
            label: None,
            scope: 0,
            broadcast: None,
            peer: None,
            no_prefix_route: false,
        };
        let results =
            if remove { requests.remove_addresses([&spec]) } else { requests.add_addresses([&spec]) };
        results.into_iter().try_for_each(|result| result).map_err(Into::into)
    })
}

/// Starts `first`, waits until it holds `ip`, then starts `second`: an order that needs no luck.
pub fn settle_first<'a>(
    first: (&'a Host, String),
    second: (&'a Host, String),
    ip: Ipv4Addr,
) -> Result<(Running<'a>, Running<'a>)> {
    let leader = Running::start(first.0, first.1)?;
    hold(first.0, ip)?;
    let follower = Running::start(second.0, second.1)?;
    wait_for("the second agent", LIMIT, || !follower.transitions().is_empty())?;
    Ok((leader, follower))
}

/// Hosts `(name, interface, address)` on one network called `lan`, and an observer at `client`.
pub fn topology_of(name: &str, hosts: &[(&str, &str, &str)], client: &str) -> Topology {
    let lan = Topology::new(name).network("lan");
    let lan = hosts
        .iter()
        .fold(lan, |lan, (host, interface, address)| lan.node(host, &[(interface, "lan", address)]));
    lan.node("client", &[("eth0", "lan", client)])
}

//! A running lab: the hosts of a topology, joined by bridges in a switch namespace of their own.
//!
//! ```text
//!   node10 [eth1]──┐
//!   node11 [eth1]──┼──[ bridge "lan" ]      all bridges of a lab: in its switch namespace
//!   client [eth0]──┘
//! ```
//!
//! Each lab has its own switch, so equal names in labs that run at the same time do not meet.

use crate::{
    capture::Capture,
    diagnose,
    netns::Namespace,
    node::Host,
    privilege,
    topology::{INTERFACE_NAME_MAX, Topology},
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use hacluster_net::netlink::Requests;
use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};
use tempfile::TempDir;

/// Hosts, networks and programs; all of them end with this value.
#[derive(Debug)]
pub struct Lab {
    topology: Topology,
    hosts: Vec<Host>,
    switch: Arc<Namespace>,
    directory: TempDir,
}

impl Lab {
    /// Builds `topology`. Needs [`enter`](crate::enter) first.
    pub fn new(topology: Topology) -> Result<Self> {
        ensure!(privilege::entered().is_some(), "call hacluster_lab::enter() first thing in main");
        check(&topology)?;
        let directory = tempfile::Builder::new()
            .prefix(&format!("hacluster-lab-{}-", topology.name))
            .tempdir()
            .context("cannot make a temporary directory")?;
        let switch = Arc::new(Namespace::new("switch")?);
        let bridges = topology.networks.clone();
        switch.run(move || {
            let mut requests = Requests::open()?;
            for bridge in &bridges {
                requests.create_bridge(bridge)?;
                requests.set_up(bridge)?;
            }
            Ok(())
        })?;
        let mut lab = Self { topology, hosts: Vec::new(), switch, directory };
        for (number, spec) in lab.topology.nodes.iter().enumerate() {
            lab.hosts.push(Host::new(number, spec, &lab.switch, lab.directory.path())?);
        }
        Ok(lab)
    }

    /// Builds `topology` and runs `body` in it. When the body fails or panics, the error also holds
    /// what every host looked like at that moment; the lab is torn down in any case.
    pub fn run(topology: Topology, body: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let lab = Self::new(topology)?;
        let outcome = catch_unwind(AssertUnwindSafe(|| body(&lab)));
        let outcome = outcome.unwrap_or_else(|panic| Err(anyhow!("panicked: {}", message(&*panic))));
        let outcome = outcome.map_err(|error| anyhow!("{error:#}\n\n{}", diagnose::report(&lab)));
        let errors = lab.teardown();
        outcome?;
        match errors.first() {
            Some(_) => Err(teardown_failed(&errors)),
            None => Ok(()),
        }
    }

    /// The topology it was built from.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// All hosts, in the topology's order.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The host called `name`.
    pub fn host(&self, name: &str) -> Result<&Host> {
        self.hosts
            .iter()
            .find(|host| host.name() == name)
            .ok_or_else(|| anyhow!("the lab {} has no host {name}", self.topology.name))
    }

    /// A directory that goes with the lab.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Records the VRRP and ARP packets that hosts send into `network` from now on.
    pub fn capture(&self, network: &str) -> Result<Capture> {
        let cables = self.hosts.iter().flat_map(|host| {
            let cables = host.cables.iter().filter(|cable| cable.network == network);
            cables.map(|cable| (cable.port.clone(), host.name().to_owned()))
        });
        let ports: Vec<_> = cables.collect();
        ensure!(!ports.is_empty(), "no host is on a network called {network}");
        Capture::start(&self.switch, ports)
    }

    /// Tears everything down and returns what did not go as it should.
    pub fn teardown(mut self) -> Vec<anyhow::Error> {
        self.end()
    }

    fn end(&mut self) -> Vec<anyhow::Error> {
        let mut errors: Vec<_> = self.hosts.iter().flat_map(Host::kill_all).collect();
        self.hosts.clear();
        if let Err(error) = std::fs::remove_dir_all(self.directory.path())
            && error.kind() != std::io::ErrorKind::NotFound
        {
            errors.push(anyhow!("cannot remove {}: {error}", self.directory.path().display()));
        }
        errors
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let errors = self.end();
        if !errors.is_empty() {
            eprintln!("hacluster-lab: {:#}", teardown_failed(&errors));
        }
    }
}

/// What the kernel would refuse later, in words.
fn check(topology: &Topology) -> Result<()> {
    let mut names = BTreeSet::new();
    for network in &topology.networks {
        fits_interface(network)?;
        ensure!(names.insert(network.as_str()), "two networks are called {network}");
    }
    let mut hosts = BTreeSet::new();
    for node in &topology.nodes {
        let name = &node.name;
        ensure!(!name.is_empty() && !name.contains('/'), "`{name}` cannot be the name of a host");
        ensure!(hosts.insert(name.as_str()), "two hosts are called {name}");
        for interface in &node.interfaces {
            fits_interface(&interface.name)?;
            if !names.contains(interface.network.as_str()) {
                bail!("{} of {name} is on `{}`, which is no network", interface.name, interface.network);
            }
        }
    }
    Ok(())
}

fn fits_interface(name: &str) -> Result<()> {
    let fits = !name.is_empty() && name.len() <= INTERFACE_NAME_MAX && !name.contains(['/', ' ']);
    ensure!(fits, "`{name}` cannot be an interface: 1 to {INTERFACE_NAME_MAX} bytes, no `/`, no space");
    Ok(())
}

fn teardown_failed(errors: &[anyhow::Error]) -> anyhow::Error {
    let errors: Vec<_> = errors.iter().map(|error| format!("{error:#}")).collect();
    anyhow!("teardown: {}", errors.join("; "))
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_built_is_refused_in_words() {
        let refused = |topology: Topology| check(&topology).unwrap_err().to_string();
        let lan = || Topology::new("t").network("lan");
        assert!(refused(lan().network("lan")).contains("two networks"));
        assert!(refused(lan().node("a", &[]).node("a", &[])).contains("two hosts"));
        assert!(refused(lan().node("a", &[("eth0", "wan", "")])).contains("`wan`"));
        assert!(refused(lan().node("a", &[("an-interface-too-long", "lan", "")])).contains("1 to 15"));
        check(&lan().node("a", &[("eth0", "lan", "")])).unwrap();
    }
}

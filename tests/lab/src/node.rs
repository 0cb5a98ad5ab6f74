//! A host: a network namespace with interfaces, each on a cable to a network, and programs.

use crate::{
    link,
    netns::Namespace,
    process::{Process, lock},
    topology::{Cidr, NodeSpec},
    wait::LIMIT,
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use hacluster_net::netlink::{AddressEntry, Link, Requests};
use nix::errno::Errno;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

/// An address on an interface of a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The interface's name.
    pub interface: String,
    /// The address and its prefix length.
    pub cidr: Cidr,
}

/// The cable of one interface, seen from the network's side.
#[derive(Clone, Debug)]
pub(crate) struct Cable {
    pub(crate) interface: String,
    pub(crate) network: String,
    /// The port's name in the switch's namespace.
    pub(crate) port: String,
}

/// A host of a running lab.
///
/// ```text
///        host's namespace          switch's namespace
///   [ eth0 ]───────── veth ─────────[ n0.0 ]──[ bridge ]
///    link_down                   cut     isolate
/// ```
#[derive(Debug)]
pub struct Host {
    name: String,
    namespace: Namespace,
    switch: Arc<Namespace>,
    pub(crate) cables: Vec<Cable>,
    directory: PathBuf,
    processes: Mutex<Vec<Process>>,
}

impl Host {
    pub(crate) fn new(
        number: usize,
        spec: &NodeSpec,
        switch: &Arc<Namespace>,
        directory: &Path,
    ) -> Result<Self> {
        let cables = spec.interfaces.iter().enumerate().map(|(index, interface)| Cable {
            interface: interface.name.clone(),
            network: interface.network.clone(),
            port: format!("n{number}.{index}"),
        });
        let host = Self {
            name: spec.name.clone(),
            namespace: Namespace::new(&spec.name)?,
            switch: Arc::clone(switch),
            cables: cables.collect(),
            directory: directory.join(&spec.name),
            processes: Mutex::default(),
        };
        fs::create_dir(&host.directory).with_context(|| host.directory.display().to_string())?;
        host.netlink(|requests| Ok(requests.set_up("lo")?))?;
        for (interface, cable) in spec.interfaces.iter().zip(&host.cables) {
            let addresses: Vec<Cidr> =
                interface.addresses.split_whitespace().map(str::parse).collect::<Result<_>>()?;
            host.plug_in(cable, addresses)
                .with_context(|| format!("cannot give {} its interface {}", host.name, cable.interface))?;
        }
        Ok(host)
    }

    fn plug_in(&self, cable: &Cable, addresses: Vec<Cidr>) -> Result<()> {
        let far = self.switch.as_ref().try_clone_fd()?;
        let Cable { interface, port, .. } = cable.clone();
        self.netlink(move |requests| {
            use std::os::fd::AsFd;
            requests.create_veth(&interface, &port, Some(far.as_fd()))?;
            addresses.iter().try_for_each(|address| link::add_address(requests, &interface, *address))?;
            Ok(requests.set_up(&interface)?)
        })?;
        let Cable { network, port, .. } = cable.clone();
        self.switch_netlink(move |requests| {
            requests.set_master(&port, Some(&network))?;
            Ok(requests.set_up(&port)?)
        })
    }

    /// The name it has in the topology.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its network namespace, to open sockets in.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// A directory of its own; it goes with the lab.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes netlink requests inside the host.
    pub fn netlink<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Requests) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.namespace.run(move || job(&mut Requests::open()?))
    }

    /// Starts `command` inside the host, its output kept. The lab ends it at the latest.
    pub fn spawn(&self, name: &str, command: Command) -> Result<Process> {
        let name = format!("{name} on {}", self.name);
        let process = self.namespace.run(move || Process::spawn(&name, &command))?;
        lock(&self.processes).push(process.clone());
        Ok(process)
    }

    /// Runs `command` inside the host to its end, and gives what it said. One that takes longer than
    /// [`LIMIT`] is killed, and that is an error.
    pub fn run(&self, mut command: Command) -> Result<Output> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = format!("cannot start {program}");
        let child = self.namespace.run(move || command.spawn().context(started))?;
        let pid = Pid::from_raw(i32::try_from(child.id()).context("a pid beyond i32")?);
        let (report, output) = mpsc::channel();
        let waiter = thread::spawn(move || report.send(child.wait_with_output()));
        match output.recv_timeout(LIMIT) {
            Ok(output) => output.with_context(|| format!("cannot wait for {program}")),
            Err(_) => {
                // Still ours: the waiter has not reaped it.
                let _ = kill(pid, Signal::SIGKILL);
                let _ = waiter.join();
                bail!("{program} on {} did not end within {} s", self.name, LIMIT.as_secs())
            }
        }
    }

    /// Every program started on this host, ended ones too, in order.
    pub fn processes(&self) -> Vec<Process> {
        lock(&self.processes).clone()
    }

    /// Its IPv4 addresses as the kernel lists them, loopback's left out.
    pub fn addresses(&self) -> Result<Vec<Address>> {
        self.netlink(|requests| {
            let links = requests.dump_links()?;
            let addresses = settled_addresses(requests)?;
            let named = addresses.into_iter().filter_map(|address| {
                let link = links.iter().find(|link| link.index == address.index && !link.loopback)?;
                let cidr = Cidr { ip: address.ip, prefix_len: address.prefix_len };
                Some(Address { interface: link.name.clone(), cidr })
            });
            Ok(named.collect())
        })
    }

    /// Whether `ip` is on one of its interfaces.
    pub fn holds(&self, ip: Ipv4Addr) -> Result<bool> {
        Ok(self.addresses()?.iter().any(|address| address.cidr.ip == ip))
    }

    /// Its interfaces as the kernel lists them.
    pub fn links(&self) -> Result<Vec<Link>> {
        self.netlink(|requests| Ok(requests.dump_links()?))
    }

    /// Whether `interface` is switched on and has a carrier.
    pub fn is_running(&self, interface: &str) -> Result<bool> {
        Ok(self.links()?.iter().any(|link| link.name == interface && link.running))
    }

    /// Pulls all cables: the host sees its carrier lost, as when a switch dies.
    pub fn cut(&self) -> Result<()> {
        self.on_ports(|requests, cable| Ok(requests.set_down(&cable.port)?))
    }

    /// Pulls the cable to `network` alone.
    pub fn cut_from(&self, network: &str) -> Result<()> {
        self.on_ports_of(network, |requests, cable| Ok(requests.set_down(&cable.port)?))
    }

    /// Takes the cable off `network` alone, its carrier kept.
    pub fn isolate_from(&self, network: &str) -> Result<()> {
        self.on_ports_of(network, |requests, cable| Ok(requests.set_master(&cable.port, None)?))
    }

    /// Takes all cables off their networks but keeps the carrier: a partition nobody is told about.
    pub fn isolate(&self) -> Result<()> {
        self.on_ports(|requests, cable| Ok(requests.set_master(&cable.port, None)?))
    }

    /// Keeps multicast from it, while it is still heard itself: a partition in one direction.
    pub fn deafen(&self) -> Result<()> {
        self.on_ports(|requests, cable| link::set_multicast_flood(requests, &cable.port, false))
    }

    /// Undoes [`cut`](Self::cut), [`isolate`](Self::isolate), their like for one network, and
    /// [`deafen`](Self::deafen).
    pub fn restore(&self) -> Result<()> {
        self.on_ports(|requests, cable| {
            requests.set_master(&cable.port, Some(&cable.network))?;
            link::set_multicast_flood(requests, &cable.port, true)?;
            Ok(requests.set_up(&cable.port)?)
        })
    }

    /// Switches `interface` off, as its administrator would.
    pub fn link_down(&self, interface: &str) -> Result<()> {
        let interface = interface.to_owned();
        self.netlink(move |requests| Ok(requests.set_down(&interface)?))
    }

    /// Switches `interface` on.
    pub fn link_up(&self, interface: &str) -> Result<()> {
        let interface = interface.to_owned();
        self.netlink(move |requests| Ok(requests.set_up(&interface)?))
    }

    /// Gives `interface` an address of its own, such as `10.0.0.1/24`.
    pub fn add_address(&self, interface: &str, address: &str) -> Result<()> {
        let (interface, address) = (interface.to_owned(), address.parse()?);
        self.netlink(move |requests| link::add_address(requests, &interface, address))
    }

    /// Writes a kernel setting of this host's network, such as `net/ipv4/ip_forward`.
    pub fn set_sysctl(&self, name: &str, value: &str) -> Result<()> {
        let (path, value) = (Path::new("/proc/sys").join(name), value.to_owned());
        // The kernel shows each thread the settings of its own network namespace.
        self.namespace.run(move || {
            fs::write(&path, &value).with_context(|| format!("cannot write {value} to {}", path.display()))
        })
    }

    /// The port of `interface` on its network, for captures.
    pub fn port(&self, interface: &str) -> Result<&str> {
        let cable = self.cables.iter().find(|cable| cable.interface == interface);
        cable
            .map(|cable| cable.port.as_str())
            .ok_or_else(|| anyhow!("{} has no interface {interface}", self.name))
    }

    /// Kills what still runs. Returns what did not go as it should.
    pub(crate) fn kill_all(&self) -> Vec<anyhow::Error> {
        self.processes().iter().filter_map(|process| process.kill().err()).collect()
    }

    fn on_ports(&self, job: fn(&mut Requests, &Cable) -> Result<()>) -> Result<()> {
        self.on_cables(self.cables.clone(), job)
    }

    fn on_ports_of(&self, network: &str, job: fn(&mut Requests, &Cable) -> Result<()>) -> Result<()> {
        let mut cables = self.cables.clone();
        cables.retain(|cable| cable.network == network);
        ensure!(!cables.is_empty(), "{} is on no network called {network}", self.name);
        self.on_cables(cables, job)
    }

    fn on_cables(&self, cables: Vec<Cable>, job: fn(&mut Requests, &Cable) -> Result<()>) -> Result<()> {
        self.switch_netlink(move |requests| cables.iter().try_for_each(|cable| job(requests, cable)))
    }

    fn switch_netlink<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Requests) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.switch.run(move || job(&mut Requests::open()?))
    }
}

/// A list that changes while it is read is read again: an agent may be putting thousands in place.
fn settled_addresses(requests: &mut Requests) -> Result<Vec<AddressEntry>> {
    let start = Instant::now();
    loop {
        match requests.dump_addresses() {
            Err(error) if error.errno() == Errno::EAGAIN && start.elapsed() < LIMIT => {
                std::thread::sleep(Duration::from_millis(5));
            }
            listed => return Ok(listed?),
        }
    }
}

//! The stand: node, peer and witness on as many networks as needed.

use super::recorder::Recorder;
use anyhow::Result;
use hacluster_lab::{Host, Lab, Topology};
use hacluster_net::netlink::{Event, Group, Monitor};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    net::Ipv4Addr,
    os::fd::AsFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use super::stats::now_ns;

/// Last byte of the hosts' addresses.
pub(super) const NODE: u8 = 1;
pub(super) const PEER: u8 = 2;

/// A built lab with its recorder.
#[derive(Debug)]
pub(super) struct Stand {
    pub(super) recorder: Recorder,
    lab: Lab,
}

impl Stand {
    /// Node, peer and witness, each with `interfaces` interfaces `eth0`, `eth1`, ...; number i has
    /// the network 10.i.0.0/24.
    pub(super) fn new(interfaces: usize) -> Result<Self> {
        let mut topology = Topology::new("bench");
        for number in 0..interfaces {
            topology = topology.network(&format!("lan{number}"));
        }
        for (last, host) in [(NODE, "node"), (PEER, "peer"), (3, "witness")] {
            let plugs: Vec<_> = (0..interfaces)
                .map(|number| {
                    (format!("eth{number}"), format!("lan{number}"), format!("10.{number}.0.{last}/24"))
                })
                .collect();
            let plugs: Vec<(&str, &str, &str)> =
                plugs.iter().map(|(name, network, address)| (&**name, &**network, &**address)).collect();
            topology = topology.node(host, &plugs);
        }
        let lab = Lab::new(topology)?;
        let recorder = Recorder::start(lab.host("witness")?)?;
        Ok(Self { recorder, lab })
    }

    pub(super) fn node(&self) -> Result<&Host> {
        self.lab.host("node")
    }

    pub(super) fn peer(&self) -> Result<&Host> {
        self.lab.host("peer")
    }

    pub(super) fn witness(&self) -> Result<&Host> {
        self.lab.host("witness")
    }
}

/// Whether an address is the node's own.
pub(super) fn is_node(source: Ipv4Addr) -> bool {
    source.octets()[3] == NODE
}

/// An address came or went.
#[derive(Clone, Copy, Debug)]
pub(super) struct AddressChange {
    pub(super) at: u64,
    pub(super) ip: Ipv4Addr,
    pub(super) added: bool,
}

/// Listens to a host's addresses; ends with this value.
#[derive(Debug)]
pub(super) struct AddressWatch {
    changes: Arc<Mutex<Vec<AddressChange>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl AddressWatch {
    pub(super) fn start(host: &Host) -> Result<Self> {
        let mut monitor = host.namespace().run(|| Ok(Monitor::open(&[Group::Ipv4Addresses])?))?;
        let (changes, stop) = (Arc::<Mutex<Vec<_>>>::default(), Arc::new(AtomicBool::new(false)));
        let (into, stopped) = (Arc::clone(&changes), Arc::clone(&stop));
        let thread = thread::Builder::new().name("addresses".into()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let _ = poll(&mut [PollFd::new(monitor.as_fd(), PollFlags::POLLIN)], PollTimeout::from(50u8));
                let mut changes = into.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = monitor.read(64, &mut |event| {
                    let at = now_ns();
                    match event {
                        Event::AddressAdded { address, .. } => {
                            changes.push(AddressChange { at, ip: address.ip, added: true });
                        }
                        Event::AddressRemoved { address, .. } => {
                            changes.push(AddressChange { at, ip: address.ip, added: false });
                        }
                        _ => {}
                    }
                });
            }
        })?;
        Ok(Self { changes, stop, thread: Some(thread) })
    }

    pub(super) fn changes(&self) -> Vec<AddressChange> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many addresses were added so far.
    pub(super) fn added(&self) -> usize {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.iter().filter(|change| change.added).count()
    }
}

impl Drop for AddressWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

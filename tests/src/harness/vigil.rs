//! Watching on how many hosts an address is, without ever looking away.
//!
//! Each host's kernel tells of every address that comes or goes. When one goes, all others are read
//! again before it is judged: what came there before is then known, so nothing is blamed wrongly.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{Host, LIMIT, wait_for};
use hacluster_net::netlink::{Event, Group, Monitor};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    net::Ipv4Addr,
    os::fd::AsFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

/// How soon the thread sees that it shall end, in ms.
const STOP_PAUSE_MS: u8 = 20;

/// How many hosts had the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holders {
    /// At the worst moment.
    pub least: usize,
    /// At the fullest moment.
    pub most: usize,
    /// Now.
    pub now: usize,
    /// How often it went away from a host.
    pub releases: usize,
}

/// A running watch; it ends with this value.
#[derive(Debug)]
pub struct Vigil {
    holders: Arc<Mutex<Holders>>,
    rounds: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Watched {
    monitor: Monitor,
    held: bool,
}

impl Vigil {
    /// Watches `ip` on `hosts`, which must be calm at this moment.
    pub fn start(hosts: &[&Host], ip: Ipv4Addr) -> Result<Self> {
        let watched = hosts.iter().map(|host| {
            let monitor = host.namespace().run(|| Ok(Monitor::open(&[Group::Ipv4Addresses])?))?;
            Ok(Watched { monitor, held: host.holds(ip)? })
        });
        let mut watched = watched.collect::<Result<Vec<_>>>()?;
        let now = held(&watched);
        let holders = Arc::new(Mutex::new(Holders { least: now, most: now, now, releases: 0 }));
        let (rounds, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (into, counter, stopped) = (Arc::clone(&holders), Arc::clone(&rounds), Arc::clone(&stop));
        let thread = thread::Builder::new().name("vigil".into()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                wait(&watched);
                round(&mut watched, ip, &into);
                counter.fetch_add(1, Ordering::Release);
            }
        });
        Ok(Self { holders, rounds, stop, thread: Some(thread.context("cannot start a thread")?) })
    }

    /// What it saw of everything that has happened so far.
    pub fn holders(&self) -> Result<Holders> {
        // A round that begins from now on reads all that was there before.
        let begin = self.rounds.load(Ordering::Acquire);
        wait_for("a look at all hosts", LIMIT, || self.rounds.load(Ordering::Acquire) > begin + 1)?;
        Ok(*self.holders.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Fails when there was a moment without a holder.
    pub fn never_without(&self) -> Result<Holders> {
        let holders = self.holders()?;
        ensure!(holders.least > 0, "for a moment nobody had the address: {holders:?}");
        Ok(holders)
    }
}

impl Drop for Vigil {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn held(watched: &[Watched]) -> usize {
    watched.iter().filter(|one| one.held).count()
}

fn wait(watched: &[Watched]) {
    let mut ready: Vec<_> =
        watched.iter().map(|one| PollFd::new(one.monitor.as_fd(), PollFlags::POLLIN)).collect();
    let _ = poll(&mut ready, PollTimeout::from(STOP_PAUSE_MS));
}

fn round(watched: &mut [Watched], ip: Ipv4Addr, into: &Mutex<Holders>) {
    let mut changes = read(watched, ip);
    if changes.iter().any(|(_, added)| !added) {
        changes.extend(read(watched, ip));
    }
    let mut holders = into.lock().unwrap_or_else(PoisonError::into_inner);
    // What came first, then what went: their order between hosts is not known.
    for (index, _) in changes.iter().filter(|(_, added)| *added) {
        watched[*index].held = true;
    }
    holders.most = holders.most.max(held(watched));
    for (index, one) in watched.iter_mut().enumerate() {
        let last = changes.iter().rev().find(|(host, _)| *host == index);
        one.held = last.map_or(one.held, |(_, added)| *added);
    }
    holders.now = held(watched);
    holders.least = holders.least.min(holders.now);
    holders.releases += changes.iter().filter(|(_, added)| !added).count();
}

/// What came (`true`) and went, by number of host.
fn read(watched: &mut [Watched], ip: Ipv4Addr) -> Vec<(usize, bool)> {
    let mut changes = Vec::new();
    for (index, one) in watched.iter_mut().enumerate() {
        let _ = one.monitor.read(64, &mut |event| match event {
            Event::AddressAdded { address, .. } if address.ip == ip => changes.push((index, true)),
            Event::AddressRemoved { address, .. } if address.ip == ip => changes.push((index, false)),
            _ => {}
        });
    }
    changes
}

//! Adverts made here, sent from the peer.

use super::config::{Router, vip_address};
use anyhow::{Context, Result};
use hacluster_core::{
    interval::Seconds,
    priority::Priority,
    vrid::Vrid,
    wire::{Auth, v2},
};
use hacluster_lab::Host;
use hacluster_net::raw::{Outgoing, VrrpSocket};
use nix::net::if_::if_nametoindex;
use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// Speaks for some virtual routers.
pub(super) struct Voice {
    sockets: Vec<VrrpSocket>,
    /// Which socket, and the packet.
    packets: Vec<(usize, v2::Template)>,
}

impl Voice {
    /// The voice of `host` (last byte `last` of its addresses) for `routers`, with `password`.
    pub(super) fn new(host: &Host, last: u8, routers: &[Router], password: &[u8]) -> Result<Self> {
        let interfaces = routers.iter().map(|router| router.interface + 1).max().unwrap_or(1);
        let sockets = host.namespace().run(move || {
            let open = |number: usize| {
                let name = format!("eth{number}");
                Ok(VrrpSocket::open(if_nametoindex(name.as_str())?, &name)?)
            };
            (0..interfaces).map(open).collect::<Result<Vec<_>>>()
        })?;
        let packets = routers.iter().map(|router| {
            let outgoing = v2::Outgoing {
                source: Ipv4Addr::new(10, router.interface as u8, 0, last),
                destination: GROUP,
                vrid: Vrid::new(router.vrid).context("VRID 0")?,
                interval: Seconds::ONE,
                auth: Auth::pass(password),
                addresses: addresses(router),
            };
            Ok((router.interface, v2::Template::new(&outgoing)))
        });
        Ok(Self { packets: packets.collect::<Result<_>>()?, sockets })
    }

    /// One advert of router number `number`.
    pub(super) fn say(&mut self, number: usize, priority: u8) {
        let Some((interface, template)) = self.packets.get_mut(number) else { return };
        let bytes = template.with_priority(Priority::from_wire(priority));
        let Some(socket) = self.sockets.get(*interface) else { return };
        socket.send(&[Outgoing { destination: GROUP, bytes }], &mut |_, _| ());
    }

    /// Sends `rate` adverts per second, router after router, `burst` of them at a time.
    pub(super) fn keep_saying(mut self, priority: u8, rate: u32, burst: u32) -> Result<Speech> {
        let (stop, said) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&said));
        let thread = thread::Builder::new().name("voice".into()).spawn(move || {
            let start = Instant::now();
            let mut count = 0u64;
            while !stopped.load(Ordering::Relaxed) {
                let bursts = start.elapsed().as_secs_f64() * f64::from(rate) / f64::from(burst);
                let due = (bursts as u64 + 1) * u64::from(burst);
                while count < due {
                    self.say((count % self.packets.len().max(1) as u64) as usize, priority);
                    count += 1;
                }
                counter.store(count, Ordering::Relaxed);
                let next = start + Duration::from_secs_f64(count as f64 / f64::from(rate));
                // At high rates a few at a time: nobody sleeps for 20 microseconds.
                thread::sleep(next.saturating_duration_since(Instant::now()).max(Duration::from_micros(100)));
            }
        })?;
        Ok(Speech { said, stop, thread: Some(thread) })
    }
}

/// What a packet of `router` lists: excluded addresses are not in it.
fn addresses(router: &Router) -> Vec<Ipv4Addr> {
    let ip = |text: &String| text.split('/').next().and_then(|ip| ip.parse().ok());
    let addresses: Vec<_> = router.addresses.iter().take(200).filter_map(ip).collect();
    if addresses.is_empty() { vec![vip_address(0)] } else { addresses }
}

/// A voice that goes on; it ends with this value.
#[derive(Debug)]
pub(super) struct Speech {
    said: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Speech {
    /// Adverts sent so far.
    pub(super) fn said(&self) -> u64 {
        self.said.load(Ordering::Relaxed)
    }
}

impl Drop for Speech {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

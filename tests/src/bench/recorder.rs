//! Hearing everything on the witness' interfaces, with the time at which the kernel received it:
//! the reading thread may be late under load, its times are not.

use super::stats::now_ns;
use anyhow::{Context, Result, bail};
use hacluster_lab::{
    Host,
    packet::{Packet, decode},
};
use nix::{
    cmsg_space,
    sys::{
        socket::{
            AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType,
            recvmsg, setsockopt, socket, sockopt,
        },
        time::{TimeSpec, TimeVal, TimeValLike},
    },
};
use std::{
    io::IoSliceMut,
    net::Ipv4Addr,
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Frames kept; a run that needs more is broken.
const RECORDS_MAX: usize = 4_000_000;
/// Room for what the thread has not read yet.
const RECEIVE_BUFFER_BYTES: usize = 256 << 20;
/// Between two looks at what came: seldom, so that looking costs the daemons nothing.
const PAUSE: Duration = Duration::from_millis(20);

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Advert {
        source: Ipv4Addr,
        vrid: u8,
        priority: u8,
    },
    /// A gratuitous ARP; the last bytes of the sender's Ethernet address tell hosts apart.
    Garp {
        ip: Ipv4Addr,
        mac: [u8; 6],
    },
}

/// When and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// Nanoseconds of the real-time clock.
    pub(super) at: u64,
    /// Number of the witness' interface.
    pub(super) interface: usize,
    pub(super) heard: Heard,
}

#[derive(Debug, Default)]
struct Shared {
    records: Mutex<Vec<Record>>,
    stop: AtomicBool,
}

/// A running recording; it ends with this value.
#[derive(Debug)]
pub(super) struct Recorder {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    pub(super) fn start(witness: &Host) -> Result<Self> {
        let socket = witness.namespace().run(|| open().context("cannot open a packet socket"))?;
        let shared = Arc::new(Shared::default());
        let into = Arc::clone(&shared);
        let thread = thread::Builder::new().name("recorder".into()).spawn(move || record(&socket, &into))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    pub(super) fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        self.shared.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adverts from `source` since `since`.
    pub(super) fn adverts(&self, source_is: impl Fn(Ipv4Addr) -> bool, since: u64) -> Vec<Record> {
        let ours = |record: &&Record| {
            record.at >= since && matches!(record.heard, Heard::Advert { source, .. } if source_is(source))
        };
        self.records().iter().filter(ours).copied().collect()
    }

    /// Waits until `pick` finds something in what was recorded.
    pub(super) fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        mut pick: impl FnMut(&[Record]) -> Option<T>,
    ) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(value) = pick(&self.records()) {
                return Ok(value);
            }
            if start.elapsed() > limit {
                bail!("waited {} s for this, in vain: {what}", limit.as_secs());
            }
            thread::sleep(PAUSE);
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open() -> Result<OwnedFd> {
    let socket =
        socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, Some(SockProtocol::EthAll))?;
    setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES)
        .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER_BYTES))?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    // So that the thread sees that it shall end.
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(50))?;
    Ok(socket)
}

fn record(socket: &OwnedFd, into: &Shared) {
    let mut buffer = [0; 2_048];
    let mut control = cmsg_space!(TimeSpec);
    while !into.stop.load(Ordering::Relaxed) {
        let mut vectors = [IoSliceMut::new(&mut buffer)];
        let received =
            recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut vectors, Some(&mut control), MsgFlags::empty());
        let Ok(message) = received else { continue };
        let at = message.cmsgs().into_iter().flatten().find_map(|one| match one {
            ControlMessageOwned::ScmTimestampns(at) => Some(at.num_nanoseconds() as u64),
            _ => None,
        });
        let (bytes, from) = (message.bytes, message.address);
        let Some(heard) = buffer.get(..bytes).and_then(decode).and_then(heard) else { continue };
        let interface = from.map_or(0, |from| from.ifindex());
        let mut records = into.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() < RECORDS_MAX {
            records.push(Record { at: at.unwrap_or_else(now_ns), interface, heard });
        }
    }
}

fn heard(packet: Packet) -> Option<Heard> {
    match packet {
        Packet::Advert(advert) => {
            Some(Heard::Advert { source: advert.source, vrid: advert.vrid, priority: advert.priority })
        }
        Packet::Arp(arp) if arp.is_gratuitous() => {
            Some(Heard::Garp { ip: arp.sender_ip, mac: arp.sender_mac })
        }
        Packet::Arp(_) => None,
    }
}

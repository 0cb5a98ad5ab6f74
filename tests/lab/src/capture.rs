//! Recording what hosts send into a network: VRRP and ARP, with monotonic times.
//!
//! One packet socket in the switch's namespace hears every port. Only frames that *enter* a port are
//! kept: each packet then counts once, and it is known which host sent it.

use crate::{
    netns::Namespace,
    packet::{self, Advert, Arp, Packet},
    process::lock,
};
use anyhow::{Context, Result};
use nix::{
    net::if_::if_nametoindex,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{LinkAddr, recvfrom},
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::fd::{AsFd, AsRawFd},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Frames kept; later ones are only counted.
const FRAMES_MAX: usize = 50_000;
/// Bytes kept of one frame; VRRP and ARP are far shorter.
const FRAME_BYTES_MAX: usize = 2_048;
/// How soon the thread sees that it shall end.
const STOP_PAUSE: Duration = Duration::from_millis(50);
/// Linux's `ETH_P_ALL`.
const EVERY_PROTOCOL: u16 = 3;
/// Linux's `PACKET_OUTGOING`: a frame the machine itself sends through the port.
const OUTGOING: u8 = 4;

/// A frame that entered the network.
#[derive(Clone, Debug)]
pub struct Frame {
    /// When it was read, a little after it was sent.
    pub at: Instant,
    /// The host it came from.
    pub host: String,
    /// From the destination's Ethernet address on.
    pub bytes: Vec<u8>,
    /// What it holds.
    pub packet: Packet,
}

/// A packet of one kind, with its circumstances.
#[derive(Clone, Debug)]
pub struct Seen<T> {
    /// When it was read, a little after it was sent.
    pub at: Instant,
    /// The host it came from.
    pub host: String,
    /// The packet.
    pub packet: T,
}

/// A running recording; it ends with this value.
#[derive(Debug)]
pub struct Capture {
    shared: Arc<Shared>,
    start: (Instant, SystemTime),
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    frames: Mutex<(Vec<Frame>, u64)>,
    stop: AtomicBool,
}

impl Capture {
    /// Records what enters `ports` (port name, host name) of the switch, from now on.
    pub(crate) fn start(switch: &Namespace, ports: Vec<(String, String)>) -> Result<Self> {
        let (socket, hosts) = switch.run(move || {
            let hosts = ports
                .into_iter()
                .map(|(port, host)| Ok((if_nametoindex(port.as_str()).context(port)? as usize, host)))
                .collect::<Result<BTreeMap<_, _>>>()?;
            let every = i32::from(EVERY_PROTOCOL.to_be());
            let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking(), Some(Protocol::from(every)))
                .context("cannot open a packet socket")?;
            // Large is a wish: bursts of a thousand addresses shall fit.
            let _ = socket.set_recv_buffer_size(4 << 20);
            Ok((socket, hosts))
        })?;
        let shared = Arc::new(Shared::default());
        let into = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || record(&socket, &hosts, &into))
            .context("cannot start a thread")?;
        Ok(Self { shared, start: (Instant::now(), SystemTime::now()), thread: Some(thread) })
    }

    /// What was recorded so far, oldest first.
    pub fn frames(&self) -> Vec<Frame> {
        lock(&self.shared.frames).0.clone()
    }

    /// Frames that came when the recording was full; 0 in a good one.
    pub fn missed(&self) -> u64 {
        lock(&self.shared.frames).1
    }

    /// The advertisements so far, oldest first.
    pub fn adverts(&self) -> Vec<Seen<Advert>> {
        self.select(|packet| match packet {
            Packet::Advert(advert) => Some(advert.clone()),
            Packet::Arp(_) => None,
        })
    }

    /// The ARP packets so far, oldest first.
    pub fn arps(&self) -> Vec<Seen<Arp>> {
        self.select(|packet| match packet {
            Packet::Arp(arp) => Some(arp.clone()),
            Packet::Advert(_) => None,
        })
    }

    fn select<T>(&self, pick: impl Fn(&Packet) -> Option<T>) -> Vec<Seen<T>> {
        let frames = lock(&self.shared.frames);
        let seen = frames.0.iter().filter_map(|frame| {
            Some(Seen { at: frame.at, host: frame.host.clone(), packet: pick(&frame.packet)? })
        });
        seen.collect()
    }

    /// One line per packet, for people; times in seconds since the recording began.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        for frame in lock(&self.shared.frames).0.iter() {
            let at = frame.at.saturating_duration_since(self.start.0).as_secs_f64();
            text += &format!("{at:9.4} {:8} {}\n", frame.host, describe(&frame.packet));
        }
        text
    }

    /// Writes the recording as a pcap file, for tcpdump and Wireshark.
    pub fn write_pcap(&self, path: &Path) -> Result<()> {
        let write = || -> io::Result<()> {
            let mut file = io::BufWriter::new(fs::File::create(path)?);
            write_pcap(&mut file, &self.frames(), self.start)?;
            file.flush()
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn record(socket: &Socket, hosts: &BTreeMap<usize, String>, into: &Shared) {
    let mut buffer = [0; FRAME_BYTES_MAX];
    let timeout = PollTimeout::try_from(STOP_PAUSE).unwrap_or(PollTimeout::ZERO);
    while !into.stop.load(Ordering::Relaxed) {
        // A failed wait shows up in the read below; EAGAIN there means "wait again".
        let _ = poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], timeout);
        while let Ok((length, Some(from))) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer) {
            let at = Instant::now();
            let Some(host) = hosts.get(&from.ifindex()).filter(|_| from.pkttype() != OUTGOING) else {
                continue;
            };
            let bytes = &buffer[..length.min(FRAME_BYTES_MAX)];
            let Some(packet) = packet::decode(bytes) else { continue };
            let mut frames = lock(&into.frames);
            if frames.0.len() < FRAMES_MAX {
                frames.0.push(Frame { at, host: host.clone(), bytes: bytes.to_vec(), packet });
            } else {
                frames.1 += 1;
            }
        }
    }
}

fn describe(packet: &Packet) -> String {
    match packet {
        Packet::Advert(advert) => {
            let unit = if advert.version == 2 { "s" } else { "cs" };
            let auth = advert.auth_type.map_or(String::new(), |kind| format!(" auth {kind}"));
            format!(
                "advert v{} {} > {} vrid {} priority {}{auth} interval {}{unit} {:?}",
                advert.version,
                advert.source,
                advert.destination,
                advert.vrid,
                advert.priority,
                advert.interval,
                advert.addresses
            )
        }
        Packet::Arp(arp) if arp.is_gratuitous() => format!("ARP announces {}", arp.sender_ip),
        Packet::Arp(arp) if arp.operation == 1 => {
            format!("ARP who has {}, tell {}", arp.target_ip, arp.sender_ip)
        }
        Packet::Arp(arp) => format!("ARP {} is here, to {}", arp.sender_ip, arp.target_ip),
    }
}

/// The classic pcap format, microseconds, Ethernet: a header of 24 bytes, then 16 before each frame.
fn write_pcap(into: &mut impl Write, frames: &[Frame], start: (Instant, SystemTime)) -> io::Result<()> {
    const MAGIC_MICROSECONDS: u32 = 0xa1b2_c3d4;
    const ETHERNET: u32 = 1;
    for word in [MAGIC_MICROSECONDS, 2 | 4 << 16, 0, 0, FRAME_BYTES_MAX as u32, ETHERNET] {
        into.write_all(&word.to_le_bytes())?;
    }
    for frame in frames {
        let at = start.1 + frame.at.saturating_duration_since(start.0);
        let at = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let length = frame.bytes.len() as u32;
        for word in [at.as_secs() as u32, at.subsec_micros(), length, length] {
            into.write_all(&word.to_le_bytes())?;
        }
        into.write_all(&frame.bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn pcap_is_byte_for_byte_what_readers_expect() {
        let begin = Instant::now();
        let ip = Ipv4Addr::new(10, 0, 0, 9);
        let arp = Arp { operation: 1, sender_mac: [2; 6], sender_ip: ip, target_ip: ip };
        let frame = Frame {
            at: begin + Duration::from_millis(1500),
            host: "a".to_owned(),
            bytes: vec![1, 2, 3],
            packet: Packet::Arp(arp),
        };
        let mut file = Vec::new();
        write_pcap(&mut file, &[frame], (begin, UNIX_EPOCH + Duration::from_secs(10))).unwrap();
        let header = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 1, 0, 0, 0];
        assert_eq!(file[..24], header);
        assert_eq!(file[24..28], 11u32.to_le_bytes());
        assert_eq!(file[28..32], 500_000u32.to_le_bytes());
        assert_eq!(file[32..40], [3, 0, 0, 0, 3, 0, 0, 0]);
        assert_eq!(file[40..], [1, 2, 3]);
    }
}

//! A client that pings an address at a high rate, and what it saw: answers, misses, gaps.
//!
//! An answer counts when it comes; a gap is the time between two answers that follow each other.
//! Its precision is therefore the spacing of the pings.

use crate::{node::Host, process::lock};
use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io::Read,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    os::fd::AsFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Pings of one probe; it stops by itself then. Sequence numbers must not come round.
const PINGS_MAX: usize = 65_000;
/// A later answer is a miss: the kernel keeps pings waiting while it looks for the address.
const LATE: Duration = Duration::from_millis(200);
const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;

static IDENTIFIER: AtomicU16 = AtomicU16::new(1);

/// A running client; it ends with this value.
#[derive(Debug)]
pub struct Probe {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    pings: Mutex<Vec<Ping>>,
    stop: AtomicBool,
    every: Duration,
}

/// One ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// When it was due and sent.
    pub sent: Instant,
    /// When its answer came, if it came.
    pub answered: Option<Instant>,
}

impl Ping {
    fn is_missed(&self) -> bool {
        self.answered.is_none_or(|at| at.duration_since(self.sent) > LATE)
    }
}

/// What a client saw.
#[derive(Clone, Debug)]
pub struct Report {
    /// All pings, oldest first.
    pub pings: Vec<Ping>,
    /// The spacing of the pings.
    pub every: Duration,
}

/// A time without answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The last answer before.
    pub from: Instant,
    /// Until the first answer after.
    pub length: Duration,
}

impl Probe {
    /// Pings `target` from `host`, one ping `every` so often (1 ms or more is sensible).
    pub fn start(host: &Host, target: Ipv4Addr, every: Duration) -> Result<Self> {
        let socket = host.namespace().run(|| {
            Socket::new(Domain::IPV4, Type::RAW.nonblocking(), Some(Protocol::ICMPV4))
                .context("cannot open a socket for pings")
        })?;
        let pings = Mutex::new(Vec::with_capacity(1_024));
        let shared = Arc::new(Shared { pings, stop: AtomicBool::new(false), every });
        let client = Client { socket, target, identifier: IDENTIFIER.fetch_add(1, Ordering::Relaxed) };
        let into = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("probe".to_owned())
            .spawn(move || client.run(&into))
            .context("cannot start a thread")?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// What it saw so far.
    pub fn report(&self) -> Report {
        Report { pings: lock(&self.shared.pings).clone(), every: self.shared.every }
    }

    /// Whether a ping sent at or after `since` was answered.
    pub fn answered_since(&self, since: Instant) -> bool {
        lock(&self.shared.pings)
            .iter()
            .rev()
            .take_while(|ping| ping.sent >= since)
            .any(|ping| !ping.is_missed())
    }

    /// Ends it and returns what it saw.
    pub fn stop(mut self) -> Report {
        self.end();
        self.report()
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.end();
    }
}

struct Client {
    socket: Socket,
    target: Ipv4Addr,
    identifier: u16,
}

impl Client {
    fn run(mut self, into: &Shared) {
        let mut due = Instant::now();
        while !into.stop.load(Ordering::Relaxed) && lock(&into.pings).len() < PINGS_MAX {
            let now = Instant::now();
            if now >= due {
                self.send(into, now);
                // After a pause of the whole machine: go on from here, no burst to catch up.
                due = (due + into.every).max(now);
            }
            let wait = due.saturating_duration_since(Instant::now()).as_micros().div_ceil(1_000);
            let wait = PollTimeout::try_from(wait).unwrap_or(PollTimeout::ZERO);
            let _ = poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], wait);
            self.receive(into);
        }
    }

    fn send(&self, into: &Shared, now: Instant) {
        let mut pings = lock(&into.pings);
        let sequence = u16::try_from(pings.len()).unwrap_or(u16::MAX);
        pings.push(Ping { sent: now, answered: None });
        drop(pings);
        let to = SocketAddr::V4(SocketAddrV4::new(self.target, 0));
        // "No route" and the like are what a client sees, too: a missed ping.
        let _ = self.socket.send_to(&echo_request(self.identifier, sequence), &to.into());
    }

    fn receive(&mut self, into: &Shared) {
        let mut packet = [0; 512];
        while let Ok(length) = self.socket.read(&mut packet) {
            let Some(sequence) = self.echo_reply(&packet[..length]) else { continue };
            if let Some(ping) = lock(&into.pings).get_mut(usize::from(sequence)) {
                ping.answered.get_or_insert_with(Instant::now);
            }
        }
    }

    /// The sequence number of an answer to one of our pings; a raw socket hears all ICMP.
    fn echo_reply(&self, packet: &[u8]) -> Option<u16> {
        let icmp = packet.get(usize::from(packet.first()? & 0x0f) * 4..)?;
        let word = |at: usize| Some(u16::from_be_bytes(icmp.get(at..at + 2)?.try_into().ok()?));
        let ours = *icmp.first()? == ECHO_REPLY
            && word(4)? == self.identifier
            && packet.get(12..16)? == self.target.octets();
        if ours { word(6) } else { None }
    }
}

fn echo_request(identifier: u16, sequence: u16) -> [u8; 8] {
    let mut packet = [ECHO_REQUEST, 0, 0, 0, 0, 0, 0, 0];
    packet[4..6].copy_from_slice(&identifier.to_be_bytes());
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    let sum = u32::from(ECHO_REQUEST) << 8;
    let sum = sum + u32::from(identifier) + u32::from(sequence);
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    packet[2..4].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    packet
}

impl Report {
    /// Pings that were not answered in time.
    pub fn missed(&self) -> usize {
        self.pings.iter().filter(|ping| ping.is_missed()).count()
    }

    /// The longest time between two answers that follow each other; `None` with fewer than two.
    pub fn longest_gap(&self) -> Option<Gap> {
        let mut answers: Vec<Instant> = self.pings.iter().filter_map(|ping| ping.answered).collect();
        answers.sort_unstable();
        let gaps = answers.windows(2).map(|pair| Gap { from: pair[0], length: pair[1] - pair[0] });
        gaps.max_by_key(|gap| gap.length)
    }

    /// The longest time for which pings went unanswered: from the sending of the last answered one
    /// before to that of the first answered one after; `None` when none was missed. The client's own
    /// lateness in hearing answers does not count.
    pub fn longest_outage(&self) -> Option<Duration> {
        let mut longest = None;
        let mut last_good = self.pings.first()?.sent;
        let mut missed = false;
        for ping in &self.pings {
            if ping.is_missed() {
                missed = true;
                continue;
            }
            if std::mem::take(&mut missed) {
                longest = longest.max(Some(ping.sent - last_good));
            }
            last_good = ping.sent;
        }
        // Those at the end never were answered, as far as anyone can tell.
        let end = self.pings.last().filter(|_| missed).map(|last| last.sent - last_good);
        longest.max(end)
    }

    /// What it saw from `from` until `to`.
    pub fn between(&self, from: Instant, to: Instant) -> Self {
        let within = |ping: &&Ping| ping.sent >= from && ping.sent <= to;
        Self { pings: self.pings.iter().filter(within).copied().collect(), every: self.every }
    }

    /// A picture of `width` characters, time from left to right: `#` answered, `.` missed.
    ///
    /// One missed ping marks its place: a short gap shall not vanish in a long picture.
    pub fn bar(&self, width: usize) -> String {
        let count = self.pings.len();
        let width = width.min(count);
        let cell = |index: usize| {
            let pings = &self.pings[index * count / width..(index + 1) * count / width];
            if pings.iter().any(Ping::is_missed) { '.' } else { '#' }
        };
        (0..width).map(cell).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(answered: &[bool]) -> Report {
        let every = Duration::from_millis(10);
        let start = Instant::now();
        let ping = |(index, answered): (usize, &bool)| {
            let sent = start + every * index as u32;
            Ping { sent, answered: answered.then_some(sent + Duration::from_millis(1)) }
        };
        Report { pings: answered.iter().enumerate().map(ping).collect(), every }
    }

    #[test]
    fn a_gap_is_the_time_between_answers() {
        let report = report(&[true, true, false, false, false, true, true]);
        assert_eq!(report.longest_gap().unwrap().length, Duration::from_millis(40));
        assert_eq!(report.missed(), 3);
    }

    #[test]
    fn an_outage_is_measured_by_what_was_sent() {
        let outage = |answered: &[bool]| report(answered).longest_outage().map(|length| length.as_millis());
        assert_eq!(outage(&[true, true, true]), None);
        assert_eq!(outage(&[true, false, true, true, false, false, true]), Some(30));
        assert_eq!(outage(&[true, true, false, false]), Some(20));
        assert_eq!(outage(&[]), None);
        let late = {
            let mut report = report(&[true, true, true]);
            report.pings[1].answered = Some(report.pings[1].sent + LATE / 2);
            report
        };
        assert_eq!(late.longest_outage(), None);
        assert_eq!(late.between(late.pings[1].sent, late.pings[1].sent).pings.len(), 1);
    }

    #[test]
    fn the_bar_keeps_short_gaps_visible() {
        let report = report(&[true, true, true, false, true, true, true, true]);
        assert_eq!(report.bar(8), "###.####");
        assert_eq!(report.bar(4), "#.##");
        assert_eq!(report.bar(100), "###.####");
        assert_eq!(super::Report { pings: Vec::new(), ..report }.bar(10), "");
    }

    #[test]
    fn a_late_answer_is_a_miss() {
        let mut report = report(&[true, true]);
        report.pings[1].answered = Some(report.pings[1].sent + LATE * 2);
        assert_eq!(report.missed(), 1);
    }

    #[test]
    fn the_checksum_of_a_request_is_right() {
        for (identifier, sequence) in [(0, 0), (1, 1), (0xffff, 0xffff), (0x1234, 0xabcd)] {
            let packet = echo_request(identifier, sequence);
            let words = packet.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
            let sum: u32 = words.sum();
            assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "{identifier} {sequence}");
        }
    }
}

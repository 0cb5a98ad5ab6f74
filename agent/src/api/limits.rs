//! How much anybody may ask for: connections by budget and source, requests by connection.
//!
//! ```text
//!   accept -> Handshakes (PeerHandshakes for addresses of peers) -> Clients | Peers      TCP
//!   accept -> Local                                                                      unix socket
//! ```
//!
//! Contract: nobody waits for a place, whoever comes too many is turned away at once; peers have places
//! of their own at every step, so that no flood of others keeps them out.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Calls at one time on a connection.
pub(super) const STREAMS_PER_CONNECTION: u32 = 64;
/// Most bytes of a request: a virtual router with hundreds of addresses fits.
pub(super) const REQUEST_BYTES_MAX: usize = 64 << 10;
/// Most bytes of a request's headers.
pub(super) const HEADER_BYTES_MAX: u32 = 16 << 10;
/// Most bytes that wait unread, per connection and per call.
pub(super) const WINDOW_BYTES: (u32, u32) = (256 << 10, 64 << 10);
/// A handshake takes a few milliseconds; who needs longer than this holds a place for nothing.
pub(super) const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// A silent connection is asked this often whether it still lives.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(30);
/// And is closed when it does not answer for this long.
pub(super) const KEEPALIVE_MAX: Duration = Duration::from_secs(10);

/// What a place is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Budget {
    /// Connections of the unix socket.
    Local,
    /// TLS handshakes under way.
    Handshakes,
    /// The same, from addresses of configured peers.
    PeerHandshakes,
    /// Connections of people and monitors.
    Clients,
    /// Connections of other agents.
    Peers,
}

impl Budget {
    /// Places in total, and for one source. Together well below the usual 1024 file descriptors.
    const fn places(self) -> (usize, usize) {
        match self {
            Self::Local => (32, 32),
            Self::Handshakes => (64, 16),
            Self::PeerHandshakes => (32, 16),
            Self::Clients => (256, 32),
            Self::Peers => (128, 8),
        }
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Handshakes | Self::PeerHandshakes => "handshakes under way",
            Self::Local | Self::Clients => "connections",
            Self::Peers => "connections of peers",
        }
    }

    /// Requests a second on one connection, and at once. Peers move many virtual routers together.
    pub(super) fn requests(self) -> Bucket {
        match self {
            Self::Peers => Bucket::new(2_000, 8_000),
            _ => Bucket::new(50, 200),
        }
    }
}

/// Places taken, by budget and source.
#[derive(Debug, Default)]
pub(super) struct Door {
    taken: Mutex<BTreeMap<(Budget, String), usize>>,
}

/// A taken place; free again when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    door: Arc<Door>,
    key: (Budget, String),
}

impl Door {
    /// A place for `source`.
    ///
    /// # Errors
    /// Which limit is reached, in words.
    pub(super) fn seat(self: &Arc<Self>, budget: Budget, source: &str) -> Result<Seat, String> {
        let (most, most_of_source) = budget.places();
        let key = (budget, source.to_owned());
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_source = taken.get(&key).copied().unwrap_or(0);
        if of_source >= most_of_source {
            return Err(format!("{source} has {of_source} {} already", budget.noun()));
        }
        let all: usize = taken.iter().filter(|((of, _), _)| *of == budget).map(|(_, count)| count).sum();
        if all >= most {
            return Err(format!("there are {all} {} already", budget.noun()));
        }
        taken.insert(key.clone(), of_source + 1);
        Ok(Seat { door: self.clone(), key })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.door.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

/// Whom connections from `ip` are counted to: one host can have a whole IPv6 network.
pub(super) fn source(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// Tokens that come back with time: so many a second, so many saved up at most.
#[derive(Debug)]
pub(super) struct Bucket {
    per_second: u32,
    burst: u32,
    /// When it would have been full: later than now by what was taken.
    empty_until: Option<Instant>,
}

impl Bucket {
    /// Full. Both numbers at least 1.
    pub(super) const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst, empty_until: None }
    }

    /// Takes one.
    ///
    /// # Errors
    /// After how long there is one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let one = Duration::from_secs(1) / self.per_second.max(1);
        let full_at = self.empty_until.map_or(now, |at| at.max(now)) + one;
        let owed = full_at.duration_since(now);
        let most = one * self.burst.max(1);
        if owed > most {
            return Err(owed - most);
        }
        self.empty_until = Some(full_at);
        Ok(())
    }

    /// Its rate, for words.
    pub(super) fn per_second(&self) -> u32 {
        self.per_second
    }
}

/// The same is not said again for this long.
const HUSH: Duration = Duration::from_secs(600);
/// So many texts are remembered for that.
const HUSHED: usize = 64;

/// Says what others cause, at a bearable rate and each thing once in a while; what is left out is counted.
#[derive(Debug)]
pub(super) struct Hush {
    bucket: Bucket,
    recent: VecDeque<(String, Instant)>,
    left_out: u64,
}

impl Default for Hush {
    fn default() -> Self {
        Self { bucket: Bucket::new(1, 10), recent: VecDeque::new(), left_out: 0 }
    }
}

impl Hush {
    /// `text` as it may be said now, if it may.
    pub(super) fn pass(&mut self, text: String, now: Instant) -> Option<String> {
        self.recent.retain(|(_, said)| now.duration_since(*said) < HUSH);
        let again = self.recent.iter().any(|(said, _)| *said == text);
        if again || self.bucket.take(now).is_err() {
            self.left_out += 1;
            return None;
        }
        if self.recent.len() == HUSHED {
            self.recent.pop_front();
        }
        self.recent.push_back((text.clone(), now));
        match std::mem::take(&mut self.left_out) {
            0 => Some(text),
            count => Some(format!("{text} ({count} such lines left out before)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_clients_leaves_places_for_peers() {
        let door = Arc::new(Door::default());
        let full: Vec<_> = (0..1000).map(|n| door.seat(Budget::Clients, &format!("s{n}"))).collect();
        assert_eq!(full.iter().filter(|seat| seat.is_ok()).count(), 256);
        assert!(full[999].as_ref().unwrap_err().contains("256 connections already"));
        let peer = door.seat(Budget::Peers, "node2").unwrap();
        drop(full);
        drop(peer);
        assert!(door.taken.lock().unwrap().is_empty(), "nothing is kept of those who left");
    }

    #[test]
    fn one_source_takes_its_part() {
        let door = Arc::new(Door::default());
        let taken: Vec<_> = (0..40).map_while(|_| door.seat(Budget::Clients, "a").ok()).collect();
        assert_eq!(taken.len(), 32);
        assert!(door.seat(Budget::Clients, "a").unwrap_err().contains("a has 32"));
        door.seat(Budget::Clients, "b").unwrap();
    }

    #[test]
    fn tokens_come_back() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 3);
        for _ in 0..3 {
            bucket.take(start).unwrap();
        }
        let wait = bucket.take(start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        bucket.take(start + wait).unwrap();
        assert!(bucket.take(start + wait).is_err());
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..10).filter(|_| bucket.take(later).is_ok()).count(), 3, "no more is saved up");
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let (mut hush, start) = (Hush::default(), Instant::now());
        let said = (0..100).filter_map(|n| hush.pass(format!("{n}"), start)).count();
        assert_eq!(said, 10);
        let later = start + Duration::from_secs(2);
        assert_eq!(hush.pass("x".into(), later).unwrap(), "x (90 such lines left out before)");
        assert_eq!(hush.pass("x".into(), later + Duration::from_secs(60)), None, "said a minute ago");
        assert_eq!(hush.pass("x".into(), later + HUSH).unwrap(), "x (1 such lines left out before)");
    }

    #[test]
    fn sources() {
        for (ip, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(source(ip.parse().unwrap()), expected);
        }
    }
}

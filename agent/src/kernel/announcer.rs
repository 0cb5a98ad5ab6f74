//! Which address is announced next: rounds over all of them, new ones first, with a gap where one
//! is configured.
//!
//! Pure: frames come out, somebody else sends them.

use hacluster_core::time::{Duration, Instant};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::Ipv4Addr;

/// Announcements waiting, one lane per interface (by index).
#[derive(Debug, Default)]
pub(super) struct Announcer {
    lanes: BTreeMap<u32, Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    /// Never announced since they were confirmed: clients wait for these.
    fresh: VecDeque<Ipv4Addr>,
    /// Further rounds, in turn.
    again: VecDeque<Ipv4Addr>,
    /// Rounds left; an address that waits already is counted, not queued twice.
    rounds: HashMap<Ipv4Addr, u32>,
    gap: Duration,
    not_before: Instant,
}

impl Announcer {
    /// Wants `ip` announced `rounds` times on interface `index`, `gap` apart from its neighbours.
    pub(super) fn add(&mut self, index: u32, ip: Ipv4Addr, rounds: u32, gap: Duration) {
        if rounds == 0 {
            return;
        }
        let lane = self.lanes.entry(index).or_default();
        lane.gap = gap;
        let left = lane.rounds.entry(ip).or_insert(0);
        if *left == 0 {
            lane.fresh.push_back(ip);
        }
        *left = rounds.max(*left);
    }

    /// `ip` is not ours any more.
    pub(super) fn remove(&mut self, index: u32, ip: Ipv4Addr) {
        if let Some(lane) = self.lanes.get_mut(&index) {
            // The queues keep a stale entry, which is skipped when its turn comes.
            lane.rounds.remove(&ip);
        }
    }

    /// The interface is gone.
    pub(super) fn forget(&mut self, index: u32) {
        self.lanes.remove(&index);
    }

    /// When the next announcement is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let waiting = self.lanes.values().filter(|lane| !lane.fresh.is_empty() || !lane.again.is_empty());
        waiting.map(|lane| lane.not_before).min()
    }

    /// Takes at most `limit` announcements that are due; with `only_fresh`, no further rounds.
    pub(super) fn take(&mut self, now: Instant, limit: usize, only_fresh: bool) -> Vec<(u32, Ipv4Addr)> {
        let mut taken = Vec::new();
        for (index, lane) in &mut self.lanes {
            while taken.len() < limit && lane.not_before <= now {
                let Some(ip) = lane.next(only_fresh) else { break };
                if !lane.gap.is_zero() {
                    lane.not_before = now + lane.gap;
                }
                taken.push((*index, ip));
            }
        }
        taken
    }
}

impl Lane {
    fn next(&mut self, only_fresh: bool) -> Option<Ipv4Addr> {
        loop {
            let ip = match self.fresh.pop_front() {
                Some(ip) => ip,
                None if only_fresh => return None,
                None => self.again.pop_front()?,
            };
            let Some(left) = self.rounds.get_mut(&ip) else { continue };
            *left -= 1;
            if *left == 0 {
                self.rounds.remove(&ip);
            } else {
                self.again.push_back(ip);
            }
            return Some(ip);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const B: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
    const T: Instant = Instant::from_micros(1_000_000);

    #[test]
    fn rounds_go_over_all_addresses_in_turn() {
        let mut announcer = Announcer::default();
        announcer.add(1, A, 2, Duration::ZERO);
        announcer.add(1, B, 2, Duration::ZERO);
        assert_eq!(announcer.take(T, 10, false), [(1, A), (1, B), (1, A), (1, B)]);
        assert_eq!(announcer.next_due(), None);
    }

    #[test]
    fn new_addresses_go_before_further_rounds() {
        let mut announcer = Announcer::default();
        announcer.add(1, A, 3, Duration::ZERO);
        assert_eq!(announcer.take(T, 10, true), [(1, A)]);
        announcer.add(1, B, 3, Duration::ZERO);
        assert_eq!(announcer.take(T, 2, false), [(1, B), (1, A)]);
    }

    #[test]
    fn an_address_that_waits_is_counted_not_queued_twice() {
        let mut announcer = Announcer::default();
        for _ in 0..1000 {
            announcer.add(1, A, 5, Duration::ZERO);
        }
        assert_eq!(announcer.take(T, 100, false).len(), 5);
    }

    #[test]
    fn a_gap_spreads_the_announcements() {
        let mut announcer = Announcer::default();
        let gap = Duration::from_millis(300);
        announcer.add(1, A, 1, gap);
        announcer.add(1, B, 1, gap);
        assert_eq!(announcer.take(T, 10, false), [(1, A)]);
        assert_eq!(announcer.take(T, 10, false), []);
        assert_eq!(announcer.next_due(), Some(T + gap));
        assert_eq!(announcer.take(T + gap, 10, false), [(1, B)]);
    }

    #[test]
    fn an_address_given_up_is_not_announced() {
        let mut announcer = Announcer::default();
        announcer.add(1, A, 5, Duration::ZERO);
        announcer.remove(1, A);
        assert_eq!(announcer.take(T, 10, false), []);
    }
}

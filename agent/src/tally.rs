//! What is counted beside events: written by one thread each, read by anybody.
//!
//! Atomic numbers instead of events: a count per packet costs neither a lock nor a message, and a
//! reader always sees the latest.

use crate::api::convert;
use hacluster_core::machine::{StateKind, Transition};
use hacluster_core::receive::DiscardKind;
use hacluster_core::time::Duration;
use hacluster_proto::v1::ReasonKind;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one virtual router since it was added; the protocol thread alone writes them.
#[derive(Debug, Default)]
pub struct Tally {
    /// Adverts handed to the kernel.
    pub sent: Count,
    /// Adverts that were believed.
    pub accepted: Count,
    /// Adverts, of those sent, with priority 0: the master resigns.
    pub resigned: Count,
    /// Adverts, of those believed, with priority 0.
    pub resignations: Count,
    /// Adverts, of those believed, whose addresses are not ours.
    pub addresses_differ: Count,
    /// Adverts, of those sent, that the kernel refused.
    pub send_failures: Count,
    /// Changes to Master.
    pub became_master: Count,
    /// Changes from Master to anything else.
    pub left_master: Count,
    /// All changes of state.
    pub changes: Changes,
    /// Dropped adverts by kind.
    pub discarded: [Count; DiscardKind::COUNT],
    /// Timers by how late they were served.
    pub lateness: Lateness,
    /// Adverts that were believed, by how long they waited to be read; where the kernel says so.
    pub waited: Lateness,
}

/// Changes of state, by the state entered and the kind of the reason.
#[derive(Debug, Default)]
pub struct Changes([[Count; Self::KINDS]; StateKind::ALL.len()]);

impl Changes {
    /// More than the highest number of a kind.
    const KINDS: usize = 16;

    /// One more.
    pub fn add(&self, of: &Transition) {
        let kind = usize::try_from(i32::from(convert::reason(&of.reason))).ok();
        let kind = kind.filter(|kind| *kind < Self::KINDS).unwrap_or(ReasonKind::Unspecified as usize);
        if let Some(to) = StateKind::ALL.iter().position(|state| *state == of.to) {
            self.0[to][kind].add_one();
        }
    }

    /// Every pair with how often it was so far; most never are.
    pub fn all(&self) -> impl Iterator<Item = (StateKind, ReasonKind, u64)> {
        StateKind::ALL.into_iter().zip(&self.0).flat_map(|(state, counts)| {
            let kinds = counts.iter().zip(0..);
            kinds
                .filter_map(move |(count, kind)| Some((state, ReasonKind::try_from(kind).ok()?, count.get())))
        })
    }
}

/// How late things were done that were due: how many, and how late together, for each of
/// [`BOUNDS`](Self::BOUNDS) and for more.
#[derive(Debug, Default)]
pub struct Lateness([(Count, Count); Self::BUCKETS]);

/// What one bucket of a [`Lateness`] holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// How many.
    pub count: u64,
    /// How late together, in microseconds: at least that of so many, and maybe of one more.
    pub micros: u64,
}

impl Lateness {
    /// Upper ends, included, in microseconds.
    pub const BOUNDS: [u64; 10] = [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 100_000, 1_000_000];
    /// One for each bound, one for more.
    pub const BUCKETS: usize = Self::BOUNDS.len() + 1;

    /// One more, so late.
    pub fn add(&self, late: Duration) {
        let micros = late.as_micros();
        let at = Self::BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(Self::BOUNDS.len());
        let (count, sum) = &self.0[at];
        sum.add(micros);
        count.0.fetch_add(1, Ordering::Release); // whoever sees it sees its part of the sum, too
    }

    /// All so far.
    pub fn get(&self) -> [Bucket; Self::BUCKETS] {
        std::array::from_fn(|at| {
            let (count, sum) = &self.0[at];
            let count = count.0.load(Ordering::Acquire);
            Bucket { count, micros: sum.get() }
        })
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// None yet.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// One more.
    pub fn add_one(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A bounded queue whose writers drop rather than wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Events on their way to log, history and API.
    Events,
    /// What the protocol thread tells whoever moves routers.
    Notices,
    /// Changes of state on their way to hooks, fifos and mail.
    Changes,
    /// Lines of a fifo that nobody reads fast enough.
    FifoLines,
    /// Mails that no server takes.
    Mails,
    /// Changes of state on their way to the disk.
    History,
    /// Operators' calls on their way to the disk.
    Audit,
    /// Changes that a client of `Watch` was too slow for; it begins again with a snapshot.
    Watchers,
    /// Events on their way to telemetry.
    Telemetry,
    /// What spans of the load balancer would be made of.
    Stories,
}

impl Queue {
    /// All of them, with the names that metrics use.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::Events, "events"),
        (Self::Notices, "notices"),
        (Self::Changes, "changes"),
        (Self::FifoLines, "fifo_lines"),
        (Self::Mails, "mails"),
        (Self::History, "history"),
        (Self::Audit, "audit"),
        (Self::Watchers, "watchers"),
        (Self::Telemetry, "telemetry"),
        (Self::Stories, "stories"),
    ];

    /// So many were dropped. Never waits.
    pub fn dropped(self, count: u64) {
        DROPPED[self as usize].add(count);
    }

    /// How many were dropped since the process began.
    pub fn lost(self) -> u64 {
        DROPPED[self as usize].get()
    }
}

/// One for each [`Queue`]: they belong to the process, as its queues do.
static DROPPED: [Count; Queue::ALL.len()] = [const { Count::new() }; Queue::ALL.len()];

#[cfg(test)]
mod tests {
    use super::*;
    use hacluster_core::machine::{Fault, Reason};

    #[test]
    fn changes_are_counted_by_state_and_kind() {
        let changes = Changes::default();
        let change = |to, reason| Transition { from: StateKind::Backup, to, reason };
        let stopped = change(StateKind::Initialize, Reason::Stopped);
        let gone = Reason::Fault(Fault::Link);
        for change in [stopped, change(StateKind::Fault, gone), change(StateKind::Fault, gone)] {
            changes.add(&change);
        }
        let some: Vec<_> = changes.all().filter(|(.., count)| *count > 0).collect();
        let expected =
            [(StateKind::Initialize, ReasonKind::Stopped, 1), (StateKind::Fault, ReasonKind::Fault, 2)];
        assert_eq!(some, expected);
    }

    /// A kind that the contract gets would be counted as one that is not known.
    #[test]
    fn there_is_room_for_every_kind_of_reason() {
        let kinds: Vec<_> = (0..1_000).filter_map(|number| ReasonKind::try_from(number).ok()).collect();
        let room: Vec<_> = Changes::default().all().map(|(_, kind, _)| kind).collect();
        assert_eq!(room, kinds.repeat(StateKind::ALL.len()), "make Changes::KINDS more");
        assert!(kinds.len() > 12);
    }

    #[test]
    fn lateness_counts_and_adds_up_by_bound() {
        let lateness = Lateness::default();
        for micros in [0, 50, 51, 1_000_000, 1_000_001, 7_000_000] {
            lateness.add(Duration::from_micros(micros));
        }
        let found = lateness.get();
        assert_eq!(found[0], Bucket { count: 2, micros: 50 });
        assert_eq!(found[1], Bucket { count: 1, micros: 51 });
        assert_eq!(found[9], Bucket { count: 1, micros: 1_000_000 });
        assert_eq!(found[10], Bucket { count: 2, micros: 8_000_001 });
    }

    #[test]
    fn every_queue_counts_for_itself() {
        for (number, (queue, _)) in Queue::ALL.into_iter().enumerate() {
            assert_eq!(queue as usize, number);
        }
        let before = Queue::Audit.lost();
        Queue::Audit.dropped(2);
        assert!(Queue::Audit.lost() >= before + 2);
    }
}

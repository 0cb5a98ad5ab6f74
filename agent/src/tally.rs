//! What one virtual router counted: written by the protocol thread alone, read by anybody.
//!
//! Atomic numbers instead of events: a count per packet costs neither a lock nor a message, and a
//! reader always sees the latest.

use hacluster_core::receive::DiscardKind;
use hacluster_core::time::Duration;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters since the router was added.
#[derive(Debug, Default)]
pub struct Tally {
    /// Adverts handed to the kernel.
    pub sent: Count,
    /// Adverts that were believed.
    pub accepted: Count,
    /// Adverts, of those sent, that the kernel refused.
    pub send_failures: Count,
    /// Changes to Master.
    pub became_master: Count,
    /// Dropped adverts by kind.
    pub discarded: [Count; DiscardKind::COUNT],
    /// Timers by how late they were served.
    pub lateness: Lateness,
    /// Adverts that were believed, by how long they waited to be read; where the kernel says so.
    pub waited: Lateness,
}

/// Things that were served, by how late: one number for each of [`BOUNDS`](Self::BOUNDS), one for more.
#[derive(Debug, Default)]
pub struct Lateness([Count; Self::BOUNDS.len() + 1]);

impl Lateness {
    /// Upper ends, included, in microseconds.
    pub const BOUNDS: [u64; 10] = [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 100_000, 1_000_000];

    /// One more, served so late.
    pub fn add(&self, late: Duration) {
        let at = Self::BOUNDS.iter().position(|bound| late.as_micros() <= *bound);
        self.0[at.unwrap_or(Self::BOUNDS.len())].add_one();
    }

    /// So many so far, by bound.
    pub fn get(&self) -> [u64; Self::BOUNDS.len() + 1] {
        std::array::from_fn(|at| self.0[at].get())
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn add_one(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

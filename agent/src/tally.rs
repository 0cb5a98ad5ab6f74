//! What one virtual router counted: written by the protocol thread alone, read by anybody.
//!
//! Atomic numbers instead of events: a count per packet costs neither a lock nor a message, and a
//! reader always sees the latest.

use hacluster_core::receive::DiscardKind;
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

//! Virtual time: a queue of what happens next. Jumps from event to event.

use hacluster_core::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Time and the events to come; those of one moment happen in the order they were scheduled.
#[derive(Debug)]
pub struct Clock<E> {
    now: Instant,
    serial: u64,
    queue: BTreeMap<(Instant, u64), E>,
}

impl<E> Clock<E> {
    /// A clock at `now` with nothing to come.
    pub const fn new(now: Instant) -> Self {
        Self { now, serial: 0, queue: BTreeMap::new() }
    }

    /// The present.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Lets `event` happen at `when`, or at once if that is past.
    pub fn at(&mut self, when: Instant, event: E) {
        self.serial += 1;
        self.queue.insert((when.max(self.now), self.serial), event);
    }

    /// Lets `event` happen after `delay`.
    pub fn after(&mut self, delay: Duration, event: E) {
        self.at(self.now + delay, event);
    }

    /// Goes to the next event up to `limit`; without one goes to `limit` and returns `None`.
    pub fn next(&mut self, limit: Instant) -> Option<E> {
        match self.queue.first_entry() {
            Some(entry) if entry.key().0 <= limit => {
                self.now = entry.key().0;
                Some(entry.remove())
            }
            _ => {
                self.now = self.now.max(limit);
                None
            }
        }
    }
}

//! The protocol's clock on the wall: events of one story must stay in their order.

use hacluster_core::time::Instant;
use hacluster_net::clock;
use std::time::{Duration, SystemTime};

/// The wall clock may differ by so much from what was assumed: less is jitter between two readings.
const JITTER: Duration = Duration::from_millis(2);

/// The same moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchor {
    wall: SystemTime,
    monotonic: Instant,
}

impl Default for Anchor {
    fn default() -> Self {
        Self { wall: SystemTime::now(), monotonic: clock::now() }
    }
}

impl Anchor {
    /// Follows the wall clock when that was set.
    pub(super) fn renew(&mut self) {
        let now = Self::default();
        let assumed = self.wall(now.monotonic);
        let off = assumed.duration_since(now.wall).unwrap_or_else(|error| error.duration());
        if off > JITTER {
            *self = now;
        }
    }

    /// When `at` was or will be.
    pub(super) fn wall(self, at: Instant) -> SystemTime {
        let span = |from: Instant, to: Instant| Duration::from_micros(to.since(from).as_micros());
        let moved = if at >= self.monotonic {
            self.wall.checked_add(span(self.monotonic, at))
        } else {
            self.wall.checked_sub(span(at, self.monotonic))
        };
        moved.unwrap_or(self.wall)
    }
}

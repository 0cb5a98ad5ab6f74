//! The only clock of the protocol: monotonic, so that no wall-clock jump can start an election.

use hacluster_core::time::Instant;
use nix::time::{ClockId, clock_gettime};

/// Microseconds since boot, not counting suspension (`CLOCK_MONOTONIC`).
pub fn now() -> Instant {
    // The call fails only for clocks that do not exist.
    let since_boot =
        clock_gettime(ClockId::CLOCK_MONOTONIC).map(std::time::Duration::from).unwrap_or_default();
    Instant::from_micros(u64::try_from(since_boot.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    #[test]
    fn time_advances() {
        let first = super::now();
        assert!(first.as_micros() > 0);
        while super::now() <= first {
            std::hint::spin_loop();
        }
    }
}

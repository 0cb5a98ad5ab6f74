//! The only clock of the protocol: monotonic, so that no wall-clock jump can start an election.

use hacluster_core::time::Instant;
use nix::{
    sys::time::TimeSpec,
    time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep},
};
use std::time::Duration;

/// Microseconds since boot, not counting suspension (`CLOCK_MONOTONIC`).
pub fn now() -> Instant {
    // The call fails only for clocks that do not exist.
    let since_boot = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    Instant::from_micros(u64::try_from(since_boot.as_micros()).unwrap_or(u64::MAX))
}

/// The wall clock since 1970, of which the kernel's packet times are.
pub(crate) fn wall() -> Duration {
    clock_gettime(ClockId::CLOCK_REALTIME).map(Duration::from).unwrap_or_default()
}

/// Sleeps until `deadline`; a signal may end it early.
pub fn sleep_until(deadline: Instant) {
    let deadline = TimeSpec::from(Duration::from_micros(deadline.as_micros()));
    let _ = clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &deadline);
}

#[cfg(test)]
mod tests {
    #[test]
    fn sleep_ends_at_the_deadline_and_a_past_one_is_none() {
        let deadline = super::now() + hacluster_core::time::Duration::from_micros(1_500);
        super::sleep_until(deadline);
        assert!(super::now() >= deadline);
        super::sleep_until(deadline);
    }

    #[test]
    fn time_advances() {
        let first = super::now();
        assert!(first.as_micros() > 0);
        while super::now() <= first {
            std::hint::spin_loop();
        }
    }
}

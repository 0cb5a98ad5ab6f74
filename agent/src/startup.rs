//! How long nothing runs after the start, and when nothing ever will.

use hacluster_conf::model::Global;
use hacluster_core::time::Duration;
use nix::time::{ClockId, clock_gettime};
use std::fmt;

/// Nothing that is written can run; trying again is no use until somebody writes something else.
#[derive(Debug)]
pub struct NothingRuns(pub(crate) String);

impl NothingRuns {
    /// Exit status (`EX_CONFIG`): the service manager does not start an agent again that ends with it.
    pub const STATUS: u8 = 78;
}

impl fmt::Display for NothingRuns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing can run: {}", self.0)
    }
}

impl std::error::Error for NothingRuns {}

/// `vrrp_startup_delay`, or what is missing to `vrrp_delay_after_boot`, whichever is longer.
pub(crate) fn delay(global: &Global) -> Duration {
    delay_at(global, uptime())
}

fn delay_at(global: &Global, uptime: Duration) -> Duration {
    let after_boot = Duration::from_millis(global.delay_after_boot_ms).as_micros();
    let missing = Duration::from_micros(after_boot.saturating_sub(uptime.as_micros()));
    missing.max(Duration::from_millis(global.startup_delay_ms))
}

/// Since the machine was started, time asleep included.
fn uptime() -> Duration {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME);
    now.map_or(Duration::ZERO, |now| Duration::from_secs(now.tv_sec().unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_runs_for_long_enough_waits_for_nothing_but_the_startup_delay() {
        let global = Global { startup_delay_ms: 2_000, delay_after_boot_ms: 60_000, ..Global::default() };
        for (uptime, delay) in [(0, 60), (45, 15), (59, 2), (60, 2), (9_999, 2)] {
            assert_eq!(delay_at(&global, Duration::from_secs(uptime)), Duration::from_secs(delay));
        }
        assert!(uptime() > Duration::ZERO);
    }
}

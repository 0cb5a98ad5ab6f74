//! The advertisement interval and what VRRP derives from it [RFC 3768 section 6.1].
//!
//! Version 2 counts whole seconds, version 3 centiseconds. Each is a type of its own, so that one
//! can never be taken for the other.

use crate::{priority::Priority, time::Duration};
use core::{fmt, num::NonZeroU8};

/// VRRPv2's advertisement interval: 1 to 255 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Seconds(NonZeroU8);

impl Seconds {
    /// One second, the default of RFC 3768.
    pub const ONE: Self = Self(NonZeroU8::MIN);

    /// `None` for 0: such a router would never rest.
    pub const fn new(seconds: u8) -> Option<Self> {
        match NonZeroU8::new(seconds) {
            Some(seconds) => Some(Self(seconds)),
            None => None,
        }
    }

    /// The number of seconds, as in the packet.
    pub const fn get(self) -> u8 {
        self.0.get()
    }

    /// The interval as a span of time.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0.get() as u64)
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0)
    }
}

/// Skew_Time of VRRPv2: `(256 - priority) / 256` seconds, whatever the interval [RFC 3768 section 6.1].
///
/// Kept in microseconds: rounding it to whole seconds would make all backups fire together.
pub const fn skew_v2(priority: Priority) -> Duration {
    Duration::from_micros((256 - priority.get() as u64) * 1_000_000 / 256)
}

/// Master_Down_Interval of VRRPv2: `adverts * interval + skew`; the RFC's `adverts` is 3.
pub const fn master_down_v2(interval: Seconds, priority: Priority, adverts: u8) -> Duration {
    let quiet = interval.duration().times(adverts as u64).as_micros();
    Duration::from_micros(quiet + skew_v2(priority).as_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Facts of RFC 3768 and of keepalived on the wire: 0.609 s after priority 0, 3.609 s after a crash.
    #[test]
    fn skew_and_master_down_of_priority_100_at_one_second() {
        assert_eq!(skew_v2(Priority::DEFAULT).as_micros(), 609_375);
        assert_eq!(master_down_v2(Seconds::ONE, Priority::DEFAULT, 3).as_micros(), 3_609_375);
    }

    /// Trap: skew cut to whole seconds makes all backups fire together.
    #[test]
    fn distinct_priorities_have_distinct_deadlines() {
        let mut last = Duration::ZERO;
        for number in (1..=255).rev() {
            let down = master_down_v2(Seconds::ONE, Priority::from_wire(number), 3);
            assert!(down > last, "priority {number}");
            last = down;
        }
    }

    #[test]
    fn skew_does_not_grow_with_the_interval_in_version_2() {
        let ten = Seconds::new(10).unwrap();
        assert_eq!(master_down_v2(ten, Priority::DEFAULT, 3).as_micros(), 30_609_375);
    }
}
